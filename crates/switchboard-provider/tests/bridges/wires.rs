//! Streams and sinks of `futures` made by hand, and what the tests look at them with.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use futures_sink::Sink;
use futures_util::stream::{Stream, poll_fn};
use switchboard_core::{Error, ErrorKind, Reply, Result};
use switchboard_provider::Conversation;
use switchboard_provider::bridge::futures::conversation;
use tokio::sync::mpsc;

use crate::lock;

/// The receiving end of a channel as a stream.
pub(crate) fn heard<T>(mut end: mpsc::Receiver<T>) -> impl Stream<Item = Result<T>> + Unpin {
    poll_fn(move |context| end.poll_recv(context).map(|message| message.map(Ok)))
}

/// The sending end of a channel as a sink: it is flushed when the message is in the channel.
pub(crate) struct Said<T> {
    end: Option<mpsc::Sender<T>>,
    entering: Option<Reply<'static, ()>>,
}

pub(crate) fn said<T: Send + 'static>(end: mpsc::Sender<T>) -> Said<T> {
    Said { end: Some(end), entering: None }
}

impl<T: Send + 'static> Sink<T> for Said<T> {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_flush(context)
    }

    fn start_send(mut self: Pin<&mut Self>, message: T) -> Result<()> {
        assert!(self.entering.is_none(), "it was not ready");
        let end = self.end.clone().ok_or_else(hung_up)?;
        let entering = async move { end.send(message).await.map_err(|_| hung_up()) };
        self.entering = Some(Reply::run(entering));
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(entering) = &mut self.entering else { return Poll::Ready(Ok(())) };
        let entered = ready!(Pin::new(entering).poll(context));
        self.entering = None;
        Poll::Ready(entered)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.as_mut().poll_flush(context))?;
        self.end = None;
        Poll::Ready(Ok(()))
    }
}

pub(crate) fn hung_up() -> Error {
    Error::new(ErrorKind::Unavailable, "the other side hung up")
}

/// Two ends of a line over channels with room for `room` messages each way.
pub(crate) fn line<T: Send + 'static>(
    room: usize,
) -> (impl Conversation<T, T> + use<T>, impl Conversation<T, T> + use<T>) {
    let (there, here) = (mpsc::channel(room), mpsc::channel(room));
    (conversation(heard(here.1), said(there.0)), conversation(heard(there.1), said(here.0)))
}

/// Answers everything it hears with what it heard, until that ends.
pub(crate) async fn echo<T>(end: impl Conversation<T, T>) -> Result<()> {
    while let Some(message) = end.receive().await? {
        end.send(message).await?;
    }
    end.close().await
}

/// What was noted, in order.
#[derive(Clone)]
pub(crate) struct Journal<T>(Arc<Mutex<Vec<T>>>);

impl<T> Default for Journal<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Clone> Journal<T> {
    pub(crate) fn note(&self, entry: T) {
        lock(&self.0).push(entry);
    }

    pub(crate) fn entries(&self) -> Vec<T> {
        lock(&self.0).clone()
    }
}
