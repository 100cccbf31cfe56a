//! The order of the group.

use super::{Candidates, Selector};

/// The first healthy member, in the order of the group.
///
/// When all are down it still tries them, in that order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Priority;

impl Selector for Priority {
    fn name(&self) -> &'static str {
        "priority"
    }

    #[inline]
    fn pick(&self, candidates: Candidates) -> Option<usize> {
        candidates.preferred().first()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priority_keeps_the_order_and_passes_over_what_is_down() {
        let all = Candidates::all(4);
        assert_eq!(Priority.pick(all), Some(0));
        assert_eq!(Priority.pick(all.with_down(0b0011)), Some(2));
        assert_eq!(Priority.pick(all.with_down(0b1111)), Some(0), "trying beats refusing");
    }
}
