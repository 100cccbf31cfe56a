//! What `explain` says of an instance: who serves, through which gates, and where each comes from.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::time::Duration;

use switchboard::{Format, GateView, Switchboard};
use switchboard_cache::Caches;
use switchboard_core::settings::{Node, Value};
use switchboard_core::{ErrorKind, Origin, Policy, Settings};

/// A setting in a line of the configuration.
fn in_line(line: u32, value: impl Into<Value>) -> Node {
    Node::new(value, Origin::file("switchboard.toml", line, 1))
}

fn table<const N: usize>(entries: [(&str, Node); N]) -> Settings {
    let mut settings = Settings::at(Origin::Default);
    for (key, node) in entries {
        settings.insert(key, node);
    }
    settings
}

/// `cache.sessions` with the policy `fast`.
fn sessions(fast: Settings) -> Settings {
    let sessions = table([("driver", in_line(3, "memory")), ("policy", in_line(4, "fast"))]);
    let cache = table([("sessions", in_line(2, sessions))]);
    table([
        ("cache", in_line(1, cache)),
        ("policy", in_line(10, table([("fast", in_line(11, fast))]))),
    ])
}

async fn board_of(settings: Settings) -> Switchboard {
    Switchboard::builder().settings(settings).build().await.unwrap()
}

async fn board_of_text(text: &str) -> Switchboard {
    Switchboard::builder().text("shop.toml", Format::Toml, text).build().await.unwrap()
}

fn origins(chain: &[GateView]) -> Vec<(&str, &str)> {
    chain.iter().map(|step| (step.gate, step.origin.as_str())).collect()
}

#[tokio::test(start_paused = true)]
async fn each_gate_is_led_back_to_its_line_and_its_policy() {
    let retry = table([
        ("attempts", in_line(13, 3)),
        ("backoff", in_line(13, "20ms..1s")),
        ("jitter", in_line(13, "full")),
    ]);
    let fast = table([
        ("deadline", in_line(12, "500ms")),
        ("retry", in_line(13, retry)),
        ("breaker", in_line(14, table([("min_calls", in_line(14, 5))]))),
        ("bulkhead", in_line(15, table([]))),
    ]);
    let chain = board_of(sessions(fast)).await.explain("cache.sessions").unwrap().chain;
    let expected = [
        ("deadline", "switchboard.toml:12:1 (policy fast)"),
        ("breaker: open?", "switchboard.toml:14:1 (policy fast); the rest built-in default"),
        ("bulkhead", "switchboard.toml:15:1 (policy fast); all of it built-in default"),
        ("breaker: permit", "switchboard.toml:14:1 (policy fast); the rest built-in default"),
        ("retry", "switchboard.toml:13:1 (policy fast); budget, charge_limiter built-in default"),
        ("driver", "switchboard.toml:3:1"),
    ];
    assert_eq!(origins(&chain), expected);
    assert_eq!(chain[0].settings, "500ms for the call with all its waits and retries");
    assert!(chain[4].settings.starts_with("3 attempts, waits 20ms..1s (full jitter)"));
}

#[tokio::test(start_paused = true)]
async fn a_number_that_another_layer_has_set_is_named_with_that_layer() {
    let variable = Origin::variable("SWITCHBOARD__POLICY__FAST__RATE_LIMIT__RATE");
    let rate_limit = table([
        ("rate", Node::new("9/s", variable)),
        ("burst", in_line(13, 5)),
        ("wait", in_line(14, "1ms")),
    ]);
    let fast = table([("rate_limit", in_line(12, rate_limit))]);
    let chain = board_of(sessions(fast)).await.explain("cache.sessions").unwrap().chain;
    let expected = "switchboard.toml:12:1 (policy fast); rate from variable \
                    SWITCHBOARD__POLICY__FAST__RATE_LIMIT__RATE";
    assert_eq!(origins(&chain)[0], ("rate_limit", expected));
}

#[tokio::test(start_paused = true)]
async fn a_policy_on_the_spot_has_no_name_and_the_address_is_where_the_driver_comes_from() {
    let own = table([("deadline", in_line(7, "1s"))]);
    let main = table([("driver", in_line(6, "memory")), ("policy", in_line(7, own))]);
    let settings = table([("cache", in_line(1, table([("main", in_line(5, main))])))]);
    let chain = board_of(settings).await.explain("cache.main").unwrap().chain;
    let expected = [("deadline", "switchboard.toml:7:1"), ("driver", "switchboard.toml:6:1")];
    assert_eq!(origins(&chain), expected);
}

#[tokio::test(start_paused = true)]
async fn gates_that_were_changed_since_are_not_led_back_to_the_configuration() {
    let fast = table([("deadline", in_line(12, "500ms"))]);
    let board = board_of(sessions(fast)).await;
    let other = Policy { deadline: Some(Duration::from_secs(9)), ..Policy::default() };
    board.manager::<Caches>().unwrap().retune("sessions", other).unwrap();
    let why = board.explain("cache.sessions").unwrap();
    assert_eq!(origins(&why.chain)[0], ("deadline", "set while running"));
    assert_eq!(why.time_max.as_deref(), Some("9s"));
}

#[tokio::test(start_paused = true)]
async fn the_chain_of_a_group_ends_with_its_members_which_have_chains_of_their_own() {
    let board = board_of_text(
        "[cache]\n\
         a = { driver = 'memory', policy = { deadline = '1s', retry = { attempts = 3 } } }\n\
         b = { driver = 'memory', policy = { deadline = '500ms', hedge = { after = '9ms', max = 2 } } }\n\
         z = { members = ['a', 'b'], select = 'weighted', weights = { a = 5 } }",
    )
    .await;
    let why = board.explain("cache.z").unwrap();
    let gates: Vec<_> = why.chain.iter().map(|step| step.gate).collect();
    assert_eq!(gates, ["members"]);
    assert!(why.chain[0].settings.starts_with("weighted among a, b; each has gates of its own"));
    assert_eq!(
        (why.driver, why.members, why.select),
        (None, vec!["a".into(), "b".into()], Some("weighted"))
    );
    let weights = why.weights.iter().map(|(name, weight)| (name.as_str(), *weight));
    assert_eq!(weights.collect::<Vec<_>>(), [("a", 5), ("b", 1)]);
    // Three attempts of the one, and an attempt and two beside it of the other.
    assert_eq!((why.time_max.as_deref(), why.attempts_max), (Some("1s500ms"), 6));
    assert_eq!(board.explain("cache.a").unwrap().chain.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_group_within_a_group_is_looked_into_and_the_deadline_around_ends_it() {
    let board = board_of_text(
        "[cache]\n\
         a = { driver = 'memory', policy = { deadline = '1s', retry = { attempts = 3 } } }\n\
         y = { members = ['a'] }\n\
         z = { members = ['y', 'a'], policy = { deadline = '1800ms' } }",
    )
    .await;
    let worst = |name: &str| {
        let why = board.explain(name).unwrap();
        (why.time_max.unwrap(), why.attempts_max)
    };
    assert_eq!(worst("cache.y"), ("1s".to_owned(), 3));
    assert_eq!(worst("cache.z"), ("1s800ms".to_owned(), 6));
}

#[tokio::test(start_paused = true)]
async fn the_worst_of_a_call_without_gates_has_no_end_and_one_attempt() {
    let board = board_of_text("cache.main.driver = 'memory'").await;
    let why = board.explain("cache.main").unwrap();
    assert_eq!((why.time_max, why.attempts_max, why.warnings.len()), (None, 1, 0));
    assert_eq!((why.state, why.generation, why.driver.as_deref()), ("idle", 0, Some("memory")));
    board.cache("main").unwrap().get("key").await.unwrap();
    let why = board.explain("cache. MAIN").unwrap();
    assert_eq!((why.name.as_str(), why.state, why.generation), ("main", "ready", 1));
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_not_there_is_an_error_with_the_nearest_name() {
    let board = board_of_text("cache.sessions.driver = 'memory'").await;
    let error = board.explain("cache.sesions").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotRegistered);
    assert!(error.hints().any(|hint| hint.contains("sessions")), "{error:?}");
    assert_eq!(board.explain("sessions").unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test(start_paused = true)]
async fn an_explanation_as_json_has_the_chain_that_scripts_read() {
    let board = board_of_text("cache.main = { driver = 'memory', policy.deadline = '1s' }").await;
    let json = serde_json::to_value(board.explain("cache.main").unwrap()).unwrap();
    let chain = json["chain"].as_array().unwrap();
    for step in chain {
        let mut keys: Vec<_> = step.as_object().unwrap().keys().collect();
        keys.sort();
        assert_eq!(keys, ["gate", "origin", "settings"]);
    }
    assert_eq!(
        (chain[0]["gate"].as_str(), chain[1]["gate"].as_str()),
        (Some("deadline"), Some("driver"))
    );
    assert!(json.get("members").is_none() && json.get("weights").is_none());
}

#[tokio::test(start_paused = true)]
async fn an_instance_shows_its_policy_however_its_name_is_written() {
    let text = "
        cache.Sessions = { driver = 'memory', policy = 'fast' }
        policy.fast.deadline = '300ms'";
    let board = Switchboard::builder().text("shop.toml", Format::Toml, text).build().await.unwrap();
    for asked in ["cache.sessions", "cache.SESSIONS"] {
        let settings = board.explain(asked).unwrap().settings;
        let policy = settings.iter().find(|row| row.path == "policy");
        let shown = policy.map(|row| (row.value.as_str(), row.origin.as_str()));
        assert_eq!(shown, Some(("fast", "shop.toml:2:47")), "{settings:?}");
    }
}
