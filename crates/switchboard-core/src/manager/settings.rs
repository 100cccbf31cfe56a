//! What every instance has beside the settings of its driver.

use std::collections::BTreeSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Manager;
use super::groups::as_compared;
use crate::line::{Limits, Plan};
use crate::name::{nearest, shortened};
use crate::registry::{Registered, listed};
use crate::settings::{
    Node, Problem, ProblemKind, Problems, Value, duration, mistakes_of, origin_within,
};
use crate::{Capabilities, Error, ErrorKind, Name, Policy, Result, Settings, Subsystem};

/// The keys that every instance has, whatever its driver. They are taken off before the driver sees
/// its settings, so no driver may use them for something else.
///
/// ```
/// use switchboard_core::{InstanceSettings, Settings};
///
/// let settings = Settings::new()
///     .with("url", "redis+tls://cache.example")
///     .with("policy", "fast")
///     .with("drain_limit", "5s");
/// let (own, rest) = InstanceSettings::take(&settings, "cache.sessions")?;
/// assert_eq!(own.driver.as_deref(), Some("redis"), "by the scheme of the address");
/// assert_eq!(rest.keys().collect::<Vec<_>>(), ["url"]);
/// # switchboard_core::Result::<()>::Ok(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct InstanceSettings {
    /// The driver. Without it, the scheme of `url` names the driver.
    pub driver: Option<String>,
    /// What the driver must be able to do; the start fails if it cannot.
    #[serde(default)]
    pub require: Vec<String>,
    /// The gates: the name of a policy of the environment, or a policy.
    pub policy: Option<PolicyChoice>,
    /// How long building and initialising the driver may take; without it 30 seconds.
    #[serde(default, with = "duration::option")]
    #[schemars(with = "Option<duration::Text>")]
    pub build_limit: Option<Duration>,
    /// How long a swap waits for the calls of the old driver; without it 30 seconds.
    #[serde(default, with = "duration::option")]
    #[schemars(with = "Option<duration::Text>")]
    pub drain_limit: Option<Duration>,
    /// How long closing a driver may take after a swap; without it 10 seconds.
    #[serde(default, with = "duration::option")]
    #[schemars(with = "Option<duration::Text>")]
    pub close_limit: Option<Duration>,
    /// Whether it is connected at start; that it cannot be is told and stops nothing.
    #[serde(default)]
    pub eager: bool,
    /// Whether the start fails if it cannot be connected, and whether readiness needs it.
    #[serde(default)]
    pub required: bool,
    /// Which data it held before, as the refusal of other data calls it: whoever says it wants that.
    pub replaces: Option<String>,
}

/// The gates of an instance, by name or on the spot.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PolicyChoice {
    /// A policy of the environment.
    Named(String),
    /// A policy of this instance alone.
    Own(Box<Policy>),
}

impl InstanceSettings {
    /// The names of the keys.
    pub const KEYS: &'static [&'static str] = &[
        "driver",
        "require",
        "policy",
        "build_limit",
        "drain_limit",
        "close_limit",
        "eager",
        "required",
        "replaces",
    ];

    /// Takes what every instance has out of `settings`; the rest is the driver's.
    pub fn take(settings: &Settings, instance: &str) -> Result<(Self, Settings)> {
        refuse_too_deep(settings, instance)?;
        let mut rest = settings.clone();
        let mut own = Settings::at(settings.origin().clone());
        for key in Self::KEYS {
            if let Some(node) = rest.remove(key) {
                own.insert(*key, node);
            }
        }
        let policy = PolicyChoice::take(&mut own, instance);
        let (mut own, policy) = both(own.decode_at::<Self>(instance), policy)?;
        own.policy = policy;
        if own.driver.is_none() {
            own.driver = scheme_of(&rest);
        }
        Ok((own, rest))
    }
}

impl InstanceSettings {
    /// How long its driver may take to come and to go.
    pub(super) fn limits(&self) -> Limits {
        let usual = Limits::default();
        Limits {
            build: self.build_limit.unwrap_or(usual.build),
            drain: self.drain_limit.unwrap_or(usual.drain),
            close: self.close_limit.unwrap_or(usual.close),
        }
    }
}

impl PolicyChoice {
    /// Takes the policy out of the settings of an instance or a group. Decoded by itself, so that each
    /// mistake in it is told at its own place: a choice of either can only say that it is neither.
    pub(super) fn take(own: &mut Settings, instance: &str) -> Result<Option<Self>> {
        let Some(node) = own.remove("policy") else { return Ok(None) };
        let path = format!("{instance}.policy");
        match node.value() {
            Value::Null => Ok(None),
            Value::String(name) | Value::Untyped(name) => Ok(Some(Self::Named(name.clone()))),
            Value::Table(policy) => Ok(Some(Self::Own(Box::new(Policy::decoded(policy, &path)?)))),
            other => {
                let message = format!(
                    "expected the name of a policy or its settings, found {}",
                    other.kind()
                );
                Err(Problems::from_iter([Problem::new(path, node.origin().clone(), message)])
                    .into())
            }
        }
    }
}

impl<S: Subsystem> Manager<S> {
    /// How the instance `name` is to be made, and the settings of its driver.
    ///
    /// Every mistake is found here, before anything is built.
    pub(super) fn plan(&self, name: &Name, settings: &Settings) -> Result<Plan<S>> {
        self.plan_or(name, settings, None)
    }

    /// The same, where the driver is called `usual` if the settings name none.
    pub(super) fn plan_or(
        &self,
        name: &Name,
        settings: &Settings,
        usual: Option<&str>,
    ) -> Result<Plan<S>> {
        let full_name = format!("{}.{name}", S::NAME);
        refuse_too_deep(settings, &full_name)?;
        let taken = InstanceSettings::take(settings, &full_name);
        // The driver may be known although the rest is wrong; then its mistakes are told as well.
        let driver_name = match &taken {
            Ok((own, _)) => own.driver.clone(),
            Err(_) => driver_of(settings),
        };
        let driver_name = driver_name.or_else(|| usual.map(str::to_owned));
        let Some(driver_name) = driver_name else {
            return Err(taken.err().unwrap_or_else(|| self.no_driver(settings, &full_name)));
        };
        let driver = match self.0.registry.find(&driver_name) {
            Ok(driver) => driver,
            Err(error) => {
                return both(taken, unknown(error, settings, &full_name)).map(|(_, plan)| plan);
            }
        };
        let rest = match &taken {
            Ok((_, rest)) => rest.clone(),
            Err(_) => without_own_keys(settings),
        };
        let (rest, addressed) =
            self.0.registry.without_address(&driver, rest, InstanceSettings::KEYS);
        let addressed = addressed.map_err(|error| under(error, &full_name));
        let checked = driver.check(&rest, &full_name);
        let checked = checked.map_err(|error| hint_at_own_keys(error, settings, &full_name));
        let choice = match &taken {
            Ok((own, _)) => own.policy.clone(),
            Err(_) => settings.child("policy").and_then(choice_of),
        };
        let policy = self.policy_of(choice, &full_name, settings);
        let can = driver.capabilities_with(&rest);
        let required = match &taken {
            Ok((own, _)) => self.check_required(&own.require, settings, &driver, &can, &full_name),
            Err(_) => {
                self.check_required(&required_in(settings), settings, &driver, &can, &full_name)
            }
        };
        let checked = both(addressed, checked);
        let (((taken, _), policy), ()) = both(both(both(taken, checked), policy), required)?;
        let (own, _) = taken;
        let (limits, replaces) = (own.limits(), own.replaces);
        Ok(Plan { driver, settings: rest, limits, policy, wrap: None, replaces })
    }

    pub(super) fn policy_of(
        &self,
        choice: Option<PolicyChoice>,
        instance: &str,
        settings: &Settings,
    ) -> Result<Option<Policy>> {
        let Some(choice) = choice else { return Ok(None) };
        let node = settings.child("policy");
        let origin = node.map(|node| node.origin().clone()).unwrap_or_default();
        let path = format!("{instance}.policy");
        let mistakes = match choice {
            PolicyChoice::Own(policy) => {
                let Err(error) = policy.check() else { return Ok(Some(*policy)) };
                let table = node.and_then(Node::as_table);
                let place = |setting: &str| {
                    let origin = table.map_or(&origin, |table| origin_within(table, setting));
                    (format!("{path}.{setting}"), origin.clone())
                };
                mistakes_of(&error, &place)
            }
            PolicyChoice::Named(name) => {
                let policies = self.0.environment.policies();
                let is_same = |known: &&String| as_compared(known) == as_compared(&name);
                let known = || policies.keys().find(is_same).and_then(|known| policies.get(known));
                let Some(policy) = policies.get(&name).or_else(known) else {
                    let message = Name::told(&name, "the name of a policy", |name| {
                        format!("there is no policy called {name:?}")
                    });
                    let problem = Problem::new(path, origin, message).of_kind(ProblemKind::Unknown);
                    let problem = match nearest(&name, policies.keys().map(String::as_str)) {
                        Some(meant) => problem.with_hint(format!("did you mean {meant:?}?")),
                        None => problem,
                    };
                    return Err(Problems::from_iter([problem]).into());
                };
                let Err(error) = policy.check() else { return Ok(Some(policy.clone())) };
                return Err(error.with_context("instance", instance).with_context("policy", name));
            }
        };
        Err(mistakes.into())
    }

    fn check_required(
        &self,
        required: &[String],
        settings: &Settings,
        driver: &Registered<S>,
        can: &Capabilities,
        instance: &str,
    ) -> Result<()> {
        let lacking: Vec<(usize, &String)> =
            required.iter().enumerate().filter(|(_, name)| !can.has(name)).collect();
        let Some((_, first)) = lacking.first() else { return Ok(()) };
        let error = self.incapable(instance, driver, first);
        let problems = lacking.iter().map(|(position, name)| {
            let place = format!("require[{position}]");
            let origin = origin_within(settings, &place).clone();
            let message = Name::told(name, "what a driver can do", |name| {
                format!("the driver {:?} cannot {name:?}", driver.label())
            });
            let problem = Problem::new(format!("{instance}.{place}"), origin, message);
            let error = self.incapable(instance, driver, name);
            error.hints().map(str::to_owned).fold(problem, Problem::with_hint)
        });
        let problems: Problems = problems.collect();
        Err(error.with_source(problems))
    }

    #[cold]
    fn incapable(&self, instance: &str, driver: &Registered<S>, capability: &str) -> Error {
        let capable = self.0.registry.capable_of(capability);
        let error =
            Error::new(ErrorKind::Config, "the driver cannot do what the instance requires")
                .with_context("instance", instance)
                .with_context("driver", driver.label())
                .with_context(
                    "requires",
                    Name::quotable(capability).unwrap_or("text that is no name"),
                )
                .with_context("drivers that can", listed(&capable));
        let drivers = self.0.registry.describe();
        let declared = drivers.iter().flat_map(|driver| driver.capabilities.iter());
        let declared: BTreeSet<_> = declared.map(|(name, _)| name).collect();
        if declared.contains(capability) {
            return error;
        }
        let error = error.with_context("known", listed(&Vec::from_iter(&declared)));
        match nearest(capability, declared) {
            Some(meant) => error.with_hint(format!("did you mean {meant:?}?")),
            None => error.with_hint("no driver knows of such a capability"),
        }
    }

    #[cold]
    fn no_driver(&self, settings: &Settings, instance: &str) -> Error {
        if let Some(node) = settings.child("url")
            && let Some(text) = node.as_str()
        {
            return self.no_address(node, text, instance);
        }
        if let Some(node) = settings.child("driver") {
            return no_name_of_driver(node, instance);
        }
        let misspelt = settings.keys().find(|key| nearest(key, ["driver"]).is_some());
        let advice = match misspelt {
            Some(key) => format!("did you mean `driver` where it says `{}`?", shortened(key)),
            None => "set `driver`, or `url` with the driver as its scheme".to_owned(),
        };
        let hint = format!("{advice}; the drivers are {}", listed(&self.0.registry.names()));
        let problem = Problem::new(instance, settings.origin().clone(), "no driver is named")
            .of_kind(ProblemKind::Missing);
        Problems::from_iter([problem.with_hint(hint)]).into()
    }

    /// A text in the place of an address, which names no driver.
    #[cold]
    fn no_address(&self, node: &Node, text: &str, instance: &str) -> Error {
        let path = format!("{instance}.url");
        let problem =
            Problem::new(path, node.origin().clone(), "an address has the form driver://…");
        let driver = text.trim().split(':').next().unwrap_or_default();
        let hint = match self.0.registry.find(driver) {
            Ok(driver) => format!("write driver = {0:?}, or the address {0}://…", driver.label()),
            Err(_) => format!("the drivers are {}", listed(&self.0.registry.names())),
        };
        Problems::from_iter([problem.with_hint(hint)]).into()
    }
}

/// Both results, or the mistakes of both in one error.
pub(super) fn both<T, U>(one: Result<T>, other: Result<U>) -> Result<(T, U)> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
        (Err(one), Err(other)) => match (one.find::<Problems>(), other.find::<Problems>()) {
            (Some(first), Some(second)) => {
                Err(first.iter().chain(second).cloned().collect::<Problems>().into())
            }
            _ => Err(one.with_related([other])),
        },
    }
}

/// Before anything walks the tree in a way that takes room for each level.
fn refuse_too_deep(settings: &Settings, instance: &str) -> Result<()> {
    if !settings.is_too_deep() {
        return Ok(());
    }
    let message = format!("nested more than {} deep", crate::settings::DEPTH_MAX);
    let problem = Problem::new(instance, settings.origin().clone(), message);
    Err(Problems::from_iter([problem]).into())
}

/// The policy of settings whose other keys are wrong; its own mistakes are told with those.
fn choice_of(node: &Node) -> Option<PolicyChoice> {
    match node.value() {
        Value::String(name) | Value::Untyped(name) => Some(PolicyChoice::Named(name.clone())),
        Value::Table(table) => {
            table.decode().ok().map(|policy| PolicyChoice::Own(Box::new(policy)))
        }
        _ => None,
    }
}

/// What is required by settings whose other keys are wrong.
fn required_in(settings: &Settings) -> Vec<String> {
    let items = settings.child("require").and_then(Node::as_list).unwrap_or_default();
    // What is no text keeps its position, and is told where it is decoded.
    let words: Option<Vec<_>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
    words.unwrap_or_default()
}

/// Where settings say `driver` and mean nothing: in YAML and JSON the driver `null` needs its quotes.
#[cold]
fn no_name_of_driver(node: &Node, instance: &str) -> Error {
    let message = format!("expected the name of a driver, found {}", node.value().kind());
    let problem = Problem::new(format!("{instance}.driver"), node.origin().clone(), message);
    Problems::from_iter([problem.with_hint("write `\"null\"` for the driver of that name")]).into()
}

/// A key that the driver does not know may be a misspelt one of those that every instance has.
fn hint_at_own_keys(error: Error, settings: &Settings, instance: &str) -> Error {
    let Some(problems) = error.find::<Problems>() else { return error };
    let hinted = problems.iter().map(|problem| {
        let hint = own_key_meant(problem, settings, instance);
        let hint = hint.map(|key| format!("did you mean `{key}`?"));
        hint.into_iter().fold(problem.clone(), Problem::with_hint)
    });
    hinted.collect::<Problems>().into()
}

/// The key that was meant, unless the driver has one that is nearer.
fn own_key_meant(problem: &Problem, settings: &Settings, instance: &str) -> Option<&'static str> {
    let key = problem.path.strip_prefix(instance)?.strip_prefix('.')?;
    if problem.message != UNKNOWN || settings.child(key).is_none() {
        return None;
    }
    let keys = InstanceSettings::KEYS.iter().copied();
    let own: &'static str = nearest(key, keys.filter(|own| settings.child(own).is_none()))?;
    let of_driver = problem.hint.as_deref().and_then(suggested);
    let meant = nearest(key, of_driver.into_iter().chain([own]))?;
    (meant == own).then_some(own)
}

/// The key that a hint suggests.
fn suggested(hint: &str) -> Option<&str> {
    hint.strip_prefix("did you mean `")?.strip_suffix("`?")
}

/// The driver of settings whose other keys are wrong.
fn driver_of(settings: &Settings) -> Option<String> {
    let named = settings.child("driver").and_then(|node| node.as_str());
    named.map(str::to_owned).or_else(|| scheme_of(settings))
}

/// The error of a driver that nobody knows, which is also a mistake at the place where it is named.
fn unknown<T>(error: Error, settings: &Settings, instance: &str) -> Result<T> {
    let key = if settings.child("driver").is_some() { "driver" } else { "url" };
    let origin = settings.child(key).map_or(settings.origin(), Node::origin).clone();
    let available = error.context_value("available").unwrap_or_default();
    let advice = error.hints().next().unwrap_or_default();
    let separator = match advice.chars().last() {
        None => "",
        Some('?') => " ",
        Some(_) => "; ",
    };
    let hint = format!("{advice}{separator}the drivers are {available}");
    let problem =
        Problem::new(format!("{instance}.{key}"), origin.clone(), error.message()).with_hint(hint);
    let error = error.with_context("instance", instance).with_context("at", origin);
    Err(error.with_source(Problems::from_iter([problem])))
}

/// The same mistakes, of settings that stand under `prefix`.
fn under(error: Error, prefix: &str) -> Error {
    match error.find::<Problems>() {
        Some(problems) => problems.clone().under(prefix).into(),
        None => error,
    }
}

fn without_own_keys(settings: &Settings) -> Settings {
    let mut rest = settings.clone();
    for key in InstanceSettings::KEYS {
        rest.remove(key);
    }
    rest
}

/// `redis` of `redis://127.0.0.1` and of `redis+tls://127.0.0.1`.
fn scheme_of(settings: &Settings) -> Option<String> {
    let (scheme, rest) = settings.child("url")?.as_str()?.split_once(':')?;
    // `sqlite:app.db` has a scheme; `localhost:5432` has none, and `C:` is a disk.
    let has_rest = rest.starts_with(|first: char| !first.is_ascii_digit());
    let is_scheme = scheme.len() > 1 && has_rest;
    is_scheme.then(|| scheme.split('+').next().unwrap_or(scheme).to_owned())
}

/// What decoding says of a key that nobody knows.
const UNKNOWN: &str = "unknown setting";
