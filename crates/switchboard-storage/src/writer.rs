//! Storing what somebody writes: an object as a writer of `tokio`.
//!
//! It is a put whose body is what is written, and which goes on whenever something is.

use std::fmt;
use std::future::{IntoFuture, Ready, poll_fn, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::future::{BoxFuture, FutureExt as _};
use switchboard_core::{Error, ErrorKind, Result};
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;

use crate::driver::Stored;
use crate::io::into_io;
use crate::{Body, Disk, Put};

/// How [`Disk::writer`] stores: what is written.
#[derive(Clone, Copy, Debug)]
pub struct Written(());

impl Disk {
    /// Stores under `key` what is written, once it is [finished](Writer::finish).
    ///
    /// ```
    /// # use switchboard_core::{Environment, Manager, Registry, Settings};
    /// # use switchboard_storage::Disks;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # runtime.block_on(async {
    /// # let disks = Manager::<Disks>::new(Registry::with_built_ins()?, &Environment::new())?;
    /// # disks.configure("main", &Settings::new().with("driver", "memory"))?;
    /// # let disk = disks.handle("main")?;
    /// let mut writer = disk.writer("report.csv").if_absent().await?;
    /// tokio::io::copy(&mut &b"day,visits\n"[..], &mut writer).await.unwrap();
    /// assert!(!disk.exists("report.csv").await?);
    ///
    /// assert_eq!(writer.finish().await?.size, 11);
    /// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
    /// ```
    pub fn writer<'d>(&'d self, key: &'d str) -> Put<'d, Written> {
        Put::new(self, key, Written(()))
    }
}

/// An object that is being written. It is there once it is [finished](Self::finish) or shut down; where it is
/// dropped before, nothing of it stays.
///
/// What is flushed is on its way, and not yet there.
pub struct Writer {
    /// What was written and is not on its way.
    piece: BytesMut,
    /// Where the body comes from; None at its end.
    feed: Option<mpsc::Sender<Bytes>>,
    storing: Storing,
}

enum Storing {
    Going(BoxFuture<'static, Result<Stored>>),
    Over(Result<Stored>),
}

impl Put<'_, Written> {
    fn open(self) -> Result<Writer> {
        self.checked()?;
        let (feed, mut pieces) = mpsc::channel(1);
        let pieces = futures_util::stream::poll_fn(move |context| {
            pieces.poll_recv(context).map(|piece: Option<Bytes>| piece.map(Ok::<_, Error>))
        });
        let (disk, key, write) = (self.disk.clone(), self.key.to_owned(), self.write);
        let storing = async move {
            let mut put = disk.put(&key, Body::stream(pieces));
            put.write = write;
            put.await
        };
        let storing = Storing::Going(storing.boxed());
        Ok(Writer { piece: BytesMut::new(), feed: Some(feed), storing })
    }
}

impl Writer {
    /// Stores what was written.
    pub async fn finish(mut self) -> Result<Stored> {
        poll_fn(|context| self.poll_finish(context)).await
    }

    /// Stores nothing; the same as dropping it.
    pub fn abort(self) {
        drop(self);
    }

    /// Goes on with storing; ready once that is over.
    fn poll_storing(&mut self, context: &mut Context<'_>) -> Poll<&Result<Stored>> {
        if let Storing::Going(storing) = &mut self.storing {
            let stored = std::task::ready!(storing.poll_unpin(context));
            self.storing = Storing::Over(stored);
        }
        match &self.storing {
            Storing::Going(_) => Poll::Pending,
            Storing::Over(stored) => Poll::Ready(stored),
        }
    }

    /// Sends what was written on its way.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        while !self.piece.is_empty() {
            // Going on is also what makes room, and what wakes who waits for it.
            let stored = self.poll_storing(context).map(Clone::clone);
            if let Poll::Ready(stored) = stored {
                return Poll::Ready(stored.and_then(|_| Err(ended())));
            }
            let Some(feed) = &self.feed else { return Poll::Ready(Err(ended())) };
            let Ok(room) = feed.try_reserve() else { return Poll::Pending };
            room.send(self.piece.split().freeze());
        }
        Poll::Ready(Ok(()))
    }

    fn poll_finish(&mut self, context: &mut Context<'_>) -> Poll<Result<Stored>> {
        if self.feed.is_some() {
            std::task::ready!(self.poll_send(context))?;
            self.feed = None;
        }
        self.poll_storing(context).map(Clone::clone)
    }
}

impl AsyncWrite for Writer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        written: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.piece.len() >= PIECE {
            std::task::ready!(self.poll_send(context)).map_err(into_io)?;
        }
        if self.feed.is_none() {
            return Poll::Ready(Err(into_io(ended())));
        }
        let taken = written.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&written[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_send(context)).map_err(into_io)?;
        // What was sent is taken up now, if it can be.
        if self.feed.is_some()
            && let Poll::Ready(Err(error)) = self.poll_storing(context)
        {
            return Poll::Ready(Err(into_io(error.clone())));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_finish(context).map(|stored| stored.map(drop).map_err(into_io))
    }
}

impl IntoFuture for Put<'_, Written> {
    type Output = Result<Writer>;
    type IntoFuture = Ready<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        ready(self.open())
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("is_open", &self.feed.is_some()).finish_non_exhaustive()
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::InvalidInput, "the writer has ended").not_applied()
}

/// How many bytes are collected before they go on their way.
const PIECE: usize = 64 << 10;
