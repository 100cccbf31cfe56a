//! Answers signed addresses of a disk over HTTP.
//!
//! For disks whose service cannot sign, or is not to be reached from outside: the address leads to the
//! application, and a [`Handler`] there does what was signed and nothing else. It is a `tower` service, so it
//! can be mounted in any server; what comes before the keys in `public_url` is stripped by whoever mounts it.
//!
//! ```
//! # use switchboard_core::{Environment, Manager, Registry, Settings};
//! # use switchboard_storage::Disks;
//! # use tower::ServiceExt as _;
//! use std::time::Duration;
//!
//! use axum::Router;
//! use axum::http::Request;
//! use switchboard_storage::handler::Handler;
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
//! # runtime.block_on(async {
//! let disks = Manager::<Disks>::new(Registry::with_built_ins()?, &Environment::new())?;
//! let key = Settings::new().with("id", "2026").with("secret", "0123456789abcdef0123456789abcdef");
//! let settings = Settings::new()
//!     .with("driver", "memory")
//!     .with("public_url", "https://example.com/files")
//!     .with("sign_keys", vec![key]);
//! disks.configure("main", &settings)?;
//! let disk = disks.handle("main")?;
//!
//! let app: Router = Router::new().nest_service("/files", Handler::new(disk.clone()));
//!
//! disk.put("hello.txt", "Hello, Ada").await?;
//! let link = disk.sign("hello.txt").get(Duration::from_secs(60)).await?;
//! let request = Request::get(&link.url).body(axum::body::Body::empty()).unwrap();
//! let response = app.clone().oneshot(request).await.unwrap();
//! assert_eq!(response.status(), 200);
//!
//! let (unsigned, _) = link.url.split_once('?').unwrap();
//! let request = Request::get(unsigned).body(axum::body::Body::empty()).unwrap();
//! assert_eq!(app.oneshot(request).await.unwrap().status(), 403);
//! # Ok::<(), switchboard_core::Error>(()) }).unwrap();
//! ```
//!
//! Pages of other origins may use the addresses only if a layer around the handler allows it (CORS).

mod conditions;
mod content;
mod digests;
mod incoming;
mod reading;
mod status;
#[cfg(test)]
mod tests;
mod writing;

use std::convert::Infallible;
use std::error::Error as StdError;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{HeaderValue, Method as HttpMethod, Request, Response, StatusCode, header};
use http_body::Body as HttpBody;
use switchboard_core::{ErrorKind, Held, Result};
use tokio::sync::Semaphore;
use tower_service::Service;

use crate::disk::op;
use crate::driver::Sign;
use crate::signature::Addresses;
use crate::store::Store;
use crate::{Disk, Disks, Method};

pub use content::Content;
pub(crate) use incoming::Limits;
#[cfg(feature = "axum")]
pub(crate) use incoming::body_of;
#[cfg(feature = "axum")]
pub(crate) use reading::{described, part};
#[cfg(feature = "axum")]
pub(crate) use status::{retry_after, status_of};

/// A service that does what signed addresses of a disk say.
///
/// What was not signed, was changed, or is not good now is answered with 403 and the same words, whether there
/// is an object or not. A signed address is answered like this:
///
/// | method | answer |
/// |---|---|
/// | `GET` | 200 with the object, 206 with the range that was asked for; 304 and 412 by conditions, 416 |
/// | `HEAD` | the same without the object |
/// | `PUT` | 204 with the new `etag`; 403 for another `content-type` than was signed, 413 for too many bytes, 412 by conditions (`if-none-match: *`, `if-match`, `if-unmodified-since`) |
/// | `DELETE` | 204, also if nothing was there; 412 by conditions |
///
/// Bodies are passed on as they come, both ways. The kind of content is the only thing that is taken over from
/// the headers of a `PUT`. Several ranges at once are answered with the whole object.
#[derive(Clone, Debug)]
pub struct Handler {
    disk: Disk,
    limits: Limits,
    uploads: Arc<Semaphore>,
}

impl Handler {
    /// The handler for addresses of `disk`: 5 GiB a `PUT`, 32 of them at once, each 30 seconds for its next bytes.
    ///
    /// Of a disk with a [scope](Disk::scope), it answers only what lies in the scope.
    pub fn new(disk: Disk) -> Self {
        let limits = Limits { size_max: 5 << 30, idle_max: Duration::from_secs(30) };
        Self { disk, limits, uploads: Arc::new(Semaphore::new(32)) }
    }

    /// The most bytes that a `PUT` has, whatever was signed.
    #[must_use]
    pub fn size_max(mut self, bytes: u64) -> Self {
        self.limits.size_max = bytes;
        self
    }

    /// How long a `PUT` may send nothing.
    #[must_use]
    pub fn idle_max(mut self, idle: Duration) -> Self {
        self.limits.idle_max = idle;
        self
    }

    /// How many `PUT` are answered at once, by this handler and its clones; others are answered with 503. Each
    /// holds parts of its object in memory.
    #[must_use]
    pub fn uploads_at_once(mut self, uploads: usize) -> Self {
        self.uploads = Arc::new(Semaphore::new(uploads.min(Semaphore::MAX_PERMITS)));
        self
    }

    async fn answer<B>(self, request: Request<B>) -> Response<Content>
    where
        B: HttpBody + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let answered = match self.allowed(&parts).await {
            Ok(Some((signed, key))) => self.perform(&signed, &key, &parts, body).await,
            Ok(None) => Ok(plain(StatusCode::FORBIDDEN)),
            Err(error) => Err(error),
        };
        let mut response = answered.unwrap_or_else(status::refusal);
        let headers = response.headers_mut();
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // An object that is a page must not tell others the address that it was opened by.
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        response
    }

    async fn perform<B>(
        &self,
        signed: &Sign,
        key: &str,
        parts: &Parts,
        body: B,
    ) -> Result<Response<Content>>
    where
        B: HttpBody + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let Self { disk, limits, uploads } = self;
        match signed.method {
            Method::Get => reading::get(disk, key, signed, &parts.headers).await,
            Method::Head => reading::head(disk, key, &parts.headers).await,
            Method::Put => {
                let Ok(_one) = uploads.try_acquire() else {
                    let mut response = plain(StatusCode::SERVICE_UNAVAILABLE);
                    response
                        .headers_mut()
                        .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                    return Ok(response);
                };
                writing::put(disk, key, signed, &parts.headers, body, *limits).await
            }
            Method::Delete => writing::delete(disk, key, &parts.headers).await,
        }
    }

    /// What was signed, and the key that the disk of the handler has for it; `None` if it was not.
    async fn allowed(&self, parts: &Parts) -> Result<Option<(Sign, String)>> {
        let method = match parts.method {
            HttpMethod::GET => Method::Get,
            HttpMethod::HEAD => Method::Head,
            HttpMethod::PUT => Method::Put,
            HttpMethod::DELETE => Method::Delete,
            _ => return Ok(None),
        };
        let Some(query) = parts.uri.query() else { return Ok(None) };
        let Some(addresses) = self.addresses().await? else { return Ok(None) };
        let signed = match addresses.verify(method, parts.uri.path(), query) {
            Ok(signed) => signed,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(None),
            Err(error) => return Err(error),
        };
        let key = signed.key.strip_prefix(self.disk.scope_prefix()).map(str::to_owned);
        Ok(key.map(|key| (signed, key)))
    }

    /// What knows addresses of the disk. Whoever asks at random costs the disk nothing: no gate is passed.
    async fn addresses(&self) -> Result<Option<Arc<Addresses>>> {
        let line = self.disk.line();
        if let Some(addresses) = line.peek(Store::addresses) {
            return Ok(addresses);
        }
        line.call(op::PREPARE, |store: Held<Disks>| async move { Ok(store.addresses()) }).await
    }
}

impl<B> Service<Request<B>> for Handler
where
    B: HttpBody + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Response = Response<Content>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let answer = self.clone().answer(request);
        Box::pin(async move { Ok(answer.await) })
    }
}

/// A response that says nothing but its status.
fn plain(status: StatusCode) -> Response<Content> {
    let mut response = Response::new(Content::text(status.canonical_reason().unwrap_or_default()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
