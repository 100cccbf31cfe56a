//! Builds the tree of a notation that nests, from the outside in.
//!
//! Holds the limits on depth and number of settings, and finds keys that are set twice. How a value
//! is written is known to `yaml` and `json`.

use std::ops::Range;
use std::sync::Arc;

use switchboard_core::settings::{DEPTH_MAX, Node, Value};
use switchboard_core::{Origin, Problem, Settings};

use super::NODES_MAX;
use super::reading::{Reading, Stop};
use crate::tree::{push_index, push_key};

/// A tree that is being built, and the text it is built from.
pub(super) struct Tree<'r, 't> {
    pub(super) reading: &'r mut Reading<'t>,
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
}

/// A table or a list that has not ended.
struct Open {
    origin: Origin,
    offset: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Table { settings: Settings, key: Option<Key>, merged: Vec<Node> },
}

/// A key whose value comes next.
struct Key {
    name: Arc<str>,
    origin: Origin,
    role: Role,
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    Setting,
    /// Set before: the value is read and forgotten.
    Repeated,
    /// `<<`: tables whose settings are taken over.
    Merge,
}

impl<'r, 't> Tree<'r, 't> {
    pub(super) fn new(reading: &'r mut Reading<'t>) -> Self {
        Self { reading, open: Vec::new(), root: None, nodes: 0 }
    }

    pub(super) fn open_table(&mut self, offset: usize) -> Result<(), Stop> {
        let settings = Settings::at(self.reading.origin(offset));
        self.push(offset, Content::Table { settings, key: None, merged: Vec::new() })
    }

    pub(super) fn open_list(&mut self, offset: usize) -> Result<(), Stop> {
        self.push(offset, Content::List(Vec::new()))
    }

    /// Whether what comes next is a key.
    pub(super) fn expects_key(&self) -> bool {
        let content = self.open.last().map(|open| &open.content);
        matches!(content, Some(Content::Table { key: None, .. }))
    }

    /// The key of the innermost value, looking through lists.
    pub(super) fn key(&self) -> Option<&str> {
        self.open.iter().rev().find_map(|open| match &open.content {
            Content::Table { key, .. } => Some(key.as_ref().map(|key| &*key.name)),
            Content::List(_) => None,
        })?
    }

    pub(super) fn set_key(&mut self, name: &str, span: Range<usize>) {
        self.reading.mark_key(span.clone());
        let origin = self.reading.origin(span.start);
        let first = self.settings().and_then(|table| table.child(name)).map(Node::key_origin);
        let role = if first.is_some() { Role::Repeated } else { Role::Setting };
        if let Some(first) = first.cloned() {
            self.twice(name, &origin, &first);
        }
        self.put_key(Key { name: Arc::from(name), origin, role });
    }

    /// A key that merges tables into the one it stands in.
    pub(super) fn set_merge_key(&mut self, span: Range<usize>) {
        self.reading.mark_key(span.clone());
        let origin = self.reading.origin(span.start);
        self.put_key(Key { name: Arc::from("<<"), origin, role: Role::Merge });
    }

    pub(super) fn value(&mut self, value: Value, offset: usize) -> Result<(), Stop> {
        self.count(1, offset)?;
        if self.open.len() > DEPTH_MAX {
            return self.too_deep(offset);
        }
        let origin = self.reading.origin(offset);
        self.put(Node::new(value, origin), offset)
    }

    /// Ends the innermost table or list, which then has to be [`put`](Self::put) in its place.
    pub(super) fn close(&mut self) -> Option<(Node, usize)> {
        let Open { origin, offset, content } = self.open.pop()?;
        let value = match content {
            Content::List(items) => Value::List(items),
            Content::Table { mut settings, merged, .. } => {
                for node in merged {
                    take_over(&mut settings, node);
                }
                Value::Table(settings)
            }
        };
        Some((Node::new(value, origin), offset))
    }

    /// How many tables and lists are open.
    pub(super) fn depth(&self) -> usize {
        self.open.len()
    }

    pub(super) fn too_deep<T>(&mut self, offset: usize) -> Result<T, Stop> {
        self.stop(offset, format!("nested more than {DEPTH_MAX} deep"))
    }

    pub(super) fn count(&mut self, nodes: usize, offset: usize) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes <= NODES_MAX {
            return Ok(());
        }
        self.stop(offset, format!("more than {NODES_MAX} settings in one file"))
    }

    /// Notes a mistake in the value that is being read.
    pub(super) fn mistake(&mut self, offset: usize, message: impl Into<String>) {
        let path = self.path();
        self.reading.mistake(offset, &path, message);
    }

    pub(super) fn hinted(&mut self, offset: usize, message: &str, hint: &str) {
        let problem = Problem::new(self.path(), self.reading.origin(offset), message);
        self.reading.problem(problem.with_hint(hint));
    }

    pub(super) fn stop<T>(&mut self, offset: usize, message: impl Into<String>) -> Result<T, Stop> {
        self.mistake(offset, message);
        Err(Stop)
    }

    /// The whole tree, which has to be a table.
    pub(super) fn finish(self) -> Result<Settings, Stop> {
        let Some(root) = self.root else { return Ok(Settings::at(self.reading.origin(0))) };
        let kind = root.value().kind();
        if let Value::Table(settings) = root.into_value() {
            return Ok(settings);
        }
        let message = format!("the file holds {kind}, and not a table");
        self.reading.mistake(0, "", message);
        Err(Stop)
    }

    fn push(&mut self, offset: usize, content: Content) -> Result<(), Stop> {
        if self.open.len() > DEPTH_MAX {
            return self.too_deep(offset);
        }
        self.count(usize::from(!self.open.is_empty()), offset)?;
        let origin = self.reading.origin(offset);
        self.open.push(Open { origin, offset, content });
        Ok(())
    }

    /// Gives a node, with all below it, to the table or list that waits for it.
    pub(super) fn put(&mut self, node: Node, offset: usize) -> Result<(), Stop> {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.content {
            Content::List(items) => items.push(node),
            Content::Table { settings, key, merged } => {
                let Some(Key { name, origin, role }) = key.take() else { return Ok(()) };
                match role {
                    Role::Setting => drop(settings.insert(name, node.with_key_origin(origin))),
                    Role::Repeated => {}
                    Role::Merge if push_tables(node, merged) => {}
                    Role::Merge => return self.stop(offset, "only tables can be merged"),
                }
            }
        }
        Ok(())
    }

    fn put_key(&mut self, new: Key) {
        if let Some(Open { content: Content::Table { key, .. }, .. }) = self.open.last_mut() {
            *key = Some(new);
        }
    }

    fn settings(&self) -> Option<&Settings> {
        match &self.open.last()?.content {
            Content::Table { settings, .. } => Some(settings),
            Content::List(_) => None,
        }
    }

    fn twice(&mut self, name: &str, origin: &Origin, first: &Origin) {
        let mut path = self.path();
        push_key(&mut path, name);
        self.reading.problem(set_twice(path, origin.clone(), first));
    }

    /// The way from the root to the value that is being read.
    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.open {
            match &open.content {
                Content::List(items) => push_index(&mut path, items.len()),
                Content::Table { key: Some(key), .. } => push_key(&mut path, &key.name),
                Content::Table { key: None, .. } => {}
            }
        }
        path
    }
}

pub(super) fn set_twice(path: String, origin: Origin, first: &Origin) -> Problem {
    Problem::new(path, origin, "set a second time").with_hint(format!("the first is at {first}"))
}

/// Adds the settings of a merged table that are not set yet.
fn take_over(settings: &mut Settings, merged: Node) {
    let Value::Table(mut table) = merged.into_value() else { return };
    for (key, node) in table.iter_mut() {
        if settings.child(key).is_none() {
            let key_origin = node.key_origin().clone();
            let empty = Node::new(Value::Null, key_origin.clone());
            settings.insert(key, std::mem::replace(node, empty));
        }
    }
}

/// Whether `node` is a table, or a list of tables, which then are in `tables`.
fn push_tables(node: Node, tables: &mut Vec<Node>) -> bool {
    match node.value() {
        Value::Table(_) => tables.push(node),
        Value::List(items) if items.iter().all(|item| item.as_table().is_some()) => {
            if let Value::List(items) = node.into_value() {
                tables.extend(items);
            }
        }
        _ => return false,
    }
    true
}
