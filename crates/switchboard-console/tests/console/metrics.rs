//! `/metrics`.

use std::io::Write as _;
use std::process::{Command, Stdio};

use switchboard::Statements as _;

use crate::board::{SHOP, Served};
use crate::text_format::{Series, read};

async fn page(served: &Served) -> String {
    let answer = served.ask("GET", "/metrics").send().await;
    assert_eq!(answer.status, 200);
    let expected = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!(answer.header("content-type"), Some(expected));
    answer.text().to_owned()
}

fn find(series: &Series, parts: &[&str]) -> Option<f64> {
    let mut found = series.iter().filter(|(name, _)| parts.iter().all(|part| name.contains(part)));
    let value = found.next().map(|(_, value)| *value);
    assert!(found.next().is_none(), "{parts:?} is not unique");
    value
}

/// A board on which every family has a series.
async fn busy() -> Served {
    let served = Served::new(&format!("{SHOP}[database]\nmain.url = 'sqlite::memory:'")).await;
    let database = served.board.database("main").unwrap();
    database.select_value::<i64>("select 1", ()).await.unwrap();
    let main = served.board.cache("main").unwrap();
    main.get("a").await.unwrap();
    main.forever("", "no key").await.unwrap_err();
    let sessions = served.board.cache("sessions").unwrap();
    sessions.forever("a", "b").await.unwrap();
    served.board.check_health().await;
    served
}

#[tokio::test]
async fn the_page_is_strictly_as_the_format_says() {
    let served = busy().await;
    let series = read(&page(&served).await);
    for name in [
        "switchboard_build_info",
        "switchboard_reaper_running",
        "switchboard_events_dropped_total",
        "switchboard_instance_info",
        "switchboard_instance_generation",
        "switchboard_calls_in_flight",
        "switchboard_calls_total",
        "switchboard_breaker_state",
        "switchboard_bulkhead_limit",
        "switchboard_rate_limit_remaining",
        "switchboard_instance_health",
        "switchboard_ready",
        "switchboard_database_pool_connections",
        "switchboard_database_pool_use_seconds",
        "switchboard_database_statements_total",
    ] {
        assert!(series.keys().any(|key| key.starts_with(name)), "{name}");
    }
    served.close().await;
}

#[tokio::test]
async fn promtool_finds_nothing_to_complain_about() {
    let Some(promtool) = promtool() else { return };
    let configuration = format!(
        "{SHOP}[cache.slow]\ndriver = 'moody'\nmood = 'waits'\npolicy = {{ retry = {{ attempts = 2 }} }}\n\
         [database]\nmain.url = 'sqlite::memory:'"
    );
    let served = Served::new(&configuration).await;
    served.gate.open.add_permits(1);
    let database = served.board.database("main").unwrap();
    database.select_value::<i64>("select 1", ()).await.unwrap();
    let slow = served.board.cache("slow").unwrap();
    slow.get("a").await.unwrap();
    served.board.check_health().await;
    let page = page(&served).await;
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.trim().is_empty(), "{told}\n{page}");
    served.close().await;
}

/// The real one, where the variable names it or it is where programs are.
#[expect(clippy::disallowed_methods, reason = "a test reads what the test command found")]
fn promtool() -> Option<String> {
    let named = std::env::var("SWITCHBOARD_TEST_PROMTOOL").ok();
    let program = named.clone().unwrap_or_else(|| "promtool".to_owned());
    let answers = Command::new(&program).arg("--version").output();
    if answers.is_ok_and(|output| output.status.success()) {
        return Some(program);
    }
    assert!(named.is_none(), "{program} does not run");
    eprintln!(
        "NOT RUN: there is no promtool; set SWITCHBOARD_TEST_PROMTOOL, or install prometheus"
    );
    None
}

#[tokio::test]
async fn the_same_board_has_the_same_page() {
    let served = busy().await;
    let names = |page: &str| read(page).into_keys().collect::<Vec<_>>();
    let order = |page: &str| -> Vec<String> {
        page.lines().map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
    };
    let [one, two] = [page(&served).await, page(&served).await];
    assert_eq!(order(&one), order(&two));
    assert_eq!(names(&one), names(&two));
    served.close().await;
}

#[tokio::test]
async fn calls_are_counted_by_how_they_ended() {
    let served = Served::new("[cache.main]\ndriver = 'moody'\nmood = 'fails'").await;
    let main = served.board.cache("main").unwrap();
    for _ in 0..3 {
        main.get("a").await.unwrap_err();
    }
    let series = read(&page(&served).await);
    let get = ["switchboard_calls_total", "\"operation\": \"get\""];
    let failed = [&get[..], &["\"outcome\": \"failed\"", "\"kind\": \"unavailable\""]].concat();
    assert_eq!(find(&series, &failed), Some(3.0));
    assert_eq!(find(&series, &[&get[..], &["\"outcome\": \"ok\""]].concat()), Some(0.0));
    served.close().await;
}

#[tokio::test]
async fn waits_are_counted_in_buckets_that_add_up() {
    let served = Served::new("[cache.main]\ndriver = 'moody'\nmood = 'waits'").await;
    let main = served.board.cache("main").unwrap();
    for _ in 0..4 {
        let opening = async {
            served.gate.came.acquire().await.unwrap().forget();
            served.gate.open.add_permits(1);
        };
        tokio::join!(main.get("a"), opening).0.unwrap();
    }
    let series = read(&page(&served).await);
    let wait = ["\"operation\": \"get\"", "switchboard_call_wait_seconds"];
    let count = find(&series, &[wait[0], "switchboard_call_wait_seconds_count"]);
    assert_eq!(count, Some(4.0));
    assert!(find(&series, &[wait[0], "switchboard_call_wait_seconds_sum"]).unwrap() > 0.0);
    let all = [wait[0], "switchboard_call_wait_seconds_bucket", "\"le\": \"+Inf\""];
    assert_eq!(find(&series, &all), Some(4.0));
    let buckets = series.iter().filter(|(name, _)| name.contains("wait_seconds_bucket"));
    let mut buckets: Vec<_> = buckets.map(|(name, count)| (bound(name), *count)).collect();
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    assert_eq!(buckets.len(), 12);
    assert!(buckets.is_sorted_by(|one, other| one.1 <= other.1), "{buckets:?}");
    served.close().await;
}

fn bound(name: &str) -> f64 {
    let (_, rest) = name.split_once("\"le\": \"").unwrap();
    rest.split('"').next().unwrap().parse().unwrap_or(f64::INFINITY)
}

#[tokio::test]
async fn what_counts_goes_on_counting_when_another_driver_serves() {
    let served = Served::new("[cache.main]\ndriver = 'memory'").await;
    let main = served.board.cache("main").unwrap();
    let mut before = 0.0;
    for (round, driver) in ["memory", "null", "moody", "memory"].into_iter().enumerate() {
        main.get("a").await.unwrap();
        let series = read(&page(&served).await);
        let ok = ["calls_total", "\"operation\": \"get\"", "\"outcome\": \"ok\""];
        let count = find(&series, &ok).unwrap();
        assert_eq!(count, before + 1.0, "round {round}");
        before = count;
        let body = format!(r#"{{"driver":"{driver}"}}"#);
        let swap = served.ask("POST", "/api/v1/instances/cache.main/swap").json(&body);
        assert_eq!(swap.send().await.status, 200);
    }
    let series = read(&page(&served).await);
    assert_eq!(find(&series, &["switchboard_instance_generation ", "\"cache\""]), Some(5.0));
    assert_eq!(find(&series, &["switchboard_instance_info ", "\"driver\": \"memory\""]), Some(1.0));
    served.close().await;
}

#[tokio::test]
async fn keys_make_no_series() {
    let served = busy().await;
    let before = read(&page(&served).await).into_keys().collect::<Vec<_>>();
    let sessions = served.board.cache("sessions").unwrap();
    for key in 0..100_000 {
        sessions.forever(&format!("canary-{key}"), "value").await.unwrap();
    }
    let page = page(&served).await;
    assert!(!page.contains("canary"));
    assert_eq!(read(&page).into_keys().collect::<Vec<_>>(), before);
    served.close().await;
}

#[tokio::test]
async fn a_breaker_is_in_one_state() {
    let served = busy().await;
    for (state, label) in [("open", "forced_open"), ("close", "forced_closed"), ("reset", "closed")]
    {
        let body = format!(r#"{{"state":"{state}"}}"#);
        served.ask("POST", "/api/v1/instances/cache.main/breaker").json(&body).send().await;
        let series = read(&page(&served).await);
        let states = series.iter().filter(|(name, _)| name.contains("breaker_state"));
        assert_eq!(states.map(|(_, value)| value).sum::<f64>(), 1.0);
        let label = format!("\"state\": \"{label}\"");
        assert_eq!(find(&series, &["breaker_state", &label]), Some(1.0));
    }
    served.close().await;
}

#[tokio::test]
async fn labels_are_names_and_words_of_fixed_lists() {
    let served = busy().await;
    let known = [
        "subsystem",
        "instance",
        "driver",
        "operation",
        "kind",
        "outcome",
        "state",
        "status",
        "le",
        "version",
        "action",
        "pool",
        "reason",
    ];
    for name in read(&page(&served).await).keys() {
        let labels = name.split_once(" {").unwrap().1.trim_end_matches('}');
        for label in labels.split(", ").filter(|label| !label.is_empty()) {
            let label = label.split_once("\": ").unwrap().0.trim_matches('"');
            assert!(known.contains(&label), "{label} in {name}");
        }
    }
    served.close().await;
}
