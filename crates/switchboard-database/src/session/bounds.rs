//! What bounds a transaction: when its time is over, and how often it is run again.
//!
//! What is asked of it holds; what is not asked is as it is configured where it is served, which is known
//! once it has begun.

use std::future::pending;
use std::time::{Duration, Instant};

use switchboard_core::{Clock, Deadline};
use tokio::sync::SetOnce;

use crate::{TransactionConfig, TransactionOptions};

/// When a transaction began to be waited for, and what bounds it from there on.
#[derive(Debug)]
pub(crate) struct Bounds {
    began: Instant,
    timeout: Option<Duration>,
    retries: Option<u32>,
    served: SetOnce<TransactionConfig>,
}

impl Bounds {
    /// From now on, as `options` ask for it.
    pub(crate) fn new(options: &TransactionOptions, clock: &Clock) -> Self {
        let TransactionOptions { timeout, retries, .. } = *options;
        Self { began: clock.now(), timeout, retries, served: SetOnce::new() }
    }

    /// It has begun where transactions are configured so.
    pub(crate) fn serve(&self, config: &TransactionConfig) {
        // It begins once, so that the first word is the only one.
        self.served.set(config.clone()).ok();
    }

    /// When its time is over, as far as is known now.
    pub(crate) fn deadline(&self) -> Option<Deadline> {
        self.after(self.timeout.or_else(|| configured(self.served.get()?)))
    }

    /// When its time is over if it is served where transactions are configured so.
    pub(crate) fn deadline_with(&self, config: &TransactionConfig) -> Option<Deadline> {
        self.after(self.timeout.or_else(|| configured(config)))
    }

    /// Ends when its time is over, or at the deadline around it.
    pub(crate) async fn over(&self, around: Option<Deadline>) {
        let over = async {
            if self.timeout.is_none() {
                self.served.wait().await;
            }
            match self.deadline() {
                Some(deadline) => tokio::time::sleep_until(deadline.moment().into()).await,
                None => pending().await,
            }
        };
        match around {
            Some(around) => {
                tokio::time::timeout_at(around.moment().into(), over).await.ok();
            }
            None => over.await,
        }
    }

    /// How long it has taken.
    pub(crate) fn took(&self, clock: &Clock) -> Duration {
        clock.now().saturating_duration_since(self.began)
    }

    /// The longest wait before it is run again, which it was `times` before; `None` if it is not.
    pub(crate) fn wait_before_again(&self, times: u32) -> Option<Duration> {
        let config = self.served.get()?;
        let is_again = times < self.retries.unwrap_or(config.retries);
        is_again.then(|| config.backoff.saturating_mul(1 << times.min(10)))
    }

    fn after(&self, timeout: Option<Duration>) -> Option<Deadline> {
        // What cannot be told as a moment never comes.
        self.began.checked_add(timeout?).map(Deadline::at)
    }
}

fn configured(config: &TransactionConfig) -> Option<Duration> {
    (!config.timeout.is_zero()).then_some(config.timeout)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn config(timeout: Duration) -> TransactionConfig {
        TransactionConfig { timeout, retries: 2, backoff: SECOND, ..TransactionConfig::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_configured_counts_from_when_the_transaction_was_asked_for() {
        let clock = Clock::system();
        let bounds = Bounds::new(&TransactionOptions::new(), &clock);
        tokio::time::advance(SECOND).await;
        assert_eq!(bounds.deadline(), None);
        assert_eq!(bounds.wait_before_again(0), None);
        bounds.serve(&config(3 * SECOND));
        let before = clock.now();
        bounds.over(None).await;
        assert_eq!(clock.now() - before, 2 * SECOND);
        assert_eq!(bounds.took(&clock), 3 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_holds_whatever_is_configured() {
        let clock = Clock::system();
        let options = TransactionOptions::new().timeout(2 * SECOND).retries(1);
        let bounds = Bounds::new(&options, &clock);
        let until = bounds.deadline();
        bounds.serve(&config(SECOND));
        assert_eq!(bounds.deadline(), until);
        let waits = [0, 1].map(|times| bounds.wait_before_again(times));
        assert_eq!(waits, [Some(SECOND), None]);
        bounds.over(None).await;
        assert_eq!(bounds.took(&clock), 2 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_only_the_deadline_around_comes() {
        let clock = Clock::system();
        let bounds = Bounds::new(&TransactionOptions::new(), &clock);
        bounds.serve(&config(Duration::ZERO));
        bounds.over(Some(Deadline::within(&clock, SECOND))).await;
        assert_eq!(bounds.took(&clock), SECOND);
        tokio::time::advance(1_000_000 * SECOND).await;
        assert_eq!(bounds.over(None).now_or_never(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn waits_double_and_end() {
        let bounds = Bounds::new(&TransactionOptions::new(), &Clock::system());
        bounds.serve(&config(SECOND));
        let waits = [0, 1, 2].map(|times| bounds.wait_before_again(times));
        assert_eq!(waits, [Some(SECOND), Some(2 * SECOND), None]);
    }
}
