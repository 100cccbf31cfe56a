//! What is seen of statements: the slow ones, all of them where that is asked for, what they cost, and
//! what servers are told of who sends them. Never a value.

#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod comments;
mod figures;
mod log;
mod names;
mod plans;
mod repeats;
mod spans;
mod told;

use switchboard_core::{Environment, Manager, Registry, Settings};
use switchboard_database::{Database, Databases, Statements as _};

/// A database in memory with a table `users`, and these settings beside.
async fn database(settings: Settings) -> (Manager<Databases>, Database) {
    let settings = settings.with("url", "sqlite::memory:");
    let databases = manager(&settings);
    let database = databases.get("main").await.unwrap();
    let table = "create table users (id integer primary key, name text)";
    database.execute(table, ()).await.unwrap();
    (databases, database)
}

fn manager(settings: &Settings) -> Manager<Databases> {
    let registry = Registry::with_built_ins().unwrap();
    let databases = Manager::<Databases>::new(registry, &Environment::new()).unwrap();
    databases.configure("main", settings).unwrap();
    databases
}

/// A statement that nobody waits for to the end.
const ENDLESS: &str = "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n where i < ?";
