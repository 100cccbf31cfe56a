//! What one line of the benchmark is: its contenders, and what we promise of ours.
//!
//! Everything here is data; `measure` runs it and `report` writes it down.

use std::sync::Arc;

use crate::rig::Rig;
use crate::services::Service;

/// What the product's own contender is called in every line.
pub const OURS: &str = "switchboard";

/// One question, asked to several contenders in the same run.
pub struct Line {
    /// Short and stable: names the section of the results and the argument of the command.
    pub name: &'static str,
    /// What one operation is, in a sentence.
    pub about: &'static str,
    /// The contender all others are divided by.
    pub reference: &'static str,
    /// One measurement is made with each of these numbers of threads.
    pub threads: &'static [usize],
    /// What the number of [`Rig::figure`] is called, where a line has one.
    pub figure: Option<&'static str>,
    /// The server it is not measured without.
    pub needs: Option<Service>,
    /// In the order of the table; the product's own stand first.
    pub contenders: Vec<Contender>,
    /// What is promised of the product's own contenders.
    pub goals: Vec<Goal>,
}

impl Line {
    /// Why it cannot be measured on this machine, if it cannot.
    pub fn missing(&self) -> Option<String> {
        self.needs.and_then(Service::missing)
    }
}

/// One way to do the operation of a line.
pub struct Contender {
    pub name: &'static str,
    /// The packages whose versions stand beside the name.
    pub packages: &'static [&'static str],
    build: Box<dyn Fn(usize) -> Arc<dyn Rig>>,
}

impl Contender {
    /// A contender that `build` sets up anew for each number of threads.
    ///
    /// `build` also proves that the operation does what it claims, before anything is timed.
    pub fn new<R: Rig>(name: &'static str, build: impl Fn(usize) -> R + 'static) -> Self {
        Self { name, packages: &[], build: Box::new(move |threads| Arc::new(build(threads))) }
    }

    /// The contender with the versions of `packages` shown beside its name.
    pub fn of(self, packages: &'static [&'static str]) -> Self {
        Self { packages, ..self }
    }

    /// What the threads share, set up for `threads` of them.
    pub fn build(&self, threads: usize) -> Arc<dyn Rig> {
        (self.build)(threads)
    }
}

/// Something promised of one contender.
pub struct Goal {
    pub subject: &'static str,
    pub threads: usize,
    pub bound: Bound,
}

/// What is promised.
pub enum Bound {
    /// At most this many times as long as the peer takes.
    Times { peer: &'static str, at_most: f64 },
    /// At most this many nanoseconds more than the peer takes.
    Above { peer: &'static str, nanoseconds: f64 },
    /// Nothing is allocated.
    NoAllocation,
    /// The line's figure is at most this far below the best of all contenders.
    FigureNearBest { within: f64 },
}

impl Goal {
    /// `subject` takes at most `at_most` times as long as `peer`.
    pub fn times(subject: &'static str, at_most: f64, peer: &'static str, threads: usize) -> Self {
        Self { subject, threads, bound: Bound::Times { peer, at_most } }
    }

    /// `subject` takes at most `nanoseconds` longer than `peer`.
    pub fn above(
        subject: &'static str,
        nanoseconds: f64,
        peer: &'static str,
        threads: usize,
    ) -> Self {
        Self { subject, threads, bound: Bound::Above { peer, nanoseconds } }
    }

    /// `subject` allocates nothing.
    pub fn no_allocation(subject: &'static str) -> Self {
        Self { subject, threads: 1, bound: Bound::NoAllocation }
    }

    /// The figure of `subject` is at most `within` below that of the best.
    pub fn figure_near_best(subject: &'static str, within: f64) -> Self {
        Self { subject, threads: 1, bound: Bound::FigureNearBest { within } }
    }
}
