//! The settings of a pool in the form its books want them.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use crate::{PoolConfig, PrePing};

/// What the books go by. A limit that is not there never comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) max: usize,
    /// Whoever has a connection keeps all others out, but for what is part of the same work.
    pub(super) is_joint: bool,
    pub(super) min_idle: usize,
    pub(super) connect_concurrency: usize,
    pub(super) max_uses: Option<u64>,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) keepalive: Option<Duration>,
    pub(super) leak_after: Option<Duration>,
    pub(super) reap_after: Option<Duration>,
    max_lifetime: Option<Duration>,
    pre_ping: PrePing,
}

impl Rules {
    pub(super) fn new(max: NonZeroUsize, config: &PoolConfig) -> Self {
        Self {
            max: max.get(),
            is_joint: false,
            min_idle: config.min_idle.min(max.get()),
            connect_concurrency: config.connect_concurrency.get(),
            max_uses: (config.max_uses > 0).then_some(config.max_uses),
            idle_timeout: limit(config.idle_timeout),
            keepalive: limit(config.keepalive),
            leak_after: limit(config.leak_after),
            reap_after: limit(config.reap_after),
            max_lifetime: limit(config.max_lifetime),
            pre_ping: config.pre_ping,
        }
    }

    /// Whether a connection that nobody has heard of for so long is asked before it is handed out.
    pub(super) fn pings_after(&self, quiet: Duration) -> bool {
        match self.pre_ping {
            PrePing::Idle => quiet >= QUIET_MAX,
            PrePing::Always => true,
            PrePing::Never => false,
        }
    }

    /// When a connection made now is too old; by chance a little earlier, so that those made
    /// together do not go together.
    pub(super) fn expiry(&self, now: Instant, fraction: f64) -> Option<Instant> {
        self.max_lifetime.map(|limit| now + limit.mul_f64(1.0 - LIFETIME_LESS_MAX * fraction))
    }

    /// Nothing that begins now is due before this.
    pub(super) fn shortest_limit(&self) -> Option<Duration> {
        let lifetime = self.max_lifetime.map(|limit| limit.mul_f64(1.0 - LIFETIME_LESS_MAX));
        let others = [self.idle_timeout, self.keepalive, self.leak_after, self.reap_after];
        others.into_iter().chain([lifetime]).flatten().min()
    }
}

/// A limit that is there, and that can be added to any moment.
fn limit(setting: Duration) -> Option<Duration> {
    (!setting.is_zero()).then(|| setting.min(FAR))
}

/// Ten years: farther than any process runs.
pub(super) const FAR: Duration = Duration::from_hours(10 * 365 * 24);

const LIFETIME_LESS_MAX: f64 = 0.1;
const QUIET_MAX: Duration = Duration::from_millis(500);
