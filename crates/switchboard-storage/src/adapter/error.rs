//! Errors of disks in the words of `object_store`, and the other way round.

use switchboard_core::{Error, ErrorKind};

/// What went wrong with `path`. The error itself is the source of what is told.
pub(super) fn told(error: Error, path: &(impl AsRef<str> + ?Sized)) -> object_store::Error {
    let (kind, path, source) = (error.kind(), path.as_ref().to_owned(), Box::new(error));
    match kind {
        ErrorKind::NotFound => object_store::Error::NotFound { path, source },
        ErrorKind::AlreadyExists => object_store::Error::AlreadyExists { path, source },
        ErrorKind::PreconditionFailed => object_store::Error::Precondition { path, source },
        ErrorKind::PermissionDenied => object_store::Error::PermissionDenied { path, source },
        ErrorKind::Unauthenticated => object_store::Error::Unauthenticated { path, source },
        ErrorKind::Unsupported => object_store::Error::NotSupported { source },
        _ => object_store::Error::Generic { store: STORE, source },
    }
}

/// What went wrong between two paths: what is missing is the first, what is in the way the second.
pub(super) fn between(
    error: Error,
    from: &object_store::path::Path,
    to: &object_store::path::Path,
) -> object_store::Error {
    let path = if error.kind() == ErrorKind::NotFound { from } else { to };
    told(error, path)
}

/// The error of a disk in `error`, or one that says the same.
pub(super) fn own(error: object_store::Error) -> Error {
    use object_store::Error as Told;

    let (kind, path, source) = match error {
        Told::Generic { source, .. } => (ErrorKind::Unexpected, None, source),
        Told::NotFound { path, source } => (ErrorKind::NotFound, Some(path), source),
        Told::AlreadyExists { path, source } => (ErrorKind::AlreadyExists, Some(path), source),
        Told::Precondition { path, source } | Told::NotModified { path, source } => {
            (ErrorKind::PreconditionFailed, Some(path), source)
        }
        Told::PermissionDenied { path, source } => {
            (ErrorKind::PermissionDenied, Some(path), source)
        }
        Told::Unauthenticated { path, source } => (ErrorKind::Unauthenticated, Some(path), source),
        Told::NotSupported { source } => (ErrorKind::Unsupported, None, source),
        Told::InvalidPath { source } => (ErrorKind::InvalidInput, None, source.into()),
        Told::UnknownConfigurationKey { .. } => (ErrorKind::Config, None, error.into()),
        Told::NotImplemented { .. } => (ErrorKind::Unsupported, None, error.into()),
        other => (ErrorKind::Unexpected, None, other.into()),
    };
    let source = match source.downcast::<Error>() {
        Ok(own) => return *own,
        Err(source) => source,
    };
    let own = Error::new(kind, "a store of objects failed").with_source(source);
    match path {
        Some(path) => own.with_context("key", path.escape_debug()),
        None => own,
    }
}

const STORE: &str = "Mount";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_comes_back_as_it_went() {
        for kind in [
            ErrorKind::NotFound,
            ErrorKind::AlreadyExists,
            ErrorKind::PreconditionFailed,
            ErrorKind::PermissionDenied,
            ErrorKind::Unauthenticated,
            ErrorKind::Unsupported,
            ErrorKind::Unavailable,
            ErrorKind::Corrupt,
        ] {
            let error = Error::new(kind, "why").with_context("attempts", 3);
            let back = own(told(error, "a/b"));
            assert_eq!(back.kind(), kind);
            assert_eq!(back.context_value("attempts"), Some("3"));
        }
    }

    #[test]
    fn an_error_of_another_store_is_told_in_our_words() {
        let source = || "elsewhere".into();
        let path = || "a\nb".to_owned();
        let errors = [
            (
                object_store::Error::NotFound { path: path(), source: source() },
                ErrorKind::NotFound,
                true,
            ),
            (
                object_store::Error::NotModified { path: path(), source: source() },
                ErrorKind::PreconditionFailed,
                true,
            ),
            (object_store::Error::NotSupported { source: source() }, ErrorKind::Unsupported, false),
            (
                object_store::Error::Generic { store: "S", source: source() },
                ErrorKind::Unexpected,
                false,
            ),
            (
                object_store::path::Path::parse("a//b").unwrap_err().into(),
                ErrorKind::InvalidInput,
                false,
            ),
        ];
        for (error, kind, has_key) in errors {
            let own = own(error);
            assert_eq!(own.kind(), kind);
            assert_eq!(own.context_value("key"), has_key.then_some("a\\nb"));
        }
    }
}
