//! What servers write differently: their clock, the look for a table, names in quotes.
//!
//! Everything else that migrations need is understood by all of them.

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

/// Room for the ending of the lock's table in what servers allow.
const NAME_BYTES_MAX: usize = 58;
