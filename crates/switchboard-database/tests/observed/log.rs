//! A subscriber that writes down everything that is told of statements, and every span.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, Interest, set_default};
use tracing::{Event, Level, Metadata, Subscriber};

/// An event or a span, as far as it was told.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) name: String,
    pub(crate) level: Level,
    pub(crate) target: &'static str,
    /// The span that it is in.
    pub(crate) parent: Option<String>,
    pub(crate) fields: BTreeMap<&'static str, String>,
    /// Whether anything was done inside of it.
    pub(crate) was_entered: bool,
    is_span: bool,
}

/// What the current thread tells, until this is dropped.
pub(crate) struct Listening {
    log: Log,
    _guard: DefaultGuard,
}

#[derive(Clone)]
struct Log {
    most: Level,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    told: Vec<Told>,
    spans: Vec<usize>,
    inside: Vec<usize>,
}

impl Listening {
    /// Hears what is as important as `most`, or more.
    pub(crate) fn to(most: Level) -> Self {
        let log = Log { most, state: Arc::default() };
        Self { _guard: set_default(log.clone()), log }
    }

    /// The events with that message.
    pub(crate) fn events(&self, message: &str) -> Vec<Told> {
        self.all().into_iter().filter(|told| !told.is_span && told.name == message).collect()
    }

    /// The spans of that name.
    pub(crate) fn spans(&self, name: &str) -> Vec<Told> {
        self.all().into_iter().filter(|told| told.is_span && told.name == name).collect()
    }

    pub(crate) fn all(&self) -> Vec<Told> {
        self.log.state().told.clone()
    }
}

impl Told {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    fn of(metadata: &'static Metadata<'static>, parent: Option<String>) -> Self {
        Self {
            name: metadata.name().to_owned(),
            level: *metadata.level(),
            target: metadata.target(),
            parent,
            fields: BTreeMap::new(),
            was_entered: false,
            is_span: metadata.is_span(),
        }
    }
}

impl Log {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn parent(&self) -> Option<String> {
        self.inside.last().map(|span| self.told[*span].name.clone())
    }

    fn place(&self, span: &Id) -> usize {
        self.spans[usize::try_from(span.into_u64()).unwrap() - 1]
    }
}

impl Subscriber for Log {
    /// Asked each time, because the threads of other tests have no subscriber, or one of their own.
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("switchboard") && *metadata.level() <= self.most
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut state = self.state();
        let mut told = Told::of(span.metadata(), state.parent());
        span.record(&mut told);
        let place = state.told.len();
        state.told.push(told);
        state.spans.push(place);
        Id::from_u64(state.spans.len() as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut state = self.state();
        let place = state.place(span);
        values.record(&mut state.told[place]);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut state = self.state();
        let mut told = Told::of(event.metadata(), state.parent());
        event.record(&mut told);
        if let Some(message) = told.fields.remove("message") {
            told.name = message;
        }
        state.told.push(told);
    }

    fn enter(&self, span: &Id) {
        let mut state = self.state();
        let place = state.place(span);
        state.told[place].was_entered = true;
        state.inside.push(place);
    }

    fn exit(&self, _: &Id) {
        self.state().inside.pop();
    }
}

impl Visit for Told {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }
}
