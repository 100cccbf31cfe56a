//! Directories that others have locked, and do not give back.

use std::fs::File;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::runtime::Builder;

use super::super::thread::CHANGES_MAX;
use super::Home;

/// The lock of a directory of the disk, as another process holds it.
fn locked(home: &Home, dir: &str) -> File {
    std::fs::create_dir_all(home.path(dir)).unwrap();
    let dir = File::open(home.path(dir)).unwrap();
    dir.lock().unwrap();
    dir
}

/// Polls what `waits` until so many objects wait to be seen.
async fn until_written(
    home: &Home,
    objects: usize,
    waits: &mut (impl Future<Output = ()> + Unpin),
) {
    while home.own("tmp") < objects {
        assert!((&mut *waits).now_or_never().is_none(), "nobody waits for the lock");
        tokio::task::yield_now().await;
    }
}

#[test]
fn who_waits_for_a_lock_in_vain_gives_its_thread_back_when_its_caller_goes() {
    let threads = Builder::new_current_thread().enable_all().max_blocking_threads(2).build();
    let runtime = threads.unwrap();
    runtime.block_on(async {
        let home = Home::new();
        home.put("free", "here").await.unwrap();
        let lock = locked(&home, "dir");
        {
            let (one, other) = (home.put("dir/a", "new"), home.put("dir/b", "new"));
            let mut waits = Box::pin(futures_util::future::join(one, other).map(drop));
            until_written(&home, 2, &mut waits).await;
        }
        let read = tokio::time::timeout(LIMIT, home.read("free")).await;
        assert_eq!(read.expect("all threads wait for ever").unwrap(), "here");
        drop(lock);
        assert_eq!(home.keys().await, ["free"], "what was given up does not come late");
        home.put("dir/a", "new").await.unwrap();
    });
    runtime.shutdown_background();
}

#[test]
fn however_many_wait_for_a_lock_there_are_threads_for_others() {
    let threads = CHANGES_MAX + 2;
    let runtime =
        Builder::new_current_thread().enable_all().max_blocking_threads(threads).build().unwrap();
    runtime.block_on(async {
        let home = Home::new();
        home.put("free", "here").await.unwrap();
        let lock = locked(&home, "dir");
        let names: Vec<_> = (0..threads + 8).map(|number| format!("dir/{number:03}")).collect();
        let mut waiting: FuturesUnordered<_> =
            names.iter().map(|name| home.put(name, "new")).collect();
        {
            let mut waits = Box::pin(waiting.next().map(drop));
            until_written(&home, CHANGES_MAX, &mut waits).await;
        }
        let read = tokio::time::timeout(LIMIT, home.read("free")).await;
        assert_eq!(read.expect("all threads wait for the lock").unwrap(), "here");
        drop(lock);
        while let Some(stored) = waiting.next().await {
            stored.unwrap();
        }
        assert_eq!(home.keys().await.len(), names.len() + 1);
    });
    runtime.shutdown_background();
}

/// Long after what takes a moment.
const LIMIT: Duration = Duration::from_mins(2);
