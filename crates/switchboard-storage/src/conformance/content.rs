//! Rules on what is stored: bytes, and what is said of them.

use std::time::Duration;

use bytes::Bytes;
use switchboard_core::{Clock, Error, ErrorKind, Outcome};
use switchboard_testkit::rules::{Verdict, ensure, equal, failed, refused};

use super::Subject;
use super::subject::{ensure_absent, ensure_content, filled, length};
use crate::{Body, Checksum, capability};

/// None, one, and every byte there is.
pub(super) async fn bytes_come_back_as_they_were_put(on: &Subject) -> Verdict {
    let every_byte: Vec<u8> = (0..=255).collect();
    for (key, bytes) in [("none", &b""[..]), ("one", b"v"), ("zero", b"\0"), ("every", &every_byte)]
    {
        comes_back(on, key, Bytes::copy_from_slice(bytes)).await?;
    }
    Ok(())
}

/// About the length where disks begin to cut objects into parts.
pub(super) async fn large_objects_come_back_to_the_last_byte(on: &Subject) -> Verdict {
    for size in [PART - 1, PART, PART + 1] {
        comes_back(on, &format!("large/{size}"), filled(size, 7)).await?;
    }
    Ok(())
}

/// And what is told of them, when they are stored and afterwards, agrees.
async fn comes_back(on: &Subject, key: &str, bytes: Bytes) -> Verdict {
    let stored = on.disk().put(key, bytes.clone()).await?;
    ensure_content(on.disk(), key, &bytes, "after a put").await?;
    equal(&stored.size, &length(&bytes), "the size that was stored")?;
    let meta = on.disk().head(key).await?;
    equal(&meta.version, &stored.version, "the version that is told")?;
    let object = on.disk().get(key).await?;
    equal(&object.meta().version, &stored.version, "the version that is read")?;
    equal(&object.meta().size, &length(&bytes), "the size of what is read")?;
    if on.can(capability::CHECKSUM) {
        let sum = Some(Checksum::of(&bytes));
        equal(&meta.checksum, &sum, "the checksum that is told")?;
        equal(&object.meta().checksum, &sum, "the checksum of what is read")?;
    }
    Ok(())
}

/// In a look at it, and when it is read.
pub(super) async fn what_is_said_of_an_object_comes_back(on: &Subject) -> Verdict {
    if !on.can(capability::ATTRIBUTES) {
        return Ok(());
    }
    let told = on.attributes();
    on.disk().put("note", "…").attributes(told.clone()).await?;
    equal(&on.disk().head("note").await?.attributes, &told, "what a look says")?;
    equal(&on.disk().get("note").await?.meta().attributes, &told, "what reading says")?;
    let mut full = told;
    full.metadata = [("m".to_owned(), "v".repeat(2047))].into();
    on.disk().put("full", "…").attributes(full.clone()).await?;
    equal(&on.disk().head("full").await?.attributes, &full, "as much metadata as there may be")?;
    let mut bare = full;
    bare.metadata = [("bare".to_owned(), String::new())].into();
    match on.disk().put("bare", "…").attributes(bare.clone()).await {
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => equal(&on.disk().head("bare").await?.attributes, &bare, "an empty value"),
    }
}

/// Nothing stays of the object before.
pub(super) async fn put_replaces_the_bytes_and_what_is_said_of_them(on: &Subject) -> Verdict {
    let first = on.disk().put("note", "first, and longer").attributes(on.attributes()).await?;
    let second = on.disk().put("note", "second").content_type("text/html").await?;
    ensure(first.version != second.version, || "both have the same version".to_owned())?;
    ensure_content(on.disk(), "note", b"second", "after a second put").await?;
    if on.can(capability::ATTRIBUTES) {
        let there = on.disk().head("note").await?.attributes;
        equal(&there.content_type.as_deref(), &Some("text/html"), "the kind of content")?;
        let is_left = !there.metadata.is_empty()
            || there.cache_control.is_some()
            || there.content_disposition.is_some()
            || there.content_encoding.is_some()
            || there.content_language.is_some();
        ensure(!is_left, || format!("of the object before there is still {there:?}"))?;
    }
    Ok(())
}

/// By a clock that may be that of the service.
pub(super) async fn an_object_was_stored_when_it_was_stored(on: &Subject) -> Verdict {
    let clock = Clock::system();
    let before = clock.wall();
    on.disk().put("now", "…").await?;
    let modified = on.disk().head("now").await?.modified;
    let (early, late) = (before - CLOCKS_DIFFER, clock.wall() + CLOCKS_DIFFER);
    ensure((early..late).contains(&modified), || {
        format!("an object that was stored at {before:?} says {modified:?}")
    })
}

/// Of a length that nobody knows, and in no, one and many pieces.
pub(super) async fn a_body_that_comes_in_pieces_is_stored_whole(on: &Subject) -> Verdict {
    for (key, size) in [("none", 0), ("few", 100), ("many", LARGE)] {
        let bytes = filled(size, 1);
        let stored = on.disk().put(key, in_pieces(&bytes)).await?;
        equal(&stored.size, &length(&bytes), "the size that was stored")?;
        ensure_content(on.disk(), key, &bytes, "after a put of pieces").await?;
        let known = in_pieces(&bytes).with_length(length(&bytes));
        on.disk().put(key, known).await?;
        ensure_content(on.disk(), key, &bytes, "after a put of a known length").await?;
    }
    Ok(())
}

pub(super) async fn a_body_of_another_length_than_was_said_stores_nothing(on: &Subject) -> Verdict {
    for size in [10, LARGE] {
        let bytes = filled(size, 2);
        for said in [length(&bytes) - 1, length(&bytes) + 1] {
            let wrong = || in_pieces(&bytes).with_length(said);
            stores_nothing(on, wrong, ErrorKind::InvalidInput, "a wrong length").await?;
        }
    }
    Ok(())
}

pub(super) async fn a_body_that_fails_half_way_stores_nothing(on: &Subject) -> Verdict {
    for size in [0, 10, LARGE] {
        let bytes = filled(size, 3);
        let failing = || failing_after(&bytes);
        stores_nothing(on, failing, ErrorKind::Unauthenticated, "a source that fails").await?;
    }
    Ok(())
}

async fn stores_nothing(
    on: &Subject,
    body: impl Fn() -> Body,
    kind: ErrorKind,
    what: &str,
) -> Verdict {
    on.disk().put("old", "as it was").await?;
    for key in ["new", "old"] {
        let error = failed(on.disk().put(key, body()).await, what)?;
        equal(&error.kind(), &kind, what)?;
        ensure(error.outcome() != Outcome::Applied, || format!("{what} was applied: {error:?}"))?;
    }
    if on.can(capability::LIST) {
        ensure_absent(on.disk(), "new", what).await?;
    }
    ensure(!on.disk().exists("new").await?, || format!("{what} stored something"))?;
    ensure_content(on.disk(), "old", b"as it was", what).await
}

/// Whether it is known before the first byte goes, or only after the last.
pub(super) async fn bytes_that_do_not_add_up_store_nothing(on: &Subject) -> Verdict {
    on.disk().put("old", "as it was").await?;
    let (small, large) = (Bytes::from_static(b"small"), filled(LARGE, 4));
    for bytes in [small, large] {
        let sum = Checksum::of(&bytes);
        for key in ["new", "old"] {
            let put = on.disk().put(key, in_pieces(&bytes)).checksum(sum.and(b"!"));
            refused(put.await, ErrorKind::InvalidInput, "a checksum of other bytes")?;
        }
        ensure(!on.disk().exists("new").await?, || "it was stored all the same".to_owned())?;
        ensure_content(on.disk(), "old", b"as it was", "after a wrong checksum").await?;
        on.disk().put("right", in_pieces(&bytes)).checksum(sum).await?;
        ensure_content(on.disk(), "right", &bytes, "after a right checksum").await?;
    }
    Ok(())
}

/// The same bytes, as they come from a file or a network.
pub(super) fn in_pieces(bytes: &Bytes) -> Body {
    let bytes = bytes.clone();
    let starts = (0..bytes.len()).step_by(PIECE);
    let pieces = starts.map(move |at| bytes.slice(at..bytes.len().min(at + PIECE)));
    Body::stream(futures_util::stream::iter(pieces.map(Ok::<_, Error>)))
}

fn failing_after(bytes: &Bytes) -> Body {
    // An answer that no disk gives, so that it is known again.
    let end = Error::new(ErrorKind::Unauthenticated, "the source fails on purpose");
    let end = futures_util::stream::iter([Err::<Bytes, _>(end)]);
    Body::stream(futures_util::StreamExt::chain(in_pieces(bytes), end))
}

/// As long as parts are where nothing else is said.
const PART: usize = 8 << 20;
/// More than one part, so that it may travel in several.
const LARGE: usize = PART + (PART >> 1);
const PIECE: usize = 300_000;
const CLOCKS_DIFFER: Duration = Duration::from_mins(2);
