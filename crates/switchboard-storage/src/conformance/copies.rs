//! Rules on copies and on new names, whether the service makes them or the bytes take the way over here.

use switchboard_core::ErrorKind;
use switchboard_testkit::rules::{Verdict, ensure, equal, refused};

use super::Subject;
use super::subject::{ensure_content, filled};
use crate::{Checksum, Version, capability};

/// From small ones to those that are cut into parts; and the two are two afterwards.
pub(super) async fn a_copy_has_the_bytes_and_all_that_is_said_of_them(on: &Subject) -> Verdict {
    let disk = on.disk();
    for (size, from, to) in [
        (0, "empty", "copy/empty"),
        (9, "a b/ä%2F", "copy of/ä&🗝"),
        (9 << 20, "large", "copy/large"),
    ] {
        let bytes = filled(size, 1);
        let told = on.attributes();
        disk.put(from, bytes.clone()).attributes(told.clone()).await?;
        disk.put(to, "what was there").await?;
        let stored = disk.copy(from, to).await?;
        equal(&stored.size, &(size as u64), "the size of a copy")?;
        ensure_content(disk, to, &bytes, "after a copy").await?;
        ensure_content(disk, from, &bytes, "after a copy of it").await?;
        let meta = disk.head(to).await?;
        equal(&meta.version, &stored.version, "the version of a copy")?;
        on.ensure_said(&meta, &told, "what is said of a copy")?;
        if on.can(capability::CHECKSUM) {
            equal(&meta.checksum, &Some(Checksum::of(&bytes)), "the checksum of a copy")?;
        }
        disk.put(from, "changed").await?;
        ensure_content(disk, to, &bytes, "after its source was changed").await?;
        disk.delete(from).await?;
        ensure_content(disk, to, &bytes, "after its source was deleted").await?;
    }
    Ok(())
}

pub(super) async fn a_copy_onto_itself_changes_nothing(on: &Subject) -> Verdict {
    let disk = on.disk();
    disk.put("key", "as it was").content_type("text/plain").await?;
    let before = disk.head("key").await?;
    equal(&disk.copy("key", "key").await?.version, &before.version, "its version")?;
    equal(&disk.rename("key", "key").await?.version, &before.version, "its version")?;
    equal(&disk.head("key").await?, &before, "what is known of it")?;
    ensure_content(disk, "key", b"as it was", "after a copy onto itself").await?;
    refused(disk.copy("none", "none").await, ErrorKind::NotFound, "a copy of nothing to itself")?;
    refused(disk.rename("none", "none").await, ErrorKind::NotFound, "nothing under its own name")
        .map(drop)
}

pub(super) async fn a_copy_of_nothing_is_refused_and_changes_nothing(on: &Subject) -> Verdict {
    on.disk().put("there", "as it was").await?;
    for to in ["there", "new"] {
        refused(on.disk().copy("nothing", to).await, ErrorKind::NotFound, "a copy of nothing")?;
    }
    ensure_content(on.disk(), "there", b"as it was", "after a copy of nothing").await?;
    equal(&on.disk().exists("new").await?, &false, "whether nothing was copied")
}

pub(super) async fn a_copy_may_ask_for_nothing_to_be_there(on: &Subject) -> Verdict {
    if !on.can(capability::CREATE) {
        return Ok(());
    }
    let disk = on.disk();
    disk.put("from", "new").await?;
    disk.put("there", "as it was").await?;
    let late = disk.copy("from", "there").if_absent().await;
    refused(late, ErrorKind::AlreadyExists, "a copy to where something is")?;
    ensure_content(disk, "there", b"as it was", "after a refused copy").await?;
    disk.copy("from", "fresh").if_absent().await?;
    ensure_content(disk, "fresh", b"new", "after a copy").await
}

pub(super) async fn a_copy_may_ask_for_a_version(on: &Subject) -> Verdict {
    if !on.can(capability::REPLACE) {
        return Ok(());
    }
    let disk = on.disk();
    disk.put("from", "new").await?;
    let first: Version = disk.put("there", "first").await?.version;
    let second = disk.put("there", "second").await?.version;
    let late = disk.copy("from", "there").if_version(&first).await;
    refused(late, ErrorKind::PreconditionFailed, "a copy over another version")?;
    ensure_content(disk, "there", b"second", "after a refused copy").await?;
    let gone = disk.copy("from", "gone").if_version(&first).await;
    refused(gone, ErrorKind::PreconditionFailed, "a copy over a version of nothing")?;
    disk.copy("from", "there").if_version(&second).await?;
    ensure_content(disk, "there", b"new", "after a copy").await
}

pub(super) async fn what_is_renamed_is_only_under_its_new_key(on: &Subject) -> Verdict {
    let disk = on.disk();
    let told = on.attributes();
    for (from, to) in [("old", "new"), ("dir/old", "other/dir/new"), ("ä b", "there")] {
        disk.put("there", "what was there").await?;
        disk.put(from, "content").attributes(told.clone()).await?;
        let stored = disk.rename(from, to).await?;
        equal(&disk.exists(from).await?, &false, "whether it still has its old name")?;
        ensure_content(disk, to, b"content", "after a renaming").await?;
        let meta = disk.head(to).await?;
        equal(&meta.version, &stored.version, "the version under the new name")?;
        on.ensure_said(&meta, &told, "what is said of it")?;
        disk.put(from, "another").await?;
        ensure_content(disk, to, b"content", "after another had its old name").await?;
    }
    Ok(())
}

pub(super) async fn a_renaming_of_nothing_changes_nothing(on: &Subject) -> Verdict {
    on.disk().put("there", "as it was").await?;
    for to in ["there", "new"] {
        let renamed = on.disk().rename("nothing", to).await;
        refused(renamed, ErrorKind::NotFound, "a renaming of nothing")?;
    }
    ensure_content(on.disk(), "there", b"as it was", "after a renaming of nothing").await?;
    equal(&on.disk().exists("new").await?, &false, "whether nothing was renamed")
}

pub(super) async fn a_renaming_may_ask_for_nothing_to_be_there(on: &Subject) -> Verdict {
    if !on.can(capability::CREATE) {
        return Ok(());
    }
    let disk = on.disk();
    disk.put("from", "new").await?;
    disk.put("there", "as it was").await?;
    let late = disk.rename("from", "there").if_absent().await;
    refused(late, ErrorKind::AlreadyExists, "a renaming to where something is")?;
    ensure_content(disk, "there", b"as it was", "after a refused renaming").await?;
    ensure_content(disk, "from", b"new", "after it was not renamed").await?;
    disk.rename("from", "fresh").if_absent().await?;
    ensure_content(disk, "fresh", b"new", "after a renaming").await?;
    let is_left = disk.exists("from").await?;
    ensure(!is_left, || "it still has its old name".to_owned())
}
