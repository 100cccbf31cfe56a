//! `swap`: another driver or other settings for an instance, while calls are running.

use serde_json::{Map, Value};
use switchboard_core::{Error, ErrorKind, Origin, Settings};

use super::closed;
use crate::arguments::Swap;
use crate::desk::Desk;
use crate::failure::{Exit, Failure, Result};
use crate::json::text;
use crate::session::Session;

pub(super) async fn run(session: &mut Session, swap: Swap) -> Result<Exit> {
    let settings = Value::Object(settings(session, &swap)?);
    let desk = Desk::acting(session).await?;
    let swapped = desk.swap(&swap.instance, &settings).await;
    let swapped = closed(desk, swapped).await?;
    if session.screen.is_json() {
        session.screen.write_json(&swapped)?;
    } else {
        let generation = text(&swapped, "generation");
        session.screen.write_line(format!("{}: generation {generation} serves", swap.instance))?;
    }
    Ok(Exit::Fine)
}

/// All that was said of the new settings, together.
fn settings(session: &mut Session, swap: &Swap) -> Result<Map<String, Value>> {
    let mut settings = match swap.settings.as_deref() {
        None => Map::new(),
        Some("-") => table(&session.read_input()?)?,
        Some(text) => table(text.as_bytes())?,
    };
    if let Some(url) = &swap.url {
        insert(&mut settings, "url", Value::from(url.as_str()))?;
    }
    for (key, value) in &swap.assignments {
        insert(&mut settings, key, read(value))?;
    }
    if settings.is_empty() {
        return Err(Error::new(ErrorKind::InvalidInput, "there is nothing to swap to")
            .with_hint(format!(
                "name settings: `{} swap {} driver=memory`, or use --url or --settings",
                session.program.name, swap.instance
            ))
            .into());
    }
    Ok(settings)
}

/// What is no JSON is text, so that nobody has to quote in two languages. Nor is `null`, which is the
/// name of a driver and says nothing as a setting.
fn read(value: &str) -> Value {
    match serde_json::from_str(value) {
        Ok(Value::Null) | Err(_) => Value::from(value),
        Ok(value) => value,
    }
}

fn table(bytes: &[u8]) -> Result<Map<String, Value>> {
    let table = serde_json::from_slice(bytes).map_err(|error| {
        Error::new(ErrorKind::InvalidInput, "the settings are no JSON object")
            .with_context("line", error.line())
            .with_context("column", error.column())
    })?;
    // What a map holds has swallowed keys that were said twice.
    let strictly = &mut serde_json::Deserializer::from_slice(bytes);
    Settings::accept_from(strictly, &Origin::named("argument"))?;
    Ok(table)
}

/// Puts a value where a dotted key leads; what is there already was said twice.
fn insert(settings: &mut Map<String, Value>, key: &str, value: Value) -> Result<()> {
    let (parents, last) = match key.rsplit_once('.') {
        Some((parents, last)) => (parents.split('.').collect(), last),
        None => (Vec::new(), key),
    };
    let mut table = settings;
    for parent in parents {
        let child = table.entry(parent).or_insert_with(|| Value::Object(Map::new()));
        table = child.as_object_mut().ok_or_else(|| said_twice(key))?;
    }
    match table.insert(last.to_owned(), value) {
        None => Ok(()),
        Some(_) => Err(said_twice(key)),
    }
}

fn said_twice(key: &str) -> Failure {
    Error::new(ErrorKind::InvalidInput, "a setting is named twice")
        .with_context("setting", key)
        .into()
}
