//! Items as streams and streams as items.

use std::future::pending;
use std::time::Duration;

use futures_util::stream::FusedStream as _;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use proptest::prelude::*;
use switchboard_core::{Clock, Error, ErrorKind, Policy, Reply, Result};
use switchboard_provider::bridge::futures::{into_stream, items};
use switchboard_provider::{Items, function};
use switchboard_testkit::{assert_idle, drop_at_every_await, poll_settled};

use crate::families::{Census, Citizen, Countdowns, serving};
use crate::wires::Journal;

/// Counts down, one a second, and notes when it is closed.
struct Countdown {
    left: u64,
    closed: Journal<u64>,
    _citizen: Citizen,
}

impl Items<u64> for Countdown {
    fn next(&mut self) -> Reply<'_, Option<u64>> {
        Reply::run(async {
            Clock::system().sleep(Duration::from_secs(1)).await;
            let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
            self.left = left;
            Ok(Some(left))
        })
    }

    fn close(&mut self) -> Reply<'_, ()> {
        Reply::run(async {
            self.closed.note(std::mem::take(&mut self.left));
            Ok(())
        })
    }
}

fn countdown(from: u64) -> (Countdown, Journal<u64>, Census) {
    let (closed, census) = (Journal::default(), Census::default());
    let items = Countdown { left: from, closed: closed.clone(), _citizen: census.born() };
    (items, closed, census)
}

fn lost() -> Error {
    Error::new(ErrorKind::Unavailable, "connection lost")
}

#[tokio::test(start_paused = true)]
async fn a_stream_gives_the_items_in_order_and_ends_where_they_end() -> Result<()> {
    let (items, closed, census) = countdown(3);
    let mut stream = into_stream(items);
    assert!(!stream.is_terminated());
    assert_eq!(stream.by_ref().try_collect::<Vec<_>>().await?, [2, 1, 0]);
    assert!(stream.is_terminated());
    let asked = Clock::system().now();
    assert_eq!(stream.next().await.transpose()?, None, "the end stays the end");
    assert_eq!(Clock::system().now(), asked, "and the items are left alone");
    assert!(closed.entries().is_empty(), "the end closes nothing");
    stream.close().await?;
    assert_eq!((closed.entries(), census.count()), (vec![0], 0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_error_is_an_item_and_not_the_end() {
    let given = [Ok(1), Err(lost()), Ok(2)];
    let mut stream = into_stream(items(stream::iter(given)));
    assert_eq!(stream.next().await.unwrap().unwrap(), 1);
    assert_eq!(stream.next().await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(stream.next().await.unwrap().unwrap(), 2);
    assert!(stream.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_closed_gives_up_the_item_on_its_way() -> Result<()> {
    let (items, closed, census) = countdown(3);
    let mut stream = into_stream(items);
    assert_eq!(stream.next().await.transpose()?, Some(2));
    assert!(stream.next().now_or_never().is_none(), "an item is on its way");
    let began = Clock::system().now();
    stream.close().await?;
    assert_eq!(Clock::system().now(), began, "nobody waited for it");
    assert_eq!((closed.entries(), census.count()), (vec![2], 0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_stream_may_be_dropped_with_an_item_on_its_way() {
    let (items, closed, census) = countdown(3);
    let mut stream = into_stream(items);
    assert!(stream.next().now_or_never().is_none());
    drop(stream);
    assert_eq!((closed.entries(), census.count()), (vec![], 0));
}

#[tokio::test(start_paused = true)]
async fn a_combinator_that_forgets_its_future_loses_no_item() -> Result<()> {
    let (items, ..) = countdown(3);
    let mut stream = into_stream(items);
    let mut seen = Vec::new();
    loop {
        // Half a second is never enough, so each item is asked for several times.
        let wait = tokio::time::sleep(Duration::from_millis(500));
        tokio::select! {
            item = stream.next() => match item {
                Some(item) => seen.push(item?),
                None => break,
            },
            () = wait => {}
        }
    }
    assert_eq!(seen, [2, 1, 0]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_neither_kept_nor_polled_after_its_end() -> Result<()> {
    let census = Census::default();
    let citizen = census.born();
    let mut left = vec![7];
    let fragile = stream::poll_fn(move |_| {
        let _ = &citizen;
        assert!(!left.is_empty(), "polled after its end");
        let next = left.pop().filter(|number| *number != 0).map(Ok);
        if next.is_some() {
            left.push(0);
        }
        std::task::Poll::Ready(next)
    });
    let mut items = items(fragile);
    assert_eq!(items.next().await?, Some(7));
    assert_eq!(census.count(), 1);
    for _ in 0..3 {
        assert_eq!(items.next().await?, None);
    }
    assert_eq!(census.count(), 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn items_that_are_closed_drop_their_stream_and_are_over() -> Result<()> {
    let census = Census::default();
    let citizen = census.born();
    let mut endless = items(stream::repeat_with(move || {
        let _ = &citizen;
        Ok(7)
    }));
    assert_eq!(endless.next().await?, Some(7));
    drop(endless.close());
    assert_eq!(census.count(), 1, "a reply does nothing until it is awaited");
    endless.close().await?;
    endless.close().await?;
    assert_eq!((endless.next().await?, census.count()), (None, 0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_next_that_is_dropped_at_any_await_leaves_the_item_to_the_next_one() {
    let slow = stream::iter(0..100_u64).then(async |number| {
        Clock::system().sleep(Duration::from_secs(1)).await;
        Ok(number)
    });
    let items = tokio::sync::Mutex::new(items(slow));
    let mut expected = 0..;
    let awaits = drop_at_every_await(
        async || items.lock().await.next().await.map(drop),
        async |_| {
            let next = items.lock().await.next().await.unwrap();
            // The last run came to its end and took one.
            let skipped = next == expected.clone().nth(1);
            assert!(next == expected.next() || skipped, "{next:?}");
        },
    );
    assert_eq!(awaits.await, 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_handle_opened_is_a_stream_like_any_other() -> Result<()> {
    let provider = function::stream("countdown", |from: u64| async move {
        Ok(items(stream::iter((0..from).rev().map(Ok))))
    });
    let countdowns = serving::<Countdowns>(provider, Policy::default())?;
    let main = countdowns.handle("main")?;

    let sum = into_stream(main.open(4).await?).try_fold(0, async |sum, number| Ok(sum + number));
    assert_eq!(sum.await?, 6);
    assert_idle(main.line()).await;

    let mut open = into_stream(main.open(4).await?);
    open.next().await.transpose()?;
    assert_eq!(main.line().in_flight(), 1);
    open.close().await?;
    assert_idle(main.line()).await;
    let figures = main.line().figures();
    let of = |name| figures.iter().find(|figures| figures.operation == name).unwrap().succeeded;
    assert_eq!((of("open"), of("next"), of("close")), (2, 6, 1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_close_that_hangs_can_be_dropped() {
    struct Hangs {
        _citizen: Citizen,
    }
    impl Items<()> for Hangs {
        fn next(&mut self) -> Reply<'_, Option<()>> {
            Reply::ready(Ok(None))
        }
        fn close(&mut self) -> Reply<'_, ()> {
            Reply::run(pending())
        }
    }
    let census = Census::default();
    let hangs = Hangs { _citizen: census.born() };
    let mut closing = Box::pin(into_stream(hangs).close());
    assert!(poll_settled(&mut closing).await.is_pending());
    assert_eq!(census.count(), 1);
    drop(closing);
    assert_eq!(census.count(), 0);
}

/// What a stream gives, and how often it is pending before.
fn script() -> impl Strategy<Value = Vec<(u8, Result<u8, ()>)>> {
    let item = prop_oneof![3 => any::<u8>().prop_map(Ok), 1 => Just(Err(()))];
    prop::collection::vec((0_u8..3, item), 0..20)
}

proptest! {
    #[test]
    fn there_and_back_changes_nothing(script in script(), abandoned in 0_u8..3) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let given = stream::iter(script.clone()).then(async |(pauses, item)| {
                for _ in 0..pauses {
                    tokio::task::yield_now().await;
                }
                item.map_err(|()| lost())
            });
            let mut back = items(into_stream(items(given)));
            let mut seen = Vec::new();
            loop {
                for _ in 0..abandoned {
                    // Only what was pending may be given up: an item in hand is an item taken.
                    let mut next = back.next();
                    if let Some(item) = (&mut next).now_or_never() {
                        match item.transpose() {
                            Some(item) => seen.push(item.map_err(drop)),
                            None => break,
                        }
                    }
                }
                match back.next().await.transpose() {
                    Some(item) => seen.push(item.map_err(drop)),
                    None => break,
                }
            }
            let expected: Vec<_> = script.into_iter().map(|(_, item)| item).collect();
            assert_eq!(seen, expected);
        });
    }
}
