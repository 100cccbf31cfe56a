//! Streams as one answer.

use std::time::Duration;

use futures_util::FutureExt as _;
use proptest::prelude::*;
use switchboard_core::{ErrorKind, Lifecycle as _, Outcome, Result};
use switchboard_provider::{Drained, Provider as _, RequestResponse as _, drain, function};
use switchboard_testkit::drop_at_every_await;

use crate::source::{Heard, Life, Source, Step, failure, given, on_paused_clock, steps};

#[tokio::test(start_paused = true)]
async fn all_items_are_read_and_the_source_is_closed() -> Result<()> {
    let life = Life::default();
    let steps = [Step::Give(1), Step::Wait(60), Step::Give(2)];
    assert_eq!(drain(Source::new(steps).living(&life), 2).await?, [1, 2]);
    assert_eq!(life.counts(), (1, 1, 1));
    assert!(drain(Source::of([]), 0).await?.is_empty());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn more_items_than_may_be_read_are_an_error_and_the_source_is_closed() {
    let life = Life::default();
    let error = drain(Source::of(0..3).living(&life), 2).await.unwrap_err();
    assert_eq!((error.kind(), error.context_value("items_max")), (ErrorKind::TooLarge, Some("2")));
    assert_eq!(life.counts(), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_error_ends_it_and_one_of_closing_is_kept_beside_it() {
    let life = Life::default();
    let steps = [Step::Give(1), Step::Fail(7), Step::Give(2)];
    let error = drain(Source::new(steps).living(&life), 9).await.unwrap_err();
    assert_eq!((error.context_value("number"), error.related().len()), (Some("7"), 0));
    assert_eq!(life.counts(), (1, 1, 1));

    let error = drain(Source::new(steps).failing_to_close(), 9).await.unwrap_err();
    assert_eq!(error.context_value("number"), Some("7"));
    assert_eq!(error.related()[0].message(), "it does not close");
}

#[tokio::test(start_paused = true)]
async fn items_that_cannot_be_closed_are_an_error_although_all_were_read() {
    let error = drain(Source::of(0..3).failing_to_close(), 9).await.unwrap_err();
    assert_eq!(error.message(), "it does not close");
    assert_eq!(error.context_value("during"), Some("close"));
}

#[tokio::test(start_paused = true)]
async fn items_that_are_always_there_do_not_keep_others_waiting() -> Result<()> {
    let mut draining = Box::pin(drain(Source::of(0..1_000), 1_000));
    assert!(draining.as_mut().now_or_never().is_none(), "others get to run");
    assert_eq!(draining.await?, (0..1_000).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn dropped_at_any_await_it_drops_its_source() {
    let life = Life::default();
    let make = || {
        let steps = [Step::Wait(10), Step::Give(1), Step::Wait(10), Step::Give(2)];
        drain(Source::new(steps).living(&life).closing_in(Duration::from_millis(10)), 9)
    };
    let awaits = drop_at_every_await(make, async |_| {
        let (begun, _, dropped) = life.counts();
        assert_eq!(begun, dropped);
    });
    assert_eq!(awaits.await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_drained_stream_answers_and_never_says_of_what_it_opened_that_nothing_happened()
-> Result<()> {
    let stream = function::stream("numbers", |steps: Vec<Step>| async move {
        match steps.first() {
            None => Err(failure(0).not_applied()),
            Some(_) => Ok(Refusing(Source::new(steps))),
        }
    });
    let drained = Drained::new(stream, 2);
    let all: Vec<u32> = drained.execute(vec![Step::Give(1), Step::Give(2)]).await?;
    assert_eq!(all, [1, 2]);
    let outcome = async |steps| {
        let answer: Result<Vec<u32>> = drained.execute(steps).await;
        answer.unwrap_err().outcome()
    };
    assert_eq!(outcome(vec![]).await, Outcome::NotApplied, "it did not open");
    assert_eq!(outcome(vec![Step::Fail(1)]).await, Outcome::Unknown);
    assert_eq!(outcome(vec![Step::Give(1); 3]).await, Outcome::Unknown, "too many");
    assert_eq!(drained.name(), "numbers");
    drained.close().await
}

/// Items that say of each error that nothing happened.
struct Refusing(Source);

impl switchboard_provider::Items<u32> for Refusing {
    fn next(&mut self) -> switchboard_core::Reply<'_, Option<u32>> {
        switchboard_core::Reply::run(async {
            self.0.next().await.map_err(switchboard_core::Error::not_applied)
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn draining_is_collecting_up_to_the_first_error(steps in steps(), max in 0..40_usize) {
        on_paused_clock(async {
            let life = Life::default();
            let drained = drain(Source::new(steps.clone()).living(&life), max).await;
            let mut expected = Ok(Vec::new());
            for heard in given(&steps) {
                match (heard, &mut expected) {
                    (Heard::Item(_), Ok(all)) if all.len() == max => {
                        expected = Err(ErrorKind::TooLarge);
                    }
                    (Heard::Item(item), Ok(all)) => all.push(item),
                    (Heard::Failure(_), Ok(_)) => expected = Err(ErrorKind::Unavailable),
                    (_, Err(_)) => {}
                }
            }
            prop_assert_eq!(drained.map_err(|error| error.kind()), expected);
            prop_assert_eq!(life.counts(), (1, 1, 1));
            Ok(())
        })?;
    }
}
