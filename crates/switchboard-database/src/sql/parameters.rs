//! Statements as people write them, and how values get to them.
//!
//! A text has its placeholders in one of the common styles; it is brought into the notation of the
//! dialect once, so that each use costs only its values. An array in `IN (…)` becomes as many
//! placeholders as it has values, everywhere; such a use costs a text of its own.
//!
//! Where `?` is an operator too, `??` is always that operator, and a single `?` between two values is
//! taken for it. In a text that uses `%s` or `%(name)s`, `%%` outside of strings stands for `%`; what
//! is in strings is never changed.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt::{self, Write as _};
use std::mem;
use std::sync::Arc;

use switchboard_core::{Error, ErrorKind, Name, Result};

use super::lexer::{Kind, Style, Token, tokens};
use super::split::is_routine;
use crate::{Dialect, Params, Placeholder, Value};

/// A statement with placeholders, read once and given values often.
///
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Template(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dialect: &'static Dialect,
    /// As it was written.
    written: Arc<str>,
    /// As the server wants it, where no list has to be written out.
    converted: Arc<str>,
    style: Option<Style>,
    /// What is replaced, in the order of the text.
    holes: Vec<Hole>,
    /// Which value goes to each of the server's placeholders, where no list has to be written out.
    order: Vec<Sent>,
    /// Whether a value is wanted in two places.
    has_repetitions: bool,
    /// How many values are wanted.
    wanted: usize,
    /// The first number that no placeholder has, although one has a greater number.
    gap: Option<usize>,
    /// The names of the values, where they are given by name.
    names: HashMap<Box<str>, usize>,
}

/// A statement with its values, as a driver takes it.
#[derive(Clone)]
pub struct Bound {
    /// The text in the dialect's own notation.
    pub sql: Arc<str>,
    /// One value for each of its placeholders.
    pub values: Vec<Value>,
    /// Whether the text was written for these values, and is not worth preparing.
    pub is_expanded: bool,
}

/// A part of the text that something else stands for.
#[derive(Clone, Debug)]
struct Hole {
    start: usize,
    end: usize,
    fill: Fill,
}

#[derive(Clone, Debug)]
enum Fill {
    /// The operator that was written twice, once.
    Operator,
    /// The value of this number.
    Value(usize, Place),
}

/// Where a value stands, as far as a list could stand there.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Where no list can be written out.
    Single,
    /// In `IN (…)`, beside others.
    InList,
    /// Alone in `IN (…)`.
    WholeList(List),
    /// After `IN`, without parentheses.
    BareList(List),
}

/// A whole `IN (…)`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct List {
    /// Where `IN` begins, or `NOT IN`.
    start: usize,
    end: usize,
    is_negated: bool,
}

impl Template {
    /// Reads a statement.
    ///
    /// Placeholders are of one style; two styles in one text are [`ErrorKind::InvalidInput`].
    ///
    /// ```
    /// # use switchboard_database::{Dialect, Placeholder};
    /// # static POSTGRES: Dialect =
    /// #     Dialect { placeholder: Placeholder::Dollar, ..Dialect::STANDARD
    /// # };
    /// use switchboard_database::sql::Template;
    /// use switchboard_database::{Value, params};
    ///
    /// let template = Template::parse("select * from users where id in (:ids)", &POSTGRES)?;
    /// let ids = Value::Array(vec![Value::Int(7), Value::Int(8)]);
    /// let bound = template.bind(params! { "ids" => ids })?;
    /// assert_eq!(&*bound.sql, "select * from users where id in ($1, $2)");
    /// assert_eq!(bound.values, [Value::Int(7), Value::Int(8)]);
    /// # Ok::<(), switchboard_core::Error>(())
    /// ```
    pub fn parse(sql: impl Into<Arc<str>>, dialect: &'static Dialect) -> Result<Self> {
        let written = sql.into();
        let mut reader = Reader::new(&written, dialect);
        reader.read()?;
        let gap = reader.gap();
        let Reader { first, holes, names, wanted, .. } = reader;
        let style = first.map(|(style, _)| style);
        let has_repetitions = holes.iter().filter(|hole| !hole.is_operator()).count() > wanted;
        let (converted, order) = (written.clone(), Vec::new());
        let mut inner = Inner {
            dialect,
            written,
            converted,
            style,
            holes,
            order,
            has_repetitions,
            wanted,
            gap,
            names,
        };
        inner.convert();
        Ok(Self(Arc::new(inner)))
    }

    /// The style of its placeholders; `None` without any.
    pub fn style(&self) -> Option<Style> {
        self.0.style
    }

    /// The text in the dialect's own notation, as it is without lists to be written out.
    pub fn sql(&self) -> &Arc<str> {
        &self.0.converted
    }

    /// The text as it was written.
    pub fn written(&self) -> &Arc<str> {
        &self.0.written
    }

    /// How many values it wants.
    pub fn wanted(&self) -> usize {
        self.0.wanted
    }

    /// The names of the values it wants, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.names.keys().map(AsRef::as_ref)
    }

    /// The statement with these values.
    ///
    /// A value that is missing, not used, or given in the other way is [`ErrorKind::InvalidInput`];
    /// more values than the server takes are [`ErrorKind::TooLarge`].
    pub fn bind(&self, params: Params) -> Result<Bound> {
        let inner = &*self.0;
        if inner.has_only_variables(&params) {
            return inner.bind_variables(&params);
        }
        let values = match params {
            Params::None => inner.by_position(Vec::new())?,
            Params::Positional(values) => inner.by_position(values)?,
            Params::Named(values) => inner.by_name(values)?,
        };
        inner.refuse_arrays(&values)?;
        if inner.has_list(&values) {
            return inner.write_out(values);
        }
        inner.refuse_too_many(inner.order.len())?;
        let sql = inner.converted.clone();
        Ok(Bound { sql, values: inner.arrange(values, &inner.order), is_expanded: false })
    }
}

/// Values as they were given, brought into the order of the placeholders.
impl Inner {
    /// Whether `@name` is a variable of the server, because values are not given by name.
    fn has_only_variables(&self, params: &Params) -> bool {
        let may_be_variables = self.style == Some(Style::At) && self.dialect.lexis.at_variables;
        let is_named = matches!(params, Params::Named(values) if !values.is_empty());
        may_be_variables && !is_named
    }

    fn bind_variables(&self, params: &Params) -> Result<Bound> {
        match params {
            Params::Positional(values) if !values.is_empty() => Err(too_many(values.len(), 0)),
            _ => Ok(Bound { sql: self.written.clone(), values: Vec::new(), is_expanded: false }),
        }
    }

    fn by_position(&self, values: Vec<Value>) -> Result<Vec<Value>> {
        if self.style.is_some_and(Style::is_named) && !values.is_empty() {
            let message = "the placeholders have names, but the values were given without";
            let hint = "give them by name: `params! { \"name\" => value }`, or a struct in `Named`";
            return Err(self.other_way(message).with_hint(hint));
        }
        if values.len() > self.wanted {
            return Err(too_many(values.len(), self.wanted));
        }
        if values.len() < self.wanted {
            let given = values.len();
            return Err(self.missing(given).with_context("values", given));
        }
        match self.gap {
            Some(unused) => Err(not_used().with_context("number", unused + 1)),
            None => Ok(values),
        }
    }

    fn by_name(&self, values: Vec<(Cow<'static, str>, Value)>) -> Result<Vec<Value>> {
        if self.style.is_some_and(|style| !style.is_named()) && !values.is_empty() {
            let message = "the values were given by name, but the placeholders have none";
            return Err(self.other_way(message));
        }
        let mut found: Vec<Option<Value>> = vec![None; self.wanted];
        for (name, value) in values {
            let Some(number) = self.names.get(&*name) else { return Err(self.unused(&name)) };
            if found[*number].replace(value).is_some() {
                let message = "a value was given twice";
                return Err(Error::new(ErrorKind::InvalidInput, message).with_context("name", name));
            }
        }
        match found.iter().position(Option::is_none) {
            Some(number) => Err(self.missing(number)),
            None => Ok(found.into_iter().flatten().collect()),
        }
    }

    fn unused(&self, name: &str) -> Error {
        let error = not_used().with_context("name", name);
        match Name::nearest(name, self.names.keys().map(AsRef::as_ref)) {
            Some(nearest) => error.with_hint(format!("did you mean {nearest:?}?")),
            None => error,
        }
    }

    fn missing(&self, number: usize) -> Error {
        match self.hole_of(number) {
            Some(hole) => self.wrong_at(hole, ErrorKind::InvalidInput, "a value is missing"),
            None => Error::new(ErrorKind::InvalidInput, "a value is missing")
                .with_context("number", number + 1),
        }
    }

    fn other_way(&self, message: &'static str) -> Error {
        match self.holes.iter().find(|hole| !hole.is_operator()) {
            Some(hole) => self.wrong_at(hole, ErrorKind::InvalidInput, message),
            None => Error::new(ErrorKind::InvalidInput, message),
        }
    }

    fn hole_of(&self, number: usize) -> Option<&Hole> {
        let wants = |hole: &&Hole| matches!(hole.fill, Fill::Value(wanted, _) if wanted == number);
        self.holes.iter().find(wants)
    }

    fn refuse_too_many(&self, count: usize) -> Result<()> {
        if count <= self.dialect.values_max {
            return Ok(());
        }
        Err(beyond(count, self.dialect))
    }

    fn refuse_arrays(&self, values: &[Value]) -> Result<()> {
        let message = "an array can stand in IN (…) only";
        let mut wrong = self.lists(values).filter(|(_, place, _)| **place == Place::Single);
        match wrong.next() {
            Some((hole, ..)) if !self.dialect.has_arrays => {
                Err(self.wrong_at(hole, ErrorKind::Unsupported, message))
            }
            _ => Ok(()),
        }
    }

    fn wrong_at(&self, hole: &Hole, kind: ErrorKind, message: &'static str) -> Error {
        Error::new(kind, message)
            .with_context("placeholder", &self.written[hole.start..hole.end])
            .with_context("at", Position::of(&self.written, hole.start))
    }
}

/// The text in the dialect's notation.
impl Inner {
    /// Writes the text without lists, and keeps it if it is another one.
    fn convert(&mut self) {
        let (text, order) = self.write(&[]);
        if text != *self.written {
            self.converted = text.into();
        }
        self.order = order;
    }

    /// Writes the text with a placeholder for each value of the lists in it.
    fn write_out(&self, values: Vec<Value>) -> Result<Bound> {
        self.refuse_lists_between(&values)?;
        let (text, order) = self.write(&values);
        self.refuse_too_many(order.len())?;
        let values = self.arrange(values, &order);
        Ok(Bound { sql: text.into(), values, is_expanded: true })
    }

    fn write(&self, values: &[Value]) -> (String, Vec<Sent>) {
        let mut writer = Writer::new(self, self.keeps_numbers() && values.is_empty());
        for hole in &self.holes {
            let Fill::Value(number, place) = &hole.fill else {
                writer.operator(hole);
                continue;
            };
            match (values.get(*number), place.list()) {
                (Some(Value::Array(list)), Some(whole)) if list.is_empty() => writer.empty(whole),
                (Some(Value::Array(list)), _) if *place != Place::Single => {
                    writer.list(hole, *number, list.len());
                }
                _ => writer.value(hole, *number),
            }
        }
        writer.finish()
    }

    /// Whether the numbers that were written are those of the server.
    fn keeps_numbers(&self) -> bool {
        let has_numbers = self.dialect.placeholder != Placeholder::Question;
        has_numbers && self.style.is_some_and(Style::is_numbered)
    }

    fn lists<'v>(
        &self,
        values: &'v [Value],
    ) -> impl Iterator<Item = (&Hole, &Place, &'v Vec<Value>)> {
        self.holes.iter().filter_map(|hole| match &hole.fill {
            Fill::Value(number, place) => match &values[*number] {
                Value::Array(list) => Some((hole, place, list)),
                _ => None,
            },
            Fill::Operator => None,
        })
    }

    fn has_list(&self, values: &[Value]) -> bool {
        self.lists(values).any(|(_, place, _)| *place != Place::Single)
    }

    /// An array without values beside others in `IN (…)` would leave a comma too many.
    fn refuse_lists_between(&self, values: &[Value]) -> Result<()> {
        let message = "a list without values can only stand alone in IN (…)";
        let is_wrong = |place: &Place, list: &[Value]| *place == Place::InList && list.is_empty();
        match self.lists(values).find(|(_, place, list)| is_wrong(place, list)) {
            Some((hole, ..)) => Err(self.wrong_at(hole, ErrorKind::InvalidInput, message)),
            None => Ok(()),
        }
    }

    /// The values in the order in which they are sent.
    fn arrange(&self, mut values: Vec<Value>, order: &[Sent]) -> Vec<Value> {
        let is_in_order = order.len() == values.len()
            && order.iter().enumerate().all(|(at, sent)| sent.is_whole(at));
        if is_in_order {
            return values;
        }
        let send = |sent: &Sent| {
            let value = sent.find(&mut values);
            if self.has_repetitions { value.clone() } else { mem::take(value) }
        };
        order.iter().map(send).collect()
    }
}

/// Which value is sent: one that was given, or an element of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Sent {
    number: usize,
    element: Option<usize>,
}

impl Sent {
    fn is_whole(self, number: usize) -> bool {
        self == Self { number, element: None }
    }

    fn find(self, values: &mut [Value]) -> &mut Value {
        let whole = &mut values[self.number];
        match (self.element, whole) {
            (Some(element), Value::Array(list)) => &mut list[element],
            (_, whole) => whole,
        }
    }
}

impl Place {
    fn list(&self) -> Option<&List> {
        match self {
            Self::WholeList(list) | Self::BareList(list) => Some(list),
            Self::Single | Self::InList => None,
        }
    }
}

/// Writes a text anew, with other things in its holes.
struct Writer<'t> {
    inner: &'t Inner,
    keeps_numbers: bool,
    text: String,
    /// How much of the text as it was written is done.
    done: usize,
    order: Vec<Sent>,
    numbers: HashMap<Sent, usize>,
}

impl<'t> Writer<'t> {
    fn new(inner: &'t Inner, keeps_numbers: bool) -> Self {
        let text = String::with_capacity(inner.written.len() + 2 * inner.holes.len());
        let order = if keeps_numbers { whole(inner.wanted) } else { Vec::new() };
        Self { inner, keeps_numbers, text, done: 0, order, numbers: HashMap::new() }
    }

    fn operator(&mut self, hole: &Hole) {
        self.skip(hole.start, hole.start + 1);
        self.done = hole.end;
        let once = &self.inner.written[hole.start..=hole.start];
        self.text.push_str(once);
    }

    fn value(&mut self, hole: &Hole, number: usize) {
        self.skip(hole.start, hole.end);
        self.placeholder(Sent { number, element: None });
    }

    fn list(&mut self, hole: &Hole, number: usize, length: usize) {
        self.skip(hole.start, hole.end);
        let is_bare = matches!(&hole.fill, Fill::Value(_, Place::BareList(_)));
        if is_bare {
            self.text.push('(');
        }
        for element in 0..length {
            if element > 0 {
                self.text.push_str(", ");
            }
            self.placeholder(Sent { number, element: Some(element) });
        }
        if is_bare {
            self.text.push(')');
        }
    }

    /// What is true of no value, or of every one.
    fn empty(&mut self, list: &List) {
        self.skip(list.start, list.end);
        // A subquery has a type of its own where a type is asked for before the values are known.
        self.text.push_str(match (self.inner.dialect.has_arrays, list.is_negated) {
            (true, false) => "= ANY('{}')",
            (true, true) => "<> ALL('{}')",
            (false, false) => "IN (SELECT NULL WHERE 1=0)",
            (false, true) => "NOT IN (SELECT NULL WHERE 1=0)",
        });
    }

    fn placeholder(&mut self, sent: Sent) {
        let sign = match self.inner.dialect.placeholder {
            Placeholder::Question => {
                self.order.push(sent);
                return self.text.push('?');
            }
            Placeholder::NumberedQuestion => '?',
            Placeholder::Dollar => '$',
        };
        let number = self.number_of(sent);
        // A string takes all that is written to it.
        let _ = write!(self.text, "{sign}{number}");
    }

    fn number_of(&mut self, sent: Sent) -> usize {
        if self.keeps_numbers {
            return sent.number + 1;
        }
        *self.numbers.entry(sent).or_insert_with(|| {
            self.order.push(sent);
            self.order.len()
        })
    }

    /// Takes over what is before `start`, and leaves out what is before `end`.
    fn skip(&mut self, start: usize, end: usize) {
        self.text.push_str(&self.inner.written[self.done..start]);
        self.done = end;
    }

    fn finish(mut self) -> (String, Vec<Sent>) {
        self.skip(self.inner.written.len(), self.inner.written.len());
        (self.text, self.order)
    }
}

fn whole(count: usize) -> Vec<Sent> {
    (0..count).map(|number| Sent { number, element: None }).collect()
}

/// Finds the holes of a text.
struct Reader<'s> {
    sql: &'s str,
    dialect: &'static Dialect,
    tokens: Vec<Token>,
    /// For each `(` that is open, the `IN` before it.
    open: Vec<Option<usize>>,
    first: Option<(Style, usize)>,
    holes: Vec<Hole>,
    wanted: usize,
    names: HashMap<Box<str>, usize>,
}

impl<'s> Reader<'s> {
    fn new(sql: &'s str, dialect: &'static Dialect) -> Self {
        let tokens = tokens(sql, dialect.lexis).filter(Token::is_significant).collect();
        let (open, holes, names) = (Vec::new(), Vec::new(), HashMap::new());
        Self { sql, dialect, tokens, open, first: None, holes, wanted: 0, names }
    }

    fn read(&mut self) -> Result<()> {
        let variables = self.variables();
        // A routine is kept by the server, with what it will be given later.
        let takes_values = !is_routine(self.sql, &self.tokens) && !self.is_word(Some(0), "prepare");
        for at in 0..self.tokens.len() {
            let token = self.tokens[at];
            match token.kind {
                Kind::Punctuation => self.count_parentheses(at),
                Kind::Escaped => self.escape(token),
                Kind::Placeholder(Style::At) if variables.is_variable(token.text(self.sql)) => {}
                Kind::Placeholder(style) if takes_values => self.placeholder(at, style)?,
                _ => {}
            }
        }
        self.forget_percents();
        Ok(())
    }

    fn placeholder(&mut self, at: usize, style: Style) -> Result<()> {
        let Token { start, end, .. } = self.tokens[at];
        let (known, first) = *self.first.get_or_insert((style, start));
        if known != style {
            return Err(self.mixed((known, first), (style, start)));
        }
        let number = self.number(style, &self.sql[start..end])?;
        self.wanted = self.wanted.max(number + 1);
        let fill = Fill::Value(number, self.place(at));
        self.holes.push(Hole { start, end, fill });
        Ok(())
    }

    fn number(&mut self, style: Style, text: &str) -> Result<usize> {
        let label = style.label(text);
        if style.is_named() {
            let next = self.names.len();
            return Ok(*self.names.entry(label.into()).or_insert(next));
        }
        if !style.is_numbered() {
            return Ok(self.wanted);
        }
        let number = label.parse().unwrap_or(usize::MAX);
        if number > self.dialect.values_max {
            return Err(beyond(label, self.dialect));
        }
        number.checked_sub(1).ok_or_else(|| {
            let message = "the numbers of placeholders begin at one";
            Error::new(ErrorKind::InvalidInput, message).with_context("placeholder", text)
        })
    }

    fn mixed(&self, one: (Style, usize), other: (Style, usize)) -> Error {
        let told = |(style, at)| format!("{style} at {}", Position::of(self.sql, at));
        Error::new(ErrorKind::InvalidInput, "placeholders are of two styles")
            .with_context("one", told(one))
            .with_context("other", told(other))
    }

    fn place(&self, at: usize) -> Place {
        let (before, after) = (at.checked_sub(1), at + 1);
        if self.is_word(before, "in") {
            return Place::BareList(self.list(at - 1, at));
        }
        let Some(Some(keyword)) = self.open.last() else { return Place::Single };
        let opens = self.is_sign(before, "(");
        let closes = self.is_sign(Some(after), ")");
        match (opens, closes) {
            (true, true) => Place::WholeList(self.list(*keyword, after)),
            _ if (opens || self.is_sign(before, ","))
                && (closes || self.is_sign(Some(after), ",")) =>
            {
                Place::InList
            }
            _ => Place::Single,
        }
    }

    fn list(&self, keyword: usize, last: usize) -> List {
        let before = keyword.checked_sub(1);
        let is_negated = self.is_word(before, "not");
        let first = before.filter(|_| is_negated).unwrap_or(keyword);
        List { start: self.tokens[first].start, end: self.tokens[last].end, is_negated }
    }

    fn count_parentheses(&mut self, at: usize) {
        match self.tokens[at].text(self.sql) {
            "(" => {
                let keyword = at.checked_sub(1).filter(|before| self.is_word(Some(*before), "in"));
                self.open.push(keyword);
            }
            ")" => drop(self.open.pop()),
            _ => {}
        }
    }

    fn gap(&self) -> Option<usize> {
        let mut is_there = vec![false; self.wanted];
        for hole in &self.holes {
            if let Fill::Value(number, _) = hole.fill {
                is_there[number] = true;
            }
        }
        is_there.iter().position(|is_there| !is_there)
    }

    fn escape(&mut self, token: Token) {
        self.holes.push(Hole { start: token.start, end: token.end, fill: Fill::Operator });
    }

    /// `%%` is one sign only where `%` begins a placeholder.
    fn forget_percents(&mut self) {
        let style = self.first.map(|(style, _)| style);
        if matches!(style, Some(Style::Percent | Style::PercentName)) {
            return;
        }
        let sql = self.sql;
        self.holes.retain(|hole| sql.as_bytes()[hole.start] != b'%' || !hole.is_operator());
    }

    /// Which of the words that begin with `@` are no placeholders.
    fn variables(&self) -> Variables<'s> {
        let style_of = |token: &Token| match token.kind {
            Kind::Placeholder(style) => Some(style),
            _ => None,
        };
        if !self.dialect.lexis.at_variables {
            return Variables::None;
        }
        if self.tokens.iter().filter_map(style_of).any(|style| style != Style::At) {
            return Variables::All;
        }
        let assigned = (0..self.tokens.len()).filter(|at| self.is_assigned(*at));
        Variables::These(assigned.map(|at| self.tokens[at].text(self.sql)).collect())
    }

    fn is_assigned(&self, at: usize) -> bool {
        let sets = self.is_word(Some(0), "set") && self.is_sign(Some(at + 1), "=");
        let begins =
            self.is_word(at.checked_sub(1), "into") || self.is_sign(at.checked_sub(1), ":");
        let is_at = self.tokens[at].kind == Kind::Placeholder(Style::At);
        is_at && (sets || begins || self.is_sign(Some(at + 1), ":="))
    }

    fn is_word(&self, at: Option<usize>, word: &str) -> bool {
        at.and_then(|at| self.tokens.get(at)).is_some_and(|token| token.is_word(self.sql, word))
    }

    fn is_sign(&self, at: Option<usize>, sign: &str) -> bool {
        at.and_then(|at| self.tokens.get(at)).is_some_and(|token| token.is_sign(self.sql, sign))
    }
}

/// Which of the words that begin with `@` are variables of the server.
enum Variables<'s> {
    None,
    All,
    These(HashSet<&'s str>),
}

impl Variables<'_> {
    fn is_variable(&self, text: &str) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::These(names) => names.contains(text),
        }
    }
}

impl Hole {
    fn is_operator(&self) -> bool {
        matches!(self.fill, Fill::Operator)
    }
}

/// A place in a text, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Position {
    pub(crate) fn of(sql: &str, at: usize) -> Self {
        let before = &sql[..at];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        Self { line, column: before[line_start..].chars().count() + 1 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

// Values may be anybody's secrets.
impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound")
            .field("sql", &self.sql)
            .field("values", &self.values.len())
            .field("is_expanded", &self.is_expanded)
            .finish()
    }
}

fn not_used() -> Error {
    Error::new(ErrorKind::InvalidInput, "a value is not used")
}

fn too_many(given: usize, wanted: usize) -> Error {
    Error::new(ErrorKind::InvalidInput, "there are more values than placeholders")
        .with_context("values", given)
        .with_context("placeholders", wanted)
}

pub(super) fn beyond(count: impl fmt::Display, dialect: &Dialect) -> Error {
    Error::new(ErrorKind::TooLarge, "the server takes fewer values in one statement")
        .with_context("values", count)
        .with_context("values_max", dialect.values_max)
}

#[cfg(test)]
mod tests;
