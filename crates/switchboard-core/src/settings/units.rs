//! Values that carry a unit: durations, sizes, rates.
//!
//! A number without a unit is refused, because guessing seconds where milliseconds were meant is
//! found in production. Durations and sizes are exact: what cannot be kept exactly in nanoseconds
//! or bytes is an error, never rounded.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A duration as it is written in settings: `250ms`, `1.5s`, `1h30m`.
///
/// Settings structs hold plain [`Duration`] values and name this type for the schema only:
///
/// ```
/// use std::time::Duration;
/// use switchboard_core::settings::{Settings, duration};
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Config {
///     #[serde(with = "duration")]
///     #[schemars(with = "duration::Text")]
///     timeout: Duration,
///     #[serde(default, with = "duration::option")]
///     #[schemars(with = "Option<duration::Text>")]
///     ttl: Option<Duration>,
/// }
///
/// let config: Config = Settings::new().with("timeout", "1m30s").decode()?;
/// assert_eq!((config.timeout, config.ttl), (Duration::from_secs(90), None));
/// # Ok::<_, switchboard_core::Error>(())
/// ```
///
/// Units are `ns`, `us`, `ms`, `s`, `m`, `h` and `d`, largest first when several are combined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DurationText(pub Duration);

/// A number of bytes: `512B`, `10MB` (decimal), `64KiB` (binary).
///
/// ```
/// use switchboard_core::settings::ByteSize;
///
/// let size: ByteSize = "1.5KiB".parse()?;
/// assert_eq!(size, ByteSize(1536));
/// assert_eq!(ByteSize(64 * 1024).to_string(), "64KiB");
/// assert!("1024".parse::<ByteSize>().is_err());
/// # Ok::<_, switchboard_core::settings::UnitError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// So many in such a time: `500/s`, `10/m`, `1000/1h30m`. Neither part is ever zero.
///
/// ```
/// use switchboard_core::settings::Rate;
///
/// let rate: Rate = "500/s".parse()?;
/// assert_eq!((rate.count(), rate.per().as_secs()), (500, 1));
/// assert!("0/s".parse::<Rate>().is_err());
/// # Ok::<_, switchboard_core::settings::UnitError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    count: u64,
    per: Duration,
}

/// Why a text is not a value with a unit. Never holds the text, which may be a misplaced secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnitError {
    message: &'static str,
    hint: &'static str,
}

/// For `#[serde(with = "duration")]` on a [`Duration`].
pub mod duration {
    use super::{Deserialize, Deserializer, Duration, Serialize, Serializer};

    pub use super::DurationText as Text;

    /// Reads a duration with its unit.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Text::deserialize(deserializer).map(|text| text.0)
    }

    /// Writes a duration with its unit.
    pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        Text(*value).serialize(serializer)
    }

    /// For `#[serde(default, with = "duration::option")]` on an `Option<Duration>`.
    pub mod option {
        use super::{Deserialize, Deserializer, Duration, Serialize, Serializer, Text};

        /// Reads a duration with its unit, or nothing.
        pub fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Duration>, D::Error> {
            Option::<Text>::deserialize(deserializer).map(|text| text.map(|text| text.0))
        }

        /// Writes a duration with its unit, or nothing.
        pub fn serialize<S: Serializer>(
            value: &Option<Duration>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            value.map(Text).serialize(serializer)
        }
    }
}

impl Rate {
    /// `count` in the time `per`, unless one of them is zero.
    pub fn new(count: u64, per: Duration) -> Option<Self> {
        (count > 0 && !per.is_zero()).then_some(Self { count, per })
    }

    /// How many.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// In what time.
    pub const fn per(&self) -> Duration {
        self.per
    }
}

impl UnitError {
    const fn new(message: &'static str, hint: &'static str) -> Self {
        Self { message, hint }
    }

    /// What is wrong.
    pub const fn message(&self) -> &'static str {
        self.message
    }

    /// How it is written.
    pub const fn hint(&self) -> &'static str {
        self.hint
    }
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.message, self.hint)
    }
}

impl std::error::Error for UnitError {}

/// What the types of this file share with each other and with the walk over a schema.
pub(super) trait Unit: FromStr<Err = UnitError> + fmt::Display {
    /// The `format` of the schema.
    const FORMAT: &'static str;
    const NAME: &'static str;
    const ABOUT: &'static str;
    const EXAMPLES: [&'static str; 2];
    /// Says that a bare number is not enough.
    const BARE: UnitError;
}

impl Unit for DurationText {
    const FORMAT: &'static str = "duration";
    const NAME: &'static str = "Duration";
    const ABOUT: &'static str = "a duration with its unit, like 30s";
    const EXAMPLES: [&'static str; 2] = ["30s", "1h30m"];
    const BARE: UnitError = UnitError::new("a duration needs a unit", "write 30s or 30ms");
}

impl Unit for ByteSize {
    const FORMAT: &'static str = "byte-size";
    const NAME: &'static str = "ByteSize";
    const ABOUT: &'static str = "a size with its unit, like 64KiB";
    const EXAMPLES: [&'static str; 2] = ["64KiB", "10MB"];
    const BARE: UnitError = UnitError::new("a size needs a unit", "write 512B, 64KiB or 10MB");
}

impl Unit for Rate {
    const FORMAT: &'static str = "rate";
    const NAME: &'static str = "Rate";
    const ABOUT: &'static str = "a rate, like 500/s";
    const EXAMPLES: [&'static str; 2] = ["500/s", "10/m"];
    const BARE: UnitError = UnitError::new("a rate needs a time", "write 500/s or 10/m");
}

/// The mark in a schema that its `format` is one of ours: others use `duration` for ISO 8601.
pub(super) const MARK: &str = "x-switchboard-unit";

/// Checks `text`, or a bare number when there is none, against a `format` of ours.
pub(super) fn check(format: &str, text: Option<&str>) -> Result<(), UnitError> {
    match format {
        DurationText::FORMAT => check_as::<DurationText>(text),
        ByteSize::FORMAT => check_as::<ByteSize>(text),
        Rate::FORMAT => check_as::<Rate>(text),
        _ => Ok(()),
    }
}

fn check_as<U: Unit>(text: Option<&str>) -> Result<(), UnitError> {
    text.map_or(Err(U::BARE), |text| text.parse::<U>().map(drop))
}

impl FromStr for DurationText {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        if is_bare(text) {
            return Err(Self::BARE);
        }
        let mut total: u128 = 0;
        let mut rest = text.trim();
        let mut unit_before = u128::MAX;
        while !rest.is_empty() {
            let (number, unit, after) = part(rest).ok_or(DURATION_SHAPE)?;
            let nanos = duration_unit(unit).ok_or(DURATION_SHAPE)?;
            if nanos >= unit_before {
                return Err(DURATION_ORDER);
            }
            let value = scale(number, nanos).map_err(|fault| fault.of(DURATION_FAULTS))?;
            total = total.checked_add(value).ok_or(DURATION_TOO_LONG)?;
            unit_before = nanos;
            rest = after;
        }
        if unit_before == u128::MAX {
            return Err(DURATION_SHAPE);
        }
        let seconds = u64::try_from(total / NANOS_PER_SECOND).map_err(|_| DURATION_TOO_LONG)?;
        let nanos = u32::try_from(total % NANOS_PER_SECOND).map_err(|_| DURATION_TOO_LONG)?;
        Ok(Self(Duration::new(seconds, nanos)))
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        if is_bare(text) {
            return Err(Self::BARE);
        }
        let (number, unit, after) = part(text.trim()).ok_or(SIZE_SHAPE)?;
        let bytes = SIZE_UNITS.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name));
        let (_, bytes) = bytes.filter(|_| after.is_empty()).ok_or(SIZE_SHAPE)?;
        let total = scale(number, u128::from(*bytes)).map_err(|fault| fault.of(SIZE_FAULTS))?;
        u64::try_from(total).map(Self).map_err(|_| SIZE_TOO_LARGE)
    }
}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        if is_bare(text) {
            return Err(Self::BARE);
        }
        let (count, per) = text.split_once('/').ok_or(RATE_SHAPE)?;
        let (count, per) = (count.trim(), per.trim());
        if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(RATE_SHAPE);
        }
        let count = count.parse().map_err(|_| RATE_TOO_LARGE)?;
        let per = match duration_unit(per) {
            Some(nanos) => Duration::from_nanos(u64::try_from(nanos).map_err(|_| RATE_SHAPE)?),
            None => per.parse::<DurationText>().map_err(|_| RATE_SHAPE)?.0,
        };
        Self::new(count, per).ok_or(RATE_ZERO)
    }
}

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_nanos();
        if rest == 0 {
            return f.write_str("0s");
        }
        for (name, nanos) in DURATION_UNITS {
            if rest >= nanos {
                write!(f, "{}{name}", rest / nanos)?;
                rest %= nanos;
            }
        }
        Ok(())
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, bytes): &&(&str, u64)| self.0 >= *bytes && self.0.is_multiple_of(*bytes);
        let (name, bytes) = SIZE_UNITS.iter().find(fits).copied().unwrap_or(("B", 1));
        write!(f, "{}{name}", self.0 / bytes)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.per.as_nanos();
        match DURATION_UNITS.iter().find(|(_, unit)| *unit == nanos) {
            Some((name, _)) => write!(f, "{}/{name}", self.count),
            None => write!(f, "{}/{}", self.count, DurationText(self.per)),
        }
    }
}

/// Reads a unit from text, and explains what is wrong with a bare number.
struct UnitVisitor<U>(PhantomData<U>);

impl<U: Unit> Visitor<'_> for UnitVisitor<U> {
    type Value = U;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(U::ABOUT)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<U, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<U, E> {
        Err(E::custom(U::BARE))
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<U, E> {
        Err(E::custom(U::BARE))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<U, E> {
        Err(E::custom(U::BARE))
    }
}

macro_rules! unit_for_serde {
    ($( $name:ident )*) => {
        $(
            impl<'de> Deserialize<'de> for $name {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    deserializer.deserialize_str(UnitVisitor(PhantomData))
                }
            }

            impl Serialize for $name {
                fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.collect_str(self)
                }
            }

            impl JsonSchema for $name {
                fn schema_name() -> Cow<'static, str> {
                    <$name as Unit>::NAME.into()
                }

                fn schema_id() -> Cow<'static, str> {
                    concat!(module_path!(), "::", stringify!($name)).into()
                }

                fn inline_schema() -> bool {
                    true
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    json_schema!({
                        "type": "string",
                        "format": <$name as Unit>::FORMAT,
                        MARK: true,
                        "examples": <$name as Unit>::EXAMPLES,
                    })
                }
            }
        )*
    };
}

unit_for_serde! { DurationText ByteSize Rate }

/// Why a number cannot be brought to its unit.
enum Fault {
    /// It has a fraction of the smallest unit.
    TooFine,
    TooLarge,
}

impl Fault {
    fn of(&self, [too_fine, too_large]: [UnitError; 2]) -> UnitError {
        match self {
            Self::TooFine => too_fine,
            Self::TooLarge => too_large,
        }
    }
}

/// Whether the text is a number and nothing else.
fn is_bare(text: &str) -> bool {
    text.trim().parse::<f64>().is_ok_and(|_| text.contains(|c: char| c.is_ascii_digit()))
}

/// The first number of `text`, its unit, and what follows.
fn part(text: &str) -> Option<(&str, &str, &str)> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, rest) = text.split_at(unit_at);
    let rest = rest.trim_start();
    let unit_end = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
    let (unit, after) = rest.split_at(unit_end);
    let is_number =
        number.contains(|c: char| c.is_ascii_digit()) && number.matches('.').count() < 2;
    (is_number && !unit.is_empty()).then_some((number, unit, after.trim_start()))
}

/// `number`, which may have a fraction, times `unit`; exactly or not at all.
fn scale(number: &str, unit: u128) -> Result<u128, Fault> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let parse = |digits: &str| match digits {
        "" => Ok(0),
        digits => digits.parse::<u128>().map_err(|_| Fault::TooLarge),
    };
    let whole = parse(whole)?.checked_mul(unit).ok_or(Fault::TooLarge)?;

    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > FRACTION_DIGITS_MAX {
        return Err(Fault::TooFine);
    }
    let parts = 10_u128.pow(u32::try_from(fraction.len()).map_err(|_| Fault::TooFine)?);
    let part = parse(fraction)?.checked_mul(unit).ok_or(Fault::TooLarge)?;
    if part % parts != 0 {
        return Err(Fault::TooFine);
    }
    whole.checked_add(part / parts).ok_or(Fault::TooLarge)
}

fn duration_unit(name: &str) -> Option<u128> {
    let name = if name == "µs" || name == "μs" { "us" } else { name };
    DURATION_UNITS.iter().find(|(unit, _)| *unit == name).map(|(_, nanos)| *nanos)
}

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// A byte of the largest size unit has a million million parts; more digits are never exact.
const FRACTION_DIGITS_MAX: usize = 18;

const DURATION_UNITS: [(&str, u128); 7] = [
    ("d", 86_400 * NANOS_PER_SECOND),
    ("h", 3_600 * NANOS_PER_SECOND),
    ("m", 60 * NANOS_PER_SECOND),
    ("s", NANOS_PER_SECOND),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Largest first, so that the first unit that divides a size is the shortest way to write it.
const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

const DURATION_SHAPE: UnitError =
    UnitError::new("not a duration", "write it like 250ms, 30s, 5m, 1h30m or 7d");
const DURATION_ORDER: UnitError =
    UnitError::new("the units of a duration go from large to small", "write 1h30m, not 30m1h");
const DURATION_TOO_LONG: UnitError =
    UnitError::new("the duration is too long", "the largest is about 584 thousand million years");
const DURATION_FAULTS: [UnitError; 2] =
    [UnitError::new("the duration is too fine", "the smallest unit is 1ns"), DURATION_TOO_LONG];
const SIZE_SHAPE: UnitError = UnitError::new("not a size", "write it like 512B, 64KiB or 10MB");
const SIZE_TOO_LARGE: UnitError =
    UnitError::new("the size is too large", "the largest is 18446744073709551615B");
const SIZE_FAULTS: [UnitError; 2] =
    [UnitError::new("not a whole number of bytes", "leave out the fraction"), SIZE_TOO_LARGE];
const RATE_SHAPE: UnitError = UnitError::new("not a rate", "write it like 500/s, 10/m or 5/30s");
const RATE_ZERO: UnitError =
    UnitError::new("a rate of nothing lets nothing through", "write at least 1/d");
const RATE_TOO_LARGE: UnitError =
    UnitError::new("the rate is too large", "the count has to fit in 64 bits");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn duration(text: &str) -> Result<Duration, UnitError> {
        text.parse::<DurationText>().map(|text| text.0)
    }

    #[test]
    fn durations_are_read_in_all_their_units() {
        let second = Duration::from_secs;
        let cases = [
            ("250ms", Duration::from_millis(250)),
            ("30s", second(30)),
            ("5m", second(300)),
            ("1h", second(3600)),
            ("7d", second(7 * 86_400)),
            ("1.5s", Duration::from_millis(1500)),
            ("1h30m", second(5400)),
            (" 1h 30m ", second(5400)),
            ("2 s", second(2)),
            ("3us", Duration::from_micros(3)),
            ("3µs", Duration::from_micros(3)),
            (".5s", Duration::from_millis(500)),
            ("0s", Duration::ZERO),
            ("18446744073709551615s", second(u64::MAX)),
        ];
        for (text, expected) in cases {
            assert_eq!(duration(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_says_why() {
        let cases = [
            ("30", "a duration needs a unit"),
            ("1.5", "a duration needs a unit"),
            ("-3", "a duration needs a unit"),
            ("-3s", "not a duration"),
            ("", "not a duration"),
            ("s", "not a duration"),
            ("inf", "not a duration"),
            ("3 fortnights", "not a duration"),
            ("3M", "not a duration"),
            ("3s4", "not a duration"),
            (".s.", "not a duration"),
            ("30m1h", "the units of a duration go from large to small"),
            ("1s1s", "the units of a duration go from large to small"),
            ("1.5ns", "the duration is too fine"),
            ("1.2.3s", "not a duration"),
            (".s", "not a duration"),
            ("18446744073709551616s", "the duration is too long"),
            ("99999999999999999999999999999999999999999d", "the duration is too long"),
            ("340282366920938463463374607431768211455d", "the duration is too long"),
        ];
        for (text, message) in cases {
            assert_eq!(duration(text).map_err(|error| error.message()), Err(message), "{text}");
        }
    }

    #[test]
    fn sizes_are_decimal_or_binary_as_written() {
        let cases = [
            ("512B", Ok(512)),
            ("64KiB", Ok(65_536)),
            ("10MB", Ok(10_000_000)),
            ("1GiB", Ok(1 << 30)),
            ("1.5KiB", Ok(1536)),
            ("10 mb", Ok(10_000_000)),
            ("0B", Ok(0)),
            ("18446744073709551615B", Ok(u64::MAX)),
            ("18446744073709551616B", Err("the size is too large")),
            ("0.3B", Err("not a whole number of bytes")),
            ("1024", Err("a size needs a unit")),
            ("-1KB", Err("not a size")),
            ("1KiB1B", Err("not a size")),
            ("", Err("not a size")),
        ];
        for (text, expected) in cases {
            let read = text.parse::<ByteSize>();
            assert_eq!(read.map(|size| size.0).map_err(|e| e.message()), expected, "{text}");
        }
    }

    #[test]
    fn rates_have_a_count_and_a_time() {
        let second = Duration::from_secs(1);
        let cases = [
            ("500/s", Ok((500, second))),
            ("10/m", Ok((10, second * 60))),
            ("1000/1h", Ok((1000, second * 3600))),
            ("5 / 30s", Ok((5, second * 30))),
            ("500", Err("a rate needs a time")),
            ("0/s", Err("a rate of nothing lets nothing through")),
            ("5/0s", Err("a rate of nothing lets nothing through")),
            ("-5/s", Err("not a rate")),
            ("+5/s", Err("not a rate")),
            ("5/", Err("not a rate")),
            ("/s", Err("not a rate")),
            ("5/s/s", Err("not a rate")),
            ("18446744073709551616/s", Err("the rate is too large")),
        ];
        for (text, expected) in cases {
            let read = text.parse::<Rate>();
            let read = read.map(|rate| (rate.count, rate.per)).map_err(|error| error.message());
            assert_eq!(read, expected, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_read_back(
            seconds in any::<u64>(), nanos in 0_u32..1_000_000_000, bytes in any::<u64>(),
            shift in 0_u32..64, count in 1..u64::MAX,
        ) {
            let duration = DurationText(Duration::new(seconds >> shift, nanos));
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
            let size = ByteSize(bytes >> shift << (shift / 2));
            prop_assert_eq!(size.to_string().parse(), Ok(size));
            if let Some(rate) = Rate::new(count, duration.0) {
                prop_assert_eq!(rate.to_string().parse(), Ok(rate));
            }
        }

        #[test]
        fn no_text_is_too_strange(text in ".{0,40}", number in "[0-9.]{0,60}[a-zA-Zµ]{0,3}") {
            for text in [text, number] {
                for format in ["duration", "byte-size", "rate"] {
                    let _ = check(format, Some(&text));
                }
            }
        }
    }
}
