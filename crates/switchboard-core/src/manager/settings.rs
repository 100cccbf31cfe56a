//! What every instance has beside the settings of its driver.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Manager;
use crate::line::{Limits, Plan};
use crate::name::nearest;
use crate::registry::listed;
use crate::settings::{Problem, Problems, Value, duration};
use crate::{Error, ErrorKind, Name, Policy, Result, Settings, Subsystem};

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
    pub const KEYS: &'static [&'static str] =
        &["driver", "require", "policy", "build_limit", "drain_limit", "close_limit"];

    /// Takes what every instance has out of `settings`; the rest is the driver's.
    pub fn take(settings: &Settings, instance: &str) -> Result<(Self, Settings)> {
        let mut rest = settings.clone();
        let mut own = Settings::at(settings.origin().clone());
        for key in Self::KEYS {
            if let Some(node) = rest.remove(key) {
                own.insert(*key, node);
            }
        }
        let mut own: Self = own.decode_at(instance)?;
        if own.driver.is_none() {
            own.driver = scheme_of(&rest);
        }
        Ok((own, rest))
    }
}

impl<S: Subsystem> Manager<S> {
    /// How the instance `name` is to be made, and the settings of its driver.
    ///
    /// Every mistake is found here, before anything is built.
    pub(super) fn plan(&self, name: &Name, settings: &Settings) -> Result<Plan<S>> {
        let full_name = format!("{}.{name}", S::NAME);
        let taken = InstanceSettings::take(settings, &full_name);
        // The driver may be known although the rest is wrong; then its mistakes are told as well.
        let driver_name = match &taken {
            Ok((own, _)) => own.driver.clone(),
            Err(_) => settings.child("driver").and_then(|node| node.as_str()).map(str::to_owned),
        };
        let Some(driver_name) = driver_name else {
            return Err(taken.err().unwrap_or_else(|| no_driver(settings, &full_name)));
        };
        let driver = self.0.registry.find(&driver_name).map_err(|error| {
            error
                .with_context("instance", &full_name)
                .with_context("at", origin_of_driver(settings))
        })?;
        let rest = match &taken {
            Ok((_, rest)) => rest.clone(),
            Err(_) => without_own_keys(settings),
        };
        let checked = driver.check(&rest, &full_name);
        let (own, rest) = both(taken, checked)?;
        for capability in &own.require {
            if !driver.capabilities().has(capability) {
                return Err(self.incapable(&full_name, &driver_name, capability));
            }
        }
        let policy = self.policy_of(own.policy.as_ref(), &full_name, settings)?;
        let usual = Limits::default();
        let limits = Limits {
            build: own.build_limit.unwrap_or(usual.build),
            drain: own.drain_limit.unwrap_or(usual.drain),
            close: own.close_limit.unwrap_or(usual.close),
        };
        Ok(Plan { driver, settings: rest, limits, policy })
    }

    fn policy_of(
        &self,
        choice: Option<&PolicyChoice>,
        instance: &str,
        settings: &Settings,
    ) -> Result<Option<Policy>> {
        let policy = match choice {
            None => return Ok(None),
            Some(PolicyChoice::Own(policy)) => (**policy).clone(),
            Some(PolicyChoice::Named(name)) => {
                let policies = self.0.environment.policies();
                policies.get(name).cloned().ok_or_else(|| {
                    let origin = settings.child("policy").map(|node| node.origin().clone());
                    let problem = Problem::new(
                        format!("{instance}.policy"),
                        origin.unwrap_or_default(),
                        format!("there is no policy called {name:?}"),
                    );
                    let problem = match nearest(name, policies.keys().map(String::as_str)) {
                        Some(meant) => problem.with_hint(format!("did you mean {meant:?}?")),
                        None => problem,
                    };
                    Error::from(Problems::from_iter([problem]))
                })?
            }
        };
        policy.check().map_err(|error| error.with_context("instance", instance))?;
        Ok(Some(policy))
    }

    fn incapable(&self, instance: &str, driver: &str, capability: &str) -> Error {
        let capable = self.0.registry.capable_of(capability);
        Error::new(ErrorKind::Config, "the driver cannot do what the instance requires")
            .with_context("instance", instance)
            .with_context("driver", driver)
            .with_context("requires", capability)
            .with_context("drivers that can", listed(&capable))
    }
}

/// Both results, or the mistakes of both in one error.
fn both<T>(one: Result<T>, other: Result<()>) -> Result<T> {
    match (one, other) {
        (Ok(value), Ok(())) => Ok(value),
        (Err(error), Ok(())) | (Ok(_), Err(error)) => Err(error),
        (Err(one), Err(other)) => match (one.find::<Problems>(), other.find::<Problems>()) {
            (Some(first), Some(second)) => {
                Err(first.iter().chain(second).cloned().collect::<Problems>().into())
            }
            _ => Err(one.with_related([other])),
        },
    }
}

fn no_driver(settings: &Settings, instance: &str) -> Error {
    let problem = Problem::new(instance, settings.origin().clone(), "no driver is named")
        .with_hint("set `driver`, or `url` with the driver as its scheme");
    Problems::from_iter([problem]).into()
}

fn origin_of_driver(settings: &Settings) -> String {
    let node = settings.child("driver").or_else(|| settings.child("url"));
    node.map_or(settings.origin(), |node| node.origin()).to_string()
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
    let Value::String(url) = settings.child("url")?.value() else { return None };
    let (scheme, _) = url.split_once("://")?;
    Some(scheme.split('+').next().unwrap_or(scheme).to_owned())
}
