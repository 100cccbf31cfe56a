//! A board of many instances.

use std::fmt::Write as _;
use std::time::Duration;

use switchboard_core::{Clock, ErrorKind};

use crate::stage::{Stage, lamp, light};

const INSTANCES: usize = 200;

/// A board of instances with a breaker each, nine in ten of them in groups of nine, which a feature
/// needs.
fn text() -> String {
    let mut text = String::from("policy.usual.breaker = { window = '10s' }\n");
    for group in 0..INSTANCES / 10 {
        let members: Vec<_> = (0..9).map(|member| format!("a{group}-{member}")).collect();
        for member in &members {
            writeln!(text, "lamp.{member} = {{ driver = 'bulb', policy = 'usual' }}").unwrap();
        }
        writeln!(text, "lamp.g{group}.members = {members:?}").unwrap();
        writeln!(text, "feature.f{group}.needs = ['lamp.g{group}', 'lamp.a{group}-0']").unwrap();
    }
    text
}

#[tokio::test]
async fn many_instances_are_shown_in_little_time() {
    let stage = Stage::default();
    let board = stage.board(&format!("health.every = '50ms'\n{}", text())).await;
    for view in board.instances() {
        if view.members.is_empty() {
            light(&board, &view.name).await;
        }
    }
    stage.fails("a7-3", ErrorKind::Unavailable);
    lamp(&board, "a7-3").shine_times(5).await;
    board.check_health().await;
    let clock = Clock::system();
    let took = |_| {
        let begin = clock.now();
        let view = board.health();
        assert_eq!((view.instances.len(), view.features.len()), (INSTANCES, INSTANCES / 10));
        clock.now() - begin
    };
    // The shortest of many, because the machine may have other things to do at the same time.
    let shortest = (0..50).map(took).min().unwrap();
    println!("the health of {INSTANCES} instances: {shortest:?}");
    assert!(shortest < Duration::from_millis(25), "{shortest:?}");
}
