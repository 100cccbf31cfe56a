//! What a swap by hand leaves as it was, and what it says.

#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

mod files;
mod lamps;

use files::colour;
use lamps::{Bulbs, Lamps};
use switchboard::Switchboard;
use switchboard_core::{ErrorKind, Settings};

fn blue() -> Settings {
    Settings::new().with("driver", "bulb").with("colour", "blue")
}

async fn swap(board: &Switchboard, instance: &str, settings: &Settings) {
    board.swap(instance, settings).await.unwrap().closed().await.unwrap();
}

fn is_needed(board: &Switchboard, instance: &str) -> bool {
    let health = board.health().instances;
    health.iter().any(|health| health.instance == instance && health.needed)
}

fn settings_of(board: &Switchboard, path: &str) -> Vec<(String, String)> {
    let views = board.configuration().into_iter();
    views.filter(|it| it.path.starts_with(path)).map(|it| (it.path, it.value)).collect()
}

#[tokio::test]
async fn what_every_instance_has_stays_unless_the_swap_says_otherwise() {
    let text = "policy.fast.deadline = '1s'
        [lamp.door]
        driver = 'bulb'
        colour = 'red'
        required = true
        drain_limit = '7s'
        close_limit = '3s'
        policy = 'fast'";
    let board = Bulbs::default().board(text).build().await.unwrap();
    swap(&board, "lamp.door", &blue().with("close_limit", "4s")).await;
    assert!(is_needed(&board, "lamp.door"));
    let chain = board.explain("lamp.door").unwrap().chain;
    assert!(chain[0].settings.contains("1s"), "{chain:?}");
    let [close, colour, drain, driver, policy, required] = [
        ("close_limit", "4s"),
        ("colour", "blue"),
        ("drain_limit", "7s"),
        ("driver", "bulb"),
        ("policy", "fast"),
        ("required", "true"),
    ]
    .map(|(key, value)| (format!("lamp.door.{key}"), value.to_owned()));
    let mut shown = settings_of(&board, "lamp.door");
    shown.sort();
    assert_eq!(shown, [close, colour, drain, driver, policy, required]);
}

#[tokio::test]
async fn the_configuration_says_where_swapped_settings_come_from() {
    let text = "[lamp]\nDoor = { driver = 'bulb', colour = 'red', drain_limit = '7s' }";
    let board = Bulbs::default().board(text).build().await.unwrap();
    swap(&board, "lamp.door", &blue()).await;
    let shown = board.configuration();
    let origin = |path: &str| {
        let view = shown.iter().find(|view| view.path == path).unwrap();
        view.origin.clone()
    };
    assert!(origin("lamp.Door.colour").contains("swap.rs"), "{shown:?}");
    assert!(origin("lamp.Door.drain_limit").contains("lamps.toml"), "{shown:?}");
}

#[tokio::test]
async fn a_group_takes_over_its_deadline_and_nothing_that_only_drivers_have() {
    let text = "[lamp]
        one = { driver = 'bulb', colour = 'red', required = true, drain_limit = '7s' }
        two = { driver = 'bulb', colour = 'blue' }
        any = { members = ['one'], policy = { deadline = '1s' } }";
    let board = Bulbs::default().board(text).build().await.unwrap();
    let members = Settings::new().with("members", ["two"]);
    swap(&board, "lamp.any", &members).await;
    assert_eq!(colour(&board, "any").await, "blue");
    assert_eq!(board.explain("lamp.any").unwrap().chain[0].gate, "deadline");
    swap(&board, "lamp.any", &blue()).await;
    assert_eq!(board.explain("lamp.any").unwrap().chain[0].gate, "deadline");
    swap(&board, "lamp.one", &members).await;
    assert_eq!(colour(&board, "one").await, "blue");
}

#[tokio::test]
async fn an_instance_is_found_however_its_name_is_written() {
    let text = "[lamp]\nDoor = { driver = 'bulb', colour = 'red' }";
    let board = Bulbs::default().board(text).build().await.unwrap();
    for name in ["LAMP.DOOR", " lamp.Door ", "Lamp.door"] {
        let committed = board.swap(name, &blue()).await.unwrap();
        assert_eq!(committed.swapped, ["door"], "{name:?}");
        assert_eq!(board.explain(name).unwrap().driver.as_deref(), Some("bulb"));
    }
}

#[tokio::test]
async fn an_instance_that_the_configuration_does_not_have_is_left_to_its_manager() {
    let text = "[lamp]\ndoor = { driver = 'bulb', colour = 'red' }";
    let board = Bulbs::default().board(text).build().await.unwrap();
    let red = Settings::new().with("driver", "bulb").with("colour", "red");
    board.manager::<Lamps>().unwrap().configure("made", &red).unwrap();
    let error = board.swap("lamp.made", &blue()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:?}");
    assert!(error.hints().any(|hint| hint.contains("manager")), "{error:?}");
    assert_eq!(colour(&board, "made").await, "red");
}
