//! The order of the group, and nothing that is down.

use super::{Candidates, Selector};

/// The first member that is not known to be down; when all are, the call is refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct HealthCheck;

impl Selector for HealthCheck {
    fn name(&self) -> &'static str {
        "health_check"
    }

    #[inline]
    fn pick(&self, candidates: Candidates) -> Option<usize> {
        candidates.healthy().first()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_check_refuses_when_all_are_down() {
        assert_eq!(HealthCheck.pick(Candidates::all(2).with_down(0b01)), Some(1));
        assert_eq!(HealthCheck.pick(Candidates::all(2).with_down(0b11)), None);
    }
}
