//! Lines of the input, one after the other, read on a thread of their own.

use std::io::{self, BufRead as _, BufReader, Read};

use tokio::sync::mpsc;

/// Lines as they come.
pub(crate) struct Lines(mpsc::Receiver<io::Result<Vec<u8>>>);

impl Lines {
    pub(crate) fn of(input: Box<dyn Read + Send>) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel(READ_AHEAD);
        let read = move || {
            let mut input = BufReader::new(input);
            while let Some(line) = next(&mut input).transpose() {
                let is_last = line.is_err();
                if sender.blocking_send(line).is_err() || is_last {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("input".to_owned()).spawn(read)?;
        Ok(Self(receiver))
    }

    /// The next line, without what ends it.
    pub(crate) async fn next(&mut self) -> io::Result<Option<String>> {
        let Some(line) = self.0.recv().await.transpose()? else { return Ok(None) };
        let no_text = |_| io::Error::new(io::ErrorKind::InvalidData, "a line is no text in UTF-8");
        String::from_utf8(line).map(Some).map_err(no_text)
    }
}

fn next(input: &mut impl io::BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    if input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.len() as u64 == LINE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long"));
    }
    // What else is at its end may belong to a text that goes on in the next line.
    line.pop_if(|last| *last == b'\n');
    Ok(Some(line))
}

/// How many lines are read before anybody wants them.
const READ_AHEAD: usize = 16;

/// How long a line may be, in bytes.
const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;
