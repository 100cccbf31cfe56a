//! Migrations against the servers.

mod dropped;
mod files;
mod killed;
mod limits;
mod place;
#[cfg(feature = "sqlite")]
mod rebuilt;

use std::time::Duration;

use switchboard_core::{Error, ErrorKind, Settings};

use self::place::{Place, Starter, on};
use super::*;
use crate::{MigrateOptions, Migrations, Repair};

/// Each test on each server.
macro_rules! on_every_server {
    ($($test:ident;)*) => {
        #[cfg(feature = "sqlite")]
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::on(super::Place::sqlite(), super::$test).await;
            })*
        }
        #[cfg(feature = "postgres")]
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::on(super::Place::postgres().await, super::$test).await;
            })*
        }
        #[cfg(feature = "mysql")]
        mod mysql {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::on(super::Place::mysql().await, super::$test).await;
            })*
        }
    };
}
use on_every_server;

on_every_server! {
    each_is_applied_once_in_the_order_of_versions;
    of_two_starters_one_applies_and_the_other_finds_nothing_to_do;
    a_statement_that_fails_is_named_with_its_line;
    what_is_edited_missing_and_too_late_is_named_at_once_and_nothing_is_applied;
    what_is_too_late_is_applied_where_that_is_allowed;
    a_baseline_runs_nothing;
    a_dry_run_tells_the_statements_and_leaves_nothing;
    a_dry_run_tells_what_is_known_to_go_wrong_with_what_would_be_applied;
    one_without_a_statement_is_listed_and_refused_when_it_would_be_applied;
    a_migration_that_begins_a_transaction_is_refused_before_anything_is_applied;
    a_file_without_transaction_stops_where_it_failed_and_is_repaired;
    a_repaired_migration_counts_as_applied_where_that_is_said;
    a_lease_is_waited_for_and_taken_over_when_its_time_is_over;
    who_lost_the_lease_applies_nothing;
    who_has_the_lease_says_again_and_again_that_it_is_alive;
    a_start_with_nothing_to_do_needs_no_lease;
    none_that_is_newer_than_asked_for_is_applied;
    a_table_of_another_name_keeps_the_journal;
    a_text_with_what_looks_like_parameters_is_run_as_it_is;
}

/// That tasks can be made of them.
#[expect(dead_code, reason = "it is checked by being compiled")]
fn can_be_sent(database: &Database, migrations: &Migrations, options: &MigrateOptions) {
    fn is_send(_: impl Send) {}
    is_send(database.migrate(migrations, options));
    is_send(database.migration_status(migrations));
    is_send(database.baseline_migrations(migrations, 1));
    is_send(database.repair_migration(1, Repair::Done));
}

fn users_and_notes() -> Migrations {
    migrations(&[
        ("0002_create_notes.sql", "create table notes (id bigint primary key, text varchar(9));"),
        (
            "0001_create_users.sql",
            "create table users (id bigint primary key);\ninsert into users values (1);",
        ),
    ])
}

fn migrations(files: &[(&str, &str)]) -> Migrations {
    Migrations::embedded(files).unwrap()
}

fn usual() -> MigrateOptions {
    MigrateOptions::new()
}

fn versions(report: &MigrationReport) -> Vec<u64> {
    report.applied.iter().map(|applied| applied.version).collect()
}

fn told(error: &Error) -> String {
    format!("{error:?}")
}

async fn states(database: &Database, migrations: &Migrations) -> Vec<(u64, MigrationState)> {
    let statuses = database.migration_status(migrations).await.unwrap();
    statuses.iter().map(|status| (status.version, status.state)).collect()
}

async fn each_is_applied_once_in_the_order_of_versions(place: Place) {
    let starter = place.starter().await;
    let migrations = users_and_notes();
    let pending = states(&starter.database, &migrations).await;
    assert_eq!(pending, [(1, MigrationState::Pending), (2, MigrationState::Pending)]);

    let report = starter.database.migrate(&migrations, &usual()).await.unwrap();
    assert_eq!(versions(&report), [1, 2]);
    assert_eq!((report.applied[0].statements, report.applied[1].statements), (2, 1));
    assert_eq!(starter.number("select count(*) from users").await, 1);
    assert!(starter.has("notes").await);

    let again = starter.database.migrate(&migrations, &usual()).await.unwrap();
    assert_eq!(again, MigrationReport::default());
    let statuses = starter.database.migration_status(&migrations).await.unwrap();
    assert!(statuses.iter().all(|status| status.state == MigrationState::Applied), "{statuses:?}");
    let at: jiff::Timestamp = statuses[0].applied_at.as_ref().unwrap().parse().unwrap();
    assert!(at.as_second() > 1_600_000_000, "the server's clock was read: {at}");
}

async fn of_two_starters_one_applies_and_the_other_finds_nothing_to_do(place: Place) {
    let (one, other) = (place.starter().await, place.starter().await);
    let migrations = users_and_notes();
    let options = usual();
    let (first, second) = futures_util::future::join(
        one.database.migrate(&migrations, &options),
        other.database.migrate(&migrations, &options),
    )
    .await;
    let mut applied = [versions(&first.unwrap()), versions(&second.unwrap())];
    applied.sort();
    // Each migration was applied by one of them; who has the lease goes on to the end.
    assert_eq!(applied, [vec![], vec![1, 2]]);
    assert_eq!(one.number("select count(*) from users").await, 1);
}

async fn a_statement_that_fails_is_named_with_its_line(place: Place) {
    let starter = place.starter().await;
    let migrations = migrations(&[
        ("0001_create_users.sql", "create table users (id bigint primary key)"),
        ("0002_wrong.sql", "create table half (id bigint);\n\ninsert into nowhere\nvalues (1);\n"),
    ]);
    let error = starter.database.migrate(&migrations, &usual()).await.unwrap_err();
    assert_eq!(error.context_value("file"), Some("0002_wrong.sql:3"), "{error:?}");
    assert_eq!(error.context_value("number"), Some("2"));
    assert_eq!(error.context_value("applied_before"), Some("1"));
    assert!(starter.has("users").await, "what was applied before it stays");

    let is_whole = !place.is_on("mysql");
    assert_eq!(starter.has("half").await, !is_whole);
    let wanted = if is_whole { MigrationState::Pending } else { MigrationState::Failed };
    assert_eq!(states(&starter.database, &migrations).await[1], (2, wanted));
}

async fn what_is_edited_missing_and_too_late_is_named_at_once_and_nothing_is_applied(place: Place) {
    let starter = place.starter().await;
    let before = migrations(&[
        ("0001_a.sql", "create table a (id bigint)"),
        ("0003_c.sql", "create table c (id bigint)"),
        ("0004_d.sql", "create table d (id bigint)"),
    ]);
    starter.database.migrate(&before, &usual()).await.unwrap();
    let after = migrations(&[
        ("0001_a.sql", "create table a (id bigint) "),
        ("0002_b.sql", "create table b (id bigint)"),
        ("0004_d.sql", "create table d (id bigint)"),
        ("0005_e.sql", "create table e (id bigint)"),
    ]);
    let error = starter.database.migrate(&after, &usual()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PreconditionFailed);
    let versions: Vec<_> =
        error.related().iter().map(|error| error.context_value("version").unwrap()).collect();
    assert_eq!(versions, ["1", "3", "2"], "{error:?}");
    let words = told(&error);
    assert!(
        words.contains("changed after it was applied") && words.contains("not there"),
        "{words}"
    );
    assert!(words.contains("older than the newest applied"), "{words}");
    assert!(!starter.has("b").await && !starter.has("e").await);
    let states = states(&starter.database, &after).await;
    assert_eq!(states[0].1, MigrationState::Edited);
    assert_eq!(states[2], (3, MigrationState::Missing));
}

async fn what_is_too_late_is_applied_where_that_is_allowed(place: Place) {
    let settings = Settings::new().with("out_of_order", true);
    let (starter, careless) = (place.starter().await, place.starter_with(settings).await);
    let newest = ("0003_c.sql", "create table c (id bigint)");
    starter.database.migrate(&migrations(&[newest]), &usual()).await.unwrap();
    let late = migrations(&[newest, ("0002_b.sql", "create table b (id bigint)")]);
    starter.database.migrate(&late, &usual()).await.unwrap_err();
    let report = careless.database.migrate(&late, &usual()).await.unwrap();
    assert_eq!(versions(&report), [2]);

    let later = migrations(&[
        newest,
        ("0001_a.sql", "create table a (id bigint)"),
        ("0002_b.sql", "create table b (id bigint)"),
    ]);
    let report = starter.database.migrate(&later, &usual().out_of_order()).await.unwrap();
    assert_eq!(versions(&report), [1]);
}

async fn a_baseline_runs_nothing(place: Place) {
    let starter = place.starter().await;
    starter.execute("create table users (id bigint primary key)").await;
    let migrations = users_and_notes();
    let report = starter.database.baseline_migrations(&migrations, 1).await.unwrap();
    assert_eq!((versions(&report), report.applied[0].took), (vec![1], None));
    assert_eq!(starter.number("select count(*) from users").await, 0, "nothing was inserted");

    let report = starter.database.migrate(&migrations, &usual()).await.unwrap();
    assert_eq!(versions(&report), [2]);
    let unknown = starter.database.baseline_migrations(&migrations, 7).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
}

async fn a_dry_run_tells_the_statements_and_leaves_nothing(place: Place) {
    let starter = place.starter().await;
    let report = starter.database.migrate(&users_and_notes(), &usual().dry_run()).await.unwrap();
    assert_eq!((report.applied.len(), report.planned.len()), (0, 2));
    let users = &report.planned[0];
    assert_eq!(users.file, "0001_create_users.sql");
    assert_eq!(users.statements[1], (2, "insert into users values (1)".to_owned()));
    assert_eq!(users.is_transactional, !place.is_on("mysql"));
    for table in ["users", "switchboard_migrations", "switchboard_migrations_lock"] {
        assert!(!starter.has(table).await, "{table}");
    }
}

async fn a_dry_run_tells_what_is_known_to_go_wrong_with_what_would_be_applied(place: Place) {
    let limited = Settings::new().with("lock_timeout", "1m");
    let (starter, limited) = (place.starter().await, place.starter_with(limited).await);
    let first =
        ("1_users.sql", "create table users (id bigint, fax bigint); drop table if exists a");
    let second = ("2_fax.sql", "alter table users drop column fax, algorithm=instant");
    let found = async |starter: &Starter, files: &[(&str, &str)]| {
        let dry = usual().dry_run();
        let report = starter.database.migrate(&migrations(files), &dry).await.unwrap();
        report.findings.iter().map(|found| (found.version, found.rule)).collect::<Vec<_>>()
    };
    let dropped = (1, LintRule::DropTable);
    assert_eq!(found(&limited, &[first, second]).await, [dropped], "the table is new to both");

    limited.database.migrate(&migrations(&[first]), &usual()).await.unwrap();
    let removed = (2, LintRule::DropColumn);
    assert_eq!(found(&limited, &[first, second]).await, [removed], "the table was there before");
    let endless = (2, LintRule::LockTimeoutMissing);
    // One of them has no such locks, another a limit of its own.
    let wanted = if place.is_on("postgres") { vec![removed, endless] } else { vec![removed] };
    let mut found = found(&starter, &[first, second]).await;
    found.retain(|found| *found != endless || place.is_on("postgres"));
    found.sort_by_key(|(_, rule)| *rule);
    assert_eq!(found, wanted);
}

async fn one_without_a_statement_is_listed_and_refused_when_it_would_be_applied(place: Place) {
    let starter = place.starter().await;
    let begun = migrations(&[
        ("0001_a.sql", "create table a (id bigint)"),
        ("0002_b.sql", "-- the mail\n/* of\nusers */\n\n"),
        ("0003_c.sql", ""),
    ]);
    let (pending, empty) = (MigrationState::Pending, MigrationState::Empty);
    assert_eq!(states(&starter.database, &begun).await, [(1, pending), (2, empty), (3, empty)]);

    let refused = [
        starter.database.migrate(&begun, &usual()).await.unwrap_err(),
        starter.database.migrate(&begun, &usual().dry_run()).await.unwrap_err(),
        starter.database.baseline_migrations(&begun, 3).await.unwrap_err(),
    ];
    for error in refused {
        assert_eq!(error.kind(), ErrorKind::Config);
        let places: Vec<_> =
            error.related().iter().map(|error| error.context_value("file").unwrap()).collect();
        assert_eq!(places, ["0002_b.sql:4", "0003_c.sql:1"], "{error:?}");
        assert!(error.related()[0].hints().next().unwrap().contains("alter table"), "{error:?}");
    }
    assert!(!starter.has("a").await);

    let report = starter.database.migrate(&begun, &usual().to(1)).await.unwrap();
    assert_eq!(versions(&report), [1], "those before it can be applied");
    let applied = MigrationState::Applied;
    assert_eq!(states(&starter.database, &begun).await, [(1, applied), (2, empty), (3, empty)]);
}

async fn a_migration_that_begins_a_transaction_is_refused_before_anything_is_applied(place: Place) {
    let starter = place.starter().await;
    let migrations = migrations(&[
        ("0001_a.sql", "create table a (id bigint)"),
        ("0002_b.sql", "begin;\ncreate table b (id bigint);\ncommit;"),
    ]);
    let error = starter.database.migrate(&migrations, &usual()).await.unwrap_err();
    let places: Vec<_> =
        error.related().iter().map(|error| error.context_value("file").unwrap()).collect();
    assert_eq!(places, ["0002_b.sql:1", "0002_b.sql:3"], "{error:?}");
    assert!(!starter.has("a").await);
}

const STOPS: &str = "-- switchboard: no-transaction\ncreate table half (id bigint);\n\
                     insert into nowhere values (1);\ninsert into half values (1);";

async fn a_file_without_transaction_stops_where_it_failed_and_is_repaired(place: Place) {
    let starter = place.starter().await;
    let wrong = migrations(&[("0001_stops.sql", STOPS)]);
    let error = starter.database.migrate(&wrong, &usual()).await.unwrap_err();
    assert_eq!(error.context_value("file"), Some("0001_stops.sql:3"), "{error:?}");
    assert!(starter.has("half").await, "what was done before it stays");

    let error = starter.database.migrate(&wrong, &usual()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PreconditionFailed);
    assert_eq!(error.context_value("statement"), Some("insert into nowhere values (1)"));
    assert_eq!(error.context_value("file"), Some("0001_stops.sql:3"));
    assert_eq!(error.context_value("number"), Some("2"));
    let free = "select count(*) from switchboard_migrations_lock where token = ''";
    assert_eq!(starter.number(free).await, 1, "it was given back before the error was told");

    starter.execute("drop table half").await;
    starter.database.repair_migration(1, Repair::RunAgain).await.unwrap();
    let mended = STOPS.replace("nowhere", "half");
    let mended = migrations(&[("0001_stops.sql", &mended)]);
    assert_eq!(versions(&starter.database.migrate(&mended, &usual()).await.unwrap()), [1]);
    assert_eq!(starter.number("select count(*) from half").await, 2);
    let again = starter.database.repair_migration(1, Repair::RunAgain).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::NotFound, "an applied one is not forgotten");
}

async fn a_repaired_migration_counts_as_applied_where_that_is_said(place: Place) {
    let starter = place.starter().await;
    let wrong = migrations(&[("0001_stops.sql", STOPS)]);
    starter.database.migrate(&wrong, &usual()).await.unwrap_err();
    assert_eq!(states(&starter.database, &wrong).await, [(1, MigrationState::Failed)]);
    starter.database.repair_migration(1, Repair::Done).await.unwrap();
    assert_eq!(states(&starter.database, &wrong).await, [(1, MigrationState::Applied)]);
    let report = starter.database.migrate(&wrong, &usual()).await.unwrap();
    assert_eq!(report, MigrationReport::default());
}

const TAKE: &str = "update switchboard_migrations_lock \
                    set token = 'theirs', holder = 'process 7', expires_at = 9000000000000";

async fn a_lease_is_waited_for_and_taken_over_when_its_time_is_over(place: Place) {
    let starter = place.starter().await;
    starter.database.migrate(&migrations(&[]), &usual()).await.unwrap();
    starter.database.baseline_migrations(&users_and_notes(), 1).await.unwrap();
    starter.execute(TAKE).await;
    let soon = usual().wait(Duration::ZERO);
    let error = starter.database.migrate(&users_and_notes(), &soon).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.context_value("holder"), Some("process 7"));
    assert!(!starter.has("notes").await);

    starter.execute("update switchboard_migrations_lock set expires_at = 1").await;
    let report = starter.database.migrate(&users_and_notes(), &soon).await.unwrap();
    assert_eq!(versions(&report), [2]);
    let free = "select count(*) from switchboard_migrations_lock where token = ''";
    assert_eq!(starter.number(free).await, 1, "it was given back");
}

async fn who_lost_the_lease_applies_nothing(place: Place) {
    let starter = place.starter().await;
    let (dialect, config) = starter.database.migrated().await.unwrap();
    let journal = starter.database.journal(dialect, &config).await.unwrap();
    let lease = journal.lease(&config, &usual()).await.unwrap();
    starter.execute(TAKE).await;
    let migrations = users_and_notes();
    let plan = Plan::new(&migrations, &[], dialect, &usual()).unwrap();
    let applying = Applying { journal: &journal, lease: &lease, config: &config };
    let error = applying.apply(&plan.steps[0]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(!starter.has("users").await);
    lease.give_back().await.unwrap();
    let theirs = "select count(*) from switchboard_migrations_lock where token = 'theirs'";
    assert_eq!(starter.number(theirs).await, 1, "what is not ours is not given back");
}

async fn who_has_the_lease_says_again_and_again_that_it_is_alive(place: Place) {
    let starter = place.starter_with(Settings::new().with("lock_ttl", "1s")).await;
    let (dialect, config) = starter.database.migrated().await.unwrap();
    let journal = starter.database.journal(dialect, &config).await.unwrap();
    let lease = journal.lease(&config, &usual()).await.unwrap();
    let end = "select max(expires_at) from switchboard_migrations_lock";
    let first = starter.number(end).await;
    let alive = lease.keep_alive().unwrap();
    let later = format!(
        "select count(*) from switchboard_migrations_lock where expires_at > {}",
        first + 1_000
    );
    starter.waits_for(&later).await;
    alive.stop().await.unwrap();
    lease.give_back().await.unwrap();
}

async fn a_start_with_nothing_to_do_needs_no_lease(place: Place) {
    let starter = place.starter().await;
    let migrations = users_and_notes();
    starter.database.migrate(&migrations, &usual()).await.unwrap();
    starter.execute(TAKE).await;
    let soon = usual().wait(Duration::ZERO);
    let report = starter.database.migrate(&migrations, &soon).await.unwrap();
    assert_eq!(report, MigrationReport::default());
}

async fn none_that_is_newer_than_asked_for_is_applied(place: Place) {
    let starter = place.starter().await;
    let migrations = users_and_notes();
    let report = starter.database.migrate(&migrations, &usual().to(1)).await.unwrap();
    assert_eq!(versions(&report), [1]);
    let report = starter.database.migrate(&migrations, &usual()).await.unwrap();
    assert_eq!(versions(&report), [2]);
}

async fn a_table_of_another_name_keeps_the_journal(place: Place) {
    let starter = place.starter_with(Settings::new().with("table", "Shop \"Steps")).await;
    starter.database.migrate(&users_and_notes(), &usual()).await.unwrap();
    assert!(!starter.has("switchboard_migrations").await);
    let quote = if place.is_on("mysql") { "`Shop \"Steps`" } else { "\"Shop \"\"Steps\"" };
    assert_eq!(starter.number(&format!("select count(*) from {quote}")).await, 2);
    let wrong = place.starter_with(Settings::new().with("table", "a.b.c")).await;
    let error = wrong.database.migrate(&users_and_notes(), &usual()).await.unwrap_err();
    assert_eq!(error.context_value("setting"), Some("migrations.table"));
}

async fn a_text_with_what_looks_like_parameters_is_run_as_it_is(place: Place) {
    let starter = place.starter().await;
    let text = "create table odd (text varchar(40));\n\
                insert into odd values ('? $1 :name %s; @x');";
    starter.database.migrate(&migrations(&[("1_odd.sql", text)]), &usual()).await.unwrap();
    assert_eq!(starter.texts("select text from odd").await, ["? $1 :name %s; @x"]);
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_a_migration_leaves_behind_does_not_lose_the_journal_on_postgres() {
    on(Place::postgres().await, |place| async move {
        let starter = place.starter().await;
        let migrations = migrations(&[(
            "1_elsewhere.sql",
            "create schema elsewhere;\nset search_path = elsewhere;\ncreate table t (id bigint);",
        )]);
        starter.database.migrate(&migrations, &usual()).await.unwrap();
        assert!(starter.has("elsewhere.t").await);
        assert!(starter.has("public.switchboard_migrations").await);
        let report = starter.database.migrate(&migrations, &usual()).await.unwrap();
        assert_eq!(report, MigrationReport::default());
    })
    .await;
}

/// Nobody could say meanwhile that it is still at work.
#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn over_one_connection_nothing_is_applied_without_a_transaction_on_postgres() {
    on(Place::postgres().await, |place| async move {
        let one = place.starter_of(1).await;
        let migrations = migrations(&[
            ("1_users.sql", "create table users (id bigint)"),
            ("2_more.sql", "-- switchboard: no-transaction\ncreate table more (id bigint);"),
        ]);
        let error = one.database.migrate(&migrations, &usual()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
        let more = "select count(*) from pg_tables where tablename in ('users', 'more')";
        assert_eq!(one.number(more).await, 1);
        let two = place.starter_of(2).await;
        assert_eq!(two.database.migrate(&migrations, &usual()).await.unwrap().applied.len(), 1);
    })
    .await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_made_concurrently_while_another_waits_for_the_lease_on_postgres() {
    on(Place::postgres().await, |place| async move {
        let (one, other) = (place.starter().await, place.starter().await);
        let migrations = migrations(&[
            ("1_users.sql", "create table users (id bigint)"),
            (
                "2_index.sql",
                "-- switchboard: no-transaction\n\
                 create index concurrently users_id on users (id);",
            ),
        ]);
        let options = usual();
        let (first, second) = futures_util::future::join(
            one.database.migrate(&migrations, &options),
            other.database.migrate(&migrations, &options),
        )
        .await;
        assert_eq!(first.unwrap().applied.len() + second.unwrap().applied.len(), 2);
        let valid = "select count(*) from pg_index where indexrelid = 'users_id'::regclass \
                     and indisvalid";
        assert_eq!(one.number(valid).await, 1);
    })
    .await;
}
