//! Plans of statements: which statements a server may be asked for one of, and what of a plan may be shown.
//!
//! A server repeats conditions in its plans, and with them the values of whoever asked. It also writes
//! figures of its own, which are kept where they cannot be taken for values.

use super::lexer::{Kind, Token, tokens};
use super::split::statements;
use super::traits::{Effect, Traits};
use crate::Lexis;

/// Whether `sql` is one query that, as far as its text tells, only reads. What measures while it explains runs
/// what it explains, and is none.
pub(crate) fn is_explainable(sql: &str, lexis: Lexis) -> bool {
    let traits = Traits::of(sql, lexis);
    let only_reads = traits.effect == Effect::Read && traits.returns_rows;
    only_reads && traits.statements == 1 && begins_as_query(sql, lexis)
}

fn begins_as_query(sql: &str, lexis: Lexis) -> bool {
    let all = statements(sql, lexis);
    let mut tokens = all.iter().flatten();
    let first = tokens.find(|token| !token.is_sign(sql, "("));
    first.is_some_and(|first| QUERIES.iter().any(|query| first.is_word(sql, query)))
}

/// `plan` with `?` in place of every value in it.
pub(crate) fn plan_without_values(plan: &str, lexis: Lexis) -> String {
    let mut writer = Writer { plan, text: String::with_capacity(plan.len()), last: None };
    let mut figures_end = 0;
    for token in tokens(plan, lexis) {
        if token.start < figures_end {
            continue;
        }
        if let Some(figures) = figures(&plan[token.start..]) {
            figures_end = token.start + figures.len();
            writer.text.push_str(figures);
        } else {
            writer.write(token);
        }
    }
    writer.text
}

struct Writer<'p> {
    plan: &'p str,
    text: String,
    /// The last word, if nothing but space came since.
    last: Option<Token>,
}

impl Writer<'_> {
    fn write(&mut self, token: Token) {
        match token.kind {
            Kind::Text => self.text.push('?'),
            Kind::Number if !self.is_number_of_part() => self.text.push('?'),
            // It may be the end of a value that was not understood.
            Kind::Comment => {}
            _ => self.text.push_str(token.text(self.plan)),
        }
        match token.kind {
            Kind::Space => {}
            Kind::Word => self.last = Some(token),
            _ => self.last = None,
        }
    }

    /// Whether the server counts its own parts here: `SubPlan 1`.
    fn is_number_of_part(&self) -> bool {
        self.last.is_some_and(|last| PARTS.iter().any(|part| last.is_word(self.plan, part)))
    }
}

/// The estimates at the beginning of `rest`: `(cost=0.00..1.01 rows=1 width=4)`. Conditions have spaces around
/// what they compare with.
fn figures(rest: &str) -> Option<&str> {
    let (figures, _) = rest.split_once(')')?;
    let inside = figures.strip_prefix("(cost=")?;
    let is_figure = |letter: char| letter.is_ascii_digit() || "=. rowsidth".contains(letter);
    inside.chars().all(is_figure).then(|| &rest[..=figures.len()])
}

/// What a statement that can be explained begins with.
const QUERIES: &[&str] = &["select", "table", "values", "with"];

/// What servers number in plans.
const PARTS: &[&str] = &["initplan", "subplan", "subquery"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::dialects::{ALL, MYSQL, POSTGRES, SQLITE};

    #[test]
    fn queries_that_only_read_can_be_explained() {
        for dialect in ALL {
            for sql in [
                "select 1",
                "-- who\n SELECT * from t where id = ?;",
                "with a as (select 1) select * from a",
                "(select 1) union (select 2)",
                "values (1)",
                "select f() from t",
                "select 'delete from t'",
            ] {
                assert!(is_explainable(sql, dialect.lexis), "{} {sql}", dialect.name);
            }
        }
    }

    #[test]
    fn what_may_do_more_than_read_is_never_explained() {
        for dialect in ALL {
            for sql in [
                "",
                "insert into t values (1)",
                "insert into t values (1) returning id",
                "update t set a = 1",
                "with a as (delete from t returning id) select id from a",
                "with a as (select 1) insert into t select * from a",
                "select * into u from t",
                "select * from t for update",
                "select nextval('s')",
                "select 1; delete from t",
                "select 1; select 2",
                "explain select 1",
                "explain analyze select 1",
                "explain analyze delete from t",
                "(analyze) delete from t",
                "(verbose, analyze) select 1",
                "analyze select 1",
                "analyze delete from t",
                "call f()",
                "do f()",
                "create table t (a int)",
                "create table u as select * from t",
                "set x = 1",
                "begin",
            ] {
                assert!(!is_explainable(sql, dialect.lexis), "{} {sql}", dialect.name);
            }
        }
        for (dialect, sql) in [
            (&POSTGRES, "select set_config('a', 'b', false)"),
            (&POSTGRES, "select pg_advisory_lock(1)"),
            (&POSTGRES, "copy t to stdout"),
            (&POSTGRES, "execute f"),
            (&MYSQL, "select a into outfile 'f' from t"),
            (&MYSQL, "select @x := 1"),
            (&MYSQL, "select 1 /*! into @x */"),
            (&SQLITE, "pragma user_version = 1"),
            (&SQLITE, "pragma table_info(t)"),
        ] {
            assert!(!is_explainable(sql, dialect.lexis), "{} {sql}", dialect.name);
        }
    }

    #[test]
    fn values_in_a_plan_are_taken_out_and_its_figures_stay() {
        let plan = "Nested Loop  (cost=0.15..24.30 rows=4 width=36)\n  \
            Join Filter: ((a.name = 'it''s\nsecret -- x'::text) AND (a.id = 777))\n  \
            ->  Seq Scan on users a  (cost=0.00..22.70 rows=1270 width=36)\n        \
            Filter: ((cost = 777) AND (data ~~ E'\\\\secret\\''::text) AND (id = ANY ('{777,7}'::integer[])))\n  \
            SubPlan 1\n    ->  Limit  (cost=0.00..1.01 rows=1 width=4)";
        let shown = "Nested Loop  (cost=0.15..24.30 rows=4 width=36)\n  \
            Join Filter: ((a.name = ?::text) AND (a.id = ?))\n  \
            ->  Seq Scan on users a  (cost=0.00..22.70 rows=1270 width=36)\n        \
            Filter: ((cost = ?) AND (data ~~ ?::text) AND (id = ANY (?::integer[])))\n  \
            SubPlan 1\n    ->  Limit  (cost=0.00..1.01 rows=1 width=4)";
        assert_eq!(plan_without_values(plan, POSTGRES.lexis), shown);
        let plan = "SEARCH users USING INTEGER PRIMARY KEY (rowid=?)";
        assert_eq!(plan_without_values(plan, SQLITE.lexis), plan);
    }

    #[test]
    fn a_value_that_looks_like_figures_is_taken_out() {
        let plan = "Filter: (name = '(cost=777.secret rows=777)'::text)  (cost=secret777)";
        let shown = plan_without_values(plan, POSTGRES.lexis);
        assert!(!shown.contains("777."), "{shown}");
        assert!(!shown.contains("rows=777"), "{shown}");
    }

    #[test]
    fn what_is_not_closed_is_taken_out_to_the_end() {
        let shown = plan_without_values("Filter: (name = 'secret\n and more", POSTGRES.lexis);
        assert_eq!(shown, "Filter: (name = ?");
        let shown = plan_without_values("Filter: (a) -- secret", POSTGRES.lexis);
        assert_eq!(shown, "Filter: (a) ");
    }
}
