//! Swapping a driver while many callers call: what it costs them, and what it leaves behind.
//!
//! Not a line, because there is no peer to divide by: it has a section of its own.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_core::{Descriptor, Environment, Lifecycle, Manager, Registry, Reply, Settings};
use tokio::runtime::Builder;

use crate::machine::Stamp;
use crate::ours::{Handle, LengthDriver, Lengths};

pub const NAME: &str = "swap";
pub const ABOUT: &str =
    "Exchange the driver 1 000 times under 64 callers that never pause, on 4 worker threads.";

/// Runs it, and writes its section.
pub fn section() -> String {
    let stamp = Stamp::now();
    let runtime = Builder::new_multi_thread().worker_threads(4).enable_time().build();
    let outcome = runtime.expect("can be built").block_on(run());
    let mut page = format!("## {NAME}\n\n{ABOUT}\n\n");
    let row = |page: &mut String, what: &str, value: String| {
        writeln!(page, "| {what} | {value} |").expect("a string takes everything");
    };
    page.push_str("| | |\n| --- | ---: |\n");
    row(&mut page, "swaps", outcome.swaps.to_string());
    row(&mut page, "calls while swapping", outcome.during.count().to_string());
    row(&mut page, "calls that failed", outcome.failed.to_string());
    row(&mut page, "drivers built", outcome.built.to_string());
    row(&mut page, "drivers closed before the end", outcome.closed.to_string());
    row(&mut page, "one swap, on average", format!("{:.1?}", outcome.swap_average));
    row(&mut page, "call, median, before / while swapping", outcome.pair(0.5));
    row(&mut page, "call, 99th percentile, before / while swapping", outcome.pair(0.99));
    row(&mut page, "call, longest, before / while swapping", outcome.pair(1.0));
    let goals = [
        ("no call fails", outcome.failed == 0),
        ("no driver is left but the one that serves", outcome.built - outcome.closed == 1),
        ("the 99th percentile stays within 1 ms of before", outcome.is_steady()),
    ];
    page.push('\n');
    for (goal, is_met) in goals {
        let verdict = if is_met { "met" } else { "missed" };
        writeln!(page, "- {goal}: **{verdict}**").expect("a string takes everything");
    }
    writeln!(page, "\n{}.\n", stamp.until(&Stamp::now())).expect("a string takes everything");
    page
}

struct Outcome {
    swaps: usize,
    failed: u64,
    built: usize,
    closed: usize,
    swap_average: Duration,
    before: Latencies,
    during: Latencies,
}

impl Outcome {
    fn pair(&self, share: f64) -> String {
        format!("{:.1?} / {:.1?}", self.before.at(share), self.during.at(share))
    }

    fn is_steady(&self) -> bool {
        self.during.at(0.99) <= self.before.at(0.99) + Duration::from_millis(1)
    }
}

async fn run() -> Outcome {
    let (manager, counts) = manager();
    let handle = manager.get("main").await.expect("the driver is there");
    let phase = Arc::new(Phase::default());
    let callers: Vec<_> =
        (0..CALLERS).map(|_| tokio::spawn(call(handle.clone(), Arc::clone(&phase)))).collect();

    tokio::time::sleep(Duration::from_secs(1)).await;
    phase.is_swapping.store(true, Ordering::Relaxed);
    let begin = Instant::now();
    for _ in 0..SWAPS {
        let settings = Settings::new().with("driver", "counted");
        let swapped = manager.swap("main", &settings).await.expect("the new driver is there");
        swapped.closed().await.expect("the old driver closes");
    }
    let swap_average = begin.elapsed() / u32::try_from(SWAPS).expect("is small");
    phase.is_over.store(true, Ordering::Relaxed);

    let (mut before, mut during) = (Latencies::default(), Latencies::default());
    let mut failed = 0;
    for caller in callers {
        let ended = caller.await.expect("no caller panics");
        before.add(&ended.before);
        during.add(&ended.during);
        failed += ended.failed;
    }
    Outcome {
        swaps: SWAPS,
        failed,
        built: counts.built.load(Ordering::Relaxed),
        closed: counts.closed.load(Ordering::Relaxed),
        swap_average,
        before,
        during,
    }
}

#[derive(Default)]
struct Phase {
    is_swapping: AtomicBool,
    is_over: AtomicBool,
}

#[derive(Default)]
struct Ended {
    before: Latencies,
    during: Latencies,
    failed: u64,
}

async fn call(handle: Handle, phase: Arc<Phase>) -> Ended {
    let mut ended = Ended::default();
    while !phase.is_over.load(Ordering::Relaxed) {
        let during = phase.is_swapping.load(Ordering::Relaxed);
        for _ in 0..CALLS_IN_A_ROW {
            let begin = Instant::now();
            let answer = handle.get("user:1234").await;
            let took = begin.elapsed();
            ended.failed += u64::from(answer.ok() != Some(9));
            if during { &mut ended.during } else { &mut ended.before }.record(took);
        }
        // Otherwise the callers would keep the worker threads from whoever swaps.
        tokio::task::yield_now().await;
    }
    ended
}

/// How long calls took, to an eighth of each doubling.
#[derive(Default)]
struct Latencies(Vec<u64>);

impl Latencies {
    fn record(&mut self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(8);
        let octave = nanos.ilog2();
        let bucket = (octave as usize) * 8 + ((nanos >> (octave - 3)) & 7) as usize;
        if self.0.len() <= bucket {
            self.0.resize(bucket + 1, 0);
        }
        self.0[bucket] += 1;
    }

    fn add(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (sum, count) in self.0.iter_mut().zip(&other.0) {
            *sum += count;
        }
    }

    fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The duration that this share of the calls did not exceed.
    fn at(&self, share: f64) -> Duration {
        let wanted = (self.count() as f64 * share).ceil() as u64;
        let mut seen = 0;
        let bucket = self.0.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        let bucket = bucket.unwrap_or(0) as u64;
        Duration::from_nanos((9 + bucket % 8) << (bucket / 8) >> 3)
    }
}

#[derive(Default)]
struct Counts {
    built: AtomicUsize,
    closed: AtomicUsize,
    asked: AtomicU64,
}

/// Counts its own coming and going.
struct Counted(Arc<Counts>);

#[derive(Deserialize, JsonSchema)]
struct CountedConfig {}

impl Lifecycle for Counted {
    fn close(&self) -> Reply<'_, ()> {
        self.0.closed.fetch_add(1, Ordering::Relaxed);
        Reply::ready(Ok(()))
    }
}

impl LengthDriver for Counted {
    fn get(&self, key: &str) -> Reply<'_, u64> {
        Reply::ready(Ok(key.len() as u64))
    }

    fn number(&self) -> u64 {
        self.0.asked.load(Ordering::Relaxed)
    }
}

fn manager() -> (Manager<Lengths>, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    let registry = Registry::empty();
    let shared = Arc::clone(&counts);
    registry
        .register(Descriptor::new("counted"), move |_: CountedConfig, _| {
            shared.built.fetch_add(1, Ordering::Relaxed);
            let driver = Counted(Arc::clone(&shared));
            async move { Ok(driver) }
        })
        .expect("the name is free");
    let manager = Manager::new(registry, &Environment::new()).expect("the environment is new");
    let settings = Settings::new().with("driver", "counted");
    manager.configure("main", &settings).expect("the settings are right");
    (manager, counts)
}

const CALLERS: usize = 64;
const SWAPS: usize = 1_000;
const CALLS_IN_A_ROW: usize = 64;
