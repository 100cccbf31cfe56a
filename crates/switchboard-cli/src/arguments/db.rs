//! What can be said of databases.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Migrations;

#[derive(Debug, Subcommand)]
pub(crate) enum Db {
    /// Run a statement, and write its rows
    ///
    /// It runs over a connection of this command's own, as the configuration describes the database,
    /// whether a board is running or not. Where a running board has another one by now, a note says so.
    Query(DbQuery),
    /// Type statements that end with a semicolon
    ///
    /// They run over one connection of this command's own, so that transactions can be begun and ended by
    /// hand. `\?` lists what else can be typed.
    Shell(DbShell),
    /// Show the connections of the running board's databases, and who has them
    Pools {
        /// Only those of one database: main, or database.main
        database: Option<String>,
    },
    #[command(flatten)]
    Migrations(Migrations),
}

impl Db {
    /// Whether it has to do with a running board.
    pub(super) fn asks_a_running_board(&self) -> bool {
        matches!(self, Self::Pools { .. })
    }
}

#[derive(Args, Debug)]
pub(crate) struct DbQuery {
    /// The database: main, or database.main
    pub(crate) database: String,

    /// The statement; - reads it from stdin
    #[arg(allow_hyphen_values = true)]
    pub(crate) sql: Option<String>,

    /// Read the statement from a file; - is stdin
    #[arg(long, conflicts_with = "sql")]
    pub(crate) file: Option<PathBuf>,

    /// A value for :NAME in the statement: text, which the database reads as what it needs
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    pub(crate) parameters: Vec<(String, String)>,

    /// Only read, in a transaction that the database holds to that
    #[arg(long)]
    pub(crate) read_only: bool,

    /// Run several statements one after the other until one fails; their rows are not written
    #[arg(long, conflicts_with_all = ["parameters", "read_only"])]
    pub(crate) script: bool,
}

#[derive(Args, Debug)]
pub(crate) struct DbShell {
    /// The database: main, or database.main; without one the default
    pub(crate) database: Option<String>,

    /// Go on after an error in what is piped in; the exit code is that of the first
    #[arg(long)]
    pub(crate) keep_going: bool,
}

fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it like name=Ada".to_owned()),
    }
}
