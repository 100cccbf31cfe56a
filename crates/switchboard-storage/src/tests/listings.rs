//! Lists: page by page, ahead, and of several prefixes at the same time.

use std::num::NonZeroUsize;

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use switchboard_core::ErrorKind;

use super::troubled::{Trouble, small, troubled};
use crate::{Disk, DiskConfig, Limits, Listing};

/// As many objects as make several pages, on two levels, with names that are near to each other.
async fn filled(disk: &Disk) -> Vec<String> {
    let mut keys = vec!["a-b".to_owned(), "a.b".into(), "a0".into(), "z".into(), "ab".into()];
    for (prefix, objects) in [("a/", 13), ("b/c/", 1), ("b/d/", 20), ("c/", 5), ("é/", 6)] {
        keys.extend((0..objects).map(|number| format!("{prefix}{number:03}")));
    }
    keys.sort();
    for key in &keys {
        disk.put(key, "…").await.unwrap();
    }
    keys
}

async fn keys(listing: Listing<'_>) -> Vec<String> {
    listing.entries().map_ok(|entry| entry.key).try_collect().await.unwrap()
}

#[tokio::test]
async fn whoever_lists_in_parallel_is_told_the_same_in_the_same_order() {
    let limits = Limits { list_max: 4, ..small() };
    let (bench, disk, troubles) = troubled(limits, &[], DiskConfig::default());
    let all = filled(&disk).await;
    let beneath = disk.scope("scope").unwrap();
    assert_eq!(filled(&beneath).await, all);
    for (disk, at_once) in [(&disk, 1), (&disk, 2), (&disk, 100), (&beneath, 3)] {
        let at_once = NonZeroUsize::new(at_once).unwrap();
        for prefix in ["", "a", "a/", "b/", "b/d", "none", "é"] {
            for after in ["", "a/004", "a/", "a0", "b/d/019", "zz"] {
                let mut listing = disk.list(prefix).in_parallel(at_once);
                if !after.is_empty() {
                    listing = listing.after(after);
                }
                let expected =
                    all.iter().filter(|key| key.starts_with(prefix) && key.as_str() > after);
                let mut told = keys(listing).await;
                told.retain(|key| !key.starts_with("scope/"));
                assert!(told.iter().eq(expected), "{prefix:?} after {after:?}: {told:?}");
            }
        }
    }
    assert!(troubles.asked("list flat") > 0 && troubles.asked("list deep") > 0);
    bench.close().await;
}

#[tokio::test]
async fn the_next_page_is_asked_for_before_this_one_is_over_and_no_earlier() {
    let limits = Limits { list_max: 4, ..small() };
    let (bench, disk, troubles) = troubled(limits, &[], DiskConfig::default());
    filled(&disk).await;
    let mut entries = std::pin::pin!(disk.list("").entries());
    let mut asked = Vec::new();
    for _ in 0..8 {
        entries.next().await.unwrap().unwrap();
        asked.push(troubles.asked("list"));
    }
    assert_eq!(asked, [1, 1, 2, 2, 2, 2, 3, 3]);
    bench.close().await;
}

#[tokio::test]
async fn several_prefixes_are_asked_for_at_the_same_time() {
    let (bench, disk, troubles) = troubled(small(), &[], DiskConfig::default());
    for key in ["a/1", "b/1", "c/1", "d/1"] {
        disk.put(key, "…").await.unwrap();
    }
    troubles.expect("list deep", &[Trouble::Silence]);
    let three = NonZeroUsize::new(3).unwrap();
    let mut entries = Box::pin(disk.list("").in_parallel(three).entries());
    assert!(entries.next().now_or_never().is_none());
    drop(entries);
    assert_eq!(troubles.asked("list deep"), 3);
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_list_that_breaks_off_ends_with_why() {
    let one = NonZeroUsize::MIN;
    for at_once in [one, one.saturating_add(1)] {
        let limits = Limits { list_max: 4, ..small() };
        let (bench, disk, troubles) = troubled(limits, &[], DiskConfig::default());
        filled(&disk).await;
        let entries = disk.list("b/").in_parallel(at_once).entries();
        let mut entries = std::pin::pin!(entries);
        entries.next().await.unwrap().unwrap();
        troubles.expect("list", &[Trouble::Unreached; 9]);
        let rest: Vec<_> = entries.collect().await;
        let (last, others) = rest.split_last().unwrap();
        assert_eq!(last.as_ref().unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(others.iter().all(Result::is_ok));
        bench.close().await;
    }
}
