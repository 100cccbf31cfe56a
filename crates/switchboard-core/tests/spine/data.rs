//! Other data for an instance, which nobody gets by accident.

use switchboard_core::{Descriptor, ErrorKind, Problems, Settings};

use crate::desk::{Act, Gate, Step, World, labelled, paper, settle};

/// A world with a driver whose label says which data it holds, and an instance `a` of it.
fn shelves() -> World {
    let world = World::new();
    let shelf = Descriptor::new("shelf").data_in(["label"]);
    world.script.register(world.desks.registry(), shelf).unwrap();
    world.desks.configure("a", &labelled("shelf", "old")).unwrap();
    world
}

#[tokio::test(start_paused = true)]
async fn a_swap_to_other_data_is_refused_with_the_words_that_would_allow_it() {
    let world = shelves();
    let desk = world.desks.get("a").await.unwrap();
    for other in [labelled("shelf", "new"), Settings::new().with("driver", "shelf"), paper()] {
        let refused = world.desks.swap("a", &other).await.map(drop).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Config, "{refused}");
        assert_eq!(refused.context_value("data"), Some("shelf label=old"));
        let hint = refused.hints().next().unwrap();
        assert!(hint.contains("replaces = \"shelf label=old\""), "{hint}");
    }
    assert_eq!(world.script.count(Step::Build), 1, "nothing is built for what is refused");
    assert_eq!(desk.ask("?").await.unwrap(), "old: ?");
}

#[tokio::test(start_paused = true)]
async fn who_names_the_data_that_are_given_up_gets_others_once() {
    let world = shelves();
    let desk = world.desks.get("a").await.unwrap();
    let replacing = |label| labelled("shelf", label).with("replaces", "shelf label=old");
    drop(world.desks.swap("a", &replacing("new")).await.unwrap());
    assert_eq!(desk.ask("?").await.unwrap(), "new: ?");
    let refused = world.desks.swap("a", &replacing("third")).await.map(drop).unwrap_err();
    assert_eq!(refused.context_value("data"), Some("shelf label=new"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn what_says_nothing_of_data_changes_them_in_no_way() {
    let world = shelves();
    let old = || labelled("shelf", "old");
    drop(world.desks.swap("a", &old().with("build_limit", "7s")).await.unwrap());
    drop(world.desks.swap("a", &labelled("shelf", "old/")).await.unwrap());
    world.desks.configure("b", &labelled("paper", "one")).unwrap();
    drop(world.desks.swap("b", &labelled("paper", "two")).await.unwrap());
    drop(world.desks.swap("b", &old()).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_change_of_many_is_refused_where_one_would_have_other_data() {
    let world = shelves();
    let mut change = world.desks.change();
    change.put("a", &labelled("shelf", "new"));
    change.put("b", &paper());
    let refused = change.check().unwrap_err();
    let problems = refused.find::<Problems>().unwrap();
    let told: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(told, ["desk.a"], "{refused}");
    assert!(change.prepare().await.is_err());

    let mut change = world.desks.change();
    change.put("a", &labelled("shelf", "new").with("replaces", "shelf label=old"));
    assert_eq!(change.prepare().await.unwrap().commit().swapped, ["a"]);
    let desk = world.desks.get("a").await.unwrap();
    assert_eq!(desk.ask("?").await.unwrap(), "new: ?");
}

#[tokio::test(start_paused = true)]
async fn data_that_a_swap_brought_while_a_change_waited_are_given_up_by_nobody() {
    let world = shelves();
    world.desks.get("a").await.unwrap();
    let gate = Gate::closed();
    world.script.once(Step::Build, Act::Wait(gate.clone()));
    let replacing = |label| labelled("shelf", label).with("replaces", "shelf label=old");
    let swap = {
        let desks = world.desks.clone();
        let settings = replacing("new");
        tokio::spawn(async move { desks.swap("a", &settings).await.map(drop) })
    };
    world.script.reached(Step::Build, 2).await;
    let mut change = world.desks.change();
    change.put("a", &replacing("third"));
    change.check().unwrap();
    let preparing = tokio::spawn(async move { change.prepare().await.map(drop) });
    settle().await;
    gate.open();
    swap.await.unwrap().unwrap();
    let refused = preparing.await.unwrap().unwrap_err();
    assert_eq!(refused.context_value("data"), Some("shelf label=new"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn data_that_are_only_written_in_another_way_are_the_same() {
    let world = World::new();
    let shelf = Descriptor::new("shelf")
        .data_meant(["label"], |settings| settings.child("label")?.as_str().map(str::to_lowercase));
    world.script.register(world.desks.registry(), shelf).unwrap();
    world.desks.configure("a", &labelled("shelf", "old")).unwrap();
    drop(world.desks.swap("a", &labelled("shelf", "OLD")).await.unwrap());
    let refused = world.desks.swap("a", &labelled("shelf", "new")).await.map(drop).unwrap_err();
    assert_eq!(refused.context_value("data"), Some("shelf label=OLD"), "{refused}");
}
