//! How connections are made and handed out.

use std::time::Duration;

use switchboard_core::{Deadline, ErrorKind, Outcome, Retry};
use switchboard_testkit::{advance, drop_at_every_await, settle};

use super::scripted::Connect;
use super::*;
use crate::pool::scoped;
use crate::{Nested, PrePing};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn nothing_is_made_before_somebody_comes_and_then_it_is_made_once() {
    let bench = Bench::with(4, |config| config.min_idle = 2);
    advance(10 * SECOND).await;
    assert_eq!(bench.server.script().attempts, 0);
    for _ in 0..5 {
        drop(bench.take().await);
    }
    settle().await;
    assert_eq!(bench.server.script().made, 3, "one for the caller, and two kept beside it");
    bench.assert_at_rest().await;
}

#[tokio::test(start_paused = true)]
async fn the_connection_that_was_used_last_is_used_next() {
    let bench = Bench::new(3);
    let (mut one, mut two, three) = (bench.take().await, bench.take().await, bench.take().await);
    let (first, second) = (id(&mut one), id(&mut two));
    drop(three);
    drop(one);
    drop(two);
    let (mut next, mut last) = (bench.take().await, bench.take().await);
    assert_eq!((id(&mut next), id(&mut last)), (second, first));
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_served_in_the_order_of_arrival() {
    let bench = Bench::new(1);
    let mut held = bench.take().await;
    let mut waiting: Vec<_> = (0..4).map(|_| bench.start()).collect();
    for acquiring in &mut waiting {
        assert!(is_pending(acquiring).await);
    }
    for next in 0..4 {
        drop(held);
        for later in &mut waiting[1..] {
            assert!(is_pending(later).await, "{next} was overtaken");
        }
        held = served(&mut waiting[0]).await;
        drop(waiting.remove(0));
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_later_does_not_overtake_one_who_was_served_and_has_not_looked_yet() {
    let bench = Bench::new(1);
    let held = bench.take().await;
    let mut first = bench.start();
    assert!(is_pending(&mut first).await);
    drop(held);
    let mut second = bench.start();
    assert!(is_pending(&mut second).await);
    drop(served(&mut first).await);
    drop(served(&mut second).await);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_waiter_gives_its_place_to_the_next() {
    for is_served_before in [false, true] {
        let bench = Bench::new(1);
        let held = bench.take().await;
        let (mut one, mut two) = (bench.start(), bench.start());
        assert!(is_pending(&mut one).await && is_pending(&mut two).await);
        if is_served_before {
            drop(held);
            drop(one);
        } else {
            drop(one);
            drop(held);
        }
        drop(served(&mut two).await);
        drop(two);
        bench.assert_at_rest().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_acquisition_may_be_dropped_at_every_await() {
    let bench = Bench::with(1, |config| config.pre_ping = PrePing::Always);
    bench.warm(1).await;
    bench.server.script().call_takes = SECOND / 10;
    let make = async || {
        let held = bench.take().await;
        let mut next = bench.start();
        assert!(is_pending(&mut next).await);
        drop(held);
        drop(next.await.unwrap());
    };
    // Longer than anything the check has to wait for.
    let check = async |_| {
        advance(2 * SECOND).await;
        bench.assert_at_rest().await;
        assert_eq!(bench.pool.figures().size, 1);
    };
    assert!(drop_at_every_await(make, check).await > 1);
}

#[tokio::test(start_paused = true)]
async fn who_needs_a_new_connection_may_leave_at_every_await() {
    let bench = Bench::new(1);
    let make = async || {
        let script = [Connect::Fail(ErrorKind::Unavailable), Connect::After(SECOND)];
        bench.server.script().connects.extend(script);
        bench.take().await.discard();
    };
    let check = async |_| {
        advance(4 * SECOND).await;
        bench.server.script().connects.clear();
        bench.assert_at_rest().await;
    };
    assert_eq!(drop_at_every_await(make, check).await, 1);
    assert!(bench.pool.figures().connect_failures > 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_being_made_goes_to_the_next_when_its_caller_has_gone() {
    let bench = Bench::new(1);
    bench.server.script().connects.push_back(Connect::After(SECOND));
    let mut gone = bench.start();
    assert!(is_pending(&mut gone).await);
    drop(gone);
    let mut next = bench.start();
    assert!(is_pending(&mut next).await);
    advance(SECOND).await;
    drop(served(&mut next).await);
    assert_eq!(bench.server.script().attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_nobody_wants_any_more_is_kept_for_the_next() {
    let bench = Bench::new(1);
    bench.server.script().connects.push_back(Connect::After(SECOND));
    let mut gone = bench.start();
    assert!(is_pending(&mut gone).await);
    drop(gone);
    advance(SECOND).await;
    assert_eq!(bench.idle(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_given_back_serves_the_one_for_whom_another_is_being_made() {
    let bench = Bench::new(2);
    let held = bench.take().await;
    bench.server.script().connects.push_back(Connect::Hang);
    let mut waiting = bench.start();
    assert!(is_pending(&mut waiting).await);
    drop(held);
    drop(served(&mut waiting).await);
}

#[tokio::test(start_paused = true)]
async fn only_a_few_are_made_at_a_time() {
    let bench = Bench::new(8);
    bench.server.script().connects.extend([Connect::After(SECOND); 8]);
    let mut waiting: Vec<_> = (0..8).map(|_| bench.start()).collect();
    for acquiring in &mut waiting {
        assert!(is_pending(acquiring).await);
    }
    let mut all = Vec::new();
    for mut acquiring in waiting {
        all.push(acquiring.as_mut().await.unwrap());
    }
    let script = bench.server.script();
    assert_eq!((script.connecting_most, script.made), (2, 8));
}

#[tokio::test(start_paused = true)]
async fn while_the_server_refuses_attempts_become_rarer_and_never_many() {
    let bench = Bench::with(8, |config| config.acquire_timeout = 60 * SECOND);
    bench.server.script().refuses = Some(ErrorKind::Unavailable);
    let mut waiting: Vec<_> = (0..8).map(|_| bench.start()).collect();
    for acquiring in &mut waiting {
        assert!(is_pending(acquiring).await);
    }
    advance(30 * SECOND).await;
    let attempts = bench.server.script().attempts;
    assert!((20..120).contains(&attempts), "{attempts} attempts");
    assert!(bench.server.script().connecting_most <= 2);

    bench.server.script().refuses = None;
    advance(3 * SECOND).await;
    for acquiring in &mut waiting {
        drop(served(acquiring).await);
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_waits_for_its_moment_is_called_off_when_nobody_needs_it() {
    let bench = Bench::new(1);
    bench.server.script().refuses = Some(ErrorKind::Unavailable);
    let mut gone = bench.start();
    assert!(is_pending(&mut gone).await);
    drop(gone);
    advance(60 * SECOND).await;
    assert_eq!(bench.server.script().attempts, 1);
    assert_eq!(bench.pool.figures().connecting, 0);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_cannot_heal_is_told_at_once() {
    use ErrorKind::{Config, NotFound, PermissionDenied, Unauthenticated};
    for kind in [Unauthenticated, Config, PermissionDenied, NotFound] {
        let bench = Bench::new(1);
        bench.server.script().connects.push_back(Connect::Fail(kind));
        let before = Clock::system().now();
        assert_eq!(bench.fails().await.kind(), kind);
        assert_eq!(Clock::system().now(), before);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_its_driver_calls_final_is_told_at_once_too() {
    let bench = Bench::new(1);
    bench.server.script().connects.push_back(Connect::Fail(ErrorKind::Corrupt));
    let before = Clock::system().now();
    let error = bench.fails().await;
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Corrupt, Outcome::NotApplied));
    assert_eq!(Clock::system().now(), before);
}

#[tokio::test(start_paused = true)]
async fn where_nobody_has_a_connection_the_time_out_says_why_none_could_be_made() {
    let bench = Bench::new(1);
    bench.server.script().refuses = Some(ErrorKind::Unavailable);
    let error = bench.fails().await;
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied));
    assert_eq!((error.message(), error.retry()), ("refused by the script", Retry::Later));
    assert_eq!(error.context_value("waited"), Some("5.0s"));
    let attempts: usize = error.context_value("attempts").unwrap().parse().unwrap();
    assert!((2..40).contains(&attempts), "{attempts}");
    assert_eq!(bench.pool.figures().timed_out, 1);
}

#[tokio::test(start_paused = true)]
async fn where_somebody_has_one_the_reason_why_none_could_be_made_is_part_of_the_time_out() {
    let bench = Bench::new(2);
    let _held = bench.take().await;
    bench.server.script().refuses = Some(ErrorKind::Unavailable);
    let error = bench.fails().await;
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.related()[0].message(), "refused by the script");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_told_from_a_pool_whose_connections_are_in_use() {
    let bench = Bench::new(1);
    bench.server.script().connects.push_back(Connect::Hang);
    let error = bench.fails().await;
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.message(), "no connection could be made in time");
}

#[tokio::test(start_paused = true)]
async fn who_is_urgent_is_told_of_the_first_failure() {
    let bench = Bench::new(1);
    bench.server.script().refuses = Some(ErrorKind::Unavailable);
    let before = Clock::system().now();
    let error = bench.pool.acquire(urgent()).await.unwrap_err();
    assert_eq!(error.message(), "refused by the script");
    assert_eq!((Clock::system().now(), bench.server.script().attempts), (before, 1));
}

#[tokio::test(start_paused = true)]
async fn who_is_urgent_does_not_wait_for_the_next_attempt_of_others() {
    let bench = Bench::with(1, |config| config.acquire_timeout = 60 * SECOND);
    bench.server.script().refuses = Some(ErrorKind::Unavailable);
    let mut waiting = bench.start();
    assert!(is_pending(&mut waiting).await);
    advance(10 * SECOND).await;
    let before = Clock::system().now();
    bench.pool.acquire(urgent()).await.unwrap_err();
    assert_eq!(Clock::system().now(), before);
    assert!(is_pending(&mut waiting).await);

    bench.server.script().refuses = None;
    drop(bench.pool.acquire(urgent()).await.unwrap());
    assert_eq!(Clock::system().now(), before);
    advance(3 * SECOND).await;
    drop(served(&mut waiting).await);
}

#[tokio::test(start_paused = true)]
async fn where_the_server_has_no_room_for_one_more_the_urgent_are_next_with_those_that_are_there() {
    let bench = Bench::new(1);
    let held = bench.take().await;
    bench.server.script().refuses = Some(ErrorKind::Overloaded);
    let mut check: Acquiring<'_> = Box::pin(bench.pool.acquire(urgent()));
    assert!(is_pending(&mut check).await);
    advance(SECOND).await;
    assert!(is_pending(&mut check).await);
    assert!(bench.server.script().attempts < 20);
    drop(held);
    drop(served(&mut check).await);
}

#[tokio::test(start_paused = true)]
async fn making_a_connection_has_a_limit_and_a_panic_in_it_is_a_failure() {
    let bench = Bench::with(1, |config| config.acquire_timeout = 60 * SECOND);
    bench.server.script().connects.extend([Connect::Hang, Connect::Panic]);
    let before = Clock::system().now();
    drop(bench.take().await);
    let took = Clock::system().now() - before;
    assert!((5 * SECOND..7 * SECOND).contains(&took), "{took:?}");
    assert_eq!(bench.pool.figures().connect_failures, 2);
}

#[tokio::test(start_paused = true)]
async fn the_time_out_says_how_the_pool_is_and_who_has_the_connections() {
    let bench = Bench::new(2);
    let mut one = bench.take().await;
    advance(SECOND).await;
    let line = line!() + 1;
    let _two = bench.take().await;
    one.begin(Some(&Arc::from("select name from t where id = 17"))).end();
    let _busy = one.begin(Some(&Arc::from("delete from t where name = 'ada'")));
    let error = bench.fails().await;

    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::NotApplied));
    assert_eq!(error.retry(), Retry::Later);
    let told: Vec<_> = error.context().map(|(key, value)| format!("{key}: {value}")).collect();
    for expected in
        ["size: 2 of 2", "idle: 0", "in use: 2", "connecting: 0", "waiting: 1", "waited: 5.0s"]
    {
        assert!(told.iter().any(|line| line == expected), "{expected} in {told:?}");
    }
    let held: Vec<_> = told.iter().filter(|line| line.starts_with("held by")).collect();
    assert!(held[0].ends_with(" for 6.0s, running \"delete from t where name = ?\""), "{held:?}");
    assert!(held[1].contains(&format!("handing.rs:{line} for 5.0s, idle")), "{held:?}");
}

#[tokio::test(start_paused = true)]
async fn only_the_three_oldest_holders_are_named() {
    let bench = Bench::new(5);
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(bench.take().await);
        advance(SECOND).await;
    }
    let error = bench.fails().await;
    let ages: Vec<_> = error.context().filter(|(key, _)| *key == "held by").collect();
    assert_eq!(ages.len(), 3);
    assert!(ages[0].1.contains("for 10.0s") && ages[2].1.contains("for 8.0s"), "{ages:?}");
}

#[tokio::test(start_paused = true)]
async fn the_wait_ends_with_the_deadline_of_the_call_around_it() {
    let bench = Bench::new(1);
    let _held = bench.take().await;
    let clock = Clock::system();
    for (limit, expected) in [(2 * SECOND, 2 * SECOND), (9 * SECOND, 5 * SECOND)] {
        let before = clock.now();
        let error = Deadline::within(&clock, limit).scope(bench.fails()).await;
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(clock.now() - before, expected);
    }
    assert_eq!(bench.pool.figures().timed_out, 2);
}

#[tokio::test(start_paused = true)]
async fn who_is_urgent_comes_first_and_may_have_one_beyond_the_most() {
    let bench = Bench::new(1);
    let held = bench.take().await;
    let mut ordinary = bench.start();
    assert!(is_pending(&mut ordinary).await);
    let mut checks = bench.pool.acquire(urgent()).await.unwrap();
    assert_eq!((id(&mut checks).as_str(), bench.pool.figures().size), ("2", 2));
    assert!(is_pending(&mut ordinary).await, "the reserve is not for everybody");

    let mut second: Acquiring<'_> = Box::pin(bench.pool.acquire(urgent()));
    assert!(is_pending(&mut second).await, "there is one of it");
    drop(held);
    let taken = served(&mut second).await;
    assert!(is_pending(&mut ordinary).await);

    drop(taken);
    assert!(is_pending(&mut ordinary).await, "that was the surplus");
    assert_eq!(bench.closed(), [(CloseReason::Surplus, 1)]);
    drop(checks);
    drop(served(&mut ordinary).await);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_may_wait_for_itself_is_told_both_places() {
    let bench = Bench::with(1, |config| config.nested = Nested::Deny);
    in_a_task(&bench, |bench| async move {
        let taken_at = line!() + 1;
        let _held = bench.take().await;
        let wanted_at = line!() + 1;
        let error = bench.start().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let place = |key| error.context_value(key).unwrap().to_owned();
        assert!(place("taken at").contains(&format!("handing.rs:{taken_at}")), "{error}");
        assert!(place("wanted at").contains(&format!("handing.rs:{wanted_at}")), "{error}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_is_allowed_to_wait_for_itself_or_only_warned_waits() {
    for nested in [Nested::Warn, Nested::Allow] {
        let bench = Bench::with(1, |config| config.nested = nested);
        in_a_task(&bench, |bench| async move {
            let _held = bench.take().await;
            assert_eq!(bench.fails().await.kind(), ErrorKind::Timeout);
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_with_room_or_without_a_connection_is_not_nested() {
    let bench = Bench::with(2, |config| config.nested = Nested::Deny);
    in_a_task(&bench, |bench| async move {
        let one = bench.take().await;
        let _two = bench.take().await;
        drop(one);
        drop(bench.take().await);
    })
    .await;
    let _elsewhere = (bench.take().await, bench.take().await);
    in_a_task(&bench, |bench| async move {
        assert_eq!(bench.fails().await.kind(), ErrorKind::Timeout);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn statements_side_by_side_in_one_task_wait_for_each_other() {
    let bench = Bench::with(1, |config| config.nested = Nested::Deny);
    in_a_task(&bench, |bench| async move {
        let single = || Taking { is_scope: false, ..here() };
        let _first = bench.pool.acquire(single()).await.unwrap();
        let second = bench.pool.acquire(single()).await;
        assert_eq!(second.unwrap_err().kind(), ErrorKind::Timeout);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn code_in_a_scope_has_a_connection_whichever_task_runs_it() {
    let deny = |config: &mut PoolConfig| config.nested = Nested::Deny;
    let (bench, other) = (Bench::with(1, deny), Bench::with(1, deny));
    let has_one = scoped(async {
        let _held = bench.take().await;
        let beside = async {
            assert_eq!(bench.fails().await.kind(), ErrorKind::Config);
            let _other = scoped(other.take()).await;
            assert_eq!(other.fails().await.kind(), ErrorKind::Timeout);
        };
        scoped(beside).await;
    });
    let is_beside_it = async {
        tokio::task::yield_now().await;
        assert_eq!(bench.fails().await.kind(), ErrorKind::Timeout);
    };
    tokio::join!(has_one, is_beside_it);
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_of_the_server_the_first_callers_see_no_error() {
    let bench = Bench::new(4);
    bench.warm(4).await;
    advance(SECOND).await;
    bench.server.restart();
    let mut all = Vec::new();
    for _ in 0..4 {
        let mut taken = bench.take().await;
        taken.connection().ping().await.unwrap();
        all.push(taken);
    }
    assert_eq!(bench.closed(), [(CloseReason::Broken, 1), (CloseReason::Distrusted, 3)]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_answer_is_given_up_after_a_second() {
    let bench = Bench::new(2);
    bench.warm(2).await;
    advance(SECOND).await;
    bench.server.restart();
    bench.server.script().is_black_hole = true;
    let before = Clock::system().now();
    let mut taken = bench.take().await;
    assert_eq!((id(&mut taken).as_str(), Clock::system().now() - before), ("3", SECOND));
}

#[tokio::test(start_paused = true)]
async fn after_four_dead_connections_only_a_new_one_will_do() {
    let bench = Bench::with(6, |config| {
        config.pre_ping = PrePing::Always;
        config.acquire_timeout = 60 * SECOND;
    });
    let mut held = Vec::new();
    for _ in 0..6 {
        held.push(bench.take().await);
    }
    advance(SECOND).await;
    let mut waiting = bench.start();
    assert!(is_pending(&mut waiting).await);
    bench.server.restart();
    bench.server.script().connects.push_back(Connect::After(SECOND));
    // Each comes back as if it were fine, when the one before it was found dead.
    for one in held {
        drop(one);
        assert!(is_pending(&mut waiting).await);
    }
    assert_eq!(bench.closed(), [(CloseReason::Broken, 4), (CloseReason::Distrusted, 2)]);
    advance(SECOND).await;
    assert_eq!(id(&mut served(&mut waiting).await), "7");
}

#[tokio::test(start_paused = true)]
async fn who_got_a_dead_connection_keeps_the_place_in_the_queue() {
    let bench = Bench::with(1, |config| config.pre_ping = PrePing::Always);
    let held = bench.take().await;
    let (mut one, mut two) = (bench.start(), bench.start());
    assert!(is_pending(&mut one).await && is_pending(&mut two).await);
    bench.server.restart();
    bench.server.script().connects.push_back(Connect::After(SECOND));
    drop(held);
    assert!(is_pending(&mut one).await && is_pending(&mut two).await);
    advance(SECOND).await;
    assert!(is_pending(&mut two).await, "it was overtaken");
    drop(served(&mut one).await);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_asked_as_the_policy_says() {
    for (policy, after_a_moment, after_a_second) in
        [(PrePing::Never, 0, 0), (PrePing::Idle, 0, 1), (PrePing::Always, 1, 1)]
    {
        let bench = Bench::with(1, |config| config.pre_ping = policy);
        bench.warm(1).await;
        for (pause, expected) in [(SECOND / 4, after_a_moment), (SECOND, after_a_second)] {
            advance(pause).await;
            drop(bench.take().await);
            let pings = bench.server.log().iter().filter(|line| line.ends_with("ping")).count();
            assert_eq!(pings, expected, "{policy:?} after {pause:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_anybody_who_could_make_one_the_caller_is_told() {
    let bench = Bench::new(1);
    for _ in 0..switchboard_core::Reaper::JOBS_MAX {
        let reaper = bench.environment.reaper();
        drop(reaper.submit("hold a place", 60 * SECOND, std::future::pending()));
    }
    let error = bench.fails().await;
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied));
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_to_spare_while_it_is_idle_and_another_one_is_left_for_others() {
    let bench = Bench::new(2);
    assert!(bench.pool.spare().await.is_none(), "nothing is made for that");
    bench.warm(1).await;
    drop(bench.pool.spare().await.expect("one that is idle, where another one can be made"));
    bench.warm(2).await;
    let held = bench.take().await;
    assert!(bench.pool.spare().await.is_none(), "the last one is left");
    drop(held);
    let spare = bench.pool.spare().await.expect("one of two that are idle");
    drop(bench.take().await);
    drop(spare);
    bench.assert_at_rest().await;
    bench.pool.close(SECOND).await.unwrap();
    assert!(bench.pool.is_closed() && bench.pool.spare().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn one_that_may_be_dead_is_asked_before_it_is_spared() {
    let bench = Bench::with(2, |config| config.pre_ping = PrePing::Always);
    bench.warm(1).await;
    assert!(bench.pool.spare().await.is_some());
    bench.server.restart();
    assert!(bench.pool.spare().await.is_none());
}
