//! Reads the text of a file of named queries, and finds every mistake in what it says about them.
//!
//! Whether a statement makes sense is nobody's business here. A line that begins with `-- name:` begins
//! a query wherever it stands, in a string and in a comment too: so nothing that was left open can hide
//! the queries that follow it.

use std::path::Path;
use std::sync::Arc;

use switchboard_core::{Name, Origin, Problem};

use super::line::{DIALECT, DOC, Line, NAME, PARAM, Remark, is_name, is_param};
use super::query::{QueryKind, QueryParam, QueryText};

/// What stands in files of named queries.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) queries: Vec<Written>,
    pub(super) problems: Vec<Problem>,
}

/// One query as it stands in a file.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) name: Box<str>,
    pub(super) kind: QueryKind,
    pub(super) text: QueryText,
}

impl Read {
    /// Reads `text`, which stands in the file `path`.
    pub(super) fn file(&mut self, path: &Path, text: &str) {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (path, draft) = (path.into(), None);
        let mut reader = Reader { path, text, draft, is_lost: false, read: self };
        let mut start = 0;
        for (line, number) in text.split_inclusive('\n').zip(1..) {
            reader.line(Line { text: line.trim_end(), number, start });
            start += line.len();
        }
        reader.finish();
    }
}

struct Reader<'t> {
    path: Arc<Path>,
    text: &'t str,
    draft: Option<Draft<'t>>,
    /// It was told that a statement belongs to no name.
    is_lost: bool,
    read: &'t mut Read,
}

/// A query whose end was not read yet.
struct Draft<'t> {
    /// Empty if it is wrong; then it is read for its other mistakes only.
    name: &'t str,
    /// `None` if it is wrong; then it is read for its other mistakes only.
    kind: Option<QueryKind>,
    place: Origin,
    dialect: Option<Box<str>>,
    docs: Vec<&'t str>,
    params: Vec<QueryParam>,
    body: Option<Body>,
}

/// The part of the text that is the statement.
struct Body {
    start: usize,
    end: usize,
    place: Origin,
}

impl<'t> Reader<'t> {
    fn line(&mut self, line: Line<'t>) {
        if line.is_blank() {
            return;
        }
        if !line.is_comment() {
            return self.statement(line);
        }
        match line.remark() {
            Some(remark) if remark.is(NAME) => self.begin(remark),
            Some(remark) => self.remark(remark),
            None => {}
        }
    }

    fn statement(&mut self, line: Line<'t>) {
        let (start, end) = (line.end() - line.code().len(), line.end());
        let place = self.place(line, line.code());
        match &mut self.draft {
            Some(Draft { body: Some(body), .. }) => body.end = end,
            Some(draft) => draft.body = Some(Body { start, end, place }),
            None if self.is_lost => {}
            None => {
                self.is_lost = true;
                self.tell(line, line.code(), "a statement stands before the first name", NAME_HINT);
            }
        }
    }

    fn begin(&mut self, remark: Remark<'t>) {
        self.finish();
        let (name, suffix) = remark.name_and_suffix();
        let refusal = refusal(name);
        self.draft = Some(Draft {
            name: if refusal.is_none() { name } else { "" },
            kind: None,
            place: self.place(remark.line, remark.line.code()),
            dialect: None,
            docs: Vec::new(),
            params: Vec::new(),
            body: None,
        });
        if let Some(refusal) = refusal {
            self.tell(remark.line, name, refusal, NAME_HINT);
        }
        let kind = self.kind(remark.line, suffix);
        self.change(|draft| draft.kind = kind);
    }

    fn kind(&mut self, line: Line<'t>, suffix: &'t str) -> Option<QueryKind> {
        let word = suffix.strip_prefix(':').unwrap_or(suffix);
        let kind = suffix.strip_prefix(':').and_then(QueryKind::of);
        if kind.is_some() {
            return kind;
        }
        let hint = match Name::nearest(word, QueryKind::ALL.map(QueryKind::word)) {
            Some(nearest) => format!("did you mean `:{nearest}`?"),
            None => format!(
                "behind the name stands one of {}",
                QueryKind::ALL.map(|kind| kind.to_string()).join(" ")
            ),
        };
        let message = match suffix {
            "" => "what the query gives is missing",
            _ => "what the query gives is not understood",
        };
        self.tell(line, suffix, message, hint);
        None
    }

    fn remark(&mut self, remark: Remark<'t>) {
        match &self.draft {
            Some(Draft { body: None, .. }) => self.detail(remark),
            Some(_) => self.elsewhere(remark, "stands below the beginning of a statement"),
            None => self.elsewhere(remark, "stands before the first name"),
        }
    }

    /// What is said between a name and its statement.
    fn detail(&mut self, remark: Remark<'t>) {
        if remark.is(DOC) {
            self.change(|draft| draft.docs.push(remark.value));
        } else if remark.is(PARAM) {
            self.param(remark);
        } else if remark.is(DIALECT) {
            self.dialect(remark);
        } else if remark.must_be_known() {
            self.unknown(remark);
        }
    }

    /// What is said elsewhere: a comment, unless it looks as if it was meant for a query.
    fn elsewhere(&mut self, remark: Remark<'t>, where_it_stands: &str) {
        if remark.is_detail() {
            let message = format!("`{}` {where_it_stands}", remark.key.to_ascii_lowercase());
            let hint = "it belongs between the name and the statement";
            self.tell(remark.line, remark.key, message, hint);
        } else if remark.is_misspelt_name() {
            self.unknown(remark);
        }
    }

    fn param(&mut self, remark: Remark<'t>) {
        let value = remark.value;
        let (name, rest) = value.split_at(value.find(char::is_whitespace).unwrap_or(value.len()));
        if !is_param(name) {
            let message = "this is no name of a parameter";
            return self.tell(remark.line, name, message, "write `-- param: id uuid`");
        }
        if let Some(first) = self.declared(name) {
            let message = format!("the parameter {name:?} is declared a second time");
            return self.tell(remark.line, name, message, format!("the first is at {first}"));
        }
        let type_name = Some(rest.trim()).filter(|words| !words.is_empty()).map(Into::into);
        let place = self.place(remark.line, name);
        self.change(|draft| draft.params.push(QueryParam { name: name.into(), type_name, place }));
    }

    fn declared(&self, name: &str) -> Option<Origin> {
        let params = &self.draft.as_ref()?.params;
        params.iter().find(|param| param.name() == name).map(|param| param.place.clone())
    }

    fn dialect(&mut self, remark: Remark<'t>) {
        let (line, value) = (remark.line, remark.value);
        let Ok(dialect) = Name::parse(value) else {
            return self.tell(
                line,
                value,
                "this is no name of a dialect",
                "write `-- dialect: postgres`",
            );
        };
        if self.draft.as_ref().is_some_and(|draft| draft.dialect.is_some()) {
            let hint = "a text for another dialect begins with the name again";
            return self.tell(line, value, "the text has a dialect already", hint);
        }
        self.change(|draft| draft.dialect = Some(dialect.as_str().into()));
    }

    fn unknown(&mut self, remark: Remark<'t>) {
        let hint = match remark.nearest() {
            Some(nearest) => format!("did you mean `-- {nearest}:`?"),
            None => UNKNOWN_HINT.to_owned(),
        };
        let message = format!("nothing is known by the word {:?}", remark.key);
        self.tell(remark.line, remark.key, message, hint);
    }

    fn finish(&mut self) {
        let Some(draft) = self.draft.take() else { return };
        let Some(body) = draft.body else {
            let problem = Problem::new(draft.name, draft.place, "the query has no statement");
            return self.read.problems.push(problem);
        };
        let (Some(kind), false) = (draft.kind, draft.name.is_empty()) else { return };
        if let (QueryKind::Script, Some(param)) = (kind, draft.params.first()) {
            let message = "a script has no parameters";
            self.read.problems.push(Problem::new(draft.name, param.place.clone(), message));
        }
        let text = QueryText {
            dialect: draft.dialect,
            doc: (!draft.docs.is_empty()).then(|| draft.docs.join("\n").into()),
            params: draft.params,
            sql: self.text[body.start..body.end].replace("\r\n", "\n").into(),
            place: draft.place,
            sql_place: body.place,
        };
        self.read.queries.push(Written { name: draft.name.into(), kind, text });
    }

    fn change(&mut self, change: impl FnOnce(&mut Draft<'t>)) {
        if let Some(draft) = &mut self.draft {
            change(draft);
        }
    }

    /// Says what is wrong with `part` of `line`, and what could be done about it.
    fn tell(
        &mut self,
        line: Line<'t>,
        part: &'t str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let name = self.draft.as_ref().map_or("", |draft| draft.name);
        let problem = Problem::new(name, self.place(line, part), message);
        self.read.problems.push(problem.with_hint(hint));
    }

    fn place(&self, line: Line<'t>, part: &'t str) -> Origin {
        let (path, line, column) = (self.path.clone(), line.number, line.column(part));
        Origin::File { path, line, column }
    }
}

/// Why a query cannot be called so.
fn refusal(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("the name is missing")
    } else if name.len() > NAME_BYTES_MAX {
        Some("the name is longer than 100 characters")
    } else if is_name(name) {
        None
    } else {
        Some("the name is made of other things than words with '.' between them")
    }
}

const NAME_BYTES_MAX: usize = 100;

const NAME_HINT: &str = "a query begins with a line like `-- name: find_user :one`";

const UNKNOWN_HINT: &str = "above a statement stand `doc`, `param` and `dialect`; a comment there does not \
                            begin with a small word and a colon";
