//! The table that rows are read from.

use std::hint::black_box;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::Deserialize;

use super::connected;
use crate::rig::apart;

/// A schema of its own with a table of users, dropped with this.
pub struct Users {
    schema: String,
}

/// A row of it, with the moment in whatever type the library has for it.
#[derive(Debug, Deserialize)]
pub struct User<T> {
    pub id: i64,
    pub name: String,
    pub email: String,
    pub is_active: bool,
    pub joined: T,
}

impl Users {
    /// A table of so many rows.
    pub fn of(rows: usize) -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let schema = format!("switchboard_bench_{}_{number}", process::id());
        run(&format!(
            "create schema {schema};
             create table {schema}.users (
                 id bigint primary key, name text not null, email text not null,
                 is_active boolean not null, joined timestamptz not null);
             insert into {schema}.users
             select n, 'Ada Lovelace ' || n, 'ada.' || n || '@example.com', n % 2 = 0,
                    timestamptz '2020-01-01 00:00:00+00' + n * interval '1 hour'
             from generate_series(1, {rows}) n;
             analyze {schema}.users"
        ));
        Self { schema }
    }

    /// The statement that reads all of them.
    pub fn select(&self) -> String {
        format!("select id, name, email, is_active, joined from {}.users", self.schema)
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        run(&format!("drop schema {} cascade", self.schema));
    }
}

impl<T> User<T> {
    /// Whether it is as it was written.
    pub fn is_right(&self) -> bool {
        black_box(&self.joined);
        self.is_active == (self.id % 2 == 0) && !self.name.is_empty() && !self.email.is_empty()
    }
}

fn run(sql: &str) {
    apart(async {
        connected().await.batch_execute(sql).await.expect("the server does it");
    });
}

static COUNT: AtomicU32 = AtomicU32::new(0);
