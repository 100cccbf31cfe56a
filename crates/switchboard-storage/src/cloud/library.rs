//! What the client library asks on its own, over our connections: credentials that end.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use http_body_util::BodyExt as _;
use object_store::client::{
    HttpClient, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};
use switchboard_core::{Error, ErrorKind};

use crate::wire::Wire;

impl HttpService for Wire {
    fn call<'c, 'f>(
        &'c self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'f>>
    where
        'c: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            let failed = |error| HttpError::new(HttpErrorKind::Unknown, Failed(error));
            let answer = self.send(request).await.map_err(failed)?;
            let (parts, body) = answer.into_parts();
            let body = body.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error));
            Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
        })
    }
}

impl object_store::client::HttpConnector for Wire {
    fn connect(&self, _: &object_store::ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

/// An error of ours on its way through the client library.
#[derive(Debug)]
struct Failed(Error);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for Failed {}

/// What kind of error it is that nobody can be named who asks.
pub(crate) fn credentials_failed(error: object_store::Error) -> Error {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(at) = source {
        // The service for credentials did not answer, which says nothing of them.
        if let Some(Failed(outage)) = at.downcast_ref() {
            return outage.clone().not_applied();
        }
        source = at.source();
    }
    Error::new(ErrorKind::Unauthenticated, "there are no credentials to ask with")
        .with_source(error)
        .not_applied()
}
