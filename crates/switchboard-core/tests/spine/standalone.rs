//! Lines without a manager, whose drivers are somebody else's.

use std::sync::Arc;
use std::time::Duration;

use switchboard_core::{Lifecycle, Line, Policy, Reply, Result};

use crate::desk::{
    Desk, DeskDriver, Desks, Driver, Script, Session, Step, Stream, World, next, outage, paper,
};

/// Longer than draining and closing a driver may take.
const LONG: Duration = Duration::from_hours(1);

fn alone(world: &World, driver: Arc<dyn DeskDriver>) -> Desk {
    let policy = Policy::default();
    Desk::from(Line::<Desks>::standalone("alone", driver, policy, &world.environment).unwrap())
}

fn owned(script: &Script) -> Arc<Driver> {
    Arc::new(script.driver::<0>("own"))
}

#[tokio::test(start_paused = true)]
async fn the_last_line_leaves_the_driver_open_for_whoever_made_it() {
    let world = World::new();
    let driver = owned(&world.script);
    let desk = alone(&world, driver.clone());
    assert_eq!(desk.ask("?").await.unwrap(), "own: ?");
    drop(desk);
    tokio::time::sleep(LONG).await;
    assert_eq!(world.script.count(Step::Close), 0);
    assert_eq!(alone(&world, driver.clone()).ask("again").await.unwrap(), "own: again");
    driver.close().await.unwrap();
    world.script.assert_tidy(0);
}

#[tokio::test(start_paused = true)]
async fn what_holds_the_driver_or_a_stream_of_it_outlives_the_last_line() {
    let world = World::new();
    let driver = owned(&world.script);
    let desk = alone(&world, driver.clone());
    let held = desk.line().hold().unwrap();
    let mut stream = desk.listen().await.unwrap();
    drop(desk);
    tokio::time::sleep(LONG).await;
    assert_eq!(next(&mut stream).await.unwrap(), Some(1));
    assert_eq!(held.ask("?").await.unwrap(), "own: ?");
    drop((stream, held));
    tokio::time::sleep(LONG).await;
    driver.close().await.unwrap();
    world.script.assert_tidy(0);
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_was_only_lent_is_let_go_of_at_once() {
    let world = World::new();
    let driver = owned(&world.script);
    drop(alone(&world, driver.clone()));
    assert_eq!(Arc::strong_count(&driver), 1);
    driver.close().await.unwrap();
}

/// The driver of a manager, behind gates of the application's own.
struct Behind(Desk);

impl Lifecycle for Behind {}

impl DeskDriver for Behind {
    fn ask<'a>(&'a self, question: &'a str) -> Reply<'a, String> {
        Reply::run(self.0.ask(question))
    }

    fn hand_over(&self, body: Vec<u8>) -> Reply<'_, usize> {
        Reply::run(self.0.hand_over(body))
    }

    fn session(&self) -> Reply<'_, Session> {
        Reply::ready(Err(outage()))
    }

    fn listen(&self) -> Reply<'_, Stream> {
        Reply::ready(Err(outage()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_driver_wrapped_in_a_line_of_its_own_is_closed_once() -> Result<()> {
    let world = World::new();
    let environment = world.environment.clone();
    let wrap = move |own: Arc<dyn DeskDriver>| -> Arc<dyn DeskDriver> {
        let line = Line::<Desks>::standalone("alone", own, Policy::default(), &environment);
        Arc::new(Behind(Desk::from(line.unwrap())))
    };
    world.desks.initialise_wrapped("a", &paper(), wrap).await?;
    assert_eq!(world.desks.handle("a")?.ask("?").await?, "a: ?");
    world.desks.close(LONG).await.into_result()?;
    tokio::time::sleep(LONG).await;
    world.swept().await;
    assert_eq!(world.script.count(Step::Close), 1);
    world.script.assert_tidy(0);
    Ok(())
}
