//! Groups that get other members while calls are running, and groups of all there is.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::poll_immediate;
use switchboard_core::{
    Candidates, ErrorKind, Event, Health, HealthCheck, Manager, Policy, Priority, RoundRobin,
    Selector, Settings, Status,
};

use crate::desk::{Act, Desk, Desks, Gate, Script, Step, World, labelled, outage, paper};

const LIMIT: Duration = Duration::from_secs(1);

fn member(world: &World, name: &'static str) -> Script {
    let script = Script::new();
    script.register(world.desks.registry(), name).unwrap();
    world.desks.configure(name, &labelled(name, name)).unwrap();
    script
}

fn members(names: &[&'static str]) -> (World, Vec<Script>) {
    let world = World::new();
    let scripts = names.iter().map(|name| member(&world, name)).collect();
    (world, scripts)
}

fn desk(world: &World, name: &str) -> Desk {
    world.desks.handle(name).unwrap()
}

fn of(members: &[&'static str]) -> Settings {
    Settings::new().with("members", members.to_vec())
}

#[tokio::test(start_paused = true)]
async fn a_group_gets_other_members_while_a_call_finishes_on_the_old_ones() {
    let (world, scripts) = members(&["a", "b", "c"]);
    world.desks.group("g", &["a", "b"], Priority).unwrap();
    let desk = desk(&world, "g");
    let gate = Gate::closed();
    desk.ask("?").await.unwrap();
    scripts[0].once(Step::Ask, Act::Wait(gate.clone()));
    let mut under_way = std::pin::pin!(desk.ask("?"));
    assert!(poll_immediate(under_way.as_mut()).await.is_none());

    world.desks.regroup("g", &["c"], RoundRobin::new()).unwrap();
    assert_eq!(desk.ask("?").await.unwrap(), "c: ?", "the handle follows");
    gate.open();
    assert_eq!(under_way.await.unwrap(), "a: ?");
    let shown = world.desks.instances();
    let shown = shown.iter().find(|info| info.name == "g").unwrap();
    assert_eq!(
        (shown.members.as_slice(), shown.selector),
        (&["c".to_owned()][..], Some("round_robin"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_on_the_old_members_moves_on_among_them() {
    let (world, scripts) = members(&["a", "b", "c"]);
    world.desks.group("g", &["a", "b"], Priority).unwrap();
    let desk = desk(&world, "g");
    desk.ask("?").await.unwrap();
    let mut under_way = std::pin::pin!(desk.ask("?"));
    scripts[0].once(Step::Ask, Act::Fail(outage()));
    assert!(poll_immediate(under_way.as_mut()).await.is_none());
    world.desks.regroup("g", &["c"], Priority).unwrap();
    assert_eq!(under_way.await.unwrap(), "b: ?");
}

#[tokio::test(start_paused = true)]
async fn regrouping_keeps_the_deadline_and_says_what_it_did() {
    let (world, _scripts) = members(&["a", "b"]);
    world.desks.group("g", &["a"], Priority).unwrap();
    let deadline = Policy { deadline: Some(LIMIT), ..Policy::default() };
    world.desks.retune("g", deadline).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let into = told.clone();
    let _subscription = world.environment.events().subscribe(move |event| {
        if let Event::Regrouped { source, members, selector, .. } = event {
            into.lock().unwrap().push(format!("{source}: {selector} of {members:?}"));
        }
    });
    world.desks.regroup("g", &["b", "a"], HealthCheck).unwrap();
    assert_eq!(*told.lock().unwrap(), [r#"desk.g: health_check of ["b", "a"]"#]);
    assert_eq!(desk(&world, "g").line().chain()[0].gate, "deadline");
}

#[tokio::test(start_paused = true)]
async fn a_group_never_comes_to_contain_itself() {
    let (world, _scripts) = members(&["a"]);
    world.desks.group("inner", &["a"], Priority).unwrap();
    world.desks.group("middle", &["inner", "a"], Priority).unwrap();
    world.desks.group("outer", &["middle"], Priority).unwrap();
    for (group, member) in [("inner", "inner"), ("inner", "middle"), ("inner", "outer")] {
        let error = world.desks.regroup(group, &["a", member], Priority).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert_eq!(error.context_value("member"), Some(&*format!("desk.{member}")));
        let error = world.desks.swap(group, &of(&["a", member])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
    }
    assert_eq!(desk(&world, "outer").ask("?").await.unwrap(), "a: ?");
    world.desks.regroup("outer", &["a"], Priority).unwrap();
    world.desks.regroup("inner", &["outer"], Priority).unwrap();
    assert_eq!(desk(&world, "middle").ask("?").await.unwrap(), "a: ?", "the other way round");
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_regrouping_leaves_the_group_as_it_was() {
    let (world, _scripts) = members(&["a"]);
    world.desks.group("g", &["a"], Priority).unwrap();
    let regroup = |name, members: &[&str]| {
        world.desks.regroup(name, members, Priority).map_err(|error| error.kind())
    };
    assert_eq!(regroup("nowhere", &["a"]), Err(ErrorKind::NotRegistered));
    assert_eq!(regroup("a", &["a"]), Err(ErrorKind::Unsupported));
    assert_eq!(regroup("g", &["nowhere"]), Err(ErrorKind::NotRegistered));
    assert_eq!(regroup("g", &["a", "A"]), Err(ErrorKind::Config));
    assert_eq!(regroup("g", &[]), Err(ErrorKind::Config));
    let desk = desk(&world, "g");
    assert_eq!(desk.ask("?").await.unwrap(), "a: ?");
    world.desks.close(LIMIT).await.into_result().unwrap();
    assert_eq!(regroup("g", &["a"]), Err(ErrorKind::Unavailable));
    assert_eq!(desk.ask("?").await.unwrap_err().message(), "the instance is closed");
}

#[tokio::test(start_paused = true)]
async fn a_group_is_as_well_as_its_new_members_and_so_are_the_groups_around_it() {
    let (world, scripts) = members(&["a", "b"]);
    world.desks.group("inner", &["a"], Priority).unwrap();
    world.desks.group("outer", &["inner"], HealthCheck).unwrap();
    for name in ["a", "b"] {
        world.desks.get(name).await.unwrap();
    }
    scripts[0].feel(Health::down("no ink"));
    world.desks.health(LIMIT).await;
    let desk = desk(&world, "outer");
    desk.ask("?").await.unwrap_err();
    world.desks.regroup("inner", &["b"], Priority).unwrap();
    assert_eq!(desk.ask("?").await.unwrap(), "b: ?");
    scripts[0].feel(Health::up());
    world.desks.health(LIMIT).await;
    scripts[1].feel(Health::down("no ink"));
    world.desks.health(LIMIT).await;
    desk.ask("?").await.unwrap_err();
    world.desks.regroup("inner", &["a", "b"], Priority).unwrap();
    assert_eq!(desk.ask("?").await.unwrap(), "a: ?", "what was found of it before holds");
}

#[tokio::test(start_paused = true)]
async fn members_that_were_exchanged_say_nothing_of_the_group_though_a_call_still_uses_them() {
    let (world, scripts) = members(&["a", "b"]);
    world.desks.group("inner", &["a"], Priority).unwrap();
    world.desks.group("outer", &["inner"], HealthCheck).unwrap();
    let (inner, outer) = (desk(&world, "inner"), desk(&world, "outer"));
    inner.ask("?").await.unwrap();
    let gate = Gate::closed();
    scripts[0].once(Step::Ask, Act::Wait(gate.clone()));
    let mut under_way = std::pin::pin!(inner.ask("?"));
    assert!(poll_immediate(under_way.as_mut()).await.is_none());
    world.desks.regroup("inner", &["b"], Priority).unwrap();
    scripts[0].feel(Health::down("no ink"));
    world.desks.health(LIMIT).await;
    assert_eq!(outer.ask("?").await.unwrap(), "b: ?");

    // The other way round: what the old members say would come back to them in a circle.
    world.desks.regroup("inner", &["outer"], Priority).unwrap_err();
    world.desks.regroup("outer", &["b"], Priority).unwrap();
    world.desks.regroup("inner", &["outer"], Priority).unwrap();
    world.desks.get("b").await.unwrap();
    scripts[1].feel(Health::down("no paper"));
    world.desks.health(LIMIT).await;
    gate.open();
    under_way.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn health_is_reported_from_the_inside_out_whatever_the_order_of_declaration() {
    let (world, _scripts) = members(&["a"]);
    world.desks.group("early", &["a"], Priority).unwrap();
    world.desks.group("late", &["a"], Priority).unwrap();
    world.desks.regroup("early", &["late"], Priority).unwrap();
    world.desks.group_of_all("of nobody yet".replace(' ', "_").as_str(), Priority).unwrap();
    world.desks.get("a").await.unwrap();
    let reports = world.desks.health(LIMIT).await;
    let up = reports.iter().filter(|report| report.health.status == Status::Up).count();
    assert_eq!(up, 4, "{reports:?}");
}

#[tokio::test(start_paused = true)]
async fn a_swap_with_the_settings_of_a_group_regroups_it() {
    let (world, scripts) = members(&["a", "b"]);
    world
        .desks
        .configure("g", &of(&["a"]).with("policy", Settings::new().with("deadline", "2s")))
        .unwrap();
    let desk = desk(&world, "g");
    let next = of(&["b"]).with("select", "least_loaded").with("eject", Settings::new());
    let swapped = world.desks.swap("g", &next).await.unwrap();
    assert_eq!(swapped.generation, 1);
    swapped.closed().await.unwrap();
    assert_eq!(desk.ask("?").await.unwrap(), "b: ?");
    assert_eq!(desk.line().chain()[0].settings.split(' ').next(), Some("2s"), "the policy stays");
    let slower = of(&["b"]).with("policy", Settings::new().with("deadline", "3s"));
    drop(world.desks.swap("g", &slower).await.unwrap());
    assert_eq!(desk.line().chain()[0].settings.split(' ').next(), Some("3s"));

    let wrong = world.desks.swap("g", &of(&["nowhere"])).await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Config);
    for (name, settings) in [("g", paper()), ("a", of(&["b"]))] {
        let error = world.desks.swap(name, &settings).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "neither becomes the other");
    }
    assert_eq!(desk.ask("?").await.unwrap(), "b: ?");
    assert_eq!(scripts[0].count(Step::Ask), 0);
}

/// Writes down what it was told last.
#[derive(Default)]
struct Told(Mutex<Vec<Vec<String>>>);

impl Selector for Told {
    fn name(&self) -> &'static str {
        "told"
    }

    fn pick(&self, candidates: Candidates) -> Option<usize> {
        candidates.iter().last()
    }

    fn members(&self, names: &[&str]) {
        self.0.lock().unwrap().push(names.iter().map(|name| (*name).to_owned()).collect());
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_of_all_has_every_instance_with_a_driver_also_those_that_come_later() {
    let (world, _scripts) = members(&["b"]);
    let told = Arc::new(Told::default());
    world.desks.group_of_all("any", told.clone()).unwrap();
    let desk = desk(&world, "any");
    assert_eq!(desk.ask("?").await.unwrap(), "b: ?");
    world.desks.group("pair", &["b"], Priority).unwrap();
    let _a = member(&world, "a");
    assert_eq!(desk.ask("?").await.unwrap(), "a: ?");
    world.desks.insert("c", world.script.driver::<0>("c")).unwrap();
    assert_eq!(desk.ask("?").await.unwrap(), "c: ?");
    world.desks.group_of_all("also", Priority).unwrap();
    let last = told.0.lock().unwrap().last().cloned();
    assert_eq!(last.unwrap(), ["b", "a", "c"], "no groups, and in the order of declaration");
    world.desks.regroup("any", &["a"], Priority).unwrap();
    let _d = member(&world, "d");
    assert_eq!(desk.ask("?").await.unwrap(), "a: ?", "an ordinary group does not grow");
}

#[tokio::test(start_paused = true)]
async fn a_group_of_all_of_nobody_refuses_and_takes_part_in_other_groups() {
    let world = World::new();
    world.desks.group_of_all("any", Priority).unwrap();
    let error = desk(&world, "any").ask("?").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::Unavailable, "no member of the group is in service")
    );
    let _a = member(&world, "a");
    world.desks.group("around", &["any"], HealthCheck).unwrap();
    assert_eq!(desk(&world, "around").ask("?").await.unwrap(), "a: ?");
}

#[tokio::test(start_paused = true)]
async fn the_declaration_that_a_group_of_all_has_no_room_for_is_an_error() {
    let world = World::new();
    world.desks.group_of_all("any", Priority).unwrap();
    for number in 0..Candidates::MEMBERS_MAX {
        world.desks.configure(&format!("d{number}"), &paper()).unwrap();
    }
    let error = world.desks.configure("d64", &paper()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(error.context_value("group"), Some("desk.any"));
    assert!(!world.desks.has("d64"));
    world.desks.group("pair", &["d0", "d63"], Priority).unwrap();

    let crowded = World::new();
    for number in 0..=Candidates::MEMBERS_MAX {
        crowded.desks.configure(&format!("d{number}"), &paper()).unwrap();
    }
    let error = crowded.desks.group_of_all("any", Priority).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

/// Declares one more instance while it is told of its members, as if somebody else did meanwhile.
struct Declaring {
    desks: Manager<Desks>,
    told: Arc<Told>,
}

impl Selector for Declaring {
    fn name(&self) -> &'static str {
        "declaring"
    }

    fn pick(&self, candidates: Candidates) -> Option<usize> {
        candidates.first()
    }

    fn members(&self, names: &[&str]) {
        if names == ["first"] {
            // Once; it is told of the first one again.
            self.desks.configure("second", &paper()).ok();
        }
        self.told.members(names);
    }
}

#[test]
fn a_selector_may_declare_what_it_is_then_told_of_and_what_is_in_force_is_told_last() {
    let world = World::new();
    let told = Arc::new(Told::default());
    let selector = Declaring { desks: world.desks.clone(), told: told.clone() };
    world.desks.group_of_all("any", selector).unwrap();
    world.desks.configure("first", &paper()).unwrap();
    let last = told.0.lock().unwrap().last().cloned();
    assert_eq!(last.unwrap(), ["first", "second"]);
}

#[test]
fn instances_that_are_declared_at_the_same_time_are_all_members_and_the_selector_knows() {
    for _ in 0..50 {
        let world = World::new();
        let told = Arc::new(Told::default());
        world.desks.group_of_all("any", told.clone()).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let desks = &world.desks;
                scope.spawn(move || {
                    for number in 0..4 {
                        desks.configure(&format!("d{thread}{number}"), &paper()).unwrap();
                    }
                });
            }
        });
        let shown = world.desks.instances();
        let any = shown.iter().find(|info| info.name == "any").unwrap();
        assert_eq!(any.members.len(), 16);
        let last = told.0.lock().unwrap().last().cloned();
        assert_eq!(last.unwrap(), any.members);
    }
}

#[test]
fn two_groups_that_take_each_other_at_the_same_time_make_no_circle() {
    for _ in 0..100 {
        let world = World::with(&["a"]);
        for name in ["one", "other"] {
            world.desks.group(name, &["a"], Priority).unwrap();
        }
        let taken = std::thread::scope(|scope| {
            let take = |group, member| {
                let desks = &world.desks;
                scope.spawn(move || desks.regroup(group, &[member], Priority).is_ok())
            };
            let threads = [take("one", "other"), take("other", "one")];
            threads.map(|thread| thread.join().unwrap())
        });
        assert_eq!(taken.iter().filter(|taken| **taken).count(), 1);
    }
}
