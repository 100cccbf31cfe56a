//! What all notations do while they read a text: turn offsets into places, note what excerpts may
//! show, and gather mistakes.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use switchboard_core::{Name, Origin, Problem, Settings};

use super::Parsed;
use crate::source::{Mark, Shown, Source};

/// One file that is being read.
pub(super) struct Reading<'t> {
    pub(super) text: &'t str,
    path: Arc<Path>,
    last: Place,
    marks: Vec<Mark>,
    trusted: usize,
    problems: Vec<Problem>,
}

/// The mistake has been noted, and nothing can be made of the rest.
#[derive(Debug)]
pub(super) struct Stop;

/// A place that is known, from which the next one is counted.
#[derive(Clone, Copy)]
struct Place {
    offset: usize,
    line: u32,
    column: u32,
}

impl<'t> Reading<'t> {
    pub(super) fn new(name: &Path, text: &'t str) -> Self {
        let last = Place { offset: 0, line: 1, column: 1 };
        let (marks, problems) = (Vec::new(), Vec::new());
        Self { text, path: Arc::from(name), last, marks, trusted: text.len(), problems }
    }

    /// The place of a byte. Quick for places in rising order.
    pub(super) fn origin(&mut self, offset: usize) -> Origin {
        let offset = self.text.floor_char_boundary(offset);
        if offset < self.last.offset {
            self.last = self.start_of_line(offset);
        }
        self.last = self.last.moved_over(&self.text[self.last.offset..offset]);
        let Place { line, column, .. } = self.last;
        Origin::File { path: Arc::clone(&self.path), line, column }
    }

    /// Notes a mistake, unless there are too many already.
    pub(super) fn mistake(&mut self, offset: usize, path: &str, message: impl Into<String>) {
        let origin = self.origin(offset);
        self.problem(Problem::new(path, origin, message));
    }

    pub(super) fn problem(&mut self, problem: Problem) {
        if !self.is_full() {
            self.problems.push(problem);
        }
    }

    /// Whether no more mistakes are noted.
    pub(super) fn is_full(&self) -> bool {
        self.problems.len() >= PROBLEMS_MAX
    }

    /// Nothing from `offset` on is what it looks like.
    pub(super) fn trust_until(&mut self, offset: usize) {
        self.trusted = self.trusted.min(offset);
    }

    pub(super) fn mark_key(&mut self, span: Range<usize>) {
        self.mark(span, Shown::Text);
    }

    /// Notes a text under `key`, which is shown only where such keys hold names.
    pub(super) fn mark_text(&mut self, span: Range<usize>, text: &str, key: Option<&str>) {
        let is_open = !key.is_some_and(is_confidential);
        let is_shown = key.is_some_and(|key| NAMING_KEYS.contains(&key)) && is_name(text);
        let is_shown = is_shown || (is_open && is_habit(text));
        let is_quotable = is_open && is_name(text);
        let shown = match (is_shown, is_quotable) {
            (true, _) => Shown::Text,
            (_, true) => Shown::Quoted,
            _ => Shown::Never,
        };
        self.mark(span, shown);
    }

    /// Notes a number or a truth value under `key`.
    pub(super) fn mark_plain(&mut self, span: Range<usize>, key: Option<&str>) {
        let is_hidden = span.len() > NUMBER_BYTES_MAX || key.is_some_and(is_confidential);
        self.mark(span, if is_hidden { Shown::Never } else { Shown::Text });
    }

    pub(super) fn mark_hidden(&mut self, span: Range<usize>) {
        self.mark(span, Shown::Never);
    }

    pub(super) fn finish(self, settings: Option<Settings>) -> Parsed {
        let source = Source::new(self.path, self.text).with_marks(self.marks, self.trusted);
        Parsed { settings, source, problems: self.problems }
    }

    fn mark(&mut self, span: Range<usize>, shown: Shown) {
        let start = self.text.floor_char_boundary(span.start);
        let end = self.text.ceil_char_boundary(span.end);
        // A text of several lines may be said to end where the next line begins.
        let end = start + self.text[start..end].trim_end().len();
        self.marks.push(Mark { span: start..end, shown });
    }

    fn start_of_line(&self, offset: usize) -> Place {
        let start = self.text[..offset].rfind('\n').map_or(0, |at| at + 1);
        let ends = self.text[start..self.last.offset].matches('\n').count();
        let line = self.last.line.saturating_sub(as_u32(ends));
        Place { offset: start, line, column: 1 }
    }
}

impl Place {
    fn moved_over(mut self, text: &str) -> Self {
        let ends = text.matches('\n').count();
        let rest = text.rfind('\n').map_or(text, |at| &text[at + 1..]);
        if ends > 0 {
            self.line = self.line.saturating_add(as_u32(ends));
            self.column = 1;
        }
        self.column = self.column.saturating_add(as_u32(rest.chars().count()));
        self.offset += text.len();
        self
    }
}

fn as_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Whether it can be the name of something, and is no address, sentence or key.
fn is_name(text: &str) -> bool {
    Name::quotable(text) == Some(text)
}

/// Whether it is a word that is meant for a truth value, and no secret of anybody.
fn is_habit(text: &str) -> bool {
    HABITS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Whether even a number under this key is nobody's business.
fn is_confidential(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    CONFIDENTIAL_PARTS.iter().any(|part| key.contains(part))
        || key.split(['-', '_', '.']).any(|word| CONFIDENTIAL_WORDS.contains(&word))
}

/// Keys whose texts are names of drivers, instances, policies and the like.
const NAMING_KEYS: [&str; 8] =
    ["driver", "default", "policy", "extends", "select", "members", "needs", "wants"];

/// What other notations take for truth values.
const HABITS: [&str; 6] = ["yes", "no", "on", "off", "true", "false"];

const CONFIDENTIAL_PARTS: [&str; 5] = ["pass", "secret", "token", "credential", "apikey"];
const CONFIDENTIAL_WORDS: [&str; 6] = ["key", "pin", "pwd", "auth", "salt", "code"];

/// The longest number that is shown, in bytes.
const NUMBER_BYTES_MAX: usize = 20;

/// How many mistakes of one file are told.
const PROBLEMS_MAX: usize = 100;
