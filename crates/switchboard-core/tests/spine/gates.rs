//! What a swap, a retune and something open do to the gates of an instance.

use std::time::Duration;

use switchboard_core::{
    BreakerPolicy, BreakerState, Error, ErrorKind, Policy, RateLimit, Settings,
};

use crate::desk::{Act, Desk, Step, World, labelled, outage, paper, write};

/// A world whose instance `a` serves behind a breaker that opens after five failures.
async fn behind_a_breaker(policy: BreakerPolicy) -> (World, Desk) {
    let world = World::with(&["a"]);
    let breaker = BreakerPolicy { min_calls: 5, ..policy };
    retune(&world, breaker);
    let desk = world.desks.get("a").await.unwrap();
    (world, desk)
}

fn retune(world: &World, breaker: BreakerPolicy) {
    let policy = Policy { breaker: Some(breaker), ..Policy::default() };
    world.desks.retune("a", policy).unwrap();
}

fn state(desk: &Desk) -> BreakerState {
    desk.line().gates().unwrap().breaker().unwrap().state()
}

/// Calls until the breaker has seen enough failures to open.
async fn fail_until_open(world: &World, desk: &Desk) {
    world.script.always(Step::Ask, Act::Fail(outage()));
    for _ in 0..5 {
        desk.ask("?").await.unwrap_err();
    }
    assert_eq!(state(desk), BreakerState::Open);
    world.script.always(Step::Ask, Act::Work);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_asks_for_a_year_of_rest_is_heeded_for_a_minute() {
    let world = World::with(&["a"]);
    let pace = RateLimit {
        rate: 100,
        per: Duration::from_secs(1),
        burst: 100,
        wait: Duration::from_secs(1),
    };
    world.desks.retune("a", Policy { rate_limit: Some(pace), ..Policy::default() }).unwrap();
    let desk = world.desks.get("a").await.unwrap();
    let year = Duration::from_hours(365 * 24);
    let slower = Error::new(ErrorKind::RateLimited, "slower").retry_after(year);
    world.script.once(Step::Ask, Act::Fail(slower));
    desk.ask("?").await.unwrap_err();
    assert_eq!(desk.ask("?").await.unwrap_err().kind(), ErrorKind::RateLimited);
    assert_eq!(world.script.count(Step::Ask), 1, "the hint is heeded");
    tokio::time::advance(Duration::from_mins(1)).await;
    desk.ask("?").await.expect("but it cannot lock the instance");
}

#[tokio::test(start_paused = true)]
async fn what_sessions_of_an_old_driver_meet_is_not_held_against_the_new_one() {
    let (world, desk) = behind_a_breaker(BreakerPolicy::default()).await;
    let mut session = desk.session().await.unwrap();
    drop(world.desks.swap("a", &labelled("paper", "new")).await.unwrap());
    world.script.always(Step::Write, Act::Fail(outage()));
    for _ in 0..50 {
        write(&mut session).await.unwrap_err();
    }
    assert_eq!(state(&desk), BreakerState::Closed);
    assert_eq!(desk.ask("?").await.unwrap(), "new: ?");
}

#[tokio::test(start_paused = true)]
async fn what_sessions_of_the_serving_driver_meet_opens_the_breaker() {
    let (world, desk) = behind_a_breaker(BreakerPolicy::default()).await;
    let mut session = desk.session().await.unwrap();
    world.script.always(Step::Write, Act::Fail(outage()));
    for _ in 0..50 {
        write(&mut session).await.unwrap_err();
    }
    assert_eq!(state(&desk), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_step_inside_something_open_is_never_a_probe() {
    let probe_once = BreakerPolicy { half_open: 1, ..BreakerPolicy::default() };
    let (world, desk) = behind_a_breaker(probe_once).await;
    let mut session = desk.session().await.unwrap();
    fail_until_open(&world, &desk).await;
    tokio::time::advance(Duration::from_hours(1)).await;
    write(&mut session).await.unwrap();
    assert_ne!(state(&desk), BreakerState::Closed, "that it still writes proves no new opening");
    desk.ask("?").await.unwrap();
    assert_eq!(state(&desk), BreakerState::Closed, "a call does");
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_forced_outlives_a_retune_of_the_breaker() {
    let (world, desk) = behind_a_breaker(BreakerPolicy::default()).await;
    desk.line().gates().unwrap().breaker().unwrap().force_open();
    retune(&world, BreakerPolicy { failure_rate: 0.9, ..BreakerPolicy::default() });
    assert_eq!(state(&desk), BreakerState::ForcedOpen);
    desk.ask("?").await.unwrap_err();
    assert_eq!(world.script.count(Step::Ask), 0);
    desk.line().gates().unwrap().breaker().unwrap().reset();
    desk.ask("?").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_swap_closes_a_breaker_that_is_told_to_start_over_and_no_other() {
    for (reset_on_swap, expected) in [(false, BreakerState::Open), (true, BreakerState::Closed)] {
        let policy = BreakerPolicy { reset_on_swap, ..BreakerPolicy::default() };
        let (world, desk) = behind_a_breaker(policy).await;
        fail_until_open(&world, &desk).await;
        drop(world.desks.swap("a", &labelled("paper", "new")).await.unwrap());
        assert_eq!(state(&desk), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_swap_never_undoes_what_an_operator_forced() {
    let breaker = Settings::new().with("reset_on_swap", true);
    let forced = paper().with("policy", Settings::new().with("breaker", breaker));
    let world = World::new();
    world.desks.configure("a", &forced).unwrap();
    let desk = world.desks.get("a").await.unwrap();
    desk.line().gates().unwrap().breaker().unwrap().force_open();
    drop(world.desks.swap("a", &labelled("paper", "new")).await.unwrap());
    assert_eq!(state(&desk), BreakerState::ForcedOpen);
}
