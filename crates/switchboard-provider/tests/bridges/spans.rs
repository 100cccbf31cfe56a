//! A subscriber that writes down every span: what it is called, where it is, what it was told.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber, subscriber};

/// A span, as far as it was told.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) name: &'static str,
    pub(crate) target: &'static str,
    pub(crate) level: Level,
    /// Where in the list the span is that it was made inside.
    pub(crate) parent: Option<usize>,
    pub(crate) fields: BTreeMap<&'static str, String>,
    /// How often something was recorded that had a value already.
    pub(crate) overwritten: usize,
    pub(crate) entered: usize,
    pub(crate) is_closed: bool,
    handles: usize,
}

/// All spans of the thread that made it, until it is dropped.
pub(crate) struct Spans {
    log: Log,
    _listening: subscriber::DefaultGuard,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    inside: Vec<usize>,
}

impl Spans {
    pub(crate) fn listen() -> Self {
        let log = Log::default();
        Self { _listening: subscriber::set_default(log.clone()), log }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.log.state().seen.clone()
    }

    /// The fields of all spans of that operation.
    pub(crate) fn of(&self, operation: &str) -> Vec<Seen> {
        let mut seen = self.seen();
        seen.retain(|span| span.field("operation") == Some(operation));
        seen
    }
}

impl Seen {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }
}

impl Log {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber for Log {
    /// Asked each time, because the threads of other tests have no subscriber, or one of their own.
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && *metadata.level() <= Level::DEBUG
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut state = self.state();
        let parent = match span.parent() {
            Some(parent) => Some(place(parent)),
            None if span.is_contextual() => state.inside.last().copied(),
            None => None,
        };
        let metadata = span.metadata();
        let mut seen = Seen {
            name: metadata.name(),
            target: metadata.target(),
            level: *metadata.level(),
            parent,
            fields: BTreeMap::new(),
            overwritten: 0,
            entered: 0,
            is_closed: false,
            handles: 1,
        };
        span.record(&mut seen);
        state.seen.push(seen);
        Id::from_u64(state.seen.len() as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        values.record(&mut self.state().seen[place(span)]);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, span: &Id) {
        let mut state = self.state();
        state.seen[place(span)].entered += 1;
        state.inside.push(place(span));
    }

    fn exit(&self, span: &Id) {
        assert_eq!(self.state().inside.pop(), Some(place(span)), "left in another order");
    }

    fn clone_span(&self, span: &Id) -> Id {
        self.state().seen[place(span)].handles += 1;
        span.clone()
    }

    fn try_close(&self, span: Id) -> bool {
        let seen = &mut self.state().seen[place(&span)];
        seen.handles -= 1;
        seen.is_closed = seen.handles == 0;
        seen.is_closed
    }
}

impl Visit for Seen {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.overwritten += usize::from(self.fields.contains_key(field.name()));
        self.fields.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

fn place(span: &Id) -> usize {
    usize::try_from(span.into_u64()).map_or(usize::MAX, |id| id - 1)
}
