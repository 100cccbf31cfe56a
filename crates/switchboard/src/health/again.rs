//! Tries again to build what could not be built, because nobody else may.
//!
//! A board that is not ready gets no calls, and an instance is only built by a call: without this,
//! what was out of reach for a moment would keep the board away from its traffic for good.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Weak;

use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, Either, select};
use futures_util::stream::FuturesUnordered;
use switchboard_core::Clock;

use super::pause::until_next;
use crate::board::Core;

/// Tries it about as often as what is built is checked, until the board is gone. One that hangs
/// delays no other, and is not tried again before its limit.
pub(super) async fn try_again(core: Weak<Core>, clock: Clock) {
    let mut attempts = Attempts::default();
    loop {
        attempts.beside(until_next(&core, &clock, clock.now())).await;
        let Some(core) = core.upgrade() else { return };
        attempts.begin(&core);
    }
}

/// The attempts that are under way.
#[derive(Default)]
struct Attempts {
    /// Full names.
    names: BTreeSet<String>,
    running: FuturesUnordered<BoxFuture<'static, String>>,
}

impl Attempts {
    /// Tries to build all that could not be built, but for what is being tried.
    fn begin(&mut self, core: &Core) {
        for manager in &core.wired {
            let idle = manager.instances().into_iter().filter(|info| !info.is_ready);
            for info in idle.filter(|info| manager.build_error(&info.name).is_some()) {
                let full_name = format!("{}.{}", manager.subsystem(), info.name);
                if self.names.insert(full_name.clone()) {
                    let manager = manager.clone();
                    self.running.push(Box::pin(async move {
                        // Why it fails is kept where it is asked for.
                        manager.ensure(&info.name).await.ok();
                        full_name
                    }));
                }
            }
        }
    }

    /// Goes on with them until `pause` is over.
    async fn beside(&mut self, pause: impl Future<Output = ()>) {
        let mut pause = pin!(pause);
        loop {
            if self.running.is_empty() {
                return pause.await;
            }
            match select(pause.as_mut(), self.running.next()).await {
                Either::Left(((), _)) => return,
                Either::Right((ended, _)) => drop(ended.map(|name| self.names.remove(&name))),
            }
        }
    }
}
