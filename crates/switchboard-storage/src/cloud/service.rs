//! A service that is asked for objects over HTTP: one request, who makes it, and what comes back.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Uri};
use object_store::client::HttpRequest;
use object_store::signer::Signer;
use switchboard_core::{Clock, Error, ErrorKind, Health, Reply, Result};

use super::Refusal;
use super::query::encoded_query;
use super::xml::Element;
use crate::Key;
use crate::wire::{Answer, Wire, encoded_path};

/// A service, and who asks it.
pub(crate) struct Service {
    pub(crate) wire: Wire,
    pub(crate) access: Arc<dyn Access>,
    /// Where the objects are, without a `/` at the end.
    pub(crate) address: String,
    pub(crate) clock: Clock,
}

/// Who asks, and how a request says so.
pub(crate) trait Access: fmt::Debug + Send + Sync {
    /// Adds to a request what proves who makes it.
    fn authorize<'a>(&'a self, request: &'a mut HttpRequest) -> Reply<'a, ()>;

    /// What makes addresses that need no other proof.
    fn signer(&self) -> &dyn Signer;

    /// Where we say that the bucket is, if that matters.
    fn region(&self) -> Option<&str> {
        None
    }
}

/// One request.
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) key: Option<Key<'a>>,
    pub(crate) query: Vec<(&'a str, &'a str)>,
    pub(crate) headers: HeaderMap,
    pub(crate) content: Bytes,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(method: Method, key: impl Into<Option<Key<'a>>>) -> Self {
        let (query, headers, content) = (Vec::new(), HeaderMap::new(), Bytes::new());
        Self { method, key: key.into(), query, headers, content }
    }

    pub(crate) fn query(mut self, name: &'a str, value: &'a str) -> Self {
        self.query.push((name, value));
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Result<Self> {
        let refused = || {
            Error::new(ErrorKind::InvalidInput, "this cannot travel in a header")
                .with_context("header", name)
                .not_applied()
        };
        let value = HeaderValue::from_str(value).map_err(|_| refused())?;
        let name = HeaderName::try_from(name).map_err(|_| refused())?;
        self.headers.insert(name, value);
        Ok(self)
    }

    pub(crate) fn content(mut self, content: Bytes) -> Self {
        self.content = content;
        self
    }
}

impl Service {
    /// What the service answers; an answer that is no success is a refusal.
    pub(crate) async fn ask(&self, ask: Ask<'_>) -> Result<Result<Answer, Refusal>> {
        let path = ask.key.map(|key| format!("/{}", encoded_path(key.as_str())));
        let query = encoded_query(&ask.query);
        let address = format!("{}{}{query}", self.address, path.unwrap_or_default());
        let mut headers = ask.headers;
        if ask.method == Method::PUT || ask.method == Method::POST {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(ask.content.len()));
        }
        let has_bytes = ask.method != Method::HEAD;
        let mut request = HttpRequest::new(ask.content.into());
        *request.method_mut() = ask.method;
        *request.uri_mut() = Uri::try_from(address).map_err(|error| {
            Error::new(ErrorKind::Config, "this is not the address of a service").with_source(error)
        })?;
        *request.headers_mut() = headers;
        self.access.authorize(&mut request).await?;
        let answer = self.wire.send(request).await?;
        if answer.status().is_success() {
            return Ok(Ok(answer));
        }
        let refusal = Refusal::of(answer).await;
        if has_bytes {
            return Ok(Err(refusal));
        }
        Ok(Err(refusal.without_bytes(self.access.region(), self.clock.wall())))
    }

    /// The same for an object that may be unchanged in the sense of the request: `None`.
    pub(crate) async fn ask_unless_same(&self, ask: Ask<'_>) -> Result<Option<Answer>> {
        match self.ask(ask).await? {
            Ok(answer) => Ok(Some(answer)),
            Err(refusal) if refusal.status == StatusCode::NOT_MODIFIED => Ok(None),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// The same for an answer in XML, which may turn out to be a refusal after it began as a success.
    pub(crate) async fn ask_xml(&self, ask: Ask<'_>) -> Result<Result<Element, Refusal>> {
        let answer = self.ask_xml_and(ask, "").await?;
        Ok(answer.map(|(answer, _)| answer))
    }

    /// The same with the value of a header of the answer, if it is there.
    pub(crate) async fn ask_xml_and(
        &self,
        ask: Ask<'_>,
        header: &str,
    ) -> Result<Result<(Element, Option<String>), Refusal>> {
        let answer = match self.ask(ask).await? {
            Ok(answer) => answer,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let told = answer.header(header).map(str::to_owned);
        let answer = answer.xml().await?;
        if answer.name == "Error" {
            return Ok(Err(Refusal::late(&answer)));
        }
        Ok(Ok((answer, told)))
    }

    /// What the answer to this request says of the service: that the bucket is there, and lets us in.
    pub(crate) async fn health(&self, ask: Ask<'_>) -> Result<Health> {
        match self.ask(ask).await {
            Ok(Ok(_)) => Ok(Health::up()),
            // Whoever may not look at the bucket may be allowed to use its objects all the same.
            Ok(Err(refusal)) if refusal.is_silent_about_the_bucket() => {
                Ok(Health::degraded("the service does not tell us whether the bucket is there"))
            }
            Ok(Err(refusal)) if refusal.status == StatusCode::NOT_FOUND => {
                Ok(Health::down("there is no such bucket or container"))
            }
            Ok(Err(refusal)) => Ok(Health::down(Error::from(refusal).to_string())),
            Err(error) => Ok(Health::down(error.to_string())),
        }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What is said of what a service cannot do.
pub(crate) fn unsupported(capability: &'static str) -> Error {
    Error::new(ErrorKind::Unsupported, "the service cannot do this, or it is not relied on")
        .with_context("capability", capability)
        .not_applied()
}
