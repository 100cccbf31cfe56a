//! A client that is connected once, shared, forgotten, and closed exactly once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{join_all, select};
use proptest::prelude::*;
use switchboard_core::{
    BreakerPolicy, BreakerState, BuildContext, Clock, Deadline, Effect, Environment, Error,
    ErrorKind, Gate, Lifecycle, Manager, NoSettings, Op, Outcome, Policy, Registry, Reply, Result,
    Retry, RetryPolicy, Settings, Subsystem,
};
use switchboard_provider::{
    Connected, Connector, Provider, RequestResponse, Requester, guard, request_response,
};
use switchboard_testkit::{advance, drop_at_every_await, poll_settled, settle};

/// A server that counts who connects and who leaves in an orderly way.
#[derive(Clone, Default)]
struct Server(Arc<Counts>);

#[derive(Default)]
struct Counts {
    connected: AtomicUsize,
    closed: AtomicUsize,
    dropped: AtomicUsize,
    /// How many of the next attempts to connect fail.
    failing: AtomicUsize,
    /// How many of the next attempts to connect panic.
    panicking: AtomicUsize,
}

/// A connection to the server.
struct Client {
    number: usize,
    is_closed: AtomicUsize,
    server: Server,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.server.0.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

impl Server {
    /// Takes a second to connect.
    async fn connect(self) -> Result<Client> {
        tokio::time::sleep(SECOND).await;
        assert!(!take_one(&self.0.panicking), "on purpose");
        let number = self.0.connected.fetch_add(1, Ordering::SeqCst);
        if take_one(&self.0.failing) {
            self.0.connected.fetch_sub(1, Ordering::SeqCst);
            return Err(Error::new(ErrorKind::Unavailable, "connection refused"));
        }
        Ok(Client { number, is_closed: AtomicUsize::new(0), server: self })
    }

    fn connector(&self, environment: &Environment, policy: Policy) -> Result<Connector<Client>> {
        let server = self.clone();
        let connect = move || server.clone().connect();
        let connector = Connector::new("server", environment, policy, connect)?;
        Ok(connector.with_closing(|client| async move {
            tokio::time::sleep(SECOND).await;
            assert_eq!(client.is_closed.fetch_add(1, Ordering::SeqCst), 0, "closed twice");
            client.server.0.closed.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }))
    }

    /// How many are connected, were closed and were dropped.
    fn counts(&self) -> (usize, usize, usize) {
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        (count(&self.0.connected), count(&self.0.closed), count(&self.0.dropped))
    }
}

fn take_one(counter: &AtomicUsize) -> bool {
    counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

fn with_breaker() -> Policy {
    let breaker = BreakerPolicy {
        min_calls: 2,
        open_for: Duration::from_secs(10),
        jitter: switchboard_core::Jitter::None,
        ..BreakerPolicy::default()
    };
    Policy { breaker: Some(breaker), ..Policy::default() }
}

async fn idle(environment: &Environment) {
    let deadline = environment.clock().now() + Duration::from_hours(1);
    assert!(environment.reaper().idle(deadline).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn of_sixty_four_callers_one_connects_and_all_get_the_same_client() -> Result<()> {
    let server = Server::default();
    let connector = server.connector(&Environment::new(), Policy::default())?;
    assert!(!connector.is_connected());
    let got = join_all((0..64).map(|_| connector.get())).await;
    for client in got {
        assert_eq!(client?.number, 0);
    }
    assert_eq!(server.counts(), (1, 0, 0));
    assert!(connector.is_connected());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_many_threads_too_one_connects() -> Result<()> {
    let server = Server::default();
    let quick = server.clone();
    let connect = move || {
        let server = quick.clone();
        async move {
            tokio::task::yield_now().await;
            let number = server.0.connected.fetch_add(1, Ordering::SeqCst);
            Ok(Client { number, is_closed: AtomicUsize::new(0), server })
        }
    };
    let environment = Environment::new();
    let connector = Connector::new("server", &environment, Policy::default(), connect)?;
    let connector = Arc::new(connector);
    let get = |connector: Arc<Connector<Client>>| async move { connector.get().await };
    #[expect(clippy::disallowed_methods, reason = "the callers are on several threads")]
    let callers = (0..64).map(|_| tokio::spawn(get(connector.clone())));
    for client in join_all(callers.collect::<Vec<_>>()).await {
        assert_eq!(client.unwrap()?.number, 0);
    }
    assert_eq!(server.counts().0, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_many_threads_too_callers_that_go_away_cause_no_second_connecting() -> Result<()> {
    async fn yields(times: usize) {
        for _ in 0..times {
            tokio::task::yield_now().await;
        }
    }
    let server = Server::default();
    let slow = server.clone();
    let connect = move || {
        let server = slow.clone();
        async move {
            yields(50).await;
            let number = server.0.connected.fetch_add(1, Ordering::SeqCst);
            Ok(Client { number, is_closed: AtomicUsize::new(0), server })
        }
    };
    let environment = Environment::new();
    let connector = Connector::new("server", &environment, Policy::default(), connect)?;
    let connector = Arc::new(connector);
    let hurried = |connector: Arc<Connector<Client>>, patience| async move {
        drop(select(connector.get().boxed(), yields(patience).boxed()).await);
    };
    #[expect(clippy::disallowed_methods, reason = "the callers are on several threads")]
    let callers = (0..64).map(|caller| tokio::spawn(hurried(connector.clone(), caller % 8)));
    for gone in join_all(callers.collect::<Vec<_>>()).await {
        gone.unwrap();
    }
    assert_eq!(connector.get().await?.number, 0);
    idle(&environment).await;
    assert_eq!(server.counts().0, 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn who_waited_for_a_failure_gets_it_and_the_next_caller_tries_again() -> Result<()> {
    let server = Server::default();
    server.0.failing.store(1, Ordering::SeqCst);
    let connector = server.connector(&Environment::new(), Policy::default())?;
    for failed in join_all((0..64).map(|_| connector.get())).await {
        let error = failed.unwrap_err();
        assert_eq!(error.message(), "connection refused");
        assert_eq!(error.outcome(), Outcome::NotApplied, "the caller's own call was not made");
        assert_eq!(error.context_value("connector"), Some("server"));
    }
    assert_eq!(connector.get().await?.number, 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn when_who_connects_goes_away_the_others_get_what_it_began() -> Result<()> {
    let server = Server::default();
    let environment = Environment::new();
    let connector = server.connector(&environment, Policy::default())?;
    let clock = environment.clock();
    let start = clock.now();
    let mut first = connector.get().boxed();
    let mut second = connector.get().boxed();
    assert!(poll_settled(&mut first).await.is_pending());
    assert!(poll_settled(&mut second).await.is_pending());
    advance(SECOND / 2).await;
    drop(first);
    assert_eq!(second.await?.number, 0);
    assert_eq!(clock.now() - start, SECOND, "nobody began anew");
    assert_eq!(server.counts(), (1, 0, 0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn who_goes_away_while_it_waits_leaves_the_connecting_to_the_one_who_connects() -> Result<()>
{
    let server = Server::default();
    let environment = Environment::new();
    let connector = server.connector(&environment, Policy::default())?;
    let mut first = connector.get().boxed();
    let mut second = connector.get().boxed();
    assert!(poll_settled(&mut first).await.is_pending());
    assert!(poll_settled(&mut second).await.is_pending());
    drop(second);
    assert_eq!(environment.reaper().figures().pending, 0);
    assert_eq!(first.await?.number, 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_connecting_that_hangs_ends_at_its_limit_after_its_caller_has_gone() -> Result<()> {
    let environment = Environment::new();
    let policy = Policy { deadline: Some(5 * SECOND), ..with_breaker() };
    let connect = std::future::pending::<Result<()>>;
    let connector = Connector::new("x", &environment, policy, connect)?;
    let mut first = connector.get().boxed();
    assert!(poll_settled(&mut first).await.is_pending());
    advance(SECOND).await;
    drop(first);
    let mut waiting = connector.get().boxed();
    assert!(poll_settled(&mut waiting).await.is_pending());
    advance(4 * SECOND).await;
    let late = waiting.now_or_never().expect("its limit has come").unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Timeout);
    let breaker = connector.gates().breaker().unwrap();
    let figures = breaker.figures_at(environment.clock().now());
    assert_eq!((figures.calls, figures.failures), (1, 1));
    idle(&environment).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_goes_on_without_its_caller_ends_with_the_connector() -> Result<()> {
    let server = Server::default();
    let environment = Environment::new();
    let connector = server.connector(&environment, Policy::default())?;
    let mut begun = connector.get().boxed();
    assert!(poll_settled(&mut begun).await.is_pending());
    drop(begun);
    connector.close(SECOND).await?;
    assert!(connector.get().await.is_err());
    idle(&environment).await;
    assert_eq!(server.counts(), (1, 1, 1), "closed as soon as it was there");
    Ok(())
}

#[test]
fn who_goes_away_where_no_runtime_is_leaves_nothing_behind() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
    };
    let environment = Environment::new();
    let token = Arc::new(());
    let kept = token.clone();
    let connect = move || {
        let guest = kept.clone();
        async move {
            std::future::pending::<()>().await;
            Ok(guest)
        }
    };
    let connector = Connector::new("x", &environment, Policy::default(), connect).unwrap();
    let mut begun = connector.get().boxed();
    assert!(runtime().block_on(poll_settled(&mut begun)).is_pending());
    assert_eq!(Arc::strong_count(&token), 3, "one connects");
    drop(begun);
    assert_eq!(Arc::strong_count(&token), 2, "the factory's and ours");
    assert_eq!(environment.reaper().figures().pending, 0);

    let mut next = connector.get().boxed();
    assert!(runtime().block_on(poll_settled(&mut next)).is_pending());
    assert_eq!(Arc::strong_count(&token), 3, "the place of who connects was given back");
}

#[tokio::test(start_paused = true)]
async fn when_who_connects_panics_another_one_connects_and_the_breaker_counts_a_failure() {
    let server = Server::default();
    server.0.panicking.store(1, Ordering::SeqCst);
    let environment = Environment::new();
    let connector = server.connector(&environment, with_breaker()).unwrap();
    let first = std::panic::AssertUnwindSafe(connector.get()).catch_unwind();
    let (panicked, second) = tokio::join!(first, connector.get());
    assert!(panicked.is_err());
    assert_eq!(second.unwrap().number, 0);
    let breaker = connector.gates().breaker().unwrap();
    let figures = breaker.figures_at(environment.clock().now());
    assert_eq!((figures.calls, figures.failures), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn connecting_and_only_connecting_is_counted_by_the_breaker() -> Result<()> {
    let server = Server::default();
    let connector = server.connector(&Environment::new(), with_breaker())?;
    server.0.failing.store(2, Ordering::SeqCst);
    for _ in 0..2 {
        connector.get().await.unwrap_err();
    }
    let breaker = connector.gates().breaker().unwrap();
    assert_eq!(breaker.state(), BreakerState::Open);
    let refused = connector.get().now_or_never().expect("refused at once").unwrap_err();
    assert_eq!((refused.gate(), refused.kind()), (Some(Gate::Breaker), ErrorKind::Unavailable));

    advance(Duration::from_secs(10)).await;
    let mut probing = connector.get().boxed();
    assert!(poll_settled(&mut probing).await.is_pending());
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    let client = probing.await?;
    assert_eq!(breaker.state(), BreakerState::Closed);

    breaker.force_open();
    assert_eq!(connector.get().await?.number, client.number, "what is there is not refused");
    connector.reset();
    assert!(connector.get().await.is_err());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_probe_whose_caller_goes_away_comes_to_its_end() {
    let server = Server::default();
    let environment = Environment::new();
    let connector = server.connector(&environment, with_breaker()).unwrap();
    let breaker = connector.gates().breaker().unwrap();
    let open = async || {
        breaker.reset();
        connector.reset();
        server.0.failing.store(2, Ordering::SeqCst);
        for _ in 0..2 {
            connector.get().await.unwrap_err();
        }
        advance(Duration::from_secs(10)).await;
    };
    let awaits = drop_at_every_await(
        async || {
            open().await;
            connector.get().await
        },
        async |_| {
            idle(&environment).await;
            assert_ne!(breaker.state(), BreakerState::HalfOpen, "nobody would ever probe again");
        },
    );
    assert!(awaits.await >= 3);
}

#[tokio::test(start_paused = true)]
async fn ten_that_saw_the_same_client_break_cause_one_new_one() -> Result<()> {
    let server = Server::default();
    let environment = Environment::new();
    let connector = server.connector(&environment, Policy::default())?;
    let broken: Vec<Connected<Client>> =
        join_all((0..10).map(|_| connector.get())).await.into_iter().collect::<Result<_>>()?;
    let again = broken.iter().map(async |client| {
        let was_current = connector.reset_if(client);
        (was_current, connector.get().await)
    });
    let mut resets = 0;
    for (was_current, client) in join_all(again).await {
        resets += usize::from(was_current);
        assert_eq!(client?.number, 1);
    }
    assert_eq!((resets, server.counts().0), (1, 2));

    assert_eq!(broken[0].number, 0, "whoever uses the old one keeps it");
    assert_eq!(server.counts(), (2, 0, 0), "and it is not closed under them");
    drop(broken);
    idle(&environment).await;
    assert_eq!(server.counts(), (2, 1, 1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_client_is_closed_under_those_who_never_let_it_go() -> Result<()> {
    let server = Server::default();
    let environment = Environment::new();
    let connector = server.connector(&environment, Policy::default())?.with_drain_limit(5 * SECOND);
    let kept = connector.get().await?;
    assert!(connector.reset());
    assert!(!connector.reset(), "there is none any more");
    advance(5 * SECOND).await;
    assert_eq!(server.counts(), (1, 0, 0), "it is being closed");
    advance(SECOND).await;
    assert_eq!(server.counts(), (1, 1, 0));
    drop(kept);
    idle(&environment).await;
    assert_eq!(server.counts(), (1, 1, 1), "never twice");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_was_begun_before_a_reset_serves_only_the_one_who_began_it() -> Result<()> {
    let server = Server::default();
    let environment = Environment::new();
    let connector = server.connector(&environment, Policy::default())?;
    let mut begun = connector.get().boxed();
    assert!(poll_settled(&mut begun).await.is_pending());
    connector.reset();
    let (old, new) = tokio::join!(begun, connector.get());
    let (old, new) = (old?, new?);
    assert_eq!((old.number, new.number), (0, 1));
    drop(old);
    idle(&environment).await;
    assert_eq!(server.counts(), (2, 1, 1), "the old one was closed when its user had gone");
    assert_eq!(connector.get().await?.number, 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_the_users_and_the_last_call_of_the_client() -> Result<()> {
    let server = Server::default();
    let connector = server.connector(&Environment::new(), Policy::default())?;
    let client = connector.get().await?;
    let mut closing = connector.close(Duration::from_mins(1)).boxed();
    assert!(poll_settled(&mut closing).await.is_pending());
    let late = connector.get().await.unwrap_err();
    assert_eq!((late.kind(), late.retry()), (ErrorKind::Unavailable, Retry::Never));
    assert!(!connector.is_connected());

    let mut again = connector.close(Duration::ZERO).boxed();
    assert!(poll_settled(&mut again).await.is_pending(), "it waits for the same end");
    drop(client);
    closing.await?;
    assert_eq!(server.counts(), (1, 1, 1));
    again.await?;
    connector.close(Duration::ZERO).await
}

#[tokio::test(start_paused = true)]
async fn closing_what_was_never_connected_ends_at_once() -> Result<()> {
    let server = Server::default();
    let connector = server.connector(&Environment::new(), Policy::default())?;
    connector.close(Duration::ZERO).now_or_never().expect("at once")?;
    assert!(connector.get().await.is_err());
    assert_eq!(server.counts(), (0, 0, 0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_is_connected_after_the_closing_is_closed_too_and_who_waits_is_told() -> Result<()> {
    let server = Server::default();
    let environment = Environment::new();
    let connector = server.connector(&environment, Policy::default())?;
    let mut connecting = connector.get().boxed();
    let mut waiting = connector.get().boxed();
    assert!(poll_settled(&mut connecting).await.is_pending());
    assert!(poll_settled(&mut waiting).await.is_pending());
    connector.close(SECOND).await?;
    assert!(poll_settled(&mut waiting).await.is_ready(), "told at once");
    assert_eq!(connecting.await.unwrap_err().kind(), ErrorKind::Unavailable);
    idle(&environment).await;
    assert_eq!(server.counts(), (1, 1, 1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_closing_that_fails_or_hangs_is_told() -> Result<()> {
    let environment = Environment::new();
    let connector = |hangs: bool| {
        Connector::new("x", &environment, Policy::default(), async || Ok(7)).map(|connector| {
            connector.with_closing(move |_| async move {
                if hangs {
                    std::future::pending::<()>().await;
                }
                Err(Error::new(ErrorKind::Unavailable, "connection lost"))
            })
        })
    };
    for (hangs, kind) in [(false, ErrorKind::Unavailable), (true, ErrorKind::Timeout)] {
        let connector = connector(hangs)?;
        connector.get().await?;
        let error = connector.close(SECOND).await.unwrap_err();
        assert_eq!((error.kind(), error.context_value("connector")), (kind, Some("x")));
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_last_user_gets_the_client_itself_to_close() -> Result<()> {
    let (sender, mut whole) = tokio::sync::mpsc::unbounded_channel();
    let connector = Connector::new("x", &Environment::new(), Policy::default(), async || {
        Ok("client".to_owned())
    })?
    .with_closing(move |client| {
        sender.send(Arc::into_inner(client)).ok();
        async { Ok(()) }
    });
    drop(connector.get().await?);
    connector.close(SECOND).await?;
    assert_eq!(whole.try_recv().unwrap().as_deref(), Some("client"));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_connector_that_is_dropped_closes_its_client_after_the_last_use() -> Result<()> {
    let server = Server::default();
    let environment = Environment::new();
    let connector = server.connector(&environment, Policy::default())?;
    let client = connector.get().await?;
    drop(connector);
    settle().await;
    assert_eq!(server.counts(), (1, 0, 0));
    drop(client);
    idle(&environment).await;
    assert_eq!(server.counts(), (1, 1, 1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_service_that_connects_slower_than_a_call_may_take_comes_up_nevertheless() -> Result<()> {
    let server = Server::default();
    let connector = server.connector(&Environment::new(), Policy::default())?;
    let clock = Clock::system();
    let hurried = || {
        let deadline = Deadline::within(&clock, Duration::from_millis(600));
        deadline.run(&clock, connector.get())
    };
    let (first, second) = tokio::join!(hurried(), hurried());
    for late in [first, second] {
        let error = late.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::NotApplied));
    }
    assert_eq!(hurried().await?.number, 0, "what the first had begun went on");
    assert_eq!(server.counts().0, 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_service_that_connects_slower_than_an_attempt_may_take_comes_up_nevertheless()
-> Result<()> {
    let (server, environment) = (Server::default(), Environment::new());
    let remote: Arc<dyn RequestResponse<(), usize>> =
        Arc::new(Remote(server.connector(&environment, with_breaker())?));
    let retry = RetryPolicy { attempts: 5, ..RetryPolicy::default() };
    let policy = Policy {
        deadline: Some(10 * SECOND),
        attempt_timeout: Some(SECOND / 3),
        retry: Some(retry),
        ..Policy::default()
    };
    let remote = guard::request_response("remote", remote, policy, Effect::Read, &environment)?;
    assert_eq!(remote.execute(()).await?, 0, "what the first attempt had begun went on");
    assert_eq!(server.counts(), (1, 0, 0));
    Ok(())
}

/// A provider with a connector in it.
struct Remote(Connector<Client>);

impl Lifecycle for Remote {
    fn close(&self) -> Reply<'_, ()> {
        Reply::run(self.0.close(SECOND))
    }
}

impl Provider for Remote {
    fn name(&self) -> &'static str {
        "remote"
    }
}

impl RequestResponse<(), usize> for Remote {
    fn execute(&self, (): ()) -> Reply<'_, usize> {
        Reply::run(async { Ok(self.0.get().await?.number) })
    }
}

struct Remotes;

impl Subsystem for Remotes {
    const NAME: &'static str = "remotes";
    const OPERATIONS: &'static [Op] = request_response::operations(Effect::Read);
    type Driver = dyn RequestResponse<(), usize>;
    type Handle = Requester<Self>;

    fn register_built_ins(_registry: &Registry<Self>) -> Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_connects_at_its_first_call_and_its_manager_closes_the_client() -> Result<()> {
    let (server, environment) = (Server::default(), Environment::new());
    let registry = Registry::<Remotes>::empty();
    let reached = server.clone();
    registry.register("remote", move |_: NoSettings, context: BuildContext| {
        let connector = reached.connector(context.environment(), Policy::default());
        async { Ok(Remote(connector?)) }
    })?;
    let remotes = Manager::new(registry, &environment)?;
    remotes.configure("main", &Settings::new().with("driver", "remote"))?;
    let main = remotes.get("main").await?;
    assert_eq!(server.counts(), (0, 0, 0), "nobody has called it");
    assert_eq!(main.execute(()).await?, 0);
    assert_eq!(main.execute(()).await?, 0);
    remotes.close(Duration::from_mins(1)).await;
    assert_eq!(server.counts(), (1, 1, 1));
    Ok(())
}

#[test]
fn a_name_that_is_none_is_refused() {
    for name in ["", " "] {
        let connector =
            Connector::new(name, &Environment::new(), Policy::default(), async || Ok(()));
        assert_eq!(connector.map(drop).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[tokio::test(start_paused = true)]
async fn connecting_has_a_limit_even_where_nobody_set_one() {
    let connect = std::future::pending::<Result<()>>;
    let environment = Environment::new();
    let clock = environment.clock();
    let start = clock.now();
    let connector = Connector::new("x", &environment, Policy::default(), connect).unwrap();
    assert_eq!(connector.get().await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(clock.now() - start, Connector::<()>::CONNECT_LIMIT);

    let policy = Policy { deadline: Some(SECOND), ..Policy::default() };
    let connector = Connector::new("x", &environment, policy, connect).unwrap();
    let start = clock.now();
    assert_eq!(connector.get().await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(clock.now() - start, SECOND);
}

#[tokio::test(start_paused = true)]
async fn dropped_at_any_await_every_client_that_came_to_be_is_kept_or_closed() {
    let server = Server::default();
    let environment = Environment::new();
    let connector = server.connector(&environment, Policy::default()).unwrap();
    let check = async |_: usize| {
        idle(&environment).await;
        let (connected, closed, dropped) = server.counts();
        assert_eq!((connected - closed, closed), (usize::from(connector.is_connected()), dropped));
    };
    let get = async || {
        connector.reset();
        connector.get().await
    };
    assert_eq!(drop_at_every_await(get, check).await, 1);

    let close = async || {
        let connector = server.connector(&environment, Policy::default()).unwrap();
        connector.get().await?;
        connector.close(SECOND).await
    };
    let closes = drop_at_every_await(close, async |_| {
        idle(&environment).await;
        let (connected, closed, dropped) = server.counts();
        assert_eq!(
            (connected - 1, closed),
            (closed, dropped),
            "one is kept by the other connector"
        );
    });
    assert!(closes.await >= 2);
}

/// What somebody does with a connector, after so many tenths of a second.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Gets the client, with so much patience, and keeps it for so long.
    Use {
        patience: u32,
        keeps: u32,
    },
    /// Gets the client and says that it is broken.
    Break,
    Reset,
}

fn acts() -> impl Strategy<Value = Vec<(u32, Act)>> {
    let act = prop_oneof![
        6 => (0..30_u32, 0..40_u32).prop_map(|(patience, keeps)| Act::Use { patience, keeps }),
        2 => Just(Act::Break),
        1 => Just(Act::Reset),
    ];
    proptest::collection::vec((0..60_u32, act), 0..20)
}

async fn act(connector: &Connector<Client>, after: u32, act: Act) {
    const TENTH: Duration = Duration::from_millis(100);
    tokio::time::sleep(TENTH * after).await;
    match act {
        Act::Reset => drop(connector.reset()),
        Act::Break => {
            if let Ok(client) = connector.get().await {
                connector.reset_if(&client);
            }
        }
        Act::Use { patience, keeps } => {
            let got = tokio::time::timeout(TENTH * patience, connector.get()).await;
            if let Ok(Ok(client)) = got {
                tokio::time::sleep(TENTH * keeps).await;
                assert_eq!(client.is_closed.load(Ordering::SeqCst), 0, "closed while it is used");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_callers_do_each_client_is_closed_once_and_after_its_last_use(
        acts in acts(),
        failing in 0..3_usize,
        closes_after in proptest::option::of(0..80_u32),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let (server, environment) = (Server::default(), Environment::new());
            server.0.failing.store(failing, Ordering::SeqCst);
            let connector = server.connector(&environment, Policy::default()).unwrap();
            let all = join_all(acts.iter().map(|(after, what)| act(&connector, *after, *what)));
            let closing = async {
                if let Some(after) = closes_after {
                    tokio::time::sleep(Duration::from_millis(100) * after).await;
                    connector.close(Duration::from_hours(1)).await.unwrap();
                }
            };
            tokio::join!(all, closing);
            // What was begun by somebody who has gone comes to its end first.
            idle(&environment).await;
            let is_connected = connector.is_connected();
            prop_assert!(!is_connected || closes_after.is_none());
            let (connected, closed, dropped) = server.counts();
            prop_assert_eq!((connected - closed, closed), (usize::from(is_connected), dropped));
            drop(connector);
            idle(&environment).await;
            prop_assert_eq!(server.counts(), (connected, connected, connected));
            Ok(())
        })?;
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn an_exchange_that_does_not_come_to_its_end_takes_the_client_along() -> Result<()> {
    let server = Server::default();
    let connect = server.clone();
    let connector = Connector::new("wire", &Environment::new(), Policy::default(), move || {
        connect.clone().connect()
    })?;
    let exchange = async |takes: Duration| {
        let client = connector.exchange().await?;
        tokio::time::sleep(takes).await;
        let number = client.number;
        client.done();
        Ok::<_, Error>(number)
    };
    assert_eq!(exchange(SECOND).await?, 0);
    assert_eq!(exchange(SECOND).await?, 0, "what is done leaves the client to the next");

    let cut_off = tokio::time::timeout(SECOND, exchange(2 * SECOND)).await;
    assert!(cut_off.is_err());
    assert!(!connector.is_connected());
    assert_eq!(exchange(SECOND).await?, 1, "the next one does not read what was meant for it");
    Ok(())
}
