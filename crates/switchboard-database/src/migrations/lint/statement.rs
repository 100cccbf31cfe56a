//! What the rules find in one statement, other than in `alter table`.

use std::collections::BTreeMap;

use super::limits::{limit_of_call, limit_of_set};
use super::rules::LintRule;
use super::seen::Seen;
use super::words::{Name, Words};
use crate::Dialect;

/// One migration while it is looked at.
pub(super) struct Looking<'l> {
    pub(super) dialect: &'l Dialect,
    pub(super) version: u64,
    pub(super) is_transactional: bool,
    pub(super) has_lock_timeout: bool,
    /// Whether rows that refer to others are looked after, where the server can be told not to.
    pub(super) has_foreign_keys: bool,
    pub(super) seen: &'l mut Seen,
    /// The byte of the file that the statement begins at.
    pub(super) statement_at: usize,
    /// The tables that were dropped with what hangs on them, and at which bytes of the file.
    pub(super) dropped: BTreeMap<String, Vec<usize>>,
    /// Where those of them were dropped whose name a new one has taken.
    pub(super) rebuilt: Vec<usize>,
    /// What was found in the statement that is looked at, and at which byte of it.
    pub(super) found: Vec<(LintRule, usize)>,
}

impl Looking<'_> {
    pub(super) fn look(&mut self, words: Words<'_>) {
        let mut rest = words;
        match rest.word().as_str() {
            "create" => self.create(words, rest),
            "alter" => self.alter(words, rest),
            "drop" => self.drop(words, rest),
            "rename" => self.rename(words, rest),
            "reindex" => self.reindex(words, rest),
            "vacuum" => self.vacuum(words, rest),
            "cluster" | "optimize" => self.rewrite(words),
            "lock" => self.lock(words, rest),
            "truncate" => self.truncate(words, rest),
            "update" | "delete" => self.change_rows(words, rest),
            "with" => self.change_behind_tables(words, rest),
            "pragma" => self.pragma(words, rest),
            // `set statement lock_wait_timeout = 5 for alter table …`
            "set" if rest.take(&["statement"]) => self.set_statement(rest),
            "set" => self.has_lock_timeout = limit_of_set(rest).unwrap_or(self.has_lock_timeout),
            "reset" if rest.starts_with_any(&["all", "lock_timeout"]) => {
                self.has_lock_timeout = false;
            }
            "select" => {
                let limit = limit_of_call(rest);
                self.has_lock_timeout = limit.unwrap_or(self.has_lock_timeout);
            }
            _ => {}
        }
    }

    pub(super) fn is_on(&self, server: &str) -> bool {
        self.dialect.name == server
    }

    pub(super) fn find(&mut self, rule: LintRule, at: Words<'_>) {
        if rule.is_about(self.dialect) {
            self.found.push((rule, at.start()));
        }
    }

    /// `at` waits for all who use a table, and all who come later wait behind it.
    pub(super) fn locks(&mut self, at: Words<'_>) {
        let waits_by_itself = at.has(&["wait"]) || at.has(&["nowait"]);
        if !self.has_lock_timeout && !waits_by_itself {
            self.find(LintRule::LockTimeoutMissing, at);
        }
    }

    pub(super) fn refuse_in_transaction(&mut self, at: Words<'_>) {
        if self.is_transactional {
            self.find(LintRule::RefusedInTransaction, at);
        }
    }

    pub(super) fn is_new(&self, table: Option<&Name>) -> bool {
        table.is_some_and(|table| self.seen.new.tables.has(table))
    }

    /// What is set for one statement is not set for the next.
    fn set_statement(&mut self, rest: Words<'_>) {
        let Some(statement) = rest.after(&["for"]) else { return };
        let before = self.has_lock_timeout;
        self.has_lock_timeout = limit_of_set(rest.until(&["for"])).unwrap_or(before);
        self.look(statement);
        self.has_lock_timeout = before;
    }

    fn create(&mut self, words: Words<'_>, mut rest: Words<'_>) {
        rest.take_all_of(BEFORE_OBJECTS);
        match rest.word().as_str() {
            "table" => self.create_table(rest),
            "materialized" if rest.take(&["view"]) => self.create_table(rest),
            "index" => self.create_index(words, rest),
            "trigger" if !self.is_new(table_after_on(rest).as_ref()) => self.locks(words),
            "database" | "tablespace" if self.is_on("postgres") => {
                self.refuse_in_transaction(words);
            }
            _ => {}
        }
    }

    fn create_table(&mut self, mut rest: Words<'_>) {
        rest.take(&["if", "not", "exists"]);
        if let Some(table) = rest.name() {
            self.seen.new.tables.add(&table);
        }
    }

    fn create_index(&mut self, words: Words<'_>, mut rest: Words<'_>) {
        let is_concurrent = rest.take(&["concurrently"]);
        rest.take(&["if", "not", "exists"]);
        let named = if rest.starts_with(&["on"]) { None } else { rest.name() };
        let is_new = self.is_new(table_after_on(rest).as_ref());
        if let Some(index) = named.filter(|_| is_new) {
            self.seen.new.indexes.add(&index);
        }
        if is_concurrent {
            return self.refuse_in_transaction(words);
        }
        if !is_new {
            self.find(LintRule::IndexBlocksWrites, words);
            self.algorithm(rest);
            self.locks(words);
        }
    }

    fn alter(&mut self, words: Words<'_>, mut rest: Words<'_>) {
        rest.take_all_of(&["online", "ignore", "offline", "foreign"]);
        if rest.take(&["table"]) {
            self.alter_table(words, rest);
        } else if rest.starts_with(&["system"]) {
            self.refuse_in_transaction(words);
        }
    }

    fn drop(&mut self, words: Words<'_>, mut rest: Words<'_>) {
        if rest.take(&["table"]) {
            rest.take(&["if", "exists"]);
            if !self.are_new(rest) {
                self.find(LintRule::DropTable, words);
                self.locks(words);
                self.note_dropped(words, rest);
            }
        } else if rest.starts_with_any(&["schema", "database"]) {
            self.find(LintRule::DropTable, words);
            if rest.starts_with(&["database"]) && self.is_on("postgres") {
                self.refuse_in_transaction(words);
            }
        } else if rest.take(&["index"]) {
            self.drop_index(words, rest);
        }
    }

    /// `rest` begins with the name of the table.
    fn note_dropped(&mut self, words: Words<'_>, mut rest: Words<'_>) {
        if let Some(table) = rest.name().filter(|_| self.has_foreign_keys) {
            self.dropped.entry(table.own).or_default().push(self.statement_at + words.start());
        }
    }

    fn drop_index(&mut self, words: Words<'_>, mut rest: Words<'_>) {
        if rest.take(&["concurrently"]) {
            return self.refuse_in_transaction(words);
        }
        rest.take(&["if", "exists"]);
        let is_new = rest.name().is_some_and(|index| self.seen.new.indexes.has(&index));
        if !is_new && !self.is_new(table_after_on(rest).as_ref()) {
            self.find(LintRule::DropIndexBlocks, words);
            self.locks(words);
        }
    }

    /// `rename table a to b, c to d`.
    fn rename(&mut self, words: Words<'_>, mut rest: Words<'_>) {
        if !(rest.take(&["table"]) || rest.take(&["tables"])) {
            return;
        }
        rest.take(&["if", "exists"]);
        for mut part in rest.parts() {
            let (old, new) = (part.name(), part.after(&["to"]).and_then(|mut to| to.name()));
            self.renamed(words, old.as_ref(), new.as_ref());
        }
    }

    /// A table has another name, which is as new as the old one.
    pub(super) fn renamed(&mut self, at: Words<'_>, old: Option<&Name>, new: Option<&Name>) {
        if !self.is_new(old) {
            self.find(LintRule::Rename, at);
            self.locks(at);
        }
        if let Some(new) = new.filter(|_| self.is_new(old)) {
            self.rebuilt.extend(self.dropped.remove(&new.own).unwrap_or_default());
            self.seen.new.tables.add(new);
        }
    }

    fn reindex(&mut self, words: Words<'_>, rest: Words<'_>) {
        if words.mentions(&["concurrently"]) {
            return self.refuse_in_transaction(words);
        }
        let mut of_table = rest;
        if !(of_table.take(&["table"]) && self.is_new(of_table.name().as_ref())) {
            self.find(LintRule::ReindexBlocksWrites, words);
            self.locks(words);
        }
    }

    fn rewrite(&mut self, words: Words<'_>) {
        self.find(LintRule::TableRewrite, words);
        self.locks(words);
    }

    fn vacuum(&mut self, words: Words<'_>, rest: Words<'_>) {
        self.refuse_in_transaction(words);
        let options = rest.inside();
        if rest.starts_with(&["full"]) || options.is_some_and(|options| options.has(&["full"])) {
            self.rewrite(words);
        }
    }

    fn lock(&mut self, words: Words<'_>, mut rest: Words<'_>) {
        rest.take_all_of(&["table", "tables", "only"]);
        if !self.is_new(rest.name().as_ref()) {
            self.find(LintRule::LockTable, words);
            self.locks(words);
        }
    }

    fn truncate(&mut self, words: Words<'_>, mut rest: Words<'_>) {
        rest.take_all_of(&["table", "only"]);
        if !self.are_new(rest) {
            self.find(LintRule::Truncate, words);
            self.locks(words);
        }
    }

    fn change_behind_tables(&mut self, words: Words<'_>, rest: Words<'_>) {
        if let Some(mut change) = rest.after_parenthesis(&["update", "delete"]) {
            change.word();
            self.change_rows(words, change);
        }
    }

    fn change_rows(&mut self, words: Words<'_>, mut change: Words<'_>) {
        change.take_all_of(BEFORE_CHANGED);
        if !change.has(&["where"]) && !self.is_new(change.name().as_ref()) {
            self.find(LintRule::EveryRowChanged, words);
        }
    }

    fn pragma(&mut self, words: Words<'_>, mut rest: Words<'_>) {
        let is_foreign_keys = rest.name().is_some_and(|name| name.own == "foreign_keys");
        if !is_foreign_keys || rest.is_empty() {
            return;
        }
        if self.is_transactional {
            return self.find(LintRule::PragmaInTransaction, words);
        }
        self.has_foreign_keys = !rest.mentions_one_of(&["off", "false", "no", "0"]);
    }

    /// Looks for `algorithm=copy` and its like; whether an algorithm is said.
    pub(super) fn algorithm(&mut self, words: Words<'_>) -> bool {
        let [algorithm, lock] = ["algorithm", "lock"].map(|what| said(words, what));
        if algorithm == "copy" || matches!(lock.as_str(), "shared" | "exclusive") {
            self.find(LintRule::CopyingAlgorithm, words);
        }
        algorithm == "copy" || NOT_COPYING.contains(&&*algorithm)
    }

    /// Whether all tables of a list are new.
    fn are_new(&self, list: Words<'_>) -> bool {
        list.parts().into_iter().all(|mut table| self.is_new(table.name().as_ref()))
    }
}

/// What follows `algorithm =`, or another such word.
pub(super) fn said(words: Words<'_>, what: &str) -> String {
    words.after(&[what]).map_or(String::new(), |mut said| {
        said.take_sign("=");
        said.word()
    })
}

/// The table of `… on only users`.
fn table_after_on(words: Words<'_>) -> Option<Name> {
    let mut table = words.after(&["on"])?;
    table.take(&["only"]);
    table.name()
}

/// Algorithms by which the server refuses what would take a copy.
pub(super) const NOT_COPYING: &[&str] = &["inplace", "instant", "nocopy"];

/// What may stand between a change and the table that it changes.
#[rustfmt::skip]
const BEFORE_CHANGED: &[&str] = &[
    "abort", "fail", "from", "ignore", "low_priority", "only", "or", "quick", "replace", "rollback",
];

/// What may stand between `create` and what is made.
#[rustfmt::skip]
const BEFORE_OBJECTS: &[&str] = &[
    "constraint", "foreign", "fulltext", "global", "local", "offline", "online", "or", "replace",
    "spatial", "temp", "temporary", "unique", "unlogged",
];
