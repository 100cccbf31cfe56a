//! Objects that come in parts: cut anew as the disk wants them, for it has parts of one length only.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{MultipartUpload, PutPayload, PutResult, UploadPart};
use switchboard_core::{Error, ErrorKind, Result};
use tokio::sync::OnceCell;

use super::error::told;
use super::stored;
use crate::cut::Plan;
use crate::driver::Stored;
use crate::{Attributes, Disk, Upload};

/// Begins the object under `location`. The service is told with the first part that is whole.
pub(super) async fn begin(disk: &Disk, location: &Path, attributes: Attributes) -> Result<Sending> {
    disk.upload(location.as_ref()).attributes(attributes.clone()).checked()?;
    let plan = disk.plan().await?;
    let target = Target {
        disk: disk.clone(),
        location: location.clone(),
        attributes,
        part_size: plan.part_size,
        begun: OnceCell::new(),
    };
    let location = location.clone();
    Ok(Sending { target: Some(target.into()), location, plan, sent: 0, rest: BytesMut::new() })
}

/// An object on its way.
pub(super) struct Sending {
    /// None once nothing more can come.
    target: Option<Arc<Target>>,
    location: Path,
    plan: Plan,
    /// How many parts there are so far.
    sent: u32,
    /// What came and is no part yet.
    rest: BytesMut,
}

/// Where the parts go. Who holds it is sending one.
struct Target {
    disk: Disk,
    location: Path,
    attributes: Attributes,
    /// How parts were cut since before the service was told.
    part_size: u64,
    begun: OnceCell<Upload>,
}

impl Target {
    async fn part(&self, number: u32, content: Bytes) -> Result<()> {
        let begin = || {
            let begin = self.disk.upload(self.location.as_ref()).part_size(self.part_size);
            begin.attributes(self.attributes.clone()).into_future()
        };
        let upload = self.begun.get_or_try_init(begin).await?;
        upload.part(number, content).await
    }

    /// Makes one object of so many parts that were sent, and of what is left.
    async fn complete(mut self, sent: u32, rest: Bytes) -> Result<Stored> {
        if sent == 0 {
            return self.disk.put(self.location.as_ref(), rest).attributes(self.attributes).await;
        }
        let upload = self.begun.get_mut().ok_or_else(unsent)?;
        if !(0..sent).all(|number| upload.has_part(number)) {
            return Err(unsent());
        }
        if !rest.is_empty() {
            upload.part(sent, rest).await?;
        }
        upload.finish().await
    }
}

impl Sending {
    /// The parts that are whole with `data`, by their numbers.
    fn cut(&mut self, mut data: Bytes) -> Vec<(u32, Bytes)> {
        let length = usize::try_from(self.plan.part_size).unwrap_or(usize::MAX);
        let mut parts = Vec::new();
        while self.rest.len() + data.len() >= length {
            let piece = data.split_to(length - self.rest.len());
            let part = if self.rest.is_empty() {
                piece
            } else {
                self.rest.extend_from_slice(&piece);
                std::mem::take(&mut self.rest).freeze()
            };
            parts.push((self.sent, part));
            self.sent = self.sent.saturating_add(1);
        }
        self.rest.extend_from_slice(&data);
        parts
    }

    /// What is to be sent now that `data` came, if there is room for it.
    fn take(&mut self, data: Bytes) -> Result<Vec<(u32, Bytes)>> {
        if self.target.is_none() {
            return Err(ended());
        }
        if self.plan.has_parts {
            return Ok(self.cut(data));
        }
        if (self.rest.len() + data.len()) as u64 > self.plan.whole_max {
            // What came before would be stored without this.
            self.target = None;
            return Err(too_large(self.plan));
        }
        self.rest.extend_from_slice(&data);
        Ok(Vec::new())
    }
}

#[async_trait]
impl MultipartUpload for Sending {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (location, at_once) = (self.location.clone(), self.plan.parts_at_once.get());
        let (taken, target) = (self.take(data.into()), self.target.clone());
        Box::pin(async move {
            let failed = |error| told(error, &location);
            let (parts, target) = (taken.map_err(failed)?, target.ok_or_else(|| failed(ended()))?);
            let sending = parts.into_iter().map(|(number, part)| target.part(number, part));
            let sent = futures_util::stream::iter(sending).buffered(at_once);
            sent.try_collect().await.map_err(failed)
        })
    }

    async fn complete(&mut self) -> object_store::Result<PutResult> {
        let failed = |error| told(error, &self.location);
        let target = self.target.take().ok_or_else(|| failed(ended()))?;
        let target = Arc::into_inner(target).ok_or_else(|| failed(unsent()))?;
        let rest = std::mem::take(&mut self.rest).freeze();
        target.complete(self.sent, rest).await.map(|done| stored(&done)).map_err(failed)
    }

    async fn abort(&mut self) -> object_store::Result<()> {
        // While a part is on its way, the last one gives the upload up.
        let begun = self.target.take().and_then(Arc::into_inner);
        match begun.and_then(|target| target.begun.into_inner()) {
            Some(upload) => upload.abort().await.map_err(|error| told(error, &self.location)),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending")
            .field("location", &self.location)
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::InvalidInput, "the upload has ended").not_applied()
}

fn unsent() -> Error {
    Error::new(ErrorKind::InvalidInput, "not all parts were sent")
        .with_hint("wait for what `put_part` answers before the upload is completed")
        .not_applied()
}

fn too_large(plan: Plan) -> Error {
    let why = "the driver takes no parts, and the object is too large to be stored at once";
    Error::new(ErrorKind::TooLarge, why)
        .with_context("whole_max_bytes", plan.whole_max)
        .not_applied()
}
