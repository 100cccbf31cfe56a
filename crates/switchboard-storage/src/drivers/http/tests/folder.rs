//! The driver against a server of files that knows neither ranges nor tags: the one that comes with Python.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use switchboard_core::settings::ByteSize;
use tempfile::TempDir;

use super::*;

/// A folder on the web, as long as this lives.
struct Served {
    server: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Served {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Command::new("python3")
            .args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory"])
            .arg(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("there is a Python");
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        // Serving HTTP on 127.0.0.1 port 8000 (http://127.0.0.1:8000/) ...
        let port = line.split(" port ").nth(1).and_then(|rest| rest.split(' ').next());
        let port: u16 = port.and_then(|port| port.parse().ok()).expect("it says where it is");
        Self { server, address: ([127, 0, 0, 1], port).into(), folder }
    }

    /// A file that was changed long ago, and so many seconds after that.
    fn file(&self, name: &str, content: &[u8], seconds: u64) {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(LONG_AGO_S + seconds);
        File::options().write(true).open(&path).unwrap().set_modified(then).unwrap();
    }

    fn disk(&self) -> Http {
        made(&self.config()).unwrap()
    }

    fn config(&self) -> HttpDiskConfig {
        let base_url = Some(format!("http://{}/", self.address));
        HttpDiskConfig { base_url, ..HttpDiskConfig::default() }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[tokio::test]
async fn files_are_read_by_their_names_and_folders_are_none() {
    let served = Served::new();
    let disk = served.disk();
    for name in ["plain.txt", "a b", "50%", "%2e%2e", "ä/🗝", "a+b", "q?x=1#y", "a/b/c"] {
        served.file(name, name.as_bytes(), 0);
        assert_eq!(disk.head(key(name)).await.unwrap().size, name.len() as u64, "{name}");
        let fetched = disk.get(key(name), &Read::default()).await.unwrap().unwrap();
        assert_eq!(fetched.body.collect(99).await.unwrap(), name.as_bytes());
    }
    assert_eq!(
        disk.head(key("plain.txt")).await.unwrap().attributes.content_type.unwrap(),
        "text/plain"
    );
    for nothing in ["nothing", "a", "a/b", "plain.txt/beneath"] {
        let looked = disk.head(key(nothing)).await.unwrap_err();
        assert_eq!(looked.kind(), ErrorKind::NotFound, "{nothing}");
        let read = disk.get(key(nothing), &Read::default()).await.unwrap_err();
        assert_eq!(read.kind(), ErrorKind::NotFound, "{nothing}");
    }
    assert_eq!(disk.health().await.unwrap(), Health::up());
}

#[tokio::test]
async fn parts_of_objects_are_cut_out_of_whole_ones_and_not_from_further_than_was_said() {
    let served = Served::new();
    let content: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    served.file("k", &content, 0);
    let disk = served.disk();
    for (asked, wanted) in [
        (ByteRange::Span(0..1), 0..1),
        (ByteRange::Span(250_000..250_010), 250_000..250_010),
        (ByteRange::Span(299_999..400_000), 299_999..300_000),
        (ByteRange::From(100_000), 100_000..300_000),
        (ByteRange::Last(7), 299_993..300_000),
        (ByteRange::Last(u64::MAX), 0..300_000),
    ] {
        let fetched = disk.get(key("k"), &range(asked.clone())).await.unwrap().unwrap();
        assert_eq!((fetched.meta.size, &fetched.range), (300_000, &wanted), "{asked:?}");
        let bytes = fetched.body.collect(1 << 20).await.unwrap();
        let at = |at: u64| usize::try_from(at).unwrap();
        assert!(bytes == content[at(wanted.start)..at(wanted.end)], "{asked:?}");
    }
    let beyond = disk.get(key("k"), &range(300_000..300_001)).await.unwrap_err();
    assert_eq!(beyond.kind(), ErrorKind::InvalidInput);
    served.file("empty", b"", 0);
    let empty = disk.get(key("empty"), &range(0..1)).await.unwrap_err();
    assert_eq!(empty.kind(), ErrorKind::InvalidInput);
    assert_eq!(disk.head(key("empty")).await.unwrap().size, 0);

    let strict = HttpDiskConfig { skip_max: ByteSize(1_000), ..served.config() };
    let strict = made(&strict).unwrap();
    assert_eq!(read(&strict, &range(1_000..1_002)).await.unwrap(), content[1_000..1_002]);
    let far = strict.get(key("k"), &range(1_001..1_002)).await.unwrap_err();
    assert_eq!(
        (far.kind(), far.context_value("skip_bytes")),
        (ErrorKind::Unsupported, Some("1001"))
    );
}

#[tokio::test]
async fn a_file_is_told_from_the_one_after_it_by_when_it_was_changed() {
    let served = Served::new();
    served.file("k", b"first", 0);
    let disk = served.disk();
    let first = disk.head(key("k")).await.unwrap();
    assert_eq!(disk.head(key("k")).await.unwrap(), first);
    let same = only(first.version.as_str());
    assert_eq!(read(&disk, &same).await.unwrap(), "first");
    assert_eq!(
        read(&disk, &Read { range: Some((1..3).into()), ..same.clone() }).await.unwrap(),
        "ir"
    );
    let unless = Read { unless: Some(first.version.clone()), ..Read::default() };
    let since = Read { since: Some(first.modified), ..Read::default() };
    for unchanged in [&unless, &since] {
        assert!(disk.get(key("k"), unchanged).await.unwrap().is_none(), "{unchanged:?}");
    }
    // Also one that was put back, and is older.
    for seconds in [2, 1_800, 1] {
        served.file("k", b"other", seconds);
        for replaced in [same.clone(), Read { range: Some((1..3).into()), ..same.clone() }] {
            let error = disk.get(key("k"), &replaced).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PreconditionFailed, "{seconds}");
        }
        assert_eq!(read(&disk, &unless).await.unwrap(), "other");
        assert_eq!(read(&disk, &since).await.unwrap(), "other");
    }
    served.file("k", b"other", 0);
    let other = disk.head(key("k")).await.unwrap().version;
    assert_eq!(other, first.version, "what looks alike in every way is taken for the same");
    served.file("k", b"longer", 0);
    assert_ne!(disk.head(key("k")).await.unwrap().version, first.version);
}

#[tokio::test]
async fn a_file_that_may_be_changed_again_within_the_second_has_no_version_to_ask_for() {
    let served = Served::new();
    // Whatever the clock says, the answer is not later.
    served.file("k", b"fresh", YEARS_S);
    let disk = served.disk();
    let first = disk.head(key("k")).await.unwrap();
    assert_ne!(disk.head(key("k")).await.unwrap().version, first.version);
    let error = disk.get(key("k"), &only(first.version.as_str())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
    let unless = Read { unless: Some(first.version), ..Read::default() };
    assert_eq!(read(&disk, &unless).await.unwrap(), "fresh");
}

#[tokio::test]
async fn an_application_reads_a_folder_of_the_web_like_any_disk() {
    let served = Served::new();
    served.file("reports/1.txt", b"one", 0);
    let (_disks, disk) = disk(served.address).await;
    assert_eq!(disk.read("reports/1.txt").await.unwrap(), "one");
    assert!(disk.exists("reports/1.txt").await.unwrap());
    assert!(!disk.scope("reports").unwrap().exists("2.txt").await.unwrap());
    assert_eq!(disk.get("reports/1.txt").last(2).await.unwrap().text(9).await.unwrap(), "ne");
    for refused in [
        disk.put("new", "…").await.unwrap_err(),
        disk.delete("reports/1.txt").await.unwrap_err(),
        disk.list("").entries().try_next().await.unwrap_err(),
    ] {
        assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused:?}");
    }
}

/// In November 2023.
const LONG_AGO_S: u64 = 1_700_000_000;
/// About eighty of them.
const YEARS_S: u64 = 2_500_000_000;
