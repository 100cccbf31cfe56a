//! One input to several sinks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::FutureExt;
use proptest::prelude::*;
use switchboard_core::{
    Class, Clock, Effect, Error, ErrorKind, Health, Lifecycle, NoSettings, Op, Outcome, Policy,
    Registry, Reply, Result, Retry, Settings, Status, Subsystem,
};
use switchboard_provider::{FanOut, Provider, Sender, Sink, function, sink};
use switchboard_testkit::{Answer, Script, Workbench, drop_at_every_await};

use crate::{Attended, Gauge, Journal, SECOND};

type Numeric = Arc<dyn Sink<u64>>;

/// A fan-out over sinks that answer as their scripts say, and the scripts.
fn scripted<const N: usize>(names: [&'static str; N]) -> (FanOut<u64>, [Script<u64>; N]) {
    let scripts = names.map(|_| Script::new());
    let sinks = names.into_iter().zip(&scripts).map(|(name, script)| {
        let script = script.clone();
        let sink: Numeric = Arc::new(function::sink(name, move |input| script.call(input)));
        (name, sink)
    });
    (FanOut::new("all", sinks).unwrap(), scripts)
}

/// A fan-out over sinks whose lives are written down.
fn attended(sinks: impl IntoIterator<Item = Attended>) -> FanOut<u64> {
    let named = sinks.into_iter().map(|sink| {
        let name = sink.name;
        let sink: Numeric = Arc::new(sink);
        (name, sink)
    });
    FanOut::new("all", named).unwrap()
}

fn failed(kind: ErrorKind) -> Answer {
    Answer::fail(Error::new(kind, "it failed"))
}

/// The names of the sinks whose errors are kept in this one.
fn sinks_in(error: &Error) -> Vec<&str> {
    error.related().iter().filter_map(|error| error.context_value("sink")).collect()
}

#[tokio::test(start_paused = true)]
async fn an_input_goes_to_all_sinks_at_the_same_time() -> Result<()> {
    let (all, scripts) = scripted(["a", "b", "c"]);
    for script in &scripts {
        script.expect(7, Answer::reply(()).after(SECOND));
    }
    let clock = Clock::system();
    let begin = clock.now();
    all.send(7).await?;
    assert_eq!(clock.now() - begin, SECOND);
    for script in &scripts {
        script.assert_done();
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_cuts_off_none_and_every_error_has_a_name() {
    let (all, [a, b, c]) = scripted(["a", "b", "c"]);
    a.expect(7, failed(ErrorKind::Unavailable));
    b.expect(7, Answer::reply(()).after(SECOND));
    c.expect(7, failed(ErrorKind::Timeout).after(2 * SECOND));
    let clock = Clock::system();
    let begin = clock.now();
    let error = all.send(7).await.unwrap_err();

    assert_eq!(clock.now() - begin, 2 * SECOND, "all were waited for");
    assert_eq!(sinks_in(&error), ["a", "c"]);
    assert_eq!(error.kind(), ErrorKind::Unavailable, "both are outages");
    assert_eq!(error.context_value("failed"), Some("2 of 3 sinks"));
    b.assert_done();
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_panics_has_failed_like_any_other() {
    let (all, [a, b]) = scripted(["a", "b"]);
    a.expect(7, Answer::panic("on purpose"));
    b.expect(7, Answer::reply(()).after(SECOND));
    let error = all.send(7).await.unwrap_err();
    assert_eq!(sinks_in(&error), ["a"]);
    let panicked = &error.related()[0];
    assert_eq!((panicked.kind(), panicked.outcome()), (ErrorKind::Unexpected, Outcome::Unknown));
    assert_eq!(panicked.context_value("panic"), Some("on purpose"));
    b.assert_done();
}

#[tokio::test(start_paused = true)]
async fn each_sink_can_be_asked_what_became_of_the_input() {
    let (all, [slow, failing, quick]) = scripted(["slow", "failing", "quick"]);
    slow.expect(7, Answer::reply(()).after(SECOND));
    failing.expect(7, failed(ErrorKind::TooLarge));
    quick.expect(7, Answer::reply(()));
    let report = all.send_each(7).await;
    let kinds: Vec<_> = report
        .iter()
        .map(|(name, answer)| (*name, answer.as_ref().err().map(Error::kind)))
        .collect();
    let expected = [("slow", None), ("failing", Some(ErrorKind::TooLarge)), ("quick", None)];
    assert_eq!(kinds, expected);
}

#[tokio::test]
async fn the_advice_is_that_of_the_sink_least_likely_to_take_it() {
    let advice = |answers: [Retry; 2]| async move {
        let (all, scripts) = scripted(["a", "b"]);
        for (script, retry) in scripts.iter().zip(answers) {
            let error = Error::new(ErrorKind::Unavailable, "it failed").with_retry(retry);
            script.expect(7, Answer::fail(error));
        }
        all.send(7).await.unwrap_err().retry()
    };
    let after = |seconds| Retry::After(seconds * SECOND);
    assert_eq!(advice([Retry::Later, Retry::Never]).await, Retry::Never);
    assert_eq!(advice([Retry::Exhausted, after(1)]).await, Retry::Exhausted);
    assert_eq!(advice([after(1), after(2)]).await, after(2));
    assert_eq!(advice([Retry::Later, after(1)]).await, after(1));
    assert_eq!(advice([Retry::Later, Retry::Later]).await, Retry::Later);
}

#[test]
fn a_fan_out_has_sinks_not_too_many_and_each_its_own_name() {
    let made = |names: Vec<String>| {
        let sinks = names.into_iter().map(|name| {
            let sink: Numeric = Arc::new(function::sink("sink", |_: u64| async { Ok(()) }));
            (name, sink)
        });
        FanOut::new("all", sinks)
    };
    let numbered = |count: usize| (0..count).map(|number| number.to_string()).collect();
    for names in [Vec::new(), numbered(FanOut::<u64>::SINKS_MAX + 1)] {
        let error = made(names.clone()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert_eq!(error.context_value("members"), Some(names.len().to_string().as_str()));
    }
    let twins = made(vec!["a".to_owned(), "b".to_owned(), "a".to_owned()]).unwrap_err();
    assert_eq!((twins.kind(), twins.context_value("sink")), (ErrorKind::Config, Some("a")));

    let most = made(numbered(FanOut::<u64>::SINKS_MAX)).unwrap();
    assert_eq!(most.names().last(), Some("63"));
    most.send(7).now_or_never().unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_send_dropped_at_any_await_drops_all() {
    let gauge = Gauge::default();
    let sinks = ["a", "b"].map(|name| {
        let working = gauge.clone();
        let sink: Numeric = Arc::new(function::sink(name, move |_: u64| {
            let gauge = working.clone();
            async move {
                gauge.work().await;
                Ok(())
            }
        }));
        (name, sink)
    });
    let all = FanOut::new("all", sinks).unwrap();
    let none = async |_| assert_eq!(gauge.count(), 0);
    assert_eq!(drop_at_every_await(|| all.send(7), none).await, 2);

    assert!(all.send(7).now_or_never().is_none());
    let mut sending = all.send(7);
    assert!((&mut sending).now_or_never().is_none());
    assert_eq!(gauge.count(), 2, "both are at work until it is dropped");
    drop(sending);
    assert_eq!(gauge.count(), 0);
}

#[tokio::test]
async fn it_is_as_well_as_its_worst_sink_and_says_which() -> Result<()> {
    let journal = Journal::default();
    let sink = |name, health| Attended { health, ..Attended::new(name, &journal) };
    let (up, unchecked) = (Health::up(), Health::not_checked());
    let tired = Health::degraded("tired");
    let gone = Health::down("gone");
    let health_of = |sinks: Vec<Attended>| async { attended(sinks).health().await };

    assert_eq!(health_of(vec![sink("a", up.clone())]).await?, Health::up());
    let both = vec![sink("a", up.clone()), sink("b", unchecked.clone())];
    assert_eq!(health_of(both).await?, Health::not_checked());
    let three = vec![sink("a", tired.clone()), sink("b", up), sink("c", gone)];
    let expected = Health::down("a is degraded: tired; c is down: gone");
    assert_eq!(health_of(three).await?, expected);

    let failing = Attended { failing: &["health"], ..sink("d", unchecked) };
    let panicking = Attended { panicking: &["health"], ..sink("e", tired) };
    let health = health_of(vec![failing, panicking]).await?;
    assert_eq!(health.status, Status::Down);
    let reason = health.reason.unwrap();
    assert!(reason.contains("d is down") && reason.contains("e is down"), "{reason}");
    Ok(())
}

#[tokio::test]
async fn it_is_available_when_all_its_sinks_are() {
    let journal = Journal::default();
    let here = Attended::new("here", &journal);
    let away = Attended { is_available: false, ..Attended::new("away", &journal) };
    assert!(attended([here.clone()]).is_available().await.unwrap());
    let error = attended([here, away]).is_available().await.unwrap_err();
    assert_eq!(sinks_in(&error), ["away"]);
}

#[tokio::test]
async fn sinks_are_started_and_closed_together_and_none_twice() -> Result<()> {
    let journal = Journal::default();
    let all = attended(["a", "b"].map(|name| Attended::new(name, &journal)));
    all.init().await?;
    assert_eq!(journal.take(), ["a init", "b init"]);
    all.close().await?;
    all.close().await?;
    assert_eq!(journal.take(), ["a close", "b close"]);
    Ok(())
}

#[tokio::test]
async fn a_start_that_fails_closes_all_and_says_what_would_not_close() {
    let journal = Journal::default();
    let started = Attended { panicking: &["close"], ..Attended::new("started", &journal) };
    let failing = Attended { failing: &["init"], ..Attended::new("failing", &journal) };
    let all = attended([started, failing]);
    let error = all.init().await.unwrap_err();
    assert_eq!(sinks_in(&error), ["failing", "started"], "first what failed, then what is open");
    let expected = ["started init", "failing init", "started close", "failing close"];
    assert_eq!(journal.take(), expected);

    // Whoever started it closes it as well.
    let error = all.close().await.unwrap_err();
    assert_eq!(sinks_in(&error), ["started"]);
    assert_eq!(journal.take(), ["started close"], "what is closed is left alone");
}

#[tokio::test]
async fn closing_goes_on_past_errors_and_panics_and_keeps_them_all() {
    let journal = Journal::default();
    let failing = Attended { failing: &["close"], ..Attended::new("failing", &journal) };
    let panicking = Attended { panicking: &["close"], ..Attended::new("panicking", &journal) };
    let all = attended([panicking, failing, Attended::new("fine", &journal)]);
    let error = all.close().await.unwrap_err();
    assert_eq!(sinks_in(&error), ["panicking", "failing"]);
    assert_eq!(journal.take(), ["panicking close", "failing close", "fine close"]);
}

/// Sinks of numbers, behind a manager.
struct Sinks;

impl Subsystem for Sinks {
    const NAME: &'static str = "sinks";
    const OPERATIONS: &'static [Op] = sink::operations(Effect::Keyed);
    type Driver = dyn Sink<u64>;
    type Handle = Sender<Self>;

    fn register_built_ins(_registry: &Registry<Self>) -> Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_manager_learns_which_sink_is_not_available() -> Result<()> {
    let journal = Journal::default();
    let away = Attended { is_available: false, ..Attended::new("away", &journal) };
    let bench = Workbench::<Sinks>::new()?;
    let all = attended([Attended::new("here", &journal), away]);
    bench.serve("main", all, Policy::default())?;
    let health = bench.manager().health(SECOND).await.remove(0).health;
    assert_eq!(health.status, Status::Down);
    let reason = health.reason.unwrap();
    assert!(reason.contains("sink: away") && !reason.contains("here"), "{reason}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_manager_closes_a_fan_out_that_did_not_start_no_second_time() -> Result<()> {
    let journal = Journal::default();
    let (started, failing) =
        (Attended::new("started", &journal), Attended::new("failing", &journal));
    let failing = Attended { failing: &["init"], ..failing };
    let bench = Workbench::<Sinks>::new()?.with_drivers(|registry| {
        registry.register("all", move |_: NoSettings, _| {
            let all = attended([started.clone(), failing.clone()]);
            async { Ok(all) }
        })
    })?;
    bench.manager().configure("main", &Settings::new().with("driver", "all"))?;
    bench.manager().get("main").await.unwrap_err();
    bench.close().await;
    let closed = journal.take().into_iter().filter(|entry| entry.ends_with("close"));
    assert_eq!(closed.collect::<Vec<_>>(), ["started close", "failing close"]);
    Ok(())
}

/// A sink whose start takes a while.
struct Slow {
    closed: Arc<AtomicU32>,
    gauge: Gauge,
}

impl Lifecycle for Slow {
    fn init(&self) -> Reply<'_, ()> {
        Reply::run(async {
            self.gauge.work().await;
            Ok(())
        })
    }

    fn close(&self) -> Reply<'_, ()> {
        self.closed.fetch_add(1, Ordering::Relaxed);
        Reply::ready(Ok(()))
    }
}

impl Provider for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }
}

impl Sink<u64> for Slow {
    fn send(&self, _input: u64) -> Reply<'_, ()> {
        Reply::ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_dropped_at_any_await_can_still_be_closed() -> Result<()> {
    let (closed, gauge) = (Arc::new(AtomicU32::new(0)), Gauge::default());
    let slow = || Slow { closed: closed.clone(), gauge: gauge.clone() };
    let make = || {
        let sinks: [(&str, Numeric); 2] = [("a", Arc::new(slow())), ("b", Arc::new(slow()))];
        Arc::new(FanOut::new("all", sinks).unwrap())
    };
    let latest = std::cell::RefCell::new(make());
    let start = async || {
        *latest.borrow_mut() = make();
        let all = latest.borrow().clone();
        all.init().await
    };
    let check = async |_| {
        assert_eq!(gauge.count(), 0);
        let all = latest.borrow().clone();
        closed.store(0, Ordering::Relaxed);
        all.close().await.unwrap();
        assert_eq!(closed.load(Ordering::Relaxed), 2);
    };
    assert_eq!(drop_at_every_await(start, check).await, 2);
    Ok(())
}

/// What a sink may do with an input: take it, or fail so.
fn any_answer() -> impl Strategy<Value = Option<(ErrorKind, Outcome)>> {
    let error = (proptest::sample::select(ErrorKind::ALL), proptest::sample::select(Outcome::ALL));
    proptest::option::of(error)
}

proptest! {
    #[test]
    fn the_outcome_of_the_whole_is_never_claimed_for_a_sink_of_which_it_is_not_true(
        answers in proptest::collection::vec(any_answer(), 1..6),
    ) {
        let sinks = answers.iter().copied().enumerate().map(|(place, answer)| {
            let sink: Numeric = Arc::new(function::sink("sink", move |_: u64| async move {
                match answer {
                    Some((kind, outcome)) => Err(Error::new(kind, "no").with_outcome(outcome)),
                    None => Ok(()),
                }
            }));
            (place.to_string(), sink)
        });
        let all = FanOut::new("all", sinks).unwrap();
        let sent = all.send(7).now_or_never().unwrap();
        let errors: Vec<_> = answers.iter().copied().flatten().collect();
        let Err(error) = sent else {
            prop_assert!(errors.is_empty(), "no error is lost");
            return Ok(());
        };

        prop_assert_eq!(error.related().len(), errors.len());
        let states: Vec<_> = answers
            .iter()
            .map(|answer| answer.map_or(Outcome::Applied, |(_, outcome)| outcome))
            .collect();
        let is_shared = states.iter().all(|state| *state == states[0]);
        prop_assert_eq!(error.outcome(), if is_shared { states[0] } else { Outcome::Unknown });
        let had_outage = errors.iter().any(|(kind, _)| kind.class() == Class::Outage);
        prop_assert_eq!(error.class() == Class::Outage, had_outage);
    }
}
