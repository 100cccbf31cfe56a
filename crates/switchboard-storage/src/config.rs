//! What can be said of every disk, whichever driver serves it.

use std::num::NonZeroUsize;

use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_core::Secret;
use switchboard_core::settings::ByteSize;

/// The settings that every disk has, beside those of its driver.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DiskConfig {
    /// What all its keys begin with, at the service: `uploads` keeps `a.txt` as `uploads/a.txt`.
    pub prefix: Option<String>,
    /// Refuses everything that is not reading.
    pub read_only: bool,
    /// Whether what is read is added up, and compared with what was stored.
    pub verify: Verify,
    /// The most bytes that are read into memory at once, by those who ask for all of them.
    pub read_max: ByteSize,
    /// How long the parts are in which large objects travel; they grow where there would be too many.
    pub part_size: ByteSize,
    /// How many parts of one object are on their way at the same time.
    pub parts_at_once: NonZeroUsize,
    /// Whether the kind of content is found out where nobody says it, from the end of the key and the
    /// first bytes.
    pub guess_content_type: bool,
    /// Where a handler answers what is signed with `sign_keys`: `https://files.example.com/uploads`.
    pub public_url: Option<String>,
    /// What addresses are signed with that lead to `public_url`: the first signs, all are accepted, so that
    /// keys can be replaced while addresses are in use. Where they are set, no service is asked to sign.
    pub sign_keys: Vec<SignKey>,
}

/// A key that addresses are signed with.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignKey {
    /// What it is called in addresses: letters, digits, `-` and `_`. A new secret needs a new name.
    pub id: String,
    /// The key itself: 32 bytes at least, by chance.
    pub secret: Secret,
}

/// Whether what is read is compared with what was stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verify {
    /// Every object that is read whole.
    #[default]
    Full,
    /// Nothing.
    Off,
}

impl Default for DiskConfig {
    fn default() -> Self {
        Self {
            prefix: None,
            read_only: false,
            verify: Verify::Full,
            read_max: ByteSize(64 << 20),
            part_size: ByteSize(8 << 20),
            parts_at_once: NonZeroUsize::MIN.saturating_add(3),
            guess_content_type: true,
            public_url: None,
            sign_keys: Vec::new(),
        }
    }
}
