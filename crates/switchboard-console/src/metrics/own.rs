//! What drivers count themselves, beside what is counted of every instance.
//!
//! Drivers are others' code, and one wrong line makes the whole page unreadable: what does not keep to
//! the rules of the format is left out.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use switchboard::InstanceFigures;
use switchboard_core::{Metric, MetricValue};

use super::{COUNTER, GAUGE, HISTOGRAM, Label, PREFIX, Page};

/// The series of one name, of all instances of a subsystem.
struct Family<'f> {
    kind: &'static str,
    help: &'static str,
    series: BTreeMap<Vec<Label<'f>>, &'f MetricValue>,
}

/// All of them, in the order of their names.
pub(super) fn write(page: &mut Page, figures: &[InstanceFigures]) {
    for (name, family) in families(figures) {
        // What the page has already is not the driver's.
        if !page.0.contains(&format!("# TYPE {PREFIX}{name} ")) {
            family.write(&name, page);
        }
    }
}

fn families(figures: &[InstanceFigures]) -> BTreeMap<String, Family<'_>> {
    let mut families = BTreeMap::new();
    for of in figures {
        for metric in of.metrics.iter().filter(|metric| is_in_order(metric)).take(SERIES_MAX) {
            add(&mut families, of, metric);
        }
    }
    families
}

/// Of several drivers that mean different things by one name, the first is believed.
fn add<'f>(
    families: &mut BTreeMap<String, Family<'f>>,
    of: &'f InstanceFigures,
    metric: &'f Metric,
) {
    let (name, kind) = (format!("{}_{}", of.subsystem, metric.name()), kind_of(metric.value()));
    let family = match families.entry(name) {
        Entry::Occupied(known) if known.get().kind != kind => return,
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(place) => {
            place.insert(Family { kind, help: metric.help(), series: BTreeMap::new() })
        }
    };
    let driver = of.driver.as_deref().unwrap_or_default();
    let mut labels = vec![("instance", of.name.as_str()), ("driver", driver)];
    labels.extend(metric.labels().iter().map(|(label, word)| (*label, &**word)));
    family.series.entry(labels).or_insert(metric.value());
}

impl Family<'_> {
    fn write(&self, name: &str, page: &mut Page) {
        let mut family = page.family(name, self.kind, self.help);
        for (labels, value) in &self.series {
            match value {
                MetricValue::Gauge(value) | MetricValue::Counter(value) => {
                    family.add(labels, value);
                }
                MetricValue::Histogram(took) => family.histogram(labels, &took.ranges, took.total),
                _ => {}
            }
        }
    }
}

fn kind_of(value: &MetricValue) -> &'static str {
    match value {
        MetricValue::Counter(_) => COUNTER,
        MetricValue::Histogram(_) => HISTOGRAM,
        _ => GAUGE,
    }
}

fn is_in_order(metric: &Metric) -> bool {
    let is_counter = matches!(metric.value(), MetricValue::Counter(_));
    let mut labels: Vec<_> = metric.labels().iter().map(|(label, _)| *label).collect();
    labels.extend(["instance", "driver", "le"]);
    labels.sort_unstable();
    let count = labels.len();
    labels.dedup();
    is_name(metric.name())
        && !metric.help().is_empty()
        && metric.name().ends_with("_total") == is_counter
        && labels.len() == count
        && labels.into_iter().all(is_name)
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// How many series of one instance are shown.
const SERIES_MAX: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_spoil_the_page_is_left_out() {
        let gauge = |name| Metric::gauge(name, "Help.", 1);
        assert!(is_in_order(&gauge("connections").with("state", "any \"word\"")));
        assert!(is_in_order(&Metric::counter("made_total", "Help.", 1)));
        for wrong in [
            gauge(""),
            gauge("1st"),
            gauge("two words"),
            gauge("made_total"),
            Metric::counter("made", "Help.", 1),
            Metric::gauge("connections", "", 1),
            gauge("connections").with("instance", "main"),
            gauge("connections").with("le", "1"),
            gauge("connections").with("a", "1").with("a", "2"),
            gauge("connections").with("a-b", "1"),
        ] {
            assert!(!is_in_order(&wrong), "{wrong:?}");
        }
    }
}
