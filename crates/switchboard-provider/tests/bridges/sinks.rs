//! Sink providers as sinks of `futures`, and back.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_sink::Sink as FuturesSink;
use futures_util::future::{join_all, poll_fn};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _, sink, stream};
use proptest::prelude::*;
use switchboard_core::{Clock, Error, ErrorKind, Lifecycle as _, Outcome, Policy, Result, Retry};
use switchboard_provider::bridge::futures::{self, InputSink, into_sink};
use switchboard_provider::{Sink, function};
use switchboard_testkit::{assert_idle, drop_at_every_await, poll_settled};
use tokio::sync::mpsc;

use crate::families::{Journals, serving};
use crate::wires::{Journal, heard, hung_up, said};

/// Takes a second for each input, and refuses what is empty.
fn slow(journal: &Journal<String>) -> impl Sink<String> + use<> {
    let journal = journal.clone();
    function::sink("slow", move |line: String| {
        let journal = journal.clone();
        async move {
            Clock::system().sleep(Duration::from_secs(1)).await;
            if line.is_empty() {
                return Err(Error::new(ErrorKind::InvalidInput, "the line is empty"));
            }
            journal.note(line);
            Ok(())
        }
    })
}

async fn ready(sink: &mut InputSink<String>) -> Result<()> {
    poll_fn(|context| Pin::new(&mut *sink).poll_ready(context)).await
}

#[tokio::test(start_paused = true)]
async fn one_input_is_on_its_way_at_a_time() -> Result<()> {
    let journal = Journal::default();
    let mut sink = into_sink(slow(&journal));
    ready(&mut sink).await?;
    Pin::new(&mut sink).start_send("a".to_owned())?;
    let too_soon = Pin::new(&mut sink).start_send("b".to_owned()).unwrap_err();
    assert_eq!(too_soon.kind(), ErrorKind::InvalidInput);
    assert_eq!(too_soon.outcome(), Outcome::NotApplied);
    assert!(ready(&mut sink).now_or_never().is_none());
    assert_eq!(journal.entries(), Vec::<String>::new());
    ready(&mut sink).await?;
    assert_eq!(journal.entries(), ["a"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_input_that_could_not_be_sent_is_told_once_and_the_sink_goes_on() -> Result<()> {
    let journal = Journal::default();
    let mut sink = into_sink(slow(&journal));
    sink.feed(String::new()).await?;
    assert_eq!(sink.feed("a".to_owned()).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    sink.send("b".to_owned()).await?;
    assert_eq!(journal.entries(), ["b"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_closed_sink_has_sent_what_it_took_and_takes_no_more() -> Result<()> {
    let journal = Journal::default();
    let mut sink = into_sink(slow(&journal));
    sink.feed("a".to_owned()).await?;
    sink.close().await?;
    assert_eq!(journal.entries(), ["a"]);
    let error = sink.send("b".to_owned()).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Never));
    sink.close().await?;
    assert_eq!(journal.entries(), ["a"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn closing_tells_of_an_input_that_could_not_be_sent_and_closes_all_the_same() -> Result<()> {
    let mut sink = into_sink(slow(&Journal::default()));
    sink.feed(String::new()).await?;
    assert_eq!(sink.close().await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(sink.send("a".to_owned()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    sink.close().await
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_forwarded_to_a_handle_and_passes_its_gates() -> Result<()> {
    let journal = Journal::default();
    let journals = serving::<Journals>(slow(&journal), Policy::default())?;
    let main = journals.handle("main")?;
    let lines = ["a", "b", "c"].map(|line| Ok(line.to_owned()));
    stream::iter(lines).forward(into_sink(main.clone())).await?;
    assert_eq!(journal.entries(), ["a", "b", "c"]);
    assert_eq!(main.line().figures()[0].succeeded, 3);

    let mut dropped = into_sink(main.clone());
    dropped.feed("d".to_owned()).await?;
    assert!(dropped.flush().now_or_never().is_none());
    assert_eq!(main.line().in_flight(), 1);
    drop(dropped);
    assert_idle(main.line()).await;
    assert_eq!(journal.entries(), ["a", "b", "c"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn inputs_reach_a_sink_in_the_order_in_which_they_came() -> Result<()> {
    let (sender, receiver) = mpsc::channel(1);
    let provider = futures::sink("channel", said(sender));
    provider.send(0).await?;
    let mut sending: Vec<_> = (1..=5).map(|number| Box::pin(provider.send(number))).collect();
    for send in &mut sending {
        assert!(poll_settled(send).await.is_pending(), "there is no room");
    }
    // The last is polled first, and still has to wait for its turn.
    sending.reverse();
    let arriving = heard(receiver).take(6).map(Result::unwrap).collect::<Vec<_>>();
    let (sent, arrived) = tokio::join!(join_all(sending), arriving);
    assert_eq!(arrived, [0, 1, 2, 3, 4, 5]);
    sent.into_iter().collect()
}

#[tokio::test(start_paused = true)]
async fn a_send_that_is_dropped_at_any_await_leaves_the_sink_to_the_others() {
    let journal = Journal::default();
    let provider = futures::sink("slow", into_sink(slow(&journal)));
    let sent = AtomicU32::new(10);
    let next = || sent.fetch_add(1, Ordering::Relaxed).to_string();
    let awaits = drop_at_every_await(
        async || {
            // The second waits for its turn, and then for the sink.
            let (first, second) = tokio::join!(provider.send(next()), provider.send(next()));
            first.and(second).unwrap();
        },
        async |_| {
            let after = next();
            provider.send(after.clone()).await.unwrap();
            assert_eq!(journal.entries().last(), Some(&after));
        },
    );
    assert_eq!(awaits.await, 3);
    let entries = journal.entries();
    assert!(entries.is_sorted(), "{entries:?}");
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_input_met_is_not_held_against_the_next_one() {
    let failing = sink::unfold((), |(), input: u32| async move {
        tokio::task::yield_now().await;
        if input == 1 { Err(hung_up()) } else { Ok(()) }
    });
    let provider = futures::sink("failing", failing);
    assert!(provider.send(1).now_or_never().is_none(), "it was given, and its sender leaves");
    let error = provider.send(2).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied));
}

#[tokio::test(start_paused = true)]
async fn closing_a_provider_closes_its_sink_and_ends_whoever_waits() -> Result<()> {
    let (sender, mut receiver) = mpsc::channel(1);
    let provider = Arc::new(futures::sink("channel", said(sender)));
    provider.send(0).await?;
    // One is in the sink, one waits for its turn; nobody polls them while it closes.
    let mut given = provider.send(1);
    let mut waits = provider.send(2);
    assert!(poll_settled(&mut given).await.is_pending());
    assert!(poll_settled(&mut waits).await.is_pending());

    let (closed, first) = tokio::join!(provider.close(), receiver.recv());
    closed?;
    assert_eq!(first, Some(0));
    assert_eq!(receiver.recv().await, Some(1), "what was given goes first");
    assert_eq!(receiver.recv().await, None, "and then it is closed");
    assert_eq!(given.await.unwrap_err().outcome(), Outcome::Unknown);
    assert_eq!(waits.await.unwrap_err().outcome(), Outcome::NotApplied);
    provider.close().await?;
    assert_eq!(provider.send(3).await.unwrap_err().kind(), ErrorKind::Unavailable);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_is_woken_when_the_closing_begins_and_not_when_it_is_done() -> Result<()> {
    let (sender, _receiver) = mpsc::channel(1);
    let provider = futures::sink("channel", said(sender));
    provider.send(0).await?;
    // Polls only what was woken.
    let mut sending: FuturesUnordered<_> =
        [1, 2].map(|number| provider.send(number)).into_iter().collect();
    assert!(poll_settled(&mut sending.next()).await.is_pending());
    let mut closing = provider.close();
    assert!(poll_settled(&mut closing).await.is_pending(), "there is no room");
    for _ in 0..2 {
        let told = poll_settled(&mut sending.next()).await;
        assert!(matches!(told, Poll::Ready(Some(Err(_)))), "{told:?}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn closing_that_is_dropped_can_be_asked_again() -> Result<()> {
    let (sender, mut receiver) = mpsc::channel(1);
    let provider = futures::sink("channel", said(sender));
    provider.send(0).await?;
    assert!(provider.send(1).now_or_never().is_none());
    assert!(provider.close().now_or_never().is_none(), "there is no room yet");
    assert_eq!(receiver.recv().await, Some(0));
    provider.close().await?;
    assert_eq!(receiver.recv().await, Some(1));
    assert_eq!(receiver.recv().await, None);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_panics_takes_the_next_input() {
    let fragile = sink::unfold((), |(), input: u32| async move {
        assert_ne!(input, 1, "on purpose");
        Ok(())
    });
    // Its own state is gone with the panic, ours is not: nobody hangs.
    let provider = futures::sink("fragile", fragile);
    let sending = std::panic::AssertUnwindSafe(provider.send(1)).catch_unwind();
    assert!(sending.await.is_err());
    let next = std::panic::AssertUnwindSafe(provider.send(2)).catch_unwind();
    assert!(next.now_or_never().is_some(), "it has its turn");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[expect(clippy::disallowed_methods, reason = "callers on several threads")]
async fn callers_on_many_threads_all_learn_of_the_end() -> Result<()> {
    for _ in 0..200 {
        let (sender, mut receiver) = mpsc::channel(1);
        let provider = Arc::new(futures::sink("channel", said(sender)));
        let callers = (0..8).map(|_| {
            let provider = provider.clone();
            tokio::spawn(async move {
                let mut sent = 0;
                while provider.send(()).await.is_ok() {
                    sent += 1;
                }
                sent
            })
        });
        let callers: Vec<_> = callers.collect();
        let mut arrived = 0;
        for _ in 0..10 {
            receiver.recv().await.unwrap();
            arrived += 1;
        }
        let closing = tokio::spawn(async move { provider.close().await });
        while receiver.recv().await.is_some() {
            arrived += 1;
        }
        closing.await.unwrap()?;
        let sent: u32 = join_all(callers).await.into_iter().map(Result::unwrap).sum();
        // The one that was given when the closing began may have arrived or not.
        assert!(arrived == sent || arrived == sent + 1, "{arrived} of {sent}");
    }
    Ok(())
}

proptest! {
    #[test]
    fn whatever_is_sent_through_both_arrives_in_order(
        lines in prop::collection::vec(any::<u16>(), 0..30),
        room in 1_usize..4,
    ) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let (sender, receiver) = mpsc::channel(room);
            let there_and_back = into_sink(futures::sink("channel", said(sender)));
            let all = stream::iter(lines.clone()).map(Ok);
            let sending = async {
                let mut sink = there_and_back;
                sink.send_all(&mut all.boxed()).await?;
                sink.close().await
            };
            let arriving =
                heard(receiver).take(lines.len()).map(Result::unwrap).collect::<Vec<_>>();
            let (sent, arrived) = tokio::join!(sending, arriving);
            sent.unwrap();
            assert_eq!(arrived, lines);
        });
    }
}
