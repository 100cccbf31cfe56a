//! Who is ejected, and until when.
//!
//! What calls look at are single atomics. What changes who is ejected happens under a short lock, a
//! few times for each ejection. Moments are nanoseconds since some start; nothing here reads a clock.

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Ejections and returns of the members of one group.
pub(super) struct Ledger {
    rules: Rules,
    /// How many members there are.
    count: AtomicUsize,
    /// A bit for each member that is ejected; written under the lock.
    ejected: AtomicU64,
    /// When the next one may return; written under the lock.
    due: AtomicU64,
    /// The outages of each member since it last succeeded.
    runs: Box<[AtomicU32]>,
    records: Mutex<Vec<Record>>,
}

/// When a member is ejected, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// After so many outages, one after the other.
    pub(super) outages: u32,
    /// The first time; the second in a row twice as long, the third three times.
    pub(super) eject_for: u64,
    pub(super) eject_for_max: u64,
    /// At most this share of the members at the same time.
    pub(super) share_max: f64,
}

/// What is remembered of a member.
#[derive(Clone, Copy, Default)]
struct Record {
    /// How often it was ejected and has not been forgiven.
    times: u32,
    /// When it returned, or is to return.
    returns: u64,
}

/// Told what happens, under the lock and so in order; it must not call back.
pub(super) trait Host {
    fn ejected(&self, member: usize, ejection: Ejection);
    fn returned(&self, member: usize);
}

/// One ejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ejection {
    pub(super) eject_for: u64,
    /// Which one in a row.
    pub(super) times: u32,
}

impl Ledger {
    /// No members yet, of at most `members_max`.
    pub(super) fn new(rules: Rules, members_max: usize) -> Self {
        Self {
            rules,
            count: AtomicUsize::new(0),
            ejected: AtomicU64::new(0),
            due: AtomicU64::new(u64::MAX),
            runs: (0..members_max).map(|_| AtomicU32::new(0)).collect(),
            records: Mutex::new(vec![Record::default(); members_max]),
        }
    }

    /// There are so many members now; they never become fewer.
    pub(super) fn grow(&self, count: usize) {
        self.count.fetch_max(count, Ordering::Relaxed);
    }

    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// A bit for each member that is ejected.
    #[inline]
    pub(super) fn ejected(&self) -> u64 {
        self.ejected.load(Ordering::Relaxed)
    }

    /// Whether somebody may return at `now`.
    #[inline]
    pub(super) fn is_due(&self, now: u64) -> bool {
        self.due.load(Ordering::Relaxed) <= now
    }

    /// Lets everybody return whose time has come.
    #[cold]
    pub(super) fn let_return(&self, now: u64, host: &impl Host) {
        let records = self.records.lock();
        let mut ejected = self.ejected.load(Ordering::Relaxed);
        for (member, record) in ejected_of(&records, ejected) {
            if record.returns <= now {
                ejected &= !(1 << member);
                // It begins anew; its ejections so far are forgiven one by one.
                self.runs[member].store(0, Ordering::Relaxed);
                host.returned(member);
            }
        }
        self.publish(&records, ejected);
    }

    /// A call of `member` succeeded.
    #[inline]
    pub(super) fn succeeded(&self, member: usize) {
        let Some(run) = self.runs.get(member) else { return };
        // Nearly always it is zero, and then there is nothing to write.
        if run.load(Ordering::Relaxed) != 0 {
            run.store(0, Ordering::Relaxed);
        }
    }

    /// A call of `member` met an outage. Whether that is one too many; then it is to be ejected.
    pub(super) fn failed(&self, member: usize) -> bool {
        let Some(run) = self.runs.get(member) else { return false };
        let outages = run.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        // Looked at before the lock, so that in an outage of all not every call takes it.
        outages >= self.rules.outages && self.has_room(self.ejected(), member)
    }

    /// Ejects `member`, unless somebody was faster or it has succeeded again.
    #[cold]
    pub(super) fn eject(&self, member: usize, now: u64, host: &impl Host) {
        let mut records = self.records.lock();
        let ejected = self.ejected.load(Ordering::Relaxed);
        let run = self.runs.get(member).map_or(0, |run| run.load(Ordering::Relaxed));
        if run < self.rules.outages || !self.has_room(ejected, member) {
            return;
        }
        let ejection = records[member].eject(now, &self.rules);
        host.ejected(member, ejection);
        self.publish(&records, ejected | 1 << member);
    }

    /// Whether `member` may be ejected beside those who are.
    fn has_room(&self, ejected: u64, member: usize) -> bool {
        let count = self.count();
        let after = ejected.count_ones() as usize + 1;
        member < count && ejected & (1 << member) == 0 && after <= self.rules.ejected_max(count)
    }

    fn publish(&self, records: &[Record], ejected: u64) {
        let due = ejected_of(records, ejected).map(|(_, record)| record.returns).min();
        self.ejected.store(ejected, Ordering::Relaxed);
        self.due.store(due.unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Rules {
    /// How many of `count` members may be ejected at the same time: their share, but one always may,
    /// and one always stays.
    #[expect(clippy::cast_precision_loss, reason = "there are at most 64 members")]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is rounded down"
    )]
    pub(super) fn ejected_max(&self, count: usize) -> usize {
        let share = (self.share_max * count as f64) as usize;
        share.max(1).min(count.saturating_sub(1))
    }
}

impl Record {
    fn eject(&mut self, now: u64, rules: &Rules) -> Ejection {
        let well_for = now.saturating_sub(self.returns);
        let forgiven = well_for.checked_div(rules.eject_for).unwrap_or(u64::MAX);
        let forgiven = u32::try_from(forgiven).unwrap_or(u32::MAX);
        self.times = self.times.saturating_sub(forgiven).saturating_add(1);
        let eject_for = rules.eject_for.saturating_mul(u64::from(self.times));
        let eject_for = eject_for.min(rules.eject_for_max);
        self.returns = now.saturating_add(eject_for);
        Ejection { eject_for, times: self.times }
    }
}

fn ejected_of(records: &[Record], ejected: u64) -> impl Iterator<Item = (usize, &Record)> {
    records.iter().enumerate().filter(move |(member, _)| ejected & (1 << member) != 0)
}
