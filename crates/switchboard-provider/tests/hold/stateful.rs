//! Providers that remember.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use switchboard_core::{
    Clock, Effect, Environment, Error, ErrorKind, Health, Lifecycle, Manager, NoSettings, Op,
    Outcome, Registry, Reply, Result, Retry, Settings, Status, Subsystem,
};
use switchboard_provider::hold::turns::Turns;
use switchboard_provider::{Answered, ContextStore, MemoryContexts, NextContext, Stateful, Turn};
use switchboard_provider::{Provider, RequestResponse, Requester, function, request_response};
use switchboard_testkit::{advance, drop_at_every_await, poll_settled};

/// A store in memory that takes a second for everything, and fails on request.
struct Slow {
    contexts: MemoryContexts<Vec<u32>>,
    fails: Mutex<Option<&'static str>>,
    story: Story,
}

/// What happened, in order.
type Story = Arc<Mutex<Vec<String>>>;

impl Slow {
    fn new() -> Arc<Self> {
        let contexts = MemoryContexts::new(Clock::system());
        Arc::new(Self { contexts, fails: Mutex::default(), story: Story::default() })
    }

    fn fail(&self, step: &'static str) {
        *self.fails.lock().unwrap() = Some(step);
    }

    fn kept(&self, key: &str) -> Option<Vec<u32>> {
        self.contexts.load(key).now_or_never().unwrap().unwrap()
    }

    async fn step(&self, step: &'static str) -> Result<()> {
        tokio::time::sleep(SECOND).await;
        self.story.lock().unwrap().push(step.to_owned());
        if *self.fails.lock().unwrap() == Some(step) {
            return Err(Error::new(ErrorKind::Unavailable, "the store is away"));
        }
        Ok(())
    }
}

impl Lifecycle for Slow {
    fn init(&self) -> Reply<'_, ()> {
        Reply::run(self.step("init"))
    }

    fn health(&self) -> Reply<'_, Health> {
        Reply::ready(Ok(Health::degraded("slow")))
    }

    fn close(&self) -> Reply<'_, ()> {
        Reply::run(self.step("close"))
    }
}

impl ContextStore<Vec<u32>> for Slow {
    fn load<'a>(&'a self, key: &'a str) -> Reply<'a, Option<Vec<u32>>> {
        Reply::run(async move {
            self.step("load").await?;
            self.contexts.load(key).await
        })
    }

    fn save<'a>(&'a self, key: &'a str, context: Vec<u32>, ttl: Option<Duration>) -> Reply<'a, ()> {
        Reply::run(async move {
            self.step("save").await?;
            self.contexts.save(key, context, ttl).await
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> Reply<'a, ()> {
        Reply::run(async move {
            self.step("delete").await?;
            self.contexts.delete(key).await
        })
    }
}

/// Gives back all numbers it was ever given, except that it remembers nothing new for an odd one and
/// forgets everything at a zero.
fn numbers(asked: &Arc<AtomicUsize>) -> impl Numbers + use<> {
    let asked = asked.clone();
    function::request_response("numbers", move |turn: Turn<u32, Vec<u32>>| {
        asked.fetch_add(1, Ordering::SeqCst);
        async move {
            tokio::time::sleep(SECOND).await;
            let mut all = turn.context.unwrap_or_default();
            all.push(turn.input);
            Ok(match turn.input {
                0 => Answered::forget(all),
                odd if odd % 2 == 1 => Answered::keep(all),
                _ => Answered::save(all.clone(), all),
            })
        }
    })
}

trait Numbers:
    RequestResponse<Turn<u32, Vec<u32>>, Answered<Vec<u32>, Vec<u32>>> + std::fmt::Debug
{
}

impl<P> Numbers for P where
    P: RequestResponse<Turn<u32, Vec<u32>>, Answered<Vec<u32>, Vec<u32>>> + std::fmt::Debug
{
}

/// All inputs have the same key.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "a key is taken from a borrowed input")]
fn one_key(_: &u32) -> String {
    "k".to_owned()
}

fn asked() -> Arc<AtomicUsize> {
    Arc::default()
}

#[tokio::test(start_paused = true)]
async fn what_is_saved_is_seen_by_the_next_call_and_kept_or_forgotten_as_the_provider_says()
-> Result<()> {
    let store = Slow::new();
    let provider = Stateful::new(numbers(&asked()), store.clone(), one_key).with_ttl(10 * SECOND);
    assert_eq!(provider.execute(2).await?, [2]);
    assert_eq!(provider.execute(4).await?, [2, 4]);
    assert_eq!(provider.execute(5).await?, [2, 4, 5]);
    assert_eq!(store.kept("k"), Some(vec![2, 4]), "kept as it was");
    assert_eq!(provider.execute(0).await?, [2, 4, 0]);
    assert_eq!(store.kept("k"), None);

    provider.execute(6).await?;
    advance(10 * SECOND).await;
    assert_eq!(provider.execute(8).await?, [8], "its time was over");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn where_loading_fails_the_provider_is_not_asked() {
    let (store, asked) = (Slow::new(), asked());
    store.fail("load");
    let provider = Stateful::new(numbers(&asked), store, one_key);
    let error = provider.execute(2).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied));
    assert_eq!(error.context_value("context"), Some("load"));
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn where_saving_fails_the_caller_learns_that_the_work_was_done() {
    for (input, step) in [(2, "save"), (0, "delete")] {
        let (store, asked) = (Slow::new(), asked());
        store.fail(step);
        let provider = Stateful::new(numbers(&asked), store, one_key);
        let error = provider.execute(input).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::Applied));
        assert_eq!(error.retry(), Retry::Never, "another try would do the work twice");
        assert_eq!(error.context_value("context"), Some(step));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_provider_passes_untouched_and_saves_nothing() {
    let failing = function::request_response("failing", |_: Turn<u32, Vec<u32>>| async {
        Err::<Answered<(), Vec<u32>>, _>(Error::new(ErrorKind::NotFound, "no such number"))
    });
    let store = Slow::new();
    let provider = Stateful::new(failing, store.clone(), one_key).one_at_a_time();
    let error = provider.execute(2).await.unwrap_err();
    assert_eq!((error.kind(), error.context().count()), (ErrorKind::NotFound, 0));
    assert_eq!(*store.story.lock().unwrap(), ["load"]);
}

#[tokio::test(start_paused = true)]
async fn calls_of_one_key_see_each_other_only_when_they_take_turns() -> Result<()> {
    let at_once = Stateful::new(numbers(&asked()), Slow::new(), one_key);
    for answer in join_all([2, 4, 6].map(|input| at_once.execute(input))).await {
        assert_eq!(answer?.len(), 1, "none has seen another");
    }
    let in_turn = Stateful::new(numbers(&asked()), Slow::new(), one_key).one_at_a_time();
    let answers = join_all([2, 4, 6].map(|input| in_turn.execute(input))).await;
    let answers: Vec<Vec<u32>> = answers.into_iter().collect::<Result<_>>()?;
    assert_eq!(answers, [vec![2], vec![2, 4], vec![2, 4, 6]], "in the order in which they came");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn calls_of_one_key_take_turns_across_providers_that_share_them() -> Result<()> {
    let (store, turns) = (Slow::new(), Turns::default());
    let provider =
        || Stateful::new(numbers(&asked()), store.clone(), one_key).one_at_a_time_with(&turns);
    let (old, new) = (provider(), provider());
    let answers = join_all([old.execute(2), new.execute(4), old.execute(6)]).await;
    let answers: Vec<Vec<u32>> = answers.into_iter().collect::<Result<_>>()?;
    assert_eq!(answers, [vec![2], vec![2, 4], vec![2, 4, 6]], "in the order in which they came");
    assert_eq!(format!("{turns:?}"), "Turns { keys: 0, calls: 0 }");
    Ok(())
}

/// Providers that remember the numbers they were given.
struct Memories;

impl Subsystem for Memories {
    const NAME: &'static str = "memories";
    const OPERATIONS: &'static [Op] = request_response::operations(Effect::Unsafe);
    type Driver = dyn RequestResponse<u32, Vec<u32>>;
    type Handle = Requester<Self>;

    fn register_built_ins(_registry: &Registry<Self>) -> Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_after_a_swap_sees_what_one_before_it_saves() -> Result<()> {
    let (store, turns) = (Slow::new(), Turns::default());
    let registry = Registry::<Memories>::empty();
    let kept = store.clone();
    registry.register("numbers", move |_: NoSettings, _| {
        let provider = Stateful::new(numbers(&asked()), kept.clone(), one_key);
        let provider = provider.one_at_a_time_with(&turns);
        async { Ok(provider) }
    })?;
    let memories = Manager::new(registry, &Environment::new())?;
    let settings = Settings::new().with("driver", "numbers");
    memories.configure("main", &settings)?;
    let main = memories.get("main").await?;

    let mut before = main.execute(2).boxed();
    assert!(poll_settled(&mut before).await.is_pending());
    let swapped = memories.swap("main", &settings).await?;
    let (before, after) = tokio::join!(before, main.execute(4));
    assert_eq!((before?, after?), (vec![2], vec![2, 4]));
    swapped.closed().await?;
    assert_eq!(store.kept("k"), Some(vec![2, 4]));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn calls_of_other_keys_go_on_meanwhile() -> Result<()> {
    let by_input = |input: &u32| input.to_string();
    let provider = Stateful::new(numbers(&asked()), Slow::new(), by_input).one_at_a_time();
    let clock = Clock::system();
    let start = clock.now();
    for answer in join_all((0..100).map(|key| provider.execute(2 * key))).await {
        assert_eq!(answer?.len(), 1);
    }
    assert_eq!(clock.now() - start, 3 * SECOND, "as long as one call");
    assert!(format!("{provider:?}").contains("Turns { keys: 0, calls: 0 }"), "and no key is left");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_before_its_answer_saves_nothing_and_ends_its_turn() {
    let (store, asked) = (Slow::new(), asked());
    let provider = Stateful::new(numbers(&asked), store.clone(), one_key).one_at_a_time();
    let make = async || {
        store.contexts.delete("k").await?;
        provider.execute(2).await
    };
    let awaits = drop_at_every_await(make, async |polls| {
        // Loading, asking, saving: only the call that came to its end has saved.
        assert_eq!(store.kept("k").is_some(), polls == 4, "after {polls} polls");
        // Nobody is in front of the next one: it takes as long as a call takes.
        let next = tokio::time::timeout(2 * SECOND, provider.execute(1)).await;
        assert!(next.is_ok_and(|answer| answer.is_ok()));
    });
    assert_eq!(awaits.await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_while_it_waits_takes_no_turn() -> Result<()> {
    let provider = Stateful::new(numbers(&asked()), Slow::new(), one_key).one_at_a_time();
    let mut first = provider.execute(2);
    let mut second = provider.execute(4);
    let mut third = provider.execute(6);
    for waiting in [&mut first, &mut second, &mut third] {
        assert!(poll_settled(waiting).await.is_pending());
    }
    drop(second);
    assert_eq!(first.await?, [2]);
    assert_eq!(third.await?, [2, 6]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_provider_ends_its_turn() -> Result<()> {
    let panics = AtomicUsize::new(1);
    let provider = function::request_response("panicking", move |turn: Turn<u32, Vec<u32>>| {
        let panics = panics.swap(0, Ordering::SeqCst) == 1;
        async move {
            assert!(!panics, "on purpose");
            Ok(Answered { output: turn.input, next: NextContext::Keep })
        }
    });
    let provider = Stateful::new(provider, Slow::new(), one_key).one_at_a_time();
    let first = std::panic::AssertUnwindSafe(provider.execute(1)).catch_unwind();
    let (panicked, second) = tokio::join!(first, provider.execute(2));
    assert!(panicked.is_err());
    assert_eq!(second?, 2);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_store_of_its_own_is_started_before_the_provider_and_closed_after_it() -> Result<()> {
    let store = Slow::new();
    let shared = Stateful::new(Watched(store.story.clone()), store.clone(), one_key);
    shared.init().await?;
    shared.close().await?;
    assert_eq!(*store.story.lock().unwrap(), ["provider init", "provider close"]);
    store.story.lock().unwrap().clear();

    let own = shared.with_own_contexts();
    own.init().await?;
    own.close().await?;
    let happened = std::mem::take(&mut *store.story.lock().unwrap());
    assert_eq!(happened, ["init", "provider init", "provider close", "close"]);
    assert_eq!(own.health().await?.status, Status::Degraded, "the worse of both");
    assert_eq!(own.name(), "watched");

    store.fail("close");
    assert_eq!(own.close().await.unwrap_err().message(), "the store is away");
    Ok(())
}

/// A provider that writes down what happens to it.
struct Watched(Story);

impl Lifecycle for Watched {
    fn init(&self) -> Reply<'_, ()> {
        self.0.lock().unwrap().push("provider init".to_owned());
        Reply::ready(Ok(()))
    }

    fn health(&self) -> Reply<'_, Health> {
        Reply::ready(Ok(Health::up()))
    }

    fn close(&self) -> Reply<'_, ()> {
        self.0.lock().unwrap().push("provider close".to_owned());
        Reply::ready(Ok(()))
    }
}

impl Provider for Watched {
    fn name(&self) -> &'static str {
        "watched"
    }
}

const SECOND: Duration = Duration::from_secs(1);
