//! What of an upload outlives the process that began it.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchboard_core::{Error, ErrorKind, Held, Result};

use crate::disk::op;
use crate::doubt::Doubt;
use crate::driver::{Condition, Part, PartTag, UploadId, Write};
use crate::upload::{KeptPart, Parts, Upload, again};
use crate::{Attributes, Checksum, Disk, Disks, WriteId};

/// What is needed to go on with an [`Upload`] elsewhere: it can be written down with `serde`, and has no secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UploadState {
    /// Where in the whole disk the object comes.
    place: String,
    upload: String,
    part_size: u64,
    parts: Vec<PartState>,
    #[serde(default)]
    condition: Condition,
    #[serde(default)]
    attributes: Attributes,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checksum: Option<Checksum>,
    write_id: Option<WriteId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartState {
    number: u32,
    tag: String,
    size: u64,
    checksum: Checksum,
}

impl UploadState {
    pub(crate) fn of(upload: &Upload) -> Self {
        let Write { condition, attributes, checksum, write_id } = upload.write.clone();
        let state = |(number, part): (u32, KeptPart)| {
            let KeptPart { tag: PartTag(tag), size, checksum } = part;
            PartState { number, tag, size, checksum }
        };
        Self {
            place: upload.place.clone(),
            upload: upload.id(),
            part_size: upload.part_size(),
            parts: upload.kept().into_iter().map(state).collect(),
            condition,
            attributes,
            checksum,
            write_id,
        }
    }

    /// The parts, if they can be those of one object: what was written down may have changed meanwhile.
    fn parts(&self) -> Result<Parts> {
        let mut parts = Parts::default();
        for PartState { number, tag, size, checksum } in self.parts.iter().cloned() {
            let part = Part { number, size: self.part_size, checksum };
            parts.fits(part, size, |_| self.part_size)?;
            parts.kept.insert(number, KeptPart { tag: PartTag(tag), size, checksum });
        }
        Ok(parts)
    }
}

impl Disk {
    /// Goes on with an upload that another process may have begun, with what it wrote down.
    ///
    /// Parts that came after that are not known, and are sent again. Finishing what was finished already is fine.
    /// An upload that is somewhere this handle does not reach is
    /// [`PermissionDenied`](ErrorKind::PermissionDenied).
    pub async fn resume(&self, state: &UploadState) -> Result<Upload> {
        self.allow_writing(op::BEGIN)?;
        let place = self.placed(op::BEGIN, self.reached(&state.place))?;
        self.placed(op::BEGIN, state.attributes.check())?;
        let id = &UploadId(state.upload.clone());
        let plan = |store: Held<Disks>| async move {
            store.allow_writing()?;
            store.plan().of_part_size(state.part_size)
        };
        let plan = self.line().call(op::PREPARE, plan).await?;
        // Nobody is asked: the service tells with the next part whether it still has the others.
        let open = |_: Held<Disks>| async move { Ok(id.clone()) };
        let begun = self.line().open(op::PREPARE, open).await?;
        let again = self.placed(op::BEGIN, again(self, &begun))?;
        let parts = Mutex::new(self.placed(op::BEGIN, state.parts())?);
        Ok(Upload {
            disk: self.clone(),
            place: place.to_owned(),
            begun: Some(begun),
            write: Write {
                condition: state.condition.clone(),
                attributes: state.attributes.clone(),
                checksum: state.checksum,
                write_id: state.write_id,
            },
            plan,
            parts,
            again,
            // The process before may have finished it, and not lived to tell.
            doubt: Doubt::entered(),
            stays: AtomicBool::new(true),
        })
    }

    /// Removes what writers that are gone have left and nobody can see, if it is older than `age`: unfinished
    /// uploads, and files on their way. Says how many there were.
    ///
    /// It is about all of the disk, so a [`scope`](Self::scope) of it cannot ask for it.
    ///
    /// ```
    /// # use switchboard_core::{Environment, Manager, Registry, Settings};
    /// # use switchboard_storage::Disks;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # runtime.block_on(async {
    /// # let disks = Manager::<Disks>::new(Registry::with_built_ins()?, &Environment::new())?;
    /// # disks.configure("main", &Settings::new().with("driver", "memory"))?;
    /// # let disk = disks.handle("main")?;
    /// use std::time::Duration;
    ///
    /// let upload = disk.upload("film").await?;
    /// // Whoever has this may come back; here nobody does.
    /// drop(upload.state());
    /// drop(upload);
    /// assert_eq!(disk.sweep(Duration::from_secs(24 * 3600)).await?, 0);
    /// assert_eq!(disk.sweep(Duration::ZERO).await?, 1);
    /// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
    /// ```
    pub async fn sweep(&self, age: Duration) -> Result<u64> {
        self.allow_writing(op::SWEEP)?;
        if !self.scope_prefix().is_empty() {
            let why = "only the whole disk can be swept, not a scope of it";
            let refusal = Error::new(ErrorKind::PermissionDenied, why).not_applied();
            return self.placed(op::SWEEP, Err(refusal));
        }
        self.line()
            .call(op::SWEEP, |store: Held<Disks>| async move { store.sweep(age).await })
            .await
    }
}
