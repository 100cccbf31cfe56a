//! What is said of files in which something is wrong.

use switchboard_core::ErrorKind;

use super::*;

#[test]
fn every_mistake_of_every_file_is_told_with_its_place() {
    let error = Queries::embedded(&[
        ("a.sql", "-- name: one\nselect 1\n-- name: two :may\nselect 2"),
        ("b.sql", "-- name: three :one"),
    ])
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(error.message(), "3 mistakes in the files of named queries");
    assert_eq!(
        mistakes_of(&error),
        [
            "a.sql:1:13: one: what the query gives is missing; behind the name stands one of \
             :one :opt :many :value :exec :affected :stream :script",
            "a.sql:3:14: two: what the query gives is not understood; did you mean `:many`?",
            "b.sql:1:1: three: the query has no statement",
        ],
    );
    assert!(error.to_string().contains("a.sql:3:14: two"), "{error}");
}

#[test]
fn a_kind_without_its_colon_is_shown_with_it() {
    assert_eq!(
        mistakes_in("-- name: one many\nselect 1"),
        ["a.sql:1:14: one: what the query gives is not understood; did you mean `:many`?"],
    );
    assert_eq!(mistakes_in("-- name: one :many all\nselect 1").len(), 1);
}

#[test]
fn a_name_that_is_none_is_told() {
    let hint = "; a query begins with a line like `-- name: find_user :one`";
    let words = "the name is made of other things than words with '.' between them";
    let too_long = "x".repeat(101);
    for (name, message) in [
        ("", "the name is missing"),
        ("1st", words),
        ("a..b", words),
        ("a.", words),
        (".a", words),
        ("naïve", words),
        ("a;b", words),
        (&too_long, "the name is longer than 100 characters"),
    ] {
        let told = mistakes_in(&format!("-- name: {name}:one\nselect 1"));
        assert_eq!(told, [format!("a.sql:1:10: {message}{hint}")], "{name}");
    }
}

#[test]
fn columns_are_counted_in_characters() {
    let told = mistakes_in("-- name: é :ones\nselect 1");
    assert!(told[0].starts_with("a.sql:1:10: "), "{told:?}");
    assert!(told[1].starts_with("a.sql:1:12: "), "{told:?}");
}

#[test]
fn a_statement_before_the_first_name_is_told_once() {
    let told = mistakes_in("-- Hello\n\n  select 1\n  from x\n-- name: one :value\nselect 1");
    assert_eq!(
        told,
        ["a.sql:3:3: a statement stands before the first name; a query begins with a line like \
          `-- name: find_user :one`"],
    );
}

#[test]
fn a_query_of_comments_only_has_no_statement() {
    let told = mistakes_in("-- name: one :value\n-- nothing\n\n-- name: two :value\nselect 2");
    assert_eq!(told, ["a.sql:1:1: one: the query has no statement"]);
}

#[test]
fn a_word_that_nothing_is_known_by_is_told_above_a_statement() {
    let told = mistakes_in("-- name: one :value\n-- parm: id\n-- author: me\nselect 1");
    assert_eq!(
        told,
        [
            "a.sql:2:4: one: nothing is known by the word \"parm\"; did you mean `-- param:`?",
            "a.sql:3:4: one: nothing is known by the word \"author\"; above a statement stand `doc`, \
             `param` and `dialect`; a comment there does not begin with a small word and a colon",
        ],
    );
}

#[test]
fn what_belongs_above_a_statement_is_told_where_it_stands_elsewhere() {
    let told = mistakes_in("-- doc: all\n-- name: one :value\nselect 1\n-- Param: id\n+ 1");
    let hint = "it belongs between the name and the statement";
    assert_eq!(
        told,
        [
            format!("a.sql:1:4: `doc` stands before the first name; {hint}"),
            format!("a.sql:4:4: one: `param` stands below the beginning of a statement; {hint}"),
        ],
    );
}

#[test]
fn a_misspelt_name_does_not_hide_a_query_in_the_one_before() {
    let told = mistakes_in("-- name: one :value\nselect 1;\n-- nmae: two :value\nselect 2;");
    assert_eq!(
        told,
        ["a.sql:3:4: one: nothing is known by the word \"nmae\"; did you mean `-- name:`?"],
    );
}

#[test]
fn a_parameter_that_cannot_be_one_is_told() {
    let hint = "this is no name of a parameter; write `-- param: id uuid`";
    for (param, column) in [("", 10), (":id uuid", 11), ("a.b", 11), ("1", 11)] {
        let told = mistakes_in(&format!("-- name: one :value\n-- param: {param}\nselect 1"));
        assert_eq!(told, [format!("a.sql:2:{column}: one: {hint}")], "{param}");
    }
}

#[test]
fn a_parameter_that_is_declared_twice_is_told_with_both_places() {
    let told = mistakes_in("-- name: one :value\n-- param: id int\n-- param: id uuid\nselect :id");
    assert_eq!(
        told,
        [
            "a.sql:3:11: one: the parameter \"id\" is declared a second time; the first is at a.sql:2:11"
        ],
    );
}

#[test]
fn a_script_has_no_parameters() {
    let told = mistakes_in("-- name: one :script\n-- param: id int\nselect 1; select 2");
    assert_eq!(told, ["a.sql:2:11: one: a script has no parameters"]);
}

#[test]
fn a_dialect_is_one_word_and_said_once() {
    let told = mistakes_in("-- name: one :value\n-- dialect: my sql\n-- dialect:\nselect 1");
    let hint = "this is no name of a dialect; write `-- dialect: postgres`";
    assert_eq!(told, [format!("a.sql:2:13: one: {hint}"), format!("a.sql:3:12: one: {hint}")]);

    let told = mistakes_in("-- name: one :value\n-- dialect: a\n-- dialect: b\nselect 1");
    assert_eq!(
        told,
        [
            "a.sql:3:13: one: the text has a dialect already; a text for another dialect begins with the \
          name again"
        ],
    );
}

#[test]
fn a_name_that_is_there_twice_is_told_with_both_places() {
    let text = "-- name: one :value\nselect 1";
    let error =
        Queries::embedded(&[("a.sql", text), ("b/c.sql", &format!("\n{text}"))]).unwrap_err();
    assert_eq!(
        mistakes_of(&error),
        ["b/c.sql:2:1: one: there is a query of that name already; the first is at a.sql:1:1"],
    );

    let same = "-- name: one :value\n-- dialect: sqlite\nselect 1\n";
    assert_eq!(mistakes_in(&format!("{same}{same}")).len(), 1);
}

#[test]
fn the_texts_of_a_query_give_the_same() {
    let told = mistakes_in(
        "-- name: one :value\nselect 1\n-- name: one :many\n-- dialect: sqlite\nselect 1",
    );
    assert_eq!(
        told,
        [
            "a.sql:3:1: one: the texts of a query give the same, but this gives :many and another :value; \
          the first is at a.sql:1:1"
        ],
    );
}
