//! Callers who go away at any await of any call, on every shape, leave nothing behind.

use std::sync::Arc;
use std::time::Duration;

use switchboard_core::{Effect, Environment, Policy, Result};
use switchboard_provider::{Duplex, RequestResponse, Sink, Stream, guard};
use switchboard_testkit::{Answer, assert_idle, drop_at_every_await};

use crate::families::{
    Ask, Countdowns, Echoes, Journals, Lengths, Played, WORD, all, breaks_after, lost, retries,
    serving, slots,
};

/// How long a provider takes for everything.
const STEP: Duration = Duration::from_millis(1);

/// Gates of all kinds, none of which refuses: what is left behind would show.
fn gates() -> Policy {
    let times = Policy {
        deadline: Some(Duration::from_mins(1)),
        attempt_timeout: Some(Duration::from_secs(1)),
        ..Policy::default()
    };
    all(&[times, slots(1), breaks_after(1_000), retries(3)])
}

/// The first attempt of each call fails after a while.
fn fails_first(played: &Played, ask: Ask) {
    played.script.expect(ask, Answer::fail(lost()).after(STEP));
}

#[tokio::test(start_paused = true)]
async fn a_request() -> Result<()> {
    let played = Played::slow(STEP);
    let main = serving::<Lengths>(played.clone(), gates())?.handle("main")?;
    let request = async || {
        fails_first(&played, Ask::Execute);
        main.execute(WORD.to_owned()).await
    };
    let awaits = drop_at_every_await(request, async |_| assert_idle(main.line()).await);
    assert_eq!(awaits.await, 3, "an attempt, the wait, another attempt");

    let once = async || main.execute_once(WORD.to_owned()).await;
    let awaits = drop_at_every_await(once, async |_| assert_idle(main.line()).await);
    assert_eq!(awaits.await, 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_input() -> Result<()> {
    let played = Played::slow(STEP);
    let main = serving::<Journals>(played.clone(), gates())?.handle("main")?;
    let main = main.with_effect(Effect::Idempotent);
    let input = async || {
        fails_first(&played, Ask::Send);
        main.send(WORD.to_owned()).await
    };
    let awaits = drop_at_every_await(input, async |_| assert_idle(main.line()).await);
    assert_eq!(awaits.await, 3);

    let once = async || main.send_once(WORD.to_owned()).await;
    let awaits = drop_at_every_await(once, async |_| assert_idle(main.line()).await);
    assert_eq!(awaits.await, 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_stream_while_it_is_opened_read_and_closed() -> Result<()> {
    let played = Played::slow(STEP);
    let main = serving::<Countdowns>(played.clone(), gates())?.handle("main")?;
    let reading = async || {
        fails_first(&played, Ask::Open);
        let mut items = main.open(4).await?;
        items.next().await?;
        items.next().await?;
        items.close().await
    };
    let check = async |_| {
        assert_idle(main.line()).await;
        assert_eq!(played.open.count(), 0);
    };
    assert_eq!(drop_at_every_await(reading, check).await, 6);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_next_or_a_close_of_a_stream_that_stays() -> Result<()> {
    let played = Played::slow(STEP);
    let main = serving::<Countdowns>(played.clone(), gates())?.handle("main")?;
    let items = tokio::sync::Mutex::new(main.open(4).await?);
    let next = async || items.lock().await.next().await;
    let check = async |_| {
        assert_eq!(main.line().in_flight(), 1, "the stream, and nothing beside it");
        items.lock().await.next().await.unwrap();
    };
    assert_eq!(drop_at_every_await(next, check).await, 1);

    let close = async || switchboard_provider::Items::close(&mut *items.lock().await).await;
    drop_at_every_await(close, async |polls| {
        let kept = usize::from(polls == 0);
        assert_eq!((main.line().in_flight(), played.open.count()), (kept, kept));
    })
    .await;
    assert_idle(main.line()).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_conversation_while_it_is_opened_used_and_closed() -> Result<()> {
    let played = Played::slow(STEP);
    let main = serving::<Echoes>(played.clone(), gates())?.handle("main")?;
    let talking = async || {
        let conversation = main.open().await?;
        conversation.send(WORD.to_owned()).await?;
        conversation.receive().await?;
        conversation.close().await
    };
    let check = async |_| {
        assert_idle(main.line()).await;
        assert_eq!(played.open.count(), 0);
    };
    assert_eq!(drop_at_every_await(talking, check).await, 4);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_message_of_a_conversation_that_stays() -> Result<()> {
    let played = Played::slow(STEP);
    let main = serving::<Echoes>(played, gates())?.handle("main")?;
    let conversation = main.open().await?;
    let both = async || {
        let (send, receive) = (conversation.send(WORD.to_owned()), conversation.receive());
        tokio::join!(send, receive)
    };
    let check = async |_| {
        assert_eq!(main.line().in_flight(), 1, "the conversation, and nothing beside it");
        conversation.send(WORD.to_owned()).await.unwrap();
        conversation.receive().await.unwrap();
    };
    assert!(drop_at_every_await(both, check).await >= 1);
    drop(conversation);
    assert_idle(main.line()).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_close_of_a_conversation_that_stays() -> Result<()> {
    let played = Played::slow(STEP);
    let main = serving::<Echoes>(played.clone(), gates())?.handle("main")?;
    let conversation = tokio::sync::RwLock::new(main.open().await?);
    let close = async || conversation.read().await.close().await;
    let check = async |polls| {
        let received = conversation.read().await.receive().await.unwrap();
        assert_eq!(received.is_some(), polls == 0, "who has begun to close hears no more");
        conversation.read().await.close().await.unwrap();
        assert_idle(main.line()).await;
        assert_eq!(played.open.count(), 0);
        *conversation.write().await = main.open().await.unwrap();
    };
    assert_eq!(drop_at_every_await(close, check).await, 1);
    Ok(())
}

/// A provider guarded by hand has one slot; a call after each drop finds it free.
#[tokio::test(start_paused = true)]
async fn what_is_guarded_by_hand() -> Result<()> {
    let (environment, effect) = (Environment::new(), Effect::Idempotent);
    let played = Played::slow(STEP);
    let request: Arc<dyn RequestResponse<String, usize>> = Arc::new(played.clone());
    let request = guard::request_response("main", request, gates(), effect, &environment)?;
    let sink: Arc<dyn Sink<String>> = Arc::new(played.clone());
    let sink = guard::sink("main", sink, gates(), effect, &environment)?;
    let stream: Arc<dyn Stream<u64, u64>> = Arc::new(played.clone());
    let stream = guard::stream("main", stream, gates(), effect, &environment)?;
    let duplex: Arc<dyn Duplex<String, String>> = Arc::new(played.clone());
    let duplex = guard::duplex("main", duplex, gates(), &environment)?;
    let executing = async || {
        fails_first(&played, Ask::Execute);
        request.execute(WORD.to_owned()).await
    };
    // A drop before the first poll leaves the first answer in the script, so more may be failures.
    let awaits = drop_at_every_await(executing, async |_| {
        request.execute(WORD.to_owned()).await.unwrap();
    });
    assert_eq!(awaits.await, 3);

    let sending = async || {
        fails_first(&played, Ask::Send);
        sink.send(WORD.to_owned()).await
    };
    let awaits = drop_at_every_await(sending, async |_| {
        sink.send(WORD.to_owned()).await.unwrap();
    });
    assert_eq!(awaits.await, 3);

    let reading = async || {
        let mut items = stream.open(4).await?;
        items.next().await?;
        items.close().await
    };
    let awaits = drop_at_every_await(reading, async |_| {
        assert_eq!(played.open.count(), 0);
        drop(stream.open(4).await.unwrap());
    });
    assert_eq!(awaits.await, 3);

    let talking = async || {
        let conversation = duplex.open().await?;
        conversation.send(WORD.to_owned()).await?;
        conversation.receive().await?;
        conversation.close().await
    };
    let awaits = drop_at_every_await(talking, async |_| {
        assert_eq!(played.open.count(), 0);
        drop(duplex.open().await.unwrap());
    });
    assert_eq!(awaits.await, 4);
    Ok(())
}
