//! Spreads what many threads touch at once over cache lines of their own.
//!
//! The first threads of a process have a stripe each that no other thread writes, so that counting
//! there is a plain load and store. Threads beyond those share further stripes, and count with an
//! atomic addition.

use std::cell::Cell;
use std::num::NonZero;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// A value that shares its cache lines with nothing else.
// Two lines, because processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);

/// How many stripes a striped value has: a power of two, at most [`STRIPES_MAX`].
pub(crate) fn count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| {
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        // Twice, because a runtime with a worker per core is not the only one who calls.
        (threads * 2).next_power_of_two().min(STRIPES_MAX)
    })
}

/// The stripe of the current thread, for any striped value; threads may share one.
#[inline]
pub(crate) fn index(stripes: usize) -> usize {
    debug_assert!(stripes.is_power_of_two());
    number() & (stripes - 1)
}

/// Counters that threads add to without meeting.
#[derive(Debug)]
pub(crate) struct Counters {
    /// First the stripes that belong to one thread each, then as many that are shared.
    stripes: Box<[Padded<Box<[AtomicU64]>>]>,
}

impl Counters {
    /// `counters` counters, all at zero.
    pub(crate) fn new(counters: usize) -> Self {
        let stripe = || Padded((0..counters).map(|_| AtomicU64::new(0)).collect());
        Self { stripes: (0..2 * count()).map(|_| stripe()).collect() }
    }

    /// Adds one, and says how many this stripe had counted before. A counter that does not exist
    /// counts nothing.
    #[inline]
    pub(crate) fn add(&self, counter: usize) -> u64 {
        let (number, own) = (number(), self.stripes.len() / 2);
        let is_own = number < own;
        let stripe = if is_own { number } else { own + (number & (own - 1)) };
        let Some(cell) = self.stripes[stripe].0.get(counter) else { return 0 };
        if !is_own {
            return cell.fetch_add(1, Ordering::Relaxed);
        }
        let before = cell.load(Ordering::Relaxed);
        cell.store(before.wrapping_add(1), Ordering::Relaxed);
        before
    }

    /// What all stripes have counted.
    pub(crate) fn sum(&self, counter: usize) -> u64 {
        let cells = self.stripes.iter().filter_map(|stripe| stripe.0.get(counter));
        cells.map(|cell| cell.load(Ordering::Relaxed)).sum()
    }
}

/// The number of the current thread. One below [`count`] belongs to no other living thread.
#[inline]
fn number() -> usize {
    NUMBER.with(|number| match number.get() {
        usize::MAX => number_this_thread(number),
        number => number,
    })
}

#[cold]
fn number_this_thread(number: &Cell<usize>) -> usize {
    let own = take_own_number();
    number.set(own.unwrap_or_else(shared_number));
    if own.is_some() {
        // Fails only while the thread ends; the number then stays taken, which costs a stripe.
        LEASE.try_with(|_| ()).ok();
    }
    number.get()
}

fn take_own_number() -> Option<usize> {
    let free = |taken: u64| {
        let number = (!taken).trailing_zeros() as usize;
        (number < count()).then_some(number)
    };
    let before = TAKEN.try_update(Ordering::AcqRel, Ordering::Acquire, |taken| {
        free(taken).map(|number| taken | 1 << number)
    });
    free(before.ok()?)
}

fn shared_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    count() + (NEXT.fetch_add(1, Ordering::Relaxed) & (usize::MAX >> 2))
}

/// Gives the number of a thread back when the thread ends.
struct Lease;

impl Drop for Lease {
    fn drop(&mut self) {
        let own = NUMBER.get();
        // What the thread still counts while it ends goes to a shared stripe.
        NUMBER.set(shared_number());
        TAKEN.fetch_and(!(1 << own), Ordering::AcqRel);
    }
}

const STRIPES_MAX: usize = 32;

/// A bit for each number that a living thread owns.
static TAKEN: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) };
    static LEASE: Lease = const { Lease };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_however_many_threads_count_and_however_many_have_ended() {
        let counters = Counters::new(2);
        for _ in 0..4 {
            std::thread::scope(|scope| {
                for _ in 0..2 * STRIPES_MAX {
                    scope.spawn(|| {
                        for _ in 0..1000 {
                            counters.add(1);
                        }
                    });
                }
            });
        }
        assert_eq!(counters.sum(1), 4 * 2 * STRIPES_MAX as u64 * 1000);
        assert_eq!(counters.sum(0), 0);
    }

    #[test]
    fn a_number_is_owned_by_one_living_thread_at_a_time() {
        let numbers = std::sync::Mutex::new(Vec::new());
        let all_alive = std::sync::Barrier::new(2 * STRIPES_MAX);
        std::thread::scope(|scope| {
            for _ in 0..2 * STRIPES_MAX {
                scope.spawn(|| {
                    numbers.lock().unwrap().push(number());
                    all_alive.wait();
                });
            }
        });
        let mut own = numbers.into_inner().unwrap();
        own.retain(|number| *number < count());
        let owners = own.len();
        own.sort_unstable();
        own.dedup();
        assert_eq!(own.len(), owners);
    }
}
