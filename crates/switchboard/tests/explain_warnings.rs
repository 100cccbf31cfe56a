//! What `explain` warns of: each combination that does harm, and its neighbour that does none.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use switchboard::{Explanation, Format, Switchboard};
use switchboard_cache::Caches;
use switchboard_cache::drivers::memory::{Memory, MemoryConfig};

/// A driver that is told where its service is.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FarConfig {
    #[serde(rename = "url")]
    _url: String,
}

async fn explained(configuration: &str, instance: &str) -> Explanation {
    let far = |_: FarConfig, context: switchboard_core::BuildContext| async move {
        Memory::new(&MemoryConfig::default(), context.clock().clone())
    };
    let board = Switchboard::builder()
        .drivers::<Caches>(|registry| registry.register("far", far))
        .text("shop.toml", Format::Toml, configuration)
        .build()
        .await
        .unwrap();
    let explained = board.explain(instance).unwrap();
    board.close(Duration::from_secs(1)).await.into_result().unwrap();
    explained
}

async fn warnings_of_policy(policy: &str) -> Vec<String> {
    let configuration = format!("cache.main = {{ driver = 'memory', policy = {{ {policy} }} }}");
    explained(&configuration, "cache.main").await.warnings
}

/// The one warning of a policy.
async fn warns(policy: &str, expected: &str) {
    assert_eq!(warnings_of_policy(policy).await, [expected], "{policy}");
}

async fn is_fine(policy: &str) {
    assert!(warnings_of_policy(policy).await.is_empty(), "{policy}");
}

#[tokio::test(start_paused = true)]
async fn attempts_that_do_not_fit_into_the_deadline_are_told_with_what_would_fit() {
    let retry = "retry = { attempts = 3, backoff = '20ms..1s' }";
    warns(
        &format!("deadline = '500ms', attempt_timeout = '150ms', {retry}"),
        "3 attempts of 150ms with waits of up to 60ms between them need 510ms, but the deadline is \
         500ms, so that the last ones are cut short or not made; set the deadline to 510ms, or shorten \
         the attempt_timeout to 146ms",
    )
    .await;
    is_fine(&format!("deadline = '510ms', attempt_timeout = '150ms', {retry}")).await;
    is_fine(&format!("deadline = '500ms', attempt_timeout = '146ms', {retry}")).await;
}

#[tokio::test(start_paused = true)]
async fn waits_between_attempts_may_exceed_the_deadline_by_themselves() {
    warns(
        "deadline = '500ms', retry = { attempts = 4, backoff = '100ms..1s' }",
        "4 attempts with waits of up to 700ms between them need 700ms, but the deadline is 500ms, so \
         that the last ones are cut short or not made; set the deadline to 700ms, or make fewer \
         attempts or wait less",
    )
    .await;
    is_fine("deadline = '700ms', retry = { attempts = 4, backoff = '100ms..1s' }").await;
}

#[tokio::test(start_paused = true)]
async fn a_timeout_that_the_deadline_forestalls_is_told() {
    warns(
        "deadline = '1s', attempt_timeout = '1s', retry = { attempts = 4, backoff = '1ms' }",
        "an attempt_timeout of 1s never comes, because the deadline of 1s ends a call that hangs before \
         it and is not made again; set the attempt_timeout to 250ms",
    )
    .await;
    is_fine(
        "deadline = '1s', attempt_timeout = '249ms', retry = { attempts = 4, backoff = '1ms' }",
    )
    .await;
    let alone = warnings_of_policy("deadline = '1s', attempt_timeout = '2s'").await;
    assert!(alone[0].ends_with("set the attempt_timeout to 500ms"), "{alone:?}");
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_may_never_come_because_nothing_ends_an_attempt_is_told() {
    warns(
        "retry = { attempts = 3 }",
        "nothing ends a call that gets no answer, so that the first of 3 attempts may hang and none \
         follows; set a deadline for the call, and an attempt_timeout for each attempt",
    )
    .await;
    is_fine("deadline = '10s', retry = { attempts = 3 }").await;
}

#[tokio::test(start_paused = true)]
async fn a_call_of_a_service_without_an_end_is_told_and_one_of_the_own_process_is_not() {
    let of = async |cache: &str| explained(cache, "cache.main").await.warnings;
    let expected = "nothing ends a call that gets no answer; set a deadline for the call, and an \
                    attempt_timeout for each attempt";
    assert_eq!(of("cache.main = { url = 'far://host/0' }").await, [expected]);
    assert_eq!(of("cache.main = { driver = 'memory', policy.bulkhead.max = 3 }").await, [expected]);
    let with_end = "cache.main = { url = 'far://host/0', policy.deadline = '1s' }";
    for fine in ["cache.main = { driver = 'memory' }", "cache.main.url = 'far:///a/file'", with_end]
    {
        assert!(of(fine).await.is_empty(), "{fine}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_any_length_is_told_where_there_is_no_deadline() {
    warns(
        "attempt_timeout = '1s', retry = { attempts = 3 }",
        "without a deadline a call waits for each of its 3 attempts as long as the service asks for, be \
         it an hour; set a deadline",
    )
    .await;
    is_fine("attempt_timeout = '1s', retry = { attempts = 1 }").await;
}

#[tokio::test(start_paused = true)]
async fn waits_for_the_turn_that_use_up_the_deadline_are_told() {
    let policy = |deadline: &str, queue: u32| {
        format!(
            "deadline = '{deadline}', rate_limit = {{ rate = '500/s', wait = '100ms' }}, \
             bulkhead = {{ max = 64, wait = '400ms', queue = {queue} }}"
        )
    };
    warns(
        &policy("500ms", 10),
        "a call may wait 500ms for its turn (rate_limit 100ms, bulkhead 400ms), which leaves nothing of \
         the deadline of 500ms for the call itself; wait less, so that calls are refused while they can \
         still be made elsewhere",
    )
    .await;
    is_fine(&policy("501ms", 10)).await;
    is_fine(&policy("500ms", 0)).await;
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_never_sees_enough_calls_to_judge_is_told() {
    let policy = |rate: &str, charge: bool| {
        format!(
            "deadline = '9s', rate_limit = {{ rate = '{rate}', burst = 5 }}, \
             retry = {{ attempts = 2, charge_limiter = {charge} }}, \
             breaker = {{ window = '10s', min_calls = 20 }}"
        )
    };
    warns(
        &policy("1/s", true),
        "the breaker judges after 20 calls within 10s, but the rate limit lets no more than 15 of them \
         pass, so that it never opens; set min_calls lower, or a longer window",
    )
    .await;
    is_fine(&policy("2/s", true)).await;
    is_fine(&policy("1/s", false)).await;
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_is_blind_to_a_service_that_hangs_is_told() {
    let policy = |slots: u32| {
        format!(
            "deadline = '5s', bulkhead = {{ max = {slots}, wait = '0s' }}, \
             breaker = {{ window = '10s', min_calls = 20 }}"
        )
    };
    warns(
        &policy(6),
        "the breaker judges after 20 calls within 10s, but of a service that hangs it sees no more than \
         18: the bulkhead has 6 slots, each for up to 5s, so that it never opens; set min_calls lower, \
         or a longer window",
    )
    .await;
    is_fine(&policy(7)).await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_given_up_before_its_own_end_is_told() {
    warns(
        "deadline = '40s', breaker = {}",
        "a call may take 40s, but a breaker that tries the service again gives it up as failed after \
         30s, and stays open for a slow service that works; set half_open_for to 40s or more",
    )
    .await;
    is_fine("deadline = '40s', breaker = { half_open_for = '40s' }").await;
    is_fine("deadline = '40s', attempt_timeout = '10s', breaker = {}").await;
    let calls = "deadline = '40s', attempt_timeout = '10s', breaker = { counts = 'calls' }";
    assert_eq!(warnings_of_policy(calls).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_does_not_pay_for_one_call_is_told() {
    let policy = |tokens: u32| {
        format!(
            "deadline = '60s', attempt_timeout = '1s', \
             retry = {{ attempts = 6, budget = {{ tokens = {tokens} }} }}"
        )
    };
    warns(
        &policy(49),
        "one call may want 5 retries, but the budget of 49 tokens pays for 4 of all calls together (10 \
         for a retry after a time-out); set retry.budget.tokens to 50 or more, or make fewer attempts",
    )
    .await;
    is_fine(&policy(50)).await;
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_finds_no_slot_is_told() {
    let policy = |slots: u32| {
        format!(
            "deadline = '1s', hedge = {{ after = '50ms', max = 2 }}, bulkhead = {{ max = {slots} }}"
        )
    };
    warns(
        &policy(2),
        "an attempt and up to 2 beside it need 3 slots, but the bulkhead has 2, so that never more than \
         1 can be started beside it; set bulkhead.max to more than 3",
    )
    .await;
    is_fine(&policy(4)).await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_without_a_gate_is_told_by_its_name() {
    let named = "cache.main = { driver = 'memory', policy = 'fast' }\n[policy.fast]";
    let expected = "the policy fast is empty, so that no gate protects a call; give it a deadline";
    assert_eq!(explained(named, "cache.main").await.warnings, [expected]);
    warns("", "the policy is empty, so that no gate protects a call; give it a deadline").await;
    is_fine("deadline = '1s'").await;
}

#[tokio::test(start_paused = true)]
async fn retries_without_a_breaker_and_a_strict_limiter_do_no_harm() {
    // Retries are bounded by their budget; a burst below the slots only refuses what it is to refuse.
    is_fine("deadline = '10s', attempt_timeout = '1s', retry = {}").await;
    is_fine("deadline = '1s', rate_limit = { rate = '9/s', burst = 1 }, bulkhead = { max = 64 }")
        .await;
    is_fine("deadline = '1s', bulkhead = { max = 50 }, breaker = { half_open = 60 }").await;
}

fn group(deadline: &str, member_policy: &str, of_group: &str) -> String {
    format!(
        "[cache]\n\
         a = {{ driver = 'memory', policy = {{ {member_policy} }} }}\n\
         b = {{ driver = 'memory', policy = {{ {member_policy} }} }}\n\
         z = {{ members = ['a', 'b'], policy = {{ {deadline} }}, {of_group} }}"
    )
}

async fn of_group(configuration: &str) -> Vec<String> {
    explained(configuration, "cache.z").await.warnings
}

#[tokio::test(start_paused = true)]
async fn a_member_that_leaves_the_group_no_time_for_another_is_told() {
    let both = group("deadline = '1s'", "deadline = '1s'", "select = 'round_robin'");
    let expected = "a call that hangs at the member a (also b) may take 1s, and the deadline of the \
                    group is 1s, so that no other member is asked for it; give the member a deadline \
                    of 500ms";
    assert_eq!(of_group(&both).await, [expected]);
    // The last one has nobody behind it.
    let first = group("deadline = '1s'", "attempt_timeout = '2s'", "select = 'priority'");
    let expected = "a call that hangs at the member a may take 2s, and the deadline of the group is 1s, \
                    so that no other member is asked for it; give the member a deadline of 500ms";
    assert_eq!(of_group(&first).await, [expected]);
    let fine = group("deadline = '1s'", "deadline = '999ms'", "select = 'round_robin'");
    assert!(of_group(&fine).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_member_whose_calls_never_end_is_told_even_where_the_group_has_no_deadline() {
    let endless = group("deadline = '1s'", "bulkhead.max = 3", "select = 'priority'");
    let endless = endless.replace("policy = { deadline = '1s' }, ", "");
    let expected = "a call that hangs at the member a never ends by itself, so that no other member is \
                    asked for it; give the member a deadline";
    assert_eq!(of_group(&endless).await, [expected]);
    let in_process = "[cache]\na.driver = 'memory'\nb.driver = 'memory'\nz.members = ['a', 'b']";
    assert!(of_group(in_process).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn weights_that_choose_nobody_are_told() {
    let weighted = |weights: &str| {
        group("deadline = '1s'", "deadline = '300ms'", &format!("select = 'weighted', {weights}"))
    };
    let expected = "all weights are 0, so that every member is a spare and they take turns; give one \
                    that is to serve a weight, or select round_robin";
    assert_eq!(of_group(&weighted("weights = { a = 0, b = 0 }")).await, [expected]);
    assert!(of_group(&weighted("weights = { a = 0 }")).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_group_of_one_and_a_group_with_an_empty_policy_are_told() {
    let one = "[cache]\na.driver = 'memory'\nz = { members = ['a'] }";
    let expected = "the group has one member, a, and nobody to go on to when that fails; add another, \
                    or use the member itself";
    assert_eq!(of_group(one).await, [expected]);
    let empty = group("", "deadline = '1s'", "select = 'priority'");
    let expected = "the policy of the group is empty; give it a deadline, the only gate of a group";
    assert_eq!(of_group(&empty).await, [expected]);
}
