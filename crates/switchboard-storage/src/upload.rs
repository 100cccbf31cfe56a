//! Storing an object part by part: what is known of the parts, and when they are an object.
//!
//! How a body is cut into parts is in `cut`; what goes on in another process, in `resume`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use switchboard_core::{
    Effect, Error, ErrorKind, Gates, Held, Leased, Policy, Result, Source, Subsystem as _,
    execute_with_resilience,
};

use crate::cut::Plan;
use crate::disk::{about, op};
use crate::doubt::Doubt;
use crate::driver::{Part, PartTag, Stored, UploadId, Write, another_sum};
use crate::resume::UploadState;
use crate::store::Store;
use crate::{Checksum, Disk, Disks};

/// An object that comes part by part, in any order and some at the same time. It is there once it is
/// [finished](Self::finish), and not before.
///
/// It can go on in another process, with its [`state`](Self::state). An upload of which nobody has the state is
/// given up when it is dropped; once somebody asked for it, the upload stays until it is finished,
/// [given up](Self::abort) or [swept](Disk::sweep).
///
/// ```
/// # use switchboard_core::{Environment, Manager, Registry, Settings};
/// # use switchboard_storage::Disks;
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
/// # runtime.block_on(async {
/// # let disks = Manager::<Disks>::new(Registry::with_built_ins()?, &Environment::new())?;
/// # disks.configure("main", &Settings::new().with("driver", "memory"))?;
/// # let disk = disks.handle("main")?;
/// let upload = disk.upload("film").part_size(4).await?;
/// upload.push("once").await?;
/// let state = serde_json::to_string(&upload.state()).unwrap();
/// drop(upload);
///
/// // Later, or elsewhere.
/// let state = serde_json::from_str(&state).unwrap();
/// let mut upload = disk.resume(&state).await?;
/// assert_eq!(upload.offset(), 4);
/// upload.part(2, "time").await?;
/// upload.part(1, " at a").await.unwrap_err();
/// upload.part(1, " a  ").await?;
/// upload.finish().await?;
/// assert_eq!(disk.read("film").await?, "once a  time");
/// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
/// ```
pub struct Upload {
    pub(crate) disk: Disk,
    /// Where in the disk the object comes.
    pub(crate) place: String,
    /// None once there is nothing to give up.
    pub(crate) begun: Option<Leased<Disks, UploadId>>,
    pub(crate) write: Write,
    pub(crate) plan: Plan,
    pub(crate) parts: Mutex<Parts>,
    /// How often each request is made: the line has no part in what was begun.
    pub(crate) again: Gates,
    /// Whether it may have been finished already.
    pub(crate) doubt: Doubt,
    /// Whether somebody can go on with it who is not here.
    pub(crate) stays: AtomicBool,
}

/// What is known of the parts of an object.
#[derive(Default)]
pub(crate) struct Parts {
    pub(crate) kept: BTreeMap<u32, KeptPart>,
    /// How long those are that are on their way.
    sent: BTreeMap<u32, u64>,
}

/// All parts of an object in their order, how long they are together, and their sum.
struct Whole {
    tags: Vec<PartTag>,
    size: u64,
    checksum: Checksum,
}

impl Whole {
    /// What was stored, if it is this. Where an earlier answer was lost, or the process that was given it, the
    /// upload may have been finished with more parts than are known here.
    fn is(&self, stored: Stored) -> Result<Stored> {
        let is_other = stored.checksum.is_some_and(|checksum| checksum != self.checksum);
        if stored.size == self.size && !is_other {
            return Ok(Stored { checksum: Some(self.checksum), ..stored });
        }
        Err(Error::new(ErrorKind::Conflict, "the upload was finished with other parts")
            .with_context("stored_size_bytes", stored.size)
            .with_context("size_bytes", self.size)
            .not_applied())
    }
}

/// A part that the service keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptPart {
    pub(crate) tag: PartTag,
    pub(crate) size: u64,
    pub(crate) checksum: Checksum,
}

impl Upload {
    pub(crate) async fn begin(disk: Disk, place: String, write: Write, plan: Plan) -> Result<Self> {
        let (asked, at) = (&write, &*place);
        let ask = |store: Held<Disks>| async move { store.begin(at, asked).await };
        let begun = disk.line().open(op::BEGIN, ask).await?;
        let again = again(&disk, &begun)?;
        let (begun, parts) = (Some(begun), Mutex::default());
        let (doubt, stays) = (Doubt::default(), AtomicBool::new(false));
        Ok(Self { disk, place, begun, write, plan, parts, again, doubt, stays })
    }

    /// The key of the object, as this disk writes it.
    pub fn key(&self) -> &str {
        self.disk.key_of(&self.place)
    }

    /// How long every part is, in bytes, but for the last.
    pub fn part_size(&self) -> u64 {
        self.plan.part_size
    }

    /// How many bytes from the beginning are kept without a gap: where a sender goes on.
    pub fn offset(&self) -> u64 {
        self.parts().beginning().map(|(_, part)| part.size).sum()
    }

    /// Whether the part of that number is kept; the first is zero.
    pub fn has_part(&self, number: u32) -> bool {
        self.parts().kept.contains_key(&number)
    }

    /// Keeps `content` as the part of that number; the first is zero. It is tried again alone, as often and within
    /// the time that the policy of the disk says for one attempt.
    ///
    /// All parts but the last must have [`part_size`](Self::part_size): else
    /// [`ErrorKind::InvalidInput`]. A part that is kept already is not sent again; with other bytes it is
    /// [`ErrorKind::AlreadyExists`].
    pub async fn part(&self, number: u32, content: impl Into<Bytes>) -> Result<()> {
        let content = content.into();
        let sent = self.send(number, content).await;
        sent.map_err(|error| about(error, self.key()).with_context("part", number))
    }

    async fn send(&self, number: u32, content: Bytes) -> Result<()> {
        let Some(begun) = &self.begun else {
            return self.disk.placed(op::PART, Err(ended()));
        };
        let checksum = Checksum::of(&content);
        let part = Part { number, size: self.plan.length_of(number), checksum };
        let size = content.len() as u64;
        let Some(sending) = self.disk.placed(op::PART, self.admit(part, size))? else {
            return Ok(());
        };
        let (id, step) = begun.shared();
        let store: &Store = begun.driver();
        let keep = || store.part(&self.place, id, part, content.clone());
        let keep = execute_with_resilience(&self.again, Effect::Idempotent, keep);
        let tag = step.run(op::PART, keep).await?;
        self.parts().kept.insert(number, KeptPart { tag, size, checksum });
        drop(sending);
        Ok(())
    }

    /// Keeps `content` as the part after those that are kept from the beginning: for senders that go from the
    /// first part to the last.
    pub async fn push(&self, content: impl Into<Bytes>) -> Result<()> {
        let next = self.parts().beginning().count();
        self.part(u32::try_from(next).unwrap_or(u32::MAX), content).await
    }

    /// What is needed to go on with it elsewhere, with [`Disk::resume`]: no secret, and small beside the object.
    pub fn state(&self) -> UploadState {
        self.stays.store(true, Ordering::Relaxed);
        UploadState::of(self)
    }

    /// Makes one object of the parts, under its key, where the condition allows it.
    ///
    /// A part that is missing is [`ErrorKind::InvalidInput`]; without any the object is empty. That it was finished
    /// before with other parts, by somebody who has its state, is [`ErrorKind::Conflict`]. After an error the upload
    /// is as it was.
    pub async fn finish(&mut self) -> Result<Stored> {
        let finished = self.finished().await;
        let stored = finished.map_err(|error| about(error, self.key()))?;
        self.begun = None;
        Ok(stored)
    }

    async fn finished(&mut self) -> Result<Stored> {
        let whole = self.disk.placed(op::COMPLETE, self.whole())?;
        let stored = match self.complete(&whole).await {
            Err(error) => self.disk.resolve(&self.place, &self.write, error).await,
            stored => stored,
        };
        self.disk.placed(op::COMPLETE, whole.is(stored?))
    }

    /// What is to be stored, if nothing of it is missing.
    fn whole(&self) -> Result<Whole> {
        let whole = self.parts().whole()?;
        if self.write.checksum.is_some_and(|expected| expected != whole.checksum) {
            return Err(another_sum());
        }
        Ok(whole)
    }

    async fn complete(&mut self, whole: &Whole) -> Result<Stored> {
        let Some(begun) = &self.begun else {
            return self.disk.placed(op::COMPLETE, Err(ended()));
        };
        let Whole { tags, checksum, .. } = whole;
        let write = Write { checksum: Some(*checksum), ..self.write.clone() };
        let (id, step) = begun.shared();
        let store: &Store = begun.driver();
        let stored = if tags.is_empty() {
            // No service makes an object of no parts.
            let put = store.put(&self.place, Bytes::new(), &write, &self.doubt);
            let stored = step.run(op::PUT, put).await?;
            self.give_up();
            stored
        } else {
            let complete = || store.complete(&self.place, id, tags, &write, &self.doubt);
            let complete = execute_with_resilience(&self.again, Effect::Keyed, complete);
            step.run(op::COMPLETE, complete).await?
        };
        Ok(stored)
    }

    /// Gives it up: nothing of it stays.
    pub async fn abort(mut self) -> Result<()> {
        let Some(begun) = &self.begun else { return Ok(()) };
        let (id, step) = begun.shared();
        let store: &Store = begun.driver();
        let aborted = step.end(op::ABORT, store.abort(&self.place, id)).await;
        aborted.map_err(|error| about(error, self.key()))?;
        self.begun = None;
        Ok(())
    }

    /// Leaves it to the reaper to give it up.
    fn give_up(&mut self) {
        let Some(begun) = self.begun.take() else { return };
        let place = std::mem::take(&mut self.place);
        let reaper = self.disk.line().environment().reaper();
        drop(reaper.submit("give up an upload", ABORT_LIMIT, async move {
            let (upload, step) = begun.shared();
            let store: &Store = begun.driver();
            step.end(op::ABORT, store.abort(&place, upload)).await
        }));
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the service calls it.
    pub(crate) fn id(&self) -> String {
        self.begun.as_ref().map(|begun| begun.shared().0.0.clone()).unwrap_or_default()
    }

    pub(crate) fn kept(&self) -> BTreeMap<u32, KeptPart> {
        self.parts().kept.clone()
    }

    /// Whether a part may be sent; `None` if it is kept already.
    fn admit(&self, part: Part, size: u64) -> Result<Option<Sending<'_>>> {
        if part.number >= self.plan.parts_max {
            return Err(too_many_parts(self.plan));
        }
        let mut parts = self.parts();
        if let Some(kept) = parts.kept.get(&part.number) {
            let is_same = kept.size == size && kept.checksum == part.checksum;
            return if is_same { Ok(None) } else { Err(other_bytes()) };
        }
        parts.fits(part, size, |number| self.plan.length_of(number))?;
        parts.sent.insert(part.number, size);
        Ok(Some(Sending { upload: self, number: part.number }))
    }
}

/// A part on its way, until it is kept or given up.
struct Sending<'u> {
    upload: &'u Upload,
    number: u32,
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.upload.parts().sent.remove(&self.number);
    }
}

impl Parts {
    /// The parts from the first up to a gap.
    fn beginning(&self) -> impl Iterator<Item = (u32, &KeptPart)> {
        let numbered = (0_u32..).zip(&self.kept);
        numbered.take_while(|(at, (number, _))| at == *number).map(|(at, (_, part))| (at, part))
    }

    /// Whether a part of that length can be beside the others: all but the last are as long as `length_of` says.
    pub(crate) fn fits(&self, part: Part, size: u64, length_of: impl Fn(u32) -> u64) -> Result<()> {
        if self.sent.contains_key(&part.number) {
            return Err(other_bytes());
        }
        let wrong = |why| {
            Err(Error::new(ErrorKind::InvalidInput, why)
                .with_context("size_bytes", size)
                .with_context("part_size_bytes", part.size)
                .not_applied())
        };
        if size == 0 {
            return wrong("a part has no bytes");
        }
        if size > part.size {
            return wrong("a part is longer than all parts are");
        }
        let mut others = self.sizes();
        let last = others.clone().map(|(number, _)| number).max();
        if size < part.size && last.is_some_and(|last| last > part.number) {
            return wrong("a part is shorter than all parts are, and not the last");
        }
        if others.any(|(number, other)| other < length_of(number) && number < part.number) {
            return wrong("a part comes after one that is shorter than all parts are");
        }
        Ok(())
    }

    fn sizes(&self) -> impl Iterator<Item = (u32, u64)> + Clone {
        let kept = self.kept.iter().map(|(number, part)| (*number, part.size));
        kept.chain(self.sent.iter().map(|(number, size)| (*number, *size)))
    }

    /// All parts, if none is missing.
    fn whole(&self) -> Result<Whole> {
        if let Some(number) = self.sent.keys().next() {
            return Err(Error::new(ErrorKind::InvalidInput, "a part is still on its way")
                .with_context("part", number)
                .not_applied());
        }
        let (mut tags, mut size, mut sum) = (Vec::new(), 0, Checksum::EMPTY);
        for (_, part) in self.beginning() {
            tags.push(part.tag.clone());
            size += part.size;
            sum = sum.join(part.checksum, usize::try_from(part.size).unwrap_or(usize::MAX));
        }
        if tags.len() < self.kept.len() {
            return Err(Error::new(ErrorKind::InvalidInput, "a part is missing")
                .with_context("part", tags.len())
                .not_applied());
        }
        Ok(Whole { tags, size, checksum: sum })
    }
}

/// What a request inside of an upload goes through: of the gates of whoever opened it those that try again.
pub(crate) fn again(disk: &Disk, begun: &Leased<Disks, UploadId>) -> Result<Gates> {
    let policy = begun.gates().map(|gates| gates.policy().clone()).unwrap_or_default();
    let Policy { retry, attempt_timeout, .. } = policy;
    let policy = Policy { retry, attempt_timeout, ..Policy::default() };
    let source = Source::new(Disks::NAME, disk.line().instance());
    Gates::new(policy, source, disk.line().environment())
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !*self.stays.get_mut() {
            self.give_up();
        }
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
            .field("place", &self.place)
            .field("part_size", &self.plan.part_size)
            .field("offset", &self.offset())
            .finish_non_exhaustive()
    }
}

fn too_many_parts(plan: Plan) -> Error {
    Error::new(ErrorKind::TooLarge, "the object has more parts than the service takes")
        .with_context("parts_max", plan.parts_max)
        .with_context("part_size_bytes", plan.part_size)
        .with_hint("say how long it is, or make `part_size` larger")
        .not_applied()
}

fn other_bytes() -> Error {
    Error::new(ErrorKind::AlreadyExists, "there is another part of that number").not_applied()
}

fn ended() -> Error {
    Error::new(ErrorKind::InvalidInput, "the upload has ended").not_applied()
}

/// How long giving one up may take.
const ABORT_LIMIT: Duration = Duration::from_secs(10);
