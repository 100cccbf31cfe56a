//! YAML 1.2 with its core schema, as strict as settings need it.
//!
//! `granit_parser` tells the events; what a plain word means, and what anchors, aliases and merge
//! keys amount to, is decided here.

use std::collections::HashMap;
use std::ops::Range;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, Tag};
use switchboard_core::Settings;
use switchboard_core::settings::{DEPTH_MAX, Node, Value};

use super::json::{NUMBER_TOO_LARGE, number_of};
use super::reading::{Reading, Stop};
use super::tree::Tree;
use super::{FILE_BYTES_MAX, NODES_MAX};

pub(super) fn read(reading: &mut Reading<'_>) -> Result<Settings, Stop> {
    let text = reading.text;
    let tree = Tree::new(reading);
    let (anchors, open) = (Anchors::default(), Vec::new());
    let mut reader = Reader { text, tree, anchors, open, documents: 0, is_unreadable: false };
    for event in Parser::new_from_str_with_options(text, options()) {
        match event {
            Ok((event, span)) => reader.event(event, span)?,
            Err(error) => return reader.broken(&error),
        }
    }
    if reader.is_unreadable { Err(Stop) } else { reader.tree.finish() }
}

fn options() -> granit_parser::Options {
    granit_parser::options! {
        emit_comments: false,
        // One more than is allowed, so that the limit is told in our words.
        flow_nesting_limit: DEPTH_MAX + 2,
        block_nesting_limit: DEPTH_MAX + 2,
    }
}

struct Reader<'r, 't> {
    text: &'t str,
    tree: Tree<'r, 't>,
    anchors: Anchors,
    /// The anchor of each open table or list; 0 for none.
    open: Vec<usize>,
    documents: usize,
    /// Whether some value could not be kept.
    is_unreadable: bool,
}

/// What aliases stand for.
#[derive(Default)]
struct Anchors {
    known: HashMap<usize, Anchored>,
    nodes: usize,
    text_bytes: usize,
}

struct Anchored {
    node: Node,
    size: Size,
}

/// How much a node and all below it are.
#[derive(Clone, Copy, Default)]
struct Size {
    nodes: usize,
    height: usize,
    text_bytes: usize,
}

impl Reader<'_, '_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        let place = self.place(span);
        match event {
            Event::DocumentStart(..) => self.document(place.start),
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(&Scalar { text: &text, style, tag: tag.as_deref() }, anchor, place)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.opening(tag.as_deref(), "seq", anchor, place.start)?;
                self.tree.open_list(place.start)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.opening(tag.as_deref(), "map", anchor, place.start)?;
                self.tree.open_table(place.start)
            }
            Event::SequenceEnd | Event::MappingEnd => self.closing(),
            Event::Alias(id) => self.alias(id, place),
            _ => Ok(()),
        }
    }

    fn document(&mut self, offset: usize) -> Result<(), Stop> {
        self.documents += 1;
        if self.documents == 1 {
            return Ok(());
        }
        self.tree.stop(offset, "a second document; settings are one")
    }

    fn scalar(
        &mut self,
        scalar: &Scalar<'_>,
        anchor: usize,
        place: Range<usize>,
    ) -> Result<(), Stop> {
        if self.tree.expects_key() {
            if anchor > 0 {
                let origin = self.tree.reading.origin(place.start);
                self.anchor(anchor, &Node::new(scalar.text, origin), place.start)?;
            }
            return self.key(scalar, place);
        }
        let value = self.meaning(scalar, &place);
        let key = self.tree.key().map(str::to_owned);
        match &value {
            Value::String(text) => self.tree.reading.mark_text(place.clone(), text, key.as_deref()),
            _ => self.tree.reading.mark_plain(place.clone(), key.as_deref()),
        }
        if self.tree.depth() == 0 && matches!(value, Value::Null) && place.is_empty() {
            return Ok(());
        }
        if anchor > 0 {
            let node = Node::new(value.clone(), self.tree.reading.origin(place.start));
            self.anchor(anchor, &node, place.start)?;
        }
        self.tree.value(value, place.start)
    }

    fn key(&mut self, scalar: &Scalar<'_>, place: Range<usize>) -> Result<(), Stop> {
        let is_plain = scalar.style == ScalarStyle::Plain && scalar.tag.is_none();
        if is_plain && place.is_empty() {
            return self.tree.stop(place.start, "a value without a key");
        }
        // YAML would give it nothing; and it may be a value that something went wrong before.
        let after = self.text.get(place.end..).unwrap_or_default();
        if !after.trim_start_matches([' ', '\t', '\r', '\n']).starts_with(':') {
            self.tree.reading.mark_hidden(place.clone());
            return self.tree.stop(place.start, "a key without `:`");
        }
        if is_plain && scalar.text == "<<" {
            self.tree.set_merge_key(place);
        } else {
            self.tree.set_key(scalar.text, place);
        }
        Ok(())
    }

    /// The value of a scalar; one that cannot be kept is a mistake, and nothing.
    fn meaning(&mut self, scalar: &Scalar<'_>, place: &Range<usize>) -> Value {
        match scalar.value() {
            Ok(value) => value,
            Err(Unclear { message, hint }) => {
                self.is_unreadable = true;
                self.tree.reading.mark_hidden(place.clone());
                match hint {
                    Some(hint) => self.tree.hinted(place.start, message, hint),
                    None => self.tree.mistake(place.start, message),
                }
                Value::Null
            }
        }
    }

    fn opening(
        &mut self,
        tag: Option<&Tag>,
        expected: &str,
        anchor: usize,
        offset: usize,
    ) -> Result<(), Stop> {
        if self.tree.expects_key() {
            return self.tree.stop(offset, "a key that is not text");
        }
        if tag.is_some_and(|tag| !is_bare_tag(tag) && core_tag(tag) != Some(expected)) {
            return self.tree.stop(offset, UNKNOWN_TAG);
        }
        self.open.push(anchor);
        Ok(())
    }

    fn closing(&mut self) -> Result<(), Stop> {
        let anchor = self.open.pop().unwrap_or_default();
        let Some((node, offset)) = self.tree.close() else { return Ok(()) };
        if anchor > 0 {
            self.anchor(anchor, &node, offset)?;
        }
        self.tree.put(node, offset)
    }

    /// Keeps a copy for aliases, which counts as much as what it is a copy of.
    fn anchor(&mut self, anchor: usize, node: &Node, offset: usize) -> Result<(), Stop> {
        let size = Size::of(node);
        if !self.anchors.hold(size) {
            return self.too_many(offset);
        }
        self.anchors.known.insert(anchor, Anchored { node: node.clone(), size });
        Ok(())
    }

    fn alias(&mut self, id: usize, place: Range<usize>) -> Result<(), Stop> {
        self.tree.reading.mark_hidden(place.clone());
        if self.tree.expects_key() {
            return self.tree.stop(place.start, "a key that is an alias");
        }
        let Some(Anchored { node, size }) = self.anchors.known.get(&id) else {
            return self.tree.stop(place.start, "an alias of something that it is part of");
        };
        if size.height + self.tree.depth() > DEPTH_MAX + 1 {
            return self.tree.too_deep(place.start);
        }
        let (node, size) = (node.clone(), *size);
        if !self.anchors.hold(size) {
            return self.too_many(place.start);
        }
        self.tree.count(size.nodes, place.start)?;
        self.tree.put(node, place.start)
    }

    fn too_many<T>(&mut self, offset: usize) -> Result<T, Stop> {
        self.tree.stop(offset, "aliases repeat more than a file may hold")
    }

    fn broken(mut self, error: &ScanError) -> Result<Settings, Stop> {
        let offset = error.marker().byte_offset().unwrap_or(self.text.len()).min(self.text.len());
        self.tree.reading.trust_until(offset);
        match error.kind() {
            ErrorKind::RecursionLimitExceeded => self.tree.too_deep(offset),
            // The character may be the first one of a secret.
            ErrorKind::UnexpectedCharacter { .. } => {
                self.tree.stop(offset, "an unexpected character")
            }
            // The place is that of the word, which may begin on another line.
            kind @ ErrorKind::TabInPlainScalar => {
                let tab = self.text.get(offset..).and_then(|rest| rest.find('\t')).unwrap_or(0);
                self.tree.stop(offset + tab, kind.to_string())
            }
            kind => self.tree.stop(offset, kind.to_string()),
        }
    }

    fn place(&self, span: Span) -> Range<usize> {
        let start = span.start.byte_offset().unwrap_or_default().min(self.text.len());
        let end = span.end.byte_offset().unwrap_or_default().clamp(start, self.text.len());
        start..end
    }
}

impl Anchors {
    /// Counts what is copied; `false` if that is too much.
    fn hold(&mut self, size: Size) -> bool {
        self.nodes = self.nodes.saturating_add(size.nodes);
        self.text_bytes = self.text_bytes.saturating_add(size.text_bytes);
        self.nodes <= NODES_MAX && self.text_bytes <= TEXT_BYTES_MAX
    }
}

impl Size {
    fn of(node: &Node) -> Self {
        let below: Vec<&Node> = match node.value() {
            Value::List(items) => items.iter().collect(),
            Value::Table(table) => table.iter().map(|(_, node)| node).collect(),
            Value::String(text) => {
                return Self { nodes: 1, height: 1, text_bytes: text.len() };
            }
            _ => return Self { nodes: 1, height: 1, text_bytes: 0 },
        };
        let own = Self { nodes: 1, height: 1, text_bytes: 0 };
        below.into_iter().map(Self::of).fold(own, |all, one| Self {
            nodes: all.nodes.saturating_add(one.nodes),
            height: all.height.max(one.height + 1),
            text_bytes: all.text_bytes.saturating_add(one.text_bytes),
        })
    }
}

/// A scalar as it is written.
struct Scalar<'s> {
    text: &'s str,
    style: ScalarStyle,
    tag: Option<&'s Tag>,
}

/// Why a scalar has no value.
struct Unclear {
    message: &'static str,
    hint: Option<&'static str>,
}

impl Scalar<'_> {
    fn value(&self) -> Result<Value, Unclear> {
        let text = || Value::String(self.text.to_owned());
        match self.tag {
            None if self.style == ScalarStyle::Plain => plain(self.text),
            None => Ok(text()),
            Some(tag) if is_bare_tag(tag) => Ok(text()),
            Some(tag) => self.tagged(core_tag(tag)),
        }
    }

    fn tagged(&self, tag: Option<&str>) -> Result<Value, Unclear> {
        if tag == Some("str") {
            return Ok(Value::String(self.text.to_owned()));
        }
        match (tag, plain(self.text)?) {
            (Some("null"), Value::Null) => Ok(Value::Null),
            (Some("bool"), value @ Value::Bool(_))
            | (Some("int"), value @ Value::Integer(_))
            | (Some("float"), value @ Value::Float(_)) => Ok(value),
            (Some("null" | "bool" | "int" | "float"), _) => {
                Err(unclear("a value that is not what its tag says"))
            }
            _ => Err(unclear(UNKNOWN_TAG)),
        }
    }
}

/// What a word without quotes is, by the core schema of YAML 1.2.
fn plain(text: &str) -> Result<Value, Unclear> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        _ => {}
    }
    let (sign, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (&text[..1], digits),
        None => ("", text),
    };
    if matches!(digits, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err(unclear("a number that is not finite"));
    }
    if let Some(value) = with_radix(text) {
        return value;
    }
    if !is_decimal(digits) {
        return Ok(Value::String(text.to_owned()));
    }
    if has_leading_zero(digits) {
        return Err(Unclear { message: "a number with leading zeros", hint: Some(ZEROS_HINT) });
    }
    number_of(&format!("{}{digits}", sign.trim_start_matches('+'))).ok_or(unclear(NUMBER_TOO_LARGE))
}

/// `0x1f` and `0o17`.
fn with_radix(text: &str) -> Option<Result<Value, Unclear>> {
    let (digits, radix) = match (text.strip_prefix("0x"), text.strip_prefix("0o")) {
        (Some(digits), _) => (digits, 16),
        (_, Some(digits)) => (digits, 8),
        _ => return None,
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let value = u64::from_str_radix(digits, radix).map_err(|_| unclear(NUMBER_TOO_LARGE));
    Some(value.map(Value::from))
}

/// Digits with at most one point, and perhaps an exponent.
fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let has_exponent = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !digits.is_empty() && is_digits(digits)
    });
    is_digits(whole) && is_digits(fraction) && whole.len() + fraction.len() > 0 && has_exponent
}

fn has_leading_zero(digits: &str) -> bool {
    let mut bytes = digits.bytes();
    bytes.next() == Some(b'0') && bytes.next().is_some_and(|byte| byte.is_ascii_digit())
}

fn is_bare_tag(tag: &Tag) -> bool {
    (tag.handle().is_empty() && tag.suffix() == "!")
        || (tag.handle() == "!" && tag.suffix().is_empty())
}

/// What a tag of the core schema is called.
fn core_tag(tag: &Tag) -> Option<&str> {
    (tag.handle() == "tag:yaml.org,2002:").then(|| tag.suffix())
}

fn unclear(message: &'static str) -> Unclear {
    Unclear { message, hint: None }
}

const UNKNOWN_TAG: &str = "a tag that settings do not know";
const ZEROS_HINT: &str = "put it in quotes if it is text; write 0o17 if it is octal";

/// How much text aliases may repeat, in bytes.
const TEXT_BYTES_MAX: usize = 4 * FILE_BYTES_MAX;
