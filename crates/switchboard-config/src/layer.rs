//! Settings of one type, laid over each other in code.
//!
//! Knows one driver's settings at a time, and only in part: what is missing may come from another layer.
//! Whole configurations are merged by the loader.

use std::fmt;
use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use switchboard_core::settings::{Node, Value};
use switchboard_core::{Origin, Problems, Result, Settings};

/// Some of the settings of a `T`, to be laid over others of the same type.
///
/// Keys and values are checked against the schema of `T`, whatever is missing; mistakes are told by
/// [`check`](Self::check), [`into_settings`](Self::into_settings) and [`decode`](Self::decode), all at
/// once, each with the line of code that made it.
///
/// ```
/// use schemars::JsonSchema;
/// use serde::Deserialize;
/// use switchboard_config::Layer;
///
/// #[derive(Deserialize, JsonSchema)]
/// struct RedisConfig {
///     url: String,
///     connections: u32,
///     #[serde(default)]
///     tls: bool,
/// }
///
/// let base = Layer::<RedisConfig>::new().with("connections", 4);
/// let dev = Layer::new().with("url", "redis://127.0.0.1");
/// let prod = Layer::new().with("url", "redis://cache.internal").with("connections", 64).with("tls", true);
///
/// let here = base.clone().merge(dev).decode()?;
/// assert_eq!((here.url.as_str(), here.connections), ("redis://127.0.0.1", 4));
/// let there = base.merge(prod).decode()?;
/// assert_eq!((there.connections, there.tls), (64, true));
///
/// let mistyped = Layer::<RedisConfig>::new().with("conections", 4).check().unwrap_err();
/// assert!(mistyped.to_string().contains("did you mean `connections`?"), "{mistyped}");
/// # switchboard_core::Result::<()>::Ok(())
/// ```
///
/// Layers of different drivers do not go together:
///
/// ```compile_fail,E0308
/// use schemars::JsonSchema;
/// use serde::Deserialize;
/// use switchboard_config::Layer;
///
/// #[derive(Deserialize, JsonSchema)]
/// struct RedisConfig {}
/// #[derive(Deserialize, JsonSchema)]
/// struct MemoryConfig {}
///
/// let merged = Layer::<RedisConfig>::new().merge(Layer::<MemoryConfig>::new());
/// ```
pub struct Layer<T> {
    settings: Settings,
    of: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned + JsonSchema + 'static> Layer<T> {
    /// A layer that says nothing, from the calling line of code.
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        Self::of(Settings::at(Origin::here()))
    }

    /// A layer that says what `settings` do.
    #[must_use]
    pub fn of(settings: Settings) -> Self {
        Self { settings, of: PhantomData }
    }

    /// The same layer with `key` set to `value`, which comes from the calling line of code.
    #[must_use]
    #[track_caller]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.settings.insert(key, Node::new(value.into(), Origin::here()));
        self
    }

    /// This layer with `other` laid over it: tables are merged key by key, everything else is replaced.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.settings.merge(other.settings);
        self
    }

    /// Whether everything that is said is right. What is missing may still come.
    pub fn check(&self) -> Result<()> {
        let Err(error) = self.settings.decode::<T>() else { return Ok(()) };
        let Some(problems) = error.find::<Problems>() else { return Err(error) };
        let said = problems.iter().filter(|problem| !problem.is_of_absence());
        let said: Problems = said.cloned().collect();
        if said.is_empty() { Ok(()) } else { Err(said.into()) }
    }

    /// What the layer says so far, right or wrong.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// All of it as a `T`, or all that is wrong or missing.
    pub fn decode(&self) -> Result<T> {
        self.settings.decode()
    }

    /// What the layer says, if it is right: to be handed to a registry, a manager or a loader.
    pub fn into_settings(self) -> Result<Settings> {
        self.check()?;
        Ok(self.settings)
    }
}

impl<T> Clone for Layer<T> {
    fn clone(&self) -> Self {
        Self { settings: self.settings.clone(), of: PhantomData }
    }
}

impl<T: DeserializeOwned + JsonSchema + 'static> Default for Layer<T> {
    fn default() -> Self {
        Self::of(Settings::at(Origin::Default))
    }
}

impl<T> fmt::Debug for Layer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.settings, f)
    }
}
