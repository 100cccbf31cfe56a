//! Reading: what is small comes at once, what is large in pieces, of which some are read ahead.

use std::collections::VecDeque;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_core::Stream;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use switchboard_core::{Error, ErrorKind, Result};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::errors::classify;
use super::folder::Folder;
use super::root::Place;
use super::spares::Spares;
use super::thread;
use crate::{Body, Fetched, Read, Version};

impl Folder {
    /// The object at `place` as far as `read` asks for it; `None` if it is unchanged.
    pub(super) fn get(self: &Arc<Self>, place: Place, read: &Read) -> Result<Option<Fetched>> {
        let (file, found) = self.object(&place)?;
        let meta = found.meta;
        if !read.allows(&meta)? {
            return Ok(None);
        }
        let range = read.range.as_ref().map_or(Ok(0..meta.size), |range| range.of(meta.size))?;
        let body = match usize::try_from(range.end - range.start) {
            Ok(length) if length <= PIECE => {
                Body::from(bytes_at(&file, Vec::new(), range.start, length)?)
            }
            _ => {
                let source = match self.files.clone().try_acquire_owned() {
                    Ok(permit) => Source::kept(file, permit),
                    Err(_) => Source::again(self, place, &meta.version),
                };
                Body::stream(Pieces::new(source, range.clone()).stream())
            }
        };
        Ok(Some(Fetched { meta, range, body }))
    }
}

/// Where the pieces of a large object come from.
#[derive(Clone)]
enum Source {
    /// A file that stays open: what others store meanwhile is not seen.
    Kept(Arc<Kept>),
    /// Where so many stay open already, the object is opened for each piece, as long as it is the same.
    Again(Arc<Again>),
}

struct Kept {
    file: File,
    spares: Spares,
    _permit: OwnedSemaphorePermit,
}

struct Again {
    folder: Arc<Folder>,
    place: Place,
    version: Version,
}

impl Source {
    fn kept(file: File, permit: OwnedSemaphorePermit) -> Self {
        Self::Kept(Arc::new(Kept { file, spares: Spares::new(AHEAD + 1), _permit: permit }))
    }

    fn again(folder: &Arc<Folder>, place: Place, version: &Version) -> Self {
        let (folder, version) = (folder.clone(), version.clone());
        Self::Again(Arc::new(Again { folder, place, version }))
    }

    fn read(&self, at: u64, length: usize) -> Result<Bytes> {
        match self {
            Self::Kept(kept) if length == PIECE => {
                let bytes = bytes_at(&kept.file, kept.spares.take(), at, length)?;
                Ok(kept.spares.lend(bytes))
            }
            // What is short is not to hold the memory of what is long.
            Self::Kept(kept) => bytes_at(&kept.file, Vec::new(), at, length).map(Bytes::from),
            Self::Again(again) => bytes_at(&again.open()?, Vec::new(), at, length).map(Bytes::from),
        }
    }

    /// How long a piece is at most.
    const fn piece(&self) -> usize {
        match self {
            Self::Kept(_) => PIECE,
            Self::Again(_) => PIECE_OF_MANY,
        }
    }

    /// How many pieces are read before somebody asks for them.
    const fn ahead(&self) -> usize {
        match self {
            Self::Kept(_) => AHEAD,
            Self::Again(_) => 0,
        }
    }
}

impl Again {
    fn open(&self) -> Result<File> {
        match self.folder.object(&self.place) {
            Ok((file, found)) if found.meta.version == self.version => Ok(file),
            Ok(_) => Err(replaced()),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(replaced().with_source(error)),
            Err(error) => Err(error),
        }
    }
}

fn replaced() -> Error {
    Error::new(ErrorKind::Conflict, "the object was replaced while it was read")
}

/// What is still to be read of an object.
struct Pieces {
    source: Source,
    left: Range<u64>,
    /// Those that are being read, in their order.
    coming: VecDeque<Coming>,
}

/// A piece that is being read.
struct Coming {
    length: usize,
    reading: JoinHandle<Result<Bytes>>,
}

impl Pieces {
    const fn new(source: Source, left: Range<u64>) -> Self {
        Self { source, left, coming: VecDeque::new() }
    }

    /// All that is to come. Nothing is read before somebody asks for it, so that an object nobody reads takes no
    /// memory.
    fn stream(self) -> impl Stream<Item = Result<Bytes>> + Send {
        futures_util::stream::try_unfold(self, |mut pieces| async move {
            let ahead = pieces.source.ahead();
            pieces.begin(ahead.max(1));
            let piece = pieces.next().await?;
            // A file that others made shorter: whoever knows how long it was says so.
            if piece.is_empty() {
                return Ok(None);
            }
            pieces.begin(ahead);
            Ok(Some((piece, pieces)))
        })
    }

    /// Has so many pieces be read.
    fn begin(&mut self, count: usize) {
        while self.coming.len() < count && !self.left.is_empty() {
            let left = self.left.end - self.left.start;
            let piece = self.source.piece();
            let length = usize::try_from(left).map_or(piece, |left| left.min(piece));
            let (source, at) = (self.source.clone(), self.left.start);
            let reading = tokio::task::spawn_blocking(move || source.read(at, length));
            self.left.start += length as u64;
            self.coming.push_back(Coming { length, reading });
        }
    }

    async fn next(&mut self) -> Result<Bytes> {
        let Some(Coming { length, reading }) = self.coming.pop_front() else {
            return Ok(Bytes::new());
        };
        let piece = thread::answer(reading.await)??;
        if piece.len() < length {
            // Where the file ended nothing can follow, also if it is longer again.
            self.coming.clear();
            self.left.start = self.left.end;
        }
        Ok(piece)
    }
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

/// The same for each of very many objects that are being read.
const PIECE_OF_MANY: usize = 1 << 16;

/// How many pieces are read ahead: with two, a thread is at one of them while the other is being asked for.
const AHEAD: usize = 2;

/// How many large objects of a disk are read from files that stay open. With what is read ahead of them they take
/// 384 MiB, and leave files to the rest of the process where it may have 1024.
pub(super) const FILES_MAX: usize = 128;
