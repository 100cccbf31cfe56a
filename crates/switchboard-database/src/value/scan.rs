//! Reads texts of days and times piece by piece.

/// What is left of a text.
#[derive(Clone, Copy)]
pub(super) struct Scan<'t>(&'t [u8]);

impl<'t> Scan<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self(text.trim().as_bytes())
    }

    /// What `read` makes of the whole text; nothing where it leaves something over.
    pub(super) fn whole<T>(text: &'t str, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let mut scan = Self::new(text);
        read(&mut scan).filter(|_| scan.0.is_empty())
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte if it is one of `wanted`.
    pub(super) fn one_of(&mut self, wanted: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        let is_wanted = wanted.contains(first);
        is_wanted.then(|| {
            self.0 = rest;
            *first
        })
    }

    /// A number of at least so many and at most so many digits; all that follow one another.
    pub(super) fn number(&mut self, least: usize, most: usize) -> Option<i64> {
        let digits = self.digits();
        if !(least..=most).contains(&digits.len()) {
            return None;
        }
        Some(digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
    }

    /// Exactly so many digits, whatever follows, as a number below `limit`.
    pub(super) fn pair(&mut self, limit: i64) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(2)?;
        let mut pair = Self(digits);
        let number = pair.number(2, 2).filter(|number| *number < limit)?;
        self.0 = rest;
        Some(number)
    }

    /// What follows the point of a second, in microseconds; finer digits are cut off.
    pub(super) fn micros(&mut self) -> Option<i64> {
        if self.one_of(b".,").is_none() {
            return Some(0);
        }
        let digits = self.digits();
        let micros = (0..6).fold(0, |micros, at| {
            micros * 10 + digits.get(at).map_or(0, |digit| i64::from(digit - b'0'))
        });
        (!digits.is_empty()).then_some(micros)
    }

    fn digits(&mut self) -> &'t [u8] {
        let count = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        digits
    }
}
