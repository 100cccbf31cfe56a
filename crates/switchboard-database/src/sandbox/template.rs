//! What a database for a test begins as.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use sha2::{Digest as _, Sha256};
use switchboard_core::{Manager, Result};

use super::copied::Workshop;
use crate::{Database, Databases, MigrateOptions, Migrations};

/// What a database of a sandbox begins as: migrations, and whatever else every test needs.
///
/// Where the server can copy databases it is made once, under a name that is a hash of all its steps, and lasts: each
/// sandbox is a copy of it. Steps that change make another one.
///
/// ```
/// # use switchboard_core::Result;
/// use switchboard_database::{Database, Migrations, Statements as _, Template};
///
/// async fn users(database: Database) -> Result<()> {
///     database.execute("insert into users values (1, 'Ada')", ()).await.map(drop)
/// }
///
/// # fn template() -> Result<Template> {
/// let migrations = Migrations::load("migrations")?;
/// Ok(Template::new().migrated(&migrations).step("users 1", users))
/// # }
/// ```
#[derive(Clone, Default)]
#[must_use = "a template does nothing until a sandbox is made of it"]
pub struct Template {
    steps: Vec<Step>,
    names: Sha256,
}

#[derive(Clone)]
struct Step(Arc<dyn Fn(Database) -> BoxFuture<'static, Result<()>> + Send + Sync>);

impl Template {
    /// An empty database.
    pub fn new() -> Self {
        Self::default()
    }

    /// Then `migrations` are applied.
    pub fn migrated(self, migrations: &Migrations) -> Self {
        let mut version = String::from("migrations");
        for migration in migrations.iter() {
            version.extend([" ", &migration.file, " ", &migration.checksum]);
        }
        let migrations = migrations.clone();
        self.step(&version, move |database| {
            let migrations = migrations.clone();
            async move { database.migrate(&migrations, &MigrateOptions::new()).await.map(drop) }
        })
    }

    /// Then `step` is done. Nobody sees when what it does changes, so `version` has to be another one then.
    pub fn step<F, Fut>(mut self, version: &str, step: F) -> Self
    where
        F: Fn(Database) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        self.names.update(version.len().to_le_bytes());
        self.names.update(version);
        self.steps.push(Step(Arc::new(move |database| Box::pin(step(database)))));
        self
    }

    /// Removes what was made of it beside the database `name`, so that the next sandbox makes it anew.
    pub async fn forget(&self, databases: &Manager<Databases>, name: &str) -> Result<()> {
        Workshop::of(databases, name).await?.forget(self).await
    }

    /// Does all steps in their order.
    pub(super) async fn prepare(&self, database: &Database) -> Result<()> {
        for Step(step) in &self.steps {
            step(database.clone()).await?;
        }
        Ok(())
    }

    /// What differs where the steps or the `surroundings` do.
    pub(super) fn hash(&self, surroundings: &str) -> String {
        let whole = self.names.clone().chain_update(surroundings).finalize();
        whole.iter().take(HASH_BYTES).fold(String::new(), |hash, byte| format!("{hash}{byte:02x}"))
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").field("steps", &self.steps.len()).finish_non_exhaustive()
    }
}

const HASH_BYTES: usize = 10;
