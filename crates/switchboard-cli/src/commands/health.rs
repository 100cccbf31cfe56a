//! `health`: how the instances and features are.

use std::time::Duration;

use serde_json::Value;

use super::closed;
use crate::arguments::Health;
use crate::desk::Desk;
use crate::failure::{Exit, Result};
use crate::json::{is, list, milliseconds, text};
use crate::screen::{BAD, DOUBTFUL, GOOD, STRONG, Screen, style_of};
use crate::session::Session;
use crate::table::{Cell, Table};

pub(super) async fn run(session: &mut Session, asked: &Health) -> Result<Exit> {
    let desk = Desk::acting(session).await?;
    let looked = if asked.watch { watch(session, &desk).await } else { look(session, &desk).await };
    closed(desk, looked).await
}

async fn look(session: &mut Session, desk: &Desk) -> Result<Exit> {
    let health = desk.health().await?;
    if session.screen.is_json() {
        session.screen.write_json(&health)?;
    } else {
        write(&mut session.screen, &health)?;
    }
    Ok(if is(&health, "ready") { Exit::Fine } else { Exit::Unavailable })
}

/// Goes on until nobody looks any more, or there is nothing to look at.
async fn watch(session: &mut Session, desk: &Desk) -> Result<Exit> {
    loop {
        let health = desk.health().await?;
        if session.screen.is_json() {
            session.screen.write_line(health.to_string())?;
        } else if session.screen.is_terminal() {
            session.screen.write(CLEARED)?;
            write(&mut session.screen, &health)?;
        } else {
            write(&mut session.screen, &health)?;
            session.screen.write_line("")?;
        }
        session.clock.sleep(WATCH_EVERY).await;
    }
}

fn write(screen: &mut Screen, health: &Value) -> Result<()> {
    let (word, style) = if is(health, "ready") { ("ready", GOOD) } else { ("not ready", BAD) };
    let status = text(health, "status");
    let status = screen.paint(style_of(&status), &status);
    screen.write_line(format!("{}, {status}", screen.paint(style.bold(), word)))?;
    if !list(health, "instances").is_empty() {
        screen.write_line("")?;
        screen.write_table(&instances(health))?;
    }
    if !list(health, "features").is_empty() {
        screen.write_line("")?;
        screen.write_table(&features(health))?;
    }
    Ok(())
}

fn instances(health: &Value) -> Table {
    let mut table = Table::headed(["INSTANCE", "STATUS", "", "TOOK", "SEEN", "REASON"]);
    for instance in list(health, "instances") {
        let status = text(instance, "status");
        let seen = milliseconds(instance, "age_ms").map(|age| format!("{age} ago"));
        let note = match (is(instance, "needed"), is(instance, "stale")) {
            (true, true) => "needed, stale",
            (true, false) => "needed",
            (false, true) => "stale",
            (false, false) => "",
        };
        let took = seen.as_ref().and_then(|_| milliseconds(instance, "took_ms"));
        table.push([
            Cell::from(text(instance, "instance")).styled(STRONG),
            Cell::from(status.as_str()).styled(style_of(&status)),
            Cell::from(note).styled(if is(instance, "stale") { DOUBTFUL } else { style_of("") }),
            took.unwrap_or_default().into(),
            seen.unwrap_or_else(|| "never".to_owned()).into(),
            text(instance, "reason").into(),
        ]);
    }
    table
}

fn features(health: &Value) -> Table {
    let mut table = Table::headed(["FEATURE", "STATUS", "MISSES"]);
    for feature in list(health, "features") {
        let status = text(feature, "status");
        let [missing, impaired] = ["missing", "impaired"].map(|key| text(feature, key));
        let misses = [missing, impaired].join(" ");
        table.push([
            Cell::from(text(feature, "feature")).styled(STRONG),
            Cell::from(status.as_str()).styled(style_of(&status)),
            misses.trim().into(),
        ]);
    }
    table
}

/// What empties a terminal and goes to its beginning.
const CLEARED: &str = "\u{1b}[H\u{1b}[2J";

/// The time between two looks.
const WATCH_EVERY: Duration = Duration::from_secs(1);
