//! Many callers at once, in one process.

use futures_util::future::join_all;
use switchboard_core::ErrorKind;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn of_racing_creators_one_is_the_first() {
    for home in Home::of_each_keeping() {
        for round in 0..5 {
            let key = &format!("deep/{round}/er/note");
            let racers = (0..64).map(|racer| {
                let (home, key) = (home.clone(), key.clone());
                tokio::task::spawn_blocking(move || {
                    tokio::runtime::Handle::current().block_on(async move {
                        home.put_if(&key, &racer.to_string(), Condition::Absent).await
                    })
                })
            });
            let stored: Vec<_> =
                join_all(racers).await.into_iter().map(|raced| raced.unwrap()).collect();
            assert_eq!(stored.iter().filter(|stored| stored.is_ok()).count(), 1);
            for refused in stored.iter().filter_map(|stored| stored.as_ref().err()) {
                assert_eq!(refused.kind(), ErrorKind::AlreadyExists, "{refused:?}");
            }
            let winner = stored.iter().position(Result::is_ok).unwrap();
            assert_eq!(home.read(key).await.unwrap(), winner.to_string());
        }
        assert_eq!(home.own("tmp"), 0);
        assert!(home.own("meta") <= 5, "what was said of those that lost is gone");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_increment_of_a_counter_is_lost() {
    for home in Home::of_each_keeping() {
        home.put("counter", "0").await.unwrap();
        join_all((0..64).map(|_| increment(&home, 3))).await;
        assert_eq!(home.read("counter").await.unwrap(), "192");
        assert!(home.own("meta") <= 1);
    }
}

/// Adds one to the counter so many times, however often others are faster.
pub(super) async fn increment(home: &Home, times: u32) {
    for _ in 0..times {
        loop {
            let key = Key::parse("counter").unwrap();
            let fetched = home.local.get(key, &Read::default()).await.unwrap().unwrap();
            let count = fetched.body.collect(100).await.unwrap();
            let count: u32 = String::from_utf8_lossy(&count).parse().unwrap();
            let condition = Condition::Version(fetched.meta.version);
            match home.put_if("counter", &(count + 1).to_string(), condition).await {
                Ok(_) => break,
                Err(error) => assert_eq!(error.kind(), ErrorKind::PreconditionFailed, "{error:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_sees_one_of_the_objects_and_what_was_said_of_it() {
    for home in Home::of_each_keeping() {
        home.put("note", &"0".repeat(100_000)).await.unwrap();
        let writer = async {
            for round in 1..60 {
                home.put("note", &(round % 10).to_string().repeat(100_000 + round)).await.unwrap();
            }
        };
        let reader = async {
            for _ in 0..200 {
                let key = Key::parse("note").unwrap();
                let fetched = home.local.get(key, &Read::default()).await.unwrap().unwrap();
                let bytes = fetched.body.collect(1 << 20).await.unwrap();
                assert_eq!(fetched.meta.size, bytes.len() as u64);
                assert_eq!(fetched.meta.checksum, Some(Checksum::of(&bytes)));
            }
        };
        tokio::join!(writer, reader);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn directories_that_others_empty_are_in_nobodys_way() {
    let home = Home::with(LocalConfig { durability: Durability::None, ..LocalConfig::default() });
    let racers = (0..8).map(|racer| {
        let home = home.clone();
        async move {
            for _ in 0..100 {
                let key = format!("some/where/deep/{racer}");
                home.put(&key, "text").await.unwrap();
                assert!(home.delete(&key, None).await.unwrap());
            }
        }
    });
    join_all(racers).await;
    assert!(!home.path("some").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_change_places_are_never_lost() {
    for home in Home::of_each_keeping() {
        home.put("a/note", "text").await.unwrap();
        let there_and_back = |from: &'static str, to: &'static str| {
            let home = home.clone();
            async move {
                let (from, to) = (Key::parse(from).unwrap(), Key::parse(to).unwrap());
                for _ in 0..100 {
                    match home.local.rename(from, to, &Condition::Absent).await {
                        Ok(_) => {}
                        Err(error) => assert!(
                            matches!(error.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists),
                            "{error:?}"
                        ),
                    }
                }
            }
        };
        tokio::join!(
            there_and_back("a/note", "b/note"),
            there_and_back("b/note", "a/note"),
            there_and_back("a/note", "b/note"),
        );
        let keys = home.keys().await;
        assert_eq!(keys.len(), 1);
        assert_eq!(home.read(&keys[0]).await.unwrap(), "text");
        assert!(home.head(&keys[0]).await.unwrap().checksum.is_some());
    }
}

/// A thread cannot be stopped; it must not overtake what is stored later either.
#[tokio::test]
async fn what_was_given_up_before_it_could_be_seen_is_never_stored() {
    let home = Home::new();
    home.put("note", "first").await.unwrap();
    let held = std::fs::File::open(home.local.root()).unwrap();
    held.lock().unwrap();
    tokio::select! {
        biased;
        _ = home.put("note", "given up") => unreachable!("the directory is held"),
        () = until(|| home.own("tmp") == 1) => {}
    }
    held.unlock().unwrap();
    until(|| home.own("tmp") == 0).await;
    assert_eq!(home.read("note").await.unwrap(), "first");
}

/// Waits for what another thread is about to do.
async fn until(mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), wait).await.unwrap();
}
