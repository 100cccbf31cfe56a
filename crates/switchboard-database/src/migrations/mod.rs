//! Migrations: files that bring a database from one shape to the next, each applied once.
//!
//! Read in this order: [`Migrations`], the files; `journal.rs`, what the database says of them;
//! `plan.rs`, one against the other; `lease.rs`, who may apply them; `apply.rs`, how one is applied;
//! `lint`, what is known to go wrong with them.

mod apply;
mod create;
mod files;
mod journal;
mod lease;
mod limits;
mod lint;
mod plan;
mod report;
mod server;
mod statements;

#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use switchboard_core::{Error, ErrorKind, Held, Result};

pub use files::{Migration, Migrations};
pub use lint::{Finding, LintOptions, LintRule, Severity};
pub use report::{
    MigrateOptions, MigrationApplied, MigrationPlanned, MigrationReport, MigrationState,
    MigrationStatus, Repair,
};

use crate::{Database, Databases, Dialect, MigrationsConfig, op};
use apply::Applying;
use journal::{Journal, Mark, Record};
use lease::Lease;
use plan::Plan;
use server::{Server, Table};

impl Database {
    /// The migrations in the [folder](Self::migrations_folder) of the instance.
    pub async fn migrations(&self) -> Result<Migrations> {
        Migrations::load(self.migrations_folder().await?)
    }

    /// The folder that the instance is configured to have its migrations in: `migrations.path`, which is
    /// relative to where the process was started.
    pub async fn migrations_folder(&self) -> Result<PathBuf> {
        let (_, config) = self.migrated().await?;
        Ok(config.path)
    }

    /// Applies what was not applied yet, oldest first.
    ///
    /// Of several starters one does so while the others wait, and then find nothing to do. Each migration
    /// is applied in one transaction with the row that says so; where that cannot be, statement by
    /// statement with a mark of how far it came, and [`repair_migration`](Self::repair_migration) is for
    /// one that stopped in the middle.
    ///
    /// What was changed, is missing, comes too late, stopped in the middle or has no statement yet is an
    /// error that names all of it, and nothing is applied.
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")]
    /// # {
    /// # use switchboard_core::{Environment, Manager, Registry, Settings};
    /// use switchboard_database::{Databases, MigrateOptions, Migrations};
    ///
    /// # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// # let databases = Manager::<Databases>::new(Registry::with_built_ins()?, &Environment::new())?;
    /// # databases.configure("main", &Settings::new().with("url", "sqlite::memory:"))?;
    /// # let main = databases.handle("main")?;
    /// let migrations = Migrations::embedded(&[
    ///     ("0001_create_users.sql", "create table users (id integer primary key)"),
    /// ])?;
    /// let report = main.migrate(&migrations, &MigrateOptions::new()).await?;
    /// assert_eq!(report.applied[0].name, "create_users");
    ///
    /// let again = main.migrate(&migrations, &MigrateOptions::new()).await?;
    /// assert!(again.applied.is_empty());
    /// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
    /// # }
    /// ```
    pub async fn migrate(
        &self,
        migrations: &Migrations,
        options: &MigrateOptions,
    ) -> Result<MigrationReport> {
        let (dialect, config) = self.migrated().await?;
        let journal = self.journal(dialect, &config).await?;
        let options = MigrateOptions {
            out_of_order: options.out_of_order || config.out_of_order,
            ..options.clone()
        };
        let plan = |records: &[Record]| Plan::new(migrations, records, dialect, &options);
        if options.is_dry {
            let steps = plan(&journal.read().await?)?.steps;
            let findings = Box::pin(self.findings(migrations, &steps, dialect, &config)).await?;
            let planned = steps.iter().map(plan::Planned::shown).collect();
            return Ok(MigrationReport { planned, findings, ..MigrationReport::default() });
        }
        // Most starts find nothing to do, and need no lease for that.
        if journal.is_complete(migrations, &options, dialect).await? {
            return Ok(MigrationReport::default());
        }
        let lease = journal.lease(&config, &options).await?;
        let applied = async {
            // Whoever had the lease before may have done all of it.
            let steps = plan(&journal.read().await?)?.steps;
            let applying = Applying { journal: &journal, lease: &lease, config: &config };
            apply_all(&applying, &steps).await
        };
        // The callers' futures stay small.
        let applied = Box::pin(applied).await;
        lease.ended(applied).await
    }

    /// How each migration stands, oldest first: those that there are, and those that were applied.
    pub async fn migration_status(&self, migrations: &Migrations) -> Result<Vec<MigrationStatus>> {
        let (dialect, config) = self.migrated().await?;
        let records = self.journal(dialect, &config).await?.read().await?;
        Ok(plan::statuses(migrations, &records, dialect))
    }

    /// Takes all up to and with `version` for applied, without running them: for a database that was
    /// there before its migrations. Nothing is changed for those that were applied.
    pub async fn baseline_migrations(
        &self,
        migrations: &Migrations,
        version: u64,
    ) -> Result<MigrationReport> {
        if migrations.get(version).is_none() {
            return Err(no_such_version(version));
        }
        let (dialect, config) = self.migrated().await?;
        let journal = self.journal(dialect, &config).await?;
        let options = MigrateOptions { out_of_order: true, ..MigrateOptions::new().to(version) };
        let lease = journal.lease(&config, &options).await?;
        let taken = async {
            let plan = Plan::new(migrations, &journal.read().await?, dialect, &options)?;
            take_for_applied(&journal, &lease, &plan).await
        };
        let taken = taken.await;
        lease.ended(taken).await
    }

    /// Says what became of a migration that stopped in the middle, once somebody has looked at it.
    pub async fn repair_migration(&self, version: u64, repair: Repair) -> Result<()> {
        let (dialect, config) = self.migrated().await?;
        let journal = self.journal(dialect, &config).await?;
        let lease = journal.lease(&config, &MigrateOptions::new()).await?;
        let repaired = journal.repair(&lease, version, repair).await;
        lease.ended(repaired).await
    }

    /// What is known to go wrong with those that would be applied, together.
    async fn findings(
        &self,
        migrations: &Migrations,
        steps: &[plan::Planned<'_>],
        dialect: &'static Dialect,
        config: &MigrationsConfig,
    ) -> Result<Vec<Finding>> {
        let has_lock_timeout = match config.lock_timeout {
            Some(limit) => !limit.is_zero(),
            None => Server::of(dialect)?.waits_with_limit(self).await?,
        };
        let is_step = |migration: &Migration| {
            steps.binary_search_by_key(&migration.version, |step| step.migration.version).is_ok()
        };
        Ok(migrations.lint_those(dialect, is_step, true, has_lock_timeout))
    }

    /// How the database writes its SQL, and how its migrations are configured.
    async fn migrated(&self) -> Result<(&'static Dialect, MigrationsConfig)> {
        let config = self.line().call(op::CONNECTION, |engine: Held<Databases>| async move {
            Ok(engine.config().migrations.clone())
        });
        let config = config.await?;
        let dialect = self.dialect().ok_or_else(apply::no_single_database)?;
        Ok((dialect, config))
    }

    async fn journal(
        &self,
        dialect: &'static Dialect,
        config: &MigrationsConfig,
    ) -> Result<Journal> {
        let server = Server::of(dialect)?;
        Journal::open(self, server, Table::parse(&config.table, dialect)?).await
    }
}

impl Journal {
    /// The right to apply migrations, once nobody else has it.
    async fn lease(&self, config: &MigrationsConfig, options: &MigrateOptions) -> Result<Lease> {
        self.prepare().await?;
        let ttl = config.lock_ttl.max(LOCK_TTL_MIN);
        Lease::take(self, ttl, options.wait.unwrap_or(WAIT_USUAL)).await
    }

    /// Whether there is nothing to do, and nothing to complain of.
    async fn is_complete(
        &self,
        migrations: &Migrations,
        options: &MigrateOptions,
        dialect: &Dialect,
    ) -> Result<bool> {
        let statuses = plan::statuses(migrations, &self.read().await?, dialect);
        let is_wanted =
            |status: &&MigrationStatus| options.to.is_none_or(|to| status.version <= to);
        let is_applied = |status: &MigrationStatus| status.state == MigrationState::Applied;
        Ok(statuses.iter().filter(is_wanted).all(is_applied))
    }

    async fn repair(&self, lease: &Lease, version: u64, repair: Repair) -> Result<()> {
        let records = self.read().await?;
        let is_stopped =
            |record: &&Record| record.version() == version && record.state != Mark::Applied;
        if !records.iter().any(|record| is_stopped(&record)) {
            return Err(nothing_to_repair(version));
        }
        lease.renew(&self.database).await?;
        match repair {
            Repair::RunAgain => self.forget(&self.database, version).await,
            Repair::Done => self.finished(&self.database, version, None).await,
        }
    }
}

async fn apply_all(
    applying: &Applying<'_>,
    steps: &[plan::Planned<'_>],
) -> Result<MigrationReport> {
    let mut report = MigrationReport::default();
    for planned in steps {
        let applied = applying.apply(planned).await;
        let before = report.applied.len();
        let applied = applied.map_err(|error| apply::after(error, before))?;
        tracing::info!(
            instance = applying.journal.instance(),
            version = applied.version,
            name = applied.name,
            "migration applied"
        );
        report.applied.push(applied);
    }
    Ok(report)
}

async fn take_for_applied(
    journal: &Journal,
    lease: &Lease,
    plan: &Plan<'_>,
) -> Result<MigrationReport> {
    let mut report = MigrationReport::default();
    for plan::Planned { migration, parts, .. } in &plan.steps {
        lease.renew(&journal.database).await?;
        journal.applied(&journal.database, migration, None).await?;
        report.applied.push(MigrationApplied {
            version: migration.version,
            name: migration.name.clone(),
            statements: parts.len(),
            took: None,
        });
    }
    Ok(report)
}

fn no_such_version(version: u64) -> Error {
    Error::new(ErrorKind::NotFound, "there is no migration of that version")
        .with_context("version", version)
        .not_applied()
}

fn nothing_to_repair(version: u64) -> Error {
    Error::new(ErrorKind::NotFound, "no migration of that version stopped in the middle")
        .with_context("version", version)
        .not_applied()
}

/// How long who finds another at it waits, unless something else is said.
const WAIT_USUAL: Duration = Duration::from_mins(5);

/// What is shorter would end between one step and the next.
const LOCK_TTL_MIN: Duration = Duration::from_secs(1);
