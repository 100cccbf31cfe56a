//! A manager as the board sees it: one of several, whatever their contracts.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use switchboard_core::{
    ChainStep, Change, CloseReport, Committed, Details, DriverInfo, Error, Gates, HealthReport,
    HealthWatch, InstanceInfo, InstanceSettings, Manager, Metric, OpFigures, Origin, Prepared,
    Problem, Result, Section, Settings, ShownSetting, Subsystem,
};

use crate::wanted::problems_of;

/// Something a manager is to do, as part of a change.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Declares an instance, or gives it other settings.
    Put(String, Settings),
    /// Only gates and limits.
    Retune(String, Settings),
    Remove(String),
    /// The instance is to be built although nobody has used it yet.
    Build(String),
    Default(Option<String>),
}

impl Step {
    /// The instance that it declares, or gives other settings.
    pub(crate) fn declared(&self) -> Option<(&str, &Settings)> {
        match self {
            Self::Put(name, settings) => Some((name, settings)),
            _ => None,
        }
    }

    /// Whether a driver may have to be built for it.
    pub(crate) fn may_build(&self) -> bool {
        matches!(self, Self::Put(..) | Self::Build(_))
    }

    /// Whether a driver may have to go for it.
    pub(crate) fn may_close(&self) -> bool {
        matches!(self, Self::Put(..) | Self::Remove(_))
    }

    /// What is looked at to find what is wrong with it: of an instance that keeps its driver all
    /// settings as well, because what the driver can do may not be what is required from now on.
    fn checked(&self) -> Self {
        match self {
            Self::Retune(name, settings) => Self::Put(name.clone(), settings.clone()),
            step => step.clone(),
        }
    }

    /// Whether it can only be judged when all instances are known.
    fn refers_to_others(&self) -> bool {
        match self {
            Self::Put(_, settings) | Self::Retune(_, settings) => {
                settings.child("members").is_some()
            }
            Self::Default(_) | Self::Remove(_) => true,
            Self::Build(_) => false,
        }
    }
}

/// The steps of one manager, ready to be taken all at once.
pub(crate) trait Ready: Send {
    /// Exchanges the drivers that cannot live twice; if one fails, the steps are given up.
    fn exchange_exclusive(self: Box<Self>) -> BoxFuture<'static, Result<Box<dyn Ready>>>;

    /// Takes the steps; cannot fail.
    fn commit(self: Box<Self>) -> Committed;

    /// Gives up what was built, and puts back what was exchanged.
    fn abandon(self: Box<Self>) -> BoxFuture<'static, Result<()>>;
}

impl<S: Subsystem> Ready for Prepared<S> {
    fn exchange_exclusive(self: Box<Self>) -> BoxFuture<'static, Result<Box<dyn Ready>>> {
        let exchanging = (*self).exchange_exclusive();
        Box::pin(async move { Ok(Box::new(exchanging.await?) as Box<dyn Ready>) })
    }

    fn commit(self: Box<Self>) -> Committed {
        (*self).commit()
    }

    fn abandon(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin((*self).abandon())
    }
}

/// The manager of that name.
pub(crate) fn manager_of<'w>(
    wired: &'w [Arc<dyn Wired>],
    subsystem: &str,
) -> Option<&'w Arc<dyn Wired>> {
    wired.iter().find(|manager| manager.subsystem() == subsystem)
}

fn change_of<S: Subsystem>(
    manager: &Manager<S>,
    steps: impl IntoIterator<Item = Step>,
) -> Change<S> {
    let mut change = manager.change();
    for step in steps {
        match step {
            Step::Put(name, settings) => change.put(&name, &settings),
            Step::Retune(name, settings) => change.retune(&name, &settings),
            Step::Remove(name) => change.remove(&name),
            Step::Build(name) => change.build(&name),
            Step::Default(name) => change.set_default(name.as_deref()),
        }
    }
    change
}

/// What has no place in the configuration has none in the source of the board either.
fn without_own_place(mut problem: Problem) -> Problem {
    if matches!(problem.origin, Origin::Code { file, .. } if file == file!()) {
        problem.origin = Origin::Default;
    }
    problem
}

/// What the board asks of each of its managers.
pub(crate) trait Wired: Any + Send + Sync {
    fn subsystem(&self) -> &'static str;
    /// What the section of the subsystem says, in the grammar of the subsystem.
    fn section(&self, section: &Settings) -> Result<Section>;

    fn drivers(&self) -> Vec<DriverInfo>;
    fn instances(&self) -> Vec<InstanceInfo>;
    fn instance(&self, name: &str) -> Result<InstanceInfo>;
    /// Every setting of a driver for people; `None` if there is no such driver any more.
    fn explain(&self, driver: &str, settings: &Settings) -> Option<Vec<ShownSetting>>;

    /// Whether the driver that these settings name cannot live twice.
    fn is_exclusive(&self, settings: &Settings) -> bool;

    /// What is wrong with `steps`; nothing is built. Where a file could not be read, what refers to
    /// other instances is not looked at: the file may have them.
    fn check(&self, steps: &[Step], is_complete: bool) -> Vec<Problem>;

    /// The instances whose handles end with `steps` although their names stay.
    fn replaced(&self, steps: &[Step]) -> Vec<String>;

    /// Builds what has to serve after `steps`; nothing is visible before the answer is committed.
    fn prepare(&self, steps: Vec<Step>) -> BoxFuture<'_, Result<Box<dyn Ready>>>;

    /// Builds an instance if nobody has yet.
    fn ensure<'w>(&'w self, name: &'w str) -> BoxFuture<'w, Result<()>>;

    /// Why the last attempt to build an instance that does not serve failed.
    fn build_error(&self, name: &str) -> Option<Error>;

    fn chain(&self, name: &str) -> Result<Vec<ChainStep>>;
    fn gates(&self, name: &str) -> Result<Option<Arc<Gates>>>;
    fn figures(&self, name: &str) -> Result<Vec<OpFigures>>;
    fn details(&self, name: &str) -> Result<Option<Details>>;
    fn metrics(&self, name: &str) -> Result<Vec<Metric>>;

    fn health(&self, limit: Duration) -> BoxFuture<'_, Vec<HealthReport>>;
    fn last_health(&self) -> Vec<HealthReport>;
    fn watch_health(&self, every: Duration, limit: Duration) -> Result<HealthWatch>;
    fn close(&self, limit: Duration) -> BoxFuture<'_, CloseReport>;
}

impl<S: Subsystem> Wired for Manager<S> {
    fn subsystem(&self) -> &'static str {
        S::NAME
    }

    fn section(&self, section: &Settings) -> Result<Section> {
        S::section(section)
    }

    fn drivers(&self) -> Vec<DriverInfo> {
        self.registry().describe()
    }

    fn instances(&self) -> Vec<InstanceInfo> {
        self.instances()
    }

    fn instance(&self, name: &str) -> Result<InstanceInfo> {
        self.instance(name)
    }

    fn explain(&self, driver: &str, settings: &Settings) -> Option<Vec<ShownSetting>> {
        Some(self.registry().get(driver)?.explain(settings))
    }

    fn is_exclusive(&self, settings: &Settings) -> bool {
        let named = InstanceSettings::take(settings, S::NAME).ok().and_then(|(own, _)| own.driver);
        let driver = named.and_then(|driver| self.registry().get(&driver));
        driver.is_some_and(|driver| driver.describe().exclusive)
    }

    fn check(&self, steps: &[Step], is_complete: bool) -> Vec<Problem> {
        let can_be_checked = |step: &&Step| is_complete || !step.refers_to_others();
        let change = change_of(self, steps.iter().filter(can_be_checked).map(Step::checked));
        let problems = change.check().err().map(|error| problems_of(&error)).unwrap_or_default();
        problems.into_iter().map(without_own_place).collect()
    }

    fn replaced(&self, steps: &[Step]) -> Vec<String> {
        change_of(self, steps.iter().cloned()).replaced()
    }

    fn prepare(&self, steps: Vec<Step>) -> BoxFuture<'_, Result<Box<dyn Ready>>> {
        let change = change_of(self, steps);
        Box::pin(async move { Ok(Box::new(change.prepare().await?) as Box<dyn Ready>) })
    }

    fn ensure<'w>(&'w self, name: &'w str) -> BoxFuture<'w, Result<()>> {
        Box::pin(async move { self.get(name).await.map(drop) })
    }

    fn build_error(&self, name: &str) -> Option<Error> {
        self.line(name).ok()?.build_error()
    }

    fn chain(&self, name: &str) -> Result<Vec<ChainStep>> {
        Ok(self.line(name)?.chain())
    }

    fn gates(&self, name: &str) -> Result<Option<Arc<Gates>>> {
        Ok(self.line(name)?.gates())
    }

    fn figures(&self, name: &str) -> Result<Vec<OpFigures>> {
        Ok(self.line(name)?.figures())
    }

    fn details(&self, name: &str) -> Result<Option<Details>> {
        Ok(self.line(name)?.details())
    }

    fn metrics(&self, name: &str) -> Result<Vec<Metric>> {
        Ok(self.line(name)?.metrics())
    }

    fn health(&self, limit: Duration) -> BoxFuture<'_, Vec<HealthReport>> {
        Box::pin(self.health(limit))
    }

    fn last_health(&self) -> Vec<HealthReport> {
        self.last_health()
    }

    fn watch_health(&self, every: Duration, limit: Duration) -> Result<HealthWatch> {
        self.watch_health(every, limit)
    }

    fn close(&self, limit: Duration) -> BoxFuture<'_, CloseReport> {
        Box::pin(self.close(limit))
    }
}
