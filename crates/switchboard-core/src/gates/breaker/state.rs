//! Which state the circuit is in, and who may pass.
//!
//! It judges no call and reads no clock: verdicts and the time, in nanoseconds, are handed in. The
//! states that let everything pass are read without a lock; every change of state is made under
//! one. Takes nothing from the crate but `sync`, so that the models compile this very file.

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The states of a circuit, and the permits of its half-open one.
#[derive(Debug)]
pub(crate) struct Circuit {
    /// What [`Word`] unpacks; a copy of what the lock guards, for readers.
    word: AtomicU64,
    /// When an open circuit may be tried; written before the word says it is open.
    open_until: AtomicU64,
    /// When probes under way are given up; without any, never.
    probes_until: AtomicU64,
    core: Mutex<Core>,
    rules: Rules,
}

/// What a circuit was told at the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// How many probes a half-open circuit admits, all of which must succeed.
    pub(crate) probes: u32,
    /// How long probes may be under way.
    pub(crate) probes_for: u64,
}

/// What a breaker does for its circuit, called under the circuit's lock.
pub(crate) trait Host {
    /// How long to stay open, having opened `streak` times in a row before.
    fn open_time(&self, streak: u32) -> u64;

    /// Whether having been closed for this long ends a row of openings.
    fn is_quiet(&self, closed_for: u64) -> bool;

    /// The circuit changes now; nobody can see the new state yet.
    fn changed(&self, change: Change);
}

/// One change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) from: Mode,
    pub(crate) to: Mode,
    pub(crate) at: u64,
    /// When an open circuit may be tried.
    pub(crate) open_until: u64,
}

/// What the circuit does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Closed,
    Open,
    HalfOpen,
    ForcedOpen,
    ForcedClosed,
    Disabled,
}

/// The leave to make one call, good for the generation it was given in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) generation: u64,
    pub(crate) is_probe: bool,
}

/// The circuit did not let a call pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    pub(crate) word: Word,
    /// When an open circuit may be tried; says nothing in other states.
    pub(crate) open_until: u64,
}

/// Mode, free probes and generation in one number. Every change of mode is a new generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word(u64);

#[derive(Debug)]
struct Core {
    mode: Mode,
    generation: u64,
    /// How often the circuit opened without a quiet time in between.
    streak: u32,
    closed_at: u64,
    open_until: u64,
    probes_until: u64,
    probes_free: u32,
    probes_under_way: u32,
}

impl Circuit {
    pub(crate) fn new(rules: Rules) -> Self {
        let core = Core {
            mode: Mode::Closed,
            generation: 0,
            streak: 0,
            closed_at: 0,
            open_until: 0,
            probes_until: NEVER,
            probes_free: 0,
            probes_under_way: 0,
        };
        Self {
            word: AtomicU64::new(Word::of(&core).0),
            open_until: AtomicU64::new(0),
            probes_until: AtomicU64::new(NEVER),
            core: Mutex::new(core),
            rules,
        }
    }

    #[inline]
    pub(crate) fn word(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    /// A ticket, if the state lets everything pass.
    #[inline]
    pub(crate) fn pass(&self) -> Option<Ticket> {
        let word = self.word();
        word.passes_all().then(|| Ticket { generation: word.generation(), is_probe: false })
    }

    /// Whether a call made now would not be refused at once; takes no permit.
    pub(crate) fn check(&self, now: u64, host: &impl Host) -> Result<(), Refusal> {
        let word = self.word();
        if word.passes_all() {
            return Ok(());
        }
        if let Some(refusal) = self.refusal(word, now) {
            return Err(refusal);
        }
        let mut core = self.core.lock();
        self.give_up_probes(&mut core, now, host);
        if core.refuses(now) {
            return Err(core.refusal());
        }
        Ok(())
    }

    /// A ticket for a call made now; the first to ask after the open time makes the circuit
    /// half-open.
    pub(crate) fn enter(&self, now: u64, host: &impl Host) -> Result<Ticket, Refusal> {
        let word = self.word();
        if let Some(refusal) = self.refusal(word, now) {
            return Err(refusal);
        }
        let mut core = self.core.lock();
        self.give_up_probes(&mut core, now, host);
        if core.refuses(now) {
            return Err(core.refusal());
        }
        if core.mode == Mode::Open {
            self.half_open(&mut core, now, host);
        }
        if core.mode != Mode::HalfOpen {
            return Ok(Ticket { generation: core.generation, is_probe: false });
        }
        Ok(self.issue_probe(&mut core, now))
    }

    /// The calls made while closed were too bad: opens, unless the ticket is of another generation.
    pub(crate) fn trip(&self, ticket: Ticket, now: u64, host: &impl Host) {
        let mut core = self.core.lock();
        if core.mode != Mode::Closed || core.generation != ticket.generation {
            return;
        }
        if host.is_quiet(now.saturating_sub(core.closed_at)) {
            core.streak = 0;
        }
        self.open(&mut core, now, host);
    }

    /// A probe succeeded; the last of them closes the circuit.
    pub(crate) fn probe_succeeded(&self, ticket: Ticket, now: u64, host: &impl Host) {
        let mut core = self.core.lock();
        if !core.holds_probe(ticket) {
            return;
        }
        core.end_probe();
        if core.probes_free > 0 || core.probes_under_way > 0 {
            return self.publish(&core);
        }
        core.closed_at = now;
        self.change(&mut core, Mode::Closed, now, host);
    }

    /// A probe failed: opens again, for longer.
    pub(crate) fn probe_failed(&self, ticket: Ticket, now: u64, host: &impl Host) {
        let mut core = self.core.lock();
        if core.holds_probe(ticket) {
            self.open(&mut core, now, host);
        }
    }

    /// A probe ended without a verdict, so another call may be one.
    pub(crate) fn probe_returned(&self, ticket: Ticket) {
        let mut core = self.core.lock();
        if core.holds_probe(ticket) {
            core.probes_free += 1;
            core.end_probe();
            self.publish(&core);
        }
    }

    /// Stays in `mode` until told otherwise; does nothing if it is in it.
    pub(crate) fn force(&self, mode: Mode, now: u64, host: &impl Host) {
        let mut core = self.core.lock();
        if core.mode != mode {
            self.change(&mut core, mode, now, host);
        }
    }

    /// Closed and as good as new, whatever it was.
    pub(crate) fn reset(&self, now: u64, host: &impl Host) {
        let mut core = self.core.lock();
        core.streak = 0;
        core.closed_at = now;
        self.change(&mut core, Mode::Closed, now, host);
    }

    /// The refusal that can be known without the lock.
    #[inline]
    fn refusal(&self, word: Word, now: u64) -> Option<Refusal> {
        let open_until = self.open_until.load(Ordering::Acquire);
        let refuses = match word.mode() {
            Mode::Open => now < open_until,
            Mode::HalfOpen => {
                word.probes_free() == 0 && now < self.probes_until.load(Ordering::Acquire)
            }
            Mode::ForcedOpen => true,
            Mode::Closed | Mode::ForcedClosed | Mode::Disabled => false,
        };
        refuses.then_some(Refusal { word, open_until })
    }

    /// Probes that do not end are as good as failed; else one of them could hold the circuit
    /// half-open for ever.
    fn give_up_probes(&self, core: &mut Core, now: u64, host: &impl Host) {
        if core.mode == Mode::HalfOpen && now >= core.probes_until {
            self.open(core, now, host);
        }
    }

    fn open(&self, core: &mut Core, now: u64, host: &impl Host) {
        core.open_until = now.saturating_add(host.open_time(core.streak));
        core.streak = core.streak.saturating_add(1);
        self.change(core, Mode::Open, now, host);
    }

    fn half_open(&self, core: &mut Core, now: u64, host: &impl Host) {
        core.probes_free = self.rules.probes;
        core.probes_under_way = 0;
        core.probes_until = NEVER;
        self.change(core, Mode::HalfOpen, now, host);
    }

    fn issue_probe(&self, core: &mut Core, now: u64) -> Ticket {
        // The time runs from the first probe under way, so that a circuit nobody calls does not
        // reopen by itself and one that hangs cannot be prolonged by others.
        if core.probes_under_way == 0 {
            core.probes_until = now.saturating_add(self.rules.probes_for);
        }
        core.probes_free -= 1;
        core.probes_under_way += 1;
        self.publish(core);
        Ticket { generation: core.generation, is_probe: true }
    }

    fn change(&self, core: &mut Core, to: Mode, at: u64, host: &impl Host) {
        host.changed(Change { from: core.mode, to, at, open_until: core.open_until });
        core.mode = to;
        core.generation += 1;
        self.publish(core);
    }

    fn publish(&self, core: &Core) {
        self.open_until.store(core.open_until, Ordering::Release);
        self.probes_until.store(core.probes_until, Ordering::Release);
        self.word.store(Word::of(core).0, Ordering::Release);
    }
}

impl Core {
    fn refuses(&self, now: u64) -> bool {
        match self.mode {
            Mode::Open => now < self.open_until,
            Mode::HalfOpen => self.probes_free == 0,
            Mode::ForcedOpen => true,
            Mode::Closed | Mode::ForcedClosed | Mode::Disabled => false,
        }
    }

    fn refusal(&self) -> Refusal {
        Refusal { word: Word::of(self), open_until: self.open_until }
    }

    fn end_probe(&mut self) {
        self.probes_under_way -= 1;
        if self.probes_under_way == 0 {
            self.probes_until = NEVER;
        }
    }

    fn holds_probe(&self, ticket: Ticket) -> bool {
        ticket.is_probe && self.mode == Mode::HalfOpen && self.generation == ticket.generation
    }
}

impl Word {
    fn of(core: &Core) -> Self {
        let mode = match core.mode {
            Mode::Closed => 0,
            Mode::ForcedClosed => 1,
            Mode::Disabled => 2,
            Mode::Open => 3,
            Mode::HalfOpen => 4,
            Mode::ForcedOpen => 5,
        };
        let probes = u64::from(core.probes_free.min(PROBES_MAX));
        Self(core.generation << GENERATION_SHIFT | probes << PROBES_SHIFT | mode)
    }

    #[inline]
    pub(crate) fn mode(self) -> Mode {
        match self.0 & MODE_MASK {
            0 => Mode::Closed,
            1 => Mode::ForcedClosed,
            2 => Mode::Disabled,
            3 => Mode::Open,
            4 => Mode::HalfOpen,
            _ => Mode::ForcedOpen,
        }
    }

    #[inline]
    pub(crate) fn generation(self) -> u64 {
        self.0 >> GENERATION_SHIFT
    }

    #[inline]
    fn passes_all(self) -> bool {
        // The three states that let everything pass come first, so that one comparison tells.
        self.0 & MODE_MASK < 3
    }

    #[inline]
    fn probes_free(self) -> u64 {
        self.0 >> PROBES_SHIFT & u64::from(PROBES_MAX)
    }
}

/// The most probes a circuit can admit at once.
pub(crate) const PROBES_MAX: u32 = (1 << (GENERATION_SHIFT - PROBES_SHIFT)) - 1;

const NEVER: u64 = u64::MAX;
const MODE_MASK: u64 = 7;
const PROBES_SHIFT: u32 = 3;
const GENERATION_SHIFT: u32 = 16;
