//! What servers write differently: their clock, the look for a table, names in quotes.
//!
//! Everything else that migrations need is understood by all of them.

use std::time::Duration;

use switchboard_core::{Error, ErrorKind, Result};

use crate::{Database, Dialect, Statements as _};

/// A server whose ways are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Server {
    Postgres,
    Mysql,
    Sqlite,
}

/// A table, with its schema where one is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    schema: Option<String>,
    name: String,
    quote: char,
}

impl Server {
    pub(super) fn of(dialect: &Dialect) -> Result<Self> {
        match dialect.name {
            "postgres" => Ok(Self::Postgres),
            "mysql" => Ok(Self::Mysql),
            "sqlite" => Ok(Self::Sqlite),
            other => Err(Error::new(
                ErrorKind::Unsupported,
                "migrations do not know the clock of this database",
            )
            .with_context("dialect", other)
            .not_applied()),
        }
    }

    /// The present moment of the server in milliseconds since 1970, also in the middle of a transaction.
    pub(super) fn now(self) -> &'static str {
        match self {
            Self::Postgres => "cast(extract(epoch from clock_timestamp()) * 1000 as bigint)",
            Self::Mysql => "cast(unix_timestamp(sysdate(6)) * 1000 as signed)",
            Self::Sqlite => "cast((julianday('now') - 2440587.5) * 86400000 as integer)",
        }
    }

    /// The type of a text that may be long.
    pub(super) fn long_text(self) -> &'static str {
        match self {
            Self::Mysql => "mediumtext",
            Self::Postgres | Self::Sqlite => "text",
        }
    }

    /// Whether it has limits that last for a session.
    pub(super) fn limits_sessions(self) -> bool {
        self != Self::Sqlite
    }

    /// Whether its sessions wait for locks of tables with a limit that is no matter of days.
    pub(super) async fn waits_with_limit(self, database: &Database) -> Result<bool> {
        let sql = match self {
            Self::Postgres => {
                "select case current_setting('lock_timeout') when '0' then 0 else 1 end as is_said"
            }
            Self::Mysql => "select @@lock_wait_timeout < 86400 as is_said",
            Self::Sqlite => return Ok(true),
        };
        Ok(database.select_value::<i64>(sql, ()).await? != 0)
    }

    /// What gives a session limits for locks and for statements. `None` where it has no such limits.
    pub(super) fn limited(
        self,
        lock: Option<Duration>,
        statement: Option<Duration>,
    ) -> Option<String> {
        match self {
            Self::Postgres => {
                let limits = [("lock_timeout", lock), ("statement_timeout", statement)];
                let said = limits.into_iter().filter_map(|(name, limit)| Some((name, limit?)));
                let set = |(name, limit)| format!("set {name} = {}", milliseconds(limit));
                Some(said.map(set).collect::<Vec<_>>().join("; "))
            }
            Self::Mysql => Some(format!("set {}{}", mysql_lock(lock), mysql_statement(statement))),
            Self::Sqlite => None,
        }
    }

    /// The schema that names without one are looked for in.
    ///
    /// It is found out once, for a migration may look elsewhere and leave it at that.
    pub(super) async fn schema(self, database: &Database) -> Result<Option<String>> {
        match self {
            Self::Postgres => database.select_value("select current_schema()::text", ()).await,
            Self::Mysql => database.select_value("select database()", ()).await,
            Self::Sqlite => Ok(None),
        }
    }

    /// Whether `table` is there.
    pub(super) async fn has(self, database: &Database, table: &Table) -> Result<bool> {
        let Table { schema, name, .. } = table;
        let found: Option<i64> = match self {
            Self::Postgres | Self::Mysql => {
                let sql = "select 1 from information_schema.tables \
                           where table_schema = ? and table_name = ?";
                database.select_value_or_none(sql, (schema.as_deref(), name.as_str())).await?
            }
            Self::Sqlite => {
                let master = Table { name: "sqlite_master".to_owned(), ..table.clone() };
                let sql = format!("select 1 from {master} where type = 'table' and name = ?");
                database.select_value_or_none(&sql, (name.as_str(),)).await?
            }
        };
        Ok(found.is_some())
    }
}

impl Table {
    /// The table `said`, which may name its schema: `app.migrations`.
    pub(super) fn parse(said: &str, dialect: &Dialect) -> Result<Self> {
        let (schema, name) = match said.split_once('.') {
            Some((schema, name)) => (Some(schema.to_owned()), name),
            None => (None, said),
        };
        let is_name = |name: &str| !name.is_empty() && name.len() <= NAME_BYTES_MAX;
        if !is_name(name) || name.contains('.') || schema.as_deref().is_some_and(|s| !is_name(s)) {
            return Err(Error::new(ErrorKind::Config, "this cannot be the name of a table")
                .with_context("setting", "migrations.table")
                .with_context("table", said)
                .not_applied());
        }
        Ok(Self { schema, name: name.to_owned(), quote: dialect.quote })
    }

    pub(super) fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    pub(super) fn in_schema(self, schema: Option<String>) -> Self {
        Self { schema, ..self }
    }

    /// The table beside this one whose name goes on with `ending`.
    pub(super) fn beside(&self, ending: &str) -> Self {
        Self { name: format!("{}{ending}", self.name), ..self.clone() }
    }
}

/// As SQL names it.
impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let quoted = |name: &str| {
            let quote = self.quote;
            let name = name.replace(quote, &format!("{quote}{quote}"));
            format!("{quote}{name}{quote}")
        };
        if let Some(schema) = &self.schema {
            write!(f, "{}.", quoted(schema))?;
        }
        f.write_str(&quoted(&self.name))
    }
}

/// It is two locks there, each counted in seconds.
fn mysql_lock(limit: Option<Duration>) -> String {
    let [tables, rows] = ["lock_wait_timeout", "innodb_lock_wait_timeout"].map(|name| {
        let seconds = limit.map(|limit| milliseconds(limit).div_ceil(1_000).to_string());
        format!("{name} = {}", seconds.unwrap_or_else(|| format!("@@{name}")))
    });
    format!("{tables}, {rows}")
}

/// Both servers have their own name for it, and read what is written for them alone.
fn mysql_statement(limit: Option<Duration>) -> String {
    let Some(count) = limit.map(milliseconds) else { return String::new() };
    let seconds = format!("{}.{:03}", count / 1_000, count % 1_000);
    format!(
        " /*M!100101 , max_statement_time = {seconds} */ /*!50708 , max_execution_time = {count} */"
    )
}

fn milliseconds(limit: Duration) -> u128 {
    limit.as_millis().max(1)
}

/// Room for the ending of the lock's table in what servers allow.
const NAME_BYTES_MAX: usize = 58;
