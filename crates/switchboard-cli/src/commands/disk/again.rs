//! `disk put --resume`: goes on with what an earlier put of the same file has stored.

use std::path::Path;
use std::pin::pin;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use switchboard_core::{Error, ErrorKind, Result};
use switchboard_storage::{Disk, Stored, Upload};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::begun::{About, Begun, unreadable};
use super::transfer::said;
use crate::arguments::DiskPut;
use crate::progress::{Bar, size};
use crate::session::Session;

/// Stores a file, and goes on where an earlier put of it broke off.
pub(super) async fn put(session: &Session, disk: &Disk, asked: &DiskPut) -> Result<Stored> {
    let about = About::of(disk, asked)?;
    let begun = Begun::of(&about, &session.home.folder().join("uploads"))?;
    let mut sending = Sending { session, disk, asked, about, begun };
    if let Some(upload) = sending.earlier().await? {
        let there = size(upload.offset());
        session.screen.note(format!("note: {there} of it are there already"));
        match sending.send(upload).await {
            // The service has forgotten it meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            sent => return sent,
        }
    }
    let upload = sending.fresh().await?;
    sending.send(upload).await
}

/// A file on its way.
struct Sending<'s> {
    session: &'s Session,
    disk: &'s Disk,
    asked: &'s DiskPut,
    about: About,
    begun: Begun,
}

impl Sending<'_> {
    /// The upload that an earlier put began, if it was of the same bytes; any other is given up.
    async fn earlier(&mut self) -> Result<Option<Upload>> {
        let Some((about, state)) = self.begun.read() else { return Ok(None) };
        if about == self.about {
            return self.disk.resume(&state).await.map(Some);
        }
        if about.is_of_the_same_file(&self.about)
            && let Ok(upload) = self.disk.resume(&state).await
        {
            // One that cannot be given up is swept.
            drop(upload.abort().await);
        }
        Ok(None)
    }

    async fn fresh(&self) -> Result<Upload> {
        let upload = said(self.disk.upload(&self.asked.at.key), self.asked).await?;
        if self.about.size / PARTS_MAX < upload.part_size() {
            return Ok(upload);
        }
        upload.abort().await?;
        let part_size = self.about.size.div_ceil(PARTS_MAX);
        said(self.disk.upload(&self.asked.at.key).part_size(part_size), self.asked).await
    }

    /// Sends what is missing, and notes down what is there from time to time.
    async fn send(&mut self, mut upload: Upload) -> Result<Stored> {
        self.send_parts(&upload).await?;
        if About::of(self.disk, self.asked)? != self.about {
            upload.abort().await?;
            self.begun.forget();
            return Err(changed(&self.asked.file));
        }
        match upload.finish().await {
            Ok(stored) => {
                self.begun.forget();
                Ok(stored)
            }
            Err(error) if is_refused(&error) => {
                upload.abort().await?;
                self.begun.forget();
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    async fn send_parts(&mut self, upload: &Upload) -> Result<()> {
        let mut bar = Bar::on(&self.session.screen, &self.session.clock);
        let pieces = pieces(&self.asked.file, upload).await?;
        let sent = pieces.map(|piece| async move {
            let (number, piece) = piece?;
            upload.part(number, piece).await
        });
        let mut sent = pin!(sent.buffered(AT_ONCE));
        let mut noted: Option<Instant> = None;
        while sent.try_next().await?.is_some() {
            let now = self.session.clock.now();
            if noted.is_none_or(|noted| now.saturating_duration_since(noted) >= INTERVAL) {
                self.begun.note(&self.about, &upload.state())?;
                noted = Some(now);
            }
            bar.count(|| format!("{} of {}", size(upload.offset()), size(self.about.size)));
        }
        Ok(())
    }
}

/// The parts of the file that come after what the upload has from the beginning, with their numbers.
async fn pieces(
    path: &Path,
    upload: &Upload,
) -> Result<impl Stream<Item = Result<(u32, Bytes)>> + use<>> {
    let (offset, part_size) = (upload.offset(), upload.part_size());
    let open = async {
        let mut file = File::open(path).await?;
        file.seek(std::io::SeekFrom::Start(offset)).await?;
        Ok(file)
    };
    let file = open.await.map_err(|error| unreadable(error, path))?;
    let first = u32::try_from(offset.div_ceil(part_size)).unwrap_or(u32::MAX);
    let path = path.to_owned();
    Ok(stream::try_unfold((file, first), move |(mut file, number)| {
        let path = path.clone();
        async move {
            let piece = piece(&mut file, part_size).await;
            let piece = piece.map_err(|error| unreadable(error, &path))?;
            let is_end = piece.is_empty();
            Ok((!is_end).then_some(((number, piece), (file, number.saturating_add(1)))))
        }
    }))
}

/// The next bytes of the file, as many as a part has; fewer at its end.
async fn piece(file: &mut File, part_size: u64) -> std::io::Result<Bytes> {
    let mut piece = BytesMut::new();
    let mut rest = file.take(part_size);
    while rest.read_buf(&mut piece).await? > 0 {}
    Ok(piece.freeze())
}

/// Whether it will not be stored, however often it is tried.
fn is_refused(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::PreconditionFailed)
}

fn changed(path: &Path) -> Error {
    Error::new(ErrorKind::Conflict, "the file changed while it was stored")
        .with_context("path", path.display())
        .not_applied()
}

/// How many parts are on their way at the same time.
const AT_ONCE: usize = 4;

/// How many parts are fewer than any service takes.
const PARTS_MAX: u64 = 9_000;

/// How often it is noted down what is there: what came later is sent again.
const INTERVAL: Duration = Duration::from_secs(1);
