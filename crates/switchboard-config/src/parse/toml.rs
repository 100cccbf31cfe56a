//! TOML 1.1, with all mistakes of the notation that can be told apart.
//!
//! `toml_parser` tells the events and decodes words; which tables they make, and which may not be
//! opened or set twice, is decided here, as `toml` decides it.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use switchboard_core::settings::{DEPTH_MAX, Node, Value};
use switchboard_core::{Origin, Problem, Settings};
use toml_parser::decoder::{Encoding, ScalarKind};
use toml_parser::parser::{EventReceiver, ValidateWhitespace, parse_document};
use toml_parser::{ErrorSink, Expected, ParseError, Source, Span};

use super::NODES_MAX;
use super::json::NUMBER_TOO_LARGE;
use super::reading::{Reading, Stop};
use super::tree::set_twice;
use crate::tree::{push_index, push_key};

pub(super) fn read(reading: &mut Reading<'_>) -> Result<Settings, Stop> {
    let source = Source::new(reading.text);
    let tokens = source.lex().into_vec();
    let errors = Cell::new(0);
    let mut broken = Vec::new();
    let mut sink = |error: ParseError| {
        errors.set(errors.get() + 1);
        if broken.len() < ERRORS_MAX {
            broken.push(error);
        }
    };
    let mut document = Document::new(reading, source, &errors);
    parse_document(&tokens, &mut ValidateWhitespace::new(&mut document, source), &mut sink);
    let settings = document.finish();
    report(reading, &broken);
    if errors.get() > 0 { Err(Stop) } else { settings }
}

/// Notes what the parser found, the first mistake of each place.
fn report(reading: &mut Reading<'_>, errors: &[ParseError]) {
    let mut last = None;
    for error in errors {
        let span = error.unexpected().or(error.context());
        let offset = span.map_or(reading.text.len(), |span| span.start());
        if last.replace(offset) != Some(offset) {
            reading.mistake(offset, "", message_of(error));
        }
    }
}

fn message_of(error: &ParseError) -> String {
    let mut message = error.description().to_owned();
    let expected = error.expected().unwrap_or_default();
    for (index, expected) in expected.iter().enumerate() {
        message.push_str(if index == 0 { ", expected " } else { " or " });
        match expected {
            Expected::Literal("\n") => message.push_str("a new line"),
            Expected::Literal(literal) => {
                // Writing to a string cannot fail.
                let _ = write!(message, "`{literal}`");
            }
            Expected::Description(description) => message.push_str(description),
            _ => message.push_str("something else"),
        }
    }
    message
}

/// The tables of a file, by number; 0 is the file itself.
struct Document<'r, 't, 'b> {
    reading: &'r mut Reading<'t>,
    source: Source<'t>,
    /// How many mistakes of the notation there are, after which follow-ups are to be expected.
    errors: &'b Cell<usize>,
    /// How many there were when the current line began.
    errors_before: usize,
    is_unreadable: bool,
    is_full: bool,
    tables: Vec<Table>,
    current: usize,
    /// The way to the current table.
    current_path: String,
    /// The keys read since the last `=`, or since a header began.
    keys: Vec<Key>,
    open: Vec<Open>,
    header: Option<Header>,
    nodes: usize,
}

struct Table {
    kind: Kind,
    depth: usize,
    origin: Origin,
    entries: Vec<Entry>,
    places: HashMap<Arc<str>, usize>,
}

/// How a table came to be, which decides who may add to it.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// By its own header.
    Header,
    /// By a longer header: its own may follow.
    Implied,
    /// By a key with dots: only such keys, and headers of tables below, may add to it.
    Dotted,
    /// In braces: nobody may add to it.
    Inline,
    /// By a key with dots in braces.
    DottedInline,
}

struct Entry {
    key: Arc<str>,
    origin: Origin,
    item: Item,
}

enum Item {
    Value(Node),
    List(Vec<Self>, Origin),
    Table(usize),
    /// `[[…]]`
    Tables(Vec<usize>, Origin),
}

#[derive(Clone)]
struct Key {
    name: Arc<str>,
    span: Range<usize>,
    origin: Origin,
}

enum Open {
    Pair(Vec<Key>),
    List(Vec<Item>, Origin),
    Inline(usize),
}

struct Header {
    origin: Origin,
    is_list: bool,
}

/// What is wrong with a way through the tables.
struct Refused {
    message: Message,
    depth: usize,
}

enum Message {
    SetTwice(Origin),
    NotATable(Origin),
    TooDeep,
}

impl<'r, 't, 'b> Document<'r, 't, 'b> {
    fn new(reading: &'r mut Reading<'t>, source: Source<'t>, errors: &'b Cell<usize>) -> Self {
        let root = Table::new(Kind::Header, 0, reading.origin(0));
        Self {
            reading,
            source,
            errors,
            errors_before: 0,
            is_unreadable: false,
            is_full: false,
            tables: vec![root],
            current: 0,
            current_path: String::new(),
            keys: Vec::new(),
            open: Vec::new(),
            header: None,
            nodes: 0,
        }
    }

    fn finish(mut self) -> Result<Settings, Stop> {
        if self.is_unreadable || self.is_full {
            return Err(Stop);
        }
        Ok(settings_of(&mut self.tables, 0))
    }

    fn read_key(&mut self, span: Span, encoding: Option<Encoding>, errors: &mut dyn ErrorSink) {
        let Some(raw) = self.source.get(span) else { return };
        let raw = toml_parser::Raw::new_unchecked(raw.as_str(), encoding, span);
        let mut name = Cow::Borrowed("");
        let mut broken = None;
        raw.decode_key(&mut name, &mut broken);
        let span = span.start()..span.end();
        if let Some(error) = broken {
            self.distrust(&span, encoding);
            errors.report_error(error);
        }
        let origin = self.reading.origin(span.start);
        self.keys.push(Key { name: Arc::from(&*name), span, origin });
    }

    /// The keys so far, which now are known to be keys.
    fn take_keys(&mut self) -> Vec<Key> {
        let keys = std::mem::take(&mut self.keys);
        // After a mistake, what stands in the place of a key may have been meant for a value.
        if self.errors.get() == self.errors_before {
            for key in &keys {
                self.reading.mark_key(key.span.clone());
            }
        }
        keys
    }

    fn read_value(&mut self, span: Span, encoding: Option<Encoding>, errors: &mut dyn ErrorSink) {
        let Some(raw) = self.source.get(span) else { return };
        let raw = toml_parser::Raw::new_unchecked(raw.as_str(), encoding, span);
        let mut text = Cow::Borrowed("");
        let mut broken = None;
        let kind = raw.decode_scalar(&mut text, &mut broken);
        let span = span.start()..span.end();
        if let Some(error) = broken {
            self.reading.mark_hidden(span.clone());
            self.distrust(&span, encoding);
            return errors.report_error(error);
        }
        let value = meaning(kind, &text, raw.as_str());
        self.mark_value(&span, &value);
        let value = value.unwrap_or_else(|message| {
            self.is_unreadable = true;
            self.mistake(span.start, message);
            Value::Null
        });
        self.count(span.start);
        if self.depth() > DEPTH_MAX {
            self.refuse_depth(span.start);
        }
        let origin = self.reading.origin(span.start);
        self.put(Item::Value(Node::new(value, origin)));
    }

    fn mark_value(&mut self, span: &Range<usize>, value: &Result<Value, &'static str>) {
        let key = self.open.iter().rev().find_map(|open| match open {
            Open::Pair(keys) => keys.last().map(|key| Arc::clone(&key.name)),
            _ => None,
        });
        match value {
            Ok(Value::String(text)) => self.reading.mark_text(span.clone(), text, key.as_deref()),
            Ok(_) => self.reading.mark_plain(span.clone(), key.as_deref()),
            Err(_) => self.reading.mark_hidden(span.clone()),
        }
    }

    /// A text whose end is unknown may go on in what looks like keys and values.
    fn distrust(&mut self, span: &Range<usize>, encoding: Option<Encoding>) {
        if encoding.is_some() {
            self.reading.trust_until(span.start);
        }
    }

    /// Gives a value to the key or the list that waits for it.
    fn put(&mut self, item: Item) {
        match self.open.last_mut() {
            Some(Open::List(items, _)) => items.push(item),
            Some(Open::Pair(_)) => {
                if let Some(Open::Pair(keys)) = self.open.pop() {
                    self.set(&keys, item);
                }
            }
            _ => {}
        }
    }

    fn set(&mut self, keys: &[Key], item: Item) {
        let inline = self.open.iter().rev().find_map(|open| match open {
            Open::Inline(table) => Some(*table),
            _ => None,
        });
        let table = inline.unwrap_or(self.current);
        let Some((key, way)) = keys.split_last() else { return };
        let parent = self.descend_dotted(table, way, inline.is_some());
        let outcome = parent.and_then(|parent| self.tables[parent].add_new(key, item, way.len()));
        if let Err(refused) = outcome {
            self.refuse(&self.path(), keys, refused);
        }
    }

    /// The table that keys with dots lead to, which no header opened.
    fn descend_dotted(
        &mut self,
        mut table: usize,
        way: &[Key],
        is_inline: bool,
    ) -> Result<usize, Refused> {
        let kind = if is_inline { Kind::DottedInline } else { Kind::Dotted };
        for (depth, key) in way.iter().enumerate() {
            table = match self.tables[table].item(&key.name) {
                None => self.add_table(table, key, kind, &key.origin, depth)?,
                Some((Item::Table(found), first)) => match self.tables[*found].kind {
                    Kind::Dotted | Kind::DottedInline | Kind::Implied => *found,
                    Kind::Header | Kind::Inline => return Err(Refused::twice(first, depth)),
                },
                Some((_, first)) => return Err(Refused::not_a_table(first, depth)),
            };
            if self.tables[table].kind == Kind::Implied {
                self.tables[table].kind = Kind::Dotted;
            }
        }
        Ok(table)
    }

    /// The table that all but the last part of a header lead to.
    fn descend(&mut self, way: &[Key]) -> Result<usize, Refused> {
        let mut table = 0;
        for (depth, key) in way.iter().enumerate() {
            self.enter(table, key);
            table = match self.tables[table].item(&key.name) {
                None => self.add_table(table, key, Kind::Implied, &key.origin, depth)?,
                Some((Item::Table(found), first)) => {
                    if self.tables[*found].kind == Kind::Inline {
                        return Err(Refused::twice(first, depth));
                    }
                    *found
                }
                Some((Item::Tables(all, first), _)) => {
                    all.last().copied().ok_or(Refused::not_a_table(first, depth))?
                }
                Some((_, first)) => return Err(Refused::not_a_table(first, depth)),
            };
        }
        Ok(table)
    }

    /// Adds a part of a header to the path, with the item of a list that it leads to.
    fn enter(&mut self, table: usize, key: &Key) {
        push_key(&mut self.current_path, &key.name);
        if let Some((Item::Tables(all, _), _)) = self.tables[table].item(&key.name) {
            push_index(&mut self.current_path, all.len().saturating_sub(1));
        }
    }

    fn begin_line(&mut self) {
        self.open.clear();
        self.keys.clear();
        self.errors_before = self.errors.get();
    }

    fn begin_header(&mut self, span: Span, is_list: bool) {
        self.begin_line();
        let origin = self.reading.origin(span.start());
        self.header = Some(Header { origin, is_list });
    }

    fn end_header(&mut self) {
        let keys = self.take_keys();
        let Some(header) = self.header.take().filter(|_| !self.is_full) else { return };
        if let Some(key) = keys.last() {
            self.count(key.span.start);
        }
        self.current_path.clear();
        let origin = header.origin.clone();
        if let Err(refused) = self.open_header(&keys, header) {
            self.refuse("", &keys, refused);
            // What follows is checked by itself, in a table that nobody will see.
            self.tables.push(Table::new(Kind::Header, 0, origin));
            self.current = self.tables.len() - 1;
        }
    }

    fn open_header(&mut self, keys: &[Key], header: Header) -> Result<(), Refused> {
        let Some((key, way)) = keys.split_last() else { return Ok(()) };
        let parent = self.descend(way)?;
        self.current = match (self.tables[parent].item(&key.name), header.is_list) {
            (None, false) => {
                self.add_table(parent, key, Kind::Header, &header.origin, way.len())?
            }
            (None, true) => {
                let table = self.new_table(parent, Kind::Header, &header.origin, 2, way.len())?;
                self.tables[parent].add(key, Item::Tables(vec![table], header.origin));
                table
            }
            (Some((Item::Table(found), _)), false) if self.tables[*found].kind == Kind::Implied => {
                let found = *found;
                self.tables[found].kind = Kind::Header;
                self.tables[found].origin = header.origin;
                self.tables[parent].move_key(key);
                found
            }
            (Some((Item::Tables(..), _)), true) => {
                let table = self.new_table(parent, Kind::Header, &header.origin, 2, way.len())?;
                self.tables[parent].push_to_list(&key.name, table);
                table
            }
            (Some((_, first)), _) => return Err(Refused::twice(first, way.len())),
        };
        self.enter(parent, key);
        Ok(())
    }

    fn add_table(
        &mut self,
        parent: usize,
        key: &Key,
        kind: Kind,
        origin: &Origin,
        depth: usize,
    ) -> Result<usize, Refused> {
        let table = self.new_table(parent, kind, origin, 1, depth)?;
        self.tables[parent].add(key, Item::Table(table));
        Ok(table)
    }

    /// A table `below` steps under `parent`; `at` is which part of its key asks for it.
    fn new_table(
        &mut self,
        parent: usize,
        kind: Kind,
        origin: &Origin,
        below: usize,
        at: usize,
    ) -> Result<usize, Refused> {
        let depth = self.tables[parent].depth + below;
        if depth > DEPTH_MAX {
            return Err(Refused { message: Message::TooDeep, depth: at });
        }
        self.tables.push(Table::new(kind, depth, origin.clone()));
        self.nodes += 1;
        Ok(self.tables.len() - 1)
    }

    /// How deep a value that comes next would stand.
    fn depth(&self) -> usize {
        let base = self.open.iter().rposition(|open| matches!(open, Open::Inline(_)));
        let (table, open) = match base {
            Some(at) => match self.open[at] {
                Open::Inline(table) => (table, &self.open[at + 1..]),
                _ => (self.current, &self.open[..]),
            },
            None => (self.current, &self.open[..]),
        };
        let steps = open.iter().map(|open| match open {
            Open::Pair(keys) => keys.len(),
            _ => 1,
        });
        self.tables[table].depth + steps.sum::<usize>()
    }

    fn may_open(&mut self, offset: usize) -> bool {
        if self.is_full {
            return false;
        }
        if self.depth() > DEPTH_MAX {
            self.refuse_depth(offset);
            return false;
        }
        true
    }

    fn refuse_depth(&mut self, offset: usize) {
        self.is_unreadable = true;
        self.reading.mistake(offset, "", too_deep());
    }

    fn refuse(&mut self, base: &str, keys: &[Key], refused: Refused) {
        let Some(key) = keys.get(refused.depth).or(keys.last()) else { return };
        let (mut path, origin) = (base.to_owned(), key.origin.clone());
        keys.iter().take(refused.depth + 1).for_each(|key| push_key(&mut path, &key.name));
        // After a mistake of the notation, keys may be in tables that they were not meant for.
        if self.errors.get() > 0 {
            return;
        }
        let problem = match refused.message {
            Message::SetTwice(first) => set_twice(path, origin, &first),
            Message::NotATable(first) => {
                Problem::new(path, origin, "used as a table, but it is set to something else")
                    .with_hint(format!("it is set at {first}"))
            }
            Message::TooDeep => {
                self.is_unreadable = true;
                path.clear();
                Problem::new(path, origin, too_deep())
            }
        };
        self.reading.problem(problem);
    }

    fn mistake(&mut self, offset: usize, message: impl Into<String>) {
        let path = self.path();
        self.reading.mistake(offset, &path, message);
    }

    /// The way to the value that is being read, as far as its table is known.
    fn path(&self) -> String {
        let mut path = self.current_path.clone();
        for open in &self.open {
            match open {
                Open::Pair(keys) => keys.iter().for_each(|key| push_key(&mut path, &key.name)),
                Open::List(items, _) => push_index(&mut path, items.len()),
                Open::Inline(_) => {}
            }
        }
        path
    }

    fn count(&mut self, offset: usize) {
        self.nodes += 1;
        if self.nodes > NODES_MAX && !self.is_full {
            self.is_full = true;
            self.reading.mistake(offset, "", format!("more than {NODES_MAX} settings in one file"));
        }
    }
}

impl Table {
    fn new(kind: Kind, depth: usize, origin: Origin) -> Self {
        Self { kind, depth, origin, entries: Vec::new(), places: HashMap::new() }
    }

    fn item(&self, key: &str) -> Option<(&Item, &Origin)> {
        let entry = &self.entries[*self.places.get(key)?];
        Some((&entry.item, &entry.origin))
    }

    fn add_new(&mut self, key: &Key, item: Item, at: usize) -> Result<(), Refused> {
        if let Some((_, first)) = self.item(&key.name) {
            return Err(Refused::twice(first, at));
        }
        self.add(key, item);
        Ok(())
    }

    fn add(&mut self, key: &Key, item: Item) {
        self.places.insert(Arc::clone(&key.name), self.entries.len());
        let (key, origin) = (Arc::clone(&key.name), key.origin.clone());
        self.entries.push(Entry { key, origin, item });
    }

    fn push_to_list(&mut self, key: &str, table: usize) {
        let entry = self.places.get(key).and_then(|place| self.entries.get_mut(*place));
        if let Some(Entry { item: Item::Tables(all, _), .. }) = entry {
            all.push(table);
        }
    }

    /// The key of a table stands in its own header, if it has one.
    fn move_key(&mut self, key: &Key) {
        let entry = self.places.get(&key.name).and_then(|place| self.entries.get_mut(*place));
        if let Some(entry) = entry {
            entry.origin = key.origin.clone();
        }
    }
}

impl Refused {
    fn twice(first: &Origin, depth: usize) -> Self {
        Self { message: Message::SetTwice(first.clone()), depth }
    }

    fn not_a_table(first: &Origin, depth: usize) -> Self {
        Self { message: Message::NotATable(first.clone()), depth }
    }
}

impl EventReceiver for Document<'_, '_, '_> {
    fn std_table_open(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.begin_header(span, false);
    }

    fn array_table_open(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.begin_header(span, true);
    }

    fn std_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.end_header();
    }

    fn array_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.end_header();
    }

    fn inline_table_open(&mut self, span: Span, _: &mut dyn ErrorSink) -> bool {
        if !self.may_open(span.start()) {
            return false;
        }
        let (depth, origin) = (self.depth(), self.reading.origin(span.start()));
        self.count(span.start());
        self.tables.push(Table::new(Kind::Inline, depth, origin));
        self.open.push(Open::Inline(self.tables.len() - 1));
        true
    }

    fn inline_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        // A pair without a value was told by the parser.
        while let Some(Open::Pair(_)) = self.open.last() {
            self.open.pop();
        }
        if let Some(Open::Inline(table)) = self.open.last() {
            let table = *table;
            self.open.pop();
            self.put(Item::Table(table));
        }
    }

    fn array_open(&mut self, span: Span, _: &mut dyn ErrorSink) -> bool {
        if !self.may_open(span.start()) {
            return false;
        }
        self.count(span.start());
        let origin = self.reading.origin(span.start());
        self.open.push(Open::List(Vec::new(), origin));
        true
    }

    fn array_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        if let Some(Open::List(..)) = self.open.last()
            && let Some(Open::List(items, origin)) = self.open.pop()
        {
            self.put(Item::List(items, origin));
        }
    }

    fn simple_key(&mut self, span: Span, encoding: Option<Encoding>, errors: &mut dyn ErrorSink) {
        if !self.is_full {
            self.read_key(span, encoding, errors);
        }
    }

    fn key_val_sep(&mut self, _: Span, _: &mut dyn ErrorSink) {
        let keys = self.take_keys();
        self.open.push(Open::Pair(keys));
    }

    fn scalar(&mut self, span: Span, encoding: Option<Encoding>, errors: &mut dyn ErrorSink) {
        if !self.is_full {
            self.read_value(span, encoding, errors);
        }
    }

    fn newline(&mut self, _: Span, _: &mut dyn ErrorSink) {
        // Only braces and brackets go on to the next line.
        if self.open.iter().all(|open| matches!(open, Open::Pair(_))) {
            self.begin_line();
        }
    }
}

/// What a scalar means, or why it cannot be kept.
fn meaning(kind: ScalarKind, text: &str, raw: &str) -> Result<Value, &'static str> {
    match kind {
        ScalarKind::String => Ok(Value::String(text.to_owned())),
        ScalarKind::Boolean(value) => Ok(Value::Bool(value)),
        ScalarKind::Integer(radix) => {
            i64::from_str_radix(text, radix.value()).map(Value::from).map_err(|_| NUMBER_TOO_LARGE)
        }
        ScalarKind::Float if text.contains(['i', 'n']) => Err("a number that is not finite"),
        ScalarKind::Float => match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Value::Float(value)),
            _ => Err(NUMBER_TOO_LARGE),
        },
        ScalarKind::DateTime => match raw.parse::<::toml::value::Datetime>() {
            Ok(_) => Ok(Value::String(raw.to_owned())),
            Err(_) => Err("neither a date, nor a time, nor both"),
        },
    }
}

/// The settings below a table. Calls itself no deeper than tables may be nested.
fn settings_of(tables: &mut [Table], table: usize) -> Settings {
    let mut settings = Settings::at(tables[table].origin.clone());
    for Entry { key, origin, item } in std::mem::take(&mut tables[table].entries) {
        let node = node_of(tables, item);
        settings.insert(key, node.with_key_origin(origin));
    }
    settings
}

fn node_of(tables: &mut [Table], item: Item) -> Node {
    let table_node = |tables: &mut [Table], table: usize| {
        let settings = settings_of(tables, table);
        let origin = settings.origin().clone();
        Node::new(settings, origin)
    };
    match item {
        Item::Value(node) => node,
        Item::Table(table) => table_node(tables, table),
        Item::List(items, origin) => {
            let nodes = items.into_iter().map(|item| node_of(tables, item));
            Node::new(Value::List(nodes.collect()), origin)
        }
        Item::Tables(all, origin) => {
            let nodes = all.into_iter().map(|table| table_node(tables, table));
            Node::new(Value::List(nodes.collect()), origin)
        }
    }
}

fn too_deep() -> String {
    format!("nested more than {DEPTH_MAX} deep")
}

/// How many mistakes of the notation are kept until they are told.
const ERRORS_MAX: usize = 200;
