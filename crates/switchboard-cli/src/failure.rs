//! Why a command did not work: for people, for programs, and as an exit code.
//!
//! Errors of this process and those that a running board answers over HTTP become the same thing here,
//! so that a command reads alike whichever board it speaks to.

use std::error::Error as StdError;
use std::fmt::Display;
use std::io;

use serde_json::{Map, Value, json};
use switchboard::Mistakes;
use switchboard_core::{Error, ErrorKind, Origin, Problem, Problems};

use crate::json::{items, plain, text};
use crate::screen::{BAD, paint};
use crate::stops::Stop;

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Fine = 0,
    Other = 1,
    /// The usage or the configuration is wrong.
    Usage = 2,
    NotFound = 3,
    /// Not reached, too late, or not ready.
    Unavailable = 4,
    /// Ctrl-C was pressed, as shells tell it.
    Interrupted = 130,
    /// The system ended it, as shells tell it.
    Terminated = 143,
}

/// Why a command did not work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nobody reads the output any more, which is no mistake of anybody.
    OutputClosed,
    /// Somebody wanted the command to stop, and knows why.
    Stopped(Stop),
    Told(Box<Told>),
}

/// All there is to say about it.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) kind: ErrorKind,
    message: String,
    /// Where it happened: `cache.sessions (redis) get`.
    place: String,
    context: Vec<(String, String)>,
    hints: Vec<String>,
    causes: Vec<String>,
    related: Vec<Self>,
    /// The mistakes of a configuration, with excerpts.
    report: Option<Report>,
    problems: Value,
}

#[derive(Debug)]
struct Report {
    plain: String,
    coloured: String,
}

pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// What the kind of an error means for scripts.
pub(crate) fn exit_of(kind: ErrorKind) -> Exit {
    match kind {
        ErrorKind::Config | ErrorKind::AlreadyRegistered | ErrorKind::InvalidInput => Exit::Usage,
        ErrorKind::NotFound | ErrorKind::NotRegistered => Exit::NotFound,
        ErrorKind::Unavailable
        | ErrorKind::Timeout
        | ErrorKind::RateLimited
        | ErrorKind::Overloaded => Exit::Unavailable,
        _ => Exit::Other,
    }
}

impl Failure {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::OutputClosed => Exit::Fine,
            Self::Stopped(Stop::Interrupt) => Exit::Interrupted,
            Self::Stopped(Stop::Terminate) => Exit::Terminated,
            Self::Told(told) => exit_of(told.kind),
        }
    }

    /// The same, with advice.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        if let Self::Told(told) = &mut self {
            told.hints.push(hint.into());
        }
        self
    }

    /// The same, with this advice in place of any other.
    pub(crate) fn with_only_hint(mut self, hint: String) -> Self {
        if let Self::Told(told) = &mut self {
            told.hints = vec![hint];
        }
        self
    }

    /// What cannot happen in a program that is right.
    pub(crate) fn unexpected(error: impl StdError + Send + Sync + 'static) -> Self {
        Error::new(ErrorKind::Unexpected, "the answer cannot be written").with_source(error).into()
    }

    /// What a running board answered instead of what was asked for.
    pub(crate) fn answered(status: u16, body: &[u8]) -> Self {
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        if answer["error"].is_object() {
            return Self::Told(Box::new(Told::answered(&answer["error"])));
        }
        Error::new(kind_of_status(status), "the running board answered without a reason")
            .with_context("status", status)
            .with_hint("is it of the same version as this command?")
            .into()
    }
}

impl Told {
    fn answered(error: &Value) -> Self {
        let kind = ErrorKind::ALL.iter().copied();
        let context = error["context"].as_object().into_iter().flatten();
        Self {
            kind: kind_named(kind, &text(error, "kind")).unwrap_or(ErrorKind::Unexpected),
            message: text(error, "message"),
            place: text(error, "instance"),
            context: context.map(|(key, value)| (key.clone(), plain(value))).collect(),
            hints: items(&error["hints"]).iter().map(plain).collect(),
            causes: items(&error["causes"]).iter().map(plain).collect(),
            related: items(&error["related"]).iter().map(Self::answered).collect(),
            report: None,
            problems: error["problems"].clone(),
        }
    }

    /// For people, in several lines. The mistakes of a configuration speak for themselves.
    pub(crate) fn text(&self, is_coloured: bool) -> String {
        if let Some(report) = &self.report {
            let report = if is_coloured { &report.coloured } else { &report.plain };
            return report.trim_end().to_owned();
        }
        let error = paint(is_coloured, BAD.bold(), "error");
        let mut lines = vec![format!("{error}: {}", self.headline())];
        self.add_details(&mut lines, "");
        lines.join("\n")
    }

    /// In the form of `check --format json`; an error that lists none is one itself.
    pub(crate) fn problems(&self) -> Value {
        if !items(&self.problems).is_empty() {
            return self.problems.clone();
        }
        let context = self.context.iter().map(|(key, value)| format!("{key}: {value}"));
        let context = context.collect::<Vec<_>>().join(", ");
        let message = match context.as_str() {
            "" => self.message.clone(),
            context => format!("{} ({context})", self.message),
        };
        let hint = match self.hints.as_slice() {
            [] => Value::Null,
            hints => json!(hints.join("; ")),
        };
        let key = if self.place.is_empty() { Value::Null } else { json!(self.place) };
        json!([{
            "file": null, "line": null, "column": null, "key": key, "message": message, "hint": hint,
        }])
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let context: Map<_, _> =
            self.context.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        json!({
            "kind": self.kind.as_str(),
            "message": self.message,
            "instance": if self.place.is_empty() { Value::Null } else { json!(self.place) },
            "context": context,
            "hints": self.hints,
            "causes": self.causes,
            "related": self.related.iter().map(Self::json).collect::<Vec<_>>(),
            "problems": if self.problems.is_null() { json!([]) } else { self.problems.clone() },
        })
    }

    fn headline(&self) -> String {
        let place = if self.place.is_empty() { String::new() } else { format!("{}: ", self.place) };
        one_line(&format!("{place}{}: {}", self.kind, self.message))
    }

    fn add_details(&self, lines: &mut Vec<String>, indent: &str) {
        let mut add = |what: &str, text: &str| {
            lines.push(format!("{indent}  {what}: {}", one_line(&text)));
        };
        // The problems of a configuration are shown below, each with its place.
        let has_problems = !items(&self.problems).is_empty();
        for (key, value) in self.context.iter().filter(|(key, _)| !has_problems || key != "problem")
        {
            add(key, value);
        }
        for problem in items(&self.problems) {
            add("problem", &problem_line(problem));
        }
        for hint in &self.hints {
            add("hint", hint);
        }
        for cause in &self.causes {
            add("caused by", cause);
        }
        for related in &self.related {
            lines.push(format!("{indent}  with: {}", related.headline()));
            related.add_details(lines, &format!("{indent}    "));
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Told(Box::new(Told::from(&error)))
    }
}

impl From<&Error> for Told {
    fn from(error: &Error) -> Self {
        let mistakes = error.find::<Mistakes>();
        let report = mistakes.map(|mistakes| {
            let report = mistakes.report();
            Report { plain: written(&report), coloured: written(&report.coloured()) }
        });
        Self {
            kind: error.kind(),
            message: error.message().to_owned(),
            place: error.place().map(ToString::to_string).unwrap_or_default(),
            context: error
                .context()
                .filter(|(_, value)| !is_own_place(value))
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            hints: error.hints().map(str::to_owned).collect(),
            causes: if report.is_some() { Vec::new() } else { causes_of(error) },
            related: error.related().iter().map(Self::from).collect(),
            report,
            problems: problems_of(error),
        }
    }
}

/// Whether a value is a place in this command's source, or in that of the libraries beside it: where a
/// statement was asked from helps who writes the program, and this one is written.
fn is_own_place(value: &str) -> bool {
    let own = file!().rsplit_once("switchboard-cli").map_or(file!(), |(before, _)| before);
    let Some(rest) = value.strip_prefix(own) else { return false };
    let is_line = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = rest.rsplit(':');
    let has_line = parts.next().is_some_and(is_line) && parts.next().is_some_and(is_line);
    rest.starts_with("switchboard") && has_line
}

/// The mistakes that an error tells, in the form of `check --format json`.
pub(crate) fn problems_of(error: &Error) -> Value {
    let Some(mistakes) = error.find::<Mistakes>() else {
        let problems = error.find::<Problems>().map(Problems::iter);
        return problems.map_or(Value::Null, |problems| problems.map(problem_json).collect());
    };
    let report = mistakes.report().json();
    let mut report: Value = serde_json::from_str(&written(&report)).unwrap_or_default();
    report["problems"].take()
}

/// A mistake that nobody has an excerpt for.
fn problem_json(problem: &Problem) -> Value {
    let mut shown = json!({
        "file": null, "line": null, "column": null,
        "key": problem.path, "message": problem.message, "hint": problem.hint,
    });
    add_place(&mut shown, &problem.origin);
    shown
}

/// Says in a mistake where it is.
pub(crate) fn add_place(shown: &mut Value, origin: &Origin) {
    match origin {
        Origin::Variable { name } => shown["variable"] = json!(&**name),
        Origin::File { path, line, column } => {
            shown["file"] = json!(path.display().to_string());
            (shown["line"], shown["column"]) = (json!(line), json!(column));
        }
        Origin::Named { name } => shown["place"] = json!(&**name),
        _ => {}
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Error::new(ErrorKind::Unexpected, "the output cannot be written")
                .with_source(error)
                .into(),
        }
    }
}

fn written(text: &impl Display) -> String {
    text.to_string()
}

/// Why an error came about, from near to far.
pub(crate) fn causes_of(error: &Error) -> Vec<String> {
    let mut causes = Vec::new();
    let mut source = StdError::source(error);
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    causes
}

/// A problem of a running board's configuration, as compilers write theirs.
fn problem_line(problem: &Value) -> String {
    let place = match &problem["file"] {
        Value::Null => text(problem, "variable") + &text(problem, "place"),
        file => format!("{}:{}:{}", plain(file), problem["line"], problem["column"]),
    };
    let parts = [place, text(problem, "key"), text(problem, "message")];
    let told = parts.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(": ");
    match &problem["hint"] {
        Value::Null => told,
        hint => format!("{told}; {}", plain(hint)),
    }
}

fn kind_named(mut kinds: impl Iterator<Item = ErrorKind>, name: &str) -> Option<ErrorKind> {
    kinds.find(|kind| kind.as_str() == name)
}

fn kind_of_status(status: u16) -> ErrorKind {
    match status {
        400 => ErrorKind::InvalidInput,
        401 => ErrorKind::Unauthenticated,
        403 => ErrorKind::PermissionDenied,
        404 => ErrorKind::NotFound,
        405 | 501 => ErrorKind::Unsupported,
        409 => ErrorKind::Conflict,
        413 => ErrorKind::TooLarge,
        429 => ErrorKind::RateLimited,
        503 => ErrorKind::Unavailable,
        504 => ErrorKind::Timeout,
        _ => ErrorKind::Unexpected,
    }
}

/// Text from outside on one line, and unable to steer a terminal.
pub(crate) fn one_line(text: &impl Display) -> String {
    text.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
