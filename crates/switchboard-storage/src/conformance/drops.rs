//! Calls whose callers go away: at each await, and at any moment.
//!
//! Whatever is dropped, afterwards each key has its old object or its new one, whole, nothing else can be seen,
//! and the disk works on.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use futures_util::{StreamExt as _, TryStreamExt as _};
use switchboard_core::{Clock, Error, ErrorKind, Result};
use switchboard_testkit::rules::{Verdict, ensure};
use switchboard_testkit::{drop_at_every_await, inject, slowed};

use super::content::in_pieces;
use super::subject::{at_once, ensure_content, filled, keys};
use super::{Failure, Subject};
use crate::{Body, Disk};

/// A disk whose calls are dropped, and what was found wrong after them.
struct Harness<'s> {
    disk: &'s Disk,
    /// The number of the present call, each of which has keys of its own.
    number: Cell<u32>,
    /// Of which only the first is told.
    wrong: RefCell<Option<Failure>>,
}

/// What may be under a key afterwards: each of these, or nothing where `None` is among them.
type Allowed<'a> = Vec<(String, Vec<Option<&'a [u8]>>)>;

impl<'s> Harness<'s> {
    fn new(on: &'s Subject) -> Self {
        Self { disk: on.disk(), number: Cell::new(0), wrong: RefCell::default() }
    }

    /// Drops what `call` makes at each await, and looks after each whether what it may have changed is as
    /// `allowed` says, and nothing else is there. `prepare` comes before each.
    async fn prove<'a, T>(
        &self,
        prepare: impl Fn(u32) -> LocalBoxFuture<'a, Result<()>>,
        call: impl Fn(u32) -> LocalBoxFuture<'a, Result<T>>,
        allowed: impl Fn(u32) -> Allowed<'a>,
    ) -> Verdict {
        prepare(0).await?;
        for delay in SLOW {
            // A driver that answers at once would give nobody a moment to go away.
            let _slow = inject(self.disk.line(), slowed(delay))?;
            let awaits = drop_at_every_await(
                async || {
                    if let Err(error) = call(self.number.get()).await {
                        self.complain(error.into());
                    }
                },
                async |polls| {
                    if let Err(failure) = self.judge(&allowed(self.number.get())).await {
                        self.complain(Failure::new(format!("after {polls} polls: {failure}")));
                    }
                    self.number.set(self.number.get() + 1);
                    if let Err(error) = self.start_anew(prepare(self.number.get())).await {
                        self.complain(error.into());
                    }
                },
            );
            let awaits = awaits.await;
            if let Some(failure) = self.wrong.take() {
                return Err(failure);
            }
            if awaits > 0 {
                return Ok(());
            }
        }
        Err(Failure::new("the call was ready at once, which proves nothing"))
    }

    async fn start_anew(&self, prepare: LocalBoxFuture<'_, Result<()>>) -> Result<()> {
        self.disk.delete_all("").everything().await?;
        prepare.await
    }

    fn complain(&self, failure: Failure) {
        self.wrong.borrow_mut().get_or_insert(failure);
    }

    async fn judge(&self, allowed: &Allowed<'_>) -> Verdict {
        let listed = keys(self.disk, "").await?;
        let earlier: Vec<String> =
            (0..self.number.get()).map(|number| format!("{number}/")).collect();
        // Of an earlier call the answer may come late, and what it stored with it.
        let strange = listed.iter().find(|key| {
            !allowed.iter().any(|(known, _)| known == *key)
                && !earlier.iter().any(|earlier| key.starts_with(earlier))
        });
        ensure(strange.is_none(), || format!("there is {strange:?}, which nobody stored"))?;
        for (key, contents) in allowed {
            let found = match self.disk.read(key).await {
                Ok(found) => Some(found),
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                // It is replaced at this moment, by the call that was dropped.
                Err(error) if error.kind() == ErrorKind::Conflict => continue,
                Err(error) => return Err(error.into()),
            };
            ensure(contents.contains(&found.as_deref()), || {
                let length = found.as_ref().map(Bytes::len);
                format!("under {key:?} is neither the old nor the new: {length:?} bytes")
            })?;
        }
        Ok(())
    }
}

pub(super) async fn a_dropped_put_is_done_or_not(on: &Subject) -> Verdict {
    let (old, new) = (filled(1_000, 1), filled(3_000, 2));
    let (disk, content) = (on.disk(), new.clone());
    dropped_put(on, &old, &new, move |key| {
        let content = content.clone();
        Box::pin(async move { disk.put(&key, content).await.map(drop) })
    })
    .await
}

/// More than go into one part.
pub(super) async fn a_dropped_put_of_pieces_is_done_or_not(on: &Subject) -> Verdict {
    let (old, new) = (filled(1_000, 1), filled(LARGE, 2));
    let (disk, body) = (on.disk(), new.clone());
    dropped_put(on, &old, &new, move |key| {
        let body = with_a_late_end(&body);
        Box::pin(async move { disk.put(&key, body).await.map(drop) })
    })
    .await
}

/// Pieces, of which the last lets its caller go away in the middle, whatever the driver does.
fn with_a_late_end(bytes: &Bytes) -> Body {
    let (first, last) = (bytes.slice(..bytes.len() - 1), bytes.slice(bytes.len() - 1..));
    let last = async move {
        tokio::task::yield_now().await;
        Ok(last)
    };
    Body::stream(in_pieces(&first).chain(futures_util::stream::once(last)))
}

async fn dropped_put<'a>(
    on: &'a Subject,
    old: &'a Bytes,
    new: &'a Bytes,
    put: impl Fn(String) -> LocalBoxFuture<'a, Result<()>>,
) -> Verdict {
    let disk = on.disk();
    for is_there in [true, false] {
        let prepare = |number| -> LocalBoxFuture<'a, Result<()>> {
            Box::pin(async move {
                if is_there {
                    disk.put(&format!("{number}/key"), old.clone()).await?;
                }
                Ok(())
            })
        };
        let call = |number| put(format!("{number}/key"));
        let before = is_there.then_some(&old[..]);
        let allowed = |number| vec![(format!("{number}/key"), vec![before, Some(&new[..])])];
        Harness::new(on).prove(prepare, call, allowed).await?;
        disk.delete_all("").everything().await?;
    }
    Ok(())
}

/// Opened, read by half, and read whole.
pub(super) async fn a_dropped_read_leaves_the_object_as_it_was(on: &Subject) -> Verdict {
    let bytes = &filled(LARGE, 1);
    let disk = on.disk();
    let prepare = |number| -> LocalBoxFuture<'_, Result<()>> {
        Box::pin(async move { disk.put(&format!("{number}/key"), bytes.clone()).await.map(drop) })
    };
    let call = |number| -> LocalBoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let key = format!("{number}/key");
            disk.head(&key).await?;
            let mut object = disk.get(&key).await?;
            object.try_next().await?;
            drop(object);
            disk.get(&key).range(5..500).await?.bytes(1_000).await?;
            Ok(())
        })
    };
    let allowed = |number| vec![(format!("{number}/key"), vec![Some(&bytes[..])])];
    Harness::new(on).prove(prepare, call, allowed).await
}

pub(super) async fn a_dropped_list_leaves_the_disk_usable(on: &Subject) -> Verdict {
    let disk = on.disk();
    let prepare = |number| -> LocalBoxFuture<'_, Result<()>> {
        Box::pin(async move {
            for name in ["a", "b", "c/d"] {
                disk.put(&format!("{number}/{name}"), name).await?;
            }
            Ok(())
        })
    };
    let call = |number| -> LocalBoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let prefix = format!("{number}/");
            let found: Vec<_> = disk.list(&prefix).limit(1).entries().try_collect().await?;
            if found.len() == 3 {
                return Ok(());
            }
            Err(Error::new(ErrorKind::Unexpected, "a list has not all that is there"))
        })
    };
    let allowed = |number| {
        ["a", "b", "c/d"]
            .map(|name| (format!("{number}/{name}"), vec![Some(name.as_bytes())]))
            .into()
    };
    Harness::new(on).prove(prepare, call, allowed).await
}

/// Alone, and with others; those that were not asked for stay.
pub(super) async fn a_dropped_deletion_is_done_or_not(on: &Subject) -> Verdict {
    let disk = on.disk();
    let prepare = |number| -> LocalBoxFuture<'_, Result<()>> {
        Box::pin(async move {
            for name in ["one", "two", "three", "stays"] {
                disk.put(&format!("{number}/{name}"), "content").await?;
            }
            Ok(())
        })
    };
    let call = |number| -> LocalBoxFuture<'_, Result<()>> {
        Box::pin(async move {
            disk.delete(&format!("{number}/one")).await?;
            disk.delete_many(&[format!("{number}/two"), format!("{number}/three")]).await?;
            Ok(())
        })
    };
    let allowed = |number| {
        let content = Some(&b"content"[..]);
        let mut all: Allowed<'_> = ["one", "two", "three"]
            .map(|name| (format!("{number}/{name}"), vec![content, None]))
            .into();
        all.push((format!("{number}/stays"), vec![content]));
        all
    };
    Harness::new(on).prove(prepare, call, allowed).await
}

/// And what is renamed is under one of its names, or under both.
pub(super) async fn a_dropped_copy_is_done_or_not(on: &Subject) -> Verdict {
    let (disk, bytes) = (on.disk(), &filled(5_000, 1));
    let prepare = |number| -> LocalBoxFuture<'_, Result<()>> {
        Box::pin(async move {
            disk.put(&format!("{number}/from"), bytes.clone()).await?;
            disk.put(&format!("{number}/there"), "what was there").await?;
            Ok(())
        })
    };
    let copied = |number| {
        let there = vec![Some(&b"what was there"[..]), Some(&bytes[..])];
        vec![(format!("{number}/from"), vec![Some(&bytes[..])]), (format!("{number}/there"), there)]
    };
    let copy = |number| -> LocalBoxFuture<'_, Result<()>> {
        Box::pin(async move {
            disk.copy(&format!("{number}/from"), &format!("{number}/there")).await.map(drop)
        })
    };
    Harness::new(on).prove(prepare, copy, copied).await?;
    disk.delete_all("").everything().await?;
    let renamed = |number| {
        let mut all: Allowed<'_> = copied(number);
        all[0].1.push(None);
        all
    };
    let rename = |number| -> LocalBoxFuture<'_, Result<()>> {
        Box::pin(async move {
            disk.rename(&format!("{number}/from"), &format!("{number}/there")).await.map(drop)
        })
    };
    Harness::new(on).prove(prepare, rename, renamed).await
}

/// Of writers, readers and deleters of a few keys, each of which goes away at some moment.
pub(super) async fn a_storm_of_drops_leaves_only_whole_objects(on: &Subject) -> Verdict {
    let clock = Clock::system();
    let patiences: Vec<u64> = (0..STORM).map(|_| clock.random() % 3_000).collect();
    let storm = at_once(STORM, |number| {
        let disk = on.disk().clone();
        let patience = Duration::from_micros(patiences[number]);
        async move {
            let call = one_of_a_storm(&disk, number);
            // Whoever has no patience left goes away.
            tokio::time::timeout(patience, call).await.unwrap_or(Ok(()))
        }
    });
    for verdict in storm.await? {
        verdict?;
    }
    for key in keys(on.disk(), "").await? {
        ensure(KEYS.contains(&&*key), || format!("there is {key:?}, which nobody stored"))?;
        ensure_whole(on.disk(), &key).await?;
    }
    for key in KEYS {
        on.disk().put(key, "after the storm").await?;
        ensure_content(on.disk(), key, b"after the storm", "in the end").await?;
    }
    Ok(())
}

async fn one_of_a_storm(disk: &Disk, number: usize) -> Verdict {
    let key = KEYS[number % KEYS.len()];
    match number / KEYS.len() % 4 {
        0 | 1 => {
            // So long that each size is an object of its own.
            let seed = u32::try_from(number).unwrap_or(u32::MAX);
            disk.put(key, filled(number * 100, seed)).await?;
        }
        2 => ensure_whole(disk, key).await?,
        _ => {
            disk.delete(key).await?;
        }
    }
    Ok(())
}

/// What a writer of the storm stored, or nothing.
async fn ensure_whole(disk: &Disk, key: &str) -> Verdict {
    match disk.read(key).await {
        Ok(found) => {
            let number = found.len() / 100;
            let seed = u32::try_from(number).unwrap_or(u32::MAX);
            ensure(found == filled(number * 100, seed), || {
                format!("under {key:?} is a mix of {} bytes", found.len())
            })
        }
        Err(error) if [ErrorKind::NotFound, ErrorKind::Conflict].contains(&error.kind()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

const KEYS: [&str; 4] = ["storm/one", "storm/two", "three", "storm/four"];
const STORM: usize = 400;
/// How late a call is, so that it waits; longer, where that was over before anybody looked.
const SLOW: [Duration; 3] =
    [Duration::from_millis(1), Duration::from_millis(50), Duration::from_secs(1)];
/// More than one part.
const LARGE: usize = 9 << 20;
