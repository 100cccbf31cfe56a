//! Where and when a measurement was made, and with which versions.

use std::fmt;
use std::fs;
use std::num::NonZero;
use std::thread::available_parallelism;
use std::time::{SystemTime, UNIX_EPOCH};

/// One moment of one machine.
pub struct Stamp {
    date: String,
    /// Processor, cores and compiler: what stays the same during a run.
    machine: String,
    load: String,
}

impl Stamp {
    /// This machine, now.
    pub fn now() -> Self {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |past| past.as_secs());
        let processor = processor().unwrap_or_else(|| "unknown processor".to_owned());
        let cores = available_parallelism().map_or(1, NonZero::get);
        Self {
            date: date(seconds),
            machine: format!("{processor}, {cores} cores; {}", env!("COMPILER")),
            load: load().unwrap_or_else(|| "unknown".to_owned()),
        }
    }

    /// What lies between this moment and `end`, in words.
    pub fn until(&self, end: &Self) -> String {
        let Self { date, machine, load } = self;
        format!("{machine}; from {date}, load average {load}, to {}, {}", end.date, end.load)
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { date, machine, load } = self;
        write!(out, "{machine}; {date}, load average {load}")
    }
}

/// `name` with the version the harness was compiled with: `moka 0.12.1`.
pub fn with_version(name: &str) -> String {
    version_in(include_str!("../Cargo.lock"), name)
        .map_or_else(|| name.to_owned(), |version| format!("{name} {version}"))
}

/// The version of the package called `name` in a lock file.
fn version_in<'lock>(lock: &'lock str, name: &str) -> Option<&'lock str> {
    let wanted = format!("name = \"{name}\"");
    // The newest comes last, and is the one the harness names itself.
    let (_, below) = lock.rsplit_once(&format!("{wanted}\n"))?;
    below.lines().next()?.strip_prefix("version = \"")?.strip_suffix('"')
}

fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn load() -> Option<String> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    Some(text.split(' ').next()?.to_owned())
}

/// The day, hour and minute that lie `seconds` after the start of 1970, in UTC.
fn date(seconds: u64) -> String {
    let (mut day, mut year) = (seconds / 86_400, 1970);
    while day >= days_in(year).iter().sum() {
        day -= days_in(year).iter().sum::<u64>();
        year += 1;
    }
    let mut month = 0;
    while day >= days_in(year)[month] {
        day -= days_in(year)[month];
        month += 1;
    }
    let (hour, minute) = (seconds / 3_600 % 24, seconds / 60 % 60);
    format!("{year}-{:02}-{:02} {hour:02}:{minute:02} UTC", month + 1, day + 1)
}

fn days_in(year: u64) -> [u64; 12] {
    let leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    [31, 28 + u64::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_around_leap_days() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(date(951_868_799), "2000-02-29 23:59 UTC");
        assert_eq!(date(1_767_225_599), "2025-12-31 23:59 UTC");
    }

    #[test]
    fn the_newest_version_of_a_package_is_found() {
        let lock = "name = \"map\"\nversion = \"5.0.0\"\n\nname = \"map\"\nversion = \"6.1.0\"\n";
        assert_eq!(version_in(lock, "map"), Some("6.1.0"));
        assert_eq!(version_in(lock, "ma"), None);
    }
}
