//! Brings together what the schema and what serde say about a tree.
//!
//! A schema does not know everything that serde accepts: aliases, catch-all variants, hand-written
//! impls. So serde has the last word wherever it can be asked. Of a tree that serde takes, only
//! unknown keys, exceeded limits, lists in the place of tables and settings that were silently dropped
//! are mistakes, because those serde does not report. Of a tree that it refuses, each mistake is tried alone where that is possible. What remains uncertain:
//! in a tree that is wrong elsewhere, an alias inside of a flattened struct or a tagged or untagged
//! enum is called unknown, because serde buffers those before it looks at them.

use std::collections::HashSet;

use super::decode::{Failure, Probe, StandIn, Treatment};
use super::path::{self, Step};
use super::schema::{Class, Mistake};
use super::{Node, Problem, Settings};

/// Decodes the tree once more, watching one node.
pub(super) type Ask<'a> = &'a dyn Fn(&Probe<'_>) -> Result<(), Failure>;

/// The mistakes of a tree that serde accepts.
pub(super) fn of_accepted(mistakes: Vec<Mistake<'_>>, ask: Ask<'_>) -> Vec<Problem> {
    let real = mistakes.into_iter().enumerate().filter(|(asked, mistake)| match mistake.class {
        Class::Shape | Class::Listed if mistake.by_position => false,
        Class::Limit | Class::Listed => true,
        Class::Unknown => *asked >= PROBES_MAX || !is_in_use(mistake, ask),
        Class::Shape => *asked < PROBES_MAX && is_swallowed(mistake, ask),
        Class::Missing => false,
    });
    real.map(|(_, mistake)| mistake.problem).collect()
}

/// The mistakes of a tree that serde refuses; at least one.
pub(super) fn of_refused(
    mistakes: Vec<Mistake<'_>>,
    failures: Vec<Failure>,
    settings: &Settings,
    ask: Ask<'_>,
) -> Vec<Problem> {
    let (asked, unasked) = split(mistakes);
    let mut aliased: HashSet<String> = HashSet::new();
    let mut real: Vec<Mistake<'_>> = Vec::new();
    for mistake in asked {
        let probe = Probe::alone(&mistake.steps);
        // Only how far serde came is of interest, not what it missed on the way.
        let _ = ask(&probe);
        match (mistake.class, probe.treatment()) {
            (Class::Unknown, Treatment::Accepted | Treatment::Refused) => {
                aliased.insert(path::render(parent(&mistake.steps)));
            }
            (Class::Shape, Treatment::Accepted) if is_certain(&mistake.steps) => {}
            _ => real.push(mistake),
        }
    }
    real.extend(unasked);
    // Which key an alias stands for cannot be asked, so that none is called missing beside one.
    real.retain(|mistake| {
        mistake.class != Class::Missing || !aliased.contains(&path::render(&mistake.steps))
    });
    let mut problems: Vec<Problem> = real.into_iter().map(|mistake| mistake.problem).collect();

    // What was left out to find the next failure may be what a table above it misses then; it is
    // related, and no mistake of its own.
    for failure in failures {
        let failed = failure.path();
        if !problems.iter().any(|problem| is_related(&problem.path, &failed)) {
            problems.push(problem_of(failure, settings));
        }
    }
    problems
}

/// The one mistake that serde found.
pub(super) fn problem_of(failure: Failure, settings: &Settings) -> Problem {
    let path = failure.path();
    let message = if failure.may_quote {
        redacted(failure.message, &path, settings)
    } else {
        failure.message
    };
    let mut problem = Problem::new(path, failure.origin.unwrap_or_default(), message);
    problem.hint = failure.hint;
    problem.kind = failure.kind;
    problem
}

fn split(mut mistakes: Vec<Mistake<'_>>) -> (Vec<Mistake<'_>>, Vec<Mistake<'_>>) {
    let rest = mistakes.split_off(mistakes.len().min(PROBES_MAX));
    (mistakes, rest)
}

/// Whether serde reads a key that the schema does not list.
fn is_in_use(mistake: &Mistake<'_>, ask: Ask<'_>) -> bool {
    STAND_INS.into_iter().any(|stand_in| match treatment_of(mistake, stand_in, ask) {
        (Treatment::Accepted | Treatment::Refused, _) => true,
        (Treatment::Buffered, is_refused) => is_refused,
        (Treatment::Ignored | Treatment::Unreached, _) => false,
    })
}

/// Whether serde buffers the node and then goes on without it, whatever it is. An optional
/// flattened struct does that with everything it cannot read.
fn is_swallowed(mistake: &Mistake<'_>, ask: Ask<'_>) -> bool {
    STAND_INS
        .into_iter()
        .all(|stand_in| treatment_of(mistake, stand_in, ask) == (Treatment::Buffered, false))
}

/// What serde does with the node when it is something strange, and whether it then fails.
fn treatment_of(mistake: &Mistake<'_>, stand_in: StandIn, ask: Ask<'_>) -> (Treatment, bool) {
    let probe = Probe::in_place(&mistake.steps, stand_in);
    let is_refused = ask(&probe).is_err();
    (probe.treatment(), is_refused)
}

/// A node alone in its list may stand at the position of another.
fn is_certain(steps: &[Step<'_>]) -> bool {
    steps.iter().all(|step| matches!(step, Step::Key(_)))
}

fn parent<'a, 't>(steps: &'a [Step<'t>]) -> &'a [Step<'t>] {
    steps.split_last().map_or(&[], |(_, parent)| parent)
}

/// Whether one of two paths leads to or through the other.
fn is_related(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    let rest = long.strip_prefix(short);
    rest.is_some_and(|rest| short.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The message of a type about its value, without the value.
fn redacted(mut message: String, path: &str, settings: &Settings) -> String {
    let mut texts = Vec::new();
    let mut waiting: Vec<&Node> = match settings.get(path) {
        Some(node) => vec![node],
        None => settings.iter().map(|(_, node)| node).collect(),
    };
    while let Some(node) = waiting.pop() {
        texts.extend(node.as_str());
        waiting.extend(node.children());
    }
    // The longest first, so that no part of one is taken for another.
    texts.sort_unstable_by_key(|text| std::cmp::Reverse(text.len()));
    for text in texts {
        for form in [text.to_owned(), text.escape_debug().to_string()] {
            if form.len() >= TEXT_LENGTH_MIN {
                message = message.replace(&form, "***");
                continue;
            }
            for quote in ['"', '`', '\''] {
                message = message.replace(&format!("{quote}{form}{quote}"), "***");
            }
        }
    }
    message
}

/// No setting that is read is satisfied by each of these.
const STAND_INS: [StandIn; 2] = [StandIn::Nothing, StandIn::StrangeTable];

/// How many mistakes of one tree serde is asked about; each costs one or two decodings.
const PROBES_MAX: usize = 256;

/// Shorter texts are parts of ordinary words, and are taken out between quotes only.
const TEXT_LENGTH_MIN: usize = 3;
