//! What happened on the lines, told to whoever listens.
//!
//! Keeps the order in which things happened, and calls listeners outside every lock. It decides
//! nothing and counts nothing: figures are the line's.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::gates::{BreakerState, Cause, Why};
use crate::sync::Mutex;
use crate::{Error, Gate};

/// Something that happened to an instance and that an operator may want to know.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// Too many calls failed or were slow: the breaker refuses calls for a while.
    #[non_exhaustive]
    BreakerOpened {
        /// Whose breaker.
        source: Source,
        /// How long it refuses calls before it tries again.
        open_for: Duration,
        /// The failure that opened it, when there was one.
        error: Option<Error>,
    },
    /// The breaker lets a few calls through to learn whether the service works again.
    #[non_exhaustive]
    BreakerHalfOpened {
        /// Whose breaker.
        source: Source,
    },
    /// The breaker lets all calls through again.
    #[non_exhaustive]
    BreakerClosed {
        /// Whose breaker.
        source: Source,
    },
    /// Somebody forced the breaker into a state.
    #[non_exhaustive]
    BreakerForced {
        /// Whose breaker.
        source: Source,
        /// The state it stays in until it is reset.
        state: BreakerState,
    },
    /// A call failed and is made again.
    #[non_exhaustive]
    Retrying {
        /// Whose call.
        source: Source,
        /// What was asked.
        operation: &'static str,
        /// How many attempts have failed.
        attempt: u32,
        /// How long until the next one.
        delay: Duration,
        /// Why the last attempt failed.
        error: Error,
    },
    /// A call failed and is not made again, although its gates know how to retry.
    #[non_exhaustive]
    RetryStopped {
        /// Whose call.
        source: Source,
        /// What was asked.
        operation: &'static str,
        /// How many attempts were made.
        attempts: u32,
        /// Why there is no further one.
        why: Why,
        /// Why the last attempt failed.
        error: Error,
    },
    /// An attempt had not answered in time, so another one was started beside it.
    #[non_exhaustive]
    Hedged {
        /// Whose call.
        source: Source,
        /// What was asked.
        operation: &'static str,
        /// How long the first attempt had been running.
        after: Duration,
    },
    /// A gate refused a call, so no backend was asked.
    #[non_exhaustive]
    Refused {
        /// Whose call.
        source: Source,
        /// What was asked.
        operation: &'static str,
        /// Who refused it.
        gate: Gate,
        /// What the caller was told.
        error: Error,
    },
    /// A group went on to another of its members.
    #[non_exhaustive]
    FailedOver {
        /// The group.
        source: Source,
        /// The member that failed.
        from: Arc<str>,
        /// The member that is asked next.
        to: Arc<str>,
        /// Why the first one failed.
        error: Error,
    },
    /// A member of a group kept failing, and is left out for a while.
    #[non_exhaustive]
    Ejected {
        /// The group.
        source: Source,
        /// The member.
        member: Arc<str>,
        /// For how long.
        eject_for: Duration,
        /// The how many-th time, without those that are forgiven.
        times: u32,
        /// The failure that was one too many; none if that was a panic.
        error: Option<Error>,
    },
    /// A member of a group that was ejected gets calls again.
    #[non_exhaustive]
    Returned {
        /// The group.
        source: Source,
        /// The member.
        member: Arc<str>,
    },
    /// A group chooses among other members, or in another way.
    #[non_exhaustive]
    Regrouped {
        /// The group.
        source: Source,
        /// Its members now, in their order.
        members: Arc<[Arc<str>]>,
        /// How it chooses now.
        selector: &'static str,
    },
    /// A call that could not be served was answered in another way.
    #[non_exhaustive]
    FellBack {
        /// Whose call.
        source: Source,
        /// What was asked.
        operation: &'static str,
        /// Why it could not be served.
        cause: Cause,
        /// What the caller would have been told.
        error: Error,
    },
    /// An instance is served by another driver, or by the same one built anew.
    #[non_exhaustive]
    Swapped {
        /// The instance.
        source: Source,
        /// The driver that serves it now.
        driver: Arc<str>,
        /// The number of that driver's life on this line.
        generation: u64,
    },
}

/// Who an event is about; a clone costs one counter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// The subsystem: `cache`.
    pub subsystem: &'static str,
    /// The instance: `sessions`.
    pub instance: Arc<str>,
}

/// Where events are told, and where listeners subscribe. A clone is the same place.
///
/// Listeners get the events one after the other, in the order they happened, on the thread that
/// caused one of them: a slow listener delays that thread, so it should hand long work on. While
/// nobody listens an event costs one load and is never built. At most [`Events::WAITING_MAX`]
/// wait for a slow listener; beyond that the oldest are dropped and [counted](Self::dropped).
#[derive(Clone, Default)]
pub struct Events(Arc<Hub>);

/// Keeps a listener subscribed; dropping it ends that.
///
/// A delivery that is under way on another thread may still reach the listener.
#[must_use = "a listener is unsubscribed when its subscription is dropped"]
pub struct Subscription {
    hub: Weak<Hub>,
    id: u64,
}

#[derive(Default)]
struct Hub {
    has_listeners: AtomicBool,
    dropped: AtomicU64,
    listeners: Mutex<Listeners>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Listeners {
    id_next: u64,
    list: Arc<[Listener]>,
}

#[derive(Clone)]
struct Listener {
    id: u64,
    hear: Arc<dyn Fn(&Event) + Send + Sync>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Event>,
    /// Whether a thread is delivering; it goes on until nothing waits.
    is_delivering: bool,
}

impl Events {
    /// How many events may wait for listeners that are slower than what happens.
    pub const WAITING_MAX: usize = 1024;

    /// Nobody listens yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls `listener` with every event from now on, until the subscription is dropped.
    ///
    /// A listener may cause events, subscribe and unsubscribe: events it causes follow when it has
    /// returned. If it panics, the others and later events are not affected.
    pub fn subscribe(&self, listener: impl Fn(&Event) + Send + Sync + 'static) -> Subscription {
        let hear = Arc::new(listener);
        let mut listeners = self.0.listeners.lock();
        let id = listeners.id_next;
        listeners.id_next += 1;
        let added = [Listener { id, hear }];
        listeners.list = listeners.list.iter().cloned().chain(added).collect();
        self.0.has_listeners.store(true, Ordering::Relaxed);
        Subscription { hub: Arc::downgrade(&self.0), id }
    }

    /// How many events were dropped, because listeners were slower than what happened.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Tells the listeners; `event` is built only if there are any.
    #[inline]
    pub fn emit(&self, event: impl FnOnce() -> Event) {
        if self.has_listeners() {
            self.queue(event);
            self.deliver();
        }
    }

    /// Whether anybody would hear an event.
    #[inline]
    pub fn has_listeners(&self) -> bool {
        self.0.has_listeners.load(Ordering::Relaxed)
    }

    /// Lines an event up without telling anybody yet.
    ///
    /// Called under the lock that decides the order of things; whoever calls it delivers after
    /// that lock is released.
    pub(crate) fn queue(&self, event: impl FnOnce() -> Event) {
        if !self.has_listeners() {
            return;
        }
        let event = event();
        let oldest = {
            let mut queue = self.0.queue.lock();
            let is_full = queue.waiting.len() >= Self::WAITING_MAX;
            let oldest = if is_full { queue.waiting.pop_front() } else { None };
            queue.waiting.push_back(event);
            oldest
        };
        // Dropped outside the lock, because the errors in it may hold anything.
        if oldest.is_some() {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Tells what waits, unless a thread is doing so already: that one goes on to the end.
    pub(crate) fn deliver(&self) {
        if !self.has_listeners() {
            return;
        }
        let mut next = self.0.start_delivery();
        while let Some(event) = next {
            self.0.tell(&event);
            next = self.0.next_in_delivery();
        }
    }
}

impl Hub {
    fn start_delivery(&self) -> Option<Event> {
        let mut queue = self.queue.lock();
        if queue.is_delivering {
            return None;
        }
        let event = queue.waiting.pop_front();
        queue.is_delivering = event.is_some();
        event
    }

    fn next_in_delivery(&self) -> Option<Event> {
        let mut queue = self.queue.lock();
        let event = queue.waiting.pop_front();
        queue.is_delivering = event.is_some();
        event
    }

    fn tell(&self, event: &Event) {
        let listeners = Arc::clone(&self.listeners.lock().list);
        for listener in listeners.iter() {
            let heard = catch_unwind(AssertUnwindSafe(|| (listener.hear)(event)));
            if heard.is_err() {
                tracing::error!(source = %event.source(), "a listener of events panicked");
            }
        }
    }

    fn unsubscribe(&self, id: u64) {
        let before = {
            let mut listeners = self.listeners.lock();
            let left: Arc<[Listener]> =
                listeners.list.iter().filter(|listener| listener.id != id).cloned().collect();
            self.has_listeners.store(!left.is_empty(), Ordering::Relaxed);
            std::mem::replace(&mut listeners.list, left)
        };
        // Outside the lock, because what a listener holds may unsubscribe others when it goes.
        drop(before);
    }
}

impl Event {
    /// Who the event is about.
    pub fn source(&self) -> &Source {
        match self {
            Self::BreakerOpened { source, .. }
            | Self::BreakerHalfOpened { source }
            | Self::BreakerClosed { source }
            | Self::BreakerForced { source, .. }
            | Self::Retrying { source, .. }
            | Self::RetryStopped { source, .. }
            | Self::Hedged { source, .. }
            | Self::Refused { source, .. }
            | Self::FailedOver { source, .. }
            | Self::Ejected { source, .. }
            | Self::Returned { source, .. }
            | Self::Regrouped { source, .. }
            | Self::FellBack { source, .. }
            | Self::Swapped { source, .. } => source,
        }
    }
}

impl Source {
    /// The instance `instance` of `subsystem`.
    pub fn new(subsystem: &'static str, instance: impl Into<Arc<str>>) -> Self {
        Self { subsystem, instance: instance.into() }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.subsystem, self.instance)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("listeners", &self.0.listeners.lock().list.len())
            .field("dropped", &self.dropped())
            .finish()
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.upgrade() {
            hub.unsubscribe(self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    type Heard = Arc<Mutex<Vec<u64>>>;

    fn swapped(generation: u64) -> Event {
        Event::Swapped { source: Source::new("cache", "main"), driver: "memory".into(), generation }
    }

    fn number(event: &Event) -> u64 {
        let Event::Swapped { generation, .. } = event else { panic!("not one of ours: {event:?}") };
        *generation
    }

    fn collect(events: &Events) -> (Heard, Subscription) {
        let heard = Heard::default();
        let into = Arc::clone(&heard);
        (heard, events.subscribe(move |event| into.lock().push(number(event))))
    }

    #[test]
    fn an_event_nobody_hears_is_not_built() {
        let events = Events::new();
        events.emit(|| panic!("built for nobody"));
        let (heard, subscription) = collect(&events);
        events.emit(|| swapped(1));
        drop(subscription);
        events.emit(|| panic!("built for nobody"));
        assert_eq!(*heard.lock(), [1]);
    }

    #[test]
    fn events_arrive_in_the_order_they_were_queued_under_a_lock() {
        let events = Events::new();
        let (heard, _subscription) = collect(&events);
        let counter = Mutex::new(0);
        let barrier = Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    barrier.wait();
                    for _ in 0..200 {
                        let mut counter = counter.lock();
                        *counter += 1;
                        events.queue(|| swapped(*counter));
                        drop(counter);
                        events.deliver();
                    }
                });
            }
        });
        assert_eq!(*heard.lock(), (1..=800).collect::<Vec<_>>());
        assert_eq!(events.dropped(), 0);
    }

    #[test]
    fn a_listener_that_panics_hurts_nobody_else() {
        let events = Events::new();
        let _bad = events.subscribe(|_| panic!("on purpose"));
        let (heard, _good) = collect(&events);
        events.emit(|| swapped(1));
        events.emit(|| swapped(2));
        assert_eq!(*heard.lock(), [1, 2]);
    }

    #[test]
    fn what_a_listener_causes_follows_when_it_has_returned() {
        let events = Events::new();
        let hub = events.clone();
        let _causing = events.subscribe(move |event| {
            if number(event) == 1 {
                hub.emit(|| swapped(2));
                hub.emit(|| swapped(3));
            }
        });
        let (heard, _subscription) = collect(&events);
        events.emit(|| swapped(1));
        assert_eq!(*heard.lock(), [1, 2, 3]);
    }

    #[test]
    fn a_listener_may_unsubscribe_itself() {
        let events = Events::new();
        let own: Arc<Mutex<Option<Subscription>>> = Arc::default();
        let (heard, mine) = (Heard::default(), Arc::clone(&own));
        let into = Arc::clone(&heard);
        *own.lock() = Some(events.subscribe(move |event| {
            into.lock().push(number(event));
            let subscription = mine.lock().take();
            drop(subscription);
        }));
        events.emit(|| swapped(1));
        events.emit(|| swapped(2));
        assert_eq!(*heard.lock(), [1]);
        assert!(!events.has_listeners());
    }

    #[test]
    fn beyond_the_limit_the_oldest_events_are_dropped_and_counted() {
        let events = Events::new();
        let (heard, _subscription) = collect(&events);
        for number in 0..Events::WAITING_MAX as u64 + 10 {
            events.queue(|| swapped(number));
        }
        events.deliver();
        assert_eq!(events.dropped(), 10);
        assert_eq!(heard.lock().len(), Events::WAITING_MAX);
        assert_eq!(heard.lock().first(), Some(&10));
    }
}
