//! What is said of an object beside its bytes, and how it is kept so that it changes together with them.
//!
//! It belongs to the file and not to its name: an extended attribute, or, where the file system has none or
//! it does not fit, a file of the disk's own that is named after the inode. Either way it is there before the
//! object can be seen, and one renaming publishes both.
//!
//! It notes when the file was written. A file that others changed since has the same attributes and no
//! checksum; one that others put there has none of either. Both have versions, which change with them.

use std::fs::{File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;

use rustix::fs::XattrFlags;
use rustix::io::Errno;

use super::errors::is_missing;
use super::folder::{Folder, RACES_MAX};
use super::root::Place;
use crate::{Attributes, Checksum, Meta, Version, WriteId};

/// What is kept of an object beside its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Side {
    /// No other write has it.
    pub id: u64,
    pub attributes: Attributes,
    pub checksum: Option<Checksum>,
    pub write_id: Option<WriteId>,
}

/// How it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeping {
    /// In an extended attribute.
    Attribute,
    /// In an extended attribute if it fits, else in a file of its own.
    AttributeOrFile,
    /// In a file of its own.
    File,
}

/// An object as it was found.
pub(super) struct Found {
    pub meta: Meta,
    /// What is kept beside it; `None` if it was put there by others.
    pub side: Option<Side>,
}

impl Folder {
    /// What is known of an open file; `None` if it is no object, such as a directory or a pipe.
    pub(super) fn look(&self, file: &File) -> io::Result<Option<Found>> {
        let stat = file.metadata()?;
        if !stat.is_file() {
            return Ok(None);
        }
        let Some((side, noted)) = self.side(file, &stat)? else {
            return Ok(Some(Found { meta: of_others(&stat)?, side: None }));
        };
        let mut meta = side.meta(&stat)?;
        meta.attributes = side.attributes.clone();
        if noted == written(&stat) {
            (meta.checksum, meta.write_id) = (side.checksum, side.write_id);
        }
        Ok(Some(Found { meta, side: Some(side) }))
    }

    /// What can be told of a file that may not be opened; `None` if it is not there any more.
    pub(super) fn look_from_outside(&self, path: &str) -> io::Result<Option<Meta>> {
        let stat = self.root.stat(path)?;
        stat.filter(Metadata::is_file).map(|stat| of_others(&stat)).transpose()
    }

    /// What is kept beside a file, and when that was written which it was kept for.
    fn side(&self, file: &File, stat: &Metadata) -> io::Result<Option<(Side, i64)>> {
        if self.keeping != Keeping::File
            && let Some(bytes) = attribute(file)?
        {
            return Ok(Side::parse(&bytes));
        }
        if self.keeping == Keeping::Attribute {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        match self.root.file(&side_file(stat)) {
            Ok(mut side) => side.read_to_end(&mut bytes)?,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(split(&bytes).and_then(|(_, bytes)| Side::parse(bytes)))
    }

    /// Keeps `side` with a file that has all its bytes, and lies at `place` or is to be published there.
    pub(super) fn attach(&self, file: &File, side: &Side, place: &Place) -> io::Result<Meta> {
        let stat = file.metadata()?;
        let bytes = side.bytes(&stat);
        let is_kept = self.keeping != Keeping::File
            && match rustix::fs::fsetxattr(file, NAME, &bytes, XattrFlags::empty()) {
                Ok(()) => true,
                Err(Errno::TOOBIG | Errno::NOSPC | Errno::RANGE)
                    if self.keeping == Keeping::AttributeOrFile =>
                {
                    false
                }
                Err(error) => return Err(error.into()),
            };
        if !is_kept {
            self.write_side_file(&stat, &[place.path().as_bytes(), b"\n", &bytes].concat())?;
        }
        let mut meta = side.meta(&stat)?;
        meta.checksum = side.checksum;
        Ok(meta)
    }

    fn write_side_file(&self, stat: &Metadata, bytes: &[u8]) -> io::Result<()> {
        let place = Place::at(&side_file(stat));
        let mut temp = self.temp()?;
        temp.file().write_all(bytes)?;
        self.settle(temp.file())?;
        for _ in 0..RACES_MAX {
            let dir = self.root.made_dir(place.parent())?;
            match temp.move_to(&dir, place.name(), true) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                moved => {
                    moved?;
                    return self.sync(place.parent());
                }
            }
        }
        Err(Errno::BUSY.into())
    }

    /// Removes what was kept in a file of its own for a file that nobody can find any more. What stays is
    /// swept.
    pub(super) fn forget(&self, old: Option<&File>) {
        if let Some(stat) = old.and_then(|old| old.metadata().ok())
            && self.keeping != Keeping::Attribute
            && stat.nlink() == 0
        {
            let _ = self.remove(&Place::at(&side_file(&stat)));
        }
    }
}

impl Side {
    /// What it says of the file it belongs to, whoever wrote that last.
    fn meta(&self, stat: &Metadata) -> io::Result<Meta> {
        let version = format!("{:016x}-{:x}-{:x}", self.id, stat.len(), written(stat));
        Ok(Meta::new(stat.len(), stat.modified()?, Version::new(version)))
    }

    /// How it is kept, with the state of the file that it was written for.
    fn bytes(&self, stat: &Metadata) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        bytes.extend(self.id.to_le_bytes());
        bytes.extend(written(stat).to_le_bytes());
        bytes.push(u8::from(self.checksum.is_some()) | u8::from(self.write_id.is_some()) << 1);
        bytes.extend(self.checksum.map_or(0, Checksum::value).to_le_bytes());
        bytes.extend(self.write_id.map(|id| u128::from(id).to_le_bytes()).into_iter().flatten());
        for (tag, value) in TAGS.iter().zip(known(&self.attributes)) {
            if let Some(value) = value {
                let _ = writeln!(bytes, "{tag}{value}");
            }
        }
        for (name, value) in &self.attributes.metadata {
            let _ = writeln!(bytes, "{METADATA}{name} {value}");
        }
        bytes
    }

    /// What was kept so, and when the file was written that it was kept for; `None` if nobody keeps anything
    /// so.
    fn parse(bytes: &[u8]) -> Option<(Self, i64)> {
        let bytes = bytes.strip_prefix(&[FORMAT])?;
        let (id, bytes) = bytes.split_first_chunk()?;
        let (written, bytes) = bytes.split_first_chunk()?;
        let (flags, bytes) = bytes.split_first()?;
        let (checksum, mut bytes) = bytes.split_first_chunk()?;
        let checksum = u32::from_le_bytes(*checksum).into();
        let mut write_id = None;
        if flags & 2 != 0 {
            let (mark, rest) = bytes.split_first_chunk()?;
            (write_id, bytes) = (Some(u128::from_le_bytes(*mark).into()), rest);
        }
        let attributes = attributes(std::str::from_utf8(bytes).ok()?);
        let checksum = (flags & 1 != 0).then_some(checksum);
        let id = u64::from_le_bytes(*id);
        Some((Self { id, attributes, checksum, write_id }, i64::from_le_bytes(*written)))
    }
}

/// The attributes among `lines`, each of which begins with what it is.
fn attributes(lines: &str) -> Attributes {
    let mut attributes = Attributes::default();
    for line in lines.lines() {
        let Some(tag) = line.chars().next() else { continue };
        let value = &line[tag.len_utf8()..];
        if let Some(at) = TAGS.iter().position(|known| *known == tag) {
            *known_mut(&mut attributes)[at] = Some(value.to_owned());
        } else if let (METADATA, Some((name, value))) = (tag, value.split_once(' ')) {
            attributes.metadata.insert(name.to_owned(), value.to_owned());
        }
    }
    attributes
}

/// The key that a file of its own names, and what it keeps.
pub(super) fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 1..]))
}

/// Where a file of its own is for the file that has `stat`.
pub(super) fn side_file(stat: &Metadata) -> String {
    let (inode, length) = (stat.ino(), stat.len());
    format!("{SIDES}/{:02x}/{inode:x}-{length:x}-{:x}", inode & 0xff, written(stat))
}

fn attribute(file: &File) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; ATTRIBUTE_USUAL];
    loop {
        match rustix::fs::fgetxattr(file, NAME, &mut bytes[..]) {
            Ok(length) => {
                bytes.truncate(length);
                return Ok(Some(bytes));
            }
            Err(Errno::NODATA | Errno::NOTSUP) => return Ok(None),
            Err(Errno::RANGE) if bytes.len() < ATTRIBUTE_MAX => bytes.resize(ATTRIBUTE_MAX, 0),
            Err(error) => return Err(error.into()),
        }
    }
}

fn of_others(stat: &Metadata) -> io::Result<Meta> {
    let (inode, changed, length) = (stat.ino(), changed(stat), stat.len());
    let version = format!("{inode:x}-{changed:x}-{length:x}-{:x}", written(stat));
    Ok(Meta::new(length, stat.modified()?, Version::new(version)))
}

/// When the bytes were last written, in nanoseconds.
fn written(stat: &Metadata) -> i64 {
    stat.mtime().wrapping_mul(1_000_000_000).wrapping_add(stat.mtime_nsec())
}

/// When anything of the file was last changed.
fn changed(stat: &Metadata) -> i64 {
    stat.ctime().wrapping_mul(1_000_000_000).wrapping_add(stat.ctime_nsec())
}

fn known(attributes: &Attributes) -> [&Option<String>; 5] {
    [
        &attributes.content_type,
        &attributes.cache_control,
        &attributes.content_disposition,
        &attributes.content_encoding,
        &attributes.content_language,
    ]
}

fn known_mut(attributes: &mut Attributes) -> [&mut Option<String>; 5] {
    [
        &mut attributes.content_type,
        &mut attributes.cache_control,
        &mut attributes.content_disposition,
        &mut attributes.content_encoding,
        &mut attributes.content_language,
    ]
}

/// What a line of attributes begins with, in the order of [`known`].
///
/// Short, as all of it is: ext4 keeps some sixty bytes in the inode itself, and beyond that a block for each
/// file, which makes storing a small object several times as slow.
const TAGS: [char; 5] = ['t', 'c', 'd', 'e', 'l'];
const METADATA: char = 'm';

/// What all of it begins with, should it ever be written in another way.
const FORMAT: u8 = 1;

/// Where files of their own lie.
pub(super) const SIDES: &str = ".switchboard/meta";

/// The extended attribute.
pub(super) const NAME: &str = "user.switchboard";
/// How many bytes are usually enough for it.
const ATTRIBUTE_USUAL: usize = 512;
/// The most that any file system keeps.
const ATTRIBUTE_MAX: usize = 64 << 10;
