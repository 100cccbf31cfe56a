//! Looks into what a board shows, for the text form.
//!
//! A running board may be of another version than the command. So what is missing reads as empty here
//! instead of being an error, and `--format json` passes everything on untouched.

use serde::Serialize;
use serde_json::Value;

use crate::failure::Failure;

/// A view of a board as JSON.
pub(crate) fn shown(view: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(view).map_err(Failure::unexpected)
}

/// What is under `key`, as text.
pub(crate) fn text(of: &Value, key: &str) -> String {
    plain(&of[key])
}

/// A value as text: nothing for `null`.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// The items under `key`.
pub(crate) fn list<'v>(of: &'v Value, key: &str) -> &'v [Value] {
    items(&of[key])
}

/// The items of a list.
pub(crate) fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Whether `key` is there and true.
pub(crate) fn is(of: &Value, key: &str) -> bool {
    of[key].as_bool().unwrap_or(false)
}

/// The number under `key` as milliseconds.
pub(crate) fn milliseconds(of: &Value, key: &str) -> Option<String> {
    of[key].as_f64().map(|number| {
        if number >= 1e3 { format!("{:.1} s", number / 1e3) } else { format!("{number:.1} ms") }
    })
}
