//! The boards of the tests, and a driver that hangs, fails and panics when its settings say so.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use switchboard::{Builder, Format, Switchboard};
use switchboard_cache::{CacheDriver, Caches, Key, Ttl};
use switchboard_console::{Console, ConsoleConfig, serve};
use switchboard_core::{Error, ErrorKind, Health, Lifecycle, Registry, Reply, Result, Secret};
use tokio::sync::Semaphore;

use crate::client::Ask;

/// A board and its console.
pub(crate) struct Served {
    pub(crate) board: Switchboard,
    pub(crate) console: Console,
    pub(crate) gate: Gate,
}

/// What a driver that waits waits for.
#[derive(Clone)]
pub(crate) struct Gate {
    /// A permit for each call that has come in.
    pub(crate) came: Arc<Semaphore>,
    /// A permit for each call that may go on.
    pub(crate) open: Arc<Semaphore>,
}

impl Served {
    /// A board of this configuration (TOML), whose `[console]` is in it.
    pub(crate) async fn new(configuration: &str) -> Self {
        Self::try_new(configuration).await.unwrap()
    }

    pub(crate) async fn try_new(configuration: &str) -> Result<Self> {
        let configured = |builder: Builder| builder.text("test.toml", Format::Toml, configuration);
        Self::of(configured).await
    }

    /// A board of a file, with an environment.
    pub(crate) async fn of_file(
        path: &Path,
        variables: impl IntoIterator<Item = (&str, &str)>,
    ) -> Self {
        let variables: Vec<(String, String)> =
            variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self::of(|builder| builder.file(path).variables(variables)).await.unwrap()
    }

    async fn of(configured: impl FnOnce(Builder) -> Builder) -> Result<Self> {
        let gate = Gate { came: Arc::new(Semaphore::new(0)), open: Arc::new(Semaphore::new(0)) };
        let for_driver = gate.clone();
        let builder = Switchboard::builder()
            .section::<ConsoleConfig>("console")
            .drivers::<Caches>(move |registry| register(registry, for_driver));
        let board = configured(builder).build().await?;
        let config = board.section::<ConsoleConfig>("console")?;
        let console = serve(&board, &config).await?;
        Ok(Self { board, console, gate })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        // What listens everywhere is asked on loopback.
        (std::net::Ipv4Addr::LOCALHOST, self.console.address().port()).into()
    }

    pub(crate) fn ask(&self, method: &str, path: &str) -> Ask {
        Ask::new(self.address(), method, path)
    }

    pub(crate) async fn close(self) {
        self.board.close(Duration::from_secs(10)).await.into_result().unwrap();
    }
}

/// Two caches, the first with gates and a secret.
pub(crate) const SHOP: &str = r#"
[cache]
default = "main"
[cache.main]
driver = "moody"
password = "canary-password"
policy = { deadline = "5s", breaker = {}, bulkhead = { max = 8 }, rate_limit = { rate = "100000/s" } }
[cache.sessions]
driver = "memory"
"#;

fn register(registry: &Registry<Caches>, gate: Gate) -> Result<()> {
    registry.register("moody", move |config: MoodyConfig, _| {
        let gate = gate.clone();
        async move { Ok(Moody { config, gate }) }
    })
}

/// A cache that keeps nothing and does what it is told to.
struct Moody {
    config: MoodyConfig,
    gate: Gate,
}

#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct MoodyConfig {
    /// What a value is asked for with.
    password: Option<Secret>,
    mood: Mood,
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Mood {
    #[default]
    Calm,
    /// Calls wait for the gate.
    Waits,
    /// Calls panic.
    Panics,
    /// Calls fail.
    Fails,
    /// The check of its health does not end.
    HangsWhenChecked,
    /// The service does not know us.
    Unknown,
    /// It never gets ready.
    HangsAtStart,
    /// It gets ready when the gate is opened.
    StartsLate,
    /// It cannot get ready, and says why.
    CannotStart,
}

impl Moody {
    fn call<'a, T: Send + 'a>(&'a self, answer: T) -> Reply<'a, T> {
        let fails = |kind| Reply::ready(Err(Error::new(kind, "the service is in a bad mood")));
        match self.config.mood {
            Mood::Calm
            | Mood::HangsWhenChecked
            | Mood::HangsAtStart
            | Mood::StartsLate
            | Mood::CannotStart => Reply::ready(Ok(answer)),
            Mood::Fails => fails(ErrorKind::Unavailable),
            Mood::Unknown => fails(ErrorKind::Unauthenticated),
            Mood::Panics => Reply::run(async { panic!("in a bad mood") }),
            Mood::Waits => Reply::run(async move {
                self.gate.came.add_permits(1);
                self.gate.open.acquire().await.unwrap().forget();
                Ok(answer)
            }),
        }
    }
}

impl Lifecycle for Moody {
    fn init(&self) -> Reply<'_, ()> {
        match self.config.mood {
            Mood::HangsAtStart => Reply::run(async {
                self.gate.came.add_permits(1);
                std::future::pending().await
            }),
            Mood::StartsLate => Reply::run(async {
                self.gate.came.add_permits(1);
                self.gate.open.acquire().await.unwrap().forget();
                Ok(())
            }),
            Mood::CannotStart => {
                let first = Error::new(ErrorKind::Unavailable, "the first address was wrong");
                Reply::ready(Err(Error::new(ErrorKind::Unavailable, "it cannot start")
                    .with_source(std::io::Error::other("the far end hung up"))
                    .with_related([first])))
            }
            _ => Reply::ready(Ok(())),
        }
    }

    fn health(&self) -> Reply<'_, Health> {
        match self.config.mood {
            Mood::HangsWhenChecked => Reply::run(std::future::pending()),
            Mood::Fails => Reply::ready(Ok(Health::down("in a bad mood"))),
            _ => Reply::ready(Ok(Health::up())),
        }
    }
}

impl CacheDriver for Moody {
    fn get<'a>(&'a self, _: Key<'a>) -> Reply<'a, Option<Bytes>> {
        let password = self.config.password.as_ref().map(Secret::expose);
        self.call((password == Some("never")).then(Bytes::new))
    }

    fn put<'a>(&'a self, _: Key<'a>, _: &'a [u8], _: Ttl) -> Reply<'a, ()> {
        self.call(())
    }

    fn add<'a>(&'a self, _: Key<'a>, _: &'a [u8], _: Ttl) -> Reply<'a, bool> {
        self.call(true)
    }

    fn forget<'a>(&'a self, _: Key<'a>) -> Reply<'a, bool> {
        self.call(false)
    }

    fn flush(&self) -> Reply<'_, ()> {
        self.call(())
    }
}

/// Whether what a test waits for comes; generous, for machines that are busy.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
