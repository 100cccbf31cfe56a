//! Conversations as pairs of a sink and a stream, and back.

use std::task::Poll;
use std::time::Duration;

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _, TryStreamExt as _, stream};
use proptest::prelude::*;
use switchboard_core::{Clock, Error, ErrorKind, Outcome, Policy, Reply, Result};
use switchboard_provider::bridge::futures::{conversation, split};
use switchboard_provider::{Conversation, function};
use switchboard_testkit::{advance, assert_idle, drop_at_every_await, poll_settled};
use tokio::sync::mpsc;

use crate::families::{Census, Echoes, serving};
use crate::wires::{echo, heard, line, said};

/// What it has come to, without waiting for anything else.
async fn at_once<T>(mut reply: Reply<'_, T>) -> Result<T> {
    match poll_settled(&mut reply).await {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("it still waits"),
    }
}

#[tokio::test(start_paused = true)]
async fn two_ends_hear_each_other_until_one_hangs_up() -> Result<()> {
    let (here, there) = line(4);
    here.send("hello").await?;
    assert_eq!(there.receive().await?, Some("hello"));
    there.send("hello yourself").await?;
    there.close().await?;
    assert_eq!(here.receive().await?, Some("hello yourself"), "what was said before is heard");
    for _ in 0..2 {
        assert_eq!(here.receive().await?, None);
    }
    assert_eq!(here.send("?").await.unwrap_err().kind(), ErrorKind::Unavailable);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn after_the_end_nothing_is_heard_and_nothing_can_be_said() -> Result<()> {
    let (here, there) = line(4);
    there.send(7).await?;
    here.close().await?;
    here.close().await?;
    assert_eq!(here.receive().await?, None, "also of what was on its way");
    let error = here.send(8).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::InvalidInput, Outcome::NotApplied));
    assert_eq!(there.receive().await?, None, "the other side has heard of it");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_end_reaches_whoever_waits_even_if_nobody_polls_him() -> Result<()> {
    let (here, there) = line(1);
    here.send(0).await?;
    let (mut receiving, mut waiting) = (here.receive(), here.receive());
    let (mut sending, mut behind) = (here.send(1), here.send(2));
    assert!(poll_settled(&mut receiving).await.is_pending());
    assert!(poll_settled(&mut waiting).await.is_pending());
    assert!(poll_settled(&mut sending).await.is_pending());
    assert!(poll_settled(&mut behind).await.is_pending());

    let (closed, first) = tokio::join!(here.close(), there.receive());
    closed?;
    assert_eq!(first?, Some(0));
    // Those behind do not wait for those in front of them.
    assert_eq!((at_once(waiting).await?, at_once(receiving).await?), (None, None));
    assert_eq!(at_once(behind).await.unwrap_err().outcome(), Outcome::NotApplied);
    assert_eq!(at_once(sending).await.unwrap_err().outcome(), Outcome::Unknown);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_task_that_waits_for_a_message_is_woken_by_the_end() -> Result<()> {
    let (here, there) = line::<u32>(1);
    let here = std::sync::Arc::new(here);
    let waiting = here.clone();
    let mut waiting = Box::pin(async move { waiting.receive().await });
    assert!(poll_settled(&mut waiting).await.is_pending());
    let mut also = Box::pin(async move {
        advance(Duration::from_secs(1)).await;
        here.close().await
    });
    // Woken by the other task and by nothing else.
    let (heard, closed) = tokio::join!(waiting, &mut also);
    assert_eq!(heard?, None);
    closed?;
    drop(there);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn each_message_goes_to_one_of_those_who_wait() -> Result<()> {
    let (here, there) = line(4);
    let heard = async { tokio::try_join!(here.receive(), here.receive(), here.receive()) };
    let said = async {
        for number in 1..=3 {
            there.send(number).await?;
        }
        Ok(())
    };
    assert_eq!(tokio::try_join!(heard, said)?.0, (Some(1), Some(2), Some(3)));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_receive_that_is_dropped_at_any_await_loses_no_message() {
    let (sender, receiver) = mpsc::channel(64);
    for number in 0..64_u32 {
        sender.try_send(number).unwrap();
    }
    let slow = heard(receiver).then(async |number| {
        Clock::system().sleep(Duration::from_secs(1)).await;
        number
    });
    let here = conversation(slow, said(sender));
    let mut next = 0..;
    let awaits = drop_at_every_await(
        async || here.receive().await.map(drop),
        async |polls| {
            // The last of three runs came to its end.
            let expected = if polls == 2 { next.nth(1) } else { next.next() };
            assert_eq!(here.receive().await.unwrap(), expected);
        },
    );
    assert_eq!(awaits.await, 1);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_not_the_end() -> Result<()> {
    let lost = Error::new(ErrorKind::Unavailable, "connection lost");
    let (sender, _receiver) = mpsc::channel::<u8>(1);
    let here = conversation(stream::iter([Err(lost), Ok(7)]), said(sender));
    assert_eq!(here.receive().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!((here.receive().await?, here.receive().await?), (Some(7), None));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_conversation_is_split_and_both_halves_work_at_once() -> Result<()> {
    let (here, there) = line(1);
    let (mut say, hear) = split::<u32, u32, _>(here);
    let saying = async { say.send_all(&mut stream::iter((0..20).map(Ok))).await };
    let hearing = hear.take(20).try_collect::<Vec<_>>();
    let (said, heard, echoed) = tokio::join!(saying, hearing, async {
        let patience = Duration::from_secs(1);
        tokio::time::timeout(patience, echo(there)).await.unwrap_or(Ok(()))
    });
    said?;
    echoed?;
    assert_eq!(heard?, (0..20).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn closing_one_half_ends_the_other() -> Result<()> {
    let (here, there) = line::<u32>(1);
    let (mut say, mut hear) = split::<u32, u32, _>(here);
    say.close().await?;
    assert_eq!(hear.next().await.transpose()?, None);
    assert_eq!(there.receive().await?, None);

    let (here, there) = line::<u32>(1);
    let (mut say, mut hear) = split::<u32, u32, _>(here);
    assert!(hear.next().now_or_never().is_none());
    hear.close().await?;
    assert_eq!(say.send(1).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(there.receive().await?, None);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_message_that_could_not_be_sent_is_told_at_the_end_and_keeps_nothing_open() -> Result<()>
{
    let (sender, receiver) = mpsc::channel::<u32>(1);
    let (_there, here) = mpsc::channel::<u32>(1);
    drop(receiver);
    let (mut say, mut hear) = split::<u32, u32, _>(conversation(heard(here), said(sender)));
    say.feed(1).await?;
    assert_eq!(say.close().await.unwrap_err().message(), "the other side hung up");
    let next = poll_settled(&mut hear.next()).await;
    assert!(matches!(next, Poll::Ready(None)), "{next:?}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn dropping_both_halves_drops_the_conversation() {
    let census = Census::default();
    let citizen = census.born();
    let heard = stream::poll_fn(move |_| {
        let _ = &citizen;
        Poll::<Option<Result<u32>>>::Pending
    });
    let (sender, _receiver) = mpsc::channel::<u32>(1);
    let (say, mut hear) = split::<u32, u32, _>(conversation(heard, said(sender)));
    assert!(hear.next().now_or_never().is_none());
    drop(hear);
    assert_eq!(census.count(), 1);
    drop(say);
    assert_eq!(census.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_handle_opened_is_split_like_any_other() -> Result<()> {
    let provider = function::duplex("mirror", || async {
        let (sender, receiver) = mpsc::channel::<String>(4);
        Ok(conversation(heard(receiver), said(sender)))
    });
    let echoes = serving::<Echoes>(provider, Policy::default())?;
    let main = echoes.handle("main")?;
    let (mut say, mut hear) = split(main.open().await?);
    say.send("hello".to_owned()).await?;
    assert_eq!(hear.next().await.transpose()?.as_deref(), Some("hello"));
    assert_eq!(main.line().in_flight(), 1);
    say.close().await?;
    assert_eq!(hear.next().await.transpose()?, None);
    drop((say, hear));
    assert_idle(main.line()).await;
    let figures = main.line().figures();
    let of = |name| figures.iter().find(|figures| figures.operation == name).unwrap().succeeded;
    assert_eq!((of("open"), of("send"), of("receive"), of("close")), (1, 1, 1, 1));
    Ok(())
}

proptest! {
    #[test]
    fn what_goes_through_pair_halves_and_pair_again_comes_back(
        messages in prop::collection::vec(any::<u16>(), 0..30),
        room in 1_usize..4,
    ) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let (here, there) = line(room);
            let (say, hear) = split::<u16, u16, _>(here);
            let again = conversation(hear, say);
            let talking = async {
                let said = async {
                    for message in &messages {
                        again.send(*message).await.unwrap();
                    }
                };
                let heard = async {
                    let mut heard = Vec::new();
                    while heard.len() < messages.len() {
                        heard.push(again.receive().await.unwrap().unwrap());
                    }
                    heard
                };
                let ((), heard) = tokio::join!(said, heard);
                again.close().await.unwrap();
                heard
            };
            let (heard, echoed) = tokio::join!(talking, echo(there));
            echoed.unwrap();
            assert_eq!(heard, messages);
        });
    }
}
