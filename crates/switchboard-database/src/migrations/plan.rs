//! Files against rows: how each migration stands, what is to be applied, and what speaks against it.

use std::collections::{BTreeMap, BTreeSet};

use switchboard_core::{Error, ErrorKind, Result};

use super::files::{Migration, Migrations, all_or};
use super::journal::{Mark, Record};
use super::limits;
use super::report::{MigrateOptions, MigrationPlanned, MigrationState, MigrationStatus};
use super::server::Server;
use super::statements::{Part, is_empty, parts};
use crate::Dialect;

/// What is to be applied, in order.
#[derive(Debug)]
pub(super) struct Plan<'m> {
    pub(super) steps: Vec<Planned<'m>>,
}

/// A migration that is to be applied.
#[derive(Debug)]
pub(super) struct Planned<'m> {
    pub(super) migration: &'m Migration,
    pub(super) parts: Vec<Part<'m>>,
    pub(super) is_transactional: bool,
}

impl<'m> Plan<'m> {
    /// What is to be applied after what the database says; an error names all that speaks against it.
    pub(super) fn new(
        migrations: &'m Migrations,
        records: &[Record],
        dialect: &Dialect,
        options: &MigrateOptions,
    ) -> Result<Self> {
        let server = Server::of(dialect)?;
        let mut mistakes = history_mistakes(migrations, records);
        let done: BTreeSet<_> = records.iter().map(Record::version).collect();
        let newest = done.last().copied().unwrap_or(0);
        let wanted = |migration: &&Migration| {
            !done.contains(&migration.version)
                && options.to.is_none_or(|to| migration.version <= to)
        };
        let mut steps = Vec::new();
        for migration in migrations.iter().filter(wanted) {
            if migration.version < newest && !options.out_of_order {
                mistakes.push(too_late(migration, newest));
            }
            let parts = parts(migration, dialect, &mut mistakes);
            if parts.is_empty() {
                mistakes.push(unwritten(migration));
            }
            let is_transactional = migration.is_transactional && dialect.has_transactional_ddl;
            mistakes.extend(limits::kept(migration, is_transactional, server).err());
            steps.push(Planned { migration, parts, is_transactional });
        }
        all_or("the migrations cannot be applied", mistakes)?;
        Ok(Self { steps })
    }
}

impl Planned<'_> {
    pub(super) fn shown(&self) -> MigrationPlanned {
        let shown = |part: &Part<'_>| (part.line, part.sql.to_owned());
        MigrationPlanned {
            version: self.migration.version,
            name: self.migration.name.clone(),
            file: self.migration.file.clone(),
            is_transactional: self.is_transactional,
            statements: self.parts.iter().map(shown).collect(),
        }
    }
}

/// How each one stands, the oldest first.
pub(super) fn statuses(
    migrations: &Migrations,
    records: &[Record],
    dialect: &Dialect,
) -> Vec<MigrationStatus> {
    let with_version = |migration: &Migration| (migration.version, pending(migration, dialect));
    let mut all: BTreeMap<_, _> = migrations.iter().map(with_version).collect();
    for record in records {
        all.insert(record.version(), recorded(record, migrations.get(record.version())));
    }
    all.into_values().collect()
}

/// What speaks against going on from what was applied.
fn history_mistakes(migrations: &Migrations, records: &[Record]) -> Vec<Error> {
    let mistake = |record: &Record| {
        let migration = migrations.get(record.version());
        match recorded(record, migration).state {
            MigrationState::Applying | MigrationState::Failed => Some(stopped(record, migration)),
            MigrationState::Missing => Some(missing(record)),
            MigrationState::Edited => migration.map(|migration| edited(record, migration)),
            MigrationState::Applied | MigrationState::Pending | MigrationState::Empty => None,
        }
    };
    records.iter().filter_map(mistake).collect()
}

fn pending(migration: &Migration, dialect: &Dialect) -> MigrationStatus {
    let is_empty = is_empty(migration, dialect);
    let state = if is_empty { MigrationState::Empty } else { MigrationState::Pending };
    MigrationStatus {
        version: migration.version,
        name: migration.name.clone(),
        applied_at: None,
        checksum: migration.checksum.clone(),
        state,
    }
}

fn recorded(record: &Record, migration: Option<&Migration>) -> MigrationStatus {
    MigrationStatus {
        version: record.version(),
        name: record.name.clone(),
        applied_at: Some(record.applied_at.clone()),
        checksum: record.checksum.clone(),
        state: match (record.state, migration) {
            (Mark::Applying, _) => MigrationState::Applying,
            (Mark::Failed, _) => MigrationState::Failed,
            (Mark::Applied, None) => MigrationState::Missing,
            (Mark::Applied, Some(migration)) if migration.checksum != record.checksum => {
                MigrationState::Edited
            }
            (Mark::Applied, Some(_)) => MigrationState::Applied,
        },
    }
}

/// A migration that stopped at a statement, which nobody can take back but by hand.
pub(super) fn stopped(record: &Record, migration: Option<&Migration>) -> Error {
    let message = match record.state {
        Mark::Failed => {
            "a migration failed at a statement, and those before it were not taken back"
        }
        _ => "a migration was begun, and nobody knows whether its last statement was run",
    };
    let mut error = of_history(message, record);
    if let Some(line) = record.statement_line {
        let file = migration.map_or(record.name.as_str(), |migration| &migration.file);
        error = error.with_context("file", format_args!("{file}:{line}"));
    }
    if let Some(number) = record.statement_number {
        error = error.with_context("number", number);
    }
    if let Some(statement) = &record.statement {
        error = error.with_context("statement", statement);
    }
    let version = record.version();
    error.with_hint(format!(
        "bring the database in order by hand, then say so: `switchboard db repair {version} --done`, or \
         `--again` to have all of it run again"
    ))
}

fn missing(record: &Record) -> Error {
    of_history("a migration was applied whose file is not there", record)
}

fn edited(record: &Record, migration: &Migration) -> Error {
    of_history("a migration was changed after it was applied", record)
        .with_context("file", &migration.file)
        .with_context("applied_checksum", &record.checksum)
        .with_context("checksum", &migration.checksum)
        .with_hint("bring the file back as it was, and write what is to be changed in a new one")
}

/// Applied, it would be taken for edited as soon as somebody writes it.
fn unwritten(migration: &Migration) -> Error {
    let line = migration.text.lines().count().max(1);
    Error::new(ErrorKind::Config, "the migration has no statement yet")
        .with_context("file", format_args!("{}:{line}", migration.file))
        .with_hint("write there what it changes, like `alter table users add mail varchar(200);`")
        .with_hint("or remove the file")
        .not_applied()
}

fn too_late(migration: &Migration, newest: u64) -> Error {
    Error::new(ErrorKind::PreconditionFailed, "a migration is older than the newest applied")
        .with_context("file", &migration.file)
        .with_context("version", migration.version)
        .with_context("newest", newest)
        .with_hint("give it a newer version, or set `migrations.out_of_order`")
        .not_applied()
}

fn of_history(message: &'static str, record: &Record) -> Error {
    Error::new(ErrorKind::PreconditionFailed, message)
        .with_context("version", record.version())
        .with_context("name", &record.name)
        .not_applied()
}
