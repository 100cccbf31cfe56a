//! Bytes of the input as they come, read on a thread of their own.

use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::mpsc;

/// Bytes as they come.
pub(crate) struct Pieces(mpsc::Receiver<io::Result<Bytes>>);

impl Pieces {
    pub(crate) fn of(mut input: Box<dyn Read + Send>) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel(READ_AHEAD);
        let read = move || {
            while let Some(piece) = next(&mut input).transpose() {
                let is_last = piece.is_err();
                if sender.blocking_send(piece).is_err() || is_last {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("input".to_owned()).spawn(read)?;
        Ok(Self(receiver))
    }
}

impl Stream for Pieces {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}

fn next(input: &mut impl Read) -> io::Result<Option<Bytes>> {
    let mut piece = Vec::new();
    input.take(PIECE_BYTES_MAX).read_to_end(&mut piece)?;
    Ok((!piece.is_empty()).then(|| piece.into()))
}

/// How many pieces are read before anybody wants them.
const READ_AHEAD: usize = 4;

/// How long a piece is, in bytes.
const PIECE_BYTES_MAX: u64 = 256 * 1024;
