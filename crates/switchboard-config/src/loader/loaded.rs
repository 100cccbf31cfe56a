//! What came of a load, and what a check of it adds.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use switchboard_core::{Origin, Problem, Problems, Result, Settings};

use super::files::Files;
use crate::inherit::Inherited;
use crate::interpolate::Interpolated;
use crate::{Sources, tree};

/// The settings, and all that is wrong with them so far.
#[derive(Debug)]
#[non_exhaustive]
pub struct Loaded {
    /// The merged settings; without those of files that could not be read.
    pub settings: Settings,
    /// The tables that say `abstract = true` and that nobody extends, under the names of their sections,
    /// for a check of what they say. What cannot be filled into them is no mistake.
    pub bases: Settings,
    /// All mistakes of all files and variables, ordered, each once.
    pub problems: Problems,
    /// The texts of the files that were read, to show mistakes in.
    pub sources: Sources,
    /// Every file whose change matters: those that were read, those that may come, and those that
    /// were filled in.
    pub files: Vec<PathBuf>,
    unread: usize,
    /// Whose text the values are that were filled in from one place.
    filled: HashMap<Origin, String>,
    /// Settings and keys that are not what they were meant to be because of a mistake in themselves.
    wrong: Places,
    /// Tables that lack what they should have inherited, and those whose driver cannot be known.
    lacking: Places,
    seen: HashSet<Mark>,
}

/// What makes two mistakes one: an inherited one has several paths, and one place.
type Mark = (Origin, String, String);

/// Places of settings. One in a file is exact; a variable or a line of code may say several settings,
/// which are told apart by their paths.
#[derive(Debug, Default)]
struct Places {
    in_files: HashSet<Origin>,
    others: Vec<(Origin, String)>,
}

impl Places {
    fn insert(&mut self, origin: Origin, path: &str) {
        if matches!(origin, Origin::File { .. }) {
            self.in_files.insert(origin);
        } else {
            self.others.push((origin, path.to_ascii_lowercase()));
        }
    }

    fn has(&self, problem: &Problem) -> bool {
        let path = || problem.path.to_ascii_lowercase();
        let is_of = |(origin, upper): &(Origin, String)| {
            *origin == problem.origin && tree::is_at_or_below(&path(), upper)
        };
        self.in_files.contains(&problem.origin) || self.others.iter().any(is_of)
    }
}

impl Loaded {
    pub(super) fn of(files: Files) -> Self {
        let mut loaded = Self {
            settings: Settings::at(Origin::Default),
            bases: Settings::at(Origin::Default),
            problems: Problems::default(),
            sources: files.sources,
            files: Vec::new(),
            unread: files.unread,
            filled: HashMap::new(),
            wrong: Places::default(),
            lacking: Places::default(),
            seen: HashSet::new(),
        };
        loaded.note_files(files.watched);
        for problem in &files.wrong_keys {
            loaded.wrong.insert(problem.origin.clone(), &problem.path);
        }
        loaded.note(files.problems);
        loaded.note(files.wrong_keys);
        loaded
    }

    /// Whether every file was read. If not, a name that nobody knows may stand in one that was not,
    /// and is better not called a mistake.
    pub fn is_complete(&self) -> bool {
        self.unread == 0
    }

    /// Adds what a check of the settings found wrong, less what is known already: the same mistake of
    /// a base in several that inherit it, and what only follows from a mistake of the load, like a wrong
    /// address where a variable was not set, or a missing setting where a base was not found. Where a
    /// file could not be read, nothing is called missing or unknown: it may stand there. A mistake in a
    /// value that was filled in names the variable or the file that it is from.
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
        let told = new.into_iter().map(|problem| self.with_source(problem)).collect();
        self.extend(told);
    }

    /// The settings if nothing is wrong with them, else all mistakes as one error.
    pub fn into_settings(self) -> Result<Settings> {
        if self.problems.is_empty() { Ok(self.settings) } else { Err(self.problems.into()) }
    }

    pub(super) fn note(&mut self, problems: impl IntoIterator<Item = Problem>) {
        self.extend(problems.into_iter().collect());
    }

    /// Takes note of values that could not be filled in.
    pub(super) fn note_interpolated(&mut self, interpolated: Interpolated) {
        self.note_filled(&interpolated);
        self.note_files(interpolated.asked);
        self.extend(interpolated.problems);
    }

    /// The same for the bases that nobody extends, which may lack what is to be filled in.
    pub(super) fn note_filled(&mut self, interpolated: &Interpolated) {
        self.filled.extend(interpolated.filled.iter().cloned());
        for (text, path) in &interpolated.unfilled {
            self.wrong.insert(text.clone(), path);
        }
        for (table, path) in &interpolated.without_driver {
            self.lacking.insert(table.clone(), path);
        }
    }

    /// Takes note of tables that could not inherit, with all that is in them.
    pub(super) fn note_inherited(&mut self, inherited: Inherited) {
        for problem in &inherited.problems {
            self.wrong.insert(problem.origin.clone(), &problem.path);
        }
        for path in inherited.left_alone {
            let Some(node) = self.settings.get(&path) else { continue };
            let mut waiting = vec![node];
            while let Some(node) = waiting.pop() {
                waiting.extend(tree::children(node));
                if node.as_table().is_some() {
                    self.lacking.insert(node.origin().clone(), &path);
                }
            }
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

    /// The place of a value that was filled in says only where it is asked for.
    fn with_source(&self, problem: Problem) -> Problem {
        let Some(whose) = self.filled.get(&problem.origin) else { return problem };
        let said = format!("the value is that of {whose}");
        let hint = match &problem.hint {
            Some(hint) => format!("{hint}; {said}"),
            None => said,
        };
        problem.with_hint(hint)
    }

    fn is_consequence(&self, problem: &Problem) -> bool {
        let may_be_elsewhere = !self.is_complete() || self.lacking.has(problem);
        self.wrong.has(problem) || (problem.is_of_absence() && may_be_elsewhere)
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
