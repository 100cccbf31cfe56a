//! Proves that the rules notice: each driver here has one bug, and a rule that must name it.
//!
//! Every bug is put around a driver that keeps all rules, by overriding what it gets wrong.

mod lists;
mod lives;
mod objects;
mod writes;

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::StreamExt as _;
use switchboard_core::{
    Capabilities, Descriptor, Error, ErrorKind, Health, Lifecycle, Registry, Reply, Result, Support,
};
use tokio::task::yield_now;

use crate::conformance::{Exception, Fixture, OF_ALL, UNTIDY, check, prove};
use crate::drivers::memory::{Memory, MemoryConfig};
use crate::{
    Attributes, Body, ByteRange, Checksum, Condition, Disks, Entry, Fetched, Key, Limits, List,
    Meta, Page, Part, PartTag, Read, StorageDriver, Stored, UploadId, Version, Write, WriteId,
    capability, nothing_there,
};

/// What a bug gets wrong; all else is done right.
trait Bug: Send + Sync + Sized + 'static {
    /// What is not declared although it is there.
    const HIDES: &'static [&'static str] = &[];

    fn head<'a>(on: &'a Planted<Self>, key: Key<'a>) -> Reply<'a, Meta> {
        on.inner.head(key)
    }
    fn get<'a>(on: &'a Planted<Self>, key: Key<'a>, read: &'a Read) -> Reply<'a, Option<Fetched>> {
        on.inner.get(key, read)
    }
    fn put<'a>(
        on: &'a Planted<Self>,
        key: Key<'a>,
        content: Bytes,
        write: &'a Write,
    ) -> Reply<'a, Stored> {
        on.inner.put(key, content, write)
    }
    fn delete<'a>(
        on: &'a Planted<Self>,
        key: Key<'a>,
        only: Option<&'a Version>,
    ) -> Reply<'a, bool> {
        on.inner.delete(key, only)
    }
    fn list<'a>(on: &'a Planted<Self>, list: &'a List) -> Reply<'a, Page> {
        on.inner.list(list)
    }
    fn delete_many<'a>(on: &'a Planted<Self>, keys: &'a [Key<'a>]) -> Reply<'a, Vec<Result<bool>>> {
        on.inner.delete_many(keys)
    }
    fn copy<'a>(
        on: &'a Planted<Self>,
        from: Key<'a>,
        to: Key<'a>,
        condition: &'a Condition,
    ) -> Reply<'a, Stored> {
        on.inner.copy(from, to, condition)
    }
    fn rename<'a>(
        on: &'a Planted<Self>,
        from: Key<'a>,
        to: Key<'a>,
        condition: &'a Condition,
    ) -> Reply<'a, Stored> {
        on.inner.rename(from, to, condition)
    }
    fn begin<'a>(on: &'a Planted<Self>, key: Key<'a>, write: &'a Write) -> Reply<'a, UploadId> {
        on.inner.begin(key, write)
    }
    fn part<'a>(
        on: &'a Planted<Self>,
        key: Key<'a>,
        upload: &'a UploadId,
        part: Part,
        content: Bytes,
    ) -> Reply<'a, PartTag> {
        on.inner.part(key, upload, part, content)
    }
    fn complete<'a>(
        on: &'a Planted<Self>,
        key: Key<'a>,
        upload: &'a UploadId,
        parts: &'a [PartTag],
        write: &'a Write,
    ) -> Reply<'a, Stored> {
        on.inner.complete(key, upload, parts, write)
    }
    fn abort<'a>(on: &'a Planted<Self>, key: Key<'a>, upload: &'a UploadId) -> Reply<'a, ()> {
        on.inner.abort(key, upload)
    }
    fn sweep(on: &Planted<Self>, age: Duration) -> Reply<'_, u64> {
        on.inner.sweep(age)
    }
    fn health(on: &Planted<Self>) -> Reply<'_, Health> {
        on.inner.health()
    }
}

/// No bug at all.
struct Sound;

impl Bug for Sound {}

struct Planted<B> {
    inner: Arc<Memory>,
    /// What a bug keeps in mind.
    flag: AtomicBool,
    texts: Mutex<BTreeSet<String>>,
    mark: Mutex<Option<WriteId>>,
    bug: PhantomData<fn(&B)>,
}

impl<B: Bug> StorageDriver for Planted<B> {
    fn limits(&self) -> Limits {
        self.inner.limits()
    }
    fn head<'a>(&'a self, key: Key<'a>) -> Reply<'a, Meta> {
        B::head(self, key)
    }
    fn get<'a>(&'a self, key: Key<'a>, read: &'a Read) -> Reply<'a, Option<Fetched>> {
        B::get(self, key, read)
    }
    fn put<'a>(&'a self, key: Key<'a>, content: Bytes, write: &'a Write) -> Reply<'a, Stored> {
        B::put(self, key, content, write)
    }
    fn delete<'a>(&'a self, key: Key<'a>, only: Option<&'a Version>) -> Reply<'a, bool> {
        B::delete(self, key, only)
    }
    fn list<'a>(&'a self, list: &'a List) -> Reply<'a, Page> {
        B::list(self, list)
    }
    fn delete_many<'a>(&'a self, keys: &'a [Key<'a>]) -> Reply<'a, Vec<Result<bool>>> {
        B::delete_many(self, keys)
    }
    fn copy<'a>(
        &'a self,
        from: Key<'a>,
        to: Key<'a>,
        condition: &'a Condition,
    ) -> Reply<'a, Stored> {
        B::copy(self, from, to, condition)
    }
    fn rename<'a>(
        &'a self,
        from: Key<'a>,
        to: Key<'a>,
        condition: &'a Condition,
    ) -> Reply<'a, Stored> {
        B::rename(self, from, to, condition)
    }
    fn begin<'a>(&'a self, key: Key<'a>, write: &'a Write) -> Reply<'a, UploadId> {
        B::begin(self, key, write)
    }
    fn part<'a>(
        &'a self,
        key: Key<'a>,
        upload: &'a UploadId,
        part: Part,
        content: Bytes,
    ) -> Reply<'a, PartTag> {
        B::part(self, key, upload, part, content)
    }
    fn complete<'a>(
        &'a self,
        key: Key<'a>,
        upload: &'a UploadId,
        parts: &'a [PartTag],
        write: &'a Write,
    ) -> Reply<'a, Stored> {
        B::complete(self, key, upload, parts, write)
    }
    fn abort<'a>(&'a self, key: Key<'a>, upload: &'a UploadId) -> Reply<'a, ()> {
        B::abort(self, key, upload)
    }
    fn sweep(&self, age: Duration) -> Reply<'_, u64> {
        B::sweep(self, age)
    }
}

impl<B: Bug> Lifecycle for Planted<B> {
    fn health(&self) -> Reply<'_, Health> {
        B::health(self)
    }

    fn capabilities(&self) -> Option<Capabilities> {
        let declared = ALL.iter().filter(|declared| !B::HIDES.contains(declared));
        Some(
            declared.fold(Capabilities::new(), |all, declared| all.with(declared, Support::Native)),
        )
    }
}

impl<B> Planted<B> {
    fn texts(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mark(&self) -> std::sync::MutexGuard<'_, Option<WriteId>> {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fixture<B: Bug>() -> Fixture {
    Fixture::new(|registry: &Registry<Disks>| {
        crate::register(registry, Descriptor::new("garden"), |config: MemoryConfig, build| {
            let inner = Arc::new(Memory::new(&config, build.clock().clone()));
            let (flag, texts, mark) = Default::default();
            async move { Ok(Planted::<B> { inner, flag, texts, mark, bug: PhantomData }) }
        })
    })
}

/// One test for each bug: the rule notices it, and is content with the same driver without it.
macro_rules! bugs {
    ($( $bug:ident: $test:ident, by $rule:ident { $( $body:item )* } )+) => {
        $(
            struct $bug;

            impl Bug for $bug { $( $body )* }

            #[test]
            fn $test() {
                notices::<$bug>(stringify!($rule));
            }
        )+

        /// The rules that notice a bug here.
        pub(super) const NOTICING: &[&str] = &[$( stringify!($rule) ),+];
    };
}
use bugs;

fn notices<B: Bug>(rule: &str) {
    assert_eq!(check(&fixture::<Sound>(), rule), Ok(()), "without the bug");
    let failure = check(&fixture::<B>(), rule).expect_err("the rule did not notice").to_string();
    assert!(!failure.starts_with(UNTIDY), "noticed only afterwards: {failure}");
}

/// A rule that fails because a call does, on a disk that is always out of order.
const FAILING: &str = "a_prefix_is_a_text_and_not_a_directory";

#[test]
fn an_exception_is_one_only_as_long_as_the_rule_fails_as_it_says() {
    fn is_excepted(fixture: Fixture, excepted: &'static [Exception]) -> bool {
        let fixture = fixture.except(excepted);
        let proved = std::panic::AssertUnwindSafe(|| prove(&fixture, FAILING));
        std::panic::catch_unwind(proved).is_ok()
    }
    const fn failing(kind: Option<ErrorKind>) -> Exception {
        Exception { rule: FAILING, kind, why: "the lists of the service are out of order" }
    }
    const UNAVAILABLE: &[Exception] = &[failing(Some(ErrorKind::Unavailable))];
    const UNSUPPORTED: &[Exception] = &[failing(Some(ErrorKind::Unsupported))];
    const OTHERWISE: &[Exception] = &[failing(None)];
    assert!(is_excepted(fixture::<ListsNothing>(), UNAVAILABLE));
    for wrong in [UNSUPPORTED, OTHERWISE, &[]] {
        assert!(!is_excepted(fixture::<ListsNothing>(), wrong), "{wrong:?}");
    }
    assert!(!is_excepted(fixture::<Sound>(), UNAVAILABLE), "it is kept");
}

/// Lists are out of order, for as long as there is something to list.
struct ListsNothing;

impl Bug for ListsNothing {
    fn list<'a>(on: &'a Planted<Self>, list: &'a List) -> Reply<'a, Page> {
        if list.prefix.is_empty() && !list.is_flat {
            return on.inner.list(list);
        }
        Reply::ready(Err(Error::new(ErrorKind::Unavailable, "lists are out of order")))
    }
}

#[test]
fn every_rule_that_needs_no_network_has_a_bug_that_it_notices() {
    let without: Vec<_> = OF_ALL
        .iter()
        .map(|rule| rule.name)
        .filter(|rule| !NOTICED.concat().contains(rule) && !OF_THE_HANDLE.contains(rule))
        .collect();
    assert_eq!(without, [""; 0]);
}

/// A list of what begins with the prefix but for the slash at its end.
fn without_slash<'a, B: Bug>(on: &'a Planted<B>, list: &'a List) -> Reply<'a, Page> {
    let prefix = list.prefix.trim_end_matches('/').to_owned();
    Reply::run(async move { on.inner.list(&List { prefix, ..list.clone() }).await })
}

/// What is told of an object, changed.
fn told<'a>(meta: Reply<'a, Meta>, change: impl FnOnce(&mut Meta) + Send + 'a) -> Reply<'a, Meta> {
    Reply::run(async move {
        let mut meta = meta.await?;
        change(&mut meta);
        Ok(meta)
    })
}

fn paged<'a>(page: Reply<'a, Page>, change: impl FnOnce(&mut Page) + Send + 'a) -> Reply<'a, Page> {
    Reply::run(async move {
        let mut page = page.await?;
        change(&mut page);
        Ok(page)
    })
}

fn put_as<'a, B: Bug>(
    on: &'a Planted<B>,
    key: String,
    content: Bytes,
    write: &'a Write,
) -> Reply<'a, Stored> {
    Reply::run(async move { on.inner.put(Key::parse(&key)?, content, write).await })
}

fn put_always<'a, B: Bug>(
    on: &'a Planted<B>,
    key: Key<'a>,
    content: Bytes,
    write: &'a Write,
) -> Reply<'a, Stored> {
    let write = Write { condition: Condition::Always, ..write.clone() };
    Reply::run(async move { on.inner.put(key, content, &write).await })
}

/// The condition held when somebody looked.
fn looked_first<'a, B: Bug>(
    on: &'a Planted<B>,
    key: Key<'a>,
    content: Bytes,
    write: &'a Write,
) -> Reply<'a, Stored> {
    Reply::run(async move {
        let there = on.inner.head(key).await.ok().map(|meta| meta.version);
        yield_now().await;
        let holds = match &write.condition {
            Condition::Always => true,
            Condition::Absent => there.is_none(),
            Condition::Version(version) => there.as_ref() == Some(version),
        };
        if !holds {
            return on.inner.put(key, content, write).await;
        }
        put_always(on, key, content, write).await
    })
}

fn copied<'a, B: Bug>(
    on: &'a Planted<B>,
    from: Key<'a>,
    to: Key<'a>,
    condition: &'a Condition,
    change: impl FnOnce(&mut Write) + Send + 'a,
) -> Reply<'a, Stored> {
    Reply::run(async move {
        let fetched = on.inner.get(from, &Read::default()).await?.ok_or_else(nothing_there)?;
        let Meta { attributes, checksum, .. } = fetched.meta;
        let condition = condition.clone();
        let mut write = Write { condition, attributes, checksum, write_id: None };
        change(&mut write);
        on.inner.put(to, fetched.body.collect(usize::MAX).await?, &write).await
    })
}

/// A lock that nobody opens who goes away.
fn locked<'a, B: Bug, T: Send + 'a>(on: &'a Planted<B>, reply: Reply<'a, T>) -> Reply<'a, T> {
    Reply::run(async move {
        if on.flag.swap(true, Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Unavailable, "somebody has locked it"));
        }
        yield_now().await;
        let answer = reply.await;
        on.flag.store(false, Ordering::SeqCst);
        answer
    })
}

/// Everything beneath a key.
fn beneath(key: Key<'_>) -> List {
    List { prefix: format!("{key}/"), is_flat: false, after: None, token: None, limit: usize::MAX }
}

/// What the driver without bugs can do.
const ALL: &[&str] = &[
    capability::CREATE,
    capability::REPLACE,
    capability::DELETE_VERSION,
    capability::ATTRIBUTES,
    capability::CHECKSUM,
    capability::COPY,
    capability::RENAME,
    capability::PARTS,
    capability::WRITE,
    capability::LIST,
    capability::NESTED,
];

/// Rules that no driver can break, but what is done around it, and those for which a driver has to be more than
/// wrong: to keep what is not in this process, or to hang.
const OF_THE_HANDLE: &[&str] = &[
    "bytes_that_do_not_add_up_store_nothing",
    "what_is_no_key_is_refused_by_every_method",
    "a_dry_run_tells_what_would_go_and_leaves_it",
    "a_copy_onto_itself_changes_nothing",
    "what_one_process_began_another_completes",
    "bytes_that_are_changed_behind_the_driver_are_corrupt",
    "after_the_close_nothing_hangs",
];

/// The rules that notice a bug, by where the bug is.
const NOTICED: &[&[&str]] =
    &[objects::NOTICING, writes::NOTICING, lists::NOTICING, lives::NOTICING];
