//! Reloads that meet others: dropped ones, ones that hang, plans and closing beside them.

#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

mod files;
mod lamps;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use files::{File, colour, door, is_over};
use lamps::{Bulbs, Lamps};
use switchboard::{Mistakes, Switchboard};
use switchboard_core::{ErrorKind, Origin, Problems, Settings};

const LIMIT: Duration = Duration::from_mins(1);

fn blue() -> Settings {
    Settings::new().with("driver", "bulb").with("colour", "blue")
}

fn state_of(board: &Switchboard, name: &str) -> &'static str {
    board.instances().iter().find(|view| view.name == name).unwrap().state
}

#[tokio::test]
async fn an_eager_instance_that_hangs_holds_nobody_up() {
    let (file, bulbs) = (File::new(&door("red")), Bulbs::default());
    let board = file.board(&bulbs).await;
    file.write(&format!(
        "{}
        early = {{ driver = 'bulb', colour = 'red', eager = true }}
        lost = {{ driver = 'lost', eager = true }}",
        door("green")
    ));
    let clock = board.environment().clock().clone();
    let start = clock.now();
    board.reload("test").await.unwrap();
    board.swap("lamp.door", &blue()).await.unwrap().closed().await.unwrap();
    while state_of(&board, "early") != "ready" {
        tokio::task::yield_now().await;
    }
    assert_eq!(state_of(&board, "lost"), "idle");
    let report = board.close(LIMIT).await;
    assert!(clock.now() - start < LIMIT, "{report:?}");
    assert_eq!(bulbs.built(), bulbs.closed());
}

#[tokio::test]
async fn a_reload_that_is_dropped_at_any_moment_is_recorded_if_it_was_applied() {
    for polls in 0..40 {
        let (file, bulbs) = (File::new(&door("red")), Bulbs::default());
        let board = file.board(&bulbs).await;
        assert_eq!(colour(&board, "door").await, "red");
        let eager = "early = { driver = 'bulb', colour = 'red', eager = true }
            lost = { driver = 'lost', eager = true }";
        file.write(&format!("{}{eager}", door("blue")));
        {
            let mut reload = Box::pin(board.reload("test"));
            for _ in 0..polls {
                if is_over(&mut reload).await {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        board.environment().reaper().idle(board.environment().clock().now() + LIMIT).await.unwrap();
        let is_applied = colour(&board, "door").await == "blue";
        assert_eq!(board.records().len(), usize::from(is_applied), "after {polls} polls");
        assert_eq!(board.instances().iter().any(|view| view.name == "early"), is_applied);
        while is_applied && state_of(&board, "early") != "ready" {
            tokio::task::yield_now().await;
        }
        board.close(LIMIT).await.into_result().unwrap();
        assert_eq!(bulbs.built(), bulbs.closed());
    }
}

#[tokio::test]
async fn a_closed_board_is_changed_no_more() {
    let file = File::new(&door("red"));
    let board = file.board(&Bulbs::default()).await;
    board.close(LIMIT).await.into_result().unwrap();
    file.write(&door("blue"));
    let refused = [
        board.reload("test").await.map(drop),
        board.plan().await.map(drop),
        board.swap("lamp.door", &blue()).await.map(drop),
    ];
    for error in refused.map(Result::unwrap_err) {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    }
}

#[tokio::test]
async fn a_reload_that_hangs_is_refused_when_the_board_is_closed() {
    let file = File::new(&door("red"));
    let board = file.board(&Bulbs::default()).await;
    file.write(&format!("{}lost = {{ driver = 'lost', required = true }}", door("blue")));
    let (reloaded, ()) = tokio::join!(board.reload("test"), async {
        while board.instances().iter().all(|view| view.name != "lost") {
            tokio::task::yield_now().await;
        }
        board.close(LIMIT).await;
    });
    assert_eq!(reloaded.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_plan_beside_reloads_finds_no_mistakes_that_are_none() {
    let text = |member: &str| {
        let lamp = |name: String| format!("{name} = {{ driver = 'bulb', colour = 'red' }}\n");
        let others = (0..50).map(|number| lamp(format!("x{number}")));
        let lamps: String = others.chain([lamp(member.to_owned())]).collect();
        format!("[lamp]\nany = {{ members = ['{member}'] }}\n{lamps}")
    };
    let file = File::new(&text("one"));
    let board = file.board(&Bulbs::default()).await;
    let over = Arc::new(AtomicBool::new(false));
    let planners: Vec<_> = (0..3)
        .map(|_| {
            let (board, over) = (board.clone(), over.clone());
            #[expect(clippy::disallowed_methods, reason = "a test is the program")]
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    board.plan().await.unwrap();
                }
            })
        })
        .collect();
    for round in 0..100 {
        file.replace(&text(if round % 2 == 0 { "two" } else { "one" }));
        board.reload("test").await.unwrap();
    }
    over.store(true, Ordering::Relaxed);
    for planner in planners {
        planner.await.unwrap();
    }
}

#[tokio::test]
async fn a_member_that_goes_is_told_where_the_group_names_it() {
    let file =
        File::new("[lamp]\none = { driver = 'bulb', colour = 'red' }\nany = { members = ['one'] }");
    let board = file.board(&Bulbs::default()).await;
    file.write("[lamp]\nany = { members = ['one'] }");
    let error = board.reload("test").await.unwrap_err();
    let problems: Vec<_> = error.find::<Problems>().unwrap().iter().collect();
    assert_eq!(problems.len(), 1, "{error:?}");
    assert_eq!(problems[0].path, "lamp.any.members[0]");
    assert_eq!(problems[0].origin, Origin::file(file.path(), 2, 20));
}

#[tokio::test]
async fn a_group_of_code_that_keeps_a_member_is_not_told_in_the_source_of_the_board() {
    let file = File::new(&door("red"));
    let board = file.board(&Bulbs::default()).await;
    let members = Settings::new().with("members", ["door"]);
    board.manager::<Lamps>().unwrap().configure("made", &members).unwrap();
    file.write("");
    let error = board.reload("test").await.unwrap_err();
    let problems = error.find::<Mistakes>().unwrap().problems();
    assert!(problems.iter().all(|problem| problem.origin == Origin::Default), "{problems:?}");
}

#[tokio::test]
async fn what_is_required_of_a_driver_is_checked_at_a_reload_too() {
    let file = File::new(&door("red"));
    let bulbs = Bulbs::default();
    let board = file.board(&bulbs).await;
    file.write("[lamp]\ndoor = { driver = 'bulb', colour = 'red', require = ['dimming'] }");
    let error = board.reload("test").await.unwrap_err();
    let problems = error.find::<Mistakes>().unwrap().problems();
    let paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["lamp.door.require[0]"]);
}

#[tokio::test]
async fn a_requirement_that_is_met_builds_nothing_new() {
    let file = File::new("[cache.a]\ndriver = 'memory'");
    let board = Switchboard::builder().file(file.path()).build().await.unwrap();
    board.cache("a").unwrap().forever("key", "value").await.unwrap();
    file.write("[cache.a]\ndriver = 'memory'\nrequire = ['increment']");
    board.reload("test").await.unwrap();
    assert!(board.cache("a").unwrap().get("key").await.unwrap().is_some());
}

#[tokio::test]
async fn what_waits_for_the_next_start_is_told_until_then() {
    let file = File::new("board.close_limit = '7s'");
    let board = file.board(&Bulbs::default()).await;
    file.write("board.close_limit = '8s'");
    for _ in 0..2 {
        assert_eq!(board.reload("test").await.unwrap().restart, ["board"]);
    }
    file.write("board.close_limit = '7s'");
    assert!(board.reload("test").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_start_that_is_dropped_closes_what_it_has_opened() {
    let bulbs = Bulbs::default();
    let text = format!("{}lost = {{ driver = 'lost', required = true }}", door("red"));
    let text = text.replace("'red'", "'red', required = true");
    {
        let mut start = Box::pin(bulbs.board(&text).build());
        while bulbs.built() == 0 {
            assert!(!is_over(&mut start).await);
            tokio::task::yield_now().await;
        }
        // The one is there by now, and the other never comes.
        for _ in 0..100 {
            assert!(!is_over(&mut start).await);
            tokio::task::yield_now().await;
        }
    }
    while bulbs.closed() == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_idle_instance_may_change_while_one_is_built_that_needs_it() {
    let mirror = |also: &str| format!("mirror = {{ driver = 'mirror', of = 'door'{also} }}");
    let file = File::new(&format!("{}{}", door("red"), mirror("")));
    let board = file.board(&Bulbs::default()).await;
    file.write(&format!("{}{}", door("blue"), mirror(", required = true")));
    let done = tokio::time::timeout(LIMIT, board.reload("test")).await;
    done.unwrap().unwrap();
    assert_eq!(colour(&board, "mirror").await, "blue");
}

#[tokio::test]
async fn a_driver_that_cannot_live_twice_may_get_another_name() {
    let lamp = |name: &str| {
        format!("[lamp]\n{name} = {{ driver = 'neon', colour = 'red', required = true }}")
    };
    let file = File::new(&lamp("old"));
    let bulbs = Bulbs::default();
    let board = file.board(&bulbs).await;
    file.write(&lamp("new"));
    board.reload("test").await.unwrap();
    assert_eq!(colour(&board, "new").await, "red");
    board.close(LIMIT).await.into_result().unwrap();
    assert_eq!(bulbs.built(), bulbs.closed());
}
