//! One board for every swappable backend of an application.
//!
//! Read in this order: [`Switchboard`], what an application holds; [`Builder`], what it is made from;
//! [`HealthView`], [`Explanation`] and their neighbours, what it shows; [`Part`], what is closed with
//! it; [`Blocking`], for threads without a runtime.

mod apply;
mod blocking;
mod board;
mod builder;
mod difference;
mod explain;
mod gates;
mod health;
mod jobs;
mod kit;
mod mistakes;
mod parts;
mod records;
mod reload;
mod source;
mod view;
mod wanted;
mod watch;
mod wired;

pub use blocking::Blocking;
pub use board::Switchboard;
pub use builder::Builder;
pub use difference::{Change, Plan, PlannedChange};
pub use explain::{Explanation, GateView, SettingView};
pub use gates::{
    BreakerCommand, BreakerView, BulkheadView, GatesView, InstanceFigures, RateLimitView,
    RetryBudgetView,
};
pub use health::{FeatureHealth, HealthView, InstanceHealth};
pub use mistakes::Mistakes;
pub use parts::Part;
pub use records::Record;
pub use switchboard_cache::Cache;
pub use switchboard_config::Format;
pub use view::{DriverView, InstanceView};
pub use watch::Watching;
