//! Instances by name, by type, ready-made, overridden.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use switchboard_core::{
    Clock, Environment, Error, ErrorKind, Faults, Manager, Policy, Priority, Registry, Settings,
};

use crate::desk::{Act, Desks, Driver, Gate, Script, Step, World, labelled, outage, paper};

#[tokio::test(start_paused = true)]
async fn instances_have_names_of_their_own_and_may_share_a_driver() {
    let world = World::with(&["a", "b"]);
    world.desks.configure("Paper", &labelled("paper", "like a driver")).unwrap();
    for (name, answer) in [("a", "a: ?"), (" B ", "b: ?"), ("paper", "like a driver: ?")] {
        assert_eq!(world.desks.get(name).await.unwrap().ask("?").await.unwrap(), answer);
    }
    assert_eq!(world.desks.names(), ["a", "b", "paper"]);
    assert_eq!(world.script.count(Step::Build), 3);
}

#[tokio::test(start_paused = true)]
async fn a_handle_builds_its_instance_when_it_is_first_used() {
    let world = World::with(&["a"]);
    let desk = world.desks.handle("a").unwrap();
    assert_eq!(world.script.count(Step::Build), 0);
    assert!(desk.line().serving().is_none());
    assert_eq!(desk.ask("?").await.unwrap(), "a: ?");
    assert_eq!(desk.line().serving(), Some(("paper", 1)));
    assert_eq!(world.script.journal(), ["a Build", "a Init", "a Ask"]);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_instance_is_an_error_that_lists_all_and_names_the_nearest() {
    let world = World::with(&["sessions", "main"]);
    let error = world.desks.get("sesions").await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotRegistered);
    assert_eq!(error.context_value("instance"), Some("\"sesions\""));
    assert_eq!(error.context_value("available"), Some("main, sessions"));
    assert_eq!(error.hints().collect::<Vec<_>>(), ["did you mean \"sessions\"?"]);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_taken_or_cannot_be_one_declares_nothing() {
    let world = World::with(&["a"]);
    let error = world.desks.configure(" A ", &paper()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyRegistered);
    for name in ["", " ", "ä", "a.b"] {
        let error = world.desks.configure(name, &paper()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name:?}");
    }
    let error = world.desks.configure("b", &Settings::new().with("driver", "papre")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotRegistered);
    let error = world.desks.configure("b", &paper().with("colour", "red")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(world.desks.names(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn the_default_is_the_one_that_was_set_and_a_missing_one_is_an_error() {
    let world = World::with(&["only"]);
    for result in [world.desks.get_default().await, world.desks.default_handle()] {
        let error = result.map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotRegistered, "never a silent choice");
        assert_eq!(error.context_value("instances"), Some("only"));
    }
    assert_eq!(world.desks.set_default("onyl").unwrap_err().kind(), ErrorKind::NotRegistered);
    world.desks.set_default(" ONLY ").unwrap();
    let desk = world.desks.get_default().await.unwrap();
    assert_eq!(desk.line().instance(), "only");
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_found_by_the_type_of_its_driver_before_anything_is_built() {
    let world = World::with(&["a"]);
    world.desks.configure("g", &Settings::new().with("driver", "glass")).unwrap();
    let glass = world.desks.get_by_type::<Driver<1>>().await.unwrap();
    assert_eq!(glass.line().instance(), "g");
    assert_eq!(world.script.count(Step::Build), 1, "only the one that was meant");
}

#[tokio::test(start_paused = true)]
async fn a_type_that_no_instance_or_several_have_is_an_error_that_lists_them() {
    let world = World::with(&["b", "a"]);
    let none = world.desks.get_by_type::<Driver<1>>().await.map(drop).unwrap_err();
    assert_eq!(none.kind(), ErrorKind::NotRegistered);
    assert_eq!(none.context_value("instances"), Some("a, b"));
    let several = world.desks.get_by_type::<Driver<0>>().await.map(drop).unwrap_err();
    assert_eq!(several.kind(), ErrorKind::Config);
    assert_eq!(several.context_value("instances"), Some("a, b"));
    assert_eq!(world.script.count(Step::Build), 0);
}

#[tokio::test(start_paused = true)]
async fn a_ready_made_instance_serves_as_it_is_and_is_found_by_its_type() {
    let world = World::new();
    world.desks.insert("made", world.script.driver::<1>("by hand")).unwrap();
    let desk = world.desks.get("made").await.unwrap();
    assert_eq!(desk.ask("?").await.unwrap(), "by hand: ?");
    let by_type = world.desks.get_by_type::<Driver<1>>().await.unwrap();
    assert_eq!(by_type.line().instance(), "made");
    assert_eq!(world.script.count(Step::Init), 0, "it was handed in ready");
    assert!(world.desks.close(Duration::from_secs(9)).await.errors.is_empty());
    world.script.assert_tidy(0);
}

#[tokio::test(start_paused = true)]
async fn a_ready_made_instance_takes_the_place_of_one_that_is_configured_and_not_built() {
    let world = World::with(&["a"]);
    world.desks.insert("a", world.script.driver::<0>("by hand")).unwrap();
    assert_eq!(world.desks.get("a").await.unwrap().ask("?").await.unwrap(), "by hand: ?");
    assert_eq!(world.script.count(Step::Build), 0);
}

#[tokio::test(start_paused = true)]
async fn a_ready_made_instance_that_arrives_during_a_creation_wins_and_the_loser_is_closed() {
    let world = World::with(&["a"]);
    let gate = Gate::closed();
    world.script.once(Step::Init, Act::Wait(gate.clone()));
    let desks = world.desks.clone();
    let creating = tokio::spawn(async move { desks.get("a").await.unwrap().ask("1").await });
    world.script.reached(Step::Init, 1).await;
    let desks = world.desks.clone();
    let waiting = tokio::spawn(async move { desks.get("a").await.unwrap().ask("2").await });
    world.settle().await;

    world.desks.insert("a", world.script.driver::<0>("winner")).unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), "winner: 2", "it need not wait any longer");
    gate.open();
    assert_eq!(creating.await.unwrap().unwrap(), "winner: 1");
    world.swept().await;
    assert_eq!(world.script.closed(), ["a"]);
    world.script.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn a_ready_made_instance_never_pushes_out_one_that_serves() {
    let world = World::with(&["a"]);
    world.desks.get("a").await.unwrap();
    let error = world.desks.insert("a", world.script.driver::<0>("late")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyRegistered);
    assert_eq!(world.desks.get("a").await.unwrap().ask("?").await.unwrap(), "a: ?");
    world.swept().await;
    world.script.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_is_handed_in_and_refused_is_closed() {
    let world = World::with(&["a"]);
    world.desks.close(Duration::from_secs(9)).await.into_result().unwrap();
    world.desks.insert("a", world.script.driver::<0>("to a closed instance")).unwrap_err();
    world.desks.insert("b", world.script.driver::<0>("to a closed manager")).unwrap_err();
    let override_driver = world.script.driver::<0>("over a closed instance");
    world.desks.override_instance("a", override_driver).map(drop).unwrap_err();
    world.swept().await;
    assert_eq!(world.script.count(Step::Close), 3);
    world.script.assert_tidy(0);
}

#[tokio::test(start_paused = true)]
async fn overrides_serve_while_their_guards_live_in_any_order_and_are_closed_once() {
    for order in [[0, 1], [1, 0]] {
        let world = World::with(&["a"]);
        let desk = world.desks.handle("a").unwrap();
        let mut guards: Vec<_> = ["one", "two"]
            .map(|who| world.desks.override_instance("a", world.script.driver::<0>(who)).ok())
            .into();
        assert_eq!(desk.ask("?").await.unwrap(), "two: ?");
        guards[order[0]] = None;
        let left = if order[0] == 0 { "two: ?" } else { "one: ?" };
        assert_eq!(desk.ask("?").await.unwrap(), left);
        assert_eq!(world.script.count(Step::Build), 0, "nothing of its own is built meanwhile");
        guards[order[1]] = None;
        assert_eq!(desk.ask("?").await.unwrap(), "a: ?");
        world.swept().await;
        world.script.assert_tidy(1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_override_is_lifted_when_its_scope_panics() {
    let world = World::with(&["a"]);
    let desks = world.desks.clone();
    let fake = world.script.driver::<0>("fake");
    let panicked = tokio::spawn(async move {
        let _guard = desks.override_instance("a", fake).unwrap();
        assert_eq!(desks.get("a").await.unwrap().ask("?").await.unwrap(), "fake: ?");
        panic!("on purpose");
    });
    assert!(panicked.await.unwrap_err().is_panic());
    assert_eq!(world.desks.get("a").await.unwrap().ask("?").await.unwrap(), "a: ?");
    world.swept().await;
    world.script.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn an_override_that_comes_and_goes_during_a_creation_leaves_one_creation_to_wait_for() {
    let world = World::with(&["a"]);
    let gate = Gate::closed();
    world.script.once(Step::Init, Act::Wait(gate.clone()));
    let desks = world.desks.clone();
    let creating = tokio::spawn(async move { desks.get("a").await.map(drop) });
    world.script.reached(Step::Init, 1).await;
    drop(world.desks.override_instance("a", world.script.driver::<0>("fake")).unwrap());

    let desks = world.desks.clone();
    let waiting = tokio::spawn(async move { desks.get("a").await.map(drop) });
    world.settle().await;
    assert!(!waiting.is_finished());
    assert_eq!(world.script.count(Step::Build), 1, "the creation under way is the only one");
    gate.open();
    creating.await.unwrap().unwrap();
    waiting.await.unwrap().unwrap();
    world.swept().await;
    world.script.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn an_environment_has_one_manager_for_each_subsystem() {
    let environment = Environment::new();
    let first = Manager::<Desks>::new(Registry::empty(), &environment).unwrap();
    let error = Manager::<Desks>::new(Registry::empty(), &environment).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyRegistered);
    drop(first);
    Manager::<Desks>::new(Registry::empty(), &environment).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_required_capability_that_the_driver_lacks_is_an_error_that_lists_who_has_it() {
    let world = World::new();
    let able = switchboard_core::Descriptor::new("able")
        .capability("drawer", switchboard_core::Support::Native);
    Script::new().register(world.desks.registry(), able).unwrap();
    let error = world.desks.configure("a", &paper().with("require", ["drawer"])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(error.context_value("drivers that can"), Some("able"));
    world
        .desks
        .configure("a", &Settings::new().with("driver", "able").with("require", ["drawer"]))
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_an_instance_can_do_may_depend_on_its_settings() {
    use switchboard_core::{Descriptor, Support};
    let world = World::new();
    let decided = Descriptor::new("decided")
        .capability("drawer", Support::Native)
        .capability_by("drawer", |_| None)
        .capability_by("drawer", |settings| settings.child("label").map(|_| Support::No))
        .capability_by("lamp", |settings| settings.child("label").map(|_| Support::Emulated));
    Script::new().register(world.desks.registry(), decided).unwrap();
    let with = |required: &str| {
        Settings::new().with("driver", "decided").with("require", vec![required.to_owned()])
    };
    for (name, required, is_refused) in [("a", "drawer", false), ("b", "lamp", true)] {
        let configured = world.desks.configure(name, &with(required));
        assert_eq!(configured.is_err(), is_refused, "{required}");
    }
    let other = |required| with(required).with("label", "front");
    for (name, required, is_refused) in [("c", "drawer", true), ("d", "lamp", false)] {
        let configured = world.desks.configure(name, &other(required));
        assert_eq!(configured.is_err(), is_refused, "{required}");
    }
    world.desks.handle("a").unwrap().ask("?").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_instance_says_what_serves_it_and_what_would() {
    let world = World::with(&["a"]);
    world.desks.group("both", &["a"], Priority).unwrap();
    let [a, both] = world.desks.instances().try_into().unwrap();
    assert_eq!((a.driver.as_deref(), a.is_ready, a.generation), (Some("paper"), false, 0));
    assert_eq!((both.driver, both.is_ready), (None, true));
    world.script.once(Step::Ask, Act::Fail(outage()));
    world.desks.handle("a").unwrap().ask("?").await.unwrap_err();
    let a = &world.desks.instances()[0];
    assert_eq!((a.is_ready, a.generation, a.in_flight), (true, 1, 0));
}

#[test]
fn faults_that_come_and_go_lose_no_policy() {
    let world = World::with(&["a"]);
    let desk = world.desks.handle("a").unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                desk.line().set_faults(Some(Arc::new(Faults::new(Clock::system())))).unwrap();
                desk.line().set_faults(None).unwrap();
            }
        });
        let lost = (1..5_000).map(Duration::from_millis).find(|deadline| {
            let policy = Policy { deadline: Some(*deadline), ..Policy::default() };
            world.desks.retune("a", policy.clone()).unwrap();
            std::thread::yield_now();
            desk.line().gates().is_none_or(|gates| *gates.policy() != policy)
        });
        done.store(true, Ordering::Relaxed);
        assert_eq!(lost, None);
    });
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_taken_is_an_error_with_both_places() {
    let world = World::new();
    let desks = &world.desks;
    let driver = || world.script.driver::<0>("given");
    let (first, ()) = (line!(), desks.configure("a", &paper()).unwrap());
    let again = [
        (line!(), desks.configure(" A ", &paper())),
        (line!(), desks.group("a", &["a"], Priority)),
    ];
    for (second, result) in again {
        assert_places(&result.unwrap_err(), first, second);
    }
    let (first, ()) = (line!(), desks.insert("a", driver()).unwrap());
    let (second, result) = (line!(), desks.insert("a", driver()));
    assert_places(&result.unwrap_err(), first, second);
    world.swept().await;
}

#[track_caller]
fn assert_places(error: &Error, first: u32, second: u32) {
    assert_eq!(error.kind(), ErrorKind::AlreadyRegistered);
    for (key, line) in [("first", first), ("second", second)] {
        let place = error.context_value(key).unwrap();
        assert!(place.starts_with(&format!("{}:{line}:", file!())), "{key}: {place}, not {line}");
    }
}
