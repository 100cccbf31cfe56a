//! Migrations as they are written: files with a version in their name, in the order of that.
//!
//! Nothing here asks a server. Everything that is wrong with a folder is told at once.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use switchboard_core::settings::DurationText;
use switchboard_core::{Error, ErrorKind, Result};

/// The migrations that there are, ordered by version.
///
/// A file is called `0001_create_users.sql` or `20261121093000_create_users.sql`; the digits are its
/// version. Migrations only go forward. A pair of files `….up.sql` and `….down.sql` is understood, and
/// what goes down is never run. Files that do not end with `.sql` are left alone.
///
/// Comments at the beginning of a file say how it is applied: `-- switchboard: no-transaction` is for
/// what a server refuses in a transaction, such as `create index concurrently`. Such a file is applied
/// statement by statement, as all are where the server has no transactions for changes of tables.
/// `-- switchboard: lock-timeout 5s` says how long a statement may wait for a lock of others, and
/// `-- switchboard: statement-timeout 10m` how long it may take, whatever is configured; `0s` is without a
/// limit.
///
/// A file in which no statement stands yet is one of them, [`Empty`](super::MigrationState::Empty) until
/// it is written, and refused when it would be applied.
#[derive(Clone, Debug, Default)]
pub struct Migrations {
    all: Arc<[Migration]>,
}

/// One migration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Migration {
    /// Its place in the order.
    pub version: u64,
    /// What it is called: `create_users`.
    pub name: String,
    /// The file it is from.
    pub file: String,
    /// Its statements, with the line ends of Unix.
    pub text: Arc<str>,
    /// The SHA-256 of the text, in hexadecimal digits. How lines end makes no difference to it.
    pub checksum: String,
    /// Whether it wants to be one transaction, where the server can do that.
    pub is_transactional: bool,
    /// How long a statement of it may wait for a lock, where the file says so; zero is without a limit.
    pub lock_timeout: Option<Duration>,
    /// How long a statement of it may take, where the file says so; zero is without a limit.
    pub statement_timeout: Option<Duration>,
}

impl Migrations {
    /// Those in a folder; an error names everything that is wrong with it.
    pub fn load(folder: impl AsRef<Path>) -> Result<Self> {
        let mut gathered = Gathered::default();
        for path in files_of(folder.as_ref()).map_err(|error| unreadable(folder.as_ref(), error))? {
            gathered.add(&path.display().to_string(), || read(&path));
        }
        gathered.into_migrations()
    }

    /// Those that are part of the program: the name of each file with its text.
    ///
    /// ```
    /// use switchboard_database::Migrations;
    ///
    /// // As a rule the texts are `include_str!("../migrations/0001_create_users.sql")`.
    /// let migrations = Migrations::embedded(&[
    ///     ("0002_name_users.sql", "alter table users add name varchar(100)"),
    ///     ("0001_create_users.sql", "create table users (id bigint primary key)"),
    /// ])?;
    /// let versions: Vec<_> = migrations.iter().map(|migration| migration.version).collect();
    /// assert_eq!(versions, [1, 2]);
    /// # Ok::<(), switchboard_core::Error>(())
    /// ```
    pub fn embedded(files: &[(&str, &str)]) -> Result<Self> {
        let mut gathered = Gathered::default();
        for (file, text) in files {
            gathered.add(file, || Ok((*text).to_owned()));
        }
        gathered.into_migrations()
    }

    /// Each of them, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Migration> {
        self.all.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The one of that version.
    pub fn get(&self, version: u64) -> Option<&Migration> {
        let at = self.all.binary_search_by_key(&version, |migration| migration.version).ok()?;
        self.all.get(at)
    }
}

impl Migration {
    fn new(file: &str, title: &Title<'_>, text: &str) -> Result<Self> {
        let text = with_unix_line_ends(text);
        let Directives { is_transactional, lock_timeout, statement_timeout } =
            Directives::of(&text, file)?;
        Ok(Self {
            version: title.version,
            name: title.name.to_owned(),
            file: file.to_owned(),
            checksum: checksum(&text),
            text: text.into(),
            is_transactional,
            lock_timeout,
            statement_timeout,
        })
    }
}

/// What was found so far, and what is wrong with it.
#[derive(Default)]
struct Gathered {
    up: BTreeMap<u64, Migration>,
    /// Every file that has a version, whether it can be used or not.
    named: BTreeMap<u64, String>,
    down: Vec<(String, u64, String)>,
    mistakes: Vec<Error>,
}

impl Gathered {
    fn add(&mut self, file: &str, text: impl FnOnce() -> Result<String>) {
        let bare = file.rsplit(['/', '\\']).next().unwrap_or(file);
        if !is_migration_file(bare) {
            return;
        }
        match Title::parse(bare) {
            Err(message) => self.mistakes.push(wrong(file, message).with_hint(NAME_HINT)),
            Ok(title) if title.is_down => {
                self.down.push((file.to_owned(), title.version, title.name.to_owned()));
            }
            Ok(title) => self.add_up(file, &title, text),
        }
    }

    fn add_up(&mut self, file: &str, title: &Title<'_>, text: impl FnOnce() -> Result<String>) {
        if let Some(other) = self.named.get(&title.version) {
            let twice = wrong(file, "there are two migrations of one version");
            self.mistakes
                .push(twice.with_context("other", other).with_context("version", title.version));
            return;
        }
        self.named.insert(title.version, file.to_owned());
        match text().and_then(|text| Migration::new(file, title, &text)) {
            Ok(migration) => drop(self.up.insert(migration.version, migration)),
            Err(mistake) => self.mistakes.push(mistake),
        }
    }

    fn into_migrations(mut self) -> Result<Migrations> {
        for (file, version, name) in &self.down {
            let has_partner = self.up.get(version).is_some_and(|up| up.name == *name);
            if !has_partner && !self.named.contains_key(version) {
                self.mistakes.push(wrong(file, "what goes down has no file that goes up"));
            } else if !has_partner && self.up.contains_key(version) {
                let mistake = wrong(file, "what goes down is called otherwise than what goes up");
                self.mistakes.push(mistake.with_context("other", &self.named[version]));
            }
        }
        all_or("the migrations cannot be used", self.mistakes)?;
        Ok(Migrations { all: self.up.into_values().collect() })
    }
}

/// What the name of a file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Title<'f> {
    pub(super) version: u64,
    pub(super) name: &'f str,
    pub(super) is_down: bool,
}

impl<'f> Title<'f> {
    pub(super) fn parse(file: &'f str) -> std::result::Result<Self, &'static str> {
        let Some(stem) = file.strip_suffix(".sql") else {
            return Err("the ending is written in lower case: .sql");
        };
        let (stem, is_down) = match (stem.strip_suffix(".up"), stem.strip_suffix(".down")) {
            (Some(stem), _) => (stem, false),
            (None, Some(stem)) => (stem, true),
            (None, None) => (stem, false),
        };
        let digits = stem.bytes().take_while(u8::is_ascii_digit).count();
        let (version, rest) = stem.split_at(digits);
        if version.is_empty() {
            return Err("the name of the file does not begin with a version");
        }
        if version.len() > VERSION_DIGITS_MAX {
            return Err("the version has more than 18 digits");
        }
        let Some(name) = rest.strip_prefix('_').filter(|name| !name.is_empty()) else {
            return Err("the version is not followed by `_` and a name");
        };
        if !name.chars().all(is_name_character) {
            return Err("the name has other characters than letters, digits, `_` and `-`");
        }
        if name.len() > NAME_BYTES_MAX {
            return Err("the name is longer than 200 bytes");
        }
        let version = version.parse().map_err(|_| "the version is no number")?;
        Ok(Self { version, name, is_down })
    }
}

/// How a migration is applied, as the comments at its beginning say.
struct Directives {
    is_transactional: bool,
    lock_timeout: Option<Duration>,
    statement_timeout: Option<Duration>,
}

impl Directives {
    fn of(text: &str, file: &str) -> Result<Self> {
        let mut found =
            Self { is_transactional: true, lock_timeout: None, statement_timeout: None };
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let Some(comment) = line.strip_prefix("--") else { break };
            if let Some(said) = comment.trim().strip_prefix("switchboard:") {
                found.follow(said.trim()).map_err(|error| at_line(error, file, index + 1))?;
            }
        }
        Ok(found)
    }

    fn follow(&mut self, said: &str) -> Result<()> {
        let (what, value) = said.split_once(char::is_whitespace).unwrap_or((said, ""));
        match (what, value.trim()) {
            ("no-transaction", "") => self.is_transactional = false,
            ("lock-timeout", limit) => self.lock_timeout = Some(time(said, limit)?),
            ("statement-timeout", limit) => self.statement_timeout = Some(time(said, limit)?),
            _ => {
                return Err(not_understood(said).with_hint(
                    "what can be said is `-- switchboard: no-transaction`, `lock-timeout 5s` and \
                     `statement-timeout 10m`",
                ));
            }
        }
        Ok(())
    }
}

fn time(said: &str, limit: &str) -> Result<Duration> {
    let read = limit.parse::<DurationText>();
    let wrong = |_| not_understood(said).with_hint("a time is written like `5s`, `500ms` or `10m`");
    read.map(|DurationText(time)| time).map_err(wrong)
}

fn not_understood(said: &str) -> Error {
    Error::new(ErrorKind::Config, "the comment says what nobody understands")
        .with_context("said", said)
}

/// Nothing if nothing is wrong, the one error, or all of them as one.
pub(super) fn all_or(message: &'static str, mut errors: Vec<Error>) -> Result<()> {
    match errors.len() {
        0 => Ok(()),
        1 => Err(errors.remove(0)),
        count => Err(Error::joined(message, errors).with_context("mistakes", count)),
    }
}

/// Whether a file could be meant as a migration. Hidden ones belong to editors and systems.
fn is_migration_file(bare: &str) -> bool {
    let ending = Path::new(bare).extension();
    !bare.starts_with('.') && ending.is_some_and(|ending| ending.eq_ignore_ascii_case("sql"))
}

fn files_of(folder: &Path) -> io::Result<Vec<std::path::PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<String> {
    let file = path.display().to_string();
    let unread = |error: io::Error| wrong(&file, "the file cannot be read").with_source(error);
    if fs::metadata(path).map_err(unread)?.len() > FILE_BYTES_MAX {
        let mistake = wrong(&file, "the file is larger than a migration may be");
        return Err(mistake.with_context("bytes_max", FILE_BYTES_MAX));
    }
    let bytes = fs::read(path).map_err(unread)?;
    String::from_utf8(bytes).map_err(|error| {
        wrong(&file, "the file is no text in UTF-8").with_source(error.utf8_error())
    })
}

fn with_unix_line_ends(text: &str) -> String {
    text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n")
}

fn checksum(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

fn is_name_character(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '-')
}

fn wrong(file: &str, message: &'static str) -> Error {
    Error::new(ErrorKind::Config, message).with_context("file", file).not_applied()
}

fn at_line(error: Error, file: &str, line: usize) -> Error {
    error.with_context("file", format_args!("{file}:{line}")).not_applied()
}

fn unreadable(folder: &Path, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
        _ => ErrorKind::Config,
    };
    Error::new(kind, "the folder of migrations cannot be read")
        .with_context("folder", folder.display())
        .with_source(error)
        .with_hint("say where it is in the setting `migrations.path`")
        .not_applied()
}

const NAME_HINT: &str = "a migration is called like 0001_create_users.sql";

/// So that every version fits a whole number of any server.
const VERSION_DIGITS_MAX: usize = 18;

/// So that every name fits the table that says which were applied.
const NAME_BYTES_MAX: usize = 200;

/// How large one file may be, in bytes. What is larger is data, which is loaded by other means.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
