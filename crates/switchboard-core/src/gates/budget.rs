//! Bounds the load that retries and hedges add, over all calls of a line together.
//!
//! Each of them costs; success earns. While most calls succeed the budget is full and nobody
//! notices it; in an outage it runs dry, and calls fail with their first error.

use std::sync::atomic::{AtomicU32, Ordering};

use schemars::JsonSchema;
use serde::Deserialize;

use super::mistakes::Mistakes;
use crate::{Error, ErrorKind, Result};

/// What a [`RetryBudget`] holds, and what it charges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetPolicy {
    /// How many tokens there are when nothing has failed for a while.
    pub tokens: u32,
    /// What a retry costs, and a hedge.
    pub retry_cost: u32,
    /// What a retry after a time-out costs: more, because waiting for an answer that does not come
    /// is what a service in trouble makes everybody do.
    pub timeout_cost: u32,
}

/// A store of tokens that pays for retries and hedges.
///
/// A call that succeeds at once earns one token; one that a retry or a hedge has answered gets back
/// what that one cost.
///
/// ```
/// use switchboard_core::{BudgetPolicy, Error, ErrorKind, RetryBudget};
///
/// let budget = RetryBudget::new(BudgetPolicy { tokens: 12, ..BudgetPolicy::default() })?;
/// let error = Error::new(ErrorKind::Unavailable, "no connection");
///
/// let first = budget.withdraw(&error).ok_or(error.clone())?;
/// let _failed = budget.withdraw(&error).ok_or(error.clone())?;
/// assert!(budget.withdraw(&error).is_none(), "two tokens are left, and a retry costs five");
/// budget.retry_succeeded(first);
/// assert_eq!(budget.tokens(), 7);
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct RetryBudget {
    tokens: AtomicU32,
    policy: BudgetPolicy,
}

/// What one retry or hedge was charged. It is spent, unless that one succeeds.
#[derive(Debug)]
#[must_use = "a retry that succeeds earns back what it was charged"]
pub struct Withdrawal(u32);

impl RetryBudget {
    /// A full budget.
    pub fn new(policy: BudgetPolicy) -> Result<Self> {
        policy.check()?;
        Ok(Self::full(policy))
    }

    /// Charges the retry that would follow `error`; `None` if there is not enough left.
    pub fn withdraw(&self, error: &Error) -> Option<Withdrawal> {
        self.take(self.cost(error))
    }

    /// Charges an attempt that is to start beside one that has not answered; `None` if there is not
    /// enough left.
    pub fn withdraw_for_hedge(&self) -> Option<Withdrawal> {
        self.take(self.policy.retry_cost)
    }

    /// A call succeeded at its first attempt.
    #[inline]
    pub fn call_succeeded(&self) {
        self.deposit(1);
    }

    /// The retry or hedge that was charged `withdrawal` was not made.
    #[expect(clippy::needless_pass_by_value, reason = "consumed, so as not to be paid back twice")]
    pub fn give_back(&self, withdrawal: Withdrawal) {
        self.deposit(withdrawal.0);
    }

    /// The retry or hedge that was charged `withdrawal` succeeded.
    #[expect(clippy::needless_pass_by_value, reason = "consumed, so as not to be paid back twice")]
    pub fn retry_succeeded(&self, withdrawal: Withdrawal) {
        self.deposit(withdrawal.0);
    }

    /// How many tokens are left.
    pub fn tokens(&self) -> u32 {
        self.tokens.load(Ordering::Relaxed)
    }

    /// What it holds when full, and what it charges.
    pub fn policy(&self) -> &BudgetPolicy {
        &self.policy
    }

    fn full(policy: BudgetPolicy) -> Self {
        Self { tokens: AtomicU32::new(policy.tokens), policy }
    }

    fn take(&self, cost: u32) -> Option<Withdrawal> {
        let paid = self
            .tokens
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |tokens| tokens.checked_sub(cost));
        paid.ok().map(|_| Withdrawal(cost))
    }

    fn cost(&self, error: &Error) -> u32 {
        match error.kind() {
            ErrorKind::Timeout => self.policy.timeout_cost,
            _ => self.policy.retry_cost,
        }
    }

    #[inline]
    fn deposit(&self, tokens: u32) {
        // Full is the usual case, and then there is nothing to write.
        if self.tokens() < self.policy.tokens {
            self.tokens.update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.saturating_add(tokens).min(self.policy.tokens)
            });
        }
    }
}

impl BudgetPolicy {
    /// Finds out whether the settings make sense, all of them at once.
    pub fn check(&self) -> Result<()> {
        let mut mistakes = Mistakes::of("retry.budget");
        let affordable = 1..=self.tokens;
        mistakes.require(self.tokens > 0, "tokens", self.tokens, "at least one token is needed");
        mistakes.require(
            affordable.contains(&self.retry_cost),
            "retry_cost",
            self.retry_cost,
            "a retry must cost something, and no more than there is",
        );
        mistakes.require(
            affordable.contains(&self.timeout_cost),
            "timeout_cost",
            self.timeout_cost,
            "a retry must cost something, and no more than there is",
        );
        mistakes.into_result()
    }
}

impl Default for BudgetPolicy {
    fn default() -> Self {
        Self { tokens: 500, retry_cost: 5, timeout_cost: 10 }
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self::full(BudgetPolicy::default())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn failure(is_timeout: bool) -> Error {
        let kind = if is_timeout { ErrorKind::Timeout } else { ErrorKind::Unavailable };
        Error::new(kind, "failed")
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Success,
        Retry { is_timeout: bool, succeeds: bool },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let retry = (any::<bool>(), prop::bool::weighted(0.3))
            .prop_map(|(is_timeout, succeeds)| Step::Retry { is_timeout, succeeds });
        prop::collection::vec(prop_oneof![Just(Step::Success), retry], 0..300)
    }

    proptest! {
        #[test]
        fn the_tokens_are_those_of_a_plain_sum(tokens in 10..60_u32, steps in steps()) {
            let policy = BudgetPolicy { tokens, ..BudgetPolicy::default() };
            let budget = RetryBudget::new(policy).unwrap();
            let mut expected = tokens;
            for step in steps {
                match step {
                    Step::Success => {
                        budget.call_succeeded();
                        expected = (expected + 1).min(tokens);
                    }
                    Step::Retry { is_timeout, succeeds } => {
                        let cost = if is_timeout { 10 } else { 5 };
                        let withdrawal = budget.withdraw(&failure(is_timeout));
                        prop_assert_eq!(withdrawal.is_some(), expected >= cost);
                        let Some(withdrawal) = withdrawal else { continue };
                        expected -= cost;
                        if succeeds {
                            budget.retry_succeeded(withdrawal);
                            expected = (expected + cost).min(tokens);
                        }
                    }
                }
                prop_assert_eq!(budget.tokens(), expected);
            }
        }
    }

    #[test]
    fn many_threads_together_never_spend_more_than_there_is() {
        let budget = RetryBudget::default();
        let granted = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        if budget.withdraw(&failure(false)).is_some() {
                            granted.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(granted.into_inner(), 100);
        assert_eq!(budget.tokens(), 0);
    }

    #[test]
    fn in_an_outage_retries_add_a_fifth_of_what_succeeds_and_no_more() {
        let budget = RetryBudget::default();
        while budget.withdraw(&failure(false)).is_some() {}
        let mut retries = 0;
        for _ in 0..1000 {
            budget.call_succeeded();
            retries += u32::from(budget.withdraw(&failure(false)).is_some());
        }
        assert_eq!(retries, 200);
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let policy = BudgetPolicy { tokens: 3, retry_cost: 0, timeout_cost: 4 };
        let error = RetryBudget::new(policy).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert_eq!(error.related().len(), 2, "{error}");
    }
}
