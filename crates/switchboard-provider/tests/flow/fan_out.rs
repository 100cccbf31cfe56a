//! Several streams as one.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use proptest::prelude::*;
use switchboard_core::{
    Clock, Error, ErrorKind, Health, Lifecycle, Outcome, Reply, Result, Retry, Status,
};
use switchboard_provider::{FanOutStream, Items, Provider, Sourced, Stream, function};
use switchboard_testkit::drop_at_every_await;

use crate::source::{
    Heard, Life, Source, Step, given, on_paused_clock, patiences, read_all, steps,
};

type Shared = Arc<dyn Stream<(), u32>>;

/// A stream whose items come from what `make` makes.
fn stream<F>(make: F) -> Shared
where
    F: Fn() -> Result<Source> + Send + Sync + 'static,
{
    Arc::new(function::stream("source", move |()| {
        let opened = make();
        async move {
            tokio::time::sleep(OPENING).await;
            opened
        }
    }))
}

fn giving(steps: impl IntoIterator<Item = Step>) -> Shared {
    let steps: Vec<Step> = steps.into_iter().collect();
    stream(move || Ok(Source::new(steps.clone())))
}

fn merged<const N: usize>(sources: [Shared; N]) -> Result<FanOutStream<(), u32>> {
    let names = (0..N).map(|index| index.to_string());
    FanOutStream::new("merged", names.zip(sources))
}

fn pairs(heard: Vec<Heard<Sourced<u32>>>) -> Vec<(String, u32)> {
    let pairs = heard.into_iter().map(|heard| match heard {
        Heard::Item(sourced) => (sourced.source.to_string(), sourced.item),
        Heard::Failure(number) => ("failure".to_owned(), number),
    });
    pairs.collect()
}

fn expected(pairs: &[(&str, u32)]) -> Vec<(String, u32)> {
    pairs.iter().map(|(name, item)| ((*name).to_owned(), *item)).collect()
}

#[tokio::test(start_paused = true)]
async fn items_come_as_they_come_with_the_name_of_their_source() -> Result<()> {
    let slow = giving([Step::Wait(30), Step::Give(1), Step::Wait(30), Step::Give(2)]);
    let quick = giving([Step::Wait(20), Step::Give(3), Step::Wait(20), Step::Give(4)]);
    let clock = Clock::system();
    let start = clock.now();
    let mut items = merged([slow, quick])?.open(()).await?;
    assert_eq!(clock.now() - start, OPENING, "all are opened at the same time");
    let heard = pairs(read_all(&mut items, &[]).await);
    assert_eq!(heard, expected(&[("1", 3), ("0", 1), ("1", 4), ("0", 2)]));
    assert_eq!(items.next().await?, None, "at every call after the end");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn sources_that_always_have_something_take_turns() -> Result<()> {
    let busy = |first: u32| giving((first..first + 3).map(Step::Give));
    let mut items = merged([busy(0), busy(10), busy(20)])?.open(()).await?;
    let heard = pairs(read_all(&mut items, &[]).await);
    let order: Vec<u32> = heard.into_iter().map(|(_, item)| item).collect();
    assert_eq!(order, [0, 10, 20, 1, 11, 21, 2, 12, 22]);
    Ok(())
}

/// Begins its wait anew with each reply, which it may: it loses no item.
struct Forgetful(u32);

impl Items<u32> for Forgetful {
    fn next(&mut self) -> Reply<'_, Option<u32>> {
        Reply::run(async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.0 += 1;
            Ok(Some(self.0))
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_source_gets_as_far_as_it_would_alone_however_fast_the_others_are() -> Result<()> {
    let slow = function::stream("slow", |()| async { Ok(Forgetful(0)) });
    let ticking = (0..35).flat_map(|_| [Step::Wait(10), Step::Give(0)]);
    let mut items = merged([Arc::new(slow), giving(ticking)])?.open(()).await?;
    let mut from_slow = Vec::new();
    for _ in 0..38 {
        let sourced = items.next().await?.unwrap();
        from_slow.extend((&*sourced.source == "0").then_some(sourced.item));
    }
    assert_eq!(from_slow, [1, 2, 3], "one in each tenth of a second");
    items.close().await
}

#[tokio::test(start_paused = true)]
async fn an_error_names_its_source_and_leaves_all_alive() -> Result<()> {
    let failing = giving([Step::Fail(7), Step::Give(1)]);
    let mut items = merged([failing, giving([Step::Wait(9), Step::Give(2)])])?.open(()).await?;
    let error = items.next().await.unwrap_err();
    assert_eq!(
        (error.context_value("source"), error.context_value("number")),
        (Some("0"), Some("7"))
    );
    assert_eq!(pairs(read_all(&mut items, &[]).await), expected(&[("0", 1), ("1", 2)]));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_has_ended_with_an_error_and_the_others_go_on() -> Result<()> {
    let life = Life::default();
    let lives = life.clone();
    let panicking = stream(move || Ok(Source::new([Step::Panic, Step::Give(1)]).living(&lives)));
    let mut items = merged([panicking, giving([Step::Give(2)])])?.open(()).await?;
    let error = items.next().await.unwrap_err();
    assert_eq!((error.kind(), error.context_value("source")), (ErrorKind::Unexpected, Some("0")));
    assert_eq!(error.context_value("panic"), Some("on purpose"));
    assert_eq!(life.counts(), (1, 0, 1));
    assert_eq!(pairs(read_all(&mut items, &[]).await), expected(&[("1", 2)]));
    items.close().await
}

#[tokio::test(start_paused = true)]
async fn where_one_does_not_open_those_that_did_are_closed_and_every_error_is_kept() -> Result<()> {
    let life = Life::default();
    let (lives, stubborn) = (life.clone(), life.clone());
    let refused = || Error::new(ErrorKind::Unavailable, "connection refused").not_applied();
    let all = merged([
        stream(move || Ok(Source::of([1]).living(&lives))),
        stream(move || Err(refused())),
        stream(move || Ok(Source::of([1]).living(&stubborn).failing_to_close())),
        stream(|| {
            Err(Error::new(ErrorKind::Timeout, "late").not_applied().with_retry(Retry::Never))
        }),
    ])?;
    let error = all.open(()).await.map(drop).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Never));
    assert_eq!(error.outcome(), Outcome::Unknown, "some did open");
    assert_eq!(error.context_value("failed"), Some("2 of 4 sources"));
    let whose = |error: &Error| error.context_value("source").map(str::to_owned);
    let whose: Vec<_> = error.related().iter().filter_map(whose).collect();
    assert_eq!(whose, ["1", "3", "2"], "the last of them did not close");
    assert_eq!(life.counts(), (2, 2, 2));

    let none = merged([stream(move || Err(refused()))])?;
    let error = none.open(()).await.map(drop).unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied, "no one did");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_opening_that_failed_is_told_without_waiting_for_those_that_are_slower() -> Result<()> {
    let life = Life::default();
    let lives = life.clone();
    let opened = stream(move || Ok(Source::of([1]).living(&lives)));
    let refused = || Error::new(ErrorKind::Unavailable, "connection refused").not_applied();
    let is_given_up = Arc::new(());
    let token = is_given_up.clone();
    let slow = function::stream("slow", move |()| {
        let token = token.clone();
        async move {
            tokio::time::sleep(Duration::from_hours(1)).await;
            drop(token);
            Ok(Source::of([2]))
        }
    });
    let all = merged([Arc::new(slow), opened, stream(move || Err(refused()))])?;
    let clock = Clock::system();
    let start = clock.now();
    let error = all.open(()).await.map(drop).unwrap_err();
    assert_eq!(clock.now() - start, OPENING);
    assert_eq!(Arc::strong_count(&is_given_up), 2, "only the source itself still has it");
    assert_eq!(error.context_value("failed"), Some("1 of 3 sources"));
    assert_eq!(life.counts(), (1, 1, 1));

    let slow = function::stream("slow", |()| std::future::pending::<Result<Source>>());
    let error = merged([Arc::new(slow), stream(move || Err(refused()))])?.open(()).await;
    let error = error.map(drop).unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "the one that was given up may have opened");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn closing_closes_all_whatever_they_are_doing_and_keeps_every_error() -> Result<()> {
    let life = Life::default();
    let source = |steps: &'static [Step], closes: bool| {
        let life = life.clone();
        stream(move || {
            let source = Source::new(steps.to_vec()).living(&life);
            let source = source.closing_in(Duration::from_millis(50));
            Ok(if closes { source } else { source.failing_to_close() })
        })
    };
    let all = merged([
        source(RESTING, false),
        source(WAITING, true),
        source(WAITING, false),
        source(&[], true),
    ])?;
    let mut items = all.open(()).await?;
    // The first gives at once; the others are asked as well before it is asked again.
    items.next().await?;
    items.next().await?;
    assert!(items.next().now_or_never().is_none());

    let clock = Clock::system();
    let start = clock.now();
    let error = items.close().await.unwrap_err();
    assert_eq!(clock.now() - start, Duration::from_millis(50), "all at the same time");
    let whose = error.related().iter().filter_map(|error| error.context_value("source"));
    assert_eq!(whose.collect::<Vec<_>>(), ["0", "2"]);
    assert_eq!(life.counts(), (4, 4, 4));
    assert_eq!(items.next().await?, None);
    items.close().await
}

#[tokio::test(start_paused = true)]
async fn dropped_at_any_await_all_sources_go_with_it() {
    let life = Life::default();
    let make = async || {
        let source = || {
            let life = life.clone();
            let steps = [Step::Wait(10), Step::Give(1), Step::Wait(10)];
            stream(move || {
                let source = Source::new(steps).living(&life);
                Ok(source.closing_in(Duration::from_millis(10)))
            })
        };
        let mut items = merged([source(), source()])?.open(()).await?;
        while items.next().await?.is_some() {}
        items.close().await
    };
    let awaits = drop_at_every_await(make, async |_| {
        let (begun, _, dropped) = life.counts();
        assert_eq!(begun, dropped);
    });
    assert!(awaits.await >= 4);
}

#[tokio::test(start_paused = true)]
async fn a_closing_that_was_dropped_can_be_done_again_and_no_item_comes_after_it() -> Result<()> {
    let life = Life::default();
    let lives = life.clone();
    let slow = stream(move || {
        let source = Source::of([1, 2]).living(&lives);
        Ok(source.closing_in(Duration::from_millis(50)))
    });
    let mut items = merged([slow])?.open(()).await?;
    assert!(items.close().now_or_never().is_none());
    assert_eq!(items.next().await?, None);
    items.close().await?;
    assert_eq!(life.counts(), (1, 1, 1));
    Ok(())
}

#[test]
fn a_fan_out_has_sources_not_too_many_and_each_its_own_name() {
    let some = |names: &[&str]| {
        let sources = names.iter().map(|name| ((*name).to_owned(), giving([])));
        FanOutStream::new("all", sources.collect::<Vec<_>>()).map(drop)
    };
    assert_eq!(some(&[]).unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(some(&["a"; 65]).unwrap_err().context_value("members"), Some("65"));
    assert_eq!(some(&["a", "b", "a"]).unwrap_err().context_value("source"), Some("a"));
    assert!(some(&["a", "b"]).is_ok());
}

/// A stream that is as it is told.
struct Told(Health);

impl Lifecycle for Told {
    fn init(&self) -> Reply<'_, ()> {
        Reply::ready(match self.0.status {
            Status::Down => Err(Error::new(ErrorKind::Unavailable, "it does not start")),
            _ => Ok(()),
        })
    }

    fn health(&self) -> Reply<'_, Health> {
        Reply::ready(Ok(self.0.clone()))
    }
}

impl Provider for Told {
    fn name(&self) -> &'static str {
        "told"
    }
}

impl Stream<(), u32> for Told {
    fn open(&self, (): ()) -> Reply<'_, Box<dyn Items<u32>>> {
        Reply::ready(Ok(Box::new(Source::of([]))))
    }
}

#[tokio::test(start_paused = true)]
async fn it_lives_with_its_sources_and_is_as_well_as_the_worst() -> Result<()> {
    let well = merged([Arc::new(Told(Health::up())), Arc::new(Told(Health::degraded("tired")))])?;
    well.init().await?;
    assert_eq!(well.health().await?.reason.as_deref(), Some("1 is degraded: tired"));
    assert_eq!(well.name(), "merged");
    well.close().await?;

    let ill = merged([Arc::new(Told(Health::up())), Arc::new(Told(Health::down("gone")))])?;
    assert_eq!(ill.health().await?.status, Status::Down);
    let error = ill.init().await.unwrap_err();
    assert_eq!(error.related()[0].context_value("source"), Some("1"));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_source_keeps_its_order_and_nothing_is_lost_however_often_a_wait_is_dropped(
        sources in proptest::collection::vec(steps(), 1..5),
        patiences in patiences(),
    ) {
        on_paused_clock(async {
            let names = (0..sources.len()).map(|index| index.to_string());
            let all = names.zip(sources.iter().map(|steps| giving(steps.clone())));
            let mut items = FanOutStream::new("all", all).unwrap().open(()).await.unwrap();
            let heard = read_all(&mut items, &patiences).await;

            let total: usize = sources.iter().map(|steps| given(steps).len()).sum();
            prop_assert_eq!(heard.len(), total);
            for (index, steps) in sources.iter().enumerate() {
                let name = index.to_string();
                let from_this = heard.iter().filter_map(|heard| match heard {
                    Heard::Item(sourced) if *sourced.source == *name => Some(sourced.item),
                    _ => None,
                });
                let items = given(steps).into_iter().filter_map(|given| match given {
                    Heard::Item(item) => Some(item),
                    Heard::Failure(_) => None,
                });
                prop_assert_eq!(from_this.collect::<Vec<_>>(), items.collect::<Vec<_>>());
            }
            Ok(())
        })?;
    }
}

const RESTING: &[Step] = &[Step::Give(1), Step::Give(2)];
const WAITING: &[Step] = &[Step::Wait(900), Step::Give(3)];
const OPENING: Duration = Duration::from_millis(1);
