//! What the rules find in the actions of `alter table`.

use super::rules::LintRule;
use super::statement::{Looking, NOT_COPYING, said};
use super::words::{Name, Words};
use crate::sql::functions;

impl Looking<'_> {
    /// `rest` is what follows `alter table`.
    pub(super) fn alter_table(&mut self, words: Words<'_>, mut rest: Words<'_>) {
        rest.take(&["if", "exists"]);
        rest.take(&["only"]);
        let Some(table) = rest.name() else { return };
        rest.take_all_of(&["nowait", "wait"]);
        rest.take_number();
        let is_new = self.is_new(Some(&table));
        let may_copy = !self.is_on("mysql") || !NOT_COPYING.contains(&&*said(rest, "algorithm"));
        let actions = rest.parts();
        for action in &actions {
            Action { looking: self, table: &table, is_new, may_copy, words: *action }.look();
        }
        if is_new {
            return;
        }
        if !self.algorithm(rest) {
            self.find(LintRule::AlgorithmNotSaid, words);
        }
        // Others work on while one is validated.
        if !actions.iter().all(|action| action.starts_with(&["validate"])) {
            self.locks(words);
        }
    }
}

/// One action of `alter table`.
struct Action<'l, 'x, 's> {
    looking: &'l mut Looking<'x>,
    table: &'l Name,
    is_new: bool,
    /// Whether the server may write the table anew where it knows no better way.
    may_copy: bool,
    words: Words<'s>,
}

impl Action<'_, '_, '_> {
    fn look(&mut self) {
        let mut rest = self.words;
        match rest.word().as_str() {
            "add" => self.add(rest),
            "alter" => self.alter_column(rest),
            "modify" => self.change_type(),
            "change" => self.change(rest),
            "convert" if rest.starts_with(&["to"]) => self.change_type(),
            "drop" => self.drop(rest),
            "rename" => self.rename(rest),
            "validate" if rest.take(&["constraint"]) => self.validate(rest),
            "detach" if rest.has(&["concurrently"]) => {
                self.looking.refuse_in_transaction(self.words);
            }
            "force" | "engine" if self.looking.is_on("mysql") => self.find(LintRule::TableRewrite),
            "set" if rest.starts_with_any(REWRITTEN_WITH) => self.find(LintRule::TableRewrite),
            _ => {}
        }
    }

    /// What is found in a table that nobody uses yet harms nobody.
    fn find(&mut self, rule: LintRule) {
        if !self.is_new {
            self.looking.find(rule, self.words);
        }
    }

    fn add(&mut self, mut rest: Words<'_>) {
        if rest.take(&["constraint"]) {
            rest.take(&["if", "not", "exists"]);
            let name = if rest.starts_with_any(CONSTRAINTS) { None } else { rest.name() };
            return self.add_constraint(name, rest);
        }
        let is_column = rest.take(&["column"]);
        if !is_column && rest.starts_with_any(CONSTRAINTS) {
            return self.add_constraint(None, rest);
        }
        let may_be_other = !is_column && self.looking.is_on("mysql");
        if may_be_other && rest.starts_with_any(OTHER_ADDITIONS) {
            return;
        }
        rest.take(&["if", "not", "exists"]);
        if rest.name().is_some() {
            self.add_column(rest);
        }
    }

    fn add_constraint(&mut self, name: Option<Name>, rest: Words<'_>) {
        let is_unchecked = rest.has(&["not", "valid"]);
        if rest.starts_with_any(&["unique", "primary", "exclude"]) {
            if !rest.has(&["using", "index"]) {
                self.find(LintRule::UniqueBuildsIndex);
            }
        } else if is_unchecked {
            let column = filled_column(rest);
            if let Some(name) = name {
                let version = self.looking.version;
                self.looking.seen.added_unchecked(self.table, name, column, version);
            }
        } else if rest.starts_with(&["not"]) {
            self.find(LintRule::NotNullScansTable);
        } else {
            self.find(LintRule::ConstraintScansTable);
        }
    }

    /// `definition` is what follows the name of a column.
    fn add_column(&mut self, definition: Words<'_>) {
        let default = definition.after(&["default"]).map(|default| default.until(AFTER_DEFAULT));
        let has_value = default.is_some_and(|default| !default.starts_with(&["null"]))
            || definition.starts_with_any(SERIALS)
            || ["generated", "as", "auto_increment"].iter().any(|word| definition.has(&[word]));
        let is_key = definition.has(&["primary", "key"]);
        let is_refused = self.looking.is_on("sqlite") && self.refuse_column(definition, default);
        let is_required = definition.has(&["not", "null"]) || is_key && !is_refused;
        if is_required && !has_value {
            self.find(LintRule::RequiredColumnWithoutDefault);
        }
        let is_stored = definition.has(&["generated"])
            && (definition.has(&["stored"]) || definition.has(&["identity"]));
        let is_computed = default.is_some_and(|default| self.differs_by_row(default));
        if is_computed || is_stored || definition.starts_with_any(SERIALS) {
            self.find(LintRule::ColumnFillsRows);
        }
        if is_key || definition.has(&["unique"]) {
            self.find(LintRule::UniqueBuildsIndex);
        }
        if definition.has(&["check"]) {
            self.find(LintRule::ConstraintScansTable);
        }
    }

    /// Whether `SQLite` refuses to add such a column, which is found then.
    fn refuse_column(&mut self, definition: Words<'_>, default: Option<Words<'_>>) -> bool {
        let never = definition.has(&["unique"]) || definition.has(&["primary", "key"]);
        let refers = self.looking.has_foreign_keys && definition.has(&["references"]);
        let where_rows_are = definition.has(&["as"]) && definition.has(&["stored"])
            || default.is_some_and(|default| {
                !default.is_constant() || refers && !default.without_parentheses().is_null()
            });
        if never {
            self.looking.find(LintRule::RefusedColumn, self.words);
        } else if where_rows_are {
            self.find(LintRule::RefusedColumn);
        }
        never || where_rows_are
    }

    /// Whether a default may be another one for each row: a function of the application's own may.
    fn differs_by_row(&self, default: Words<'_>) -> bool {
        let is_known = |name: &str| {
            OF_TRANSACTION.contains(&name)
                || functions::COMMON.binary_search(&name).is_ok()
                || self.looking.dialect.functions.binary_search(&name).is_ok()
        };
        default.calls().any(|name| VOLATILE.contains(&name.as_str()) || !is_known(&name))
    }

    fn alter_column(&mut self, mut rest: Words<'_>) {
        if !rest.take(&["column"]) && rest.starts_with_any(&["constraint", "index"]) {
            return;
        }
        let Some(column) = rest.name() else { return };
        if rest.starts_with(&["type"]) || rest.starts_with(&["set", "data", "type"]) {
            self.change_type();
        }
        let is_filled = self.looking.seen.is_filled(self.table, &column);
        if rest.starts_with(&["set", "not", "null"]) && !is_filled {
            self.find(LintRule::NotNullScansTable);
        }
    }

    fn change_type(&mut self) {
        if self.may_copy {
            self.find(LintRule::ColumnTypeChange);
        }
    }

    /// `change a b …`.
    fn change(&mut self, mut rest: Words<'_>) {
        self.change_type();
        rest.take(&["column"]);
        rest.take(&["if", "exists"]);
        if rest.name() != rest.name() {
            self.find(LintRule::Rename);
        }
    }

    fn drop(&mut self, mut rest: Words<'_>) {
        if rest.take(&["column"]) || !rest.starts_with_any(OTHER_REMOVALS) {
            self.find(LintRule::DropColumn);
        }
    }

    fn rename(&mut self, mut rest: Words<'_>) {
        if rest.starts_with_any(&["constraint", "index", "key"]) {
            return;
        }
        if rest.take(&["to"]) || rest.take(&["as"]) {
            let new = rest.name();
            return self.looking.renamed(self.words, Some(self.table), new.as_ref());
        }
        self.find(LintRule::Rename);
    }

    fn validate(&mut self, mut rest: Words<'_>) {
        let Some(name) = rest.name() else { return };
        let added = self.looking.seen.validated(self.table, &name);
        if self.looking.is_transactional && added == Some(self.looking.version) {
            self.find(LintRule::ValidatedUnderLock);
        }
    }
}

/// The column of `check (a is not null)` and of `not null a`.
fn filled_column(mut constraint: Words<'_>) -> Option<Name> {
    if constraint.take(&["not", "null"]) {
        return constraint.name();
    }
    if !constraint.take(&["check"]) {
        return None;
    }
    let mut condition = constraint.inside()?;
    while let Some(inner) = condition.inside() {
        condition = inner;
    }
    let column = condition.name()?;
    (condition.take(&["is", "not", "null"]) && condition.is_empty()).then_some(column)
}

const CONSTRAINTS: &[&str] = &["check", "exclude", "foreign", "not", "primary", "unique"];

/// What can be added beside columns and constraints.
const OTHER_ADDITIONS: &[&str] =
    &["fulltext", "index", "key", "partition", "period", "spatial", "system", "vector"];

/// What can be dropped beside columns.
#[rustfmt::skip]
const OTHER_REMOVALS: &[&str] = &[
    "check", "constraint", "foreign", "index", "key", "partition", "period", "primary", "system",
];

/// What a table is written anew for when it is set.
const REWRITTEN_WITH: &[&str] = &["access", "logged", "tablespace", "unlogged"];

/// Types that count.
const SERIALS: &[&str] = &["bigserial", "serial", "serial2", "serial4", "serial8", "smallserial"];

/// What ends a default.
#[rustfmt::skip]
const AFTER_DEFAULT: &[&str] = &[
    "after", "check", "collate", "comment", "constraint", "first", "generated", "not", "on",
    "primary", "references", "unique",
];

/// What is one and the same in a transaction, and may say in parentheses how precise it is.
const OF_TRANSACTION: &[&str] =
    &["current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"];

/// Functions of servers that answer something else for each row.
#[rustfmt::skip]
const VOLATILE: &[&str] = &[
    "clock_timestamp", "gen_random_bytes", "gen_random_uuid", "nextval", "rand", "random",
    "random_normal", "timeofday", "uuid", "uuid_generate_v1", "uuid_generate_v4", "uuidv4", "uuidv7",
];
