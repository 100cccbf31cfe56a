//! The right to apply migrations: a row that one starter at a time has its token in.
//!
//! It is a row and no lock of a session, because those belong to a connection, which poolers between
//! here and the server hand on. It ends by itself when its holder says nothing for a while; what time it
//! is, only the server says.

use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use switchboard_core::{Clock, Deadline, Error, ErrorKind, Result, Running};

use super::journal::Journal;
use crate::{Done, Isolation, Statements, TransactionOptions};

/// The right to apply migrations. Given back when dropped.
#[derive(Debug)]
pub(super) struct Lease {
    row: Row,
    is_given_back: bool,
}

/// The row as one starter sees it.
#[derive(Clone, Debug)]
struct Row {
    journal: Journal,
    token: String,
    ttl: Duration,
}

/// Who has it.
struct Seen {
    holder: String,
    /// How long it is still theirs; not at all where it is negative.
    left: i64,
}

impl Lease {
    /// Takes it; waits at most `wait` for whoever has it.
    pub(super) async fn take(journal: &Journal, ttl: Duration, wait: Duration) -> Result<Self> {
        let clock = journal.database.line().environment().clock().clone();
        let token = format!("{:016x}{:016x}", clock.random(), clock.random());
        let row = Row { journal: journal.clone(), token, ttl };
        // Whatever a try did that was dropped, this gives it back.
        let lease = Self { row, is_given_back: false };
        lease.row.taken_by(&clock, clock.now() + wait).await?;
        Ok(lease)
    }

    /// Makes sure that it is still ours, and for how long it stays so. In a transaction nobody can take
    /// it over until that has ended.
    pub(super) async fn renew(&self, on: &impl Statements) -> Result<()> {
        if self.row.renew(on).await? {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Conflict, "another starter took over the migrations")
            .with_context("lock", &self.row.journal.lock)
            .with_hint("this one said nothing for longer than `migrations.lock_ttl`")
            .not_applied())
    }

    /// Says again and again that we are alive, as long as the answer is kept.
    pub(super) fn keep_alive(&self) -> Result<Running> {
        let row = self.row.clone();
        let environment = row.journal.database.line().environment();
        let (clock, reaper) = (environment.clock().clone(), environment.reaper().clone());
        reaper.run("say that migrations are still applied", async move {
            // One that fails is followed by others; what becomes of it is seen by the next step.
            while !matches!(row.renew(&row.journal.database).await, Ok(false)) {
                clock.sleep(row.ttl / BEATS_IN_A_LIFE).await;
            }
        })
    }

    /// Lets the next one have it, whatever came of the work; an error of that comes first.
    pub(super) async fn ended<T>(self, worked: Result<T>) -> Result<T> {
        let given_back = self.give_back().await;
        let answer = worked?;
        given_back.map(|()| answer)
    }

    /// Lets the next one have it.
    pub(super) async fn give_back(mut self) -> Result<()> {
        self.row.give_back().await?;
        self.is_given_back = true;
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.is_given_back {
            return;
        }
        let row = self.row.clone();
        let reaper = self.row.journal.database.line().environment().reaper();
        let job = reaper.submit("give back the lock of migrations", GIVE_BACK_LIMIT, async move {
            row.give_back_after_all().await
        });
        drop(job);
    }
}

impl Row {
    /// Takes it for as long as it takes, and says who is in the way if that is for longer than a moment.
    async fn taken_by(&self, clock: &Clock, end: Instant) -> Result<()> {
        // The callers' futures stay small.
        let taking = Box::pin(self.try_until(clock, end));
        let telling = pin!(clock.sleep(TELL_AFTER));
        let taking = match select(taking, telling).await {
            Either::Left((taken, _)) => return taken,
            Either::Right(((), taking)) => taking,
        };
        // Who cannot be looked at is told by the try, which asks the same.
        if let Ok(seen) = Box::pin(self.look()).await {
            seen.tell(&self.journal, end.saturating_duration_since(clock.now()));
        }
        taking.await
    }

    async fn try_until(&self, clock: &Clock, end: Instant) -> Result<()> {
        loop {
            let seen = self.look().await?;
            if seen.left <= 0 && self.try_take(clock, end).await? {
                return Ok(());
            }
            let left = end.saturating_duration_since(clock.now());
            if left.is_zero() {
                return Err(seen.refusal(&self.journal));
            }
            clock.sleep(left.min(LOOK_EVERY)).await;
        }
    }

    async fn look(&self) -> Result<Seen> {
        let Journal { database, server, lock, .. } = &self.journal;
        let sql = format!(
            "select holder, expires_at - {} as time_left from {lock} where id = 1",
            server.now()
        );
        let (holder, left) = database.select_one(&sql, ()).await?;
        Ok(Seen { holder, left })
    }

    /// Whether it is ours now. Who holds the row in a transaction makes this wait for its end.
    async fn try_take(&self, clock: &Clock, end: Instant) -> Result<bool> {
        let Journal { database, server, lock, .. } = &self.journal;
        let sql = format!(
            "update {lock} set token = ?, holder = ?, expires_at = {now} + ?, beats = beats + 1 \
             where id = 1 and expires_at <= {now}",
            now = server.now()
        );
        let values = (self.token.as_str(), holder(clock), milliseconds(self.ttl));
        // One that is dropped before its commit never happens: given back first, and taken by what was
        // under way after that, it would be nobody's until its time is over.
        let taking = async {
            let transaction = database.begin(&options()).await?;
            let done = transaction.execute(&sql, values).await?;
            transaction.commit().await.map(|()| done)
        };
        let within = end.saturating_duration_since(clock.now()).max(TRY_AT_LEAST);
        match Deadline::within(clock, within).scope(taking).await {
            Ok(Done { affected, .. }) => Ok(affected == 1),
            // Whoever is in the way has it.
            Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Timeout) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    async fn renew(&self, on: &impl Statements) -> Result<bool> {
        let Journal { server, lock, .. } = &self.journal;
        // The beats count, because a server may not count a row as changed that stays as it is.
        let sql = format!(
            "update {lock} set expires_at = {} + ?, beats = beats + 1 where id = 1 and token = ?",
            server.now()
        );
        let done = on.execute(&sql, (milliseconds(self.ttl), self.token.as_str())).await?;
        Ok(done.affected == 1)
    }

    async fn give_back(&self) -> Result<()> {
        let Journal { database, lock, .. } = &self.journal;
        let sql = format!(
            "update {lock} set token = '', holder = '', expires_at = 0 where id = 1 and token = ?"
        );
        database.execute(&sql, (self.token.as_str(),)).await.map(drop)
    }

    /// Gives back what a commit may still bring that nobody waits for.
    async fn give_back_after_all(&self) -> Result<()> {
        let Journal { database, lock, .. } = &self.journal;
        // Whatever token it has, the row is waited for, and what it is then decides.
        let wait = format!("update {lock} set beats = beats + 1 where id = 1");
        database.execute(&wait, ()).await?;
        self.give_back().await
    }
}

impl Seen {
    /// Says for whom it is waited, and for how long.
    fn tell(&self, journal: &Journal, wait: Duration) {
        tracing::warn!(
            instance = journal.instance(),
            holder = self.holder,
            theirs_for_ms = self.left.max(0),
            waiting_at_most = ?whole_seconds(wait),
            "another starter applies migrations, which is waited for; its lock ends by itself when it has gone"
        );
    }

    fn refusal(self, journal: &Journal) -> Error {
        let error = Error::new(ErrorKind::Timeout, "another starter still applies migrations")
            .with_context("lock", &journal.lock)
            .with_context("holder", self.holder);
        let error = error.with_context("left", format_args!("{} ms", self.left.max(0)));
        error.with_hint("it ends by itself when its holder has gone").retry_later().not_applied()
    }
}

/// What others commit has to be seen, or waiting for them would be a conflict.
fn options() -> TransactionOptions {
    TransactionOptions::new().isolation(Isolation::ReadCommitted)
}

/// Who we are, and since when, for people.
fn holder(clock: &Clock) -> String {
    let process = std::process::id();
    match jiff::Timestamp::try_from(clock.wall()) {
        Ok(now) => format!("process {process} since {now:.0}"),
        Err(_) => format!("process {process}"),
    }
}

fn whole_seconds(time: Duration) -> Duration {
    Duration::from_secs((time + Duration::from_millis(500)).as_secs())
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// How often a holder says that it is there before it would be believed to be gone.
const BEATS_IN_A_LIFE: u32 = 3;

/// How often who waits looks whether it is free.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How long it is waited without a word, which is longer than most starters have it.
const TELL_AFTER: Duration = Duration::from_secs(1);

/// How long one try may take, even at the end of the time.
const TRY_AT_LEAST: Duration = Duration::from_secs(1);

/// How long giving it back may take when nobody waits for that.
const GIVE_BACK_LIMIT: Duration = Duration::from_secs(10);
