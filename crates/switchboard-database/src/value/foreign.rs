//! Values from and to the types of other crates, for applications that have them.
//!
//! What is ours counts in microseconds, as databases do: what is finer is cut off on the way in. On the
//! way out infinities, and what is too far away or too long for the other crate, are refused.

use switchboard_core::{Error, ErrorKind};

/// What becomes one of our types, and so a value.
macro_rules! comes_in {
    ($($from:ty => $into:ident: |$value:ident| $convert:expr;)*) => {$(
        impl From<$from> for $crate::$into {
            fn from($value: $from) -> Self {
                $convert
            }
        }

        impl From<$from> for $crate::Value {
            fn from(value: $from) -> Self {
                Self::$into(value.into())
            }
        }
    )*};
}

/// What one of our types becomes where it fits.
macro_rules! goes_out {
    ($($from:ident => $into:ty: |$value:ident| $convert:expr;)*) => {$(
        impl TryFrom<$crate::$from> for $into {
            type Error = switchboard_core::Error;

            fn try_from($value: $crate::$from) -> switchboard_core::Result<Self> {
                $convert.ok_or_else(too_far)
            }
        }
    )*};
}

#[cfg(feature = "chrono")]
mod from_chrono {
    use chrono::{
        Datelike as _, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Timelike as _, Utc,
    };

    use super::too_far;
    use crate::{Timestamp, Value};

    comes_in! {
        NaiveDate => Date: |day| Self::from_days(day.num_days_from_ce() - DAYS_TO_1970);
        NaiveTime => Time: |time| Self::from_micros(
            i64::from(time.num_seconds_from_midnight()) * 1_000_000
                + i64::from(time.nanosecond().min(999_999_999) / 1_000)
        );
        NaiveDateTime => DateTime: |moment| Self::from_micros(moment.and_utc().timestamp_micros());
    }

    impl<Z: TimeZone> From<chrono::DateTime<Z>> for Timestamp {
        fn from(moment: chrono::DateTime<Z>) -> Self {
            Self::from_micros(moment.timestamp_micros())
        }
    }

    impl<Z: TimeZone> From<chrono::DateTime<Z>> for Value {
        fn from(moment: chrono::DateTime<Z>) -> Self {
            Self::Timestamp(moment.into())
        }
    }

    goes_out! {
        Date => NaiveDate: |day| {
            let days = day.days().checked_add(DAYS_TO_1970).filter(|_| day.is_finite());
            days.and_then(Self::from_num_days_from_ce_opt)
        };
        Time => NaiveTime: |time| {
            let micros = u64::try_from(time.micros()).ok();
            let whole = micros.and_then(|micros| u32::try_from(micros / 1_000_000).ok());
            let rest = micros.and_then(|micros| u32::try_from(micros % 1_000_000 * 1_000).ok());
            whole.zip(rest).and_then(|(whole, rest)| {
                Self::from_num_seconds_from_midnight_opt(whole, rest)
            })
        };
        DateTime => NaiveDateTime: |moment| {
            let utc = chrono::DateTime::<Utc>::try_from(moment.in_utc()).ok();
            utc.map(|moment| moment.naive_utc())
        };
        Timestamp => chrono::DateTime<Utc>: |moment| {
            let micros = moment.is_finite().then(|| moment.micros());
            micros.and_then(Self::from_timestamp_micros)
        };
    }

    /// From the first day of the year 1, which is day 1 there.
    const DAYS_TO_1970: i32 = 719_163;
}

#[cfg(feature = "jiff")]
mod from_jiff {
    use jiff::civil;

    use super::too_far;
    use crate::value::calendar::Civil;
    use crate::{Date, Time};

    comes_in! {
        civil::Date => Date: |day| {
            let (month, number) = (day.month().unsigned_abs(), day.day().unsigned_abs());
            let days = Civil { year: day.year().into(), month, day: number }.days();
            // Every day that the other crate has is one here.
            Self::from_days(days.and_then(|days| i32::try_from(days).ok()).unwrap_or_default())
        };
        civil::Time => Time: |time| {
            let minutes = i64::from(time.hour()) * 60 + i64::from(time.minute());
            let micros = i64::from(time.subsec_nanosecond() / 1_000);
            Self::from_micros((minutes * 60 + i64::from(time.second())) * 1_000_000 + micros)
        };
        civil::DateTime => DateTime: |moment| {
            let moment = Self::new(moment.date().into(), moment.time().into());
            // As for days.
            moment.unwrap_or(Self::from_micros(0))
        };
        jiff::Timestamp => Timestamp: |moment| Self::from_micros(moment.as_microsecond());
    }

    goes_out! {
        Date => civil::Date: |day| date(day);
        Time => civil::Time: |time| time_of_day(time);
        DateTime => civil::DateTime: |moment| {
            let day = moment.date().and_then(date);
            day.zip(moment.time().and_then(time_of_day)).map(|(day, time)| day.to_datetime(time))
        };
        Timestamp => jiff::Timestamp: |moment| Self::from_microsecond(moment.micros()).ok();
    }

    fn date(day: Date) -> Option<civil::Date> {
        let (year, month, day) = day.year_month_day();
        let (month, day) = (i8::try_from(month).ok()?, i8::try_from(day).ok()?);
        civil::Date::new(i16::try_from(year).ok()?, month, day).ok()
    }

    fn time_of_day(time: Time) -> Option<civil::Time> {
        let (seconds, micros) = (time.micros() / 1_000_000, time.micros() % 1_000_000);
        let hour = i8::try_from(seconds / 3_600).ok()?;
        let (minute, second) = (seconds / 60 % 60, seconds % 60);
        let (minute, second) = (i8::try_from(minute).ok()?, i8::try_from(second).ok()?);
        civil::Time::new(hour, minute, second, i32::try_from(micros * 1_000).ok()?).ok()
    }
}

#[cfg(feature = "rust_decimal")]
mod from_rust_decimal {
    use super::too_far;

    comes_in! {
        rust_decimal::Decimal => Decimal: |number| Self::from_text(number.to_string());
    }

    goes_out! {
        Decimal => rust_decimal::Decimal: |number| Self::from_str_exact(number.as_str()).ok();
    }
}

fn too_far() -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        "the value is longer or further away than the other type goes",
    )
}
