//! Settings as people may see them: every one with its place, and no secret.
//!
//! A value is a secret by the mark of its schema, by the name of a key above it, or by what its text
//! looks like. What a schema says of a value is looked up in all its branches: it is a secret if one
//! of them says so. A key that a schema with secrets does not know may be a misspelt one of them, or
//! another name of it that the schema does not tell: nothing below it is shown.

use serde_json::{Map, Value as Json};

use super::mask::{MASK, is_secret_name, masked};
use super::path::{self, Step};
use super::schema::is_secret;
use super::{DEPTH_MAX, Node, Origin, Settings, Value};
use crate::InstanceSettings;

/// One setting as people may see it. No part of it holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShownSetting {
    /// Where it stands: `pool.max`.
    pub path: String,
    /// What it is set to, `***` if that is a secret; `None` where it is not set and has no default.
    pub value: Option<String>,
    /// Whether the value, or a part of it, was hidden.
    pub is_masked: bool,
    /// Where the value was written; of a default, [`Origin::Default`].
    pub origin: Origin,
    /// What the setting is for, as the driver says it.
    pub description: Option<String>,
}

impl Settings {
    /// The tree as JSON for people: texts, numbers, lists and tables as they are, secrets as `***`.
    ///
    /// A schema says which settings are secrets; without one, and beside it, names of keys
    /// (`password`, `api_key`) and passwords in addresses are recognised. What cannot be a number of
    /// JSON is text.
    ///
    /// ```
    /// use switchboard_core::Settings;
    ///
    /// let settings = Settings::new()
    ///     .with("url", "redis://me:hunter2@localhost")
    ///     .with("password", "hunter2")
    ///     .with("max", 5);
    /// let shown = settings.shown(None);
    /// assert_eq!(shown["url"], "redis://me:***@localhost");
    /// assert_eq!(shown["password"], "***");
    /// assert_eq!(shown["max"], 5);
    /// ```
    pub fn shown(&self, schema: Option<&schemars::Schema>) -> Json {
        let root = schema.map_or(&Json::Null, schemars::Schema::as_value);
        let knowledge = Knowledge::of(root).and(root);
        table_json(self, &knowledge, 0)
    }

    /// Every setting of the tree in the order in which they were written, then every other one that
    /// `schema` knows, each with its place; secrets as `***`, recognised as by [`shown`](Self::shown).
    ///
    /// ```
    /// use switchboard_core::Settings;
    ///
    /// let settings = Settings::new().with("hosts", ["a", "b"]).with("password", "hunter2");
    /// let listed = settings.listed(None);
    /// let paths: Vec<_> = listed.iter().map(|setting| setting.path.as_str()).collect();
    /// assert_eq!(paths, ["hosts[0]", "hosts[1]", "password"]);
    /// assert_eq!(listed[2].value.as_deref(), Some("***"));
    /// ```
    pub fn listed(&self, schema: Option<&schemars::Schema>) -> Vec<ShownSetting> {
        self.explained(schema.map_or(&Json::Null, schemars::Schema::as_value))
    }

    pub(crate) fn explained(&self, schema: &Json) -> Vec<ShownSetting> {
        let mut explaining = Explaining { steps: Vec::new(), shown: Vec::new() };
        explaining.table(self, &Knowledge::of(schema).and(schema));
        explaining.shown
    }
}

/// What is known about one node: the schemas that may describe it, and whether it is a secret.
struct Knowledge<'s> {
    root: &'s Json,
    /// All that may apply, branches of unions included.
    shapes: Vec<&'s Map<String, Json>>,
    /// Those of them that apply whatever is set: their settings are known to be there.
    certain: Vec<&'s Map<String, Json>>,
    secret: bool,
    content: Content,
    /// Somewhere in the whole schema there is a secret.
    has_secrets: bool,
}

/// What to expect of a value that no schema calls a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    Anything,
    /// The name of its key is that of a secret.
    Suspect,
    /// The schema knows it for a number or a truth value, whatever its key is called.
    Plain,
}

impl<'s> Knowledge<'s> {
    fn of(root: &'s Json) -> Self {
        Self::beside(root, has_secrets(root))
    }

    fn beside(root: &'s Json, has_secrets: bool) -> Self {
        let (shapes, certain) = (Vec::new(), Vec::new());
        Self { root, shapes, certain, secret: false, content: Content::Anything, has_secrets }
    }

    /// Whether such a value must not be shown. Of what should be a number, only numbers are.
    fn hides(&self, value: &Value) -> bool {
        self.secret
            || match self.content {
                Content::Anything => false,
                Content::Suspect => true,
                Content::Plain => !is_plain_value(value),
            }
    }

    /// With what `schema` says.
    fn and(mut self, schema: &'s Json) -> Self {
        self.add(schema, true, HOPS_MAX);
        self.secret |= self.shapes.iter().any(|shape| is_secret(shape));
        let kinds: Vec<bool> = self.shapes.iter().filter_map(|shape| is_plain(shape)).collect();
        let is_plain = !kinds.is_empty() && kinds.iter().all(|is_plain| *is_plain);
        self.content = if is_plain { Content::Plain } else { Content::Anything };
        self
    }

    fn add(&mut self, schema: &'s Json, certain: bool, hops: usize) {
        let Some(schema) = schema.as_object() else { return };
        // Schemas of themselves go on for ever; a schema known already says nothing new.
        if hops == 0 || self.shapes.len() >= SHAPES_MAX {
            self.secret = true;
            return;
        }
        self.shapes.push(schema);
        if certain {
            self.certain.push(schema);
        }
        let target = schema.get("$ref").and_then(Json::as_str);
        if let Some(target) = target.and_then(|target| self.root.pointer(target.strip_prefix('#')?))
        {
            self.add(target, certain, hops - 1);
        }
        for part in branches(schema, "allOf") {
            self.add(part, certain, hops - 1);
        }
        for part in branches(schema, "oneOf").iter().chain(branches(schema, "anyOf")) {
            self.add(part, false, hops - 1);
        }
    }

    fn below(&self, schemas: impl IntoIterator<Item = &'s Json>) -> Self {
        let below = Self::beside(self.root, self.has_secrets);
        let mut below = Self { secret: self.secret, ..below };
        for schema in schemas {
            below = below.and(schema);
        }
        below
    }

    fn key(&self, key: &str) -> Self {
        let mut below = self.below(self.shapes.iter().flat_map(|shape| {
            let listed = shape.get("properties").and_then(|known| known.get(key));
            let rest = ["additionalProperties", "unevaluatedProperties"];
            let patterns = shape.get("patternProperties").and_then(Json::as_object);
            let others = rest.into_iter().filter_map(|rest| shape.get(rest));
            let others = others.chain(patterns.into_iter().flat_map(Map::values));
            listed.into_iter().chain(others.filter(move |_| listed.is_none()))
        }));
        if below.content == Content::Anything && is_secret_name(key) {
            below.content = Content::Suspect;
        }
        below.secret |= self.has_secrets && !self.knows(key);
        below
    }

    /// Whether a key may be there, as far as the schema lists what may; what belongs to the instance and
    /// not to its driver may always.
    fn knows(&self, key: &str) -> bool {
        let mut tables = self.shapes.iter().filter_map(|shape| shape.get("properties")).peekable();
        tables.peek().is_none()
            || InstanceSettings::KEYS.contains(&key)
            || tables.any(|table| table.get(key).is_some())
    }

    fn item(&self, index: usize) -> Self {
        self.below(self.shapes.iter().flat_map(|shape| {
            let first = branches(shape, "prefixItems").get(index);
            first.into_iter().chain(shape.get("items"))
        }))
    }

    /// The settings that are there whatever is set.
    fn listed(&self) -> Vec<&'s str> {
        let mut listed = Vec::new();
        let tables = self.certain.iter().filter_map(|shape| shape.get("properties")?.as_object());
        for key in tables.flat_map(Map::keys) {
            if !listed.contains(&key.as_str()) {
                listed.push(key);
            }
        }
        listed
    }

    fn text(&self, keyword: &str) -> Option<&'s Json> {
        self.shapes.iter().find_map(|shape| shape.get(keyword))
    }

    fn description(&self) -> Option<String> {
        self.text("description").and_then(Json::as_str).map(str::to_owned)
    }
}

fn branches<'s>(schema: &'s Map<String, Json>, keyword: &str) -> &'s [Json] {
    schema.get(keyword).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

/// Whether the schema allows nothing that could hold a secret; `None` if it leaves that to others.
fn is_plain(schema: &Map<String, Json>) -> Option<bool> {
    let is_plain =
        |name: &Json| matches!(name.as_str(), Some("integer" | "number" | "boolean" | "null"));
    match schema.get("type") {
        Some(Json::Array(names)) => Some(names.iter().all(is_plain)),
        Some(name) => Some(is_plain(name)),
        None if LEFT_TO_OTHERS.iter().any(|keyword| schema.contains_key(*keyword)) => None,
        None => Some(false),
    }
}

/// Whether the value is what a schema calls plain, or a text that reads as it.
fn is_plain_value(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) => true,
        Value::String(text) | Value::Untyped(text) => {
            text.parse::<f64>().is_ok() || text.parse::<bool>().is_ok()
        }
        Value::List(_) | Value::Table(_) => false,
    }
}

/// Whether there is a secret anywhere in the schema.
fn has_secrets(schema: &Json) -> bool {
    let mut waiting = vec![schema];
    while let Some(part) = waiting.pop() {
        match part {
            Json::Object(shape) if is_secret(shape) => return true,
            Json::Object(shape) => waiting.extend(shape.values()),
            Json::Array(parts) => waiting.extend(parts),
            _ => {}
        }
    }
    false
}

/// The text of a value that has nothing below it, and whether some of it was hidden.
fn scalar(value: &Value, known: &Knowledge<'_>) -> (String, bool) {
    let text = match value {
        Value::Null => return ("null".to_owned(), false),
        Value::Bool(value) => return (value.to_string(), false),
        Value::Integer(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::String(text) | Value::Untyped(text) => text.clone(),
        Value::List(_) => "[]".to_owned(),
        Value::Table(_) => "{}".to_owned(),
    };
    if known.hides(value) {
        return (MASK.to_owned(), true);
    }
    let masked = masked(&text);
    let is_masked = masked != text;
    (masked.into_owned(), is_masked)
}

struct Explaining<'t> {
    steps: Vec<Step<'t>>,
    shown: Vec<ShownSetting>,
}

impl<'t> Explaining<'t> {
    fn table(&mut self, table: &'t Settings, known: &Knowledge<'t>) {
        for (key, node) in table.iter() {
            self.below(Step::Key(key), |inside| inside.node(node, &known.key(key)));
        }
        for key in known.listed().into_iter().filter(|key| table.child(key).is_none()) {
            self.below(Step::Key(key), |inside| inside.unset(&known.key(key)));
        }
    }

    fn node(&mut self, node: &'t Node, known: &Knowledge<'t>) {
        if self.steps.len() > DEPTH_MAX {
            return self.add(Some(("…".to_owned(), true)), node.origin(), known);
        }
        match node.value() {
            value if known.hides(value) => {
                self.add(Some(scalar(value, known)), node.origin(), known);
            }
            Value::Table(table) if !table.is_empty() => self.table(table, known),
            Value::List(items) if !items.is_empty() => {
                for (index, item) in items.iter().enumerate() {
                    self.below(Step::Index(index), |inside| inside.node(item, &known.item(index)));
                }
            }
            value => self.add(Some(scalar(value, known)), node.origin(), known),
        }
    }

    /// A setting that only the schema has.
    fn unset(&mut self, known: &Knowledge<'t>) {
        match known.text("default").filter(|default| !default.is_null()) {
            None => self.add(None, &Origin::Default, known),
            Some(default) => self.default(default, known),
        }
    }

    fn default(&mut self, default: &'t Json, known: &Knowledge<'t>) {
        let hides = known.secret || known.content == Content::Suspect;
        if let Json::Object(table) = default
            && !(hides || table.is_empty())
            && self.steps.len() <= DEPTH_MAX
        {
            for (key, below) in table {
                self.below(Step::Key(key), |inside| inside.default(below, &known.key(key)));
            }
            return;
        }
        let text = match default {
            Json::Null => return self.add(None, &Origin::Default, known),
            Json::String(text) => text.clone(),
            other => other.to_string(),
        };
        let shown = if hides { MASK.to_owned() } else { masked(&text).into_owned() };
        let is_masked = shown != text;
        self.add(Some((shown, is_masked)), &Origin::Default, known);
    }

    fn below(&mut self, step: Step<'t>, inside: impl FnOnce(&mut Self)) {
        self.steps.push(step);
        inside(self);
        self.steps.pop();
    }

    fn add(&mut self, shown: Option<(String, bool)>, origin: &Origin, known: &Knowledge<'_>) {
        let is_masked = shown.as_ref().is_some_and(|(_, is_masked)| *is_masked);
        self.shown.push(ShownSetting {
            path: path::render(&self.steps),
            value: shown.map(|(text, _)| text),
            is_masked,
            origin: origin.clone(),
            description: known.description(),
        });
    }
}

fn table_json(table: &Settings, known: &Knowledge<'_>, depth: usize) -> Json {
    let below = |(key, node): (&str, &Node)| {
        (key.to_owned(), value_json(node.value(), &known.key(key), depth + 1))
    };
    Json::Object(table.iter().map(below).collect())
}

fn value_json(value: &Value, known: &Knowledge<'_>, depth: usize) -> Json {
    match value {
        Value::List(_) | Value::Table(_) if depth > DEPTH_MAX => "…".into(),
        Value::List(items) if !known.hides(value) => {
            let items = items.iter().enumerate();
            items
                .map(|(index, item)| value_json(item.value(), &known.item(index), depth + 1))
                .collect()
        }
        Value::Table(table) if !known.hides(value) => table_json(table, known, depth),
        Value::Null => Json::Null,
        Value::Bool(value) => (*value).into(),
        other => match scalar(other, known) {
            (text, true) => text.into(),
            (text, false) => number_json(other).unwrap_or_else(|| text.into()),
        },
    }
}

fn number_json(value: &Value) -> Option<Json> {
    match value {
        Value::Integer(value) => {
            let small = i64::try_from(*value).map(Json::from);
            small.or_else(|_| u64::try_from(*value).map(Json::from)).ok()
        }
        Value::Float(value) => serde_json::Number::from_f64(*value).map(Json::Number),
        _ => None,
    }
}

/// A schema with one of these may say nothing itself.
const LEFT_TO_OTHERS: [&str; 4] = ["$ref", "allOf", "anyOf", "oneOf"];

/// How many references and unions are followed for one node.
const HOPS_MAX: usize = 16;

/// How many schemas may describe one node; of one that more describe, nothing is shown.
const SHAPES_MAX: usize = 256;
