//! What can be known of a statement from its text alone; nothing here asks a server.
//!
//! Read in this order: [`lexer`], the tokens of a text as one dialect reads it; [`Template`], a text
//! with placeholders in any common style, and how values get to them; [`Traits`], what a statement
//! does; [`split()`], the statements of a script; [`fingerprint()`] and [`with_comment`], what logs say
//! of it; [`Page`], [`OrderBy`] and [`Filter`], what a user may say about a query, added to one by
//! [`Bound::filtered`] and its neighbours.

mod calls;
mod clauses;
mod comment;
mod explain;
mod filter;
mod fingerprint;
pub(crate) mod functions;
mod insert;
mod keywords;
pub mod lexer;
mod page;
mod parameters;
mod query;
mod split;
mod traits;

#[cfg(test)]
mod corpus;
#[cfg(test)]
pub(crate) mod dialects;
#[cfg(test)]
mod page_tests;

pub(crate) use calls::only_computes;
pub use comment::with_comment;
pub(crate) use explain::{is_explainable, plan_without_values};
pub use filter::Filter;
pub use fingerprint::fingerprint;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
pub(crate) use fingerprint::without_values;
pub(crate) use insert::{insert_of, quoted, quoted_list, quoted_path};
pub use page::{Allowed, OrderBy, Page};
pub use parameters::{Bound, Template};
#[cfg(feature = "postgres")]
pub(crate) use query::is_query;
pub use split::{Part, split};
pub use traits::{Effect, Traits};
