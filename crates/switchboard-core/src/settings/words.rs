//! The wording of mistakes: expectations, lists of choices, the name that was likely meant.

/// What is expected of a value with these `type`s of a schema.
pub(super) fn types(types: &[&str]) -> String {
    let words: Vec<&str> = types
        .iter()
        .filter(|name| **name != "null" || types.len() == 1)
        .map(|name| match *name {
            "null" => "nothing",
            "boolean" => "true or false",
            "integer" => "an integer",
            "number" => "a number",
            "array" => "a list",
            "object" => "a table",
            _ => "a string",
        })
        .collect();
    match words.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// The choices as an expectation.
pub(super) fn one_of(choices: &[String]) -> String {
    match choices {
        [only] => only.clone(),
        _ => format!("one of {}", choices.join(", ")),
    }
}

/// Whether a text is what other notations take for a truth value.
pub(super) fn is_yes_or_no(text: &str) -> bool {
    ["yes", "no", "on", "off", "y", "n"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// A hint that lists names after `opening`.
pub(super) fn choices_hint(opening: &str, names: &[&str]) -> String {
    let shown = names.len().min(CHOICES_MAX);
    let more = if shown < names.len() { ", …" } else { "" };
    let names: Vec<String> = names[..shown].iter().map(|name| excerpt(name)).collect();
    let opening = if opening.is_empty() || opening.ends_with("? ") {
        format!("{opening}the choices are ")
    } else {
        opening.to_owned()
    };
    format!("{opening}{}{more}", names.join(", "))
}

/// The name that was most likely meant.
pub(super) fn nearest<'n>(text: &str, names: &[&'n str]) -> Option<&'n str> {
    let length = text.chars().count();
    if length > EXCERPT_CHARS_MAX {
        return None;
    }
    let lower = text.to_lowercase();
    let distance = |name: &str| strsim::damerau_levenshtein(&lower, &name.to_lowercase());
    let close = names.iter().map(|name| (distance(name), *name));
    close.filter(|(distance, _)| *distance <= (length / 3).max(1)).min().map(|(_, name)| name)
}

/// Text of a person, cut and without control characters.
pub(super) fn excerpt(text: &str) -> String {
    let mut short: String = text.chars().take(EXCERPT_CHARS_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'")
}

/// How many names a hint lists.
const CHOICES_MAX: usize = 16;

/// How much of a name somebody wrote is repeated to them.
const EXCERPT_CHARS_MAX: usize = 64;
