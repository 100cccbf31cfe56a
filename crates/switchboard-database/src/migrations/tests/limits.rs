//! How long the statements of a migration may take, and wait.

use switchboard_core::Outcome;

use super::*;
#[cfg(any(feature = "postgres", feature = "mysql"))]
use crate::{Statements as _, TransactionOptions};

on_every_server! {
    a_statement_that_takes_longer_than_its_file_allows_is_ended;
}

async fn a_statement_that_takes_longer_than_its_file_allows_is_ended(place: Place) {
    let starter = place.starter().await;
    let endless = if place.is_on("postgres") {
        "select pg_sleep(100000)"
    } else if place.is_on("mysql") {
        "create table endless as select sum(a.seq * b.seq) as total \
         from seq_1_to_1000000 a, seq_1_to_1000000 b where a.seq % 7 <> b.seq % 5"
    } else {
        "create table endless as with recursive n (i) as (select 1 union all select i + 1 from n) \
         select i from n where i < 0"
    };
    let text =
        format!("-- switchboard: statement-timeout 3s\ncreate table half (id bigint);\n{endless};");
    let endless = migrations(&[("0001_endless.sql", &text)]);
    let error = starter.database.migrate(&endless, &usual()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    assert_eq!(error.context_value("file"), Some("0001_endless.sql:3"));
    assert_eq!(error.context_value("statement_timeout"), Some("3s"));
    assert_eq!(error.outcome(), Outcome::NotApplied);
    let is_whole = !place.is_on("mysql");
    assert_eq!(starter.has("half").await, !is_whole);
}

/// Each of both, in a transaction and without one.
#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn what_a_file_says_counts_before_what_is_configured_on_postgres() {
    on(Place::postgres().await, |place| async move {
        let said = Settings::new().with("lock_timeout", "7s").with("statement_timeout", "11m");
        let starter = place.starter_with(said).await;
        let seen = "select current_setting('lock_timeout') as at_lock, \
                    current_setting('statement_timeout') as at_all";
        let both = "-- switchboard: statement-timeout 0s\n-- switchboard: lock-timeout 1500ms\n";
        let migrations = migrations(&[
            ("1_said.sql", &format!("create table said as {seen}")),
            ("2_own.sql", &format!("{both}create table own as {seen}")),
            (
                "3_alone.sql",
                &format!("{both}-- switchboard: no-transaction\ncreate table alone as {seen}"),
            ),
            (
                "4_after.sql",
                &format!("-- switchboard: no-transaction\ncreate table after as {seen}"),
            ),
        ]);
        starter.database.migrate(&migrations, &usual()).await.unwrap();
        for (table, limits) in [
            ("said", "7s 11min"),
            ("own", "1500ms 24d"),
            ("alone", "1500ms 24d"),
            ("after", "7s 11min"),
        ] {
            let select = format!("select at_lock || ' ' || at_all from {table}");
            assert_eq!(starter.texts(&select).await, [limits], "{table}");
        }
        let left = "select current_setting('lock_timeout')";
        assert_eq!(starter.texts(left).await, ["0"], "it is taken back afterwards");
    })
    .await;
}

#[cfg(feature = "mysql")]
#[tokio::test(flavor = "multi_thread")]
async fn what_a_file_says_counts_before_what_is_configured_on_mysql() {
    on(Place::mysql().await, |place| async move {
        let starter = place.starter_with(Settings::new().with("lock_timeout", "7s")).await;
        let seen = "select concat(@@lock_wait_timeout, ' ', @@innodb_lock_wait_timeout, ' ', \
                    floor(@@max_statement_time * 10)) as limits";
        let own = "-- switchboard: lock-timeout 1500ms\n-- switchboard: statement-timeout 2500ms\n";
        let migrations = migrations(&[
            ("1_said.sql", &format!("create table said as {seen}")),
            ("2_own.sql", &format!("{own}create table own as {seen}")),
        ]);
        starter.database.migrate(&migrations, &usual()).await.unwrap();
        assert_eq!(starter.texts("select limits from said").await, ["7 7 0"]);
        assert_eq!(starter.texts("select limits from own").await, ["2 2 25"]);
    })
    .await;
}

/// Where definitions of tables are locked, what waits for one keeps everybody else waiting.
#[cfg(any(feature = "postgres", feature = "mysql"))]
async fn a_lock_of_others_is_waited_for_no_longer_than_is_said(place: Place) {
    let said = Settings::new().with("lock_timeout", "1s");
    let (starter, other) = (place.starter_with(said).await, place.starter().await);
    starter.execute("create table users (id bigint primary key)").await;
    let holding = other.database.begin(&TransactionOptions::new()).await.unwrap();
    holding.execute("insert into users values (1)", ()).await.unwrap();
    let text = "alter table users add note varchar(9)";
    let error = starter
        .database
        .migrate(&migrations(&[("0001_note.sql", text)]), &usual())
        .await
        .unwrap_err();
    assert_eq!(error.context_value("lock_timeout"), Some("1s"), "{error:?}");
    assert_eq!(error.context_value("file"), Some("0001_note.sql:1"));
    assert_eq!(error.outcome(), Outcome::NotApplied);
    holding.rollback().await.unwrap();
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_others_is_waited_for_no_longer_than_is_said_on_postgres() {
    on(Place::postgres().await, a_lock_of_others_is_waited_for_no_longer_than_is_said).await;
}

#[cfg(feature = "mysql")]
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_others_is_waited_for_no_longer_than_is_said_on_mysql() {
    on(Place::mysql().await, a_lock_of_others_is_waited_for_no_longer_than_is_said).await;
}

/// They would be promised and not kept.
#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread")]
async fn limits_without_a_transaction_are_refused_on_sqlite() {
    on(Place::sqlite(), |place| async move {
        let starter = place.starter().await;
        let text = "-- switchboard: no-transaction\n-- switchboard: lock-timeout 1s\nvacuum";
        let error = starter
            .database
            .migrate(&migrations(&[("0001_smaller.sql", text)]), &usual())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
        assert_eq!(error.context_value("file"), Some("0001_smaller.sql"));
    })
    .await;
}
