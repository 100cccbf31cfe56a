//! Whether a running board has another database or disk by now than the configuration describes.
//!
//! Whoever looks into one by hand while a board runs means, as a rule, that of the board. What the
//! configuration says counts all the same, so a difference is told and stops nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use switchboard::Switchboard;
use tokio::time::timeout;

use crate::desk::Desk;
use crate::failure::{Exit, Result};
use crate::json::{list, shown, text};
use crate::session::Session;

/// Tells how `instance` of the running board, if there is one, differs from that of `own`.
pub(super) async fn note_difference(session: &mut Session, own: &Switchboard, instance: &str) {
    if session.common.offline {
        return;
    }
    let Some(running) = Desk::running(session).transpose() else { return };
    let compared = async { differing(&running?, own, instance).await };
    let said = match timeout(ANSWER_LIMIT, compared).await {
        Ok(Ok(settings)) if settings.is_empty() => return,
        Ok(Ok(settings)) => {
            format!("has another {instance} ({})", Vec::from_iter(settings).join(", "))
        }
        Ok(Err(failure)) if failure.exit() == Exit::NotFound => format!("has no {instance}"),
        Ok(Err(_)) | Err(_) => format!("could not be asked whether it has this {instance}"),
    };
    let note = format!("note: the running board {said}; this is the one of the configuration");
    session.screen.note(note);
}

/// The settings that are others in the running board.
async fn differing(running: &Desk, own: &Switchboard, instance: &str) -> Result<BTreeSet<String>> {
    let explained = running.explain(instance).await?;
    let mut differing = differences(&explained, &shown(&own.explain(instance)?)?);
    // Two secrets look alike from here. The board itself knows whether its files say another one.
    match running.plan().await {
        Ok(plan) => differing.extend(changes(&plan, instance)),
        // A board refuses files by which an instance would have other data, and what differs was seen before.
        Err(_) if !differing.is_empty() => {}
        Err(failure) => return Err(failure),
    }
    Ok(differing)
}

fn differences(one: &Value, other: &Value) -> BTreeSet<String> {
    let (one, other) = (values(one), values(other));
    let paths = one.keys().chain(other.keys());
    paths.filter(|path| one.get(*path) != other.get(*path)).cloned().collect()
}

/// Each setting of an instance with its value.
fn values(explained: &Value) -> BTreeMap<String, String> {
    let settings = list(explained, "settings").iter();
    settings.map(|setting| (text(setting, "path"), text(setting, "value"))).collect()
}

/// The settings of `instance` that a reload would change.
fn changes(plan: &Value, instance: &str) -> Vec<String> {
    let is_meant = |change: &&Value| text(change, "instance") == instance;
    let changes = list(plan, "changes").iter().filter(is_meant);
    let settings = changes.flat_map(|change| list(change, "settings"));
    settings.map(|setting| text(setting, "path")).collect()
}

/// How long is waited for an answer that is only an addition.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
