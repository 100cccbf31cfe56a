//! A folder of a test's own, gone with it.

#![allow(dead_code, reason = "each test file uses some of it")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};

use switchboard_config::{Format, Loaded, Loader};
use switchboard_core::Problem;

pub(crate) struct Folder(PathBuf);

static MADE: AtomicUsize = AtomicUsize::new(0);

impl Folder {
    pub(crate) fn new() -> Self {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("switchboard-config-{}-{number}", process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A loader of one text.
pub(crate) fn text(toml: &str) -> Loader {
    Loader::new().text("switchboard.toml", Format::Toml, toml)
}

/// The settings at `path`, as a person would say them.
pub(crate) fn said(loaded: &Loaded, path: &str) -> String {
    let Some(node) = loaded.settings.get(path) else { return "nothing".to_owned() };
    if let Some(text) = node.as_str() {
        return text.to_owned();
    }
    match (node.as_integer(), node.as_bool()) {
        (Some(number), _) => number.to_string(),
        (_, Some(truth)) => truth.to_string(),
        _ => node.value().kind().to_owned(),
    }
}

/// Each mistake on a line, without the folder that its file is in.
pub(crate) fn mistakes(loaded: &Loaded) -> Vec<String> {
    loaded.problems.iter().map(brief).collect()
}

pub(crate) fn brief(problem: &Problem) -> String {
    let origin = problem.origin.to_string();
    let place = Path::new(&origin).file_name().map(|name| name.to_string_lossy().into_owned());
    let hint = problem.hint.as_deref().map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("{}: {}: {}{hint}", place.unwrap_or(origin), problem.path, problem.message)
}

/// That nothing is wrong.
pub(crate) fn fine(loaded: Loaded) -> Loaded {
    assert_eq!(mistakes(&loaded), [""; 0]);
    loaded
}
