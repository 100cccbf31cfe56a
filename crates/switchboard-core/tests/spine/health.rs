//! How all instances are, asked in parallel.

use std::time::Duration;

use switchboard_core::{Clock, Health, Status};

use crate::desk::{Act, Step, World, outage};

#[tokio::test(start_paused = true)]
async fn all_are_asked_at_once_and_one_that_hangs_or_panics_delays_nobody() {
    let world = World::with(&["a", "b", "c", "d", "idle"]);
    for name in ["a", "b", "c", "d"] {
        world.desks.get(name).await.unwrap();
    }
    world.script.once(Step::Health, Act::Hang);
    world.script.once(Step::Health, Act::Panic);
    world.script.once(Step::Health, Act::Fail(outage()));
    let clock = Clock::system();
    let begin = clock.now();
    let reports = world.desks.health(Duration::from_secs(2)).await;
    assert_eq!(clock.now() - begin, Duration::from_secs(2), "all together, not one by one");
    let statuses: Vec<_> =
        reports.iter().map(|report| (report.instance.as_str(), report.health.status)).collect();
    let expected = [
        ("a", Status::Down),
        ("b", Status::Down),
        ("c", Status::Down),
        ("d", Status::Up),
        ("idle", Status::NotChecked),
    ];
    assert_eq!(statuses, expected);
    assert_eq!(reports[0].health.reason.as_deref(), Some("no answer in time"));
    assert!(reports[1].health.reason.as_ref().unwrap().contains("panics on purpose"));
    assert!(reports[2].health.reason.as_ref().unwrap().contains("nobody at the desk"));
    assert_eq!(reports[0].took, Duration::from_secs(2));
    assert_eq!(reports[3].took, Duration::ZERO);
    assert_eq!(world.script.count(Step::Build), 4, "asking builds nothing");
}

#[tokio::test(start_paused = true)]
async fn the_verdict_of_the_driver_is_passed_on() {
    let world = World::with(&["a"]);
    world.desks.get("a").await.unwrap();
    world.script.feel(Health::degraded("slow"));
    let reports = world.desks.health(Duration::from_secs(1)).await;
    assert_eq!(reports[0].health, Health::degraded("slow"));
}

#[tokio::test(start_paused = true)]
async fn a_check_that_is_given_up_leaves_nothing_in_flight() {
    let world = World::with(&["a"]);
    let desk = world.desks.get("a").await.unwrap();
    world.script.once(Step::Health, Act::Hang);
    let given_up =
        tokio::time::timeout(Duration::from_millis(1), world.desks.health(Duration::from_mins(1)));
    given_up.await.unwrap_err();
    assert_eq!(desk.line().in_flight(), 0);
}
