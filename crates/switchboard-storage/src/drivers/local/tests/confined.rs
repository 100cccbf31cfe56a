//! Whatever a key says, and whoever swaps what is on its way: nothing outside is read, written or removed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use switchboard_core::{ErrorKind, Result};

use super::super::Symlinks;
use super::*;
use crate::{Part, UploadId};

const SECRET: &str = "nobody may read this";

/// A folder beside the root with a file that must stay what it is.
fn canary(home: &Home) -> PathBuf {
    let outside = home.outside();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), SECRET).unwrap();
    outside
}

fn check_canary(outside: &Path) {
    assert_eq!(fs::read_to_string(outside.join("secret")).unwrap(), SECRET);
    assert_eq!(fs::read_dir(outside).unwrap().count(), 1, "nothing else came");
}

fn within() -> Home {
    Home::with(LocalConfig { symlinks: Symlinks::Within, ..LocalConfig::default() })
}

/// Everything that can be done with a key; what was read, if anything.
async fn try_everything(home: &Home, key: Key<'_>) -> Vec<Result<Option<String>>> {
    let own = Key::parse("own").unwrap();
    let local = &home.local;
    let read = &Read::default();
    let put = |condition| Write { condition, ..Write::default() };
    let body = match local.get(key, read).await {
        Ok(Some(fetched)) => fetched.body.collect(1000).await,
        Ok(None) => unreachable!(),
        Err(error) => Err(error),
    };
    let mut tried = vec![
        body.map(|body| Some(String::from_utf8_lossy(&body).into_owned())),
        local.head(key).await.map(|_| None),
        local.delete(key, None).await.map(|_| None),
        local.delete(key, Some(&Version::new("none"))).await.map(|_| None),
        local.delete_many(&[key]).await.and_then(|mut all| all.remove(0)).map(|_| None),
    ];
    for condition in [Condition::Always, Condition::Absent, Condition::Version(Version::new("x"))] {
        home.put("own", "own").await.unwrap();
        tried.push(local.put(key, "mine".into(), &put(condition.clone())).await.map(|_| None));
        tried.push(local.copy(own, key, &condition).await.map(|_| None));
        tried.push(local.rename(own, key, &condition).await.map(|_| None));
        home.put("own", "own").await.unwrap();
        tried.push(local.copy(key, own, &condition).await.map(|_| None));
        tried.push(local.rename(key, own, &condition).await.map(|_| None));
        tried.push(home.read("own").await.map(Some));
    }
    if let Ok(upload) = local.begin(key, &Write::default()).await {
        tried.push(upload_to(home, key, &upload).await.map(|_| None));
    }
    tried
}

async fn upload_to(home: &Home, key: Key<'_>, upload: &UploadId) -> Result<Stored> {
    let part = Part { number: 0, size: 4, checksum: Checksum::of(b"mine") };
    let tag = home.local.part(key, upload, part, "mine".into()).await?;
    home.local.complete(key, upload, &[tag], &Write::default()).await
}

#[tokio::test]
async fn links_that_lead_outside_lead_nowhere() {
    for home in [Home::new(), Home::by_segment(), within()] {
        let outside = canary(&home);
        fs::create_dir(home.path("dir")).unwrap();
        let links = [
            ("absolute", outside.clone()),
            ("relative", PathBuf::from("../outside")),
            ("dir/up", PathBuf::from("../../outside")),
            ("dir/proc", PathBuf::from("/proc/self/cwd")),
        ];
        for (link, target) in links {
            symlink(target, home.path(link)).unwrap();
        }
        symlink(outside.join("secret"), home.path("file")).unwrap();
        symlink("/dev/null", home.path("device")).unwrap();
        for key in [
            "absolute/secret",
            "relative/secret",
            "dir/up/secret",
            "dir/proc/secret",
            "absolute/new/secret",
            "relative",
            "file/x",
        ] {
            for tried in try_everything(&home, Key::parse(key).unwrap()).await {
                if let Ok(Some(read)) = tried {
                    assert_eq!(read, "own", "{key}");
                }
            }
            for prefix in [key, &format!("{key}/"), "", "../", "/", "../outside/", "dir/up/"] {
                for is_flat in [true, false] {
                    let page = home.page(&List { is_flat, ..all(prefix) }).await.unwrap();
                    let entries = page.entries.iter().map(|entry| &entry.key);
                    let secrets = entries
                        .chain(&page.prefixes)
                        .filter(|key| key.contains("secret") || key.contains("outside"));
                    assert_eq!(secrets.count(), 0, "{prefix}: {page:?}");
                }
            }
            check_canary(&outside);
        }
        for key in ["absolute/secret", "file", "dir/up/secret"] {
            let refused = home.head(key).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::PermissionDenied, "{key}: {refused:?}");
        }
        home.local.sweep(Duration::ZERO).await.unwrap();
        check_canary(&outside);
    }
}

#[tokio::test]
async fn what_the_disk_keeps_for_itself_is_under_no_key() {
    let home = Home::new();
    home.put("own", "own").await.unwrap();
    for key in [".switchboard", ".switchboard/tmp/x", ".switchboard/uploads/x/data"] {
        for tried in try_everything(&home, Key::parse(key).unwrap()).await {
            match tried {
                Ok(read) => assert_eq!(read.as_deref(), Some("own")),
                Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:?}"),
            }
        }
        assert!(home.page(&all(key)).await.unwrap().entries.is_empty());
    }
    assert_eq!(home.keys().await, ["own"]);
    home.put("dir/.switchboard", "only the first segment is").await.unwrap();
}

#[tokio::test]
async fn a_segment_that_is_no_file_name_is_refused_with_the_limit() {
    let home = Home::new();
    let fits = format!("a/{}/b", "x".repeat(255));
    home.put(&fits, "text").await.unwrap();
    assert_eq!(home.keys().await, [fits]);
    let long = format!("a/{}", "ä".repeat(128));
    for refused in [
        home.put(&long, "text").await.unwrap_err(),
        home.head(&long).await.unwrap_err(),
        home.delete(&long, None).await.unwrap_err(),
    ] {
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        assert_eq!(refused.context_value("segment_bytes"), Some("256"));
        assert_eq!(refused.context_value("segment_bytes_max"), Some("255"));
    }
    assert!(home.page(&all(&format!("{long}/"))).await.unwrap().entries.is_empty());
}

#[tokio::test]
async fn links_that_stay_beneath_are_followed_where_that_is_wanted() {
    let home = within();
    home.put("real/note", "text").await.unwrap();
    symlink("real", home.path("dir")).unwrap();
    symlink("../real/note", home.path("real/again")).unwrap();
    symlink("..", home.path("real/circle")).unwrap();
    assert_eq!(home.read("dir/note").await.unwrap(), "text");
    assert_eq!(home.read("dir/again").await.unwrap(), "text");
    assert_eq!(home.keys().await, ["dir/again", "dir/note", "real/again", "real/note"]);

    home.put("dir/new", "beneath").await.unwrap();
    assert_eq!(home.read("real/new").await.unwrap(), "beneath");
    let version = home.head("real/again").await.unwrap().version;
    home.put_if("real/again", "no link", Condition::Version(version)).await.unwrap();
    assert_eq!(home.read("real/note").await.unwrap(), "text");
    assert_eq!(home.read("real/again").await.unwrap(), "no link");
    assert!(home.delete("dir/note", None).await.unwrap());
    assert!(home.head("real/note").await.is_err());
}

#[tokio::test]
async fn the_root_itself_may_be_a_link() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("real")).unwrap();
    symlink("real", folder.path().join("link")).unwrap();
    let config = LocalConfig { root: Some(folder.path().join("link")), ..LocalConfig::default() };
    let local = Arc::new(Local::open(&config, Clock::system()).unwrap());
    let home = Home { folder: Arc::new(folder), local };
    home.put("note", "text").await.unwrap();
    assert_eq!(fs::read_to_string(home.folder.path().join("real/note")).unwrap(), "text");
}

/// A directory and a link that leads outside change places all the time, while everything that can be done
/// is done with a key that goes through it.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_outside_by_swapping_directories_and_links() {
    for (home, inside) in [
        (Home::new(), "inside"),
        (Home::by_segment(), "inside"),
        (within(), "inside"),
        (within(), "in/side"),
    ] {
        let outside = canary(&home);
        fs::create_dir_all(home.path(inside)).unwrap();
        let up = "../".repeat(inside.split('/').count());
        let (directory, link) = (home.path(inside), home.outside().with_file_name("link"));
        symlink(format!("{up}outside"), &link).unwrap();

        let is_over = Arc::new(AtomicBool::new(false));
        let swapping = tokio::task::spawn_blocking({
            let is_over = is_over.clone();
            move || {
                let mut swaps = 0_u64;
                while !is_over.load(Ordering::Relaxed) {
                    // A put may have made a directory in the place of one that went.
                    swaps += u64::from(
                        renameat_with(CWD, &directory, CWD, &link, RenameFlags::EXCHANGE).is_ok(),
                    );
                }
                swaps
            }
        });
        let key = format!("{inside}/secret");
        let mut denied = 0;
        for _ in 0..10 {
            for tried in try_everything(&home, Key::parse(&key).unwrap()).await {
                match tried {
                    Ok(Some(read)) => assert_ne!(read, SECRET),
                    Ok(None) => {}
                    Err(error) => denied += u32::from(error.kind() == ErrorKind::PermissionDenied),
                }
            }
            let page = home.page(&all(&format!("{inside}/"))).await.unwrap();
            for entry in page.entries {
                assert_ne!(entry.size, SECRET.len() as u64);
            }
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(swapping.await.unwrap() > 0);
        assert!(denied > 0, "the link was met");
        check_canary(&outside);
    }
}
