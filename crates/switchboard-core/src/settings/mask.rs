//! Finds what must not be shown in values that are to be shown.
//!
//! Where it is uncertain what part of a text is a secret, more of it is hidden rather than less.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::words::nearest;

/// What stands in the place of a secret.
pub(super) const MASK: &str = "***";

/// The text without passwords: of addresses (`redis://user:pass@host`), of queries (`?password=…`), of
/// lists of settings (`host=a password=b`) and of keys in their usual armour.
pub(super) fn masked(text: &str) -> Cow<'_, str> {
    if text.contains("PRIVATE KEY") {
        return MASK.into();
    }
    let without_user = without_user(text);
    let start = without_user.as_ref().map_or(0, |(_, start)| *start);
    let text = without_user.map_or(Cow::Borrowed(text), |(text, _)| text.into());
    match without_pairs(&text, start) {
        Some(masked) => masked.into(),
        None => text,
    }
}

/// Whether what is set under `key` is a secret, judged by the name alone.
pub(super) fn is_secret_name(key: &str) -> bool {
    let lower = key.to_lowercase();
    if SECRET_PARTS.iter().any(|part| lower.contains(part)) {
        return true;
    }
    words(key).any(|word| {
        let is_misspelt =
            word.len() >= MISSPELT_LENGTH_MIN && nearest(&word, &SECRET_PARTS).is_some();
        SECRET_WORDS.contains(&word.as_str()) || word.ends_with("key") || is_misspelt
    })
}

/// The words of a key: of `apiKey`, `api_key` and `api-key` the same.
fn words(key: &str) -> impl Iterator<Item = String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for letter in key.chars() {
        let starts = letter.is_uppercase() && was_lower;
        if starts || !letter.is_alphanumeric() {
            words.push(String::new());
        }
        if letter.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(letter.to_lowercase());
        }
        was_lower = letter.is_lowercase();
    }
    words.into_iter()
}

/// The text without the password before the last `@`, and where what follows that begins. A password
/// may hold `@` and `/` although it should not, so all of it up to the last `@` is taken for one.
fn without_user(text: &str) -> Option<(String, usize)> {
    let at = text.rfind('@')?;
    let after_scheme = text.find("://").map(|scheme| scheme + 3).filter(|start| *start <= at);
    let start = after_scheme.unwrap_or(0);
    let before = &text[start..at];
    let kept = match before.split_once(':') {
        Some((user, _)) if !user.is_empty() && user.chars().all(is_of_a_user) => {
            format!("{}{user}:{MASK}", &text[..start])
        }
        // Without a scheme and a colon it is the address of a mailbox.
        None if after_scheme.is_none() => return None,
        _ => format!("{}{MASK}", &text[..start]),
    };
    let end = kept.len();
    Some((format!("{kept}{}", &text[at..]), end))
}

fn is_of_a_user(letter: char) -> bool {
    letter.is_alphanumeric() || "-_.".contains(letter)
}

/// The text without the values of secret names from `start` on; `None` if there are none.
fn without_pairs(text: &str, start: usize) -> Option<String> {
    let is_address = text.contains("://");
    let (mut masked, mut rest) = (text[..start].to_owned(), &text[start..]);
    let mut found = false;
    while let Some(equals) = rest.find(['=', ':']) {
        let (before, after) = rest.split_at(equals);
        // The sign itself is one byte.
        let after = &after[1..];
        masked.push_str(&rest[..=equals]);
        rest = after;
        if !is_secret_name(&name_at_end(before)) {
            continue;
        }
        found = true;
        masked.push_str(MASK);
        // In an address a value ends before the next one; elsewhere who knows.
        let end = if is_address { after.find('&') } else { None };
        rest = end.map_or("", |end| &after[end..]);
    }
    masked.push_str(rest);
    found.then_some(masked)
}

/// The name that a `=` follows.
fn name_at_end(text: &str) -> String {
    let start = text.rfind(['?', '&', ';', ',', '#', '/', '{', '(']).map_or(0, |at| at + 1);
    percent_decode_str(text[start..].trim()).decode_utf8_lossy().into_owned()
}

/// A key with one of these in it holds a secret.
const SECRET_PARTS: [&str; 8] = [
    "password",
    "passwd",
    "passphrase",
    "passwort",
    "secret",
    "token",
    "credential",
    "authorization",
];

/// So does a key with one of these among its words.
const SECRET_WORDS: [&str; 8] = ["keys", "pass", "pwd", "pw", "pin", "auth", "cookie", "private"];

/// Shorter words are near to too many others.
const MISSPELT_LENGTH_MIN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_of_an_address_is_hidden_and_the_rest_is_not() {
        let cases = [
            ("redis://user:canary@host:6379/0", "redis://user:***@host:6379/0"),
            ("redis://:canary@host", "redis://***@host"),
            ("redis://user:can@ary@host", "redis://user:***@host"),
            ("redis://user:can/ary?x#@host", "redis://user:***@host"),
            ("https://canary@host/x", "https://***@host/x"),
            ("amqp://host/?password=can:ary@x&a=b", "amqp://***@x&a=b"),
            ("redis://host?password=canary&db=2", "redis://host?password=***&db=2"),
            ("redis://u:p@host?p%61ssword=canary", "redis://u:***@host?p%61ssword=***"),
            ("user:canary@tcp(db:3306)/x", "user:***@tcp(db:3306)/x"),
            ("host=db password=canary user=x", "host=db password=***"),
            ("Server=db;Password=canary;Port=1", "Server=db;Password=***"),
            ("redis://a:canary@h1,redis://b:canary@h2", "redis://a:***@h2"),
            ("Authorization: Bearer canary", "Authorization:***"),
            ("redis://host:6379/0?db=1", "redis://host:6379/0?db=1"),
            ("somebody@example.org", "somebody@example.org"),
            ("memory://?max_entries=10", "memory://?max_entries=10"),
            ("12:30", "12:30"),
        ];
        for (text, expected) in cases {
            assert_eq!(masked(text), expected, "{text}");
        }
        assert_eq!(masked("-----BEGIN PRIVATE KEY-----\ncanary"), MASK);
    }

    #[test]
    fn a_name_of_a_secret_is_recognised_however_it_is_written() {
        for name in [
            "password",
            "Password",
            "db_password",
            "dbPassword",
            "pasword",
            "api_key",
            "apiKey",
            "apikey",
            "APIKEY",
            "access-key",
            "secret_access_key",
            "auth",
            "token",
            "tokn",
            "pwd",
            "credentials",
            "signing_keys",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in
            ["url", "max_entries", "keyspace", "path", "compass", "author", "monkeys", "host"]
        {
            assert!(!is_secret_name(name), "{name}");
        }
    }
}
