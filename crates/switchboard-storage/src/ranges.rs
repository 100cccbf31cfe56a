//! Reading several parts of an object at once.

use std::ops::Range;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use switchboard_core::{Error, ErrorKind, Result};

use crate::cut::Plan;
use crate::disk::{about, op};
use crate::{ByteRange, Disk, Version};

impl Disk {
    /// The bytes of each of `ranges`, in their order, all of one version: if the object is replaced meanwhile,
    /// that is [`ErrorKind::Conflict`].
    ///
    /// What is near to each other is one request. A range is cut at the end of the object; one that begins there, or
    /// has no bytes, is an error as with [`get`](Self::get). All that is read at the same time is bounded by
    /// the setting `read_max`.
    ///
    /// ```
    /// # use switchboard_core::{Environment, Manager, Registry, Settings};
    /// # use switchboard_storage::Disks;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # runtime.block_on(async {
    /// # let disks = Manager::<Disks>::new(Registry::with_built_ins()?, &Environment::new())?;
    /// # disks.configure("main", &Settings::new().with("driver", "memory"))?;
    /// # let disk = disks.handle("main")?;
    /// disk.put("table", "head|body|foot").await?;
    /// let parts = disk.get_ranges("table", &[10..99, 0..4]).await?;
    /// assert_eq!(parts, ["foot", "head"]);
    /// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
    /// ```
    pub async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let plan = self.plan().await?;
        self.ranges(key, ranges, plan, plan.read_max).await
    }

    /// The bytes of each of `ranges`, `limit` at most.
    pub(crate) async fn ranges(
        &self,
        key: &str,
        ranges: &[Range<u64>],
        plan: Plan,
        limit: u64,
    ) -> Result<Vec<Bytes>> {
        self.place(op::GET, key)?;
        let spans = Spans::of(ranges).and_then(|spans| spans.fit(limit));
        let read = match self.placed(op::GET, spans) {
            Ok(spans) => self.read_spans(key, ranges, spans, plan).await,
            Err(error) => Err(error),
        };
        read.map_err(|error| about(error, key))
    }

    async fn read_spans(
        &self,
        key: &str,
        ranges: &[Range<u64>],
        spans: Spans,
        plan: Plan,
    ) -> Result<Vec<Bytes>> {
        let Some((first, rest)) = spans.0.split_first() else { return Ok(Vec::new()) };
        let object = self.get(key).range(first.clone()).await?;
        let (size, version) = (object.meta().size, object.meta().version.clone());
        for range in ranges {
            self.placed(op::GET, ByteRange::from(range.clone()).of(size))?;
        }
        let mut read = vec![object.bytes(usize::MAX).await?];
        // Collected before it waits: with the closure in it, nobody could prove that it may go to another thread.
        let rest: Vec<_> =
            rest.iter().map(|span| self.read_span(key, span.clone(), &version)).collect();
        let rest = futures_util::stream::iter(rest).buffered(plan.parts_at_once.get());
        read.extend(rest.try_collect::<Vec<_>>().await?);
        Ok(ranges.iter().map(|range| spans.cut(range, &read)).collect())
    }

    async fn read_span(&self, key: &str, span: Range<u64>, version: &Version) -> Result<Bytes> {
        match self.get(key).range(span).only(version).await {
            Ok(object) => object.bytes(usize::MAX).await,
            Err(error)
                if matches!(error.kind(), ErrorKind::PreconditionFailed | ErrorKind::NotFound) =>
            {
                let why = "the object was replaced while it was read";
                self.placed(op::GET, Err(Error::new(ErrorKind::Conflict, why).with_source(error)))
            }
            Err(error) => Err(error),
        }
    }
}

/// What is asked for instead of ranges that are near to each other: in order, and apart.
struct Spans(Vec<Range<u64>>);

impl Spans {
    fn of(ranges: &[Range<u64>]) -> Result<Self> {
        let mut sorted = ranges.to_vec();
        sorted.sort_by_key(|range| range.start);
        let mut spans: Vec<Range<u64>> = Vec::new();
        for range in sorted {
            ByteRange::from(range.clone()).of(u64::MAX)?;
            match spans.last_mut() {
                Some(last) if range.start <= last.end.saturating_add(GAP) => {
                    last.end = last.end.max(range.end);
                }
                _ => spans.push(range),
            }
        }
        Ok(Self(spans))
    }

    /// The same, if all of it may be read into memory at once.
    fn fit(self, limit: u64) -> Result<Self> {
        let lengths = self.0.iter().map(|span| span.end - span.start);
        let length = lengths.fold(0, u64::saturating_add);
        if length <= limit {
            return Ok(self);
        }
        Err(Error::new(ErrorKind::TooLarge, "the ranges are too long to be read at once")
            .with_context("length_bytes", length)
            .with_context("setting", "read_max")
            .with_context("limit_bytes", limit)
            .not_applied())
    }

    /// The bytes of `range`, of those of all spans.
    fn cut(&self, range: &Range<u64>, read: &[Bytes]) -> Bytes {
        let at = self.0.partition_point(|span| span.end < range.end);
        let place = |offset| usize::try_from(offset - self.0[at].start).unwrap_or(usize::MAX);
        read[at].slice(place(range.start)..place(range.end).min(read[at].len()))
    }
}

/// How many bytes that nobody asked for cost less than another request.
const GAP: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_are_near_are_one_request_and_no_byte_comes_twice() {
        let far = GAP + 11;
        let spans = |ranges: &[Range<u64>]| {
            let spans = Spans::of(ranges).unwrap().0;
            spans.into_iter().map(|span| (span.start, span.end)).collect::<Vec<_>>()
        };
        assert_eq!(spans(&[5..10, 0..3, 4..6]), [(0, 10)]);
        assert_eq!(spans(&[0..10, far..far + 1]), [(0, 10), (far, far + 1)]);
        assert_eq!(spans(&[0..10, far - 1..far]), [(0, far)]);
        assert_eq!(spans(&[0..far, 1..2]), [(0, far)]);
        assert!(spans(&[]).is_empty());
    }
}
