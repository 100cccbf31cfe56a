//! What becomes of a connection that is given back: nobody else ever has it in an unknown state.

use switchboard_core::ErrorKind;
use switchboard_testkit::{advance, drop_at_every_await};

use super::*;
use crate::{Begin, Reset, State};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn what_is_as_it_was_goes_back_at_once_and_without_a_job() {
    let bench = Bench::new(1);
    let mut taken = bench.take().await;
    let mut busy = taken.begin(None);
    busy.connection().begin(&Begin::default()).await.unwrap();
    busy.connection().commit().await.unwrap();
    busy.end();
    let jobs = bench.environment.reaper().figures().done;
    drop(taken);
    assert_eq!(bench.idle(), 1);
    settle().await;
    assert_eq!(bench.environment.reaper().figures().done, jobs);
}

#[tokio::test(start_paused = true)]
async fn an_open_transaction_is_rolled_back_before_anybody_else_has_the_connection() {
    let bench = Bench::new(1);
    let mut taken = bench.take().await;
    taken.connection().begin(&Begin::default()).await.unwrap();
    assert_eq!(taken.state(), State::InTransaction);
    let mut next = bench.start();
    assert!(is_pending(&mut next).await);
    bench.server.script().call_takes = SECOND / 2;
    drop(taken);
    assert_eq!((bench.idle(), bench.pool.figures().resting), (0, 1));
    assert!(is_pending(&mut next).await);
    advance(SECOND / 2).await;
    let taken = served(&mut next).await;
    assert_eq!(taken.state(), State::Idle);
    assert_eq!(bench.server.log(), ["1 begin", "1 rollback"]);
}

#[tokio::test(start_paused = true)]
async fn after_a_dropped_call_the_connection_is_looked_at_first() {
    for (found, expected) in [
        (State::Idle, vec!["1 commit", "1 recover"]),
        (State::InTransaction, vec!["1 commit", "1 recover", "1 rollback"]),
        (State::Failed, vec!["1 commit", "1 recover", "1 rollback"]),
    ] {
        let bench = Bench::new(1);
        let mut taken = bench.take().await;
        bench.server.script().call_takes = SECOND / 10;
        bench.server.script().recovers.push_back(Ok(found));
        drop_a_call(&mut taken).await;
        assert_eq!(taken.state(), State::Unknown);
        drop(taken);
        assert_eq!(bench.idle(), 0);
        advance(SECOND).await;
        assert_eq!(
            (bench.idle(), bench.server.log()),
            (1, expected.into_iter().map(str::to_owned).collect())
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_panics_is_a_dropped_one() {
    let bench = Bench::new(1);
    let mut taken = bench.take().await;
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _busy = taken.begin(None);
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    drop(taken);
    settle().await;
    assert_eq!((bench.idle(), bench.server.log()), (1, vec!["1 recover".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_later_call_does_not_make_a_dropped_one_known() {
    let bench = Bench::new(1);
    let mut taken = bench.take().await;
    // As far as the connection itself knows, nothing has happened.
    drop(taken.begin(None));
    taken.begin(None).end();
    assert_eq!(taken.state(), State::Unknown);
    assert_eq!(taken.recover().await.unwrap(), State::Idle);
    bench.server.log();

    bench.server.script().call_takes = SECOND / 10;
    drop_a_call(&mut taken).await;
    taken.begin(None).end();
    assert_eq!(taken.state(), State::Unknown);
    assert_eq!(taken.recover().await.unwrap(), State::Idle);
    assert_eq!(taken.state(), State::Idle);
    let before = bench.server.log().len();
    assert_eq!(taken.recover().await.unwrap(), State::Idle, "nothing to ask");
    assert_eq!((before, bench.server.log().len()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_recovery_may_be_dropped_at_every_await() {
    let bench = Bench::new(1);
    bench.warm(1).await;
    bench.server.script().call_takes = SECOND / 10;
    let make = async || {
        let mut taken = bench.take().await;
        drop_a_call(&mut taken).await;
        taken.recover().await.unwrap();
    };
    let check = async |_| {
        advance(SECOND).await;
        bench.assert_at_rest().await;
    };
    assert!(drop_at_every_await(make, check).await > 0);
    let log = bench.server.log();
    let count = |what: &str| log.iter().filter(|line| line.ends_with(what)).count();
    assert!(count("recover") >= count("commit"), "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_recovered_is_closed_and_its_place_is_free() {
    let bench = Bench::new(1);
    let mut taken = bench.take().await;
    bench.server.script().call_takes = SECOND / 10;
    let lost = Error::new(ErrorKind::Unexpected, "nobody knows");
    bench.server.script().recovers.push_back(Err(lost));
    drop_a_call(&mut taken).await;
    drop(taken);
    assert_eq!(id(&mut bench.take().await), "2");
    assert_eq!(bench.closed(), [(CloseReason::Broken, 1)]);
}

#[tokio::test(start_paused = true)]
async fn cleaning_that_takes_longer_than_a_second_ends_with_the_connection() {
    let bench = Bench::new(1);
    let mut taken = bench.take().await;
    bench.server.script().call_takes = 60 * SECOND;
    drop_a_call(&mut taken).await;
    drop(taken);
    let before = Clock::system().now();
    assert_eq!(id(&mut bench.take().await), "2");
    assert_eq!(Clock::system().now() - before, SECOND);
    assert_eq!(bench.closed(), [(CloseReason::Unclean, 1)]);
    settle().await;
    assert!(bench.server.log().contains(&"1 close".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn what_a_user_left_is_taken_away_as_the_policy_says() {
    for (reset, without, with) in
        [(Reset::Tracked, 0, 1), (Reset::Always, 1, 1), (Reset::Never, 0, 0)]
    {
        for (has_residue, expected) in [(false, without), (true, with)] {
            let bench = Bench::with(1, |config| config.reset = reset);
            let mut taken = bench.take().await;
            if has_residue {
                taken.leaves_residue();
            }
            drop(taken);
            settle().await;
            assert_eq!(bench.pool.figures().resets, expected, "{reset:?} {has_residue}");
            assert_eq!(bench.server.log().len() as u64, expected);
            assert_eq!(bench.idle(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn residue_in_a_transaction_is_taken_away_after_the_rollback() {
    let bench = Bench::new(1);
    let mut taken = bench.take().await;
    taken.connection().begin(&Begin::default()).await.unwrap();
    taken.leaves_residue();
    drop(taken);
    settle().await;
    assert_eq!(bench.server.log(), ["1 begin", "1 rollback", "1 reset"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_discarded_nobody_has_again() {
    let bench = Bench::new(1);
    let mut taken = bench.take().await;
    taken.discard();
    drop(taken);
    assert_eq!(id(&mut bench.take().await), "2");
    assert_eq!(bench.closed(), [(CloseReason::Discarded, 1)]);
    assert_eq!(bench.server.log(), ["1 close"]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_broke_in_use_takes_its_older_siblings_along() {
    let bench = Bench::new(4);
    let mut broken = bench.take().await;
    let mut in_use = bench.take().await;
    bench.warm(1).await;
    advance(SECOND / 10).await;
    bench.server.restart();
    broken.connection().ping().await.unwrap_err();
    drop(broken);
    assert_eq!(bench.closed(), [(CloseReason::Broken, 1), (CloseReason::Distrusted, 1)]);

    // The one in use was not asked yet, so it is asked before somebody else has it.
    assert_eq!(id(&mut in_use), "2");
    drop(in_use);
    assert_eq!(id(&mut bench.take().await), "4");
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_used_only_so_often() {
    let bench = Bench::with(1, |config| config.max_uses = 3);
    for expected in ["1", "1", "1", "2", "2", "2", "3"] {
        assert_eq!(id(&mut bench.take().await), expected);
    }
    assert_eq!(bench.closed(), [(CloseReason::Uses, 2)]);
}

#[tokio::test(start_paused = true)]
async fn figures_tell_how_long_was_waited_and_used() {
    let bench = Bench::new(1);
    let held = bench.take().await;
    let mut next = bench.start();
    assert!(is_pending(&mut next).await);
    advance(3 * SECOND).await;
    drop(held);
    let held = served(&mut next).await;
    advance(SECOND).await;
    drop(held);
    let figures = bench.pool.figures();
    assert_eq!((figures.acquired, figures.created, figures.connects.count), (2, 1, 1));
    assert_eq!((figures.uses.count, figures.uses.total), (2, 4 * SECOND));
    assert_eq!(figures.waits.total, 3 * SECOND);
}

#[test]
fn a_connection_that_is_dropped_outside_of_a_runtime_is_given_back() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let bench = Bench::new(1);
    let mut taken = runtime.block_on(bench.take());
    taken.leaves_residue();
    drop(taken);
    runtime.block_on(bench.assert_at_rest());
    assert_eq!((bench.idle(), bench.pool.figures().resets), (1, 1));
}
