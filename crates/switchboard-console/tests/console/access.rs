//! Who may come in.

use switchboard::{Format, Mistakes, Switchboard};
use switchboard_console::ConsoleConfig;
use switchboard_core::ErrorKind;

use crate::board::{SHOP, Served};

const CHANGE: &str = "/api/v1/cache/sessions/flush";

#[tokio::test]
async fn on_loopback_nothing_needs_a_token_that_nobody_configured() {
    let served = Served::new(SHOP).await;
    assert_eq!(served.ask("GET", "/health").send().await.status, 200);
    assert_eq!(served.ask("POST", CHANGE).send().await.status, 204);
    served.close().await;
}

#[tokio::test]
async fn on_loopback_a_configured_token_is_needed_for_changes_and_values() {
    let served = Served::new(&format!("{SHOP}[console]\ntoken = 'open-sesame-7'")).await;
    for (method, path, without, with) in [
        ("GET", "/livez", 200, 200),
        ("GET", "/health", 200, 200),
        ("GET", "/api/v1/instances", 200, 200),
        ("GET", "/api/v1/cache/sessions/values/a", 401, 404),
        ("PUT", "/api/v1/cache/sessions/values/a", 401, 204),
        ("DELETE", "/api/v1/cache/sessions/values/a", 401, 204),
        ("POST", CHANGE, 401, 204),
    ] {
        assert_eq!(served.ask(method, path).send().await.status, without, "{method} {path}");
        let answer = served.ask(method, path).token("open-sesame-7").send().await;
        assert_eq!(answer.status, with, "{method} {path}");
    }
    served.close().await;
}

#[tokio::test]
async fn elsewhere_everything_but_the_probes_needs_the_token() {
    let configuration = format!("{SHOP}[console]\nlisten = '0.0.0.0:0'\ntoken = 'open-sesame-7'");
    let served = Served::new(&configuration).await;
    for path in ["/livez", "/readyz"] {
        assert_eq!(served.ask("GET", path).send().await.status, 200, "{path}");
    }
    for path in ["/health", "/metrics", "/api/v1/instances", "/api/v1/records", "/nothing"] {
        let refused = served.ask("GET", path).send().await;
        assert_eq!((refused.status, refused.kind().as_str()), (401, "unauthenticated"), "{path}");
        assert!(refused.header("www-authenticate").unwrap().starts_with("Bearer"));
        let answer = served.ask("GET", path).token("open-sesame-7").send().await;
        assert_ne!(answer.status, 401, "{path}");
    }
    served.close().await;
}

#[tokio::test]
async fn a_wrong_token_is_wrong_even_where_none_is_needed() {
    let served = Served::new(SHOP).await;
    for said in ["Bearer wrong", "Bearer ", "Bearer", "Basic c2VzYW1l", ""] {
        let answer = served.ask("GET", "/health").header("Authorization", said).send().await;
        assert_eq!(answer.status, 401, "{said:?}");
    }
    let token = served.console.token().expose().to_owned();
    assert_eq!(served.ask("GET", "/health").token(&token).send().await.status, 200);
    let said = format!("bearer {token}");
    let answer = served.ask("GET", "/health").header("authorization", said).send().await;
    assert_eq!(answer.status, 200);
    let twice = served.ask("GET", "/health").token(&token).token(&token).send().await;
    assert_eq!(twice.status, 400);
    served.close().await;
}

#[tokio::test]
async fn in_production_even_loopback_needs_the_token_that_was_made() {
    let served = Served::new(&format!("{SHOP}[board]\nproduction = true")).await;
    assert_eq!(served.ask("GET", "/health").send().await.status, 401);
    let token = served.console.token().expose().to_owned();
    assert_eq!(token.len(), 64);
    assert_eq!(served.ask("GET", "/health").token(&token).send().await.status, 200);
    served.close().await;
}

#[tokio::test]
async fn what_is_not_loopback_is_refused_without_a_configured_token() {
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let configuration = format!("[console]\nlisten = '{listen}'");
        let error = Served::try_new(&configuration).await.err().expect("it was refused");
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("without a token"), "{error}");
    }
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    for line in [
        "listen = 'everywhere'",
        "listen = '127.0.0.1'",
        "token = ''",
        "token = 'two words, long'",
        "token = 'short'",
        "value_bytes_max = '0B'",
        "change_limit = '0s'",
        "connections_per_client_max = 0",
        "connections_max = 0",
        "head_limit = '0s'",
        "request_limit = '0s'",
        "colour = 'red'",
    ] {
        let error = Served::try_new(&format!("[console]\n{line}")).await.err().expect(line);
        assert_eq!(error.kind(), ErrorKind::Config, "{line}");
    }
    let served = Served::new("[console]\nlisten = 'localhost:0'").await;
    let taken = format!("[console]\nlisten = '{}'", served.address());
    let error = Served::try_new(&taken).await.err().expect("it is taken");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    served.close().await;
}

#[tokio::test]
async fn all_that_is_wrong_with_the_section_is_found_without_a_console_each_at_its_place() {
    let text = "[console]\nlisten = 'everywhere'\ntoken = 'canary one'\nconnections_max = 0\n\
        head_limit = '0s'\nchange_limit = '0s'\nrequest_limit = 5\ncolour = 'red'\n";
    let builder = Switchboard::builder().section::<ConsoleConfig>("console");
    let error = builder.text("test.toml", Format::Toml, text).check().unwrap_err();
    let report = error.find::<Mistakes>().unwrap().report().json();
    assert!(!report.contains("canary"), "{report}");
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let problems = report["problems"].as_array().unwrap();
    let found = problems.iter().map(|one| (one["line"].as_u64(), one["key"].as_str()));
    let found: Vec<_> = found.map(|(line, key)| (line.unwrap(), key.unwrap())).collect();
    let expected = [
        (2, "console.listen"),
        (3, "console.token"),
        (4, "console.connections_max"),
        (5, "console.head_limit"),
        (6, "console.change_limit"),
        (7, "console.request_limit"),
        (8, "console.colour"),
    ];
    assert_eq!(found, expected, "{report:#}");
}

#[tokio::test]
async fn that_everybody_could_come_in_is_found_without_a_console() {
    let text = "[console]\nlisten = '0.0.0.0:0'\n";
    let builder = Switchboard::builder().section::<ConsoleConfig>("console");
    let error = builder.text("test.toml", Format::Toml, text).check().unwrap_err();
    let problems = error.find::<Mistakes>().unwrap().problems();
    let problem = problems.iter().next().unwrap();
    assert_eq!((problems.len(), problem.path.as_str()), (1, "console"));
    assert!(problem.message.contains("without a token"), "{problem}");
    assert!(problem.origin.to_string().starts_with("test.toml:1"), "{problem}");
}

#[tokio::test]
async fn only_names_of_this_machine_and_listed_ones_are_answered_to() {
    let configuration =
        format!("{SHOP}[console]\nhosts = ['switch.example', 'other.example:8443']");
    let served = Served::new(&configuration).await;
    let port = served.address().port();
    for (host, expected) in [
        (format!("127.0.0.1:{port}"), 200),
        (format!("localhost:{port}"), 200),
        ("LOCALHOST".to_owned(), 200),
        ("localhost.".to_owned(), 200),
        (format!("[::1]:{port}"), 200),
        ("127.9.9.9".to_owned(), 200),
        ("switch.example".to_owned(), 200),
        ("Switch.Example:80".to_owned(), 200),
        ("other.example:8443".to_owned(), 200),
        ("other.example".to_owned(), 403),
        // A name of somebody else's that points to this machine.
        (format!("evil.example:{port}"), 403),
        ("localhost.evil.example".to_owned(), 403),
        ("127.0.0.1.evil.example".to_owned(), 403),
        ("notlocalhost".to_owned(), 403),
        ("10.1.2.3".to_owned(), 403),
        ("[2001:db8::1]".to_owned(), 403),
        ("a b".to_owned(), 400),
        (String::new(), 400),
    ] {
        for path in ["/health", "/livez", "/nothing"] {
            let status = served.ask("GET", path).host(&host).send().await.status;
            let expected = if path == "/nothing" && expected == 200 { 404 } else { expected };
            assert_eq!(status, expected, "{host:?} {path}");
        }
    }
    served.close().await;
}

#[tokio::test]
async fn who_names_no_host_or_two_is_refused() {
    let served = Served::new(SHOP).await;
    let none = served.ask("GET", "/health").without_host().send().await;
    assert_eq!(none.status, 400);
    let two = served.ask("GET", "/health").header("Host", "evil.example").send().await;
    assert_eq!(two.status, 400);
    let absolute = served.ask("GET", "http://evil.example/health").send().await;
    assert_eq!(absolute.status, 400);
    served.close().await;
}

#[tokio::test]
async fn pages_of_other_origins_may_neither_read_nor_change() {
    let served = Served::new(SHOP).await;
    let host = served.address().to_string();
    for (origin, is_fine) in [
        (format!("http://{host}"), true),
        (format!("https://{host}"), true),
        ("http://evil.example".to_owned(), false),
        ("http://localhost:3000".to_owned(), false),
        ("http://127.0.0.1".to_owned(), false),
        (format!("http://{host}.evil.example"), false),
        (format!("ftp://{host}"), false),
        (host.clone(), false),
        ("null".to_owned(), false),
        (String::new(), false),
    ] {
        for (method, path, fine) in [("GET", "/health", 200), ("POST", CHANGE, 204)] {
            let answer = served.ask(method, path).header("Origin", origin.clone()).send().await;
            let expected = if is_fine { fine } else { 403 };
            assert_eq!(answer.status, expected, "{origin:?} {method}");
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
    served.close().await;
}

/// The page was loaded from a name that points to this machine now, so the browser thinks that it asks
/// where the page came from.
#[tokio::test]
async fn a_page_whose_name_was_pointed_here_changes_nothing() {
    let served = Served::new(SHOP).await;
    served.board.cache("sessions").unwrap().forever("a", "b").await.unwrap();
    let host = format!("evil.example:{}", served.address().port());
    let origin = format!("http://{host}");
    let answer = served.ask("POST", CHANGE).host(&host).header("Origin", origin).json("{}");
    assert_eq!(answer.send().await.status, 403);
    assert!(served.board.cache("sessions").unwrap().has("a").await.unwrap());
    assert!(served.board.records().is_empty());
    served.close().await;
}

#[tokio::test]
async fn a_form_of_a_page_is_not_taken_for_a_request() {
    let served = Served::new(SHOP).await;
    let swap = "/api/v1/instances/cache.main/swap";
    let memory = r#"{"driver":"memory"}"#;
    for said in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "text/plain; application/json",
        "",
    ] {
        let ask = served.ask("POST", swap).header("Content-Type", said).body(memory);
        assert_eq!(ask.send().await.status, 415, "{said:?}");
        let empty = served.ask("POST", CHANGE).header("Content-Type", said);
        assert_eq!(empty.send().await.status, 415, "{said:?}");
    }
    assert_eq!(served.ask("POST", swap).body(memory).send().await.status, 415);
    let said = "Application/JSON; charset=utf-8";
    let ask = served.ask("POST", swap).header("Content-Type", said).body(memory);
    assert_eq!(ask.send().await.status, 200);
    served.close().await;
}
