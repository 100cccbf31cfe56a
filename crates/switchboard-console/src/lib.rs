//! The HTTP side of a Switchboard: how it is, what it counts, and an API that shows and changes it.
//!
//! Read in this order: [`serve`], which starts it; [`ConsoleConfig`], the `[console]` section;
//! [`Console`], where it is and who may come in.
//!
//! ```
//! use std::time::Duration;
//!
//! use switchboard::Switchboard;
//! use switchboard_console::{ConsoleConfig, serve};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> switchboard_core::Result<()> {
//! let builder = Switchboard::builder().section::<ConsoleConfig>("console");
//! let board = builder.build().await?;
//! let console = serve(&board, &*board.section::<ConsoleConfig>("console")?).await?;
//! assert!(console.address().ip().is_loopback());
//!
//! // The console is a part of the board, so it is closed with it.
//! board.close(Duration::from_secs(5)).await.into_result()
//! # }
//! ```

mod access;
mod answer;
mod api;
mod changes;
mod config;
mod crowd;
mod metrics;
mod progress;
mod routes;
mod server;
mod token;

pub use config::ConsoleConfig;
pub use server::{Console, serve};
