//! Callers on many threads, some of whom lose patience, on a clock that runs.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[expect(clippy::disallowed_methods, reason = "the test needs tasks on many threads")]
async fn many_threads_neither_share_nor_lose_a_connection() {
    let bench = Bench::with(3, |config| config.max_uses = 1_000);
    let using = Arc::new(std::sync::Mutex::new(std::collections::HashSet::new()));
    let callers = (0..CALLERS).map(|caller| {
        let (pool, using) = (bench.pool.clone(), using.clone());
        tokio::spawn(async move {
            for turn in 0..TURNS {
                let patience = match turn % 4 {
                    0 => Duration::from_mins(5),
                    _ => Duration::from_micros((caller * 7 + turn * 13) % 200),
                };
                let taken = tokio::time::timeout(patience, pool.acquire(here())).await;
                let Ok(Ok(mut taken)) = taken else { continue };
                let id = id(&mut taken);
                assert!(using.lock().unwrap().insert(id.clone()), "somebody else has it");
                tokio::task::yield_now().await;
                assert!(using.lock().unwrap().remove(&id));
                if turn % 64 == 0 {
                    taken.leaves_residue();
                }
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    let figures = bench.pool.figures();
    assert!(figures.acquired >= CALLERS * TURNS / 4, "{figures:?}");
    assert_eq!((figures.in_use, figures.waiting), (0, 0));
    bench.pool.close(Duration::from_mins(1)).await.unwrap();
    assert_eq!(bench.pool.figures().size, 0);
    assert!(bench.server.script().open.is_empty());
}

const CALLERS: u64 = 32;
const TURNS: u64 = 500;
