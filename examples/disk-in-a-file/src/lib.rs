//! Keeps objects in one file of the embedded store `redb`: small ones, which several processes may share.
//!
//! What is known of an object stands beside its bytes, and both are read and stored as a whole. What was answered as
//! stored is on the device. Only one process stores at a time, others wait for it.

use std::io::ErrorKind as Io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use redb::ConcurrencyMode::MultiWriter;
use redb::{Database, Error as Failure, ReadOnlyTable, ReadableDatabase, TableDefinition};
use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_core::{
    Clock, Descriptor, Error, ErrorKind, Lifecycle, Registry, Reply, Result, Support,
};
use switchboard_storage::capability::{
    ATTRIBUTES, CHECKSUM, CREATE, DELETE_VERSION, LIST, NESTED, REPLACE, WRITE,
};
use switchboard_storage::{
    Caller, Condition, Disks, Fetched, Key, Limits, List, Meta, Page, Read, StorageDriver, Stored,
    Version, Write, blocking, nothing_there,
};

/// Adds the driver under the name `redb`.
pub fn register(registry: &Registry<Disks>) -> Result<()> {
    let mut descriptor = Descriptor::new("redb").summary("In one file").data_in(["file"]).proven();
    for able in [ATTRIBUTES, CHECKSUM, CREATE, DELETE_VERSION, LIST, NESTED, REPLACE, WRITE] {
        descriptor = descriptor.capability(able, Support::Native);
    }
    switchboard_storage::register(registry, descriptor, |config: RedbConfig, build| {
        blocking(move |_| Redb::open(&config, build.clock().clone()))
    })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RedbConfig {
    /// The file. It is made if it is not there; its folder is not.
    file: PathBuf,
}

struct Redb {
    database: Arc<Database>,
    clock: Clock,
}

impl Redb {
    fn open(config: &RedbConfig, clock: Clock) -> Result<Self> {
        let opened = Database::builder().set_concurrency_mode(MultiWriter).create(&config.file);
        let database = Arc::new(opened.map_err(classify)?);
        let transaction = database.begin_write().map_err(classify)?;
        transaction.open_table(OBJECTS).map_err(classify)?;
        transaction.commit().map_err(classify)?;
        Ok(Self { database, clock })
    }

    async fn load(&self, key: Key<'_>) -> Result<(Meta, Bytes)> {
        let (database, key) = (self.database.clone(), key.as_str().to_owned());
        let load = move |_: &_| objects(&database)?.get_owned(&*key).map_err(classify);
        let found = blocking(load).await?.ok_or_else(nothing_there)?;
        let (known, bytes) = found.value();
        Ok((Meta::from_json(known)?, Bytes::copy_from_slice(bytes)))
    }

    /// Puts `new` into the place of what `condition` allows, and says whether anything was there.
    async fn swap(&self, key: Key<'_>, new: Option<Object>, condition: Condition) -> Result<bool> {
        let (database, key) = (self.database.clone(), key.as_str().to_owned());
        let swap = move |caller: &Caller| {
            let transaction = database.begin_write().map_err(classify)?;
            let mut objects = transaction.open_table(OBJECTS).map_err(classify)?;
            let old = match &new {
                Some((known, bytes)) => objects.insert(&*key, (&**known, &**bytes)),
                None => objects.remove(&*key),
            };
            let old = old.map_err(classify)?.map(|old| Meta::from_json(old.value().0));
            let version = old.transpose()?.map(|old| old.version);
            if new.is_some() || version.is_some() {
                condition.allows(version.as_ref())?;
            }
            drop(objects);
            caller.still_waits()?;
            transaction.commit().map_err(classify)?;
            Ok(version.is_some())
        };
        blocking(swap).await
    }
}

impl StorageDriver for Redb {
    fn limits(&self) -> Limits {
        Limits { put_max: 64 << 20, ..Limits::default() }
    }

    fn head<'a>(&'a self, key: Key<'a>) -> Reply<'a, Meta> {
        Reply::run(async move { Ok(self.load(key).await?.0) })
    }

    fn get<'a>(&'a self, key: Key<'a>, read: &'a Read) -> Reply<'a, Option<Fetched>> {
        Reply::run(async move {
            let (meta, content) = self.load(key).await?;
            read.cut(meta, &content)
        })
    }

    fn put<'a>(&'a self, key: Key<'a>, content: Bytes, write: &'a Write) -> Reply<'a, Stored> {
        Reply::run(async move {
            let version = Version::new(format!("{:016x}", self.clock.random()));
            let meta = write.meta(content.len() as u64, self.clock.wall(), version);
            let object = (meta.to_json()?, content);
            self.swap(key, Some(object), write.condition.clone()).await?;
            Ok(meta.into())
        })
    }

    fn delete<'a>(&'a self, key: Key<'a>, only: Option<&'a Version>) -> Reply<'a, bool> {
        let condition = only.cloned().map_or(Condition::Always, Condition::Version);
        Reply::run(self.swap(key, None, condition))
    }

    fn list<'a>(&'a self, list: &'a List) -> Reply<'a, Page> {
        Reply::run(list.page(|from, count| {
            let database = self.database.clone();
            blocking(move |_| {
                let rows = objects(&database)?.range_owned(&*from..).map_err(classify)?;
                let entries = rows.take(count).map(|row| {
                    let (key, object) = row.map_err(classify)?;
                    Ok(Meta::from_json(object.value().0)?.entry(key.value()))
                });
                entries.collect()
            })
        }))
    }
}

impl Lifecycle for Redb {}

/// What is read of the objects, from one transaction.
fn objects(database: &Database) -> Result<ReadOnlyTable<&'static str, Row>> {
    database.begin_read().map_err(classify)?.open_table(OBJECTS).map_err(classify)
}

/// Every error of the store, in our words.
fn classify(error: impl Into<Failure>) -> Error {
    let error = error.into();
    let io = if let Failure::Io(error) = &error { Some(error.kind()) } else { None };
    let (kind, message) = match (&error, io) {
        (_, Some(Io::NotFound)) => (ErrorKind::Config, "the folder of the file is not there"),
        (_, Some(Io::StorageFull)) => (ErrorKind::QuotaExceeded, "the device is full"),
        (_, Some(Io::InvalidData)) => (ErrorKind::Corrupt, "the file is of another kind"),
        (Failure::Corrupted(_), _) => (ErrorKind::Corrupt, "the file is damaged"),
        (Failure::DatabaseAlreadyOpen, _) => (ErrorKind::Unavailable, "the file is in use"),
        (Failure::PreviousIo, _) | (_, Some(_)) => (ErrorKind::Unavailable, "the device failed"),
        _ => (ErrorKind::Unexpected, "the store failed"),
    };
    Error::new(kind, message).with_source(error)
}

type Object = (String, Bytes);
type Row = (&'static str, &'static [u8]);
const OBJECTS: TableDefinition<&str, Row> = TableDefinition::new("objects");

#[cfg(test)]
fn fixture() -> switchboard_storage::conformance::Fixture {
    let folder = tempfile::tempdir().unwrap();
    switchboard_storage::conformance::Fixture::new(register).settings(move |unique| {
        let file = folder.path().join(unique).display().to_string();
        switchboard_core::Settings::new().with("file", file)
    })
}

#[cfg(test)]
switchboard_storage::conformance::suite!(fixture());
