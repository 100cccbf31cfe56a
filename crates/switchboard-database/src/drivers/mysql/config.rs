//! The settings, and what they mean to the server.

use std::fmt::Write as _;
use std::time::Duration;

use mysql_async::{Opts, OptsBuilder};
use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_core::settings::duration;
use switchboard_core::{Error, ErrorKind, Result, Secret};

use super::encryption;
use crate::{Begin, DatabaseConfig, Isolation, TlsConfig};

/// The settings of [`MySql`](super::MySql).
///
/// The place of the server is either an address or its parts, and the parts win.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MySqlConfig {
    /// Where the server is: `mysql://user:password@host:3306/database`, or `mariadb://…`. What is set
    /// beside it wins: `host`, `port`, `user`, `password`, `database`, and `socket` in place of host and
    /// port. Settings behind a `?` are refused.
    #[schemars(with = "Option<String>")]
    pub url: Option<Secret>,
    /// The name or number of its machine.
    pub host: Option<String>,
    /// Its port.
    pub port: Option<u16>,
    /// Who asks.
    pub user: Option<String>,
    /// What proves it.
    pub password: Option<Secret>,
    /// The database that statements are about.
    pub database: Option<String>,
    /// The socket of a server on this machine, instead of the host and port of the address. Refused
    /// beside `host` and `port`.
    pub socket: Option<String>,
    /// Whether connections are encrypted, and what the server has to prove. With `verify-ca` it is not
    /// told by which name it is called, so a gateway that goes by that needs `verify-full`.
    pub tls: TlsConfig,
    /// How each session is set up.
    pub session: SessionConfig,
    /// How many statements each connection keeps prepared; none with zero.
    pub statement_cache: usize,
}

/// How each session is set up.
///
/// The zone is UTC for all of them, so that a `TIMESTAMP` is a moment. Values that do not fit are
/// errors, and `"…"` is a text, whatever the server's own mode is.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SessionConfig {
    /// How long one statement may take, as the server measures; any time unless said. `MySQL` only
    /// ends `SELECT`, `MariaDB` all statements.
    #[serde(with = "duration::option")]
    #[schemars(with = "Option<duration::Text>")]
    pub statement_timeout: Option<Duration>,
    /// How long one statement may wait for a lock, in whole seconds; the server's choice unless said.
    #[serde(with = "duration::option")]
    #[schemars(with = "Option<duration::Text>")]
    pub lock_timeout: Option<Duration>,
}

impl Default for MySqlConfig {
    fn default() -> Self {
        Self {
            url: None,
            host: None,
            port: None,
            user: None,
            password: None,
            database: None,
            socket: None,
            tls: TlsConfig::default(),
            session: SessionConfig::default(),
            statement_cache: 256,
        }
    }
}

impl MySqlConfig {
    /// What the client library is told, once for all connections.
    pub(super) fn options(&self, session: &Session) -> Result<Opts> {
        if self.socket.is_some() && (self.host.is_some() || self.port.is_some()) {
            return Err(Error::new(
                ErrorKind::Config,
                "`socket` says where the server is, and so do `host` and `port`",
            )
            .with_context("setting", "socket"));
        }
        let mut options = match &self.url {
            Some(url) => OptsBuilder::from_opts(address(url)?),
            None => OptsBuilder::default(),
        };
        if let Some(host) = &self.host {
            options = options.ip_or_hostname(host);
        }
        if let Some(port) = self.port {
            options = options.tcp_port(port);
        }
        if let Some(user) = &self.user {
            options = options.user(Some(user));
        }
        if let Some(password) = &self.password {
            options = options.pass(Some(password.expose()));
        }
        if let Some(database) = &self.database {
            options = options.db_name(Some(database));
        }
        Ok(options
            .ssl_opts(encryption::options(&self.tls, self.socket.is_some())?)
            .socket(self.socket.clone())
            .prefer_socket(false)
            .tcp_nodelay(true)
            // An update that finds a row and leaves it as it is counts, as with other databases.
            .client_found_rows(true)
            .stmt_cache_size(0)
            .setup(vec![session.setup()])
            .into())
    }
}

/// The address as the client library reads it. Its settings are ours, so there are none in it.
fn address(url: &Secret) -> Result<Opts> {
    let wrong = |message| {
        Error::new(ErrorKind::Config, message)
            .with_hint("an address looks like `mysql://user:password@host:3306/database`")
    };
    let url = url.expose();
    let Some(rest) = url.strip_prefix("mariadb://").or_else(|| url.strip_prefix("mysql://")) else {
        return Err(wrong("the address does not begin with `mysql://` or `mariadb://`"));
    };
    // A password with a `/` would be cut there, and the rest be taken for a name to show.
    if rest.split_once('/').is_some_and(|(_, database)| database.contains('@')) {
        return Err(wrong("the address has an `@` behind its `/`, which is written `%40`"));
    }
    if rest.contains('?') {
        return Err(wrong("the address has settings in it, which belong beside it"));
    }
    // What the library says about it may show parts of it.
    Opts::from_url(&format!("mysql://{rest}")).map_err(|_| wrong("the address is not understood"))
}

/// What each connection is told after it was made or reset.
#[derive(Debug)]
pub(super) struct Session {
    limits: SessionConfig,
    is_read_only: bool,
    pub(super) statement_cache: usize,
}

impl Session {
    pub(super) fn new(config: &MySqlConfig, common: &DatabaseConfig) -> Self {
        Self {
            limits: config.session.clone(),
            is_read_only: common.read_only,
            statement_cache: config.statement_cache,
        }
    }

    fn setup(&self) -> String {
        let mut sql = SETUP.to_owned();
        let SessionConfig { statement_timeout, lock_timeout } = &self.limits;
        sql.extend(statement_timeout.map(|limit| format!(", {}", statement_limit(Some(limit)))));
        sql.extend(lock_timeout.map(|limit| format!(", {}", lock_limit(Some(limit)))));
        if self.is_read_only {
            sql.push_str("; SET SESSION TRANSACTION READ ONLY");
        }
        sql
    }

    pub(super) fn begin(&self, options: &Begin) -> String {
        let mut sql = String::new();
        let limits = [
            options.statement_timeout.map(|limit| statement_limit(Some(limit))),
            options.lock_timeout.map(|limit| lock_limit(Some(limit))),
        ];
        for limit in limits.into_iter().flatten() {
            let _ = write!(sql, "SET {limit}; ");
        }
        if let Some(isolation) = options.isolation {
            let _ = write!(sql, "SET TRANSACTION ISOLATION LEVEL {}; ", level(isolation));
        }
        sql.push_str("START TRANSACTION");
        if options.is_read_only || self.is_read_only {
            sql.push_str(" READ ONLY");
        }
        sql
    }

    pub(super) fn restore_limits(&self) -> String {
        let SessionConfig { statement_timeout, lock_timeout } = self.limits;
        format!("SET {}, {}", statement_limit(statement_timeout), lock_limit(lock_timeout))
    }
}

/// Both servers have their own name for it, and read what is written for them alone.
fn statement_limit(limit: Option<Duration>) -> String {
    let milliseconds = limit.map(|limit| match limit.as_millis() {
        0 if !limit.is_zero() => 1,
        milliseconds => milliseconds,
    });
    let (seconds, milliseconds) = match milliseconds {
        Some(count) => (format!("{}.{:03}", count / 1_000, count % 1_000), count.to_string()),
        None => ("DEFAULT".to_owned(), "DEFAULT".to_owned()),
    };
    // One assignment that both know begins the list.
    format!(
        "{ZONE} /*M!100101 , max_statement_time={seconds} */ \
         /*!50708 , max_execution_time={milliseconds} */"
    )
}

fn lock_limit(limit: Option<Duration>) -> String {
    let seconds = limit.map(|limit| limit.as_millis().div_ceil(1_000).max(1).to_string());
    let seconds = seconds.as_deref().unwrap_or("DEFAULT");
    format!("innodb_lock_wait_timeout={seconds}, lock_wait_timeout={seconds}")
}

fn level(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::ReadUncommitted => "READ UNCOMMITTED",
        Isolation::ReadCommitted => "READ COMMITTED",
        Isolation::RepeatableRead => "REPEATABLE READ",
        Isolation::Serializable => "SERIALIZABLE",
    }
}

const ZONE: &str = "time_zone='+00:00'";

/// Strict, and with the quotes and escapes that our reader of statements expects.
const SETUP: &str = "SET NAMES utf8mb4, time_zone='+00:00', sql_mode=CONCAT(\
    IF(FIND_IN_SET('ONLY_FULL_GROUP_BY', @@sql_mode), 'ONLY_FULL_GROUP_BY,', ''), \
    'STRICT_TRANS_TABLES,STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,\
    ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION')";
