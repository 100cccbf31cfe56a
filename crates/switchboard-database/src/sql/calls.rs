//! Whether a statement calls only functions that are known to compute and do nothing else.
//!
//! What a function of the application's own does stands in no text, so a statement that calls one is not
//! taken for harmless. Says rather no than yes: a name in quotes, or with its schema, may be anybody's.
//! What happens behind a view, an operator or a type of somebody's own is not seen.

use super::functions::COMMON;
use super::keywords::contains;
use super::lexer::{Kind, Token, tokens};
use super::split::statements;
use crate::Dialect;

/// Whether every function that the statements of `sql` call only computes.
pub(crate) fn only_computes(sql: &str, dialect: &Dialect) -> bool {
    // The server may leave out what is in such a comment, and read the rest otherwise than it is read here.
    let is_conditional = tokens(sql, dialect.lexis).any(|token| token.kind == Kind::Condition);
    let computes = |tokens: &Vec<Token>| Calls { sql, tokens, dialect }.only_compute();
    !is_conditional && statements(sql, dialect.lexis).iter().all(computes)
}

/// What stands before the parentheses of one statement.
struct Calls<'t> {
    sql: &'t str,
    tokens: &'t [Token],
    dialect: &'t Dialect,
}

impl Calls<'_> {
    fn only_compute(&self) -> bool {
        // Its parentheses are around names and settings.
        if self.is_word(0, "pragma") {
            return true;
        }
        (0..self.tokens.len()).all(|at| !self.is_sign(at + 1, "(") || self.is_harmless(at))
    }

    /// Whether what stands before a parenthesis calls nothing, or what is known.
    fn is_harmless(&self, at: usize) -> bool {
        match self.tokens[at].kind {
            Kind::Word => self.is_language(at) || self.is_known(at) || self.names(at),
            // A server may be set to take for a name what is a text here.
            Kind::Name | Kind::Text | Kind::Variable => self.names(at),
            _ => true,
        }
    }

    /// Whether it is a word of the language, which nobody can name a function after.
    fn is_language(&self, at: usize) -> bool {
        let follows_any = |words| at > 0 && self.is_any(at - 1, words);
        let text = self.text(at);
        match text.to_ascii_lowercase().as_str() {
            _ if self.follows(at, ".") => false,
            "by" => follows_any(&["group", "order", "partition"]),
            "sets" => follows_any(&["grouping"]),
            "explain" => at == 0,
            // After `DISTINCT ON (…)` the next thing may be a call.
            "over" | "filter" => self.follows(at, ")") && !self.has_distinct_on(),
            _ => contains(RESERVED, text),
        }
    }

    /// Whether it is a function that only computes. Some servers take it for another one where there is
    /// space before the parenthesis.
    fn is_known(&self, at: usize) -> bool {
        let is_close = self.tokens[at].end == self.tokens[at + 1].start;
        let name = self.text(at);
        is_close
            && !self.follows(at, ".")
            && (contains(COMMON, name) || contains(self.dialect.functions, name))
    }

    /// Whether it is given a name or a type there, or what is in parentheses is a query.
    fn names(&self, at: usize) -> bool {
        let is_named =
            at > 0 && (self.is_word(at - 1, "as") || self.tokens[at - 1].kind == Kind::Cast);
        is_named || self.is_any(at + 2, QUERIES) || self.is_common_table(at)
    }

    /// Whether `name (columns) AS (query)` stands there.
    fn is_common_table(&self, at: usize) -> bool {
        let mut depth = 0_usize;
        let mut end = None;
        for next in at + 1..self.tokens.len() {
            depth += usize::from(self.is_sign(next, "("));
            depth -= usize::from(self.is_sign(next, ")"));
            if depth == 0 {
                end = Some(next);
                break;
            }
        }
        let Some(end) = end.filter(|end| self.is_word(end + 1, "as")) else { return false };
        let is_part = |at: &usize| !self.is_any(*at, &["not", "materialized"]);
        let begin = (end + 2..self.tokens.len()).find(is_part);
        begin.is_some_and(|at| self.is_sign(at, "(") && self.is_any(at + 1, QUERIES))
    }

    fn has_distinct_on(&self) -> bool {
        (1..self.tokens.len()).any(|at| self.is_word(at - 1, "distinct") && self.is_word(at, "on"))
    }

    fn follows(&self, at: usize, sign: &str) -> bool {
        at > 0 && self.is_sign(at - 1, sign)
    }

    fn text(&self, at: usize) -> &str {
        self.tokens[at].text(self.sql)
    }

    fn is_word(&self, at: usize, word: &str) -> bool {
        self.tokens.get(at).is_some_and(|token| token.is_word(self.sql, word))
    }

    fn is_any(&self, at: usize, words: &[&str]) -> bool {
        words.iter().any(|word| self.is_word(at, word))
    }

    fn is_sign(&self, at: usize, sign: &str) -> bool {
        self.tokens.get(at).is_some_and(|token| token.is_sign(self.sql, sign))
    }
}

/// What no function is given as it is.
const QUERIES: &[&str] = &["select", "with"];

/// Words after which a parenthesis calls nothing, on every server.
const RESERVED: &[&str] = &[
    "all",
    "and",
    "as",
    "between",
    "case",
    "distinct",
    "else",
    "except",
    "exists",
    "from",
    "group",
    "having",
    "in",
    "intersect",
    "limit",
    "not",
    "on",
    "or",
    "select",
    "then",
    "union",
    "using",
    "values",
    "when",
    "where",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sql::dialects::{ALL, MYSQL, POSTGRES, SQLITE};
    use crate::sql::functions;

    fn check(dialects: &[&Dialect], computes: bool, statements: &[&str]) {
        for (dialect, sql) in
            dialects.iter().flat_map(|one| statements.iter().map(move |sql| (one, sql)))
        {
            assert_eq!(only_computes(sql, dialect), computes, "{} {sql}", dialect.name);
        }
    }

    #[test]
    fn what_every_server_has_only_computes() {
        check(
            &ALL,
            true,
            &[
                "select 1",
                "SELECT COUNT(*), Max(a) from t where a in (1, 2) and (b = 1 or not (c = 2))",
                "select a from t where exists (select 1 from u where u.a in (select a from v))",
                "with r(n, m) as (select 1, 2 union all select n + 1, m from r) select n from r",
                "with recursive r (n) as (select 1) select n from r",
                "with a as (with b as (select 1) select * from b) select * from a",
                "select sum(a) over (partition by b order by c), rank() over w from t window w as (order by a)",
                "select * from t join (select 1 as a) as u(a) using (a) where (t.a, t.b) = (1, 2)",
                "select a from t group by (a) order by (a) limit (1)",
                "values (1), (2)",
                "select cast(a as decimal(10, 2)) from t",
                "explain select lower(name) from t",
                "select case (a) when (1) then (2) else (3) end from t",
                "select 'nextval(', \"f\" from t -- f(1)",
            ],
        );
        check(
            &[&POSTGRES],
            true,
            &[
                "select a::numeric(10, 2), now(), extract(epoch from at), position('a' in b) from t",
                "select * from generate_series(1, 10) as s(n), unnest(array[1]) as u(m)",
                "select count(*) filter (where a > 1), string_agg(a, ',' order by a) from t",
                "select * from t where a = any($1) and b <> all (array[1, 2])",
                "with a as materialized (select 1) select jsonb_build_object('a', a.*) from a",
                "explain (analyze, buffers) select 1",
                "select * from t left join lateral (select 1) as l(a) on (true)",
                "select a from t group by grouping sets ((a), ())",
            ],
        );
        check(
            &[&MYSQL],
            true,
            &[
                "select if(a, 1, 2), date_add(a, interval 1 day), a div 2 from t where match(b) against('x')",
            ],
        );
        check(
            &[&SQLITE],
            true,
            &["pragma table_info(t)", "select iif(a, 1, 2), datetime('now') from t"],
        );
    }

    #[test]
    fn what_is_not_known_may_do_anything() {
        check(
            &ALL,
            false,
            &[
                "select f()",
                "select charge(1)",
                "select app.lower(name) from t",
                "select lower (name) from t",
                "select a from t where a = nextval('s')",
                "select by(1), a from t group by a",
                "select over(1)",
                "select filter(1)",
                "select 1; select f()",
                "explain analyze select f()",
                "select * from f(1) as r(a)",
                "select * from a, f(1) as (b int)",
                "with r(n) as (select f(1)) select n from r",
            ],
        );
        check(
            &[&POSTGRES, &SQLITE],
            false,
            &["select \"f\"(1)", "select \"Lower\"(a)", "select \"\"\"lower\"\"\"(a)"],
        );
        check(&[&SQLITE], false, &["select [lower](a)", "select `f`(1)"]);
        check(
            &[&POSTGRES],
            false,
            &[
                "select distinct on (a) over(b) from t",
                "select u&\"\\0066\"(1)",
                "select * from f(1) as (values int)",
                "select 1 operator(app.+) 2",
                "select if(true, 1, 2)",
                "select ts_rewrite('a', 'select f(), 1')",
            ],
        );
        check(
            &[&MYSQL],
            false,
            &[
                "select f(/*!999999 select */ 1)",
                "select \"f\"(1)",
                "select sleep(1)",
                "select `lower`(a)",
            ],
        );
    }

    /// Where a value may stand, at `{}`.
    const PLACES: &[&str] = &[
        "select {}",
        "select a, {} as b from t",
        "select * from t where a = {} and b in (1)",
        "select * from t where a in (1, {})",
        "with a as (select {}) select * from a",
        "with r(n) as (select {} union select 2) select n from r",
        "select * from t group by a, {} having {} order by {}",
        "select case when {} then 1 else {} end",
        "values (1, {})",
        "select * from t join u on ({})",
        "select lower({}), (({}))",
        "explain analyze select {}",
        "select distinct on (a) {} from t",
        "select sum(a) filter (where {}) over (partition by b) from t",
        "(select {}) union all select 1",
        "select exists (select 1 where {})",
        "select * from {} as r(a)",
        "select 'a', /* ( */ {} -- )",
    ];

    fn is_listed(name: &str) -> bool {
        let lists = [COMMON, functions::POSTGRES, functions::MYSQL, functions::SQLITE, RESERVED];
        lists.iter().any(|list| contains(list, name))
    }

    proptest! {
        #[test]
        fn nobodys_function_is_taken_for_harmless_wherever_it_stands(
            name in "[a-zA-Z_][a-zA-Z0-9_]{0,12}",
            place in prop::sample::select(PLACES),
            form in 0_usize..6,
            argument in prop::sample::select(&["", "1", "a, 'b'", "lower(a)", "(select 1)"][..]),
        ) {
            prop_assume!(!is_listed(&name));
            let call = match form {
                0 => format!("{name}({argument})"),
                1 => format!("{name} ({argument})"),
                2 => format!("{name}/* ) */({argument})"),
                3 => format!("app.{name}({argument})"),
                4 => format!("app . \"{name}\" ({argument})"),
                _ => format!("lower({name}\n({argument}))"),
            };
            let sql = place.replace("{}", &call);
            for dialect in ALL {
                prop_assert!(!only_computes(&sql, dialect), "{} {sql}", dialect.name);
            }
        }

        #[test]
        fn known_functions_are_known_wherever_they_stand(
            place in prop::sample::select(PLACES),
            name in prop::sample::select(COMMON),
        ) {
            let sql = place.replace("{}", &format!("{}(a)", name.to_uppercase()));
            prop_assume!(!sql.contains("distinct on") || !sql.contains("over"));
            prop_assert!(only_computes(&sql, &POSTGRES), "{sql}");
        }

        #[test]
        fn any_text_is_read_to_its_end(sql in ".{0,60}") {
            for dialect in ALL {
                only_computes(&sql, dialect);
            }
        }
    }
}
