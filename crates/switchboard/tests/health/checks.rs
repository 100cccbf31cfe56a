//! What the checks of the managers find, as the board shows it.

use std::time::Duration;

use futures_util::FutureExt as _;
use switchboard_core::{Clock, Error, ErrorKind, Health, Settings};
use switchboard_testkit::{Answer, settle};

use crate::stage::{
    Ask, EVERY, LIMIT, Lamps, ROUND, Stage, lamp, light, of, pass, reason, status, swap, until,
};

#[tokio::test(start_paused = true)]
async fn what_was_last_found_is_shown_worst_first_with_reason_and_age_and_nobody_is_asked() {
    let stage = Stage::default();
    stage.feels("b", Health::degraded("dim"));
    stage.feels("c", Health::down("no bulb"));
    stage.feels("d", Health::not_checked());
    stage.feels("f", Health::down("no power"));
    let board = stage.lit(&["a", "b", "c", "d", "f"], "lamp.e.driver = 'bulb'").await;
    let checks = stage.checks("a");
    pass(Duration::from_secs(5)).await;
    let view = board.health();
    let found = view.instances.iter();
    let found: Vec<_> = found
        .map(|found| (found.instance.as_str(), found.status, found.reason.as_deref()))
        .collect();
    let expected = [
        ("lamp.c", "down", Some("no bulb")),
        ("lamp.f", "down", Some("no power")),
        ("lamp.b", "degraded", Some("dim")),
        ("lamp.d", "not checked", None),
        ("lamp.e", "not checked", None),
        ("lamp.a", "up", None),
    ];
    assert_eq!(found, expected);
    assert_eq!((view.live, view.status), (true, "down"));
    assert_eq!(of(&view, "e").age_ms, None, "nobody has used it yet");
    assert!(of(&view, "a").age_ms.unwrap() >= 5_000.0);
    assert!(view.instances.iter().all(|found| !found.stale));
    assert_eq!(stage.checks("a"), checks);
}

#[tokio::test(start_paused = true)]
async fn a_board_is_as_the_worst_of_what_was_found() {
    let stage = Stage::default();
    let board = stage.board("").await;
    assert_eq!(board.health().status, "up", "there is nothing that could be wrong");
    let board = stage.board("lamp.a.driver = 'bulb'\nlamp.b.driver = 'bulb'").await;
    assert_eq!(board.health().status, "not checked");
    light(&board, "a").await;
    assert_eq!(board.check_health().await.status, "up", "nothing was found of the other one");
    stage.feels("a", Health::degraded("dim"));
    assert_eq!(board.check_health().await.status, "degraded");
}

#[tokio::test(start_paused = true)]
async fn checks_come_by_themselves_and_follow_an_instance_that_flaps() {
    let stage = Stage::default();
    let board = stage.lit(&["a"], "feature.light.needs = ['lamp.a']").await;
    for _ in 0..3 {
        for (health, word) in [(Health::down("flicker"), "down"), (Health::up(), "up")] {
            stage.feels("a", health);
            pass(ROUND).await;
            let view = board.health();
            assert_eq!((of(&view, "a").status, view.ready), (word, word == "up"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_is_down_after_its_limit_and_all_others_are_as_they_are() {
    let stage = Stage::default();
    let board = stage.lit(&["a", "b"], "").await;
    stage.lamp("a").otherwise(|_| Answer::hang());
    stage.feels("b", Health::degraded("dim"));
    let begin = Clock::system().now();
    until(&board, |view| of(view, "b").status == "degraded").await;
    let view = until(&board, |view| of(view, "a").status == "down").await;
    assert!(Clock::system().now() - begin <= ROUND + LIMIT);
    assert_eq!(of(&view, "a").reason.as_deref(), Some("no answer in time"));
    assert!((of(&view, "a").took_ms - 2_000.0).abs() < 2.0);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_panics_or_fails_is_down_and_the_next_one_counts() {
    let stage = Stage::default();
    let board = stage.lit(&["a", "b"], "").await;
    stage.lamp("a").expect(Ask::Health, Answer::panic("it blew"));
    let outage = Error::new(ErrorKind::Unavailable, "no current");
    stage.lamp("b").expect(Ask::Health, Answer::fail(outage));
    board.check_health().await;
    for (name, why) in [("a", "it blew"), ("b", "no current")] {
        assert_eq!(status(&board, name), "down");
        assert!(reason(&board, name).contains(why), "{}", reason(&board, name));
    }
    pass(ROUND).await;
    assert_eq!((status(&board, "a"), status(&board, "b")), ("up", "up"));
}

#[tokio::test(start_paused = true)]
async fn a_verdict_is_stale_where_a_new_one_should_have_come() {
    let stage = Stage::default();
    let board = stage.lit(&["a", "b"], "health = { every = '2s', limit = '1m' }").await;
    stage.lamp("a").otherwise(|_| Answer::hang());
    pass(Duration::from_secs(63)).await;
    let view = board.health();
    assert!(!of(&view, "a").stale, "it may still answer in time: {view:?}");
    // The manager gives up what hangs. Only when nobody gives up, verdicts grow older than that.
    board.close(Duration::from_secs(1)).await;
    let stage = Stage::default();
    let board = stage.lit(&["a"], "lamp.both = { members = ['a'] }").await;
    let age_max = EVERY * 11 / 10 + LIMIT + Duration::from_secs(1);
    block_for(age_max + Duration::from_millis(1));
    let view = board.health();
    assert!(of(&view, "a").age_ms.unwrap() > 14_000.0, "{view:?}");
    assert_eq!((of(&view, "a").status, of(&view, "a").stale), ("up", true));
    assert!(of(&view, "both").stale, "a group knows no more than its members");
    until(&board, |view| !of(view, "a").stale).await;
}

/// Lets time pass in which no task runs, as when one blocks the thread.
fn block_for(time: Duration) {
    assert!(tokio::time::advance(time).now_or_never().is_none(), "it would let others run");
}

#[tokio::test(start_paused = true)]
async fn what_serves_and_was_never_checked_is_stale_after_a_while() {
    let stage = Stage::default();
    stage.lamp("a").otherwise(|_| Answer::hang());
    let limit = Duration::from_mins(10);
    let more = "lamp.a.driver = 'bulb'\nlamp.idle.driver = 'bulb'\n";
    let board = stage.board(&format!("{more}health = {{ every = '2s', limit = '10m' }}")).await;
    light(&board, "a").await;
    pass(EVERY).await;
    assert_eq!((stage.checks("a"), of(&board.health(), "a").stale), (1, false));
    block_for(limit);
    let view = board.health();
    assert_eq!((of(&view, "a").age_ms, of(&view, "a").stale), (None, true));
    assert!(!of(&view, "idle").stale, "there is nothing to check");
    settle().await;
    let found = of(&board.health(), "a");
    assert_eq!((found.status, found.stale), ("down", false), "it was given up");
}

#[tokio::test(start_paused = true)]
async fn what_was_found_of_a_driver_that_has_gone_does_not_hold_for_the_next() {
    let stage = Stage::default();
    stage.feels("a", Health::down("no bulb"));
    let board = stage.lit(&["a"], "").await;
    assert_eq!(status(&board, "a"), "down");
    stage.feels("a", Health::up());
    swap(&board, "a").await;
    let found = of(&board.health(), "a");
    assert_eq!((found.status, found.age_ms), ("not checked", None));
    pass(ROUND).await;
    assert_eq!(status(&board, "a"), "up");
}

#[tokio::test(start_paused = true)]
async fn a_group_is_as_its_members_are() {
    let stage = Stage::default();
    let groups = "
        lamp.both = { members = ['a', 'b'] }
        lamp.inner = { members = ['c'] }
        lamp.outer = { members = ['inner', 'both'] }
    ";
    let board = stage.lit(&["a", "b"], &format!("lamp.c.driver = 'bulb'\n{groups}")).await;
    let shown = |name: &'static str| (status(&board, name), reason(&board, name));
    assert_eq!(shown("both"), ("up", String::new()));
    assert_eq!(shown("inner"), ("not checked", String::new()));
    stage.feels("a", Health::down("no bulb"));
    board.check_health().await;
    assert_eq!(shown("both"), ("degraded", "1 of its 2 members are down".to_owned()));
    assert_eq!(shown("outer"), ("degraded", "1 of its 2 members are degraded".to_owned()));
    stage.feels("b", Health::down("no bulb"));
    light(&board, "c").await;
    stage.feels("c", Health::down("no bulb"));
    board.check_health().await;
    for name in ["both", "inner", "outer"] {
        assert_eq!(shown(name), ("down", "all of its members are down".to_owned()));
    }
    assert_eq!(of(&board.health(), "both").age_ms, Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn a_group_of_groups_is_found_from_the_inside_whatever_they_are_called() {
    let stage = Stage::default();
    let board = stage.lit(&["a"], "").await;
    let manager = board.manager::<Lamps>().unwrap();
    for (name, member) in [("z", "a"), ("y", "z"), ("b", "y")] {
        manager.configure(name, &Settings::new().with("members", [member])).unwrap();
        assert_eq!(status(&board, name), "up");
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_comes_later_is_shown_and_checked() {
    let stage = Stage::default();
    let board = stage.lit(&["a"], "").await;
    let manager = board.manager::<Lamps>().unwrap();
    manager.configure("late", &Settings::new().with("driver", "bulb")).unwrap();
    assert_eq!(status(&board, "late"), "not checked");
    lamp(&board, "late").shine().await.unwrap();
    pass(ROUND).await;
    assert_eq!(status(&board, "late"), "up");
}

#[tokio::test(start_paused = true)]
async fn a_board_that_is_closed_lives_is_not_ready_and_leaves_nothing_running() {
    let stage = Stage::default();
    let board = stage.lit(&["a"], "").await;
    let figures = || board.environment().reaper().figures();
    assert!(board.health().ready && figures().running > 0);
    board.close(LIMIT).await.into_result().unwrap();
    let view = board.health();
    assert_eq!((view.live, view.ready), (true, false));
    settle().await;
    assert_eq!((figures().running, figures().pending), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_board_that_is_dropped_leaves_nothing_running() {
    let stage = Stage::default();
    let board = stage.lit(&["a"], "").await;
    let reaper = board.environment().reaper().clone();
    drop(board);
    settle().await;
    assert_eq!(reaper.figures().running, 0);
}
