//! Comments that say who sent a statement, for the server's own logs, as `sqlcommenter` writes them.

use std::borrow::Cow;
use std::fmt::Write as _;

use switchboard_core::{Error, ErrorKind, Result};

use super::lexer::{Kind, tokens};
use crate::Lexis;

/// `sql` with a comment that holds `tags`, in the order of their keys.
///
/// A statement that has a comment already is left as it is, and so is one without tags. Keys are
/// letters, digits, `_`, `-` and `.`; another one is [`ErrorKind::InvalidInput`]. Values are anything.
///
/// ```
/// use switchboard_database::Lexis;
/// use switchboard_database::sql::with_comment;
///
/// let tags = [("route", "/users/:id"), ("action", "it's */")];
/// assert_eq!(
///     with_comment("select 1", &tags, Lexis::default())?,
///     "select 1 /*action='it%27s%20%2A%2F',route='%2Fusers%2F%3Aid'*/",
/// );
/// # Ok::<(), switchboard_core::Error>(())
/// ```
pub fn with_comment<'s>(sql: &'s str, tags: &[(&str, &str)], lexis: Lexis) -> Result<Cow<'s, str>> {
    if let Some((key, _)) = tags.iter().find(|(key, _)| !is_key(key)) {
        let message = "the key of a comment is not of letters, digits, `_`, `-` and `.`";
        return Err(Error::new(ErrorKind::InvalidInput, message).with_context("key", key));
    }
    let has_comment =
        tokens(sql, lexis).any(|token| matches!(token.kind, Kind::Comment | Kind::Condition));
    if tags.is_empty() || has_comment {
        return Ok(sql.into());
    }
    let statement = sql.trim_end_matches(|end: char| end == ';' || end.is_ascii_whitespace());
    Ok(format!("{statement} /*{}*/", written(tags)).into())
}

fn written(tags: &[(&str, &str)]) -> String {
    let mut tags = tags.to_vec();
    tags.sort_unstable();
    let pairs = tags.iter().map(|(key, value)| format!("{key}='{}'", encoded(value)));
    pairs.collect::<Vec<_>>().join(",")
}

fn is_key(key: &str) -> bool {
    !key.is_empty()
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

/// Everything but letters, digits and a few signs as `%XX`, so that no value ends the comment.
fn encoded(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"_-.~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            // A string takes all that is written to it.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sql::dialects::{ALL, MYSQL, SQLITE};

    #[test]
    fn a_statement_with_a_comment_keeps_it_alone() {
        for sql in ["select 1 -- a", "/* a */ select 1", "select /*+ hint */ 1"] {
            assert_eq!(with_comment(sql, &[("a", "b")], SQLITE.lexis).unwrap(), sql);
        }
        let sql = "select '/* a */'";
        assert_eq!(
            with_comment(sql, &[("a", "b")], SQLITE.lexis).unwrap(),
            "select '/* a */' /*a='b'*/"
        );
        assert_eq!(
            with_comment("select 1 # a", &[("a", "b")], MYSQL.lexis).unwrap(),
            "select 1 # a"
        );
    }

    #[test]
    fn a_semicolon_at_the_end_goes() {
        let text = with_comment("select 1 ;\n", &[("a", "b")], SQLITE.lexis).unwrap();
        assert_eq!(text, "select 1 /*a='b'*/");
    }

    #[test]
    fn a_key_that_could_end_the_comment_is_refused() {
        for key in ["", "a b", "a*/", "ü", "a'"] {
            let error = with_comment("select 1", &[(key, "b")], SQLITE.lexis).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
    }

    proptest! {
        #[test]
        fn no_value_gets_out_of_the_comment(value in "[ a'*/\\\\%;?\n-]{0,12}|.{0,8}") {
            for dialect in ALL {
                let text = with_comment("select 1", &[("a", &value)], dialect.lexis).unwrap();
                let last = tokens(&text, dialect.lexis).last().unwrap();
                prop_assert_eq!(last.kind, Kind::Comment);
                prop_assert_eq!(last.start, "select 1 ".len());
            }
        }
    }
}
