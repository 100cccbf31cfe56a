//! Whether a statement has the parameters that its file declares for it.

use std::collections::BTreeSet;

use switchboard_core::{Error, Name, Origin, Problem};

use super::{Query, QueryKind, QueryText};
use crate::Dialect;
use crate::sql::lexer::{Kind, Style, tokens};
use crate::sql::{Template, split};

/// What is wrong with the statement that a database of this dialect would run.
///
/// Where nothing is declared, nothing is compared. A script has no parameters, and a query without a
/// text for the dialect may be for other databases only.
pub(super) fn problems(query: &Query, dialect: &'static Dialect) -> Vec<Problem> {
    let Ok(text) = query.text(dialect) else { return Vec::new() };
    if query.kind() == QueryKind::Script {
        return Vec::new();
    }
    let fit = Fit { query, text, dialect };
    if let Some(problem) = fit.several() {
        return vec![problem];
    }
    match Template::parse(text.sql(), dialect) {
        Err(error) => vec![Problem::new(query.name(), text.sql_place.clone(), told(&error))],
        Ok(_) if text.params().is_empty() => Vec::new(),
        Ok(template) if template.style().is_some_and(|style| !style.is_named()) => {
            fit.by_position(template.wanted()).into_iter().collect()
        }
        Ok(template) => fit.by_name(&template.names().collect()),
    }
}

struct Fit<'q> {
    query: &'q Query,
    text: &'q QueryText,
    dialect: &'static Dialect,
}

impl Fit<'_> {
    /// A second statement would be run by some servers, and refused by others.
    fn several(&self) -> Option<Problem> {
        let parts = split(self.text.sql(), self.dialect.lexis);
        let second = parts.get(1)?;
        let message = "there is a second statement here, and only a script has several";
        Some(Problem::new(self.query.name(), self.place_at(second.sql), message))
    }

    fn by_position(&self, wanted: usize) -> Option<Problem> {
        let declared = self.text.params().len();
        (declared != wanted).then(|| {
            let message =
                format!("there are {wanted} placeholders, but {declared} parameters are declared");
            Problem::new(self.query.name(), self.text.sql_place.clone(), message)
        })
    }

    fn by_name(&self, wanted: &BTreeSet<&str>) -> Vec<Problem> {
        let declared: BTreeSet<_> =
            self.text.params().iter().map(super::QueryParam::name).collect();
        let unused = self.text.params().iter().filter(|param| !wanted.contains(param.name()));
        let unused = unused.map(|param| {
            let message = format!("the parameter {:?} is not used", param.name());
            self.problem(param.name(), param.place().clone(), message, wanted)
        });
        let unknown = wanted.difference(&declared).map(|name| {
            let message = format!("the parameter {name:?} is not declared");
            self.problem(name, self.place_of(name), message, &declared)
        });
        unused.chain(unknown).collect()
    }

    fn problem(
        &self,
        name: &str,
        place: Origin,
        message: String,
        others: &BTreeSet<&str>,
    ) -> Problem {
        let problem = Problem::new(self.query.name(), place, message);
        match Name::nearest(name, others.iter().copied()) {
            Some(nearest) => problem.with_hint(format!("did you mean {nearest:?}?")),
            None => problem,
        }
    }

    /// Where the placeholder of that name stands for the first time.
    fn place_of(&self, name: &str) -> Origin {
        let sql = self.text.sql();
        let is_it = |style: Style, part: &str| style.is_named() && style.label(part) == name;
        let found = tokens(sql, self.dialect.lexis).find(|token| match token.kind {
            Kind::Placeholder(style) => is_it(style, token.text(sql)),
            _ => false,
        });
        found.map_or(self.text.sql_place.clone(), |token| self.place_at(token.text(sql)))
    }

    /// Where `part` stands, which is a part of the text.
    fn place_at(&self, part: &str) -> Origin {
        let sql = self.text.sql();
        let bytes = part.as_ptr().addr().saturating_sub(sql.as_ptr().addr());
        place_behind(&self.text.sql_place, sql.get(..bytes).unwrap_or_default())
    }
}

/// The place behind `before`, which begins at `start`.
fn place_behind(start: &Origin, before: &str) -> Origin {
    let Origin::File { path, line, column } = start else { return start.clone() };
    let counted = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let (line, column) = match before.rsplit_once('\n') {
        None => (*line, column.saturating_add(counted(before.chars().count()))),
        Some((lines, last)) => {
            let further = lines.bytes().filter(|byte| *byte == b'\n').count() + 1;
            (line.saturating_add(counted(further)), counted(last.chars().count() + 1))
        }
    };
    Origin::File { path: path.clone(), line, column }
}

/// What is wrong with a statement, with its details.
fn told(error: &Error) -> String {
    let details: Vec<_> = error.context().map(|(key, value)| format!("{key}: {value}")).collect();
    if details.is_empty() {
        return error.message().to_owned();
    }
    format!("{} ({})", error.message(), details.join(", "))
}
