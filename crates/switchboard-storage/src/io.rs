//! Objects and bodies as the readers of `tokio`, and errors as those of `std::io`.

use std::io;
use std::path::Path;

use futures_util::{StreamExt as _, TryStreamExt as _};
use switchboard_core::{Error, ErrorKind, Result};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncReadExt as _};
use tokio_util::io::{ReaderStream, StreamReader};

use crate::{Body, Object};

impl Object {
    /// The bytes that are still to come, as a reader.
    ///
    /// Its errors have what went wrong [inside](io::Error::get_ref).
    ///
    /// ```
    /// # use switchboard_core::{Environment, Manager, Registry, Settings};
    /// # use switchboard_storage::Disks;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # runtime.block_on(async {
    /// # let disks = Manager::<Disks>::new(Registry::with_built_ins()?, &Environment::new())?;
    /// # disks.configure("main", &Settings::new().with("driver", "memory"))?;
    /// # let disk = disks.handle("main")?;
    /// use tokio::io::AsyncBufReadExt as _;
    ///
    /// disk.put("list", "milk\nbread").await?;
    /// let mut lines = disk.get("list").await?.into_reader().lines();
    /// assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("milk"));
    /// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
    /// ```
    pub fn into_reader(self) -> impl AsyncBufRead + Send + Unpin + 'static {
        StreamReader::new(self.map_err(into_io))
    }
}

impl Body {
    /// What `reader` gives, of any length.
    ///
    /// ```
    /// use switchboard_storage::Body;
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// # runtime.block_on(async {
    /// let body = Body::reader(&b"forty-two"[..]);
    /// assert_eq!(body.collect(1024).await?, "forty-two");
    /// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
    /// ```
    pub fn reader(reader: impl AsyncRead + Send + 'static) -> Self {
        Self::stream(ReaderStream::with_capacity(reader, PIECE).boxed())
    }

    /// The bytes of the file at `path`, as many as it has now; of a pipe or device, all until its end.
    pub async fn file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let open = async {
            let file = tokio::fs::File::open(path).await?;
            let about = file.metadata().await?;
            if about.is_dir() {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a folder"));
            }
            // Files of the system may say that they are empty, and have bytes.
            let length = Some(about.len()).filter(|length| about.is_file() && *length > 0);
            Ok((file, length))
        };
        let opened = open.await;
        let (file, length) =
            opened.map_err(|error| of_file(error, "the file could not be read", path))?;
        Ok(match length {
            Some(length) => Self::reader(file.take(length)).with_length(length),
            None => Self::reader(file),
        })
    }
}

/// What went wrong with the file at `path`.
pub(crate) fn of_file(error: io::Error, what: &'static str, path: &Path) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            ErrorKind::PermissionDenied
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::QuotaExceeded,
        io::ErrorKind::InvalidInput
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::NotADirectory => ErrorKind::InvalidInput,
        _ => ErrorKind::Unexpected,
    };
    Error::new(kind, what).with_context("path", path.display()).with_source(error).not_applied()
}

/// `error` where only one of `std::io` will do, which has it inside.
pub(crate) fn into_io(error: Error) -> io::Error {
    let kind = match error.kind() {
        ErrorKind::NotFound => io::ErrorKind::NotFound,
        ErrorKind::AlreadyExists => io::ErrorKind::AlreadyExists,
        ErrorKind::PermissionDenied | ErrorKind::Unauthenticated => io::ErrorKind::PermissionDenied,
        ErrorKind::InvalidInput => io::ErrorKind::InvalidInput,
        ErrorKind::Corrupt => io::ErrorKind::InvalidData,
        ErrorKind::TooLarge => io::ErrorKind::FileTooLarge,
        ErrorKind::QuotaExceeded => io::ErrorKind::QuotaExceeded,
        ErrorKind::Unsupported => io::ErrorKind::Unsupported,
        ErrorKind::Timeout => io::ErrorKind::TimedOut,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

/// How many bytes are read at a time.
const PIECE: usize = 64 << 10;
