//! The rules of [`Duplex`] and [`Conversation`].

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use switchboard_core::Result;

use super::{
    Failure, Item, Maker, OPENED_MAX, POLLS_MAX, Rule, Subject, Suite, Time, Verdict, closed_twice,
    dropped_at_every_await, ensure, health_says_that_it_works, in_time, it_has_a_name_that_stays,
    it_says_that_it_is_available, rules, waits, within_polls,
};
use crate::{Conversation, Duplex};

/// How a provider is made, and what is said in a conversation with it.
///
/// ```
/// use switchboard_provider::conformance::{duplex, prove};
/// use switchboard_provider::function;
/// # use switchboard_core::{Error, ErrorKind, Reply};
/// # use switchboard_provider::Conversation;
/// # use tokio::sync::{Mutex, mpsc, watch};
/// # struct Mirror {
/// #     is_closed: watch::Sender<bool>,
/// #     said: mpsc::UnboundedSender<u8>,
/// #     heard: Mutex<mpsc::UnboundedReceiver<u8>>,
/// # }
/// # impl Mirror {
/// #     fn new() -> Self {
/// #         let (said, heard) = mpsc::unbounded_channel();
/// #         Self { is_closed: watch::Sender::new(false), said, heard: heard.into() }
/// #     }
/// # }
/// # impl Conversation<u8, u8> for Mirror {
/// #     fn send(&self, message: u8) -> Reply<'_, ()> {
/// #         Reply::run(async move {
/// #             if *self.is_closed.borrow() {
/// #                 return Err(Error::new(ErrorKind::InvalidInput, "the conversation is closed"));
/// #             }
/// #             self.said.send(message).ok();
/// #             Ok(())
/// #         })
/// #     }
/// #     fn receive(&self) -> Reply<'_, Option<u8>> {
/// #         Reply::run(async {
/// #             let mut closing = self.is_closed.subscribe();
/// #             tokio::select! {
/// #                 biased;
/// #                 _ = closing.wait_for(|is_closed| *is_closed) => Ok(None),
/// #                 message = async { self.heard.lock().await.recv().await } => Ok(message),
/// #             }
/// #         })
/// #     }
/// #     fn close(&self) -> Reply<'_, ()> {
/// #         Reply::run(async {
/// #             self.is_closed.send_replace(true);
/// #             Ok(())
/// #         })
/// #     }
/// # }
///
/// let mirror = || async { Ok(function::duplex("mirror", || async { Ok(Mirror::new()) })) };
/// // Whatever is said to a mirror comes back.
/// let fixture = duplex::Fixture::new(mirror, || vec![(1, vec![1]), (2, vec![2])]);
/// prove(&fixture, "every_message_is_answered_in_order");
/// # for rule in <duplex::Fixture<u8, u8> as switchboard_provider::conformance::Suite>::RULES {
/// #     prove(&fixture, rule.name);
/// # }
/// ```
pub struct Fixture<I, O> {
    maker: Maker<dyn Duplex<I, O>>,
    exchange: Box<dyn Fn() -> Exchange<I, O>>,
}

/// What is said, and what is answered to each of it.
type Exchange<I, O> = Vec<(I, Vec<O>)>;

impl<I: 'static, O: PartialEq + fmt::Debug + 'static> Fixture<I, O> {
    /// The provider that `make` makes, and a few messages with what comes back for each: at least one
    /// answer in all, and nothing that was not asked for.
    pub fn new<P, Fut>(
        make: impl Fn() -> Fut + 'static,
        exchange: impl Fn() -> Vec<(I, Vec<O>)> + 'static,
    ) -> Self
    where
        P: Duplex<I, O>,
        Fut: Future<Output = Result<P>> + 'static,
    {
        let maker = Maker::new(make, |provider: P| {
            let provider: Arc<dyn Duplex<I, O>> = Arc::new(provider);
            provider
        });
        Self { maker, exchange: Box::new(exchange) }
    }

    /// How time passes for the provider.
    #[must_use]
    pub fn time(mut self, time: Time) -> Self {
        self.maker.time = time;
        self
    }
}

impl<I: 'static, O: PartialEq + fmt::Debug + 'static> Suite for Fixture<I, O> {
    type Shape = dyn Duplex<I, O>;

    crate::__provider_rules! { duplex, rules }

    fn maker(&self) -> &Maker<Self::Shape> {
        &self.maker
    }
}

type On<'s, I, O> = Subject<'s, Fixture<I, O>>;

/// Answers come in the order of what was said, whether or not one waits for them in between.
async fn every_message_is_answered_in_order<I: 'static, O: Item>(on: &On<'_, I, O>) -> Verdict {
    let conversation = on.open().await?;
    on.exchange_one_by_one(&*conversation).await?;
    let mut expected = Vec::new();
    for (message, answers) in on.exchange()? {
        in_time("send", conversation.send(message)).await??;
        expected.extend(answers);
    }
    expect(&*conversation, expected).await
}

/// A message that a dropped call would have given is given by the next one.
async fn a_receive_dropped_at_any_await_loses_no_message<I: 'static, O: Item>(
    on: &On<'_, I, O>,
) -> Verdict {
    for polls in 0..POLLS_MAX {
        let conversation = on.open().await?;
        let mut was_dropped = false;
        for (message, answers) in on.exchange()? {
            in_time("send", conversation.send(message)).await??;
            for expected in answers {
                let first = within_polls(polls, conversation.receive());
                let first = in_time("a receive", first).await?;
                was_dropped |= first.is_none();
                let received = match first {
                    Some(received) => received?,
                    None => {
                        in_time("the receive after a dropped one", conversation.receive()).await??
                    }
                };
                ensure(received.as_ref() == Some(&expected), || {
                    format!(
                        "dropped at await {polls}, it gave {received:?} in place of {expected:?}"
                    )
                })?;
            }
        }
        if !was_dropped {
            break;
        }
    }
    Ok(())
}

/// A message can be sent while somebody waits for one.
async fn sending_does_not_wait_for_receiving<I: 'static, O: Item>(on: &On<'_, I, O>) -> Verdict {
    let conversation = on.open().await?;
    for (message, answers) in on.exchange()? {
        let mut answers = answers.into_iter();
        let Some(first) = answers.next() else {
            in_time("send", conversation.send(message)).await??;
            continue;
        };
        let mut receiving = pin!(in_time("receive", conversation.receive()));
        ensure(waits(receiving.as_mut()).await, || UNASKED.to_owned())?;
        in_time("a send while a receive waits", conversation.send(message)).await??;
        let received = receiving.await??;
        ensure(received.as_ref() == Some(&first), || {
            format!("received {received:?} in place of {first:?}")
        })?;
        expect(&*conversation, answers.collect()).await?;
    }
    Ok(())
}

/// After its end nothing is heard and nothing can be said; once more it does nothing.
async fn a_closed_conversation_is_silent_and_can_be_closed_again<I: 'static, O: Item>(
    on: &On<'_, I, O>,
) -> Verdict {
    let conversation = on.open().await?;
    for (message, _) in on.exchange()? {
        in_time("send", conversation.send(message)).await??;
    }
    for when in ["close", "a second close"] {
        in_time(when, conversation.close()).await??;
        let received = in_time("receive after close", conversation.receive()).await??;
        ensure(received.is_none(), || format!("after {when} it received {received:?}"))?;
        for (message, _) in on.exchange()? {
            let sent = in_time("send after close", conversation.send(message)).await?;
            ensure(sent.is_err(), || format!("after {when} a message could be sent"))?;
        }
    }
    Ok(())
}

/// Whoever waits for a message when the conversation is closed learns of its end.
async fn closing_ends_a_receive_that_waits<I: 'static, O: Item>(on: &On<'_, I, O>) -> Verdict {
    let conversation = on.open().await?;
    let mut receiving = pin!(in_time("a receive that waits at close", conversation.receive()));
    ensure(waits(receiving.as_mut()).await, || UNASKED.to_owned())?;
    in_time("close while a receive waits", conversation.close()).await??;
    match receiving.await? {
        Ok(Some(received)) => Err(Failure(format!("at its end it received {received:?}"))),
        // That it was interrupted may be an error.
        Ok(None) | Err(_) => Ok(()),
    }
}

/// What a dropped close has begun is brought to its end by the next one.
async fn a_close_dropped_at_any_await_can_be_made_again<I: 'static, O: Item>(
    on: &On<'_, I, O>,
) -> Verdict {
    let mut closed = Vec::new();
    for _ in 0..OPENED_MAX / 10 {
        for polls in 1..POLLS_MAX {
            let conversation = on.open().await?;
            let first = within_polls(polls, conversation.close());
            let first = in_time("a close", first).await?;
            in_time("the close after a dropped one", conversation.close()).await??;
            let received = in_time("receive after close", conversation.receive()).await??;
            ensure(received.is_none(), || {
                format!("dropped at await {polls} and closed again, it received {received:?}")
            })?;
            // Not dropped yet: closing is enough.
            closed.push(conversation);
            if first.is_some() {
                break;
            }
        }
    }
    Ok(())
}

/// A conversation that is closed holds nothing any more.
async fn what_is_closed_is_given_back<I: 'static, O: Item>(on: &On<'_, I, O>) -> Verdict {
    let mut closed = Vec::new();
    for _ in 0..OPENED_MAX {
        let conversation = on.open().await?;
        in_time("close", conversation.close()).await??;
        // Not dropped yet: closing is enough.
        closed.push(conversation);
    }
    Ok(())
}

/// A conversation that is dropped holds nothing any more.
async fn what_is_dropped_is_given_back<I: 'static, O: Item>(on: &On<'_, I, O>) -> Verdict {
    for _ in 0..OPENED_MAX {
        let conversation = on.open().await?;
        if let Some((message, _)) = on.exchange()?.into_iter().next() {
            in_time("send", conversation.send(message)).await??;
        }
    }
    Ok(())
}

/// Nobody hears what was said in another conversation, and closing one ends no other.
async fn conversations_at_once_do_not_disturb_each_other<I: 'static, O: Item>(
    on: &On<'_, I, O>,
) -> Verdict {
    let (one, other, closed) = (on.open().await?, on.open().await?, on.open().await?);
    in_time("close", closed.close()).await??;
    for ((message, answers), (same, too)) in on.exchange()?.into_iter().zip(on.exchange()?) {
        let has_answers = !answers.is_empty();
        in_time("send", one.send(message)).await??;
        if has_answers {
            let is_alone = waits(other.receive()).await;
            ensure(is_alone, || "another conversation heard of it".to_owned())?;
        }
        in_time("send", other.send(same)).await??;
        expect(&*one, answers).await?;
        expect(&*other, too).await?;
    }
    Ok(())
}

/// An opening that is dropped harms no later one, and holds nothing.
async fn an_opening_dropped_at_any_await_leaves_the_provider_usable<I: 'static, O: Item>(
    on: &On<'_, I, O>,
) -> Verdict {
    for _ in 0..OPENED_MAX / 10 {
        let open = async || on.provider.open().await;
        let check = async || on.exchange_one_by_one(&*on.open().await?).await;
        dropped_at_every_await(open, check).await?;
    }
    Ok(())
}

/// A second close, and what is asked after it, also in a conversation that was open, may fail and not
/// hang.
async fn after_close_nothing_hangs<I: 'static, O: Item>(on: &On<'_, I, O>) -> Verdict {
    let open = on.open().await?;
    closed_twice(&*on.provider).await?;
    for (message, _) in on.exchange()? {
        in_time("send when the provider is closed", open.send(message)).await?.ok();
    }
    in_time("close when the provider is closed", open.close()).await?.ok();
    in_time("receive when the provider is closed", open.receive()).await?.ok();
    in_time("an opening after close", on.provider.open()).await?.ok();
    Ok(())
}

impl<I: 'static, O: PartialEq + fmt::Debug + 'static> On<'_, I, O> {
    async fn open(&self) -> std::result::Result<Box<dyn Conversation<I, O>>, Failure> {
        Ok(in_time("opening", self.provider.open()).await??)
    }

    fn exchange(&self) -> std::result::Result<Exchange<I, O>, Failure> {
        let exchange = (self.fixture.exchange)();
        let has_answers = exchange.iter().any(|(_, answers)| !answers.is_empty());
        ensure(has_answers, || {
            "not judged: the fixture needs a message with an answer".to_owned()
        })?;
        Ok(exchange)
    }

    async fn exchange_one_by_one(&self, conversation: &dyn Conversation<I, O>) -> Verdict {
        for (message, answers) in self.exchange()? {
            in_time("send", conversation.send(message)).await??;
            expect(conversation, answers).await?;
        }
        Ok(())
    }
}

/// That these come next.
async fn expect<I, O: PartialEq + fmt::Debug>(
    conversation: &dyn Conversation<I, O>,
    answers: Vec<O>,
) -> Verdict {
    for expected in answers {
        let received = in_time("receive", conversation.receive()).await??;
        ensure(received.as_ref() == Some(&expected), || {
            format!("received {received:?} in place of {expected:?}")
        })?;
    }
    Ok(())
}

impl<I, O> fmt::Debug for Fixture<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").field("maker", &self.maker).finish_non_exhaustive()
    }
}

const UNASKED: &str = "something was received before anything was said";
