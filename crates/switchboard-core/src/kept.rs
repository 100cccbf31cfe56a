//! A value that is made when it is first wanted, kept, and made anew once it was forgotten.
//!
//! Knows nothing about what it keeps: how long making may take and what is to be done with a value
//! that was forgotten is the owner's. Checked under every interleaving by `tests/model_kept.rs`,
//! which is why it uses nothing but `crate::sync` and `crate::flight`.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use crate::flight::{Boarding, Flight, Leader, Outcome};
use crate::sync::Mutex;

/// At most one value, which callers share and which one of them makes when there is none.
///
/// Those who wait for a making that fails get its error; the next caller tries again. When the
/// caller that makes it is dropped or panics, one of those who waited makes it. A value that was
/// begun before [`forget`](Self::forget) is given to the caller that made it and not kept; one that
/// comes after [`close`](Self::close) is dropped, so that what a value needs at its end belongs into
/// its `Drop`.
///
/// ```
/// use switchboard_core::{Error, Kept};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), switchboard_core::Unmade<Error>> {
/// let session = Kept::new();
/// let first = session.get_or_make(|| async { Ok::<_, Error>("first".to_owned()) }).await?;
/// let again = session.get_or_make(|| async { Ok("never made".to_owned()) }).await?;
/// assert_eq!((first.as_str(), again.as_str()), ("first", "first"));
///
/// assert!(session.forget_if(&first).is_some());
/// assert!(session.forget_if(&first).is_none(), "another one is there, or none");
/// let second = session.get_or_make(|| async { Ok("second".to_owned()) }).await?;
/// assert_eq!(second.as_str(), "second");
/// # Ok(()) }
/// ```
pub struct Kept<T, E> {
    state: Mutex<State<T>>,
    flight: Arc<Flight<E>>,
}

/// Why there is no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmade<E> {
    /// Making it failed.
    Failed(E),
    /// None is made any more.
    Closed,
}

struct State<T> {
    place: Place<T>,
    /// How often a value was forgotten; what was begun before belongs to the past.
    age: u64,
}

enum Place<T> {
    Vacant,
    Taken(Arc<T>),
    Closed,
}

impl<T, E: Clone> Kept<T, E> {
    /// Nothing, so far.
    pub fn new() -> Self {
        let state = State { place: Place::Vacant, age: 0 };
        Self { state: Mutex::new(state), flight: Flight::new() }
    }

    /// The value, if there is one.
    pub fn value(&self) -> Option<Arc<T>> {
        match &self.state.lock().place {
            Place::Taken(value) => Some(value.clone()),
            Place::Vacant | Place::Closed => None,
        }
    }

    /// The value, made by this caller or by one that came before it if there is none.
    pub async fn get_or_make<F, Fut>(&self, make: F) -> Result<Arc<T>, Unmade<E>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        loop {
            if let Some(found) = self.look() {
                return found;
            }
            match self.flight.board() {
                Boarding::Lead(leader) => return self.lead(leader, make).await,
                // The leader may have finished between looking and boarding.
                Boarding::Wait(_) if self.look().is_some() => {}
                Boarding::Wait(landed) => match landed.await {
                    Outcome::Done | Outcome::Abandoned => {}
                    Outcome::Failed(error) => return Err(Unmade::Failed(error)),
                },
            }
        }
    }

    /// Takes the value out, so that the next caller makes another one. What is being made at the
    /// moment is not kept either.
    pub fn forget(&self) -> Option<Arc<T>> {
        let mut state = self.state.lock();
        if matches!(state.place, Place::Closed) {
            return None;
        }
        state.age += 1;
        state.take()
    }

    /// Takes the value out if it is the very one that is meant; of several callers that saw the same
    /// one break, one takes it out.
    pub fn forget_if(&self, meant: &Arc<T>) -> Option<Arc<T>> {
        let mut state = self.state.lock();
        match &state.place {
            Place::Taken(value) if Arc::ptr_eq(value, meant) => {
                state.age += 1;
                state.take()
            }
            _ => None,
        }
    }

    /// Takes the value out for good: none is made or kept from now on, and whoever waits for one
    /// is told.
    pub fn close(&self) -> Option<Arc<T>> {
        let value = {
            let mut state = self.state.lock();
            let value = state.take();
            state.place = Place::Closed;
            value
        };
        self.flight.overtake();
        value
    }

    /// What there is to answer without making anything.
    fn look(&self) -> Option<Result<Arc<T>, Unmade<E>>> {
        self.state.lock().found()
    }

    /// The age that a value begun now belongs to, or what there is to answer without making one.
    fn begin(&self) -> Result<u64, Result<Arc<T>, Unmade<E>>> {
        // Under one lock: a value that came and was forgotten in between would make what is begun
        // here one of the past.
        let state = self.state.lock();
        state.found().map_or(Ok(state.age), Err)
    }

    async fn lead<F, Fut>(&self, leader: Leader<E>, make: F) -> Result<Arc<T>, Unmade<E>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let age = match self.begin() {
            Ok(age) => age,
            // Between looking and leading, somebody else had finished.
            Err(found) => {
                leader.land(Outcome::Done);
                return found;
            }
        };
        match make().await {
            Ok(value) => {
                let settled = self.settle(Arc::new(value), age);
                leader.land(Outcome::Done);
                settled
            }
            Err(error) => {
                let is_past = self.state.lock().age != age;
                // Who came after the forgetting asked for something this failure says nothing of.
                let outcome =
                    if is_past { Outcome::Abandoned } else { Outcome::Failed(error.clone()) };
                leader.land(outcome);
                Err(Unmade::Failed(error))
            }
        }
    }

    /// Keeps the value, unless times have changed since it was begun.
    fn settle(&self, value: Arc<T>, age: u64) -> Result<Arc<T>, Unmade<E>> {
        let mut state = self.state.lock();
        match state.place {
            Place::Closed => Err(Unmade::Closed),
            Place::Vacant if state.age == age => {
                state.place = Place::Taken(value.clone());
                Ok(value)
            }
            Place::Vacant | Place::Taken(_) => Ok(value),
        }
    }
}

impl<T> State<T> {
    fn found<E>(&self) -> Option<Result<Arc<T>, Unmade<E>>> {
        match &self.place {
            Place::Taken(value) => Some(Ok(value.clone())),
            Place::Closed => Some(Err(Unmade::Closed)),
            Place::Vacant => None,
        }
    }

    fn take(&mut self) -> Option<Arc<T>> {
        match std::mem::replace(&mut self.place, Place::Vacant) {
            Place::Taken(value) => Some(value),
            Place::Vacant => None,
            Place::Closed => {
                self.place = Place::Closed;
                None
            }
        }
    }
}

impl<T, E: Clone> Default for Kept<T, E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, E> fmt::Debug for Kept<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.state.lock().place {
            Place::Vacant => "vacant",
            Place::Taken(_) => "taken",
            Place::Closed => "closed",
        };
        f.debug_tuple("Kept").field(&place).finish()
    }
}
