//! The configuration again while calls are running: what is kept, re-tuned, swapped, added, removed.

#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

mod files;
mod lamps;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use files::{File, colour};
use lamps::{Bulbs, Lamps};
use switchboard::{Change, Mistakes, Plan};
use switchboard_core::{ErrorKind, Settings};

const LIMIT: Duration = Duration::from_secs(5);

fn changes(plan: &Plan) -> Vec<(String, Change)> {
    plan.changes.iter().map(|change| (change.instance.clone(), change.what)).collect()
}

#[tokio::test]
async fn a_reload_keeps_what_is_the_same_and_changes_what_is_not() {
    let bulbs = Bulbs::default();
    let file = File::new(
        "[lamp]
        same = { driver = 'bulb', colour = 'red', required = true }
        gates = { driver = 'bulb', colour = 'red', required = true }
        other = { driver = 'bulb', colour = 'red', required = true }
        gone = { driver = 'bulb', colour = 'red', required = true }",
    );
    let board = file.board(&bulbs).await;
    let (other, gone) =
        (board.handle::<Lamps>("other").unwrap(), board.handle::<Lamps>("gone").unwrap());
    file.write(
        "[lamp]
        new = { driver = 'bulb', colour = 'green' }
        other = { driver = 'bulb', colour = 'blue', required = true }
        gates = { driver = 'bulb', colour = 'red', required = true, policy = { deadline = '1s' } }
        same = { colour = 'red', driver = 'bulb', required = true }",
    );
    let expected = [
        ("lamp.gates".to_owned(), Change::ReTuned),
        ("lamp.gone".to_owned(), Change::Removed),
        ("lamp.new".to_owned(), Change::Added),
        ("lamp.other".to_owned(), Change::Swapped),
    ];
    let kept = ["cache.main", "database.main", "storage.main", "lamp.same"];
    let plan = board.plan().await.unwrap();
    assert_eq!(
        (changes(&plan).as_slice(), plan.kept.as_slice()),
        (&expected[..], &kept.map(str::to_owned)[..])
    );
    assert_eq!(
        (bulbs.built(), other.colour().await.unwrap().as_str()),
        (4, "red"),
        "a plan changes nothing"
    );

    let done = board.reload("test").await.unwrap();
    assert_eq!(done, plan);
    assert_eq!(other.colour().await.unwrap(), "blue", "handles follow");
    assert_eq!(colour(&board, "new").await, "green");
    assert_eq!(gone.colour().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(bulbs.built(), 6, "only the swapped and the new one");
    assert!(board.explain("lamp.gates").unwrap().chain.iter().any(|step| step.gate == "deadline"));
    assert_eq!(board.plan().await.unwrap().changes, []);
    board.close(LIMIT).await.into_result().unwrap();
    assert_eq!(bulbs.built(), bulbs.closed());
}

#[tokio::test]
async fn a_configuration_with_mistakes_changes_nothing() {
    let bulbs = Bulbs::default();
    let file = File::new("[lamp]\ndoor = { driver = 'bulb', colour = 'red' }");
    let board = file.board(&bulbs).await;
    file.write("[lamp]\ndoor = { driver = 'bulb', color = 'blue' }\nnew = { driver = 'blub' }");
    let error = board.reload("test").await.unwrap_err();
    assert_eq!(error.find::<Mistakes>().unwrap().problems().len(), 2, "{error:?}");
    assert_eq!(colour(&board, "door").await, "red");
    assert_eq!(board.instances().len(), 4, "the lamp and what is embedded");
}

#[tokio::test]
async fn one_driver_that_cannot_be_had_leaves_all_others_as_they_were() {
    let bulbs = Bulbs::default();
    let file = File::new(
        "[lamp]
        one = { driver = 'bulb', colour = 'red', required = true }
        two = { driver = 'bulb', colour = 'red', required = true }",
    );
    let board = file.board(&bulbs).await;
    for broken in ["broken", "dark"] {
        file.write(&format!(
            "[lamp]
            one = {{ driver = 'bulb', colour = 'blue', required = true }}
            two = {{ driver = 'bulb', colour = 'blue', required = true, {broken} = true }}"
        ));
        let error = board.reload("test").await.unwrap_err();
        assert!(format!("{error:?}").contains("lamp.two"), "{error:?}");
        assert_eq!(
            (colour(&board, "one").await.as_str(), colour(&board, "two").await.as_str()),
            ("red", "red")
        );
    }
    assert_eq!((bulbs.built(), bulbs.closed()), (6, 4), "what was built for nothing is closed");
}

#[tokio::test]
async fn one_change_among_five_hundred_builds_exactly_one_driver() {
    let bulbs = Bulbs::default();
    let text = |colour: &str| {
        let lamp = |at| {
            format!(
                "[lamp.l{at}]\ndriver = 'bulb'\nrequired = true\ncolour = '{}'\n",
                if at == 250 { colour } else { "red" }
            )
        };
        (0..500).map(lamp).collect::<String>()
    };
    let file = File::new(&text("red"));
    let board = file.board(&bulbs).await;
    assert_eq!(bulbs.built(), 500);
    file.write(&text("blue"));
    let plan = board.reload("test").await.unwrap();
    assert_eq!((plan.changes.len(), plan.kept.len()), (1, 502), "with what is embedded");
    assert_eq!(bulbs.built(), 501);
}

#[tokio::test]
async fn a_driver_that_cannot_live_twice_is_put_back_when_another_one_fails() {
    let bulbs = Bulbs::default();
    let text = |colour: &str, broken: bool| {
        format!(
            "[lamp]
        sign = {{ driver = 'neon', colour = '{colour}', required = true }}
        door = {{ driver = 'bulb', colour = '{colour}', required = true, broken = {broken} }}"
        )
    };
    let file = File::new(&text("red", false));
    let board = file.board(&bulbs).await;
    file.write(&text("blue", true));
    board.reload("test").await.unwrap_err();
    assert_eq!(
        (colour(&board, "sign").await.as_str(), colour(&board, "door").await.as_str()),
        ("red", "red")
    );
    file.write(&text("blue", false));
    board.reload("test").await.unwrap();
    assert_eq!(
        (colour(&board, "sign").await.as_str(), colour(&board, "door").await.as_str()),
        ("blue", "blue")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_call_fails_while_the_configuration_is_reloaded() {
    let bulbs = Bulbs::default();
    let text = |colour: &str| format!("[lamp]\ndoor = {{ driver = 'bulb', colour = '{colour}' }}");
    let file = File::new(&text("red"));
    let board = file.board(&bulbs).await;
    // Built before the first reload, however late the callers come.
    assert_eq!(colour(&board, "door").await, "red");
    let over = Arc::new(AtomicBool::new(false));
    let at_work = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let door = board.handle::<Lamps>("door").unwrap();
            let (over, at_work) = (over.clone(), at_work.clone());
            #[expect(clippy::disallowed_methods, reason = "a test is the program")]
            tokio::spawn(async move {
                let mut calls = 0_u64;
                while !over.load(Ordering::Relaxed) {
                    door.colour().await.expect("no call fails");
                    at_work.fetch_add(usize::from(calls == 0), Ordering::Relaxed);
                    calls += 1;
                    tokio::task::yield_now().await;
                }
                calls
            })
        })
        .collect();
    while at_work.load(Ordering::Relaxed) < 8 {
        tokio::task::yield_now().await;
    }
    for round in 0..50 {
        file.write(&text(if round % 2 == 0 { "blue" } else { "red" }));
        board.reload("test").await.unwrap();
    }
    over.store(true, Ordering::Relaxed);
    for caller in callers {
        assert!(caller.await.unwrap() > 0);
    }
    board.close(LIMIT).await.into_result().unwrap();
    assert_eq!((bulbs.built(), bulbs.closed()), (51, 51));
}

#[tokio::test]
async fn a_policy_that_changes_re_tunes_those_that_name_it() {
    let bulbs = Bulbs::default();
    let text = |deadline: &str| {
        format!(
            "[policy.fast]\ndeadline = '{deadline}'
        [lamp]
        one = {{ driver = 'bulb', colour = 'red', policy = 'fast', required = true }}
        two = {{ driver = 'bulb', colour = 'red', policy = 'fast', required = true }}
        three = {{ driver = 'bulb', colour = 'red', required = true }}"
        )
    };
    let file = File::new(&text("1s"));
    let board = file.board(&bulbs).await;
    file.write(&text("2s"));
    let plan = board.reload("test").await.unwrap();
    assert_eq!(plan.count(Change::ReTuned), 2);
    assert_eq!((plan.changes.len(), bulbs.built()), (2, 3));
    assert!(board.explain("lamp.two").unwrap().chain[0].settings.contains("2s"));
}

#[tokio::test]
async fn without_its_policy_an_instance_has_no_gates() {
    let bulbs = Bulbs::default();
    let file = File::new(
        "[lamp]\ndoor = { driver = 'bulb', colour = 'red', policy = { deadline = '1s' } }",
    );
    let board = file.board(&bulbs).await;
    file.write("[lamp]\ndoor = { driver = 'bulb', colour = 'red' }");
    board.reload("test").await.unwrap();
    assert_eq!(board.explain("lamp.door").unwrap().chain.len(), 1, "the driver alone");
}

#[tokio::test]
async fn what_was_swapped_by_hand_becomes_again_what_the_configuration_says() {
    let bulbs = Bulbs::default();
    let file = File::new(
        "[policy.fast]\ndeadline = '1s'
        [lamp]\ndoor = { driver = 'bulb', colour = 'red', policy = 'fast' }",
    );
    let board = file.board(&bulbs).await;
    let blue = Settings::new().with("driver", "bulb").with("colour", "blue");
    board.swap("lamp.door", &blue).await.unwrap().closed().await.unwrap();
    assert_eq!(colour(&board, "door").await, "blue");
    assert_eq!(board.explain("lamp.door").unwrap().chain[0].gate, "deadline", "gates stay");
    assert_eq!(board.reload("test").await.unwrap().count(Change::Swapped), 1);
    assert_eq!(colour(&board, "door").await, "red");
}

#[tokio::test]
async fn a_swap_with_mistakes_tells_all_of_them() {
    let bulbs = Bulbs::default();
    let board =
        bulbs.board("[lamp]\ndoor = { driver = 'bulb', colour = 'red' }").build().await.unwrap();
    let wrong = Settings::new().with("driver", "bulb").with("color", "blue").with("policy", "fsat");
    let error = board.swap("lamp.door", &wrong).await.unwrap_err();
    assert_eq!(error.find::<Mistakes>().unwrap().problems().len(), 2, "{error:?}");
    assert!(
        board.swap("lamp.dor", &wrong).await.unwrap_err().hints().any(|hint| hint.contains("door"))
    );
    assert_eq!(colour(&board, "door").await, "red");
}

#[tokio::test]
async fn every_change_is_recorded_with_who_made_it() {
    let bulbs = Bulbs::default();
    let file = File::new("[lamp]\ndoor = { driver = 'bulb', colour = 'red' }");
    let board = file.board(&bulbs).await;
    let blue = Settings::new().with("driver", "bulb").with("colour", "blue");
    board.swap_by("ada", "lamp.door", &blue).await.unwrap().closed().await.unwrap();
    file.write("[lamp");
    board.reload("grace").await.unwrap_err();
    let records = board.records();
    let told: Vec<_> =
        records.iter().map(|r| (r.by.as_str(), r.action.as_str(), r.subject.as_str())).collect();
    assert_eq!(told, [("ada", "swap", "lamp.door"), ("grace", "reload", "board")]);
    assert_eq!(records[0].outcome, "ok");
    assert!(records[1].outcome.contains("wrong"), "{records:?}");
}

#[tokio::test]
async fn groups_follow_when_their_members_change_in_the_same_reload() {
    let bulbs = Bulbs::default();
    let file = File::new(
        "[lamp]
        one = { driver = 'bulb', colour = 'red' }
        any = { members = ['one'] }",
    );
    let board = file.board(&bulbs).await;
    let any = board.handle::<Lamps>("any").unwrap();
    assert_eq!(any.colour().await.unwrap(), "red");
    file.write(
        "[lamp]
        any = { members = ['two'] }
        two = { driver = 'bulb', colour = 'blue' }",
    );
    board.reload("test").await.unwrap();
    assert_eq!(any.colour().await.unwrap(), "blue");
    file.write(
        "[lamp]
        any = { members = ['two'] }",
    );
    let error = board.reload("test").await.unwrap_err();
    assert!(error.find::<Mistakes>().is_some(), "a member that goes: {error:?}");
    assert_eq!(any.colour().await.unwrap(), "blue");
}

#[tokio::test]
async fn settings_that_count_from_the_next_start_are_told() {
    let bulbs = Bulbs::default();
    let file = File::new("[board]\nproduction = false");
    let board = file.board(&bulbs).await;
    file.write("[board]\nproduction = true\n[health]\nevery = '1s'");
    let plan = board.plan().await.unwrap();
    assert_eq!(
        (plan.restart, plan.sections),
        (vec!["board".to_owned()], vec!["health".to_owned()])
    );
}

#[tokio::test]
async fn instances_that_need_each_other_may_all_be_required() {
    let bulbs = Bulbs::default();
    let text = "[lamp]
        mirror = { driver = 'mirror', of = 'door', required = true }
        door = { driver = 'bulb', colour = 'red', required = true }";
    let board = bulbs.board(text).build().await.unwrap();
    assert_eq!(colour(&board, "mirror").await, "red");
    assert_eq!(bulbs.built(), 1, "the mirror shows the lamp that is there");
    board.close(LIMIT).await.into_result().unwrap();
}

#[tokio::test]
async fn other_intervals_of_health_count_from_the_reload_on() {
    let bulbs = Bulbs::default();
    let lamp = "[lamp]\ndoor = { driver = 'bulb', colour = 'red', required = true }";
    let file = File::new(&format!("health.every = '1h'\n{lamp}"));
    let board = file.board(&bulbs).await;
    file.write(&format!("health.every = '10ms'\n{lamp}"));
    board.reload("test").await.unwrap();
    let is_up = || board.instances().iter().any(|view| view.name == "door" && view.health == "up");
    while !is_up() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_disk_gets_another_folder_only_if_the_file_says_which_one_it_gives_up() {
    let bulbs = Bulbs::default();
    let file = File::new("");
    let root = |name: &str| file.folder().join(name).display().to_string();
    let disk = |name: &str| format!("[storage.main]\ndriver = 'local'\nroot = '{}'", root(name));
    file.write(&disk("a"));
    let board = file.board(&bulbs).await;
    let main = board.disk("main").unwrap();
    main.put("key", "here").await.unwrap();

    file.write(&disk("b"));
    for refused in [board.plan().await, board.reload("test").await] {
        let refused = refused.unwrap_err();
        let mistakes = format!("{:?}", refused.find::<Mistakes>().unwrap());
        assert!(mistakes.contains("storage.main"), "{mistakes}");
        assert!(mistakes.contains(&format!("local root={}", root("a"))), "{mistakes}");
    }
    let other = Settings::new().with("driver", "local").with("root", root("b"));
    assert!(board.swap("storage.main", &other).await.is_err());
    assert_eq!(main.read("key").await.unwrap(), "here");

    let data = format!("local root={}", root("a"));
    file.write(&format!("{}\nreplaces = '{data}'", disk("b")));
    assert_eq!(
        changes(&board.plan().await.unwrap()),
        [("storage.main".to_owned(), Change::Swapped)]
    );
    board.reload("test").await.unwrap();
    assert!(!main.exists("key").await.unwrap());
    board.close(LIMIT).await.into_result().unwrap();
}
