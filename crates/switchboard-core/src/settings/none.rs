//! The settings of a driver that has none.

use schemars::JsonSchema;
use serde::Deserialize;

/// No settings at all: any key that is given is a mistake.
///
/// ```
/// use switchboard_core::{NoSettings, Settings};
///
/// assert!(Settings::new().decode::<NoSettings>().is_ok());
/// assert!(Settings::new().with("colour", "red").decode::<NoSettings>().is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}
