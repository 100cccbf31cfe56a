//! The texts that settings were read from, to show the place of a mistake without its secrets.
//!
//! Only what is known to be harmless is shown of a line: keys, short numbers, truth values, and texts
//! under keys that hold names (`driver`, `policy` …). Everything else, comments and what does not
//! parse included, becomes `…`. Which mistakes there are is for [`Report`](crate::Report).

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// The text of one file, and where its keys and values stand.
///
/// `Debug` shows sizes only: the text may hold secrets.
#[derive(Clone)]
pub struct Source {
    path: Arc<Path>,
    text: Arc<str>,
    lines: Vec<usize>,
    marks: Vec<Mark>,
    trusted: usize,
}

/// The texts of all files of a configuration, by path.
#[derive(Clone, Debug, Default)]
pub struct Sources(BTreeMap<Arc<Path>, Source>);

/// A key or a value in the text.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) span: Range<usize>,
    pub(crate) shown: Shown,
}

/// What an excerpt shows of a key or a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Its text.
    Text,
    /// `…`, unless the message quotes the text.
    Quoted,
    /// `…`.
    Never,
}

/// One line of a file as it may be shown, with what is to be marked in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Excerpt {
    pub(crate) text: String,
    /// In characters of `text`.
    pub(crate) marker: Range<usize>,
}

impl Source {
    pub(crate) fn new(path: Arc<Path>, text: &str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
        let lines = lines.collect();
        Self { path, text: Arc::from(text), lines, marks: Vec::new(), trusted: text.len() }
    }

    /// The same text, of which `marks` are known, and nothing is from `trusted` on.
    pub(crate) fn with_marks(mut self, mut marks: Vec<Mark>, trusted: usize) -> Self {
        marks.sort_by_key(|mark| mark.span.start);
        let mut end = 0;
        marks.retain(|mark| {
            let is_apart = mark.span.start >= end && mark.span.start < mark.span.end;
            end = if is_apart { mark.span.end } else { end };
            is_apart
        });
        self.marks = marks;
        self.trusted = trusted;
        self
    }

    /// The file, as the person named it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The line of `line` and `column`, which start at 1; `None` where the text has no such place.
    pub(crate) fn excerpt(&self, line: u32, column: u32, message: &str) -> Option<Excerpt> {
        let line = self.line(line)?;
        let at = line.start + nth_character(&self.text[line.clone()], column)?;
        let writer = Writer { source: self, message, line, at, out: Excerpt::default() };
        Some(writer.write())
    }

    /// The bytes of a line, without its end.
    fn line(&self, line: u32) -> Option<Range<usize>> {
        let index = usize::try_from(line).ok()?.checked_sub(1)?;
        let start = *self.lines.get(index)?;
        let end = self.lines.get(index + 1).map_or(self.text.len(), |next| next - 1);
        let text = &self.text[start..end];
        Some(start..start + text.strip_suffix('\r').unwrap_or(text).len())
    }

    /// The first mark that ends behind `at`, and those after it.
    fn marks_from(&self, at: usize) -> &[Mark] {
        &self.marks[self.marks.partition_point(|mark| mark.span.end <= at)..]
    }
}

impl Sources {
    /// No files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file, or replaces what was known of it.
    pub fn insert(&mut self, source: Source) {
        self.0.insert(Arc::clone(&source.path), source);
    }

    /// The file at `path`.
    pub fn get(&self, path: &Path) -> Option<&Source> {
        self.0.get(path)
    }

    /// The files, ordered by path.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.0.values()
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Extend<Source> for Sources {
    fn extend<I: IntoIterator<Item = Source>>(&mut self, sources: I) {
        sources.into_iter().for_each(|source| self.insert(source));
    }
}

impl FromIterator<Source> for Sources {
    fn from_iter<I: IntoIterator<Item = Source>>(sources: I) -> Self {
        let mut all = Self::default();
        all.extend(sources);
        all
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("path", &self.path)
            .field("bytes", &self.text.len())
            .finish_non_exhaustive()
    }
}

impl Default for Excerpt {
    fn default() -> Self {
        Self { text: String::new(), marker: 0..0 }
    }
}

/// Writes one excerpt, from left to right.
struct Writer<'a> {
    source: &'a Source,
    message: &'a str,
    line: Range<usize>,
    at: usize,
    out: Excerpt,
}

impl Writer<'_> {
    fn write(mut self) -> Excerpt {
        let window = self.window();
        if window.start > self.line.start {
            self.out.text.push('…');
        }
        let mut at = window.start;
        for mark in self.source.marks_from(window.start) {
            if mark.span.start >= window.end.min(self.source.trusted) {
                break;
            }
            if !self.gap(at..mark.span.start.max(at)) {
                return self.finish();
            }
            at = mark.span.end.min(window.end);
            self.mark(mark, mark.span.start.max(window.start)..at);
        }
        if self.gap(at..window.end) && window.end < self.line.end {
            self.hide(&(window.end..self.line.end));
        }
        self.finish()
    }

    /// The part of the line that is near enough to be looked at.
    fn window(&self) -> Range<usize> {
        let text = &self.source.text;
        let reach = WIDTH_MAX / 2;
        let start = text.floor_char_boundary(self.at.saturating_sub(reach)).max(self.line.start);
        let end = text.ceil_char_boundary(self.at.saturating_add(reach)).min(self.line.end);
        start..end
    }

    /// What stands between keys and values; `false` at a comment, which ends what can be shown.
    fn gap(&mut self, span: Range<usize>) -> bool {
        let mut rest = span.start;
        while rest < span.end {
            let text = &self.source.text[rest..span.end];
            let is_space = text.starts_with(char::is_whitespace);
            let end = text.find(|c: char| c.is_whitespace() != is_space).unwrap_or(text.len());
            let word = rest..rest + end;
            if !is_space && self.source.text[word.clone()].starts_with('#') {
                self.place_marker(&word, 1);
                return false;
            }
            self.word(word);
            rest += end;
        }
        true
    }

    fn word(&mut self, span: Range<usize>) {
        let text = &self.source.text[span.clone()];
        let is_harmless = span.end <= self.source.trusted && text.chars().all(is_structure);
        if !is_harmless {
            return self.hide(&span);
        }
        for (offset, c) in text.char_indices() {
            self.place_marker(&(span.start + offset..span.start + offset + c.len_utf8()), 1);
            self.out.text.push(if c.is_whitespace() { ' ' } else { c });
        }
    }

    fn mark(&mut self, mark: &Mark, span: Range<usize>) {
        let text = &self.source.text[span.clone()];
        if self.is_shown(mark) {
            self.place_marker(&span, text.chars().count());
            return self.out.text.extend(text.chars().map(printable));
        }
        let quote = text.chars().next().filter(|c| matches!(c, '"' | '\'')).map(String::from);
        let quote = quote.unwrap_or_default();
        let hidden = format!("{quote}…{quote}");
        self.place_marker(&span, hidden.chars().count());
        self.out.text.push_str(&hidden);
    }

    fn is_shown(&self, mark: &Mark) -> bool {
        let text = &self.source.text[mark.span.clone()];
        match mark.shown {
            Shown::Text => !text.contains('\n'),
            Shown::Quoted => {
                let bare = text.trim_matches(['"', '\'']);
                !bare.is_empty() && self.message.contains(&format!("`{bare}`"))
            }
            Shown::Never => false,
        }
    }

    /// Puts the marker under the `width` characters that come next, if they stand for its place.
    fn place_marker(&mut self, span: &Range<usize>, width: usize) {
        if span.contains(&self.at) && self.out.marker.is_empty() {
            let start = self.out.text.chars().count();
            self.out.marker = start..start + width;
        }
    }

    /// Shows neither the text nor how many words it has.
    fn hide(&mut self, span: &Range<usize>) {
        let end = self.out.text.trim_end().len();
        if self.out.text[..end].ends_with('…') {
            self.out.text.truncate(end);
        } else {
            self.out.text.push('…');
        }
        if span.contains(&self.at) && self.out.marker.is_empty() {
            let width = self.out.text.chars().count();
            self.out.marker = width - 1..width;
        }
    }

    /// A place behind the text is marked there.
    fn finish(mut self) -> Excerpt {
        let width = self.out.text.chars().count();
        if self.out.marker.is_empty() {
            self.out.marker = width..width + 1;
        }
        if self.out.marker.start >= width {
            return self.out;
        }
        let end = self.out.text.trim_end().len();
        self.out.text.truncate(end);
        self.out
    }
}

/// What `column` (from 1) is in bytes; the end of the line counts as a place.
fn nth_character(line: &str, column: u32) -> Option<usize> {
    let index = usize::try_from(column).ok()?.checked_sub(1)?;
    if line.is_ascii() {
        return (index <= line.len()).then_some(index);
    }
    let ends = std::iter::once(line.len());
    line.char_indices().map(|(at, _)| at).chain(ends).nth(index)
}

/// Characters that only hold keys and values together.
fn is_structure(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '[' | ']' | '{' | '}' | ':' | ',' | '=' | '.' | '-' | '?' | '|' | '>')
}

/// Itself, unless a terminal would act on it or show the line in another order.
pub(crate) fn printable(c: char) -> char {
    let reorders =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    match c {
        '\t' => ' ',
        c if c.is_control() || reorders => '\u{fffd}',
        c => c,
    }
}

/// How many bytes of a line are looked at for an excerpt, half of them before the marker.
const WIDTH_MAX: usize = 120;
