//! Keeping each of many keys to a pace of its own.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::state::keyed::KeyedStateStore;
use governor::{Quota, RateLimiter};
use switchboard_core::{Clock, KeyedRateLimiter, RateLimit};

use crate::line::{Contender, Goal, Line, OURS};
use crate::rig::{Worker, each};

pub fn line() -> Line {
    Line {
        name: "keyed",
        about: "Let a request of one of 1000 known keys pass a rate limit that is seldom reached. Ours says \
                what is left and forgets idle keys on the way; the others say yes or no and keep all keys \
                until they are told to look for idle ones.",
        reference: MAPPED,
        threads: &[1, 4],
        figure: None,
        needs: None,
        contenders: vec![ours(), concurrent(), mapped()],
        goals: vec![
            Goal::times(OURS, 1.00, MAPPED, 1),
            Goal::times(OURS, 1.00, MAPPED, 4),
            Goal::times(OURS, 1.00, CONCURRENT, 4),
            Goal::no_allocation(OURS),
        ],
    }
}

fn ours() -> Contender {
    Contender::new(OURS, |_| {
        let limit = RateLimit {
            rate: u64::from(RATE),
            per: Duration::from_secs(1),
            burst: u64::from(RATE),
            ..RateLimit::default()
        };
        let limiter = KeyedRateLimiter::<u64>::new(limit, Clock::system()).expect("it can be kept");
        for key in 0..KEYS {
            assert!(limiter.check(&key).allowed);
        }
        let limiter = Arc::new(limiter);
        move |_| {
            let limiter = Arc::clone(&limiter);
            each(move |turn| limiter.check(&key(turn)).allowed)
        }
    })
}

/// The keyed limiter over a map that many threads use at once.
fn concurrent() -> Contender {
    Contender::new(CONCURRENT, |_| governed(RateLimiter::dashmap(quota()))).of(&["governor"])
}

/// The keyed limiter over one locked map.
fn mapped() -> Contender {
    Contender::new(MAPPED, |_| governed(RateLimiter::hashmap(quota()))).of(&["governor"])
}

fn governed<S>(
    limiter: RateLimiter<u64, S, governor::clock::DefaultClock>,
) -> impl Fn(usize) -> Worker
where
    S: KeyedStateStore<u64> + Send + Sync + 'static,
{
    for key in 0..KEYS {
        assert!(limiter.check_key(&key).is_ok());
    }
    let limiter = Arc::new(limiter);
    move |_| {
        let limiter = Arc::clone(&limiter);
        each(move |turn| limiter.check_key(&key(turn)).is_ok())
    }
}

fn quota() -> Quota {
    Quota::per_second(NonZeroU32::new(RATE).expect("it is not zero"))
}

/// Keys in an order that no cache line foresees.
fn key(turn: usize) -> u64 {
    (turn as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) % KEYS
}

const CONCURRENT: &str = "governor, dashmap";
const MAPPED: &str = "governor, locked map";
const KEYS: u64 = 1000;
const RATE: u32 = 1_000_000_000;
