//! Who changed what on the board, and when.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use switchboard_core::Result;

use crate::Switchboard;

/// A change of the board, made or tried.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Record {
    /// The number of the record; they count up from 1.
    pub number: u64,
    /// When, in milliseconds since the beginning of 1970.
    pub at_ms: u64,
    /// Who: `code`, `file watcher`, `SIGHUP`, the address of a client.
    pub by: String,
    /// What: `swap`, `reload`, `breaker open`.
    pub action: String,
    /// What it was about: `cache.sessions`, or `board`.
    pub subject: String,
    /// `ok`, or the error.
    pub outcome: String,
}

/// The latest records.
#[derive(Default)]
pub(crate) struct Records(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    last: u64,
    records: VecDeque<Record>,
    listeners: Vec<Listener>,
}

type Listener = Arc<dyn Fn(&Record) + Send + Sync>;

impl Switchboard {
    /// The latest changes, oldest first; at most [`Record::KEPT_MAX`] are kept.
    pub fn records(&self) -> Vec<Record> {
        self.0.records.lock().records.iter().cloned().collect()
    }

    /// Keeps in mind that `by` did `action` to `subject`, and how it went. Also told as a `tracing`
    /// event.
    pub fn record<T>(&self, by: &str, action: &str, subject: &str, outcome: &Result<T>) {
        let outcome = match outcome {
            Ok(_) => {
                tracing::info!(by, action, subject, "the board was changed");
                "ok".to_owned()
            }
            Err(error) => {
                tracing::warn!(by, action, subject, %error, "the board could not be changed");
                error.to_string()
            }
        };
        let at = self.0.environment.clock().wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at_ms = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        let [by, action, subject] = [by, action, subject].map(str::to_owned);
        self.0.records.keep(Record { number: 0, at_ms, by, action, subject, outcome });
    }

    /// Tells `listener` every record from now on, for as long as the board lives. It must not wait.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use switchboard::{Settings, Switchboard};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> switchboard::Result<()> {
    /// let board = Switchboard::builder().build().await?;
    /// let (tell, told) = mpsc::channel();
    /// board.on_record(move |record| drop(tell.send(record.clone())));
    ///
    /// board.swap_by("ada", "cache.main", &Settings::new().with("driver", "null")).await?;
    /// let record = told.recv().expect("it was told");
    /// assert_eq!((record.by.as_str(), record.action.as_str()), ("ada", "swap"));
    /// # board.close(board.close_limit()).await.into_result()
    /// # }
    /// ```
    /// One that panics is told no more.
    pub fn on_record(&self, listener: impl Fn(&Record) + Send + Sync + 'static) {
        self.0.records.lock().listeners.push(Arc::new(listener));
    }
}

impl Records {
    fn keep(&self, mut record: Record) {
        let listeners = {
            let mut kept = self.lock();
            kept.last += 1;
            record.number = kept.last;
            if kept.records.len() == Record::KEPT_MAX {
                kept.records.pop_front();
            }
            kept.records.push_back(record.clone());
            kept.listeners.clone()
        };
        // Without the lock, because a listener may look at the records.
        for listener in listeners {
            let telling = AssertUnwindSafe(|| listener(&record));
            if catch_unwind(telling).is_err() {
                tracing::warn!("a listener of records panicked and is told no more");
                self.lock().listeners.retain(|other| !Arc::ptr_eq(other, &listener));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    /// How many records a board keeps.
    pub const KEPT_MAX: usize = 1_000;

    /// When it was.
    pub fn at(&self) -> SystemTime {
        UNIX_EPOCH + std::time::Duration::from_millis(self.at_ms)
    }
}
