//! Names of metadata as the service takes them: letters, digits and `_`, and no digit first.
//!
//! Every other character of a name is written by its number, `_x002d_` for `-`, and so is a `_` that would begin such
//! a number by chance.

use std::fmt::Write as _;

/// The name as the service takes it.
pub(super) fn written(name: &str) -> String {
    let mut written = String::with_capacity(name.len());
    for (at, letter) in name.char_indices() {
        let is_plain = match letter {
            'a'..='z' => true,
            '0'..='9' => at > 0,
            '_' => numbered(&name[at..]).is_none(),
            _ => false,
        };
        if is_plain {
            written.push(letter);
        } else {
            // Writing into a text does not fail.
            let _ = write!(written, "_x{:04x}_", u32::from(letter));
        }
    }
    written
}

/// The name that the service was given.
pub(super) fn read(written: &str) -> String {
    let (mut name, mut rest) = (String::with_capacity(written.len()), written);
    while let Some(first) = rest.chars().next() {
        let (letter, length) = match numbered(rest) {
            Some(letter) => (letter, NUMBER_LENGTH),
            None => (first, first.len_utf8()),
        };
        name.push(letter);
        rest = &rest[length..];
    }
    name
}

/// The character whose number `text` begins with, if it is one that is written so.
fn numbered(text: &str) -> Option<char> {
    let number = text.get(..NUMBER_LENGTH)?.strip_prefix("_x")?.strip_suffix('_')?;
    let is_number = number.bytes().all(|byte| byte.is_ascii_hexdigit());
    let letter = char::from_u32(u32::from_str_radix(number, 16).ok().filter(|_| is_number)?)?;
    matches!(letter, '-' | '.' | '_' | '0'..='9').then_some(letter)
}

const NUMBER_LENGTH: usize = "_x002d_".len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_the_service_takes_is_written_as_it_is() {
        for name in ["author", "note_7", "_a", "a_x", "_x0041_", "a_x002g_"] {
            assert_eq!(written(name), name);
            assert_eq!(read(name), name);
        }
    }

    #[test]
    fn every_name_comes_back_and_no_two_are_written_alike() {
        let names = ["foo-bar", "7th", "a.b", "-", "a_x002d_b", "_x005f_", "__x002d__", "a--b"];
        for name in names {
            let text = written(name);
            let is_plain =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            assert!(text.bytes().all(is_plain) && !text.starts_with(char::is_numeric), "{text}");
            assert_eq!(read(&text), name);
        }
        assert_eq!(written("foo-bar"), "foo_x002d_bar");
        assert_eq!(written("a_x002d_b"), "a_x005f_x002d_b");
    }
}
