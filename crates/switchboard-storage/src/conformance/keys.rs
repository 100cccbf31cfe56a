//! Rules on keys: they are kept as they are written, and lead nowhere else.

use futures_util::StreamExt as _;
use switchboard_core::{ErrorKind, Result, Settings};
use switchboard_testkit::rules::{Verdict, ensure, equal, refused};

use super::subject::{ensure_content, ensure_keys, held, keys, plain};
use super::{Failure, Subject};
use crate::{Disk, Key, List, capability};

/// Every printable letter of ASCII but the backslash, those of other alphabets, and what looks like something else.
pub(super) async fn a_key_comes_back_as_it_was_written(on: &Subject) -> Verdict {
    let mut written: Vec<String> =
        (' '..='~').filter(|c| !['/', '\\'].contains(c)).map(|c| format!("a{c}b")).collect();
    written.extend(ORDINARY.map(str::to_owned));
    let disk = on.disk();
    // Some services take one separator for the other.
    let rounds = written.iter().map(|key| comes_back(disk, key, !key.contains('\\')));
    for verdict in futures_util::stream::iter(rounds).buffered(AT_ONCE).collect::<Vec<_>>().await {
        verdict?;
    }
    let there = keys(disk, "").await?;
    written.retain(|key| !key.contains('\\') || there.contains(key));
    written.sort();
    let written: Vec<&str> = written.iter().map(String::as_str).collect();
    ensure_keys(disk, &written, "after a put of each").await?;

    let peculiar = PECULIAR.iter().map(|key| comes_back(disk, key, false));
    for verdict in futures_util::stream::iter(peculiar).buffered(AT_ONCE).collect::<Vec<_>>().await
    {
        verdict?;
    }
    for key in keys(disk, "").await? {
        disk.delete(&key).await?;
    }
    ensure_keys(disk, &[], "after a deletion of each").await
}

/// Through every method, or it is refused by the first, where it may be.
async fn comes_back(disk: &Disk, key: &str, is_ordinary: bool) -> Verdict {
    let about = |failure: Failure| failure.about(format_args!("{key:?}"));
    came_back(disk, key, is_ordinary).await.map_err(about)
}

async fn came_back(disk: &Disk, key: &str, is_ordinary: bool) -> Verdict {
    match disk.put(key, key.to_owned()).await {
        Err(error) if error.kind() == ErrorKind::InvalidInput && !is_ordinary => {
            return ensure(!keys(disk, "").await?.iter().any(|found| found == key), || {
                "a key that was refused is listed".to_owned()
            });
        }
        stored => stored?,
    };
    ensure_content(disk, key, key.as_bytes(), "after a put").await?;
    equal(&disk.exists(key).await?, &true, "whether it exists")?;
    let found = keys(disk, key).await?;
    ensure(found.first().is_some_and(|first| first == key), || {
        format!("in a list it is written {found:?}")
    })?;
    equal(&disk.delete(key).await?, &true, "whether it was there to delete")?;
    equal(&disk.exists(key).await?, &false, "whether it exists after its deletion")?;
    disk.put(key, key.to_owned()).await?;
    Ok(())
}

/// Upper and lower case, composed and decomposed letters, and what is and what looks encoded.
pub(super) async fn keys_that_look_alike_are_told_apart(on: &Subject) -> Verdict {
    for twins in TWINS {
        let mut kept = Vec::new();
        for key in *twins {
            match on.disk().put(key, (*key).to_owned()).await {
                Err(error) if error.kind() == ErrorKind::InvalidInput => {}
                stored => {
                    stored?;
                    kept.push(*key);
                }
            }
        }
        for key in &kept {
            ensure_content(on.disk(), key, key.as_bytes(), "beside its twin").await?;
        }
        kept.sort_unstable();
        ensure_keys(on.disk(), &kept, "of twins").await?;
        while let Some(key) = kept.pop() {
            on.disk().delete(key).await?;
            ensure_keys(on.disk(), &kept, "after a deletion of a twin").await?;
        }
    }
    Ok(())
}

/// Whole, as segments of 255 bytes, and of letters that need several bytes.
pub(super) async fn the_longest_keys_are_kept_or_refused(on: &Subject) -> Verdict {
    let segment = "s".repeat(255);
    comes_back(on.disk(), &segment, true).await?;
    let deep = vec!["d"; 200].join("/");
    comes_back(on.disk(), &deep, true).await?;
    let segments = [&*"t".repeat(255); 4].join("/");
    let umlauts = [&*"ö".repeat(127); 4].join("/");
    for long in [segments, umlauts, "l".repeat(256), "l".repeat(1024), "🗝".repeat(256)] {
        comes_back(on.disk(), &long, false).await?;
    }
    for too_long in ["l".repeat(1025), "ö".repeat(513), vec!["d"; 513].join("/")] {
        refused_by_all(on, &too_long).await?;
    }
    Ok(())
}

/// And nothing changes.
pub(super) async fn what_is_no_key_is_refused_by_every_method(on: &Subject) -> Verdict {
    on.disk().put("there", "as it was").await?;
    for key in NO_KEYS {
        refused_by_all(on, key).await.map_err(|failure| failure.about(format_args!("{key:?}")))?;
    }
    ensure_keys(on.disk(), &["there"], "after refusals").await?;
    ensure_content(on.disk(), "there", b"as it was", "after refusals").await
}

async fn refused_by_all(on: &Subject, key: &str) -> Verdict {
    let (disk, invalid) = (on.disk(), ErrorKind::InvalidInput);
    if !on.disk().exists("there").await? {
        disk.put("there", "as it was").await?;
    }
    let version = disk.head("there").await?.version;
    refused(disk.put(key, "…").await, invalid, "a put")?;
    refused(disk.put(key, "…").if_absent().await, invalid, "a creation")?;
    refused(disk.put(key, "…").if_version(&version).await, invalid, "a replacement")?;
    refused(disk.head(key).await, invalid, "a look")?;
    refused(disk.exists(key).await, invalid, "a question")?;
    refused(disk.read(key).await, invalid, "reading")?;
    refused(disk.get(key).await, invalid, "opening")?;
    refused(disk.get(key).range(0..1).await, invalid, "opening a part")?;
    refused(disk.delete(key).await, invalid, "a deletion")?;
    refused(disk.delete_only(key, &version).await, invalid, "a deletion of a version")?;
    refused(disk.delete_many(&["there", key]).await, invalid, "a deletion of many")?;
    refused(disk.copy("there", key).await, invalid, "a copy to it")?;
    refused(disk.copy(key, "copy").await, invalid, "a copy of it")?;
    refused(disk.rename("there", key).await, invalid, "a renaming to it")?;
    refused(disk.rename(key, "name").await, invalid, "a renaming of it")?;
    refused(disk.scope(key).map(drop), invalid, "a scope").map(drop)
}

/// Backslashes, drives, and what would be a way out if somebody decoded it.
pub(super) async fn what_looks_like_a_way_out_is_only_a_key(on: &Subject) -> Verdict {
    let (inside, _) = prefixed(on).await?;
    let mut kept = Vec::new();
    for key in WAYS_OUT {
        match inside.put(key, (*key).to_owned()).await {
            Err(error) if error.kind() == ErrorKind::InvalidInput => continue,
            stored => stored?,
        };
        ensure_content(&inside, key, key.as_bytes(), "after a put").await?;
        kept.push(*key);
    }
    kept.sort_unstable();
    ensure_keys(&inside, &kept, "after a put of each way out").await?;
    ensure_canaries(&inside).await?;
    for key in &kept {
        equal(&inside.delete(key).await?, &true, "whether a way out was there")?;
    }
    ensure_keys(&inside, &[], "after a deletion of each way out").await?;
    ensure_canaries(&inside).await
}

/// By no key, by no list, and by no deletion of all.
pub(super) async fn nothing_outside_of_a_prefix_can_be_reached(on: &Subject) -> Verdict {
    let (inside, prefix) = prefixed(on).await?;
    inside.put("own", "own").await?;
    leads_nowhere(&inside).await?;
    for name in ["..", "../outer", "a/../..", ".", "a//b", "\0"] {
        let settings = Settings::new().with("prefix", name);
        let built = on.another(settings).await;
        ensure(built.is_err(), || format!("a disk has the prefix {name:?}"))?;
    }
    let behind = List { prefix: prefix.clone(), ..everything() };
    let own = format!("{prefix}own");
    let there = held(&inside)?.driver().list(&behind).await?.entries;
    let there: Vec<_> = there.into_iter().map(|entry| entry.key).collect();
    equal(&there, &vec![own], "the keys at the service")?;
    let deleted = inside.delete_all("").everything().await?;
    equal(&deleted.objects, &1, "how many were deleted with everything")?;
    ensure_canaries(&inside).await
}

pub(super) async fn nothing_outside_of_a_scope_can_be_reached(on: &Subject) -> Verdict {
    for key in ["canary", "outer/canary", "outer/innerx", "outer/inner.txt", "outer/inne"] {
        on.disk().put(key, "canary").await?;
    }
    let inner = on.disk().scope("outer")?.scope("inner")?;
    inner.put("own", "own").await?;
    ensure_content(on.disk(), "outer/inner/own", b"own", "as seen from outside").await?;
    leads_nowhere(&inner).await?;
    for name in ["..", ".", "../inner", "", "/", "a/", "a/../.."] {
        refused(inner.scope(name).map(drop), ErrorKind::InvalidInput, "a scope that leads out")?;
    }
    let deleted = inner.delete_all("").everything().await?;
    equal(&deleted.objects, &1, "how many were deleted with everything")?;
    let left = ["canary", "outer/canary", "outer/inne", "outer/inner.txt", "outer/innerx"];
    ensure_keys(on.disk(), &left, "after a deletion of all in a scope").await?;
    for key in left {
        ensure_content(on.disk(), key, b"canary", "outside of the scope").await?;
    }
    Ok(())
}

/// Where each is a file, only one of them can be.
pub(super) async fn a_key_beside_those_beneath_it_is_kept_or_refused(on: &Subject) -> Verdict {
    let disk = on.disk();
    for (first, second) in [("a", "a/b"), ("x/y/z", "x/y")] {
        disk.put(first, "first").await?;
        let beside = disk.put(second, "second").await;
        if on.can(capability::NESTED) {
            beside?;
            ensure_content(disk, second, b"second", "beside another").await?;
        } else {
            refused(beside, ErrorKind::Conflict, "a key beside those beneath it")?;
            equal(&disk.exists(second).await?, &false, "whether it is there all the same")?;
        }
        ensure_content(disk, first, b"first", "beside another").await?;
        disk.delete(first).await?;
        disk.put(second, "after").await?;
        ensure_content(disk, second, b"after", "after the other has gone").await?;
        disk.delete(second).await?;
    }
    ensure_keys(disk, &[], "in the end").await
}

/// A disk whose keys are all beneath a prefix, with canaries around it, and what its driver calls the prefix.
async fn prefixed(on: &Subject) -> std::result::Result<(Disk, String), Failure> {
    let outer = held(on.disk())?.config().prefix.clone();
    let outer = outer.map(|outer| format!("{}/", outer.trim_end_matches('/'))).unwrap_or_default();
    let prefix = format!("{outer}outer/inner");
    let inside = on.another(Settings::new().with("prefix", &*prefix)).await?;
    for key in canaries(&inside)? {
        let held = held(&inside)?;
        let write = plain(b"canary");
        held.driver().put(Key::parse(&key)?, "canary".into(), &write).await?;
    }
    Ok((inside, format!("{prefix}/")))
}

/// Where they are, as the driver calls them.
fn canaries(inside: &Disk) -> Result<Vec<String>> {
    let prefix = held(inside)?.config().prefix.clone().unwrap_or_default();
    let around = prefix.trim_end_matches("outer/inner");
    let places = ["canary", "outer/canary", "outer/innerx", "outer/inner.txt"];
    Ok(places.map(|place| format!("{around}{place}")).into())
}

async fn ensure_canaries(inside: &Disk) -> Verdict {
    let held = held(inside)?;
    let prefix = held.config().prefix.clone().unwrap_or_default();
    let around = prefix.trim_end_matches("inner").to_owned();
    for place in canaries(inside)? {
        let read = crate::Read::default();
        let fetched = held.driver().get(Key::parse(&place)?, &read).await?;
        let fetched = fetched.ok_or_else(|| Failure::new("a canary is told to be unchanged"))?;
        equal(&&fetched.body.collect(100).await?[..], &&b"canary"[..], "a canary")?;
    }
    let there = held.driver().list(&List { prefix: around, ..everything() }).await?.entries;
    let beneath = format!("{prefix}/");
    let outside = there.iter().filter(|entry| !entry.key.starts_with(&beneath)).count();
    equal(&outside, &3, "how many objects there are around the prefix")
}

/// That no prefix of a list leads out of `inside`, in which there is one object.
async fn leads_nowhere(inside: &Disk) -> Verdict {
    for prefix in ["", "o", "own"] {
        equal(&keys(inside, prefix).await?, &vec!["own".to_owned()], "what is listed inside")?;
    }
    for prefix in LIST_OUT {
        let found = keys(inside, prefix).await?;
        ensure(found.is_empty(), || format!("a list of {prefix:?} has {found:?}"))?;
        let gone = inside.delete_all(prefix).await?.objects;
        equal(&gone, &0, &format!("how many are deleted that begin with {prefix:?}"))?;
    }
    let after = inside.list("").after("!");
    let page = after.page(None).await?;
    equal(&page.entries.len(), &1, "how many there are after the first letter")?;
    Ok(())
}

fn everything() -> List {
    List { prefix: String::new(), is_flat: false, after: None, token: None, limit: 1_000 }
}

/// Every driver keeps these, beside all that can be printed of ASCII.
const ORDINARY: [&str; 20] = [
    "plain",
    "with/segments/in it.txt",
    "UPPER",
    "two  spaces",
    "März",
    "Ma\u{308}rz",
    "日本語/キー",
    "ключ",
    "🗝️",
    "👩‍👩‍👧/🧵",
    "a+b=c&d?e#f",
    "%2e%2e%2f",
    "%25",
    "%",
    "100%",
    "a%00b",
    "q?uery=1",
    "frag#ment",
    "semi;colon,comma",
    "<xml>&amp;\"'",
];

/// What some service cannot keep, and then says so.
const PECULIAR: &[&str] = &[
    " ",
    " leading",
    "trailing ",
    "dot.",
    "dir./file",
    "dir /file",
    "CON",
    "nul.txt",
    "COM1",
    "C:",
    "C:\\file",
    "back\\slash",
    "\\",
    "\\\\server\\share",
    "~",
    "-rf",
    ".hidden",
    "..hidden",
    "...",
    ".switchboard",
    ".switchboard/object",
    "name.tmp",
    "a*b?c",
    "a:b",
    "a|b",
    "\u{202e}txt.exe",
    "\u{feff}bom",
    "zero\u{200b}width",
    "\u{10ffff}",
    "\u{fffd}",
    "\u{ffff}",
    "a\u{2028}b",
    "soap_$folder$",
];

const TWINS: &[&[&str]] = &[
    &["name", "Name", "NAME"],
    &["dir/file", "DIR/file", "dir/FILE"],
    &["ä", "a\u{308}"],
    &["Å", "A\u{30a}", "\u{212b}"],
    &["a b", "a+b", "a%20b", "a%2Bb"],
    &["a/b", "a%2Fb", "a\\b"],
    &["x", "x ", "x."],
    &["ß", "ss", "ẞ"],
    &["a&b", "a&amp;b"],
    &["ﬁ", "fi"],
];

const NO_KEYS: &[&str] = &[
    "",
    "/",
    "//",
    "///",
    ".",
    "..",
    "./",
    "../",
    "../a",
    "../../a",
    "../../../../../../etc/passwd",
    "/etc/passwd",
    "//server/share",
    "a/",
    "a//b",
    "a/.",
    "a/./b",
    "./a",
    "a/..",
    "a/../b",
    "a/../../b",
    "a/b/../../../c",
    "..//a",
    "file:///etc/passwd",
    "a\0",
    "\0",
    "a\0/../b",
    "a\nb",
    "a\r\nx-header: 1",
    "\t",
    "a\u{7f}",
    "a\u{80}b",
    "\u{1b}[2J",
];

const WAYS_OUT: &[&str] = &[
    "..\\canary",
    "..\\..\\canary",
    "a\\..\\..\\canary",
    "\\canary",
    "C:\\canary",
    "C:/canary",
    "\\\\.\\C:\\canary",
    "%2e%2e/canary",
    "%2e%2e%2fcanary",
    "..%2fcanary",
    "..%5ccanary",
    "%252e%252e%252fcanary",
    "%00/canary",
    "..%00/canary",
    "..;/canary",
    ".. /canary",
    " ../canary",
    "…/canary",
    "．．/canary",
    "‥/canary",
    "..∕canary",
    "..\u{200b}/canary",
    ".../canary",
    "..../canary",
    "~/canary",
    "~root/canary",
    "$HOME/canary",
    "`id`",
    "$(id)",
    "?prefix=",
    "#/../canary",
    "canary?versionId=1",
    "canary#",
];

const LIST_OUT: &[&str] =
    &["..", "../", "../canary", "/", "//", "./", ".", "a/../../", "\0", "\\", "%2e%2e", "*", "%"];

const AT_ONCE: usize = 8;
