//! The two ends of a connection: its user, who awaits, and its thread, where SQLite blocks.
//!
//! Orders go through a channel, each with a way for its answer. Both ends look for a moment before they
//! sleep, because to wake a thread takes several times as long as SQLite needs for one row.

use std::any::type_name;
use std::fmt;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rusqlite::InterruptHandle;
use switchboard_core::{Clock, Error, ErrorKind, Reply, Result};
use tokio::sync::oneshot;

use super::engine::{Asked, Engine};
use crate::{Columns, Done, Row, Rows, State};

/// The connection of `rusqlite` on its thread: what [`Connection::native`](crate::Connection::native) of
/// this driver is.
///
/// ```
/// use switchboard_core::Result;
/// use switchboard_database::Connection;
/// use switchboard_database::drivers::sqlite::Native;
///
/// async fn pages(connection: &mut dyn Connection) -> Result<i64> {
///     let native = connection.native().downcast_mut::<Native>().expect("a connection of SQLite");
///     let pages = native.call(|sqlite| sqlite.query_row("pragma page_count", [], |row| row.get(0)));
///     Ok(pages.await?.expect("an open database has pages"))
/// }
/// ```
pub struct Native {
    orders: Sender<Order>,
    shared: Arc<Shared>,
    thread: Thread,
    /// An order was given, and its answer was not received.
    is_asking: bool,
}

impl Native {
    /// Runs `work` on the thread of the connection, and answers what it answers.
    ///
    /// Dropped, it stops nothing by itself: what runs is stopped when the connection is recovered or
    /// dropped. A panic in `work` ends the connection.
    pub fn call<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut rusqlite::Connection) -> T + Send + 'static,
    ) -> Reply<'_, T> {
        self.ask(move |engine| Ok(work(engine.connection())))
    }

    /// A thread of its own on which `open` makes the engine, and when that is done.
    pub(super) async fn start(
        name: String,
        clock: Clock,
        open: impl FnOnce(Arc<Shared>) -> Result<Engine> + Send + 'static,
    ) -> Result<Self> {
        let shared = Arc::new(Shared::new(clock));
        let (orders, received) = mpsc::channel();
        let (reply, answer) = oneshot::channel();
        let served = shared.clone();
        let serve = move || serve(&served.clone(), || open(served), &received, reply);
        let handle = thread::Builder::new().name(name).spawn(serve).map_err(|error| {
            Error::new(ErrorKind::Overloaded, "there is no thread for a connection")
                .retry_later()
                .not_applied()
                .with_source(error)
        })?;
        let native = Self { orders, shared, thread: handle.thread().clone(), is_asking: false };
        answer.await.map_err(|_| gone())??;
        Ok(native)
    }

    /// Runs `work` on the thread.
    pub(super) fn ask<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Engine) -> Result<T> + Send + 'static,
    ) -> Reply<'_, T> {
        self.order(|reply| Order::Work(Box::new(move |engine| answer(engine, reply, work))))
    }

    /// Gives an order, and waits for its answer.
    pub(super) fn order<'a, T: Send + 'static>(
        &'a mut self,
        order: impl FnOnce(oneshot::Sender<Result<T>>) -> Order + Send + 'a,
    ) -> Reply<'a, T> {
        Reply::run(async move {
            let (reply, answer) = oneshot::channel();
            self.is_asking = true;
            self.orders.send(order(reply)).map_err(|_| gone().not_applied())?;
            let result = receive(answer).await;
            self.is_asking = false;
            result
        })
    }

    /// Where the connection is.
    pub(super) fn state(&self) -> State {
        if self.is_asking { State::Unknown } else { self.shared.state() }
    }

    /// Stops what runs and is not to come to its end, leaves out what has not begun, and finds out where the
    /// connection is.
    pub(super) fn recover(&mut self) -> Reply<'_, State> {
        Reply::run(async move {
            self.cancel();
            self.order(Order::Recover).await?;
            Ok(self.state())
        })
    }

    /// Ends the thread, and waits until the connection is closed.
    pub(super) async fn close(mut self) -> Result<()> {
        if self.is_asking {
            self.shared.end_shield();
            self.recover().await?;
        }
        self.order(Order::Close).await
    }

    fn cancel(&self) {
        self.shared.is_cancelled.store(true, Ordering::SeqCst);
        if self.shared.is_shielded.load(Ordering::SeqCst) {
            return;
        }
        if let Some(interrupt) = &*self.shared.interrupt() {
            interrupt.interrupt();
        }
        // It may be waiting for somebody else's lock.
        self.thread.unpark();
    }
}

impl Drop for Native {
    // Nobody waits any more for what still runs.
    fn drop(&mut self) {
        self.shared.end_shield();
        self.cancel();
    }
}

impl fmt::Debug for Native {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(type_name::<Self>())
            .field("thread", &self.thread.name())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

/// What the user of a connection wants of its thread.
pub(super) enum Order {
    Work(Box<dyn FnOnce(&mut Engine) + Send>),
    /// These two are work too, but come so often that they are spared a box.
    Execute(Asked, oneshot::Sender<Result<Done>>),
    Query(Asked, oneshot::Sender<Result<Rows>>),
    Open(Asked, oneshot::Sender<Result<Columns>>),
    Fetch(usize, oneshot::Sender<Result<Vec<Row>>>),
    CloseRows(oneshot::Sender<Result<()>>),
    Recover(oneshot::Sender<Result<()>>),
    Close(oneshot::Sender<Result<()>>),
}

/// What both ends look at.
pub(super) struct Shared {
    state: AtomicU8,
    is_cancelled: AtomicBool,
    /// What runs comes to its end, even if it is cancelled.
    is_shielded: AtomicBool,
    interrupt: Mutex<Option<InterruptHandle>>,
    /// How long to wait for the locks of others, in milliseconds.
    lock_wait: AtomicU64,
    /// When the statement that runs must be done.
    deadline: Mutex<Option<Instant>>,
    has_deadline: AtomicBool,
    clock: Clock,
}

impl Shared {
    fn new(clock: Clock) -> Self {
        Self {
            state: AtomicU8::new(BROKEN),
            is_cancelled: AtomicBool::new(false),
            is_shielded: AtomicBool::new(false),
            interrupt: Mutex::default(),
            lock_wait: AtomicU64::new(0),
            deadline: Mutex::default(),
            has_deadline: AtomicBool::new(false),
            clock,
        }
    }

    fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            IDLE => State::Idle,
            IN_TRANSACTION => State::InTransaction,
            FAILED => State::Failed,
            _ => State::Broken,
        }
    }

    pub(super) fn tell_state(&self, state: State) {
        let told = match state {
            State::Idle => IDLE,
            State::InTransaction => IN_TRANSACTION,
            State::Failed => FAILED,
            _ => BROKEN,
        };
        self.state.store(told, Ordering::Release);
    }

    /// What stops a statement that runs now.
    pub(super) fn interrupt(&self) -> MutexGuard<'_, Option<InterruptHandle>> {
        self.interrupt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_lock_wait(&self, wait: Duration) {
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.lock_wait.store(millis, Ordering::Relaxed);
    }

    /// From now on a statement may take so long.
    pub(super) fn start_timeout(&self, timeout: Option<Duration>) {
        if timeout.is_none() && !self.has_deadline.load(Ordering::Relaxed) {
            return;
        }
        let deadline = timeout.and_then(|timeout| self.clock.now().checked_add(timeout));
        self.has_deadline.store(deadline.is_some(), Ordering::Relaxed);
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = deadline;
    }

    pub(super) fn is_overdue(&self) -> bool {
        if !self.has_deadline.load(Ordering::Relaxed) {
            return false;
        }
        let deadline = *self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        deadline.is_some_and(|deadline| deadline <= self.clock.now())
    }

    /// What runs next comes to its end; `false` where it was cancelled before that.
    pub(super) fn shield(&self) -> bool {
        // Whoever cancels does the same the other way round, so that one of both sees the other.
        self.is_shielded.store(true, Ordering::SeqCst);
        !self.is_cancelled.load(Ordering::SeqCst)
    }

    pub(super) fn end_shield(&self) {
        self.is_shielded.store(false, Ordering::SeqCst);
    }

    /// Whether what runs should go no further.
    pub(super) fn must_stop(&self) -> bool {
        let is_cancelled = self.is_cancelled.load(Ordering::SeqCst);
        (is_cancelled && !self.is_shielded.load(Ordering::SeqCst)) || self.is_overdue()
    }

    /// Waits for somebody else's lock, for the `count`th time; `false` when it has waited enough.
    ///
    /// The waits are short at first, and uneven, so that several who wait do not come at the same moment
    /// again and again.
    pub(super) fn wait_for_lock(&self, count: i32) -> bool {
        let count = u64::try_from(count).unwrap_or(0);
        let growing = count.min(LOCK_WAIT_MAX_MS);
        let waited = growing * (growing + 1) / 2 + (count - growing) * LOCK_WAIT_MAX_MS;
        let longest = (count + 1).min(LOCK_WAIT_MAX_MS);
        if self.must_stop() || waited >= self.lock_wait.load(Ordering::Relaxed) {
            return false;
        }
        let micros = longest * (500 + self.clock.random() % 1000);
        thread::park_timeout(Duration::from_micros(micros));
        true
    }
}

/// What the thread does: opens, obeys, and closes when its user is gone.
fn serve(
    shared: &Shared,
    open: impl FnOnce() -> Result<Engine>,
    orders: &Receiver<Order>,
    opened: oneshot::Sender<Result<()>>,
) {
    // Whatever ends the thread, a panic in work of others too, ends the connection.
    let _broken = BrokenAtEnd(shared);
    let mut engine = match open() {
        Ok(engine) => engine,
        Err(error) => return drop(opened.send(Err(error))),
    };
    engine.tell_state();
    opened.send(Ok(())).ok();
    let mut next = None;
    while let Some(order) = next.take().or_else(|| next_order(orders)) {
        if shared.is_cancelled.load(Ordering::Acquire) && !matches!(order, Order::Recover(_)) {
            continue;
        }
        match order {
            Order::Work(work) => work(&mut engine),
            Order::Execute(asked, reply) => answer(&mut engine, reply, |it| it.execute(&asked)),
            Order::Query(asked, reply) => answer(&mut engine, reply, |it| it.query(&asked)),
            Order::Open(asked, reply) => next = engine.stream(&asked, reply, orders),
            Order::Fetch(_, reply) => drop(reply.send(Err(nothing_open()))),
            Order::CloseRows(reply) => drop(reply.send(Ok(()))),
            Order::Recover(reply) => {
                shared.is_cancelled.store(false, Ordering::Release);
                engine.tell_state();
                reply.send(Ok(())).ok();
            }
            Order::Close(reply) => return drop(reply.send(engine.close())),
        }
    }
}

/// Does `work`, and says first where the connection is, then what came of it.
fn answer<T>(
    engine: &mut Engine,
    reply: oneshot::Sender<Result<T>>,
    work: impl FnOnce(&mut Engine) -> Result<T>,
) {
    let result = work(engine);
    engine.tell_state();
    reply.send(result).ok();
}

/// The next order; `None` when nobody can give one any more.
pub(super) fn next_order(orders: &Receiver<Order>) -> Option<Order> {
    for _ in 0..THREAD_LOOKS {
        match orders.try_recv() {
            Ok(order) => return Some(order),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) => spin_loop(),
        }
    }
    orders.recv().ok()
}

/// The answer of the thread.
async fn receive<T>(mut answer: oneshot::Receiver<Result<T>>) -> Result<T> {
    for _ in 0..USER_LOOKS {
        match answer.try_recv() {
            Ok(result) => return result,
            Err(oneshot::error::TryRecvError::Closed) => return Err(gone()),
            Err(oneshot::error::TryRecvError::Empty) => spin_loop(),
        }
    }
    answer.await.map_err(|_| gone())?
}

struct BrokenAtEnd<'s>(&'s Shared);

impl Drop for BrokenAtEnd<'_> {
    fn drop(&mut self) {
        self.0.tell_state(State::Broken);
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Unavailable, "the thread of the connection has ended").in_doubt()
}

fn nothing_open() -> Error {
    Error::new(ErrorKind::PreconditionFailed, "no rows are open").not_applied()
}

const BROKEN: u8 = 0;
const IDLE: u8 = 1;
const IN_TRANSACTION: u8 = 2;
const FAILED: u8 = 3;

/// How often the thread looks for an order before it sleeps.
const THREAD_LOOKS: u32 = 2_000;

/// How often the user looks for an answer before its task sleeps.
const USER_LOOKS: u32 = 1_000;

/// Waits for a lock grow by a millisecond each, up to so many.
const LOCK_WAIT_MAX_MS: u64 = 10;
