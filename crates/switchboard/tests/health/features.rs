//! What instances mean for the features of the application, and for whether it gets traffic.

use switchboard_core::Health;

use crate::stage::{Stage, feature, of};

const MAP: &str = "
    lamp.idle.driver = 'bulb'
    feature.reading = { needs = ['lamp.desk'], wants = ['lamp.shelf'] }
    feature.sleeping = { wants = ['lamp.bed'] }
    feature.dreaming = { needs = ['lamp.idle'] }
    feature.thinking = {}
";

#[tokio::test(start_paused = true)]
async fn a_feature_is_down_without_what_it_needs_and_degraded_without_what_it_wants() {
    let stage = Stage::default();
    let board = stage.lit(&["desk", "shelf", "bed"], MAP).await;
    let (up, down, dim) = (Health::up(), Health::down("broken"), Health::degraded("dim"));
    let (desk, shelf) = (["lamp.desk"].as_slice(), ["lamp.shelf"].as_slice());
    let both = ["lamp.desk", "lamp.shelf"].as_slice();
    let cases = [
        // The desk, the shelf: the feature, what it misses, what impairs it, whether all is ready.
        (&up, &up, "up", [].as_slice(), [].as_slice(), true),
        (&up, &dim, "degraded", &[], shelf, true),
        (&up, &down, "degraded", &[], shelf, true),
        (&dim, &up, "degraded", &[], desk, true),
        (&dim, &down, "degraded", &[], both, true),
        (&down, &up, "down", desk, &[], false),
        (&down, &down, "down", desk, shelf, false),
    ];
    for (needed, wanted, status, missing, impaired, ready) in cases {
        stage.feels("desk", needed.clone());
        stage.feels("shelf", wanted.clone());
        let view = board.check_health().await;
        let reading = feature(&board, "reading");
        let case = format!("{needed:?} {wanted:?}");
        assert_eq!((reading.status, view.ready), (status, ready), "{case}");
        assert_eq!(reading.missing, missing, "{case}");
        assert_eq!(reading.impaired, impaired, "{case}");
        assert!(view.live, "{case}");
        assert_eq!(feature(&board, "sleeping").status, "up", "it has nothing to do with it");
    }
}

#[tokio::test(start_paused = true)]
async fn features_are_told_in_order_and_a_need_that_nobody_has_used_is_no_lack() {
    let stage = Stage::default();
    let board = stage.lit(&["desk", "shelf", "bed"], MAP).await;
    let view = board.health();
    assert!(view.ready, "{view:?}");
    let mut found: Vec<_> =
        view.features.iter().map(|found| (found.feature.as_str(), found.status)).collect();
    // The order of the configuration is the order in which the settings keep their keys.
    found.sort_unstable();
    let expected =
        [("dreaming", "not checked"), ("reading", "up"), ("sleeping", "up"), ("thinking", "up")];
    assert_eq!(found, expected);
    let needed = view.instances.iter().filter(|found| found.needed);
    let mut needed: Vec<_> = needed.map(|found| found.instance.as_str()).collect();
    needed.sort_unstable();
    assert_eq!(needed, ["lamp.desk", "lamp.idle"]);
}

#[tokio::test(start_paused = true)]
async fn without_needs_everything_may_be_down_and_the_board_is_ready() {
    let stage = Stage::default();
    for name in ["desk", "shelf", "bed"] {
        stage.feels(name, Health::down("broken"));
    }
    for features in ["", "feature.sleeping = { wants = ['lamp.bed', 'lamp.desk'] }"] {
        let board = stage.lit(&["desk", "shelf", "bed"], features).await;
        let view = board.health();
        assert_eq!((view.ready, view.status), (true, "down"), "{features}");
        assert!(view.instances.iter().all(|found| !found.needed));
    }
}

#[tokio::test(start_paused = true)]
async fn a_need_may_be_a_group_which_is_there_while_one_of_its_members_is() {
    let stage = Stage::default();
    let more = "lamp.both = { members = ['a', 'b'] }\nfeature.light.needs = ['lamp.both']";
    let board = stage.lit(&["a", "b"], more).await;
    stage.feels("a", Health::down("broken"));
    let view = board.check_health().await;
    assert_eq!((view.ready, feature(&board, "light").status), (true, "degraded"));
    assert!(of(&view, "both").needed && !of(&view, "a").needed);
    stage.feels("b", Health::down("broken"));
    assert!(!board.check_health().await.ready);
    assert_eq!(feature(&board, "light").missing, ["lamp.both"]);
}
