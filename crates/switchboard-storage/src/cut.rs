//! How an object is cut into parts where it is too large for one request.

use std::num::NonZeroUsize;

use bytes::{Buf as _, Bytes, BytesMut};
use futures_core::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use switchboard_core::{Error, ErrorKind, Result};

use crate::Body;

/// How an object is stored that comes through this disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// How long the parts are; what is shorter is stored whole.
    pub(crate) part_size: u64,
    /// The fewest bytes of a part that is not the last.
    pub(crate) part_min: u64,
    /// The most bytes of a part.
    pub(crate) part_max: u64,
    pub(crate) parts_at_once: NonZeroUsize,
    pub(crate) parts_max: u32,
    pub(crate) lengths: Lengths,
    /// The most bytes that are stored whole.
    pub(crate) whole_max: u64,
    /// The most bytes that are read into memory at once.
    pub(crate) read_max: u64,
    /// Whether the driver takes parts at all.
    pub(crate) has_parts: bool,
    /// Whether the kind of content is found out where nobody says it.
    pub(crate) is_guessing: bool,
}

/// How long the parts of an object are beside each other, the last one apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lengths {
    /// All of one length, as the service wants them.
    Alike,
    /// All of one length, although the service does not mind.
    Free,
    /// Longer the more there were before them.
    Growing,
}

impl Plan {
    /// The plan for an object of that length; where nobody knows it, the parts grow if they may.
    pub(crate) fn of_length(self, length: Option<u64>) -> Result<Self> {
        let Some(length) = length else {
            let is_free = self.lengths == Lengths::Free;
            return Ok(Self {
                lengths: if is_free { Lengths::Growing } else { self.lengths },
                ..self
            });
        };
        let least = length.div_ceil(u64::from(self.parts_max.max(1)));
        if least <= self.part_size || !self.has_parts {
            return Ok(self);
        }
        self.of_part_size(least.next_multiple_of(MEBIBYTE).min(self.part_max).max(least))
    }

    /// How long the part of that number is, if it is not the last. A growing one is twice as long after each tenth
    /// of as many as there may be, so that what has no end in sight finds room, and most objects small parts.
    pub(crate) fn length_of(self, number: u32) -> u64 {
        let tenths = number / (self.parts_max / 10).max(1);
        if self.lengths != Lengths::Growing || tenths == 0 {
            return self.part_size;
        }
        let times = 1_u64.checked_shl(tenths).unwrap_or(u64::MAX);
        self.part_size.saturating_mul(times).min(self.part_max)
    }

    /// The plan with parts of that length.
    pub(crate) fn of_part_size(self, part_size: u64) -> Result<Self> {
        if part_size < self.part_min.max(1) {
            return Err(Error::new(ErrorKind::InvalidInput, "the parts are too small")
                .with_context("part_size_bytes", part_size)
                .with_context("part_size_bytes_min", self.part_min.max(1))
                .not_applied());
        }
        if part_size > self.part_max {
            return Err(Error::new(
                ErrorKind::TooLarge,
                "the object is larger than the service takes",
            )
            .with_context("part_size_bytes", part_size)
            .with_context("part_size_bytes_max", self.part_max)
            .with_context("parts_max", self.parts_max)
            .not_applied());
        }
        Ok(Self { part_size, ..self })
    }
}

/// The bytes of a body, cut into pieces as a plan has parts. A dropped call loses nothing.
pub(crate) struct Cut {
    body: Body,
    piece: Bytes,
    begun: BytesMut,
    plan: Plan,
    /// How many were given away.
    given: u32,
    /// What pieces were collected in that were given away: used again once these are gone, so that a large body
    /// takes no more memory than the pieces that there are at the same time.
    spares: Vec<BytesMut>,
}

impl Cut {
    pub(crate) fn new(body: Body, plan: Plan) -> Self {
        let (piece, begun, spares) = (Bytes::new(), BytesMut::new(), Vec::new());
        Self { body, piece, begun, plan, given: 0, spares }
    }

    /// The next piece, shorter than its part only if it is the last one; `None` after that.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        let length = usize::try_from(self.plan.length_of(self.given)).unwrap_or(usize::MAX);
        let next = self.next_of(length).await?;
        self.given = self.given.saturating_add(u32::from(next.is_some()));
        Ok(next)
    }

    async fn next_of(&mut self, length: usize) -> Result<Option<Bytes>> {
        loop {
            if self.begun.is_empty() && self.piece.len() >= length {
                return Ok(Some(self.piece.split_to(length)));
            }
            let more = self.piece.len().min(length - self.begun.len());
            if more > 0 {
                if self.begun.is_empty() {
                    self.begun = self.spare(length);
                }
                self.begun.extend_from_slice(&self.piece[..more]);
                self.piece.advance(more);
            }
            if self.begun.len() == length {
                return Ok(Some(self.give()));
            }
            match self.body.try_next().await? {
                Some(piece) => self.piece = piece,
                None if self.begun.is_empty() => return Ok(None),
                // What is short is not to hold the memory of what is long.
                None if self.begun.len() < length / 2 => {
                    let last = Bytes::copy_from_slice(&self.begun);
                    self.begun.clear();
                    return Ok(Some(last));
                }
                None => return Ok(Some(self.give())),
            }
        }
    }

    fn give(&mut self) -> Bytes {
        let piece = self.begun.split().freeze();
        self.spares.push(std::mem::take(&mut self.begun));
        piece
    }

    fn spare(&mut self, length: usize) -> BytesMut {
        let free = self.spares.iter_mut().position(|spare| spare.try_reclaim(length));
        match free {
            Some(at) => self.spares.swap_remove(at),
            None => BytesMut::with_capacity(length),
        }
    }

    /// `first` and all that follow, with their numbers.
    pub(crate) fn after(self, first: Bytes) -> BoxStream<'static, Result<(u32, Bytes)>> {
        let rest = futures_util::stream::try_unfold(self, |mut rest| async move {
            Ok(rest.next().await?.map(|piece| (piece, rest)))
        });
        let all = futures_util::stream::once(std::future::ready(Ok::<_, Error>(first))).chain(rest);
        let numbers = futures_util::stream::iter(0_u32..);
        numbers.zip(all).map(|(number, piece)| Ok((number, piece?))).boxed()
    }

    /// Whether there is another piece.
    pub(crate) async fn peek(&mut self) -> Result<bool> {
        while self.piece.is_empty() && self.begun.is_empty() {
            match self.body.try_next().await? {
                Some(piece) => self.piece = piece,
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}

const MEBIBYTE: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(part_size: u64) -> Plan {
        Plan {
            part_size,
            part_min: 1,
            part_max: 5 << 30,
            parts_at_once: NonZeroUsize::MIN,
            parts_max: 10_000,
            lengths: Lengths::Free,
            whole_max: 5 << 30,
            read_max: 64 * MEBIBYTE,
            has_parts: true,
            is_guessing: true,
        }
    }

    async fn cut(pieces: &[&'static str], length: u64) -> Vec<Bytes> {
        let pieces: Vec<_> = pieces.iter().map(|piece| Ok::<_, Error>(*piece)).collect();
        let mut cut = Cut::new(Body::stream(futures_util::stream::iter(pieces)), of(length));
        let mut all = Vec::new();
        while let Some(piece) = cut.next().await.unwrap() {
            all.push(piece);
        }
        all
    }

    #[tokio::test]
    async fn all_pieces_but_the_last_are_of_one_length() {
        assert_eq!(cut(&["abcdefg"], 3).await, ["abc", "def", "g"]);
        assert_eq!(cut(&["a", "bcde", "f", "g"], 3).await, ["abc", "def", "g"]);
        assert_eq!(cut(&["abc", "def"], 3).await, ["abc", "def"]);
        assert!(cut(&[], 3).await.is_empty());
    }

    #[tokio::test]
    async fn pieces_that_are_gone_make_room_for_others_and_those_that_are_not_stay() {
        let pieces: Vec<_> =
            ["ab", "cd", "ef", "gh", "ij", "kl", "mn", "op"].map(Ok::<_, Error>).into();
        let mut cut = Cut::new(Body::stream(futures_util::stream::iter(pieces)), of(4));
        let kept = cut.next().await.unwrap().unwrap();
        for expected in ["efgh", "ijkl", "mnop"] {
            assert_eq!(cut.next().await.unwrap().unwrap(), expected);
        }
        assert_eq!(kept, "abcd");
        assert_eq!(cut.spares.len(), 2);
    }

    #[test]
    fn parts_grow_where_there_would_be_too_many() {
        let plan = Plan { part_min: 5 * MEBIBYTE, ..of(8 * MEBIBYTE) };
        let size = |length| plan.of_length(length).unwrap().part_size;
        assert_eq!(size(Some(80_000 * MEBIBYTE)), 8 * MEBIBYTE);
        assert_eq!(size(Some(80_000 * MEBIBYTE + 1)), 9 * MEBIBYTE);
        assert_eq!(size(None), 8 * MEBIBYTE);
        assert_eq!(size(Some(50_000 << 30)), 5 << 30);
        let error = plan.of_length(Some((50_000 << 30) + 1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
    }

    #[test]
    fn parts_of_what_has_no_end_in_sight_grow_until_terabytes_find_room() {
        let plan = of(8 * MEBIBYTE).of_length(None).unwrap();
        let length = |number| plan.length_of(number) / MEBIBYTE;
        assert_eq!([0, 999, 1000, 1999, 2000, 9999].map(length), [8, 8, 16, 16, 32, 4096]);
        let all: u64 = (0..plan.parts_max).map(|number| plan.length_of(number)).sum();
        assert!(all > 5 << 40, "{all}");
        let alike = Plan { lengths: Lengths::Alike, ..plan }.of_length(None).unwrap();
        assert_eq!(alike.length_of(9999), 8 * MEBIBYTE);
        let few = Plan { parts_max: 5, ..plan };
        assert_eq!([0, 1, 2, 4].map(|number| few.length_of(number) / MEBIBYTE), [8, 16, 32, 128]);
        assert_eq!(Plan { parts_max: 99, ..plan }.length_of(u32::MAX), plan.part_max);
    }
}
