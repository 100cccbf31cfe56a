//! Cuts that wait for their moment.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::{Direction, WAIT_MAX, within_limit};

/// When, seen from the bytes that were looked for, a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before they are forwarded. What stood before them may or may not arrive; both sides are
    /// reset.
    Before,
    /// When they have been forwarded, with all that came in one piece with them. That arrives,
    /// followed by the end of the stream; the side that sent it is reset and hears no answer.
    After,
    /// When the other side has begun to answer, of which nothing is forwarded; both sides are reset.
    Answered,
}

/// A cut that has been asked for. Dropping this leaves it in its place.
#[derive(Debug)]
pub struct Trap(oneshot::Receiver<()>);

impl Trap {
    /// Waits until it has cut a connection, and both sides are through with that.
    ///
    /// # Panics
    ///
    /// Where it was taken away before it did, or does not within a minute.
    pub async fn sprung(self) {
        match within_limit(self.0).await {
            Some(Ok(())) => {}
            Some(Err(_)) => panic!("the wire was healed or dropped before it cut anything"),
            None => panic!("the wire cut nothing within {WAIT_MAX:?}"),
        }
    }
}

/// The traps of a wire that have not sprung yet.
#[derive(Debug, Default)]
pub(super) struct Traps(Mutex<Vec<Armed>>);

/// What a trap waits for.
#[derive(Debug)]
pub(super) enum Aim {
    Bytes(u64),
    Needle(Vec<u8>, Moment),
}

/// What is to be done with the piece that a trap sprang at.
#[derive(Debug)]
pub(super) struct Sprung {
    /// How much of the piece is still forwarded.
    pub(super) forwarded: usize,
    pub(super) moment: Moment,
    /// Told when it is done.
    pub(super) done: Done,
}

/// Whom to tell that a connection has been cut.
pub(super) type Done = oneshot::Sender<()>;

#[derive(Debug)]
struct Armed {
    direction: Direction,
    aim: Aim,
    /// What each connection has carried since the trap was set.
    carried: HashMap<usize, Carried>,
    done: Done,
}

#[derive(Debug, Default)]
struct Carried {
    bytes: u64,
    /// The last bytes, one fewer than are looked for.
    tail: Vec<u8>,
}

impl Traps {
    pub(super) fn set(&self, direction: Direction, aim: Aim) -> Trap {
        let (done, sprung) = oneshot::channel();
        self.armed().push(Armed { direction, aim, carried: HashMap::new(), done });
        Trap(sprung)
    }

    pub(super) fn clear(&self) {
        self.armed().clear();
    }

    /// Shows a piece to all traps; the first that it springs is taken away.
    pub(super) fn show(
        &self,
        connection: usize,
        direction: Direction,
        piece: &[u8],
    ) -> Option<Sprung> {
        let mut armed = self.armed();
        let mut sprung = None;
        for (position, trap) in armed.iter_mut().enumerate() {
            if trap.direction == direction {
                let found = trap.carried.entry(connection).or_default().find(&trap.aim, piece);
                sprung = sprung.or(found.map(|found| (position, found)));
            }
        }
        let (position, (forwarded, moment)) = sprung?;
        Some(Sprung { forwarded, moment, done: armed.remove(position).done })
    }

    fn armed(&self) -> MutexGuard<'_, Vec<Armed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Carried {
    /// How much of the piece is forwarded, and the moment, if this is what was aimed at.
    fn find(&mut self, aim: &Aim, piece: &[u8]) -> Option<(usize, Moment)> {
        match aim {
            Aim::Bytes(wanted) => self.count(*wanted, piece.len()).map(|at| (at, Moment::After)),
            Aim::Needle(needle, moment) => {
                let start = self.look_for(needle, piece)?;
                let forwarded = if *moment == Moment::Before { start } else { piece.len() };
                Some((forwarded, *moment))
            }
        }
    }

    /// Where in a piece of this length the last of the wanted bytes has gone.
    fn count(&mut self, wanted: u64, length: usize) -> Option<usize> {
        let left = usize::try_from(wanted - self.bytes).ok().filter(|left| *left <= length);
        self.bytes += length as u64;
        left
    }

    /// Where in the piece the needle starts, or nought if that was before it.
    fn look_for(&mut self, needle: &[u8], piece: &[u8]) -> Option<usize> {
        let before = self.tail.len();
        self.tail.extend(piece);
        let start = self.tail.windows(needle.len()).position(|window| window == needle);
        let kept = self.tail.len().min(needle.len() - 1);
        self.tail.drain(..self.tail.len() - kept);
        start.map(|start| start.saturating_sub(before))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_needle_is_found_however_it_is_divided(
            text in "[ab]{0,40}",
            needle in "[ab]{1,5}",
            sizes in proptest::collection::vec(1_usize..8, 1..20),
        ) {
            let mut carried = Carried::default();
            let (mut left, mut passed, mut found) = (text.as_bytes(), 0, None);
            for size in sizes.into_iter().cycle() {
                if left.is_empty() || found.is_some() {
                    break;
                }
                let (piece, rest) = left.split_at(size.min(left.len()));
                found = carried.look_for(needle.as_bytes(), piece).map(|at| passed + at);
                (left, passed) = (rest, passed + piece.len());
            }
            // What has passed before cannot be held back any more.
            match (text.find(&needle), found) {
                (Some(expected), Some(found)) => {
                    prop_assert!(found >= expected && found < expected + needle.len());
                }
                (expected, found) => prop_assert_eq!(expected, found),
            }
        }

        #[test]
        fn bytes_are_counted_to_the_last_one(
            wanted in 0_u64..60,
            sizes in proptest::collection::vec(1_usize..8, 20),
        ) {
            let mut carried = Carried::default();
            let mut passed = 0;
            for size in sizes {
                if let Some(at) = carried.count(wanted, size) {
                    prop_assert_eq!((passed + at) as u64, wanted);
                    return Ok(());
                }
                passed += size;
            }
            prop_assert!(wanted > passed as u64);
        }
    }

    #[test]
    fn each_connection_is_looked_at_by_itself() {
        let traps = Traps::default();
        let _trap = traps.set(Direction::ToServer, Aim::Needle(b"ab".to_vec(), Moment::After));
        assert!(traps.show(0, Direction::ToServer, b"a").is_none());
        assert!(traps.show(1, Direction::ToServer, b"b").is_none());
        assert!(traps.show(0, Direction::ToClient, b"b").is_none());
        assert!(traps.show(0, Direction::ToServer, b"b").is_some());
        assert!(traps.show(0, Direction::ToServer, b"ab").is_none(), "it springs once");
    }
}
