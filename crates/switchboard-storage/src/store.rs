//! What serves a disk: its driver, and what every disk does around it.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use switchboard_core::{
    BuildContext, Capabilities, Details, Erase, Error, ErrorKind, Health, Lifecycle, Metric, Name,
    Outcome, Reply, Result, Support,
};

use crate::cut::{Lengths, Plan};
use crate::delete;
use crate::doubt::Doubt;
use crate::driver::{
    Condition, Fetched, List, Page, Part, PartTag, Read, Sign, Signed, StorageDriver, Stored,
    UploadId, Write, capability,
};
use crate::signature::Addresses;
use crate::{Checksum, DiskConfig, Key, Meta, Verify, Version};

/// A driver of storage at work: what a manager holds.
pub struct Store {
    driver: Arc<dyn StorageDriver>,
    config: DiskConfig,
    /// What all keys begin with, a `/` at its end; empty if there is none.
    prefix: String,
    has_parts: bool,
    has_attributes: bool,
    /// Which instance it is.
    instance: Name,
    /// What its addresses are signed with, where the service is not to do it.
    addresses: Option<Arc<Addresses>>,
    /// What the driver can do, where it does not know better itself.
    declared: Capabilities,
}

/// A driver at work that still knows its type, by which it can be looked up.
///
/// Made by [`register`](crate::register); by hand only for [`Manager::insert`] and
/// [`Manager::override_instance`].
///
/// [`Manager::insert`]: switchboard_core::Manager::insert
/// [`Manager::override_instance`]: switchboard_core::Manager::override_instance
pub struct Served<D> {
    store: Arc<Store>,
    driver: PhantomData<fn() -> D>,
}

impl<D: StorageDriver> Served<D> {
    /// `driver`, with what every disk does around it as `config` says. `declared` is what it can do, where it does
    /// not know better itself.
    pub fn new(
        driver: D,
        declared: &Capabilities,
        config: DiskConfig,
        build: &BuildContext,
    ) -> Result<Self> {
        let prefix = match config.prefix.as_deref().map(|prefix| prefix.trim_end_matches('/')) {
            None | Some("") => String::new(),
            Some(prefix) => format!("{}/", Key::parse(prefix)?),
        };
        let own = driver.capabilities();
        let can = own.as_ref().unwrap_or(declared);
        let has_parts = can.has(capability::PARTS);
        let has_attributes = can.has(capability::ATTRIBUTES);
        let addresses = Addresses::new(&config, build.clock())?.map(Arc::new);
        let (driver, declared) = (Arc::new(driver), declared.clone());
        let instance = build.instance().clone();
        let store = Store {
            driver,
            config,
            prefix,
            has_parts,
            has_attributes,
            instance,
            addresses,
            declared,
        };
        Ok(Self { store: Arc::new(store), driver: PhantomData })
    }
}

impl<D: StorageDriver> Erase<Served<D>> for Store {
    fn erase(served: Arc<Served<D>>) -> Arc<Self> {
        served.store.clone()
    }
}

impl Store {
    /// The settings that every disk has.
    pub fn config(&self) -> &DiskConfig {
        &self.config
    }

    /// The driver itself, without what is done around it.
    pub fn driver(&self) -> &dyn StorageDriver {
        &*self.driver
    }

    /// What is written where the disk writes `key`.
    pub(crate) fn place<'k>(&self, key: &'k str) -> Cow<'k, str> {
        if self.prefix.is_empty() {
            return Cow::Borrowed(key);
        }
        Cow::Owned(format!("{}{key}", self.prefix))
    }

    pub(crate) async fn head(&self, key: &str) -> Result<Meta> {
        let place = self.place(key);
        self.driver.head(Key::parse(&place)?).await
    }

    pub(crate) async fn get(&self, key: &str, read: &Read) -> Result<Option<Fetched>> {
        let place = self.place(key);
        let fetched = self.driver.get(Key::parse(&place)?, read).await?;
        Ok(fetched.map(|fetched| {
            let length = fetched.range.end.saturating_sub(fetched.range.start);
            Fetched { body: fetched.body.of_service(length), ..fetched }
        }))
    }

    /// All bytes of an object, compared with what was stored.
    pub(crate) async fn read(&self, key: &str) -> Result<Bytes> {
        let limit = usize::try_from(self.config.read_max.0).unwrap_or(usize::MAX);
        let Some(fetched) = self.get(key, &Read::default()).await? else {
            return Err(Error::new(
                ErrorKind::Unexpected,
                "the driver told of a condition that was not made",
            ));
        };
        let bytes = fetched.body.collect(limit).await?;
        if self.verifies(&fetched.meta) {
            self.verify(&fetched.meta, Checksum::of(&bytes))?;
        }
        Ok(bytes)
    }

    /// Whether the bytes of such an object are to be compared, and there is something to compare them with.
    pub(crate) fn verifies(&self, meta: &Meta) -> bool {
        self.config.verify == Verify::Full && meta.checksum.is_some()
    }

    /// Whether the bytes that were read are those that were stored.
    pub(crate) fn verify(&self, meta: &Meta, read: Checksum) -> Result<()> {
        match meta.checksum {
            Some(stored) if self.verifies(meta) && stored != read => {
                Err(Error::new(ErrorKind::Corrupt, "the bytes are not those that were stored")
                    .with_context("stored_crc32c", stored)
                    .with_context("read_crc32c", read))
            }
            _ => Ok(()),
        }
    }

    /// Stores `content`. `doubt` is kept from attempt to attempt of one call: whether an earlier one may have
    /// stored it already.
    pub(crate) async fn put(
        &self,
        key: &str,
        content: Bytes,
        write: &Write,
        doubt: &Doubt,
    ) -> Result<Stored> {
        self.allow_writing()?;
        let place = self.place(key);
        let key = Key::parse(&place)?;
        let was_in_doubt = doubt.enter(&self.instance, write)?;
        let stored = self.driver.put(key, content, write).await;
        doubt.leave(was_in_doubt, &stored);
        match stored {
            Err(error) if was_in_doubt => self.settle(key, write, error).await,
            stored => stored,
        }
    }

    /// What became of a write that was refused after an attempt whose answer was lost: if what is there
    /// has its mark, it was that attempt.
    pub(crate) async fn settle(
        &self,
        key: Key<'_>,
        write: &Write,
        refusal: Error,
    ) -> Result<Stored> {
        let is_refused = matches!(
            refusal.kind(),
            ErrorKind::AlreadyExists
                | ErrorKind::PreconditionFailed
                | ErrorKind::Conflict
                | ErrorKind::NotFound
        );
        let Some(own) = write.write_id.filter(|_| is_refused) else { return Err(refusal) };
        match self.driver.head(key).await {
            Ok(meta) if meta.write_id == Some(own) => Ok(meta.into()),
            Ok(_) if write.condition == Condition::Always => Err(refusal),
            Ok(_) => Err(write.condition.refusal()),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(refusal),
            Err(error) => Err(Error::new(
                ErrorKind::Unavailable,
                "it is not known whether the object was stored, and the service does not tell",
            )
            .with_source(error)
            .with_outcome(Outcome::Unknown)),
        }
    }

    /// How an object is stored that comes through this disk.
    pub(crate) fn plan(&self) -> Plan {
        let limits = self.driver.limits();
        // A body that ends with its first part is stored whole.
        let part_max = limits.part_max.min(limits.put_max);
        Plan {
            part_size: self.config.part_size.0.min(part_max).max(limits.part_min).max(1),
            part_min: limits.part_min,
            part_max: limits.part_max,
            parts_at_once: self.config.parts_at_once,
            parts_max: limits.parts_max,
            lengths: if limits.parts_alike { Lengths::Alike } else { Lengths::Free },
            whole_max: limits.put_max.min(self.config.read_max.0),
            read_max: self.config.read_max.0,
            has_parts: self.has_parts,
            is_guessing: self.config.guess_content_type && self.has_attributes,
        }
    }

    pub(crate) async fn begin(&self, key: &str, write: &Write) -> Result<UploadId> {
        self.allow_writing()?;
        let place = self.place(key);
        self.driver.begin(Key::parse(&place)?, write).await
    }

    pub(crate) async fn part(
        &self,
        key: &str,
        upload: &UploadId,
        part: Part,
        content: Bytes,
    ) -> Result<PartTag> {
        let place = self.place(key);
        self.driver.part(Key::parse(&place)?, upload, part, content).await
    }

    pub(crate) async fn complete(
        &self,
        key: &str,
        upload: &UploadId,
        parts: &[PartTag],
        write: &Write,
        doubt: &Doubt,
    ) -> Result<Stored> {
        let place = self.place(key);
        let key = Key::parse(&place)?;
        let was_in_doubt = doubt.enter(&self.instance, write)?;
        let stored = self.driver.complete(key, upload, parts, write).await;
        doubt.leave(was_in_doubt, &stored);
        match stored {
            Err(error) if was_in_doubt => self.settle(key, write, error).await,
            stored => stored,
        }
    }

    pub(crate) async fn abort(&self, key: &str, upload: &UploadId) -> Result<()> {
        let place = self.place(key);
        self.driver.abort(Key::parse(&place)?, upload).await
    }

    pub(crate) async fn sweep(&self, age: Duration) -> Result<u64> {
        self.allow_writing()?;
        self.driver.sweep(age).await
    }

    pub(crate) async fn delete(&self, key: &str, only: Option<&Version>) -> Result<bool> {
        self.allow_writing()?;
        let place = self.place(key);
        self.driver.delete(Key::parse(&place)?, only).await
    }

    /// Removes the first of `places`, as many as go into one request, and answers for each of these.
    pub(crate) async fn delete_many(
        &self,
        places: &[impl AsRef<str> + Sync],
    ) -> Result<Vec<Result<bool>>> {
        self.allow_writing()?;
        let few = &places[..places.len().min(self.driver.limits().delete_max.max(1))];
        let places: Vec<_> = few.iter().map(|place| self.place(place.as_ref())).collect();
        self.driver.delete_many(&delete::keys(&places)?).await
    }

    pub(crate) async fn copy(&self, from: &str, to: &str, condition: &Condition) -> Result<Stored> {
        self.allow_writing()?;
        let (from, to) = (self.place(from), self.place(to));
        self.driver.copy(Key::parse(&from)?, Key::parse(&to)?, condition).await
    }

    pub(crate) async fn rename(
        &self,
        from: &str,
        to: &str,
        condition: &Condition,
    ) -> Result<Stored> {
        self.allow_writing()?;
        let (from, to) = (self.place(from), self.place(to));
        self.driver.rename(Key::parse(&from)?, Key::parse(&to)?, condition).await
    }

    /// One page of `list`, with keys as the disk writes them.
    pub(crate) async fn list(&self, list: &List) -> Result<Page> {
        if list.prefix.chars().any(char::is_control) {
            // No key begins so, and some services cannot be asked.
            return Ok(Page::default());
        }
        let limit = list.limit.min(self.driver.limits().list_max).max(1);
        if self.prefix.is_empty() {
            return self.driver.list(&List { limit, ..list.clone() }).await;
        }
        let beneath = List {
            prefix: format!("{}{}", self.prefix, list.prefix),
            after: list.after.as_ref().map(|after| format!("{}{after}", self.prefix)),
            limit,
            ..list.clone()
        };
        let mut page = self.driver.list(&beneath).await?;
        for entry in &mut page.entries {
            entry.key.drain(..self.prefix.len().min(entry.key.len()));
        }
        for prefix in &mut page.prefixes {
            prefix.drain(..self.prefix.len().min(prefix.len()));
        }
        Ok(page)
    }

    pub(crate) async fn sign(&self, request: &Sign) -> Result<Signed> {
        if request.method.is_write() {
            self.allow_writing()?;
        }
        if let Some(addresses) = &self.addresses {
            return addresses.sign(request);
        }
        let key = self.place(&request.key).into_owned();
        let signed = self.driver.sign(&Sign { key, ..request.clone() }).await;
        signed.map_err(|error| match error.kind() {
            ErrorKind::Unsupported => error.with_hint(
                "an application can answer such requests itself: set `public_url` and `sign_keys`",
            ),
            _ => error,
        })
    }

    /// What its addresses are signed with, where the service does not do it.
    #[cfg(feature = "http-handler")]
    pub(crate) fn addresses(&self) -> Option<Arc<Addresses>> {
        self.addresses.clone()
    }

    pub(crate) fn allow_writing(&self) -> Result<()> {
        if !self.config.read_only {
            return Ok(());
        }
        Err(Error::new(ErrorKind::PermissionDenied, "the disk is only for reading")
            .with_context("setting", "read_only")
            .not_applied())
    }
}

impl Lifecycle for Store {
    fn init(&self) -> Reply<'_, ()> {
        self.driver.init()
    }

    fn health(&self) -> Reply<'_, Health> {
        self.driver.health()
    }

    fn close(&self) -> Reply<'_, ()> {
        self.driver.close()
    }

    fn capabilities(&self) -> Option<Capabilities> {
        let own = self.driver.capabilities();
        if self.addresses.is_none() {
            return own;
        }
        let can = own.unwrap_or_else(|| self.declared.clone());
        Some(can.with(capability::SIGN, Support::Emulated))
    }

    fn details(&self) -> Option<Details> {
        self.driver.details()
    }

    fn metrics(&self) -> Vec<Metric> {
        self.driver.metrics()
    }
}

impl<D: StorageDriver> Lifecycle for Served<D> {
    fn init(&self) -> Reply<'_, ()> {
        self.store.init()
    }

    fn health(&self) -> Reply<'_, Health> {
        self.store.health()
    }

    fn close(&self) -> Reply<'_, ()> {
        self.store.close()
    }

    fn capabilities(&self) -> Option<Capabilities> {
        self.store.capabilities()
    }

    fn details(&self) -> Option<Details> {
        self.store.details()
    }

    fn metrics(&self) -> Vec<Metric> {
        self.store.metrics()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("config", &self.config).finish_non_exhaustive()
    }
}

impl<D> fmt::Debug for Served<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.store, f)
    }
}
