//! What can be said to the command. Nothing is done here.

mod db;
mod disk;
mod migrations;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::Error as TextError;
use switchboard_core::settings::DurationText;

pub(crate) use db::{Db, DbQuery, DbShell};
pub(crate) use disk::{
    Disk, DiskCopy, DiskGet, DiskKey, DiskList, DiskPut, DiskRemove, DiskSweep, DiskSync, DiskUrl,
    OnDisk, Side, UrlMethod,
};
pub(crate) use migrations::{Lint, Migrate, Migrations, Repair};

/// One board for every swappable backend of an application.
///
/// Without a command it starts the board, as `up` does.
#[derive(Debug, Parser)]
#[command(max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,

    #[command(flatten)]
    pub(crate) up: Up,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What every command takes.
#[derive(Args, Clone, Debug)]
pub(crate) struct Common {
    /// A configuration file; later ones lie over earlier ones. Without any, switchboard.toml, .yaml
    /// or .json of this folder is read if it is there
    #[arg(short, long = "config", value_name = "FILE", global = true)]
    pub(crate) config: Vec<PathBuf>,

    /// Lay switchboard.<PROFILE>.toml over each file that has such a neighbour
    #[arg(long, global = true)]
    pub(crate) profile: Option<String>,

    /// How data and errors are written
    #[arg(long, value_enum, default_value_t, global = true)]
    pub(crate) format: Format,

    /// Use a board of this command's own instead of the running one
    #[arg(long, global = true)]
    pub(crate) offline: bool,

    /// Where the running board is noted down; without it `$SWITCHBOARD_HOME`, else `.switchboard`
    #[arg(long, value_name = "FOLDER", global = true)]
    pub(crate) home: Option<PathBuf>,

    /// The running board to ask, whoever runs it, like `http://127.0.0.1:7070`; without it
    /// `$SWITCHBOARD_ADDRESS`. What it asks for is taken from `$SWITCHBOARD_TOKEN`
    #[arg(long, value_name = "URL", global = true)]
    pub(crate) address: Option<OsString>,
}

/// How data and errors are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people: tables, with colours on a terminal.
    #[default]
    #[value(alias = "table")]
    Text,
    /// For programs.
    Json,
    /// For programs that read tables; only of commands that write rows.
    Csv,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the board and serve it until Ctrl-C
    Up(Up),
    /// Tell every mistake of the configuration: exit code 0 if there is none, else 2
    Check(Check),
    /// Show what a reload of the running board would change
    Plan,
    /// List the drivers that instances can name
    Drivers(Drivers),
    /// Show why an instance is as it is: driver, settings with origins, gates
    Explain(Instance),
    /// Show how the instances and features of the running board are
    Health(Health),
    /// Look at the configuration
    #[command(subcommand)]
    Config(Config),
    /// Give an instance of the running board other settings, or another driver
    Swap(Swap),
    /// Let the running board read its configuration again
    Reload,
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Read and change what is in a cache
    #[command(subcommand)]
    Cache(Cache),
    /// Ask and look after a database
    #[command(subcommand)]
    Db(Db),
    /// Look after the objects of disks
    #[command(subcommand)]
    Disk(Disk),
}

impl Command {
    /// Whether it has to do with a running board.
    pub(crate) fn asks_a_running_board(&self) -> bool {
        match self {
            Self::Up(_)
            | Self::Check(_)
            | Self::Drivers(_)
            | Self::Completions { .. }
            | Self::Disk(_) => false,
            Self::Db(db) => db.asks_a_running_board(),
            _ => true,
        }
    }

    /// Whether it writes rows, which can be CSV.
    pub(crate) fn writes_rows(&self) -> bool {
        matches!(self, Self::Db(Db::Query(_) | Db::Shell(_)))
    }
}

#[derive(Args, Clone, Debug, Default, PartialEq)]
pub(crate) struct Up {
    /// Where HTTP is served; port 0 takes any that is free [default: console.listen]
    #[arg(long, value_name = "ADDRESS", value_parser = listen)]
    pub(crate) listen: Option<String>,

    /// Reload when a configuration file changes; this is the default
    #[arg(long, overrides_with = "no_watch")]
    pub(crate) watch: bool,

    /// Reload on SIGHUP and `reload` only
    #[arg(long)]
    pub(crate) no_watch: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Check {
    /// Also connect every instance: exit code 4 if one cannot be reached
    #[arg(long)]
    pub(crate) connect: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Drivers {
    /// Only those of one subsystem
    pub(crate) subsystem: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Instance {
    /// The instance, with its subsystem: cache.main
    pub(crate) instance: String,
}

#[derive(Args, Debug)]
pub(crate) struct Health {
    /// Go on looking, once a second
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Every setting with its origin; secrets are masked
    Show,
}

#[derive(Args, Debug)]
pub(crate) struct Swap {
    /// The instance, with its subsystem: cache.main
    pub(crate) instance: String,

    /// A setting. What reads as JSON is that (`5`, `true`), everything else is text; dots lead
    /// into tables
    #[arg(value_name = "KEY=VALUE", value_parser = assignment)]
    pub(crate) assignments: Vec<(String, String)>,

    /// All settings as a JSON object; - reads it from stdin
    #[arg(long, value_name = "JSON")]
    pub(crate) settings: Option<String>,

    /// The address of the service, whose scheme names the driver
    #[arg(long)]
    pub(crate) url: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Cache {
    /// Write the value under a key to stdout
    Get {
        #[command(flatten)]
        at: CacheKey,
    },
    /// Store a value under a key
    Put {
        #[command(flatten)]
        at: CacheKey,
        /// The value; without one, or with -, it is read from stdin
        #[arg(allow_hyphen_values = true)]
        value: Option<String>,
        /// How long it may be served, like 10m; without one until it is forgotten
        #[arg(long, value_parser = time_to_live)]
        ttl: Option<TimeToLive>,
    },
    /// Remove what is under a key
    Forget {
        #[command(flatten)]
        at: CacheKey,
    },
    /// Remove everything
    Flush {
        /// The cache: main, or cache.main
        cache: String,
    },
}

#[derive(Args, Debug)]
pub(crate) struct CacheKey {
    /// The cache: main, or cache.main
    pub(crate) cache: String,
    /// The key
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) key: String,
}

/// How long a value may be served: as it was written, and what that means.
#[derive(Clone, Debug)]
pub(crate) struct TimeToLive {
    pub(crate) text: String,
    pub(crate) time: Duration,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if key.split('.').all(|part| !part.is_empty()) => {
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => Err("write it like max_entries=5000".to_owned()),
    }
}

fn time_to_live(text: &str) -> Result<TimeToLive, String> {
    let read = DurationText::deserialize(text.into_deserializer());
    let DurationText(time) = read.map_err(|error: TextError| error.to_string())?;
    Ok(TimeToLive { text: text.to_owned(), time })
}

/// An address as the section `console` takes it.
fn listen(text: &str) -> Result<String, String> {
    let here = text.strip_prefix("localhost:").and_then(|port| port.parse::<u16>().ok());
    if here.is_some() || text.parse::<SocketAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    Err("write an address and a port, like 127.0.0.1:8080 or localhost:0".to_owned())
}
