//! The console over real sockets: every page, who may come in, what hostile clients meet, the end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::float_cmp,
    reason = "a test stops at the first surprise, says what it measured, and counts are whole"
)]

mod access;
mod board;
mod changes;
mod client;
mod closing;
mod details;
mod hostile;
mod metrics;
mod pages;
mod speed;
mod text_format;
