//! Addresses that the application's own handler answers: how they are written, and how it is seen that they
//! were.
//!
//! An address says everything that it allows, and an HMAC-SHA256 over all of it. What it is about is told only
//! to whoever has a key.

#[cfg(feature = "http-handler")]
mod verify;

#[cfg(test)]
#[cfg(feature = "http-handler")]
mod tests;

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use hmac::{Hmac, KeyInit as _, Mac as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::Sha256;
use switchboard_core::{Clock, Error, ErrorKind, Result};

use crate::driver::{Sign, Signed};
use crate::{DiskConfig, SignKey};

/// Signs addresses of one disk, and knows them again.
pub(crate) struct Addresses {
    /// What comes before the key in every address, without a `/` at its end.
    base: String,
    /// The first signs.
    keys: Vec<Known>,
    clock: Clock,
}

struct Known {
    id: String,
    mac: Hmac<Sha256>,
}

/// What an address says beside what it allows.
struct Terms<'a> {
    key_id: &'a str,
    from: u64,
    until: u64,
}

impl Addresses {
    /// As `config` says; `None` if it says nothing.
    pub(crate) fn new(config: &DiskConfig, clock: &Clock) -> Result<Option<Self>> {
        let base = match (&config.public_url, config.sign_keys.as_slice()) {
            (None, []) => return Ok(None),
            (Some(url), [_, ..]) => checked_base(url)?,
            (Some(_), []) => {
                return Err(misconfigured("there is nothing to sign addresses with", "sign_keys"));
            }
            (None, [_, ..]) => {
                return Err(misconfigured("signed addresses have nowhere to lead", "public_url"));
            }
        };
        let mut keys: Vec<Known> = Vec::with_capacity(config.sign_keys.len());
        for key in &config.sign_keys {
            let known = Known::new(key)?;
            if keys.iter().any(|other| other.id == known.id) {
                return Err(misconfigured("two keys have the same name", "sign_keys")
                    .with_context("id", known.id));
            }
            keys.push(known);
        }
        Ok(Some(Self { base, keys, clock: clock.clone() }))
    }

    pub(crate) fn sign(&self, request: &Sign) -> Result<Signed> {
        self.sign_at(request, self.clock.wall())
    }

    /// The address of `request`, as of `now`.
    pub(crate) fn sign_at(&self, request: &Sign, now: SystemTime) -> Result<Signed> {
        let Some(key) = self.keys.first() else {
            return Err(misconfigured("there is nothing to sign addresses with", "sign_keys"));
        };
        let (from, until) = (seconds(now), seconds(now + request.ttl) + 1);
        let terms = Terms { key_id: &key.id, from, until };
        let mut url = format!("{}/", self.base);
        // Writing into a text does not fail.
        let _ = write!(url, "{}", utf8_percent_encode(&request.key, IN_PATH));
        let _ = write!(url, "?method={}&from={from}&until={until}", request.method.as_str());
        if let Some(content_type) = &request.content_type {
            let _ = write!(url, "&type={}", utf8_percent_encode(content_type, UNRESERVED));
        }
        if let Some(size_max) = request.size_max {
            let _ = write!(url, "&size={size_max}");
        }
        if let Some(disposition) = &request.content_disposition {
            let _ = write!(url, "&disposition={}", utf8_percent_encode(disposition, UNRESERVED));
        }
        let _ = write!(url, "&key={}&signature=", key.id);
        for byte in self.mac(key, request, &terms).finalize().into_bytes() {
            let _ = write!(url, "{byte:02x}");
        }
        let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(until);
        let mut signed = Signed::new(request.method, url, expires);
        if let Some(content_type) = &request.content_type {
            signed.headers.push(("content-type".to_owned(), content_type.clone()));
        }
        Ok(signed)
    }

    /// Everything that must not be changed, each with its length, so that nothing can move from one to the next.
    fn mac(&self, key: &Known, request: &Sign, terms: &Terms<'_>) -> Hmac<Sha256> {
        let (from, until) = (terms.from.to_string(), terms.until.to_string());
        let size_max = request.size_max.map(|size| size.to_string());
        let mut mac = key.mac.clone();
        for said in [
            Some(NOTATION),
            Some(&*self.base),
            Some(terms.key_id),
            Some(request.method.as_str()),
            Some(&request.key),
            Some(&from),
            Some(&until),
            request.content_type.as_deref(),
            size_max.as_deref(),
            request.content_disposition.as_deref(),
        ] {
            mac.update(&said.map_or(u64::MAX, |said| said.len() as u64).to_le_bytes());
            mac.update(said.unwrap_or_default().as_bytes());
        }
        mac
    }
}

impl Known {
    fn new(key: &SignKey) -> Result<Self> {
        let SignKey { id, secret } = key;
        let is_id = (1..=ID_LENGTH_MAX).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !is_id {
            return Err(misconfigured(
                "the name of a key is not of the form `[A-Za-z0-9_-]+`",
                "sign_keys",
            )
            .with_context("length_max", ID_LENGTH_MAX));
        }
        let mac = Hmac::new_from_slice(secret.expose().as_bytes()).ok();
        let Some(mac) = mac.filter(|_| secret.expose().len() >= SECRET_LENGTH_MIN) else {
            return Err(misconfigured("a key to sign with can be guessed", "sign_keys")
                .with_context("id", id)
                .with_context("length_bytes_min", SECRET_LENGTH_MIN)
                .with_hint("make one with `openssl rand -hex 32`"));
        };
        Ok(Self { id: id.clone(), mac })
    }
}

/// An address that something can be appended to.
fn checked_base(url: &str) -> Result<String> {
    let base = url.trim_end_matches('/');
    let rest = base.strip_prefix("https://").or_else(|| base.strip_prefix("http://"));
    let is_base = rest.is_some_and(|rest| {
        !rest.is_empty()
            && !rest.starts_with('/')
            && rest.bytes().all(|byte| byte.is_ascii_graphic())
            && !rest.contains(['?', '#', '@', '"', '<', '>', '\\', '^', '`', '{', '|', '}'])
    });
    if is_base {
        return Ok(base.to_owned());
    }
    Err(misconfigured("nothing can be appended to the address", "public_url")
        .with_hint("it is like `https://files.example.com/uploads`, without user, `?` and `#`"))
}

fn misconfigured(why: &'static str, setting: &'static str) -> Error {
    Error::new(ErrorKind::Config, why).with_context("setting", setting)
}

/// Whole seconds since 1970.
fn seconds(moment: SystemTime) -> u64 {
    moment.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What comes first in everything that is signed: a key that signs other things too signs no addresses by it.
const NOTATION: &str = "switchboard-storage address 1";

/// How far the clock of who signed may be ahead of ours.
#[cfg(feature = "http-handler")]
const SKEW_MAX: Duration = Duration::from_mins(5);

const SECRET_LENGTH_MIN: usize = 32;
const ID_LENGTH_MAX: usize = 64;

/// What needs no percent sign anywhere in an address.
pub(crate) const UNRESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const IN_PATH: &AsciiSet = &UNRESERVED.remove(b'/');
