//! Many rows at once.

use super::*;
use crate::{BulkTarget, Decimal};

#[tokio::test]
async fn many_rows_of_every_kind_are_inserted_on_postgres() {
    let mut connection = connect().await;
    let table = Table::new(
        &mut connection,
        "\"Id\" int8, n numeric, t text, d date, b bytea, a int4[], u uuid",
    )
    .await;
    let columns = ["Id", "n", "t", "d", "b", "a", "u"];
    let path = format!("public.{}", table.0);
    let target = BulkTarget::new(&path, &columns);
    let row = |day: Value, id: Value| {
        vec![
            Value::Int(7),
            Value::Decimal(Decimal::from_text("1.50")),
            text("a\tb\\\n\r"),
            day,
            Value::Bytes(vec![0, 92]),
            Value::Array(vec![Value::Int(1), Value::Null]),
            id,
        ]
    };
    let binary = row(Value::Date(crate::Date::from_days(0)), Value::Uuid([0; 16]));
    let as_text = row(text("1970-01-01"), text("00000000-0000-0000-0000-000000000000"));
    let nothing = vec![Value::Null; 7];
    assert_eq!(connection.bulk(target, &[]).await.unwrap(), 0);
    assert_eq!(connection.bulk(target, &[binary.clone(), nothing.clone()]).await.unwrap(), 2);
    assert_eq!(connection.bulk(target, &[as_text, nothing.clone()]).await.unwrap(), 2);
    let found =
        connection.rows(&format!("select * from {} order by 1", table.0), &[]).await.unwrap();
    assert_eq!(found, [binary.clone(), binary, nothing.clone(), nothing]);
    table.drop().await;
}

#[tokio::test]
async fn a_hundred_thousand_rows_are_inserted_as_one_on_postgres() {
    let mut connection = connect().await;
    let table = Table::new(&mut connection, "id int8 primary key, name text").await;
    let target = BulkTarget::new(&table.0, &["id", "name"]);
    let mut rows: Vec<_> = (0..100_000).map(|i| vec![Value::Int(i), text("a name")]).collect();
    assert_eq!(connection.bulk(target, &rows).await.unwrap(), 100_000);
    assert_eq!(table.count(&mut connection).await, 100_000);

    // One that is there already, at the end of others that are not.
    let ids = (100_001..200_000).chain([0]);
    for (row, id) in rows.iter_mut().zip(ids) {
        row[0] = Value::Int(id);
    }
    let error = connection.bulk(target, &rows).await.unwrap_err();
    assert_eq!(Violation::of(&error), Some(Violation::Unique), "{error:?}");
    assert_eq!(error.context_value("row"), Some("100000"));
    assert_eq!(table.count(&mut connection).await, 100_000);
    table.drop().await;
}

#[tokio::test]
async fn a_row_that_does_not_fit_is_named_and_none_is_inserted_on_postgres() {
    let mut connection = connect().await;
    let table = Table::new(&mut connection, "id int4 check (id > 0), day date").await;
    let target = BulkTarget::new(&table.0, &["id", "day"]);
    let good = vec![Value::Int(1), Value::Null];
    let cases = [
        (vec![text("secret-4711"), Value::Null], ErrorKind::InvalidInput),
        (vec![Value::Int(1), text("secret-4711")], ErrorKind::InvalidInput),
        (vec![Value::Int(-1), Value::Null], ErrorKind::InvalidInput),
        (vec![Value::Int(1)], ErrorKind::InvalidInput),
    ];
    for (bad, kind) in cases {
        let error = connection.bulk(target, &[good.clone(), good.clone(), bad]).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert_eq!(error.context_value("row"), Some("3"), "{error:?}");
        assert!(!format!("{error:?}").contains("4711"), "{error:?}");
        assert_eq!((connection.state(), table.count(&mut connection).await), (State::Idle, 0));
    }
    connection.script(&format!("alter table {} add name text", table.0)).await.unwrap();
    let named = BulkTarget::new(&table.0, &["id", "name"]);
    let rows = ["good", "a\0b"].map(|name| vec![Value::Int(1), text(name)]);
    let error = connection.bulk(named, &rows).await.unwrap_err();
    let told = ["row", "column"].map(|key| error.context_value(key));
    assert_eq!((error.kind(), told), (ErrorKind::InvalidInput, [Some("2"), Some("name")]));
    assert!(error.message().contains("NUL"), "{error:?}");
    let missing = BulkTarget::new("no_such_table", &["id"]);
    let error = connection.bulk(missing, &[vec![Value::Int(1)]]).await.unwrap_err();
    assert_eq!(error.context_value("code"), Some("42P01"));
    table.drop().await;
}

#[tokio::test]
async fn rows_told_apart_by_what_is_no_key_are_refused_with_what_is_missing_on_postgres() {
    let mut connection = connect().await;
    let table = Table::new(&mut connection, "id int4 primary key, name text").await;
    let insert = format!("insert into {} values (1, 'Ada') on conflict", table.0);
    let error = connection.does(&format!("{insert} (name) do nothing"), &[]).await.unwrap_err();
    assert!(advice::is_no_such_key(&error), "{error:?}");
    assert_eq!(error.context_value("code"), Some("42P10"));
    let other = "select distinct on (a) a from (values (1, 2)) as t (a, b) order by b";
    let error = connection.one(other, &[]).await.unwrap_err();
    assert_eq!(error.context_value("code"), Some("42P10"));
    assert!(!advice::is_no_such_key(&error), "{error:?}");
    table.drop().await;
}

#[tokio::test]
async fn rows_that_may_not_be_inserted_are_refused_and_the_session_goes_on_on_postgres() {
    let mut connection = connect().await;
    let table = Table::new(&mut connection, "id int4").await;
    let target = BulkTarget::new(&table.0, &["id"]);
    let grant = format!("grant select on {} to pg_monitor; set role pg_monitor", table.0);
    connection.script(&grant).await.unwrap();
    for state in [State::Idle, State::InTransaction] {
        if state == State::InTransaction {
            connection.begin(&Begin::default()).await.unwrap();
        }
        for _ in 0..3 {
            let error = connection.bulk(target, &[vec![Value::Int(1)]]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
            assert_eq!((error.outcome(), connection.state()), (Outcome::NotApplied, state));
            assert_eq!(connection.one("select 7", &[]).await.unwrap(), Value::Int(7));
            connection.ping().await.unwrap();
        }
    }
    connection.rollback().await.unwrap();
    assert_eq!(table.count(&mut connection).await, 0);
    table.drop().await;
}

#[tokio::test]
async fn many_rows_that_fail_take_nothing_else_of_the_transaction_with_them_on_postgres() {
    let mut connection = connect().await;
    let table = Table::new(&mut connection, "id int4 primary key, day text").await;
    let target = BulkTarget::new(&table.0, &["id"]);
    connection.begin(&Begin::default()).await.unwrap();
    connection.does(&format!("insert into {} values (1)", table.0), &[]).await.unwrap();
    let rows = |ids: std::ops::Range<i64>| ids.map(|id| vec![Value::Int(id)]).collect::<Vec<_>>();
    let error = connection.bulk(target, &rows(0..2)).await.unwrap_err();
    assert_eq!(Violation::of(&error), Some(Violation::Unique), "{error:?}");
    assert_eq!((error.context_value("row"), connection.state()), (Some("2"), State::InTransaction));
    assert_eq!(connection.bulk(target, &rows(2..4)).await.unwrap(), 2);
    connection.commit().await.unwrap();
    assert_eq!(table.count(&mut connection).await, 3);
    table.drop().await;
}

/// Two tables in one: who asks as `pg_monitor` may have the rows whose `owner` is that.
async fn secured(connection: &mut PostgresConnection) -> Table {
    let table = Table::new(connection, "id int4 primary key, owner text, n numeric(9, 2)").await;
    let sql = format!(
        "alter table {0} enable row level security; grant select, insert on {0} to pg_monitor; \
         create policy own on {0} using (owner = current_user) with check (owner = current_user); \
         set role pg_monitor",
        table.0
    );
    connection.script(&sql).await.unwrap();
    table
}

fn owned(id: i64, owner: &str) -> Vec<Value> {
    vec![Value::Int(id), text(owner), Value::Decimal(Decimal::from_text("1.50"))]
}

const OWNED: &[&str] = &["id", "owner", "n"];

#[tokio::test]
async fn many_rows_are_inserted_where_row_security_holds_on_postgres() {
    let mut connection = connect().await;
    let table = secured(&mut connection).await;
    let target = BulkTarget::new(&table.0, OWNED);
    let rows: Vec<_> = (0..2_500).map(|id| owned(id, "pg_monitor")).collect();
    assert_eq!(connection.bulk(target, &rows).await.unwrap(), 2_500);
    assert_eq!(connection.state(), State::Idle);
    assert_eq!(table.count(&mut connect().await).await, 2_500);
    connection.begin(&Begin::default()).await.unwrap();
    connection.bulk(target, &[owned(2_500, "pg_monitor")]).await.unwrap();
    assert_eq!(connection.state(), State::InTransaction);
    connection.rollback().await.unwrap();
    assert_eq!(table.count(&mut connect().await).await, 2_500);
    connection.script("reset role").await.unwrap();
    table.drop().await;
}

#[tokio::test]
async fn a_row_that_row_security_refuses_is_named_and_none_is_inserted_on_postgres() {
    let mut connection = connect().await;
    let table = secured(&mut connection).await;
    let target = BulkTarget::new(&table.0, OWNED);
    let cases = [
        (owned(9_999, "4711-else"), ErrorKind::PermissionDenied),
        (owned(3, "pg_monitor"), ErrorKind::AlreadyExists),
    ];
    for (bad, kind) in cases {
        for position in [0, 999, 1_000, 1_499] {
            let mut rows: Vec<_> = (10..1_510).map(|id| owned(id, "pg_monitor")).collect();
            connection.begin(&Begin::default()).await.unwrap();
            connection.bulk(target, &[owned(3, "pg_monitor")]).await.unwrap();
            rows[position].clone_from(&bad);
            let error = connection.bulk(target, &rows).await.unwrap_err();
            assert_eq!((error.kind(), error.outcome()), (kind, Outcome::NotApplied), "{error:?}");
            assert_eq!(error.context_value("row"), Some(&*(position + 1).to_string()));
            assert!(!format!("{error:?}").contains("4711"), "{error:?}");
            assert_eq!(connection.state(), State::InTransaction);
            assert_eq!(table.count(&mut connection).await, 1);
            connection.rollback().await.unwrap();
        }
    }
    table.drop().await;
}

#[tokio::test]
async fn many_rows_are_inserted_through_a_view_on_postgres() {
    let mut connection = connect().await;
    let table = Table::new(&mut connection, "id int4, day date").await;
    let view = format!("{}_v", table.0);
    connection.script(&format!("create view {view} as select * from {}", table.0)).await.unwrap();
    let target = BulkTarget::new(&view, &["id", "day"]);
    // In both forms: the server refuses one of them before, and the other after it has said yes.
    let days = [Value::Date(crate::Date::from_days(0)), text("1970-01-01")];
    for (before, day) in (0..).step_by(2).zip(days) {
        let rows = [vec![Value::Int(before), day.clone()], vec![Value::Int(before + 1), day]];
        assert_eq!(connection.bulk(target, &rows).await.unwrap(), 2);
        assert_eq!(table.count(&mut connection).await, before + 2);
        connection.ping().await.unwrap();
    }
    // What nobody can insert into, by neither way.
    let sum = format!("create materialized view {view}_m as select id, day from {}", table.0);
    connection.script(&sum).await.unwrap();
    let name = format!("{view}_m");
    let target = BulkTarget { table: &name, ..target };
    for day in [Value::Null, text("1970-01-01")] {
        let error = connection.bulk(target, &[vec![Value::Int(1), day]]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:?}");
        assert_eq!((error.outcome(), connection.state()), (Outcome::NotApplied, State::Idle));
        assert_eq!(connection.one("select 7", &[]).await.unwrap(), Value::Int(7));
    }
    connection.script(&format!("drop view {view}; drop materialized view {name}")).await.unwrap();
    table.drop().await;
}

#[tokio::test]
async fn what_a_trigger_refuses_is_not_tried_in_another_way_on_postgres() {
    let mut connection = connect().await;
    let table = Table::new(&mut connection, "id int").await;
    let function = format!("{}_f", table.0);
    let calls = format!("{}_s", table.0);
    let trigger = format!(
        "create sequence {calls}; \
         create function {function}() returns trigger language plpgsql as $$ begin \
         perform nextval('{calls}'); \
         raise exception 'no' using errcode = 'feature_not_supported'; end $$; \
         create trigger g before insert on {} for each row execute function {function}()",
        table.0
    );
    connection.script(&trigger).await.unwrap();
    let target = BulkTarget::new(&table.0, &["id"]);
    let error = connection.bulk(target, &[vec![Value::Int(1)]]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
    let called = connection.one(&format!("select last_value from {calls}"), &[]).await.unwrap();
    assert_eq!(called, Value::Int(1));
    table.drop().await;
    let drop = format!("drop function {function}(); drop sequence {calls}");
    connection.script(&drop).await.unwrap();
}

#[tokio::test]
async fn a_column_that_became_another_type_gets_values_of_that_on_postgres() {
    let mut connection = connect().await;
    let table = Table::new(&mut connection, "n int8").await;
    let target = BulkTarget::new(&table.0, &["n"]);
    connection.bulk(target, &[vec![Value::Int(7)]]).await.unwrap();
    let alter = format!("alter table {} alter n type float8", table.0);
    connect().await.script(&alter).await.unwrap();
    connection.bulk(target, &[vec![Value::Int(7)]]).await.unwrap();
    let sum = connection.one(&format!("select sum(n) from {}", table.0), &[]).await;
    assert_eq!(sum.unwrap(), Value::Float(14.0));
    table.drop().await;
}

#[tokio::test]
async fn the_row_is_named_and_not_a_line_of_a_trigger_on_postgres() {
    let mut connection = connect().await;
    let table = Table::new(&mut connection, "id int").await;
    let function = format!("{}_f", table.0);
    let trigger = format!(
        "create function {function}() returns trigger language plpgsql as $$ begin\n\n\n\n \
         if new.id = 2 then raise exception 'no'; end if; return new; end $$; \
         create trigger g before insert on {} for each row execute function {function}()",
        table.0
    );
    connection.script(&trigger).await.unwrap();
    let rows: Vec<_> = (1..4).map(|id| vec![Value::Int(id)]).collect();
    let target = BulkTarget::new(&table.0, &["id"]);
    let error = connection.bulk(target, &rows).await.unwrap_err();
    assert_eq!(error.context_value("row"), Some("2"), "{error:?}");
    table.drop().await;
    connection.script(&format!("drop function {function}()")).await.unwrap();
}
