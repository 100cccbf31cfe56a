//! Groups in groups: how deep, in how many ways, and that neither costs more than there is.

use std::time::Duration;

use proptest::prelude::*;
use switchboard_core::{
    Candidates, Change, ErrorKind, GroupSettings, Health, HealthReport, Priority, Problems, Result,
    Settings, Status,
};

use crate::desk::{Act, Desks, Script, Step, World, labelled, outage, paper};

const LIMIT: Duration = Duration::from_secs(1);

fn group(members: &[impl AsRef<str>]) -> Settings {
    let members: Vec<_> = members.iter().map(|name| name.as_ref().to_owned()).collect();
    Settings::new().with("members", members)
}

/// Groups that each contain the one declared before, the innermost one `leaf`.
fn chain(world: &World, deep: usize) -> Result<()> {
    for level in 1..=deep {
        let inner = if level == 1 { "leaf".to_owned() } else { format!("g{}", level - 1) };
        world.desks.configure(&format!("g{level}"), &group(&[inner]))?;
    }
    Ok(())
}

/// Layers of two groups that each have both of the layer below as members, on the instances `x0` and
/// `y0`.
fn layered(world: &World, layers: usize) -> Change<Desks> {
    let mut change = world.desks.change();
    for layer in 1..=layers {
        let below = ["x", "y"].map(|side| format!("{side}{}", layer - 1));
        for side in ["x", "y"] {
            change.put(&format!("{side}{layer}"), &group(&below));
        }
    }
    change
}

/// Layers of two have as many ways as are allowed.
const LAYERS_MAX: usize = GroupSettings::WAYS_MAX.ilog2() as usize;

/// `path: message` of each mistake.
fn mistakes(change: &Change<Desks>) -> Vec<String> {
    let error = change.check().unwrap_err();
    let problems = error.find::<Problems>().expect("problems");
    problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
}

fn status_of(reports: &[HealthReport], instance: &str) -> Status {
    reports.iter().find(|report| report.instance == instance).unwrap().health.status
}

#[tokio::test(start_paused = true)]
async fn layers_of_groups_cost_as_much_as_there_are_groups_and_not_as_there_are_ways() {
    let world = World::with(&["x0", "y0"]);
    layered(&world, LAYERS_MAX).prepare().await.unwrap().commit().closed().await.unwrap();
    let again = layered(&world, LAYERS_MAX).prepare().await.unwrap().commit();
    assert_eq!(again.swapped.len(), 2 * LAYERS_MAX);
    again.closed().await.unwrap();
    world.desks.get("x0").await.unwrap();
    let top = format!("x{LAYERS_MAX}");
    for _ in 0..100 {
        assert_eq!(status_of(&world.desks.health(LIMIT).await, &top), Status::Up);
        assert_eq!(status_of(&world.desks.last_health(), &top), Status::Up);
        assert_eq!(world.desks.instances().len(), 2 * LAYERS_MAX + 2);
        assert_eq!(world.desks.available().len(), 2 * LAYERS_MAX + 1);
        assert!(world.desks.regroup("x1", &[&top], Priority).is_err());
        assert!(!world.desks.line(&top).unwrap().chooses_by_key());
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_serves_ends_after_as_many_ways_as_are_allowed() {
    let world = World::with(&["x0", "y0"]);
    layered(&world, LAYERS_MAX).prepare().await.unwrap().commit().closed().await.unwrap();
    world.script.always(Step::Ask, Act::Fail(outage()));
    let top = world.desks.handle(&format!("x{LAYERS_MAX}")).unwrap();
    top.ask("?").await.unwrap_err();
    assert_eq!(world.script.count(Step::Ask), GroupSettings::WAYS_MAX);
}

#[test]
fn a_group_with_more_ways_through_it_is_refused_at_once_and_where_it_begins() {
    for layers in [LAYERS_MAX + 1, 40] {
        let world = World::with(&["x0", "y0"]);
        let told = mistakes(&layered(&world, layers));
        let first = LAYERS_MAX + 1;
        assert!(told[0].starts_with(&format!("desk.x{first}.members: ")), "{told:?}");
        assert!(told[0].contains("4096 ways") && told.len() == 2, "{told:?}");
    }
}

#[test]
fn a_group_with_more_ways_through_it_is_refused_by_code_as_well() {
    let world = World::with(&["x0", "y0"]);
    let mut declared = 0;
    let error = (1..=40).find_map(|layer| {
        let (x, y) = (format!("x{}", layer - 1), format!("y{}", layer - 1));
        declared = layer;
        let first = world.desks.group(&format!("x{layer}"), &[&x, &y], Priority);
        first.and(world.desks.group(&format!("y{layer}"), &[&x, &y], Priority)).err()
    });
    assert_eq!((error.unwrap().kind(), declared), (ErrorKind::Config, LAYERS_MAX + 1));
}

#[test]
fn groups_beyond_the_depth_are_refused_by_a_change_where_they_begin() {
    for deep in [GroupSettings::DEEP_MAX + 1, 3000] {
        let world = World::with(&["leaf"]);
        let mut change = world.desks.change();
        for level in 1..=deep {
            let inner = if level == 1 { "leaf".to_owned() } else { format!("g{}", level - 1) };
            change.put(&format!("g{level}"), &group(&[inner]));
        }
        let told = mistakes(&change);
        let expected = "desk.g17.members: groups are at most 16 deep in each other, ";
        assert!(told.len() == 1 && told[0].starts_with(expected), "{told:?}");
    }
}

#[test]
fn a_change_that_makes_a_group_around_it_too_deep_is_told_at_what_it_puts() {
    let world = World::with(&["leaf"]);
    chain(&world, GroupSettings::DEEP_MAX).unwrap();
    let mut change = world.desks.change();
    change.put("new", &group(&["leaf"]));
    change.put("g1", &group(&["new"]));
    let told = mistakes(&change);
    assert!(told.len() == 1 && told[0].starts_with("desk.g1.members: "), "{told:?}");
    assert!(told[0].contains("\"g16\""), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_change_may_make_one_group_deeper_and_the_one_around_it_less_deep() {
    let world = World::with(&["leaf"]);
    chain(&world, GroupSettings::DEEP_MAX).unwrap();
    let mut change = world.desks.change();
    change.put("new", &group(&["leaf"]));
    change.put("g1", &group(&["new"]));
    change.put("g16", &group(&["leaf"]));
    change.prepare().await.unwrap().commit().closed().await.unwrap();
    assert_eq!(world.desks.instances().iter().filter(|one| one.members == ["new"]).count(), 1);
    assert_eq!(world.desks.handle("g15").unwrap().ask("?").await.unwrap(), "leaf: ?");
}

#[tokio::test(start_paused = true)]
async fn a_group_beyond_the_depth_is_refused_however_it_is_made() {
    let world = World::with(&["leaf"]);
    chain(&world, GroupSettings::DEEP_MAX).unwrap();
    world.desks.group("other", &["leaf"], Priority).unwrap();
    let refused = [
        world.desks.group("g17", &["g16"], Priority),
        world.desks.configure("g17", &group(&["g16"])),
        world.desks.regroup("other", &["leaf", "g16"], Priority),
        world.desks.regroup("g1", &["leaf", "other"], Priority),
        world.desks.swap("g1", &group(&["other"])).await.map(drop),
    ];
    for refused in refused {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.message().contains("16 deep"), "{error}");
    }
    assert!(!world.desks.has("g17"));
    world.desks.regroup("g2", &["leaf"], Priority).unwrap();
    world.desks.regroup("g1", &["other"], Priority).unwrap();
    assert_eq!(world.desks.handle("g16").unwrap().ask("?").await.unwrap(), "leaf: ?");
}

#[test]
fn a_call_through_the_deepest_groups_has_room_on_a_small_stack() {
    let call = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let world = World::with(&["leaf"]);
            chain(&world, GroupSettings::DEEP_MAX).unwrap();
            let top = world.desks.handle("g16").unwrap();
            assert_eq!(top.ask("?").await.unwrap(), "leaf: ?");
            drop(top.session().await.unwrap());
            world.script.always(Step::Ask, Act::Fail(outage()));
            top.ask("?").await.unwrap_err();
            world.desks.health(LIMIT).await;
            world.desks.close(LIMIT).await.into_result().unwrap();
        });
    };
    // A worker has 2 MiB: what the application has on it should find room as well.
    let thread = std::thread::Builder::new().stack_size(1024 * 1024);
    thread.spawn(call).unwrap().join().unwrap();
}

#[test]
fn too_many_members_are_counted_before_each_is_looked_at() {
    let world = World::with(&["leaf"]);
    let members: Vec<_> = (0..4000).map(|n| format!("leef{n}")).collect();
    let mut change = world.desks.change();
    change.put("g", &group(&members));
    let expected = "desk.g.members: a group has between 1 and 64 members";
    assert_eq!(mistakes(&change), [expected]);
    let error = world.desks.configure("g", &group(&members)).unwrap_err();
    let problems = error.find::<Problems>().unwrap();
    assert_eq!(
        problems.iter().map(|problem| problem.path.as_str()).collect::<Vec<_>>(),
        ["desk.g.members"]
    );
}

#[test]
fn only_the_first_of_many_wrong_members_are_told_what_was_meant() {
    let world = World::new();
    let mut change = world.desks.change();
    for instance in 0..500 {
        change.put(&format!("instance-number-{instance}"), &paper());
    }
    for number in 0..40 {
        let wrong = |member: usize| format!("instance-nmuber-{}", number * 10 + member);
        let members: Vec<_> = (0..Candidates::MEMBERS_MAX).map(wrong).collect();
        change.put(&format!("g{number}"), &group(&members));
    }
    let error = change.check().unwrap_err();
    let problems = error.find::<Problems>().unwrap();
    let hints = problems.iter().filter_map(|problem| problem.hint.as_deref());
    let meant = hints.filter(|hint| hint.starts_with("did you mean")).count();
    assert_eq!((problems.iter().count(), meant), (40 * Candidates::MEMBERS_MAX, 32));
}

const LEAVES: [&str; 4] = ["a", "b", "c", "d"];

/// Instances that are each as they are told to be.
async fn feeling(statuses: &[Status]) -> World {
    let world = World::new();
    for (name, status) in LEAVES.into_iter().zip(statuses) {
        let script = Script::new();
        script.register(world.desks.registry(), name).unwrap();
        world.desks.configure(name, &labelled(name, name)).unwrap();
        script.feel(match status {
            Status::Down => Health::down("no ink"),
            Status::Degraded => Health::degraded("slow"),
            _ => Health::up(),
        });
        if *status != Status::NotChecked {
            world.desks.get(name).await.unwrap();
        }
    }
    world
}

/// How a group is, by how its members are.
fn model(members: &[Status]) -> Status {
    let all = |status| members.iter().all(|member| *member == status);
    let any = |status| members.contains(&status);
    if all(Status::Down) {
        Status::Down
    } else if any(Status::Down) || any(Status::Degraded) {
        Status::Degraded
    } else if all(Status::NotChecked) {
        Status::NotChecked
    } else {
        Status::Up
    }
}

#[tokio::test(start_paused = true)]
async fn the_health_of_a_diamond_is_that_of_its_ends() {
    for (ends, expected) in [
        ([Status::Up, Status::Up], [Status::Up, Status::Up, Status::Up]),
        ([Status::Down, Status::Up], [Status::Down, Status::Degraded, Status::Degraded]),
        ([Status::Down, Status::Down], [Status::Down, Status::Down, Status::Down]),
    ] {
        let world = feeling(&ends).await;
        // Sorted by name an outer group comes before the inner ones.
        world.desks.group("left", &["a"], Priority).unwrap();
        world.desks.group("right", &["a", "b"], Priority).unwrap();
        world.desks.group("around", &["left", "right"], Priority).unwrap();
        let reports = world.desks.health(LIMIT).await;
        let found = ["left", "right", "around"].map(|name| status_of(&reports, name));
        assert_eq!(found, expected, "{ends:?}");
    }
}

fn status() -> impl Strategy<Value = Status> {
    prop::sample::select(vec![Status::Up, Status::Degraded, Status::Down, Status::NotChecked])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_group_is_as_its_members_are_however_groups_lie_in_each_other(
        ends in prop::collection::vec(status(), LEAVES.len()),
        groups in prop::collection::vec(prop::collection::btree_set(0_usize..12, 1..4), 1..8),
        shuffled in any::<u64>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time().start_paused(true).build().unwrap();
        let mut statuses = ends.clone();
        let mut names: Vec<_> = LEAVES.iter().map(|name| (*name).to_owned()).collect();
        let mut wanted = Vec::new();
        for (position, members) in groups.iter().enumerate() {
            let members: std::collections::BTreeSet<_> =
                members.iter().map(|member| member % names.len()).collect();
            let of: Vec<_> = members.iter().map(|member| statuses[*member]).collect();
            let inside: Vec<_> = members.iter().map(|member| names[*member].clone()).collect();
            statuses.push(model(&of));
            // The order of names says nothing of who is in whom.
            names.push(format!("g{:04x}-{position}", (shuffled >> (7 * position)) & 0xFFFF));
            wanted.push((names[names.len() - 1].clone(), inside));
        }
        let reports = runtime.block_on(async {
            let world = feeling(&ends).await;
            let mut change = world.desks.change();
            for (name, inside) in wanted.iter().rev() {
                change.put(name, &group(inside));
            }
            change.prepare().await.unwrap().commit().closed().await.unwrap();
            world.desks.health(LIMIT).await
        });
        for (name, status) in names.iter().zip(&statuses) {
            prop_assert_eq!(status_of(&reports, name), *status, "{} {:?}", name, wanted);
        }
        prop_assert!(reports.is_sorted_by(|one, other| one.instance < other.instance));
    }
}
