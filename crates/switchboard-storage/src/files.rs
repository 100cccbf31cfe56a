//! Between a disk and files of this machine.

use std::fmt;
use std::future::IntoFuture;
use std::io;
use std::path::Path;

use futures_util::TryStreamExt as _;
use futures_util::future::BoxFuture;
use switchboard_core::{Error, Result};

use crate::disk::{about, op};
use crate::driver::Stored;
use crate::io::{into_io, of_file};
use crate::kept::Kept;
use crate::landing::Landing;
use crate::progress::{Progress, Watched};
use crate::{Body, Disk, Meta, Put};

impl Disk {
    /// Stores the file at `path` under `key`: the bytes that it has when this is awaited. A pipe or device is read
    /// to its end.
    ///
    /// ```
    /// # use switchboard_core::{Environment, Manager, Registry, Settings};
    /// # use switchboard_storage::Disks;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # runtime.block_on(async {
    /// # let disks = Manager::<Disks>::new(Registry::with_built_ins()?, &Environment::new())?;
    /// # disks.configure("main", &Settings::new().with("driver", "memory"))?;
    /// # let disk = disks.handle("main")?;
    /// # let folder = tempfile::tempdir().unwrap();
    /// let (here, there) = (folder.path().join("here.txt"), folder.path().join("there.txt"));
    /// std::fs::write(&here, "Hello, Ada").unwrap();
    ///
    /// disk.put_file("hello.txt", &here).if_absent().await?;
    /// disk.get_file("hello.txt", &there).await?;
    /// assert_eq!(std::fs::read(&there).unwrap(), b"Hello, Ada");
    /// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
    /// ```
    pub fn put_file<'d>(
        &'d self,
        key: &'d str,
        path: &'d (impl AsRef<Path> + ?Sized),
    ) -> Put<'d, FromFile<'d>> {
        Put::new(self, key, FromFile { path: path.as_ref() })
    }

    /// Writes the object under `key` to the file at `path`, and replaces the one that was there: the file appears
    /// whole and is kept safely, or not at all. What is known of the object is the answer.
    ///
    /// A symbolic link stays, and the file appears where it leads. A pipe or device stays too, and is written to:
    /// it has got what came before an error, and a pipe is waited for until somebody reads it.
    pub fn get_file<'d>(
        &'d self,
        key: &'d str,
        path: &'d (impl AsRef<Path> + ?Sized),
    ) -> GetFile<'d> {
        let (path, watched) = (path.as_ref(), Watched::default());
        GetFile { disk: self, key, path, is_resumed: false, watched }
    }
}

/// How [`Disk::put_file`] stores: the bytes of a file.
#[derive(Clone, Copy, Debug)]
pub struct FromFile<'d> {
    path: &'d Path,
}

impl<'d> Put<'d, FromFile<'d>> {
    /// Tells `told` how much is stored, again and again until all is.
    pub fn progress(self, told: impl FnMut(Progress) + Send + 'd) -> Self {
        Self { watched: Watched::by(told), ..self }
    }

    async fn run(self) -> Result<Stored> {
        self.checked()?;
        let body = self.disk.placed(op::PUT, Body::file(self.how.path).await);
        let body = body.map_err(|error| about(error, self.key))?;
        self.with(body).await
    }
}

impl<'d> IntoFuture for Put<'d, FromFile<'d>> {
    type Output = Result<Stored>;
    type IntoFuture = BoxFuture<'d, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// An object about to become a file. It does when this is awaited.
#[must_use = "nothing is read until it is awaited"]
pub struct GetFile<'d> {
    disk: &'d Disk,
    key: &'d str,
    path: &'d Path,
    is_resumed: bool,
    watched: Watched<'d>,
}

impl<'d> GetFile<'d> {
    /// Tells `told` how much is written, again and again until all is.
    pub fn progress(self, told: impl FnMut(Progress) + Send + 'd) -> Self {
        Self { watched: Watched::by(told), ..self }
    }

    /// Keeps what has come where fetching breaks off, in a hidden file beside the one at the path, and goes on
    /// from there the next time, if the object is the same version by then. It becomes the file once it is whole.
    ///
    /// ```
    /// # use switchboard_core::{Environment, Manager, Registry, Settings};
    /// # use switchboard_storage::Disks;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # runtime.block_on(async {
    /// # let disks = Manager::<Disks>::new(Registry::with_built_ins()?, &Environment::new())?;
    /// # disks.configure("main", &Settings::new().with("driver", "memory"))?;
    /// # let disk = disks.handle("main")?;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("film");
    /// disk.put("film", "once at a time").await?;
    /// disk.get_file("film", &path).resume().await?;
    /// assert_eq!(std::fs::read(&path).unwrap(), b"once at a time");
    /// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
    /// ```
    pub fn resume(self) -> Self {
        Self { is_resumed: true, ..self }
    }

    async fn run(mut self) -> Result<Meta> {
        let meta = if self.is_resumed { self.fetch_rest().await? } else { self.fetch().await? };
        self.watched.end(Some(meta.size));
        Ok(meta)
    }

    async fn fetch(&mut self) -> Result<Meta> {
        let mut object = self.disk.get(self.key).await?;
        let meta = object.meta().clone();
        self.watched.expect(Some(meta.size));
        let written = async {
            let mut landing = Landing::at(self.path).await?;
            while let Some(piece) = object.try_next().await.map_err(into_io)? {
                landing.write(&piece).await?;
                self.watched.add(piece.len() as u64);
            }
            landing.finish().await
        };
        let written = written.await;
        self.placed(written).map(|()| meta)
    }

    /// The same, but for what is there already.
    async fn fetch_rest(&mut self) -> Result<Meta> {
        let meta = self.disk.head(self.key).await?;
        self.watched.expect(Some(meta.size));
        let written = async {
            let mut kept = Kept::of(self.key, &meta, self.path).await?;
            self.watched.add(kept.length);
            if kept.length < meta.size {
                let rest = self.disk.get(self.key).range(kept.length..).only(&meta.version);
                let mut rest = rest.await.map_err(into_io)?;
                while let Some(piece) = rest.try_next().await.map_err(into_io)? {
                    kept.write(&piece).await?;
                    self.watched.add(piece.len() as u64);
                }
            }
            kept.finish(&meta).await
        };
        let written = written.await;
        self.placed(written).map(|()| meta)
    }

    /// What went wrong, with the object and the file that it is about.
    fn placed(&self, written: io::Result<()>) -> Result<()> {
        let written = written.map_err(|error| match error.downcast::<Error>() {
            Ok(own) => own,
            Err(error) => of_file(error, "the file could not be written", self.path),
        });
        self.disk.placed(op::GET, written).map_err(|error| about(error, self.key))
    }
}

impl<'d> IntoFuture for GetFile<'d> {
    type Output = Result<Meta>;
    type IntoFuture = BoxFuture<'d, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl fmt::Debug for GetFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetFile")
            .field("disk", &self.disk)
            .field("key", &self.key)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
