//! The dialects of three databases, for tests that need no driver.

use super::functions;
use crate::{Dialect, Lexis, Placeholder};

const COMMON: Dialect = Dialect {
    has_nulls_order: true,
    has_returning: true,
    has_transactional_ddl: true,
    bulk_is_atomic: true,
    ..Dialect::STANDARD
};

pub(crate) static POSTGRES: Dialect = Dialect {
    name: "postgres",
    placeholder: Placeholder::Dollar,
    lexis: Lexis {
        escape_strings: true,
        dollar_strings: true,
        nested_comments: true,
        question_operators: true,
        ..Lexis::STANDARD
    },
    has_arrays: true,
    functions: functions::POSTGRES,
    ..COMMON
};

pub(crate) static MYSQL: Dialect = Dialect {
    name: "mysql",
    quote: '`',
    lexis: Lexis {
        backslash_escapes: true,
        double_quoted_strings: true,
        backticks: true,
        hash_comments: true,
        dashes_need_space: true,
        at_variables: true,
        conditional_comments: true,
        ..Lexis::STANDARD
    },
    has_nulls_order: false,
    has_transactional_ddl: false,
    functions: functions::MYSQL,
    ..COMMON
};

pub(crate) static SQLITE: Dialect = Dialect {
    name: "sqlite",
    placeholder: Placeholder::NumberedQuestion,
    lexis: Lexis { backticks: true, brackets: true, ..Lexis::STANDARD },
    values_max: 32_766,
    functions: functions::SQLITE,
    ..COMMON
};

pub(crate) static ALL: [&Dialect; 3] = [&POSTGRES, &MYSQL, &SQLITE];
