//! Every page, each status it can have, and what surrounds all of them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::board::{SHOP, Served};

#[tokio::test]
async fn the_probes_answer_in_words() {
    let served = Served::new(SHOP).await;
    let live = served.ask("GET", "/livez").send().await;
    assert_eq!((live.status, live.text()), (200, "live\n"));
    let ready = served.ask("GET", "/readyz").send().await;
    assert_eq!((ready.status, ready.text()), (200, "ready\n"));
    served.close().await;
}

#[tokio::test]
async fn health_has_the_shape_of_the_board() {
    let served = Served::new(SHOP).await;
    let answer = served.ask("GET", "/health").send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let health = answer.json();
    assert_eq!((&health["live"], &health["ready"]), (&true.into(), &true.into()));
    assert!(health["instances"].is_array() && health["features"].is_array());
    served.close().await;
}

#[tokio::test]
async fn instances_are_listed_with_all_that_scripts_read() {
    let served = Served::new(SHOP).await;
    served.board.cache("sessions").unwrap().forever("a", "b").await.unwrap();
    let answer = served.ask("GET", "/api/v1/instances").send().await;
    assert_eq!(answer.status, 200);
    let mut instances = answer.json();
    instances.as_array_mut().unwrap().retain(|of| of["subsystem"] == "cache");
    let names: Vec<_> = instances.as_array().unwrap().iter().map(|of| &of["name"]).collect();
    assert_eq!(names, ["main", "sessions"]);
    let sessions = &instances[1];
    assert_eq!(sessions["subsystem"], "cache");
    assert_eq!(sessions["driver"], "memory");
    assert_eq!(sessions["generation"], 1);
    assert_eq!(sessions["state"], "ready");
    assert!(sessions["health"].is_string());
    served.close().await;
}

#[tokio::test]
async fn an_instance_is_explained_and_its_gates_are_shown() {
    let served = Served::new(SHOP).await;
    let explained = served.ask("GET", "/api/v1/instances/cache.main").send().await;
    assert_eq!(explained.status, 200, "{}", explained.whole);
    assert!(!explained.json()["chain"].as_array().unwrap().is_empty());
    let gates = served.ask("GET", "/api/v1/instances/cache.main/gates").send().await;
    assert_eq!(gates.json()["breaker"]["state"], "closed");
    assert_eq!(gates.json()["bulkhead"]["limit"], 8);
    served.close().await;
}

#[tokio::test]
async fn what_is_not_there_is_told_as_json() {
    let served = Served::new(SHOP).await;
    for (path, kind) in [
        ("/", "not found"),
        ("/api/v1", "not found"),
        ("/api/v1/nothing", "not found"),
        ("/api/v2/instances", "not found"),
        ("/api/v1/instances/cache.nothing", "not registered"),
        ("/api/v1/instances/queue.main", "not registered"),
        ("/api/v1/instances/cache.nothing/gates", "not registered"),
        ("/api/v1/instances/cache.nothing/details", "not registered"),
        ("/api/v1/cache/nothing/values/a", "not registered"),
        ("/api/v1/cache/sessions/values/a", "not found"),
    ] {
        let answer = served.ask("GET", path).send().await;
        assert_eq!((answer.status, answer.kind().as_str()), (404, kind), "{path}");
        assert!(answer.json()["error"]["hints"].is_array(), "{path}");
    }
    let unnamed = served.ask("GET", "/api/v1/instances/main").send().await;
    assert_eq!((unnamed.status, unnamed.kind().as_str()), (400, "invalid input"));
    served.close().await;
}

#[tokio::test]
async fn drivers_configuration_and_records_are_shown() {
    let served = Served::new(SHOP).await;
    for path in ["/api/v1/drivers", "/api/v1/configuration", "/api/v1/records"] {
        let answer = served.ask("GET", path).send().await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.json().is_array(), "{path}");
    }
    let drivers = served.ask("GET", "/api/v1/drivers").send().await.json();
    let memory = drivers.as_array().unwrap().iter().find(|of| of["name"] == "memory").unwrap();
    for key in ["subsystem", "aliases", "summary", "capabilities", "proven"] {
        assert!(memory.get(key).is_some(), "{key}");
    }
    served.close().await;
}

#[tokio::test]
async fn a_wrong_method_is_told_which_are_right() {
    let served = Served::new(SHOP).await;
    for (method, path, allowed) in [
        ("DELETE", "/health", "GET,HEAD"),
        ("PUT", "/metrics", "GET,HEAD"),
        ("GET", "/api/v1/reload", "POST"),
        ("GET", "/api/v1/instances/cache.main/swap", "POST"),
        ("PATCH", "/api/v1/cache/main/values/a", "GET,HEAD,PUT,DELETE"),
    ] {
        let answer = served.ask(method, path).send().await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allowed)), "{path}");
        assert_eq!(answer.kind(), "unsupported");
    }
    served.close().await;
}

#[tokio::test]
async fn head_answers_the_head_alone() {
    let served = Served::new(SHOP).await;
    for path in ["/livez", "/health", "/metrics", "/api/v1/instances"] {
        let answer = served.ask("HEAD", path).send().await;
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{path}");
        assert_ne!(answer.header("content-length"), Some("0"), "{path}");
    }
    served.close().await;
}

#[tokio::test]
async fn every_answer_says_that_it_is_not_to_be_kept_or_shown_as_something_else() {
    let served = Served::new(SHOP).await;
    let asked = [
        served.ask("GET", "/livez"),
        served.ask("GET", "/metrics"),
        served.ask("GET", "/nothing"),
        served.ask("DELETE", "/health"),
        served.ask("GET", "/health").host("evil.example"),
        served.ask("GET", "/health").token("wrong"),
    ];
    for ask in asked {
        let answer = ask.send().await;
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{}", answer.whole);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert!(answer.header("content-security-policy").unwrap().contains("default-src 'none'"));
    }
    served.close().await;
}

#[tokio::test]
async fn no_page_shows_a_secret() {
    let configuration = format!("{SHOP}\n[console]\ntoken = 'canary-token'\n");
    let served = Served::new(&configuration).await;
    let asked = [
        ("GET", "/health", ""),
        ("GET", "/metrics", ""),
        ("GET", "/api/v1/instances", ""),
        ("GET", "/api/v1/instances/cache.main", ""),
        ("GET", "/api/v1/instances/cache.main/gates", ""),
        ("GET", "/api/v1/instances/cache.main/details", ""),
        ("GET", "/api/v1/drivers", ""),
        ("GET", "/api/v1/configuration", ""),
        ("GET", "/api/v1/plan", ""),
        ("GET", "/api/v1/cache/main/values/a", ""),
        ("POST", "/api/v1/reload", "{}"),
        ("POST", "/api/v1/instances/cache.main/breaker", r#"{"state":"canary-body"}"#),
        (
            "POST",
            "/api/v1/instances/cache.main/swap",
            r#"{"driver":"moody","password":["canary"]}"#,
        ),
        ("POST", "/api/v1/instances/cache.main/swap", r#"{"driver":"moody","password":"canary"}"#),
        ("POST", "/api/v1/instances/cache.main/swap", r#"{"driver":"moody","mood":"calm","#),
        ("GET", "/api/v1/instances/cache.main", ""),
        ("GET", "/api/v1/records", ""),
        ("GET", "/api/v1/records", ""),
    ];
    for (method, path, body) in asked {
        let ask = served.ask(method, path).token("canary-token");
        let answer = if body.is_empty() { ask } else { ask.json(body) }.send().await;
        assert!(!answer.whole.contains("canary"), "{path}: {}", answer.whole);
        let refused = served.ask(method, path).token("canary-other").send().await;
        assert!(!refused.whole.contains("canary"), "{path}: {}", refused.whole);
    }
    assert!(!format!("{:?} {:?}", served.console, served.board).contains("canary"));
    served.close().await;
}

#[tokio::test]
async fn a_board_with_a_need_that_is_down_is_unready_in_each_page() {
    let served = Served::new(
        "[cache.main]\ndriver = 'moody'\nmood = 'fails'\n[cache.other]\ndriver = 'memory'\n\
         [feature.shop]\nneeds = ['cache.main']\nwants = ['cache.other']\n",
    )
    .await;
    let _ = served.board.cache("main").unwrap().get("a").await;
    served.board.check_health().await;
    for (path, expected) in [("/readyz", 503), ("/health", 503), ("/livez", 200)] {
        assert_eq!(served.ask("GET", path).send().await.status, expected, "{path}");
    }
    let health = served.ask("GET", "/health").send().await.json();
    assert_eq!((&health["live"], &health["ready"]), (&true.into(), &false.into()));
    let page = served.ask("GET", "/metrics").send().await;
    assert!(page.text().contains("switchboard_ready 0\n"));
    assert!(page.text().contains(
        "switchboard_instance_health{subsystem=\"cache\",instance=\"main\",status=\"down\"} 1\n"
    ));
    served.close().await;
}

#[tokio::test]
async fn a_board_that_only_wants_what_is_down_is_ready() {
    let served = Served::new(
        "[cache.main]\ndriver = 'moody'\nmood = 'fails'\n[cache.other]\ndriver = 'memory'\n\
         [feature.shop]\nneeds = ['cache.other']\nwants = ['cache.main']\n",
    )
    .await;
    let _ = served.board.cache("main").unwrap().get("a").await;
    served.board.check_health().await;
    for path in ["/readyz", "/health"] {
        assert_eq!(served.ask("GET", path).send().await.status, 200, "{path}");
    }
    served.close().await;
}

/// A configuration in a file, with secrets of every kind: written there, in another file, in the
/// environment.
#[tokio::test]
async fn a_file_that_changes_is_planned_reloaded_and_shown_without_its_secrets() {
    let folder = Folder::new();
    std::fs::write(folder.0.join("secret"), "canary-file").unwrap();
    let write = |more: &str| {
        let text = format!(
            "[cache.main]\ndriver = 'moody'\npassword = '${{file:secret}}'\n\
             [cache.other]\ndriver = 'moody'\npassword = 'canary-written'\n\
             [cache.third]\ndriver = 'moody'\npassword = '${{SHOP_PASSWORD}}'\n{more}"
        );
        std::fs::write(folder.0.join("shop.toml"), text).unwrap();
    };
    write("");
    let variables = [("SHOP_PASSWORD", "canary-variable")];
    let served = Served::of_file(&folder.0.join("shop.toml"), variables).await;
    let mut shown = Vec::new();
    for path in ["configuration", "plan", "instances/cache.main", "instances/cache.third"] {
        shown.push(served.ask("GET", &format!("/api/v1/{path}")).send().await);
    }
    assert!(shown[0].text().contains("shop.toml:9:"), "{}", shown[0].whole);
    assert!(shown[2].text().contains("shop.toml:3:"), "{}", shown[2].whole);
    assert_eq!(shown[1].json()["changes"], serde_json::json!([]));

    write("[cache.fourth]\ndriver = 'memory'\n");
    for (method, path) in [("GET", "plan"), ("POST", "reload")] {
        let answer = served.ask(method, &format!("/api/v1/{path}")).send().await;
        assert_eq!(answer.status, 200, "{}", answer.whole);
        let changes = answer.json()["changes"].clone();
        assert_eq!(changes.as_array().unwrap().len(), 1, "{path}: {changes}");
        assert_eq!(changes[0]["instance"], "cache.fourth", "{path}");
        shown.push(answer);
    }
    let caches = served.board.instances().into_iter().filter(|of| of.subsystem == "cache");
    assert_eq!(caches.count(), 4);

    write("[cache.fifth]\ndriver = 'moody'\npassword = ['canary-list']\ncolour = 'canary'\n");
    for (method, path) in [("GET", "plan"), ("POST", "reload")] {
        let answer = served.ask(method, &format!("/api/v1/{path}")).send().await;
        assert_eq!((answer.status, answer.kind().as_str()), (400, "configuration"));
        let problems = answer.json()["error"]["problems"].clone();
        let places: Vec<_> = problems.as_array().unwrap().iter().map(|of| &of["line"]).collect();
        assert_eq!(places, [12, 13], "{problems:#}");
        assert!(problems[0]["file"].as_str().unwrap().ends_with("shop.toml"), "{problems:#}");
        assert_eq!(problems[0]["key"], "cache.fifth.password");
        shown.push(answer);
    }
    shown.push(served.ask("GET", "/api/v1/records").send().await);
    for answer in shown {
        assert!(!answer.whole.contains("canary"), "{}", answer.whole);
    }
    let outcomes: Vec<_> = served.board.records().into_iter().map(|of| of.outcome).collect();
    assert_eq!((outcomes.len(), outcomes[0].as_str()), (2, "ok"), "{outcomes:?}");
    served.close().await;
}

/// A folder of its own, which goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("switchboard-console-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}
