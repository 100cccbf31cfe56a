//! The tree of settings that every driver, policy and subsystem is configured from.
//!
//! Every value remembers where it came from ([`Origin`]), so that a mistake can be shown at its
//! place. [`Settings::decode`] turns the tree into a struct and reports *all* mistakes at once
//! ([`Problems`]). Reading files, variables and layers is left to the configuration crate.
//!
//! Read in this order: [`Settings`], [`Node`] and [`Value`], the tree; [`Origin`]; [`Problem`];
//! the values that carry a unit ([`duration`], [`ByteSize`], [`Rate`]); [`Secret`].

mod anything;
mod decode;
mod judge;
mod mask;
mod meaning;
mod none;
mod number;
mod origin;
mod path;
mod problem;
mod schema;
mod secret;
mod shown;
mod units;
mod untyped;
mod words;

use std::any::TypeId;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::Result;
use crate::sync::Mutex;

pub(crate) use meaning::{mistakes_of, origin_within};
pub use none::NoSettings;
pub use origin::Origin;
pub use problem::{Problem, ProblemKind, Problems};
pub use secret::Secret;
pub use shown::ShownSetting;
pub use units::{ByteSize, DurationText, Rate, UnitError, duration};

/// How deep tables and lists may be nested; decoding a deeper tree is a mistake, not a crash.
pub const DEPTH_MAX: usize = 128;

/// A table of settings, in the order they were written. Each key occurs once.
///
/// ```
/// use switchboard_core::Settings;
///
/// let settings = Settings::new()
///     .with("url", "redis://127.0.0.1")
///     .with("pool", Settings::new().with("max", 20))
///     .with("hosts", ["a", "b"]);
///
/// assert_eq!(settings.get("pool.max").and_then(|node| node.as_integer()), Some(20));
/// assert_eq!(settings.get("hosts[1]").and_then(|node| node.as_str()), Some("b"));
/// assert!(settings.get("pool.max").is_some_and(|node| node.origin().to_string().contains(".rs:")));
/// ```
#[derive(Clone, Default)]
pub struct Settings {
    entries: Vec<Entry>,
    places: HashMap<Arc<str>, usize>,
    origin: Origin,
}

#[derive(Clone)]
struct Entry {
    key: Arc<str>,
    node: Node,
}

/// One value of the tree, with the place it came from.
#[derive(Clone, PartialEq)]
pub struct Node {
    value: Value,
    origin: Origin,
    key_origin: Option<Origin>,
}

/// What a setting can be.
///
/// `Debug` shows kinds and keys, never what a string holds: it may be a secret.
#[derive(Clone, Default, PartialEq)]
pub enum Value {
    /// Set to nothing.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number; wide enough for every `i64` and `u64`.
    Integer(i128),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    String(String),
    /// Text that came without a type, from a variable: it reads as a number, a truth value or text,
    /// whatever is asked for.
    ///
    /// ```
    /// use switchboard_core::settings::{Settings, Value};
    ///
    /// #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// struct Login {
    ///     port: u16,
    ///     password: String,
    /// }
    ///
    /// let text = |text: &str| Value::Untyped(text.to_owned());
    /// let settings = Settings::new().with("port", text("6379")).with("password", text("12345"));
    /// let login: Login = settings.decode()?;
    /// assert_eq!((login.port, login.password.as_str()), (6379, "12345"));
    /// # switchboard_core::Result::<()>::Ok(())
    /// ```
    Untyped(String),
    /// Values in order.
    List(Vec<Node>),
    /// Settings below this one.
    Table(Settings),
}

impl Settings {
    /// An empty table that comes from the calling line of code.
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        Self::at(Origin::here())
    }

    /// An empty table that comes from `origin`.
    #[must_use]
    pub fn at(origin: Origin) -> Self {
        Self { origin, ..Self::default() }
    }

    /// The same table with `key` set to `value`, which comes from the calling line of code.
    #[must_use]
    #[track_caller]
    pub fn with(mut self, key: impl Into<Arc<str>>, value: impl Into<Value>) -> Self {
        let origin = Origin::here();
        self.insert(key, Node::new(value.into(), origin));
        self
    }

    /// Sets `key`, and returns what it was set to before. A replaced key keeps its position.
    pub fn insert(&mut self, key: impl Into<Arc<str>>, node: Node) -> Option<Node> {
        let key = key.into();
        if let Some(place) = self.places.get(&key) {
            return Some(std::mem::replace(&mut self.entries[*place].node, node));
        }
        self.places.insert(Arc::clone(&key), self.entries.len());
        self.entries.push(Entry { key, node });
        None
    }

    /// Takes `key` out of the table.
    pub fn remove(&mut self, key: &str) -> Option<Node> {
        let place = self.places.remove(key)?;
        let entry = self.entries.remove(place);
        for other in self.places.values_mut() {
            *other -= usize::from(*other > place);
        }
        Some(entry.node)
    }

    /// The node at a path like `pool.max`, `hosts[2]` or `labels."a.b"`.
    pub fn get(&self, path: &str) -> Option<&Node> {
        path::find(self, path)
    }

    /// The node under exactly this key of this table, dots and all.
    pub fn child(&self, key: &str) -> Option<&Node> {
        self.places.get(key).map(|place| &self.entries[*place].node)
    }

    /// The node under exactly this key of this table, to be changed.
    pub fn child_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.places.get(key).map(|place| &mut self.entries[*place].node)
    }

    /// The keys of this table, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| &*entry.key)
    }

    /// The keys of this table with their nodes, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.entries.iter().map(|entry| (&*entry.key, &entry.node))
    }

    /// The keys of this table with their nodes, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Node)> {
        self.entries.iter_mut().map(|entry| (&*entry.key, &mut entry.node))
    }

    /// How many keys this table has.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether this table has no keys.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How a path to `key` is written: quoted, where the key would not be read as one.
    pub fn path_of(key: &str) -> String {
        path::render(&[path::Step::Key(key)])
    }

    /// Where the table itself came from: what a missing key is reported at.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Lays `other` over this table: tables are merged key by key, everything else is replaced.
    ///
    /// A value brings its origin along. A merged table keeps the origin it had, because the lower
    /// layer is where it was opened, unless that is the built-in default.
    pub fn merge(&mut self, other: Self) {
        self.merge_at(other, 0);
    }

    /// These settings as a `T`, or all that is wrong with them.
    ///
    /// The error has the kind [`Config`](crate::ErrorKind::Config); its text lists every mistake,
    /// and `error.find::<Problems>()` has them as values.
    ///
    /// Strict in what it knows: a key that `T` does not read is a mistake even where serde would
    /// ignore it, and so is a list where `T` describes a table, although serde reads some structs by
    /// position. Aliases, defaults and catch-all variants of serde are respected. Limits of the
    /// schema (`range`, `length`) are checked, except `pattern`.
    ///
    /// ```
    /// use switchboard_core::{Problems, Settings};
    ///
    /// #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
    /// struct Pool {
    ///     #[schemars(range(min = 1))]
    ///     max: u32,
    ///     name: String,
    /// }
    ///
    /// let error = Settings::new().with("mx", 5).with("name", 7).decode::<Pool>().unwrap_err();
    /// assert_eq!(error.message(), "2 settings are wrong");
    /// let problems = error.find::<Problems>().map(|problems| problems.iter());
    /// let paths: Vec<&str> = problems.into_iter().flatten().map(|p| p.path.as_str()).collect();
    /// assert_eq!(paths, ["mx", "name"]);
    /// assert!(error.to_string().contains("did you mean `max`?"));
    /// ```
    pub fn decode<T: DeserializeOwned + JsonSchema + 'static>(&self) -> Result<T> {
        self.decode_at("")
    }

    /// Like [`decode`](Self::decode), for settings that stand under `prefix` in a larger tree:
    /// paths in the report start with it.
    pub fn decode_at<T>(&self, prefix: &str) -> Result<T>
    where
        T: DeserializeOwned + JsonSchema + 'static,
    {
        if self.is_too_deep() {
            let message = format!("nested more than {DEPTH_MAX} deep");
            let problem = Problem::new(prefix, self.origin.clone(), message);
            return Err(Problems::from_iter([problem]).into());
        }
        let schema = schema_of::<T>();
        let schema::Walked { mistakes, settled } = schema::walk(&schema, self);
        let typed = untyped::settle(self, &settled);
        let mut tree = typed.as_ref().unwrap_or(self);
        let mut decoded = decode::decode::<T>(tree);
        let retyped =
            if decoded.is_err() { untyped::aliased_as_text(tree, &mistakes) } else { None };
        if let Some(retyped) = &retyped
            && let again @ Ok(_) = decode::decode::<T>(retyped)
        {
            (tree, decoded) = (retyped, again);
        }
        let ask = |probe: &decode::Probe<'_>| decode::probe::<T>(tree, probe);
        let problems = match decoded {
            Ok(value) if mistakes.is_empty() => return Ok(value),
            Ok(value) => {
                let problems = judge::of_accepted(mistakes, &ask);
                if problems.is_empty() {
                    return Ok(value);
                }
                problems
            }
            Err(first) => {
                judge::of_refused(mistakes, decode::refused::<T>(tree, first), tree, &ask)
            }
        };
        Err(Problems::from_iter(problems).under(prefix).into())
    }

    /// These settings, which stand at `prefix`, without those that `problems` are about.
    pub(crate) fn without(&self, prefix: &str, problems: &Problems) -> Self {
        let mut rest = self.clone();
        let mut paths: Vec<&str> = problems.iter().map(|problem| &*problem.path).collect();
        // The last first, so that the items of a list stay where they are.
        paths.sort_unstable();
        for path in paths.into_iter().rev() {
            let inner = path.strip_prefix(prefix).unwrap_or(path);
            path::remove(&mut rest, inner.strip_prefix('.').unwrap_or(inner));
        }
        rest
    }

    /// Removes the node to which `keys` lead; says whether there was one.
    fn remove_at(&mut self, keys: &[&str]) -> bool {
        match keys {
            [] => false,
            [key] => self.remove(key).is_some(),
            [key, below @ ..] => match self.child_mut(key).map(|node| &mut node.value) {
                Some(Value::Table(table)) => table.remove_at(below),
                _ => false,
            },
        }
    }

    /// Whether some value stands too deep for code that calls itself for each level.
    pub(crate) fn is_too_deep(&self) -> bool {
        let mut level: Vec<&Node> = self.entries.iter().map(|entry| &entry.node).collect();
        for _ in 0..DEPTH_MAX {
            level = level.into_iter().flat_map(Node::children).collect();
        }
        !level.is_empty()
    }

    /// How many nodes there are below this table.
    fn count(&self) -> usize {
        let mut count = 0;
        let mut waiting: Vec<&Node> = self.entries.iter().map(|entry| &entry.node).collect();
        while let Some(node) = waiting.pop() {
            count += 1;
            waiting.extend(node.children());
        }
        count
    }

    /// The key as the table holds it, and its node.
    fn entry(&self, key: &str) -> Option<(&str, &Node)> {
        let entry = &self.entries[*self.places.get(key)?];
        Some((&entry.key, &entry.node))
    }

    fn only_entry(&self) -> Option<(&str, &Node)> {
        self.iter().next().filter(|_| self.len() == 1)
    }

    fn merge_at(&mut self, other: Self, depth: usize) {
        if self.origin == Origin::Default {
            self.origin = other.origin;
        }
        for mut entry in other.entries {
            let below = self.child_mut(&entry.key);
            // Below the limit nothing will be decoded, so that replacing there loses nothing.
            if let Some(below) = below.filter(|_| depth < DEPTH_MAX)
                && let Value::Table(lower) = &mut below.value
                && let Value::Table(upper) = &mut entry.node.value
            {
                lower.merge_at(std::mem::take(upper), depth + 1);
                below.origin = lower.origin.clone();
                continue;
            }
            self.insert(entry.key, entry.node);
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        let mut map = f.debug_map();
        for (key, node) in self.iter() {
            map.entry(&key, &Shown(&node.value, depth + 1));
        }
        map.finish()
    }
}

impl Node {
    /// A value that came from `origin`.
    #[must_use]
    pub fn new(value: impl Into<Value>, origin: Origin) -> Self {
        let mut value = value.into();
        if let Value::Table(table) = &mut value {
            table.origin.clone_from(&origin);
        }
        Self { value, origin, key_origin: None }
    }

    /// The same node, whose key stands at `origin`: what an unknown key is reported at.
    #[must_use]
    pub fn with_key_origin(mut self, origin: Origin) -> Self {
        self.key_origin = Some(origin);
        self
    }

    /// What it is set to.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// What it is set to, to be changed.
    pub fn value_mut(&mut self) -> &mut Value {
        &mut self.value
    }

    /// What it was set to.
    #[must_use]
    pub fn into_value(mut self) -> Value {
        std::mem::take(&mut self.value)
    }

    /// Where the value came from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Where the key stands, when that is known; else where the value came from.
    pub fn key_origin(&self) -> &Origin {
        self.key_origin.as_ref().unwrap_or(&self.origin)
    }

    /// The text, if it came without a type.
    fn untyped(&self) -> Option<&str> {
        if let Value::Untyped(text) = &self.value { Some(text) } else { None }
    }

    fn children(&self) -> Vec<&Self> {
        match &self.value {
            Value::List(items) => items.iter().collect(),
            Value::Table(table) => table.entries.iter().map(|entry| &entry.node).collect(),
            _ => Vec::new(),
        }
    }

    /// The text, if it is text, with or without a type.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) | Value::Untyped(text) => Some(text),
            _ => None,
        }
    }

    /// The truth value, if it is one or is text without a type that reads as one.
    pub fn as_bool(&self) -> Option<bool> {
        match &self.value {
            Value::Bool(value) => Some(*value),
            Value::Untyped(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// The whole number, if it is one or is text without a type that reads as one.
    pub fn as_integer(&self) -> Option<i128> {
        match &self.value {
            Value::Integer(value) => Some(*value),
            Value::Untyped(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// The items, if it is a list.
    pub fn as_list(&self) -> Option<&[Self]> {
        if let Value::List(items) = &self.value { Some(items) } else { None }
    }

    /// The table, if it is one.
    pub fn as_table(&self) -> Option<&Settings> {
        if let Value::Table(table) = &self.value { Some(table) } else { None }
    }
}

impl Value {
    /// The kind of value, with its article, as messages say it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number",
            Self::String(_) | Self::Untyped(_) => "a string",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }

    /// Moves what is nested in this value to `out`.
    fn take_children(&mut self, out: &mut Vec<Node>) {
        match self {
            Self::List(items) => out.append(items),
            Self::Table(table) => out.extend(table.entries.drain(..).map(|entry| entry.node)),
            _ => {}
        }
    }
}

// The usual drop calls itself for each level, and a tree deep enough would exhaust the stack.
impl Drop for Node {
    fn drop(&mut self) {
        let mut waiting = Vec::new();
        self.value.take_children(&mut waiting);
        while let Some(mut node) = waiting.pop() {
            node.value.take_children(&mut waiting);
        }
    }
}

/// Tables are equal when their keys, values and origins are, in the same order.
impl PartialEq for Settings {
    fn eq(&self, other: &Self) -> bool {
        self.origin == other.origin && self.iter().eq(other.iter())
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.value, f)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&Shown(self, 0), f)
    }
}

/// A value of the tree, or its root, which is a table without a node.
#[derive(Clone, Copy)]
enum View<'a> {
    Node(&'a Node),
    Table(&'a Settings),
}

impl<'a> View<'a> {
    fn value(self) -> Option<&'a Value> {
        if let Self::Node(node) = self { Some(&node.value) } else { None }
    }

    fn table(self) -> Option<&'a Settings> {
        match self {
            Self::Table(table) => Some(table),
            Self::Node(node) => node.as_table(),
        }
    }

    fn is_list(self) -> bool {
        matches!(self.value(), Some(Value::List(_)))
    }

    fn text(self) -> Option<&'a str> {
        if let Self::Node(node) = self { node.as_str() } else { None }
    }

    /// The text, if it came without a type.
    fn untyped(self) -> Option<&'a str> {
        if let Self::Node(node) = self { node.untyped() } else { None }
    }

    fn kind(self) -> &'static str {
        self.value().map_or("a table", Value::kind)
    }

    fn origin(self) -> &'a Origin {
        match self {
            Self::Table(table) => table.origin(),
            Self::Node(node) => node.origin(),
        }
    }
}

/// The schema of what `T` reads, made once for each type and kept.
pub(crate) fn schema_of<T: JsonSchema + 'static>() -> Arc<serde_json::Value> {
    // As many as the program has types of settings. Nothing but their types decides what is in it.
    static KNOWN: Mutex<BTreeMap<TypeId, Arc<serde_json::Value>>> = Mutex::new(BTreeMap::new());
    if let Some(known) = KNOWN.lock().get(&TypeId::of::<T>()) {
        return Arc::clone(known);
    }
    // Made without the lock: code of the type runs here.
    let settings = schemars::generate::SchemaSettings::draft2020_12().for_deserialize();
    let schema: serde_json::Value = settings.into_generator().into_root_schema_for::<T>().into();
    Arc::clone(KNOWN.lock().entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(schema)))
}

/// Whether a `T` reads `key`, as far as its schema and serde can be asked.
pub(crate) fn reads<T: DeserializeOwned + JsonSchema + 'static>(key: &str) -> bool {
    let settings = Settings::at(Origin::Default).with(key, Settings::at(Origin::Default));
    let walked = schema::walk(&schema_of::<T>(), &settings);
    if !walked.mistakes.iter().any(|mistake| mistake.class == schema::Class::Unknown) {
        return true;
    }
    // The schema does not know aliases.
    let steps = [path::Step::Key(key)];
    let probe = decode::Probe::alone(&steps);
    let _ = decode::probe::<T>(&settings, &probe);
    matches!(probe.treatment(), decode::Treatment::Accepted | decode::Treatment::Refused)
}

/// A value as `Debug` shows it, down to the depth that can be decoded.
struct Shown<'a>(&'a Value, usize);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::List(_) | Value::Table(_) if self.1 > DEPTH_MAX => f.write_str("…"),
            Value::List(items) => {
                let shown = items.iter().map(|item| Shown(&item.value, self.1 + 1));
                f.debug_list().entries(shown).finish()
            }
            Value::Table(table) => table.write(f, self.1),
            scalar => f.write_str(scalar.kind()),
        }
    }
}

macro_rules! value_from {
    ($( $from:ty => $variant:ident ),* $(,)?) => {
        $(
            impl From<$from> for Value {
                fn from(value: $from) -> Self {
                    Self::$variant(value.into())
                }
            }
        )*
    };
}

value_from! {
    bool => Bool,
    i8 => Integer, i16 => Integer, i32 => Integer, i64 => Integer,
    u8 => Integer, u16 => Integer, u32 => Integer, u64 => Integer,
    f32 => Float, f64 => Float,
    &str => String, String => String, char => String,
    Settings => Table,
}

impl From<std::time::Duration> for Value {
    /// As configuration writes it, with its unit.
    fn from(value: std::time::Duration) -> Self {
        Self::String(DurationText(value).to_string())
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        // No platform has addresses wider than 128 bits.
        Self::Integer(i128::try_from(value).unwrap_or(i128::MAX))
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    #[track_caller]
    fn from(value: Option<T>) -> Self {
        match value {
            Some(value) => value.into(),
            None => Self::Null,
        }
    }
}

impl<T: Into<Self>> From<Vec<T>> for Value {
    #[track_caller]
    fn from(items: Vec<T>) -> Self {
        let mut nodes = Vec::with_capacity(items.len());
        for item in items {
            nodes.push(Node::new(item.into(), Origin::here()));
        }
        Self::List(nodes)
    }
}

impl<T: Into<Self>, const N: usize> From<[T; N]> for Value {
    #[track_caller]
    fn from(items: [T; N]) -> Self {
        Vec::from(items).into()
    }
}

#[cfg(test)]
mod tests;
