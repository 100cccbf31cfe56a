//! Rules on objects that come in parts, asked of the driver itself.

use std::time::Duration;

use bytes::Bytes;
use switchboard_core::{Class, ErrorKind, Held, Result, Settings};
use switchboard_testkit::rules::{Verdict, ensure, equal, failed, refused};

use super::Subject;
use super::subject::{ensure_content, ensure_keys, filled, held, place, plain};
use crate::{
    Checksum, Condition, Disks, Key, Part, PartTag, StorageDriver, Stored, UploadId, Write,
    capability,
};

/// An object on its way, in parts of the least size that there may be.
struct Way {
    held: Held<Disks>,
    place: String,
    upload: UploadId,
    write: Write,
    size: u64,
}

impl Way {
    async fn begin(on: &Subject, key: &str, write: Write) -> Result<Self> {
        let held = held(on.disk())?;
        let place = place(&held, key);
        let size = held.driver().limits().part_min.max(1_000);
        let upload = held.driver().begin(Key::parse(&place)?, &write).await?;
        Ok(Self { held, place, upload, write, size })
    }

    fn driver(&self) -> &dyn StorageDriver {
        self.held.driver()
    }

    fn key(&self) -> Result<Key<'_>> {
        Key::parse(&self.place)
    }

    /// The bytes of a part that is not the last.
    fn full(&self, seed: u32) -> Bytes {
        filled(usize::try_from(self.size).unwrap_or(usize::MAX), seed)
    }

    async fn keep(&self, number: u32, content: &Bytes) -> Result<PartTag> {
        let part = Part { number, size: self.size, checksum: Checksum::of(content) };
        self.driver().part(self.key()?, &self.upload, part, content.clone()).await
    }

    async fn complete(&self, parts: &[PartTag]) -> Result<Stored> {
        self.driver().complete(self.key()?, &self.upload, parts, &self.write).await
    }

    async fn abort(&self) -> Result<()> {
        self.driver().abort(self.key()?, &self.upload).await
    }
}

/// With all that was said when it was begun, and the sum of the whole that is known at its end.
pub(super) async fn parts_make_one_object_whatever_the_order_they_came_in(on: &Subject) -> Verdict {
    let write = Write { attributes: on.attributes(), ..Write::default() };
    let mut way = Way::begin(on, "parts/ä b", write).await?;
    let (first, second, last) = (way.full(1), way.full(2), Bytes::from_static(b"last"));
    let third = way.keep(2, &last).await?;
    let one = way.keep(0, &first).await?;
    let two = way.keep(1, &second).await?;
    let whole = [&first[..], &second, &last].concat();
    way.write.checksum = Some(Checksum::of(&whole));
    let stored = way.complete(&[one, two, third]).await?;
    equal(&stored.size, &(whole.len() as u64), "the size of what came in parts")?;
    ensure_content(on.disk(), "parts/ä b", &whole, "after its parts were put together").await?;
    let meta = on.disk().head("parts/ä b").await?;
    equal(&meta.version, &stored.version, "the version of what came in parts")?;
    on.ensure_said(&meta, &on.attributes(), "what is said of what came in parts")?;
    if on.can(capability::CHECKSUM) {
        equal(&meta.checksum, &way.write.checksum, "the checksum of what came in parts")?;
    }
    Ok(())
}

/// A part whose answer was lost is sent again.
pub(super) async fn the_last_part_of_a_number_counts(on: &Subject) -> Verdict {
    let way = Way::begin(on, "key", Write::default()).await?;
    let (wrong, right, last) = (way.full(1), way.full(2), Bytes::from_static(b"last"));
    way.keep(0, &wrong).await?;
    way.keep(1, &Bytes::from_static(b"another end")).await?;
    let one = way.keep(0, &right).await?;
    let two = way.keep(1, &last).await?;
    way.complete(&[one, two]).await?;
    let whole = [&right[..], &last].concat();
    ensure_content(on.disk(), "key", &whole, "after parts that were sent again").await
}

/// What is under its key meanwhile is what was there.
pub(super) async fn what_is_on_its_way_cannot_be_seen(on: &Subject) -> Verdict {
    on.disk().put("old", "as it was").await?;
    for key in ["old", "new"] {
        let way = Way::begin(on, key, Write::default()).await?;
        as_before(on, "while an upload begins").await?;
        let only = Bytes::from_static(b"the only part");
        let one = way.keep(0, &only).await?;
        as_before(on, "while parts are on their way").await?;
        way.complete(&[one]).await?;
        ensure_content(on.disk(), key, &only, "after its part was put together").await?;
        on.disk().put("old", "as it was").await?;
    }
    Ok(())
}

async fn as_before(on: &Subject, when: &str) -> Verdict {
    ensure_content(on.disk(), "old", b"as it was", when).await?;
    ensure(!on.disk().exists("new").await?, || format!("{when} something can be seen of it"))?;
    if !on.can(capability::LIST) {
        return Ok(());
    }
    ensure_keys(on.disk(), &["old"], when).await
}

/// Given up twice as well.
pub(super) async fn what_is_given_up_leaves_nothing(on: &Subject) -> Verdict {
    on.disk().put("old", "as it was").await?;
    for key in ["old", "new"] {
        let way = Way::begin(on, key, Write::default()).await?;
        way.keep(0, &Bytes::from_static(b"given up")).await?;
        for _ in 0..2 {
            way.abort().await?;
        }
        as_before(on, "after an upload was given up").await?;
    }
    if !on.is_alone()? {
        return Ok(());
    }
    let left = held(on.disk())?.driver().sweep(Duration::ZERO).await?;
    equal(&left, &0, "what is left to sweep of what was given up")
}

/// A server that only stands in for another may break on what it does not know.
fn ensure_gone(completed: Result<Stored>, what: &str) -> Verdict {
    let error = failed(completed, what)?;
    let is_so = error.kind() == ErrorKind::NotFound || error.class() == Class::Outage;
    ensure(is_so, || format!("{what} is to be not found, and is {error:?}"))
}

/// At its completion, whatever was there when it began.
pub(super) async fn parts_are_made_an_object_only_where_the_condition_holds(
    on: &Subject,
) -> Verdict {
    let content = Bytes::from_static(b"in parts");
    if on.can(capability::CREATE) {
        let write = Write { condition: Condition::Absent, ..plain(&content) };
        let way = Way::begin(on, "created", write.clone()).await?;
        let one = way.keep(0, &content).await?;
        on.disk().put("created", "somebody else").await?;
        let late = way.complete(&[one]).await;
        refused(late, ErrorKind::AlreadyExists, "a creation in parts that is late")?;
        ensure_content(on.disk(), "created", b"somebody else", "after a late creation").await?;
        way.abort().await?;
        let way = Way::begin(on, "fresh", write).await?;
        let one = way.keep(0, &content).await?;
        way.complete(&[one]).await?;
        ensure_content(on.disk(), "fresh", &content, "after a creation in parts").await?;
    }
    if on.can(capability::REPLACE) {
        let first = on.disk().put("replaced", "first").await?.version;
        let write = Write { condition: Condition::Version(first), ..plain(&content) };
        let way = Way::begin(on, "replaced", write).await?;
        let one = way.keep(0, &content).await?;
        on.disk().put("replaced", "somebody else").await?;
        let late = way.complete(&[one]).await;
        refused(late, ErrorKind::PreconditionFailed, "a replacement in parts that is late")?;
        ensure_content(on.disk(), "replaced", b"somebody else", "after a late replacement").await?;
        way.abort().await?;
    }
    Ok(())
}

/// It needs nothing but what the driver called the upload and its parts, in writing.
pub(super) async fn what_one_process_began_another_completes(on: &Subject) -> Verdict {
    let way = Way::begin(on, "key", Write::default()).await?;
    let (first, last) = (way.full(1), Bytes::from_static(b"last"));
    let one = way.keep(0, &first).await?.0;
    let (place, upload, size) = (way.place.clone(), way.upload.0.clone(), way.size);
    drop(way);
    let resumed = on.another(Settings::new()).await?;
    on.disk().put("seen", "…").await?;
    // A driver that keeps its objects in itself has no other process that could know of them.
    let is_shared = resumed.exists("seen").await?;
    let held = held(if is_shared { &resumed } else { on.disk() })?;
    let (upload, write) = (UploadId(upload), Write::default());
    let way = Way { held, place, upload, write, size };
    let two = way.keep(1, &last).await?;
    way.complete(&[PartTag(one), two]).await?;
    let whole = [&first[..], &last].concat();
    ensure_content(on.disk(), "key", &whole, "after another process completed it").await
}

/// And what somebody may still go on with is not.
pub(super) async fn what_nobody_goes_on_with_is_swept(on: &Subject) -> Verdict {
    let way = Way::begin(on, "fresh", Write::default()).await?;
    let content = Bytes::from_static(b"fresh");
    let one = way.keep(0, &content).await?;
    way.driver().sweep(CENTURY).await?;
    way.complete(&[one]).await?;
    ensure_content(on.disk(), "fresh", &content, "after a sweep of what is old").await?;
    if !on.is_alone()? {
        // Somebody else is at work on the same service, whose parts would be swept as well.
        return Ok(());
    }
    let way = Way::begin(on, "left", Write::default()).await?;
    let one = way.keep(0, &content).await?;
    let swept = way.driver().sweep(Duration::ZERO).await?;
    ensure(swept > 0, || "nothing was swept of what nobody goes on with".to_owned())?;
    ensure_gone(way.complete(&[one]).await, "an upload that was swept")?;
    let again = way.driver().sweep(Duration::ZERO).await?;
    equal(&again, &0, "what is left to sweep")?;
    ensure_content(on.disk(), "fresh", &content, "after everything was swept").await?;
    let is_there = on.disk().exists("left").await?;
    ensure(!is_there, || "what was swept is there".to_owned())
}

/// A server that only stands in for another may not know when anything began.
const CENTURY: Duration = Duration::from_hours(24 * 365 * 100);
