//! Creating an instance: once, by whoever comes first, and never in a circle.

use std::time::Duration;

use switchboard_core::{
    BuildContext, Clock, Deadline, Environment, ErrorKind, Manager, Registry, Settings,
};

use crate::desk::{
    Act, DeskConfig, Desks, Driver, Gate, Lamps, Script, Step, World, needing, outage, paper,
    settle,
};
use crate::dropping::at_every_poll;

/// So many callers of `a` at once, each in a task of its own.
fn callers(world: &World, count: usize) -> Vec<tokio::task::JoinHandle<Result<(), ErrorKind>>> {
    let call = |desks: Manager<Desks>| async move {
        desks.get("a").await.map(drop).map_err(|error| error.kind())
    };
    (0..count).map(|_| tokio::spawn(call(world.desks.clone()))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn any_number_of_first_callers_create_an_instance_once() {
    for _ in 0..50 {
        let world = World::with(&["a"]);
        for caller in callers(&world, 64) {
            caller.await.unwrap().unwrap();
        }
        assert_eq!(world.script.count(Step::Build), 1);
        world.script.assert_tidy(1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_reaches_everybody_who_waited_and_is_not_kept() {
    let world = World::with(&["a"]);
    let gate = Gate::closed();
    world.script.once(Step::Build, Act::Wait(gate.clone()));
    world.script.once(Step::Init, Act::Fail(outage()));
    let waiting = callers(&world, 10);
    world.script.reached(Step::Build, 1).await;
    world.settle().await;
    gate.open();
    for caller in waiting {
        assert_eq!(caller.await.unwrap(), Err(ErrorKind::Unavailable));
    }
    assert_eq!(world.script.count(Step::Build), 1);
    world.desks.get("a").await.unwrap();
    assert_eq!(world.script.count(Step::Build), 2, "the next caller tried again");
}

#[tokio::test(start_paused = true)]
async fn a_creator_that_panics_gets_an_error_and_lets_the_next_one_try() {
    for step in [Step::Build, Step::Init] {
        let world = World::with(&["a"]);
        world.script.once(step, Act::Panic);
        let mut kinds = Vec::new();
        for caller in callers(&world, 3) {
            kinds.push(caller.await.unwrap());
        }
        assert_eq!(kinds, [Err(ErrorKind::Unexpected), Ok(()), Ok(())], "{step:?}");
        world.swept().await;
        world.script.assert_tidy(1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_creator_that_is_dropped_at_any_await_lets_the_next_one_try_and_leaves_nothing() {
    let polls = at_every_poll(
        async || {
            let world = World::with(&["a"]);
            let desks = world.desks.clone();
            (world, async move { desks.get("a").await.map(drop) })
        },
        async |world, ended| {
            if let Some(result) = ended {
                result.unwrap();
            }
            let waited = tokio::time::timeout(Duration::from_secs(1), world.desks.get("a")).await;
            waited.expect("nobody is stuck").unwrap();
            world.swept().await;
            world.script.assert_tidy(1);
        },
    )
    .await;
    assert!(polls >= 3, "it was dropped in the factory and in `init`: {polls}");
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_a_creator_that_is_dropped_create_it_themselves() {
    let world = World::with(&["a"]);
    world.script.once(Step::Init, Act::Hang);
    let first = callers(&world, 1).remove(0);
    world.script.reached(Step::Init, 1).await;
    let others = callers(&world, 5);
    world.settle().await;
    first.abort();
    for other in others {
        other.await.unwrap().unwrap();
    }
    world.swept().await;
    assert_eq!(world.script.count(Step::Build), 2);
    world.script.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_goes_away_disturbs_nobody() {
    let world = World::with(&["a"]);
    let gate = Gate::closed();
    world.script.once(Step::Build, Act::Wait(gate.clone()));
    let mut all = callers(&world, 3);
    world.script.reached(Step::Build, 1).await;
    world.settle().await;
    all.remove(1).abort();
    gate.open();
    for caller in all {
        caller.await.unwrap().unwrap();
    }
    assert_eq!(world.script.count(Step::Build), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_init_stores_nothing_and_closes_what_it_made() {
    let world = World::with(&["a"]);
    world.script.once(Step::Init, Act::Fail(outage()));
    let error = world.desks.get("a").await.map(drop).unwrap_err();
    assert_eq!(error.message(), "nobody at the desk");
    assert_eq!(error.place().unwrap().to_string(), "desk.a (paper) build");
    assert!(world.desks.handle("a").unwrap().line().serving().is_none());
    assert_eq!(world.script.journal(), ["a Build", "a Init", "a Close"]);
    world.script.assert_tidy(0);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_closing_what_failed_to_start_is_kept_beside_the_first_one() {
    let world = World::with(&["a"]);
    world.script.once(Step::Init, Act::Fail(outage()));
    world.script.once(Step::Close, Act::Panic);
    let error = world.desks.get("a").await.map(drop).unwrap_err();
    assert_eq!(error.message(), "nobody at the desk");
    assert_eq!(error.related().len(), 1);
    assert!(error.related()[0].to_string().contains("panics on purpose"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_caller_of_an_init_that_hangs_leaves_at_its_deadline_and_the_reaper_closes_what_was_made()
{
    let world = World::with(&["a"]);
    world.script.once(Step::Init, Act::Hang);
    let clock = Clock::system();
    let begin = clock.now();
    let deadline = Deadline::within(&clock, Duration::from_secs(3));
    let error = deadline.scope(world.desks.get("a")).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(clock.now() - begin, Duration::from_secs(3));
    world.swept().await;
    assert_eq!(world.script.closed(), ["a"]);
    world.script.assert_tidy(0);
}

#[tokio::test(start_paused = true)]
async fn the_short_deadline_of_a_creator_is_not_the_deadline_of_those_who_wait() {
    let world = World::with(&["a", "b"]);
    world.desks.configure("ab", &needing(&["desk.b"])).unwrap();
    let gate = Gate::closed();
    world.script.once(Step::Build, Act::Work);
    world.script.once(Step::Build, Act::Wait(gate.clone()));
    let desks = world.desks.clone();
    let deadline = Deadline::within(&Clock::system(), Duration::from_secs(1));
    let hurried = tokio::spawn(deadline.scope(async move { desks.get("ab").await.map(drop) }));
    world.script.reached(Step::Build, 2).await;
    let desks = world.desks.clone();
    let patient = tokio::spawn(async move { desks.get("ab").await.map(drop) });
    assert_eq!(hurried.await.unwrap().unwrap_err().kind(), ErrorKind::Timeout);
    world.settle().await;
    gate.open();
    patient.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_slow_creation_of_one_instance_never_delays_another() {
    let world = World::with(&["a", "b"]);
    world.script.once(Step::Build, Act::Hang);
    let slow = callers(&world, 1).remove(0);
    world.script.reached(Step::Build, 1).await;
    let clock = Clock::system();
    let begin = clock.now();
    assert_eq!(world.desks.get("b").await.unwrap().ask("?").await.unwrap(), "b: ?");
    assert_eq!(clock.now(), begin);
    slow.abort();
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_needs_another_is_built_after_it() {
    let world = World::with(&["b"]);
    world.desks.configure("a", &needing(&["desk.b"])).unwrap();
    world.desks.get("a").await.unwrap();
    assert_eq!(world.script.journal(), ["a Build", "b Build", "b Init", "a Init"]);
}

#[tokio::test(start_paused = true)]
async fn a_creation_that_needs_itself_directly_or_in_a_circle_is_an_error_at_once() {
    let world = World::new();
    world.desks.configure("self", &needing(&["desk.self"])).unwrap();
    world.desks.configure("x", &needing(&["desk.y"])).unwrap();
    world.desks.configure("y", &needing(&["desk.z"])).unwrap();
    world.desks.configure("z", &needing(&["desk.x"])).unwrap();
    let clock = Clock::system();
    let begin = clock.now();
    for (name, circle) in
        [("self", "desk.self → desk.self"), ("x", "desk.z → desk.x → desk.y → desk.z")]
    {
        let error = world.desks.get(name).await.map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert_eq!(error.context_value("circle"), Some(circle), "{error}");
    }
    assert_eq!(clock.now(), begin);
    world.script.assert_tidy(0);
}

#[tokio::test(start_paused = true)]
async fn two_tasks_that_create_what_needs_the_other_both_get_an_error_at_once() {
    let world = World::new();
    world.desks.configure("a", &needing(&["desk.b"])).unwrap();
    world.desks.configure("b", &needing(&["desk.a"])).unwrap();
    let (one, other) = (Gate::closed(), Gate::closed());
    world.script.once(Step::Build, Act::Wait(one.clone()));
    world.script.once(Step::Build, Act::Wait(other.clone()));
    let tasks = ["a", "b"].map(|name| {
        let desks = world.desks.clone();
        tokio::spawn(async move { desks.get(name).await.map(drop) })
    });
    world.script.reached(Step::Build, 2).await;
    let begin = Clock::system().now();
    one.open();
    world.settle().await;
    other.open();
    for task in tasks {
        let error = task.await.unwrap().unwrap_err();
        assert_eq!(error.message(), "instances need each other in a circle", "{error:?}");
    }
    assert_eq!(Clock::system().now(), begin);
}

#[tokio::test(start_paused = true)]
async fn a_circle_across_two_subsystems_is_an_error_at_once() {
    let world = World::new();
    let lamps = lamps(&world.environment, &world.script);
    world.desks.configure("a", &needing(&["lamp.l"])).unwrap();
    lamps.configure("l", &needing(&["desk.a"])).unwrap();
    let error = world.desks.get("a").await.map(drop).unwrap_err();
    assert_eq!(error.context_value("circle"), Some("lamp.l → desk.a → lamp.l"), "{error}");
    world.script.assert_tidy(0);
}

#[tokio::test(start_paused = true)]
async fn a_diamond_is_no_circle() {
    let world = World::with(&["base"]);
    world.desks.configure("left", &needing(&["desk.base"])).unwrap();
    world.desks.configure("right", &needing(&["desk.base"])).unwrap();
    world.desks.configure("top", &needing(&["desk.left", "desk.right"])).unwrap();
    world.desks.get("top").await.unwrap();
    assert_eq!(world.script.count(Step::Build), 4);
}

#[tokio::test(start_paused = true)]
async fn a_subsystem_that_the_environment_does_not_have_is_an_error() {
    let world = World::new();
    world.desks.configure("a", &needing(&["lamp.l"])).unwrap();
    let error = world.desks.get("a").await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotRegistered);
    assert_eq!(error.context_value("subsystem"), Some("lamp"));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_waits_in_vain_ends_with_its_own_deadline() {
    let world = World::with(&["a"]);
    world.script.once(Step::Build, Act::Hang);
    let first = callers(&world, 1).remove(0);
    world.script.reached(Step::Build, 1).await;
    let deadline = Deadline::within(&Clock::system(), Duration::from_millis(10));
    let error = deadline.scope(world.desks.get("a")).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(!first.is_finished(), "who creates goes on");
    first.abort();
    settle().await;
}

/// A manager of the other subsystem, beside the first one.
pub(crate) fn lamps(environment: &Environment, script: &Script) -> Manager<Lamps> {
    let registry = Registry::empty();
    script.register(&registry, "paper").unwrap();
    let lamps = Manager::new(registry, environment).unwrap();
    lamps.configure("spare", &paper()).unwrap();
    lamps
}

#[tokio::test(start_paused = true)]
async fn a_call_does_not_carry_the_room_that_creating_takes() {
    let world = World::with(&["a"]);
    let desk = world.desks.handle("a").unwrap();
    let sizes = [size_of_val(&desk.ask("?")), size_of_val(&desk.session())];
    assert!(sizes.iter().all(|size| *size < 3072), "{sizes:?} bytes");
}

#[tokio::test(start_paused = true)]
async fn a_circle_through_a_task_that_a_factory_spawned_is_an_error_at_once() {
    let world = World::new();
    let spawning = |_: DeskConfig, context: BuildContext| async move {
        let other = async move { context.other::<Desks>("b").await.map(drop) };
        tokio::spawn(other).await.unwrap()?;
        Err::<Driver, _>(outage())
    };
    world.desks.registry().register("spawning", spawning).unwrap();
    world.desks.configure("a", &Settings::new().with("driver", "spawning")).unwrap();
    world.desks.configure("b", &needing(&["desk.a"])).unwrap();
    let begin = Clock::system().now();
    let error = world.desks.get("a").await.map(drop).unwrap_err();
    assert_eq!(Clock::system().now(), begin);
    assert!(error.to_string().contains("desk.b → desk.a → desk.b"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_serves_may_be_swapped_to_something_that_needs_who_needs_it() {
    let world = World::with(&["a"]);
    world.desks.configure("b", &needing(&["desk.a"])).unwrap();
    world.desks.get("a").await.unwrap();
    let swapped = world.desks.swap("a", &needing(&["desk.b"])).await;
    swapped.expect("`b` finds the `a` that serves").closed().await.unwrap();
    assert!(world.desks.close(Duration::from_secs(9)).await.errors.is_empty());
    world.script.assert_tidy(0);
}
