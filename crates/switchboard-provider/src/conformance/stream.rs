//! The rules of [`Stream`] and [`Items`].

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use switchboard_core::Result;

use super::{
    Failure, Item, Maker, OPENED_MAX, POLLS_MAX, Rule, Subject, Suite, Time, Verdict, closed_twice,
    dropped_at_every_await, ensure, health_says_that_it_works, in_time, it_has_a_name_that_stays,
    it_says_that_it_is_available, rules, within_polls,
};
use crate::{Items, Stream};

/// How a provider is made, and an input to open it with.
///
/// ```
/// use switchboard_provider::conformance::{prove, stream};
/// use switchboard_provider::function;
/// # use switchboard_core::Reply;
/// # struct Countdown(u64);
/// # impl switchboard_provider::Items<u64> for Countdown {
/// #     fn next(&mut self) -> Reply<'_, Option<u64>> {
/// #         Reply::run(async {
/// #             let next = self.0.checked_sub(1);
/// #             self.0 = next.unwrap_or(0);
/// #             Ok(next)
/// #         })
/// #     }
/// # }
///
/// let countdown =
///     || async { Ok(function::stream("countdown", |from| async move { Ok(Countdown(from)) })) };
/// prove(&stream::Fixture::new(countdown, || 5), "the_end_stays_the_end");
/// ```
pub struct Fixture<I, O> {
    maker: Maker<dyn Stream<I, O>>,
    input: Box<dyn Fn() -> I>,
}

impl<I: 'static, O: PartialEq + fmt::Debug + 'static> Fixture<I, O> {
    /// The provider that `make` makes, and an input for which it has a few items: at least two, the same
    /// each time, and an end.
    pub fn new<P, Fut>(make: impl Fn() -> Fut + 'static, input: impl Fn() -> I + 'static) -> Self
    where
        P: Stream<I, O>,
        Fut: Future<Output = Result<P>> + 'static,
    {
        let maker = Maker::new(make, |provider: P| {
            let provider: Arc<dyn Stream<I, O>> = Arc::new(provider);
            provider
        });
        Self { maker, input: Box::new(input) }
    }

    /// How time passes for the provider.
    #[must_use]
    pub fn time(mut self, time: Time) -> Self {
        self.maker.time = time;
        self
    }
}

impl<I: 'static, O: PartialEq + fmt::Debug + 'static> Suite for Fixture<I, O> {
    type Shape = dyn Stream<I, O>;

    crate::__provider_rules! { stream, rules }

    fn maker(&self) -> &Maker<Self::Shape> {
        &self.maker
    }
}

type On<'s, I, O> = Subject<'s, Fixture<I, O>>;

/// After the end there is nothing but the end.
async fn the_end_stays_the_end<I: 'static, O: Item>(on: &On<'_, I, O>) -> Verdict {
    let mut items = on.open().await?;
    read(&mut *items).await?;
    for _ in 0..3 {
        expect_end(&mut *items, "after the end").await?;
    }
    Ok(())
}

/// An item that a dropped call would have given is given by the next one.
async fn a_next_dropped_at_any_await_loses_no_item<I: 'static, O: Item>(
    on: &On<'_, I, O>,
) -> Verdict {
    let expected = on.sample().await?;
    for polls in 0..POLLS_MAX {
        let mut items = on.open().await?;
        let mut seen = Vec::new();
        let mut was_dropped = false;
        while seen.len() <= expected.len() {
            let first = in_time("a next", within_polls(polls, items.next())).await?;
            was_dropped |= first.is_none();
            let next = match first {
                Some(next) => next?,
                None => in_time("the next after a dropped one", items.next()).await??,
            };
            let Some(item) = next else { break };
            seen.push(item);
        }
        ensure(seen == expected, || {
            format!("dropped at await {polls}, it gave {seen:?} in place of {expected:?}")
        })?;
        if !was_dropped {
            break;
        }
    }
    Ok(())
}

/// Closing ends a stream, at its beginning, in its midst and at its end; once more it does nothing.
async fn a_closed_stream_has_no_items_and_can_be_closed_again<I: 'static, O: Item>(
    on: &On<'_, I, O>,
) -> Verdict {
    let count = on.sample().await?.len();
    for reads in [0, 1, count + 1] {
        let mut items = on.open().await?;
        for _ in 0..reads {
            in_time("next", items.next()).await??;
        }
        in_time("close", items.close()).await??;
        expect_end(&mut *items, "after close").await?;
        in_time("a second close", items.close()).await??;
        expect_end(&mut *items, "after a second close").await?;
    }
    Ok(())
}

/// A stream that is closed before its end holds nothing any more.
async fn what_is_closed_early_is_given_back<I: 'static, O: Item>(on: &On<'_, I, O>) -> Verdict {
    let mut closed = Vec::new();
    for _ in 0..OPENED_MAX {
        let mut items = on.open().await?;
        in_time("next", items.next()).await??;
        in_time("close", items.close()).await??;
        // Not dropped yet: closing is enough.
        closed.push(items);
    }
    Ok(())
}

/// A stream that is dropped before its end holds nothing any more.
async fn what_is_dropped_early_is_given_back<I: 'static, O: Item>(on: &On<'_, I, O>) -> Verdict {
    for reads in 0..OPENED_MAX {
        let mut items = on.open().await?;
        for _ in 0..reads % 2 {
            in_time("next", items.next()).await??;
        }
    }
    Ok(())
}

/// Each stream has items of its own, and closing one ends no other.
async fn streams_at_once_do_not_disturb_each_other<I: 'static, O: Item>(
    on: &On<'_, I, O>,
) -> Verdict {
    let expected = on.sample().await?;
    let (mut one, mut other, mut closed) = (on.open().await?, on.open().await?, on.open().await?);
    in_time("close", closed.close()).await??;
    for item in &expected {
        for items in [&mut one, &mut other] {
            let next = in_time("next", items.next()).await??;
            ensure(next.as_ref() == Some(item), || {
                format!("of two streams at once, one gave {next:?} in place of {item:?}")
            })?;
        }
    }
    expect_end(&mut *one, "of the first").await?;
    expect_end(&mut *other, "of the second").await
}

/// An opening that is dropped harms no later one, and holds nothing.
async fn an_opening_dropped_at_any_await_leaves_the_provider_usable<I: 'static, O: Item>(
    on: &On<'_, I, O>,
) -> Verdict {
    let expected = on.sample().await?;
    for _ in 0..OPENED_MAX / 10 {
        let open = async || on.provider.open((on.fixture.input)()).await;
        let check = async || {
            let items = read(&mut *on.open().await?).await?;
            ensure(items == expected, || format!("it gave {items:?} in place of {expected:?}"))
        };
        dropped_at_every_await(open, check).await?;
    }
    Ok(())
}

/// A second close, and what is asked after it, also of a stream that was open, may fail and not hang.
async fn after_close_nothing_hangs<I: 'static, O: Item>(on: &On<'_, I, O>) -> Verdict {
    let mut open = on.open().await?;
    closed_twice(&*on.provider).await?;
    in_time("next of a stream whose provider is closed", open.next()).await?.ok();
    in_time("close of a stream whose provider is closed", open.close()).await?.ok();
    let opened = on.provider.open((on.fixture.input)());
    let opened = in_time("an opening after close", opened).await?;
    if let Ok(mut items) = opened {
        in_time("next of a stream opened after close", items.next()).await?.ok();
    }
    Ok(())
}

impl<I: 'static, O: PartialEq + fmt::Debug + 'static> On<'_, I, O> {
    async fn open(&self) -> std::result::Result<Box<dyn Items<O>>, Failure> {
        let opening = self.provider.open((self.fixture.input)());
        Ok(in_time("opening", opening).await??)
    }

    /// The items of the fixture, if it is one that can be judged.
    async fn sample(&self) -> std::result::Result<Vec<O>, Failure> {
        let items = read(&mut *self.open().await?).await?;
        ensure(items.len() >= 2, || format!("not judged: {SAMPLE}, not {}", items.len()))?;
        let again = read(&mut *self.open().await?).await?;
        ensure(items == again, || {
            format!("not judged: {SAMPLE}, not {items:?} and then {again:?}")
        })?;
        Ok(items)
    }
}

/// Everything up to the end.
async fn read<O>(items: &mut dyn Items<O>) -> std::result::Result<Vec<O>, Failure> {
    let mut read = Vec::new();
    while let Some(item) = in_time("next", items.next()).await?? {
        read.push(item);
        ensure(read.len() <= ITEMS_MAX, || format!("not judged: {SAMPLE}, not over {ITEMS_MAX}"))?;
    }
    Ok(read)
}

async fn expect_end<O: fmt::Debug>(items: &mut dyn Items<O>, when: &str) -> Verdict {
    let next = in_time("next", items.next()).await??;
    ensure(next.is_none(), || format!("{when} there was {next:?}"))
}

impl<I, O> fmt::Debug for Fixture<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").field("maker", &self.maker).finish_non_exhaustive()
    }
}

/// How many items a sample may have.
const ITEMS_MAX: usize = 10_000;

const SAMPLE: &str = "the fixture needs an input with two items or more, the same each time";
