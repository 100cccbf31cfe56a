//! Keeps calls to a pace: so many in a time, after a burst.
//!
//! A call books its slot when it arrives and sleeps until the slot has come, so calls go in the
//! order in which they arrived and each wakes once. Whoever would wait too long is told so at once
//! and takes nothing. Which calls pay, and how much, is decided by the line. For a pace per key see
//! `keyed`.

mod gcra;
mod keyed;
mod table;

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Deserialize;

use self::gcra::{Booking, Gcra, Quota, Verdict};
use crate::clock::nanos;
use crate::settings::{Rate, duration};
use crate::stripe::Padded;
use crate::sync::Mutex;
use crate::{Clock, Error, ErrorKind, Gate, Result};
pub use keyed::{KeyedRateLimiter, RateDecision};

/// How many calls may pass in a time, and how long one may wait for its turn.
///
/// In any span of time at most `burst` cells pass, and on top of that `rate` for each `per` that
/// the span lasts. The pace is kept in whole nanoseconds, rounded to the slower side.
///
/// Written `{ rate = "500/s", burst = 100, wait = "50ms" }`; without `burst`, as many as the rate counts
/// may be taken at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(from = "Written")]
pub struct RateLimit {
    /// How many cells come back in each [`per`](Self::per); a plain call costs one.
    pub rate: u64,
    /// The time in which [`rate`](Self::rate) cells come back.
    pub per: Duration,
    /// How many cells may be taken at once after a pause.
    pub burst: u64,
    /// How long a call may wait for its slot; zero refuses whatever cannot go at once.
    pub wait: Duration,
}

/// A rate limit as configuration writes it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    /// How many calls may start in which time: `500/s`.
    rate: Rate,
    /// How many calls may start at once after a pause.
    burst: Option<u64>,
    /// How long a call may wait for its turn.
    #[serde(default = "wait_usual", with = "duration")]
    #[schemars(with = "duration::Text")]
    wait: Duration,
}

/// Lets calls pass at an even pace, in the order of their arrival.
///
/// ```
/// use std::time::Duration;
/// use switchboard_core::{Clock, ErrorKind, RateLimit, RateLimiter};
///
/// let settings =
///     RateLimit { rate: 1, per: Duration::from_secs(1), burst: 2, wait: Duration::ZERO };
/// let limiter = RateLimiter::new(settings, Clock::system())?;
/// limiter.try_acquire(2)?;
/// assert_eq!(limiter.try_acquire(1).unwrap_err().kind(), ErrorKind::RateLimited);
/// # Ok::<(), switchboard_core::Error>(())
/// ```
#[derive(Debug)]
pub struct RateLimiter {
    gcra: Padded<Gcra>,
    /// Held while the settings change, so that changes take turns.
    settings: Mutex<RateLimit>,
    base: Instant,
    clock: Clock,
}

/// Cells that were taken and may be used from [`due`](Self::due) on.
///
/// Dropping it keeps the cells; what shall not be used is [given back](Self::give_back).
#[derive(Debug)]
#[must_use = "the cells may not be used before they are due"]
pub struct Reservation<'a> {
    limiter: &'a RateLimiter,
    booking: Booking,
    wait: Duration,
}

impl RateLimiter {
    /// A limiter with its whole burst to give.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for settings that [`RateLimit::check`] refuses.
    pub fn new(settings: RateLimit, clock: Clock) -> Result<Self> {
        let gcra = Padded(Gcra::new(settings.quota()?));
        Ok(Self { gcra, settings: Mutex::new(settings), base: clock.now(), clock })
    }

    /// Passes as soon as `cost` cells are due, unless that is after `until` or after the longest
    /// wait of the settings.
    ///
    /// The place in the order is taken when the future is first polled. If the future is dropped
    /// while it waits, its cells are given back when nobody has booked behind it, else they are
    /// lost: those behind it keep the slots they were promised.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::RateLimited`], at once and without taking anything, with the exact wait in
    /// [`Retry::After`](crate::Retry::After); [`ErrorKind::TooLarge`] if `cost` exceeds the burst.
    pub async fn acquire(&self, cost: u64, until: Option<Instant>) -> Result<()> {
        self.acquire_at(self.clock.now(), cost, until).await
    }

    /// [`acquire`](Self::acquire) for a caller that has read the clock already.
    pub async fn acquire_at(&self, now: Instant, cost: u64, until: Option<Instant>) -> Result<()> {
        let longest = until.map_or(Duration::MAX, |until| until.saturating_duration_since(now));
        let reservation = self.reserve_at(now, cost, longest)?;
        if reservation.wait.is_zero() {
            return Ok(());
        }
        // Boxed, so that a call that need not wait does not carry the room for a timer about.
        Box::pin(reservation.come_due()).await;
        Ok(())
    }

    /// Passes if `cost` cells are there now.
    ///
    /// # Errors
    ///
    /// Those of [`acquire`](Self::acquire).
    pub fn try_acquire(&self, cost: u64) -> Result<()> {
        self.try_acquire_at(self.clock.now(), cost)
    }

    /// [`try_acquire`](Self::try_acquire) for a caller that has read the clock already.
    #[inline]
    pub fn try_acquire_at(&self, now: Instant, cost: u64) -> Result<()> {
        self.reserve_at(now, cost, Duration::ZERO).map(drop)
    }

    /// Takes `cost` cells if they are there now, and says what is left in either case: what a server
    /// writes into its answer.
    ///
    /// ```
    /// use std::time::Duration;
    /// use switchboard_core::{Clock, RateLimit, RateLimiter};
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread()
    /// #     .enable_time().start_paused(true).build().unwrap();
    /// # runtime.block_on(async {
    /// let limiter = RateLimiter::new(RateLimit::default(), Clock::system())?;
    /// let decision = limiter.decide(40);
    /// assert!(decision.allowed);
    /// assert_eq!((decision.limit, decision.remaining), (100, 60));
    /// assert_eq!(decision.reset, Duration::from_millis(80));
    /// # switchboard_core::Result::<()>::Ok(()) }).unwrap();
    /// ```
    pub fn decide(&self, cost: u64) -> RateDecision {
        self.decide_at(self.clock.now(), cost)
    }

    /// [`decide`](Self::decide) for a caller that has read the clock already.
    #[inline]
    pub fn decide_at(&self, now: Instant, cost: u64) -> RateDecision {
        self.gcra.0.decide(self.nanos_at(now), cost).into()
    }

    /// Takes `cost` cells that are due within `longest_wait` and within the longest wait of the
    /// settings, without waiting for them.
    ///
    /// A cost of zero takes nothing, but is due behind what was booked before. `now` may lie before
    /// an earlier one: the wait only grows.
    ///
    /// # Errors
    ///
    /// Those of [`acquire`](Self::acquire).
    #[inline]
    pub fn reserve_at(
        &self,
        now: Instant,
        cost: u64,
        longest_wait: Duration,
    ) -> Result<Reservation<'_>> {
        let arrival = self.nanos_at(now);
        match self.gcra.0.reserve(arrival, cost, nanos(longest_wait)) {
            Verdict::Granted(booking) => {
                let wait = Duration::from_nanos(booking.due.saturating_sub(arrival));
                Ok(Reservation { limiter: self, booking, wait })
            }
            Verdict::Late(wait) => Err(too_soon(Duration::from_nanos(wait))),
            Verdict::Never => Err(too_large(cost, self.settings().burst)),
        }
    }

    /// Lets nothing pass for `pause`, then goes on at the plain pace without a burst: what a server
    /// asks for with "too many requests".
    ///
    /// Calls that are waiting already keep their slots.
    pub fn drain(&self, pause: Duration) {
        self.drain_at(self.clock.now(), pause);
    }

    /// [`drain`](Self::drain) for a caller that has read the clock already.
    pub fn drain_at(&self, now: Instant, pause: Duration) {
        self.gcra.0.drain(self.nanos_at(now), nanos(pause.min(SPAN_MAX)));
    }

    /// Goes on under other settings.
    ///
    /// Cells that are there stay there as far as the new burst holds them, and no others are given.
    /// Calls that are waiting keep their slots, and new ones line up behind them; so nobody is
    /// blocked for longer than was promised before the change, and one step of the new pace.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for settings that [`RateLimit::check`] refuses; the old ones stay.
    pub fn retune(&self, settings: RateLimit) -> Result<()> {
        self.retune_at(self.clock.now(), settings)
    }

    /// [`retune`](Self::retune) for a caller that has read the clock already.
    pub fn retune_at(&self, now: Instant, settings: RateLimit) -> Result<()> {
        let quota = settings.quota()?;
        let mut current = self.settings.lock();
        self.gcra.0.retune(self.nanos_at(now), quota);
        *current = settings;
        Ok(())
    }

    /// The settings in force.
    pub fn settings(&self) -> RateLimit {
        *self.settings.lock()
    }

    /// Nanoseconds since the limiter was made; zero for all that was before.
    #[inline]
    fn nanos_at(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.base))
    }
}

impl Reservation<'_> {
    /// How long after the reservation the cells may be used.
    pub fn wait(&self) -> Duration {
        self.wait
    }

    /// The moment from which on the cells may be used.
    pub fn due(&self) -> Instant {
        self.limiter.base + Duration::from_nanos(self.booking.due)
    }

    /// Gives the cells back if nobody has booked since, and says whether it could.
    pub fn give_back(self) -> bool {
        self.limiter.gcra.0.give_back(&self.booking)
    }

    /// Ends when the cells are due; dropped before that, it gives them back.
    async fn come_due(self) {
        let (clock, due) = (&self.limiter.clock, self.due());
        let mut waiting = Waiting(Some(self));
        clock.sleep_until(due).await;
        waiting.0 = None;
    }
}

impl RateLimit {
    /// Whether a limiter can keep to these settings.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if a number or the period is zero, if the pace is faster than one cell
    /// each nanosecond, or if the burst takes more than a year to come back.
    pub fn check(&self) -> Result<()> {
        self.quota().map(drop)
    }

    fn quota(&self) -> Result<Quota> {
        if self.rate == 0 {
            return Err(misconfigured("rate", "the rate is zero")
                .with_hint("leave the rate limit out to have none"));
        }
        if self.burst == 0 {
            return Err(misconfigured("burst", "the burst is zero, so no call would ever pass"));
        }
        if self.per.as_nanos() < u128::from(self.rate) {
            return Err(misconfigured("rate", "the rate is faster than one in a nanosecond")
                .with_context("rate", self.rate)
                .with_context("per", format_args!("{:?}", self.per)));
        }
        let interval = self.per.as_nanos().div_ceil(u128::from(self.rate));
        let tolerance = interval.saturating_mul(u128::from(self.burst));
        if tolerance > SPAN_MAX.as_nanos() {
            return Err(misconfigured("burst", "the burst takes more than a year to come back"));
        }
        Ok(Quota {
            interval: saturated(interval),
            tolerance: saturated(tolerance),
            wait: nanos(self.wait.min(SPAN_MAX)),
        })
    }
}

impl RateLimit {
    /// The pace as configuration writes it: `500/s`.
    pub fn pace(&self) -> String {
        let Some(rate) = Rate::new(self.rate, self.per) else { return "0/s".to_owned() };
        rate.to_string()
    }
}

impl From<Written> for RateLimit {
    fn from(written: Written) -> Self {
        let (rate, per) = (written.rate.count(), written.rate.per());
        Self { rate, per, burst: written.burst.unwrap_or(rate), wait: written.wait }
    }
}

impl Default for RateLimit {
    /// Five hundred a second after a burst of a hundred. A call waits a tenth of a second at most:
    /// long enough to smooth a burst, too short for a queue to build up.
    fn default() -> Self {
        Self {
            rate: 500,
            per: Duration::from_secs(1),
            burst: 100,
            wait: Duration::from_millis(100),
        }
    }
}

/// Gives a reservation back unless its slot was waited for.
struct Waiting<'a>(Option<Reservation<'a>>);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(reservation) = self.0.take() {
            reservation.give_back();
        }
    }
}

#[cold]
fn too_soon(wait: Duration) -> Error {
    Error::refused(Gate::RateLimit, "the next free slot is too far off").retry_after(wait)
}

#[cold]
fn too_large(cost: u64, burst: u64) -> Error {
    Error::new(ErrorKind::TooLarge, "the call costs more than the rate limit ever lets pass")
        .with_context("cost", cost)
        .with_context("burst", burst)
}

fn misconfigured(setting: &'static str, message: &'static str) -> Error {
    Error::new(ErrorKind::Config, message)
        .with_context("setting", format_args!("rate_limit.{setting}"))
}

#[inline]
fn saturated(nanos: u128) -> u64 {
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

/// The longest burst, wait or pause: one year.
const SPAN_MAX: Duration = Duration::from_hours(365 * 24);

fn wait_usual() -> Duration {
    RateLimit::default().wait
}
