//! Many changes of one manager, applied together.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use switchboard_core::{Error, ErrorKind, Event, Priority, Settings};

use crate::desk::{Act, Gate, Step, World, labelled, outage, paper};
use crate::dropping::at_every_poll;

const LIMIT: Duration = Duration::from_secs(10);

async fn answer(world: &World, name: &str) -> String {
    world.desks.get(name).await.unwrap().ask("?").await.unwrap()
}

fn group(members: &[&str]) -> Settings {
    let members: Vec<_> = members.iter().map(|name| (*name).to_owned()).collect();
    Settings::new().with("members", members)
}

fn with_deadline(settings: Settings) -> Settings {
    settings.with("policy", Settings::new().with("deadline", "2s"))
}

#[tokio::test(start_paused = true)]
async fn all_of_it_is_seen_at_the_commit_and_nothing_before() {
    let world = World::with(&["kept", "old", "spare"]);
    let kept = world.desks.get("kept").await.unwrap();
    let old = world.desks.get("old").await.unwrap();
    let mut change = world.desks.change();
    change.put("kept", &labelled("glass", "other"));
    change.put("both", &group(&["new", "kept"]));
    change.put("new", &labelled("paper", "new"));
    change.remove("old");
    change.set_default(Some("new"));
    let prepared = change.prepare().await.unwrap();
    assert_eq!(kept.ask("?").await.unwrap(), "kept: ?");
    assert_eq!(old.ask("?").await.unwrap(), "old: ?");
    assert_eq!(world.desks.names(), ["kept", "old", "spare"]);

    let done = prepared.commit();
    assert_eq!(kept.ask("?").await.unwrap(), "other: ?");
    assert_eq!((&done.swapped[..], done.generations["kept"]), (&["kept".to_owned()][..], 2));
    assert_eq!(
        (done.added.as_slice(), done.removed.as_slice()),
        (&["new".to_owned(), "both".to_owned()][..], &["old".to_owned()][..])
    );
    assert_eq!(old.ask("?").await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(world.desks.names(), ["both", "kept", "new", "spare"]);
    assert_eq!(answer(&world, "both").await, "new: ?");
    assert_eq!(world.desks.get_default().await.unwrap().ask("?").await.unwrap(), "new: ?");
    done.closed().await.unwrap();
    assert!(world.desks.close(LIMIT).await.errors.is_empty());
    world.script.assert_tidy(0);
}

#[tokio::test(start_paused = true)]
async fn of_five_hundred_instances_only_the_one_that_changes_is_built() {
    let world = World::new();
    let names: Vec<_> = (0..500).map(|number| format!("a{number}")).collect();
    let mut change = world.desks.change();
    for name in &names {
        change.put(name, &paper());
        change.build(name);
    }
    change.prepare().await.unwrap().commit().closed().await.unwrap();
    assert_eq!(world.script.count(Step::Build), 500);
    let mut change = world.desks.change();
    change.put("a250", &labelled("paper", "other"));
    change.prepare().await.unwrap().commit().closed().await.unwrap();
    assert_eq!(world.script.count(Step::Build), 501);
    assert_eq!(answer(&world, "a250").await, "other: ?");
    world.script.assert_tidy(500);
    world.desks.close(LIMIT).await.into_result().unwrap();
}

#[tokio::test(start_paused = true)]
async fn if_any_driver_fails_nothing_has_changed_and_every_failure_is_told() {
    let world = World::with(&["a", "b", "c"]);
    for name in ["a", "b", "c"] {
        world.desks.get(name).await.unwrap();
    }
    world.script.once(Step::Build, Act::Fail(outage()));
    world.script.once(Step::Build, Act::Panic);
    let mut change = world.desks.change();
    for name in ["a", "b", "c"] {
        change.put(name, &labelled("paper", "other"));
    }
    change.put("new", &paper());
    let error = change.prepare().await.map(drop).unwrap_err();
    let told: Vec<_> = error.related().iter().filter_map(Error::place).collect();
    assert_eq!(told.iter().map(|place| &*place.instance).collect::<Vec<_>>(), ["a", "b"]);
    world.script.assert_tidy(3);
    for name in ["a", "b", "c"] {
        assert_eq!(answer(&world, name).await, format!("{name}: ?"));
        world.desks.swap(name, &paper()).await.unwrap().closed().await.unwrap();
    }
    world.desks.configure("new", &paper()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_nobody_uses_is_not_built_and_has_its_new_settings_when_somebody_does() {
    let world = World::with(&["a"]);
    let mut change = world.desks.change();
    change.put("a", &labelled("paper", "other"));
    change.put("new", &paper());
    change.prepare().await.unwrap().commit().closed().await.unwrap();
    assert_eq!(world.script.count(Step::Build), 0);
    assert_eq!(answer(&world, "a").await, "other: ?");
    assert_eq!(answer(&world, "new").await, "new: ?");
}

#[tokio::test(start_paused = true)]
async fn who_builds_while_a_change_is_committed_is_left_with_the_new_settings() {
    for fails in [false, true] {
        let world = World::with(&["a"]);
        let gate = Gate::closed();
        world.script.once(Step::Build, Act::Wait(gate.clone()));
        if fails {
            world.script.once(Step::Init, Act::Fail(outage()));
        }
        let mut change = world.desks.change();
        change.put("a", &labelled("paper", "other"));
        let prepared = change.prepare().await.unwrap();
        let desk = world.desks.handle("a").unwrap();
        let asking = tokio::spawn(async move { desk.ask("?").await });
        world.script.reached(Step::Build, 1).await;
        prepared.commit().closed().await.unwrap();
        gate.open();
        assert_eq!(asking.await.unwrap().unwrap(), "other: ?");
        world.swept().await;
        world.script.assert_tidy(1);
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_built_between_prepare_and_commit_gives_way_to_the_new_settings() {
    let world = World::with(&["a", "b"]);
    let mut change = world.desks.change();
    change.put("a", &labelled("paper", "other"));
    change.build("b");
    let prepared = change.prepare().await.unwrap();
    assert_eq!(answer(&world, "a").await, "a: ?");
    assert_eq!(answer(&world, "b").await, "b: ?");
    prepared.commit().closed().await.unwrap();
    world.swept().await;
    assert_eq!(answer(&world, "a").await, "other: ?");
    world.script.assert_tidy(2);
}

#[tokio::test(start_paused = true)]
async fn settings_without_a_policy_leave_no_gates() {
    let world = World::new();
    for name in ["a", "b"] {
        world.desks.configure(name, &with_deadline(paper())).unwrap();
        world.desks.get(name).await.unwrap();
    }
    let mut change = world.desks.change();
    change.put("a", &paper());
    change.retune("b", &paper());
    let done = change.prepare().await.unwrap().commit();
    assert_eq!(done.retuned, ["b"]);
    for name in ["a", "b"] {
        assert!(world.desks.line(name).unwrap().gates().is_none(), "{name}");
    }
    assert_eq!(world.script.count(Step::Build), 3, "retuning builds nothing");
}

#[tokio::test(start_paused = true)]
async fn slots_in_use_stay_in_use_when_a_change_retunes() {
    let world = World::new();
    let one = |policy: Settings| {
        paper().with("policy", policy.with("bulkhead", Settings::new().with("max", 1)))
    };
    world.desks.configure("a", &one(Settings::new())).unwrap();
    let desk = world.desks.get("a").await.unwrap();
    let session = desk.session().await.unwrap();
    let mut change = world.desks.change();
    change.retune("a", &one(Settings::new().with("deadline", "2s")));
    change.prepare().await.unwrap().commit().closed().await.unwrap();
    assert!(desk.ask("?").await.is_err(), "the only place is taken");
    drop(session);
    assert!(desk.ask("?").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_swap_waits_for_the_change_and_two_changes_for_each_other() {
    let world = World::with(&["a", "b"]);
    for name in ["a", "b"] {
        world.desks.get(name).await.unwrap();
    }
    let change_of = |label: &str, names: [&str; 2]| {
        let mut change = world.desks.change();
        for name in names {
            change.put(name, &labelled("paper", label));
        }
        change
    };
    let first = change_of("first", ["a", "b"]).prepare().await.unwrap();
    let second = tokio::spawn(change_of("second", ["b", "a"]).prepare());
    world.settle().await;
    let desks = world.desks.clone();
    let swap = tokio::spawn(async move { desks.swap("a", &labelled("paper", "swap")).await });
    world.settle().await;
    assert!(!second.is_finished() && !swap.is_finished());
    first.commit().closed().await.unwrap();
    swap.await.unwrap().unwrap().closed().await.unwrap();
    assert_eq!(answer(&world, "a").await, "swap: ?");
    second.await.unwrap().unwrap().commit().closed().await.unwrap();
    assert_eq!(answer(&world, "a").await, "second: ?");
    world.script.assert_tidy(2);
}

#[tokio::test(start_paused = true)]
async fn a_name_is_free_as_soon_as_its_instance_is_removed() {
    let world = World::new();
    world.desks.configure("a", &labelled("vault", "old")).unwrap();
    let any =
        world.desks.group_of_all("any", Priority).map(|()| world.desks.handle("any").unwrap());
    let desk = world.desks.get("a").await.unwrap();
    let session = desk.session().await.unwrap();
    let mut change = world.desks.change();
    change.remove("a");
    let done = change.prepare().await.unwrap().commit();
    assert!(any.unwrap().ask("?").await.is_err(), "the group has nobody left");
    world.desks.configure("a", &labelled("vault", "new")).unwrap();
    drop(session);
    assert_eq!(answer(&world, "a").await, "new: ?");
    done.closed().await.unwrap();
    assert_eq!(world.script.live_max(), 1, "the old one had to go first");
    assert_eq!(answer(&world, "any").await, "new: ?");
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_what_was_removed() {
    let world = World::with(&["a"]);
    let desk = world.desks.get("a").await.unwrap();
    let session = desk.session().await.unwrap();
    let mut change = world.desks.change();
    change.remove("a");
    drop(change.prepare().await.unwrap().commit());
    world.settle().await;
    assert_eq!(world.script.live(), 1);
    world.desks.close(LIMIT).await.into_result().unwrap();
    drop(session);
    world.script.assert_tidy(0);
}

#[tokio::test(start_paused = true)]
async fn an_instance_with_a_driver_becomes_a_group_and_a_group_one_with_a_driver() {
    let world = World::with(&["a", "b"]);
    world.desks.group("g", &["a"], Priority).unwrap();
    world.desks.group("around", &["g"], Priority).unwrap();
    let (around, before) =
        (world.desks.handle("around").unwrap(), world.desks.get("a").await.unwrap());
    let mut change = world.desks.change();
    change.put("g", &labelled("paper", "was group"));
    change.put("a", &group(&["b"]));
    change.put("b", &paper());
    change.put("around", &group(&["g"]));
    assert_eq!(change.replaced(), ["a", "g"], "whose handles end");
    let done = change.prepare().await.unwrap().commit();
    assert_eq!(around.ask("?").await.unwrap(), "was group: ?");
    assert_eq!(answer(&world, "a").await, "b: ?");
    assert_eq!(before.ask("?").await.unwrap_err().kind(), ErrorKind::Unavailable);
    done.closed().await.unwrap();
    assert_eq!(world.desks.names(), ["a", "around", "b", "g"]);
}

#[tokio::test(start_paused = true)]
async fn groups_may_turn_around_in_one_change() {
    let world = World::with(&["leaf"]);
    world.desks.group("inner", &["leaf"], Priority).unwrap();
    world.desks.group("outer", &["inner"], Priority).unwrap();
    let mut change = world.desks.change();
    change.put("inner", &group(&["outer"]));
    change.put("outer", &group(&["leaf"]));
    change.prepare().await.unwrap().commit().closed().await.unwrap();
    assert_eq!(answer(&world, "inner").await, "leaf: ?");
}

#[tokio::test(start_paused = true)]
async fn a_swap_in_a_change_is_told_like_any_other() {
    let world = World::with(&["a", "b"]);
    world.desks.get("a").await.unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = heard.clone();
    let _subscription = world.environment.events().subscribe(move |event| {
        if let Event::Swapped { source, generation, .. } = event {
            listener.lock().unwrap().push(format!("{source} {generation}"));
        }
    });
    let mut change = world.desks.change();
    change.put("a", &labelled("glass", "other"));
    change.put("b", &labelled("glass", "other"));
    change.prepare().await.unwrap().commit().closed().await.unwrap();
    assert_eq!(*heard.lock().unwrap(), ["desk.a 2"]);
}

#[tokio::test(start_paused = true)]
async fn preparing_can_be_dropped_anywhere() {
    let stage = async || {
        let world = World::with(&["a", "b"]);
        for name in ["a", "b"] {
            world.desks.get(name).await.unwrap();
        }
        let mut change = world.desks.change();
        for name in ["a", "b", "new"] {
            change.put(name, &labelled("paper", "other"));
            change.build(name);
        }
        let future = change.prepare();
        (world, future)
    };
    let polls = at_every_poll(stage, async |world, output| {
        drop(output);
        world.swept().await;
        world.script.assert_tidy(2);
        assert_eq!(world.desks.names(), ["a", "b"]);
        for name in ["a", "b"] {
            assert_eq!(answer(&world, name).await, format!("{name}: ?"));
            world.desks.swap(name, &paper()).await.unwrap().closed().await.unwrap();
        }
        world.desks.configure("new", &paper()).unwrap();
    })
    .await;
    assert!(polls > 3, "{polls}");
}

#[tokio::test(start_paused = true)]
async fn closing_ends_a_preparation_and_a_commit_that_comes_too_late_says_so() {
    let world = World::with(&["a"]);
    world.desks.get("a").await.unwrap();
    world.script.once(Step::Build, Act::Hang);
    let mut change = world.desks.change();
    change.put("a", &labelled("paper", "other"));
    let preparing = tokio::spawn(change.prepare());
    world.script.reached(Step::Build, 2).await;
    world.desks.close(LIMIT).await.into_result().unwrap();
    assert_eq!(preparing.await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(world.desks.change().prepare().await.is_err());
    world.swept().await;
    world.script.assert_tidy(0);

    let world = World::with(&["a"]);
    world.desks.get("a").await.unwrap();
    let mut change = world.desks.change();
    change.put("a", &labelled("paper", "other"));
    change.put("new", &paper());
    change.build("new");
    let prepared = change.prepare().await.unwrap();
    drop(world.desks.close(LIMIT).await);
    let done = prepared.commit();
    assert!(done.swapped.is_empty());
    assert_eq!(done.closed().await.unwrap_err().kind(), ErrorKind::Unavailable);
    world.swept().await;
    world.script.assert_tidy(0);
}
