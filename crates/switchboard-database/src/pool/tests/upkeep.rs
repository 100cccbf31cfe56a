//! What happens to connections that nobody asks for, and to those that nobody gives back.

use std::fmt::Write as _;

use switchboard_core::ErrorKind;
use switchboard_testkit::advance;

use super::*;
use crate::State;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_connection_becomes_only_so_old_less_up_to_a_tenth() {
    let bench = Bench::with(8, |config| config.max_lifetime = 100 * SECOND);
    bench.warm(8).await;
    advance(89 * SECOND).await;
    assert_eq!(bench.idle(), 8);
    advance(5 * SECOND).await;
    assert!((1..8).contains(&bench.idle()), "they do not all go at once");
    advance(7 * SECOND).await;
    assert_eq!(bench.idle(), 0);
    assert_eq!(bench.closed(), [(CloseReason::Age, 8)]);
}

#[tokio::test(start_paused = true)]
async fn one_that_grows_too_old_in_use_goes_when_it_is_given_back() {
    let bench = Bench::with(1, |config| config.max_lifetime = 100 * SECOND);
    let mut taken = bench.take().await;
    advance(200 * SECOND).await;
    assert_eq!((id(&mut taken).as_str(), bench.closed().len()), ("1", 0));
    drop(taken);
    assert_eq!((bench.idle(), bench.closed()), (0, vec![(CloseReason::Age, 1)]));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_needs_goes_but_for_those_that_are_kept() {
    let bench = Bench::with(5, |config| {
        config.idle_timeout = 60 * SECOND;
        config.min_idle = 2;
    });
    bench.warm(5).await;
    advance(30 * SECOND).await;
    drop(bench.take().await);
    advance(31 * SECOND).await;
    assert_eq!((bench.idle(), bench.closed()), (2, vec![(CloseReason::Idle, 3)]));
    // The one that was used is among those that are left.
    let used = id(&mut bench.take().await);
    assert_eq!(used, "5");
    advance(600 * SECOND).await;
    assert_eq!(bench.idle(), 2);
}

#[tokio::test(start_paused = true)]
async fn those_that_are_kept_are_made_again_when_they_go() {
    let bench = Bench::with(3, |config| {
        config.max_lifetime = 100 * SECOND;
        config.min_idle = 2;
    });
    bench.warm(1).await;
    for _ in 0..5 {
        advance(100 * SECOND).await;
        assert_eq!(bench.idle(), 2);
    }
    assert!(bench.server.script().made >= 8);
}

#[tokio::test(start_paused = true)]
async fn those_that_are_kept_are_made_once_the_server_lets_them() {
    let bench = Bench::with(3, |config| config.min_idle = 2);
    bench.warm(1).await;
    settle().await;
    bench.server.script().refuses = Some(ErrorKind::Unavailable);
    let mut taken = bench.take().await;
    taken.discard();
    drop(taken);
    advance(30 * SECOND).await;
    bench.server.script().refuses = None;
    advance(3 * SECOND).await;
    assert!(bench.idle() >= 2, "{:?}", bench.pool.figures());
}

#[tokio::test(start_paused = true)]
async fn one_that_is_quiet_for_long_is_asked_whether_it_is_there() {
    let bench = Bench::with(2, |config| config.keepalive = 120 * SECOND);
    bench.warm(2).await;
    advance(100 * SECOND).await;
    drop(bench.take().await);
    bench.server.log();
    advance(30 * SECOND).await;
    assert_eq!(bench.server.log(), ["1 ping"]);
    advance(220 * SECOND).await;
    assert_eq!(bench.server.log().len(), 3);
    assert_eq!(bench.idle(), 2);
}

#[tokio::test(start_paused = true)]
async fn to_be_asked_is_no_use() {
    let bench = Bench::with(2, |config| config.keepalive = 120 * SECOND);
    bench.warm(2).await;
    advance(100 * SECOND).await;
    drop(bench.take().await);
    bench.server.log();
    advance(30 * SECOND).await;
    assert_eq!(bench.server.log(), ["1 ping"]);
    assert_eq!(id(&mut bench.take().await), "2");
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_answer_while_nobody_needs_it_goes_with_its_siblings() {
    let bench = Bench::with(3, |config| config.keepalive = 120 * SECOND);
    bench.warm(3).await;
    advance(100 * SECOND).await;
    bench.server.restart();
    advance(30 * SECOND).await;
    bench.assert_at_rest().await;
    assert_eq!((bench.idle(), bench.server.script().open.len()), (0, 0));
    assert_eq!(bench.closed().iter().map(|(_, count)| count).sum::<u64>(), 3);
}

#[tokio::test(start_paused = true)]
async fn who_has_a_connection_for_long_is_told_of_once() {
    let bench = Bench::with(2, |config| config.leak_after = 60 * SECOND);
    let line = line!() + 1;
    let held = bench.take().await;
    let long = Taking { is_long: true, ..here() };
    let _long = bench.pool.acquire(long).await.unwrap();
    advance(59 * SECOND).await;
    assert_eq!(bench.pool.figures().leaks, 0);
    advance(SECOND).await;
    advance(600 * SECOND).await;
    assert_eq!(bench.pool.figures().leaks, 1);
    let holders = bench.pool.holders();
    assert_eq!(holders.iter().map(|holder| holder.is_leaked).collect::<Vec<_>>(), [true, false]);
    assert_eq!((holders[0].place.line(), holders[0].age), (line, 660 * SECOND));
    assert_eq!(holders[0].connection.as_deref(), Some("1"));
    drop(held);
    assert_eq!(bench.pool.holders().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_nobody_gives_back_is_taken_away() {
    let bench = Bench::with(1, |config| config.reap_after = 60 * SECOND);
    let mut held = bench.take().await;
    held.begin(None).end();
    let mut next = bench.start();
    advance(57 * SECOND).await;
    assert!(is_pending(&mut next).await);
    advance(3 * SECOND).await;
    drop(served(&mut next).await);
    assert_eq!(bench.closed(), [(CloseReason::Reaped, 1)]);
    assert!(bench.server.log().contains(&"1 close".to_owned()));

    assert_eq!(held.state(), State::Broken);
    let mut busy = held.begin(None);
    let refused = busy.connection().commit().await.unwrap_err();
    assert!(refused.message().contains("taken away"), "{refused}");
    busy.end();
    drop(held);
    bench.assert_at_rest().await;
    assert_eq!(bench.idle(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_in_the_middle_of_a_call_is_taken_away_after_it() {
    for is_ended in [true, false] {
        let bench = Bench::with(1, |config| config.reap_after = 60 * SECOND);
        let mut held = bench.take().await;
        let busy = held.begin(None);
        advance(600 * SECOND).await;
        assert_eq!(bench.pool.figures().in_use, 1);
        if is_ended {
            busy.end();
            assert_eq!((bench.pool.figures().in_use, held.state()), (0, State::Broken));
        }
        drop(held);
        assert_eq!(bench.closed(), [(CloseReason::Reaped, 1)]);
        bench.assert_at_rest().await;
    }
}

#[tokio::test(start_paused = true)]
async fn while_it_is_suspended_nobody_is_given_a_connection() {
    let bench = Bench::new(2);
    bench.warm(1).await;
    let held = bench.take().await;
    bench.pool.suspend();
    let (mut one, mut two) = (bench.start(), bench.start());
    assert!(is_pending(&mut one).await && is_pending(&mut two).await);
    drop(held);
    assert!(is_pending(&mut one).await);
    assert_eq!((bench.idle(), bench.server.script().attempts), (1, 1));
    bench.pool.resume();
    let _one = served(&mut one).await;
    let _two = served(&mut two).await;
}

#[tokio::test(start_paused = true)]
async fn a_suspended_pool_lets_itself_be_looked_at() {
    let bench = Bench::new(1);
    bench.pool.suspend();
    let mut ordinary = bench.start();
    assert!(is_pending(&mut ordinary).await);
    drop(bench.pool.acquire(urgent()).await.unwrap());
    assert!(is_pending(&mut ordinary).await);
    drop(bench.pool.acquire(urgent()).await.unwrap());
    assert_eq!(bench.server.script().made, 1);
    bench.pool.resume();
    drop(served(&mut ordinary).await);
}

#[tokio::test(start_paused = true)]
async fn what_is_still_in_use_is_not_leaked_until_it_rests() {
    let bench = Bench::with(1, |config| config.leak_after = 60 * SECOND);
    let held = bench.take().await;
    for _ in 0..5 {
        advance(50 * SECOND).await;
        held.touch();
    }
    assert_eq!(bench.pool.figures().leaks, 0);
    advance(60 * SECOND).await;
    assert_eq!(bench.pool.figures().leaks, 1);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_suspended_pool_is_told_so() {
    let bench = Bench::new(1);
    bench.pool.suspend();
    let error = bench.fails().await;
    assert!(error.hints().any(|hint| hint.contains("suspended")), "{error}");
    bench.pool.resume();
    drop(bench.take().await);
}

#[tokio::test(start_paused = true)]
async fn every_connection_is_replaced_within_the_time_that_was_said() {
    let bench = Bench::with(8, |config| config.min_idle = 4);
    let held: Vec<_> = [bench.take().await, bench.take().await].into();
    bench.warm(4).await;
    settle().await;
    let before = bench.server.script().made;
    bench.pool.refresh(60 * SECOND);
    advance(30 * SECOND).await;
    let left = |bench: &Bench| bench.server.script().open.range(..=before).count();
    assert!((3..6).contains(&left(&bench)), "some have gone, not all");
    advance(30 * SECOND).await;
    assert_eq!(left(&bench), 2, "those in use");
    assert!(bench.idle() >= 4);
    drop(held);
    settle().await;
    assert_eq!(left(&bench), 0);
}

#[tokio::test(start_paused = true)]
async fn whatever_is_made_after_a_refresh_stays() {
    let bench = Bench::new(1);
    bench.warm(1).await;
    bench.pool.refresh(Duration::ZERO);
    settle().await;
    assert_eq!(bench.idle(), 0);
    bench.warm(1).await;
    advance(6_000 * SECOND).await;
    assert_eq!((bench.idle(), bench.server.script().made), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn nobody_looks_after_a_pool_that_is_gone() {
    let bench = Bench::with(1, |config| config.keepalive = SECOND);
    bench.warm(1).await;
    settle().await;
    let Bench { pool, server, environment } = bench;
    assert_eq!(environment.reaper().figures().running, 1);
    drop(pool);
    settle().await;
    assert_eq!(environment.reaper().figures().running, 0);
    assert_eq!(server.log(), ["1 close"]);
}

#[tokio::test(start_paused = true)]
async fn the_log_names_the_place_of_a_leak_once_and_says_when_it_is_over() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let bench = Bench::with(1, |config| config.leak_after = 60 * SECOND);
    let line = line!() + 1;
    let held = bench.take().await;
    advance(600 * SECOND).await;
    drop(held);
    let told = log.0.lock().unwrap().clone();
    assert_eq!(told.len(), 2, "{told:?}");
    for (told, level, age) in [(&told[0], "WARN", "60s"), (&told[1], "INFO", "600s")] {
        assert!(told.starts_with(level) && told.contains(&format!("age={age}")), "{told}");
        assert!(told.contains("instance=main"), "{told}");
        assert!(told.contains(&format!("upkeep.rs:{line}")), "{told}");
    }
}

/// Keeps what this crate says in the log.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<String>>>);

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("switchboard_database")
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

struct Line(String);

impl tracing::field::Visit for Line {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}
