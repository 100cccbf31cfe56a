use proptest::prelude::*;
use switchboard_core::ErrorKind;

use super::*;
use crate::sql::dialects::{ALL, MYSQL, POSTGRES, SQLITE};

fn parsed(sql: &str, dialect: &'static Dialect) -> Template {
    Template::parse(sql, dialect).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn ints(numbers: impl IntoIterator<Item = i64>) -> Vec<Value> {
    numbers.into_iter().map(Value::Int).collect()
}

fn positional(numbers: impl IntoIterator<Item = i64>) -> Params {
    Params::Positional(ints(numbers))
}

fn named<const N: usize>(values: [(&'static str, Value); N]) -> Params {
    Params::Named(values.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

fn bound(sql: &str, dialect: &'static Dialect, given: Params) -> (String, Vec<Value>) {
    let bound = parsed(sql, dialect).bind(given).unwrap_or_else(|error| panic!("{sql}: {error}"));
    (bound.sql.to_string(), bound.values)
}

fn refused(sql: &str, dialect: &'static Dialect, given: Params, kind: ErrorKind, told: &str) {
    let error = parsed(sql, dialect).bind(given).unwrap_err();
    assert_eq!(error.kind(), kind);
    assert_eq!(error.to_string(), told);
}

#[test]
fn a_text_that_needs_no_change_is_used_as_it_is() {
    for (sql, dialect) in [("select $1", &POSTGRES), ("select ?", &MYSQL), ("select ?1", &SQLITE)] {
        let written: Arc<str> = sql.into();
        let bound = parsed_shared(&written, dialect).bind(positional([1])).unwrap();
        assert!(Arc::ptr_eq(&bound.sql, &written));
        assert!(!bound.is_expanded);
    }
}

fn parsed_shared(written: &Arc<str>, dialect: &'static Dialect) -> Template {
    Template::parse(written.clone(), dialect).unwrap()
}

#[test]
fn a_value_that_is_wanted_twice_is_sent_twice_only_where_there_are_no_numbers() {
    let sql = "select :a, :b, :a";
    let given = || named([("b", Value::Int(2)), ("a", Value::Int(1))]);
    assert_eq!(bound(sql, &POSTGRES, given()), ("select $1, $2, $1".into(), ints([1, 2])));
    assert_eq!(bound(sql, &SQLITE, given()), ("select ?1, ?2, ?1".into(), ints([1, 2])));
    assert_eq!(bound(sql, &MYSQL, given()), ("select ?, ?, ?".into(), ints([1, 2, 1])));
}

#[test]
fn numbers_say_which_value_is_wanted() {
    let sql = "select $2, $1, $2";
    assert_eq!(bound(sql, &POSTGRES, positional([1, 2])), (sql.into(), ints([1, 2])));
    assert_eq!(bound(sql, &SQLITE, positional([1, 2])).0, "select ?2, ?1, ?2");
    assert_eq!(bound(sql, &MYSQL, positional([1, 2])), ("select ?, ?, ?".into(), ints([2, 1, 2])));
}

#[test]
fn two_styles_in_one_text_are_told_with_both_places() {
    let error = Template::parse("select ?,\n  :ü", &POSTGRES).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(
        error.to_string(),
        "invalid input: placeholders are of two styles (one: ? at 1:8, other: :name at 2:3)"
    );
}

#[test]
fn a_missing_value_is_told_with_its_place() {
    let sql = "select *\nfrom t where a = :a and b = :b";
    let given = named([("a", Value::Text("secret".into()))]);
    let told = "invalid input: a value is missing (placeholder: :b, at: 2:29)";
    refused(sql, &POSTGRES, given, ErrorKind::InvalidInput, told);
    let told = "invalid input: a value is missing (placeholder: ?, at: 1:11, values: 1)";
    refused("select ?, ?", &MYSQL, positional([1]), ErrorKind::InvalidInput, told);
}

#[test]
fn a_value_that_is_not_used_is_told_with_what_was_likely_meant() {
    let given = named([("name", Value::Null), ("nmae", Value::Text("secret".into()))]);
    let told = "invalid input: a value is not used (name: nmae); did you mean \"name\"?";
    refused("select :name", &POSTGRES, given, ErrorKind::InvalidInput, told);
    let told = "invalid input: a value is not used (number: 2)";
    refused("select $1, $3", &POSTGRES, positional([1, 2, 3]), ErrorKind::InvalidInput, told);
}

#[test]
fn values_too_many_are_told_with_both_counts() {
    let told =
        "invalid input: there are more values than placeholders (values: 3, placeholders: 1)";
    refused("select ?", &POSTGRES, positional([1, 2, 3]), ErrorKind::InvalidInput, told);
    let told =
        "invalid input: there are more values than placeholders (values: 1, placeholders: 0)";
    refused("select 1", &POSTGRES, positional([1]), ErrorKind::InvalidInput, told);
}

#[test]
fn a_value_given_twice_is_refused() {
    let given = named([("a", Value::Int(1)), ("a", Value::Int(2))]);
    let told = "invalid input: a value was given twice (name: a)";
    refused("select :a", &POSTGRES, given, ErrorKind::InvalidInput, told);
}

#[test]
fn values_given_the_other_way_are_refused() {
    let told = "invalid input: the placeholders have names, but the values were given without \
                (placeholder: :a, at: 1:8); give them by name: `params! { \"name\" => value }`, or a \
                struct in `Named`";
    refused("select :a", &POSTGRES, positional([1]), ErrorKind::InvalidInput, told);
    let told = "invalid input: the values were given by name, but the placeholders have none \
                (placeholder: ?, at: 1:8)";
    refused("select ?", &POSTGRES, named([("a", Value::Null)]), ErrorKind::InvalidInput, told);
}

#[test]
fn more_values_than_the_server_takes_are_refused_with_both_counts() {
    let many = Value::Array(ints(0..32_767));
    let told = "too large: the server takes fewer values in one statement \
                (values: 32767, values_max: 32766)";
    let sql = "select 1 where 1 in (?)";
    refused(sql, &SQLITE, Params::Positional(vec![many]), ErrorKind::TooLarge, told);
    let marks = vec!["?"; 32_767].join(",");
    refused(&marks, &SQLITE, positional(0..32_767), ErrorKind::TooLarge, told);
    let error = Template::parse("select $4000000000", &POSTGRES).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    let error = Template::parse("select $0", &POSTGRES).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_list_in_parentheses_after_in_is_written_out() {
    let list = || Value::Array(ints([7, 8]));
    let sql = "select * from t where a = :a and id in (:ids) or x in (1, :ids)";
    let given = || named([("a", Value::Int(1)), ("ids", list())]);
    assert_eq!(
        bound(sql, &POSTGRES, given()),
        (
            "select * from t where a = $1 and id in ($2, $3) or x in (1, $2, $3)".into(),
            ints([1, 7, 8])
        )
    );
    assert_eq!(
        bound(sql, &MYSQL, given()),
        (
            "select * from t where a = ? and id in (?, ?) or x in (1, ?, ?)".into(),
            ints([1, 7, 8, 7, 8])
        )
    );
    let bare = bound("select 1 in %s", &SQLITE, Params::Positional(vec![list()]));
    assert_eq!(bare, ("select 1 in (?1, ?2)".into(), ints([7, 8])));
}

#[test]
fn a_list_that_is_also_an_array_is_both() {
    let sql = "select 1 where 1 in (:a) and 2 = any(:a)";
    let (text, values) = bound(sql, &POSTGRES, named([("a", Value::Array(ints([7])))]));
    assert_eq!(text, "select 1 where 1 in ($1) and 2 = any($2)");
    assert_eq!(values, [Value::Int(7), Value::Array(ints([7]))]);
}

#[test]
fn nothing_is_in_a_list_without_values() {
    let none = || named([("a", Value::Array(vec![]))]);
    for (sql, dialect, expected) in [
        ("x in (:a)", &POSTGRES, "x = ANY('{}')"),
        ("x not  in( :a ) and y", &POSTGRES, "x <> ALL('{}') and y"),
        ("x not in :a", &POSTGRES, "x <> ALL('{}')"),
        ("x IN (:a)", &MYSQL, "x IN (SELECT NULL WHERE 1=0)"),
        ("x not in (:a)", &SQLITE, "x NOT IN (SELECT NULL WHERE 1=0)"),
    ] {
        assert_eq!(bound(sql, dialect, none()), (expected.into(), vec![]));
    }
    let told = "invalid input: a list without values can only stand alone in IN (…) \
                (placeholder: :a, at: 1:10)";
    refused("x in (1, :a)", &POSTGRES, none(), ErrorKind::InvalidInput, told);
}

#[test]
fn an_array_elsewhere_needs_a_database_that_has_arrays() {
    let array = || Params::Positional(vec![Value::Array(ints([1]))]);
    let (text, values) = bound("select ? = any(x)", &POSTGRES, array());
    assert_eq!((text.as_str(), values.len()), ("select $1 = any(x)", 1));
    let told = "unsupported: an array can stand in IN (…) only (placeholder: ?, at: 1:8)";
    refused("select ?", &MYSQL, array(), ErrorKind::Unsupported, told);
}

#[test]
fn a_variable_is_a_placeholder_where_values_are_given_by_name() {
    let sql = "select @a, @@version";
    assert_eq!(bound(sql, &MYSQL, positional([])), (sql.into(), vec![]));
    let given = named([("a", Value::Int(1))]);
    assert_eq!(bound(sql, &MYSQL, given), ("select ?, @@version".into(), ints([1])));
    let sql = "select @a := @a + 1 where id = @id";
    let given = named([("id", Value::Int(1))]);
    assert_eq!(bound(sql, &MYSQL, given).0, "select @a := @a + 1 where id = ?");
    let sql = "select @a := ?";
    assert_eq!(bound(sql, &MYSQL, positional([1])).0, sql);
}

#[test]
fn what_the_server_keeps_the_text_of_takes_no_values() {
    for sql in [
        "create function f(int) returns int begin atomic select $1; end",
        "prepare p as select $1",
        "CREATE OR REPLACE TRIGGER t BEFORE INSERT ON x BEGIN select :new.a; END",
    ] {
        assert_eq!(bound(sql, &POSTGRES, positional([])), (sql.into(), vec![]));
    }
    let sql = "create table event (rule int default ?)";
    assert_eq!(parsed(sql, &SQLITE).wanted(), 1);
}

#[test]
fn debug_shows_no_value() {
    let given = named([("a", Value::Text("secret".into()))]);
    let bound = parsed("select :a", &POSTGRES).bind(given).unwrap();
    assert!(!format!("{bound:?}").contains("secret"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_no_placeholder_comes_through_unchanged(
        parts in prop::collection::vec((prop::sample::select(LITERALS), any::<bool>()), 0..12)
    ) {
        for dialect in ALL {
            let (mut sql, mut expected, mut count) = (String::from("select 1"), String::from("select 1"), 0);
            for (literal, has_value) in &parts {
                for text in [&mut sql, &mut expected] {
                    text.push_str(", ");
                    text.push_str(literal);
                }
                if *has_value {
                    sql.push_str(", ?");
                    count += 1;
                    expected.push_str(", ");
                    expected.push_str(&dialect.placeholder.of_server(count));
                }
            }
            let template = parsed(&sql, dialect);
            prop_assert_eq!(&**template.sql(), &expected);
            prop_assert_eq!(template.wanted(), count);
        }
    }

    #[test]
    fn nothing_that_is_written_makes_it_panic(sql in "[ a?$:@%1'\"()\\[\\],;IN=.\\-/*\n\\\\]{0,40}") {
        for dialect in ALL {
            let Ok(template) = Template::parse(&*sql, dialect) else { continue };
            let values = vec![Value::Array(vec![]); template.wanted()];
            let names = template.names().map(|name| Cow::Owned(name.to_owned()));
            let _ = template.bind(Params::Named(names.zip(values.clone()).collect()));
            let _ = template.bind(Params::Positional(values));
        }
    }
}

/// Read as literals by every dialect.
const LITERALS: &[&str] = &[
    "'?'",
    "':a'",
    "'it''s ?'",
    "'$1'",
    "'%s'",
    "'%%'",
    "'@a'",
    "'-- ?'",
    "'/* ?'",
    "/* ? :a */ 1",
    "-- ? $1 '\n 2",
    "x'00'",
    "1.5e3",
    "''",
    "'??'",
    "'ü?'",
    "'\n?'",
];
