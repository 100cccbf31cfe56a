//! What a value is, as text, as a parameter and as a type of an application.

mod convert;
mod decimal;
mod decode;
#[cfg(all(feature = "chrono", feature = "jiff", feature = "rust_decimal", feature = "uuid"))]
mod foreign;
mod params;
mod time;
