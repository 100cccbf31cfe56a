//! A pool whose connections are all the same one: who has it keeps others out, but not what is part of the
//! same work.

use std::collections::VecDeque;

use proptest::collection::vec;
use proptest::prelude::*;
use switchboard_core::ErrorKind;
use switchboard_testkit::advance;

use super::*;
use crate::pool::scoped;

fn joint(max: usize) -> Bench {
    let bench = Bench::with(max, |config| {
        config.acquire_timeout = Duration::from_hours(1);
        config.nested = crate::Nested::Deny;
    });
    Bench { pool: bench.pool.clone().joint(), ..bench }
}

/// A transaction of its own, in which so many others are begun, each inside of the one before.
fn nested(bench: &Bench, depth: usize) -> Pin<Box<dyn Future<Output = Result<()>> + Send + '_>> {
    Box::pin(scoped(async move {
        let _taken = bench.pool.acquire(here()).await?;
        if depth > 0 { nested(bench, depth - 1).await } else { Ok(()) }
    }))
}

#[tokio::test(start_paused = true)]
async fn who_is_inside_has_as_many_as_there_may_be_and_no_more() {
    let bench = joint(3);
    nested(&bench, 2).await.unwrap();
    bench.assert_at_rest().await;
    assert_eq!(bench.idle(), 1);
    assert_eq!(nested(&bench, 3).await.unwrap_err().kind(), ErrorKind::Config);
    bench.assert_at_rest().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_comes_in_while_something_of_the_last_is_left() {
    let bench = joint(3);
    let (outer, inner) = scoped(async { (bench.take().await, bench.take().await) }).await;
    let mut waits = bench.start();
    assert!(is_pending(&mut waits).await);
    drop(outer);
    assert!(is_pending(&mut waits).await);
    drop(inner);
    drop(served(&mut waits).await);
    bench.assert_at_rest().await;
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Somebody new comes.
    Come,
    /// Somebody who is inside wants one more.
    Want,
    /// Somebody does not wait any longer.
    Go(usize),
    /// Something is given back, in the middle of a call or not.
    GiveBack(usize, bool),
    /// Health is looked at.
    Look,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Come),
        3 => Just(Step::Want),
        2 => any::<usize>().prop_map(Step::Go),
        6 => (any::<usize>(), any::<bool>()).prop_map(|(at, half)| Step::GiveBack(at, half)),
        1 => Just(Step::Look),
    ]
}

/// Work that is inside or wants to be: its own scope, in which it takes all it has.
struct Work {
    /// Runs what is given to it, inside of its scope.
    orders: tokio::sync::mpsc::UnboundedSender<Acquiring<'static>>,
    runs: Pin<Box<dyn Future<Output = ()>>>,
    got: std::sync::mpsc::Receiver<Result<Taken>>,
    wanted: usize,
    holding: Vec<Taken>,
}

impl Work {
    fn new() -> Self {
        let (orders, mut ordered) = tokio::sync::mpsc::unbounded_channel::<Acquiring<'static>>();
        let (gives, got) = std::sync::mpsc::channel();
        let runs = Box::pin(scoped(async move {
            while let Some(acquiring) = ordered.recv().await {
                gives.send(acquiring.await).unwrap();
            }
        }));
        Self { orders, runs, got, wanted: 0, holding: Vec::new() }
    }

    fn want(&mut self, bench: &Bench) {
        let pool = bench.pool.clone();
        let taking = here();
        self.orders.send(Box::pin(async move { pool.acquire(taking).await })).unwrap();
        self.wanted += 1;
    }

    async fn look(&mut self) {
        assert!(poll_settled(&mut self.runs).await.is_pending());
        while let Ok(taken) = self.got.try_recv() {
            self.wanted -= 1;
            match taken {
                Ok(taken) => self.holding.push(taken),
                // It has all there may be.
                Err(error) => assert_eq!(error.kind(), ErrorKind::Config, "{error:?}"),
            }
        }
    }
}

async fn play(steps: Vec<Step>) {
    let bench = joint(3);
    let mut inside: Option<Work> = None;
    let mut outside: VecDeque<Work> = VecDeque::new();
    for step in steps {
        match step {
            Step::Come => {
                let mut work = Work::new();
                work.want(&bench);
                // It takes its place in the order.
                work.look().await;
                outside.push_back(work);
            }
            Step::Want => inside.iter_mut().for_each(|work| work.want(&bench)),
            Step::Go(at) if !outside.is_empty() => drop(outside.remove(at % outside.len())),
            Step::GiveBack(at, is_half_way) => {
                let holding = inside.as_mut().map(|work| &mut work.holding);
                let Some(holding) = holding.filter(|holding| !holding.is_empty()) else { continue };
                let mut taken = holding.swap_remove(at % holding.len());
                if is_half_way {
                    drop(taken.begin(None));
                }
            }
            Step::Look => drop(bench.pool.acquire(urgent()).await.unwrap()),
            Step::Go(_) => {}
        }
        look(&bench, &mut inside, &mut outside).await;
    }
    while inside.is_some() || !outside.is_empty() {
        drop(inside.take());
        look(&bench, &mut inside, &mut outside).await;
    }
    bench.assert_at_rest().await;
}

/// Lets everybody look, and lets in who is first: nobody while somebody is inside, and at once else.
async fn look(bench: &Bench, inside: &mut Option<Work>, outside: &mut VecDeque<Work>) {
    for _ in 0..4 {
        advance(Duration::from_millis(100)).await;
        if let Some(work) = inside {
            work.look().await;
            if work.holding.is_empty() && work.wanted == 0 {
                *inside = None;
                settle().await;
            }
        }
        for (place, work) in outside.iter_mut().enumerate() {
            work.look().await;
            let is_let_in = !work.holding.is_empty();
            assert!(!is_let_in || (inside.is_none() && place == 0), "somebody was overtaken");
        }
        if outside.front().is_some_and(|work| !work.holding.is_empty()) {
            *inside = outside.pop_front();
        }
    }
    assert!(inside.is_some() || outside.is_empty(), "nobody is let in: {:?}", bench.pool.figures());
    let holding = inside.as_ref().map_or(0, |work| work.holding.len());
    assert!(bench.pool.figures().in_use == holding, "{:?}", bench.pool.figures());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn those_who_want_the_same_one_have_it_one_after_the_other(steps in vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(play(steps));
    }
}
