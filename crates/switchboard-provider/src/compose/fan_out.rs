//! One sink that is several.
//!
//! Everything goes to all of them at the same time, and all of them are waited for. Which of several to ask is not its question; that is what groups are for.

use std::fmt;
use std::iter::{repeat_n, zip};
use std::sync::Arc;

use futures_util::future::join_all;
use switchboard_core::{Reply, Result};

use super::several::Several;
use crate::provider::looked_after;
use crate::{Provider, Sink};

/// A sink that sends each input to several others, all at the same time.
///
/// A send ends when every sink has answered, and succeeds when all of them took the input. Otherwise
/// the error holds those of all sinks that failed, each with its `sink` in the context, and
///
/// - its outcome is the one that all sinks share, where having taken the input counts as
///   [`Applied`](switchboard_core::Outcome::Applied); where they differ it is
///   [`Unknown`](switchboard_core::Outcome::Unknown), so that it is sent again, to all of them, only if
///   that is harmless;
/// - its advice is that of the sink that is the least likely to take it next time;
/// - it is an outage if one of the sinks had one.
///
/// A sink that panics has failed like any other and cuts off none beside it. A send that is dropped
/// drops all.
///
/// The sinks belong to it: they are started with it and ended with it. It is as well as the worst of
/// them, and available when all of them are.
///
/// ```
/// use std::sync::Arc;
/// use switchboard_core::{Error, ErrorKind};
/// use switchboard_provider::{FanOut, Sink, function};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> switchboard_core::Result<()> {
/// let audit = function::sink("audit", |line: String| async move {
/// #   assert_eq!(line, "paid");
///     println!("{line}");
///     Ok(())
/// });
/// let pager = function::sink("pager", |_: String| async {
///     Err(Error::new(ErrorKind::Unavailable, "nobody is there"))
/// });
/// let audit: Arc<dyn Sink<String>> = Arc::new(audit);
/// let all = FanOut::new("all", [("audit", audit), ("pager", Arc::new(pager))])?;
///
/// let error = all.send("paid".to_owned()).await.unwrap_err();
/// assert_eq!(error.related()[0].context_value("sink"), Some("pager"));
///
/// let report = all.send_each("paid".to_owned()).await;
/// assert_eq!((report[0].0, report[0].1.is_ok()), ("audit", true));
/// # Ok(()) }
/// ```
pub struct FanOut<I> {
    sinks: Several<dyn Sink<I>>,
}

looked_after!({ I: 'static } FanOut<I>, sinks);

impl<I: 'static> FanOut<I> {
    /// A sink called `name` that sends to all of `sinks`, each under its own name.
    ///
    /// With no sink, with more than [`SINKS_MAX`](Self::SINKS_MAX), or with two of one name it is an
    /// error.
    pub fn new<N: Into<String>>(
        name: impl Into<String>,
        sinks: impl IntoIterator<Item = (N, Arc<dyn Sink<I>>)>,
    ) -> Result<Self> {
        Ok(Self { sinks: Several::new(name, "sink", sinks, Self::SINKS_MAX)? })
    }

    /// The names of the sinks, in the order in which they were given.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sinks.names()
    }

    /// To how many sinks one input goes at most.
    pub const SINKS_MAX: usize = 64;
}

impl<I: Clone + Send + 'static> FanOut<I> {
    /// What became of `input` at each sink, by its name, in the order in which they were given.
    pub async fn send_each(&self, input: I) -> Vec<(&str, Result<()>)> {
        let sinks = self.sinks.members();
        let sends = zip(sinks, repeat_n(input, sinks.len()))
            .map(|(sink, copy)| sink.answer(async { sink.provider().send(copy).await }));
        join_all(sends).await
    }
}

impl<I: Clone + Send + 'static> Sink<I> for FanOut<I> {
    fn send(&self, input: I) -> Reply<'_, ()> {
        Reply::run(async {
            let answers = self.send_each(input).await;
            let taken = self.sinks.all_of("took the input", answers);
            taken.map(drop).map_err(|failed| failed.error)
        })
    }
}

impl<I: 'static> fmt::Debug for FanOut<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.names().collect();
        f.debug_struct("FanOut").field("name", &self.name()).field("sinks", &names).finish()
    }
}
