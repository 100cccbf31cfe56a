//! Lays environment variables over the tree: `SWITCHBOARD__CACHE__SESSIONS__URL` is
//! `cache.sessions.url`.
//!
//! Names only tell where to; keys are spelled as the tree spells them, without regard for case and with
//! `_` for `-`. A value has no type of its own, but for a list or table written as TOML writes it in one
//! line. The variables are given; the process's own are never looked at.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use switchboard_core::settings::{Node, Value};
use switchboard_core::{Origin, Problem, Settings};

use crate::parse::{self, Format};
use crate::tree::{self, Step};

/// The variables that may say something, and which of them do.
#[derive(Clone)]
pub(crate) struct Variables {
    pub(crate) given: BTreeMap<String, String>,
    pub(crate) prefix: String,
    pub(crate) mapped: Vec<Mapped>,
}

/// A variable of somebody else's naming, and the setting it stands for.
#[derive(Clone, Debug)]
pub(crate) struct Mapped {
    pub(crate) variable: String,
    pub(crate) path: String,
    /// The line of code that says so.
    pub(crate) origin: Origin,
}

impl Variables {
    /// Lays the variables over `tree`. Sections of `defaults` are known by name, so that a new section
    /// is spelled as the defaults spell it; `deeper` are the tables of instances within sections.
    pub(crate) fn lay_over(
        &self,
        tree: &mut Settings,
        defaults: &Settings,
        deeper: &[Vec<String>],
    ) -> Vec<Problem> {
        let mut overlay = Overlay { tree, defaults, deeper, set: HashMap::new(), problems: vec![] };
        for mapped in &self.mapped {
            if let Some((name, text)) = self.given.get_key_value(&mapped.variable) {
                overlay.lay_mapped(mapped, name, text);
            }
        }
        overlay.problems.extend(self.nearly_prefixed(overlay.tree, defaults));
        // Only the variables of one kind can contradict each other: the prefixed ones come after.
        overlay.set.clear();
        for (name, parts, text) in self.prefixed(&mut overlay.problems) {
            overlay.lay(name, &parts, text);
        }
        overlay.problems
    }

    /// The variables that start with the prefix, those that say more about less last.
    fn prefixed(&self, problems: &mut Vec<Problem>) -> Vec<(&str, Vec<&str>, &str)> {
        let mut found = Vec::new();
        for (name, text) in &self.given {
            let Some(rest) = self.without_prefix(name) else { continue };
            if found.len() == VARIABLES_MAX {
                let message = format!("more than {VARIABLES_MAX} variables are settings");
                problems.push(Problem::new("", Origin::variable(&**name), message));
                break;
            }
            found.push((name.as_str(), rest.split(BETWEEN).collect::<Vec<_>>(), text.as_str()));
        }
        found.sort_by_key(|(_, parts, _)| parts.len());
        found
    }

    /// Variables that miss one underscore behind the prefix, and would set something in a known section.
    fn nearly_prefixed(&self, tree: &Settings, defaults: &Settings) -> Vec<Problem> {
        let is_section = |part: &str| {
            let mut keys = tree.keys().chain(defaults.keys());
            keys.any(|key| is_same(key, part))
        };
        let is_mapped = |name: &str| self.mapped.iter().any(|mapped| mapped.variable == name);
        let mut problems = Vec::new();
        for name in self.given.keys().filter(|name| !is_mapped(name)) {
            let start = name.split_at_checked(self.prefix.len());
            let Some((start, rest)) = start else { continue };
            let Some(rest) = rest.strip_prefix('_').filter(|rest| !rest.starts_with('_')) else {
                continue;
            };
            let Some((section, _)) = rest.split_once(BETWEEN) else { continue };
            if start.eq_ignore_ascii_case(&self.prefix) && is_section(section) {
                let path = rest.split(BETWEEN).collect::<Vec<_>>().join(".").to_ascii_lowercase();
                let message =
                    "is not read: two underscores stand between the prefix and the section";
                let problem = Problem::new(path, Origin::variable(&**name), message);
                problems.push(problem.with_hint(format!("did you mean {start}{BETWEEN}{rest}?")));
            }
        }
        problems
    }

    fn without_prefix<'n>(&self, name: &'n str) -> Option<&'n str> {
        let (start, rest) = name.split_at_checked(self.prefix.len())?;
        start.eq_ignore_ascii_case(&self.prefix).then_some(rest)?.strip_prefix(BETWEEN)
    }
}

struct Overlay<'t> {
    tree: &'t mut Settings,
    defaults: &'t Settings,
    deeper: &'t [Vec<String>],
    /// What has been set, and by which variable.
    set: HashMap<Vec<Step>, String>,
    problems: Vec<Problem>,
}

/// Why a variable says nothing: message and advice.
struct Refusal(String, Option<&'static str>);

impl Overlay<'_> {
    fn lay_mapped(&mut self, mapped: &Mapped, name: &str, text: &str) {
        let parts: Vec<&str> = mapped.path.split('.').collect();
        if parts.iter().any(|part| part.trim().is_empty()) {
            let message = format!("the path that variable {name} is mapped to has an empty part");
            self.problems.push(Problem::new(&*mapped.path, mapped.origin.clone(), message));
            return;
        }
        self.set.clear();
        self.lay(name, &parts, text);
    }

    fn lay(&mut self, name: &str, parts: &[&str], text: &str) {
        let origin = Origin::variable(name);
        let laid = self.steps(parts).and_then(|steps| {
            self.claim(name, &steps)?;
            let value = value_of(text, &origin)?;
            self.put(&steps, Node::new(value, origin.clone()).with_key_origin(origin.clone()));
            Ok(())
        });
        if let Err(Refusal(message, hint)) = laid {
            let mut problem = Problem::new(parts.join(".").to_ascii_lowercase(), origin, message);
            problem.hint = hint.map(str::to_owned);
            self.problems.push(problem);
        }
    }

    fn claim(&mut self, name: &str, steps: &[Step]) -> Result<(), Refusal> {
        match self.set.insert(steps.to_vec(), name.to_owned()) {
            None => Ok(()),
            Some(other) => Err(Refusal(format!("sets the same as variable {other}"), None)),
        }
    }

    /// Where the parts of a name lead, in the tree's own spelling.
    fn steps(&self, parts: &[&str]) -> Result<Vec<Step>, Refusal> {
        if parts.len() > PARTS_MAX {
            return Err(Refusal(format!("has more than {PARTS_MAX} parts"), None));
        }
        if parts.iter().any(|part| part.trim().is_empty()) {
            let hint = "the name is the prefix and the keys, with two underscores between them";
            return Err(Refusal("has an empty part in its name".to_owned(), Some(hint)));
        }
        let Some((first, rest)) = parts.split_first() else { return Ok(Vec::new()) };
        let first = spelled(&[&*self.tree, self.defaults], first)?;
        // Defaults of a section that somebody mentions do not count, so none is looked into.
        let mut place = Place::below(&[&*self.tree], &first);
        let mut steps = vec![Step::Key(first)];
        for part in rest {
            let (step, next) = place.follow(part, &steps)?;
            steps.push(step);
            let is_address = matches!(next, Place::Scalar { is_address: true, .. });
            let is_table = is_address && self.is_instance(&steps);
            place = if is_table { Place::Tables(Vec::new()) } else { next };
        }
        Ok(steps)
    }

    /// Whether an address may stand here for a whole table.
    fn is_instance(&self, steps: &[Step]) -> bool {
        let is_below = |keys: &Vec<String>| {
            let own = keys.iter().map(|key| Step::Key(key.clone()));
            steps.len() == keys.len() + 1 && own.eq(steps[..keys.len()].iter().cloned())
        };
        steps.len() == 2 || self.deeper.iter().any(is_below)
    }

    /// Sets the node. The tables on the way there are made, and an address there becomes one.
    fn put(&mut self, steps: &[Step], node: Node) {
        let Some((last, way)) = steps.split_last() else { return };
        let origin = node.origin().clone();
        let mut opened = Opened::Table(self.tree);
        for step in way {
            let next = opened.follow(step, &origin).and_then(|node| open(node, &origin));
            let Some(next) = next else { return };
            opened = next;
        }
        opened.set(last, node);
    }
}

fn entry<'t>(table: &'t mut Settings, key: &str, origin: &Origin) -> Option<&'t mut Node> {
    if table.child(key).is_none() {
        let made = Node::new(Settings::new(), origin.clone()).with_key_origin(origin.clone());
        table.insert(key, made);
    }
    table.child_mut(key)
}

enum Opened<'t> {
    Table(&'t mut Settings),
    List(&'t mut Vec<Node>),
}

impl<'t> Opened<'t> {
    fn follow(self, step: &Step, origin: &Origin) -> Option<&'t mut Node> {
        match (self, step) {
            (Self::Table(table), Step::Key(key)) => entry(table, key, origin),
            (Self::List(items), Step::Index(index)) => items.get_mut(*index),
            _ => None,
        }
    }

    fn set(self, step: &Step, node: Node) {
        match (self, step) {
            (Self::Table(table), Step::Key(key)) => {
                table.insert(key.as_str(), node);
            }
            (Self::List(items), Step::Index(index)) => {
                if let Some(item) = items.get_mut(*index) {
                    *item = node;
                }
            }
            _ => {}
        }
    }
}

/// What is below a node, which becomes a table if it is not one yet.
fn open<'t>(node: &'t mut Node, origin: &Origin) -> Option<Opened<'t>> {
    if !matches!(node.value(), Value::List(_) | Value::Table(_)) {
        let table = tree::as_instance(node).unwrap_or_else(|| Settings::at(origin.clone()));
        *node = Node::new(table, node.origin().clone()).with_key_origin(node.key_origin().clone());
    }
    match node.value_mut() {
        Value::Table(table) => Some(Opened::Table(table)),
        Value::List(items) => Some(Opened::List(items)),
        _ => None,
    }
}

/// How far a name has been followed.
enum Place<'t> {
    /// The table that is there, then those whose spelling counts where it says nothing: what it
    /// extends. None at all where everything is new.
    Tables(Vec<&'t Settings>),
    List(&'t [Node]),
    /// A value below which nothing is, unless it is an address that stands for a table.
    Scalar {
        kind: &'static str,
        is_address: bool,
    },
}

impl<'t> Place<'t> {
    fn follow(self, part: &str, before: &[Step]) -> Result<(Step, Self), Refusal> {
        match self {
            Self::Tables(tables) => {
                let key = spelled(&tables, part)?;
                let next = Self::below(&tables, &key);
                Ok((Step::Key(key), next))
            }
            Self::List(items) => {
                let item = part.parse().ok().and_then(|index| Some((index, items.get(index)?)));
                let Some((index, item)) = item else {
                    let path = tree::path_of(before);
                    let message = format!("`{path}` is a list of {}, counted from 0", items.len());
                    let hint = "the whole list can be set: [\"first\", \"second\"]";
                    return Err(Refusal(message, Some(hint)));
                };
                Ok((Step::Index(index), Self::of(item, Vec::new())))
            }
            Self::Scalar { kind, .. } => {
                let path = tree::path_of(before);
                Err(Refusal(format!("`{path}` is {kind}, and nothing is below that"), None))
            }
        }
    }

    fn below(tables: &[&'t Settings], key: &str) -> Self {
        let mut nodes = tables.iter().filter_map(|table| Some((table, table.child(key)?)));
        let Some((table, first)) = nodes.next() else { return Self::Tables(Vec::new()) };
        let mut further: Vec<&Settings> = nodes.filter_map(|(_, node)| node.as_table()).collect();
        further.extend(bases(table, first));
        Self::of(first, further)
    }

    fn of(node: &'t Node, further: Vec<&'t Settings>) -> Self {
        match node.value() {
            Value::Table(table) => Self::Tables(std::iter::once(table).chain(further).collect()),
            Value::List(items) => Self::List(items),
            Value::Null => Self::Tables(Vec::new()),
            value => {
                let is_address = tree::text_of(node).is_some_and(tree::is_address);
                Self::Scalar { kind: value.kind(), is_address }
            }
        }
    }
}

/// The tables that a member of `section` extends, directly and over others.
fn bases<'t>(section: &'t Settings, member: &'t Node) -> Vec<&'t Settings> {
    let mut found: Vec<&Settings> = Vec::new();
    let mut next = member.as_table();
    while let Some(table) = next.filter(|_| found.len() < BASES_MAX) {
        let name = table.child("extends").and_then(tree::text_of).map(tree::name_key);
        next = name.and_then(|name| {
            let (_, base) = section.iter().find(|(key, _)| tree::name_key(key) == name)?;
            base.as_table()
        });
        found.extend(next);
    }
    found
}

/// The key that a part of a name stands for.
fn spelled(tables: &[&Settings], part: &str) -> Result<String, Refusal> {
    for table in tables {
        let mut keys = table.keys().filter(|key| is_same(key, part));
        match (keys.next(), keys.next()) {
            (Some(key), None) => return Ok(key.to_owned()),
            (Some(one), Some(other)) => {
                let message =
                    format!("could be `{}` or `{}`", tree::shortened(one), tree::shortened(other));
                let hint = "variables ignore case, and do not tell `-` from `_`";
                return Err(Refusal(message, Some(hint)));
            }
            _ => {}
        }
    }
    Ok(part.trim().to_ascii_lowercase())
}

/// Whether two spellings differ in case, `-` and `_` only.
fn is_same(a: &str, b: &str) -> bool {
    let folded = |byte: u8| if byte == b'-' { b'_' } else { byte.to_ascii_lowercase() };
    let (a, b) = (a.trim(), b.trim());
    a.len() == b.len() && a.bytes().map(folded).eq(b.bytes().map(folded))
}

/// A list or a table if the text begins like one, else text without a type.
fn value_of(text: &str, origin: &Origin) -> Result<Value, Refusal> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Refusal(format!("is longer than {} KiB", TEXT_BYTES_MAX / 1024), None));
    }
    if !text.trim_start().starts_with(['[', '{']) {
        return Ok(Value::Untyped(text.to_owned()));
    }
    let document = format!("value = {text}");
    let parsed = parse::parse(Path::new("variable"), document.as_bytes(), Format::Toml);
    let whole = parsed.settings.filter(|table| parsed.problems.is_empty() && table.len() == 1);
    let value = whole.and_then(|mut table| table.remove("value"));
    value.map(|node| from_variable(node, origin).into_value()).ok_or_else(|| {
        let message = "begins like a list or a table, but is neither as TOML writes them";
        let hint = "text that begins like this can be put into a file: key = \"${VARIABLE}\"";
        Refusal(message.to_owned(), Some(hint))
    })
}

/// The same values, all of which come from a variable.
fn from_variable(node: Node, origin: &Origin) -> Node {
    let value = match node.into_value() {
        Value::List(items) => {
            Value::List(items.into_iter().map(|item| from_variable(item, origin)).collect())
        }
        Value::Table(mut table) => {
            for (_, node) in table.iter_mut() {
                let inner = std::mem::replace(node, Node::new(Value::Null, origin.clone()));
                *node = from_variable(inner, origin);
            }
            Value::Table(table)
        }
        value => value,
    };
    Node::new(value, origin.clone()).with_key_origin(origin.clone())
}

impl std::fmt::Debug for Variables {
    // Variables may hold secrets, so only their names are shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Variables")
            .field(
                "given",
                &self.given.keys().map(|name| Arc::from(&**name)).collect::<Vec<Arc<str>>>(),
            )
            .field("prefix", &self.prefix)
            .field("mapped", &self.mapped)
            .finish()
    }
}

/// What stands between the prefix and each key.
const BETWEEN: &str = "__";

/// How many variables with the prefix are read.
const VARIABLES_MAX: usize = 10_000;

/// How many keys a name may lead through.
const PARTS_MAX: usize = 32;

/// How long the value of a variable may be, in bytes.
const TEXT_BYTES_MAX: usize = 1024 * 1024;

/// How many tables are looked at for the spelling of a key that is inherited.
const BASES_MAX: usize = 100;
