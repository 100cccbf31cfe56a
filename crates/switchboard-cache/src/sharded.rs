//! The handle over a group that chooses by key: one cache, spread over several.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use switchboard_core::{Environment, ErrorKind, Manager, Outcome, Policy, Registry, Settings};

use crate::{Cache, Caches, Ttl};

/// Three caches, and one that is spread over them.
struct Shards {
    caches: Manager<Caches>,
    each: Vec<Cache>,
    all: Cache,
}

fn shards() -> Shards {
    shards_with(Settings::new())
}

/// Shards whose lines follow this policy.
fn shards_with(policy: Settings) -> Shards {
    let caches = Manager::new(Registry::with_built_ins().unwrap(), &Environment::new()).unwrap();
    let settings = Settings::new().with("driver", "memory").with("policy", policy);
    for name in NAMES {
        caches.configure(name, &settings).unwrap();
    }
    let group = Settings::new().with("members", NAMES.to_vec()).with("select", "hash_by_key");
    caches.configure("all", &group).unwrap();
    let each = NAMES.iter().map(|name| caches.handle(name).unwrap()).collect();
    let all = caches.handle("all").unwrap();
    Shards { caches, each, all }
}

impl Shards {
    /// How many values each shard has of `keys`; of no key do two have one.
    async fn values(&self, keys: &[String]) -> Vec<usize> {
        let (mut counts, mut seen) = (Vec::new(), BTreeSet::new());
        for shard in &self.each {
            let values = shard.get_many(keys).await.unwrap();
            let there = keys.iter().zip(values).filter(|(_, value)| value.is_some());
            let there: Vec<_> = there.map(|(key, _)| key.clone()).collect();
            counts.push(there.len());
            for key in there {
                assert!(seen.insert(key), "two shards have the same key");
            }
        }
        counts
    }

    /// Lets calls of that shard fail, as if its server were gone.
    fn take_down(&self, shard: usize) {
        let breaker = Policy {
            breaker: Some(switchboard_core::BreakerPolicy::default()),
            ..Policy::default()
        };
        self.caches.retune(NAMES[shard], breaker).unwrap();
        self.each[shard].line().gates().unwrap().breaker().unwrap().force_open();
    }
}

fn keys() -> Vec<String> {
    (0..90).map(|number| format!("user-{number}")).collect()
}

#[tokio::test]
async fn each_value_is_in_one_shard_and_found_again_whichever_way_it_is_asked_for() {
    let shards = shards();
    let keys = keys();
    for key in &keys {
        shards.all.put(key, key, TTL).await.unwrap();
    }
    let counts = shards.values(&keys).await;
    assert_eq!(counts.iter().sum::<usize>(), keys.len());
    assert!(counts.iter().all(|count| *count > 10), "{counts:?}");
    for key in &keys {
        assert_eq!(shards.all.get(key).await.unwrap(), Some(Bytes::from(key.clone())));
        assert!(shards.all.has(key).await.unwrap());
        assert!(!shards.all.add(key, "other", TTL).await.unwrap());
    }
    let expected: Vec<_> = keys.iter().map(|key| Some(Bytes::from(key.clone()))).collect();
    assert_eq!(shards.all.get_many(&keys).await.unwrap(), expected);
    assert_eq!(shards.all.forget_many(&keys[..50]).await.unwrap(), 50);
    for key in &keys[50..] {
        assert!(shards.all.forget(key).await.unwrap());
    }
    assert_eq!(shards.values(&keys).await, [0, 0, 0]);
}

#[tokio::test]
async fn what_is_stored_together_is_stored_where_each_key_belongs() {
    let shards = shards();
    let keys = keys();
    let entries: Vec<_> = keys.iter().map(|key| (key, "old")).collect();
    let entries: Vec<_> = entries.into_iter().chain([(&keys[7], "new")]).collect();
    shards.all.put_many(&entries, TTL).await.unwrap();
    assert_eq!(shards.values(&keys).await.iter().sum::<usize>(), keys.len());
    assert_eq!(shards.all.get(&keys[7]).await.unwrap().as_deref(), Some(&b"new"[..]), "the last");
    for key in &keys {
        assert_eq!(shards.all.increment(&format!("count {key}"), 2, TTL).await.unwrap(), 2);
    }
}

#[tokio::test]
async fn a_flush_empties_every_shard() {
    let shards = shards();
    let keys = keys();
    for key in &keys {
        shards.all.forever(key, "v").await.unwrap();
    }
    shards.all.flush().await.unwrap();
    assert_eq!(shards.values(&keys).await, [0, 0, 0]);
}

#[tokio::test]
async fn what_is_made_once_is_stored_where_its_key_belongs() {
    let shards = shards();
    let keys = keys();
    for key in &keys {
        let made = shards.all.remember(key, TTL, || async { Ok("made") }).await.unwrap();
        assert_eq!(made, "made");
    }
    for key in &keys {
        let found = shards.all.get(key).await.unwrap();
        assert_eq!(found.as_deref(), Some(&b"made"[..]), "{key}");
    }
    assert_eq!(shards.values(&keys).await.iter().sum::<usize>(), keys.len());
}

#[tokio::test]
async fn keys_of_a_shard_that_is_gone_go_to_the_others_and_a_flush_says_that_it_was_not_reached() {
    let shards = shards();
    let keys = keys();
    shards.take_down(1);
    for key in &keys {
        shards.all.put(key, "v", TTL).await.unwrap();
        assert!(shards.all.get(key).await.unwrap().is_some());
    }
    let error = shards.all.flush().await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::Unknown));
    assert_eq!(error.place().unwrap().instance.as_ref(), NAMES[1]);
    assert!(
        shards.all.get_many(&keys).await.unwrap().iter().all(Option::is_none),
        "the others did"
    );
}

/// Shards of which each takes so many calls at once, and then one a second.
fn busy_shards(burst: u32) -> Shards {
    let limit = Settings::new().with("rate", "1/s").with("burst", burst).with("wait", "0s");
    shards_with(Settings::new().with("rate_limit", limit))
}

async fn a_while() {
    tokio::time::sleep(Duration::from_mins(1)).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_forgotten_does_not_come_back_because_its_shard_was_busy_for_a_moment() {
    let all = busy_shards(1).all;
    all.forever("user-7", "old").await.unwrap();
    let busy = all.forget("user-7").await.unwrap_err();
    assert_eq!((busy.kind(), busy.outcome()), (RATE_LIMITED, Outcome::NotApplied));
    assert_eq!(all.get("user-7").await.unwrap_err().kind(), RATE_LIMITED, "nor a miss");
    a_while().await;
    assert!(all.forget("user-7").await.unwrap());
    a_while().await;
    assert_eq!(all.get("user-7").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_count_and_a_claim_are_in_one_shard_however_busy_that_is() {
    let all = busy_shards(1).all;
    let mut counts = Vec::new();
    for _ in 0..6 {
        counts.extend(all.increment("n", 1, Ttl::Forever).await.ok());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(counts, [1, 2, 3]);
    a_while().await;
    assert!(all.add("lock", "me", Ttl::Forever).await.unwrap());
    assert_eq!(all.add("lock", "you", Ttl::Forever).await.unwrap_err().kind(), RATE_LIMITED);
    a_while().await;
    assert!(!all.add("lock", "you", Ttl::Forever).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn of_what_is_stored_together_nothing_is_stored_where_it_is_not_looked_for() {
    let shards = busy_shards(10);
    let keys = keys();
    let entries: Vec<_> = keys.iter().map(|key| (key, "v")).collect();
    let error = shards.all.put_many(&entries, Ttl::Forever).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "a part of it is stored");
    for name in NAMES {
        shards.caches.retune(name, Policy::default()).unwrap();
    }
    let stored = shards.values(&keys).await.iter().sum::<usize>();
    let found = shards.all.get_many(&keys).await.unwrap();
    assert_eq!((stored, found.iter().flatten().count()), (30, 30));
}

#[tokio::test]
async fn a_typed_view_is_spread_like_the_cache_it_is_a_view_of() {
    let shards = shards();
    let keys = keys();
    let numbers = shards.all.typed::<u32>();
    for key in &keys {
        numbers.put(key, &7, TTL).await.unwrap();
    }
    assert_eq!(numbers.get_many(&keys).await.unwrap(), vec![Some(7); keys.len()]);
    assert_eq!(shards.all.get_many(&keys).await.unwrap(), vec![Some(Bytes::from("7")); keys.len()]);
    assert!(shards.values(&keys).await.iter().all(|count| *count > 0));
}

#[tokio::test]
async fn a_group_that_does_not_choose_by_key_is_asked_for_many_keys_at_once() {
    let shards = shards();
    shards.caches.regroup("all", &NAMES, switchboard_core::Priority).unwrap();
    let keys = keys();
    shards.all.put_many(&keys.iter().map(|key| (key, "v")).collect::<Vec<_>>(), TTL).await.unwrap();
    let asked: Vec<_> =
        shards.all.line().figures().into_iter().filter(|op| op.succeeded > 0).collect();
    assert_eq!((asked.len(), asked[0].operation, asked[0].succeeded), (1, "put_many", 1));
}

const RATE_LIMITED: ErrorKind = ErrorKind::RateLimited;

const NAMES: [&str; 3] = ["east", "west", "south"];

const TTL: Ttl = Ttl::hours(NonZeroU32::MIN);
