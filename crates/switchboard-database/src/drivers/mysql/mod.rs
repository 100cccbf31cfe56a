//! `MySQL` and `MariaDB`.
//!
//! Read on in `config` (the settings), `connection` (a connection that survives whoever waits for
//! it), `client` (the commands), `values` (what types become), `bulk` and `errors`.
//!
//! What changes the schema also commits, as the server will have it: after such a statement in a
//! transaction the connection is idle again, and says so.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, DriverError, Error as ClientError, Opts, OptsBuilder};
use switchboard_core::{Descriptor, Error, ErrorKind, Lifecycle, Registry, Reply, Result, Secret};

use self::client::Client;
use self::config::Session;
use self::connection::{MySqlConnection, Stop};
use self::errors::{classify_connecting, classify_harmless};
use crate::sql::functions;
use crate::{
    Connection, Copies, DatabaseConfig, DatabaseDriver, Databases, Dialect, DriverContext,
    DriverSettings, Lane, Lexis, OnConflict, Placeholder, advice,
};

mod bulk;
mod client;
mod config;
mod connection;
mod copies;
mod documents;
mod encryption;
mod errors;
mod statements;
#[cfg(test)]
mod tests;
mod values;

pub use self::config::{MySqlConfig, SessionConfig};

/// A database on a server that speaks the protocol of `MySQL`.
pub struct MySql(Arc<Connector>);

/// What makes connections.
struct Connector {
    options: Opts,
    session: Arc<Session>,
    /// Speaks to servers that do not encrypt, too.
    allows_plaintext: bool,
    password: Option<PasswordSource>,
}

type PasswordSource = Arc<dyn Fn() -> BoxFuture<'static, Result<Secret>> + Send + Sync>;

pub(crate) fn register(registry: &Registry<Databases>) -> Result<()> {
    let descriptor =
        Descriptor::new("mysql").alias("mariadb").summary("A MySQL or MariaDB server").proven();
    crate::register(registry, descriptor, |config: MySqlConfig, context| async move {
        MySql::new(&config, context.database())
    })
}

impl MySql {
    /// The database of `config`. Connects when it is asked to.
    pub fn new(config: &MySqlConfig, common: &DatabaseConfig) -> Result<Self> {
        let session = Arc::new(Session::new(config, common));
        let options = config.options(&session)?;
        let allows_plaintext = config.tls.mode.allows_plaintext();
        Ok(Self(Arc::new(Connector { options, session, allows_plaintext, password: None })))
    }

    /// The same with a password that is asked for at each connection, for one that changes.
    #[must_use]
    pub fn with_password<F, P>(self, password: F) -> Self
    where
        F: Fn() -> P + Send + Sync + 'static,
        P: Future<Output = Result<Secret>> + Send + 'static,
    {
        let Connector { options, session, allows_plaintext, .. } = &*self.0;
        Self(Arc::new(Connector {
            options: options.clone(),
            session: Arc::clone(session),
            allows_plaintext: *allows_plaintext,
            password: Some(Arc::new(move || password().boxed())),
        }))
    }
}

impl Connector {
    async fn connect(self: Arc<Self>) -> Result<MySqlConnection> {
        let conn = self.open(self.options.clone()).await?;
        let client = Client::new(conn, Arc::clone(&self.session)).await?;
        Ok(MySqlConnection::new(client, self))
    }

    async fn open(&self, mut options: Opts) -> Result<Conn> {
        if let Some(password) = &self.password {
            let password = password().await.map_err(Error::not_applied)?;
            options = OptsBuilder::from_opts(options).pass(Some(password.expose())).into();
        }
        let answer = match Conn::new(options.clone()).await {
            Err(ClientError::Driver(DriverError::NoClientSslFlagFromServer))
                if self.allows_plaintext =>
            {
                let plain = OptsBuilder::from_opts(options).ssl_opts(None);
                Conn::new(plain).await
            }
            answer => answer,
        };
        answer.map_err(|error| advice::on_connecting(classify_connecting(error)))
    }

    /// Has what the connection `id` of `server` does stopped, over a connection made for that.
    fn stop(self: &Arc<Self>, id: u32, server: Arc<str>) -> Stop {
        let connector = Arc::clone(self);
        Stop::new(|is_sent| async move {
            let bare =
                OptsBuilder::from_opts(connector.options.clone()).setup(Vec::<String>::new());
            let mut conn = connector.open(bare.into()).await?;
            let answering: Option<String> =
                conn.query_first(client::SERVER).await.map_err(classify_harmless)?;
            if answering.as_deref() != Some(&*server) {
                let message = "another server answers, where the statement cannot be stopped";
                return Err(Error::new(ErrorKind::Unavailable, message));
            }
            is_sent.store(true, Ordering::Release);
            match conn.query_drop(format!("KILL QUERY {id}")).await {
                Err(ClientError::Server(refusal)) if refusal.code == NO_SUCH_CONNECTION => {}
                answer => answer.map_err(classify_harmless)?,
            }
            conn.disconnect().await.map_err(classify_harmless)
        })
    }
}

impl DatabaseDriver for MySql {
    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    fn address(&self) -> Option<String> {
        let options = &self.0.options;
        let host = || format!("{}:{}", options.ip_or_hostname(), options.tcp_port());
        Some(options.socket().map_or_else(host, str::to_owned))
    }

    fn copies(&self) -> Option<&dyn Copies> {
        Some(self)
    }

    fn connect(&self, _lane: Lane) -> Reply<'_, Box<dyn Connection>> {
        let connector = Arc::clone(&self.0);
        Reply::run(async move {
            let connection = connector.connect().await?;
            Ok(Box::new(connection) as Box<dyn Connection>)
        })
    }
}

impl Lifecycle for MySql {}

impl DriverSettings for MySqlConfig {
    type Driver = MySql;

    fn place(&self, context: &DriverContext) -> Option<String> {
        let options = self.options(&Session::new(self, context.database())).ok()?;
        let host = format!("{}:{}", options.ip_or_hostname(), options.tcp_port()).to_lowercase();
        let server = options.socket().map_or(host, str::to_owned);
        let (user, database, setup) = (options.user(), options.db_name(), options.setup());
        Some(format!("{server} {user:?} {database:?} {setup:?}"))
    }
}

impl fmt::Debug for MySql {
    // The options of the client library show the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = &self.0.options;
        f.debug_struct("MySql")
            .field("host", &options.ip_or_hostname())
            .field("port", &options.tcp_port())
            .field("database", &options.db_name())
            .finish_non_exhaustive()
    }
}

pub(super) static DIALECT: Dialect = Dialect {
    name: "mysql",
    placeholder: Placeholder::Question,
    quote: '`',
    lexis: Lexis {
        conditional_comments: true,
        backslash_escapes: true,
        double_quoted_strings: true,
        backticks: true,
        hash_comments: true,
        dashes_need_space: true,
        at_variables: true,
        ..Lexis::STANDARD
    },
    values_max: bulk::VALUES_MAX,
    // MariaDB knows it for some statements, MySQL for none.
    bulk_is_atomic: true,
    on_conflict: OnConflict::OfAnyKey,
    functions: functions::MYSQL,
    lock_codes: &["1205", "1689", "3572"],
    explain: Some("explain"),
    ..Dialect::STANDARD
};

/// "Unknown thread id": it has gone by itself.
const NO_SUCH_CONNECTION: u16 = 1094;

#[cfg(test)]
mod keeps_the_rules_of_databases {
    use std::net::SocketAddr;

    use switchboard_core::Settings;
    use switchboard_testkit::service_url;

    use super::*;
    use crate::Violation;
    use crate::conformance::{Fixture, Residue, Words, address_in, suite, wire_suite};

    suite!(fixture());
    wire_suite!(fixture());

    fn fixture() -> Fixture {
        Fixture::new(register)
            .settings(|_| Settings::new().with("url", url()).with("database", "test"))
            .server(address_in(&url(), 3306), through)
            .words(Words {
                bytes: "longblob",
                date_time: "datetime(6)",
                timestamp: "timestamp(6)",
                uuid: "char(36)",
                made_key: "bigint auto_increment primary key",
                tells_last_id: true,
                names: &[Violation::Unique, Violation::ForeignKey, Violation::Check],
                residues: RESIDUES,
                commit: "COMMIT",
                ..Words::default()
            })
    }

    fn url() -> String {
        service_url("mariadb", "mysql://root@127.0.0.1:3306")
    }

    fn through(settings: Settings, wire: SocketAddr) -> Settings {
        let plain = Settings::new().with("mode", "off");
        settings.with("host", wire.ip().to_string()).with("port", wire.port()).with("tls", plain)
    }

    const RESIDUES: &[Residue] = &[
        Residue { left_by: "set @{unique} = 7", seen_by: "select @{unique}" },
        Residue { left_by: "set session sql_mode = 'ANSI'", seen_by: "select @@sql_mode" },
        Residue {
            left_by: "create temporary table {unique} (id integer)",
            seen_by: "select count(*) from {unique}",
        },
        Residue {
            left_by: "select get_lock('{unique}', 0)",
            seen_by: "select is_used_lock('{unique}') = connection_id()",
        },
    ];
}
