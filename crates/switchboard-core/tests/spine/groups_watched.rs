//! Selectors that are told how calls begin and end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use switchboard_core::{
    CallEnd, Candidates, Deadline, EjectPolicy, Ejecting, Ending, Environment, Error, ErrorKind,
    Event, LeastLoaded, Policy, Priority, Selector, Source, Verdict,
};

use crate::desk::{Act, Desk, Gate, Script, Step, World, labelled, op, outage, settle};
use crate::dropping::at_every_poll;

const SECOND: Duration = Duration::from_secs(1);

/// Members that follow scripts of their own, and a group `g` of them all.
fn group(names: &[&'static str], selector: impl Selector) -> (World, Vec<Script>, Desk) {
    let world = World::new();
    let scripts = names.iter().map(|name| {
        let script = Script::new();
        script.register(world.desks.registry(), *name).unwrap();
        world.desks.configure(name, &labelled(name, name)).unwrap();
        script
    });
    let scripts = scripts.collect();
    world.desks.group("g", names, selector).unwrap();
    let desk = world.desks.handle("g").unwrap();
    (world, scripts, desk)
}

/// The order of the group; writes down what it is told.
#[derive(Default)]
struct Watching {
    under_way: AtomicUsize,
    told: Mutex<Vec<String>>,
}

impl Watching {
    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock().unwrap())
    }
}

impl Selector for Watching {
    fn name(&self) -> &'static str {
        "watching"
    }

    fn pick(&self, candidates: Candidates) -> Option<usize> {
        assert!(candidates.now().is_some());
        candidates.first()
    }

    fn chooses_for(&self, group: &Source, _: &Environment) {
        self.told.lock().unwrap().push(format!("for {group}"));
    }

    fn members(&self, names: &[&str]) {
        self.told.lock().unwrap().push(format!("members {names:?}"));
    }

    fn watches(&self) -> bool {
        true
    }

    fn began(&self, _: usize) {
        self.under_way.fetch_add(1, Ordering::SeqCst);
    }

    fn ended(&self, member: usize, end: &CallEnd<'_>) {
        let before = self.under_way.fetch_sub(1, Ordering::SeqCst);
        assert!(before > 0, "ended twice");
        let how = match end.ending {
            Ending::Answered => "answered".to_owned(),
            Ending::Failed(error) => error.kind().to_string(),
            Ending::Dropped => "dropped".to_owned(),
            Ending::Panicked => "panicked".to_owned(),
            other => format!("{other:?}"),
        };
        self.told.lock().unwrap().push(format!("{member} {how} after {:?}", end.took));
    }
}

#[tokio::test(start_paused = true)]
async fn a_selector_is_told_its_group_and_its_members_before_the_first_call() {
    let selector = Arc::new(Watching::default());
    let _group = group(&["b", "a"], selector.clone());
    assert_eq!(selector.told(), ["for desk.g", r#"members ["b", "a"]"#]);
}

#[tokio::test(start_paused = true)]
async fn it_is_told_how_each_call_of_a_member_ended_and_how_long_it_took() {
    let selector = Arc::new(Watching::default());
    let (_world, scripts, desk) = group(&["a", "b"], selector.clone());
    desk.ask("?").await.unwrap();
    selector.told();
    let gate = Gate::closed();
    scripts[0].once(Step::Ask, Act::Wait(gate.clone()));
    let asking = desk.ask("?");
    let slowly = async {
        tokio::time::advance(SECOND).await;
        gate.open();
    };
    let (answer, ()) = tokio::join!(asking, slowly);
    answer.unwrap();
    assert_eq!(selector.told(), ["0 answered after 1s"]);

    scripts[0].once(Step::Ask, Act::Fail(outage()));
    scripts[1].once(Step::Ask, Act::Fail(Error::new(ErrorKind::NotFound, "no")));
    desk.ask("?").await.unwrap_err();
    assert_eq!(selector.told(), ["0 unavailable after 0ns", "1 not found after 0ns"]);

    desk.line().with(op::ASK, |_| Ok(())).unwrap();
    desk.line().with(op::ASK, |_| Err::<(), _>(Error::new(ErrorKind::NotFound, "no"))).unwrap_err();
    assert_eq!(selector.told(), ["0 answered after 0ns", "0 not found after 0ns"]);
}

#[tokio::test(start_paused = true)]
async fn it_is_told_of_a_call_that_is_dropped_wherever_that_happens_and_only_once() {
    let polls = at_every_poll(
        async || {
            let selector = Arc::new(Watching::default());
            let (world, scripts, desk) = group(&["a", "b"], selector.clone());
            scripts[0].once(Step::Ask, Act::Fail(outage()));
            let asking = async move { desk.ask("?").await };
            ((selector, world), asking)
        },
        async |(selector, _world), ended| {
            assert_eq!(selector.under_way.load(Ordering::SeqCst), 0);
            let told: Vec<_> = selector.told().into_iter().skip(2).collect();
            let expected: &[&[&str]] = match ended {
                Some(_) => &[&["0 unavailable after 0ns", "1 answered after 0ns"]],
                None => &[
                    &[],
                    &["0 dropped after 0ns"],
                    &["0 unavailable after 0ns", "1 dropped after 0ns"],
                ],
            };
            assert!(expected.iter().any(|expected| told == *expected), "{told:?}");
        },
    );
    assert!(polls.await > 5, "it waits while it builds, initialises and asks each of both");
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_a_driver_is_told_as_one_and_leaves_nothing_under_way() {
    let selector = Arc::new(Watching::default());
    let (_world, scripts, desk) = group(&["a"], selector.clone());
    scripts[0].once(Step::Ask, Act::Panic);
    let asking = std::panic::AssertUnwindSafe(desk.ask("?")).catch_unwind();
    asking.await.unwrap_err();
    let live = || desk.line().with(op::ASK, |_| -> switchboard_core::Result<()> { panic!("oh") });
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(live)).unwrap_err();
    let told: Vec<_> = selector.told().into_iter().skip(2).collect();
    assert_eq!(told, ["0 panicked after 0ns", "0 panicked after 0ns"]);
    assert_eq!(selector.under_way.load(Ordering::SeqCst), 0);
}

/// Panics when it is told of an end.
struct Clumsy;

impl Selector for Clumsy {
    fn name(&self) -> &'static str {
        "clumsy"
    }

    fn pick(&self, candidates: Candidates) -> Option<usize> {
        candidates.first()
    }

    fn watches(&self) -> bool {
        true
    }

    fn ended(&self, _: usize, _: &CallEnd<'_>) {
        panic!("told of an end");
    }
}

#[tokio::test(start_paused = true)]
async fn a_selector_that_panics_while_a_panic_passes_does_not_end_the_process() {
    let (_world, scripts, desk) = group(&["a"], Clumsy);
    scripts[0].once(Step::Ask, Act::Panic);
    let asking = std::panic::AssertUnwindSafe(desk.ask("?")).catch_unwind();
    let panic = asking.await.unwrap_err();
    assert_eq!(panic.downcast_ref::<String>().unwrap(), "Ask panics on purpose");
}

#[tokio::test(start_paused = true)]
async fn least_loaded_has_nothing_under_way_after_a_drop_at_any_await_or_a_panic() {
    let polls = at_every_poll(
        async || {
            let selector = Arc::new(LeastLoaded::new());
            let (world, scripts, desk) = group(&["a", "b"], selector.clone());
            for script in &scripts {
                script.once(Step::Ask, Act::Fail(outage()));
            }
            ((selector, world), async move { desk.ask("?").await })
        },
        async |(selector, _world), ended| {
            assert_eq!((selector.under_way(0), selector.under_way(1)), (0, 0));
            if ended.is_none() {
                let measured = [0, 1].iter().filter(|m| selector.latency(**m).is_some()).count();
                assert!(measured <= 1, "a call that was dropped is no measurement");
            }
        },
    );
    assert!(polls.await > 5);

    let selector = Arc::new(LeastLoaded::new());
    let (_world, scripts, desk) = group(&["a", "b"], selector.clone());
    for script in &scripts {
        script.always(Step::Ask, Act::Panic);
    }
    for _ in 0..10 {
        std::panic::AssertUnwindSafe(desk.ask("?")).catch_unwind().await.unwrap_err();
    }
    assert_eq!((selector.under_way(0), selector.under_way(1)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_open_counts_as_under_way_until_it_is_closed() {
    let selector = Arc::new(LeastLoaded::new());
    let (world, scripts, desk) = group(&["a", "b"], selector.clone());
    world
        .desks
        .group("around", &["g"], Ejecting::new(selector.clone(), EjectPolicy::default()))
        .unwrap();
    let mut open = Vec::new();
    for _ in 0..20 {
        open.push(desk.session().await.unwrap());
    }
    assert_eq!((selector.under_way(0), selector.under_way(1)), (10, 10));
    open.clear();
    assert_eq!((selector.under_way(0), selector.under_way(1)), (0, 0));

    // One level further out it counts there too: once for each choice that led to it.
    let around = world.desks.handle("around").unwrap();
    let session = around.session().await.unwrap();
    assert_eq!(selector.under_way(0) + selector.under_way(1), 2);
    drop(session);
    for script in &scripts {
        script.once(Step::Open, Act::Fail(outage()));
    }
    assert!(around.session().await.is_err());
    around.ask("?").await.unwrap();
    assert_eq!((selector.under_way(0), selector.under_way(1)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn nothing_counts_as_open_after_a_drop_at_any_await_of_its_opening() {
    let polls = at_every_poll(
        async || {
            let selector = Arc::new(LeastLoaded::new());
            let (world, scripts, desk) = group(&["a", "b"], selector.clone());
            scripts[0].once(Step::Open, Act::Fail(outage()));
            ((selector, world), async move { desk.session().await })
        },
        async |(selector, _world), ended| {
            let open = usize::from(ended.as_ref().is_some_and(Result::is_ok));
            assert_eq!(selector.under_way(0) + selector.under_way(1), open);
            drop(ended);
            assert_eq!((selector.under_way(0), selector.under_way(1)), (0, 0));
        },
    );
    assert!(polls.await > 3);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_open_when_its_group_changes_is_closed_where_it_was_opened() {
    let (before, after) = (Arc::new(LeastLoaded::new()), Arc::new(LeastLoaded::new()));
    let (world, _scripts, desk) = group(&["a", "b"], before.clone());
    let stream = desk.listen().await.unwrap();
    world.desks.regroup("g", &["b"], after.clone()).unwrap();
    assert_eq!(before.under_way(0) + before.under_way(1), 1);
    drop(stream);
    assert_eq!(before.under_way(0) + before.under_way(1), 0);
    assert_eq!(after.under_way(0), 0);
}

#[tokio::test(start_paused = true)]
async fn least_loaded_leaves_a_member_that_became_slow() {
    let selector = Arc::new(LeastLoaded::new());
    let (_world, scripts, desk) = group(&["a", "b"], selector.clone());
    // Two at once, so that both are built and measured.
    let (one, other) = tokio::join!(desk.ask("?"), desk.ask("?"));
    assert!(one.is_ok() && other.is_ok());
    while selector.latency(0).is_none() || selector.latency(1).is_none() {
        desk.ask("?").await.unwrap();
    }
    let gate = Gate::closed();
    scripts[0].always(Step::Ask, Act::Wait(gate.clone()));
    // Calls come until one meets the member that hangs; no other follows it there.
    let mut calls = Vec::new();
    while selector.under_way(0) == 0 {
        let desk = desk.clone();
        calls.push(tokio::spawn(async move { desk.ask("?").await }));
        settle().await;
    }
    tokio::time::advance(SECOND).await;
    gate.open();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let before = scripts[0].count(Step::Ask);
    for _ in 0..50 {
        assert_eq!(desk.ask("?").await.unwrap(), "b: ?");
    }
    assert_eq!(scripts[0].count(Step::Ask), before);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_keeps_failing_is_ejected_and_comes_back() {
    let (world, scripts, desk) =
        group(&["a", "b", "c"], Ejecting::new(Priority, EjectPolicy::default()));
    let told = Arc::new(Mutex::new(Vec::new()));
    let into = told.clone();
    let _subscription = world.environment.events().subscribe(move |event| {
        let line = match event {
            Event::Ejected { source, member, eject_for, .. } => {
                format!("{source}: {member} ejected for {eject_for:?}")
            }
            Event::Returned { source, member, .. } => format!("{source}: {member} returned"),
            _ => return,
        };
        into.lock().unwrap().push(line);
    });
    scripts[0].always(Step::Ask, Act::Fail(outage()));
    for _ in 0..20 {
        assert_eq!(desk.ask("?").await.unwrap(), "b: ?");
    }
    assert_eq!(scripts[0].count(Step::Ask), 5);
    scripts[0].always(Step::Ask, Act::Work);
    tokio::time::advance(30 * SECOND).await;
    assert_eq!(desk.ask("?").await.unwrap(), "a: ?");
    assert_eq!(*told.lock().unwrap(), ["desk.g: a ejected for 30s", "desk.g: a returned"]);
}

#[tokio::test(start_paused = true)]
async fn a_member_is_not_held_guilty_of_a_caller_without_time_but_of_an_attempt_that_takes_too_long()
 {
    let ejecting = Arc::new(Ejecting::new(Priority, EjectPolicy::default()));
    let (world, scripts, desk) = group(&["a", "b"], ejecting.clone());
    desk.ask("?").await.unwrap();
    world.desks.get("b").await.unwrap();
    scripts[0].always(Step::Ask, Act::Hang);
    for _ in 0..20 {
        let deadline = Deadline::within(world.environment.clock(), SECOND);
        deadline.scope(desk.ask("?")).await.unwrap_err();
    }
    assert_eq!(scripts[1].count(Step::Ask), 0, "its turn came after the deadline");
    assert!(ejecting.ejected().is_empty(), "others may have more time");
    let late = Error::refused(switchboard_core::Gate::Deadline, "late");
    let now = world.environment.clock().now();
    assert_eq!(CallEnd::new(Ending::Failed(&late), SECOND, now).verdict(), Verdict::Ignored);
    let impatient = Policy { attempt_timeout: Some(SECOND), ..Policy::default() };
    world.desks.retune("a", impatient).unwrap();
    for _ in 0..5 {
        assert_eq!(desk.ask("?").await.unwrap(), "b: ?");
    }
    assert_eq!(ejecting.ejected(), [0], "its own time for an answer was over");
}
