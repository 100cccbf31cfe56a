//! Callers that come, go, break and leave in any order: nobody is overtaken, nothing is lost.

use proptest::collection::vec;
use proptest::prelude::*;
use switchboard_core::ErrorKind;
use switchboard_testkit::advance;

use super::scripted::{Connect, Scripted};
use super::*;
use crate::{Begin, PrePing, State};

#[derive(Clone, Copy, Debug)]
enum Step {
    Come { is_urgent: bool },
    Go { waiter: usize },
    GiveBack { holder: usize, how: How },
    NextConnect(Connect),
    Wait(Duration),
    Suspend,
    Resume,
    Refresh,
    Restart,
}

/// How a connection is left.
#[derive(Clone, Copy, Debug)]
enum How {
    AsBefore,
    InTransaction,
    InACall,
    WithResidue,
    Discarded,
    Broken,
}

fn step() -> impl Strategy<Value = Step> {
    let how = prop_oneof![
        4 => Just(How::AsBefore),
        1 => Just(How::InTransaction),
        1 => Just(How::InACall),
        1 => Just(How::WithResidue),
        1 => Just(How::Discarded),
        1 => Just(How::Broken),
    ];
    let connect = prop_oneof![
        (0_u64..500).prop_map(|millis| Connect::After(Duration::from_millis(millis))),
        Just(Connect::Fail(ErrorKind::Unavailable)),
        Just(Connect::Panic),
        Just(Connect::Hang),
    ];
    prop_oneof![
        8 => prop::bool::weighted(0.1).prop_map(|is_urgent| Step::Come { is_urgent }),
        4 => any::<usize>().prop_map(|waiter| Step::Go { waiter }),
        8 => (any::<usize>(), how).prop_map(|(holder, how)| Step::GiveBack { holder, how }),
        3 => connect.prop_map(Step::NextConnect),
        3 => (0_u64..2_000).prop_map(|millis| Step::Wait(Duration::from_millis(millis))),
        1 => Just(Step::Suspend),
        2 => Just(Step::Resume),
        1 => Just(Step::Refresh),
        1 => Just(Step::Restart),
    ]
}

/// The callers of one pool.
struct Callers<'b> {
    bench: &'b Bench,
    /// Connections die. Who gets a dead one has had a turn, and others may be served meanwhile.
    has_outages: bool,
    waiting: Vec<Waiting<'b>>,
    holding: Vec<Taken>,
}

struct Waiting<'b> {
    is_urgent: bool,
    acquiring: Acquiring<'b>,
}

impl Callers<'_> {
    async fn take(&mut self, step: Step) {
        let bench = self.bench;
        match step {
            Step::Come { is_urgent } => {
                let acquiring = Box::pin(bench.pool.acquire(Taking { is_urgent, ..here() }));
                self.waiting.push(Waiting { is_urgent, acquiring });
            }
            Step::Go { waiter } if !self.waiting.is_empty() => {
                drop(self.waiting.remove(waiter % self.waiting.len()));
            }
            Step::GiveBack { holder, how } if !self.holding.is_empty() => {
                leave(self.holding.swap_remove(holder % self.holding.len()), how).await;
            }
            Step::Go { .. } | Step::GiveBack { .. } => {}
            Step::NextConnect(connect) => bench.server.script().connects.push_back(connect),
            Step::Wait(time) => advance(time).await,
            Step::Suspend => bench.pool.suspend(),
            Step::Resume => bench.pool.resume(),
            Step::Refresh => bench.pool.refresh(Duration::from_secs(1)),
            Step::Restart => bench.server.restart(),
        }
    }

    /// Everybody looks whether it is their turn, until whoever the pool has served knows of it: who is
    /// turned away may let somebody else in who has looked before.
    async fn look(&mut self) {
        for _ in 0..8 {
            self.look_once().await;
            if self.waiting.len() == self.bench.pool.figures().waiting {
                return;
            }
        }
    }

    /// Who is served must not have overtaken anybody.
    async fn look_once(&mut self) {
        settle().await;
        let mut still_waiting: Vec<Waiting<'_>> = Vec::new();
        for mut waiting in std::mem::take(&mut self.waiting) {
            let Poll::Ready(taken) = poll_settled(&mut waiting.acquiring).await else {
                still_waiting.push(waiting);
                continue;
            };
            let taken = match taken {
                Ok(taken) => taken,
                // Only they do not wait for the next attempt to connect.
                Err(error) => {
                    assert!(waiting.is_urgent, "{error:?}");
                    continue;
                }
            };
            assert_eq!(taken.state(), State::Idle);
            let is_overtaken = |other: &Waiting<'_>| other.is_urgent || !waiting.is_urgent;
            let is_fair = self.has_outages || !still_waiting.iter().any(is_overtaken);
            assert!(is_fair, "somebody was overtaken");
            self.holding.push(taken);
        }
        self.waiting = still_waiting;
        settle().await;
    }

    fn assert_sound(&mut self) {
        let figures = self.bench.pool.figures();
        assert_eq!((figures.in_use, figures.waiting), (self.holding.len(), self.waiting.len()));
        assert!(figures.size <= figures.max + 1);
        assert!(figures.is_suspended || figures.idle == 0 || self.waiting.is_empty());
        let open = self.bench.server.script().open.len();
        assert_eq!(open + figures.connecting, figures.size, "{figures:?}");
        let mut ids: Vec<_> = self.holding.iter_mut().map(id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), self.holding.len(), "two have the same one");
    }
}

async fn leave(mut taken: Taken, how: How) {
    match how {
        How::AsBefore => {}
        // On a dead connection it fails, which is one more way to leave it.
        How::InTransaction => drop(taken.connection().begin(&Begin::default()).await),
        How::InACall => drop(taken.begin(None)),
        How::WithResidue => taken.leaves_residue(),
        How::Discarded => taken.discard(),
        How::Broken => {
            let mut busy = taken.begin(None);
            let scripted = busy.connection().native().downcast_mut::<Scripted>();
            scripted.unwrap().break_down();
            busy.end();
        }
    }
}

fn is_outage(step: Step) -> bool {
    matches!(step, Step::Restart | Step::GiveBack { how: How::Broken, .. })
}

async fn play(has_outages: bool, steps: Vec<(Step, bool)>) {
    let bench = Bench::with(3, |config| {
        config.pre_ping = PrePing::Never;
        config.acquire_timeout = Duration::from_hours(1);
        config.min_idle = 1;
    });
    let mut callers =
        Callers { bench: &bench, has_outages, waiting: Vec::new(), holding: Vec::new() };
    for (step, is_looked_at) in
        steps.into_iter().filter(|(step, _)| has_outages || !is_outage(*step))
    {
        callers.take(step).await;
        if is_looked_at {
            callers.look().await;
            callers.assert_sound();
        }
    }
    bench.server.script().connects.clear();
    bench.pool.resume();
    while !callers.waiting.is_empty() {
        callers.look().await;
        callers.assert_sound();
        let before = callers.waiting.len();
        callers.holding.clear();
        advance(Duration::from_secs(8)).await;
        callers.look().await;
        assert!(callers.waiting.is_empty() || callers.waiting.len() < before, "nobody is served");
    }
    callers.holding.clear();
    advance(Duration::from_secs(8)).await;
    bench.assert_at_rest().await;
    bench.pool.close(Duration::from_secs(1)).await.unwrap();
    assert!(bench.server.script().open.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_is_overtaken_and_no_connection_is_lost(
        has_outages in any::<bool>(),
        steps in vec((step(), prop::bool::weighted(0.7)), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(play(has_outages, steps));
    }
}
