//! Queries that are run, on a real database.

use std::fs;
use std::path::Path;

use futures_util::TryStreamExt as _;
use switchboard_core::{Environment, ErrorKind, Manager, Registry, Settings};

use super::*;
use crate::{Database, Databases, Params, Statements as _, Value, query_functions};

const TEXT: &str = "\
-- name: create :script
create table users (id integer primary key, name text);
create table teams (name text);

-- name: add :exec
insert into users (id, name) values (:id, :name);

-- name: rename :affected
update users set name = :name where id >= :id;

-- name: one :one
select id, name from users where id = :id;

-- name: opt :opt
select id, name from users where id = :id;

-- name: any :opt
select id, name from users;

-- name: all :many
select id, name from users order by id;

-- name: each :stream
select id, name from users order by id;

-- name: count :value
select count(*) from users;

-- name: two_columns :value
select 1, 2;

-- name: elsewhere :value
-- dialect: postgres
select 1;

-- name: here :value
-- dialect: sqlite
select 'sqlite';

-- name: here :value
select 'another';
";

type User = (i64, String);

query_functions! {
    fn create() -> script;
    /// Adds one.
    fn add_user(id: i64, name: &str) -> exec as "add";
    fn rename(id: i64, name: String) -> affected;
    fn one(id: i64) -> one(User);
    fn opt(id: i64,) -> opt(User);
    fn all() -> many(User);
    fn each() -> stream(User);
    pub(super) fn count() -> value(i64);
}

fn named(values: &[(&'static str, Value)]) -> Params {
    Params::Named(values.iter().map(|(name, value)| ((*name).into(), value.clone())).collect())
}

fn managed(settings: Settings) -> (Manager<Databases>, Database) {
    let registry = Registry::with_built_ins().unwrap();
    let databases = Manager::<Databases>::new(registry, &Environment::new()).unwrap();
    databases.configure("main", &settings.with("url", "sqlite::memory:")).unwrap();
    let main = databases.handle("main").unwrap();
    (databases, main)
}

/// A database with these files of queries.
fn database(folder: &Path) -> (Manager<Databases>, Database) {
    fs::write(folder.join("a.sql"), TEXT).unwrap();
    managed(
        Settings::new().with("queries", Settings::new().with("path", folder.display().to_string())),
    )
}

#[tokio::test]
async fn each_kind_gives_what_its_word_says() {
    let folder = tempfile::tempdir().unwrap();
    let (_databases, main) = database(folder.path());
    main.query("create").script().await.unwrap();
    let ada = named(&[("id", 1.into()), ("name", "Ada".into())]);
    assert_eq!(main.query("add").exec(ada).await.unwrap().affected, 1);
    let bob = named(&[("id", 2.into()), ("name", "Bob".into())]);
    main.query("add").exec(bob).await.unwrap();

    let id = |id: i64| named(&[("id", id.into())]);
    let bob = (2, "Bob".to_owned());
    assert_eq!(main.query("one").one::<User>(id(2)).await.unwrap(), bob);
    assert_eq!(main.query("opt").opt::<User>(id(2)).await.unwrap(), Some(bob.clone()));
    assert_eq!(main.query("opt").opt::<User>(id(9)).await.unwrap(), None);
    assert_eq!(main.query("all").many::<User>(()).await.unwrap()[1], bob);
    assert_eq!(main.query("count").value::<i64>(()).await.unwrap(), 2);
    let each = main.query("each").stream::<User>(()).await.unwrap();
    assert_eq!(each.try_collect::<Vec<_>>().await.unwrap()[1], bob);
    let carl = named(&[("id", 1.into()), ("name", "Carl".into())]);
    assert_eq!(main.query("rename").affected(carl).await.unwrap(), 2);
}

#[tokio::test]
async fn none_and_several_rows_are_errors_that_name_the_query() {
    let folder = tempfile::tempdir().unwrap();
    let (_databases, main) = database(folder.path());
    create(&main).await.unwrap();
    let none = one(&main, 1).await.unwrap_err();
    assert_eq!((none.kind(), none.context_value("query")), (ErrorKind::NotFound, Some("one")));

    add_user(&main, 1, "Ada").await.unwrap();
    add_user(&main, 2, "Bob").await.unwrap();
    let several = main.query("any").opt::<User>(()).await.unwrap_err();
    assert_eq!(several.kind(), ErrorKind::PreconditionFailed);
    assert_eq!(several.context_value("query"), Some("any"));
    let columns = main.query("two_columns").value::<i64>(()).await.unwrap_err();
    assert_eq!(columns.kind(), ErrorKind::InvalidInput);

    let refused = add_user(&main, 1, "Ada").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AlreadyExists, "{refused}");
    assert_eq!(refused.context_value("query"), Some("add"));
}

#[tokio::test]
async fn functions_run_the_queries_they_are_called_like() {
    let folder = tempfile::tempdir().unwrap();
    let (_databases, main) = database(folder.path());
    create(&main).await.unwrap();
    add_user(&main, 1, "Ada").await.unwrap();
    let ada = (1, "Ada".to_owned());
    assert_eq!(one(&main, 1).await.unwrap(), ada);
    assert_eq!(opt(&main, 2).await.unwrap(), None);
    assert_eq!(all(&main).await.unwrap(), [ada]);
    assert_eq!(rename(&main, 1, "Eva".to_owned()).await.unwrap(), 1);
    let each: Vec<User> = each(&main).await.unwrap().try_collect().await.unwrap();
    assert_eq!(each, [(1, "Eva".to_owned())]);
    assert_eq!(count(&main).await.unwrap(), 1);
}

#[tokio::test]
async fn a_query_runs_in_the_transaction_that_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let (_databases, main) = database(folder.path());
    create(&main).await.unwrap();
    let given_up = Box::pin(main.transaction(|transaction| async move {
        add_user(&transaction, 1, "Ada").await?;
        assert_eq!(count(&transaction).await?, 1);
        let mut each = each(&transaction).await?;
        assert_eq!(each.try_next().await?, Some((1, "Ada".to_owned())));
        Err::<(), _>(Error::new(ErrorKind::Cancelled, "never mind"))
    }));
    assert_eq!(given_up.await.unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(count(&main).await.unwrap(), 0);
    let connection = main.connection().await.unwrap();
    assert_eq!(count(&connection).await.unwrap(), 0);
}

#[tokio::test]
async fn a_query_that_is_asked_for_something_else_says_what_it_gives() {
    let folder = tempfile::tempdir().unwrap();
    let (_databases, main) = database(folder.path());
    let check = |error: Error, name: &str, gives: &str, asked: &str| {
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert_eq!(error.context_value("query"), Some(name));
        assert_eq!(error.context_value("gives"), Some(gives));
        assert_eq!(error.context_value("asked for"), Some(asked));
    };
    check(main.query("all").one::<User>(()).await.unwrap_err(), "all", ":many", ":one");
    check(main.query("all").opt::<User>(()).await.unwrap_err(), "all", ":many", ":opt");
    check(main.query("all").value::<i64>(()).await.unwrap_err(), "all", ":many", ":value");
    check(main.query("all").exec(()).await.unwrap_err(), "all", ":many", ":exec");
    check(main.query("all").affected(()).await.unwrap_err(), "all", ":many", ":affected");
    check(main.query("all").script().await.unwrap_err(), "all", ":many", ":script");
    check(
        main.query("all").stream::<User>(()).await.map(drop).unwrap_err(),
        "all",
        ":many",
        ":stream",
    );
    check(main.query("one").many::<User>(()).await.unwrap_err(), "one", ":one", ":many");
}

#[tokio::test]
async fn the_dialect_of_the_instance_chooses_the_text() {
    let folder = tempfile::tempdir().unwrap();
    let (_databases, main) = database(folder.path());
    assert_eq!(main.query("here").value::<String>(()).await.unwrap(), "sqlite");
    let error = main.query("elsewhere").value::<i64>(()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_name_that_the_files_do_not_have_is_an_error_of_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let (_databases, main) = database(folder.path());
    let error = main.query("rename_").affected(()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotRegistered);
    assert_eq!(error.hints().collect::<Vec<_>>(), ["did you mean \"rename\"?"]);
}

#[tokio::test]
async fn an_instance_with_mistakes_in_its_files_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.sql"), "-- name: a :value\n-- param: x\nselect 1").unwrap();
    let path = folder.path().display().to_string();
    let (databases, _) =
        managed(Settings::new().with("queries", Settings::new().with("path", path)));
    let error = databases.get("main").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(format!("{error:?}").contains("the parameter \"x\" is not used"), "{error:?}");
}

#[tokio::test]
async fn a_set_of_the_program_runs_on_any_instance() {
    let (_databases, main) = managed(Settings::new());
    let queries = read(TEXT);
    queries.on(&main, "create").script().await.unwrap();
    assert_eq!(queries.on(&main, "count").value::<i64>(()).await.unwrap(), 0);
    let error = main.query("count").value::<i64>(()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotRegistered);
}
