//! What an application holds: the handle of a disk, and everything that can be asked of it.
//!
//! It knows where in the disk it stands ([`scope`](Disk::scope)). What every disk does around its driver is in
//! `store`; reading, storing and listing have a file each.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use switchboard_core::{
    Deadline, Error, ErrorKind, Held, LeftOut, Line, Op, Outcome, Place, Registry, Result,
    Subsystem,
};

use crate::cut::Plan;
use crate::get::Get;
use crate::listing::Listing;
use crate::put::{InParts, Put};
use crate::store::Store;
use crate::{Body, Key, Meta, Version, drivers};

switchboard_core::operations! {
    /// What a disk can be asked.
    pub mod op {
        HEAD = "head": Read;
        GET = "get": Read;
        /// The next bytes of what was opened.
        READ = "read": Read;
        LIST = "list": Read;
        /// What has to be known of who serves before an object is cut into parts, or is not.
        PREPARE = "prepare": Read;
        /// With a condition it is made again only with its mark, by which it is known again.
        PUT = "put": Idempotent;
        /// What is left is the same however often it is asked; only the answer differs.
        DELETE = "delete": Idempotent;
        DELETE_MANY = "delete_many": Idempotent;
        COPY = "copy": Idempotent;
        RENAME = "rename": Unsafe;
        /// Begins an object that comes in parts; one that nobody goes on with is swept.
        BEGIN = "begin": Idempotent;
        PART = "part": Idempotent;
        COMPLETE = "complete": Keyed;
        ABORT = "abort": Idempotent;
        SWEEP = "sweep": Idempotent;
        SIGN = "sign": Read;
    }
}

/// The subsystem of disks. It is only a name and has no values.
#[derive(Debug)]
pub enum Disks {}

impl Subsystem for Disks {
    const NAME: &'static str = "storage";
    type Driver = Store;
    type Handle = Disk;
    const OPERATIONS: &'static [Op] = op::ALL;
    const LEFT_OUT: &'static [LeftOut] = drivers::LEFT_OUT;

    fn register_built_ins(registry: &Registry<Self>) -> Result<()> {
        drivers::register_built_ins(registry)
    }
}

/// A disk: objects under keys.
///
/// Cheap to clone, and good for the life of the application whichever driver serves it.
#[derive(Clone)]
pub struct Disk {
    line: Line<Disks>,
    /// What all keys of this handle begin with, a `/` at its end; empty for the whole disk.
    scope: Arc<str>,
    is_read_only: bool,
}

impl From<Line<Disks>> for Disk {
    fn from(line: Line<Disks>) -> Self {
        Self { line, scope: Arc::from(""), is_read_only: false }
    }
}

impl Disk {
    /// The line the handle holds: capabilities, figures, who serves.
    pub fn line(&self) -> &Line<Disks> {
        &self.line
    }

    /// The part of this disk whose keys begin with `name` and a `/`, as a disk of its own: nothing outside
    /// of it can be reached through it.
    ///
    /// ```
    /// # use switchboard_core::{Environment, Manager, Registry, Settings};
    /// # use switchboard_storage::Disks;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # runtime.block_on(async {
    /// # let disks = Manager::<Disks>::new(Registry::with_built_ins()?, &Environment::new())?;
    /// # disks.configure("main", &Settings::new().with("driver", "memory"))?;
    /// let disk = disks.handle("main")?;
    /// let photos = disk.scope("users/7/photos")?;
    /// photos.put("cat.jpg", "…").await?;
    /// assert!(disk.exists("users/7/photos/cat.jpg").await?);
    /// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
    /// ```
    pub fn scope(&self, name: &str) -> Result<Self> {
        let name = self.placed(op::HEAD, Key::parse(name))?;
        Ok(Self { scope: format!("{}{name}/", self.scope).into(), ..self.clone() })
    }

    /// The same disk, for those who are only to read.
    #[must_use]
    pub fn read_only(&self) -> Self {
        Self { is_read_only: true, ..self.clone() }
    }

    /// What is known of the object under `key`.
    pub async fn head(&self, key: &str) -> Result<Meta> {
        let place = &*self.place(op::HEAD, key)?;
        let head =
            self.line.call(op::HEAD, |store: Held<Disks>| async move { store.head(place).await });
        head.await.map_err(|error| about(error, key))
    }

    /// Whether there is an object under `key`.
    pub async fn exists(&self, key: &str) -> Result<bool> {
        match self.head(key).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// All bytes of the object under `key`, compared with what was stored.
    ///
    /// More than the setting `read_max` is [`ErrorKind::TooLarge`]: for large objects there is
    /// [`get`](Self::get).
    pub async fn read(&self, key: &str) -> Result<Bytes> {
        let place = &*self.place(op::GET, key)?;
        let read =
            self.line.call(op::GET, |store: Held<Disks>| async move { store.read(place).await });
        read.await.map_err(|error| about(error, key))
    }

    /// The text under `key`: as [`read`](Self::read); bytes that are no text in UTF-8 are [`ErrorKind::Corrupt`].
    pub async fn read_text(&self, key: &str) -> Result<String> {
        let text = crate::get::text_of(self.read(key).await?);
        self.placed(op::GET, text).map_err(|error| about(error, key))
    }

    /// The value that is written in JSON under `key`: as [`read`](Self::read); bytes that are no such value are
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
    /// disk.put_json("primes.json", &[2, 3, 5]).if_absent().await?;
    /// assert_eq!(disk.read_json::<Vec<u32>>("primes.json").await?, [2, 3, 5]);
    /// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
    /// ```
    pub async fn read_json<T: DeserializeOwned>(&self, key: &str) -> Result<T> {
        let value = crate::get::value_of(&self.read(key).await?);
        self.placed(op::GET, value).map_err(|error| about(error, key))
    }

    /// The object under `key`, its bytes as they come.
    pub fn get<'d>(&'d self, key: &'d str) -> Get<'d> {
        Get::new(self, key)
    }

    /// Stores `body` under `key`, and replaces what was there.
    pub fn put<'d>(&'d self, key: &'d str, body: impl Into<Body>) -> Put<'d> {
        Put::new(self, key, body.into())
    }

    /// Stores `value` under `key`, written in JSON. One that cannot be written so is
    /// [`ErrorKind::InvalidInput`], and nothing is stored.
    pub fn put_json<'d>(&'d self, key: &'d str, value: &(impl Serialize + ?Sized)) -> Put<'d> {
        self.put(key, Body::json(value)).content_type("application/json")
    }

    /// Begins an object that comes part by part, under `key`.
    pub fn upload<'d>(&'d self, key: &'d str) -> Put<'d, InParts> {
        Put::new(self, key, InParts::default())
    }

    /// Removes what is under `key`; that nothing is there is fine.
    ///
    /// `true` if something was, where the service tells.
    pub async fn delete(&self, key: &str) -> Result<bool> {
        self.delete_version(key, None).await
    }

    /// Removes what is under `key` if it is that version: else [`ErrorKind::PreconditionFailed`]. Where nothing is
    /// there is nothing to remove, whatever the version: `false`, as of [`delete`](Self::delete).
    pub async fn delete_only(&self, key: &str, version: &Version) -> Result<bool> {
        self.delete_version(key, Some(version)).await
    }

    async fn delete_version(&self, key: &str, only: Option<&Version>) -> Result<bool> {
        self.allow_writing(op::DELETE)?;
        let place = &*self.place(op::DELETE, key)?;
        let delete = |store: Held<Disks>| async move { store.delete(place, only).await };
        self.line.call(op::DELETE, delete).await.map_err(|error| about(error, key))
    }

    /// What is there under keys that begin with `prefix`, a text and not a directory: `a` begins `ab` as well.
    pub fn list<'d>(&'d self, prefix: &'d str) -> Listing<'d> {
        Listing::new(self, prefix)
    }

    /// What the driver is asked for where this handle is asked for `key`.
    pub(crate) fn place<'k>(&self, op: Op, key: &'k str) -> Result<std::borrow::Cow<'k, str>> {
        let parsed = Key::parse(key).map_err(|error| match key.len() {
            ..=Key::LENGTH_MAX => about(error, key),
            _ => error,
        });
        let key = self.placed(op, parsed)?.as_str();
        if self.scope.is_empty() {
            return Ok(key.into());
        }
        Ok(format!("{}{key}", self.scope).into())
    }

    /// The key of what is at `place` in the whole disk; `place` itself where this handle does not reach.
    pub(crate) fn key_of<'p>(&self, place: &'p str) -> &'p str {
        place.strip_prefix(&*self.scope).unwrap_or(place)
    }

    /// `place` in the whole disk, if this handle reaches it.
    pub(crate) fn reached<'p>(&self, place: &'p str) -> Result<&'p str> {
        let Some(key) = place.strip_prefix(&*self.scope) else {
            return Err(Error::new(ErrorKind::PermissionDenied, "it is outside of the scope")
                .with_context("scope", self.scope.escape_debug())
                .not_applied());
        };
        Key::parse(key).map(|_| place)
    }

    /// What the driver's keys begin with here.
    pub(crate) fn scope_prefix(&self) -> &str {
        &self.scope
    }

    /// How objects go through this disk, as it is served now.
    pub(crate) async fn plan(&self) -> Result<Plan> {
        // What is known needs no call.
        if let Some(plan) = self.line.peek(Store::plan) {
            return Ok(plan);
        }
        let plan = |store: Held<Disks>| async move { Ok(store.plan()) };
        self.line.call(op::PREPARE, plan).await
    }

    pub(crate) fn allow_writing(&self, op: Op) -> Result<()> {
        if !self.is_read_only {
            return Ok(());
        }
        let refusal = Error::new(ErrorKind::PermissionDenied, "the handle is only for reading");
        self.placed(op, Err(refusal.not_applied()))
    }

    /// An error that came about before the line was asked, with its place.
    pub(crate) fn placed<T>(&self, op: Op, result: Result<T>) -> Result<T> {
        result.map_err(|error| {
            error.at(|| Place {
                subsystem: Disks::NAME,
                instance: self.line.instance().into(),
                driver: self.line.serving().map(|(driver, _)| driver),
                operation: op.name(),
            })
        })
    }

    /// What became of a write whose last answer was lost, if the service still tells in time.
    pub(crate) fn resolve<'a>(
        &'a self,
        place: &'a str,
        write: &'a crate::driver::Write,
        error: Error,
    ) -> BoxFuture<'a, Result<crate::driver::Stored>> {
        async move {
            let Some(own) = write.write_id.filter(|_| error.outcome() == Outcome::Unknown) else {
                return Err(error);
            };
            if Deadline::current().is_some_and(|_| error.kind() == ErrorKind::Timeout) {
                return Err(error);
            }
            let head = |store: Held<Disks>| async move { store.head(place).await };
            match self.line.call(op::HEAD, head).await {
                Ok(meta) if meta.write_id == Some(own) => {
                    Ok(crate::driver::Stored::new(meta.version, meta.size, meta.checksum))
                }
                // Somebody else's object may have come after ours.
                _ => Err(error),
            }
        }
        .boxed()
    }
}

/// The error with the key it is about.
pub(crate) fn about(error: Error, key: &str) -> Error {
    match error.context_value("key") {
        Some(_) => error,
        None => error.with_context("key", key.escape_debug()),
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk")
            .field("line", &self.line)
            .field("scope", &self.scope)
            .field("is_read_only", &self.is_read_only)
            .finish()
    }
}
