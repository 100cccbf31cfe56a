//! Listing objects.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use switchboard_core::{Error, ErrorKind, Held, Result};

use crate::disk::op;
use crate::driver::{Entry, List, Page};
use crate::{Disk, Disks};

/// A list about to be made.
#[must_use = "nothing is listed until it is asked for"]
#[derive(Clone, Debug)]
pub struct Listing<'d> {
    disk: &'d Disk,
    list: List,
    at_once: NonZeroUsize,
}

impl<'d> Listing<'d> {
    pub(crate) fn new(disk: &'d Disk, prefix: &str) -> Self {
        let prefix = format!("{}{prefix}", disk.scope_prefix());
        let list = List { prefix, is_flat: false, after: None, token: None, limit: usize::MAX };
        Self { disk, list, at_once: NonZeroUsize::MIN }
    }

    /// Keys that go on after the next `/` count as one ([`Page::prefixes`]).
    pub fn flat(mut self) -> Self {
        self.list.is_flat = true;
        self
    }

    /// Only what comes after this key.
    pub fn after(mut self, key: &str) -> Self {
        self.list.after = Some(format!("{}{key}", self.disk.scope_prefix()));
        self
    }

    /// So many entries a page, or as many as the service gives at once.
    pub fn limit(mut self, limit: usize) -> Self {
        self.list.limit = limit;
        self
    }

    /// Lists what is beneath the next `/` of so many prefixes at the same time: worth it where a service answers
    /// slowly and there is much beneath each. The order of [`entries`](Self::entries) is the same.
    pub fn in_parallel(mut self, prefixes: NonZeroUsize) -> Self {
        self.at_once = prefixes;
        self
    }

    /// One page: the first, or the one that `token` of the page before leads to.
    pub async fn page(&self, token: Option<&str>) -> Result<Page> {
        let list = &List { token: token.map(str::to_owned), ..self.list.clone() };
        let ask = |store: Held<Disks>| async move { store.list(list).await };
        let mut page = self.disk.line().call(op::LIST, ask).await?;
        let scope = self.disk.scope_prefix().len();
        for entry in &mut page.entries {
            entry.key.drain(..scope.min(entry.key.len()));
        }
        for prefix in &mut page.prefixes {
            prefix.drain(..scope.min(prefix.len()));
        }
        Ok(page)
    }

    /// All pages, as they are asked for.
    pub fn pages(self) -> impl Stream<Item = Result<Page>> + Send + 'd {
        futures_util::stream::try_unfold(Some(None), move |token| {
            let listing = self.clone();
            async move {
                let Some(token) = token else { return Ok(None) };
                let token: Option<String> = token;
                let mut page = listing.page(token.as_deref()).await?;
                let next = page.next.take().map(Some);
                Ok(Some((page, next)))
            }
        })
    }

    /// All objects, in the order of their keys. The next page is asked for when half of one is taken.
    ///
    /// ```
    /// # use switchboard_core::{Environment, Manager, Registry, Settings};
    /// # use switchboard_storage::Disks;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # runtime.block_on(async {
    /// # let disks = Manager::<Disks>::new(Registry::with_built_ins()?, &Environment::new())?;
    /// # disks.configure("main", &Settings::new().with("driver", "memory"))?;
    /// # let disk = disks.handle("main")?;
    /// use futures_util::TryStreamExt as _;
    ///
    /// for key in ["2026/notes", "2025/notes", "index"] {
    ///     disk.put(key, "…").await?;
    /// }
    /// let four = std::num::NonZeroUsize::new(4).unwrap();
    /// let keys = disk.list("").in_parallel(four).entries().map_ok(|entry| entry.key);
    /// let keys: Vec<_> = keys.try_collect().await?;
    /// assert_eq!(keys, ["2025/notes", "2026/notes", "index"]);
    /// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
    /// ```
    pub fn entries(self) -> impl Stream<Item = Result<Entry>> + Send + 'd {
        if self.list.is_flat || self.at_once == NonZeroUsize::MIN {
            return self.in_order().boxed();
        }
        Parallel {
            at_once: self.at_once.get(),
            level: self.clone().level().boxed(),
            is_over: false,
            running: VecDeque::new(),
            listing: self,
        }
        .boxed()
    }

    /// All objects, in the order of their keys, in memory. More than `limit` of them are
    /// [`ErrorKind::TooLarge`].
    ///
    /// ```
    /// # use switchboard_core::{Environment, Manager, Registry, Settings};
    /// # use switchboard_storage::Disks;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # runtime.block_on(async {
    /// # let disks = Manager::<Disks>::new(Registry::with_built_ins()?, &Environment::new())?;
    /// # disks.configure("main", &Settings::new().with("driver", "memory"))?;
    /// # let disk = disks.handle("main")?;
    /// disk.put("notes/1", "…").await?;
    /// let notes = disk.list("notes/").collect(1000).await?;
    /// assert_eq!(notes[0].key, "notes/1");
    /// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
    /// ```
    pub async fn collect(self, limit: usize) -> Result<Vec<Entry>> {
        let disk = self.disk;
        let mut entries = pin!(self.entries());
        let mut all = Vec::new();
        while let Some(entry) = entries.try_next().await? {
            if all.len() == limit {
                let why = "there are more objects than were to be collected";
                let error = Error::new(ErrorKind::TooLarge, why).with_context("limit", limit);
                return disk.placed(op::LIST, Err(error));
            }
            all.push(entry);
        }
        Ok(all)
    }

    fn in_order(self) -> Ahead<'d> {
        let pages = self.pages().boxed();
        Ahead { pages: Some(pages), entries: Vec::new().into_iter(), half: 0, next: None }
    }

    /// What is on the first level, in order.
    fn level(self) -> impl Stream<Item = Result<Place>> + Send + 'd {
        let places = |page: Page| {
            let mut places: Vec<_> = page.entries.into_iter().map(Place::Entry).collect();
            places.extend(page.prefixes.into_iter().map(Place::Beneath));
            places.sort_by(|one, other| one.key().cmp(other.key()));
            futures_util::stream::iter(places.into_iter().map(Ok))
        };
        self.flat().pages().map_ok(places).try_flatten()
    }

    /// The same, of what is beneath `prefix` only.
    fn beneath(&self, prefix: &str) -> Self {
        let prefix = format!("{}{prefix}", self.disk.scope_prefix());
        Self { list: List { prefix, ..self.list.clone() }, ..self.clone() }
    }
}

/// What is on one level: an object, or what is beneath a prefix.
enum Place {
    Entry(Entry),
    Beneath(String),
}

impl Place {
    fn key(&self) -> &str {
        match self {
            Self::Entry(entry) => &entry.key,
            Self::Beneath(prefix) => prefix,
        }
    }
}

/// The entries of pages, of which one is asked for ahead.
struct Ahead<'d> {
    /// None after the last.
    pages: Option<BoxStream<'d, Result<Page>>>,
    entries: std::vec::IntoIter<Entry>,
    half: usize,
    next: Option<Result<Page>>,
}

impl Stream for Ahead<'_> {
    type Item = Result<Entry>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if self.next.is_none()
                && self.entries.len() <= self.half
                && let Some(pages) = &mut self.pages
            {
                match pages.poll_next_unpin(context) {
                    Poll::Ready(Some(page)) => self.next = Some(page),
                    Poll::Ready(None) => self.pages = None,
                    Poll::Pending => {}
                }
            }
            if let Some(entry) = self.entries.next() {
                return Poll::Ready(Some(Ok(entry)));
            }
            match self.next.take() {
                Some(Ok(page)) => {
                    self.half = page.entries.len() / 2;
                    self.entries = page.entries.into_iter();
                }
                Some(Err(error)) => {
                    self.pages = None;
                    return Poll::Ready(Some(Err(error)));
                }
                None if self.pages.is_none() => return Poll::Ready(None),
                None => return Poll::Pending,
            }
        }
    }
}

/// The entries of one level and of all beneath it, some of which are listed at the same time.
struct Parallel<'d> {
    listing: Listing<'d>,
    level: BoxStream<'d, Result<Place>>,
    is_over: bool,
    at_once: usize,
    /// In the order in which they are told.
    running: VecDeque<Running<'d>>,
}

/// What comes next of one place.
enum Running<'d> {
    Waiting(Box<Ahead<'d>>),
    /// The first, and what follows.
    Begun(Result<Entry>, Option<Box<Ahead<'d>>>),
    Over,
}

impl Running<'_> {
    /// Asks for the first entry, and no more: a place that is not told yet holds one page.
    fn begin(&mut self, context: &mut Context<'_>) {
        let Self::Waiting(entries) = self else { return };
        let Poll::Ready(first) = entries.poll_next_unpin(context) else { return };
        let Self::Waiting(entries) = std::mem::replace(self, Self::Over) else { return };
        if let Some(first) = first {
            *self = Self::Begun(first, Some(entries));
        }
    }
}

impl Parallel<'_> {
    /// Begins with as many places as may run at the same time.
    fn fill(&mut self, context: &mut Context<'_>) {
        while !self.is_over && self.running.len() < self.at_once {
            let place = match self.level.poll_next_unpin(context) {
                Poll::Pending => return,
                Poll::Ready(place) => place,
            };
            self.is_over = !matches!(place, Some(Ok(_)));
            self.running.extend(place.map(|place| match place {
                Ok(Place::Beneath(prefix)) => {
                    Running::Waiting(Box::new(self.listing.beneath(&prefix).in_order()))
                }
                Ok(Place::Entry(entry)) => Running::Begun(Ok(entry), None),
                Err(error) => Running::Begun(Err(error), None),
            }));
        }
    }
}

impl Stream for Parallel<'_> {
    type Item = Result<Entry>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            self.fill(context);
            for running in &mut self.running {
                running.begin(context);
            }
            match self.running.pop_front() {
                None if self.is_over => return Poll::Ready(None),
                None => return Poll::Pending,
                Some(Running::Over) => {}
                Some(waiting @ Running::Waiting(_)) => {
                    self.running.push_front(waiting);
                    return Poll::Pending;
                }
                Some(Running::Begun(first, rest)) => {
                    if first.is_err() {
                        self.is_over = true;
                        self.running.clear();
                    } else if let Some(rest) = rest {
                        self.running.push_front(Running::Waiting(rest));
                    }
                    return Poll::Ready(Some(first));
                }
            }
        }
    }
}
