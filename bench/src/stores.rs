//! Who keeps objects, whether in a folder or in a bucket: the product and the two libraries one would
//! use instead.

use std::sync::Arc;

use bytes::Bytes;
use object_store::{ObjectStoreExt, PutPayload};
use opendal::Operator;
use switchboard_core::{Environment, Manager, Registry, Settings};
use switchboard_storage::{Disk, Disks};

use crate::asking::Asker;

/// One way to keep objects.
pub trait Store: Send + Sync + 'static {
    /// All bytes of an object, in one piece.
    fn get(&self, key: &str) -> impl Future<Output = Bytes> + Send;

    /// Stores `content`, and replaces what was there.
    fn put(&self, key: &str, content: Bytes) -> impl Future<Output = ()> + Send;
}

/// The product's disk, as `settings` say.
pub async fn ours(settings: &Settings) -> Disk {
    let registry = Registry::with_built_ins().expect("the names differ");
    let manager =
        Manager::<Disks>::new(registry, &Environment::new()).expect("the environment is new");
    manager.configure("main", settings).expect("the settings are right");
    manager.get("main").await.expect("the driver is there")
}

impl Store for Disk {
    async fn get(&self, key: &str) -> Bytes {
        self.read(key).await.expect("nothing fails")
    }

    async fn put(&self, key: &str, content: Bytes) {
        Disk::put(self, key, content).await.expect("nothing fails");
    }
}

impl Store for Arc<dyn object_store::ObjectStore> {
    async fn get(&self, key: &str) -> Bytes {
        let answer = ObjectStoreExt::get(self, &key.into()).await.expect("nothing fails");
        answer.bytes().await.expect("nothing fails")
    }

    async fn put(&self, key: &str, content: Bytes) {
        let content = PutPayload::from_bytes(content);
        ObjectStoreExt::put(self, &key.into(), content).await.expect("nothing fails");
    }
}

impl Store for Operator {
    async fn get(&self, key: &str) -> Bytes {
        self.read(key).await.expect("nothing fails").to_bytes()
    }

    async fn put(&self, key: &str, content: Bytes) {
        self.write(key, content).await.expect("nothing fails");
    }
}

/// Reads objects of `size` bytes that it has stored before.
pub struct Getting<S> {
    store: S,
    size: usize,
}

impl<S: Store> Getting<S> {
    pub async fn new(store: S, size: usize) -> Self {
        for turn in 0..KEYS {
            store.put(&key(turn), content(size)).await;
        }
        Self { store, size }
    }
}

impl<S: Store> Asker for Getting<S> {
    async fn ask(&self, turn: usize) {
        let bytes = self.store.get(&key(turn)).await;
        assert_eq!((bytes.len(), bytes.last()), (self.size, Some(&LAST)));
    }
}

/// Stores objects, one in the place of another.
pub struct Putting<S> {
    store: S,
    content: Bytes,
}

impl<S: Store> Putting<S> {
    pub async fn new(store: S, size: usize) -> Self {
        let content = content(size);
        store.put(&key(0), content.clone()).await;
        assert_eq!(store.get(&key(0)).await, content);
        Self { store, content }
    }
}

impl<S: Store> Asker for Putting<S> {
    async fn ask(&self, turn: usize) {
        self.store.put(&key(turn), self.content.clone()).await;
    }
}

/// The key of the object that has its turn.
pub fn key(turn: usize) -> String {
    format!("objects/{:02}.bin", turn % KEYS)
}

/// Bytes that look like those of an object, and end as no other piece does.
pub fn content(size: usize) -> Bytes {
    let mut bytes: Vec<u8> = (0..size).map(|at| (at * 31 >> 3) as u8).collect();
    *bytes.last_mut().expect("is not empty") = LAST;
    bytes.into()
}

pub const KIB: usize = 1 << 10;
pub const MIB: usize = 1 << 20;
const KEYS: usize = 64;
const LAST: u8 = 0x5a;
