//! A database of one test alone, on each server that migrations know.

#![cfg_attr(
    not(all(feature = "postgres", feature = "mysql")),
    expect(dead_code, reason = "a build without the driver of a server asks nothing of it")
)]

use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;

use futures_util::FutureExt as _;
use switchboard_core::{Deadline, Environment, Error, Manager, Registry, Settings};
use switchboard_testkit::{service_url, unique};
use tempfile::TempDir;

use crate::{Database, Databases, Statements as _};

/// A database that nobody else uses.
pub(super) struct Place {
    pub(super) url: String,
    owner: Owner,
}

enum Owner {
    /// Goes with the folder.
    Folder(#[expect(dead_code, reason = "held for its drop")] TempDir),
    /// Is dropped over a connection to another database.
    Server {
        url: String,
        name: String,
    },
    Somebody,
}

/// One starter: a manager of its own, as another process would have.
pub(super) struct Starter {
    pub(super) databases: Manager<Databases>,
    pub(super) database: Database,
}

/// Runs `test` on a place of its own, which is gone afterwards, however the test ends.
pub(super) async fn on<F: Future<Output = ()>>(place: Place, test: impl FnOnce(Place) -> F) {
    let kept = Place::at(place.url.clone());
    let ended = AssertUnwindSafe(test(kept)).catch_unwind().await;
    place.end().await;
    if let Err(panic) = ended {
        resume_unwind(panic);
    }
}

impl Place {
    pub(super) fn sqlite() -> Self {
        let folder = TempDir::new().unwrap();
        let url = format!("sqlite://{}", folder.path().join("main.db").display());
        Self { url, owner: Owner::Folder(folder) }
    }

    pub(super) async fn postgres() -> Self {
        let standard = "postgres://postgres@127.0.0.1:5432/postgres";
        Self::on_server(service_url("postgres", standard)).await
    }

    pub(super) async fn mysql() -> Self {
        Self::on_server(service_url("mariadb", "mysql://root@127.0.0.1:3306/mysql")).await
    }

    async fn on_server(url: String) -> Self {
        let name = unique("migrations");
        let (address, asked) = url.split_once('?').unwrap_or((&url, ""));
        let (server, _) = address.rsplit_once('/').unwrap();
        let own = format!("{server}/{name}?{asked}");
        let own = own.trim_end_matches('?').to_owned();
        let admin = starter(&url, Settings::new()).await;
        admin.database.execute_script(&format!("create database {name}")).await.unwrap();
        Self { url: own, owner: Owner::Server { url, name } }
    }

    /// One that somebody else made.
    pub(super) fn at(url: String) -> Self {
        Self { url, owner: Owner::Somebody }
    }

    pub(super) fn is_on(&self, scheme: &str) -> bool {
        self.url.starts_with(scheme)
    }

    /// One more starter.
    pub(super) async fn starter(&self) -> Starter {
        self.starter_with(Settings::new()).await
    }

    /// One more starter, with so many connections.
    pub(super) async fn starter_of(&self, connections: i64) -> Starter {
        let pool = Settings::new().with("max", connections);
        starting(Settings::new().with("url", &*self.url).with("pool", pool)).await
    }

    /// One more starter, with that to say about migrations.
    pub(super) async fn starter_with(&self, migrations: Settings) -> Starter {
        starter(&self.url, migrations).await
    }

    async fn end(self) {
        let Owner::Server { url, name } = self.owner else { return };
        let admin = starter(&url, Settings::new()).await;
        let force = if url.starts_with("postgres") { " with (force)" } else { "" };
        let drop = format!("drop database {name}{force}");
        admin.database.execute_script(&drop).await.unwrap();
    }
}

impl Starter {
    /// All rows of the query, as text.
    pub(super) async fn texts(&self, sql: &str) -> Vec<String> {
        self.database.select(sql, ()).await.unwrap()
    }

    pub(super) async fn number(&self, sql: &str) -> i64 {
        self.database.select_value(sql, ()).await.unwrap()
    }

    pub(super) async fn execute(&self, sql: &str) {
        self.database.execute(sql, ()).await.unwrap();
    }

    /// Asks until there is something, for two minutes.
    pub(super) async fn waits_for(&self, sql: &str) {
        let clock = self.databases.environment().clock();
        let asked = async {
            while self.database.select_value::<i64>(sql, ()).await? == 0 {
                clock.sleep(Duration::from_millis(20)).await;
            }
            Ok::<(), Error>(())
        };
        Deadline::within(clock, Duration::from_mins(2)).scope(asked).await.unwrap();
    }

    /// Whether the table can be read.
    pub(super) async fn has(&self, table: &str) -> bool {
        let read = format!("select count(*) from {table}");
        self.database.select_value::<i64>(&read, ()).await.is_ok()
    }
}

async fn starter(url: &str, migrations: Settings) -> Starter {
    starting(Settings::new().with("url", url).with("migrations", migrations)).await
}

async fn starting(settings: Settings) -> Starter {
    let registry = Registry::<Databases>::with_built_ins().unwrap();
    let databases = Manager::new(registry, &Environment::new()).unwrap();
    databases.configure("main", &settings).unwrap();
    let database = databases.get("main").await.unwrap();
    Starter { databases, database }
}
