//! What became of many objects.

use serde_json::{Value, json};

use crate::failure::{Exit, Failure, Result};
use crate::progress::size;
use crate::session::Session;

/// What became of many objects. Those that failed are told one by one, as they do.
#[derive(Debug, Default)]
pub(super) struct Summary {
    pub(super) copied: u64,
    pub(super) moved: u64,
    pub(super) deleted: u64,
    pub(super) unchanged: u64,
    /// What was to be deleted, but for a failure before.
    pub(super) kept: u64,
    /// What is no object and cannot become one, like a symbolic link in a folder, and objects whose keys no disk
    /// can name.
    pub(super) skipped: u64,
    pub(super) failed: u64,
    /// How many bytes went, of those that were copied, moved or deleted.
    pub(super) bytes: u64,
    pub(super) is_dry_run: bool,
}

impl Summary {
    /// Tells why one of them failed, and goes on with the others.
    pub(super) async fn fail(&mut self, session: &Session, failure: &Failure) {
        self.failed += 1;
        session.screen.tell(failure);
        // Nothing of this may be left out, however much there is.
        session.screen.notes().written().await;
    }

    /// Says what became of all.
    pub(super) fn told(&self, session: &mut Session) -> Result<Exit> {
        if session.screen.is_json() {
            session.screen.write_json(&self.json())?;
        } else {
            session.screen.note(self.text());
        }
        Ok(if self.failed > 0 { Exit::Other } else { Exit::Fine })
    }

    fn json(&self) -> Value {
        json!({
            "copied": self.copied,
            "moved": self.moved,
            "deleted": self.deleted,
            "kept": self.kept,
            "unchanged": self.unchanged,
            "skipped": self.skipped,
            "failed": self.failed,
            "bytes": self.bytes,
            "dry_run": self.is_dry_run,
        })
    }

    /// `2 copied, 1 deleted, 3.0 KiB`.
    pub(super) fn text(&self) -> String {
        let counts = [
            (self.copied, "copied"),
            (self.moved, "moved"),
            (self.deleted, "deleted"),
            (self.unchanged, "unchanged"),
            (self.kept, "kept"),
            (self.skipped, "skipped"),
            (self.failed, "failed"),
        ];
        let would = if self.is_dry_run { "would be: " } else { "" };
        let mut parts: Vec<_> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        if parts.is_empty() {
            return "nothing to do".to_owned();
        }
        if self.bytes > 0 {
            parts.push(size(self.bytes));
        }
        format!("{would}{}", parts.join(", "))
    }
}
