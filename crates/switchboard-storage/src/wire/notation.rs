//! How keys and moments are written.

use std::time::SystemTime;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// A key in the path of an address: `/` stands for itself, and so do the letters, digits and `-._~`.
pub(crate) fn encoded_path(key: &str) -> String {
    utf8_percent_encode(key, IN_PATH).to_string()
}

/// `Sat, 21 Nov 2026 14:02:16 GMT`, or `2026-11-21T14:02:16.000Z`.
pub(crate) fn moment(written: &str) -> Option<SystemTime> {
    let timestamp: Timestamp = match written.parse() {
        Ok(timestamp) => timestamp,
        Err(_) => rfc2822::parse(written).ok()?.timestamp(),
    };
    Some(timestamp.into())
}

/// The moment as headers have it: in whole seconds.
pub(crate) fn written_moment(moment: SystemTime) -> Option<String> {
    let timestamp = Timestamp::try_from(moment).ok()?;
    rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&timestamp).ok()
}

const IN_PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_key_is_told_apart_from_what_it_would_mean_in_an_address() {
        assert_eq!(encoded_path("a/%2e b+c?#ä~"), "a/%252e%20b%2Bc%3F%23%C3%A4~");
    }

    #[test]
    fn moments_are_read_in_both_notations() {
        let wanted = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_269_736);
        assert_eq!(moment("Sat, 21 Nov 2026 14:02:16 GMT"), Some(wanted));
        assert_eq!(moment("2026-11-21T14:02:16.000Z"), Some(wanted));
        assert_eq!(moment("yesterday"), None);
        assert_eq!(written_moment(wanted).unwrap(), "Sat, 21 Nov 2026 14:02:16 GMT");
    }
}
