//! Checks on request.

use std::time::Duration;

use futures_util::future::join_all;
use switchboard_core::{Clock, Health};
use switchboard_testkit::{Answer, assert_idle, drop_at_every_await, settle};

use crate::stage::{Ask, LIMIT, Stage, lamp, of, pass};

/// A board whose background checks are out of the way.
const SELDOM: &str = "health = { every = '10000s', limit = '2s' }";

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_at_once_make_one_round_and_all_hear_of_it() {
    let stage = Stage::default();
    let board = stage.lit(&["a", "b"], SELDOM).await;
    let before = (stage.checks("a"), stage.checks("b"));
    stage.feels("a", Health::degraded("dim"));
    let views = join_all((0..1_000).map(|_| board.check_health())).await;
    assert_eq!((stage.checks("a"), stage.checks("b")), (before.0 + 1, before.1 + 1));
    assert!(views.iter().all(|view| of(view, "a").status == "degraded"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[expect(clippy::disallowed_methods, reason = "callers on several threads are what is tested")]
async fn callers_on_several_threads_share_rounds_too() {
    let stage = Stage::default();
    let board = stage.lit(&["a"], SELDOM).await;
    let before = stage.checks("a");
    let callers = (0..1_000).map(|_| {
        let board = board.clone();
        tokio::spawn(async move { board.check_health().await })
    });
    for view in join_all(callers).await {
        assert_eq!(of(&view.unwrap(), "a").status, "up");
    }
    // On a machine that is slow enough many come after a round has begun.
    let rounds = stage.checks("a") - before;
    assert!((1..500).contains(&rounds), "{rounds}");
}

#[tokio::test(start_paused = true)]
async fn who_comes_when_a_round_has_begun_is_served_by_the_next() {
    let stage = Stage::default();
    let board = stage.lit(&["a"], SELDOM).await;
    let before = stage.checks("a");
    let (held, release) = Answer::reply(Health::up()).held();
    stage.lamp("a").expect(Ask::Health, held);
    stage.feels("a", Health::degraded("dim"));
    let early = board.check_health();
    let late = async {
        pass(LIMIT / 4).await;
        assert_eq!(stage.checks("a"), before + 1, "the round has begun");
        let asked = join_all((0..100).map(|_| board.check_health()));
        let release = async {
            pass(LIMIT / 4).await;
            assert_eq!(stage.checks("a"), before + 1, "rounds do not overlap");
            drop(release);
        };
        futures_util::future::join(asked, release).await.0
    };
    let (early, late) = futures_util::future::join(early, late).await;
    assert_eq!(stage.checks("a"), before + 2);
    assert_eq!(of(&early, "a").status, "up");
    assert!(late.iter().all(|view| of(view, "a").status == "degraded"));
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_delays_nobody_beyond_the_limit() {
    let stage = Stage::default();
    let board = stage.lit(&["a", "b"], SELDOM).await;
    stage.lamp("a").otherwise(|_| Answer::hang());
    stage.feels("b", Health::degraded("dim"));
    let clock = Clock::system();
    let begin = clock.now();
    let first = async {
        let view = board.check_health().await;
        assert!(clock.now() - begin <= LIMIT, "{:?}", clock.now() - begin);
        view
    };
    let second = async {
        pass(LIMIT / 2).await;
        assert_eq!(of(&board.health(), "b").status, "degraded", "it did not wait for the other");
        let asked = clock.now();
        let view = board.check_health().await;
        assert!(clock.now() - asked <= LIMIT);
        view
    };
    let (first, second) = futures_util::future::join(first, second).await;
    for view in [first, second] {
        let found = of(&view, "a");
        assert_eq!((found.status, found.reason.as_deref()), ("down", Some("no answer in time")));
        assert_eq!(of(&view, "b").status, "degraded");
        assert!(of(&view, "a").age_ms.unwrap() <= 1_010.0, "{view:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_takes_nothing_with_it() {
    let stage = Stage::default();
    let board = stage.lit(&["a"], SELDOM).await;
    let before = stage.checks("a");
    let (held, release) = Answer::reply(Health::degraded("dim")).held();
    stage.lamp("a").expect(Ask::Health, held);
    let stays = board.check_health();
    let leaves = tokio::time::timeout(LIMIT / 4, board.check_health());
    let lets_go = async {
        pass(LIMIT / 2).await;
        drop(release);
    };
    let (view, left, ()) = futures_util::future::join3(stays, leaves, lets_go).await;
    left.unwrap_err();
    assert_eq!((of(&view, "a").status, stage.checks("a")), ("degraded", before + 1));

    stage.lamp("a").expect(Ask::Health, Answer::reply(Health::down("dark")));
    drop(tokio::time::timeout(Duration::ZERO, board.check_health()).await);
    pass(LIMIT).await;
    assert_eq!(of(&board.health(), "a").status, "down", "the round goes on without its caller");
}

#[tokio::test(start_paused = true)]
async fn a_caller_may_leave_at_any_await_and_nothing_stays_behind() {
    let stage = Stage::default();
    let board = stage.lit(&["a"], SELDOM).await;
    let clock = Clock::system();
    stage.lamp("a").otherwise(|_| Answer::reply(Health::up()).after(LIMIT / 4));
    let awaits = drop_at_every_await(
        || board.check_health(),
        async |_| {
            pass(LIMIT).await;
            assert_idle(lamp(&board, "a").line()).await;
            let asked = clock.now();
            assert_eq!(of(&board.check_health().await, "a").status, "up");
            assert!(clock.now() - asked < LIMIT / 2, "nobody else is in the way");
        },
    );
    assert!(awaits.await >= 1);
}

#[tokio::test(start_paused = true)]
async fn closing_lets_those_go_who_wait_and_nobody_is_asked_after_it() {
    let stage = Stage::default();
    let board = stage.lit(&["a"], SELDOM).await;
    stage.lamp("a").otherwise(|_| Answer::hang());
    let begin = Clock::system().now();
    let closing = async {
        pass(LIMIT / 4).await;
        board.close(LIMIT * 10).await
    };
    let (_, report) = futures_util::future::join(board.check_health(), closing).await;
    report.into_result().unwrap();
    assert_eq!(Clock::system().now() - begin, LIMIT / 4);
    let checks = stage.checks("a");
    assert!(!board.check_health().await.ready);
    settle().await;
    assert_eq!(stage.checks("a"), checks);
    assert_eq!(Clock::system().now() - begin, LIMIT / 4, "nobody waits for what does not come");
}
