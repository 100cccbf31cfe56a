//! One sink that is several.
//!
//! Everything goes to all of them at the same time, and all of them are waited for: sent, started,
//! checked and ended. Which of several to ask is not its question; that is what groups are for.

use std::collections::HashSet;
use std::fmt;
use std::iter::{repeat_n, zip};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use switchboard_core::{
    Class, Error, ErrorKind, Health, Lifecycle, Outcome, Reply, Result, Retry, Status,
};

use super::contained;
use crate::{Provider, Sink};

/// A sink that sends each input to several others, all at the same time.
///
/// A send ends when every sink has answered, and succeeds when all of them took the input. Otherwise
/// the error holds those of all sinks that failed, each with its `sink` in the context, and
///
/// - its outcome is the one that all sinks share, where having taken the input counts as
///   [`Outcome::Applied`]; where they differ it is [`Outcome::Unknown`], so that it is sent again, to
///   all of them, only if that is harmless;
/// - its advice is that of the sink that is the least likely to take it next time;
/// - it is an outage if one of the sinks had one.
///
/// A sink that panics has failed like any other and cuts off none beside it. A send that is dropped
/// drops all.
///
/// The sinks belong to it: they are started with it and ended with it. It is as well as the worst of
/// them, and available when all of them are.
///
/// ```
/// use std::sync::Arc;
/// use switchboard_core::{Error, ErrorKind};
/// use switchboard_provider::{FanOut, Sink, function};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> switchboard_core::Result<()> {
/// let audit = function::sink("audit", |line: String| async move {
/// #   assert_eq!(line, "paid");
///     println!("{line}");
///     Ok(())
/// });
/// let pager = function::sink("pager", |_: String| async {
///     Err(Error::new(ErrorKind::Unavailable, "nobody is there"))
/// });
/// let audit: Arc<dyn Sink<String>> = Arc::new(audit);
/// let all = FanOut::new("all", [("audit", audit), ("pager", Arc::new(pager))])?;
///
/// let error = all.send("paid".to_owned()).await.unwrap_err();
/// assert_eq!(error.related()[0].context_value("sink"), Some("pager"));
///
/// let report = all.send_each("paid".to_owned()).await;
/// assert_eq!((report[0].0, report[0].1.is_ok()), ("audit", true));
/// # Ok(()) }
/// ```
pub struct FanOut<I> {
    name: String,
    sinks: Vec<Member<I>>,
}

/// One of the sinks.
struct Member<I> {
    name: String,
    sink: Arc<dyn Sink<I>>,
    /// So that none is closed twice: after a failed start it is, before whoever started it closes.
    is_closed: AtomicBool,
}

impl<I: 'static> FanOut<I> {
    /// A sink called `name` that sends to all of `sinks`, each under its own name.
    ///
    /// With no sink, with more than [`SINKS_MAX`](Self::SINKS_MAX), or with two of one name it is an
    /// error.
    pub fn new<N: Into<String>>(
        name: impl Into<String>,
        sinks: impl IntoIterator<Item = (N, Arc<dyn Sink<I>>)>,
    ) -> Result<Self> {
        let name = name.into();
        let sinks: Vec<Member<I>> = sinks.into_iter().map(Member::new).collect();
        if sinks.is_empty() || sinks.len() > Self::SINKS_MAX {
            return Err(wrong("a fan-out has between 1 and 64 sinks", &name)
                .with_context("sinks", sinks.len()));
        }
        let mut names = HashSet::new();
        match sinks.iter().find(|member| !names.insert(&member.name)) {
            Some(twin) => Err(wrong("two sinks of a fan-out have one name", &name)
                .with_context("sink", &twin.name)),
            None => Ok(Self { name, sinks }),
        }
    }

    /// The names of the sinks, in the order in which they were given.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sinks.iter().map(|member| member.name.as_str())
    }

    /// To how many sinks one input goes at most.
    pub const SINKS_MAX: usize = 64;

    async fn close_all(&self) -> Vec<Error> {
        let closings = self.sinks.iter().map(|member| member.answer(member.close()));
        errors_of(join_all(closings).await)
    }
}

impl<I: Clone + Send + 'static> FanOut<I> {
    /// What became of `input` at each sink, by its name, in the order in which they were given.
    pub async fn send_each(&self, input: I) -> Vec<(&str, Result<()>)> {
        let copies = repeat_n(input, self.sinks.len());
        let sends = zip(&self.sinks, copies)
            .map(|(member, copy)| member.answer(async { member.sink.send(copy).await }));
        join_all(sends).await
    }
}

impl<I: Clone + Send + 'static> Sink<I> for FanOut<I> {
    fn send(&self, input: I) -> Reply<'_, ()> {
        Reply::run(async {
            let answers = self.send_each(input).await;
            let outcome = shared_outcome(&answers);
            let errors = errors_of(answers);
            if errors.is_empty() {
                return Ok(());
            }
            let retry = errors.iter().map(Error::retry).reduce(later).unwrap_or(Retry::Never);
            let failed = format!("{} of {} sinks", errors.len(), self.sinks.len());
            Err(joined("not every sink took the input", errors)
                .with_context("failed", failed)
                .with_outcome(outcome)
                .with_retry(retry))
        })
    }
}

impl<I: 'static> Lifecycle for FanOut<I> {
    /// Starts all sinks; if one fails, all are closed again. A start that was dropped is undone by
    /// closing, as that of any driver.
    fn init(&self) -> Reply<'_, ()> {
        Reply::run(async {
            let starts =
                self.sinks.iter().map(|member| member.answer(async { member.sink.init().await }));
            let errors = errors_of(join_all(starts).await);
            if errors.is_empty() {
                return Ok(());
            }
            let left_open = self.close_all().await;
            Err(joined("not every sink could be started", errors).with_related(left_open))
        })
    }

    fn health(&self) -> Reply<'_, Health> {
        Reply::run(async {
            let checks =
                self.sinks.iter().map(|member| member.answer(async { member.sink.health().await }));
            Ok(worst(join_all(checks).await))
        })
    }

    /// Closes all sinks that are not closed yet, whatever becomes of the others.
    fn close(&self) -> Reply<'_, ()> {
        Reply::run(async {
            match self.close_all().await {
                errors if errors.is_empty() => Ok(()),
                errors => Err(joined("not every sink closed", errors)),
            }
        })
    }
}

impl<I: 'static> Provider for FanOut<I> {
    fn name(&self) -> &str {
        &self.name
    }

    /// Whether all sinks are available; an error names those that are not.
    fn is_available(&self) -> Reply<'_, bool> {
        Reply::run(async {
            let asked = self.sinks.iter().map(|member| member.answer(member.available()));
            match errors_of(join_all(asked).await) {
                errors if errors.is_empty() => Ok(true),
                errors => Err(joined("not every sink is available", errors)),
            }
        })
    }
}

impl<I: 'static> fmt::Debug for FanOut<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.names().collect();
        f.debug_struct("FanOut").field("name", &self.name).field("sinks", &names).finish()
    }
}

impl<I: 'static> Member<I> {
    fn new((name, sink): (impl Into<String>, Arc<dyn Sink<I>>)) -> Self {
        Self { name: name.into(), sink, is_closed: AtomicBool::new(false) }
    }

    /// What comes of `asked`, under the name of the sink that was asked.
    async fn answer<T>(&self, asked: impl Future<Output = Result<T>>) -> (&str, Result<T>) {
        let answer = contained(asked).await;
        (&self.name, answer.map_err(|error| error.with_context("sink", &self.name)))
    }

    async fn available(&self) -> Result<()> {
        if self.sink.is_available().await? {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unavailable, "the sink is not available"))
    }

    async fn close(&self) -> Result<()> {
        if self.is_closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.sink.close().await
    }
}

fn wrong(message: &'static str, fan_out: &str) -> Error {
    Error::new(ErrorKind::Config, message).with_context("fan_out", fan_out)
}

fn errors_of<T>(answers: Vec<(&str, Result<T>)>) -> Vec<Error> {
    answers.into_iter().filter_map(|(_, answer)| answer.err()).collect()
}

/// One error for those of several sinks; an outage only if one of them is.
fn joined(message: &'static str, errors: Vec<Error>) -> Error {
    match errors.first().map(Error::kind) {
        Some(kind) if errors.iter().all(|error| error.class() != Class::Outage) => {
            Error::new(kind, message).with_related(errors)
        }
        _ => Error::joined(message, errors),
    }
}

/// What is true of the input at every sink; nobody can say it where they differ.
fn shared_outcome(answers: &[(&str, Result<()>)]) -> Outcome {
    let outcome_of = |answer: &Result<()>| match answer {
        Ok(()) => Outcome::Applied,
        Err(error) => error.outcome(),
    };
    answers
        .iter()
        .map(|(_, answer)| outcome_of(answer))
        .reduce(|one, other| if one == other { one } else { Outcome::Unknown })
        .unwrap_or(Outcome::NotApplied)
}

/// The advice that both can follow: all sinks have to take the input.
fn later(one: Retry, other: Retry) -> Retry {
    match (one, other) {
        (Retry::Never, _) | (_, Retry::Never) => Retry::Never,
        (Retry::Exhausted, _) | (_, Retry::Exhausted) => Retry::Exhausted,
        (Retry::After(one), Retry::After(other)) => Retry::After(one.max(other)),
        (Retry::After(delay), _) | (_, Retry::After(delay)) => Retry::After(delay),
        (Retry::Later, Retry::Later) => Retry::Later,
        // Advice that is not known here is not followed.
        _ => Retry::Never,
    }
}

/// The worst of all verdicts, with what each sink says that is not well.
fn worst(answers: Vec<(&str, Result<Health>)>) -> Health {
    let verdicts = answers
        .into_iter()
        .map(|(name, answer)| (name, answer.unwrap_or_else(Health::from)))
        .collect::<Vec<_>>();
    let mut health = Health::up();
    health.status = verdicts.iter().map(|(_, health)| health.status).max().unwrap_or(Status::Up);
    let reasons: Vec<_> =
        verdicts.iter().filter_map(|(name, health)| reason(name, health)).collect();
    health.reason = (!reasons.is_empty()).then(|| reasons.join("; "));
    health
}

/// Why a sink is not up, and which; nothing where nobody has looked.
fn reason(name: &str, health: &Health) -> Option<String> {
    match (health.status, &health.reason) {
        (Status::Up | Status::NotChecked, _) => None,
        (status, Some(reason)) => Some(format!("{name} is {status}: {reason}")),
        (status, None) => Some(format!("{name} is {status}")),
    }
}
