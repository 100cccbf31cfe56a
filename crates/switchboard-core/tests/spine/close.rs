//! The end of all instances.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use switchboard_core::{
    Clock, CloseReport, ErrorKind, Lifecycle, Manager, Priority, Reply, Result, Settings,
};

use crate::create::lamps;
use crate::desk::{
    Act, DeskConfig, DeskDriver, Driver, Gate, Office, Script, Session, Step, Stream, World,
    labelled, needing, outage, paper, settle,
};
use crate::dropping::at_every_poll;

const LIMIT: Duration = Duration::from_secs(10);

async fn built(names: &[&str]) -> World {
    let world = World::with(names);
    for name in names {
        world.desks.get(name).await.unwrap();
    }
    world
}

#[tokio::test(start_paused = true)]
async fn instances_close_in_the_reverse_order_of_their_creation() {
    let world = built(&["b", "c", "a"]).await;
    let report = world.desks.close(LIMIT).await;
    assert_eq!(world.script.closed(), ["a", "c", "b"]);
    assert_eq!(report.closed, ["a", "c", "b"]);
    assert!(report.errors.is_empty() && !report.is_under_way, "{report}");
    world.script.assert_tidy(0);
}

#[tokio::test(start_paused = true)]
async fn what_an_instance_was_built_with_closes_after_it() {
    let world = World::with(&["base"]);
    world.desks.configure("top", &needing(&["desk.middle"])).unwrap();
    world.desks.configure("middle", &needing(&["desk.base"])).unwrap();
    world.desks.get("base").await.unwrap();
    world.desks.get("top").await.unwrap();
    world.desks.close(LIMIT).await.into_result().unwrap();
    assert_eq!(world.script.closed(), ["top", "middle", "base"]);
}

#[tokio::test(start_paused = true)]
async fn what_an_instance_came_to_need_by_a_swap_closes_after_it() {
    let world = built(&["a", "later"]).await;
    swap(&world, "a", &needing(&["desk.later"])).await.unwrap();
    world.desks.close(LIMIT).await.into_result().unwrap();
    assert_eq!(&world.script.closed()[1..], ["a", "later"], "the first is the old `a`");
}

#[tokio::test(start_paused = true)]
async fn a_swap_that_fails_forgets_nothing_of_what_the_old_one_needs() {
    let world = built(&["a", "later"]).await;
    swap(&world, "a", &needing(&["desk.later"])).await.unwrap();
    world.script.once(Step::Init, Act::Fail(outage()));
    swap(&world, "a", &paper()).await.unwrap_err();
    world.desks.close(LIMIT).await.into_result().unwrap();
    assert_eq!(&world.script.closed()[2..], ["a", "later"]);
}

#[tokio::test(start_paused = true)]
async fn dependencies_through_another_subsystem_are_kept_to() {
    let world = World::new();
    let lamps = lamps(&world.environment, &world.script);
    world.desks.configure("base", &paper()).unwrap();
    world.desks.configure("top", &paper()).unwrap();
    lamps.configure("l", &needing(&["desk.base"])).unwrap();
    world.desks.get("top").await.unwrap();
    world.desks.get("base").await.unwrap();
    swap(&world, "top", &needing(&["lamp.l"])).await.unwrap();
    world.desks.close(LIMIT).await.into_result().unwrap();
    assert_eq!(&world.script.closed()[1..], ["top", "base"]);
}

async fn swap(world: &World, name: &str, settings: &Settings) -> Result<()> {
    world.desks.swap(name, settings).await?.closed().await
}

#[tokio::test(start_paused = true)]
async fn all_are_tried_and_every_error_is_kept_with_its_instance() {
    let world = built(&["a", "b", "c", "d"]).await;
    world.script.once(Step::Close, Act::Fail(outage()));
    world.script.once(Step::Close, Act::Panic);
    let report = world.desks.close(LIMIT).await;
    assert_eq!(report.closed, ["b", "a"]);
    let errors: Vec<_> = report
        .errors
        .iter()
        .map(|error| (error.place().unwrap().instance.to_string(), error.kind()))
        .collect();
    let expected =
        [("d".to_owned(), ErrorKind::Unavailable), ("c".to_owned(), ErrorKind::Unexpected)];
    assert_eq!(errors, expected);
    let joined = report.into_result().unwrap_err();
    assert_eq!(joined.related().len(), 2);
    world.script.assert_tidy(0);
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_is_reported_by_name_and_the_others_close_without_waiting_for_the_end() {
    let world = built(&["a", "b", "c", "d", "hanging"]).await;
    world.script.once(Step::Close, Act::Hang);
    let clock = Clock::system();
    let begin = clock.now();
    let desks = world.desks.clone();
    let closing = tokio::spawn(async move { desks.close(LIMIT).await });
    world.script.reached(Step::Close, 5).await;
    world.settle().await;
    assert_eq!(clock.now() - begin, LIMIT / 5, "its share, once");
    let report = closing.await.unwrap();
    assert!(clock.now() - begin <= LIMIT);
    assert_eq!(report.closed, ["d", "c", "b", "a"]);
    let [error] = report.errors.try_into().unwrap();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.place().unwrap().to_string(), "desk.hanging close");
}

#[tokio::test(start_paused = true)]
async fn closing_again_gives_the_report_of_the_one_run() {
    let world = built(&["a", "b"]).await;
    world.script.once(Step::Close, Act::Fail(outage()));
    let first = world.desks.close(LIMIT).await;
    let second = world.desks.close(LIMIT).await;
    assert_eq!(first.closed, second.closed);
    assert_eq!(second.errors.len(), 1);
    assert_eq!(world.script.count(Step::Close), 2);
}

#[tokio::test(start_paused = true)]
async fn overlapping_closes_share_one_run_and_it_goes_on_when_its_first_caller_goes_away() {
    let world = built(&["a", "b"]).await;
    let gate = Gate::closed();
    world.script.once(Step::Close, Act::Wait(gate.clone()));
    let close = || {
        let desks = world.desks.clone();
        tokio::spawn(async move { desks.close(LIMIT).await })
    };
    let first = close();
    world.script.reached(Step::Close, 1).await;
    let second = close();
    world.settle().await;
    first.abort();
    gate.open();
    assert_eq!(second.await.unwrap().closed, ["b", "a"]);
    assert_eq!(world.script.count(Step::Close), 2);
    world.script.assert_tidy(0);
}

#[tokio::test(start_paused = true)]
async fn a_close_dropped_at_any_await_closes_all_the_same() {
    at_every_poll(
        async || {
            let world = built(&["a", "b"]).await;
            let desks = world.desks.clone();
            (world, async move { desks.close(LIMIT).await })
        },
        async |world, _| {
            assert!(world.desks.close(LIMIT).await.errors.is_empty());
            world.script.assert_tidy(0);
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn closing_what_was_never_built_builds_nothing() {
    let world = World::with(&["a"]);
    world.desks.close(LIMIT).await.into_result().unwrap();
    assert_eq!(world.script.count(Step::Build), 0);
    let error = world.desks.get("a").await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(world.script.count(Step::Build), 0);
}

#[tokio::test(start_paused = true)]
async fn after_closing_calls_are_refused_and_nothing_new_comes() {
    let world = built(&["a"]).await;
    let desk = world.desks.handle("a").unwrap();
    world.desks.close(LIMIT).await.into_result().unwrap();
    let error = desk.ask("?").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.retry(), switchboard_core::Retry::Never);
    assert!(world.desks.configure("b", &paper()).is_err());
    assert!(swap(&world, "a", &paper()).await.is_err());
    world.swept().await;
    world.script.assert_tidy(0);
}

#[tokio::test(start_paused = true)]
async fn an_instance_created_while_closing_is_closed() {
    let world = World::with(&["a"]);
    let gate = Gate::closed();
    world.script.once(Step::Init, Act::Wait(gate.clone()));
    let desks = world.desks.clone();
    let creating = tokio::spawn(async move { desks.get("a").await.map(drop) });
    world.script.reached(Step::Init, 1).await;
    let closing = closing(&world);
    world.settle().await;
    assert!(!closing.is_finished(), "what is being built is not closed yet");
    gate.open();
    closing.await.unwrap().into_result().unwrap();
    world.script.assert_tidy(0);
    let error = creating.await.unwrap().unwrap_err();
    assert_eq!(error.message(), "the instance is closed");
}

fn closing(world: &World) -> tokio::task::JoinHandle<CloseReport> {
    let desks = world.desks.clone();
    tokio::spawn(async move { desks.close(LIMIT).await })
}

#[tokio::test(start_paused = true)]
async fn a_creation_that_hangs_is_an_error_of_closing_and_costs_no_more_than_the_limit() {
    let world = World::with(&["a"]);
    world.script.once(Step::Init, Act::Hang);
    let desks = world.desks.clone();
    let creating = tokio::spawn(async move { desks.get("a").await.map(drop) });
    world.script.reached(Step::Init, 1).await;
    let begin = Clock::system().now();
    let [error] = world.desks.close(LIMIT).await.errors.try_into().unwrap();
    assert_eq!(Clock::system().now() - begin, LIMIT);
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.place().unwrap().to_string(), "desk.a close");
    creating.await.unwrap().unwrap_err();
    world.swept().await;
    world.script.assert_tidy(0);
}

#[tokio::test(start_paused = true)]
async fn a_swap_that_is_under_way_while_closing_is_closed() {
    let world = built(&["a"]).await;
    let gate = Gate::closed();
    world.script.once(Step::Init, Act::Wait(gate.clone()));
    let desks = world.desks.clone();
    let swapping = tokio::spawn(async move { desks.swap("a", &paper()).await.map(drop) });
    world.script.reached(Step::Init, 2).await;
    let closing = closing(&world);
    world.settle().await;
    assert!(!closing.is_finished(), "what the swap is building is not closed yet");
    gate.open();
    closing.await.unwrap().into_result().unwrap();
    world.script.assert_tidy(0);
    swapping.await.unwrap().unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn an_exclusive_swap_under_way_is_waited_for_and_leaves_no_driver_behind() {
    for step in [Step::Close, Step::Build, Step::Init, Step::Health] {
        let world = World::new();
        world.desks.configure("a", &labelled("vault", "old")).unwrap();
        world.desks.get("a").await.unwrap();
        let gate = Gate::closed();
        world.script.once(step, Act::Wait(gate.clone()));
        let (desks, before) = (world.desks.clone(), world.script.count(step));
        let swapping =
            tokio::spawn(async move { desks.swap("a", &labelled("vault", "new")).await.map(drop) });
        world.script.reached(step, before + 1).await;
        let closing = closing(&world);
        world.settle().await;
        assert!(!closing.is_finished(), "{step:?}");
        gate.open();
        closing.await.unwrap().into_result().unwrap();
        world.script.assert_tidy(0);
        swapping.await.unwrap().unwrap_err();
    }
}

#[tokio::test(start_paused = true)]
async fn a_manager_that_is_dropped_with_all_its_handles_closes_its_drivers() {
    let World { script, environment, desks } = built(&["a", "b"]).await;
    let handle = desks.handle("a").unwrap();
    let guard = desks.override_instance("b", script.driver::<0>("fake")).unwrap();
    drop(desks);
    settle().await;
    assert_eq!(script.count(Step::Close), 0, "a handle and a guard still use them");
    drop((handle, guard));
    let deadline = environment.clock().now() + LIMIT;
    environment.reaper().idle(deadline).await.unwrap();
    assert_eq!(sorted(script.closed()), ["a", "b", "fake"]);
    script.assert_tidy(0);
}

#[tokio::test(start_paused = true)]
async fn calls_under_way_are_waited_for() {
    let world = built(&["a"]).await;
    let gate = Gate::closed();
    world.script.once(Step::Ask, Act::Wait(gate.clone()));
    let desk = world.desks.handle("a").unwrap();
    let call = tokio::spawn(async move { desk.ask("?").await });
    world.script.reached(Step::Ask, 1).await;
    let desks = world.desks.clone();
    let closing = tokio::spawn(async move { desks.close(LIMIT).await });
    world.settle().await;
    assert_eq!(world.script.count(Step::Close), 0);
    gate.open();
    assert_eq!(call.await.unwrap().unwrap(), "a: ?");
    closing.await.unwrap().into_result().unwrap();
    assert_eq!(world.script.count(Step::Close), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_ends_does_not_keep_a_driver_from_being_closed() {
    let world = built(&["a"]).await;
    world.script.once(Step::Ask, Act::Hang);
    let desk = world.desks.handle("a").unwrap();
    let call = tokio::spawn(async move { desk.ask("?").await });
    world.script.reached(Step::Ask, 1).await;
    let begin = Clock::system().now();
    world.desks.close(LIMIT).await.into_result().unwrap();
    assert!(Clock::system().now() - begin <= LIMIT);
    world.script.assert_tidy(0);
    call.abort();
}

#[tokio::test(start_paused = true)]
async fn a_driver_has_all_the_time_that_draining_leaves() {
    let world = built(&["a"]).await;
    takes(&world.script, Step::Close, LIMIT * 9 / 10);
    let report = world.desks.close(LIMIT).await;
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    assert_eq!(report.closed, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn draining_leaves_half_of_the_time_for_closing() {
    let world = built(&["a"]).await;
    world.script.once(Step::Ask, Act::Hang);
    let desk = world.desks.handle("a").unwrap();
    let call = tokio::spawn(async move { desk.ask("?").await });
    world.script.reached(Step::Ask, 1).await;
    takes(&world.script, Step::Close, LIMIT * 9 / 10);
    assert_eq!(world.desks.close(LIMIT).await.closed, ["a"]);
    call.abort();
}

/// Makes a step wait until `time` from now has passed.
fn takes(script: &Script, step: Step, time: Duration) {
    let gate = Gate::closed();
    script.once(step, Act::Wait(gate.clone()));
    tokio::spawn(async move {
        tokio::time::sleep(time).await;
        gate.open();
    });
}

#[tokio::test(start_paused = true)]
async fn an_override_that_hangs_takes_no_time_from_the_driver_beneath() {
    let world = built(&["a"]).await;
    let _guard = world.desks.override_instance("a", world.script.driver::<0>("fake")).unwrap();
    world.script.once(Step::Close, Act::Hang);
    takes(&world.script, Step::Close, LIMIT * 9 / 10);
    let [error] = world.desks.close(LIMIT).await.errors.try_into().unwrap();
    assert!(error.related().is_empty(), "one of the two closed: {error:?}");
    world.script.assert_tidy(0);
}

#[tokio::test(start_paused = true)]
async fn the_report_lists_only_what_had_a_driver() {
    let world = built(&["a"]).await;
    world.desks.configure("never", &paper()).unwrap();
    world.desks.group("g", &["a", "never"], Priority).unwrap();
    world.desks.group("h", &["a"], Priority).unwrap();
    let _guard = world.desks.override_instance("h", world.script.driver::<0>("fake")).unwrap();
    let report = world.desks.close(LIMIT).await;
    assert_eq!(sorted(report.closed), ["a", "h"], "the override of `h` was closed");
    assert!(report.errors.is_empty());
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_a_swap_took_out_is_waited_for_and_its_error_kept() {
    for act in [Act::Fail(outage()), Act::Panic, Act::Hang] {
        let world = built(&["a"]).await;
        let desk = world.desks.handle("a").unwrap();
        let gate = Gate::closed();
        world.script.once(Step::Ask, Act::Wait(gate.clone()));
        let call = tokio::spawn(async move { desk.ask("?").await });
        world.script.reached(Step::Ask, 1).await;
        drop(world.desks.swap("a", &labelled("paper", "new")).await.unwrap());
        let desks = world.desks.clone();
        let closing = tokio::spawn(async move { desks.close(LIMIT).await });
        world.script.reached(Step::Close, 1).await;
        world.settle().await;
        assert!(!closing.is_finished(), "the old one is still in use");
        world.script.once(Step::Close, act);
        gate.open();
        call.await.unwrap().unwrap();
        let report = closing.await.unwrap();
        assert_eq!(report.closed, [""; 0]);
        let [error] = report.errors.try_into().unwrap();
        assert_eq!(error.place().unwrap().to_string(), "desk.a close");
        world.swept().await;
        world.script.assert_tidy(0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_ends_keeps_no_driver_open_that_a_swap_took_out() {
    for driver in ["paper", "glass"] {
        let world = built(&["a"]).await;
        world.script.once(Step::Ask, Act::Hang);
        let desk = world.desks.handle("a").unwrap();
        let call = tokio::spawn(async move { desk.ask("?").await });
        world.script.reached(Step::Ask, 1).await;
        drop(world.desks.swap("a", &labelled(driver, "new")).await.unwrap());
        let begin = Clock::system().now();
        assert_eq!(world.desks.close(LIMIT).await.closed, ["a"]);
        assert!(Clock::system().now() - begin < LIMIT, "its drain limit is 30 seconds");
        world.script.assert_tidy(0);
        call.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_lifted_override_that_still_drains_is_waited_for() {
    let world = built(&["a"]).await;
    let guard = world.desks.override_instance("a", world.script.driver::<0>("fake")).unwrap();
    let session = world.desks.handle("a").unwrap().session().await.unwrap();
    drop(guard);
    world.desks.close(LIMIT).await.into_result().unwrap();
    assert_eq!(world.script.live(), 0);
    drop(session);
}

#[tokio::test(start_paused = true)]
async fn a_limit_without_end_is_allowed() {
    let world = built(&["a"]).await;
    world.desks.close(Duration::MAX).await.into_result().unwrap();
    world.script.assert_tidy(0);
}

/// A driver that closes a manager when it is closed, and keeps what it is told.
struct Recursive<const NUMBER: usize = 0> {
    inner: Driver,
    closes: Manager<Office<NUMBER>>,
    told: Arc<Mutex<Vec<CloseReport>>>,
}

impl<const NUMBER: usize> Recursive<NUMBER> {
    fn new(
        world: &World,
        closes: &Manager<Office<NUMBER>>,
        told: &Arc<Mutex<Vec<CloseReport>>>,
    ) -> Self {
        Self { inner: world.script.driver("r"), closes: closes.clone(), told: told.clone() }
    }
}

impl<const NUMBER: usize> Lifecycle for Recursive<NUMBER> {
    fn close(&self) -> Reply<'_, ()> {
        Reply::run(async {
            let report = self.closes.close(LIMIT).await;
            self.told.lock().unwrap().push(report);
            self.inner.close().await
        })
    }
}

impl<const NUMBER: usize> DeskDriver for Recursive<NUMBER> {
    fn ask<'a>(&'a self, question: &'a str) -> Reply<'a, String> {
        self.inner.ask(question)
    }

    fn hand_over(&self, body: Vec<u8>) -> Reply<'_, usize> {
        self.inner.hand_over(body)
    }

    fn session(&self) -> Reply<'_, Session> {
        self.inner.session()
    }

    fn listen(&self) -> Reply<'_, Stream> {
        self.inner.listen()
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_from_inside_the_close_of_a_driver_answers_at_once() {
    let world = built(&["a"]).await;
    let told = Arc::default();
    world.desks.insert("r", Recursive::new(&world, &world.desks, &told)).unwrap();
    let begin = Clock::system().now();
    let report = world.desks.close(LIMIT).await;
    assert_eq!(Clock::system().now(), begin);
    assert_eq!(report.closed, ["r", "a"]);
    assert!(report.errors.is_empty(), "{report:?}");
    assert!(told.lock().unwrap()[0].is_under_way);
    world.script.assert_tidy(0);
}

#[tokio::test(start_paused = true)]
async fn a_factory_that_closes_its_own_manager_is_not_waited_for_by_that_closing() {
    for indirectly in [false, true] {
        let world = built(&["b"]).await;
        let desks = world.desks.clone();
        let script = world.script.clone();
        let closing = move |_: DeskConfig, _| {
            let (desks, script) = (desks.clone(), script.clone());
            async move {
                desks.close(LIMIT).await.into_result()?;
                Ok(script.driver::<0>("late"))
            }
        };
        world.desks.registry().register("closing", closing).unwrap();
        world.desks.configure("a", &Settings::new().with("driver", "closing")).unwrap();
        world.desks.configure("c", &needing(&["desk.a"])).unwrap();
        let begin = Clock::system().now();
        let asked = if indirectly { "c" } else { "a" };
        let error = world.desks.get(asked).await.map(drop).unwrap_err();
        assert_eq!(error.message(), "the instance is closed");
        assert_eq!(Clock::system().now(), begin, "nobody waited for a limit");
        world.swept().await;
        world.script.assert_tidy(0);
    }
}

#[tokio::test(start_paused = true)]
async fn managers_whose_drivers_close_each_other_in_a_circle_are_closed_at_once() {
    for both in [false, true] {
        let world = built(&["a"]).await;
        let lamps = lamps(&world.environment, &world.script);
        let told = Arc::default();
        world.desks.insert("r", Recursive::new(&world, &lamps, &told)).unwrap();
        lamps.insert("r", Recursive::new(&world, &world.desks, &told)).unwrap();
        let begin = Clock::system().now();
        if both {
            let (one, other) = tokio::join!(world.desks.close(LIMIT), lamps.close(LIMIT));
            assert!(one.errors.is_empty() && other.errors.is_empty(), "{one:?} {other:?}");
        } else {
            world.desks.close(LIMIT).await.into_result().unwrap();
        }
        assert_eq!(Clock::system().now(), begin, "nobody waited for a limit");
        let told: Vec<_> = told.lock().unwrap().iter().map(|told| told.is_under_way).collect();
        assert_eq!(told, [true, false], "who closes the circle is told, the other one waits");
        lamps.close(LIMIT).await.into_result().unwrap();
        world.script.assert_tidy(0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_override_is_closed_with_its_instance_and_its_guard_may_be_dropped_later() {
    let world = built(&["a"]).await;
    let guard = world.desks.override_instance("a", world.script.driver::<0>("fake")).unwrap();
    world.desks.close(LIMIT).await.into_result().unwrap();
    drop(guard);
    world.swept().await;
    world.script.assert_tidy(0);
}
