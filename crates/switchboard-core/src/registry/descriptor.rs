//! What a driver says about itself before anything is built.

use std::panic::Location;

use schemars::Schema;

use crate::{Capabilities, Policy, Settings, Support};

/// The name of a driver, and what people and configuration should know about it.
///
/// ```
/// use switchboard_core::{Descriptor, Support};
///
/// let descriptor = Descriptor::new("dragonfly")
///     .alias("df")
///     .summary("Dragonfly, over the Redis protocol")
///     .capability("increment", Support::Native);
/// ```
#[derive(Clone, Debug)]
pub struct Descriptor {
    pub(super) name: String,
    pub(super) aliases: Vec<String>,
    pub(super) summary: String,
    pub(super) capabilities: Capabilities,
    /// What depends on settings, and what decides it; what was said last decides last.
    pub(super) depending: Vec<(&'static str, Decide)>,
    /// The settings that say which data an instance holds.
    pub(super) data: Vec<&'static str>,
    /// Those of them that can say one thing in several ways, and what finds out which.
    pub(super) spelt: Vec<(Vec<&'static str>, Spelling)>,
    pub(super) exclusive: bool,
    pub(super) proven: bool,
    pub(super) usual_policy: Policy,
}

/// How something is supported with these settings; `None` leaves it to what else was said.
type Decide = fn(&Settings) -> Option<Support>;

/// What settings mean that can be written in several ways; `None` where that is not known.
type Spelling = fn(&Settings) -> Option<String>;

/// A registered driver, as [`Registry::describe`](super::Registry::describe) shows it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DriverInfo {
    /// The name.
    pub name: String,
    /// Other names it answers to, sorted.
    pub aliases: Vec<String>,
    /// One line for people.
    pub summary: String,
    /// What its settings may be.
    pub settings: Schema,
    /// What it can do beyond the core of the contract.
    pub capabilities: Capabilities,
    /// Whether two of it never serve one instance at once: see [`Descriptor::exclusive`].
    pub exclusive: bool,
    /// Whether its tests ran against the real thing: see [`Descriptor::proven`].
    pub proven: bool,
    /// Where the program registered it.
    pub place: &'static Location<'static>,
}

impl Descriptor {
    /// A driver called `name`, with nothing else said about it.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            aliases: Vec::new(),
            summary: String::new(),
            capabilities: Capabilities::new(),
            depending: Vec::new(),
            data: Vec::new(),
            spelt: Vec::new(),
            exclusive: false,
            proven: false,
            usual_policy: Policy::default(),
        }
    }

    /// The driver also answers to `name`.
    #[must_use]
    pub fn alias(mut self, name: impl Into<String>) -> Self {
        self.aliases.push(name.into());
        self
    }

    /// One line about it for people.
    #[must_use]
    pub fn summary(mut self, summary: impl Into<String>) -> Self {
        self.summary = summary.into();
        self
    }

    /// How it supports something that is optional in its contract.
    #[must_use]
    pub fn capability(mut self, name: &'static str, support: Support) -> Self {
        self.capabilities = self.capabilities.with(name, support);
        self
    }

    /// How an instance with certain settings supports something optional, where that depends on them. `decide`
    /// says `None` where what was said before holds; nothing is built to ask it.
    ///
    /// ```
    /// use switchboard_core::{Descriptor, Settings, Support};
    ///
    /// let descriptor = Descriptor::new("printer").capability_by("colour", |settings: &Settings| {
    ///     settings.child("cartridge").map(|_| Support::Native)
    /// });
    /// # let _ = descriptor;
    /// ```
    #[must_use]
    pub fn capability_by(mut self, name: &'static str, decide: Decide) -> Self {
        self.depending.push((name, decide));
        self
    }

    /// What was said of optional things so far, for subsystems that put something of their own around their
    /// drivers.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// The settings that say which data an instance holds: a folder, a bucket. None of them is a secret.
    ///
    /// An instance that serves, or would, is not given other data by a swap, a reload or a change, unless its new
    /// settings say in `replaces` which data they take the place of. Without this, nothing is known of the
    /// data of instances, and there is nothing to guard.
    ///
    /// ```
    /// use switchboard_core::Descriptor;
    ///
    /// let descriptor = Descriptor::new("tape").data_in(["drive", "cassette"]);
    /// ```
    #[must_use]
    pub fn data_in(mut self, settings: impl IntoIterator<Item = &'static str>) -> Self {
        self.data.extend(settings);
        self
    }

    /// The same for settings that together say one thing, and can say it in several ways: a folder by a path or
    /// an address, absolute or not. What `meant` says of them is compared; where it says `None`, what is written.
    ///
    /// ```
    /// use switchboard_core::{Descriptor, Settings};
    ///
    /// fn shelf(settings: &Settings) -> Option<String> {
    ///     settings.child("shelf")?.as_str().map(str::to_lowercase)
    /// }
    ///
    /// let descriptor = Descriptor::new("tape").data_in(["cassette"]).data_meant(["shelf"], shelf);
    /// ```
    #[must_use]
    pub fn data_meant(
        mut self,
        settings: impl IntoIterator<Item = &'static str>,
        meant: fn(&Settings) -> Option<String>,
    ) -> Self {
        let settings = Vec::from_iter(settings);
        self.data.extend(&settings);
        self.spelt.push((settings, meant));
        self
    }

    /// Whether it was said which settings say which data an instance holds.
    pub fn has_data(&self) -> bool {
        !self.data.is_empty()
    }

    /// Two of it never serve one instance at the same time (one file, one port): a swap from one
    /// to another closes the old one before it opens the new one, and callers wait meanwhile.
    ///
    /// This holds whatever the settings are, because only the driver knows which of them name the
    /// file or the port. A swap to or from a driver of another type has no gap. A driver that was
    /// handed in ready-made keeps serving until the new one is open, because it could not be had
    /// again. Two *instances* of the driver live side by side; that their settings do not collide is
    /// up to whoever writes them.
    #[must_use]
    pub fn exclusive(mut self) -> Self {
        self.exclusive = true;
        self
    }

    /// The gates of instances whose settings say nothing of a `policy`: a driver that speaks to a service over
    /// a network knows that one lost packet is no outage. Whoever writes a policy, also an empty one, has that
    /// and nothing of this.
    ///
    /// ```
    /// use switchboard_core::{Descriptor, Policy, RetryPolicy};
    ///
    /// let retrying = Policy { retry: Some(RetryPolicy::default()), ..Policy::default() };
    /// let descriptor = Descriptor::new("dragonfly").usual_policy(retrying);
    /// ```
    #[must_use]
    pub fn usual_policy(mut self, policy: Policy) -> Self {
        self.usual_policy = policy;
        self
    }

    /// The conformance suite of its subsystem runs on it in its own tests, against the real service.
    #[must_use]
    pub fn proven(mut self) -> Self {
        self.proven = true;
        self
    }
}

impl From<&str> for Descriptor {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}
