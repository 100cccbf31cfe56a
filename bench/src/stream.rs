//! Reading a million rows one after the other: how fast, and how much memory it takes.
//!
//! Not a line, because memory is part of the answer: it has a section of its own. The readers of one
//! database take turns, and are compared within a round.

use std::fmt::Write as _;
use std::fs;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use switchboard_database::{Database, Statements as _, Timestamp};

use crate::asking::runtime;
use crate::databases::{ours, settings};
use crate::folder::Folder;
use crate::lines::postgres::{User, Users, connected, database, user, user_of_sqlx};
use crate::machine::Stamp;
use crate::services::Service;
use crate::stats::{Spread, ratio};

pub const NAME: &str = "stream";
pub const ABOUT: &str =
    "Read 1 000 000 rows of 5 columns into structures, one after the other, and keep none.";

/// Runs it, and writes its section.
pub fn section() -> String {
    let stamp = Stamp::now();
    let mut results = Vec::new();
    match Service::Postgres.missing() {
        None => results.extend(postgres()),
        Some(missing) => eprintln!("PostgreSQL is left out, because {missing}"),
    }
    results.extend(sqlite());
    let mut page = format!("## {NAME}\n\n{ABOUT}\n\n");
    page.push_str(
        "| from | reader | rows/s | times the library alone [quartiles] | memory it grew |\n",
    );
    page.push_str("| --- | --- | ---: | ---: | ---: |\n");
    for Read { from, reader, rates, times, grown } in &results {
        let times =
            format!("{} [{}..{}]", ratio(times.median), ratio(times.low), ratio(times.high));
        let (rate, grown) = (rates.median, *grown as f64 / MIB);
        writeln!(page, "| {from} | `{reader}` | {rate:.0} | {times} | {grown:.1} MiB |")
            .expect(WRITES);
    }
    page.push('\n');
    for Read { from, grown, .. } in results.iter().filter(|read| read.reader == OURS) {
        let verdict = if *grown <= GROWN_MAX { "met" } else { "missed" };
        let (most, grown) = (GROWN_MAX as f64 / MIB, *grown as f64 / MIB);
        writeln!(
            page,
            "- `{OURS}` from {from} needs at most {most:.0} MiB: **{verdict}**, {grown:.1} MiB"
        )
        .expect(WRITES);
    }
    writeln!(page, "\n{ROUNDS} rounds. {}.\n", stamp.until(&Stamp::now())).expect(WRITES);
    page
}

/// What reading with one library came to.
struct Read {
    from: &'static str,
    reader: &'static str,
    /// Rows in a second.
    rates: Spread,
    /// How many times as long as the library alone.
    times: Spread,
    /// How many bytes the process grew by at the most.
    grown: u64,
}

/// How to read all rows, and how many there were.
type Reader<'r> = (&'static str, Box<dyn Fn() -> usize + 'r>);

fn postgres() -> Vec<Read> {
    let users = Users::of(ROWS);
    let statement: &'static str = users.select().leak();
    let runtime = runtime();
    let database = runtime.block_on(database(2));
    let client = runtime.block_on(connected());
    let options = sqlx::postgres::PgPoolOptions::new().max_connections(1);
    let pool = runtime.block_on(options.connect(&Service::Postgres.url()));
    let pool = pool.expect("the server is there");

    let read_ours = || runtime.block_on(async { read(&database, statement).await });
    let read_raw = || {
        runtime.block_on(async {
            let prepared = client.prepare(statement).await.expect("it is known");
            let no_values: [&str; 0] = [];
            let rows = client.query_raw(&prepared, no_values).await.expect("it is run");
            let mut rows = pin!(rows);
            let mut count = 0;
            while let Some(row) = rows.try_next().await.expect("nothing fails") {
                count += usize::from(user(&row).is_right());
            }
            count
        })
    };
    let read_sqlx = || {
        runtime.block_on(async {
            let mut rows = sqlx::query(statement).fetch(&pool);
            let mut count = 0;
            while let Some(row) = rows.try_next().await.expect("nothing fails") {
                count += usize::from(user_of_sqlx(&row).is_right());
            }
            count
        })
    };
    in_turns(
        "PostgreSQL",
        &[
            (OURS, Box::new(read_ours)),
            ("tokio-postgres", Box::new(read_raw)),
            ("sqlx", Box::new(read_sqlx)),
        ],
    )
}

fn sqlite() -> Vec<Read> {
    let folder = Folder::new();
    let path = folder.path().join("bench.db");
    let raw = rusqlite::Connection::open(&path).expect("the folder is there");
    raw.execute_batch(&format!(
        "pragma journal_mode = wal;
         create table users (id integer primary key, name text not null, email text not null,
                             is_active boolean not null, joined timestamptz not null);
         with recursive numbers (n) as (select 1 union all select n + 1 from numbers limit {ROWS})
         insert into users
         select n, 'Ada Lovelace ' || n, 'ada.' || n || '@example.com', n % 2 = 0,
                '2020-01-01T00:00:00Z' from numbers",
    ))
    .expect("the file is new");
    let runtime = runtime();
    let text = path.to_str().expect("is a text");
    let database = runtime.block_on(ours(&settings("sqlite", 2).with("path", text)));

    let read_ours = || runtime.block_on(async { read(&database, SELECT).await });
    let read_raw = || {
        let mut statement = raw.prepare_cached(SELECT).expect("is right");
        let users = statement.query_map([], |row| {
            Ok(User::<Timestamp> {
                id: row.get(0)?,
                name: row.get(1)?,
                email: row.get(2)?,
                is_active: row.get(3)?,
                joined: row.get_ref(4)?.as_str()?.parse().expect("is a moment"),
            })
        });
        users.expect("it is run").filter(|user| user.as_ref().is_ok_and(User::is_right)).count()
    };
    in_turns("SQLite", &[(OURS, Box::new(read_ours)), ("rusqlite", Box::new(read_raw))])
}

async fn read(database: &Database, statement: &str) -> usize {
    let rows = database.stream::<User<Timestamp>>(statement, ()).await.expect("it is run");
    let mut rows = pin!(rows);
    let mut count = 0;
    while let Some(user) = rows.try_next().await.expect("nothing fails") {
        count += usize::from(user.is_right());
    }
    count
}

/// Lets each reader read once in each round. The second of them is the library alone.
fn in_turns(from: &'static str, readers: &[Reader<'_>]) -> Vec<Read> {
    let mut times = vec![Vec::new(); readers.len()];
    let mut grown = vec![0; readers.len()];
    for round in 0..ROUNDS {
        for place in 0..readers.len() {
            let at = (place + round) % readers.len();
            let (took, more) = watched(&readers[at].1);
            times[at].push(took.as_secs_f64());
            grown[at] = more.max(grown[at]);
        }
    }
    let of = |at: usize| Read {
        from,
        reader: readers[at].0,
        rates: Spread::of(times[at].iter().map(|time| ROWS as f64 / time)),
        times: Spread::of(times[at].iter().zip(&times[1]).map(|(own, raw)| own / raw)),
        grown: grown[at],
    };
    (0..readers.len()).map(of).collect()
}

/// How long reading took, and by how much the process grew meanwhile.
fn watched(reader: &dyn Fn() -> usize) -> (Duration, u64) {
    // From here on the peak counts anew.
    fs::write("/proc/self/clear_refs", "5").expect("the system counts memory");
    let before = status("VmRSS:");
    let begin = Instant::now();
    assert_eq!(reader(), ROWS);
    let took = begin.elapsed();
    (took, status("VmHWM:").saturating_sub(before))
}

/// A number of bytes that the system knows of this process.
fn status(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").expect("the system counts memory");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("it is counted");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("is a number");
    kib * 1024
}

const OURS: &str = crate::line::OURS;
const SELECT: &str = "select id, name, email, is_active, joined from users";
const ROWS: usize = 1_000_000;
const ROUNDS: usize = 5;
const MIB: f64 = 1_048_576.0;
/// Room for what is read ahead, and for what an allocator does not give back at once.
const GROWN_MAX: u64 = 8 * 1_048_576;
const WRITES: &str = "a string takes everything";
