//! What the gates of an instance do to each other that nobody can want.
//!
//! Each rule is a function that says what happens, with the numbers, and what to do about it; the two
//! tables below are all of them. A rule is here only if calls suffer from what it tells: that a gate is
//! strict, or has nothing to do, is nobody's harm.

use std::collections::BTreeMap;
use std::time::Duration;

use switchboard_core::settings::DurationText;
use switchboard_core::{BreakerCounts, BreakerPolicy, BreakerWindow, Policy, SelectorChoice};

use super::worst::{self, Worst};

/// An instance with a driver, as far as its gates are concerned.
pub(super) struct Guarded<'g> {
    pub(super) policy: &'g Policy,
    /// Whether the configuration has a policy for it at all.
    pub(super) has_policy: bool,
    /// The name of that policy, if it has one.
    pub(super) policy_name: Option<&'g str>,
    /// Whether its driver speaks to something that may be far away.
    pub(super) is_remote: bool,
}

/// A group, as far as its calls are concerned.
pub(super) struct Choosing<'g> {
    pub(super) deadline: Option<Duration>,
    /// Whether the configuration has a policy for it, and that is empty.
    pub(super) has_empty_policy: bool,
    pub(super) select: SelectorChoice,
    /// The weight of each member, where members are weighted.
    pub(super) weights: &'g BTreeMap<String, u32>,
    pub(super) members: Vec<Member<'g>>,
}

/// A member of a group.
pub(super) struct Member<'g> {
    pub(super) name: &'g str,
    pub(super) worst: Worst,
    /// Whether one can imagine that it does not answer.
    pub(super) may_hang: bool,
}

/// What can be wrong with an instance, the worst first.
const RULES: &[fn(&Guarded<'_>) -> Option<String>] = &[
    nothing_ends_a_call,
    any_pause_is_waited_for,
    timeout_never_comes,
    attempts_do_not_fit,
    waits_use_up_the_deadline,
    breaker_sees_too_few_calls,
    breaker_sees_too_few_hangs,
    probes_are_given_up,
    budget_is_too_small_for_one_call,
    hedge_finds_no_slot,
    policy_is_empty,
];

/// What can be wrong with a group.
const RULES_OF_GROUPS: &[fn(&Choosing<'_>) -> Option<String>] =
    &[member_outlasts_the_group, nobody_to_go_on_to, weights_are_all_zero, group_policy_is_empty];

impl Guarded<'_> {
    pub(super) fn warnings(&self) -> Vec<String> {
        RULES.iter().filter_map(|rule| rule(self)).collect()
    }

    /// Whether one can imagine that it does not answer: it is far away, or somebody guards it.
    pub(super) fn may_hang(&self) -> bool {
        self.is_remote || !self.policy.is_empty()
    }

    /// What ends each attempt.
    fn attempt_max(&self) -> Option<Duration> {
        [self.policy.attempt_timeout, self.policy.deadline].into_iter().flatten().min()
    }

    fn is_retried(&self) -> bool {
        worst::attempts(self.policy) > 1
    }
}

impl Choosing<'_> {
    pub(super) fn warnings(&self) -> Vec<String> {
        RULES_OF_GROUPS.iter().filter_map(|rule| rule(self)).collect()
    }
}

fn nothing_ends_a_call(guarded: &Guarded<'_>) -> Option<String> {
    if !guarded.may_hang() || guarded.attempt_max().is_some() {
        return None;
    }
    let attempts = worst::attempts(guarded.policy);
    let so_that = if guarded.is_retried() {
        format!(", so that the first of {attempts} attempts may hang and none follows")
    } else {
        String::new()
    };
    Some(format!(
        "nothing ends a call that gets no answer{so_that}; set a deadline for the call, and an \
         attempt_timeout for each attempt"
    ))
}

fn any_pause_is_waited_for(guarded: &Guarded<'_>) -> Option<String> {
    let has_no_end = guarded.policy.deadline.is_none() && guarded.policy.attempt_timeout.is_some();
    (has_no_end && guarded.is_retried()).then(|| {
        let attempts = worst::attempts(guarded.policy);
        format!(
            "without a deadline a call waits for each of its {attempts} attempts as long as the \
             service asks for, be it an hour; set a deadline"
        )
    })
}

fn timeout_never_comes(guarded: &Guarded<'_>) -> Option<String> {
    let (timeout, deadline) = (guarded.policy.attempt_timeout?, guarded.policy.deadline?);
    if timeout < deadline {
        return None;
    }
    let attempts = worst::attempts(guarded.policy).max(2);
    let not_again = if guarded.is_retried() { " and is not made again" } else { "" };
    let ([timeout, deadline], part) = (shown([timeout, deadline]), part(deadline, attempts));
    Some(format!(
        "an attempt_timeout of {timeout} never comes, because the deadline of {deadline} ends a call \
         that hangs before it{not_again}; set the attempt_timeout to {part}"
    ))
}

fn attempts_do_not_fit(guarded: &Guarded<'_>) -> Option<String> {
    let (policy, attempts) = (guarded.policy, worst::attempts(guarded.policy));
    let (deadline, waits) = (policy.deadline?, worst::backoff(policy));
    let timeout = policy.attempt_timeout.unwrap_or_default();
    let needed = timeout.saturating_mul(attempts).saturating_add(waits);
    if !guarded.is_retried() || timeout >= deadline || needed <= deadline {
        return None;
    }
    let left = deadline.saturating_sub(waits);
    let shorten = if timeout.is_zero() || left.is_zero() {
        "make fewer attempts or wait less".to_owned()
    } else {
        format!("shorten the attempt_timeout to {}", part(left, attempts))
    };
    let each = if timeout.is_zero() { String::new() } else { format!(" of {}", text(timeout)) };
    let [waits, needed, deadline] = shown([waits, needed, deadline]);
    Some(format!(
        "{attempts} attempts{each} with waits of up to {waits} between them need {needed}, but the \
         deadline is {deadline}, so that the last ones are cut short or not made; set the deadline to \
         {needed}, or {shorten}"
    ))
}

fn waits_use_up_the_deadline(guarded: &Guarded<'_>) -> Option<String> {
    let (policy, deadline) = (guarded.policy, guarded.policy.deadline?);
    let waits = worst::entering(policy);
    if waits < deadline {
        return None;
    }
    let has_wait = [
        ("rate_limit", policy.rate_limit.map(|limit| limit.wait)),
        ("bulkhead", policy.bulkhead.filter(|limit| limit.queue > 0).map(|limit| limit.wait)),
    ];
    let waiting = has_wait.into_iter().filter_map(|(gate, wait)| {
        wait.filter(|wait| !wait.is_zero()).map(|wait| format!("{gate} {}", text(wait)))
    });
    let waiting = waiting.collect::<Vec<_>>().join(", ");
    let [waits, deadline] = shown([waits, deadline]);
    Some(format!(
        "a call may wait {waits} for its turn ({waiting}), which leaves nothing of the deadline of \
         {deadline} for the call itself; wait less, so that calls are refused while they can still be \
         made elsewhere"
    ))
}

fn breaker_sees_too_few_calls(guarded: &Guarded<'_>) -> Option<String> {
    let (breaker, window) = breaker_over_time(guarded.policy)?;
    let limit = guarded.policy.rate_limit?;
    let periods = window.as_secs_f64() / limit.per.as_secs_f64();
    let tokens = as_real(limit.burst) + as_real(limit.rate) * periods;
    let free = match guarded.policy.retry.as_ref().map(|retry| retry.charge_limiter) {
        Some(false) if breaker.counts == BreakerCounts::Attempts => {
            Worst::of(guarded.policy).attempts
        }
        _ => 1,
    };
    let seen = (tokens * f64::from(free)).floor();
    (seen < f64::from(breaker.min_calls)).then(|| {
        too_few(
            breaker,
            window,
            &format!("the rate limit lets no more than {seen:.0} of them pass"),
        )
    })
}

fn breaker_sees_too_few_hangs(guarded: &Guarded<'_>) -> Option<String> {
    let (breaker, window) = breaker_over_time(guarded.policy)?;
    let slots = guarded.policy.bulkhead?.max;
    let attempt = match breaker.counts {
        BreakerCounts::Calls => Worst::of(guarded.policy).time?,
        _ => guarded.attempt_max()?,
    };
    let rounds = window.as_secs_f64() / attempt.as_secs_f64();
    let seen = (rounds.floor() + 1.0) * f64::from(slots);
    (seen < f64::from(breaker.min_calls)).then(|| {
        let why = format!(
            "of a service that hangs it sees no more than {seen:.0}: the bulkhead has {slots} slots, \
             each for up to {}",
            text(attempt)
        );
        too_few(breaker, window, &why)
    })
}

fn probes_are_given_up(guarded: &Guarded<'_>) -> Option<String> {
    let breaker = guarded.policy.breaker.as_ref()?;
    let probe = match breaker.counts {
        BreakerCounts::Calls => Worst::of(guarded.policy).time?,
        _ => guarded.attempt_max()?,
    };
    if probe <= breaker.half_open_for {
        return None;
    }
    let [probe, given_up] = shown([probe, breaker.half_open_for]);
    Some(format!(
        "a call may take {probe}, but a breaker that tries the service again gives it up as failed \
         after {given_up}, and stays open for a slow service that works; set half_open_for to {probe} \
         or more"
    ))
}

fn budget_is_too_small_for_one_call(guarded: &Guarded<'_>) -> Option<String> {
    let retry = guarded.policy.retry.as_ref().filter(|_| guarded.is_retried())?;
    let (what, cost) = if guarded.policy.attempt_timeout.is_some() {
        ("retry after a time-out", retry.budget.timeout_cost)
    } else {
        ("retry", retry.budget.retry_cost)
    };
    let retries = retry.attempts - 1;
    let (paid, tokens) = (retry.budget.tokens / cost.max(1), retry.budget.tokens);
    (paid < retries).then(|| {
        let needed = u64::from(retries) * u64::from(cost);
        format!(
            "one call may want {retries} retries, but the budget of {tokens} tokens pays for {paid} of \
             all calls together ({cost} for a {what}); set retry.budget.tokens to {needed} or more, or \
             make fewer attempts"
        )
    })
}

fn hedge_finds_no_slot(guarded: &Guarded<'_>) -> Option<String> {
    let (hedge, slots) = (guarded.policy.hedge?, guarded.policy.bulkhead?.max);
    let wanted = hedge.max.saturating_add(1);
    (slots < wanted).then(|| {
        let beside = slots.saturating_sub(1);
        format!(
            "an attempt and up to {} beside it need {wanted} slots, but the bulkhead has {slots}, so \
             that never more than {beside} can be started beside it; set bulkhead.max to more than \
             {wanted}",
            hedge.max
        )
    })
}

fn policy_is_empty(guarded: &Guarded<'_>) -> Option<String> {
    (guarded.has_policy && guarded.policy.is_empty()).then(|| {
        let name = guarded.policy_name.map(|name| format!(" {name}")).unwrap_or_default();
        format!("the policy{name} is empty, so that no gate protects a call; give it a deadline")
    })
}

fn member_outlasts_the_group(group: &Choosing<'_>) -> Option<String> {
    let last = match group.select {
        SelectorChoice::Priority => group.members.len().saturating_sub(1),
        _ => group.members.len(),
    };
    let has_next = group.members.iter().take(last).filter(|_| group.members.len() > 1);
    let mut stays = has_next.filter(|member| {
        let time = member.worst.time.unwrap_or(Duration::MAX);
        member.may_hang && time >= group.deadline.unwrap_or(Duration::MAX)
    });
    let member = stays.next()?;
    let also: Vec<_> = stays.map(|member| member.name).collect();
    let also = if also.is_empty() { String::new() } else { format!(" (also {})", also.join(", ")) };
    let takes = match member.worst.time {
        Some(time) => format!("may take {}", text(time)),
        None => "never ends by itself".to_owned(),
    };
    let count = u32::try_from(group.members.len()).unwrap_or(u32::MAX);
    let (ends, set) = match group.deadline {
        Some(deadline) => (
            format!(", and the deadline of the group is {}", text(deadline)),
            format!("a deadline of {}", part(deadline, count)),
        ),
        None => (String::new(), "a deadline".to_owned()),
    };
    Some(format!(
        "a call that hangs at the member {}{also} {takes}{ends}, so that no other member is asked for \
         it; give the member {set}",
        member.name
    ))
}

fn nobody_to_go_on_to(group: &Choosing<'_>) -> Option<String> {
    let [member] = group.members.as_slice() else { return None };
    Some(format!(
        "the group has one member, {}, and nobody to go on to when that fails; add another, or use \
         the member itself",
        member.name
    ))
}

fn weights_are_all_zero(group: &Choosing<'_>) -> Option<String> {
    let is_weighted = group.select == SelectorChoice::Weighted && !group.weights.is_empty();
    (is_weighted && group.weights.values().all(|weight| *weight == 0)).then(|| {
        "all weights are 0, so that every member is a spare and they take turns; give one that is to \
         serve a weight, or select round_robin"
            .to_owned()
    })
}

fn group_policy_is_empty(group: &Choosing<'_>) -> Option<String> {
    let message = "the policy of the group is empty; give it a deadline, the only gate of a group";
    group.has_empty_policy.then(|| message.to_owned())
}

/// The breaker, where it judges by a span of time; one that judges by a number of calls waits for them.
fn breaker_over_time(policy: &Policy) -> Option<(&BreakerPolicy, Duration)> {
    let breaker = policy.breaker.as_ref()?;
    let BreakerWindow::Time(window) = breaker.window else { return None };
    Some((breaker, window))
}

fn too_few(breaker: &BreakerPolicy, window: Duration, why: &str) -> String {
    format!(
        "the breaker judges after {} calls within {}, but {why}, so that it never opens; set min_calls \
         lower, or a longer window",
        breaker.min_calls,
        text(window)
    )
}

/// An even part of `whole`, in whole milliseconds where that is possible.
fn part(whole: Duration, parts: u32) -> String {
    let part = whole / parts.max(1);
    let millis = u64::try_from(part.as_millis()).unwrap_or(u64::MAX);
    text(if millis == 0 { part } else { Duration::from_millis(millis) })
}

fn text(duration: Duration) -> String {
    DurationText(duration).to_string()
}

fn shown<const N: usize>(durations: [Duration; N]) -> [String; N] {
    durations.map(text)
}

#[expect(clippy::cast_precision_loss, reason = "compared with a count of calls, roughly")]
fn as_real(count: u64) -> f64 {
    count as f64
}
