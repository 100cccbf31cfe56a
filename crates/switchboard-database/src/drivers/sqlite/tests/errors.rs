//! What goes wrong, in our words.

use switchboard_core::{Outcome, Retry};

use super::*;

async fn failure(session: &mut Session, sql: &str) -> Error {
    let error = execute(session, sql, &[]).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
    error
}

#[tokio::test]
async fn a_violated_constraint_is_named() {
    let mut session = in_memory().connect(Lane::Write).await.unwrap();
    session
        .script(
            "create table p (id integer primary key, email text unique, age integer not null, \
             a, b, constraint grown check (age > 17), check (a <> b), unique (a, b)); \
             create table c (p integer references p); create table l (email); create unique index lower_email on l (lower(email)); insert into l values ('x'); \
             insert into p values (1, 'x', 20, 1, 2); \
             create trigger t before update on p begin select raise(abort, 'never'); end",
        )
        .await
        .unwrap();
    for (sql, violation, constraint, column) in [
        ("insert into p values (1, 'y', 20, 5, 6)", Violation::Unique, Some("p.id"), Some("id")),
        (
            "insert into p values (2, 'x', 20, 5, 6)",
            Violation::Unique,
            Some("p.email"),
            Some("email"),
        ),
        ("insert into p values (2, 'y', 20, 1, 2)", Violation::Unique, Some("p.a, p.b"), None),
        ("insert into l values ('X')", Violation::Unique, Some("lower_email"), None),
        ("insert into p values (2, 'y', null, 5, 6)", Violation::NotNull, Some("age"), Some("age")),
        ("insert into p values (2, 'y', 3, 5, 6)", Violation::Check, Some("grown"), None),
        ("insert into p values (2, 'y', 20, 5, 5)", Violation::Check, Some("a <> b"), None),
        ("insert into c values (9)", Violation::ForeignKey, None, None),
    ] {
        let error = failure(&mut session, sql).await;
        assert_eq!(Violation::of(&error), Some(violation), "{sql}");
        assert_eq!(error.context_value("constraint"), constraint, "{sql}");
        assert_eq!(error.context_value("column"), column, "{sql}");
    }
    let error = failure(&mut session, "update p set age = 21").await;
    assert_eq!((error.kind(), Violation::of(&error)), (ErrorKind::InvalidInput, None));
    session.script("create table s (n integer) strict").await.unwrap();
    let error = failure(&mut session, "insert into s values ('seven')").await;
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_wrong_statement_is_invalid_and_says_what_is_not_there() {
    let mut session = in_memory().connect(Lane::Write).await.unwrap();
    session.script("create table t (id)").await.unwrap();
    for (sql, told) in [
        ("selec 1", Some("near \"selec\": syntax error")),
        ("select * from nowhere", Some("no such table: nowhere")),
        ("select missing from t", Some("no such column: missing")),
        ("select \"missing\" from t", Some("no such column: \"missing\"")),
        ("select 1; select 2", None),
        ("select 1\0", None),
        ("", None),
        (" -- nothing", None),
        ("select json('{')", None),
    ] {
        let error = failure(&mut session, sql).await;
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{sql}: {error}");
        let server = error.context_value("server");
        assert!(
            told.is_none_or(|told| server.is_some_and(|text| text.starts_with(told))),
            "{error:?}"
        );
        assert_eq!(session.state(), State::Idle);
    }
}

#[tokio::test]
async fn no_error_shows_a_value() {
    let mut session = in_memory().connect(Lane::Write).await.unwrap();
    session
        .script("create table t (n text unique check (n not like '% 2')); insert into t values ('secret 1'); \
                 create table s (n integer) strict")
        .await
        .unwrap();
    for (sql, value) in [
        ("insert into t values (?1)", "secret 1"),
        ("insert into t values (?1)", "secret 2"),
        ("insert into s values (?1)", "secret 3"),
        ("select json_extract('{}', ?1)", "$$secret 4"),
        ("select json(?1)", "secret 5"),
        ("select * from t where n match ?1", "secret 6"),
    ] {
        let error = execute(&mut session, sql, &[text(value)]).await.unwrap_err();
        assert!(!format!("{error:?} {error}").contains("secret"), "{error:?}");
        assert_ne!(error.kind(), ErrorKind::Unexpected, "{error:?}");
    }
}

#[tokio::test]
async fn a_file_that_somebody_else_has_locked_is_a_conflict() {
    let home = Home::new();
    let config = SqliteConfig { busy_timeout: Duration::from_millis(50), ..home.config() };
    let database = made(config);
    let mut session = database.connect(Lane::Write).await.unwrap();
    session.script("create table t (id)").await.unwrap();
    let other = rusqlite::Connection::open(home.path()).unwrap();
    other.execute_batch("begin exclusive").unwrap();
    let error = failure(&mut session, "insert into t values (1)").await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Conflict, Retry::Later));
    let error = session.begin(&Begin::default()).await.unwrap_err();
    assert_eq!((error.kind(), session.state()), (ErrorKind::Conflict, State::Idle));
    other.execute_batch("rollback").unwrap();
    assert_eq!(run(&mut session, "insert into t values (1)").await.affected, 1);
}

#[tokio::test]
async fn a_view_of_the_past_cannot_be_written_upon() {
    let home = Home::new();
    let (one, two) = (home.database(), home.database());
    let mut late = one.connect(Lane::Write).await.unwrap();
    let mut early = two.connect(Lane::Write).await.unwrap();
    late.script("create table t (id)").await.unwrap();
    run(&mut late, "begin deferred").await;
    run(&mut late, "select * from t").await;
    run(&mut early, "insert into t values (1)").await;
    let error = failure(&mut late, "insert into t values (2)").await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Conflict, Retry::Later));
    assert_eq!(error.context_value("code"), Some("517"));
    late.rollback().await.unwrap();
    assert_eq!(late.state(), State::Idle);
}

#[tokio::test]
async fn what_is_no_database_is_corrupt() {
    let home = Home::new();
    std::fs::write(home.path(), "hardly a database of anything".repeat(100)).unwrap();
    let error = home.database().connect(Lane::Write).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn a_full_database_is_a_quota() {
    let mut session = in_memory().connect(Lane::Write).await.unwrap();
    session.script("pragma max_page_count = 10; create table t (v)").await.unwrap();
    session.begin(&Begin::default()).await.unwrap();
    let error = failure(&mut session, "insert into t values (zeroblob(100000))").await;
    assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
    session.rollback().await.unwrap();
    assert_eq!(session.state(), State::Idle);
}

#[tokio::test]
async fn a_value_beyond_any_limit_is_too_large() {
    let mut session = in_memory().connect(Lane::Write).await.unwrap();
    let error = failure(&mut session, "select zeroblob(2000000000)").await;
    assert_eq!(error.kind(), ErrorKind::TooLarge);
}

#[tokio::test]
async fn a_script_that_fails_says_where_and_whether_something_was_done() {
    let mut session = in_memory().connect(Lane::Write).await.unwrap();
    for (sql, statement, outcome) in [
        ("selec 1; create table a (id)", "1", Outcome::NotApplied),
        ("create table a (id); insert into a values (1); selec 1", "3", Outcome::Unknown),
        ("select ?1", "1", Outcome::NotApplied),
    ] {
        let error = session.script(sql).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!((error.context_value("statement"), error.outcome()), (Some(statement), outcome));
    }
    assert_value(&value(&mut session, "select count(*) from a").await, &Value::Int(1));
    session.script("  -- nothing to do\n ; ").await.unwrap();
    let error = session.script("drop table a;\0 drop table b").await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::InvalidInput, Outcome::NotApplied));
}
