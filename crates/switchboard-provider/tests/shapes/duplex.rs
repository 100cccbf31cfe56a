//! Both directions at once.

use std::time::Duration;

use switchboard_core::{
    Cause, Clock, Deadline, Effect, ErrorKind, Event, Gate, HedgeAfter, HedgePolicy, Outcome,
    Policy, Priority, Result, Why,
};
use switchboard_testkit::{Answer, Recorder, assert_idle, poll_settled};

use crate::families::{
    Ask, Echoes, Played, WORD, all, breaks_after, by, choosing, lost, retries, serving, slots,
    tokens, unreachable,
};

#[tokio::test(start_paused = true)]
async fn an_opening_is_never_tried_again_and_an_event_says_so() -> Result<()> {
    let played = Played::new();
    let echoes = serving::<Echoes>(played.clone(), retries(3))?;
    let recorder = Recorder::new(echoes.environment().events());
    let main = echoes.handle("main")?;
    for error in [lost(), unreachable()] {
        played.script.expect(Ask::Open, Answer::fail(error));
        main.open().await.map(drop).unwrap_err();
    }
    assert_eq!(played.asked(Ask::Open), 2, "not even where it certainly did not happen");
    for event in recorder.events() {
        let Event::RetryStopped { operation, attempts, why, .. } = event else {
            panic!("{event:?}")
        };
        assert_eq!((operation, attempts, why), ("open", 1, Why::NeverRetried));
    }
    assert_eq!(recorder.names(), ["RetryStopped"; 2]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn messages_are_free_once_the_conversation_is_open() -> Result<()> {
    let echoes = serving::<Echoes>(Played::new(), all(&[tokens(1), slots(1), breaks_after(1)]))?;
    let main = echoes.handle("main")?;
    let conversation = main.open().await?;
    let gates = main.line().gates().unwrap();
    gates.breaker().unwrap().force_open();
    assert!(gates.rate_limiter().unwrap().try_acquire(1).is_err(), "the only token is gone");
    for _ in 0..100 {
        conversation.send(WORD.to_owned()).await?;
        assert_eq!(conversation.receive().await?.as_deref(), Some(WORD));
    }
    assert_eq!(main.open().await.map(drop).unwrap_err().gate(), Some(Gate::Breaker));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_bulkhead_counts_conversations_that_are_open() -> Result<()> {
    let played = Played::new();
    let echoes = serving::<Echoes>(played.clone(), slots(1))?;
    let main = echoes.handle("main")?;
    let conversation = main.open().await?;
    assert_eq!(Cause::of(&main.open().await.map(drop).unwrap_err()), Some(Cause::Full));
    // Not dropped yet: closing is enough.
    conversation.close().await?;
    assert_eq!((main.line().in_flight(), played.open.count()), (0, 0));
    let other = main.open().await?;
    drop(other);
    assert_eq!(played.open.count(), 0);
    drop(main.open().await?);
    assert_idle(main.line()).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_close_that_fails_is_asked_for_again_until_the_provider_has_closed() -> Result<()> {
    let played = Played::new();
    let echoes = serving::<Echoes>(played.clone(), slots(1))?;
    let main = echoes.handle("main")?;
    let conversation = main.open().await?;
    played.script.expect(Ask::Close, Answer::fail(lost()));
    let error = conversation.close().await.unwrap_err();
    assert_eq!(error.place().unwrap().to_string(), "echoes.main (ready-made) close");
    assert_eq!((main.line().in_flight(), played.open.count()), (1, 1), "nobody closed it");
    assert_eq!(conversation.receive().await?, None);
    let error = conversation.send(WORD.to_owned()).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::InvalidInput, Outcome::NotApplied));

    conversation.close().await?;
    conversation.close().await?;
    assert_eq!(played.asked(Ask::Close), 2, "the third time there is nothing to close");
    assert_eq!((main.line().in_flight(), played.open.count()), (0, 0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_conversation_is_closed_although_the_deadline_has_passed() -> Result<()> {
    let played = Played::new();
    let echoes = serving::<Echoes>(played.clone(), slots(1))?;
    let conversation = echoes.handle("main")?.open().await?;
    let over = Deadline::at(Clock::system().now());
    let late = over.scope(conversation.send(WORD.to_owned())).await.unwrap_err();
    assert_eq!(late.gate(), Some(Gate::Deadline));
    over.scope(conversation.close()).await?;
    assert_eq!((played.asked(Ask::Close), played.open.count()), (1, 0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_close_that_hangs_has_a_limit_of_its_own() -> Result<()> {
    let played = Played::new();
    let echoes = serving::<Echoes>(played.clone(), slots(1))?;
    let main = echoes.handle("main")?;
    let conversation = main.open().await?;
    played.script.expect(Ask::Close, Answer::hang());
    let began = Clock::system().now();
    let error = conversation.close().await.unwrap_err();
    assert_eq!(Clock::system().now() - began, Duration::from_secs(10));
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::Unknown));
    assert_eq!(error.place().unwrap().operation, "close");
    let figures = main.line().figures();
    let close = figures.iter().find(|figures| figures.operation == "close").unwrap();
    assert_eq!(close.failed, [(ErrorKind::Timeout, 1)]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_swap_does_not_wait_for_a_conversation_that_is_closed() -> Result<()> {
    let (old, new) = (Played::new(), Played::new());
    let echoes = choosing::<Echoes>(&[("old", &old), ("new", &new)])?;
    echoes.configure("main", &by("old"))?;
    let conversation = echoes.get("main").await?.open().await?;
    conversation.close().await?;
    let began = Clock::system().now();
    echoes.swap("main", &by("new")).await?.closed().await?;
    assert_eq!(Clock::system().now() - began, Duration::ZERO);
    assert_eq!(conversation.receive().await?, None);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_when_it_is_closed_comes_to_its_end() -> Result<()> {
    let played = Played::new();
    let echoes = serving::<Echoes>(played.clone(), all(&[]))?;
    let main = echoes.handle("main")?;
    let conversation = main.open().await?;
    let (answer, release) = Answer::reply(Some(WORD.to_owned())).held();
    played.script.expect(Ask::Receive, answer);
    let mut receiving = Box::pin(conversation.receive());
    assert!(poll_settled(&mut receiving).await.is_pending());
    conversation.close().await?;
    assert_eq!(main.line().in_flight(), 1, "somebody still uses the driver");
    drop(release);
    assert_eq!(receiving.await?.as_deref(), Some(WORD));
    assert_idle(main.line()).await;
    assert_eq!(played.open.count(), 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn sending_does_not_wait_for_receiving() -> Result<()> {
    let played = Played::new();
    let echoes = serving::<Echoes>(played.clone(), all(&[]))?;
    let main = echoes.handle("main")?;
    let conversation = main.open().await?;
    let (answer, release) = Answer::reply(Some(WORD.to_owned())).held();
    played.script.expect(Ask::Receive, answer);
    let mut receiving = Box::pin(conversation.receive());
    assert!(poll_settled(&mut receiving).await.is_pending());
    conversation.send(WORD.to_owned()).await?;
    drop(release);
    assert_eq!(receiving.await?.as_deref(), Some(WORD));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn after_the_end_the_provider_is_left_alone() -> Result<()> {
    let played = Played::new();
    let echoes = serving::<Echoes>(played.clone(), all(&[]))?;
    let conversation = echoes.handle("main")?.open().await?;
    conversation.close().await?;
    conversation.close().await?;
    assert_eq!(conversation.receive().await?, None);
    let error = conversation.send(WORD.to_owned()).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::InvalidInput, Outcome::NotApplied));
    assert_eq!(error.place().unwrap().operation, "send");
    let asked = [Ask::Open, Ask::Close, Ask::Receive, Ask::Send].map(|ask| played.asked(ask));
    assert_eq!(asked, [1, 1, 0, 0]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_end_is_no_error_and_an_error_is_no_end() -> Result<()> {
    let played = Played::new();
    let echoes = serving::<Echoes>(played.clone(), all(&[]))?;
    let conversation = echoes.handle("main")?.open().await?;
    played.script.expect(Ask::Receive, Answer::fail(lost()));
    played.script.expect(Ask::Receive, Answer::reply(Some(WORD.to_owned())));
    played.script.expect(Ask::Receive, Answer::reply(None::<String>));
    assert_eq!(conversation.receive().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(conversation.receive().await?.as_deref(), Some(WORD));
    assert_eq!(conversation.receive().await?, None);
    conversation.send(WORD.to_owned()).await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn another_member_is_dialled_where_the_effect_allows_it() -> Result<()> {
    let (first, second) = (Played::new(), Played::new());
    let echoes = serving::<Echoes>(first.clone(), retries(3))?;
    echoes.insert("spare", second.clone())?;
    echoes.group("both", &["main", "spare"], Priority)?;
    let both = echoes.handle("both")?;

    first.script.expect(Ask::Open, Answer::fail(lost()));
    drop(both.open().await?);
    assert_eq!((first.asked(Ask::Open), second.asked(Ask::Open)), (1, 1));

    let careful = both.with_effect(Effect::Unsafe);
    first.script.expect(Ask::Open, Answer::fail(lost()));
    careful.open().await.map(drop).unwrap_err();
    assert_eq!((first.asked(Ask::Open), second.asked(Ask::Open)), (2, 1), "it may be open");
    first.script.expect(Ask::Open, Answer::fail(unreachable()));
    drop(careful.open().await?);
    assert_eq!((first.asked(Ask::Open), second.asked(Ask::Open)), (3, 2));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn swapped_under_an_open_conversation_it_goes_on_until_the_drain_limit() -> Result<()> {
    let (old, new) = (Played::new(), Played::new());
    let echoes = choosing::<Echoes>(&[("old", &old), ("new", &new)])?;
    echoes.configure("main", &by("old").with("drain_limit", "5s"))?;
    let main = echoes.get("main").await?;
    let conversation = main.open().await?;
    let swapped = echoes.swap("main", &by("new")).await?;
    conversation.send(WORD.to_owned()).await?;
    old.script.expect(Ask::Receive, Answer::hang());
    let mut receiving = Box::pin(conversation.receive());
    assert!(poll_settled(&mut receiving).await.is_pending());

    let began = Clock::system().now();
    swapped.closed().await?;
    assert_eq!(Clock::system().now() - began, Duration::from_secs(5));
    assert_eq!(receiving.await.unwrap_err().kind(), ErrorKind::Unavailable);
    let late = conversation.send(WORD.to_owned()).await.unwrap_err();
    assert_eq!((late.kind(), late.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied));
    assert_eq!(conversation.receive().await.unwrap_err().kind(), ErrorKind::Unavailable);
    let asked = [Ask::Send, Ask::Receive].map(|ask| (old.asked(ask), new.asked(ask)));
    assert_eq!(asked, [(1, 0), (1, 0)], "what may not begin asks nobody");

    conversation.close().await?;
    assert_eq!(old.asked(Ask::Close), 0, "it ended with what carried it");
    assert_eq!(old.open.count(), 0);
    assert_idle(main.line()).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_opening_that_is_slow_gets_no_other_beside_it() -> Result<()> {
    let played = Played::slow(Duration::from_millis(80));
    let after = HedgeAfter::Delay(Duration::from_millis(50));
    let policy = Policy { hedge: Some(HedgePolicy { after, max: 1 }), ..Policy::default() };
    let echoes = serving::<Echoes>(played.clone(), policy)?;
    drop(echoes.handle("main")?.with_effect(Effect::Read).open().await?);
    assert_eq!(played.asked(Ask::Open), 1);
    Ok(())
}
