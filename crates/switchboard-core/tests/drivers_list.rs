//! The list of drivers of a subsystem, as the documentation of `drivers!` shows it.

#![allow(
    clippy::unwrap_used,
    unexpected_cfgs,
    reason = "a test stops at the first surprise, and this build leaves a feature out"
)]

#[allow(dead_code, unreachable_pub, reason = "the examples of the documentation use the rest")]
mod counters;
mod drivers;

use switchboard_core::{LeftOut, Registry};

#[test]
fn each_line_registers_a_driver_or_says_which_feature_brings_it() {
    let registry = Registry::empty();
    drivers::register_built_ins(&registry).unwrap();
    assert_eq!(registry.names(), ["memory", "null"]);
    assert_eq!(drivers::LEFT_OUT, [LeftOut { driver: "redis", feature: "redis" }]);
}
