//! What `explain` and `configuration` show of settings: all of them, with origins, and no secret.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;
use switchboard::{SettingView, Switchboard};
use switchboard_cache::Caches;
use switchboard_cache::drivers::memory::{Memory, MemoryConfig};
use switchboard_core::settings::{Node, Value};
use switchboard_core::{BuildContext, Origin, Secret, Settings};

/// A driver with secrets, one of which does not look like one.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct FarConfig {
    /// Where the service is.
    #[serde(rename = "url")]
    _url: String,
    /// What opens the door.
    #[serde(rename = "mascot")]
    _mascot: Option<Secret>,
    #[serde(rename = "password")]
    _password: Option<String>,
    #[serde(rename = "notes")]
    _notes: Vec<Secret>,
    /// A secret as a whole.
    #[serde(rename = "riddles")]
    #[schemars(extend("writeOnly" = true))]
    _riddles: BTreeMap<String, String>,
}

/// A driver without an address of its own.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct NearConfig {
    #[serde(rename = "mascot")]
    _mascot: Option<Secret>,
}

/// A section of the application's own.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct ShopConfig {
    #[serde(rename = "title")]
    _title: String,
    #[serde(rename = "motto")]
    _motto: Option<Secret>,
}

/// A setting in a line of the configuration, whose value stands behind its key.
fn in_line(line: u32, value: impl Into<Value>) -> Node {
    let at = |column| Origin::file("switchboard.toml", line, column);
    Node::new(value, at(9)).with_key_origin(at(1))
}

fn table<const N: usize>(entries: [(&str, Node); N]) -> Settings {
    let mut settings = Settings::at(Origin::Default);
    for (key, node) in entries {
        settings.insert(key, node);
    }
    settings
}

async fn board_of(settings: Settings) -> Switchboard {
    let far = |_: FarConfig, context: BuildContext| async move {
        Memory::new(&MemoryConfig::default(), context.clock().clone())
    };
    let near = |_: NearConfig, context: BuildContext| async move {
        Memory::new(&MemoryConfig::default(), context.clock().clone())
    };
    Switchboard::builder()
        .drivers::<Caches>(|registry| registry.register("far", far))
        .drivers::<Caches>(|registry| registry.register("near", near))
        .section::<ShopConfig>("shop")
        .settings(settings)
        .build()
        .await
        .unwrap()
}

fn rows(settings: &[SettingView]) -> Vec<(&str, &str, &str)> {
    settings.iter().map(|row| (&*row.path, &*row.value, &*row.origin)).collect()
}

#[tokio::test(start_paused = true)]
async fn an_instance_shows_its_own_settings_those_of_its_policy_and_those_of_its_driver() {
    let budget = table([("tokens", in_line(13, 50))]);
    let fast = table([
        ("deadline", in_line(12, "500ms")),
        ("retry", in_line(13, table([("budget", in_line(13, budget))]))),
    ]);
    let sessions = table([
        ("driver", in_line(3, "memory")),
        ("policy", in_line(4, "fast")),
        ("max_entries", Node::new(7, Origin::variable("SESSIONS_MAX"))),
    ]);
    let board = board_of(table([
        ("cache", in_line(1, table([("sessions", in_line(2, sessions))]))),
        ("policy", in_line(10, table([("fast", in_line(11, fast))]))),
    ]))
    .await;
    let settings = board.explain("cache.sessions").unwrap().settings;
    let expected = [
        ("policy", "fast", "switchboard.toml:4:1"),
        ("driver", "memory", "switchboard.toml:3:1"),
        ("policy.deadline", "500ms", "switchboard.toml:12:1"),
        ("policy.retry.budget.tokens", "50", "switchboard.toml:13:1"),
        ("max_entries", "7", "variable SESSIONS_MAX"),
    ];
    let set: Vec<_> = rows(&settings);
    let set: Vec<_> = set.into_iter().filter(|(_, _, from)| *from != "built-in default").collect();
    assert_eq!(set, expected);
    let of = |path: &str| settings.iter().find(|row| row.path == path).unwrap();
    for path in ["build_limit", "required", "max_bytes"] {
        assert_eq!(of(path).origin, "built-in default", "{path}");
        assert!(of(path).about.is_some(), "{path}");
    }
    assert_eq!(of("max_entries").about.as_deref(), Some("How many entries may be kept."));
}

#[tokio::test(start_paused = true)]
async fn a_group_shows_its_members_and_how_it_chooses() {
    let memory = || table([("driver", in_line(3, "memory"))]);
    let z = table([
        ("members", in_line(5, Value::List(vec![in_line(5, "a"), in_line(5, "b")]))),
        ("select", in_line(6, "weighted")),
        ("weights", in_line(7, table([("a", in_line(7, 3))]))),
    ]);
    let cache =
        table([("a", in_line(2, memory())), ("b", in_line(3, memory())), ("z", in_line(4, z))]);
    let board = board_of(table([("cache", in_line(1, cache))])).await;
    let settings = board.explain("cache.z").unwrap().settings;
    let shown = rows(&settings);
    for expected in [
        ("members[0]", "a", "switchboard.toml:5:1"),
        ("members[1]", "b", "switchboard.toml:5:1"),
        ("select", "weighted", "switchboard.toml:6:1"),
        ("weights.a", "3", "switchboard.toml:7:1"),
    ] {
        assert!(shown.contains(&expected), "{expected:?} in {shown:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_configuration_shows_every_line_under_its_path_and_hides_what_readers_call_secret() {
    let main = table([
        ("url", in_line(3, "far://me:hunter2@host/0")),
        ("mascot", in_line(4, "1234")),
        ("notes", in_line(5, Value::List(vec![in_line(5, "buy milk")]))),
        ("policy", in_line(6, "fast")),
    ]);
    let budget = table([("tokens", in_line(13, 50))]);
    let retry = table([("budget", in_line(13, budget))]);
    let fast = table([("deadline", in_line(12, "1s")), ("retry", in_line(13, retry))]);
    let shop = table([("title", in_line(21, "Ada's")), ("motto", in_line(22, "sesame"))]);
    let board = board_of(table([
        ("cache", in_line(1, table([("main", in_line(2, main))]))),
        ("policy", in_line(10, table([("fast", in_line(11, fast))]))),
        ("shop", in_line(20, shop)),
    ]))
    .await;
    let configuration = board.configuration();
    let expected = [
        ("cache.main.url", "far://me:***@host/0", "switchboard.toml:3:1"),
        ("cache.main.mascot", "***", "switchboard.toml:4:1"),
        ("cache.main.notes[0]", "***", "switchboard.toml:5:1"),
        ("cache.main.policy", "fast", "switchboard.toml:6:1"),
        ("policy.fast.deadline", "1s", "switchboard.toml:12:1"),
        ("policy.fast.retry.budget.tokens", "50", "switchboard.toml:13:1"),
        ("shop.title", "Ada's", "switchboard.toml:21:1"),
        ("shop.motto", "***", "switchboard.toml:22:1"),
    ];
    assert_eq!(rows(&configuration), expected);
}

#[tokio::test(start_paused = true)]
async fn settings_whose_driver_is_gone_are_hidden_because_nobody_knows_which_are_secrets() {
    let main = table([("driver", in_line(3, "far")), ("url", in_line(4, "open sesame"))]);
    let board = board_of(table([("cache", in_line(1, table([("main", in_line(2, main))])))])).await;
    board.manager::<Caches>().unwrap().registry().remove("far");
    let settings = board.explain("cache.main").unwrap().settings;
    let url = settings.iter().find(|row| row.path == "url").map(|row| row.value.as_str());
    assert_eq!(url, Some("***"));
    assert!(!format!("{:?}", board.configuration()).contains("sesame"));
}

/// Where a secret may be written.
fn with_secret(place: usize, secret: &str) -> Settings {
    let mut main = table([("driver", in_line(3, "far"))]);
    let mut shop = table([]);
    let text = secret.to_owned();
    match place {
        0 => main.insert("mascot", in_line(4, text)),
        1 => main.insert("password", in_line(4, text)),
        2 => main.insert("url", in_line(4, format!("far://ada:{text}@host/0"))),
        3 => main.insert("url", in_line(4, format!("far://host/0?password={text}"))),
        4 => main.insert("notes", in_line(4, Value::List(vec![in_line(4, text)]))),
        5 => main.insert("riddles", in_line(4, table([("first", in_line(5, text))]))),
        6 => shop.insert("motto", in_line(4, text)),
        _ => None,
    };
    let main = match place {
        7 => in_line(2, format!("near://?mascot={secret}")),
        _ => in_line(2, main),
    };
    let cache = table([("main", main)]);
    table([("cache", in_line(1, cache)), ("shop", in_line(9, shop))])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_secret_is_shown_wherever_it_is_written(place in 0..8_usize, tail in "[a-zA-Z0-9_-]{0,12}") {
        let secret = format!("canary{tail}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let board = board_of(with_secret(place, &secret)).await;
            let shown = format!("{:?} {:?}", board.explain("cache.main"), board.configuration());
            assert!(!shown.contains("canary"), "{shown}");
        });
    }
}
