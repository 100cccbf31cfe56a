//! One short text for all statements that differ only in their values.
//!
//! For labels and logs: never a part of a string, a number or a comment.

use super::keywords::is_keyword;
use super::lexer::{Kind, Token, tokens};
use crate::Lexis;

/// What a server says of a mistake in a statement, without the values in the words it repeats: what stands
/// between `before` and the last `after` is a piece of the statement.
#[cfg(any(test, feature = "sqlite", feature = "postgres", feature = "mysql"))]
pub(crate) fn without_values(said: &str, before: &str, after: &str, lexis: Lexis) -> String {
    let Some((start, rest)) = said.split_once(before) else { return said.to_owned() };
    let (piece, end) = rest.rsplit_once(after).unwrap_or((rest, ""));
    format!("{start}{before}{}{after}{end}", fingerprint(piece, lexis))
}

/// The form that `sql` shares with all statements that differ from it in values only.
///
/// Values and placeholders are `?`, lists of them `(…)`; words of the language are in lower case, and
/// spaces are where they always are. What is longer than 200 characters ends with `…`.
///
/// ```
/// use switchboard_database::Lexis;
/// use switchboard_database::sql::fingerprint;
///
/// let sql = "SELECT *  FROM users\n WHERE name = 'Ada' AND id IN (1, 2) -- who";
/// assert_eq!(
///     fingerprint(sql, Lexis::default()),
///     "select * from users where name = ? and id in (…)",
/// );
/// ```
pub fn fingerprint(sql: &str, lexis: Lexis) -> String {
    let mut writer = Writer { sql, text: String::new(), last: None, lists: Vec::new() };
    let mut tokens = tokens(sql, lexis).filter(Token::is_significant).peekable();
    while let Some(token) = tokens.next() {
        let is_before_number = tokens.peek().is_some_and(|next| next.kind == Kind::Number);
        if is_before_number && writer.is_number_sign(&token) {
            continue;
        }
        writer.write(token);
    }
    bounded(writer.text.trim_end_matches([';', ' ']).to_owned())
}

struct Writer<'s> {
    sql: &'s str,
    text: String,
    last: Option<Token>,
    /// For each `(` or `[` that is open: where it is, and whether only values came since.
    lists: Vec<(usize, bool)>,
}

impl Writer<'_> {
    fn write(&mut self, token: Token) {
        if self.needs_space(&token) {
            self.text.push(' ');
        }
        match token.text(self.sql) {
            _ if token.kind.is_literal() => self.text.push('?'),
            opening @ ("(" | "[") => self.open(opening),
            closing @ (")" | "]") => self.close(closing),
            "," => self.text.push(','),
            other => self.plain(token, other),
        }
        self.last = Some(token);
    }

    fn plain(&mut self, token: Token, text: &str) {
        self.lists.iter_mut().for_each(|(_, is_only_values)| *is_only_values = false);
        if token.kind == Kind::Word && is_keyword(text) {
            self.text.extend(text.chars().map(|letter| letter.to_ascii_lowercase()));
        } else {
            self.text.push_str(text);
        }
    }

    fn open(&mut self, opening: &str) {
        self.lists.push((self.text.len(), true));
        self.text.push_str(opening);
    }

    fn close(&mut self, closing: &str) {
        let list = self.lists.pop();
        let Some((start, true)) = list.filter(|(start, _)| self.text.len() > start + 1) else {
            return self.text.push_str(closing);
        };
        let opening = if closing == ")" { '(' } else { '[' };
        self.text.truncate(start);
        self.text.push(opening);
        self.text.push('…');
        self.text.push_str(closing);
        // Rows of values are one row.
        if let Some(rows) = self.text.strip_suffix("(…), (…)") {
            self.text.truncate(rows.len());
            self.text.push_str("(…)");
        }
    }

    /// Whether it is the sign of the number that follows.
    fn is_number_sign(&self, token: &Token) -> bool {
        let is_sign = token.is_sign(self.sql, "-") || token.is_sign(self.sql, "+");
        is_sign && !self.last.is_some_and(|last| last.ends_operand(self.sql))
    }

    fn needs_space(&self, token: &Token) -> bool {
        let Some(last) = self.last else { return false };
        let (before, after) = (last.text(self.sql), token.text(self.sql));
        let is_call = after == "(" && last.kind == Kind::Word && !is_keyword(before);
        let is_tight = matches!(after, "," | ")" | "]" | "." | ";" | "::" | "[")
            || matches!(before, "(" | "[" | "." | "::");
        !is_call && !is_tight
    }
}

fn bounded(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(LENGTH_MAX) {
        let last = text[..end].char_indices().next_back().map_or(0, |(start, _)| start);
        text.truncate(last);
        text.push('…');
    }
    text
}

/// In characters.
const LENGTH_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Dialect;
    use crate::sql::dialects::{ALL, MYSQL, POSTGRES};

    fn check(dialect: &Dialect, expected: &str, statements: &[&str]) {
        for sql in statements {
            assert_eq!(fingerprint(sql, dialect.lexis), expected, "{sql}");
        }
    }

    #[test]
    fn statements_that_differ_in_values_are_one() {
        for dialect in ALL {
            check(
                dialect,
                "select * from t where id = ?",
                &[
                    "select * from t where id = 1",
                    "SELECT *\n FROM t WHERE id=-2.5e3;",
                    "select * from t where id = ?",
                    "select * from t where id = $1 -- who",
                    "/* a */ select * from t where id = 'x''y'",
                    "select * from t where id = :id",
                    "Select * From t Where id = + 7 ;",
                ],
            );
            check(
                dialect,
                "select a from t where id in (…) and b = f(…)",
                &[
                    "select a from t where id in (1) and b = f('x')",
                    "select a from t where id IN ( 1,2 , 3) and b = f (1, ?)",
                ],
            );
            check(
                dialect,
                "insert into t(a, b) values (…)",
                &[
                    "insert into t (a, b) values (1, 2)",
                    "insert into t(a,b) values ('x', ?), (3, -4), (5, 6)",
                ],
            );
            check(
                dialect,
                "select count(*), a - ?, b.c from t as b",
                &["select count( * ), a-1, b . c from t as b"],
            );
        }
        check(
            &POSTGRES,
            "select data ->> ?, a::int, tags[? : ?], array[…] from t",
            &["select data->>'x', a::int, tags[1:2], array[1,2,3] from t"],
        );
        check(&MYSQL, "select ?, `a` from t", &[r#"select "x\"y", `a` from t # z"#]);
    }

    #[test]
    fn a_long_one_is_cut_between_characters() {
        let text = fingerprint(&format!("select {}", "ü, ".repeat(200)), POSTGRES.lexis);
        assert_eq!(text.chars().count(), LENGTH_MAX);
        assert!(text.ends_with('…'));
        let exact = "a".repeat(LENGTH_MAX);
        assert_eq!(fingerprint(&exact, POSTGRES.lexis), exact);
    }

    #[test]
    fn many_rows_are_short() {
        let sql = format!("insert into t values {}(0)", "(1, 'x'), ".repeat(10_000));
        assert_eq!(fingerprint(&sql, POSTGRES.lexis), "insert into t values (…)");
    }

    #[test]
    fn what_a_server_repeats_has_no_values() {
        let said = r#"syntax error at or near "'hunter2'""#;
        let told = without_values(said, "near \"", "\"", POSTGRES.lexis);
        assert_eq!(told, r#"syntax error at or near "?""#);
        let said = "right syntax to use near ''hunter2' where id = 'x' at line 1";
        let told = without_values(said, "near '", "' at line", MYSQL.lexis);
        assert_eq!(told, "right syntax to use near '? where id = ?' at line 1");
        let said = r#"unterminated quoted string at or near "'hunter2""#;
        assert!(!without_values(said, "near \"", "\"", POSTGRES.lexis).contains("hunter2"));
        assert_eq!(without_values("syntax error", "near \"", "\"", POSTGRES.lexis), "syntax error");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_value_is_in_it(parts in prop::collection::vec((0..8_usize, any::<bool>()), 1..12)) {
            for dialect in ALL {
                let mut sql = String::from("select a");
                for (shape, is_list) in &parts {
                    let value = SECRETS[*shape];
                    sql.push_str(if *is_list { " in (b, " } else { " = " });
                    sql.push_str(value);
                    sql.push_str(if *is_list { ")" } else { " " });
                }
                let text = fingerprint(&sql, dialect.lexis);
                prop_assert!(!text.contains("secret") && !text.contains("777"), "{}", text);
                prop_assert_eq!(fingerprint(&text, dialect.lexis), text);
            }
        }
    }

    const SECRETS: [&str; 8] = [
        "'secret'",
        "777",
        "-7.77e777",
        "x'777'",
        "/* secret */ 1",
        "'it''s secret'",
        "n'secret' -- 777\n",
        "0x777",
    ];
}
