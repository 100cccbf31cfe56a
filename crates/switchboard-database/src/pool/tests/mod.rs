//! The pool against a server that does what the test says, on a clock that stands still.

mod closing;
mod handing;
mod joint;
mod model;
mod returning;
mod scripted;
mod threads;
mod upkeep;

use std::num::NonZeroUsize;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use switchboard_core::{BuildContext, Clock, Environment, Error, Name, Result};
use switchboard_testkit::{poll_settled, settle};

use self::scripted::Server;
use super::taken::Busy;
use super::{CloseReason, Pool, Taken, Taking};
use crate::{Lane, PoolConfig};

/// A pool of a scripted server.
#[derive(Clone)]
struct Bench {
    pool: Pool,
    server: Server,
    environment: Environment,
}

type Acquiring<'p> = Pin<Box<dyn Future<Output = Result<Taken>> + Send + 'p>>;

impl Bench {
    fn new(max: usize) -> Self {
        Self::with(max, |_| {})
    }

    /// Nothing happens by itself but what `set` asks for.
    fn with(max: usize, set: impl FnOnce(&mut PoolConfig)) -> Self {
        let mut config = PoolConfig {
            idle_timeout: Duration::ZERO,
            max_lifetime: Duration::ZERO,
            keepalive: Duration::ZERO,
            leak_after: Duration::ZERO,
            ..PoolConfig::default()
        };
        set(&mut config);
        let environment = Environment::new().with_clock(Clock::seeded(7));
        let context = BuildContext::new(&environment, Name::parse("main").unwrap());
        let server = Server::default();
        let driver = Arc::new(server.clone());
        let max = NonZeroUsize::new(max).unwrap();
        let pool = Pool::new(driver, Lane::Write, max, &config, &context);
        Self { pool, server, environment }
    }

    #[track_caller]
    fn start(&self) -> Acquiring<'_> {
        Box::pin(self.pool.acquire(here()))
    }

    #[track_caller]
    fn take(&self) -> impl Future<Output = Taken> {
        let acquiring = self.start();
        async move { acquiring.await.unwrap() }
    }

    /// So many connections at a time, all given back at once.
    async fn warm(&self, count: usize) {
        let mut taken = Vec::new();
        for _ in 0..count {
            taken.push(self.take().await);
        }
    }

    async fn fails(&self) -> Error {
        self.start().await.unwrap_err()
    }

    fn idle(&self) -> usize {
        self.pool.figures().idle
    }

    fn closed(&self) -> Vec<(CloseReason, u64)> {
        self.pool.figures().closed
    }

    /// Nobody has anything, nobody waits, and every connection of the server is idle in the pool.
    async fn assert_at_rest(&self) {
        settle().await;
        let figures = self.pool.figures();
        let busy = (figures.in_use, figures.resting, figures.waiting, figures.connecting);
        assert_eq!(busy, (0, 0, 0, 0), "{figures:?}");
        assert_eq!(figures.idle, self.server.script().open.len());
    }
}

#[track_caller]
fn here() -> Taking {
    Taking { at: Location::caller(), is_long: false, is_scope: true, is_urgent: false }
}

#[track_caller]
fn urgent() -> Taking {
    Taking { is_scope: false, is_urgent: true, ..here() }
}

fn id(taken: &mut Taken) -> String {
    taken.connection().id().unwrap()
}

/// Begins a call, and drops it in the middle.
async fn drop_a_call(taken: &mut Taken) {
    let mut busy: Busy<'_> = taken.begin(None);
    let call = busy.connection().commit();
    let mut call = Box::pin(call);
    assert!(poll_settled(&mut call).await.is_pending());
}

/// Runs `work` as a task of its own, which has a number.
#[expect(clippy::disallowed_methods, reason = "the test needs a task")]
async fn in_a_task<F>(bench: &Bench, work: impl FnOnce(Bench) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(work(bench.clone())).await.unwrap();
}

async fn is_pending(acquiring: &mut Acquiring<'_>) -> bool {
    poll_settled(acquiring).await.is_pending()
}

async fn served(acquiring: &mut Acquiring<'_>) -> Taken {
    match poll_settled(acquiring).await {
        Poll::Ready(taken) => taken.unwrap(),
        Poll::Pending => panic!("nobody was served"),
    }
}
