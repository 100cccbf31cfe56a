//! What has a connection for longer than one statement.

mod bounds;
mod connection;
mod hooks;
mod met;
mod occupied;
mod options;
mod transaction;
mod turns;

pub(crate) use bounds::Bounds;
pub use connection::PooledConnection;
pub(crate) use occupied::{Beginning, Occupied, Opening};
pub use options::TransactionOptions;
pub use transaction::Transaction;
pub(crate) use turns::ReadingTurn;
