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
    /// The most bytes that are stored whole.
    pub(crate) whole_max: u64,
    /// The most bytes that are read into memory at once.
    pub(crate) read_max: u64,
    /// Whether the driver takes parts at all.
    pub(crate) has_parts: bool,
    /// Whether the kind of content is found out where nobody says it.
    pub(crate) is_guessing: bool,
}

impl Plan {
    /// The plan for an object of that length, where it is known.
    pub(crate) fn of_length(self, length: Option<u64>) -> Result<Self> {
        let least = length.unwrap_or(0).div_ceil(u64::from(self.parts_max.max(1)));
        if least <= self.part_size || !self.has_parts {
            return Ok(self);
        }
        self.of_part_size(least.next_multiple_of(MEBIBYTE).min(self.part_max).max(least))
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

/// The bytes of a body, cut into pieces of one length. A dropped call loses nothing.
pub(crate) struct Cut {
    body: Body,
    piece: Bytes,
    begun: BytesMut,
    length: usize,
    /// What pieces were collected in that were given away: used again once these are gone, so that a large body
    /// takes no more memory than the pieces that there are at the same time.
    spares: Vec<BytesMut>,
}

impl Cut {
    pub(crate) fn new(body: Body, length: usize) -> Self {
        let (piece, begun, spares) = (Bytes::new(), BytesMut::new(), Vec::new());
        Self { body, piece, begun, length, spares }
    }

    /// The next piece, shorter only if it is the last one; `None` after that.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if self.begun.is_empty() && self.piece.len() >= self.length {
                return Ok(Some(self.piece.split_to(self.length)));
            }
            let more = self.piece.len().min(self.length - self.begun.len());
            if more > 0 {
                if self.begun.is_empty() {
                    self.begun = self.spare();
                }
                self.begun.extend_from_slice(&self.piece[..more]);
                self.piece.advance(more);
            }
            if self.begun.len() == self.length {
                return Ok(Some(self.give()));
            }
            match self.body.try_next().await? {
                Some(piece) => self.piece = piece,
                None if self.begun.is_empty() => return Ok(None),
                // What is short is not to hold the memory of what is long.
                None if self.begun.len() < self.length / 2 => {
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

    fn spare(&mut self) -> BytesMut {
        let free = self.spares.iter_mut().position(|spare| spare.try_reclaim(self.length));
        match free {
            Some(at) => self.spares.swap_remove(at),
            None => BytesMut::with_capacity(self.length),
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

    async fn cut(pieces: &[&'static str], length: usize) -> Vec<Bytes> {
        let pieces: Vec<_> = pieces.iter().map(|piece| Ok::<_, Error>(*piece)).collect();
        let mut cut = Cut::new(Body::stream(futures_util::stream::iter(pieces)), length);
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
        let mut cut = Cut::new(Body::stream(futures_util::stream::iter(pieces)), 4);
        let kept = cut.next().await.unwrap().unwrap();
        for expected in ["efgh", "ijkl", "mnop"] {
            assert_eq!(cut.next().await.unwrap().unwrap(), expected);
        }
        assert_eq!(kept, "abcd");
        assert_eq!(cut.spares.len(), 2);
    }

    #[test]
    fn parts_grow_where_there_would_be_too_many() {
        let plan = Plan {
            part_size: 8 * MEBIBYTE,
            part_min: 5 * MEBIBYTE,
            part_max: 5 << 30,
            parts_at_once: NonZeroUsize::MIN,
            parts_max: 10_000,
            whole_max: 5 << 30,
            read_max: 64 * MEBIBYTE,
            has_parts: true,
            is_guessing: true,
        };
        let size = |length| plan.of_length(length).unwrap().part_size;
        assert_eq!(size(Some(80_000 * MEBIBYTE)), 8 * MEBIBYTE);
        assert_eq!(size(Some(80_000 * MEBIBYTE + 1)), 9 * MEBIBYTE);
        assert_eq!(size(None), 8 * MEBIBYTE);
        assert_eq!(size(Some(50_000 << 30)), 5 << 30);
        let error = plan.of_length(Some((50_000 << 30) + 1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
    }
}
