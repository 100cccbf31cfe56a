//! Whether an address is one that we signed, and is good now.

use std::borrow::Cow;

use hmac::Mac as _;
use percent_encoding::percent_decode_str;

use super::{
    Addresses, Duration, Error, ErrorKind, Result, SKEW_MAX, Sign, SystemTime, Terms, seconds,
};
use crate::{Key, Method};

impl Addresses {
    /// What was signed, if it was, and is good now. `path` is what follows the base of the address.
    pub(crate) fn verify(&self, method: Method, path: &str, query: &str) -> Result<Sign> {
        self.verify_at(method, path, query, self.clock.wall())
    }

    pub(super) fn verify_at(
        &self,
        method: Method,
        path: &str,
        query: &str,
        now: SystemTime,
    ) -> Result<Sign> {
        let asked = Asked::read(query).ok_or_else(not_signed)?;
        let key = path.strip_prefix('/').and_then(decoded).ok_or_else(not_signed)?;
        let key = Key::parse(&key).map_err(|_| not_signed())?.as_str().to_owned();
        let (from, until) = (asked.from, asked.until);
        let request = Sign {
            content_type: asked.content_type.map(Cow::into_owned),
            content_disposition: asked.disposition.map(Cow::into_owned),
            size_max: asked.size_max,
            ..Sign::new(method, key, Duration::from_secs(until.saturating_sub(from)))
        };
        let known = self.keys.iter().find(|known| known.id == asked.key_id);
        let known = known.filter(|_| asked.method == method.as_str()).ok_or_else(not_signed)?;
        let terms = Terms { key_id: &known.id, from, until };
        let mac = self.mac(known, &request, &terms);
        mac.verify_slice(&asked.signature).map_err(|_| not_signed())?;
        if seconds(now) >= until {
            return Err(refused("the address is no longer good"));
        }
        if seconds(now) + SKEW_MAX.as_secs() < from {
            return Err(refused("the address is not good yet"));
        }
        Ok(request)
    }
}

/// What an address says, whoever wrote it.
struct Asked<'q> {
    method: Cow<'q, str>,
    from: u64,
    until: u64,
    content_type: Option<Cow<'q, str>>,
    size_max: Option<u64>,
    disposition: Option<Cow<'q, str>>,
    key_id: Cow<'q, str>,
    signature: [u8; 32],
}

impl<'q> Asked<'q> {
    /// Each thing once, nothing else, and in one notation.
    fn read(query: &'q str) -> Option<Self> {
        const NAMES: [&str; 8] =
            ["method", "from", "until", "type", "size", "disposition", "key", "signature"];
        let mut values: [Option<Cow<'q, str>>; NAMES.len()] = Default::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=')?;
            let at = NAMES.iter().position(|known| *known == name)?;
            if values[at].replace(decoded(value)?).is_some() {
                return None;
            }
        }
        let [method, from, until, content_type, size, disposition, key_id, signature] = values;
        Some(Self {
            method: method?,
            from: number(&from?)?,
            until: number(&until?)?,
            content_type,
            size_max: size.map_or(Some(None), |size| number(&size).map(Some))?,
            disposition,
            key_id: key_id?,
            signature: bytes(&signature?)?,
        })
    }
}

fn decoded(written: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(written).decode_utf8().ok()
}

fn number(written: &str) -> Option<u64> {
    written.parse().ok().filter(|number: &u64| number.to_string() == written)
}

fn bytes(written: &str) -> Option<[u8; 32]> {
    let is_one = written.len() == 64
        && written.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let half = |digits| u128::from_str_radix(digits, 16).ok().map(u128::to_be_bytes);
    let (first, second) = written.split_at_checked(32).filter(|_| is_one)?;
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&half(first)?);
    bytes[16..].copy_from_slice(&half(second)?);
    Some(bytes)
}

fn not_signed() -> Error {
    refused("the address was not signed, or has been changed")
}

fn refused(why: &'static str) -> Error {
    Error::new(ErrorKind::PermissionDenied, why).not_applied()
}
