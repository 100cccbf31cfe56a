//! Warnings that are told through `tracing`, as lines on stderr.
//!
//! Only warnings and errors, without spans: that is what a person in front of a terminal needs, and a
//! program that wants more installs a subscriber of its own before it calls this command.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::failure::one_line;
use crate::notes::Notes;

/// Says every warning of this process as a note.
#[derive(Debug)]
pub(crate) struct Warnings(pub(crate) Notes);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= Level::WARN
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let word = if *event.metadata().level() == Level::ERROR { "error" } else { "warning" };
        let Line { message, fields } = line;
        self.0.add(one_line(&format!("{word}: {message}{fields}")));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        // No span is enabled, so that all of them may be the same.
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, "; {name}: {value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read as _};

    use super::*;

    #[test]
    fn warnings_are_one_line_each_and_what_is_less_is_not_told() {
        let (mut reader, writer) = io::pipe().unwrap();
        let notes = Notes::written_to(writer);
        tracing::subscriber::with_default(Warnings(notes.clone()), || {
            tracing::info!("nothing to worry about");
            tracing::warn!(instance = "cache.far", error = %"line\nbreak", "not connected yet");
            tracing::error_span!("within").in_scope(|| tracing::error!("worse"));
        });
        notes.wait_until_written();
        drop(notes);
        let mut told = String::new();
        reader.read_to_string(&mut told).unwrap();
        assert_eq!(
            told,
            "warning: not connected yet; instance: cache.far; error: line break\nerror: worse\n"
        );
    }
}
