//! SQLite in a file: one row read, one row changed.
//!
//! `rusqlite` runs on the thread that asks, where it blocks; the product's connection has a thread of its
//! own, so that nobody else is blocked. `sqlx` does it in the same way but cannot stand here: it wants
//! another version of SQLite, and a program has only one.

use std::path::Path;

use rusqlite::Connection;
use switchboard_database::{Database, Statements as _};

use crate::asking::{Asker, asking, in_tasks};
use crate::databases::{ours, settings};
use crate::folder::Folder;
use crate::line::{Contender, Goal, Line, OURS};
use crate::rig::{Worker, each};

/// One row read by its key.
pub fn select() -> Line {
    Line {
        name: "sqlite",
        about: "Read one row of 1 000 by its key, from a file; one after the other.",
        reference: RAW,
        threads: &[1],
        figure: None,
        needs: None,
        contenders: vec![
            Contender::new(OURS, |_| asking(1, async || Reading(Place::new().await))),
            Contender::new(OURS_THREADS, |_| {
                |_thread: usize| in_tasks(1, &async || Reading(Place::new().await))
            }),
            Contender::new(RAW, |_| raw(read)).of(&["rusqlite"]),
        ],
        goals: vec![Goal::times(OURS, 2.50, RAW, 1), Goal::times(OURS_THREADS, 2.50, RAW, 1)],
    }
}

/// One row changed.
pub fn update() -> Line {
    Line {
        name: "sqlite-update",
        about: "Change one row of 1 000 by its key, in a file with a write-ahead log; one after the \
                other.",
        reference: RAW,
        threads: &[1],
        figure: None,
        needs: None,
        contenders: vec![
            Contender::new(OURS, |_| asking(1, async || Changing(Place::new().await))),
            Contender::new(OURS_THREADS, |_| {
                |_thread: usize| in_tasks(1, &async || Changing(Place::new().await))
            }),
            Contender::new(RAW, |_| raw(change)).of(&["rusqlite"]),
        ],
        goals: vec![Goal::times(OURS, 2.50, RAW, 1), Goal::times(OURS_THREADS, 2.50, RAW, 1)],
    }
}

/// The product's database, and the folder of its file.
struct Place {
    database: Database,
    _folder: Folder,
}

impl Place {
    async fn new() -> Self {
        let folder = Folder::new();
        let path = folder.path().join("bench.db");
        fill(&path);
        let path = path.to_str().expect("is a text").to_owned();
        let database = ours(&settings("sqlite", 4).with("path", path)).await;
        Self { database, _folder: folder }
    }
}

struct Reading(Place);

impl Asker for Reading {
    async fn ask(&self, turn: usize) {
        let name: String =
            self.0.database.select_value(SELECT, (key(turn),)).await.expect("nothing fails");
        assert!(!name.is_empty());
    }
}

struct Changing(Place);

impl Asker for Changing {
    async fn ask(&self, turn: usize) {
        let done = self.0.database.execute(UPDATE, (key(turn),)).await.expect("nothing fails");
        assert_eq!(done.affected, 1);
    }
}

/// What the library does by itself, on the thread that asks.
fn raw(ask: fn(&Connection, usize)) -> impl Fn(usize) -> Worker + Send + Sync {
    move |_thread| {
        let folder = Folder::new();
        let path = folder.path().join("bench.db");
        fill(&path);
        let connection = open(&path);
        ask(&connection, 0);
        each(move |turn| {
            let _ = &folder;
            ask(&connection, turn);
        })
    }
}

fn read(connection: &Connection, turn: usize) {
    let mut statement = connection.prepare_cached(SELECT).expect("is right");
    let name: String = statement.query_row([key(turn)], |row| row.get(0)).expect("is there");
    assert!(!name.is_empty());
}

fn change(connection: &Connection, turn: usize) {
    let mut statement = connection.prepare_cached(UPDATE).expect("is right");
    assert_eq!(statement.execute([key(turn)]).expect("nothing fails"), 1);
}

/// The same settings as the product's own connections have.
fn open(path: &Path) -> Connection {
    let connection = Connection::open(path).expect("the folder is there");
    connection
        .execute_batch(
            "pragma journal_mode = wal; pragma synchronous = normal; pragma foreign_keys = on",
        )
        .expect("the settings are right");
    connection
}

fn fill(path: &Path) {
    open(path)
        .execute_batch(
            "create table users (id integer primary key, name text not null, visits integer not null);
             with recursive numbers (n) as (select 1 union all select n + 1 from numbers limit 1000)
             insert into users select n, 'Ada Lovelace ' || n, 0 from numbers",
        )
        .expect("the file is new");
}

fn key(turn: usize) -> i64 {
    (turn % ROWS + 1) as i64
}

const SELECT: &str = "select name from users where id = ?1";
const UPDATE: &str = "update users set visits = visits + 1 where id = ?1";

const RAW: &str = "rusqlite, same thread";
const OURS_THREADS: &str = "switchboard, runtime of 4 threads";
const ROWS: usize = 1_000;
