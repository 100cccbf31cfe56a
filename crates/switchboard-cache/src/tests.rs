//! The handle against a scripted driver: what it checks, and how it makes a value once.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use switchboard_core::{
    Clock, Deadline, Effect, Environment, Error, ErrorKind, Lifecycle, Manager, Registry, Reply,
    Result,
};
use tokio::sync::Notify;

use crate::drivers::memory::{Memory, MemoryConfig};
use crate::{Cache, CacheDriver, Caches, Key, Ttl, Typed, op};

#[test]
fn the_drivers_that_need_no_service_are_proven() {
    let proven = |name: &str| {
        let registry = Registry::<Caches>::with_built_ins().unwrap();
        registry.get(name).unwrap().describe().proven
    };
    assert!(proven("memory") && proven("null"));
}

#[tokio::test]
async fn a_key_that_is_none_is_refused_before_the_driver_is_asked() {
    let (script, cache) = scripted();
    let too_long = "k".repeat(Key::LENGTH_MAX + 1);
    for key in ["", &too_long] {
        let refusals = [
            cache.get(key).await.map(drop),
            cache.get_many(&["good", key]).await.map(drop),
            cache.has(key).await.map(drop),
            cache.put(key, "v", TTL).await,
            cache.put_many(&[("good", "v"), (key, "v")], TTL).await,
            cache.forever(key, "v").await,
            cache.add(key, "v", TTL).await.map(drop),
            cache.forget(key).await.map(drop),
            cache.forget_many(&["good", key]).await.map(drop),
            cache.increment(key, 1, TTL).await.map(drop),
            cache.remember(key, TTL, || async { Ok("v") }).await.map(drop),
        ];
        let asked = refusals.map(|refusal| {
            let error = refusal.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            let place = error.place().unwrap();
            assert_eq!((place.subsystem, &*place.instance), ("cache", "main"));
            place.operation
        });
        let expected = "get get_many has put put_many put add forget forget_many increment get";
        assert_eq!(asked.join(" "), expected);
    }
    assert_eq!(script.calls(), [""; 0]);
}

#[tokio::test]
async fn every_operation_reaches_the_driver_under_its_own_name() {
    let (script, cache) = scripted();
    cache.put("a", "1", TTL).await.unwrap();
    cache.put_many(&[("b", "2"), ("c", "3")], TTL).await.unwrap();
    cache.forever("d", b"4").await.unwrap();
    assert!(!cache.add("a", "5", TTL).await.unwrap());
    assert_eq!(cache.get("a").await.unwrap().as_deref(), Some(&b"1"[..]));
    let many = cache.get_many(&["c", "missing", "b"]).await.unwrap();
    assert_eq!(many, [Some(Bytes::from("3")), None, Some(Bytes::from("2"))]);
    assert!(cache.has("d").await.unwrap());
    assert_eq!(cache.increment("a", 41, TTL).await.unwrap(), 42);
    assert!(cache.forget("a").await.unwrap());
    assert_eq!(cache.forget_many(&["b", "missing"]).await.unwrap(), 1);
    cache.flush().await.unwrap();
    let expected =
        "put put_many put add get get_many has increment forget forget_many flush".split(' ');
    assert_eq!(script.calls(), expected.collect::<Vec<_>>());
    let figures = cache.line().figures();
    let asked: u64 = figures.iter().map(|figures| figures.succeeded).sum();
    assert_eq!((figures.len(), asked), (op::ALL.len(), 11));
}

#[test]
fn only_what_is_harmless_when_repeated_says_so() {
    for op in op::ALL {
        let expected = match op.name() {
            "get" | "get_many" | "has" => Effect::Read,
            "add" | "increment" => Effect::Unsafe,
            _ => Effect::Idempotent,
        };
        assert_eq!(op.effect(), expected, "{}", op.name());
    }
}

#[tokio::test]
async fn a_thousand_callers_make_a_value_once() {
    let (_, cache) = scripted();
    let factory = Factory::held();
    let callers: Vec<_> = (0..1000).map(|_| spawn(remember(&cache, "key", &factory))).collect();
    factory.runs(1).await;
    factory.go();
    for made in join_all(callers).await {
        assert_eq!(made.unwrap().unwrap(), "made 1");
    }
    assert_eq!(remember(&cache, "key", &factory).await.unwrap(), "made 1");
    assert_eq!(factory.runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn two_handles_of_one_instance_make_a_value_once() {
    let (script, manager) = managed();
    manager.insert("other", script).unwrap();
    let (one, two) = (manager.get("main").await.unwrap(), manager.get("MAIN").await.unwrap());
    let factory = Factory::held();
    let callers = [spawn(remember(&one, "key", &factory)), spawn(remember(&two, "key", &factory))];
    factory.runs(1).await;
    settle().await;
    factory.go();
    for made in join_all(callers).await {
        assert_eq!(made.unwrap().unwrap(), "made 1");
    }
    assert_eq!(factory.runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_the_work_to_the_others() {
    let (_, cache) = scripted();
    let factory = Factory::held();
    let first = spawn(remember(&cache, "key", &factory));
    factory.runs(1).await;
    let second = spawn(remember(&cache, "key", &factory));
    settle().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    factory.go();
    assert_eq!(second.await.unwrap().unwrap(), "made 1");
}

#[tokio::test]
async fn a_value_whose_callers_have_all_gone_is_stored_all_the_same() {
    let (_, cache) = scripted();
    let factory = Factory::held();
    let only = spawn(remember(&cache, "key", &factory));
    factory.runs(1).await;
    only.abort();
    factory.go();
    idle(&cache).await;
    assert_eq!(cache.get("key").await.unwrap().as_deref(), Some(&b"made 1"[..]));
}

#[tokio::test]
async fn an_error_is_told_to_all_who_wait_and_the_next_caller_starts_afresh() {
    let (_, cache) = scripted();
    let failing = || async { Err::<Bytes, _>(Error::new(ErrorKind::NotFound, "no such user")) };
    let callers: Vec<_> = (0..10).map(|_| cache.remember("key", TTL, failing)).collect();
    for made in join_all(callers).await {
        let error = made.unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::NotFound, "no such user"));
    }
    assert_eq!(cache.remember("key", TTL, || async { Ok("now") }).await.unwrap(), "now");
}

#[tokio::test]
async fn who_is_told_an_error_and_asks_again_at_once_is_not_told_it_again() {
    let (_, cache) = scripted();
    let calls = Arc::new(AtomicUsize::new(0));
    let stubborn = || async {
        loop {
            let calls = calls.clone();
            let made = cache.remember("key", TTL, move || async move {
                tokio::task::yield_now().await;
                match calls.fetch_add(1, Ordering::SeqCst) {
                    0 => Err(Error::new(ErrorKind::Unavailable, "not yet")),
                    _ => Ok("made"),
                }
            });
            if let Ok(made) = made.await {
                return made;
            }
        }
    };
    let made = join_all((0..20).map(|_| stubborn())).await;
    assert!(made.iter().all(|made| made == "made"));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_panic_is_an_error_for_all_who_wait_and_the_next_caller_starts_afresh() {
    let (_, cache) = scripted();
    let callers: Vec<_> =
        (0..5).map(|_| cache.remember("key", TTL, || async { panicking("on purpose") })).collect();
    for made in join_all(callers).await {
        let error = made.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unexpected);
        assert_eq!(error.context_value("panic"), Some("on purpose"));
    }
    // A factory that panics before it has made a future is no different.
    let at_once = || std::future::ready(panicking("at once"));
    let error = cache.remember("key", TTL, at_once).await.unwrap_err();
    assert_eq!(error.context_value("panic"), Some("at once"));
    assert_eq!(cache.remember("key", TTL, || async { Ok("now") }).await.unwrap(), "now");
}

#[tokio::test]
async fn a_factory_that_asks_for_its_own_key_is_told_so_at_once() {
    let (_, cache) = scripted();
    let inner = cache.clone();
    let direct = cache.remember("a", TTL, move || async move {
        inner.remember("a", TTL, || async { Ok("never") }).await
    });
    assert_eq!(direct.await.unwrap_err().kind(), ErrorKind::Config);

    let (b, a) = (cache.clone(), cache.clone());
    let by_way_of_another =
        cache.remember("a", TTL, move || async move {
            b.remember("b", TTL, move || async move {
                a.remember("a", TTL, || async { Ok("never") }).await
            })
            .await
        });
    assert_eq!(by_way_of_another.await.unwrap_err().kind(), ErrorKind::Config);

    let inner = cache.clone();
    let nested = cache.remember("a", TTL, move || async move {
        inner.remember("c", TTL, || async { Ok("deeper") }).await
    });
    assert_eq!(nested.await.unwrap(), "deeper", "another key is no circle");
}

#[tokio::test]
async fn the_same_key_of_another_instance_is_no_circle() {
    let (_, manager) = managed();
    manager.insert("other", Scripted::default()).unwrap();
    let (main, other) = (manager.handle("main").unwrap(), manager.handle("other").unwrap());
    let made = main.remember("key", TTL, move || async move {
        other.remember("key", TTL, || async { Ok("deeper") }).await
    });
    assert_eq!(made.await.unwrap(), "deeper");
}

/// Runs `write` while a factory for "key" runs; the late value must not be found afterwards.
async fn check_that_wins<F: Future<Output = ()>>(write: impl Fn(Cache) -> F, left: Option<&str>) {
    let (_, cache) = scripted();
    let factory = Factory::held();
    let waiting = spawn(remember(&cache, "key", &factory));
    let untouched = spawn(remember(&cache, "untouched", &factory));
    factory.runs(2).await;
    write(cache.clone()).await;
    factory.go();
    assert!(waiting.await.unwrap().unwrap().starts_with(b"made"), "who waits is served");
    assert!(untouched.await.unwrap().unwrap().starts_with(b"made"));
    let found = cache.get("key").await.unwrap();
    assert_eq!(found.as_deref(), left.map(str::as_bytes));
}

#[tokio::test]
async fn a_write_while_the_factory_runs_wins() {
    check_that_wins(
        |cache| async move { cache.put("key", "put", TTL).await.unwrap() },
        Some("put"),
    )
    .await;
    let put_many = |cache: Cache| async move {
        cache.put_many(&[("other", "1"), ("key", "put")], TTL).await.unwrap();
    };
    check_that_wins(put_many, Some("put")).await;
    let add = |cache: Cache| async move { assert!(cache.add("key", "add", TTL).await.unwrap()) };
    check_that_wins(add, Some("add")).await;
    let count = |cache: Cache| async move {
        assert_eq!(cache.increment("key", 7, TTL).await.unwrap(), 7);
    };
    check_that_wins(count, Some("7")).await;
    let forget = |cache: Cache| async move { assert!(!cache.forget("key").await.unwrap()) };
    check_that_wins(forget, None).await;
    let forget_many = |cache: Cache| async move {
        assert_eq!(cache.forget_many(&["other", "key"]).await.unwrap(), 0);
    };
    check_that_wins(forget_many, None).await;
    check_that_wins(|cache| async move { cache.flush().await.unwrap() }, None).await;
    let put_and_lost = |cache: Cache| async move {
        cache.put("key", "newer", TTL).await.unwrap();
        // As an eviction would, behind the handle.
        let held = cache.line().hold().unwrap();
        held.forget(Key::parse("key").unwrap()).await.unwrap();
    };
    check_that_wins(put_and_lost, None).await;
}

#[tokio::test]
async fn what_another_process_has_put_meanwhile_stays() {
    let (script, cache) = scripted();
    let factory = Factory::held();
    let waiting = spawn(remember(&cache, "key", &factory));
    factory.runs(1).await;
    script.0.memory.put(Key::parse("key").unwrap(), b"theirs", TTL).await.unwrap();
    factory.go();
    assert_eq!(waiting.await.unwrap().unwrap(), "made 1");
    assert_eq!(cache.get("key").await.unwrap().as_deref(), Some(&b"theirs"[..]));
}

#[tokio::test]
async fn a_forget_while_the_value_is_being_stored_comes_after_it() {
    let (script, cache) = scripted();
    script.hold("add");
    let factory = Factory::free();
    let waiting = spawn(remember(&cache, "key", &factory));
    script.reached("add").await;
    let forgetting = cache.clone();
    let forgetting = spawn(async move { forgetting.forget("key").await });
    settle().await;
    assert!(!forgetting.is_finished(), "it waits for what is being stored");
    script.release();
    assert_eq!(waiting.await.unwrap().unwrap(), "made 1");
    assert!(forgetting.await.unwrap().unwrap(), "it was there");
    assert_eq!(cache.get("key").await.unwrap(), None);
}

#[tokio::test]
async fn who_missed_a_value_just_before_it_was_made_does_not_make_it_again() {
    let (script, cache) = scripted();
    let factory = Factory::free();
    script.hold("get");
    let slow = spawn(remember(&cache, "key", &factory));
    script.reached("get").await;
    script.let_others_pass();
    assert_eq!(remember(&cache, "key", &factory).await.unwrap(), "made 1");
    script.release();
    assert_eq!(slow.await.unwrap().unwrap(), "made 1");
    assert_eq!(factory.runs.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_runs_out_of_time_leaves_the_value_to_the_next() {
    let (_, cache) = scripted();
    let factory = Factory::held();
    let deadline = Deadline::within(&Clock::system(), Duration::from_secs(1));
    let late = deadline.scope(remember(&cache, "key", &factory)).await;
    assert_eq!(late.unwrap_err().kind(), ErrorKind::Timeout);
    factory.go();
    idle(&cache).await;
    assert_eq!(remember(&cache, "key", &factory).await.unwrap(), "made 1");
}

#[tokio::test(start_paused = true)]
async fn a_factory_that_never_ends_is_ended_by_its_limit() {
    let (_, cache) = scripted();
    let began = Clock::system().now();
    let never = || std::future::pending::<Result<Bytes>>();
    let error = cache.remember("key", TTL, never).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(Clock::system().now() - began, Cache::FACTORY_LIMIT);
    assert_eq!(cache.remember("key", TTL, || async { Ok("now") }).await.unwrap(), "now");
}

#[tokio::test(start_paused = true)]
async fn calls_inside_a_factory_end_with_it() {
    let (_, cache) = scripted();
    let expected = Deadline::within(&Clock::system(), Cache::FACTORY_LIMIT);
    let made = cache.remember("key", TTL, move || async move {
        assert_eq!(Deadline::current(), Some(expected));
        Ok("made")
    });
    made.await.unwrap();
}

#[tokio::test]
async fn there_is_an_end_to_factories_and_to_those_who_wait() {
    let (_, cache) = scripted();
    let factory = Factory::held();
    let many: Vec<_> = (0..Cache::FACTORIES_MAX)
        .map(|number| {
            let (cache, factory) = (cache.clone(), factory.clone());
            spawn(async move { remember(&cache, &number.to_string(), &factory).await })
        })
        .collect();
    factory.runs(Cache::FACTORIES_MAX).await;
    let refused = remember(&cache, "one more", &factory).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Overloaded);

    let waiting: Vec<_> =
        (1..Cache::WAITERS_MAX).map(|_| spawn(remember(&cache, "0", &factory))).collect();
    settle().await;
    let refused = remember(&cache, "0", &factory).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Overloaded);
    factory.go();
    for made in join_all(many.into_iter().chain(waiting)).await {
        made.unwrap().unwrap();
    }
    assert!(remember(&cache, "one more", &factory).await.is_ok(), "there is room again");
}

#[tokio::test]
async fn a_value_that_cannot_be_stored_is_told_all_the_same() {
    let (script, cache) = scripted();
    script.fail("add");
    let factory = Factory::free();
    assert_eq!(remember(&cache, "key", &factory).await.unwrap(), "made 1");
    assert_eq!(remember(&cache, "key", &factory).await.unwrap(), "made 2");
    let add = cache.line().figures().into_iter().find(|op| op.operation == "add").unwrap();
    assert_eq!(add.failed, [(ErrorKind::Unavailable, 2)]);
}

#[tokio::test]
async fn a_cache_that_cannot_be_read_is_an_error_and_runs_no_factory() {
    let (script, cache) = scripted();
    script.fail("get");
    let factory = Factory::free();
    let error = remember(&cache, "key", &factory).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(factory.runs.load(Ordering::SeqCst), 0);
}

#[test]
fn a_runtime_that_ends_tells_those_who_wait_elsewhere() {
    let (_, cache) = scripted();
    let factory = Factory::held();
    let mut ending = tokio::runtime::Builder::new_multi_thread();
    let ending = ending.worker_threads(1).enable_time().build().unwrap();
    drop(ending.spawn(remember(&cache, "key", &factory)));
    let other = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    other.block_on(async {
        factory.runs(1).await;
        let waiting = spawn(remember(&cache, "key", &factory));
        settle().await;
        ending.shutdown_background();
        assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
    });
}

#[tokio::test]
async fn what_cannot_be_the_type_is_a_miss_and_is_replaced() {
    let (_, cache) = scripted();
    let numbers: Typed<u32> = cache.typed();
    for foreign in [&b"\"text\""[..], b"-1", b"", b"\xff", b"7 trailing"] {
        cache.put("key", foreign, TTL).await.unwrap();
        assert_eq!(numbers.get("key").await.unwrap(), None, "{foreign:?}");
        let many = numbers.get_many(&["key", "missing"]).await.unwrap();
        assert_eq!(many, [None, None]);
        assert_eq!(numbers.remember("key", TTL, || async { Ok(7) }).await.unwrap(), 7);
        assert_eq!(numbers.get("key").await.unwrap(), Some(7));
    }
}

#[tokio::test]
async fn a_typed_view_stores_and_finds_what_it_is_given() {
    let (_, cache) = scripted();
    let pairs: Typed<(u8, String)> = cache.typed();
    let value = (1, "ein\u{0}s".to_owned());
    pairs.put("a", &value, TTL).await.unwrap();
    pairs.forever("b", &value).await.unwrap();
    assert!(!pairs.add("a", &value, TTL).await.unwrap());
    pairs.put_many(&[("c", value.clone()), ("d", (2, String::new()))], TTL).await.unwrap();
    let found = pairs.get_many(&["d", "missing", "a"]).await.unwrap();
    assert_eq!(found, [Some((2, String::new())), None, Some(value.clone())]);
    assert!(pairs.forget("a").await.unwrap());
    assert_eq!(pairs.forget_many(&["b", "c", "missing"]).await.unwrap(), 2);
    assert_eq!(pairs.cache().get("d").await.unwrap().as_deref(), Some(&b"[2,\"\"]"[..]));
    // An option is a value: that there is none can be remembered.
    let options: Typed<Option<u8>> = cache.typed();
    options.put("none", &None, TTL).await.unwrap();
    assert_eq!(options.get("none").await.unwrap(), Some(None));
}

#[tokio::test]
async fn what_cannot_be_written_as_json_is_refused_before_the_driver_is_asked() {
    let (script, cache) = scripted();
    let maps: Typed<std::collections::BTreeMap<(u8, u8), u8>> = cache.typed();
    let value = std::collections::BTreeMap::from([((1, 2), 3)]);
    let error = maps.put("key", &value, TTL).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(script.calls(), [""; 0]);
}

#[tokio::test]
async fn a_value_made_as_another_type_at_the_same_moment_is_corrupt() {
    let (_, cache) = scripted();
    let factory = Factory::held();
    let bytes = spawn(remember(&cache, "key", &factory));
    factory.runs(1).await;
    let numbers: Typed<u32> = cache.typed();
    let number = spawn(async move { numbers.remember("key", TTL, || async { Ok(7) }).await });
    settle().await;
    factory.go();
    assert_eq!(bytes.await.unwrap().unwrap(), "made 1");
    assert_eq!(number.await.unwrap().unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn futures_of_the_handle_can_be_spawned() {
    fn sendable(_: impl Send) {}
    let (_, cache) = scripted();
    let numbers: Typed<u32> = cache.typed();
    sendable(cache.get("key"));
    sendable(cache.put("key", vec![1], TTL));
    sendable(cache.put_many(&[("key", vec![1])], TTL));
    sendable(cache.flush());
    sendable(cache.remember("key", TTL, || async { Ok(Bytes::new()) }));
    sendable(numbers.remember("key", TTL, || async { Ok(7) }));
    sendable(numbers.put("key", &7, TTL));
}

const TTL: Ttl = Ttl::hours(NonZeroU32::MIN);

/// Memory that notes what it is asked, and waits or fails where it is told to.
#[derive(Clone)]
struct Scripted(Arc<Script>);

struct Script {
    memory: Memory,
    calls: Mutex<Vec<&'static str>>,
    held: Mutex<Option<&'static str>>,
    failing: Mutex<Option<&'static str>>,
    released: Notify,
    reached: Notify,
}

impl Default for Scripted {
    fn default() -> Self {
        Self(Arc::new(Script {
            memory: Memory::new(&MemoryConfig::default(), Clock::system()).unwrap(),
            calls: Mutex::default(),
            held: Mutex::default(),
            failing: Mutex::default(),
            released: Notify::new(),
            reached: Notify::new(),
        }))
    }
}

impl Scripted {
    fn calls(&self) -> Vec<&'static str> {
        self.0.calls.lock().unwrap().clone()
    }

    fn hold(&self, operation: &'static str) {
        *self.0.held.lock().unwrap() = Some(operation);
    }

    /// Holds no more calls; those that are held stay so.
    fn let_others_pass(&self) {
        *self.0.held.lock().unwrap() = None;
    }

    fn release(&self) {
        self.let_others_pass();
        self.0.released.notify_waiters();
    }

    async fn reached(&self, operation: &'static str) {
        while !self.calls().contains(&operation) {
            self.0.reached.notified().await;
        }
    }

    fn fail(&self, operation: &'static str) {
        *self.0.failing.lock().unwrap() = Some(operation);
    }

    async fn step(&self, operation: &'static str) -> Result<()> {
        let released = self.0.released.notified();
        self.0.calls.lock().unwrap().push(operation);
        self.0.reached.notify_one();
        if *self.0.failing.lock().unwrap() == Some(operation) {
            return Err(Error::new(ErrorKind::Unavailable, "as the script says"));
        }
        let is_held = *self.0.held.lock().unwrap() == Some(operation);
        if is_held {
            released.await;
        }
        Ok(())
    }
}

impl CacheDriver for Scripted {
    fn get<'a>(&'a self, key: Key<'a>) -> Reply<'a, Option<Bytes>> {
        Reply::run(async move {
            let found = self.0.memory.get(key).await;
            self.step("get").await?;
            found
        })
    }
    fn get_many<'a>(&'a self, keys: &'a [Key<'a>]) -> Reply<'a, Vec<Option<Bytes>>> {
        Reply::run(async move {
            self.step("get_many").await?;
            self.0.memory.get_many(keys).await
        })
    }
    fn has<'a>(&'a self, key: Key<'a>) -> Reply<'a, bool> {
        Reply::run(async move {
            self.step("has").await?;
            self.0.memory.has(key).await
        })
    }
    fn put<'a>(&'a self, key: Key<'a>, value: &'a [u8], ttl: Ttl) -> Reply<'a, ()> {
        Reply::run(async move {
            self.step("put").await?;
            self.0.memory.put(key, value, ttl).await
        })
    }
    fn put_many<'a>(&'a self, entries: &'a [(Key<'a>, &'a [u8])], ttl: Ttl) -> Reply<'a, ()> {
        Reply::run(async move {
            self.step("put_many").await?;
            self.0.memory.put_many(entries, ttl).await
        })
    }
    fn add<'a>(&'a self, key: Key<'a>, value: &'a [u8], ttl: Ttl) -> Reply<'a, bool> {
        Reply::run(async move {
            self.step("add").await?;
            self.0.memory.add(key, value, ttl).await
        })
    }
    fn forget<'a>(&'a self, key: Key<'a>) -> Reply<'a, bool> {
        Reply::run(async move {
            self.step("forget").await?;
            self.0.memory.forget(key).await
        })
    }
    fn forget_many<'a>(&'a self, keys: &'a [Key<'a>]) -> Reply<'a, usize> {
        Reply::run(async move {
            self.step("forget_many").await?;
            self.0.memory.forget_many(keys).await
        })
    }
    fn flush(&self) -> Reply<'_, ()> {
        Reply::run(async move {
            self.step("flush").await?;
            self.0.memory.flush().await
        })
    }
    fn increment<'a>(&'a self, key: Key<'a>, by: i64, ttl: Ttl) -> Reply<'a, i64> {
        Reply::run(async move {
            self.step("increment").await?;
            self.0.memory.increment(key, by, ttl).await
        })
    }
}

impl Lifecycle for Scripted {}

fn managed() -> (Scripted, Manager<Caches>) {
    let script = Scripted::default();
    let manager = Manager::new(Registry::empty(), &Environment::new()).unwrap();
    manager.insert("main", script.clone()).unwrap();
    (script, manager)
}

fn scripted() -> (Scripted, Cache) {
    let (script, manager) = managed();
    (script, manager.handle("main").unwrap())
}

/// A factory that counts its runs, and waits in each until it may go on.
#[derive(Clone)]
struct Factory {
    runs: Arc<AtomicUsize>,
    may_go: Arc<tokio::sync::Semaphore>,
}

impl Factory {
    fn held() -> Self {
        Self { runs: Arc::default(), may_go: Arc::new(tokio::sync::Semaphore::new(0)) }
    }

    fn free() -> Self {
        let factory = Self::held();
        factory.go();
        factory
    }

    fn go(&self) {
        self.may_go.close();
    }

    /// Ends when it has begun to run so often.
    async fn runs(&self, times: usize) {
        while self.runs.load(Ordering::SeqCst) < times {
            tokio::task::yield_now().await;
        }
    }
}

fn remember(
    cache: &Cache,
    key: &str,
    factory: &Factory,
) -> impl Future<Output = Result<Bytes>> + use<> {
    let (cache, key, factory) = (cache.clone(), key.to_owned(), factory.clone());
    async move {
        let make = || async move {
            let run = factory.runs.fetch_add(1, Ordering::SeqCst) + 1;
            factory.may_go.acquire().await.ok();
            Ok(format!("made {run}"))
        };
        cache.remember(&key, TTL, make).await
    }
}

#[expect(clippy::disallowed_methods, reason = "a test has callers in tasks of their own")]
fn spawn<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    tokio::spawn(work)
}

/// Lets every task come to where it has to wait.
async fn settle() {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

/// Ends when nothing is done in the background.
async fn idle(cache: &Cache) {
    let environment = cache.line().environment();
    let deadline = environment.clock().now() + Duration::from_mins(2);
    environment.reaper().idle(deadline).await.unwrap();
}

fn panicking(text: &'static str) -> Result<Bytes> {
    panic!("{text}")
}
