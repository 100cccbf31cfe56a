//! Providers as tower services and back, any tower middleware around a provider, and every gate as a
//! layer.
//!
//! Four bridges. [`ProviderService`], [`SinkService`], [`StreamService`] and [`DuplexService`] make a
//! service of a provider, [`ServiceProvider`] makes a provider of a service, [`layered`] and its
//! relatives wrap a provider in tower's layers, and the layers here wrap any service in our gates:
//! [`GatesLayer`] in all gates of a policy in their one order, the others in one gate each.
//! [`KeyedRateLimitLayer`] is for those who serve: one limit for each of those who ask.
//!
//! # Errors
//!
//! Every gate answers with [`switchboard_core::Error`]. A service may fail with whatever becomes a
//! [`BoxError`]; [`classify`] says what that means, and keeps it as the cause. So a refusal is seen
//! by [`Error::gate`](switchboard_core::Error::gate), what the service said by
//! [`Error::find`](switchboard_core::Error::find), and a layer of tower's around it finds our error
//! by a downcast. Where a service says more than its errors' types do, tower's own `map_err` or
//! `map_result`, innermost, turns what it says into our errors.
//!
//! # Readiness
//!
//! Gates wait inside the call and never in `poll_ready`, because a refusal there would mean that the
//! service is broken for good. `poll_ready` is that of the service inside, and the service that
//! became ready is the one that is called, unless a gate has to wait first: then it is let go, so
//! that nobody has to wait for those who wait, and a clone is made ready after the gate.
//!
//! A service that fails to become ready was not asked, but it failed. Breaker, retry, fallback and
//! [`GatesLayer`] have to know of it, so around them `poll_ready` says that all is well, and the call
//! after it ends with that failure: counted, made again, answered for, and never applied. The call
//! after that asks the service anew whether it is ready. The other gates, which act on no failure,
//! pass on what `poll_ready` says.
//!
//! ```
//! use std::convert::Infallible;
//! use std::time::Duration;
//! use switchboard_core::{AttemptTimeout, Bulkhead, BulkheadLimit, Clock, Effect, RetryPolicy};
//! use switchboard_provider::bridge::tower::{AttemptTimeoutLayer, BulkheadLayer, RetryLayer};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> switchboard_core::Result<()> {
//! let clock = Clock::system();
//! let bulkhead = Bulkhead::new(BulkheadLimit { max: 8, ..BulkheadLimit::default() }, clock.clone())?;
//! let timeout = AttemptTimeout::new(Duration::from_secs(1));
//! let mut halve = ServiceBuilder::new()
//!     .layer(BulkheadLayer::new(bulkhead))
//!     .layer(RetryLayer::new(RetryPolicy::default(), clock)?.with_effect(Effect::Read))
//!     .layer(AttemptTimeoutLayer::new(timeout))
//!     .service(service_fn(async |number: u64| Ok::<_, Infallible>(number / 2)));
//! assert_eq!(halve.ready().await?.call(8).await?, 4);
//! # Ok(()) }
//! ```

mod attempt_timeout;
mod attempted;
mod breaker;
mod bulkhead;
mod classify;
mod deadline;
mod fallback;
mod gated;
mod gates;
mod keyed_rate_limit;
mod meaning;
mod provider;
mod rate_limit;
mod retry;
mod service;

pub use attempt_timeout::{AttemptTimeoutLayer, AttemptTimeoutService};
pub use breaker::{BreakerFuture, BreakerLayer, BreakerService};
pub use bulkhead::{BulkheadLayer, BulkheadService};
pub use classify::{BoxError, Classified, classify};
pub use deadline::{DeadlineFuture, DeadlineLayer, DeadlineService};
pub use fallback::{FallbackFuture, FallbackLayer, FallbackService};
pub use gated::Gated;
pub use gates::{GatesLayer, GatesService};
pub use keyed_rate_limit::{KeyedRateLimitFuture, KeyedRateLimitLayer, KeyedRateLimitService};
pub use meaning::{AllGood, Announce, EffectOf, Judge, Silent};
pub use provider::{
    Layered, ServiceProvider, layered, layered_duplex, layered_sink, layered_stream,
};
pub use rate_limit::{RateLimitLayer, RateLimitService};
pub use retry::{RetryFuture, RetryLayer, RetryService};
pub use service::{Asking, DuplexService, ProviderService, SinkService, StreamService};

/// Says the name of what has nothing in it that can be shown.
macro_rules! opaque {
    ($name:ident<$($generic:ident),+>) => {
        impl<$($generic),+> std::fmt::Debug for $name<$($generic),+> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    };
}
use opaque;
