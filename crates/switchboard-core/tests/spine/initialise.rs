//! Instances that are declared and built in one step.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use switchboard_core::{
    BuildContext, Clock, Deadline, Error, ErrorKind, Health, Manager, Priority, Problems, Result,
    Settings,
};
use tokio::task::JoinHandle;

use crate::desk::{
    Act, DeskConfig, DeskDriver, Desks, Driver, Gate, Step, World, labelled, needing, outage, paper,
};
use crate::dropping::at_every_poll;
use crate::wrap::Wraps;

const LIMIT: Duration = Duration::from_secs(10);

fn initialising(desks: &Manager<Desks>, name: &'static str, settings: Settings) -> Initialising {
    let desks = desks.clone();
    tokio::spawn(async move { desks.initialise(name, &settings).await.map(drop) })
}

type Initialising = JoinHandle<Result<()>>;

async fn answer(world: &World, name: &str) -> String {
    world.desks.get(name).await.unwrap().ask("?").await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_declared_and_built_in_one_step() {
    let world = World::new();
    let desk = world.desks.initialise(" A ", &paper()).await.unwrap();
    assert_eq!(world.script.journal(), ["a Build", "a Init"]);
    assert_eq!(desk.line().serving(), Some(("paper", 1)));
    assert_eq!(world.desks.names(), ["a"]);
    world.desks.set_default("a").unwrap();
    assert_eq!(answer(&world, "a").await, "a: ?");
    assert_eq!(world.desks.close(LIMIT).await.closed, ["a"]);
    world.script.assert_tidy(0);
}

#[tokio::test(start_paused = true)]
async fn limits_and_policy_come_with_the_first_driver() {
    let world = World::new();
    let policy = Settings::new().with("deadline", "2s");
    let settings = paper().with("policy", policy).with("drain_limit", "7s");
    let desk = world.desks.initialise("a", &settings).await.unwrap();
    assert_eq!(desk.line().gates().unwrap().policy().deadline, Some(Duration::from_secs(2)));
    let _session = desk.session().await.unwrap();
    let begin = Clock::system().now();
    world.desks.swap("a", &paper()).await.unwrap().closed().await.unwrap();
    assert_eq!(Clock::system().now() - begin, Duration::from_secs(7));
}

#[tokio::test(start_paused = true)]
async fn a_first_time_that_fails_declares_nothing_and_can_be_repeated() {
    for step in [Step::Build, Step::Init] {
        for act in [Act::Fail(outage()), Act::Panic, Act::Hang] {
            let world = World::new();
            world.script.once(step, act);
            let error = world.desks.initialise("a", &paper()).await.map(drop).unwrap_err();
            assert_eq!(error.place().unwrap().instance.as_ref(), "a", "{error}");
            assert!(!world.desks.has("a") && world.desks.instances().is_empty(), "{step:?}");
            assert_eq!(world.desks.set_default("a").unwrap_err().kind(), ErrorKind::NotRegistered);
            world.swept().await;
            world.script.assert_tidy(0);

            world.desks.initialise("a", &labelled("paper", "again")).await.unwrap();
            assert_eq!(answer(&world, "a").await, "again: ?");
            world.script.assert_tidy(1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_first_time_that_failed_the_name_can_be_declared_in_any_other_way() {
    let world = World::with(&["member"]);
    for way in 0..3 {
        let name = ["a", "b", "c"][way];
        world.script.once(Step::Init, Act::Fail(outage()));
        world.desks.initialise(name, &paper()).await.map(drop).unwrap_err();
        match way {
            0 => world.desks.configure(name, &paper()).unwrap(),
            1 => world.desks.insert(name, world.script.driver::<0>("made")).unwrap(),
            _ => world.desks.group(name, &["member"], Priority).unwrap(),
        }
        answer(&world, name).await;
    }
    world.desks.close(LIMIT).await.into_result().unwrap();
    world.script.assert_tidy(0);
}

#[tokio::test(start_paused = true)]
async fn a_name_is_known_when_its_first_driver_serves_and_not_before() {
    let world = World::new();
    let gate = Gate::closed();
    world.script.once(Step::Init, Act::Wait(gate.clone()));
    let (first, initialising) = (line!(), initialising(&world.desks, "a", paper()));
    world.script.reached(Step::Init, 1).await;
    let error = world.desks.handle("a").map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotRegistered);
    assert!(world.desks.names().is_empty() && world.desks.available().is_empty());

    let error = world.desks.configure("a", &paper()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyRegistered, "somebody is about to declare it");
    let place = error.context_value("first").unwrap();
    assert!(place.starts_with(file!()), "{place}, and not {first}");
    world.desks.insert("a", world.script.driver::<0>("given")).unwrap_err();
    gate.open();
    initialising.await.unwrap().unwrap();
    assert_eq!(answer(&world, "a").await, "a: ?");
    world.swept().await;
    world.script.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn where_an_instance_was_initialised_is_where_it_was_declared() {
    let world = World::new();
    world.script.once(Step::Init, Act::Fail(outage()));
    world.desks.initialise("a", &paper()).await.map(drop).unwrap_err();
    let settings = paper();
    let (first, initialised) = (line!(), world.desks.initialise("a", &settings));
    initialised.await.unwrap();
    let error = world.desks.configure("a", &paper()).unwrap_err();
    let place = error.context_value("first").unwrap();
    assert!(place.starts_with(&format!("{}:{first}:", file!())), "{place}");
    let (line, empty) = (line!(), world.desks.initialise(" ", &settings));
    let error = empty.await.map(drop).unwrap_err();
    let place = error.context_value("place").unwrap();
    assert!(place.starts_with(&format!("{}:{line}:", file!())), "{place}");
}

#[tokio::test(start_paused = true)]
async fn what_is_there_already_is_exchanged_and_closed_after_its_last_call() {
    for driver in ["paper", "vault"] {
        let world = World::new();
        let desk = world.desks.initialise("a", &labelled(driver, "old")).await.unwrap();
        let session = desk.session().await.unwrap();
        let again = initialising(&world.desks, "a", labelled("paper", "new"));
        again.await.unwrap().unwrap();
        world.settle().await;
        assert_eq!(desk.ask("?").await.unwrap(), "new: ?", "handles follow");
        assert_eq!(world.script.count(Step::Close), 0, "{driver}");
        drop(session);
        world.swept().await;
        assert_eq!(world.script.closed(), ["old"]);
        world.script.assert_tidy(1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_there_already_serves_on_when_the_next_one_fails() {
    for step in [Step::Build, Step::Init, Step::Health] {
        for act in [Act::Fail(outage()), Act::Panic, Act::Hang] {
            let world = World::new();
            world.desks.initialise("a", &labelled("paper", "old")).await.unwrap();
            world.script.once(step, act);
            let again = initialising(&world.desks, "a", labelled("paper", "new"));
            again.await.unwrap().unwrap_err();
            assert_eq!(answer(&world, "a").await, "old: ?");
            world.swept().await;
            world.script.assert_tidy(1);
        }
    }
    let world = World::new();
    world.script.feel(Health::down("no ink"));
    world.desks.initialise("a", &paper()).await.expect("the first one need not be well");
    world.desks.initialise("a", &paper()).await.map(drop).unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn what_is_configured_and_not_built_stays_so_when_initialising_it_fails() {
    let world = World::new();
    world.desks.configure("a", &labelled("paper", "old")).unwrap();
    world.script.once(Step::Init, Act::Fail(outage()));
    world.desks.initialise("a", &labelled("paper", "new")).await.map(drop).unwrap_err();
    assert_eq!(answer(&world, "a").await, "old: ?");
    world.script.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn an_instance_may_be_called_as_its_driver_and_name_none() {
    let world = World::new();
    let settings = Settings::new().with("label", "like a driver");
    world.desks.initialise("Paper", &settings).await.unwrap();
    assert_eq!(answer(&world, "paper").await, "like a driver: ?");

    let error = world.desks.initialise("papre", &settings).await.map(drop).unwrap_err();
    let problems = error.find::<Problems>().unwrap();
    assert_eq!(problems.iter().next().unwrap().message, "no driver is named", "{error:?}");
    let elsewhere = Settings::new().with("driver", "marble");
    let error = world.desks.initialise("paper", &elsewhere).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotRegistered, "what is named counts");
    let elsewhere = Settings::new().with("url", "marble://quarry");
    world.desks.initialise("paper", &elsewhere).await.map(drop).unwrap_err();
    let misspelt = Settings::new().with("drvier", "paper");
    let error = world.desks.initialise("paper", &misspelt).await.map(drop).unwrap_err();
    let problem = error.find::<Problems>().unwrap().iter().next().unwrap().to_string();
    assert!(problem.contains("did you mean `driver`?"), "{problem}");
    let error = world.desks.configure("glass", &Settings::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "only who initialises may leave it out");
}

#[tokio::test(start_paused = true)]
async fn names_that_cannot_be_one_and_groups_are_refused() {
    let world = World::with(&["a"]);
    for name in ["", " ", "ä", "a.b"] {
        let error = world.desks.initialise(name, &paper()).await.map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name:?}");
    }
    let members = Settings::new().with("members", ["a"]);
    let error = world.desks.initialise("g", &members).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    world.desks.configure("g", &members).unwrap();
    let error = world.desks.initialise("g", &paper()).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let wrong = paper().with("colour", "red");
    let error = world.desks.initialise("b", &wrong).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!((world.desks.names().len(), world.script.count(Step::Build)), (2, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn any_number_who_initialise_one_name_at_once_leave_one_driver() {
    for driver in ["paper", "vault"] {
        let world = World::new();
        let all: Vec<_> =
            (0..64).map(|_| initialising(&world.desks, "a", labelled(driver, "a"))).collect();
        for one in all {
            one.await.unwrap().unwrap();
        }
        world.swept().await;
        assert_eq!(world.desks.names(), ["a"]);
        assert_eq!((world.script.count(Step::Build), world.script.count(Step::Close)), (64, 63));
        assert!(driver == "paper" || world.script.live_max() == 1);
        world.script.assert_tidy(1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_any_number_who_initialise_one_name_those_that_work_win_over_those_that_do_not() {
    for round in 0..20 {
        let world = World::new();
        for _ in 0..32 {
            world.script.once(Step::Init, Act::Work);
            world.script.once(Step::Init, Act::Fail(outage()));
        }
        let all: Vec<_> = (0..64)
            .map(|number| {
                let one = initialising(&world.desks, "a", paper());
                if (number + round) % 5 == 0 {
                    one.abort();
                }
                one
            })
            .collect();
        for one in all {
            if let Ok(Err(error)) = one.await {
                assert_eq!(error.message(), "nobody at the desk", "{error:?}");
            }
        }
        world.swept().await;
        assert_eq!(answer(&world, "a").await, "a: ?");
        world.script.assert_tidy(1);
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_first_time_that_fails_tries_it_itself() {
    let world = World::new();
    let gate = Gate::closed();
    world.script.once(Step::Build, Act::Wait(gate.clone()));
    world.script.once(Step::Init, Act::Fail(outage()));
    let first = initialising(&world.desks, "a", labelled("paper", "first"));
    world.script.reached(Step::Build, 1).await;
    let second = initialising(&world.desks, "a", labelled("paper", "second"));
    world.settle().await;
    assert_eq!(world.script.count(Step::Build), 1, "one at a time");
    gate.open();
    first.await.unwrap().unwrap_err();
    second.await.unwrap().unwrap();
    assert_eq!(answer(&world, "a").await, "second: ?");
    assert_eq!(world.script.count(Step::Health), 0, "it is the first one now");
    world.script.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_is_dropped_at_any_await_leaves_nothing_declared_or_what_it_wanted() {
    for failing in [None, Some(Step::Build), Some(Step::Init)] {
        for driver in ["paper", "vault"] {
            let polls = at_every_poll(
                async || {
                    let (world, wraps) = (World::new(), Wraps::default());
                    if let Some(step) = failing {
                        world.script.once(step, Act::Fail(outage()));
                    }
                    let (desks, wrap) = (world.desks.clone(), wraps.with("*"));
                    let initialise = async move {
                        let settings = labelled(driver, "one");
                        desks.initialise_wrapped("a", &settings, wrap).await.map(drop)
                    };
                    ((world, wraps), initialise)
                },
                async |(world, wraps), ended| {
                    let is_there = matches!(ended, Some(Ok(())));
                    assert_eq!(world.desks.has("a"), is_there);
                    // At once, while what was half-built may still be closing.
                    let settings = labelled(driver, "two");
                    if world.desks.initialise("a", &settings).await.is_err() {
                        // The failure that the caller who was dropped did not live to see.
                        world.desks.initialise("a", &settings).await.unwrap();
                    }
                    let starred = if is_there { "*two: ?*" } else { "two: ?" };
                    assert_eq!(answer(&world, "a").await, starred);
                    world.swept().await;
                    assert!(driver == "paper" || world.script.live_max() == 1);
                    world.script.assert_tidy(1);
                    wraps.assert_tidy(usize::from(is_there));
                },
            )
            .await;
            assert!(polls >= 2, "{polls}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_is_dropped_while_it_exchanges_a_driver_leaves_one_that_serves() {
    for driver in ["paper", "vault"] {
        at_every_poll(
            async || {
                let world = World::new();
                world.desks.initialise("a", &labelled(driver, "old")).await.unwrap();
                let desks = world.desks.clone();
                let settings = labelled(driver, "new");
                (world, async move { desks.initialise("a", &settings).await.map(drop) })
            },
            async |world, ended| {
                let answer = answer(&world, "a").await;
                let expected =
                    if ended.is_some() { &["new: ?"][..] } else { &["old: ?", "new: ?"] };
                assert!(expected.contains(&answer.as_str()), "{answer}");
                world.swept().await;
                world.script.assert_tidy(1);
            },
        )
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_exclusive_driver_never_lives_twice_although_the_caller_before_went_away() {
    for declared_otherwise in [false, true] {
        let world = World::new();
        let gate = Gate::closed();
        world.script.once(Step::Init, Act::Hang);
        world.script.once(Step::Close, Act::Wait(gate.clone()));
        let first = initialising(&world.desks, "a", labelled("vault", "first"));
        world.script.reached(Step::Init, 1).await;
        first.abort();
        world.script.reached(Step::Close, 1).await;
        let second = if declared_otherwise {
            world.desks.configure("a", &labelled("vault", "second")).unwrap();
            let desks = world.desks.clone();
            tokio::spawn(async move { desks.get("a").await.map(drop) })
        } else {
            initialising(&world.desks, "a", labelled("vault", "second"))
        };
        world.settle().await;
        assert_eq!(world.script.count(Step::Build), 1, "the first one is not closed yet");
        gate.open();
        second.await.unwrap().unwrap();
        assert_eq!(answer(&world, "a").await, "second: ?");
        assert_eq!(world.script.live_max(), 1);
        world.script.assert_tidy(1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_keeps_its_deadline_and_leaves_nothing_half_built() {
    for queued in [false, true] {
        let world = World::new();
        let gate = Gate::closed();
        world.script.once(Step::Init, Act::Wait(gate.clone()));
        let first = queued.then(|| initialising(&world.desks, "a", labelled("paper", "first")));
        world.settle().await;
        let (clock, limit) = (Clock::system(), Duration::from_secs(1));
        let begin = clock.now();
        let settings = labelled("paper", "hurried");
        let hurried = Deadline::within(&clock, limit).scope(world.desks.initialise("a", &settings));
        let error = Box::pin(hurried).await.map(drop).unwrap_err();
        assert_eq!((error.kind(), clock.now() - begin), (ErrorKind::Timeout, limit), "{queued}");
        assert_eq!(error.place().unwrap().to_string(), "desk.a build");
        gate.open();
        match first {
            Some(first) => first.await.unwrap().unwrap(),
            None => assert!(!world.desks.has("a")),
        }
        world.swept().await;
        world.script.assert_tidy(usize::from(queued));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_being_initialised_while_closing_is_closed_and_never_declared() {
    for step in [Step::Build, Step::Init] {
        let world = World::new();
        let gate = Gate::closed();
        world.script.once(step, Act::Wait(gate.clone()));
        let one = initialising(&world.desks, "a", paper());
        world.script.reached(step, 1).await;
        let queued = initialising(&world.desks, "a", paper());
        world.settle().await;
        let desks = world.desks.clone();
        let closing = tokio::spawn(async move { desks.close(LIMIT).await });
        world.settle().await;
        assert!(!closing.is_finished(), "what is being built is not closed yet");
        gate.open();
        closing.await.unwrap().into_result().unwrap();
        for one in [one, queued] {
            let error = one.await.unwrap().unwrap_err();
            assert_eq!(error.message(), "the instance is closed");
        }
        assert!(!world.desks.has("a"));
        world.script.assert_tidy(0);
        let error = world.desks.initialise("a", &paper()).await.map(drop).unwrap_err();
        assert_eq!(error.message(), "the manager is closed");
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_initialised_by_a_factory_that_it_needs_is_a_circle_at_once() {
    let world = World::new();
    let desks = world.desks.clone();
    let initialising = move |_: DeskConfig, _: BuildContext| {
        let desks = desks.clone();
        async move {
            desks.initialise("inner", &needing(&["desk.outer"])).await?;
            Err::<Driver, _>(outage())
        }
    };
    world.desks.registry().register("initialising", initialising).unwrap();
    world.desks.configure("outer", &Settings::new().with("driver", "initialising")).unwrap();
    let begin = Clock::system().now();
    let error = world.desks.get("outer").await.map(drop).unwrap_err();
    assert_eq!(Clock::system().now(), begin);
    assert!(circle(&error).contains("desk.outer"), "{error:?}");
    assert!(!world.desks.has("inner"));
}

fn circle(error: &Error) -> String {
    error.context_value("circle").unwrap_or_default().to_owned()
}

#[tokio::test(start_paused = true)]
async fn another_wrap_comes_with_its_driver_or_not_at_all() {
    for driver in ["paper", "vault"] {
        let (world, old, new) = (World::new(), Wraps::default(), Wraps::default());
        let settings = |label| labelled(driver, label);
        let first = world.desks.initialise_wrapped("a", &settings("old"), old.with("*")).await;
        let desk = first.unwrap();
        assert_eq!(desk.ask("?").await.unwrap(), "*old: ?*");

        world.script.once(Step::Init, Act::Fail(outage()));
        let failed = world.desks.initialise_wrapped("a", &settings("new"), new.with("+")).await;
        failed.map(drop).unwrap_err();
        assert_eq!(desk.ask("?").await.unwrap(), "*old: ?*");
        let panicking = |_| panic!("not today");
        let failed = world.desks.initialise_wrapped("a", &settings("new"), panicking).await;
        failed.map(drop).unwrap_err();
        assert_eq!(desk.ask("?").await.unwrap(), "*old: ?*");

        world.desks.initialise_wrapped("a", &settings("new"), new.with("+")).await.unwrap();
        assert_eq!(desk.ask("?").await.unwrap(), "+new: ?+");
        world.desks.initialise("a", &settings("third")).await.unwrap();
        assert_eq!(desk.ask("?").await.unwrap(), "+third: ?+", "it stays");
        world.swept().await;
        old.assert_tidy(0);
        new.assert_tidy(1);
        assert!(driver == "paper" || world.script.live_max() == 1);
        world.script.assert_tidy(1);
    }
}

/// Counts what it is asked when the last of it goes.
struct Last(Manager<Desks>, Arc<AtomicUsize>);

impl Drop for Last {
    fn drop(&mut self) {
        self.1.fetch_add(self.0.instances().len(), Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrap_that_looks_at_the_manager_when_it_goes_locks_nobody_out() {
    let (world, seen) = (World::new(), Arc::new(AtomicUsize::new(0)));
    let wrap = || {
        let last = Last(world.desks.clone(), seen.clone());
        move |driver: Arc<dyn DeskDriver>| {
            let _last = &last;
            driver
        }
    };
    world.desks.initialise_wrapped("a", &paper(), wrap()).await.unwrap();
    world.desks.initialise_wrapped("a", &paper(), wrap()).await.unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 1, "the first one has gone");
    world.desks.configure_wrapped("b", &paper(), wrap()).unwrap();
    world.desks.insert("b", world.script.driver::<0>("made")).unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 3);
    world.desks.close(LIMIT).await.into_result().unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 5);
}

#[tokio::test(start_paused = true)]
async fn available_is_what_is_built_and_was_not_down_when_last_checked() {
    let world = World::with(&["b", "a", "vacant"]);
    world.desks.group("g", &["a", "vacant"], Priority).unwrap();
    world.desks.group("around", &["g"], Priority).unwrap();
    world.desks.group("idle", &["vacant"], Priority).unwrap();
    assert!(world.desks.available().is_empty(), "nothing is built");
    world.desks.get("b").await.unwrap();
    world.desks.get("a").await.unwrap();
    assert_eq!(world.desks.available(), ["a", "around", "b", "g"]);
    world.script.once(Step::Health, Act::Fail(outage()));
    world.desks.health(LIMIT).await;
    let left = world.desks.available();
    assert!(left == ["a", "around", "g"] || left == ["b"], "{left:?}");
    world.desks.health(LIMIT).await;
    assert_eq!(world.desks.available(), ["a", "around", "b", "g"]);

    world.script.feel(Health::down("no ink"));
    world.desks.health(LIMIT).await;
    assert!(world.desks.available().is_empty());
    let guard = world.desks.override_instance("idle", world.script.driver::<0>("fake")).unwrap();
    assert_eq!(world.desks.available(), ["idle"], "an override serves for all members");
    drop(guard);
    world.desks.close(LIMIT).await.into_result().unwrap();
    assert!(world.desks.available().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_initialised_joins_the_groups_of_all_once_it_serves() {
    let world = World::with(&["a"]);
    world.desks.group_of_all("every", Priority).unwrap();
    let members = || {
        let instances = world.desks.instances();
        instances.into_iter().find(|instance| instance.name == "every").unwrap().members
    };
    world.script.once(Step::Init, Act::Fail(outage()));
    world.desks.initialise("b", &paper()).await.map(drop).unwrap_err();
    assert_eq!(members(), ["a"]);
    world.desks.initialise("b", &paper()).await.unwrap();
    assert_eq!(members(), ["a", "b"]);
    for number in 2..switchboard_core::Candidates::MEMBERS_MAX {
        world.desks.configure(&format!("n{number}"), &paper()).unwrap();
    }
    let error = world.desks.initialise("beyond", &paper()).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(world.script.count(Step::Build), 2, "found before anything is built");
    assert!(!world.desks.has("beyond"));
}
