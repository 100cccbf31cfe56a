//! Programs of this machine: where they are, and how one runs.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the program `name` is, if anywhere.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Servers are often where only root's path leads.
    let servers = ["/usr/local/sbin", "/usr/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(servers)
        .chain(hidden_folders())
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

/// Where Debian puts servers that may be there in several versions, the newest first.
fn hidden_folders() -> Vec<PathBuf> {
    let Ok(versions) = fs::read_dir("/usr/lib/postgresql") else { return Vec::new() };
    let mut versions: Vec<_> = versions.flatten().map(|version| version.path()).collect();
    versions.sort_by_key(|version| std::cmp::Reverse(number_of(version)));
    versions.into_iter().map(|version| version.join("bin")).collect()
}

fn number_of(version: &Path) -> u32 {
    version.file_name().and_then(|name| name.to_str()?.parse().ok()).unwrap_or_default()
}

/// Where programs are kept that no package of the system brings: in the folder that cargo builds in, which is
/// thrown away as a whole.
pub(crate) fn kept_folder() -> io::Result<PathBuf> {
    let program = env::current_exe()?;
    let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    let target = target.ok_or_else(|| io::Error::other("this command was not built by cargo"))?;
    let folder = target.join("services");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Runs it to its end with `input`. What it wrote is in the error.
pub(crate) fn run(command: &mut Command, input: &str) -> io::Result<()> {
    let program = command.get_program().display().to_string();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| io::Error::other(format!("`{program}` could not be started: {error}")))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends before it has read this says why in what it writes.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told).trim().to_owned();
    Err(io::Error::other(format!("`{program}` failed ({}): {told}", output.status)))
}

/// Who runs a server: whoever called us, but never root, whom servers refuse to run as.
#[derive(Debug)]
pub(crate) struct User(Option<Ids>);

#[derive(Debug)]
struct Ids {
    user: String,
    group: String,
}

impl User {
    /// The caller. For root the user `name`, which the package of the server brings, else nobody.
    pub(crate) fn lowered_to(name: &str) -> io::Result<Self> {
        if !is_root() {
            return Ok(Self(None));
        }
        let ids = Ids::of(name).or_else(|| Ids::of("nobody"));
        let none = || io::Error::other(format!("there is neither a user {name} nor nobody"));
        Ok(Self(Some(ids.ok_or_else(none)?)))
    }

    /// A call of `program` in the place of this user.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let Some(Ids { user, group }) = &self.0 else { return Command::new(program) };
        let mut command = Command::new("setpriv");
        // Becomes the program instead of starting it, so that signals reach the server.
        command.arg(format!("--reuid={user}")).arg(format!("--regid={group}"));
        command.arg("--clear-groups").arg(program);
        command
    }

    /// Gives the folder, and all that is in it, to this user.
    pub(crate) fn own(&self, folder: &Path) -> io::Result<()> {
        let Some(Ids { user, group }) = &self.0 else { return Ok(()) };
        run(Command::new("chown").args(["-R", &format!("{user}:{group}")]).arg(folder), "")
    }
}

impl Ids {
    fn of(name: &str) -> Option<Self> {
        Some(Self { user: id(&["-u", name])?, group: id(&["-g", name])? })
    }
}

/// Whether this command runs as root.
pub(crate) fn is_root() -> bool {
    id(&["-u"]).is_some_and(|user| user == "0")
}

fn id(arguments: &[&str]) -> Option<String> {
    let output = Command::new("id").args(arguments).output().ok()?;
    let number = output.status.success().then_some(output.stdout)?;
    Some(String::from_utf8(number).ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_several_versions_is_found_first() {
        let mut versions = ["/x/9", "/x/15", "/x/doc", "/x/17"].map(Path::new);
        versions.sort_by_key(|version| std::cmp::Reverse(number_of(version)));
        assert_eq!(versions, ["/x/17", "/x/15", "/x/9", "/x/doc"].map(Path::new));
    }

    #[test]
    fn a_program_that_fails_says_what_it_wrote() {
        let mut command = Command::new("sh");
        let error = run(command.args(["-c", "cat; echo no >&2; exit 3"]), "given ").unwrap_err();
        assert!(error.to_string().ends_with("given no"), "{error}");
    }

    #[test]
    fn a_program_that_does_not_read_its_input_may_succeed() {
        run(&mut Command::new("true"), &"x".repeat(1_000_000)).unwrap();
    }

    #[test]
    fn a_server_is_never_run_as_root() {
        let user = User::lowered_to("switchboard-no-such-user").unwrap();
        let output = user.command(Path::new("id")).arg("-u").output().unwrap();
        assert_ne!(String::from_utf8_lossy(&output.stdout).trim(), "0");
        assert!(output.status.success());
    }
}
