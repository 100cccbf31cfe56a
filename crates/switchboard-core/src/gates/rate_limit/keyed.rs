//! Keeps each key to a pace of its own: a tenant, a user, an address.
//!
//! Decides at once and never waits; whoever may not pass is told when to come back. A key that owes
//! nothing is like one that was never seen, so it is forgotten, and memory follows the keys that are
//! busy. How keys are kept is in `table`, the arithmetic in `gcra`.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::time::{Duration, Instant};

use super::gcra::{Answer, Quota, Ruling};
use super::table::{KEYS_MAX, Room, Table};
use super::{RateLimit, too_large, too_soon};
use crate::clock::nanos;
use crate::gates::mistakes::Mistakes;
use crate::stripe::{self, Padded};
use crate::sync::Mutex;
use crate::{Clock, Error, Result};

/// What became of a request, in the words of the `RateLimit` headers of HTTP.
///
/// All times are exact to the nanosecond, and counted from the moment of the decision. Where whole
/// seconds are written, as in those headers, they have to be rounded up: whoever comes back
/// earlier comes too early. [`retry_after_seconds`](Self::retry_after_seconds) and
/// [`reset_seconds`](Self::reset_seconds) do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "the decision says whether the request may go on"]
pub struct RateDecision {
    /// Whether the request may go on. Its cells are taken then, and else none is.
    pub allowed: bool,
    /// How many cells may be taken at once after a pause: the burst.
    pub limit: u64,
    /// How many cells could be taken now, after this decision; a cell that has come back in part
    /// does not count. Never more than [`limit`](Self::limit).
    pub remaining: u64,
    /// After which time the same request will be allowed, if no other takes the cells meanwhile.
    /// Nothing for a request that was allowed, and for one that costs more than the burst, which
    /// never will be.
    pub retry_after: Option<Duration>,
    /// After which time the whole burst will be there again, if nothing takes cells meanwhile; zero
    /// if it is there.
    pub reset: Duration,
}

/// One rate limit for each key, for any number of keys, in bounded memory.
///
/// All keys have the same [`RateLimit`], of which the wait is not looked at: a decision is made at
/// once. For each key it is the decision that a [`RateLimiter`](crate::RateLimiter) of its own
/// would make; that a key is forgotten while it owes nothing changes no decision.
///
/// At most [`keys_max`](Self::keys_max) keys are kept. When all places are taken, a new key takes
/// the place of another: of a few that are looked at, the one nearest to its full burst. If that one
/// still owed cells, it starts over with its full burst when it comes again. So a flood of
/// keys loosens the limits of those it pushes out, and neither refuses anybody nor takes more memory;
/// [`pushed_out`](Self::pushed_out) says how often it happened. What a key itself takes is not bounded
/// here: what a stranger may choose should be cut or hashed first.
///
/// Keys that are known cost no allocation, and are found by what they borrow as: `&str` for `String`.
/// Keys are hashed with a secret of the process. Only the comparison of keys runs under a lock of
/// the limiter, so it must not come back to it.
///
/// ```
/// use std::time::Duration;
/// use switchboard_core::{Clock, KeyedRateLimiter, RateLimit};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread()
/// #     .enable_time().start_paused(true).build().unwrap();
/// # runtime.block_on(async {
/// let limit = RateLimit { rate: 1, per: Duration::from_secs(2), burst: 3, ..RateLimit::default() };
/// let limiter = KeyedRateLimiter::<String>::new(limit, Clock::system())?;
///
/// let first = limiter.check_n("ada", 3);
/// assert!(first.allowed);
/// assert_eq!((first.limit, first.remaining, first.reset), (3, 0, Duration::from_secs(6)));
///
/// let second = limiter.check("ada");
/// assert!(!second.allowed);
/// assert_eq!(second.retry_after, Some(Duration::from_secs(2)));
///
/// assert!(limiter.check("grace").allowed);
/// # switchboard_core::Result::<()>::Ok(()) }).unwrap();
/// ```
pub struct KeyedRateLimiter<K> {
    /// A power of two in number, so that a few bits of the hash choose one.
    shards: Box<[Padded<Mutex<Shard<K>>>]>,
    room: Padded<Room>,
    hasher: RandomState,
    /// Held while the settings change, so that changes take turns.
    settings: Mutex<RateLimit>,
    keys_max: usize,
    base: Instant,
    clock: Clock,
}

struct Shard<K> {
    table: Table<K>,
    quota: Quota,
    pushed_out: u64,
}

impl<K> KeyedRateLimiter<K> {
    /// The keys that are kept at most, unless another number is given.
    pub const KEYS_MAX_USUAL: usize = 65_536;

    /// A limiter that has seen no key, and keeps at most [`KEYS_MAX_USUAL`](Self::KEYS_MAX_USUAL).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for a limit that [`RateLimit::check`] refuses.
    pub fn new(limit: RateLimit, clock: Clock) -> Result<Self> {
        Self::with_keys_max(limit, Self::KEYS_MAX_USUAL, clock)
    }

    /// A limiter that keeps at most `keys_max` keys, which may be from 1 to 16 777 215.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for another number of keys, and for a limit that
    /// [`RateLimit::check`] refuses.
    pub fn with_keys_max(limit: RateLimit, keys_max: usize, clock: Clock) -> Result<Self> {
        let quota = check(&limit, keys_max)?;
        let shards = shards_for(keys_max);
        let shard = || Shard { table: Table::new(), quota, pushed_out: 0 };
        Ok(Self {
            shards: (0..shards).map(|_| Padded(Mutex::new(shard()))).collect(),
            room: Padded(Room::new(keys_max - shards)),
            hasher: RandomState::new(),
            settings: Mutex::new(limit),
            keys_max,
            base: clock.now(),
            clock,
        })
    }

    /// Takes one cell of `key` if it is there.
    pub fn check<Q>(&self, key: &Q) -> RateDecision
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.check_n(key, 1)
    }

    /// Takes `cost` cells of `key` if all of them are there.
    pub fn check_n<Q>(&self, key: &Q, cost: u64) -> RateDecision
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.check_at(self.clock.now(), key, cost)
    }

    /// [`check_n`](Self::check_n) for a caller that has read the clock already.
    ///
    /// `now` may lie before an earlier one: no cell is given twice for that.
    pub fn check_at<Q>(&self, now: Instant, key: &Q, cost: u64) -> RateDecision
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let (now, hash) = (self.nanos_at(now), self.hasher.hash_one(key));
        let (shard, room) = (self.shard(hash), &self.room.0);
        let known = shard.lock().charge_known(hash, key, now, cost);
        if let Some(ruling) = known {
            return ruling.into();
        }
        // Keys are copied and dropped while the lock is free, because that is code of the caller.
        let copy = key.to_owned();
        let (ruling, _gone, _forgotten) = {
            let mut shard = shard.lock();
            let forgotten = shard.table.sweep(now.saturating_sub(nanos(IDLE_KEPT)), room);
            let (ruling, gone) = shard.charge(hash, key, copy, now, cost, room);
            (ruling, gone, forgotten)
        };
        ruling.into()
    }

    /// What [`check`](Self::check) would decide, without taking anything: what is left is what there
    /// is now.
    pub fn peek<Q>(&self, key: &Q) -> RateDecision
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.peek_at(self.clock.now(), key)
    }

    /// [`peek`](Self::peek) for a caller that has read the clock already.
    pub fn peek_at<Q>(&self, now: Instant, key: &Q) -> RateDecision
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let (now, hash) = (self.nanos_at(now), self.hasher.hash_one(key));
        self.shard(hash).lock().peek(hash, key, now).into()
    }

    /// Takes `cost` cells of `key`, or says in an error why not. Does not wait.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::RateLimited`](crate::ErrorKind::RateLimited), with the exact wait in
    /// [`Retry::After`](crate::Retry::After); [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge) if
    /// `cost` exceeds the burst. The key is not in the error.
    pub fn acquire<Q>(&self, key: &Q, cost: u64) -> Result<RateDecision>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let decision = self.check_n(key, cost);
        match decision.retry_after {
            _ if decision.allowed => Ok(decision),
            Some(wait) => Err(too_soon(wait)),
            None => Err(too_large(cost, decision.limit)),
        }
    }

    /// Gives `key` its whole burst back.
    pub fn reset<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let removed = self.shard(hash).lock().remove(hash, key, &self.room.0);
        drop(removed);
    }

    /// Goes on under another limit. Every key owes as many cells as before, at most the new burst.
    ///
    /// A key that owed nothing has the whole new burst. While it lasts, keys go over to the new limit
    /// one after the other; each decision is made under exactly one of the two.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for a limit that [`RateLimit::check`] refuses;
    /// the old one stays.
    pub fn retune(&self, limit: RateLimit) -> Result<()> {
        self.retune_at(self.clock.now(), limit)
    }

    /// [`retune`](Self::retune) for a caller that has read the clock already.
    pub fn retune_at(&self, now: Instant, limit: RateLimit) -> Result<()> {
        let quota = limit.quota()?;
        let now = self.nanos_at(now);
        let mut current = self.settings.lock();
        for shard in &self.shards {
            shard.0.lock().retune(now, quota);
        }
        *current = limit;
        Ok(())
    }

    /// Forgets every key that owes nothing, and says how many they were.
    ///
    /// Whenever a key is added, a few others are looked at, and those forgotten that have owed nothing
    /// for a minute; this is for those who want the memory back at once.
    pub fn evict_idle(&self) -> usize {
        self.evict_idle_at(self.clock.now())
    }

    /// [`evict_idle`](Self::evict_idle) for a caller that has read the clock already.
    pub fn evict_idle_at(&self, now: Instant) -> usize {
        let now = self.nanos_at(now);
        let sweep = |shard: &Padded<Mutex<Shard<K>>>| {
            let idle = shard.0.lock().table.sweep_all(now, &self.room.0);
            idle.len()
        };
        self.shards.iter().map(sweep).sum()
    }

    /// How many keys are kept now: those that owe something, and some that do not any more.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.0.lock().table.len()).sum()
    }

    /// Whether no key is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many keys are kept at most.
    pub fn keys_max(&self) -> usize {
        self.keys_max
    }

    /// How often a key that still owed something had to go for another one.
    pub fn pushed_out(&self) -> u64 {
        self.shards.iter().map(|shard| shard.0.lock().pushed_out).sum()
    }

    /// The limit in force.
    pub fn settings(&self) -> RateLimit {
        *self.settings.lock()
    }

    /// The shard of a hash: by its upper bits, because the lower ones find the place in there.
    #[inline]
    fn shard(&self, hash: u64) -> &Mutex<Shard<K>> {
        &self.shards[(hash >> 32) as usize & (self.shards.len() - 1)].0
    }

    #[inline]
    fn nanos_at(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.base))
    }
}

impl RateDecision {
    /// [`retry_after`](Self::retry_after) in whole seconds, rounded up: what a `Retry-After` header
    /// says.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after.map(seconds)
    }

    /// [`reset`](Self::reset) in whole seconds, rounded up.
    pub fn reset_seconds(&self) -> u64 {
        seconds(self.reset)
    }
}

impl From<Ruling> for RateDecision {
    #[inline]
    fn from(ruling: Ruling) -> Self {
        let retry_after = match ruling.answer {
            Answer::Late(wait) => Some(Duration::from_nanos(wait)),
            Answer::Taken | Answer::Never => None,
        };
        Self {
            allowed: ruling.answer == Answer::Taken,
            limit: ruling.limit,
            remaining: ruling.remaining,
            retry_after,
            reset: Duration::from_nanos(ruling.reset),
        }
    }
}

impl<K> fmt::Debug for KeyedRateLimiter<K> {
    /// Without the keys: they are names of people and places.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedRateLimiter")
            .field("settings", &self.settings())
            .field("keys", &self.len())
            .field("keys_max", &self.keys_max)
            .finish_non_exhaustive()
    }
}

impl<K> Shard<K> {
    /// The decision on a key that is there, or that owes nothing after it.
    #[inline]
    fn charge_known<Q>(&mut self, hash: u64, key: &Q, now: u64, cost: u64) -> Option<Ruling>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let Some(position) = self.table.find(hash, key) else {
            let ruling = self.quota.decide(self.table.arrival_of_unknown(), now, cost);
            return (!ruling.leaves_debt()).then_some(ruling);
        };
        let ruling = self.quota.decide(self.table.arrival(position), now, cost);
        self.table.set_arrival(position, ruling.arrival);
        Some(ruling)
    }

    /// The decision on a key that was not there a moment ago, and the key that is not needed.
    fn charge<Q>(
        &mut self,
        hash: u64,
        key: &Q,
        copy: K,
        now: u64,
        cost: u64,
        room: &Room,
    ) -> (Ruling, Option<K>)
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        if let Some(ruling) = self.charge_known(hash, key, now, cost) {
            return (ruling, Some(copy));
        }
        let ruling = self.quota.decide(self.table.arrival_of_unknown(), now, cost);
        let Some(gone) = self.table.add(hash, copy, ruling.arrival, now, room) else {
            return (ruling, None);
        };
        self.pushed_out += u64::from(gone.was_busy);
        (ruling, Some(gone.key))
    }

    fn peek<Q>(&self, hash: u64, key: &Q, now: u64) -> Ruling
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let position = self.table.find(hash, key);
        let arrival = position.map(|position| self.table.arrival(position));
        self.quota.peek(arrival.unwrap_or_else(|| self.table.arrival_of_unknown()), now)
    }

    fn remove<Q>(&mut self, hash: u64, key: &Q, room: &Room) -> Option<K>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let position = self.table.find(hash, key)?;
        Some(self.table.remove(position, room))
    }

    fn retune(&mut self, now: u64, quota: Quota) {
        let before = std::mem::replace(&mut self.quota, quota);
        self.table.map_arrivals(|arrival| {
            now.saturating_add(quota.owed_since(before, arrival.saturating_sub(now)))
        });
    }
}

/// Everything that cannot be as it is.
fn check(limit: &RateLimit, keys_max: usize) -> Result<Quota> {
    let mut mistakes = Mistakes::of("keyed_rate_limit");
    mistakes.require(
        (1..=KEYS_MAX).contains(&keys_max),
        "keys_max",
        keys_max,
        "the number of keys must be between 1 and 16777215",
    );
    match (limit.quota(), mistakes.into_result()) {
        (Ok(quota), Ok(())) => Ok(quota),
        (Err(limit), Err(keys)) => {
            Err(Error::joined("several settings cannot be as they are", vec![limit, keys]))
        }
        (Err(error), Ok(())) | (Ok(_), Err(error)) => Err(error),
    }
}

/// So many that threads seldom meet, and so few that none stands empty while another is full.
fn shards_for(keys_max: usize) -> usize {
    let wanted = (SHARDS_PER_STRIPE * stripe::count()).min(keys_max / KEYS_PER_SHARD_MIN);
    // The power of two that is no larger.
    wanted.checked_ilog2().map_or(1, |exponent| 1 << exponent)
}

fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// How long a key that owes nothing stays while there is room, so that one that comes again and
/// again is not forgotten and copied each time.
const IDLE_KEPT: Duration = Duration::from_mins(1);
const SHARDS_PER_STRIPE: usize = 8;
const KEYS_PER_SHARD_MIN: usize = 64;
