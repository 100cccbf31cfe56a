//! Spans around providers, and the spans of lines, on every shape.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::FutureExt as _;
use switchboard_core::{Clock, Error, ErrorKind, Lifecycle as _, Policy, Reply, Result};
use switchboard_provider::bridge::traced::Traced;
use switchboard_provider::{
    Conversation, Duplex, Items, Provider as _, RequestResponse, Sink, Stream, function,
};
use switchboard_testkit::drop_at_every_await;
use tracing::{Level, Span, field, info_span};

use crate::families::{Countdowns, Echoes, Journals, Lengths, serving};
use crate::lock;
use crate::spans::{Seen, Spans};

/// What is put into providers and comes out, and is to be in no span.
const CONFIDENTIAL: &str = "4711-confidential";

fn lost() -> Error {
    Error::new(ErrorKind::Unavailable, "connection lost")
}

async fn a_while() {
    Clock::system().sleep(Duration::from_millis(1)).await;
}

fn length() -> impl RequestResponse<String, usize> {
    function::request_response("length", |text: String| async move {
        a_while().await;
        if text.is_empty() { Err(lost()) } else { Ok(text.len()) }
    })
}

/// Gives its items, one a millisecond, and fails where there is none.
struct Listed(VecDeque<Option<u64>>);

impl Items<u64> for Listed {
    fn next(&mut self) -> Reply<'_, Option<u64>> {
        Reply::run(async {
            a_while().await;
            self.0.pop_front().map(|item| item.ok_or_else(lost)).transpose()
        })
    }
}

fn countdown() -> impl Stream<u64, u64> {
    function::stream("countdown", |from: u64| async move {
        a_while().await;
        if from == 0 { Err(lost()) } else { Ok(Listed((0..from).rev().map(Some).collect())) }
    })
}

fn journal() -> impl Sink<String> {
    function::sink("journal", |line: String| async move {
        a_while().await;
        if line.is_empty() { Err(lost()) } else { Ok(()) }
    })
}

#[derive(Default)]
struct Mirror(Mutex<VecDeque<String>>);

impl Conversation<String, String> for Mirror {
    fn send(&self, message: String) -> Reply<'_, ()> {
        Reply::run(async {
            a_while().await;
            if message.is_empty() {
                return Err(lost());
            }
            lock(&self.0).push_back(message);
            Ok(())
        })
    }

    fn receive(&self) -> Reply<'_, Option<String>> {
        Reply::run(async {
            a_while().await;
            Ok(lock(&self.0).pop_front())
        })
    }

    fn close(&self) -> Reply<'_, ()> {
        Reply::ready(Ok(()))
    }
}

fn mirror() -> impl Duplex<String, String> {
    function::duplex("mirror", || async {
        a_while().await;
        Ok(Mirror::default())
    })
}

/// The values of these fields, of each span.
fn fields<const N: usize>(seen: &[Seen], names: [&str; N]) -> Vec<[Option<String>; N]> {
    seen.iter().map(|span| names.map(|name| span.field(name).map(str::to_owned))).collect()
}

fn some<const N: usize>(values: [&str; N]) -> [Option<String>; N] {
    values.map(|value| Some(value.to_owned()).filter(|value| !value.is_empty()))
}

#[track_caller]
fn assert_sound(spans: &Spans) {
    for span in spans.seen() {
        assert!(span.is_closed, "{span:?}");
        assert_eq!(span.overwritten, 0, "{span:?}");
        assert!(!format!("{span:?}").contains(CONFIDENTIAL), "{span:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_is_in_a_span_that_says_what_was_asked_of_whom_and_how_it_ended() {
    let spans = Spans::listen();
    let (length, journal) = (Traced::new(length()), Traced::new(journal()));
    length.execute(CONFIDENTIAL.to_owned()).await.unwrap();
    length.execute(String::new()).await.unwrap_err();
    journal.send(CONFIDENTIAL.to_owned()).await.unwrap();
    journal.send(String::new()).await.unwrap_err();

    let seen = spans.seen();
    for span in &seen {
        assert_eq!((span.target, span.name, span.level), ("switchboard", "call", Level::DEBUG));
        assert!(span.entered >= 2, "once for each poll: {span:?}");
    }
    let expected = [
        some(["request response", "length", "execute", "ok"]),
        some(["request response", "length", "execute", "unavailable"]),
        some(["sink", "journal", "send", "ok"]),
        some(["sink", "journal", "send", "unavailable"]),
    ];
    assert_eq!(fields(&seen, ["shape", "driver", "operation", "outcome"]), expected);
    assert_sound(&spans);
}

#[tokio::test(start_paused = true)]
async fn what_a_provider_does_at_once_is_in_the_span_too() {
    let spans = Spans::listen();
    let eager = function::request_response("eager", |(): ()| {
        let made_here = info_span!("inside");
        async move { Ok(made_here.is_disabled()) }
    });
    assert!(!Traced::new(eager).execute(()).await.unwrap());
    assert_eq!(spans.seen()[1].parent, Some(0));
    assert_sound(&spans);
}

#[tokio::test(start_paused = true)]
async fn a_stream_has_a_span_for_its_life_and_one_inside_it_for_each_item() -> Result<()> {
    let spans = Spans::listen();
    let mut items = Traced::new(countdown()).open(2).await?;
    assert!(!spans.seen()[0].is_closed, "it lives as long as the stream");
    while items.next().await?.is_some() {}
    items.close().await?;
    let told = some(["stream", "countdown", "open", "ok", "2"]);
    let names = ["shape", "driver", "operation", "outcome", "items"];
    assert_eq!(fields(&spans.of("open"), names), [told], "told when it is closed");
    drop(items);

    let next = spans.of("next");
    assert_eq!((next.len(), spans.of("close").len()), (3, 1));
    for span in next.iter().chain(&spans.of("close")) {
        assert_eq!(span.parent, Some(0));
        assert_eq!((span.field("outcome"), span.field("items")), (Some("ok"), None));
    }
    assert_sound(&spans);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn how_a_stream_ended_is_told_however_that_was() -> Result<()> {
    let outcome = async |items: VecDeque<Option<u64>>, reads: usize, closes: bool| {
        let spans = Spans::listen();
        let list = Mutex::new(Some(items));
        let listed = function::stream("list", move |(): ()| {
            let items = lock(&list).take().unwrap();
            async move { Ok(Listed(items)) }
        });
        let mut items = Traced::new(listed).open(()).await?;
        for _ in 0..reads {
            items.next().await.ok();
        }
        if closes {
            items.close().await?;
        }
        drop(items);
        assert_sound(&spans);
        Ok::<_, Error>(fields(&spans.of("open"), ["outcome", "items"])[0].clone())
    };
    let list = |items: &[Option<u64>]| items.iter().copied().collect::<VecDeque<_>>();
    let plain = list(&[Some(2), Some(1), Some(0)]);
    assert_eq!(outcome(plain.clone(), 4, false).await?, some(["ok", "3"]), "read to its end");
    assert_eq!(outcome(plain.clone(), 2, true).await?, some(["ok", "2"]), "closed");
    assert_eq!(outcome(plain.clone(), 2, false).await?, some(["", "2"]), "dropped");
    let failing = list(&[Some(2), None, Some(0)]);
    assert_eq!(outcome(failing.clone(), 2, false).await?, some(["unavailable", "1"]), "failed");
    assert_eq!(outcome(failing, 4, false).await?, some(["ok", "2"]), "failed on the way");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_read_to_its_end_says_that_it_could_not_be_closed() {
    struct Stuck;

    impl Items<u64> for Stuck {
        fn next(&mut self) -> Reply<'_, Option<u64>> {
            Reply::ready(Ok(None))
        }

        fn close(&mut self) -> Reply<'_, ()> {
            Reply::ready(Err(lost()))
        }
    }

    let spans = Spans::listen();
    let stuck = Traced::new(function::stream("stuck", |(): ()| async { Ok(Stuck) }));
    let mut items = stuck.open(()).await.unwrap();
    assert!(items.next().await.unwrap().is_none());
    items.close().await.unwrap_err();
    drop(items);
    assert_eq!(fields(&spans.of("open"), ["outcome", "items"]), [some(["unavailable", "0"])]);
    assert_eq!(fields(&spans.of("close"), ["outcome"]), [some(["unavailable"])]);
    assert_sound(&spans);
}

#[tokio::test(start_paused = true)]
async fn an_opening_that_fails_says_so_and_opened_nothing() {
    let spans = Spans::listen();
    Traced::new(countdown()).open(0).await.map(drop).unwrap_err();
    assert_eq!(fields(&spans.of("open"), ["outcome", "items"]), [some(["unavailable", "0"])]);
    assert_sound(&spans);
}

#[tokio::test(start_paused = true)]
async fn a_conversation_has_a_span_for_its_life_and_one_inside_it_for_each_message() -> Result<()> {
    let spans = Spans::listen();
    let conversation = Traced::new(mirror()).open().await?;
    conversation.send(CONFIDENTIAL.to_owned()).await?;
    conversation.send(CONFIDENTIAL.to_owned()).await?;
    conversation.send(String::new()).await.unwrap_err();
    assert!(conversation.receive().await?.is_some());
    conversation.close().await?;
    assert_eq!(conversation.receive().await?.as_deref(), Some(CONFIDENTIAL));
    drop(conversation);

    let told = some(["duplex", "mirror", "ok", "2", "1", ""]);
    let names = ["shape", "driver", "outcome", "sent", "received", "items"];
    assert_eq!(fields(&spans.of("open"), names), [told]);
    let outcomes = fields(&spans.of("send"), ["outcome"]);
    assert_eq!(outcomes, [some(["ok"]), some(["ok"]), some(["unavailable"])]);
    assert_eq!(spans.of("receive").len(), 2);
    assert!(spans.seen()[1..].iter().all(|span| span.parent == Some(0)));
    assert_sound(&spans);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_application_makes_spans_of_its_own_and_those_are_told_what_they_declare() -> Result<()>
{
    let spans = Spans::listen();
    let countdown = Traced::new(countdown()).with_span(|asked| match asked.name() {
        "open" => info_span!("reading", operation = "open", tenant = "acme", items = field::Empty),
        _ => Span::none(),
    });
    let mut items = countdown.open(3).await?;
    items.next().await?;
    drop(items);
    let seen = spans.seen();
    assert_eq!(seen.len(), 1, "the closure wanted no others");
    assert_eq!((seen[0].name, seen[0].level), ("reading", Level::INFO));
    assert_eq!(fields(&seen, ["tenant", "items", "outcome"]), [some(["acme", "1", ""])]);
    assert_sound(&spans);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_at_any_await_closes_its_spans_and_has_no_outcome() {
    let spans = Spans::listen();
    let countdown = Traced::new(countdown());
    let read = async || {
        let mut items = countdown.open(1).await.unwrap();
        items.next().await.unwrap();
        items.close().await.unwrap();
    };
    let check = async |polls| {
        assert_sound(&spans);
        let open = spans.of("open").pop();
        let expected = if polls == 3 { Some("ok") } else { None };
        assert_eq!(open.as_ref().and_then(|open| open.field("outcome")), expected);
    };
    assert_eq!(drop_at_every_await(read, check).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_panic_leaves_no_span_entered() {
    let spans = Spans::listen();
    let broken = function::request_response("broken", |(): ()| async {
        a_while().await;
        assert!(CONFIDENTIAL.is_empty(), "on purpose");
        Ok(())
    });
    let call = std::panic::AssertUnwindSafe(Traced::new(broken).execute(())).catch_unwind().await;
    assert!(call.is_err());
    let after = info_span!("after");
    drop(after);
    assert_eq!(spans.seen()[1].parent, None);
    assert_sound(&spans);
}

#[tokio::test(start_paused = true)]
async fn while_nobody_listens_nothing_is_boxed_or_wrapped() {
    let provider = Traced::new(Ready);
    assert_eq!(format!("{:?}", RequestResponse::<_, u64>::execute(&provider, ())), "Reply::ready");
    assert_eq!(format!("{:?}", Sink::send(&provider, ())), "Reply::ready");
    assert_eq!(format!("{:?}", Stream::<_, u64>::open(&provider, ())), "Reply::ready");
    let mut items = Stream::<_, u64>::open(&provider, ()).await.unwrap();
    assert_eq!(format!("{:?}", items.next()), "Reply::ready");
    assert_eq!(format!("{:?}", Duplex::<(), u64>::open(&provider)), "Reply::ready");
    let _listening = Spans::listen();
    assert_eq!(format!("{:?}", RequestResponse::<_, u64>::execute(&provider, ())), "Reply::run");
}

/// Answers everything at once.
struct Ready;

impl switchboard_core::Lifecycle for Ready {}

impl switchboard_provider::Provider for Ready {
    fn name(&self) -> &'static str {
        "ready"
    }
}

impl RequestResponse<(), u64> for Ready {
    fn execute(&self, (): ()) -> Reply<'_, u64> {
        Reply::ready(Ok(7))
    }
}

impl Sink<()> for Ready {
    fn send(&self, (): ()) -> Reply<'_, ()> {
        Reply::ready(Ok(()))
    }
}

impl Stream<(), u64> for Ready {
    fn open(&self, (): ()) -> Reply<'_, Box<dyn Items<u64>>> {
        Reply::ready(Ok(Box::new(Self)))
    }
}

impl Items<u64> for Ready {
    fn next(&mut self) -> Reply<'_, Option<u64>> {
        Reply::ready(Ok(None))
    }
}

impl Duplex<(), u64> for Ready {
    fn open(&self) -> Reply<'_, Box<dyn Conversation<(), u64>>> {
        Reply::ready(Err(lost()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_traced_provider_is_started_checked_and_ended_as_what_it_wraps() -> Result<()> {
    struct Offline;
    impl switchboard_core::Lifecycle for Offline {
        fn health(&self) -> Reply<'_, switchboard_core::Health> {
            Reply::ready(Ok(switchboard_core::Health::degraded("tired")))
        }
    }
    impl switchboard_provider::Provider for Offline {
        fn name(&self) -> &'static str {
            "offline"
        }
        fn is_available(&self) -> Reply<'_, bool> {
            Reply::ready(Ok(false))
        }
    }
    let traced = Traced::new(Offline);
    assert_eq!(traced.name(), "offline");
    assert!(!traced.is_available().await?);
    assert_eq!(traced.health().await?.reason.as_deref(), Some("tired"));
    Ok(())
}

/// What every span of a line says: whose line, which driver, what was asked, how it ended.
const LINE: [&str; 6] = ["subsystem", "instance", "driver", "operation", "generation", "outcome"];

#[track_caller]
fn assert_line_spans(spans: &Spans, subsystem: &str, expected: &[[&str; 2]]) {
    let seen = spans.seen();
    for span in &seen {
        assert_eq!((span.target, span.name, span.level), ("switchboard", "call", Level::DEBUG));
    }
    let expected: Vec<_> = expected
        .iter()
        .map(|[operation, outcome]| {
            some([subsystem, "main", "ready-made", *operation, "1", *outcome])
        })
        .collect();
    assert_eq!(fields(&seen, LINE), expected);
    assert_sound(spans);
}

#[tokio::test(start_paused = true)]
async fn through_a_handle_a_request_has_the_span_of_its_line() -> Result<()> {
    let lengths = serving::<Lengths>(length(), Policy::default())?;
    let main = lengths.handle("main")?;
    let spans = Spans::listen();
    main.execute(CONFIDENTIAL.to_owned()).await?;
    main.execute(String::new()).await.unwrap_err();
    assert!(main.execute(String::new()).now_or_never().is_none(), "dropped");
    let expected = [["execute", "ok"], ["execute", "unavailable"], ["execute", ""]];
    assert_line_spans(&spans, "lengths", &expected);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn through_a_handle_a_stream_has_the_spans_of_its_line() -> Result<()> {
    let countdowns = serving::<Countdowns>(countdown(), Policy::default())?;
    let main = countdowns.handle("main")?;
    let spans = Spans::listen();
    let mut items = main.open(1).await?;
    while items.next().await?.is_some() {}
    items.close().await?;
    main.open(0).await.map(drop).unwrap_err();
    let expected =
        [["open", "ok"], ["next", "ok"], ["next", "ok"], ["close", "ok"], ["open", "unavailable"]];
    assert_line_spans(&spans, "countdowns", &expected);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn through_a_handle_a_sink_has_the_span_of_its_line() -> Result<()> {
    let journals = serving::<Journals>(journal(), Policy::default())?;
    let main = journals.handle("main")?;
    let spans = Spans::listen();
    main.send(CONFIDENTIAL.to_owned()).await?;
    main.send(String::new()).await.unwrap_err();
    assert_line_spans(&spans, "journals", &[["send", "ok"], ["send", "unavailable"]]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn through_a_handle_a_conversation_has_the_spans_of_its_line() -> Result<()> {
    let echoes = serving::<Echoes>(mirror(), Policy::default())?;
    let main = echoes.handle("main")?;
    let spans = Spans::listen();
    let conversation = main.open().await?;
    conversation.send(CONFIDENTIAL.to_owned()).await?;
    conversation.receive().await?;
    conversation.close().await?;
    let error = conversation.send(CONFIDENTIAL.to_owned()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    drop(conversation);
    let expected = [
        ["open", "ok"],
        ["send", "ok"],
        ["receive", "ok"],
        ["close", "ok"],
        ["send", "invalid input"],
    ];
    assert_line_spans(&spans, "echoes", &expected);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_span_of_a_traced_provider_is_inside_that_of_its_line() -> Result<()> {
    let lengths = serving::<Lengths>(Traced::new(length()), Policy::default())?;
    let main = lengths.handle("main")?;
    let spans = Spans::listen();
    main.execute(CONFIDENTIAL.to_owned()).await?;
    let seen = spans.seen();
    assert_eq!((seen[0].field("subsystem"), seen[0].parent), (Some("lengths"), None));
    assert_eq!((seen[1].field("driver"), seen[1].parent), (Some("length"), Some(0)));
    assert_sound(&spans);
    Ok(())
}
