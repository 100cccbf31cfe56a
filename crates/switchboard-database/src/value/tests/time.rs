//! Days and times, against a calendar of others.

use jiff::civil;
use proptest::prelude::*;
use switchboard_core::ErrorKind;

use crate::{Date, DateTime, Time, Timestamp};

const DAY: i64 = 86_400_000_000;

/// All the days that the other calendar has.
fn any_day() -> impl Strategy<Value = civil::Date> {
    (-9999i16..=9999, 1i8..=12, 1i8..=31).prop_filter_map("no such day", |(year, month, day)| {
        civil::Date::new(year, month, day).ok()
    })
}

/// All the moments that the other calendar has, in microseconds.
fn any_moment() -> impl Strategy<Value = jiff::Timestamp> {
    let (min, max) = (jiff::Timestamp::MIN, jiff::Timestamp::MAX);
    (min.as_microsecond() + 1..max.as_microsecond())
        .prop_map(|micros| jiff::Timestamp::from_microsecond(micros).unwrap())
}

fn days_after_1970(day: civil::Date) -> i32 {
    day.since((jiff::Unit::Day, civil::date(1970, 1, 1))).unwrap().get_days()
}

proptest! {
    #[test]
    fn a_day_is_the_day_of_another_calendar(day in any_day()) {
        let ours = Date::new(day.year().into(), day.month().cast_unsigned(), day.day().cast_unsigned()).unwrap();
        prop_assert_eq!(ours.days(), days_after_1970(day));
        prop_assert_eq!(ours.to_string(), day.to_string());
        prop_assert_eq!(day.to_string().parse::<Date>().unwrap(), ours);
    }

    #[test]
    fn a_moment_is_the_moment_of_another_calendar(moment in any_moment()) {
        let ours = Timestamp::from_micros(moment.as_microsecond());
        prop_assert_eq!(ours.to_string(), moment.to_string());
        prop_assert_eq!(moment.to_string().parse::<Timestamp>().unwrap(), ours);
    }

    #[test]
    fn an_offset_moves_a_moment_as_in_another_calendar(
        moment in any_moment(), minutes in -23 * 60i32..=23 * 60,
    ) {
        let zone = jiff::tz::Offset::from_seconds(minutes * 60).unwrap();
        let written = moment.display_with_offset(zone).to_string();
        let ours = written.parse::<Timestamp>();
        // What lies before the first or after the last year of four digits has no such text.
        prop_assume!(written.starts_with(|first: char| first.is_ascii_digit()));
        prop_assert_eq!(ours.unwrap().micros(), moment.as_microsecond());
    }

    #[test]
    fn every_day_that_can_be_counted_is_read_as_it_was_written(days in any::<i32>()) {
        let day = Date::from_days(days);
        prop_assert_eq!(day.to_string().parse::<Date>().unwrap(), day);
        let (year, month, number) = day.year_month_day();
        prop_assert!(!day.is_finite() || Date::new(year, month, number) == Some(day));
    }

    #[test]
    fn every_moment_that_can_be_counted_is_read_as_it_was_written(micros in any::<i64>()) {
        let shown = DateTime::from_micros(micros);
        prop_assert_eq!(shown.to_string().parse::<DateTime>().unwrap(), shown);
        let moment = Timestamp::from_micros(micros);
        prop_assert_eq!(moment.to_string().parse::<Timestamp>().unwrap(), moment);
    }

    #[test]
    fn every_length_of_time_is_read_as_it_was_written(micros in -1000 * DAY..1000 * DAY) {
        let time = Time::from_micros(micros);
        prop_assert_eq!(time.to_string().parse::<Time>().unwrap(), time);
    }

    #[test]
    fn texts_that_nobody_would_write_are_refused_without_a_panic(text in "[-+0-9:.,TtZz ]{0,40}|.*") {
        let _ = (text.parse::<Date>().is_ok(), text.parse::<Time>().is_ok());
        let _ = (text.parse::<DateTime>().is_ok(), text.parse::<Timestamp>().is_ok());
    }
}

#[test]
fn years_beyond_four_digits_have_a_sign() {
    assert_eq!(Date::new(5_874_897, 12, 31).unwrap().to_string(), "+5874897-12-31");
    assert_eq!(Date::new(-43, 3, 15).unwrap().to_string(), "-000043-03-15");
    assert_eq!("+012345-01-01".parse::<Date>().unwrap(), Date::new(12_345, 1, 1).unwrap());
}

#[test]
fn infinities_are_written_as_words() {
    for (text, least) in [("infinity", false), ("-infinity", true)] {
        let days = if least { i32::MIN } else { i32::MAX };
        let micros = if least { i64::MIN } else { i64::MAX };
        assert_eq!(text.parse::<Date>().unwrap(), Date::from_days(days));
        assert_eq!(text.parse::<DateTime>().unwrap(), DateTime::from_micros(micros));
        assert_eq!(text.parse::<Timestamp>().unwrap(), Timestamp::from_micros(micros));
        assert_eq!(Date::from_days(days).to_string(), text);
        assert_eq!(DateTime::from_micros(micros).to_string(), text);
        assert_eq!(Timestamp::from_micros(micros).to_string(), text);
    }
    assert_eq!(DateTime::INFINITY.date(), None);
    assert_eq!(DateTime::new(Date::INFINITY, Time::from_micros(0)), None);
}

#[test]
fn a_text_is_read_as_databases_and_people_write_it() {
    let moment = "2024-02-29T12:45:30.5Z".parse::<Timestamp>().unwrap();
    for text in [
        "2024-02-29 12:45:30.5+00",
        "2024-02-29t12:45:30,500z",
        "2024-02-29 14:45:30.500000+02:00",
        " 2024-02-29T08:15:30.5000009-0430 ",
    ] {
        assert_eq!(text.parse::<Timestamp>().unwrap(), moment, "{text}");
    }
    let midnight = "2024-02-29".parse::<DateTime>().unwrap();
    assert_eq!(midnight, "2024-02-29 00:00".parse().unwrap());
}

#[test]
fn a_length_of_time_may_be_negative_and_longer_than_a_day() {
    let longest = "-838:59:59.5".parse::<Time>().unwrap();
    assert_eq!(longest.micros(), -3_020_399_500_000);
    assert_eq!(longest.to_string(), "-838:59:59.5");
    assert_eq!(longest.to_duration(), None);
    assert_eq!(Time::from_micros(-1).to_string(), "-00:00:00.000001");
}

#[test]
fn what_is_no_day_and_no_time_is_refused() {
    assert_eq!(Date::new(2023, 2, 29), None);
    assert_eq!(Date::new(1900, 2, 29), None);
    assert_eq!(Date::new(2024, 13, 1), None);
    assert_eq!(Date::new(2024, 1, 0), None);
    assert_eq!(Date::new(i32::MAX, 1, 1), None);
    assert_eq!(Time::new(24, 0, 0, 0), None);
    assert_eq!(Time::new(0, 60, 0, 0), None);
    assert_eq!(Time::new(0, 0, 60, 0), None);
    assert_eq!(Time::new(0, 0, 0, 1_000_000), None);
    for text in ["", "2024-2-29", "2023-02-29", "24-01-01", "2024-01-01x", "12024-01-01"] {
        assert_eq!(text.parse::<Date>().unwrap_err().kind(), ErrorKind::InvalidInput, "{text}");
    }
    for text in ["", "1", "12:60", "12:30:60", "12:30:5", "12:30:05.", "1234567890:00", "--1:00"] {
        assert_eq!(text.parse::<Time>().unwrap_err().kind(), ErrorKind::InvalidInput, "{text}");
    }
    for text in ["2024-01-01T", "2024-01-01T24:00", "2024-01-01Z", "2024-01-01T10:00Z"] {
        let refused = text.parse::<DateTime>().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{text}");
    }
}

#[test]
fn a_moment_needs_a_zone() {
    let refused = "2024-01-01T10:00:00".parse::<Timestamp>().unwrap_err();
    assert_eq!(refused.message(), "the text is no moment, or says no zone");
}

#[test]
fn a_moment_of_the_system_is_cut_to_microseconds_towards_the_past() {
    use std::time::{Duration, SystemTime};

    let epoch = SystemTime::UNIX_EPOCH;
    assert_eq!(Timestamp::from(epoch + Duration::from_nanos(1_999)).micros(), 1);
    assert_eq!(Timestamp::from(epoch - Duration::from_nanos(1)).micros(), -1);
}

#[test]
fn other_formats_see_text() {
    let day = Date::new(2024, 2, 29).unwrap();
    assert_eq!(serde_json::to_string(&day).unwrap(), r#""2024-02-29""#);
    assert_eq!(serde_json::from_str::<Date>(r#""2024-02-29""#).unwrap(), day);
    assert!(serde_json::from_str::<Date>("19782").is_err(), "a count is not a date to people");
}
