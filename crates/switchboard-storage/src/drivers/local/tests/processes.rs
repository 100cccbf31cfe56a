//! Two processes with the same folder.

use std::process::{Child, Command, Stdio};

use super::racing::increment;
use super::*;

const FOLDER: &str = "SWITCHBOARD_TEST_SHARED_FOLDER";
const TIMES: u32 = 100;

/// One of the processes: it does nothing unless the test below starts it.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "a process is told by variables what to do")]
async fn one_of_the_processes() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let config = LocalConfig { root: Some(folder.into()), ..LocalConfig::default() };
    let local = Arc::new(Local::open(&config, Clock::system()).unwrap());
    let home = Home { folder: Arc::new(tempfile::tempdir().unwrap()), local };
    let created = home.put_if("first", "mine", Condition::Absent).await;
    if created.is_ok() {
        home.put_if(&format!("won/{}", std::process::id()), "", Condition::Absent).await.unwrap();
    }
    tokio::join!(increment(&home, TIMES), increment(&home, TIMES));
}

#[tokio::test]
async fn processes_that_race_lose_nothing_and_create_nothing_twice() {
    let home = Home::new();
    home.put("counter", "0").await.unwrap();
    let processes: Vec<_> = (0..3).map(|_| process(home.local.root())).collect();
    for mut process in processes {
        assert!(process.wait().unwrap().success());
    }
    assert_eq!(home.read("counter").await.unwrap(), (3 * 2 * TIMES).to_string());
    let won = home.page(&all("won/")).await.unwrap();
    assert_eq!(won.entries.len(), 1, "one created it");
}

/// Starts this test program once more, for one of its tests.
fn process(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["drivers::local::tests::processes::one_of_the_processes", "--exact"])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}
