//! Who may do what with a file.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// Who may do what with a file, as the octal digits that everybody knows: `"640"`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mode(pub u32);

impl Mode {
    fn parse(written: &str) -> Option<Self> {
        let digits = written.strip_prefix("0o").unwrap_or(written);
        let is_mode =
            (3..=4).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
        let bits = u32::from_str_radix(digits, 8).ok().filter(|_| is_mode)?;
        // Without these the disk could not use what it makes itself.
        (bits & 0o600 == 0o600 && bits <= 0o777).then_some(Self(bits))
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Cow::<'_, str>::deserialize(deserializer)?;
        Self::parse(&written).ok_or_else(|| {
            D::Error::custom(format_args!(
                "{written:?} is not a mode like \"640\", in which the owner may read and write"
            ))
        })
    }
}

impl JsonSchema for Mode {
    fn schema_name() -> Cow<'static, str> {
        "Mode".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(0o)?0?[67][0-7]{2}$",
            "description": "Who may do what with a file, in octal digits.",
            "examples": ["640", "0750"],
        })
    }
}

impl fmt::Debug for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03o}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_written_in_octal_digits() {
        assert_eq!(Mode::parse("640"), Some(Mode(0o640)));
        assert_eq!(Mode::parse("0750"), Some(Mode(0o750)));
        assert_eq!(Mode::parse("0o600"), Some(Mode(0o600)));
        for written in ["", "64", "999", "-640", "+640", "1777", "440", "rw-", "00640"] {
            assert_eq!(Mode::parse(written), None, "{written:?}");
        }
    }
}
