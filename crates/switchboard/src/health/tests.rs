//! What tests from outside cannot bring about: another configuration of a running board.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use switchboard_core::Status;

use super::verdict::{Statuses, of_feature};
use crate::wanted::{Feature, Wanted};
use crate::{Format, HealthView, Switchboard};

/// A board with three caches, of which `used` is built.
async fn board() -> Switchboard {
    let text = "cache.used.driver = 'memory'\ncache.idle.driver = 'memory'";
    let board = Switchboard::builder().text("t.toml", Format::Toml, text).build().await.unwrap();
    board.cache("used").unwrap().forever("user-7", "Ada").await.unwrap();
    board
}

/// What a reload does at its end.
fn want(board: &Switchboard, change: impl FnOnce(&mut Wanted)) -> HealthView {
    let mut wanted = (*board.wanted()).clone();
    change(&mut wanted);
    *board.0.wanted.lock().unwrap() = Arc::new(wanted);
    board.health()
}

fn feature(needs: &[&str], wants: &[&str]) -> Feature {
    let [needs, wants] =
        [needs, wants].map(|names| names.iter().map(|&name| name.to_owned()).collect());
    Feature { name: "light".to_owned(), needs, wants }
}

#[tokio::test(start_paused = true)]
async fn the_features_of_a_new_configuration_hold_at_once() {
    let board = board().await;
    assert!(board.health().features.is_empty());
    let view = want(&board, |wanted| wanted.features = vec![feature(&["cache.used"], &[])]);
    assert_eq!((view.features[0].feature.as_str(), view.ready), ("light", true));
    assert_eq!(view.instances.iter().filter(|found| found.needed).count(), 1);
    let view = want(&board, |wanted| wanted.features.clear());
    assert!(view.features.is_empty() && view.instances.iter().all(|found| !found.needed));
}

#[tokio::test(start_paused = true)]
async fn the_interval_of_a_new_configuration_holds_at_once() {
    let text = "health.every = '1h'\ncache.used.driver = 'null'";
    let board = Switchboard::builder().text("t.toml", Format::Toml, text).build().await.unwrap();
    let clock = board.environment().clock().clone();
    clock.sleep(Duration::from_secs(30)).await;
    board.cache("used").unwrap().forever("user-7", "Ada").await.unwrap();
    want(&board, |wanted| wanted.health.every = Duration::from_secs(10));
    clock.sleep(Duration::from_secs(2)).await;
    let samples = board.0.looking.samples();
    let info = board.0.wired[0].instances().remove(0);
    let verdict = samples.of(0, "used").and_then(|sample| sample.verdict(info.generation));
    assert_eq!(verdict.unwrap().status, Status::Up);
}

#[tokio::test(start_paused = true)]
async fn a_need_that_is_gone_is_missing_and_its_calls_are_forgotten() {
    let board = board().await;
    let now = board.environment().clock().now();
    let before = board.0.looking.samples();
    let named = before.next(&board.0.wired, now, Duration::from_secs(1));
    assert!(named.of(0, "used").is_some());
    let none = named.next(&[], now, Duration::from_secs(1));
    assert!(none.of(0, "used").is_none());
    let view = want(&board, |wanted| wanted.features = vec![feature(&["cache.gone"], &[])]);
    assert!(!view.ready && view.instances.iter().all(|found| found.instance != "cache.gone"));
    assert_eq!(
        (view.features[0].status, &*view.features[0].missing),
        ("down", &["cache.gone".to_owned()][..])
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_required_has_to_be_connected_and_need_not_be_checked() {
    let board = board().await;
    let require = |name: &'static str| {
        move |wanted: &mut Wanted| {
            for instance in &mut wanted.instances {
                instance.required = instance.name == name;
            }
        }
    };
    let view = want(&board, require("used"));
    assert_eq!((view.ready, view.status), (true, "not checked"));
    let view = want(&board, require("idle"));
    assert_eq!((view.ready, view.status), (false, "down"));
    let idle = &view.instances[0];
    assert_eq!((idle.instance.as_str(), idle.needed), ("cache.idle", true));
    assert_eq!(idle.reason.as_deref(), Some("it is required, and no driver serves it"));
    board.cache("idle").unwrap().forever("user-7", "Ada").await.unwrap();
    assert!(board.health().ready);
}

fn statuses() -> impl Strategy<Value = Vec<Status>> {
    let all = [Status::Up, Status::NotChecked, Status::Degraded, Status::Down];
    proptest::collection::vec(proptest::sample::select(all.to_vec()), 6)
}

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_feature_is_down_if_a_need_is_and_lists_what_is_wrong_once(found in statuses()) {
        let feature = feature(&NAMES[..3], &NAMES[3..]);
        let shown = of_feature(&feature, &NAMES.into_iter().zip(found.clone()).collect());
        prop_assert_eq!(shown.status == "down", found[..3].contains(&Status::Down));
        let is_bad = |status: &&Status| **status >= Status::Degraded;
        let bad = found.iter().filter(is_bad).count();
        prop_assert_eq!(shown.missing.len() + shown.impaired.len(), bad);
        prop_assert_eq!(bad == 0, ["up", "not checked"].contains(&shown.status));
    }

    #[test]
    fn no_feature_gets_better_because_an_instance_got_worse(found in statuses(), at in 0_usize..6) {
        let feature = feature(&NAMES[..3], &NAMES[3..]);
        let rank = |found: &[Status]| {
            let statuses: Statuses<'_> = NAMES.into_iter().zip(found.iter().copied()).collect();
            let shown = of_feature(&feature, &statuses).status;
            ["down", "degraded"].iter().position(|word| *word == shown).unwrap_or(2)
        };
        let mut worse = found.clone();
        worse[at] = Status::Down;
        prop_assert!(rank(&worse) <= rank(&found));
    }
}
