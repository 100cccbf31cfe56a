//! The shop as a newcomer meets it: started, swapped by editing its file, stopped.

#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// The running shop, which goes with the test, and its folder with it.
struct Shop {
    child: Child,
    folder: PathBuf,
}

impl Shop {
    fn start(name: &str) -> (Self, impl Iterator<Item = String>) {
        let folder = std::env::temp_dir().join(format!("shop-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("switchboard.toml");
        std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/switchboard.toml"), &file).unwrap();
        let shop =
            Command::new(env!("CARGO_BIN_EXE_shop")).arg(&file).stdout(Stdio::piped()).spawn();
        let mut child = shop.unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        (Self { child, folder }, lines)
    }

    fn edit(&self, from: &str, to: &str) {
        let file = self.folder.join("switchboard.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(file, text.replacen(from, to, 1)).unwrap();
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

/// The first line that says `what`; every line on the way to it has no failed call.
fn until(lines: &mut impl Iterator<Item = String>, what: &str) -> String {
    for line in lines {
        assert!(!line.contains("calls") || line.contains(" 0 failed"), "{line}");
        if line.contains(what) {
            return line;
        }
    }
    panic!("it ended without saying {what:?}");
}

#[test]
fn the_cache_is_swapped_by_editing_the_file_and_no_call_fails() {
    let (shop, mut lines) = Shop::start("swap");
    until(&mut lines, "driver memory, generation 1");
    shop.edit("driver = \"memory\"\nmax_entries = 100_000", "driver = \"null\"");
    until(&mut lines, "reload by file watcher: ok");
    until(&mut lines, "driver null, generation 2");
}

#[cfg(unix)]
#[test]
fn a_hangup_reads_the_file_again() {
    let (shop, mut lines) = Shop::start("hangup");
    until(&mut lines, "driver memory, generation 1");
    let sent = Command::new("kill").args(["-HUP", &shop.child.id().to_string()]).status();
    assert!(sent.unwrap().success());
    until(&mut lines, "reload by SIGHUP: ok");
    until(&mut lines, "driver memory, generation 1");
}

#[test]
fn a_mistake_in_the_file_changes_nothing() {
    let (shop, mut lines) = Shop::start("mistake");
    until(&mut lines, "driver memory, generation 1");
    shop.edit("driver = \"memory\"", "driver = \"memry\"");
    until(&mut lines, "reload by file watcher: ");
    until(&mut lines, "driver memory, generation 1");
}
