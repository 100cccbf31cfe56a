//! `db migrate`, `status`, `new`, `baseline` and `repair`: how the tables of a database come about.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard_database::{
    MigrateOptions, MigrationApplied, MigrationPlanned, MigrationReport, MigrationState,
    MigrationStatus, Migrations, Repair,
};

use super::configured::Configured;
use super::{lint, with_database};
use crate::arguments::{self, Migrate};
use crate::failure::{Exit, Result};
use crate::json::shown;
use crate::screen::{BAD, DOUBTFUL, GOOD, STRONG};
use crate::session::Session;
use crate::table::{Cell, Table};

pub(super) async fn run(session: &mut Session, asked: arguments::Migrations) -> Result<Exit> {
    use arguments::Migrations as Asked;
    match asked {
        Asked::Migrate(asked) => migrate(session, asked).await,
        Asked::Status(of) => status(session, of.database.as_deref()).await,
        Asked::Lint(asked) => lint::run(session, &asked).await,
        Asked::New { name, of } => new(session, &name, of.database.as_deref()).await,
        Asked::Baseline { version, of } => baseline(session, version, of.database.as_deref()).await,
        Asked::Repair(asked) => repair(session, &asked).await,
    }
}

async fn migrate(session: &mut Session, asked: Migrate) -> Result<Exit> {
    let options = options(&asked);
    with_database(session, asked.of.database.as_deref(), async |session, database| {
        let migrations = database.migrations().await?;
        let report = database.migrate(&migrations, &options).await?;
        if asked.dry_run { tell_planned(session, &report) } else { tell_applied(session, &report) }
    })
    .await
}

fn options(asked: &Migrate) -> MigrateOptions {
    let mut options = MigrateOptions::new();
    if asked.dry_run {
        options = options.dry_run();
    }
    if asked.out_of_order {
        options = options.out_of_order();
    }
    if let Some(version) = asked.to {
        options = options.to(version);
    }
    if let Some(wait) = asked.wait {
        options = options.wait(wait);
    }
    options
}

async fn status(session: &mut Session, name: Option<&str>) -> Result<Exit> {
    with_database(session, name, async |session, database| {
        let migrations = database.migrations().await?;
        let statuses = database.migration_status(&migrations).await?;
        if session.screen.is_json() {
            session.screen.write_json(&shown(&statuses)?)?;
        } else {
            session.screen.write_table(&status_table(&statuses))?;
        }
        Ok(Exit::Fine)
    })
    .await
}

async fn baseline(session: &mut Session, version: u64, name: Option<&str>) -> Result<Exit> {
    with_database(session, name, async |session, database| {
        let migrations = database.migrations().await?;
        let report = database.baseline_migrations(&migrations, version).await?;
        tell_applied(session, &report)
    })
    .await
}

async fn repair(session: &mut Session, asked: &arguments::Repair) -> Result<Exit> {
    let repair = if asked.done { Repair::Done } else { Repair::RunAgain };
    with_database(session, asked.of.database.as_deref(), async |session, database| {
        database.repair_migration(asked.version, repair).await?;
        if session.screen.is_json() {
            session.screen.write_json(&json!({ "ok": true }))?;
        }
        Ok(Exit::Fine)
    })
    .await
}

/// Makes a file, which takes no database.
async fn new(session: &mut Session, name: &str, of: Option<&str>) -> Result<Exit> {
    let configured = Configured::read(session, of).await?;
    let file = Migrations::create(&configured.migrations.path, name, &session.clock)?;
    let file = file.display().to_string();
    if session.screen.is_json() {
        session.screen.write_json(&json!({ "file": file }))?;
    } else {
        session.screen.write_line(file)?;
    }
    Ok(Exit::Fine)
}

fn tell_applied(session: &mut Session, report: &MigrationReport) -> Result<Exit> {
    if session.screen.is_json() {
        let applied: Vec<_> = report.applied.iter().map(applied_json).collect();
        session.screen.write_json(&json!({ "applied": applied }))?;
    } else if report.applied.is_empty() {
        session.screen.write_line("nothing to apply")?;
    } else {
        session.screen.write_table(&applied_table(&report.applied))?;
    }
    Ok(Exit::Fine)
}

fn tell_planned(session: &mut Session, report: &MigrationReport) -> Result<Exit> {
    if session.screen.is_json() {
        let planned: Vec<_> = report.planned.iter().map(planned_json).collect();
        let findings = shown(&report.findings)?;
        session.screen.write_json(&json!({ "planned": planned, "findings": findings }))?;
        return Ok(Exit::Fine);
    }
    if report.planned.is_empty() {
        session.screen.write_line("nothing to apply")?;
    } else {
        let scripts: Vec<_> = report.planned.iter().map(script).collect();
        session.screen.write(scripts.join("\n"))?;
    }
    // What is written is a script, and stays one.
    for finding in &report.findings {
        session.screen.note(lint::told(&session.screen, finding));
    }
    Ok(Exit::Fine)
}

fn applied_json(applied: &MigrationApplied) -> Value {
    json!({
        "version": applied.version,
        "name": applied.name,
        "statements": applied.statements,
        "took_ms": applied.took.map(milliseconds),
    })
}

fn planned_json(planned: &MigrationPlanned) -> Value {
    let statement = |(line, sql): &(usize, String)| json!({ "line": line, "sql": sql });
    json!({
        "version": planned.version,
        "name": planned.name,
        "file": planned.file,
        "transaction": planned.is_transactional,
        "statements": planned.statements.iter().map(statement).collect::<Vec<_>>(),
    })
}

fn applied_table(applied: &[MigrationApplied]) -> Table {
    let mut table = Table::new();
    for MigrationApplied { version, name, took, .. } in applied {
        let how = took.map_or_else(
            || "taken for applied".to_owned(),
            |took| format!("applied in {:.1} ms", milliseconds(took)),
        );
        table.push([
            version.to_string().into(),
            Cell::from(name.as_str()).styled(STRONG),
            Cell::from(how).styled(GOOD),
        ]);
    }
    table
}

/// The statements of a migration as a script, which says where they are from.
fn script(planned: &MigrationPlanned) -> String {
    let how = if planned.is_transactional { "in one transaction" } else { "one by one" };
    let statements: String =
        planned.statements.iter().flat_map(|(_, sql)| [sql.as_str(), ";\n"]).collect();
    format!("-- {}, {how}\n{statements}", planned.file)
}

fn status_table(statuses: &[MigrationStatus]) -> Table {
    let mut table = Table::headed(["VERSION", "NAME", "STATE", "APPLIED"]);
    for MigrationStatus { version, name, applied_at, state, .. } in statuses {
        let style = match state {
            MigrationState::Applied => GOOD,
            MigrationState::Pending | MigrationState::Empty => DOUBTFUL,
            _ => BAD,
        };
        table.push([
            version.to_string().into(),
            Cell::from(name.as_str()).styled(STRONG),
            Cell::from(state.as_str()).styled(style),
            applied_at.as_deref().unwrap_or_default().into(),
        ]);
    }
    table
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
