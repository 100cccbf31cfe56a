//! What can be said of disks.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::{NonEmptyStringValueParser, OsStringValueParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum};

use super::{TimeToLive, time_to_live};

/// All of it happens over a disk of the command's own, as the configuration describes it, whether a board is
/// running or not. Where a running board has another one by now, a note says so.
#[derive(Debug, Subcommand)]
pub(crate) enum Disk {
    /// List the objects whose keys begin with a text
    ///
    /// In JSON each line is one object: `{"key":…,"size":…,"modified":…,"version":…}`.
    Ls(DiskList),
    /// Write an object to a file or to stdout
    ///
    /// A file appears whole, or not at all. What goes to stdout are the bytes of the object in every format;
    /// whether all of them were right is known at their end, and in the exit code.
    Get(DiskGet),
    /// Store a file, or what comes in on stdin
    Put(DiskPut),
    /// Copy objects, within a disk or to another one
    Cp(DiskCopy),
    /// Move objects, within a disk or to another one
    ///
    /// An object that goes to another disk is removed when it is there, unless it became another one meanwhile.
    Mv(DiskCopy),
    /// Remove objects; that nothing is under a key is fine
    Rm(DiskRemove),
    /// Show what is known of an object
    Stat(DiskKey),
    /// Sign an address under which somebody else can use an object for a time
    Url(DiskUrl),
    /// Remove what writers that are gone have left and nobody can see: unfinished uploads, and files on their way
    Sweep(DiskSweep),
    /// Copy what is missing or differs, between disks or between a disk and a folder
    ///
    /// Objects of the same size are compared by their checksums where both sides have one, else what was
    /// changed later counts. What is done already is not done again, so that it can be stopped at any time.
    /// Symbolic links in folders are left out, and names that are no text in UTF-8.
    Sync(DiskSync),
}

#[derive(Args, Debug)]
pub(crate) struct DiskKey {
    /// The disk: main, or storage.main
    pub(crate) disk: String,
    /// The key of the object
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) key: String,
}

#[derive(Args, Debug)]
pub(crate) struct DiskList {
    /// The disk: main, or storage.main
    pub(crate) disk: String,
    /// What keys begin with: a text, so that `a` begins `ab` as well
    #[arg(default_value = "")]
    pub(crate) prefix: String,
    /// Keys that go on after the next `/` count as one
    #[arg(long)]
    pub(crate) flat: bool,
}

#[derive(Args, Debug)]
pub(crate) struct DiskGet {
    #[command(flatten)]
    pub(crate) at: DiskKey,
    /// Where the object goes; - is stdout
    #[arg(default_value = "-")]
    pub(crate) file: PathBuf,
    /// Keep what has come where it breaks off, in a hidden file beside FILE, and go on from there
    #[arg(long)]
    pub(crate) resume: bool,
}

#[derive(Args, Debug)]
pub(crate) struct DiskPut {
    #[command(flatten)]
    pub(crate) at: DiskKey,
    /// The file to store; - is stdin
    pub(crate) file: PathBuf,
    /// What kind of content it is, which is else found out from the key and the first bytes
    #[arg(long, value_name = "TYPE")]
    pub(crate) content_type: Option<String>,
    /// One more thing that is said of it
    #[arg(long, value_name = "NAME=VALUE", value_parser = metadata)]
    pub(crate) metadata: Vec<(String, String)>,
    /// Only where nothing is
    #[arg(long)]
    pub(crate) if_absent: bool,
    /// Keep what is stored where it breaks off, and go on from there, unless FILE was changed meanwhile
    #[arg(long)]
    pub(crate) resume: bool,
}

#[derive(Args, Debug)]
pub(crate) struct DiskCopy {
    /// What is there: DISK:KEY, like main:photos/cat.jpg
    #[arg(value_parser = on_a_disk)]
    pub(crate) from: OnDisk,
    /// Where it goes: DISK:KEY; what ends with `:` or `/` is a folder that it keeps its name in
    #[arg(value_parser = on_a_disk)]
    pub(crate) to: OnDisk,
    /// All that is beneath FROM goes beneath TO
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Only where nothing is
    #[arg(long)]
    pub(crate) if_absent: bool,
}

#[derive(Args, Debug)]
pub(crate) struct DiskRemove {
    /// The disk: main, or storage.main
    pub(crate) disk: String,
    /// The keys of the objects
    #[arg(
        required_unless_present_any = ["recursive", "prefix", "all", "dry_run"],
        conflicts_with_all = ["recursive", "prefix", "all", "dry_run"],
    )]
    pub(crate) keys: Vec<String>,
    /// All whose keys begin with this: a text, so that `a` begins `ab` as well
    #[arg(long, requires = "recursive")]
    pub(crate) prefix: Option<String>,
    /// All that begin with the prefix
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Yes, everything on the disk, where there is no prefix
    #[arg(long, requires = "recursive", conflicts_with = "prefix")]
    pub(crate) all: bool,
    /// Only tell what would be removed
    #[arg(long, requires = "recursive")]
    pub(crate) dry_run: bool,
}

#[derive(Args, Debug)]
pub(crate) struct DiskSweep {
    /// The disk: main, or storage.main
    pub(crate) disk: String,
    /// Only what is older than that, like 24h: what is younger may still be wanted
    #[arg(long, value_name = "AGE", value_parser = time_to_live)]
    pub(crate) older: TimeToLive,
}

#[derive(Args, Debug)]
pub(crate) struct DiskUrl {
    #[command(flatten)]
    pub(crate) at: DiskKey,
    /// How long it can be used, like 5m
    #[arg(long, value_parser = time_to_live, default_value = "5m")]
    pub(crate) ttl: TimeToLive,
    /// What can be done there
    #[arg(long, value_enum, default_value_t)]
    pub(crate) method: UrlMethod,
    /// The name that browsers keep it under
    #[arg(long, value_name = "NAME")]
    pub(crate) attachment: Option<String>,
    /// The kind of content that must be stored there
    #[arg(long, value_name = "TYPE")]
    pub(crate) content_type: Option<String>,
}

/// What can be done under an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum UrlMethod {
    #[default]
    Get,
    Head,
    Put,
    Delete,
}

#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each of them is a flag that is said or not")]
pub(crate) struct DiskSync {
    /// What is copied: DISK:FOLDER/, or a folder of this machine
    #[arg(value_parser = side())]
    pub(crate) from: Side,
    /// Where it goes: DISK:FOLDER/, or a folder of this machine; one with a `:` is written like ./a:b
    #[arg(value_parser = side())]
    pub(crate) to: Side,
    /// Remove there what is not here; after a failure nothing is removed
    #[arg(long)]
    pub(crate) delete: bool,
    /// Remove it although something could not be copied
    #[arg(long, requires = "delete")]
    pub(crate) ignore_errors: bool,
    /// Read objects of the same size whose checksum their disk does not know, and compare their bytes
    #[arg(long)]
    pub(crate) checksum: bool,
    /// Only tell what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// An object, or a folder, on a disk: `main:photos/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OnDisk {
    pub(crate) disk: String,
    pub(crate) key: String,
}

impl OnDisk {
    /// What the keys of all begin with that is beneath: nothing, or something with a `/` at its end.
    pub(crate) fn prefix(&self) -> String {
        match self.key.as_str() {
            "" => String::new(),
            key if key.ends_with('/') => key.to_owned(),
            key => format!("{key}/"),
        }
    }
}

/// One side of `disk sync`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Disk(OnDisk),
    Folder(PathBuf),
}

impl Side {
    fn read(text: &OsStr) -> Result<Self, String> {
        match text.to_str().map(on_a_disk) {
            Some(Ok(place)) => Ok(Self::Disk(place)),
            _ if text.is_empty() => Err("write a folder, or DISK:FOLDER/".to_owned()),
            _ => Ok(Self::Folder(text.into())),
        }
    }
}

fn side() -> impl TypedValueParser<Value = Side> {
    OsStringValueParser::new().try_map(|text: OsString| Side::read(&text))
}

/// What stands before the first `:` is a disk, unless it has a `/` and so is a path.
fn on_a_disk(text: &str) -> Result<OnDisk, String> {
    match text.split_once(':') {
        Some((disk, key)) if !disk.is_empty() && !disk.contains('/') => {
            Ok(OnDisk { disk: disk.to_owned(), key: key.to_owned() })
        }
        _ => Err("write it like main:photos/cat.jpg".to_owned()),
    }
}

fn metadata(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it like author=Ada".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_stands_before_the_first_colon_and_a_path_has_a_slash_there() {
        let on = |disk: &str, key: &str| Side::Disk(OnDisk { disk: disk.into(), key: key.into() });
        for (text, side) in [
            ("main:a/b", on("main", "a/b")),
            ("storage.main:", on("storage.main", "")),
            ("main:a:b", on("main", "a:b")),
            ("photos", Side::Folder("photos".into())),
            ("./a:b", Side::Folder("./a:b".into())),
            (":a", Side::Folder(":a".into())),
        ] {
            assert_eq!(Side::read(OsStr::new(text)), Ok(side), "{text}");
        }
        assert!(Side::read(OsStr::new("")).is_err());
    }
}
