//! Providers made of providers: what each says it does, and nothing left behind by drops and panics.

#![allow(clippy::unwrap_used, reason = "in tests a panic says what is wrong")]

mod adapt;
mod chain;
mod fan_out;
mod tap;

use std::fmt::Display;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use switchboard_core::{
    Effect, Error, ErrorKind, Health, Lifecycle, Op, Registry, Reply, Result, Status, Subsystem,
};
use switchboard_provider::{Provider, RequestResponse, Requester, Sink, request_response};
use tokio::time::sleep;

/// Numbers in, numbers out: a family for what must be seen behind a line.
pub(crate) struct Numbers;

impl Subsystem for Numbers {
    const NAME: &'static str = "numbers";
    const OPERATIONS: &'static [Op] = request_response::operations(Effect::Read);
    type Driver = dyn RequestResponse<u64, u64>;
    type Handle = Requester<Self>;

    fn register_built_ins(_registry: &Registry<Self>) -> Result<()> {
        Ok(())
    }
}

/// How much work is going on.
#[derive(Clone, Default)]
pub(crate) struct Gauge(Arc<AtomicUsize>);

/// One piece of work, until it is dropped.
pub(crate) struct Working(Gauge);

impl Gauge {
    /// Two awaits of work, a second each.
    pub(crate) async fn work(&self) {
        let _working = self.begin();
        sleep(SECOND).await;
        sleep(SECOND).await;
    }

    pub(crate) fn begin(&self) -> Working {
        self.0.fetch_add(1, Ordering::Relaxed);
        Working(self.clone())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What happened, in order.
#[derive(Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    pub(crate) fn write(&self, entry: impl Display) {
        self.0.lock().unwrap().push(entry.to_string());
    }

    /// What was written since the last time.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A provider whose life is written down, and whose steps fail or panic as the test says.
#[derive(Clone)]
pub(crate) struct Attended {
    pub(crate) name: &'static str,
    pub(crate) journal: Journal,
    pub(crate) health: Health,
    pub(crate) is_available: bool,
    pub(crate) failing: &'static [&'static str],
    pub(crate) panicking: &'static [&'static str],
}

impl Attended {
    pub(crate) fn new(name: &'static str, journal: &Journal) -> Self {
        Self {
            name,
            journal: journal.clone(),
            health: Health::up(),
            is_available: true,
            failing: &[],
            panicking: &[],
        }
    }

    fn step(&self, step: &'static str) -> Result<()> {
        self.journal.write(format_args!("{} {step}", self.name));
        assert!(!self.panicking.contains(&step), "{step} panics");
        if self.failing.contains(&step) {
            return Err(Error::new(ErrorKind::Unavailable, "it failed").with_context("in", step));
        }
        Ok(())
    }
}

impl Lifecycle for Attended {
    fn init(&self) -> Reply<'_, ()> {
        Reply::run(async { self.step("init") })
    }

    fn health(&self) -> Reply<'_, Health> {
        Reply::run(async { self.step("health").map(|()| self.health.clone()) })
    }

    fn close(&self) -> Reply<'_, ()> {
        Reply::run(async { self.step("close") })
    }
}

impl Provider for Attended {
    fn name(&self) -> &str {
        self.name
    }

    fn is_available(&self) -> Reply<'_, bool> {
        Reply::ready(self.step("available").map(|()| self.is_available))
    }
}

impl RequestResponse<u64, u64> for Attended {
    fn execute(&self, input: u64) -> Reply<'_, u64> {
        Reply::run(async move { self.step("execute").map(|()| input) })
    }
}

impl Sink<u64> for Attended {
    fn send(&self, _input: u64) -> Reply<'_, ()> {
        Reply::run(async { self.step("send") })
    }
}

/// Goes through the life of what was made of one [`Attended`] called "inner", and expects that it is
/// the life of that one.
pub(crate) async fn passes_the_lifecycle_on(made: &dyn Provider, journal: &Journal) -> Result<()> {
    assert_eq!(made.name(), "inner");
    made.init().await?;
    assert!(!made.is_available().await?);
    assert_eq!(made.health().await?.status, Status::Degraded);
    made.close().await?;
    assert_eq!(journal.take(), ["inner init", "inner available", "inner health", "inner close"]);
    Ok(())
}

/// An [`Attended`] as [`passes_the_lifecycle_on`] expects it.
pub(crate) fn inner(journal: &Journal) -> Attended {
    let health = Health::degraded("tired");
    Attended { health, is_available: false, ..Attended::new("inner", journal) }
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);
