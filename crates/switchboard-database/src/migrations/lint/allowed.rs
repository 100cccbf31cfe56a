//! Comments that allow what a rule finds, for the whole file they stand in.

use super::rules::LintRule;
use crate::Dialect;
use crate::sql::lexer::{Kind, tokens};

/// A comment that allows what a rule finds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allow {
    /// The byte of the file that the comment begins at.
    pub(super) at: usize,
    /// Nothing if the comment is not understood.
    pub(super) rule: Option<LintRule>,
}

/// The comments in `text` that say something about rules.
pub(super) fn allows(text: &str, dialect: &Dialect) -> Vec<Allow> {
    let comments = tokens(text, dialect.lexis).filter(|token| token.kind == Kind::Comment);
    let said = comments.filter_map(|comment| {
        let said = bare(comment.text(text)).strip_prefix("lint:")?;
        Some(Allow { at: comment.start, rule: allowed(said) })
    });
    said.collect()
}

/// What a comment says.
fn bare(comment: &str) -> &str {
    let body = comment.trim_start_matches(['-', '#']);
    let body = body.strip_prefix("/*").unwrap_or(body);
    body.strip_suffix("*/").unwrap_or(body).trim()
}

/// The rule of ` allow drop-column because …`.
fn allowed(said: &str) -> Option<LintRule> {
    let mut words = said.split_whitespace();
    let (allow, rule, because) = (words.next()?, words.next()?, words.next()?);
    let has_reason = words.next().is_some();
    let is_understood = allow == "allow" && because == "because" && has_reason;
    LintRule::named(rule).filter(|_| is_understood)
}
