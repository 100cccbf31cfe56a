//! Rows as CSV, for files and responses.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use switchboard_core::{Error, Result};

use super::RowStream;
use crate::Row;

/// The rows of a statement as CSV: see [`Statements::stream_csv`](crate::Statements::stream_csv).
///
/// A few rows at a time are read ahead, as of a [`RowStream`], and dropped this gives its connection back.
#[must_use = "a stream does nothing until it is read"]
pub struct CsvStream {
    /// None at their end.
    rows: Option<RowStream<Row>>,
    /// What is written and not handed over yet.
    written: Vec<u8>,
    /// What ended the rows, told after those before it.
    error: Option<Error>,
}

impl CsvStream {
    pub(super) fn new(rows: RowStream<Row>) -> Self {
        let mut written = Vec::new();
        rows.columns().write_csv(&mut written);
        Self { rows: Some(rows), written, error: None }
    }

    /// Writes rows until there are enough of them, or none is there yet; says whether some may come.
    fn write(&mut self, context: &mut Context<'_>) -> bool {
        while self.written.len() < BYTES_AT_ONCE
            && let Some(rows) = &mut self.rows
        {
            match Pin::new(rows).poll_next(context) {
                Poll::Pending => return true,
                Poll::Ready(Some(Ok(row))) => row.write_csv(&mut self.written),
                Poll::Ready(Some(Err(error))) => {
                    self.error = Some(error);
                    self.rows = None;
                }
                Poll::Ready(None) => self.rows = None,
            }
        }
        false
    }
}

impl Stream for CsvStream {
    type Item = Result<Bytes>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes>>> {
        let is_waiting = self.write(context);
        if !self.written.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.written).into())));
        }
        if is_waiting { Poll::Pending } else { Poll::Ready(self.error.take().map(Err)) }
    }
}

impl fmt::Debug for CsvStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CsvStream").field("written", &self.written.len()).finish_non_exhaustive()
    }
}

/// How much is gathered before it is handed over, where it is there at once.
const BYTES_AT_ONCE: usize = 64 * 1024;
