//! Copying and renaming objects.

use std::fmt;
use std::future::IntoFuture;

use futures_util::future::BoxFuture;
use switchboard_core::{Effect, Error, ErrorKind, Held, Op, Outcome, Result};

use crate::disk::{about, op};
use crate::driver::{Condition, Stored};
use crate::progress::{Progress, Watched};
use crate::{Attributes, Body, Disk, Disks, Version, capability};

impl Disk {
    /// Stores the object under `from` also under `to`, with all that is said of it.
    ///
    /// Where the service cannot do that itself, the bytes take the way over the application. A copy onto itself
    /// changes nothing.
    ///
    /// ```
    /// # use switchboard_core::{Environment, Manager, Registry, Settings};
    /// # use switchboard_storage::Disks;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # runtime.block_on(async {
    /// # let disks = Manager::<Disks>::new(Registry::with_built_ins()?, &Environment::new())?;
    /// # disks.configure("main", &Settings::new().with("driver", "memory"))?;
    /// # let disk = disks.handle("main")?;
    /// disk.put("draft", "…").content_type("text/plain").await?;
    /// disk.copy("draft", "final").if_absent().await?;
    /// disk.rename("draft", "old").await?;
    /// assert_eq!(disk.head("final").await?.attributes.content_type.as_deref(), Some("text/plain"));
    /// assert!(!disk.exists("draft").await?);
    /// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
    /// ```
    pub fn copy<'d>(&'d self, from: &'d str, to: &'d str) -> Copy<'d> {
        Copy::new(self, from, self, to, Kind::Copy)
    }

    /// Stores the object under `from` under `to` instead, with all that is said of it.
    ///
    /// Where the service cannot do that in one step, it is a copy and a deletion: an error then says in its
    /// outcome whether the copy is there ([`Applied`](Outcome::Applied)) and what was to be deleted still is.
    pub fn rename<'d>(&'d self, from: &'d str, to: &'d str) -> Copy<'d> {
        Copy::new(self, from, self, to, Kind::Rename)
    }

    /// Stores the object under `from` on another disk under `to`, with all that is said of it.
    ///
    /// The bytes take the way over the application, and what comes to the other disk is compared with what was
    /// stored here.
    ///
    /// ```
    /// # use switchboard_core::{Environment, Manager, Registry, Settings};
    /// # use switchboard_storage::Disks;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # runtime.block_on(async {
    /// # let disks = Manager::<Disks>::new(Registry::with_built_ins()?, &Environment::new())?;
    /// # disks.configure("main", &Settings::new().with("driver", "memory"))?;
    /// # disks.configure("archive", &Settings::new().with("driver", "memory"))?;
    /// # let (disk, archive) = (disks.handle("main")?, disks.handle("archive")?);
    /// disk.put("film", "…").await?;
    /// disk.copy_to("film", &archive, "films/1").if_absent().await?;
    /// assert_eq!(archive.read("films/1").await?, "…");
    /// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
    /// ```
    pub fn copy_to<'d>(&'d self, from: &'d str, other: &'d Self, to: &'d str) -> Copy<'d> {
        Copy::new(self, from, other, to, Kind::Over)
    }
}

/// A copy, or a renaming. It happens when this is awaited.
#[must_use = "nothing is copied until it is awaited"]
pub struct Copy<'d> {
    source: &'d Disk,
    from: &'d str,
    target: &'d Disk,
    to: &'d str,
    kind: Kind,
    condition: Condition,
    /// What is said of the copy, where it is not what is said of the source.
    attributes: Option<Attributes>,
    watched: Watched<'d>,
}

/// What is done, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Copy,
    Rename,
    /// A copy over the application, because it goes to another disk.
    Over,
}

impl<'d> Copy<'d> {
    fn new(source: &'d Disk, from: &'d str, target: &'d Disk, to: &'d str, kind: Kind) -> Self {
        let (condition, watched) = (Condition::Always, Watched::default());
        Self { source, from, target, to, kind, condition, attributes: None, watched }
    }

    /// Only where nothing is: else [`AlreadyExists`](switchboard_core::ErrorKind::AlreadyExists).
    pub fn if_absent(mut self) -> Self {
        self.condition = Condition::Absent;
        self
    }

    /// Only in the place of this version: else
    /// [`PreconditionFailed`](switchboard_core::ErrorKind::PreconditionFailed).
    pub fn if_version(mut self, version: &Version) -> Self {
        self.condition = Condition::Version(version.clone());
        self
    }

    /// Says this of the copy, and nothing of what is said of the source. The bytes take the way over the
    /// application then.
    ///
    /// Of an object copied onto itself, that changes what is said of it.
    pub fn attributes(mut self, attributes: Attributes) -> Self {
        self.attributes = Some(attributes);
        self
    }

    /// Tells `told` how much is copied, again and again until all is.
    pub fn progress(mut self, told: impl FnMut(Progress) + Send + 'd) -> Self {
        self.watched = Watched::by(told);
        self
    }

    async fn run(self) -> Result<Stored> {
        let (from, to, op) = (self.from, self.to, self.op());
        self.target.allow_writing(op)?;
        let stored = if self.kind == Kind::Over {
            self.over_the_application(Condition::Always).await
        } else if self.source.place(op, from)? == self.target.place(op, to)? {
            self.onto_itself().await
        } else {
            self.within().await
        };
        stored.map_err(|error| match error.kind() {
            // What is missing is the source.
            ErrorKind::NotFound => about(error, from).with_context("to", to.escape_debug()),
            _ => about(error, to).with_context("from", from.escape_debug()),
        })
    }

    fn op(&self) -> Op {
        if self.kind == Kind::Rename { op::RENAME } else { op::COPY }
    }

    /// Copies an object onto itself: only what is said of it may become something else.
    async fn onto_itself(mut self) -> Result<Stored> {
        let meta = self.source.head(self.from).await?;
        self.target.placed(self.op(), self.condition.allows(Some(&meta.version)))?;
        if self.attributes.is_none() {
            self.watched.end(Some(meta.size));
            return Ok(Stored::new(meta.version, meta.size, meta.checksum));
        }
        // What others store meanwhile is not to be undone.
        let can = self.source.line().capabilities().await?;
        let is_safe = can.has(capability::REPLACE) && self.condition == Condition::Always;
        let only = if is_safe { Condition::Version(meta.version) } else { Condition::Always };
        self.over_the_application(only).await
    }

    /// Copies or renames on one disk, where the service can by itself.
    async fn within(mut self) -> Result<Stored> {
        if self.attributes.is_none() {
            match self.natively().await {
                Err(error) if error.kind() == ErrorKind::Unsupported => {}
                stored => {
                    self.watched.end(stored.as_ref().ok().map(|stored| stored.size));
                    return stored;
                }
            }
        }
        if self.kind != Kind::Rename {
            return self.over_the_application(Condition::Always).await;
        }
        let (disk, from) = (self.source, self.from);
        let renamed = disk.head(from).await?.version;
        // The service may well be able to copy.
        let copied = Box::pin(Self { kind: Kind::Copy, ..self }.within()).await?;
        // What others stored under the old key meanwhile was not copied.
        let deleted = match disk.delete_only(from, &renamed).await {
            Err(error) if error.kind() == ErrorKind::Unsupported => disk.delete(from).await,
            deleted => deleted,
        };
        deleted.map(|_| copied).map_err(|error| {
            let why = "the object was copied, and is still under its old key";
            Error::new(error.kind(), why).with_source(error).with_outcome(Outcome::Applied)
        })
    }

    async fn natively(&mut self) -> Result<Stored> {
        let op = self.op();
        let is_rename = self.kind == Kind::Rename;
        let (source, target) =
            (&*self.source.place(op, self.from)?, &*self.target.place(op, self.to)?);
        // Made again after it worked, a copy on a condition would find its own.
        let called =
            if self.condition == Condition::Always { op } else { op.with_effect(Effect::Unsafe) };
        let condition = &self.condition;
        let ask = |store: Held<Disks>| async move {
            if is_rename {
                store.rename(source, target, condition).await
            } else {
                store.copy(source, target, condition).await
            }
        };
        self.source.line().call(called, ask).await
    }

    /// Reads it, and stores what is read. `otherwise` is the condition where the caller has none.
    async fn over_the_application(self, otherwise: Condition) -> Result<Stored> {
        let Self { source, from, target, to, condition, attributes, watched, .. } = self;
        let object = source.get(from).await?;
        let meta = object.meta().clone();
        let mut put = target.put(to, Body::stream(object).with_length(meta.size));
        put.is_exact = true;
        put.write.attributes = attributes.unwrap_or(meta.attributes);
        put.write.checksum = meta.checksum;
        put.write.condition = if condition == Condition::Always { otherwise } else { condition };
        put.watched = watched;
        put.await
    }
}

impl<'d> IntoFuture for Copy<'d> {
    type Output = Result<Stored>;
    type IntoFuture = BoxFuture<'d, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl fmt::Debug for Copy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copy")
            .field("source", &self.source)
            .field("from", &self.from)
            .field("target", &self.target)
            .field("to", &self.to)
            .field("kind", &self.kind)
            .field("condition", &self.condition)
            .field("attributes", &self.attributes)
            .finish_non_exhaustive()
    }
}
