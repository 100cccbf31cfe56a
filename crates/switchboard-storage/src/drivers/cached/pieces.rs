//! Where the bytes of objects come from: memory, the folder, or the other disk.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use futures_core::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use quick_cache::sync::{Cache, DefaultLifecycle, GuardResult, PlaceholderGuard};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use switchboard_core::{Details, Error, ErrorKind, Metric, Result};

use super::folder::Folder;
use super::{CachedConfig, is_gone};
use crate::driver::another_version;
use crate::{Beneath, Body, Checksum, Key, Meta, Read, StorageDriver as _, Version};

/// One version of an object. There is more to it than its version, for there are disks that begin to count anew
/// when they start.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Object {
    key: String,
    version: Version,
    size: u64,
    modified: SystemTime,
    checksum: Option<Checksum>,
}

/// So many bytes of an object, counted from its beginning in pieces of one length.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Piece {
    object: Arc<Object>,
    number: u64,
}

/// What is kept, and where the rest is.
pub(super) struct Pieces {
    beneath: Beneath,
    disk: String,
    size: u64,
    memory: Cache<Piece, Bytes, Weight>,
    folder: Option<Arc<Folder>>,
    figures: Figures,
}

#[derive(Default)]
struct Figures {
    hits: AtomicU64,
    misses: AtomicU64,
    bytes_kept: AtomicU64,
    bytes_fetched: AtomicU64,
}

impl Object {
    pub(super) fn new(key: Key<'_>, meta: &Meta) -> Self {
        Self {
            key: key.as_str().to_owned(),
            version: meta.version.clone(),
            size: meta.size,
            modified: meta.modified,
            checksum: meta.checksum,
        }
    }
}

impl Pieces {
    pub(super) fn new(
        config: &CachedConfig,
        beneath: Beneath,
        folder: Option<Folder>,
    ) -> Result<Self> {
        let (bytes, size) = (config.memory.0, config.piece_size.0);
        // A shard that has room for a few pieces only keeps none of them for long.
        let shards = (bytes / size.saturating_mul(8).max(1)).clamp(1, 8);
        let items = usize::try_from(bytes / size).unwrap_or(usize::MAX).clamp(1, 1 << 20);
        let room = OptionsBuilder::new()
            .shards(usize::try_from(shards).unwrap_or(1))
            .estimated_items_capacity(items)
            .weight_capacity(bytes)
            .build()
            .map_err(|error| {
                Error::new(ErrorKind::Config, "no memory can be that large").with_source(error)
            })?;
        let memory = Cache::with_options(
            room,
            Weight,
            DefaultHashBuilder::default(),
            DefaultLifecycle::default(),
        );
        let folder = folder.map(Arc::new);
        let disk = config.disk.clone();
        Ok(Self { beneath, disk, size, memory, folder, figures: Figures::default() })
    }

    pub(super) fn beneath(&self) -> &Beneath {
        &self.beneath
    }

    /// These bytes of an object. The first of them are there before this answers, so that an object which was
    /// replaced meanwhile is told at once.
    pub(super) async fn read(self: &Arc<Self>, object: Object, range: Range<u64>) -> Result<Body> {
        let object = Arc::new(object);
        let numbers = range.start / self.size..range.end.div_ceil(self.size);
        let first = self.run(&object, numbers.start..numbers.start + 1).await?;
        let ahead = Ahead {
            pieces: self.clone(),
            object: object.clone(),
            ready: first,
            left: numbers.start + 1..numbers.end,
            at_once: 1,
        };
        let all = futures_util::stream::try_unfold(ahead, |mut ahead| async move {
            let next = ahead.next().await.map_err(replaced)?;
            Ok(next.map(|piece| (piece, ahead)))
        });
        let is_summed = range == (0..object.size) && object.checksum.is_some();
        let reading = Reading {
            pieces: self.clone(),
            object,
            left: range,
            sum: is_summed.then_some(Checksum::EMPTY),
            all: all.boxed(),
        };
        Ok(Body::stream(futures_util::stream::try_unfold(reading, |mut reading| async move {
            let next = reading.next().await?;
            Ok::<_, Error>(next.map(|bytes| (bytes, reading)))
        })))
    }

    /// The first of the pieces of these numbers, from wherever it is, and those after it that are fetched with
    /// it, because nobody has them. Whoever wants one that is on its way waits for it, but not for ever: who
    /// fetches it may have stopped, and is only heard of again when it is dropped.
    async fn run(&self, object: &Arc<Object>, numbers: Range<u64>) -> Result<VecDeque<Bytes>> {
        let piece = Piece { object: object.clone(), number: numbers.start };
        let found = tokio::time::timeout(WAIT_MAX, self.memory.get_value_or_guard_async(&piece));
        let place = match found.await {
            Ok(Ok(bytes)) => return Ok([self.hit(bytes)].into()),
            Ok(Err(place)) => Some(place),
            Err(_) => None,
        };
        let mut wanted = Wanted { piece, place };
        if let Some(bytes) = self.kept(&wanted.piece).await {
            self.put(&mut wanted, &bytes);
            return Ok([self.hit(bytes)].into());
        }
        let mut missing = vec![wanted];
        let mut after = None;
        for number in numbers.skip(1) {
            let piece = Piece { object: object.clone(), number };
            // Those who hold a place wait for nobody: two of them would wait for each other.
            let place = self.memory.get_value_or_guard(&piece, Some(Duration::ZERO));
            let GuardResult::Guard(place) = place else { break };
            let mut wanted = Wanted { piece, place: Some(place) };
            if let Some(bytes) = self.kept(&wanted.piece).await {
                self.put(&mut wanted, &bytes);
                after = Some(bytes);
                break;
            }
            missing.push(wanted);
        }
        let count = missing.len();
        let mut run = self.fetch(missing).await?;
        if run.len() == count {
            run.extend(after.map(|bytes| self.hit(bytes)));
        }
        Ok(run)
    }

    fn hit(&self, bytes: Bytes) -> Bytes {
        self.figures.count(false, bytes.len() as u64);
        bytes
    }

    /// Lets all have a piece who want it.
    fn put(&self, wanted: &mut Wanted<'_>, bytes: &Bytes) {
        match wanted.place.take() {
            // If the place is gone, somebody came who did not wait.
            Some(place) => drop(place.insert(bytes.clone())),
            None => self.memory.insert(wanted.piece.clone(), bytes.clone()),
        }
    }

    fn span(&self, piece: &Piece) -> Range<u64> {
        let start = piece.number * self.size;
        start..start.saturating_add(self.size).min(piece.object.size)
    }

    /// Pieces that follow each other, with one request. If it breaks off, those that came are the answer.
    async fn fetch(&self, missing: Vec<Wanted<'_>>) -> Result<VecDeque<Bytes>> {
        let mut run = VecDeque::with_capacity(missing.len());
        let (Some(first), Some(last)) = (missing.first(), missing.last()) else { return Ok(run) };
        let span = self.span(&first.piece).start..self.span(&last.piece).end;
        let mut rest = self.open(&first.piece.object, span).await?;
        for mut wanted in missing {
            let span = self.span(&wanted.piece);
            match rest.take(span.end - span.start).await {
                Ok(bytes) => {
                    self.keep(&wanted.piece, &bytes).await;
                    self.put(&mut wanted, &bytes);
                    self.figures.count(true, bytes.len() as u64);
                    run.push_back(bytes);
                }
                Err(error) if run.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(run)
    }

    /// These bytes of an object, as they come.
    async fn open(&self, object: &Object, span: Range<u64>) -> Result<Rest> {
        let read = Read {
            range: Some(span.clone().into()),
            only: Some(object.version.clone()),
            ..Read::default()
        };
        let fetched = self.beneath.get(Key::parse(&object.key)?, &read).await?;
        let fetched = fetched.ok_or_else(|| of_nobody("a condition that was not made"))?;
        if fetched.meta.version != object.version {
            return Err(another_version());
        }
        if fetched.range != span {
            return Err(of_nobody("other bytes than were asked for"));
        }
        Ok(Rest { body: fetched.body, came: Bytes::new() })
    }

    async fn kept(&self, piece: &Piece) -> Option<Bytes> {
        let folder = self.folder.clone()?;
        let (says, length) = (self.identity(piece), self.span(piece));
        let bytes = blocking(move || folder.load(&says)).await??;
        (bytes.len() as u64 == length.end - length.start).then_some(bytes)
    }

    async fn keep(&self, piece: &Piece, bytes: &Bytes) {
        let Some(folder) = self.folder.clone() else { return };
        let (says, bytes) = (self.identity(piece), bytes.clone());
        blocking(move || folder.store(&says, &bytes)).await;
    }

    /// What tells a piece from all others, in words that the next start says too.
    fn identity(&self, piece: &Piece) -> String {
        let Object { key, version, size, modified, checksum } = &*piece.object;
        let since = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let sum = checksum.map(|sum| sum.to_string()).unwrap_or_default();
        let (disk, of, number) = (&self.disk, self.size, piece.number);
        // No key and no name has a zero in it; what a version has does no harm at the end.
        format!("{disk}\0{key}\0{number}\0{of}\0{size}\0{since}\0{sum}\0{version}")
    }

    /// Drops every piece of an object, which as a whole is not what was stored.
    async fn forget(&self, object: &Arc<Object>) {
        for number in 0..object.size.div_ceil(self.size) {
            let piece = Piece { object: object.clone(), number };
            self.memory.remove(&piece);
            if let Some(folder) = self.folder.clone() {
                let says = self.identity(&piece);
                blocking(move || folder.remove(&says)).await;
            }
        }
    }

    pub(super) fn folder_trouble(&self) -> Option<String> {
        self.folder.as_ref().and_then(|folder| folder.trouble())
    }

    pub(super) fn details(&self) -> Details {
        let figures = &self.figures;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let details = Details::new()
            .with("hits", read(&figures.hits))
            .with("misses", read(&figures.misses))
            .with("bytes_from_cache", read(&figures.bytes_kept))
            .with("bytes_fetched", read(&figures.bytes_fetched))
            .with("memory_bytes", self.memory.weight());
        match &self.folder {
            Some(folder) => details
                .with("folder_bytes", folder.bytes())
                .with("folder_failures", folder.failures())
                .with("folder_corrupt", folder.corrupt()),
            None => details,
        }
    }

    pub(super) fn metrics(&self) -> Vec<Metric> {
        let figures = &self.figures;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let pieces = |result, value| {
            Metric::counter("cache_pieces_total", "Pieces of objects that were read.", value)
                .with("result", result)
        };
        let bytes = |result, value| {
            Metric::counter("cache_bytes_total", "Bytes of the pieces that were read.", value)
                .with("result", result)
        };
        let kept = |place, value| {
            Metric::gauge("cache_kept_bytes", "Bytes that are kept.", value).with("place", place)
        };
        let mut metrics = vec![
            pieces("hit", read(&figures.hits)),
            pieces("miss", read(&figures.misses)),
            bytes("hit", read(&figures.bytes_kept)),
            bytes("miss", read(&figures.bytes_fetched)),
            kept("memory", self.memory.weight()),
        ];
        if let Some(folder) = &self.folder {
            metrics.push(kept("folder", folder.bytes()));
            metrics.push(Metric::counter(
                "cache_folder_failures_total",
                "Failures of the folder, which cost a way to the other disk.",
                folder.failures(),
            ));
        }
        metrics
    }
}

/// The right to bring a piece, for which others wait.
type Place<'p> =
    PlaceholderGuard<'p, Piece, Bytes, Weight, DefaultHashBuilder, DefaultLifecycle<Piece, Bytes>>;

/// A piece that nobody has, and the right to bring it.
struct Wanted<'p> {
    piece: Piece,
    /// Without one, somebody else has it for too long already.
    place: Option<Place<'p>>,
}

/// The pieces of an object in their order, more at once the longer somebody reads on.
struct Ahead {
    pieces: Arc<Pieces>,
    object: Arc<Object>,
    /// Those that came, and were not read yet.
    ready: VecDeque<Bytes>,
    /// The numbers of those that did not.
    left: Range<u64>,
    at_once: u64,
}

impl Ahead {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        if self.ready.is_empty() && !self.left.is_empty() {
            self.at_once = (self.at_once * 2).min(AT_ONCE_MAX);
            let end = self.left.end.min(self.left.start + self.at_once);
            self.ready = self.pieces.run(&self.object, self.left.start..end).await?;
            self.left.start += self.ready.len() as u64;
        }
        Ok(self.ready.pop_front())
    }
}

/// What is still to come of a request.
struct Rest {
    body: Body,
    came: Bytes,
}

impl Rest {
    /// So many bytes, in memory of their own: what is kept is not to keep the rest with it.
    async fn take(&mut self, length: u64) -> Result<Bytes> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let mut piece = BytesMut::with_capacity(length);
        while piece.len() < length {
            if self.came.is_empty() {
                let ended =
                    || Error::new(ErrorKind::Unavailable, "the object ended before its end");
                self.came = self.body.try_next().await?.ok_or_else(ended)?;
            }
            let more = self.came.len().min(length - piece.len());
            piece.extend_from_slice(&self.came.split_to(more));
        }
        Ok(piece.freeze())
    }
}

/// An object that is being read.
struct Reading {
    pieces: Arc<Pieces>,
    object: Arc<Object>,
    /// What is still to come.
    left: Range<u64>,
    /// What was read so far, where the whole is read and its sum is known.
    sum: Option<Checksum>,
    all: BoxStream<'static, Result<Bytes>>,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let Some(piece) = self.all.try_next().await? else {
            if self.sum.is_some() && self.sum != self.object.checksum {
                self.pieces.forget(&self.object).await;
            }
            return Ok(None);
        };
        let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(piece.len());
        let begin = self.left.start / self.pieces.size * self.pieces.size;
        let bytes = piece.slice(at(self.left.start - begin)..at(self.left.end - begin));
        self.left.start += bytes.len() as u64;
        self.sum = self.sum.map(|sum| sum.and(&bytes));
        Ok(Some(bytes))
    }
}

impl Figures {
    fn count(&self, is_fetched: bool, bytes: u64) {
        let (pieces, of) = if is_fetched {
            (&self.misses, &self.bytes_fetched)
        } else {
            (&self.hits, &self.bytes_kept)
        };
        pieces.fetch_add(1, Ordering::Relaxed);
        of.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[derive(Clone)]
struct Weight;

impl Weighter<Piece, Bytes> for Weight {
    fn weight(&self, piece: &Piece, bytes: &Bytes) -> u64 {
        (bytes.len() + piece.object.key.len()) as u64 + OVERHEAD
    }
}

/// Does `work` where waiting holds nobody up; nothing, if the runtime shuts down or it panics.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

/// An object that is replaced after its beginning was read has no end any more.
fn replaced(error: Error) -> Error {
    if !is_gone(&error) {
        return error;
    }
    Error::new(ErrorKind::Conflict, "the object was replaced while it was read").with_source(error)
}

fn of_nobody(what: &'static str) -> Error {
    Error::new(ErrorKind::Unexpected, "the disk beneath answered something else")
        .with_context("answer", what)
}

/// How long a piece is waited for that somebody else fetches.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// How many pieces are fetched with one request, at the most: a reader holds so many.
const AT_ONCE_MAX: u64 = 8;
/// What keeping a piece costs beside its bytes, about.
const OVERHEAD: u64 = 256;
