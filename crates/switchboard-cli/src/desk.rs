//! The board that a command speaks to: a running one over HTTP, or one of its own.
//!
//! What they show is the same JSON, so no command has to know which of the two it is.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use hyper::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use switchboard::{HealthView, Switchboard};
use switchboard_cache::{Cache, Ttl};
use switchboard_core::{Error, ErrorKind, Origin, Settings};

use crate::arguments::TimeToLive;
use crate::client::Client;
use crate::details::{Details, Shown};
use crate::failure::{Exit, Failure, Result};
use crate::json::{items, list, shown, text};
use crate::session::Session;

/// The board that a command speaks to.
#[derive(Debug)]
pub(crate) enum Desk {
    Running(Client),
    Own(Switchboard),
}

impl Desk {
    /// For what acts: the running board, unless one of its own was asked for.
    pub(crate) async fn acting(session: &mut Session) -> Result<Self> {
        if session.common.offline {
            return Self::own(session).await;
        }
        match session.elsewhere()? {
            Some(elsewhere) => Ok(Self::Running(Client::at(elsewhere))),
            None => Ok(Self::Running(Client::new(session.home.find()?))),
        }
    }

    /// For what only shows: the board whose address was said, the running board if there is one and
    /// nobody named other files, else one of its own.
    pub(crate) async fn reading(session: &mut Session) -> Result<Self> {
        if session.common.address.is_some() {
            session.note_other_files();
            return Self::acting(session).await;
        }
        if session.common.offline || session.names_files() {
            return Self::own(session).await;
        }
        match Self::running(session)? {
            Some(running) => Ok(running),
            None => Self::own(session).await,
        }
    }

    /// The board whose address was said, else the running board if there is one.
    pub(crate) fn running(session: &mut Session) -> Result<Option<Self>> {
        if let Some(elsewhere) = session.elsewhere()? {
            return Ok(Some(Self::Running(Client::at(elsewhere))));
        }
        if !session.home.has_note() {
            return Ok(None);
        }
        match session.home.find() {
            Ok(note) => Ok(Some(Self::Running(Client::new(note)))),
            Err(error) if error.kind() == ErrorKind::Unavailable => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A board of the command's own.
    pub(crate) async fn own(session: &mut Session) -> Result<Self> {
        // What nobody asks for stays as it is: an instance that cannot be reached may be just the one
        // that is to be explained.
        let board = session.configured()?.idle().build().await?;
        Ok(Self::Own(board))
    }

    /// Closes the board, if it is the command's own.
    pub(crate) async fn close(self) -> Result<()> {
        match self {
            Self::Running(_) => Ok(()),
            Self::Own(board) => Ok(board.close(CLOSE_LIMIT).await.into_result()?),
        }
    }

    /// Whose answers these are, in words.
    pub(crate) fn described(&self) -> Option<String> {
        match self {
            Self::Running(client) => Some(format!("the board at {}", client.address())),
            Self::Own(_) => None,
        }
    }

    /// Every instance that the board has.
    async fn instances(&self) -> Result<Value> {
        match self {
            Self::Running(client) => client.get(INSTANCES).await,
            Self::Own(board) => shown(&board.instances()),
        }
    }

    /// Says which instances can be meant, where one was named without its subsystem.
    async fn with_what_is_meant<T>(&self, name: &str, answered: Result<T>) -> Result<T> {
        let Err(failure) = answered else { return answered };
        if name.contains('.') || failure.exit() != Exit::Usage {
            return Err(failure);
        }
        let instances = self.instances().await.unwrap_or_default();
        Err(match meant(&instances, name).join(" or ").as_str() {
            "" => failure,
            meant => failure.with_only_hint(format!("did you mean {meant}?")),
        })
    }

    /// What is known to be wrong with an instance: how it is, and why.
    pub(crate) async fn complaint(&self, instance: &str) -> Option<String> {
        let health = match self {
            // It is an addition: whoever cannot tell it has explained the instance all the same.
            Self::Running(client) => client.look("/health").await.ok()?,
            Self::Own(board) => shown(&board.health()).ok()?,
        };
        let is_meant = |of: &&Value| text(of, "instance") == instance;
        let health = list(&health, "instances").iter().find(is_meant)?;
        let reason = health["reason"].as_str()?;
        Some(format!("{}: {reason}", text(health, "status")))
    }

    pub(crate) async fn explain(&self, instance: &str) -> Result<Value> {
        let explained = self.explained(instance).await;
        self.with_what_is_meant(instance, explained).await
    }

    async fn explained(&self, instance: &str) -> Result<Value> {
        match self {
            Self::Running(client) => {
                client.get(&format!("{INSTANCES}/{}", encoded(instance))).await
            }
            Self::Own(board) => shown(&board.explain(instance)?),
        }
    }

    /// The database called `name`; without one all that the board has, but not groups of them.
    pub(crate) async fn databases(&self, name: Option<&str>) -> Result<Vec<String>> {
        if let Some(name) = name {
            return Ok(vec![format!("database.{}", database_name(name))]);
        }
        let instances = self.instances().await?;
        let is_database = |of: &&Value| text(of, "subsystem") == "database";
        let has_pools = |of: &&Value| items(&of["members"]).is_empty();
        let databases = items(&instances).iter().filter(is_database).filter(has_pools);
        Ok(databases.map(|of| format!("database.{}", text(of, "name"))).collect())
    }

    /// What a database shows beside what every instance does.
    pub(crate) async fn details(&self, instance: &str) -> Result<Value> {
        match self {
            Self::Running(client) => {
                client.get(&format!("{INSTANCES}/{}/details", encoded(instance))).await
            }
            Self::Own(board) => {
                board.connect_instance(instance).await?;
                let details = Details::of(&board.database(database_name(instance))?);
                shown(&Shown { instance: instance.to_owned(), details: Some(details) })
            }
        }
    }

    pub(crate) async fn configuration(&self) -> Result<Value> {
        match self {
            Self::Running(client) => client.get("/api/v1/configuration").await,
            Self::Own(board) => shown(&board.configuration()),
        }
    }

    pub(crate) async fn health(&self) -> Result<Value> {
        match self {
            Self::Running(client) => client.look("/health").await,
            Self::Own(board) => {
                connect_all(board).await;
                shown(&looked_at(board).await)
            }
        }
    }

    pub(crate) async fn plan(&self) -> Result<Value> {
        match self {
            Self::Running(client) => client.get("/api/v1/plan").await,
            Self::Own(board) => shown(&board.plan_from_nothing()),
        }
    }

    pub(crate) async fn reload(&self) -> Result<Value> {
        match self {
            Self::Running(client) => client.post("/api/v1/reload", &Value::Null).await,
            Self::Own(board) => shown(&board.reload("command").await?),
        }
    }

    pub(crate) async fn swap(&self, instance: &str, settings: &Value) -> Result<Value> {
        let swapped = self.swapped(instance, settings).await;
        self.with_what_is_meant(instance, swapped).await
    }

    async fn swapped(&self, instance: &str, settings: &Value) -> Result<Value> {
        match self {
            Self::Running(client) => {
                client.post(&format!("{INSTANCES}/{}/swap", encoded(instance)), settings).await
            }
            Self::Own(board) => {
                let settings = Settings::accept_from(settings, &Origin::named("argument"))?;
                let swapped = board.swap_by("command", instance, &settings).await?;
                let generation = swapped.generations.values().next().copied();
                swapped.closed().await?;
                Ok(json!({ "instance": instance, "generation": generation }))
            }
        }
    }

    /// The value under `key`; an error if there is none.
    pub(crate) async fn get(&self, cache: &str, key: &str) -> Result<Bytes> {
        match self {
            Self::Running(client) => {
                client.bytes(Method::GET, &value_path(cache, key), Bytes::new()).await
            }
            Self::Own(board) => {
                own_cache(board, cache)?.get(key).await?.ok_or_else(|| no_value(cache))
            }
        }
    }

    pub(crate) async fn put(
        &self,
        cache: &str,
        key: &str,
        value: Bytes,
        ttl: Option<&TimeToLive>,
    ) -> Result<()> {
        match self {
            Self::Running(client) => {
                let path = match ttl {
                    Some(ttl) => format!("{}?ttl={}", value_path(cache, key), encoded(&ttl.text)),
                    None => value_path(cache, key),
                };
                client.bytes(Method::PUT, &path, value).await.map(drop)
            }
            Self::Own(board) => {
                let ttl = ttl.map_or(Ok(Ttl::Forever), |ttl| Ttl::after(ttl.time))?;
                Ok(own_cache(board, cache)?.put(key, value, ttl).await?)
            }
        }
    }

    pub(crate) async fn forget(&self, cache: &str, key: &str) -> Result<()> {
        match self {
            Self::Running(client) => {
                let path = value_path(cache, key);
                client.bytes(Method::DELETE, &path, Bytes::new()).await.map(drop)
            }
            Self::Own(board) => Ok(own_cache(board, cache)?.forget(key).await.map(drop)?),
        }
    }

    pub(crate) async fn flush(&self, cache: &str) -> Result<()> {
        match self {
            Self::Running(client) => {
                let path = format!("/api/v1/cache/{}/flush", encoded(cache_name(cache)));
                client.post(&path, &Value::Null).await.map(drop)
            }
            Self::Own(board) => Ok(own_cache(board, cache)?.flush().await?),
        }
    }
}

/// What nobody uses is not built, and what is not built has no health. What cannot be built is a
/// matter of its health.
async fn connect_all(board: &Switchboard) {
    let instances = board.instances();
    let names = instances.iter().map(|view| format!("{}.{}", view.subsystem, view.name));
    join_all(names.map(|name| async move { board.connect_instance(&name).await.is_ok() })).await;
}

/// How the instances are, when each of them was given its time to answer.
pub(crate) async fn looked_at(board: &Switchboard) -> HealthView {
    let health = board.check_health().await;
    if health.instances.iter().all(|instance| instance.age_ms.is_some() && !instance.stale) {
        return health;
    }
    // Who answers at the last moment, or not at all, is known to do so in the next round.
    board.check_health().await
}

/// The full names of the instances that are called `name`.
fn meant(instances: &Value, name: &str) -> Vec<String> {
    let named = items(instances).iter().filter(|of| text(of, "name").eq_ignore_ascii_case(name));
    named.map(|of| format!("{}.{}", text(of, "subsystem"), text(of, "name"))).collect()
}

fn own_cache(board: &Switchboard, cache: &str) -> Result<Cache> {
    Ok(board.cache(cache_name(cache))?)
}

/// `main` of `cache.main`: everywhere else instances are written with their subsystem.
fn cache_name(cache: &str) -> &str {
    cache.strip_prefix("cache.").unwrap_or(cache)
}

/// `main` of `database.main`.
pub(crate) fn database_name(database: &str) -> &str {
    database.strip_prefix("database.").unwrap_or(database)
}

/// `main` of `storage.main`.
pub(crate) fn disk_name(disk: &str) -> &str {
    disk.strip_prefix("storage.").unwrap_or(disk)
}

fn value_path(cache: &str, key: &str) -> String {
    format!("/api/v1/cache/{}/values/{}", encoded(cache_name(cache)), encoded(key))
}

fn encoded(segment: &str) -> String {
    utf8_percent_encode(segment, SEGMENT).to_string()
}

fn no_value(cache: &str) -> Failure {
    // The key is not told: it may be somebody's name.
    Error::new(ErrorKind::NotFound, "nothing is under that key").with_context("cache", cache).into()
}

const INSTANCES: &str = "/api/v1/instances";

/// What has no meaning of its own in a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// How long a board of a command may take to close.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);
