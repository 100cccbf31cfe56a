//! A database of a sandbox's own, made for it and removed with it.
//!
//! What was left by programs that were killed is removed by those that come later: the names say when they were
//! made. A template is made by one at a time, and has its name once it is whole.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use switchboard_core::{
    BuildContext, Environment, Error, ErrorKind, Manager, Name, Override, Registry, Result,
};

use super::{Same, Template};
use crate::copies::Copies;
use crate::{DatabaseConfig, DatabaseDriver, Databases, DriverContext, Engine, Served};

/// A database that is removed when this is dropped.
pub(super) struct Copied {
    /// That of the instance, beside whose database it is.
    driver: Arc<dyn DatabaseDriver>,
    name: String,
    at: &'static Location<'static>,
    is_there: bool,
}

/// An instance beside whose database others are made.
pub(super) struct Workshop {
    driver: Arc<dyn DatabaseDriver>,
    config: DatabaseConfig,
    environment: Environment,
    instance: Name,
}

impl Workshop {
    pub(super) async fn of(databases: &Manager<Databases>, name: &str) -> Result<Self> {
        let database = databases.get(name).await?;
        let known = |engine: &Engine| (engine.driver().clone(), engine.config().clone());
        let (driver, config) = database.line().peek(known).ok_or_else(no_copies)?;
        if config.read_only {
            return Err(Error::new(ErrorKind::Unsupported, "the instance is only for reading")
                .with_context("instance", name)
                .not_applied());
        }
        let environment = databases.environment().clone();
        Ok(Self { driver, config, environment, instance: Name::parse(name)? })
    }

    /// A new database that is as `template` says.
    pub(super) async fn copy(
        &self,
        template: &Template,
        at: &'static Location<'static>,
    ) -> Result<Copied> {
        let copies = self.copies()?;
        let there = copies.list(OURS).await?;
        self.remove_left(copies, &there).await;
        if !copies.has_templates() {
            return self.prepared(copies, template, at).await;
        }
        let original = self.original(copies, template, &there, at).await?;
        let made = self.named(at);
        copies.make(&made.name, Some(&original)).await?;
        Ok(made)
    }

    /// Has the instance served by `copied`.
    pub(super) fn put(
        &self,
        databases: &Manager<Databases>,
        copied: &Copied,
    ) -> Result<Override<Databases>> {
        let served = self.serve(self.copies()?, &copied.name, self.instance.clone());
        databases.override_instance(self.instance.as_str(), served)
    }

    /// Removes what was made of `template` for others to be copied from.
    pub(super) async fn forget(&self, template: &Template) -> Result<()> {
        self.copies()?.remove(&self.name_of(template), true).await
    }

    fn copies(&self) -> Result<&dyn Copies> {
        self.driver.copies().ok_or_else(no_copies)
    }

    /// The name of the database that `template` is copied from, which is made if it is not there.
    async fn original(
        &self,
        copies: &dyn Copies,
        template: &Template,
        there: &[String],
        at: &'static Location<'static>,
    ) -> Result<String> {
        let name = self.name_of(template);
        if there.contains(&name) {
            return Ok(name);
        }
        let lock = self.lock(copies, &name).await?;
        if !copies.list(&name).await?.contains(&name) {
            let made = self.prepared(copies, template, at).await?;
            Self::publish(copies, made, &name).await?;
        }
        drop(lock);
        Ok(name)
    }

    /// Gives `made` the name under which others look for it; it is removed where another is there by now. A lock
    /// need not keep out who works in another database of the server.
    async fn publish(copies: &dyn Copies, mut made: Copied, name: &str) -> Result<()> {
        match copies.rename(&made.name, name).await {
            Ok(()) => made.is_there = false,
            Err(error) if !copies.list(name).await?.iter().any(|there| there == name) => {
                return Err(error);
            }
            // What is left is removed later.
            Err(_) => drop(made.end().await),
        }
        Ok(())
    }

    async fn lock(&self, copies: &dyn Copies, name: &str) -> Result<Box<dyn Send>> {
        let clock = self.environment.clock();
        let until = clock.now() + PREPARING_MAX;
        while clock.now() < until {
            if let Some(lock) = copies.try_lock(name).await? {
                return Ok(lock);
            }
            clock.sleep(PAUSE).await;
        }
        Err(Error::new(ErrorKind::Timeout, "somebody else does not come to an end with a template")
            .with_context("template", name)
            .not_applied())
    }

    /// A new database on which all steps of `template` were done.
    async fn prepared(
        &self,
        copies: &dyn Copies,
        template: &Template,
        at: &'static Location<'static>,
    ) -> Result<Copied> {
        let made = self.named(at);
        copies.make(&made.name, None).await?;
        match self.prepare(copies, &made.name, template).await {
            Ok(()) => Ok(made),
            Err(error) => {
                // What matters is why; what is left is removed later.
                made.end().await.ok();
                Err(error)
            }
        }
    }

    /// Does all steps of `template` on the database `name`, and leaves nobody connected to it.
    async fn prepare(&self, copies: &dyn Copies, name: &str, template: &Template) -> Result<()> {
        // That of the application has a manager of databases already.
        let environment = Environment::new().with_clock(self.environment.clock().clone());
        let databases = Manager::<Databases>::new(Registry::empty(), &environment)?;
        let instance = self.instance.as_str();
        databases.insert(instance, self.serve(copies, name, self.instance.clone()))?;
        let prepared = template.prepare(&databases.handle(instance)?).await;
        let closed = databases.close(CLOSE_LIMIT).await.into_result();
        prepared.and(closed)
    }

    fn serve(&self, copies: &dyn Copies, name: &str, instance: Name) -> Served<Same> {
        let build = BuildContext::new(&self.environment, instance);
        let context = DriverContext::new(build, self.config.clone());
        Served::any(copies.driver_of(name), &context)
    }

    /// What is still in use stays, where the server tells.
    async fn remove_left(&self, copies: &dyn Copies, there: &[String]) {
        let now = self.seconds();
        let is_left = |name: &&String| {
            made_at(name).is_some_and(|at| now.saturating_sub(at) > LEFT_AFTER.as_secs())
        };
        for name in there.iter().filter(is_left) {
            copies.remove(name, false).await.ok();
        }
    }

    /// A database that is to be made, and removed if that does not come to its end.
    fn named(&self, at: &'static Location<'static>) -> Copied {
        Copied { driver: self.driver.clone(), name: self.new_name(), at, is_there: true }
    }

    fn name_of(&self, template: &Template) -> String {
        let sessions = self.driver.copies().map(Copies::sessions).unwrap_or_default();
        let surroundings = [self.driver.dialect().name, &self.config.migrations.table, &sessions];
        format!("{TEMPLATE}{}", template.hash(&surroundings.join(" ")))
    }

    /// One that nobody else has, on any machine.
    fn new_name(&self) -> String {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let (process, random) = (std::process::id(), self.environment.clock().random());
        format!("{TEST}{:x}_{process:x}_{number:x}_{random:x}", self.seconds())
    }

    fn seconds(&self) -> u64 {
        let wall = self.environment.clock().wall();
        wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
    }
}

impl Copied {
    pub(super) fn at(&self) -> &'static Location<'static> {
        self.at
    }

    /// Removes it.
    pub(super) async fn end(mut self) -> Result<()> {
        self.is_there = false;
        remove(&*self.driver, &self.name).await
    }
}

/// A test that panics has a runtime in which nothing runs any more, so that it is removed in one of its own, and
/// waited for.
impl Drop for Copied {
    fn drop(&mut self) {
        if !self.is_there {
            return;
        }
        let (driver, name) = (self.driver.clone(), std::mem::take(&mut self.name));
        let removing = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            let removed =
                async { tokio::time::timeout(REMOVE_LIMIT, remove(&*driver, &name)).await };
            drop(runtime.block_on(removed));
        };
        let thread = thread::Builder::new().name("remove a database".to_owned()).spawn(removing);
        // What is left all the same, is removed by who comes later.
        drop(thread.map(thread::JoinHandle::join));
    }
}

async fn remove(driver: &dyn DatabaseDriver, name: &str) -> Result<()> {
    match driver.copies() {
        Some(copies) => copies.remove(name, true).await,
        None => Ok(()),
    }
}

/// When the database of a test was made, in seconds since 1970.
fn made_at(name: &str) -> Option<u64> {
    let (seconds, _) = name.strip_prefix(TEST)?.split_once('_')?;
    u64::from_str_radix(seconds, 16).ok()
}

fn no_copies() -> Error {
    Error::new(ErrorKind::Unsupported, "no databases can be made beside this one for tests")
        .with_hint("`Sandbox::over` works with every driver")
        .not_applied()
}

impl fmt::Debug for Copied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copied").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How the names begin of all that is made here: of what belongs to one test, or is not whole yet, and of what others
/// are copied from.
const OURS: &str = "switchboard_";
const TEST: &str = "switchboard_test_";
const TEMPLATE: &str = "switchboard_template_";

/// After how long a database of a test belongs to nobody any more.
const LEFT_AFTER: Duration = Duration::from_hours(6);

/// How long making a template may take, for others who want it, and how often they look.
const PREPARING_MAX: Duration = Duration::from_mins(5);
const PAUSE: Duration = Duration::from_millis(100);

const CLOSE_LIMIT: Duration = Duration::from_secs(10);
const REMOVE_LIMIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_when_they_were_made() {
        assert_eq!(made_at("switchboard_test_ff_1_2_3"), Some(255));
        for name in ["switchboard_test_", "switchboard_test_ff", "switchboard_test_x_1", "ff_1"] {
            assert_eq!(made_at(name), None, "{name}");
        }
    }
}
