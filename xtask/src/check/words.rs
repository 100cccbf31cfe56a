//! Words that never go in: paths of one machine, and marks of unfinished work.

use std::path::Path;

use super::Found;
use crate::workspace::Workspace;

/// Folders of particular machines. In pieces, so that this file does not hold what it forbids.
const PATHS: &[&str] = &[concat!("/wo", "rk/"), concat!("/fa", "rm/")];

/// Marks of unfinished work, as whole words.
const MARKS: &[&str] = &[
    concat!("to", "do!"),
    concat!("unimpl", "emented!"),
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
];

pub(super) fn check(workspace: &Workspace) -> Found {
    let mut problems = Vec::new();
    for path in &workspace.files {
        // What is not text cannot hold a word.
        let Ok(text) = std::fs::read_to_string(workspace.root.join(path)) else { continue };
        problems.extend(problems_in(path, &text));
    }
    problems.into()
}

fn problems_in(path: &Path, text: &str) -> Vec<String> {
    let is_rust = path.extension().is_some_and(|extension| extension == "rs");
    let mut problems = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let place = format!("{}:{}", path.display(), number + 1);
        for word in PATHS.iter().filter(|word| line.contains(**word)) {
            problems.push(format!("{place}: `{word}` is a path of one machine"));
        }
        for word in MARKS.iter().filter(|word| is_rust && has_word(line, word)) {
            problems.push(format!("{place}: `{word}`: finish it, or open an issue"));
        }
    }
    problems
}

fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + word.len()..].chars().next();
        // After a `!` the word has ended whatever follows.
        let ends = word.ends_with('!') || !after.is_some_and(is_part);
        ends && !before.is_some_and(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_one_machine_is_found_in_any_text() {
        let text = format!("first\nsee {}notes.txt", PATHS[0]);
        let problems = problems_in(Path::new("README.md"), &text);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("README.md:2: "), "{}", problems[0]);
    }

    #[test]
    fn marks_of_unfinished_work_are_found_in_rust_only() {
        for mark in MARKS {
            let text = format!("fn f() {{ {mark}() }}");
            assert_eq!(problems_in(Path::new("a.rs"), &text).len(), 1, "{mark}");
            assert_eq!(problems_in(Path::new("a.md"), &text), [""; 0]);
        }
    }

    #[test]
    fn a_mark_inside_a_longer_word_is_none() {
        let longer = format!("let {0}_LIST = MAS{0}; my_{1}()", MARKS[2], MARKS[0]);
        assert_eq!(problems_in(Path::new("a.rs"), &longer), [""; 0]);
    }
}
