//! Rules on what is read.

use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use switchboard_core::ErrorKind;
use switchboard_testkit::rules::{Verdict, ensure, equal, refused};

use super::Failure;
use super::Subject;
use super::subject::{at_once, filled, held, place};
use crate::{ByteRange, Disk, Key, Object, Read, capability};

/// And it is told as what it is, whoever asks.
pub(super) async fn nothing_is_found_where_nothing_is(on: &Subject) -> Verdict {
    let disk = on.disk();
    for key in ["nothing", "no/thing"] {
        refused(disk.head(key).await, ErrorKind::NotFound, "a look at nothing")?;
        refused(disk.read(key).await, ErrorKind::NotFound, "reading nothing")?;
        refused(disk.get(key).await, ErrorKind::NotFound, "opening nothing")?;
        refused(disk.get(key).range(0..1).await, ErrorKind::NotFound, "a part of nothing")?;
        equal(&disk.exists(key).await?, &false, "whether nothing is there")?;
    }
    // What is beneath a key is not the key.
    on.stock("beneath/it", "…").await?;
    refused(disk.head("beneath").await, ErrorKind::NotFound, "a look at a directory")?;
    refused(disk.read("beneath").await, ErrorKind::NotFound, "reading a directory")?;
    refused(disk.head("beneath/it/not").await, ErrorKind::NotFound, "a look beneath an object")?;
    Ok(())
}

/// Suffixes, and what goes beyond the end, included.
pub(super) async fn a_range_is_the_bytes_that_it_names(on: &Subject) -> Verdict {
    let bytes = filled(1_000, 1);
    on.stock("object", bytes.clone()).await?;
    let ranges = [
        (ByteRange::Span(0..1), 0..1),
        (ByteRange::Span(0..10), 0..10),
        (ByteRange::Span(1..2), 1..2),
        (ByteRange::Span(500..501), 500..501),
        (ByteRange::Span(123..877), 123..877),
        (ByteRange::Span(0..999), 0..999),
        (ByteRange::Span(0..1_000), 0..1_000),
        (ByteRange::Span(0..1_001), 0..1_000),
        (ByteRange::Span(999..1_000), 999..1_000),
        (ByteRange::Span(999..5_000), 999..1_000),
        (ByteRange::Span(10..u64::MAX), 10..1_000),
        (ByteRange::From(0), 0..1_000),
        (ByteRange::From(1), 1..1_000),
        (ByteRange::From(999), 999..1_000),
        (ByteRange::Last(1), 999..1_000),
        (ByteRange::Last(10), 990..1_000),
        (ByteRange::Last(999), 1..1_000),
        (ByteRange::Last(1_000), 0..1_000),
        (ByteRange::Last(1_001), 0..1_000),
        (ByteRange::Last(u64::MAX), 0..1_000),
    ];
    for (range, expected) in ranges {
        let object = on.disk().get("object").range(range.clone()).await?;
        equal(&object.range(), &expected, &format!("what {range:?} is told to be"))?;
        equal(&object.meta().size, &1_000, "the size of the whole")?;
        let read = object.bytes(2_000).await?;
        let at = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let wanted = bytes.slice(at(expected.start)..at(expected.end));
        ensure(read == wanted, || {
            format!("{range:?} is {} other bytes than the {}", read.len(), wanted.len())
        })?;
    }
    Ok(())
}

/// At the end, beyond it, and of an empty object.
pub(super) async fn a_range_without_bytes_is_refused(on: &Subject) -> Verdict {
    on.stock("object", filled(1_000, 1)).await?;
    on.stock("empty", Bytes::new()).await?;
    let none = ByteRange::Last(0);
    for range in [(1_000..1_001).into(), (1_001..2_000).into(), (5..5).into(), none.clone()] {
        let get = on.disk().get("object").range(range);
        refused(get.await, ErrorKind::InvalidInput, "a range without bytes")?;
    }
    for range in [ByteRange::From(1_000), ByteRange::From(u64::MAX)] {
        let get = on.disk().get("object").range(range);
        refused(get.await, ErrorKind::InvalidInput, "a range from the end on")?;
    }
    for range in [(0..1).into(), ByteRange::From(0), ByteRange::Last(1), none] {
        let get = on.disk().get("empty").range(range);
        refused(get.await, ErrorKind::InvalidInput, "a range of an empty object")?;
    }
    equal(&on.disk().read("empty").await?.len(), &0, "the bytes of an empty object")
}

/// By its version, and by its time.
pub(super) async fn what_is_unchanged_is_not_sent_again(on: &Subject) -> Verdict {
    on.stock("object", "first").await?;
    let first = on.disk().head("object").await?;
    let unless = Read { unless: Some(first.version.clone()), ..Read::default() };
    ensure(!is_sent(on.disk(), &unless).await?, || "an unchanged object is sent".to_owned())?;
    let since = Read { since: Some(first.modified), ..Read::default() };
    ensure(!is_sent(on.disk(), &since).await?, || {
        "an object that was not stored since then is sent".to_owned()
    })?;
    let earlier = Some(first.modified - Duration::from_secs(100));
    let since = Read { since: earlier, ..Read::default() };
    ensure(is_sent(on.disk(), &since).await?, || {
        "an object that was stored since then is not sent".to_owned()
    })?;
    on.stock("object", "second").await?;
    ensure(is_sent(on.disk(), &unless).await?, || "a changed object is not sent".to_owned())?;
    let place = Read { unless: Some(first.version), ..Read::default() };
    let missing = asked(on.disk(), "missing", &place).await;
    refused(missing, ErrorKind::NotFound, "nothing, unless it is a version").map(drop)
}

async fn is_sent(disk: &Disk, read: &Read) -> switchboard_core::Result<bool> {
    asked(disk, "object", read).await
}

/// What the driver itself answers.
async fn asked(disk: &Disk, key: &str, read: &Read) -> switchboard_core::Result<bool> {
    let held = held(disk)?;
    let place = place(&held, key);
    Ok(held.driver().get(Key::parse(&place)?, read).await?.is_some())
}

pub(super) async fn a_version_that_is_asked_for_is_read_or_refused(on: &Subject) -> Verdict {
    on.stock("object", "first").await?;
    let first = on.disk().head("object").await?.version;
    let read = on.disk().get("object").only(&first).await?.bytes(100).await?;
    ensure(read == "first", || format!("of the version that is there {read:?} is read"))?;
    let part = on.disk().get("object").only(&first).range(1..3).await?.bytes(100).await?;
    ensure(part == "ir", || format!("of a part of the version {part:?} is read"))?;
    on.stock("object", "second").await?;
    let second = on.disk().head("object").await?.version;
    ensure(first != second, || "both have the same version".to_owned())?;
    let get = on.disk().get("object").only(&first);
    refused(get.await, ErrorKind::PreconditionFailed, "a version that was replaced")?;
    let get = on.disk().get("object").only(&first).range(1..3);
    refused(get.await, ErrorKind::PreconditionFailed, "a part of a version that was replaced")?;
    Ok(())
}

/// It is the old one whole, or a conflict.
pub(super) async fn an_object_that_is_replaced_while_it_is_read_is_never_a_mix(
    on: &Subject,
) -> Verdict {
    let (old, new) = (filled(READ_IN_PIECES, 1), filled(READ_IN_PIECES, 2));
    on.stock("replaced", old.clone()).await?;
    let mut reading = on.disk().get("replaced").await?;
    let first = reading.try_next().await?;
    on.stock("replaced", new.clone()).await?;
    ensure_old_or_conflict(first, reading, &old).await?;
    equal(&on.disk().read("replaced").await?.len(), &new.len(), "the size of the new one")?;
    if !on.can(capability::WRITE) {
        return Ok(());
    }
    on.stock("deleted", old.clone()).await?;
    let mut reading = on.disk().get("deleted").await?;
    let first = reading.try_next().await?;
    on.disk().delete("deleted").await?;
    ensure_old_or_conflict(first, reading, &old).await
}

/// Of an object that changed after its first piece was read.
pub(super) async fn ensure_old_or_conflict(
    first: Option<Bytes>,
    rest: Object,
    old: &Bytes,
) -> Verdict {
    let first = first.unwrap_or_default();
    match rest.bytes(old.len()).await {
        Ok(rest) => ensure([first, rest].concat() == old[..], || {
            "an object that was replaced while it was read is a mix, or not whole".to_owned()
        }),
        Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
        Err(error) => Err(Failure::new(format!("replaced while it is read: {error:?}"))),
    }
}

pub(super) async fn many_readers_at_once_read_the_same(on: &Subject) -> Verdict {
    let bytes = filled(100_000, 1);
    on.stock("shared", bytes.clone()).await?;
    let reads = at_once(READERS, |_| {
        let disk = on.disk().clone();
        async move { disk.read("shared").await }
    });
    for read in reads.await? {
        ensure(read? == bytes, || "a reader among many read other bytes".to_owned())?;
    }
    Ok(())
}

const READ_IN_PIECES: usize = 4 << 20;
const READERS: usize = 64;
