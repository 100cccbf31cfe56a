//! What layers, variables, inheritance and interpolation all need to know about a tree: how a path is
//! written, which names are the same, which one was likely meant, how large it is.

use std::fmt::Write as _;

use switchboard_core::Settings;
use switchboard_core::settings::{DEPTH_MAX, Node, Value};

/// One step down a tree.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// The text of a path, as `Settings::get` reads it.
pub(crate) fn path_of(steps: &[Step]) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Key(key) => push_key(&mut path, key),
            Step::Index(index) => push_index(&mut path, *index),
        }
    }
    path
}

/// Adds a key to a path, quoted where it would not be read as one.
pub(crate) fn push_key(path: &mut String, key: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(&Settings::path_of(key));
}

/// Adds the position of an item to a path.
pub(crate) fn push_index(path: &mut String, index: usize) {
    let _ = write!(path, "[{index}]");
}

/// The path with one more key.
pub(crate) fn below(path: &str, key: &str) -> String {
    let mut longer = path.to_owned();
    push_key(&mut longer, key);
    longer
}

/// Whether `path` is `upper`, or leads through it.
pub(crate) fn is_at_or_below(path: &str, upper: &str) -> bool {
    path.strip_prefix(upper).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// A name as names are compared: trimmed, in lower-case ASCII.
pub(crate) fn name_key(written: &str) -> String {
    written.trim().to_ascii_lowercase()
}

/// What somebody wrote, short enough for a message and without control characters.
pub(crate) fn shortened(written: &str) -> String {
    let head: String = written.chars().take(NAME_CHARS_MAX).collect();
    let rest = if head.len() < written.len() { "…" } else { "" };
    format!("{}{rest}", head.escape_debug()).replace("\\\"", "\"").replace("\\'", "'")
}

/// Whether a text can stand for a whole instance: an address, or one that is still to be filled in.
pub(crate) fn is_address(text: &str) -> bool {
    text.contains("://") || text.starts_with("${")
}

/// The text of a node, with a type or without.
pub(crate) fn text_of(node: &Node) -> Option<&str> {
    match node.value() {
        Value::String(text) | Value::Untyped(text) => Some(text),
        _ => None,
    }
}

/// The table that a node is or stands for: an address is `{ url = "…" }`.
pub(crate) fn as_instance(node: &Node) -> Option<Settings> {
    if let Some(table) = node.as_table() {
        return Some(table.clone());
    }
    text_of(node).filter(|text| is_address(text))?;
    let mut table = Settings::at(node.origin().clone());
    table.insert("url", node.clone());
    Some(table)
}

/// The nodes directly below this one.
pub(crate) fn children(node: &Node) -> Box<dyn Iterator<Item = &Node> + '_> {
    match node.value() {
        Value::List(items) => Box::new(items.iter()),
        Value::Table(table) => Box::new(table.iter().map(|(_, node)| node)),
        _ => Box::new(std::iter::empty()),
    }
}

/// Whether some value stands deeper than settings may.
pub(crate) fn is_too_deep(tree: &Settings) -> bool {
    let mut level: Vec<&Node> = tree.iter().map(|(_, node)| node).collect();
    for _ in 0..DEPTH_MAX {
        level = level.into_iter().flat_map(children).collect();
    }
    !level.is_empty()
}

/// How many values there are below this table, and how many bytes their texts and keys have.
pub(crate) fn size(tree: &Settings) -> (usize, usize) {
    let keys = |table: &Settings| table.keys().map(str::len).sum::<usize>();
    let (mut count, mut bytes) = (0, keys(tree));
    let mut waiting: Vec<&Node> = tree.iter().map(|(_, node)| node).collect();
    while let Some(node) = waiting.pop() {
        count += 1;
        bytes += text_of(node).map_or(0, str::len) + node.as_table().map_or(0, keys);
        waiting.extend(children(node));
    }
    (count, bytes)
}

/// How much of a name is compared, and repeated in messages, in characters.
const NAME_CHARS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_the_node_it_was_made_for() {
        let settings = Settings::new()
            .with("labels", Settings::new().with("a.b", vec![Settings::new().with("c \"d\"", 7)]));
        let steps = [
            Step::Key("labels".into()),
            Step::Key("a.b".into()),
            Step::Index(0),
            Step::Key("c \"d\"".into()),
        ];
        let found = settings.get(&path_of(&steps)).and_then(Node::as_integer);
        assert_eq!(found, Some(7), "{}", path_of(&steps));
    }

    #[test]
    fn a_path_is_below_another_only_at_a_step() {
        assert!(is_at_or_below("cache.main", "cache.main"));
        assert!(is_at_or_below("cache.main.url", "cache.main"));
        assert!(is_at_or_below("cache.main[0]", "cache.main"));
        assert!(!is_at_or_below("cache.mainly", "cache.main"));
    }
}
