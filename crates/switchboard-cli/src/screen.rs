//! What a command writes: data to stdout, all else to stderr, in the format that was asked for.

use std::collections::BTreeMap;
use std::io;

use anstyle::{AnsiColor, Style};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::arguments::Format;
use crate::failure::{Failure, Result};
use crate::notes::Notes;
use crate::surroundings::Stream;
use crate::table::Table;

/// The two streams, and how to write to them.
pub(crate) struct Screen {
    output: Stream,
    notes: Notes,
    /// Whether a person sits in front of the notes.
    is_noted_on_terminal: bool,
    pub(crate) format: Format,
    may_colour: bool,
}

impl Screen {
    pub(crate) fn new(
        output: Stream,
        errors: Stream,
        format: Format,
        variables: &BTreeMap<String, String>,
    ) -> Self {
        let is_set = |name| variables.get(name).is_some_and(|value: &String| !value.is_empty());
        let is_dumb = variables.get("TERM").is_some_and(|terminal| terminal == "dumb");
        let may_colour = !is_set("NO_COLOR") && !is_dumb;
        let is_noted_on_terminal = errors.columns.is_some();
        let notes = Notes::written_to(errors.writer);
        Self { output, notes, is_noted_on_terminal, format, may_colour }
    }

    /// Where lines go that are not data, for those who have some to say at any time.
    pub(crate) fn notes(&self) -> Notes {
        self.notes.clone()
    }

    /// Whether a person sits in front of what is not data.
    pub(crate) fn is_watched(&self) -> bool {
        self.is_noted_on_terminal
    }

    /// Whether programs read the output.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Whether a person sits in front of it.
    pub(crate) fn is_terminal(&self) -> bool {
        self.output.columns.is_some()
    }

    /// How wide the output is, if a person sits in front of it.
    pub(crate) fn columns(&self) -> Option<usize> {
        self.output.columns
    }

    /// Writes data, all of it at once.
    pub(crate) fn write(&mut self, data: impl AsRef<[u8]>) -> Result<()> {
        self.output.writer.write_all(data.as_ref())?;
        Ok(self.output.writer.flush()?)
    }

    /// Writes data on a thread of its own, so that whoever waits for a reader who does not read can be stopped.
    pub(crate) async fn write_waiting(
        &mut self,
        data: impl AsRef<[u8]> + Send + 'static,
    ) -> Result<()> {
        let mut writer = std::mem::replace(&mut self.output.writer, Box::new(io::sink()));
        let write = move || {
            let written = writer.write_all(data.as_ref()).and_then(|()| writer.flush());
            (writer, written)
        };
        let (writer, written) =
            tokio::task::spawn_blocking(write).await.map_err(Failure::unexpected)?;
        self.output.writer = writer;
        Ok(written?)
    }

    /// Writes data for programs.
    pub(crate) fn write_json(&mut self, data: &Value) -> Result<()> {
        let text = serde_json::to_string_pretty(data).map_err(Failure::unexpected)?;
        self.write(text + "\n")
    }

    /// Writes lines for people.
    pub(crate) fn write_line(&mut self, line: impl AsRef<str>) -> Result<()> {
        self.write(format!("{}\n", line.as_ref()))
    }

    pub(crate) fn write_table(&mut self, table: &Table) -> Result<()> {
        let text = self.text_of(table);
        self.write(text)
    }

    /// Writes the last data there will be, on a thread of its own, so that a reader who does not read
    /// keeps nobody waiting.
    pub(crate) fn write_last(&mut self, text: String) -> impl Future<Output = Result<()>> + use<> {
        let mut writer = std::mem::replace(&mut self.output.writer, Box::new(io::sink()));
        let (tell, told) = oneshot::channel();
        let write = move || {
            let written = writer.write_all(text.as_bytes()).and_then(|()| writer.flush());
            // Who waited for it may have gone.
            drop(tell.send(written));
        };
        let started = std::thread::Builder::new().name("output".to_owned()).spawn(write);
        async move {
            started?;
            Ok(told.await.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))??)
        }
    }

    /// The lines of a table, as they look here.
    pub(crate) fn text_of(&self, table: &Table) -> String {
        table.text(self.output.columns, self.is_coloured())
    }

    /// A word in a style, where colours are shown.
    pub(crate) fn paint(&self, style: Style, word: &str) -> String {
        paint(self.is_coloured(), style, word)
    }

    /// A line that is not data. It is lost where nobody can read it.
    pub(crate) fn note(&self, line: impl Into<String>) {
        self.notes.add(line);
    }

    /// Why the command did not work.
    pub(crate) fn tell(&self, failure: &Failure) {
        let Failure::Told(told) = failure else { return };
        if self.is_json() {
            return self.note(serde_json::json!({ "error": told.json() }).to_string());
        }
        self.note(told.text(self.may_colour && self.is_noted_on_terminal));
    }

    fn is_coloured(&self) -> bool {
        self.may_colour && self.is_terminal()
    }
}

/// The style of a word about health or state.
pub(crate) fn style_of(word: &str) -> Style {
    match word {
        "up" | "ready" | "native" => GOOD,
        "degraded" | "stale" | "emulated" => DOUBTFUL,
        "down" => BAD,
        _ => Style::new(),
    }
}

pub(crate) fn paint(is_coloured: bool, style: Style, word: &str) -> String {
    if is_coloured && style != Style::new() && !word.is_empty() {
        format!("{style}{word}{style:#}")
    } else {
        word.to_owned()
    }
}

pub(crate) const STRONG: Style = Style::new().bold();
pub(crate) const FAINT: Style = Style::new().dimmed();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const DOUBTFUL: Style = AnsiColor::Yellow.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default();
