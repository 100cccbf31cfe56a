//! What the configuration says of a database, for what does not ask it.

use serde::Deserialize as _;
use serde_json::{Map, Value, json};
use switchboard::Switchboard;
use switchboard_core::{Error, ErrorKind};
use switchboard_database::{Dialect, MigrationsConfig, drivers};

use super::with_board;
use crate::failure::{Failure, Result};
use crate::session::Session;

/// What the configuration says of a database, which nobody connects to.
pub(super) struct Configured {
    pub(super) migrations: MigrationsConfig,
    /// Whether its sessions wait for locks with a limit.
    pub(super) has_lock_timeout: bool,
    driver: Option<String>,
}

impl Configured {
    /// Without a name what it says of the default one.
    pub(super) async fn read(session: &mut Session, name: Option<&str>) -> Result<Self> {
        with_board(session, name, async |_, board, database| {
            Self::of(board, &format!("database.{}", database.line().instance()))
        })
        .await
    }

    fn of(board: &Switchboard, instance: &str) -> Result<Self> {
        let explained = board.explain(instance)?;
        let said = |path: &str| {
            let mut settings = explained.settings.iter();
            let setting = settings.find(|setting| setting.path == path)?;
            Some(setting.value.as_str()).filter(|value| *value != NOT_SAID)
        };
        let migrations = MIGRATIONS.iter().filter_map(|key| {
            Some(((*key).to_owned(), json!(said(&format!("migrations.{key}"))?)))
        });
        let migrations: Map<_, _> = migrations.collect();
        let migrations = MigrationsConfig::deserialize(Value::from(migrations));
        let migrations = migrations.map_err(Failure::unexpected)?;
        let has_lock_timeout = match migrations.lock_timeout {
            Some(limit) => !limit.is_zero(),
            None => said("session.lock_timeout").is_some(),
        };
        Ok(Self { migrations, has_lock_timeout, driver: explained.driver })
    }

    /// How its SQL is written.
    pub(super) fn dialect(&self) -> Result<&'static Dialect> {
        let Some(driver) = &self.driver else {
            let error =
                Error::new(ErrorKind::Unsupported, "a group of databases has no SQL of its own");
            return Err(error.with_hint("name one of its members").into());
        };
        let unknown = || {
            let message = "how this driver writes its SQL is known once it is connected";
            let error = Error::new(ErrorKind::Unsupported, message).with_context("driver", driver);
            error.with_hint("`db migrate --dry-run` connects, and tells the same")
        };
        Ok(drivers::dialect(driver).ok_or_else(unknown)?)
    }
}

/// The settings of migrations that matter where no database is asked.
const MIGRATIONS: &[&str] = &["path", "lock_timeout"];

/// What stands for a setting that nobody has said, and whose default is not known outside.
const NOT_SAID: &str = "(default)";
