//! How the way from the root of a tree to one of its nodes is written: `pool.hosts[2]."a.b"`.

use std::fmt::Write as _;

use super::{Node, Settings, Value};

/// One step down the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// The text of a path. Keys that hold more than letters, digits, `-` and `_` are quoted.
pub(super) fn render(steps: &[Step<'_>]) -> String {
    let mut text = String::new();
    for step in steps {
        push(&mut text, *step);
    }
    text
}

/// Adds one step to the text of a path.
pub(super) fn push(text: &mut String, step: Step<'_>) {
    match step {
        Step::Key(key) => {
            if !text.is_empty() {
                text.push('.');
            }
            if is_bare(key) {
                text.push_str(key);
            } else {
                text.push_str(&quoted(key));
            }
        }
        Step::Index(index) => {
            // Writing to a string cannot fail.
            let _ = write!(text, "[{index}]");
        }
    }
}

/// Two parts of one path, either of which may be empty.
pub(super) fn join(prefix: &str, path: &str) -> String {
    match (prefix.is_empty(), path.is_empty()) {
        (true, _) => path.to_owned(),
        (_, true) => prefix.to_owned(),
        _ if path.starts_with('[') => format!("{prefix}{path}"),
        _ => format!("{prefix}.{path}"),
    }
}

/// The node at `path` below `table`.
pub(super) fn find<'t>(table: &'t Settings, path: &str) -> Option<&'t Node> {
    let (first, mut rest) = token(path)?;
    let mut node = child(table, first)?;
    while !rest.is_empty() {
        if let Some(index) = rest.strip_prefix('[') {
            let (digits, after) = index.split_once(']')?;
            let Value::List(items) = node.value() else { return None };
            node = items.get(digits.parse::<usize>().ok()?)?;
            rest = after;
        } else {
            let (key, after) = token(rest.strip_prefix('.')?)?;
            let Value::Table(table) = node.value() else { return None };
            node = child(table, key)?;
            rest = after;
        }
    }
    Some(node)
}

/// Takes out the setting at `path`, or the innermost table that lacks it. What is in a list goes with
/// the whole list.
pub(super) fn remove(table: &mut Settings, path: &str) {
    let Some((first, rest)) = token(path) else { return };
    let Some(key) = table.keys().find(|key| *key == first || quoted(key) == first) else { return };
    let key = key.to_owned();
    if let Some(rest) = rest.strip_prefix('.')
        && let Some(Value::Table(inner)) = table.child_mut(&key).map(Node::value_mut)
    {
        let (next, _) = token(rest).unwrap_or_default();
        if child(inner, next).is_some() {
            return remove(inner, rest);
        }
    }
    table.remove(&key);
}

fn child<'t>(table: &'t Settings, token: &str) -> Option<&'t Node> {
    if token.starts_with('"') {
        return table.iter().find(|(key, _)| quoted(key) == token).map(|(_, node)| node);
    }
    table.child(token)
}

/// The first key of `path`, quotes included, and what follows it.
fn token(path: &str) -> Option<(&str, &str)> {
    let end = if let Some(inside) = path.strip_prefix('"') {
        let mut escaped = false;
        let close = inside.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        })?;
        close + 2
    } else {
        path.find(['.', '[']).unwrap_or(path.len())
    };
    (end > 0).then(|| path.split_at(end))
}

fn is_bare(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
}

fn quoted(key: &str) -> String {
    format!("{key:?}")
}
