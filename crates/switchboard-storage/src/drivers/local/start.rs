//! What a folder is asked before it is used, and how it is.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::XattrFlags;
use rustix::io::Errno;
use switchboard_core::{Clock, Error, ErrorKind, Health, Result};
use tokio::sync::Semaphore;

use super::ahead::Ahead;
use super::entries::Helpers;
use super::errors::{before, errno, unwritable};
use super::folder::{Folder, Temp};
use super::read::FILES_MAX;
use super::root::Root;
use super::side::{Keeping, NAME};
use super::turns::Turns;
use super::{Local, LocalConfig, Metadata};

impl Local {
    /// The disk in an open folder.
    pub(super) fn start(
        root: Root,
        path: PathBuf,
        config: &LocalConfig,
        clock: Clock,
    ) -> Result<Self> {
        let keeping = match config.metadata {
            Metadata::Auto => Keeping::AttributeOrFile,
            Metadata::Xattr => Keeping::Attribute,
            Metadata::Sidecar => Keeping::File,
        };
        let file_mode = config.file_mode.0;
        let (durability, ahead, helpers) = (config.durability, Ahead::default(), Helpers::new());
        let (turns, files) = (Turns::default(), Arc::new(Semaphore::new(FILES_MAX)));
        let mut folder =
            Folder { root, durability, file_mode, keeping, ahead, turns, helpers, files };
        let is_writable = match folder.temp() {
            Ok(temp) => {
                folder.keeping = keeping.that_works(&temp)?;
                true
            }
            Err(error) if is_forbidden(&error) => false,
            Err(error) => return Err(before(error).with_context("root", path.display())),
        };
        let (folder, temp_ttl) = (Arc::new(folder), config.temp_ttl);
        Ok(Self { folder, root: path, is_writable, temp_ttl, clock })
    }
}

impl Keeping {
    /// The same, or what is left of it on the file system that `probe` lies on.
    fn that_works(self, probe: &Temp) -> Result<Self> {
        match rustix::fs::fsetxattr(probe.file(), NAME, b"", XattrFlags::empty()) {
            Err(Errno::NOTSUP | Errno::NOSYS | Errno::PERM | Errno::ACCESS) => match self {
                Self::Attribute => Err(Error::new(
                    ErrorKind::Config,
                    "the file system keeps no extended attributes",
                )
                .with_context("setting", "metadata")
                .with_hint("`metadata = \"auto\"` keeps what is said of objects in files")),
                Self::AttributeOrFile | Self::File => Ok(Self::File),
            },
            tried => tried.map(|()| self).map_err(|error| before(error.into())),
        }
    }

    /// The word that an operator sees.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Attribute => "xattr",
            Self::AttributeOrFile => "xattr or sidecar",
            Self::File => "sidecar",
        }
    }
}

impl Folder {
    /// Whether a file can be written and put on the disk, and whether there is room for more.
    pub(super) fn health(&self, is_writable: bool) -> Result<Health> {
        if !is_writable {
            self.root.dir("").map_err(unwritable)?;
            return Ok(Health::up());
        }
        let temp = self.temp().map_err(unwritable)?;
        temp.file().write_all(b"?").map_err(before)?;
        self.settle(temp.file()).map_err(before)?;
        let space = rustix::fs::fstatvfs(temp.file()).map_err(|error| before(error.into()))?;
        if space.f_bavail.saturating_mul(SPACE_MIN_OF) < space.f_blocks {
            return Ok(Health::degraded("the file system is nearly full"));
        }
        Ok(Health::up())
    }
}

fn is_forbidden(error: &io::Error) -> bool {
    matches!(errno(error), Some(Errno::ROFS | Errno::ACCESS | Errno::PERM))
}

/// One part of so many must be free.
const SPACE_MIN_OF: u64 = 100;
