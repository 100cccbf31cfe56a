//! What is asked again where its answer was lost, and what is not.

#![cfg(test)]
#![cfg(all(feature = "postgres", feature = "conformance"))]

use std::time::Duration;

use switchboard_core::{Environment, Manager, Outcome, Registry, Result, Settings};
use switchboard_database::conformance::address_in;
use switchboard_database::{Database, Databases, Statements as _};
use switchboard_testkit::{Direction, Moment, Wire, service_url, unique};

const CLOSE_LIMIT: Duration = Duration::from_mins(1);

/// A database whose calls are tried three times, over a network that breaks when it is told to.
struct Place {
    databases: Manager<Databases>,
    wire: Wire,
    /// Through the network.
    db: Database,
    /// Around it.
    sure: Database,
    name: String,
}

impl Place {
    async fn new(settings: impl FnOnce(Settings) -> Settings) -> Self {
        let url = service_url("postgres", "postgres://postgres@127.0.0.1:5432/postgres");
        let wire = Wire::to(address_in(&url, 5432)).await;
        let around = Settings::new().with("url", url);
        let retry = Settings::new().with("attempts", 3_i64).with("backoff", "1ms");
        let through = around
            .clone()
            .with("host", wire.address().ip().to_string())
            .with("port", wire.address().port())
            .with("tls", Settings::new().with("mode", "off"))
            .with("policy", Settings::new().with("retry", retry));
        let registry = Registry::with_built_ins().unwrap();
        let databases = Manager::<Databases>::new(registry, &Environment::new()).unwrap();
        databases.configure("sure", &around).unwrap();
        databases.configure("main", &settings(through)).unwrap();
        let sure = databases.get("sure").await.unwrap();
        let name = unique("switchboard_");
        let script = format!(
            "create table {name} (what text);
            create function {name}_notes(what text) returns text language plpgsql as
                $$ begin insert into {name} values (what); return what; end $$"
        );
        sure.execute_script(&script).await.unwrap();
        let db = databases.get("main").await.unwrap();
        Self { databases, wire, db, sure, name }
    }

    /// What comes of `sql`, asked for its value and for its rows with a text each, whose first answer is lost;
    /// and how often the text was noted.
    async fn lost(&self, sql: &str) -> [(Result<String>, i64); 2] {
        // So that the connection is there, and the statement is known to it.
        self.db.select_value::<String>(sql, ("warm",)).await.ok();
        let value = async |text: &str| self.db.select_value::<String>(sql, (text,)).await;
        let rows = async |text: &str| Ok(self.db.select::<String>(sql, (text,)).await?.concat());
        [self.lost_by(value).await, self.lost_by(rows).await]
    }

    async fn lost_by(
        &self,
        ask: impl AsyncFnOnce(&str) -> Result<String>,
    ) -> (Result<String>, i64) {
        let needle = unique("needle");
        let trap = self.wire.cut_when(Direction::ToServer, &needle, Moment::Answered);
        let answer = ask(&needle).await;
        trap.sprung().await;
        let noted = format!("select count(*) from {} where what = ?", self.name);
        (answer, self.sure.select_value(&noted, (&*needle,)).await.unwrap())
    }

    async fn left(self) {
        let Self { databases, sure, name, .. } = self;
        sure.execute_script(&format!("drop table {name} cascade; drop function {name}_notes"))
            .await
            .unwrap();
        databases.close(CLOSE_LIMIT).await.into_result().unwrap();
    }
}

#[tokio::test]
async fn a_function_that_writes_is_not_run_twice_when_its_answer_is_lost() {
    let place = Place::new(|settings| settings).await;
    for sql in [
        format!("select {}_notes(?)", place.name),
        format!("select upper({}_notes(?))", place.name),
        format!("select public.{}_notes(?)", place.name),
        format!("select \"{}_notes\"(?)", place.name),
        format!("select what from {}_notes(?) as noted(what)", place.name),
        format!("with noted(what) as (select {}_notes(?)) select what from noted", place.name),
    ] {
        for (answer, noted) in place.lost(&sql).await {
            assert_eq!(answer.unwrap_err().outcome(), Outcome::Unknown, "{sql}");
            assert_eq!(noted, 1, "{sql}");
        }
    }
    place.left().await;
}

#[tokio::test]
async fn a_query_that_only_reads_is_asked_again_when_its_answer_is_lost() {
    let place = Place::new(|settings| settings).await;
    for sql in [
        "select ?::text",
        "select upper(?)",
        "with r(what) as (select ?::text) select what from r where what in (select what from r)",
    ] {
        for (answer, _) in place.lost(sql).await {
            answer.unwrap();
        }
    }
    place.left().await;
}

#[tokio::test]
async fn any_query_is_asked_again_where_the_server_holds_it_to_reading() {
    let place = Place::new(|settings| settings.with("read_only", true)).await;
    let reads = format!(
        "create function {name}_reads(what text) returns text language sql as $$ select what $$",
        name = place.name
    );
    place.sure.execute(&reads, ()).await.unwrap();
    for (answer, _) in place.lost(&format!("select {}_reads(?)", place.name)).await {
        answer.unwrap();
    }
    let writes = format!("select {}_notes('a')", place.name);
    place.db.select_value::<String>(&writes, ()).await.unwrap_err();
    place.sure.execute(&format!("drop function {}_reads", place.name), ()).await.unwrap();
    place.left().await;
}
