//! Calls that are about a key, and groups that send them where it belongs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use switchboard_core::{
    BreakerPolicy, EjectPolicy, Ejecting, Error, ErrorKind, Gate, HashByKey, Health, Held, Op,
    OpFigures, Outcome, Policy, Priority, Problems, Result, RoundRobin, Settings,
};

use crate::desk::{Act, Desk, Desks, Script, Step, World, labelled, op, outage};

const SECOND: Duration = Duration::from_secs(1);

fn members(names: &[&'static str]) -> (World, Vec<Script>) {
    let world = World::new();
    let scripts = names.iter().map(|name| {
        let script = Script::new();
        script.register(world.desks.registry(), *name).unwrap();
        world.desks.configure(name, &labelled(name, name)).unwrap();
        script
    });
    let scripts = scripts.collect();
    (world, scripts)
}

fn desk(world: &World, name: &str) -> Desk {
    world.desks.handle(name).unwrap()
}

/// Who answers a call about `key`.
async fn ask(desk: &Desk, key: &str) -> Result<String> {
    let keyed = desk.line().keyed(op::ASK, key.as_bytes());
    let answer = desk.ask_as(keyed, "").await?;
    Ok(answer.trim_end_matches(": ").to_owned())
}

async fn owners(desk: &Desk) -> BTreeMap<String, String> {
    let mut owners = BTreeMap::new();
    for key in 0..200 {
        let key = format!("key {key}");
        let owner = ask(desk, &key).await.unwrap();
        owners.insert(key, owner);
    }
    owners
}

#[tokio::test(start_paused = true)]
async fn calls_about_one_key_go_to_one_member_whichever_handle_and_group_they_come_through() {
    let (world, _scripts) = members(&["a", "b", "c"]);
    world.desks.group("g", &["a", "b", "c"], HashByKey::new()).unwrap();
    let careful = Ejecting::new(HashByKey::new(), EjectPolicy::default());
    world.desks.group("h", &["c", "a", "b"], careful).unwrap();
    let owned = owners(&desk(&world, "g")).await;
    assert_eq!(owned.values().collect::<BTreeSet<_>>().len(), 3);
    assert_eq!(owners(&desk(&world, "g")).await, owned);
    assert_eq!(owners(&desk(&world, "h")).await, owned);
}

#[tokio::test(start_paused = true)]
async fn a_key_travels_into_the_groups_inside() {
    let (world, _scripts) = members(&["a", "b", "c", "d"]);
    world.desks.group("east", &["a", "b"], HashByKey::new()).unwrap();
    world.desks.group("west", &["c", "d"], HashByKey::new()).unwrap();
    world.desks.group("world", &["east", "west"], HashByKey::new()).unwrap();
    let owned = owners(&desk(&world, "world")).await;
    assert_eq!(owners(&desk(&world, "world")).await, owned);
    let mut counts = BTreeMap::new();
    for owner in owned.values() {
        *counts.entry(owner.as_str()).or_insert(0) += 1;
    }
    assert!(counts.len() == 4 && counts.values().all(|count| *count > 25), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn keys_of_a_member_that_fails_go_elsewhere_and_come_back() {
    let (world, scripts) = members(&["a", "b", "c"]);
    world.desks.group("g", &["a", "b", "c"], HashByKey::new()).unwrap();
    let desk = desk(&world, "g");
    let owned = owners(&desk).await;
    scripts[0].always(Step::Ask, Act::Fail(outage()));
    let meanwhile = owners(&desk).await;
    for (key, owner) in &owned {
        let moved = meanwhile[key] != *owner;
        assert_eq!(moved, owner == "a", "only its keys move");
    }
    scripts[0].always(Step::Ask, Act::Work);
    assert_eq!(owners(&desk).await, owned);
}

/// Members `a`, `b` and `c`, a group of them by key, and a key that belongs to `a`.
async fn by_key() -> (World, Vec<Script>, Desk, String) {
    let (world, scripts) = members(&["a", "b", "c"]);
    world.desks.group("g", &["a", "b", "c"], HashByKey::new()).unwrap();
    let desk = desk(&world, "g");
    let owned = owners(&desk).await;
    let key = owned.into_iter().find(|(_, owner)| owner == "a").unwrap().0;
    (world, scripts, desk, key)
}

fn asked(scripts: &[Script]) -> Vec<usize> {
    scripts.iter().map(|script| script.count(Step::Ask)).collect()
}

/// Asks about the key when its owner fails like this; whether another member was asked then.
async fn moves_on(op: Op, error: &Error) -> bool {
    let (_world, scripts, desk, key) = by_key().await;
    let before = asked(&scripts);
    scripts[0].once(Step::Ask, Act::Fail(error.clone()));
    let answer = desk.ask_as(desk.line().keyed(op, key.as_bytes()), "?").await;
    let after = asked(&scripts);
    assert_eq!(after[0], before[0] + 1, "the owner is asked first");
    let moved = after[1..] != before[1..];
    match answer {
        Ok(_) => assert!(moved, "{op:?}: {error}"),
        Err(ended) => assert_eq!((ended.kind(), moved), (error.kind(), false), "{op:?}"),
    }
    moved
}

#[tokio::test(start_paused = true)]
async fn a_key_stays_with_an_owner_that_is_only_busy_or_fails_once_unless_it_is_only_read() {
    let busy = [
        Error::new(ErrorKind::RateLimited, "too fast"),
        Error::new(ErrorKind::Overloaded, "too many"),
        Error::refused(Gate::RateLimit, "no token"),
        Error::refused(Gate::Bulkhead, "no slot"),
        Error::refused(Gate::Deadline, "late"),
    ];
    for error in busy.map(Error::not_applied) {
        for op in [op::ASK, op::FILE, op::TELL] {
            assert!(!moves_on(op, &error).await, "{error}");
        }
    }
    for error in [outage(), outage().not_applied(), Error::new(ErrorKind::Timeout, "lost")] {
        assert!(moves_on(op::ASK, &error).await, "{error}");
        assert!(!moves_on(op::FILE, &error).await && !moves_on(op::TELL, &error).await, "{error}");
    }
    let in_doubt = Error::refused(Gate::Breaker, "open").with_outcome(Outcome::Unknown);
    assert!(!moves_on(op::FILE, &in_doubt).await, "it was asked before the breaker opened");
}

#[tokio::test(start_paused = true)]
async fn a_key_leaves_an_owner_whose_breaker_is_open_or_that_is_down_whatever_the_effect() {
    let (world, scripts, desk, key) = by_key().await;
    let breaker = Policy { breaker: Some(BreakerPolicy::default()), ..Policy::default() };
    world.desks.retune("a", breaker).unwrap();
    let owner = world.desks.handle("a").unwrap();
    owner.line().gates().unwrap().breaker().unwrap().force_open();
    let before = scripts[0].count(Step::Ask);
    for op in [op::ASK, op::FILE, op::TELL] {
        desk.ask_as(desk.line().keyed(op, key.as_bytes()), "?").await.unwrap();
    }
    owner.line().gates().unwrap().breaker().unwrap().force_close();
    scripts[0].feel(Health::down("no ink"));
    world.desks.health(SECOND).await;
    for op in [op::ASK, op::FILE, op::TELL] {
        desk.ask_as(desk.line().keyed(op, key.as_bytes()), "?").await.unwrap();
    }
    assert_eq!(scripts[0].count(Step::Ask), before);
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_key_and_a_group_that_does_not_look_at_it_move_on_as_ever() {
    let busy = || Act::Fail(Error::new(ErrorKind::RateLimited, "too fast").not_applied());
    let (world, scripts, by_key, key) = by_key().await;
    for script in &scripts[..2] {
        script.once(Step::Ask, busy());
    }
    for _ in 0..3 {
        by_key.ask_as(op::TELL, "?").await.unwrap();
    }
    world.desks.group("first", &["a", "b"], Priority).unwrap();
    let first = desk(&world, "first");
    scripts[0].once(Step::Ask, busy());
    let keyed = first.line().keyed(op::TELL, key.as_bytes());
    assert_eq!(first.ask_as(keyed, "?").await.unwrap(), "b: ?");
}

#[test]
fn only_a_group_hashes_a_key() {
    let (world, _scripts) = members(&["a"]);
    world.desks.group("g", &["a"], Priority).unwrap();
    let key = |name| desk(&world, name).line().keyed(op::ASK, b"key").key();
    assert_eq!(key("a"), None);
    assert!(key("g").is_some());
    assert_eq!(op::ASK.keyed_by(7).key(), Some(7));
    assert!(op::ASK.keyed_by(0).key().is_some());
}

#[test]
fn a_line_knows_whether_keys_decide_here_or_in_a_group_inside() {
    let (world, _scripts) = members(&["a", "b"]);
    world.desks.group("turns", &["a", "b"], RoundRobin::new()).unwrap();
    world.desks.group("keys", &["a", "b"], HashByKey::new()).unwrap();
    world.desks.group("around", &["keys", "a"], Priority).unwrap();
    let by_key = |name| desk(&world, name).line().chooses_by_key();
    assert!(by_key("keys") && by_key("around") && !by_key("turns") && !by_key("a"));
    let _guard = world.desks.override_instance("keys", world.script.driver::<0>("fake")).unwrap();
    assert!(!by_key("keys") && !by_key("around"), "the override has all keys");
}

async fn ask_all(desk: &Desk) -> Result<Vec<String>> {
    desk.line().call_all(op::ASK, |desk: Held<Desks>| async move { desk.ask("?").await }).await
}

#[tokio::test(start_paused = true)]
async fn what_is_about_all_members_reaches_each_of_them_once() {
    let (world, scripts) = members(&["a", "b", "c"]);
    world.desks.group("keys", &["b", "a"], HashByKey::new()).unwrap();
    world.desks.group("around", &["keys", "a", "c"], Priority).unwrap();
    assert_eq!(ask_all(&desk(&world, "around")).await.unwrap(), ["b: ?", "a: ?", "c: ?"]);
    assert_eq!(ask_all(&desk(&world, "c")).await.unwrap(), ["c: ?"]);
    let figures = |name| -> OpFigures {
        let figures = desk(&world, name).line().figures();
        figures.into_iter().find(|figures| figures.operation == "ask").unwrap()
    };
    assert_eq!((figures("around").succeeded, figures("a").succeeded), (1, 1));

    scripts[0].once(Step::Ask, Act::Fail(outage()));
    let only = ask_all(&desk(&world, "around")).await.unwrap_err();
    assert_eq!(only.place().unwrap().instance.as_ref(), "a");
    for script in &scripts[..2] {
        script.once(Step::Ask, Act::Fail(Error::new(ErrorKind::Timeout, "late")));
    }
    let both = ask_all(&desk(&world, "around")).await.unwrap_err();
    assert_eq!((both.kind(), both.related().len()), (ErrorKind::Timeout, 2));
    assert_eq!(both.place().unwrap().instance.as_ref(), "around");
    assert_eq!(scripts[2].count(Step::Ask), 4, "the others do it all the same");
}

#[tokio::test(start_paused = true)]
async fn what_is_about_all_members_has_the_deadline_of_the_group() {
    let (world, scripts) = members(&["a", "b"]);
    let settings = Settings::new()
        .with("members", ["a", "b"])
        .with("policy", Settings::new().with("deadline", "1s"));
    world.desks.configure("g", &settings).unwrap();
    scripts[0].always(Step::Ask, Act::Hang);
    let begin = world.environment.clock().now();
    assert_eq!(ask_all(&desk(&world, "g")).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!((world.environment.clock().now() - begin).as_secs(), 1);
}

fn group(select: &str) -> Settings {
    Settings::new().with("members", ["large", "small"]).with("select", select)
}

#[tokio::test(start_paused = true)]
async fn settings_name_every_selector_and_the_weights() {
    let (world, scripts) = members(&["large", "small"]);
    for select in
        ["priority", "round_robin", "health_check", "weighted", "least_loaded", "hash_by_key"]
    {
        world.desks.configure(select, &group(select).with("eject", Settings::new())).unwrap();
        let shown = world.desks.instances();
        let shown = shown.iter().find(|info| info.name == select).unwrap();
        assert_eq!(shown.selector, Some(select));
        desk(&world, select).ask("?").await.unwrap();
    }
    let weights = Settings::new().with("LARGE", 3);
    world.desks.configure("g", &group("weighted").with("weights", weights)).unwrap();
    let before = scripts[0].count(Step::Ask);
    for _ in 0..64 {
        desk(&world, "g").ask("?").await.unwrap();
    }
    assert_eq!(scripts[0].count(Step::Ask) - before, 48);
}

#[test]
fn all_mistakes_of_a_group_are_told_at_once_each_with_its_place() {
    let (world, _scripts) = members(&["large", "small"]);
    let wrong = Settings::new()
        .with("members", ["large", "smal", "large"])
        .with("select", "weightd")
        .with("colour", "red");
    let told = mistakes(&world, &wrong);
    let expected = [
        "members[1]: no instance called \"smal\" is declared",
        "members[2]: a group has a member only once",
        "select: ",
        "colour: ",
    ];
    assert_told(&told, &expected);

    let wrong = group("least_loaded")
        .with("weights", Settings::new().with("larg", 1).with("small", 2_000_000))
        .with("eject", Settings::new().with("outages", 0).with("share_max", 1.5))
        .with("policy", Settings::new().with("retry", Settings::new()));
    let told = mistakes(&world, &wrong);
    let expected = [
        "weights: only a weighted group has weights",
        "weights.larg: the group has no such member",
        "weights.small: a weight is at most 1000000",
        "eject.outages: at least one outage",
        "eject.share_max: a share must be between 0 and 1",
        "policy: a group has no gate but a deadline",
    ];
    assert_told(&told, &expected);
    assert!(told.iter().any(|line| line.contains("did you mean \"large\"?")), "{told:#?}");

    let bare = group("priority").with("eject", Settings::new().with("eject_for", 30));
    assert_told(&mistakes(&world, &bare), &["eject.eject_for: "]);
    assert!(!world.desks.has("g"));
}

fn mistakes(world: &World, settings: &Settings) -> Vec<String> {
    let error = world.desks.configure("g", settings).unwrap_err();
    error.find::<Problems>().unwrap().iter().map(ToString::to_string).collect()
}

#[track_caller]
fn assert_told(told: &[String], expected: &[&str]) {
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for expected in expected {
        let expected = format!("desk.g.{expected}");
        let found =
            told.iter().any(|line| line.contains(&expected) && line.contains("groups_keyed.rs"));
        assert!(found, "{expected}: {told:#?}");
    }
}
