//! Changes that make no sense as a whole.

use switchboard_core::{Change, Priority, Problems, Settings};

use crate::desk::{Desks, Step, World, needing, paper};

fn group(members: &[&str]) -> Settings {
    let members: Vec<_> = members.iter().map(|name| (*name).to_owned()).collect();
    Settings::new().with("members", members)
}

/// `path: message` of each mistake.
fn mistakes(change: &Change<Desks>) -> Vec<String> {
    let error = change.check().unwrap_err();
    let problems = error.find::<Problems>().expect("problems");
    let mut told: Vec<_> =
        problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect();
    told.sort();
    told
}

#[tokio::test(start_paused = true)]
async fn the_mistakes_of_all_instances_are_told_together_and_once() {
    let world = World::with(&["a"]);
    let mut change = world.desks.change();
    change.put("b", &paper().with("lable", "x"));
    change.put("c", &Settings::new().with("driver", "papr"));
    change.put("d", &paper().with("label", 7).with("build_limit", "soon"));
    change.put("no name!", &paper());
    change.remove("nobody");
    let told = mistakes(&change);
    assert_eq!(told.len(), 6, "{told:#?}");
    let paths: Vec<_> = told.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(
        paths,
        [
            "desk.b.lable",
            "desk.c.driver",
            "desk.d.build_limit",
            "desk.d.label",
            "desk.no name!",
            "desk.nobody"
        ]
    );
    assert!(change.prepare().await.is_err());
    assert_eq!(world.script.count(Step::Build), 0);
    assert_eq!(world.desks.names(), ["a"]);
}

#[test]
fn members_may_be_added_by_the_same_change_and_not_removed_by_it() {
    let world = World::with(&["a"]);
    let mut change = world.desks.change();
    change.put("g", &group(&["new"]));
    change.put("new", &paper());
    change.check().unwrap();
    change.put("g", &group(&["new", "a", "nobody"]));
    change.remove("a");
    let told = mistakes(&change);
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[0].starts_with("desk.g.members[1]") && told[1].starts_with("desk.g.members[2]"));
}

#[test]
fn a_group_that_stays_does_not_lose_a_member() {
    let world = World::with(&["a", "b"]);
    world.desks.group("g", &["a", "b"], Priority).unwrap();
    let mut change = world.desks.change();
    change.remove("a");
    assert!(mistakes(&change)[0].contains("the group \"g\" has it as a member"));
    change.put("g", &group(&["b"]));
    change.check().unwrap();
    change.remove("g");
    change.check().unwrap();
}

#[test]
fn a_circle_of_groups_prints_its_path() {
    let world = World::with(&["leaf"]);
    world.desks.group("outer", &["leaf"], Priority).unwrap();
    let mut change = world.desks.change();
    change.put("outer", &group(&["inner"]));
    change.put("inner", &group(&["leaf", "outer"]));
    let told = mistakes(&change);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].ends_with("inner → outer → inner"), "{told:#?}");
    change.put("inner", &group(&["inner"]));
    assert_eq!(mistakes(&change).len(), 1);
}

#[test]
fn the_default_and_what_is_built_must_be_there_afterwards() {
    let world = World::with(&["main"]);
    let mut change = world.desks.change();
    change.set_default(Some("mian"));
    change.build("nobody");
    assert_eq!(mistakes(&change).len(), 2);
    let mut change = world.desks.change();
    change.set_default(Some("main"));
    change.check().unwrap();
    change.remove("main");
    assert_eq!(mistakes(&change), ["desk.default: no instance called \"main\" will be there"]);
}

#[test]
fn a_group_of_nobody_and_one_with_more_than_a_deadline_are_mistakes() {
    let world = World::with(&["a"]);
    let mut change = world.desks.change();
    change.put("g", &group(&[]));
    let retry = Settings::new().with("retry", Settings::new());
    change.put("h", &group(&["a"]).with("policy", retry));
    let told = mistakes(&change);
    assert_eq!(told.len(), 2, "{told:#?}");
}

#[test]
fn a_name_that_is_none_is_told_once_and_not_suggested() {
    let world = World::new();
    let mut change = world.desks.change();
    change.put("no name!", &paper());
    change.build("no name!");
    change.set_default(Some("no name!"));
    let error = change.check().unwrap_err();
    let problems: Vec<_> = error.find::<Problems>().unwrap().iter().collect();
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(!problems[0].message.contains(".rs"), "our own place helps nobody: {problems:#?}");
    assert_eq!(problems[0].hint, None);
    change.remove("nobody");
    change.build("nobody");
    change.set_default(Some("no-name"));
    assert_eq!(mistakes(&change).len(), 3, "{:#?}", mistakes(&change));
}

#[tokio::test(start_paused = true)]
async fn what_others_were_built_with_goes_only_with_them() {
    let world = World::with(&["dep"]);
    world.desks.configure("user", &needing(&["desk.dep"])).unwrap();
    let mut change = world.desks.change();
    change.remove("dep");
    change.check().expect("nobody was built with it yet");
    world.desks.get("user").await.unwrap();
    assert!(mistakes(&change)[0].contains("\"user\" was built with its help"));
    change.put("user", &paper());
    change.check().unwrap();
    change.retune("user", &paper());
    assert_eq!(mistakes(&change).len(), 1);
    change.remove("user");
    change.check().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_built_with_the_help_of_another_and_is_gone_needs_it_no_more() {
    let world = World::with(&["dep"]);
    world.desks.configure("user", &needing(&["desk.dep"])).unwrap();
    let mut change = world.desks.change();
    change.put("user", &paper());
    let prepared = change.prepare().await.unwrap();
    world.desks.get("user").await.unwrap();
    prepared.commit().closed().await.unwrap();
    let mut change = world.desks.change();
    change.remove("dep");
    change.check().unwrap();
}
