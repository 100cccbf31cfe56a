//! A choice among instances, for every call anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use switchboard_core::{
    Error, ErrorKind, Event, Faults, Health, HealthCheck, OpFigures, Outcome, Policy, Priority,
    Problems, RoundRobin, Selector, Settings, Status,
};

use crate::desk::{Act, Desk, Gate, Script, Step, World, labelled, op, outage};

const LIMIT: Duration = Duration::from_secs(1);

/// Members, each following a script of its own, and a group `g` of them all.
fn group(names: &[&'static str], selector: impl Selector) -> (World, Vec<Script>, Desk) {
    let world = World::new();
    let scripts: Vec<_> = names.iter().map(|name| member(&world, name)).collect();
    world.desks.group("g", names, selector).unwrap();
    let desk = world.desks.handle("g").unwrap();
    (world, scripts, desk)
}

fn member(world: &World, name: &'static str) -> Script {
    let script = Script::new();
    script.register(world.desks.registry(), name).unwrap();
    world.desks.configure(name, &labelled(name, name)).unwrap();
    script
}

fn asked(scripts: &[Script]) -> Vec<usize> {
    scripts.iter().map(|script| script.count(Step::Ask)).collect()
}

#[tokio::test(start_paused = true)]
async fn priority_asks_the_first_and_builds_no_other() {
    let (_world, scripts, desk) = group(&["a", "b"], Priority);
    assert_eq!(desk.ask("?").await.unwrap(), "a: ?");
    assert_eq!(scripts[1].count(Step::Build), 0);
}

#[tokio::test(start_paused = true)]
async fn round_robin_asks_all_evenly() {
    let (_world, scripts, desk) = group(&["a", "b", "c"], RoundRobin::new());
    for _ in 0..30 {
        desk.ask("?").await.unwrap();
    }
    assert_eq!(asked(&scripts), [10, 10, 10]);
}

#[tokio::test(start_paused = true)]
async fn what_manager_health_finds_down_is_passed_over_until_it_is_found_up() {
    let (world, scripts, desk) = group(&["a", "b"], Priority);
    world.desks.get("a").await.unwrap();
    world.desks.get("b").await.unwrap();
    scripts[0].feel(Health::down("no ink"));
    world.desks.health(LIMIT).await;
    assert_eq!(desk.ask("?").await.unwrap(), "b: ?");
    assert_eq!(scripts[0].count(Step::Ask), 0);
    scripts[0].feel(Health::degraded("slow"));
    world.desks.health(LIMIT).await;
    assert_eq!(desk.ask("?").await.unwrap(), "a: ?");
}

#[tokio::test(start_paused = true)]
async fn a_group_made_after_the_check_knows_what_the_check_found() {
    let (world, scripts, _) = group(&["a", "b"], Priority);
    world.desks.get("a").await.unwrap();
    scripts[0].feel(Health::down("no ink"));
    world.desks.health(LIMIT).await;
    world.desks.group("later", &["a", "b"], HealthCheck).unwrap();
    let later = world.desks.handle("later").unwrap();
    assert_eq!(later.ask("?").await.unwrap(), "b: ?");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_was_down_is_back_as_soon_as_a_swap_has_checked_its_new_driver() {
    let (world, scripts, desk) = group(&["a", "b"], Priority);
    world.desks.get("a").await.unwrap();
    scripts[0].feel(Health::down("no ink"));
    world.desks.health(LIMIT).await;
    drop(world.desks.swap("a", &labelled("paper", "new")).await.unwrap());
    assert_eq!(desk.ask("?").await.unwrap(), "new: ?");
}

#[tokio::test(start_paused = true)]
async fn what_was_found_of_an_override_goes_with_it() {
    let (world, scripts, desk) = group(&["a", "b"], Priority);
    for name in ["a", "b"] {
        world.desks.get(name).await.unwrap();
    }
    let fake = Script::new();
    fake.feel(Health::down("no ink"));
    let guard = world.desks.override_instance("a", fake.driver::<0>("fake")).unwrap();
    world.desks.health(LIMIT).await;
    assert_eq!(desk.ask("?").await.unwrap(), "b: ?");
    drop(guard);
    assert_eq!(desk.ask("?").await.unwrap(), "a: ?");
    assert_eq!(asked(&scripts), [1, 1]);
    world.swept().await;
}

#[tokio::test(start_paused = true)]
async fn an_override_of_what_is_down_serves_and_what_is_beneath_is_as_down_as_before() {
    let (world, scripts, desk) = group(&["a", "b"], Priority);
    for name in ["a", "b"] {
        world.desks.get(name).await.unwrap();
    }
    scripts[0].feel(Health::down("no ink"));
    world.desks.health(LIMIT).await;
    let guard = world.desks.override_instance("a", world.script.driver::<0>("fake")).unwrap();
    assert_eq!(desk.ask("?").await.unwrap(), "fake: ?");
    drop(guard);
    assert_eq!(desk.ask("?").await.unwrap(), "b: ?");
    world.swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_swap_beneath_an_override_says_nothing_of_the_override() {
    let (world, _scripts, desk) = group(&["a", "b"], Priority);
    world.desks.get("b").await.unwrap();
    let fake = Script::new();
    fake.feel(Health::down("no ink"));
    let guard = world.desks.override_instance("a", fake.driver::<0>("fake")).unwrap();
    world.desks.health(LIMIT).await;
    drop(world.desks.swap("a", &labelled("a", "new")).await.unwrap());
    assert_eq!(desk.ask("?").await.unwrap(), "b: ?");
    drop(guard);
    assert_eq!(desk.ask("?").await.unwrap(), "new: ?");
    world.swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_member_that_a_failed_swap_left_without_a_driver_is_asked_and_built_again() {
    let world = World::new();
    world.desks.configure("a", &labelled("vault", "old")).unwrap();
    let _other = member(&world, "b");
    world.desks.group("g", &["a", "b"], Priority).unwrap();
    let desk = world.desks.handle("g").unwrap();
    for name in ["a", "b"] {
        world.desks.get(name).await.unwrap();
    }
    world.script.feel(Health::down("no ink"));
    world.desks.health(LIMIT).await;
    assert_eq!(desk.ask("?").await.unwrap(), "b: ?");

    // Neither the next one can be opened nor the one before.
    for _ in 0..2 {
        world.script.once(Step::Init, Act::Fail(outage()));
    }
    let gate = Gate::closed();
    world.script.once(Step::Close, Act::Wait(gate.clone()));
    let swapping = {
        let desks = world.desks.clone();
        tokio::spawn(async move { desks.swap("a", &labelled("vault", "new")).await.map(drop) })
    };
    world.script.reached(Step::Close, 1).await;
    assert_eq!(desk.ask("?").await.unwrap(), "b: ?", "nobody waits for one that was down");
    gate.open();
    swapping.await.unwrap().unwrap_err();
    assert_eq!(desk.ask("?").await.unwrap(), "old: ?");
}

#[tokio::test(start_paused = true)]
async fn priority_and_round_robin_try_what_is_down_when_all_are() {
    let round_robin = group(&["a", "b"], RoundRobin::new());
    for (world, scripts, desk) in [group(&["a", "b"], Priority), round_robin] {
        for (name, script) in ["a", "b"].iter().zip(&scripts) {
            world.desks.get(name).await.unwrap();
            script.feel(Health::down("no ink"));
        }
        world.desks.health(LIMIT).await;
        desk.ask("?").await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn health_check_refuses_when_all_are_down_and_joins_the_reason_of_each() {
    let (world, scripts, desk) = group(&["a", "b"], HealthCheck);
    for (name, script) in ["a", "b"].iter().zip(&scripts) {
        world.desks.get(name).await.unwrap();
        script.feel(Health::down(format!("{name} has no ink")));
    }
    world.desks.health(LIMIT).await;
    let error = desk.ask("?").await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied));
    assert_eq!(error.place().unwrap().instance.as_ref(), "g");
    let line = error.to_string();
    assert!(line.contains("a has no ink") && line.contains("b has no ink"), "{line}");
    assert_eq!(asked(&scripts), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_certainly_did_nothing_moves_on_whatever_the_effect() {
    for op in [op::ASK, op::FILE, op::TELL] {
        let (_world, scripts, desk) = group(&["a", "b"], Priority);
        scripts[0].once(Step::Ask, Act::Fail(outage().not_applied()));
        assert_eq!(desk.ask_as(op, "?").await.unwrap(), "b: ?", "{}", op.name());
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_in_doubt_moves_on_only_where_a_repetition_is_harmless() {
    for op in [op::ASK, op::FILE] {
        let (_world, scripts, desk) = group(&["a", "b"], Priority);
        scripts[0].once(Step::Ask, Act::Fail(outage()));
        assert_eq!(desk.ask_as(op, "?").await.unwrap(), "b: ?", "{}", op.name());
    }
    let (_world, scripts, desk) = group(&["a", "b"], Priority);
    scripts[0].once(Step::Ask, Act::Fail(outage()));
    let error = desk.ask_as(op::TELL, "?").await.unwrap_err();
    assert_eq!(error.place().unwrap().instance.as_ref(), "a");
    assert_eq!(scripts[1].count(Step::Build), 0);
}

#[tokio::test(start_paused = true)]
async fn an_outage_whose_effect_happened_stops_the_walk() {
    let (_world, scripts, desk) = group(&["a", "b"], Priority);
    scripts[0].once(Step::Ask, Act::Fail(outage().with_outcome(Outcome::Applied)));
    desk.ask("?").await.unwrap_err();
    assert_eq!(scripts[1].count(Step::Build), 0);
}

#[tokio::test(start_paused = true)]
async fn after_the_deadline_no_other_member_is_tried_or_counted() {
    let (world, scripts, desk) = group(&["a", "b", "c"], Priority);
    for name in ["a", "b", "c"] {
        world.desks.get(name).await.unwrap();
    }
    world.desks.retune("g", Policy { deadline: Some(LIMIT), ..Policy::default() }).unwrap();
    let moves = Arc::new(AtomicUsize::new(0));
    let count = moves.clone();
    let _subscription = world.environment.events().subscribe(move |event| {
        if matches!(event, Event::FailedOver { .. }) {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    scripts[0].always(Step::Ask, Act::Hang);
    let error = desk.ask("?").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.gate()),
        (ErrorKind::Timeout, Some(switchboard_core::Gate::Deadline))
    );
    assert!(error.related().is_empty(), "{error:?}");
    assert_eq!(moves.load(Ordering::SeqCst), 0);
    for name in ["b", "c"] {
        let figures = world.desks.handle(name).unwrap().line().figures();
        let asked = figures.iter().find(|figures| figures.operation == "ask");
        assert!(asked.is_none_or(|asked| asked.failed.is_empty()), "{asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_never_moves_on() {
    let answers =
        ErrorKind::ALL.iter().filter(|kind| kind.class() != switchboard_core::Class::Outage);
    for kind in answers {
        let (_world, scripts, desk) = group(&["a", "b"], Priority);
        scripts[0].once(Step::Ask, Act::Fail(Error::new(*kind, "no").not_applied()));
        assert_eq!(desk.ask("?").await.unwrap_err().kind(), *kind);
        assert_eq!(scripts[1].count(Step::Build), 0, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_that_cannot_be_built_moves_on_even_for_an_unsafe_call() {
    for step in [Step::Build, Step::Init] {
        let (_world, scripts, desk) = group(&["a", "b"], Priority);
        scripts[0].once(step, Act::Fail(outage()));
        assert_eq!(desk.ask_as(op::TELL, "?").await.unwrap(), "b: ?", "nothing was asked of it");
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_whose_manager_is_closed_refuses_without_asking_a_member() {
    let (world, scripts, desk) = group(&["a", "b"], Priority);
    world.desks.close(LIMIT).await.into_result().unwrap();
    assert_eq!(desk.ask("?").await.unwrap_err().message(), "the instance is closed");
    assert_eq!(scripts[0].count(Step::Build) + scripts[1].count(Step::Build), 0);
}

#[tokio::test(start_paused = true)]
async fn when_all_members_fail_the_error_joins_the_reason_of_each() {
    let (_world, scripts, desk) = group(&["a", "b", "c"], Priority);
    for (script, reason) in scripts.iter().zip(["fire", "flood", "frost"]) {
        script.always(Step::Ask, Act::Fail(Error::new(ErrorKind::Timeout, reason)));
    }
    let error = desk.ask("?").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.place().unwrap().to_string(), "desk.g ask");
    let reasons: Vec<_> = error
        .related()
        .iter()
        .map(|error| (error.place().unwrap().instance.to_string(), error.message()))
        .collect();
    let expected = [("a", "fire"), ("b", "flood"), ("c", "frost")]
        .map(|(member, reason)| (member.to_owned(), reason));
    assert_eq!(reasons, expected);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_stops_the_walk_keeps_those_before_it() {
    let (_world, scripts, desk) = group(&["a", "b"], Priority);
    scripts[0].once(Step::Ask, Act::Fail(Error::new(ErrorKind::Timeout, "late")));
    scripts[1].once(Step::Ask, Act::Fail(Error::new(ErrorKind::NotFound, "nothing there")));
    let error = desk.ask("?").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.related().len(), 1);
    assert_eq!(error.related()[0].message(), "late");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_used_up_stops_the_walk_with_the_error_of_who_used_it() {
    for failure in [outage(), outage().not_applied()] {
        let (_world, scripts, desk) = group(&["a", "b"], Priority);
        scripts[0].once(Step::Ask, Act::Fail(failure));
        let error = desk.hand_over(b"body".to_vec()).await.unwrap_err();
        assert_eq!(error.message(), "nobody at the desk");
        assert_eq!(asked(&scripts), [1, 0]);
        assert_eq!(scripts[1].count(Step::Build), 0, "no other member is even built for it");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_nobody_touched_goes_on_to_the_next_member() {
    let (_world, scripts, desk) = group(&["a", "b"], Priority);
    scripts[0].once(Step::Init, Act::Fail(outage()));
    assert_eq!(desk.hand_over(b"body".to_vec()).await.unwrap(), 4);
    assert_eq!(asked(&scripts), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_group_may_have_groups_as_members() {
    let world = World::new();
    let scripts = ["a", "b", "c"].map(|name| member(&world, name));
    world.desks.group("inner", &["a", "b"], Priority).unwrap();
    world.desks.group("outer", &["inner", "c"], Priority).unwrap();
    let desk = world.desks.handle("outer").unwrap();
    scripts[0].always(Step::Ask, Act::Fail(outage()));
    assert_eq!(desk.ask("?").await.unwrap(), "b: ?");
    scripts[1].always(Step::Ask, Act::Fail(outage()));
    assert_eq!(desk.ask("?").await.unwrap(), "c: ?");
    assert_eq!(asked(&scripts), [2, 2, 1]);
    scripts[2].always(Step::Ask, Act::Fail(outage()));
    let error = desk.ask("?").await.unwrap_err().to_string();
    for member in ["desk.a", "desk.b", "desk.c", "desk.outer"] {
        assert!(error.contains(member), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_whose_members_are_all_down_is_passed_over_by_the_group_around_it() {
    let world = World::new();
    let scripts = ["a", "b", "c"].map(|name| member(&world, name));
    world.desks.group("inner", &["a", "b"], Priority).unwrap();
    world.desks.group("outer", &["inner", "c"], Priority).unwrap();
    let desk = world.desks.handle("outer").unwrap();
    for (name, script) in ["a", "b"].iter().zip(&scripts) {
        world.desks.get(name).await.unwrap();
        script.feel(Health::down(format!("{name} has no ink")));
    }
    world.desks.health(LIMIT).await;
    assert_eq!(desk.ask("?").await.unwrap(), "c: ?");
    assert_eq!(asked(&scripts), [0, 0, 1]);

    world.desks.group("strict", &["inner"], HealthCheck).unwrap();
    let strict = world.desks.handle("strict").unwrap();
    let line = strict.ask("?").await.unwrap_err().to_string();
    for part in ["desk.inner", "all of its members are down", "a has no ink", "b has no ink"] {
        assert!(line.contains(part), "{part}: {line}");
    }

    drop(world.desks.swap("b", &labelled("paper", "new")).await.unwrap());
    assert_eq!(desk.ask("?").await.unwrap(), "new: ?", "one that is back brings the group back");
    assert_eq!(strict.ask("?").await.unwrap(), "new: ?");
}

#[tokio::test(start_paused = true)]
async fn a_session_opened_through_a_group_belongs_to_the_member_that_opened_it() {
    let (world, scripts, desk) = group(&["a", "b"], Priority);
    scripts[0].once(Step::Open, Act::Fail(outage()));
    let mut session = desk.session().await.unwrap();
    assert_eq!(crate::desk::write(&mut session).await.unwrap(), 1);
    assert_eq!(world.desks.handle("b").unwrap().line().in_flight(), 1);
    assert_eq!(desk.line().in_flight(), 0);
    scripts[1].once(Step::Write, Act::Fail(outage()));
    let error = crate::desk::write(&mut session).await.unwrap_err();
    assert_eq!(error.place().unwrap().instance.as_ref(), "b", "a step never fails over");
    drop(session);
    assert_eq!(world.desks.handle("b").unwrap().line().in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn members_are_declared_before_their_group_and_only_once_in_it() {
    let world = World::with(&["a"]);
    let unknown = world.desks.group("g", &["a", "nowhere"], Priority).unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotRegistered);
    let itself = world.desks.group("g", &["g"], Priority).unwrap_err();
    assert_eq!(itself.kind(), ErrorKind::NotRegistered);
    for members in [&["a", " A "] as &[_], &[]] {
        let error = world.desks.group("g", members, Priority).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
    }
    assert!(!world.desks.has("g"));
}

#[tokio::test(start_paused = true)]
async fn an_override_of_a_group_serves_in_the_place_of_all_members() {
    let (world, scripts, desk) = group(&["a", "b"], Priority);
    let guard = world.desks.override_instance("g", world.script.driver::<0>("fake")).unwrap();
    assert_eq!(desk.ask("?").await.unwrap(), "fake: ?");
    drop(guard);
    assert_eq!(desk.ask("?").await.unwrap(), "a: ?");
    assert_eq!(asked(&scripts), [1, 0]);
    world.swept().await;
}

#[tokio::test(start_paused = true)]
async fn faults_are_refused_by_a_group_and_taken_by_its_members() {
    let (world, _scripts, desk) = group(&["a", "b"], Priority);
    let faults = || Some(Arc::new(Faults::new(world.environment.clock().clone())));
    let error = desk.line().set_faults(faults()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    desk.line().set_faults(None).unwrap();
    world.desks.handle("a").unwrap().line().set_faults(faults()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_needs_no_waiting_is_asked_of_the_members_in_turn() {
    let (world, scripts, desk) = group(&["a", "b"], Priority);
    let live = || desk.line().with(op::ASK, |_| Ok(()));
    let error = live().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "none is built, and asking builds none");
    assert_eq!(error.related().len(), 2, "{error}");
    world.desks.get("b").await.unwrap();
    live().expect("the one that is built serves");
    world.desks.get("a").await.unwrap();
    live().unwrap();
    let served = |name| figures(&world, name).succeeded;
    assert_eq!((served("a"), served("b"), served("g")), (1, 1, 2));

    scripts[0].feel(Health::down("no ink"));
    world.desks.health(LIMIT).await;
    live().unwrap();
    assert_eq!((served("a"), served("b")), (1, 2), "the selector decides");
}

#[tokio::test(start_paused = true)]
async fn what_needs_no_waiting_moves_on_only_where_a_call_would() {
    let world = World::new();
    for name in ["a", "b"] {
        world.desks.insert(name, world.script.driver::<0>(name)).unwrap();
    }
    world.desks.group("g", &["a", "b"], Priority).unwrap();
    let line = world.desks.handle("g").unwrap().line().clone();
    for (op, error, asked) in [
        (op::ASK, outage(), 2),
        (op::TELL, outage().not_applied(), 2),
        (op::TELL, outage(), 1),
        (op::ASK, Error::new(ErrorKind::NotFound, "no"), 1),
    ] {
        let times = std::cell::Cell::new(0);
        let result = line.with(op, |_| {
            times.set(times.get() + 1);
            Err::<(), _>(error.clone())
        });
        assert_eq!((result.unwrap_err().kind(), times.get()), (error.kind(), asked));
    }
    world.desks.close(LIMIT).await.into_result().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_group_counts_the_calls_made_of_it_and_its_members_what_they_were_asked() {
    let (world, scripts, desk) = group(&["a", "b"], Priority);
    scripts[0].once(Step::Ask, Act::Fail(outage()));
    desk.ask("?").await.unwrap();
    for script in &scripts {
        script.always(Step::Ask, Act::Fail(outage()));
    }
    desk.ask("?").await.unwrap_err();
    let g = figures(&world, "g");
    assert_eq!((g.succeeded, g.cancelled, g.failed), (1, 0, vec![(ErrorKind::Unavailable, 1)]));
    let a = figures(&world, "a");
    assert_eq!((a.succeeded, a.failed), (0, vec![(ErrorKind::Unavailable, 2)]));
}

fn figures(world: &World, name: &str) -> OpFigures {
    let figures = world.desks.handle(name).unwrap().line().figures();
    figures.into_iter().find(|figures| figures.operation == "ask").unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_group_shows_its_members_and_its_selector() {
    let (world, _scripts, _desk) = group(&["b", "a"], Priority);
    let shown = world.desks.instances();
    let [a, _, g] = shown.as_slice() else { panic!("{shown:?}") };
    assert_eq!(
        (g.members.as_slice(), g.selector),
        (&["b".to_owned(), "a".to_owned()][..], Some("priority"))
    );
    assert!(a.members.is_empty() && a.selector.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_group_is_reported_by_what_its_members_answered() {
    let (world, scripts, _desk) = group(&["x", "y"], Priority);
    world.desks.group("around", &["g"], Priority).unwrap();
    let statuses = async || {
        let reports = world.desks.health(LIMIT).await;
        let names: Vec<_> = reports.iter().map(|report| report.instance.as_str()).collect();
        assert_eq!(names, ["around", "g", "x", "y"]);
        (reports[0].health.status, reports[1].health.status)
    };
    assert_eq!(statuses().await, (Status::NotChecked, Status::NotChecked));
    world.desks.get("x").await.unwrap();
    assert_eq!(statuses().await, (Status::Up, Status::Up));
    scripts[0].feel(Health::down("no ink"));
    assert_eq!(statuses().await, (Status::Degraded, Status::Degraded));
    world.desks.get("y").await.unwrap();
    scripts[1].feel(Health::down("no ink"));
    assert_eq!(statuses().await, (Status::Down, Status::Down));
}

#[tokio::test(start_paused = true)]
async fn a_group_can_be_declared_by_settings_alone() {
    let (world, scripts, _) = group(&["a", "b"], Priority);
    let policy = Settings::new().with("deadline", "2s");
    let settings = Settings::new()
        .with("members", ["b", "a"])
        .with("select", "round_robin")
        .with("policy", policy);
    world.desks.configure("h", &settings).unwrap();
    let desk = world.desks.handle("h").unwrap();
    for _ in 0..4 {
        desk.ask("?").await.unwrap();
    }
    assert_eq!(asked(&scripts), [2, 2]);
    let gates: Vec<_> = desk.line().chain().iter().map(|step| step.gate).collect();
    assert_eq!(gates, ["deadline", "driver"]);
}

#[test]
fn a_group_of_settings_tells_every_member_that_is_not_there_and_where_it_was_named() {
    let world = World::with(&["sessions"]);
    let wrong = Settings::new().with("members", ["sesions", "sessions", "main"]);
    let error = world.desks.configure("safe", &wrong).unwrap_err();
    let told: Vec<_> = error.find::<Problems>().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("desk.safe.members[0]: no instance called \"sesions\""), "{told:?}");
    assert!(told[0].contains("did you mean \"sessions\"?") && told[0].contains("groups.rs:"));
    assert!(told[1].contains("desk.safe.members[2]"), "{told:?}");
    assert!(!world.desks.has("safe"));
}

#[test]
fn a_group_of_settings_has_no_driver_and_no_gate_but_a_deadline() {
    let world = World::with(&["a"]);
    let group = || Settings::new().with("members", ["a"]);
    for (key, wrong) in [
        ("driver", group().with("driver", "paper")),
        ("select", group().with("select", "priorty")),
        ("policy", group().with("policy", Settings::new().with("retry", Settings::new()))),
    ] {
        let error = world.desks.configure("g", &wrong).unwrap_err();
        let problems = error.find::<Problems>().unwrap();
        let paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(paths, [format!("desk.g.{key}")]);
    }
}
