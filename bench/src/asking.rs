//! What the lines about services share: who asks, and how many ask at the same time.

use std::sync::{Arc, OnceLock};

use tokio::runtime::{Builder, Runtime};

use crate::rig::{Rig, Worker, block_on, each_async};

/// Somebody who asks the question of a line.
pub trait Asker: Send + Sync + 'static {
    /// Asks, and proves that the answer is the right one.
    fn ask(&self, turn: usize) -> impl Future<Output = ()> + Send;
}

/// The questions come one after the other on the thread's own runtime, or, with several `tasks`, from
/// all of them at the same time on a runtime with [`WORKERS`] threads.
///
/// The asker is made on the runtime that it asks on, to which its sockets belong.
pub fn asking<A: Asker>(
    tasks: usize,
    make: impl AsyncFn() -> A + Send + Sync + 'static,
) -> impl Rig {
    move |_thread: usize| if tasks == 1 { alone(&make) } else { in_tasks(tasks, &make) }
}

fn alone<A: Asker>(make: &impl AsyncFn() -> A) -> Worker {
    let asker = block_on(make());
    block_on(asker.ask(0));
    each_async(async move |turn| asker.ask(turn).await)
}

/// The questions come from `tasks` tasks on a runtime as applications have it.
pub fn in_tasks<A: Asker>(tasks: usize, make: &impl AsyncFn() -> A) -> Worker {
    let runtime = runtime();
    let asker = Arc::new(runtime.block_on(make()));
    runtime.block_on(asker.ask(0));
    Box::new(move |repetitions| runtime.block_on(ask_from(tasks, &asker, repetitions)))
}

async fn ask_from<A: Asker>(tasks: usize, asker: &Arc<A>, repetitions: u64) {
    let ask = |task| {
        let asker = Arc::clone(asker);
        tokio::spawn(async move {
            for turn in (task..repetitions as usize).step_by(tasks) {
                asker.ask(turn).await;
            }
        })
    };
    let asking: Vec<_> = (0..tasks).map(ask).collect();
    for task in asking {
        task.await.expect("nothing fails");
    }
}

/// A runtime as applications have it.
pub fn runtime() -> Runtime {
    let runtime = Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    runtime.expect("a runtime can be built")
}

/// Something that the contenders of a line share, made when the first of them needs it, and gone with
/// the line.
pub struct Shared<T>(Arc<OnceLock<T>>);

impl<T> Shared<T> {
    pub fn new() -> Self {
        Self(Arc::default())
    }

    pub fn get(&self, make: impl FnOnce() -> T) -> &T {
        self.0.get_or_init(make)
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// How many threads the runtime has on which several tasks ask.
pub const WORKERS: usize = 4;
