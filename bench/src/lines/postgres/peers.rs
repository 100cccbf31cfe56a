//! Who asks PostgreSQL, and how.
//!
//! Every one has its statement prepared before it is timed, by itself or because it can be told to.
//! Whoever asks a connection whether it is there before it is handed out is told not to: the product
//! does not either, for one that was used a moment ago.

use std::hint::black_box;
use std::time::SystemTime;

use bb8_postgres::PostgresConnectionManager;
use deadpool_postgres::{Manager, ManagerConfig, RecyclingMethod};
use sqlx::postgres::{PgPoolOptions, PgRow};
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{PgPool, Row as _};
use switchboard_core::Settings;
use switchboard_database::{Database, PooledConnection, Statements, Timestamp};
use tokio_postgres::{Client, Config, NoTls, Row, Statement};

use super::User;
use crate::databases::{ours, settings};
use crate::line::OURS;
use crate::services::Service;

/// One way to have a statement answered.
pub trait Peer: Send + Sync + Sized + 'static {
    const NAME: &'static str;
    const PACKAGES: &'static [&'static str];

    /// One that asks `statement` over at most so many connections.
    async fn new(statement: &str, connections: usize) -> Self;

    /// The number in the only row.
    fn number(&self, turn: usize) -> impl Future<Output = i32> + Send;

    /// How many users there were, all read.
    fn count(&self, turn: usize) -> impl Future<Output = usize> + Send;
}

/// The product, over its pool.
pub struct Ours {
    database: Database,
    statement: String,
}

impl Peer for Ours {
    const NAME: &'static str = OURS;
    const PACKAGES: &'static [&'static str] = &[];

    async fn new(statement: &str, connections: usize) -> Self {
        Self { database: database(connections).await, statement: statement.to_owned() }
    }

    async fn number(&self, _turn: usize) -> i32 {
        self.database.select_value(&self.statement, ()).await.expect("nothing fails")
    }

    async fn count(&self, _turn: usize) -> usize {
        let users: Vec<User<Timestamp>> =
            self.database.select(&self.statement, ()).await.expect("nothing fails");
        right(&users)
    }
}

/// The product on one connection that is not given back.
pub struct Held {
    connection: PooledConnection,
    statement: String,
}

impl Peer for Held {
    const NAME: &'static str = "switchboard, connection held";
    const PACKAGES: &'static [&'static str] = &[];

    async fn new(statement: &str, connections: usize) -> Self {
        let database = database(connections).await;
        let connection = database.connection().await.expect("the server is there");
        Self { connection, statement: statement.to_owned() }
    }

    async fn number(&self, _turn: usize) -> i32 {
        self.connection.select_value(&self.statement, ()).await.expect("nothing fails")
    }

    async fn count(&self, _turn: usize) -> usize {
        let users: Vec<User<Timestamp>> =
            self.connection.select(&self.statement, ()).await.expect("nothing fails");
        right(&users)
    }
}

/// The product, without reading rows into structures.
pub struct OursAsTheyAre(Ours);

impl Peer for OursAsTheyAre {
    const NAME: &'static str = "switchboard, rows as they are";
    const PACKAGES: &'static [&'static str] = &[];

    async fn new(statement: &str, connections: usize) -> Self {
        Self(Ours::new(statement, connections).await)
    }

    async fn number(&self, turn: usize) -> i32 {
        self.0.number(turn).await
    }

    async fn count(&self, _turn: usize) -> usize {
        let rows = self.0.database.rows(&self.0.statement, ()).await.expect("nothing fails");
        black_box(rows).rows.len()
    }
}

/// The library that the product uses too: one connection for all.
pub struct Raw {
    client: Client,
    statement: Statement,
}

impl Peer for Raw {
    const NAME: &'static str = "tokio-postgres, one connection";
    const PACKAGES: &'static [&'static str] = &["tokio-postgres"];

    async fn new(statement: &str, _connections: usize) -> Self {
        let client = connected().await;
        let statement = client.prepare(statement).await.expect("the server knows it");
        Self { client, statement }
    }

    async fn number(&self, _turn: usize) -> i32 {
        number(&self.client, &self.statement).await
    }

    async fn count(&self, _turn: usize) -> usize {
        count(&self.client, &self.statement).await
    }
}

/// The same with as many connections as the pools have. Nobody waits for one: requests that go over
/// the same are sent one after the other.
pub struct Several(Vec<Raw>);

impl Several {
    /// Each task has one that it shares with one other at the most, as the turns are dealt.
    fn of(&self, turn: usize) -> &Raw {
        &self.0[turn % self.0.len()]
    }
}

impl Peer for Several {
    const NAME: &'static str = "tokio-postgres, as many connections";
    const PACKAGES: &'static [&'static str] = &["tokio-postgres"];

    async fn new(statement: &str, connections: usize) -> Self {
        let mut all = Vec::new();
        for _ in 0..connections {
            all.push(Raw::new(statement, 1).await);
        }
        Self(all)
    }

    async fn number(&self, turn: usize) -> i32 {
        self.of(turn).number(turn).await
    }

    async fn count(&self, turn: usize) -> usize {
        self.of(turn).count(turn).await
    }
}

/// `deadpool-postgres`, whose connections keep prepared statements when they are asked to.
pub struct Deadpool {
    pool: deadpool_postgres::Pool,
    statement: String,
}

impl Peer for Deadpool {
    const NAME: &'static str = "deadpool-postgres";
    const PACKAGES: &'static [&'static str] = &["deadpool-postgres", "tokio-postgres"];

    async fn new(statement: &str, connections: usize) -> Self {
        Self { pool: deadpool(connections), statement: statement.to_owned() }
    }

    async fn number(&self, _turn: usize) -> i32 {
        let client = self.pool.get().await.expect("the server is there");
        let statement = client.prepare_cached(&self.statement).await.expect("it is known");
        number(&client, &statement).await
    }

    async fn count(&self, _turn: usize) -> usize {
        let client = self.pool.get().await.expect("the server is there");
        let statement = client.prepare_cached(&self.statement).await.expect("it is known");
        count(&client, &statement).await
    }
}

/// `bb8-postgres`, which keeps no statements: prepared ones are kept beside, as a hand would.
pub struct Bb8 {
    pool: bb8::Pool<Prepared>,
}

impl Peer for Bb8 {
    const NAME: &'static str = "bb8-postgres";
    const PACKAGES: &'static [&'static str] = &["bb8-postgres", "bb8", "tokio-postgres"];

    async fn new(statement: &str, connections: usize) -> Self {
        let connections = u32::try_from(connections).expect("is small");
        let manager = Prepared { inner: manager(), statement: statement.to_owned() };
        let pool = bb8::Pool::builder().max_size(connections).test_on_check_out(false);
        Self { pool: pool.build(manager).await.expect("the server is there") }
    }

    async fn number(&self, turn: usize) -> i32 {
        let raw = self.pool.get().await.expect("the server is there");
        raw.number(turn).await
    }

    async fn count(&self, turn: usize) -> usize {
        let raw = self.pool.get().await.expect("the server is there");
        raw.count(turn).await
    }
}

/// Makes connections that have the statement prepared.
pub struct Prepared {
    inner: PostgresConnectionManager<NoTls>,
    statement: String,
}

impl bb8::ManageConnection for Prepared {
    type Connection = Raw;
    type Error = tokio_postgres::Error;

    async fn connect(&self) -> Result<Raw, Self::Error> {
        let client = self.inner.connect().await?;
        let statement = client.prepare(&self.statement).await?;
        Ok(Raw { client, statement })
    }

    async fn is_valid(&self, raw: &mut Raw) -> Result<(), Self::Error> {
        self.inner.is_valid(&mut raw.client).await
    }

    fn has_broken(&self, raw: &mut Raw) -> bool {
        self.inner.has_broken(&mut raw.client)
    }
}

/// `sqlx`, which keeps statements by itself, and is spared copying the text each time.
pub struct Sqlx {
    pool: PgPool,
    statement: &'static str,
}

impl Peer for Sqlx {
    const NAME: &'static str = "sqlx";
    const PACKAGES: &'static [&'static str] = &["sqlx"];

    async fn new(statement: &str, connections: usize) -> Self {
        let connections = u32::try_from(connections).expect("is small");
        let options = PgPoolOptions::new().max_connections(connections).test_before_acquire(false);
        let pool = options.connect(&Service::Postgres.url()).await.expect("the server is there");
        Self { pool, statement: statement.to_owned().leak() }
    }

    async fn number(&self, _turn: usize) -> i32 {
        let statement = sqlx::query_scalar(self.statement);
        statement.fetch_one(&self.pool).await.expect("nothing fails")
    }

    async fn count(&self, _turn: usize) -> usize {
        let rows = sqlx::query(self.statement).fetch_all(&self.pool).await;
        let users: Vec<_> = rows.expect("nothing fails").iter().map(user_of_sqlx).collect();
        right(&users)
    }
}

/// The product's database, whose pool has at most so many connections. It would encrypt where the
/// server can; no peer here does.
pub async fn database(connections: usize) -> Database {
    let plain = Settings::new().with("mode", "off");
    let settings = settings("postgres", connections).with("tls", plain);
    ours(&settings.with("url", Service::Postgres.url())).await
}

/// A client of the library underneath, kept going by a task.
pub async fn connected() -> Client {
    let (client, connection) = config().connect(NoTls).await.expect("the server is there");
    tokio::spawn(connection);
    client
}

/// A pool of `deadpool-postgres`.
pub fn deadpool(connections: usize) -> deadpool_postgres::Pool {
    let how = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_config(config(), NoTls, how);
    let pool = deadpool_postgres::Pool::builder(manager).max_size(connections);
    pool.build().expect("the settings are right")
}

/// What `bb8-postgres` makes connections with.
pub fn manager() -> PostgresConnectionManager<NoTls> {
    PostgresConnectionManager::new(config(), NoTls)
}

fn config() -> Config {
    Service::Postgres.url().parse().expect("the address is right")
}

async fn number(client: &Client, statement: &Statement) -> i32 {
    client.query_one(statement, &[]).await.expect("nothing fails").get(0)
}

async fn count(client: &Client, statement: &Statement) -> usize {
    let rows = client.query(statement, &[]).await.expect("nothing fails");
    let users: Vec<_> = rows.iter().map(user).collect();
    right(&users)
}

/// How many of them are as they were written.
fn right<T>(users: &[User<T>]) -> usize {
    users.iter().filter(|user| user.is_right()).count()
}

/// A user as one reads it by hand.
pub fn user(row: &Row) -> User<SystemTime> {
    User {
        id: row.get(0),
        name: row.get(1),
        email: row.get(2),
        is_active: row.get(3),
        joined: row.get(4),
    }
}

/// The same with `sqlx`.
pub fn user_of_sqlx(row: &PgRow) -> User<DateTime<Utc>> {
    User {
        id: row.get(0),
        name: row.get(1),
        email: row.get(2),
        is_active: row.get(3),
        joined: row.get(4),
    }
}
