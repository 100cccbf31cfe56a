//! What real calls and breakers say of an instance between two checks.

use std::collections::HashSet;
use std::time::Duration;

use switchboard::BreakerCommand;
use switchboard_core::{Error, ErrorKind, Health};
use switchboard_testkit::Answer;

use crate::stage::{Ask, EVERY, Stage, lamp, of, pass, reason, status, swap, throughout, until};

const BREAKER: &str = "
    lamp.a.policy.breaker = { window = 10, min_calls = 4, open_for = '60s', jitter = 'none' }
    feature.light.needs = ['lamp.a']
";

#[tokio::test(start_paused = true)]
async fn an_instance_is_down_while_its_breaker_refuses_calls_whatever_its_checks_say() {
    let stage = Stage::default();
    let board = stage.lit(&["a"], BREAKER).await;
    stage.fails("a", ErrorKind::Unavailable);
    lamp(&board, "a").shine_times(4).await;
    let view = board.check_health().await;
    let found = of(&view, "a");
    assert_eq!(
        (found.status, found.reason.as_deref()),
        ("down", Some("its breaker refuses calls"))
    );
    assert!(!view.ready, "the feature cannot do without it");
}

#[tokio::test(start_paused = true)]
async fn the_list_of_instances_says_the_same_of_their_health() {
    let stage = Stage::default();
    let board = stage.lit(&["a", "b"], BREAKER).await;
    board.force_breaker("test", "lamp.a", BreakerCommand::Open).unwrap();
    let listed: Vec<_> = board.instances().into_iter().map(|view| view.health).collect();
    assert_eq!(listed, ["down", "up"]);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_whose_time_is_over_does_not_keep_away_the_call_it_waits_for() {
    let stage = Stage::default();
    let board = stage.lit(&["a"], BREAKER).await;
    stage.fails("a", ErrorKind::Unavailable);
    lamp(&board, "a").shine_times(4).await;
    assert!(!board.health().ready);
    pass(Duration::from_secs(61)).await;
    assert_eq!((status(&board, "a"), board.health().ready), ("up", true));
    lamp(&board, "a").shine_times(1).await;
    assert_eq!((status(&board, "a"), board.health().ready), ("down", false));
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_somebody_opened_counts_until_it_is_reset() {
    let stage = Stage::default();
    let board = stage.lit(&["a"], BREAKER).await;
    let cases = [(BreakerCommand::Open, "down"), (BreakerCommand::Close, "up")];
    for (command, word) in cases.into_iter().chain([(BreakerCommand::Reset, "up")]) {
        board.force_breaker("test", "lamp.a", command).unwrap();
        assert_eq!(status(&board, "a"), word);
        throughout(&board, |view| of(view, "a").status == word).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_check_found_is_told_before_what_follows_from_it() {
    let stage = Stage::default();
    stage.feels("a", Health::down("no current"));
    let board = stage.lit(&["a"], BREAKER).await;
    board.force_breaker("test", "lamp.a", BreakerCommand::Open).unwrap();
    assert_eq!(reason(&board, "a"), "no current");
}

#[tokio::test(start_paused = true)]
async fn a_group_is_down_when_the_breakers_of_all_its_members_refuse_calls() {
    let stage = Stage::default();
    let more = "lamp.inner = { members = ['a'] }\nlamp.outer = { members = ['inner'] }";
    let board = stage.lit(&["a"], &format!("{BREAKER}{more}")).await;
    assert_eq!(status(&board, "outer"), "up");
    board.force_breaker("test", "lamp.a", BreakerCommand::Open).unwrap();
    for name in ["inner", "outer"] {
        assert_eq!(reason(&board, name), "all of its members are down");
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_degraded_while_half_of_at_least_ten_calls_are_outages() {
    let kinds = [
        ErrorKind::Unavailable,
        ErrorKind::Timeout,
        ErrorKind::RateLimited,
        ErrorKind::Overloaded,
        ErrorKind::Unexpected,
    ];
    let mut intervals = HashSet::new();
    for kind in kinds {
        let stage = Stage::default();
        let board = stage.lit(&["a", "b"], "feature.light.needs = ['lamp.a']").await;
        lamp(&board, "a").shine_times(5).await;
        stage.fails("a", kind);
        lamp(&board, "a").shine_times(5).await;
        assert_eq!(status(&board, "a"), "up", "nobody has looked yet");
        let view = until(&board, |view| of(view, "a").status == "degraded").await;
        let reason = of(&view, "a").reason.unwrap();
        let (numbers, rest) = reason.split_once(" calls in ").unwrap();
        let (seconds, words) = rest.split_once("s ").unwrap();
        assert_eq!((numbers, words), ("5 of 10", "were outages"));
        assert!((9.0..=11.1).contains(&seconds.parse::<f64>().unwrap()), "{reason}");
        intervals.insert(seconds.to_owned());
        assert!(view.ready, "it is needed, and works");
        assert_eq!(view.features[0].impaired, ["lamp.a"]);
        assert_eq!(of(&view, "b").status, "up");
        until(&board, |view| of(view, "a").status == "up").await;
    }
    assert!(intervals.len() > 1, "not in step: {intervals:?}");
}

#[tokio::test(start_paused = true)]
async fn fewer_calls_or_fewer_outages_mean_nothing() {
    for (good, bad) in [(0, 9), (4, 5), (6, 5), (20, 19)] {
        let stage = Stage::default();
        let board = stage.lit(&["a"], "").await;
        lamp(&board, "a").shine_times(good).await;
        stage.fails("a", ErrorKind::Unavailable);
        lamp(&board, "a").shine_times(bad).await;
        throughout(&board, |view| of(view, "a").status == "up").await;
    }
}

#[tokio::test(start_paused = true)]
async fn answers_are_no_outages() {
    let kinds = ErrorKind::ALL.iter().filter(|kind| {
        matches!(kind.as_str(), "not found" | "conflict" | "quota exceeded" | "cancelled")
    });
    let stage = Stage::default();
    let board = stage.lit(&["a"], "").await;
    for kind in kinds {
        stage.fails("a", *kind);
        lamp(&board, "a").shine_times(50).await;
    }
    stage.fails("a", ErrorKind::Timeout);
    lamp(&board, "a").shine_times(50).await;
    throughout(&board, |view| of(view, "a").status == "up").await;
}

#[tokio::test(start_paused = true)]
async fn what_has_nothing_to_check_is_up_while_its_calls_succeed() {
    let stage = Stage::default();
    stage.feels("a", Health::not_checked());
    let board = stage.lit(&["a"], "").await;
    throughout(&board, |view| of(view, "a").status == "not checked").await;
    lamp(&board, "a").shine_times(1).await;
    let view = until(&board, |view| of(view, "a").status == "up").await;
    assert_eq!(of(&view, "a").reason.as_deref(), Some("calls succeed"));
    assert_eq!(view.status, "up");
    until(&board, |view| of(view, "a").status == "not checked").await;
}

#[tokio::test(start_paused = true)]
async fn calls_that_fail_do_not_make_anything_up() {
    let stage = Stage::default();
    stage.feels("a", Health::not_checked());
    let board = stage.lit(&["a"], "").await;
    lamp(&board, "a").shine_times(2).await;
    stage.lamp("a").otherwise(|ask| match ask {
        Ask::Health => Answer::reply(Health::not_checked()),
        Ask::Build | Ask::Shine => Answer::fail(Error::new(ErrorKind::Timeout, "late")),
    });
    lamp(&board, "a").shine_times(2).await;
    throughout(&board, |view| of(view, "a").status == "not checked").await;
}

#[tokio::test(start_paused = true)]
async fn calls_that_succeed_do_not_outvote_a_check_that_found_it_down() {
    let stage = Stage::default();
    stage.feels("a", Health::down("leaking"));
    let board = stage.lit(&["a"], "").await;
    lamp(&board, "a").shine_times(50).await;
    throughout(&board, |view| of(view, "a").status == "down").await;
}

#[tokio::test(start_paused = true)]
async fn what_the_calls_of_one_driver_came_to_is_not_held_against_the_next() {
    let stage = Stage::default();
    let board = stage.lit(&["a"], "").await;
    stage.fails("a", ErrorKind::Unavailable);
    for is_seen in [true, false] {
        lamp(&board, "a").shine_times(20).await;
        if is_seen {
            until(&board, |view| of(view, "a").status == "degraded").await;
        }
        swap(&board, "a").await;
        throughout(&board, |view| of(view, "a").status != "degraded").await;
    }
}

#[tokio::test(start_paused = true)]
async fn calls_of_a_group_count_for_the_group_as_well() {
    let stage = Stage::default();
    let hasty = "lamp.hasty = { members = ['a'], policy = { deadline = '10ms' } }";
    let board = stage.lit(&["a"], hasty).await;
    stage.lamp("a").otherwise(|ask| match ask {
        Ask::Health => Answer::reply(Health::up()),
        Ask::Build | Ask::Shine => Answer::reply(()).after(Duration::from_millis(20)),
    });
    lamp(&board, "a").shine_times(50).await;
    lamp(&board, "hasty").shine_times(20).await;
    let view = until(&board, |view| of(view, "hasty").status == "degraded").await;
    assert!(of(&view, "hasty").reason.unwrap().starts_with("20 of 20 calls in "));
    assert_eq!(of(&view, "a").status, "up", "its other callers have more time");
}

#[tokio::test(start_paused = true)]
async fn the_interval_is_the_one_of_the_configuration() {
    let stage = Stage::default();
    let board = stage.lit(&["a"], "health.every = '100s'").await;
    stage.fails("a", ErrorKind::Unavailable);
    lamp(&board, "a").shine_times(20).await;
    pass(EVERY * 8).await;
    assert_eq!(status(&board, "a"), "up");
    pass(EVERY * 4).await;
    assert_eq!(status(&board, "a"), "degraded");
}
