//! SQL databases for Switchboard: named instances, pools, sessions and transactions, on any driver.
//!
//! Read in this order: [`Database`], what an application holds; [`Statements`], what can be asked of it, of
//! a [`PooledConnection`] and of a [`Transaction`] alike; [`Value`], [`FromRow`] and [`IntoParams`], what
//! goes in and comes out; [`Queries`] and [`Migrations`], texts in files; [`Sandbox`], for tests;
//! [`DatabaseConfig`], what can be configured; [`DatabaseDriver`] and [`Connection`], the contract of a
//! driver, with [`register`]; [`drivers`], those that come along; `conformance`, behind the feature of that
//! name, the rules every driver keeps, as tests.
//!
//! ```
//! # #[cfg(feature = "sqlite")]
//! # {
//! use switchboard_core::{Environment, Error, Manager, Registry, Settings};
//! use switchboard_database::{Databases, Statements as _, params};
//!
//! # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
//! # runtime.block_on(async {
//! let databases = Manager::<Databases>::new(Registry::with_built_ins()?, &Environment::new())?;
//! databases.configure("main", &Settings::new().with("url", "sqlite::memory:"))?;
//!
//! let main = databases.handle("main")?;
//! main.execute("create table users (id integer primary key, name text)", ()).await?;
//! let ada = main
//!     .transaction(async |users| {
//!         users.execute("insert into users (name) values (:name)", params! { "name" => "Ada" }).await?;
//!         users.select_one::<(i64, String)>("select id, name from users", ()).await
//!     })
//!     .await?;
//! assert_eq!(ada, (1, "Ada".to_owned()));
//! # Ok::<(), Error>(()) }).unwrap();
//! # }
//! ```

mod advice;
#[cfg(feature = "axum")]
pub mod axum;
mod config;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod copies;
mod database;
mod driver;
pub mod drivers;
mod engine;
mod finishing;
mod known;
mod migrations;
mod neighbours;
mod observe;
#[cfg(all(test, feature = "sqlite"))]
mod planted;
mod pool;
mod queries;
mod registration;
mod sandbox;
mod session;
pub mod sql;
mod statement;
#[cfg(feature = "tls")]
mod tls;
mod value;
mod violation;

pub use config::{
    DatabaseConfig, MigrationsConfig, NPlusOneConfig, Nested, PoolConfig, PrePing, QueriesConfig,
    Reset, SlowConfig, TransactionConfig,
};
pub use copies::Copies;
pub use database::{Database, Databases, Designates, op};
pub use driver::{
    Begin, BulkTarget, Connection, DatabaseDriver, Dialect, Done, DriverSettings, Fields,
    Isolation, Lane, Lanes, Lexis, OnConflict, Placeholder, RowReader, Rows, Savepoint, Sent,
    State, Statement, context,
};
pub use engine::{Engine, Served};
pub use migrations::{
    Finding, LintOptions, LintRule, MigrateOptions, Migration, MigrationApplied, MigrationPlanned,
    MigrationReport, MigrationState, MigrationStatus, Migrations, Repair, Severity,
};
pub use observe::StatementFigures;
pub use pool::{CloseReason, Holder, PoolFigures, Spread};
pub use queries::{NamedQuery, Queries, Query, QueryKind, QueryParam, QueryText};
pub use registration::{DriverContext, register};
pub use sandbox::{Sandbox, Template};
pub use session::{PooledConnection, Transaction, TransactionOptions};
pub use statement::{
    BulkInsert, BulkUpsert, CsvStream, Listing, OnError, Progress, RowStream, Stack, StackAnswer,
    StackReport, Statements,
};
#[cfg(feature = "tls")]
pub use tls::{TlsConfig, TlsMode};
pub use value::{
    Column, Columns, Date, DateTime, Decimal, FromRow, IntoParams, Named, Params, Plan, Row, Time,
    Timestamp, Value,
};
pub use violation::Violation;

// For functions that `query_functions!` writes, where `switchboard-core` may not be at hand.
#[doc(hidden)]
pub use switchboard_core::Result as __Result;
