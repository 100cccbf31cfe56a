//! What writers that are gone have left: files on their way, parts of objects, and what was said of files
//! that are not there any more.
//!
//! Whoever is at work holds the lock of what he writes, so nothing is taken from under anybody.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::time::{Duration, SystemTime};

use rustix::fs::FileType;
use switchboard_core::Result;

use super::errors::{before, is_missing};
use super::folder::{Folder, TEMP, entries};
use super::root::{OWN, Place};
use super::side::{Keeping, SIDES, side_file, split};
use super::upload::{DATA, UPLOADS};

impl Folder {
    /// Removes what is older than `age` and nobody works on, and says how many that were.
    pub(super) fn sweep(&self, age: Duration, now: SystemTime) -> Result<u64> {
        let on_their_way = self.sweep_unfinished(age, now)?;
        let sides = self.sweep_sides(age, now).map_err(before)?;
        Ok(on_their_way + sides)
    }

    /// The same for files on their way and uploads, which are few.
    pub(super) fn sweep_unfinished(&self, age: Duration, now: SystemTime) -> Result<u64> {
        let is_old = |file: &File| is_old(file, age, now);
        let mut swept = 0;
        for name in self.names_in(TEMP).map_err(before)? {
            swept += u64::from(self.sweep_temp(&format!("{TEMP}/{name}"), is_old).map_err(before)?);
        }
        for id in self.names_in(UPLOADS).map_err(before)? {
            swept +=
                u64::from(self.sweep_upload(&format!("{UPLOADS}/{id}"), is_old).map_err(before)?);
        }
        Ok(swept)
    }

    fn sweep_temp(&self, path: &str, is_old: impl Fn(&File) -> bool) -> io::Result<bool> {
        let Some(file) = there(self.root.file(path))? else { return Ok(false) };
        let is_left = is_old(&file) && file.try_lock().is_ok();
        if is_left {
            self.remove(&Place::at(path))?;
        }
        Ok(is_left)
    }

    fn sweep_upload(&self, path: &str, is_old: impl Fn(&File) -> bool) -> io::Result<bool> {
        let Some(dir) = there(self.root.dir(path))? else { return Ok(false) };
        let data = there(self.root.file(&format!("{path}/{DATA}")))?;
        let is_left = is_old(&dir) && data.as_ref().is_none_or(|data| data.try_lock().is_ok());
        if is_left {
            self.drop_upload(path)?;
        }
        Ok(is_left)
    }

    /// What was said in files of their own, of files that are not there.
    fn sweep_sides(&self, age: Duration, now: SystemTime) -> io::Result<u64> {
        if self.keeping == Keeping::Attribute {
            return Ok(0);
        }
        let mut orphans = HashSet::new();
        for name in self.names_in(SIDES)? {
            for side in self.names_in(&format!("{SIDES}/{name}"))? {
                let path = format!("{SIDES}/{name}/{side}");
                let Some(mut file) = there(self.root.file(&path))? else { continue };
                if is_old(&file, age, now) && !self.is_told_of(&path, &bytes_of(&mut file)?)? {
                    orphans.insert(path);
                }
            }
        }
        if !orphans.is_empty() {
            // Perhaps somebody moved the file by other means.
            self.each_file("", &mut |stat| {
                orphans.remove(&side_file(stat));
            })?;
        }
        let mut swept = 0;
        for path in orphans {
            // Perhaps we moved it meanwhile.
            let Some(mut file) = there(self.root.file(&path))? else { continue };
            if !self.is_told_of(&path, &bytes_of(&mut file)?)? {
                self.remove(&Place::at(&path))?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    /// Whether the file under the key that is named in `bytes` is the one that they were kept for.
    fn is_told_of(&self, path: &str, bytes: &[u8]) -> io::Result<bool> {
        let Some((key, _)) = split(bytes) else { return Ok(false) };
        match there(self.root.file(key))? {
            Some(file) => Ok(side_file(&file.metadata()?) == path),
            None => Ok(false),
        }
    }

    fn each_file(&self, dir: &str, tell: &mut impl FnMut(&std::fs::Metadata)) -> io::Result<()> {
        for name in self.names_in(dir)? {
            let path = if dir.is_empty() { name } else { format!("{dir}/{name}") };
            if path == OWN {
                continue;
            }
            let Some(file) = there(self.root.file(&path))? else { continue };
            let stat = file.metadata()?;
            if stat.is_dir() {
                self.each_file(&path, tell)?;
            } else {
                tell(&stat);
            }
        }
        Ok(())
    }

    /// The names of files and directories in a directory, as far as they are text; none if it is not there.
    fn names_in(&self, dir: &str) -> io::Result<Vec<String>> {
        let Some(dir) = there(self.root.dir(dir))? else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        for found in entries(&dir)? {
            let found = found?;
            let is_plain =
                !matches!(found.file_type(), FileType::Symlink | FileType::Fifo | FileType::Socket);
            if let (Ok(name), true) = (found.file_name().to_str(), is_plain) {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }
}

fn there(opened: io::Result<File>) -> io::Result<Option<File>> {
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_old(file: &File, age: Duration, now: SystemTime) -> bool {
    let modified = file.metadata().and_then(|stat| stat.modified());
    modified.is_ok_and(|modified| now.duration_since(modified).unwrap_or_default() >= age)
}

fn bytes_of(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}
