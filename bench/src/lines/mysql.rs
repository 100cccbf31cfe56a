//! MariaDB over a pool: the smallest statement.

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Pool};
use sqlx::MySqlPool;
use sqlx::mysql::MySqlPoolOptions;
use switchboard_core::Settings;
use switchboard_database::{Database, Statements as _};
use tokio::sync::Mutex;

use crate::asking::{Asker, asking};
use crate::databases::{ours, settings};
use crate::line::{Contender, Line, OURS};
use crate::services::Service;

pub fn line() -> Line {
    Line {
        name: "mysql",
        about: "Take a connection, run `select 1` as a prepared statement, and give it back; one \
                after the other.",
        reference: RAW,
        threads: &[1],
        figure: None,
        needs: Some(Service::Mariadb),
        contenders: vec![
            Contender::new(OURS, |_| asking(1, async || Ours(database().await))),
            Contender::new(RAW, |_| asking(1, async || Raw(Mutex::new(connected().await))))
                .of(&["mysql_async"]),
            Contender::new("mysql_async, its pool", |_| asking(1, pool)).of(&["mysql_async"]),
            Contender::new("sqlx", |_| asking(1, sqlx_pool)).of(&["sqlx"]),
        ],
        goals: Vec::new(),
    }
}

struct Ours(Database);

impl Asker for Ours {
    async fn ask(&self, _turn: usize) {
        let one: i64 = self.0.select_value("select 1", ()).await.expect("nothing fails");
        assert_eq!(one, 1);
    }
}

/// The library that the product uses too, on one connection. It wants one for itself, so a lock stands
/// before it that nobody else ever has.
struct Raw(Mutex<Conn>);

impl Asker for Raw {
    async fn ask(&self, _turn: usize) {
        let one = self.0.lock().await.exec_first("select 1", ()).await;
        assert_eq!(one.expect("nothing fails"), Some(1));
    }
}

impl Asker for Pool {
    async fn ask(&self, _turn: usize) {
        let mut connection = self.get_conn().await.expect("the server is there");
        let one = connection.exec_first("select 1", ()).await;
        assert_eq!(one.expect("nothing fails"), Some(1));
    }
}

impl Asker for MySqlPool {
    async fn ask(&self, _turn: usize) {
        let one: i64 = sqlx::query_scalar("select 1").fetch_one(self).await.expect("nothing fails");
        assert_eq!(one, 1);
    }
}

/// It would encrypt where the server can; no peer here does.
async fn database() -> Database {
    let settings = settings("mysql", CONNECTIONS).with("tls", Settings::new().with("mode", "off"));
    ours(&settings.with("url", Service::Mariadb.url())).await
}

async fn connected() -> Conn {
    Conn::from_url(Service::Mariadb.url()).await.expect("the server is there")
}

/// A pool that does not clean a connection each time, which would be one more request.
async fn pool() -> Pool {
    let pool = mysql_async::PoolOpts::new().with_reset_connection(false);
    let options = mysql_async::Opts::from_url(&Service::Mariadb.url()).expect("is right");
    Pool::new(mysql_async::OptsBuilder::from_opts(options).pool_opts(pool))
}

async fn sqlx_pool() -> MySqlPool {
    let pool = MySqlPoolOptions::new().max_connections(CONNECTIONS as u32);
    let pool = pool.test_before_acquire(false);
    pool.connect(&Service::Mariadb.url()).await.expect("the server is there")
}

const RAW: &str = "mysql_async, one connection";
const CONNECTIONS: usize = 4;
