//! Databases for tests, each made anew: the server has no templates.

use std::sync::Arc;

use mysql_async::OptsBuilder;
use switchboard_core::{Reply, Result};

use super::{Connector, MySql, MySqlConnection};
use crate::{Connection, Copies, DatabaseDriver, Row, Statement, Value};

impl MySql {
    async fn order(&self, sql: &str) -> Result<()> {
        let mut connection = Arc::clone(&self.0).connect().await?;
        connection.script(sql).await?;
        Box::new(connection).close().await
    }
}

impl Copies for MySql {
    fn driver_of(&self, name: &str) -> Arc<dyn DatabaseDriver> {
        let Connector { options, session, allows_plaintext, password } = &*self.0;
        let options = OptsBuilder::from_opts(options.clone()).db_name(Some(name)).into();
        Arc::new(Self(Arc::new(Connector {
            options,
            session: Arc::clone(session),
            allows_plaintext: *allows_plaintext,
            password: password.clone(),
        })))
    }

    fn list<'a>(&'a self, beginning: &'a str) -> Reply<'a, Vec<String>> {
        Reply::run(async move {
            let mut connection = Arc::clone(&self.0).connect().await?;
            let sql = "select schema_name from information_schema.schemata \
                       where left(schema_name, char_length(?)) = ?";
            let values = [beginning.into(), beginning.into()];
            let names = texts(&mut connection, sql, &values).await?;
            Box::new(connection).close().await?;
            Ok(names)
        })
    }

    fn make<'a>(&'a self, name: &'a str, _: Option<&'a str>) -> Reply<'a, ()> {
        Reply::run(async move { self.order(&format!("create database {name}")).await })
    }

    /// Nobody asks for it, where there are no templates.
    fn rename<'a>(&'a self, _: &'a str, _: &'a str) -> Reply<'a, ()> {
        Reply::ready(Ok(()))
    }

    /// Who is in a transaction there keeps it, unless the removal is forced; nobody waits for that for long.
    fn remove<'a>(&'a self, name: &'a str, is_forced: bool) -> Reply<'a, ()> {
        Reply::run(async move {
            let mut connection = Arc::clone(&self.0).connect().await?;
            if is_forced {
                end_sessions(&mut connection, name).await?;
            }
            let sql = format!("set lock_wait_timeout = 5; drop database if exists {name}");
            connection.script(&sql).await?;
            Box::new(connection).close().await
        })
    }

    fn try_lock<'a>(&'a self, _: &'a str) -> Reply<'a, Option<Box<dyn Send>>> {
        Reply::ready(Ok(Some(Box::new(()))))
    }

    fn has_templates(&self) -> bool {
        false
    }
}

/// Ends all sessions in the database `name`, and so their transactions.
async fn end_sessions(connection: &mut MySqlConnection, name: &str) -> Result<()> {
    let sql = "select id from information_schema.processlist where db = ?";
    for id in texts(connection, sql, &[name.into()]).await? {
        // Many are gone by now. Of one that stays, the removal tells.
        connection.script(&format!("kill {id}")).await.ok();
    }
    Ok(())
}

async fn texts(
    connection: &mut MySqlConnection,
    sql: &str,
    values: &[Value],
) -> Result<Vec<String>> {
    let sql = sql.into();
    let rows = connection.query(Statement { sql: &sql, values, is_kept: false }).await?;
    let values = rows.rows.into_iter().flat_map(Row::into_values);
    Ok(values.map(|value| value.to_text().into_owned()).collect())
}
