//! Whose a connection is: the code of a scope, or all that a task does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, ThreadId};

use tokio::task;

tokio::task_local! {
    static SCOPE: Arc<Scope>;
}

/// Code that runs while something may be held for it, whichever task runs it.
struct Scope {
    number: u64,
    around: Option<Arc<Self>>,
}

/// Who takes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The innermost scope that runs.
    scope: Option<u64>,
    pub(super) task: Option<task::Id>,
    /// What stands for the task where there is none, as in the body of a test.
    thread: Option<ThreadId>,
}

/// A piece of work: all that is done in the outermost scope, or by a task that is in none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Work {
    Scope(u64),
    Task(task::Id),
    /// What stands for the task where there is none.
    Thread(ThreadId),
}

/// Runs `future` as a scope: what is taken in it is held for it, and not for all that its task does.
pub(crate) async fn scoped<F: Future>(future: F) -> F::Output {
    static NUMBERS: AtomicU64 = AtomicU64::new(0);
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    let around = SCOPE.try_with(Clone::clone).ok();
    SCOPE.scope(Arc::new(Scope { number, around }), future).await
}

impl Owner {
    /// The code that runs now.
    pub(crate) fn current() -> Self {
        let scope = SCOPE.try_with(|scope| scope.number).ok();
        let task = task::try_id();
        let thread = task.is_none().then(|| thread::current().id());
        Self { scope, task, thread }
    }

    /// Whether the code that runs now is inside of that scope, or, where there was none, in that task.
    pub(crate) fn is_around(self) -> bool {
        if let Some(number) = self.scope {
            return SCOPE.try_with(|scope| scope.is_inside(number)).unwrap_or(false);
        }
        let now = Self::current();
        (self.task, self.thread) == (now.task, now.thread)
    }

    /// Whether more is known of it than the thread.
    pub(super) fn is_known(self) -> bool {
        self.scope.is_some() || self.task.is_some()
    }
}

impl Work {
    /// What the code that runs now is part of.
    pub(crate) fn current() -> Self {
        let outermost = SCOPE.try_with(|scope| scope.outermost()).ok().map(Self::Scope);
        let task = || task::try_id().map(Self::Task);
        outermost.or_else(task).unwrap_or_else(|| Self::Thread(thread::current().id()))
    }

    /// Whether it is known when it ends.
    pub(crate) fn is_scope(self) -> bool {
        matches!(self, Self::Scope(_))
    }
}

impl Scope {
    fn outermost(&self) -> u64 {
        self.around.as_ref().map_or(self.number, |around| around.outermost())
    }

    fn is_inside(&self, number: u64) -> bool {
        self.number == number || self.around.as_ref().is_some_and(|scope| scope.is_inside(number))
    }
}
