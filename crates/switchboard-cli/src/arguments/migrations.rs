//! What can be said of migrations.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::Error as TextError;
use switchboard_core::settings::DurationText;

#[derive(Debug, Subcommand)]
pub(crate) enum Migrations {
    /// Apply the migrations that were not applied yet
    ///
    /// They are the files of the folder `migrations.path` of the database, which is `migrations` unless
    /// configured. Of several that start at the same time one applies them, and the others wait.
    Migrate(Migrate),
    /// Show which migrations there are, and which were applied
    Status(OfDatabase),
    /// Make a file for a migration, with the next version in its name
    New {
        /// What it does, in a few words
        name: String,
        #[command(flatten)]
        of: OfDatabase,
    },
    /// Tell what is known to go wrong with migrations: exit code 1 if something does
    ///
    /// Their files are read, and no database is asked. A comment allows what a rule finds in its file:
    /// `-- lint: allow drop-column because nobody has read it since May`.
    Lint(Lint),
    /// Take all migrations up to a version for applied, without running them
    Baseline {
        /// The version of the last one
        version: u64,
        #[command(flatten)]
        of: OfDatabase,
    },
    /// Say what became of a migration that stopped in the middle
    Repair(Repair),
}

#[derive(Args, Debug)]
pub(crate) struct OfDatabase {
    /// The database: main, or database.main; without one the default
    pub(crate) database: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Migrate {
    #[command(flatten)]
    pub(crate) of: OfDatabase,

    /// Only write the statements that would be run
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Apply none that is newer than this version
    #[arg(long, value_name = "VERSION")]
    pub(crate) to: Option<u64>,

    /// Apply those too that are older than the newest applied
    #[arg(long)]
    pub(crate) out_of_order: bool,

    /// How long another may take that applies them at the moment, like 30s [default: 5m]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) wait: Option<Duration>,
}

#[derive(Args, Debug)]
pub(crate) struct Lint {
    #[command(flatten)]
    pub(crate) of: OfDatabase,

    /// Only those that are newer than this version, taken for one release: a table that one of them
    /// makes is new to all of them
    #[arg(long, value_name = "VERSION")]
    pub(crate) since: Option<u64>,

    /// Exit code 1 also for warnings
    #[arg(long)]
    pub(crate) strict: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Repair {
    /// The version of the migration
    pub(crate) version: u64,

    #[command(flatten)]
    pub(crate) of: OfDatabase,

    /// What was missing of it was done by hand: it counts as applied
    #[arg(long, required_unless_present = "again", conflicts_with = "again")]
    pub(crate) done: bool,

    /// What it did was taken back by hand: all of it is run again
    #[arg(long)]
    pub(crate) again: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    let read = DurationText::deserialize(text.into_deserializer());
    let DurationText(time) = read.map_err(|error: TextError| error.to_string())?;
    Ok(time)
}
