//! What can be said of a folder.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use switchboard_core::{
    Environment, ErrorKind, Lifecycle as _, Manager, Registry, Settings, Status,
};

use super::super::Mode;
use super::*;
use crate::Disks;

fn manager(environment: &Environment) -> Manager<Disks> {
    Manager::new(Registry::with_built_ins().unwrap(), environment).unwrap()
}

#[tokio::test]
async fn without_settings_the_folder_is_called_after_its_instance_in_the_home() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().to_str().unwrap();
    let environment = Environment::new().with_variables([("SWITCHBOARD_HOME", path)]);
    let disks = manager(&environment);
    disks.configure("uploads", &Settings::new().with("driver", "local")).unwrap();
    disks.handle("uploads").unwrap().put("note", "text").await.unwrap();
    assert_eq!(fs::read_to_string(home.path().join("storage/uploads/note")).unwrap(), "text");
}

#[tokio::test]
async fn the_address_of_a_file_names_the_driver() {
    let home = tempfile::tempdir().unwrap();
    let url = format!("file://{}/with%20space", home.path().display());
    let disks = manager(&Environment::new());
    disks.configure("uploads", &Settings::new().with("url", url)).unwrap();
    disks.handle("uploads").unwrap().put("note", "text").await.unwrap();
    assert_eq!(fs::read_to_string(home.path().join("with space/note")).unwrap(), "text");
}

#[tokio::test]
async fn what_cannot_be_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    for settings in [
        Settings::new().with("url", "file://elsewhere/path"),
        Settings::new().with("url", "file:relative"),
        Settings::new().with("url", "file:///path?query"),
        Settings::new().with("root", path).with("url", format!("file://{path}")),
        Settings::new().with("root", ""),
        Settings::new().with("root", format!("{path}/file")),
        Settings::new().with("root", path).with("file_mode", "0999"),
        Settings::new().with("root", path).with("file_mode", "044"),
        Settings::new().with("root", path).with("durability", "some"),
    ] {
        let disks = manager(&Environment::new());
        let made = disks.configure("uploads", &settings.clone().with("driver", "local"));
        let error = match made {
            Ok(()) => disks.get("uploads").await.map(|_| ()).unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.kind(), ErrorKind::Config, "{settings:?}: {error:?}");
    }
}

#[tokio::test]
async fn files_and_directories_have_the_modes_that_are_set() {
    let config = LocalConfig {
        dir_mode: Mode(0o751),
        file_mode: Mode(0o646),
        metadata: Metadata::Sidecar,
        ..LocalConfig::default()
    };
    let home = Home::with(config);
    home.put("a/b/note", "text").await.unwrap();
    let mode = |key| fs::metadata(home.path(key)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("a"), mode("a/b"), mode("a/b/note")), (0o751, 0o751, 0o646));

    let usual = Home::new();
    usual.put("a/note", "text").await.unwrap();
    let mode = |key| fs::metadata(usual.path(key)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("a"), mode("a/note")), (0o700, 0o600));
}

#[tokio::test]
async fn each_durability_stores_the_same() {
    for durability in [Durability::None, Durability::File, Durability::Full] {
        let home = Home::with(LocalConfig { durability, ..LocalConfig::default() });
        home.put("a/note", "text").await.unwrap();
        assert_eq!(home.read("a/note").await.unwrap(), "text");
        assert_eq!(home.local.health().await.unwrap().status, Status::Up);
        assert!(home.delete("a/note", None).await.unwrap());
    }
}

#[tokio::test]
async fn a_disk_says_where_it_is_and_how_it_keeps_what_is_said() {
    let home = Home::new();
    let details = home.local.details().unwrap();
    assert_eq!(details.get("root"), Some(&home.local.root().display().to_string().into()));
    assert_eq!(details.get("is_writable"), Some(&true.into()));
    assert_eq!(details.get("confined_by"), Some(&"the kernel".into()));
}
