//! Other types in and out, and whose error an error is.

use std::num::ParseIntError;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use proptest::prelude::*;
use switchboard_core::{
    Breaker, BreakerPolicy, BreakerState, BulkheadLimit, Effect, Environment, Error, ErrorKind,
    Outcome, Policy, Reply, Result, Retry, RetryPolicy,
};
use switchboard_provider::compose::adapt;
use switchboard_provider::{
    AdaptStep, Conversation, Duplex, Items, RequestResponse, Sink, Stream, function, guard,
};
use switchboard_testkit::{Answer, Script, Workbench, assert_idle, drop_at_every_await};
use tokio::sync::{Mutex, mpsc};

use crate::{Gauge, Journal, Numbers, inner, passes_the_lifecycle_on};

/// What a text says in numbers.
fn number(text: String) -> Result<u64> {
    text.parse().map_err(|error: ParseIntError| {
        Error::new(ErrorKind::Unavailable, "this is no number")
            .with_context("text", text)
            .with_hint("use digits")
            .with_source(error)
    })
}

/// What a number says in words, as long as it is small.
fn text(number: u64) -> Result<String> {
    match number {
        0..100 => Ok(number.to_string()),
        _ => Err(Error::new(ErrorKind::Unexpected, "too large to be said")),
    }
}

/// Doubles numbers, and writes down those it was asked for.
fn doubling(journal: &Journal) -> impl RequestResponse<u64, u64> + use<> {
    let journal = journal.clone();
    function::request_response("doubling", move |number: u64| {
        let journal = journal.clone();
        async move {
            journal.write(number);
            Ok(number * 2)
        }
    })
}

#[tokio::test]
async fn the_provider_is_asked_in_its_words_and_the_caller_is_answered_in_his() -> Result<()> {
    let journal = Journal::default();
    let adapted = adapt::request_response(doubling(&journal), number, text);
    assert_eq!(adapted.execute("21".to_owned()).await?, "42");
    assert_eq!(journal.take(), ["21"]);
    Ok(())
}

#[tokio::test]
async fn an_input_that_cannot_be_mapped_reaches_nobody_and_is_the_callers_mistake() {
    let journal = Journal::default();
    let adapted = adapt::request_response(doubling(&journal), number, text);
    let error = adapted.execute("many".to_owned()).await.unwrap_err();

    assert_eq!(AdaptStep::of(&error), Some(AdaptStep::Input));
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "whatever the mapping called it");
    assert_eq!((error.outcome(), error.retry()), (Outcome::NotApplied, Retry::Never));
    assert!(journal.take().is_empty());
}

#[tokio::test]
async fn an_output_that_cannot_be_mapped_is_corrupt_and_was_applied() {
    let journal = Journal::default();
    let adapted = adapt::request_response(doubling(&journal), number, text);
    let error = adapted.execute("50".to_owned()).await.unwrap_err();

    assert_eq!(AdaptStep::of(&error), Some(AdaptStep::Output));
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Corrupt, Outcome::Applied));
    assert_eq!(journal.take(), ["50"]);
}

#[tokio::test]
async fn a_mapping_of_outputs_may_choose_its_kind_and_never_the_outcome() {
    for kind in ErrorKind::ALL.iter().copied().filter(|kind| *kind != ErrorKind::Unexpected) {
        let refuse = move |_: u64| Err::<u64, _>(Error::new(kind, "refused").not_applied());
        let adapted = adapt::request_response(doubling(&Journal::default()), Ok, refuse);
        let error = adapted.execute(1).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (kind, Outcome::Applied));
        assert_eq!(error.retry(), Error::new(kind, "refused").retry(), "the advice is kept");
        assert_eq!(AdaptStep::of(&error), Some(AdaptStep::Output));
    }
}

#[tokio::test]
async fn an_error_of_the_provider_passes_untouched() {
    let own = Error::new(ErrorKind::Overloaded, "not now")
        .with_context("queue", 7)
        .with_source(std::io::Error::other("refused"))
        .not_applied();
    let given = own.clone();
    let failing = function::request_response("failing", move |_: u64| {
        let given = given.clone();
        async { Err::<u64, _>(given) }
    });
    let adapted = adapt::request_response(failing, number, text);
    let error = adapted.execute("1".to_owned()).await.unwrap_err();
    assert_eq!(format!("{error:?}"), format!("{own:?}"));
    assert_eq!(AdaptStep::of(&error), None);
}

#[tokio::test]
async fn the_mapping_is_heard_in_its_own_words() {
    let adapted = adapt::request_response(doubling(&Journal::default()), number, text);
    let error = adapted.execute("many".to_owned()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid input: this is no number (adapting: input, text: many); use digits",
    );
    assert!(error.find::<ParseIntError>().is_some(), "the cause of the cause is kept");
}

#[tokio::test]
async fn whoever_makes_an_error_of_a_mapping_his_own_is_the_one_that_failed() {
    let inside = Arc::new(adapt::request_response(doubling(&Journal::default()), number, text));
    let passing_on = inside.clone();
    let passing_on = function::request_response("passing on", move |text: String| {
        let inside = passing_on.clone();
        async move { inside.execute(text).await }
    });
    let error = passing_on.execute("many".to_owned()).await.unwrap_err();
    assert_eq!(AdaptStep::of(&error), Some(AdaptStep::Input));

    let own = function::request_response("own", move |text: String| {
        let inside = inside.clone();
        async move {
            let own = |error| Error::new(ErrorKind::Unavailable, "no").with_source(error);
            inside.execute(text).await.map_err(own)
        }
    });
    let adapted = adapt::request_response(own, Ok::<String, _>, Ok::<String, _>);
    let error = adapted.execute("many".to_owned()).await.unwrap_err();
    assert_eq!(AdaptStep::of(&error), None);
}

#[tokio::test(start_paused = true)]
async fn an_output_that_cannot_be_mapped_is_not_asked_for_again() -> Result<()> {
    for kind in [ErrorKind::Unexpected, ErrorKind::Unavailable, ErrorKind::Timeout] {
        let retrying = Policy { breaker: None, ..impatient() };
        let (asked, _) = outputs_refused_as(kind, retrying).await?;
        assert_eq!(asked, 5, "{kind}: once for each call");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn outputs_are_held_against_the_provider_only_if_the_mapping_says_so() -> Result<()> {
    let (_, state) = outputs_refused_as(ErrorKind::Unexpected, impatient()).await?;
    assert_eq!(state, Some(BreakerState::Closed));
    let (asked, state) = outputs_refused_as(ErrorKind::Unavailable, impatient()).await?;
    assert_eq!((asked, state), (2, Some(BreakerState::Open)));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_input_that_cannot_be_mapped_is_not_tried_again() -> Result<()> {
    let journal = Journal::default();
    let tried = journal.clone();
    let refuse = move |_: u64| {
        tried.write("mapped");
        Err::<u64, _>(Error::new(ErrorKind::Unavailable, "refused"))
    };
    let adapted = adapt::request_response(doubling(&Journal::default()), refuse, Ok::<u64, _>);
    let bench = Workbench::<Numbers>::new()?;
    let numbers = bench.serve("main", adapted, impatient())?;
    numbers.execute(1).await.unwrap_err();
    assert_eq!(journal.take(), ["mapped"]);
    Ok(())
}

/// How often a provider is asked in five calls whose outputs are all refused, and what its breaker
/// makes of it.
async fn outputs_refused_as(
    kind: ErrorKind,
    policy: Policy,
) -> Result<(usize, Option<BreakerState>)> {
    let journal = Journal::default();
    let refuse = move |_: u64| Err::<u64, _>(Error::new(kind, "refused"));
    let adapted = adapt::request_response(doubling(&journal), Ok::<u64, _>, refuse);
    let bench = Workbench::<Numbers>::new()?;
    let numbers = bench.serve("main", adapted, policy)?;
    for _ in 0..5 {
        numbers.execute(1).await.unwrap_err();
    }
    let gates = numbers.line().gates().unwrap();
    Ok((journal.take().len(), gates.breaker().map(Breaker::state)))
}

/// Retries, and opens the breaker after two failures.
fn impatient() -> Policy {
    let breaker = BreakerPolicy { min_calls: 2, ..BreakerPolicy::default() };
    let retry = RetryPolicy::default();
    Policy { retry: Some(retry), breaker: Some(breaker), ..Policy::default() }
}

#[tokio::test]
async fn a_sink_is_mapped_on_its_way_in() -> Result<()> {
    let script = Script::new();
    script.expect(7, Answer::reply(()));
    let called = script.clone();
    let adapted = adapt::sink(function::sink("sink", move |input: u64| called.call(input)), number);
    adapted.send("7".to_owned()).await?;
    let error = adapted.send("many".to_owned()).await.unwrap_err();
    assert_eq!(AdaptStep::of(&error), Some(AdaptStep::Input));
    script.assert_done();
    Ok(())
}

/// Counts up from what it is opened with, and writes down that it was closed.
struct Counting {
    next: u64,
    journal: Journal,
}

impl Items<u64> for Counting {
    fn next(&mut self) -> Reply<'_, Option<u64>> {
        self.next += 1;
        Reply::ready(match self.next {
            98 => Err(Error::new(ErrorKind::Unavailable, "a gap")),
            103.. => Ok(None),
            number => Ok(Some(number)),
        })
    }

    fn close(&mut self) -> Reply<'_, ()> {
        self.journal.write("closed");
        Reply::ready(Ok(()))
    }
}

#[tokio::test]
async fn an_item_that_cannot_be_mapped_is_an_error_in_its_place_and_the_stream_goes_on()
-> Result<()> {
    let journal = Journal::default();
    let closing = journal.clone();
    let counting = function::stream("counting", move |next: u64| {
        let counting = Counting { next, journal: closing.clone() };
        async { Ok(counting) }
    });
    let up_to_99 = |number: u64| match number {
        100 => Err(Error::new(ErrorKind::Unexpected, "three digits")),
        _ => Ok(format!("<{number}>")),
    };
    let adapted = adapt::stream(counting, number, up_to_99);
    let refused = adapted.open("many".to_owned()).await.err().unwrap();
    assert_eq!(AdaptStep::of(&refused), Some(AdaptStep::Input));

    let mut items = adapted.open("96".to_owned()).await?;
    assert_eq!(items.next().await?.as_deref(), Some("<97>"));
    let own = items.next().await.unwrap_err();
    assert_eq!((AdaptStep::of(&own), own.message()), (None, "a gap"));
    assert_eq!(items.next().await?.as_deref(), Some("<99>"));
    let unmapped = items.next().await.unwrap_err();
    assert_eq!(AdaptStep::of(&unmapped), Some(AdaptStep::Output));
    assert_eq!(items.next().await?.as_deref(), Some("<101>"));
    assert_eq!(items.next().await?.as_deref(), Some("<102>"));
    assert_eq!(items.next().await?, None);
    items.close().await?;
    assert_eq!(journal.take(), ["closed"]);
    Ok(())
}

/// Gives back what it is sent, and takes its time.
struct Echo {
    there: mpsc::UnboundedSender<u64>,
    back: Mutex<mpsc::UnboundedReceiver<u64>>,
    journal: Journal,
    gauge: Gauge,
}

impl Conversation<u64, u64> for Echo {
    fn send(&self, message: u64) -> Reply<'_, ()> {
        Reply::run(async move {
            self.gauge.work().await;
            self.journal.write(format_args!("sent {message}"));
            self.there.send(message).ok();
            Ok(())
        })
    }

    fn receive(&self) -> Reply<'_, Option<u64>> {
        Reply::run(async {
            self.gauge.work().await;
            Ok(self.back.lock().await.recv().await)
        })
    }

    fn close(&self) -> Reply<'_, ()> {
        self.journal.write("closed");
        Reply::ready(Ok(()))
    }
}

fn echoes(journal: &Journal, gauge: &Gauge) -> impl Duplex<u64, u64> + use<> {
    let (journal, gauge) = (journal.clone(), gauge.clone());
    function::duplex("echoes", move || {
        let (there, back) = mpsc::unbounded_channel();
        let (journal, gauge) = (journal.clone(), gauge.clone());
        let echo = Echo { there, back: Mutex::new(back), journal, gauge: gauge.clone() };
        async move {
            gauge.work().await;
            Ok(echo)
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_conversation_is_mapped_both_ways_and_outlives_a_message_that_cannot_be() -> Result<()> {
    let journal = Journal::default();
    let adapted = adapt::duplex(echoes(&journal, &Gauge::default()), number, text);
    let conversation = adapted.open().await?;
    conversation.send("7".to_owned()).await?;
    let unsent = conversation.send("many".to_owned()).await.unwrap_err();
    conversation.send("700".to_owned()).await?;
    conversation.send("8".to_owned()).await?;
    assert_eq!(AdaptStep::of(&unsent), Some(AdaptStep::Input));

    assert_eq!(conversation.receive().await?.as_deref(), Some("7"));
    let unread = conversation.receive().await.unwrap_err();
    assert_eq!(AdaptStep::of(&unread), Some(AdaptStep::Output));
    assert_eq!(conversation.receive().await?.as_deref(), Some("8"));
    conversation.close().await?;
    assert_eq!(journal.take(), ["sent 7", "sent 700", "sent 8", "closed"]);
    Ok(())
}

#[tokio::test]
async fn the_life_of_the_provider_is_the_life_of_what_is_made_of_it() -> Result<()> {
    let journal = Journal::default();
    let both = adapt::request_response(inner(&journal), number, text);
    passes_the_lifecycle_on(&both, &journal).await?;
    passes_the_lifecycle_on(&adapt::sink::<_, u64, _, _>(inner(&journal), number), &journal).await
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_at_any_await_leaves_nothing_going_on() -> Result<()> {
    let gauge = Gauge::default();
    let working = gauge.clone();
    let slow = function::request_response("slow", move |number: u64| {
        let gauge = working.clone();
        async move {
            gauge.work().await;
            Ok(number)
        }
    });
    let adapted = Arc::new(adapt::request_response(slow, number, text));
    let idle = async |_| assert_eq!(gauge.count(), 0);
    let awaits = drop_at_every_await(|| adapted.execute("1".to_owned()), idle).await;
    assert_eq!(awaits, 2);

    let same = adapt::request_response(adapted, text, number);
    let bench = Workbench::<Numbers>::new()?;
    let numbers = bench.serve("main", same, impatient())?;
    let idle = async |_| {
        assert_eq!(gauge.count(), 0);
        assert_idle(numbers.line()).await;
    };
    assert_eq!(drop_at_every_await(|| numbers.execute(1), idle).await, 2);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_conversation_dropped_at_any_await_leaves_nothing_going_on() -> Result<()> {
    let gauge = Gauge::default();
    let adapted = adapt::duplex(echoes(&Journal::default(), &gauge), number, text);
    let talk = async || {
        let conversation = adapted.open().await?;
        conversation.send("7".to_owned()).await?;
        conversation.receive().await
    };
    let awaits = drop_at_every_await(talk, async |_| assert_eq!(gauge.count(), 0)).await;
    assert_eq!(awaits, 6, "two of each step");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_item_whose_call_was_dropped_comes_with_the_next_call() -> Result<()> {
    struct Slow(u64);
    impl Items<u64> for Slow {
        fn next(&mut self) -> Reply<'_, Option<u64>> {
            Reply::run(async {
                tokio::task::yield_now().await;
                self.0 += 1;
                Ok((self.0 <= 3).then_some(self.0))
            })
        }
    }
    let slow = function::stream("slow", |_: u64| async { Ok(Slow(0)) });
    let adapted = adapt::stream(slow, Ok::<u64, _>, text);
    let mut items = adapted.open(0).await?;
    let mut read = Vec::new();
    loop {
        assert!(items.next().now_or_never().is_none(), "dropped while it waits");
        match items.next().await? {
            Some(item) => read.push(item),
            None => break,
        }
    }
    assert_eq!(read, ["1", "2", "3"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_mapping_that_panics_is_the_callers_panic_and_leaves_nothing_behind() -> Result<()> {
    let explosive = |number: u64| {
        assert_ne!(number, 13, "an unlucky number");
        Ok(number)
    };
    let bench = Workbench::<Numbers>::new()?;
    let bulkhead = BulkheadLimit { max: 1, ..BulkheadLimit::default() };
    let policy = Policy { bulkhead: Some(bulkhead), ..Policy::default() };
    let same = function::request_response("same", |number: u64| async move { Ok(number) });
    let inward = adapt::request_response(same, explosive, Ok::<u64, _>);
    let inward = bench.serve("inward", inward, policy.clone())?;
    let outward =
        adapt::request_response(doubling(&Journal::default()), Ok::<u64, _>, move |number| {
            explosive(number / 2)
        });
    let outward = bench.serve("outward", outward, policy)?;

    for numbers in [inward, outward] {
        let panicked = AssertUnwindSafe(numbers.execute(13)).catch_unwind().await;
        let words = panicked.unwrap_err().downcast::<String>().unwrap();
        assert!(words.contains("an unlucky number"), "{words}");
        assert_idle(numbers.line()).await;
        assert_eq!(numbers.execute(12).await?, 12, "the one slot is free");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_is_adapted_goes_behind_gates_and_into_further_adapters() -> Result<()> {
    let adapted = adapt::request_response(doubling(&Journal::default()), number, text);
    let adapted: Arc<dyn RequestResponse<String, String>> = Arc::new(adapted);
    let environment = Environment::new();
    let guarded =
        guard::request_response("main", adapted, impatient(), Effect::Read, &environment)?;
    let letters = adapt::request_response(
        guarded,
        |letter: char| Ok(letter.to_string()),
        |text: String| Ok(text.chars().count()),
    );
    assert_eq!(letters.execute('9').await?, 2);
    let error = letters.execute('x').await.unwrap_err();
    assert_eq!(AdaptStep::of(&error), Some(AdaptStep::Input), "the inner one could not");
    Ok(())
}

proptest! {
    #[test]
    fn a_mapping_and_its_inverse_change_nothing(
        answers in proptest::collection::vec(
            prop_oneof![
                any::<u64>().prop_map(Ok),
                proptest::sample::select(ErrorKind::ALL).prop_map(Err),
            ],
            0..20,
        ),
    ) {
        let to_hex = |number: u64| Ok(format!("{number:x}"));
        let from_hex = |text: String| {
            let wrong = |_| Error::new(ErrorKind::InvalidInput, "no hexadecimal number");
            u64::from_str_radix(&text, 16).map_err(wrong)
        };
        let given = answers.clone();
        let direct = Arc::new(function::request_response("direct", move |place: u64| {
            let answer = given[usize::try_from(place).unwrap()];
            async move { answer.map_err(|kind| Error::new(kind, "given")) }
        }));
        let in_hex = adapt::request_response(direct.clone(), from_hex, to_hex);
        let there_and_back = adapt::request_response(in_hex, to_hex, from_hex);
        for place in 0..answers.len() as u64 {
            let expected = direct.execute(place).now_or_never().unwrap();
            let actual = there_and_back.execute(place).now_or_never().unwrap();
            prop_assert_eq!(format!("{actual:?}"), format!("{expected:?}"));
        }
    }
}
