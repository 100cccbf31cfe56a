//! Reads a stream to its end, as one answer.

use switchboard_core::{Error, ErrorKind, Outcome, Reply, Result};
use tokio::task::coop::cooperative;

use crate::provider::looked_after;
use crate::{Items, Provider, RequestResponse, Stream};

/// All items, in order. They are closed in every case; an error of that is not hidden either.
///
/// More than `items_max` are `TooLarge`: nothing is cut off in silence. The first error ends it, and
/// what was read before is dropped. Dropped, it drops the items.
///
/// ```
/// use switchboard_core::ErrorKind;
/// use switchboard_provider::{drain, function};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> switchboard_core::Result<()> {
/// let up_to = |end: u32| {
///     function::items(0..end, |mut left| async move {
///         Ok(left.next().map(|number| (number, left)))
///     })
/// };
/// assert_eq!(drain(up_to(3), 3).await?, [0, 1, 2]);
/// assert_eq!(drain(up_to(4), 3).await.unwrap_err().kind(), ErrorKind::TooLarge);
/// # Ok(()) }
/// ```
pub async fn drain<T>(mut items: impl Items<T>, items_max: usize) -> Result<Vec<T>> {
    let read = read(&mut items, items_max).await;
    match (read, items.close().await) {
        (Ok(all), Ok(())) => Ok(all),
        (Err(error), Ok(())) => Err(error),
        (Ok(_), Err(error)) => Err(error.with_context("during", "close")),
        (Err(error), Err(also)) => Err(error.with_related([also.with_context("during", "close")])),
    }
}

/// A stream as a provider of one answer: all its items.
///
/// An error after the opening is never said to have had no effect, because the opening may have had
/// one.
///
/// ```
/// # use switchboard_core::Result;
/// use switchboard_provider::{Drained, RequestResponse, function};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<()> {
/// let up_to = function::stream("up to", |end: u32| async move {
///     Ok(function::items(0..end, |mut left| async move {
///         Ok(left.next().map(|number| (number, left)))
///     }))
/// });
/// let all: Vec<u32> = Drained::new(up_to, 1_000).execute(3).await?;
/// assert_eq!(all, [0, 1, 2]);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Drained<P> {
    stream: P,
    items_max: usize,
}

impl<P> Drained<P> {
    /// `stream`, read to its end, which comes after no more than so many items.
    pub fn new(stream: P, items_max: usize) -> Self {
        Self { stream, items_max }
    }
}

looked_after!({ P: Provider } Drained<P>, stream);

impl<I, O, P> RequestResponse<I, Vec<O>> for Drained<P>
where
    I: Send + 'static,
    O: Send + 'static,
    P: Stream<I, O>,
{
    fn execute(&self, input: I) -> Reply<'_, Vec<O>> {
        Reply::run(async move {
            let items = self.stream.open(input).await?;
            drain(items, self.items_max).await.map_err(begun)
        })
    }
}

async fn read<T>(items: &mut impl Items<T>, items_max: usize) -> Result<Vec<T>> {
    let mut all = Vec::new();
    // Items that are always there would keep deadlines and other tasks waiting.
    while let Some(item) = cooperative(items.next()).await? {
        if all.len() == items_max {
            return Err(Error::new(ErrorKind::TooLarge, "there are more items than may be read")
                .with_context("items_max", items_max));
        }
        all.push(item);
    }
    Ok(all)
}

/// The same error, of something that had begun.
fn begun(error: Error) -> Error {
    match error.outcome() {
        Outcome::NotApplied => error.with_outcome(Outcome::Unknown),
        _ => error,
    }
}
