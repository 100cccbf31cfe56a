//! All mistakes with their places, for people and for scripts.
//!
//! Which mistakes there are is decided elsewhere; what may be shown of a line is decided by
//! [`Sources`].

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::path::Path;

use serde_json::{Value as Json, json};
use switchboard_core::{Origin, Problem, Problems};

use crate::Sources;
use crate::source::{Excerpt, printable};

/// Mistakes with excerpts of the files they are in.
///
/// `{}` is for a log or a file, [`coloured`](Self::coloured) for a terminal, [`json`](Self::json) for
/// scripts. No value of a setting is shown, but for words that a message itself quotes, short
/// numbers, and names under keys like `driver` and `policy`.
///
/// ```
/// use std::path::Path;
/// use switchboard_config::{Format, Report, Sources, parse};
/// use switchboard_core::Problems;
///
/// let text = "[cache.main]\nurl = \"memory://\"\nurl = \"redis://:hunter2@host\"\n";
/// let parsed = parse(Path::new("switchboard.toml"), text.as_bytes(), Format::Toml);
/// let problems = Problems::from_iter(parsed.problems);
/// let sources = Sources::from_iter([parsed.source]);
/// assert_eq!(Report::new(&problems, &sources).to_string(), "\
/// error: cache.main.url: set a second time
///   --> switchboard.toml:3:1
///    |
///  3 | url = \"…\"
///    | ^^^
///    = the first is at switchboard.toml:2:1
///
/// 1 mistake in 1 file
/// ");
/// ```
#[derive(Clone, Debug)]
pub struct Report<'a> {
    problems: Vec<&'a Problem>,
    sources: &'a Sources,
}

/// A report with the colours of a terminal.
#[derive(Clone, Debug)]
pub struct Coloured<'r, 'a>(&'r Report<'a>);

impl<'a> Report<'a> {
    /// A report of `problems`, each once, with excerpts from `sources`.
    #[must_use]
    pub fn new(problems: &'a Problems, sources: &'a Sources) -> Self {
        let mut seen = HashSet::new();
        let problems = problems.iter();
        let problems = problems.filter(|one| seen.insert((&one.origin, &one.path, &one.message)));
        Self { problems: problems.collect(), sources }
    }

    /// The same report in colours.
    pub fn coloured(&self) -> Coloured<'_, 'a> {
        Coloured(self)
    }

    /// Whether there is nothing to report.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// All problems, as `check --format json` prints them:
    /// `{"ok": false, "problems": [{"file", "line", "column", "key", "message", "hint"}]}`.
    ///
    /// Where a problem comes from a variable, `file` is null and `variable` names it.
    pub fn json(&self) -> String {
        let problems: Vec<Json> = self.problems.iter().map(|problem| json_of(problem)).collect();
        json!({ "ok": problems.is_empty(), "problems": problems }).to_string()
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, style: &Style) -> fmt::Result {
        for problem in self.problems.iter().take(SHOWN_MAX) {
            self.write_problem(f, problem, style)?;
            f.write_str("\n")?;
        }
        if let Some(more) = self.problems.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
            writeln!(f, "and {more} more that are not shown\n")?;
        }
        writeln!(f, "{}{}{}", style.strong, self.summary(), style.plain)
    }

    fn write_problem(
        &self,
        f: &mut fmt::Formatter<'_>,
        problem: &Problem,
        style: &Style,
    ) -> fmt::Result {
        let Style { error, strong, quiet, marker, plain } = style;
        write!(f, "{error}error{plain}{strong}: ")?;
        if !problem.path.is_empty() {
            write!(f, "{}: ", Printable(&problem.path))?;
        }
        writeln!(f, "{}{plain}", Printable(&problem.message))?;
        let gutter = gutter(&problem.origin);
        let empty = " ".repeat(gutter.len());
        let place = problem.origin.to_string();
        writeln!(f, "{empty}{quiet}-->{plain} {}", Printable(&place))?;
        if let Some(Excerpt { text, marker: under }) = self.excerpt(problem) {
            writeln!(f, "{empty} {quiet}|{plain}")?;
            writeln!(f, "{quiet}{gutter} |{plain} {text}")?;
            let (indent, carets) = (" ".repeat(under.start), "^".repeat(under.len()));
            writeln!(f, "{empty} {quiet}|{plain} {indent}{marker}{carets}{plain}")?;
        }
        if let Some(hint) = &problem.hint {
            writeln!(f, "{empty} {quiet}={plain} {}", Printable(hint))?;
        }
        Ok(())
    }

    fn excerpt(&self, problem: &Problem) -> Option<Excerpt> {
        let Origin::File { path, line, column } = &problem.origin else { return None };
        self.sources.get(path)?.excerpt(*line, *column, &problem.message)
    }

    /// `3 mistakes in 2 files and 1 variable`.
    fn summary(&self) -> String {
        let mut files = BTreeSet::new();
        let mut variables = BTreeSet::new();
        for problem in &self.problems {
            match &problem.origin {
                Origin::File { path, .. } => drop(files.insert(&**path)),
                Origin::Code { file, .. } => drop(files.insert(Path::new(file))),
                Origin::Variable { name } => drop(variables.insert(name)),
                _ => {}
            }
        }
        let places = [(files.len(), "file"), (variables.len(), "variable")];
        let places = places.iter().filter(|(count, _)| *count > 0);
        let places: Vec<String> = places.map(|(count, noun)| counted(*count, noun)).collect();
        let mistakes = counted(self.problems.len(), "mistake");
        if places.is_empty() { mistakes } else { format!("{mistakes} in {}", places.join(" and ")) }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, &PLAIN)
    }
}

impl fmt::Display for Coloured<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, &COLOURS)
    }
}

fn json_of(problem: &Problem) -> Json {
    let (file, line, column) = match &problem.origin {
        Origin::File { path, line, column } => {
            (Some(path.display().to_string()), Some(*line), Some(*column))
        }
        Origin::Code { file, line, column } => {
            (Some((*file).to_owned()), Some(*line), Some(*column))
        }
        _ => (None, None, None),
    };
    let mut shown = json!({
        "file": file, "line": line, "column": column,
        "key": problem.path, "message": problem.message, "hint": problem.hint,
    });
    if let Origin::Variable { name } = &problem.origin {
        shown["variable"] = Json::from(&**name);
    }
    shown
}

/// The number of the line, in the width that the whole problem is indented by.
fn gutter(origin: &Origin) -> String {
    match origin {
        Origin::File { line, .. } => format!("{line:>2}"),
        _ => "  ".to_owned(),
    }
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Text from a file or a variable, harmless to a terminal.
struct Printable<'a>(&'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut characters = self.0.chars();
        for c in characters.by_ref().take(TEXT_CHARACTERS_MAX) {
            write!(f, "{}", printable(c))?;
        }
        if characters.next().is_some() { f.write_str("…") } else { Ok(()) }
    }
}

/// What switches each colour on, and all of them off.
struct Style {
    error: &'static str,
    strong: &'static str,
    quiet: &'static str,
    marker: &'static str,
    plain: &'static str,
}

const PLAIN: Style = Style { error: "", strong: "", quiet: "", marker: "", plain: "" };
const COLOURS: Style = Style {
    error: "\x1b[1;31m",
    strong: "\x1b[1m",
    quiet: "\x1b[1;34m",
    marker: "\x1b[1;31m",
    plain: "\x1b[0m",
};

/// How many problems a report shows to a person; [`Report::json`] has all of them.
const SHOWN_MAX: usize = 100;

/// How much of a path, a message or a hint is shown to a person.
const TEXT_CHARACTERS_MAX: usize = 1000;
