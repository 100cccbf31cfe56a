//! What the gates and the calls of the instances are doing, and the breakers that somebody forces.
//!
//! Read from the gates themselves, which count without meeting each other; nothing is kept here. How
//! it is written for a monitoring system is the console's affair.

use serde::Serialize;
use switchboard_core::{
    Breaker, BreakerState, Bulkhead, Error, ErrorKind, Gates, InstanceInfo, Metric, OpFigures,
    RateLimiter, Result, RetryBudget,
};

use crate::Switchboard;
use crate::wired::Wired;

/// The state of the gates of an instance. A gate that it does not have is not there.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct GatesView {
    /// The full name: `cache.sessions`.
    pub instance: String,
    /// The breaker, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerView>,
    /// The bulkhead, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bulkhead: Option<BulkheadView>,
    /// The rate limiter, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimitView>,
    /// The budget of retries and hedges, if it has either.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_budget: Option<RetryBudgetView>,
}

/// A breaker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BreakerView {
    /// `closed`, `open`, `half-open`; `forced open`, `forced closed` and `disabled` by hand.
    pub state: &'static str,
    /// The calls in its window.
    pub calls: u64,
    /// How many of them failed.
    pub failures: u64,
    /// How many of them were slow.
    pub slow: u64,
}

/// A bulkhead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BulkheadView {
    /// Calls inside.
    pub in_use: u32,
    /// How many may be inside now; where it is adaptive, what it has found to be right.
    pub limit: u32,
    /// Calls that wait to get in.
    pub waiting: u32,
    /// How many may wait.
    pub queue: u32,
}

/// A rate limiter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RateLimitView {
    /// Its pace, as configuration writes it: `500/s`.
    pub rate: String,
    /// How many calls may start at once after a pause.
    pub burst: u64,
    /// How many could start at once now.
    pub remaining: u64,
}

/// What retries and hedges are paid from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RetryBudgetView {
    /// Tokens that are left.
    pub tokens: u32,
    /// Tokens when nothing has failed for a while.
    pub tokens_max: u32,
}

/// What somebody does to a breaker by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BreakerCommand {
    /// Refuse every call until it is reset.
    Open,
    /// Let every call through, and go on counting.
    Close,
    /// Back to what it finds itself.
    Reset,
}

/// The figures of one instance.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct InstanceFigures {
    /// The subsystem.
    pub subsystem: &'static str,
    /// The name.
    pub name: String,
    /// The driver that serves or would be built; nothing for a group.
    pub driver: Option<String>,
    /// The number of its generation.
    pub generation: u64,
    /// Whether something serves now.
    pub is_ready: bool,
    /// Calls and opened things that use it now.
    pub in_flight: usize,
    /// What has been asked and how it went.
    pub operations: Vec<OpFigures>,
    /// What its driver counts beside; nothing for a group.
    pub metrics: Vec<Metric>,
    /// The state of its gates.
    pub gates: GatesView,
}

impl Switchboard {
    /// The state of the gates of an instance (`cache.sessions`). One without gates has none in it, and
    /// a group has those of its own: its members have theirs.
    ///
    /// ```
    /// use switchboard::{Format, Switchboard};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let shop = "cache.sessions = { driver = 'memory', policy = { bulkhead = { max = 8 } } }";
    /// let board = Switchboard::builder().text("shop.toml", Format::Toml, shop).build().await?;
    /// let gates = board.gates("cache.sessions")?;
    /// let bulkhead = gates.bulkhead.map(|bulkhead| (bulkhead.in_use, bulkhead.limit));
    /// assert_eq!(bulkhead, Some((0, 8)));
    /// assert!(gates.breaker.is_none());
    /// # board.close(std::time::Duration::from_secs(5)).await.into_result()
    /// # }
    /// ```
    pub fn gates(&self, instance: &str) -> Result<GatesView> {
        let (manager, name) = self.find(instance)?;
        let gates = manager.gates(name)?;
        Ok(GatesView::new(manager.subsystem(), name, gates.as_deref()))
    }

    /// Forces the breaker of an instance, or resets it, for `by`, who is named in the
    /// [records](Self::records).
    ///
    /// What was forced stays until it is reset, through swaps and changes of the policy.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] for an instance without a breaker; recorded as well.
    ///
    /// ```
    /// use switchboard::{BreakerCommand, Format, Switchboard};
    /// use switchboard_core::ErrorKind;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let shop = "cache.sessions = { driver = 'memory', policy = { breaker = {} } }";
    /// let board = Switchboard::builder().text("shop.toml", Format::Toml, shop).build().await?;
    /// let sessions = board.cache("sessions")?;
    ///
    /// board.force_breaker("ada", "cache.sessions", BreakerCommand::Open)?;
    /// assert_eq!(sessions.get("user-7").await.unwrap_err().kind(), ErrorKind::Unavailable);
    /// board.force_breaker("ada", "cache.sessions", BreakerCommand::Reset)?;
    /// assert_eq!(sessions.get("user-7").await?, None);
    /// # board.close(std::time::Duration::from_secs(5)).await.into_result()
    /// # }
    /// ```
    pub fn force_breaker(&self, by: &str, instance: &str, command: BreakerCommand) -> Result<()> {
        let forced = self.force(instance, command);
        self.record(by, command.action(), instance, &forced);
        forced
    }

    /// The figures of all instances and the state of their gates, in the order of their subsystems and
    /// names: all that a monitoring system wants, in one look. Nobody is asked.
    pub fn figures(&self) -> Vec<InstanceFigures> {
        self.0.wired.iter().flat_map(|manager| figures_of(manager.as_ref())).collect()
    }

    fn force(&self, instance: &str, command: BreakerCommand) -> Result<()> {
        let (manager, name) = self.find(instance)?;
        let gates = manager.gates(name)?;
        let breaker = gates.as_deref().and_then(Gates::breaker);
        let breaker = breaker.ok_or_else(|| no_breaker(manager.as_ref(), name))?;
        match command {
            BreakerCommand::Open => breaker.force_open(),
            BreakerCommand::Close => breaker.force_close(),
            BreakerCommand::Reset => breaker.reset(),
        }
        Ok(())
    }
}

impl BreakerCommand {
    /// What is done, in the words of the records.
    pub const fn action(self) -> &'static str {
        match self {
            Self::Open => "breaker open",
            Self::Close => "breaker close",
            Self::Reset => "breaker reset",
        }
    }
}

impl GatesView {
    fn new(subsystem: &str, name: &str, gates: Option<&Gates>) -> Self {
        let instance = format!("{subsystem}.{}", name.trim().to_ascii_lowercase());
        let Some(gates) = gates else { return Self { instance, ..Self::default() } };
        Self {
            instance,
            breaker: gates.breaker().map(BreakerView::of),
            bulkhead: gates.bulkhead().map(BulkheadView::of),
            rate_limit: gates.rate_limiter().map(RateLimitView::of),
            retry_budget: gates.retry_budget().map(RetryBudgetView::of),
        }
    }
}

impl BreakerView {
    fn of(breaker: &Breaker) -> Self {
        let figures = breaker.figures_at(breaker.clock().now());
        let (calls, failures, slow) = (figures.calls, figures.failures, figures.slow);
        Self { state: word(figures.state), calls, failures, slow }
    }
}

impl BulkheadView {
    fn of(bulkhead: &Bulkhead) -> Self {
        Self {
            in_use: bulkhead.in_use(),
            limit: bulkhead.slots_max(),
            waiting: bulkhead.waiting(),
            queue: bulkhead.limit().queue,
        }
    }
}

impl RateLimitView {
    fn of(limiter: &RateLimiter) -> Self {
        let settings = limiter.settings();
        // A decision about no cell takes none.
        let remaining = limiter.decide(0).remaining;
        Self { rate: settings.pace(), burst: settings.burst, remaining }
    }
}

impl RetryBudgetView {
    fn of(budget: &RetryBudget) -> Self {
        Self { tokens: budget.tokens(), tokens_max: budget.policy().tokens }
    }
}

fn figures_of(manager: &dyn Wired) -> Vec<InstanceFigures> {
    let instances = manager.instances().into_iter();
    // One that was removed meanwhile has none.
    instances.filter_map(|info| figures_of_instance(manager, info).ok()).collect()
}

fn figures_of_instance(manager: &dyn Wired, info: InstanceInfo) -> Result<InstanceFigures> {
    let gates = manager.gates(&info.name)?;
    let subsystem = manager.subsystem();
    Ok(InstanceFigures {
        subsystem,
        gates: GatesView::new(subsystem, &info.name, gates.as_deref()),
        operations: manager.figures(&info.name)?,
        metrics: manager.metrics(&info.name)?,
        name: info.name,
        driver: info.driver,
        generation: info.generation,
        is_ready: info.is_ready,
        in_flight: info.in_flight,
    })
}

fn word(state: BreakerState) -> &'static str {
    match state {
        BreakerState::Closed => "closed",
        BreakerState::Open => "open",
        BreakerState::HalfOpen => "half-open",
        BreakerState::ForcedOpen => "forced open",
        BreakerState::ForcedClosed => "forced closed",
        BreakerState::Disabled => "disabled",
        _ => "unknown",
    }
}

#[cold]
fn no_breaker(manager: &dyn Wired, name: &str) -> Error {
    let instance = format!("{}.{}", manager.subsystem(), name.trim().to_ascii_lowercase());
    let error = Error::new(ErrorKind::Unsupported, "the instance has no breaker")
        .with_context("instance", &instance);
    let members = manager.instances().into_iter();
    let members = members.filter(|info| info.name.eq_ignore_ascii_case(name.trim()));
    let members: Vec<_> = members.flat_map(|info| info.members).collect();
    if members.is_empty() {
        return error.with_hint(format!("set `policy.breaker` of {instance}"));
    }
    let members: Vec<_> =
        members.iter().map(|member| format!("{}.{member}", manager.subsystem())).collect();
    error.with_hint(format!("a group has none; force those of its members: {}", members.join(", ")))
}
