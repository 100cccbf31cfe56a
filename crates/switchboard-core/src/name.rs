//! Names of drivers and instances: one spelling rule, one table to look them up in.
//!
//! A name is trimmed and ASCII-lower-cased, so `"Redis"` and `" redis "` are the same key. The
//! table finds a name as it was written, without making a lower-cased copy first.

use std::collections::BTreeSet;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use crate::sync::Mutex;
use crate::{Error, ErrorKind, Result};

/// The name of a driver or an instance: trimmed, lower-case ASCII, one to 63 characters.
///
/// ```
/// use switchboard_core::Name;
///
/// assert_eq!(Name::parse(" Sessions ")?.as_str(), "sessions");
/// assert!(Name::parse("über").is_err());
/// # Ok::<(), switchboard_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

impl Name {
    /// The longest a name may be, in characters.
    pub const LENGTH_MAX: usize = 63;

    /// The name that `written` stands for.
    #[track_caller]
    pub fn parse(written: &str) -> Result<Self> {
        let name = written.trim();
        let refusal = if name.is_empty() {
            "a name is empty"
        } else if !name.is_ascii() {
            "a name has characters that are not ASCII"
        } else if name.len() > Self::LENGTH_MAX {
            "a name is longer than 63 characters"
        } else if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
            "a name has characters other than letters, digits, '-' and '_'"
        } else {
            return Ok(Self(name.to_ascii_lowercase().into()));
        };
        let error = Error::new(ErrorKind::InvalidInput, refusal);
        let error = match Self::quotable(written) {
            Some(written) => error.with_context("name", format_args!("{written:?}")),
            None => error,
        };
        Err(error.with_context("place", Location::caller()))
    }

    /// The name as it is compared and shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The candidate that was probably meant by `asked`, if one is near enough to say so; names are
    /// compared without case.
    ///
    /// ```
    /// use switchboard_core::Name;
    ///
    /// assert_eq!(Name::nearest("sesions", ["main", "sessions"]), Some("sessions"));
    /// assert_eq!(Name::nearest("FAST ", ["Fasts", "other"]), Some("Fasts"));
    /// assert_eq!(Name::nearest("orders", ["main", "sessions"]), None);
    /// ```
    pub fn nearest<'a>(
        asked: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Option<&'a str> {
        nearest(asked, candidates)
    }

    /// What somebody wrote where a name belongs, if a message may repeat it: at most 63 letters, digits,
    /// `-`, `_` and `.`. Anything else may be an address with a password in it.
    ///
    /// ```
    /// use switchboard_core::Name;
    ///
    /// assert_eq!(Name::quotable(" cache.Sesions "), Some("cache.Sesions"));
    /// assert_eq!(Name::quotable("redis://app:hunter2@db"), None);
    /// ```
    pub fn quotable(written: &str) -> Option<&str> {
        let name = written.trim();
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_short = !name.is_empty() && name.len() <= Self::LENGTH_MAX;
        (is_short && name.bytes().all(is_part)).then_some(name)
    }

    /// What to say of something that was written where a name belongs: what `said` makes of it where it
    /// may be repeated, else that it is not `expected`.
    ///
    /// ```
    /// use switchboard_core::Name;
    ///
    /// let told = |written| {
    ///     Name::told(written, "the name of a policy", |name| format!("there is no policy {name:?}"))
    /// };
    /// assert_eq!(told("fats"), "there is no policy \"fats\"");
    /// let wrong = told("redis://app:hunter2@db");
    /// assert_eq!(wrong, "expected the name of a policy, found text that is no name");
    /// ```
    pub fn told(written: &str, expected: &str, said: impl FnOnce(&str) -> String) -> String {
        match Self::quotable(written) {
            Some(name) => said(name),
            None => format!("expected {expected}, found text that is no name"),
        }
    }

    pub(crate) fn shared(&self) -> Arc<str> {
        self.0.clone()
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// A frozen map from names to values; a change makes a new one.
///
/// Entries are sorted by a hash that ignores case. A short table is scanned, a long one searched.
pub(crate) struct NameTable<T> {
    hashes: Box<[u64]>,
    entries: Box<[(Arc<str>, T)]>,
}

impl<T> NameTable<T> {
    /// The table of `entries`, whose names are different.
    pub(crate) fn new(entries: impl IntoIterator<Item = (Name, T)>) -> Self {
        let mut hashed: Vec<_> =
            entries.into_iter().map(|(name, value)| (hash(&name.0), name.0, value)).collect();
        hashed.sort_by_key(|(hash, ..)| *hash);
        Self {
            hashes: hashed.iter().map(|(hash, ..)| *hash).collect(),
            entries: hashed.into_iter().map(|(_, name, value)| (name, value)).collect(),
        }
    }

    /// The value under `asked`, however it is written.
    pub(crate) fn find(&self, asked: &str) -> Option<&T> {
        self.position(asked).map(|position| self.value(position))
    }

    /// The value at a position that was found in this very table.
    #[inline]
    pub(crate) fn value(&self, position: usize) -> &T {
        &self.entries[position].1
    }

    /// Where `asked` stands in this table.
    #[inline]
    pub(crate) fn position(&self, asked: &str) -> Option<usize> {
        let asked = trimmed(asked);
        let wanted = hash(asked);
        let mut position = if self.hashes.len() <= SCANNED_MAX {
            self.hashes.iter().position(|hash| *hash == wanted)?
        } else {
            self.hashes.partition_point(|hash| *hash < wanted)
        };
        while *self.hashes.get(position)? == wanted {
            if self.entries[position].0.eq_ignore_ascii_case(asked) {
                return Some(position);
            }
            position += 1;
        }
        None
    }

    /// Every name with its value, sorted by name.
    pub(crate) fn sorted(&self) -> Vec<(&str, &T)> {
        let mut all: Vec<_> = self.entries.iter().map(|(name, value)| (&**name, value)).collect();
        all.sort_by_key(|(name, _)| *name);
        all
    }
}

impl<T> Default for NameTable<T> {
    fn default() -> Self {
        Self::new([])
    }
}

/// The candidate that somebody who wrote `asked` most likely meant.
pub(crate) fn nearest<'a>(
    asked: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let asked: String = asked.trim().to_lowercase().chars().take(Name::LENGTH_MAX).collect();
    candidates
        .into_iter()
        .take(COMPARED_MAX)
        .filter(|candidate| candidate.len() <= COMPARED_BYTES_MAX)
        .map(|candidate| {
            (strsim::damerau_levenshtein(&asked, &candidate.to_lowercase()), candidate)
        })
        .filter(|(distance, candidate)| *distance <= (asked.len().max(candidate.len()) / 3).max(1))
        .min()
        .map(|(_, candidate)| candidate)
}

/// What somebody wrote as a name, in quotes, if it may be repeated.
pub(crate) fn quoted(written: &str) -> String {
    Name::quotable(written)
        .map_or_else(|| "text that is no name".to_owned(), |name| format!("{name:?}"))
}

/// What somebody wrote as a name, short enough for a message.
pub(crate) fn shortened(written: &str) -> String {
    if written.chars().count() <= Name::LENGTH_MAX {
        return written.to_owned();
    }
    let head: String = written.chars().take(Name::LENGTH_MAX).collect();
    format!("{head}…")
}

/// The same text for the life of the process, kept once however often it is asked for.
///
/// For names of drivers: there are as many as the program registers, and a call that needs one
/// for its figures or its error must not count references to it.
pub(crate) fn interned(text: &str) -> &'static str {
    static KNOWN: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut known = KNOWN.lock();
    if let Some(found) = known.get(text) {
        return found;
    }
    let kept: &'static str = Box::leak(text.into());
    known.insert(kept);
    kept
}

/// `str::trim` looks at Unicode properties; most names need no trimming at all.
#[inline]
fn trimmed(asked: &str) -> &str {
    match asked.as_bytes() {
        [first, .., last] if first.is_ascii_graphic() && last.is_ascii_graphic() => asked,
        _ => asked.trim(),
    }
}

/// A hash of the bytes that is the same for upper and lower case letters.
///
/// Setting bit 5 also merges some characters that are not letters; the comparison that follows a
/// hit tells them apart.
#[inline]
fn hash(text: &str) -> u64 {
    const LOWER: u64 = 0x2020_2020_2020_2020;
    let mut words = text.as_bytes().chunks_exact(8);
    let mut state = text.len() as u64;
    for word in &mut words {
        let word = word.try_into().map_or(0, u64::from_le_bytes);
        state = (state.rotate_left(29) ^ (word | LOWER)).wrapping_mul(MULTIPLIER);
    }
    let mut last = 0;
    for byte in words.remainder() {
        last = (last << 8) | u64::from(byte | 0x20);
    }
    (state.rotate_left(29) ^ last).wrapping_mul(MULTIPLIER)
}

const MULTIPLIER: u64 = 0x9FB2_1C65_1E98_DF25;
const SCANNED_MAX: usize = 16;

/// How many candidates are looked through for the name that was meant.
const COMPARED_MAX: usize = 2_000;

/// The longest candidate that is compared, in bytes: a subsystem and an instance of it.
const COMPARED_BYTES_MAX: usize = 2 * Name::LENGTH_MAX + 1;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_error_repeats_what_could_be_a_name_and_nothing_else() {
        let said =
            |written| Name::parse(written).unwrap_err().context_value("name").map(str::to_owned);
        assert_eq!(said(" Cache.Main ").as_deref(), Some("\"Cache.Main\""));
        for written in ["redis://app:hunter2@db", "hunter2@", &"x".repeat(64), " "] {
            assert_eq!(said(written), None, "{written}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused_with_the_line_of_code() {
        for written in ["", "  ", "ünïcode", "İstanbul", "a.b", "a b", &"x".repeat(64)] {
            let error = Name::parse(written).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{written}");
            assert!(error.context_value("place").unwrap().contains("name.rs"), "{error}");
        }
    }

    #[test]
    fn the_nearest_name_is_a_likely_slip_and_not_a_random_word() {
        let names = ["memory", "null", "redis"];
        assert_eq!(nearest("redus", names), Some("redis"));
        assert_eq!(nearest("Memroy", names), Some("memory"));
        assert_eq!(nearest("kafka", names), None);
        assert_eq!(nearest("", names), None);
    }

    proptest! {
        #[test]
        fn a_table_finds_what_it_holds_however_it_is_written_and_nothing_else(
            names in proptest::collection::btree_set("[a-z0-9_-]{1,20}", 0..60),
            other in "[a-z0-9_-]{1,20}",
        ) {
            let table = NameTable::new(
                names.iter().map(|name| (Name::parse(name).unwrap(), name.clone())),
            );
            for name in &names {
                prop_assert_eq!(table.find(name), Some(name));
                let shouted = format!(" {} ", name.to_ascii_uppercase());
                prop_assert_eq!(table.find(&shouted), Some(name));
            }
            prop_assert_eq!(table.find(&other).is_some(), names.contains(&other));
            prop_assert_eq!(table.sorted().len(), names.len());
        }
    }
}
