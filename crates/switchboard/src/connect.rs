//! What somebody wants of a board before the first call: instances that are there already.

use std::time::Duration;

use switchboard_core::Result;

use crate::Switchboard;

impl Switchboard {
    /// Builds an instance (`cache.sessions`) if nobody has yet, as its first use would.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let board = switchboard::Switchboard::builder().build().await?;
    /// assert_eq!(board.instances()[0].state, "idle");
    ///
    /// board.ensure("cache.main").await?;
    /// assert_eq!(board.instances()[0].state, "ready");
    /// # board.close(board.close_limit()).await.into_result()
    /// # }
    /// ```
    pub async fn ensure(&self, instance: &str) -> Result<()> {
        let (manager, name) = self.find(instance)?;
        manager.ensure(name).await
    }

    /// How long closing everything may take: `board.close_limit` of the configuration in force.
    pub fn close_limit(&self) -> Duration {
        self.wanted().board.close_limit
    }
}
