//! Databases for tests, made as a template is.

use std::sync::Arc;

use switchboard_core::{Reply, Result};

use super::{Postgres, PostgresConnection, Server};
use crate::{Connection, Copies, DatabaseDriver, Row, Statement, Value};

impl Postgres {
    /// Runs one statement, which cannot be in a transaction, on a connection of its own.
    async fn order(&self, sql: &str) -> Result<()> {
        let mut connection = self.open().await?;
        connection.script(sql).await?;
        Box::new(connection).close().await
    }

    async fn texts(
        connection: &mut PostgresConnection,
        sql: &str,
        value: Value,
    ) -> Result<Vec<Value>> {
        let (sql, values) = (sql.into(), [value]);
        let rows =
            connection.query(Statement { sql: &sql, values: &values, is_kept: false }).await?;
        Ok(rows.rows.into_iter().flat_map(Row::into_values).collect())
    }
}

impl Copies for Postgres {
    fn driver_of(&self, name: &str) -> Arc<dyn DatabaseDriver> {
        let mut server = Server::clone(&self.server);
        server.target.client.dbname(name);
        Arc::new(Self { server: Arc::new(server), password: self.password.clone() })
    }

    fn list<'a>(&'a self, beginning: &'a str) -> Reply<'a, Vec<String>> {
        Reply::run(async move {
            let mut connection = self.open().await?;
            let sql = "select datname::text from pg_database where starts_with(datname::text, $1)";
            let names = Self::texts(&mut connection, sql, beginning.into()).await?;
            Box::new(connection).close().await?;
            Ok(names.iter().map(|name| name.to_text().into_owned()).collect())
        })
    }

    fn make<'a>(&'a self, name: &'a str, template: Option<&'a str>) -> Reply<'a, ()> {
        Reply::run(async move {
            let template = template.map(|template| format!(" template {template}"));
            self.order(&format!("create database {name}{}", template.unwrap_or_default())).await
        })
    }

    fn rename<'a>(&'a self, name: &'a str, new: &'a str) -> Reply<'a, ()> {
        Reply::run(
            async move { self.order(&format!("alter database {name} rename to {new}")).await },
        )
    }

    fn remove<'a>(&'a self, name: &'a str, is_forced: bool) -> Reply<'a, ()> {
        Reply::run(async move {
            let force = if is_forced { " with (force)" } else { "" };
            self.order(&format!("drop database if exists {name}{force}")).await
        })
    }

    /// Who is asked owns what is made, and the options say in which schema it is.
    fn sessions(&self) -> String {
        let client = &self.server.target.client;
        format!("{:?} {:?}", client.get_user(), client.get_options())
    }

    /// It is one of the database, and not of the server. The server gives it back when it sees the end of the
    /// connection.
    fn try_lock<'a>(&'a self, name: &'a str) -> Reply<'a, Option<Box<dyn Send>>> {
        Reply::run(async move {
            let mut connection = self.open().await?;
            let sql = "select pg_try_advisory_lock(hashtextextended($1, 0))";
            let is_ours = Self::texts(&mut connection, sql, name.into()).await?;
            let is_ours = is_ours.contains(&Value::Bool(true));
            Ok(is_ours.then(|| Box::new(connection) as Box<dyn Send>))
        })
    }
}

#[cfg(test)]
mod tests {
    use switchboard_core::{BuildContext, Environment, Name};

    use super::*;
    use crate::DatabaseConfig;
    use crate::drivers::postgres::PostgresConfig;

    fn sessions(url: &str) -> String {
        let config = PostgresConfig { url: Some(url.into()), ..PostgresConfig::default() };
        let context = BuildContext::new(&Environment::new(), Name::parse("main").unwrap());
        Postgres::new(&config, &DatabaseConfig::default(), &context).unwrap().sessions()
    }

    #[test]
    fn sessions_differ_by_their_user_and_not_by_their_database_or_password() {
        let ada = sessions("postgres://ada:one@localhost/a");
        assert_eq!(ada, sessions("postgres://ada:two@localhost/b"));
        assert_ne!(ada, sessions("postgres://bob:one@localhost/a"));
    }
}
