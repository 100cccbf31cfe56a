//! What is too large to be in hand: 256 MiB, written as they come and read as they are wanted.

use std::fs::File;
use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::{ObjectStoreExt as _, WriteMultipart};
use opendal::Operator;
use switchboard_core::Error;
use switchboard_storage::{Body, Disk};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::spawn_blocking;

use super::Lasting;
use super::peers::{At, ObjectStore, Peer};
use crate::asking::{Asker, in_tasks};
use crate::line::{Contender, Goal, Line, OURS};
use crate::stores::{MIB, content};

/// Written.
pub fn write() -> Line {
    Line {
        name: "disk-stream-write",
        about: "Store 256 MiB that come in pieces of 1 MiB in a folder, in one step but not yet on the \
                disk; on a runtime of 4 threads.",
        reference: StdWriting::NAME,
        threads: &[1],
        figure: None,
        needs: None,
        contenders: vec![
            contender::<Writing<Disk>>(),
            contender::<StdWriting>(),
            contender::<TokioWriting>(),
            contender::<Writing<ObjectStore>>(),
            contender::<Writing<Operator>>(),
        ],
        goals: best_of(&[TokioWriting::NAME, ObjectStore::NAME]),
    }
}

/// Read.
pub fn read() -> Line {
    Line {
        name: "disk-stream-read",
        about: "Read 256 MiB from a folder piece by piece; on a runtime of 4 threads.",
        reference: StdReading::NAME,
        threads: &[1],
        figure: None,
        needs: None,
        contenders: vec![
            contender::<Reading<Disk>>(),
            contender::<StdReading>(),
            contender::<TokioReading>(),
            contender::<Reading<ObjectStore>>(),
            contender::<Reading<Operator>>(),
        ],
        goals: best_of(&[TokioReading::NAME, ObjectStore::NAME, <Operator as Peer>::NAME]),
    }
}

/// As fast as each of those who stream too.
fn best_of(peers: &[&'static str]) -> Vec<Goal> {
    peers.iter().map(|peer| Goal::times(OURS, 1.00, peer, 1)).collect()
}

/// One way to stream.
trait Streams: Asker {
    const NAME: &'static str;
    const PACKAGES: &'static [&'static str];

    async fn new(at: &At) -> Self;
}

fn contender<S: Streams>() -> Contender {
    let build = |_| {
        |_thread: usize| {
            in_tasks(1, &async || {
                let at = At::new(Lasting::No);
                let streams = S::new(&at).await;
                at.kept(streams)
            })
        }
    };
    Contender::new(S::NAME, build).of(S::PACKAGES)
}

/// Stores pieces with what a library has for it.
struct Writing<S> {
    store: S,
    piece: Bytes,
}

impl Streams for Writing<Disk> {
    const NAME: &'static str = <Disk as Peer>::NAME;
    const PACKAGES: &'static [&'static str] = <Disk as Peer>::PACKAGES;

    async fn new(at: &At) -> Self {
        Self { store: Disk::within(at).await, piece: content(MIB) }
    }
}

impl Asker for Writing<Disk> {
    async fn ask(&self, _turn: usize) {
        let pieces = vec![Ok::<_, Error>(self.piece.clone()); PIECES];
        let body = Body::stream(futures_util::stream::iter(pieces));
        let stored = self.store.put(KEY, body).await.expect("nothing fails");
        assert_eq!(stored.size, SIZE as u64);
    }
}

impl Streams for Writing<ObjectStore> {
    const NAME: &'static str = ObjectStore::NAME;
    const PACKAGES: &'static [&'static str] = ObjectStore::PACKAGES;

    async fn new(at: &At) -> Self {
        Self { store: ObjectStore::within(at).await, piece: content(MIB) }
    }
}

impl Asker for Writing<ObjectStore> {
    async fn ask(&self, _turn: usize) {
        let upload = self.store.put_multipart(&KEY.into()).await.expect("nothing fails");
        let mut writer = WriteMultipart::new(upload);
        for _ in 0..PIECES {
            writer.wait_for_capacity(AT_ONCE).await.expect("nothing fails");
            writer.put(self.piece.clone());
        }
        writer.finish().await.expect("nothing fails");
    }
}

impl Streams for Writing<Operator> {
    const NAME: &'static str = <Operator as Peer>::NAME_STORING;
    const PACKAGES: &'static [&'static str] = <Operator as Peer>::PACKAGES;

    async fn new(at: &At) -> Self {
        Self { store: Operator::within(at).await, piece: content(MIB) }
    }
}

impl Asker for Writing<Operator> {
    async fn ask(&self, _turn: usize) {
        let mut writer = self.store.writer(KEY).await.expect("nothing fails");
        for _ in 0..PIECES {
            writer.write(self.piece.clone()).await.expect("nothing fails");
        }
        writer.close().await.expect("nothing fails");
    }
}

/// A file by hand, all of it on one thread that may block: nothing comes from elsewhere.
struct StdWriting {
    root: PathBuf,
    piece: Bytes,
}

impl Streams for StdWriting {
    const NAME: &'static str = "std::fs, one spawn_blocking";
    const PACKAGES: &'static [&'static str] = &[];

    async fn new(at: &At) -> Self {
        Self { root: at.root(), piece: content(MIB) }
    }
}

impl Asker for StdWriting {
    async fn ask(&self, _turn: usize) {
        let (root, piece) = (self.root.clone(), self.piece.clone());
        let written = spawn_blocking(move || {
            let mut file = File::create(root.join("beside"))?;
            for _ in 0..PIECES {
                file.write_all(&piece)?;
            }
            std::fs::rename(root.join("beside"), root.join(KEY))
        });
        written.await.expect("nothing panics").expect("nothing fails");
    }
}

/// A file of tokio.
struct TokioWriting {
    root: PathBuf,
    piece: Bytes,
}

impl Streams for TokioWriting {
    const NAME: &'static str = "tokio::fs";
    const PACKAGES: &'static [&'static str] = &["tokio"];

    async fn new(at: &At) -> Self {
        Self { root: at.root(), piece: content(MIB) }
    }
}

impl Asker for TokioWriting {
    async fn ask(&self, _turn: usize) {
        let beside = self.root.join("beside");
        let mut file = tokio::fs::File::create(&beside).await.expect("nothing fails");
        for _ in 0..PIECES {
            file.write_all(&self.piece).await.expect("nothing fails");
        }
        file.flush().await.expect("nothing fails");
        tokio::fs::rename(beside, self.root.join(KEY)).await.expect("nothing fails");
    }
}

/// Reads what was stored with what a library has for it.
struct Reading<S>(S);

impl Streams for Reading<Disk> {
    const NAME: &'static str = <Disk as Peer>::NAME;
    const PACKAGES: &'static [&'static str] = <Disk as Peer>::PACKAGES;

    async fn new(at: &At) -> Self {
        let writing = Writing::<Disk>::new(at).await;
        writing.ask(0).await;
        Self(writing.store)
    }
}

impl Asker for Reading<Disk> {
    async fn ask(&self, _turn: usize) {
        let mut object = self.0.get(KEY).await.expect("nothing fails");
        let mut read = 0;
        while let Some(piece) = object.try_next().await.expect("nothing fails") {
            read += black_box(piece).len();
        }
        assert_eq!(read, SIZE);
    }
}

impl Streams for Reading<ObjectStore> {
    const NAME: &'static str = ObjectStore::NAME;
    const PACKAGES: &'static [&'static str] = ObjectStore::PACKAGES;

    async fn new(at: &At) -> Self {
        let writing = Writing::<ObjectStore>::new(at).await;
        writing.ask(0).await;
        Self(writing.store)
    }
}

impl Asker for Reading<ObjectStore> {
    async fn ask(&self, _turn: usize) {
        let answer = self.0.get(&KEY.into()).await.expect("nothing fails");
        let mut pieces = answer.into_stream();
        let mut read = 0;
        while let Some(piece) = pieces.next().await {
            read += black_box(piece.expect("nothing fails")).len();
        }
        assert_eq!(read, SIZE);
    }
}

impl Streams for Reading<Operator> {
    const NAME: &'static str = <Operator as Peer>::NAME;
    const PACKAGES: &'static [&'static str] = <Operator as Peer>::PACKAGES;

    async fn new(at: &At) -> Self {
        let writing = Writing::<Operator>::new(at).await;
        writing.ask(0).await;
        Self(writing.store)
    }
}

impl Asker for Reading<Operator> {
    async fn ask(&self, _turn: usize) {
        let reader = self.0.reader(KEY).await.expect("nothing fails");
        let mut pieces = reader.into_bytes_stream(..).await.expect("nothing fails");
        let mut read = 0;
        while let Some(piece) = pieces.try_next().await.expect("nothing fails") {
            read += black_box(piece).len();
        }
        assert_eq!(read, SIZE);
    }
}

/// A file by hand, all of it on one thread that may block, into the same memory again and again.
struct StdReading(PathBuf);

impl Streams for StdReading {
    const NAME: &'static str = StdWriting::NAME;
    const PACKAGES: &'static [&'static str] = &[];

    async fn new(at: &At) -> Self {
        let writing = StdWriting::new(at).await;
        writing.ask(0).await;
        Self(writing.root.join(KEY))
    }
}

impl Asker for StdReading {
    async fn ask(&self, _turn: usize) {
        let path = self.0.clone();
        let read = spawn_blocking(move || {
            let (mut file, mut piece, mut all) = (File::open(path)?, vec![0; MIB], 0);
            loop {
                match file.read(&mut piece)? {
                    0 => return Ok::<_, std::io::Error>(all),
                    read => all += black_box(&piece[..read]).len(),
                }
            }
        });
        assert_eq!(read.await.expect("nothing panics").expect("nothing fails"), SIZE);
    }
}

/// A file of tokio, read in pieces that can be kept.
struct TokioReading(PathBuf);

impl Streams for TokioReading {
    const NAME: &'static str = TokioWriting::NAME;
    const PACKAGES: &'static [&'static str] = TokioWriting::PACKAGES;

    async fn new(at: &At) -> Self {
        let writing = TokioWriting::new(at).await;
        writing.ask(0).await;
        Self(writing.root.join(KEY))
    }
}

impl Asker for TokioReading {
    async fn ask(&self, _turn: usize) {
        let mut file = tokio::fs::File::open(&self.0).await.expect("nothing fails");
        let mut all = 0;
        loop {
            let mut piece = Vec::with_capacity(MIB);
            match file.read_buf(&mut piece).await.expect("nothing fails") {
                0 => break,
                read => all += black_box(Bytes::from(piece)).len().min(read),
            }
        }
        assert_eq!(all, SIZE);
    }
}

const KEY: &str = "film";
const PIECES: usize = 256;
const SIZE: usize = PIECES * MIB;
/// As many as the product has on their way.
const AT_ONCE: usize = 4;
