//! Looks after the connections while nobody asks for one.
//!
//! It sleeps until the next thing is due. What comes up in the meantime is due later than the
//! shortest limit there is, so nobody has to wake it but who changes what is due.

use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::future::select;
use switchboard_core::Clock;
use tokio::sync::Notify;

use super::Shared;
use super::books::Books;

impl Shared {
    /// Sees to it that somebody looks after the connections, until the pool is closed or dropped.
    pub(super) fn look_after(self: &Arc<Self>) {
        let mut upkeep = self.upkeep();
        if upkeep.is_some() || self.books().is_closed() {
            return;
        }
        let work = tend(Arc::downgrade(self), self.bell.clone(), self.clock.clone());
        match self.reaper.run("look after a pool", work) {
            Ok(running) => *upkeep = Some(running),
            Err(error) => {
                tracing::warn!(instance = %self.instance, %error, "nobody looks after the pool");
            }
        }
    }
}

async fn tend(pool: Weak<Shared>, bell: Arc<Notify>, clock: Clock) {
    while let Some(shared) = pool.upgrade() {
        let due = shared.change(Books::tend);
        drop(shared);
        sleep(&clock, due, &bell).await;
    }
}

async fn sleep(clock: &Clock, due: Option<Instant>, bell: &Notify) {
    let rung = bell.notified();
    let Some(due) = due else { return rung.await };
    // However the limits are set, others get their turn.
    let due = due.max(clock.now() + PAUSE_MIN);
    select(pin!(rung), pin!(clock.sleep_until(due))).await;
}

const PAUSE_MIN: Duration = Duration::from_millis(1);
