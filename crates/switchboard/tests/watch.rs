//! Files that change under a running board: which of them count, and that none is lost out of sight.

#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

mod files;
mod lamps;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use files::{File, Told, colour, door};
use lamps::Bulbs;
use switchboard::{Switchboard, Watching};
use switchboard_core::Settings;

const LIMIT: Duration = Duration::from_secs(5);

async fn watched(file: &File) -> (Switchboard, Watching, Told) {
    watched_at(file.path()).await
}

async fn watched_at(path: &Path) -> (Switchboard, Watching, Told) {
    let board = Bulbs::default().builder().file(path).build().await.unwrap();
    let told = Told::by(&board);
    let watching = board.watch_files().unwrap();
    (board, watching, told)
}

async fn swap(board: &Switchboard, to: &str) {
    let settings = Settings::new().with("driver", "bulb").with("colour", to);
    board.swap("lamp.door", &settings).await.unwrap().closed().await.unwrap();
}

#[tokio::test]
async fn a_board_sees_a_file_that_changes_and_tells_a_bad_one_once() {
    let file = File::new(&door("red"));
    let (board, _watching, mut told) = watched(&file).await;
    file.write(&door("blue"));
    assert_eq!(told.outcome().await, "ok");
    assert_eq!(colour(&board, "door").await, "blue");

    file.replace("[lamp");
    let first = told.outcome().await;
    assert_ne!(first, "ok");
    // The same mistake again, and then another one: what is told next is the other one.
    file.replace("[lamp");
    tokio::time::sleep(Watching::QUIET * 4).await;
    file.replace("[lamp]\ndoor = 5");
    let second = told.outcome().await;
    assert!(second != "ok" && second != first, "{second}");
    file.replace(&door("green"));
    assert_eq!(told.outcome().await, "ok");
    assert_eq!(colour(&board, "door").await, "green");
    board.close(LIMIT).await.into_result().unwrap();
}

#[tokio::test]
async fn a_watch_of_files_ends_with_the_board() {
    let file = File::new(&door("red"));
    let (board, _watching, mut told) = watched(&file).await;
    let environment = board.environment().clone();
    board.close(LIMIT).await.into_result().unwrap();
    assert_eq!(environment.reaper().figures().running, 0);
    assert_eq!(told.left(), []);
}

#[tokio::test]
async fn what_was_swapped_by_hand_stays_as_long_as_the_files_say_what_they_said() {
    let file = File::new(&door("red"));
    let (board, _watching, mut told) = watched(&file).await;
    swap(&board, "blue").await;
    assert_eq!(told.next().await.action, "swap");

    std::fs::write(file.folder().join("unrelated.log"), "news").unwrap();
    file.replace(&door("red"));
    file.replace(&format!("# the same\n{}", door("red")));
    tokio::time::sleep(Watching::QUIET * 4).await;
    // A mistake and its end: the files say again what they said.
    file.replace("[lamp");
    assert_ne!(told.outcome().await, "ok");
    file.replace(&door("red"));
    assert_eq!(told.outcome().await, "ok");
    assert_eq!(colour(&board, "door").await, "blue");

    file.replace(&format!("{}more = {{ driver = 'bulb', colour = 'red' }}", door("red")));
    assert_eq!(told.outcome().await, "ok");
    assert_eq!(colour(&board, "door").await, "red", "an edit counts for everything in it");
}

#[tokio::test]
async fn a_busy_neighbour_delays_no_edit() {
    let file = File::new(&door("red"));
    let (board, _watching, mut told) = watched(&file).await;
    let (over, log) = (Arc::new(AtomicBool::new(false)), file.folder().join("app.log"));
    let until = over.clone();
    let neighbour = std::thread::spawn(move || {
        while !until.load(Ordering::Relaxed) {
            std::fs::write(&log, "news").unwrap();
            std::thread::yield_now();
        }
    });
    let clock = board.environment().clock().clone();
    let mut shortest = Duration::MAX;
    // The shortest of some, because the machine may have other things to do at the same time.
    for colour in ["blue", "red"].into_iter().cycle().take(10) {
        let edited = clock.now();
        file.replace(&door(colour));
        assert_eq!(told.outcome().await, "ok");
        shortest = shortest.min(clock.now() - edited);
        if shortest < Watching::QUIET_AT_LATEST {
            break;
        }
    }
    over.store(true, Ordering::Relaxed);
    neighbour.join().unwrap();
    assert!(shortest < Watching::QUIET_AT_LATEST, "{shortest:?}");
}

#[tokio::test]
async fn an_edit_between_the_start_and_the_watch_is_seen() {
    let file = File::new(&door("red"));
    let board = file.board(&Bulbs::default()).await;
    let mut told = Told::by(&board);
    file.replace(&door("blue"));
    let _watching = board.watch_files().unwrap();
    assert_eq!(told.outcome().await, "ok");
    assert_eq!(colour(&board, "door").await, "blue");
}

#[tokio::test]
async fn a_folder_that_is_deleted_and_made_again_is_watched_on() {
    let file = File::new(&door("red"));
    let (board, _watching, mut told) = watched(&file).await;
    std::fs::remove_dir_all(file.folder()).unwrap();
    assert_ne!(told.outcome().await, "ok", "the file has to be there");
    std::fs::create_dir_all(file.folder()).unwrap();
    file.write(&door("blue"));
    assert_eq!(told.outcome().await, "ok");
    file.replace(&door("green"));
    assert_eq!(told.outcome().await, "ok");
    assert_eq!(colour(&board, "door").await, "green");
}

#[tokio::test]
async fn a_folder_in_the_place_of_another_one_is_watched_instead() {
    let file = File::new(&door("red"));
    let inner = |name: &str| file.folder().join(name);
    for (name, text) in [("one", door("red")), ("two", door("blue"))] {
        std::fs::create_dir(inner(name)).unwrap();
        std::fs::write(inner(name).join("lamps.toml"), text).unwrap();
    }
    let (board, _watching, mut told) = watched_at(&inner("one").join("lamps.toml")).await;
    std::fs::rename(inner("one"), inner("old")).unwrap();
    std::fs::rename(inner("two"), inner("one")).unwrap();
    while colour(&board, "door").await != "blue" {
        told.outcome().await;
    }
    std::fs::write(inner("one").join("lamps.toml"), door("green")).unwrap();
    while colour(&board, "door").await != "green" {
        told.outcome().await;
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_on_the_way_may_be_turned_to_another_folder() {
    use std::os::unix::fs::symlink;
    let file = File::new(&door("red"));
    let folder = file.folder();
    for (name, text) in [("r1", door("red")), ("r2", door("blue"))] {
        std::fs::create_dir(folder.join(name)).unwrap();
        std::fs::write(folder.join(name).join("lamps.toml"), text).unwrap();
    }
    symlink("r1", folder.join("current")).unwrap();
    let (board, _watching, mut told) = watched_at(&folder.join("current/lamps.toml")).await;
    symlink("r2", folder.join("next")).unwrap();
    std::fs::rename(folder.join("next"), folder.join("current")).unwrap();
    assert_eq!(told.outcome().await, "ok");
    assert_eq!(colour(&board, "door").await, "blue");
    std::fs::write(folder.join("r2/lamps.toml"), door("green")).unwrap();
    assert_eq!(told.outcome().await, "ok");
    assert_eq!(colour(&board, "door").await, "green");
}

/// As orchestrators mount configuration: the file is a link through a link that is turned.
#[cfg(unix)]
#[tokio::test]
async fn a_file_that_is_a_link_through_a_link_is_followed() {
    use std::os::unix::fs::symlink;
    let file = File::new(&door("red"));
    let folder = file.folder().join("mounted");
    for (name, text) in [("..1", door("red")), ("..2", door("blue")), ("..3", door("green"))] {
        std::fs::create_dir_all(folder.join(name)).unwrap();
        std::fs::write(folder.join(name).join("lamps.toml"), text).unwrap();
    }
    symlink("..1", folder.join("..data")).unwrap();
    symlink("..data/lamps.toml", folder.join("lamps.toml")).unwrap();
    let (board, _watching, mut told) = watched_at(&folder.join("lamps.toml")).await;
    for (version, expected) in [("..2", "blue"), ("..3", "green")] {
        symlink(version, folder.join("..data_tmp")).unwrap();
        std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
        assert_eq!(told.outcome().await, "ok");
        assert_eq!(colour(&board, "door").await, expected);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_circle_of_links_is_a_mistake_until_somebody_cuts_it() {
    use std::os::unix::fs::symlink;
    let file = File::new(&door("red"));
    let (board, _watching, mut told) = watched(&file).await;
    let other = file.folder().join("other.toml");
    symlink(file.path(), &other).unwrap();
    let next = file.folder().join("next");
    symlink(
        "../".to_owned() + file.folder().file_name().unwrap().to_str().unwrap() + "/other.toml",
        &next,
    )
    .unwrap();
    std::fs::rename(&next, file.path()).unwrap();
    assert_ne!(told.outcome().await, "ok");
    std::fs::write(&next, door("blue")).unwrap();
    std::fs::rename(&next, &other).unwrap();
    assert_eq!(told.outcome().await, "ok");
    assert_eq!(colour(&board, "door").await, "blue");
}

#[tokio::test]
async fn a_file_may_come_later_and_its_folders_too() {
    let file = File::new(&door("red"));
    let elsewhere = File::new("");
    let later = elsewhere.folder().join("conf.d/local/more.toml");
    let builder = Bulbs::default().builder().file(file.path()).optional_file(&later);
    let board = builder.build().await.unwrap();
    let mut told = Told::by(&board);
    let _watching = board.watch_files().unwrap();
    std::fs::create_dir_all(later.parent().unwrap()).unwrap();
    std::fs::write(&later, "lamp.door.colour = 'blue'").unwrap();
    assert_eq!(told.outcome().await, "ok");
    assert_eq!(colour(&board, "door").await, "blue");
    std::fs::write(&later, "lamp.door.colour = 'green'").unwrap();
    assert_eq!(told.outcome().await, "ok");
    assert_eq!(colour(&board, "door").await, "green");
}

#[tokio::test]
async fn what_a_failed_attempt_lacked_is_enough_when_it_comes() {
    let file = File::new(&door("red"));
    let (board, _watching, mut told) = watched(&file).await;
    let elsewhere = File::new("");
    let secrets = elsewhere.folder().join("secrets");
    file.replace(&door(&format!("${{file:{}/colour}}", secrets.display())));
    assert_ne!(told.outcome().await, "ok");
    std::fs::create_dir(&secrets).unwrap();
    std::fs::write(secrets.join("colour"), "blue").unwrap();
    assert_eq!(told.outcome().await, "ok");
    assert_eq!(colour(&board, "door").await, "blue");
}

#[tokio::test]
async fn a_section_that_waits_for_the_next_start_is_told_by_the_watch_once() {
    let file = File::new(&door("red"));
    let (board, _watching, mut told) = watched(&file).await;
    file.replace(&format!("board.close_limit = '7s'\n{}", door("red")));
    assert_eq!(told.outcome().await, "ok");
    file.replace(&format!("# touched\nboard.close_limit = '7s'\n{}", door("red")));
    tokio::time::sleep(Watching::QUIET * 4).await;
    file.replace(&format!("board.close_limit = '7s'\n{}", door("blue")));
    assert_eq!(told.outcome().await, "ok");
    assert_eq!((colour(&board, "door").await.as_str(), told.left()), ("blue", vec![]));
    assert_eq!(board.plan().await.unwrap().restart, ["board"]);
}

#[tokio::test]
async fn a_listener_that_panics_ends_neither_the_watch_nor_the_telling_of_others() {
    let file = File::new(&door("red"));
    let board = file.board(&Bulbs::default()).await;
    let calls = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = calls.clone();
    board.on_record(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        panic!("the terminal is gone");
    });
    let mut told = Told::by(&board);
    let _watching = board.watch_files().unwrap();
    for next in ["blue", "green"] {
        file.replace(&door(next));
        assert_eq!(told.outcome().await, "ok");
        assert_eq!(colour(&board, "door").await, next);
    }
    assert_eq!(calls.load(Ordering::Relaxed), 1, "it is told no more");
}
