//! What an object is stored under: the one place that says what may be a key.

use std::fmt;

use switchboard_core::{Error, ErrorKind, Result};

/// A key that is known to be one: 1 to 1024 bytes of UTF-8, in segments that `/` separates.
///
/// It is stored exactly as written: upper and lower case, composed and decomposed letters, backslashes,
/// `%2e` and spaces are told apart. What could mean two things is no key: an empty segment (`//`, a `/`
/// at either end), the segments `.` and `..`, and control characters.
///
/// ```
/// use switchboard_storage::Key;
///
/// assert!(Key::parse("invoices/2026/März 7.pdf").is_ok());
/// assert!(Key::parse("../etc/passwd").is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key<'k>(&'k str);

impl<'k> Key<'k> {
    /// The longest a key may be, in bytes.
    pub const LENGTH_MAX: usize = 1024;

    /// The key that is written so.
    pub fn parse(written: &'k str) -> Result<Self> {
        let not_a_key = |why| Err(Error::new(ErrorKind::InvalidInput, why).not_applied());
        match written.len() {
            0 => return not_a_key("a key is empty"),
            1..=Self::LENGTH_MAX => {}
            length => {
                return Err(Error::new(ErrorKind::InvalidInput, "a key is too long")
                    .with_context("length_bytes", length)
                    .with_context("length_bytes_max", Self::LENGTH_MAX)
                    .not_applied());
            }
        }
        if written.chars().any(char::is_control) {
            return not_a_key("a key has a control character in it");
        }
        for segment in written.split('/') {
            match segment {
                "" => return not_a_key("a key has an empty segment"),
                "." | ".." => return not_a_key("a key has a segment that is only dots"),
                _ => {}
            }
        }
        Ok(Self(written))
    }

    /// The text of it.
    pub const fn as_str(self) -> &'k str {
        self.0
    }

    /// What `/` separates.
    pub fn segments(self) -> impl DoubleEndedIterator<Item = &'k str> {
        self.0.split('/')
    }

    /// The last segment.
    pub fn file_name(self) -> &'k str {
        self.0.rsplit_once('/').map_or(self.0, |(_, name)| name)
    }
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_as_it_is_written() {
        for written in [
            "a",
            "a/b",
            "A",
            "ä",
            "a\u{308}",
            "a b",
            " a ",
            "a.",
            "..a",
            "a..",
            "...",
            "a/.../b",
            "a\\b",
            "..\\b",
            "%2e%2e/b",
            "CON",
            "C:",
            "~",
            "*?",
            "\u{202e}",
            "🗝/🗝",
        ] {
            assert_eq!(Key::parse(written).unwrap().as_str(), written);
        }
        assert!(Key::parse(&"é".repeat(512)).is_ok());
    }

    #[test]
    fn what_could_mean_two_things_is_no_key() {
        for written in [
            "", "/", "/a", "a/", "a//b", "//", ".", "..", "./a", "a/.", "a/./b", "../a", "a/..",
            "a/../b", "a\0", "a\nb", "\r", "a/\u{7f}", "\u{85}", "\t",
        ] {
            let error = Key::parse(written).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{written:?}");
        }
        let error = Key::parse(&"é".repeat(513)).unwrap_err();
        assert_eq!(error.context_value("length_bytes"), Some("1026"));
    }
}
