//! What was typed of statements that have not come to their end.

use switchboard_core::{Error, ErrorKind, Result};
use switchboard_database::Lexis;
use switchboard_database::sql::split;

/// What was typed since the last statement ended.
#[derive(Debug)]
pub(super) struct Typed {
    lexis: Lexis,
    text: String,
    /// The line that says what ends a statement, where one said so.
    delimiter: Option<String>,
}

impl Typed {
    pub(super) fn read_as(lexis: Lexis) -> Self {
        Self { lexis, text: String::new(), delimiter: None }
    }

    /// Whether there is something that has not come to its end.
    pub(super) fn is_begun(&self) -> bool {
        !self.text.is_empty()
    }

    pub(super) fn forget(&mut self) {
        self.text.clear();
    }

    /// Adds a line; answers with all that was typed if every statement in it has come to its end.
    pub(super) fn add(&mut self, line: &str) -> Result<Option<String>> {
        if self.text.len() + line.len() > BYTES_MAX {
            self.forget();
            return Err(Error::new(ErrorKind::TooLarge, "a statement is too long")
                .with_context("bytes_max", BYTES_MAX));
        }
        let is_first = !self.is_begun();
        self.text.push_str(line);
        self.text.push('\n');
        // Only what can end a statement is worth a look at all of it.
        let may_end = is_first || line.contains(self.end());
        if !may_end || !self.is_ended() {
            return Ok(None);
        }
        let text = std::mem::take(&mut self.text);
        if is_first && is_delimiter(&text) {
            self.delimiter = Some(text);
            return Ok(None);
        }
        Ok(Some(self.delimiter.clone().unwrap_or_default() + &text))
    }

    /// The statements of what [`add`](Self::add) answered.
    pub(super) fn statements<'t>(&self, text: &'t str) -> Vec<&'t str> {
        split(text, self.lexis).into_iter().map(|part| part.sql).collect()
    }

    /// What comes next would be a statement of its own, and not a part of the last one.
    fn is_ended(&self) -> bool {
        let delimiter = self.delimiter.as_deref().unwrap_or_default();
        let text = format!("{delimiter}{}{NEXT}", self.text);
        split(&text, self.lexis).last().is_some_and(|last| last.sql == NEXT)
    }

    /// What ends a statement.
    fn end(&self) -> &str {
        let line = self.delimiter.as_deref();
        line.and_then(|line| line.split_whitespace().nth(1)).unwrap_or(";")
    }
}

/// Whether a line says what ends a statement from there on.
fn is_delimiter(line: &str) -> bool {
    let mut words = line.split_whitespace();
    words.next().is_some_and(|word| word.eq_ignore_ascii_case("delimiter"))
        && words.next().is_some()
}

/// Something that could come next.
const NEXT: &str = "next";

/// How long statements may be, in bytes.
const BYTES_MAX: usize = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is run after each line.
    fn run(lines: &[&str]) -> Vec<Vec<String>> {
        let mut typed = Typed::read_as(Lexis::default());
        let mut run = |line: &&str| match typed.add(line).unwrap() {
            None => Vec::new(),
            Some(text) => typed.statements(&text).into_iter().map(str::to_owned).collect(),
        };
        lines.iter().map(&mut run).collect()
    }

    #[test]
    fn a_statement_runs_when_it_has_come_to_its_end() {
        assert_eq!(run(&["select", "  1", ";"]), [vec![], vec![], vec!["select\n  1"]]);
        assert_eq!(run(&["select 1; select 2;"]), [vec!["select 1", "select 2"]]);
        assert_eq!(run(&["select 1; select", "2;"]), [vec![], vec!["select 1", "select\n2"]]);
    }

    #[test]
    fn a_semicolon_inside_of_something_ends_nothing() {
        assert_eq!(run(&["select ';", "';"]), [vec![], vec!["select ';\n'"]]);
        assert_eq!(run(&["select /* ;", "; */ 1;"]), [vec![], vec!["select /* ;\n; */ 1"]]);
        let trigger = ["create trigger t begin", "a;", "end;"];
        assert_eq!(run(&trigger), [vec![], vec![], vec!["create trigger t begin\na;\nend"]]);
    }

    #[test]
    fn a_line_of_comments_begins_nothing() {
        let mut typed = Typed::read_as(Lexis::default());
        for line in ["-- nothing", "", "  ", "/* nothing */", ";"] {
            let text = typed.add(line).unwrap().unwrap();
            assert_eq!((typed.statements(&text).len(), typed.is_begun()), (0, false), "{line}");
        }
    }

    #[test]
    fn what_ends_a_statement_can_be_said() {
        let lines = ["delimiter //", "select 1;", "select 2 //", "delimiter ;", "select 3;"];
        assert_eq!(
            run(&lines),
            [vec![], vec![], vec!["select 1;\nselect 2"], vec![], vec!["select 3"]]
        );
    }

    proptest! {
        /// Whatever lines a script is typed in: what runs is what it consists of.
        #[test]
        fn typing_runs_what_the_script_consists_of(script in "([a;('\")/*\n -]|select){0,40}") {
            let mut typed = Typed::read_as(Lexis::default());
            let mut ran: Vec<String> = Vec::new();
            for line in script.lines() {
                if let Some(text) = typed.add(line).unwrap() {
                    ran.extend(typed.statements(&text).into_iter().map(str::to_owned));
                }
            }
            let all = split(&script, Lexis::default());
            let all = all.iter().map(|part| part.sql).collect::<Vec<_>>();
            prop_assert!(all.len() >= ran.len());
            prop_assert_eq!(&all[..ran.len()], &ran);
            prop_assert!(typed.is_begun() || all.len() == ran.len());
        }
    }
}
