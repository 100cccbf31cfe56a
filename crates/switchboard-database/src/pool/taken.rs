//! A connection in somebody's hands.
//!
//! Dropping it gives it back, at once if it is as it was before. What was dropped in the middle of a
//! call, or left inside a transaction, is cleaned first, and nobody has it until then.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use switchboard_core::{Error, ErrorKind, Result};

use super::Shared;
use super::books::Grant;
use super::errands::JOB_MAX;
use super::figures::CloseReason;
use super::gone::Gone;
use super::link::Link;
use super::tidying::{Needs, Tidying};
use crate::statement::Half;
use crate::{Connection, Reset, State};

/// A connection that nobody else uses; dropping this gives it back.
pub struct Taken {
    shared: Arc<Shared>,
    link: Arc<Link>,
    /// The connection while a call is under way, and after one that was dropped.
    hand: Option<Box<dyn Connection>>,
    is_under_way: bool,
    has_residue: bool,
    /// Why nobody should have it again.
    flaw: Option<CloseReason>,
    is_doubtful: bool,
    half: Half,
    /// Where in the program is asked what is asked now.
    place: Option<&'static Location<'static>>,
}

/// A call under way. Dropped before its [`end`](Self::end), it leaves the state unknown.
#[must_use = "a call that is not ended leaves the state of the connection unknown"]
pub(crate) struct Busy<'t> {
    taken: &'t mut Taken,
    /// An earlier call was dropped, and nobody has looked since.
    was_dropped: bool,
}

/// What becomes of a connection that is given back.
enum Verdict {
    AsBefore,
    Useless(CloseReason),
    Unclean(Box<dyn Connection>, Needs),
}

impl Taken {
    pub(super) fn new(shared: Arc<Shared>, grant: Grant) -> Self {
        Self {
            shared,
            link: grant.link,
            hand: None,
            is_under_way: false,
            has_residue: false,
            flaw: None,
            is_doubtful: grant.is_doubtful,
            half: Half::Nothing,
            place: None,
        }
    }

    /// Begins a call, for which `statement` is shown to others; from here to [`Busy::end`] the state
    /// is unknown to everybody else.
    pub(crate) fn begin(&mut self, statement: Option<&Arc<str>>) -> Busy<'_> {
        let mut desk = self.link.desk();
        desk.statement = statement.cloned();
        desk.is_running = true;
        if self.hand.is_none() {
            self.hand = desk.connection.take();
        }
        drop(desk);
        let was_dropped = std::mem::replace(&mut self.is_under_way, true);
        Busy { taken: self, was_dropped }
    }

    /// What is asked from now on is asked at that line of the program.
    pub(crate) fn asked_at(&mut self, place: &'static Location<'static>) {
        self.place = Some(place);
    }

    /// Where in the program is asked what is asked now.
    pub(crate) fn place(&self) -> Option<&'static Location<'static>> {
        self.place
    }

    /// Where the connection is; unknown while a call was dropped and nobody has looked since.
    pub(crate) fn state(&self) -> State {
        if self.is_under_way {
            return State::Unknown;
        }
        match &self.hand {
            Some(connection) => connection.state(),
            None => self.link.desk().connection.as_ref().map_or(State::Broken, |it| it.state()),
        }
    }

    /// After a dropped call: stops what still runs, and finds out where the connection is.
    pub(crate) async fn recover(&mut self) -> Result<State> {
        let state = self.state();
        if state != State::Unknown {
            return Ok(state);
        }
        let mut busy = self.begin(None);
        let state = busy.connection().recover().await?;
        busy.was_dropped = state == State::Unknown;
        busy.end();
        Ok(state)
    }

    /// What of something that is to be whole is left on it.
    pub(crate) fn half(&self) -> Half {
        self.half
    }

    /// Keeps in mind what of something whole there is, for who comes after a call that is dropped.
    pub(crate) fn set_half(&mut self, half: Half) {
        self.half = half;
    }

    /// What was done leaves something on the connection, which is taken away before anybody else has
    /// it.
    pub(crate) fn leaves_residue(&mut self) {
        self.has_residue = true;
    }

    /// It is still in use, however long it has been: it is not told of as leaked until it rests again.
    pub(crate) fn touch(&self) {
        self.shared.change(|books| books.touch(&self.link));
    }

    /// The connection itself, without a watch on the call.
    #[cfg(test)]
    pub(crate) fn connection(&mut self) -> &mut dyn Connection {
        if self.hand.is_none() {
            self.hand = self.link.take();
        }
        self.in_hand()
    }

    /// Nobody should have it again.
    pub(crate) fn discard(&mut self) {
        self.flaw = Some(CloseReason::Discarded);
    }

    /// Whether it should be asked if it is there before it is used.
    pub(super) fn is_doubtful(&self) -> bool {
        self.is_doubtful
    }

    /// Asks whether it is there; if not, it is given up, and so are its siblings.
    pub(super) async fn ping(&mut self) -> Result<()> {
        let mut busy = self.begin(None);
        let answered = tokio::time::timeout(JOB_MAX, busy.connection().ping()).await;
        let answered = answered.unwrap_or_else(|_| Err(no_answer()));
        match answered {
            Ok(()) => busy.end(),
            Err(_) => busy.taken.flaw = Some(CloseReason::Broken),
        }
        answered
    }

    /// What is in hand, or, where it was taken away, something that says so.
    fn in_hand(&mut self) -> &mut dyn Connection {
        &mut **self.hand.get_or_insert_with(|| Box::new(Gone))
    }

    fn put_down(&mut self) {
        let Some(connection) = self.hand.take() else { return };
        let mut desk = self.link.desk();
        desk.is_running = false;
        if !desk.is_wanted_back {
            desk.connection = Some(connection);
            return;
        }
        drop(desk);
        self.give_up(connection);
    }

    /// It was wanted back while the call was under way.
    #[cold]
    fn give_up(&mut self, connection: Box<dyn Connection>) {
        self.link.put(connection);
        self.shared.dismiss(&self.link, CloseReason::Reaped);
    }

    fn verdict(&mut self) -> Verdict {
        let is_unknown = self.is_under_way;
        let mut desk = self.link.desk();
        let Some(connection) = self.hand.take().or_else(|| desk.connection.take()) else {
            return Verdict::Useless(CloseReason::Reaped);
        };
        desk.clear();
        let state = if is_unknown { State::Unknown } else { connection.state() };
        let flaw = match state {
            _ if desk.is_wanted_back => Some(CloseReason::Reaped),
            State::Broken => Some(CloseReason::Broken),
            _ => self.flaw,
        };
        let has_residue = match self.shared.reset {
            Reset::Tracked => self.has_residue,
            Reset::Always => true,
            Reset::Never => false,
        };
        if flaw.is_none() && (state != State::Idle || has_residue) {
            let is_unknown = state == State::Unknown;
            return Verdict::Unclean(connection, Needs::Cleaning { is_unknown, has_residue });
        }
        desk.connection = Some(connection);
        flaw.map_or(Verdict::AsBefore, Verdict::Useless)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        match self.verdict() {
            Verdict::AsBefore => self.shared.change(|books| books.give_back(&self.link)),
            Verdict::Useless(reason) => self.shared.dismiss(&self.link, reason),
            Verdict::Unclean(connection, needs) => {
                if self.shared.change(|books| books.rest(&self.link)) {
                    Tidying::clean(&self.shared, self.link.clone(), connection, needs);
                }
            }
        }
    }
}

impl Busy<'_> {
    /// The connection, for the call.
    pub(crate) fn connection(&mut self) -> &mut dyn Connection {
        self.taken.in_hand()
    }

    /// The call has ended, well or not, and the connection knows where it is.
    pub(crate) fn end(self) {
        self.taken.is_under_way = self.was_dropped;
        if !self.was_dropped {
            self.taken.put_down();
        }
    }
}

impl fmt::Debug for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taken").field("state", &self.state()).finish_non_exhaustive()
    }
}

#[cold]
fn no_answer() -> Error {
    Error::new(ErrorKind::Timeout, "the connection does not answer").not_applied()
}
