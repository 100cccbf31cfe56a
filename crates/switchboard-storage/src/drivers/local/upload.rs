//! Objects that come in parts: one file that is written where the parts belong, and beside it a note of what
//! each of them is.
//!
//! Whoever writes a part shares the lock of the file, and whoever completes has it alone: no part that comes
//! late gets into an object that can be seen.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use switchboard_core::{Error, ErrorKind, Result};

use super::errors::{before, is_missing, unwritable};
use super::folder::move_entry;
use super::folder::{Folder, name_of, random};
use super::root::Place;
use super::side::Side;
use crate::blocking::Caller;
use crate::{Checksum, Part, PartTag, Stored, UploadId, Write, another_sum};

/// An upload that is open.
struct Upload {
    path: String,
    dir: File,
    data: File,
    notes: File,
}

/// What is known of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Note {
    /// How long all parts are, but for the last.
    size: u64,
    length: u64,
    checksum: Checksum,
}

impl Folder {
    pub(super) fn begin(&self, place: &Place) -> Result<UploadId> {
        let id = format!(
            "{}-{}",
            name_of(random().map_err(before)?),
            Checksum::of(place.path().as_bytes())
        );
        let dir = self.root.made_dir(&path_of(&id)).map_err(unwritable)?;
        for name in [DATA, NOTES] {
            self.create(&dir, name).map_err(unwritable)?;
        }
        Ok(UploadId(id))
    }

    pub(super) fn part(
        &self,
        place: &Place,
        id: &UploadId,
        part: Part,
        content: &[u8],
        caller: &Caller,
    ) -> Result<PartTag> {
        let upload = self.upload(place, id)?;
        let offset = u64::from(part.number).checked_mul(part.size).ok_or_else(too_large)?;
        upload.data.lock_shared().map_err(before)?;
        self.demand_upload(&upload)?;
        caller.still_waits()?;
        let note = Note { size: part.size, length: content.len() as u64, checksum: part.checksum };
        // For as long as the bytes are neither those of before nor these, there is no such part.
        let kept = upload
            .note(part.number, None)
            .and_then(|()| upload.data.write_all_at(content, offset))
            .and_then(|()| self.settle(&upload.data))
            .and_then(|()| upload.note(part.number, Some(note)))
            .and_then(|()| self.settle(&upload.notes));
        kept.map_err(before)?;
        Ok(note.tag(part.number))
    }

    pub(super) fn complete(
        &self,
        place: &Place,
        id: &UploadId,
        parts: &[PartTag],
        write: Write,
        caller: &Caller,
    ) -> Result<Stored> {
        let upload = self.upload(place, id)?;
        upload.data.lock().map_err(before)?;
        self.demand_upload(&upload)?;
        let (length, checksum) = upload.whole(parts)?;
        if write.checksum.is_some_and(|expected| expected != checksum) {
            return Err(another_sum());
        }
        caller.still_waits()?;
        upload.data.set_len(length).map_err(before)?;
        let side = Side {
            id: random().map_err(before)?,
            attributes: write.attributes,
            checksum: Some(checksum),
            write_id: write.write_id,
        };
        let stored = self.prepare(&upload.data, &side, place)?;
        self.publish(place, &write.condition, caller, |dir, replaces| {
            move_entry(&upload.dir, DATA, dir, place.name(), replaces)
        })?;
        // What stays is swept.
        let _ = self.drop_upload(&upload.path);
        Ok(stored)
    }

    pub(super) fn abort(&self, place: &Place, id: &UploadId) -> Result<()> {
        if !is_id(place, id) {
            return Ok(());
        }
        self.drop_upload(&path_of(&id.0)).map_err(before)
    }

    /// Removes the upload that lies at `path`.
    pub(super) fn drop_upload(&self, path: &str) -> io::Result<()> {
        for name in [DATA, NOTES] {
            self.remove(&Place::at(&format!("{path}/{name}")))?;
        }
        match self.root.remove_dir(path) {
            Err(error) if !is_missing(&error) => Err(error),
            _ => Ok(()),
        }
    }

    fn upload(&self, place: &Place, id: &UploadId) -> Result<Upload> {
        if !is_id(place, id) {
            return Err(no_upload());
        }
        let path = path_of(&id.0);
        let open = || {
            let dir = self.root.dir(&path)?;
            let data = self.root.file_to_write(&format!("{path}/{DATA}"))?;
            let notes = self.root.file_to_write(&format!("{path}/{NOTES}"))?;
            Ok(Upload { path: path.clone(), dir, data, notes })
        };
        open().map_err(|error| if is_missing(&error) { no_upload() } else { before(error) })
    }

    /// An error if the upload was completed or given up since it was opened.
    fn demand_upload(&self, upload: &Upload) -> Result<()> {
        let there = match self.root.file(&format!("{}/{DATA}", upload.path)) {
            Err(error) if is_missing(&error) => return Err(no_upload()),
            opened => opened.and_then(|file| file.metadata()).map_err(before)?,
        };
        let own = upload.data.metadata().map_err(before)?;
        if there.ino() == own.ino() { Ok(()) } else { Err(no_upload()) }
    }
}

impl Upload {
    fn note(&self, number: u32, note: Option<Note>) -> io::Result<()> {
        let bytes = note.map_or([0; NOTE], Note::bytes);
        self.notes.write_all_at(&bytes, u64::from(number) * NOTE as u64)
    }

    /// How long the object of `parts` is, and what it adds up to.
    fn whole(&self, parts: &[PartTag]) -> Result<(u64, Checksum)> {
        let (mut length, mut sum) = (0, Checksum::EMPTY);
        for (number, tag) in (0_u32..).zip(parts) {
            let mut bytes = [0; NOTE];
            match self.notes.read_exact_at(&mut bytes, u64::from(number) * NOTE as u64) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                read => read.map_err(before)?,
            }
            let note = Note::of(&bytes).filter(|note| note.tag(number) == *tag);
            let note = note.filter(|note| u64::from(number) * note.size == length);
            let note = note.ok_or_else(|| never_kept(number))?;
            let added = usize::try_from(note.length).map_err(|_| too_large())?;
            (length, sum) = (length + note.length, sum.join(note.checksum, added));
        }
        Ok((length, sum))
    }
}

impl Note {
    fn bytes(self) -> [u8; NOTE] {
        let mut bytes = [0; NOTE];
        bytes[..8].copy_from_slice(&self.size.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.length.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.checksum.value().to_le_bytes());
        bytes[20] = 1;
        bytes
    }

    fn of(bytes: &[u8; NOTE]) -> Option<Self> {
        let [.., 1, _, _, _] = bytes else { return None };
        let (size, rest) = bytes.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (checksum, _) = rest.split_first_chunk()?;
        Some(Self {
            size: u64::from_le_bytes(*size),
            length: u64::from_le_bytes(*length),
            checksum: u32::from_le_bytes(*checksum).into(),
        })
    }

    fn tag(self, number: u32) -> PartTag {
        PartTag(format!("{number}-{:x}-{:x}-{}", self.size, self.length, self.checksum))
    }
}

fn path_of(id: &str) -> String {
    format!("{UPLOADS}/{id}")
}

/// Whether an upload to `key` can be called so: what is looked up is never what somebody else made up.
fn is_id(place: &Place, id: &UploadId) -> bool {
    id.0.split_once('-').is_some_and(|(id, sum)| {
        id.len() == 16
            && id.bytes().all(|byte| byte.is_ascii_hexdigit())
            && Checksum::parse(sum) == Some(Checksum::of(place.path().as_bytes()))
    })
}

fn no_upload() -> Error {
    Error::new(ErrorKind::NotFound, "there is no such upload").not_applied()
}

fn never_kept(number: u32) -> Error {
    Error::new(ErrorKind::InvalidInput, "a part was never kept, or another came in its place")
        .with_context("part", number)
        .not_applied()
}

fn too_large() -> Error {
    Error::new(ErrorKind::TooLarge, "the parts would go beyond the end of every file").not_applied()
}

/// Where uploads lie.
pub(super) const UPLOADS: &str = ".switchboard/uploads";
/// The bytes, each part where it belongs.
pub(super) const DATA: &str = "data";
/// What is known of the parts.
const NOTES: &str = "parts";
/// How many bytes a note has.
const NOTE: usize = 24;
