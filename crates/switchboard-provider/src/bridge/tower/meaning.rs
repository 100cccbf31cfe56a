//! What gates need to know of requests and answers and cannot see, and what answers may say of gates.

use std::fmt;

use switchboard_core::{Effect, Error, RateDecision};

/// What making a request twice would do.
///
/// An [`Effect`] says it of all requests, a function of each.
pub trait EffectOf<Request> {
    /// What making `request` twice would do.
    fn effect_of(&self, request: &Request) -> Effect;
}

impl<Request> EffectOf<Request> for Effect {
    #[inline]
    fn effect_of(&self, _request: &Request) -> Effect {
        *self
    }
}

impl<Request, F: Fn(&Request) -> Effect> EffectOf<Request> for F {
    #[inline]
    fn effect_of(&self, request: &Request) -> Effect {
        self(request)
    }
}

/// Sees failures in answers: a service that answers with "internal error" has answered.
///
/// Gates take such an answer for the failure it tells of, count it and try again; the caller gets the
/// answer as it is. A function from an answer to the error it amounts to is a judge.
pub trait Judge<Response> {
    /// The failure that `response` tells of; `None` if it is what it should be.
    fn failure(&self, response: &Response) -> Option<Error>;
}

impl<Response, F: Fn(&Response) -> Option<Error>> Judge<Response> for F {
    #[inline]
    fn failure(&self, response: &Response) -> Option<Error> {
        self(response)
    }
}

/// The judge that finds all answers good.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllGood;

impl<Response> Judge<Response> for AllGood {
    #[inline]
    fn failure(&self, _response: &Response) -> Option<Error> {
        None
    }
}

/// Writes into answers what a rate limiter decided: the `RateLimit` headers of HTTP.
///
/// A function of a decision and an answer is one.
pub trait Announce<Response> {
    /// Writes `decision`, which let the request of `response` go on, into `response`.
    fn announce(&self, decision: &RateDecision, response: &mut Response);
}

impl<Response, F: Fn(&RateDecision, &mut Response)> Announce<Response> for F {
    #[inline]
    fn announce(&self, decision: &RateDecision, response: &mut Response) {
        self(decision, response);
    }
}

/// Leaves answers as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl<Response> Announce<Response> for Silent {
    #[inline]
    fn announce(&self, _decision: &RateDecision, _response: &mut Response) {}
}

/// An attempt that failed: by an error, or by an answer that tells of one.
pub(super) struct Failed<Response> {
    pub(super) error: Error,
    pub(super) answer: Option<Response>,
}

impl<Response> Failed<Response> {
    /// What the caller gets: the answer if there is one, else `error`, made of this one's.
    pub(super) fn end(self, error: impl FnOnce(Error) -> Error) -> Result<Response, Error> {
        match self.answer {
            Some(answer) => Ok(answer),
            None => Err(error(self.error)),
        }
    }
}

impl<Response> fmt::Debug for Failed<Response> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failed").field("error", &self.error).finish_non_exhaustive()
    }
}

/// What `judge` thinks of the end of an attempt.
#[inline]
pub(super) fn judged<Response>(
    judge: &impl Judge<Response>,
    result: Result<Response, Error>,
) -> Result<Response, Failed<Response>> {
    match result {
        Ok(answer) => match judge.failure(&answer) {
            None => Ok(answer),
            Some(error) => Err(Failed { error, answer: Some(answer) }),
        },
        Err(error) => Err(Failed { error, answer: None }),
    }
}
