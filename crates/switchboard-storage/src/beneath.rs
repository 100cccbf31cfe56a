//! A disk as the driver of another one: what layers stand on.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use switchboard_core::{
    BuildContext, Capabilities, Effect, Error, Health, Held, Leased, Lifecycle, Op, Reply, Result,
};

use crate::disk::op;
use crate::doubt::Doubt;
use crate::driver::{
    Condition, Fetched, Limits, List, Page, Part, PartTag, Read, Sign, Signed, StorageDriver,
    Stored, UploadId, Write,
};
use crate::store::Store;
use crate::{Body, Disk, Disks, Key, Meta, Version};

/// A disk as the driver of another one: what layers stand on.
///
/// Every question takes the way of that disk: through its gates, into its prefix, and to whichever driver serves
/// it by then. It is closed after the instance that stands on it. Its errors come as they are, and say that they
/// happened there.
///
/// An object is read as it comes: whoever stands above adds it up, and takes reading up again.
pub struct Beneath {
    disk: Disk,
    capabilities: Capabilities,
    limits: Limits,
}

impl Beneath {
    /// The instance `name`, which is created first if need be. A group is none: nobody could say where what is
    /// begun in parts is to be completed.
    pub async fn of(name: &str, build: &BuildContext) -> Result<Self> {
        let disk = build.other::<Disks>(name).await?;
        let capabilities = disk.line().capabilities().await?;
        let ask = |store: Held<Disks>| async move { Ok(store.driver().limits()) };
        let limits = disk.line().call(op::PREPARE, ask).await?;
        Ok(Self { disk, capabilities, limits })
    }

    /// The disk itself.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// What it could do when this was made.
    pub fn can(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Asks for a request that is answered at once.
    async fn ask<T, F, Fut>(&self, op: Op, ask: F) -> Result<T>
    where
        T: Send,
        F: Fn(Held<Disks>) -> Fut + Send + Sync,
        Fut: Future<Output = Result<T>> + Send,
    {
        self.disk.line().call(op, ask).await
    }
}

impl StorageDriver for Beneath {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn head<'a>(&'a self, key: Key<'a>) -> Reply<'a, Meta> {
        Reply::run(self.ask(op::HEAD, move |store| async move { store.head(key.as_str()).await }))
    }

    fn get<'a>(&'a self, key: Key<'a>, read: &'a Read) -> Reply<'a, Option<Fetched>> {
        Reply::run(async move {
            let get = |store: Held<Disks>| async move { store.get(key.as_str(), read).await };
            self.disk.line().open(op::GET, get).await.map(flowing)
        })
    }

    fn put<'a>(&'a self, key: Key<'a>, content: Bytes, write: &'a Write) -> Reply<'a, Stored> {
        Reply::run(async move {
            let (content, doubt) = (&content, &Doubt::default());
            let put = |store: Held<Disks>| async move {
                store.put(key.as_str(), content.clone(), write, doubt).await
            };
            self.ask(once(op::PUT, write), put).await
        })
    }

    fn delete<'a>(&'a self, key: Key<'a>, only: Option<&'a Version>) -> Reply<'a, bool> {
        Reply::run(
            self.ask(
                op::DELETE,
                move |store| async move { store.delete(key.as_str(), only).await },
            ),
        )
    }

    fn list<'a>(&'a self, list: &'a List) -> Reply<'a, Page> {
        Reply::run(self.ask(op::LIST, move |store| async move { store.list(list).await }))
    }

    fn delete_many<'a>(&'a self, keys: &'a [Key<'a>]) -> Reply<'a, Vec<Result<bool>>> {
        Reply::run(async move {
            let keys: &Vec<_> = &keys.iter().map(|key| key.as_str()).collect();
            let delete = |store: Held<Disks>| async move { store.delete_many(keys).await };
            self.ask(op::DELETE_MANY, delete).await
        })
    }

    fn copy<'a>(
        &'a self,
        from: Key<'a>,
        to: Key<'a>,
        condition: &'a Condition,
    ) -> Reply<'a, Stored> {
        // Made again after it worked, a copy on a condition would find its own.
        let op = match condition {
            Condition::Always => op::COPY,
            _ => op::COPY.with_effect(Effect::Unsafe),
        };
        Reply::run(self.ask(op, move |store| async move {
            store.copy(from.as_str(), to.as_str(), condition).await
        }))
    }

    fn rename<'a>(
        &'a self,
        from: Key<'a>,
        to: Key<'a>,
        condition: &'a Condition,
    ) -> Reply<'a, Stored> {
        Reply::run(self.ask(op::RENAME, move |store| async move {
            store.rename(from.as_str(), to.as_str(), condition).await
        }))
    }

    fn begin<'a>(&'a self, key: Key<'a>, write: &'a Write) -> Reply<'a, UploadId> {
        Reply::run(
            self.ask(op::BEGIN, move |store| async move { store.begin(key.as_str(), write).await }),
        )
    }

    fn part<'a>(
        &'a self,
        key: Key<'a>,
        upload: &'a UploadId,
        part: Part,
        content: Bytes,
    ) -> Reply<'a, PartTag> {
        Reply::run(async move {
            let content = &content;
            let keep = |store: Held<Disks>| async move {
                store.part(key.as_str(), upload, part, content.clone()).await
            };
            self.ask(op::PART, keep).await
        })
    }

    fn complete<'a>(
        &'a self,
        key: Key<'a>,
        upload: &'a UploadId,
        parts: &'a [PartTag],
        write: &'a Write,
    ) -> Reply<'a, Stored> {
        Reply::run(async move {
            let doubt = &Doubt::default();
            let complete = |store: Held<Disks>| async move {
                store.complete(key.as_str(), upload, parts, write, doubt).await
            };
            // Completed a second time, an upload is unknown to its service: only the mark tells.
            let effect = if write.write_id.is_some() { Effect::Keyed } else { Effect::Unsafe };
            self.ask(op::COMPLETE.with_effect(effect), complete).await
        })
    }

    fn abort<'a>(&'a self, key: Key<'a>, upload: &'a UploadId) -> Reply<'a, ()> {
        Reply::run(
            self.ask(
                op::ABORT,
                move |store| async move { store.abort(key.as_str(), upload).await },
            ),
        )
    }

    fn sweep(&self, age: Duration) -> Reply<'_, u64> {
        Reply::run(self.ask(op::SWEEP, move |store| async move { store.sweep(age).await }))
    }

    fn sign<'a>(&'a self, request: &'a Sign) -> Reply<'a, Signed> {
        Reply::run(self.ask(op::SIGN, move |store| async move { store.sign(request).await }))
    }
}

impl Lifecycle for Beneath {
    fn health(&self) -> Reply<'_, Health> {
        Reply::run(async {
            match self.disk.line().hold() {
                Some(store) => Store::health(&store).await,
                None => Ok(Health::not_checked()),
            }
        })
    }

    fn capabilities(&self) -> Option<Capabilities> {
        Some(self.capabilities.clone())
    }
}

/// How often `write` may be made: on a condition without a mark, it would not be known again.
fn once(op: Op, write: &Write) -> Op {
    match (&write.condition, write.write_id) {
        (_, Some(_)) => op.with_effect(Effect::Keyed),
        (Condition::Always, None) => op,
        (_, None) => op.with_effect(Effect::Unsafe),
    }
}

/// What was opened, which keeps whoever opened it until it ends or is dropped.
fn flowing(leased: Leased<Disks, Option<Fetched>>) -> Option<Fetched> {
    let fetched = leased.shared().0.as_ref()?;
    let (meta, range) = (fetched.meta.clone(), fetched.range.clone());
    let pieces = futures_util::stream::try_unfold(leased, |mut leased| async move {
        let (fetched, step) = leased.parts();
        let Some(fetched) = fetched else { return Ok::<_, Error>(None) };
        let piece = step.run(op::READ, fetched.body.try_next()).await?;
        Ok(piece.map(|piece| (piece, leased)))
    });
    Some(Fetched { meta, range, body: Body::stream(pieces) })
}

impl fmt::Debug for Beneath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Beneath").field("disk", &self.disk).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt as _;
    use switchboard_core::{
        Clock, Environment, Error, ErrorKind, Fault, Faults, Manager, Outcome, Policy, Registry,
        Retry, RetryPolicy, Settings, Support,
    };
    use switchboard_testkit::inject;

    use super::*;
    use crate::{Method, capability};

    /// `main`, and instances of these settings that stand on it.
    async fn disks(above: &[(&str, Settings)]) -> (Manager<Disks>, Disk) {
        let registry = Registry::with_built_ins().unwrap();
        let disks = Manager::<Disks>::new(registry, &Environment::new()).unwrap();
        let main = Settings::new().with("driver", "memory").with("part_size", "1KiB");
        disks.configure("main", &main).unwrap();
        for (name, settings) in above {
            disks.configure(name, &settings.clone().with("disk", "main")).unwrap();
        }
        let main = disks.get("main").await.unwrap();
        (disks, main)
    }

    fn part() -> Settings {
        Settings::new().with("driver", "prefix").with("prefix", "part").with("part_size", "1KiB")
    }

    fn read_only() -> Settings {
        Settings::new().with("driver", "read_only")
    }

    #[tokio::test]
    async fn an_error_from_beneath_stays_what_it_is() {
        let (disks, main) = disks(&[("part", part()), ("archive", read_only())]).await;
        for above in ["part", "archive"] {
            let above = disks.get(above).await.unwrap();
            let error = Error::new(ErrorKind::RateLimited, "too many at once")
                .retry_later()
                .with_context("bucket", "b")
                .in_doubt();
            let faults = Faults::new(Clock::seeded(0)).chance(1.0, Fault::Fail(error));
            let _faults = inject(main.line(), faults).unwrap();
            let error = above.head("key").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::RateLimited);
            assert_eq!(error.retry(), Retry::Later);
            assert_eq!(error.outcome(), Outcome::Unknown);
            assert_eq!(error.context_value("bucket"), Some("b"));
            assert_eq!(error.place().unwrap().instance.as_ref(), "main", "{error}");
        }
    }

    #[tokio::test]
    async fn what_was_stored_beneath_although_the_answer_was_lost_is_known_again() {
        let (disks, main) = disks(&[("part", part())]).await;
        let part = disks.get("part").await.unwrap();
        part.head("key").await.unwrap_err();
        let lost = Error::new(ErrorKind::Unavailable, "the answer was lost").in_doubt();
        let faults = Faults::new(Clock::seeded(0)).script([Fault::ApplyThenFail(lost)]);
        let faults = inject(main.line(), faults).unwrap();
        part.put("key", "mine").if_absent().await.unwrap();
        assert_eq!(faults.injected(), 1);
        assert_eq!(main.read("part/key").await.unwrap(), "mine");
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_with_a_mark_is_made_again_beneath_and_one_without_is_not() {
        let (disks, main) = disks(&[("part", part())]).await;
        let retrying = Policy { retry: Some(RetryPolicy::default()), ..Policy::default() };
        disks.retune("main", retrying).unwrap();
        let part = disks.get("part").await.unwrap();
        let lost = Error::new(ErrorKind::Unavailable, "the request was lost").in_doubt();
        let once = || Faults::new(Clock::seeded(0)).script([Fault::Fail(lost.clone())]);

        let faults = inject(main.line(), once()).unwrap();
        part.put("key", "mine").if_absent().await.unwrap();
        assert_eq!(faults.injected(), 1);
        drop(faults);

        let _faults = inject(main.line(), once()).unwrap();
        let write = Write { condition: Condition::Absent, ..Write::default() };
        let held = part.line().hold().unwrap();
        let key = Key::parse("part/other").unwrap();
        let error = held.driver().put(key, "".into(), &write).await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::Unknown);
        assert!(!main.exists("part/other").await.unwrap());
    }

    #[tokio::test]
    async fn a_disk_can_do_what_the_one_beneath_it_can() {
        let above = [("part", part()), ("archive", read_only())];
        let (disks, main) = disks(&above).await;
        let can = async |name| disks.get(name).await.unwrap().line().capabilities().await.unwrap();
        assert_eq!(can("part").await, main.line().capabilities().await.unwrap());
        let archive = can("archive").await;
        assert_eq!(archive.support(capability::LIST), Support::Native);
        assert_eq!(archive.support(capability::CHECKSUM), Support::Native);
        for refused in [capability::WRITE, capability::PARTS, capability::COPY, capability::CREATE]
        {
            assert!(!archive.has(refused), "{refused}");
        }
    }

    #[tokio::test]
    async fn nobody_gets_an_address_under_which_a_disk_that_is_only_read_is_changed() {
        let (disks, _) = disks(&[("archive", read_only())]).await;
        let archive = disks.get("archive").await.unwrap();
        let held = archive.line().hold().unwrap();
        for (method, refused_by) in [
            (Method::Put, "the disk is only for reading"),
            (Method::Delete, "the disk is only for reading"),
            (Method::Get, "the driver cannot do this"),
        ] {
            let request = Sign {
                method,
                key: "key".to_owned(),
                ttl: Duration::from_mins(1),
                content_type: None,
                content_disposition: None,
                size_max: None,
            };
            let error = held.driver().sign(&request).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert_eq!(error.message(), refused_by);
        }
    }

    #[tokio::test]
    async fn large_objects_pass_part_by_part() {
        let (disks, main) = disks(&[("part", part())]).await;
        let part = disks.get("part").await.unwrap();
        part.put("large", vec![7; 5000]).await.unwrap();
        let figures = main.line().figures();
        let parts = figures.iter().find(|op| op.operation == "part").unwrap().succeeded;
        assert_eq!(parts, 5);
        assert_eq!(main.read("part/large").await.unwrap(), vec![7; 5000]);
    }

    #[tokio::test]
    async fn whoever_still_reads_above_is_served_from_beneath_until_the_end() {
        let (disks, main) = disks(&[("part", part())]).await;
        let part = disks.get("part").await.unwrap();
        part.put("key", "to the end").await.unwrap();
        let mut open = part.get("key").await.unwrap();
        assert_eq!(main.line().in_flight(), 1, "what is read is held beneath");
        let close = disks.close(Duration::from_secs(10));
        let read = async {
            // Closing has begun when nobody is let in any more.
            while part.head("key").await.is_ok() {
                tokio::task::yield_now().await;
            }
            assert_eq!(open.try_next().await.unwrap().unwrap(), "to the end");
            assert!(open.try_next().await.unwrap().is_none());
            drop(open);
        };
        let (closed, ()) = tokio::join!(close, read);
        closed.into_result().unwrap();
    }

    #[tokio::test]
    async fn a_part_of_a_disk_has_a_prefix() {
        for settings in [Settings::new(), Settings::new().with("prefix", "/")] {
            let (disks, _) = disks(&[("part", settings.with("driver", "prefix"))]).await;
            let error = disks.get("part").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
            assert_eq!(error.context_value("setting"), Some("prefix"));
        }
    }
}
