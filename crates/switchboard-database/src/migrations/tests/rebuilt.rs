//! Tables of `SQLite` that are made anew, as the rules about migrations advise it.

use super::place::{Place, on};
use super::{migrations, usual};

const USERS: &str = "\
create table users (id integer primary key);
create table notes (id integer primary key, user integer references users on delete cascade);
insert into users values (1);
insert into notes values (7, 1);";

const REBUILT: &str = "\
create table new_users (id integer primary key, mail text);
insert into new_users (id) select id from users;
drop table users;
alter table new_users rename to users;";

/// How many notes are left once `second` was applied, and whether they are looked after again.
async fn left_after(place: &Place, second: &str) -> (i64, i64) {
    let starter = place.starter().await;
    let migrations = migrations(&[("0001_users.sql", USERS), ("0002_rebuilt.sql", second)]);
    starter.database.migrate(&migrations, &usual()).await.unwrap();
    assert_eq!(starter.number("select count(*) from pragma_table_info('users')").await, 2);
    let notes = starter.number("select count(*) from notes").await;
    (notes, starter.number("pragma foreign_keys").await)
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_refer_to_a_table_stay_when_it_is_made_anew_without_foreign_keys() {
    on(Place::sqlite(), async |place| {
        let text = format!(
            "-- switchboard: no-transaction\npragma foreign_keys = off;\n{REBUILT}\n\
             pragma foreign_keys = on;"
        );
        assert_eq!(left_after(&place, &text).await, (1, 1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_refer_to_a_table_go_when_it_is_made_anew_in_a_transaction() {
    on(Place::sqlite(), async |place| {
        let text = format!("pragma defer_foreign_keys = on;\n{REBUILT}");
        assert_eq!(left_after(&place, &text).await, (0, 1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_a_transaction_begins_none_either() {
    on(Place::sqlite(), async |place| {
        let starter = place.starter().await;
        let text = "-- switchboard: no-transaction\nbegin;\ncreate table a (id integer);\ncommit;";
        let migrations = migrations(&[("0001_a.sql", text)]);
        let error = starter.database.migrate(&migrations, &usual()).await.unwrap_err();
        let places: Vec<_> =
            error.related().iter().map(|error| error.context_value("file").unwrap()).collect();
        assert_eq!(places, ["0001_a.sql:2", "0001_a.sql:4"], "{error:?}");
        assert!(!starter.has("a").await);
    })
    .await;
}
