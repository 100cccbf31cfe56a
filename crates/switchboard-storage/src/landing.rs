//! Where an object lands on this machine: in a file that appears whole, or in a pipe or device that takes the
//! bytes as they come.

use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempPath;
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt as _;

/// What takes the bytes of an object.
pub(crate) enum Landing {
    Unseen(Unseen),
    Stream(File),
}

impl Landing {
    /// At `path`, or where a symbolic link there leads. Only a file makes room: a pipe or device is written to.
    pub(crate) async fn at(path: &Path) -> io::Result<Self> {
        let path = path.to_owned();
        match blocking(move || Goal::of(&path)).await? {
            Goal::File(path) => Ok(Self::Unseen(Unseen::beside(path).await?)),
            Goal::Stream(path) => {
                Ok(Self::Stream(OpenOptions::new().write(true).open(path).await?))
            }
        }
    }

    pub(crate) async fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        match self {
            Self::Unseen(unseen) => unseen.file.write_all(piece).await,
            Self::Stream(file) => file.write_all(piece).await,
        }
    }

    /// Ends when the bytes are where they belong, and safe there.
    pub(crate) async fn finish(self) -> io::Result<()> {
        match self {
            Self::Unseen(unseen) => unseen.publish().await,
            Self::Stream(mut file) => {
                file.flush().await?;
                match file.sync_all().await {
                    // A pipe keeps nothing that could be lost.
                    Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
                    synced => synced,
                }
            }
        }
    }
}

/// What a path means to whoever writes there.
pub(crate) enum Goal {
    File(PathBuf),
    Stream(PathBuf),
}

impl Goal {
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        match std::fs::metadata(path) {
            Ok(there) if there.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            Ok(there) if there.is_file() => Ok(Self::File(path.canonicalize()?)),
            Ok(_) => Ok(Self::Stream(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Self::File(end_of_links(path)?))
            }
            Err(error) => Err(error),
        }
    }
}

/// Where a chain of symbolic links leads that ends with nothing.
fn end_of_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        match std::fs::read_link(&path) {
            Ok(next) => path = folder_of(&path)?.join(next),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "symbolic links lead to one another"))
}

/// A file that is not yet where it is to be; removed where it never is.
pub(crate) struct Unseen {
    file: File,
    path: TempPath,
    to: PathBuf,
}

impl Unseen {
    async fn beside(to: PathBuf) -> io::Result<Self> {
        let folder = folder_of(&to)?;
        let made = blocking(move || {
            let mut named = tempfile::Builder::new();
            named.prefix(".").suffix(".part");
            // What everybody may do with a file is the affair of who runs this, not of its way here.
            #[cfg(unix)]
            named.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
            named.tempfile_in(folder)
        });
        let (file, path) = made.await?.into_parts();
        Ok(Self { file: File::from_std(file), path, to })
    }

    /// Gives the file its name, once its bytes are safe.
    async fn publish(mut self) -> io::Result<()> {
        self.file.flush().await?;
        self.file.sync_all().await?;
        let (from, to) = (self.path, self.to);
        blocking(move || {
            let folder = folder_of(&to)?;
            from.persist(to)?;
            synced(&folder)
        })
        .await
    }
}

/// Makes the names in a folder safe. Only Unix opens folders.
pub(crate) fn synced(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { std::fs::File::open(folder)?.sync_all() } else { Ok(()) }
}

pub(crate) fn folder_of(path: &Path) -> io::Result<PathBuf> {
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(_)) if folder.as_os_str().is_empty() => Ok(PathBuf::from(".")),
        (Some(folder), Some(_)) => Ok(folder.to_owned()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "the path has no name at its end")),
    }
}

/// Does what waits for the file system where waiting holds nobody up.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// How many symbolic links are followed, as systems do.
const LINKS_MAX: u32 = 40;
