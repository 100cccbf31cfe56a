//! The configuration again, while calls are running: what differs, and all of it or nothing.
//!
//! Who asks for it by itself is the affair of `watch`, carrying it out that of `apply`.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use switchboard_config::{Loaded, Sources};
use switchboard_core::{Committed, Error, ErrorKind, Result, Settings};
use tokio::sync::OwnedMutexGuard;

use crate::Switchboard;
use crate::board::Core;
use crate::difference::{Difference, Plan, say_the_same};
use crate::mistakes::Mistakes;
use crate::source::mistakes_of;
use crate::wanted::Wanted;

/// The right to change what a board is; given back by the last one who holds it.
pub(crate) type Turn = Arc<OwnedMutexGuard<()>>;

impl Switchboard {
    /// What a [`reload`](Self::reload) would change; nothing is built, nothing is changed.
    ///
    /// Waits for a change that is under way, and is refused once the board is closed.
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
        let _turn = self.turn().await?;
        let (wanted, difference) = self.0.read_again(self.0.load().await?)?;
        Ok(difference.shown(&self.wanted(), &wanted, &self.0.wired))
    }

    /// What a start changes where nothing runs: all instances of this board are added.
    pub fn plan_from_nothing(&self) -> Plan {
        let (nothing, wanted) = (Wanted::default(), self.wanted());
        let mut plan =
            Difference::between(&nothing, &wanted).shown(&nothing, &wanted, &self.0.wired);
        // The start is just what these wait for, and there is no other of them that changes.
        plan.restart.clear();
        plan.sections.clear();
        plan
    }

    /// Reads the configuration again and applies what differs: all of it, or nothing.
    ///
    /// New drivers are built, initialised and checked beside the old ones; only when all of them
    /// work does anything change. Then handles follow, and old drivers are closed when their last
    /// call has ended. An instance whose gates or limits alone changed keeps its driver, and one
    /// that says the same as before is not touched. What was [swapped](Self::swap) by hand becomes
    /// again what the configuration says. New instances that are only `eager` are connected after the
    /// answer.
    ///
    /// For those who were there before nothing changes unless all of it does. New instances can be
    /// seen a moment earlier, because drivers that are built may need them; they are gone again if
    /// the rest fails.
    ///
    /// `by` is who asked for it, for the [records](Self::records). Dropping this before anything has
    /// changed gives it up; what has changed is recorded in any case.
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

    async fn reload_now(&self) -> Result<Plan> {
        let turn = self.turn().await?;
        let (wanted, difference) = self.0.read_again(self.0.load().await?)?;
        self.put(&turn, wanted, difference).await
    }

    /// A reload that leaves a board alone whose configuration says what it said when it was read last,
    /// also where something was swapped by hand since. The answer is `None` then.
    pub(crate) async fn reload_if_changed(&self) -> Reloaded {
        let loaded = async {
            let turn = self.turn().await?;
            Result::Ok((turn, self.0.load().await?))
        };
        let (turn, loaded) = match loaded.await {
            Ok(loaded) => loaded,
            Err(error) => return Reloaded { files: Vec::new(), outcome: Err(error) },
        };
        let files = loaded.files.clone();
        Reloaded { files, outcome: self.put_if_changed(&turn, loaded).await }
    }

    async fn put_if_changed(&self, turn: &Turn, loaded: Loaded) -> Result<Option<Plan>> {
        let (wanted, difference) = self.0.read_again(loaded)?;
        let configured = self.0.configured();
        let is_swapped = !Arc::ptr_eq(&configured, &self.wanted());
        if is_swapped && say_the_same(&configured.settings, &wanted.settings) {
            return Ok(None);
        }
        self.put(turn, wanted, difference).await.map(Some)
    }

    /// Makes the board what the configuration says. From the moment it is, nothing here waits or
    /// fails: whoever asked tells it, and what has to follow follows.
    async fn put(&self, turn: &Turn, wanted: Wanted, mut difference: Difference) -> Result<Plan> {
        let before = self.wanted();
        let plan = difference.shown(&before, &wanted, &self.0.wired);
        let eager = std::mem::take(&mut difference.eager);
        // Made before anything changes, because it can fail.
        let has_other_health = before.health != wanted.health;
        let watches = has_other_health.then(|| self.health_watches(&wanted.health)).transpose()?;
        // Old drivers are closed in the background, and nobody waits for them here.
        drop(self.0.apply(turn, wanted, difference).await?);
        self.0.keep_configured();
        if let Some(watches) = watches {
            self.put_watches(watches);
        }
        self.connect_beside(eager);
        Ok(plan)
    }

    /// Gives an instance (`cache.sessions`) other settings, or another driver, while calls are
    /// running.
    ///
    /// As in the configuration, `policy` may name one. What every instance has and the settings do
    /// not say stays as it is: the policy, limits, `eager` and `required`; but not `require`. The next
    /// [`reload`](Self::reload) makes the instance again what the configuration says.
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
        let turn = self.turn().await?;
        let before = self.wanted();
        if before.instance(&instance).is_none() {
            return Err(not_configured(&instance));
        }
        let (after, mut problems) = before.with_instance(&instance, settings);
        let difference = Difference::of_swap(&after, &instance);
        problems.extend(mistakes_of(&difference, &self.0.wired, true));
        if !problems.is_empty() {
            return Err(Mistakes::new(problems.into_iter().collect(), Sources::default()).into());
        }
        let committed = self.0.apply(&turn, after, difference).await?;
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

    /// The right to change the board, once nobody else has it; never of one that is closed.
    pub(crate) async fn turn(&self) -> Result<Turn> {
        self.0.refuse_if_closed()?;
        let turn = self.0.changing.clone().lock_owned().await;
        self.0.refuse_if_closed()?;
        Ok(Arc::new(turn))
    }
}

/// What came of a reload that may have nothing to do.
pub(crate) struct Reloaded {
    /// The files that the configuration was read from, or would have been.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) outcome: Result<Option<Plan>>,
}

impl Core {
    /// What stands in the files now. Reading waits for disks, so it has a thread of its own.
    async fn load(&self) -> Result<Loaded> {
        let loader = self.source.loader.clone();
        let loading = tokio::task::spawn_blocking(move || loader.load());
        loading.await.map_err(|error| {
            Error::new(ErrorKind::Unexpected, "the configuration could not be read")
                .with_source(error)
        })
    }

    /// What the configuration says, and what that changes.
    fn read_again(&self, loaded: Loaded) -> Result<(Wanted, Difference)> {
        let (wanted, mut difference) = self.source.read(loaded, &self.wanted(), &self.wired)?;
        difference.compare_with_start(&self.started, &wanted.settings);
        Ok((wanted, difference))
    }

    /// What the configuration said when it was last put in force.
    fn configured(&self) -> Arc<Wanted> {
        self.configured.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is in force now is what the configuration says.
    pub(crate) fn keep_configured(&self) {
        *self.configured.lock().unwrap_or_else(PoisonError::into_inner) = self.wanted();
    }

    pub(crate) fn refuse_if_closed(&self) -> Result<()> {
        if self.jobs.is_over() {
            return Err(Error::new(ErrorKind::Unavailable, "the board is closed").not_applied());
        }
        Ok(())
    }
}

fn not_configured(instance: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, "the configuration does not have the instance")
        .with_context("instance", instance)
        .with_hint("whoever declared it through its manager can swap it there")
}
