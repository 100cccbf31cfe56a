//! How far something has come that takes a while.

/// How much of an object has come where it goes: never less than was told before, never more than all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// How many bytes.
    pub bytes: u64,
    /// Of how many, where that is known; at the end it is.
    pub total: Option<u64>,
}

impl Progress {
    /// How much of all that is, from 0 to 100, where that is known. Of nothing it is all.
    pub fn percent(&self) -> Option<u8> {
        let total = self.total?;
        let share = u128::from(self.bytes) * 100;
        Some(
            share
                .checked_div(u128::from(total))
                .map_or(100, |share| u8::try_from(share).unwrap_or(100)),
        )
    }
}

/// Who is told how far something has come, if anybody.
#[derive(Default)]
pub(crate) struct Watched<'w> {
    told: Option<Box<dyn FnMut(Progress) + Send + 'w>>,
    bytes: u64,
    total: Option<u64>,
}

impl<'w> Watched<'w> {
    pub(crate) fn by(told: impl FnMut(Progress) + Send + 'w) -> Self {
        Self { told: Some(Box::new(told)), ..Self::default() }
    }

    /// There will be so many bytes.
    pub(crate) fn expect(&mut self, total: Option<u64>) {
        self.total = total;
    }

    /// So many more have come.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.tell();
    }

    /// All have come, if there were that many in the end.
    pub(crate) fn end(&mut self, all: Option<u64>) {
        let Some(all) = all else { return };
        let is_told = self.bytes == all && self.total == Some(all) && all > 0;
        (self.bytes, self.total) = (all, Some(all));
        if !is_told {
            self.tell();
        }
    }

    fn tell(&mut self) {
        let Self { told, bytes, total, .. } = self;
        if let Some(told) = told {
            told(Progress { bytes: *bytes, total: *total });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_all_is_rounded_down_and_that_of_nothing_is_all() {
        let percent = |bytes, total| Progress { bytes, total }.percent();
        assert_eq!(percent(0, Some(7)), Some(0));
        assert_eq!(percent(6, Some(7)), Some(85));
        assert_eq!(percent(u64::MAX, Some(u64::MAX)), Some(100));
        assert_eq!(percent(0, Some(0)), Some(100));
        assert_eq!(percent(5, None), None);
    }
}
