//! What becomes of an instance that cannot be built: it is down, and tried again.

use std::time::Duration;

use switchboard_core::Settings;
use switchboard_testkit::Answer;

use crate::stage::{
    Lamps, ROUND, Stage, feature, lamp, of, pass, reason, status, throughout, until,
};

#[tokio::test(start_paused = true)]
async fn a_feature_does_not_work_without_what_could_not_be_connected() {
    let stage = Stage::default();
    stage.unplug("desk");
    let text =
        "lamp.desk = { driver = 'bulb', eager = true }\nfeature.reading.needs = ['lamp.desk']";
    let board = stage.board(text).await;
    for view in [board.health(), board.check_health().await] {
        let desk = of(&view, "desk");
        assert_eq!((view.ready, view.status, desk.status), (false, "down", "down"));
        let reason = desk.reason.unwrap();
        assert!(reason.contains("could not be built") && reason.contains("no socket"), "{reason}");
    }
    assert_eq!(feature(&board, "reading").missing, ["lamp.desk"]);
}

#[tokio::test(start_paused = true)]
async fn it_is_tried_again_until_it_can_be_built_although_nobody_calls() {
    let stage = Stage::default();
    stage.unplug("desk");
    let text =
        "lamp.desk = { driver = 'bulb', eager = true }\nfeature.reading.needs = ['lamp.desk']";
    let board = stage.board(text).await;
    pass(ROUND * 3).await;
    assert!((3..=5).contains(&stage.builds("desk")), "{}", stage.builds("desk"));
    assert!(!board.health().ready);
    stage.plug_in("desk");
    pass(ROUND).await;
    assert!(board.health().ready, "{:?}", board.health());
    let builds = stage.builds("desk");
    until(&board, |view| of(view, "desk").status == "up").await;
    pass(ROUND * 3).await;
    assert_eq!(stage.builds("desk"), builds, "what serves is not built again");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_has_used_is_neither_down_nor_built() {
    let stage = Stage::default();
    stage.unplug("desk");
    let board =
        stage.board("lamp.desk.driver = 'bulb'\nfeature.reading.needs = ['lamp.desk']").await;
    throughout(&board, |view| view.ready && of(view, "desk").status == "not checked").await;
    assert_eq!(stage.builds("desk"), 0);
    lamp(&board, "desk").shine().await.unwrap_err();
    assert_eq!((status(&board, "desk"), board.health().ready), ("down", false));
    stage.plug_in("desk");
    lamp(&board, "desk").shine().await.unwrap();
    assert_eq!((status(&board, "desk"), board.health().ready), ("not checked", true));
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_while_it_is_built_keeps_no_other_from_being_tried() {
    let stage = Stage::default();
    stage.unplug("desk");
    stage.unplug("shelf");
    let text = "lamp = {
        desk = { driver = 'bulb', eager = true, build_limit = '10m' },
        shelf = { driver = 'bulb', eager = true },
    }";
    let board = stage.board(text).await;
    stage.socket("desk").otherwise(|_| Answer::hang());
    pass(ROUND).await;
    stage.plug_in("shelf");
    // It is tried in one round and looked at in the next, and rounds are not in step.
    until(&board, |view| of(view, "shelf").status == "up").await;
    assert_eq!((status(&board, "desk"), stage.builds("desk")), ("down", 2));
    let reaper = board.environment().reaper().clone();
    let report = board.close(Duration::from_secs(5)).await;
    assert!(report.errors.is_empty(), "{report:?}");
    assert_eq!(reaper.figures().running, 0);
}

#[tokio::test(start_paused = true)]
async fn a_group_is_down_when_none_of_its_members_can_be_built() {
    let stage = Stage::default();
    stage.unplug("a");
    stage.unplug("b");
    let board = stage
        .board(
            "lamp.a.driver = 'bulb'\nlamp.b.driver = 'bulb'
            lamp.any = { members = ['a', 'b'] }\nfeature.reading.needs = ['lamp.any']",
        )
        .await;
    lamp(&board, "any").shine().await.unwrap_err();
    assert_eq!((status(&board, "any"), board.health().ready), ("down", false));
    assert_eq!(reason(&board, "any"), "all of its members are down");
    stage.plug_in("b");
    pass(ROUND).await;
    assert_eq!((status(&board, "any"), board.health().ready), ("degraded", true));
}

#[tokio::test(start_paused = true)]
async fn what_went_wrong_does_not_hold_for_other_settings() {
    let stage = Stage::default();
    stage.unplug("desk");
    let board = stage.board("lamp.desk = { driver = 'bulb', eager = true }").await;
    assert_eq!(status(&board, "desk"), "down");
    let manager = board.manager::<Lamps>().unwrap();
    let mut change = manager.change();
    change.put("desk", &Settings::new().with("driver", "bulb"));
    change.prepare().await.unwrap().commit().closed().await.unwrap();
    assert_eq!(status(&board, "desk"), "not checked");
}
