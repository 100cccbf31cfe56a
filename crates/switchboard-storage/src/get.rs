//! Reading an object.

use std::fmt;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::de::DeserializeOwned;
use switchboard_core::{Class, Error, ErrorKind, Held, Leased, Result};

use crate::disk::{about, op};
use crate::driver::{ByteRange, Fetched, Read};
use crate::{Checksum, Disk, Disks, Meta, Version};

/// An object about to be read: which bytes, and of which version. It is opened when this is awaited.
///
/// ```
/// # use switchboard_core::{Environment, Manager, Registry, Settings};
/// # use switchboard_storage::Disks;
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
/// # runtime.block_on(async {
/// # let disks = Manager::<Disks>::new(Registry::with_built_ins()?, &Environment::new())?;
/// # disks.configure("main", &Settings::new().with("driver", "memory"))?;
/// # let disk = disks.handle("main")?;
/// let stored = disk.put("note.txt", "Hello, Ada").await?;
/// assert_eq!(disk.get("note.txt").range(7..).await?.text(1024).await?, "Ada");
/// assert!(disk.get("note.txt").unless(&stored.version).await?.is_none());
/// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
/// ```
#[must_use = "nothing is read until it is awaited"]
#[derive(Debug)]
pub struct Get<'d, Answer = Object> {
    disk: &'d Disk,
    key: &'d str,
    read: Read,
    answer: PhantomData<fn() -> Answer>,
}

impl<'d> Get<'d> {
    pub(crate) fn new(disk: &'d Disk, key: &'d str) -> Self {
        Self { disk, key, read: Read::default(), answer: PhantomData }
    }

    async fn run(self) -> Result<Object> {
        let Self { disk, key, read, .. } = self;
        match open(disk, key, &read).await? {
            Some(object) => Ok(object),
            None => Err(Error::new(
                ErrorKind::Unexpected,
                "the driver told of a condition that was not made",
            )),
        }
    }
}

impl<'d, Answer> Get<'d, Answer> {
    /// These bytes and no others.
    pub fn range(mut self, range: impl Into<ByteRange>) -> Self {
        self.read.range = Some(range.into());
        self
    }

    /// The last `length` bytes, or all if there are fewer.
    pub fn last(self, length: u64) -> Self {
        self.range(ByteRange::Last(length))
    }

    /// This version and no other: else
    /// [`PreconditionFailed`](switchboard_core::ErrorKind::PreconditionFailed).
    pub fn only(mut self, version: &Version) -> Self {
        self.read.only = Some(version.clone());
        self
    }

    /// Any version but this one: where it still is, the answer is `None`.
    pub fn unless(mut self, version: &Version) -> Get<'d, Option<Object>> {
        self.read.unless = Some(version.clone());
        self.optional()
    }

    /// Only what was stored after that moment: else the answer is `None`. Beside
    /// [`unless`](Self::unless), which knows better, it is not looked at.
    pub fn since(mut self, moment: SystemTime) -> Get<'d, Option<Object>> {
        self.read.since = Some(moment);
        self.optional()
    }

    fn optional(self) -> Get<'d, Option<Object>> {
        let Self { disk, key, read, .. } = self;
        Get { disk, key, read, answer: PhantomData }
    }
}

impl<'d> IntoFuture for Get<'d> {
    type Output = Result<Object>;
    type IntoFuture = BoxFuture<'d, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<'d> IntoFuture for Get<'d, Option<Object>> {
    type Output = Result<Option<Object>>;
    type IntoFuture = BoxFuture<'d, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { disk, key, read, .. } = self;
        Box::pin(async move { open(disk, key, &read).await })
    }
}

/// An object that is being read: a [`Stream`] of its bytes.
///
/// All bytes are of one version. Reading that breaks off is taken up again where it was; if the object was
/// replaced meanwhile, it ends with [`ErrorKind::Conflict`]. An object that is read whole is compared with what
/// was stored: [`ErrorKind::Corrupt`] comes in the place of its last bytes.
pub struct Object {
    meta: Meta,
    range: Range<u64>,
    pieces: BoxStream<'static, Result<Bytes>>,
}

impl Object {
    /// What is known of the whole object.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Which of its bytes these are.
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// All bytes that are still to come, `limit` at most.
    pub async fn bytes(self, limit: usize) -> Result<Bytes> {
        crate::Body::stream(self.pieces).collect(limit).await
    }

    /// The text that is still to come, of `limit` bytes at most. Bytes that are no text in UTF-8 are
    /// [`ErrorKind::Corrupt`].
    pub async fn text(self, limit: usize) -> Result<String> {
        text_of(self.bytes(limit).await?)
    }

    /// What is written there in JSON, in `limit` bytes at most. Bytes that are no such value are
    /// [`ErrorKind::Corrupt`].
    ///
    /// ```
    /// # use switchboard_core::{Environment, Manager, Registry, Settings};
    /// # use switchboard_storage::Disks;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # runtime.block_on(async {
    /// # let disks = Manager::<Disks>::new(Registry::with_built_ins()?, &Environment::new())?;
    /// # disks.configure("main", &Settings::new().with("driver", "memory"))?;
    /// # let disk = disks.handle("main")?;
    /// disk.put("primes.json", "[2, 3, 5]").await?;
    /// let primes: Vec<u32> = disk.get("primes.json").await?.json(1024).await?;
    /// assert_eq!(primes, [2, 3, 5]);
    /// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
    /// ```
    pub async fn json<T: DeserializeOwned>(self, limit: usize) -> Result<T> {
        value_of(&self.bytes(limit).await?)
    }
}

impl Stream for Object {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.pieces.poll_next_unpin(context)
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object")
            .field("meta", &self.meta)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

/// The text that the bytes of an object are.
pub(crate) fn text_of(bytes: Bytes) -> Result<String> {
    String::from_utf8(bytes.into()).map_err(|error| {
        Error::new(ErrorKind::Corrupt, "the object is not a text in UTF-8").with_source(error)
    })
}

/// The value that is written in JSON in the bytes of an object.
pub(crate) fn value_of<T: DeserializeOwned>(bytes: &Bytes) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        Error::new(ErrorKind::Corrupt, "the object is not the value that was asked for")
            .with_source(error)
    })
}

/// Opens an object; `None` if it is unchanged in the sense of `read`.
pub(crate) async fn open(disk: &Disk, key: &str, read: &Read) -> Result<Option<Object>> {
    let place = &*disk.place(op::GET, key)?;
    let get = |store: Held<Disks>| async move { store.get(place, read).await };
    let leased = disk.line().open(op::GET, get).await.map_err(|error| about(error, key))?;
    Ok(Reading::new(disk, key, leased).map(Reading::object))
}

/// An object that is being read, and what is needed to take it up again.
struct Reading {
    disk: Disk,
    key: String,
    leased: Leased<Disks, Option<Fetched>>,
    meta: Meta,
    /// What is still to come.
    left: Range<u64>,
    /// What was read so far, where the whole is read and compared.
    sum: Option<Checksum>,
    /// How often in a row it broke off and nothing came.
    broke_off: u32,
}

impl Reading {
    fn new(disk: &Disk, key: &str, leased: Leased<Disks, Option<Fetched>>) -> Option<Self> {
        let fetched = leased.shared().0.as_ref()?;
        let (meta, left) = (fetched.meta.clone(), fetched.range.clone());
        let is_whole = left == (0..meta.size);
        let sum = (is_whole && leased.driver().verifies(&meta)).then_some(Checksum::EMPTY);
        Some(Self {
            disk: disk.clone(),
            key: key.to_owned(),
            leased,
            meta,
            left,
            sum,
            broke_off: 0,
        })
    }

    fn object(self) -> Object {
        let (meta, range) = (self.meta.clone(), self.left.clone());
        let pieces = futures_util::stream::try_unfold(self, |mut reading| async move {
            let next = reading.next().await.map_err(|error| about(error, &reading.key))?;
            Ok(next.map(|piece| (piece, reading)))
        });
        Object { meta, range, pieces: pieces.boxed() }
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let (fetched, step) = self.leased.parts();
            let Some(fetched) = fetched else { return Ok(None) };
            match step.run(op::READ, fetched.body.try_next()).await {
                Ok(Some(piece)) => {
                    self.broke_off = 0;
                    self.left.start += piece.len() as u64;
                    self.sum = self.sum.map(|sum| sum.and(&piece));
                    // Those who know how long the object is do not ask for its end.
                    if self.left.is_empty() {
                        self.verify()?;
                    }
                    return Ok(Some(piece));
                }
                Ok(None) => return self.verify().map(|()| None),
                Err(error) => self.resume(error).await?,
            }
        }
    }

    /// Whether the bytes that came, all of them, are those that were stored.
    fn verify(&self) -> Result<()> {
        self.sum.map_or(Ok(()), |sum| self.leased.driver().verify(&self.meta, sum))
    }

    /// Takes reading up again that broke off because of `error`.
    async fn resume(&mut self, error: Error) -> Result<()> {
        if error.class() != Class::Outage || self.broke_off == BREAKS_MAX {
            return Err(error);
        }
        self.broke_off += 1;
        let read = &Read {
            range: Some(self.left.clone().into()),
            only: Some(self.meta.version.clone()),
            ..Read::default()
        };
        let place = &*self.disk.place(op::GET, &self.key)?;
        let get = |store: Held<Disks>| async move { store.get(place, read).await };
        self.leased =
            self.disk.line().open(op::GET, get).await.map_err(|again| match again.kind() {
                ErrorKind::PreconditionFailed | ErrorKind::NotFound => {
                    Error::new(ErrorKind::Conflict, "the object was replaced while it was read")
                        .with_source(error)
                }
                // Whoever tells no version from another can be read, but not taken up again.
                ErrorKind::Unsupported => error,
                _ => again,
            })?;
        Ok(())
    }
}

/// How often in a row reading may break off while nothing comes.
const BREAKS_MAX: u32 = 3;
