//! Checks on request: of any number of callers that come together, one round of checks serves all.
//!
//! A round belongs to the board, not to a caller, so that a caller who leaves takes nothing with it.
//! A caller is served by a round that begins after it has come, because an earlier one may have
//! asked before what the caller wants to know had happened. Rounds never overlap, so that a service
//! that hangs has one request of theirs, not one for each caller.

use std::sync::Weak;
use std::time::Duration;

use futures_util::future::join_all;
use switchboard_core::Clock;
use tokio::sync::watch;

use crate::board::Core;

/// The rounds of one board, by their numbers.
#[derive(Default)]
pub(super) struct Rounds(watch::Sender<Numbers>);

#[derive(Default)]
pub(super) struct Numbers {
    /// The last round that somebody waits for.
    wanted: u64,
    begun: u64,
    ended: u64,
    /// Whether there will be no more.
    closed: bool,
}

impl Rounds {
    /// Wants a round that has not begun yet; the answer ends when it has, or when there are no more.
    pub(super) fn ask(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut number = 0;
        self.0.send_if_modified(|rounds| {
            number = rounds.begun + 1;
            let is_first = rounds.wanted < number;
            rounds.wanted = number;
            is_first
        });
        let mut rounds = self.subscribe();
        async move {
            let over = rounds.wait_for(|rounds| rounds.closed || rounds.ended >= number);
            // Its only error is that there will be no more.
            over.await.map(drop).ok();
        }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Numbers> {
        self.0.subscribe()
    }

    /// Lets those go who wait.
    pub(super) fn close(&self) {
        self.0.send_modify(|rounds| rounds.closed = true);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.borrow().closed
    }

    fn begin(&self) {
        self.0.send_modify(|rounds| rounds.begun += 1);
    }

    fn end(&self) {
        self.0.send_modify(|rounds| rounds.ended = rounds.begun);
    }
}

/// Makes the rounds that are wanted, one after the other.
pub(super) async fn serve(core: Weak<Core>, mut rounds: watch::Receiver<Numbers>, clock: Clock) {
    while rounds.wait_for(|rounds| rounds.wanted > rounds.begun).await.is_ok() {
        let Some(limit) = core.upgrade().map(|core| core.wanted().health.limit) else { return };
        let gathering = GATHERING_MAX.min(limit / 10);
        clock.sleep(gathering).await;
        // A board that goes during a round stays until it has ended, which is soon.
        let Some(core) = core.upgrade() else { return };
        core.looking.rounds.begin();
        // Whoever came first has waited already, and is to hear of what hangs before its time is over.
        round(&core, limit.saturating_sub(gathering * 2)).await;
        core.looking.rounds.end();
    }
}

async fn round(core: &Core, limit: Duration) {
    join_all(core.wired.iter().map(|manager| manager.health(limit))).await;
}

/// How long a round waits for more callers before it begins.
const GATHERING_MAX: Duration = Duration::from_millis(5);
