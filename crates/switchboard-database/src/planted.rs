//! Proves that the rules notice: each driver here has one bug, and a rule that must name it.
//!
//! Every bug is put around connections of a driver that keeps all rules, by overriding what it gets wrong.

use std::any::Any;
use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_core::{
    Descriptor, Error, ErrorKind, Lifecycle, Outcome, Registry, Reply, Result, Settings,
};

use crate::conformance::{Fixture, Residue, Words, check};
use crate::drivers::sqlite::{Sqlite, SqliteConfig};
use crate::{
    Begin, BulkTarget, Columns, Connection, DatabaseDriver, Databases, Dialect, Done,
    DriverSettings, Lane, Lanes, Row, Rows, Savepoint, State, Statement, Value, Violation,
};

/// What a bug gets wrong; all else is done right.
trait Bug: Send + Sync + Sized + 'static {
    fn execute<'a>(on: &'a mut Planted<Self>, statement: Statement<'a>) -> Reply<'a, Done> {
        on.inner.execute(statement)
    }
    fn query<'a>(on: &'a mut Planted<Self>, statement: Statement<'a>) -> Reply<'a, Rows> {
        on.inner.query(statement)
    }
    fn fetch(on: &mut Planted<Self>, max: usize) -> Reply<'_, Vec<Row>> {
        on.inner.fetch(max)
    }
    fn close_rows(on: &mut Planted<Self>) -> Reply<'_, ()> {
        on.inner.close_rows()
    }
    fn script<'a>(on: &'a mut Planted<Self>, sql: &'a str) -> Reply<'a, ()> {
        on.inner.script(sql)
    }
    fn bulk<'a>(
        on: &'a mut Planted<Self>,
        target: BulkTarget<'a>,
        rows: &'a [Vec<Value>],
    ) -> Reply<'a, u64> {
        on.inner.bulk(target, rows)
    }
    fn commit(on: &mut Planted<Self>) -> Reply<'_, ()> {
        on.inner.commit()
    }
    fn rollback(on: &mut Planted<Self>) -> Reply<'_, ()> {
        on.inner.rollback()
    }
    fn savepoint(on: &mut Planted<Self>, step: Savepoint, depth: u32) -> Reply<'_, ()> {
        on.inner.savepoint(step, depth)
    }
    fn recover(on: &mut Planted<Self>) -> Reply<'_, State> {
        on.inner.recover()
    }
    fn reset(on: &mut Planted<Self>) -> Reply<'_, ()> {
        on.inner.reset()
    }
    fn ping(on: &mut Planted<Self>) -> Reply<'_, ()> {
        on.inner.ping()
    }
}

struct Planted<B> {
    inner: Box<dyn Connection>,
    bug: PhantomData<fn(&B)>,
}

impl<B: Bug> Connection for Planted<B> {
    fn execute<'a>(&'a mut self, statement: Statement<'a>) -> Reply<'a, Done> {
        B::execute(self, statement)
    }
    fn query<'a>(&'a mut self, statement: Statement<'a>) -> Reply<'a, Rows> {
        B::query(self, statement)
    }
    fn open_rows<'a>(&'a mut self, statement: Statement<'a>) -> Reply<'a, Columns> {
        self.inner.open_rows(statement)
    }
    fn fetch(&mut self, max: usize) -> Reply<'_, Vec<Row>> {
        B::fetch(self, max)
    }
    fn close_rows(&mut self) -> Reply<'_, ()> {
        B::close_rows(self)
    }
    fn script<'a>(&'a mut self, sql: &'a str) -> Reply<'a, ()> {
        B::script(self, sql)
    }
    fn bulk<'a>(&'a mut self, target: BulkTarget<'a>, rows: &'a [Vec<Value>]) -> Reply<'a, u64> {
        B::bulk(self, target, rows)
    }
    fn begin<'a>(&'a mut self, options: &'a Begin) -> Reply<'a, ()> {
        self.inner.begin(options)
    }
    fn commit(&mut self) -> Reply<'_, ()> {
        B::commit(self)
    }
    fn rollback(&mut self) -> Reply<'_, ()> {
        B::rollback(self)
    }
    fn savepoint(&mut self, step: Savepoint, depth: u32) -> Reply<'_, ()> {
        B::savepoint(self, step, depth)
    }
    fn state(&self) -> State {
        self.inner.state()
    }
    fn recover(&mut self) -> Reply<'_, State> {
        B::recover(self)
    }
    fn reset(&mut self) -> Reply<'_, ()> {
        B::reset(self)
    }
    fn ping(&mut self) -> Reply<'_, ()> {
        B::ping(self)
    }
    fn close(self: Box<Self>) -> Reply<'static, ()> {
        self.inner.close()
    }
    fn native(&mut self) -> &mut dyn Any {
        self.inner.native()
    }
}

type Plant = fn(Box<dyn Connection>) -> Box<dyn Connection>;

struct Garden {
    soil: Sqlite,
    plant: Plant,
}

impl Lifecycle for Garden {
    fn close(&self) -> Reply<'_, ()> {
        self.soil.close()
    }
}

impl DatabaseDriver for Garden {
    fn dialect(&self) -> &'static Dialect {
        self.soil.dialect()
    }
    fn lanes(&self) -> Lanes {
        self.soil.lanes()
    }
    fn connect(&self, lane: Lane) -> Reply<'_, Box<dyn Connection>> {
        Reply::run(async move { self.soil.connect(lane).await.map(self.plant) })
    }
}

#[derive(Deserialize, JsonSchema)]
struct GardenConfig {}

impl DriverSettings for GardenConfig {
    type Driver = Garden;
}

fn planted<B: Bug>(inner: Box<dyn Connection>) -> Box<dyn Connection> {
    Box::new(Planted::<B> { inner, bug: PhantomData })
}

fn register(registry: &Registry<Databases>, plant: Plant) -> Result<()> {
    crate::register(
        registry,
        Descriptor::new("garden"),
        move |_: GardenConfig, context| async move {
            let config = SqliteConfig { memory: true, ..SqliteConfig::default() };
            let clock = context.build().clock().clone();
            Ok(Garden { soil: Sqlite::new(config, context.database(), clock)?, plant })
        },
    )
}

fn sound() -> Fixture {
    fixture(|registry| register(registry, |inner| inner))
}

fn bugged<B: Bug>() -> Fixture {
    fixture(|registry| register(registry, planted::<B>))
}

fn fixture(register: fn(&Registry<Databases>) -> Result<()>) -> Fixture {
    const RESIDUES: &[Residue] =
        &[Residue { left_by: "pragma foreign_keys = off", seen_by: "pragma foreign_keys" }];
    Fixture::new(register).settings(|_| Settings::new()).private().words(Words {
        decimal: "decimal text",
        time: "time",
        date_time: "datetime",
        timestamp: "timestamp",
        made_key: "integer primary key",
        tells_last_id: true,
        names: &[Violation::Check],
        deferred: Some("deferrable initially deferred"),
        residues: RESIDUES,
        ..Words::default()
    })
}

/// The same error with another outcome, or of another kind.
fn told_anew(error: &Error, kind: ErrorKind, outcome: Outcome) -> Error {
    Error::new(kind, error.message().to_owned()).with_outcome(outcome)
}

/// One test for each bug: the rule notices it, and is content with the same driver without it.
macro_rules! bugs {
    ($( $bug:ident: $test:ident, by $rule:ident { $( $body:item )* } )+) => { $(
        struct $bug;

        impl Bug for $bug { $( $body )* }

        #[test]
        fn $test() {
            let rule = stringify!($rule);
            assert_eq!(check(&sound(), rule), Ok(()), "without the bug");
            check(&bugged::<$bug>(), rule).expect_err("the rule did not notice");
        }
    )+ };
}

bugs! {
    CommitForgets: a_commit_that_keeps_nothing_is_noticed, by what_ends_well_lasts {
        fn commit(on: &mut Planted<Self>) -> Reply<'_, ()> {
            on.inner.rollback()
        }
    }

    RollbackKeeps: a_rollback_that_keeps_is_noticed,
        by what_fails_panics_or_is_dropped_is_taken_back {
        fn rollback(on: &mut Planted<Self>) -> Reply<'_, ()> {
            on.inner.commit()
        }
    }

    SavepointKeeps: a_savepoint_that_keeps_all_is_noticed,
        by savepoints_five_deep_keep_what_is_outside_of_the_one_rolled_back {
        fn savepoint(on: &mut Planted<Self>, step: Savepoint, depth: u32) -> Reply<'_, ()> {
            let kept = if step == Savepoint::RollBack { Savepoint::Release } else { step };
            on.inner.savepoint(kept, depth)
        }
    }

    SavepointIsForgotten: a_savepoint_that_survives_its_scope_is_noticed,
        by a_stack_in_a_transaction_leaves_the_transaction_usable {
        fn savepoint(on: &mut Planted<Self>, step: Savepoint, depth: u32) -> Reply<'_, ()> {
            match step {
                Savepoint::RollBack => Reply::ready(Ok(())),
                other => on.inner.savepoint(other, depth),
            }
        }
    }

    PartIsKept: a_part_that_is_kept_although_it_failed_is_noticed,
        by what_is_all_or_none_is_so_inside_of_a_transaction {
        fn savepoint(on: &mut Planted<Self>, step: Savepoint, depth: u32) -> Reply<'_, ()> {
            let kept = if step == Savepoint::RollBack { Savepoint::Release } else { step };
            on.inner.savepoint(kept, depth)
        }
    }

    PartStaysOpen: a_part_that_is_still_open_after_its_call_is_noticed,
        by a_dropped_batch_leaves_its_transaction_without_a_part_of_it {
        fn execute<'a>(on: &'a mut Planted<Self>, statement: Statement<'a>) -> Reply<'a, Done> {
            Reply::run(async move {
                // So that it can be dropped here, however soon the driver answers.
                tokio::task::yield_now().await;
                on.inner.execute(statement).await
            })
        }
        fn savepoint(on: &mut Planted<Self>, step: Savepoint, depth: u32) -> Reply<'_, ()> {
            match step {
                Savepoint::RollBack => Reply::ready(Ok(())),
                other => on.inner.savepoint(other, depth),
            }
        }
    }

    HalfIsKept: a_half_that_lasts_on_a_connection_is_noticed,
        by what_is_all_or_none_is_so_on_a_connection_of_ones_own {
        fn rollback(on: &mut Planted<Self>) -> Reply<'_, ()> {
            on.inner.commit()
        }
    }

    ResetForgetsNothing: a_reset_that_leaves_all_is_noticed,
        by what_is_left_on_a_connection_is_gone_for_the_next {
        fn reset(_: &mut Planted<Self>) -> Reply<'_, ()> {
            Reply::ready(Ok(()))
        }
    }

    RecoverLies: a_recovery_that_says_idle_is_noticed,
        by a_dropped_query_leaves_the_pool_whole {
        fn execute<'a>(on: &'a mut Planted<Self>, statement: Statement<'a>) -> Reply<'a, Done> {
            Reply::run(async move {
                // So that it is dropped inside of a transaction, however soon the driver answers.
                tokio::task::yield_now().await;
                on.inner.execute(statement).await
            })
        }
        fn recover(on: &mut Planted<Self>) -> Reply<'_, State> {
            Reply::run(async move {
                on.inner.recover().await?;
                Ok(State::Idle)
            })
        }
    }

    CountsOne: a_wrong_count_is_noticed, by a_statement_counts_the_rows_it_changed {
        fn execute<'a>(on: &'a mut Planted<Self>, statement: Statement<'a>) -> Reply<'a, Done> {
            Reply::run(async move {
                let done = on.inner.execute(statement).await?;
                Ok(Done { affected: done.affected.min(1), ..done })
            })
        }
    }

    TellsNoId: a_last_id_that_is_not_told_is_noticed,
        by the_last_id_is_told_where_the_server_tells_it {
        fn execute<'a>(on: &'a mut Planted<Self>, statement: Statement<'a>) -> Reply<'a, Done> {
            Reply::run(async move { Ok(on.inner.execute(statement).await?.with_last_id(None)) })
        }
    }

    LosesARow: a_row_lost_between_two_fetches_is_noticed, by a_stream_brings_all_rows_in_order {
        fn fetch(on: &mut Planted<Self>, max: usize) -> Reply<'_, Vec<Row>> {
            Reply::run(async move {
                let mut rows = on.inner.fetch(max).await?;
                rows.truncate(max.min(rows.len()).max(2) - 1);
                Ok(rows)
            })
        }
    }

    ClosesTooMuch: a_stream_that_ends_its_transaction_is_noticed,
        by a_stream_that_is_left_leaves_its_transaction_as_it_was {
        fn close_rows(on: &mut Planted<Self>) -> Reply<'_, ()> {
            Reply::run(async move {
                on.inner.close_rows().await?;
                on.inner.rollback().await
            })
        }
    }

    ScriptGoesOn: a_script_that_goes_on_is_noticed,
        by a_script_stops_at_the_first_statement_that_fails {
        fn script<'a>(on: &'a mut Planted<Self>, sql: &'a str) -> Reply<'a, ()> {
            Reply::run(async move {
                let mut answer = Ok(());
                for statement in sql.split_inclusive(';') {
                    answer = answer.and(on.inner.script(statement).await);
                }
                answer
            })
        }
    }

    BulkWritesBackslashes: a_text_that_changes_in_bulk_is_noticed,
        by rows_inserted_in_bulk_are_what_was_given {
        fn bulk<'a>(
            on: &'a mut Planted<Self>, target: BulkTarget<'a>, rows: &'a [Vec<Value>],
        ) -> Reply<'a, u64> {
            Reply::run(async move {
                let escaped = |value: &Value| match value {
                    Value::Text(text) => Value::Text(text.replace('\\', "\\\\")),
                    other => other.clone(),
                };
                let rows: Vec<Vec<Value>> =
                    rows.iter().map(|row| row.iter().map(escaped).collect()).collect();
                on.inner.bulk(target, &rows).await
            })
        }
    }

    BulkCountsLess: a_bulk_insert_that_counts_wrong_is_noticed,
        by many_rows_are_inserted_all_or_none {
        fn bulk<'a>(
            on: &'a mut Planted<Self>, target: BulkTarget<'a>, rows: &'a [Vec<Value>],
        ) -> Reply<'a, u64> {
            Reply::run(async move { Ok(on.inner.bulk(target, rows).await?.min(1_000)) })
        }
    }

    SomeArePut: a_half_of_an_upsert_that_is_not_taken_back_is_noticed,
        by more_rows_than_a_statement_takes_are_put_all_or_none {
        fn rollback(on: &mut Planted<Self>) -> Reply<'_, ()> {
            on.inner.commit()
        }
    }

    KeepsAll: an_upsert_that_updates_nothing_is_noticed,
        by rows_that_are_there_are_updated_and_others_inserted {
        fn execute<'a>(on: &'a mut Planted<Self>, statement: Statement<'a>) -> Reply<'a, Done> {
            Reply::run(async move {
                let kept = statement.sql.split(" do update ").next().unwrap_or_default();
                let ignored = kept.len() < statement.sql.len();
                let sql = if ignored { format!("{kept} do nothing") } else { kept.to_owned() };
                on.inner.execute(Statement { sql: &sql.into(), ..statement }).await
            })
        }
    }

    TellsTooMuch: rows_that_are_told_before_they_are_sent_are_noticed,
        by what_is_told_of_many_rows_goes_up_to_all_of_them {
        fn bulk<'a>(
            on: &'a mut Planted<Self>, target: BulkTarget<'a>, rows: &'a [Vec<Value>],
        ) -> Reply<'a, u64> {
            if let Some(sent) = target.sent {
                sent.reached(rows.len());
            }
            on.inner.bulk(target, rows)
        }
    }

    NullIsEmpty: a_null_that_becomes_a_text_is_noticed,
        by nothing_comes_back_from_a_column_of_every_kind {
        fn query<'a>(on: &'a mut Planted<Self>, statement: Statement<'a>) -> Reply<'a, Rows> {
            Reply::run(async move { Ok(changed(on.inner.query(statement).await?, |value| {
                if value.is_null() { Value::Text(String::new()) } else { value }
            })) })
        }
    }

    NumbersAreRounded: a_number_that_loses_its_last_digits_is_noticed,
        by the_limits_of_numbers_times_texts_and_bytes_are_kept {
        fn query<'a>(on: &'a mut Planted<Self>, statement: Statement<'a>) -> Reply<'a, Rows> {
            Reply::run(async move { Ok(changed(on.inner.query(statement).await?, |value| {
                match value {
                    Value::Int(number) => Value::Int(number / 2 * 2),
                    other => other,
                }
            })) })
        }
    }

    ViolationIsUnnamed: a_violation_that_is_not_told_as_one_is_noticed,
        by a_unique_violation_is_told_with_its_constraint {
        fn execute<'a>(on: &'a mut Planted<Self>, statement: Statement<'a>) -> Reply<'a, Done> {
            Reply::run(async move {
                on.inner.execute(statement).await.map_err(|error| {
                    told_anew(&error, ErrorKind::Unexpected, Outcome::NotApplied)
                })
            })
        }
    }

    RefusalIsInDoubt: a_refusal_that_leaves_its_outcome_open_is_noticed,
        by a_statement_the_server_does_not_understand_is_invalid_and_harmless {
        fn execute<'a>(on: &'a mut Planted<Self>, statement: Statement<'a>) -> Reply<'a, Done> {
            Reply::run(async move {
                on.inner.execute(statement).await.map_err(|error| {
                    told_anew(&error, error.kind(), Outcome::Unknown)
                })
            })
        }
    }

    ErrorsShowValues: an_error_that_shows_a_value_is_noticed,
        by no_error_shows_the_value_of_a_parameter {
        fn execute<'a>(on: &'a mut Planted<Self>, statement: Statement<'a>) -> Reply<'a, Done> {
            Reply::run(async move {
                on.inner.execute(statement).await.map_err(|error| {
                    let values: Vec<_> = statement.values.iter().map(Value::to_text).collect();
                    error.with_context("values", values.join(", "))
                })
            })
        }
    }

    PingFails: a_ping_that_fails_is_noticed, by a_database_at_work_is_healthy {
        fn ping(_: &mut Planted<Self>) -> Reply<'_, ()> {
            Reply::ready(Err(Error::new(ErrorKind::Unavailable, "nobody is there")))
        }
    }
}

fn changed(rows: Rows, change: impl Fn(Value) -> Value) -> Rows {
    let columns = rows.columns.clone();
    let change = |row: Row| {
        let values = row.into_values().into_iter().map(&change).collect();
        Row::new(columns.clone(), values)
    };
    Rows { columns: rows.columns, rows: rows.rows.into_iter().map(change).collect() }
}
