//! The subsystem is an equal of the built-in ones: checked, listed, guarded and swapped alike.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::time::Duration;

use switchboard_core::{Environment, ErrorKind, Manager, Problems, Registry, Settings, Status};
use third_party_subsystem::FlagsSubsystem;

fn manager() -> Manager<FlagsSubsystem> {
    let registry = Registry::with_built_ins().expect("the built-in drivers have different names");
    Manager::new(registry, &Environment::new()).expect("the environment is new")
}

fn fixed(on: bool) -> Settings {
    Settings::new().with("driver", "fixed").with("flags", Settings::new().with("beta", on))
}

struct Scratch(PathBuf);

impl Scratch {
    fn holding(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("{name}-{}.json", std::process::id()));
        std::fs::write(&path, text).expect("the temporary folder is writable");
        Self(path)
    }

    fn settings(&self) -> Settings {
        Settings::new().with("driver", "file").with("path", self.0.display().to_string())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

#[tokio::test]
async fn a_handle_follows_a_swap_from_one_driver_to_another() {
    let manager = manager();
    manager.configure("main", &fixed(false)).unwrap();
    let flags = manager.get("main").await.unwrap();
    assert!(!flags.is_on("beta").await.unwrap());

    let file = Scratch::holding("swap", r#"{ "beta": true }"#);
    manager.swap("main", &file.settings()).await.unwrap().closed().await.unwrap();
    assert!(flags.is_on("beta").await.unwrap());
    assert_eq!(flags.line().serving(), Some(("file", 2)));
}

#[tokio::test]
async fn a_swap_to_a_file_that_is_not_there_changes_nothing() {
    let manager = manager();
    manager.configure("main", &fixed(true)).unwrap();
    let flags = manager.get("main").await.unwrap();
    let missing = Settings::new().with("driver", "file").with("path", "/does/not/exist");
    let error = manager.swap("main", &missing).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(flags.is_on("beta").await.unwrap());
}

#[tokio::test]
async fn all_mistakes_of_its_settings_are_reported_at_once() {
    let manager = manager();
    let wrong = Settings::new()
        .with("driver", "fixed")
        .with("flags", Settings::new().with("beta", "yes"))
        .with("flegs", 1);
    let error = manager.configure("main", &wrong).unwrap_err();
    assert_eq!(error.find::<Problems>().map(Problems::len), Some(2), "{error:?}");
}

#[tokio::test]
async fn health_and_figures_come_without_a_line_of_code() {
    let manager = manager();
    let file = Scratch::holding("health", r#"{ "beta": true }"#);
    manager.configure("main", &file.settings()).unwrap();
    let flags = manager.get("main").await.unwrap();
    flags.is_on("beta").await.unwrap();
    assert_eq!(flags.line().figures()[0].succeeded, 1);

    let statuses = |reports: Vec<switchboard_core::HealthReport>| reports[0].health.status;
    assert_eq!(statuses(manager.health(Duration::from_secs(5)).await), Status::Up);
    std::fs::remove_file(&file.0).unwrap();
    assert_eq!(statuses(manager.health(Duration::from_secs(5)).await), Status::Down);
}
