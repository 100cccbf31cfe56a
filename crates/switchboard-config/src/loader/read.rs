//! Reads a whole file, and never more of it than its limit.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::Path;

/// Why a file was not read, in words for the person who named it: "is a folder".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unread {
    pub(crate) message: String,
    /// There is nothing at this path, as opposed to something that cannot be read.
    pub(crate) is_missing: bool,
}

/// The bytes of a regular file that has at most `bytes_max` of them.
///
/// Anything else is not even opened: reading a pipe could wait for ever.
pub(crate) fn read(path: &Path, bytes_max: usize) -> Result<Vec<u8>, Unread> {
    let about = fs::metadata(path).map_err(|error| unread(error.kind()))?;
    if about.is_dir() {
        return Err(Unread::because("is a folder, not a file"));
    }
    if !about.is_file() {
        return Err(Unread::because("is not a regular file"));
    }
    let file = File::open(path).map_err(|error| unread(error.kind()))?;
    let mut bytes = Vec::new();
    // What the file says of its own size may be wrong, or out of date.
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).map_err(|error| unread(error.kind()))?;
    if bytes.len() > bytes_max {
        return Err(Unread::because(format!("is larger than {} KiB", bytes_max / 1024)));
    }
    Ok(bytes)
}

impl Unread {
    fn because(message: impl Into<String>) -> Self {
        Self { message: message.into(), is_missing: false }
    }

    /// The message at the place of the file itself.
    pub(crate) fn alone(self) -> String {
        if self.is_missing { self.message } else { format!("the file {}", self.message) }
    }

    /// The message behind the name of the file.
    pub(crate) fn after_name(self) -> String {
        if self.is_missing { "does not exist".to_owned() } else { self.message }
    }
}

fn unread(kind: ErrorKind) -> Unread {
    match kind {
        // A file in the place of a folder on the way there.
        ErrorKind::NotFound | ErrorKind::NotADirectory => {
            Unread { message: "no such file".to_owned(), is_missing: true }
        }
        ErrorKind::PermissionDenied => Unread::because("may not be read: permission denied"),
        other => Unread::because(format!("cannot be read: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_told_in_words() {
        assert!(unread(ErrorKind::NotFound).is_missing);
        assert!(unread(ErrorKind::NotADirectory).is_missing);
        let refused = unread(ErrorKind::PermissionDenied);
        assert_eq!(refused.message, "may not be read: permission denied");
        assert!(!refused.is_missing);
    }
}
