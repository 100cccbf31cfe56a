//! What can be asked of a transaction.

use std::time::Duration;

use crate::Isolation;
use crate::driver::Begin;

/// What is asked of a transaction; what is not said is as the instance is configured.
///
/// ```
/// use std::time::Duration;
/// use switchboard_database::{Isolation, TransactionOptions};
///
/// let report = TransactionOptions::new()
///     .isolation(Isolation::RepeatableRead)
///     .read_only()
///     .timeout(Duration::from_secs(30));
/// # let _ = report;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "it does nothing until a transaction is begun with it"]
pub struct TransactionOptions {
    pub(crate) begin: Begin,
    pub(crate) timeout: Option<Duration>,
    pub(crate) retries: Option<u32>,
    pub(crate) is_long: bool,
}

impl TransactionOptions {
    /// As the instance is configured.
    pub fn new() -> Self {
        Self::default()
    }

    /// How far it is kept from what others do at the same time.
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.begin.isolation = Some(isolation);
        self
    }

    /// It only reads.
    pub fn read_only(mut self) -> Self {
        self.begin.is_read_only = true;
        self
    }

    /// It may wait for a moment in which it cannot fail, where the server knows that.
    pub fn deferrable(mut self) -> Self {
        self.begin.is_deferrable = true;
        self
    }

    /// How long it may take in all, from when it is asked for: waiting for its connection is part of it, and
    /// the commit, once that is sent, is not.
    ///
    /// When the time is over its body is dropped wherever it waits, the transaction is rolled back, and the
    /// answer is [`ErrorKind::Timeout`](switchboard_core::ErrorKind::Timeout); its outcome says what became
    /// of a transaction that the body had ended by hand. One that nobody's body is in
    /// ([`begin`](crate::Database::begin)) lasts until it is ended, and what is asked in it fails.
    ///
    /// The time is counted anew each time the transaction is run again, so that what bounds one run does not
    /// depend on whom the others met. What bounds all of them together is the
    /// [`Deadline`](switchboard_core::Deadline) around the call, which ends a body just so.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long one statement in it may take, as the server measures.
    pub fn statement_timeout(mut self, timeout: Duration) -> Self {
        self.begin.statement_timeout = Some(timeout);
        self
    }

    /// How long one statement in it may wait for a lock.
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.begin.lock_timeout = Some(timeout);
        self
    }

    /// How often the whole of it is run again when it met another transaction.
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = Some(retries);
        self
    }

    /// It takes long, and is not told of as leaked.
    pub fn expect_long(mut self) -> Self {
        self.is_long = true;
        self
    }
}
