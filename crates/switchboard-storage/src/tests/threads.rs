//! What tasks may take along to whatever thread runs them.

use std::future::Future;
use std::time::Duration;

use futures_core::Stream;

use super::cutting;
use crate::{Body, Get, Upload, UploadState, Version, Writer};

fn sent<F: Future + Send>(_: F) {}
fn streamed<S: Stream + Send>(_: S) {}
fn shared<T: Send + Sync + 'static>() {}
fn held<T: Send + 'static>() {}

#[tokio::test]
async fn whatever_is_asked_of_a_disk_can_be_asked_from_any_thread() {
    let (_disks, disk) = cutting().await;
    let version = Version::new("1");
    sent(disk.head("key"));
    sent(disk.exists("key"));
    sent(disk.read("key"));
    sent(disk.delete("key"));
    sent(disk.delete_only("key", &version));
    sent(disk.delete_many(&["key"]));
    sent(disk.delete_many(&["key".to_owned()]));
    sent(disk.sweep(Duration::ZERO));
    sent(disk.list("").page(None));
    streamed(disk.list("").pages());
    streamed(disk.list("").entries());
    sent(Body::file("file"));
    sent(Body::empty().collect(1));

    let mut upload = disk.upload("key").await.unwrap();
    sent(upload.part(0, "part"));
    sent(upload.push("part"));
    sent(upload.finish());
    let state = upload.state();
    sent(disk.resume(&state));
    sent(upload.abort());
    sent(disk.writer("key").await.unwrap().finish());

    disk.put("key", "1").await.unwrap();
    sent(disk.get("key").await.unwrap().bytes(9));
    sent(disk.get("key").await.unwrap().text(9));
    sent(disk.get("key").await.unwrap().json::<u32>(9));
    shared::<Upload>();
    shared::<UploadState>();
    held::<Writer>();
    held::<Get<'static>>();
}
