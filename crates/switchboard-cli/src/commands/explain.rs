//! `explain`: why an instance is as it is.

use serde_json::Value;

use super::closed;
use crate::desk::Desk;
use crate::failure::{Exit, Result};
use crate::json::{items, list, plain, text};
use crate::screen::{BAD, DOUBTFUL, FAINT, STRONG, Screen, style_of};
use crate::session::Session;
use crate::table::{Cell, Table};

pub(super) async fn run(session: &mut Session, instance: &str) -> Result<Exit> {
    let desk = Desk::reading(session).await?;
    let whose = desk.described();
    let explained = desk.explain(instance).await;
    let complaint = match &explained {
        Ok(explained) if !session.screen.is_json() => desk.complaint(&name_of(explained)).await,
        _ => None,
    };
    let explained = closed(desk, explained).await?;
    if session.screen.is_json() {
        session.screen.write_json(&explained)?;
    } else {
        write(&mut session.screen, &explained, whose.as_deref(), complaint)?;
    }
    Ok(Exit::Fine)
}

/// For people: what it is, its settings, the way of a call, what is wrong with it.
fn write(
    screen: &mut Screen,
    explained: &Value,
    whose: Option<&str>,
    complaint: Option<String>,
) -> Result<()> {
    let name = name_of(explained);
    let of = whose.map(|whose| format!(" of {whose}")).unwrap_or_default();
    screen.write_line(screen.paint(STRONG, &name) + &of)?;
    screen.write_table(&facts(explained, complaint))?;
    if !list(explained, "settings").is_empty() {
        screen.write_line(format!("\n{}", screen.paint(STRONG, "settings")))?;
        screen.write_table(&settings_table(&explained["settings"]))?;
    }
    screen.write_line(format!("\n{}", screen.paint(STRONG, "the way of a call")))?;
    screen.write_table(&chain(&explained["chain"]))?;
    for warning in list(explained, "warnings") {
        let warning =
            Table::new().row([Cell::from("warning").styled(DOUBTFUL), plain(warning).into()]);
        screen.write_line("")?;
        screen.write_table(&warning)?;
    }
    Ok(())
}

fn name_of(explained: &Value) -> String {
    format!("{}.{}", text(explained, "subsystem"), text(explained, "name"))
}

fn facts(explained: &Value, complaint: Option<String>) -> Table {
    let state = text(explained, "state");
    let style = style_of(&state);
    let mut table = Table::new().indented(INDENT);
    if explained["driver"].is_string() {
        table.push(["driver".into(), text(explained, "driver").into()]);
    }
    if !items(&explained["members"]).is_empty() {
        table.push(["members".into(), text(explained, "members").into()]);
        table.push(["chosen by".into(), text(explained, "select").into()]);
    }
    table.push(["state".into(), Cell::from(state).styled(style)]);
    if let Some(complaint) = complaint {
        table.push(["health".into(), Cell::from(complaint).styled(BAD)]);
    }
    table.push(["generation".into(), text(explained, "generation").into()]);
    let time_max = match &explained["time_max"] {
        Value::Null => "no end".to_owned(),
        time => plain(time),
    };
    table.push(["a call takes at most".into(), time_max.into()]);
    table.push(["attempts of a call".into(), text(explained, "attempts_max").into()]);
    table
}

/// Settings with their origins, one to a line.
pub(super) fn settings_table(settings: &Value) -> Table {
    let mut table = Table::new().indented(INDENT);
    for setting in items(settings) {
        table.push([
            text(setting, "path").into(),
            text(setting, "value").into(),
            Cell::from(text(setting, "origin")).styled(FAINT),
        ]);
    }
    table
}

fn chain(chain: &Value) -> Table {
    let mut table = Table::new().indented(INDENT);
    for (number, gate) in (1_usize..).zip(items(chain)) {
        table.push([
            Cell::from(number.to_string()).styled(FAINT),
            text(gate, "gate").into(),
            settings_of(&gate["settings"]).into(),
            Cell::from(text(gate, "origin")).styled(FAINT),
        ]);
    }
    table
}

/// The settings of a gate, which are text or a table of them.
fn settings_of(settings: &Value) -> String {
    match settings.as_object() {
        None => plain(settings),
        Some(settings) => {
            let named = settings.iter().map(|(key, value)| format!("{key} {}", plain(value)));
            named.collect::<Vec<_>>().join(", ")
        }
    }
}

/// How far lists stand in.
const INDENT: usize = 2;
