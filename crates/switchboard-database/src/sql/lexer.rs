//! The tokens of a text, as one dialect reads it.
//!
//! A text is read once, from left to right, and never refused: what is opened and not closed goes to
//! the end. All tokens together are the text again. Whether a statement makes sense is the server's
//! affair; here counts only what is text of a person and what is text of the language.

use std::fmt;

use super::keywords;
use crate::Lexis;

/// Reads `sql` token by token.
///
/// ```
/// use switchboard_database::Lexis;
/// use switchboard_database::sql::lexer::{Kind, Style, tokens};
///
/// let sql = "select ':no' where id = :id";
/// let placeholder = tokens(sql, Lexis::default())
///     .find(|token| token.kind == Kind::Placeholder(Style::Colon))
///     .unwrap();
/// assert_eq!(placeholder.text(sql), ":id");
/// ```
pub fn tokens(sql: &str, lexis: Lexis) -> Tokens<'_> {
    Tokens { sql, lexis, at: 0, last: None, brackets: 0, conditions: 0 }
}

/// The tokens of a text, in order, without a gap.
#[derive(Clone, Debug)]
pub struct Tokens<'s> {
    sql: &'s str,
    lexis: Lexis,
    at: usize,
    /// The last one that means something.
    last: Option<Token>,
    /// How many `[` are open.
    brackets: usize,
    /// How many `/*!` are open.
    conditions: usize,
}

/// One token: what it is, and which bytes of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Its first byte.
    pub start: usize,
    /// The byte after its last.
    pub end: usize,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// White space.
    Space,
    /// A comment.
    Comment,
    /// The beginning or the end of a comment whose content counts: `/*!50100`, `*/`.
    Condition,
    /// A string, with its prefix.
    Text,
    /// A name in quotes.
    Name,
    /// A name without quotes, or a word of the language.
    Word,
    /// A variable of the server: `@@version`.
    Variable,
    /// A number.
    Number,
    /// `::`.
    Cast,
    /// An operator.
    Operator,
    /// Where a value is wanted.
    Placeholder(Style),
    /// `??` for the operator `?`, or `%%` for `%`.
    Escaped,
    /// Anything else, one character each.
    Punctuation,
}

/// How a placeholder is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Style {
    /// `?`, in order.
    Question,
    /// `?1`.
    NumberedQuestion,
    /// `$1`.
    Dollar,
    /// `:name`.
    Colon,
    /// `@name`.
    At,
    /// `%s`, in order.
    Percent,
    /// `%(name)s`.
    PercentName,
}

impl Token {
    /// Its part of the text it is from.
    pub fn text<'s>(&self, sql: &'s str) -> &'s str {
        &sql[self.start..self.end]
    }

    /// Whether it is more than white space or a comment.
    pub fn is_significant(&self) -> bool {
        !matches!(self.kind, Kind::Space | Kind::Comment | Kind::Condition)
    }

    /// Whether it is this word, in upper or lower case.
    pub fn is_word(&self, sql: &str, word: &str) -> bool {
        self.kind == Kind::Word && self.text(sql).eq_ignore_ascii_case(word)
    }

    /// Whether it is this punctuation or operator.
    pub fn is_sign(&self, sql: &str, sign: &str) -> bool {
        matches!(self.kind, Kind::Punctuation | Kind::Operator) && self.text(sql) == sign
    }

    /// Whether a value can end with it.
    pub(crate) fn ends_operand(&self, sql: &str) -> bool {
        match self.kind {
            Kind::Word => keywords::ends_operand(self.text(sql)),
            Kind::Punctuation => matches!(self.text(sql), ")" | "]"),
            kind => kind.is_literal() || matches!(kind, Kind::Name | Kind::Variable),
        }
    }
}

impl Kind {
    /// Whether it is a value, or stands for one.
    pub fn is_literal(self) -> bool {
        matches!(self, Self::Text | Self::Number | Self::Placeholder(_))
    }
}

impl Style {
    /// Whether values are given by name.
    pub fn is_named(self) -> bool {
        matches!(self, Self::Colon | Self::At | Self::PercentName)
    }

    /// Whether a placeholder says which of the values it wants.
    pub fn is_numbered(self) -> bool {
        matches!(self, Self::NumberedQuestion | Self::Dollar)
    }

    /// The name or the number in a placeholder of this style.
    pub fn label(self, placeholder: &str) -> &str {
        let label = placeholder.trim_start_matches(['?', '$', ':', '@', '%']);
        match self {
            Self::PercentName => label.trim_start_matches('(').trim_end_matches(")s"),
            Self::Percent => "",
            _ => label,
        }
    }
}

impl fmt::Display for Style {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Question => "?",
            Self::NumberedQuestion => "?1",
            Self::Dollar => "$1",
            Self::Colon => ":name",
            Self::At => "@name",
            Self::Percent => "%s",
            Self::PercentName => "%(name)s",
        })
    }
}

impl Tokens<'_> {
    /// The tokens from another place on, which must be where one begins.
    pub(super) fn from(self, at: usize) -> Self {
        Self { at, ..self }
    }
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let start = self.at;
        let first = self.byte(start)?;
        let (kind, end) = self.read(first);
        let token = Token { kind, start, end };
        self.at = end;
        self.count_brackets(&token);
        if token.is_significant() {
            self.last = Some(token);
        }
        Some(token)
    }
}

/// One function for each first byte that means more than itself.
impl Tokens<'_> {
    fn read(&mut self, first: u8) -> (Kind, usize) {
        let at = self.at;
        if let Some(end) = self.space_end(at) {
            return (Kind::Space, end);
        }
        if let Some(read) = self.condition(first) {
            return read;
        }
        if let Some(end) = self.comment_end(at) {
            return (Kind::Comment, end);
        }
        match first {
            b'\'' => (Kind::Text, self.quoted_end(at, self.lexis.backslash_escapes)),
            b'"' => self.double_quoted(),
            b'`' if self.lexis.backticks => (Kind::Name, self.quoted_end(at, false)),
            b'[' if self.lexis.brackets => (Kind::Name, self.after(at, "]")),
            b'$' => self.dollar(),
            b'?' => self.question(),
            b':' => self.colon(),
            b'@' => self.at_sign(),
            b'%' => self.percent(),
            b'0'..=b'9' => (Kind::Number, self.number_end(at)),
            b'.' if self.is_digit(at + 1) => (Kind::Number, self.number_end(at)),
            _ if is_name_start(first) => self.word(),
            _ => self.operator(),
        }
    }

    fn double_quoted(&self) -> (Kind, usize) {
        if self.lexis.double_quoted_strings {
            return (Kind::Text, self.quoted_end(self.at, self.lexis.backslash_escapes));
        }
        (Kind::Name, self.quoted_end(self.at, false))
    }

    fn dollar(&self) -> (Kind, usize) {
        let at = self.at;
        if self.is_digit(at + 1) {
            return (Kind::Placeholder(Style::Dollar), self.digits_end(at + 1));
        }
        let label_end = self.name_end(at + 1);
        if !self.lexis.dollar_strings {
            let is_word = label_end > at + 1;
            return (if is_word { Kind::Word } else { Kind::Punctuation }, label_end);
        }
        if self.byte(label_end) != Some(b'$') {
            return (Kind::Punctuation, at + 1);
        }
        (Kind::Text, self.after(label_end + 1, &self.sql[at..=label_end]))
    }

    fn question(&self) -> (Kind, usize) {
        let at = self.at;
        let next = self.byte(at + 1);
        if self.lexis.question_operators && next == Some(b'?') {
            return (Kind::Escaped, at + 2);
        }
        if self.is_digit(at + 1) {
            return (Kind::Placeholder(Style::NumberedQuestion), self.digits_end(at + 1));
        }
        if self.lexis.question_operators && self.follows_operand() {
            let is_doubled = next == self.byte(at + 2);
            if matches!(next, Some(b'|' | b'&')) && !is_doubled {
                return (Kind::Operator, at + 2);
            }
            if self.begins_operand(at + 1) {
                return (Kind::Operator, at + 1);
            }
        }
        (Kind::Placeholder(Style::Question), at + 1)
    }

    fn colon(&self) -> (Kind, usize) {
        let at = self.at;
        match self.byte(at + 1) {
            Some(b':') => (Kind::Cast, at + 2),
            Some(b'=') => (Kind::Operator, at + 2),
            // `values[low:high]` is a slice.
            _ if self.brackets > 0 && self.follows_operand() => (Kind::Punctuation, at + 1),
            _ => self.named(Style::Colon, Kind::Punctuation),
        }
    }

    fn at_sign(&self) -> (Kind, usize) {
        let at = self.at;
        match self.byte(at + 1) {
            Some(b'@') if self.lexis.at_variables => {
                (Kind::Variable, self.while_byte(at + 2, |byte| is_name(byte) || byte == b'.'))
            }
            Some(b'@' | b'>' | b'?' | b'-') => self.operator(),
            _ => self.named(Style::At, Kind::Operator),
        }
    }

    /// A placeholder by name, unless there is no name or it is glued to what is before: `root@host`.
    fn named(&self, style: Style, otherwise: Kind) -> (Kind, usize) {
        let at = self.at;
        if self.is_name_start(at + 1) && !self.is_glued() {
            return (Kind::Placeholder(style), self.name_end(at + 1));
        }
        (otherwise, at + 1)
    }

    fn percent(&self) -> (Kind, usize) {
        let at = self.at;
        match self.byte(at + 1) {
            Some(b'%') => (Kind::Escaped, at + 2),
            Some(b's') if !self.is_name(at + 2) && !self.follows_value() => {
                (Kind::Placeholder(Style::Percent), at + 2)
            }
            Some(b'(') => self.percent_name().unwrap_or((Kind::Operator, at + 1)),
            _ => (Kind::Operator, at + 1),
        }
    }

    fn percent_name(&self) -> Option<(Kind, usize)> {
        let name = self.at + 2;
        let end = self.name_end(name);
        let is_placeholder =
            self.is_name_start(name) && self.sql[end..].starts_with(")s") && !self.is_name(end + 2);
        is_placeholder.then_some((Kind::Placeholder(Style::PercentName), end + 2))
    }

    /// A word, or the string or name it is the prefix of.
    fn word(&self) -> (Kind, usize) {
        let at = self.at;
        let end = self.while_byte(at, |byte| is_name(byte) || byte == b'$');
        let rest = &self.sql[end..];
        match &self.sql[at..end] {
            "e" | "E" if self.lexis.escape_strings && rest.starts_with('\'') => {
                (Kind::Text, self.continued_end(end))
            }
            "b" | "B" | "n" | "N" | "x" | "X" if rest.starts_with('\'') => {
                (Kind::Text, self.quoted_end(end, self.lexis.backslash_escapes))
            }
            "u" | "U" if self.lexis.escape_strings && rest.starts_with("&'") => {
                (Kind::Text, self.quoted_end(end + 1, false))
            }
            "u" | "U" if self.lexis.escape_strings && rest.starts_with("&\"") => {
                (Kind::Name, self.quoted_end(end + 1, false))
            }
            _ => (Kind::Word, end),
        }
    }

    fn operator(&self) -> (Kind, usize) {
        let rest = &self.sql[self.at..];
        let is_known = |operator: &&&str| {
            let is_own = !operator.starts_with("<@") || self.lexis.question_operators;
            is_own && rest.starts_with(**operator)
        };
        if let Some(operator) = OPERATORS.iter().find(is_known) {
            return (Kind::Operator, self.at + operator.len());
        }
        let character = rest.chars().next().unwrap_or_default();
        let is_operator = "+-*/<>=~!@#%^&|".contains(character);
        let kind = if is_operator { Kind::Operator } else { Kind::Punctuation };
        (kind, self.at + character.len_utf8())
    }

    /// The beginning of a comment whose content counts, or the end of one.
    fn condition(&mut self, first: u8) -> Option<(Kind, usize)> {
        let rest = &self.sql[self.at..];
        if first == b'*' && self.conditions > 0 && rest.starts_with("*/") {
            self.conditions -= 1;
            return Some((Kind::Condition, self.at + 2));
        }
        let opening = if first == b'/' && self.lexis.conditional_comments {
            ["/*!", "/*M!"].into_iter().find(|opening| rest.starts_with(opening))?
        } else {
            return None;
        };
        self.conditions += 1;
        Some((Kind::Condition, self.digits_end(self.at + opening.len())))
    }
}

/// What is at a place, and where what begins there ends.
impl Tokens<'_> {
    fn byte(&self, at: usize) -> Option<u8> {
        self.sql.as_bytes().get(at).copied()
    }

    fn is_digit(&self, at: usize) -> bool {
        self.byte(at).is_some_and(|byte| byte.is_ascii_digit())
    }

    fn is_name(&self, at: usize) -> bool {
        self.byte(at).is_some_and(is_name)
    }

    fn is_name_start(&self, at: usize) -> bool {
        self.byte(at).is_some_and(is_name_start)
    }

    fn space_end(&self, at: usize) -> Option<usize> {
        // Some editors begin a file with a mark of the byte order.
        let begin =
            if at == 0 && self.sql.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { at };
        let end = self.while_byte(begin, |byte| byte.is_ascii_whitespace() || byte == 0x0b);
        (end > at).then_some(end)
    }

    fn comment_end(&self, at: usize) -> Option<usize> {
        match (self.byte(at)?, self.byte(at + 1)) {
            (b'#', _) if self.lexis.hash_comments => Some(self.line_end(at)),
            (b'-', Some(b'-')) if !self.lexis.dashes_need_space || self.is_blank(at + 2) => {
                Some(self.line_end(at))
            }
            (b'/', Some(b'*')) if self.lexis.nested_comments => Some(self.nested_end(at + 2)),
            (b'/', Some(b'*')) => Some(self.after(at + 2, "*/")),
            _ => None,
        }
    }

    /// Whether the text ends at `at`, or goes on with a space.
    fn is_blank(&self, at: usize) -> bool {
        self.byte(at).is_none_or(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control())
    }

    fn line_end(&self, at: usize) -> usize {
        self.while_byte(at, |byte| !self.ends_line(byte))
    }

    /// Databases that have strings with a prefix for escapes end lines as old editors did, too.
    fn ends_line(&self, byte: u8) -> bool {
        byte == b'\n' || (byte == b'\r' && self.lexis.escape_strings)
    }

    /// As [`quoted_end`](Self::quoted_end) with escapes, which hold in all parts of a string: another
    /// part may follow in another line.
    fn continued_end(&self, open: usize) -> usize {
        let mut end = self.quoted_end(open, true);
        while let Some(next) = self.next_part(end) {
            end = self.quoted_end(next, true);
        }
        end
    }

    /// Where the next part of a string begins that could end at `end`.
    fn next_part(&self, end: usize) -> Option<usize> {
        let mut at = end;
        let mut is_other_line = false;
        loop {
            match (self.byte(at)?, self.byte(at + 1)) {
                (b'\'', _) => return is_other_line.then_some(at),
                (b'-', Some(b'-')) => at = self.line_end(at),
                (byte, _) if byte.is_ascii_whitespace() || byte == 0x0b => {
                    is_other_line |= self.ends_line(byte);
                    at += 1;
                }
                _ => return None,
            }
        }
    }

    fn nested_end(&self, mut at: usize) -> usize {
        let mut depth = 1_usize;
        while let Some(byte) = self.byte(at) {
            let step = match (byte, self.byte(at + 1)) {
                (b'/', Some(b'*')) => {
                    depth += 1;
                    2
                }
                (b'*', Some(b'/')) => {
                    depth -= 1;
                    2
                }
                _ => 1,
            };
            at += step;
            if depth == 0 {
                return at;
            }
        }
        self.sql.len()
    }

    /// After the closing quote of what is opened at `open`. A doubled quote does not close.
    fn quoted_end(&self, open: usize, has_escapes: bool) -> usize {
        let quote = self.byte(open);
        let mut at = open + 1;
        while let Some(byte) = self.byte(at) {
            at += match Some(byte) {
                Some(b'\\') if has_escapes => 2,
                byte if byte != quote => 1,
                _ if self.byte(at + 1) == quote => 2,
                _ => return at + 1,
            };
        }
        self.sql.len()
    }

    /// After the next `closing`, or the end.
    fn after(&self, from: usize, closing: &str) -> usize {
        self.sql[from..].find(closing).map_or(self.sql.len(), |at| from + at + closing.len())
    }

    fn number_end(&self, at: usize) -> usize {
        let whole = self.while_byte(at, is_name);
        if self.sql[at..whole].contains(['e', 'E']) {
            return self.exponent_end(whole);
        }
        let has_fraction = self.byte(whole) == Some(b'.');
        if !has_fraction {
            return whole;
        }
        let fraction = self.while_byte(whole + 1, |byte| byte.is_ascii_digit() || byte == b'_');
        match self.byte(fraction) {
            Some(b'e' | b'E') if self.is_digit(fraction + 1) => self.digits_end(fraction + 1),
            Some(b'e' | b'E') if matches!(self.byte(fraction + 1), Some(b'+' | b'-')) => {
                self.exponent_end(fraction + 1)
            }
            _ => fraction,
        }
    }

    /// After the sign and the digits of an exponent whose `e` is before `at`.
    fn exponent_end(&self, at: usize) -> usize {
        let is_signed = matches!(self.byte(at), Some(b'+' | b'-')) && self.is_digit(at + 1);
        let follows_letter = at.checked_sub(1).and_then(|before| self.byte(before));
        match follows_letter {
            Some(b'e' | b'E') if is_signed => self.digits_end(at + 1),
            _ => at,
        }
    }

    fn digits_end(&self, at: usize) -> usize {
        self.while_byte(at, |byte| byte.is_ascii_digit())
    }

    fn name_end(&self, at: usize) -> usize {
        if self.is_name_start(at) { self.while_byte(at, is_name) } else { at }
    }

    fn while_byte(&self, at: usize, holds: impl Fn(u8) -> bool) -> usize {
        let rest = self.sql.as_bytes().get(at..).unwrap_or_default();
        at + rest.iter().position(|&byte| !holds(byte)).unwrap_or(rest.len())
    }
}

/// What is around the place where the next token begins.
impl Tokens<'_> {
    /// Whether a value ends before it, so that only an operator can follow.
    fn follows_operand(&self) -> bool {
        self.last.is_some_and(|last| last.ends_operand(self.sql))
    }

    /// The same, less sure: any word may be one of the language that is not in our list.
    fn follows_value(&self) -> bool {
        self.last.is_some_and(|last| last.kind != Kind::Word && last.ends_operand(self.sql))
    }

    /// Whether a name, a number or a string ends right before it.
    fn is_glued(&self) -> bool {
        let glues = |kind| {
            matches!(kind, Kind::Word | Kind::Name | Kind::Text | Kind::Number | Kind::Variable)
        };
        self.last.is_some_and(|last| last.end == self.at && glues(last.kind))
    }

    /// Whether a value begins after `at`, after spaces and comments.
    fn begins_operand(&self, mut at: usize) -> bool {
        while let Some(end) = self.space_end(at).or_else(|| self.comment_end(at)) {
            at = end;
        }
        let Some(first) = self.byte(at) else { return false };
        match first {
            b'\'' | b'"' | b'(' | b'?' | b'$' | b'0'..=b'9' => true,
            b':' | b'@' => self.is_name_start(at + 1),
            b'%' => matches!(self.byte(at + 1), Some(b's' | b'(')),
            _ if is_name_start(first) => keywords::begins_operand(&self.sql[at..self.name_end(at)]),
            _ => false,
        }
    }

    fn count_brackets(&mut self, token: &Token) {
        if token.kind != Kind::Punctuation {
            return;
        }
        match token.text(self.sql) {
            "[" => self.brackets += 1,
            "]" => self.brackets = self.brackets.saturating_sub(1),
            _ => {}
        }
    }
}

fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || !byte.is_ascii()
}

fn is_name(byte: u8) -> bool {
    is_name_start(byte) || byte.is_ascii_digit()
}

/// Operators of several characters, those before that begin like another one.
const OPERATORS: &[&str] = &[
    "<->", "->>", "#>>", "<=>", "!~*", "||/", "@@@", "@-@", "->", "#>", "#-", "@>", "<@", "@@",
    "@?", "||", "&&", "=>", "<=", ">=", "<>", "!=", "<<", ">>", "~*", "!~", "|/", "^@",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Dialect;
    use crate::sql::dialects::{ALL, MYSQL, POSTGRES, SQLITE};

    fn read<'s>(sql: &'s str, dialect: &Dialect) -> Vec<(Kind, &'s str)> {
        tokens(sql, dialect.lexis)
            .filter(|token| token.kind != Kind::Space)
            .map(|token| (token.kind, token.text(sql)))
            .collect()
    }

    fn only(sql: &str, dialect: &Dialect, kind: Kind) {
        assert_eq!(read(sql, dialect), [(kind, sql)], "{}", dialect.name);
    }

    #[test]
    fn a_string_of_any_sort_is_one_token() {
        for dialect in ALL {
            for sql in ["''", "'it''s :no ?'", "N'x'", "x'00'", "B'1'", "'a\n-- b'", "'ü?'"] {
                only(sql, dialect, Kind::Text);
            }
        }
        for sql in [r"E'\':no'", "$$ $1 'x $$", "$a$ $$ $b$ $a$", "U&'x'", r"'\'", "$ü$ $1 $ü$"] {
            only(sql, &POSTGRES, Kind::Text);
        }
        for sql in [r"'\':no'", r#""it\"s ?""#, "\"a'b\""] {
            only(sql, &MYSQL, Kind::Text);
        }
    }

    #[test]
    fn a_name_in_quotes_is_one_token() {
        only(r#""col?""#, &POSTGRES, Kind::Name);
        only(r#""a"":b""#, &SQLITE, Kind::Name);
        only("`a``:b`", &MYSQL, Kind::Name);
        only("[a :b]", &SQLITE, Kind::Name);
    }

    #[test]
    fn a_comment_of_any_sort_is_one_token() {
        for dialect in ALL {
            only("-- :no ' ?", dialect, Kind::Comment);
            only("/* :no ' ? */", dialect, Kind::Comment);
        }
        only("/* a /* b */ ? */", &POSTGRES, Kind::Comment);
        only("# ? '", &MYSQL, Kind::Comment);
        assert_eq!(read("/* a /* b */ 1", &SQLITE).last(), Some(&(Kind::Number, "1")));
        assert_eq!(read("1--1", &MYSQL).len(), 4, "no space, no comment");
    }

    #[test]
    fn a_comment_ends_where_the_server_ends_the_line() {
        assert_eq!(
            read("-- a\rcommit", &POSTGRES),
            [(Kind::Comment, "-- a"), (Kind::Word, "commit")]
        );
        for dialect in [&MYSQL, &SQLITE] {
            only("-- a\rcommit", dialect, Kind::Comment);
        }
    }

    #[test]
    fn a_string_with_escapes_has_them_in_its_other_lines_too() {
        for sql in ["E'a'\n'\\''", "E'a' \r\t'\\';'", "E'a' -- '\n -- b\n'\\''\n'c'"] {
            only(sql, &POSTGRES, Kind::Text);
        }
        let apart = [(Kind::Text, "E'a'"), (Kind::Text, "'b'")];
        assert_eq!(read("E'a' 'b'", &POSTGRES), apart, "in one line it is another string");
        assert_eq!(read("E'a'\n/* c */'\\'", &POSTGRES).len(), 3, "such a comment is no space");
        assert_eq!(read("'a'\n'\\'", &POSTGRES).len(), 2, "no escapes, no difference");
    }

    #[test]
    fn a_conditional_comment_is_read_as_it_runs() {
        assert_eq!(
            read("/*!50100 a ? */", &MYSQL),
            [
                (Kind::Condition, "/*!50100"),
                (Kind::Word, "a"),
                (Kind::Placeholder(Style::Question), "?"),
                (Kind::Condition, "*/"),
            ]
        );
        only("/*!50100 a ? */", &SQLITE, Kind::Comment);
    }

    #[test]
    fn numbers_are_numbers() {
        for dialect in ALL {
            for sql in ["1", "1.5", ".5", "1e10", "1.5e-3", "1E+3", "0xff", "1_000"] {
                only(sql, dialect, Kind::Number);
            }
        }
        assert_eq!(read("1.into", &POSTGRES).len(), 2);
    }

    #[test]
    fn what_is_opened_and_not_closed_goes_to_the_end() {
        for sql in ["'a ?", "/* a ?", "$$ a ?", "$x$ a $$ ?", "\"a ?", r"E'\"] {
            assert_eq!(read(sql, &POSTGRES).len(), 1, "{sql}");
        }
        assert_eq!(read(r"'\", &MYSQL).len(), 1);
        assert_eq!(read("[a", &SQLITE).len(), 1);
    }

    #[test]
    fn no_text_makes_it_look_ahead_again_and_again() {
        // Texts on which careless look-ahead would go to the end again and again.
        for unit in
            ["$a", "a ? ", "a ?/*", "/*", "%(", "'", "$$", "a ? -- x\n", "[", "@", "$a$", "E''\n"]
        {
            for dialect in ALL {
                let sql = unit.repeat(100_000);
                let end = tokens(&sql, dialect.lexis).last().map(|token| token.end);
                assert_eq!(end, Some(sql.len()));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn all_tokens_together_are_the_text(sql in any_text()) {
            for dialect in ALL {
                let mut at = 0;
                for token in tokens(&sql, dialect.lexis) {
                    prop_assert_eq!(token.start, at);
                    prop_assert!(token.end > at);
                    prop_assert!(sql.is_char_boundary(token.end));
                    at = token.end;
                }
                prop_assert_eq!(at, sql.len());
            }
        }
    }

    fn any_text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            4 => prop::sample::select(PIECES).prop_map(str::to_owned),
            1 => ".{0,6}",
        ];
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    const PIECES: &[&str] = &[
        "'", "''", "\"", "`", "[", "]", "\\", "--", "#", "/*", "*/", "/*!", "$", "$$", "$a$", "$1",
        "?", "??", "?1", "?|", ":", "::", ":a", ":=", "@", "@@", "@a", "%", "%%", "%s", "%(a)s",
        "%(", "\r", "E'", "N'", "U&'", ";", "(", ")", ",", ".", "1", "1.", "e", "1e", "+", "-",
        " ", "\n", "\t", "select", "ü", "\u{feff}",
    ];
}
