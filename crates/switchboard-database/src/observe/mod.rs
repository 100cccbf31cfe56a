//! What is told of statements: how long they took, what came, which were slow. Never a value.
//!
//! Read in this order: [`Watch`], which looks at one instance; [`Asked`], a statement under way, and
//! [`Reading`], one whose rows come a few at a time; `figures`, what each statement has cost;
//! `redacted`, what logs may show of values; `plans`, how the server runs what was slow; `repeats`, what is
//! asked again and again; `details`, what operators are shown.

mod details;
mod figures;
mod plans;
mod redacted;
mod repeats;

use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use switchboard_core::{BuildContext, Clock, Error, ErrorKind, Result};
use tracing::instrument::Instrumented;
use tracing::{Instrument as _, Span, field};

use self::figures::ACCOUNTS_MAX;
pub use self::figures::StatementFigures;
pub(crate) use self::figures::{Account, Ledger};
use self::plans::{Plans, Subject};
use self::redacted::{Kinds, ROWS_SHOWN_MAX, Sample};
use self::repeats::Repeats;
use crate::driver::{Done, Rows};
use crate::pool::Pool;
use crate::sql::Effect;
use crate::{Columns, DatabaseConfig, Dialect, Lexis, Row, Value};

/// Looks at the statements of one instance.
pub(crate) struct Watch {
    clock: Clock,
    instance: Box<str>,
    lexis: Lexis,
    ledger: Arc<Ledger>,
    /// What takes that long is told of; zero for never.
    slow: Duration,
    plans: Option<Plans>,
    repeats: Option<Repeats>,
    tells_queries: bool,
    tells_results: bool,
}

/// What is asked, as far as it may be known.
#[derive(Clone, Copy)]
pub(crate) struct Question<'q> {
    pub(crate) account: &'q Arc<Account>,
    pub(crate) kind: &'static str,
    pub(crate) sql: &'q Arc<str>,
    pub(crate) values: &'q [Value],
    /// Where in the program it was asked for, where that is known.
    pub(crate) at: Option<&'static Location<'static>>,
}

/// A statement under way. Dropped before its end, it was given up.
pub(crate) struct Asked<'q> {
    watch: &'q Arc<Watch>,
    question: Question<'q>,
    since: Instant,
    span: Span,
    is_open: bool,
}

/// A statement whose rows come a few at a time. Dropped before its end, it was given up.
pub(crate) struct Reading {
    watch: Arc<Watch>,
    account: Arc<Account>,
    kind: &'static str,
    sql: Arc<str>,
    columns: Columns,
    parameters: Kinds,
    /// What its plan may be asked for with.
    subject: Option<Subject>,
    span: Span,
    /// When what is under way began.
    since: Option<Instant>,
    took: Duration,
    rows: u64,
    sample: Option<String>,
    is_open: bool,
}

/// What came of a statement, once.
struct Run {
    at: Instant,
    took: Duration,
    rows: Amount,
    end: End,
}

/// How many rows.
#[derive(Clone, Copy)]
enum Amount {
    Rows(u64),
    Affected(u64),
    Unknown,
}

/// How a statement ended.
#[derive(Clone, Copy)]
enum End {
    Well,
    Failed(ErrorKind),
    Cancelled,
}

/// A statement that has ended, for those who tell of it.
struct Ended<'e> {
    account: &'e Arc<Account>,
    kind: &'static str,
    run: Run,
    parameters: &'e dyn Fn() -> Kinds,
    sample: &'e dyn Fn() -> Option<String>,
    subject: &'e dyn Fn() -> Option<Subject>,
}

impl Watch {
    /// One that asks for plans over connections of `pool`.
    pub(crate) fn new(
        config: &DatabaseConfig,
        build: &BuildContext,
        dialect: &Dialect,
        pool: &Pool,
    ) -> Arc<Self> {
        Arc::new(Self {
            clock: build.clock().clone(),
            instance: build.instance().as_str().into(),
            lexis: dialect.lexis,
            ledger: Arc::new(Ledger::new(ACCOUNTS_MAX)),
            slow: config.slow.threshold,
            plans: Plans::new(config, build, dialect, pool),
            repeats: Repeats::new(&config.n_plus_one),
            tells_queries: config.log_queries,
            tells_results: config.log_results,
        })
    }

    /// What the statements have cost.
    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// A statement is about to be sent.
    pub(crate) fn asked<'q>(self: &'q Arc<Self>, question: Question<'q>) -> Asked<'q> {
        let span = tracing::debug_span!(
            target: TARGET,
            "database.statement",
            instance = &*self.instance,
            statement = &**question.account.statement(),
            kind = question.kind,
            rows = field::Empty,
            affected = field::Empty,
            took = field::Empty,
            outcome = field::Empty,
        );
        Asked { watch: self, question, since: self.clock.now(), span, is_open: true }
    }

    fn ended(&self, ended: &Ended<'_>, span: &Span) {
        self.ledger.count(ended.account, &ended.run);
        if !span.is_disabled() {
            record(span, &ended.run);
        }
        if !self.slow.is_zero() && ended.run.took >= self.slow {
            self.tell_slow(ended);
            self.ask_for_plan(ended);
        }
        if self.tells_queries {
            self.tell_query(ended);
        }
        if self.tells_results
            && let Some(sample) = (ended.sample)()
        {
            self.tell_result(ended, &sample);
        }
    }

    #[cold]
    fn tell_slow(&self, ended: &Ended<'_>) {
        let run = &ended.run;
        tracing::warn!(
            target: TARGET,
            instance = &*self.instance,
            statement = &**ended.account.statement(),
            kind = ended.kind,
            parameters = %(ended.parameters)(),
            took = ?run.took,
            rows = run.rows.read(),
            affected = run.rows.affected(),
            outcome = run.end.as_str(),
            "slow statement"
        );
    }

    /// Of what ended well, or took too long for whoever waited: what the server refused has none.
    fn ask_for_plan(&self, ended: &Ended<'_>) {
        let Some(plans) = &self.plans else { return };
        let is_refused = matches!(ended.run.end, End::Failed(kind) if kind != ErrorKind::Timeout);
        if !is_refused && let Some(subject) = (ended.subject)() {
            plans.ask(subject);
        }
    }

    /// What may be asked for its plan, if that is wanted at all.
    fn subject(&self, question: &Question<'_>) -> Option<Subject> {
        let is_query = self.plans.is_some() && question.kind == kind_of(Effect::Read);
        let Question { account, sql, values, .. } = question;
        is_query.then(|| Subject::of(account.statement(), sql, values)).flatten()
    }

    #[cold]
    fn tell_repeats(&self, repeats: &Repeats, question: &Question<'_>, rows: u64) {
        let Question { account, at: Some(at), .. } = *question else { return };
        let repeated = repeats.count(account.statement(), rows, at, self.clock.now());
        let Some(repeated) = repeated else { return };
        tracing::warn!(
            target: TARGET,
            instance = &*self.instance,
            statement = &**account.statement(),
            count = repeated.count,
            first = %repeated.first,
            last = %at,
            "a query is asked again and again: one for all values would do"
        );
    }

    #[cold]
    fn tell_query(&self, ended: &Ended<'_>) {
        let run = &ended.run;
        tracing::info!(
            target: TARGET,
            instance = &*self.instance,
            statement = &**ended.account.statement(),
            kind = ended.kind,
            parameters = %(ended.parameters)(),
            took = ?run.took,
            rows = run.rows.read(),
            affected = run.rows.affected(),
            outcome = run.end.as_str(),
            "statement"
        );
    }

    #[cold]
    fn tell_result(&self, ended: &Ended<'_>, sample: &str) {
        tracing::info!(
            target: TARGET,
            instance = &*self.instance,
            statement = &**ended.account.statement(),
            rows = ended.run.rows.read(),
            sample,
            "rows"
        );
    }

    fn sample(&self, rows: &[Row], sql: &str) -> Option<String> {
        self.tells_results.then(|| Sample::of(rows, sql, self.lexis).to_string())
    }
}

impl<'q> Question<'q> {
    /// One whose text and values are not looked at.
    pub(crate) fn untold(account: &'q Arc<Account>, kind: &'static str) -> Self {
        Self { account, kind, sql: account.statement(), values: &[], at: None }
    }
}

impl Asked<'_> {
    /// `call` inside the span of the statement.
    pub(crate) fn within<F>(&self, call: F) -> Instrumented<F> {
        call.instrument(self.span.clone())
    }

    /// It ended as a statement does that changes something.
    pub(crate) fn done(self, done: &Result<Done>) {
        let rows = done.as_ref().map(|done| Amount::Affected(done.affected));
        self.end(rows.map_err(Error::kind), &|| None);
    }

    /// It ended with all its rows.
    pub(crate) fn rows(self, rows: &Result<Rows>) {
        let count = rows.as_ref().map(|rows| Amount::Rows(rows.rows.len() as u64));
        let (watch, sql) = (self.watch, self.question.sql);
        let sample = || watch.sample(&rows.as_ref().ok()?.rows, sql);
        self.end(count.map_err(Error::kind), &sample);
    }

    /// It ended with so many rows, of which no log shows any.
    pub(crate) fn counted(self, count: Result<u64, &Error>) {
        self.end(count.map(Amount::Rows).map_err(Error::kind), &|| None);
    }

    /// It ended as what says how many rows it has changed.
    pub(crate) fn changed(self, changed: &Result<u64>) {
        let count = changed.as_ref().map(|count| Amount::Affected(*count));
        self.end(count.map_err(Error::kind), &|| None);
    }

    /// It ended as what says nothing.
    pub(crate) fn ended(self, ended: &Result<()>) {
        let nothing = ended.as_ref().map(|()| Amount::Unknown);
        self.end(nothing.map_err(Error::kind), &|| None);
    }

    /// Its rows are there to be read, or it ended.
    pub(crate) fn opened(mut self, opened: Result<Columns>) -> Result<Reading> {
        match opened {
            Ok(columns) => {
                self.is_open = false;
                Ok(Reading::new(&self, columns))
            }
            Err(error) => {
                self.end(Err(error.kind()), &|| None);
                Err(error)
            }
        }
    }

    fn end(mut self, rows: Result<Amount, ErrorKind>, sample: &dyn Fn() -> Option<String>) {
        self.is_open = false;
        if let Some(repeats) = &self.watch.repeats
            && let Ok(Amount::Rows(rows)) = rows
            && self.question.kind == kind_of(Effect::Read)
        {
            self.watch.tell_repeats(repeats, &self.question, rows);
        }
        self.tell(rows.unwrap_or(Amount::Unknown), End::of(&rows), sample);
    }

    fn tell(&self, rows: Amount, end: End, sample: &dyn Fn() -> Option<String>) {
        let Question { account, kind, values, .. } = self.question;
        let at = self.watch.clock.now();
        let took = at.saturating_duration_since(self.since);
        let run = Run { at, took, rows, end };
        let parameters = || Kinds::of(values);
        let subject = || self.watch.subject(&self.question);
        let ended =
            Ended { account, kind, run, parameters: &parameters, sample, subject: &subject };
        self.watch.ended(&ended, &self.span);
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if self.is_open {
            self.tell(Amount::Unknown, End::Cancelled, &|| None);
        }
    }
}

impl Reading {
    fn new(asked: &Asked<'_>, columns: Columns) -> Self {
        let Question { account, kind, sql, values, .. } = asked.question;
        let took = asked.watch.clock.now().saturating_duration_since(asked.since);
        Self {
            watch: asked.watch.clone(),
            account: account.clone(),
            kind,
            sql: sql.clone(),
            columns,
            parameters: Kinds::of(values),
            subject: asked.watch.subject(&asked.question),
            span: asked.span.clone(),
            since: None,
            took,
            rows: 0,
            sample: None,
            is_open: true,
        }
    }

    /// The normal form of the statement.
    pub(crate) fn statement(&self) -> &Arc<str> {
        self.account.statement()
    }

    /// What is known of its columns.
    pub(crate) fn columns(&self) -> &Columns {
        &self.columns
    }

    /// `call`, which fetches more rows, inside the span of the statement.
    pub(crate) fn within<F>(&mut self, call: F) -> Instrumented<F> {
        self.since = Some(self.watch.clock.now());
        call.instrument(self.span.clone())
    }

    /// More rows came, or the last ones had come, or it failed.
    pub(crate) fn fetched(&mut self, rows: &Result<Vec<Row>>) {
        self.add_time();
        match rows {
            Ok(rows) if rows.is_empty() => self.end(End::Well),
            Ok(rows) => self.add(rows),
            Err(error) => self.end(End::Failed(error.kind())),
        }
    }

    /// Nobody wants the rows that are left.
    pub(crate) fn left(&mut self) {
        self.add_time();
        self.end(End::Cancelled);
    }

    fn add(&mut self, rows: &[Row]) {
        self.rows += rows.len() as u64;
        if self.sample.is_none() {
            self.sample = self.watch.sample(&rows[..rows.len().min(ROWS_SHOWN_MAX)], &self.sql);
        }
    }

    fn add_time(&mut self) {
        let Some(since) = self.since.take() else { return };
        self.took += self.watch.clock.now().saturating_duration_since(since);
    }

    fn end(&mut self, end: End) {
        if !std::mem::replace(&mut self.is_open, false) {
            return;
        }
        let (at, rows) = (self.watch.clock.now(), Amount::Rows(self.rows));
        let run = Run { at, took: self.took, rows, end };
        let (parameters, sample) = (|| self.parameters.clone(), || self.sample.clone());
        let (account, kind) = (&self.account, self.kind);
        let subject = || self.subject.clone();
        let (parameters, sample, subject) = (&parameters, &sample, &subject);
        let ended = Ended { account, kind, run, parameters, sample, subject };
        self.watch.ended(&ended, &self.span);
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.left();
    }
}

impl Amount {
    fn number(self) -> u64 {
        match self {
            Self::Rows(number) | Self::Affected(number) => number,
            Self::Unknown => 0,
        }
    }

    fn read(self) -> Option<u64> {
        if let Self::Rows(number) = self { Some(number) } else { None }
    }

    fn affected(self) -> Option<u64> {
        if let Self::Affected(number) = self { Some(number) } else { None }
    }
}

impl End {
    fn of<T>(result: &Result<T, ErrorKind>) -> Self {
        result.as_ref().err().map_or(Self::Well, |kind| Self::Failed(*kind))
    }

    /// The word in logs; of a failure, its kind.
    fn as_str(self) -> &'static str {
        match self {
            Self::Well => "ok",
            Self::Failed(kind) => kind.as_str(),
            Self::Cancelled => "cancelled",
        }
    }
}

/// The word for what a statement does.
pub(crate) fn kind_of(effect: Effect) -> &'static str {
    match effect {
        Effect::Read => "read",
        Effect::Write => "write",
        Effect::Session => "session",
        Effect::Control => "control",
    }
}

fn record(span: &Span, run: &Run) {
    span.record("took", field::debug(run.took));
    span.record("rows", run.rows.read());
    span.record("affected", run.rows.affected());
    span.record("outcome", run.end.as_str());
}

/// Where in the logs all this is found.
const TARGET: &str = "switchboard::database";
