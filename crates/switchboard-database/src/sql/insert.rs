//! Names and rows as the text of a statement has them.

use std::fmt::Write as _;

use crate::{BulkTarget, Dialect};

/// `"app"."users"`.
pub(crate) fn quoted_path(path: &str, dialect: &Dialect) -> String {
    path.split('.').map(|name| quoted(name, dialect)).collect::<Vec<_>>().join(".")
}

/// `"id", "name"`.
pub(crate) fn quoted_list(names: &[&str], dialect: &Dialect) -> String {
    names.iter().map(|name| quoted(name, dialect)).collect::<Vec<_>>().join(", ")
}

/// `"name"`.
pub(crate) fn quoted(name: &str, dialect: &Dialect) -> String {
    let quote = dialect.quote;
    format!("{quote}{}{quote}", name.replace(quote, &format!("{quote}{quote}")))
}

/// `insert into "app"."users" ("id", "name") values ($1, $2), ($3, $4)`.
pub(crate) fn insert_of(target: BulkTarget<'_>, rows: usize, dialect: &Dialect) -> String {
    let table = quoted_path(target.table, dialect);
    let columns = quoted_list(target.columns, dialect);
    let mut sql = format!("insert into {table} ({columns}) values ");
    let width = target.columns.len();
    for row in 0..rows {
        sql.push_str(if row == 0 { "(" } else { ", (" });
        for column in 1..=width {
            sql.push_str(if column == 1 { "" } else { ", " });
            // A text takes everything.
            let _ = write!(sql, "{}", dialect.placeholder.number(row * width + column));
        }
        sql.push(')');
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::dialects::{MYSQL, POSTGRES, SQLITE};

    #[test]
    fn rows_are_written_with_the_quotes_and_placeholders_of_the_dialect() {
        let target = BulkTarget::new("app.users", &["id", "na\"me`"]);
        for (dialect, expected) in [
            (
                &POSTGRES,
                "insert into \"app\".\"users\" (\"id\", \"na\"\"me`\") values ($1, $2), ($3, $4)",
            ),
            (
                &SQLITE,
                "insert into \"app\".\"users\" (\"id\", \"na\"\"me`\") values (?1, ?2), (?3, ?4)",
            ),
            (&MYSQL, "insert into `app`.`users` (`id`, `na\"me```) values (?, ?), (?, ?)"),
        ] {
            assert_eq!(insert_of(target, 2, dialect), expected);
        }
    }
}
