//! Rules on lists: their order, where they begin and end, and what pages miss.

use std::pin::pin;

use futures_util::TryStreamExt as _;
use switchboard_core::Result;
use switchboard_testkit::rules::{Verdict, ensure, equal};

use super::subject::{ensure_keys, keys, put_all};
use super::{Failure, Subject};
use crate::{Disk, Listing, capability};

/// Not that of letters, and not that of directories.
pub(super) async fn keys_are_in_the_order_of_their_bytes(on: &Subject) -> Verdict {
    let mut written = vec![
        "B", "a", "a b", "a-b", "a.b", "a/b", "a/b-c", "a/b.c", "a0", "ab", "a\u{e9}", "b/a/c",
        "b/a0", "b/a-", "Z", "_", "z", "ä", "日本", "🗝", "~", "a~",
    ];
    if !on.can(capability::NESTED) {
        written.retain(|key| *key != "a");
    }
    put_all(on, &written).await?;
    written.sort_unstable();
    ensure_keys(on.disk(), &written, "of mixed keys").await?;
    for limit in [1, 2, 7] {
        let paged = all(on.disk().list("").limit(limit)).await?;
        equal(&paged.keys, &owned(&written), &format!("the keys in pages of {limit}"))?;
    }
    Ok(())
}

/// Where letters of two kinds have another order in UTF-16.
pub(super) async fn rare_letters_are_in_the_order_of_their_bytes(on: &Subject) -> Verdict {
    let written = ["z", "z\u{d7ff}", "z\u{e000}", "z\u{fffd}", "z\u{10000}", "z🗝"];
    put_all(on, &written).await?;
    ensure_keys(on.disk(), &written, "of rare letters").await?;
    for limit in [1, 2] {
        let paged = all(on.disk().list("z").limit(limit)).await?;
        equal(&paged.keys, &owned(&written), &format!("the keys in pages of {limit}"))?;
    }
    Ok(())
}

pub(super) async fn a_prefix_is_a_text_and_not_a_directory(on: &Subject) -> Verdict {
    put_all(on, &["a-", "a.txt", "a/1", "a/2/3", "a0", "ab", "b", "A/1"]).await?;
    for (prefix, expected) in [
        ("a", &["a-", "a.txt", "a/1", "a/2/3", "a0", "ab"][..]),
        ("a/", &["a/1", "a/2/3"]),
        ("a/2", &["a/2/3"]),
        ("a/2/", &["a/2/3"]),
        ("a/2/3", &["a/2/3"]),
        ("a/2/3/", &[]),
        ("a/2/33", &[]),
        ("ab", &["ab"]),
        ("ab/", &[]),
        ("A", &["A/1"]),
        ("c", &[]),
        ("/", &[]),
    ] {
        let found = keys(on.disk(), prefix).await?;
        equal(&found, &owned(expected), &format!("the keys that begin with {prefix:?}"))?;
    }
    Ok(())
}

pub(super) async fn a_flat_list_tells_what_is_common_up_to_a_slash(on: &Subject) -> Verdict {
    put_all(on, &["a-b", "a.txt", "a/1", "a/2/3", "a/2/4", "a0", "b/c/d", "c"]).await?;
    for (prefix, entries, prefixes) in [
        ("", &["a-b", "a.txt", "a0", "c"][..], &["a/", "b/"][..]),
        ("a", &["a-b", "a.txt", "a0"], &["a/"]),
        ("a/", &["a/1"], &["a/2/"]),
        ("a/2", &[], &["a/2/"]),
        ("a/2/", &["a/2/3", "a/2/4"], &[]),
        ("b", &[], &["b/"]),
        ("b/", &[], &["b/c/"]),
        ("d", &[], &[]),
    ] {
        for limit in [usize::MAX, 1, 2] {
            let found = all(on.disk().list(prefix).flat().limit(limit)).await?;
            let what = format!("of what begins with {prefix:?}, in pages of {limit},");
            equal(&found.keys, &owned(entries), &format!("{what} the keys"))?;
            equal(&found.prefixes, &owned(prefixes), &format!("{what} the prefixes"))?;
        }
    }
    Ok(())
}

/// However many keys begin with it, and whatever they are.
pub(super) async fn a_flat_list_tells_every_prefix_once(on: &Subject) -> Verdict {
    let mut written: Vec<String> = (0..30).map(|number| format!("many/{number:02}")).collect();
    let last = ["many/\u{10fffd}", "many/\u{10fffd}\u{10fffd}", "many0", "other/~/x"];
    written.extend(last.map(str::to_owned));
    // A service may keep no letters that are none.
    for peculiar in ["many/\u{10ffff}", "many/\u{10ffff}x", "many/\u{10ffff}\u{10ffff}/y"] {
        match on.stock(peculiar, "").await {
            Err(error) if error.kind() == switchboard_core::ErrorKind::InvalidInput => {}
            stored => stored?,
        }
    }
    put_all(on, &written).await?;
    for limit in [usize::MAX, 1, 2, 3] {
        let found = all(on.disk().list("").flat().limit(limit)).await?;
        let what = format!("the prefixes in pages of {limit}");
        equal(&found.prefixes, &owned(&["many/", "other/"]), &what)?;
        equal(&found.keys, &owned(&["many0"]), &format!("the keys in pages of {limit}"))?;
    }
    Ok(())
}

/// And not with it, whether it is there or not.
pub(super) async fn a_list_begins_after_the_key_that_was_named(on: &Subject) -> Verdict {
    let written = ["a", "b", "b-", "b0", "c", "d1", "d2"];
    put_all(on, &written).await?;
    for after in ["", "a", "aa", "b", "b-", "b/", "c", "d", "d1", "d2", "e"] {
        let expected: Vec<&str> = written.into_iter().filter(|key| *key > after).collect();
        for limit in [usize::MAX, 1, 2] {
            let found = all(on.disk().list("").after(after).limit(limit)).await?;
            equal(&found.keys, &owned(&expected), &format!("the keys after {after:?}"))?;
        }
    }
    let within = all(on.disk().list("d").after("d1")).await?;
    equal(&within.keys, &owned(&["d2"]), "the keys with a prefix after a key")?;
    let before = all(on.disk().list("d").after("a")).await?;
    equal(&before.keys, &owned(&["d1", "d2"]), "the keys with a prefix after a key before it")?;
    let beyond = all(on.disk().list("b").after("c")).await?;
    equal(&beyond.keys, &owned(&[]), "the keys with a prefix after a key beyond it")
}

pub(super) async fn pages_are_as_long_as_was_said_and_miss_nothing(on: &Subject) -> Verdict {
    let written: Vec<String> = (0..23).map(|number| format!("k{number:02}")).collect();
    put_all(on, &written).await?;
    for limit in [1, 2, 5, 22, 23, 24, 5_000] {
        let found = all(on.disk().list("").limit(limit)).await?;
        equal(&found.keys, &written, &format!("the keys in pages of {limit}"))?;
        ensure(found.longest <= limit, || {
            format!("a page of at most {limit} has {} entries", found.longest)
        })?;
    }
    let first = on.disk().list("").limit(5).page(None).await?;
    let token = first.next.ok_or_else(|| Failure::new("the first page of many is the last"))?;
    let again = on.disk().list("").limit(5);
    let (second, same) = (again.page(Some(&token)).await?, again.page(Some(&token)).await?);
    equal(&second.entries, &same.entries, "a page that is asked for twice")
}

pub(super) async fn an_entry_says_what_a_look_at_the_object_says(on: &Subject) -> Verdict {
    on.stock("empty", "").await?;
    on.stock("some/object", "nine bytes").await?;
    let entries: Vec<_> = on.disk().list("").entries().try_collect().await?;
    equal(&entries.len(), &2, "how many entries there are")?;
    for entry in entries {
        let meta = on.disk().head(&entry.key).await?;
        equal(&entry.size, &meta.size, "the size in a list")?;
        equal(&entry.version, &meta.version, "the version in a list")?;
        let (listed, told) = (seconds(entry.modified), seconds(meta.modified));
        equal(&listed, &told, "the time in a list")?;
    }
    Ok(())
}

/// Some services write times with less precision where they write many.
fn seconds(time: std::time::SystemTime) -> Option<u64> {
    time.duration_since(std::time::UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// Whatever is stored and deleted, before and after where a reader stands.
pub(super) async fn what_changes_between_pages_changes_nothing_else(on: &Subject) -> Verdict {
    if !on.can(capability::WRITE) {
        return Ok(());
    }
    for is_flat in [false, true] {
        let written: Vec<String> = (0..30).map(|number| format!("k{number:02}")).collect();
        put_all(on, &written).await?;
        let listing = on.disk().list("").limit(5);
        let listing = if is_flat { listing.flat() } else { listing };
        let (mut found, mut token, mut rounds) = (Vec::new(), None, 0);
        loop {
            let page = listing.page(token.as_deref()).await?;
            found.extend(page.entries.into_iter().map(|entry| entry.key));
            token = page.next;
            if token.is_none() {
                break;
            }
            change_around(on.disk(), rounds, found.last().map(String::as_str)).await?;
            rounds += 1;
        }
        ensure(found.is_sorted_by(|one, next| one < next), || {
            format!("keys are repeated, or out of order: {found:?}")
        })?;
        let missing: Vec<_> =
            written.iter().filter(|key| !GONE.contains(&&***key) && !found.contains(key)).collect();
        ensure(missing.is_empty(), || format!("{missing:?} were never changed, and are dropped"))?;
        on.disk().delete_all("").everything().await?;
    }
    Ok(())
}

/// One change a page: before where the reader stands, right after it, and beyond.
async fn change_around(disk: &Disk, round: usize, last: Option<&str>) -> Result<()> {
    match (round, last) {
        (0, _) => disk.delete(GONE[0]).await.map(drop),
        (1, _) => disk.put("a", "").await.map(drop),
        (2, Some(last)) => disk.put(&format!("{last}-"), "").await.map(drop),
        (3, Some(last)) => disk.delete(last).await.map(drop),
        (_, _) => disk.delete(GONE[1]).await.map(drop),
    }
}

pub(super) async fn a_list_of_nothing_is_empty(on: &Subject) -> Verdict {
    for prefix in ["", "a", "a/", "a/b"] {
        let page = on.disk().list(prefix).page(None).await?;
        let is_empty = page.entries.is_empty() && page.prefixes.is_empty() && page.next.is_none();
        ensure(is_empty, || format!("on an empty disk {prefix:?} lists {page:?}"))?;
        let flat = on.disk().list(prefix).flat().page(None).await?;
        equal(&flat.prefixes.len(), &0, "how many prefixes an empty disk has")?;
    }
    if !on.can(capability::WRITE) {
        return Ok(());
    }
    on.disk().put("deep/down/object", "").await?;
    on.disk().delete("deep/down/object").await?;
    let left = all(on.disk().list("").flat()).await?;
    equal(&left.prefixes, &owned(&[]), "what is left of directories without objects")
}

/// More than go into one page of any service.
pub(super) async fn a_long_list_is_complete(on: &Subject) -> Verdict {
    let written: Vec<String> =
        (0..2_500).map(|number| format!("{}/{number:04}", number / 100)).collect();
    put_all(on, &written).await?;
    let mut sorted = written;
    sorted.sort();
    let found = all(on.disk().list("")).await?;
    ensure(found.keys == sorted, || {
        format!("of {} keys {} are listed, or in another order", sorted.len(), found.keys.len())
    })?;
    let flat = all(on.disk().list("").flat()).await?;
    equal(&flat.prefixes.len(), &25, "how many prefixes there are")
}

/// All pages of a list.
struct All {
    keys: Vec<String>,
    prefixes: Vec<String>,
    /// The most entries and prefixes of a page.
    longest: usize,
}

async fn all(listing: Listing<'_>) -> std::result::Result<All, Failure> {
    let mut all = All { keys: Vec::new(), prefixes: Vec::new(), longest: 0 };
    let (mut pages, mut count) = (pin!(listing.pages()), 0);
    while let Some(page) = pages.try_next().await? {
        count += 1;
        ensure(count <= PAGES_MAX, || "the pages of a list do not end".to_owned())?;
        all.longest = all.longest.max(page.entries.len() + page.prefixes.len());
        all.keys.extend(page.entries.into_iter().map(|entry| entry.key));
        all.prefixes.extend(page.prefixes);
    }
    Ok(all)
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// What is deleted while a list is read, and may be told or not.
const GONE: [&str; 2] = ["k03", "k28"];
const PAGES_MAX: usize = 5_000;
