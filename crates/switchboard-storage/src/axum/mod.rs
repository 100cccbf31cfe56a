//! Objects in an `axum` application.
//!
//! Read in this order: an [`Object`](crate::Object) is a response; [`Incoming`], the body of a request as that of
//! an object; [`Failure`], an error as a response. For addresses that are signed there is
//! [`handler`](crate::handler).
//!
//! ```
//! # use switchboard_core::{Environment, Manager, Registry, Settings};
//! # use switchboard_storage::Disks;
//! use axum::Router;
//! use axum::extract::{Path, State};
//! use axum::routing::get;
//! use switchboard_storage::axum::{Failure, Incoming};
//! use switchboard_storage::{Disk, Object};
//!
//! async fn show(State(disk): State<Disk>, Path(key): Path<String>) -> Result<Object, Failure> {
//!     Ok(disk.get(&key).await?)
//! }
//!
//! async fn store(
//!     State(disk): State<Disk>,
//!     Path(key): Path<String>,
//!     upload: Incoming,
//! ) -> Result<(), Failure> {
//!     let content_type = upload.content_type().unwrap_or("application/octet-stream").to_owned();
//!     disk.put(&key, upload.body(5 << 20)?).content_type(content_type).await?;
//!     Ok(())
//! }
//!
//! fn photos(disk: Disk) -> Router {
//!     Router::new().route("/photos/{key}", get(show).put(store)).with_state(disk)
//! }
//! # use axum::http::Request;
//! # use tower::ServiceExt as _;
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
//! # runtime.block_on(async {
//! # let disks = Manager::<Disks>::new(Registry::with_built_ins()?, &Environment::new())?;
//! # disks.configure("main", &Settings::new().with("driver", "memory"))?;
//! # let disk = disks.handle("main")?;
//! # let request = Request::put("/photos/7").header("content-type", "image/png").body("png".to_owned());
//! # let response = photos(disk.clone()).oneshot(request.unwrap()).await.unwrap();
//! # assert_eq!(response.status(), 200);
//! # let request = Request::get("/photos/7").body(String::new()).unwrap();
//! # let response = photos(disk).oneshot(request).await.unwrap();
//! # assert_eq!(response.headers()["content-type"], "image/png");
//! # Ok::<(), switchboard_core::Error>(()) }).unwrap();
//! ```

mod failure;
mod incoming;
mod object;
#[cfg(test)]
mod tests;

pub use failure::Failure;
pub use incoming::Incoming;
