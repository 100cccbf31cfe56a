//! What a statement does, as far as its text tells.
//!
//! Says rather too much than too little: what is not known to read counts as writing. A function of
//! the application's own may do anything; only the server can hold a transaction to reading.

use super::keywords::contains;
use super::lexer::{Kind, Style, Token};
use super::split::statements;
use crate::Lexis;

/// What a statement does, or several in one text together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traits {
    /// The strongest of what they do.
    pub effect: Effect,
    /// Whether the last of them answers with rows.
    pub returns_rows: bool,
    /// Whether something may stay on the connection, whatever else happens.
    pub leaves_session: bool,
    /// Whether a server that does not define tables inside of transactions commits the one it is in.
    pub may_commit: bool,
    /// How many statements there are.
    pub statements: usize,
}

/// What a statement does, from the weakest to the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Effect {
    /// It reads, and leaves nothing.
    Read,
    /// It may change data, or anything else that others see.
    Write,
    /// It leaves something on the connection: a setting, a lock, a temporary table.
    Session,
    /// It begins or ends a transaction, or a part of one.
    Control,
}

impl Traits {
    /// What `sql` does.
    ///
    /// ```
    /// use switchboard_database::Lexis;
    /// use switchboard_database::sql::{Effect, Traits};
    ///
    /// let traits = Traits::of("select * from users for update", Lexis::default());
    /// assert_eq!(traits.effect, Effect::Write);
    /// assert!(traits.returns_rows);
    /// ```
    pub fn of(sql: &str, lexis: Lexis) -> Self {
        let statements = statements(sql, lexis);
        let mut traits = Self {
            effect: Effect::Read,
            returns_rows: false,
            leaves_session: false,
            may_commit: false,
            statements: 0,
        };
        for tokens in &statements {
            let statement = Statement { sql, tokens };
            let effect = statement.effect();
            traits.effect = traits.effect.max(effect);
            traits.leaves_session |= effect == Effect::Session;
            traits.may_commit |= statement.may_commit();
            traits.returns_rows = statement.returns_rows();
            traits.statements += 1;
        }
        traits
    }
}

/// One statement, as its tokens.
#[derive(Clone, Copy)]
struct Statement<'t> {
    sql: &'t str,
    tokens: &'t [Token],
}

impl Statement<'_> {
    fn effect(self) -> Effect {
        self.effect_by_beginning().max(self.effect_anywhere())
    }

    fn effect_by_beginning(self) -> Effect {
        match self.first_word().as_str() {
            "select" | "values" | "table" => self.effect_of_query(),
            "with" => self.effect_of_query().max(self.effect_of_common_tables()),
            "show" | "help" => Effect::Read,
            "explain" | "describe" | "desc" => self.effect_of_explain(),
            "analyze" => self.effect_of_analyze(),
            "pragma" => self.effect_of_pragma(),
            "begin" | "start" | "commit" | "end" | "rollback" | "abort" | "savepoint"
            | "release" | "xa" => Effect::Control,
            "prepare" if self.is_word(1, "transaction") => Effect::Control,
            "set" => self.effect_of_set(),
            "reset" | "discard" | "listen" | "unlisten" | "prepare" | "deallocate" | "use"
            | "attach" | "detach" | "handler" | "unlock" => Effect::Session,
            "load" if !self.is_any(1, &["data", "xml", "index"]) => Effect::Session,
            "lock" if self.has_any(&["tables", "read", "write"]) => Effect::Session,
            "flush" if self.has("lock") => Effect::Session,
            "declare" if self.has_sequence(&["with", "hold"]) => Effect::Session,
            "create" if self.head(4).has_any(TEMPORARY) => Effect::Session,
            _ => Effect::Write,
        }
    }

    /// `SELECT … INTO` makes a table, a file or a variable; `FOR UPDATE` takes locks.
    fn effect_of_query(self) -> Effect {
        for at in 0..self.tokens.len() {
            if self.is_word(at, "into") {
                let leaves = self.is_any(at + 1, TEMPORARY) || self.is_variable(at + 1);
                return if leaves { Effect::Session } else { Effect::Write };
            }
            let locks =
                self.is_word(at, "for") && self.is_any(at + 1, &["update", "share", "no", "key"]);
            if locks || (self.is_word(at, "lock") && self.is_word(at + 1, "in")) {
                return Effect::Write;
            }
        }
        Effect::Read
    }

    /// `WITH` reads if all its statements do.
    fn effect_of_common_tables(self) -> Effect {
        let mut depth = 0_usize;
        for (at, token) in self.tokens.iter().enumerate() {
            let begins = depth == 0 || self.tokens[at - 1].is_sign(self.sql, "(");
            if begins && self.is_any(at, CHANGES) && !self.is_call(at) {
                return Effect::Write;
            }
            depth = self.depth_after(token, depth);
        }
        Effect::Read
    }

    /// Explaining runs nothing, unless it is also to measure.
    fn effect_of_explain(self) -> Effect {
        if !self.has_any(&["analyze", "analyse"]) {
            return Effect::Read;
        }
        match (1..self.tokens.len()).find(|at| self.is_any(*at, BEGINNINGS)) {
            Some(at) => self.from(at).effect_by_beginning(),
            None => Effect::Write,
        }
    }

    /// `ANALYZE` runs the statement that follows, or looks through a table and notes what it found.
    fn effect_of_analyze(self) -> Effect {
        let at = if self.is_word(1, "format") { 4 } else { 1 };
        let is_statement = self.is_any(at, BEGINNINGS) && !self.is_word(at, "table");
        if is_statement { self.from(at).effect_by_beginning() } else { Effect::Write }
    }

    /// `PRAGMA` asks, sets, or does something. Only its name says which: its value may be any word.
    fn effect_of_pragma(self) -> Effect {
        let name = self.name(if self.is_sign(2, ".") { 3 } else { 1 });
        let is_any = |list| contains(list, name);
        let has_value = self
            .tokens
            .iter()
            .any(|token| token.is_sign(self.sql, "=") || token.is_sign(self.sql, "("));
        match () {
            () if is_any(PRAGMAS_THAT_ACT) => Effect::Write,
            () if has_value && !is_any(PRAGMAS_THAT_ASK) => Effect::Session,
            () => Effect::Read,
        }
    }

    fn effect_of_set(self) -> Effect {
        let sets_next_transaction = self.is_word(1, "transaction")
            || (self.is_word(1, "local") && self.is_word(2, "transaction"));
        let commits_alone = self.tokens.iter().any(|token| {
            let name = token.text(self.sql).trim_start_matches('@').to_ascii_lowercase();
            matches!(token.kind, Kind::Word | Kind::Variable)
                && name.rsplit('.').next() == Some("autocommit")
        });
        if sets_next_transaction || commits_alone {
            return Effect::Control;
        }
        if self.is_word(1, "statement") {
            let inner = (2..self.tokens.len()).find(|at| self.is_word(at - 1, "for"));
            return inner.map_or(Effect::Write, |at| self.from(at).effect_by_beginning());
        }
        // These end with the transaction, or are everybody's.
        let is_no_session =
            self.is_any(1, &["local", "global", "persist", "constraints", "password", "default"]);
        if is_no_session { Effect::Write } else { Effect::Session }
    }

    /// What calls and assignments do wherever they stand.
    fn effect_anywhere(self) -> Effect {
        let effects = (0..self.tokens.len()).map(|at| match () {
            () if self.assigns(at) || self.calls(at, CALLS_THAT_LEAVE) => Effect::Session,
            () if self.calls_in_escapes(at) => Effect::Session,
            () if self.calls(at, CALLS_THAT_WRITE) || self.calls_family(at) => Effect::Write,
            () if self.counts_on(at) => Effect::Write,
            () => Effect::Read,
        });
        effects.max().unwrap_or(Effect::Read)
    }

    fn returns_rows(self) -> bool {
        match self.first_word().as_str() {
            "select" | "values" | "table" => !self.has("into"),
            "show" | "help" | "explain" | "describe" | "desc" | "pragma" | "fetch" | "call"
            | "execute" | "check" | "checksum" | "optimize" | "repair" => true,
            "analyze" => self.has_any(BEGINNINGS) || self.is_word(1, "table"),
            "with" => !self.changes_at_top() || self.has_at_top("returning"),
            "insert" | "update" | "delete" | "replace" | "merge" => self.has_at_top("returning"),
            _ => false,
        }
    }

    /// What is temporary belongs to the connection, and commits nothing.
    fn may_commit(self) -> bool {
        match self.first_word().as_str() {
            "create" | "drop" => !self.head(4).has_any(TEMPORARY),
            "analyze" | "check" | "optimize" | "repair" => self.is_any(1, TABLES_FOLLOW),
            "load" => self.is_word(1, "index"),
            "alter" | "cache" | "flush" | "grant" | "install" | "lock" | "rename" | "reset"
            | "revoke" | "truncate" | "uninstall" => true,
            "set" => self.is_word(1, "password"),
            _ => false,
        }
    }

    fn changes_at_top(self) -> bool {
        CHANGES.iter().any(|change| self.has_at_top(change))
    }

    fn has_at_top(self, word: &str) -> bool {
        let mut depth = 0;
        self.tokens.iter().any(|token| {
            depth = self.depth_after(token, depth);
            depth == 0 && token.is_word(self.sql, word)
        })
    }

    fn depth_after(self, token: &Token, depth: usize) -> usize {
        match () {
            () if token.is_sign(self.sql, "(") => depth + 1,
            () if token.is_sign(self.sql, ")") => depth.saturating_sub(1),
            () => depth,
        }
    }
}

/// What stands where.
impl<'t> Statement<'t> {
    /// The first word, in lower case; what is in parentheses begins with its own.
    fn first_word(self) -> String {
        let first = self.tokens.iter().find(|token| !token.is_sign(self.sql, "("));
        let word = first.filter(|token| token.kind == Kind::Word);
        word.map(|token| token.text(self.sql).to_ascii_lowercase()).unwrap_or_default()
    }

    fn from(self, at: usize) -> Self {
        Self { tokens: self.tokens.get(at..).unwrap_or_default(), ..self }
    }

    fn head(self, count: usize) -> Self {
        Self { tokens: &self.tokens[..count.min(self.tokens.len())], ..self }
    }

    fn is_word(self, at: usize, word: &str) -> bool {
        self.tokens.get(at).is_some_and(|token| token.is_word(self.sql, word))
    }

    fn is_any(self, at: usize, words: &[&str]) -> bool {
        words.iter().any(|word| self.is_word(at, word))
    }

    fn is_sign(self, at: usize, sign: &str) -> bool {
        self.tokens.get(at).is_some_and(|token| token.is_sign(self.sql, sign))
    }

    fn is_variable(self, at: usize) -> bool {
        let is = |kind| matches!(kind, Kind::Placeholder(Style::At) | Kind::Variable);
        let is_quoted = self.is_sign(at, "@");
        is_quoted || self.tokens.get(at).is_some_and(|token| is(token.kind))
    }

    /// Whether `:=` stands there, and gives a value to a variable and not to an argument.
    fn assigns(self, at: usize) -> bool {
        let before = |count| at.checked_sub(count).is_some_and(|before| self.is_variable(before));
        self.is_sign(at, ":=") && (before(1) || before(2))
    }

    fn has(self, word: &str) -> bool {
        (0..self.tokens.len()).any(|at| self.is_word(at, word))
    }

    fn has_any(self, words: &[&str]) -> bool {
        words.iter().any(|word| self.has(word))
    }

    fn has_sequence(self, words: &[&str]) -> bool {
        let stands_at =
            |at| words.iter().enumerate().all(|(next, word)| self.is_word(at + next, word));
        (0..self.tokens.len()).any(stands_at)
    }

    fn is_call(self, at: usize) -> bool {
        self.is_sign(at + 1, "(")
    }

    fn calls(self, at: usize, functions: &[&str]) -> bool {
        self.is_name(at) && self.is_call(at) && contains(functions, self.name(at))
    }

    fn calls_family(self, at: usize) -> bool {
        let name = self.name(at).as_bytes();
        let begins_so = |family: &&str| {
            name.get(..family.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(family.as_bytes()))
        };
        self.is_name(at) && self.is_call(at) && FAMILIES_THAT_WRITE.iter().any(begins_so)
    }

    /// Whether `U&"…"` names a function: any, since its escapes are not read here.
    fn calls_in_escapes(self, at: usize) -> bool {
        let text = self.tokens[at].text(self.sql);
        let has_escapes = self.is_name(at) && text.starts_with(['u', 'U']) && text.ends_with('"');
        has_escapes && (self.is_call(at) || self.is_word(at + 1, "uescape"))
    }

    /// Whether `NEXT VALUE FOR` stands there, or a number is given to `LAST_INSERT_ID`.
    fn counts_on(self, at: usize) -> bool {
        let takes_next = self.is_word(at, "next")
            && self.is_word(at + 1, "value")
            && self.is_word(at + 2, "for");
        let gives_id = self.calls(at, &["last_insert_id"]) && !self.is_sign(at + 2, ")");
        takes_next || gives_id
    }

    fn is_name(self, at: usize) -> bool {
        self.tokens.get(at).is_some_and(|token| matches!(token.kind, Kind::Word | Kind::Name))
    }

    /// The name that stands there, without its quotes.
    fn name(self, at: usize) -> &'t str {
        let text = self.tokens.get(at).map_or("", |token| token.text(self.sql));
        text.trim_matches(['"', '`', '[', ']', '\''])
    }
}

const TABLES_FOLLOW: &[&str] = &["local", "no_write_to_binlog", "table", "tables"];

const TEMPORARY: &[&str] = &["temp", "temporary"];

const CHANGES: &[&str] = &["delete", "insert", "merge", "replace", "update"];

/// What a statement that is explained can begin with.
const BEGINNINGS: &[&str] = &[
    "call", "create", "declare", "delete", "execute", "insert", "merge", "refresh", "replace",
    "select", "table", "update", "values", "with",
];

const CALLS_THAT_LEAVE: &[&str] = &[
    "connectby",
    "crosstab",
    "crosstab2",
    "crosstab3",
    "crosstab4",
    "dblink_connect",
    "get_lock",
    "load_extension",
    "pg_advisory_lock",
    "pg_advisory_lock_shared",
    "pg_advisory_unlock",
    "pg_advisory_unlock_all",
    "pg_advisory_unlock_shared",
    "pg_replication_origin_session_reset",
    "pg_replication_origin_session_setup",
    "pg_try_advisory_lock",
    "pg_try_advisory_lock_shared",
    "query_to_xml",
    "query_to_xml_and_xmlschema",
    "query_to_xmlschema",
    "release_all_locks",
    "release_lock",
    "set_config",
    "set_limit",
    "setseed",
    "ts_stat",
];

const CALLS_THAT_WRITE: &[&str] = &[
    "lowrite",
    "nextval",
    "pg_cancel_backend",
    "pg_export_snapshot",
    "pg_import_system_collations",
    "pg_notify",
    "pg_promote",
    "pg_reload_conf",
    "pg_replication_slot_advance",
    "pg_rotate_logfile",
    "pg_stat_statements_reset",
    "pg_switch_wal",
    "pg_terminate_backend",
    "setval",
];

/// What functions are called that act, all of a kind: on another server, on large objects, on what the
/// server itself keeps.
const FAMILIES_THAT_WRITE: &[&str] = &[
    "dblink",
    "lo_",
    "pg_backup_",
    "pg_clear_",
    "pg_copy_",
    "pg_create_",
    "pg_drop_",
    "pg_file_",
    "pg_log_",
    "pg_logical_",
    "pg_replication_origin_",
    "pg_restore_",
    "pg_stat_reset",
    "pg_sync_",
    "pg_wal_replay_",
];

const PRAGMAS_THAT_ACT: &[&str] =
    &["incremental_vacuum", "optimize", "shrink_memory", "wal_checkpoint"];

/// Pragmas whose value says what is asked for.
const PRAGMAS_THAT_ASK: &[&str] = &[
    "foreign_key_check",
    "foreign_key_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "quick_check",
    "table_info",
    "table_list",
    "table_xinfo",
];

#[cfg(test)]
mod tests {
    use Effect::{Control, Read, Session, Write};

    use super::*;
    use crate::Dialect;
    use crate::sql::dialects::{ALL, MYSQL, POSTGRES, SQLITE};

    fn check(dialect: &Dialect, effect: Effect, statements: &[&str]) {
        for sql in statements {
            let commented = format!("-- select\n/* into */ {};", sql.to_uppercase());
            for sql in [*sql, &commented] {
                assert_eq!(Traits::of(sql, dialect.lexis).effect, effect, "{} {sql}", dialect.name);
            }
        }
    }

    #[test]
    fn lists_are_in_order() {
        for list in [CALLS_THAT_LEAVE, CALLS_THAT_WRITE, PRAGMAS_THAT_ACT, PRAGMAS_THAT_ASK] {
            assert!(list.is_sorted());
        }
    }

    #[test]
    fn queries_read() {
        for dialect in ALL {
            let statements = [
                "select 1",
                "(select 1) union (select 2)",
                "values (1)",
                "table t",
                "show x",
                "explain delete from t",
                "with a as (select 1) select * from a",
                "select 'into', replace(a, 'for update', 'set_config(')",
                "select substring(a for 2)",
                "with a as (select 1) select replace(x, y, z) from a",
                "select a as \"into\" from t",
            ];
            check(
                dialect,
                Read,
                &statements[..statements.len() - usize::from(dialect.name == "mysql")],
            );
        }
        check(
            &SQLITE,
            Read,
            &["pragma user_version", "pragma table_info(t)", "pragma main.index_list('t')"],
        );
        check(
            &POSTGRES,
            Read,
            &["explain (analyze, buffers) select 1", "explain analyze select 1"],
        );
        check(
            &MYSQL,
            Read,
            &["analyze select 1", "desc t", "set statement max_statement_time=1 for select 1"],
        );
    }

    #[test]
    fn what_is_not_known_to_read_writes() {
        for dialect in ALL {
            check(
                dialect,
                Write,
                &[
                    "insert into t values (1)",
                    "update t set a = 1",
                    "delete from t",
                    "create table t (a int)",
                    "with a as (select 1) insert into t select * from a",
                    "select * into u from t",
                    "with a as (delete from t returning *) select * from a",
                    "whatever",
                    "call f()",
                    "vacuum",
                    "select * from t for update",
                    "explain analyze delete from t",
                    "drop table t",
                    "select nextval('s')",
                    "with a as (with b as (update t set a = 1 returning *) select * from b) select * from a",
                ],
            );
        }
        check(
            &POSTGRES,
            Write,
            &[
                "select * from t for no key update",
                "do $$ begin end $$",
                "lock table t in share mode",
                "set local x = 1",
                "explain (analyze true) update t set a = 1",
                "declare c cursor for select 1",
            ],
        );
        check(
            &MYSQL,
            Write,
            &[
                "select * from t lock in share mode",
                "select * from t into outfile 'f'",
                "load data infile 'f' into table t",
                "select 1 /*!50000 into outfile 'f' */",
                "set global x = 1",
                "analyze delete from t",
            ],
        );
        check(&SQLITE, Write, &["pragma wal_checkpoint", "pragma \"optimize\""]);
    }

    #[test]
    fn what_a_server_does_when_asked_for_a_value_writes() {
        check(
            &POSTGRES,
            Write,
            &[
                "select * from dblink('host=x', 'delete from t') as r(a int)",
                "select lo_from_bytea(0, 'x')",
                "select pg_drop_replication_slot('x')",
                "select pg_create_restore_point('x')",
                "select pg_catalog.pg_stat_reset()",
                "select \"pg_stat_reset_shared\"('bgwriter')",
                "select next_value.pg_notify('a', 'b') from next_value",
                "analyze t (values)",
            ],
        );
        check(
            &MYSQL,
            Write,
            &[
                "analyze table t",
                "analyze local table t persistent for all",
                "select next value for s",
                "select last_insert_id(7)",
            ],
        );
        check(&MYSQL, Read, &["select last_insert_id()", "analyze format = json select 1"]);
        check(&POSTGRES, Read, &["select lo_a, dblink from t", "select count(pg_log_x) from t"]);
    }

    #[test]
    fn a_function_whose_name_has_escapes_may_do_anything() {
        check(
            &POSTGRES,
            Session,
            &[
                "select u&\"set_config\"('default_transaction_read_only', 'off', false)",
                "select u&\"set!005fconfig\" uescape '!' ('a', 'b', false)",
                "select pg_catalog.u&\"set\\005fconfig\" ('a', 'b', false)",
            ],
        );
        check(&POSTGRES, Read, &["select u&\"d\\0061ta\" from t"]);
    }

    #[test]
    fn a_pragma_is_what_its_name_says_and_not_its_value() {
        check(
            &SQLITE,
            Session,
            &[
                "pragma query_only(table_info)",
                "pragma foreign_keys(index_list)",
                "pragma main.foreign_keys = table_info",
                "pragma 'query_only' = off",
            ],
        );
        check(&SQLITE, Read, &["pragma table_info(optimize)", "pragma main.table_info(optimize)"]);
    }

    #[test]
    fn what_stays_on_the_connection_is_of_the_session() {
        check(
            &POSTGRES,
            Session,
            &[
                "set x = 1",
                "set role r",
                "reset all",
                "listen c",
                "unlisten *",
                "prepare p as select 1",
                "deallocate p",
                "declare c cursor with hold for select 1",
                "create temp table t (a int)",
                "create or replace temporary view v as select 1",
                "load 'lib'",
                "select pg_advisory_lock(1)",
                "select pg_catalog.\"set_config\" ('a', 'b', false)",
                "select 1 into temp t",
                "discard all",
                "insert into t select pg_try_advisory_lock(1)",
                "set session characteristics as transaction read only",
            ],
        );
        check(
            &MYSQL,
            Session,
            &[
                "set names utf8mb4",
                "set @x = 1",
                "select @x := @x + 1",
                "select a into @x from t",
                "use db",
                "lock tables t read",
                "lock table t write",
                "unlock tables",
                "do get_lock('a', 1)",
                "create temporary table t (a int)",
                "/*!40101 set names utf8 */",
                "flush tables with read lock",
                "select @'x' := 1",
                "set session transaction isolation level serializable",
            ],
        );
        check(
            &SQLITE,
            Session,
            &[
                "attach 'f' as g",
                "detach g",
                "pragma foreign_keys = on",
                "pragma main.journal_mode(wal)",
                "create temp trigger t begin select 1; end",
            ],
        );
    }

    #[test]
    fn what_begins_or_ends_a_transaction_controls() {
        for dialect in ALL {
            check(
                dialect,
                Control,
                &[
                    "begin",
                    "begin immediate",
                    "start transaction",
                    "commit",
                    "end",
                    "rollback",
                    "rollback to s",
                    "savepoint s",
                    "release savepoint s",
                    "set transaction read only",
                    "select 1; commit",
                    "set x = 1; begin",
                ],
            );
        }
        check(&POSTGRES, Control, &["prepare transaction 'x'", "abort", "commit prepared 'x'"]);
        check(
            &MYSQL,
            Control,
            &[
                "set autocommit = 0",
                "set @@session.autocommit=1",
                "xa start 'x'",
                "set a = 1, autocommit = 0",
            ],
        );
    }

    #[test]
    fn a_setting_is_told_beside_what_is_stronger() {
        let traits = Traits::of("set x = 1; begin", POSTGRES.lexis);
        assert!(traits.leaves_session);
        assert_eq!(traits.statements, 2);
        assert!(!Traits::of("begin; select 1", POSTGRES.lexis).leaves_session);
        assert_eq!(Traits::of(" -- nothing", POSTGRES.lexis).statements, 0);
    }

    #[test]
    fn rows_come_from_queries_and_from_what_returns_them() {
        let returns = |sql: &str| Traits::of(sql, POSTGRES.lexis).returns_rows;
        for sql in [
            "select 1",
            "values (1)",
            "show x",
            "insert into t values (1) returning id",
            "update t set a = 1 returning *",
            "with a as (insert into t values (1) returning id) select * from a",
            "select 1 for update",
            "explain select 1",
            "with a as (select 1) delete from t returning id",
            "insert into t values (1); select 1",
            "(select 1)",
        ] {
            assert!(returns(sql), "{sql}");
        }
        for sql in [
            "insert into t values (1)",
            "with a as (select 1 returning) delete from t",
            "create table t (a int)",
            "with a as (insert into t values (1) returning id) insert into u select id from a",
            "select 1; delete from t",
            "insert into t values ('returning')",
            "begin",
            "select 1 into t",
        ] {
            assert!(!returns(sql), "{sql}");
        }
    }
}
