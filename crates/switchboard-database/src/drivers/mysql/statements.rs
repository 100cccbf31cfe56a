//! The statements that a connection keeps prepared.

use std::collections::HashMap;
use std::sync::Arc;

use mysql_async::Statement as Prepared;

/// Those used last, up to a number.
pub(super) struct Statements {
    kept: HashMap<Arc<str>, Kept>,
    kept_max: usize,
    /// How often one was asked for so far.
    uses: u64,
}

struct Kept {
    statement: Prepared,
    used: u64,
}

impl Statements {
    pub(super) fn new(kept_max: usize) -> Self {
        Self { kept: HashMap::new(), kept_max, uses: 0 }
    }

    pub(super) fn has(&self, sql: &str) -> bool {
        self.kept.contains_key(sql)
    }

    pub(super) fn get(&mut self, sql: &str) -> Option<Prepared> {
        self.uses += 1;
        let kept = self.kept.get_mut(sql)?;
        kept.used = self.uses;
        Some(kept.statement.clone())
    }

    /// Keeps one more; the answer is what has to go for it.
    pub(super) fn keep(&mut self, sql: &Arc<str>, statement: &Prepared) -> Option<Prepared> {
        if self.kept_max == 0 {
            return None;
        }
        let oldest = (self.kept.len() >= self.kept_max).then(|| self.remove_oldest()).flatten();
        let kept = Kept { statement: statement.clone(), used: self.uses };
        self.kept.insert(Arc::clone(sql), kept);
        oldest
    }

    pub(super) fn remove(&mut self, sql: &str) {
        self.kept.remove(sql);
    }

    pub(super) fn clear(&mut self) {
        self.kept.clear();
    }

    // Looks at all of them; against the way to the server and back, which follows, that is nothing.
    fn remove_oldest(&mut self) -> Option<Prepared> {
        let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.used);
        let sql = oldest.map(|(sql, _)| Arc::clone(sql))?;
        self.kept.remove(&sql).map(|kept| kept.statement)
    }
}
