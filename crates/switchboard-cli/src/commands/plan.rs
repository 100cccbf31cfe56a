//! `plan`: what a reload would change.

use serde_json::Value;

use super::closed;
use crate::desk::Desk;
use crate::failure::{Exit, Result};
use crate::json::{items, list, plain, text};
use crate::screen::{BAD, DOUBTFUL, FAINT, GOOD, Screen};
use crate::session::Session;
use crate::table::{Cell, Table};

pub(super) async fn run(session: &mut Session) -> Result<Exit> {
    let desk = Desk::acting(session).await?;
    if matches!(desk, Desk::Running(_)) {
        session.note_other_files();
    }
    let plan = desk.plan().await;
    let plan = closed(desk, plan).await?;
    write(&mut session.screen, &plan, "would change")?;
    Ok(Exit::Fine)
}

/// The instances by what becomes of them, and how many that are.
pub(super) fn write(screen: &mut Screen, plan: &Value, verb: &str) -> Result<()> {
    if screen.is_json() {
        return screen.write_json(plan);
    }
    for change in list(plan, "changes") {
        write_change(screen, change)?;
    }
    for section in list(plan, "sections") {
        screen.write_line(screen.paint(DOUBTFUL, &format!("~ {}", plain(section))))?;
    }
    for setting in list(plan, "restart") {
        let line = format!("! {}  counts from the next start only", plain(setting));
        screen.write_line(screen.paint(DOUBTFUL, &line))?;
    }
    for kept in list(plan, "kept") {
        screen.write_line(screen.paint(FAINT, &format!("= {}", plain(kept))))?;
    }
    for warning in list(plan, "warnings") {
        screen.write_line(screen.paint(DOUBTFUL, &format!("warning: {}", plain(warning))))?;
    }
    let count = |what| list(plan, what).len();
    let (changed, kept) = (count("changes") + count("sections"), count("kept"));
    screen.write_line(format!("{changed} {verb}, {kept} kept"))
}

fn write_change(screen: &mut Screen, change: &Value) -> Result<()> {
    let what = text(change, "what");
    let (sign, style) = match what.as_str() {
        "added" => ("+", GOOD),
        "removed" => ("-", BAD),
        _ => ("~", DOUBTFUL),
    };
    let line = format!("{sign} {}  {what}", text(change, "instance"));
    screen.write_line(screen.paint(style, &line))?;
    screen.write_table(&settings_table(&change["settings"]))
}

/// What becomes of each setting, one to a line.
fn settings_table(settings: &Value) -> Table {
    let mut table = Table::new().indented(SETTINGS_INDENT);
    for setting in items(settings) {
        table.push([
            text(setting, "path").into(),
            what_becomes(setting).into(),
            Cell::from(text(setting, "origin")).styled(FAINT),
        ]);
    }
    table
}

fn what_becomes(setting: &Value) -> String {
    let (before, value) = (text(setting, "before"), text(setting, "value"));
    match (&setting["before"], &setting["value"]) {
        (Value::Null, _) => value,
        (_, Value::Null) => format!("{before} → {LEFT_OUT}"),
        _ => format!("{before} → {value}"),
    }
}

/// What a setting that goes becomes.
const LEFT_OUT: &str = "(left out)";

/// How far the settings of a change stand in.
const SETTINGS_INDENT: usize = 4;
