//! File systems that refuse: full, only for reading, not ours, gone.
//!
//! Each needs a process of its own, started as somebody else or with a file system of its own (`unshare`).

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use switchboard_core::{ErrorKind, Lifecycle as _, Outcome, Status};

use super::*;
use crate::capability;

const FOLDER: &str = "SWITCHBOARD_TEST_REFUSED_FOLDER";

/// Whether the system lets this user have file systems of his own.
fn may_mount() -> bool {
    let tried = Command::new("unshare").args(MOUNTING).arg("true").stderr(Stdio::null()).status();
    let may_mount = tried.is_ok_and(|tried| tried.success());
    if !may_mount {
        println!("not tested: this system lets nobody mount file systems of his own");
    }
    may_mount
}

/// Runs one test of this program in a process of its own, on a file system of one mebibyte.
fn on_a_small_file_system(test: &str) {
    if !may_mount() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script =
        "mount -t tmpfs -o size=1m,mode=700 none \"$1\" && exec \"$2\" \"$3\" --exact --nocapture";
    let done = Command::new("unshare")
        .args(MOUNTING)
        .args(["sh", "-c", script, "sh"])
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap())
        .arg(format!("drivers::local::tests::refused::{test}"))
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    assert!(String::from_utf8_lossy(&done.stdout).contains("1 passed"));
}

const MOUNTING: &[&str] = &["--user", "--map-root-user", "--mount"];

#[expect(clippy::disallowed_methods, reason = "a process is told by variables what to do")]
fn given_folder() -> Option<PathBuf> {
    std::env::var(FOLDER).ok().map(PathBuf::from)
}

fn home_in(folder: PathBuf, metadata: Metadata) -> Home {
    let config = LocalConfig { root: Some(folder), metadata, ..LocalConfig::default() };
    let local = Arc::new(Local::open(&config, Clock::system()).unwrap());
    Home { folder: Arc::new(tempfile::tempdir().unwrap()), local }
}

#[test]
fn a_full_file_system_refuses_and_keeps_what_it_has() {
    on_a_small_file_system("inside_a_full_file_system");
}

#[tokio::test]
async fn inside_a_full_file_system() {
    let Some(folder) = given_folder() else { return };
    for (metadata, name) in [(Metadata::Auto, "auto"), (Metadata::Sidecar, "sidecar")] {
        let home = home_in(folder.join(name), metadata);
        home.put("note", "before").await.unwrap();
        for condition in [Condition::Always, Condition::Absent] {
            let key = if condition == Condition::Absent { "new" } else { "note" };
            let refused = home.put_if(key, &"x".repeat(2 << 20), condition).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::QuotaExceeded, "{refused:?}");
            assert_eq!(refused.outcome(), Outcome::NotApplied);
        }
        assert_eq!(home.keys().await, ["note"]);
        assert_eq!(home.read("note").await.unwrap(), "before");
        assert!(home.head("note").await.unwrap().checksum.is_some());
        assert_eq!(home.own("tmp"), 0, "what did not fit is gone");

        let mut filler = fs::File::create(folder.join("filler")).unwrap();
        while std::io::Write::write(&mut filler, &[0; 4096]).is_ok() {}
        assert!(home.put("note", "after").await.is_err());
        assert_eq!(home.read("note").await.unwrap(), "before");
        let is_up = home.local.health().await.is_ok_and(|health| health.status == Status::Up);
        assert!(!is_up);
        home.delete("note", None).await.unwrap();
        drop(filler);
        fs::remove_file(folder.join("filler")).unwrap();
        assert_eq!(home.local.health().await.unwrap().status, Status::Up);
    }
}

#[test]
fn a_file_system_only_for_reading_is_read() {
    on_a_small_file_system("inside_a_file_system_only_for_reading");
}

#[tokio::test]
async fn inside_a_file_system_only_for_reading() {
    let Some(folder) = given_folder() else { return };
    let home = home_in(folder.clone(), Metadata::Auto);
    home.put("a/note", "text").await.unwrap();
    let remount = |how: &str| {
        let done = Command::new("mount").args(["-o", how]).arg(&folder).status().unwrap();
        assert!(done.success());
    };
    remount("remount,ro");
    for home in [home.clone(), home_in(folder.clone(), Metadata::Auto)] {
        assert_eq!(home.read("a/note").await.unwrap(), "text");
        assert_eq!(home.keys().await, ["a/note"]);
        for refused in [
            home.put("a/note", "new").await.unwrap_err(),
            home.put("b/note", "new").await.unwrap_err(),
            home.delete("a/note", None).await.unwrap_err(),
        ] {
            assert_eq!(refused.kind(), ErrorKind::PermissionDenied, "{refused:?}");
            assert_eq!(refused.outcome(), Outcome::NotApplied);
        }
    }
    assert!(home.local.health().await.is_err());
    let only_read = home_in(folder.clone(), Metadata::Auto).local;
    assert!(!only_read.capabilities().unwrap().has(capability::WRITE));
    assert_eq!(only_read.health().await.unwrap().status, Status::Up);
    only_read.init().await.unwrap();
    remount("remount,rw");
    home.put("a/note", "new").await.unwrap();
}

#[test]
fn what_belongs_to_somebody_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    // Where it was built, somebody else may not look.
    let (built, program) = (std::env::current_exe().unwrap(), folder.path().join("program"));
    fs::hard_link(&built, &program).or_else(|_| fs::copy(&built, &program).map(drop)).unwrap();
    let mut process = Command::new(program);
    process
        .current_dir(folder.path())
        .args(["drivers::local::tests::refused::as_somebody_who_may_little", "--exact"])
        .env(FOLDER, folder.path());
    // Nothing is forbidden to root, so it becomes nobody.
    if is_root() {
        process.uid(65_534).gid(65_534);
    }
    let done = process.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;

    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[tokio::test]
async fn as_somebody_who_may_little() {
    let Some(folder) = given_folder() else { return };
    let home = home_in(folder.join("root"), Metadata::Auto);
    home.put("open/note", "text").await.unwrap();
    home.put("shut/note", "text").await.unwrap();
    home.put("unreadable", "text").await.unwrap();
    let set = |key: &str, mode| {
        fs::set_permissions(home.path(key), Permissions::from_mode(mode)).unwrap();
    };
    set("shut", 0o500);
    set("unreadable", 0o000);

    let refused = home.put("shut/new", "text").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
    assert_eq!(refused.outcome(), Outcome::NotApplied);
    let refused = home.delete("shut/note", None).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
    assert_eq!(home.read("shut/note").await.unwrap(), "text");
    assert_eq!(home.own("tmp"), 0);

    assert_eq!(home.read("unreadable").await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(home.keys().await, ["open/note", "shut/note", "unreadable"]);
    home.put("unreadable", "may be replaced").await.unwrap();
    assert_eq!(home.read("unreadable").await.unwrap(), "may be replaced");

    set("shut", 0o000);
    assert_eq!(home.read("shut/note").await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(home.page(&all("shut/")).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(home.page(&all("open/")).await.unwrap().entries.len(), 1);
    set("shut", 0o700);
}

#[tokio::test]
async fn a_folder_that_is_gone_is_told_and_not_taken_for_an_empty_one() {
    let home = Home::new();
    home.put("note", "text").await.unwrap();
    fs::remove_dir_all(home.local.root()).unwrap();
    let refused = home.put("note", "text").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused:?}");
    assert!(home.local.health().await.is_err());
}
