//! What can be said of every database, whichever driver serves it.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_core::settings::duration;

use crate::Isolation;

/// The settings that every database has, beside those of its driver.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the configuration")]
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DatabaseConfig {
    /// How many connections there are, and how they are looked after.
    pub pool: PoolConfig,
    /// Refuses everything that is not reading.
    pub read_only: bool,
    /// How transactions begin, and how often one is run again that met another.
    pub transaction: TransactionConfig,
    /// Which statements are told in the log because they took long.
    pub slow: SlowConfig,
    /// Which queries are told in the log because they are asked again and again: for development.
    pub n_plus_one: NPlusOneConfig,
    /// Tells every statement in the log, parameters redacted.
    pub log_queries: bool,
    /// Tells how many rows came, and what the first of them look like, values redacted.
    pub log_results: bool,
    /// Adds a comment to each statement that says who sent it, for the server's own logs.
    pub comments: bool,
    /// Where named queries are.
    pub queries: QueriesConfig,
    /// Where migrations are, and how they are applied.
    pub migrations: MigrationsConfig,
}

/// How many connections there are, and how they are looked after.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PoolConfig {
    /// The most connections at a time; twice the number of processors where nothing is said, sixteen at most.
    pub max: Option<NonZeroUsize>,
    /// How many are kept open while nobody needs them, from the first use on.
    pub min_idle: usize,
    /// How long a caller waits for one.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text")]
    pub acquire_timeout: Duration,
    /// How long making one may take.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text")]
    pub connect_timeout: Duration,
    /// How many may be under way to the server at the same time.
    pub connect_concurrency: NonZeroUsize,
    /// How long one that nobody needs is kept, beyond `min_idle`; for ever with zero.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text")]
    pub idle_timeout: Duration,
    /// How old one may become, less up to a tenth by chance; any age with zero.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text")]
    pub max_lifetime: Duration,
    /// How often one may be used; any number of times with zero.
    pub max_uses: u64,
    /// After how long without use one is asked whether it is still there; never with zero.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text")]
    pub keepalive: Duration,
    /// Whether one is asked that before it is handed out.
    pub pre_ping: PrePing,
    /// What is done about what a user left on one.
    pub reset: Reset,
    /// After how long in use one is told of as leaked; never with zero.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text")]
    pub leak_after: Duration,
    /// After how long in use one is taken away; never with zero.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text")]
    pub reap_after: Duration,
    /// What is done when a task that has the last connection wants another one.
    pub nested: Nested,
}

/// Whether a connection is asked if it is still there before it is handed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PrePing {
    /// After half a second without use.
    #[default]
    Idle,
    /// Every time.
    Always,
    /// Never.
    Never,
}

/// What is done about what a user left on a connection: settings, temporary tables, locks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reset {
    /// It is taken away after statements that leave something, and after a look at the native client.
    #[default]
    Tracked,
    /// It is taken away every time.
    Always,
    /// It stays.
    Never,
}

/// What is done when a task that has the last connection wants another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Nested {
    /// It is told in the log, and the task waits.
    #[default]
    Warn,
    /// It is an error at once.
    Deny,
    /// Nothing.
    Allow,
}

/// How transactions begin, and how often one is run again that met another.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TransactionConfig {
    /// How far they are kept from others; the server's own choice where nothing is said.
    pub isolation: Option<Isolation>,
    /// How long one may take, each time it is run; any time with zero.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text")]
    pub timeout: Duration,
    /// How often the whole of one is run again that met another one.
    pub retries: u32,
    /// The longest wait before the first of these; it doubles each time.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text")]
    pub backoff: Duration,
}

/// Which statements are told in the log because they took long.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SlowConfig {
    /// How long is long; nothing is told with zero.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text")]
    pub threshold: Duration,
    /// Asks the server afterwards how it runs those that only read, and tells that too, values redacted.
    pub explain: bool,
    /// How many of these are asked about, from none with `0` to all with `1`, by chance.
    #[schemars(range(min = 0, max = 1))]
    pub sample: f64,
}

/// Which queries are told in the log because they are asked again and again, with other values each time, where
/// one for all values would do.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NPlusOneConfig {
    /// How often one may be asked in one transaction, one request or one task before it is told; any number
    /// of times with zero.
    pub warn_after: u32,
}

/// Where named queries are.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QueriesConfig {
    /// A file, or a folder of files that end with `.sql`.
    pub path: Option<PathBuf>,
    /// Reads them again when they have changed: for development.
    pub reload: bool,
}

/// Where migrations are, and how they are applied.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MigrationsConfig {
    /// The folder they are in.
    pub path: PathBuf,
    /// The table that says which were applied.
    pub table: String,
    /// How long whoever applies them is believed to be alive without saying so.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text")]
    pub lock_ttl: Duration,
    /// Applies one that is older than the newest applied.
    pub out_of_order: bool,
    /// How long a statement of one may wait for a lock of others, unless its file says; as the session has
    /// it where nothing is said, without a limit with zero.
    #[serde(with = "duration::option")]
    #[schemars(with = "Option<duration::Text>")]
    pub lock_timeout: Option<Duration>,
    /// How long a statement of one may take, unless its file says; as the session has it where nothing is
    /// said, without a limit with zero.
    #[serde(with = "duration::option")]
    #[schemars(with = "Option<duration::Text>")]
    pub statement_timeout: Option<Duration>,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            max: None,
            min_idle: 0,
            acquire_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            connect_concurrency: NonZeroUsize::MIN.saturating_add(1),
            idle_timeout: Duration::from_mins(10),
            max_lifetime: Duration::from_mins(30),
            max_uses: 0,
            keepalive: Duration::from_mins(2),
            pre_ping: PrePing::default(),
            reset: Reset::default(),
            leak_after: Duration::from_mins(1),
            reap_after: Duration::ZERO,
            nested: Nested::default(),
        }
    }
}

impl PoolConfig {
    /// How many connections there may be on this machine.
    pub fn size(&self) -> NonZeroUsize {
        self.max.unwrap_or_else(|| {
            let processors = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
            processors.saturating_add(processors.get()).min(SIZE_MAX_UNLESS_SAID)
        })
    }
}

impl Default for TransactionConfig {
    fn default() -> Self {
        Self {
            isolation: None,
            timeout: Duration::ZERO,
            retries: 3,
            backoff: Duration::from_millis(20),
        }
    }
}

impl Default for SlowConfig {
    fn default() -> Self {
        Self { threshold: Duration::from_millis(500), explain: false, sample: 1.0 }
    }
}

impl Default for MigrationsConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::from("migrations"),
            table: "switchboard_migrations".to_owned(),
            lock_ttl: Duration::from_secs(30),
            out_of_order: false,
            lock_timeout: None,
            statement_timeout: None,
        }
    }
}

const SIZE_MAX_UNLESS_SAID: NonZeroUsize = NonZeroUsize::new(16).unwrap();
