//! Reading: what is small comes at once, what is large in pieces, of which one is read ahead.

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
        let first = piece(&file, range.start, range.end)?;
        let at = range.start + first.len() as u64;
        let body = if at == range.end || first.is_empty() {
            Body::from(first)
        } else {
            Body::stream(Pieces { file: Arc::new(file), at, end: range.end }.after(first))
        };
        Ok(Some(Fetched { meta, range, body }))
    }
}

/// What is still to be read of a file.
struct Pieces {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Pieces {
    /// All that is to come, and `first` before it.
    fn after(self, first: Bytes) -> impl Stream<Item = Result<Bytes>> + Send {
        let first = Next::Here(first);
        futures_util::stream::try_unfold((first, self), |(next, mut pieces)| async move {
            let piece = match next {
                Next::Here(piece) => piece,
                Next::OnItsWay(reading) => thread::answer(reading.await)??,
            };
            // A file that others made shorter: whoever knows how long it was says so.
            if piece.is_empty() {
                return Ok(None);
            }
            let ahead = pieces.read_ahead();
            Ok(Some((piece, (Next::OnItsWay(ahead), pieces))))
        })
    }

    fn read_ahead(&mut self) -> JoinHandle<Result<Bytes>> {
        let (file, at, end) = (self.file.clone(), self.at, self.end);
        self.at = end.min(at + PIECE);
        tokio::task::spawn_blocking(move || piece(&file, at, end))
    }
}

enum Next {
    Here(Bytes),
    OnItsWay(JoinHandle<Result<Bytes>>),
}

/// The bytes from `at` on, up to `end`, and no more than a piece has. Fewer only where the file ends.
fn piece(file: &File, at: u64, end: u64) -> Result<Bytes> {
    let length = usize::try_from(end.saturating_sub(at).min(PIECE)).unwrap_or(usize::MAX);
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let here = at + bytes.len() as u64;
        match rustix::io::pread(file, spare_capacity(&mut bytes), here) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(classify(error.into())),
        }
    }
    bytes.truncate(length);
    Ok(Bytes::from(bytes))
}

/// The most bytes that are read at once.
const PIECE: u64 = 1 << 20;
