//! What follows `?` in an address.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What follows `?` in an address; empty if there is nothing.
pub(crate) fn encoded_query(pairs: &[(&str, &str)]) -> String {
    let mut written = String::new();
    for (name, value) in pairs {
        let mark = if written.is_empty() { '?' } else { '&' };
        let (name, value) = (utf8_percent_encode(name, PLAIN), utf8_percent_encode(value, PLAIN));
        // Writing into a text does not fail.
        let _ = write!(written, "{mark}{name}={value}");
    }
    written
}

const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_told_apart_from_how_it_is_asked() {
        assert_eq!(encoded_query(&[("a", "x/y z"), ("uploads", "")]), "?a=x%2Fy%20z&uploads=");
        assert_eq!(encoded_query(&[]), "");
    }
}
