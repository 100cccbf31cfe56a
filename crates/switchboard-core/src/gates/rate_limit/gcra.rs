//! The arithmetic of the rate limiter: one theoretical arrival time, moved forward by reservation.
//!
//! Knows nanoseconds and cells, nothing of clocks, waiting or errors. Built on `crate::sync` alone,
//! so that the model tests compile this very file over loom's atomics.

use crate::sync::atomic::AtomicU64;
use crate::sync::atomic::Ordering::{AcqRel, Acquire, Release};

/// Grants cells at an even pace, after a burst, in the order in which they are asked for.
///
/// `state` holds the theoretical arrival time and the epoch of the quota it was reckoned with. A
/// retune writes the quota that is not in use and then moves time and epoch in one step, so every
/// grant is decided under exactly one quota. All of it fits one cache line.
#[derive(Debug)]
pub(crate) struct Gcra {
    state: AtomicU64,
    quotas: [StoredQuota; 2],
}

/// How fast cells come back, how many may be taken at once, how long one may wait for them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quota {
    /// Nanoseconds in which one cell comes back.
    pub(crate) interval: u64,
    /// Nanoseconds in which the whole burst comes back.
    pub(crate) tolerance: u64,
    /// Nanoseconds one may wait at the longest.
    pub(crate) wait: u64,
}

/// The answer to a request for cells.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The cells are taken, and may be used from the moment in the booking on.
    Granted(Booking),
    /// Nothing was taken; asked again after this many nanoseconds, the cells are there at once.
    Late(u64),
    /// Nothing was taken; so many cells are never there at once.
    Never,
}

/// What became of a request for cells that would not wait, and what is left afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ruling {
    pub(crate) answer: Answer,
    /// The theoretical arrival time afterwards.
    pub(crate) arrival: u64,
    /// How many cells there are when nothing is owed.
    pub(crate) limit: u64,
    /// How many cells could be taken now.
    pub(crate) remaining: u64,
    /// Nanoseconds until nothing is owed any more.
    pub(crate) reset: u64,
}

/// What becomes of a request for cells that would not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The cells are taken.
    Taken,
    /// Nothing was taken; asked again after this many nanoseconds, the cells are there.
    Late(u64),
    /// Nothing was taken; so many cells are never there at once.
    Never,
}

/// Cells that were taken, with what it needs to give them back.
#[derive(Debug)]
pub(crate) struct Booking {
    before: u64,
    after: u64,
    /// The moment from which on the cells may be used.
    pub(crate) due: u64,
}

impl Gcra {
    pub(crate) fn new(quota: Quota) -> Self {
        Self {
            state: AtomicU64::new(0),
            quotas: [StoredQuota::new(quota), StoredQuota::new(quota)],
        }
    }

    /// Takes `cost` cells if they are due within `longest` and within the wait of the quota.
    #[inline]
    pub(crate) fn reserve(&self, now: u64, cost: u64, longest: u64) -> Verdict {
        let mut state = self.state.load(Acquire);
        loop {
            let verdict = self.quota_of(state).judge(state, now, cost, longest);
            let settled = match &verdict {
                Verdict::Granted(booking) => self.swap(state, booking.after),
                Verdict::Late(_) | Verdict::Never => self.unless_retuned(state),
            };
            match settled {
                Ok(()) => return verdict,
                Err(seen) => state = seen,
            }
        }
    }

    /// Takes `cost` cells if they are there now, and says what is left in either case.
    #[inline]
    pub(crate) fn decide(&self, now: u64, cost: u64) -> Ruling {
        let mut state = self.state.load(Acquire);
        loop {
            let ruling = self.quota_of(state).decide(arrival(state), now, cost);
            let settled = match ruling.answer {
                Answer::Taken => self.swap(state, pack(ruling.arrival, epoch(state))),
                Answer::Late(_) | Answer::Never => self.unless_retuned(state),
            };
            match settled {
                Ok(()) => return ruling,
                Err(seen) => state = seen,
            }
        }
    }

    /// Gives the cells back if nobody has booked since; else they are lost, and the answer is no.
    pub(crate) fn give_back(&self, booking: &Booking) -> bool {
        self.state.compare_exchange(booking.after, booking.before, AcqRel, Acquire).is_ok()
    }

    /// Makes one cell due after `pause`, and the others behind it at the plain pace.
    pub(crate) fn drain(&self, now: u64, pause: u64) {
        let mut state = self.state.load(Acquire);
        loop {
            let quota = self.quota_of(state);
            let empty = quota.tolerance.saturating_sub(quota.interval);
            let drained = now.saturating_add(pause).saturating_add(empty).min(ARRIVAL_MAX);
            let to = pack(arrival(state).max(drained), epoch(state));
            match self.swap(state, to) {
                Ok(()) => return,
                Err(seen) => state = seen,
            }
        }
    }

    /// Goes on under another quota. Those who call this take turns.
    pub(crate) fn retune(&self, now: u64, quota: Quota) {
        let mut state = self.state.load(Acquire);
        let old = self.quota_of(state);
        let next = (epoch(state) + 1) & EPOCH_MASK;
        self.quotas[slot_of(next)].store(quota);
        loop {
            let to = pack(carry_over(arrival(state), now, old, quota), next);
            match self.swap(state, to) {
                Ok(()) => return,
                Err(seen) => state = seen,
            }
        }
    }

    #[inline]
    fn quota_of(&self, state: u64) -> Quota {
        self.quotas[slot_of(epoch(state))].load()
    }

    #[inline]
    fn swap(&self, from: u64, to: u64) -> Result<(), u64> {
        self.state.compare_exchange_weak(from, to, AcqRel, Acquire).map(drop)
    }

    /// A refusal writes nothing, so it must see for itself that its quota was read in one piece.
    fn unless_retuned(&self, state: u64) -> Result<(), u64> {
        let seen = self.state.load(Acquire);
        if epoch(seen) == epoch(state) { Ok(()) } else { Err(seen) }
    }
}

impl Ruling {
    /// Whether cells were taken that are not back yet: if not, there is nothing to remember.
    #[inline]
    pub(crate) fn leaves_debt(&self) -> bool {
        self.answer == Answer::Taken && self.reset > 0
    }
}

impl Quota {
    // Saturates throughout: a quota read while it is rewritten may be nonsense. Its verdict is
    // thrown away by the exchange that fails.
    #[inline]
    fn judge(self, state: u64, now: u64, cost: u64, longest: u64) -> Verdict {
        let now = now.min(ARRIVAL_MAX);
        let Some((due, after)) = self.price(arrival(state), now, cost) else {
            return Verdict::Never;
        };
        let wait = due - now;
        if wait > longest.min(self.wait) || after > ARRIVAL_MAX {
            return Verdict::Late(wait);
        }
        Verdict::Granted(Booking { before: state, after: pack(after, epoch(state)), due })
    }

    /// What becomes of a request for `cost` cells by somebody who does not wait.
    #[inline]
    pub(crate) fn decide(self, arrival: u64, now: u64, cost: u64) -> Ruling {
        let now = now.min(ARRIVAL_MAX);
        let (answer, arrival) = match self.price(arrival, now, cost) {
            None => (Answer::Never, arrival),
            Some((due, after)) if due > now || after > ARRIVAL_MAX => {
                (Answer::Late(due - now), arrival)
            }
            Some((_, after)) => (Answer::Taken, after),
        };
        self.ruling(answer, arrival, now)
    }

    /// What somebody would be told who asks for one cell, who takes nothing.
    #[inline]
    pub(crate) fn peek(self, arrival: u64, now: u64) -> Ruling {
        Ruling { answer: self.decide(arrival, now, 1).answer, ..self.decide(arrival, now, 0) }
    }

    /// What is owed under `self` by somebody who owes so much under `old`: as many cells, as far as
    /// there are so many.
    pub(crate) fn owed_since(self, old: Self, owed: u64) -> u64 {
        let cells_owed = u128::from(owed) * u128::from(self.interval);
        let owed = cells_owed.div_ceil(u128::from(old.interval.max(1)));
        u64::try_from(owed).unwrap_or(u64::MAX).min(self.tolerance)
    }

    /// When `cost` cells may be used, and the arrival time that they leave; nothing if never.
    #[inline]
    fn price(self, arrival: u64, now: u64, cost: u64) -> Option<(u64, u64)> {
        let price = self.interval.saturating_mul(cost);
        if price > self.tolerance {
            return None;
        }
        let after = arrival.max(now).saturating_add(price);
        Some((after.saturating_sub(self.tolerance).max(now), after))
    }

    #[inline]
    fn ruling(self, answer: Answer, arrival: u64, now: u64) -> Ruling {
        let interval = self.interval.max(1);
        let owed = arrival.saturating_sub(now);
        Ruling {
            answer,
            arrival,
            limit: self.tolerance / interval,
            remaining: self.tolerance.saturating_sub(owed) / interval,
            reset: owed,
        }
    }
}

/// The arrival time that means under `new` what `arrival` meant under `old`.
///
/// Cells that are there stay there, as far as the new burst holds them; none is given on top. Where
/// cells are booked ahead, the next one is due one interval behind the last that was promised.
fn carry_over(arrival: u64, now: u64, old: Quota, new: Quota) -> u64 {
    let owed = arrival.saturating_sub(now);
    let promised = owed.saturating_sub(old.tolerance);
    let there = scale(old.tolerance.saturating_sub(owed), new.interval, old.interval);
    let owed = new.tolerance.saturating_sub(there).saturating_add(promised);
    now.saturating_add(owed).min(ARRIVAL_MAX)
}

fn scale(value: u64, numerator: u64, denominator: u64) -> u64 {
    let scaled = u128::from(value) * u128::from(numerator) / u128::from(denominator.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

#[derive(Debug)]
struct StoredQuota {
    interval: AtomicU64,
    tolerance: AtomicU64,
    wait: AtomicU64,
}

impl StoredQuota {
    fn new(quota: Quota) -> Self {
        Self {
            interval: AtomicU64::new(quota.interval),
            tolerance: AtomicU64::new(quota.tolerance),
            wait: AtomicU64::new(quota.wait),
        }
    }

    // Release and acquire, so that whoever reads a piece of a later quota also sees the later epoch.
    fn store(&self, quota: Quota) {
        self.interval.store(quota.interval, Release);
        self.tolerance.store(quota.tolerance, Release);
        self.wait.store(quota.wait, Release);
    }

    #[inline]
    fn load(&self) -> Quota {
        Quota {
            interval: self.interval.load(Acquire),
            tolerance: self.tolerance.load(Acquire),
            wait: self.wait.load(Acquire),
        }
    }
}

const fn pack(arrival: u64, epoch: u64) -> u64 {
    (arrival << EPOCH_BITS) | epoch
}

const fn arrival(state: u64) -> u64 {
    state >> EPOCH_BITS
}

const fn epoch(state: u64) -> u64 {
    state & EPOCH_MASK
}

const fn slot_of(epoch: u64) -> usize {
    (epoch & 1) as usize
}

/// Eight epochs: mixing two up takes eight retunes within one reservation, at the same nanosecond.
const EPOCH_BITS: u32 = 3;
const EPOCH_MASK: u64 = (1 << EPOCH_BITS) - 1;
/// 73 years after the limiter was made; nothing is granted past it.
const ARRIVAL_MAX: u64 = u64::MAX >> EPOCH_BITS;
