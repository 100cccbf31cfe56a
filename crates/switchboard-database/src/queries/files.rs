//! Finds files of named queries, and says whether they have changed since.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use switchboard_core::{Origin, Problem};

use super::parse::Read;

/// The files at a path, and how they were when somebody looked.
///
/// Two of them are the same if nothing was changed in between, as far as times and sizes tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Files {
    found: Vec<Found>,
    problems: Vec<Problem>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    path: PathBuf,
    bytes: u64,
    changed: Option<SystemTime>,
}

impl Files {
    /// Looks at `path`: one file, or a folder with files that end with `.sql`, in it and in the folders
    /// in it.
    pub(super) fn at(path: &Path) -> Self {
        let mut files = Self::default();
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => files.folder(path, 0),
            Ok(metadata) => files.file(path, &metadata),
            Err(error) => files.tell(path, unreadable(&error)),
        }
        if files.found.is_empty() && files.problems.is_empty() {
            files.tell(path, "there is no file in it that ends with `.sql`");
        }
        if files.found.len() > FILES_MAX {
            files.tell(path, format!("there are more than {FILES_MAX} files in it"));
        }
        files
    }

    /// Reads them, as far as they can be read.
    pub(super) fn read(&self) -> Read {
        let mut read = Read { problems: self.problems.clone(), ..Read::default() };
        for Found { path, .. } in self.found.iter().take(FILES_MAX) {
            match text(path) {
                Ok(text) => read.file(path, &text),
                Err(problem) => read.problems.push(problem),
            }
        }
        read
    }

    fn folder(&mut self, folder: &Path, depth: usize) {
        if depth > DEPTH_MAX {
            return self.tell(folder, format!("it is more than {DEPTH_MAX} folders deep"));
        }
        let entries = match fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
            Ok(entries) => entries,
            Err(error) => return self.tell(folder, unreadable(&error)),
        };
        let mut paths: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            self.entry(&path, depth);
        }
    }

    fn entry(&mut self, path: &Path, depth: usize) {
        let is_sql = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("sql"));
        match fs::metadata(path) {
            _ if self.found.len() > FILES_MAX => {}
            Ok(metadata) if metadata.is_dir() => self.folder(path, depth + 1),
            Ok(metadata) if is_sql => self.file(path, &metadata),
            Err(error) if is_sql => self.tell(path, unreadable(&error)),
            _ => {}
        }
    }

    fn file(&mut self, path: &Path, metadata: &fs::Metadata) {
        if !metadata.is_file() {
            return self.tell(path, "it is neither a file nor a folder");
        }
        let (bytes, changed) = (metadata.len(), metadata.modified().ok());
        self.found.push(Found { path: path.to_owned(), bytes, changed });
    }

    fn tell(&mut self, path: &Path, message: impl Into<String>) {
        self.problems.push(problem(path, message));
    }
}

/// The text in a file.
fn text(path: &Path) -> Result<String, Problem> {
    let mut bytes = Vec::new();
    let opened = File::open(path).map(|file| file.take(FILE_BYTES_MAX + 1));
    if let Err(error) = opened.and_then(|mut file| file.read_to_end(&mut bytes)) {
        return Err(problem(path, unreadable(&error)));
    }
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(problem(path, format!("it is longer than {FILE_BYTES_MAX} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
        let (line, column) = end_of(&before);
        Problem::new("", Origin::file(path, line, column), "this is not UTF-8")
    })
}

/// The line and the column behind the last character.
fn end_of(text: &str) -> (u32, u32) {
    let (lines, last) = text.rsplit_once('\n').map_or((0, text), |(before, last)| {
        (before.bytes().filter(|byte| *byte == b'\n').count() + 1, last)
    });
    let counted = |count: usize| u32::try_from(count + 1).unwrap_or(u32::MAX);
    (counted(lines), counted(last.chars().count()))
}

fn problem(path: &Path, message: impl Into<String>) -> Problem {
    Problem::new("", Origin::named(path.display().to_string()), message)
}

fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it is not there".to_owned(),
        io::ErrorKind::PermissionDenied => "it may not be read".to_owned(),
        _ => format!("it cannot be read: {error}"),
    }
}

/// How many files are read.
const FILES_MAX: usize = 1_000;

/// How many folders in folders are looked into. It also ends where a folder is in itself.
const DEPTH_MAX: usize = 8;

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 4 << 20;
