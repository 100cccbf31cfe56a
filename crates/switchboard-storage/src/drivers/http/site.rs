//! One request to a web server, to where it is sent on, and what kind of error an answer is.

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue, USER_AGENT};
use http::{Method, Request, Uri};
use http_body_util::Empty;
use switchboard_core::{Class, Clock, Error, ErrorKind, Health, Result};

use super::HttpDiskConfig;
use crate::wire::{Answer, Wire, encoded_path, foreign, moment};
use crate::{Key, another_version, nothing_there};

/// A web server, and what it is told with each request.
pub(super) struct Site {
    wire: Wire,
    base: String,
    headers: HeaderMap,
    redirects_max: u32,
    clock: Clock,
}

impl Site {
    pub(super) fn new(config: &HttpDiskConfig, clock: Clock) -> Result<Self> {
        Ok(Self {
            wire: Wire::new(&config.http)?,
            base: config.base()?,
            headers: config.said()?,
            redirects_max: config.redirects_max,
            clock,
        })
    }

    /// What the server answers, or the one that it sends on to. `wanted` says which bytes of which version.
    pub(super) async fn ask(
        &self,
        method: &Method,
        key: Option<Key<'_>>,
        wanted: &HeaderMap,
    ) -> Result<Answer> {
        let mut address = self.address(key)?;
        let mut is_home = true;
        for _ in 0..=self.redirects_max {
            let answer = self.wire.send(self.request(method, &address, wanted, is_home)).await?;
            if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(answer);
            }
            let next = next(&address, answer.header("location"))?;
            // Who is sent back here by somebody else does not come in our name any more.
            is_home &= is_same_server(&address, &next);
            address = next;
        }
        Err(Error::new(ErrorKind::Unavailable, "the server sends from one address to the next")
            .with_context("redirects_max", self.redirects_max))
    }

    fn address(&self, key: Option<Key<'_>>) -> Result<Uri> {
        let path = key.map(|key| encoded_path(key.as_str())).unwrap_or_default();
        format!("{}/{path}", self.base).parse().map_err(|error: http::uri::InvalidUri| {
            Error::new(ErrorKind::InvalidInput, "the key is too long for an address")
                .with_source(error)
                .not_applied()
        })
    }

    fn request(
        &self,
        method: &Method,
        address: &Uri,
        wanted: &HeaderMap,
        is_home: bool,
    ) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = method.clone();
        *request.uri_mut() = address.clone();
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        if is_home {
            headers.extend(self.headers.clone());
        }
        headers.extend(wanted.clone());
        // The bytes of the object are wanted, and not others that they can be made from.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        request
    }

    /// The whole mapping of answers that are none about an object.
    pub(super) fn classify(&self, answer: &Answer) -> Error {
        let new = Error::new;
        let error = match answer.status().as_u16() {
            404 | 410 => nothing_there(),
            401 => new(ErrorKind::Unauthenticated, "the server does not know who is asking")
                .with_hint("say it in `headers`, under `authorization`"),
            403 | 451 => new(ErrorKind::PermissionDenied, "the server does not allow this")
                .with_hint("some servers answer so for what is not there, too"),
            405 | 501 => new(ErrorKind::Unsupported, "the server does not give this to be read"),
            408 => new(ErrorKind::Timeout, "the server waited too long for the request"),
            412 => another_version(),
            416 => new(ErrorKind::InvalidInput, "the object has no bytes in that range"),
            429 => new(ErrorKind::RateLimited, "the server wants fewer requests"),
            300..=399 | 407 => foreign(),
            400..=499 => new(ErrorKind::InvalidInput, "the server does not take the request"),
            500..=599 => new(ErrorKind::Unavailable, "the server failed"),
            _ => new(ErrorKind::Unexpected, "this is no answer to the request"),
        };
        let error = error.with_context("status", answer.status().as_u16()).not_applied();
        let wait = answer.header("retry-after").and_then(|wait| delay(wait, self.clock.wall()));
        match wait {
            Some(wait) if error.class() == Class::Outage => error.retry_after(wait),
            _ => error,
        }
    }

    /// Whether the server answers. That nothing is at the address itself says nothing of those beneath it.
    pub(super) async fn health(&self) -> Result<Health> {
        let answer = match self.ask(&Method::HEAD, None, &HeaderMap::new()).await {
            Ok(answer) => answer,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Health::up()),
            Err(error) => return Ok(Health::down(error.to_string())),
        };
        Ok(match answer.status().as_u16() {
            401 => Health::degraded("the server does not know who is asking"),
            429 => Health::degraded("the server wants fewer requests"),
            500 | 502..=599 => Health::down(self.classify(&answer).to_string()),
            _ => Health::up(),
        })
    }
}

/// `Retry-After`, in seconds or as a moment.
fn delay(written: &str, now: SystemTime) -> Option<Duration> {
    let written = written.trim();
    match written.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Some(moment(written)?.duration_since(now).unwrap_or_default()),
    }
}

/// Where the server sends on to, if that is somewhere we go.
fn next(from: &Uri, location: Option<&str>) -> Result<Uri> {
    let next = location.and_then(|written| resolve(from, written)).ok_or_else(|| {
        Error::new(ErrorKind::Unavailable, "the server sends on to where no web server is")
    })?;
    if is_folder_of(from, &next) {
        return Err(nothing_there());
    }
    if from.scheme_str() == Some("https") && next.scheme_str() != Some("https") {
        let why = "the server sends on to an address that is not encrypted";
        // The rest of the address may be a secret.
        let host = next.host().unwrap_or_default().to_owned();
        return Err(Error::new(ErrorKind::Unavailable, why).with_context("host", host));
    }
    Ok(next)
}

/// The address that is written so in an answer from `base`; `None` for one that no web server has.
fn resolve(base: &Uri, written: &str) -> Option<Uri> {
    let written = written.split('#').next()?;
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    let begins = written.split(['/', '?']).next()?;
    let address = if begins.contains(':') {
        written.to_owned()
    } else if written.starts_with("//") {
        format!("{scheme}:{written}")
    } else if written.starts_with('/') {
        format!("{scheme}://{authority}{written}")
    } else if begins.is_empty() {
        format!("{scheme}://{authority}{}{written}", base.path())
    } else {
        let (folder, _) = base.path().rsplit_once('/')?;
        let (path, query) = written.split_at(written.find('?').unwrap_or(written.len()));
        format!("{scheme}://{authority}{}{query}", without_dots(&format!("{folder}/{path}")))
    };
    let address = address.parse::<Uri>().ok()?;
    let is_web = matches!(address.scheme_str(), Some("http" | "https"));
    let names_nobody = !address.authority()?.as_str().contains('@');
    (is_web && names_nobody).then_some(address)
}

/// The path without the `.` and `..` in it.
fn without_dots(path: &str) -> String {
    let mut left = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    left.pop();
                }
                if is_last {
                    left.push("");
                }
            }
            segment => left.push(segment),
        }
    }
    format!("/{}", left.join("/"))
}

/// Whether `next` is the page of a folder that was asked for as if it were an object.
fn is_folder_of(from: &Uri, next: &Uri) -> bool {
    is_same_server(from, next) && next.path().strip_suffix('/') == Some(from.path())
}

fn is_same_server(one: &Uri, other: &Uri) -> bool {
    let host = |address: &Uri| address.host().map(str::to_ascii_lowercase);
    one.scheme() == other.scheme() && host(one) == host(other) && port(one) == port(other)
}

fn port(address: &Uri) -> Option<u16> {
    address.port_u16().or(match address.scheme_str() {
        Some("http") => Some(80),
        Some("https") => Some(443),
        _ => None,
    })
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site").field("base", &self.base).finish_non_exhaustive()
    }
}

const AGENT: &str = concat!("switchboard/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> Uri {
        address.parse().unwrap()
    }

    #[test]
    fn an_address_is_read_as_seen_from_where_it_was_written() {
        let base = at("http://one.example:8080/a/b/c?d");
        for (written, wanted) in [
            ("https://two.example/x#y", "https://two.example/x"),
            ("//two.example/x", "http://two.example/x"),
            ("/x?y", "http://one.example:8080/x?y"),
            ("?y=1", "http://one.example:8080/a/b/c?y=1"),
            ("x?y=../z", "http://one.example:8080/a/b/x?y=../z"),
            ("../x/./y", "http://one.example:8080/a/x/y"),
            ("../../../../x", "http://one.example:8080/x"),
            ("..", "http://one.example:8080/a/"),
            ("x/a:b", "http://one.example:8080/a/b/x/a:b"),
        ] {
            assert_eq!(resolve(&base, written), Some(at(wanted)), "{written}");
        }
        for nowhere in
            ["ftp://one.example/x", "file:///etc/passwd", "mailto:x", "http://", "http://a:b@c/"]
        {
            assert_eq!(resolve(&base, nowhere), None, "{nowhere}");
        }
    }

    #[test]
    fn what_was_encrypted_does_not_go_on_in_the_open() {
        let (sealed, open) = (at("https://one.example/a"), at("http://one.example/a"));
        let error = next(&sealed, Some("http://one.example/b?token=x")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(!format!("{error:?}").contains("token"), "{error:?}");
        assert!(next(&sealed, Some("/b")).is_ok());
        assert!(next(&open, Some("https://one.example/b")).is_ok());
        assert!(next(&open, None).is_err());
    }

    #[test]
    fn a_server_is_the_same_only_with_scheme_and_port() {
        let home = at("http://one.example/a");
        for same in ["http://one.example:80/b", "http://ONE.example/"] {
            assert!(is_same_server(&home, &at(same)), "{same}");
        }
        for other in ["https://one.example/a", "http://one.example:81/a", "http://two.example/a"] {
            assert!(!is_same_server(&home, &at(other)), "{other}");
        }
    }

    #[test]
    fn a_delay_is_said_in_seconds_or_as_a_moment() {
        let now = moment("Sat, 21 Nov 2026 14:02:16 GMT").unwrap();
        assert_eq!(delay("7", now), Some(Duration::from_secs(7)));
        assert_eq!(delay("Sat, 21 Nov 2026 14:03:16 GMT", now), Some(Duration::from_mins(1)));
        assert_eq!(delay("Sat, 21 Nov 2026 14:01:16 GMT", now), Some(Duration::ZERO));
        assert_eq!(delay("soon", now), None);
    }
}
