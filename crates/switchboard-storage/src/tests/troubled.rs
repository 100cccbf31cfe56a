//! A disk in memory on whose way things go wrong, call by call, as a test says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use switchboard_core::{
    BuildContext, Capabilities, Error, ErrorKind, Lifecycle, Name, Policy, Reply, Result, Support,
};
use switchboard_testkit::Workbench;

use crate::drivers::memory::{Memory, MemoryConfig};
use crate::{
    Condition, Disk, DiskConfig, Disks, Fetched, Key, Limits, List, Meta, Page, Part, PartTag,
    Read, Served, StorageDriver, Stored, UploadId, Version, Write, capability,
};

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trouble {
    /// The service cannot be reached.
    Unreached,
    /// It is done, and the answer gets lost.
    Unanswered,
    /// Nothing ever comes back, and nothing is done.
    Silence,
}

/// What goes wrong from now on, and what was asked so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Troubles(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    coming: Vec<(&'static str, VecDeque<Trouble>)>,
    asked: Vec<String>,
    meanwhile: Option<(&'static str, &'static str, &'static str)>,
    corrupt: Vec<&'static str>,
}

impl Troubles {
    /// The next calls of `operation` go wrong like that.
    pub(super) fn expect(&self, operation: &'static str, troubles: &[Trouble]) {
        self.0.lock().unwrap().coming.push((operation, troubles.iter().copied().collect()));
    }

    /// After the next call of `operation` somebody else has stored `content` under `key`.
    pub(super) fn meanwhile(
        &self,
        operation: &'static str,
        key: &'static str,
        content: &'static str,
    ) {
        self.0.lock().unwrap().meanwhile = Some((operation, key, content));
    }

    /// What is read from now on under `key` is not what was stored.
    pub(super) fn corrupt(&self, key: &'static str) {
        self.0.lock().unwrap().corrupt.push(key);
    }

    fn is_corrupt(&self, key: Key<'_>) -> bool {
        let state = self.0.lock().unwrap();
        state.corrupt.iter().any(|corrupt| *corrupt == key.as_str())
    }

    /// How often something was asked that begins so.
    pub(super) fn asked(&self, what: &str) -> usize {
        self.0.lock().unwrap().asked.iter().filter(|asked| asked.starts_with(what)).count()
    }

    fn next(&self, asked: &str) -> Option<Trouble> {
        let mut state = self.0.lock().unwrap();
        let coming = state.coming.iter_mut().find(|(name, _)| asked.starts_with(name));
        let trouble = coming.and_then(|(_, troubles)| troubles.pop_front());
        state.asked.push(asked.to_owned());
        trouble
    }
}

/// A disk that can do all but what it is `without`, and what goes wrong on the way to it.
pub(super) fn troubled(
    limits: Limits,
    without: &[&str],
    config: DiskConfig,
) -> (Workbench<Disks>, Disk, Troubles) {
    let bench = Workbench::<Disks>::new().unwrap();
    let (disk, troubles) = beside(&bench, "main", limits, without, config);
    (bench, disk, troubles)
}

/// The same, beside others.
pub(super) fn beside(
    bench: &Workbench<Disks>,
    name: &str,
    limits: Limits,
    without: &[&str],
    config: DiskConfig,
) -> (Disk, Troubles) {
    let troubles = Troubles::default();
    let memory = Memory::new(&MemoryConfig::default(), bench.environment().clock().clone());
    let can = ALL.iter().filter(|name| !without.contains(name));
    let can = can.fold(Capabilities::new(), |can, name| can.with(name, Support::Native));
    let driver = Troubled { memory, limits, can: can.clone(), troubles: troubles.clone() };
    let build = BuildContext::new(bench.environment(), Name::parse(name).unwrap());
    let served = Served::new(driver, &can, config, &build).unwrap();
    let disk = bench.serve(name, served, Policy::default()).unwrap();
    (disk, troubles)
}

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

struct Troubled {
    memory: Memory,
    limits: Limits,
    can: Capabilities,
    troubles: Troubles,
}

impl Troubled {
    /// Does what `call` does, or what goes wrong with it.
    fn pass<'a, T: Send + 'a>(
        &'a self,
        asked: &str,
        call: impl FnOnce() -> Reply<'a, T>,
    ) -> Reply<'a, T> {
        let trouble = self.troubles.next(asked);
        match trouble {
            Some(Trouble::Unreached) => Reply::ready(Err(unreached().not_applied())),
            Some(Trouble::Silence) => Reply::run(std::future::pending()),
            Some(Trouble::Unanswered) => {
                let call = call();
                Reply::run(async move {
                    call.await?;
                    Err(unreached().in_doubt())
                })
            }
            None => {
                let call = call();
                let mut state = self.troubles.0.lock().unwrap();
                if let Some((_, key, content)) =
                    state.meanwhile.take_if(|(operation, ..)| asked.starts_with(*operation))
                {
                    let key = Key::parse(key).unwrap();
                    drop(self.memory.put(
                        key,
                        Bytes::from_static(content.as_bytes()),
                        &Write::default(),
                    ));
                }
                call
            }
        }
    }

    /// Whether the driver can do it; where not, the contract says what it answers.
    fn can(&self, capability: &str) -> bool {
        self.can.has(capability)
    }
}

fn unsupported<'a, T: Send + 'a>() -> Reply<'a, T> {
    Reply::ready(Err(Error::new(ErrorKind::Unsupported, "it cannot").not_applied()))
}

fn unreached() -> Error {
    Error::new(ErrorKind::Unavailable, "trouble on the way")
}

impl StorageDriver for Troubled {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn head<'a>(&'a self, key: Key<'a>) -> Reply<'a, Meta> {
        self.pass(&format!("head {key}"), || self.memory.head(key))
    }

    fn get<'a>(&'a self, key: Key<'a>, read: &'a Read) -> Reply<'a, Option<Fetched>> {
        let is_corrupt = self.troubles.is_corrupt(key);
        self.pass(&format!("get {key} {:?}", read.range), || {
            let got = self.memory.get(key, read);
            Reply::run(async move {
                let mut got = got.await?;
                if let Some(fetched) = got.as_mut().filter(|_| is_corrupt) {
                    let length = fetched.range.end - fetched.range.start;
                    fetched.body = vec![b'?'; usize::try_from(length).unwrap()].into();
                }
                Ok(got)
            })
        })
    }

    fn put<'a>(&'a self, key: Key<'a>, content: Bytes, write: &'a Write) -> Reply<'a, Stored> {
        self.pass(&format!("put {key}"), || self.memory.put(key, content, write))
    }

    fn delete<'a>(&'a self, key: Key<'a>, only: Option<&'a Version>) -> Reply<'a, bool> {
        if only.is_some() && !self.can(capability::DELETE_VERSION) {
            return unsupported();
        }
        self.pass(&format!("delete {key}"), || self.memory.delete(key, only))
    }

    fn delete_many<'a>(&'a self, keys: &'a [Key<'a>]) -> Reply<'a, Vec<Result<bool>>> {
        self.pass(&format!("many {}", keys[0]), || {
            Reply::run(async move {
                let mut deleted = Vec::new();
                for key in keys {
                    deleted.push(self.delete(*key, None).await);
                }
                Ok(deleted)
            })
        })
    }

    fn list<'a>(&'a self, list: &'a List) -> Reply<'a, Page> {
        let kind = if list.is_flat { "flat" } else { "deep" };
        self.pass(&format!("list {kind} {:?}", list.prefix), || self.memory.list(list))
    }

    fn copy<'a>(&'a self, from: Key<'a>, to: Key<'a>, on: &'a Condition) -> Reply<'a, Stored> {
        if !self.can(capability::COPY) {
            return unsupported();
        }
        self.pass(&format!("copy {from} {to}"), || self.memory.copy(from, to, on))
    }

    fn rename<'a>(&'a self, from: Key<'a>, to: Key<'a>, on: &'a Condition) -> Reply<'a, Stored> {
        if !self.can(capability::RENAME) {
            return unsupported();
        }
        self.pass(&format!("rename {from} {to}"), || self.memory.rename(from, to, on))
    }

    fn begin<'a>(&'a self, key: Key<'a>, write: &'a Write) -> Reply<'a, UploadId> {
        self.pass(&format!("begin {key}"), || self.memory.begin(key, write))
    }

    fn part<'a>(
        &'a self,
        key: Key<'a>,
        upload: &'a UploadId,
        part: Part,
        content: Bytes,
    ) -> Reply<'a, PartTag> {
        let asked = format!("part {}", part.number);
        self.pass(&asked, || self.memory.part(key, upload, part, content))
    }

    fn complete<'a>(
        &'a self,
        key: Key<'a>,
        upload: &'a UploadId,
        parts: &'a [PartTag],
        write: &'a Write,
    ) -> Reply<'a, Stored> {
        self.pass(&format!("complete {key}"), || self.memory.complete(key, upload, parts, write))
    }

    fn abort<'a>(&'a self, key: Key<'a>, upload: &'a UploadId) -> Reply<'a, ()> {
        self.pass(&format!("abort {key}"), || self.memory.abort(key, upload))
    }

    fn sweep(&self, age: Duration) -> Reply<'_, u64> {
        self.pass("sweep", || self.memory.sweep(age))
    }
}

impl Lifecycle for Troubled {}

/// As much goes into one request as a test can look through.
pub(super) fn small() -> Limits {
    Limits { part_min: 1, ..Limits::default() }
}

/// A disk whose objects travel in parts of so many bytes.
pub(super) fn in_parts_of(bytes: u64) -> DiskConfig {
    DiskConfig { part_size: switchboard_core::settings::ByteSize(bytes), ..DiskConfig::default() }
}
