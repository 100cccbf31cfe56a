//! Proves that the rules notice: each driver here has one bug, and a rule that must name it.
//!
//! Every bug is put around a driver that keeps all rules, by overriding what it gets wrong.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use switchboard_core::{
    Capabilities, Descriptor, Error, ErrorKind, Health, Lifecycle, Registry, Reply, Result,
    Settings, Support,
};

use crate::conformance::{Fixture, RULES, check};
use crate::drivers::memory::{Memory, MemoryConfig};
use crate::{CacheDriver, Caches, Key, Ttl, capability, parse_counter};

/// What a bug gets wrong; all else is done right.
trait Bug: Send + Sync + 'static {
    fn get<'a>(on: &'a Planted<Self>, key: Key<'a>) -> Reply<'a, Option<Bytes>> {
        on.inner.get(key)
    }
    fn get_many<'a>(on: &'a Planted<Self>, keys: &'a [Key<'a>]) -> Reply<'a, Vec<Option<Bytes>>> {
        on.inner.get_many(keys)
    }
    fn has<'a>(on: &'a Planted<Self>, key: Key<'a>) -> Reply<'a, bool> {
        on.inner.has(key)
    }
    fn put<'a>(on: &'a Planted<Self>, key: Key<'a>, value: &'a [u8], ttl: Ttl) -> Reply<'a, ()> {
        on.inner.put(key, value, ttl)
    }
    fn put_many<'a>(
        on: &'a Planted<Self>,
        entries: &'a [(Key<'a>, &'a [u8])],
        ttl: Ttl,
    ) -> Reply<'a, ()> {
        on.inner.put_many(entries, ttl)
    }
    fn add<'a>(on: &'a Planted<Self>, key: Key<'a>, value: &'a [u8], ttl: Ttl) -> Reply<'a, bool> {
        on.inner.add(key, value, ttl)
    }
    fn forget<'a>(on: &'a Planted<Self>, key: Key<'a>) -> Reply<'a, bool> {
        on.inner.forget(key)
    }
    fn forget_many<'a>(on: &'a Planted<Self>, keys: &'a [Key<'a>]) -> Reply<'a, usize> {
        on.inner.forget_many(keys)
    }
    fn flush(on: &Planted<Self>) -> Reply<'_, ()> {
        on.inner.flush()
    }
    fn increment<'a>(on: &'a Planted<Self>, key: Key<'a>, by: i64, ttl: Ttl) -> Reply<'a, i64> {
        on.inner.increment(key, by, ttl)
    }
    fn health(on: &Planted<Self>) -> Reply<'_, Health> {
        on.inner.health()
    }
    fn close(on: &Planted<Self>) -> Reply<'_, ()> {
        on.inner.close()
    }
}

struct Planted<B: ?Sized> {
    inner: Arc<dyn CacheDriver>,
    flag: AtomicBool,
    bug: PhantomData<fn(&B)>,
}

fn planted<B: Bug>(inner: Arc<dyn CacheDriver>) -> Arc<dyn CacheDriver> {
    Arc::new(Planted::<B> { inner, flag: AtomicBool::new(false), bug: PhantomData })
}

/// One test for each bug: the rule notices it, and is content with the same driver without it.
macro_rules! bugs {
    ($( $(#[$doc:meta])* $bug:ident around $base:ident: $test:ident, by $rule:ident
        { $( $body:item )* } )+) => { $(
        $(#[$doc])*
        struct $bug;

        impl Bug for $bug { $( $body )* }

        #[test]
        fn $test() {
            let (sound, bugged) = ($base(), $base().wrapped(planted::<$bug>));
            let rule = stringify!($rule);
            assert_eq!(check(&sound, rule), Ok(()), "without the bug");
            check(&bugged, rule).expect_err("the rule did not notice");
        }
    )+ };
}

bugs! {
    IgnoresTtl around memory:
        a_ttl_that_is_ignored_is_noticed, by a_value_lives_as_long_as_its_ttl_and_no_longer {
        fn put<'a>(on: &'a Planted<Self>, key: Key<'a>, value: &'a [u8], _: Ttl) -> Reply<'a, ()> {
            on.inner.put(key, value, Ttl::Forever)
        }
    }

    ExpiresLate around memory:
        a_value_that_expires_late_is_noticed, by a_value_lives_as_long_as_its_ttl_and_no_longer {
        fn put<'a>(
            on: &'a Planted<Self>, key: Key<'a>, value: &'a [u8], ttl: Ttl,
        ) -> Reply<'a, ()> {
            on.inner.put(key, value, stretched(ttl, 1001))
        }
    }

    ExpiresEarly around memory:
        a_value_that_expires_early_is_noticed, by a_value_lives_as_long_as_its_ttl_and_no_longer {
        fn put<'a>(
            on: &'a Planted<Self>, key: Key<'a>, value: &'a [u8], ttl: Ttl,
        ) -> Reply<'a, ()> {
            on.inner.put(key, value, stretched(ttl, 999))
        }
    }

    ForeverIsShort around memory:
        a_value_that_does_not_stay_is_noticed, by a_value_without_ttl_stays {
        fn put<'a>(
            on: &'a Planted<Self>, key: Key<'a>, value: &'a [u8], ttl: Ttl,
        ) -> Reply<'a, ()> {
            let seconds = Ttl::after(Duration::from_secs(5)).unwrap();
            on.inner.put(key, value, if ttl == Ttl::Forever { seconds } else { ttl })
        }
    }

    PutKeepsAnOldTtl around memory:
        a_put_that_keeps_the_old_ttl_is_noticed, by put_replaces_the_ttl {
        fn put<'a>(
            on: &'a Planted<Self>, key: Key<'a>, value: &'a [u8], ttl: Ttl,
        ) -> Reply<'a, ()> {
            Reply::run(async move {
                let there = on.inner.get(key).await?.is_some();
                on.inner.put(key, value, if there { Ttl::Forever } else { ttl }).await
            })
        }
    }

    AddOverwrites around memory:
        an_add_that_overwrites_is_noticed, by add_stores_only_what_is_absent {
        fn add<'a>(
            on: &'a Planted<Self>, key: Key<'a>, value: &'a [u8], ttl: Ttl,
        ) -> Reply<'a, bool> {
            Reply::run(async move { on.inner.put(key, value, ttl).await.map(|()| true) })
        }
    }

    AddLooksFirst around memory:
        an_add_that_is_not_atomic_is_noticed, by of_many_adds_at_once_one_succeeds {
        fn add<'a>(
            on: &'a Planted<Self>, key: Key<'a>, value: &'a [u8], ttl: Ttl,
        ) -> Reply<'a, bool> {
            Reply::run(async move {
                if on.inner.get(key).await?.is_some() {
                    return Ok(false);
                }
                tokio::task::yield_now().await;
                on.inner.put(key, value, ttl).await.map(|()| true)
            })
        }
    }

    AddIgnoresTtl around memory:
        an_add_that_ignores_its_ttl_is_noticed, by add_may_follow_an_expired_value {
        fn add<'a>(
            on: &'a Planted<Self>, key: Key<'a>, value: &'a [u8], _: Ttl,
        ) -> Reply<'a, bool> {
            on.inner.add(key, value, Ttl::Forever)
        }
    }

    ForgetLies around memory:
        a_forget_that_removes_nothing_is_noticed,
        by forget_removes_and_says_whether_something_was_there {
        fn forget<'a>(on: &'a Planted<Self>, key: Key<'a>) -> Reply<'a, bool> {
            on.inner.has(key)
        }
    }

    ForgetMissesTheMissing around memory:
        a_forget_that_fails_on_what_is_missing_is_noticed,
        by forget_removes_and_says_whether_something_was_there {
        fn forget<'a>(on: &'a Planted<Self>, key: Key<'a>) -> Reply<'a, bool> {
            Reply::run(async move {
                let missing = || Error::new(ErrorKind::NotFound, "no such key");
                on.inner.forget(key).await?.then_some(true).ok_or_else(missing)
            })
        }
    }

    ForgetManyCountsKeys around memory:
        a_forget_many_that_counts_what_it_was_given_is_noticed,
        by forget_many_removes_all_and_counts_them {
        fn forget_many<'a>(on: &'a Planted<Self>, keys: &'a [Key<'a>]) -> Reply<'a, usize> {
            Reply::run(async move { on.inner.forget_many(keys).await.map(|_| keys.len()) })
        }
    }

    FlushLeavesOne around memory:
        a_flush_that_leaves_one_value_is_noticed, by flush_removes_everything_that_was_put {
        fn flush(on: &Planted<Self>) -> Reply<'_, ()> {
            Reply::run(async move {
                let key = Key::parse("key 700")?;
                let left = on.inner.get(key).await?;
                on.inner.flush().await?;
                match left {
                    Some(value) => on.inner.put(key, &value, Ttl::Forever).await,
                    None => Ok(()),
                }
            })
        }
    }

    IncrementLooksFirst around memory:
        an_increment_that_loses_updates_is_noticed, by increments_at_once_are_all_counted {
        fn increment<'a>(
            on: &'a Planted<Self>, key: Key<'a>, by: i64, ttl: Ttl,
        ) -> Reply<'a, i64> {
            Reply::run(async move {
                let there = on.inner.get(key).await?;
                let sum = there.map_or(Ok(0), |value| parse_counter(&value))? + by;
                tokio::task::yield_now().await;
                on.inner.put(key, sum.to_string().as_bytes(), ttl).await?;
                Ok(sum)
            })
        }
    }

    IncrementRenewsTtl around memory:
        an_increment_that_renews_the_ttl_is_noticed, by increment_keeps_the_ttl_of_a_counter {
        fn increment<'a>(
            on: &'a Planted<Self>, key: Key<'a>, by: i64, ttl: Ttl,
        ) -> Reply<'a, i64> {
            Reply::run(async move {
                let sum = on.inner.increment(key, by, ttl).await?;
                on.inner.put(key, sum.to_string().as_bytes(), ttl).await?;
                Ok(sum)
            })
        }
    }

    IncrementForgetsTtl around memory:
        an_increment_that_never_expires_is_noticed, by increment_gives_a_new_counter_its_ttl {
        fn increment<'a>(
            on: &'a Planted<Self>, key: Key<'a>, by: i64, _: Ttl,
        ) -> Reply<'a, i64> {
            on.inner.increment(key, by, Ttl::Forever)
        }
    }

    IncrementWraps around memory:
        an_increment_that_wraps_is_noticed, by an_increment_that_overflows_keeps_the_value {
        fn increment<'a>(
            on: &'a Planted<Self>, key: Key<'a>, by: i64, ttl: Ttl,
        ) -> Reply<'a, i64> {
            Reply::run(async move {
                let there = on.inner.get(key).await?;
                let number = there.map_or(Ok(0), |value| parse_counter(&value))?;
                let sum = number.wrapping_add(by);
                on.inner.put(key, sum.to_string().as_bytes(), ttl).await?;
                Ok(sum)
            })
        }
    }

    IncrementStartsOver around memory:
        an_increment_that_takes_text_for_zero_is_noticed,
        by an_increment_of_what_is_no_number_keeps_the_value {
        fn increment<'a>(
            on: &'a Planted<Self>, key: Key<'a>, by: i64, ttl: Ttl,
        ) -> Reply<'a, i64> {
            Reply::run(async move {
                if on.inner.increment(key, by, ttl).await.is_err() {
                    on.inner.put(key, by.to_string().as_bytes(), ttl).await?;
                }
                Ok(by)
            })
        }
    }

    KindIsLost around memory:
        an_answer_turned_into_an_outage_is_noticed,
        by an_increment_of_what_is_no_number_keeps_the_value {
        fn increment<'a>(
            on: &'a Planted<Self>, key: Key<'a>, by: i64, ttl: Ttl,
        ) -> Reply<'a, i64> {
            Reply::run(async move {
                on.inner.increment(key, by, ttl).await.map_err(|error| {
                    Error::new(ErrorKind::Unexpected, "something went wrong").with_source(error)
                })
            })
        }
    }

    UnsupportedIsUnexpected around null:
        an_unsupported_call_that_looks_like_an_outage_is_noticed,
        by what_is_not_supported_has_no_effect {
        fn increment<'a>(_: &'a Planted<Self>, _: Key<'a>, _: i64, _: Ttl) -> Reply<'a, i64> {
            Reply::ready(Err(Error::new(ErrorKind::Unexpected, "unknown command")))
        }
    }

    UnsupportedYetDone around uncounting:
        an_effect_of_what_is_not_supported_is_noticed, by what_is_not_supported_has_no_effect {
        fn increment<'a>(
            on: &'a Planted<Self>, key: Key<'a>, by: i64, ttl: Ttl,
        ) -> Reply<'a, i64> {
            Reply::run(async move {
                on.inner.put(key, by.to_string().as_bytes(), ttl).await?;
                Err(Error::new(ErrorKind::Unsupported, "the driver cannot count"))
            })
        }
    }

    DoesMoreThanItSays around uncounting:
        an_undeclared_ability_is_noticed, by increment_creates_and_counts {
        fn increment<'a>(_: &'a Planted<Self>, _: Key<'a>, by: i64, _: Ttl) -> Reply<'a, i64> {
            Reply::ready(Ok(by))
        }
    }

    AnswersInSomeOrder around memory:
        a_get_many_out_of_order_is_noticed, by get_many_answers_in_the_order_asked {
        fn get_many<'a>(
            on: &'a Planted<Self>, keys: &'a [Key<'a>],
        ) -> Reply<'a, Vec<Option<Bytes>>> {
            Reply::run(async move {
                let mut found = on.inner.get_many(keys).await?;
                found.sort();
                Ok(found)
            })
        }
    }

    LeavesGapsOut around memory:
        a_get_many_without_gaps_is_noticed, by get_many_answers_in_the_order_asked {
        fn get_many<'a>(
            on: &'a Planted<Self>, keys: &'a [Key<'a>],
        ) -> Reply<'a, Vec<Option<Bytes>>> {
            Reply::run(async move {
                let found = on.inner.get_many(keys).await?;
                Ok(found.into_iter().flatten().map(Some).collect())
            })
        }
    }

    FirstOfEqualKeys around memory:
        a_put_many_whose_first_entry_wins_is_noticed,
        by put_many_stores_all_and_the_last_of_equal_keys {
        fn put_many<'a>(
            on: &'a Planted<Self>, entries: &'a [(Key<'a>, &'a [u8])], ttl: Ttl,
        ) -> Reply<'a, ()> {
            Reply::run(async move {
                for (key, value) in entries.iter().rev() {
                    on.inner.put(*key, value, ttl).await?;
                }
                Ok(())
            })
        }
    }

    CutsValues around memory:
        a_value_that_is_cut_is_noticed, by a_large_value_comes_back_as_it_was_put {
        fn put<'a>(
            on: &'a Planted<Self>, key: Key<'a>, value: &'a [u8], ttl: Ttl,
        ) -> Reply<'a, ()> {
            on.inner.put(key, &value[..value.len().min(65_535)], ttl)
        }
    }

    EmptyIsMissing around memory:
        an_empty_value_taken_for_a_miss_is_noticed, by a_value_comes_back_as_it_was_put {
        fn get<'a>(on: &'a Planted<Self>, key: Key<'a>) -> Reply<'a, Option<Bytes>> {
            Reply::run(async move {
                Ok(on.inner.get(key).await?.filter(|value| !value.is_empty()))
            })
        }
    }

    HasLooksAtTheValue around memory:
        a_has_that_denies_an_empty_value_is_noticed, by has_agrees_with_get {
        fn has<'a>(on: &'a Planted<Self>, key: Key<'a>) -> Reply<'a, bool> {
            Reply::run(async move {
                Ok(on.inner.get(key).await?.is_some_and(|value| !value.is_empty()))
            })
        }
    }

    MissIsAnError around memory:
        a_miss_that_is_an_error_is_noticed, by a_missing_key_is_a_miss {
        fn get<'a>(on: &'a Planted<Self>, key: Key<'a>) -> Reply<'a, Option<Bytes>> {
            Reply::run(async move {
                match on.inner.get(key).await? {
                    Some(value) => Ok(Some(value)),
                    None => Err(Error::new(ErrorKind::NotFound, "no such key")),
                }
            })
        }
    }

    FoldsCase around memory:
        keys_folded_to_lower_case_are_noticed, by keys_are_told_apart_byte_by_byte {
        fn put<'a>(
            on: &'a Planted<Self>, key: Key<'a>, value: &'a [u8], ttl: Ttl,
        ) -> Reply<'a, ()> {
            Reply::run(async move {
                on.inner.put(Key::parse(&key.as_str().to_lowercase())?, value, ttl).await
            })
        }
        fn get<'a>(on: &'a Planted<Self>, key: Key<'a>) -> Reply<'a, Option<Bytes>> {
            Reply::run(async move {
                on.inner.get(Key::parse(&key.as_str().to_lowercase())?).await
            })
        }
    }

    CutsKeys around memory:
        keys_that_are_cut_are_noticed, by keys_are_told_apart_byte_by_byte {
        fn put<'a>(
            on: &'a Planted<Self>, key: Key<'a>, value: &'a [u8], ttl: Ttl,
        ) -> Reply<'a, ()> {
            on.inner.put(cut(key), value, ttl)
        }
        fn get<'a>(on: &'a Planted<Self>, key: Key<'a>) -> Reply<'a, Option<Bytes>> {
            on.inner.get(cut(key))
        }
    }

    StaysBusy around memory:
        a_dropped_call_that_blocks_the_driver_is_noticed,
        by a_dropped_call_leaves_the_driver_usable {
        fn get<'a>(on: &'a Planted<Self>, key: Key<'a>) -> Reply<'a, Option<Bytes>> {
            Reply::run(async move {
                if on.flag.swap(true, Ordering::SeqCst) {
                    return Err(Error::new(ErrorKind::Overloaded, "busy"));
                }
                tokio::task::yield_now().await;
                let found = on.inner.get(key).await;
                on.flag.store(false, Ordering::SeqCst);
                found
            })
        }
    }

    MeetsItself around memory:
        callers_that_meet_each_others_values_are_noticed,
        by calls_at_once_do_not_disturb_each_other {
        fn put<'a>(
            on: &'a Planted<Self>, key: Key<'a>, value: &'a [u8], ttl: Ttl,
        ) -> Reply<'a, ()> {
            Reply::run(async move {
                on.inner.put(Key::parse("register")?, value, ttl).await?;
                tokio::task::yield_now().await;
                let value = on.inner.get(Key::parse("register")?).await?.unwrap_or_default();
                on.inner.put(key, &value, ttl).await
            })
        }
    }

    HealthFlushes around memory:
        a_health_check_with_an_effect_is_noticed, by health_says_that_it_works {
        fn health(on: &Planted<Self>) -> Reply<'_, Health> {
            Reply::run(async move { on.inner.flush().await.map(|()| Health::up()) })
        }
    }

    HangsOnceClosed around memory:
        a_call_that_hangs_after_close_is_noticed, by after_close_nothing_hangs {
        fn close(on: &Planted<Self>) -> Reply<'_, ()> {
            on.flag.store(true, Ordering::SeqCst);
            on.inner.close()
        }
        fn get<'a>(on: &'a Planted<Self>, key: Key<'a>) -> Reply<'a, Option<Bytes>> {
            if on.flag.load(Ordering::SeqCst) {
                return Reply::run(std::future::pending());
            }
            on.inner.get(key)
        }
    }

    EmptyBatchFails around memory:
        a_batch_of_nothing_that_fails_is_noticed, by an_empty_batch_is_fine {
        fn get_many<'a>(
            on: &'a Planted<Self>, keys: &'a [Key<'a>],
        ) -> Reply<'a, Vec<Option<Bytes>>> {
            if keys.is_empty() {
                return Reply::ready(Err(Error::new(ErrorKind::InvalidInput, "no keys")));
            }
            on.inner.get_many(keys)
        }
    }

    AppendsToOldValues around memory:
        a_put_that_leaves_some_of_the_old_value_is_noticed, by put_replaces_the_value {
        fn put<'a>(
            on: &'a Planted<Self>, key: Key<'a>, value: &'a [u8], ttl: Ttl,
        ) -> Reply<'a, ()> {
            Reply::run(async move {
                let old = on.inner.get(key).await?.unwrap_or_default();
                let kept = old.get(value.len()..).unwrap_or_default();
                on.inner.put(key, &[value, kept].concat(), ttl).await
            })
        }
    }
}

#[test]
fn instances_that_share_one_place_are_noticed() {
    thread_local! {
        static FIRST: RefCell<Option<Weak<dyn CacheDriver>>> = const { RefCell::new(None) };
    }
    let shared = memory().wrapped(|driver| {
        FIRST.with_borrow_mut(|first| {
            let driver = first.as_ref().and_then(Weak::upgrade).unwrap_or(driver);
            *first = Some(Arc::downgrade(&driver));
            driver
        })
    });
    check(&shared, "flush_leaves_the_neighbour_alone").expect_err("the rule did not notice");
}

#[test]
fn a_driver_that_keeps_what_it_says_it_does_not_is_noticed() {
    fn register(registry: &Registry<Caches>) -> Result<()> {
        let descriptor =
            Descriptor::new("forgetful").capability(capability::INCREMENT, Support::Native);
        registry.register(descriptor, built)
    }
    for rule in RULES {
        let failed = check(&Fixture::new(register), rule.name).expect_err(rule.name).to_string();
        assert!(failed.contains("`.capability(capability::RETAIN, Support::Native)`"), "{failed}");
        let is_judged = rule.name == "what_is_kept_is_declared";
        assert_eq!(failed.starts_with("not judged"), !is_judged, "{}: {failed}", rule.name);
    }
}

#[test]
fn a_driver_that_counts_and_does_not_say_so_is_told_what_to_say() {
    fn register(registry: &Registry<Caches>) -> Result<()> {
        let descriptor = Descriptor::new("modest").capability(capability::RETAIN, Support::Native);
        registry.register(descriptor, built)
    }
    let failed = check(&Fixture::new(register), "what_is_not_supported_has_no_effect");
    let failed = failed.expect_err("the rule did not notice").to_string();
    assert!(failed.contains("`.capability(capability::INCREMENT, Support::Native)`"), "{failed}");
}

#[test]
fn every_rule_has_a_bug_that_it_notices() {
    let source = include_str!("planted.rs");
    for rule in RULES {
        let named = source.matches(rule.name).count();
        assert!(named > 0, "no bug here is noticed by {}", rule.name);
    }
}

#[test]
fn a_rule_that_does_not_exist_is_not_kept() {
    check(&memory(), "no_such_rule").expect_err("there is no such rule");
}

#[test]
fn a_driver_by_another_clock_is_told_how_to_say_so() {
    let bugged = memory().wrapped(planted::<IgnoresTtl>);
    let rule = "a_value_lives_as_long_as_its_ttl_and_no_longer";
    let failed = check(&bugged, rule).expect_err("the rule did not notice").to_string();
    assert!(failed.contains(".time(Time::Real)"), "{failed}");
}

#[test]
fn settings_that_are_wrong_are_a_failure_and_no_panic() {
    let wrong = memory().settings(|_| Settings::new().with("max_entries", 0));
    let failure = check(&wrong, "a_missing_key_is_a_miss").expect_err("no driver can be built");
    assert!(failure.to_string().contains("max_entries"), "{failure}");
}

#[test]
fn settings_that_are_missing_are_asked_for_where_they_belong() {
    #[derive(serde::Deserialize, schemars::JsonSchema)]
    struct Demanding {
        max_entries: u64,
    }
    fn register(registry: &Registry<Caches>) -> Result<()> {
        registry.register("demanding", |config: Demanding, context| async move {
            let config = MemoryConfig { max_entries: config.max_entries, ..Default::default() };
            built(config, context).await
        })
    }
    let failure = check(&Fixture::new(register), "a_missing_key_is_a_miss").unwrap_err();
    let failure = failure.to_string();
    assert!(failure.contains("max_entries") && failure.contains(".settings("), "{failure}");
}

fn memory() -> Fixture {
    Fixture::new(crate::drivers::memory::register)
}

fn null() -> Fixture {
    Fixture::new(crate::drivers::null::register)
}

/// Memory that cannot count, and says so.
fn uncounting() -> Fixture {
    struct Refuses;
    impl Bug for Refuses {
        fn increment<'a>(_: &'a Planted<Self>, _: Key<'a>, _: i64, _: Ttl) -> Reply<'a, i64> {
            Reply::ready(Err(Error::new(ErrorKind::Unsupported, "the driver cannot count")))
        }
    }
    fn register(registry: &Registry<Caches>) -> Result<()> {
        let descriptor =
            Descriptor::new("uncounting").capability(capability::RETAIN, Support::Native);
        registry.register(descriptor, built)
    }
    Fixture::new(register).wrapped(planted::<Refuses>)
}

async fn built(config: MemoryConfig, context: switchboard_core::BuildContext) -> Result<Memory> {
    Memory::new(&config, context.clock().clone())
}

fn stretched(ttl: Ttl, thousandths: u32) -> Ttl {
    match ttl.duration() {
        Some(time) => Ttl::after(time * thousandths / 1000).unwrap(),
        None => Ttl::Forever,
    }
}

fn cut(key: Key<'_>) -> Key<'_> {
    let length = key.as_str().len().min(200);
    Key::parse(key.as_str().get(..length).unwrap_or(key.as_str())).unwrap()
}

impl<B: Bug> CacheDriver for Planted<B> {
    fn get<'a>(&'a self, key: Key<'a>) -> Reply<'a, Option<Bytes>> {
        B::get(self, key)
    }
    fn get_many<'a>(&'a self, keys: &'a [Key<'a>]) -> Reply<'a, Vec<Option<Bytes>>> {
        B::get_many(self, keys)
    }
    fn has<'a>(&'a self, key: Key<'a>) -> Reply<'a, bool> {
        B::has(self, key)
    }
    fn put<'a>(&'a self, key: Key<'a>, value: &'a [u8], ttl: Ttl) -> Reply<'a, ()> {
        B::put(self, key, value, ttl)
    }
    fn put_many<'a>(&'a self, entries: &'a [(Key<'a>, &'a [u8])], ttl: Ttl) -> Reply<'a, ()> {
        B::put_many(self, entries, ttl)
    }
    fn add<'a>(&'a self, key: Key<'a>, value: &'a [u8], ttl: Ttl) -> Reply<'a, bool> {
        B::add(self, key, value, ttl)
    }
    fn forget<'a>(&'a self, key: Key<'a>) -> Reply<'a, bool> {
        B::forget(self, key)
    }
    fn forget_many<'a>(&'a self, keys: &'a [Key<'a>]) -> Reply<'a, usize> {
        B::forget_many(self, keys)
    }
    fn flush(&self) -> Reply<'_, ()> {
        B::flush(self)
    }
    fn increment<'a>(&'a self, key: Key<'a>, by: i64, ttl: Ttl) -> Reply<'a, i64> {
        B::increment(self, key, by, ttl)
    }
}

impl<B: Bug> Lifecycle for Planted<B> {
    fn health(&self) -> Reply<'_, Health> {
        B::health(self)
    }
    fn close(&self) -> Reply<'_, ()> {
        B::close(self)
    }
    fn capabilities(&self) -> Option<Capabilities> {
        self.inner.capabilities()
    }
}
