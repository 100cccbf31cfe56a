//! `db pools`: the connections of databases, and who has them.

use std::time::Duration;

use serde::Deserialize as _;
use serde_json::Value;

use crate::commands::check::milliseconds;
use crate::commands::closed;
use crate::desk::Desk;
use crate::details::{HolderDetails, PoolDetails, Shown};
use crate::failure::{Exit, Failure, Result};
use crate::screen::{DOUBTFUL, FAINT, STRONG};
use crate::session::Session;
use crate::table::{Cell, Table};

pub(super) async fn run(session: &mut Session, database: Option<&str>) -> Result<Exit> {
    let desk = Desk::acting(session).await?;
    let shown = all_shown(&desk, database).await;
    let shown = closed(desk, shown).await?;
    if session.screen.is_json() {
        session.screen.write_json(&shown)?;
        return Ok(Exit::Fine);
    }
    let all: Vec<Shown> = Vec::deserialize(&shown).map_err(Failure::unexpected)?;
    session.screen.write_table(&pools(&all))?;
    if let Some(holders) = holders(&all) {
        session.screen.write_line("")?;
        session.screen.write_table(&holders)?;
    }
    Ok(Exit::Fine)
}

/// What each database shows that is meant.
async fn all_shown(desk: &Desk, database: Option<&str>) -> Result<Value> {
    let mut all = Vec::new();
    for instance in desk.databases(database).await? {
        all.push(desk.details(&instance).await?);
    }
    Ok(all.into())
}

fn pools(all: &[Shown]) -> Table {
    let heads =
        ["DATABASE", "POOL", "SIZE", "IDLE", "IN USE", "WAITING", "CONNECTING", "OLDEST", ""];
    let mut table = Table::headed(heads);
    for Shown { instance, details } in all {
        let name = || Cell::from(instance.as_str()).styled(STRONG);
        let Some(details) = details else {
            table.push(unused_row(name()));
            continue;
        };
        let oldest = details.holders.first().map(age).unwrap_or_default();
        for pool in &details.pools {
            table.push(pool_row(name(), pool, &oldest));
        }
    }
    table
}

fn unused_row(name: Cell) -> [Cell; 9] {
    let mut row = [""; 9].map(Cell::from);
    row[0] = name;
    row[8] = Cell::from("not used yet").styled(FAINT);
    row
}

fn pool_row(name: Cell, pool: &PoolDetails, oldest: &str) -> [Cell; 9] {
    let waiting = Cell::from(pool.waiting.to_string());
    [
        name,
        pool.pool.as_str().into(),
        format!("{} of {}", pool.size, pool.max).into(),
        pool.idle.to_string().into(),
        pool.in_use.to_string().into(),
        if pool.waiting > 0 { waiting.styled(DOUBTFUL) } else { waiting },
        pool.connecting.to_string().into(),
        // Whose pool a connection is of is not told with its holder.
        if pool.in_use > 0 { oldest.into() } else { "".into() },
        Cell::from(if pool.is_suspended { "suspended" } else { "" }).styled(DOUBTFUL),
    ]
}

/// Who has connections, if anybody has.
fn holders(all: &[Shown]) -> Option<Table> {
    let mut table = Table::headed(["DATABASE", "FOR", "PLACE", "STATEMENT"]);
    let held = all.iter().flat_map(|Shown { instance, details }| {
        details.iter().flat_map(|details| &details.holders).map(move |holder| (instance, holder))
    });
    let mut held = held.peekable();
    held.peek()?;
    for (instance, holder) in held {
        table.push(holder_row(instance, holder));
    }
    Some(table)
}

fn holder_row(instance: &str, holder: &HolderDetails) -> [Cell; 4] {
    let told = match (holder.statement.as_deref(), holder.is_running) {
        (Some(statement), true) => statement.to_owned(),
        (Some(statement), false) => format!("idle after {statement}"),
        (None, true) => "in a call".to_owned(),
        (None, false) => "idle".to_owned(),
    };
    let age = Cell::from(age(holder));
    [
        Cell::from(instance).styled(STRONG),
        if holder.is_leaked { age.styled(DOUBTFUL) } else { age },
        holder.place.as_str().into(),
        told.into(),
    ]
}

fn age(holder: &HolderDetails) -> String {
    let age = Duration::try_from_secs_f64(holder.age_ms / 1e3).unwrap_or_default();
    if age < Duration::from_secs(1) {
        milliseconds(age)
    } else {
        format!("{:.1} s", age.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use switchboard::{Format, Statements as _, Switchboard};

    use super::*;
    use crate::details::Details;

    #[test]
    fn pools_and_those_who_have_connections_are_shown() {
        let pool = json!({
            "pool": "write", "max": 16, "size": 3, "idle": 1, "in_use": 2, "waiting": 4,
            "connecting": 0, "is_suspended": true, "acquired": 9,
        });
        let held = json!([
            { "place": "src/app.rs:42", "age_ms": 3210.0, "statement": "select ?", "is_running": true },
            { "place": "src/app.rs:7", "age_ms": 1.0, "statement": "delete", "is_running": false },
        ]);
        let details = json!({ "dialect": "postgres", "pools": [pool], "holders": held });
        let shown = json!([
            { "instance": "database.main", "driver": "postgres", "details": details },
            { "instance": "database.spare", "driver": "sqlite", "details": null },
        ]);
        let all: Vec<Shown> = Vec::deserialize(&shown).unwrap();
        assert_eq!(
            pools(&all).text(None, false),
            "DATABASE        POOL   SIZE     IDLE  IN USE  WAITING  CONNECTING  OLDEST\n\
             database.main   write  3 of 16  1     2       4        0           3.2 s   suspended\n\
             database.spare                                                             not used yet\n"
        );
        assert_eq!(
            holders_text(&all),
            "DATABASE       FOR     PLACE          STATEMENT\n\
             database.main  3.2 s   src/app.rs:42  select ?\n\
             database.main  1.0 ms  src/app.rs:7   idle after delete\n"
        );
        assert!(holders(&all[1..]).is_none());
    }

    fn holders_text(all: &[Shown]) -> String {
        holders(all).unwrap().text(None, false)
    }

    #[tokio::test]
    async fn a_board_tells_who_has_its_connections_and_no_value() {
        let shop = "database.main.url = 'sqlite::memory:'";
        let builder = Switchboard::builder().text("shop.toml", Format::Toml, shop);
        let board = builder.build().await.unwrap();
        let database = board.database("main").unwrap();
        let connection = database.connection().await.unwrap();
        connection.execute("create table t as select 'canary' as a", ()).await.unwrap();
        let shown = serde_json::to_value(Details::of(&database)).unwrap();
        assert_eq!(shown["pools"][0]["in_use"], 1, "{shown}");
        let holder = &shown["holders"][0];
        assert!(holder["place"].as_str().unwrap().contains("pools.rs:"), "{shown}");
        assert_eq!(holder["statement"], "create table t as select ? as a");
        drop(connection);
        board.close(Duration::from_secs(5)).await.into_result().unwrap();
    }
}
