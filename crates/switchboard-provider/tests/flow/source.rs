//! Items that come as a test says, and a record of what became of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use switchboard_core::{Clock, Error, ErrorKind, Reply, Result};
use switchboard_provider::Items;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// So many milliseconds pass.
    Wait(u64),
    Give(u32),
    /// An error, with a number to know it by.
    Fail(u32),
    Panic,
}

/// Items that keep their promise: dropping a reply loses nothing, and no time that was waited.
pub(crate) struct Source {
    steps: VecDeque<Step>,
    waits_until: Option<Instant>,
    life: Life,
    close_takes: Duration,
    close_fails: bool,
}

/// What became of sources.
#[derive(Clone, Default)]
pub(crate) struct Life(Arc<Counts>);

#[derive(Default)]
struct Counts {
    made: AtomicUsize,
    closed: AtomicUsize,
    dropped: AtomicUsize,
}

impl Source {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            steps: steps.into_iter().collect(),
            waits_until: None,
            life: Life::default(),
            close_takes: Duration::ZERO,
            close_fails: false,
        }
    }

    pub(crate) fn of(items: impl IntoIterator<Item = u32>) -> Self {
        Self::new(items.into_iter().map(Step::Give))
    }

    /// The same, whose life is written down.
    pub(crate) fn living(mut self, life: &Life) -> Self {
        life.0.made.fetch_add(1, Ordering::SeqCst);
        self.life = life.clone();
        self
    }

    /// The same, that takes so long to close.
    pub(crate) fn closing_in(mut self, close_takes: Duration) -> Self {
        self.close_takes = close_takes;
        self
    }

    /// The same, that cannot be closed.
    pub(crate) fn failing_to_close(mut self) -> Self {
        self.close_fails = true;
        self
    }

    async fn step(&mut self) -> Result<Option<u32>> {
        let clock = Clock::system();
        loop {
            match self.steps.front() {
                None => return Ok(None),
                Some(Step::Wait(millis)) => {
                    let wait = Duration::from_millis(*millis);
                    let until = *self.waits_until.get_or_insert_with(|| clock.now() + wait);
                    clock.sleep_until(until).await;
                    self.waits_until = None;
                }
                Some(_) => {}
            }
            match self.steps.pop_front() {
                Some(Step::Give(item)) => return Ok(Some(item)),
                Some(Step::Fail(number)) => return Err(failure(number)),
                Some(Step::Panic) => panic!("on purpose"),
                Some(Step::Wait(_)) | None => {}
            }
        }
    }
}

impl Items<u32> for Source {
    fn next(&mut self) -> Reply<'_, Option<u32>> {
        Reply::run(self.step())
    }

    fn close(&mut self) -> Reply<'_, ()> {
        Reply::run(async {
            tokio::time::sleep(self.close_takes).await;
            self.steps.clear();
            self.life.0.closed.fetch_add(1, Ordering::SeqCst);
            if self.close_fails {
                return Err(Error::new(ErrorKind::Unavailable, "it does not close"));
            }
            Ok(())
        })
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.life.0.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

impl Life {
    /// How many were made, closed and dropped.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        (count(&self.0.made), count(&self.0.closed), count(&self.0.dropped))
    }
}

pub(crate) fn failure(number: u32) -> Error {
    Error::new(ErrorKind::Unavailable, "the item is lost").with_context("number", number)
}

/// What a reader of items was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard<T> {
    Item(T),
    Failure(u32),
}

/// Reads to the end; each wait for an item is given up after the next of `patiences`, in
/// milliseconds, and begun anew.
pub(crate) async fn read_all<T>(items: &mut dyn Items<T>, patiences: &[u64]) -> Vec<Heard<T>> {
    let mut heard = Vec::new();
    let mut patiences = patiences.iter().chain([&u64::MAX]);
    let mut patience = Duration::from_millis(*patiences.next().unwrap());
    loop {
        match tokio::time::timeout(patience, items.next()).await {
            Ok(Ok(Some(item))) => heard.push(Heard::Item(item)),
            Ok(Ok(None)) => return heard,
            Ok(Err(error)) => {
                let number = error.context_value("number").and_then(|text| text.parse().ok());
                heard.push(Heard::Failure(number.unwrap()));
            }
            Err(_) => patience = Duration::from_millis(*patiences.next().unwrap()),
        }
    }
}

/// What a source with these steps gives, in order.
pub(crate) fn given(steps: &[Step]) -> Vec<Heard<u32>> {
    let heard = steps.iter().filter_map(|step| match step {
        Step::Give(item) => Some(Heard::Item(*item)),
        Step::Fail(number) => Some(Heard::Failure(*number)),
        Step::Wait(_) | Step::Panic => None,
    });
    heard.collect()
}

/// Any life of a source that does not panic.
pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..40_u64).prop_map(Step::Wait),
        5 => any::<u32>().prop_map(Step::Give),
        1 => any::<u32>().prop_map(Step::Fail),
    ];
    proptest::collection::vec(step, 0..40)
}

/// When a reader gives up waiting.
pub(crate) fn patiences() -> impl Strategy<Value = Vec<u64>> {
    proptest::collection::vec(0..30_u64, 0..20)
}

/// Runs `test` on a clock that moves when nothing else can happen.
pub(crate) fn on_paused_clock<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(test)
}
