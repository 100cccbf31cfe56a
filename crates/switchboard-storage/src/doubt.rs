//! Whether a write has happened already whose answer was lost, and who could tell.

use std::sync::{Mutex, MutexGuard, PoisonError};

use switchboard_core::{Error, ErrorKind, Name, Outcome, Result};

use crate::driver::Write;

/// Whether a write may have happened in an attempt that gave no answer, kept from attempt to attempt of one call.
#[derive(Debug, Default)]
pub(crate) struct Doubt(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    asked: Asked,
    /// How the last attempt failed that may have happened, where it lived to tell.
    failure: Option<Error>,
    /// Whether somebody else was to be asked, who could not know.
    was_elsewhere: bool,
}

/// Who may have done it.
#[derive(Debug, Default, PartialEq, Eq)]
enum Asked {
    #[default]
    Nobody,
    Instance(Name),
    /// Another process.
    Somebody,
}

impl Doubt {
    /// It may have happened before, in another process.
    pub(crate) fn entered() -> Self {
        Self(Mutex::new(State { asked: Asked::Somebody, ..State::default() }))
    }

    /// An attempt at `instance` begins: until it has answered, and if it never does, it may have happened.
    /// `true` if it may have happened there before.
    ///
    /// A write with a mark is known again where it was stored, and nowhere else: what another member of a group
    /// answers would be about another object.
    pub(crate) fn enter(&self, instance: &Name, write: &Write) -> Result<bool> {
        let mut state = self.state();
        let is_elsewhere = matches!(&state.asked, Asked::Instance(asked) if asked != instance);
        if is_elsewhere && write.write_id.is_some() {
            state.was_elsewhere = true;
            // An answer, so that nobody else is asked either.
            return Err(Error::new(ErrorKind::Conflict, UNTOLD).with_outcome(Outcome::Unknown));
        }
        let was_in_doubt = state.asked != Asked::Nobody;
        if !was_in_doubt {
            state.asked = Asked::Instance(instance.clone());
        }
        Ok(was_in_doubt)
    }

    /// The attempt has answered.
    pub(crate) fn leave<T>(&self, was_in_doubt: bool, answer: &Result<T>) {
        let mut state = self.state();
        match answer {
            Err(error) if error.outcome() != Outcome::NotApplied => {
                state.failure = Some(error.clone());
            }
            _ if !was_in_doubt => state.asked = Asked::Nobody,
            _ => {}
        }
    }

    /// What `error` is in truth, if it is about somebody who could not know.
    pub(crate) fn explained(&self, error: Error) -> Error {
        let state = self.state();
        if !state.was_elsewhere {
            return error;
        }
        let unknown = Error::new(ErrorKind::Unavailable, UNTOLD).with_outcome(Outcome::Unknown);
        match &state.failure {
            Some(failure) => unknown.with_source(failure.clone()),
            None => unknown,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const UNTOLD: &str =
    "it is not known whether the object was stored, and the one that was asked does not tell";
