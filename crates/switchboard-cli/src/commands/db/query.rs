//! `db query`: one statement, or a script.

use std::collections::BTreeSet;
use std::path::Path;

use switchboard_core::{Error, ErrorKind};
use switchboard_database::{
    Database, Decimal, Dialect, Params, PooledConnection, Statements, TransactionOptions, Value,
    sql,
};

use super::ask::{ask, is_control, note};
use super::{dialect_of, with_database};
use crate::arguments::DbQuery;
use crate::failure::{Exit, Failure, Result};
use crate::screen::Screen;
use crate::session::Session;

pub(super) async fn run(session: &mut Session, query: DbQuery) -> Result<Exit> {
    let text = text(session, &query)?;
    refuse_twice(&query.parameters)?;
    with_database(session, Some(&query.database), async |session, database| {
        if query.script {
            run_script(&session.screen, &database, &text).await
        } else if query.read_only {
            read(&mut session.screen, &database, &text, query.parameters).await
        } else {
            let connection = database.connection().await?;
            ask_only(&mut session.screen, &connection, &database, &text, query.parameters).await
        }
    })
    .await?;
    Ok(Exit::Fine)
}

/// Asks in a transaction that the database holds to reading.
async fn read(screen: &mut Screen, database: &Database, text: &str, named: Named) -> Result<()> {
    let reading = TransactionOptions::new().read_only().expect_long();
    let transaction = database.begin(&reading).await?;
    let asked = ask_only(screen, &transaction, database, text, named).await;
    let ended = transaction.rollback().await;
    asked?;
    Ok(ended?)
}

/// Asks the one statement of `text`.
async fn ask_only(
    screen: &mut Screen,
    on: &impl Statements,
    database: &Database,
    text: &str,
    named: Named,
) -> Result<()> {
    let dialect = dialect_of(database)?;
    let sql = only_statement(text, dialect)?;
    ask(screen, on, sql, params(named, dialect), dialect).await
}

async fn run_script(screen: &Screen, database: &Database, text: &str) -> Result<()> {
    let connection = database.connection().await?;
    let parts = sql::split(text, dialect_of(database)?.lexis);
    for part in &parts {
        run_part(&connection, part).await?;
    }
    let ending = if parts.len() == 1 { "" } else { "s" };
    note(screen, &format!("{} statement{ending} done", parts.len()));
    Ok(())
}

async fn run_part(connection: &PooledConnection, part: &sql::Part<'_>) -> Result<()> {
    let done = connection.execute_script(part.sql).await;
    Ok(done.map_err(|error| error.with_context("line", part.line))?)
}

/// The one statement of a text, without what ends it.
fn only_statement<'t>(text: &'t str, dialect: &Dialect) -> Result<&'t str> {
    match sql::split(text, dialect.lexis).as_slice() {
        [only] if is_control(only.sql, dialect) => {
            let error = Error::new(
                ErrorKind::InvalidInput,
                "a transaction does not outlast the one statement that is run",
            );
            Err(error.with_hint("`--script` and `db shell` run several over one connection").into())
        }
        [only] => Ok(only.sql),
        [] => Err(Error::new(ErrorKind::InvalidInput, "there is no statement").into()),
        parts => Err(Error::new(ErrorKind::InvalidInput, "there are several statements")
            .with_context("statements", parts.len())
            .with_hint("`--script` runs them one after the other")
            .into()),
    }
}

fn text(session: &mut Session, query: &DbQuery) -> Result<String> {
    let bytes = match (query.sql.as_deref(), query.file.as_deref()) {
        (None, None) => return Err(no_statement(&query.database)),
        (Some("-"), _) => session.read_input()?,
        (None, Some(file)) if file == Path::new("-") => session.read_input()?,
        (None, Some(file)) => read_file(file)?,
        (Some(sql), _) => return Ok(sql.to_owned()),
    };
    let text = String::from_utf8(bytes)
        .map_err(|_| Error::new(ErrorKind::InvalidInput, "the statement is no text in UTF-8"))?;
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}

/// As a rule somebody has left out the database, so that the statement stands in its place.
fn no_statement(database: &str) -> Failure {
    let error = Error::new(ErrorKind::InvalidInput, "there is no statement");
    if database.contains(char::is_whitespace) {
        let hint = "the first argument is the database: `db query main \"select 1\"`";
        return error.with_hint(hint).into();
    }
    let hint = "write it behind the database, or name a file with `--file`; `-` is stdin";
    error.with_hint(hint).into()
}

fn read_file(file: &Path) -> Result<Vec<u8>> {
    let read = std::fs::read(file);
    Ok(read.map_err(|error| {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::InvalidInput,
        };
        Error::new(kind, "the file of the statement cannot be read")
            .with_context("file", file.display())
            .with_source(error)
    })?)
}

/// What is said of a parameter: its name and its value.
type Named = Vec<(String, String)>;

fn refuse_twice(named: &Named) -> Result<()> {
    let mut seen = BTreeSet::new();
    let Some((twice, _)) = named.iter().find(|(name, _)| !seen.insert(name)) else {
        return Ok(());
    };
    let error = Error::new(ErrorKind::InvalidInput, "a parameter is named twice");
    Err(error.with_context("parameter", twice).into())
}

fn params(named: Named, dialect: &Dialect) -> Params {
    if named.is_empty() {
        return Params::None;
    }
    Params::named(named.into_iter().map(|(name, text)| (name, value(text, dialect))))
}

/// Text, which the database makes what it needs. PostgreSQL makes no numbers of texts, but texts of
/// numbers: there it is a number if the number is written like that.
fn value(text: String, dialect: &Dialect) -> Value {
    if dialect.name == "postgres" { as_number(&text) } else { text.into() }
}

fn as_number(text: &str) -> Value {
    match text {
        "true" => return true.into(),
        "false" => return false.into(),
        _ => {}
    }
    if let Ok(number) = text.parse::<i64>()
        && number.to_string() == text
    {
        return number.into();
    }
    match text.parse::<Decimal>() {
        Ok(number) if number.as_str() == text => number.into(),
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_written_as_a_number_is_one() {
        for text in ["7", "-7", "0", "10.50", "9223372036854775807"] {
            let value = as_number(text);
            assert_ne!(value.kind(), "text", "{text}");
            assert_eq!(value.to_text(), text);
        }
        for text in ["", "007", "+7", " 7", "7 ", "1e3", "abc", "7.", ".5", "--"] {
            assert_eq!(as_number(text), Value::from(text), "{text:?}");
        }
    }

    #[test]
    fn a_parameter_has_one_value() {
        let named =
            |names: &[&str]| names.iter().map(|name| ((*name).into(), "1".into())).collect();
        assert!(refuse_twice(&named(&["a", "b"])).is_ok());
        assert!(refuse_twice(&named(&["a", "b", "a"])).is_err());
    }
}
