//! Flags in a JSON file that is read for every question, so that an edit counts at once.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_core::{Descriptor, Error, ErrorKind, Health, Lifecycle, Registry, Reply, Result};

use crate::{FlagsDriver, FlagsSubsystem};

/// Where the flags are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    /// A file that holds one JSON object of features and booleans.
    pub path: PathBuf,
}

/// Reads a file.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
}

pub(super) fn register(registry: &Registry<FlagsSubsystem>) -> Result<()> {
    registry.register(
        Descriptor::new("file").summary("flags in a JSON file"),
        |config: FileConfig, _context| async move { Ok(File { path: config.path }) },
    )
}

impl File {
    async fn read(&self) -> Result<BTreeMap<String, bool>> {
        let text = tokio::fs::read(&self.path).await.map_err(classify)?;
        serde_json::from_slice(&text).map_err(|error| {
            Error::new(ErrorKind::Corrupt, "the file does not hold flags").with_source(error)
        })
    }
}

impl Lifecycle for File {
    fn init(&self) -> Reply<'_, ()> {
        Reply::run(async move { self.read().await.map(drop) })
    }

    fn health(&self) -> Reply<'_, Health> {
        Reply::run(async move { self.read().await.map(|_| Health::up()) })
    }
}

impl FlagsDriver for File {
    fn is_on<'a>(&'a self, feature: &'a str) -> Reply<'a, Option<bool>> {
        Reply::run(async move { Ok(self.read().await?.get(feature).copied()) })
    }
}

fn classify(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::new(ErrorKind::NotFound, "there is no such file"),
        io::ErrorKind::PermissionDenied => {
            Error::new(ErrorKind::PermissionDenied, "the file may not be read")
        }
        _ => Error::new(ErrorKind::Unavailable, "the file could not be read"),
    }
    .with_source(error)
}
