//! The rules: what each finds, why that matters, and what to write instead. Nothing is looked for here.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::Dialect;

/// How bad it is what a rule finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Severity {
    /// It may be right, and somebody should have thought about it.
    Warning,
    /// It fails for sure, or keeps others from their work for as long as the table is large.
    Error,
}

macro_rules! rules {
    ($(
        $(#[doc = $doc:literal])*
        $rule:ident $name:literal $severity:ident on $servers:literal
        finds $finds:literal
        why $why:literal
        instead $instead:literal;
    )*) => {
        /// A rule of migrations.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum LintRule {
            $($(#[doc = $doc])* $rule,)*
        }

        impl LintRule {
            /// Every rule there is.
            pub const ALL: &[Self] = &[$(Self::$rule),*];

            /// What it is called, also in a comment that allows what it finds.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$rule => $name,)* }
            }

            /// How bad it is what it finds.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$rule => Severity::$severity,)* }
            }

            /// The servers it is about, by the names of their dialects; all of them where it is empty.
            pub fn servers(self) -> impl Iterator<Item = &'static str> {
                match self { $(Self::$rule => $servers,)* }.split_whitespace()
            }

            /// What it finds.
            pub const fn finds(self) -> &'static str {
                match self { $(Self::$rule => $finds,)* }
            }

            /// Why that matters.
            pub const fn why(self) -> &'static str {
                match self { $(Self::$rule => $why,)* }
            }

            /// What to do instead.
            pub const fn instead(self) -> &'static str {
                match self { $(Self::$rule => $instead,)* }
            }
        }
    };
}

rules! {
    /// What the server refuses in a transaction, in a migration that is one.
    RefusedInTransaction "refused-in-transaction" Error on "postgres sqlite"
    finds "`create index concurrently`, `vacuum` and their like in a migration that is one transaction"
    why "the server refuses it in a transaction"
    instead "begin the file with `-- switchboard: no-transaction`";

    /// An index that is made while nobody can write.
    IndexBlocksWrites "index-blocks-writes" Error on "postgres"
    finds "`create index` without `concurrently`"
    why "nobody can write to the table until the index is built"
    instead "`create index concurrently`, in a file of its own with `-- switchboard: no-transaction`";

    /// An index that is dropped while nobody can read.
    DropIndexBlocks "drop-index-blocks" Warning on "postgres"
    finds "`drop index` without `concurrently`"
    why "it waits for all who use the table, and all who come meanwhile wait for it"
    instead "`drop index concurrently`, in a file of its own with `-- switchboard: no-transaction`";

    /// Indexes that are rebuilt while nobody can write.
    ReindexBlocksWrites "reindex-blocks-writes" Error on "postgres"
    finds "`reindex` without `concurrently`"
    why "nobody can write to the table until its indexes are built"
    instead "`reindex … concurrently`, in a file of its own with `-- switchboard: no-transaction`";

    /// A column that must have a value, and gets none.
    RequiredColumnWithoutDefault "required-column-without-default" Error on ""
    finds "`add column … not null` without a default"
    why "there is no value for the rows that are there: it fails, or fills in something that nobody chose"
    instead "give it a default, or add it without `not null`, fill it, and require it afterwards";

    /// A column whose value is another one for each row.
    ColumnFillsRows "column-fills-rows" Error on "postgres"
    finds "`add column` with a default that is computed for each row, an identity, a `serial`, a stored expression"
    why "the whole table is written anew, and nobody can read it meanwhile"
    instead "add the column without it, set the default for new rows, and fill the others in batches";

    /// A column of another type.
    ColumnTypeChange "column-type-change" Error on "postgres mysql"
    finds "`alter column … type`; `modify`, `change`, `convert to character set` without `algorithm=instant`, `nocopy` or `inplace`"
    why "as a rule the whole table is written anew, and nobody can write to it meanwhile"
    instead "add a column of the new type, fill it in batches, and change over to it; on MariaDB `algorithm=instant` or `inplace` says that nothing is copied";

    /// A column that must have a value from now on.
    NotNullScansTable "not-null-scans-table" Error on "postgres"
    finds "`set not null` without a check that was validated before"
    why "all rows are read, and nobody can use the table meanwhile"
    instead "`add constraint … check (… is not null) not valid`, in a later file `validate constraint`, then `set not null`";

    /// A constraint that is compared with all rows.
    ConstraintScansTable "constraint-scans-table" Error on "postgres"
    finds "`add … foreign key` and `add … check` without `not valid`"
    why "all rows are compared with it, and nobody can write to the table meanwhile"
    instead "`add constraint … not valid`, and in a later file `validate constraint`";

    /// A constraint that is validated while its lock is held.
    ValidatedUnderLock "validated-under-lock" Warning on "postgres"
    finds "`validate constraint` in the transaction that added it"
    why "the lock of adding it is held while all rows are read"
    instead "validate it in a file of its own";

    /// A constraint that builds its index while nobody can use the table.
    UniqueBuildsIndex "unique-builds-index" Error on "postgres"
    finds "`add … unique`, `primary key` or `exclude` without `using index`"
    why "nobody can use the table until the index is built"
    instead "`create unique index concurrently`, then `add constraint … unique using index`";

    /// A column that running programs may ask for.
    DropColumn "drop-column" Warning on ""
    finds "`drop column`"
    why "programs of the release before fail if they still name it, and its data is gone"
    instead "drop it one release after the last program that names it";

    /// A table that running programs may ask for.
    DropTable "drop-table" Warning on ""
    finds "`drop table`, `drop schema`, `drop database`"
    why "programs of the release before fail if they still ask it, and its data is gone"
    instead "drop it one release after the last program that asks it";

    /// A name that running programs may use.
    Rename "rename" Warning on ""
    finds "`rename` of a table or a column"
    why "programs of the release before use the old name, those of the next one the new name"
    instead "add the new one beside it, write both, and drop the old one a release later; or leave a view";

    /// A lock by hand.
    LockTable "lock-table" Warning on "postgres mysql"
    finds "`lock table`"
    why "all others wait until it is given back"
    instead "let each statement take the lock it needs";

    /// A table that is written anew.
    TableRewrite "table-rewrite" Error on "postgres mysql"
    finds "`vacuum full`, `cluster`, `optimize table`, `alter table … force` or `engine`"
    why "the whole table is written anew, and others wait meanwhile"
    instead "do it when nobody needs the table, or with a tool that copies it beside those who work";

    /// All rows of a table, removed.
    Truncate "truncate" Warning on "postgres mysql"
    finds "`truncate`"
    why "it waits for all who use the table, keeps all others waiting, and its data is gone"
    instead "delete in batches, outside of migrations";

    /// All rows of a table, changed.
    EveryRowChanged "every-row-changed" Warning on ""
    finds "`update` and `delete` without `where`"
    why "all rows are locked until all are done, and each is written again"
    instead "change them in batches, outside of migrations";

    /// A lock that is waited for without an end.
    LockTimeoutMissing "lock-timeout-missing" Warning on "postgres mysql"
    finds "what locks a whole table where nothing says how long to wait for that"
    why "while it waits for one who is slow, all who come later wait behind it"
    instead "`-- switchboard: lock-timeout 5s` at the beginning of the file, or `migrations.lock_timeout`";

    /// A table that is copied while others wait.
    CopyingAlgorithm "copying-algorithm" Error on "mysql"
    finds "`algorithm=copy`, `lock=shared`, `lock=exclusive`"
    why "the whole table is copied, or locked, while others wait"
    instead "`algorithm=instant`, or `algorithm=inplace, lock=none`";

    /// A change that may turn out to be a copy.
    AlgorithmNotSaid "algorithm-not-said" Warning on "mysql"
    finds "`alter table` without `algorithm`"
    why "the server copies the table without a word if it knows no better way"
    instead "`algorithm=instant`, or `algorithm=inplace, lock=none`: it refuses what would take a copy";

    /// A setting that does nothing in a transaction.
    PragmaInTransaction "pragma-in-transaction" Error on "sqlite"
    finds "`pragma foreign_keys` in a migration that is one transaction"
    why "in a transaction it does nothing, without a word"
    instead "begin the file with `-- switchboard: no-transaction`, and end it with `pragma foreign_keys = on`";

    /// A table that is made anew while rows of other tables still hang on the old one.
    RebuildWithForeignKeys "rebuild-with-foreign-keys" Error on "sqlite"
    finds "`drop table` of a table whose name a new one takes in the same file, where foreign keys are on"
    why "rows of other tables that refer to it with `on delete` are deleted or emptied"
    instead "begin the file with `-- switchboard: no-transaction` and `pragma foreign_keys = off`, end it with `pragma foreign_keys = on`, and look afterwards with `pragma foreign_key_check`";

    /// A column that the server does not add.
    RefusedColumn "refused-column" Error on "sqlite"
    finds "`add column` with `unique`, `primary key`, a default that is no constant, `references` with a default, or a stored expression"
    why "the server refuses to add such a column to a table, most of them only where there are rows"
    instead "add it without that: an index can be unique, and rows can be filled afterwards; or make the table anew";

    /// A comment that allows nothing.
    WrongAllow "wrong-allow" Error on ""
    finds "a comment `lint:` that names no rule, or gives no reason"
    why "nobody knows what it allows, or why"
    instead "write it like `-- lint: allow drop-column because nobody has read it since May`";

    /// A comment that allows what is not there.
    UselessAllow "useless-allow" Warning on ""
    finds "a comment that allows what does not stand in the file"
    why "it would hide what is added later"
    instead "remove it";
}

impl LintRule {
    /// The rule called `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rule| rule.name() == name)
    }

    /// Whether it is about databases that write their SQL so.
    pub fn is_about(self, dialect: &Dialect) -> bool {
        let mut servers = self.servers().peekable();
        servers.peek().is_none() || servers.any(|server| server == dialect.name)
    }
}

impl Severity {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for LintRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for LintRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
