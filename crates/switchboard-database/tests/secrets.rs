//! A password is shown nowhere, in whatever way an address has it: not by errors and their causes, not by
//! `Debug`, explanations, details and logs.

#![cfg(all(feature = "sqlite", feature = "postgres", feature = "mysql"))]
#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

#[path = "observed/log.rs"]
#[expect(dead_code, reason = "other tests ask more of it")]
mod log;

use std::error::Error as _;
use std::fmt::Write as _;

use switchboard_core::{Environment, Error, Manager, Registry, Settings};
use switchboard_database::drivers::mysql::MySqlConfig;
use switchboard_database::drivers::postgres::PostgresConfig;
use switchboard_database::drivers::sqlite::SqliteConfig;
use switchboard_database::{Databases, Statements as _};
use switchboard_testkit::service_url;

/// Everything that is said of a database with these settings, whether it can be used or not.
async fn said_of(driver: &str, settings: &Settings) -> String {
    let log = log::Listening::to(tracing::Level::TRACE);
    let registry = Registry::with_built_ins().unwrap();
    let databases = Manager::<Databases>::new(registry, &Environment::new()).unwrap();
    let pool = Settings::new().with("connect_timeout", "2s").with("acquire_timeout", "2s");
    let settings = &settings.clone().with("pool", pool);
    let entry = databases.registry().get(driver).unwrap();
    let mut said = format!("{settings:?} {:?}", entry.explain(settings));
    let error_of = |error: Error| {
        let mut said = format!("{error} {error:?}");
        let mut cause = error.source();
        while let Some(inner) = cause {
            let _ = write!(said, " {inner} {inner:?}");
            cause = inner.source();
        }
        said
    };
    if let Err(error) = entry.check(settings) {
        said += &error_of(error);
    }
    if let Err(error) = databases.configure("main", settings) {
        return said + &error_of(error);
    }
    match databases.get("main").await {
        Err(error) => said += &error_of(error),
        Ok(main) => {
            main.rows("select 1", ()).await.unwrap();
            if let Err(error) = main.rows("select nothing from nowhere", ()).await {
                said += &error_of(error);
            }
            let _ = write!(said, "{main:?} {:?} {:?}", main.pools(), main.holders());
        }
    }
    let infos = databases.instances();
    let details = databases.handle("main").unwrap().line().details();
    let _ = write!(said, "{infos:?} {details:?} {:?}", log.all());
    said
}

fn assert_hidden(said: &str, secrets: &[&str], settings: &Settings) {
    for secret in secrets {
        if let Some(at) = said.find(secret) {
            let around: String = said[..at].chars().rev().take(200).collect();
            let around: String = around.chars().rev().collect();
            panic!("{secret} of {settings:?} is shown: …{around}{secret}…");
        }
    }
}

/// Addresses of the server at `place` in which there is a password: `c4nary`, or written as `c4n%61ry`.
fn addresses(scheme: &str, place: &str) -> Vec<String> {
    let whole = [
        "USER:c4nary@PLACE",
        "USER:c4n%61ry@PLACE",
        "USER:%63%34%6e%61%72%79@PLACE",
        "USER:c4nary%40%3A%2F@PLACE",
        ":c4nary@PLACE",
        "USER@PLACE?password=c4nary",
        "USER@PLACE?password=c4n%61ry",
        "USER@PLACE?PASSWORD=c4nary",
        "USER@PLACE?p%61ssword=c4nary",
        "USER@PLACE?sslpassword=c4nary",
        "USER@PLACE?passfile=x&sslpassword=c4nary&sslmode=disable",
        // Of people who forgot to write `%40`, `%3A`, `%2F`, `%3F` and `%23`.
        "USER:x@c4nary@PLACE",
        "USER:x:c4nary@PLACE",
        "USER:x/c4nary@PLACE",
        "USER:x?c4nary@PLACE",
        "USER:x?c4nary=1@PLACE",
        "USER:x?sslmode=c4nary@PLACE",
        "USER:x#c4nary@PLACE",
        "USER:5?c4nary=1@PLACE",
        "USER:5?sslmode=c4nary@PLACE",
        "127.0.0.1:5432/c4nary@PLACE",
        "127.0.0.1:3306/c4nary@PLACE",
        "USER:c4nary%zz@PLACE",
        "USER:c4nary%ff@PLACE",
        "USER:c4nary@PLACE:x",
        "USER:c4nary@[::1",
    ];
    let whole = whole.map(|form| form.replace("USER", "someone").replace("PLACE", place));
    whole.iter().map(|rest| format!("{scheme}://{rest}")).collect()
}

const SECRETS: [&str; 4] = ["c4nary", "c4n%61ry", "%63%34%6e", "4nary"];

/// Where the server of that address is.
fn place_of(url: &str) -> &str {
    url.rsplit_once('@').unwrap().1
}

#[tokio::test]
async fn a_password_of_an_address_is_shown_nowhere_on_postgres() {
    let url = service_url("postgres", "postgres://postgres@127.0.0.1:5432/postgres");
    for address in addresses("postgres", place_of(&url)) {
        for user in ["someone", "postgres"] {
            let address = address.replace("someone", user);
            let settings = Settings::new().with("url", address.as_str()).with("user", user);
            assert_hidden(&said_of("postgres", &settings).await, &SECRETS, &settings);
            let config = settings.decode::<PostgresConfig>();
            assert_hidden(&format!("{config:?}"), &SECRETS, &settings);
        }
    }
}

#[tokio::test]
async fn a_password_of_an_address_is_shown_nowhere_on_mariadb() {
    let url = service_url("mariadb", "mysql://root@127.0.0.1:3306/test");
    for address in addresses("mysql", place_of(&url)) {
        for user in ["someone", "root"] {
            let address = address.replace("someone", user);
            let settings = Settings::new().with("url", address.as_str()).with("user", user);
            assert_hidden(&said_of("mysql", &settings).await, &SECRETS, &settings);
            let config = settings.decode::<MySqlConfig>();
            assert_hidden(&format!("{config:?}"), &SECRETS, &settings);
        }
    }
}

#[tokio::test]
async fn a_password_beside_an_address_is_shown_nowhere() {
    let postgres = service_url("postgres", "postgres://postgres@127.0.0.1:5432/postgres");
    let mariadb = service_url("mariadb", "mysql://root@127.0.0.1:3306/test");
    for (driver, url) in [("postgres", postgres), ("mysql", mariadb)] {
        for key in ["password", "pasword", "sslpassword", "passwd"] {
            let settings = Settings::new().with("url", url.as_str()).with(key, "c4nary");
            assert_hidden(&said_of(driver, &settings).await, &SECRETS, &settings);
        }
    }
}

#[tokio::test]
async fn what_looks_like_a_password_is_shown_nowhere_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.db").display().to_string();
    let queries =
        ["?key=c4nary", "?password=c4nary", "?cipher=x&hexkey=c4nary", "#password=c4n%61ry"];
    for query in queries {
        for start in ["sqlite:", "sqlite://"] {
            let settings = Settings::new().with("url", format!("{start}{file}{query}"));
            assert_hidden(&said_of("sqlite", &settings).await, &SECRETS, &settings);
            let config = settings.decode::<SqliteConfig>();
            assert_hidden(&format!("{config:?}"), &SECRETS, &settings);
        }
    }
}
