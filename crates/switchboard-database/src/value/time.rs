//! Days, times of day and moments, as databases count them and as people write them.
//!
//! Written as ISO 8601 and RFC 3339 have it, and read so, with a space for the `T` as databases write
//! it. What is finer than a microsecond is cut off. Years that do not fit into four digits have a sign
//! and at least six. There are no leap seconds.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use switchboard_core::{Error, ErrorKind, Result};

use super::calendar::Civil;
use super::scan::Scan;
use super::written::written;

/// A day, counted from 1970-01-01.
///
/// ```
/// use switchboard_database::Date;
///
/// let day: Date = "2024-02-29".parse()?;
/// assert_eq!(day, Date::new(2024, 2, 29).unwrap());
/// assert_eq!(Date::new(2023, 2, 29), None);
/// assert_eq!(Date::from_days(0).to_string(), "1970-01-01");
/// # Ok::<(), switchboard_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Date {
    pub(crate) days: i32,
}

/// A time of day in microseconds since midnight; negative or beyond a day where it is a length of time.
///
/// ```
/// use switchboard_database::Time;
///
/// let time: Time = "13:45:30.25".parse()?;
/// assert_eq!(Some(time), Time::new(13, 45, 30, 250_000));
/// assert_eq!("-838:59:59".parse::<Time>()?.to_string(), "-838:59:59");
/// # Ok::<(), switchboard_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Time {
    pub(crate) micros: i64,
}

/// A day and a time of day in no zone: microseconds since 1970-01-01 00:00.
///
/// ```
/// use switchboard_database::{Date, DateTime, Time};
///
/// let moment: DateTime = "2024-02-29 13:45".parse()?;
/// assert_eq!(moment.to_string(), "2024-02-29T13:45:00");
/// assert_eq!(moment.date(), Date::new(2024, 2, 29));
/// assert_eq!(moment.time(), Time::new(13, 45, 0, 0));
/// # Ok::<(), switchboard_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DateTime {
    pub(crate) micros: i64,
}

/// A moment: microseconds since 1970-01-01 00:00 UTC. The least and the greatest number stand for the
/// infinities that some databases have.
///
/// ```
/// use switchboard_database::Timestamp;
///
/// let moment: Timestamp = "2024-02-29T13:45:30+01:00".parse()?;
/// assert_eq!(moment.to_string(), "2024-02-29T12:45:30Z");
/// assert_eq!(Timestamp::INFINITY.to_string(), "infinity");
/// # Ok::<(), switchboard_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp {
    pub(crate) micros: i64,
}

macro_rules! counted {
    ($name:ident, $field:ident: $number:ty, $from:ident) => {
        impl $name {
            /// From the count of its unit.
            pub const fn $from($field: $number) -> Self {
                Self { $field }
            }

            /// The count of its unit.
            pub const fn $field(self) -> $number {
                self.$field
            }
        }
    };
}

macro_rules! with_infinities {
    ($name:ident, $field:ident: $number:ty) => {
        impl $name {
            /// Later than all others, where the database has that.
            pub const INFINITY: Self = Self { $field: <$number>::MAX };
            /// Earlier than all others, where the database has that.
            pub const NEG_INFINITY: Self = Self { $field: <$number>::MIN };

            /// Whether it is none of the infinities.
            pub const fn is_finite(self) -> bool {
                <$number>::MIN < self.$field && self.$field < <$number>::MAX
            }

            /// What is written instead of a number.
            const fn infinity(self) -> Option<&'static str> {
                match self.$field {
                    <$number>::MAX => Some(INFINITY),
                    <$number>::MIN => Some(NEG_INFINITY),
                    _ => None,
                }
            }

            fn from_infinity(text: &str) -> Option<Self> {
                match text.trim() {
                    INFINITY => Some(Self::INFINITY),
                    NEG_INFINITY => Some(Self::NEG_INFINITY),
                    _ => None,
                }
            }
        }
    };
}

counted!(Date, days: i32, from_days);
counted!(Time, micros: i64, from_micros);
counted!(DateTime, micros: i64, from_micros);
counted!(Timestamp, micros: i64, from_micros);

with_infinities!(Date, days: i32);
with_infinities!(DateTime, micros: i64);
with_infinities!(Timestamp, micros: i64);

written!(Date, "switchboard_database::Date", "a date", |days| {
    i32::try_from(days).ok().map(Self::from_days)
});
written!(Time, "switchboard_database::Time", "a time", |micros| {
    i64::try_from(micros).ok().map(Self::from_micros)
});
written!(DateTime, "switchboard_database::DateTime", "a date and time", |micros| {
    i64::try_from(micros).ok().map(Self::from_micros)
});
written!(Timestamp, "switchboard_database::Timestamp", "a timestamp", |micros| {
    i64::try_from(micros).ok().map(Self::from_micros)
});

impl Date {
    /// That day, if there is one. The year before year 1 is 0.
    pub fn new(year: i32, month: u8, day: u8) -> Option<Self> {
        Self::of(&Civil { year: year.into(), month, day })
    }

    /// Year, month and day; of an infinity the last or first that there would be.
    pub fn year_month_day(self) -> (i32, u8, u8) {
        let Civil { year, month, day } = Civil::from_days(self.days.into());
        (i32::try_from(year).unwrap_or_default(), month, day)
    }

    fn of(civil: &Civil) -> Option<Self> {
        let days = i32::try_from(civil.days()?).ok()?;
        Some(Self { days }).filter(|date| date.is_finite())
    }

    fn scan(scan: &mut Scan<'_>) -> Option<Self> {
        let year = match scan.one_of(b"+-") {
            Some(sign) => signed(sign, scan.number(6, 7)?),
            None => scan.number(4, 4)?,
        };
        let month = scan.one_of(b"-").and_then(|_| scan.pair(13))?;
        let day = scan.one_of(b"-").and_then(|_| scan.pair(32))?;
        Self::of(&Civil { year, month: u8::try_from(month).ok()?, day: u8::try_from(day).ok()? })
    }
}

impl Time {
    /// That time of day, if there is one.
    pub fn new(hour: u8, minute: u8, second: u8, micros: u32) -> Option<Self> {
        let is_one = hour < 24 && minute < 60 && second < 60 && micros < 1_000_000;
        let seconds = (i64::from(hour) * 60 + i64::from(minute)) * 60 + i64::from(second);
        is_one.then(|| Self { micros: seconds * SECOND + i64::from(micros) })
    }

    /// The length of time; none where it is negative.
    pub fn to_duration(self) -> Option<Duration> {
        u64::try_from(self.micros).ok().map(Duration::from_micros)
    }

    /// A clock of minutes and seconds after so many hours.
    fn scan(scan: &mut Scan<'_>) -> Option<Self> {
        let sign = scan.one_of(b"+-").unwrap_or(b'+');
        let hours = scan.number(1, 9)?;
        Some(Self { micros: signed(sign, hours * HOUR + Self::scan_within_hour(scan)?) })
    }

    /// As [`scan`](Self::scan), within a day.
    fn scan_of_day(scan: &mut Scan<'_>) -> Option<Self> {
        Some(Self { micros: scan.pair(24)? * HOUR + Self::scan_within_hour(scan)? })
    }

    fn scan_within_hour(scan: &mut Scan<'_>) -> Option<i64> {
        let minutes = scan.one_of(b":").and_then(|_| scan.pair(60))?;
        if scan.one_of(b":").is_none() {
            return Some(minutes * MINUTE);
        }
        Some(minutes * MINUTE + scan.pair(60)? * SECOND + scan.micros()?)
    }
}

impl DateTime {
    /// That time on that day; none where the day is an infinity or too far away to count
    /// microseconds to it, or the time is no time of day.
    pub fn new(date: Date, time: Time) -> Option<Self> {
        if !date.is_finite() || !(0..DAY).contains(&time.micros) {
            return None;
        }
        let micros = i64::from(date.days).checked_mul(DAY)?.checked_add(time.micros)?;
        Some(Self { micros }).filter(|moment| moment.is_finite())
    }

    /// The day, unless it is an infinity.
    pub fn date(self) -> Option<Date> {
        let days = i32::try_from(self.micros.div_euclid(DAY)).ok()?;
        self.is_finite().then_some(Date { days })
    }

    /// The time of day, unless it is an infinity.
    pub fn time(self) -> Option<Time> {
        self.is_finite().then(|| Time { micros: self.micros.rem_euclid(DAY) })
    }

    /// The moment at which clocks that show UTC show this.
    #[must_use]
    pub const fn in_utc(self) -> Timestamp {
        Timestamp { micros: self.micros }
    }

    fn scan(scan: &mut Scan<'_>) -> Option<Self> {
        let date = Date::scan(scan)?;
        if scan.is_at_end() {
            return Self::new(date, Time { micros: 0 });
        }
        scan.one_of(b"Tt ")?;
        Self::new(date, Time::scan_of_day(scan)?)
    }
}

impl Timestamp {
    /// What clocks that show UTC show at that moment.
    #[must_use]
    pub const fn in_utc(self) -> DateTime {
        DateTime { micros: self.micros }
    }

    fn scan(scan: &mut Scan<'_>) -> Option<Self> {
        let shown = DateTime::scan(scan)?;
        let micros = shown.micros.checked_sub(scan_offset(scan)?)?;
        Some(Self { micros }).filter(|moment| moment.is_finite())
    }
}

impl FromStr for Date {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::from_infinity(text)
            .or_else(|| Scan::whole(text, Self::scan))
            .ok_or_else(|| unreadable("the text is no date", "2024-02-29"))
    }
}

impl FromStr for Time {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Scan::whole(text, Self::scan).ok_or_else(|| unreadable("the text is no time", "13:45:30.5"))
    }
}

impl FromStr for DateTime {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::from_infinity(text)
            .or_else(|| Scan::whole(text, Self::scan))
            .ok_or_else(|| unreadable("the text is no date and time", "2024-02-29T13:45:30.5"))
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::from_infinity(text).or_else(|| Scan::whole(text, Self::scan)).ok_or_else(|| {
            unreadable("the text is no moment, or says no zone", "2024-02-29T13:45:30.5Z")
        })
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(infinity) = self.infinity() {
            return f.write_str(infinity);
        }
        let (year, month, day) = self.year_month_day();
        match year {
            0..=9999 => write!(f, "{year:04}-{month:02}-{day:02}"),
            _ => write!(f, "{year:+07}-{month:02}-{day:02}"),
        }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.micros < 0 { "-" } else { "" };
        let (seconds, micros) = (self.micros.unsigned_abs() / 1_000_000, self.micros % SECOND);
        let (minutes, hours) = (seconds / 60 % 60, seconds / 3_600);
        write!(f, "{sign}{hours:02}:{minutes:02}:{:02}", seconds % 60)?;
        write_micros(f, micros.unsigned_abs())
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.date(), self.time()) {
            (Some(date), Some(time)) => write!(f, "{date}T{time}"),
            _ => f.write_str(self.infinity().unwrap_or_default()),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.infinity() {
            Some(infinity) => f.write_str(infinity),
            None => write!(f, "{}Z", self.in_utc()),
        }
    }
}

impl From<SystemTime> for Timestamp {
    /// The nearest that can be counted; what is finer than a microsecond is cut off.
    fn from(moment: SystemTime) -> Self {
        let micros = match moment.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
            Err(before) => {
                let before = before.duration().as_nanos().div_ceil(1_000);
                i64::try_from(before).map_or(i64::MIN, |micros| -micros)
            }
        };
        Self { micros: micros.clamp(i64::MIN + 1, i64::MAX - 1) }
    }
}

/// How far clocks of a zone are ahead of UTC.
fn scan_offset(scan: &mut Scan<'_>) -> Option<i64> {
    let sign = match scan.one_of(b"Zz+-")? {
        b'Z' | b'z' => return Some(0),
        sign => sign,
    };
    let hours = scan.pair(24)?;
    let _ = scan.one_of(b":");
    let minutes = if scan.is_at_end() { 0 } else { scan.pair(60)? };
    Some(signed(sign, hours * HOUR + minutes * MINUTE))
}

fn signed(sign: u8, number: i64) -> i64 {
    if sign == b'-' { -number } else { number }
}

fn write_micros(f: &mut fmt::Formatter<'_>, micros: u64) -> fmt::Result {
    if micros == 0 {
        return Ok(());
    }
    let digits = format!("{micros:06}");
    write!(f, ".{}", digits.trim_end_matches('0'))
}

fn unreadable(message: &'static str, example: &'static str) -> Error {
    Error::new(ErrorKind::InvalidInput, message).with_hint(format!("write it like `{example}`"))
}

const INFINITY: &str = "infinity";
const NEG_INFINITY: &str = "-infinity";

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
