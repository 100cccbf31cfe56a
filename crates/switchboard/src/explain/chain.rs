//! Where each gate of a chain comes from.
//!
//! The gates and their numbers are core's; here each is led back to the place in the configuration
//! that asked for it.

use std::mem::discriminant;

use schemars::schema_for;
use serde_json::Value;
use switchboard_core::settings::Node;
use switchboard_core::{
    BreakerPolicy, BulkheadLimit, ChainStep, HedgePolicy, InstanceInfo, Origin, Policy, RateLimit,
    RetryPolicy, Settings,
};

use super::GateView;
use crate::wanted::Instance;

/// The chain of an instance, each gate with its origin.
pub(super) fn chain(
    steps: Vec<ChainStep>,
    in_force: Option<&Policy>,
    info: &InstanceInfo,
    wanted: Option<&Instance>,
) -> Vec<GateView> {
    let asked = wanted.and_then(|wanted| Asked::of(wanted, in_force));
    let view = |step: ChainStep| match step.gate {
        "driver" if info.selector.is_some() => members(info, wanted),
        "driver" => GateView { origin: origin_of_driver(wanted), ..plain(step) },
        gate => GateView {
            origin: asked.as_ref().map_or_else(|| BY_HAND.to_owned(), |asked| asked.origin(gate)),
            ..plain(step)
        },
    };
    steps.into_iter().map(view).collect()
}

/// The policy in force, as the configuration writes it.
struct Asked<'w> {
    policy: &'w Settings,
    name: Option<&'w str>,
}

impl<'w> Asked<'w> {
    /// `None` if other gates are in force than the configuration asks for.
    fn of(wanted: &'w Instance, in_force: Option<&Policy>) -> Option<Self> {
        let policy = wanted.settings.child("policy").and_then(Node::as_table)?;
        let is_in_force = policy.decode::<Policy>().ok().as_ref() == in_force;
        is_in_force.then_some(Self { policy, name: wanted.policy.as_deref() })
    }

    /// The place of a gate and the policy it is part of, then whatever of it comes from elsewhere.
    fn origin(&self, gate: &str) -> String {
        let key = gate.split(':').next().unwrap_or(gate);
        let Some(node) = self.policy.child(key) else { return BY_HAND.to_owned() };
        let named = self.name.map(|name| format!(" (policy {name})")).unwrap_or_default();
        let mut origin = format!("{}{named}", node.key_origin());
        if let Some(table) = node.as_table() {
            origin.extend(from_elsewhere(node, table));
            origin.extend(left_out(key, table));
        }
        origin
    }
}

/// What another layer has set within the gate.
fn from_elsewhere(gate: &Node, table: &Settings) -> Vec<String> {
    let is_elsewhere = |node: &Node| !is_same_layer(node.origin(), gate.origin());
    let others = table.iter().filter(|(_, node)| is_elsewhere(node));
    others.map(|(key, node)| format!("; {key} from {}", node.key_origin())).collect()
}

fn is_same_layer(one: &Origin, other: &Origin) -> bool {
    match (one, other) {
        (Origin::File { path: one, .. }, Origin::File { path: other, .. }) => one == other,
        (one, other) => discriminant(one) == discriminant(other),
    }
}

/// What the gate sets by itself.
fn left_out(gate: &str, table: &Settings) -> Option<String> {
    let known = settings_of(gate);
    let left: Vec<_> = known.iter().filter(|key| table.child(key).is_none()).collect();
    match left.as_slice() {
        [] => None,
        all if all.len() == known.len() => Some("; all of it built-in default".to_owned()),
        few if few.len() <= NAMED_MAX => {
            let names: Vec<_> = few.iter().map(|key| key.as_str()).collect();
            Some(format!("; {} built-in default", names.join(", ")))
        }
        _ => Some("; the rest built-in default".to_owned()),
    }
}

/// The names of all settings of a gate.
fn settings_of(gate: &str) -> Vec<String> {
    let schema = match gate {
        "rate_limit" => schema_for!(RateLimit),
        "bulkhead" => schema_for!(BulkheadLimit),
        "breaker" => schema_for!(BreakerPolicy),
        "retry" => schema_for!(RetryPolicy),
        "hedge" => schema_for!(HedgePolicy),
        _ => return Vec::new(),
    };
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flat_map(|properties| properties.keys().cloned()).collect()
}

/// The end of a group's chain: not a driver, but whole other chains.
fn members(info: &InstanceInfo, wanted: Option<&Instance>) -> GateView {
    let node = wanted.and_then(|wanted| wanted.settings.child("members"));
    let select = info.selector.unwrap_or_default();
    GateView {
        gate: "members",
        settings: format!(
            "{select} among {}; each has gates of its own, and is asked after another has failed",
            info.members.join(", ")
        ),
        origin: node.map_or_else(|| BY_HAND.to_owned(), |node| node.key_origin().to_string()),
    }
}

fn origin_of_driver(wanted: Option<&Instance>) -> String {
    let Some(Instance { settings, .. }) = wanted else { return BY_HAND.to_owned() };
    let node = settings.child("driver").or_else(|| settings.child("url"));
    node.map_or_else(|| settings.origin(), Node::key_origin).to_string()
}

fn plain(step: ChainStep) -> GateView {
    GateView { gate: step.gate, settings: step.settings, origin: String::new() }
}

/// The origin of what no configuration asks for.
const BY_HAND: &str = "set while running";
/// How many settings left at their defaults are named; more are told as the rest.
const NAMED_MAX: usize = 3;
