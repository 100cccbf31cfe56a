//! The slots of a bulkhead and the queue for them.
//!
//! Knows nothing of time, errors or permits. Built on `crate::sync` alone, so that the model tests
//! compile this very file over loom's lock and atomics.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use crate::sync::Mutex;
use crate::sync::atomic::AtomicU64;
use crate::sync::atomic::Ordering::{AcqRel, Acquire};

/// A number of slots that are taken and given back, and a bounded queue for whoever finds none.
///
/// Taking and giving back are one exchange of `state` while nobody waits. While somebody waits only
/// the holder of the lock changes it, and a slot that comes free goes to the front of the queue
/// without becoming free in between; so nobody overtakes.
#[derive(Debug)]
pub(crate) struct Slots {
    state: AtomicU64,
    queue: Mutex<Queue>,
}

/// Places in the order of their tickets; as many as `state` counts whenever the lock is free.
#[derive(Debug)]
struct Queue {
    places: VecDeque<Place>,
    places_max: u32,
    next_ticket: u64,
}

#[derive(Debug)]
struct Place {
    ticket: u64,
    waker: Waker,
}

/// One wait for a slot. Whoever drops it leaves the queue, and passes on a slot that came too late.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    slots: &'a Slots,
    ticket: Option<u64>,
}

/// The queue takes no more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

enum Entry {
    Taken,
    Queued(u64),
    Full,
}

impl Slots {
    /// Takes as many slots as [`SLOTS_MAX`] and as many places as [`PLACES_MAX`] at the most.
    pub(crate) fn new(slots_max: u32, places_max: u32) -> Self {
        let queue = Queue { places: VecDeque::new(), places_max, next_ticket: 0 };
        let state = State(0).with_slots_max(slots_max);
        Self { state: AtomicU64::new(state.0), queue: Mutex::new(queue) }
    }

    pub(crate) fn in_use(&self) -> u32 {
        self.load().in_use()
    }

    pub(crate) fn max(&self) -> u32 {
        self.load().slots_max()
    }

    pub(crate) fn waiting(&self) -> u32 {
        self.load().waiting()
    }

    /// Takes a slot if one is free and nobody waits for it.
    #[inline]
    pub(crate) fn try_take(&self) -> bool {
        let mut state = self.load();
        while state.has_room() {
            match self.swap(state, state.take()) {
                Ok(()) => return true,
                Err(seen) => state = seen,
            }
        }
        false
    }

    /// Starts to wait for a slot; the place in the queue is taken at the first poll.
    pub(crate) fn turn(&self) -> Turn<'_> {
        Turn { slots: self, ticket: None }
    }

    /// Gives a slot back, to the front of the queue if there is one.
    #[inline]
    pub(crate) fn give_back(&self) {
        let mut state = self.load();
        while state.waiting() == 0 {
            match self.swap(state, state.give()) {
                Ok(()) => return,
                Err(seen) => state = seen,
            }
        }
        self.hand_on();
    }

    /// Goes on with other bounds. Slots that are taken and places in the queue stay; a surplus goes
    /// as slots are given back. Whoever raises the bound [hands out](Self::hand_out) what is new.
    pub(crate) fn set_bounds(&self, slots_max: u32, places_max: u32) {
        let mut queue = self.queue.lock();
        queue.places_max = places_max;
        self.update(|state| Some(state.with_slots_max(slots_max)));
    }

    /// Gives the slots that are free to those who wait.
    pub(crate) fn hand_out(&self) {
        while let Some(waker) = self.hand_free() {
            waker.wake();
        }
    }

    #[cold]
    fn hand_on(&self) {
        let waker = {
            let mut queue = self.queue.lock();
            let before = self
                .update(|state| Some(if state.hands_on() { state.leave() } else { state.give() }));
            before.filter(|before| before.hands_on()).and_then(|_| queue.pop())
        };
        // Outside the lock: waking runs code of whoever made the waker.
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Gives a slot that is free to the front of the queue.
    fn hand_free(&self) -> Option<Waker> {
        let mut queue = self.queue.lock();
        self.update(|state| state.is_stalled().then(|| state.leave().take()))?;
        queue.pop()
    }

    fn join(&self, waker: Waker) -> Entry {
        let mut queue = self.queue.lock();
        let places_max = queue.places_max;
        let before = self.update(|state| match state {
            _ if state.has_room() => Some(state.take()),
            _ if state.waiting() < places_max => Some(state.join()),
            _ => None,
        });
        match before {
            Some(before) if before.has_room() => Entry::Taken,
            Some(_) => Entry::Queued(queue.push(waker)),
            None => Entry::Full,
        }
    }

    /// Whether the ticket still waits; `waker` is the one to wake from now on.
    fn is_queued(&self, ticket: u64, waker: &Waker) -> bool {
        let mut waker = waker.clone();
        let mut queue = self.queue.lock();
        let Some(place) = queue.place(ticket) else { return false };
        std::mem::swap(&mut place.waker, &mut waker);
        // The old waker may own a task that owns a permit, whose drop takes this lock.
        drop(queue);
        drop(waker);
        true
    }

    /// Leaves the queue, or passes on the slot that was handed over in the meantime.
    fn leave(&self, ticket: u64) {
        let place = {
            let mut queue = self.queue.lock();
            let place = queue.remove(ticket);
            if place.is_some() {
                self.update(|state| Some(state.leave()));
            }
            place
        };
        if place.is_none() {
            self.give_back();
        }
    }

    /// The state before the change, or nothing if `change` wants none.
    fn update(&self, change: impl Fn(State) -> Option<State>) -> Option<State> {
        let mut state = self.load();
        loop {
            match self.swap(state, change(state)?) {
                Ok(()) => return Some(state),
                Err(seen) => state = seen,
            }
        }
    }

    #[inline]
    fn load(&self) -> State {
        State(self.state.load(Acquire))
    }

    #[inline]
    fn swap(&self, from: State, to: State) -> Result<(), State> {
        self.state.compare_exchange_weak(from.0, to.0, AcqRel, Acquire).map(drop).map_err(State)
    }
}

impl Turn<'_> {
    /// Ready with a slot once it is this one's turn, or at once if the queue takes no more.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Full>> {
        let Some(ticket) = self.ticket else { return self.join(context) };
        if self.slots.is_queued(ticket, context.waker()) {
            return Poll::Pending;
        }
        self.ticket = None;
        Poll::Ready(Ok(()))
    }

    fn join(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Full>> {
        match self.slots.join(context.waker().clone()) {
            Entry::Taken => Poll::Ready(Ok(())),
            Entry::Full => Poll::Ready(Err(Full)),
            Entry::Queued(ticket) => {
                self.ticket = Some(ticket);
                Poll::Pending
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.slots.leave(ticket);
        }
    }
}

impl Queue {
    fn push(&mut self, waker: Waker) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.places.push_back(Place { ticket, waker });
        ticket
    }

    fn pop(&mut self) -> Option<Waker> {
        self.places.pop_front().map(|place| place.waker)
    }

    fn place(&mut self, ticket: u64) -> Option<&mut Place> {
        let index = self.index(ticket)?;
        self.places.get_mut(index)
    }

    fn remove(&mut self, ticket: u64) -> Option<Place> {
        let index = self.index(ticket)?;
        self.places.remove(index)
    }

    fn index(&self, ticket: u64) -> Option<usize> {
        self.places.binary_search_by_key(&ticket, |place| place.ticket).ok()
    }
}

/// In use, waiting and the most in use, in one word, so that each decision sees all three.
#[derive(Clone, Copy)]
struct State(u64);

#[expect(clippy::cast_possible_truncation, reason = "each part is masked to its own bits")]
impl State {
    const fn in_use(self) -> u32 {
        (self.0 & SLOTS_MAX as u64) as u32
    }

    const fn waiting(self) -> u32 {
        ((self.0 >> WAITING_SHIFT) & PLACES_MAX as u64) as u32
    }

    const fn slots_max(self) -> u32 {
        (self.0 >> SLOTS_MAX_SHIFT) as u32
    }

    /// A slot is free, and nobody waits for it.
    const fn has_room(self) -> bool {
        self.waiting() == 0 && self.in_use() < self.slots_max()
    }

    /// Somebody waits although a slot is free: the moment after the bulkhead has grown.
    const fn is_stalled(self) -> bool {
        self.waiting() > 0 && self.in_use() < self.slots_max()
    }

    /// A slot that is given back goes to somebody who waits, as it is no surplus.
    const fn hands_on(self) -> bool {
        self.waiting() > 0 && self.in_use() <= self.slots_max()
    }

    const fn take(self) -> Self {
        Self(self.0 + 1)
    }

    const fn give(self) -> Self {
        Self(self.0 - 1)
    }

    const fn join(self) -> Self {
        Self(self.0 + (1 << WAITING_SHIFT))
    }

    const fn leave(self) -> Self {
        Self(self.0 - (1 << WAITING_SHIFT))
    }

    const fn with_slots_max(self, slots_max: u32) -> Self {
        let others = self.0 & ((1 << SLOTS_MAX_SHIFT) - 1);
        Self(others | ((slots_max as u64) << SLOTS_MAX_SHIFT))
    }
}

/// What 24 bits hold.
pub(crate) const SLOTS_MAX: u32 = (1 << 24) - 1;
/// What 16 bits hold.
pub(crate) const PLACES_MAX: u32 = (1 << 16) - 1;
const WAITING_SHIFT: u32 = 24;
const SLOTS_MAX_SHIFT: u32 = 40;
