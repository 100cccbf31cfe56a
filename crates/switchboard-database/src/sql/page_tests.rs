//! Filters, orders and pages, in the text and on a real database.

use proptest::prelude::*;
use switchboard_core::{ErrorKind, Result};

use super::dialects::{ALL, MYSQL, POSTGRES, SQLITE};
use super::{Allowed, Bound, Filter, OrderBy, Page, Template};
use crate::{Dialect, Value};

const ALLOWED: &Allowed = &[("created", "u.created_at"), ("name", "name"), ("odd", "a\"`b")];

fn bound(sql: &str, values: usize, dialect: &'static Dialect) -> Bound {
    let values = (0..values).map(|number| Value::Text(format!("v{number}"))).collect();
    Template::parse(sql, dialect).unwrap().bind(crate::Params::Positional(values)).unwrap()
}

fn told(bound: Result<Bound>) -> (String, Vec<Value>) {
    let bound = bound.unwrap();
    (bound.sql.to_string(), bound.values)
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

#[test]
fn an_order_stands_before_the_limit_and_a_page_before_the_locks() {
    let order = OrderBy::parse("-created, name:nulls_last", ALLOWED).unwrap();
    let ordered = |sql, dialect| told(bound(sql, 0, dialect).ordered(&order, dialect)).0;
    assert_eq!(
        ordered("select * from u limit 5 -- end", &POSTGRES),
        "select * from u ORDER BY \"u\".\"created_at\" DESC, \"name\" NULLS LAST limit 5 -- end"
    );
    assert_eq!(
        ordered("select * from u -- end", &MYSQL),
        "select * from u ORDER BY `u`.`created_at` DESC, `name` IS NULL, `name` -- end"
    );
    let page = Page::new(3, 20).unwrap();
    let paged =
        told(bound("select * from u where a = ? for update;", 1, &POSTGRES).paged(page, &POSTGRES));
    assert_eq!(paged.0, "select * from u where a = $1 LIMIT $2 OFFSET $3 for update;");
    assert_eq!(paged.1, [text("v0"), Value::Int(20), Value::Int(40)]);
}

#[test]
fn a_filter_stands_beside_the_condition_that_is_there() {
    let filter = Filter::eq("name", "x", ALLOWED).unwrap();
    let filtered =
        |sql, values, dialect| told(bound(sql, values, dialect).filtered(&filter, dialect));
    assert_eq!(
        filtered("select * from u where a = ? or b = ? -- c\norder by ?", 3, &MYSQL),
        (
            "select * from u where (a = ? or b = ?) AND (`name` = ?) -- c\norder by ?".into(),
            vec![text("v0"), text("v1"), text("x"), text("v2")]
        )
    );
    assert_eq!(
        filtered("with w as (select 1 where 1=?) select * from w group by 1", 1, &SQLITE).0,
        "with w as (select 1 where 1=?1) select * from w WHERE \"name\" = ?2 group by 1"
    );
    assert_eq!(
        filtered("select 1 where(a)", 0, &SQLITE).0,
        "select 1 where ((a)) AND (\"name\" = ?1)"
    );
}

#[test]
fn a_query_that_says_it_itself_is_refused() {
    let (page, order) = (Page::new(1, 1).unwrap(), OrderBy::parse("name", ALLOWED).unwrap());
    let filter = Filter::is_null("name", ALLOWED).unwrap();
    let query = |sql| bound(sql, 0, &POSTGRES);
    for refused in [
        query("select 1 limit 1").paged(page, &POSTGRES),
        query("select 1 fetch first row only").paged(page, &POSTGRES),
        query("select 1 order by 1").ordered(&order, &POSTGRES),
        query("select 1 union select 2").filtered(&filter, &POSTGRES),
        query("select 1; select 2").paged(page, &POSTGRES),
        query("delete from u").filtered(&filter, &POSTGRES),
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let inner = query("select (select 1 limit 1), 'limit' as \"limit\"").paged(page, &POSTGRES);
    assert!(inner.is_ok());
}

#[test]
fn what_may_not_be_named_is_refused() {
    for written in
        ["", "password", "name;", "name desc", "--name", "name,name", "name:nulls", ",", "name,"]
    {
        let error = OrderBy::parse(written, ALLOWED).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{written}");
    }
    let error = Filter::eq("nmae", 1, ALLOWED).unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid input: there is no such column to name \
         (column: nmae, columns: created, name, odd); did you mean \"name\"?"
    );
    for page in [Page::new(0, 1), Page::new(1, 0), Page::new(1, 1_001), Page::new(u64::MAX, 1_000)]
    {
        assert_eq!(page.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn a_filter_too_deep_is_refused() {
    let one = || Filter::is_null("name", ALLOWED).unwrap();
    let deep = (0..100).fold(one(), |filter, _| filter.not());
    let error = bound("select 1", 0, &SQLITE).filtered(&deep, &SQLITE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn rows_are_counted_without_what_follows_the_query() {
    let counted = told(bound("select 1 where 1 = ?; -- end", 1, &SQLITE).counted(&SQLITE));
    assert_eq!(counted.0, "SELECT count(*) FROM (select 1 where 1 = ?1) AS counted");
}

#[test]
fn columns_are_left_out_of_a_count_where_they_do_not_matter() {
    for (sql, expected) in [
        (
            "select * from a join b where x = 1 limit 5",
            "select 1 from a join b where x = 1 limit 5",
        ),
        ("select\na.id, b.id as \"max\" from a, b", "select\n1 from a, b"),
        ("select*from a", "select*from a"),
        ("select max(id) from a", "select max(id) from a"),
        ("select distinct id from a", "select distinct id from a"),
        ("select id from a group by id", "select id from a group by id"),
        ("select id as x from a order by x", "select id as x from a order by x"),
        ("select id from a union select id from b", "select id from a union select id from b"),
        ("with c as (select 1) select * from c", "with c as (select 1) select * from c"),
        ("select 1", "select 1"),
    ] {
        let counted = told(bound(sql, 0, &SQLITE).counted(&SQLITE)).0;
        assert_eq!(counted, format!("SELECT count(*) FROM ({expected}) AS counted"));
    }
    let with_value = told(bound("select ?, id from a", 1, &SQLITE).counted(&SQLITE)).0;
    assert_eq!(with_value, "SELECT count(*) FROM (select ?1, id from a) AS counted");
}

proptest! {
    #[test]
    fn no_user_gets_a_word_into_the_text(name in "-?(name|odd|[a-z'\";)(]{0,12})", value in ".{0,12}") {
        let is_allowed = ["created", "name", "odd"].contains(&name.trim_start_matches('-'));
        prop_assert_eq!(OrderBy::parse(&name, ALLOWED).is_ok(), is_allowed);
        for dialect in ALL {
            let filter = Filter::contains("odd", &value, ALLOWED).unwrap();
            let plain = Filter::contains("odd", "", ALLOWED).unwrap();
            let query = || bound("select 1", 0, dialect);
            let (filtered, values) = told(query().filtered(&filter, dialect));
            prop_assert_eq!(filtered, told(query().filtered(&plain, dialect)).0);
            prop_assert_eq!(values.len(), 1);
        }
    }
}

#[cfg(feature = "sqlite")]
#[test]
fn sqlite_runs_what_was_made() {
    let connection = rusqlite::Connection::open_in_memory().unwrap();
    let rows = "create table u (name text, \"a\"\"`b\" text, created_at int);
        insert into u values ('50%', 'x', 3), ('500', 'y', 2), (null, 'z', 1), ('a!_b', 'x', 4);";
    connection.execute_batch(rows).unwrap();
    let check = |filter: Result<Filter>, order, expected: &[i64]| {
        let order = OrderBy::parse(order, ALLOWED).unwrap();
        let bound = bound("select created_at from u", 0, &SQLITE)
            .filtered(&filter.unwrap(), &SQLITE)
            .and_then(|bound| bound.ordered(&order, &SQLITE))
            .and_then(|bound| bound.paged(Page::new(1, 3).unwrap(), &SQLITE))
            .unwrap();
        let mut statement = connection.prepare(&bound.sql).unwrap();
        let values = bound.values.iter().map(|value| match value {
            Value::Int(number) => rusqlite::types::Value::Integer(*number),
            Value::Text(text) => rusqlite::types::Value::Text(text.clone()),
            other => panic!("{other:?} was not given"),
        });
        let rows =
            statement.query_map(rusqlite::params_from_iter(values), |row| row.get(0)).unwrap();
        assert_eq!(rows.collect::<Result<Vec<i64>, _>>().unwrap(), expected, "{}", bound.sql);
    };
    check(Filter::contains("name", "0%", ALLOWED), "created", &[3]);
    check(Filter::contains("name", "!_", ALLOWED), "created", &[4]);
    check(Filter::eq("name", Value::Null, ALLOWED), "created", &[1]);
    check(Filter::ne("name", Value::Null, ALLOWED), "-created", &[4, 3, 2]);
    check(Filter::in_list("created", [1, 2, 9], ALLOWED), "name:nulls_last", &[2, 1]);
    check(Filter::in_list("created", [0; 0], ALLOWED), "name", &[]);
    check(Filter::between("created", 2, 3, ALLOWED).map(Filter::not), "created", &[1, 4]);
    let either =
        Filter::eq("odd", "x", ALLOWED).unwrap().and(Filter::lt("created", 4, ALLOWED).unwrap());
    check(Ok(either.or(Filter::le("created", 1, ALLOWED).unwrap())), "name:nulls_first", &[1, 3]);
}
