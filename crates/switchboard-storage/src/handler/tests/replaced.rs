//! Objects that are replaced between a look at them and reading them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{IF_NONE_MATCH, RANGE};
use switchboard_core::{
    Descriptor, Environment, Error, ErrorKind, Lifecycle, Manager, NoSettings, Registry, Reply,
};

use super::super::reading;
use crate::driver::{Fetched, List, Page, Read, Stored, Write};
use crate::{Disk, Disks, Key, Meta, StorageDriver, Version};

/// An object that is a new one after each of the first looks at it, and a byte longer.
struct Restless {
    looks: AtomicU64,
    calms_down_after: u64,
}

impl Restless {
    fn meta(&self) -> Meta {
        let number = self.looks.load(Ordering::Relaxed).min(self.calms_down_after);
        Meta::new(number + 1, SystemTime::UNIX_EPOCH, Version::new(number.to_string()))
    }
}

impl Lifecycle for Restless {}

impl StorageDriver for Restless {
    fn head<'a>(&'a self, _: Key<'a>) -> Reply<'a, Meta> {
        let meta = self.meta();
        self.looks.fetch_add(1, Ordering::Relaxed);
        Reply::ready(Ok(meta))
    }

    fn get<'a>(&'a self, _: Key<'a>, read: &'a Read) -> Reply<'a, Option<Fetched>> {
        Reply::ready((|| {
            let meta = self.meta();
            read.allows(&meta)?;
            let range =
                read.range.as_ref().map_or(Ok(0..meta.size), |range| range.of(meta.size))?;
            let length = usize::try_from(range.end - range.start).unwrap();
            let body = meta.version.as_str().repeat(length).into();
            Ok(Some(Fetched { meta, range, body }))
        })())
    }

    fn put<'a>(&'a self, _: Key<'a>, _: Bytes, _: &'a Write) -> Reply<'a, Stored> {
        never()
    }

    fn delete<'a>(&'a self, _: Key<'a>, _: Option<&'a Version>) -> Reply<'a, bool> {
        never()
    }

    fn list<'a>(&'a self, _: &'a List) -> Reply<'a, Page> {
        never()
    }
}

fn never<T: Send>() -> Reply<'static, T> {
    Reply::ready(Err(Error::new(ErrorKind::Unsupported, "it is only for reading")))
}

async fn disk(calms_down_after: u64) -> Disk {
    let registry = Registry::empty();
    let make = move |_: NoSettings, _| async move {
        Ok(Restless { looks: AtomicU64::new(0), calms_down_after })
    };
    crate::register(&registry, Descriptor::new("restless"), make).unwrap();
    let disks = Manager::<Disks>::new(registry, &Environment::new()).unwrap();
    let settings = switchboard_core::Settings::new().with("driver", "restless");
    disks.configure("main", &settings).unwrap();
    disks.get("main").await.unwrap()
}

#[tokio::test]
async fn what_is_said_of_an_object_is_said_of_the_bytes_that_come() {
    let disk = disk(1).await;
    let mut headers = HeaderMap::new();
    headers.insert(RANGE, "bytes=0-".parse().unwrap());
    let answer = reading::read(&disk, "key", &headers).await.unwrap();
    assert_eq!(answer.headers()["etag"], "\"1\"");
    assert_eq!(answer.headers()["content-range"], "bytes 0-1/2");
    let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap();
    assert_eq!(body.to_bytes(), "11");
}

#[tokio::test]
async fn an_object_that_never_rests_is_not_waited_for() {
    let disk = disk(u64::MAX).await;
    let mut headers = HeaderMap::new();
    headers.insert(IF_NONE_MATCH, "\"another\"".parse().unwrap());
    let error = reading::read(&disk, "key", &headers).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}
