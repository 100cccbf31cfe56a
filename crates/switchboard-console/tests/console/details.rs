//! What a driver shows of itself: a database its pools, who has connections, what statements cost.

use switchboard::Statements as _;

use crate::board::{SHOP, Served};
use crate::text_format::read;

const DATABASE: &str = "[database]\nmain.url = 'sqlite::memory:'\nspare.url = 'sqlite::memory:'\n";

/// A board whose database has done something, with values that nobody may see.
async fn busy() -> Served {
    let served = Served::new(&format!("{SHOP}{DATABASE}")).await;
    let main = served.board.database("main").unwrap();
    main.execute("create table users (id integer primary key, name text)", ()).await.unwrap();
    let insert = "insert into users values (?, ?)";
    main.execute(insert, (1, "canary")).await.unwrap();
    main.execute(insert, (1, "canary")).await.unwrap_err();
    main.execute("insert into users values (2, 'canary')", ()).await.unwrap();
    served
}

async fn page(served: &Served) -> String {
    served.ask("GET", "/metrics").send().await.text().to_owned()
}

#[tokio::test]
async fn a_database_shows_its_pools_its_holders_and_its_statements() {
    let served = busy().await;
    let path = "/api/v1/instances/database.main/details";
    let connection = served.board.database("main").unwrap().connection().await.unwrap();
    let answer = served.ask("GET", path).send().await;
    assert_eq!(answer.status, 200, "{}", answer.whole);
    assert!(!answer.whole.contains("canary"), "{}", answer.whole);
    let shown = answer.json();
    assert_eq!((&shown["instance"], &shown["driver"]), (&"database.main".into(), &"sqlite".into()));
    let details = &shown["details"];
    let write = &details["pools"][0];
    assert_eq!((&write["pool"], &write["max"]), (&"write".into(), &1.into()), "{details:#}");
    assert_eq!((&write["in_use"], &write["idle"]), (&1.into(), &0.into()), "{details:#}");
    assert!(write["uses"]["count"].as_u64().unwrap() >= 4, "{details:#}");
    let holder = &details["holders"][0];
    assert!(holder["place"].as_str().unwrap().contains("details.rs:"), "{details:#}");
    assert_eq!(holder["is_running"], false);
    assert!(holder["age_ms"].as_f64().unwrap() >= 0.0);
    for order in ["slowest", "costliest"] {
        let statements = details["statements"][order].as_array().unwrap();
        let insert = statements.iter().find(|of| of["statement"] == "insert into users values (…)");
        let insert = insert.unwrap_or_else(|| panic!("{details:#}"));
        assert_eq!((&insert["count"], &insert["errors"]), (&3.into(), &1.into()));
        assert_eq!(insert["rows"], 2);
    }
    drop(connection);
    served.close().await;
}

#[tokio::test]
async fn what_has_nothing_to_show_shows_nothing() {
    let served = busy().await;
    for (instance, driver) in [("cache.main", "moody"), ("database.spare", "sqlite")] {
        let path = format!("/api/v1/instances/{instance}/details");
        let answer = served.ask("GET", &path).send().await;
        assert_eq!(answer.status, 200, "{}", answer.whole);
        assert_eq!(answer.json()["driver"], driver);
        assert!(answer.json()["details"].is_null(), "{}", answer.whole);
    }
    for instance in ["database.nothing", "queue.main"] {
        let path = format!("/api/v1/instances/{instance}/details");
        let answer = served.ask("GET", &path).send().await;
        assert_eq!((answer.status, answer.kind().as_str()), (404, "not registered"));
    }
    served.close().await;
}

#[tokio::test]
async fn pools_and_statements_are_counted_for_monitoring_systems() {
    let served = busy().await;
    let page = page(&served).await;
    assert!(!page.contains("canary") && !page.contains("insert into"), "{page}");
    let series = read(&page);
    let of = |name: &str, labels: &str| {
        let key = format!(
            "switchboard_database_{name} {{\"driver\": \"sqlite\", \"instance\": \"main\"{labels}}}"
        );
        *series.get(&key).unwrap_or_else(|| panic!("{key} is not in {series:#?}"))
    };
    let write = ", \"pool\": \"write\"";
    let state = |state| format!("{write}, \"state\": \"{state}\"");
    assert_eq!(of("pool_connections", &state("idle")), 1.0);
    assert_eq!(of("pool_connections", &state("in_use")), 0.0);
    assert_eq!(of("pool_connections_limit", write), 1.0);
    // Once more than it was asked: when it was built.
    assert_eq!(of("pool_acquired_total", write), 5.0);
    let reason = ", \"pool\": \"write\", \"reason\": \"broken\"";
    assert_eq!(of("pool_connections_closed_total", reason), 0.0);
    assert_eq!(of("pool_use_seconds_count", write), 5.0);
    assert_eq!(of("statements_total", ", \"outcome\": \"ok\""), 3.0);
    assert_eq!(of("statements_total", ", \"outcome\": \"failed\""), 1.0);
    assert_eq!(of("statement_rows_total", ""), 2.0);
    assert_eq!(of("statement_seconds_bucket", ", \"le\": \"+Inf\""), 4.0);
    let spare = series.keys().filter(|key| key.contains("_pool_") && key.contains("spare"));
    assert_eq!(spare.count(), 0, "nobody has used it");
    served.close().await;
}

#[tokio::test]
async fn statements_make_no_series() {
    let served = busy().await;
    let names = |page: &str| read(page).into_keys().collect::<Vec<_>>();
    let main = served.board.database("main").unwrap();
    main.select::<i64>("select id from users", ()).await.unwrap();
    let before = names(&page(&served).await);
    for number in 0..100 {
        let sql = format!("select id as canary_{number} from users");
        main.select::<i64>(&sql, ()).await.unwrap();
    }
    let page = page(&served).await;
    assert!(!page.contains("canary"));
    assert_eq!(names(&page), before);
    served.close().await;
}
