//! Copies for a sink on the side.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use proptest::prelude::*;
use switchboard_core::{BulkheadLimit, Clock, Deadline, Error, ErrorKind, Policy, Reply, Result};
use switchboard_provider::compose::tap;
use switchboard_provider::{Items, RequestResponse, Sink, Stream, function};
use switchboard_testkit::{Answer, Script, Workbench, assert_idle, drop_at_every_await};
use tokio::task::yield_now;

use crate::{Attended, Gauge, Journal, Numbers, SECOND, inner, passes_the_lifecycle_on};

/// A provider that doubles what it is given, as its script lets it.
fn doubling(script: &Script<u64>) -> impl RequestResponse<u64, u64> + use<> {
    script.otherwise(|number| Answer::reply(number * 2));
    called(script)
}

fn called(script: &Script<u64>) -> impl RequestResponse<u64, u64> + use<> {
    let script = script.clone();
    function::request_response("main", move |number: u64| script.call::<u64>(number))
}

fn sink(name: &'static str, script: &Script<u64>) -> impl Sink<u64> + use<> {
    let script = script.clone();
    function::sink(name, move |number: u64| script.call(number))
}

/// A script that answers everything like this.
fn always(answer: impl Fn() -> Answer + Send + Sync + 'static) -> Script<u64> {
    let script = Script::new();
    script.otherwise(move |_| answer());
    script
}

/// A script that takes everything at once.
fn taking() -> Script<u64> {
    always(|| Answer::reply(()))
}

/// A listener that writes down what it hears.
fn heard(journal: &Journal) -> impl Fn(&Error) + Send + Sync + 'static {
    let journal = journal.clone();
    move |error| {
        let side = error.context_value("side").unwrap_or("nobody");
        journal.write(format_args!("{side}: {}", error.kind()));
    }
}

/// What `call` gives, and how long it takes.
async fn timed<T>(call: impl Future<Output = T>) -> (T, Duration) {
    let clock = Clock::system();
    let begin = clock.now();
    (call.await, clock.now() - begin)
}

#[tokio::test(start_paused = true)]
async fn inputs_are_copied_while_the_provider_works_on_them() -> Result<()> {
    let (main, side) = (Script::new(), always(|| Answer::reply(()).after(SECOND)));
    main.otherwise(|number| Answer::reply(number * 2).after(SECOND));
    let tapped = tap::input(called(&main), sink("side", &side)).with_limit(2 * SECOND);
    let (answer, took) = timed(tapped.execute(7)).await;
    assert_eq!((answer?, took), (14, SECOND));
    assert_eq!((main.calls(), side.calls()), (vec![7], vec![7]));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn inputs_of_sinks_are_copied_too() -> Result<()> {
    let (main, side) = (taking(), taking());
    tap::input(sink("main", &main), sink("side", &side)).send(7).await?;
    assert_eq!((main.calls(), side.calls()), (vec![7], vec![7]));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn inputs_are_copied_even_if_the_provider_fails_on_them_and_outputs_are_not() {
    let fail = || Answer::fail(Error::new(ErrorKind::TooLarge, "it failed"));
    let side = taking();
    let tapped = tap::input(called(&always(fail)), sink("side", &side));
    assert_eq!(tapped.execute(7).await.unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(side.calls(), [7]);

    let side = taking();
    let tapped = tap::output(called(&always(fail)), sink("side", &side));
    assert_eq!(tapped.execute(7).await.unwrap_err().kind(), ErrorKind::TooLarge);
    assert!(side.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn outputs_are_copied_before_they_are_given() -> Result<()> {
    let side = always(|| Answer::reply(()).after(SECOND / 2));
    let tapped = tap::output(doubling(&Script::new()), sink("side", &side));
    let (answer, took) = timed(tapped.execute(7)).await;
    assert_eq!((answer?, took), (14, SECOND / 2));
    assert_eq!(side.calls(), [14]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_side_that_fails_hangs_or_panics_changes_no_answer_and_the_listener_hears_of_it()
-> Result<()> {
    let fail = || Answer::fail(Error::new(ErrorKind::Unavailable, "it failed"));
    answers_all_the_same(fail, "side: unavailable", Duration::ZERO).await?;
    answers_all_the_same(Answer::hang, "side: timeout", SECOND).await?;
    let panic = || Answer::panic("on purpose");
    answers_all_the_same(panic, "side: unexpected", Duration::ZERO).await
}

/// Expects the answers of both kinds of taps when the side behaves like this.
async fn answers_all_the_same(side: fn() -> Answer, heard_of: &str, after: Duration) -> Result<()> {
    let (journal, side) = (Journal::default(), always(side));
    let inputs = tap::input(doubling(&Script::new()), sink("side", &side));
    let (answer, took) = timed(inputs.on_error(heard(&journal)).execute(7)).await;
    assert_eq!((answer?, took), (14, after), "{heard_of}");
    assert_eq!(journal.take(), [heard_of]);

    let outputs = tap::output(doubling(&Script::new()), sink("side", &side));
    let (answer, took) = timed(outputs.on_error(heard(&journal)).execute(7)).await;
    assert_eq!((answer?, took), (14, after), "{heard_of}");
    assert_eq!(journal.take(), [heard_of]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_side_has_the_time_it_is_given() -> Result<()> {
    let side = always(Answer::hang);
    let tapped = tap::output(doubling(&Script::new()), sink("side", &side)).with_limit(3 * SECOND);
    assert_eq!(timed(tapped.execute(7)).await.1, 3 * SECOND);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_side_is_given_up_before_the_deadline_of_the_call() -> Result<()> {
    let journal = Journal::default();
    let hanging = always(Answer::hang);
    let bench = Workbench::<Numbers>::new()?;
    let policy = Policy { deadline: Some(SECOND / 2), ..Policy::default() };
    let inputs = tap::input(doubling(&Script::new()), sink("side", &hanging));
    let inputs = bench.serve("inputs", inputs.on_error(heard(&journal)), policy.clone())?;
    let outputs = tap::output(doubling(&Script::new()), sink("side", &hanging));
    let outputs = bench.serve("outputs", outputs.on_error(heard(&journal)), policy)?;
    for numbers in [inputs, outputs] {
        let (answer, took) = timed(numbers.execute(7)).await;
        assert_eq!(answer?, 14);
        assert!(took < SECOND / 2, "{took:?}");
        assert_eq!(journal.take(), ["side: timeout"]);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_side_knows_until_when_it_may_work() -> Result<()> {
    let journal = Journal::default();
    let knows = journal.clone();
    let side = function::sink("side", move |_: u64| {
        let journal = knows.clone();
        async move {
            let deadline = Deadline::current()
                .map(|deadline| deadline.moment().saturating_duration_since(Clock::system().now()));
            journal.write(format_args!("{deadline:?}"));
            Ok(())
        }
    });
    tap::output(doubling(&Script::new()), side).execute(7).await?;
    assert_eq!(journal.take(), ["Some(1s)"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_panics_changes_no_answer_either() -> Result<()> {
    let side = always(|| Answer::fail(Error::new(ErrorKind::Unavailable, "it failed")));
    let tapped = tap::output(doubling(&Script::new()), sink("side", &side));
    let tapped = tapped.on_error(|_| panic!("on purpose"));
    assert_eq!(tapped.execute(7).await?, 14);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_panics_takes_its_copy_along_and_leaves_nothing_behind() -> Result<()> {
    let gauge = Gauge::default();
    let main = function::request_response("main", |number: u64| async move {
        tokio::time::sleep(SECOND / 2).await;
        assert!(number != 13, "an unlucky number");
        Ok(number)
    });
    let bench = Workbench::<Numbers>::new()?;
    let bulkhead = BulkheadLimit { max: 1, ..BulkheadLimit::default() };
    let policy = Policy { bulkhead: Some(bulkhead), ..Policy::default() };
    let tapped = tap::input(main, working("side", &gauge)).on_error(|_| {});
    let numbers = bench.serve("main", tapped, policy)?;
    let panicked = AssertUnwindSafe(numbers.execute(13)).catch_unwind().await.unwrap_err();
    assert_eq!(panicked.downcast_ref(), Some(&"an unlucky number"));
    assert_eq!(gauge.count(), 0);
    assert_idle(numbers.line()).await;
    assert_eq!(numbers.execute(12).await?, 12);
    Ok(())
}

/// A sink that takes two awaits.
fn working(name: &'static str, gauge: &Gauge) -> impl Sink<u64> + use<> {
    let gauge = gauge.clone();
    function::sink(name, move |_: u64| {
        let gauge = gauge.clone();
        async move {
            gauge.work().await;
            Ok(())
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_at_any_await_drops_its_copy() -> Result<()> {
    let gauge = Gauge::default();
    let slow = || {
        let gauge = gauge.clone();
        function::request_response("main", move |number: u64| {
            let gauge = gauge.clone();
            async move {
                gauge.work().await;
                Ok(number)
            }
        })
    };
    let limit = 10 * SECOND;
    let bench = Workbench::<Numbers>::new()?;
    let inputs = tap::input(slow(), working("side", &gauge)).with_limit(limit);
    let inputs = bench.serve("inputs", inputs, Policy::default())?;
    let outputs = tap::output(slow(), working("side", &gauge)).with_limit(limit);
    let outputs = bench.serve("outputs", outputs, Policy::default())?;
    for (numbers, awaits) in [(inputs, 2), (outputs, 4)] {
        let idle = async |_| {
            assert_eq!(gauge.count(), 0);
            assert_idle(numbers.line()).await;
        };
        assert_eq!(drop_at_every_await(|| numbers.execute(7), idle).await, awaits);
    }

    let tapped = tap::input(working("main", &gauge), working("side", &gauge));
    let mut sending = tapped.send(7);
    assert!((&mut sending).now_or_never().is_none());
    assert_eq!(gauge.count(), 2, "both are at work until it is dropped");
    drop(sending);
    assert_eq!(gauge.count(), 0);
    Ok(())
}

#[tokio::test]
async fn the_life_of_a_tapped_provider_is_its_own_and_the_side_is_left_alone() -> Result<()> {
    let journal = Journal::default();
    let side = || Attended::new("side", &journal);
    passes_the_lifecycle_on(&tap::input(inner(&journal), side()), &journal).await?;
    passes_the_lifecycle_on(&tap::output(inner(&journal), side()), &journal).await
}

/// The numbers up to a limit, with a gap after the first.
struct Numbered {
    next: u64,
    limit: u64,
    has_gap: bool,
    journal: Journal,
}

impl Items<u64> for Numbered {
    fn next(&mut self) -> Reply<'_, Option<u64>> {
        if self.next == 1 && !self.has_gap {
            self.has_gap = true;
            return Reply::ready(Err(Error::new(ErrorKind::Unavailable, "a gap")));
        }
        let item = (self.next < self.limit).then_some(self.next);
        self.next += 1;
        Reply::ready(Ok(item))
    }

    fn close(&mut self) -> Reply<'_, ()> {
        self.journal.write("closed");
        Reply::ready(Ok(()))
    }
}

fn numbered(journal: &Journal) -> impl Stream<u64, u64> + use<> {
    let journal = journal.clone();
    function::stream("numbered", move |limit: u64| {
        let items = Numbered { next: 0, limit, has_gap: false, journal: journal.clone() };
        async { Ok(items) }
    })
}

#[tokio::test(start_paused = true)]
async fn items_are_copied_each_before_it_is_given_and_errors_are_not() -> Result<()> {
    let (journal, side) = (Journal::default(), taking());
    let mut items = tap::items(numbered(&journal), sink("side", &side)).open(2).await?;
    assert_eq!(items.next().await?, Some(0));
    assert_eq!(side.calls(), [0]);
    assert_eq!(items.next().await.unwrap_err().message(), "a gap");
    assert_eq!(items.next().await?, Some(1));
    assert_eq!(items.next().await?, None);
    assert_eq!(side.calls(), [0, 1]);
    items.close().await?;
    assert_eq!(journal.take(), ["closed"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_item_whose_copy_is_late_comes_all_the_same() -> Result<()> {
    let (journal, side) = (Journal::default(), always(Answer::hang));
    let tapped = tap::items(numbered(&Journal::default()), sink("side", &side));
    let mut items = tapped.on_error(heard(&journal)).open(1).await?;
    let (item, took) = timed(items.next()).await;
    assert_eq!((item?, took), (Some(0), SECOND));
    assert_eq!(journal.take(), ["side: timeout"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn items_that_are_closed_while_one_is_copied_drop_the_copy() -> Result<()> {
    let (journal, gauge) = (Journal::default(), Gauge::default());
    let mut items = tap::items(numbered(&journal), working("side", &gauge)).open(1).await?;
    assert!(items.next().now_or_never().is_none());
    assert_eq!(gauge.count(), 1, "it goes on with the next call");
    items.close().await?;
    assert_eq!(gauge.count(), 0);
    assert_eq!(journal.take(), ["closed"]);

    let mut items = tap::items(numbered(&journal), working("side", &gauge)).open(1).await?;
    assert!(items.next().now_or_never().is_none());
    drop(items);
    assert_eq!(gauge.count(), 0);
    Ok(())
}

proptest! {
    #[test]
    fn however_calls_are_dropped_each_item_and_each_copy_comes_once(
        patience in proptest::collection::vec(0_usize..4, 0..40),
        slowness in 0_usize..4,
    ) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let copies = Journal::default();
        let copied = copies.clone();
        let side = function::sink("side", move |number: u64| {
            let copies = copied.clone();
            async move {
                for _ in 0..slowness {
                    yield_now().await;
                }
                copies.write(number);
                Ok(())
            }
        });
        let read = runtime.block_on(async {
            let tapped = tap::items(numbered(&Journal::default()), Arc::new(side));
            let mut items = tapped.open(10).await.unwrap();
            let mut read = Vec::new();
            for polls in patience {
                let mut next = items.next();
                let ended = (0..polls).find_map(|_| (&mut next).now_or_never());
                read.extend(ended.and_then(Result::ok).flatten());
            }
            loop {
                match items.next().await {
                    Ok(Some(item)) => read.push(item),
                    Ok(None) => break read,
                    Err(_) => {}
                }
            }
        });
        let expected: Vec<_> = (0..10).collect();
        prop_assert_eq!(read, expected);
        let expected: Vec<_> = (0..10).map(|number: u64| number.to_string()).collect();
        prop_assert_eq!(copies.take(), expected);
    }
}
