//! Moments as they are written: in UTC, the form of RFC 3339.

use std::time::SystemTime;

use jiff::Timestamp;

/// As exact as it is known, for programs. Nothing if it is out of every calendar.
pub(crate) fn exact(moment: SystemTime) -> Option<String> {
    Timestamp::try_from(moment).ok().map(|moment| moment.to_string())
}

/// To the second, for people.
pub(crate) fn to_the_second(moment: SystemTime) -> String {
    let moment = Timestamp::try_from(moment).ok();
    let moment = moment.and_then(|moment| Timestamp::from_second(moment.as_second()).ok());
    moment.map(|moment| moment.to_string()).unwrap_or_default()
}
