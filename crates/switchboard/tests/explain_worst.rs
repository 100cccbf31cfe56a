//! What `explain` says a call can become at worst is never exceeded by a call.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use proptest::prelude::*;
use switchboard::{Format, Switchboard};
use switchboard_cache::Caches;
use switchboard_core::settings::DurationText;
use switchboard_core::{Clock, Error, ErrorKind, Fault, Faults};

/// A gate as configuration writes it, or none.
fn maybe(gate: impl Strategy<Value = String> + 'static) -> BoxedStrategy<String> {
    prop_oneof![1 => Just(String::new()), 2 => gate].boxed()
}

fn retry() -> impl Strategy<Value = String> {
    (1..5_u32, 1..200_u32, 1..3_u32, any::<bool>(), 0..3_usize).prop_map(
        |(attempts, first, factor, charge, jitter)| {
            let (max, jitter) = (first * factor, ["full", "equal", "none"][jitter]);
            format!(
                "retry = {{ attempts = {attempts}, backoff = '{first}ms..{max}ms', \
                 jitter = '{jitter}', charge_limiter = {charge} }}\n"
            )
        },
    )
}

fn hedge() -> impl Strategy<Value = String> {
    let after = prop_oneof![(1..50_u32).prop_map(|ms| format!("{ms}ms")), Just("p50".to_owned())];
    (after, 1..4_u32)
        .prop_map(|(after, max)| format!("hedge = {{ after = '{after}', max = {max} }}\n"))
}

fn bulkhead() -> impl Strategy<Value = String> {
    (1..4_u32, 0..5_u32, 0..300_u32, any::<bool>()).prop_map(|(max, queue, wait, hold)| {
        format!(
            "bulkhead = {{ max = {max}, queue = {queue}, wait = '{wait}ms', \
             hold_while_waiting = {hold} }}\n"
        )
    })
}

fn rate_limit() -> impl Strategy<Value = String> {
    (1..50_u32, 1..4_u32, 0..300_u32).prop_map(|(rate, burst, wait)| {
        format!("rate_limit = {{ rate = '{rate}/s', burst = {burst}, wait = '{wait}ms' }}\n")
    })
}

fn policy() -> impl Strategy<Value = String> {
    // Longer than any hedge waits, so that the policy is none that is refused.
    let times = (maybe(limit("deadline")), maybe(limit("attempt_timeout")));
    let breaker =
        Just("breaker = { window = '1s', min_calls = 3, open_for = '50ms' }\n".to_owned());
    let gates = (maybe(retry()), maybe(hedge()), maybe(bulkhead()), maybe(rate_limit()));
    (times, gates, maybe(breaker)).prop_map(
        |((deadline, timeout), (retry, hedge, bulkhead, rate_limit), breaker)| {
            [deadline, timeout, retry, hedge, bulkhead, rate_limit, breaker].concat()
        },
    )
}

fn limit(name: &'static str) -> impl Strategy<Value = String> {
    (60..600_u32).prop_map(move |ms| format!("{name} = '{ms}ms'\n"))
}

/// What happens to the attempts; after the script each one gets an answer.
fn script() -> impl Strategy<Value = Vec<Fault>> {
    let fault = prop_oneof![
        3 => Just(Fault::Hang),
        3 => Just(Fault::Fail(Error::new(ErrorKind::Unavailable, "on purpose"))),
        2 => (1..400_u64).prop_map(|ms| Fault::Late(Duration::from_millis(ms))),
    ];
    proptest::collection::vec(fault, 0..40)
}

/// Calls of `instance`, all at once: how long each took, and how many attempts there were in all.
async fn worst_of(
    board: &Switchboard,
    instance: &str,
    calls: u64,
    faults: &[Arc<Faults>],
) -> (Duration, u64) {
    let cache = board.cache(instance).unwrap();
    let clock = board.environment().clock();
    let calls = (0..calls).map(|_| async {
        let began = clock.now();
        let _ = cache.get("key").await;
        clock.now().saturating_duration_since(began)
    });
    let longest = join_all(calls).await.into_iter().max().unwrap_or_default();
    (longest, faults.iter().map(|faults| faults.injected()).sum())
}

fn put_faults(board: &Switchboard, instance: &str, script: &[Fault]) -> Arc<Faults> {
    let faults = Faults::new(Clock::seeded(1)).script(script.iter().cloned());
    let faults = Arc::new(faults.chance(1.0, Fault::Late(Duration::from_millis(1))));
    let line = board.manager::<Caches>().unwrap().line(instance).unwrap();
    line.set_faults(Some(faults.clone())).unwrap();
    faults
}

async fn board_of(configuration: &str) -> Switchboard {
    let builder = Switchboard::builder().text("shop.toml", Format::Toml, configuration);
    let board = builder.clock(Clock::seeded(7)).build().await.unwrap();
    // What a call waits for before an instance is built is not the affair of its gates.
    for name in board.manager::<Caches>().unwrap().names() {
        board.manager::<Caches>().unwrap().get(&name).await.unwrap();
    }
    board
}

async fn keeps_its_word(configuration: &str, instance: &str, members: &[&str], script: &[Fault]) {
    let board = board_of(configuration).await;
    let faults: Vec<_> = members.iter().map(|member| put_faults(&board, member, script)).collect();
    let said = board.explain(&format!("cache.{instance}")).unwrap();
    if let Some(time) = &said.time_max {
        let DurationText(time_max) = time.parse().unwrap();
        let (longest, attempts) = worst_of(&board, instance, CALLS, &faults).await;
        assert!(longest <= time_max, "{longest:?} instead of {time_max:?} in\n{configuration}");
        let allowed = u64::from(said.attempts_max) * CALLS;
        assert!(attempts <= allowed, "{attempts} instead of {allowed} in\n{configuration}");
    }
    board.close(Duration::from_secs(1)).await.into_result().unwrap();
}

fn on_paused_clock(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(test);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_call_takes_longer_or_asks_more_often_than_was_said(
        policy in policy(), script in script(),
    ) {
        let configuration = format!("[cache.main]\ndriver = 'memory'\n[cache.main.policy]\n{policy}");
        on_paused_clock(keeps_its_word(&configuration, "main", &["main"], &script));
    }

    #[test]
    fn no_call_of_a_group_takes_longer_or_asks_more_often_than_was_said(
        left in policy(), right in policy(), deadline in maybe(limit("policy.deadline")),
        script in script(),
    ) {
        let configuration = format!(
            "[cache.left]\ndriver = 'memory'\n[cache.left.policy]\n{left}\n\
             [cache.right]\ndriver = 'memory'\n[cache.right.policy]\n{right}\n\
             [cache.z]\nmembers = ['left', 'right']\n{deadline}"
        );
        on_paused_clock(keeps_its_word(&configuration, "z", &["left", "right"], &script));
    }
}

#[test]
fn what_was_said_is_reached_by_a_service_that_hangs() {
    let configuration = "[cache.main]\ndriver = 'memory'\n[cache.main.policy]\n\
        attempt_timeout = '100ms'\nretry = { attempts = 3, backoff = '20ms..30ms', jitter = 'none' }\n\
        hedge = { after = '40ms', max = 2 }";
    on_paused_clock(async {
        let board = board_of(configuration).await;
        let faults = put_faults(&board, "main", &vec![Fault::Hang; 9]);
        let said = board.explain("cache.main").unwrap();
        assert_eq!((said.time_max.as_deref(), said.attempts_max), (Some("590ms"), 9));
        let (clock, cache) = (board.environment().clock(), board.cache("main").unwrap());
        let began = clock.now();
        assert!(cache.get("key").await.is_err());
        let took = clock.now().saturating_duration_since(began);
        assert_eq!((took, faults.injected()), (Duration::from_millis(590), 9));
        board.close(Duration::from_secs(1)).await.into_result().unwrap();
    });
}

/// Calls that wait for their turn again before each retry: the longest of them, and what was said.
async fn turns(gate: &str, calls: u64) -> (Duration, Option<String>) {
    let configuration = format!(
        "[cache.main]\ndriver = 'memory'\n[cache.main.policy]\nattempt_timeout = '100ms'\n\
         retry = {{ attempts = 2, backoff = '0s' }}\n{gate}"
    );
    let board = board_of(&configuration).await;
    let faults = put_faults(&board, "main", &vec![Fault::Hang; 99]);
    let (longest, _) = worst_of(&board, "main", calls, &[faults]).await;
    let said = board.explain("cache.main").unwrap().time_max;
    board.close(Duration::from_secs(1)).await.into_result().unwrap();
    (longest, said)
}

#[test]
fn a_retry_waits_for_its_slot_again_unless_the_call_has_kept_it() {
    on_paused_clock(async {
        let bulkhead =
            |hold| format!("bulkhead = {{ max = 1, wait = '300ms', hold_while_waiting = {hold} }}");
        // The second one waits for the first, runs, and then waits for the two behind it and the first.
        let freed = turns(&bulkhead(false), 4).await;
        assert_eq!(freed, (Duration::from_millis(700), Some("800ms".to_owned())));
        let kept = turns(&bulkhead(true), 2).await;
        assert_eq!(kept, (Duration::from_millis(400), Some("500ms".to_owned())));
    });
}

#[test]
fn a_retry_waits_for_its_token_again_where_it_pays_one() {
    on_paused_clock(async {
        let limit = "rate_limit = { rate = '10/s', burst = 1, wait = '300ms' }";
        let (longest, said) = turns(limit, 3).await;
        assert_eq!((longest, said.as_deref()), (Duration::from_millis(600), Some("800ms")));
        let free = turns("rate_limit = { rate = '10/s', wait = '300ms' }", 1).await;
        assert_eq!(free, (Duration::from_millis(200), Some("800ms".to_owned())));
    });
}

/// How many calls are made at once: enough to wait for tokens and slots.
const CALLS: u64 = 5;
