//! All managers of one application, built from one configuration.

use std::any::Any;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use switchboard_cache::{Cache, Caches};
use switchboard_core::{
    Environment, Error, ErrorKind, HealthWatch, Manager, Name, Result, Settings, Subsystem,
};
use switchboard_database::{Database, Databases, Designates, DriverSettings};
use switchboard_storage::{Disk, Disks};

use crate::apply::one_of;
use crate::builder::{Blueprint, Builder};
use crate::closing::Closing;
use crate::difference::Difference;
use crate::health::{InstanceHealth, Looking};
use crate::jobs::Jobs;
use crate::parts::{Part, Parts};
use crate::records::Records;
use crate::source::Source;
use crate::view::{DetailsView, DriverView, InstanceView};
use crate::wanted::{HealthConfig, Wanted};
use crate::wired::Wired;

/// Every swappable backend of one application. Cheap to clone; clones are the same board.
///
/// Nothing of it is global: several boards live in one process without knowing of each other.
#[derive(Clone)]
pub struct Switchboard(pub(crate) Arc<Core>);

pub(crate) struct Core {
    pub(crate) environment: Environment,
    pub(crate) wired: Vec<Arc<dyn Wired>>,
    pub(crate) source: Source,
    /// What the configuration in force asks for.
    pub(crate) wanted: Mutex<Arc<Wanted>>,
    /// What the configuration asked for when it was last put in force: without what was swapped by
    /// hand since.
    pub(crate) configured: Mutex<Arc<Wanted>>,
    /// The configuration that the process started with.
    pub(crate) started: Settings,
    /// The right to change what the board is.
    pub(crate) changing: Arc<tokio::sync::Mutex<()>>,
    pub(crate) parts: Parts,
    pub(crate) records: Records,
    pub(crate) watches: Mutex<Vec<HealthWatch>>,
    /// How long each instance took that was connected ahead of its first use.
    pub(crate) connected: Mutex<BTreeMap<String, Duration>>,
    pub(crate) looking: Looking,
    pub(crate) jobs: Jobs,
    pub(crate) closing: Closing,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("parts", &self.parts).finish_non_exhaustive()
    }
}

impl Switchboard {
    /// What a board is made from.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) async fn start(blueprint: Blueprint) -> Result<Self> {
        let Blueprint { environment, wired, source, wanted, mut difference, is_idle } = blueprint;
        let mut eager = std::mem::take(&mut difference.eager);
        // Built when all are declared and not before, because they may need each other.
        let mut required = difference.take_builds();
        if is_idle {
            eager.clear();
            required.clear();
        }
        let board = Self(Arc::new(Core {
            environment,
            wired,
            source,
            started: wanted.settings.clone(),
            wanted: Mutex::default(),
            configured: Mutex::default(),
            changing: Arc::default(),
            parts: Parts::new(),
            records: Records::default(),
            watches: Mutex::default(),
            connected: Mutex::default(),
            looking: Looking::default(),
            jobs: Jobs::new(),
            closing: Closing::default(),
        }));
        match board.begin(wanted, difference, &required, &eager).await {
            Ok(()) => Ok(board),
            Err(error) => Err(error.with_related(board.close(CLEANUP_LIMIT).await.errors)),
        }
    }

    async fn begin(
        &self,
        wanted: Wanted,
        difference: Difference,
        required: &[String],
        eager: &[String],
    ) -> Result<()> {
        self.declare(wanted, difference, required).await?;
        self.connect(eager).await;
        self.put_watches(self.health_watches(&self.wanted().health)?);
        self.look_after_health()
    }

    async fn declare(
        &self,
        wanted: Wanted,
        difference: Difference,
        required: &[String],
    ) -> Result<()> {
        let turn = self.turn().await?;
        drop(self.0.apply(&turn, wanted, difference).await?);
        self.0.keep_configured();
        let failed: Vec<Error> = self.ensure(required).await.into_iter().map(|(_, e)| e).collect();
        one_of("what is required could not be connected", failed).map_or(Ok(()), Err)
    }

    /// Looks at the health of all instances from now on, for as long as the answer is kept.
    pub(crate) fn health_watches(&self, config: &HealthConfig) -> Result<Vec<HealthWatch>> {
        let managers = self.0.wired.iter();
        managers.map(|manager| manager.watch_health(config.every, config.limit)).collect()
    }

    /// Keeps these watches instead of those there are.
    pub(crate) fn put_watches(&self, watches: Vec<HealthWatch>) {
        *self.0.watches.lock().unwrap_or_else(PoisonError::into_inner) = watches;
    }

    /// The cache called `name`. It is built when it is first used.
    pub fn cache(&self, name: &str) -> Result<Cache> {
        self.handle::<Caches>(name)
    }

    /// The cache that the configuration calls the default one.
    pub fn default_cache(&self) -> Result<Cache> {
        self.default_handle::<Caches>()
    }

    /// The database called `name`. It is connected when it is first used.
    pub fn database(&self, name: &str) -> Result<Database> {
        self.handle::<Databases>(name)
    }

    /// The database that the configuration calls the default one.
    pub fn default_database(&self) -> Result<Database> {
        self.default_handle::<Databases>()
    }

    /// The one database whose driver has the settings `C`; an error that lists the candidates if there
    /// are several, or none.
    pub async fn database_of<C: DriverSettings>(&self) -> Result<Database> {
        Database::of::<C>(self.manager()?).await
    }

    /// The database that the type `M` designates.
    pub fn database_for<M: Designates>(&self) -> Result<Database> {
        self.database(M::INSTANCE)
    }

    /// The disk called `name`. It is reached when it is first used.
    pub fn disk(&self, name: &str) -> Result<Disk> {
        self.handle::<Disks>(name)
    }

    /// The disk that the configuration calls the default one.
    pub fn default_disk(&self) -> Result<Disk> {
        self.default_handle::<Disks>()
    }

    /// The handle of an instance of any subsystem, also one of the application's own.
    pub fn handle<S: Subsystem>(&self, name: &str) -> Result<S::Handle> {
        self.manager::<S>()?.handle(name)
    }

    /// The handle of the default instance of any subsystem.
    pub fn default_handle<S: Subsystem>(&self) -> Result<S::Handle> {
        self.manager::<S>()?.default_handle()
    }

    /// The manager of a subsystem, for what the board itself does not offer.
    pub fn manager<S: Subsystem>(&self) -> Result<&Manager<S>> {
        let mut managers = self.0.wired.iter();
        let found = managers.find_map(|manager| (manager.as_ref() as &dyn Any).downcast_ref());
        found.ok_or_else(|| self.no_subsystem(S::NAME))
    }

    /// The section of the configuration that the application reads as a `T`, as it is in the
    /// configuration in force; who keeps it does not see what a reload changes.
    ///
    /// ```
    /// use schemars::JsonSchema;
    /// use serde::Deserialize;
    /// use switchboard::{Format, Switchboard};
    ///
    /// #[derive(Deserialize, JsonSchema)]
    /// #[serde(deny_unknown_fields)]
    /// struct Shop {
    ///     title: String,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> switchboard::Result<()> {
    /// let board = Switchboard::builder()
    ///     .section::<Shop>("shop")
    ///     .text("shop.toml", Format::Toml, "shop.title = 'Books'")
    ///     .build()
    ///     .await?;
    /// assert_eq!(board.section::<Shop>("shop")?.title, "Books");
    /// # board.close(board.close_limit()).await.into_result()
    /// # }
    /// ```
    pub fn section<T: Send + Sync + 'static>(&self, name: &str) -> Result<Arc<T>> {
        self.wanted().sections.get(name).ok_or_else(|| {
            Error::new(ErrorKind::NotRegistered, "the board has no such section of that type")
                .with_context("section", name)
                .with_hint("say `section::<T>(name)` to the builder")
        })
    }

    /// Whether the configuration in force says `board.production`.
    pub fn is_in_production(&self) -> bool {
        self.wanted().board.production
    }

    /// What all instances share: clock, events, clean-up.
    pub fn environment(&self) -> &Environment {
        &self.0.environment
    }

    /// All instances, in the order of their subsystems and names. Nobody is asked.
    pub fn instances(&self) -> Vec<InstanceView> {
        let found = self.health().instances;
        self.0.wired.iter().flat_map(|manager| instances_of(manager.as_ref(), &found)).collect()
    }

    /// What the driver of an instance (`database.main`) shows of itself: of a database its pools, who has
    /// connections, and what statements cost. Nobody is asked.
    ///
    /// ```
    /// use switchboard::{Statements as _, Switchboard};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> switchboard::Result<()> {
    /// let shop = "database.main.url = 'sqlite::memory:'";
    /// # use switchboard::Format;
    /// let board = Switchboard::builder().text("shop.toml", Format::Toml, shop).build().await?;
    /// board.database("main")?.select_value::<i64>("select 1", ()).await?;
    /// let details = board.details("database.main")?.details;
    /// assert!(details.is_some_and(|details| details.get("pools").is_some()));
    /// # board.close(std::time::Duration::from_secs(5)).await.into_result()
    /// # }
    /// ```
    pub fn details(&self, instance: &str) -> Result<DetailsView> {
        let (manager, name) = self.find(instance)?;
        let info = manager.instance(name)?;
        Ok(DetailsView {
            instance: format!("{}.{}", manager.subsystem(), info.name),
            driver: info.driver,
            details: manager.details(name)?,
        })
    }

    /// All drivers that instances can name.
    pub fn drivers(&self) -> Vec<DriverView> {
        let drivers = |manager: &Arc<dyn Wired>| {
            let subsystem = manager.subsystem();
            manager.drivers().into_iter().map(move |info| DriverView::new(subsystem, info))
        };
        self.0.wired.iter().flat_map(drivers).collect()
    }

    /// Lets a part of the application be closed with the board, before all instances and before the
    /// parts that joined earlier. Reports call it `name`. An error once the board is being closed.
    ///
    /// ```
    /// use switchboard::Switchboard;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> switchboard::Result<()> {
    /// let board = Switchboard::builder().build().await?;
    /// let pages = board.cache("main")?;
    /// board.join("reader", move || async move { pages.forever("last page", "7").await })?;
    /// let report = board.close(board.close_limit()).await;
    /// assert_eq!(report.closed, ["reader", "cache.main"]);
    /// # report.into_result()
    /// # }
    /// ```
    pub fn join(&self, name: impl Into<String>, part: impl Part) -> Result<()> {
        self.0.parts.join(name.into(), Box::new(part))
    }

    pub(crate) fn wanted(&self) -> Arc<Wanted> {
        self.0.wanted()
    }

    /// The manager and the name of `cache.sessions`.
    pub(crate) fn find<'n>(&self, instance: &'n str) -> Result<(&Arc<dyn Wired>, &'n str)> {
        let (subsystem, name) = instance.split_once('.').ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, "an instance is named with its subsystem")
                .with_context("instance", format_args!("{instance:?}"))
                .with_hint("write it like cache.sessions")
        })?;
        let is_meant =
            |manager: &&Arc<dyn Wired>| manager.subsystem().eq_ignore_ascii_case(subsystem.trim());
        let manager = self.0.wired.iter().find(is_meant);
        Ok((manager.ok_or_else(|| self.no_subsystem(subsystem))?, name))
    }

    fn no_subsystem(&self, asked: &str) -> Error {
        let known: Vec<_> = self.0.wired.iter().map(|manager| manager.subsystem()).collect();
        let error = Error::new(ErrorKind::NotRegistered, "the board has no such subsystem")
            .with_context("subsystem", format_args!("{asked:?}"))
            .with_context("available", known.join(", "));
        match Name::nearest(asked, known) {
            Some(meant) => error.with_hint(format!("did you mean {meant:?}?")),
            None => error,
        }
    }
}

impl Core {
    pub(crate) fn wanted(&self) -> Arc<Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn instances_of(manager: &dyn Wired, found: &[InstanceHealth]) -> Vec<InstanceView> {
    let named = found.iter().map(|found| (found.instance.as_str(), found.status));
    let verdicts: HashMap<&str, &str> = named.collect();
    let verdict = |name: &str| {
        let full_name = format!("{}.{name}", manager.subsystem());
        verdicts.get(full_name.as_str()).copied().unwrap_or("not checked").to_owned()
    };
    let instances = manager.instances().into_iter();
    instances
        .map(|info| {
            let health = verdict(&info.name);
            InstanceView::new(manager.subsystem(), info, health)
        })
        .collect()
}

impl fmt::Debug for Switchboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.wired.iter().flat_map(|manager| {
            let instances = manager.instances().into_iter();
            instances.map(|info| format!("{}.{}", manager.subsystem(), info.name))
        });
        f.debug_struct("Switchboard").field("instances", &names.collect::<Vec<_>>()).finish()
    }
}

/// What a board that could not start has for giving back what it has.
const CLEANUP_LIMIT: Duration = Duration::from_secs(10);
