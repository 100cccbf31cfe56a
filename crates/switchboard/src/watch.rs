//! What makes a board read its configuration again by itself: a file that changed, a signal.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use switchboard_core::{Error, ErrorKind, Result};
use tokio::sync::watch;

use crate::Switchboard;
use crate::board::Core;
use crate::difference::Plan;

/// Lets a board read its configuration again by itself, until it is dropped or the board is closed.
#[derive(Debug)]
#[must_use = "the board is left alone as soon as this is dropped"]
pub struct Watching {
    core: Weak<Core>,
    job: u64,
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(core) = self.core.upgrade() {
            core.jobs.end(self.job);
        }
    }
}

impl Switchboard {
    /// Reloads when one of the files that the configuration was read from changes, or one appears
    /// that it would be read from.
    ///
    /// A file is taken when it has been quiet for [`Watching::QUIET`]. Changes that make no
    /// difference are not recorded; a configuration with mistakes changes nothing, is recorded once,
    /// and watching goes on. The watch ends with the board as well.
    ///
    /// ```
    /// use switchboard::Switchboard;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> switchboard::Result<()> {
    /// # let file = std::env::temp_dir().join(format!("switchboard-watch-{}.toml", std::process::id()));
    /// # let write = |text: &str| std::fs::write(&file, text).expect("the folder can be written to");
    /// write("cache.sessions.driver = 'memory'");
    /// let board = Switchboard::builder().file(&file).build().await?;
    /// let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    /// board.on_record(move |record| drop(tell.send(record.by.clone())));
    /// let watching = board.watch_files()?;
    ///
    /// write("cache.sessions.driver = 'null'");
    /// assert_eq!(told.recv().await.as_deref(), Some("file watcher"));
    /// drop(watching); // the files are left alone from now on
    /// # std::fs::remove_file(&file).ok();
    /// # board.close(board.close_limit()).await.into_result()
    /// # }
    /// ```
    pub fn watch_files(&self) -> Result<Watching> {
        let (tell, changes) = watch::channel(());
        let watcher = notify::recommended_watcher(move |event| {
            if is_change(&event) {
                tell.send_replace(());
            }
        })
        .map_err(|error| cannot_watch(&error))?;
        let mut folders = Folders { watcher, watched: BTreeSet::new() };
        folders.follow(&self.wanted().files)?;
        let reloads = FileReloads { core: Arc::downgrade(&self.0), folders, changes, told: None };
        self.run("watch files", reloads.run())
    }

    /// Reloads whenever the process gets a SIGHUP. Nothing to wait for where there are no signals.
    #[cfg(unix)]
    pub fn reload_on_hangup(&self) -> Result<Watching> {
        use tokio::signal::unix::{SignalKind, signal};
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(Error::new(ErrorKind::Unavailable, "a signal is waited for in a runtime")
                .with_hint("ask for this where the board is built, or use `Blocking`"));
        }
        let mut hangups = signal(SignalKind::hangup()).map_err(|error| {
            Error::new(ErrorKind::Unavailable, "the signal cannot be waited for").with_source(error)
        })?;
        let core = Arc::downgrade(&self.0);
        self.run("reload on hangup", async move {
            while hangups.recv().await.is_some() {
                let Some(board) = board(&core) else { return };
                drop(board.reload("SIGHUP").await);
            }
        })
    }

    fn run(
        &self,
        name: &'static str,
        job: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Watching> {
        let job = self.0.jobs.start(self.0.environment.reaper(), name, job)?;
        Ok(Watching { core: Arc::downgrade(&self.0), job })
    }
}

impl Watching {
    /// How long files have to be left alone before they are read.
    pub const QUIET: Duration = Duration::from_millis(100);

    /// How long files that never are left alone can put a reload off.
    pub const QUIET_AT_LATEST: Duration = Duration::from_secs(2);
}

/// The reloads that changes of files lead to.
struct FileReloads {
    core: Weak<Core>,
    folders: Folders,
    changes: watch::Receiver<()>,
    /// The failure that was recorded last; it is not recorded again until something else happens.
    told: Option<String>,
}

impl FileReloads {
    async fn run(mut self) {
        while self.changes.changed().await.is_ok() {
            tokio::time::timeout(Watching::QUIET_AT_LATEST, self.quiet()).await.ok();
            let Some(board) = board(&self.core) else { return };
            self.reload(&board).await;
        }
    }

    /// Ends when nothing has changed for a while.
    async fn quiet(&mut self) {
        while tokio::time::timeout(Watching::QUIET, self.changes.changed()).await.is_ok() {}
    }

    async fn reload(&mut self, board: &Switchboard) {
        let reloaded = board.reload_now().await;
        let failure = reloaded.as_ref().err().map(|error| format!("{error:?}"));
        let is_news = match &reloaded {
            Ok(plan) => !plan.is_empty() || self.told.is_some(),
            Err(_) => failure != self.told,
        };
        if is_news {
            board.record(FILES, "reload", "board", &reloaded);
        }
        self.told = failure;
        if let Err(error) = self.folders.follow(&board.wanted().files) {
            board.record(FILES, "watch", "board", &Err::<Plan, _>(error));
        }
    }
}

/// The folders that files are looked for in: editors and orchestrators put another file, or another
/// link, in the place of one, which only its folder tells.
struct Folders {
    watcher: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
}

impl Folders {
    /// Looks at the folders of `files` from now on, and no longer at those of others.
    fn follow(&mut self, files: &[PathBuf]) -> Result<()> {
        let wanted: BTreeSet<PathBuf> = files.iter().flat_map(|file| folders_of(file)).collect();
        for folder in self.watched.difference(&wanted) {
            self.watcher.unwatch(folder).ok();
        }
        self.watched.retain(|folder| wanted.contains(folder));
        for folder in wanted {
            if !self.watched.contains(&folder) && folder.is_dir() {
                let watching = self.watcher.watch(&folder, RecursiveMode::NonRecursive);
                watching.map_err(|error| {
                    cannot_watch(&error).with_context("folder", folder.display())
                })?;
                self.watched.insert(folder);
            }
        }
        Ok(())
    }
}

/// Where a file is, and where it really is.
fn folders_of(file: &Path) -> HashSet<PathBuf> {
    let folder = |path: &Path| match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Some(PathBuf::from(".")),
        folder => folder.map(Path::to_path_buf),
    };
    let real = file.canonicalize().ok();
    [Some(file), real.as_deref()].into_iter().flatten().filter_map(folder).collect()
}

/// Reading a file is an event too, and reloading reads them.
fn is_change(event: &notify::Result<notify::Event>) -> bool {
    let access = match event {
        Ok(event) => event.kind,
        Err(_) => return true,
    };
    let written = EventKind::Access(AccessKind::Close(AccessMode::Write));
    access == written || !access.is_access()
}

fn board(core: &Weak<Core>) -> Option<Switchboard> {
    core.upgrade().map(Switchboard)
}

fn cannot_watch(error: &notify::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "files cannot be watched")
        .with_context("reason", error)
        .with_hint("reload by hand, or with SIGHUP")
}

const FILES: &str = "file watcher";
