//! Many rows at once.

use switchboard_core::{ErrorKind, Outcome};

use super::{Scratch, count, once, text, value};
use crate::{Begin, BulkTarget, State, Value};

const T: BulkTarget<'_> = BulkTarget::new("t", &["id", "na`me"]);

const CREATE: &str = "CREATE TABLE t (id INT PRIMARY KEY, `na``me` VARCHAR(20) NOT NULL)";

fn rows(count: i64) -> Vec<Vec<Value>> {
    (1..=count).map(|id| vec![Value::Int(id), text("x'\\\n")]).collect()
}

#[tokio::test]
async fn many_rows_are_inserted_at_once_on_mariadb() {
    let scratch = Scratch::new().await;
    let mut connection = scratch.connect().await;
    connection.script(CREATE).await.unwrap();
    assert_eq!(connection.bulk(T, &[]).await.unwrap(), 0);
    assert_eq!(connection.bulk(T, &rows(2_501)).await.unwrap(), 2_501);
    assert_eq!(connection.state(), State::Idle);
    assert_eq!(count(&mut connection, "t").await, 2_501);
    let sum = value(&mut connection, "SELECT CAST(SUM(id) AS INT) FROM t", &[]).await;
    assert_eq!(sum, Value::Int(2_501 * 2_502 / 2));
    let table = format!("{}.t", scratch.name);
    let target = BulkTarget { table: &table, ..T };
    assert_eq!(connection.bulk(target, &[vec![Value::Int(0), text("")]]).await.unwrap(), 1);
    connection.close().await.unwrap();
    scratch.drop().await;
}

#[tokio::test]
async fn one_bad_row_keeps_all_out_and_is_named_on_mariadb() {
    let scratch = Scratch::new().await;
    let mut connection = scratch.connect().await;
    connection.script(CREATE).await.unwrap();
    let cases = [
        (vec![Value::Int(77), text("s3cret")], ErrorKind::AlreadyExists),
        (vec![Value::Int(0), text(&"s3cret".repeat(9))], ErrorKind::InvalidInput),
        (vec![Value::Int(0), Value::Null], ErrorKind::InvalidInput),
        (vec![Value::Int(0), Value::Float(f64::NAN)], ErrorKind::InvalidInput),
        (vec![Value::Int(0)], ErrorKind::InvalidInput),
    ];
    for (bad, kind) in cases {
        for position in [100, 1_700, 2_500] {
            for is_inside in [false, true] {
                if is_inside {
                    connection.begin(&Begin::default()).await.unwrap();
                    let mine = "INSERT INTO t VALUES (-1, 'mine')";
                    once(&mut connection, mine, &[]).await.unwrap();
                }
                let mut rows = rows(2_500);
                rows[position - 1].clone_from(&bad);
                let error = connection.bulk(T, &rows).await.unwrap_err();
                assert_eq!((error.kind(), error.outcome()), (kind, Outcome::NotApplied));
                assert_eq!(error.context_value("row"), Some(&*position.to_string()), "{error:?}");
                assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
                assert_eq!(count(&mut connection, "t").await, i64::from(is_inside));
                connection.rollback().await.unwrap();
            }
        }
    }
    let nowhere = BulkTarget { table: "nothing", ..T };
    let error = connection.bulk(nowhere, &rows(3)).await.unwrap_err();
    assert_eq!((error.kind(), connection.state()), (ErrorKind::InvalidInput, State::Idle));
    assert_eq!(error.context_value("row"), None);
    connection.close().await.unwrap();
    scratch.drop().await;
}

#[tokio::test]
async fn values_of_different_kinds_come_into_one_column_as_they_are_on_mariadb() {
    let scratch = Scratch::new().await;
    let mut connection = scratch.connect().await;
    connection.script("CREATE TABLE t (id BIGINT UNSIGNED, v TEXT)").await.unwrap();
    let rows = [
        (Value::UInt(u64::MAX), text("ä")),
        (Value::Int(7), Value::Null),
        (Value::Null, Value::Int(-1)),
        (Value::Int(8), Value::Float(0.5)),
        (text("9"), Value::Bytes(b"bytes".to_vec())),
        (Value::Bool(true), Value::Date(crate::Date::from_days(0))),
    ];
    let rows: Vec<_> = rows.into_iter().map(|(id, v)| vec![id, v]).collect();
    let target = BulkTarget::new("t", &["id", "v"]);
    connection.bulk(target, &rows).await.unwrap();
    let all = "SELECT GROUP_CONCAT(CONCAT_WS('=', id, v) SEPARATOR ' ') FROM t";
    let expected = "18446744073709551615=ä 7 -1 8=0.5 9=bytes 1=1970-01-01";
    assert_eq!(value(&mut connection, all, &[]).await, text(expected));
    // The same kinds, some of them missing.
    let rows: Vec<_> = rows[..3].iter().map(|row| vec![Value::Null, row[1].clone()]).collect();
    assert_eq!(connection.bulk(target, &rows[..2]).await.unwrap(), 2);
    let found = value(&mut connection, "SELECT COUNT(*) FROM t WHERE v = 'ä'", &[]).await;
    assert_eq!(found, Value::Int(2));
    connection.close().await.unwrap();
    scratch.drop().await;
}

#[tokio::test]
async fn a_deadlock_among_many_rows_is_a_conflict_and_takes_all_back_on_mariadb() {
    let scratch = Scratch::new().await;
    let (mut one, mut other) = (scratch.connect().await, scratch.connect().await);
    one.script(CREATE).await.unwrap();
    let row = |id| vec![vec![Value::Int(id), text("")]];
    for (connection, id) in [(&mut one, 1), (&mut other, 2)] {
        connection.begin(&Begin::default()).await.unwrap();
        connection.bulk(T, &row(id)).await.unwrap();
    }
    let (to_one, to_other) = (row(2), row(1));
    let (first, second) = tokio::join!(one.bulk(T, &to_one), other.bulk(T, &to_other));
    let (victim, answer) = if first.is_err() { (&one, first) } else { (&other, second) };
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(victim.state(), State::Idle);
    // The other one still holds what the server would wait for.
    one.rollback().await.unwrap();
    other.rollback().await.unwrap();
    assert_eq!(count(&mut one, "t").await, 0);
    scratch.drop().await;
}

#[tokio::test]
async fn a_row_the_server_does_not_take_is_named_and_leaves_the_connection_usable_on_mariadb() {
    let scratch = Scratch::new().await;
    let mut connection = scratch.connect().await;
    connection.script("CREATE TABLE t (id INT, `na``me` LONGBLOB)").await.unwrap();
    let max = value(&mut connection, "SELECT @@max_allowed_packet", &[]).await;
    let Value::Int(max) = max else { panic!("{max:?}") };
    let row = |bytes: i64| vec![Value::Int(1), Value::Bytes(vec![7; bytes.try_into().unwrap()])];
    for state in [State::Idle, State::InTransaction] {
        if state == State::InTransaction {
            connection.begin(&Begin::default()).await.unwrap();
        }
        for bytes in [max - 40, max, max + 10] {
            let error = connection.bulk(T, &[row(1), row(bytes)]).await.unwrap_err();
            assert_eq!((error.kind(), connection.state()), (ErrorKind::TooLarge, state));
            assert_eq!(error.context_value("row"), Some("2"));
            assert_eq!(error.outcome(), Outcome::NotApplied);
        }
        assert_eq!(connection.bulk(T, &[row(1), row(max - 80)]).await.unwrap(), 2);
    }
    connection.rollback().await.unwrap();
    connection.close().await.unwrap();
    scratch.drop().await;
}
