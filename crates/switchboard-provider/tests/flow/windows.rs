//! Items in windows, by number and by time.

use std::num::NonZeroUsize;
use std::time::Duration;

use futures_util::FutureExt as _;
use proptest::prelude::*;
use switchboard_core::{Clock, Lifecycle as _, Reply, Result};
use switchboard_provider::{Items, Provider as _, Stream, Windowed, Windows, function, windows};
use switchboard_testkit::{drop_at_every_await, poll_settled};

use crate::source::{
    Heard, Life, Source, Step, given, on_paused_clock, patiences, read_all, steps,
};

/// Windows of three items, open for a hundred milliseconds.
fn of_three(source: Source) -> Windows<Source, u32> {
    windows(source, size(3), Duration::from_millis(100), &Clock::system())
}

fn size(size: usize) -> NonZeroUsize {
    NonZeroUsize::new(size).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_window_is_given_when_it_is_full_and_the_last_at_the_end() -> Result<()> {
    let mut windows = of_three(Source::of(0..7));
    let mut given = Vec::new();
    while let Some(window) = windows.next().await? {
        given.push(window);
    }
    assert_eq!(given, [vec![0, 1, 2], vec![3, 4, 5], vec![6]]);
    assert_eq!(windows.next().await?, None, "at every call after it");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_window_is_given_when_its_time_is_over_counted_from_its_first_item() -> Result<()> {
    let steps = [Step::Wait(500), Step::Give(1), Step::Wait(60), Step::Give(2), Step::Wait(60)];
    let mut windows = of_three(Source::new(steps.into_iter().chain([Step::Give(3)])));
    let clock = Clock::system();
    let start = clock.now();
    assert_eq!(windows.next().await?, Some(vec![1, 2]));
    assert_eq!(clock.now() - start, Duration::from_millis(600), "none is given empty before");
    assert_eq!(windows.next().await?, Some(vec![3]));
    assert_eq!(clock.now() - start, Duration::from_millis(620), "the end does not wait");
    assert_eq!(windows.next().await?, None);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_window_of_no_time_takes_what_is_there_at_once() -> Result<()> {
    let steps = [Step::Give(1), Step::Give(2), Step::Wait(1), Step::Give(3)];
    let mut windows = windows(Source::new(steps), size(9), Duration::ZERO, &Clock::system());
    assert_eq!(windows.next().await?, Some(vec![1, 2]));
    assert_eq!(windows.next().await?, Some(vec![3]));
    Ok(())
}

/// Always has an item, each of which takes a millisecond of everybody's time.
struct Busy(u32);

impl Items<u32> for Busy {
    fn next(&mut self) -> Reply<'_, Option<u32>> {
        Reply::run(async {
            tokio::time::advance(Duration::from_millis(1)).now_or_never();
            self.0 += 1;
            Ok((self.0 < 2_000).then_some(self.0))
        })
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_window_ends_it_also_where_there_is_always_an_item() -> Result<()> {
    let within = Duration::from_millis(20);
    let mut windows = windows(Busy(0), NonZeroUsize::MAX, within, &Clock::system());
    assert_eq!(windows.next().await?, Some((1..=21).collect()));
    assert_eq!(windows.next().await?, Some((22..=42).collect()));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_window_of_no_time_does_not_take_for_ever_what_is_there_at_once() -> Result<()> {
    let source = Source::of(0..1_000);
    let mut windows = windows(source, NonZeroUsize::MAX, Duration::ZERO, &Clock::system());
    let mut together = Vec::new();
    while let Some(window) = windows.next().await? {
        assert!(window.len() <= 64, "{} items", window.len());
        together.extend(window);
    }
    assert_eq!(together, (0..1_000).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_window_that_is_long_in_filling_lets_others_run_and_a_deadline_end_the_wait() -> Result<()>
{
    let hour = Duration::from_hours(1);
    let mut windows = windows(Busy(0), NonZeroUsize::MAX, hour, &Clock::system());
    let patience = Duration::from_millis(500);
    tokio::time::timeout(patience, windows.next()).await.unwrap_err();
    assert_eq!(windows.next().await?, Some((1..2_000).collect()), "nothing is lost by that");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_time_without_end_never_comes() -> Result<()> {
    let steps = [Step::Give(1), Step::Wait(1_000_000_000), Step::Give(2)];
    let mut windows = windows(Source::new(steps), size(9), Duration::MAX, &Clock::system());
    assert_eq!(windows.next().await?, Some(vec![1, 2]));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_error_comes_after_the_items_before_it_and_is_not_the_end() -> Result<()> {
    let steps = [Step::Give(1), Step::Give(2), Step::Fail(7), Step::Fail(8), Step::Give(3)];
    let mut windows = of_three(Source::new(steps));
    assert_eq!(windows.next().await?, Some(vec![1, 2]));
    for number in ["7", "8"] {
        let error = windows.next().await.unwrap_err();
        assert_eq!(error.context_value("number"), Some(number));
    }
    assert_eq!(windows.next().await?, Some(vec![3]));
    assert_eq!(windows.next().await?, None);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn dropping_a_wait_loses_no_item_and_does_not_lengthen_the_window() -> Result<()> {
    let steps = [Step::Give(1), Step::Wait(60), Step::Give(2), Step::Wait(60), Step::Give(3)];
    let mut windows = of_three(Source::new(steps));
    let clock = Clock::system();
    let start = clock.now();
    for _ in 0..9 {
        tokio::time::timeout(Duration::from_millis(10), windows.next()).await.unwrap_err();
    }
    assert_eq!(windows.next().await?, Some(vec![1, 2]));
    assert_eq!(clock.now() - start, Duration::from_millis(100));
    assert_eq!(windows.next().await?, Some(vec![3]));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_window_that_is_asked_for_late_is_given_at_once_with_what_is_there_by_then() -> Result<()>
{
    let steps = [Step::Give(1), Step::Wait(60), Step::Give(2), Step::Wait(600), Step::Give(3)];
    let mut windows = of_three(Source::new(steps));
    assert!(poll_settled(&mut windows.next()).await.is_pending());
    tokio::time::advance(Duration::from_millis(300)).await;
    assert_eq!(windows.next().now_or_never().expect("at once")?, Some(vec![1, 2]));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn after_closing_there_are_no_items_and_closing_again_does_nothing_bad() -> Result<()> {
    let life = Life::default();
    let steps = [Step::Give(1), Step::Fail(7), Step::Wait(60), Step::Give(2)];
    let mut windows = of_three(Source::new(steps).living(&life));
    assert_eq!(windows.next().await?, Some(vec![1]), "the error is still to come");
    windows.close().await?;
    assert_eq!(windows.next().await?, None);
    windows.close().await?;
    drop(windows);
    assert_eq!(life.counts(), (1, 2, 1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_closing_that_nobody_waited_for_loses_no_item() -> Result<()> {
    let mut windows = of_three(Source::new([Step::Give(1), Step::Wait(60), Step::Give(2)]));
    assert!(poll_settled(&mut windows.next()).await.is_pending());
    drop(windows.close());
    assert_eq!(windows.next().await?, Some(vec![1, 2]));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_stream_in_windows_is_a_stream_with_the_life_of_the_one_inside() -> Result<()> {
    let up_to = function::stream("up to", |end: u32| async move { Ok(Source::of(0..end)) });
    let windowed = Windowed::new(up_to, size(2), Duration::from_secs(1), Clock::system());
    let mut items: Box<dyn Items<Vec<u32>>> = windowed.open(3).await?;
    assert_eq!(items.next().await?, Some(vec![0, 1]));
    items.close().await?;
    assert_eq!(windowed.name(), "up to");
    windowed.init().await?;
    windowed.close().await
}

#[tokio::test(start_paused = true)]
async fn dropped_at_any_await_the_source_goes_with_the_windows() {
    let life = Life::default();
    let make = async || {
        let steps = [Step::Wait(10), Step::Give(1), Step::Wait(10), Step::Give(2), Step::Wait(200)];
        let source = Source::new(steps).living(&life).closing_in(Duration::from_millis(10));
        let mut windows = of_three(source);
        windows.next().await?;
        windows.close().await
    };
    let awaits = drop_at_every_await(make, async |_| {
        let (begun, _, dropped) = life.counts();
        assert_eq!(begun, dropped);
    });
    assert_eq!(awaits.await, 4);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn windows_put_together_are_the_items_in_their_order_however_often_a_wait_is_dropped(
        steps in steps(),
        patiences in patiences(),
        size in 1..6_usize,
        within in 0..50_u64,
    ) {
        on_paused_clock(async {
            let within = Duration::from_millis(within);
            let source = Source::new(steps.clone());
            let mut windows = windows(source, self::size(size), within, &Clock::system());
            let mut together = Vec::new();
            for heard in read_all(&mut windows, &patiences).await {
                match heard {
                    Heard::Failure(number) => together.push(Heard::Failure(number)),
                    Heard::Item(window) => {
                        prop_assert!(!window.is_empty() && window.len() <= size, "{:?}", window);
                        together.extend(window.into_iter().map(Heard::Item));
                    }
                }
            }
            prop_assert_eq!(together, given(&steps));
            Ok(())
        })?;
    }
}
