//! Removing many objects.

use std::future::IntoFuture;

use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, TryStreamExt as _};
use switchboard_core::{Error, ErrorKind, Held, Result};

use crate::disk::{about, op};
use crate::{Disk, Disks, Key};

impl Disk {
    /// Removes what is under each of `keys`, any number of them, and answers for each in their order: `true` if
    /// something was there, where the service tells.
    ///
    /// An error of the whole means the first request: what goes wrong with a later one is the answer for every
    /// key that was left.
    ///
    /// ```
    /// # use switchboard_core::{Environment, Manager, Registry, Settings};
    /// # use switchboard_storage::Disks;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # runtime.block_on(async {
    /// # let disks = Manager::<Disks>::new(Registry::with_built_ins()?, &Environment::new())?;
    /// # disks.configure("main", &Settings::new().with("driver", "memory"))?;
    /// # let disk = disks.handle("main")?;
    /// disk.put("a", "…").await?;
    /// let deleted = disk.delete_many(&["a", "b"]).await?;
    /// assert!(matches!(deleted[..], [Ok(true), Ok(false)]));
    /// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
    /// ```
    pub async fn delete_many(&self, keys: &[impl AsRef<str> + Sync]) -> Result<Vec<Result<bool>>> {
        self.allow_writing(op::DELETE_MANY)?;
        let mut places = Vec::with_capacity(keys.len());
        for key in keys {
            places.push(self.place(op::DELETE_MANY, key.as_ref())?);
        }
        let (places, mut answers) = (&places[..], Vec::with_capacity(places.len()));
        while answers.len() < places.len() {
            let rest = &places[answers.len()..];
            let delete = |store: Held<Disks>| async move { store.delete_many(rest).await };
            let few = match self.line().call(op::DELETE_MANY, delete).await {
                Ok(few) => few,
                Err(error) if answers.is_empty() => return Err(error),
                Err(error) => {
                    let left = &keys[answers.len()..];
                    answers.extend(left.iter().map(|key| Err(about(error.clone(), key.as_ref()))));
                    break;
                }
            };
            if few.is_empty() || few.len() > rest.len() {
                return Err(Error::new(
                    ErrorKind::Unexpected,
                    "the driver answered for other keys",
                )
                .with_context("answers", few.len())
                .with_context("keys", rest.len()));
            }
            let told = few.into_iter().zip(&keys[answers.len()..]);
            answers.extend(told.map(|(answer, key)| {
                let answer = self.placed(op::DELETE_MANY, answer);
                answer.map_err(|error| about(error, key.as_ref()))
            }));
        }
        Ok(answers)
    }

    /// Removes everything whose key begins with `prefix`, a text and not a directory: `a` begins `ab` as well.
    ///
    /// An empty prefix is an error, unless [`everything`](DeleteAll::everything) says that it is meant. So is what
    /// goes wrong before anything has gone; after that, what has gone is told, with what went wrong
    /// ([`Deleted::failed`], [`Deleted::stopped`]).
    ///
    /// ```
    /// # use switchboard_core::{Environment, Manager, Registry, Settings};
    /// # use switchboard_storage::Disks;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # runtime.block_on(async {
    /// # let disks = Manager::<Disks>::new(Registry::with_built_ins()?, &Environment::new())?;
    /// # disks.configure("main", &Settings::new().with("driver", "memory"))?;
    /// # let disk = disks.handle("main")?;
    /// for key in ["logs/1", "logs/2", "notes/1"] {
    ///     disk.put(key, "…").await?;
    /// }
    /// let would_go = disk.delete_all("logs/").dry_run().await?;
    /// assert_eq!((would_go.objects, disk.exists("logs/1").await?), (2, true));
    ///
    /// assert_eq!(disk.delete_all("logs/").await?.objects, 2);
    /// assert!(disk.exists("notes/1").await?);
    /// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
    /// ```
    pub fn delete_all<'d>(&'d self, prefix: &'d str) -> DeleteAll<'d> {
        DeleteAll { disk: self, prefix, is_dry: false, is_everything: false }
    }
}

/// A deletion of all that begins alike. It happens when this is awaited.
#[must_use = "nothing is deleted until it is awaited"]
#[derive(Debug)]
pub struct DeleteAll<'d> {
    disk: &'d Disk,
    prefix: &'d str,
    is_dry: bool,
    is_everything: bool,
}

/// What went in a deletion of all that begins alike, or would have gone.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Deleted {
    /// How many objects.
    pub objects: u64,
    /// How many bytes they had together.
    pub bytes: u64,
    /// Those that did not go, by key, and why.
    pub failed: Vec<(String, Error)>,
    /// How many objects of others stay, because their keys are none that a disk can name.
    pub skipped: u64,
    /// Why it ended before all was asked for, after some of it had gone: there may be more than is told here.
    pub stopped: Option<Error>,
}

impl Deleted {
    /// What is told after `error`, which nobody expects to go away: only that, if nothing was done so far.
    fn until(self, error: Error) -> Result<Self> {
        if self.objects == 0 && self.failed.is_empty() {
            return Err(error);
        }
        Ok(Self { stopped: Some(error), ..self })
    }
}

impl DeleteAll<'_> {
    /// Only says what would go.
    pub fn dry_run(mut self) -> Self {
        self.is_dry = true;
        self
    }

    /// Yes, everything that this handle can reach, where the prefix is empty.
    pub fn everything(mut self) -> Self {
        self.is_everything = true;
        self
    }

    async fn run(self) -> Result<Deleted> {
        let Self { disk, prefix, is_dry, is_everything } = self;
        disk.allow_writing(op::DELETE_MANY)?;
        if prefix.is_empty() && !is_everything {
            let refusal =
                Error::new(ErrorKind::InvalidInput, "an empty prefix means everything there is")
                    .with_hint("say so with `.everything()`, if it is meant")
                    .not_applied();
            return disk.placed(op::DELETE_MANY, Err(refusal));
        }
        let mut deleted = Deleted::default();
        let pages = disk.list(prefix).pages();
        let mut pages = std::pin::pin!(pages);
        loop {
            let page = match pages.try_next().await {
                Ok(Some(page)) => page,
                Ok(None) => return Ok(deleted),
                Err(error) if is_dry => return Err(error),
                Err(error) => return deleted.until(error),
            };
            deleted.skipped += page.skipped;
            let keys: Vec<&str> = page.entries.iter().map(|entry| &*entry.key).collect();
            let answers = if is_dry {
                keys.iter().map(|_| Ok(true)).collect()
            } else {
                match disk.delete_many(&keys).await {
                    Ok(answers) => answers,
                    Err(error) => return deleted.until(error),
                }
            };
            for (entry, answer) in page.entries.iter().zip(answers) {
                match answer {
                    Ok(_) => {
                        deleted.objects += 1;
                        deleted.bytes += entry.size;
                    }
                    Err(error) => deleted.failed.push((entry.key.clone(), error)),
                }
            }
        }
    }
}

impl<'d> IntoFuture for DeleteAll<'d> {
    type Output = Result<Deleted>;
    type IntoFuture = BoxFuture<'d, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// The answers to `requests`, some of which are on their way at the same time, in their order: for services that
/// delete no more than one object with a request.
pub(crate) async fn together<F>(requests: Vec<F>) -> Vec<Result<bool>>
where
    F: Future<Output = Result<bool>>,
{
    futures_util::stream::iter(requests).buffered(AT_ONCE).collect().await
}

/// How many keys a service that deletes one with a request is given at once: what is answered is not lost when
/// later requests take too long.
#[cfg(any(feature = "azure", feature = "gcs"))]
pub(crate) const FEW: usize = 4 * AT_ONCE;
const AT_ONCE: usize = 16;

/// The keys of one request, of those that a disk was asked to delete.
pub(crate) fn keys(places: &[impl AsRef<str>]) -> Result<Vec<Key<'_>>> {
    places.iter().map(|place| Key::parse(place.as_ref())).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::Barrier;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_for_one_key_each_are_on_their_way_together_and_answered_in_order() {
        let barrier = Barrier::new(AT_ONCE);
        let requests = (0..3 * AT_ONCE).map(|number| {
            let barrier = &barrier;
            async move {
                barrier.wait().await;
                Ok(number % 2 == 0)
            }
        });
        let all = together(requests.collect());
        let answers = tokio::time::timeout(Duration::from_secs(9), all).await.unwrap();
        let answers: Vec<bool> = answers.into_iter().map(Result::unwrap).collect();
        assert!(answers.iter().enumerate().all(|(number, even)| *even == (number % 2 == 0)));
        assert_eq!(answers.len(), 3 * AT_ONCE);
    }
}
