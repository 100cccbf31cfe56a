//! Hands a tree of settings to serde.
//!
//! Reports the first failure only, with its path and origin; finding all mistakes is left to the
//! walk over the schema. A [`Probe`] lets the walk ask how serde treats one single node.

use std::cell::Cell;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, IntoDeserializer as _, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use super::path::{self, Step};
use super::{Node, Origin, ProblemKind, Settings, Value, View, untyped};

/// Why serde refused the tree. Holds no value of the tree, except what the type itself says.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) message: String,
    pub(super) hint: Option<String>,
    pub(super) origin: Option<Origin>,
    /// Whether the message is the type's own, and may quote the value.
    pub(super) may_quote: bool,
    pub(super) kind: ProblemKind,
    /// From the failing node up to the root.
    steps: Vec<OwnedStep>,
}

#[derive(Debug)]
enum OwnedStep {
    Key(String),
    Index(usize),
}

/// Decodes the whole tree.
pub(super) fn decode<T: de::DeserializeOwned>(settings: &Settings) -> Result<T, Failure> {
    let result = T::deserialize(Decoder { view: View::Table(settings), probe: None });
    result.map_err(|failure| failure.from(settings.origin()))
}

/// All that serde refuses, `first` and what comes after it: what was refused is left out of the tree,
/// and the rest is decoded again.
pub(super) fn refused<T: de::DeserializeOwned>(
    settings: &Settings,
    first: Failure,
) -> Vec<Failure> {
    let mut rest = settings.clone();
    let mut failures = vec![first];
    while let Some(last) = failures.last().filter(|_| failures.len() < FAILURES_MAX)
        && rest.remove_at(&last.keys())
        && let Err(next) = decode::<T>(&rest)
    {
        failures.push(next);
    }
    failures
}

/// Decodes the tree while watching what happens to one node of it.
pub(super) fn probe<T: de::DeserializeOwned>(
    settings: &Settings,
    probe: &Probe<'_>,
) -> Result<(), Failure> {
    T::deserialize(Decoder { view: View::Table(settings), probe: Some((probe, 0)) }).map(drop)
}

/// One node to watch while serde runs.
#[derive(Debug)]
pub(super) struct Probe<'a> {
    chain: &'a [Step<'a>],
    /// Whether serde sees only the way to the node, so that other mistakes do not stop it.
    alone: bool,
    /// What the node is taken for where serde buffers it instead of asking for a type.
    stand_in: Option<StandIn>,
    treatment: Cell<Treatment>,
}

/// A value that no sensible setting has.
#[derive(Clone, Copy, Debug)]
pub(super) enum StandIn {
    Nothing,
    StrangeTable,
}

/// What serde did with a watched node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Treatment {
    /// It never came that far.
    Unreached,
    /// It asked to skip it.
    Ignored,
    /// It took whatever is there, to look at it later or never.
    Buffered,
    /// It asked for a type, and did not like what it got.
    Refused,
    /// It asked for a type and got it.
    Accepted,
}

impl<'a> Probe<'a> {
    pub(super) fn alone(chain: &'a [Step<'a>]) -> Self {
        Self { chain, alone: true, stand_in: None, treatment: Cell::new(Treatment::Unreached) }
    }

    pub(super) fn in_place(chain: &'a [Step<'a>], stand_in: StandIn) -> Self {
        Self { alone: false, stand_in: Some(stand_in), ..Self::alone(chain) }
    }

    pub(super) fn treatment(&self) -> Treatment {
        self.treatment.get()
    }
}

impl Failure {
    /// The path of the node that serde refused.
    pub(super) fn path(&self) -> String {
        let mut text = String::new();
        for step in self.steps.iter().rev() {
            path::push(&mut text, step.borrow());
        }
        text
    }

    /// The way to the node, as far as it goes from table to table.
    pub(super) fn keys(&self) -> Vec<&str> {
        let keys = self.steps.iter().rev().map_while(|step| match step {
            OwnedStep::Key(key) => Some(key.as_str()),
            OwnedStep::Index(_) => None,
        });
        keys.collect()
    }

    fn under(mut self, step: Step<'_>, origin: &Origin) -> Self {
        self.steps.push(match step {
            Step::Key(key) => OwnedStep::Key(key.to_owned()),
            Step::Index(index) => OwnedStep::Index(index),
        });
        self.from(origin)
    }

    fn from(mut self, origin: &Origin) -> Self {
        self.origin.get_or_insert_with(|| origin.clone());
        self
    }
}

impl OwnedStep {
    fn borrow(&self) -> Step<'_> {
        match self {
            Self::Key(key) => Step::Key(key),
            Self::Index(index) => Step::Index(*index),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

// The usual texts quote the value, which may be a secret; these name its kind.
impl de::Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { may_quote: true, ..Self::new(message) }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format_args!("expected {expected}, found {}", kind(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format_args!("expected {expected}, found another value: {}", kind(found)))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new("not one of the known names").hint_names(expected)
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new("unknown setting").hint_names(expected)
    }

    fn missing_field(field: &'static str) -> Self {
        let missing = Self::new(format_args!("the setting `{field}` is missing"));
        Self { kind: ProblemKind::Missing, ..missing }
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(format_args!("`{field}` is set twice, under two of its names"))
    }
}

impl Failure {
    fn new(message: impl fmt::Display) -> Self {
        let message = message.to_string();
        let kind = ProblemKind::Wrong;
        Self { message, hint: None, origin: None, may_quote: false, kind, steps: Vec::new() }
    }

    fn hint_names(mut self, names: &[&str]) -> Self {
        self.hint = Some(format!("one of {}", names.join(", ")));
        self
    }
}

fn kind(found: Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "a boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "an integer",
        Unexpected::Float(_) => "a number",
        Unexpected::Char(_) | Unexpected::Str(_) => "a string",
        Unexpected::Bytes(_) => "bytes",
        Unexpected::Unit | Unexpected::Option => "nothing",
        Unexpected::Seq | Unexpected::TupleVariant => "a list",
        Unexpected::Map | Unexpected::StructVariant => "a table",
        _ => "something else",
    }
}

#[derive(Clone, Copy)]
struct Decoder<'a> {
    view: View<'a>,
    /// The probe whose way leads here, and how many of its steps have been taken.
    probe: Option<(&'a Probe<'a>, usize)>,
}

impl<'a> Decoder<'a> {
    fn unexpected(self) -> Unexpected<'a> {
        let View::Node(node) = self.view else { return Unexpected::Map };
        match &node.value {
            Value::Null => Unexpected::Unit,
            Value::Bool(value) => Unexpected::Bool(*value),
            Value::Integer(_) => Unexpected::Signed(0),
            Value::Float(value) => Unexpected::Float(*value),
            Value::String(_) | Value::Untyped(_) => Unexpected::Str(""),
            Value::List(_) => Unexpected::Seq,
            Value::Table(_) => Unexpected::Map,
        }
    }

    /// The probe, if this is the node it watches.
    fn watched(self) -> Option<&'a Probe<'a>> {
        self.probe.filter(|(probe, taken)| probe.chain.len() == *taken).map(|(probe, _)| probe)
    }

    /// Notes that serde asked for a type, and whether it got it.
    fn typed<T>(self, result: Result<T, Failure>) -> Result<T, Failure> {
        if let Some(probe) = self.watched() {
            let accepted = result.is_ok();
            probe.treatment.set(if accepted { Treatment::Accepted } else { Treatment::Refused });
        }
        result
    }

    /// Like [`visit`](Self::visit), where it is known as what text without a type is to be read.
    fn visit_as<V: Visitor<'a>>(
        self,
        read: fn(&str) -> Value,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match self.view.untyped() {
            Some(text) => visit_untyped(text, &read(text), visitor),
            None => self.visit(visitor),
        }
    }

    fn visit<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failure> {
        let value = match self.view {
            View::Table(table) => return visitor.visit_map(Entries::of(table, self.probe)),
            View::Node(node) => &node.value,
        };
        match value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Integer(value) => visit_integer(*value, visitor),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Untyped(text) => visit_untyped(text, &untyped::looks_like(text), visitor),
            Value::List(items) => {
                let mut items = Items { nodes: items, next: 0, probe: self.probe };
                let value = visitor.visit_seq(&mut items)?;
                items.all_read()?;
                Ok(value)
            }
            Value::Table(table) => visitor.visit_map(Entries::of(table, self.probe)),
        }
    }
}

/// Text without a type, read as what it was found to be.
fn visit_untyped<'a, V: Visitor<'a>>(
    text: &'a str,
    read: &Value,
    visitor: V,
) -> Result<V::Value, Failure> {
    match read {
        Value::Bool(value) => visitor.visit_bool(*value),
        Value::Integer(value) => visit_integer(*value, visitor),
        Value::Float(value) => visitor.visit_f64(*value),
        _ => visitor.visit_borrowed_str(text),
    }
}

fn visit_integer<'a, V: Visitor<'a>>(value: i128, visitor: V) -> Result<V::Value, Failure> {
    if let Ok(value) = i64::try_from(value) {
        return visitor.visit_i64(value);
    }
    if let Ok(value) = u64::try_from(value) {
        return visitor.visit_u64(value);
    }
    visitor.visit_i128(value)
}

macro_rules! ask_for_a_type {
    ($( $as_what:ident: $( $method:ident )* ; )*) => {
        $( $(
            fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failure> {
                self.typed(self.visit_as(untyped::$as_what, visitor))
            }
        )* )*
    };
}

impl<'a> de::Deserializer<'a> for Decoder<'a> {
    type Error = Failure;

    ask_for_a_type! {
        as_bool: deserialize_bool;
        as_integer: deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
            deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128;
        as_float: deserialize_f32 deserialize_f64;
        as_text: deserialize_char deserialize_str deserialize_string deserialize_bytes
            deserialize_byte_buf deserialize_unit deserialize_seq deserialize_map
            deserialize_identifier;
    }

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failure> {
        let Some(probe) = self.watched() else { return self.visit(visitor) };
        probe.treatment.set(Treatment::Buffered);
        match probe.stand_in {
            None => self.visit(visitor),
            Some(StandIn::Nothing) => visitor.visit_unit(),
            Some(StandIn::StrangeTable) => {
                let strange = [("\u{0}", 0_u8)].into_iter();
                visitor.visit_map(de::value::MapDeserializer::new(strange))
            }
        }
    }

    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failure> {
        if let Some(probe) = self.watched() {
            probe.treatment.set(Treatment::Ignored);
        }
        // Looking inside what is thrown away would only cost time.
        visitor.visit_unit()
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failure> {
        let nothing = matches!(self.view, View::Node(node) if node.value == Value::Null);
        self.typed(if nothing { visitor.visit_none() } else { visitor.visit_some(self) })
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_unit_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_tuple<V: Visitor<'a>>(self, _: usize, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        // Structs also read themselves from a list, by position. In settings that is a mistake.
        let result = match self.view.table() {
            Some(table) => visitor.visit_map(Entries::of(table, self.probe)),
            None => Err(de::Error::invalid_type(self.unexpected(), &"a table")),
        };
        self.typed(result)
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let result = if let Some(name) = self.view.text() {
            visitor.visit_enum(Variant { name, content: None, origin: None })
        } else if let Some((name, node)) = self.view.table().and_then(Settings::only_entry) {
            let probe = self.probe.and_then(|(probe, taken)| follow(probe, taken, Step::Key(name)));
            let content = Self { view: View::Node(node), probe };
            visitor.visit_enum(Variant {
                name,
                content: Some(content),
                origin: Some(node.origin()),
            })
        } else {
            let expected = &"a string or a table with one key";
            Err(de::Error::invalid_type(self.unexpected(), expected))
        };
        self.typed(result)
    }
}

/// The probe one step further down, if that is its way.
fn follow<'a>(
    probe: &'a Probe<'a>,
    taken: usize,
    step: Step<'_>,
) -> Option<(&'a Probe<'a>, usize)> {
    (probe.chain.get(taken) == Some(&step)).then_some((probe, taken + 1))
}

/// Whether a probe that wants its node alone hides the node behind `step`.
fn is_hidden(probe: Option<(&Probe<'_>, usize)>, step: Step<'_>) -> bool {
    let Some((probe, taken)) = probe else { return false };
    probe.alone && probe.chain.get(taken).is_some_and(|next| *next != step)
}

struct Items<'a> {
    nodes: &'a [Node],
    next: usize,
    probe: Option<(&'a Probe<'a>, usize)>,
}

impl Items<'_> {
    /// A tuple stops reading when it is full; what comes after that would be silently dropped.
    fn all_read(mut self) -> Result<(), Failure> {
        self.skip_hidden();
        if self.next == self.nodes.len() {
            return Ok(());
        }
        Err(Failure::new(format_args!("must have at most {} items", self.next)))
    }

    fn skip_hidden(&mut self) {
        while self.next < self.nodes.len() && is_hidden(self.probe, Step::Index(self.next)) {
            self.next += 1;
        }
    }
}

impl<'a> de::SeqAccess<'a> for Items<'a> {
    type Error = Failure;

    fn next_element_seed<S: DeserializeSeed<'a>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Failure> {
        self.skip_hidden();
        let Some(node) = self.nodes.get(self.next) else { return Ok(None) };
        let step = Step::Index(self.next);
        self.next += 1;
        let probe = self.probe.and_then(|(probe, taken)| follow(probe, taken, step));
        seed.deserialize(Decoder { view: View::Node(node), probe })
            .map(Some)
            .map_err(|failure| failure.under(step, node.origin()))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.nodes.len() - self.next)
    }
}

struct Entries<'a> {
    rest: std::slice::Iter<'a, super::Entry>,
    current: Option<&'a super::Entry>,
    probe: Option<(&'a Probe<'a>, usize)>,
}

impl<'a> Entries<'a> {
    fn of(table: &'a Settings, probe: Option<(&'a Probe<'a>, usize)>) -> Self {
        Self { rest: table.entries.iter(), current: None, probe }
    }
}

impl<'a> de::MapAccess<'a> for Entries<'a> {
    type Error = Failure;

    fn next_key_seed<S: DeserializeSeed<'a>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Failure> {
        let probe = self.probe;
        self.current = self.rest.find(|entry| !is_hidden(probe, Step::Key(&entry.key)));
        let Some(entry) = self.current else { return Ok(None) };
        seed.deserialize(Key(&entry.key))
            .map(Some)
            .map_err(|failure| failure.under(Step::Key(&entry.key), entry.node.key_origin()))
    }

    fn next_value_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<S::Value, Failure> {
        let Some(entry) = self.current.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        let step = Step::Key(&entry.key);
        let probe = self.probe.and_then(|(probe, taken)| follow(probe, taken, step));
        seed.deserialize(Decoder { view: View::Node(&entry.node), probe })
            .map_err(|failure| failure.under(step, entry.node.origin()))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// A key of a table, which maps may want as a number.
struct Key<'a>(&'a str);

macro_rules! parsed_key {
    ($( $method:ident => $visit:ident, )*) => {
        $(
            fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failure> {
                match self.0.parse() {
                    Ok(value) => visitor.$visit(value),
                    Err(_) => visitor.visit_borrowed_str(self.0),
                }
            }
        )*
    };
}

impl<'a> de::Deserializer<'a> for Key<'a> {
    type Error = Failure;

    parsed_key! {
        deserialize_bool => visit_bool,
        deserialize_i8 => visit_i8,
        deserialize_i16 => visit_i16,
        deserialize_i32 => visit_i32,
        deserialize_i64 => visit_i64,
        deserialize_i128 => visit_i128,
        deserialize_u8 => visit_u8,
        deserialize_u16 => visit_u16,
        deserialize_u32 => visit_u32,
        deserialize_u64 => visit_u64,
        deserialize_u128 => visit_u128,
    }

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_enum(Variant { name: self.0, content: None, origin: None })
    }

    forward_to_deserialize_any! {
        <V: Visitor<'a>>
        f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

/// A variant of an enum: a name alone, or the only key of a table.
struct Variant<'a> {
    name: &'a str,
    content: Option<Decoder<'a>>,
    origin: Option<&'a Origin>,
}

impl<'a> Variant<'a> {
    fn content(&self) -> Result<Decoder<'a>, Failure> {
        self.content.ok_or_else(|| de::Error::custom("this choice needs settings of its own"))
    }

    fn under(&self, failure: Failure) -> Failure {
        match self.origin {
            Some(origin) => failure.under(Step::Key(self.name), origin),
            None => failure,
        }
    }
}

impl<'a> de::EnumAccess<'a> for Variant<'a> {
    type Error = Failure;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'a>>(self, seed: S) -> Result<(S::Value, Self), Failure> {
        let name: StrDeserializer<'a, Failure> = self.name.into_deserializer();
        seed.deserialize(name).map(|value| (value, self))
    }
}

impl<'a> de::VariantAccess<'a> for Variant<'a> {
    type Error = Failure;

    fn unit_variant(self) -> Result<(), Failure> {
        let Some(content) = self.content else { return Ok(()) };
        de::Deserialize::deserialize(content).map_err(|failure| self.under(failure))
    }

    fn newtype_variant_seed<S: DeserializeSeed<'a>>(self, seed: S) -> Result<S::Value, Failure> {
        seed.deserialize(self.content()?).map_err(|failure| self.under(failure))
    }

    fn tuple_variant<V: Visitor<'a>>(self, _: usize, visitor: V) -> Result<V::Value, Failure> {
        de::Deserializer::deserialize_seq(self.content()?, visitor)
            .map_err(|failure| self.under(failure))
    }

    fn struct_variant<V: Visitor<'a>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        de::Deserializer::deserialize_struct(self.content()?, "", fields, visitor)
            .map_err(|failure| self.under(failure))
    }
}

/// How often a tree that is refused is decoded again for what else is wrong with it.
const FAILURES_MAX: usize = 32;
