//! SQLite: a database in a file, or in memory, inside the process.
//!
//! SQLite blocks, so each connection has a thread of its own, which ends with it. One connection writes,
//! any number of others read: in a file whose journal is a write-ahead log (the default) neither waits for
//! the other. In memory, and with any other journal, whoever reads waits while a transaction writes, and a
//! commit waits for those who read, up to `busy_timeout`.
//!
//! A statement that waits for the lock of another process waits in its thread. One that has waited too long
//! is a `Conflict`, to be tried again later. The write-ahead log goes into the file as SQLite does it by
//! itself: every thousand pages, and when the last connection is closed.
//!
//! Which values are kept how, and read as what, stands in [`values`].

use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_core::settings::duration;
use switchboard_core::{
    BuildContext, Clock, Descriptor, Error, Lifecycle, Registry, Reply, Result, Secret,
};

use self::engine::Engine;
use self::place::{At, Place};
use self::session::Session;
use crate::sql::functions;
use crate::{
    Connection, Copies, DatabaseConfig, DatabaseDriver, Databases, Dialect, DriverContext,
    DriverSettings, Lane, Lanes, Lexis, OnConflict, Placeholder, context,
};

mod copies;
mod engine;
mod errors;
mod place;
mod session;
#[cfg(test)]
mod tests;
mod thread;
pub mod values;

pub use self::thread::Native;

/// A database of SQLite.
pub struct Sqlite {
    place: Arc<Place>,
    clock: Clock,
    readers: usize,
    /// What is in memory lasts as long as this, whoever else comes and goes.
    anchor: Mutex<Option<rusqlite::Connection>>,
    /// How many connections there have been.
    connections: AtomicU64,
}

/// The settings of [`Sqlite`]. One of `url`, `path` and `memory` says where the database
/// is; without any it is a file called after its instance, in `$SWITCHBOARD_HOME` or `.switchboard`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SqliteConfig {
    /// The file as an address: `sqlite:data/app.db`, `sqlite:///srv/app.db`; `sqlite::memory:`. It is
    /// refused beside `path` and `memory`, which say the same.
    #[schemars(with = "Option<String>")]
    pub url: Option<Secret>,
    /// The file.
    pub path: Option<PathBuf>,
    /// Keeps the database in memory, for all connections of the instance and for no other.
    pub memory: bool,
    /// How the file is kept whole.
    pub journal: Journal,
    /// How often SQLite waits for the disk.
    pub synchronous: Synchronous,
    /// How long a statement waits for the lock of another connection or process.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text")]
    pub busy_timeout: Duration,
    /// Whether references between tables are checked.
    pub foreign_keys: bool,
    /// The most connections that only read; the pool's size less the one that writes where nothing is said.
    pub readers: Option<NonZeroUsize>,
    /// Makes the file, and its folder, where they are not there.
    pub create: bool,
    /// How many prepared statements each connection keeps; none with zero.
    pub statement_cache: usize,
}

/// How the file is kept whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Journal {
    /// A write-ahead log beside the file: nobody who reads waits for who writes.
    #[default]
    Wal,
    /// What is overwritten is kept beside the file, which is deleted at each commit.
    Delete,
    /// The same, and what is kept is cut off at each commit.
    Truncate,
    /// The same, and what is kept is marked as of no use at each commit.
    Persist,
    /// What is overwritten is kept in memory: the file is lost if the process ends in between.
    Memory,
    /// Nothing is kept: nothing can be rolled back.
    Off,
}

/// How often SQLite waits for the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Synchronous {
    /// Never: the file is lost if the machine loses its power.
    Off,
    /// At the critical moments. With a write-ahead log the last commits may be lost with the power, and
    /// the file stays whole.
    #[default]
    Normal,
    /// At each commit.
    Full,
    /// At each commit, and for the folder too.
    Extra,
}

impl Default for SqliteConfig {
    fn default() -> Self {
        Self {
            url: None,
            path: None,
            memory: false,
            journal: Journal::default(),
            synchronous: Synchronous::default(),
            busy_timeout: Duration::from_secs(5),
            foreign_keys: true,
            readers: None,
            create: true,
            statement_cache: 256,
        }
    }
}

pub(crate) fn register(registry: &Registry<Databases>) -> Result<()> {
    let descriptor =
        Descriptor::new("sqlite").summary("A file, or memory, inside the process").proven();
    crate::register(registry, descriptor, |config: SqliteConfig, context| async move {
        let config = config.at_home(context.build());
        Sqlite::new(config, context.database(), context.build().clock().clone())
    })
}

impl SqliteConfig {
    /// Where nothing is said, the file is called after its instance, in the home of the application.
    fn at_home(mut self, build: &BuildContext) -> Self {
        if self.url.is_none() && self.path.is_none() && !self.memory {
            let home = build.variable("SWITCHBOARD_HOME").unwrap_or(".switchboard");
            self.path = Some(PathBuf::from(home).join(format!("{}.db", build.instance())));
        }
        self
    }
}

impl Sqlite {
    /// The database that `config` describes. Nothing is opened yet, but for what is in memory.
    pub fn new(config: SqliteConfig, common: &DatabaseConfig, clock: Clock) -> Result<Self> {
        let size = common.pool.size().get();
        let readers = config.readers.map_or(size.saturating_sub(1).max(1), NonZeroUsize::get);
        let place = Arc::new(Place::new(config, common.read_only)?);
        let anchor = Mutex::new(place.anchor()?);
        Ok(Self { place, clock, readers, anchor, connections: AtomicU64::new(0) })
    }

    /// The error with the place of the file.
    fn unopened(&self, error: Error) -> Error {
        match self.place.at() {
            At::File(path) => error.with_context(context::ADDRESS, path.display()),
            At::Memory(_) => error,
        }
    }

    /// The most connections that only read.
    pub fn readers(&self) -> usize {
        self.readers
    }
}

impl DriverSettings for SqliteConfig {
    type Driver = Sqlite;

    fn place(&self, context: &DriverContext) -> Option<String> {
        match At::of(&self.clone().at_home(context.build())).ok()? {
            At::File(path) => {
                let only_reads = context.database().read_only;
                Some(format!("{} {only_reads}", canonical(&path)?.display()))
            }
            At::Memory(_) => None,
        }
    }
}

/// The one path of a file, which need not be there yet.
fn canonical(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    let folder = || Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize().ok().or_else(folder).or_else(|| Some(path.clone()))
}

impl DatabaseDriver for Sqlite {
    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    fn lanes(&self) -> Lanes {
        Lanes::OneWriter
    }

    fn copies(&self) -> Option<&dyn Copies> {
        Some(self)
    }

    fn connect(&self, lane: Lane) -> Reply<'_, Box<dyn Connection>> {
        let place = self.place.clone();
        let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        Reply::run(async move {
            let open = move |shared| Engine::open(place, lane, shared);
            let native = Native::start(format!("sqlite-{number}"), self.clock.clone(), open);
            let native = native.await.map_err(|error| self.unopened(error))?;
            Ok(Box::new(Session::new(native, number)) as Box<dyn Connection>)
        })
    }
}

impl Lifecycle for Sqlite {
    fn close(&self) -> Reply<'_, ()> {
        self.anchor.lock().unwrap_or_else(PoisonError::into_inner).take();
        Reply::ready(Ok(()))
    }
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Sqlite");
        match self.place.at() {
            At::File(path) => shown.field("path", path),
            At::Memory(name) => shown.field("memory", name),
        };
        shown.field("readers", &self.readers).finish_non_exhaustive()
    }
}

impl Journal {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Wal => "wal",
            Self::Delete => "delete",
            Self::Truncate => "truncate",
            Self::Persist => "persist",
            Self::Memory => "memory",
            Self::Off => "off",
        }
    }
}

impl Synchronous {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Normal => "normal",
            Self::Full => "full",
            Self::Extra => "extra",
        }
    }
}

pub(super) static DIALECT: Dialect = Dialect {
    name: "sqlite",
    placeholder: Placeholder::NumberedQuestion,
    lexis: Lexis { backticks: true, brackets: true, ..Lexis::STANDARD },
    values_max: 32_766,
    has_nulls_order: true,
    has_returning: true,
    has_transactional_ddl: true,
    bulk_is_atomic: true,
    on_conflict: OnConflict::OfKey,
    functions: functions::SQLITE,
    // SQLITE_BUSY and SQLITE_LOCKED; one that cannot write because of what it read, 517, is lost.
    lock_codes: &["5", "6", "262"],
    explain: Some("explain query plan"),
    ..Dialect::STANDARD
};

#[cfg(test)]
mod keeps_the_rules_of_databases {
    use switchboard_core::Settings;

    use super::*;
    use crate::Violation;
    use crate::conformance::{Fixture, Residue, Words, suite};

    mod in_memory {
        use super::*;

        suite!(fixture(|_| Settings::new().with("memory", true)).private());
    }

    mod in_a_file {
        use super::*;

        suite!({
            let folder = tempfile::tempdir().unwrap();
            fixture(move |unique| {
                let path = folder.path().join(unique);
                Settings::new().with("path", path.to_string_lossy().into_owned())
            })
        });
    }

    fn fixture(settings: impl Fn(&str) -> Settings + Send + Sync + 'static) -> Fixture {
        Fixture::new(register).settings(settings).words(Words {
            decimal: "decimal text",
            time: "time",
            date_time: "datetime",
            timestamp: "timestamp",
            made_key: "integer primary key",
            tells_last_id: true,
            names: &[Violation::Check],
            deferred: Some("deferrable initially deferred"),
            residues: RESIDUES,
            ..Words::default()
        })
    }

    const RESIDUES: &[Residue] = &[
        Residue { left_by: "pragma foreign_keys = off", seen_by: "pragma foreign_keys" },
        Residue {
            left_by: "create temporary table {unique} (id integer)",
            seen_by: "select count(*) from {unique}",
        },
    ];
}
