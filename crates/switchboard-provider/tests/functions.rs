//! Providers, items and conversations from functions.

#![allow(clippy::unwrap_used, reason = "what helps a test stops at the first surprise as it does")]

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join;
use switchboard_core::{Clock, Error, ErrorKind, Outcome, Result};
use switchboard_provider::{Conversation as _, Items, Provider, RequestResponse as _, function};
use switchboard_testkit::{drop_at_every_await, poll_settled};

/// The numbers up to `end`, each after some time.
fn up_to(end: u32) -> impl Items<u32> {
    function::items(0..end, |mut numbers| async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(numbers.next().map(|number| (number, numbers)))
    })
}

#[tokio::test]
async fn a_name_may_be_made_while_the_program_runs() -> Result<()> {
    let names = ["first", "second"].map(|name| format!("the {name}"));
    let providers = names
        .map(|name| function::request_response(name, |number: u32| async move { Ok(number + 1) }));
    assert_eq!(providers.each_ref().map(Provider::name), ["the first", "the second"]);
    assert_eq!(providers[1].execute(1).await?, 2);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn items_come_step_by_step_to_their_end_which_stays() -> Result<()> {
    let mut items = up_to(2);
    for expected in [Some(0), Some(1), None, None] {
        assert_eq!(items.next().await?, expected);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_step_goes_on_where_a_dropped_wait_left_it() -> Result<()> {
    let mut items = up_to(3);
    let clock = Clock::system();
    let start = clock.now();
    drop(items.next());
    for _ in 0..9 {
        tokio::time::timeout(Duration::from_millis(10), items.next()).await.unwrap_err();
    }
    assert_eq!(items.next().await?, Some(0));
    assert_eq!(clock.now() - start, Duration::from_millis(100));
    assert_eq!(items.next().await?, Some(1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_step_that_fails_or_panics_is_the_last() -> Result<()> {
    let mut failing = function::items(0_u32, |number| async move {
        match number {
            0 => Ok(Some((number, 1))),
            _ => Err(Error::new(ErrorKind::Unavailable, "lost")),
        }
    });
    assert_eq!(failing.next().await?, Some(0));
    assert_eq!(failing.next().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(failing.next().await?, None);

    let mut panicking = function::items((), |()| async { panic!("on purpose") });
    let panicking: &mut dyn Items<((), ())> = &mut panicking;
    assert!(AssertUnwindSafe(panicking.next()).catch_unwind().await.is_err());
    assert_eq!(panicking.next().await?, None);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn closing_drops_the_step_and_a_closing_that_nobody_waited_for_does_nothing() -> Result<()> {
    let mut items = up_to(3);
    assert!(poll_settled(&mut items.next()).await.is_pending());
    drop(items.close());
    assert_eq!(items.next().await?, Some(0));
    items.close().await?;
    assert_eq!(items.next().await?, None);
    items.close().await
}

#[tokio::test]
async fn what_one_side_sends_the_other_receives_in_order_both_ways() -> Result<()> {
    let (near, far) = function::conversation::<u32, String>();
    near.send(1).await?;
    near.send(2).await?;
    far.send("one".to_owned()).await?;
    assert_eq!((far.receive().await?, far.receive().await?), (Some(1), Some(2)));
    assert_eq!(near.receive().await?.as_deref(), Some("one"));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_full_conversation_lets_the_sender_wait_and_loses_nothing_when_it_is_given_up()
-> Result<()> {
    let (near, far) = function::conversation::<usize, ()>();
    for number in 0..function::MESSAGES_MAX {
        near.send(number).await?;
    }
    assert!(poll_settled(&mut near.send(1_000)).await.is_pending(), "and then it is dropped");
    let mut waiting = near.send(function::MESSAGES_MAX);
    assert!(poll_settled(&mut waiting).await.is_pending());
    assert_eq!(far.receive().await?, Some(0));
    waiting.await?;
    for number in 1..=function::MESSAGES_MAX {
        assert_eq!(far.receive().await?, Some(number));
    }
    let mut waiting = far.receive();
    assert!(poll_settled(&mut waiting).await.is_pending());
    drop(waiting);
    near.send(7).await?;
    assert_eq!(far.receive().await?, Some(7));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_other_side_reads_what_was_sent_before_the_end_and_cannot_answer() -> Result<()> {
    for is_dropped in [false, true] {
        let (near, far) = function::conversation::<u32, u32>();
        near.send(1).await?;
        far.send(2).await?;
        if is_dropped {
            drop(near);
        } else {
            near.close().await?;
            assert_eq!(near.receive().await?, None, "also of what was there");
            assert_eq!(near.send(3).await.unwrap_err().kind(), ErrorKind::InvalidInput);
            near.close().await?;
        }
        let error = far.send(3).await.unwrap_err();
        let expected = (ErrorKind::Unavailable, Outcome::NotApplied);
        assert_eq!((error.kind(), error.outcome()), expected);
        assert_eq!((far.receive().await?, far.receive().await?), (Some(1), None));
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn closing_tells_all_who_wait_on_both_sides() -> Result<()> {
    let (near, far) = function::conversation::<usize, ()>();
    for number in 0..function::MESSAGES_MAX {
        near.send(number).await?;
    }
    let (mut first, mut second, mut sending) = (near.receive(), near.receive(), near.send(0));
    for waiting in [&mut first, &mut second] {
        assert!(poll_settled(waiting).await.is_pending());
    }
    assert!(poll_settled(&mut sending).await.is_pending());
    drop(far);
    assert_eq!((first.await?, second.await?), (None, None));
    assert_eq!(sending.await.unwrap_err().kind(), ErrorKind::Unavailable);

    let (near, _far) = function::conversation::<(), ()>();
    let mut waiting = near.receive();
    assert!(poll_settled(&mut waiting).await.is_pending());
    drop(near.close());
    assert!(poll_settled(&mut waiting).await.is_pending(), "nobody asked for that");
    near.close().await?;
    assert_eq!(waiting.await?, None);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn dropped_at_any_await_a_conversation_goes_on() {
    let sides = function::conversation::<u32, ()>();
    let (near, far) = &sides;
    let make = async || {
        let (sent, received) = join(near.send(1), far.receive()).await;
        sent.and(received)
    };
    drop_at_every_await(make, async |_| {
        while far.receive().now_or_never().is_some() {}
        near.send(2).await.unwrap();
        assert_eq!(far.receive().await.unwrap(), Some(2));
    })
    .await;
}

#[cfg(feature = "conformance")]
mod stepped_streams {
    use switchboard_provider::Stream;
    use switchboard_provider::conformance::{stream, suite};

    use super::*;

    fn counting() -> impl Stream<u32, u32> {
        function::stream("counting", |end: u32| async move { Ok(up_to(end)) })
    }

    suite!(stream: stream::Fixture::new(|| async { Ok(counting()) }, || 4));
}

#[cfg(feature = "conformance")]
mod connected_conversations {
    use switchboard_provider::Duplex;
    use switchboard_provider::conformance::{duplex, suite};

    use super::*;

    /// A conversation in which everything comes back, through a task that ends with it.
    #[expect(
        clippy::disallowed_methods,
        reason = "the runtime of a test ends what the test has begun"
    )]
    fn mirror() -> impl Duplex<u32, u32> {
        function::duplex("mirror", || async {
            let (near, far) = function::conversation();
            tokio::spawn(async move {
                while let Some(message) = far.receive().await? {
                    far.send(message).await?;
                }
                Ok::<_, Error>(())
            });
            Ok(near)
        })
    }

    suite!(duplex: {
        let exchange = || [1, 2, 3].map(|number| (number, vec![number])).into();
        duplex::Fixture::new(|| async { Ok(mirror()) }, exchange)
    });
}
