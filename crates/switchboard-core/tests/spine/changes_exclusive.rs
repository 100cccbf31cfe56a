//! Changes of drivers that cannot live twice.

use std::time::Duration;

use switchboard_core::{Change, ErrorKind};

use crate::desk::{Act, Desks, Gate, Step, World, labelled, needing, outage, paper};
use crate::dropping::at_every_poll;

const LIMIT: Duration = Duration::from_secs(10);

async fn answer(world: &World, name: &str) -> String {
    world.desks.get(name).await.unwrap().ask("?").await.unwrap()
}

async fn world_of(serving: &[&str]) -> World {
    let world = World::new();
    for name in serving {
        world.desks.configure(name, &labelled("vault", name)).unwrap();
        world.desks.get(name).await.unwrap();
    }
    world
}

#[tokio::test(start_paused = true)]
async fn what_a_call_may_build_meanwhile_is_not_built_ahead() {
    let world = World::new();
    world.desks.configure("a", &labelled("vault", "old")).unwrap();
    let mut change = world.desks.change();
    change.put("a", &labelled("vault", "new"));
    change.build("a");
    let prepared = change.prepare().await.unwrap();
    assert_eq!(answer(&world, "a").await, "old: ?");
    prepared.commit().closed().await.unwrap();
    assert_eq!(answer(&world, "a").await, "new: ?");
    assert_eq!(world.script.live_max(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_and_a_change_that_only_builds_build_once() {
    let world = World::new();
    world.desks.configure("a", &labelled("vault", "a")).unwrap();
    let mut change = world.desks.change();
    change.build("a");
    let gate = Gate::closed();
    world.script.once(Step::Init, Act::Wait(gate.clone()));
    let preparing = tokio::spawn(change.prepare());
    world.script.reached(Step::Init, 1).await;
    let desk = world.desks.handle("a").unwrap();
    let asking = tokio::spawn(async move { desk.ask("?").await });
    world.settle().await;
    gate.open();
    preparing.await.unwrap().unwrap().commit().closed().await.unwrap();
    assert_eq!(asking.await.unwrap().unwrap(), "a: ?");
    assert_eq!((world.script.count(Step::Build), world.script.live_max()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_one_that_is_built_needs_is_built_once_though_it_is_to_be_built_as_well() {
    let world = World::new();
    world.desks.configure("y", &labelled("vault", "y")).unwrap();
    world.desks.configure("x", &needing(&["desk.y"])).unwrap();
    let mut change = world.desks.change();
    change.build("x");
    change.build("y");
    change.prepare().await.unwrap().commit().closed().await.unwrap();
    world.swept().await;
    assert_eq!((world.script.count(Step::Build), world.script.live_max()), (2, 2));
    world.script.assert_tidy(2);
}

#[tokio::test(start_paused = true)]
async fn who_takes_a_name_waits_for_what_is_being_built_of_the_one_that_had_it() {
    let world = World::new();
    world.desks.configure("a", &labelled("vault", "old")).unwrap();
    let gate = Gate::closed();
    world.script.once(Step::Init, Act::Wait(gate.clone()));
    let desk = world.desks.handle("a").unwrap();
    let asking = tokio::spawn(async move { desk.ask("?").await });
    world.script.reached(Step::Init, 1).await;
    let mut change = world.desks.change();
    change.remove("a");
    change.prepare().await.unwrap().commit().closed().await.unwrap();
    world.desks.configure("a", &labelled("vault", "new")).unwrap();
    let desk = world.desks.handle("a").unwrap();
    let anew = tokio::spawn(async move { desk.ask("?").await });
    world.settle().await;
    assert!(!anew.is_finished());
    gate.open();
    assert_eq!(asking.await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(anew.await.unwrap().unwrap(), "new: ?");
    assert_eq!(world.script.live_max(), 1);
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_what_is_being_built_of_a_removed_instance() {
    let world = World::with(&["a"]);
    let gate = Gate::closed();
    world.script.once(Step::Build, Act::Wait(gate.clone()));
    let desk = world.desks.handle("a").unwrap();
    let asking = tokio::spawn(async move { desk.ask("?").await });
    world.script.reached(Step::Build, 1).await;
    let mut change = world.desks.change();
    change.remove("a");
    change.prepare().await.unwrap().commit().closed().await.unwrap();
    let desks = world.desks.clone();
    let closing = tokio::spawn(async move { desks.close(LIMIT).await });
    world.settle().await;
    assert!(!closing.is_finished());
    gate.open();
    asking.await.unwrap().unwrap_err();
    closing.await.unwrap().into_result().unwrap();
    world.script.assert_tidy(0);
}

fn renamed(world: &World) -> Change<Desks> {
    let mut change = world.desks.change();
    change.remove("a");
    change.put("b", &labelled("vault", "b"));
    change.build("b");
    change
}

#[tokio::test(start_paused = true)]
async fn one_that_is_renamed_waits_for_the_one_of_the_old_name() {
    let world = world_of(&["a"]).await;
    let session = world.desks.get("a").await.unwrap().session().await.unwrap();
    let done = renamed(&world).prepare().await.unwrap().commit();
    let desk = world.desks.handle("b").unwrap();
    let asking = tokio::spawn(async move { desk.ask("?").await });
    world.settle().await;
    assert!(!asking.is_finished());
    drop(session);
    done.closed().await.unwrap();
    assert_eq!(asking.await.unwrap().unwrap(), "b: ?");
    assert_eq!(world.script.live_max(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_renamed_is_exchanged_like_one_that_is_replaced() {
    let world = world_of(&["a"]).await;
    let before = world.desks.handle("a").unwrap();
    let prepared = renamed(&world).prepare().await.unwrap();
    assert_eq!(world.script.count(Step::Build), 1, "not ahead");
    let prepared = prepared.exchange_exclusive().await.unwrap();
    assert_eq!((world.script.count(Step::Build), world.script.live()), (2, 1));
    let asking = tokio::spawn(async move { before.ask("?").await });
    world.settle().await;
    assert!(!asking.is_finished(), "a call of the old name waits for what becomes of it");
    let done = prepared.commit();
    assert_eq!(
        (&done.added[..], &done.removed[..]),
        (&["b".to_owned()][..], &["a".to_owned()][..])
    );
    done.closed().await.unwrap();
    assert_eq!(asking.await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(answer(&world, "b").await, "b: ?");
    assert_eq!((world.script.count(Step::Build), world.script.live_max()), (2, 1));
    world.script.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn a_rename_that_is_given_up_or_fails_leaves_the_old_name() {
    let world = world_of(&["a"]).await;
    let prepared = renamed(&world).prepare().await.unwrap().exchange_exclusive().await.unwrap();
    prepared.abandon().await.unwrap();
    assert_eq!(answer(&world, "a").await, "a: ?");
    world.script.once(Step::Build, Act::Fail(outage()));
    let prepared = renamed(&world).prepare().await.unwrap();
    prepared.exchange_exclusive().await.map(drop).unwrap_err();
    assert_eq!(answer(&world, "a").await, "a: ?");
    assert_eq!(world.desks.names(), ["a"]);
    assert_eq!(world.script.live_max(), 1);
    world.script.assert_tidy(1);
}

/// Both instances with another label.
fn both_new(world: &World) -> Change<Desks> {
    let mut change = world.desks.change();
    change.put("a", &labelled("vault", "new a"));
    change.put("b", &labelled("vault", "new b"));
    change
}

async fn answers(world: &World) -> [String; 2] {
    [answer(world, "a").await, answer(world, "b").await]
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_fails_leaves_nothing_to_commit_and_the_old_drivers() {
    let world = world_of(&["a", "b"]).await;
    let prepared = both_new(&world).prepare().await.unwrap();
    world.script.once(Step::Build, Act::Work);
    world.script.once(Step::Build, Act::Fail(outage()));
    let error = prepared.exchange_exclusive().await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(answers(&world).await, ["a: ?", "b: ?"]);
    world.script.assert_tidy(2);
    assert_eq!(world.script.live_max(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_exchange_is_undone_by_abandoning_and_stays_by_committing() {
    let world = world_of(&["a", "b"]).await;
    let prepared = both_new(&world).prepare().await.unwrap().exchange_exclusive().await.unwrap();
    assert_eq!(answers(&world).await, ["new a: ?", "new b: ?"]);
    prepared.abandon().await.unwrap();
    assert_eq!(answers(&world).await, ["a: ?", "b: ?"]);

    let prepared = both_new(&world).prepare().await.unwrap().exchange_exclusive().await.unwrap();
    let built = world.script.count(Step::Build);
    let prepared = prepared.exchange_exclusive().await.unwrap();
    prepared.commit().closed().await.unwrap();
    assert_eq!(answers(&world).await, ["new a: ?", "new b: ?"]);
    assert_eq!(world.script.count(Step::Build), built, "once is enough");
    world.script.assert_tidy(2);
    assert_eq!(world.script.live_max(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_takes_too_long_for_its_caller_is_undone() {
    let world = world_of(&["a", "b"]).await;
    let gate = Gate::closed();
    let prepared = both_new(&world).prepare().await.unwrap();
    world.script.once(Step::Build, Act::Wait(gate.clone()));
    let exchanging = tokio::time::timeout(Duration::from_millis(1), prepared.exchange_exclusive());
    exchanging.await.map(drop).unwrap_err();
    gate.open();
    world.swept().await;
    assert_eq!(answers(&world).await, ["a: ?", "b: ?"]);
    world.script.assert_tidy(2);
}

#[tokio::test(start_paused = true)]
async fn the_old_settings_are_in_force_again_though_the_old_driver_does_not_come_back_at_once() {
    let world = world_of(&["a"]).await;
    let mut change = world.desks.change();
    change.put("a", &labelled("vault", "new"));
    let prepared = change.prepare().await.unwrap().exchange_exclusive().await.unwrap();
    world.script.once(Step::Build, Act::Fail(outage()));
    prepared.abandon().await.unwrap_err();
    assert_eq!(answer(&world, "a").await, "a: ?");
    world.script.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn two_that_trade_places_are_both_closed_before_either_is_opened() {
    for exchanges in [true, false] {
        let world = world_of(&["a", "b"]).await;
        let session = world.desks.get("b").await.unwrap().session().await.unwrap();
        let mut change = world.desks.change();
        change.put("a", &labelled("vault", "b"));
        change.put("b", &labelled("vault", "a"));
        let mut prepared = change.prepare().await.unwrap();
        let waiting = tokio::spawn(async move {
            if exchanges {
                prepared = prepared.exchange_exclusive().await.unwrap();
            }
            prepared.commit().closed().await.unwrap();
        });
        world.settle().await;
        let desk = world.desks.handle("a").unwrap();
        let asking = tokio::spawn(async move { desk.ask("?").await });
        world.settle().await;
        assert_eq!(world.script.count(Step::Build), 2, "b has not closed yet");
        drop(session);
        waiting.await.unwrap();
        assert_eq!(asking.await.unwrap().unwrap(), "b: ?");
        assert_eq!(answers(&world).await, ["b: ?", "a: ?"]);
        assert_eq!(world.script.live_max(), 2);
        world.script.assert_tidy(2);
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_that_are_exchanged_one_may_need_the_other() {
    let world = world_of(&["b"]).await;
    let needs = |label: &str| labelled("vault", label).with("needs", vec!["desk.b".to_owned()]);
    world.desks.configure("a", &needs("a")).unwrap();
    world.desks.get("a").await.unwrap();
    let mut change = world.desks.change();
    change.put("a", &needs("new a"));
    change.put("b", &labelled("vault", "new b"));
    let prepared = change.prepare().await.unwrap().exchange_exclusive().await.unwrap();
    prepared.commit().closed().await.unwrap();
    assert_eq!(answers(&world).await, ["new a: ?", "new b: ?"]);
    world.script.assert_tidy(2);
}

#[tokio::test(start_paused = true)]
async fn one_whose_type_goes_nowhere_is_built_ahead_and_refused_if_it_fails() {
    let world = World::with(&["a"]);
    world.desks.get("a").await.unwrap();
    let mut change = world.desks.change();
    change.put("a", &labelled("vault", "new"));
    world.script.once(Step::Build, Act::Fail(outage()));
    change.prepare().await.map(drop).unwrap_err();
    assert_eq!(answer(&world, "a").await, "a: ?");
}

#[tokio::test(start_paused = true)]
async fn an_exclusive_exchange_can_be_dropped_anywhere() {
    let stage = async || {
        let world = world_of(&["a", "b"]).await;
        let mut change = world.desks.change();
        change.put("a", &labelled("vault", "new"));
        change.put("b", &labelled("vault", "new"));
        let prepared = change.prepare().await.unwrap();
        (world, prepared.exchange_exclusive())
    };
    let polls = at_every_poll(stage, async |world, exchanged| {
        drop(exchanged);
        world.swept().await;
        assert_eq!(
            (answer(&world, "a").await, answer(&world, "b").await),
            ("a: ?".into(), "b: ?".into())
        );
        world.desks.swap("a", &paper()).await.unwrap().closed().await.unwrap();
        world.script.assert_tidy(2);
    })
    .await;
    assert!(polls > 3, "{polls}");
}
