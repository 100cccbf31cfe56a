//! What the settings of an instance are told when they are wrong.

use switchboard_core::settings::{Node, Value};
use switchboard_core::{
    Descriptor, Environment, Error, ErrorKind, InstanceSettings, Manager, Origin, Policy, Problem,
    Problems, Registry, Settings, Support,
};

use crate::desk::{Desks, Script, World, paper};

/// The error of declaring `a` so.
#[track_caller]
fn refused(world: &World, settings: &Settings) -> Error {
    let error = world.desks.configure("a", settings).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(!world.desks.has("a"));
    error
}

/// Each problem of the error: its path, and what is said of it.
fn problems(error: &Error) -> Vec<(String, String)> {
    let problems = error.find::<Problems>().into_iter().flatten();
    let text = |problem: &Problem| match &problem.hint {
        Some(hint) => format!("{}; {hint}", problem.message),
        None => problem.message.clone(),
    };
    problems.map(|problem| (problem.path.clone(), text(problem))).collect()
}

#[track_caller]
fn assert_says(error: &Error, path: &str, said: &str) {
    let found = problems(error);
    let says = |(at, text): &(String, String)| at == path && text.contains(said);
    assert!(found.iter().any(says), "{path} {said:?} is not among {found:#?}");
}

#[test]
fn settings_without_a_driver_are_told_which_drivers_there_are() {
    let world = World::new();
    let error = refused(&world, &Settings::new());
    assert_says(&error, "desk.a", "no driver is named");
    assert_says(&error, "desk.a", "set `driver`");
    assert_says(&error, "desk.a", "the drivers are glass, paper, vault");
    let misspelt = refused(&world, &Settings::new().with("drivr", "paper"));
    assert_says(&misspelt, "desk.a", "did you mean `driver` where it says `drivr`?");
}

#[test]
fn a_misspelt_key_of_every_instance_is_recognised_beside_those_of_the_driver() {
    let world = World::new();
    for (wrong, meant) in [
        ("polcy", "policy"),
        ("close_limt", "close_limit"),
        ("requires", "require"),
        ("labl", "label"),
    ] {
        let error = refused(&world, &paper().with(wrong, "x"));
        assert_says(&error, &format!("desk.a.{wrong}"), &format!("did you mean `{meant}`?"));
        assert_eq!(problems(&error).len(), 1);
    }
    let strange = refused(&world, &paper().with("colour", "red"));
    assert_says(&strange, "desk.a.colour", "known are label, needs");
    let taken = refused(&world, &paper().with("policy", Settings::new()).with("polcy", "x"));
    assert_says(&taken, "desk.a.polcy", "known are");
}

#[test]
fn a_required_capability_that_no_driver_knows_is_told_apart_from_one_that_others_have() {
    let world = World::new();
    let able = Descriptor::new("able").capability("increment", Support::Native);
    Script::new().register(world.desks.registry(), able).unwrap();
    let misspelt = refused(&world, &paper().with("require", ["incremnt"]));
    assert_eq!(misspelt.context_value("known"), Some("increment"));
    assert_eq!(misspelt.hints().collect::<Vec<_>>(), ["did you mean \"increment\"?"]);
    let unheard = refused(&world, &paper().with("require", ["teleport"]));
    let hints: Vec<_> = unheard.hints().collect();
    assert_eq!(hints, ["no driver knows of such a capability"]);
    let elsewhere = refused(&world, &paper().with("require", ["increment"]));
    assert_eq!(elsewhere.context_value("drivers that can"), Some("able"));
    assert_eq!(elsewhere.hints().count(), 0);
}

#[test]
fn mistakes_of_driver_instance_and_policy_come_together_each_with_its_place() {
    let world = World::new();
    let mut breaker = Settings::new().with("min_calls", 0).with("open_for", "2h");
    let rate = Origin::variable("RATE");
    breaker.insert("failure_rate", Node::new(Value::from(50.0), rate.clone()));
    let budget = Settings::new().with("tokens", 0);
    let policy = Settings::new()
        .with("breaker", breaker)
        .with("bulkhead", Settings::new().with("max", 0))
        .with("rate_limit", Settings::new().with("rate", "5/s").with("burst", 0))
        .with("retry", Settings::new().with("attempts", 0).with("budget", budget))
        .with("deadline", "0s");
    let own = [
        "breaker.failure_rate",
        "breaker.min_calls",
        "breaker.open_for",
        "bulkhead.max",
        "deadline",
        "rate_limit.burst",
        "retry.attempts",
        "retry.budget.retry_cost",
        "retry.budget.timeout_cost",
        "retry.budget.tokens",
    ];
    let own = own.map(|setting| format!("desk.a.policy.{setting}"));

    let error = refused(&world, &paper().with("policy", policy.clone()));
    assert_eq!(paths(&error), own);
    assert_says(&error, "desk.a.policy.breaker.failure_rate", "at most 1, found 50");
    assert_says(&error, "desk.a.policy.bulkhead.max", "leave the bulkhead out");
    let found = error.find::<Problems>().unwrap();
    let origin =
        |path: &str| found.iter().find(|problem| problem.path == path).unwrap().origin.clone();
    assert_eq!(origin("desk.a.policy.breaker.failure_rate"), rate);

    let all_wrong = paper().with("policy", policy).with("close_limit", "soon").with("label", 7);
    let mut expected = own.to_vec();
    expected.extend(["desk.a.close_limit".to_owned(), "desk.a.label".to_owned()]);
    expected.sort();
    assert_eq!(paths(&refused(&world, &all_wrong)), expected);
}

fn paths(error: &Error) -> Vec<String> {
    let mut paths: Vec<_> = problems(error).into_iter().map(|(path, _)| path).collect();
    paths.sort();
    paths
}

#[test]
fn a_policy_that_was_left_half_to_its_defaults_is_wrong_where_its_table_was_written() {
    let world = World::new();
    let mut policy = Settings::new();
    let table = Origin::variable("BREAKER");
    // It usually wants more calls than this before it judges; that was not written anywhere.
    let breaker = Settings::new().with("window", 5);
    policy.insert("breaker", Node::new(Value::from(breaker), table.clone()));
    let error = refused(&world, &paper().with("policy", policy));
    let problem = error.find::<Problems>().unwrap().iter().next().unwrap();
    assert_eq!(problem.path, "desk.a.policy.breaker.min_calls");
    assert_eq!(problem.origin, table);
}

#[test]
fn a_policy_of_the_environment_that_cannot_be_is_named_with_the_instance() {
    let wrong = Policy { deadline: Some(std::time::Duration::ZERO), ..Policy::default() };
    let environment = Environment::new().with_policy("hasty", wrong);
    let registry = Registry::<Desks>::with_built_ins().unwrap();
    let desks = Manager::new(registry, &environment).unwrap();
    let error = desks.configure("a", &paper().with("policy", "hasty")).unwrap_err();
    assert_eq!(error.context_value("instance"), Some("desk.a"));
    assert_eq!(error.context_value("policy"), Some("hasty"));
}

#[test]
fn settings_of_any_depth_are_an_error_and_no_overflow() {
    let world = World::new();
    let mut deep = Settings::new();
    for _ in 0..100_000 {
        deep = Settings::new().with("policy", deep);
    }
    let error = refused(&world, &deep.with("driver", "paper"));
    assert_says(&error, "desk.a", "nested more than 128 deep");
}

#[test]
fn a_mistake_in_a_policy_is_told_at_its_own_place_beside_the_others() {
    let world = World::new();
    let policy = Settings::new().with("deadline", 3).with("bulkhed", Settings::new());
    let error = refused(&world, &paper().with("policy", policy.clone()).with("build_limit", 5));
    assert_says(&error, "desk.a.build_limit", "needs a unit");
    assert_says(&error, "desk.a.policy.deadline", "needs a unit");
    assert_says(&error, "desk.a.policy.bulkhed", "did you mean `bulkhead`?");

    // What only reading it can find out has a place as well.
    let hedge = Settings::new().with("hedge", Settings::new().with("after", "95%"));
    let error = refused(&world, &paper().with("policy", hedge));
    assert_says(&error, "desk.a.policy.hedge.after", "p95");
    let retry = Settings::new().with("retry", Settings::new().with("backoff", "20ms-1s"));
    let error = refused(&world, &paper().with("policy", retry));
    assert_says(&error, "desk.a.policy.retry.backoff", "20ms..1s");
    let error = refused(&world, &paper().with("policy", 3));
    assert_says(&error, "desk.a.policy", "expected the name of a policy or its settings");

    world.desks.configure("member", &paper()).unwrap();
    let group = Settings::new().with("members", ["member"]).with("policy", policy);
    let error = refused(&world, &group);
    assert_says(&error, "desk.a.policy.deadline", "needs a unit");
}

#[test]
fn seven_mistakes_of_one_instance_are_told_once_each() {
    let world = World::new();
    let settings = Settings::new()
        .with("driver", "paper")
        .with("labl", "x")
        .with("label", 5)
        .with("build_limit", 30)
        .with("eager", "perhaps")
        .with("require", 7)
        .with("policy", Settings::new().with("deadline", 5).with("retri", Settings::new()));
    let error = refused(&world, &settings);
    let mut found = paths(&error);
    found.sort();
    let expected = [
        "desk.a.build_limit",
        "desk.a.eager",
        "desk.a.label",
        "desk.a.labl",
        "desk.a.policy.deadline",
        "desk.a.policy.retri",
        "desk.a.require",
    ];
    assert_eq!(found, expected, "{error}");
}

#[test]
fn what_the_driver_cannot_do_and_a_policy_that_cannot_be_are_told_once_beside_the_rest() {
    let world = World::new();
    let policy = Settings::new().with("deadline", "0s");
    let settings =
        paper().with("labl", "x").with("require", ["fly", "swim"]).with("policy", policy);
    let error = refused(&world, &settings);
    let mut found = paths(&error);
    found.sort();
    let expected =
        ["desk.a.labl", "desk.a.policy.deadline", "desk.a.require[0]", "desk.a.require[1]"];
    assert_eq!(found, expected, "{error}");
}

#[test]
fn a_driver_that_nobody_knows_is_a_mistake_at_its_place_beside_the_others() {
    let world = World::new();
    let alone = world.desks.configure("a", &Settings::new().with("driver", "papr")).unwrap_err();
    assert_eq!(alone.kind(), ErrorKind::NotRegistered);
    assert_says(&alone, "desk.a.driver", "did you mean \"paper\"? the drivers are glass");
    let left_out =
        world.desks.configure("a", &Settings::new().with("driver", "marble")).unwrap_err();
    assert_says(&left_out, "desk.a.driver", "enable the feature \"stone\"; the drivers are glass");
    let settings = Settings::new().with("url", "papr://x").with("eager", 1);
    assert_eq!(paths(&refused(&world, &settings)), ["desk.a.eager", "desk.a.url"]);
}

fn addressed(address: &str) -> Settings {
    Settings::new().with("url", address)
}

#[test]
fn the_address_of_a_driver_without_one_is_its_name_or_its_settings() {
    let world = World::new();
    let good = ["paper://", "paper://?", "PAPER://?label=x", "paper+thin://?label=5%3D%C3%BC&"];
    for (position, address) in good.into_iter().enumerate() {
        let name = format!("a{position}");
        world.desks.configure(&name, &addressed(address)).expect(address);
    }
    world.desks.configure("named", &addressed("paper://").with("driver", "paper")).unwrap();
    let untyped = Settings::new().with("url", Value::Untyped("paper://?label=x".to_owned()));
    world.desks.configure("variable", &untyped).unwrap();
}

#[test]
fn what_else_stands_in_such_an_address_is_a_mistake_there() {
    let world = World::new();
    let cases = [
        ("paper://localhost", "desk.a.url", "the driver has no address"),
        ("paper:///?label=x", "desk.a.url", "the driver has no address"),
        ("paper://?label=x#top", "desk.a.url", "the driver has no address"),
        ("paper://?label", "desk.a.url", "a setting in the address has no value"),
        ("paper://?label=%ff", "desk.a.url", "the address is not text"),
        ("paper://?policy=fast", "desk.a.url", "cannot be in its address"),
        ("paper://?eager=true", "desk.a.url", "cannot be in its address"),
        ("paper://?label=x&label=y", "desk.a.label", "the setting is set twice"),
        ("paper://?lable=x", "desk.a.lable", "did you mean `label`?"),
    ];
    for (address, path, said) in cases {
        let error = refused(&world, &addressed(address));
        assert_says(&error, path, said);
        assert_eq!(problems(&error).len(), 1, "{address}: {error}");
    }
    let twice = refused(&world, &addressed("paper://?label=x").with("label", "y"));
    assert_says(&twice, "desk.a.label", "the setting is set twice; it is set at ");
    let other = refused(&world, &addressed("glass://").with("driver", "paper"));
    assert_says(&other, "desk.a.url", "does not name the driver; `glass` is another driver");
    let none = refused(&world, &addressed("label=x").with("driver", "paper"));
    assert_says(&none, "desk.a.url", "write paper:// or paper://?setting=value");
}

#[test]
fn a_mistake_in_an_address_quotes_none_of_its_values() {
    let world = World::new();
    for address in ["paper://canary", "paper://?canary", "paper://?policy=canary", "canary"] {
        let error = refused(&world, &addressed(address).with("driver", "paper"));
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
}

#[test]
fn eager_and_required_belong_to_the_instance_and_read_from_text() {
    let untyped = |text: &str| Value::Untyped(text.to_owned());
    let settings = paper().with("eager", untyped("true")).with("drain_limit", untyped("5s"));
    let (own, rest) = InstanceSettings::take(&settings, "desk.a").unwrap();
    assert_eq!((own.eager, own.required), (true, false));
    assert_eq!(own.drain_limit, Some(std::time::Duration::from_secs(5)));
    assert!(rest.child("eager").is_none());
    let named = paper().with("policy", untyped("fast"));
    let (own, _) = InstanceSettings::take(&named, "desk.a").unwrap();
    assert_eq!(own.policy, Some(switchboard_core::PolicyChoice::Named("fast".to_owned())));
}
