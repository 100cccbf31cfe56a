//! Reading: what is small comes at once, what is large in pieces, of which some are read ahead.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use futures_core::Stream;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use switchboard_core::Result;
use tokio::task::JoinHandle;

use super::errors::classify;
use super::folder::Folder;
use super::root::Place;
use super::spares::Spares;
use super::thread;
use crate::{Body, Fetched, Read};

impl Folder {
    /// The object at `place` as far as `read` asks for it; `None` if it is unchanged.
    pub(super) fn get(&self, place: &Place, read: &Read) -> Result<Option<Fetched>> {
        let (file, found) = self.object(place)?;
        let meta = found.meta;
        if !read.allows(&meta)? {
            return Ok(None);
        }
        let range = read.range.as_ref().map_or(Ok(0..meta.size), |range| range.of(meta.size))?;
        let first = bytes_at(&file, Vec::new(), range.start, length(range.start, range.end))?;
        let at = range.start + first.len() as u64;
        let body = if at == range.end || first.is_empty() {
            Body::from(first)
        } else {
            Body::stream(Pieces::new(file, at, range.end).after(first.into()))
        };
        Ok(Some(Fetched { meta, range, body }))
    }
}

/// What is still to be read of a file.
struct Pieces {
    file: Arc<File>,
    at: u64,
    end: u64,
    /// Those that are being read, in their order.
    coming: VecDeque<Coming>,
    spares: Spares,
}

/// A piece that is being read.
struct Coming {
    length: usize,
    reading: JoinHandle<Result<Bytes>>,
}

impl Pieces {
    fn new(file: File, at: u64, end: u64) -> Self {
        let (coming, spares) = (VecDeque::new(), Spares::new(AHEAD + 1));
        Self { file: Arc::new(file), at, end, coming, spares }
    }

    /// All that is to come, and `first` before it. Nothing is read ahead before somebody asks for that.
    fn after(self, first: Bytes) -> impl Stream<Item = Result<Bytes>> + Send {
        futures_util::stream::try_unfold((Some(first), self), |(first, mut pieces)| async move {
            let piece = match first {
                Some(first) => first,
                None => pieces.next().await?,
            };
            // A file that others made shorter: whoever knows how long it was says so.
            if piece.is_empty() {
                return Ok(None);
            }
            pieces.read_ahead();
            Ok(Some((piece, (None, pieces))))
        })
    }

    async fn next(&mut self) -> Result<Bytes> {
        let Some(Coming { length, reading }) = self.coming.pop_front() else {
            return Ok(Bytes::new());
        };
        let piece = thread::answer(reading.await)??;
        if piece.len() < length {
            // Where the file ended nothing can follow, also if it is longer again.
            self.coming.clear();
            self.at = self.end;
        }
        Ok(piece)
    }

    fn read_ahead(&mut self) {
        while self.coming.len() < AHEAD && self.at < self.end {
            let (file, spares, at) = (self.file.clone(), self.spares.clone(), self.at);
            let length = length(at, self.end);
            let reading = tokio::task::spawn_blocking(move || {
                // What is short is not to hold the memory of what is long.
                if length < PIECE {
                    return bytes_at(&file, Vec::new(), at, length).map(Bytes::from);
                }
                bytes_at(&file, spares.take(), at, length).map(|bytes| spares.lend(bytes))
            });
            self.at += length as u64;
            self.coming.push_back(Coming { length, reading });
        }
    }
}

/// How long the piece is that begins at `at`.
fn length(at: u64, end: u64) -> usize {
    usize::try_from(end.saturating_sub(at)).map_or(PIECE, |left| left.min(PIECE))
}

/// `length` bytes from `at` on, in `memory`. Fewer only where the file ends.
fn bytes_at(file: &File, mut memory: Vec<u8>, at: u64, length: usize) -> Result<Vec<u8>> {
    memory.clear();
    memory.reserve_exact(length);
    while memory.len() < length {
        let here = at + memory.len() as u64;
        match rustix::io::pread(file, spare_capacity(&mut memory), here) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(classify(error.into())),
        }
    }
    memory.truncate(length);
    Ok(memory)
}

/// The most bytes that are read at once.
const PIECE: usize = 1 << 20;

/// How many pieces are read ahead: with two, a thread is at one of them while the other is being asked for.
const AHEAD: usize = 2;
