//! The driver against servers: our own, those of others, and answers that none of them gives.

mod answers;
mod config;
mod folder;
mod redirects;
mod s3;
#[cfg(feature = "http-handler")]
pub(super) mod served;

use std::net::SocketAddr;

use futures_util::TryStreamExt as _;
use switchboard_core::{Environment, ErrorKind, Manager, Name, Registry, Settings};

use super::*;
use crate::wire::scripted::{answering, beside, choosing, written};
use crate::{ByteRange, Disk};

fn at(server: SocketAddr) -> Http {
    made(&config(server)).unwrap()
}

fn config(server: SocketAddr) -> HttpDiskConfig {
    let base_url = Some(format!("http://{server}/public"));
    HttpDiskConfig { base_url, ..HttpDiskConfig::default() }
}

fn made(config: &HttpDiskConfig) -> Result<Http> {
    Http::new(config, &BuildContext::new(&Environment::new(), Name::parse("main").unwrap()))
}

/// The driver as the disk of an application.
async fn disk(server: SocketAddr) -> (Manager<Disks>, Disk) {
    let registry = Registry::empty();
    register(&registry).unwrap();
    let disks = Manager::new(registry, &Environment::new()).unwrap();
    let settings =
        Settings::new().with("driver", "http").with("base_url", format!("http://{server}"));
    disks.configure("main", &settings).unwrap();
    let disk = disks.get("main").await.unwrap();
    (disks, disk)
}

fn key(written: &str) -> Key<'_> {
    Key::parse(written).unwrap()
}

fn range(range: impl Into<ByteRange>) -> Read {
    Read { range: Some(range.into()), ..Read::default() }
}

fn only(version: &str) -> Read {
    Read { only: Some(Version::new(version)), ..Read::default() }
}

/// All bytes that are answered with.
async fn read(http: &Http, read: &Read) -> Result<Bytes> {
    http.get(key("k"), read).await?.expect("it is not unchanged").body.collect(1 << 20).await
}
