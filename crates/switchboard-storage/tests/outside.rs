//! A driver as somebody else would write it: with nothing but what the crate tells everybody, and proved by its suite.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use switchboard_core::{
    Clock, Descriptor, Environment, Error, ErrorKind, Lifecycle, Name, NoSettings, Registry, Reply,
    Result, Support,
};
use switchboard_storage::conformance::{Fixture, suite};
use switchboard_storage::{
    Condition, Disks, Entry, Fetched, Key, Limits, List, Meta, Method, Page, Read, Sign,
    StorageDriver, Stored, Version, Write, already_there, capability, nothing_there,
};

/// Objects on a shelf, as long as the shelf is there.
struct Shelf {
    kept: Mutex<Kept>,
    clock: Clock,
}

#[derive(Default)]
struct Kept {
    objects: Objects,
    /// How many versions there have been.
    versions: u64,
}

type Objects = BTreeMap<String, (Meta, Bytes)>;

fn register(registry: &Registry<Disks>) -> Result<()> {
    let native = [
        capability::CREATE,
        capability::ATTRIBUTES,
        capability::CHECKSUM,
        capability::WRITE,
        capability::LIST,
        capability::NESTED,
    ];
    let descriptor = Descriptor::new("shelf").summary("Objects on a shelf");
    let descriptor =
        native.into_iter().fold(descriptor, |all, one| all.capability(one, Support::Native));
    switchboard_storage::register(registry, descriptor, |_: NoSettings, build| async move {
        Ok(Shelf::new(build.clock().clone()))
    })
}

impl Shelf {
    fn new(clock: Clock) -> Self {
        Self { kept: Mutex::default(), clock }
    }

    fn with<T: Send>(&self, look: impl FnOnce(&mut Kept) -> Result<T>) -> Reply<'_, T> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        Reply::ready(look(&mut kept))
    }
}

impl StorageDriver for Shelf {
    fn limits(&self) -> Limits {
        Limits { list_max: 100, ..Limits::default() }
    }

    fn head<'a>(&'a self, key: Key<'a>) -> Reply<'a, Meta> {
        self.with(|kept| {
            kept.objects.get(key.as_str()).map(|(meta, _)| meta.clone()).ok_or_else(nothing_there)
        })
    }

    fn get<'a>(&'a self, key: Key<'a>, read: &'a Read) -> Reply<'a, Option<Fetched>> {
        self.with(|kept| {
            let (meta, bytes) = kept.objects.get(key.as_str()).ok_or_else(nothing_there)?;
            if !read.allows(meta)? {
                return Ok(None);
            }
            let range =
                read.range.as_ref().map_or(Ok(0..meta.size), |range| range.of(meta.size))?;
            let at = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
            let body = bytes.slice(at(range.start)..at(range.end)).into();
            Ok(Some(Fetched { meta: meta.clone(), range, body }))
        })
    }

    fn put<'a>(&'a self, key: Key<'a>, content: Bytes, write: &'a Write) -> Reply<'a, Stored> {
        self.with(|kept| {
            match write.condition {
                Condition::Version(_) => return Err(unsupported()),
                Condition::Absent if kept.objects.contains_key(key.as_str()) => {
                    return Err(already_there());
                }
                Condition::Always | Condition::Absent => {}
            }
            kept.versions += 1;
            let version = Version::new(kept.versions.to_string());
            let size = content.len() as u64;
            let mut meta = Meta::new(size, self.clock.wall(), version.clone());
            meta.attributes = write.attributes.clone();
            meta.checksum = write.checksum;
            meta.write_id = write.write_id;
            kept.objects.insert(key.as_str().to_owned(), (meta, content));
            Ok(Stored::new(version, size, write.checksum))
        })
    }

    fn delete<'a>(&'a self, key: Key<'a>, only: Option<&'a Version>) -> Reply<'a, bool> {
        if only.is_some() {
            return Reply::ready(Err(unsupported()));
        }
        self.with(|kept| Ok(kept.objects.remove(key.as_str()).is_some()))
    }

    fn list<'a>(&'a self, list: &'a List) -> Reply<'a, Page> {
        self.with(|kept| {
            let mut page = Page::default();
            let mut told_last: Option<&str> = list.token.as_deref();
            for (key, (meta, _)) in kept.objects.range(list.prefix.clone()..) {
                let Some(rest) = key.strip_prefix(&list.prefix) else { break };
                let slash = rest.find('/').filter(|_| list.is_flat);
                let told = slash.map_or(&**key, |slash| &key[..=list.prefix.len() + slash]);
                let is_told = told_last.is_some_and(|last| told <= last);
                if is_told || list.after.as_ref().is_some_and(|after| key <= after) {
                    continue;
                }
                if page.entries.len() + page.prefixes.len() == list.limit {
                    page.next = told_last.map(str::to_owned);
                    break;
                }
                match slash {
                    Some(_) => page.prefixes.push(told.to_owned()),
                    None => page.entries.push(Entry::new(
                        key,
                        meta.size,
                        meta.modified,
                        meta.version.clone(),
                    )),
                }
                told_last = Some(told);
            }
            Ok(page)
        })
    }
}

impl Lifecycle for Shelf {}

fn unsupported() -> Error {
    Error::new(ErrorKind::Unsupported, "a shelf knows no versions").not_applied()
}

/// What the tests of such a driver ask it, without a disk around it.
#[tokio::test]
async fn whoever_writes_a_driver_can_ask_it_everything() {
    let environment = Environment::new();
    let build = switchboard_core::BuildContext::new(&environment, Name::parse("main").unwrap());
    let shelf = Shelf::new(build.clock().clone());
    let mut write = Write::default();
    write.condition = Condition::Absent;
    write.attributes.content_type = Some("text/plain".to_owned());
    for key in ["a/1", "a/2", "b"] {
        shelf.put(Key::parse(key).unwrap(), Bytes::from_static(b"shelf"), &write).await.unwrap();
    }

    let mut read = Read::default();
    read.range = Some((1..3).into());
    let fetched = shelf.get(Key::parse("b").unwrap(), &read).await.unwrap().unwrap();
    assert_eq!(fetched.body.collect(9).await.unwrap(), "he");

    let mut list = List::new("a/", 1);
    let first = shelf.list(&list).await.unwrap();
    assert_eq!(first.entries[0].key, "a/1");
    list.token = first.next;
    let second = shelf.list(&list).await.unwrap();
    assert_eq!((&*second.entries[0].key, second.next), ("a/2", None));

    let sign = Sign::new(Method::Get, "b", Duration::from_mins(1));
    assert_eq!(shelf.sign(&sign).await.unwrap_err().kind(), ErrorKind::Unsupported);
}

suite!(Fixture::new(register));
