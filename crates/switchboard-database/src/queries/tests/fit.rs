//! Whether statements have the parameters that are declared.

use super::*;

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let told: Vec<_> = read(text).check(&POSTGRES).iter().map(ToString::to_string).collect();
    assert_eq!(told, expected);
}

#[test]
fn a_statement_with_the_parameters_that_are_declared_is_right() {
    check("-- name: a :one\n-- param: id int\n-- param: x\nselect :id, :x, :id, ':no'", &[]);
    check("-- name: a :one\n-- param: id int\n-- param: x\nselect $2, $1", &[]);
    check("-- name: a :one\n-- param: id int\n-- param: x\nselect ?, ?", &[]);
}

#[test]
fn where_nothing_is_declared_nothing_is_compared() {
    check("-- name: a :one\nselect :id, :x", &[]);
}

#[test]
fn a_parameter_that_is_not_used_is_told_where_it_is_declared() {
    check(
        "-- name: a :one\n-- param: id int\n-- param: x\nselect :id",
        &["a.sql:3:11: a: the parameter \"x\" is not used"],
    );
    check(
        "-- name: a :one\n-- param: id int\nselect 1",
        &["a.sql:2:11: a: the parameter \"id\" is not used"],
    );
}

#[test]
fn a_parameter_that_is_not_declared_is_told_where_it_is_used() {
    check(
        "-- name: a :one\n-- param: id int\n\n  select ':x', :id,\n  'é', :x",
        &["a.sql:5:8: a: the parameter \"x\" is not declared"],
    );
    check(
        "-- name: a :one\n-- param: id int\n  select 'é', :x, :id",
        &["a.sql:3:15: a: the parameter \"x\" is not declared"],
    );
}

#[test]
fn a_misspelt_parameter_is_told_at_both_places() {
    check(
        "-- name: a :one\n-- param: user_id int\nselect :usr_id",
        &[
            "a.sql:2:11: a: the parameter \"user_id\" is not used; did you mean \"usr_id\"?",
            "a.sql:3:8: a: the parameter \"usr_id\" is not declared; did you mean \"user_id\"?",
        ],
    );
}

#[test]
fn parameters_without_names_are_counted() {
    check(
        "-- name: a :one\n-- param: id int\nselect $1, $2",
        &["a.sql:3:1: a: there are 2 placeholders, but 1 parameters are declared"],
    );
}

#[test]
fn a_statement_that_mixes_styles_is_told() {
    let told = read("-- name: a :one\nselect :id, $1").check(&POSTGRES);
    assert_eq!(told.len(), 1);
    let told = told.iter().next().unwrap().to_string();
    assert!(told.starts_with("a.sql:2:1: a: placeholders are of two styles"), "{told}");
}

#[test]
fn a_second_statement_is_told_where_it_begins() {
    check(
        "-- name: a :exec\ndelete from a;\n-- And more;\n  delete from b;",
        &["a.sql:4:3: a: there is a second statement here, and only a script has several"],
    );
    check("-- name: a :exec\ndelete from a where x = ';';\n-- Done; all of it", &[]);
    check("-- name: a :script\ndelete from a; delete from b", &[]);
}

#[test]
fn only_the_text_that_would_be_run_is_looked_at() {
    let text = "-- name: a :one\n-- dialect: sqlite\n-- param: id\nselect 1";
    check(text, &[]);
    assert_eq!(read(text).check(&SQLITE).len(), 1);
}

#[test]
fn a_script_may_contain_what_looks_like_parameters() {
    check("-- name: a :script\nselect :id; select $1", &[]);
}
