//! `up`: the board, served until somebody stops it.

mod reloads;
mod signals;
mod told;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use serde_json::json;
use switchboard::Switchboard;
use switchboard_console::{Console, ConsoleConfig, serve};

use self::signals::Signals;
use self::told::Told;
use super::check::milliseconds;
use crate::arguments::Up;
use crate::configuration;
use crate::failure::{Exit, Failure, Result};
use crate::home::{Note, Tenancy};
use crate::screen::{FAINT, STRONG};
use crate::session::{CONSOLE, Session};
use crate::table::{Cell, Table};

pub(super) async fn run(session: &mut Session, asked: &Up) -> Result<Exit> {
    let start = session.clock.now();
    // Before anything is built: who stops it while it starts is heard too.
    let mut signals = Signals::listen()?;
    let tenancy = session.home.move_in(&session.clock).await?;
    let builder = session.configured()?;
    let board = tokio::select! {
        board = builder.build() => board?,
        () = signals.stop() => return Ok(Exit::Fine),
    };
    let served = serve_until_stopped(session, asked, &board, &tenancy, &mut signals, start).await;
    // Nobody is sent to a board that is closing.
    drop(tenancy);
    let closed = closed(session, &board, &mut signals).await;
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
    let _reloads = reloads::start(board, !asked.no_watch)?;
    if let Err(Failure::Told(told)) = greet(session, board, &console, start) {
        return Err(Failure::Told(told));
    }
    let told = Told::new(board);
    tokio::select! {
        () = signals.stop() => Ok(()),
        never = told.go_on(session) => match never {},
    }
}

async fn open(asked: &Up, board: &Switchboard) -> Result<Console> {
    let mut config = ConsoleConfig::clone(&*board.section::<ConsoleConfig>(CONSOLE)?);
    if let Some(listen) = asked.listen {
        config.listen = listen.to_string();
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
fn greet(
    session: &mut Session,
    board: &Switchboard,
    console: &Console,
    start: Instant,
) -> Result<()> {
    let took = session.clock.now() - start;
    let address = address(console);
    if session.screen.is_json() {
        let instances = board.instances();
        let home = session.home.folder().display().to_string();
        let ready = took.as_secs_f64() * 1e3;
        let greeting =
            json!({ "address": address, "home": home, "ready_ms": ready, "instances": instances });
        return session.screen.write_line(greeting.to_string());
    }
    let from = configuration::described(&session.common);
    let line = format!("{} serves {}", session.program, session.screen.paint(STRONG, &address));
    session.screen.write_line(line)?;
    session.screen.write_table(&instances(board))?;
    let line = format!("ready in {} with {from}; Ctrl-C stops it", milliseconds(took));
    session.screen.write_line(session.screen.paint(FAINT, &line))
}

fn instances(board: &Switchboard) -> Table {
    let mut table = Table::new().indented(2);
    for instance in board.instances() {
        let serves = match &instance.driver {
            Some(driver) => driver.clone(),
            None => instance.members.join(", "),
        };
        let name = format!("{}.{}", instance.subsystem, instance.name);
        let since = match board.connected_in(&name) {
            Some(took) => format!("connected in {}", milliseconds(took)),
            None => "when first used".to_owned(),
        };
        table.push([
            Cell::from(name).styled(STRONG),
            serves.into(),
            Cell::from(since).styled(FAINT),
        ]);
    }
    table
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
