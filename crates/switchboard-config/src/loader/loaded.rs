//! What came of a load, and what a check of it adds.

use std::collections::HashSet;
use std::path::PathBuf;

use switchboard_core::{Origin, Problem, Problems, Result, Settings};

use super::files::Files;
use crate::inherit::Inherited;
use crate::{Sources, tree};

/// The settings, and all that is wrong with them so far.
#[derive(Debug)]
#[non_exhaustive]
pub struct Loaded {
    /// The merged settings; without those of files that could not be read.
    pub settings: Settings,
    /// All mistakes of all files and variables, ordered, each once.
    pub problems: Problems,
    /// The texts of the files that were read, to show mistakes in.
    pub sources: Sources,
    /// Every file whose change matters: those that were read, those that may come, and those that
    /// were filled in.
    pub files: Vec<PathBuf>,
    unread: usize,
    /// Settings that stayed what they were because of a mistake in themselves.
    unfilled: HashSet<String>,
    /// Tables that should have inherited and could not, with where they were opened.
    left_alone: Vec<(String, Origin)>,
    seen: HashSet<Mark>,
}

/// What makes two mistakes one: an inherited one has several paths, and one place.
type Mark = (Origin, String, String);

impl Loaded {
    pub(super) fn of(files: Files) -> Self {
        let mut loaded = Self {
            settings: Settings::at(Origin::Default),
            problems: Problems::default(),
            sources: files.sources,
            files: Vec::new(),
            unread: files.unread,
            unfilled: HashSet::new(),
            left_alone: Vec::new(),
            seen: HashSet::new(),
        };
        loaded.note_files(files.watched);
        loaded.note(files.problems);
        loaded
    }

    /// Whether every file was read. If not, a name that nobody knows may stand in one that was not,
    /// and is better not called a mistake.
    pub fn is_complete(&self) -> bool {
        self.unread == 0
    }

    /// Adds what a check of the settings found wrong, less what is known already: the same mistake of
    /// a base in several that inherit it, and what only follows from a mistake of the load, like a wrong
    /// address where a variable was not set, or a missing setting where a base was not found.
    ///
    /// ```
    /// use switchboard_config::{Format, Loader};
    /// use switchboard_core::{Problem, Problems};
    ///
    /// let text = "[cache.main]\nurl = '${CACHE_URL}'\n";
    /// let mut loaded = Loader::new().text("switchboard.toml", Format::Toml, text).load();
    /// assert_eq!(loaded.problems.len(), 1);
    ///
    /// let place = loaded.problems.iter().next().map(|problem| problem.origin.clone());
    /// let problem = Problem::new("cache.main.url", place.unwrap_or_default(), "not an address");
    /// loaded.add(Problems::from_iter([problem]));
    /// assert_eq!(loaded.problems.len(), 1);
    /// ```
    pub fn add(&mut self, found: Problems) {
        let new: Vec<Problem> =
            found.into_iter().filter(|problem| !self.is_consequence(problem)).collect();
        self.extend(new);
    }

    /// The settings if nothing is wrong with them, else all mistakes as one error.
    pub fn into_settings(self) -> Result<Settings> {
        if self.problems.is_empty() { Ok(self.settings) } else { Err(self.problems.into()) }
    }

    pub(super) fn note(&mut self, problems: impl IntoIterator<Item = Problem>) {
        self.extend(problems.into_iter().collect());
    }

    /// Takes note of values that could not be filled in.
    pub(super) fn note_unfilled(&mut self, problems: Vec<Problem>) {
        self.unfilled.extend(problems.iter().map(|problem| problem.path.clone()));
        self.extend(problems);
    }

    pub(super) fn note_inherited(&mut self, inherited: Inherited) {
        for path in inherited.left_alone {
            let origin = self.settings.get(&path).map(|node| node.origin().clone());
            self.left_alone.extend(origin.map(|origin| (path, origin)));
        }
        self.extend(inherited.problems);
    }

    pub(super) fn note_files(&mut self, files: Vec<PathBuf>) {
        for file in files {
            if !self.files.contains(&file) {
                self.files.push(file);
            }
        }
    }

    fn extend(&mut self, problems: Vec<Problem>) {
        let seen = &mut self.seen;
        let new = problems.into_iter().filter(|problem| seen.insert(mark(problem)));
        self.problems.extend(new);
    }

    fn is_consequence(&self, problem: &Problem) -> bool {
        let path = &problem.path;
        let lacks = |(upper, origin): &(String, Origin)| {
            *origin == problem.origin && tree::is_at_or_below(path, upper)
        };
        self.is_unfilled(path) || self.left_alone.iter().any(lacks)
    }

    /// Whether the setting at `path`, or one that it is part of, was not what it was meant to be.
    fn is_unfilled(&self, path: &str) -> bool {
        let mut upper = path;
        loop {
            if self.unfilled.contains(upper) {
                return true;
            }
            let Some(end) = upper.rfind(['.', '[']) else { return false };
            upper = &upper[..end];
        }
    }
}

fn mark(problem: &Problem) -> Mark {
    let path = match problem.origin {
        // An inherited setting has another path and the same key.
        Origin::File { .. } => problem.path.rsplit('.').next().unwrap_or_default(),
        _ => &problem.path,
    };
    (problem.origin.clone(), path.to_owned(), problem.message.clone())
}
