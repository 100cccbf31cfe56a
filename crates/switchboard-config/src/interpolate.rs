//! Fills variables and other files into the strings of files: `${VAR}`, `${VAR:-default}`,
//! `${VAR:?why}`, `${file:path}`, and `$$` for one `$`.
//!
//! Only strings that a file says are looked at; what is filled in is never looked at again. A value that
//! is nothing but one `${…}` gets text without a type, every other one stays a string. A variable that is
//! set to nothing is set. Messages name variables, files and the author's own reasons, never a value.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use switchboard_core::settings::{Node, Value};
use switchboard_core::{Origin, Problem, Settings};

use crate::loader::read::{Unread, read};
use crate::tree;

/// Fills in every string of `tree` that comes from a file.
///
/// What came of it, beside the changed tree.
#[derive(Debug, Default)]
pub(crate) struct Interpolated {
    pub(crate) problems: Vec<Problem>,
    /// The files that were asked for.
    pub(crate) asked: Vec<PathBuf>,
    /// The values that are nothing but what one variable or file says, and which that is.
    pub(crate) filled: Vec<(Origin, String)>,
    /// The texts that could not be filled in, whether or not there is a mistake for each.
    pub(crate) unfilled: Vec<(Origin, String)>,
    /// The tables whose driver cannot be known, because it or the address could not be filled in.
    pub(crate) without_driver: Vec<(Origin, String)>,
}

/// A text that cannot be filled in becomes nothing, or what it says of itself up to the scheme of an
/// address: nobody takes the text for what was meant.
pub(crate) fn interpolate(
    tree: &mut Settings,
    variables: &BTreeMap<String, String>,
) -> Interpolated {
    let mut filling = Filling {
        variables,
        targets: HashMap::new(),
        asked: Vec::new(),
        room: FILLED_BYTES_MAX,
        is_full: false,
        filled: Vec::new(),
        unfilled: Vec::new(),
        without_driver: Vec::new(),
        problems: Vec::new(),
        problems_max: 0,
    };
    filling.table("", tree);
    let Filling { problems, asked, filled, unfilled, without_driver, .. } = filling;
    Interpolated { problems, asked, filled, unfilled, without_driver }
}

/// A mistake for every key of a file that holds `${`: keys are not filled in.
pub(crate) fn check_keys(tree: &Settings) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut waiting: Vec<(String, &Settings)> = vec![(String::new(), tree)];
    while let Some((path, table)) = waiting.pop() {
        for (key, node) in table.iter() {
            let own = tree::below(&path, key);
            if key.contains("${") {
                let message = "a key is not interpolated, and may not hold `${`";
                problems.push(Problem::new(&*own, node.key_origin().clone(), message));
            }
            tables_in(own, node, &mut waiting);
        }
    }
    problems
}

fn tables_in<'t>(path: String, node: &'t Node, out: &mut Vec<(String, &'t Settings)>) {
    match node.value() {
        Value::Table(table) => out.push((path, table)),
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                let mut own = path.clone();
                tree::push_index(&mut own, index);
                tables_in(own, item, out);
            }
        }
        _ => {}
    }
}

/// Doubles each `$` in strings that come from the file of another load, so that filling in gives them
/// back as they are: what code hands over has been filled in already.
pub(crate) fn protect(tree: &mut Settings) {
    for (_, node) in tree.iter_mut() {
        protect_node(node);
    }
}

fn protect_node(node: &mut Node) {
    let is_of_file = matches!(node.origin(), Origin::File { .. });
    match node.value_mut() {
        Value::String(text) if is_of_file && text.contains('$') => *text = text.replace('$', "$$"),
        Value::List(items) => items.iter_mut().for_each(protect_node),
        Value::Table(table) => protect(table),
        _ => {}
    }
}

struct Filling<'v> {
    variables: &'v BTreeMap<String, String>,
    /// What the files hold that have been read, or why they do not.
    targets: HashMap<PathBuf, Result<Rc<str>, Rc<str>>>,
    asked: Vec<PathBuf>,
    /// How many more bytes may be filled in.
    room: usize,
    is_full: bool,
    filled: Vec<(Origin, String)>,
    unfilled: Vec<(Origin, String)>,
    without_driver: Vec<(Origin, String)>,
    problems: Vec<Problem>,
    /// How many mistakes there may be at the end of the string that is filled in now.
    problems_max: usize,
}

/// Where a text stands, and what files in it are relative to.
struct Spot<'s> {
    path: &'s str,
    origin: &'s Origin,
    folder: &'s Path,
}

impl Filling<'_> {
    fn table(&mut self, path: &str, table: &mut Settings) {
        let mut is_about_driver = false;
        for (key, node) in table.iter_mut() {
            if may_need_filling(node) {
                let before = self.unfilled.len();
                self.node(&tree::below(path, key), node);
                is_about_driver |= DRIVER_KEYS.contains(&key) && self.unfilled.len() > before;
            }
        }
        let names_driver = || table.child("driver").and_then(tree::text_of).is_some();
        if is_about_driver && !names_driver() {
            self.without_driver.push((table.origin().clone(), path.to_owned()));
        }
    }

    fn node(&mut self, path: &str, node: &mut Node) {
        let origin = node.origin().clone();
        match node.value_mut() {
            Value::Table(table) => self.table(path, table),
            Value::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    let mut own = path.to_owned();
                    tree::push_index(&mut own, index);
                    self.node(&own, item);
                }
            }
            value => {
                let Value::String(text) = value else { return };
                let Origin::File { path: file, .. } = &origin else { return };
                if !text.contains('$') {
                    return;
                }
                let folder = file.parent().unwrap_or(Path::new(""));
                let spot = Spot { path, origin: &origin, folder };
                *value = self.text(text, &spot);
            }
        }
    }

    /// What a text becomes.
    fn text(&mut self, text: &str, spot: &Spot<'_>) -> Value {
        let mut parser = Parser { rest: text, mistakes: Vec::new() };
        let pieces = parser.pieces(0).0;
        let told = self.problems.len();
        self.problems_max = told + MISTAKES_MAX;
        for mistake in parser.mistakes {
            self.refuse(spot, mistake, Some(FORMS));
        }
        let filled = self.fill(&pieces, spot);
        if self.problems.len() > told || self.is_full {
            self.unfilled.push((spot.origin.clone(), spot.path.to_owned()));
            return unfilled(&pieces);
        }
        if let Some(whose) = self.whose(&pieces) {
            self.filled.push((spot.origin.clone(), whose));
        }
        match pieces.as_slice() {
            [Piece::Variable(..) | Piece::File(_)] => Value::Untyped(filled),
            _ => Value::String(filled),
        }
    }

    /// Whose text it is that a value consists of, if it is all from one place.
    fn whose(&self, pieces: &[Piece<'_>]) -> Option<String> {
        match pieces {
            [Piece::File(path)] => Some(format!("the file `{}`", tree::shortened(path))),
            [Piece::Variable(name, otherwise)] => match otherwise {
                _ if self.variables.contains_key(*name) => {
                    Some(format!("the variable `{}`", tree::shortened(name)))
                }
                Otherwise::Default(pieces) => self.whose(pieces),
                Otherwise::Refuse(_) => None,
            },
            _ => None,
        }
    }

    fn fill(&mut self, pieces: &[Piece<'_>], spot: &Spot<'_>) -> String {
        let mut filled = String::new();
        for piece in pieces {
            if self.is_full {
                break;
            }
            match piece {
                Piece::Text(text) => self.add(&mut filled, text, spot),
                Piece::File(path) => self.file(&mut filled, path, spot),
                Piece::Variable(name, otherwise) => {
                    let given = self.variables.get(*name);
                    match (given, otherwise) {
                        (Some(text), _) => self.add(&mut filled, text, spot),
                        (None, Otherwise::Default(pieces)) => {
                            let default = self.fill(pieces, spot);
                            filled.push_str(&default);
                        }
                        (None, Otherwise::Refuse(why)) => self.missing(name, why, spot),
                    }
                }
            }
        }
        filled
    }

    fn add(&mut self, filled: &mut String, text: &str, spot: &Spot<'_>) {
        match self.room.checked_sub(text.len()) {
            Some(room) => {
                self.room = room;
                filled.push_str(text);
            }
            // Once is enough: there is no room for anything that follows.
            None if !self.is_full => {
                self.is_full = true;
                let most = FILLED_BYTES_MAX / (1024 * 1024);
                self.refuse(spot, format!("more than {most} MiB are filled into strings"), None);
            }
            None => {}
        }
    }

    fn file(&mut self, filled: &mut String, path: &str, spot: &Spot<'_>) {
        let target = spot.folder.join(path);
        if !self.targets.contains_key(&target) {
            if self.targets.len() == TARGETS_MAX {
                let message = format!("more than {TARGETS_MAX} files are filled in");
                return self.refuse(spot, message, None);
            }
            self.asked.push(target.clone());
            let content = content(&target).map(Rc::from).map_err(Rc::from);
            self.targets.insert(target.clone(), content);
        }
        match self.targets.get(&target).cloned() {
            Some(Ok(text)) => self.add(filled, &text, spot),
            Some(Err(why)) => {
                self.refuse(spot, format!("the file `{}` {why}", tree::shortened(path)), None);
            }
            None => {}
        }
    }

    fn missing(&mut self, name: &str, why: &str, spot: &Spot<'_>) {
        let name = tree::shortened(name);
        // Whoever forgot to hand over the variables sees that this one is set.
        let no_variables = self.variables.is_empty().then(|| NO_VARIABLES.to_owned());
        if why.trim().is_empty() {
            let set_it = || format!("set it, or say what to use without it: ${{{name}:-default}}");
            let hint = no_variables.unwrap_or_else(set_it);
            self.refuse(spot, format!("the variable `{name}` is not set"), Some(&hint));
        } else {
            let why: String = why.chars().take(WHY_CHARS_MAX).collect();
            let message = format!("the variable `{name}` is not set: {}", why.escape_debug());
            self.refuse(spot, message, no_variables.as_deref());
        }
    }

    fn refuse(&mut self, spot: &Spot<'_>, message: String, hint: Option<&str>) {
        let mut problem = Problem::new(spot.path, spot.origin.clone(), message);
        problem.hint = hint.map(str::to_owned);
        if self.problems.len() < self.problems_max {
            self.problems.push(problem);
        }
    }
}

/// What stays of a text that could not be filled in: which driver is meant, if it says so itself.
fn unfilled(pieces: &[Piece<'_>]) -> Value {
    let scheme = pieces.first().and_then(|piece| match piece {
        Piece::Text(text) => text.find("://").map(|at| text[..at + 3].to_owned()),
        _ => None,
    });
    scheme.map_or(Value::Null, Value::String)
}

/// Most values of a tree are plain, and need no path of their own.
fn may_need_filling(node: &Node) -> bool {
    match node.value() {
        Value::String(text) => text.contains('$'),
        Value::List(_) | Value::Table(_) => true,
        _ => false,
    }
}

/// The text of a file, without the newline that editors put at its end.
fn content(path: &Path) -> Result<String, String> {
    let bytes = read(path, TARGET_BYTES_MAX).map_err(Unread::after_name)?;
    let mut text = String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// A part of a text that is to be filled in.
#[derive(Debug)]
enum Piece<'t> {
    Text(&'t str),
    Variable(&'t str, Otherwise<'t>),
    File(&'t str),
}

/// What to do without the variable.
#[derive(Debug)]
enum Otherwise<'t> {
    Default(Vec<Piece<'t>>),
    Refuse(&'t str),
}

struct Parser<'t> {
    rest: &'t str,
    mistakes: Vec<String>,
}

impl<'t> Parser<'t> {
    /// The pieces up to the end, or up to the brace that closes the default they are; and whether
    /// there was one.
    fn pieces(&mut self, depth: usize) -> (Vec<Piece<'t>>, bool) {
        let mut pieces = Vec::new();
        while let Some(at) = self.rest.find(|c| c == '$' || (c == '}' && depth > 0)) {
            let text = self.take(at);
            if !text.is_empty() {
                pieces.push(Piece::Text(text));
            }
            if self.rest.starts_with('}') {
                self.take(1);
                return (pieces, true);
            }
            pieces.extend(self.dollar(depth));
        }
        if !self.rest.is_empty() {
            pieces.push(Piece::Text(self.take(self.rest.len())));
        }
        (pieces, false)
    }

    fn dollar(&mut self, depth: usize) -> Option<Piece<'t>> {
        if self.rest.starts_with("${") {
            self.take(2);
            return self.placeholder(depth);
        }
        let sign = self.take(1);
        if self.rest.starts_with('$') {
            self.take(1);
        }
        Some(Piece::Text(sign))
    }

    /// What stands between `${` and its `}`.
    fn placeholder(&mut self, depth: usize) -> Option<Piece<'t>> {
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let name = self.take(end.unwrap_or(self.rest.len()));
        if depth == NESTING_MAX {
            return self.refuse(format!("defaults are nested more than {NESTING_MAX} deep"));
        }
        let is_name = !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit());
        if self.rest.starts_with('}') {
            self.take(1);
            if !is_name {
                return self.note(nameless(name));
            }
            return Some(Piece::Variable(name, Otherwise::Refuse("")));
        }
        let is_file =
            name == "file" && !self.rest.starts_with(":-") && !self.rest.starts_with(":?");
        if is_file && self.rest.starts_with(':') {
            self.take(1);
            let path = self.literal("the path of a file")?;
            return match path {
                "" => self.note("`${file:}` names no file".to_owned()),
                path => Some(Piece::File(path)),
            };
        }
        if !is_name {
            return self.refuse(nameless(name));
        }
        if self.rest.starts_with(":-") {
            self.take(2);
            let (default, is_closed) = self.pieces(depth + 1);
            if !is_closed {
                return self.note_unclosed();
            }
            return Some(Piece::Variable(name, Otherwise::Default(default)));
        }
        if self.rest.starts_with(":?") {
            self.take(2);
            let why = self.literal("a reason")?;
            return Some(Piece::Variable(name, Otherwise::Refuse(why)));
        }
        self.refuse("holds `${…}` of an unknown form".to_owned())
    }

    /// Text up to the closing brace, in which nothing is filled in.
    fn literal(&mut self, what: &str) -> Option<&'t str> {
        let Some(end) = self.rest.find('}') else { return self.refuse(String::new()) };
        if self.rest[..end].contains("${") {
            return self.refuse(format!("nothing can be filled into {what}"));
        }
        let text = self.take(end);
        self.take(1);
        Some(text)
    }

    /// Notes a mistake and goes on behind the brace that ends it.
    fn refuse<T>(&mut self, mistake: String) -> Option<T> {
        let mut open = 1;
        while let Some(at) = self.rest.find(['$', '}']) {
            self.take(at);
            if self.rest.starts_with('}') {
                open -= 1;
            } else if self.rest.starts_with("${") {
                open += 1;
            }
            self.take(1);
            if open == 0 {
                return self.note(mistake);
            }
        }
        self.take(self.rest.len());
        self.note_unclosed()
    }

    fn note_unclosed<T>(&mut self) -> Option<T> {
        self.note("holds `${` without a `}`".to_owned())
    }

    fn note<T>(&mut self, mistake: String) -> Option<T> {
        // An unclosed one inside of another is closed by neither, and told once.
        if self.mistakes.last() != Some(&mistake) && self.mistakes.len() < MISTAKES_MAX {
            self.mistakes.push(mistake);
        }
        None
    }

    fn take(&mut self, length: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }
}

// The text itself is not repeated: a password may hold `${` by accident.
fn nameless(name: &str) -> String {
    match name {
        "" => "holds `${` without the name of a variable".to_owned(),
        _ => "holds `${` and then no name of a variable".to_owned(),
    }
}

const FORMS: &str =
    "write ${NAME}, ${NAME:-default}, ${NAME:?reason} or ${file:path}, and $$ for $";

const NO_VARIABLES: &str =
    "this configuration was given no variables: `.variables(std::env::vars())`";

/// The keys that say which driver an instance has.
const DRIVER_KEYS: [&str; 2] = ["driver", "url"];

/// How large a file may be that is filled in, in bytes.
const TARGET_BYTES_MAX: usize = 1024 * 1024;

/// How many different files are filled in.
const TARGETS_MAX: usize = 1_000;

/// How much text the strings that are filled in may have together, in bytes.
const FILLED_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How deep defaults may hold defaults.
const NESTING_MAX: usize = 16;

/// How much of the author's reason is repeated, in characters.
const WHY_CHARS_MAX: usize = 256;

/// How many mistakes of one string are told.
const MISTAKES_MAX: usize = 16;
