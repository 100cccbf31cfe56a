//! Whether a statement is a query.

use super::lexer::Token;
#[cfg(any(test, feature = "postgres"))]
use super::split::statements;
#[cfg(any(test, feature = "postgres"))]
use crate::Lexis;

/// Whether `sql` is one query: it answers with rows that it has found, not with rows it has changed.
/// What its functions, its locks and the statements in its `WITH` do besides is not looked at.
#[cfg(any(test, feature = "postgres"))]
pub(crate) fn is_query(sql: &str, lexis: Lexis) -> bool {
    let statements = statements(sql, lexis);
    let [tokens] = &statements[..] else { return false };
    let is_any = |token: &Token, words: &[&str]| words.iter().any(|word| token.is_word(sql, word));
    let mut words = tokens.iter().filter(|token| !token.is_sign(sql, "("));
    match words.next() {
        Some(first) if first.is_word(sql, "with") => {}
        first => return first.is_some_and(|first| is_any(first, QUERIES)),
    }
    let outside = outside(sql, tokens);
    let verb = outside.windows(2).find(|pair| {
        let is_name = pair[1].is_word(sql, "as") || pair[1].is_sign(sql, "(");
        is_any(&pair[0], QUERIES) || (is_any(&pair[0], CHANGES) && !is_name)
    });
    verb.is_some_and(|pair| is_any(&pair[0], QUERIES))
}

/// The tokens outside of parentheses, and the parentheses themselves.
pub(super) fn outside(sql: &str, tokens: &[Token]) -> Vec<Token> {
    let mut depth = 0_usize;
    let mut is_outside = |token: &Token| {
        let (opens, closes) = (token.is_sign(sql, "("), token.is_sign(sql, ")"));
        depth = if closes { depth.saturating_sub(1) } else { depth };
        let is_outside = depth == 0;
        depth += usize::from(opens);
        is_outside
    };
    tokens.iter().filter(|token| is_outside(token)).copied().collect()
}

#[cfg(any(test, feature = "postgres"))]
const QUERIES: &[&str] = &["select", "values", "table"];
#[cfg(any(test, feature = "postgres"))]
const CHANGES: &[&str] = &["delete", "insert", "merge", "update"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::dialects::POSTGRES;

    #[test]
    fn a_query_is_known_by_its_verb() {
        for (sql, expected) in [
            ("select 1", true),
            ("/* who */ (select 1) union (select 2)", true),
            ("values (1); -- end", true),
            ("table t", true),
            ("with recursive n(i) as (select 1 union select 2) select i from n", true),
            ("with update as (insert into t values (1) returning a) select * from update", true),
            ("with a as (select 1) (select 2)", false),
            ("with a as (select 1) delete from t returning (select 1)", false),
            ("with a as (select 1) insert into t select * from a", false),
            ("insert into t select 1 returning id", false),
            ("show work_mem", false),
            ("explain select 1", false),
            ("select 1; select 2", false),
            ("", false),
        ] {
            assert_eq!(is_query(sql, POSTGRES.lexis), expected, "{sql}");
        }
    }
}
