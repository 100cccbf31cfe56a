//! Another driver for an instance, while calls are running.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use switchboard_core::{
    Clock, Deadline, Descriptor, Error, ErrorKind, Health, Manager, Priority, Result, Settings,
    Support,
};
use tokio::task::JoinHandle;

use crate::desk::{Act, Desk, Desks, Gate, Step, World, labelled, outage, paper};
use crate::dropping::at_every_poll;

/// A world whose instance `a` serves, by the driver and under the label `old`.
async fn serving(driver: &'static str) -> (World, Desk) {
    let world = World::new();
    world.desks.configure("a", &labelled(driver, "old")).unwrap();
    let desk = world.desks.get("a").await.unwrap();
    (world, desk)
}

fn swapping(desks: &Manager<Desks>, settings: Settings) -> JoinHandle<Result<u64>> {
    let desks = desks.clone();
    tokio::spawn(async move { Ok(desks.swap("a", &settings).await?.generation) })
}

fn asking(desk: &Desk) -> JoinHandle<Result<String>> {
    let desk = desk.clone();
    tokio::spawn(async move { desk.ask("?").await })
}

#[tokio::test(start_paused = true)]
async fn the_new_driver_is_built_initialised_and_checked_before_the_old_one_is_closed() {
    let (world, desk) = serving("paper").await;
    let swapped = world.desks.swap("a", &labelled("glass", "new")).await.unwrap();
    assert_eq!(swapped.generation, 2);
    swapped.closed().await.unwrap();
    let journal = world.script.journal();
    let expected = ["new Build", "new Init", "new Health", "old Close"];
    assert_eq!(journal[2..], expected, "{journal:?}");
    assert_eq!(desk.ask("?").await.unwrap(), "new: ?", "handles follow");
    assert_eq!(desk.line().serving(), Some(("glass", 2)));
    world.script.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn any_failure_before_the_flip_leaves_the_old_one_serving_and_the_new_one_closed() {
    let acts = [Act::Fail(outage()), Act::Panic, Act::Hang];
    for step in [Step::Build, Step::Init, Step::Health] {
        for act in acts.clone() {
            let (world, desk) = serving("paper").await;
            world.script.once(step, act);
            let failed = world.desks.swap("a", &labelled("paper", "new")).await;
            let error = failed.map(drop).unwrap_err();
            assert_eq!(error.place().unwrap().instance.as_ref(), "a", "{error}");
            assert_eq!(desk.line().serving(), Some(("paper", 1)), "{step:?}: {error}");
            assert_eq!(desk.ask("?").await.unwrap(), "old: ?");
            world.swept().await;
            world.script.assert_tidy(1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_driver_that_says_it_is_down_does_not_come_to_serve() {
    let (world, desk) = serving("paper").await;
    world.script.feel(Health::down("no ink"));
    let error = world.desks.swap("a", &paper()).await.map(drop).unwrap_err();
    assert_eq!(error.context_value("reason"), Some("no ink"));
    assert_eq!(desk.line().serving(), Some(("paper", 1)));
    world.swept().await;
    world.script.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn settings_that_cannot_be_are_refused_before_anything_is_built() {
    let (world, desk) = serving("paper").await;
    for wrong in
        [paper().with("colour", "red"), Settings::new().with("driver", "papre"), Settings::new()]
    {
        world.desks.swap("a", &wrong).await.map(drop).unwrap_err();
    }
    world.desks.swap("b", &paper()).await.map(drop).unwrap_err();
    assert_eq!(world.script.count(Step::Build), 1);
    assert_eq!(desk.ask("?").await.unwrap(), "old: ?");
}

#[tokio::test(start_paused = true)]
async fn a_call_under_way_finishes_on_the_old_driver_which_is_closed_after_it() {
    let (world, desk) = serving("paper").await;
    let gate = Gate::closed();
    world.script.once(Step::Ask, Act::Wait(gate.clone()));
    let call = asking(&desk);
    world.script.reached(Step::Ask, 1).await;
    let swapped = world.desks.swap("a", &labelled("paper", "new")).await.unwrap();
    assert_eq!(desk.ask("?").await.unwrap(), "new: ?");
    world.settle().await;
    assert_eq!(world.script.count(Step::Close), 0);
    assert_eq!(desk.line().in_flight(), 1);
    gate.open();
    assert_eq!(call.await.unwrap().unwrap(), "old: ?");
    swapped.closed().await.unwrap();
    assert_eq!(desk.line().in_flight(), 0);
    assert_eq!(world.script.closed(), ["old"]);
    world.script.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_outlasts_the_drain_limit_does_not_keep_the_old_driver_open() {
    let (world, desk) = serving("paper").await;
    world.script.once(Step::Ask, Act::Hang);
    let call = asking(&desk);
    world.script.reached(Step::Ask, 1).await;
    let begin = Clock::system().now();
    world.desks.swap("a", &paper()).await.unwrap().closed().await.unwrap();
    assert_eq!(Clock::system().now() - begin, Duration::from_secs(30));
    world.script.assert_tidy(1);
    call.abort();
}

#[tokio::test(start_paused = true)]
async fn the_error_of_closing_the_old_driver_is_told_to_who_waits_for_it() {
    for driver in ["paper", "vault"] {
        for act in [Act::Fail(outage()), Act::Panic, Act::Hang] {
            let (world, desk) = serving(driver).await;
            world.script.once(Step::Close, act);
            let swapped = world.desks.swap("a", &labelled(driver, "new")).await.unwrap();
            swapped.closed().await.expect_err(driver);
            assert_eq!(desk.ask("?").await.unwrap(), "new: ?");
            world.script.assert_tidy(1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_not_built_yet_can_be_given_another_driver() {
    let world = World::with(&["a"]);
    let swapped = world.desks.swap("a", &labelled("paper", "new")).await.unwrap();
    swapped.closed().await.unwrap();
    assert_eq!(world.desks.get("a").await.unwrap().ask("?").await.unwrap(), "new: ?");
    assert_eq!(world.script.count(Step::Build), 1);
}

#[tokio::test(start_paused = true)]
async fn a_swap_that_overtakes_the_first_creation_wins_and_the_loser_is_closed() {
    let world = World::with(&["a"]);
    let gate = Gate::closed();
    world.script.once(Step::Init, Act::Wait(gate.clone()));
    let call = asking(&world.desks.handle("a").unwrap());
    world.script.reached(Step::Init, 1).await;
    drop(world.desks.swap("a", &labelled("paper", "new")).await.unwrap());
    gate.open();
    assert_eq!(call.await.unwrap().unwrap(), "new: ?");
    world.swept().await;
    assert_eq!(world.script.closed(), ["a"]);
    world.script.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn swaps_of_one_instance_happen_one_after_the_other_and_the_last_one_stays() {
    let (world, desk) = serving("paper").await;
    let swaps: Vec<_> = (0..10)
        .map(|number| swapping(&world.desks, labelled("paper", &format!("n{number}"))))
        .collect();
    for (number, swap) in swaps.into_iter().enumerate() {
        assert_eq!(swap.await.unwrap().unwrap(), number as u64 + 2);
    }
    world.swept().await;
    assert_eq!(desk.ask("?").await.unwrap(), "n9: ?");
    world.script.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn a_swap_behind_an_override_shows_when_the_override_ends() {
    let (world, desk) = serving("paper").await;
    let guard = world.desks.override_instance("a", world.script.driver::<0>("fake")).unwrap();
    world.desks.swap("a", &labelled("paper", "new")).await.unwrap().closed().await.unwrap();
    assert_eq!(desk.ask("?").await.unwrap(), "fake: ?");
    drop(guard);
    assert_eq!(desk.ask("?").await.unwrap(), "new: ?");
    world.swept().await;
    world.script.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn a_swap_that_fails_leaves_settings_limits_and_policy_as_they_were() {
    let world = World::new();
    let patient = labelled("paper", "old").with("build_limit", "1m").with("policy", within("5s"));
    world.desks.configure("a", &patient).unwrap();
    let desk = world.desks.handle("a").unwrap();
    let hasty = labelled("paper", "new").with("build_limit", "1s").with("policy", within("1s"));
    for act in [Act::Fail(outage()), Act::Hang] {
        world.script.once(Step::Init, act);
        world.desks.swap("a", &hasty).await.map(drop).unwrap_err();
        assert_eq!(desk.line().gates().unwrap().policy().deadline, Some(Duration::from_secs(5)));
    }
    let gate = Gate::closed();
    world.script.once(Step::Init, Act::Wait(gate.clone()));
    let (desks, begun) = (world.desks.clone(), Clock::system().now());
    let creating = tokio::spawn(async move { desks.get("a").await });
    tokio::time::sleep(Duration::from_secs(30)).await;
    gate.open();
    assert_eq!(creating.await.unwrap().unwrap().ask("?").await.unwrap(), "old: ?");
    assert_eq!(Clock::system().now() - begun, Duration::from_secs(30));
    world.swept().await;
    world.script.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn the_old_driver_drains_by_the_limit_it_was_declared_with() {
    for driver in ["paper", "vault"] {
        let world = World::new();
        let settings = |label, drain: &str| labelled(driver, label).with("drain_limit", drain);
        world.desks.configure("a", &settings("old", "7s")).unwrap();
        let desk = world.desks.get("a").await.unwrap();
        for limit in [Duration::from_secs(7), Duration::from_secs(2)] {
            world.script.once(Step::Ask, Act::Hang);
            let call = asking(&desk);
            world.settle().await;
            let begin = Clock::system().now();
            let swapped = world.desks.swap("a", &settings("new", "2s")).await.unwrap();
            swapped.closed().await.unwrap();
            assert_eq!(Clock::system().now() - begin, limit, "{driver}");
            call.abort();
        }
        world.script.assert_tidy(1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_comes_with_its_driver_although_the_caller_of_the_swap_is_gone() {
    let (world, desk) = serving("vault").await;
    let gate = Gate::closed();
    world.script.once(Step::Build, Act::Wait(gate.clone()));
    let swap = swapping(&world.desks, labelled("vault", "new").with("policy", within("1s")));
    world.script.reached(Step::Build, 2).await;
    swap.abort();
    world.script.once(Step::Ask, Act::Hang);
    let waiting = asking(&desk);
    world.settle().await;
    assert!(desk.line().gates().is_none(), "the old one has none, and may come back");
    gate.open();
    let ended = tokio::time::timeout(Duration::from_mins(1), waiting).await.unwrap();
    let error = ended.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "who waited for the new driver meets its gates");
    assert_eq!(desk.ask("?").await.unwrap(), "new: ?");
    assert_eq!(desk.line().gates().unwrap().policy().deadline, Some(Duration::from_secs(1)));
    world.script.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn a_swap_without_a_policy_keeps_the_gates_in_force_and_what_they_know() {
    let world = World::new();
    let policy = Settings::new().with("bulkhead", Settings::new().with("max", 3));
    world.desks.configure("a", &paper().with("policy", policy)).unwrap();
    let desk = world.desks.get("a").await.unwrap();
    let before = desk.line().gates().unwrap();
    world.desks.swap("a", &paper()).await.unwrap().closed().await.unwrap();
    assert!(Arc::ptr_eq(&before, &desk.line().gates().unwrap()));
}

fn within(deadline: &str) -> Settings {
    Settings::new().with("deadline", deadline)
}

#[tokio::test(start_paused = true)]
async fn a_swap_keeps_the_deadline_of_its_caller_also_in_the_queue_and_with_an_exclusive_driver() {
    for (driver, queued) in [("paper", true), ("vault", true), ("paper", false), ("vault", false)] {
        let (world, desk) = serving(driver).await;
        let gate = Gate::closed();
        world.script.once(Step::Init, Act::Wait(gate.clone()));
        let first = queued.then(|| swapping(&world.desks, labelled(driver, "first")));
        world.settle().await;
        let begin = Clock::system().now();
        let limit = Duration::from_secs(1);
        let hurried = Deadline::within(&Clock::system(), limit);
        let settings = labelled(driver, "hurried");
        let swap = hurried.scope(world.desks.swap("a", &settings));
        let error = Box::pin(swap).await.map(drop).unwrap_err();
        assert_eq!(Clock::system().now() - begin, limit, "{driver} {queued}");
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        gate.open();
        if let Some(first) = first {
            first.await.unwrap().unwrap();
            assert_eq!(desk.ask("?").await.unwrap(), "first: ?", "the late one did nothing");
        }
        world.swept().await;
        desk.ask("?").await.unwrap();
        world.script.assert_tidy(1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_has_no_driver_to_swap() {
    let world = World::with(&["a"]);
    world.desks.group("g", &["a"], Priority).unwrap();
    let error = world.desks.swap("g", &paper()).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test(start_paused = true)]
async fn a_swap_whose_caller_is_dropped_at_any_await_leaves_nothing_half_built() {
    for failing in [None, Some(Step::Build), Some(Step::Init), Some(Step::Health)] {
        let polls = at_every_poll(
            async || {
                let (world, desk) = serving("paper").await;
                if let Some(step) = failing {
                    world.script.once(step, Act::Fail(outage()));
                }
                let desks = world.desks.clone();
                let swap =
                    async move { desks.swap("a", &labelled("paper", "new")).await.map(drop) };
                ((world, desk), swap)
            },
            async |(world, desk), ended| {
                world.swept().await;
                world.script.assert_tidy(1);
                let answer = desk.ask("?").await.unwrap();
                let serves = if matches!(ended, Some(Ok(()))) { "new: ?" } else { "old: ?" };
                assert_eq!(answer, serves, "{:?}", world.script.journal());
                assert_eq!(desk.line().in_flight(), 0);
                // Nor is the way blocked for the next one.
                world.script.always(Step::Build, Act::Work);
                drop(world.desks.swap("a", &labelled("paper", "next")).await);
                world.swept().await;
                world.script.assert_tidy(1);
            },
        )
        .await;
        assert!(polls >= 2, "{polls}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_exclusive_driver_is_closed_before_the_next_one_is_opened() {
    let (world, desk) = serving("vault").await;
    let swapped = world.desks.swap("a", &labelled("vault", "new")).await.unwrap();
    assert_eq!(swapped.generation, 2);
    swapped.closed().await.unwrap();
    let expected = ["old Close", "new Build", "new Init", "new Health"];
    assert_eq!(world.script.journal()[2..], expected);
    assert_eq!(world.script.live_max(), 1);
    assert_eq!(desk.ask("?").await.unwrap(), "new: ?");
}

#[tokio::test(start_paused = true)]
async fn a_ready_made_driver_is_not_closed_for_an_exclusive_one_that_may_fail() {
    let world = World::new();
    world.desks.insert("a", world.script.driver::<0>("given")).unwrap();
    world.script.once(Step::Init, Act::Fail(outage()));
    world.desks.swap("a", &labelled("vault", "new")).await.map(drop).unwrap_err();
    let desk = world.desks.get("a").await.unwrap();
    assert_eq!(desk.ask("?").await.unwrap(), "given: ?");
    world.desks.swap("a", &labelled("vault", "new")).await.unwrap().closed().await.unwrap();
    assert_eq!(desk.ask("?").await.unwrap(), "new: ?");
    world.script.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn calls_wait_while_an_exclusive_driver_is_exchanged_each_within_its_deadline() {
    let (world, desk) = serving("vault").await;
    let gate = Gate::closed();
    world.script.once(Step::Build, Act::Wait(gate.clone()));
    let swap = swapping(&world.desks, labelled("vault", "new"));
    world.script.reached(Step::Build, 2).await;

    let hurried = Deadline::within(&Clock::system(), Duration::from_secs(1));
    let patient = asking(&desk);
    let error = Box::pin(hurried.scope(desk.ask("?"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.outcome(), switchboard_core::Outcome::NotApplied);
    assert!(!patient.is_finished());
    gate.open();
    assert_eq!(patient.await.unwrap().unwrap(), "new: ?");
    swap.await.unwrap().unwrap();
    world.script.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn an_exclusive_driver_is_opened_again_if_the_next_one_fails() {
    for step in [Step::Build, Step::Init, Step::Health] {
        for act in [Act::Fail(outage()), Act::Panic, Act::Hang] {
            let (world, desk) = serving("vault").await;
            world.script.once(step, act);
            let call = asking(&desk);
            let error = swapping(&world.desks, labelled("vault", "new")).await.unwrap();
            let error = error.unwrap_err();
            assert_eq!(error.place().unwrap().instance.as_ref(), "a", "{error}");
            assert!(error.related().is_empty(), "{error}");
            assert_eq!(call.await.unwrap().unwrap(), "old: ?");
            assert_eq!(desk.line().serving(), Some(("vault", 2)), "{step:?}");
            assert_eq!(desk.ask("?").await.unwrap(), "old: ?");
            world.swept().await;
            assert_eq!(world.script.live_max(), 1, "{step:?}: {:?}", world.script.journal());
            world.script.assert_tidy(1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn when_neither_can_be_opened_both_errors_are_told_and_the_next_call_tries_the_old_one() {
    for act in [Act::Fail(outage()), Act::Panic, Act::Hang] {
        let (world, desk) = serving("vault").await;
        world.script.once(Step::Init, Act::Fail(Error::new(ErrorKind::Config, "bad lock")));
        world.script.once(Step::Init, act);
        let error = world.desks.swap("a", &labelled("vault", "new")).await.map(drop).unwrap_err();
        assert_eq!(error.message(), "bad lock", "{error:?}");
        assert_eq!(error.related().len(), 1, "{error:?}");
        assert_eq!(desk.ask("?").await.unwrap(), "old: ?");
        world.swept().await;
        assert_eq!(world.script.live_max(), 1, "{:?}", world.script.journal());
        world.script.assert_tidy(1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_exclusive_driver_never_lives_twice_although_one_that_failed_closes_slowly() {
    for act in [Act::Fail(outage()), Act::Panic, Act::Hang] {
        let (world, desk) = serving("vault").await;
        let gate = Gate::closed();
        world.script.once(Step::Init, act);
        world.script.once(Step::Close, Act::Work);
        world.script.once(Step::Close, Act::Wait(gate.clone()));
        let swap = swapping(&world.desks, labelled("vault", "new"));
        world.script.reached(Step::Close, 2).await;
        world.settle().await;
        assert_eq!(world.script.count(Step::Build), 2, "the old one is not opened again yet");
        gate.open();
        swap.await.unwrap().unwrap_err();
        assert_eq!(desk.ask("?").await.unwrap(), "old: ?");
        assert_eq!(world.script.live_max(), 1);
        world.script.assert_tidy(1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_exclusive_swap_runs_to_its_end_although_its_caller_is_dropped_at_any_await() {
    for failing in [None, Some(Step::Build), Some(Step::Init), Some(Step::Health)] {
        at_every_poll(
            async || {
                let (world, desk) = serving("vault").await;
                if let Some(step) = failing {
                    world.script.once(step, Act::Fail(outage()));
                }
                let desks = world.desks.clone();
                let swap =
                    async move { desks.swap("a", &labelled("vault", "new")).await.map(drop) };
                ((world, desk), swap)
            },
            async |(world, desk), _| {
                let answer = desk.ask("?").await.unwrap();
                assert!(["old: ?", "new: ?"].contains(&answer.as_str()), "{answer}");
                world.swept().await;
                assert_eq!(world.script.live_max(), 1, "{:?}", world.script.journal());
                world.script.assert_tidy(1);
            },
        )
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_exclusive_driver_never_lives_twice_when_swaps_queue_up() {
    let (world, _desk) = serving("glass").await;
    let gate = Gate::closed();
    world.script.once(Step::Build, Act::Wait(gate.clone()));
    // Seen from before the first swap, neither of them has an exclusive driver to close.
    let first = swapping(&world.desks, labelled("vault", "first"));
    world.script.reached(Step::Build, 2).await;
    let second = swapping(&world.desks, labelled("vault", "second"));
    world.settle().await;
    gate.open();
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    let journal = world.script.journal();
    let at = |line: &str| journal.iter().position(|found| found == line).unwrap();
    assert!(at("first Close") < at("second Build"), "{journal:?}");
}

#[tokio::test(start_paused = true)]
async fn an_exclusive_driver_never_lives_twice_when_a_swap_meets_the_first_creation() {
    let world = World::new();
    world.desks.configure("a", &labelled("vault", "old")).unwrap();
    let gate = Gate::closed();
    world.script.once(Step::Init, Act::Wait(gate.clone()));
    let call = asking(&world.desks.handle("a").unwrap());
    world.script.reached(Step::Init, 1).await;
    let swap = swapping(&world.desks, labelled("vault", "new"));
    world.settle().await;
    gate.open();
    swap.await.unwrap().unwrap();
    call.await.unwrap().unwrap();
    world.swept().await;
    assert_eq!(world.script.live_max(), 1, "{:?}", world.script.journal());
    world.script.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn an_exclusive_driver_never_lives_twice_when_it_comes_back_while_it_still_drains() {
    let (world, desk) = serving("vault").await;
    let session = desk.session().await.unwrap();
    drop(world.desks.swap("a", &labelled("glass", "between")).await.unwrap());
    let back = swapping(&world.desks, labelled("vault", "back"));
    world.settle().await;
    assert_eq!(desk.ask("?").await.unwrap(), "between: ?", "it serves until it is free");
    drop(session);
    back.await.unwrap().unwrap();
    world.swept().await;
    let journal = world.script.journal();
    let at = |line: &str| journal.iter().position(|found| found == line).unwrap();
    assert!(at("old Close") < at("back Build"), "{journal:?}");
    world.script.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn an_exclusive_driver_that_does_not_close_is_followed_by_no_other_while_it_is_used() {
    for act in [Act::Hang, Act::Fail(outage()), Act::Panic] {
        let (world, desk) = serving("vault").await;
        world.script.once(Step::Ask, Act::Hang);
        let call = asking(&desk);
        world.script.reached(Step::Ask, 1).await;
        world.script.once(Step::Close, act);
        let error = swapping(&world.desks, labelled("vault", "new")).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert_eq!(world.script.count(Step::Build), 1, "its file or port may still be taken");
        call.abort();
        assert_eq!(desk.ask("?").await.unwrap(), "old: ?", "the last use has ended");
        world.script.assert_tidy(1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_swaps_under_64_callers_fail_no_call_and_leave_one_instance() {
    let (world, desk) = serving("paper").await;
    let (done, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let (desk, done, asked) = (desk.clone(), done.clone(), asked.clone());
            tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    let held = desk.line().hold().expect("something always serves");
                    drop(held);
                    desk.ask("?").await.unwrap();
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for number in 0..1_000 {
        let swapped = world.desks.swap("a", &labelled("paper", "new")).await.unwrap();
        assert_eq!(swapped.generation, number + 2);
        if number % 100 == 0 {
            swapped.closed().await.unwrap();
        }
    }
    done.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    world.swept().await;
    assert!(asked.load(Ordering::Relaxed) > 64);
    assert_eq!(world.script.count(Step::Close), 1_000);
    assert_eq!(desk.line().in_flight(), 0);
    world.script.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn a_look_sees_who_serves_and_holds_nobody() {
    let world = World::new();
    world.desks.configure("a", &labelled("paper", "old")).unwrap();
    let desk = world.desks.handle("a").unwrap();
    assert!(desk.line().peek(|_| ()).is_none(), "nothing is built for a look");
    desk.ask("?").await.unwrap();
    let in_flight = desk.line().peek(|_| desk.line().in_flight());
    assert_eq!(in_flight, Some(0));
    world.desks.close(Duration::from_secs(1)).await.into_result().unwrap();
    assert!(desk.line().peek(|_| ()).is_none());
}

#[tokio::test(start_paused = true)]
async fn what_an_instance_can_do_follows_its_driver() {
    let world = World::new();
    let able = Descriptor::new("able").capability("drawer", Support::Emulated);
    world.script.register(world.desks.registry(), able).unwrap();
    world.desks.configure("a", &labelled("able", "old")).unwrap();
    let desk = world.desks.handle("a").unwrap();
    assert_eq!(desk.line().capabilities().await.unwrap().support("drawer"), Support::Emulated);
    world.desks.swap("a", &paper()).await.unwrap().closed().await.unwrap();
    assert!(!desk.line().capabilities().await.unwrap().has("drawer"));
}
