//! What is read where nothing is wrong.

use proptest::prelude::*;
use switchboard_core::ErrorKind;

use super::*;
use crate::QueryKind;

#[test]
fn a_query_is_what_stands_between_its_name_and_the_next() {
    let queries = read(
        "-- name: find_user :opt\n\
         select *\n\
         from users\n\
         \n\
         where id = :id;\n\
         \n\
         -- name: users.count :value\n\
         select count(*) from users",
    );
    assert_eq!(queries.names().collect::<Vec<_>>(), ["find_user", "users.count"]);
    let find = queries.get("find_user").unwrap();
    assert_eq!(find.kind(), QueryKind::Opt);
    assert_eq!(sql(find), "select *\nfrom users\n\nwhere id = :id;");
    assert_eq!(sql(queries.get("users.count").unwrap()), "select count(*) from users");
}

#[test]
fn every_kind_is_known_by_its_word() {
    for kind in QueryKind::ALL {
        let queries = read(&format!("-- name: it {kind}\nselect 1"));
        assert_eq!(queries.get("it").unwrap().kind(), kind);
    }
}

#[test]
fn what_is_said_above_a_statement_is_kept() {
    let queries = read(
        "-- name: find_user :opt\n\
         -- doc: The user with that number.\n\
         -- doc: There may be none.\n\
         -- param: id bigint, of a user\n\
         -- param: team\n\
         -- A comment of no consequence, see https://example.org\n\
         -- https://example.org/why\n\
         -- NB: think of more\n\
         select 1",
    );
    let query = queries.get("find_user").unwrap();
    assert_eq!(query.doc(), Some("The user with that number.\nThere may be none."));
    assert_eq!(query.place().to_string(), "a.sql:1:1");
    let text = query.texts().next().unwrap();
    let params = text.params().iter().map(|param| (param.name(), param.type_name()));
    assert_eq!(params.collect::<Vec<_>>(), [("id", Some("bigint, of a user")), ("team", None)]);
    assert_eq!(text.params()[1].place().to_string(), "a.sql:5:11");
    assert_eq!(text.sql(), "select 1");
}

#[test]
fn comments_in_a_statement_belong_to_it_and_those_behind_it_do_not() {
    let queries = read(
        "-- Queries about users: all of them.\n\
         -- name: one :value\n\
         select -- just\n\
         -- note: a\n\
         1;\n\
         \n\
         -- This is about what follows.\n\
         -- name: two :value\n\
         select 2",
    );
    assert_eq!(sql(queries.get("one").unwrap()), "select -- just\n-- note: a\n1;");
}

#[test]
fn spelling_is_free_where_it_does_not_matter() {
    for text in [
        "--name:one:value\nselect 1",
        "  --  Name:  one  :value  \n\n\n  select 1  \n\n",
        "\u{feff}-- name: one :value\r\nselect 1\r\n",
        "-- NAME: one :value\n\tselect 1",
    ] {
        assert_eq!(sql(read(text).get("one").unwrap()), "select 1", "{text:?}");
    }
}

#[test]
fn line_ends_of_another_system_change_no_statement() {
    let text = "-- name: one :value\n-- doc: a\n-- doc: b\nselect\n\n1,\n'é'\n";
    assert_eq!(sql(read(text).get("one").unwrap()), "select\n\n1,\n'é'");
    let (ours, theirs) = (read(text), read(&text.replace('\n', "\r\n")));
    assert_eq!(ours, theirs);
}

#[test]
fn a_name_is_kept_as_it_is_written() {
    let queries =
        read("-- name: Users.by-Id2 :opt\nselect 1\n-- name: users.by-id2 :many\nselect 2");
    assert_eq!(queries.len(), 2);
    assert_eq!(queries.get("Users.by-Id2").unwrap().name(), "Users.by-Id2");
}

#[test]
fn a_database_gets_the_text_for_its_dialect_and_else_the_one_for_all() {
    let queries = read(
        "-- name: now :value\n\
         -- dialect: Postgres\n\
         select now()\n\
         -- name: now :value\n\
         -- doc: What time it is.\n\
         select datetime('now')",
    );
    let now = queries.get("now").unwrap();
    assert_eq!(now.text(&POSTGRES).unwrap().sql(), "select now()");
    assert_eq!(now.text(&SQLITE).unwrap().sql(), "select datetime('now')");
    assert_eq!(now.doc(), Some("What time it is."));
}

#[test]
fn a_query_without_a_text_for_a_dialect_says_for_which_it_has_one() {
    let queries = read("-- name: now :value\n-- dialect: postgres\nselect now()");
    let error = queries.get("now").unwrap().text(&SQLITE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(error.context_value("dialect"), Some("sqlite"));
    assert_eq!(error.context_value("there are"), Some("postgres"));
}

#[test]
fn a_name_that_is_not_there_is_answered_with_the_one_that_was_meant() {
    let queries = read("-- name: find_user :opt\nselect 1");
    let error = queries.get("fin_user").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotRegistered);
    assert_eq!(error.hints().collect::<Vec<_>>(), ["did you mean \"find_user\"?"]);
}

#[test]
fn files_of_the_program_are_read_by_their_names() {
    let queries = crate::queries!("../sql/users.sql", "../sql/teams.sql").unwrap();
    assert_eq!(queries.names().collect::<Vec<_>>(), ["add_user", "find_user", "teams.all"]);
    let place = queries.get("teams.all").unwrap().place().to_string();
    assert_eq!(place, "../sql/teams.sql:1:1");
}

fn sql(query: &crate::Query) -> &str {
    query.texts().next().unwrap().sql()
}

proptest! {
    #[test]
    fn any_text_is_read_to_its_end(text in any::<String>()) {
        drop(Queries::embedded(&[("a.sql", &text)]));
    }

    #[test]
    fn any_lines_that_look_like_queries_are_read_to_their_end(
        lines in proptest::collection::vec(
            "( |\t|)--( |)(name|nam|doc|param|dialect|Name|x)( |):( |)[a-zé:. ]{0,12}(\r|)|select 1|", 0..20,
        ),
    ) {
        drop(Queries::embedded(&[("a.sql", &lines.join("\n"))]));
    }

    #[test]
    fn names_kinds_and_statements_come_out_as_they_were_written(
        written in proptest::collection::btree_map(
            "[a-zA-Z_][a-zA-Z0-9_-]{0,8}(\\.[a-z]{1,3})?",
            (0..8_usize, "[a-z(][a-z :'$é\t-]{0,12}(\n\n?[a-z ,;'-]{0,8}[a-z;)]){0,4}"),
            1..8,
        ),
        ends in prop_oneof![Just("\n"), Just("\r\n")],
    ) {
        let queries = written.iter().map(|(name, (kind, sql))| {
            format!("-- name: {name} {}\n{sql}\n", QueryKind::ALL[*kind])
        });
        let text = queries.collect::<String>().replace('\n', ends);
        let queries = read(&text);
        prop_assert_eq!(queries.len(), written.len());
        for (name, (kind, expected)) in &written {
            let query = queries.get(name).unwrap();
            prop_assert_eq!(query.kind(), QueryKind::ALL[*kind]);
            prop_assert_eq!(lines(sql(query)), lines(expected));
        }
    }
}

/// A text without white space at the ends of its lines, and comments behind it, which make no difference.
fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().map(str::trim_end).collect();
    while lines.last().is_some_and(|line| line.is_empty() || line.trim_start().starts_with("--")) {
        lines.pop();
    }
    lines
}
