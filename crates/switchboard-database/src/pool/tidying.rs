//! Brings a connection back into a known state after its use, or asks whether it is still there.
//!
//! Runs on the reaper, for at most a second, and belongs to nobody who waits. Whatever ends it, the
//! connection is either as good as before or out of the pool.

use std::sync::Arc;

use switchboard_core::{Error, ErrorKind, Result};

use super::Shared;
use super::figures::CloseReason;
use super::link::Link;
use crate::{Connection, State};

/// One connection on its way back, out of its desk.
pub(super) struct Tidying {
    shared: Arc<Shared>,
    link: Arc<Link>,
    connection: Option<Box<dyn Connection>>,
    needs: Needs,
}

/// What has to be done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// To be asked whether it is there.
    Ping,
    /// To be found, where that is not known, and to be taken back to the beginning.
    Cleaning { is_unknown: bool, has_residue: bool },
}

impl Tidying {
    /// Cleans a connection whose user is done with it.
    pub(super) fn clean(
        shared: &Arc<Shared>,
        link: Arc<Link>,
        connection: Box<dyn Connection>,
        needs: Needs,
    ) {
        let tidying = Self { shared: shared.clone(), link, connection: Some(connection), needs };
        shared.submit("clean a connection", tidying.run());
    }

    /// Asks a connection that nobody uses.
    pub(super) fn ping(shared: &Arc<Shared>, link: Arc<Link>) {
        let connection = link.take();
        let tidying = Self { shared: shared.clone(), link, connection, needs: Needs::Ping };
        shared.submit("ask whether a connection is there", tidying.run());
    }

    async fn run(mut self) -> Result<()> {
        let Some(connection) = self.connection.as_deref_mut() else { return Ok(()) };
        self.needs.meet(connection).await?;
        self.put_back();
        Ok(())
    }

    fn put_back(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        self.link.put(connection);
        let is_reset = matches!(self.needs, Needs::Cleaning { has_residue: true, .. });
        self.shared.change(|books| {
            books.tally.resets += u64::from(is_reset);
            books.rested(&self.link);
        });
    }

    fn why_not(&self, connection: &dyn Connection) -> CloseReason {
        match (self.needs, connection.state()) {
            (Needs::Ping, _) | (_, State::Broken) => CloseReason::Broken,
            _ => CloseReason::Unclean,
        }
    }
}

impl Drop for Tidying {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let reason = self.why_not(&*connection);
        self.link.put(connection);
        self.shared.change(|books| books.dismiss(&self.link, reason));
    }
}

impl Needs {
    async fn meet(self, connection: &mut dyn Connection) -> Result<()> {
        match self {
            Self::Ping => connection.ping().await,
            Self::Cleaning { is_unknown, has_residue } => {
                clean(connection, is_unknown, has_residue).await
            }
        }
    }
}

async fn clean(connection: &mut dyn Connection, is_unknown: bool, has_residue: bool) -> Result<()> {
    let mut state = if is_unknown { connection.recover().await? } else { connection.state() };
    if matches!(state, State::InTransaction | State::Failed) {
        connection.rollback().await?;
        state = connection.state();
    }
    if has_residue && state == State::Idle {
        connection.reset().await?;
        state = connection.state();
    }
    if state == State::Idle {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Unexpected, "a connection could not be cleaned after its use")
        .with_context("state", format_args!("{state:?}")))
}
