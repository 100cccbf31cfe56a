//! How drivers of databases come into a registry, and what they are given.
//!
//! A driver knows its own settings; those that every database has are taken off here, and the pools
//! are put around what it makes.

use std::future::Future;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_core::{BuildContext, Descriptor, Registry, Result};

use crate::engine::Served;
use crate::neighbours::Neighbours;
use crate::{DatabaseConfig, Databases, DriverSettings};

/// What a driver may use while it is made.
#[derive(Clone, Debug)]
pub struct DriverContext {
    build: BuildContext,
    database: Arc<DatabaseConfig>,
}

impl DriverContext {
    /// For a driver that is made outside of a registry.
    pub fn new(build: BuildContext, database: DatabaseConfig) -> Self {
        Self { build, database: Arc::new(database) }
    }

    /// The settings that every database has.
    pub fn database(&self) -> &DatabaseConfig {
        &self.database
    }

    /// Clock, variables, clean-up, other instances.
    pub fn build(&self) -> &BuildContext {
        &self.build
    }
}

/// Adds a driver, which `make` makes from its own settings.
///
/// Configuration may say everything that these list, and everything in [`DatabaseConfig`]. Look-up by the
/// type of the settings finds its instances.
#[track_caller]
pub fn register<C, F, Fut>(
    registry: &Registry<Databases>,
    descriptor: impl Into<Descriptor>,
    make: F,
) -> Result<()>
where
    C: DriverSettings,
    F: Fn(C, DriverContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<C::Driver>> + Send + 'static,
{
    let neighbours = Arc::new(Neighbours::default());
    registry.register(descriptor, move |settings: Configured<C>, build| {
        let context = DriverContext { build, database: Arc::new(settings.database) };
        let place = settings.own.place(&context);
        let driver = make(settings.own, context.clone());
        let neighbours = neighbours.clone();
        async move {
            let served = Served::new(driver.await?, &context);
            if let Some(place) = place {
                neighbours.enter(place, context.build.instance(), served.engine());
            }
            Ok(served)
        }
    })
}

/// The settings of one driver together with those that every database has.
#[derive(Deserialize, JsonSchema)]
struct Configured<C> {
    #[serde(flatten)]
    database: DatabaseConfig,
    #[serde(flatten)]
    own: C,
}
