//! The named queries that belong to an instance, and how they are read again while somebody writes them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use switchboard_core::{BuildContext, Clock, Result};

use super::Queries;
use super::files::Files;
use crate::{Dialect, QueriesConfig};

/// The named queries that belong to an instance.
pub(crate) struct Kept {
    dialect: &'static Dialect,
    /// As they were at the start.
    first: Result<Arc<Queries>>,
    /// Where they are read again.
    source: Option<Source>,
}

struct Source {
    path: PathBuf,
    instance: Arc<str>,
    clock: Clock,
    seen: Mutex<Seen>,
}

/// What somebody saw who looked at the files.
struct Seen {
    files: Files,
    queries: Arc<Queries>,
    looked: Instant,
}

impl Kept {
    /// Those that the settings name, read and checked for `dialect`.
    ///
    /// It reads files, which is done at the start of an instance only.
    pub(crate) fn open(
        config: &QueriesConfig,
        dialect: &'static Dialect,
        build: &BuildContext,
    ) -> Self {
        let Some(path) = &config.path else {
            return Self { dialect, first: Ok(Arc::default()), source: None };
        };
        let files = Files::at(path);
        let first = Queries::read(files.read(), Some(dialect)).map(Arc::new).map_err(|error| {
            error.with_context("setting", "queries.path").with_context("path", path.display())
        });
        let source = first.as_ref().ok().filter(|_| config.reload).map(|queries| Source {
            path: path.clone(),
            instance: build.instance().as_str().into(),
            clock: build.clock().clone(),
            seen: Mutex::new(Seen { files, queries: queries.clone(), looked: build.clock().now() }),
        });
        Self { dialect, first, source }
    }

    /// Whether there was no mistake at the start.
    pub(crate) fn started(&self) -> Result<()> {
        self.first.as_ref().map(drop).map_err(Clone::clone)
    }

    /// They as they are now.
    pub(crate) fn now(&self) -> Result<Arc<Queries>> {
        match &self.source {
            Some(source) => Ok(source.now(self.dialect)),
            None => self.first.clone(),
        }
    }
}

impl Source {
    /// Looks whether files have changed, at most once a second.
    ///
    /// That is done by whoever wants a query, and others wait for it: it is meant for development, and a
    /// task of its own would have to be ended.
    fn now(&self, dialect: &'static Dialect) -> Arc<Queries> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        if now.saturating_duration_since(seen.looked) >= LOOKED_EVERY {
            seen.looked = now;
            self.look(&mut seen, dialect);
        }
        seen.queries.clone()
    }

    fn look(&self, seen: &mut Seen, dialect: &'static Dialect) {
        let files = Files::at(&self.path);
        if files == seen.files {
            return;
        }
        // A file that changes between the look and the reading has another time at the next look.
        match Queries::read(files.read(), Some(dialect)) {
            Ok(queries) => seen.queries = Arc::new(queries),
            Err(error) => tracing::warn!(
                target: "switchboard::database",
                instance = %self.instance,
                error = %error,
                "named queries have changed and have mistakes, those from before are used"
            ),
        }
        seen.files = files;
    }
}

/// How often files are looked at that may have changed.
const LOOKED_EVERY: Duration = Duration::from_secs(1);
