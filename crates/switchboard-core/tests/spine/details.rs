//! What drivers show of themselves, and who else has a say in that.

use std::sync::Arc;
use std::time::Duration;

use switchboard_core::{
    Detail, Details, Environment, Erase, Lifecycle, Line, Manager, Metric, MetricValue, NoSettings,
    Op, Priority, Registry, Result, Settings, Subsystem,
};

struct Clocks;

impl Subsystem for Clocks {
    const NAME: &'static str = "clock";
    const OPERATIONS: &'static [Op] = &[];
    type Driver = dyn ClockDriver;
    type Handle = Line<Self>;

    fn register_built_ins(registry: &Registry<Self>) -> Result<()> {
        registry.register("sun", |_: NoSettings, _| async { Ok(Sun) })?;
        registry.register("moon", |_: NoSettings, _| async { Ok(Moon) })?;
        registry.register("broken", |_: NoSettings, _| async { Ok(Broken) })
    }
}

trait ClockDriver: Lifecycle {}

impl<T: ClockDriver> Erase<T> for dyn ClockDriver {
    fn erase(driver: Arc<T>) -> Arc<Self> {
        driver
    }
}

struct Sun;
struct Moon;
struct Broken;
/// Says nothing of what it is around.
struct Cover(#[expect(dead_code, reason = "it is kept, and not asked")] Arc<dyn ClockDriver>);

impl Lifecycle for Sun {
    fn details(&self) -> Option<Details> {
        Some(light())
    }

    fn metrics(&self) -> Vec<Metric> {
        vec![Metric::counter("rises_total", "How often it rose.", 3)]
    }
}

impl Lifecycle for Broken {
    fn details(&self) -> Option<Details> {
        panic!("there is nothing to see")
    }

    fn metrics(&self) -> Vec<Metric> {
        panic!("there is nothing to count")
    }
}

impl Lifecycle for Moon {}
impl Lifecycle for Cover {}
impl ClockDriver for Sun {}
impl ClockDriver for Moon {}
impl ClockDriver for Broken {}
impl ClockDriver for Cover {}

fn clocks(drivers: &[&str]) -> Manager<Clocks> {
    let registry = Registry::with_built_ins().unwrap();
    let clocks = Manager::<Clocks>::new(registry, &Environment::new()).unwrap();
    for driver in drivers {
        clocks.configure(driver, &Settings::new().with("driver", *driver)).unwrap();
    }
    clocks
}

fn light() -> Details {
    Details::new().with("light", true)
}

#[tokio::test(start_paused = true)]
async fn a_driver_shows_itself_while_it_serves() {
    let clocks = clocks(&["sun"]);
    let line = clocks.handle("sun").unwrap();
    assert_eq!((line.details(), line.metrics()), (None, vec![]), "nobody has built it");
    clocks.get("sun").await.unwrap();
    assert_eq!(line.details(), Some(light()));
    assert_eq!(line.details().unwrap().get("light"), Some(&Detail::Flag(true)));
    let [rises] = line.metrics().try_into().unwrap();
    assert_eq!((rises.name(), rises.value()), ("rises_total", &MetricValue::Counter(3)));
    clocks.close(Duration::from_secs(1)).await.into_result().unwrap();
    assert_eq!((line.details(), line.metrics()), (None, vec![]), "it is closed");
}

#[tokio::test(start_paused = true)]
async fn handles_see_the_driver_that_a_swap_has_brought() {
    let clocks = clocks(&["sun"]);
    let line = clocks.get("sun").await.unwrap();
    let moon = Settings::new().with("driver", "moon");
    clocks.swap("sun", &moon).await.unwrap().closed().await.unwrap();
    assert_eq!((line.details(), line.metrics()), (None, vec![]));
}

#[tokio::test(start_paused = true)]
async fn what_is_put_around_a_driver_does_not_hide_it() {
    let clocks = clocks(&[]);
    let sun = Settings::new().with("driver", "sun");
    let cover = |driver| Arc::new(Cover(driver)) as Arc<dyn ClockDriver>;
    clocks.configure_wrapped("sun", &sun, cover).unwrap();
    let line = clocks.get("sun").await.unwrap();
    assert_eq!(line.details(), Some(light()));
    assert_eq!(line.metrics().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_panics_shows_nothing_and_a_group_leaves_it_to_its_members() {
    let clocks = clocks(&["sun", "broken"]);
    let broken = clocks.get("broken").await.unwrap();
    assert_eq!((broken.details(), broken.metrics()), (None, vec![]));
    clocks.get("sun").await.unwrap();
    clocks.group("both", &["sun", "broken"], Priority).unwrap();
    let both = clocks.handle("both").unwrap();
    assert_eq!((both.details(), both.metrics()), (None, vec![]));
}
