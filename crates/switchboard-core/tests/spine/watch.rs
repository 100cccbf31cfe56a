//! Instances that are looked at every so often, and what is known of them in between.

use std::time::Duration;

use switchboard_core::{
    Clock, ErrorKind, Health, HealthReport, HealthWatch, Lifecycle, Manager, Priority, Reply,
    Status,
};

use crate::desk::{
    Act, Desk, DeskDriver, Desks, Driver, Gate, Script, Session, Step, Stream, World, labelled,
    outage, paper, settle,
};

const EVERY: Duration = Duration::from_secs(10);
const LIMIT: Duration = Duration::from_secs(2);
/// Longer than the time between two rounds may be.
const ROUND: Duration = Duration::from_secs(12);

/// A world whose instances follow a script each and are built, and a group `g` of them all.
async fn built(names: &[&'static str]) -> (World, Vec<Script>, Desk) {
    let world = World::new();
    let mut scripts = Vec::new();
    for name in names {
        let script = Script::new();
        script.register(world.desks.registry(), *name).unwrap();
        world.desks.initialise(name, &labelled(name, name)).await.unwrap();
        scripts.push(script);
    }
    world.desks.group("g", names, Priority).unwrap();
    let desk = world.desks.handle("g").unwrap();
    (world, scripts, desk)
}

fn watch(world: &World) -> HealthWatch {
    world.desks.watch_health(EVERY, LIMIT).unwrap()
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

fn checks(script: &Script) -> usize {
    script.count(Step::Health)
}

fn report(desks: &Manager<Desks>, name: &str) -> HealthReport {
    desks.last_health().into_iter().find(|report| report.instance == name).unwrap()
}

#[tokio::test(start_paused = true)]
async fn all_are_asked_at_once_and_then_about_every_so_often() {
    let (world, scripts, _) = built(&["a", "b"]).await;
    world.desks.configure("vacant", &paper()).unwrap();
    let _watch = watch(&world);
    let mut gaps = Vec::new();
    for round in 1..=30 {
        let begin = Clock::system().now();
        scripts[0].reached(Step::Health, round).await;
        settle().await;
        assert_eq!(checks(&scripts[1]), round);
        gaps.push(Clock::system().now() - begin);
    }
    assert_eq!(gaps.remove(0), Duration::ZERO, "the first round");
    // Timers count in milliseconds.
    let bounds = EVERY * 9 / 10..=EVERY * 11 / 10 + Duration::from_millis(1);
    assert!(gaps.iter().all(|gap| bounds.contains(gap)), "{gaps:?}");
    assert!(gaps.iter().any(|gap| *gap != gaps[0]), "not in step: {gaps:?}");
    assert_eq!(world.script.count(Step::Build), 0, "nothing is built for a look at it");
}

#[tokio::test(start_paused = true)]
async fn a_group_passes_over_what_is_found_down_until_it_is_found_up() {
    let (world, scripts, desk) = built(&["a", "b"]).await;
    let _watch = watch(&world);
    for (health, serves) in [(Health::down("no ink"), "b: ?"), (Health::up(), "a: ?")] {
        scripts[0].feel(health);
        pass(ROUND).await;
        assert_eq!(desk.ask("?").await.unwrap(), serves);
    }
    for script in &scripts {
        script.feel(Health::down("no ink"));
    }
    pass(ROUND).await;
    assert!(world.desks.available().is_empty());
    assert_eq!(report(&world.desks, "g").health.status, Status::Down);
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_is_down_delays_no_other_and_is_not_asked_twice_at_once() {
    let (world, scripts, desk) = built(&["a", "b"]).await;
    scripts[0].once(Step::Health, Act::Hang);
    let limit = EVERY * 5 / 2;
    let _watch = world.desks.watch_health(EVERY, limit).unwrap();
    pass(Duration::from_secs(24)).await;
    assert_eq!((checks(&scripts[0]), checks(&scripts[1])), (1, 3));
    assert_eq!(report(&world.desks, "a").age, None, "it has not answered yet");
    pass(Duration::from_secs(1)).await;
    settle().await;
    let a = report(&world.desks, "a");
    assert_eq!((a.health.reason.as_deref(), a.took), (Some("no answer in time"), limit));
    assert_eq!(desk.ask("?").await.unwrap(), "b: ?");
    pass(EVERY).await;
    assert_eq!(checks(&scripts[0]), 2, "it is asked again");
    assert_eq!(desk.ask("?").await.unwrap(), "a: ?");
}

#[tokio::test(start_paused = true)]
async fn one_that_panics_is_down_and_the_watch_goes_on() {
    let (world, scripts, _) = built(&["a", "b"]).await;
    scripts[0].once(Step::Health, Act::Panic);
    let _watch = watch(&world);
    settle().await;
    assert_eq!(world.desks.available(), ["b", "g"]);
    assert!(report(&world.desks, "a").health.reason.unwrap().contains("panics on purpose"));
    pass(ROUND).await;
    assert_eq!(world.desks.available(), ["a", "b", "g"]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_when_it_is_dropped_or_stopped_and_leaves_nothing_in_flight() {
    for stopped in [false, true] {
        let (world, scripts, desk) = built(&["a"]).await;
        let member = world.desks.handle("a").unwrap();
        scripts[0].once(Step::Health, Act::Hang);
        let watch = world.desks.watch_health(EVERY, Duration::MAX).unwrap();
        settle().await;
        assert_eq!(world.environment.reaper().figures().running, 1);
        assert_eq!(member.line().in_flight(), 1);
        if stopped {
            watch.stop().await.unwrap();
        } else {
            drop(watch);
            settle().await;
        }
        assert_eq!(world.environment.reaper().figures().running, 0);
        assert_eq!(member.line().in_flight(), 0);
        pass(ROUND * 10).await;
        assert_eq!(checks(&scripts[0]), 1, "nobody asks any more");
        assert_eq!(desk.ask("?").await.unwrap(), "a: ?", "what was not found changes nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn closing_ends_the_watch_first_and_waits_for_nobody_it_asks() {
    let (world, scripts, _) = built(&["a", "b"]).await;
    scripts[0].once(Step::Health, Act::Hang);
    let watch = world.desks.watch_health(EVERY, Duration::from_hours(1)).unwrap();
    let other = watch_too(&world);
    pass(EVERY * 10).await;
    settle().await;
    let (begin, checked) = (Clock::system().now(), checks(&scripts[1]));
    let report = world.desks.close(Duration::from_mins(1)).await;
    assert_eq!(report.closed, ["b", "a"], "{report:?}");
    assert_eq!(Clock::system().now(), begin);
    assert_eq!(world.environment.reaper().figures().running, 0);
    pass(ROUND * 3).await;
    assert_eq!(checks(&scripts[1]), checked);
    let error = world.desks.watch_health(EVERY, LIMIT).map(drop).unwrap_err();
    assert_eq!(error.message(), "the manager is closed");
    drop((watch, other));
}

/// A watch whose guard is kept elsewhere.
fn watch_too(world: &World) -> tokio::task::JoinHandle<()> {
    let watch = watch(world);
    tokio::spawn(async move {
        let _watch = watch;
        std::future::pending::<()>().await;
    })
}

#[tokio::test(start_paused = true)]
async fn a_watch_keeps_no_manager_alive() {
    let (World { environment, desks, .. }, scripts, desk) = built(&["a"]).await;
    scripts[0].once(Step::Health, Act::Hang);
    let watch = desks.watch_health(EVERY, Duration::from_hours(1)).unwrap();
    scripts[0].reached(Step::Health, 1).await;
    let begin = Clock::system().now();
    drop((desks, desk));
    settle().await;
    assert_eq!(environment.reaper().figures().running, 0);
    environment.reaper().idle(begin + LIMIT).await.unwrap();
    scripts[0].assert_tidy(0);
    assert_eq!(Clock::system().now(), begin, "nobody waited for whom it asked");
    watch.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_watch_follows_instances_that_come_later_and_drivers_that_are_exchanged() {
    let world = World::new();
    let _watch = watch(&world);
    settle().await;
    world.desks.initialise("a", &paper()).await.unwrap();
    pass(ROUND).await;
    assert!(report(&world.desks, "a").age.is_some());
    world.desks.swap("a", &labelled("glass", "new")).await.unwrap().closed().await.unwrap();
    assert_eq!(report(&world.desks, "a").age, None, "nobody has looked at the new one");
    pass(ROUND).await;
    assert_eq!(world.script.journal().last().unwrap(), "new Health");
    assert!(report(&world.desks, "a").age.is_some());
}

#[tokio::test(start_paused = true)]
async fn what_was_found_of_a_driver_that_has_gone_does_not_hold_for_the_next() {
    let (world, scripts, desk) = built(&["a", "b"]).await;
    let gate = Gate::closed();
    scripts[0].once(Step::Health, Act::Wait(gate.clone()));
    let _watch = world.desks.watch_health(EVERY, EVERY / 2).unwrap();
    scripts[0].reached(Step::Health, 1).await;
    drop(world.desks.swap("a", &labelled("a", "new")).await.unwrap());
    scripts[0].feel(Health::down("no ink"));
    gate.open();
    settle().await;
    assert_eq!(report(&world.desks, "a").age, None);
    assert_eq!(world.desks.available(), ["a", "b", "g"]);
    assert_eq!(desk.ask("?").await.unwrap(), "new: ?");
    pass(ROUND).await;
    assert_eq!(desk.ask("?").await.unwrap(), "b: ?", "now it was the new one that said so");
}

#[tokio::test(start_paused = true)]
async fn what_was_last_found_is_told_with_its_age_and_nobody_is_asked() {
    let (world, scripts, _) = built(&["a", "b"]).await;
    world.desks.configure("vacant", &paper()).unwrap();
    let ages = || world.desks.last_health().into_iter().map(|report| report.age).collect();
    let unknown: Vec<Option<Duration>> = ages();
    assert_eq!(unknown, [None; 4]);
    scripts[1].once(Step::Health, Act::Hang);
    let asked = world.desks.health(LIMIT).await;
    let expected = [Some(LIMIT), Some(Duration::ZERO), Some(LIMIT), None];
    assert_eq!(asked.iter().map(|report| report.age).collect::<Vec<_>>(), expected);
    let mut last = world.desks.last_health();
    assert_eq!(last, asked);
    pass(EVERY).await;
    for report in &mut last {
        report.age = report.age.map(|age| age + EVERY);
    }
    assert_eq!(world.desks.last_health(), last);
    let statuses: Vec<_> = last.iter().map(|report| report.health.status).collect();
    assert_eq!(statuses, [Status::Up, Status::Down, Status::Degraded, Status::NotChecked]);
    assert_eq!((checks(&scripts[0]), checks(&scripts[1])), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_an_override_says_is_not_said_of_the_driver_beneath() {
    let (world, scripts, _) = built(&["a"]).await;
    scripts[0].once(Step::Health, Act::Fail(outage()));
    world.desks.health(LIMIT).await;
    assert!(world.desks.available().is_empty());
    let guard = world.desks.override_instance("a", world.script.driver::<0>("fake")).unwrap();
    assert_eq!(report(&world.desks, "a").age, None);
    assert_eq!(world.desks.available(), ["a", "g"]);
    world.desks.health(LIMIT).await;
    assert_eq!(report(&world.desks, "a").health.status, Status::Up);
    drop(guard);
    assert_eq!(report(&world.desks, "a").age, None);
}

#[tokio::test(start_paused = true)]
async fn a_watch_without_a_pause_or_without_time_to_answer_is_refused() {
    let world = World::new();
    let short = HealthWatch::EVERY_MIN / 2;
    for (every, limit) in [(Duration::ZERO, LIMIT), (short, LIMIT), (EVERY, Duration::ZERO)] {
        let error = world.desks.watch_health(every, limit).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    for every in [HealthWatch::EVERY_MIN, Duration::MAX] {
        world.desks.watch_health(every, Duration::MAX).unwrap().stop().await.unwrap();
    }
}

#[test]
fn a_watch_without_a_runtime_is_refused() {
    let error = World::new().desks.watch_health(EVERY, LIMIT).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

/// A driver that closes its manager when it is asked how it is.
struct Closing(Driver, Manager<Desks>);

impl Lifecycle for Closing {
    fn health(&self) -> Reply<'_, Health> {
        Reply::run(async {
            self.1.close(LIMIT).await.into_result()?;
            Ok(Health::up())
        })
    }

    fn close(&self) -> Reply<'_, ()> {
        self.0.close()
    }
}

impl DeskDriver for Closing {
    fn ask<'a>(&'a self, question: &'a str) -> Reply<'a, String> {
        self.0.ask(question)
    }

    fn hand_over(&self, body: Vec<u8>) -> Reply<'_, usize> {
        self.0.hand_over(body)
    }

    fn session(&self) -> Reply<'_, Session> {
        self.0.session()
    }

    fn listen(&self) -> Reply<'_, Stream> {
        self.0.listen()
    }
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_closes_its_manager_when_it_is_asked_stops_who_asked_it() {
    let world = World::new();
    let closing = Closing(world.script.driver("c"), world.desks.clone());
    world.desks.insert("c", closing).unwrap();
    let begin = Clock::system().now();
    let _watch = watch(&world);
    world.swept().await;
    settle().await;
    world.swept().await;
    assert_eq!(world.script.closed(), ["c"]);
    assert_eq!(Clock::system().now(), begin);
    assert_eq!(world.environment.reaper().figures().running, 0);
}
