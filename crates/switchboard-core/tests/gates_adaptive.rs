//! A bulkhead that finds its own limit, in front of a service on the paused clock.

use std::future::Future as _;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use switchboard_core::{
    AttemptTimeout, Bulkhead, BulkheadLimit, Clock, Effect, Environment, Error, ErrorKind, Gates,
    Gradient, Policy, Result, Settings, Source, execute_with_resilience,
};

/// Answers within 10 ms as long as it has no more calls than it takes; above that all take longer.
struct Service {
    takes: AtomicU32,
    running: AtomicU32,
    busiest: AtomicU32,
    served: AtomicU64,
}

impl Service {
    fn new(takes: u32) -> Self {
        Self {
            takes: AtomicU32::new(takes),
            running: AtomicU32::new(0),
            busiest: AtomicU32::new(0),
            served: AtomicU64::new(0),
        }
    }

    async fn serve(&self) -> Result<()> {
        let running = self.running.fetch_add(1, Ordering::Relaxed) + 1;
        let _leaves = Leaves(&self.running);
        self.busiest.fetch_max(running, Ordering::Relaxed);
        let share = f64::from(running) / f64::from(self.takes.load(Ordering::Relaxed));
        tokio::time::sleep(Duration::from_millis(10).mul_f64(share.max(1.0))).await;
        self.served.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

struct Leaves<'s>(&'s AtomicU32);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn gates(limit: BulkheadLimit) -> Result<Gates> {
    let policy = Policy { bulkhead: Some(limit), ..Policy::default() };
    Gates::new(policy, Source::new("service", "main"), &Environment::new())
}

fn limit(adaptive: Gradient) -> BulkheadLimit {
    let wait = Duration::from_mins(1);
    BulkheadLimit { max: 200, wait, adaptive: Some(adaptive), ..BulkheadLimit::default() }
}

/// So many callers, each of which calls again as soon as it was answered, for so long.
async fn press(gates: &Gates, service: &Service, callers: u32, time: Duration) -> Result<()> {
    let clock = Clock::system();
    let until = clock.now() + time;
    let caller = async || {
        while clock.now() < until {
            let call = execute_with_resilience(gates, Effect::Read, || service.serve());
            call.await?;
        }
        Ok(())
    };
    join_all((0..callers).map(|_| caller())).await.into_iter().collect()
}

#[tokio::test(start_paused = true)]
async fn it_finds_what_the_service_takes_backs_off_when_that_is_less_and_comes_back() {
    let (gates, service) = (gates(limit(Gradient::default())).unwrap(), Service::new(50));
    let slots = || gates.bulkhead().unwrap().slots_max();
    assert_eq!(slots(), 20);

    press(&gates, &service, 8, Duration::from_secs(5)).await.unwrap();
    assert_eq!(slots(), 20, "eight callers do not fill twenty slots by half");

    press(&gates, &service, 150, Duration::from_mins(1)).await.unwrap();
    let found = slots();
    assert!((50..=100).contains(&found), "{found}");

    service.takes.store(10, Ordering::Relaxed);
    press(&gates, &service, 150, Duration::from_secs(30)).await.unwrap();
    assert!(slots() < found / 2, "{found} then {}", slots());

    service.takes.store(50, Ordering::Relaxed);
    press(&gates, &service, 150, Duration::from_mins(1)).await.unwrap();
    assert!(slots() >= 50, "{}", slots());
    assert!(service.busiest.load(Ordering::Relaxed) <= 200);
    assert_eq!(gates.bulkhead().unwrap().in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn it_finds_what_the_service_takes_under_load_from_the_first_call_on() {
    for start in [4, 200] {
        let window = Duration::from_millis(100);
        let adaptive = Gradient { start, window, ..Gradient::default() };
        let (gates, service) = (gates(limit(adaptive)).unwrap(), Service::new(30));
        press(&gates, &service, 250, Duration::from_secs(15)).await.unwrap();
        let before = service.served.load(Ordering::Relaxed);
        press(&gates, &service, 250, Duration::from_secs(10)).await.unwrap();
        let served = service.served.load(Ordering::Relaxed) - before;
        // The service does thirty calls of 10 ms each at the same time.
        assert!(served > 25_000, "{served} from {start}");
        let slots = gates.bulkhead().unwrap().slots_max();
        assert!((15..=60).contains(&slots), "{slots} from {start}");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_run_out_of_time_bring_it_down_to_its_fewest_slots() {
    let gates = gates(limit(Gradient::default())).unwrap();
    let hangs = AttemptTimeout::new(Duration::from_millis(100));
    for _ in 0..200 {
        let call = execute_with_resilience(&gates, Effect::Read, || {
            hangs.run(std::future::pending::<Result<()>>())
        });
        call.await.unwrap_err();
    }
    assert_eq!(gates.bulkhead().unwrap().slots_max(), 4);
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_dropped_or_answered_at_once_teach_nothing() {
    let (gates, service) = (gates(limit(Gradient::default())).unwrap(), Service::new(1));
    for _ in 0..100 {
        let dropped = execute_with_resilience(&gates, Effect::Read, || service.serve());
        tokio::time::timeout(Duration::from_millis(7), dropped).await.unwrap_err();
        execute_with_resilience(&gates, Effect::Read, async || Ok(())).await.unwrap();
    }
    let bulkhead = gates.bulkhead().unwrap();
    assert_eq!((bulkhead.slots_max(), bulkhead.in_use()), (20, 0));
    assert_eq!(service.running.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_goes_up_lets_in_who_waits() {
    let gradient = Gradient { start: 4, headroom: 100, smoothing: 1.0, ..Gradient::default() };
    let bulkhead = Bulkhead::new(limit(gradient), Clock::system()).unwrap();
    let permits: Vec<_> = (0..4).map(|_| bulkhead.try_acquire().unwrap()).collect();
    let mut waiting = Box::pin(bulkhead.acquire(None));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    for _ in 0..10 {
        tokio::time::advance(Duration::from_millis(100)).await;
        bulkhead.ended(&Ok(()), Duration::from_millis(5));
    }
    assert_eq!(bulkhead.slots_max(), 104);
    let _let_in = waiting.await.unwrap();
    drop(permits);
    assert_eq!(bulkhead.in_use(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_retune_keeps_what_was_learnt_and_can_end_the_learning() {
    let learning = limit(Gradient { start: 40, ..Gradient::default() });
    let bulkhead = Bulkhead::new(learning, Clock::system()).unwrap();
    bulkhead.retune(BulkheadLimit { max: 30, ..learning }).unwrap();
    assert_eq!(bulkhead.slots_max(), 30);
    bulkhead.retune(learning).unwrap();
    assert_eq!(bulkhead.slots_max(), 30, "it goes on where it was");
    bulkhead.retune(BulkheadLimit { adaptive: None, ..learning }).unwrap();
    assert_eq!(bulkhead.slots_max(), 200);
    bulkhead.retune(learning).unwrap();
    assert_eq!(bulkhead.slots_max(), 40, "and starts anew where it had ended");
}

#[test]
fn settings_name_every_mistake_at_once() {
    let policy: Policy = Settings::new()
        .with("bulkhead", Settings::new().with("max", 64).with("adaptive", Settings::new()))
        .decode()
        .unwrap();
    assert_eq!(policy.bulkhead.unwrap().adaptive, Some(Gradient::default()));
    let chain = policy.chain()[0].settings.clone();
    assert!(chain.starts_with("4 to 64 at once, as answers tell,"), "{chain}");

    let adaptive = Gradient {
        min: 65,
        tolerance: f64::NAN,
        smoothing: 0.0,
        window: Duration::ZERO,
        samples: 0,
        ..Gradient::default()
    };
    let wrong = BulkheadLimit { adaptive: Some(adaptive), ..BulkheadLimit::default() };
    let error = Bulkhead::new(wrong, Clock::system()).unwrap_err();
    assert_eq!((error.kind(), error.related().len()), (ErrorKind::Config, 5));
    let settings: Vec<_> = error.related().iter().map(setting).collect();
    assert_eq!(
        settings,
        ["min", "tolerance", "smoothing", "window", "samples"]
            .map(|name| format!("bulkhead.adaptive.{name}"))
    );
}

fn setting(error: &Error) -> String {
    error.context_value("setting").unwrap_or_default().to_owned()
}
