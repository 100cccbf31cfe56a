//! What one call can become at worst: how long it takes, and how often a driver is asked.
//!
//! Reckons with the gates alone. Not in it are the building of an instance that nobody has used yet,
//! which only a deadline covers, and the pauses that a service itself asks for.

use std::time::Duration;

use switchboard_core::{HedgeAfter, Policy};

/// The worst that one call can become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Worst {
    /// `None` if nothing ends it.
    pub(super) time: Option<Duration>,
    pub(super) attempts: u32,
}

impl Worst {
    /// Of a call through the gates of `policy`.
    pub(super) fn of(policy: &Policy) -> Self {
        let time = policy.deadline.or_else(|| time_of_gates(policy));
        Self { time, attempts: attempts(policy).saturating_mul(1 + hedges(policy)) }
    }

    /// Of a call that asks these one after the other, until the deadline.
    pub(super) fn in_turn(members: impl Iterator<Item = Self>, deadline: Option<Duration>) -> Self {
        let none = Self { time: Some(Duration::ZERO), attempts: 0 };
        let all = members.fold(none, |all, member| Self {
            time: all.time.zip(member.time).map(|(all, member)| all.saturating_add(member)),
            attempts: all.attempts.saturating_add(member.attempts),
        });
        let time = [all.time, deadline].into_iter().flatten().min();
        Self { time, ..all }
    }
}

/// The attempts of one call, those beside others not counted.
pub(super) fn attempts(policy: &Policy) -> u32 {
    policy.retry.as_ref().map_or(1, |retry| retry.attempts)
}

/// The longest waits of the back-off, all together.
pub(super) fn backoff(policy: &Policy) -> Duration {
    let Some(retry) = &policy.retry else { return Duration::ZERO };
    let doubled = |wait: &Duration| Some(wait.saturating_mul(2).min(retry.backoff.max));
    let waits = std::iter::successors(Some(retry.backoff.first), doubled);
    let retries = usize::try_from(retry.attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    waits.take(retries).fold(Duration::ZERO, Duration::saturating_add)
}

/// The longest waits in front of the first attempt: for a token, then for a slot.
pub(super) fn entering(policy: &Policy) -> Duration {
    wait_for_token(policy).saturating_add(wait_for_slot(policy))
}

fn time_of_gates(policy: &Policy) -> Option<Duration> {
    let attempts = attempts(policy);
    let running = attempt_with_hedges(policy)?.saturating_mul(attempts);
    let between = entering_again(policy).saturating_mul(attempts.saturating_sub(1));
    let waiting = entering(policy).saturating_add(backoff(policy)).saturating_add(between);
    Some(running.saturating_add(waiting))
}

/// From the start of an attempt to the end of the last one that runs beside it.
fn attempt_with_hedges(policy: &Policy) -> Option<Duration> {
    let alone = policy.attempt_timeout?;
    let later = match policy.hedge.map(|hedge| hedge.after) {
        Some(HedgeAfter::Delay(delay)) => delay,
        // Whatever was observed, each starts before the one in front of it has ended.
        _ => alone,
    };
    Some(alone.saturating_add(later.saturating_mul(hedges(policy))))
}

/// The longest waits in front of each further attempt.
fn entering_again(policy: &Policy) -> Duration {
    let pays = policy.retry.as_ref().is_some_and(|retry| retry.charge_limiter);
    let keeps_slot = policy.bulkhead.is_some_and(|bulkhead| bulkhead.hold_while_waiting);
    let token = if pays { wait_for_token(policy) } else { Duration::ZERO };
    let slot = if keeps_slot { Duration::ZERO } else { wait_for_slot(policy) };
    token.saturating_add(slot)
}

fn wait_for_token(policy: &Policy) -> Duration {
    policy.rate_limit.map_or(Duration::ZERO, |limit| limit.wait)
}

fn wait_for_slot(policy: &Policy) -> Duration {
    let waits = policy.bulkhead.filter(|bulkhead| bulkhead.queue > 0);
    waits.map_or(Duration::ZERO, |bulkhead| bulkhead.wait)
}

fn hedges(policy: &Policy) -> u32 {
    policy.hedge.map_or(0, |hedge| hedge.max)
}
