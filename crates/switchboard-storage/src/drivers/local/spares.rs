//! Memory that is read into again, once nobody has what was read into it before.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;

/// Memory that nobody uses at the moment.
#[derive(Clone, Debug)]
pub(super) struct Spares(Arc<Kept>);

#[derive(Debug)]
struct Kept {
    free: Mutex<Vec<Vec<u8>>>,
    count_max: usize,
}

/// Memory that comes back when those bytes are gone, if anybody is still there to use it.
struct Lent {
    bytes: Vec<u8>,
    kept: Weak<Kept>,
}

impl Spares {
    /// None yet, and never more than `count_max`.
    pub(super) fn new(count_max: usize) -> Self {
        Self(Arc::new(Kept { free: Mutex::default(), count_max }))
    }

    /// Some memory, new where there is none; what is in it means nothing.
    pub(super) fn take(&self) -> Vec<u8> {
        self.0.free.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// `bytes`, whose memory comes back.
    pub(super) fn lend(&self, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { bytes, kept: Arc::downgrade(&self.0) })
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(kept) = self.kept.upgrade() else { return };
        let mut free = kept.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < kept.count_max {
            free.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_once_its_bytes_are_gone_and_not_before() {
        let spares = Spares::new(2);
        let (one, other) = (spares.lend(b"one".to_vec()), spares.lend(b"other".to_vec()));
        let (half, at) = (one.slice(1..), one.as_ptr());
        drop(one);
        assert_eq!(spares.take().capacity(), 0, "some of it is still there");
        assert_eq!(half, "ne");
        drop(half);
        let again = spares.take();
        assert_eq!(again.as_ptr(), at);
        assert_eq!(other, "other");
    }

    #[test]
    fn no_more_memory_is_kept_than_was_said_and_none_once_nobody_reads() {
        let spares = Spares::new(1);
        let lent = [spares.lend(vec![1; 8]), spares.lend(vec![2; 8])];
        drop(lent);
        assert_eq!(spares.take().capacity(), 8);
        assert_eq!(spares.take().capacity(), 0);
        let late = spares.lend(vec![3; 8]);
        drop(spares);
        assert_eq!(late, vec![3; 8]);
    }
}
