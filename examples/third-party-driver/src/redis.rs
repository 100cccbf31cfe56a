//! Keeps values in Redis, or in a server that speaks its protocol.
//!
//! Keys stand behind a prefix, so that several caches and other programs share a server. One
//! connection carries all calls; it is opened when it is first used, and again after it was lost.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, ErrorKind as Kind, FromRedisValue, Pipeline, RedisError};
use redis::{ServerErrorKind as ServerKind, cmd, pipe};
use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_cache::{
    CacheDriver, Caches, Key, Ttl, capability, counter_overflow, not_a_counter,
};
use switchboard_core::settings::duration;
use switchboard_core::{
    Descriptor, Error, ErrorKind, Health, Lifecycle, Registry, Reply, Result, Retry, Secret,
    Support,
};

/// A cache in Redis.
pub struct Redis {
    /// `None` once it is closed.
    connection: Mutex<Option<ConnectionManager>>,
    prefix: String,
}

/// The settings of [`Redis`].
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisConfig {
    /// Where the server is: `redis://user:password@host:6379/0`.
    pub url: Secret,
    /// What stands before each key, with a `:`. Caches that share it share their values.
    pub prefix: String,
    /// How long to wait for a connection.
    #[serde(default = "connect_timeout", with = "duration")]
    #[schemars(with = "duration::Text")]
    pub connect_timeout: Duration,
    /// How long the client waits for an answer where no deadline of the policy ends it before. The
    /// client's own default of 500 ms would end calls that the policy allows.
    #[serde(default = "answer_timeout", with = "duration")]
    #[schemars(with = "duration::Text")]
    pub answer_timeout: Duration,
}

/// Adds the driver under the name `redis`.
pub fn register(registry: &Registry<Caches>) -> Result<()> {
    let descriptor = Descriptor::new("redis")
        .alias("valkey")
        .summary("Redis, and servers that speak its protocol")
        .capability(capability::INCREMENT, Support::Native)
        .capability(capability::RETAIN, Support::Native);
    registry
        .register(descriptor, |config: RedisConfig, _context| async move { Redis::new(&config) })
}

impl Redis {
    /// A cache at the server of `config`. Connects when it is first used.
    pub fn new(config: &RedisConfig) -> Result<Self> {
        let client = Client::open(config.url.expose()).map_err(classify)?;
        let settings = ConnectionManagerConfig::new()
            // Trying again is the policy's affair.
            .set_number_of_retries(0)
            .set_connection_timeout(Some(config.connect_timeout))
            .set_response_timeout(Some(config.answer_timeout));
        let connection =
            ConnectionManager::new_lazy_with_config(client, settings).map_err(classify)?;
        Ok(Self { connection: Mutex::new(Some(connection)), prefix: format!("{}:", config.prefix) })
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        command.query_async(&mut self.connection()?).await.map_err(classify)
    }

    async fn ask_all<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T> {
        commands.query_async(&mut self.connection()?).await.map_err(classify)
    }

    fn connection(&self) -> Result<ConnectionManager> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        connection.clone().ok_or_else(|| {
            Error::new(ErrorKind::Unavailable, "the connection is closed")
                .with_retry(Retry::Never)
                .not_applied()
        })
    }

    fn prefixed(&self, key: Key<'_>) -> String {
        format!("{}{key}", self.prefix)
    }

    fn prefixed_all(&self, keys: &[Key<'_>]) -> Vec<String> {
        keys.iter().map(|key| self.prefixed(*key)).collect()
    }

    /// `SET key value`, with its time to live if it has one.
    fn set(&self, key: Key<'_>, value: &[u8], ttl: Ttl) -> Cmd {
        let mut set = cmd("SET");
        set.arg(self.prefixed(key)).arg(value);
        if let Some(milliseconds) = milliseconds(ttl) {
            set.arg("PX").arg(milliseconds);
        }
        set
    }
}

impl CacheDriver for Redis {
    fn get<'a>(&'a self, key: Key<'a>) -> Reply<'a, Option<Bytes>> {
        Reply::run(async move { self.ask(cmd("GET").arg(self.prefixed(key))).await })
    }

    fn get_many<'a>(&'a self, keys: &'a [Key<'a>]) -> Reply<'a, Vec<Option<Bytes>>> {
        Reply::run(async move {
            let mut found = Vec::with_capacity(keys.len());
            for batch in keys.chunks(BATCH_MAX) {
                let values: Vec<Option<Bytes>> =
                    self.ask(cmd("MGET").arg(self.prefixed_all(batch))).await?;
                found.extend(values);
            }
            Ok(found)
        })
    }

    fn has<'a>(&'a self, key: Key<'a>) -> Reply<'a, bool> {
        Reply::run(async move { self.ask(cmd("EXISTS").arg(self.prefixed(key))).await })
    }

    fn put<'a>(&'a self, key: Key<'a>, value: &'a [u8], ttl: Ttl) -> Reply<'a, ()> {
        Reply::run(async move { self.ask(&self.set(key, value, ttl)).await })
    }

    fn put_many<'a>(&'a self, entries: &'a [(Key<'a>, &'a [u8])], ttl: Ttl) -> Reply<'a, ()> {
        Reply::run(async move {
            for batch in entries.chunks(BATCH_MAX) {
                let mut sets = pipe();
                for (key, value) in batch {
                    sets.add_command(self.set(*key, value, ttl)).ignore();
                }
                self.ask_all::<()>(&sets).await?;
            }
            Ok(())
        })
    }

    fn add<'a>(&'a self, key: Key<'a>, value: &'a [u8], ttl: Ttl) -> Reply<'a, bool> {
        Reply::run(async move {
            let stored: Option<String> = self.ask(self.set(key, value, ttl).arg("NX")).await?;
            Ok(stored.is_some())
        })
    }

    fn forget<'a>(&'a self, key: Key<'a>) -> Reply<'a, bool> {
        Reply::run(async move { self.ask(cmd("UNLINK").arg(self.prefixed(key))).await })
    }

    fn forget_many<'a>(&'a self, keys: &'a [Key<'a>]) -> Reply<'a, usize> {
        Reply::run(async move {
            let mut forgotten = 0;
            for batch in keys.chunks(BATCH_MAX) {
                let there: usize = self.ask(cmd("UNLINK").arg(self.prefixed_all(batch))).await?;
                forgotten += there;
            }
            Ok(forgotten)
        })
    }

    /// Looks through all keys of the database for those with the prefix.
    fn flush(&self) -> Reply<'_, ()> {
        Reply::run(async move {
            let pattern = format!("{}*", escaped(&self.prefix));
            let mut cursor: u64 = 0;
            loop {
                let mut scan = cmd("SCAN");
                scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(BATCH_MAX);
                let (next, keys): (u64, Vec<Vec<u8>>) = self.ask(&scan).await?;
                if !keys.is_empty() {
                    self.ask::<usize>(cmd("UNLINK").arg(keys)).await?;
                }
                if next == 0 {
                    return Ok(());
                }
                cursor = next;
            }
        })
    }

    fn increment<'a>(&'a self, key: Key<'a>, by: i64, ttl: Ttl) -> Reply<'a, i64> {
        Reply::run(async move {
            // One transaction: a counter that is not there begins at zero with its time to live,
            // and what is there keeps its own. `INCRBY` counts in 64 bits; a script would not.
            let mut begin = self.set(key, b"0", ttl);
            begin.arg("NX");
            let mut count = pipe();
            count.atomic().add_command(begin).ignore();
            count.cmd("INCRBY").arg(self.prefixed(key)).arg(by);
            let (sum,): (i64,) = self.ask_all(&count).await?;
            Ok(sum)
        })
    }
}

impl Lifecycle for Redis {
    fn health(&self) -> Reply<'_, Health> {
        Reply::run(async move {
            self.ask::<String>(&cmd("PING")).await?;
            Ok(Health::up())
        })
    }

    fn close(&self) -> Reply<'_, ()> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).take();
        Reply::ready(Ok(()))
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// Every error of the server and of its client, in our words.
fn classify(error: RedisError) -> Error {
    let (code, detail) = said_by_server(&error);
    let classified = match (code.as_str(), error.kind()) {
        ("ERR", _) if detail.contains("would overflow") => counter_overflow(),
        ("ERR", _) if detail.contains("not an integer") => not_a_counter(),
        ("WRONGTYPE", _) => not_a_counter().with_hint("another program uses the key"),
        ("NOAUTH" | "WRONGPASS", _) | (_, Kind::AuthenticationFailed) => {
            Error::new(ErrorKind::Unauthenticated, "the server does not accept the password")
        }
        ("NOPERM", _) => Error::new(ErrorKind::PermissionDenied, "the server refuses the command"),
        ("OOM", _) => Error::new(ErrorKind::QuotaExceeded, "the server has no memory left")
            .with_hint("let the server evict: `maxmemory-policy allkeys-lru`"),
        ("LOADING" | "BUSY" | "TRYAGAIN" | "CLUSTERDOWN" | "MASTERDOWN" | "READONLY", _) => {
            Error::new(ErrorKind::Unavailable, "the server cannot work now")
                .with_context("code", &code)
                .not_applied()
        }
        (_, Kind::InvalidClientConfig) => {
            Error::new(ErrorKind::Config, "the address of the server is wrong")
                .with_hint("it is written like `redis://user:password@host:6379/0`")
        }
        (_, Kind::Io) if error.is_connection_refusal() => {
            Error::new(ErrorKind::Unavailable, "the server refused the connection").not_applied()
        }
        (_, Kind::Io) if error.is_timeout() => {
            Error::new(ErrorKind::Timeout, "the server did not answer in time")
        }
        (_, Kind::Io) => Error::new(ErrorKind::Unavailable, "the connection was lost"),
        (_, Kind::Server(ServerKind::ResponseError) | Kind::Extension) => {
            Error::new(ErrorKind::Unexpected, "the server answered with an error")
                .with_context("code", &code)
        }
        _ => Error::new(ErrorKind::Unexpected, "the server could not be used"),
    };
    classified.with_source(error)
}

/// The code and the words of the first error that came from the server.
fn said_by_server(error: &RedisError) -> (String, String) {
    let said = error.clone().into_server_errors();
    let first = said.as_deref().and_then(|said| said.first());
    first.map_or_else(Default::default, |(_, error)| {
        (error.code().to_owned(), error.details().unwrap_or_default().to_owned())
    })
}

/// What Redis counts, rounded up so that nothing goes early; `None` for good.
fn milliseconds(ttl: Ttl) -> Option<u64> {
    let rounded_up = ttl.duration()?.as_nanos().div_ceil(1_000_000);
    // A hundred years of milliseconds fit.
    Some(u64::try_from(rounded_up).unwrap_or(u64::MAX))
}

/// A text in which `SCAN MATCH` sees no patterns.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '^' | '-' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

const fn connect_timeout() -> Duration {
    Duration::from_secs(5)
}

const fn answer_timeout() -> Duration {
    Duration::from_secs(30)
}

/// How many keys one command names, and how many it looks at: others wait no longer than that.
const BATCH_MAX: usize = 1_000;

#[cfg(test)]
switchboard_cache::conformance::suite!(
    switchboard_cache::conformance::Fixture::new(register)
        .time(switchboard_cache::conformance::Time::Real)
        .settings(tests::settings)
);

#[cfg(test)]
mod tests {
    use super::*;
    use switchboard_core::{Class, Outcome, Settings};

    #[expect(clippy::disallowed_methods, reason = "a test is told where its server is")]
    pub(super) fn settings(unique: &str) -> Settings {
        let url = std::env::var("SWITCHBOARD_TEST_REDIS_URL");
        let url = url.unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
        // A prefix with every sign that has a meaning in patterns.
        Settings::new().with("url", url).with("prefix", format!("{unique}[a-z]*?^\\"))
    }

    fn redis(url: &str) -> Result<Redis> {
        Settings::new()
            .with("url", url)
            .with("prefix", "test")
            .decode()
            .and_then(|c| Redis::new(&c))
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_unavailable_and_nothing_happened() {
        let redis = redis("redis://127.0.0.1:1").unwrap();
        let key = Key::parse("key").unwrap();
        let error = redis.put(key, b"v", Ttl::Forever).await.unwrap_err();
        assert_eq!((error.kind(), error.class()), (ErrorKind::Unavailable, Class::Outage));
        assert_eq!(error.outcome(), Outcome::NotApplied);
        assert_eq!(redis.health().await.unwrap_err().kind(), ErrorKind::Unavailable);
    }

    #[test]
    fn an_address_that_is_none_is_a_mistake_of_the_configuration_and_is_not_shown() {
        for url in ["", "redis://:secret@", "http://secret@127.0.0.1"] {
            let error = redis(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{url:?}: {error:?}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_key_of_another_program_is_left_alone_by_counting() {
        let unique = format!("switchboard-test-other-{}", std::process::id());
        let config: RedisConfig = settings(&unique).decode().unwrap();
        let redis = Redis::new(&config).unwrap();
        let (key, name) = (Key::parse("list").unwrap(), format!("{}list", redis.prefix));
        redis.ask::<usize>(cmd("RPUSH").arg(&name).arg("v")).await.unwrap();
        let error = redis.increment(key, 1, Ttl::Forever).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PreconditionFailed);
        let length: usize = redis.ask(cmd("LLEN").arg(&name)).await.unwrap();
        redis.flush().await.unwrap();
        assert_eq!(length, 1);
    }

    #[test]
    fn a_time_to_live_is_rounded_up() {
        let rounded = |nanos| milliseconds(Ttl::after(Duration::from_nanos(nanos)).unwrap());
        assert_eq!(
            (rounded(1), rounded(1_000_000), rounded(1_000_001)),
            (Some(1), Some(1), Some(2))
        );
        assert_eq!(milliseconds(Ttl::Forever), None);
    }
}
