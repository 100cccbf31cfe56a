//! The threads that do the work, and the starting gun.
//!
//! Each thread holds a worker of every contender, so that all of them run on the same threads
//! and with the same number of them alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::rig::{Rig, Worker};

/// Threads that wait for orders.
pub struct Crew {
    orders: Vec<Sender<Order>>,
    times: Receiver<(Instant, Instant)>,
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    /// `size` threads, each with a worker from every rig.
    pub fn of(size: usize, rigs: &[Arc<dyn Rig>]) -> Self {
        let (report, times) = mpsc::channel();
        let (orders, threads) = (0..size)
            .map(|thread| {
                let (sender, orders) = mpsc::channel();
                let (rigs, report) = (rigs.to_vec(), report.clone());
                let handle = thread::spawn(move || obey(thread, &rigs, &orders, &report));
                (sender, handle)
            })
            .unzip();
        Self { orders, times, threads }
    }

    /// How long all threads together took when each did `repetitions` of the same contender:
    /// from the first to start to the last to end.
    ///
    /// # Panics
    ///
    /// When the contender did.
    pub fn run(&self, contender: usize, repetitions: u64) -> Duration {
        let start = Arc::new(Start::for_threads(self.orders.len()));
        for order in &self.orders {
            let start = Arc::clone(&start);
            order.send(Order { contender, repetitions, start }).expect("the thread still listens");
        }
        let times: Vec<_> = self
            .orders
            .iter()
            .map(|_| {
                self.times.recv_timeout(PATIENCE).expect("the contender neither fails nor hangs")
            })
            .collect();
        let first = times.iter().map(|(begun, _)| *begun).min();
        let last = times.iter().map(|(_, ended)| *ended).max();
        first.zip(last).map_or(Duration::ZERO, |(first, last)| last - first)
    }

    /// Ends the threads, and with them what their workers held.
    pub fn dismiss(self) {
        drop(self.orders);
        for thread in self.threads {
            thread.join().expect("the contender does not fail while it ends");
        }
    }
}

struct Order {
    contender: usize,
    repetitions: u64,
    start: Arc<Start>,
}

fn obey(
    thread: usize,
    rigs: &[Arc<dyn Rig>],
    orders: &Receiver<Order>,
    report: &Sender<(Instant, Instant)>,
) {
    let mut workers: Vec<Worker> = rigs.iter().map(|rig| rig.worker(thread)).collect();
    for order in orders {
        order.start.wait();
        let begun = Instant::now();
        workers[order.contender](order.repetitions);
        if report.send((begun, Instant::now())).is_err() {
            return;
        }
    }
}

/// Lets threads start together.
struct Start {
    missing: AtomicUsize,
}

impl Start {
    fn for_threads(threads: usize) -> Self {
        Self { missing: AtomicUsize::new(threads) }
    }

    /// Spins, because threads woken by the system start tens of microseconds apart; yields now
    /// and then, for a machine with fewer cores than threads.
    fn wait(&self) {
        self.missing.fetch_sub(1, Ordering::AcqRel);
        let mut turns = 0_u32;
        while self.missing.load(Ordering::Acquire) > 0 {
            turns += 1;
            if turns.is_multiple_of(1_000) {
                thread::yield_now();
            }
            std::hint::spin_loop();
        }
    }
}

/// A sample takes milliseconds; a contender that is silent for this long hangs.
const PATIENCE: Duration = Duration::from_secs(60);
