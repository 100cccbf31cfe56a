//! A transaction for each request, which ends as the response says.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum_core::response::{IntoResponse, Response};
use http::{Extensions, Method, Request, StatusCode};
use switchboard_core::{Error, ErrorKind, Manager, Result};
use tower_layer::Layer;
use tower_service::Service;

use super::{Failure, Session, SessionOf};
use crate::{Database, Databases, Designates, Transaction, TransactionOptions, pool};

/// Gives each request a transaction, and ends it as the response says.
///
/// The transaction takes its connection and begins with its first statement, so that a request without one
/// costs nothing. Once the handler has answered it is committed if the status is a success, and rolled back
/// if it is anything else, also a redirection, unless [`commit_on`](Self::commit_on) says so. A handler that
/// panics, or that is dropped because the client went away, is rolled back as well. What waits for the
/// commit happens before the response is sent. A commit that fails takes the place of the response: nobody
/// is told of a success that did not last.
///
/// A handler may end the transaction by itself, and then answers for it. Whoever still has it once the
/// response is there, a task of its own for example, gets an error.
///
/// The body of a response is sent after the end, so rows that are streamed into it come from the database
/// ([`tx.database()`](Transaction::database), [`DatabaseOf`](super::DatabaseOf)). A response that keeps rows
/// of the transaction open is refused after [`rest_limit`](Self::rest_limit).
///
/// One layer is for one database; [`of`](Self::of) is for those that have several.
#[derive(Clone)]
#[must_use = "a layer does nothing until routes have it"]
pub struct SessionLayer {
    rules: Rules,
}

/// What a [`SessionLayer`] makes of a service.
#[derive(Clone, Debug)]
pub struct SessionService<S> {
    inner: S,
    rules: Arc<Rules>,
}

/// How transactions begin and end.
#[derive(Clone)]
struct Rules {
    database: Database,
    options: TransactionOptions,
    safe_methods_read: bool,
    is_kept: Arc<dyn Fn(StatusCode) -> bool + Send + Sync>,
    refused: Arc<dyn Fn(Error) -> Response + Send + Sync>,
    rest_limit: Duration,
    /// Gives a transaction to a request, where its extractor finds it.
    give: fn(Transaction, &mut Extensions),
    /// Who is told to hold the connections.
    at: &'static Location<'static>,
}

impl SessionLayer {
    /// Transactions on `database`, for handlers that ask for a [`Session`].
    #[track_caller]
    pub fn new(database: Database) -> Self {
        Self::giving(database, |transaction, extensions| {
            extensions.insert(Session(transaction));
        })
    }

    /// Transactions on the database of `databases` that `M` designates, for handlers that ask for a
    /// [`SessionOf<M>`](SessionOf). The routes may have such a layer for each of several databases; each
    /// commits for itself, the outermost last.
    #[track_caller]
    pub fn of<M: Designates + 'static>(databases: &Manager<Databases>) -> Result<Self> {
        let give = |transaction, extensions: &mut Extensions| {
            extensions.insert(SessionOf::<M>::new(transaction));
        };
        let at = Location::caller();
        let database = Database::designated::<M>(databases)?;
        let layer = Self::giving(database, give);
        Ok(Self { rules: Rules { at, ..layer.rules } })
    }

    #[track_caller]
    fn giving(database: Database, give: fn(Transaction, &mut Extensions)) -> Self {
        let rules = Rules {
            database,
            options: TransactionOptions::new(),
            safe_methods_read: false,
            is_kept: Arc::new(|status| status.is_success()),
            refused: Arc::new(|error| Failure(error).into_response()),
            rest_limit: REST_LIMIT,
            give,
            at: Location::caller(),
        };
        Self { rules }
    }

    /// What is asked of the transactions. A time that they may take is that of the whole request, whose
    /// handler is dropped when it is over; they are not run again.
    pub fn options(mut self, options: TransactionOptions) -> Self {
        self.rules.options = options;
        self
    }

    /// Requests that are to change nothing (`GET`, `HEAD`, `OPTIONS`, `TRACE`) only read: a statement that
    /// writes is refused, and where one connection writes, it is left to others.
    pub fn read_only_for_safe_methods(mut self) -> Self {
        self.rules.safe_methods_read = true;
        self
    }

    /// The responses after which the transaction is committed, instead of all that are a success.
    ///
    /// ```
    /// # use switchboard_database::{Database, axum::SessionLayer};
    /// # fn layer(database: Database) -> SessionLayer {
    /// // For an application whose forms are answered with a redirection.
    /// SessionLayer::new(database).commit_on(|status| status.is_success() || status.is_redirection())
    /// # }
    /// ```
    pub fn commit_on(
        mut self,
        is_kept: impl Fn(StatusCode) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.rules.is_kept = Arc::new(is_kept);
        self
    }

    /// The response after a commit that failed, and where the time of the transaction was over before there
    /// was any, instead of that of [`Failure`].
    ///
    /// An error whose [outcome](Error::outcome) is unknown may have been committed after all.
    pub fn on_commit_error<R: IntoResponse>(
        mut self,
        response: impl Fn(Error) -> R + Send + Sync + 'static,
    ) -> Self {
        self.rules.refused = Arc::new(move |error| response(error).into_response());
        self
    }

    /// How long the end waits for statements and rows that are still under way when the response is there;
    /// five seconds where nothing is said.
    pub fn rest_limit(mut self, limit: Duration) -> Self {
        self.rules.rest_limit = limit;
        self
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> SessionService<S> {
        SessionService { inner, rules: Arc::new(self.rules.clone()) }
    }
}

impl<S, B> Service<Request<B>> for SessionService<S>
where
    S: Service<Request<B>>,
    S::Response: IntoResponse,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let open = Open::new(&self.rules, request.method());
        (self.rules.give)(open.transaction.clone(), request.extensions_mut());
        let answering = self.inner.call(request);
        Box::pin(pool::scoped(async move {
            let answered = open.transaction.in_time(answering).await.transpose()?;
            Ok(match answered.map(IntoResponse::into_response) {
                Some(response) => open.end(response).await,
                None => open.late().await,
            })
        }))
    }
}

impl fmt::Debug for SessionLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionLayer").field("rules", &self.rules).finish()
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("database", &self.database)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Rules {
    fn begin(&self, method: &Method) -> Transaction {
        let options = self.options.clone();
        let only_reads = self.safe_methods_read && method.is_safe();
        let options = if only_reads { options.read_only() } else { options };
        self.database.waiting(&options, self.at)
    }
}

/// The transaction of a request that is under way. Whatever way that is left, the transaction ends.
struct Open {
    transaction: Transaction,
    rules: Arc<Rules>,
    /// Nothing is left to be done for its end.
    has_ended: bool,
}

impl Open {
    fn new(rules: &Arc<Rules>, method: &Method) -> Self {
        Self { transaction: rules.begin(method), rules: rules.clone(), has_ended: false }
    }

    /// Ends the transaction as `response` says; what is answered then.
    async fn end(mut self, response: Response) -> Response {
        if !(self.rules.is_kept)(response.status()) {
            self.roll_back().await;
            return response;
        }
        match self.commit().await {
            Ok(()) => response,
            Err(error) => {
                let (instance, status) = (self.instance(), response.status().as_u16());
                tracing::warn!(
                    target: "switchboard::database", instance, status, %error,
                    "a response was not sent, because its transaction could not be committed"
                );
                (self.rules.refused)(error)
            }
        }
    }

    /// What is answered when the time is over; the handler has been dropped.
    async fn late(mut self) -> Response {
        let error = self.transaction.given_up().await;
        self.has_ended = true;
        (self.rules.refused)(error)
    }

    async fn commit(&mut self) -> Result<()> {
        self.rest().await?;
        if self.has_ended {
            return Ok(());
        }
        let committed = self.transaction.commit().await;
        self.has_ended = true;
        committed
    }

    async fn roll_back(&mut self) {
        // One that is still in use is rolled back once it is not, without this response waiting for that.
        if self.rest().await.is_ok() && !self.has_ended {
            // The response tells what matters; a connection that cannot roll back is closed.
            self.transaction.rollback().await.ok();
            self.has_ended = true;
        }
    }

    /// Waits for what is under way in the transaction, and sees whether the handler has ended it.
    async fn rest(&mut self) -> Result<()> {
        // Rows in the body of the response would be waited for by who is to send them: for ever.
        let rest = tokio::time::timeout(self.rules.rest_limit, self.transaction.has_ended());
        self.has_ended = rest.await.map_err(|_| self.in_use())?;
        Ok(())
    }

    fn in_use(&self) -> Error {
        Error::new(ErrorKind::PreconditionFailed, "the transaction is in use after the response")
            .with_context("instance", self.instance())
            .with_hint(
                "stream rows from the database, and wait for tasks that have the transaction",
            )
            .not_applied()
    }

    fn instance(&self) -> &str {
        self.transaction.database().line().instance()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.has_ended {
            self.transaction.abandon();
        }
    }
}

/// How long the end waits for what is under way, unless something else is said.
const REST_LIMIT: Duration = Duration::from_secs(5);
