//! Who may ask for what: the names the console answers to, where a browser comes from, the token.
//!
//! A page that a browser on this machine shows can send requests to loopback, also under a name of its
//! own that it points here. It cannot choose the headers `Host` and `Origin`, so these are looked at
//! always, and before the token.

use std::net::IpAddr;

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, ORIGIN};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Method, StatusCode};
use switchboard_core::{ErrorKind, Secret};

use crate::answer::Refusal;
use crate::token;

/// Who may come in.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) token: Secret,
    pub(crate) needs_token: NeedsToken,
    /// Names beside those of this machine.
    pub(crate) hosts: Vec<String>,
}

/// What the token is asked for. Whether the process is alive and ready is told to everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NeedsToken {
    /// Nothing: only this machine can ask, and nobody has configured a token.
    Nothing,
    /// What changes something, and the values of caches: only this machine can ask.
    Changes,
    /// Everything.
    Everything,
}

impl Access {
    /// Refuses whoever may not ask this. `local` is the address that the client connected to.
    pub(crate) fn check(&self, request: &Parts, local: IpAddr) -> Result<(), Refusal> {
        let host = host_of(request)?;
        self.check_host(&host, local)?;
        check_origin(request, &host)?;
        self.check_token(request)?;
        check_content_type(request)
    }

    fn check_host(&self, host: &Authority, local: IpAddr) -> Result<(), Refusal> {
        let name = host.host().trim_end_matches('.');
        let is_known = match address_of(name) {
            Some(address) => address.is_loopback() || address == local.to_canonical(),
            None => name.eq_ignore_ascii_case("localhost"),
        };
        let is_listed = || self.hosts.iter().any(|known| is_meant(known, name, host));
        if is_known || is_listed() {
            return Ok(());
        }
        Err(forbidden("the console does not answer to that name")
            .with_hint("add the name to `console.hosts`"))
    }

    fn check_token(&self, request: &Parts) -> Result<(), Refusal> {
        if OPEN_PAGES.contains(&request.uri.path()) {
            return Ok(());
        }
        let is_needed = match self.needs_token {
            NeedsToken::Nothing => false,
            NeedsToken::Changes => is_change(request) || shows_values(request),
            NeedsToken::Everything => true,
        };
        match only(request, &AUTHORIZATION)? {
            None if !is_needed => Ok(()),
            None => Err(unauthenticated("the request needs a token")
                .with_hint("send it as `Authorization: Bearer …`")),
            Some(said) if self.is_token(said) => Ok(()),
            // Said without need it is a mistake all the same, and better found here than later.
            Some(_) => Err(unauthenticated("the token is not the right one")),
        }
    }

    fn is_token(&self, said: &[u8]) -> bool {
        let Some((scheme, said)) = said.split_at_checked(BEARER.len()) else { return false };
        scheme.eq_ignore_ascii_case(BEARER) && token::is_same(said, &self.token)
    }
}

/// The name that the client calls the console by. One that says two is not believed either.
fn host_of(request: &Parts) -> Result<Authority, Refusal> {
    let said = only(request, &HOST)?.ok_or_else(|| malformed("the request names no host"))?;
    let host = Authority::try_from(said).map_err(|_| malformed("the host is no name"))?;
    match request.uri.authority() {
        Some(other) if *other != host => Err(malformed("the request names two hosts")),
        _ => Ok(host),
    }
}

/// Only pages of the console itself may ask, if it is a page that asks.
fn check_origin(request: &Parts, host: &Authority) -> Result<(), Refusal> {
    let Some(origin) = only(request, &ORIGIN)? else { return Ok(()) };
    let origin = std::str::from_utf8(origin).unwrap_or_default();
    let page = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    if page.is_some_and(|page| page.eq_ignore_ascii_case(host.as_str())) {
        return Ok(());
    }
    Err(forbidden("a page of another origin may not ask the console"))
}

/// A form of another page cannot say that it is JSON.
fn check_content_type(request: &Parts) -> Result<(), Refusal> {
    if request.method != Method::POST {
        return Ok(());
    }
    let has_body = request.headers.get("content-length").is_some_and(|length| length != "0")
        || request.headers.contains_key("transfer-encoding");
    match only(request, &CONTENT_TYPE)? {
        None if !has_body => Ok(()),
        Some(said) if is_json(said) => Ok(()),
        _ => {
            let (status, kind) = (StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorKind::InvalidInput);
            Err(Refusal::new(status, kind, "the body is not said to be JSON")
                .with_hint("send `Content-Type: application/json`"))
        }
    }
}

fn is_json(said: &[u8]) -> bool {
    let kind = said.split(|byte| *byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

/// The header, which must not be there twice: two readers could believe different ones.
fn only<'r>(request: &'r Parts, name: &HeaderName) -> Result<Option<&'r [u8]>, Refusal> {
    let mut values = request.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(malformed("a header is there twice")),
        (value, None) => Ok(value.map(HeaderValue::as_bytes)),
    }
}

fn is_meant(known: &str, name: &str, host: &Authority) -> bool {
    known.eq_ignore_ascii_case(name) || known.eq_ignore_ascii_case(host.as_str())
}

fn address_of(name: &str) -> Option<IpAddr> {
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.parse().ok().map(|address: IpAddr| address.to_canonical())
}

fn is_change(request: &Parts) -> bool {
    !matches!(request.method, Method::GET | Method::HEAD)
}

fn shows_values(request: &Parts) -> bool {
    request.uri.path().starts_with("/api/v1/cache/")
}

fn malformed(message: &'static str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, ErrorKind::InvalidInput, message)
}

fn forbidden(message: &'static str) -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, ErrorKind::PermissionDenied, message)
}

fn unauthenticated(message: &'static str) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, ErrorKind::Unauthenticated, message)
}

const BEARER: &[u8] = b"Bearer ";
const OPEN_PAGES: &[&str] = &["/livez", "/readyz"];
