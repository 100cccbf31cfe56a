//! Mistakes in what settings mean, found after they were read: each at the place of its setting.

use super::{Origin, Problem, Problems, Settings};
use crate::Error;

/// What a check of meaning says, such as that of a policy: `place` knows path and origin of a setting.
pub(crate) fn mistakes_of(error: &Error, place: &dyn Fn(&str) -> (String, Origin)) -> Problems {
    let mut problems = Problems::default();
    let mut waiting = vec![error];
    while let Some(error) = waiting.pop() {
        waiting.extend(error.related());
        let Some(setting) = error.context_value("setting") else { continue };
        let (path, origin) = place(setting);
        let message = match error.context_value("value") {
            Some(value) => format!("{}, found {value}", error.message()),
            None => error.message().to_owned(),
        };
        let problem = Problem::new(path, origin, message);
        let hint = error.hints().collect::<Vec<_>>().join("; ");
        problems.extend([if hint.is_empty() { problem } else { problem.with_hint(hint) }]);
    }
    problems
}

/// Where a setting was written; one that was left out is reported at the table it is missing from.
pub(crate) fn origin_within<'s>(table: &'s Settings, setting: &str) -> &'s Origin {
    let mut path = setting;
    loop {
        if let Some(node) = table.get(path) {
            return node.origin();
        }
        let Some((outer, _)) = path.rsplit_once('.') else { return table.origin() };
        path = outer;
    }
}
