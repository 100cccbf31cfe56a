//! Upserts of rows with one key, on every server there is.

#![cfg(test)]
#![cfg(all(feature = "sqlite", feature = "postgres", feature = "mysql"))]

use switchboard_core::{Environment, Manager, Registry, Settings};
use switchboard_database::{Database, Databases, Statements as _, Value};
use switchboard_testkit::{service_url, unique};

/// A database, and the name of a table of the test's own.
struct Place {
    db: Database,
    table: String,
    _databases: Manager<Databases>,
}

impl Place {
    async fn sqlite() -> Self {
        Self::of("sqlite::memory:", COLUMNS).await
    }

    async fn postgres() -> Self {
        Self::postgres_with(COLUMNS).await
    }

    async fn postgres_with(columns: &str) -> Self {
        let fallback = "postgres://postgres@127.0.0.1:5432/postgres";
        Self::of(&service_url("postgres", fallback), columns).await
    }

    async fn mariadb() -> Self {
        Self::of(&service_url("mariadb", "mysql://root@127.0.0.1:3306/test"), COLUMNS).await
    }

    async fn of(url: &str, columns: &str) -> Self {
        let registry = Registry::with_built_ins().unwrap();
        let databases = Manager::<Databases>::new(registry, &Environment::new()).unwrap();
        databases.configure("main", &Settings::new().with("url", url)).unwrap();
        let db = databases.get("main").await.unwrap();
        let table = unique("upserts_");
        db.execute(&format!("create table {table} ({columns})"), ()).await.unwrap();
        Self { db, table, _databases: databases }
    }

    async fn left(self) {
        self.db.execute(&format!("drop table {}", self.table), ()).await.unwrap();
    }
}

/// Puts many rows with `keys` keys in turn, and says how many rows each statement put.
async fn put(place: &Place, keys: i64, met: Met) -> Vec<u64> {
    let mut told = vec![0];
    let rows = (0..ROWS).map(|row| [row % keys, row, row]);
    let insert = place.db.bulk_insert(&place.table, &["id", "a", "b"], rows);
    let upsert = insert.progress(|progress| told.push(progress.rows)).on_conflict(&["id"]);
    let put = match met {
        Met::Replaced => upsert.await,
        Met::Updated => upsert.update(&["b"]).await,
        Met::Kept => upsert.keep().await,
    };
    assert_eq!(i64::try_from(put.unwrap()), Ok(ROWS), "all that were given are counted");
    told.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

async fn rows_with_one_key_need_no_statements_of_their_own(place: Place) {
    let table = &place.table;
    let row = format!("select a, b from {table} where id = ?");
    for keys in [1, 2, 700, ROWS / 2] {
        for met in [Met::Replaced, Met::Updated, Met::Kept] {
            place.db.execute(&format!("delete from {table}"), ()).await.unwrap();
            let statements = put(&place, keys, met).await;
            assert_eq!(statements, [1_000; 20], "{met:?} with {keys} keys");
            for first in [0, keys - 1] {
                let last = first + (ROWS - 1 - first) / keys * keys;
                let found: (i64, i64) = place.db.select_one(&row, (first,)).await.unwrap();
                let expected = match met {
                    Met::Replaced => (last, last),
                    Met::Updated => (first, last),
                    Met::Kept => (first, first),
                };
                assert_eq!(found, expected, "{met:?} with {keys} keys");
            }
        }
    }
    place.left().await;
}

/// Whoever is to blame is named as it was given, whatever was put together before it.
async fn the_row_that_is_to_blame_is_named_among_rows_with_one_key(place: Place) {
    let table = &place.table;
    let too_large = Value::from("9223372036854775808");
    let row = |at: i64| {
        let a = if at == 1_234 { too_large.clone() } else { Value::from(at) };
        [Value::from(if at == 1_234 { -1 } else { at % 3 }), a, Value::Null]
    };
    let rows = (0..2_000).map(row);
    let put =
        place.db.bulk_insert(&place.table, &["id", "a", "b"], rows).on_conflict(&["id"]).await;
    assert_eq!(put.unwrap_err().context_value("row"), Some("1235"));
    let count = format!("select count(*) from {table}");
    assert_eq!(place.db.select_value::<i64>(&count, ()).await.unwrap(), 0);
    place.left().await;
}

#[derive(Clone, Copy, Debug)]
enum Met {
    Replaced,
    Updated,
    Kept,
}

macro_rules! on_server {
    ($name:ident, $server:ident) => {
        mod $name {
            use super::Place;

            #[tokio::test]
            async fn rows_with_one_key_need_no_statements_of_their_own() {
                super::rows_with_one_key_need_no_statements_of_their_own(Place::$server().await)
                    .await;
            }
        }
    };
}

on_server!(on_sqlite, sqlite);
on_server!(on_postgres, postgres);
on_server!(on_mariadb, mariadb);

#[tokio::test]
async fn the_row_that_is_to_blame_is_named_among_rows_with_one_key_on_postgres() {
    the_row_that_is_to_blame_is_named_among_rows_with_one_key(Place::postgres().await).await;
}

/// Which no program sees before.
#[tokio::test]
async fn rows_that_only_the_server_finds_to_have_one_key_are_put_one_after_the_other() {
    let place = Place::postgres_with("id numeric primary key, a bigint").await;
    let table = &place.table;
    let rows = ["1", "1.0", "1.00", "2"].into_iter().zip(1_i64..);
    let rows = rows.map(|(id, a)| [Value::Decimal(id.parse().unwrap()), Value::from(a)]);
    place.db.bulk_insert(&place.table, &["id", "a"], rows).on_conflict(&["id"]).await.unwrap();
    let found: Vec<i64> =
        place.db.select(&format!("select a from {table} order by id"), ()).await.unwrap();
    assert_eq!(found, [3, 4]);
    place.left().await;
}

const COLUMNS: &str = "id bigint primary key, a bigint, b bigint";

const ROWS: i64 = 20_000;
