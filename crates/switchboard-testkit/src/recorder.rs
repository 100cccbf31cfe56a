//! Writes down what lines tell.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use switchboard_core::{Event, Events, Subscription};

/// Everything that was told since it began to listen, in order.
///
/// ```
/// # mod counters {
/// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
/// # }
/// # use counters::{CountersSubsystem, Fixed};
/// use switchboard_core::{ErrorKind, Policy, RetryPolicy};
/// use switchboard_testkit::{Workbench, inject, outage};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> switchboard_core::Result<()> {
/// let bench = Workbench::<CountersSubsystem>::new()?;
/// let policy = Policy { retry: Some(RetryPolicy::default()), ..Policy::default() };
/// let counters = bench.serve("main", Fixed(7), policy)?;
/// let _outage = inject(counters.line(), outage(ErrorKind::Unavailable))?;
///
/// counters.read("visits").await.unwrap_err();
/// assert_eq!(bench.recorder().names(), ["Retrying", "Retrying", "RetryStopped"]);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Recorder {
    /// A test causes as many as it causes; there is no limit to keep.
    heard: Arc<Mutex<Vec<Event>>>,
    _subscription: Subscription,
}

impl Recorder {
    /// Listens from now on.
    #[must_use]
    pub fn new(events: &Events) -> Self {
        let heard = Arc::<Mutex<Vec<Event>>>::default();
        let into = heard.clone();
        Self {
            heard,
            _subscription: events.subscribe(move |event| lock(&into).push(event.clone())),
        }
    }

    /// All events so far.
    pub fn events(&self) -> Vec<Event> {
        lock(&self.heard).clone()
    }

    /// The names of all events so far, as [`Event`] spells them: what most tests compare.
    pub fn names(&self) -> Vec<String> {
        lock(&self.heard).iter().map(name_of).collect()
    }

    /// Forgets what it has heard.
    pub fn clear(&self) {
        lock(&self.heard).clear();
    }
}

/// `Debug` of an enum begins with the name, so that an event of a later version has one too.
fn name_of(event: &Event) -> String {
    format!("{event:?}").chars().take_while(char::is_ascii_alphanumeric).collect()
}

fn lock(heard: &Mutex<Vec<Event>>) -> MutexGuard<'_, Vec<Event>> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}
