//! What is to happen when a transaction ends, and what becomes of it when a savepoint is rolled back.

use std::future::Future;
use std::ops::RangeInclusive;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;

use futures_util::FutureExt as _;
use switchboard_core::Result;

use super::Transaction;
use super::occupied::{End, Level};

/// Everything that waits for the end of one transaction.
#[derive(Default)]
pub(crate) struct Hooks {
    before_commit: Vec<(Level, Before)>,
    after_commit: Vec<(Level, After)>,
    after_rollback: Vec<(Level, After)>,
    /// The savepoints that were rolled back, each with those inside of it.
    gone: Vec<RangeInclusive<Level>>,
    /// The savepoint that was set last.
    newest: Level,
    /// What became of all.
    end: Option<End>,
}

type Before = Box<dyn FnOnce(Transaction) -> Doing<Result<()>> + Send>;
pub(crate) type After = Box<dyn FnOnce() -> Doing<()> + Send>;
type Doing<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Hooks {
    pub(crate) fn before_commit<F, Fut>(&mut self, level: Level, hook: F)
    where
        F: FnOnce(Transaction) -> Fut + Send + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        if self.waits(level) {
            self.before_commit.push((level, Box::new(|transaction| hook(transaction).boxed())));
        }
    }

    pub(crate) fn after_commit<F, Fut>(&mut self, level: Level, hook: F)
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        if self.waits(level) {
            self.after_commit.push((level, Box::new(|| hook().boxed())));
        }
    }

    pub(crate) fn after_rollback<F, Fut>(&mut self, level: Level, hook: F)
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        if self.waits(level) {
            self.after_rollback.push((level, Box::new(|| hook().boxed())));
        }
    }

    /// Whether anything can still wait for the end of `level`; tells where it cannot.
    fn waits(&self, level: Level) -> bool {
        let is_over = self.end.is_some() || self.gone.iter().any(|gone| gone.contains(&level));
        if is_over {
            tracing::warn!(
                target: "switchboard::database",
                "what was to happen at the end of a transaction was registered after it, and does not happen"
            );
        }
        !is_over
    }

    /// A savepoint was set; numbers only grow.
    pub(crate) fn set(&mut self, level: Level) {
        self.newest = level;
    }

    /// What is next before the commit; hooks may add others.
    pub(crate) fn next_before_commit(&mut self) -> Option<Before> {
        (!self.before_commit.is_empty()).then(|| self.before_commit.remove(0).1)
    }

    /// What was registered inside of the savepoint `inner` belongs to `outer` from now on.
    pub(crate) fn released(&mut self, inner: Level, outer: Level) {
        let levels = self.before_commit.iter_mut().map(|(level, _)| level);
        let levels = levels.chain(self.after_commit.iter_mut().map(|(level, _)| level));
        let levels = levels.chain(self.after_rollback.iter_mut().map(|(level, _)| level));
        levels.filter(|level| **level >= inner).for_each(|level| *level = outer);
    }

    /// Forgets what waited for the commit of the savepoint `level` and those inside of it, and answers
    /// what waited for its rollback.
    pub(crate) fn rolled_back(&mut self, level: Level) -> Vec<After> {
        self.before_commit.retain(|(registered, _)| *registered < level);
        self.after_commit.retain(|(registered, _)| *registered < level);
        let (inside, outside) = std::mem::take(&mut self.after_rollback)
            .into_iter()
            .partition::<Vec<_>, _>(|(registered, _)| *registered >= level);
        self.after_rollback = outside;
        self.gone.retain(|gone| *gone.start() < level);
        self.gone.push(level..=self.newest.max(level));
        inside.into_iter().map(|(_, hook)| hook).collect()
    }

    /// All is over. Answers what waited for such an end; the rest is forgotten, and everything where
    /// nobody knows what became of it.
    pub(crate) fn ended(&mut self, end: End) -> Vec<After> {
        if self.end.is_some() {
            return Vec::new();
        }
        let hooks = std::mem::replace(self, Self { end: Some(end), ..Self::default() });
        let waited = match end {
            End::Committed => hooks.after_commit,
            End::RolledBack => hooks.after_rollback,
            End::InDoubt => Vec::new(),
        };
        waited.into_iter().map(|(_, hook)| hook).collect()
    }
}

/// Runs hooks in their order. What is done is done: a panic of one is told, and stops no other.
pub(crate) async fn run(instance: &str, hooks: Vec<After>) {
    for hook in hooks {
        let ran = AssertUnwindSafe(async { hook().await }).catch_unwind().await;
        if ran.is_err() {
            tracing::error!(
                target: "switchboard::database",
                instance,
                "what was to happen after a transaction panicked; the transaction stands"
            );
        }
    }
}
