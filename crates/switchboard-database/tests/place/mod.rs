//! Databases on every server there is, for tests that look at transactions.

use std::time::Duration;

use switchboard_core::{Environment, Error, ErrorKind, Manager, Registry, Settings};
use switchboard_database::{Database, Databases, Statements as _, Transaction, TransactionOptions};

/// A database with an empty table of its own.
pub(crate) struct Place {
    pub(crate) databases: Manager<Databases>,
    pub(crate) settings: Settings,
    pub(crate) db: Database,
    pub(crate) table: String,
    _directory: tempfile::TempDir,
}

impl Place {
    async fn of(settings: Settings, directory: tempfile::TempDir) -> Self {
        let table = switchboard_testkit::unique("transactions_");
        let registry = Registry::with_built_ins().unwrap();
        let databases = Manager::<Databases>::new(registry, &Environment::new()).unwrap();
        databases.configure("main", &settings).unwrap();
        let db = databases.get("main").await.unwrap();
        db.execute(&format!("create table {table} (id integer primary key)"), ()).await.unwrap();
        Self { databases, settings, db, table, _directory: directory }
    }

    pub(crate) async fn sqlite() -> Self {
        Self::sqlite_with(Settings::new()).await
    }

    pub(crate) async fn sqlite_with(settings: Settings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("main.db").display());
        Self::of(settings.with("url", url), directory).await
    }

    pub(crate) async fn postgres() -> Self {
        let fallback = "postgres://postgres@127.0.0.1:5432/postgres";
        let url = switchboard_testkit::service_url("postgres", fallback);
        Self::of(Settings::new().with("url", url), tempfile::tempdir().unwrap()).await
    }

    pub(crate) async fn mariadb() -> Self {
        let url = switchboard_testkit::service_url("mariadb", "mysql://root@127.0.0.1:3306/test");
        Self::of(Settings::new().with("url", url), tempfile::tempdir().unwrap()).await
    }

    pub(crate) async fn begin(&self) -> Transaction {
        self.db.begin(&TransactionOptions::new()).await.unwrap()
    }

    pub(crate) fn insert(&self, id: i64) -> String {
        format!("insert into {} values ({id})", self.table)
    }

    pub(crate) async fn ids(&self) -> Vec<i64> {
        let sql = format!("select id from {} order by id", self.table);
        self.db.select(&sql, ()).await.unwrap()
    }

    pub(crate) async fn left(self) {
        self.db.execute(&format!("drop table {}", self.table), ()).await.unwrap();
        self.databases.close(Duration::from_mins(1)).await.into_result().unwrap();
    }
}

/// What a test makes go wrong by itself.
pub(crate) fn declined() -> Error {
    Error::new(ErrorKind::InvalidInput, "no")
}
