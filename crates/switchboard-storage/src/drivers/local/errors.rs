//! What the file system says, in the words of all drivers.

use std::io;

use rustix::io::Errno;
use switchboard_core::{Error, ErrorKind, Outcome};

/// What the operating system calls an error; `None` if it has no name for it.
pub(super) fn errno(error: &io::Error) -> Option<Errno> {
    Errno::from_io_error(error)
}

/// Whether nothing is there: neither the file nor, perhaps, its directory.
pub(super) fn is_missing(error: &io::Error) -> bool {
    matches!(errno(error), Some(Errno::NOENT | Errno::NOTDIR))
}

/// Whether a link is there that is not followed.
pub(super) fn is_link(error: &io::Error) -> bool {
    errno(error) == Some(Errno::LOOP)
}

/// The one place that says what an error of the file system means.
pub(super) fn classify(error: io::Error) -> Error {
    let (kind, message) = match errno(&error) {
        Some(Errno::NOENT) => (ErrorKind::NotFound, "there is no object under the key"),
        Some(Errno::ACCESS | Errno::PERM) => {
            (ErrorKind::PermissionDenied, "the file system does not allow it")
        }
        Some(Errno::ROFS) => (ErrorKind::PermissionDenied, "the file system is only for reading"),
        Some(Errno::LOOP) => return link(),
        Some(Errno::NOSPC) => (ErrorKind::QuotaExceeded, "the file system is full"),
        Some(Errno::DQUOT) => (ErrorKind::QuotaExceeded, "the quota on the file system is used up"),
        Some(Errno::FBIG) => {
            (ErrorKind::TooLarge, "the file would be larger than the system allows")
        }
        Some(Errno::NAMETOOLONG) => {
            (ErrorKind::InvalidInput, "the file system takes no names as long as that")
        }
        Some(Errno::NOTDIR | Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST) => return nested(),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => {
            (ErrorKind::Overloaded, "the system has no files or memory left to give")
        }
        Some(Errno::XDEV) => {
            (ErrorKind::Config, "a part of the folder lies on another file system")
        }
        Some(
            Errno::IO | Errno::STALE | Errno::TIMEDOUT | Errno::NODEV | Errno::BUSY | Errno::INTR,
        ) => (ErrorKind::Unavailable, "the file system does not work"),
        _ => (ErrorKind::Unexpected, "the file system failed in a way that is not known"),
    };
    Error::new(kind, message).with_source(error)
}

/// The same for what happens before anything can be seen.
pub(super) fn before(error: io::Error) -> Error {
    classify(error).not_applied()
}

/// The same for what happens when everybody can see it already, and it is only not known to last.
pub(super) fn after(error: io::Error) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the object can be seen, but the file system does not say that it will last",
    )
    .with_source(error)
    .with_outcome(Outcome::Unknown)
}

/// The same for what is written where nobody looks: that nothing is there says something of the folder.
pub(super) fn unwritable(error: io::Error) -> Error {
    match errno(&error) {
        Some(Errno::NOENT) => Error::new(ErrorKind::Unavailable, "the folder of the disk is gone")
            .with_source(error)
            .not_applied(),
        _ => before(error),
    }
}

/// What is said where `a` and `a/b` cannot both be.
pub(super) fn nested() -> Error {
    Error::new(ErrorKind::Conflict, "one key would be a file and a directory at once")
        .with_hint("where keys are files, `a` cannot be beside `a/b`")
        .not_applied()
}

/// What is said where a symbolic link would lead away.
pub(super) fn link() -> Error {
    Error::new(ErrorKind::PermissionDenied, "there is a symbolic link that is not followed")
        .with_hint("`symlinks = \"within\"` follows those that stay beneath the folder")
        .not_applied()
}

/// What is said where others get in the way again and again.
pub(super) fn busy() -> Error {
    Error::new(ErrorKind::Conflict, "others make and remove the same directories all the time")
        .retry_later()
        .not_applied()
}

/// What is said where something is that an object must not replace.
pub(super) fn no_object() -> Error {
    Error::new(ErrorKind::Conflict, "there is something under the key that is no object")
        .with_hint("a pipe, a device, or a symbolic link to nowhere")
        .not_applied()
}
