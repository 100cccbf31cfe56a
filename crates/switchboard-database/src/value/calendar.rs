//! Counts days as the Gregorian calendar does, before its time too.
//!
//! Databases go further than the four digits of a year that most calendars end with, so this is ours.

/// A day as people write it: the year before year 1 is 0.
pub(super) struct Civil {
    pub(super) year: i64,
    pub(super) month: u8,
    pub(super) day: u8,
}

impl Civil {
    /// The day that is `days` after 1970-01-01.
    pub(super) fn from_days(days: i64) -> Self {
        let days = days + DAYS_TO_1970;
        let (era, day) = (days.div_euclid(DAYS_IN_ERA), days.rem_euclid(DAYS_IN_ERA));
        // Only the last of the centuries of an era, and of the years of four, has a leap day more.
        let century = (day / DAYS_IN_CENTURY).min(3);
        let day = day - century * DAYS_IN_CENTURY;
        let (four, day) = (day / DAYS_IN_FOUR, day % DAYS_IN_FOUR);
        let year = (day / DAYS_IN_YEAR).min(3);
        let day = day - year * DAYS_IN_YEAR;
        Self::from_march(era * 400 + century * 100 + four * 4 + year, day)
    }

    /// How many days it is after 1970-01-01; none where there is no such day.
    pub(super) fn days(&self) -> Option<i64> {
        if !(1..=self.days_in_month()?).contains(&self.day) {
            return None;
        }
        let (year, month) = match self.month {
            month @ 3.. => (self.year, month - 3),
            month => (self.year - 1, month + 9),
        };
        let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
        let days = year * DAYS_IN_YEAR + year / 4 - year / 100 + MONTHS[usize::from(month)];
        Some(era * DAYS_IN_ERA + days + i64::from(self.day) - 1 - DAYS_TO_1970)
    }

    /// The day number `day` of a year that begins in March, so that its leap day is its last.
    fn from_march(year: i64, day: i64) -> Self {
        let months = MONTHS.partition_point(|first| *first <= day);
        let day = day - MONTHS[months - 1] + 1;
        let (year, month) = if months <= 10 { (year, months + 2) } else { (year + 1, months - 10) };
        Self { year, month: narrow(month), day: narrow(day) }
    }

    fn days_in_month(&self) -> Option<u8> {
        match self.month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
            4 | 6 | 9 | 11 => Some(30),
            2 if self.is_leap_year() => Some(29),
            2 => Some(28),
            _ => None,
        }
    }

    fn is_leap_year(&self) -> bool {
        self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0)
    }
}

/// A number that is known to be small.
fn narrow<N: TryInto<u8>>(number: N) -> u8 {
    number.try_into().unwrap_or(u8::MAX)
}

/// On which day of a year that begins in March each month begins.
const MONTHS: [i64; 12] = [0, 31, 61, 92, 122, 153, 184, 214, 245, 275, 306, 337];
const DAYS_IN_YEAR: i64 = 365;
const DAYS_IN_FOUR: i64 = 4 * DAYS_IN_YEAR + 1;
const DAYS_IN_CENTURY: i64 = 25 * DAYS_IN_FOUR - 1;
/// After 400 years the calendar begins anew.
const DAYS_IN_ERA: i64 = 4 * DAYS_IN_CENTURY + 1;
/// From 0000-03-01.
const DAYS_TO_1970: i64 = 719_468;
