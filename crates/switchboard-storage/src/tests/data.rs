//! A disk has other objects only if somebody asks for that.

use switchboard_core::{Environment, Manager, Registry, Settings};

use crate::Disks;

fn disks() -> Manager<Disks> {
    Manager::new(Registry::with_built_ins().unwrap(), &Environment::new()).unwrap()
}

fn with(driver: &str, key: &'static str, value: &str) -> Settings {
    Settings::new().with("driver", driver).with(key, value)
}

#[cfg(feature = "local")]
#[tokio::test]
async fn a_disk_is_not_swapped_to_another_folder_unless_that_is_asked_for() {
    let temp = tempfile::tempdir().unwrap();
    let folder = |name| with("local", "root", temp.path().join(name).to_str().unwrap());
    let disks = disks();
    disks.configure("main", &folder("a")).unwrap();
    let disk = disks.get("main").await.unwrap();
    disk.put("key", "here").await.unwrap();

    for other in
        [folder("b"), folder("a").with("prefix", "sub"), with("memory", "max_bytes", "1MiB")]
    {
        let refused = disks.swap("main", &other).await.map(drop).unwrap_err();
        assert_eq!(refused.kind(), switchboard_core::ErrorKind::Config, "{refused}");
    }
    assert!(!temp.path().join("b").exists(), "nothing is made for what is refused");
    disks
        .swap("main", &folder("a").with("durability", "none"))
        .await
        .unwrap()
        .closed()
        .await
        .unwrap();
    assert_eq!(disk.read("key").await.unwrap(), "here");

    let data = format!("local root={}", temp.path().join("a").display());
    disks.swap("main", &folder("b").with("replaces", data)).await.unwrap().closed().await.unwrap();
    assert!(!disk.exists("key").await.unwrap());
}

#[cfg(all(feature = "local", unix))]
#[tokio::test]
async fn a_folder_is_the_same_however_it_is_written() {
    let temp = tempfile::tempdir().unwrap();
    let path = |name: &str| temp.path().join(name).to_str().unwrap().to_owned();
    let root = |name| with("local", "root", &path(name));
    std::os::unix::fs::symlink(temp.path().join("a"), temp.path().join("link")).unwrap();
    let disks = disks();
    disks.configure("main", &root("a")).unwrap();
    let disk = disks.get("main").await.unwrap();
    disk.put("key", "here").await.unwrap();

    let url = with("local", "url", &format!("file://{}", path("a")));
    for same in [root("./a"), root("a/"), root("link"), url, root("a")] {
        disks.swap("main", &same).await.unwrap().closed().await.unwrap();
        assert_eq!(disk.read("key").await.unwrap(), "here");
    }
    for other in [root("a").with("prefix", "sub"), root("a/b"), root("link/b")] {
        let refused = disks.swap("main", &other).await.map(drop).unwrap_err();
        assert_eq!(
            refused.context_value("data"),
            Some(format!("local root={}", path("a")).as_str())
        );
    }
}

#[tokio::test]
async fn every_driver_that_keeps_objects_says_which() {
    let disks = disks();
    let beneath = |driver| (driver, with(driver, "disk", "one"), with(driver, "disk", "two"));
    #[cfg(feature = "cloud")]
    let bucket = |driver, key| (driver, with(driver, key, "one"), with(driver, key, "two"));
    let part = |name: &str| with("prefix", "disk", "one").with("prefix", name);
    let pairs = [
        beneath("read_only"),
        ("prefix", part("a"), part("b")),
        #[cfg(feature = "cached")]
        beneath("cached"),
        #[cfg(feature = "s3")]
        bucket("s3", "bucket"),
        #[cfg(feature = "gcs")]
        bucket("gcs", "bucket"),
        #[cfg(feature = "azure")]
        bucket("azure", "container"),
        #[cfg(feature = "http")]
        (
            "http",
            with("http", "base_url", "http://127.0.0.1/one"),
            with("http", "base_url", "http://127.0.0.1/two"),
        ),
    ];
    for (name, one, other) in pairs {
        disks.configure(name, &one).unwrap();
        let mut change = disks.change();
        change.put(name, &one);
        change.check().unwrap();
        change.put(name, &other);
        let refused = change.check().unwrap_err();
        assert!(refused.to_string().contains("replaces"), "{name}: {refused}");
    }
}
