//! What those who send say that their bytes add up to: compared before anything of it is stored.
//!
//! A sum that cannot be compared is refused: stored as if it were not said, the object could be another one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::StatusCode;
use http::header::{HeaderMap, HeaderValue};
use md5::Md5;
use sha2::{Digest as _, Sha256, Sha512};
use switchboard_core::{Error, ErrorKind, Result};

use crate::{Body, Checksum};

/// A sum that was said, and what came so far.
pub(super) struct Claim {
    sum: Sum,
    expected: Vec<u8>,
}

#[derive(Clone)]
enum Sum {
    Md5(Md5),
    Sha256(Sha256),
    Sha512(Sha512),
    Crc32c(Checksum),
}

/// Everything that `headers` say of the bytes, or the answer if that cannot be compared.
pub(super) fn claims(headers: &HeaderMap) -> Result<Vec<Claim>, StatusCode> {
    let mut claims = Vec::new();
    for (name, value) in headers {
        let name = name.as_str();
        let text = || value.to_str().map_err(|_| StatusCode::BAD_REQUEST);
        match name {
            "content-md5" => claims.push(Claim::new("md5", text()?)?),
            "content-digest" | "repr-digest" => claims.extend(listed(text()?, ":")?),
            "digest" => claims.extend(listed(text()?, "")?),
            "x-amz-content-sha256" => claims.extend(of_payload(value)?),
            "x-amz-trailer" => return Err(StatusCode::NOT_IMPLEMENTED),
            _ => {
                let algorithm = name.strip_prefix("x-amz-checksum-");
                if let Some(algorithm) = algorithm.filter(|word| !["mode", "type"].contains(word)) {
                    claims.push(Claim::new(algorithm, text()?)?);
                }
            }
        }
        if claims.len() > CLAIMS_MAX {
            return Err(StatusCode::BAD_REQUEST);
        }
    }
    Ok(claims)
}

/// `sha-256=:…:, sha-512=:…:`, with `quote` around each sum. Those that nobody here can compare may stand beside
/// one that somebody can.
fn listed(value: &str, quote: &str) -> Result<Vec<Claim>, StatusCode> {
    let mut claims = Vec::new();
    let mut is_unknown = false;
    for item in value.split(',').map(str::trim) {
        let (algorithm, sum) = item.split_once('=').ok_or(StatusCode::BAD_REQUEST)?;
        let sum = sum.strip_prefix(quote).and_then(|sum| sum.strip_suffix(quote));
        match Claim::new(algorithm, sum.ok_or(StatusCode::BAD_REQUEST)?) {
            Err(StatusCode::NOT_IMPLEMENTED) => is_unknown = true,
            claim => claims.push(claim?),
        }
    }
    if claims.is_empty() && is_unknown {
        return Err(StatusCode::NOT_IMPLEMENTED);
    }
    Ok(claims)
}

/// The sum that signed requests to S3 have in hexadecimal digits, or a word in its place.
fn of_payload(value: &HeaderValue) -> Result<Option<Claim>, StatusCode> {
    let value = value.as_bytes();
    if value == b"UNSIGNED-PAYLOAD" {
        return Ok(None);
    }
    if value.starts_with(b"STREAMING-") {
        return Err(StatusCode::NOT_IMPLEMENTED);
    }
    let digit =
        |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits: Option<Vec<u8>> = value.iter().map(digit).collect();
    let digits = digits.filter(|digits| digits.len() == 64).ok_or(StatusCode::BAD_REQUEST)?;
    let expected = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    Ok(Some(Claim { sum: Sum::Sha256(Sha256::new()), expected }))
}

/// The same bytes, which end with an error if they are not those of which `claims` speak. Nobody has the last of
/// them before that is known.
pub(super) fn compared(body: Body, claims: Vec<Claim>) -> Body {
    if claims.is_empty() {
        return body;
    }
    let length = body.length();
    let comparing = Comparing { body, claims, left: length };
    let pieces = futures_util::stream::try_unfold(comparing, |mut comparing| async move {
        let next = comparing.next().await?;
        Ok::<_, Error>(next.map(|piece| (piece, comparing)))
    });
    let body = Body::stream(pieces);
    match length {
        Some(length) => body.with_length(length),
        None => body,
    }
}

struct Comparing {
    body: Body,
    claims: Vec<Claim>,
    left: Option<u64>,
}

impl Comparing {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let Some(piece) = self.body.next().await.transpose()? else {
            self.compare()?;
            return Ok(None);
        };
        for claim in &mut self.claims {
            claim.sum.add(&piece);
        }
        self.left = self.left.map(|left| left.saturating_sub(piece.len() as u64));
        // Those who know how long it is do not ask for its end.
        if self.left == Some(0) {
            self.compare()?;
        }
        Ok(Some(piece))
    }

    fn compare(&self) -> Result<()> {
        if self.claims.iter().all(|claim| claim.sum.clone().end() == claim.expected) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::InvalidInput, "the bytes do not add up to what was said of them")
            .not_applied())
    }
}

impl Claim {
    /// The sum that is written so, by an algorithm of that name.
    fn new(algorithm: &str, written: &str) -> Result<Self, StatusCode> {
        let sum = Sum::named(algorithm).ok_or(StatusCode::NOT_IMPLEMENTED)?;
        let expected = STANDARD.decode(written).map_err(|_| StatusCode::BAD_REQUEST)?;
        if expected.len() != sum.length() {
            return Err(StatusCode::BAD_REQUEST);
        }
        Ok(Self { sum, expected })
    }
}

impl Sum {
    fn named(algorithm: &str) -> Option<Self> {
        Some(match algorithm.to_ascii_lowercase().as_str() {
            "md5" => Self::Md5(Md5::new()),
            "sha-256" | "sha256" => Self::Sha256(Sha256::new()),
            "sha-512" | "sha512" => Self::Sha512(Sha512::new()),
            "crc32c" => Self::Crc32c(Checksum::EMPTY),
            _ => return None,
        })
    }

    fn length(&self) -> usize {
        match self {
            Self::Md5(_) => 16,
            Self::Sha256(_) => 32,
            Self::Sha512(_) => 64,
            Self::Crc32c(_) => 4,
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        match self {
            Self::Md5(sum) => sum.update(bytes),
            Self::Sha256(sum) => sum.update(bytes),
            Self::Sha512(sum) => sum.update(bytes),
            Self::Crc32c(sum) => *sum = sum.and(bytes),
        }
    }

    fn end(self) -> Vec<u8> {
        match self {
            Self::Md5(sum) => sum.finalize().to_vec(),
            Self::Sha256(sum) => sum.finalize().to_vec(),
            Self::Sha512(sum) => sum.finalize().to_vec(),
            Self::Crc32c(sum) => sum.value().to_be_bytes().to_vec(),
        }
    }
}

/// How many sums may be said of one object: each costs work for every byte.
const CLAIMS_MAX: usize = 4;
