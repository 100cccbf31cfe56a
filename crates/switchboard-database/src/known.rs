//! What is known of the text of a statement: read once, and kept.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use switchboard_core::{Error, ErrorKind, Name, Result};

use crate::driver::Statement;
use crate::observe::{Account, Ledger};
use crate::sql::{self, Bound, Effect, Template, Traits};
use crate::{DatabaseDriver, Dialect, Lexis, Params};

/// Everything that can be said of a statement before it has values.
pub(crate) struct Known {
    template: Template,
    traits: Traits,
    only_computes: bool,
    account: Arc<Account>,
}

/// The statements that were read lately.
pub(crate) struct Texts {
    dialect: &'static Dialect,
    read: Cache<Box<str>, Arc<Known>, Length>,
    ledger: Arc<Ledger>,
    comment: Option<Comment>,
}

/// How much room a text takes among those that are kept.
#[derive(Clone)]
struct Length;

impl Weighter<Box<str>, Arc<Known>> for Length {
    fn weight(&self, sql: &Box<str>, _: &Arc<Known>) -> u64 {
        sql.len().max(KEPT_BYTES_EACH) as u64
    }
}

/// What each statement says of who sends it, for the server's own logs.
///
/// The same for all statements of an instance: a text that changed from call to call would have to be
/// prepared each time.
pub(crate) struct Comment(Vec<(&'static str, String)>);

/// A statement with its values.
pub(crate) struct Ready {
    pub(crate) known: Arc<Known>,
    bound: Bound,
}

impl Texts {
    pub(crate) fn new(
        dialect: &'static Dialect,
        ledger: Arc<Ledger>,
        comment: Option<Comment>,
    ) -> Self {
        let bytes_max = (KEPT_MAX * KEPT_BYTES_EACH) as u64;
        let read = Cache::with_weighter(KEPT_MAX, bytes_max, Length);
        Self { dialect, read, ledger, comment }
    }

    /// What is known of `sql`.
    pub(crate) fn known(&self, sql: &str) -> Result<Arc<Known>> {
        if let Some(known) = self.read.get(sql) {
            return Ok(known);
        }
        let known = Arc::new(self.learn(sql)?);
        self.read.insert(sql.into(), known.clone());
        Ok(known)
    }

    fn learn(&self, sql: &str) -> Result<Known> {
        let lexis = self.dialect.lexis;
        let traits = Traits::of(sql, lexis);
        if traits.statements == 0 {
            return Err(nothing());
        }
        let sent = match &self.comment {
            Some(comment) => comment.on(sql, lexis)?,
            None => sql.into(),
        };
        Ok(Known {
            template: Template::parse(&*sent, self.dialect)?,
            traits,
            only_computes: sql::only_computes(sql, self.dialect),
            account: self.ledger.account(&sql::fingerprint(sql, lexis)),
        })
    }

    /// `sql` with `params` in their places.
    pub(crate) fn ready(&self, sql: &str, params: &Params) -> Result<Ready> {
        let known = self.known(sql)?;
        let bound = known.template.bind(params.clone())?;
        Ok(Ready { known, bound })
    }
}

impl Known {
    /// What it does to the data and to its connection.
    pub(crate) fn effect(&self) -> Effect {
        self.traits.effect
    }

    /// Whether it may be asked twice without anybody noticing: it reads, and every function that it calls is
    /// known to do no more than that.
    pub(crate) fn is_repeatable(&self) -> bool {
        self.effect() == Effect::Read && self.only_computes
    }

    /// Whether something may stay on the connection.
    pub(crate) fn leaves_session(&self) -> bool {
        self.traits.leaves_session
    }

    /// What its text tells.
    pub(crate) fn traits(&self) -> &Traits {
        &self.traits
    }

    /// Its normal form, without any value.
    pub(crate) fn fingerprint(&self) -> &Arc<str> {
        self.account.statement()
    }

    /// Where it is counted what it costs.
    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Transactions are begun and ended by their scopes, which have to know about it.
    pub(crate) fn refuse_control(&self) -> Result<()> {
        if self.traits.effect != Effect::Control {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::InvalidInput,
            "transactions are not begun and ended by statements",
        )
        .not_applied()
        .with_context("statement", self.fingerprint())
        .with_hint("use `transaction`, and `savepoint` inside of one"))
    }
}

/// Whether what `traits` tells of may be sent where a transaction is open that its scope has to end.
pub(crate) fn keeps_transaction(traits: &Traits, dialect: &Dialect) -> Result<()> {
    if traits.effect == Effect::Control {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "the transaction is not ended by statements",
        )
        .not_applied()
        .with_hint("use `commit`, `rollback` and `savepoint` of the transaction"));
    }
    if traits.may_commit && !dialect.has_transactional_ddl {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "the server would commit the transaction first",
        )
        .not_applied()
        .with_hint("run it on the database, outside of the transaction"));
    }
    Ok(())
}

impl Comment {
    pub(crate) fn new(instance: &Name, driver: &dyn DatabaseDriver) -> Self {
        let tags = [("db_driver", "switchboard".to_owned()), ("instance", instance.to_string())];
        let application = driver.application().map(|name| ("application", name.to_owned()));
        Self(tags.into_iter().chain(application).collect())
    }

    fn on<'s>(&self, sql: &'s str, lexis: Lexis) -> Result<Cow<'s, str>> {
        let tags: Vec<_> = self.0.iter().map(|(key, value)| (*key, value.as_str())).collect();
        sql::with_comment(sql, &tags, lexis)
    }
}

impl Ready {
    /// The same statement, its text written anew.
    pub(crate) fn rewritten(&self, write: impl FnOnce(Bound) -> Result<Bound>) -> Result<Self> {
        Ok(Self { known: self.known.clone(), bound: write(self.bound.clone())? })
    }

    /// Writes its text anew.
    pub(crate) fn rewrite(&mut self, write: impl FnOnce(Bound) -> Result<Bound>) -> Result<()> {
        *self = self.rewritten(write)?;
        Ok(())
    }

    pub(crate) fn statement(&self) -> Statement<'_> {
        Statement {
            sql: &self.bound.sql,
            values: &self.bound.values,
            is_kept: !self.bound.is_expanded,
        }
    }
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Texts").field("read", &self.read.len()).finish_non_exhaustive()
    }
}

/// Some servers would take it for done.
fn nothing() -> Error {
    Error::new(ErrorKind::InvalidInput, "there is no statement in the text").not_applied()
}

/// How many texts are kept. An application has fewer, unless it writes values into them.
const KEPT_MAX: usize = 2_000;

/// How many bytes of a text count as one. Longer ones have values written into them, and there are fewer.
const KEPT_BYTES_EACH: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::dialects::{ALL, MYSQL, POSTGRES, SQLITE};

    fn check(dialect: &'static Dialect, is_repeatable: bool, statements: &[&str]) {
        let texts = Texts::new(dialect, Arc::new(Ledger::new(10)), None);
        for sql in statements {
            let known = texts.known(sql).unwrap();
            assert_eq!(known.is_repeatable(), is_repeatable, "{} {sql}", dialect.name);
        }
    }

    #[test]
    fn long_texts_are_not_kept_without_bounds() {
        let texts = Texts::new(&SQLITE, Arc::new(Ledger::new(10)), None);
        let filling = "x".repeat(128 * 1024);
        for number in 0..250 {
            texts.known(&format!("select {number}, '{filling}'")).unwrap();
        }
        let kept = texts.read.len();
        assert!((1..=125).contains(&kept), "{kept} are kept");
    }

    #[test]
    fn what_reads_and_calls_nothing_unknown_is_repeatable() {
        for dialect in ALL {
            check(
                dialect,
                true,
                &[
                    "select 1",
                    "select id, upper(name) from users where id in (?, ?)",
                    "with a as (select 1) select count(*) from a",
                    "explain select 1",
                    "explain insert into t values (1)",
                    "values (1)",
                ],
            );
        }
        check(&POSTGRES, true, &["explain analyze select now()", "show work_mem", "table t"]);
        check(&MYSQL, true, &["show tables", "describe t", "select last_insert_id()"]);
        check(&SQLITE, true, &["pragma table_info(t)"]);
    }

    #[test]
    fn what_may_do_more_than_read_is_not_repeatable() {
        for dialect in ALL {
            check(
                dialect,
                false,
                &[
                    "insert into t values (1)",
                    "select f()",
                    "select a from t where f(a) > 1",
                    "select nextval('s')",
                    "select * from t for update",
                    "select * from t for share",
                    "select * into u from t",
                    "with a as (delete from t returning id) select id from a",
                    "with a as (select f()) select * from a",
                    "call f()",
                    "call f",
                    "do f()",
                    "explain analyze insert into t values (1)",
                    "explain analyze select f()",
                    "select 1; select f()",
                    "select 1; insert into t values (1)",
                    "set x = 1",
                    "execute f",
                ],
            );
        }
        check(
            &POSTGRES,
            false,
            &[
                "do $$ begin perform f(); end $$",
                "select pg_advisory_lock(1)",
                "select set_config('a', 'b', false)",
                "explain (analyze) update t set a = 1",
                "fetch next from c",
                "copy t from stdin",
                "select * from t for no key update",
            ],
        );
        check(
            &MYSQL,
            false,
            &[
                "select next value for s",
                "select last_insert_id(7)",
                "select @x := 1",
                "select * from t lock in share mode",
                "select get_lock('a', 1)",
                "select a into outfile 'f' from t",
                "analyze delete from t",
            ],
        );
        check(&SQLITE, false, &["pragma user_version = 1", "select load_extension('f')"]);
    }
}
