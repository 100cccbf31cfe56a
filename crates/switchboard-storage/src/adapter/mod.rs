//! A disk where the crate `object_store` is expected.
//!
//! It says in the words of one crate what is asked in those of the other, and does nothing itself: retries, parts
//! and checksums are the disk's. Errors, what is said of objects, and reading each have a file.

mod attributes;
mod error;
mod reading;
#[cfg(test)]
mod tests;
mod upload;

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore};
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Extensions, GetOptions, GetResult, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    RenameOptions, RenameTargetMode, UpdateVersion,
};
use switchboard_core::{Error, ErrorKind};

use crate::disk::op;
use crate::driver::{Entry, Page, Stored};
use crate::{Disk, Key, Version};
use error::told;

/// A disk as an [`ObjectStore`]: where `DataFusion`, Delta Lake, Parquet and others expect one of the crate
/// `object_store`.
///
/// All that a disk does is done here too: retries, parts, checksums, resumed reading, prefixes and read-only
/// disks.
///
/// - The text of a [`Path`] is the key, as it is: `Path::parse("50% off")` is the key `50% off`.
///   [`Path::from`] writes some characters in percent signs, and these signs are then in the key.
/// - The version of an object is its `e_tag`; `version` is never told, for older versions cannot be read.
/// - Attributes are those of disks. A name in [`Metadata`](object_store::Attribute::Metadata) is of the form
///   `[a-z0-9._-]+`; [`StorageClass`](object_store::Attribute::StorageClass) is `NotSupported`. Tags are left
///   out, as `object_store` asks of those that have none.
/// - To delete what is not there succeeds.
/// - [`put_multipart`](object_store::ObjectStoreExt::put_multipart) takes parts of any lengths, and cuts them anew
///   as the setting `part_size` says. What is not completed is given up when it is dropped.
/// - [`get_ranges`](ObjectStore::get_ranges) reads one version: if the object is replaced meanwhile, it is an
///   error.
/// - An error has that of the disk as its source; [`Mount::error`] finds it again.
///
/// It keeps to the tests that `object_store` has for stores of others. Those of
/// [`MultipartStore`](object_store::multipart::MultipartStore) it does not: the parts of that may be of any length
/// and are not told before they come, while a disk has to know how long all of them are.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use object_store::{ObjectStore, ObjectStoreExt as _};
/// use object_store::path::Path;
/// use switchboard_storage::Mount;
/// # use switchboard_core::{Environment, Manager, Registry, Settings};
/// # use switchboard_storage::Disks;
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
/// # runtime.block_on(async {
/// # let disks = Manager::<Disks>::new(Registry::with_built_ins()?, &Environment::new())?;
/// # disks.configure("lake", &Settings::new().with("driver", "memory"))?;
///
/// let disk = disks.handle("lake")?;
/// let store: Arc<dyn ObjectStore> = Arc::new(Mount::new(disk.scope("tables")?));
///
/// store.put(&Path::from("sales/1.csv"), "…".into()).await.map_err(Mount::error)?;
/// assert_eq!(disk.read("tables/sales/1.csv").await?, "…");
/// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Mount {
    disk: Disk,
}

impl Mount {
    /// The disk, for those who expect an [`ObjectStore`].
    pub fn new(disk: Disk) -> Self {
        Self { disk }
    }

    /// The disk itself.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The error of a disk that `error` was made of; of any other one, what says the same.
    ///
    /// ```
    /// # use object_store::ObjectStoreExt as _;
    /// # use switchboard_core::{Environment, ErrorKind, Manager, Registry, Settings};
    /// # use switchboard_storage::{Disks, Mount};
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # runtime.block_on(async {
    /// # let disks = Manager::<Disks>::new(Registry::with_built_ins()?, &Environment::new())?;
    /// # disks.configure("lake", &Settings::new().with("driver", "memory"))?;
    /// let store = Mount::new(disks.handle("lake")?);
    /// let error = store.get(&"nobody".into()).await.unwrap_err();
    /// let error = Mount::error(error);
    /// assert_eq!(error.kind(), ErrorKind::NotFound);
    /// assert_eq!(error.place().unwrap().operation, "get");
    /// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
    /// ```
    pub fn error(error: object_store::Error) -> Error {
        error::own(error)
    }
}

impl From<Disk> for Mount {
    fn from(disk: Disk) -> Self {
        Self::new(disk)
    }
}

#[async_trait]
impl ObjectStore for Mount {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        let told = |error| told(error, location);
        let attributes = self.disk.placed(op::PUT, attributes::own(&options.attributes));
        let put = self.disk.put(location.as_ref(), Bytes::from(payload));
        let put = put.attributes(attributes.map_err(told)?);
        let put = match options.mode {
            PutMode::Overwrite => put,
            PutMode::Create => put.if_absent(),
            PutMode::Update(version) => {
                let version = self.disk.placed(op::PUT, expected(version)).map_err(told)?;
                put.if_version(&version)
            }
        };
        put.await.map(|done| stored(&done)).map_err(told)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        let told = |error| told(error, location);
        let attributes = self.disk.placed(op::BEGIN, attributes::own(&options.attributes));
        let begun = upload::begin(&self.disk, location, attributes.map_err(told)?).await;
        Ok(Box::new(begun.map_err(told)?))
    }

    async fn get_opts(
        &self,
        location: &Path,
        options: GetOptions,
    ) -> object_store::Result<GetResult> {
        reading::get(&self.disk, location, options).await
    }

    async fn get_ranges(
        &self,
        location: &Path,
        ranges: &[Range<u64>],
    ) -> object_store::Result<Vec<Bytes>> {
        let read = reading::ranges(&self.disk, location.as_ref(), ranges).await;
        read.map_err(|error| told(error, location))
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        let disk = self.disk.clone();
        let deleted = locations.ready_chunks(DELETED_AT_ONCE).then(move |locations| {
            let disk = disk.clone();
            async move { futures_util::stream::iter(delete(&disk, locations).await) }
        });
        deleted.flatten().boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.entries(prefix, None)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.entries(prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        let mut listed = ListResult {
            common_prefixes: Vec::new(),
            objects: Vec::new(),
            extensions: Extensions::new(),
        };
        let prefix = directory(prefix);
        let mut pages = std::pin::pin!(self.disk.list(&prefix).flat().pages());
        while let Some(page) = pages.try_next().await.map_err(|error| told(error, &prefix))? {
            add(&mut listed, page)?;
        }
        Ok(listed)
    }

    async fn copy_opts(
        &self,
        from: &Path,
        to: &Path,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        let copy = self.disk.copy(from.as_ref(), to.as_ref());
        let copied = match options.mode {
            CopyMode::Overwrite => copy.await,
            CopyMode::Create => copy.if_absent().await,
        };
        copied.map(drop).map_err(|error| error::between(error, from, to))
    }

    async fn rename_opts(
        &self,
        from: &Path,
        to: &Path,
        options: RenameOptions,
    ) -> object_store::Result<()> {
        let rename = self.disk.rename(from.as_ref(), to.as_ref());
        let renamed = match options.target_mode {
            RenameTargetMode::Overwrite => rename.await,
            RenameTargetMode::Create => rename.if_absent().await,
        };
        renamed.map(drop).map_err(|error| error::between(error, from, to))
    }
}

#[async_trait]
impl PaginatedListStore for Mount {
    async fn list_paginated(
        &self,
        prefix: Option<&str>,
        options: PaginatedListOptions,
    ) -> object_store::Result<PaginatedListResult> {
        let prefix = prefix.unwrap_or_default();
        let PaginatedListOptions { offset, delimiter, max_keys, page_token, .. } = options;
        let mut listing = self.disk.list(prefix);
        match delimiter.as_deref() {
            None => {}
            Some("/") => listing = listing.flat(),
            Some(other) => {
                let refusal = Error::new(ErrorKind::Unsupported, "keys are separated by `/` only")
                    .with_context("delimiter", other.escape_debug())
                    .not_applied();
                return Err(told(refusal, prefix));
            }
        }
        if let Some(offset) = offset.filter(|offset| !offset.is_empty()) {
            listing = listing.after(&offset);
        }
        if let Some(max) = max_keys {
            listing = listing.limit(max);
        }
        let mut page =
            listing.page(page_token.as_deref()).await.map_err(|error| told(error, prefix))?;
        let page_token = page.next.take();
        let mut result = ListResult {
            common_prefixes: Vec::new(),
            objects: Vec::new(),
            extensions: Extensions::new(),
        };
        add(&mut result, page)?;
        Ok(PaginatedListResult { result, page_token })
    }
}

impl Mount {
    fn entries(
        &self,
        prefix: Option<&Path>,
        after: Option<&Path>,
    ) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        let prefix = directory(prefix);
        let after = after.map(|after| after.as_ref().to_owned()).filter(|after| !after.is_empty());
        pages(self.disk.clone(), prefix, after)
            .map_ok(|page| futures_util::stream::iter(page.entries).map(listed))
            .try_flatten()
            .boxed()
    }
}

/// All pages, with all that is needed to ask for them.
fn pages(
    disk: Disk,
    prefix: String,
    after: Option<String>,
) -> impl Stream<Item = object_store::Result<Page>> + Send {
    let first: Option<Option<String>> = Some(None);
    futures_util::stream::try_unfold(
        (first, disk, prefix, after),
        |(token, disk, prefix, after)| async move {
            let Some(token) = token else { return Ok(None) };
            let listing = disk.list(&prefix);
            let listing = after.as_deref().map_or(listing.clone(), |after| listing.after(after));
            let mut page =
                listing.page(token.as_deref()).await.map_err(|error| told(error, &prefix))?;
            let next = page.next.take().map(Some);
            Ok(Some((page, (next, disk, prefix, after))))
        },
    )
}

/// How the keys begin that are in the directory of `object_store` that is called so.
fn directory(prefix: Option<&Path>) -> String {
    match prefix {
        Some(prefix) if !prefix.is_root() => format!("{prefix}/"),
        _ => String::new(),
    }
}

fn add(listed_so_far: &mut ListResult, page: Page) -> object_store::Result<()> {
    for prefix in page.prefixes {
        listed_so_far.common_prefixes.push(Path::parse(prefix)?);
    }
    for entry in page.entries {
        listed_so_far.objects.push(listed(entry)?);
    }
    Ok(())
}

fn listed(entry: Entry) -> object_store::Result<ObjectMeta> {
    let Entry { key, size, modified, version } = entry;
    Ok(ObjectMeta {
        location: Path::parse(key)?,
        last_modified: modified.into(),
        size,
        e_tag: Some(version.as_str().to_owned()),
        version: None,
    })
}

fn stored(stored: &Stored) -> PutResult {
    PutResult {
        e_tag: Some(stored.version.as_str().to_owned()),
        version: None,
        extensions: Extensions::new(),
    }
}

/// The version that is to be replaced.
fn expected(version: UpdateVersion) -> switchboard_core::Result<Version> {
    version.e_tag.map(Version::new).ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, "an update says which `e_tag` it replaces")
            .not_applied()
    })
}

/// Deletes those of `locations` that could be told, and answers for each.
async fn delete(
    disk: &Disk,
    locations: Vec<object_store::Result<Path>>,
) -> Vec<object_store::Result<Path>> {
    // One that is no key would be the end of all others.
    let checked = locations.into_iter().map(|location| {
        let location = location?;
        match Key::parse(location.as_ref()) {
            Ok(_) => Ok(location),
            Err(error) => Err(told(error, &location)),
        }
    });
    let locations: Vec<object_store::Result<Path>> = checked.collect();
    let keys: Vec<_> = locations.iter().flatten().collect();
    let mut answers = match disk.delete_many(&keys).await {
        Ok(answers) => answers,
        Err(error) => keys.iter().map(|_| Err(error.clone())).collect(),
    }
    .into_iter();
    let answered = locations.into_iter().map(|location| {
        let location = location?;
        match answers.next() {
            Some(Err(error)) => Err(told(error, &location)),
            _ => Ok(location),
        }
    });
    answered.collect()
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mount({}/{})", self.disk.line().instance(), self.disk.scope_prefix())
    }
}

impl fmt::Debug for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mount").field(&self.disk).finish()
    }
}

/// How many objects are deleted at once, where so many are told.
const DELETED_AT_ONCE: usize = 1_000;
