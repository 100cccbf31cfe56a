//! `drivers`: what instances can name. No configuration is read for it.

use serde_json::Value;
use switchboard::DriverView;
use switchboard_core::{Error, ErrorKind, Name};

use crate::arguments::Drivers;
use crate::desk::Desk;
use crate::failure::{Exit, Result};
use crate::json::{is, items, shown, text};
use crate::screen::{DOUBTFUL, STRONG};
use crate::session::Session;
use crate::table::{Cell, Table};

pub(super) async fn run(session: &mut Session, asked: &Drivers) -> Result<Exit> {
    let board = session.bare().without_configuration().idle().build().await?;
    let drivers = of_subsystem(board.drivers(), asked.subsystem.as_deref());
    Desk::Own(board).close().await?;
    let drivers = shown(&drivers?)?;
    if session.screen.is_json() {
        session.screen.write_json(&drivers)?;
    } else {
        session.screen.write_table(&table(&drivers))?;
    }
    Ok(Exit::Fine)
}

fn of_subsystem(drivers: Vec<DriverView>, asked: Option<&str>) -> Result<Vec<DriverView>> {
    let Some(asked) = asked else { return Ok(drivers) };
    let known = drivers.iter().map(|driver| driver.subsystem);
    if known.clone().any(|subsystem| subsystem.eq_ignore_ascii_case(asked)) {
        return Ok(drivers
            .into_iter()
            .filter(|driver| driver.subsystem.eq_ignore_ascii_case(asked))
            .collect());
    }
    let mut known = known.collect::<Vec<_>>();
    known.dedup();
    let error = Error::new(ErrorKind::NotRegistered, "no such subsystem has drivers")
        .with_context("subsystem", format_args!("{asked:?}"))
        .with_context("subsystems", known.join(", "));
    Err(match Name::nearest(asked, known) {
        Some(meant) => error.with_hint(format!("did you mean {meant:?}?")).into(),
        None => error.into(),
    })
}

fn table(drivers: &Value) -> Table {
    let mut table = Table::headed(["SUBSYSTEM", "DRIVER", "ALSO", "CAN", "", "SUMMARY"]);
    for driver in items(drivers) {
        let proven = if is(driver, "proven") { "" } else { "unproven" };
        table.push([
            text(driver, "subsystem").into(),
            Cell::from(text(driver, "name")).styled(STRONG),
            text(driver, "aliases").into(),
            capabilities(&driver["capabilities"]).into(),
            Cell::from(proven).styled(DOUBTFUL),
            text(driver, "summary").into(),
        ]);
    }
    table
}

/// What it can do beyond its contract, and what only with a detour.
fn capabilities(of: &Value) -> String {
    let named = of.as_object().into_iter().flatten().filter_map(|(name, support)| {
        match support.as_str()? {
            "native" => Some(name.clone()),
            "no" => None,
            support => Some(format!("{name} ({support})")),
        }
    });
    named.collect::<Vec<_>>().join(", ")
}
