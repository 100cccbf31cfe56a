//! A transaction for each request of an `axum` application.
//!
//! Read in this order: [`SessionLayer`], which begins and ends it; [`Session`] and [`SessionOf`], by which
//! a handler gets it; [`DatabaseOf`], a database without a transaction; [`Failure`], an error as a
//! response.
//!
//! ```
//! # #[cfg(feature = "sqlite")]
//! # {
//! # use switchboard_core::{Environment, Manager, Registry, Settings};
//! use axum::Router;
//! use axum::routing::post;
//! use switchboard_database::axum::{Failure, Session, SessionLayer};
//! use switchboard_database::{Database, Databases, Statements as _};
//!
//! // Committed if the response is a success, rolled back if it is anything else.
//! async fn add(Session(tx): Session, note: String) -> Result<(), Failure> {
//!     tx.execute("insert into notes values (?)", (note,)).await?;
//!     Ok(())
//! }
//!
//! fn notes(main: Database) -> Router {
//!     Router::new().route("/notes", post(add)).layer(SessionLayer::new(main))
//! }
//! # use axum::http::Request;
//! # use tower::ServiceExt as _;
//! # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
//! # runtime.block_on(async {
//! # let databases = Manager::<Databases>::new(Registry::with_built_ins()?, &Environment::new())?;
//! # databases.configure("main", &Settings::new().with("url", "sqlite::memory:"))?;
//! # let main = databases.handle("main")?;
//! # main.execute("create table notes (text varchar(100))", ()).await?;
//! # let request = Request::post("/notes").body("milk".to_owned()).unwrap();
//! # assert_eq!(notes(main.clone()).oneshot(request).await.unwrap().status(), 200);
//! # assert_eq!(main.select_value::<String>("select text from notes", ()).await?, "milk");
//! # Ok::<(), switchboard_core::Error>(()) }).unwrap();
//! # }
//! ```

mod extract;
mod failure;
mod layer;

pub use extract::{DatabaseOf, NoSession, Session, SessionOf};
pub use failure::Failure;
pub use layer::{SessionLayer, SessionService};
