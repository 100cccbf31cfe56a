//! A board from its start to its end.

#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

mod lamps;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lamps::{Bulbs, Lamps};
use switchboard::{Format, Mistakes, Switchboard};
use switchboard_core::{Error, ErrorKind, Problems, Result, Settings};

const LIMIT: Duration = Duration::from_secs(5);

fn paths(error: &Error) -> Vec<String> {
    let problems = error.find::<Problems>().into_iter().flatten();
    problems.map(|problem| problem.path.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn without_configuration_the_embedded_defaults_run() {
    let board = Switchboard::builder().build().await.unwrap();
    let cache = board.default_cache().unwrap();
    cache.forever("a", "b").await.unwrap();
    assert_eq!(board.cache("main").unwrap().get("a").await.unwrap().as_deref(), Some(&b"b"[..]));
    let instances = board.instances();
    let states: Vec<_> =
        instances.iter().map(|instance| (instance.subsystem, instance.state)).collect();
    assert_eq!(states, [("cache", "ready"), ("database", "idle"), ("storage", "idle")]);
    board.close(LIMIT).await.into_result().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_section_of_the_configuration_takes_the_place_of_its_defaults() {
    let text = "[cache.sessions]\ndriver = 'memory'";
    let board = Switchboard::builder().text("a.toml", Format::Toml, text).build().await.unwrap();
    assert!(board.cache("sessions").is_ok());
    assert_eq!(board.cache("main").unwrap_err().kind(), ErrorKind::NotRegistered);
    assert!(board.default_cache().is_err(), "a default is never guessed");
}

#[tokio::test(start_paused = true)]
async fn two_boards_in_one_process_share_nothing() {
    let [one, two] = [(); 2].map(|()| Switchboard::builder());
    let (one, two) = (one.build().await.unwrap(), two.build().await.unwrap());
    one.cache("main").unwrap().forever("a", "b").await.unwrap();
    assert_eq!(two.cache("main").unwrap().get("a").await.unwrap(), None);
    one.close(LIMIT).await.into_result().unwrap();
    assert!(two.cache("main").unwrap().get("a").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_subsystem_of_the_application_is_configured_like_the_built_in_ones() {
    let bulbs = Bulbs::default();
    let text = "[lamp]\ndefault = 'door'\n[lamp.door]\ndriver = 'bulb'\ncolour = 'red'";
    let board = bulbs.board(text).build().await.unwrap();
    assert_eq!(board.default_handle::<Lamps>().unwrap().colour().await.unwrap(), "red");
    assert_eq!(bulbs.built(), 1);
    board.close(LIMIT).await.into_result().unwrap();
    assert_eq!(bulbs.closed(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_connected_before_it_is_used_but_what_is_eager_or_required() {
    let bulbs = Bulbs::default();
    let text = "[lamp]
        lazy = { driver = 'bulb', colour = 'red' }
        early = { driver = 'bulb', colour = 'red', eager = true }
        first = { driver = 'bulb', colour = 'red', required = true }";
    let board = bulbs.board(text).build().await.unwrap();
    let ready = |name: &str| board.instances().iter().any(|i| i.name == name && i.state == "ready");
    assert_eq!((ready("lazy"), ready("early"), ready("first")), (false, true, true));
    assert_eq!(bulbs.built(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_start_fails_without_what_is_required_and_leaves_nothing_open() {
    let bulbs = Bulbs::default();
    let text = "[lamp]
        good = { driver = 'bulb', colour = 'red', required = true }
        bad = { driver = 'bulb', colour = 'red', required = true, broken = true }";
    let error = bulbs.board(text).build().await.unwrap_err();
    assert!(format!("{error:?}").contains("the bulb is broken"), "{error:?}");
    assert_eq!(bulbs.built(), bulbs.closed());
}

#[tokio::test(start_paused = true)]
async fn the_start_goes_on_without_what_is_only_eager() {
    let bulbs = Bulbs::default();
    let text = "[lamp]
        bad = { driver = 'bulb', colour = 'red', eager = true, broken = true }";
    let board = bulbs.board(text).build().await.unwrap();
    assert_eq!(board.instances()[0].state, "idle");
}

#[tokio::test(start_paused = true)]
async fn every_mistake_of_the_configuration_is_told_once_with_its_place() {
    let text = "
[cache.one]
driver = 'memry'
[cache.two]
driver = 'memory'
max_entires = 5
policy = 'fats'
[policy.fast]
deadline = '0s'
[policy.slow]
deadlin = '5s'
[cache.three]
driver = 'memory'
policy = 'slow'
[cache.four]
members = ['one', 'tow']
[cash.x]
driver = 'memory'
[feature.checkout]
needs = ['cache.thre']
[cache.five]
driver = 'memory'
require = ['tagz']
";
    let built = Switchboard::builder().text("shop.toml", Format::Toml, text).build().await;
    let error = built.unwrap_err();
    let found = paths(&error);
    let expected = [
        "cache.one.driver",
        "cache.two.max_entires",
        "cache.two.policy",
        "policy.fast.deadline",
        "policy.slow.deadlin",
        "cache.four.members[1]",
        "cash",
        "feature.checkout.needs[0]",
        "cache.five.require[0]",
    ];
    assert_eq!(found, expected, "{:#}", error.find::<Mistakes>().unwrap().report());
    let report = error.find::<Mistakes>().unwrap().report().to_string();
    for meant in ["memory", "max_entries", "fast", "deadline", "two", "cache.three"] {
        assert!(
            report.contains(&format!("did you mean `{meant}`"))
                || report.contains(&format!("did you mean {meant:?}")),
            "{meant} in {report}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn sections_of_others_are_checked_with_the_rest_and_handed_to_them() {
    #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Shop {
        open: bool,
    }
    let builder = |text: &str| {
        let builder = Switchboard::builder().section::<Shop>("shop");
        builder.text("shop.toml", Format::Toml, text)
    };
    let board = builder("shop.open = true").build().await.unwrap();
    assert!(board.section::<Shop>("shop").unwrap().open);
    assert!(board.section::<String>("shop").is_err());
    let error = builder("shop.opne = true").build().await.unwrap_err();
    assert_eq!(paths(&error), ["shop.opne"]);
}

#[tokio::test(start_paused = true)]
async fn parts_are_closed_before_the_instances_the_last_one_first() {
    let board = Switchboard::builder().build().await.unwrap();
    board.cache("main").unwrap().forever("a", "b").await.unwrap();
    let closed = Arc::new(Mutex::new(Vec::new()));
    for name in ["server", "worker"] {
        let (closed, cache) = (closed.clone(), board.cache("main").unwrap());
        board
            .join(name, move || async move {
                let works = cache.get("a").await?.is_some();
                closed.lock().unwrap().push((name, works));
                Ok(())
            })
            .unwrap();
    }
    board.close(LIMIT).await.into_result().unwrap();
    assert_eq!(*closed.lock().unwrap(), [("worker", true), ("server", true)]);
    let late = board.join("late", || async { Result::Ok(()) }).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn what_can_be_given_back_once_only_is_a_part_as_it_is() {
    let board = Switchboard::builder().build().await.unwrap();
    let (shut, mut is_shut) = tokio::sync::oneshot::channel();
    let nobody = |()| Error::new(ErrorKind::Unexpected, "nobody listens");
    board.join("listener", move || async move { shut.send(()).map_err(nobody) }).unwrap();
    assert_eq!(
        is_shut.try_recv(),
        Err(tokio::sync::oneshot::error::TryRecvError::Empty),
        "the board still uses it"
    );
    assert_eq!(board.close(LIMIT).await.closed, ["listener"]);
    assert_eq!(is_shut.try_recv(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_part_that_hangs_panics_or_fails_does_not_keep_the_others_open() {
    let bulbs = Bulbs::default();
    let text = "[lamp]\ndoor = { driver = 'bulb', colour = 'red', required = true }";
    let board = bulbs.board(text).build().await.unwrap();
    board.join("hangs", std::future::pending::<Result<()>>).unwrap();
    board.join("panics", || async { panic!("oh no") }).unwrap();
    board.join("fails", || async { Err(Error::new(ErrorKind::Unavailable, "no")) }).unwrap();
    let clock = board.environment().clock().clone();
    let begin = clock.now();
    let report = board.close(LIMIT).await;
    assert!(clock.now() - begin <= LIMIT);
    assert_eq!(report.errors.len(), 3, "{report:?}");
    assert_eq!((report.closed.as_slice(), bulbs.closed()), (&["lamp.door".to_owned()][..], 1));
    assert!(board.close(LIMIT).await.closed.is_empty() || bulbs.closed() == 1, "once");
}

#[tokio::test(start_paused = true)]
async fn a_board_lets_its_own_settings_in_code_win() {
    let bulbs = Bulbs::default();
    let text = "[lamp]\ndoor = { driver = 'bulb', colour = 'red' }";
    let code = Settings::new()
        .with("lamp", Settings::new().with("door", Settings::new().with("colour", "blue")));
    let board = bulbs.board(text).settings(code).build().await.unwrap();
    assert_eq!(board.handle::<Lamps>("door").unwrap().colour().await.unwrap(), "blue");
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_found_however_its_full_name_is_written() {
    let board = Switchboard::builder().build().await.unwrap();
    let took = board.connect_instance("Cache.MAIN").await.unwrap();
    for written in ["cache.main", " cache.Main ", "CACHE.main"] {
        assert_eq!(board.connected_in(written), Some(took), "{written:?}");
        assert_eq!(board.explain(written).unwrap().name, "main");
        assert_eq!(board.gates(written).unwrap().instance, "cache.main");
    }
    assert_eq!(board.connected_in("cache.other"), None);
    assert_eq!(board.connected_in("main"), None);
}

#[tokio::test(start_paused = true)]
async fn what_connecting_took_is_told_of_an_instance_that_is_there() {
    let board = Switchboard::builder().build().await.unwrap();
    board.connect_instance("cache.main").await.unwrap();
    let caches = board.manager::<switchboard::cache::Caches>().unwrap();
    let mut change = caches.change();
    change.set_default(None);
    change.remove("main");
    change.prepare().await.unwrap().commit().closed().await.unwrap();
    assert_eq!(board.connected_in("cache.main"), None);
}
