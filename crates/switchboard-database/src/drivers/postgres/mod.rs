//! `PostgreSQL`, and servers that speak its protocol.
//!
//! Read in this order: [`Postgres`], which makes connections; [`PostgresConnection`], which runs
//! statements on one; `link`, how the library's half of a connection is kept going; `wire`, the bytes
//! and what is seen in them; `values`, both ways; `classify`, what errors mean.

mod bulk;
mod classify;
mod config;
mod connection;
mod copies;
mod link;
mod rows;
mod statements;
#[cfg(test)]
mod tests;
mod values;
mod wire;

use std::fmt;
use std::sync::Arc;

pub use config::{Pooler, PostgresConfig, SessionConfig};
pub use connection::PostgresConnection;
use switchboard_core::{
    BuildContext, Descriptor, Error, ErrorKind, Lifecycle, Reaper, Registry, Reply, Result, Secret,
};

use self::classify::classify_connecting;
use self::config::{Place, Target};
use self::link::Link;
use self::wire::Tls;
use crate::sql::functions;
use crate::{
    Connection, Copies, DatabaseConfig, DatabaseDriver, Databases, Dialect, Lane, Lexis,
    OnConflict, Placeholder, advice, context,
};

/// A database on a `PostgreSQL` server.
pub struct Postgres {
    server: Arc<Server>,
    password: Option<Arc<PasswordSource>>,
}

/// What all connections have in common.
#[derive(Clone)]
struct Server {
    target: Target,
    tls: Tls,
    pooler: Pooler,
    statements_max: usize,
    reaper: Reaper,
}

type PasswordSource = dyn Fn() -> Reply<'static, Secret> + Send + Sync;

pub(crate) fn register(registry: &Registry<Databases>) -> Result<()> {
    let descriptor =
        Descriptor::new("postgres").alias("postgresql").summary("A PostgreSQL server").proven();
    crate::register(registry, descriptor, |config: PostgresConfig, context| async move {
        Postgres::new(&config, context.database(), context.build())
    })
}

impl Postgres {
    /// The database that the settings name. Nobody is asked yet.
    pub fn new(
        config: &PostgresConfig,
        common: &DatabaseConfig,
        context: &BuildContext,
    ) -> Result<Self> {
        let target = config.target(common.read_only)?;
        let server = Server {
            tls: Tls::new(target.tls.clone())?,
            target,
            pooler: config.pooler,
            statements_max: config.statement_cache,
            reaper: context.reaper().clone(),
        };
        Ok(Self { server: Arc::new(server), password: None })
    }

    /// The same, asking `password` for each connection what the user proves it with: for passwords
    /// that change.
    #[must_use]
    pub fn with_password(
        mut self,
        password: impl Fn() -> Reply<'static, Secret> + Send + Sync + 'static,
    ) -> Self {
        self.password = Some(Arc::new(password));
        self
    }

    /// Connects to the first place that lets us in.
    async fn open(&self) -> Result<PostgresConnection> {
        let mut client = self.server.target.client.clone();
        if let Some(password) = &self.password {
            client.password(password().await?.expose());
        }
        let mut failed = Vec::new();
        for place in &self.server.target.places {
            match self.open_at(&client, place).await {
                Ok(connection) => return Ok(connection),
                Err(error) => failed.push(error.with_context(context::ADDRESS, place)),
            }
        }
        Err(match failed.len() {
            1 => failed.remove(0),
            _ => Error::joined("no server lets us in", failed).not_applied(),
        })
    }

    async fn open_at(
        &self,
        client: &tokio_postgres::Config,
        place: &Place,
    ) -> Result<PostgresConnection> {
        let opened = wire::connect(client, place, &self.server.tls).await;
        let opened = opened.map_err(|failure| advice::on_connecting(classify_connecting(failure)));
        let (client, wire, seen) = opened?;
        let link = Link::new(client, wire, seen);
        let mut connection = PostgresConnection::new(&self.server, place, link);
        connection.check_role(self.server.target.client.get_target_session_attrs()).await?;
        Ok(connection)
    }
}

impl DatabaseDriver for Postgres {
    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    fn application(&self) -> Option<&str> {
        self.server.target.client.get_application_name()
    }

    fn address(&self) -> Option<String> {
        let places: Vec<_> = self.server.target.places.iter().map(ToString::to_string).collect();
        Some(places.join(", "))
    }

    fn copies(&self) -> Option<&dyn Copies> {
        Some(self)
    }

    fn connect(&self, _lane: Lane) -> Reply<'_, Box<dyn Connection>> {
        Reply::run(async {
            let connection = self.open().await?;
            Ok(Box::new(connection) as Box<dyn Connection>)
        })
    }
}

impl Lifecycle for Postgres {}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres")
            .field("places", &self.server.target.places)
            .finish_non_exhaustive()
    }
}

/// How SQL is written for the server, and what it can do.
pub(super) static DIALECT: Dialect = Dialect {
    name: "postgres",
    placeholder: Placeholder::Dollar,
    lexis: Lexis {
        escape_strings: true,
        dollar_strings: true,
        nested_comments: true,
        question_operators: true,
        ..Lexis::STANDARD
    },
    // The protocol counts them with 16 bits.
    values_max: 65_535,
    has_arrays: true,
    has_nulls_order: true,
    has_returning: true,
    check_deferred: Some("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED"),
    has_transactional_ddl: true,
    bulk_is_atomic: true,
    on_conflict: OnConflict::OfKey,
    functions: functions::POSTGRES,
    lock_codes: &["55P03"],
    // With options, nothing that follows can be one.
    explain: Some("explain (costs true)"),
    ..Dialect::STANDARD
};

/// What `state` is not good for.
fn not_now(message: &'static str) -> Error {
    Error::new(ErrorKind::PreconditionFailed, message).not_applied()
}

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
            .settings(|_| Settings::new().with("url", url()))
            .server(address_in(&url(), 5432), through)
            .words(Words {
                bytes: "bytea",
                integers: Some("bigint[]"),
                names: &[Violation::Unique, Violation::ForeignKey, Violation::Check],
                deferred: Some("deferrable initially deferred"),
                residues: RESIDUES,
                ..Words::default()
            })
    }

    fn url() -> String {
        service_url("postgres", "postgres://postgres@127.0.0.1:5432/postgres")
    }

    fn through(settings: Settings, wire: SocketAddr) -> Settings {
        let plain = Settings::new().with("mode", "off");
        settings.with("host", wire.ip().to_string()).with("port", wire.port()).with("tls", plain)
    }

    const RESIDUES: &[Residue] = &[
        Residue { left_by: "set work_mem = '7MB'", seen_by: "show work_mem" },
        Residue {
            left_by: "create temporary table {unique} (id integer)",
            seen_by: "select count(*) from {unique}",
        },
        Residue {
            left_by: "select pg_advisory_lock(hashtext('{unique}'))",
            seen_by: "select count(*) from pg_locks \
                      where locktype = 'advisory' and pid = pg_backend_pid()",
        },
        Residue { left_by: "listen {unique}", seen_by: "select pg_listening_channels()" },
    ];
}
