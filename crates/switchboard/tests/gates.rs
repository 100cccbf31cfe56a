//! What the board shows of gates and calls, and the breakers that somebody forces.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use switchboard::{BreakerCommand, BulkheadView, Format, InstanceFigures, Switchboard};
use switchboard_cache::Caches;
use switchboard_core::{Clock, Error, ErrorKind, Fault, Faults, Gate, Settings};

const SHOP: &str = "
    [cache.sessions]
    driver = 'memory'
    [cache.sessions.policy]
    deadline = '10s'
    attempt_timeout = '1s'
    breaker = { window = 10, min_calls = 4, open_for = '5s', open_for_max = '5s', jitter = 'none' }
    bulkhead = { max = 2, queue = 7, wait = '3s' }
    rate_limit = { rate = '100/s', burst = 20 }
    retry = { attempts = 2, backoff = '1ms', budget = { tokens = 100 } }

    [cache.plain]
    driver = 'memory'

    [cache.team]
    members = ['sessions', 'plain']
";

async fn shop() -> Switchboard {
    Switchboard::builder().text("shop.toml", Format::Toml, SHOP).build().await.unwrap()
}

fn put_faults(board: &Switchboard, instance: &str, faults: Faults) {
    let line = board.manager::<Caches>().unwrap().line(instance).unwrap();
    line.set_faults(Some(Arc::new(faults))).unwrap();
}

fn always(fault: Fault) -> Faults {
    Faults::new(Clock::seeded(1)).chance(1.0, fault)
}

fn outage() -> Faults {
    always(Fault::Fail(Error::new(ErrorKind::Unavailable, "on purpose")))
}

fn of(figures: Vec<InstanceFigures>, name: &str) -> InstanceFigures {
    figures.into_iter().find(|figures| figures.name == name).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_gates_of_a_quiet_instance_are_full_and_free() {
    let board = shop().await;
    let gates = board.gates("cache.sessions").unwrap();
    let json = serde_json::to_value(&gates).unwrap();
    let expected = serde_json::json!({
        "instance": "cache.sessions",
        "breaker": { "state": "closed", "calls": 0, "failures": 0, "slow": 0 },
        "bulkhead": { "in_use": 0, "limit": 2, "waiting": 0, "queue": 7 },
        "rate_limit": { "rate": "100/s", "burst": 20, "remaining": 20 },
        "retry_budget": { "tokens": 100, "tokens_max": 100 },
    });
    assert_eq!(json, expected);
    assert_eq!(board.gates("cache. Sessions ").unwrap(), gates);
}

#[tokio::test(start_paused = true)]
async fn an_instance_without_gates_and_one_that_is_not_there_are_told_apart() {
    let board = shop().await;
    let json = serde_json::to_value(board.gates("cache.plain").unwrap()).unwrap();
    assert_eq!(json, serde_json::json!({ "instance": "cache.plain" }));
    assert!(board.gates("cache.team").unwrap().breaker.is_none());
    for (unknown, kind) in
        [("cache.sesions", ErrorKind::NotRegistered), ("queue.sessions", ErrorKind::NotRegistered)]
    {
        assert_eq!(board.gates(unknown).unwrap_err().kind(), kind, "{unknown}");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_inside_and_calls_that_wait_are_counted_while_they_do() {
    let board = shop().await;
    put_faults(&board, "sessions", always(Fault::Late(Duration::from_millis(500))));
    let cache = board.cache("sessions").unwrap();
    cache.get("key").await.unwrap();
    let calls = join_all((0..5).map(|_| cache.get("key")));
    let look = async {
        board.environment().clock().sleep(Duration::from_millis(100)).await;
        board.gates("cache.sessions").unwrap()
    };
    let (answers, gates) = tokio::join!(calls, look);
    assert!(answers.iter().all(Result::is_ok));
    let bulkhead = gates.bulkhead.unwrap();
    let BulkheadView { in_use, limit, waiting, queue, .. } = bulkhead;
    assert_eq!((in_use, limit, waiting, queue), (2, 2, 3, 7));
    let after = board.gates("cache.sessions").unwrap();
    assert_eq!(after.bulkhead.map(|bulkhead| (bulkhead.in_use, bulkhead.waiting)), Some((0, 0)));
}

#[tokio::test(start_paused = true)]
async fn an_outage_shows_in_breaker_budget_and_figures_and_looking_costs_no_token() {
    let board = shop().await;
    put_faults(&board, "sessions", outage());
    let cache = board.cache("sessions").unwrap();
    for _ in 0..3 {
        assert!(cache.get("key").await.is_err());
    }
    let figures = of(board.figures(), "sessions");
    let breaker = figures.gates.breaker.clone().unwrap();
    assert_eq!((breaker.state, breaker.calls, breaker.failures), ("open", 4, 4));
    let budget = figures.gates.retry_budget.unwrap();
    assert_eq!((budget.tokens, budget.tokens_max), (90, 100));
    let get = figures.operations.iter().find(|operation| operation.operation == "get").unwrap();
    // Four attempts reached the driver, and one call was refused.
    assert_eq!(get.failed, [(ErrorKind::Unavailable, 5)]);
    let remaining = || board.gates("cache.sessions").unwrap().rate_limit.unwrap().remaining;
    let first = remaining();
    assert!((15..20).contains(&first), "{first}");
    for _ in 0..50 {
        assert_eq!(remaining(), first);
    }
}

#[tokio::test(start_paused = true)]
async fn the_figures_have_all_instances_in_order_with_the_same_gates_as_one_alone() {
    let board = shop().await;
    board.cache("sessions").unwrap().get("key").await.unwrap();
    let figures = board.figures();
    let names: Vec<_> = figures.iter().map(|figures| figures.name.as_str()).collect();
    assert_eq!(names, ["plain", "sessions", "team"]);
    for figures in &figures {
        assert_eq!(board.gates(&figures.gates.instance).unwrap(), figures.gates);
    }
    let sessions = &figures[1];
    assert_eq!((sessions.subsystem, sessions.driver.as_deref()), ("cache", Some("memory")));
    assert_eq!((sessions.generation, sessions.is_ready, sessions.in_flight), (1, true, 0));
    assert_eq!((figures[0].is_ready, figures[2].driver.as_deref()), (false, None));
}

#[tokio::test(start_paused = true)]
async fn a_breaker_opened_by_hand_refuses_until_it_is_reset() {
    let board = shop().await;
    let cache = board.cache("sessions").unwrap();
    board.force_breaker("ada", "cache.sessions", BreakerCommand::Open).unwrap();
    assert_eq!(cache.get("key").await.unwrap_err().gate(), Some(Gate::Breaker));
    let state = || board.gates("cache.sessions").unwrap().breaker.unwrap().state;
    assert_eq!(state(), "forced open");
    board.force_breaker("ada", "cache.sessions", BreakerCommand::Reset).unwrap();
    assert_eq!(state(), "closed");
    assert!(cache.get("key").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_breaker_closed_by_hand_lets_calls_through_and_goes_on_counting() {
    let board = shop().await;
    put_faults(&board, "sessions", outage());
    let cache = board.cache("sessions").unwrap();
    board.force_breaker("ada", "cache.sessions", BreakerCommand::Close).unwrap();
    for _ in 0..5 {
        assert_ne!(cache.get("key").await.unwrap_err().gate(), Some(Gate::Breaker));
    }
    let breaker = board.gates("cache.sessions").unwrap().breaker.unwrap();
    assert_eq!((breaker.state, breaker.calls, breaker.failures), ("forced closed", 10, 10));
}

#[tokio::test(start_paused = true)]
async fn what_was_forced_outlives_a_swap() {
    let board = shop().await;
    board.cache("sessions").unwrap().get("key").await.unwrap();
    board.force_breaker("ada", "cache.sessions", BreakerCommand::Open).unwrap();
    let other = Settings::new().with("driver", "memory").with("max_entries", 7);
    let caches = board.manager::<Caches>().unwrap();
    caches.swap("sessions", &other).await.unwrap().closed().await.unwrap();
    let state = board.gates("cache.sessions").unwrap().breaker.map(|breaker| breaker.state);
    assert_eq!(state, Some("forced open"));
}

#[tokio::test(start_paused = true)]
async fn forcing_what_is_not_there_is_unsupported_with_a_hint_and_recorded_like_what_is() {
    let board = shop().await;
    board.force_breaker("ada", "cache.sessions", BreakerCommand::Close).unwrap();
    let hint = |instance: &str| {
        let error = board.force_breaker("ada", instance, BreakerCommand::Open).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        error.hints().collect::<Vec<_>>().join("; ")
    };
    assert_eq!(hint("cache.plain"), "set `policy.breaker` of cache.plain");
    assert_eq!(
        hint("cache.team"),
        "a group has none; force those of its members: cache.sessions, cache.plain"
    );
    assert!(board.force_breaker("ada", "cache.nobody", BreakerCommand::Reset).is_err());
    let records = board.records();
    let told: Vec<_> = records
        .iter()
        .map(|record| {
            let (by, action, subject) = (&*record.by, &*record.action, &*record.subject);
            (by, action, subject, record.outcome == "ok")
        })
        .collect();
    assert_eq!(
        told,
        [
            ("ada", "breaker close", "cache.sessions", true),
            ("ada", "breaker open", "cache.plain", false),
            ("ada", "breaker open", "cache.team", false),
            ("ada", "breaker reset", "cache.nobody", false),
        ]
    );
}
