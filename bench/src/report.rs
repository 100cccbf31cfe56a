//! Writes what was measured as a page, one section per line.
//!
//! Sections of lines that were not run stay as they are, each with the stamp of its own run.

use std::fmt::Write as _;

use crate::line::Line;
use crate::machine::{Stamp, with_version};
use crate::measure::{Measured, Outcome, Plan};
use crate::stats::ratio;
use crate::verdict::{ALLOCATIONS_NOTICED, Verdict};

/// The section of `line`.
pub fn section(line: &Line, plan: &Plan, results: &[Measured], stamps: [&Stamp; 2]) -> String {
    let mut page = format!("## {}\n\n{}\n\n", line.name, line.about);
    table(&mut page, line, results);
    goals(&mut page, line, results);
    let [before, after] = stamps;
    let (kind, rounds, span) = (plan.name, plan.rounds, before.until(after));
    line_of(&mut page, format_args!("A {kind} run of {rounds} rounds. {span}.\n"));
    page
}

/// `page` with `sections` in place of those of the same names, and `stamp` in its opening.
///
/// Sections named in `order` stand in that order; others follow.
pub fn merge(page: &str, sections: Vec<String>, order: &[&str], stamp: &Stamp) -> String {
    let mut kept: Vec<String> = split(page);
    for section in sections {
        match kept.iter_mut().find(|old| name_of(old) == name_of(&section)) {
            Some(old) => *old = section,
            None => kept.push(section),
        }
    }
    kept.sort_by_key(|section| {
        order.iter().position(|name| *name == name_of(section)).unwrap_or(usize::MAX)
    });
    format!("{OPENING}Last run: {stamp}.\n\n{}", kept.concat())
}

fn table(page: &mut String, line: &Line, results: &[Measured]) {
    let figure = line.figure.map(|name| (format!(" {name} |"), " ---: |"));
    let (heading, rule) = figure.unwrap_or_default();
    let reference = line.reference;
    line_of(
        page,
        format_args!(
            "| threads | contender | version | times `{reference}` [quartiles] | ns/op (this \
             machine only) | allocations/op |{heading}"
        ),
    );
    line_of(page, format_args!("| ---: | --- | --- | ---: | ---: | ---: |{rule}"));
    for measured in results {
        for outcome in &measured.outcomes {
            row(page, line, measured, outcome);
        }
    }
    page.push('\n');
}

fn row(page: &mut String, line: &Line, measured: &Measured, outcome: &Outcome) {
    let times = measured.of(line.reference).map(|reference| outcome.times(reference));
    let times = times.map_or_else(
        || "–".to_owned(),
        |times| format!("{} [{}..{}]", ratio(times.median), ratio(times.low), ratio(times.high)),
    );
    let versions: Vec<String> = outcome.packages.iter().map(|name| with_version(name)).collect();
    let figure = line.figure.map(|_| match outcome.figure {
        Some(figure) => format!(" {figure:.3} |"),
        None => " – |".to_owned(),
    });
    line_of(
        page,
        format_args!(
            "| {} | `{}` | {} | {times} | {:.1} | {} |{}",
            measured.threads,
            outcome.name,
            if versions.is_empty() { "–".to_owned() } else { versions.join(", ") },
            outcome.nanoseconds().median,
            allocations(outcome.allocations),
            figure.unwrap_or_default(),
        ),
    );
}

fn allocations(per_operation: f64) -> String {
    if per_operation < ALLOCATIONS_NOTICED { "0".to_owned() } else { format!("{per_operation:.2}") }
}

fn goals(page: &mut String, line: &Line, results: &[Measured]) {
    for goal in &line.goals {
        let verdict = match goal.judge(results) {
            Verdict::Met(found) => format!("**met**, {found}"),
            Verdict::Missed(found) => format!("**missed**, {found}"),
            Verdict::Unmeasured => "not measured".to_owned(),
        };
        line_of(page, format_args!("- {}: {verdict}", goal.text()));
    }
    if !line.goals.is_empty() {
        page.push('\n');
    }
}

/// The sections of `page`; what stands before the first is not kept.
fn split(page: &str) -> Vec<String> {
    let sections = page.split_inclusive('\n').fold(Vec::new(), |mut sections, text| {
        if text.starts_with("## ") {
            sections.push(String::new());
        }
        if let Some(section) = sections.last_mut() {
            String::push_str(section, text);
        }
        sections
    });
    sections.iter().map(|section| format!("{}\n\n", section.trim_end())).collect()
}

fn name_of(section: &str) -> &str {
    section.lines().next().unwrap_or_default().trim_start_matches("## ")
}

/// Adds a line of text; a `String` takes everything, so there is no failure to hand on.
fn line_of(page: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = writeln!(page, "{text}");
}

const OPENING: &str = "# Results

Written by the harness in this folder; `README.md` says how to read it. Contenders of a section ran
side by side in one run: compare within a section, never between two. Ratios are medians of what
each round gave, with quartiles; nanoseconds hold for that machine and that hour only.

";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_sections_that_ran_are_replaced() {
        let page = "# Results\n\nopening\n\n## one\n\nold one\n\n## two\n\nold two\n\n";
        let merged =
            merge(page, vec!["## two\n\nnew two\n\n".to_owned()], &["one", "two"], &Stamp::now());
        assert!(merged.contains("## one\n\nold one\n\n## two\n\nnew two\n\n"), "{merged}");
        assert!(!merged.contains("old two") && !merged.contains("\nopening"), "{merged}");
    }

    #[test]
    fn sections_stand_in_the_order_of_the_list() {
        let sections = vec!["## two\n\nb\n\n".to_owned(), "## one\n\na\n\n".to_owned()];
        let merged = merge("", sections, &["one", "two"], &Stamp::now());
        assert!(merged.contains("## one\n\na\n\n## two\n\nb\n\n"), "{merged}");
        assert_eq!(merge(&merged, Vec::new(), &["one", "two"], &Stamp::now()).len(), merged.len());
    }
}
