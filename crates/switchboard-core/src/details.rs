//! What a driver shows of itself beyond what every line counts: details for people, and metrics for
//! monitoring systems.

use std::borrow::Cow;
use std::time::Duration;

use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::Durations;

/// Names and what stands under them, in the order in which they were added; written as JSON.
///
/// ```
/// use std::time::Duration;
///
/// use switchboard_core::Details;
///
/// let holder = Details::new().with("place", "src/app.rs:42").with("age_ms", Duration::from_secs(3));
/// let details = Details::new().with("idle", 2_usize).with("holders", vec![holder]);
/// assert_eq!(
///     serde_json::to_string(&details).unwrap(),
///     r#"{"idle":2,"holders":[{"place":"src/app.rs:42","age_ms":3000.0}]}"#,
/// );
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details(Vec<(Cow<'static, str>, Detail)>);

/// One thing that is shown.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Detail {
    /// Nothing is known of it.
    Nothing,
    /// Whether it is so.
    Flag(bool),
    /// How many.
    Count(u64),
    /// A number that is not counted. A length of time is in milliseconds, and its name ends with `_ms`.
    Number(f64),
    /// Words.
    Text(String),
    /// Several of a kind.
    List(Vec<Self>),
    /// What has parts with names.
    Parts(Details),
}

/// One number of a driver for monitoring systems: one series.
///
/// Its name is made of letters, digits and `_`, and that of a counter ends with `_total`, a time with
/// `_seconds`; in front of it stand the product and the subsystem. What says it otherwise is left out.
///
/// ```
/// use switchboard_core::Metric;
///
/// let idle = Metric::gauge("connections", "Connections by what they are doing.", 2)
///     .with("state", "idle");
/// assert_eq!(idle.labels(), [("state", "idle".into())]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    name: &'static str,
    help: &'static str,
    labels: Vec<(&'static str, Cow<'static, str>)>,
    value: MetricValue,
}

/// What a [`Metric`] says.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum MetricValue {
    /// How many there are now.
    Gauge(u64),
    /// How many there have been.
    Counter(u64),
    /// How long it took.
    Histogram(Durations),
}

impl Details {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, and `detail` under `name`.
    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, detail: impl Into<Detail>) -> Self {
        self.0.push((name.into(), detail.into()));
        self
    }

    /// What stands under `name`.
    pub fn get(&self, name: &str) -> Option<&Detail> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, detail)| detail)
    }

    /// All of it, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Detail)> {
        self.0.iter().map(|(name, detail)| (&**name, detail))
    }
}

impl Metric {
    /// How many there are now.
    #[must_use]
    pub const fn gauge(name: &'static str, help: &'static str, value: u64) -> Self {
        Self::new(name, help, MetricValue::Gauge(value))
    }

    /// How many there have been since the driver came.
    #[must_use]
    pub const fn counter(name: &'static str, help: &'static str, value: u64) -> Self {
        Self::new(name, help, MetricValue::Counter(value))
    }

    /// How long something took.
    #[must_use]
    pub const fn histogram(name: &'static str, help: &'static str, value: Durations) -> Self {
        Self::new(name, help, MetricValue::Histogram(value))
    }

    const fn new(name: &'static str, help: &'static str, value: MetricValue) -> Self {
        Self { name, help, labels: Vec::new(), value }
    }

    /// The same for what `label` says of it: a word of a short list that does not grow, never a key, an
    /// id, an address or a text of a user.
    #[must_use]
    pub fn with(mut self, label: &'static str, word: impl Into<Cow<'static, str>>) -> Self {
        self.labels.push((label, word.into()));
        self
    }

    /// Its name, without what stands in front of it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it says, for people.
    pub fn help(&self) -> &'static str {
        self.help
    }

    /// Which of several it is.
    pub fn labels(&self) -> &[(&'static str, Cow<'static, str>)] {
        &self.labels
    }

    /// What it says.
    pub fn value(&self) -> &MetricValue {
        &self.value
    }
}

impl Serialize for Details {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        for (name, detail) in &self.0 {
            map.serialize_entry(name, detail)?;
        }
        map.end()
    }
}

impl Serialize for Detail {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nothing => to.serialize_none(),
            Self::Flag(flag) => to.serialize_bool(*flag),
            Self::Count(count) => to.serialize_u64(*count),
            Self::Number(number) => to.serialize_f64(*number),
            Self::Text(text) => to.serialize_str(text),
            Self::List(list) => to.collect_seq(list),
            Self::Parts(parts) => parts.serialize(to),
        }
    }
}

impl From<bool> for Detail {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<u64> for Detail {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<usize> for Detail {
    fn from(count: usize) -> Self {
        Self::Count(u64::try_from(count).unwrap_or(u64::MAX))
    }
}

impl From<f64> for Detail {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

/// In milliseconds.
impl From<Duration> for Detail {
    fn from(duration: Duration) -> Self {
        Self::Number(duration.as_secs_f64() * 1e3)
    }
}

impl From<&str> for Detail {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Detail {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Details> for Detail {
    fn from(parts: Details) -> Self {
        Self::Parts(parts)
    }
}

impl<T: Into<Self>> From<Option<T>> for Detail {
    fn from(detail: Option<T>) -> Self {
        detail.map_or(Self::Nothing, Into::into)
    }
}

impl<T: Into<Self>> From<Vec<T>> for Detail {
    fn from(list: Vec<T>) -> Self {
        Self::List(list.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_can_be_shown_has_its_form_in_json() {
        let details = Details::new()
            .with("nothing", None::<bool>)
            .with("flag", true)
            .with("count", u64::MAX)
            .with("number", 0.5)
            .with("text", "a \"word\"")
            .with("list", vec![1_u64, 2])
            .with(String::from("parts"), Details::new());
        let text = serde_json::to_string(&details).unwrap();
        let expected = r#"{"nothing":null,"flag":true,"count":18446744073709551615,"number":0.5,"#;
        let rest = r#""text":"a \"word\"","list":[1,2],"parts":{}}"#;
        assert_eq!(text, format!("{expected}{rest}"));
        assert_eq!(details.get("flag"), Some(&Detail::Flag(true)));
        assert_eq!(details.get("flags"), None);
    }
}
