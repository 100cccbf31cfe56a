//! What a transaction met of others, and so whether running it again may help.

use switchboard_core::{Error, ErrorKind, Outcome, Retry};

use super::occupied::Level;
use crate::Dialect;
use crate::driver::context;

/// The worst that was met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Met {
    #[default]
    Nobody,
    /// Others held a lock for too long, by which nothing failed but a statement in this savepoint.
    Lock(Level),
    /// That, and all that was done in the savepoint was taken back.
    LockTakenBack,
    /// Another transaction, by which all of this one is lost.
    Another,
}

impl Met {
    /// `error` came of something that was done in the savepoint `level`.
    pub(super) fn note(&mut self, error: &Error, level: Level, dialect: Option<&Dialect>) {
        if !is_conflict(error) {
            return;
        }
        *self = match *self {
            Self::Another => Self::Another,
            _ if !is_about_a_lock(error, dialect) => Self::Another,
            Self::Lock(known) => Self::Lock(known.min(level)),
            Self::Nobody | Self::LockTakenBack => Self::Lock(level),
        };
    }

    /// What was done in the savepoint `inner`, and in those inside of it, belongs to `outer` now.
    pub(super) fn released(&mut self, inner: Level, outer: Level) {
        if let Self::Lock(level) = self
            && *level >= inner
        {
            *level = outer;
        }
    }

    /// All that was done in the savepoint `level`, and in those inside of it, was taken back.
    pub(super) fn taken_back(&mut self, level: Level) {
        if matches!(self, Self::Lock(known) if *known >= level) {
            *self = Self::LockTakenBack;
        }
    }

    /// Whoever was told goes on with the transaction all the same, and does not give it up for that.
    pub(super) fn went_on(&mut self) {
        if *self == Self::LockTakenBack {
            *self = Self::Nobody;
        }
    }

    /// Whether the whole may succeed when it is run again.
    pub(super) fn may_pass(self) -> bool {
        self != Self::Nobody
    }
}

/// Whether the whole transaction may succeed when it is run again.
pub(super) fn is_conflict(error: &Error) -> bool {
    error.kind() == ErrorKind::Conflict
        && error.outcome() == Outcome::NotApplied
        && matches!(error.retry(), Retry::Later | Retry::After(_))
}

/// Whether a conflict ended no more than its statement.
fn is_about_a_lock(error: &Error, dialect: Option<&Dialect>) -> bool {
    let code = error.context_value(context::CODE);
    code.zip(dialect).is_some_and(|(code, of)| of.lock_codes.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    static DIALECT: Dialect = Dialect { lock_codes: &["lock"], ..Dialect::STANDARD };

    fn after(levels: &[Level]) -> Met {
        let mut met = Met::default();
        for level in levels {
            met.note(&conflict("lock"), *level, Some(&DIALECT));
        }
        met
    }

    fn conflict(code: &'static str) -> Error {
        let conflict = Error::new(ErrorKind::Conflict, "others").retry_later().not_applied();
        conflict.with_context(context::CODE, code)
    }

    #[test]
    fn a_lock_is_forgotten_where_its_savepoint_was_taken_back_and_others_go_on() {
        let mut met = after(&[3]);
        met.taken_back(2);
        assert!(met.may_pass(), "who is told may give all of it up");
        met.went_on();
        assert!(!met.may_pass());
    }

    #[test]
    fn a_lock_outside_of_what_was_taken_back_is_kept() {
        let mut met = after(&[1, 3]);
        met.taken_back(2);
        met.went_on();
        assert!(met.may_pass());
        let mut released = after(&[3]);
        released.released(2, 1);
        released.taken_back(2);
        released.went_on();
        assert!(released.may_pass());
    }

    #[test]
    fn another_transaction_is_never_forgotten() {
        for code in ["deadlock", "lock"] {
            let mut met = after(&[1]);
            met.note(&conflict("deadlock"), 1, Some(&DIALECT));
            met.note(&conflict(code), 1, Some(&DIALECT));
            met.taken_back(1);
            met.went_on();
            assert!(met.may_pass());
        }
    }

    #[test]
    fn what_may_have_happened_is_no_conflict() {
        let mut met = Met::default();
        met.note(&conflict("lock").in_doubt(), 0, Some(&DIALECT));
        met.note(&conflict("lock").with_retry(Retry::Never), 0, Some(&DIALECT));
        assert!(!met.may_pass());
    }
}
