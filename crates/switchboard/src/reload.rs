//! The configuration again, while calls are running: what differs, and all of it or nothing.

use switchboard_config::Sources;
use switchboard_core::{Committed, Error, ErrorKind, Result, Settings};

use crate::Switchboard;
use crate::board::Core;
use crate::difference::{Difference, Plan};
use crate::mistakes::Mistakes;
use crate::source::mistakes_of;
use crate::wanted::{HealthConfig, Wanted};

impl Switchboard {
    /// What a [`reload`](Self::reload) would change; nothing is built, nothing is changed.
    ///
    /// ```
    /// use switchboard::{Change, Switchboard};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> switchboard::Result<()> {
    /// # let file = std::env::temp_dir().join(format!("switchboard-plan-{}.toml", std::process::id()));
    /// # let write = |text: &str| std::fs::write(&file, text).expect("the folder can be written to");
    /// write("cache.sessions = { driver = 'memory', max_entries = 100 }");
    /// let board = Switchboard::builder().file(&file).build().await?;
    /// assert!(board.plan().await?.is_empty());
    ///
    /// write("cache.sessions = { driver = 'memory', max_entries = 200 }");
    /// let plan = board.plan().await?;
    /// assert_eq!(plan.changes[0].instance, "cache.sessions");
    /// assert_eq!(plan.changes[0].what, Change::Swapped);
    /// # std::fs::remove_file(&file).ok();
    /// # board.close(board.close_limit()).await.into_result()
    /// # }
    /// ```
    pub async fn plan(&self) -> Result<Plan> {
        let (wanted, difference) = self.0.read_again().await?;
        Ok(difference.shown(&self.wanted(), &wanted, &self.0.wired))
    }

    /// Reads the configuration again and applies what differs: all of it, or nothing.
    ///
    /// New drivers are built, initialised and checked beside the old ones; only when all of them
    /// work does anything change. Then handles follow, and old drivers are closed when their last
    /// call has ended. An instance whose gates or limits alone changed keeps its driver, and one
    /// that says the same as before is not touched. What was [swapped](Self::swap) by hand becomes
    /// again what the configuration says.
    ///
    /// `by` is who asked for it, for the [records](Self::records).
    ///
    /// ```
    /// use switchboard::Switchboard;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> switchboard::Result<()> {
    /// # let file = std::env::temp_dir().join(format!("switchboard-reload-{}.toml", std::process::id()));
    /// # let write = |text: &str| std::fs::write(&file, text).expect("the folder can be written to");
    /// write("cache.sessions.driver = 'memory'");
    /// let board = Switchboard::builder().file(&file).build().await?;
    ///
    /// write("cache.sessions.driver = 'memory'\ncache.pages.driver = 'null'");
    /// let plan = board.reload("ada").await?;
    /// assert_eq!((plan.kept.len(), plan.changes.len()), (1, 1));
    /// assert!(board.cache("pages").is_ok());
    /// assert_eq!(board.records()[0].by, "ada");
    /// # std::fs::remove_file(&file).ok();
    /// # board.close(board.close_limit()).await.into_result()
    /// # }
    /// ```
    pub async fn reload(&self, by: &str) -> Result<Plan> {
        let reloaded = self.reload_now().await;
        self.record(by, "reload", "board", &reloaded);
        reloaded
    }

    pub(crate) async fn reload_now(&self) -> Result<Plan> {
        let _turn = self.0.changing.lock().await;
        let (wanted, difference) = self.0.read_again().await?;
        let plan = difference.shown(&self.wanted(), &wanted, &self.0.wired);
        let eager = difference.eager.clone();
        let health = (self.wanted().health != wanted.health).then(|| wanted.health.clone());
        self.0.apply(wanted, difference).await?;
        if let Some(HealthConfig { every, limit }) = health {
            self.watch_health(every, limit)?;
        }
        self.connect(&eager).await;
        Ok(plan)
    }

    /// Gives an instance (`cache.sessions`) other settings, or another driver, while calls are
    /// running.
    ///
    /// As in the configuration, `policy` may name one. Settings without a policy keep the gates in
    /// force. The next [`reload`](Self::reload) makes the instance again what the configuration says.
    ///
    /// ```
    /// use switchboard::{Settings, Switchboard};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> switchboard::Result<()> {
    /// let board = Switchboard::builder().build().await?;
    /// let pages = board.cache("main")?;
    /// pages.forever("front", "hello").await?;
    ///
    /// let swapped = board.swap("cache.main", &Settings::new().with("driver", "null")).await?;
    /// assert_eq!(pages.get("front").await?, None, "the same handle, another driver");
    /// swapped.closed().await?; // the last call of the old one has ended
    /// # board.close(board.close_limit()).await.into_result()
    /// # }
    /// ```
    pub async fn swap(&self, instance: &str, settings: &Settings) -> Result<Committed> {
        self.swap_by("code", instance, settings).await
    }

    /// [`swap`](Self::swap), by somebody who is named in the [records](Self::records).
    pub async fn swap_by(
        &self,
        by: &str,
        instance: &str,
        settings: &Settings,
    ) -> Result<Committed> {
        let swapped = self.swap_now(instance, settings).await;
        self.record(by, "swap", instance, &swapped);
        swapped
    }

    async fn swap_now(&self, instance: &str, settings: &Settings) -> Result<Committed> {
        let instance = self.known(instance)?;
        let _turn = self.0.changing.lock().await;
        let before = self.wanted();
        let (after, mut problems) = before.with_instance(&instance, settings);
        let difference = Difference::of_swap(&after, &instance);
        problems.extend(mistakes_of(&difference, &self.0.wired, true));
        if !problems.is_empty() {
            return Err(Mistakes::new(problems.into_iter().collect(), Sources::default()).into());
        }
        let committed = self.0.apply(after, difference).await?;
        committed.into_iter().next().ok_or_else(|| {
            Error::new(ErrorKind::Unexpected, "nothing was swapped")
                .with_context("instance", instance)
        })
    }

    /// The full name of an instance as the board writes it; an error if it has none of that name.
    fn known(&self, instance: &str) -> Result<String> {
        let (manager, name) = self.find(instance)?;
        manager.chain(name)?;
        Ok(format!("{}.{}", manager.subsystem(), name.trim().to_ascii_lowercase()))
    }
}

impl Core {
    /// What the configuration says now, and what that changes. Reading waits for disks, so it has a
    /// thread of its own.
    pub(crate) async fn read_again(&self) -> Result<(Wanted, Difference)> {
        let loader = self.source.loader.clone();
        let loading = tokio::task::spawn_blocking(move || loader.load());
        let found = loading.await.map_err(|error| {
            Error::new(ErrorKind::Unexpected, "the configuration could not be read")
                .with_source(error)
        })?;
        self.source.read(found, &self.wanted(), &self.wired)
    }
}
