//! One statement, and what it answers on the output.

use futures_util::TryStreamExt as _;
use serde_json::json;
use switchboard_core::Error;
use switchboard_database::sql::{Effect, Traits};
use switchboard_database::{Dialect, Done, Params, Row, Statements, context};

use crate::arguments::Format;
use crate::failure::Result;
use crate::rows::Rows;
use crate::screen::Screen;

/// Asks a statement, and writes its rows or what it changed.
pub(super) async fn ask(
    screen: &mut Screen,
    on: &impl Statements,
    sql: &str,
    params: Params,
    dialect: &Dialect,
) -> Result<()> {
    // What the database counts in is the text that it got, which is another one with parameters.
    let written = params.is_empty().then_some(sql);
    let told = |error| placed(error, written);
    if Traits::of(sql, dialect.lexis).returns_rows {
        let mut rows = on.stream::<Row>(sql, params).await.map_err(told)?;
        let mut sheet = Rows::begun(screen, rows.columns());
        while let Some(row) = rows.try_next().await.map_err(told)? {
            sheet.add(&row)?;
        }
        let count = sheet.end()?;
        note(screen, &counted(count, ""));
        return Ok(());
    }
    let done = on.execute(sql, params).await.map_err(told)?;
    write_done(screen, done)
}

/// Begins or ends a transaction, or a part of one, which only a connection of one's own lets be done by a
/// statement.
pub(super) async fn control(screen: &Screen, on: &impl Statements, sql: &str) -> Result<()> {
    on.execute_script(sql).await.map_err(|error| placed(error, Some(sql)))?;
    note(screen, "done");
    Ok(())
}

/// Whether a statement begins or ends a transaction, or a part of one.
pub(super) fn is_control(sql: &str, dialect: &Dialect) -> bool {
    Traits::of(sql, dialect.lexis).effect == Effect::Control
}

/// A line for people, about data.
pub(super) fn note(screen: &Screen, line: &str) {
    if screen.format == Format::Text {
        screen.note(line);
    }
}

fn write_done(screen: &mut Screen, done: Done) -> Result<()> {
    if screen.is_json() {
        let done = json!({ "affected": done.affected, "last_id": done.last_id });
        return screen.write_line(done.to_string());
    }
    note(screen, &counted(done.affected, " changed"));
    Ok(())
}

/// `1 row`, `2 rows changed`.
fn counted(count: u64, what: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} row{ending}{what}")
}

/// The error with the line and the column of a statement that the database complains about.
fn placed(error: Error, sql: Option<&str>) -> Error {
    let said = error.context().find(|(key, _)| *key == context::POSITION);
    let position = said.and_then(|(_, position)| position.parse::<usize>().ok());
    let (Some(sql), Some(position)) = (sql, position) else { return error };
    let before: String = sql.chars().take(position.saturating_sub(1)).collect();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    error.with_context("place", format_args!("line {line}, column {column}"))
}
