//! How the server runs what was slow: asked afterwards, for the log.
//!
//! Only queries that by their text do nothing but read are asked about, without being run, and in a transaction
//! that only reads, over a connection that nobody needs. There is a budget: what does not fit is left out, since
//! the same statement will be slow again.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use switchboard_core::{BuildContext, Clock, Reaper, Result};

use super::TARGET;
use crate::driver::{Begin, Rows, Statement};
use crate::pool::{Pool, Taken};
use crate::sql::{is_explainable, plan_without_values};
use crate::{DatabaseConfig, Dialect, Lexis, Value};

/// Asks for plans of what was slow.
pub(super) struct Plans {
    asking: Arc<Asking>,
    reaper: Reaper,
    /// How many are asked for, of one.
    sample: f64,
    budget: Mutex<Budget>,
}

/// A statement that may be asked about.
#[derive(Clone)]
pub(super) struct Subject {
    statement: Arc<str>,
    sql: Arc<str>,
    values: Vec<Value>,
}

struct Asking {
    pool: Pool,
    clock: Clock,
    instance: Box<str>,
    lexis: Lexis,
    /// What is written before a statement.
    explain: &'static str,
}

/// When which statements were last asked about.
#[derive(Default)]
struct Budget(HashMap<Arc<str>, Instant>);

impl Plans {
    /// None where nobody wants plans, or the server has none.
    pub(super) fn new(
        config: &DatabaseConfig,
        build: &BuildContext,
        dialect: &Dialect,
        pool: &Pool,
    ) -> Option<Self> {
        let explain = dialect.explain.filter(|_| config.slow.explain)?;
        let asking = Asking {
            pool: pool.clone(),
            clock: build.clock().clone(),
            instance: build.instance().as_str().into(),
            lexis: dialect.lexis,
            explain,
        };
        Some(Self {
            asking: Arc::new(asking),
            reaper: build.reaper().clone(),
            sample: config.slow.sample,
            budget: Mutex::default(),
        })
    }

    /// Has the server asked for the plan of `subject`, if that is allowed and affordable. Nobody waits for it.
    #[cold]
    pub(super) fn ask(&self, subject: Subject) {
        let asking = self.asking.clone();
        let is_meant = asking.clock.fraction() < self.sample;
        if !is_meant || !is_explainable(&subject.sql, asking.lexis) {
            return;
        }
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        if budget.spend(&subject.statement, asking.clock.now()) {
            let job = async move { asking.tell(&subject).await };
            drop(self.reaper.submit("ask for a plan", LIMIT, job));
        }
    }
}

impl Subject {
    /// None where its values are too large to be kept for that.
    pub(super) fn of(statement: &Arc<str>, sql: &Arc<str>, values: &[Value]) -> Option<Self> {
        let is_small = values.iter().map(size).sum::<usize>() <= VALUES_BYTES_MAX;
        is_small.then(|| Self {
            statement: statement.clone(),
            sql: sql.clone(),
            values: values.to_vec(),
        })
    }
}

impl Asking {
    async fn tell(&self, subject: &Subject) -> Result<()> {
        let (instance, statement) = (&*self.instance, &*subject.statement);
        let Some(taken) = self.spare().await else {
            tracing::debug!(target: TARGET, instance, statement, "no connection to ask for a plan");
            return Ok(());
        };
        match self.plan(taken, subject).await {
            Ok(rows) => {
                let plan = shown(&rows, self.lexis);
                tracing::warn!(target: TARGET, instance, statement, plan, "plan of a slow statement");
            }
            Err(error) => {
                tracing::debug!(target: TARGET, instance, statement, %error, "no plan");
            }
        }
        Ok(())
    }

    /// A connection that nobody needs, once there is one: who has just asked gives its own back soon.
    async fn spare(&self) -> Option<Taken> {
        for _ in 0..TRIES_MAX {
            let spare = self.pool.spare().await;
            if spare.is_some() || self.pool.is_closed() {
                return spare;
            }
            self.clock.sleep(PAUSE).await;
        }
        None
    }

    async fn plan(&self, mut taken: Taken, subject: &Subject) -> Result<Rows> {
        let sql: Arc<str> = format!("{} {}", self.explain, subject.sql).into();
        let statement = Statement { sql: &sql, values: &subject.values, is_kept: false };
        let only_reads = Begin { is_read_only: true, ..Begin::default() };
        let mut busy = taken.begin(Some(&subject.statement));
        let connection = busy.connection();
        let rows = async {
            connection.begin(&only_reads).await?;
            let rows = connection.query(statement).await;
            connection.rollback().await?;
            rows
        };
        let rows = rows.await;
        busy.end();
        rows
    }
}

impl Budget {
    /// Whether `statement` may be asked about now; it counts as asked about then.
    fn spend(&mut self, statement: &Arc<str>, now: Instant) -> bool {
        let since = |asked: &Instant| now.saturating_duration_since(*asked);
        self.0.retain(|_, asked| since(asked) < AGAIN_AFTER);
        let lately = self.0.values().filter(|asked| since(asked) < MINUTE).count();
        match self.0.entry(statement.clone()) {
            Entry::Vacant(free) if lately < PER_MINUTE_MAX => {
                free.insert(now);
                true
            }
            _ => false,
        }
    }
}

/// A plan as logs may show it.
fn shown(rows: &Rows, lexis: Lexis) -> String {
    let whole = |values: &[Value]| values.iter().map(Value::to_text).collect::<Vec<_>>().join(" ");
    let plan = match rows.columns.position("detail") {
        // A value may have lines of its own, so they are read together.
        _ if rows.columns.len() == 1 => {
            let lines: Vec<_> = rows.rows.iter().map(|row| whole(row.values())).collect();
            plan_without_values(&lines.join("\n"), lexis)
        }
        Some(detail) => {
            let lines = rows.rows.iter().filter_map(|row| row.values().get(detail));
            let lines: Vec<_> = lines.map(Value::to_text).collect();
            plan_without_values(&lines.join("\n"), lexis)
        }
        None => table(rows, lexis),
    };
    bounded(plan)
}

/// `id: 1, table: users, rows: 7`; a line for each row.
fn table(rows: &Rows, lexis: Lexis) -> String {
    let mut text = String::new();
    for row in &rows.rows {
        let cells = row.columns().iter().zip(row.values());
        let cells = cells.filter(|(_, value)| **value != Value::Null);
        for (number, (column, value)) in cells.enumerate() {
            let before = match number {
                0 if text.is_empty() => "",
                0 => "\n",
                _ => ", ",
            };
            let value = value.to_text();
            let is_figure = value.bytes().all(|letter| letter.is_ascii_digit());
            let value = if is_figure { value } else { plan_without_values(&value, lexis).into() };
            // Writing to a string cannot fail.
            let _ = write!(text, "{before}{}: {value}", column.name);
        }
    }
    text
}

fn bounded(mut plan: String) -> String {
    if let Some((end, _)) = plan.char_indices().nth(LENGTH_MAX) {
        plan.truncate(end);
        plan.push('…');
    }
    plan
}

fn size(value: &Value) -> usize {
    let inside = match value {
        Value::Text(text) | Value::Json(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Array(values) => values.iter().map(size).sum(),
        _ => 0,
    };
    size_of::<Value>() + inside
}

/// How many plans are asked for in a minute, and when the same statement is asked about again.
const PER_MINUTE_MAX: usize = 6;
const MINUTE: Duration = Duration::from_mins(1);
const AGAIN_AFTER: Duration = Duration::from_mins(10);

/// How long asking for one may take, with the wait for a connection.
const LIMIT: Duration = Duration::from_secs(15);

/// How often it is looked whether there is a connection that nobody needs, and the pause in between.
const TRIES_MAX: usize = 30;
const PAUSE: Duration = Duration::from_millis(100);

/// How large all values of a statement may be that is asked about.
const VALUES_BYTES_MAX: usize = 64 * 1024;

/// How long a plan may be in a log, in characters.
const LENGTH_MAX: usize = 8_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::dialects::{MYSQL, POSTGRES, SQLITE};
    use crate::{Column, Columns, Row};

    fn rows(names: &[&str], rows: &[&[Value]]) -> Rows {
        let column = |name: &&str| Column { name: (*name).into(), type_name: None };
        let columns = Columns::new(names.iter().map(column));
        let rows = rows.iter().map(|values| Row::new(columns.clone(), values.to_vec())).collect();
        Rows { columns, rows }
    }

    #[test]
    fn a_statement_is_asked_about_once_in_ten_minutes() {
        let (mut budget, start) = (Budget::default(), Clock::system().now());
        let after = |minutes| start + Duration::from_mins(minutes);
        let spent: Vec<_> =
            [0, 0, 9, 10, 19, 20].map(|at| budget.spend(&"a".into(), after(at))).into();
        assert_eq!(spent, [true, false, false, true, false, true]);
    }

    #[test]
    fn no_more_than_six_are_asked_about_in_a_minute() {
        let (mut budget, start) = (Budget::default(), Clock::system().now());
        let mut spend = |first: u64, after| {
            let names = (first..first + 20).map(|number| Arc::from(number.to_string()));
            names.filter(|name| budget.spend(name, start + Duration::from_secs(after))).count()
        };
        assert_eq!((spend(0, 0), spend(100, 59), spend(200, 60)), (6, 0, 6));
        for minute in 2..60 {
            spend(minute * 1_000, minute * 60);
        }
        assert!(budget.0.len() <= 60, "{} are remembered", budget.0.len());
    }

    #[test]
    fn lines_of_a_value_are_no_lines_of_the_plan() {
        let lines = [
            "Seq Scan on t  (cost=0.00..1.50 rows=7 width=4)",
            "Filter: (a = 'secret",
            "secret 7'::text)",
        ];
        let lines = lines.map(|line| [Value::from(line)]);
        let rows = rows(&["QUERY PLAN"], &lines.each_ref().map(|line| &line[..]));
        let expected = "Seq Scan on t  (cost=0.00..1.50 rows=7 width=4)\nFilter: (a = ?::text)";
        assert_eq!(shown(&rows, POSTGRES.lexis), expected);
    }

    #[test]
    fn a_table_is_shown_by_its_columns_and_without_what_is_not_there() {
        let names = ["id", "table", "ref", "rows", "Extra"];
        let one = ["1", "t", "const", "7"].map(Value::from);
        let first = [&one[..], &["using 'secret'".into()]].concat();
        let second = [2.into(), Value::Null, Value::Null, 8.into(), Value::Null];
        let table = rows(&names, &[&first, &second]);
        let expected = "id: 1, table: t, ref: const, rows: 7, Extra: using ?\nid: 2, rows: 8";
        assert_eq!(shown(&table, MYSQL.lexis), expected);
        let rows = rows(
            &["id", "detail"],
            &[&[2.into(), "SCAN t".into()], &[3.into(), "SEARCH u".into()]],
        );
        assert_eq!(shown(&rows, SQLITE.lexis), "SCAN t\nSEARCH u");
    }

    #[test]
    fn what_is_too_large_is_not_kept_and_not_told() {
        let large = [Value::from(vec!["x".repeat(VALUES_BYTES_MAX)])];
        assert!(Subject::of(&"a".into(), &"a".into(), &large).is_none());
        assert!(Subject::of(&"a".into(), &"a".into(), &[7.into()]).is_some());
        let long = ["ü".repeat(LENGTH_MAX + 1)].map(Value::from);
        let told = shown(&rows(&["a"], &[&long]), SQLITE.lexis);
        assert_eq!(told.chars().count(), LENGTH_MAX + 1);
        assert!(told.ends_with('…'));
    }
}
