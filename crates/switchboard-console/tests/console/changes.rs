//! What changes the board, and that all of it is recorded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use switchboard::Record;
use switchboard_core::ErrorKind;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::board::{PATIENCE, SHOP, Served};

const SWAP: &str = "/api/v1/instances/cache.main/swap";

#[tokio::test]
async fn another_driver_serves_after_a_swap() {
    let served = Served::new(SHOP).await;
    let main = served.board.cache("main").unwrap();
    main.forever("a", "lost").await.unwrap();
    let answer = served.ask("POST", SWAP).json(r#"{"driver":"memory","max_entries":9}"#).send();
    let answer = answer.await;
    assert_eq!(answer.status, 200, "{}", answer.whole);
    assert_eq!(answer.json()["generation"], 2);
    main.forever("a", "kept").await.unwrap();
    assert_eq!(main.get("a").await.unwrap().as_deref(), Some(&b"kept"[..]));
    let records = served.ask("GET", "/api/v1/records").send().await.json();
    assert_eq!(
        (&records[0]["action"], &records[0]["subject"]),
        (&"swap".into(), &"cache.main".into())
    );
    assert_eq!(records[0]["outcome"], "ok");
    assert!(records[0]["by"].as_str().unwrap().starts_with("api 127.0.0.1:"));
    served.close().await;
}

#[tokio::test]
async fn settings_with_mistakes_change_nothing_and_all_of_them_are_told() {
    let served = Served::new(SHOP).await;
    let body = r#"{"driver":"memory","max_entrys":9,"max_entries":"many"}"#;
    let answer = served.ask("POST", SWAP).json(body).send().await;
    assert_eq!((answer.status, answer.kind().as_str()), (400, "configuration"));
    let error = &answer.json()["error"];
    let keys: Vec<_> = error["problems"].as_array().unwrap().iter().map(|of| &of["key"]).collect();
    assert_eq!(keys.len(), 2, "{}", answer.whole);
    let records = served.board.records();
    assert_eq!(records.len(), 1);
    assert_ne!(records[0].outcome, "ok");
    served.close().await;
}

#[tokio::test]
async fn what_is_no_settings_is_refused() {
    let served = Served::new(SHOP).await;
    let deep = format!("{}1{}", "{\"a\":".repeat(500), "}".repeat(500));
    for body in
        ["", "{", "[]", "null", "7", "{} {}", r#"{"driver":"memory","driver":"null"}"#, &deep]
    {
        let answer = served.ask("POST", SWAP).json(body).send().await;
        assert_eq!(answer.status, 400, "{body:.40}: {}", answer.whole);
    }
    let broken = served.ask("POST", SWAP).json("").body(b"\xff\xfe").send().await;
    assert_eq!(broken.status, 400);
    assert!(served.board.instances().iter().all(|of| of.generation <= 1));
    served.close().await;
}

#[tokio::test]
async fn no_call_fails_while_drivers_are_swapped() {
    let served = Served::new("[cache.main]\ndriver = 'memory'").await;
    let is_over = Arc::new(AtomicBool::new(false));
    let calls = Arc::new(AtomicU64::new(0));
    let load = |task: u64| {
        let main = served.board.cache("main").unwrap();
        let (is_over, calls) = (is_over.clone(), calls.clone());
        async move {
            while !is_over.load(Ordering::Relaxed) {
                main.forever(&format!("key-{task}"), "value").await.unwrap();
                main.get(&format!("key-{task}")).await.unwrap();
                calls.fetch_add(2, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        }
    };
    let swaps = async {
        for round in 1..=20 {
            let body = format!(r#"{{"driver":"memory","max_entries":{}}}"#, 100 + round);
            let answer = served.ask("POST", SWAP).json(&body).send().await;
            assert_eq!(answer.status, 200, "{}", answer.whole);
        }
        is_over.store(true, Ordering::Relaxed);
    };
    tokio::join!(swaps, load(1), load(2), load(3), load(4));
    assert!(calls.load(Ordering::Relaxed) > 20);
    assert_eq!(served.board.records().len(), 20);
    served.close().await;
}

#[tokio::test]
async fn a_breaker_is_forced_open_closed_and_reset() {
    let served = Served::new(SHOP).await;
    let main = served.board.cache("main").unwrap();
    let path = "/api/v1/instances/cache.main/breaker";
    for (state, shown) in [("open", "forced open"), ("close", "forced closed"), ("reset", "closed")]
    {
        let body = format!(r#"{{"state":"{state}"}}"#);
        let answer = served.ask("POST", path).json(&body).send().await;
        assert_eq!((answer.status, &answer.json()["breaker"]["state"]), (200, &shown.into()));
        let called = main.get("a").await;
        assert_eq!(called.is_err(), state == "open", "{state}");
    }
    for body in ["", "{}", r#"{"state":"ajar"}"#, r#"{"state":"open","now":1}"#, r#"{"state":7}"#] {
        let answer = served.ask("POST", path).json(body).send().await;
        assert_eq!((answer.status, answer.kind().as_str()), (400, "invalid input"), "{body}");
    }
    let without = "/api/v1/instances/cache.sessions/breaker";
    let answer = served.ask("POST", without).json(r#"{"state":"open"}"#).send().await;
    assert_eq!((answer.status, answer.kind().as_str()), (501, "unsupported"));
    let actions: Vec<_> = served.board.records().into_iter().map(|of| of.action).collect();
    assert_eq!(actions, ["breaker open", "breaker close", "breaker reset", "breaker open"]);
    served.close().await;
}

#[tokio::test]
async fn values_are_put_read_forgotten_and_flushed() {
    let served = Served::new(SHOP).await;
    let path = "/api/v1/cache/sessions/values/user%2F7%20%C3%A4";
    let bytes = [0, 255, 10, 13];
    let put = served.ask("PUT", path).body(bytes).send().await;
    assert_eq!((put.status, put.body.len()), (204, 0), "{}", put.whole);
    let sessions = served.board.cache("sessions").unwrap();
    assert_eq!(sessions.get("user/7 ä").await.unwrap().as_deref(), Some(&bytes[..]));
    let got = served.ask("GET", path).send().await;
    assert_eq!((got.status, got.body.as_slice()), (200, &bytes[..]));
    assert_eq!(got.header("content-type"), Some("application/octet-stream"));
    assert_eq!(served.ask("DELETE", path).send().await.status, 204);
    // What is gone is gone, whoever forgot it.
    assert_eq!(served.ask("DELETE", path).send().await.status, 204);
    assert_eq!(served.ask("PUT", path).send().await.status, 204);
    assert_eq!(served.ask("GET", path).send().await.body.len(), 0);
    assert_eq!(served.ask("POST", "/api/v1/cache/sessions/flush").send().await.status, 204);
    assert_eq!(served.ask("GET", path).send().await.status, 404);
    let records = served.board.records();
    let actions: Vec<_> = records.iter().map(|of| of.action.as_str()).collect();
    assert_eq!(actions, ["flush"]);
    assert!(records.iter().all(|of| of.subject == "cache.sessions" && of.outcome == "ok"));
    served.close().await;
}

#[tokio::test]
async fn a_value_is_kept_as_long_as_was_said() {
    let served = Served::new(SHOP).await;
    let path = "/api/v1/cache/sessions/values/a";
    for (query, expected) in [
        ("?ttl=10m", 204),
        ("?ttl=1h30m", 204),
        ("", 204),
        ("?ttl=10", 400),
        ("?ttl=0s", 400),
        ("?ttl=", 400),
        ("?ttl=ever", 400),
        ("?ttl=900000d", 400),
        ("?tll=10m", 400),
        ("?ttl=1s&ttl=2s", 400),
    ] {
        let answer = served.ask("PUT", &format!("{path}{query}")).body("x").send().await;
        assert_eq!(answer.status, expected, "{query}: {}", answer.whole);
    }
    let long = format!("/api/v1/cache/sessions/values/{}", "k".repeat(300));
    assert_eq!(served.ask("PUT", &long).body("x").send().await.status, 400);
    let no_text = "/api/v1/cache/sessions/values/%FF";
    assert_eq!(served.ask("PUT", no_text).body("x").send().await.status, 400);
    let soon = served.ask("PUT", &format!("{path}?ttl=1ns")).body("x").send().await;
    assert_eq!(soon.status, 204);
    assert_eq!(served.ask("GET", path).send().await.status, 404);
    served.close().await;
}

#[tokio::test]
async fn a_reload_is_recorded_however_it_went() {
    let served = Served::new(SHOP).await;
    let answer = served.ask("POST", "/api/v1/reload").header("X-Switchboard-Client", "ada").send();
    let answer = answer.await;
    let records = served.board.records();
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].action.as_str(), records[0].subject.as_str()), ("reload", "board"));
    assert_eq!(records[0].outcome == "ok", answer.status == 200);
    assert!(records[0].by.ends_with(" (ada)"), "{}", records[0].by);
    served.close().await;
}

#[tokio::test]
async fn a_client_can_say_who_it_is_in_a_few_words() {
    let served = Served::new(SHOP).await;
    let flush = || served.ask("POST", "/api/v1/cache/sessions/flush");
    flush().header("X-Switchboard-Client", "n".repeat(1_000)).send().await;
    flush().header("X-Switchboard-Client", "").send().await;
    let records = served.board.records();
    assert!(records[0].by.ends_with(&format!(" ({})", "n".repeat(64))), "{}", records[0].by);
    assert!(!records[1].by.contains('('));
    served.close().await;
}

#[tokio::test]
async fn the_kind_of_a_failure_decides_the_status() {
    for (mood, expected, kind) in [
        ("fails", 503, "unavailable"),
        // That the service does not know us is no reason for the client to log in.
        ("unknown", 500, "unauthenticated"),
    ] {
        let served = Served::new(&format!("[cache.main]\ndriver = 'moody'\nmood = '{mood}'")).await;
        for (method, path) in [
            ("GET", "/api/v1/cache/main/values/a"),
            ("PUT", "/api/v1/cache/main/values/a"),
            ("POST", "/api/v1/cache/main/flush"),
        ] {
            let answer = served.ask(method, path).send().await;
            assert_eq!((answer.status, answer.kind().as_str()), (expected, kind), "{method}");
            assert_eq!(answer.json()["error"]["instance"], "cache.main");
        }
        assert!(served.board.records().iter().all(|of| of.outcome.contains(kind)));
        served.close().await;
    }
}

#[tokio::test]
async fn a_panic_is_an_answer_and_the_console_goes_on() {
    let served = Served::new("[cache.main]\ndriver = 'moody'\nmood = 'panics'").await;
    for (method, path) in [
        ("GET", "/api/v1/cache/main/values/a"),
        ("PUT", "/api/v1/cache/main/values/a"),
        ("POST", "/api/v1/cache/main/flush"),
    ] {
        let answer = served.ask(method, path).send().await;
        assert_eq!((answer.status, answer.kind().as_str()), (500, "unexpected"), "{method}");
    }
    assert_eq!(served.ask("GET", "/health").send().await.status, 200);
    let outcomes: Vec<_> = served.board.records().into_iter().map(|of| of.outcome).collect();
    assert_eq!(outcomes.len(), 1, "the flush");
    assert!(outcomes.iter().all(|outcome| outcome.starts_with("unexpected")), "{outcomes:?}");
    served.close().await;
}

#[tokio::test]
async fn a_change_goes_on_and_is_recorded_when_its_client_has_gone() {
    let served = Served::new("[cache.main]\ndriver = 'moody'\nmood = 'waits'").await;
    let ask = served.ask("POST", "/api/v1/cache/main/flush");
    let mut stream = TcpStream::connect(served.address()).await.unwrap();
    stream.write_all(&ask.bytes()).await.unwrap();
    served.gate.came.acquire().await.unwrap().forget();
    drop(stream);
    served.gate.open.add_permits(1);
    let records = recorded(&served, 1).await;
    assert_eq!((records[0].action.as_str(), records[0].outcome.as_str()), ("flush", "ok"));
    served.close().await;
}

#[tokio::test]
async fn a_change_that_takes_too_long_is_given_up_and_recorded() {
    let configuration = "[cache.main]\ndriver = 'moody'\nmood = 'waits'\n\
        [console]\nrequest_limit = '50ms'";
    let served = Served::new(configuration).await;
    let answer = served.ask("POST", "/api/v1/cache/main/flush").send().await;
    assert_eq!((answer.status, answer.kind().as_str()), (504, "timeout"));
    let records = recorded(&served, 1).await;
    assert_eq!(records.len(), 1);
    assert!(records[0].outcome.contains(ErrorKind::Timeout.as_str()), "{}", records[0].outcome);
    served.board.close(PATIENCE).await;
}

#[tokio::test]
async fn a_swap_that_takes_too_long_is_given_up_and_recorded_once() {
    let served = Served::new(&format!("{SHOP}[console]\nchange_limit = '50ms'")).await;
    let main = served.board.cache("main").unwrap();
    main.get("a").await.unwrap();
    let body = r#"{"driver":"moody","mood":"hangs-at-start"}"#;
    let answer = served.ask("POST", SWAP).json(body).send().await;
    assert_eq!((answer.status, answer.kind().as_str()), (504, "timeout"));
    let records = recorded(&served, 1).await;
    assert_eq!((records.len(), records[0].action.as_str()), (1, "swap"));
    assert!(records[0].outcome.starts_with("timeout"), "{}", records[0].outcome);
    // What served before serves still.
    main.get("a").await.unwrap();
    assert_eq!(served.board.instances()[0].generation, 1);
    served.close().await;
}

#[tokio::test]
async fn a_swap_may_take_longer_than_another_request() {
    let served = Served::new(&format!("{SHOP}[console]\nrequest_limit = '200ms'")).await;
    served.board.cache("main").unwrap().get("a").await.unwrap();
    let answer = served.ask("POST", SWAP).json(r#"{"driver":"moody","mood":"starts-late"}"#).send();
    let opening = async {
        // The limit of a request passes while the driver starts.
        served.gate.came.acquire().await.unwrap().forget();
        served.board.environment().clock().sleep(Duration::from_millis(400)).await;
        served.gate.open.add_permits(1);
    };
    let (answer, ()) = tokio::join!(answer, opening);
    assert_eq!(answer.status, 200, "{}", answer.whole);
    served.close().await;
}

#[tokio::test]
async fn values_do_not_push_the_changes_of_the_board_out_of_its_records() {
    let served = Served::new(SHOP).await;
    let answer = served.ask("POST", SWAP).json(r#"{"driver":"memory"}"#).send().await;
    assert_eq!(answer.status, 200);
    let put = served.ask("PUT", "/api/v1/cache/sessions/values/a").body("x");
    for _ in 0..1_100 {
        assert_eq!(put.clone().send().await.status, 204);
    }
    served.ask("DELETE", "/api/v1/cache/sessions/values/a").send().await;
    let actions: Vec<_> = served.board.records().into_iter().map(|of| of.action).collect();
    assert_eq!(actions, ["swap"]);
    let page = served.ask("GET", "/metrics").send().await;
    for line in [
        "switchboard_console_value_writes_total{action=\"put\",outcome=\"ok\"} 1100\n",
        "switchboard_console_value_writes_total{action=\"forget\",outcome=\"ok\"} 1\n",
    ] {
        assert!(page.text().contains(line), "{}", page.text());
    }
    // No request is a clean-up job.
    assert!(served.board.environment().reaper().figures().done < 10);
    served.close().await;
}

#[tokio::test]
async fn mistakes_over_http_have_the_shape_that_check_prints() {
    let served = Served::new(SHOP).await;
    let body = r#"{"driver":"memory","max_entrys":9}"#;
    let ask = served.ask("POST", SWAP).header("X-Switchboard-Client", "ada").json(body);
    let answer = ask.send().await;
    let error = &answer.json()["error"];
    let problem = error["problems"][0].as_object().unwrap();
    for key in ["file", "line", "column", "key", "message", "hint"] {
        assert!(problem.contains_key(key), "{key}: {}", answer.whole);
    }
    assert!(!problem.contains_key("at"));
    assert_eq!(problem["key"], "cache.main.max_entrys");
    assert_eq!((&error["causes"], &error["related"]), (&json!([]), &json!([])));
    served.close().await;
}

#[tokio::test]
async fn settings_of_a_body_say_who_gave_them() {
    let served = Served::new(SHOP).await;
    let ask = served.ask("POST", SWAP).header("X-Switchboard-Client", "ada");
    assert_eq!(ask.json(r#"{"driver":"memory","max_entries":9}"#).send().await.status, 200);
    let explained = served.ask("GET", "/api/v1/instances/cache.main").send().await;
    let settings = explained.json()["settings"].to_string();
    assert!(settings.contains("api 127.0.0.1:") && settings.contains("(ada)"), "{settings}");
    assert!(!settings.contains("api.rs"), "{settings}");
    served.close().await;
}

#[tokio::test]
async fn what_led_to_an_error_is_told_with_it() {
    let served = Served::new(SHOP).await;
    served.board.cache("main").unwrap().get("a").await.unwrap();
    let body = r#"{"driver":"moody","mood":"cannot-start"}"#;
    let answer = served.ask("POST", SWAP).json(body).send().await;
    assert_eq!(answer.status, 503, "{}", answer.whole);
    let told = answer.json()["error"].clone();
    let all = told.to_string();
    assert!(all.contains("the far end hung up"), "{all}");
    assert!(!all.contains("canary"), "{all}");
    let causes = told["causes"].as_array().unwrap();
    assert!(causes.iter().any(|cause| cause == "the far end hung up"), "{told:#}");
    assert_eq!(told["related"][0]["message"], "the first address was wrong", "{told:#}");
    served.close().await;
}

/// The records of the board, once there are that many.
async fn recorded(served: &Served, count: usize) -> Vec<Record> {
    let there = async {
        while served.board.records().len() < count {
            tokio::task::yield_now().await;
        }
        served.board.records()
    };
    tokio::time::timeout(PATIENCE, there).await.expect("a record")
}
