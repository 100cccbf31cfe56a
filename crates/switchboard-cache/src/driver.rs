//! What a driver of a cache must do: the contract, for those who implement it.

use std::sync::Arc;

use bytes::Bytes;
use switchboard_core::{Erase, Error, ErrorKind, Lifecycle, Reply, Result};

use crate::{Key, Ttl};

/// A service that keeps values under keys for a time.
///
/// What a driver may assume:
///
/// - Keys and times to live are checked; values have any length, also none, and any bytes.
/// - Calls come from many tasks and threads at once.
/// - Someone else retries, waits, limits, counts and logs.
///
/// What must be true of every answer:
///
/// - A key is matched byte by byte.
/// - A value comes back whole and unchanged, or not at all. A cache may lose any value at any time;
///   it may never serve one that has expired, was forgotten, or was replaced before the call began.
/// - Time to live is counted by the service, from the moment it stores the value. A value is served
///   until then and not after; a service that counts in larger steps than asked for rounds up.
/// - Instances share nothing, unless their settings name the same place.
/// - What the driver cannot do answers [`ErrorKind::Unsupported`] and changes nothing. An error that
///   the driver does not recognise is [`ErrorKind::Unexpected`], never an answer such as a miss.
/// - A call may be dropped at any time. It may then have happened or not, but never by half, and the
///   driver works as before.
///
/// What is optional is declared at registration under the names in [`capability`]; what is not
/// declared counts as missing. The suite in `conformance` proves all of it.
pub trait CacheDriver: Lifecycle {
    /// The value under `key`, or `None`.
    fn get<'a>(&'a self, key: Key<'a>) -> Reply<'a, Option<Bytes>>;

    /// The value under each of `keys`, in their order. `keys` may be empty and may repeat a key.
    fn get_many<'a>(&'a self, keys: &'a [Key<'a>]) -> Reply<'a, Vec<Option<Bytes>>> {
        Reply::run(async move {
            let mut values = Vec::with_capacity(keys.len());
            for key in keys {
                values.push(self.get(*key).await?);
            }
            Ok(values)
        })
    }

    /// Whether a value is under `key`. It does not count as a use of the value.
    fn has<'a>(&'a self, key: Key<'a>) -> Reply<'a, bool> {
        Reply::run(async move { Ok(self.get(key).await?.is_some()) })
    }

    /// Stores `value` under `key` for `ttl`. Replaces what was there, its time to live too.
    ///
    /// A value that the service never takes is [`ErrorKind::TooLarge`]; what was under the key may
    /// then be gone.
    fn put<'a>(&'a self, key: Key<'a>, value: &'a [u8], ttl: Ttl) -> Reply<'a, ()>;

    /// Stores each value under its key for `ttl`, in their order: of equal keys the last counts.
    ///
    /// Need not be atomic. An error leaves open which of them are stored.
    fn put_many<'a>(&'a self, entries: &'a [(Key<'a>, &'a [u8])], ttl: Ttl) -> Reply<'a, ()> {
        Reply::run(async move {
            for (key, value) in entries {
                self.put(*key, value, ttl).await?;
            }
            Ok(())
        })
    }

    /// Stores `value` under `key` for `ttl` if nothing is there; `false` leaves all as it is.
    ///
    /// Of any number of calls at once, by any number of processes, one answers `true`. An expired
    /// value counts as nothing.
    fn add<'a>(&'a self, key: Key<'a>, value: &'a [u8], ttl: Ttl) -> Reply<'a, bool>;

    /// Removes what is under `key`; `false` if nothing was there.
    fn forget<'a>(&'a self, key: Key<'a>) -> Reply<'a, bool>;

    /// Removes what is under each of `keys`, and says how many were there.
    fn forget_many<'a>(&'a self, keys: &'a [Key<'a>]) -> Reply<'a, usize> {
        Reply::run(async move {
            let mut forgotten = 0;
            for key in keys {
                forgotten += usize::from(self.forget(*key).await?);
            }
            Ok(forgotten)
        })
    }

    /// Removes every value of this instance that was stored before the call, and nothing else that
    /// the service may hold.
    fn flush(&self) -> Reply<'_, ()>;

    /// Adds `by` to the number under `key` in one step, and answers the sum.
    ///
    /// A counter is a value whose text is a whole number that an `i64` holds, in decimal digits with
    /// a `-` where it is negative. Where nothing is, zero is assumed and the new counter lives for
    /// `ttl`; a counter that is there keeps its time to live. A value that is no counter is answered
    /// with [`not_a_counter`], a sum that no `i64` holds with [`counter_overflow`]; both leave the
    /// value as it is.
    ///
    /// Optional: [`capability::INCREMENT`].
    fn increment<'a>(&'a self, key: Key<'a>, by: i64, ttl: Ttl) -> Reply<'a, i64> {
        let _ = (key, by, ttl);
        Reply::ready(Err(Error::new(ErrorKind::Unsupported, "the driver cannot count")
            .with_context("capability", capability::INCREMENT)))
    }
}

/// What is optional in the contract, by the name that configuration uses in `require`.
pub mod capability {
    /// Whether [`increment`](super::CacheDriver::increment) works.
    pub const INCREMENT: &str = "increment";

    /// Whether a value can be had back at all. A driver without it takes everything and keeps
    /// nothing: every read is a miss, every `add` succeeds.
    pub const RETAIN: &str = "retain";
}

/// What [`increment`](CacheDriver::increment) answers where the value is no counter.
#[must_use]
pub fn not_a_counter() -> Error {
    Error::new(ErrorKind::PreconditionFailed, "the value is not a whole number")
}

/// What [`increment`](CacheDriver::increment) answers where the sum does not fit.
#[must_use]
pub fn counter_overflow() -> Error {
    Error::new(ErrorKind::InvalidInput, "the sum is beyond what a counter holds")
}

/// The number that the value of a counter stands for.
pub fn parse_counter(value: &[u8]) -> Result<i64> {
    let text = std::str::from_utf8(value).map_err(|_| not_a_counter())?;
    let number: i64 = text.parse().map_err(|_| not_a_counter())?;
    // The one way to write a number, so that all drivers agree on what is one.
    let is_plain = !text.starts_with('+') && text != "-0" && !has_leading_zero(text);
    if is_plain { Ok(number) } else { Err(not_a_counter()) }
}

fn has_leading_zero(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.len() > 1 && digits.starts_with('0')
}

impl<T: CacheDriver> Erase<T> for dyn CacheDriver {
    fn erase(driver: Arc<T>) -> Arc<Self> {
        driver
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_written_in_one_way_only() {
        for (text, number) in [("0", 0), ("-7", -7), ("9223372036854775807", i64::MAX)] {
            assert_eq!(parse_counter(text.as_bytes()).unwrap(), number);
        }
        for text in ["", "+5", "007", "-0", " 1", "1\n", "1.5", "0x1", "9223372036854775808", "-"] {
            let error = parse_counter(text.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PreconditionFailed, "{text:?}");
        }
        assert!(parse_counter(b"\xff").is_err());
    }
}
