//! What a board shows, as values that can be written as JSON.

use serde::Serialize;
use switchboard_core::{Details, DriverInfo, InstanceInfo};

/// An instance, as `GET /api/v1/instances` and `switchboard` show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InstanceView {
    /// The subsystem.
    pub subsystem: &'static str,
    /// The name, without the subsystem.
    pub name: String,
    /// The driver that serves, or would be built; nothing for a group.
    pub driver: Option<String>,
    /// How often it has been given a driver.
    pub generation: u64,
    /// `ready` if something serves, `idle` if nobody has used it yet.
    pub state: &'static str,
    /// The verdict that is known of it: `up`, `not checked`, `degraded`, `down`.
    pub health: String,
    /// Calls and opened things that use it now.
    pub in_flight: usize,
    /// The instances a group chooses among.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
    /// How a group chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub select: Option<&'static str>,
}

/// A driver, as `switchboard drivers --format json` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DriverView {
    /// The subsystem.
    pub subsystem: &'static str,
    /// The name.
    pub name: String,
    /// Other names it answers to.
    pub aliases: Vec<String>,
    /// One line for people.
    pub summary: String,
    /// What it can do beyond the core of the contract: `native`, `emulated` or `no`.
    pub capabilities: std::collections::BTreeMap<&'static str, String>,
    /// Whether its conformance suite runs against the real service in its own tests.
    pub proven: bool,
}

/// What the driver of an instance shows of itself, as `GET /api/v1/instances/{instance}/details` shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DetailsView {
    /// The full name: `database.main`.
    pub instance: String,
    /// The driver that serves, or would be built; nothing for a group.
    pub driver: Option<String>,
    /// What it shows; nothing if it has nothing to show, while nobody has used it yet, and for a group.
    pub details: Option<Details>,
}

impl InstanceView {
    pub(crate) fn new(subsystem: &'static str, info: InstanceInfo, health: String) -> Self {
        Self {
            subsystem,
            name: info.name,
            driver: info.driver,
            generation: info.generation,
            state: if info.is_ready { "ready" } else { "idle" },
            health,
            in_flight: info.in_flight,
            members: info.members,
            select: info.selector,
        }
    }
}

impl DriverView {
    pub(crate) fn new(subsystem: &'static str, info: DriverInfo) -> Self {
        let capabilities = info.capabilities.iter();
        Self {
            subsystem,
            name: info.name,
            aliases: info.aliases,
            summary: info.summary,
            capabilities: capabilities.map(|(name, can)| (name, can.to_string())).collect(),
            proven: info.proven,
        }
    }
}
