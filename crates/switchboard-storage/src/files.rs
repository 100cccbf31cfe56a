//! Between a disk and files of this machine.

use std::fmt;
use std::future::IntoFuture;
use std::path::Path;

use futures_util::TryStreamExt as _;
use futures_util::future::BoxFuture;
use switchboard_core::{Error, Result};

use crate::disk::{about, op};
use crate::driver::Stored;
use crate::io::{into_io, of_file};
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
        GetFile { disk: self, key, path: path.as_ref(), watched: Watched::default() }
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
    watched: Watched<'d>,
}

impl<'d> GetFile<'d> {
    /// Tells `told` how much is written, again and again until all is.
    pub fn progress(self, told: impl FnMut(Progress) + Send + 'd) -> Self {
        Self { watched: Watched::by(told), ..self }
    }

    async fn run(self) -> Result<Meta> {
        let Self { disk, key, path, mut watched } = self;
        let mut object = disk.get(key).await?;
        let meta = object.meta().clone();
        watched.expect(Some(meta.size));
        let written = async {
            let mut landing = Landing::at(path).await?;
            while let Some(piece) = object.try_next().await.map_err(into_io)? {
                landing.write(&piece).await?;
                watched.add(piece.len() as u64);
            }
            landing.finish().await
        };
        let written = written.await.map_err(|error| match error.downcast::<Error>() {
            Ok(own) => own,
            Err(error) => of_file(error, "the file could not be written", path),
        });
        disk.placed(op::GET, written).map_err(|error| about(error, key))?;
        watched.end(Some(meta.size));
        Ok(meta)
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
