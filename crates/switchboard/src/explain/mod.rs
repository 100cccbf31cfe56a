//! Why an instance is as it is: its driver, its settings with their origins, the gates of its calls.
//!
//! What comes from where is in `settings` and `chain`, what a call can become in `worst`, what of that
//! nobody can want in `warnings`. Nothing here is on the way of a call, and nobody is asked.

mod chain;
mod settings;
mod warnings;
mod worst;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use switchboard_core::settings::{DurationText, Node};
use switchboard_core::{
    Gates, GroupSettings, InstanceInfo, Policy, Result, SelectorChoice, Settings,
};

pub(crate) use self::settings::of_instance as settings_of;
use self::warnings::{Choosing, Guarded, Member};
use self::worst::Worst;
use crate::Switchboard;
use crate::wanted::{Instance, Wanted};
use crate::wired::Wired;

/// All there is to say about an instance, as `switchboard explain` shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The subsystem.
    pub subsystem: &'static str,
    /// The name, without the subsystem.
    pub name: String,
    /// The driver that serves, or would be built; nothing for a group.
    pub driver: Option<String>,
    /// How often it has been given a driver; of a group, how often it was given other members.
    pub generation: u64,
    /// `ready` if something serves, `idle` if nobody has used it yet.
    pub state: &'static str,
    /// The instances a group chooses among, in its order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
    /// How a group chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub select: Option<&'static str>,
    /// How often each member of a weighted group is chosen beside the others.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<String, u32>,
    /// Every setting with its origin, also those left at their defaults. Secrets are masked.
    pub settings: Vec<SettingView>,
    /// The path of every call, outermost gate first, the driver last. That of a group ends with its
    /// members, each of which has a chain of its own.
    pub chain: Vec<GateView>,
    /// The longest a call can take; nothing if it has no end.
    ///
    /// With a deadline it is the deadline. Without one it is the sum of all that gates let a call wait
    /// for, once the instance is built, and not counting pauses that a service itself asks for.
    pub time_max: Option<String>,
    /// How many attempts of the driver one call can become; of a group, those of all its members.
    pub attempts_max: u32,
    /// What the gates do to each other that nobody can want.
    pub warnings: Vec<String>,
}

/// A setting, and where it came from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SettingView {
    /// The path, below the instance or from the root.
    pub path: String,
    /// The value as text; `***` for a secret, `(default)` where nothing says what the default is.
    pub value: String,
    /// Where it came from: `switchboard.toml:7:1`, `variable …`, `built-in default`.
    pub origin: String,
    /// What it is for, where the driver says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
}

/// One step of the path of a call.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct GateView {
    /// The gate, in the words of its configuration.
    pub gate: &'static str,
    /// Its settings, and what it does with a call.
    pub settings: String,
    /// Where it comes from: the place in the configuration, with the policy's name if it has one, and
    /// what of it comes from elsewhere or is left at its default.
    pub origin: String,
}

impl Switchboard {
    /// All there is to say about an instance (`cache.sessions`). Nothing is built, nobody is asked.
    ///
    /// ```
    /// use switchboard::{Format, Switchboard};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let shop = r#"
    ///     [cache.sessions]
    ///     driver = "memory"
    ///     policy = "fast"
    ///
    ///     [policy.fast]
    ///     deadline = "300ms"
    ///     attempt_timeout = "150ms"
    ///     retry = { attempts = 3, backoff = "20ms..1s" }
    /// "#;
    /// let board = Switchboard::builder().text("shop.toml", Format::Toml, shop).build().await?;
    /// let why = board.explain("cache.sessions")?;
    /// assert_eq!((why.time_max.as_deref(), why.attempts_max), (Some("300ms"), 3));
    /// assert!(why.warnings[0].starts_with("3 attempts of 150ms with waits of up to 60ms"));
    ///
    /// let gates: Vec<_> = why.chain.iter().map(|step| step.gate).collect();
    /// assert_eq!(gates, ["deadline", "retry", "attempt_timeout", "driver"]);
    /// assert!(why.chain[0].origin.ends_with("(policy fast)"));
    /// # board.close(std::time::Duration::from_secs(5)).await.into_result()
    /// # }
    /// ```
    pub fn explain(&self, instance: &str) -> Result<Explanation> {
        let (manager, name) = self.find(instance)?;
        let wanted = self.wanted();
        let info = manager.instance(name)?;
        Scene { manager: manager.as_ref(), wanted: &wanted }.explain(&info)
    }

    /// The whole configuration in force, each value with its origin, secrets masked.
    ///
    /// Instances and policies stand where they were written, so an instance shows the name of its policy;
    /// what a driver adds by default is in what [`explain`](Self::explain) says of its instance.
    ///
    /// ```
    /// use switchboard::{Format, Switchboard};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let shop = "cache.sessions = { driver = 'memory', max_entries = 1000 }";
    /// let board = Switchboard::builder().text("shop.toml", Format::Toml, shop).build().await?;
    /// let settings = board.configuration();
    /// let entries = settings.iter().find(|row| row.path == "cache.sessions.max_entries");
    /// assert_eq!(entries.map(|row| row.value.as_str()), Some("1000"));
    /// # board.close(std::time::Duration::from_secs(5)).await.into_result()
    /// # }
    /// ```
    pub fn configuration(&self) -> Vec<SettingView> {
        settings::of_all(&self.wanted(), &self.0.wired, &self.0.source.sections)
    }
}

/// The instances of one manager, and what the configuration asks of them.
struct Scene<'s> {
    manager: &'s dyn Wired,
    wanted: &'s Wanted,
}

impl<'s> Scene<'s> {
    /// What the configuration asks of the instance; nothing of one that was made in code.
    fn wanted(&self, info: &InstanceInfo) -> Option<&'s Instance> {
        let is_meant = |instance: &&Instance| {
            instance.subsystem == self.manager.subsystem()
                && instance.name.trim().eq_ignore_ascii_case(&info.name)
        };
        self.wanted.instances.iter().find(is_meant)
    }

    fn explain(&self, info: &InstanceInfo) -> Result<Explanation> {
        let (wanted, gates) = (self.wanted(info), self.manager.gates(&info.name)?);
        let policy = gates.as_deref().map(Gates::policy);
        let worst = self.worst(info, 0);
        Ok(Explanation {
            subsystem: self.manager.subsystem(),
            name: info.name.clone(),
            driver: info.driver.clone(),
            generation: info.generation,
            state: if info.is_ready { "ready" } else { "idle" },
            members: info.members.clone(),
            select: info.selector,
            weights: weights(info, wanted),
            settings: settings::of_instance(self.manager, self.wanted, wanted),
            chain: chain::chain(self.manager.chain(&info.name)?, policy, info, wanted),
            time_max: worst.time.map(|time| DurationText(time).to_string()),
            attempts_max: worst.attempts,
            warnings: self.warnings(info, wanted, policy),
        })
    }

    /// The worst that a call of the instance can become. Groups are looked into as deep as sensible
    /// ones are; they never contain themselves, but may change while one looks.
    fn worst(&self, info: &InstanceInfo, depth: usize) -> Worst {
        let policy = self.policy(info);
        if info.selector.is_none() || depth == GROUPS_DEEP_MAX {
            return Worst::of(&policy);
        }
        let members = self.members(info).map(|member| self.worst(&member, depth + 1));
        Worst::in_turn(members, policy.deadline)
    }

    fn may_hang(&self, info: &InstanceInfo, depth: usize) -> bool {
        if info.selector.is_none() || depth == GROUPS_DEEP_MAX {
            return guarded(&self.policy(info), self.wanted(info)).may_hang();
        }
        self.members(info).any(|member| self.may_hang(&member, depth + 1))
    }

    fn warnings(
        &self,
        info: &InstanceInfo,
        wanted: Option<&Instance>,
        policy: Option<&Policy>,
    ) -> Vec<String> {
        let none = Policy::default();
        let policy = policy.unwrap_or(&none);
        if info.selector.is_none() {
            return guarded(policy, wanted).warnings();
        }
        let members: Vec<_> = self.members(info).collect();
        let members = members.iter().map(|info| Member {
            name: &info.name,
            worst: self.worst(info, 1),
            may_hang: self.may_hang(info, 1),
        });
        let weights = weights(info, wanted);
        let choosing = Choosing {
            deadline: policy.deadline,
            has_empty_policy: wanted.is_some_and(has_policy) && policy.is_empty(),
            select: group_settings(wanted).map(|group| group.select).unwrap_or_default(),
            weights: &weights,
            members: members.collect(),
        };
        choosing.warnings()
    }

    /// The members that are still there.
    fn members<'i>(&'i self, group: &'i InstanceInfo) -> impl Iterator<Item = InstanceInfo> {
        group.members.iter().filter_map(|member| self.manager.instance(member).ok())
    }

    /// The policy in force.
    fn policy(&self, info: &InstanceInfo) -> Policy {
        let gates: Option<Arc<Gates>> = self.manager.gates(&info.name).ok().flatten();
        gates.map(|gates| gates.policy().clone()).unwrap_or_default()
    }
}

fn guarded<'g>(policy: &'g Policy, wanted: Option<&'g Instance>) -> Guarded<'g> {
    Guarded {
        policy,
        has_policy: wanted.is_some_and(has_policy),
        policy_name: wanted.and_then(|wanted| wanted.policy.as_deref()),
        is_remote: wanted.is_some_and(|wanted| is_remote(&wanted.settings)),
    }
}

fn has_policy(wanted: &Instance) -> bool {
    wanted.settings.child("policy").is_some_and(|node| node.as_table().is_some())
}

/// Whether the address names a host, as that of a service does and that of a file does not.
fn is_remote(settings: &Settings) -> bool {
    let url = settings.child("url").and_then(Node::as_str);
    let rest = url.and_then(|url| url.split_once("://")).map(|(_, rest)| rest);
    rest.is_some_and(|rest| rest.starts_with(|first: char| !"/?#".contains(first)))
}

/// The weights of a weighted group, also of members that have the usual one.
fn weights(info: &InstanceInfo, wanted: Option<&Instance>) -> BTreeMap<String, u32> {
    let group = group_settings(wanted).filter(|group| group.select == SelectorChoice::Weighted);
    let Some(group) = group else { return BTreeMap::new() };
    let weight = |member: &str| {
        let mut given = group.weights.iter();
        let given = given.find(|(name, _)| name.trim().eq_ignore_ascii_case(member));
        given.map_or(1, |(_, weight)| *weight)
    };
    info.members.iter().map(|member| (member.clone(), weight(member))).collect()
}

/// What the configuration says of a group.
fn group_settings(wanted: Option<&Instance>) -> Option<GroupSettings> {
    let mut settings = wanted?.settings.clone();
    for key in ["eager", "required"] {
        settings.remove(key);
    }
    settings.decode().ok()
}

/// How deep groups of groups are looked into.
const GROUPS_DEEP_MAX: usize = 16;
