//! `\d`: the tables of a database, and the columns of one, in the words of each kind of database.

use switchboard_core::{Error, ErrorKind};
use switchboard_database::{Dialect, Params, PooledConnection, Rows, Statements as _, params};

use super::note;
use crate::failure::Result;
use crate::rows;
use crate::screen::Screen;

/// Writes the tables and views.
pub(super) async fn tables(
    screen: &mut Screen,
    connection: &PooledConnection,
    dialect: &Dialect,
) -> Result<()> {
    let sql = match dialect.name {
        "sqlite" => SQLITE_TABLES,
        "postgres" => POSTGRES_TABLES,
        "mysql" => MYSQL_TABLES,
        name => return Err(unknown(name).into()),
    };
    let tables = connection.rows(sql, ()).await?;
    if tables.rows.is_empty() {
        note(screen, "there are no tables");
    }
    write(screen, &tables)
}

/// Writes the columns of a table or a view.
pub(super) async fn columns(
    screen: &mut Screen,
    connection: &PooledConnection,
    dialect: &Dialect,
    table: &str,
) -> Result<()> {
    let (schema, name) = match table.split_once('.') {
        Some((schema, name)) => (Some(schema), name),
        None => (None, table),
    };
    let sql = match dialect.name {
        "sqlite" => SQLITE_COLUMNS,
        "postgres" => POSTGRES_COLUMNS,
        "mysql" => MYSQL_COLUMNS,
        name => return Err(unknown(name).into()),
    };
    let named: Params = params! { "schema" => schema, "name" => name };
    let columns = connection.rows(sql, named).await?;
    if columns.rows.is_empty() {
        let error = Error::new(ErrorKind::NotFound, "there is no such table");
        return Err(error.with_context("table", table).into());
    }
    write(screen, &columns)
}

fn write(screen: &mut Screen, all: &Rows) -> Result<()> {
    let mut rows = rows::Rows::begun(screen, &all.columns);
    for row in &all.rows {
        rows.add(row)?;
    }
    rows.end().map(drop)
}

fn unknown(dialect: &str) -> Error {
    Error::new(ErrorKind::Unsupported, "it is not known how this database describes itself")
        .with_context("dialect", dialect)
}

const SQLITE_TABLES: &str = "\
select name, type as kind from sqlite_master
where type in ('table', 'view') and name not like 'sqlite!_%' escape '!' order by name";

const SQLITE_COLUMNS: &str = "\
select name as \"column\", type, case \"notnull\" when 0 then 'yes' else 'no' end as nullable, dflt_value as \"default\"
from pragma_table_info(:name, coalesce(:schema, 'main')) order by cid";

const POSTGRES_TABLES: &str = "\
select table_schema::text as schema, table_name::text as name, lower(table_type::text) as kind
from information_schema.tables
where table_schema not in ('pg_catalog', 'information_schema') order by 1, 2";

const POSTGRES_COLUMNS: &str = "\
select column_name::text as column, data_type::text as type, lower(is_nullable::text) as nullable,
    column_default::text as default
from information_schema.columns
where table_name = :name
    and case when :schema::text is null then table_schema = any(current_schemas(true))
        else table_schema = :schema::text end
order by ordinal_position";

const MYSQL_TABLES: &str = "\
select table_name as name, lower(table_type) as kind
from information_schema.tables where table_schema = database() order by table_name";

const MYSQL_COLUMNS: &str = "\
select column_name as `column`, column_type as type, lower(is_nullable) as nullable,
    column_default as `default`
from information_schema.columns
where table_name = :name and table_schema = coalesce(:schema, database())
order by ordinal_position";
