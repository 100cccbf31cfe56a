//! What a driver can do beyond the core of its contract, as facts it declares.

use std::collections::BTreeMap;
use std::fmt;

use crate::{Error, ErrorKind, Result};

/// How a driver supports something that is optional in its contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Support {
    /// The service does it.
    Native,
    /// The driver puts it together from other operations; the documentation says at what price.
    Emulated,
    /// It cannot; the operation answers `Unsupported` and does nothing.
    No,
}

/// The optional abilities of a driver, by name.
///
/// ```
/// use switchboard_core::{Capabilities, Support};
///
/// let can = Capabilities::new().with("increment", Support::Native).with("tags", Support::No);
/// assert!(can.require("increment").is_ok());
/// assert!(can.require("tags").is_err());
/// assert_eq!(can.support("unheard of"), Support::No);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(BTreeMap<&'static str, Support>);

impl Capabilities {
    /// No ability beyond the core of the contract.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same abilities, and how `name` is supported.
    #[must_use]
    pub fn with(mut self, name: &'static str, support: Support) -> Self {
        self.0.insert(name, support);
        self
    }

    /// How `name` is supported; what was not declared is not supported.
    pub fn support(&self, name: &str) -> Support {
        self.0.get(name).copied().unwrap_or(Support::No)
    }

    /// Whether `name` is there, natively or emulated.
    pub fn has(&self, name: &str) -> bool {
        self.support(name) != Support::No
    }

    /// An [`ErrorKind::Unsupported`] unless `name` is there.
    pub fn require(&self, name: &'static str) -> Result<()> {
        if self.has(name) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unsupported, "the driver cannot do this")
            .with_context("capability", name))
    }

    /// Every declared ability, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Support)> {
        self.0.iter().map(|(name, support)| (*name, *support))
    }
}

impl fmt::Display for Support {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Native => "native",
            Self::Emulated => "emulated",
            Self::No => "no",
        })
    }
}
