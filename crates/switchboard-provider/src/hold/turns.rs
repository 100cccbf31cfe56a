//! Lets the calls of one key take turns, in the order in which they came.
//!
//! Calls of different keys do not meet, but for the moment in which they come and go. A key that
//! nobody waits for leaves nothing behind.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use switchboard_core::{Error, Gate, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The turns of all keys that are in use, shared by its clones.
///
/// Those of one memory belong where the memory is: kept beside its contexts, outside of the factory
/// that builds providers with it, so that what a swap replaces and what takes its place take turns
/// too, as do all instances that share the contexts.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use switchboard_core::{
///     Clock, Effect, Environment, Manager, NoSettings, Op, Registry, Result, Settings, Subsystem,
/// };
/// use switchboard_provider::hold::turns::Turns;
/// use switchboard_provider::{Answered, MemoryContexts, Stateful, Turn};
/// use switchboard_provider::{RequestResponse, Requester, function, request_response};
///
/// # struct Counters;
/// # impl Subsystem for Counters {
/// #     const NAME: &'static str = "counters";
/// #     const OPERATIONS: &'static [Op] = request_response::operations(Effect::Unsafe);
/// #     type Driver = dyn RequestResponse<String, u32>;
/// #     type Handle = Requester<Self>;
/// #     fn register_built_ins(_registry: &Registry<Self>) -> Result<()> { Ok(()) }
/// # }
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<()> {
/// let contexts = Arc::new(MemoryContexts::<u32>::new(Clock::system()));
/// let turns = Turns::default();
/// let counters = Manager::<Counters>::new(Registry::empty(), &Environment::new())?;
/// counters.registry().register("slow", move |_: NoSettings, _| {
///     let slow = function::request_response("slow", |turn: Turn<String, u32>| async move {
///         tokio::time::sleep(Duration::from_secs(1)).await;
///         let count = turn.context.unwrap_or(0) + 1;
///         Ok(Answered::save(count, count))
///     });
///     let slow = Stateful::new(slow, contexts.clone(), |name: &String| name.clone());
///     let slow = slow.one_at_a_time_with(&turns);
///     async { Ok(slow) }
/// })?;
/// let settings = Settings::new().with("driver", "slow");
/// let main = counters.initialise("main", &settings).await?;
///
/// let before = main.execute("ada".to_owned());
/// let swap_and_ask = async {
///     tokio::time::sleep(Duration::from_millis(10)).await;
///     counters.swap("main", &settings).await?;
///     main.execute("ada".to_owned()).await
/// };
/// let (before, after) = tokio::join!(before, swap_and_ask);
/// assert_eq!((before?, after?), (1, 2));
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct Turns {
    queues: Arc<Mutex<Queues>>,
}

#[derive(Default)]
struct Queues {
    by_key: HashMap<Arc<str>, Queue>,
    /// How many calls there are in all of them.
    calls: usize,
}

struct Queue {
    turn: Arc<Semaphore>,
    calls: usize,
}

/// The place of a call in the queue of its key, given up when dropped.
pub(super) struct Place<'t> {
    turns: &'t Turns,
    key: Arc<str>,
    turn: Arc<Semaphore>,
    /// There once it is this call's turn.
    permit: Option<OwnedSemaphorePermit>,
}

impl Turns {
    /// How many calls may be under way and wait in all; what comes on top is refused as `Overloaded`.
    pub const CALLS_MAX: usize = 10_000;

    /// Ends when it is the turn of this call, which lasts until the answer is dropped.
    pub(super) async fn take(&self, key: &str) -> Result<Place<'_>> {
        let mut place = self.join(key)?;
        // Nobody closes it.
        place.permit = place.turn.clone().acquire_owned().await.ok();
        Ok(place)
    }

    fn join(&self, key: &str) -> Result<Place<'_>> {
        let key: Arc<str> = key.into();
        let mut queues = self.queues();
        if queues.calls >= Self::CALLS_MAX {
            return Err(Error::refused(Gate::Bulkhead, "too many calls wait for their turn")
                .with_context("limit", Self::CALLS_MAX));
        }
        queues.calls += 1;
        let queue = queues.by_key.entry(key.clone()).or_insert_with(Queue::new);
        queue.calls += 1;
        let turn = queue.turn.clone();
        Ok(Place { turns: self, key, turn, permit: None })
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        // Nothing that could panic is done while it is held.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn new() -> Self {
        Self { turn: Arc::new(Semaphore::new(1)), calls: 0 }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // Whoever comes next is woken outside of the lock.
        drop(self.permit.take());
        let mut queues = self.turns.queues();
        queues.calls -= 1;
        if let Entry::Occupied(mut queue) = queues.by_key.entry(self.key.clone()) {
            queue.get_mut().calls -= 1;
            if queue.get().calls == 0 {
                queue.remove();
            }
        }
    }
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queues = self.queues();
        f.debug_struct("Turns")
            .field("keys", &queues.by_key.len())
            .field("calls", &queues.calls)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use switchboard_core::ErrorKind;

    use super::*;

    #[tokio::test]
    async fn calls_of_one_key_take_turns_as_they_came_and_others_do_not_wait() {
        let turns = Turns::default();
        let first = turns.take("ada").await.unwrap();
        let mut second = Box::pin(turns.take("ada"));
        let mut third = Box::pin(turns.take("ada"));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        drop(turns.take("bob").now_or_never().expect("nobody is there").unwrap());

        drop(first);
        assert!(third.as_mut().now_or_never().is_none(), "the second came before");
        drop(second);
        drop(third.now_or_never().expect("the one before it has gone").unwrap());
    }

    #[tokio::test]
    async fn keys_that_are_not_in_use_leave_nothing_behind() {
        let turns = Turns::default();
        for key in 0..100 {
            let key = key.to_string();
            let place = turns.take(&key).await.unwrap();
            let mut waiting = Box::pin(turns.take(&key));
            assert!(waiting.as_mut().now_or_never().is_none());
            drop((place, waiting));
        }
        assert_eq!(format!("{turns:?}"), "Turns { keys: 0, calls: 0 }");
    }

    #[tokio::test]
    async fn no_more_calls_wait_than_there_is_room_for() {
        let turns = Turns::default();
        let places: Vec<_> = (0..Turns::CALLS_MAX).map(|_| turns.join("ada").unwrap()).collect();
        let refused = turns.take("bob").await.map(drop).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Overloaded);
        drop(places);
        drop(turns.take("bob").await.unwrap());
    }
}
