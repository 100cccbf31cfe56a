//! What can be said of a server and of the sessions on it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_core::settings::duration;
use switchboard_core::{Error, ErrorKind, Result, Secret};
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use super::Postgres;
use crate::{DriverContext, DriverSettings, TlsConfig, TlsMode};

/// The settings of [`Postgres`]: an address, or its parts, or an address with parts in place of its
/// own.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PostgresConfig {
    /// Where the server is: `postgres://user:password@host:5432/database`. Several hosts, with `,`
    /// between them, are tried in their order. What is set beside it wins: `user`, `password`,
    /// `database`, `port` for all hosts, and `host` in place of all of them. Encryption is said here or
    /// in `tls`, and in both places refused.
    #[schemars(with = "Option<String>")]
    pub url: Option<Secret>,
    /// The name or the address of the server, or the folder of its socket: `/var/run/postgresql`.
    pub host: Option<String>,
    /// The port of the server; 5432 where nothing is said.
    pub port: Option<u16>,
    /// Who asks; whoever runs the program where nothing is said.
    pub user: Option<String>,
    /// What the user proves it with.
    pub password: Option<Secret>,
    /// The database; the one with the name of the user where nothing is said.
    pub database: Option<String>,
    /// Whether the connection is encrypted, and what the server has to prove.
    pub tls: TlsConfig,
    /// What every session begins with.
    pub session: SessionConfig,
    /// What stands between here and the server.
    pub pooler: Pooler,
    /// How many prepared statements a connection keeps; none with zero.
    pub statement_cache: usize,
}

/// What every session begins with. What is not said here is as the server and the role have it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SessionConfig {
    /// How long one statement may take, as the server measures.
    #[serde(with = "duration::option")]
    #[schemars(with = "Option<duration::Text>")]
    pub statement_timeout: Option<Duration>,
    /// How long one statement may wait for a lock.
    #[serde(with = "duration::option")]
    #[schemars(with = "Option<duration::Text>")]
    pub lock_timeout: Option<Duration>,
    /// How long a transaction may do nothing.
    #[serde(with = "duration::option")]
    #[schemars(with = "Option<duration::Text>")]
    pub idle_in_transaction_timeout: Option<Duration>,
    /// What the server's own lists call the connections.
    pub application_name: Option<String>,
    /// Where names without a schema are looked for: `app, public`.
    pub search_path: Option<String>,
    /// The zone in which moments are shown and days begin: `Europe/Berlin`.
    pub timezone: Option<String>,
}

/// What stands between here and the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Pooler {
    /// Nothing: a connection is one session, from its beginning to its end.
    #[default]
    None,
    /// A pooler such as `PgBouncer`, which may give each transaction another session. Statements
    /// are not kept by name then, and sessions begin as the server has them.
    Transaction,
}

impl DriverSettings for PostgresConfig {
    type Driver = Postgres;

    fn place(&self, context: &DriverContext) -> Option<String> {
        let Target { client, places, .. } = self.target(context.database().read_only).ok()?;
        let places: Vec<_> = places.iter().map(|at| at.to_string().to_lowercase()).collect();
        let user = client.get_user();
        // The server takes the name of the user for that of the database where there is none.
        let database = client.get_dbname().or(user);
        let sessions = (client.get_options(), client.get_application_name());
        Some(format!("{places:?} {user:?} {database:?} {sessions:?}"))
    }
}

impl Default for PostgresConfig {
    fn default() -> Self {
        Self {
            url: None,
            host: None,
            port: None,
            user: None,
            password: None,
            database: None,
            tls: TlsConfig::default(),
            session: SessionConfig::default(),
            pooler: Pooler::default(),
            statement_cache: STATEMENT_CACHE,
        }
    }
}

impl PostgresConfig {
    /// What is needed for a connection; `is_read_only` has every transaction only read.
    pub(super) fn target(&self, is_read_only: bool) -> Result<Target> {
        let (mut client, tls) = match &self.url {
            Some(url) => parsed(url)?,
            None => (Config::new(), TlsConfig::default()),
        };
        let tls = self.tls_with(tls)?;
        self.user.as_ref().map(|user| client.user(user));
        self.password.as_ref().map(|password| client.password(password.expose()));
        self.database.as_ref().map(|database| client.dbname(database));
        self.session.application_name.as_ref().map(|name| client.application_name(name));
        self.add_options(&mut client, is_read_only)?;
        let places = self.places(&client)?;
        Ok(Target { client, places, tls })
    }

    /// What is said of encryption, here or in the address.
    fn tls_with(&self, of_address: TlsConfig) -> Result<TlsConfig> {
        let nothing = TlsConfig::default();
        match (self.tls == nothing, of_address == nothing) {
            (false, false) => Err(Error::new(
                ErrorKind::Config,
                "the address and `tls` both say how the connection is encrypted",
            )
            .with_hint("say it in `tls` alone")),
            (false, true) => Ok(self.tls.clone()),
            (true, _) => Ok(of_address),
        }
    }

    /// Where the server may be, in the order in which it is tried.
    fn places(&self, client: &Config) -> Result<Vec<Place>> {
        if let Some(host) = &self.host {
            let port = self.port.or(client.get_ports().first().copied()).unwrap_or(PORT);
            return Ok(vec![Place { name: host.clone(), address: None, port }]);
        }
        let (hosts, addresses) = (client.get_hosts(), client.get_hostaddrs());
        let count = hosts.len().max(addresses.len());
        if count == 0 {
            return Err(Error::new(ErrorKind::Config, "it is not said where the server is")
                .with_hint("set `url` or `host`"));
        }
        Ok((0..count).map(|index| self.place(client, index)).collect())
    }

    fn place(&self, client: &Config, index: usize) -> Place {
        let ports = client.get_ports();
        let port = self.port.or_else(|| ports.get(index).or(ports.first()).copied());
        let address = client.get_hostaddrs().get(index).copied();
        let name = match client.get_hosts().get(index) {
            Some(Host::Tcp(name)) => name.clone(),
            #[cfg(unix)]
            Some(Host::Unix(folder)) => folder.to_string_lossy().into_owned(),
            None => address.map(|address| address.to_string()).unwrap_or_default(),
        };
        Place { name, address, port: port.unwrap_or(PORT) }
    }

    /// Adds what sessions begin with, so that it is also what a reset goes back to.
    fn add_options(&self, client: &mut Config, is_read_only: bool) -> Result<()> {
        let options = self.session.options(is_read_only);
        if options.is_empty() {
            return Ok(());
        }
        if self.pooler == Pooler::Transaction {
            return Err(Error::new(
                ErrorKind::Config,
                "behind a pooler that changes sessions, none of them can have settings",
            )
            .with_context("settings", options.join(" "))
            .with_hint("set them for the role on the server: `ALTER ROLE … SET …`"));
        }
        let given = client.get_options().map(str::to_owned);
        let all: Vec<_> = given.into_iter().chain(options).collect();
        client.options(all.join(" "));
        Ok(())
    }
}

impl SessionConfig {
    /// The settings as the server takes them at the start of a session.
    fn options(&self, is_read_only: bool) -> Vec<String> {
        let time = |time: Option<Duration>| time.map(|time| format!("{}ms", milliseconds(time)));
        let said = [
            ("statement_timeout", time(self.statement_timeout)),
            ("lock_timeout", time(self.lock_timeout)),
            ("idle_in_transaction_session_timeout", time(self.idle_in_transaction_timeout)),
            ("search_path", self.search_path.clone()),
            ("TimeZone", self.timezone.clone()),
            ("default_transaction_read_only", is_read_only.then(|| "on".to_owned())),
        ];
        said.into_iter()
            .filter_map(|(name, value)| Some(format!("-c {name}={}", escaped(&value?))))
            .collect()
    }
}

/// Where a server may be, and what it is told.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) client: Config,
    pub(super) places: Vec<Place>,
    pub(super) tls: TlsConfig,
}

/// One place where the server may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The name it has in its certificate; a folder where it begins with `/`.
    pub(super) name: String,
    /// Where it is, if that is not asked of the name.
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
}

impl Place {
    /// The socket, where the server is on this machine and listens to one.
    pub(super) fn socket(&self) -> Option<PathBuf> {
        let is_folder = self.address.is_none() && self.name.starts_with('/');
        is_folder.then(|| Path::new(&self.name).join(format!(".s.PGSQL.{}", self.port)))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.socket(), self.address) {
            (Some(socket), _) => write!(f, "{}", socket.display()),
            (None, Some(address)) => write!(f, "{}", SocketAddr::new(address, self.port)),
            (None, None) => write!(f, "{}:{}", self.name, self.port),
        }
    }
}

/// The whole milliseconds in `time`; zero would switch the limit off, so the least is one.
pub(super) fn milliseconds(time: Duration) -> u128 {
    time.as_millis().clamp(1, i32::MAX.unsigned_abs().into())
}

fn parsed(url: &Secret) -> Result<(Config, TlsConfig)> {
    let url = url.expose();
    // The library takes lists of words too, which are no addresses.
    let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
    let rest = rest.ok_or_else(not_an_address)?;
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    // A password with a `/` or an `@` would be cut there, and the rest be taken for a name to show.
    let (authority, path) = place.split_once('/').unwrap_or((place, ""));
    if authority.matches('@').count() > 1 || path.contains('@') {
        return Err(not_an_address());
    }
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let (of_tls, others): (Vec<_>, Vec<_>) = pairs.partition(|pair| is_of_tls(pair));
    let url = format!("postgres://{place}?{}", others.join("&"));
    // What the library finds names no part of the address that is secret.
    let client = Config::from_str(&url).map_err(|error| not_an_address().with_source(error))?;
    Ok((client, tls_of(&of_tls)?))
}

fn is_of_tls(pair: &str) -> bool {
    let key = pair.split('=').next();
    matches!(key, Some("sslmode" | "sslrootcert" | "sslcert" | "sslkey"))
}

/// What an address says of encryption, in the words of the server's own clients.
fn tls_of(pairs: &[&str]) -> Result<TlsConfig> {
    let mut tls = TlsConfig::default();
    for pair in pairs {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_decode_str(value).decode_utf8().map_err(|_| not_an_address())?;
        match key {
            "sslmode" => tls.mode = mode_of(&value)?,
            "sslrootcert" => tls.ca = Some(PathBuf::from(&*value)),
            "sslcert" => tls.cert = Some(PathBuf::from(&*value)),
            _ => tls.key = Some(PathBuf::from(&*value)),
        }
    }
    Ok(tls)
}

fn mode_of(word: &str) -> Result<TlsMode> {
    Ok(match word {
        "disable" => TlsMode::Off,
        "allow" | "prefer" => TlsMode::Preferred,
        "require" => TlsMode::Required,
        "verify-ca" => TlsMode::VerifyCa,
        "verify-full" => TlsMode::VerifyFull,
        // Not shown: a password with a `?` in it may end here.
        _ => {
            return Err(not_an_address().with_hint(
                "`sslmode` is `disable`, `allow`, `prefer`, `require`, `verify-ca` or `verify-full`",
            ));
        }
    })
}

fn not_an_address() -> Error {
    Error::new(ErrorKind::Config, "the address of the server is wrong").with_hint(
        "it is written like `postgres://user:password@host:5432/database`, with `%40` for an `@` in \
         the password",
    )
}

/// A value in which the server sees no end.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for character in value.chars() {
        if character == '\\' || character.is_ascii_whitespace() {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

const PORT: u16 = 5432;

/// Enough for what an application says again and again, and a bound for what it makes up.
const STATEMENT_CACHE: usize = 256;
