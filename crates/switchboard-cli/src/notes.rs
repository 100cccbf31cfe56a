//! Lines for stderr, written by a thread of their own.
//!
//! Who has something to say never waits for whoever reads it: a pipe that nobody empties would else
//! keep a board from hearing that it is to stop. What does not fit any more is left out and counted.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;

/// Where lines for stderr go. Clones write to the same stream.
#[derive(Clone, Debug)]
pub(crate) struct Notes {
    said: Sender<Said>,
    lost: Arc<AtomicUsize>,
    is_given_up: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Said {
    Line(String),
    /// What stands in the last line until something else does.
    State(String),
    /// Asks to be told when all that was said before is written.
    Written(oneshot::Sender<()>),
}

impl Notes {
    pub(crate) fn written_to(writer: impl Write + Send + 'static) -> Self {
        let (said, lines) = channel(LINES_MAX);
        let lost = Arc::new(AtomicUsize::new(0));
        let pen = Pen { writer, lost: Arc::clone(&lost), has_state: false };
        // Without the thread nothing is written, and that is no reason to stop.
        drop(thread::Builder::new().name("notes".to_owned()).spawn(move || pen.write_all(lines)));
        Self { said, lost, is_given_up: Arc::default() }
    }

    /// Says a line, which may be several. It is lost where nobody reads.
    pub(crate) fn add(&self, line: impl Into<String>) {
        if self.said.try_send(Said::Line(line.into())).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes over what was said last in this way, on a terminal; nothing takes it away. It is left out where
    /// nobody reads.
    pub(crate) fn show(&self, state: impl Into<String>) {
        drop(self.said.try_send(Said::State(state.into())));
    }

    /// Waits until all that was said is written, however long that takes.
    pub(crate) async fn written(&self) {
        let (tell, told) = oneshot::channel();
        if self.said.send(Said::Written(tell)).await.is_ok() {
            // An error says that the thread has gone, and then nothing more will be written.
            drop(told.await);
        }
    }

    /// Like [`written`](Self::written), on a thread without a runtime.
    pub(crate) fn wait_until_written(&self) {
        if self.is_given_up.load(Ordering::Relaxed) {
            return;
        }
        let (tell, told) = oneshot::channel();
        if self.said.blocking_send(Said::Written(tell)).is_ok() {
            drop(told.blocking_recv());
        }
    }

    /// From now on nobody waits for what is not written yet.
    pub(crate) fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Relaxed);
    }
}

/// What the thread has.
struct Pen<W> {
    writer: W,
    lost: Arc<AtomicUsize>,
    /// Whether something stands in the last line that another one takes the place of.
    has_state: bool,
}

impl<W: Write> Pen<W> {
    fn write_all(mut self, mut lines: Receiver<Said>) {
        while let Some(said) = lines.blocking_recv() {
            let asker = match said {
                Said::Line(line) => {
                    self.write(&line);
                    None
                }
                Said::State(state) => {
                    self.show(&state);
                    None
                }
                Said::Written(asker) => Some(asker),
            };
            if lines.is_empty() || asker.is_some() {
                self.tell_what_is_lost();
            }
            // Who asked may have gone.
            let _ = asker.map(|asker| asker.send(()));
        }
    }

    fn show(&mut self, state: &str) {
        drop(self.writer.write_all(format!("{CLEARED}{state}").as_bytes()));
        drop(self.writer.flush());
        self.has_state = !state.is_empty();
    }

    fn write(&mut self, line: &str) {
        if self.has_state {
            self.show("");
        }
        drop(self.writer.write_all(format!("{line}\n").as_bytes()));
        drop(self.writer.flush());
    }

    fn tell_what_is_lost(&mut self) {
        match self.lost.swap(0, Ordering::Relaxed) {
            0 => {}
            lost => {
                self.write(&format!("{lost} lines are left out here: nobody read them in time"));
            }
        }
    }
}

/// The beginning of a line in which nothing stands any more.
const CLEARED: &str = "\r\x1b[2K";

/// How many lines wait for whoever reads them.
const LINES_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use std::io::{self, Read as _};

    use super::*;

    #[test]
    fn what_nobody_reads_keeps_nobody_waiting_and_is_counted() {
        let (mut reader, writer) = io::pipe().unwrap();
        let notes = Notes::written_to(writer);
        let line = "x".repeat(100);
        for _ in 0..3 * LINES_MAX {
            notes.add(line.as_str());
        }
        let reading = thread::spawn(move || {
            let mut all = String::new();
            reader.read_to_string(&mut all).unwrap();
            all
        });
        notes.wait_until_written();
        drop(notes);
        let all = reading.join().unwrap();
        let told = all.lines().filter(|told| *told == line).count();
        let lost = all.lines().filter_map(|told| {
            told.strip_suffix(" lines are left out here: nobody read them in time")
        });
        let lost = lost.map(|lost| lost.parse::<usize>().unwrap()).sum::<usize>();
        assert!(lost > 0);
        assert_eq!(told + lost, 3 * LINES_MAX);
    }

    #[test]
    fn who_has_given_up_does_not_wait() {
        let (reader, writer) = io::pipe().unwrap();
        let notes = Notes::written_to(writer);
        notes.add("x".repeat(1_000_000));
        notes.give_up();
        notes.wait_until_written();
        drop(reader);
    }

    #[test]
    fn a_line_takes_the_place_of_a_state() {
        let (mut reader, writer) = io::pipe().unwrap();
        let notes = Notes::written_to(writer);
        notes.show("1 %");
        notes.show("2 %");
        notes.add("done");
        notes.wait_until_written();
        let mut bytes = [0; 64];
        let read = reader.read(&mut bytes).unwrap();
        assert_eq!(&bytes[..read], b"\r\x1b[2K1 %\r\x1b[2K2 %\r\x1b[2Kdone\n");
    }

    #[tokio::test]
    async fn all_is_written_in_order_before_anybody_is_told_that_it_is() {
        let (mut reader, writer) = io::pipe().unwrap();
        let notes = Notes::written_to(writer);
        notes.add("one");
        notes.add("two\nthree");
        notes.written().await;
        let mut bytes = [0; 64];
        let read = reader.read(&mut bytes).unwrap();
        assert_eq!(&bytes[..read], b"one\ntwo\nthree\n");
    }
}
