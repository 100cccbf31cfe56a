//! Makes the file of a migration that is still to be written.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use switchboard_core::{Clock, Error, ErrorKind, Result};

use super::files::Migrations;

impl Migrations {
    /// Makes a file in `folder` for a migration that is called `name`, and says which.
    ///
    /// Where the versions of those that are there are numbers, it has the next one; else the present
    /// second, as in `20261121093000_create_users.sql`. The folder is made if it is not there. The file
    /// begins with comments that say how one is written, and is
    /// [`Empty`](super::MigrationState::Empty) until a statement stands behind them.
    pub fn create(folder: impl AsRef<Path>, name: &str, clock: &Clock) -> Result<PathBuf> {
        let (folder, name) = (folder.as_ref(), plain(name)?);
        fs::create_dir_all(folder).map_err(|error| unwritable(folder, error))?;
        let version = next_version(&Self::load(folder)?, clock);
        let file = folder.join(format!("{version}_{name}.sql"));
        let made = File::create_new(&file)
            .and_then(|mut made| made.write_all(first_text(&name).as_bytes()));
        made.map_err(|error| unwritable(&file, error))?;
        Ok(file)
    }
}

/// The name with nothing in it that names of files do not like.
fn plain(name: &str) -> Result<String> {
    let is_plain = |character: char| character.is_alphanumeric() || character == '_';
    let words = name.split(|character| !is_plain(character)).filter(|word| !word.is_empty());
    let plain = words.collect::<Vec<_>>().join("_").to_lowercase();
    if plain.is_empty() || plain.len() > NAME_BYTES_MAX {
        return Err(Error::new(ErrorKind::InvalidInput, "this cannot be the name of a migration")
            .with_context("name", format_args!("{name:?}"))
            .not_applied());
    }
    Ok(plain)
}

/// The next number, with as many digits; else the present second, or what comes after the newest.
fn next_version(there: &Migrations, clock: &Clock) -> String {
    let newest = there.iter().last();
    let last = newest.map_or(0, |migration| migration.version);
    match newest.map(|migration| digits_of(&migration.file)) {
        Some(width) if last < NUMBERS_END => format!("{:0width$}", last + 1),
        _ => present_second(clock).max(last + 1).to_string(),
    }
}

fn digits_of(file: &str) -> usize {
    let bare = Path::new(file).file_name().unwrap_or_default().to_string_lossy();
    bare.bytes().take_while(u8::is_ascii_digit).count()
}

/// Year to second as one number, in UTC.
fn present_second(clock: &Clock) -> u64 {
    let now = jiff::Timestamp::try_from(clock.wall()).unwrap_or_default();
    now.strftime("%Y%m%d%H%M%S").to_string().parse().unwrap_or_default()
}

fn unwritable(place: &Path, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
        io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
        _ => ErrorKind::Unexpected,
    };
    Error::new(kind, "the file of a migration cannot be made")
        .with_context("file", place.display())
        .with_source(error)
        .not_applied()
}

/// What says how the rest is written. As long as it is all there is, nobody can apply it by mistake.
fn first_text(name: &str) -> String {
    let title = name.replace('_', " ");
    format!(
        "\
-- Migration: {title}
--
-- Statements stand below, each with a semicolon at its end. They are applied once, in one transaction
-- where the server has that for changes of tables. Afterwards this file stays as it is: what changes or
-- takes back what it did is another migration.
--
-- For what the server refuses in a transaction, this is the first line:
--   -- switchboard: no-transaction
-- How long a statement may wait for locks of others, and how long it may take, is said like this:
--   -- switchboard: lock-timeout 5s
--   -- switchboard: statement-timeout 10m

"
    )
}

/// So that it stays readable, and fits where names are kept.
const NAME_BYTES_MAX: usize = 100;

/// What is greater is a moment and no number.
const NUMBERS_END: u64 = 99_999_999;
