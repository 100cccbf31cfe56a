//! Whether an instance that gets another driver keeps its data.
//!
//! What data is, the driver has said of its settings; nobody is asked. Consent is the name of the data
//! that is given up, so that it holds for this one change and for no later one.

use super::slot::{Plan, Recipe, Slot};
use crate::{Error, ErrorKind, Result, Subsystem};

impl<S: Subsystem> Slot<S> {
    /// Refuses a plan by which the instance would have other data than now, unless it says that it is to.
    pub(crate) fn refuse_other_data(&self, plan: &Plan<S>) -> Result<()> {
        let Some(now) = self.data() else { return Ok(()) };
        let next = plan.driver.data_of(&plan.settings);
        if next.as_ref() == Some(&now) || plan.replaces.as_ref() == Some(&now) {
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

    /// Which data it holds, or will when it is built; `None` where nobody says.
    fn data(&self) -> Option<String> {
        let recipe = match &self.writing.lock().recipe {
            Recipe::Driver { driver, settings, .. } => (driver.clone(), settings.clone()),
            Recipe::ReadyMade { .. } | Recipe::Group(_) => return None,
        };
        let (driver, settings) = recipe;
        driver.data_of(&settings)
    }
}
