//! Finds what must not be shown in values that are to be shown.
//!
//! Where it is uncertain what part of a text is a secret, more of it is hidden rather than less.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::words::nearest;

/// What stands in the place of a secret.
pub(super) const MASK: &str = "***";

/// The text without passwords: of addresses (`redis://user:pass@host`), of queries (`?password=…`,
/// `?sig=…`), of lists of settings (`host=a password=b`), of headers (`Bearer …`), and without keys and
/// tokens in their usual armour.
pub(super) fn masked(text: &str) -> Cow<'_, str> {
    if text.contains("PRIVATE KEY") || has_signed_token(text) {
        return MASK.into();
    }
    let text = without_header(text).map_or(Cow::Borrowed(text), Cow::Owned);
    let (text, start) = match without_user(&text) {
        Some((text, start)) => (text.into(), start),
        None => (text, 0),
    };
    match without_pairs(&text, start) {
        Some(masked) => masked.into(),
        None => text,
    }
}

/// Whether what is set under `key` is a secret, judged by the name alone.
pub(super) fn is_secret_name(key: &str) -> bool {
    let lower = key.to_lowercase();
    let mut parts = SECRET_PARTS.iter().chain(&SECRET_PARTS_WELL_SPELT);
    parts.any(|part| lower.contains(part)) || words(key).any(|word| is_secret_word(&word))
}

/// Of `pwd2` as of `pwd`.
fn is_secret_word(word: &str) -> bool {
    let word = word.trim_end_matches(|letter: char| letter.is_ascii_digit());
    if HARMLESS_WORDS.contains(&word) {
        return false;
    }
    let is_misspelt =
        || word.len() >= MISSPELT_LENGTH_MIN && nearest(word, &SECRET_PARTS).is_some();
    SECRET_WORDS.contains(&word)
        || SECRET_ENDS.iter().any(|end| word.ends_with(end))
        || is_misspelt()
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

/// Whether a part of the text looks like a token that says who signed it: `eyJ….….…`.
fn has_signed_token(text: &str) -> bool {
    text.split_once("eyJ").is_some_and(|(_, after)| after.contains('.'))
}

/// The text without what follows the name of a way to say who one is; `None` if there is none.
fn without_header(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let found = HEADER_SCHEMES.iter().filter_map(|scheme| {
        let starts = lower.match_indices(scheme).map(|(start, _)| start);
        let mut starts = starts.filter(|start| begins_value(&lower[..*start]));
        starts.find_map(|start| {
            let value = &lower[start + scheme.len()..];
            let is_followed = value.starts_with(char::is_whitespace) && !value.trim().is_empty();
            is_followed.then_some(start + scheme.len())
        })
    });
    found.min().map(|end| format!("{} {MASK}", &text[..end]))
}

/// Whether a value may begin after this text.
fn begins_value(before: &str) -> bool {
    let before = before.trim_end();
    before.is_empty() || before.ends_with([':', '=', '"', '\'', ',', ';', '&', '?', '[', '{', '('])
}

/// The text without the password before the last `@`, and where what follows that begins. A password
/// may hold `@` and `/` although it should not, so all of it up to the last `@` is taken for one.
fn without_user(text: &str) -> Option<(String, usize)> {
    let at = text.rfind('@').or_else(|| encoded_at(text))?;
    let after_scheme = text.find("://").map(|scheme| scheme + 3).filter(|start| *start <= at);
    let start = after_scheme.unwrap_or(0);
    let before = &text[start..at];
    let kept = match before.split_once(':') {
        Some((user, password)) if is_user(user) && !is_placeholder(password) => {
            format!("{}{user}:{MASK}", &text[..start])
        }
        // Without a scheme and a colon it is the address of a mailbox.
        None if after_scheme.is_none() => return None,
        _ => format!("{}{MASK}", &text[..start]),
    };
    let end = kept.len();
    // Where a value of a secret name holds the `@`, what follows belongs to it.
    let after = if begins_secret(before, after_scheme.is_some()) {
        text[at..].find('&').map_or("", |next| &text[at + next..])
    } else {
        &text[at..]
    };
    Some((format!("{kept}{after}"), end))
}

/// Whether a secret name is given a value in the text; in an address a `:` ends a user and no name.
fn begins_secret(text: &str, is_address: bool) -> bool {
    let mut end = 0;
    while let Some((sign, length)) = next_sign(&text[end..]) {
        let name = &text[..end + sign];
        let ends_name = !is_address || !text[name.len()..].starts_with(':');
        if ends_name && is_secret_name(&name_at_end(name)) {
            return true;
        }
        end = name.len() + length;
    }
    false
}

/// Where an address without `@` has one in disguise, before its path.
fn encoded_at(text: &str) -> Option<usize> {
    let start = text.find("://")? + 3;
    let authority = text[start..].split(['/', '?', '#']).next()?;
    Some(start + authority.rfind("%40")?)
}

fn is_user(user: &str) -> bool {
    let is_of_a_user = |letter: char| letter.is_alphanumeric() || "-_.".contains(letter);
    !user.is_empty() && user.chars().all(is_of_a_user)
}

/// Whether it stands where a password is expected, so that what stands for the user is the token.
fn is_placeholder(password: &str) -> bool {
    PLACEHOLDERS.contains(&password.to_ascii_lowercase().as_str())
}

/// The text without the values of secret names from `start` on; `None` if there are none.
fn without_pairs(text: &str, start: usize) -> Option<String> {
    let is_address = text.contains("://");
    let (mut masked, mut rest) = (text[..start].to_owned(), &text[start..]);
    let mut found = false;
    while let Some((equals, length)) = next_sign(rest) {
        let (sign, after) = rest.split_at(equals + length);
        let before = &rest[..equals];
        masked.push_str(sign);
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

/// Where a name ends and its value begins, and how long the sign between them is.
fn next_sign(text: &str) -> Option<(usize, usize)> {
    let plain = text.find(['=', ':']).map(|at| (at, 1));
    let encoded = text.match_indices('%').map(|(at, _)| at);
    let mut encoded = encoded.filter(|at| {
        let code = text.get(at + 1..at + 3);
        code.is_some_and(|code| ["3a", "3d"].contains(&code.to_ascii_lowercase().as_str()))
    });
    plain.into_iter().chain(encoded.next().map(|at| (at, 3))).min()
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

/// So does a key with one of these in it, which too many other words are like.
const SECRET_PARTS_WELL_SPELT: [&str; 6] =
    ["passcode", "signature", "mnemonic", "accesskey", "apikey", "kennwort"];

/// So does a key with one of these among its words.
const SECRET_WORDS: [&str; 12] = [
    "pin", "auth", "cookie", "private", "sas", "sig", "otp", "totp", "bearer", "cred", "pat",
    "salt",
];

/// So does a key with a word that ends so.
const SECRET_ENDS: [&str; 9] = ["key", "keys", "pass", "pw", "pwd", "psk", "jwt", "hmac", "creds"];

/// Words that end like a secret and are none.
const HARMLESS_WORDS: [&str; 8] =
    ["compass", "bypass", "monkey", "monkeys", "donkey", "turkey", "hockey", "whiskey"];

/// What stands before a secret in a header.
const HEADER_SCHEMES: [&str; 6] = ["bearer", "basic", "digest", "negotiate", "apikey", "token"];

/// What stands for the password where the user of an address is a token.
const PLACEHOLDERS: [&str; 6] = ["", "x", "x-oauth-basic", "x-access-token", "oauth2", "api_token"];

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
            ("amqp://host/?password=can:ary@canary&a=b", "amqp://***&a=b"),
            ("amqp://host/?password=can@canary", "amqp://***"),
            ("SharedAccessSignature=can@canary", "SharedAccessSignature=***"),
            ("https://token:canary@host/x", "https://token:***@host/x"),
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
            ("https://sk_live_canary:@api.example.org", "https://***@api.example.org"),
            ("https://ghp_canary:x-oauth-basic@host/a", "https://***@host/a"),
            ("https://canary:X-Access-Token@host/a", "https://***@host/a"),
            ("https://x-access-token:canary@host/a", "https://x-access-token:***@host/a"),
            ("redis://user:canary%40host", "redis://user:***%40host"),
            ("https://host/?mail=a%40b", "https://host/?mail=a%40b"),
            ("https://host/c?sv=2020&sig=canary&x=1", "https://host/c?sv=2020&sig=***&x=1"),
            ("https://host/x?X-Amz-Signature=canary", "https://host/x?X-Amz-Signature=***"),
            ("https://host/?signature=canary", "https://host/?signature=***"),
            ("https://host/?jwt=canary", "https://host/?jwt=***"),
            ("https://host/?passcode%3Dcanary", "https://host/?passcode%3D***"),
            ("SharedAccessSignature=canary", "SharedAccessSignature=***"),
            (
                "Endpoint=sb://h/;SharedAccessSignature=a&b",
                "Endpoint=sb://h/;SharedAccessSignature=***&b",
            ),
            ("Bearer canary", "Bearer ***"),
            (" basic canary", " basic ***"),
            ("X-Who: Bearer canary", "X-Who: Bearer ***"),
            ("a bearer of news", "a bearer of news"),
            ("basic", "basic"),
            ("basics of life", "basics of life"),
            ("token bucket, 5 a second", "token ***"),
            ("ratio 3%3", "ratio 3%3"),
        ];
        for (text, expected) in cases {
            assert_eq!(masked(text), expected, "{text}");
        }
        assert_eq!(masked("-----BEGIN PRIVATE KEY-----\ncanary"), MASK);
        assert_eq!(masked("eyJhbGciOiJIUzI1NiJ9.canary.sig"), MASK);
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
            "passcode",
            "psk",
            "tls_psk",
            "jwt",
            "sas",
            "hmac",
            "otp",
            "mnemonic",
            "dbpass",
            "redispass",
            "mypw",
            "pwd1",
            "key1",
            "PASSWORD2",
            "apikeys",
            "api_keys",
            "creds",
            "dbcreds",
            "accesskeyid",
            "accessKeyId",
            "max_keys",
            "key_prefix",
            "X-Amz-Signature",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "url",
            "max_entries",
            "keyspace",
            "path",
            "compass",
            "author",
            "monkeys",
            "host",
            "monkey",
            "bypass",
            "sha256",
            "design",
            "sassy",
            "salty",
            "hmacs",
            "pattern",
            "design2",
            "mode",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }
}
