//! How a pool ends.

use switchboard_core::{ErrorKind, Outcome};
use switchboard_testkit::{advance, poll_settled};

use super::scripted::Connect;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn nobody_comes_in_and_who_waits_is_refused() {
    let bench = Bench::new(1);
    let held = bench.take().await;
    let mut waiting = bench.start();
    assert!(is_pending(&mut waiting).await);
    let mut closing = Box::pin(bench.pool.close(SECOND));
    assert!(poll_settled(&mut closing).await.is_pending());
    let Poll::Ready(Err(error)) = poll_settled(&mut waiting).await else { panic!("it waits") };
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied));
    assert_eq!(bench.fails().await.kind(), ErrorKind::Unavailable);
    drop(held);
    closing.await.unwrap();
    assert!(bench.server.script().open.is_empty());
}

#[tokio::test(start_paused = true)]
async fn it_waits_until_what_is_in_use_is_given_back_cleaned_and_closed() {
    let bench = Bench::new(3);
    bench.warm(3).await;
    let (one, mut two) = (bench.take().await, bench.take().await);
    let mut closing = Box::pin(bench.pool.close(60 * SECOND));
    assert!(poll_settled(&mut closing).await.is_pending());
    assert_eq!(bench.server.script().open.len(), 2, "the idle one is gone");
    drop(one);
    assert!(poll_settled(&mut closing).await.is_pending());
    bench.server.script().call_takes = SECOND / 2;
    two.leaves_residue();
    drop(two);
    assert!(poll_settled(&mut closing).await.is_pending());
    advance(SECOND).await;
    assert!(matches!(poll_settled(&mut closing).await, Poll::Ready(Ok(()))));
    assert!(bench.server.script().open.is_empty());
    assert_eq!(bench.closed(), [(CloseReason::Closed, 3)]);
}

#[tokio::test(start_paused = true)]
async fn those_that_are_not_given_back_in_time_are_counted_and_named_and_closed_later() {
    let bench = Bench::new(2);
    let line = line!() + 1;
    let held = (bench.take().await, bench.take().await);
    let error = bench.pool.close(SECOND).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.context_value("in use"), Some("2"));
    assert!(error.context_value("held by").unwrap().contains(&format!("closing.rs:{line}")));
    drop(held);
    settle().await;
    assert!(bench.server.script().open.is_empty());
    bench.pool.close(SECOND).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_being_made_is_not_waited_for() {
    let bench = Bench::new(2);
    bench.server.script().connects.extend([Connect::Hang, Connect::After(SECOND)]);
    let (mut one, mut two) = (bench.start(), bench.start());
    assert!(is_pending(&mut one).await && is_pending(&mut two).await);
    let before = Clock::system().now();
    bench.pool.close(60 * SECOND).await.unwrap();
    assert_eq!(Clock::system().now(), before);
    assert_eq!(bench.server.script().connecting, 0);
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_was_never_used_closes_at_once() {
    let bench = Bench::new(2);
    bench.pool.close(Duration::ZERO).await.unwrap();
    assert_eq!(bench.server.script().attempts, 0);
}

#[tokio::test(start_paused = true)]
async fn after_the_end_nothing_is_left_running() {
    let bench = Bench::with(2, |config| config.keepalive = SECOND);
    bench.warm(2).await;
    bench.pool.close(SECOND).await.unwrap();
    settle().await;
    let figures = bench.environment.reaper().figures();
    assert_eq!((figures.running, figures.pending), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_close_that_was_given_up_can_be_said_again() {
    let bench = Bench::new(1);
    let held = bench.take().await;
    let mut closing = Box::pin(bench.pool.close(60 * SECOND));
    assert!(poll_settled(&mut closing).await.is_pending());
    drop(closing);
    assert_eq!(bench.fails().await.kind(), ErrorKind::Unavailable);
    drop(held);
    bench.pool.close(SECOND).await.unwrap();
    assert!(bench.server.script().open.is_empty());
}
