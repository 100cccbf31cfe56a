//! What drivers of services over HTTP have in common.
//!
//! Read in this order: [`Wire`], one request and its answer, within the times that were set; [`Service`], who
//! makes it, and where; `answer`, what came back; `said`, what is said of objects; `refusal`, what a service says
//! when it refuses, and what kind of error that is; `xml` and `notation`, how services write; `bucket`, the
//! requests of S3 and of those who speak like it.
//!
//! Nothing here repeats a request, follows a redirection or waits for longer than it was told to.

mod answer;
#[cfg(any(feature = "gcs", feature = "s3"))]
mod bucket;
mod notation;
mod refusal;
mod said;
#[cfg(test)]
pub(crate) mod scripted;
mod service;
mod wire;
mod xml;

pub(crate) use answer::{Answer, foreign};
#[cfg(any(feature = "gcs", feature = "s3"))]
pub(crate) use bucket::{Bucket, Conditions, Dialect, Sums, Traits};
pub(crate) use notation::{encoded_path, encoded_query, moment, written_moment};
pub(crate) use refusal::Refusal;
pub(crate) use said::written_range;
pub(crate) use service::{Access, Ask, Service, unsupported, usual_policy};
pub use wire::HttpConfig;
pub(crate) use wire::{Wire, credentials_failed};
pub(crate) use xml::Element;
