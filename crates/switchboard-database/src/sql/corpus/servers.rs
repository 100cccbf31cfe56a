//! Whether the servers see the same placeholders as we do.

use std::collections::BTreeSet;

use super::*;
use crate::sql::{Filter, OrderBy, Page};
use crate::{Params, Value};

#[cfg(feature = "sqlite")]
#[test]
fn sqlite_counts_the_same_placeholders() {
    let connection = rusqlite::Connection::open_in_memory().unwrap();
    connection.execute_batch("create table t (id integer primary key, name, data, at)").unwrap();
    for (sql, wanted) in converted(&SQLITE, &[COMMON, ON_SQLITE]) {
        let statement = connection.prepare(&sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(statement.parameter_count(), wanted, "{sql}");
    }
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn postgres_counts_the_same_placeholders() {
    let table = "create temp table t
        (id int primary key, name text, data jsonb, tags text[], at timestamptz)";
    let url = server("SWITCHBOARD_TEST_POSTGRES_URL", "postgres://postgres@127.0.0.1/postgres");
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    let count = async {
        client.batch_execute(table).await.unwrap();
        for (sql, wanted) in converted(&POSTGRES, &[COMMON, ON_POSTGRES]) {
            let statement =
                client.prepare(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
            assert_eq!(statement.params().len(), wanted, "{sql}");
        }
    };
    tokio::select! {
        () = count => {}
        end = connection => panic!("the connection ended: {end:?}"),
    }
}

#[cfg(feature = "mysql")]
#[tokio::test]
async fn mysql_counts_the_same_placeholders() {
    use mysql_async::prelude::Queryable;

    let url = server("SWITCHBOARD_TEST_MARIADB_URL", "mysql://root@127.0.0.1/mysql");
    let options = mysql_async::Opts::from_url(&url).unwrap();
    let mut connection = mysql_async::Conn::new(options).await.unwrap();
    let database = format!("switchboard_corpus_{}", std::process::id());
    connection.query_drop(format!("create database {database}")).await.unwrap();
    let outcome = count_on_mysql(&mut connection, &database).await;
    connection.query_drop(format!("drop database {database}")).await.unwrap();
    connection.disconnect().await.unwrap();
    assert_eq!(outcome, Vec::<String>::new());
}

/// What the server sees otherwise.
#[cfg(feature = "mysql")]
async fn count_on_mysql(connection: &mut mysql_async::Conn, database: &str) -> Vec<String> {
    use mysql_async::prelude::Queryable;

    let table = "create table t (id int primary key, name varchar(100), data text, at timestamp)";
    connection.query_drop(format!("use {database}")).await.unwrap();
    connection.query_drop(table).await.unwrap();
    let mut wrong = Vec::new();
    for (sql, wanted) in converted(&MYSQL, &[COMMON, ON_MYSQL]) {
        match connection.prep(&sql).await {
            Ok(statement) if usize::from(statement.num_params()) == wanted => {}
            Ok(statement) => wrong.push(format!("{sql}: {}", statement.num_params())),
            Err(error) => wrong.push(format!("{sql}: {error}")),
        }
    }
    wrong
}

/// Each text that a server is sent for what is written in any of the styles, with its placeholders.
fn converted(dialect: &'static Dialect, statements: &[&[&str]]) -> BTreeSet<(String, usize)> {
    let pairs = statements.concat().into_iter().flat_map(|one| STYLES.map(|style| (one, style)));
    let texts = pairs.map(|(statement, style)| {
        let (written, _, wanted) = written(statement, style, dialect);
        let template = Template::parse(&*written, dialect).unwrap();
        let is_repeated = dialect.placeholder == Placeholder::Question;
        let sent = if is_repeated { pieces(statement).len() - 1 } else { wanted };
        (template.sql().to_string(), sent)
    });
    texts.chain(made(dialect)).collect()
}

/// Texts that we make ourselves: lists without values, filters, orders, pages, counts.
fn made(dialect: &'static Dialect) -> Vec<(String, usize)> {
    let allowed = &[("id", "t.id"), ("name", "name")];
    let filter = Filter::contains("name", "x", allowed).unwrap().not();
    let filter = filter.or(Filter::between("id", 1, 2, allowed).unwrap());
    let filter = filter.and(Filter::in_list("id", [1, 2], allowed).unwrap());
    let order = OrderBy::parse("-id:nulls_first,name:nulls_last", allowed).unwrap();
    let mut made = Vec::new();
    for lists in ["id in (:none)", "name not in (:none)", "at in :none and id not in (:some, 3)"] {
        let sql = format!("select id from t where {lists} or id = :id -- a\n");
        let some = Value::Array(vec![Value::Int(1), Value::Int(2)]);
        let mut params = vec![("none", Value::Array(vec![])), ("id", Value::Int(1))];
        params.extend(lists.contains(":some").then_some(("some", some)));
        let bound = Template::parse(sql, dialect).unwrap().bind(Params::named(params)).unwrap();
        let filtered = bound.clone().filtered(&filter, dialect).unwrap();
        let counted = filtered.clone().counted(dialect).unwrap();
        let ordered = filtered.ordered(&order, dialect).unwrap();
        let paged = ordered.paged(Page::new(2, 10).unwrap(), dialect).unwrap();
        made.extend(
            [bound, counted, paged].map(|bound| (bound.sql.to_string(), bound.values.len())),
        );
    }
    made
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
#[expect(clippy::disallowed_methods, reason = "a test is told where its server is")]
fn server(variable: &str, otherwise: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| otherwise.to_owned())
}
