//! The policy of an instance, as its settings say it, and what is told of mistakes in it.

use switchboard_core::{Environment, Error, ErrorKind, Policy, Problems, Settings};

use crate::station::{Station, ask, millis, op, retry, served_by, slots};

fn station() -> Station {
    let fast = Policy { retry: Some(retry(2)), ..Policy::default() };
    let wrong = Policy { deadline: Some(millis(0)), ..Policy::default() };
    Station::within(Environment::new().with_policy("fast", fast).with_policy("wrong", wrong))
}

/// Path and message of each mistake.
fn mistakes(policy: impl Into<switchboard_core::settings::Value>) -> Vec<String> {
    let settings = served_by("main").with("policy", policy);
    let error = station().manager.configure("main", &settings).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    told(&error)
}

fn told(error: &Error) -> Vec<String> {
    let problems = error.find::<Problems>().unwrap_or_else(|| panic!("{error:?}"));
    problems.iter().map(ToString::to_string).collect()
}

#[tokio::test(start_paused = true)]
async fn a_policy_is_named_or_written_on_the_spot() {
    let station = station();
    let retry = Settings::new().with("attempts", 5).with("backoff", "1ms..2ms");
    let own = Settings::new().with("retry", retry).with("deadline", "3s");
    for (name, policy) in [
        ("named", served_by("main").with("policy", "fast")),
        ("own", served_by("main").with("policy", own)),
        ("none", served_by("main")),
    ] {
        station.manager.configure(name, &policy).unwrap();
    }
    let attempts = |name| {
        let gates = station.manager.handle(name).unwrap().gates()?;
        gates.policy().retry.as_ref().map(|retry| retry.attempts)
    };
    assert_eq!([attempts("named"), attempts("own"), attempts("none")], [Some(2), Some(5), None]);
    ask(&station.manager.get("own").await.unwrap(), op::PEEK).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_driver_may_come_with_a_policy_for_instances_that_name_none() {
    let station = station();
    let manager = &station.manager;
    let patient = || Settings::new().with("driver", "patient").with("service", "main");
    let policies = [
        ("usual", patient()),
        ("chosen", patient().with("policy", "fast")),
        ("empty", patient().with("policy", Settings::new())),
    ];
    for (name, settings) in &policies {
        manager.configure(name, settings).unwrap();
        manager.get(name).await.unwrap();
    }
    let attempts = || {
        ["usual", "chosen", "empty"].map(|name| {
            let gates = manager.handle(name).unwrap().gates()?;
            gates.policy().retry.as_ref().map(|retry| retry.attempts)
        })
    };
    assert_eq!(attempts(), [Some(4), Some(2), None]);

    for (name, _) in &policies {
        drop(manager.swap(name, &served_by("other")).await.unwrap());
    }
    assert_eq!(attempts(), [None, Some(2), None], "what was chosen stays, what came goes");
    for (name, _) in &policies {
        drop(manager.swap(name, &patient()).await.unwrap());
    }
    assert_eq!(attempts(), [Some(4), Some(2), Some(4)]);

    manager.retune("usual", Policy::default()).unwrap();
    drop(manager.swap("usual", &patient()).await.unwrap());
    assert_eq!(attempts(), [None, Some(2), Some(4)], "no gates can be a choice as well");

    let mut change = manager.change();
    change.put("chosen", &patient());
    change.retune("usual", &patient());
    drop(change.prepare().await.unwrap().commit());
    assert_eq!(attempts(), [Some(4); 3], "what is said no more is in force no more");
}

#[test]
fn an_unknown_policy_is_told_with_the_nearest_one() {
    let told = mistakes("fsat");
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("pump.main.policy"), "{told:?}");
    assert!(told[0].contains("there is no policy called \"fsat\""), "{told:?}");
    assert!(told[0].contains("did you mean \"fast\"?"), "{told:?}");
}

#[test]
fn mistakes_inside_a_policy_are_told_where_they_are() {
    let retry = Settings::new().with("attemps", 3);
    let breaker = Settings::new().with("open_for", 10).with("counts", "call");
    let policy =
        Settings::new().with("retry", retry).with("breaker", breaker).with("deadlin", "1s");
    let told = mistakes(policy);
    let expected = [
        ("pump.main.policy.breaker.counts", ""),
        ("pump.main.policy.breaker.open_for", ""),
        ("pump.main.policy.deadlin", "deadline"),
        ("pump.main.policy.retry.attemps", "attempts"),
    ];
    for (path, hint) in expected {
        let found = told.iter().find(|problem| problem.contains(path));
        let found = found.unwrap_or_else(|| panic!("{path} is not in {told:#?}"));
        assert!(found.contains(hint), "{found}");
    }
    assert_eq!(told.len(), expected.len(), "{told:#?}");
}

#[test]
fn one_mistake_in_a_policy_is_told_alone() {
    let told = mistakes(Settings::new().with("retry", Settings::new().with("attemps", 3)));
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains("pump.main.policy.retry.attemps"), "{told:?}");
    assert!(told[0].contains("attempts"), "{told:?}");
}

#[test]
fn a_policy_that_is_neither_name_nor_table_is_told() {
    let told = mistakes(5);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains("pump.main.policy"), "{told:?}");
}

#[test]
fn settings_that_cannot_be_together_are_refused_before_anything_is_built() {
    let station = station();
    let own = Settings::new().with("retry", Settings::new().with("attempts", 0));
    for policy in [served_by("main").with("policy", own), served_by("main").with("policy", "wrong")]
    {
        let error = station.manager.configure("main", &policy).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("pump.main"), "{error}");
        assert!(!station.manager.has("main"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_swap_can_name_a_policy_and_a_wrong_name_swaps_nothing() {
    let station = station();
    let (line, _) = station.main(Policy { bulkhead: Some(slots(1)), ..Policy::default() }).await;
    let wrong = served_by("other").with("policy", "slow");
    station.manager.swap("main", &wrong).await.unwrap_err();
    assert_eq!(line.serving(), Some(("scripted", 1)));
    drop(station.manager.swap("main", &served_by("other").with("policy", "fast")).await.unwrap());
    let gates = line.gates().unwrap();
    assert!(gates.bulkhead().is_none() && gates.retry_budget().is_some());
}
