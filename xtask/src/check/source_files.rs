//! Every Rust file under `src/` is declared, so that none is silently not compiled.
//!
//! A driver whose file is missing from the list in `drivers/mod.rs` would compile, pass all tests,
//! and not exist. Read from the text, not from the compiler, because the compiler only sees what
//! the current platform and features let through.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::Found;
use crate::workspace::{Member, Workspace};

pub(super) fn check(workspace: &Workspace) -> Found {
    let read = |path: &Path| workspace.read(path).ok();
    let undeclared = |member| undeclared(member, &workspace.files, &read);
    workspace.members().flat_map(undeclared).collect::<Vec<_>>().into()
}

fn undeclared(
    member: &Member,
    files: &[PathBuf],
    read: &dyn Fn(&Path) -> Option<String>,
) -> Vec<String> {
    let folder = member.folder.join("src");
    let mut reached = BTreeSet::new();
    for source in member.sources.iter().filter(|source| source.starts_with(&folder)) {
        reach(source, true, read, &mut reached);
    }
    let is_rust = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    let ours = files.iter().filter(|path| path.starts_with(&folder)).filter(is_rust);
    let undeclared = ours.filter(|path| !reached.contains(*path));
    undeclared.map(|path| explain(path, read)).collect()
}

/// Adds a file and everything it declares.
fn reach(
    path: &Path,
    is_root: bool,
    read: &dyn Fn(&Path) -> Option<String>,
    reached: &mut BTreeSet<PathBuf>,
) {
    let Some(text) = read(path) else { return };
    if !reached.insert(path.to_owned()) {
        return;
    }
    for declaration in declarations(&text) {
        for candidate in declaration.candidates(path, is_root) {
            reach(&candidate, false, read, reached);
        }
    }
}

fn explain(path: &Path, read: &dyn Fn(&Path) -> Option<String>) -> String {
    let name = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    // The module of `a/mod.rs` is `a`, and is declared beside `a`.
    let module = if name(path) == "mod" { path.parent().unwrap_or(path) } else { path };
    let folder = module.parent().unwrap_or(module);
    let above = ["mod.rs", "lib.rs", "main.rs"].map(|file| folder.join(file));
    let parent = above.into_iter().find(|parent| read(parent).is_some());
    let parent = parent.unwrap_or_else(|| folder.with_extension("rs"));
    format!(
        "{} is not compiled, because nothing declares it: add `mod {};` to {}",
        path.display(),
        name(module),
        parent.display()
    )
}

/// A module whose text is in another file.
#[derive(Debug, PartialEq, Eq)]
struct Declaration {
    /// The modules around it in the same file.
    within: Vec<String>,
    name: String,
    /// What `#[path = "…"]` says.
    paths: Vec<String>,
    /// Whether it may also be where it would be without a `#[path]`.
    is_usual: bool,
}

impl Declaration {
    /// Where the module may be, if it is declared in this file.
    fn candidates(&self, file: &Path, is_root: bool) -> Vec<PathBuf> {
        let beside = file.parent().unwrap_or(file);
        let owns_folder = is_root || file.ends_with("mod.rs");
        let below = if owns_folder { beside.to_owned() } else { file.with_extension("") };
        let inner = self.within.iter().fold(below, |folder, name| folder.join(name));
        let from = if self.within.is_empty() { beside } else { &inner };
        let mut candidates: Vec<_> =
            self.paths.iter().map(|path| without_dots(&from.join(path))).collect();
        if self.is_usual {
            candidates.push(inner.join(format!("{}.rs", self.name)));
            candidates.push(inner.join(&self.name).join("mod.rs"));
        }
        candidates
    }
}

/// The modules a file declares and leaves to other files.
///
/// A list may be a macro (`drivers! { memory, redis }`), which this cannot expand. So every word in
/// a macro call between items counts as a declaration; where no such file exists it means nothing.
fn declarations(text: &str) -> Vec<Declaration> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    let mut scopes: Vec<Scope> = Vec::new();
    let mut paths = Vec::new();
    let mut is_usual = true;
    let mut position = 0;
    while let Some(token) = tokens.get(position) {
        let rest = &tokens[position + 1..];
        position += 1;
        match (token, rest) {
            (
                Token::Mark('#'),
                [Token::Mark('['), ..] | [Token::Mark('!'), Token::Mark('['), ..],
            ) => {
                let end = position + group_length(rest);
                let attribute = &tokens[position..end];
                paths.extend(path_in(attribute));
                let is_conditional = attribute.get(1) == Some(&Token::word("cfg_attr"));
                is_usual &= is_conditional || path_in(attribute).is_none();
                position = end;
            }
            (Token::Word(word), [Token::Word(name), after, ..]) if word == "mod" => {
                if *after == Token::Mark('{') {
                    scopes.push(Scope::Module(name.clone()));
                    position += 2;
                } else if let Some(within) = modules(&scopes) {
                    let name = name.clone();
                    found.push(Declaration { within, name, paths: paths.clone(), is_usual });
                }
                (paths, is_usual) = (Vec::new(), true);
            }
            (Token::Word(word), [Token::Mark('!'), Token::Word(_), ..])
                if word == "macro_rules" =>
            {
                position += 2 + group_length(&rest[2..]);
            }
            (Token::Word(word), [Token::Mark('!'), Token::Mark('(' | '[' | '{'), ..]) => {
                let Some(within) = modules(&scopes) else { continue };
                let end = position + group_length(rest);
                let body = &tokens[position..end];
                found.extend(body.iter().filter_map(|token| in_call(word, &within, token)));
                position = end;
            }
            (Token::Mark('{'), _) => scopes.push(Scope::Other),
            (Token::Mark('}'), _) => {
                scopes.pop();
                (paths, is_usual) = (Vec::new(), true);
            }
            (Token::Mark(';'), _) => (paths, is_usual) = (Vec::new(), true),
            _ => {}
        }
    }
    found
}

/// What a token in the call of this macro declares.
fn in_call(macro_name: &str, within: &[String], token: &Token) -> Option<Declaration> {
    match token {
        Token::Word(name) => Some(Declaration {
            within: within.to_vec(),
            name: name.clone(),
            paths: Vec::new(),
            is_usual: true,
        }),
        Token::Text(path) if macro_name == "include" => Some(Declaration {
            within: Vec::new(),
            name: String::new(),
            paths: vec![path.clone()],
            is_usual: false,
        }),
        Token::Text(_) | Token::Mark(_) => None,
    }
}

/// What a brace opened.
enum Scope {
    Module(String),
    Other,
}

/// The modules around the current place, or `None` inside a function or type.
fn modules(scopes: &[Scope]) -> Option<Vec<String>> {
    let module = |scope: &Scope| match scope {
        Scope::Module(name) => Some(name.clone()),
        Scope::Other => None,
    };
    scopes.iter().map(module).collect()
}

/// How many tokens there are up to the end of the first group in brackets.
fn group_length(tokens: &[Token]) -> usize {
    let mut depth = 0;
    for (position, token) in tokens.iter().enumerate() {
        match token {
            Token::Mark('(' | '[' | '{') => depth += 1,
            Token::Mark(')' | ']' | '}') if depth == 1 => return position + 1,
            Token::Mark(')' | ']' | '}') => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}

/// The text of `path = "…"`.
fn path_in(attribute: &[Token]) -> Option<String> {
    attribute.windows(3).find_map(|tokens| match tokens {
        [Token::Word(key), Token::Mark('='), Token::Text(path)] if key == "path" => {
            Some(path.clone())
        }
        _ => None,
    })
}

fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    /// What stands between quotes.
    Text(String),
    Mark(char),
}

impl Token {
    fn word(text: &str) -> Self {
        Self::Word(text.to_owned())
    }
}

/// Rust text without its comments and spaces, cut as finely as finding declarations needs.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length;
        if rest.starts_with("//") {
            length = rest.find('\n').unwrap_or(rest.len());
        } else if rest.starts_with("/*") {
            length = comment_length(rest);
        } else if let Some((start, end, whole)) = string(rest) {
            tokens.push(Token::Text(rest[start..end].to_owned()));
            length = whole;
        } else if first == '\'' {
            length = quote_length(rest);
        } else if is_word_part(first) {
            let raw = rest.strip_prefix("r#").unwrap_or(rest);
            let end = raw.find(|c| !is_word_part(c)).unwrap_or(raw.len());
            tokens.push(Token::word(&raw[..end]));
            length = rest.len() - raw.len() + end;
        } else {
            if !first.is_whitespace() {
                tokens.push(Token::Mark(first));
            }
            length = first.len_utf8();
        }
        rest = &rest[length..];
    }
    tokens
}

fn is_word_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn comment_length(text: &str) -> usize {
    let mut depth = 0;
    let mut length = 0;
    while length < text.len() {
        let rest = &text[length..];
        if rest.starts_with("/*") {
            depth += 1;
            length += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            length += 2;
            if depth == 0 {
                break;
            }
        } else {
            length += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    length
}

/// Where the content of a string literal starts and ends, and where the literal ends.
fn string(text: &str) -> Option<(usize, usize, usize)> {
    let unprefixed = text.trim_start_matches(['b', 'c']);
    let prefix = text.len() - unprefixed.len();
    if prefix > 1 {
        return None;
    }
    if let Some(raw) = unprefixed.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let content = raw[hashes..].strip_prefix('"')?;
        let close = format!("\"{}", "#".repeat(hashes));
        let end = content.find(&close).unwrap_or(content.len());
        let start = text.len() - content.len();
        return Some((start, start + end, (start + end + close.len()).min(text.len())));
    }
    let content = unprefixed.strip_prefix('"')?;
    let start = text.len() - content.len();
    let mut is_escaped = false;
    for (position, c) in content.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return Some((start, start + position, start + position + 1)),
            _ => {}
        }
    }
    Some((start, text.len(), text.len()))
}

/// The length of a character literal, or of the quote that begins a lifetime.
fn quote_length(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    match (characters.next(), characters.next()) {
        (Some((_, '\\')), Some((after, escaped))) => {
            // The escaped character may itself be a quote.
            let after = after + escaped.len_utf8();
            text[after..].find('\'').map_or(text.len(), |end| after + end + 1)
        }
        (Some(_), Some((end, '\''))) => end + 1,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn declared_files_are_found_at_every_depth() {
        check(
            &[
                ("src/lib.rs", "mod a;\npub(crate) mod b;"),
                ("src/a.rs", "mod below;"),
                ("src/a/below.rs", ""),
                ("src/b/mod.rs", "mod beside;"),
                ("src/b/beside.rs", ""),
            ],
            &[],
        );
    }

    #[test]
    fn a_driver_missing_from_the_list_is_named_with_the_list() {
        check(
            &[
                ("src/lib.rs", "mod drivers;"),
                ("src/drivers/mod.rs", "mod memory;"),
                ("src/drivers/memory.rs", ""),
                ("src/drivers/redis.rs", ""),
            ],
            &["src/drivers/redis.rs is not compiled, because nothing declares it: \
               add `mod redis;` to src/drivers/mod.rs"],
        );
    }

    #[test]
    fn what_only_an_undeclared_file_declares_is_undeclared() {
        check(
            &[("src/lib.rs", ""), ("src/a/mod.rs", "mod b;"), ("src/a/b.rs", "")],
            &["add `mod b;` to src/a/mod.rs", "add `mod a;` to src/lib.rs"],
        );
    }

    #[test]
    fn a_list_may_be_a_macro() {
        let files = [
            ("src/lib.rs", "drivers! { #[cfg(feature = \"redis\")] redis => Redis }"),
            ("src/redis.rs", ""),
        ];
        check(&files, &[]);
    }

    #[test]
    fn words_of_a_macro_inside_a_function_declare_nothing() {
        check(
            &[("src/lib.rs", "fn f() { vec![redis]; }"), ("src/redis.rs", "")],
            &["src/redis.rs is not compiled"],
        );
    }

    #[test]
    fn comments_and_strings_declare_nothing() {
        let lib = r##"
            // mod a;
            /* mod b; /* nested */ mod c; */
            const D: &str = "\" mod d;";
            const E: &str = r#"" mod e;"#;
            const F: (char, char) = ('"', '\''); // "
            fn g<'a>(_: &'a str) {}
            mod h;
        "##;
        let names: Vec<_> = declarations(lib).into_iter().map(|found| found.name).collect();
        assert_eq!(names, ["h"]);
    }

    #[test]
    fn a_module_with_a_body_is_a_folder() {
        check(
            &[
                ("src/lib.rs", "mod a { mod b; fn f() {} } mod c;"),
                ("src/a/b.rs", ""),
                ("src/c.rs", ""),
            ],
            &[],
        );
        check(
            &[("src/lib.rs", "mod a { mod b; }"), ("src/b.rs", "")],
            &["src/b.rs is not compiled"],
        );
    }

    #[test]
    fn a_path_attribute_says_where() {
        check(&[("src/lib.rs", "#[path = \"x/y.rs\"] mod a;"), ("src/x/y.rs", "")], &[]);
        check(
            &[
                ("src/lib.rs", "#[path = \"y.rs\"] mod a; mod b;"),
                ("src/a.rs", ""),
                ("src/b.rs", ""),
                ("src/y.rs", ""),
            ],
            &["src/a.rs is not compiled"],
        );
    }

    #[test]
    fn a_conditional_path_leaves_the_usual_one() {
        check(
            &[
                ("src/lib.rs", "#[cfg_attr(windows, path = \"w.rs\")]\npub mod a;"),
                ("src/a.rs", ""),
                ("src/w.rs", ""),
            ],
            &[],
        );
    }

    #[test]
    fn an_included_file_is_compiled() {
        check(&[("src/lib.rs", "include!(\"x/../table.rs\");"), ("src/table.rs", "")], &[]);
    }

    #[test]
    fn the_definition_of_a_macro_declares_nothing() {
        check(
            &[("src/lib.rs", "macro_rules! list { (a) => { mod a; } }"), ("src/a.rs", "")],
            &["src/a.rs is not compiled"],
        );
    }

    /// Each problem found holds the expected part, in order of the files' names.
    fn check(files: &[(&str, &str)], expected: &[&str]) {
        let texts: BTreeMap<PathBuf, &str> =
            files.iter().map(|(path, text)| (PathBuf::from(path), *text)).collect();
        let paths: Vec<PathBuf> = texts.keys().cloned().collect();
        let member = Member { sources: vec!["src/lib.rs".into()], ..Member::default() };
        let read = |path: &Path| texts.get(path).map(|text| (*text).to_owned());
        let found = undeclared(&member, &paths, &read);
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found}\ndoes not hold\n{expected}");
        }
    }
}
