//! Text that came without a type, and what it may be read as.
//!
//! Where a type is asked for, the text is read as that. Where serde buffers, it has to be decided
//! beforehand: by the schema where that says anything, else by what the text looks like.

use super::path::Step;
use super::schema::{Class, Mistake, Settled};
use super::{Node, Settings, Value};

/// What the text is taken for where nobody says: what it would be in a file without quotes, as long
/// as it is written as that would be. So `007` is text.
pub(super) fn looks_like(text: &str) -> Value {
    match as_bool(text) {
        Value::Untyped(_) => {}
        value => return value,
    }
    if let Value::Integer(value) = as_integer(text) {
        return if value.to_string() == text { Value::Integer(value) } else { as_text(text) };
    }
    let has_digits = text.contains(|c: char| c.is_ascii_digit());
    match text.parse() {
        Ok(value) if has_digits && !is_padded(text) => Value::Float(value),
        _ => as_text(text),
    }
}

/// Everything the text may be read as, what it looks like first. None of it is without a type.
pub(super) fn readings(text: &str) -> Vec<Value> {
    let mut readings = Vec::new();
    for reading in [looks_like(text), as_integer(text), as_float(text), as_text(text)] {
        let typed = match reading {
            Value::Untyped(text) => Value::String(text),
            typed => typed,
        };
        if !readings.contains(&typed) {
            readings.push(typed);
        }
    }
    readings
}

pub(super) fn as_bool(text: &str) -> Value {
    text.parse().map_or_else(|_| as_text(text), Value::Bool)
}

pub(super) fn as_integer(text: &str) -> Value {
    text.parse().map_or_else(|_| as_text(text), Value::Integer)
}

pub(super) fn as_float(text: &str) -> Value {
    text.parse().map_or_else(|_| as_text(text), Value::Float)
}

pub(super) fn as_text(text: &str) -> Value {
    Value::Untyped(text.to_owned())
}

/// The same tree with the texts that the schema decides about; `None` if there are none.
pub(super) fn settle(tree: &Settings, settled: &[Settled<'_>]) -> Option<Settings> {
    if settled.is_empty() {
        return None;
    }
    let mut tree = tree.clone();
    for Settled { steps, value } in settled {
        if let Some(node) = node_at(&mut tree, steps) {
            *node.value_mut() = value.clone();
        }
    }
    Some(tree)
}

/// The same tree where texts under keys that the schema does not list are text. Such a key may be an
/// alias, and below a flattened struct serde says nothing of what it wants there.
pub(super) fn aliased_as_text(tree: &Settings, mistakes: &[Mistake<'_>]) -> Option<Settings> {
    let mut retyped: Option<Settings> = None;
    for mistake in mistakes.iter().filter(|mistake| mistake.class == Class::Unknown) {
        let copy = retyped.get_or_insert_with(|| tree.clone());
        let Some(node) = node_at(copy, &mistake.steps) else { continue };
        if let Value::Untyped(text) = node.value_mut() {
            let text = std::mem::take(text);
            *node.value_mut() = Value::String(text);
        }
    }
    retyped
}

fn node_at<'t>(tree: &'t mut Settings, steps: &[Step<'_>]) -> Option<&'t mut Node> {
    let (Step::Key(first), rest) = steps.split_first().map(|(first, rest)| (*first, rest))? else {
        return None;
    };
    let mut node = tree.child_mut(first)?;
    for step in rest {
        node = match (step, node.value_mut()) {
            (Step::Key(key), Value::Table(table)) => table.child_mut(key)?,
            (Step::Index(index), Value::List(items)) => items.get_mut(*index)?,
            _ => return None,
        };
    }
    Some(node)
}

/// Whether a number is written with zeros before it or a plus sign.
fn is_padded(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let mut digits = digits.chars();
    match digits.next() {
        Some('+') => true,
        Some('0') => digits.next().is_some_and(|next| next.is_ascii_digit()),
        _ => false,
    }
}
