//! Taking a connection out of a pool and giving it back, without asking it anything.
//!
//! The connections are those of PostgreSQL, all made before anything is timed, and one is always idle:
//! nobody keeps one while others run. Two of the peers ask a connection whether it is there; they are
//! told not to, because the product does not either for one that was used a moment ago.
//!
//! The product's callers go through a handle, with its line and its figures. `sqlx` gives a connection
//! back in a task of its own, which has to wait for its turn where nobody pauses: its figures here say
//! little about it, and no goal reads them.

use bb8_postgres::PostgresConnectionManager;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use switchboard_database::Database;
use tokio_postgres::NoTls;

use super::postgres::{database, deadpool, manager};
use crate::asking::{Asker, asking};
use crate::line::{Contender, Line, OURS};
use crate::services::Service;

/// From one task.
pub fn alone() -> Line {
    Line {
        name: "acquire",
        about: "Take an idle connection out of a pool, and give it back; one after the other.",
        reference: DEADPOOL,
        threads: &[1],
        figure: None,
        needs: Some(Service::Postgres),
        contenders: contenders(1),
        goals: Vec::new(),
    }
}

/// From many tasks.
pub fn in_tasks() -> Line {
    Line {
        name: "acquire-64",
        about: "Take an idle connection out of a pool of 16, and give it back; from 64 tasks on 4 \
                worker threads.",
        reference: DEADPOOL,
        threads: &[1],
        figure: None,
        needs: Some(Service::Postgres),
        contenders: contenders(64),
        goals: Vec::new(),
    }
}

fn contenders(tasks: usize) -> Vec<Contender> {
    vec![
        Contender::new(OURS, move |_| asking(tasks, async || database(CONNECTIONS).await)),
        Contender::new(DEADPOOL, move |_| asking(tasks, async || deadpool(CONNECTIONS)))
            .of(&["deadpool", "deadpool-postgres"]),
        Contender::new("bb8", move |_| asking(tasks, bb8_pool)).of(&["bb8", "bb8-postgres"]),
        Contender::new("sqlx", move |_| asking(tasks, sqlx_pool)).of(&["sqlx"]),
    ]
}

impl Asker for Database {
    async fn ask(&self, _turn: usize) {
        drop(self.connection().await.expect("one is idle"));
    }
}

impl Asker for deadpool_postgres::Pool {
    async fn ask(&self, _turn: usize) {
        drop(self.get().await.expect("one is idle"));
    }
}

type Bb8 = bb8::Pool<PostgresConnectionManager<NoTls>>;

async fn bb8_pool() -> Bb8 {
    let pool = bb8::Pool::builder().max_size(CONNECTIONS as u32).test_on_check_out(false);
    pool.build(manager()).await.expect("the server is there")
}

impl Asker for Bb8 {
    async fn ask(&self, _turn: usize) {
        drop(self.get().await.expect("one is idle"));
    }
}

async fn sqlx_pool() -> PgPool {
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS as u32).test_before_acquire(false);
    pool.connect(&Service::Postgres.url()).await.expect("the server is there")
}

impl Asker for PgPool {
    async fn ask(&self, _turn: usize) {
        drop(self.acquire().await.expect("one is idle"));
    }
}

const DEADPOOL: &str = "deadpool";
const CONNECTIONS: usize = 16;
