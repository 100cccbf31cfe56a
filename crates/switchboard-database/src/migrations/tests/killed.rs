//! A process that is killed in the middle of a migration, and the next one that finds what it left.

use std::process::{Child, Command, Stdio};

use switchboard_core::ErrorKind;

use super::place::{Place, Starter, on};
use super::{MigrationState, migrations, on_every_server, states, usual};
use crate::Migrations;

on_every_server! {
    a_process_that_is_killed_in_the_middle_is_followed_by_the_next;
}

/// The process that is killed: it does nothing unless the test below starts it.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "a process is told by variables what to do")]
async fn the_process_that_is_killed() {
    let Ok(url) = std::env::var(URL) else { return };
    let place = Place::at(url);
    let starter = place.starter().await;
    starter.database.migrate(&slow(&place), &usual()).await.unwrap();
}

async fn a_process_that_is_killed_in_the_middle_is_followed_by_the_next(place: Place) {
    let starter = place.starter().await;
    // The tables are there, so that what is looked at is the process and not its beginning.
    starter.database.migrate(&slow(&place), &usual().to(1)).await.unwrap();
    if place.is_on("postgres") {
        // How soon the server sees that a client has gone while a statement runs.
        let name = starter.texts("select current_database()::text").await.remove(0);
        starter
            .execute(&format!("alter database {name} set client_connection_check_interval = 50"))
            .await;
    }
    let mut process = process(&place);
    starter.waits_for(under_way(&place)).await;
    process.kill().unwrap();
    process.wait().unwrap();
    starter.waits_for(HAS_LEASE).await;

    starter.execute("update switchboard_migrations_lock set expires_at = 1").await;
    if place.is_on("mysql") {
        stops_at_the_mark(&starter, &place).await;
    } else {
        goes_on(&starter, &place).await;
    }
}

/// What was begun was rolled back by the server, and is simply applied.
async fn goes_on(starter: &Starter, place: &Place) {
    let again = migrations(&[FIRST, ("2_slow.sql", SECOND)]);
    let states = states(&starter.database, &slow(place)).await;
    assert_eq!(states[1], (2, MigrationState::Pending));
    let report = starter.database.migrate(&again, &usual()).await.unwrap();
    assert_eq!(report.applied.len(), 1);
    assert_eq!(starter.number("select count(*) from notes").await, 0);
}

/// Nobody knows what became of the statement, which is told.
async fn stops_at_the_mark(starter: &Starter, place: &Place) {
    let error = starter.database.migrate(&slow(place), &usual()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PreconditionFailed);
    assert_eq!(error.context_value("statement"), Some("do sleep(30)"), "{error:?}");
    assert_eq!(error.context_value("file"), Some("2_slow.sql:2"));
    let states = states(&starter.database, &slow(place)).await;
    assert_eq!(states[1], (2, MigrationState::Applying));
}

fn slow(place: &Place) -> Migrations {
    let wait = match () {
        () if place.is_on("postgres") => "select pg_sleep(600)",
        () if place.is_on("mysql") => "do sleep(30)",
        () => {
            "with recursive n(i) as (select 1 union all select i + 1 from n limit 500000000) \
             select count(*) from n"
        }
    };
    migrations(&[FIRST, ("2_slow.sql", &format!("{SECOND}\n{wait};"))])
}

/// What is true once the process is in the middle of the second migration.
fn under_way(place: &Place) -> &'static str {
    match () {
        () if place.is_on("postgres") => {
            "select count(*) from pg_stat_activity \
             where datname = current_database() and state = 'active' and query like '%pg_sleep(600)%' \
             and pid <> pg_backend_pid()"
        }
        () if place.is_on("mysql") => {
            "select count(*) from switchboard_migrations where statement_number = 2"
        }
        () => HAS_LEASE,
    }
}

/// Starts this test program once more, for one of its tests.
fn process(place: &Place) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["migrations::tests::killed::the_process_that_is_killed", "--exact", "--nocapture"])
        .env(URL, &place.url)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

const FIRST: (&str, &str) = ("1_users.sql", "create table users (id bigint)");

const SECOND: &str = "create table notes (id bigint);";

const HAS_LEASE: &str = "select count(*) from switchboard_migrations_lock where token <> ''";

const URL: &str = "SWITCHBOARD_TEST_MIGRATED_URL";
