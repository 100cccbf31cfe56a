//! What a plan shows before anything happens: each setting as it is and as it will be, and whose handles
//! end.

#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

mod files;
mod lamps;

use files::File;
use lamps::{Bulbs, Lamps};
use switchboard::{Plan, PlannedSetting};
use switchboard_core::ErrorKind;

/// Each setting of the only instance that changes, as a line.
fn settings(plan: &Plan) -> Vec<String> {
    let or_nothing = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
    let line = |setting: &PlannedSetting| {
        let [before, value] = [&setting.before, &setting.value].map(or_nothing);
        format!("{} {before} → {value}", setting.path)
    };
    assert_eq!(plan.changes.len(), 1, "{plan:?}");
    plan.changes[0].settings.iter().map(line).collect()
}

/// What becomes of `[lamp]` when it says `after` instead of `before`.
async fn planned(before: &str, after: &str) -> Plan {
    let file = File::new(&format!("[lamp]\n{before}"));
    let board = file.board(&Bulbs::default()).await;
    file.write(&format!("[lamp]\n{after}"));
    board.plan().await.unwrap()
}

#[tokio::test]
async fn a_setting_is_shown_as_it_was_and_as_it_will_be() {
    let plan = planned(
        "door = { driver = 'bulb', colour = 'red' }",
        "door = { driver = 'neon', colour = 'blue' }",
    )
    .await;
    assert_eq!(settings(&plan), ["driver bulb → neon", "colour red → blue"]);
    let origin = &plan.changes[0].settings[1].origin;
    assert!(origin.contains("lamps.toml:2:"), "{origin}");
}

#[tokio::test]
async fn what_goes_back_to_its_default_is_shown_once_with_that() {
    let plan = planned(
        "door = { driver = 'bulb', colour = 'red', broken = true }",
        "door = { driver = 'bulb', colour = 'red' }",
    )
    .await;
    assert_eq!(settings(&plan), ["broken true → false"]);
    let back = planned(
        "door = { driver = 'bulb', colour = 'red' }",
        "door = { driver = 'bulb', colour = 'red', broken = true }",
    )
    .await;
    assert_eq!(settings(&back), ["broken false → true"]);
}

#[tokio::test]
async fn a_setting_that_goes_has_no_value_any_more_and_a_new_one_had_none() {
    let plan = planned(
        "other = { driver = 'lost' }
        door = { driver = 'bulb', colour = 'red' }",
        "other = { driver = 'lost' }
        door = { driver = 'mirror', of = 'other' }",
    )
    .await;
    assert_eq!(
        settings(&plan),
        ["driver bulb → mirror", "of nothing → other", "colour red → nothing"]
    );
    let added = planned("", "door = { driver = 'lost' }").await;
    assert!(settings(&added).contains(&"driver nothing → lost".to_owned()), "{added:?}");
}

#[tokio::test]
async fn neither_the_old_nor_the_new_secret_is_shown() {
    // No driver of a lamp has a secret of its own, but an address may carry one.
    let address =
        |word: &str| format!("[lamp]\ndoor = {{ driver = 'mirror', of = 'http://u:{word}@h' }}");
    let file = File::new(&address("canary-old"));
    let board = file.board(&Bulbs::default()).await;
    file.write(&address("canary-new"));
    let plan = board.plan().await.unwrap();
    let shown = format!("{:?}", plan.changes);
    assert_eq!(settings(&plan).len(), 1, "{shown}");
    assert!(!shown.contains("canary"), "{shown}");
}

#[tokio::test]
async fn a_plan_tells_whose_handles_end_and_they_do() {
    let two =
        "one = { driver = 'bulb', colour = 'red' }\ntwo = { driver = 'bulb', colour = 'red' }\n";
    let file = File::new(&format!(
        "[lamp]\n{two}door = {{ driver = 'bulb', colour = 'red' }}\nhall.members = ['one', 'two']"
    ));
    let board = file.board(&Bulbs::default()).await;
    let [door, hall] = ["door", "hall"].map(|name| board.handle::<Lamps>(name).unwrap());
    file.write(&format!(
        "[lamp]\n{two}hall = {{ driver = 'bulb', colour = 'red' }}\ndoor.members = ['one', 'two']"
    ));
    let end = "its handles end, and have to be asked for again";
    let expected = [
        format!("lamp.door becomes a group: {end}"),
        format!("lamp.hall becomes an instance with a driver: {end}"),
    ];
    assert_eq!(board.plan().await.unwrap().warnings, expected);
    assert_eq!(board.reload("test").await.unwrap().warnings, expected);
    for handle in [door, hall] {
        assert_eq!(handle.colour().await.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    assert_eq!(board.plan().await.unwrap().warnings, [""; 0]);
}

#[tokio::test]
async fn a_change_under_which_handles_go_on_warns_of_nothing() {
    let plan = planned(
        "door = { driver = 'bulb', colour = 'red' }",
        "door = { driver = 'neon', colour = 'blue' }",
    )
    .await;
    assert_eq!(plan.warnings, [""; 0]);
}
