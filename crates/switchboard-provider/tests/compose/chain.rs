//! Layers around a provider, and their order.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use proptest::prelude::*;
use switchboard_core::{Error, ErrorKind, Policy, Reply, Result};
use switchboard_provider::compose::chain;
use switchboard_provider::{
    Chain, Conversation, Duplex, Items, RequestResponse, Sink, Stream, function,
};
use switchboard_testkit::{Answer, Script, Workbench, assert_idle, drop_at_every_await};

use crate::{Attended, Gauge, Journal, Numbers, SECOND, inner, passes_the_lifecycle_on};

type Numeric = dyn RequestResponse<u64, u64>;

/// A provider that gives its input back, and writes down that it was asked.
fn same(journal: &Journal) -> Arc<Numeric> {
    let journal = journal.clone();
    Arc::new(function::request_response("same", move |number: u64| {
        journal.write("asked");
        async move { Ok(number) }
    }))
}

/// The chain with one more layer, which writes down when it is entered and left.
fn marked(chain: Chain<Numeric>, name: &str, journal: &Journal) -> Chain<Numeric> {
    let (name, journal) = (name.to_owned(), journal.clone());
    chain.around(move |number, next| {
        let (name, journal) = (name.clone(), journal.clone());
        async move {
            journal.write(format_args!("enter {name}"));
            let answer = next.execute(number).await;
            journal.write(format_args!("leave {name}"));
            answer
        }
    })
}

#[tokio::test]
async fn the_first_layer_added_is_the_outermost() -> Result<()> {
    let journal = Journal::default();
    let chain = marked(Chain::new(), "outer", &journal);
    let chain = marked(chain, "inner", &journal);
    assert_eq!(chain.wrap(same(&journal)).execute(7).await?, 7);
    let expected = ["enter outer", "enter inner", "asked", "leave inner", "leave outer"];
    assert_eq!(journal.take(), expected);
    Ok(())
}

#[test]
fn a_chain_without_layers_gives_the_provider_back_as_it_is() {
    let provider = same(&Journal::default());
    let chain = Chain::default();
    assert!(Arc::ptr_eq(&chain.wrap(provider.clone()), &provider));
    assert!(chain.is_empty());
    assert!(!Arc::ptr_eq(
        &marked(chain, "one", &Journal::default()).wrap(provider.clone()),
        &provider
    ));
}

#[tokio::test]
async fn a_layer_may_be_a_provider_of_its_own_or_a_chain() -> Result<()> {
    let journal = Journal::default();
    let both = marked(marked(Chain::new(), "b", &journal), "c", &journal);
    let chain = marked(Chain::new(), "a", &journal).with(move |provider| both.wrap(provider));
    let instead = Attended::new("instead", &journal);
    let chain = chain.with(move |_| Arc::new(instead.clone()));
    assert_eq!(chain.len(), 3);

    chain.wrap(same(&journal)).execute(7).await?;
    let expected =
        ["enter a", "enter b", "enter c", "instead execute", "leave c", "leave b", "leave a"];
    assert_eq!(journal.take(), expected);
    Ok(())
}

#[tokio::test]
async fn a_chain_wraps_many_providers_and_its_copies_go_their_own_ways() -> Result<()> {
    let journal = Journal::default();
    let chain = marked(Chain::new(), "shared", &journal);
    let longer = marked(chain.clone(), "more", &journal);
    for _ in 0..2 {
        chain.wrap(same(&journal)).execute(7).await?;
        assert_eq!(journal.take(), ["enter shared", "asked", "leave shared"]);
    }
    longer.wrap(same(&journal)).execute(7).await?;
    assert_eq!(journal.take().len(), 5);
    Ok(())
}

#[tokio::test]
async fn middleware_may_answer_alone_ask_twice_and_change_both_ways() -> Result<()> {
    let journal = Journal::default();
    let middleware = chain::around(same(&journal), |number, next| async move {
        match number {
            0 => Err(Error::new(ErrorKind::InvalidInput, "nothing to ask for")),
            1 => Ok(100),
            _ => Ok(next.execute(number).await? + next.execute(number * 10).await?),
        }
    });
    assert_eq!(middleware.execute(0).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(middleware.execute(1).await?, 100);
    assert!(journal.take().is_empty());
    assert_eq!(middleware.execute(2).await?, 22);
    assert_eq!(journal.take(), ["asked", "asked"]);
    Ok(())
}

#[tokio::test]
async fn sinks_have_middleware_as_well() -> Result<()> {
    let script = Script::new();
    script.expect("!!hi".to_owned(), Answer::reply(()));
    let called = script.clone();
    let sink = function::sink("sink", move |line: String| called.call(line));
    let louder = |line: String, next: Arc<dyn Sink<String>>| async move {
        next.send(format!("!{line}")).await
    };
    let once: Arc<dyn Sink<String>> = chain::around_sink(Arc::new(sink), louder);
    let twice = Chain::<dyn Sink<String>>::new().around(louder).wrap(once);
    twice.send("hi".to_owned()).await?;
    script.assert_done();
    Ok(())
}

/// One item, or one message to receive.
struct One(u64);

impl Items<u64> for One {
    fn next(&mut self) -> Reply<'_, Option<u64>> {
        Reply::ready(Ok(Some(self.0)))
    }
}

impl Conversation<u64, u64> for One {
    fn send(&self, _message: u64) -> Reply<'_, ()> {
        Reply::ready(Ok(()))
    }

    fn receive(&self) -> Reply<'_, Option<u64>> {
        Reply::ready(Ok(Some(self.0)))
    }

    fn close(&self) -> Reply<'_, ()> {
        Reply::ready(Ok(()))
    }
}

impl Stream<u64, u64> for Attended {
    fn open(&self, input: u64) -> Reply<'_, Box<dyn Items<u64>>> {
        self.journal.write(format_args!("open {input}"));
        Reply::ready(Ok(Box::new(One(input))))
    }
}

impl Duplex<u64, u64> for Attended {
    fn open(&self) -> Reply<'_, Box<dyn Conversation<u64, u64>>> {
        self.journal.write("open");
        Reply::ready(Ok(Box::new(One(7))))
    }
}

#[tokio::test]
async fn streams_have_middleware_around_their_openings() -> Result<()> {
    let journal = Journal::default();
    let further = |number: u64, next: Arc<dyn Stream<u64, u64>>| async move {
        if number == 0 {
            return Err(Error::new(ErrorKind::InvalidInput, "nothing to open"));
        }
        next.open(number + 1).await
    };
    let once: Arc<dyn Stream<u64, u64>> = chain::around_stream(Arc::new(inner(&journal)), further);
    let twice = Chain::<dyn Stream<u64, u64>>::new().around(further).wrap(once);
    assert_eq!(twice.open(7).await?.next().await?, Some(9));
    assert_eq!(twice.open(0).await.map(drop).unwrap_err().kind(), ErrorKind::InvalidInput);
    drop(twice.open(7));
    assert_eq!(journal.take(), ["open 9"]);
    passes_the_lifecycle_on(&twice, &journal).await
}

#[tokio::test]
async fn duplex_providers_have_middleware_around_their_openings() -> Result<()> {
    let journal = Journal::default();
    let again = |next: Arc<dyn Duplex<u64, u64>>| async move {
        // The first one is only tried.
        next.open().await?.close().await?;
        next.open().await
    };
    let once: Arc<dyn Duplex<u64, u64>> = chain::around_duplex(Arc::new(inner(&journal)), again);
    let twice = Chain::<dyn Duplex<u64, u64>>::new().around(again).wrap(once);
    assert_eq!(twice.open().await?.receive().await?, Some(7));
    assert_eq!(journal.take(), ["open"; 4]);
    drop(twice.open());
    passes_the_lifecycle_on(&twice, &journal).await
}

#[tokio::test]
async fn middleware_does_nothing_before_it_is_awaited() {
    let journal = Journal::default();
    let entered = journal.clone();
    let wrapped = chain::around(same(&journal), move |number, next| {
        entered.write("entered");
        async move { next.execute(number).await }
    });
    drop(wrapped.execute(7));
    assert!(journal.take().is_empty());
}

#[tokio::test]
async fn a_wrapped_provider_is_started_checked_and_ended_past_the_middleware() -> Result<()> {
    let journal = Journal::default();
    let wrapped = marked(Chain::new(), "layer", &journal).wrap(Arc::new(inner(&journal)));
    passes_the_lifecycle_on(&wrapped, &journal).await?;

    let layer = |provider| {
        chain::around_sink(provider, |number: u64, next| async move { next.send(number).await })
    };
    let wrapped = Chain::new().with(layer).wrap(Arc::new(inner(&journal)));
    passes_the_lifecycle_on(&wrapped, &journal).await
}

#[tokio::test(start_paused = true)]
async fn a_wrapped_provider_serves_an_instance_and_a_manager_ends_it() -> Result<()> {
    let journal = Journal::default();
    let wrapped =
        marked(Chain::new(), "layer", &journal).wrap(Arc::new(Attended::new("provider", &journal)));
    let bench = Workbench::<Numbers>::new()?;
    let numbers = bench.serve("main", wrapped, Policy::default())?;
    assert_eq!(numbers.execute(7).await?, 7);
    bench.close().await;
    let expected = ["enter layer", "provider execute", "leave layer", "provider close"];
    assert_eq!(journal.take(), expected);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_at_any_await_leaves_nothing_going_on() -> Result<()> {
    let gauge = Gauge::default();
    let (before, inside) = (gauge.clone(), gauge.clone());
    let slow = function::request_response("slow", move |number: u64| {
        let gauge = inside.clone();
        async move {
            gauge.work().await;
            Ok(number)
        }
    });
    let working = chain::around(Arc::new(slow), move |number, next| {
        let gauge = before.clone();
        async move {
            let _working = gauge.begin();
            tokio::time::sleep(SECOND).await;
            next.execute(number).await
        }
    });
    let bench = Workbench::<Numbers>::new()?;
    let numbers = bench.serve("main", working, Policy::default())?;
    let idle = async |_| {
        assert_eq!(gauge.count(), 0);
        assert_idle(numbers.line()).await;
    };
    assert_eq!(drop_at_every_await(|| numbers.execute(1), idle).await, 3);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn middleware_that_panics_is_the_callers_panic_and_leaves_nothing_behind() -> Result<()> {
    let gauge = Gauge::default();
    let working = gauge.clone();
    let explosive = chain::around(same(&Journal::default()), move |number, next| {
        let gauge = working.clone();
        async move {
            let _working = gauge.begin();
            let answer = next.execute(number).await?;
            assert!(answer != 13, "an unlucky number");
            Ok(answer)
        }
    });
    let bench = Workbench::<Numbers>::new()?;
    let numbers = bench.serve("main", explosive, Policy::default())?;
    let panicked = AssertUnwindSafe(numbers.execute(13)).catch_unwind().await.unwrap_err();
    assert_eq!(panicked.downcast_ref(), Some(&"an unlucky number"));
    assert_eq!(gauge.count(), 0);
    assert_idle(numbers.line()).await;
    assert_eq!(numbers.execute(12).await?, 12);
    Ok(())
}

proptest! {
    #[test]
    fn layers_are_entered_as_they_were_added_and_left_the_other_way(
        names in proptest::collection::vec("[a-z]{1,3}", 0..12),
    ) {
        let journal = Journal::default();
        let chain = names.iter().fold(Chain::new(), |chain, name| marked(chain, name, &journal));
        let answer = chain.wrap(same(&journal)).execute(7).now_or_never().unwrap();
        prop_assert_eq!(answer.unwrap(), 7);

        let entered = names.iter().map(|name| format!("enter {name}"));
        let left = names.iter().rev().map(|name| format!("leave {name}"));
        let expected: Vec<_> = entered.chain(["asked".to_owned()]).chain(left).collect();
        prop_assert_eq!(journal.take(), expected);
    }
}
