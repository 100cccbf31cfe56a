//! What a rule works on: an empty disk of the driver under test, and the questions that many rules ask.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use switchboard_core::{
    Capabilities, Class, Environment, Error, ErrorKind, Held, Manager, Registry, Result, Settings,
};
use switchboard_testkit::rules::{ensure, equal};
use switchboard_testkit::{Wire, unique};
use tokio::task::JoinSet;

use super::{Failure, Fixture, Verdict};
use crate::{Attributes, Checksum, Deleted, Disk, Disks, Key, Meta, Write, capability};

/// What a rule works on: an empty disk of the driver under test.
pub struct Subject {
    fixture: Fixture,
    manager: Manager<Disks>,
    disk: Disk,
    settings: Settings,
    capabilities: Capabilities,
}

impl Subject {
    pub(super) async fn new(fixture: &Fixture) -> Result<Self> {
        let registry = Registry::empty();
        (fixture.register)(&registry)?;
        let described = registry.describe();
        let [described] = &described[..] else {
            return Err(Error::new(ErrorKind::Config, "`register` must add exactly one driver"));
        };
        let settings = (fixture.settings)(&unique("rules")).with("driver", &*described.name);
        if let Some(over) = &fixture.over {
            (over.register)(&registry)?;
        }
        let beneath = registry.describe().into_iter().find(|other| other.name != described.name);
        let manager = Manager::new(registry, &Environment::new())?;
        if let (Some(over), Some(beneath)) = (&fixture.over, beneath) {
            manager.configure(over.name, &Settings::new().with("driver", &*beneath.name))?;
        }
        manager.configure("main", &settings)?;
        let disk = manager.get("main").await?;
        let capabilities = disk.line().capabilities().await?;
        Ok(Self { fixture: fixture.clone(), manager, disk, settings, capabilities })
    }

    /// The disk.
    pub(super) fn disk(&self) -> &Disk {
        &self.disk
    }

    pub(super) fn manager(&self) -> &Manager<Disks> {
        &self.manager
    }

    pub(super) fn fixture(&self) -> &Fixture {
        &self.fixture
    }

    /// The settings of the disk.
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether the driver declares that it can do this.
    pub(super) fn can(&self, capability: &str) -> bool {
        self.capabilities.has(capability)
    }

    /// Whether nobody else uses what the driver of the disk is connected to.
    pub(super) fn is_alone(&self) -> Result<bool> {
        Ok(held(&self.disk)?.config().prefix.is_none())
    }

    /// Another instance with these settings beside those of the disk, which keeps the same objects, unless the
    /// driver keeps them in itself.
    pub(super) async fn another(&self, others: Settings) -> Result<Disk> {
        self.built(self.settings.clone(), others).await
    }

    /// Another instance, over a network that breaks when it is told to.
    pub(super) async fn behind_wire(
        &self,
        others: Settings,
    ) -> std::result::Result<(Wire, Disk), Failure> {
        let server = self.fixture.server.as_ref();
        let server = server.ok_or_else(|| Failure::new("the fixture names no server"))?;
        let wire = Wire::to(server.address).await;
        let settings = (server.through)(self.settings.clone(), wire.address());
        Ok((wire, self.built(settings, others).await?))
    }

    async fn built(&self, mut settings: Settings, others: Settings) -> Result<Disk> {
        let name = unique("another");
        settings.merge(others);
        self.manager.configure(&name, &settings)?;
        self.manager.get(&name).await
    }

    /// Stores an object through the disk; for a driver that only reads, through its [stock](Fixture::stocked)
    /// or the disk [beneath](Fixture::over) it.
    pub(super) async fn stock(&self, key: &str, content: impl Into<Bytes>) -> Result<()> {
        let content = content.into();
        match (&self.fixture.stock, &self.fixture.over) {
            (Some(stock), _) => stock(self.settings.clone(), key.to_owned(), content).await,
            (None, Some(over)) if !self.can(capability::WRITE) => {
                self.manager.get(over.name).await?.put(key, content).await.map(drop)
            }
            _ => self.disk.put(key, content).await.map(drop),
        }
    }

    /// Everything that can be said of an object, if the driver keeps any of it.
    pub(super) fn attributes(&self) -> Attributes {
        if !self.can(capability::ATTRIBUTES) {
            return Attributes::default();
        }
        Attributes {
            content_type: Some("text/x-rules; charset=utf-8".to_owned()),
            cache_control: Some("private, max-age=60".to_owned()),
            content_disposition: Some("attachment; filename=\"a b.txt\"".to_owned()),
            content_encoding: Some("identity".to_owned()),
            content_language: Some("de-CH".to_owned()),
            metadata: [
                ("author", "Ada L."),
                ("x7", "50 % \"off\" (today) = ~!"),
                ("7-of.9_x002d_", "as other tools name it"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        }
    }

    /// That this is what is said of an object, if the driver keeps any of it.
    pub(super) fn ensure_said(&self, of: &Meta, expected: &Attributes, what: &str) -> Verdict {
        if !self.can(capability::ATTRIBUTES) {
            return Ok(());
        }
        equal(&of.attributes, expected, what)
    }

    /// Leaves nothing behind.
    pub(super) async fn tidy(&self) -> Verdict {
        let tidied = tokio::time::timeout(TIDY_LIMIT, Box::pin(self.remove_all())).await;
        tidied.unwrap_or_else(|_| Err(Failure::new(format!("{UNTIDY}: after {TIDY_LIMIT:?}"))))
    }

    /// Removes what the rule left.
    async fn remove_all(&self) -> Verdict {
        if self.can(capability::LIST) && self.can(capability::WRITE) {
            let mut deleted = self.disk.delete_all("").everything().await?;
            let mut errors = deleted.failed.iter().map(|(_, error)| error).chain(&deleted.stopped);
            // How busy the service is says nothing about what the rule left.
            if errors.any(|error| error.class() == Class::Outage) {
                deleted = self.disk.delete_all("").everything().await?;
            }
            let Deleted { failed, stopped, .. } = deleted;
            ensure(failed.is_empty(), || format!("{UNTIDY}: {failed:?}"))?;
            ensure(stopped.is_none(), || format!("{UNTIDY}: {stopped:?}"))?;
        }
        let closed = self.manager.close(HANG_LIMIT).await;
        closed.into_result().map_err(|error| Failure::new(format!("{UNTIDY}: {error:?}")))
    }
}

/// What serves `disk`.
pub(super) fn held(disk: &Disk) -> Result<Held<Disks>> {
    let missing = || Error::new(ErrorKind::Unexpected, "nothing serves the disk");
    disk.line().hold().ok_or_else(missing)
}

/// The key that the driver of a disk is given for `key`.
pub(super) fn place(held: &Held<Disks>, key: &str) -> String {
    held.place(key).into_owned()
}

/// How the driver is asked to store `content`, by a disk that says nothing else.
pub(super) fn plain(content: &[u8]) -> Write {
    Write { checksum: Some(Checksum::of(content)), ..Write::default() }
}

/// Asks the driver itself to store `content` under a key of the disk.
pub(super) async fn put_behind(disk: &Disk, key: &str, content: &[u8]) -> Result<crate::Stored> {
    let held = held(disk)?;
    let place = place(&held, key);
    let content = Bytes::copy_from_slice(content);
    held.driver().put(Key::parse(&place)?, content.clone(), &plain(&content)).await
}

/// Everything that is under keys that begin with `prefix`, in the order in which it is told.
pub(super) async fn keys(disk: &Disk, prefix: &str) -> Result<Vec<String>> {
    disk.list(prefix).entries().map_ok(|entry| entry.key).try_collect().await
}

/// That these keys are on the disk, in this order, and no others.
pub(super) async fn ensure_keys(disk: &Disk, expected: &[&str], when: &str) -> Verdict {
    let found = keys(disk, "").await?;
    ensure(found == expected, || format!("{when} there are {found:?}, not {expected:?}"))
}

/// That this is what is under `key`, whichever way it is asked.
pub(super) async fn ensure_content(disk: &Disk, key: &str, expected: &[u8], when: &str) -> Verdict {
    let found = disk.read(key).await?;
    ensure(found == expected, || {
        let (found, expected) = (shortened(&found), shortened(expected));
        format!("{when} there is {found} under {key:?}, not {expected}")
    })?;
    let size = disk.head(key).await?.size;
    equal(&size, &length(expected), &format!("{when} the size of {key:?}"))
}

/// That nothing is under `key`, whichever way it is asked.
pub(super) async fn ensure_absent(disk: &Disk, key: &str, when: &str) -> Verdict {
    let is_there = disk.exists(key).await?;
    ensure(!is_there, || format!("{when} there is something under {key:?}"))?;
    let found = keys(disk, key).await?;
    ensure(!found.iter().any(|found| found == key), || format!("{when} {key:?} is listed"))
}

/// So many bytes, which tell where they are and of which object they are.
pub(super) fn filled(size: usize, seed: u32) -> Bytes {
    let words = (0_u32..).flat_map(|at| (at.wrapping_mul(2_654_435_761) ^ seed).to_le_bytes());
    words.take(size).collect()
}

/// The answers of `count` tasks, each on a task of its own, in the order of their numbers.
pub(super) async fn at_once<T, Fut>(
    count: usize,
    work: impl Fn(usize) -> Fut,
) -> std::result::Result<Vec<T>, Failure>
where
    T: Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let work = work(number);
        tasks.spawn(async move { (number, work.await) });
    }
    let mut answers = Vec::with_capacity(count);
    while let Some(ended) = tasks.join_next().await {
        answers.push(ended.map_err(|error| Failure::new(format!("a task failed: {error}")))?);
    }
    answers.sort_by_key(|(number, _)| *number);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}

/// Stores an empty object under each of these keys, several at a time.
pub(super) async fn put_all(on: &Subject, keys: &[impl AsRef<str>]) -> Result<()> {
    let puts = keys.iter().map(|key| on.stock(key.as_ref(), Bytes::new()));
    let mut puts = futures_util::stream::iter(puts).buffer_unordered(PUTS_AT_ONCE);
    while puts.try_next().await?.is_some() {}
    Ok(())
}

/// What is answered in time; otherwise it hangs.
pub(super) async fn in_time<T>(
    what: &str,
    future: impl IntoFuture<Output = T>,
) -> std::result::Result<T, Failure> {
    let answered = tokio::time::timeout(HANG_LIMIT, Box::pin(future.into_future())).await;
    answered.map_err(|_| Failure::new(format!("{what} took longer than {HANG_LIMIT:?}")))
}

pub(super) fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn shortened(bytes: &[u8]) -> String {
    let first = bytes.get(..20).unwrap_or(bytes).escape_ascii();
    format!("{} bytes \"{first}\"", bytes.len())
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("disk", &self.disk).finish_non_exhaustive()
    }
}

/// How the failure begins of a disk that cannot be emptied or closed.
pub(crate) const UNTIDY: &str = "it is not left tidy";

/// Longer than anything takes that does not hang.
pub(super) const HANG_LIMIT: Duration = Duration::from_mins(1);
const TIDY_LIMIT: Duration = Duration::from_mins(5);
const PUTS_AT_ONCE: usize = 16;
