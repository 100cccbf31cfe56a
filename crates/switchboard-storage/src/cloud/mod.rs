//! What drivers of services in clouds have in common.
//!
//! Read in this order: [`Service`], who asks, and where; `query` and `answer`, what is asked and answered; `said`, what is said of objects; `refusal`, what a service
//! says when it refuses, and what kind of error that is; `xml`, how services write; `bucket`, the requests of S3 and
//! of those who speak like it; `library`, what asks on its own.

mod answer;
#[cfg(any(feature = "gcs", feature = "s3"))]
mod bucket;
mod library;
mod query;
mod refusal;
mod said;
mod service;
mod xml;

#[cfg(any(feature = "gcs", feature = "s3"))]
pub(crate) use bucket::{Bucket, Conditions, Dialect, Sums, Traits};
pub(crate) use library::credentials_failed;
pub(crate) use refusal::Refusal;
pub(crate) use service::{Access, Ask, Service, unsupported};
pub(crate) use xml::Element;
