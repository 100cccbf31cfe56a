//! Scripts, taken apart into statements.
//!
//! A statement ends at a semicolon outside of parentheses and of the body of a routine. A line
//! `DELIMITER …`, as the client of `MySQL` has it, says what ends one from there on.

use super::lexer::{Kind, Token, Tokens, tokens};
use crate::Lexis;

/// One statement of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'s> {
    /// Its text, without what ends it and without comments around it.
    pub sql: &'s str,
    /// The line it begins in, counted from one.
    pub line: usize,
    /// The byte of the script it begins at.
    pub start: usize,
}

/// The statements of `script`, in order. What is only comments is none.
///
/// ```
/// use switchboard_database::Lexis;
/// use switchboard_database::sql::split;
///
/// let parts = split("insert into t values (';');\n-- done;\nselect 1", Lexis::default());
/// assert_eq!(parts.iter().map(|part| part.sql).collect::<Vec<_>>(),
///     ["insert into t values (';')", "select 1"]);
/// assert_eq!(parts[1].line, 3);
/// ```
pub fn split(script: &str, lexis: Lexis) -> Vec<Part<'_>> {
    Splitter::new(script, lexis).split()
}

/// The tokens of each statement of a text, without white space and comments.
pub(crate) fn statements(sql: &str, lexis: Lexis) -> Vec<Vec<Token>> {
    let mut all = Vec::new();
    let mut open = Open::new(sql);
    for token in tokens(sql, lexis).filter(Token::is_significant) {
        if open.is_end(&token) {
            all.push(open.finish());
        } else {
            open.take(token);
        }
    }
    all.push(open.finish());
    all.retain(|tokens| !tokens.is_empty());
    all
}

/// Whether the statement makes something that the server keeps the text of, and runs later.
pub(crate) fn is_routine(sql: &str, tokens: &[Token]) -> bool {
    let is_any = |token: &Token, words: &[&str]| words.iter().any(|word| token.is_word(sql, word));
    let [first, rest @ ..] = tokens else { return false };
    let what = rest.iter().find(|token| is_any(token, ROUTINES) || is_any(token, OTHER_OBJECTS));
    is_any(first, &["create", "alter"]) && what.is_some_and(|token| is_any(token, ROUTINES))
}

/// A statement whose end has not come.
struct Open<'s> {
    sql: &'s str,
    tokens: Vec<Token>,
    parentheses: usize,
    /// How many `BEGIN` and `CASE` are open, once there is a body.
    blocks: usize,
    has_body: bool,
}

impl<'s> Open<'s> {
    fn new(sql: &'s str) -> Self {
        Self { sql, tokens: Vec::new(), parentheses: 0, blocks: 0, has_body: false }
    }

    fn is_end(&self, token: &Token) -> bool {
        token.is_sign(self.sql, ";") && self.parentheses == 0 && self.blocks == 0
    }

    fn take(&mut self, token: Token) {
        match token.kind {
            Kind::Punctuation => self.count_parentheses(token),
            Kind::Word => self.count_blocks(token),
            _ => {}
        }
        self.tokens.push(token);
    }

    fn count_parentheses(&mut self, token: Token) {
        match token.text(self.sql) {
            "(" => self.parentheses += 1,
            ")" => self.parentheses = self.parentheses.saturating_sub(1),
            _ => {}
        }
    }

    fn count_blocks(&mut self, token: Token) {
        let is = |word: &str| token.is_word(self.sql, word);
        let follows_end = self.tokens.last().is_some_and(|last| last.is_word(self.sql, "end"));
        if is("begin") && self.begins_body() {
            self.has_body = true;
            self.blocks += 1;
        } else if self.has_body && is("case") && !follows_end {
            self.blocks += 1;
        } else if self.has_body && is("end") {
            self.blocks = self.blocks.saturating_sub(1);
        } else if self.has_body && follows_end && OTHER_BLOCKS.iter().any(|word| is(word)) {
            // That `END` did not close what we count.
            self.blocks += 1;
        } else if is("not") && self.is_anonymous() {
            self.has_body = true;
            self.blocks += 1;
        }
    }

    /// Whether `BEGIN` opens a block here; at the front of a statement it begins a transaction.
    fn begins_body(&self) -> bool {
        self.has_body || is_routine(self.sql, &self.tokens)
    }

    /// `BEGIN NOT ATOMIC`: a body of no routine.
    fn is_anonymous(&self) -> bool {
        matches!(self.tokens.as_slice(), [only] if only.is_word(self.sql, "begin"))
    }

    fn finish(&mut self) -> Vec<Token> {
        std::mem::replace(self, Self::new(self.sql)).tokens
    }
}

/// Goes through a script.
struct Splitter<'s> {
    script: &'s str,
    lexis: Lexis,
    tokens: Tokens<'s>,
    open: Open<'s>,
    /// What ends a statement, where a line said so.
    delimiter: Option<&'s str>,
    /// From where to where the statement goes, as far as it was read.
    range: Option<(usize, usize)>,
    parts: Vec<Part<'s>>,
    /// How many lines there are before this place.
    counted: (usize, usize),
}

impl<'s> Splitter<'s> {
    fn new(script: &'s str, lexis: Lexis) -> Self {
        Self {
            script,
            lexis,
            tokens: tokens(script, lexis),
            open: Open::new(script),
            delimiter: None,
            range: None,
            parts: Vec::new(),
            counted: (1, 0),
        }
    }

    fn split(mut self) -> Vec<Part<'s>> {
        while let Some(token) = self.tokens.next() {
            self.read(token);
        }
        self.finish();
        self.parts
    }

    fn read(&mut self, token: Token) {
        if matches!(token.kind, Kind::Space | Kind::Comment) {
            return;
        }
        if self.range.is_none() && token.is_word(self.script, "delimiter") {
            return self.read_delimiter(token);
        }
        if let Some((start, end)) = self.delimiter_in(&token) {
            self.extend(token.start, start);
            self.finish();
            return self.jump(end);
        }
        if self.delimiter.is_none() && self.open.is_end(&token) {
            return self.finish();
        }
        self.extend(token.start, token.end);
        if token.is_significant() {
            self.open.take(token);
        }
    }

    fn read_delimiter(&mut self, token: Token) {
        let rest = &self.script[token.end..];
        let line_end = rest.find('\n').unwrap_or(rest.len());
        let delimiter = rest[..line_end].trim();
        let is_other = !delimiter.is_empty() && delimiter != ";";
        self.delimiter = is_other.then_some(delimiter);
        self.jump(token.end + line_end);
    }

    /// Where the delimiter is in a token, which may be glued to a word: `END$$`.
    fn delimiter_in(&self, token: &Token) -> Option<(usize, usize)> {
        let delimiter = self.delimiter?;
        if matches!(token.kind, Kind::Text | Kind::Name) {
            return None;
        }
        let reach = self.script.floor_char_boundary(token.end + delimiter.len() - 1);
        let at = token.start + self.script[token.start..reach].find(delimiter)?;
        Some((at, at + delimiter.len()))
    }

    fn extend(&mut self, start: usize, end: usize) {
        if end > start {
            self.range = Some((self.range.map_or(start, |(first, _)| first), end));
        }
    }

    fn finish(&mut self) {
        self.open.finish();
        let Some((start, end)) = self.range.take() else { return };
        let (line, counted) = self.counted;
        let line = line + self.script[counted..start].matches('\n').count();
        self.counted = (line, start);
        self.parts.push(Part { sql: &self.script[start..end], line, start });
    }

    fn jump(&mut self, at: usize) {
        self.tokens = tokens(self.script, self.lexis).from(at);
    }
}

const ROUTINES: &[&str] = &["event", "function", "package", "procedure", "rule", "trigger"];

/// Enough of the rest of what can be created to know that a later word is a name.
const OTHER_OBJECTS: &[&str] = &[
    "aggregate",
    "database",
    "domain",
    "extension",
    "index",
    "policy",
    "role",
    "schema",
    "sequence",
    "server",
    "table",
    "type",
    "user",
    "view",
];

/// What ends with `END` and a word, beside `BEGIN` and `CASE`.
const OTHER_BLOCKS: &[&str] = &["for", "if", "loop", "repeat", "while"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Dialect;
    use crate::sql::dialects::{ALL, MYSQL, POSTGRES, SQLITE};

    fn texts<'s>(script: &'s str, dialect: &Dialect) -> Vec<&'s str> {
        split(script, dialect.lexis).iter().map(|part| part.sql).collect()
    }

    fn whole(statement: &str, dialect: &Dialect) {
        let script = format!("select 1;\n{statement};\nselect 2");
        assert_eq!(texts(&script, dialect), ["select 1", statement, "select 2"]);
    }

    #[test]
    fn a_semicolon_ends_a_statement_only_where_it_is_none_of_a_string_or_a_comment() {
        for dialect in ALL {
            whole("select ';', 'it''s;' /* ; */ from t", dialect);
            whole("select 1 -- ;\n + 2", dialect);
        }
        whole("do $$ begin a; b; end $$", &POSTGRES);
        whole(r"select E'\';'", &POSTGRES);
        whole("create rule r as on insert to t do also (select 1; select 2)", &POSTGRES);
    }

    #[test]
    fn the_body_of_a_routine_is_part_of_it() {
        let trigger = "create trigger t after update on x begin \
            update y set a = case when 1 then 2 end; delete from z; end";
        whole(trigger, &SQLITE);
        whole("create function f() returns int begin atomic select 1; select 2; end", &POSTGRES);
        let procedure = "create procedure p() begin \
            if a then select 1; end if; while b do select 2; end while; \
            case a when 1 then select 3; end case; begin select 4; end; end";
        whole(procedure, &MYSQL);
        whole("create procedure p() select 1", &MYSQL);
        whole("begin not atomic select 1; select 2; end", &MYSQL);
    }

    #[test]
    fn a_transaction_is_no_body() {
        let script = "begin; select 1; end; begin transaction; commit";
        let expected = ["begin", "select 1", "end", "begin transaction", "commit"];
        for dialect in ALL {
            assert_eq!(texts(script, dialect), expected);
        }
    }

    #[test]
    fn a_line_can_say_what_ends_a_statement() {
        let script = "select 0;\nDELIMITER $$\ncreate procedure p() begin select ';$$'; end$$\n\
            select 1 $$\ndelimiter ;\nselect 2; select 3";
        let expected = [
            "select 0",
            "create procedure p() begin select ';$$'; end",
            "select 1",
            "select 2",
            "select 3",
        ];
        assert_eq!(texts(script, &MYSQL), expected);
        assert_eq!(texts("delimiter //\nselect 1;//select 2//", &MYSQL), ["select 1;", "select 2"]);
    }

    #[test]
    fn a_statement_knows_its_line() {
        let lines =
            |script| split(script, SQLITE.lexis).iter().map(|part| part.line).collect::<Vec<_>>();
        assert_eq!(lines("select 1;\n\n-- a\nselect\n2;select 3;\n;\nselect 4"), [1, 4, 5, 7]);
        assert_eq!(lines("\u{feff}\r\nselect 1"), [2]);
    }

    #[test]
    fn a_conditional_comment_is_a_statement() {
        let script = "/*!40101 SET NAMES utf8 */;\n/* no */;";
        assert_eq!(texts(script, &MYSQL), ["/*!40101 SET NAMES utf8 */"]);
        assert!(texts(script, &SQLITE).is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_was_joined_is_taken_apart_again(
            statements in prop::collection::vec(prop::sample::select(STATEMENTS), 0..8)
        ) {
            let script = statements.join(";\n");
            for dialect in ALL {
                prop_assert_eq!(&texts(&script, dialect), &statements);
            }
        }

        #[test]
        fn taking_apart_twice_is_taking_apart_once(script in "[a;()'\"$/*\n ]{0,40}|(begin|end|case|create|trigger|;| ){0,12}") {
            for dialect in ALL {
                for part in texts(&script, dialect) {
                    prop_assert_eq!(texts(part, dialect), [part]);
                }
            }
        }
    }

    const STATEMENTS: &[&str] = &[
        "select 1",
        "select ';'",
        "create trigger t begin a; b; end",
        "begin",
        "end",
        "commit",
        "create table t (a text default ';')",
        "select case when a then b end",
        "create trigger t begin select case a when 1 then 2 end; end",
        "x'00'",
        "(select 1; 2)",
    ];
}
