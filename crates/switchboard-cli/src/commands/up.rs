//! `up`: the board, served until somebody stops it.

mod reloads;
mod signals;
mod told;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use serde_json::json;
use switchboard::{InstanceHealth, Switchboard};
use switchboard_console::{Console, ConsoleConfig, serve};

use self::signals::Signals;
use super::check::milliseconds;
use crate::arguments::Up;
use crate::failure::{Exit, Failure, Result};
use crate::home::{Note, Tenancy};
use crate::screen::{BAD, FAINT, STRONG};
use crate::session::{CONSOLE, Session};
use crate::table::{Cell, Table};

/// Serves until it is stopped, tells how that went, and waits for nobody who does not read it.
pub(super) async fn run(session: &mut Session, asked: &Up) -> Result<Exit> {
    let start = session.clock.now();
    // Before anything is built: who stops it while it starts is heard too.
    let mut signals = Signals::listen()?;
    let exit = match lived(session, asked, &mut signals, start).await {
        Ok(exit) => exit,
        Err(failure) => {
            session.screen.tell(&failure);
            failure.exit()
        }
    };
    last_words(session, &mut signals, exit).await;
    Ok(exit)
}

async fn lived(
    session: &mut Session,
    asked: &Up,
    signals: &mut Signals,
    start: Instant,
) -> Result<Exit> {
    let tenancy = session.home.move_in(&session.clock).await?;
    let builder = session.configured()?;
    let board = tokio::select! {
        board = builder.build() => board?,
        () = signals.stop() => return Ok(Exit::Fine),
    };
    let served = serve_until_stopped(session, asked, &board, &tenancy, signals, start).await;
    // Nobody is sent to a board that is closing.
    drop(tenancy);
    let closed = closed(session, &board, signals).await;
    served.and(closed)
}

async fn serve_until_stopped(
    session: &mut Session,
    asked: &Up,
    board: &Switchboard,
    tenancy: &Tenancy,
    signals: &mut Signals,
    start: Instant,
) -> Result<()> {
    let console = open(asked, board).await?;
    tenancy.note(&note(&console))?;
    told::start(board, session.screen.notes());
    let _reloads = reloads::start(board, !asked.no_watch)?;
    let greeting = greeting(session, board, &console, start);
    let greeted = session.screen.write_last(greeting);
    let is_asked_again = signals.wants_reload();
    tokio::select! {
        () = signals.stop() => Ok(()),
        failure = failure_of(greeted) => Err(failure),
        never = reloads::catch_up(board, is_asked_again) => match never {},
    }
}

/// That the greeting could not be written, if that is so. It may be that nobody wants to read it.
async fn failure_of(greeted: impl Future<Output = Result<()>>) -> Failure {
    match greeted.await {
        Err(Failure::Told(told)) => Failure::Told(told),
        Ok(()) | Err(Failure::OutputClosed | Failure::Stopped(_)) => std::future::pending().await,
    }
}

/// Lets all that was said be read. Who wants to stop, or has stopped it, waits no longer for that.
async fn last_words(session: &Session, signals: &mut Signals, exit: Exit) {
    let notes = session.screen.notes();
    let patience = async {
        match exit {
            // A mistake may be a long text in front of somebody who reads slowly.
            Exit::Usage => std::future::pending().await,
            _ => session.clock.sleep(LAST_WORDS_LIMIT).await,
        }
    };
    tokio::select! {
        () = notes.written() => {}
        () = signals.stop() => {}
        () = patience => {}
    }
    notes.give_up();
}

async fn open(asked: &Up, board: &Switchboard) -> Result<Console> {
    let mut config = ConsoleConfig::clone(&*board.section::<ConsoleConfig>(CONSOLE)?);
    if let Some(listen) = &asked.listen {
        config.listen.clone_from(listen);
    }
    Ok(serve(board, &config).await?)
}

/// How other commands reach the board: on this machine, also where it listens everywhere.
fn note(console: &Console) -> Note {
    Note {
        address: address(console),
        token: console.token().expose().to_owned(),
        pid: std::process::id(),
    }
}

fn address(console: &Console) -> String {
    let mut address = console.address();
    if address.ip().is_unspecified() {
        let is_ipv4 = address.is_ipv4();
        address.set_ip(if is_ipv4 { IPV4_HERE } else { IPV6_HERE });
    }
    format!("http://{address}")
}

/// What is served, and where.
fn greeting(session: &Session, board: &Switchboard, console: &Console, start: Instant) -> String {
    let took = session.clock.now() - start;
    let (screen, address) = (&session.screen, address(console));
    if screen.is_json() {
        let instances = board.instances();
        let home = session.home.folder().display().to_string();
        let ready = took.as_secs_f64() * 1e3;
        let greeting =
            json!({ "address": address, "home": home, "ready_ms": ready, "instances": instances });
        return format!("{greeting}\n");
    }
    let from = &session.sources;
    let serves = format!("{} serves {}", session.program.name, screen.paint(STRONG, &address));
    let ready = format!("ready in {} with {from}; Ctrl-C stops it", milliseconds(took));
    let instances = screen.text_of(&instances(board));
    format!("{serves}\n{instances}{}\n", screen.paint(FAINT, &ready))
}

fn instances(board: &Switchboard) -> Table {
    let mut table = Table::new().indented(2);
    let health = board.health();
    let down = health.instances.iter().filter(|found| is_down(found));
    let down: HashMap<_, _> = down.map(|found| (found.instance.as_str(), found)).collect();
    for instance in board.instances() {
        let serves = match &instance.driver {
            Some(driver) => driver.clone(),
            None => instance.members.join(", "),
        };
        let name = format!("{}.{}", instance.subsystem, instance.name);
        let since = match (board.connected_in(&name), down.get(name.as_str())) {
            (_, Some(down)) => Cell::from(failed(down)).styled(BAD),
            (Some(took), None) => {
                Cell::from(format!("connected in {}", milliseconds(took))).styled(FAINT)
            }
            (None, None) => Cell::from("when first used").styled(FAINT),
        };
        table.push([Cell::from(name).styled(STRONG), serves.into(), since]);
    }
    table
}

fn is_down(found: &InstanceHealth) -> bool {
    found.status == "down"
}

fn failed(down: &InstanceHealth) -> String {
    format!("failed: {}", down.reason.as_deref().unwrap_or("nobody knows why"))
}

/// Closes everything within its time; whoever asks a second time does not want to wait for it.
async fn closed(session: &mut Session, board: &Switchboard, signals: &mut Signals) -> Result<Exit> {
    session.screen.note("stopping");
    let limit = board.close_limit();
    let report = tokio::select! {
        report = board.close(limit) => report,
        () = signals.stop() => {
            session.screen.note("stopped without waiting");
            return Ok(Exit::Other);
        }
    };
    report.into_result()?;
    session.screen.note("stopped");
    Ok(Exit::Fine)
}

const IPV4_HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const IPV6_HERE: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// How long a board that ends waits for whoever reads its last words.
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(1);
