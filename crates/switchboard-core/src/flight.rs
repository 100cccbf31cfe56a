//! Create once: of any number of callers one does the work, the others wait for it.
//!
//! Knows nothing about instances. A leader that fails hands its error to those who waited and to
//! nobody else; a leader that panics or is dropped lets one of them lead. Checked under every
//! interleaving by `tests/model_flight.rs`, which is why it uses nothing but `crate::sync`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::sync::Mutex;

/// The place where callers meet.
pub(crate) struct Flight<E> {
    current: Mutex<Option<Arc<Landing<E>>>>,
}

/// What a caller finds.
pub(crate) enum Boarding<E: Clone> {
    /// Nobody is at work: this caller is now.
    Lead(Leader<E>),
    /// Somebody is at work.
    Wait(Landed<E>),
}

/// How the work of a leader ended, as those who waited see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome<E> {
    /// It is done.
    Done,
    /// It failed.
    Failed(E),
    /// The leader went away; somebody else may try.
    Abandoned,
}

/// The right to do the work; given up when dropped.
pub(crate) struct Leader<E: Clone> {
    flight: Arc<Flight<E>>,
    /// What those who wait are told when this is dropped.
    outcome: Outcome<E>,
}

/// Waits for a leader.
pub(crate) struct Landed<E> {
    landing: Arc<Landing<E>>,
    place: Option<u64>,
}

struct Landing<E> {
    state: Mutex<State<E>>,
}

struct State<E> {
    outcome: Option<Outcome<E>>,
    waiting: Vec<(u64, Waker)>,
    next_place: u64,
}

impl<E: Clone> Flight<E> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { current: Mutex::new(None) })
    }

    /// Leads, or waits for who leads.
    pub(crate) fn board(self: &Arc<Self>) -> Boarding<E> {
        let mut current = self.current.lock();
        if let Some(landing) = &*current {
            return Boarding::Wait(Landed { landing: landing.clone(), place: None });
        }
        *current = Some(Landing::new());
        Boarding::Lead(Leader { flight: self.clone(), outcome: Outcome::Abandoned })
    }

    /// Leads as soon as nobody else does.
    pub(crate) async fn lead(self: &Arc<Self>) -> Leader<E> {
        loop {
            match self.board() {
                Boarding::Lead(leader) => return leader,
                Boarding::Wait(landed) => drop(landed.await),
            }
        }
    }

    /// Sends those who wait on their way, because what they wait for is there by other means.
    ///
    /// The leader goes on, and who boards from now on waits for it: there is never a second one.
    pub(crate) fn overtake(&self) {
        let overtaken = {
            let mut current = self.current.lock();
            current.as_mut().map(|landing| std::mem::replace(landing, Landing::new()))
        };
        if let Some(landing) = overtaken {
            landing.land(Outcome::Done);
        }
    }
}

impl<E: Clone> Leader<E> {
    /// Says how the work ended.
    pub(crate) fn land(mut self, outcome: Outcome<E>) {
        self.outcome = outcome;
    }
}

impl<E: Clone> Drop for Leader<E> {
    /// Callers that come from now on meet a new flight; those who waited hear of this one.
    fn drop(&mut self) {
        let landing = self.flight.current.lock().take();
        if let Some(landing) = landing {
            landing.land(std::mem::replace(&mut self.outcome, Outcome::Abandoned));
        }
    }
}

impl<E> Landing<E> {
    fn new() -> Arc<Self> {
        let state = State { outcome: None, waiting: Vec::new(), next_place: 0 };
        Arc::new(Self { state: Mutex::new(state) })
    }

    fn land(&self, outcome: Outcome<E>) {
        let woken = {
            let mut state = self.state.lock();
            state.outcome = Some(outcome);
            std::mem::take(&mut state.waiting)
        };
        for (_, waker) in woken {
            waker.wake();
        }
    }
}

impl<E: Clone> Future for Landed<E> {
    type Output = Outcome<E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let landing = self.landing.clone();
        let mut state = landing.state.lock();
        if let Some(outcome) = &state.outcome {
            return Poll::Ready(outcome.clone());
        }
        let waker = context.waker().clone();
        let known = self
            .place
            .and_then(|place| state.waiting.iter_mut().find(|(waiting, _)| *waiting == place));
        if let Some((_, known)) = known {
            *known = waker;
        } else {
            let place = state.next_place;
            state.next_place += 1;
            state.waiting.push((place, waker));
            self.place = Some(place);
        }
        Poll::Pending
    }
}

impl<E> Drop for Landed<E> {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        self.landing.state.lock().waiting.retain(|(waiting, _)| *waiting != place);
    }
}
