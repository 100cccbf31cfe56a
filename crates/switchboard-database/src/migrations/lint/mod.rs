//! What is known to go wrong with migrations, seen by their texts; no server is asked.
//!
//! Read in this order: `rules.rs`, what each rule finds; `statement.rs` and `alter.rs`, where they look;
//! `limits.rs`, how long they wait for locks; `seen.rs`, what statements before have made; `allowed.rs`, comments that allow what is found.

mod allowed;
mod alter;
mod limits;
mod rules;
mod seen;
mod statement;
mod words;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::time::Duration;

use serde::Serialize;

pub use rules::{LintRule, Severity};

use super::files::{Migration, Migrations};
use crate::sql::lexer::{Token, tokens};
use crate::{Dialect, sql};
use allowed::Allow;
use seen::Seen;
use statement::Looking;
use words::Words;

/// What a rule found in a migration.
///
/// As JSON it is what `switchboard db lint --format json` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The rule.
    pub rule: LintRule,
    /// How bad it is.
    pub severity: Severity,
    /// The version of the migration.
    pub version: u64,
    /// The file it is in.
    pub file: String,
    /// The line, counted from one.
    pub line: usize,
    /// The character in the line, counted from one.
    pub column: usize,
    /// The statement, or the comment, in one line; its beginning if it is long.
    pub statement: String,
    /// Why it matters.
    pub why: &'static str,
    /// What to do instead.
    pub instead: &'static str,
}

/// How migrations are linted.
///
/// ```
/// use switchboard_database::LintOptions;
///
/// let options = LintOptions::new().since(41).has_lock_timeout(true);
/// # let _ = options;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "it does nothing until migrations are linted with it"]
pub struct LintOptions {
    since: Option<u64>,
    has_lock_timeout: bool,
}

impl LintOptions {
    /// All migrations, each for itself.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only those that are newer than `version`. They are taken for one release: what happens to a table
    /// that one of them makes harms nobody, for nobody has used it yet.
    pub fn since(mut self, version: u64) -> Self {
        self.since = Some(version);
        self
    }

    /// Whether migrations wait for locks with a limit, so that their files need not say one.
    pub fn has_lock_timeout(mut self, has: bool) -> Self {
        self.has_lock_timeout = has;
        self
    }
}

impl Migrations {
    /// What is known to go wrong with them on a server that writes its SQL so, in their order.
    ///
    /// A comment in a file allows what a rule finds in it, with a reason:
    /// `-- lint: allow drop-column because nobody has read it since May`. A file that was applied must not
    /// be changed any more; such are left away with [`LintOptions::since`].
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")]
    /// # {
    /// use switchboard_database::{LintOptions, LintRule, Migrations, drivers};
    ///
    /// let migrations = Migrations::embedded(&[
    ///     ("0007_mail.sql", "alter table users add column mail text;\nalter table users drop column fax;"),
    /// ])?;
    /// let sqlite = drivers::dialect("sqlite").unwrap();
    /// let findings = migrations.lint(sqlite, &LintOptions::new());
    /// assert_eq!((findings[0].rule, findings[0].line), (LintRule::DropColumn, 2));
    /// # }
    /// # Ok::<(), switchboard_core::Error>(())
    /// ```
    pub fn lint(&self, dialect: &Dialect, options: &LintOptions) -> Vec<Finding> {
        let since = options.since.unwrap_or(0);
        let is_linted =
            |migration: &Migration| options.since.is_none() || migration.version > since;
        self.lint_those(dialect, is_linted, options.since.is_some(), options.has_lock_timeout)
    }

    /// What is found in some of them, which may be applied together.
    pub(super) fn lint_those(
        &self,
        dialect: &Dialect,
        is_linted: impl Fn(&Migration) -> bool,
        are_together: bool,
        has_lock_timeout: bool,
    ) -> Vec<Finding> {
        let mut seen = Seen::default();
        let mut findings = Vec::new();
        for migration in self.iter() {
            let linted = Linted { migration, dialect, has_lock_timeout };
            if is_linted(migration) && are_together {
                findings.extend(linted.lint(&mut seen));
                continue;
            }
            // What it makes is new to nobody but itself.
            let new = mem::take(&mut seen.new);
            let found = linted.lint(&mut seen);
            seen.new = new;
            if is_linted(migration) {
                findings.extend(found);
            }
        }
        findings
    }
}

/// One migration that is linted.
struct Linted<'m> {
    migration: &'m Migration,
    dialect: &'m Dialect,
    has_lock_timeout: bool,
}

/// What was found: the rule, the byte of the text, and what stands there.
type Found<'m> = (LintRule, usize, &'m str);

impl<'m> Linted<'m> {
    fn lint(&self, seen: &mut Seen) -> Vec<Finding> {
        let text = &*self.migration.text;
        let allows = allowed::allows(text, self.dialect);
        let mut found = self.found(seen);
        let judged = self.misjudged(&allows, &found);
        found.retain(|(rule, _, _)| !allows.iter().any(|allow| allow.rule == Some(*rule)));
        found.extend(judged);
        found.sort_by_key(|(_, at, _)| *at);
        let mut place = Place { text, at: 0, line: 1, line_start: 0 };
        found.into_iter().map(|found| self.finding(found, &mut place)).collect()
    }

    /// What the rules find, whether it is allowed or not.
    fn found(&self, seen: &mut Seen) -> Vec<Found<'m>> {
        let migration = self.migration;
        let mut looking = Looking {
            dialect: self.dialect,
            version: migration.version,
            is_transactional: migration.is_transactional && self.dialect.has_transactional_ddl,
            has_lock_timeout: match migration.lock_timeout {
                None => self.has_lock_timeout,
                said => is_limit(said),
            },
            has_foreign_keys: true,
            seen,
            statement_at: 0,
            dropped: BTreeMap::new(),
            rebuilt: Vec::new(),
            found: Vec::new(),
        };
        let mut all: Vec<Found<'m>> = Vec::new();
        for part in sql::split(&migration.text, self.dialect.lexis) {
            let tokens: Vec<_> =
                tokens(part.sql, self.dialect.lexis).filter(Token::is_significant).collect();
            looking.statement_at = part.start;
            looking.look(Words::new(part.sql, &tokens));
            let placed =
                looking.found.drain(..).map(|(rule, at)| (rule, part.start + at, part.sql));
            all.extend(placed);
        }
        let mut is_told = false;
        all.retain(|(rule, _, _)| {
            *rule != LintRule::LockTimeoutMissing || !mem::replace(&mut is_told, true)
        });
        if LintRule::RebuildWithForeignKeys.is_about(self.dialect) {
            tell_rebuilt(&mut all, &looking.rebuilt);
        }
        all
    }

    /// Comments that are wrong, or allow what is not there.
    fn misjudged(&self, allows: &[Allow], found: &[Found<'m>]) -> Vec<Found<'m>> {
        let text = &*self.migration.text;
        let there: BTreeSet<_> = found.iter().map(|(rule, _, _)| *rule).collect();
        let judged = allows.iter().filter_map(|Allow { at, rule }| {
            let mistake = match rule {
                None => LintRule::WrongAllow,
                // A folder may be for several servers.
                Some(rule) if there.contains(rule) || !rule.is_about(self.dialect) => return None,
                Some(_) => LintRule::UselessAllow,
            };
            Some((mistake, *at, text[*at..].lines().next().unwrap_or_default()))
        });
        judged.collect()
    }

    fn finding(&self, (rule, at, statement): Found<'m>, place: &mut Place<'_>) -> Finding {
        place.go_to(at);
        Finding {
            rule,
            severity: rule.severity(),
            version: self.migration.version,
            file: self.migration.file.clone(),
            line: place.line,
            column: place.column(),
            statement: in_one_line(statement),
            why: rule.why(),
            instead: rule.instead(),
        }
    }
}

/// What is dropped at these bytes is no table that goes: a new one takes its name.
fn tell_rebuilt(found: &mut [Found<'_>], drops: &[usize]) {
    let drops: BTreeSet<_> = drops.iter().collect();
    for (rule, at, _) in found {
        if *rule == LintRule::DropTable && drops.contains(at) {
            *rule = LintRule::RebuildWithForeignKeys;
        }
    }
}

/// A place in a text, which only goes on.
struct Place<'t> {
    text: &'t str,
    at: usize,
    line: usize,
    line_start: usize,
}

impl Place<'_> {
    fn go_to(&mut self, at: usize) {
        let passed = &self.text[self.at..at];
        self.line += passed.matches('\n').count();
        if let Some(end) = passed.rfind('\n') {
            self.line_start = self.at + end + 1;
        }
        self.at = at;
    }

    fn column(&self) -> usize {
        self.text[self.line_start..self.at].chars().count() + 1
    }
}

/// Whether a limit that was said is one: zero says that there is none.
pub(super) fn is_limit(said: Option<Duration>) -> bool {
    said.is_some_and(|limit| !limit.is_zero())
}

fn in_one_line(statement: &str) -> String {
    // What is longer than it could show in the end is not even looked at.
    let start =
        statement.char_indices().nth(LOOKED_AT_MAX).map_or(statement, |(at, _)| &statement[..at]);
    let words = start.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(SHOWN_MAX) {
        Some((at, _)) => format!("{}…", &words[..at]),
        None => words,
    }
}

/// How much of a statement is shown, in characters.
const SHOWN_MAX: usize = 200;

/// How much of a statement is looked at for that, in characters.
const LOOKED_AT_MAX: usize = 4 * SHOWN_MAX;
