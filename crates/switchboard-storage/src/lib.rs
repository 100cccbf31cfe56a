//! Storage for Switchboard: one handle, whatever keeps the objects.
//!
//! Read in this order: [`Disk`], what an application holds; [`Put`], [`Get`] and [`Listing`], what it asks; [`Upload`]
//! and [`Writer`], objects that come bit by bit; [`Body`], the bytes of an object; [`Key`], [`Meta`]
//! and [`Attributes`], what is said of one; [`StorageDriver`], the contract of a driver; [`drivers`], those that
//! come along; `conformance`, behind the feature of that name, the rules every driver keeps, as tests. For those
//! who serve objects over HTTP there are `handler`, which answers signed addresses, and `axum`, behind the
//! features `http-handler` and `axum`; for the crate `object_store` there is `Mount`, behind the feature of its name.
//!
//! ```
//! use switchboard_core::{Environment, Manager, Registry, Settings};
//! use switchboard_storage::Disks;
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
//! # runtime.block_on(async {
//! let disks = Manager::<Disks>::new(Registry::with_built_ins()?, &Environment::new())?;
//! disks.configure("uploads", &Settings::new().with("driver", "memory"))?;
//!
//! let uploads = disks.handle("uploads")?;
//! uploads.put("hello.txt", "Hello, Ada").await?;
//! assert_eq!(uploads.read("hello.txt").await?, "Hello, Ada");
//! # Ok::<(), switchboard_core::Error>(()) }).unwrap();
//! ```

#[cfg(feature = "object_store")]
mod adapter;
#[cfg(feature = "axum")]
pub mod axum;
mod beneath;
mod blocking;
mod body;
#[cfg(feature = "cloud")]
mod cloud;
mod config;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod copy;
mod cut;
mod delete;
mod disk;
mod doubt;
mod driver;
pub mod drivers;
mod files;
mod get;
mod guess;
#[cfg(feature = "http-handler")]
pub mod handler;
mod io;
mod kept;
mod key;
mod landing;
mod listing;
mod object;
mod page;
#[cfg(test)]
mod planted;
mod progress;
mod put;
mod ranges;
mod registration;
mod resume;
mod sign;
mod signature;
mod store;
#[cfg(test)]
mod tests;
mod upload;
#[cfg(feature = "wire")]
mod wire;
mod writer;

#[cfg(feature = "object_store")]
pub use adapter::Mount;
pub use beneath::Beneath;
pub use blocking::{Caller, blocking};
pub use body::Body;
pub use config::{DiskConfig, SignKey, Verify};
pub use copy::Copy;
pub use delete::{DeleteAll, Deleted};
pub use disk::{Disk, Disks, op};
pub use driver::{
    ByteRange, Condition, Entry, Fetched, Limits, List, Method, Page, Part, PartTag, Read, Sign,
    Signed, StorageDriver, Stored, UploadId, Write, already_there, another_sum, another_version,
    capability, nothing_there,
};
pub use files::{FromFile, GetFile};
pub use get::{Get, Object};
pub use key::Key;
pub use listing::Listing;
pub use object::{Attributes, Checksum, Meta, RESERVED, Version, WriteId};
pub use progress::Progress;
pub use put::{InParts, Put};
pub use registration::register;
pub use resume::UploadState;
pub use sign::{SignGet, SignPut, Signing};
pub use store::{Served, Store};
pub use upload::Upload;
#[cfg(feature = "wire")]
pub use wire::HttpConfig;
pub use writer::{Writer, Written};
