//! Something of the application's around the drivers of an instance.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use switchboard_core::{
    ErrorKind, Health, Lifecycle, Manager, Priority, Reply, Result, Settings, Status, Support,
};

use crate::desk::{
    Act, Desk, DeskDriver, Desks, Gate, Session, Step, Stream, World, labelled, outage, paper,
};
use crate::dropping::at_every_poll;

const LIMIT: Duration = Duration::from_secs(10);

/// What a test has put around drivers. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Wraps(Arc<Counts>);

#[derive(Default)]
struct Counts {
    made: AtomicUsize,
    live: AtomicUsize,
    /// How often the lifecycle of a wrapper was asked, which nobody should.
    asked: AtomicUsize,
}

impl Wraps {
    /// A function that puts `around` around the answers of a driver.
    pub(crate) fn with(
        &self,
        around: &'static str,
    ) -> impl Fn(Arc<dyn DeskDriver>) -> Arc<dyn DeskDriver> + Send + Sync + use<> {
        let wraps = self.clone();
        move |inner| {
            wraps.0.made.fetch_add(1, Ordering::SeqCst);
            wraps.0.live.fetch_add(1, Ordering::SeqCst);
            Arc::new(Wrapped { inner, around, wraps: wraps.clone() })
        }
    }

    pub(crate) fn made(&self) -> usize {
        self.0.made.load(Ordering::SeqCst)
    }

    /// As many wrappers live, and none of them was started, checked or closed.
    #[track_caller]
    pub(crate) fn assert_tidy(&self, live: usize) {
        assert_eq!(self.0.live.load(Ordering::SeqCst), live, "wrappers alive");
        assert_eq!(self.0.asked.load(Ordering::SeqCst), 0, "lifecycles of wrappers asked");
    }
}

/// Passes calls on and keeps the lifecycle to itself, as careless wrappers do.
struct Wrapped {
    inner: Arc<dyn DeskDriver>,
    around: &'static str,
    wraps: Wraps,
}

impl Wrapped {
    fn asked<T>(&self, answer: T) -> Reply<'_, T> {
        self.wraps.0.asked.fetch_add(1, Ordering::SeqCst);
        Reply::ready(Ok(answer))
    }
}

impl Lifecycle for Wrapped {
    fn init(&self) -> Reply<'_, ()> {
        self.asked(())
    }

    fn health(&self) -> Reply<'_, Health> {
        self.asked(Health::up())
    }

    fn close(&self) -> Reply<'_, ()> {
        self.asked(())
    }
}

impl DeskDriver for Wrapped {
    fn ask<'a>(&'a self, question: &'a str) -> Reply<'a, String> {
        Reply::run(async move {
            let answer = self.inner.ask(question).await?;
            Ok(format!("{around}{answer}{around}", around = self.around))
        })
    }

    fn hand_over(&self, body: Vec<u8>) -> Reply<'_, usize> {
        self.inner.hand_over(body)
    }

    fn session(&self) -> Reply<'_, Session> {
        self.inner.session()
    }

    fn listen(&self) -> Reply<'_, Stream> {
        self.inner.listen()
    }
}

impl Drop for Wrapped {
    fn drop(&mut self) {
        self.wraps.0.live.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A world whose instance `a` serves, wrapped in stars, by the driver and under the label `old`.
async fn serving(driver: &'static str) -> (World, Wraps, Desk) {
    let (world, wraps) = (World::new(), Wraps::default());
    world.desks.configure_wrapped("a", &labelled(driver, "old"), wraps.with("*")).unwrap();
    let desk = world.desks.get("a").await.unwrap();
    (world, wraps, desk)
}

async fn swap(desks: &Manager<Desks>, settings: &Settings) -> Result<()> {
    desks.swap("a", settings).await?.closed().await
}

#[tokio::test(start_paused = true)]
async fn calls_go_to_the_wrapped_driver_and_its_lifecycle_to_the_driver_itself() {
    let (world, wraps, desk) = serving("paper").await;
    assert_eq!(desk.ask("?").await.unwrap(), "*old: ?*");
    world.script.feel(Health::degraded("slow"));
    assert_eq!(world.desks.health(LIMIT).await[0].health.status, Status::Degraded);
    world.desks.close(LIMIT).await.into_result().unwrap();
    assert_eq!(
        world.script.journal(),
        ["old Build", "old Init", "old Ask", "old Health", "old Close"]
    );
    world.script.assert_tidy(0);
    wraps.assert_tidy(0);
}

#[tokio::test(start_paused = true)]
async fn what_the_driver_can_do_is_asked_of_the_driver_itself() {
    let world = World::new();
    let able = switchboard_core::Descriptor::new("able").capability("drawer", Support::Native);
    world.script.register(world.desks.registry(), able).unwrap();
    let settings = Settings::new().with("driver", "able");
    world.desks.configure_wrapped("a", &settings, Wraps::default().with("*")).unwrap();
    let desk = world.desks.handle("a").unwrap();
    assert!(desk.line().capabilities().await.unwrap().has("drawer"));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_wrapped_before_it_is_ready() {
    for step in [Step::Build, Step::Init] {
        for act in [Act::Fail(outage()), Act::Panic, Act::Hang] {
            let (world, wraps) = (World::new(), Wraps::default());
            world.desks.configure_wrapped("a", &paper(), wraps.with("*")).unwrap();
            world.script.once(step, act);
            world.desks.get("a").await.map(drop).unwrap_err();
            assert_eq!(wraps.made(), 0, "{step:?}");
            world.swept().await;
            world.script.assert_tidy(0);
            let desk = world.desks.get("a").await.unwrap();
            assert_eq!((desk.ask("?").await.unwrap().as_str(), wraps.made()), ("*a: ?*", 1));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrap_that_panics_is_a_driver_that_could_not_be_built_and_is_closed() {
    let world = World::new();
    let times = AtomicUsize::new(0);
    let wraps = Wraps::default();
    let working = wraps.with("*");
    let panicking_once = move |driver| {
        assert!(times.fetch_add(1, Ordering::SeqCst) > 0, "not today");
        working(driver)
    };
    world.desks.configure_wrapped("a", &paper(), panicking_once).unwrap();
    let error = world.desks.get("a").await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unexpected);
    assert_eq!(error.context_value("panic"), Some("not today"));
    assert_eq!(error.context_value("during"), Some("wrap"));
    assert_eq!(world.script.closed(), ["a"], "before the caller is answered");
    world.script.assert_tidy(0);
    assert_eq!(world.desks.get("a").await.unwrap().ask("?").await.unwrap(), "*a: ?*");
}

#[tokio::test(start_paused = true)]
async fn a_swap_wraps_the_new_driver_and_lets_go_of_the_old_wrapper() {
    for driver in ["paper", "vault"] {
        let (world, wraps, desk) = serving(driver).await;
        swap(&world.desks, &labelled(driver, "new")).await.unwrap();
        assert_eq!(desk.ask("?").await.unwrap(), "*new: ?*");
        world.swept().await;
        assert_eq!((wraps.made(), world.script.count(Step::Init)), (2, 2));
        world.script.assert_tidy(1);
        wraps.assert_tidy(1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_swap_that_fails_leaves_the_old_wrapper_in_its_place() {
    for step in [Step::Build, Step::Init, Step::Health] {
        let (world, wraps, desk) = serving("paper").await;
        world.script.once(step, Act::Fail(outage()));
        swap(&world.desks, &labelled("paper", "new")).await.unwrap_err();
        assert_eq!(desk.ask("?").await.unwrap(), "*old: ?*");
        assert_eq!(wraps.made(), 1, "{step:?}");
        world.script.assert_tidy(1);
        wraps.assert_tidy(1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_exclusive_driver_that_is_opened_again_is_wrapped_again() {
    let (world, wraps, desk) = serving("vault").await;
    world.script.once(Step::Init, Act::Fail(outage()));
    swap(&world.desks, &labelled("vault", "new")).await.unwrap_err();
    assert_eq!(desk.ask("?").await.unwrap(), "*old: ?*");
    world.swept().await;
    assert_eq!(world.script.live_max(), 1);
    world.script.assert_tidy(1);
    wraps.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn a_swap_whose_wrap_panics_leaves_the_old_driver_serving() {
    let world = World::new();
    let wraps = Wraps::default();
    let (working, times) = (wraps.with("*"), AtomicUsize::new(0));
    let panicking_later = move |driver| {
        assert!(times.fetch_add(1, Ordering::SeqCst) == 0, "not again");
        working(driver)
    };
    world.desks.configure_wrapped("a", &labelled("paper", "old"), panicking_later).unwrap();
    let desk = world.desks.get("a").await.unwrap();
    let error = swap(&world.desks, &labelled("paper", "new")).await.unwrap_err();
    assert_eq!(error.context_value("panic"), Some("not again"));
    assert_eq!(desk.ask("?").await.unwrap(), "*old: ?*");
    assert_eq!(world.script.closed(), ["new"]);
    world.script.assert_tidy(1);
    wraps.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn a_wrapper_lives_as_long_as_a_call_needs_it_and_its_driver_is_closed_after_that() {
    let (world, wraps, desk) = serving("paper").await;
    let gate = Gate::closed();
    world.script.once(Step::Ask, Act::Wait(gate.clone()));
    let call = {
        let desk = desk.clone();
        tokio::spawn(async move { desk.ask("?").await })
    };
    world.script.reached(Step::Ask, 1).await;
    drop(world.desks.swap("a", &labelled("paper", "new")).await.unwrap());
    world.settle().await;
    wraps.assert_tidy(2);
    assert_eq!(world.script.count(Step::Close), 0);
    gate.open();
    assert_eq!(call.await.unwrap().unwrap(), "*old: ?*");
    world.swept().await;
    world.script.assert_tidy(1);
    wraps.assert_tidy(1);
}

#[tokio::test(start_paused = true)]
async fn a_creation_or_a_swap_dropped_at_any_await_leaves_no_wrapper_behind() {
    for swapped in [false, true] {
        at_every_poll(
            async || {
                let (world, wraps) = (World::new(), Wraps::default());
                world.desks.configure_wrapped("a", &paper(), wraps.with("*")).unwrap();
                if swapped {
                    world.desks.get("a").await.unwrap();
                }
                let desks = world.desks.clone();
                let change = async move {
                    if swapped {
                        return desks.swap("a", &paper()).await.map(drop);
                    }
                    desks.get("a").await.map(drop)
                };
                ((world, wraps), change)
            },
            async |(world, wraps), _| {
                let desk = world.desks.get("a").await.unwrap();
                assert_eq!(desk.ask("?").await.unwrap(), "*a: ?*");
                world.swept().await;
                world.script.assert_tidy(1);
                wraps.assert_tidy(1);
            },
        )
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_handed_in_ready_is_not_wrapped() {
    let (world, wraps, desk) = serving("paper").await;
    let guard = world.desks.override_instance("a", world.script.driver::<0>("fake")).unwrap();
    assert_eq!(desk.ask("?").await.unwrap(), "fake: ?");
    drop(guard);
    assert_eq!(desk.ask("?").await.unwrap(), "*old: ?*");

    world.desks.configure_wrapped("b", &paper(), wraps.with("+")).unwrap();
    world.desks.insert("b", world.script.driver::<0>("made")).unwrap();
    let made = world.desks.get("b").await.unwrap();
    assert_eq!(made.ask("?").await.unwrap(), "made: ?");
    world.swept().await;
    wraps.assert_tidy(1);
    world.script.assert_tidy(2);
}

#[tokio::test(start_paused = true)]
async fn a_group_has_no_driver_to_wrap_but_its_members_have() {
    let (world, wraps, _desk) = serving("paper").await;
    let members = Settings::new().with("members", ["a"]);
    let error = world.desks.configure_wrapped("g", &members, wraps.with("+")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(!world.desks.has("g"));
    world.desks.group("g", &["a"], Priority).unwrap();
    assert_eq!(world.desks.handle("g").unwrap().ask("?").await.unwrap(), "*old: ?*");
}

/// Looks at the manager when it is dropped, as a wrapper of an application may.
struct Looking(Wrapped, Arc<Mutex<Vec<usize>>>, Manager<Desks>);

impl Lifecycle for Looking {}

impl DeskDriver for Looking {
    fn ask<'a>(&'a self, question: &'a str) -> Reply<'a, String> {
        self.0.ask(question)
    }

    fn hand_over(&self, body: Vec<u8>) -> Reply<'_, usize> {
        self.0.hand_over(body)
    }

    fn session(&self) -> Reply<'_, Session> {
        self.0.session()
    }

    fn listen(&self) -> Reply<'_, Stream> {
        self.0.listen()
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.1.lock().unwrap().extend(self.2.instances().iter().map(|instance| instance.in_flight));
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrapper_that_looks_at_the_manager_when_it_goes_locks_nobody_out() {
    let (world, seen, wraps) = (World::new(), Arc::<Mutex<Vec<_>>>::default(), Wraps::default());
    let (desks, looks, counted) = (world.desks.clone(), seen.clone(), wraps.clone());
    let wrap = move |inner| -> Arc<dyn DeskDriver> {
        counted.0.live.fetch_add(1, Ordering::SeqCst);
        let wrapped = Wrapped { inner, around: "*", wraps: counted.clone() };
        Arc::new(Looking(wrapped, looks.clone(), desks.clone()))
    };
    for driver in ["paper", "vault"] {
        world.desks.configure_wrapped(driver, &labelled(driver, "old"), wrap.clone()).unwrap();
        world.desks.get(driver).await.unwrap();
        let swapped = world.desks.swap(driver, &labelled(driver, "new")).await.unwrap();
        swapped.closed().await.unwrap();
    }
    world.desks.close(LIMIT).await.into_result().unwrap();
    world.swept().await;
    assert!(!seen.lock().unwrap().is_empty());
    wraps.assert_tidy(0);
    world.script.assert_tidy(0);
}

#[tokio::test(start_paused = true)]
async fn what_drivers_were_wrapped_in_is_let_go_when_the_manager_is_closed() {
    let (world, kept) = (World::new(), Arc::new(()));
    let (desks, held) = (world.desks.clone(), kept.clone());
    let wrap = move |driver| {
        let _kept = (&desks, &held);
        driver
    };
    world.desks.configure_wrapped("a", &paper(), wrap).unwrap();
    let desk = world.desks.get("a").await.unwrap();
    world.desks.close(LIMIT).await.into_result().unwrap();
    assert_eq!(Arc::strong_count(&kept), 1, "although a handle still lives");
    drop(desk);
}
