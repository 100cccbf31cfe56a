//! Where a database is, and how it is opened: a file with its neighbours, or a name in memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use percent_encoding::percent_decode_str;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use switchboard_core::{Error, ErrorKind, Result};

use super::errors::classify;
use super::{Journal, SqliteConfig};
use crate::{Decimal, Lane};

/// Where one database is.
pub(super) struct Place {
    at: At,
    config: SqliteConfig,
    is_read_only: bool,
    /// Whether the file is there and keeps its journal as the settings say.
    is_prepared: Mutex<bool>,
}

/// Where a database can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum At {
    File(PathBuf),
    /// In memory, under a name that nobody else in the process has.
    Memory(String),
}

impl At {
    /// The one place that the settings name.
    pub(super) fn of(config: &SqliteConfig) -> Result<Self> {
        match (&config.url, &config.path, config.memory) {
            (Some(url), None, false) => Self::of_url(url.expose()),
            (None, Some(path), false) if path == Path::new(MEMORY) => Ok(Self::memory()),
            (None, Some(path), false) => Self::of_path(path.clone()),
            (None, None, true) => Ok(Self::memory()),
            (None, None, false) => Err(misplaced("it is not said where the database is")),
            _ => Err(misplaced("it is said more than once where the database is")),
        }
    }

    /// `sqlite:path`, `sqlite://path`, `sqlite::memory:`; anything special in the path as `%20`.
    fn of_url(url: &str) -> Result<Self> {
        let Some(rest) = url.strip_prefix("sqlite:") else {
            return Err(misplaced("the address does not begin with sqlite:"));
        };
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        if rest.contains(['?', '#']) {
            return Err(misplaced("the address of a file has no query").with_hint(
                "what it would say has settings of its own; `?` in a name is written %3F",
            ));
        }
        let path = percent_decode_str(rest)
            .decode_utf8()
            .map_err(|error| misplaced("the path in the address is no text").with_source(error))?;
        if path == MEMORY { Ok(Self::memory()) } else { Self::of_path(PathBuf::from(&*path)) }
    }

    fn of_path(path: PathBuf) -> Result<Self> {
        let is_empty = path.as_os_str().is_empty();
        if is_empty {
            Err(misplaced("the path of the database is empty"))
        } else {
            Ok(Self::File(path))
        }
    }

    fn memory() -> Self {
        let number = MEMORIES.fetch_add(1, Ordering::Relaxed);
        // The slash makes it one database for all who know the name.
        Self::Memory(format!("/switchboard-{number}"))
    }
}

impl Place {
    pub(super) fn new(config: SqliteConfig, is_read_only: bool) -> Result<Self> {
        let at = At::of(&config)?;
        Ok(Self { at, config, is_read_only, is_prepared: Mutex::new(false) })
    }

    /// That file.
    pub(super) fn of_file(path: PathBuf, config: SqliteConfig) -> Self {
        Self { at: At::File(path), config, is_read_only: false, is_prepared: Mutex::new(false) }
    }

    pub(super) fn config(&self) -> &SqliteConfig {
        &self.config
    }

    pub(super) fn at(&self) -> &At {
        &self.at
    }

    pub(super) fn busy_timeout(&self) -> Duration {
        self.config.busy_timeout
    }

    pub(super) fn keeps_statements(&self) -> bool {
        self.config.statement_cache > 0
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    /// A connection, set up as the settings say, which asks `wait` whether to wait for a lock.
    pub(super) fn open(
        &self,
        lane: Lane,
        wait: impl FnMut(i32) -> bool + Clone + Send + 'static,
    ) -> Result<Connection> {
        self.prepare(&wait)?;
        let only_reads = self.is_read_only || lane == Lane::Read;
        let connection = match &self.at {
            At::File(path) if only_reads => {
                open(path, OpenFlags::SQLITE_OPEN_READ_ONLY, wait.clone())
            }
            At::File(path) => open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, wait.clone()),
            At::Memory(name) => open_memory(name, wait.clone()),
        }?;
        // A write-ahead log belongs to the file, any other journal to the connection.
        if matches!(self.at, At::File(_)) && !only_reads && self.config.journal != Journal::Wal {
            keep_journal(&connection, self.config.journal, wait)?;
        }
        self.set_up(&connection, only_reads)?;
        Ok(connection)
    }

    /// Keeps what is in memory there, until it is dropped.
    pub(super) fn anchor(&self) -> Result<Option<Connection>> {
        match &self.at {
            At::Memory(name) => open_memory(name, |_| false).map(Some),
            At::File(_) => Ok(None),
        }
    }

    fn set_up(&self, connection: &Connection, only_reads: bool) -> Result<()> {
        let config = &self.config;
        connection.create_collation("decimal", Decimal::order).map_err(classify)?;
        connection.set_prepared_statement_cache_capacity(config.statement_cache + OWN_STATEMENTS);
        // A name that is not there would otherwise be taken for a text.
        for quoted_texts in [DbConfig::SQLITE_DBCONFIG_DQS_DML, DbConfig::SQLITE_DBCONFIG_DQS_DDL] {
            connection.set_db_config(quoted_texts, false).map_err(classify)?;
        }
        let switch = |is_on: bool| if is_on { "on" } else { "off" };
        let settings = format!(
            "pragma foreign_keys = {}; pragma synchronous = {}; pragma query_only = {}",
            switch(config.foreign_keys),
            config.synchronous.as_str(),
            switch(only_reads),
        );
        connection.execute_batch(&settings).map_err(classify)
    }

    /// Sees to it that the file is there, once, by whichever connection comes first.
    fn prepare(&self, wait: &(impl FnMut(i32) -> bool + Clone + Send + 'static)) -> Result<()> {
        let At::File(path) = &self.at else { return Ok(()) };
        let mut is_prepared = self.is_prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if *is_prepared || self.is_read_only {
            return if path.exists() { Ok(()) } else { Err(missing()) };
        }
        self.create(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | self.creating();
        let connection = open(path, flags, wait.clone())?;
        keep_journal(&connection, self.config.journal, wait.clone())?;
        *is_prepared = true;
        Ok(())
    }

    fn create(&self, path: &Path) -> Result<()> {
        if !self.config.create {
            return if path.exists() { Ok(()) } else { Err(missing()) };
        }
        let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else {
            return Ok(());
        };
        fs::create_dir_all(folder).map_err(|error| {
            Error::new(ErrorKind::PermissionDenied, "the folder of the database cannot be made")
                .with_hint(
                    "a path that does not begin with `/` counts from where the process was started",
                )
                .not_applied()
                .with_source(error)
        })
    }

    fn creating(&self) -> OpenFlags {
        if self.config.create { OpenFlags::SQLITE_OPEN_CREATE } else { OpenFlags::empty() }
    }
}

fn open(
    path: &Path,
    flags: OpenFlags,
    wait: impl FnMut(i32) -> bool + Send + 'static,
) -> Result<Connection> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let opened = Connection::open_with_flags(path, flags);
    let mut connection = opened.map_err(|error| not_opened(error, path))?;
    connection.busy_handler(Some(wait)).map_err(classify)?;
    Ok(connection)
}

/// In the virtual file system for memory, whose locks are those of a file: the cache that connections can
/// share instead has locks on tables, which nobody can wait for.
fn open_memory(name: &str, wait: impl FnMut(i32) -> bool + Send + 'static) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let mut connection =
        Connection::open_with_flags_and_vfs(name, flags, "memdb").map_err(classify)?;
    connection.busy_handler(Some(wait)).map_err(classify)?;
    Ok(connection)
}

/// To change how the journal is kept takes the file alone, so it is done only where it differs.
fn keep_journal(
    connection: &Connection,
    journal: Journal,
    mut wait: impl FnMut(i32) -> bool,
) -> Result<()> {
    let wanted = journal.as_str();
    let ask = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, String>(0));
    let mut found = ask("pragma journal_mode").map_err(classify)?;
    let mut count = 0;
    while found != wanted {
        match ask(&format!("pragma journal_mode = {wanted}")) {
            Ok(kept) if kept == wanted => found = kept,
            Ok(kept) => return Err(unkept(wanted, &kept)),
            // SQLite does not wait by itself here, where others open the same new file.
            Err(error) if is_busy(&error) && wait(count) => count += 1,
            Err(error) => return Err(classify(error)),
        }
    }
    Ok(())
}

fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
}

fn unkept(wanted: &'static str, found: &str) -> Error {
    Error::new(ErrorKind::Unsupported, "the file cannot keep its journal in this way")
        .with_context("wanted", wanted)
        .with_context("found", found)
        .not_applied()
}

fn not_opened(error: rusqlite::Error, path: &Path) -> Error {
    let cannot_open = error.sqlite_error_code() == Some(rusqlite::ErrorCode::CannotOpen);
    match cannot_open {
        true if path.is_dir() => misplaced("the path of the database is a folder"),
        true if path.exists() || path.parent().is_some_and(Path::exists) => {
            Error::new(ErrorKind::PermissionDenied, "the file of the database may not be opened")
                .with_hint("the process has to be allowed to write the file and its folder")
                .not_applied()
        }
        true => missing(),
        false => classify(error),
    }
}

fn missing() -> Error {
    Error::new(ErrorKind::NotFound, "the file of the database is not there")
        .with_hint(
            "it is made with `create = true`, which is usual, unless the database is `read_only`",
        )
        .with_hint("a path that does not begin with `/` counts from where the process was started")
        .not_applied()
}

fn misplaced(message: &'static str) -> Error {
    Error::new(ErrorKind::Config, message)
        .not_applied()
        .with_hint("set one of url (sqlite:data/app.db), path and memory = true")
}

static MEMORIES: AtomicU64 = AtomicU64::new(1);

const MEMORY: &str = ":memory:";

/// Statements of our own, which are kept beside those of the user: of transactions, and the question
/// whether anybody answers.
const OWN_STATEMENTS: usize = 8;
