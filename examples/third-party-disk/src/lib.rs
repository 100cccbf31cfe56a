//! Keeps objects in Redis, or in a server that speaks its protocol: small ones, which several processes share.
//!
//! A disk is three keys of the server: two hashes, of what is known of its objects and of their bytes, and its
//! keys in the order of their bytes. What takes more than one command is a script, and so done whole or not at all.
//! The server must not evict (`maxmemory-policy noeviction`): of a disk it would take all objects at once.

use std::time::Duration;

use bytes::Bytes;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, ErrorKind as Kind, FromRedisValue, RedisError, cmd};
use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_core::{
    Clock, Descriptor, Error, ErrorKind, Health, Lifecycle, Registry, Reply, Result, Secret,
    Support,
};
use switchboard_storage::capability::{
    ATTRIBUTES, CHECKSUM, CREATE, DELETE_VERSION, LIST, NESTED, REPLACE, WRITE,
};
use switchboard_storage::{
    Condition, Disks, Fetched, Key, Limits, List, Meta, Page, Read, StorageDriver, Stored, Version,
    Write, another_version, nothing_there,
};

/// Adds the driver under the name `redis`.
pub fn register(registry: &Registry<Disks>) -> Result<()> {
    let mut descriptor = Descriptor::new("redis").summary("Small objects in Redis").proven();
    for able in [ATTRIBUTES, CHECKSUM, CREATE, DELETE_VERSION, LIST, NESTED, REPLACE, WRITE] {
        descriptor = descriptor.capability(able, Support::Native);
    }
    switchboard_storage::register(registry, descriptor, |config: RedisConfig, build| async move {
        Redis::new(&config, build.clock().clone())
    })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RedisConfig {
    /// Where the server is: `redis://user:password@host:6379/0`.
    url: Secret,
    /// What its keys at the server begin with. Disks that share it share their objects.
    namespace: String,
}

struct Redis {
    connection: ConnectionManager,
    keys: [String; 3],
    clock: Clock,
}

impl Redis {
    fn new(config: &RedisConfig, clock: Clock) -> Result<Self> {
        let client = Client::open(config.url.expose()).map_err(classify)?;
        // Trying again is the policy's affair, and so is how long it takes.
        let settings = ConnectionManagerConfig::new().set_number_of_retries(0);
        let settings = settings.set_response_timeout(Some(ANSWER_LIMIT));
        let connection = ConnectionManager::new_lazy_with_config(client, settings);
        let keys = ["known", "bytes", "keys"].map(|of| format!("{{{}}}:{of}", config.namespace));
        Ok(Self { connection: connection.map_err(classify)?, keys, clock })
    }

    fn script(&self, script: &str) -> Cmd {
        let mut command = cmd("EVAL");
        command.arg(script).arg(self.keys.len()).arg(&self.keys);
        command
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        command.query_async(&mut self.connection.clone()).await.map_err(classify)
    }
}

impl StorageDriver for Redis {
    fn limits(&self) -> Limits {
        Limits { put_max: 64 << 20, ..Limits::default() }
    }

    fn head<'a>(&'a self, key: Key<'a>) -> Reply<'a, Meta> {
        Reply::run(async move {
            let known: Option<String> =
                self.ask(cmd("HGET").arg(&self.keys[0]).arg(key.as_str())).await?;
            Meta::from_json(&known.ok_or_else(nothing_there)?)
        })
    }

    fn get<'a>(&'a self, key: Key<'a>, read: &'a Read) -> Reply<'a, Option<Fetched>> {
        Reply::run(async move {
            let found: Option<(String, Bytes)> =
                self.ask(self.script(LOAD).arg(key.as_str())).await?;
            let (known, content) = found.ok_or_else(nothing_there)?;
            read.cut(Meta::from_json(&known)?, &content)
        })
    }

    fn put<'a>(&'a self, key: Key<'a>, content: Bytes, write: &'a Write) -> Reply<'a, Stored> {
        Reply::run(async move {
            let version = Version::new(format!("{:016x}", self.clock.random()));
            let meta = write.meta(content.len() as u64, self.clock.wall(), version);
            let (only, version) = match &write.condition {
                Condition::Always => ("always", ""),
                Condition::Absent => ("absent", ""),
                Condition::Version(version) => ("version", version.as_str()),
            };
            let mut put = self.script(STORE);
            put.arg(key.as_str()).arg(only).arg(version).arg(meta.to_json()?).arg(&content[..]);
            let is_stored: bool = self.ask(&put).await?;
            if is_stored { Ok(meta.into()) } else { Err(write.condition.refusal()) }
        })
    }

    fn delete<'a>(&'a self, key: Key<'a>, only: Option<&'a Version>) -> Reply<'a, bool> {
        Reply::run(async move {
            let only = only.map(Version::as_str);
            let was_there: Option<bool> =
                self.ask(self.script(REMOVE).arg(key.as_str()).arg(only)).await?;
            was_there.ok_or_else(another_version)
        })
    }

    fn list<'a>(&'a self, list: &'a List) -> Reply<'a, Page> {
        Reply::run(list.page(move |from, count| async move {
            let mut rows = self.script(ROWS);
            rows.arg(format!("[{from}")).arg(count);
            let rows: Vec<(String, String)> = self.ask(&rows).await?;
            let entry = |(key, known): (String, String)| Ok(Meta::from_json(&known)?.entry(key));
            rows.into_iter().map(entry).collect()
        }))
    }
}

impl Lifecycle for Redis {
    fn health(&self) -> Reply<'_, Health> {
        Reply::run(async move { self.ask::<String>(&cmd("PING")).await.map(|_| Health::up()) })
    }
}

/// Every error of the server and of its client, in our words.
fn classify(error: RedisError) -> Error {
    let (kind, message) = match (error.code().unwrap_or_default(), error.kind()) {
        ("NOAUTH" | "WRONGPASS", _) | (_, Kind::AuthenticationFailed) => {
            (ErrorKind::Unauthenticated, "the server does not accept the password")
        }
        ("NOPERM", _) => (ErrorKind::PermissionDenied, "the server refuses the command"),
        ("OOM", _) => (ErrorKind::QuotaExceeded, "the server has no memory left"),
        ("BUSY" | "CLUSTERDOWN" | "LOADING" | "MASTERDOWN" | "READONLY", _) => {
            (ErrorKind::Unavailable, "the server cannot work now")
        }
        (_, Kind::InvalidClientConfig) => (ErrorKind::Config, "the address of the server is wrong"),
        (_, Kind::Io) if error.is_timeout() => (ErrorKind::Timeout, "the server did not answer"),
        (_, Kind::Io) => (ErrorKind::Unavailable, "the connection was refused or lost"),
        _ => (ErrorKind::Unexpected, "the server answered with an error"),
    };
    // What the server refuses it has not done; what was lost on the way may have happened.
    let is_refused = error.code().is_some() || error.is_connection_refusal();
    let error = Error::new(kind, message).with_source(error);
    if is_refused { error.not_applied() } else { error }
}

const LOAD: &str = "
    local known = redis.call('HGET', KEYS[1], ARGV[1])
    return known and {known, redis.call('HGET', KEYS[2], ARGV[1])}";

const STORE: &str = "
    local known = redis.call('HGET', KEYS[1], ARGV[1])
    local version = known and cjson.decode(known).version
    if ARGV[2] == 'absent' and known then return 0 end
    if ARGV[2] == 'version' and version ~= ARGV[3] then return 0 end
    redis.call('HSET', KEYS[1], ARGV[1], ARGV[4])
    redis.call('HSET', KEYS[2], ARGV[1], ARGV[5])
    redis.call('ZADD', KEYS[3], 0, ARGV[1])
    return 1";

const REMOVE: &str = "
    local known = redis.call('HGET', KEYS[1], ARGV[1])
    if known and ARGV[2] and cjson.decode(known).version ~= ARGV[2] then return false end
    redis.call('HDEL', KEYS[2], ARGV[1])
    redis.call('ZREM', KEYS[3], ARGV[1])
    return redis.call('HDEL', KEYS[1], ARGV[1])";

const ROWS: &str = "
    local rows = redis.call('ZRANGEBYLEX', KEYS[3], ARGV[1], '+', 'LIMIT', 0, ARGV[2])
    for at, key in ipairs(rows) do rows[at] = {key, redis.call('HGET', KEYS[1], key)} end
    return rows";

/// Longer than anybody waits: so long a connection that has gone silent may hold up others.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

#[cfg(test)]
fn fixture() -> switchboard_storage::conformance::Fixture {
    let url = switchboard_testkit::service_url("redis", "redis://127.0.0.1:6379");
    let server = url.trim_start_matches("redis://").trim_end_matches("/0").parse();
    switchboard_storage::conformance::Fixture::new(register)
        .settings(move |unique| {
            switchboard_core::Settings::new().with("url", &*url).with("namespace", unique)
        })
        .server(server.unwrap(), |settings, wire| settings.with("url", format!("redis://{wire}")))
}

#[cfg(test)]
switchboard_storage::conformance::suite!(fixture());
#[cfg(test)]
switchboard_storage::conformance::wire_suite!(fixture());
