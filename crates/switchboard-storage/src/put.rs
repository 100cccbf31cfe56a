//! Storing an object.

use std::fmt;
use std::future::IntoFuture;
use std::pin::pin;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, TryStreamExt as _};
use switchboard_core::{Effect, Held, Result};

use crate::cut::{Cut, Plan};
use crate::disk::{about, op};
use crate::doubt::Doubt;
use crate::driver::{Condition, Stored, Write, another_sum};
use crate::progress::{Progress, Watched};
use crate::{Attributes, Body, Checksum, Disk, Disks, Upload, Version, WriteId, guess};

/// An object about to be stored: what is said of it, and on which condition. It is stored when this is
/// awaited.
///
/// ```
/// # use switchboard_core::{Environment, ErrorKind, Manager, Registry, Settings};
/// # use switchboard_storage::Disks;
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
/// # runtime.block_on(async {
/// # let disks = Manager::<Disks>::new(Registry::with_built_ins()?, &Environment::new())?;
/// # disks.configure("main", &Settings::new().with("driver", "memory"))?;
/// # let disk = disks.handle("main")?;
/// let first = disk.put("note.txt", "one").content_type("text/plain").if_absent().await?;
/// disk.put("note.txt", "two").if_version(&first.version).await?;
///
/// let late = disk.put("note.txt", "three").if_version(&first.version).await.unwrap_err();
/// assert_eq!(late.kind(), ErrorKind::PreconditionFailed);
/// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
/// ```
#[must_use = "nothing is stored until it is awaited"]
pub struct Put<'d, How = Body> {
    pub(crate) disk: &'d Disk,
    pub(crate) key: &'d str,
    pub(crate) how: How,
    pub(crate) write: Write,
    pub(crate) watched: Watched<'d>,
    /// Whether all was said of it that is to be said.
    pub(crate) is_exact: bool,
}

/// How [`Disk::upload`] stores: part by part, as the application gives them.
#[derive(Clone, Copy, Debug, Default)]
pub struct InParts {
    part_size: Option<u64>,
}

impl<'d, How> Put<'d, How> {
    pub(crate) fn new(disk: &'d Disk, key: &'d str, how: How) -> Self {
        let (write, watched) = (Write::default(), Watched::default());
        Self { disk, key, how, write, watched, is_exact: false }
    }

    /// Only where nothing is: else [`AlreadyExists`](switchboard_core::ErrorKind::AlreadyExists). Of any number
    /// of callers at once, one is the first.
    pub fn if_absent(mut self) -> Self {
        self.write.condition = Condition::Absent;
        self
    }

    /// Only in the place of this version: else
    /// [`PreconditionFailed`](switchboard_core::ErrorKind::PreconditionFailed).
    pub fn if_version(mut self, version: &Version) -> Self {
        self.write.condition = Condition::Version(version.clone());
        self
    }

    /// Everything that is said of it.
    pub fn attributes(mut self, attributes: Attributes) -> Self {
        self.write.attributes = attributes;
        self
    }

    /// What kind of content it is.
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.write.attributes.content_type = Some(content_type.into());
        self
    }

    /// How long others may keep it: `max-age=60`.
    pub fn cache_control(mut self, cache_control: impl Into<String>) -> Self {
        self.write.attributes.cache_control = Some(cache_control.into());
        self
    }

    /// How it is offered to people: `attachment; filename="a.pdf"`.
    pub fn content_disposition(mut self, disposition: impl Into<String>) -> Self {
        self.write.attributes.content_disposition = Some(disposition.into());
        self
    }

    /// One more thing that is said of it, by name.
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.write.attributes.metadata.insert(name.into(), value.into());
        self
    }

    /// What its bytes must add up to: else
    /// [`InvalidInput`](switchboard_core::ErrorKind::InvalidInput), and nothing is stored.
    pub fn checksum(mut self, checksum: Checksum) -> Self {
        self.write.checksum = Some(checksum);
        self
    }

    /// The same, stored so.
    pub(crate) fn with<Other>(self, how: Other) -> Put<'d, Other> {
        let Self { disk, key, how: _, write, watched, is_exact } = self;
        Put { disk, key, how, write, watched, is_exact }
    }

    /// Where in the disk it comes, if all that is said of it can be kept.
    pub(crate) fn checked(&self) -> Result<String> {
        self.disk.allow_writing(op::PUT)?;
        let place = self.disk.place(op::PUT, self.key)?.into_owned();
        let checked = self.disk.placed(op::PUT, self.write.attributes.check());
        checked.map(|()| place).map_err(|error| about(error, self.key))
    }

    /// Says of what kind the content is that begins with `first`, where nobody did.
    fn guess(&mut self, plan: Plan, first: &[u8]) {
        let kind = &mut self.write.attributes.content_type;
        if plan.is_guessing && !self.is_exact && kind.is_none() {
            *kind = guess::content_type(self.key, first).map(str::to_owned);
        }
    }

    fn mark(&mut self) -> Result<()> {
        self.write.write_id = Some(self.disk.placed(op::PUT, WriteId::random())?);
        Ok(())
    }
}

impl<'d> Put<'d> {
    /// Tells `told` how much is stored, again and again until all is.
    ///
    /// ```
    /// # use switchboard_core::{Environment, Manager, Registry, Settings};
    /// # use switchboard_storage::Disks;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # runtime.block_on(async {
    /// # let disks = Manager::<Disks>::new(Registry::with_built_ins()?, &Environment::new())?;
    /// # disks.configure("main", &Settings::new().with("driver", "memory"))?;
    /// # let disk = disks.handle("main")?;
    /// let film = vec![0; 20 << 20];
    /// let mut percent = Vec::new();
    /// disk.put("film", film).progress(|progress| percent.extend(progress.percent())).await?;
    /// assert_eq!(percent, [40, 80, 100]);
    /// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
    /// ```
    pub fn progress(self, told: impl FnMut(Progress) + Send + 'd) -> Self {
        Self { watched: Watched::by(told), ..self }
    }

    async fn run(mut self) -> Result<Stored> {
        let place = &*self.checked()?;
        let (disk, key) = (self.disk, self.key);
        let body = std::mem::replace(&mut self.how, Body::empty());
        self.watched.expect(body.length());
        let plan = self.disk.plan().await?;
        let plan = disk.placed(op::PUT, plan.of_length(body.length()));
        let first = match plan {
            Ok(plan) => First::of(body, plan).await.map(|first| (first, plan)),
            Err(error) => Err(error),
        };
        let stored = match disk.placed(op::PUT, first) {
            Ok((First::Whole(content), plan)) => self.put_whole(place, content, plan).await,
            Ok((First::Part(first, rest), plan)) => self.put_parts(place, first, *rest, plan).await,
            Err(error) => Err(error),
        };
        stored.map_err(|error| about(error, key))
    }

    /// Stores what goes into one request.
    async fn put_whole(mut self, place: &str, content: Bytes, plan: Plan) -> Result<Stored> {
        self.guess(plan, &content);
        let sum = Checksum::of(&content);
        if self.write.checksum.is_some_and(|expected| expected != sum) {
            return self.disk.placed(op::PUT, Err(another_sum()));
        }
        self.write.checksum = Some(sum);
        let op = if self.write.condition == Condition::Always {
            op::PUT
        } else {
            self.mark()?;
            op::PUT.with_effect(Effect::Keyed)
        };
        let (write, content, doubt) = (&self.write, &content, &Doubt::default());
        let put = |store: Held<Disks>| async move {
            store.put(place, content.clone(), write, doubt).await
        };
        let stored = match self.disk.line().call(op, put).await {
            Err(error) => self.disk.resolve(place, write, doubt.explained(error)).await,
            stored => stored,
        };
        self.watched.end(stored.as_ref().ok().map(|stored| stored.size));
        stored
    }

    /// Stores what is cut into parts, some of which are on their way at a time.
    async fn put_parts(
        mut self,
        place: &str,
        first: Bytes,
        rest: Cut,
        plan: Plan,
    ) -> Result<Stored> {
        self.guess(plan, &first);
        // Completed a second time, an upload is unknown to its service: only the mark tells.
        self.mark()?;
        let place = place.to_owned();
        let mut upload = Upload::begin(self.disk.clone(), place, self.write, plan).await?;
        {
            let keeping = &upload;
            let kept = rest.after(first).map(|piece| keep(keeping, piece));
            let mut kept = pin!(kept.buffered(plan.parts_at_once.get()));
            while let Some(size) = kept.try_next().await? {
                self.watched.add(size);
            }
        }
        let stored = upload.finish().await?;
        self.watched.end(Some(stored.size));
        Ok(stored)
    }
}

impl Put<'_, InParts> {
    /// How long every part is, in bytes, but for the last; the disk's own setting where nothing is said.
    pub fn part_size(mut self, bytes: u64) -> Self {
        self.how.part_size = Some(bytes);
        self
    }

    async fn run(mut self) -> Result<Upload> {
        let place = self.checked()?;
        let plan = self.disk.plan().await?;
        let plan = self.how.part_size.map_or(Ok(plan), |part_size| plan.of_part_size(part_size));
        let plan = self.disk.placed(op::BEGIN, plan).map_err(|error| about(error, self.key))?;
        self.guess(plan, &[]);
        self.mark()?;
        let begun = Upload::begin(self.disk.clone(), place, self.write, plan).await;
        begun.map_err(|error| about(error, self.key))
    }
}

/// Keeps a part, and says how long it is.
async fn keep(upload: &Upload, piece: Result<(u32, Bytes)>) -> Result<u64> {
    let (number, piece) = piece?;
    let size = piece.len() as u64;
    upload.part(number, piece).await.map(|()| size)
}

/// What a body begins with.
enum First {
    /// All of it.
    Whole(Bytes),
    /// The first part, and what follows.
    Part(Bytes, Box<Cut>),
}

impl First {
    async fn of(body: Body, plan: Plan) -> Result<Self> {
        if !plan.has_parts {
            let limit = usize::try_from(plan.whole_max).unwrap_or(usize::MAX);
            return Ok(Self::Whole(body.collect(limit).await?));
        }
        let size = usize::try_from(plan.part_size).unwrap_or(usize::MAX);
        let body = match body.whole()? {
            Ok(whole) if whole.len() <= size => return Ok(Self::Whole(whole)),
            Ok(whole) => Body::from(whole),
            Err(pieces) => pieces,
        };
        let mut rest = Cut::new(body, plan);
        let first = rest.next().await?.unwrap_or_default();
        if first.len() < size {
            return Ok(Self::Whole(first));
        }
        // A body that ends with its first part is stored whole.
        let has_more = rest.peek().await?;
        Ok(if has_more { Self::Part(first, rest.into()) } else { Self::Whole(first) })
    }
}

impl<'d> IntoFuture for Put<'d> {
    type Output = Result<Stored>;
    type IntoFuture = BoxFuture<'d, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<'d> IntoFuture for Put<'d, InParts> {
    type Output = Result<Upload>;
    type IntoFuture = BoxFuture<'d, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<How: fmt::Debug> fmt::Debug for Put<'_, How> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Put")
            .field("disk", &self.disk)
            .field("key", &self.key)
            .field("how", &self.how)
            .field("write", &self.write)
            .finish_non_exhaustive()
    }
}
