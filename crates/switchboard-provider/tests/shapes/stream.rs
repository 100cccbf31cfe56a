//! One input, many outputs.

use std::time::Duration;

use switchboard_core::{
    BreakerState, Cause, Clock, Deadline, ErrorKind, Gate, Outcome, Priority, Result,
};
use switchboard_provider::{Items, Stream, drain};
use switchboard_testkit::{Answer, Recorder, assert_idle, poll_settled};

use crate::families::{
    Ask, Countdowns, ITEM, Played, all, breaks_after, by, choosing, lost, retries, serving, slots,
    tokens,
};

#[tokio::test(start_paused = true)]
async fn items_are_free_once_the_stream_is_open() -> Result<()> {
    let played = Played::new();
    let policy = all(&[tokens(1), slots(1), breaks_after(1)]);
    let countdowns = serving::<Countdowns>(played, policy)?;
    let main = countdowns.handle("main")?;
    let mut items = main.open(4).await?;

    let gates = main.line().gates().unwrap();
    gates.breaker().unwrap().force_open();
    assert!(gates.rate_limiter().unwrap().try_acquire(1).is_err(), "the only token is gone");
    for _ in 0..100 {
        assert_eq!(items.next().await?, Some(ITEM));
    }
    assert_eq!(main.open(4).await.map(drop).unwrap_err().gate(), Some(Gate::Breaker));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_slot_is_kept_until_the_stream_ends_or_is_closed_or_dropped() -> Result<()> {
    let played = Played::new();
    let countdowns = serving::<Countdowns>(played.clone(), slots(1))?;
    let main = countdowns.handle("main")?;
    let in_use = || main.line().gates().unwrap().bulkhead().unwrap().in_use();

    played.script.expect(Ask::Open, Answer::reply(()));
    played.script.expect(Ask::Next, Answer::reply(None::<u64>));
    let mut items = main.open(4).await?;
    assert_eq!(items.next().await?, None);
    assert_eq!((in_use(), played.open.count()), (0, 1), "nobody waits for what has ended");
    let other = main.open(4).await?;
    assert_eq!(Cause::of(&main.open(4).await.map(drop).unwrap_err()), Some(Cause::Full));
    assert_eq!(main.line().in_flight(), 2, "what has ended may have to be closed");
    items.close().await?;
    assert_eq!((in_use(), played.open.count()), (1, 1), "its place is not given back twice");
    drop(other);
    assert_eq!((in_use(), played.open.count()), (0, 0));

    // Closed, but not dropped yet.
    let mut items = main.open(4).await?;
    Items::close(&mut items).await?;
    assert_eq!((in_use(), played.open.count()), (0, 0));
    Items::close(&mut items).await?;
    assert_eq!(played.asked(Ask::Close), 2, "the second time there is nothing to close");
    assert_eq!(items.next().await?, None);
    assert_idle(main.line()).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_cannot_be_closed_gives_its_place_back_and_says_so() -> Result<()> {
    let played = Played::new();
    let countdowns = serving::<Countdowns>(played.clone(), slots(1))?;
    let main = countdowns.handle("main")?;
    let items = main.open(4).await?;
    played.script.expect(Ask::Close, Answer::fail(lost()));
    let error = items.close().await.unwrap_err();
    assert_eq!(error.place().unwrap().to_string(), "countdowns.main (ready-made) close");
    assert_idle(main.line()).await;
    assert_eq!(played.open.count(), 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_closed_although_the_deadline_has_passed() -> Result<()> {
    let played = Played::new();
    let countdowns = serving::<Countdowns>(played.clone(), slots(1))?;
    let mut items = countdowns.handle("main")?.open(4).await?;
    let over = Deadline::at(Clock::system().now());
    let late = over.scope(items.next()).await.unwrap_err();
    assert_eq!(late.gate(), Some(Gate::Deadline));
    over.scope(items.close()).await?;
    assert_eq!((played.asked(Ask::Close), played.open.count()), (1, 0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_drain_whose_time_is_over_closes_the_stream() -> Result<()> {
    let played = Played::slow(Duration::from_secs(1));
    let countdowns = serving::<Countdowns>(played.clone(), slots(1))?;
    let items = countdowns.handle("main")?.open(4).await?;
    let soon = Deadline::within(&Clock::system(), Duration::from_secs(3));
    let error = soon.scope(drain(items, 9)).await.unwrap_err();
    assert_eq!((error.gate(), error.related().len()), (Some(Gate::Deadline), 0));
    assert_eq!((played.asked(Ask::Close), played.open.count()), (1, 0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_end_is_no_error_and_an_error_is_no_end() -> Result<()> {
    let played = Played::new();
    let countdowns = serving::<Countdowns>(played.clone(), all(&[]))?;
    let mut items = countdowns.handle("main")?.open(4).await?;
    played.script.expect(Ask::Next, Answer::fail(lost()));
    played.script.expect(Ask::Next, Answer::reply(Some(ITEM)));
    played.script.expect(Ask::Next, Answer::reply(None::<u64>));

    let error = items.next().await.unwrap_err();
    assert_eq!(error.place().unwrap().to_string(), "countdowns.main (ready-made) next");
    assert_eq!(items.next().await?, Some(ITEM));
    for _ in 0..3 {
        assert_eq!(items.next().await?, None);
    }
    assert_eq!(played.asked(Ask::Next), 3, "after the end the provider is left alone");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_item_is_never_asked_for_again_and_what_becomes_of_it_is_seen() -> Result<()> {
    let played = Played::new();
    let countdowns = serving::<Countdowns>(played.clone(), all(&[retries(3), breaks_after(4)]))?;
    let main = countdowns.handle("main")?;
    let recorder = Recorder::new(countdowns.environment().events());
    let mut items = main.open(4).await?;
    for _ in 0..2 {
        played.script.expect(Ask::Next, Answer::fail(lost()));
        items.next().await.unwrap_err();
    }
    assert_eq!(played.asked(Ask::Next), 2);
    let state = || main.line().gates().unwrap().breaker().unwrap().state();
    assert_eq!(state(), BreakerState::Closed, "three calls are too few for a judgement");
    items.next().await?;
    played.script.expect(Ask::Next, Answer::fail(lost()));
    items.next().await.unwrap_err();
    assert_eq!(state(), BreakerState::Open);
    assert_eq!(recorder.names(), ["BreakerOpened"]);
    let figures = main.line().figures();
    let next = figures.iter().find(|figures| figures.operation == "next").unwrap();
    assert_eq!((next.succeeded, &next.failed[..]), (1, &[(ErrorKind::Unavailable, 3)][..]));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn another_member_opens_what_the_first_cannot() -> Result<()> {
    let (first, second) = (Played::new(), Played::new());
    let countdowns = serving::<Countdowns>(first.clone(), all(&[]))?;
    countdowns.insert("spare", second.clone())?;
    countdowns.group("both", &["main", "spare"], Priority)?;
    first.script.expect(Ask::Open, Answer::fail(lost()));
    let mut items = countdowns.handle("both")?.open(4).await?;
    assert_eq!(items.next().await?, Some(ITEM));
    assert_eq!((first.open.count(), second.open.count()), (0, 1));

    second.script.expect(Ask::Next, Answer::fail(lost()));
    let error = items.next().await.unwrap_err();
    assert_eq!(&*error.place().unwrap().instance, "spare", "an open stream fails over nowhere");
    assert_eq!(first.asked(Ask::Open), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn swapped_under_an_open_stream_it_goes_on_until_the_drain_limit() -> Result<()> {
    let (old, new) = (Played::new(), Played::new());
    let countdowns = choosing::<Countdowns>(&[("old", &old), ("new", &new)])?;
    countdowns.configure("main", &by("old").with("drain_limit", "5s"))?;
    let main = countdowns.get("main").await?;
    let (mut items, mut waiting) = (main.open(4).await?, main.open(4).await?);
    let swapped = countdowns.swap("main", &by("new")).await?;

    let mut other = main.open(4).await?;
    assert_eq!((other.next().await?, items.next().await?), (Some(ITEM), Some(ITEM)));
    assert_eq!((old.open.count(), new.open.count()), (2, 1), "both go on");
    old.script.expect(Ask::Next, Answer::hang());
    let mut waits = Box::pin(waiting.next());
    assert!(poll_settled(&mut waits).await.is_pending());

    let began = Clock::system().now();
    swapped.closed().await?;
    assert_eq!(Clock::system().now() - began, Duration::from_secs(5));
    let (under_way, late) = (waits.await.unwrap_err(), items.next().await.unwrap_err());
    assert_eq!((under_way.kind(), under_way.outcome()), (ErrorKind::Unavailable, Outcome::Unknown));
    assert_eq!((late.kind(), late.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied));
    assert_eq!(late.hints().collect::<Vec<_>>(), ["open it again"]);
    assert_eq!(old.asked(Ask::Next), 2, "what may not begin asks nobody");
    assert_eq!(other.next().await?, Some(ITEM));
    items.close().await?;
    assert_eq!(old.asked(Ask::Close), 0, "it ended with what gave its items");
    drop((waiting, other));
    assert_idle(main.line()).await;
    assert_eq!((old.open.count(), new.open.count()), (0, 0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_handle_is_a_provider_and_what_it_opens_are_items() -> Result<()> {
    let countdowns = serving::<Countdowns>(Played::new(), all(&[]))?;
    let main = countdowns.handle("main")?;
    let shape: &dyn Stream<u64, u64> = &main;
    assert_eq!(shape.name(), "main");
    let mut items = shape.open(4).await?;
    assert_eq!(items.next().await?, Some(ITEM));
    items.close().await?;
    assert_eq!(items.next().await?, None);
    assert_idle(main.line()).await;
    Ok(())
}
