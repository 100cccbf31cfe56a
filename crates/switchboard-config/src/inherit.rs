//! Lets an instance take over the settings of another: `extends = "base"`, and `abstract = true` for
//! what is only a base.
//!
//! Works on the merged tree, before anything is interpolated, so that an unused base needs no
//! variables. Every table of a section inherits from its siblings, over as many steps as there are. The
//! child wins, deep inside of tables; lists are replaced. What is inherited keeps its place in the file,
//! the table itself is where the child was opened. Neither key is inherited, and neither is left.

use std::collections::HashMap;

use switchboard_core::settings::{Node, ProblemKind, Value};
use switchboard_core::{Name, Origin, Problem, Settings};

use crate::tree;

/// What came of it, beside the changed tree.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    pub(crate) problems: Vec<Problem>,
    /// The paths of tables that should have inherited and could not.
    pub(crate) left_alone: Vec<String>,
    /// The bases of each section that nobody extends, under the name of the section.
    pub(crate) bases: Settings,
}

/// Resolves every section of `tree`, and the tables at `deeper`, paths like `["backend", "providers"]`.
///
/// Where not every file could be read, an unknown base is no mistake: it may be in one of those.
pub(crate) fn inherit(tree: &mut Settings, deeper: &[Vec<String>], is_complete: bool) -> Inherited {
    let mut work =
        Work { is_complete, room: SETTINGS_MAX, text_room: TEXT_BYTES_MAX, ..Work::default() };
    // The innermost first, so that a provider is finished when its section is looked at.
    for keys in deeper {
        let path = keys.iter().fold(String::new(), |path, key| tree::below(&path, key));
        if let Some(table) = table_at(tree, keys) {
            work.section(&path, table, deeper);
        }
    }
    for (key, node) in tree.iter_mut() {
        let path = tree::below("", key);
        if let Value::Table(table) = node.value_mut()
            && !deeper.iter().any(|keys| keys.len() == 1 && keys[0] == key)
        {
            let unused = work.section(&path, table, deeper);
            if !unused.is_empty() {
                work.done.bases.insert(key, Node::new(unused, table.origin().clone()));
            }
        }
    }
    work.done
}

fn table_at<'t>(tree: &'t mut Settings, keys: &[String]) -> Option<&'t mut Settings> {
    let mut table = tree;
    for key in keys {
        let Value::Table(inner) = table.child_mut(key)?.value_mut() else { return None };
        table = inner;
    }
    Some(table)
}

#[derive(Default)]
struct Work {
    is_complete: bool,
    /// How many more settings may be made by inheriting, and how many more bytes of text.
    room: usize,
    text_room: usize,
    is_full: bool,
    hints: usize,
    done: Inherited,
}

/// One table of a section, or anything else that stands there.
struct Member {
    key: String,
    node: Node,
    /// What it extends, and where that is said.
    base: Option<(String, Origin)>,
    is_abstract: bool,
    is_extended: bool,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    /// On the way that started at this member.
    OnTheWay(usize),
    Done,
    Failed,
}

impl Work {
    /// Resolves one section. The answer is the bases in it that nobody extends.
    fn section(&mut self, path: &str, section: &mut Settings, deeper: &[Vec<String>]) -> Settings {
        let is_nested = |key: &str| {
            let inner = tree::below(path, key);
            deeper.iter().any(|keys| {
                keys.iter().fold(String::new(), |path, key| tree::below(&path, key)) == inner
            })
        };
        if !section.iter().any(|(_, node)| node.as_table().is_some_and(concerns)) {
            return Settings::at(Origin::Default);
        }
        let mut members = Vec::with_capacity(section.len());
        for (key, node) in section.iter_mut() {
            let place = Node::new(Value::Null, node.origin().clone());
            let node = std::mem::replace(node, place);
            let member = Member::of(key, node);
            let member = if is_nested(key) { member } else { self.read(path, member) };
            members.push(member);
        }
        self.resolve(path, &mut members);
        let mut rest = Settings::at(section.origin().clone());
        let mut unused = Settings::at(section.origin().clone());
        for member in members {
            if !member.is_abstract {
                rest.insert(member.key, member.node);
            } else if !member.is_extended && member.state == State::Done {
                unused.insert(member.key, member.node);
            }
        }
        *section = rest;
        unused
    }

    /// Takes `extends` and `abstract` out of a member.
    fn read(&mut self, path: &str, mut member: Member) -> Member {
        let own = tree::below(path, &member.key);
        let Value::Table(table) = member.node.value_mut() else { return member };
        if let Some(said) = table.remove("extends") {
            match tree::text_of(&said) {
                Some(name) if !name.trim().is_empty() => {
                    member.base = Some((name.to_owned(), said.origin().clone()));
                }
                Some(_) => self.refuse(&own, "extends", &said, "must not be empty".to_owned()),
                None => {
                    let found = said.value().kind();
                    let message = format!("expected the name of a sibling, found {found}");
                    self.refuse(&own, "extends", &said, message);
                }
            }
        }
        if let Some(said) = table.remove("abstract") {
            if let Some(is_abstract) = truth_of(&said) {
                member.is_abstract = is_abstract;
            } else {
                let message = format!("expected true or false, found {}", said.value().kind());
                self.refuse(&own, "abstract", &said, message);
                let is_word = tree::text_of(&said).is_some();
                let told = self.done.problems.last_mut().filter(|_| is_word);
                if let Some(problem) = told {
                    problem.hint = Some("write true or false".to_owned());
                }
            }
        }
        member
    }

    fn refuse(&mut self, own: &str, key: &str, said: &Node, message: String) {
        let path = tree::below(own, key);
        self.done.problems.push(Problem::new(path, said.origin().clone(), message));
        self.done.left_alone.push(own.to_owned());
    }

    fn resolve(&mut self, path: &str, members: &mut [Member]) {
        let mut places = HashMap::with_capacity(members.len());
        for (place, member) in members.iter().enumerate() {
            places.entry(tree::name_key(&member.key)).or_insert(place);
        }
        let bases: Vec<Option<usize>> = (0..members.len())
            .map(|child| {
                let (name, _) = members[child].base.as_ref()?;
                places.get(&tree::name_key(name)).copied()
            })
            .collect();
        for base in bases.iter().flatten() {
            members[*base].is_extended = true;
        }
        for start in 0..members.len() {
            let way = self.way_up(path, members, &bases, start);
            for child in way.into_iter().rev() {
                self.settle(path, members, bases[child], child);
            }
        }
    }

    /// The members from `start` up to the first one that is settled or extends nothing.
    fn way_up(
        &mut self,
        path: &str,
        members: &mut [Member],
        bases: &[Option<usize>],
        start: usize,
    ) -> Vec<usize> {
        let mut way = Vec::new();
        let mut next = Some(start);
        while let Some(member) = next {
            match members[member].state {
                State::Done | State::Failed => break,
                State::OnTheWay(from) => {
                    debug_assert_eq!(from, start);
                    self.report_circle(path, members, &way, member);
                    break;
                }
                State::Waiting => {}
            }
            members[member].state = State::OnTheWay(start);
            way.push(member);
            next = bases[member];
        }
        way
    }

    fn report_circle(&mut self, path: &str, members: &mut [Member], way: &[usize], again: usize) {
        let opening = way.iter().position(|member| *member == again).unwrap_or_default();
        let mut circle = way[opening..].to_vec();
        let first = (0..circle.len()).min_by_key(|place| circle[*place]).unwrap_or_default();
        circle.rotate_left(first);
        let name = |member: &usize| tree::below(path, &members[*member].key);
        let mut names: Vec<String> = circle.iter().take(CIRCLE_SHOWN_MAX).map(name).collect();
        if circle.len() > CIRCLE_SHOWN_MAX {
            names.push("…".to_owned());
        }
        names.push(name(&circle[0]));
        let message = format!("extends itself: {}", names.join(" → "));
        let first = &members[circle[0]];
        let origin = first.base.as_ref().map(|(_, origin)| origin.clone()).unwrap_or_default();
        let at = tree::below(&tree::below(path, &first.key), "extends");
        self.done.problems.push(Problem::new(at, origin, message));
        for member in circle {
            members[member].state = State::Failed;
            self.done.left_alone.push(tree::below(path, &members[member].key));
        }
    }

    /// Lays a member over its base, which is settled.
    fn settle(&mut self, path: &str, members: &mut [Member], base: Option<usize>, child: usize) {
        if members[child].state == State::Failed {
            return;
        }
        members[child].state = State::Done;
        let Some((name, said)) = members[child].base.clone() else { return };
        let found = match base {
            None => Err(self.unknown(path, members, child, &name, said)),
            Some(base) if members[base].state == State::Failed => Err(None),
            Some(base) => self.base(path, members, child, (base, said)),
        };
        match found {
            Ok(base) => members[child].lie_over(base),
            Err(problem) => {
                self.done.problems.extend(problem);
                self.done.left_alone.push(tree::below(path, &members[child].key));
                members[child].state = State::Failed;
            }
        }
    }

    /// A copy of the base, if that is a table and there is room for it.
    fn base(
        &mut self,
        path: &str,
        members: &[Member],
        child: usize,
        (base, said): (usize, Origin),
    ) -> Result<Settings, Option<Problem>> {
        let at = || tree::below(&tree::below(path, &members[child].key), "extends");
        let name = tree::below(path, &members[base].key);
        let Some(table) = tree::as_instance(&members[base].node) else {
            let kind = members[base].node.value().kind();
            let message = format!("`{name}` cannot be extended: it is {kind}");
            return Err(Some(Problem::new(at(), said, message)));
        };
        let (count, bytes) = tree::size(&table);
        let message = if count > self.room {
            format!("inheriting makes more than {SETTINGS_MAX} settings")
        } else if bytes > self.text_room {
            format!("inheriting makes more than {} MiB of text", TEXT_BYTES_MAX / (1024 * 1024))
        } else {
            self.room -= count;
            self.text_room -= bytes;
            return Ok(table);
        };
        // Once is enough: there is hardly room for anything that follows.
        let is_told = std::mem::replace(&mut self.is_full, true);
        Err((!is_told).then(|| Problem::new(at(), said, message)))
    }

    fn unknown(
        &mut self,
        path: &str,
        members: &[Member],
        child: usize,
        name: &str,
        said: Origin,
    ) -> Option<Problem> {
        if !self.is_complete {
            return None;
        }
        let at = tree::below(&tree::below(path, &members[child].key), "extends");
        let message = Name::told(name, "the name of a sibling", |name| {
            format!("there is no `{name}` in `{path}` to extend")
        });
        let problem = Problem::new(at, said, message).of_kind(ProblemKind::Unknown);
        self.hints += 1;
        if self.hints > HINTS_MAX {
            return Some(problem);
        }
        let others = members.iter().enumerate().filter(|(place, _)| *place != child);
        let tables = others.filter(|(_, member)| tree::as_instance(&member.node).is_some());
        Some(match Name::nearest(name, tables.map(|(_, member)| member.key.as_str())) {
            Some(near) => problem.with_hint(format!("did you mean `{near}`?")),
            None => problem,
        })
    }
}

impl Member {
    fn of(key: &str, node: Node) -> Self {
        Self {
            key: key.to_owned(),
            node,
            base: None,
            is_abstract: false,
            is_extended: false,
            state: State::Waiting,
        }
    }

    fn lie_over(&mut self, mut base: Settings) {
        let origin = self.node.origin().clone();
        let key_origin = self.node.key_origin().clone();
        if let Value::Table(own) = self.node.value_mut() {
            base.merge(std::mem::take(own));
        }
        self.node = Node::new(Value::Table(base), origin).with_key_origin(key_origin);
    }
}

/// Whether a table says something that is to be taken out of it.
fn concerns(table: &Settings) -> bool {
    table.child("extends").is_some() || table.child("abstract").is_some()
}

fn truth_of(node: &Node) -> Option<bool> {
    match node.value() {
        Value::Bool(value) => Some(*value),
        Value::Untyped(text) => text.parse().ok(),
        _ => None,
    }
}

/// How many settings inheriting may make: a few short lines could make any number.
const SETTINGS_MAX: usize = 400_000;

/// How much text, keys included, inheriting may make, in bytes: a base may hold as much as a file does.
const TEXT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How many members of a circle are named.
const CIRCLE_SHOWN_MAX: usize = 16;

/// For how many unknown bases the nearest name is looked for.
const HINTS_MAX: usize = 100;
