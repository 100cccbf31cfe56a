//! What a handler asks for in its arguments.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use axum_core::extract::{FromRef, FromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use switchboard_core::Manager;

use super::Failure;
use crate::{Database, Databases, Designates, Transaction};

/// The transaction of the request, from [`SessionLayer::new`](super::SessionLayer::new).
///
/// It can be cloned and sent to other tasks, where it is good until the response is there.
#[derive(Clone, Debug)]
pub struct Session(pub Transaction);

impl<S: Send + Sync> FromRequestParts<S> for Session {
    type Rejection = NoSession;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, NoSession> {
        parts.extensions.get::<Self>().cloned().ok_or(NoSession { instance: None })
    }
}

/// The transaction of the request on the database that `M` designates, from
/// [`SessionLayer::of`](super::SessionLayer::of).
pub struct SessionOf<M> {
    transaction: Transaction,
    designated: PhantomData<fn() -> M>,
}

impl<M> SessionOf<M> {
    pub(super) fn new(transaction: Transaction) -> Self {
        Self { transaction, designated: PhantomData }
    }

    /// The transaction itself.
    pub fn into_inner(self) -> Transaction {
        self.transaction
    }
}

impl<M> Deref for SessionOf<M> {
    type Target = Transaction;

    fn deref(&self) -> &Transaction {
        &self.transaction
    }
}

impl<M> Clone for SessionOf<M> {
    fn clone(&self) -> Self {
        Self::new(self.transaction.clone())
    }
}

impl<M> fmt::Debug for SessionOf<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SessionOf").field(&self.transaction).finish()
    }
}

impl<S: Send + Sync, M: Designates + 'static> FromRequestParts<S> for SessionOf<M> {
    type Rejection = NoSession;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, NoSession> {
        let found = parts.extensions.get::<Self>().cloned();
        found.ok_or(NoSession { instance: Some(M::INSTANCE) })
    }
}

/// The database that `M` designates, without a transaction: for what outlives the request, such as rows
/// that are streamed into its response.
///
/// It is for an application with several databases, whose state has their manager. One with a single
/// database keeps that in its state, and its handlers ask for `State<Database>`.
pub struct DatabaseOf<M> {
    database: Database,
    designated: PhantomData<fn() -> M>,
}

impl<M> DatabaseOf<M> {
    /// The database itself.
    pub fn into_inner(self) -> Database {
        self.database
    }
}

impl<M> Deref for DatabaseOf<M> {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.database
    }
}

impl<M> Clone for DatabaseOf<M> {
    fn clone(&self) -> Self {
        Self { database: self.database.clone(), designated: PhantomData }
    }
}

impl<M> fmt::Debug for DatabaseOf<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DatabaseOf").field(&self.database).finish()
    }
}

impl<S, M> FromRequestParts<S> for DatabaseOf<M>
where
    S: Send + Sync,
    M: Designates,
    Manager<Databases>: FromRef<S>,
{
    type Rejection = Failure;

    async fn from_request_parts(_parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let database = Database::designated::<M>(&Manager::from_ref(state))?;
        Ok(Self { database, designated: PhantomData })
    }
}

/// A handler asked for a transaction, and no layer had given it one: a mistake of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoSession {
    instance: Option<&'static str>,
}

impl fmt::Display for NoSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.instance {
            None => f.write_str(
                "the request has no transaction; hint: add `SessionLayer::new(database)` to the routes",
            ),
            Some(instance) => write!(
                f,
                "the request has no transaction on the database {instance:?}; hint: add \
                 `SessionLayer::of::<…>(databases)` to the routes"
            ),
        }
    }
}

impl std::error::Error for NoSession {}

impl IntoResponse for NoSession {
    fn into_response(self) -> Response {
        tracing::error!(target: "switchboard::database", "{self}");
        (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
    }
}
