//! Databases for tests, each made anew: the server has no templates.

use std::sync::Arc;

use mysql_async::OptsBuilder;
use switchboard_core::{Reply, Result};

use super::{Connector, MySql};
use crate::{Connection, Copies, DatabaseDriver, Row, Statement};

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
            let (sql, values) = (sql.into(), [beginning.into(), beginning.into()]);
            let statement = Statement { sql: &sql, values: &values, is_kept: false };
            let rows = connection.query(statement).await?;
            Box::new(connection).close().await?;
            let names = rows.rows.into_iter().flat_map(Row::into_values);
            Ok(names.map(|name| name.to_text().into_owned()).collect())
        })
    }

    fn make<'a>(&'a self, name: &'a str, _: Option<&'a str>) -> Reply<'a, ()> {
        Reply::run(async move { self.order(&format!("create database {name}")).await })
    }

    /// Nobody asks for it, where there are no templates.
    fn rename<'a>(&'a self, _: &'a str, _: &'a str) -> Reply<'a, ()> {
        Reply::ready(Ok(()))
    }

    /// Who is in a transaction there keeps it; nobody waits for that for long.
    fn remove<'a>(&'a self, name: &'a str, _: bool) -> Reply<'a, ()> {
        Reply::run(async move {
            let sql = format!("set lock_wait_timeout = 5; drop database if exists {name}");
            self.order(&sql).await
        })
    }

    fn try_lock<'a>(&'a self, _: &'a str) -> Reply<'a, Option<Box<dyn Send>>> {
        Reply::ready(Ok(Some(Box::new(()))))
    }

    fn has_templates(&self) -> bool {
        false
    }
}
