//! What a value is stored under: the one place that says what may be a key.

use std::borrow::Borrow;
use std::fmt;

use switchboard_core::{Error, ErrorKind, Result};

/// A key that is known to be one: 1 to 250 bytes of any text.
///
/// Letters are told apart exactly as written, upper from lower case and composed from decomposed.
/// The handle makes it once from what the application gives; a driver may rely on the length.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key<'k>(&'k str);

impl<'k> Key<'k> {
    /// The longest a key may be, in bytes. It leaves every service room for a prefix.
    pub const LENGTH_MAX: usize = 250;

    /// The key that is written so. An empty one, or one that is too long, is an error.
    ///
    /// The error shows the length and not the key, which may hold personal data.
    pub fn parse(written: &'k str) -> Result<Self> {
        match written.len() {
            0 => Err(Error::new(ErrorKind::InvalidInput, "a key is empty")),
            1..=Self::LENGTH_MAX => Ok(Self(written)),
            length => Err(Error::new(ErrorKind::InvalidInput, "a key is too long")
                .with_context("length_bytes", length)
                .with_context("length_bytes_max", Self::LENGTH_MAX)
                .with_hint("use a digest of what makes the key so long")),
        }
    }

    /// The same key, for longer.
    pub(crate) fn to_owned(self) -> OwnedKey {
        OwnedKey(self.0.into())
    }

    /// The text of it.
    pub const fn as_str(self) -> &'k str {
        self.0
    }

    /// The bytes of its text.
    pub const fn as_bytes(self) -> &'k [u8] {
        self.0.as_bytes()
    }
}

/// A key that is kept.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct OwnedKey(Box<str>);

impl OwnedKey {
    pub(crate) fn as_key(&self) -> Key<'_> {
        Key(&self.0)
    }
}

impl Borrow<str> for OwnedKey {
    fn borrow(&self) -> &str {
        &self.0
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
    fn a_key_has_one_to_250_bytes() {
        assert_eq!(Key::parse("").unwrap_err().kind(), ErrorKind::InvalidInput);
        assert!(Key::parse("ключ 🗝\u{0}\n").is_ok());
        assert!(Key::parse(&"é".repeat(125)).is_ok());
        let error = Key::parse(&"é".repeat(126)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.context_value("length_bytes"), Some("252"));
        assert!(!format!("{error:?}").contains('é'), "{error:?}");
    }
}
