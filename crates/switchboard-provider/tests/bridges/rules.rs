//! What the bridges make keeps the rules of its shape, and so do the handles.

use futures_util::stream;
use switchboard_core::{Policy, Result};
use switchboard_provider::bridge::futures::{self, conversation, into_sink, into_stream, items};
use switchboard_provider::bridge::traced::Traced;
use switchboard_provider::conformance::{duplex, request_response, sink, stream as streams, suite};
use switchboard_provider::{Duplex, RequestResponse, Sink, Stream, function};
use tokio::sync::mpsc;

use crate::families::{Countdowns, Echoes, Journals, Lengths, serving};
use crate::spans::Spans;
use crate::wires::{Journal, heard, said};

fn length() -> impl RequestResponse<String, usize> {
    function::request_response("length", |text: String| async move {
        tokio::task::yield_now().await;
        Ok(text.len())
    })
}

fn countdown() -> impl Stream<u64, u64> {
    function::stream("countdown", |from: u64| async move {
        tokio::task::yield_now().await;
        Ok(items(into_stream(items(stream::iter((0..from).rev().map(Ok))))))
    })
}

fn journal(journal: Journal<String>) -> impl Sink<String> {
    let kept = function::sink("journal", move |line: String| {
        let journal = journal.clone();
        async move {
            tokio::task::yield_now().await;
            journal.note(line);
            Ok(())
        }
    });
    futures::sink("journal", into_sink(kept))
}

fn mirror() -> impl Duplex<String, String> {
    function::duplex("mirror", || async {
        tokio::task::yield_now().await;
        let (sender, receiver) = mpsc::channel::<String>(4);
        Ok(conversation(heard(receiver), said(sender)))
    })
}

fn texts() -> Vec<String> {
    ["", "one", "four"].map(str::to_owned).into()
}

fn said_and_heard() -> Vec<(String, Vec<String>)> {
    texts().into_iter().map(|text| (text.clone(), vec![text])).collect()
}

fn has_length(text: &str, length: usize) -> bool {
    text.len() == length
}

mod bridged_streams {
    use super::*;
    suite!(stream: streams::Fixture::new(|| async { Ok(countdown()) }, || 4));
}

mod bridged_sinks {
    use super::*;
    suite!(sink: {
        let lines = Journal::default();
        let arrived = lines.clone();
        let made = move || {
            let journal = journal(lines.clone());
            async { Ok(journal) }
        };
        sink::Fixture::new(made, texts)
            .arrived(move |line| arrived.entries().contains(line))
    });
}

mod bridged_conversations {
    use super::*;
    suite!(duplex: duplex::Fixture::new(|| async { Ok(mirror()) }, said_and_heard));
}

mod traced_requests {
    use super::*;

    suite!(request_response: {
        // Kept by the fixture, because without anybody who listens nothing is traced.
        let listening = Spans::listen();
        let traced = move || {
            let _ = &listening;
            async { Ok(Traced::new(length())) }
        };
        request_response::Fixture::new(traced, texts).judged(|text, output| has_length(text, *output))
    });
}

mod traced_streams {
    use super::*;

    suite!(stream: {
        let listening = Spans::listen();
        let traced = move || {
            let _ = &listening;
            async { Ok(Traced::new(countdown())) }
        };
        streams::Fixture::new(traced, || 4)
    });
}

mod traced_sinks {
    use super::*;

    suite!(sink: {
        let listening = Spans::listen();
        let traced = move || {
            let _ = &listening;
            async { Ok(Traced::new(journal(Journal::default()))) }
        };
        sink::Fixture::new(traced, texts)
    });
}

mod traced_conversations {
    use super::*;

    suite!(duplex: {
        let listening = Spans::listen();
        let traced = move || {
            let _ = &listening;
            async { Ok(Traced::new(mirror())) }
        };
        duplex::Fixture::new(traced, said_and_heard)
    });
}

mod handles_of_requests {
    use super::*;

    fn handle() -> Result<impl RequestResponse<String, usize>> {
        serving::<Lengths>(length(), Policy::default())?.handle("main")
    }

    suite!(request_response: {
        request_response::Fixture::new(|| async { handle() }, texts).judged(|text, output| has_length(text, *output))
    });
}

mod handles_of_streams {
    use super::*;

    fn handle() -> Result<impl Stream<u64, u64>> {
        serving::<Countdowns>(countdown(), Policy::default())?.handle("main")
    }

    suite!(stream: streams::Fixture::new(|| async { handle() }, || 4));
}

mod handles_of_sinks {
    use super::*;

    fn handle() -> Result<impl Sink<String>> {
        serving::<Journals>(journal(Journal::default()), Policy::default())?.handle("main")
    }

    suite!(sink: sink::Fixture::new(|| async { handle() }, texts));
}

mod handles_of_conversations {
    use super::*;

    fn handle() -> Result<impl Duplex<String, String>> {
        serving::<Echoes>(mirror(), Policy::default())?.handle("main")
    }

    suite!(duplex: duplex::Fixture::new(|| async { handle() }, said_and_heard));
}
