//! Configuration for Switchboard: files and layers become one tree of settings, and every mistake has
//! its place.
//!
//! Read in this order: [`Loader`], what is read and in which order; [`Loaded`], what came of it;
//! [`Report`], all mistakes with excerpts; [`Layer`], typed settings that are laid over each other in
//! code.

mod environment;
mod inherit;
mod interpolate;
mod layer;
mod loader;
mod parse;
mod report;
mod source;

pub use layer::Layer;
pub use loader::{Loaded, Loader};
pub use parse::{FILE_BYTES_MAX, Format, NODES_MAX, Parsed, parse, read_file};
pub use report::{Coloured, Report};
pub use source::{Source, Sources};
