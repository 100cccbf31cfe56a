//! Spreads what many threads touch at once over cache lines of their own.

use std::cell::Cell;
use std::num::NonZero;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

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
        threads.next_power_of_two().min(STRIPES_MAX)
    })
}

/// The stripe of the current thread, for any striped value.
#[inline]
pub(crate) fn index(stripes: usize) -> usize {
    debug_assert!(stripes.is_power_of_two());
    let thread = THREAD.with(|thread| match thread.get() {
        usize::MAX => number_this_thread(thread),
        number => number,
    });
    thread & (stripes - 1)
}

#[cold]
fn number_this_thread(thread: &Cell<usize>) -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    // One number is kept for "not numbered yet".
    let number = NEXT.fetch_add(1, Ordering::Relaxed) & (usize::MAX >> 1);
    thread.set(number);
    number
}

const STRIPES_MAX: usize = 16;

thread_local! {
    static THREAD: Cell<usize> = const { Cell::new(usize::MAX) };
}
