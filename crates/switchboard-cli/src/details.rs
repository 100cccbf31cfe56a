//! What a database shows of its pools: the shape in which boards tell it.
//!
//! A running board may be of another version, so what is missing reads as nothing.

use serde::{Deserialize, Serialize};
use switchboard_database::{Database, Holder, PoolFigures};

/// What a database shows.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Shown {
    /// The full name: `database.main`.
    pub(crate) instance: String,
    /// Nothing while nobody has used it.
    pub(crate) details: Option<Details>,
}

/// The pools of a database, and who has their connections.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Details {
    pub(crate) pools: Vec<PoolDetails>,
    /// The longest first.
    pub(crate) holders: Vec<HolderDetails>,
}

/// How many connections there are, and what they are at.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct PoolDetails {
    /// `write`, and `read` where reading has connections of its own.
    pub(crate) pool: String,
    pub(crate) max: usize,
    pub(crate) size: usize,
    pub(crate) idle: usize,
    pub(crate) in_use: usize,
    pub(crate) waiting: usize,
    pub(crate) connecting: usize,
    pub(crate) is_suspended: bool,
}

/// Somebody who has a connection.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct HolderDetails {
    pub(crate) age_ms: f64,
    /// The file and the line that took it.
    pub(crate) place: String,
    pub(crate) task: Option<String>,
    /// What was sent last, without any value.
    pub(crate) statement: Option<String>,
    pub(crate) is_running: bool,
    /// What the server calls the connection.
    pub(crate) connection: Option<String>,
    pub(crate) is_leaked: bool,
}

impl Details {
    pub(crate) fn of(database: &Database) -> Self {
        let pools = database.pools();
        let pools = ["write", "read"].into_iter().zip(&pools);
        Self {
            pools: pools.map(|(name, pool)| PoolDetails::of(name, pool)).collect(),
            holders: database.holders().iter().map(HolderDetails::of).collect(),
        }
    }
}

impl PoolDetails {
    fn of(name: &str, pool: &PoolFigures) -> Self {
        Self {
            pool: name.to_owned(),
            max: pool.max,
            size: pool.size,
            idle: pool.idle,
            in_use: pool.in_use,
            waiting: pool.waiting,
            connecting: pool.connecting,
            is_suspended: pool.is_suspended,
        }
    }
}

impl HolderDetails {
    fn of(holder: &Holder) -> Self {
        Self {
            age_ms: holder.age.as_secs_f64() * 1e3,
            place: format!("{}:{}", holder.place.file(), holder.place.line()),
            task: holder.task.clone(),
            statement: holder.statement.clone(),
            is_running: holder.is_running,
            connection: holder.connection.clone(),
            is_leaked: holder.is_leaked,
        }
    }
}
