//! Licence expressions, as crates write them: `(MIT OR Apache-2.0) AND Unicode-3.0`.
//!
//! `WITH` binds tighter than `AND`, `AND` tighter than `OR`. The slash of old manifests
//! (`MIT/Apache-2.0`) is an `OR`.

use crate::Result;

/// Whether the licences in the list are enough to take what is under this expression.
pub(super) fn is_satisfied(expression: &str, allowed: &[String]) -> Result<bool> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut reader = Reader { words: spaced.split_whitespace().collect(), allowed };
    // The next word is the last one.
    reader.words.reverse();
    let satisfied = reader.any_of()?;
    match reader.words.last() {
        None => Ok(satisfied),
        Some(word) => Err(format!("has an unexpected `{word}`")),
    }
}

struct Reader<'a> {
    words: Vec<&'a str>,
    allowed: &'a [String],
}

impl Reader<'_> {
    fn any_of(&mut self) -> Result<bool> {
        let mut satisfied = self.all_of()?;
        while self.take("OR") {
            // Not `||`: the rest must be read in any case.
            satisfied |= self.all_of()?;
        }
        Ok(satisfied)
    }

    fn all_of(&mut self) -> Result<bool> {
        let mut satisfied = self.one()?;
        while self.take("AND") {
            satisfied &= self.one()?;
        }
        Ok(satisfied)
    }

    fn one(&mut self) -> Result<bool> {
        if self.take("(") {
            let satisfied = self.any_of()?;
            return if self.take(")") { Ok(satisfied) } else { Err("lacks a `)`".to_owned()) };
        }
        let mut license = self.name()?;
        if self.take("WITH") {
            license = format!("{license} WITH {}", self.name()?);
        }
        Ok(self.allowed.contains(&license))
    }

    fn name(&mut self) -> Result<String> {
        match self.words.pop() {
            None => Err("ends where a licence should follow".to_owned()),
            Some(word @ ("AND" | "OR" | "WITH" | "(" | ")")) => {
                Err(format!("has `{word}` where a licence should be"))
            }
            Some(word) => Ok(word.to_owned()),
        }
    }

    fn take(&mut self, word: &str) -> bool {
        self.words.pop_if(|next| *next == word).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_licence_is_in_the_list_or_not() {
        check("MIT", true);
        check("GPL-3.0-only", false);
        check("MIT-0", false);
    }

    #[test]
    fn one_side_of_an_or_is_enough() {
        check("MIT OR GPL-3.0-only", true);
        check("GPL-3.0-only OR MIT", true);
        check("GPL-3.0-only OR AGPL-3.0-only", false);
        check("MIT/Apache-2.0", true);
        check("GPL-3.0-only / MIT", true);
    }

    #[test]
    fn both_sides_of_an_and_are_needed() {
        check("MIT AND Unicode-3.0", true);
        check("MIT AND GPL-3.0-only", false);
        check("(MIT OR Apache-2.0) AND Unicode-3.0", true);
        check("(MIT OR Apache-2.0) AND GPL-3.0-only", false);
    }

    #[test]
    fn and_binds_tighter_than_or() {
        check("MIT OR Apache-2.0 AND GPL-3.0-only", true);
        check("(MIT OR Apache-2.0) AND GPL-3.0-only", false);
        check("GPL-3.0-only AND MIT OR Unicode-3.0", true);
    }

    #[test]
    fn an_exception_belongs_to_its_licence() {
        check("Apache-2.0 WITH LLVM-exception", true);
        check("MIT WITH LLVM-exception", false);
        check("Apache-2.0 WITH LLVM-exception OR GPL-3.0-only", true);
        check("Apache-2.0 WITH Another-exception AND MIT", false);
    }

    #[test]
    fn a_broken_expression_is_an_error() {
        for text in ["", "MIT OR", "OR MIT", "(MIT", "MIT)", "MIT Apache-2.0", "MIT WITH", "()"] {
            assert!(is_satisfied(text, &allowed()).is_err(), "{text}");
        }
    }

    fn check(expression: &str, expected: bool) {
        assert_eq!(is_satisfied(expression, &allowed()), Ok(expected), "{expression}");
    }

    fn allowed() -> Vec<String> {
        ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "Unicode-3.0"]
            .map(str::to_owned)
            .to_vec()
    }
}
