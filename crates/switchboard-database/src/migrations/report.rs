//! What is asked of migrations, and what is said of them.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::lint::Finding;

/// What is asked of [`Database::migrate`](crate::Database::migrate); what is not said is as the instance
/// is configured.
///
/// ```
/// use std::time::Duration;
/// use switchboard_database::MigrateOptions;
///
/// let options = MigrateOptions::new().to(20).wait(Duration::from_secs(10)).dry_run();
/// # let _ = options;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "it does nothing until migrations are applied with it"]
pub struct MigrateOptions {
    pub(super) is_dry: bool,
    pub(super) out_of_order: bool,
    pub(super) to: Option<u64>,
    pub(super) wait: Option<Duration>,
}

/// What came of applying migrations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MigrationReport {
    /// Those that were applied now, in order.
    pub applied: Vec<MigrationApplied>,
    /// Those that would be, in order: of a dry run only.
    pub planned: Vec<MigrationPlanned>,
    /// What is known to go wrong with those: of a dry run only.
    pub findings: Vec<Finding>,
}

/// A migration that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MigrationApplied {
    /// Its place in the order.
    pub version: u64,
    /// What it is called.
    pub name: String,
    /// How many statements it has.
    pub statements: usize,
    /// How long it took. Nothing for one that is only taken for applied.
    pub took: Option<Duration>,
}

/// A migration that would be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MigrationPlanned {
    /// Its place in the order.
    pub version: u64,
    /// What it is called.
    pub name: String,
    /// The file it is from.
    pub file: String,
    /// Whether it is one transaction.
    pub is_transactional: bool,
    /// The statements that would be run, each with the line it begins in.
    pub statements: Vec<(usize, String)>,
}

/// How a migration stands.
///
/// As JSON it is what `switchboard db status --format json` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MigrationStatus {
    /// Its place in the order.
    pub version: u64,
    /// What it is called.
    pub name: String,
    /// When it was applied or begun, as RFC 3339 writes it.
    pub applied_at: Option<String>,
    /// The SHA-256 of its text as it was when it was applied, else as it is.
    pub checksum: String,
    /// How it stands.
    pub state: MigrationState,
}

/// How a migration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum MigrationState {
    /// It was not applied yet.
    Pending,
    /// It was not applied yet, and cannot be: no statement stands in its file.
    Empty,
    /// It was applied.
    Applied,
    /// It is being applied, or whoever did that has gone in the middle.
    Applying,
    /// A statement of it failed, and those before it were not taken back.
    Failed,
    /// It was applied, and its file is another one since.
    Edited,
    /// It was applied, and its file is not there.
    Missing,
}

/// What becomes of a migration that stopped in the middle, once somebody has looked at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Repair {
    /// What it did was taken back by hand: all of it is run again.
    RunAgain,
    /// What it did not do was done by hand: it counts as applied.
    Done,
}

impl MigrateOptions {
    /// As the instance is configured.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says what would be done, and does nothing.
    pub fn dry_run(mut self) -> Self {
        self.is_dry = true;
        self
    }

    /// Applies those too that are older than the newest applied.
    pub fn out_of_order(mut self) -> Self {
        self.out_of_order = true;
        self
    }

    /// Applies none that is newer than `version`.
    pub fn to(mut self, version: u64) -> Self {
        self.to = Some(version);
        self
    }

    /// Waits so long for another starter that applies them; five minutes unless said.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }
}

impl MigrationState {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Empty => "empty",
            Self::Applied => "applied",
            Self::Applying => "applying",
            Self::Failed => "failed",
            Self::Edited => "edited",
            Self::Missing => "missing",
        }
    }
}

impl fmt::Display for MigrationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
