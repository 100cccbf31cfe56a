//! What somebody wants of a board before the first call: instances that are there already, and the
//! time that took.

use std::sync::PoisonError;
use std::time::Duration;

use switchboard_core::{Origin, Result};

use crate::Switchboard;
use crate::wired::Wired;

impl Switchboard {
    /// Builds an instance (`cache.sessions`) if nobody has yet, as its first use would. The answer is
    /// how long that took; an error says where the instance is [configured](Self::configured_at).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let board = switchboard::Switchboard::builder().build().await?;
    /// assert_eq!(board.instances()[0].state, "idle");
    ///
    /// let took = board.connect_instance("cache.main").await?;
    /// assert_eq!(board.instances()[0].state, "ready");
    /// assert_eq!(board.connected_in("cache.main"), Some(took));
    /// # board.close(board.close_limit()).await.into_result()
    /// # }
    /// ```
    pub async fn connect_instance(&self, instance: &str) -> Result<Duration> {
        let (manager, name) = self.find(instance)?;
        let clock = self.0.environment.clock();
        let start = clock.now();
        let ensured = manager.ensure(name).await;
        ensured.map_err(|error| match self.configured_at(instance) {
            Some(place) => error.with_context("configured at", place),
            None => error,
        })?;
        let took = clock.now().saturating_duration_since(start);
        let instance = full_name(manager.as_ref(), name);
        let mut connected = self.0.connected.lock().unwrap_or_else(PoisonError::into_inner);
        // Only the first time is that of a connection; after it everything is there.
        Ok(*connected.entry(instance).or_insert(took))
    }

    /// Where the section of an instance (`cache.sessions`) begins; nothing for one that no configuration
    /// mentions.
    pub fn configured_at(&self, instance: &str) -> Option<Origin> {
        let (manager, name) = self.find(instance).ok()?;
        let wanted = self.wanted();
        let origin = wanted.instance(&full_name(manager.as_ref(), name))?.settings.origin();
        (*origin != Origin::Default).then(|| origin.clone())
    }

    /// How long it took to connect an instance ahead of its first use; nothing if nobody did that, or
    /// there is no such instance any more.
    pub fn connected_in(&self, instance: &str) -> Option<Duration> {
        let (manager, name) = self.find(instance).ok()?;
        let instance = full_name(manager.as_ref(), name);
        let is_there = manager.instance(name).is_ok();
        let mut connected = self.0.connected.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_there {
            connected.remove(&instance);
        }
        connected.get(&instance).copied()
    }

    /// How long closing everything may take: `board.close_limit` of the configuration in force.
    pub fn close_limit(&self) -> Duration {
        self.wanted().board.close_limit
    }
}

/// The name of an instance as the board writes it.
fn full_name(manager: &dyn Wired, name: &str) -> String {
    format!("{}.{}", manager.subsystem(), name.trim().to_ascii_lowercase())
}
