//! Providers as services, services as providers, and tower's layers around providers.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use switchboard_core::{
    AttemptTimeout, Effect, Environment, Error, ErrorKind, Gate, Lifecycle, Manager, NoSettings,
    Op, Outcome, Policy, Registry, Reply, Result, Retry, RetryPolicy, Settings, Status, Subsystem,
};
use switchboard_provider::bridge::tower::{
    AttemptTimeoutLayer, BoxError, DuplexService, ProviderService, ServiceProvider, SinkService,
    StreamService, classify, layered, layered_duplex, layered_sink, layered_stream,
};
use switchboard_provider::{
    Conversation, Duplex, Items, Provider, RequestResponse, Requester, Sink, Stream, function,
    request_response,
};
use switchboard_testkit::{Answer, Script, assert_idle, drop_at_every_await};
use tower::load_shed::LoadShedLayer;
use tower::load_shed::error::Overloaded;
use tower::timeout::TimeoutLayer;
use tower::timeout::error::Elapsed;
use tower::{Layer, Service as _, ServiceBuilder, ServiceExt, service_fn};

use crate::station::{Broken, Scripted, lost, out_of_order, script, seconds};

/// Numbers in, numbers out.
struct Numbers;

impl Subsystem for Numbers {
    const NAME: &'static str = "numbers";
    const OPERATIONS: &'static [Op] = request_response::operations(Effect::Read);
    type Driver = dyn RequestResponse<u32, u32>;
    type Handle = Requester<Self>;

    fn register_built_ins(_registry: &Registry<Self>) -> Result<()> {
        Ok(())
    }
}

/// A provider that does what its script says, and notes how it is looked after.
#[derive(Default)]
struct Looked {
    script: Script<u32>,
    inits: AtomicU32,
    closes: AtomicU32,
    is_away: AtomicBool,
}

impl Lifecycle for Looked {
    fn init(&self) -> Reply<'_, ()> {
        self.inits.fetch_add(1, Ordering::Relaxed);
        Reply::ready(Ok(()))
    }

    fn close(&self) -> Reply<'_, ()> {
        self.closes.fetch_add(1, Ordering::Relaxed);
        Reply::ready(Ok(()))
    }
}

impl Provider for Looked {
    fn name(&self) -> &'static str {
        "looked after"
    }

    fn is_available(&self) -> Reply<'_, bool> {
        Reply::ready(Ok(!self.is_away.load(Ordering::Relaxed)))
    }
}

impl RequestResponse<u32, u32> for Looked {
    fn execute(&self, input: u32) -> Reply<'_, u32> {
        self.script.call(input)
    }
}

impl Sink<u32> for Looked {
    fn send(&self, input: u32) -> Reply<'_, ()> {
        let sent = self.script.call::<u32>(input);
        Reply::run(async move { sent.await.map(drop) })
    }
}

impl Stream<u32, u32> for Looked {
    fn open(&self, input: u32) -> Reply<'_, Box<dyn Items<u32>>> {
        let opening = self.script.call(input);
        Reply::run(async move {
            let items: Box<dyn Items<u32>> = Box::new(Opened(opening.await?));
            Ok(items)
        })
    }
}

impl Duplex<u32, u32> for Looked {
    fn open(&self) -> Reply<'_, Box<dyn Conversation<u32, u32>>> {
        let opening = self.script.call(7);
        Reply::run(async move {
            let conversation: Box<dyn Conversation<u32, u32>> = Box::new(Opened(opening.await?));
            Ok(conversation)
        })
    }
}

/// One number, again and again.
struct Opened(u32);

impl Items<u32> for Opened {
    fn next(&mut self) -> Reply<'_, Option<u32>> {
        Reply::ready(Ok(Some(self.0)))
    }
}

impl Conversation<u32, u32> for Opened {
    fn send(&self, _message: u32) -> Reply<'_, ()> {
        Reply::ready(Ok(()))
    }

    fn receive(&self) -> Reply<'_, Option<u32>> {
        Reply::ready(Ok(Some(self.0)))
    }

    fn close(&self) -> Reply<'_, ()> {
        Reply::ready(Ok(()))
    }
}

fn manager() -> Result<Manager<Numbers>> {
    Manager::new(Registry::empty(), &Environment::new())
}

fn assert_same(error: &Error, expected: &Error) {
    let said = |error: &Error| (error.kind(), error.retry(), error.outcome(), error.gate());
    assert_eq!(said(error), said(expected));
    assert_eq!(error.to_string(), expected.to_string());
    assert_eq!(error.related().len(), expected.related().len());
    assert_eq!(error.find::<io::Error>().is_some(), expected.find::<io::Error>().is_some());
}

#[tokio::test(start_paused = true)]
async fn an_error_comes_back_from_the_round_trip_as_it_was() {
    let rich = Error::new(ErrorKind::RateLimited, "slow down")
        .retry_after(seconds(3))
        .with_outcome(Outcome::Applied)
        .with_context("plan", "free")
        .with_related([lost()])
        .with_source(out_of_order());
    for error in [rich, Error::refused(Gate::Bulkhead, "full"), lost().with_retry(Retry::Exhausted)]
    {
        let failing = error.clone();
        let provider = function::request_response("failing", move |_: u32| {
            let failing = failing.clone();
            async move { Err::<u32, _>(failing) }
        });
        // Through a layer that knows no error of ours, too.
        let service = TimeoutLayer::new(seconds(1)).layer(ProviderService::new(Arc::new(provider)));
        let back = ServiceProvider::new("back", service, classify);
        assert_same(&back.execute(7).await.unwrap_err(), &error);
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_serves_an_instance_whose_handle_is_a_service() -> Result<()> {
    let script = script([Answer::fail(lost())]);
    let numbers = manager()?;
    let service = ServiceProvider::new("scripted", Scripted::new(&script), classify);
    numbers.insert("main", service)?;
    let retry = Some(RetryPolicy::default());
    numbers.retune("main", Policy { retry, ..Policy::default() })?;

    let mut main = ProviderService::new(Arc::new(numbers.handle("main")?));
    assert_eq!(main.ready().await?.call(7).await?, 7);
    assert_eq!(script.calls(), [7, 7], "the gates of the instance have tried again");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_provider_behind_towers_layers_is_managed_like_any() -> Result<()> {
    let provider = Arc::new(Looked::default());
    provider.script.otherwise(|_| Answer::reply(7_u32).after(seconds(1)));
    let layer = ServiceBuilder::new().timeout(seconds(3)).concurrency_limit(1);
    let numbers = manager()?;
    let looked = provider.clone();
    numbers.registry().register("looked", move |_: NoSettings, _| {
        let layered = layered(looked.clone(), &layer, classify);
        async move { Ok(layered) }
    })?;
    numbers.configure("main", &Settings::new().with("driver", "looked"))?;
    let main = numbers.get("main").await?;
    assert_eq!(provider.inits.load(Ordering::Relaxed), 1);

    let clock = switchboard_core::Clock::system();
    let start = clock.now();
    let (one, other) = tokio::join!(main.execute(1), main.execute(2));
    assert_eq!((one?, other?, clock.now() - start), (7, 7, seconds(2)), "one after the other");

    provider.script.expect(3, Answer::hang());
    let late = main.execute(3).await.unwrap_err();
    assert_eq!((late.kind(), late.outcome()), (ErrorKind::Timeout, Outcome::Unknown));
    assert!(late.find::<Elapsed>().is_some());

    let is_down = async || numbers.health(seconds(1)).await[0].health.status == Status::Down;
    assert!(!is_down().await);
    provider.is_away.store(true, Ordering::Relaxed);
    assert!(is_down().await);
    numbers.close(seconds(9)).await;
    assert_eq!(provider.closes.load(Ordering::Relaxed), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_managed_call_through_towers_layers_may_be_dropped_at_any_await() -> Result<()> {
    let provider = Looked::default();
    provider.script.otherwise(|_| Answer::reply(7_u32).after(seconds(1)));
    let layer = ServiceBuilder::new().concurrency_limit(1).timeout(seconds(3));
    let numbers = manager()?;
    numbers.insert("main", layered(Arc::new(provider), layer, classify))?;
    let main = numbers.get("main").await?;
    let check = async |_| {
        assert_idle(main.line()).await;
        // Tower's permit is back as well.
        assert_eq!(main.execute(7).await.unwrap(), 7);
    };
    assert_eq!(drop_at_every_await(|| main.execute(7), check).await, 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_towers_layers_say_is_understood() {
    let check = async |error: Error, kind, outcome| {
        assert_eq!((error.kind(), error.outcome(), error.retry()), (kind, outcome, Retry::Later));
    };
    let stuck = || service_fn(|_: u32| std::future::pending::<Result<u32, Infallible>>());

    let late = TimeoutLayer::new(seconds(1)).layer(stuck());
    let late = ServiceProvider::new("late", late, classify).execute(7).await.unwrap_err();
    assert!(late.find::<Elapsed>().is_some());
    check(late, ErrorKind::Timeout, Outcome::Unknown).await;

    // The one place is taken, so the load shedder does not let the call through.
    let limited = ServiceBuilder::new().concurrency_limit(1).service(stuck());
    let mut taken = limited.clone();
    let _taken = taken.ready().await.unwrap().call(7);
    let shed = ServiceProvider::new("shed", LoadShedLayer::new().layer(limited), classify);
    let shed = shed.execute(7).await.unwrap_err();
    assert!(shed.find::<Overloaded>().is_some());
    check(shed, ErrorKind::Overloaded, Outcome::NotApplied).await;
}

#[test]
fn an_error_that_only_reads_like_one_of_towers_may_have_happened() {
    /// After half of the work was done.
    #[derive(Debug)]
    struct Overloaded;

    impl std::fmt::Display for Overloaded {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("service overloaded")
        }
    }

    impl std::error::Error for Overloaded {}

    let error = classify(Box::new(Overloaded));
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unexpected, Outcome::Unknown));
    assert!(error.find::<Overloaded>().is_some());
}

#[tokio::test(start_paused = true)]
async fn what_nobody_knows_keeps_its_cause_and_may_have_happened() {
    let failing = service_fn(async |_: u32| Err::<u32, _>(out_of_order()));
    let failing = ServiceProvider::new("failing", failing, classify);
    let error = failing.execute(7).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unexpected, Outcome::Unknown));
    assert_eq!(error.find::<io::Error>().unwrap().to_string(), "out of order");

    let answers = |_: BoxError| Error::new(ErrorKind::NotFound, "no such number");
    let failing = service_fn(async |_: u32| Err::<u32, _>(out_of_order()));
    let failing = ServiceProvider::new("failing", failing, answers);
    assert_eq!(failing.execute(7).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_cannot_become_ready_was_not_asked() {
    let check = |error: Error| {
        assert_eq!(error.outcome(), Outcome::NotApplied);
        assert!(error.find::<io::Error>().is_some());
    };
    let broken = ServiceProvider::new("broken", Broken, classify);
    check(broken.execute(7).await.unwrap_err());
    let timeout = AttemptTimeoutLayer::new(AttemptTimeout::new(seconds(1)));
    check(timeout.layer(Broken).ready().await.map(drop).unwrap_err());
}

#[tokio::test(start_paused = true)]
async fn sinks_go_both_ways() -> Result<()> {
    let script = Script::new();
    script.expect("one".to_owned(), Answer::reply(()));
    script.expect("two".to_owned(), Answer::fail(lost()));
    let playing = script.clone();
    let sink = function::sink("journal", move |line: String| playing.call(line));
    let service = SinkService::new(Arc::new(sink));
    let sink = ServiceProvider::new("back", service, classify);
    sink.send("one".to_owned()).await?;
    assert_same(&sink.send("two".to_owned()).await.unwrap_err(), &lost());
    script.assert_done();
    Ok(())
}

/// Goes through the life of `layered`, and expects that it is the life of `looked`.
async fn assert_looked_after(layered: &impl Provider, looked: &Looked) -> Result<()> {
    assert_eq!(layered.name(), "looked after");
    layered.init().await?;
    looked.is_away.store(true, Ordering::Relaxed);
    assert!(!layered.is_available().await?);
    layered.close().await?;
    let steps = [&looked.inits, &looked.closes].map(|steps| steps.load(Ordering::Relaxed));
    assert_eq!(steps, [1, 1]);
    Ok(())
}

/// A provider that answers, and the second time hangs.
fn hangs_in_the_end() -> Arc<Looked> {
    let looked = Looked::default();
    looked.script.expect(7, Answer::reply(3_u32));
    looked.script.expect(7, Answer::hang());
    Arc::new(looked)
}

#[track_caller]
fn assert_late(error: &Error) {
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::Unknown));
}

#[tokio::test(start_paused = true)]
async fn a_sink_behind_towers_layers_is_looked_after_as_it_was() -> Result<()> {
    let looked = hangs_in_the_end();
    let sink = layered_sink(looked.clone(), TimeoutLayer::new(seconds(1)), classify);
    sink.send(7).await?;
    assert_late(&sink.send(7).await.unwrap_err());
    assert_looked_after(&sink, &looked).await
}

#[tokio::test(start_paused = true)]
async fn towers_layers_are_around_the_openings_of_a_stream() -> Result<()> {
    let looked = hangs_in_the_end();
    let stream = layered_stream(looked.clone(), TimeoutLayer::new(seconds(1)), classify);
    let mut items = Stream::open(&stream, 7).await?;
    tokio::time::sleep(seconds(9)).await;
    assert_eq!(items.next().await?, Some(3), "items are free");
    assert_late(&Stream::open(&stream, 7).await.map(drop).unwrap_err());
    assert_looked_after(&stream, &looked).await
}

#[tokio::test(start_paused = true)]
async fn towers_layers_are_around_the_openings_of_a_duplex_provider() -> Result<()> {
    let looked = hangs_in_the_end();
    let duplex = layered_duplex(looked.clone(), TimeoutLayer::new(seconds(1)), classify);
    let conversation = Duplex::open(&duplex).await?;
    tokio::time::sleep(seconds(9)).await;
    assert_eq!(conversation.receive().await?, Some(3), "messages are free");
    assert_late(&Duplex::open(&duplex).await.map(drop).unwrap_err());
    assert_looked_after(&duplex, &looked).await
}

#[tokio::test(start_paused = true)]
async fn streams_and_duplex_providers_go_both_ways() -> Result<()> {
    let service = StreamService::new(hangs_in_the_end());
    let stream: Arc<dyn Stream<u32, u32>> =
        Arc::new(ServiceProvider::new("back", service, classify));
    assert_eq!(stream.open(7).await?.next().await?, Some(3));

    let service = DuplexService::new(hangs_in_the_end());
    let duplex: Arc<dyn Duplex<u32, u32>> =
        Arc::new(ServiceProvider::new("back", service, classify));
    assert_eq!(duplex.open().await?.receive().await?, Some(3));
    Ok(())
}
