//! What is read and in which order, and what came of it.
//!
//! Only brings the parts together: each file is parsed by `parse`, variables are laid over by
//! `environment`, `inherit` and `interpolate` do what they are called. What the settings mean, and whether
//! a driver knows them, is for those who get them.

mod files;
mod loaded;
pub(crate) mod read;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use switchboard_core::settings::DEPTH_MAX;
use switchboard_core::{Origin, Problem, Settings};

use crate::environment::{Mapped, Variables};
use crate::parse::Format;
use crate::{inherit, interpolate, tree};
use files::{Files, Profile};

pub use loaded::Loaded;

/// What is to be read, and in which order it counts.
///
/// The layers, the lowest first: defaults, which count only where no other layer mentions any of their
/// sections; files and texts in the order they were named; the files of the profile beside them;
/// variables; code. Tables are merged key by key, everything else is replaced. Then tables inherit
/// (`extends`), and after that the strings of files are filled in (`${…}`).
///
/// Reading blocks the calling thread. A loader can load again and again, and reads anew each time.
///
/// # Variables
///
/// `SWITCHBOARD__CACHE__MAIN__URL` sets `cache.main.url`: case does not matter, and `_` stands for `-` too.
/// Two keys that a name could mean are a mistake. The value reads as whatever is asked for: text, a number,
/// true or false; `[1, 2]` and `{ max = 3 }` are read as TOML. Set to nothing is set. An item of a list that
/// is there has its position as its name (`…__MEMBERS__0`). Where `SWITCHBOARD__CACHE__MAIN` says an address
/// and `SWITCHBOARD__CACHE__MAIN__POLICY` more, or a file says the address, the instance is a table whose
/// `url` is the address. An address alone replaces the whole instance.
///
/// # Inheritance
///
/// `extends = "base"` in a table of any section takes over what a sibling says and it does not itself.
/// `abstract = true` makes a table a base only: it is gone after loading. Neither is inherited. What is
/// inherited keeps its place in the file, so that a mistake in a base is one mistake, however many inherit it.
///
/// # Interpolation
///
/// In strings of files: `${NAME}`, `${NAME:-default}` (which may hold `${…}`), `${NAME:?reason}`,
/// `${file:path}` (relative to the file that says it, without the newline at its end), `$$` for `$`.
/// A variable that is set to nothing is set. What is filled in is not looked at again.
///
/// ```
/// use switchboard_config::{Format, Loader};
///
/// let loaded = Loader::new()
///     .text("switchboard.toml", Format::Toml, "[cache.main]\nurl = 'memory://'\nmax_entries = 10")
///     .variables([("SWITCHBOARD__CACHE__MAIN__MAX_ENTRIES", "20")])
///     .load();
///
/// let settings = loaded.into_settings()?;
/// let entries = settings.get("cache.main.max_entries").map(|node| node.origin().to_string());
/// assert_eq!(entries.as_deref(), Some("variable SWITCHBOARD__CACHE__MAIN__MAX_ENTRIES"));
/// # switchboard_core::Result::<()>::Ok(())
/// ```
#[derive(Clone)]
pub struct Loader {
    defaults: Settings,
    inputs: Vec<Input>,
    profile: Option<Profile>,
    variables: Variables,
    code: Settings,
    deeper: Vec<Vec<String>>,
}

/// One file, or its text.
#[derive(Clone)]
enum Input {
    File { path: PathBuf, is_required: bool },
    Text { name: PathBuf, format: Format, bytes: Vec<u8> },
}

impl Loader {
    /// A loader that reads nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let variables =
            Variables { given: BTreeMap::new(), prefix: PREFIX.to_owned(), mapped: Vec::new() };
        Self {
            defaults: Settings::at(Origin::Default),
            inputs: Vec::new(),
            profile: None,
            variables,
            code: Settings::at(Origin::Default),
            deeper: Vec::new(),
        }
    }

    /// What holds where no other layer mentions any of these sections: whoever says something about one of
    /// them is believed to say everything.
    #[must_use]
    pub fn defaults(mut self, settings: Settings) -> Self {
        self.defaults.merge(settings);
        self
    }

    /// A file that has to exist. Its ending says the format.
    #[must_use]
    pub fn file(self, path: impl Into<PathBuf>) -> Self {
        self.input(Input::File { path: path.into(), is_required: true })
    }

    /// A file that is read if it exists.
    #[must_use]
    pub fn optional_file(self, path: impl Into<PathBuf>) -> Self {
        self.input(Input::File { path: path.into(), is_required: false })
    }

    /// A text in the place of a file. `name` is what mistakes in it are reported under, and what
    /// `${file:…}` is relative to.
    #[must_use]
    pub fn text(self, name: impl Into<PathBuf>, format: Format, bytes: impl Into<Vec<u8>>) -> Self {
        self.input(Input::Text { name: name.into(), format, bytes: bytes.into() })
    }

    /// Reads `switchboard.dev.toml` (or `.yaml`, `.yml`, `.json`) beside each file too, if the profile
    /// is `dev`. At least one such file has to exist.
    #[must_use]
    #[track_caller]
    pub fn profile(self, name: impl Into<String>) -> Self {
        self.profile_from(name, Origin::here())
    }

    /// Like [`profile`](Self::profile), where somebody else than the calling line of code named it.
    #[must_use]
    pub fn profile_from(mut self, name: impl Into<String>, origin: Origin) -> Self {
        self.profile = Some(Profile { name: name.into(), origin });
        self
    }

    /// The files and texts that are read, in the order in which they were named, and whether each has
    /// to be there. What lies beside them for a profile is not among them.
    pub fn inputs(&self) -> impl Iterator<Item = (&Path, bool)> {
        self.inputs.iter().map(|input| match input {
            Input::File { path, is_required } => (path.as_path(), *is_required),
            Input::Text { name, .. } => (name.as_path(), true),
        })
    }

    /// What the variables that are settings begin with.
    pub fn variable_prefix(&self) -> &str {
        &self.variables.prefix
    }

    /// Variables: those that start with the prefix are settings, all of them can be filled in.
    ///
    /// The process's own are never looked at; a program hands them over where it starts.
    #[must_use]
    pub fn variables<K: Into<String>, V: Into<String>>(
        mut self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        self.variables.given.extend(variables);
        self
    }

    /// What names of variables that are settings start with: `SWITCHBOARD` where nothing is said.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.variables.prefix = prefix.into();
        self
    }

    /// The variable `variable`, if there is one, is the setting at `path`: `DATABASE_URL` is
    /// `database.primary.url`. A variable with the prefix counts more.
    #[must_use]
    #[track_caller]
    pub fn map_variable(mut self, variable: impl Into<String>, path: impl Into<String>) -> Self {
        let origin = Origin::here();
        self.variables.mapped.push(Mapped { variable: variable.into(), path: path.into(), origin });
        self
    }

    /// Settings that count more than everything else.
    #[must_use]
    pub fn code(mut self, settings: Settings) -> Self {
        self.code.merge(settings);
        self
    }

    /// The tables below `path`, like `backend.providers`, inherit from each other, as those of every
    /// section do.
    #[must_use]
    pub fn inherit_in(mut self, path: &str) -> Self {
        let keys = path.split('.').map(str::to_owned).collect();
        if !self.deeper.contains(&keys) {
            self.deeper.push(keys);
        }
        self
    }

    /// Reads everything. Whatever is wrong is in the answer, with as many of the settings as there are.
    pub fn load(&self) -> Loaded {
        let mut files = Files::default();
        let mut tree = Settings::at(Origin::Default);
        for input in &self.inputs {
            files.read(&mut tree, input);
        }
        if let Some(profile) = &self.profile {
            files.read_profile(&mut tree, profile, &self.inputs);
        }
        let mut loaded = Loaded::of(files);
        self.lay_over(&mut tree, &mut loaded);
        let mut inherited = inherit::inherit(&mut tree, &self.deeper, loaded.is_complete());
        loaded.bases = std::mem::take(&mut inherited.bases);
        let of_bases = interpolate::interpolate(&mut loaded.bases, &self.variables.given);
        loaded.note_filled(&of_bases);
        let interpolated = interpolate::interpolate(&mut tree, &self.variables.given);
        loaded.settings = tree;
        loaded.note_inherited(inherited);
        loaded.note_interpolated(interpolated);
        loaded
    }

    /// The layers above and below the files.
    fn lay_over(&self, tree: &mut Settings, loaded: &mut Loaded) {
        let defaults = shallow("the defaults", &self.defaults, loaded);
        let code = shallow("the settings from code", &self.code, loaded);
        loaded.note(self.variables.lay_over(tree, &defaults, &self.deeper));
        tree.merge(code);
        if defaults.keys().any(|section| tree.child(section).is_some()) {
            return;
        }
        for (section, node) in defaults.iter() {
            tree.insert(section, node.clone());
        }
    }

    fn input(mut self, input: Input) -> Self {
        self.inputs.push(input);
        self
    }
}

/// A layer of code, as it is laid over others; nothing of it where it is nested too deep.
fn shallow(what: &str, layer: &Settings, loaded: &mut Loaded) -> Settings {
    if tree::is_too_deep(layer) {
        let message = format!("{what} are nested more than {DEPTH_MAX} deep");
        loaded.note([Problem::new("", layer.origin().clone(), message)]);
        return Settings::at(Origin::Default);
    }
    let mut layer = layer.clone();
    interpolate::protect(&mut layer);
    layer
}

impl Default for Loader {
    fn default() -> Self {
        Self::new()
    }
}

// Texts and variables may hold secrets, so only their names are shown.
impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&Path> = self.inputs.iter().map(Input::name).collect();
        f.debug_struct("Loader")
            .field("inputs", &names)
            .field("profile", &self.profile.as_ref().map(|profile| &profile.name))
            .field("variables", &self.variables)
            .finish_non_exhaustive()
    }
}

impl Input {
    fn name(&self) -> &Path {
        match self {
            Self::File { path, .. } => path,
            Self::Text { name, .. } => name,
        }
    }
}

const PREFIX: &str = "SWITCHBOARD";
