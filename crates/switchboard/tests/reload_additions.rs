//! New instances in a reload, and those that are built with their help.

#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

mod files;
mod lamps;

use std::time::Duration;

use files::{File, colour, is_over};
use lamps::{Bulbs, LampDriver, Lamps, op};
use switchboard::{Builder, Change, Switchboard};
use switchboard_core::{Lifecycle, Line, Op, Registry, Reply, Result, Subsystem};

const LIMIT: Duration = Duration::from_secs(5);
const MIRROR_OF_DOOR: &str = "mirror = { driver = 'mirror', of = 'door', required = true }";
const DOOR: &str = "door = { driver = 'bulb', colour = 'red', required = true }";

/// A subsystem of its own, whose drivers may need a lamp.
struct Signs;

impl Subsystem for Signs {
    const NAME: &'static str = "sign";
    const OPERATIONS: &'static [Op] = op::ALL;
    type Driver = dyn LampDriver;
    type Handle = Line<Self>;

    fn register_built_ins(registry: &Registry<Self>) -> Result<()> {
        registry.register("lit", |config: lamps::MirrorConfig, context| async move {
            Ok(Lit(context.other::<Lamps>(&config.of).await?))
        })
    }
}

struct Lit(lamps::Lamp);

impl Lifecycle for Lit {}

impl LampDriver for Lit {
    fn colour(&self) -> Reply<'_, String> {
        Reply::run(self.0.colour())
    }
}

async fn reloaded(before: &str, after: &str) -> (File, Bulbs, Switchboard, Result<()>) {
    let (file, bulbs) = (File::new(before), Bulbs::default());
    let builder: Builder = bulbs.builder().subsystem::<Signs>().file(file.path());
    let board = builder.build().await.unwrap();
    file.write(after);
    let done = board.reload("test").await.map(drop);
    (file, bulbs, board, done)
}

fn names(board: &Switchboard) -> Vec<String> {
    let of_cache = |name: &String| name != "main";
    board.instances().into_iter().map(|view| view.name).filter(of_cache).collect()
}

#[tokio::test]
async fn a_new_instance_may_need_another_new_one() {
    let (_file, bulbs, board, done) =
        reloaded("", &format!("[lamp]\n{MIRROR_OF_DOOR}\n{DOOR}")).await;
    done.unwrap();
    assert_eq!(colour(&board, "mirror").await, "red");
    board.close(LIMIT).await.into_result().unwrap();
    assert_eq!(bulbs.built(), bulbs.closed());
}

#[tokio::test]
async fn an_instance_that_serves_may_move_to_a_new_one() {
    let before = format!("[lamp]\n{MIRROR_OF_DOOR}\n{DOOR}");
    let after = "[lamp]
        mirror = { driver = 'mirror', of = 'gate', required = true }
        gate = { driver = 'bulb', colour = 'blue' }";
    let (_file, bulbs, board, done) = reloaded(&before, after).await;
    done.unwrap();
    assert_eq!(colour(&board, "mirror").await, "blue");
    assert_eq!(names(&board), ["gate", "mirror"]);
    board.close(LIMIT).await.into_result().unwrap();
    assert_eq!(bulbs.built(), bulbs.closed());
}

#[tokio::test]
async fn a_new_instance_may_need_a_new_group() {
    let after = format!(
        "[lamp]\nany = {{ members = ['door'] }}\n{DOOR}
        mirror = {{ driver = 'mirror', of = 'any', required = true }}"
    );
    let (_file, _, board, done) = reloaded("", &after).await;
    done.unwrap();
    assert_eq!(colour(&board, "mirror").await, "red");
}

#[tokio::test]
async fn a_new_instance_may_need_a_new_one_of_another_subsystem() {
    let after = format!(
        "[lamp]\n{DOOR}\n[sign]\nexit = {{ driver = 'lit', of = 'door', required = true }}"
    );
    let (_file, _, board, done) = reloaded("", &after).await;
    done.unwrap();
    let exit = board.handle::<Signs>("exit").unwrap();
    let shown = exit.call(op::COLOUR, |sign| async move { sign.colour().await }).await;
    assert_eq!(shown.unwrap(), "red");
}

#[tokio::test]
async fn new_instances_are_taken_back_when_the_rest_fails() {
    let before = "[lamp]\nold = { driver = 'bulb', colour = 'red', required = true }";
    let after = format!(
        "[lamp]\n{MIRROR_OF_DOOR}\n{DOOR}
        old = {{ driver = 'bulb', colour = 'blue', required = true, broken = true }}
        any = {{ members = ['door', 'mirror'] }}
        [sign]\nexit = {{ driver = 'lit', of = 'door', required = true }}"
    );
    let (file, bulbs, board, done) = reloaded(before, &after).await;
    let error = done.unwrap_err();
    assert!(format!("{error:?}").contains("lamp.old"), "{error:?}");
    assert_eq!(names(&board), ["old"]);
    assert_eq!(colour(&board, "old").await, "red");
    assert_eq!(bulbs.built() - bulbs.closed(), 1, "only the old one is left");

    file.write(&after.replace("broken = true", "broken = false"));
    let plan = board.reload("test").await.unwrap();
    assert_eq!((plan.count(Change::Added), plan.count(Change::Swapped)), (4, 1));
    assert_eq!(colour(&board, "mirror").await, "red");
    board.close(LIMIT).await.into_result().unwrap();
    assert_eq!(bulbs.built(), bulbs.closed());
}

#[tokio::test]
async fn new_instances_are_taken_back_when_the_reload_is_dropped() {
    let (file, bulbs) = (File::new(""), Bulbs::default());
    let board = file.board(&bulbs).await;
    file.write(&format!("[lamp]\n{DOOR}\nlost = {{ driver = 'lost', required = true }}"));
    {
        let mut reload = Box::pin(board.reload("test"));
        // As far as it comes by itself: one of the two is never there.
        while names(&board) != ["door", "lost"] {
            assert!(!is_over(&mut reload).await);
            tokio::task::yield_now().await;
        }
    }
    board.environment().reaper().idle(board.environment().clock().now() + LIMIT).await.unwrap();
    assert_eq!(names(&board), [""; 0]);
    assert_eq!(bulbs.built(), bulbs.closed());
    file.write(&format!("[lamp]\n{DOOR}"));
    board.reload("test").await.unwrap();
    assert_eq!(colour(&board, "door").await, "red");
}
