//! What the database says of its migrations: a row for each that was applied, or begun.

use std::time::Duration;

use serde::Deserialize;
use switchboard_core::{Result, Subsystem as _};

use super::files::Migration;
use super::server::{Server, Table};
use super::statements::Part;
use crate::{Database, Databases, Statements, Violation};

/// The tables that migrations are written down in.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    pub(super) database: Database,
    pub(super) server: Server,
    pub(super) table: Table,
    pub(super) lock: Table,
}

/// One row.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Record {
    pub(super) version: i64,
    pub(super) name: String,
    pub(super) checksum: String,
    pub(super) state: Mark,
    pub(super) applied_at: String,
    pub(super) statement_number: Option<i64>,
    pub(super) statement_line: Option<i64>,
    pub(super) statement: Option<String>,
}

/// How far one has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mark {
    Applied,
    Applying,
    Failed,
}

impl Record {
    pub(super) fn version(&self) -> u64 {
        self.version.unsigned_abs()
    }
}

impl Journal {
    /// The journal that is called `table`, whether it is there or not.
    pub(super) async fn open(database: &Database, server: Server, table: Table) -> Result<Self> {
        let table = match table.schema() {
            Some(_) => table,
            None => table.in_schema(server.schema(database).await?),
        };
        let lock = table.beside("_lock");
        Ok(Self { database: database.clone(), server, table, lock })
    }

    /// Makes what is not there of its tables. Others may do so at the same time.
    pub(super) async fn prepare(&self) -> Result<()> {
        self.create(&self.table, &self.columns()).await?;
        self.create(&self.lock, LOCK_COLUMNS).await?;
        let there = format!("select id from {} where id = 1", self.lock);
        if self.database.select_value_or_none::<i64>(&there, ()).await?.is_some() {
            return Ok(());
        }
        let insert = format!(
            "insert into {} (id, token, holder, expires_at, beats) values (1, '', '', 0, 0)",
            self.lock
        );
        match self.database.execute(&insert, ()).await {
            Err(error) if Violation::of(&error) == Some(Violation::Unique) => Ok(()),
            inserted => inserted.map(drop),
        }
    }

    async fn create(&self, table: &Table, columns: &str) -> Result<()> {
        if self.server.has(&self.database, table).await? {
            return Ok(());
        }
        let create = format!("create table if not exists {table} ({columns})");
        let Err(error) = self.database.execute(&create, ()).await else { return Ok(()) };
        // Two that make it at the same time may both not find it, and one is refused.
        match self.server.has(&self.database, table).await {
            Ok(true) => Ok(()),
            _ => Err(error),
        }
    }

    fn columns(&self) -> String {
        format!(
            "version bigint not null primary key, name varchar(255) not null, \
             checksum varchar(64) not null, state varchar(16) not null, \
             applied_at varchar(40) not null, took_ms bigint, \
             statement_number bigint, statement_line bigint, statement {}",
            self.server.long_text()
        )
    }

    /// All rows, the oldest version first; none where there is no table yet.
    pub(super) async fn read(&self) -> Result<Vec<Record>> {
        if !self.server.has(&self.database, &self.table).await? {
            return Ok(Vec::new());
        }
        let sql = format!(
            "select version, name, checksum, state, applied_at, statement_number, statement_line, \
             statement from {} order by version",
            self.table
        );
        self.database.select(&sql, ()).await
    }

    /// Writes down that `migration` is applied, as far as the transaction `on` comes to its end.
    pub(super) async fn applied(
        &self,
        on: &impl Statements,
        migration: &Migration,
        took: Option<Duration>,
    ) -> Result<()> {
        let sql = format!(
            "insert into {} (version, name, checksum, state, applied_at, took_ms) \
             values (?, ?, ?, 'applied', ?, ?)",
            self.table
        );
        let Migration { name, checksum, .. } = migration;
        let (now, took) = (self.now(on).await?, took.map(milliseconds));
        let row = (version(migration), name.as_str(), checksum.as_str(), now, took);
        on.execute(&sql, row).await.map(drop)
    }

    /// Writes down that `migration` is begun, and with which statement.
    pub(super) async fn begun(
        &self,
        on: &impl Statements,
        migration: &Migration,
        part: &Part<'_>,
    ) -> Result<()> {
        let sql = format!(
            "insert into {} (version, name, checksum, state, applied_at, statement_number, \
             statement_line, statement) values (?, ?, ?, 'applying', ?, ?, ?, ?)",
            self.table
        );
        let Migration { name, checksum, .. } = migration;
        let now = self.now(on).await?;
        let (number, line, text) = part.told();
        let row = (version(migration), name.as_str(), checksum.as_str(), now, number, line, text);
        on.execute(&sql, row).await.map(drop)
    }

    /// Writes down which statement is the next.
    pub(super) async fn reached(
        &self,
        on: &impl Statements,
        migration: &Migration,
        part: &Part<'_>,
    ) -> Result<()> {
        let sql = format!(
            "update {} set statement_number = ?, statement_line = ?, statement = ? \
             where version = ?",
            self.table
        );
        let (number, line, text) = part.told();
        on.execute(&sql, (number, line, text, version(migration))).await.map(drop)
    }

    /// Writes down that the statement that was reached failed, and nothing came of it.
    pub(super) async fn failed(&self, on: &impl Statements, migration: &Migration) -> Result<()> {
        let sql = format!("update {} set state = 'failed' where version = ?", self.table);
        on.execute(&sql, (version(migration),)).await.map(drop)
    }

    /// Writes down that what was begun is applied.
    pub(super) async fn finished(
        &self,
        on: &impl Statements,
        of: u64,
        took: Option<Duration>,
    ) -> Result<()> {
        let sql = format!(
            "update {} set state = 'applied', applied_at = ?, took_ms = ?, \
             statement_number = null, statement_line = null, statement = null where version = ?",
            self.table
        );
        let (now, took) = (self.now(on).await?, took.map(milliseconds));
        on.execute(&sql, (now, took, as_number(of))).await.map(drop)
    }

    /// Forgets that a version was begun.
    pub(super) async fn forget(&self, on: &impl Statements, of: u64) -> Result<()> {
        let sql = format!("delete from {} where version = ?", self.table);
        on.execute(&sql, (as_number(of),)).await.map(drop)
    }

    /// The server's clock, as people write it.
    async fn now(&self, on: &impl Statements) -> Result<String> {
        let sql = format!("select {} as now_ms", self.server.now());
        let now: i64 = on.select_value(&sql, ()).await?;
        Ok(jiff::Timestamp::from_millisecond(now)
            .map_or_else(|_| now.to_string(), |at| at.to_string()))
    }

    /// The instance, as configuration names it.
    pub(super) fn instance(&self) -> String {
        format!("{}.{}", Databases::NAME, self.database.line().instance())
    }
}

fn version(migration: &Migration) -> i64 {
    as_number(migration.version)
}

fn as_number(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

fn milliseconds(took: Duration) -> i64 {
    i64::try_from(took.as_millis()).unwrap_or(i64::MAX)
}

const LOCK_COLUMNS: &str = "id bigint not null primary key, token varchar(64) not null, \
                            holder varchar(255) not null, expires_at bigint not null, \
                            beats bigint not null";
