//! What the gates do is the same on every shape: to a call, or to an opening.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use switchboard_core::{
    BreakerState, Cause, Effect, Environment, Erase, Error, ErrorKind, Gate, Gates, Line, Manager,
    Outcome, Policy, Result, Retry, Subsystem,
};
use switchboard_provider::{Duplex, RequestResponse, Sink, Stream, guard};
use switchboard_testkit::{Answer, Recorder, advance, assert_idle, poll_settled};

use crate::families::{
    Ask, Countdowns, Echoes, Journals, Lengths, Played, all, breaks_after, lost, retries, serving,
    slots, tokens,
};

/// One shape behind gates.
struct Case {
    shape: &'static str,
    /// What its provider is asked when somebody begins.
    asked: Ask,
    played: Played,
    begin: Begin,
    /// `None` where no manager looks after the provider.
    line: Option<Watched>,
}

/// Makes a call, or opens something. What was opened is the answer.
type Begin = Box<dyn Fn() -> Beginning>;

type Beginning = LocalBoxFuture<'static, Result<Box<dyn Any>>>;

struct Watched {
    gates: Option<Arc<Gates>>,
    chain: Vec<String>,
    recorder: Recorder,
    idle: Box<dyn Fn() -> LocalBoxFuture<'static, ()>>,
}

/// Every shape behind the gates of `policy`: as an instance of a manager, and guarded by hand.
fn cases(policy: &Policy) -> Result<Vec<Case>> {
    let mut cases = vec![
        managed::<Lengths>("request response", Ask::Execute, policy, |main| {
            let main = main.clone();
            async move { kept(main.execute("four".to_owned()).await) }.boxed_local()
        })?,
        managed::<Countdowns>("stream", Ask::Open, policy, |main| {
            let main = main.clone();
            async move { kept(main.open(4).await) }.boxed_local()
        })?,
        managed::<Journals>("sink", Ask::Send, policy, |main| {
            let main = main.with_effect(Effect::Read);
            async move { kept(main.send("line".to_owned()).await) }.boxed_local()
        })?,
        managed::<Echoes>("duplex", Ask::Open, policy, |main| {
            let main = main.clone();
            async move { kept(main.open().await) }.boxed_local()
        })?,
    ];
    cases.extend(guarded(policy)?);
    Ok(cases)
}

fn managed<S>(
    shape: &'static str,
    asked: Ask,
    policy: &Policy,
    begin: fn(&S::Handle) -> Beginning,
) -> Result<Case>
where
    S: Subsystem,
    S::Driver: Erase<Played>,
    S::Handle: Lined<S>,
{
    let played = Played::new();
    let manager: Manager<S> = serving(played.clone(), policy.clone())?;
    let main = manager.handle("main")?;
    let line = main.line().clone();
    let watched = Watched {
        gates: line.gates(),
        chain: line.chain().iter().map(|step| step.gate.to_owned()).collect(),
        recorder: Recorder::new(manager.environment().events()),
        idle: Box::new(move || {
            let line = line.clone();
            async move { assert_idle(&line).await }.boxed_local()
        }),
    };
    let begin = Box::new(move || begin(&main));
    Ok(Case { shape, asked, played, begin, line: Some(watched) })
}

/// A handle that shows its line.
trait Lined<S: Subsystem>: 'static {
    fn line(&self) -> &Line<S>;
}

macro_rules! lined {
    ($($family:ident)+) => { $(
        impl Lined<$family> for <$family as Subsystem>::Handle {
            fn line(&self) -> &Line<$family> {
                self.line()
            }
        }
    )+ };
}

lined!(Lengths Countdowns Journals Echoes);

fn guarded(policy: &Policy) -> Result<[Case; 4]> {
    let case = |shape, asked, played: &Played, begin: Begin| Case {
        shape,
        asked,
        played: played.clone(),
        begin,
        line: None,
    };
    let (environment, effect) = (Environment::new(), Effect::Read);
    let played = Played::new();
    let request: Arc<dyn RequestResponse<String, usize>> = Arc::new(played.clone());
    let request = guard::request_response("main", request, policy.clone(), effect, &environment)?;
    let request = case(
        "guarded request response",
        Ask::Execute,
        &played,
        Box::new(move || {
            let request = request.clone();
            async move { kept(request.execute("four".to_owned()).await) }.boxed_local()
        }),
    );
    let played = Played::new();
    let stream: Arc<dyn Stream<u64, u64>> = Arc::new(played.clone());
    let stream = guard::stream("main", stream, policy.clone(), effect, &environment)?;
    let stream = case(
        "guarded stream",
        Ask::Open,
        &played,
        Box::new(move || {
            let stream = stream.clone();
            async move { kept(stream.open(4).await) }.boxed_local()
        }),
    );
    let played = Played::new();
    let sink: Arc<dyn Sink<String>> = Arc::new(played.clone());
    let sink = guard::sink("main", sink, policy.clone(), effect, &environment)?;
    let sink = case(
        "guarded sink",
        Ask::Send,
        &played,
        Box::new(move || {
            let sink = sink.clone();
            async move { kept(sink.send("line".to_owned()).await) }.boxed_local()
        }),
    );
    let played = Played::new();
    let duplex: Arc<dyn Duplex<String, String>> = Arc::new(played.clone());
    let duplex = guard::duplex("main", duplex, policy.clone(), &environment)?;
    let duplex = case(
        "guarded duplex",
        Ask::Open,
        &played,
        Box::new(move || {
            let duplex = duplex.clone();
            async move { kept(duplex.open().await) }.boxed_local()
        }),
    );
    Ok([request, stream, sink, duplex])
}

fn kept<T: 'static>(opened: Result<T>) -> Result<Box<dyn Any>> {
    let opened: Box<dyn Any> = Box::new(opened?);
    Ok(opened)
}

impl Case {
    fn is_duplex(&self) -> bool {
        self.shape.ends_with("duplex")
    }

    /// The next that is asked of the provider is answered like this.
    fn expect(&self, answer: Answer) {
        self.played.script.expect(self.asked, answer);
    }

    fn times_asked(&self) -> usize {
        self.played.asked(self.asked)
    }

    async fn fails(&self) -> Error {
        match (self.begin)().await {
            Ok(_) => panic!("{}: it went through", self.shape),
            Err(error) => error,
        }
    }

    /// The same mapping for all: which gate, in which words, and that nothing happened.
    #[track_caller]
    fn check_refusal(&self, error: &Error, gate: Gate, kind: ErrorKind, cause: Cause) {
        let seen = (error.gate(), error.kind(), Cause::of(error));
        assert_eq!(seen, (Some(gate), kind, Some(cause)), "{}: {error:?}", self.shape);
        let place = error.place().map(|place| (&*place.instance, place.operation));
        let operation = format!("{:?}", self.asked).to_lowercase();
        assert_eq!(place, Some(("main", &*operation)), "{}", self.shape);
    }

    async fn check_idle(&self) {
        if let Some(line) = &self.line {
            (line.idle)().await;
        }
        assert_eq!(self.played.open.count(), 0, "{}: something is open", self.shape);
    }
}

#[tokio::test(start_paused = true)]
async fn beyond_the_rate_a_call_is_limited() -> Result<()> {
    for case in cases(&tokens(1))? {
        let first = (case.begin)().await?;
        let error = case.fails().await;
        case.check_refusal(&error, Gate::RateLimit, ErrorKind::RateLimited, Cause::Limited);
        assert_eq!(error.outcome(), Outcome::NotApplied, "{}", case.shape);
        assert!(matches!(error.retry(), Retry::After(_)), "{}: {error:?}", case.shape);
        assert_eq!(case.times_asked(), 1, "{}", case.shape);
        drop(first);
        case.check_idle().await;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn in_a_full_bulkhead_there_is_no_room() -> Result<()> {
    for case in cases(&slots(1))? {
        case.expect(Answer::hang());
        let mut first = (case.begin)();
        assert!(poll_settled(&mut first).await.is_pending());
        let error = case.fails().await;
        case.check_refusal(&error, Gate::Bulkhead, ErrorKind::Overloaded, Cause::Full);
        assert_eq!((error.outcome(), case.times_asked()), (Outcome::NotApplied, 1));
        drop(first);
        drop((case.begin)().await?);
        case.check_idle().await;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_refuses_and_says_what_opened_it() -> Result<()> {
    for case in cases(&breaks_after(1))? {
        case.expect(Answer::fail(lost()));
        let failure = case.fails().await;
        assert_eq!((failure.gate(), Cause::of(&failure)), (None, Some(Cause::Failed)));
        let error = case.fails().await;
        case.check_refusal(&error, Gate::Breaker, ErrorKind::Unavailable, Cause::Open);
        let why = error.find::<Error>().map(Error::message);
        assert_eq!(why, Some("connection lost"), "{}: {error:?}", case.shape);
        assert_eq!((error.outcome(), case.times_asked()), (Outcome::NotApplied, 1));
        advance(Duration::from_secs(10)).await;
        drop((case.begin)().await?);
        case.check_idle().await;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_takes_too_long_is_timed_out_by_the_attempt_or_by_the_whole() -> Result<()> {
    let second = Some(Duration::from_secs(1));
    let attempt = Policy { attempt_timeout: second, ..Policy::default() };
    let whole = Policy { deadline: second, ..Policy::default() };
    for (policy, gate) in [(attempt, Gate::AttemptTimeout), (whole, Gate::Deadline)] {
        for case in cases(&policy)? {
            case.expect(Answer::hang());
            let error = case.fails().await;
            case.check_refusal(&error, gate, ErrorKind::Timeout, Cause::TimedOut);
            assert_eq!(error.outcome(), Outcome::Unknown, "{}: it had begun", case.shape);
            drop((case.begin)().await?);
            case.check_idle().await;
        }
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_tried_again_on_every_shape_but_duplex() -> Result<()> {
    for case in cases(&retries(3))? {
        case.expect(Answer::fail(lost()));
        if case.is_duplex() {
            assert_eq!(case.fails().await.message(), "connection lost");
            assert_eq!(case.times_asked(), 1);
            continue;
        }
        case.expect(Answer::fail(lost()));
        drop((case.begin)().await?);
        assert_eq!(case.times_asked(), 3, "{}", case.shape);
        case.check_idle().await;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_is_not_tried_again_and_counts_against_nobody() -> Result<()> {
    for case in cases(&all(&[retries(3), breaks_after(1), slots(1)]))? {
        case.expect(Answer::fail(Error::new(ErrorKind::Cancelled, "the caller gave up")));
        let error = case.fails().await;
        assert_eq!((error.kind(), Cause::of(&error)), (ErrorKind::Cancelled, None));
        assert_eq!((error.retry(), case.times_asked()), (Retry::Never, 1), "{}", case.shape);
        if let Some(gates) = case.line.as_ref().and_then(|line| line.gates.as_ref()) {
            let breaker = gates.breaker().unwrap();
            let calls = breaker.figures_at(switchboard_core::Clock::system().now()).calls;
            assert_eq!((breaker.state(), calls), (BreakerState::Closed, 0), "{}", case.shape);
        }
        // One call of an outage would have opened the breaker.
        drop((case.begin)().await?);
        case.check_idle().await;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_counts_against_nobody() -> Result<()> {
    for case in cases(&all(&[retries(3), breaks_after(1), slots(1)]))? {
        case.expect(Answer::hang());
        let mut leaving = (case.begin)();
        assert!(poll_settled(&mut leaving).await.is_pending());
        drop(leaving);
        drop((case.begin)().await?);
        case.check_idle().await;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_the_service_is_neither_tried_again_nor_held_against_it() -> Result<()> {
    for case in cases(&all(&[retries(3), breaks_after(1)]))? {
        case.expect(Answer::fail(Error::new(ErrorKind::NotFound, "no such thing")));
        let error = case.fails().await;
        assert_eq!((error.kind(), error.gate()), (ErrorKind::NotFound, None), "{}", case.shape);
        assert_eq!((Cause::of(&error), case.times_asked()), (None, 1), "{}", case.shape);
        drop((case.begin)().await?);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn every_refusal_is_told() -> Result<()> {
    for case in cases(&all(&[tokens(1), slots(2)]))? {
        let Some(line) = &case.line else { continue };
        drop((case.begin)().await?);
        case.fails().await;
        assert_eq!(line.recorder.names(), ["Refused"], "{}", case.shape);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_order_of_the_gates_does_not_depend_on_the_shape() -> Result<()> {
    let second = Some(Duration::from_secs(1));
    let times = Policy { deadline: second, attempt_timeout: second, ..Policy::default() };
    let policy = all(&[times, tokens(5), slots(5), breaks_after(5), retries(2)]);
    let order = [
        "deadline",
        "breaker: open?",
        "rate_limit",
        "bulkhead",
        "breaker: permit",
        "retry",
        "attempt_timeout",
        "driver",
    ];
    for line in cases(&policy)?.into_iter().filter_map(|case| case.line) {
        assert_eq!(line.chain, order);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_policy_with_nothing_in_it_adds_nothing() -> Result<()> {
    for case in cases(&Policy::default())? {
        let Some(line) = &case.line else { continue };
        assert!(line.gates.is_none(), "{}", case.shape);
        assert_eq!(line.chain, ["driver"], "{}", case.shape);
    }
    let (environment, effect) = (Environment::new(), Effect::Read);
    let none = Policy::default;
    let played = Played::new();
    let plain: Arc<dyn RequestResponse<String, usize>> = Arc::new(played.clone());
    let same = guard::request_response("main", plain.clone(), none(), effect, &environment)?;
    assert!(Arc::ptr_eq(&plain, &same));
    let plain: Arc<dyn Stream<u64, u64>> = Arc::new(played.clone());
    let same = guard::stream("main", plain.clone(), none(), effect, &environment)?;
    assert!(Arc::ptr_eq(&plain, &same));
    let plain: Arc<dyn Sink<String>> = Arc::new(played.clone());
    let same = guard::sink("main", plain.clone(), none(), effect, &environment)?;
    assert!(Arc::ptr_eq(&plain, &same));
    let plain: Arc<dyn Duplex<String, String>> = Arc::new(played);
    let same = guard::duplex("main", plain.clone(), none(), &environment)?;
    assert!(Arc::ptr_eq(&plain, &same));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_guard_without_a_name_is_refused_also_where_it_would_add_nothing() {
    let lengths: Arc<dyn RequestResponse<String, usize>> = Arc::new(
        switchboard_provider::function::request_response("lengths", |text: String| async move {
            Ok(text.len())
        }),
    );
    let environment = Environment::new();
    let guarded =
        guard::request_response(" ", lengths, Policy::default(), Effect::Read, &environment);
    assert!(guarded.is_err());
}
