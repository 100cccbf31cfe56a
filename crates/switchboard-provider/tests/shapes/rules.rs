//! What is guarded keeps the rules of its shape, with fewer places than the rules open things.

use std::sync::Arc;

use switchboard_core::{Effect, Environment, Error, ErrorKind, Policy, Reply, Result};
use switchboard_provider::conformance::{duplex, stream, suite};
use switchboard_provider::{Conversation, Duplex, Items, Stream, function, guard};
use tokio::sync::{Mutex, mpsc, watch};

use crate::families::slots;

/// Counts down to zero.
struct Countdown(u64);

impl Items<u64> for Countdown {
    fn next(&mut self) -> Reply<'_, Option<u64>> {
        Reply::run(async {
            let next = self.0.checked_sub(1);
            self.0 = next.unwrap_or(0);
            Ok(next)
        })
    }

    fn close(&mut self) -> Reply<'_, ()> {
        Reply::run(async {
            tokio::task::yield_now().await;
            self.0 = 0;
            Ok(())
        })
    }
}

/// Whatever is said comes back.
struct Mirror {
    is_closed: watch::Sender<bool>,
    said: mpsc::UnboundedSender<u64>,
    heard: Mutex<mpsc::UnboundedReceiver<u64>>,
}

impl Mirror {
    fn new() -> Self {
        let (said, heard) = mpsc::unbounded_channel();
        Self { is_closed: watch::Sender::new(false), said, heard: heard.into() }
    }
}

impl Conversation<u64, u64> for Mirror {
    fn send(&self, message: u64) -> Reply<'_, ()> {
        Reply::run(async move {
            if *self.is_closed.borrow() {
                return Err(Error::new(ErrorKind::InvalidInput, "the conversation is closed"));
            }
            self.said.send(message).ok();
            Ok(())
        })
    }

    fn receive(&self) -> Reply<'_, Option<u64>> {
        Reply::run(async {
            let mut closing = self.is_closed.subscribe();
            tokio::select! {
                biased;
                _ = closing.wait_for(|is_closed| *is_closed) => Ok(None),
                message = async { self.heard.lock().await.recv().await } => Ok(message),
            }
        })
    }

    fn close(&self) -> Reply<'_, ()> {
        Reply::run(async {
            tokio::task::yield_now().await;
            self.is_closed.send_replace(true);
            Ok(())
        })
    }
}

/// As many places as a rule has open at once.
fn few() -> Policy {
    slots(3)
}

mod guarded_streams {
    use super::*;

    async fn guarded() -> Result<Arc<dyn Stream<u64, u64>>> {
        let countdown = function::stream("countdown", |from| async move { Ok(Countdown(from)) });
        guard::stream("countdown", Arc::new(countdown), few(), Effect::Read, &Environment::new())
    }

    suite!(stream: stream::Fixture::new(guarded, || 4));
}

mod guarded_conversations {
    use super::*;

    async fn guarded() -> Result<Arc<dyn Duplex<u64, u64>>> {
        let mirror = function::duplex("mirror", || async { Ok(Mirror::new()) });
        guard::duplex("mirror", Arc::new(mirror), few(), &Environment::new())
    }

    suite!(duplex: duplex::Fixture::new(guarded, || vec![(1, vec![1]), (2, vec![2])]));
}
