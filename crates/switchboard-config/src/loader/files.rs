//! Reads the files of a load and lays them over each other.

use std::fs;
use std::path::{Path, PathBuf};

use switchboard_core::{Name, Origin, Problem, Settings};

use super::Input;
use super::read::read;
use crate::parse::{self, FILE_BYTES_MAX, Format};
use crate::{Sources, interpolate};

/// Which files beside the others are to be read, and who says so.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    pub(super) name: String,
    pub(super) origin: Origin,
}

/// What the files said beside their settings.
#[derive(Default)]
pub(super) struct Files {
    pub(super) sources: Sources,
    /// Those that were read, and those that could come.
    pub(super) watched: Vec<PathBuf>,
    pub(super) problems: Vec<Problem>,
    /// Keys that cannot be what they are meant to be.
    pub(super) wrong_keys: Vec<Problem>,
    /// How many could not be read or parsed.
    pub(super) unread: usize,
}

impl Files {
    pub(super) fn read(&mut self, tree: &mut Settings, input: &Input) {
        match input {
            Input::Text { name, format, bytes } => self.parse(tree, name, bytes, *format),
            Input::File { path, is_required } => {
                self.file(tree, path, *is_required);
            }
        }
    }

    /// Reads a file over the tree. Whether it exists.
    fn file(&mut self, tree: &mut Settings, path: &Path, is_required: bool) -> bool {
        self.watched.push(path.to_owned());
        let bytes = match read(path, FILE_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(unread) if unread.is_missing && !is_required => return false,
            Err(unread) => {
                let is_there = !unread.is_missing;
                self.refuse(path, unread.alone());
                return is_there;
            }
        };
        match Format::of(path) {
            Ok(format) => self.parse(tree, path, &bytes, format),
            Err(problem) => self.refuse_with(problem),
        }
        true
    }

    fn parse(&mut self, tree: &mut Settings, name: &Path, bytes: &[u8], format: Format) {
        let parsed = parse::parse(name, bytes, format);
        self.sources.insert(parsed.source);
        self.problems.extend(parsed.problems);
        match parsed.settings {
            Some(settings) => {
                self.wrong_keys.extend(interpolate::check_keys(&settings));
                tree.merge(settings);
            }
            None => self.unread += 1,
        }
    }

    /// Reads the files of the profile, in the order of the files that they stand beside.
    pub(super) fn read_profile(
        &mut self,
        tree: &mut Settings,
        profile: &Profile,
        beside: &[Input],
    ) {
        if !is_plain(&profile.name) {
            let message = "the name of a profile has letters, digits, '-' and '_' only";
            self.refuse_with(Problem::new("", profile.origin.clone(), message));
            return;
        }
        let files = beside.iter().filter_map(|input| match input {
            Input::File { path, .. } => Some(path.as_path()),
            Input::Text { .. } => None,
        });
        let mut is_found = false;
        for path in files.clone() {
            is_found |= self.profile_beside(tree, profile, path);
        }
        if !is_found {
            self.unknown_profile(profile, files);
        }
    }

    fn profile_beside(&mut self, tree: &mut Settings, profile: &Profile, path: &Path) -> bool {
        let candidates = ENDINGS.map(|ending| with_profile(path, &profile.name, ending));
        let there: Vec<&PathBuf> = candidates.iter().filter(|path| path.exists()).collect();
        let is_found = match there.as_slice() {
            [one, other, ..] => {
                let other = other.file_name().unwrap_or_default().to_string_lossy();
                let message = format!("the profile has a second file, `{other}`");
                self.refuse(one, message);
                true
            }
            [only] => self.file(tree, only, false),
            [] => false,
        };
        for candidate in candidates {
            if !self.watched.contains(&candidate) {
                self.watched.push(candidate);
            }
        }
        is_found
    }

    fn unknown_profile<'p>(&mut self, profile: &Profile, files: impl Iterator<Item = &'p Path>) {
        let message = format!("no file is there for the profile `{}`", profile.name);
        let problem = Problem::new("", profile.origin.clone(), message);
        let known: Vec<String> = files.flat_map(profiles_beside).collect();
        let near = Name::nearest(&profile.name, known.iter().map(String::as_str));
        self.refuse_with(match near {
            Some(near) => problem.with_hint(format!("did you mean `{near}`?")),
            None => problem,
        });
    }

    fn refuse(&mut self, path: &Path, message: String) {
        self.refuse_with(Problem::new("", Origin::file(path, 1, 1), message));
    }

    fn refuse_with(&mut self, problem: Problem) {
        self.problems.push(problem);
        self.unread += 1;
    }
}

/// `switchboard.toml` becomes `switchboard.dev.yaml`.
fn with_profile(path: &Path, profile: &str, ending: &str) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!(".{profile}.{ending}"));
    path.with_file_name(name)
}

/// The profiles that there are files for beside `path`.
fn profiles_beside(path: &Path) -> Vec<String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let Ok(entries) = fs::read_dir(folder.unwrap_or(Path::new("."))) else { return Vec::new() };
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let names =
        entries.take(ENTRIES_MAX).filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| profile_of(&name, &stem).map(str::to_owned)).collect()
}

fn profile_of<'n>(name: &'n str, stem: &str) -> Option<&'n str> {
    let (profile, ending) = name.strip_prefix(stem)?.strip_prefix('.')?.rsplit_once('.')?;
    (ENDINGS.contains(&ending) && is_plain(profile)).then_some(profile)
}

fn is_plain(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    !name.is_empty() && name.len() <= PROFILE_LENGTH_MAX && name.bytes().all(is_plain)
}

/// What the files of a profile may end in.
const ENDINGS: [&str; 4] = ["toml", "yaml", "yml", "json"];

/// How many files of a folder are looked through for profiles.
const ENTRIES_MAX: usize = 10_000;

/// How long the name of a profile may be, in characters.
const PROFILE_LENGTH_MAX: usize = 63;
