//! What people see of settings: every one with its place, and never a secret.
#![expect(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_core::settings::{ByteSize, Node, Value};
use switchboard_core::{
    Erase, Lifecycle, Line, Op, Origin, Registry, Result, Secret, Settings, ShownSetting, Subsystem,
};

#[derive(Debug)]
struct Stores;

trait StoreDriver: Lifecycle {}

impl<T: StoreDriver> Erase<T> for dyn StoreDriver {
    fn erase(driver: Arc<T>) -> Arc<Self> {
        driver
    }
}

switchboard_core::operations! {
    mod op {
        READ = "read": Read;
    }
}

impl Subsystem for Stores {
    const NAME: &'static str = "stores";
    const OPERATIONS: &'static [Op] = op::ALL;

    type Driver = dyn StoreDriver;
    type Handle = Line<Self>;

    fn register_built_ins(registry: &Registry<Self>) -> Result<()> {
        registry.register("remote", |_: Remote, _| async { Ok(Store) })?;
        registry.register("local", |_: Local, _| async { Ok(Store) })
    }
}

struct Store;

impl Lifecycle for Store {}

impl StoreDriver for Store {}

#[derive(Debug, Deserialize, JsonSchema)]
#[expect(dead_code, reason = "described, not read")]
struct Remote {
    /// Where it is.
    url: String,
    /// What opens it.
    #[serde(default, alias = "gate")]
    door: Option<Secret>,
    #[serde(default)]
    doors: Vec<Secret>,
    #[serde(default)]
    named: BTreeMap<String, Secret>,
    /// How many tokens.
    #[serde(default)]
    max_tokens: Option<u32>,
    #[serde(default)]
    login: Option<Login>,
    /// The connections.
    #[serde(default)]
    pool: Pool,
    #[serde(flatten)]
    local: Local,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(dead_code, reason = "described, not read")]
enum Login {
    Nobody,
    Somebody { name: String, phrase: Secret },
}

#[derive(Debug, Deserialize, serde::Serialize, JsonSchema)]
#[serde(default)]
struct Pool {
    /// At most.
    max: u32,
    label: String,
}

impl Default for Pool {
    fn default() -> Self {
        Self { max: 8, label: "usual".to_owned() }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[expect(dead_code, reason = "described, not read")]
struct Local {
    /// How much.
    #[serde(default = "mebibyte")]
    room: ByteSize,
    #[serde(default)]
    folder: Option<String>,
}

fn mebibyte() -> ByteSize {
    ByteSize(1 << 20)
}

fn explained(driver: &str, settings: &Settings) -> Vec<ShownSetting> {
    let registry = Registry::<Stores>::with_built_ins().unwrap();
    registry.get(driver).unwrap().explain(settings)
}

fn texts(shown: &[ShownSetting]) -> Vec<String> {
    shown
        .iter()
        .map(|one| format!("{}={}", one.path, one.value.as_deref().unwrap_or("-")))
        .collect()
}

fn at(line: u32, value: impl Into<Value>) -> Node {
    Node::new(value, Origin::file("switchboard.toml", line, 9))
}

#[test]
fn what_is_set_comes_first_and_then_what_the_driver_knows_beside_it() {
    let mut settings = Settings::at(Origin::file("switchboard.toml", 1, 1));
    settings.insert("url", at(2, "redis://me:hunter2@host"));
    settings.insert("door", Node::new(Value::Untyped("hunter2".into()), Origin::variable("DOOR")));
    settings.insert("max_tokens", at(4, 5));
    settings.insert("pool", at(5, Settings::new().with("max", 20)));
    settings.insert("named", at(6, Settings::new().with("a.b", "hunter2")));
    settings.insert("unknown", at(7, ["x", "y"]));
    settings.insert("api_key", at(8, "hunter2"));
    let shown = explained("remote", &settings);
    assert_eq!(
        texts(&shown),
        [
            "url=redis://me:***@host",
            "door=***",
            "max_tokens=5",
            "pool.max=20",
            "pool.label=usual",
            "named.\"a.b\"=***",
            "unknown=***",
            "api_key=***",
            "doors=-",
            "folder=-",
            "login=-",
            "room=1MiB",
        ]
    );
    let of = |path: &str| shown.iter().find(|one| one.path == path).unwrap();
    assert_eq!(of("url").origin, Origin::file("switchboard.toml", 2, 9));
    assert_eq!(of("url").description.as_deref(), Some("Where it is."));
    assert!(of("url").is_masked && !of("pool.max").is_masked);
    assert_eq!(of("door").origin, Origin::variable("DOOR"));
    assert_eq!(of("room").origin, Origin::Default);
    assert_eq!(of("pool.label").origin, Origin::Default);
    assert_eq!(of("pool.max").description.as_deref(), Some("At most."));
}

#[test]
fn a_table_that_is_left_out_is_shown_with_its_defaults() {
    let shown = explained("remote", &Settings::new().with("url", "x"));
    let of = |path: &str| shown.iter().find(|one| one.path == path).unwrap();
    assert_eq!(of("pool.max").value.as_deref(), Some("8"));
    assert_eq!(of("pool.label").origin, Origin::Default);
}

#[test]
fn an_address_is_explained_as_the_settings_it_stands_for() {
    let settings = Settings::new().with("url", "local://?room=5MiB");
    assert_eq!(texts(&explained("local", &settings)), ["room=5MiB", "folder=-"]);
    let wrong = Settings::new().with("url", "local://x?room=5MiB");
    assert_eq!(texts(&explained("local", &wrong))[0], "url=local://x?room=5MiB");
}

#[test]
fn a_tree_is_shown_as_it_is_but_for_its_secrets() {
    let schema = Registry::<Stores>::with_built_ins().unwrap().get("remote").unwrap().describe();
    let settings = Settings::new()
        .with("door", "hunter2")
        .with("login", Settings::new().with("kind", "somebody").with("phrase", "hunter2"))
        .with("max_tokens", Value::Untyped("5".to_owned()))
        .with("numbers", vec![Value::from(1), Value::from(0.5), Value::from(f64::NAN), Value::Null])
        .with("pool", Settings::new().with("max", 20))
        .with("on", true);
    let expected = serde_json::json!({
        "door": "***",
        "login": { "kind": "somebody", "phrase": "***" },
        "max_tokens": "5",
        "numbers": "***",
        "pool": { "max": 20 },
        "on": true,
    });
    assert_eq!(settings.shown(Some(&schema.settings)), expected);
    let without = settings.shown(None);
    assert_eq!((&without["door"], &without["max_tokens"]), (&"hunter2".into(), &"***".into()));
    assert_eq!(without["numbers"], serde_json::json!([1, 0.5, "NaN", null]));
}

/// What a driver shows of one setting, in both ways in which it can be asked.
fn seen(driver: &str, key: &str, value: impl Into<Value>) -> String {
    let settings = Settings::new().with(key, value);
    let registry = Registry::<Stores>::with_built_ins().unwrap();
    let schema = registry.get(driver).unwrap().describe().settings;
    let tree = settings.shown(Some(&schema))[key].to_string();
    let listed = explained(driver, &settings).into_iter().find(|one| one.path == key);
    let listed = listed.and_then(|one| one.value).unwrap_or_default();
    format!("{} {listed}", tree.trim_matches('"'))
}

#[test]
fn a_key_that_a_driver_with_secrets_does_not_know_may_be_one_of_them() {
    assert_eq!(seen("remote", "gate", "hunter2"), "*** ***", "another name of a secret");
    assert_eq!(seen("remote", "dor", "hunter2"), "*** ***", "a slip");
    assert_eq!(seen("remote", "folder", "/tmp"), "/tmp /tmp", "it is known");
    assert_eq!(seen("remote", "driver", "remote"), "remote remote", "every instance has one");
    assert_eq!(seen("local", "dor", "hunter2"), "hunter2 hunter2", "there is nothing to hide");
    let inside = Settings::new().with("labl", "hunter2");
    let shown = explained("remote", &Settings::new().with("pool", inside));
    assert_eq!(texts(&shown)[0], "pool.labl=***");
}

#[test]
fn what_should_be_a_number_is_shown_only_if_it_is_one() {
    assert_eq!(seen("remote", "max_tokens", 5), "5 5");
    assert_eq!(seen("remote", "max_tokens", "5"), "5 5");
    assert_eq!(seen("remote", "max_tokens", "hunter2"), "*** ***");
    assert_eq!(seen("remote", "max_tokens", ["hunter2"]), "*** ***");
    assert_eq!(seen("remote", "max_tokens", Settings::new().with("x", "hunter2")), "*** ***");
}

const CANARY: &str = "cAnArY7f3a";

/// A tree with plain things in it, and a canary wherever a secret may stand.
fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z:@/?=&% ]{0,8}".prop_map(Value::from),
        address().prop_map(Value::from),
        address().prop_map(Value::Untyped),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let entries = prop::collection::vec((key(), inner.clone()), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..3).prop_map(Value::from),
            (entries, secret_key(), 0..3).prop_map(|(entries, secret, form)| {
                let mut table = Settings::at(Origin::Default);
                for (key, value) in entries {
                    table = table.with(key, value);
                }
                table.with(secret, secret_value(form)).into()
            }),
        ]
    })
}

fn secret_value(form: i32) -> Value {
    match form {
        0 => CANARY.into(),
        1 => [CANARY].into(),
        _ => Settings::new().with("x", CANARY).into(),
    }
}

fn key() -> impl Strategy<Value = String> {
    "[a-z]{1,6}|url|pool|login|named|local"
}

fn secret_key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "password",
        "Password",
        "db_password",
        "pasword",
        "api_key",
        "apiKey",
        "token",
        "max_tokens",
        "secret",
        "credentials",
        "access-key",
        "privateKey",
        "auth.token",
        "passcode",
        "tls_psk",
        "jwt",
        "sas",
        "hmac",
        "otp",
        "mnemonic",
        "dbpass",
        "redispass",
        "mypw",
        "pwd1",
        "key1",
        "apikeys",
        "creds",
        "accesskeyid",
    ])
}

/// An address with a canary where its password stands.
fn address() -> impl Strategy<Value = String> {
    let junk = || "[a-z0-9@:/?#%]{0,5}";
    let user = "[a-z]{0,4}";
    let host = "[a-z]{1,6}(:[0-9]{1,4})?";
    prop_oneof![
        (user, junk(), junk(), host).prop_map(|(user, before, after, host)| {
            format!("redis://{user}:{before}{CANARY}{after}@{host}/0")
        }),
        (user, host).prop_map(|(user, host)| format!("x {user}:{CANARY}%40{CANARY}@{host}")),
        (user, host).prop_map(|(user, host)| format!("amqp://{user}:pa@ss{CANARY}@{host}/?x=1")),
        (
            host,
            junk(),
            prop::sample::select(vec!["password", "p%61ssword", "api_key", "auth_token"])
        )
            .prop_map(|(host, junk, key)| format!("redis://{host}?x={junk}&{key}={CANARY}&y=1")),
        host.prop_map(|host| format!("host={host} user=me password={CANARY} port=1")),
        (host, prop::sample::select(vec!["", "x-oauth-basic", "x-access-token"]))
            .prop_map(|(host, password)| format!("https://{CANARY}:{password}@{host}/x")),
        (
            host,
            prop::sample::select(vec!["sig", "signature", "X-Amz-Signature", "jwt", "passcode"])
        )
            .prop_map(|(host, key)| format!("https://{host}/a/b?sv=1&{key}={CANARY}&y=1")),
        junk().prop_map(|junk| format!("SharedAccessSignature={junk}{CANARY}")),
        ("[ ]{0,2}", prop::sample::select(vec!["Bearer", "Basic", "bearer", "Token"]), junk())
            .prop_map(|(space, scheme, junk)| format!("{space}{scheme} {junk}{CANARY}")),
    ]
}

fn all_shown(settings: &Settings) -> String {
    let registry = Registry::<Stores>::with_built_ins().unwrap();
    let shown = ["remote", "local"].map(|driver| {
        let entry = registry.get(driver).unwrap();
        let by_schema = settings.shown(Some(&entry.describe().settings));
        format!("{by_schema} {:?}", entry.explain(settings))
    });
    format!("{settings:?} {} {shown:?}", settings.shown(None))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_secret_is_never_shown(entries in prop::collection::vec((key(), tree()), 0..4), secret in secret_key(), text in address(), slip in "do+r|dorr?|dooor|lgoin", form in 0..3) {
        let mut settings = Settings::at(Origin::Default);
        for (key, value) in entries {
            settings = settings.with(key, value);
        }
        let phrase = Settings::new().with("kind", "somebody").with("phrase", CANARY);
        let settings = settings
            .with(secret, CANARY)
            .with("url", text)
            .with("door", Value::Untyped(CANARY.to_owned()))
            .with("doors", [CANARY])
            .with("named", Settings::new().with("x", CANARY))
            .with("login", phrase);
        // What only the schema knows for a secret, only the driver that has it can hide.
        let mut known = settings.clone();
        let settings = settings.with("gate", CANARY).with(slip, secret_value(form));
        for key in ["door", "doors", "named", "login"] {
            known.remove(key);
        }
        let registry = Registry::<Stores>::with_built_ins().unwrap();
        let remote = registry.get("remote").unwrap();
        let by_schema = settings.shown(Some(&remote.describe().settings)).to_string();
        let explained = format!("{:?}", remote.explain(&settings));
        for shown in [all_shown(&known), by_schema, explained] {
            prop_assert!(!shown.contains(CANARY), "{shown}");
        }
    }

    #[test]
    fn no_tree_is_too_strange_to_be_shown(entries in prop::collection::vec(("\\PC{0,6}", "\\PC{0,20}"), 0..6)) {
        let mut settings = Settings::at(Origin::Default);
        for (key, value) in entries {
            settings = settings.with(key, value);
        }
        let shown = explained("local", &settings);
        prop_assert!(shown.len() >= settings.len());
        prop_assert_eq!(settings.shown(None).as_object().map(serde_json::Map::len), Some(settings.len()));
    }
}
