//! How fast it is, and that what hangs delays nothing.

use std::fmt::Write as _;
use std::time::Duration;

use tokio::time::timeout;

use crate::board::{PATIENCE, Served};

#[tokio::test]
async fn a_service_that_hangs_delays_no_page() {
    let served = Served::new(&many(200, "10s")).await;
    for number in 0..200 {
        served.board.cache(&format!("c{number}")).unwrap().get("a").await.unwrap();
    }
    // Its check goes on until its limit while the pages are asked for.
    let checking = served.board.check_health();
    let asking = async {
        for path in ["/health", "/readyz", "/metrics", "/api/v1/instances"] {
            let answer = timeout(PATIENCE, served.ask("GET", path).send()).await.expect(path);
            assert_eq!(answer.status, 200, "{path}");
        }
    };
    tokio::select! {
        biased;
        () = asking => {}
        _ = checking => panic!("a page waited for the check"),
    }
    served.close().await;
}

#[tokio::test]
#[ignore = "measures; run with --release -- --ignored --nocapture"]
async fn health_of_200_instances_takes_less_than_5_ms() {
    let served = Served::new(&many(200, "50ms")).await;
    for number in 0..200 {
        served.board.cache(&format!("c{number}")).unwrap().get("a").await.unwrap();
    }
    // From here on there is a verdict on each, and the first one hung.
    served.board.check_health().await;
    let health = served.ask("GET", "/health").send().await.json();
    assert_eq!(health["instances"].as_array().unwrap().len(), 200);
    let clock = served.board.environment().clock().clone();
    for path in ["/health", "/metrics", "/api/v1/instances"] {
        let mut took: Vec<Duration> = Vec::new();
        for _ in 0..200 {
            let since = clock.now();
            let answer = served.ask("GET", path).send().await;
            assert!([200, 503].contains(&answer.status));
            took.push(clock.now() - since);
        }
        took.sort();
        println!("{path}: median {:?}, 99th {:?}, a connection each", took[100], took[198]);
        assert!(path != "/health" || took[100] < Duration::from_millis(5), "{:?}", took[100]);
    }
    served.close().await;
}

/// So many caches, the first of which hangs when it is checked.
fn many(count: usize, limit: &str) -> String {
    let mut text = format!("[health]\nlimit = '{limit}'\n");
    for number in 0..count {
        let mood = if number == 0 { "hangs-when-checked" } else { "calm" };
        writeln!(text, "[cache.c{number}]\ndriver = 'moody'\nmood = '{mood}'").unwrap();
    }
    text
}
