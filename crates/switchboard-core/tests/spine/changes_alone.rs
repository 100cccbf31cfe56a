//! A change that is prepared, and what others do meanwhile.

use std::time::Duration;

use switchboard_core::{ErrorKind, Priority, Settings};

use crate::desk::{Act, Gate, Step, World, labelled, needing, paper};

const LIMIT: Duration = Duration::from_secs(10);

fn group(members: &[&str]) -> Settings {
    let members: Vec<_> = members.iter().map(|name| (*name).to_owned()).collect();
    Settings::new().with("members", members)
}

fn members_of(world: &World, name: &str) -> Vec<String> {
    let instances = world.desks.instances();
    instances.into_iter().find(|instance| instance.name == name).unwrap().members
}

#[tokio::test(start_paused = true)]
async fn nobody_changes_groups_while_a_change_is_prepared() {
    let world = World::with(&["a", "c"]);
    world.desks.group("b", &["c"], Priority).unwrap();
    let mut change = world.desks.change();
    change.put("a", &group(&["b"]));
    let prepared = change.prepare().await.unwrap();
    let refused = [
        world.desks.regroup("b", &["a"], Priority),
        world.desks.group("d", &["a"], Priority),
        world.desks.group_of_all("e", Priority),
        world.desks.configure("f", &group(&["a"])),
    ];
    for refused in refused {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        assert_eq!(error.retry(), switchboard_core::Retry::Later, "{error}");
    }
    world.desks.configure("g", &paper()).unwrap();
    assert_eq!(prepared.commit().added, [""; 0]);
    assert_eq!(world.desks.get("a").await.unwrap().ask("?").await.unwrap(), "c: ?");
    world.desks.regroup("b", &["a"], Priority).unwrap_err();
    world.desks.group("d", &["a"], Priority).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_swapped_waits_for_the_change_and_may_then_close_no_circle() {
    let world = World::with(&["a", "c"]);
    world.desks.group("inner", &["c"], Priority).unwrap();
    world.desks.group("outer", &["c"], Priority).unwrap();
    world.desks.get("a").await.unwrap();
    let mut change = world.desks.change();
    change.put("a", &labelled("paper", "other"));
    change.put("outer", &group(&["inner"]));
    let prepared = change.prepare().await.unwrap();
    let desks = world.desks.clone();
    let swapping = tokio::spawn(async move { desks.swap("inner", &group(&["outer"])).await });
    world.settle().await;
    assert!(!swapping.is_finished());
    let done = prepared.commit();
    assert_eq!(done.swapped, ["a", "outer"]);
    done.closed().await.unwrap();
    assert_eq!(swapping.await.unwrap().unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(members_of(&world, "inner"), ["c"]);
    assert_eq!(members_of(&world, "outer"), ["inner"]);
}

#[tokio::test(start_paused = true)]
async fn a_commit_after_the_end_says_of_nothing_that_it_happened() {
    let world = World::with(&["a", "b"]);
    let mut change = world.desks.change();
    change.put("new", &paper());
    change.build("new");
    change.put("group", &group(&["new"]));
    change.remove("b");
    change.retune("a", &paper());
    let prepared = change.prepare().await.unwrap();
    drop(world.desks.close(LIMIT).await);
    let done = prepared.commit();
    let lists = [&done.added, &done.swapped, &done.retuned, &done.removed];
    assert!(lists.iter().all(|list| list.is_empty()), "{done:?}");
    assert!(done.generations.is_empty(), "{done:?}");
    let kinds: Vec<_> = done.errors().iter().map(switchboard_core::Error::kind).collect();
    assert_eq!(kinds, [ErrorKind::Unavailable]);
    world.swept().await;
    world.script.assert_tidy(0);
}

#[tokio::test(start_paused = true)]
async fn who_initialises_what_is_being_removed_begins_anew() {
    let world = World::with(&["a"]);
    let before = world.desks.get("a").await.unwrap();
    let mut change = world.desks.change();
    change.remove("a");
    let prepared = change.prepare().await.unwrap();
    let desks = world.desks.clone();
    let settings = labelled("paper", "anew");
    let initialising = tokio::spawn(async move { desks.initialise("a", &settings).await });
    world.settle().await;
    prepared.commit().closed().await.unwrap();
    assert_eq!(initialising.await.unwrap().unwrap().ask("?").await.unwrap(), "anew: ?");
    assert_eq!(before.ask("?").await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(world.desks.names(), ["a"]);
}

/// Two instances, of which `user` was built with the help of `dep`.
async fn user_and_dep() -> World {
    let world = World::with(&["dep"]);
    world.desks.configure("user", &needing(&["desk.dep"])).unwrap();
    world.desks.get("user").await.unwrap();
    world
}

#[tokio::test(start_paused = true)]
async fn what_goes_is_closed_before_what_it_was_built_with_which_serves_until_then() {
    for removed in [["dep", "user"], ["user", "dep"]] {
        let world = user_and_dep().await;
        let dep = world.desks.handle("dep").unwrap();
        let gate = Gate::closed();
        world.script.once(Step::Close, Act::Wait(gate.clone()));
        let mut change = world.desks.change();
        for name in removed {
            change.remove(name);
        }
        let done = change.prepare().await.unwrap().commit();
        assert_eq!(world.desks.names(), [""; 0]);
        world.settle().await;
        assert_eq!(world.script.closed(), ["user"]);
        assert_eq!(dep.ask("?").await.unwrap(), "dep: ?");
        gate.open();
        done.closed().await.unwrap();
        assert_eq!(world.script.closed(), ["user", "dep"]);
        assert_eq!(dep.ask("?").await.unwrap_err().kind(), ErrorKind::Unavailable);
    }
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_is_swapped_out_keeps_what_it_was_built_with_until_it_has_closed() {
    let world = user_and_dep().await;
    let dep = world.desks.handle("dep").unwrap();
    let session = world.desks.get("user").await.unwrap().session().await.unwrap();
    let mut change = world.desks.change();
    change.remove("dep");
    change.put("user", &paper());
    let done = change.prepare().await.unwrap().commit();
    world.settle().await;
    assert_eq!(dep.ask("?").await.unwrap(), "dep: ?");
    drop(session);
    done.closed().await.unwrap();
    assert_eq!(world.script.closed(), ["user", "dep"]);
    world.script.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn closing_does_not_wait_longer_for_what_goes_later() {
    let world = user_and_dep().await;
    let gate = Gate::closed();
    world.script.once(Step::Close, Act::Wait(gate.clone()));
    let mut change = world.desks.change();
    change.remove("dep");
    change.remove("user");
    drop(change.prepare().await.unwrap().commit());
    let desks = world.desks.clone();
    let closing = tokio::spawn(async move { desks.close(LIMIT).await });
    world.settle().await;
    assert!(!closing.is_finished());
    gate.open();
    closing.await.unwrap().into_result().unwrap();
    assert_eq!(world.script.closed(), ["user", "dep"]);
    world.swept().await;
    world.script.assert_tidy(0);
}
