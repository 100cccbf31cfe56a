//! Finds all mistakes of a tree by walking the JSON schema of the type over it.
//!
//! Knows the part of JSON Schema that types derive, and is silent about everything else: serde
//! has the last word, which `judge` gets. Unknown keys are a mistake wherever the schema lists
//! the known ones, whether or not it forbids others.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt::Write as _;

use serde_json::{Map, Value as Json};

use crate::Name;

use super::number::{BOUNDS, Bound, Number, integer_bounds};
use super::path::{self, Step};
use super::words::{self, choices_hint, nearest, one_of};
use super::{Node, Problem, ProblemKind, Settings, Value, View, units, untyped};

/// A mistake, and what serde may say about it.
#[derive(Debug)]
pub(super) struct Mistake<'t> {
    pub(super) class: Class,
    /// The way to the node it is about; to the table, if a key of it is missing.
    pub(super) steps: Vec<Step<'t>>,
    /// In a list that serde may have read as a table, by position, where the schema allows both.
    pub(super) by_position: bool,
    pub(super) problem: Problem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// A key that the schema does not list. Serde may know it as an alias.
    Unknown,
    /// A required key that is not there. Serde may know a default, or an alias of it.
    Missing,
    /// A value of a shape that the schema does not describe. If serde takes it, it is right.
    Shape,
    /// A list where only a table is described. Serde reads some structs by position, and it should
    /// not depend on how a type is tagged whether settings may be written like that.
    Listed,
    /// A value beyond a limit that only the schema knows.
    Limit,
}

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Walked<'t> {
    pub(super) mistakes: Vec<Mistake<'t>>,
    /// Texts without a type that the schema wants as something else than they look like.
    pub(super) settled: Vec<Settled<'t>>,
}

/// What a text without a type has to be.
#[derive(Debug)]
pub(super) struct Settled<'t> {
    pub(super) steps: Vec<Step<'t>>,
    pub(super) value: Value,
}

/// All mistakes that `schema` finds in `settings`.
pub(super) fn walk<'t>(schema: &Json, settings: &'t Settings) -> Walked<'t> {
    let fuel = FUEL_MIN + FUEL_PER_NODE * settings.count();
    let mut walk = Walk { root: schema, steps: Vec::new(), fuel };
    let walked = walk.check(schema, View::Table(settings), false);
    // Unions of unions of themselves take for ever; nothing is said rather than half of it.
    if walk.fuel == 0 { Walked::default() } else { walked }
}

struct Walk<'s, 't> {
    root: &'s Json,
    steps: Vec<Step<'t>>,
    fuel: usize,
}

/// What has been found out about one node by all schemas that apply to it.
#[derive(Default)]
struct Findings<'s, 't> {
    mistakes: Vec<Mistake<'t>>,
    settled: Vec<Settled<'t>>,
    known: HashSet<&'s str>,
    /// Some schema lists the keys of the table.
    closed: bool,
    /// Some schema allows keys that cannot be listed.
    open: bool,
}

impl<'t> Findings<'_, 't> {
    fn unknown<'f>(&'f self, outer: &'f Self, table: &'t Settings) -> Vec<&'t str> {
        if self.open || outer.open || !(self.closed || outer.closed) {
            return Vec::new();
        }
        let is_known = |key: &&str| self.known.contains(key) || outer.known.contains(key);
        table.keys().filter(|key| !is_known(key)).collect()
    }

    fn absorb(&mut self, other: Self) {
        self.mistakes.extend(other.mistakes);
        self.settled.extend(other.settled);
        self.known.extend(other.known);
        self.closed |= other.closed;
        self.open |= other.open;
    }
}

/// One node and how far the schemas that apply to it have been followed.
#[derive(Clone, Copy)]
struct Spot<'t> {
    view: View<'t>,
    secret: bool,
    /// How many more references and unions may be entered before the next node.
    hops: usize,
}

impl<'s, 't> Walk<'s, 't> {
    /// Everything wrong with one node and what is below it.
    fn check(&mut self, schema: &'s Json, view: View<'t>, secret: bool) -> Walked<'t> {
        if let View::Node(node) = view
            && let Some(text) = node.untyped()
        {
            return self.check_untyped(schema, node, text, secret);
        }
        let mut found = Findings::default();
        self.apply(schema, Spot { view, secret, hops: HOPS_MAX }, &mut found);
        if let Some(table) = view.table() {
            self.report_unknown(table, &mut found);
        }
        let mut seen = HashSet::new();
        found.mistakes.retain(|mistake| {
            seen.insert((mistake.problem.path.clone(), mistake.problem.message.clone()))
        });
        Walked { mistakes: found.mistakes, settled: found.settled }
    }

    /// What is wrong with a text in the form in which least is wrong with it.
    fn check_untyped(
        &mut self,
        schema: &'s Json,
        node: &Node,
        text: &str,
        secret: bool,
    ) -> Walked<'t> {
        let mut best: Option<((usize, usize), Walked<'t>)> = None;
        for (position, value) in untyped::readings(text).into_iter().enumerate() {
            let candidate = Node::new(value, node.origin().clone());
            let mistakes = self.check_candidate(schema, &candidate, secret);
            let refused = mistakes.iter().filter(|mistake| mistake.is_refused()).count();
            let cost = (refused, mistakes.len());
            if best.as_ref().is_some_and(|(least, _)| cost >= *least) {
                continue;
            }
            // What it looks like is what it is read as anyway.
            let is_settled = position > 0;
            let steps = self.steps.clone();
            let settled = Settled { steps, value: candidate.into_value() };
            let settled = is_settled.then_some(settled).into_iter().collect();
            best = Some((cost, Walked { mistakes, settled }));
            if cost == (0, 0) {
                break;
            }
        }
        best.map(|(_, walked)| walked).unwrap_or_default()
    }

    /// What is wrong with a value that is tried in the place of a node. It has nothing below it.
    fn check_candidate(
        &mut self,
        schema: &'s Json,
        candidate: &Node,
        secret: bool,
    ) -> Vec<Mistake<'t>> {
        let mut walk = Walk { root: self.root, steps: self.steps.clone(), fuel: self.fuel };
        let found = walk.check(schema, View::Node(candidate), secret).mistakes;
        self.fuel = walk.fuel;
        let here = |found: Mistake<'_>| Mistake {
            class: found.class,
            steps: self.steps.clone(),
            by_position: found.by_position,
            problem: found.problem,
        };
        found.into_iter().map(here).collect()
    }

    /// What one schema says about a node; other schemas may apply to the same node.
    fn apply(&mut self, schema: &'s Json, mut spot: Spot<'t>, found: &mut Findings<'s, 't>) {
        self.fuel = self.fuel.saturating_sub(1);
        if spot.hops == 0 || self.fuel == 0 {
            found.open = true;
            return;
        }
        spot.hops -= 1;
        let Some(schema) = schema.as_object() else { return };
        spot.secret |= is_secret(schema);
        if let Some(reference) = schema.get("$ref") {
            match self.resolve(reference) {
                Some(target) => self.apply(target, spot, found),
                None => found.open = true,
            }
        }
        if let Some(mistake) = self.wrong_kind(schema, spot) {
            found.mistakes.push(mistake);
            return;
        }
        self.apply_words(schema, spot, found);
        match spot.view {
            View::Table(table) => self.apply_table(schema, table, spot, found),
            View::Node(node) => match node.value() {
                Value::Integer(_) | Value::Float(_) => self.apply_range(schema, spot, found),
                Value::String(text) | Value::Untyped(text) => {
                    self.apply_text(schema, text, spot, found);
                }
                Value::List(items) => {
                    self.limit_length(schema, LIST_LENGTH, items.len(), spot, found);
                    self.apply_items(schema, items, spot, found);
                }
                Value::Table(table) => self.apply_table(schema, table, spot, found),
                Value::Null | Value::Bool(_) => {}
            },
        }
        for part in list(schema, "allOf") {
            self.apply(part, spot, found);
        }
        for union in ["oneOf", "anyOf"] {
            let branches = list(schema, union);
            if !branches.is_empty() {
                self.apply_union(branches, spot, found);
            }
        }
    }

    fn wrong_kind(&self, schema: &'s Map<String, Json>, spot: Spot<'t>) -> Option<Mistake<'t>> {
        let types = types_of(schema)?;
        if types.iter().any(|name| is_of_type(spot.view, name)) {
            return None;
        }
        let is_number = matches!(spot.view.value(), Some(Value::Integer(_) | Value::Float(_)));
        if let Some(format) = unit_format(schema).filter(|_| is_number)
            && let Err(error) = units::check(format, None)
        {
            return Some(self.mistake(Class::Shape, spot, error.message()).hint(error.hint()));
        }
        Some(self.of_other_type(&types, spot))
    }

    fn of_other_type(&self, types: &[&str], spot: Spot<'t>) -> Mistake<'t> {
        let is_listed = spot.view.is_list() && types.contains(&"object");
        let class = if is_listed { Class::Listed } else { Class::Shape };
        let message = format!("expected {}, found {}", words::types(types), spot.view.kind());
        let mistake = self.mistake(class, spot, message);
        match spot.view.text() {
            Some(text) if types.contains(&"boolean") && words::is_yes_or_no(text) => {
                mistake.hint("write true or false")
            }
            _ => mistake,
        }
    }

    /// `const` and `enum`.
    fn apply_words(
        &mut self,
        schema: &'s Map<String, Json>,
        spot: Spot<'t>,
        found: &mut Findings<'s, 't>,
    ) {
        let choices: Vec<&Json> = match schema.get("const") {
            Some(only) => vec![only],
            None => list(schema, "enum").iter().collect(),
        };
        if choices.is_empty() || choices.iter().any(|choice| is_same(spot.view, choice)) {
            return;
        }
        let names: Vec<&str> = choices.iter().filter_map(|choice| choice.as_str()).collect();
        if let Some(text) = spot.view.text().filter(|_| names.len() == choices.len()) {
            found.mistakes.push(self.not_a_choice(spot, text, &names));
            return;
        }
        let choices: Vec<String> = choices.iter().map(ToString::to_string).collect();
        let message = format!("expected {}, found {}", one_of(&choices), spot.view.kind());
        found.mistakes.push(self.mistake(Class::Shape, spot, message));
    }

    fn apply_range(
        &mut self,
        schema: &'s Map<String, Json>,
        spot: Spot<'t>,
        found: &mut Findings<'s, 't>,
    ) {
        let Some(value) = spot.view.value().and_then(Number::of) else { return };
        let format = schema.get("format").and_then(Json::as_str).and_then(integer_bounds);
        let mut broken: Vec<(&str, Number)> = Vec::new();
        if let (Some((min, max)), Number::Whole(whole)) = (format, value) {
            broken.extend((whole < min).then_some(("at least", Number::Whole(min))));
            broken.extend((whole > max).then_some(("at most", Number::Whole(max))));
        }
        // Serde refuses what does not fit into the type, and only that.
        let class = if broken.is_empty() { Class::Limit } else { Class::Shape };
        for Bound { keyword, words, holds } in BOUNDS {
            let Some(bound) = schema.get(keyword).and_then(Number::of_json) else { continue };
            if !value.order(bound).is_some_and(holds) {
                broken.push((words, bound));
            }
        }
        // Who keeps the narrowest keeps the others as well.
        let narrowest = broken.into_iter().reduce(|one, other| {
            let is_lower = matches!(other.0, "at least" | "more than");
            let wider = if is_lower { Ordering::Less } else { Ordering::Greater };
            if other.1.order(one.1) == Some(wider) { one } else { other }
        });
        if let Some((words, bound)) = narrowest {
            found.mistakes.push(self.out_of_range(class, spot, value, words, bound));
        }
    }

    fn out_of_range(
        &self,
        class: Class,
        spot: Spot<'t>,
        value: Number,
        words: &str,
        bound: Number,
    ) -> Mistake<'t> {
        let mut message = format!("must be {words} {bound}");
        if !spot.secret {
            let _ = write!(message, ", is {value}");
        }
        self.mistake(class, spot, message)
    }

    fn apply_text(
        &mut self,
        schema: &'s Map<String, Json>,
        text: &str,
        spot: Spot<'t>,
        found: &mut Findings<'s, 't>,
    ) {
        if let Some(format) = unit_format(schema)
            && let Err(error) = units::check(format, Some(text))
        {
            let mistake = self.mistake(Class::Shape, spot, error.message()).hint(error.hint());
            found.mistakes.push(mistake);
            return;
        }
        self.limit_length(schema, TEXT_LENGTH, text.chars().count(), spot, found);
    }

    fn limit_length(
        &mut self,
        schema: &'s Map<String, Json>,
        [min, max, unit]: [&str; 3],
        length: usize,
        spot: Spot<'t>,
        found: &mut Findings<'s, 't>,
    ) {
        let bound = |key| {
            schema.get(key).and_then(Json::as_u64).map(|n| usize::try_from(n).unwrap_or(usize::MAX))
        };
        if let Some(least) = bound(min).filter(|least| length < *least) {
            let message = match length {
                0 => "must not be empty".to_owned(),
                _ => format!("must have at least {least} {unit}"),
            };
            found.mistakes.push(self.mistake(Class::Limit, spot, message));
        }
        if let Some(most) = bound(max).filter(|most| length > *most) {
            let message = format!("must have at most {most} {unit}");
            found.mistakes.push(self.mistake(Class::Limit, spot, message));
        }
    }

    fn apply_items(
        &mut self,
        schema: &'s Map<String, Json>,
        items: &'t [Node],
        spot: Spot<'t>,
        found: &mut Findings<'s, 't>,
    ) {
        let first = list(schema, "prefixItems");
        let rest = schema.get("items");
        for (index, item) in items.iter().enumerate() {
            let Some(schema) = first.get(index).or(rest) else { return };
            self.descend(Step::Index(index), schema, View::Node(item), spot, found);
        }
    }

    fn apply_table(
        &mut self,
        schema: &'s Map<String, Json>,
        table: &'t Settings,
        spot: Spot<'t>,
        found: &mut Findings<'s, 't>,
    ) {
        let properties = schema.get("properties").and_then(Json::as_object);
        for (key, schema) in properties.into_iter().flatten() {
            found.known.insert(key);
            if let Some((key, node)) = table.entry(key) {
                self.descend(Step::Key(key), schema, View::Node(node), spot, found);
            }
        }
        for key in list(schema, "required").iter().filter_map(Json::as_str) {
            if table.child(key).is_none() {
                found.mistakes.push(self.missing(spot, key));
            }
        }
        self.limit_length(schema, TABLE_LENGTH, table.len(), spot, found);

        let is_listed = |key: &str| properties.is_some_and(|known| known.contains_key(key));
        match additional(schema) {
            Additional::Unlisted => found.open = true,
            Additional::Each(schema) => {
                found.open = true;
                for (key, node) in table.iter().filter(|(key, _)| !is_listed(key)) {
                    self.descend(Step::Key(key), schema, View::Node(node), spot, found);
                }
            }
            Additional::Silent => {
                let is_table = types_of(schema).is_some_and(|types| types.contains(&"object"));
                found.closed |= properties.is_some() || is_table;
            }
        }
    }

    fn descend(
        &mut self,
        step: Step<'t>,
        schema: &'s Json,
        view: View<'t>,
        spot: Spot<'t>,
        found: &mut Findings<'s, 't>,
    ) {
        self.steps.push(step);
        let below = self.check(schema, view, spot.secret);
        found.mistakes.extend(below.mistakes);
        found.settled.extend(below.settled);
        self.steps.pop();
    }

    /// `oneOf` and `anyOf`: what is wrong for the branch that was most likely meant.
    fn apply_union(&mut self, branches: &'s [Json], spot: Spot<'t>, found: &mut Findings<'s, 't>) {
        let is_nothing = matches!(spot.view.value(), Some(Value::Null));
        let branches: Vec<Branch<'s>> = branches
            .iter()
            .map(|schema| Branch { schema, shape: self.shape_of(schema) })
            .filter(|branch| is_nothing || !branch.is_null())
            .collect();
        if is_nothing && branches.iter().any(Branch::is_null) {
            return;
        }
        let secret = spot.secret || branches.iter().any(Branch::is_secret);
        let spot = Spot { secret, ..spot };
        match &*branches {
            [] => {}
            [only] => self.apply(only.schema, spot, found),
            _ => {
                if let Some(table) = spot.view.table()
                    && let Some(tag) = common_tag(&branches)
                {
                    self.apply_tagged(&branches, tag, table, spot, found);
                } else if !self.apply_named(&branches, spot, found) {
                    self.apply_closest(&branches, spot, found);
                }
            }
        }
    }

    /// An enum whose variants are told apart by the text under one key.
    fn apply_tagged(
        &mut self,
        branches: &[Branch<'s>],
        tag: &'s str,
        table: &'t Settings,
        spot: Spot<'t>,
        found: &mut Findings<'s, 't>,
    ) {
        let names: Vec<&str> = branches.iter().filter_map(|branch| branch.constant(tag)).collect();
        let Some((key, node)) = table.entry(tag) else {
            found.open = true;
            let missing = self.missing(spot, tag).hint(choices_hint("", &names));
            found.mistakes.push(missing);
            return;
        };
        let meant: Vec<Branch<'s>> = branches
            .iter()
            .filter(|branch| branch.constant(tag) == node.as_str())
            .copied()
            .collect();
        if !meant.is_empty() {
            return self.apply_closest(&meant, spot, found);
        }
        // Which keys are known is decided by the tag; without it nothing can be said about them.
        found.open = true;
        self.steps.push(Step::Key(key));
        let spot = Spot { view: View::Node(node), ..spot };
        found.mistakes.push(if let Some(text) = node.as_str() {
            self.not_a_choice(spot, text, &names)
        } else {
            let message = format!("expected a string, found {}", node.value().kind());
            self.mistake(Class::Shape, spot, message).hint(choices_hint("", &names))
        });
        self.steps.pop();
    }

    /// An enum whose variants are told apart by their name, alone or as the only key of a table.
    /// Says whether this is one, and all that is to be said has been.
    fn apply_named(
        &mut self,
        branches: &[Branch<'s>],
        spot: Spot<'t>,
        found: &mut Findings<'s, 't>,
    ) -> bool {
        let mut alone: Vec<&str> = Vec::new();
        let mut tables: Vec<(&str, Branch<'s>)> = Vec::new();
        for branch in branches {
            if let Some(names) = branch.names() {
                alone.extend(names);
            } else if let Some(name) = branch.only_key() {
                tables.push((name, *branch));
            } else {
                return false;
            }
        }
        let all = || -> Vec<&str> {
            alone.iter().copied().chain(tables.iter().map(|(name, _)| *name)).collect()
        };
        if let Some(text) = spot.view.text() {
            if alone.contains(&text) {
                return true;
            }
            let needs_more = tables.iter().any(|(name, _)| *name == text);
            // What stands in the place of a choice may be what belongs inside of one.
            let secret = spot.secret || tables.iter().any(|(_, branch)| self.has_secret(*branch));
            let spot = Spot { secret, ..spot };
            found.mistakes.push(if needs_more {
                let message = "this choice needs settings of its own";
                self.mistake(Class::Shape, spot, message)
            } else {
                self.not_a_choice(spot, text, &all())
            });
            return true;
        }
        let Some(table) = spot.view.table() else { return false };
        // A flattened enum shares its table with other keys.
        let Some((key, node)) = table.only_entry().filter(|_| !found.closed) else { return false };
        if let Some((_, branch)) = tables.iter().find(|(name, _)| *name == key) {
            self.apply(branch.schema, spot, found);
        } else if !alone.contains(&key) {
            found.open = true;
            self.steps.push(Step::Key(key));
            let spot = Spot { view: View::Node(node), ..spot };
            let mut mistake = self.not_a_choice(spot, key, &all());
            mistake.problem.origin = node.key_origin().clone();
            found.mistakes.push(mistake);
            self.steps.pop();
        } else {
            found.open = true;
        }
        true
    }

    fn apply_closest(
        &mut self,
        branches: &[Branch<'s>],
        spot: Spot<'t>,
        found: &mut Findings<'s, 't>,
    ) {
        let fitting = branches.iter().filter(|branch| branch.may_be(spot.view));
        let mut best: Option<((usize, usize), Findings<'s, 't>)> = None;
        for branch in fitting {
            let mut findings = Findings::default();
            self.apply(branch.schema, spot, &mut findings);
            let unknown = spot.view.table().map_or(0, |table| findings.unknown(found, table).len());
            // Serde takes a branch that it can read, however many keys it then ignores.
            let refused = findings.mistakes.iter().filter(|found| found.is_refused()).count();
            let cost = (refused, findings.mistakes.len() - refused + unknown);
            if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                best = Some((cost, findings));
            }
            if cost == (0, 0) {
                break;
            }
        }
        if let Some((_, mut findings)) = best {
            if spot.view.is_list() && branches.iter().any(Branch::may_be_table) {
                findings.mistakes.iter_mut().for_each(|mistake| mistake.by_position = true);
            }
            return found.absorb(findings);
        }
        let mut types: Vec<&str> = Vec::new();
        for name in branches.iter().filter_map(|branch| types_of(branch.shape?)).flatten() {
            if !types.contains(&name) {
                types.push(name);
            }
        }
        found.mistakes.push(self.of_other_type(&types, spot));
    }

    fn report_unknown(&self, table: &'t Settings, found: &mut Findings<'s, 't>) {
        let free: Vec<&str> =
            found.known.iter().copied().filter(|key| table.child(key).is_none()).collect();
        for key in found.unknown(&Findings::default(), table) {
            let Some((_, node)) = table.entry(key) else { continue };
            let nearest = nearest(key, &free);
            let mut steps = self.steps.clone();
            steps.push(Step::Key(key));
            let hint = match nearest {
                Some(name) => format!("did you mean `{name}`?"),
                None if found.known.is_empty() => "there are no settings here".to_owned(),
                None => {
                    let mut names: Vec<&str> = found.known.iter().copied().collect();
                    names.sort_unstable();
                    choices_hint("known are ", &names)
                }
            };
            let origin = node.key_origin().clone();
            let problem = Problem::new(path::render(&steps), origin, "unknown setting");
            // A required key that was misspelled is one mistake, not two.
            if let Some(name) = nearest {
                let mut meant = self.steps.clone();
                meant.push(Step::Key(name));
                let meant = path::render(&meant);
                found.mistakes.retain(|mistake| {
                    mistake.class != Class::Missing || mistake.problem.path != meant
                });
            }
            found.mistakes.push(Mistake {
                class: Class::Unknown,
                steps,
                by_position: false,
                problem: problem.with_hint(hint),
            });
        }
    }

    fn missing(&self, spot: Spot<'t>, key: &str) -> Mistake<'t> {
        let mut mistake = self.mistake(Class::Missing, spot, "this setting is missing");
        path::push(&mut mistake.problem.path, Step::Key(key));
        mistake.problem.kind = ProblemKind::Missing;
        mistake
    }

    fn not_a_choice(&self, spot: Spot<'t>, text: &str, names: &[&str]) -> Mistake<'t> {
        if spot.secret {
            return self.mistake(Class::Shape, spot, NOT_A_CHOICE);
        }
        let message = match Name::quotable(text) {
            Some(name) => format!("`{name}` is {NOT_A_CHOICE}"),
            None => NOT_A_CHOICE.to_owned(),
        };
        let hint = match nearest(text, names) {
            Some(name) => choices_hint(&format!("did you mean `{name}`? "), names),
            None => choices_hint("", names),
        };
        self.mistake(Class::Shape, spot, message).hint(hint)
    }

    fn mistake(&self, class: Class, spot: Spot<'t>, message: impl Into<String>) -> Mistake<'t> {
        let problem = Problem::new(path::render(&self.steps), spot.view.origin().clone(), message);
        Mistake { class, steps: self.steps.clone(), by_position: false, problem }
    }

    fn resolve(&self, reference: &Json) -> Option<&'s Json> {
        self.root.pointer(reference.as_str()?.strip_prefix('#')?)
    }

    /// Whether one of the keys of a branch is a secret.
    fn has_secret(&self, branch: Branch<'s>) -> bool {
        let keys = branch.shape.and_then(|shape| shape.get("properties")?.as_object());
        let mut schemas = keys.into_iter().flat_map(Map::values);
        schemas.any(|schema| {
            schema.as_object().is_some_and(is_secret)
                || self.shape_of(schema).is_some_and(is_secret)
        })
    }

    /// The schema behind a reference that stands alone.
    fn shape_of(&self, schema: &'s Json) -> Option<&'s Map<String, Json>> {
        let mut schema = schema.as_object()?;
        for _ in 0..HOPS_MAX {
            let Some(reference) = schema.get("$ref").filter(|_| !schema.contains_key("properties"))
            else {
                return Some(schema);
            };
            schema = self.resolve(reference)?.as_object()?;
        }
        None
    }
}

impl Mistake<'_> {
    /// Whether serde refuses it as well, as far as can be told.
    fn is_refused(&self) -> bool {
        matches!(self.class, Class::Missing | Class::Shape) && !self.by_position
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.problem.hint = Some(hint.into());
        self
    }
}

/// One way to satisfy a union.
#[derive(Clone, Copy)]
struct Branch<'s> {
    schema: &'s Json,
    /// The schema itself, or what it refers to.
    shape: Option<&'s Map<String, Json>>,
}

impl<'s> Branch<'s> {
    fn is_null(&self) -> bool {
        let Some(shape) = self.shape else { return false };
        shape.get("const").is_some_and(Json::is_null)
            || types_of(shape).is_some_and(|types| types == ["null"])
    }

    fn is_secret(&self) -> bool {
        self.shape.is_some_and(is_secret)
    }

    fn may_be(&self, view: View<'_>) -> bool {
        let types = self.shape.and_then(types_of);
        types.is_none_or(|types| types.iter().any(|name| is_of_type(view, name)))
    }

    fn may_be_table(&self) -> bool {
        let types = self.shape.and_then(types_of);
        types.is_none_or(|types| types.contains(&"object"))
    }

    fn property(&self, key: &str) -> Option<&'s Map<String, Json>> {
        self.shape?.get("properties")?.get(key)?.as_object()
    }

    /// The text that `key` must have in this branch.
    fn constant(&self, key: &str) -> Option<&'s str> {
        let property = self.property(key)?;
        match (property.get("const"), list(property, "enum")) {
            (Some(only), _) | (None, [only]) => only.as_str(),
            _ => None,
        }
    }

    /// The words that this branch is, if it is nothing but words.
    fn names(&self) -> Option<Vec<&'s str>> {
        let shape = self.shape?;
        match shape.get("const") {
            Some(only) => only.as_str().map(|name| vec![name]),
            None if shape.contains_key("enum") => {
                list(shape, "enum").iter().map(Json::as_str).collect()
            }
            None => None,
        }
    }

    /// The key, if this branch is a table with exactly one.
    fn only_key(&self) -> Option<&'s str> {
        let shape = self.shape?;
        let properties = shape.get("properties")?.as_object()?;
        let [required] = list(shape, "required") else { return None };
        let is_only = properties.len() == 1 && properties.contains_key(required.as_str()?);
        required.as_str().filter(|_| is_only)
    }
}

/// The key that has a constant of its own in every branch, and is required there.
fn common_tag<'s>(branches: &[Branch<'s>]) -> Option<&'s str> {
    let properties = branches.first()?.shape?.get("properties")?.as_object()?;
    let is_tag = |key: &&str| {
        branches.iter().all(|branch| {
            let required = branch.shape.map_or(&[][..], |shape| list(shape, "required"));
            branch.constant(key).is_some() && required.iter().any(|name| name == *key)
        })
    };
    properties.keys().map(String::as_str).find(is_tag)
}

/// What a schema says about keys that it does not list.
enum Additional<'s> {
    /// Nothing, or that there are none.
    Silent,
    /// They may be there, and what they are is not for us to say.
    Unlisted,
    /// They may be there, and each is to be like this.
    Each(&'s Json),
}

fn additional(schema: &Map<String, Json>) -> Additional<'_> {
    if let Some(patterns) = schema.get("patternProperties").and_then(Json::as_object) {
        let mut values = patterns.values();
        return match (values.next(), values.next()) {
            (Some(only), None) if !schema.contains_key("properties") => Additional::Each(only),
            _ => Additional::Unlisted,
        };
    }
    let rest = schema.get("additionalProperties").or_else(|| schema.get("unevaluatedProperties"));
    match rest {
        None | Some(Json::Bool(false)) => Additional::Silent,
        Some(each) => Additional::Each(each),
    }
}

fn list<'s>(schema: &'s Map<String, Json>, key: &str) -> &'s [Json] {
    schema.get(key).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

fn types_of(schema: &Map<String, Json>) -> Option<Vec<&str>> {
    match schema.get("type")? {
        Json::String(name) => Some(vec![name]),
        Json::Array(names) => names.iter().map(Json::as_str).collect(),
        _ => None,
    }
}

fn is_of_type(view: View<'_>, name: &str) -> bool {
    let Some(value) = view.value() else { return is_table_type(name) };
    match name {
        // Where serde buffers, a table without keys is nothing.
        "null" => match value {
            Value::Table(table) => table.is_empty(),
            value => matches!(value, Value::Null),
        },
        "boolean" => matches!(value, Value::Bool(_)),
        "integer" => matches!(value, Value::Integer(_)),
        "number" => matches!(value, Value::Integer(_) | Value::Float(_)),
        "string" => matches!(value, Value::String(_) | Value::Untyped(_)),
        "array" => matches!(value, Value::List(_)),
        "object" => matches!(value, Value::Table(_)),
        _ => true,
    }
}

fn is_table_type(name: &str) -> bool {
    !matches!(name, "null" | "boolean" | "integer" | "number" | "string" | "array")
}

pub(super) fn is_secret(schema: &Map<String, Json>) -> bool {
    schema.get("writeOnly") == Some(&Json::Bool(true))
        || schema.get("format").and_then(Json::as_str) == Some("password")
}

fn unit_format(schema: &Map<String, Json>) -> Option<&str> {
    schema.get(units::MARK)?;
    schema.get("format")?.as_str()
}

fn is_same(view: View<'_>, choice: &Json) -> bool {
    let Some(value) = view.value() else { return choice.is_object() };
    match (value, choice) {
        (Value::Bool(value), Json::Bool(choice)) => value == choice,
        (Value::String(value) | Value::Untyped(value), Json::String(choice)) => value == choice,
        (Value::Integer(_) | Value::Float(_), Json::Number(_)) => {
            let numbers = (Number::of(value), Number::of_json(choice));
            matches!(numbers, (Some(a), Some(b)) if a.order(b).is_some_and(Ordering::is_eq))
        }
        // Nobody derives a choice of lists or tables; what they hold is left to serde.
        (Value::Null, Json::Null)
        | (Value::List(_), Json::Array(_))
        | (Value::Table(_), Json::Object(_)) => true,
        _ => false,
    }
}

const NOT_A_CHOICE: &str = "not one of the known names";

const TEXT_LENGTH: [&str; 3] = ["minLength", "maxLength", "characters"];
const LIST_LENGTH: [&str; 3] = ["minItems", "maxItems", "items"];
const TABLE_LENGTH: [&str; 3] = ["minProperties", "maxProperties", "keys"];

/// How many references, parts and unions are entered for one node: schemas can go in circles.
const HOPS_MAX: usize = 32;

/// How many schemas are applied at most, and for each node of the tree.
const FUEL_MIN: usize = 100_000;
const FUEL_PER_NODE: usize = 64;
