//! What outlives the call that opened it: sessions and streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use switchboard_core::{Clock, ErrorKind, Line, Outcome};

use crate::desk::{Act, Desk, Desks, Gate, Step, World, labelled, next, op, outage, settle, write};
use crate::dropping::at_every_poll;

const DRAIN: Duration = Duration::from_secs(30);

async fn serving() -> (World, Desk) {
    let world = World::new();
    world.desks.configure("a", &labelled("paper", "old")).unwrap();
    let desk = world.desks.get("a").await.unwrap();
    (world, desk)
}

#[tokio::test(start_paused = true)]
async fn a_session_is_opened_used_and_closed_by_dropping_it() {
    let (world, desk) = serving().await;
    let mut session = desk.session().await.unwrap();
    assert_eq!(session.driver().driver_name(), "paper");
    assert_eq!(desk.line().in_flight(), 1);
    assert_eq!(write(&mut session).await.unwrap(), 1);
    assert_eq!(write(&mut session).await.unwrap(), 2);
    assert_eq!(world.script.open(), 1);
    drop(session);
    assert_eq!(desk.line().in_flight(), 0);
    world.script.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn the_items_of_a_stream_are_pulled_one_by_one() {
    let (world, desk) = serving().await;
    let mut stream = desk.listen().await.unwrap();
    let mut items = Vec::new();
    while let Some(item) = next(&mut stream).await.unwrap() {
        items.push(item);
    }
    assert_eq!(items, [1, 2, 3]);
    drop(stream);
    world.script.assert_tidy(1);
}

/// Notes how many holds there are when it is dropped.
struct SeesHolds(Line<Desks>, Arc<AtomicUsize>);

impl Drop for SeesHolds {
    fn drop(&mut self) {
        self.1.store(self.0.in_flight() + 1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn the_opened_thing_is_dropped_first_and_lets_the_driver_go_afterwards() {
    let (_world, desk) = serving().await;
    let seen = Arc::new(AtomicUsize::new(0));
    let opening = |_held| {
        let opened = SeesHolds(desk.line().clone(), seen.clone());
        async move { Ok(opened) }
    };
    let leased = desk.line().open(op::SESSION, opening).await.unwrap();
    drop(leased);
    assert_eq!(seen.load(Ordering::SeqCst), 2, "it saw its own hold");
    assert_eq!(desk.line().in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_opening_that_fails_leaves_nothing_open() {
    let (world, desk) = serving().await;
    for act in [Act::Fail(outage()), Act::Fail(outage().not_applied())] {
        world.script.once(Step::Open, act);
        let error = desk.session().await.map(drop).unwrap_err();
        assert_eq!(error.place().unwrap().to_string(), "desk.a (paper) session");
        assert_eq!(desk.line().in_flight(), 0);
    }
    world.script.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_fails_says_where_and_leaves_the_session_usable() {
    let (world, desk) = serving().await;
    let mut session = desk.session().await.unwrap();
    world.script.once(Step::Write, Act::Fail(outage()));
    let error = write(&mut session).await.unwrap_err();
    assert_eq!(error.place().unwrap().to_string(), "desk.a (paper) write");
    assert_eq!(world.script.count(Step::Write), 1, "what happens inside is never retried");
    assert_eq!(write(&mut session).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_steps_inside_are_counted() {
    let (world, desk) = serving().await;
    let mut session = desk.session().await.unwrap();
    write(&mut session).await.unwrap();
    world.script.once(Step::Write, Act::Fail(outage()));
    write(&mut session).await.unwrap_err();
    world.script.once(Step::Write, Act::Hang);
    tokio::time::timeout(DRAIN, write(&mut session)).await.unwrap_err();
    let figures = desk.line().figures();
    let of = |name| figures.iter().find(|figures| figures.operation == name).unwrap();
    assert_eq!(of("session").succeeded, 1);
    assert_eq!((of("write").succeeded, of("write").cancelled), (1, 1));
    assert_eq!(of("write").failed, [(ErrorKind::Unavailable, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_open_during_a_swap_stays_with_the_old_driver_until_it_is_dropped() {
    let (world, desk) = serving().await;
    let mut session = desk.session().await.unwrap();
    let swapped = world.desks.swap("a", &labelled("paper", "new")).await.unwrap();
    assert_eq!(desk.ask("?").await.unwrap(), "new: ?");
    tokio::time::advance(DRAIN / 2).await;
    assert_eq!(write(&mut session).await.unwrap(), 1);
    assert_eq!(world.script.journal().last().unwrap(), "old Write");
    assert_eq!(world.script.count(Step::Close), 0);
    assert_eq!(desk.line().in_flight(), 1);
    drop(session);
    swapped.closed().await.unwrap();
    let journal = world.script.journal();
    assert!(journal.ends_with(&["old \"opened thing dropped\"".into(), "old Close".into()]));
    assert_eq!(desk.line().in_flight(), 0);
    world.script.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn past_the_drain_limit_what_is_open_answers_unavailable_and_reaches_no_driver() {
    let (world, desk) = serving().await;
    let mut session = desk.session().await.unwrap();
    let mut stream = desk.listen().await.unwrap();
    let begin = Clock::system().now();
    let swapped = world.desks.swap("a", &labelled("paper", "new")).await.unwrap();
    swapped.closed().await.unwrap();
    assert_eq!(Clock::system().now() - begin, DRAIN);
    for error in [write(&mut session).await.unwrap_err(), next(&mut stream).await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.outcome(), Outcome::NotApplied);
        assert_eq!(error.hints().collect::<Vec<_>>(), ["open it again"]);
    }
    assert_eq!((world.script.count(Step::Write), world.script.count(Step::Next)), (0, 0));
    assert_eq!(desk.line().in_flight(), 2);
    drop((session, stream));
    assert_eq!(desk.line().in_flight(), 0);
    world.script.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn past_the_drain_limit_all_ends_well_but_nothing_is_made_to_last() {
    let (world, desk) = serving().await;
    let mut session = desk.session().await.unwrap();
    let swapped = world.desks.swap("a", &labelled("paper", "new")).await.unwrap();
    swapped.closed().await.unwrap();
    let (_, step) = session.parts();
    let nobody = || async { unreachable!("nobody is asked") };
    step.end(op::WRITE, nobody()).await.unwrap();
    let error = step.complete(op::WRITE, nobody()).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied));
    assert_eq!(error.place().unwrap().to_string(), "desk.a (paper) write");
}

#[tokio::test(start_paused = true)]
async fn a_step_that_waits_when_the_drain_limit_passes_ends_with_unavailable() {
    let (world, desk) = serving().await;
    world.script.once(Step::Next, Act::Hang);
    let mut stream = desk.listen().await.unwrap();
    let waiting = tokio::spawn(async move { next(&mut stream).await });
    world.script.reached(Step::Next, 1).await;
    let begin = Clock::system().now();
    drop(world.desks.swap("a", &labelled("paper", "new")).await.unwrap());
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(Clock::system().now() - begin, DRAIN);
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.outcome(), Outcome::Unknown, "it had begun");
    world.swept().await;
    world.script.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_is_done_by_itself_beats_the_drain_limit() {
    let (world, desk) = serving().await;
    let gate = Gate::closed();
    world.script.once(Step::Next, Act::Wait(gate.clone()));
    let mut stream = desk.listen().await.unwrap();
    let waiting = tokio::spawn(async move { next(&mut stream).await });
    world.script.reached(Step::Next, 1).await;
    drop(world.desks.swap("a", &labelled("paper", "new")).await.unwrap());
    tokio::time::advance(DRAIN / 2).await;
    gate.open();
    assert_eq!(waiting.await.unwrap().unwrap(), Some(1));
    world.swept().await;
    world.script.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn closing_the_manager_ends_what_is_open_within_its_limit() {
    let (world, desk) = serving().await;
    let mut session = desk.session().await.unwrap();
    let begin = Clock::system().now();
    world.desks.close(Duration::from_secs(4)).await.into_result().unwrap();
    assert!(Clock::system().now() - begin <= Duration::from_secs(4));
    assert_eq!(write(&mut session).await.unwrap_err().kind(), ErrorKind::Unavailable);
    drop(session);
    world.script.assert_tidy(0);
}

#[tokio::test(start_paused = true)]
async fn an_opening_dropped_at_any_await_leaves_nothing_open_and_nothing_in_flight() {
    for is_built in [false, true] {
        let polls = at_every_poll(
            async || {
                let world = World::with(&["a"]);
                let desk = world.desks.handle("a").unwrap();
                if is_built {
                    desk.ask("?").await.unwrap();
                }
                let opening = desk.clone();
                ((world, desk), async move { opening.session().await.map(drop) })
            },
            async |(world, desk), _| {
                assert_eq!(desk.line().in_flight(), 0);
                assert_eq!(world.script.open(), 0);
                desk.session().await.unwrap();
                world.swept().await;
                world.script.assert_tidy(1);
            },
        )
        .await;
        assert!(polls >= 2, "{polls}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_or_a_call_dropped_at_any_await_leaves_nothing_in_flight_beside_its_session() {
    at_every_poll(
        async || {
            let (world, desk) = serving().await;
            let opened = desk.clone();
            let using = async move {
                let mut session = opened.session().await?;
                write(&mut session).await?;
                opened.ask("?").await?;
                write(&mut session).await
            };
            ((world, desk), using)
        },
        async |(world, desk), _| {
            settle().await;
            assert_eq!(desk.line().in_flight(), 0);
            world.script.assert_tidy(1);
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_call_or_a_step_leaves_nothing_in_flight() {
    let (world, desk) = serving().await;
    world.script.once(Step::Ask, Act::Panic);
    world.script.once(Step::Write, Act::Panic);
    let call = desk.clone();
    let panicked = tokio::spawn(async move { call.ask("?").await.map(drop) }).await;
    assert!(panicked.unwrap_err().is_panic());
    let call = desk.clone();
    let panicked = tokio::spawn(async move {
        let mut session = call.session().await.unwrap();
        write(&mut session).await.map(drop)
    });
    assert!(panicked.await.unwrap_err().is_panic());
    assert_eq!(desk.line().in_flight(), 0);
    world.script.assert_tidy(1);
    assert_eq!(desk.ask("?").await.unwrap(), "old: ?");
}
