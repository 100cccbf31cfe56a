//! How far many rows have come.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Mutex, PoisonError};

use crate::driver::Sent;

/// How many of many rows the server was sent: never less than was told before, never more than all.
///
/// They last when the call is answered, and not before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// How many rows.
    pub rows: u64,
    /// Of how many.
    pub total: u64,
}

impl Progress {
    /// How much of all that is, from 0 to 100. Of nothing it is all.
    pub fn percent(&self) -> u8 {
        let share = u128::from(self.rows) * 100;
        let share = share.checked_div(u128::from(self.total));
        share.map_or(100, |share| u8::try_from(share).unwrap_or(100))
    }
}

/// Who is told how far many rows have come, if anybody.
#[derive(Default)]
pub(crate) struct Watched<'w>(Option<Mutex<Told<'w>>>);

struct Told<'w> {
    tell: Box<dyn FnMut(Progress) + Send + 'w>,
    rows: u64,
}

impl<'w> Watched<'w> {
    pub(crate) fn by(tell: impl FnMut(Progress) + Send + 'w) -> Self {
        Self(Some(Mutex::new(Told { tell: Box::new(tell), rows: 0 })))
    }

    /// So many of `total` rows were sent. What was done before a call was tried again is not told again.
    pub(crate) fn reached(&self, rows: u64, total: u64) {
        let Some(told) = &self.0 else { return };
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = rows.min(total);
        if rows > told.rows {
            told.rows = rows;
            (told.tell)(Progress { rows, total });
        }
    }

    /// `sending`, which says in `sent` how far it has come.
    pub(crate) async fn over<T>(
        &self,
        sent: &Sent,
        total: u64,
        sending: impl Future<Output = T>,
    ) -> T {
        let mut sending = pin!(sending);
        poll_fn(|context| {
            let answer = sending.as_mut().poll(context);
            self.reached(sent.rows(), total);
            answer
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_all_is_rounded_down_and_that_of_nothing_is_all() {
        let percent = |rows, total| Progress { rows, total }.percent();
        assert_eq!(percent(0, 7), 0);
        assert_eq!(percent(6, 7), 85);
        assert_eq!(percent(u64::MAX, u64::MAX), 100);
        assert_eq!(percent(0, 0), 100);
    }

    #[test]
    fn what_is_told_only_goes_up_and_never_beyond_all() {
        let mut told = Vec::new();
        let watched = Watched::by(|progress| told.push((progress.rows, progress.total)));
        for rows in [0, 3, 3, 1, 5, 9] {
            watched.reached(rows, 7);
        }
        drop(watched);
        assert_eq!(told, [(3, 7), (5, 7), (7, 7)]);
    }
}
