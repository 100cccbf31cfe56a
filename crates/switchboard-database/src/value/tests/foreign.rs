//! Types of other crates, as parameters and in rows.

use proptest::prelude::*;
use switchboard_core::ErrorKind;

use crate::{Column, Columns, Date, DateTime, Decimal, Row, Time, Timestamp, Value};

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    let columns = Columns::new([Column { name: "it".into(), type_name: None }]);
    Row::new(columns, vec![value]).read("it").unwrap()
}

/// Days that both other calendars have.
fn days() -> impl Strategy<Value = i32> {
    let (first, last) = (Date::new(-9999, 1, 2).unwrap(), Date::new(9999, 12, 30).unwrap());
    first.days()..=last.days()
}

fn micros_of_day() -> impl Strategy<Value = i64> {
    0..86_400_000_000_i64
}

proptest! {
    #[test]
    fn days_and_times_of_chrono_go_out_and_come_back(days in days(), micros in micros_of_day()) {
        let (day, time) = (Date::from_days(days), Time::from_micros(micros));
        let (theirs, clock) = (
            chrono::NaiveDate::try_from(day).unwrap(),
            chrono::NaiveTime::try_from(time).unwrap(),
        );
        prop_assert_eq!(theirs.to_string(), sign_as_theirs(&day.to_string()));
        prop_assert_eq!((Date::from(theirs), Time::from(clock)), (day, time));
        let shown = DateTime::new(day, time).unwrap();
        let moment = chrono::DateTime::<chrono::Utc>::try_from(shown.in_utc()).unwrap();
        prop_assert_eq!(chrono::NaiveDateTime::try_from(shown).unwrap(), theirs.and_time(clock));
        prop_assert_eq!(DateTime::from(theirs.and_time(clock)), shown);
        prop_assert_eq!(Timestamp::from(moment), shown.in_utc());
        prop_assert_eq!(read::<chrono::NaiveTime>(time.into()), clock);
        if days > 0 {
            prop_assert_eq!(read::<chrono::NaiveDate>(day.into()), theirs);
            prop_assert_eq!(read::<chrono::NaiveDateTime>(shown.into()), theirs.and_time(clock));
            prop_assert_eq!(read::<chrono::DateTime<chrono::Utc>>(Value::from(moment)), moment);
        }
    }

    #[test]
    fn days_and_times_of_jiff_go_out_and_come_back(days in days(), micros in micros_of_day()) {
        let (day, time) = (Date::from_days(days), Time::from_micros(micros));
        let shown = DateTime::new(day, time).unwrap();
        let theirs = jiff::civil::DateTime::try_from(shown).unwrap();
        let moment = jiff::Timestamp::try_from(shown.in_utc()).unwrap();
        prop_assert_eq!(theirs.date(), jiff::civil::Date::try_from(day).unwrap());
        prop_assert_eq!(theirs.time(), jiff::civil::Time::try_from(time).unwrap());
        prop_assert_eq!(theirs.to_string(), shown.to_string());
        prop_assert_eq!(Date::from(theirs.date()), day);
        prop_assert_eq!(Time::from(theirs.time()), time);
        prop_assert_eq!(DateTime::from(theirs), shown);
        prop_assert_eq!(Timestamp::from(moment), shown.in_utc());
        prop_assert_eq!(read::<jiff::civil::Date>(day.into()), theirs.date());
        prop_assert_eq!(read::<jiff::civil::Time>(time.into()), theirs.time());
        prop_assert_eq!(read::<jiff::civil::DateTime>(Value::from(theirs)), theirs);
        prop_assert_eq!(read::<jiff::Timestamp>(Value::from(moment)), moment);
    }

    #[test]
    fn decimal_numbers_of_another_crate_go_out_and_come_back(digits in any::<i64>(), scale in 0u32..28) {
        let theirs = rust_decimal::Decimal::new(digits, scale);
        let ours = Decimal::from(theirs);
        prop_assert_eq!(rust_decimal::Decimal::try_from(ours.clone()).unwrap(), theirs);
        prop_assert_eq!(read::<rust_decimal::Decimal>(Value::from(theirs)), theirs);
        prop_assert_eq!(read::<Decimal>(Value::from(theirs)), ours);
    }
}

/// The other crate writes five digits where a year has a sign.
fn sign_as_theirs(day: &str) -> String {
    day.strip_prefix("-00").map_or_else(|| day.to_owned(), |day| format!("-{day}"))
}

#[test]
fn a_uuid_is_read_from_its_kind_and_from_text() {
    let id = uuid::Uuid::from_u128(0x1234_5678_9abc_def0_1234_5678_9abc_def0);
    assert_eq!(Value::from(id), Value::uuid(id.into_bytes()));
    assert_eq!(read::<uuid::Uuid>(id.into()), id);
    assert_eq!(read::<uuid::Uuid>(Value::Text(id.to_string())), id);
}

#[test]
fn what_another_crate_has_no_place_for_is_refused() {
    let far = Date::new(5_000_000, 1, 1).unwrap();
    let refused = [
        chrono::NaiveDate::try_from(far).unwrap_err(),
        chrono::NaiveDate::try_from(Date::INFINITY).unwrap_err(),
        chrono::NaiveTime::try_from(Time::from_micros(-1)).unwrap_err(),
        chrono::NaiveDateTime::try_from(DateTime::INFINITY).unwrap_err(),
        chrono::DateTime::<chrono::Utc>::try_from(Timestamp::NEG_INFINITY).unwrap_err(),
        jiff::civil::Date::try_from(far).unwrap_err(),
        jiff::civil::Time::try_from(Time::from_micros(86_400_000_000)).unwrap_err(),
        jiff::civil::DateTime::try_from(DateTime::NEG_INFINITY).unwrap_err(),
        jiff::Timestamp::try_from(Timestamp::INFINITY).unwrap_err(),
        rust_decimal::Decimal::try_from(Decimal::from_text("NaN")).unwrap_err(),
        rust_decimal::Decimal::try_from(Decimal::from_text("0.".to_owned() + &"1".repeat(40)))
            .unwrap_err(),
    ];
    for error in refused {
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}
