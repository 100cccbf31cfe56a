//! What a board is made from: subsystems and their drivers, configuration, surroundings.

use std::collections::BTreeMap;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use switchboard_cache::Caches;
use switchboard_config::{Format, Loader};
use switchboard_core::settings::{Node, Value};
use switchboard_core::{
    Clock, Environment, Error, ErrorKind, Name, Origin, Registry, Result, Settings, Subsystem,
};
use switchboard_database::Databases;
use switchboard_storage::Disks;

use crate::board::Switchboard;
use crate::difference::Difference;
use crate::kit::Kits;
use crate::source::Source;
use crate::wanted::{OWN_SECTIONS, SectionKind, Wanted};
use crate::wired::Wired;

/// Makes a [`Switchboard`]. Starts with all built-in drivers and the embedded defaults.
///
/// ```
/// use switchboard::{Format, Switchboard};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> switchboard_core::Result<()> {
/// let board = Switchboard::builder()
///     .text("shop.toml", Format::Toml, "cache.sessions = { driver = 'memory', max_entries = 1000 }")
///     .build()
///     .await?;
/// board.cache("sessions")?.forever("user-7", "Ada").await?;
/// # board.close(std::time::Duration::from_secs(5)).await.into_result()
/// # }
/// ```
#[derive(Default)]
#[must_use = "nothing happens before `build`"]
pub struct Builder {
    kits: Kits,
    loader: Loader,
    variables: BTreeMap<String, String>,
    sections: Vec<SectionKind>,
    clock: Option<Clock>,
    is_idle: bool,
    /// What went wrong before anybody could be told.
    errors: Vec<Error>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        let builder =
            Self { loader: Loader::new().defaults(embedded_defaults()), ..Self::default() };
        builder.subsystem::<Caches>().subsystem::<Databases>().subsystem::<Disks>()
    }

    /// Adds a subsystem of the application's own, with the drivers that come with it.
    ///
    /// Each is added once, under a name that none of the others has and no section of the board
    /// itself; what is wrong with that is told by [`check`](Self::check) and [`build`](Self::build),
    /// with the places in the program.
    #[track_caller]
    pub fn subsystem<S: Subsystem>(mut self) -> Self {
        let added = self.kits.add::<S>(Location::caller());
        self.errors.extend(added.err());
        self = self.inherits::<S>();
        self
    }

    /// Uses `registry` for its subsystem, with the drivers in it and no others.
    ///
    /// It takes the place of the drivers that come with a subsystem, the built-in ones included; where
    /// others were added, that is an error as with [`subsystem`](Self::subsystem).
    #[track_caller]
    pub fn registry<S: Subsystem>(mut self, registry: Registry<S>) -> Self {
        let put = self.kits.put(registry, Location::caller());
        self.errors.extend(put.err());
        self = self.inherits::<S>();
        self
    }

    /// Adds drivers to a subsystem that is there already: one that is built in, or was added before.
    ///
    /// ```
    /// use switchboard::cache::{Caches, drivers::memory::{Memory, MemoryConfig}};
    /// use switchboard::{Format, Switchboard};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> switchboard::Result<()> {
    /// let board = Switchboard::builder()
    ///     .drivers::<Caches>(|caches| {
    ///         caches.register("mine", |config: MemoryConfig, context| async move {
    ///             Memory::new(&config, context.clock().clone())
    ///         })
    ///     })
    ///     .text("shop.toml", Format::Toml, "cache.sessions.driver = 'mine'")
    ///     .build()
    ///     .await?;
    /// board.cache("sessions")?.forever("user-7", "Ada").await?;
    /// # board.close(board.close_limit()).await.into_result()
    /// # }
    /// ```
    #[track_caller]
    pub fn drivers<S: Subsystem>(
        mut self,
        register: impl FnOnce(&Registry<S>) -> Result<()>,
    ) -> Self {
        let registered = self.kits.fill(register, Location::caller());
        self.errors.extend(registered.err());
        self
    }

    /// Lets the application have a section of the configuration that it reads as a `T`:
    /// [`Switchboard::section`] has it. A name that somebody has already is an error of the builder.
    #[track_caller]
    pub fn section<T>(mut self, name: &'static str) -> Self
    where
        T: DeserializeOwned + JsonSchema + Send + Sync + 'static,
    {
        self.sections.push(SectionKind::of::<T>(name));
        self
    }

    /// Reads a file, which must be there. Later files lie over earlier ones.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.loader = self.loader.file(path);
        self
    }

    /// Reads a file if it is there.
    pub fn optional_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.loader = self.loader.optional_file(path);
        self
    }

    /// Lays `switchboard.<profile>.toml` over each file that has such a neighbour.
    #[track_caller]
    pub fn profile(mut self, profile: impl Into<String>) -> Self {
        self.loader = self.loader.profile(profile);
        self
    }

    /// Like [`profile`](Self::profile), where somebody else than the calling line of code named it.
    pub fn profile_from(mut self, profile: impl Into<String>, origin: Origin) -> Self {
        self.loader = self.loader.profile_from(profile, origin);
        self
    }

    /// The files and texts that are read, in order, and whether each has to be there.
    pub fn sources(&self) -> impl Iterator<Item = (&Path, bool)> {
        self.loader.inputs()
    }

    /// What the variables that are settings begin with.
    pub fn variable_prefix(&self) -> &str {
        self.loader.variable_prefix()
    }

    /// Forgets all configuration, and the sections that would be read from it: for those who only want
    /// to know what an application has, like its drivers.
    pub fn without_configuration(mut self) -> Self {
        self.loader = Loader::new().defaults(embedded_defaults());
        self.variables.clear();
        self.sections.clear();
        self
    }

    /// Reads configuration that is in hand; reports call it `name`.
    pub fn text(
        mut self,
        name: impl Into<PathBuf>,
        format: Format,
        text: impl Into<Vec<u8>>,
    ) -> Self {
        self.loader = self.loader.text(name, format, text);
        self
    }

    /// The variables that configuration and drivers may use; usually those of the process.
    pub fn variables<K: Into<String>, V: Into<String>>(
        mut self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.variables
            .extend(variables.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// What the variables that are settings begin with, instead of `SWITCHBOARD`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.loader = self.loader.prefix(prefix);
        self
    }

    /// Lets a variable of any name be the setting at `path`.
    #[track_caller]
    pub fn map_variable(mut self, variable: impl Into<String>, path: impl Into<String>) -> Self {
        self.loader = self.loader.map_variable(variable, path);
        self
    }

    /// Settings made in code, over everything else.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.loader = self.loader.code(settings);
        self
    }

    /// Another clock.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Connects nothing before it is used, also not what is eager or required: for those who only want
    /// to know what the configuration makes.
    pub fn idle(mut self) -> Self {
        self.is_idle = true;
        self
    }

    /// All mistakes of the configuration, or none; nothing is built.
    pub fn check(&self) -> Result<()> {
        self.blueprint().map(drop)
    }

    /// Checks everything, connects what is eager or required, and starts looking after it.
    pub async fn build(self) -> Result<Switchboard> {
        let blueprint = self.blueprint()?;
        Switchboard::start(blueprint).await
    }

    fn blueprint(&self) -> Result<Blueprint> {
        let errors: Vec<_> = self.errors.iter().cloned().chain(self.taken_sections()).collect();
        if !errors.is_empty() {
            return Err(Error::joined("the board cannot be made", errors));
        }
        let loader = self.loader.clone().variables(self.variables.clone());
        let environment = Environment::new()
            .with_clock(self.clock.clone().unwrap_or_default())
            .with_variables(self.variables.clone());
        let source = Source { loader, sections: self.sections.clone() };
        let found = source.loader.load();
        // A look ahead, because the environment has to know before the first manager is made.
        let production = found.settings.get("board.production").and_then(Node::as_bool);
        let environment =
            if production == Some(true) { environment.in_production() } else { environment };
        let wired = self.kits.wire(&environment)?;
        let (wanted, difference) = source.read(found, &Wanted::default(), &wired)?;
        Ok(Blueprint { environment, wired, source, wanted, difference, is_idle: self.is_idle })
    }
}

impl Builder {
    /// Lets tables of the subsystem that are no instances extend each other as well.
    fn inherits<S: Subsystem>(mut self) -> Self {
        self.loader =
            S::INHERITS_IN.iter().fold(self.loader, |loader, path| loader.inherit_in(path));
        self
    }

    /// The sections that two would read, and those whose name is none.
    fn taken_sections(&self) -> Vec<Error> {
        let own = OWN_SECTIONS.iter().map(|name| (*name, "the board itself".to_owned()));
        let mut owners: BTreeMap<&str, String> = own.collect();
        let subsystems = self.kits.places();
        let sections = self.sections.iter().map(|kind| (kind.name, kind.place));
        let mut errors = Vec::new();
        for (name, place) in subsystems.chain(sections) {
            if let Some(first) = owners.get(name) {
                errors.push(taken_section(name, first, place));
            } else if let Err(error) = Name::parse(name) {
                let error = Error::new(ErrorKind::InvalidInput, error.message().to_owned());
                errors.push(error.with_context("section", name).with_context("place", place));
            } else {
                owners.insert(name, place.to_string());
            }
        }
        errors
    }
}

fn taken_section(name: &str, first: &str, second: &Location<'_>) -> Error {
    Error::new(ErrorKind::AlreadyRegistered, "a section of that name is read by somebody already")
        .with_context("section", name)
        .with_context("first", first)
        .with_context("second", second)
}

/// All that a board starts with.
pub(crate) struct Blueprint {
    pub(crate) environment: Environment,
    pub(crate) wired: Vec<Arc<dyn Wired>>,
    pub(crate) source: Source,
    pub(crate) wanted: Wanted,
    pub(crate) difference: Difference,
    pub(crate) is_idle: bool,
}

/// What runs where nothing is configured: no layer says anything about any of these subsystems.
fn embedded_defaults() -> Settings {
    let mut sections = Settings::at(Origin::Default);
    sections.insert("cache", default_section("memory"));
    if cfg!(feature = "sqlite") {
        sections.insert("database", default_section("sqlite"));
    }
    if cfg!(feature = "local") {
        sections.insert("storage", default_section("local"));
    }
    sections
}

/// A section with one instance, `main`, that this driver serves.
fn default_section(driver: &'static str) -> Node {
    let node = |value: Value| Node::new(value, Origin::Default);
    let mut main = Settings::at(Origin::Default);
    main.insert("driver", node(driver.into()));
    let mut section = Settings::at(Origin::Default);
    section.insert("default", node("main".into()));
    section.insert("main", node(main.into()));
    node(section.into())
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("subsystems", &self.kits.names())
            .field("variables", &self.variables.keys())
            .finish_non_exhaustive()
    }
}
