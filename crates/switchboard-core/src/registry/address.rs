//! An address given to a driver that has none: its query holds settings.
//!
//! `memory://` says which driver is meant and nothing else; `memory://?max_entries=10` sets what the
//! driver has. The address of a driver that has one goes to it untouched.

use std::borrow::Cow;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

use super::{Registered, Registry};
use crate::name::NameTable;
use crate::settings::{Node, Origin, Problem, Problems, Value};
use crate::{Result, Settings, Subsystem};

/// The setting that holds the address.
pub(super) const ADDRESS: &str = "url";

impl<S: Subsystem> Registry<S> {
    /// The settings of `driver` where an address that it would not know is replaced by what the address
    /// sets. `own_keys` are those that belong to the instance and not to the driver.
    pub(crate) fn without_address(
        &self,
        driver: &Registered<S>,
        settings: Settings,
        own_keys: &[&str],
    ) -> (Settings, Result<()>) {
        Addressed { drivers: &self.0.table.load(), driver }.resolve(settings, own_keys)
    }
}

/// A driver among those whose names an address may begin with.
pub(super) struct Addressed<'r, S: Subsystem> {
    pub(super) drivers: &'r NameTable<Arc<Registered<S>>>,
    pub(super) driver: &'r Registered<S>,
}

impl<S: Subsystem> Addressed<'_, S> {
    /// The settings with what the address sets in its place.
    pub(super) fn resolve(
        &self,
        mut settings: Settings,
        own_keys: &[&str],
    ) -> (Settings, Result<()>) {
        let driver = self.driver;
        let Some(node) = settings.child(ADDRESS) else { return (settings, Ok(())) };
        let Some(address) = node.as_str().filter(|_| !driver.reads_address()) else {
            return (settings, Ok(()));
        };
        let (address, origin) = (address.to_owned(), node.origin().clone());
        settings.remove(ADDRESS);
        let mut taken = Taken { origin, settings, own_keys, problems: Vec::new() };
        match address.split_once("://") {
            Some((scheme, rest)) if self.is_scheme(scheme) => taken.query(rest),
            Some((scheme, _)) => {
                let hint = match self.drivers.find(scheme) {
                    Some(other) => format!("`{}` is another driver", other.label()),
                    None => format!("write it like {}://", driver.label()),
                };
                taken.refuse("the scheme of the address does not name the driver", hint);
            }
            None => taken.refuse(NO_ADDRESS, usage(driver.label())),
        }
        let Taken { settings, problems, .. } = taken;
        if problems.is_empty() {
            return (settings, Ok(()));
        }
        (settings, Err(Problems::from_iter(problems).into()))
    }

    fn is_scheme(&self, scheme: &str) -> bool {
        let name = scheme.split('+').next().unwrap_or(scheme);
        self.drivers.find(name).is_some_and(|found| found.label() == self.driver.label())
    }
}

/// What has been read of an address so far. No problem quotes more of it than the name of a setting.
struct Taken<'k> {
    origin: Origin,
    settings: Settings,
    own_keys: &'k [&'k str],
    problems: Vec<Problem>,
}

impl Taken<'_> {
    /// What follows `://`: nothing, or `?` and settings.
    fn query(&mut self, rest: &str) {
        if rest.is_empty() {
            return;
        }
        let Some(query) = rest.strip_prefix('?').filter(|query| !query.contains('#')) else {
            return self
                .refuse(NO_ADDRESS, "leave out what follows `://`, or write ?setting=value");
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            self.pair(pair);
        }
    }

    fn pair(&mut self, pair: &str) {
        let Some((key, value)) = pair.split_once('=') else {
            return self.refuse("a setting in the address has no value", "write ?setting=value");
        };
        let (Some(key), Some(value)) = (decoded(key), decoded(value)) else {
            return self.refuse("the address is not text", "percent-encode it as UTF-8");
        };
        if self.own_keys.contains(&&*key) {
            let hint = format!("give the instance a table and set `{key}` there");
            return self.refuse("a setting of the instance cannot be in its address", hint);
        }
        if let Some(there) = self.settings.child(&key) {
            let hint = if there.origin() == &self.origin {
                "it is in the address more than once".to_owned()
            } else {
                format!("it is set at {} as well", there.origin())
            };
            let problem = Problem::new(&*key, self.origin.clone(), "the setting is set twice");
            self.problems.push(problem.with_hint(hint));
            return;
        }
        let node = Node::new(Value::Untyped(value.into_owned()), self.origin.clone());
        self.settings.insert(&*key, node);
    }

    fn refuse(&mut self, message: &str, hint: impl Into<String>) {
        let problem = Problem::new(ADDRESS, self.origin.clone(), message);
        self.problems.push(problem.with_hint(hint));
    }
}

fn decoded(text: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(text).decode_utf8().ok()
}

fn usage(driver: &str) -> String {
    format!("write {driver}:// or {driver}://?setting=value")
}

const NO_ADDRESS: &str = "the driver has no address";
