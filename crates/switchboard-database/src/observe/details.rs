//! What operators and monitoring systems are shown of a database: its pools, who has connections, and
//! what statements cost. Never a value; and in labels no statement, because there may be many.

use std::cmp::Reverse;

use switchboard_core::{Details, Durations, Metric};

use super::StatementFigures;
use crate::Engine;
use crate::pool::{CloseReason, Holder, PoolFigures, Spread};

impl Engine {
    pub(crate) fn shown(&self) -> Details {
        let pools: Vec<_> = self.named_pools().map(|(name, pool)| pool_of(name, &pool)).collect();
        let holders: Vec<_> = self.holders().iter().map(holder).collect();
        Details::new()
            .with("dialect", self.dialect().name)
            .with("pools", pools)
            .with("holders", holders)
            .with("statements", statements(self.statements()))
    }

    pub(crate) fn counted(&self) -> Vec<Metric> {
        let mut metrics: Vec<_> =
            self.named_pools().flat_map(|(name, pool)| metrics_of_pool(name, &pool)).collect();
        metrics.extend(metrics_of_statements(&self.statements()));
        metrics
    }

    /// What the pools are called.
    fn named_pools(&self) -> impl Iterator<Item = (&'static str, PoolFigures)> {
        ["write", "read"].into_iter().zip(self.pools())
    }
}

fn pool_of(name: &'static str, pool: &PoolFigures) -> Details {
    let closed = |details: Details, (reason, count): &(CloseReason, u64)| {
        details.with(reason.as_str(), *count)
    };
    Details::new()
        .with("pool", name)
        .with("max", pool.max)
        .with("size", pool.size)
        .with("idle", pool.idle)
        .with("in_use", pool.in_use)
        .with("resting", pool.resting)
        .with("connecting", pool.connecting)
        .with("waiting", pool.waiting)
        .with("is_suspended", pool.is_suspended)
        .with("acquired", pool.acquired)
        .with("timed_out", pool.timed_out)
        .with("created", pool.created)
        .with("connect_failures", pool.connect_failures)
        .with("closed", pool.closed.iter().fold(Details::new(), closed))
        .with("resets", pool.resets)
        .with("leaks", pool.leaks)
        .with("waits", spread(&pool.waits))
        .with("uses", spread(&pool.uses))
        .with("connects", spread(&pool.connects))
}

fn holder(holder: &Holder) -> Details {
    Details::new()
        .with("place", format!("{}:{}", holder.place.file(), holder.place.line()))
        .with("age_ms", holder.age)
        .with("statement", holder.statement.clone())
        .with("is_running", holder.is_running)
        .with("is_leaked", holder.is_leaked)
        .with("task", holder.task.clone())
        .with("connection", holder.connection.clone())
}

/// Those that once took longest, and those that took longest in all.
fn statements(mut figures: Vec<StatementFigures>) -> Details {
    let first = |figures: &[StatementFigures]| -> Vec<_> {
        figures.iter().take(STATEMENTS_SHOWN_MAX).map(statement).collect()
    };
    let details = Details::new().with("count", figures.len());
    figures.sort_by_key(|of| Reverse(of.slowest));
    let details = details.with("slowest", first(&figures));
    figures.sort_by_key(|of| Reverse(of.took.total));
    details.with("costliest", first(&figures))
}

fn statement(of: &StatementFigures) -> Details {
    Details::new()
        .with("statement", &*of.statement)
        .with("count", of.count)
        .with("errors", of.errors)
        .with("cancelled", of.cancelled)
        .with("rows", of.rows)
        .with("slowest_ms", of.slowest)
        .with("took", spread(&of.took))
}

fn spread(spread: &Spread) -> Details {
    let range = |(below, count): &(std::time::Duration, u64)| {
        // What lies above all bounds has none.
        let below = (*below < std::time::Duration::MAX).then_some(*below);
        Details::new().with("below_ms", below).with("count", *count)
    };
    Details::new()
        .with("count", spread.count)
        .with("total_ms", spread.total)
        .with("ranges", spread.ranges.iter().map(range).collect::<Vec<_>>())
}

fn metrics_of_pool(name: &'static str, pool: &PoolFigures) -> Vec<Metric> {
    let gauge = |metric, help, value: usize| {
        Metric::gauge(metric, help, u64::try_from(value).unwrap_or(u64::MAX)).with("pool", name)
    };
    let counter = |metric, help, value| Metric::counter(metric, help, value).with("pool", name);
    let histogram = |metric, help, value: &Spread| {
        let took = Durations::new(value.total, value.ranges.clone());
        Metric::histogram(metric, help, took).with("pool", name)
    };
    let states = [
        ("idle", pool.idle),
        ("in_use", pool.in_use),
        ("resting", pool.resting),
        ("connecting", pool.connecting),
    ];
    let connections = states.into_iter().map(|(state, count)| {
        let help = "Connections by what they are doing.";
        gauge("pool_connections", help, count).with("state", state)
    });
    let closed = CloseReason::ALL.iter().map(|reason| {
        let count = pool.closed.iter().find(|(known, _)| known == reason);
        let help = "Connections that were given up, and why.";
        counter("pool_connections_closed_total", help, count.map_or(0, |(_, count)| *count))
            .with("reason", reason.as_str())
    });
    let others = [
        gauge("pool_connections_limit", "The most connections at a time.", pool.max),
        gauge("pool_waiting", "Callers that wait for a connection.", pool.waiting),
        gauge("pool_suspended", "Whether nobody is given one.", usize::from(pool.is_suspended)),
        counter("pool_acquired_total", "Connections that were handed out.", pool.acquired),
        counter("pool_timeouts_total", "Callers that waited in vain.", pool.timed_out),
        counter("pool_connections_created_total", "Connections that were made.", pool.created),
        counter(
            "pool_connect_failures_total",
            "Attempts to connect that failed.",
            pool.connect_failures,
        ),
        counter("pool_resets_total", "Connections that were cleaned after use.", pool.resets),
        counter("pool_leaks_total", "Connections told of because of long use.", pool.leaks),
        histogram("pool_wait_seconds", "How long callers waited who had to.", &pool.waits),
        histogram("pool_use_seconds", "How long a connection was in use.", &pool.uses),
        histogram("pool_connect_seconds", "How long connecting took.", &pool.connects),
    ];
    connections.chain(closed).chain(others).collect()
}

/// Of all statements together.
fn metrics_of_statements(figures: &[StatementFigures]) -> Vec<Metric> {
    let sum = |count: fn(&StatementFigures) -> u64| figures.iter().map(count).sum::<u64>();
    let (errors, cancelled) = (sum(|of| of.errors), sum(|of| of.cancelled));
    let outcomes = [
        ("ok", sum(|of| of.count) - errors - cancelled),
        ("failed", errors),
        ("cancelled", cancelled),
    ];
    let outcome = |(outcome, count)| {
        let help = "Statements by how they ended.";
        Metric::counter("statements_total", help, count).with("outcome", outcome)
    };
    let rows = "Rows that statements read or changed.";
    let rows = Metric::counter("statement_rows_total", rows, sum(|of| of.rows));
    let took = Spread::joined(figures.iter().map(|of| &of.took));
    let took = Durations::new(took.total, took.ranges);
    let took = Metric::histogram("statement_seconds", "How long statements took.", took);
    outcomes.into_iter().map(outcome).chain([rows, took]).collect()
}

/// How many statements are shown of either sort.
const STATEMENTS_SHOWN_MAX: usize = 20;
