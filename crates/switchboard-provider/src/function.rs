//! Providers from functions, for what needs no type of its own.
//!
//! ```
//! use switchboard_provider::{Sink, function};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> switchboard_core::Result<()> {
//! let log = function::sink("log", |line: String| async move {
//!     println!("{line}");
//!     Ok(())
//! });
//! log.send("started".to_owned()).await?;
//! # Ok(()) }
//! ```

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;

use switchboard_core::{Lifecycle, Reply, Result};

use crate::{Conversation, Duplex, Items, Provider, RequestResponse, Sink, Stream};

/// A provider whose work is one function; made by the functions of this module.
pub struct Function<F, Shape> {
    name: &'static str,
    call: F,
    shape: PhantomData<fn() -> Shape>,
}

/// What a [`Function`] is that executes.
#[derive(Debug)]
pub struct Executes(());

/// What a [`Function`] is that opens streams.
#[derive(Debug)]
pub struct Streams(());

/// What a [`Function`] is that sends.
#[derive(Debug)]
pub struct Sends(());

/// What a [`Function`] is that opens conversations.
#[derive(Debug)]
pub struct Converses(());

/// A [`RequestResponse`] whose output is what `execute` makes of the input.
pub fn request_response<I, O, F, Fut>(name: &'static str, execute: F) -> Function<F, Executes>
where
    F: Fn(I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O>> + Send + 'static,
{
    Function { name, call: execute, shape: PhantomData }
}

/// A [`Stream`] whose items are those that `open` gives for the input.
pub fn stream<I, O, T, F, Fut>(name: &'static str, open: F) -> Function<F, Streams>
where
    F: Fn(I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T>> + Send + 'static,
    T: Items<O> + 'static,
{
    Function { name, call: open, shape: PhantomData }
}

/// A [`Sink`] that gives each input to `send`.
pub fn sink<I, F, Fut>(name: &'static str, send: F) -> Function<F, Sends>
where
    F: Fn(I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    Function { name, call: send, shape: PhantomData }
}

/// A [`Duplex`] whose conversations are those that `open` begins.
pub fn duplex<I, O, T, F, Fut>(name: &'static str, open: F) -> Function<F, Converses>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T>> + Send + 'static,
    T: Conversation<I, O> + 'static,
{
    Function { name, call: open, shape: PhantomData }
}

impl<F: Send + Sync + 'static, Shape: 'static> Lifecycle for Function<F, Shape> {}

impl<F: Send + Sync + 'static, Shape: 'static> Provider for Function<F, Shape> {
    fn name(&self) -> &str {
        self.name
    }
}

impl<I, O, F, Fut> RequestResponse<I, O> for Function<F, Executes>
where
    F: Fn(I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O>> + Send + 'static,
{
    fn execute(&self, input: I) -> Reply<'_, O> {
        Reply::run((self.call)(input))
    }
}

impl<I, O, T, F, Fut> Stream<I, O> for Function<F, Streams>
where
    F: Fn(I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T>> + Send + 'static,
    T: Items<O> + 'static,
{
    fn open(&self, input: I) -> Reply<'_, Box<dyn Items<O>>> {
        let opening = (self.call)(input);
        Reply::run(async move {
            let items: Box<dyn Items<O>> = Box::new(opening.await?);
            Ok(items)
        })
    }
}

impl<I, F, Fut> Sink<I> for Function<F, Sends>
where
    F: Fn(I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    fn send(&self, input: I) -> Reply<'_, ()> {
        Reply::run((self.call)(input))
    }
}

impl<I, O, T, F, Fut> Duplex<I, O> for Function<F, Converses>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T>> + Send + 'static,
    T: Conversation<I, O> + 'static,
{
    fn open(&self) -> Reply<'_, Box<dyn Conversation<I, O>>> {
        let opening = (self.call)();
        Reply::run(async move {
            let conversation: Box<dyn Conversation<I, O>> = Box::new(opening.await?);
            Ok(conversation)
        })
    }
}

impl<F, Shape> fmt::Debug for Function<F, Shape> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").field("name", &self.name).finish_non_exhaustive()
    }
}
