//! Decimal numbers, as people write them.

use proptest::prelude::*;
use switchboard_core::ErrorKind;

use crate::Decimal;

fn normalised(text: &str) -> String {
    text.parse::<Decimal>().unwrap().to_string()
}

#[test]
fn digits_are_kept_without_what_says_nothing() {
    assert_eq!(normalised("+007.50"), "7.50");
    assert_eq!(normalised(" -.5 "), "-0.5");
    assert_eq!(normalised("5."), "5");
    assert_eq!(normalised("-0.00"), "0.00");
    assert_eq!(normalised("000"), "0");
}

#[test]
fn an_exponent_only_moves_the_point() {
    assert_eq!(normalised("1.25e1"), "12.5");
    assert_eq!(normalised("1.2E+3"), "1200");
    assert_eq!(normalised("12e-4"), "0.0012");
    assert_eq!(normalised("0e5"), "0");
}

#[test]
fn words_are_spelt_one_way() {
    assert_eq!(normalised("nan"), "NaN");
    assert_eq!(normalised("+INF"), "Infinity");
    assert_eq!(normalised("-infinity"), "-Infinity");
}

#[test]
fn what_is_no_number_is_refused() {
    for text in ["", ".", "-", "1.2.3", "1e", "e5", "0x10", "1_000", "1,5", "--1", "1e99999"] {
        let refused = text.parse::<Decimal>().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{text}");
    }
}

#[test]
fn a_number_becomes_a_whole_one_with_all_its_digits_and_the_nearest_that_floats() {
    let decimal = |text: &str| Decimal::from_text(text);
    assert_eq!(decimal("42.00").to_i128(), Some(42));
    assert_eq!(decimal("42.01").to_i128(), None);
    assert_eq!(decimal("-0").to_i128(), Some(0));
    assert_eq!(decimal("NaN").to_i128(), None);
    assert_eq!(decimal("0.10").to_f64(), Some(0.1));
    assert_eq!(decimal("-1e300").to_f64(), Some(-1e300));
    assert_eq!(decimal("0.1234567890123456789").to_f64(), Some(0.123_456_789_012_345_68));
    assert_eq!(decimal("0.33333333333333333333").to_f64(), Some(1.0 / 3.0));
    assert_eq!(decimal(&format!("1{}", "0".repeat(400))).to_f64(), None, "no float is so large");
    assert_eq!(decimal("Infinity").to_f64(), Some(f64::INFINITY));
    assert!(decimal("NaN").to_f64().is_some_and(f64::is_nan));
}

proptest! {
    #[test]
    fn every_float_comes_back_from_its_digits(float in any::<f64>()) {
        prop_assume!(float.is_finite());
        let back = Decimal::from_text(float.to_string()).to_f64();
        prop_assert_eq!(back, Some(float));
    }

    #[test]
    fn every_whole_number_comes_back_from_its_digits(number in any::<i128>(), zeros in 0usize..9) {
        let fraction = if zeros > 0 { format!(".{}", "0".repeat(zeros)) } else { String::new() };
        let decimal = Decimal::from_text(format!("{number}{fraction}"));
        prop_assert_eq!(decimal.to_i128(), Some(number));
        prop_assert_eq!(normalised(decimal.as_str()), decimal.to_string());
    }

    #[test]
    fn reading_twice_changes_nothing(text in "[-+]?[0-9]{0,30}(\\.[0-9]{0,30})?([eE][-+]?[0-9]{1,3})?") {
        let Ok(once) = text.parse::<Decimal>() else { return Ok(()) };
        prop_assert_eq!(normalised(once.as_str()), once.to_string());
    }
}
