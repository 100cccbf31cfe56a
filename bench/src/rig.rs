//! How a contender's operation becomes something that can be timed.
//!
//! The loop lies inside the worker, compiled together with the operation, so that the price of
//! calling the worker is spread over all of its repetitions.

use std::hint::black_box;
use std::thread;

use tokio::runtime::{Builder, Runtime};
use tokio::task::unconstrained;

/// What the threads of one contender share.
pub trait Rig: Send + Sync + 'static {
    /// The work of the thread numbered `thread`; called, and kept, on that thread.
    fn worker(&self, thread: usize) -> Worker;

    /// The line's figure (a hit ratio), taken once after the last sample.
    fn figure(&self) -> Option<f64> {
        None
    }
}

impl<F: Fn(usize) -> Worker + Send + Sync + 'static> Rig for F {
    fn worker(&self, thread: usize) -> Worker {
        self(thread)
    }
}

/// Does the operation as often as it is told.
pub type Worker = Box<dyn FnMut(u64)>;

/// A worker that repeats `operation`, which is handed a running number.
pub fn each<T>(mut operation: impl FnMut(usize) -> T + 'static) -> Worker {
    Box::new(move |repetitions| {
        for turn in 0..repetitions as usize {
            black_box(operation(black_box(turn)));
        }
    })
}

/// A worker that repeats the asynchronous `operation` on its thread's own runtime.
///
/// Unconstrained: else tokio would send every 128th operation through its scheduler, which is
/// not what is measured.
pub fn each_async<T>(mut operation: impl AsyncFnMut(usize) -> T + 'static) -> Worker {
    Box::new(move |repetitions| {
        block_on(unconstrained(async {
            for turn in 0..repetitions as usize {
                black_box(operation(black_box(turn)).await);
            }
        }));
    })
}

/// Runs `future` on the runtime of this thread.
pub fn block_on<F: Future>(future: F) -> F::Output {
    RUNTIME.with(|runtime| runtime.block_on(future))
}

/// Runs `future` on a thread and a runtime of its own, from wherever that is wanted.
pub fn apart<F: Future<Output: Send> + Send>(future: F) -> F::Output {
    thread::scope(|scope| scope.spawn(|| block_on(future)).join()).expect("nothing fails")
}

/// Runs `work`, which may start tasks, inside the runtime of this thread.
pub fn inside_runtime<T>(work: impl FnOnce() -> T) -> T {
    RUNTIME.with(|runtime| {
        let _inside = runtime.enter();
        work()
    })
}

thread_local! {
    static RUNTIME: Runtime =
        Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
}
