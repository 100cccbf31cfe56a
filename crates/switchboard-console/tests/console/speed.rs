//! That what hangs delays nothing.

use std::fmt::Write as _;

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

/// So many caches, the first of which hangs when it is checked.
fn many(count: usize, limit: &str) -> String {
    let mut text = format!("[health]\nlimit = '{limit}'\n");
    for number in 0..count {
        let mood = if number == 0 { "hangs-when-checked" } else { "calm" };
        writeln!(text, "[cache.c{number}]\ndriver = 'moody'\nmood = '{mood}'").unwrap();
    }
    text
}
