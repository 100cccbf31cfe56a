//! The product's own database.

use switchboard_core::{Environment, Manager, Registry, Settings};
use switchboard_database::{Database, Databases};

/// The product's database, as `settings` say.
pub async fn ours(settings: &Settings) -> Database {
    let registry = Registry::with_built_ins().expect("the names differ");
    let manager =
        Manager::<Databases>::new(registry, &Environment::new()).expect("the environment is new");
    manager.configure("main", settings).expect("the settings are right");
    manager.get("main").await.expect("the driver is there")
}

/// The settings of a database whose pool has at most `connections`.
pub fn settings(driver: &str, connections: usize) -> Settings {
    let pool = Settings::new().with("max", connections as i64);
    Settings::new().with("driver", driver).with("pool", pool)
}
