//! A start that is given up at any await leaves a database that the next one can go on with.

use std::time::Duration;

use switchboard_testkit::drop_at_every_await;

use super::place::{Place, Starter, on};
use super::{MigrationState, migrations, on_every_server, states, usual};
use crate::{Migrations, Repair};

on_every_server! {
    a_start_that_is_given_up_at_any_await_leaves_nothing_half_done;
    a_file_without_transaction_that_is_given_up_says_where;
}

async fn a_start_that_is_given_up_at_any_await_leaves_nothing_half_done(place: Place) {
    let text = "create table users (id bigint);\ninsert into users values (1);";
    dropped_everywhere(&place.starter().await, &migrations(&[("1_users.sql", text)])).await;
}

async fn a_file_without_transaction_that_is_given_up_says_where(place: Place) {
    let text = "-- switchboard: no-transaction\ncreate table users (id bigint);\n\
                insert into users values (1);";
    dropped_everywhere(&place.starter().await, &migrations(&[("1_users.sql", text)])).await;
}

async fn dropped_everywhere(starter: &Starter, migrations: &Migrations) {
    let options = usual();
    let awaits = drop_at_every_await(
        async || starter.database.migrate(migrations, &options).await.unwrap(),
        async |_| Box::pin(next_start_goes_on(starter, migrations)).await,
    );
    assert!(awaits.await > 10, "it waits for the server again and again");
}

async fn next_start_goes_on(starter: &Starter, migrations: &Migrations) {
    let environment = starter.databases.environment();
    let end = environment.clock().now() + Duration::from_mins(1);
    environment.reaper().idle(end).await.unwrap();
    let state = states(&starter.database, migrations).await[0].1;
    match state {
        MigrationState::Pending => assert!(!starter.has("users").await, "nothing is half done"),
        MigrationState::Applied => assert!(starter.has("users").await),
        MigrationState::Applying => brought_in_order(starter, migrations).await,
        other => panic!("{other}"),
    }
    let soon = usual().wait(Duration::from_mins(1));
    starter.database.migrate(migrations, &soon).await.unwrap();
    assert_eq!(starter.number("select count(*) from users").await, 1);
    starter.execute("drop table users").await;
    starter.execute("drop table switchboard_migrations").await;
}

/// What a person does who finds the mark.
async fn brought_in_order(starter: &Starter, migrations: &Migrations) {
    let error = starter.database.migrate(migrations, &usual()).await.unwrap_err();
    let statement = error.context_value("statement").unwrap();
    assert!(migrations.get(1).unwrap().text.contains(statement), "{error:?}");
    starter.execute("drop table if exists users").await;
    starter.database.repair_migration(1, Repair::RunAgain).await.unwrap();
}
