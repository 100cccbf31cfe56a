//! Whether an instance that gets another driver keeps its data.
//!
//! What data is, the driver has said of its settings; no service is asked. Consent is the name of the data
//! that is given up, so that it holds for this one change and for no later one.

use std::sync::Arc;

use super::slot::{Plan, Recipe, Slot};
use crate::registry::Registered;
use crate::{Error, ErrorKind, Result, Settings, Subsystem};

impl<S: Subsystem> Slot<S> {
    /// Refuses a plan by which the instance would have other data than now, unless it says that it is to.
    pub(crate) fn refuse_other_data(&self, plan: &Plan<S>) -> Result<()> {
        let Some((driver, settings)) = self.driver_of_data() else { return Ok(()) };
        let Some(now) = driver.data_of(&settings) else { return Ok(()) };
        let next = plan.driver.data_of(&plan.settings);
        let is_same = next.as_ref() == Some(&now) || plan.replaces.as_ref() == Some(&now);
        if is_same || plan.driver.data_meant(&plan.settings) == driver.data_meant(&settings) {
            return Ok(());
        }
        let hint = format!("if that is what you want, write replaces = {now:?} beside its driver");
        let next = next.unwrap_or_else(|| plan.driver.label().to_owned());
        let refusal = Error::new(ErrorKind::Config, "the instance would have other data than now")
            .with_context("data", now)
            .with_context("other data", next)
            .with_hint(hint)
            .not_applied();
        Err(refusal.at(|| self.place(None, "swap")))
    }

    /// What serves, or will when it is built, and its settings; `None` where nobody knows of its data.
    fn driver_of_data(&self) -> Option<(Arc<Registered<S>>, Settings)> {
        match &self.writing.lock().recipe {
            Recipe::Driver { driver, settings, .. } => Some((driver.clone(), settings.clone())),
            Recipe::ReadyMade { .. } | Recipe::Group(_) => None,
        }
    }
}
