//! `db lint`: what is known to go wrong with migrations, from their files alone.

use switchboard_database::{Finding, LintOptions, Migrations, Severity};

use super::configured::Configured;
use crate::arguments::Lint;
use crate::failure::{Exit, Result, one_line};
use crate::json::shown;
use crate::screen::{BAD, DOUBTFUL, Screen};
use crate::session::Session;

pub(super) async fn run(session: &mut Session, asked: &Lint) -> Result<Exit> {
    let configured = Configured::read(session, asked.of.database.as_deref()).await?;
    let migrations = Migrations::load(&configured.migrations.path)?;
    let mut options = LintOptions::new().has_lock_timeout(configured.has_lock_timeout);
    if let Some(version) = asked.since {
        options = options.since(version);
    }
    let findings = migrations.lint(configured.dialect()?, &options);
    tell(session, &findings)?;
    Ok(exit(&findings, asked.strict))
}

fn tell(session: &mut Session, findings: &[Finding]) -> Result<()> {
    if session.screen.is_json() {
        return session.screen.write_json(&shown(&findings)?);
    }
    if findings.is_empty() {
        return session.screen.write_line("nothing found");
    }
    for finding in findings {
        let told = told(&session.screen, finding);
        session.screen.write_line(told)?;
    }
    session.screen.note(summary(findings));
    Ok(())
}

fn exit(findings: &[Finding], is_strict: bool) -> Exit {
    let counts = |finding: &Finding| is_strict || finding.severity == Severity::Error;
    if findings.iter().any(counts) { Exit::Other } else { Exit::Fine }
}

/// A finding as compilers write theirs.
pub(super) fn told(screen: &Screen, finding: &Finding) -> String {
    let Finding { rule, severity, file, line, column, statement, why, instead, .. } = finding;
    let style = if *severity == Severity::Error { BAD } else { DOUBTFUL };
    let severity = screen.paint(style, severity.as_str());
    let file = one_line(file);
    let statement = one_line(statement);
    format!(
        "{file}:{line}:{column}: {severity} {rule}: {why}\n    {statement}\n    instead: {instead}"
    )
}

/// `2 errors, 1 warning`.
fn summary(findings: &[Finding]) -> String {
    let counted = |severity: Severity| {
        let count = findings.iter().filter(|finding| finding.severity == severity).count();
        let ending = if count == 1 { "" } else { "s" };
        format!("{count} {severity}{ending}")
    };
    format!("{}, {}", counted(Severity::Error), counted(Severity::Warning))
}
