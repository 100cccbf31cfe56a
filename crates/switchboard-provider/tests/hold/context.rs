//! Contexts in memory: detached, bounded, and gone when their time is over.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use switchboard_core::{Clock, ErrorKind, Lifecycle as _, Result, Status};
use switchboard_provider::{ContextStore, MemoryContexts};

/// A context whose clones all change together: the worst that can be given to a store.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Vec<u32>", into = "Vec<u32>")]
struct Entangled(Arc<Mutex<Vec<u32>>>);

impl From<Vec<u32>> for Entangled {
    fn from(numbers: Vec<u32>) -> Self {
        Self(Arc::new(Mutex::new(numbers)))
    }
}

impl From<Entangled> for Vec<u32> {
    fn from(entangled: Entangled) -> Self {
        entangled.numbers()
    }
}

impl Entangled {
    fn push(&self, number: u32) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(number);
    }

    fn numbers(&self) -> Vec<u32> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_saved_and_loaded_shares_nothing_with_what_is_kept() -> Result<()> {
    let contexts = MemoryContexts::<Entangled>::new(Clock::system());
    let mine = Entangled::from(vec![1]);
    contexts.save("k", mine.clone(), None).await?;
    mine.push(2);

    let loaded = contexts.load("k").await?.expect("it was saved");
    assert_eq!(loaded.numbers(), [1], "changed after it was saved");
    loaded.push(3);
    let again = contexts.load("k").await?.expect("it was saved");
    assert_eq!(again.numbers(), [1], "changed after it was loaded");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_context_lives_as_long_as_it_was_told_and_a_new_one_anew() -> Result<()> {
    let contexts = MemoryContexts::<u32>::new(Clock::system());
    contexts.save("k", 1, Some(SECOND)).await?;
    tokio::time::advance(SECOND / 2).await;
    assert_eq!(contexts.load("k").await?, Some(1));
    contexts.save("k", 2, Some(SECOND)).await?;
    tokio::time::advance(SECOND / 2).await;
    assert_eq!(contexts.load("k").await?, Some(2), "loading does not lengthen, saving does");
    tokio::time::advance(SECOND / 2).await;
    assert_eq!(contexts.load("k").await?, None);
    assert_eq!(contexts.entries(), 0, "and its room is given back");

    contexts.save("k", 3, Some(Duration::MAX)).await?;
    tokio::time::advance(Duration::from_hours(10_000)).await;
    assert_eq!(contexts.load("k").await?, Some(3));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_makes_room_before_anything_that_lives() -> Result<()> {
    let contexts = MemoryContexts::<u32>::new(Clock::system()).with_entries_max(THREE);
    contexts.save("oldest", 1, None).await?;
    contexts.save("short", 2, Some(SECOND)).await?;
    contexts.save("newest", 3, None).await?;
    tokio::time::advance(SECOND).await;
    contexts.save("next", 4, None).await?;
    assert_eq!(contexts.load("oldest").await?, Some(1));

    contexts.save("last", 5, None).await?;
    assert_eq!(contexts.load("newest").await?, None, "it was used longest ago");
    assert_eq!(contexts.load("oldest").await?, Some(1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_context_larger_than_the_store_is_refused_and_changes_nothing() -> Result<()> {
    let contexts = MemoryContexts::<String>::new(Clock::system()).with_bytes_max(100);
    contexts.save("k", "small".to_owned(), None).await?;
    let error = contexts.save("k", "x".repeat(98), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_eq!(contexts.load("k").await?.as_deref(), Some("small"));
    // Two quotes and the key are counted too.
    contexts.save("l", "x".repeat(97), None).await?;
    assert_eq!(contexts.load("k").await?, None, "it had to go");
    assert_eq!(contexts.entries(), 1);
    contexts.delete("l").await?;

    contexts.save("k", "small".to_owned(), None).await?;
    for _ in 0..100 {
        contexts.save("l", "x".repeat(80), None).await?;
    }
    assert_eq!(
        contexts.load("k").await?.as_deref(),
        Some("small"),
        "what is replaced takes no room"
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_read_back_is_refused_and_changes_nothing() -> Result<()> {
    let contexts = MemoryContexts::<f64>::new(Clock::system());
    for strange in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let error = contexts.save("new", strange, None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(contexts.entries(), 0, "nothing is kept");

    contexts.save("k", 1.5, Some(SECOND)).await?;
    contexts.save("k", f64::NAN, None).await.unwrap_err();
    assert_eq!(contexts.load("k").await?, Some(1.5), "what was there stays");
    tokio::time::advance(SECOND).await;
    assert_eq!(contexts.load("k").await?, None, "and its time runs on");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_has_no_place_in_json_is_refused() -> Result<()> {
    let contexts = MemoryContexts::<HashMap<(u8, u8), u8>>::new(Clock::system());
    let error = contexts.save("k", HashMap::from([((1, 2), 3)]), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(contexts.entries(), 0);
    Ok(())
}

/// Nested so deep that it is written, but not read.
#[derive(Serialize, Deserialize)]
struct Nested(Option<Box<Self>>, u8);

#[tokio::test(start_paused = true)]
async fn what_is_nested_too_deep_to_be_read_is_refused() -> Result<()> {
    let nested = (0..200).fold(Nested(None, 0), |inner, _| Nested(Some(Box::new(inner)), 0));
    let contexts = MemoryContexts::<Nested>::new(Clock::system());
    let error = contexts.save("k", nested, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(contexts.entries(), 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn deleting_what_is_not_there_is_no_error() -> Result<()> {
    let contexts = MemoryContexts::<u32>::new(Clock::system());
    contexts.save("k", 1, None).await?;
    contexts.delete("k").await?;
    contexts.delete("k").await?;
    assert_eq!(contexts.load("k").await?, None);
    assert_eq!(contexts.health().await?.status, Status::Up);
    Ok(())
}

/// One step of a random life of a store.
#[derive(Clone, Debug)]
enum Step {
    Save(u8, u8, Option<u8>),
    Load(u8),
    Delete(u8),
    Wait(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..5_u8;
    let step = prop_oneof![
        (key.clone(), any::<u8>(), proptest::option::of(0..20_u8))
            .prop_map(|(key, value, ttl)| Step::Save(key, value, ttl)),
        key.clone().prop_map(Step::Load),
        key.prop_map(Step::Delete),
        (0..10_u8).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 1..60)
}

/// The same store, written down as slowly and plainly as can be: the one used last comes last.
#[derive(Default)]
struct Plain {
    now: u32,
    entries: Vec<(u8, u8, Option<u32>)>,
}

impl Plain {
    fn forget_ended(&mut self) {
        let now = self.now;
        self.entries.retain(|(_, _, end)| end.is_none_or(|end| end > now));
    }

    fn take(&mut self, key: u8) -> Option<(u8, u8, Option<u32>)> {
        let position = self.entries.iter().position(|(there, _, _)| *there == key)?;
        Some(self.entries.remove(position))
    }

    fn save(&mut self, key: u8, value: u8, ttl: Option<u8>) {
        self.take(key);
        self.forget_ended();
        self.entries.push((key, value, ttl.map(|ttl| self.now + u32::from(ttl))));
        if self.entries.len() > THREE.get() {
            self.entries.remove(0);
        }
    }

    fn load(&mut self, key: u8) -> Option<u8> {
        self.forget_ended();
        let entry = self.take(key)?;
        self.entries.push(entry);
        Some(entry.1)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_keeps_what_a_plain_list_with_the_same_rules_keeps(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let contexts = MemoryContexts::<u8>::new(Clock::system()).with_entries_max(THREE);
            let mut plain = Plain::default();
            let at_once = "a memory answers at once";
            for step in steps {
                match step {
                    Step::Save(key, value, ttl) => {
                        let lives = ttl.map(|ttl| SECOND * u32::from(ttl));
                        let saved = contexts.save(&key.to_string(), value, lives).now_or_never();
                        saved.expect(at_once).unwrap();
                        plain.save(key, value, ttl);
                    }
                    Step::Load(key) => {
                        let loaded = contexts.load(&key.to_string()).now_or_never();
                        prop_assert_eq!(loaded.expect(at_once).unwrap(), plain.load(key));
                    }
                    Step::Delete(key) => {
                        contexts.delete(&key.to_string()).now_or_never().expect(at_once).unwrap();
                        plain.take(key);
                    }
                    Step::Wait(seconds) => {
                        tokio::time::advance(SECOND * u32::from(seconds)).await;
                        plain.now += u32::from(seconds);
                    }
                }
                prop_assert!(contexts.entries() <= THREE.get());
            }
            Ok(())
        })?;
    }
}

const THREE: NonZeroUsize = NonZeroUsize::new(3).unwrap();
const SECOND: Duration = Duration::from_secs(1);
