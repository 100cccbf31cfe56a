//! A place for the files of a measurement, which goes with it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder that nobody else has, removed when this is dropped.
pub struct Folder(PathBuf);

impl Folder {
    /// A new and empty one.
    pub fn new() -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("switchboard-bench-{}-{number}", process::id()));
        fs::create_dir_all(&folder).expect("can be made");
        Self(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes `text` into the file `name` of it.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).expect("can be written");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

static COUNT: AtomicU32 = AtomicU32::new(0);
