//! `check`: every mistake of the configuration, and whether what it names can be reached.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use switchboard::Switchboard;
use switchboard_core::{Error, ErrorKind, Origin};

use crate::arguments::Check;
use crate::desk::{Desk, looked_at};
use crate::failure::{Exit, Failure, Result, add_place, causes_of, exit_of, problems_of};
use crate::screen::{BAD, GOOD, STRONG};
use crate::session::Session;
use crate::table::{Cell, Table};

pub(super) async fn run(session: &mut Session, asked: &Check) -> Result<Exit> {
    let read = session.configured();
    let checked = read.and_then(|builder| Ok(builder.check().map(|()| builder)?));
    let builder = match checked {
        Ok(builder) => builder,
        Err(failure) => return tell(session, failure),
    };
    if asked.connect {
        return match builder.idle().build().await {
            Ok(board) => connect(session, board).await,
            Err(error) => tell(session, error.into()),
        };
    }
    fine(session)
}

fn fine(session: &mut Session) -> Result<Exit> {
    if session.screen.is_json() {
        session.screen.write_json(&json!({ "ok": true, "problems": [] }))?;
    } else {
        let what = session.sources.clone();
        let word = session.screen.paint(GOOD, "no mistakes");
        session.screen.write_line(format!("{what}: {word}"))?;
    }
    Ok(Exit::Fine)
}

/// For programs the mistakes are the data; for people they are an error like any other.
fn tell(session: &mut Session, failure: Failure) -> Result<Exit> {
    let Failure::Told(told) = &failure else { return Err(failure) };
    if !session.screen.is_json() {
        return Err(failure);
    }
    session.screen.write_json(&json!({ "ok": false, "problems": told.problems() }))?;
    Ok(failure.exit())
}

/// Connects every instance, all at the same time.
async fn connect(session: &mut Session, board: Switchboard) -> Result<Exit> {
    let mut tried = try_all(&board).await;
    look_at(&board, &mut tried).await;
    Desk::Own(board).close().await?;
    let exit = worst(&tried);
    if session.screen.is_json() {
        let problems = tried.iter().filter_map(Tried::problem).flatten().collect::<Vec<_>>();
        session.screen.write_json(&json!({ "ok": problems.is_empty(), "problems": problems }))?;
        return Ok(exit);
    }
    session.screen.write_table(&table(&tried))?;
    for tried in tried {
        if let Err(error) = tried.connected {
            session.screen.tell(&error.into());
        }
    }
    Ok(exit)
}

struct Tried {
    instance: String,
    /// Where it is configured.
    at: Option<Origin>,
    connected: std::result::Result<Duration, Error>,
}

async fn try_all(board: &Switchboard) -> Vec<Tried> {
    let trying = board.instances().into_iter().map(|view| async move {
        let instance = format!("{}.{}", view.subsystem, view.name);
        let at = board.configured_at(&instance);
        Tried { connected: board.connect_instance(&instance).await, at, instance }
    });
    join_all(trying).await
}

/// What is built may still have nobody who answers: a pool makes its connections when they are wanted.
async fn look_at(board: &Switchboard, tried: &mut [Tried]) {
    for found in looked_at(board).await.instances {
        let down = (found.status == "down").then_some(found.reason);
        let tried = tried.iter_mut().find(|tried| tried.instance == found.instance);
        if let (Some(reason), Some(tried @ Tried { connected: Ok(_), .. })) = (down, tried) {
            let reason = reason.unwrap_or_else(|| "no reason given".to_owned());
            let error = Error::new(ErrorKind::Unavailable, reason)
                .with_context("instance", &tried.instance);
            tried.connected = Err(match &tried.at {
                Some(place) => error.with_context("configured at", place),
                None => error,
            });
        }
    }
}

impl Tried {
    /// What is wrong, in the form of the mistakes of a configuration.
    fn problem(&self) -> Option<Vec<Value>> {
        let error = self.connected.as_ref().err()?;
        if let Value::Array(problems) = problems_of(error) {
            return Some(problems);
        }
        let hints = error.hints().collect::<Vec<_>>().join("; ");
        let hint = if hints.is_empty() { Value::Null } else { Value::from(hints) };
        // Programs get one text, and without its causes it rarely helps anybody.
        let message = [vec![error.message().to_owned()], causes_of(error)].concat().join(": ");
        let mut shown = json!({
            "file": null, "line": null, "column": null,
            "key": self.instance, "message": message, "hint": hint,
        });
        if let Some(origin) = &self.at {
            add_place(&mut shown, origin);
        }
        Some(vec![shown])
    }
}

/// One that is configured wrongly weighs more than one that cannot be reached.
fn worst(tried: &[Tried]) -> Exit {
    let kinds = tried.iter().filter_map(|tried| Some(tried.connected.as_ref().err()?.kind()));
    let exits = kinds.map(exit_of);
    let weight = |exit: &Exit| match exit {
        Exit::Fine | Exit::Interrupted | Exit::Terminated => 0,
        Exit::Unavailable => 1,
        Exit::Other => 2,
        Exit::NotFound => 3,
        Exit::Usage => 4,
    };
    exits.max_by_key(weight).unwrap_or(Exit::Fine)
}

fn table(tried: &[Tried]) -> Table {
    let mut table = Table::new();
    for Tried { instance, connected, .. } in tried {
        let (word, style) = match connected {
            Ok(took) => (format!("connected in {}", milliseconds(*took)), GOOD),
            Err(error) if error.kind() == ErrorKind::Timeout => ("too late".to_owned(), BAD),
            Err(_) => ("failed".to_owned(), BAD),
        };
        let instance = Cell::from(instance.as_str()).styled(STRONG);
        table.push([instance, Cell::from(word).styled(style)]);
    }
    table
}

pub(crate) fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
