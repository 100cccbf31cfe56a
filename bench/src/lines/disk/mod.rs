//! Objects in a folder: small ones and large ones, read, stored, streamed and listed.
//!
//! All write beside and rename, so that nobody sees half an object; what is stored stays in the memory of
//! the system but for the line that says otherwise. The product also keeps and compares a checksum, keeps
//! a version and what kind of content it is, and stores under a lock, which no peer does.

mod listing;
mod peers;
mod streams;

pub use self::listing::line as list;
pub use self::streams::{read as stream_read, write as stream_write};

use self::peers::{At, Peer, Std, Tokio, Unverified};
use crate::asking::asking;
use crate::line::{Contender, Goal, Line, OURS};
use crate::stores::{Getting, KIB, MIB, Putting};

/// An object of 4 KiB, read.
pub fn get() -> Line {
    reading("disk-get", "Read an object of 4 KiB from a folder; one after the other.", 4 * KIB)
}

/// An object of 1 MiB, read.
pub fn get_large() -> Line {
    reading("disk-get-1m", "Read an object of 1 MiB from a folder; one after the other.", MIB)
}

/// An object of 4 KiB, stored.
pub fn put() -> Line {
    let about = "Store an object of 4 KiB in a folder, in one step but not yet on the disk; one after \
                 the other.";
    storing("disk-put", about, 4 * KIB)
}

/// An object of 1 MiB, stored.
pub fn put_large() -> Line {
    let about = "Store an object of 1 MiB in a folder, in one step but not yet on the disk; one after \
                 the other.";
    storing("disk-put-1m", about, MIB)
}

/// An object of 4 KiB, stored so that it outlasts a loss of power.
pub fn put_full() -> Line {
    Line {
        name: "disk-put-full",
        about: "Store an object of 4 KiB in a folder, in one step, and wait until its bytes and its name \
                are on the disk; one after the other.",
        reference: Std::NAME,
        threads: &[1],
        figure: None,
        needs: None,
        contenders: vec![
            contender::<switchboard_storage::Disk>(Lasting::Yes, 4 * KIB, Done::Put),
            contender::<Std>(Lasting::Yes, 4 * KIB, Done::Put),
            contender::<peers::ObjectStore>(Lasting::Yes, 4 * KIB, Done::Put),
        ],
        goals: vec![Goal::times(OURS, 1.20, Std::NAME, 1)],
    }
}

fn reading(name: &'static str, about: &'static str, size: usize) -> Line {
    let mut contenders = all(size, Done::Get);
    contenders.insert(1, contender::<Unverified>(Lasting::No, size, Done::Get));
    Line {
        name,
        about,
        reference: Std::NAME,
        threads: &[1],
        figure: None,
        needs: None,
        contenders,
        goals: vec![Goal::times(OURS, 1.10, Std::NAME, 1)],
    }
}

fn storing(name: &'static str, about: &'static str, size: usize) -> Line {
    Line {
        name,
        about,
        reference: Std::NAME,
        threads: &[1],
        figure: None,
        needs: None,
        contenders: all(size, Done::Put),
        goals: vec![Goal::times(OURS, 1.20, Std::NAME, 1)],
    }
}

fn all(size: usize, done: Done) -> Vec<Contender> {
    vec![
        contender::<switchboard_storage::Disk>(Lasting::No, size, done),
        contender::<Std>(Lasting::No, size, done),
        contender::<Tokio>(Lasting::No, size, done),
        contender::<peers::ObjectStore>(Lasting::No, size, done),
        contender::<opendal::Operator>(Lasting::No, size, done),
    ]
}

/// What is done with an object.
#[derive(Clone, Copy)]
enum Done {
    Get,
    Put,
}

/// Whether what is stored is on the disk when that is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lasting {
    Yes,
    No,
}

fn contender<P: Peer>(lasting: Lasting, size: usize, done: Done) -> Contender {
    let contender = match done {
        Done::Get => Contender::new(P::NAME, move |_| {
            asking(1, async move || {
                let at = At::new(lasting);
                let asker = Getting::new(P::within(&at).await, size).await;
                at.kept(asker)
            })
        }),
        Done::Put => Contender::new(P::NAME_STORING, move |_| {
            asking(1, async move || {
                let at = At::new(lasting);
                let asker = Putting::new(P::within(&at).await, size).await;
                at.kept(asker)
            })
        }),
    };
    contender.of(P::PACKAGES)
}
