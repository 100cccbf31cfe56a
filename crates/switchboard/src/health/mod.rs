//! How the board is: what was last found of its instances, and what that means for its features.
//!
//! Puts three things together, in `verdict`: the checks that each manager makes in the background,
//! what real calls came to in between (`traffic`), and what the breakers do. Checks on request go
//! through `rounds`; what could not be built is tried `again`. How a driver is asked, and how often,
//! is the manager's.

mod again;
mod pause;
mod rounds;
#[cfg(test)]
mod tests;
mod traffic;
mod verdict;

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use switchboard_core::Result;

use crate::Switchboard;
use rounds::Rounds;
use traffic::Samples;

/// How the board is, as `GET /health` and `switchboard health` show it.
///
/// ```
/// use std::time::Duration;
/// use serde_json::json;
/// use switchboard::{Format, Switchboard};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> switchboard_core::Result<()> {
/// let text = "
///     cache.sessions = { driver = 'memory' }
///     cache.pages = { driver = 'memory' }
///     feature.checkout = { needs = ['cache.sessions'], wants = ['cache.pages'] }
/// ";
/// let board = Switchboard::builder().text("shop.toml", Format::Toml, text).build().await?;
/// board.cache("sessions")?.forever("user-7", "Ada").await?;
///
/// let health = serde_json::to_value(board.check_health().await).expect("it is plain data");
/// let expected = json!({
///     "live": true,
///     "ready": true,
///     "status": "up",
///     "instances": [
///         {
///             "instance": "cache.pages",
///             "status": "not checked", // nobody has used it yet, so there is nothing to check
///             "needed": false,
///             "took_ms": 0.0,
///             "age_ms": null,
///             "stale": false,
///         },
///         {
///             "instance": "cache.sessions",
///             "status": "up", // where it is not, there is a "reason" as well
///             "needed": true,
///             "took_ms": 0.0,
///             "age_ms": 0.0,
///             "stale": false,
///         },
///     ],
///     "features": [
///         { "feature": "checkout", "status": "up", "missing": [], "impaired": [] },
///     ],
/// });
/// assert_eq!(health, expected);
/// # board.close(Duration::from_secs(5)).await.into_result()
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct HealthView {
    /// Whether the process works at all. It does if it can say so, and no instance can change that.
    pub live: bool,
    /// Whether it should get traffic: nothing that is needed is down, and the board is not being
    /// closed.
    pub ready: bool,
    /// The worst of what was found; `not checked` if nothing was.
    pub status: &'static str,
    /// The instances, worst first.
    pub instances: Vec<InstanceHealth>,
    /// The features, in the order of the configuration.
    pub features: Vec<FeatureHealth>,
}

/// How one instance is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct InstanceHealth {
    /// The full name: `cache.sessions`.
    pub instance: String,
    /// `up`, `not checked`, `degraded`, `down`: the worst of what its last check found, of what its
    /// calls came to in the last interval, and of what its breaker does. One that could not be built
    /// is down until it can be; the board tries it again about as often as it checks.
    pub status: &'static str,
    /// Why, in words for an operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether readiness depends on it.
    pub needed: bool,
    /// How long the last check took.
    pub took_ms: f64,
    /// How long ago it was; nothing if nobody has looked.
    pub age_ms: Option<f64>,
    /// Whether the verdict is older than it should be: the check hangs, or has not come yet.
    pub stale: bool,
}

/// How a feature of the application is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FeatureHealth {
    /// The name in the configuration.
    pub feature: String,
    /// `down` if something it needs is; `degraded` if something it wants is down, or anything of it
    /// is degraded; else `up`, or `not checked` if nothing is known of any of it.
    pub status: &'static str,
    /// The instances it cannot do without that are down.
    pub missing: Vec<String>,
    /// The instances that make it worse and do not stop it: degraded, or wanted and down.
    pub impaired: Vec<String>,
}

impl Switchboard {
    /// How the board is, as far as is known. Nobody is asked, so it is there at once.
    ///
    /// An instance is as its last check found it, unless real calls say worse: it is down while its
    /// breaker refuses calls, and degraded when half or more of the calls that ended in the last
    /// interval were outages, of at least ten. One that has nothing to check is up while its calls
    /// succeed.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> switchboard::Result<()> {
    /// let board = switchboard::Switchboard::builder().build().await?;
    /// let health = board.health();
    /// assert!(health.ready, "nothing that is needed is down");
    /// assert_eq!(health.status, "not checked");
    /// # board.close(board.close_limit()).await.into_result()
    /// # }
    /// ```
    pub fn health(&self) -> HealthView {
        verdict::view(self)
    }

    /// How the board is now: every instance that is built is asked, all at the same time.
    ///
    /// Answers within the limit of `[health]`, whatever hangs. Any number of callers that come
    /// together make one round of checks, which begins after all of them have come and goes on if
    /// they leave; who comes while one is under way waits for the next. If that cannot end in
    /// time, the answer is what is known by then.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> switchboard::Result<()> {
    /// let text = "cache.main.driver = 'memory'";
    /// let builder = switchboard::Switchboard::builder();
    /// let board = builder.text("shop.toml", switchboard::Format::Toml, text).build().await?;
    /// board.cache("main")?.forever("user-7", "Ada").await?;
    /// let health = board.check_health().await;
    /// assert_eq!((health.instances[0].status, health.status), ("up", "up"));
    /// # board.close(board.close_limit()).await.into_result()
    /// # }
    /// ```
    pub async fn check_health(&self) -> HealthView {
        let limit = self.wanted().health.limit;
        let asked = self.0.looking.rounds.ask();
        tokio::time::timeout(limit, asked).await.ok();
        self.health()
    }

    /// Begins what the board itself does in the background for its health, until it is closed or
    /// dropped.
    pub(crate) fn look_after_health(&self) -> Result<()> {
        let (core, clock) = (Arc::downgrade(&self.0), self.0.environment.clock());
        let (reaper, jobs) = (self.0.environment.reaper(), &self.0.jobs);
        jobs.start(reaper, "sample traffic", traffic::sample(core.clone(), clock.clone()))?;
        jobs.start(reaper, "build again", again::try_again(core.clone(), clock.clone()))?;
        let rounds = rounds::serve(core, self.0.looking.rounds.subscribe(), clock.clone());
        jobs.start(reaper, "check health", rounds).map(drop)
    }
}

/// What the board knows of its health beside what its managers know.
#[derive(Default)]
pub(crate) struct Looking {
    rounds: Rounds,
    samples: Mutex<Arc<Samples>>,
}

impl Looking {
    /// From now on the board is not ready, and nobody is asked.
    pub(crate) fn end(&self) {
        self.rounds.close();
    }

    fn samples(&self) -> Arc<Samples> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, samples: Samples) {
        *self.samples.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(samples);
    }
}
