//! Decimal numbers of any length, exactly as a database has them.

#[cfg(feature = "sqlite")]
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use switchboard_core::{Error, ErrorKind, Result};

use super::written::written;

/// A decimal number, exactly, in the digits it came with.
///
/// Two are equal when their digits are: `1.0` is not `1.00`, as a database may tell them apart.
///
/// ```
/// use switchboard_database::Decimal;
///
/// let price: Decimal = "+007.50".parse()?;
/// assert_eq!(price.as_str(), "7.50");
/// assert_eq!(price.to_f64(), Some(7.5));
/// assert_eq!("1.2e3".parse::<Decimal>()?.to_i128(), Some(1_200));
/// # Ok::<(), switchboard_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decimal(Box<str>);

written!(Decimal, "switchboard_database::Decimal", "a decimal number", |_count| None);

impl Decimal {
    /// What a driver read: digits, with a sign and a point where needed, or `NaN`, `Infinity`, `-Infinity`.
    pub fn from_text(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The whole number that it is, if it is one and is not too large.
    pub fn to_i128(&self) -> Option<i128> {
        let number = Digits::of(&self.0)?.without_trailing_zeros();
        if number.has_fraction() { None } else { number.to_string().parse().ok() }
    }

    /// The nearest floating-point number; none where all of them are too small.
    ///
    /// Whoever wants one has asked for about 16 digits: an average has more of them in a database.
    pub fn to_f64(&self) -> Option<f64> {
        let float: f64 = self.0.parse().ok()?;
        (float.is_finite() || Word::of(&self.0).is_some()).then_some(float)
    }
}

#[cfg(feature = "sqlite")]
impl Decimal {
    /// The digits in the one way to write the number: without zeros that say nothing, without a `+` and an
    /// exponent. What is no number stays as it is.
    pub(crate) fn shortest(&self) -> String {
        match Digits::of(&self.0) {
            Some(digits) => digits.without_trailing_zeros().to_string(),
            None => self.0.to_string(),
        }
    }

    /// Whether the first text is the lesser number of the two, exactly. What is no number comes after all
    /// that are, in the order of texts.
    pub(crate) fn order(one: &str, other: &str) -> Ordering {
        match (Digits::of(one), Digits::of(other)) {
            (Some(one), Some(other)) => one.order(other),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => one.cmp(other),
        }
    }
}

impl FromStr for Decimal {
    type Err = Error;

    /// Reads digits with a sign, a point and an exponent where wanted, or `NaN` or `Infinity`, and
    /// keeps the digits without leading zeros and without an exponent.
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        Word::of(text)
            .map(|word| Self(word.as_str().into()))
            .or_else(|| Some(Self(Digits::of(text)?.to_string().into())))
            .ok_or_else(|| {
                Error::new(ErrorKind::InvalidInput, "the text is no decimal number")
                    .with_hint("write it like `-1234.50`")
            })
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What is no number, but may be in the place of one.
#[derive(Clone, Copy)]
enum Word {
    NotANumber,
    Infinity,
    NegativeInfinity,
}

impl Word {
    fn of(text: &str) -> Option<Self> {
        let is = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
        match () {
            () if is(&["nan"]) => Some(Self::NotANumber),
            () if is(&["infinity", "+infinity", "inf", "+inf"]) => Some(Self::Infinity),
            () if is(&["-infinity", "-inf"]) => Some(Self::NegativeInfinity),
            () => None,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::NotANumber => "NaN",
            Self::Infinity => "Infinity",
            Self::NegativeInfinity => "-Infinity",
        }
    }
}

/// A number taken apart: its digits from the first that is not zero, and where the point is.
struct Digits {
    is_negative: bool,
    significant: Vec<u8>,
    /// How many of the digits are after the point; more than there are where zeros come between.
    fraction: usize,
}

impl Digits {
    fn of(text: &str) -> Option<Self> {
        let (is_negative, text) = match text.strip_prefix('-') {
            Some(text) => (true, text),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (number, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if number.trim_matches('.').is_empty() || !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        let digits = whole.bytes().chain(fraction.bytes()).skip_while(|digit| *digit == b'0');
        let unmoved = Self { is_negative, significant: digits.collect(), fraction: fraction.len() };
        unmoved.moved(exponent)
    }

    /// The same with its point moved to the right, or to the left where it is negative.
    fn moved(mut self, exponent: i32) -> Option<Self> {
        let places =
            usize::try_from(exponent.unsigned_abs()).ok().filter(|n| *n <= EXPONENT_MAX)?;
        if exponent < 0 {
            self.fraction += places;
        } else if places <= self.fraction {
            self.fraction -= places;
        } else {
            let zeros = if self.significant.is_empty() { 0 } else { places - self.fraction };
            self.significant.resize(self.significant.len() + zeros, b'0');
            self.fraction = 0;
        }
        Some(self)
    }

    fn has_fraction(&self) -> bool {
        self.fraction > 0
    }

    #[cfg(feature = "sqlite")]
    fn order(self, other: Self) -> Ordering {
        let sign = |number: &Self| match number.significant.is_empty() {
            true => 0,
            false if number.is_negative => -1,
            false => 1,
        };
        let (one, other) = (self.without_trailing_zeros(), other.without_trailing_zeros());
        // How many digits are before the point, or zeros behind it, and then which.
        let size = |number: &Self| {
            let digits = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
            digits(number.significant.len()) - digits(number.fraction)
        };
        let by_size =
            || size(&one).cmp(&size(&other)).then(one.significant.cmp(&other.significant));
        sign(&one).cmp(&sign(&other)).then_with(|| match sign(&one) {
            0 => Ordering::Equal,
            1 => by_size(),
            _ => by_size().reverse(),
        })
    }

    /// The same number with the least fraction.
    fn without_trailing_zeros(mut self) -> Self {
        while self.fraction > 0 && self.significant.last().is_none_or(|digit| *digit == b'0') {
            self.significant.pop();
            self.fraction -= 1;
        }
        self
    }
}

impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_negative && !self.significant.is_empty() { "-" } else { "" };
        // At least one digit stands before the point, and as many after it as there are.
        let zeros = "0".repeat((self.fraction + 1).saturating_sub(self.significant.len()));
        let digits = zeros + std::str::from_utf8(&self.significant).unwrap_or_default();
        let (whole, fraction) = digits.split_at(digits.len() - self.fraction);
        let point = if fraction.is_empty() { "" } else { "." };
        write!(f, "{sign}{whole}{point}{fraction}")
    }
}

/// How far an exponent may move the point, so that a short text cannot ask for endless zeros: as many
/// places as a decimal number of `PostgreSQL` has after its point.
const EXPONENT_MAX: usize = 16_383;
