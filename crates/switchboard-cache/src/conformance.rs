//! The rules every driver of a cache keeps, as tests: the contract of [`CacheDriver`], proved.
//!
//! A driver file ends with one line, [`suite!`], which makes one test of each rule. The rules are
//! functions that answer, so that other tests can ask whether a rule notices a bug ([`check`]).
//!
//! A driver that declares it cannot do something is held to that: it must answer `Unsupported` and
//! change nothing, and what does not retain values must retain none.
//!
//! Needs the feature `conformance`, in the tests of driver crates only.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use switchboard_core::{
    BuildContext, Capabilities, Clock, Environment, Error, ErrorKind, Name, Outcome, Registry,
    Result, Settings, Status,
};

use crate::{CacheDriver, Caches, Key, Ttl, capability};

/// Makes one test of each of the [`RULES`], for the driver of a [`Fixture`].
///
/// It is the last line of a driver's file, beside the function that registers the driver:
///
/// ```
/// use switchboard_cache::conformance::{Fixture, suite};
/// # use switchboard_cache::{CacheDriver, Caches, Key, Ttl, capability, drivers::memory};
/// # use switchboard_core::{Descriptor, Registry, Result, Settings, Support};
///
/// fn register(registry: &Registry<Caches>) -> Result<()> {
///     let descriptor = Descriptor::new("shelf")
///         .capability(capability::INCREMENT, Support::Native)
///         .capability(capability::RETAIN, Support::Native);
///     // …
/// #   registry.register(descriptor, |config: memory::MemoryConfig, context| async move {
/// #       memory::Memory::new(&config, context.clock().clone())
/// #   })
/// }
///
/// suite!(Fixture::new(register).settings(|_unique| Settings::new().with("max_entries", 1_000)));
/// # let fixture = Fixture::new(register);
/// # switchboard_cache::conformance::prove(&fixture, "a_missing_key_is_a_miss");
/// ```
///
/// The tests are called `keeps_the_rules::` and the name of the rule. A driver of a server says
/// `.time(Time::Real)`, and puts the unique text into what keeps its instances apart, such as a
/// prefix; a driver without required settings needs no `.settings(…)`.
#[doc(inline)]
pub use crate::__cache_suite as suite;

/// What a rule says: nothing, or what was wrong.
pub type Verdict = std::result::Result<(), Failure>;

/// What a driver did against a rule, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(String);

/// One rule.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Rule {
    /// Its name, a sentence.
    pub name: &'static str,
    run: for<'s> fn(&'s Subject) -> BoxFuture<'s, Verdict>,
}

/// How time passes for a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// By tokio's clock, which the suite stops and moves: for drivers that count time by
    /// [`Clock::now`], within the process.
    Paused,
    /// By any other clock, such as that of a server or of the machine: the suite waits, a fraction of a
    /// second here and there.
    Real,
}

/// How to make instances of the driver under test.
///
/// ```no_run
/// use switchboard_cache::Caches;
/// use switchboard_cache::conformance::{Fixture, Time};
/// use switchboard_core::{Registry, Result, Settings};
///
/// fn register(registry: &Registry<Caches>) -> Result<()> {
///     // …
/// # Ok(())
/// }
///
/// let fixture = Fixture::new(register)
///     .time(Time::Real)
///     .settings(|unique| Settings::new().with("prefix", unique));
/// # let _ = fixture;
/// ```
#[derive(Clone)]
pub struct Fixture {
    register: fn(&Registry<Caches>) -> Result<()>,
    settings: Option<fn(&str) -> Settings>,
    time: Time,
    wrap: fn(Arc<dyn CacheDriver>) -> Arc<dyn CacheDriver>,
}

/// What a rule looks at: an empty instance, and a neighbour that must not notice.
pub struct Subject {
    driver: Arc<dyn CacheDriver>,
    neighbour: Arc<dyn CacheDriver>,
    capabilities: Capabilities,
    time: Time,
}

impl Failure {
    /// What a driver by another clock than the suite's fails with says nothing about clocks.
    fn with_advice(self, time: Time) -> Self {
        let is_about_time = self.0.contains("is over");
        if time == Time::Real || !is_about_time {
            return self;
        }
        Self(format!("{}; {OTHER_CLOCK}", self.0))
    }
}

impl Fixture {
    /// The driver that `register` adds to a registry, as the only one, with default settings.
    pub fn new(register: fn(&Registry<Caches>) -> Result<()>) -> Self {
        Self { register, settings: None, time: Time::Paused, wrap: |driver| driver }
    }

    /// Settings for one instance. They are given a text that no other instance is given, also not
    /// by another process; what a driver calls its prefix or its table is made of it.
    #[must_use]
    pub fn settings(mut self, settings: fn(&str) -> Settings) -> Self {
        self.settings = Some(settings);
        self
    }

    /// How time passes for the driver.
    #[must_use]
    pub fn time(mut self, time: Time) -> Self {
        self.time = time;
        self
    }

    /// Puts something around every driver, to see whether the rules notice.
    #[must_use]
    pub fn wrapped(mut self, wrap: fn(Arc<dyn CacheDriver>) -> Arc<dyn CacheDriver>) -> Self {
        self.wrap = wrap;
        self
    }

    async fn subject(&self) -> Result<Subject> {
        let registry = Registry::empty();
        (self.register)(&registry)?;
        let described = registry.describe();
        let [described] = &described[..] else {
            return Err(Error::new(ErrorKind::Config, "`register` must add exactly one driver"));
        };
        let driver = self.driver(&registry, &described.name).await?;
        let capabilities = driver.capabilities().unwrap_or_else(|| described.capabilities.clone());
        let neighbour = self.driver(&registry, &described.name).await?;
        Ok(Subject { driver, neighbour, capabilities, time: self.time })
    }

    async fn driver(
        &self,
        registry: &Registry<Caches>,
        name: &str,
    ) -> Result<Arc<dyn CacheDriver>> {
        let context = BuildContext::new(&Environment::new(), Name::parse("conformance")?);
        let unique = format!("switchboard-test-{:016x}", Clock::system().random());
        let settings = self.settings.map_or_else(Settings::new, |settings| settings(&unique));
        let driver = registry.resolve(name, &settings, context).await.map_err(|error| {
            match (error.kind(), self.settings) {
                (ErrorKind::Config, None) => error.with_hint(SETTINGS_HINT),
                _ => error,
            }
        })?;
        driver.init().await?;
        Ok((self.wrap)(driver))
    }
}

/// Whether the driver keeps the rule of that name.
///
/// A rule that panics or takes longer than five minutes has failed; so has one that does not exist.
pub fn check(fixture: &Fixture, rule: &str) -> Verdict {
    let Some(rule) = RULES.iter().find(|known| known.name == rule) else {
        return Err(Failure(format!("there is no rule {rule:?}")));
    };
    let runtime = runtime(fixture.time).map_err(|error| Failure(error.to_string()))?;
    runtime.block_on(async {
        let subject = fixture.subject().await?;
        if rule.name != DECLARED && subject.keeps_undeclared().await? {
            return Err(Failure(format!("not judged: {UNDECLARED}")));
        }
        let run = AssertUnwindSafe((rule.run)(&subject)).catch_unwind();
        let verdict = match tokio::time::timeout(RULE_LIMIT, run).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(_)) => Err(Failure("it panicked".to_owned())),
            Err(_) => Err(Failure(format!("it took longer than {RULE_LIMIT:?}"))),
        };
        let tidied = subject.tidy().await;
        verdict.and(tidied).map_err(|failure| failure.with_advice(fixture.time))
    })
}

/// Like [`check`], for a test: a rule that is not kept is a panic that says why.
///
/// # Panics
///
/// If the driver does not keep the rule.
#[track_caller]
#[expect(clippy::panic, reason = "a test fails by a panic")]
pub fn prove(fixture: &Fixture, rule: &str) {
    if let Err(failure) = check(fixture, rule) {
        panic!("{rule}: {failure}");
    }
}

fn runtime(time: Time) -> std::io::Result<tokio::runtime::Runtime> {
    match time {
        Time::Paused => {
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()
        }
        Time::Real => {
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
        }
    }
}

/// Lists the rules, once: for [`RULES`] and for the tests that [`suite!`] makes.
#[doc(hidden)]
#[macro_export]
macro_rules! __cache_rules {
    ($callback:path $(, $argument:tt)*) => {
        $callback! { ($( $argument )*)
            what_is_kept_is_declared
            a_value_comes_back_as_it_was_put
            a_large_value_comes_back_as_it_was_put
            a_missing_key_is_a_miss
            keys_are_told_apart_byte_by_byte
            put_replaces_the_value
            a_value_lives_as_long_as_its_ttl_and_no_longer
            a_value_without_ttl_stays
            put_replaces_the_ttl
            has_agrees_with_get
            add_stores_only_what_is_absent
            add_may_follow_an_expired_value
            of_many_adds_at_once_one_succeeds
            forget_removes_and_says_whether_something_was_there
            flush_removes_everything_that_was_put
            flush_leaves_the_neighbour_alone
            get_many_answers_in_the_order_asked
            put_many_stores_all_and_the_last_of_equal_keys
            forget_many_removes_all_and_counts_them
            an_empty_batch_is_fine
            increment_creates_and_counts
            increments_at_once_are_all_counted
            an_increment_that_overflows_keeps_the_value
            an_increment_of_what_is_no_number_keeps_the_value
            increment_gives_a_new_counter_its_ttl
            increment_keeps_the_ttl_of_a_counter
            what_is_not_supported_has_no_effect
            health_says_that_it_works
            a_dropped_call_leaves_the_driver_usable
            calls_at_once_do_not_disturb_each_other
            after_close_nothing_hangs
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __cache_suite {
    ($fixture:expr) => {
        #[cfg(test)]
        mod keeps_the_rules {
            use super::*;

            fn fixture() -> $crate::conformance::Fixture {
                $fixture
            }

            $crate::__cache_rules! { $crate::__cache_tests }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __cache_tests {
    (() $( $rule:ident )+) => {
        $(
            #[test]
            fn $rule() {
                $crate::conformance::prove(&fixture(), stringify!($rule));
            }
        )+
    };
}

macro_rules! rules {
    (() $( $rule:ident )+) => {
        /// Every rule, in the order in which [`suite!`] makes tests of them:
        ///
        $( #[doc = concat!("- `", stringify!($rule), "`")] )+
        pub const RULES: &[Rule] = &[
            $( Rule { name: stringify!($rule), run: |subject| Box::pin($rule(subject)) }, )+
        ];
    };
}

crate::__cache_rules! { rules }

/// A driver that gives values back says so; what keeps them and does not say so is judged by no
/// other rule, because each would complain of values that are right.
async fn what_is_kept_is_declared(on: &Subject) -> Verdict {
    ensure(!on.keeps_undeclared().await?, || UNDECLARED.to_owned())
}

/// Whatever was put comes back: nothing, one byte, every byte there is.
async fn a_value_comes_back_as_it_was_put(on: &Subject) -> Verdict {
    let every_byte: Vec<u8> = (0..=255).collect();
    for value in [&b""[..], b"v", b"\0", &every_byte] {
        on.put("key", value, Ttl::Forever).await?;
        on.expect("key", Some(value), "after put").await?;
    }
    Ok(())
}

/// A value of a megabyte is neither cut nor changed.
async fn a_large_value_comes_back_as_it_was_put(on: &Subject) -> Verdict {
    let value: Vec<u8> = (0_u32..1 << 18).flat_map(u32::to_le_bytes).collect();
    on.put("key", &value, Ttl::Forever).await?;
    let found = on.driver.get(key("key")?).await?;
    let expected = on.retained(Some(&value[..]));
    let lengths = (found.as_ref().map(Bytes::len), expected.map(<[u8]>::len));
    ensure(found.as_deref() == expected, || {
        format!("the value of 1 MiB came back changed; lengths {lengths:?}")
    })
}

/// What was never put is a miss and no error.
async fn a_missing_key_is_a_miss(on: &Subject) -> Verdict {
    on.expect("never put", None, "of a key that was never put").await
}

/// Keys of any letters and of full length each have a value of their own.
async fn keys_are_told_apart_byte_by_byte(on: &Subject) -> Verdict {
    let longest = "k".repeat(Key::LENGTH_MAX);
    let almost = format!("{}j", "k".repeat(Key::LENGTH_MAX - 1));
    let keys = [
        "a", "A", " a", "a ", "a:b", "a::b", "a/b", "a\\b", "a.b", "a*", "a?", "[a]", "{a}", "%61",
        "a\0b", "a\nb", "🗝", "é", "e\u{301}", "ı", "I", "../a", &longest, &almost,
    ];
    for text in keys {
        on.put(text, text.as_bytes(), Ttl::Forever).await?;
    }
    for text in keys {
        on.expect(text, Some(text.as_bytes()), &format!("under {text:?}")).await?;
    }
    on.driver.forget(key("a")?).await?;
    on.expect("a", None, "under a forgotten key").await?;
    for text in &keys[1..] {
        on.expect(text, Some(text.as_bytes()), &format!("under {text:?}, \"a\" forgotten")).await?;
    }
    Ok(())
}

/// A second put of a key leaves nothing of the first.
async fn put_replaces_the_value(on: &Subject) -> Verdict {
    on.put("key", b"a first, long value", Ttl::Forever).await?;
    on.put("key", b"second", Ttl::Forever).await?;
    on.expect("key", Some(b"second"), "after a second put").await
}

/// It is there until the time is over, and not after.
async fn a_value_lives_as_long_as_its_ttl_and_no_longer(on: &Subject) -> Verdict {
    let lifetime = on.lifetime();
    on.put("key", b"v", lifetime.ttl()?).await?;
    on.put("longer", b"v", lifetime.longer()?).await?;
    lifetime.until_almost_over().await;
    on.expect_while(&lifetime, "key", b"v").await?;
    lifetime.until_over().await;
    on.expect("key", None, "when its time is over").await?;
    on.expect("longer", Some(b"v"), "in the middle of its time").await?;
    let many = on.driver.get_many(&[key("key")?, key("longer")?]).await?;
    let found: Vec<_> = many.iter().map(Option::as_deref).collect();
    let expected = [None, on.retained(Some(&b"v"[..]))];
    ensure(found == expected, || format!("get_many answered {found:?}, one being expired"))
}

/// What lives forever is there after what does not has gone.
async fn a_value_without_ttl_stays(on: &Subject) -> Verdict {
    let lifetime = on.lifetime();
    on.put("forever", b"v", Ttl::Forever).await?;
    ensure(on.driver.add(key("added")?, b"v", Ttl::Forever).await?, || "add failed".to_owned())?;
    on.put("key", b"v", lifetime.ttl()?).await?;
    lifetime.until_over().await;
    on.expect("forever", Some(b"v"), "put without a time to live").await?;
    on.expect("added", Some(b"v"), "added without a time to live").await
}

/// The time to live of a value is that of its last put.
async fn put_replaces_the_ttl(on: &Subject) -> Verdict {
    let lifetime = on.lifetime();
    on.put("stays", b"1", lifetime.ttl()?).await?;
    on.put("stays", b"2", Ttl::Forever).await?;
    on.put("goes", b"1", Ttl::Forever).await?;
    on.put("goes", b"2", lifetime.ttl()?).await?;
    lifetime.until_over().await;
    on.expect("stays", Some(b"2"), "put again without a time to live").await?;
    on.expect("goes", None, "put again with a time to live that is over").await
}

/// `has` is true exactly when `get` finds something, also something of no length.
async fn has_agrees_with_get(on: &Subject) -> Verdict {
    let lifetime = on.lifetime();
    on.put("empty", b"", Ttl::Forever).await?;
    on.put("expires", b"v", lifetime.ttl()?).await?;
    for (text, there) in [("empty", true), ("expires", true), ("missing", false)] {
        let has = on.driver.has(key(text)?).await?;
        ensure(has == (there && on.retains()) || lifetime.may_be_over(), || {
            format!("has({text:?}) was {has}")
        })?;
    }
    lifetime.until_over().await;
    let has = on.driver.has(key("expires")?).await?;
    ensure(!has, || "has was true of an expired value".to_owned())
}

/// `add` says whether it stored, and never replaces a value or its time to live.
async fn add_stores_only_what_is_absent(on: &Subject) -> Verdict {
    let lifetime = on.lifetime();
    let first = on.driver.add(key("key")?, b"first", Ttl::Forever).await?;
    ensure(first, || "add of an absent key answered false".to_owned())?;
    let second = on.driver.add(key("key")?, b"second", lifetime.ttl()?).await?;
    ensure(second != on.retains(), || format!("add of a key that is there answered {second}"))?;
    on.expect("key", Some(b"first"), "after a second add").await?;
    lifetime.until_over().await;
    on.expect("key", Some(b"first"), "after the time that the second add asked for").await?;
    on.driver.forget(key("key")?).await?;
    let third = on.driver.add(key("key")?, b"third", Ttl::Forever).await?;
    ensure(third, || "add of a forgotten key answered false".to_owned())?;
    on.expect("key", Some(b"third"), "added after forget").await
}

/// An expired value is absent, and what is added in its place has its own time to live.
async fn add_may_follow_an_expired_value(on: &Subject) -> Verdict {
    let lifetime = on.lifetime();
    on.put("key", b"old", lifetime.ttl()?).await?;
    lifetime.until_over().await;
    let lifetime = on.lifetime();
    let added = on.driver.add(key("key")?, b"new", lifetime.ttl()?).await?;
    ensure(added, || "add in the place of an expired value answered false".to_owned())?;
    lifetime.until_almost_over().await;
    on.expect_while(&lifetime, "key", b"new").await?;
    lifetime.until_over().await;
    on.expect("key", None, "added, when its time is over").await
}

/// Of 64 callers that add one key at once, on several threads, exactly one is told that it did.
async fn of_many_adds_at_once_one_succeeds(on: &Subject) -> Verdict {
    for round in 0..8 {
        let contended = format!("contended {round}");
        let added = on
            .at_once(64, |driver, number| {
                let contended = contended.clone();
                async move { driver.add(key(&contended)?, &[number], Ttl::Forever).await }
            })
            .await?;
        let winners: Vec<_> = added.iter().filter(|(_, added)| *added).collect();
        let expected = if on.retains() { 1 } else { 64 };
        ensure(winners.len() == expected, || format!("{} adds succeeded", winners.len()))?;
        let winner = [winners.first().map_or(0, |(number, _)| *number)];
        on.expect(&contended, Some(&winner), "the value of the add that succeeded").await?;
    }
    Ok(())
}

/// After `forget` a key is a miss. Forgetting what is not there is no error.
async fn forget_removes_and_says_whether_something_was_there(on: &Subject) -> Verdict {
    let lifetime = on.lifetime();
    on.put("key", b"", Ttl::Forever).await?;
    on.put("neighbour", b"v", Ttl::Forever).await?;
    on.put("expires", b"v", lifetime.ttl()?).await?;
    for (was_there, when) in [(on.retains(), "was there"), (false, "was forgotten before")] {
        let answer = on.driver.forget(key("key")?).await?;
        ensure(answer == was_there, || format!("forget of what {when} answered {answer}"))?;
        on.expect("key", None, "after forget").await?;
    }
    on.expect("neighbour", Some(b"v"), "after another key was forgotten").await?;
    lifetime.until_over().await;
    let answer = on.driver.forget(key("expires")?).await?;
    ensure(!answer, || "forget of an expired value answered true".to_owned())
}

/// After `flush` everything is a miss, whatever its time to live, and can be stored again.
async fn flush_removes_everything_that_was_put(on: &Subject) -> Verdict {
    let keys: Vec<String> = (0..1_500).map(|number| format!("key {number}")).collect();
    let entries: Vec<(Key<'_>, &[u8])> =
        keys.iter().map(|text| Ok((key(text)?, text.as_bytes()))).collect::<Result<_>>()?;
    on.driver.put_many(&entries, Ttl::Forever).await?;
    on.put("expires", b"v", on.lifetime().longer()?).await?;
    on.driver.flush().await?;
    let keys: Vec<Key<'_>> = entries.iter().map(|(key, _)| *key).collect();
    let left = on.driver.get_many(&keys).await?.iter().filter(|value| value.is_some()).count();
    ensure(left == 0, || format!("{left} values are left after flush"))?;
    on.expect("expires", None, "after flush").await?;
    let added = on.driver.add(keys[0], b"new", Ttl::Forever).await?;
    ensure(added, || "add after flush answered false".to_owned())?;
    on.driver.flush().await?;
    on.driver.flush().await?;
    Ok(())
}

/// Another instance of the same driver shares nothing: not its values, not its flush.
async fn flush_leaves_the_neighbour_alone(on: &Subject) -> Verdict {
    on.put("key", b"mine", Ttl::Forever).await?;
    let shared = on.neighbour.get(key("key")?).await?;
    ensure(shared.is_none(), || "another instance sees the value".to_owned())?;
    on.neighbour.put(key("key")?, b"its own", Ttl::Forever).await?;
    on.expect("key", Some(b"mine"), "after another instance put the same key").await?;
    on.driver.flush().await?;
    let kept = on.neighbour.get(key("key")?).await?;
    ensure(kept.as_deref() == on.retained(Some(b"its own")), || {
        format!("after a flush of this instance, another one has {}", shown(kept.as_deref()))
    })
}

/// Values come in the order of the keys, gaps and repetitions in their places.
async fn get_many_answers_in_the_order_asked(on: &Subject) -> Verdict {
    for text in ["a", "b", "c"] {
        on.put(text, text.as_bytes(), Ttl::Forever).await?;
    }
    let asked = ["c", "missing", "a", "b", "c", "gone", "a"];
    let keys = asked.iter().map(|text| key(text)).collect::<Result<Vec<_>>>()?;
    let found = on.driver.get_many(&keys).await?;
    let expected = asked.map(|text| on.retained(Some(text).filter(|text| text.len() == 1)));
    ensure(found.len() == asked.len(), || format!("{} answers to 7 keys", found.len()))?;
    for ((text, found), expected) in asked.iter().zip(&found).zip(expected) {
        ensure(found.as_deref() == expected.map(str::as_bytes), || {
            format!("in the place of {text:?} is {}", shown(found.as_deref()))
        })?;
    }
    Ok(())
}

/// Every entry of a batch is stored, with its time to live; of equal keys the last one counts.
async fn put_many_stores_all_and_the_last_of_equal_keys(on: &Subject) -> Verdict {
    let lifetime = on.lifetime();
    on.put("b", b"old", Ttl::Forever).await?;
    let entries: [(Key<'_>, &[u8]); 4] =
        [(key("a")?, b"1"), (key("b")?, b"2"), (key("a")?, b"3"), (key("empty")?, b"")];
    on.driver.put_many(&entries, lifetime.ttl()?).await?;
    lifetime.until_almost_over().await;
    for (text, value) in [("a", &b"3"[..]), ("b", b"2"), ("empty", b"")] {
        on.expect_while(&lifetime, text, value).await?;
    }
    lifetime.until_over().await;
    for text in ["a", "b", "empty"] {
        on.expect(text, None, "put in a batch, when its time is over").await?;
    }
    Ok(())
}

/// Every key of a batch is a miss afterwards, and the answer counts each that was there once.
async fn forget_many_removes_all_and_counts_them(on: &Subject) -> Verdict {
    for text in ["a", "b", "stays"] {
        on.put(text, b"v", Ttl::Forever).await?;
    }
    let keys = [key("a")?, key("missing")?, key("b")?, key("a")?];
    let forgotten = on.driver.forget_many(&keys).await?;
    let expected = if on.retains() { 2 } else { 0 };
    ensure(forgotten == expected, || format!("forget_many of two values counted {forgotten}"))?;
    on.expect("a", None, "after forget_many").await?;
    on.expect("b", None, "after forget_many").await?;
    on.expect("stays", Some(b"v"), "not among those forgotten").await
}

/// A batch of nothing is no error.
async fn an_empty_batch_is_fine(on: &Subject) -> Verdict {
    let found = on.driver.get_many(&[]).await?;
    ensure(found.is_empty(), || format!("get_many of nothing answered {} values", found.len()))?;
    on.driver.put_many(&[], Ttl::Forever).await?;
    let forgotten = on.driver.forget_many(&[]).await?;
    ensure(forgotten == 0, || format!("forget_many of nothing counted {forgotten}"))
}

/// A counter begins at zero, goes up and down, and is a value like any other.
async fn increment_creates_and_counts(on: &Subject) -> Verdict {
    if !on.counts() {
        return on.expect_unsupported().await;
    }
    for (by, sum) in [(5, 5), (0, 5), (-7, -2), (i64::MAX, i64::MAX - 2)] {
        let counted = on.driver.increment(key("counter")?, by, Ttl::Forever).await?;
        ensure(counted == sum, || format!("adding {by} answered {counted}, not {sum}"))?;
        on.expect("counter", Some(sum.to_string().as_bytes()), "a counter as text").await?;
    }
    on.put("put", b"-41", Ttl::Forever).await?;
    let counted = on.driver.increment(key("put")?, -1, Ttl::Forever).await?;
    ensure(counted == -42, || format!("a number that was put became {counted}, not -42"))?;
    on.driver.forget(key("counter")?).await?;
    let counted = on.driver.increment(key("counter")?, i64::MIN, Ttl::Forever).await?;
    ensure(counted == i64::MIN, || format!("a forgotten counter went on at {counted}"))
}

/// Of 100 callers that count at once, on several threads, each a hundred times, none is lost.
async fn increments_at_once_are_all_counted(on: &Subject) -> Verdict {
    if !on.counts() {
        return on.expect_unsupported().await;
    }
    let count = |driver: Arc<dyn CacheDriver>, _| async move {
        for _ in 0..100 {
            driver.increment(key("counter")?, 1, Ttl::Forever).await?;
        }
        Ok(())
    };
    on.at_once(100, count).await?;
    on.expect("counter", Some(b"10000"), "counted 100 times 100").await
}

/// A sum that no `i64` holds is `InvalidInput` and leaves the counter.
async fn an_increment_that_overflows_keeps_the_value(on: &Subject) -> Verdict {
    if !on.counts() {
        return on.expect_unsupported().await;
    }
    for (full, by) in [(i64::MAX, 1), (i64::MIN, -1), (i64::MAX - 1, i64::MAX)] {
        let text = full.to_string();
        on.put("counter", text.as_bytes(), Ttl::Forever).await?;
        let refused = on.driver.increment(key("counter")?, by, Ttl::Forever).await;
        expect_error(refused, ErrorKind::InvalidInput, "an overflow")?;
        on.expect("counter", Some(text.as_bytes()), "after an overflow").await?;
    }
    Ok(())
}

/// A value that is no whole number is `PreconditionFailed` and stays.
async fn an_increment_of_what_is_no_number_keeps_the_value(on: &Subject) -> Verdict {
    if !on.counts() {
        return on.expect_unsupported().await;
    }
    for value in [&b"abc"[..], b"1.5", b"", b" 1", b"9223372036854775808", b"\xff\0"] {
        on.put("key", value, Ttl::Forever).await?;
        let refused = on.driver.increment(key("key")?, 1, Ttl::Forever).await;
        expect_error(refused, ErrorKind::PreconditionFailed, "a value that is no number")?;
        on.expect("key", Some(value), "after it could not be counted").await?;
    }
    Ok(())
}

/// A counter that `increment` makes lives as long as it was told, also after an expired one.
async fn increment_gives_a_new_counter_its_ttl(on: &Subject) -> Verdict {
    if !on.counts() {
        return on.expect_unsupported().await;
    }
    for _ in 0..2 {
        let lifetime = on.lifetime();
        let sum = on.driver.increment(key("counter")?, 3, lifetime.ttl()?).await?;
        ensure(sum == 3, || format!("a new counter began at {sum}, not 3"))?;
        lifetime.until_almost_over().await;
        on.expect_while(&lifetime, "counter", b"3").await?;
        lifetime.until_over().await;
        on.expect("counter", None, "a counter, when its time is over").await?;
    }
    Ok(())
}

/// Counting moves the end of a counter neither way.
async fn increment_keeps_the_ttl_of_a_counter(on: &Subject) -> Verdict {
    if !on.counts() {
        return on.expect_unsupported().await;
    }
    let mut lifetime = on.counted().await?;
    // Waiting took so long that it may have been a new counter in the end.
    while lifetime.may_be_over() {
        on.driver.flush().await?;
        lifetime = on.counted().await?;
    }
    lifetime.until_over().await;
    on.expect("goes", None, "counted, when its time is over").await?;
    on.expect("stays", Some(b"2"), "counted, and put without a time to live").await
}

/// What a driver declares it cannot do answers `Unsupported`, as not applied, and changes nothing.
async fn what_is_not_supported_has_no_effect(on: &Subject) -> Verdict {
    if on.counts() {
        let counted = on.driver.increment(key("counter")?, 1, Ttl::Forever).await;
        return match counted {
            Ok(_) => Ok(()),
            Err(error) => Err(Failure(format!("increment is declared, but answered {error}"))),
        };
    }
    on.expect_unsupported().await
}

/// A healthy driver does not call itself down, and being asked has no effect.
async fn health_says_that_it_works(on: &Subject) -> Verdict {
    on.put("key", b"v", Ttl::Forever).await?;
    let health = on.driver.health().await?;
    let is_well = matches!(health.status, Status::Up | Status::NotChecked);
    ensure(is_well, || format!("health was {health:?}"))?;
    on.expect("key", Some(b"v"), "after health").await
}

/// A call that is dropped after its first poll happened or did not, and harms no other.
async fn a_dropped_call_leaves_the_driver_usable(on: &Subject) -> Verdict {
    on.put("key", b"old", Ttl::Forever).await?;
    for _ in 0..20 {
        let context = &mut Context::from_waker(Waker::noop());
        let (old, new) = (key("key")?, key("new")?);
        let _ = on.driver.get(old).poll_unpin(context);
        let _ = on.driver.put(old, b"new", Ttl::Forever).poll_unpin(context);
        let _ = on.driver.get_many(&[old, new]).poll_unpin(context);
        let _ = on.driver.add(new, b"new", Ttl::Forever).poll_unpin(context);
        let _ = on.driver.increment(new, 1, Ttl::Forever).poll_unpin(context);
        let _ = on.driver.forget(new).poll_unpin(context);
        let _ = on.driver.flush().poll_unpin(context);
    }
    let found = on.driver.get(key("key")?).await?;
    let is_whole = matches!(found.as_deref(), None | Some(b"old" | b"new"));
    ensure(is_whole, || format!("a dropped put left {}", shown(found.as_deref())))?;
    // What was dropped may still be on its way to the service; it must not touch what comes now.
    on.settle().await;
    on.put("after", b"v", Ttl::Forever).await?;
    on.expect("after", Some(b"v"), "after calls were dropped").await
}

/// Callers at once, each with keys of its own, find what they put.
async fn calls_at_once_do_not_disturb_each_other(on: &Subject) -> Verdict {
    let retains = on.retains();
    let work = |driver: Arc<dyn CacheDriver>, number: u8| async move {
        let (own, other) = (format!("own {number}"), format!("other {number}"));
        for round in 0..20_u8 {
            let value = [number, round];
            driver.put(key(&own)?, &value, Ttl::Forever).await?;
            driver.put_many(&[(key(&other)?, &value[..])], Ttl::Forever).await?;
            let found = driver.get_many(&[key(&other)?, key(&own)?]).await?;
            let is_right = found.iter().all(|found| found.as_deref() == Some(&value[..]));
            driver.forget(key(&other)?).await?;
            let is_gone = driver.get(key(&other)?).await?.is_none();
            if (retains && !is_right) || !is_gone {
                return Ok(false);
            }
        }
        Ok(true)
    };
    let worked = on.at_once(48, work).await?;
    ensure(worked.iter().all(|(_, right)| *right), || "callers met each other's values".to_owned())
}

/// A second close and calls after it may fail; none waits for ever.
async fn after_close_nothing_hangs(on: &Subject) -> Verdict {
    // What is closed can no longer be flushed, so this has to go by itself.
    on.put("key", b"v", on.lifetime().ttl()?).await?;
    on.driver.close().await?;
    let driver = &on.driver;
    let after = async {
        driver.close().await.ok();
        driver.get(key("key")?).await.ok();
        driver.get_many(&[key("key")?]).await.ok();
        driver.put(key("key")?, b"v", Ttl::Forever).await.ok();
        driver.add(key("key")?, b"v", Ttl::Forever).await.ok();
        driver.forget(key("key")?).await.ok();
        driver.increment(key("counter")?, 1, Ttl::Forever).await.ok();
        driver.flush().await.ok();
        driver.health().await.ok();
        Ok::<(), Error>(())
    };
    match tokio::time::timeout(HANG_LIMIT, after).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Failure(format!("a call after close took longer than {HANG_LIMIT:?}"))),
    }
}

impl Subject {
    fn retains(&self) -> bool {
        self.capabilities.has(capability::RETAIN)
    }

    /// Whether a value comes back although the driver declares that it keeps none.
    async fn keeps_undeclared(&self) -> Result<bool> {
        if self.retains() {
            return Ok(false);
        }
        let probe = key("kept?")?;
        self.driver.put(probe, b"v", Ttl::Forever).await?;
        let is_kept = self.driver.get(probe).await?.is_some();
        self.driver.forget(probe).await?;
        Ok(is_kept)
    }

    fn counts(&self) -> bool {
        self.capabilities.has(capability::INCREMENT)
    }

    /// What a read finds of `value`: nothing, where the driver keeps nothing.
    fn retained<T>(&self, value: Option<T>) -> Option<T> {
        value.filter(|_| self.retains())
    }

    async fn put(&self, text: &str, value: &[u8], ttl: Ttl) -> Result<()> {
        self.driver.put(key(text)?, value, ttl).await
    }

    async fn expect(&self, text: &str, value: Option<&[u8]>, when: &str) -> Verdict {
        let found = self.driver.get(key(text)?).await?;
        let expected = self.retained(value);
        ensure(found.as_deref() == expected, || {
            format!("found {} {when}, not {}", shown(found.as_deref()), shown(expected))
        })
    }

    /// Counts one that goes and one that stays, before the time of the first is over.
    async fn counted(&self) -> Result<Lifetime> {
        let lifetime = self.lifetime();
        self.put("goes", b"1", lifetime.ttl()?).await?;
        self.put("stays", b"1", Ttl::Forever).await?;
        self.driver.increment(key("goes")?, 1, Ttl::Forever).await?;
        self.driver.increment(key("stays")?, 1, lifetime.ttl()?).await?;
        lifetime.until_almost_over().await;
        self.driver.increment(key("goes")?, 1, lifetime.longer()?).await?;
        Ok(lifetime)
    }

    /// That the value is there, unless waiting took so long that it may have gone rightly.
    async fn expect_while(&self, lifetime: &Lifetime, text: &str, value: &[u8]) -> Verdict {
        match self.expect(text, Some(value), "before its time is over").await {
            Err(_) if lifetime.may_be_over() => Ok(()),
            verdict => verdict,
        }
    }

    async fn expect_unsupported(&self) -> Verdict {
        self.put("number", b"1", Ttl::Forever).await?;
        for text in ["number", "absent"] {
            let refused = self.driver.increment(key(text)?, 1, Ttl::Forever).await;
            ensure(refused.is_err(), || UNDECLARED_COUNTING.to_owned())?;
            expect_error(refused, ErrorKind::Unsupported, "an operation that is not declared")?;
        }
        self.expect("number", Some(b"1"), "after an unsupported increment").await?;
        self.expect("absent", None, "after an unsupported increment").await
    }

    /// Begins a time to live.
    fn lifetime(&self) -> Lifetime {
        let clock = Clock::system();
        let (length, margin, late) = match self.time {
            Time::Paused => (Duration::from_secs(10), Duration::from_millis(1), Duration::ZERO),
            Time::Real => {
                (Duration::from_millis(400), Duration::from_millis(150), Duration::from_millis(60))
            }
        };
        Lifetime { began: clock.now(), clock, length, margin, late }
    }

    /// Lets a service finish what it may still be doing.
    async fn settle(&self) {
        if self.time == Time::Real {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// `count` calls of `work` at once on several threads; the answers with their numbers.
    async fn at_once<T, F, Fut>(&self, count: u8, work: F) -> Result<Vec<(u8, T)>>
    where
        F: Fn(Arc<dyn CacheDriver>, u8) -> Fut + Sync + Send,
        Fut: Future<Output = Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        let runtime = tokio::runtime::Handle::current();
        let threads = (0..THREADS).map(|thread| {
            let numbers = (0..count).filter(|number| number % THREADS == thread);
            let calls: Vec<_> = numbers
                .map(|number| {
                    work(self.driver.clone(), number)
                        .map(move |answer| answer.map(|answer| (number, answer)))
                })
                .collect();
            let runtime = runtime.clone();
            tokio::task::spawn_blocking(move || runtime.block_on(join_all(calls)))
        });
        let mut answers = Vec::with_capacity(usize::from(count));
        for thread in join_all(threads.collect::<Vec<_>>()).await {
            let answered = thread.map_err(|error| {
                Error::new(ErrorKind::Unexpected, "a call panicked").with_source(error)
            })?;
            for answer in answered {
                answers.push(answer?);
            }
        }
        Ok(answers)
    }

    /// Leaves nothing in the service.
    async fn tidy(&self) -> Verdict {
        let tidied = async {
            for driver in [&self.driver, &self.neighbour] {
                // A driver that a rule has closed cannot be flushed any more, and may say so.
                driver.flush().await.ok();
                driver.close().await.ok();
            }
        };
        tokio::time::timeout(HANG_LIMIT, tidied)
            .await
            .map_err(|_| Failure("tidying up took too long".to_owned()))
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject")
            .field("capabilities", &self.capabilities)
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").field("time", &self.time).finish_non_exhaustive()
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rule").field(&self.name).finish()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(format!("a call failed: {error:?}"))
    }
}

/// A time to live that has begun.
struct Lifetime {
    clock: Clock,
    began: std::time::Instant,
    length: Duration,
    /// How long before its end the value is looked at.
    margin: Duration,
    /// How much later than its end.
    late: Duration,
}

impl Lifetime {
    fn ttl(&self) -> Result<Ttl> {
        Ttl::after(self.length)
    }

    /// One that is not over when this is, however busy the machine is.
    fn longer(&self) -> Result<Ttl> {
        Ttl::after(if self.late.is_zero() { self.length * 3 } else { LONG })
    }

    async fn until_almost_over(&self) {
        self.until(self.length.saturating_sub(self.margin)).await;
    }

    async fn until_over(&self) {
        // Counted from now, because the service began to count later than we did.
        let passed = self.clock.now() - self.began;
        let left =
            if self.late.is_zero() { self.length.saturating_sub(passed) } else { self.length };
        pass(left + self.late, self.late.is_zero()).await;
    }

    async fn until(&self, age: Duration) {
        let passed = self.clock.now() - self.began;
        pass(age.saturating_sub(passed), self.late.is_zero()).await;
    }

    /// Whether so much time went by that the value may have gone rightly.
    fn may_be_over(&self) -> bool {
        !self.late.is_zero() && self.clock.now() - self.began >= self.length
    }
}

async fn pass(time: Duration, paused: bool) {
    if paused {
        tokio::time::advance(time).await;
    } else {
        tokio::time::sleep(time).await;
    }
}

fn key(text: &str) -> Result<Key<'_>> {
    Key::parse(text)
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(Failure(otherwise())) }
}

fn expect_error<T: fmt::Debug>(answer: Result<T>, kind: ErrorKind, what: &str) -> Verdict {
    match answer {
        Err(error) if error.kind() != kind => {
            Err(Failure(format!("{what} is {:?}, not {kind:?}: {error}", error.kind())))
        }
        Err(error) if error.outcome() != Outcome::NotApplied => {
            Err(Failure(format!("{what} left open whether it was applied: {error}")))
        }
        Err(_) => Ok(()),
        Ok(answer) => Err(Failure(format!("{what} answered {answer:?}"))),
    }
}

fn shown(value: Option<&[u8]>) -> String {
    match value {
        None => "nothing".to_owned(),
        Some(value) if value.len() > 64 => format!("{} bytes", value.len()),
        Some(value) => format!("\"{}\"", value.escape_ascii()),
    }
}

/// The rule that is judged before all others.
const DECLARED: &str = "what_is_kept_is_declared";

const OTHER_CLOCK: &str =
    "if the driver counts time by another clock than `Clock::now`, say `.time(Time::Real)`";
const UNDECLARED: &str = "the driver keeps values but declares no `retain`: add \
                          `.capability(capability::RETAIN, Support::Native)` to its descriptor";

const UNDECLARED_COUNTING: &str = "the driver counts but declares no `increment`: add \
                                   `.capability(capability::INCREMENT, Support::Native)` to its \
                                   descriptor";

const SETTINGS_HINT: &str = "the suite gave the driver no settings: say which it needs with \
                             `Fixture::new(register).settings(|unique| Settings::new().with(…))`";

const THREADS: u8 = 4;
/// Longer than any rule takes.
const LONG: Duration = Duration::from_hours(1);
const RULE_LIMIT: Duration = Duration::from_mins(5);
const HANG_LIMIT: Duration = Duration::from_mins(1);
