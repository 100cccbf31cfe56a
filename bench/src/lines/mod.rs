//! The list of all lines. One line is one file here and one entry below.

mod acquire;
mod cache;
mod call;
mod disk;
mod gates;
mod handle;
mod keyed;
mod layers;
mod least_loaded;
mod lookup;
mod mysql;
pub mod postgres;
mod refusal;
mod s3;
mod select;
mod sqlite;

use crate::line::Line;

/// Every line, in the order of the results.
pub fn all() -> Vec<Line> {
    let mut lines = vec![
        lookup::line(),
        handle::line(),
        call::line(),
        gates::line(),
        layers::line(),
        refusal::line(),
        select::line(),
        least_loaded::line(),
        keyed::line(),
        cache::line(),
        postgres::one(),
        postgres::one_in_tasks(),
        postgres::rows(),
        postgres::rows_in_tasks(),
        acquire::alone(),
        acquire::in_tasks(),
        mysql::line(),
        sqlite::select(),
        sqlite::update(),
        disk::get(),
        disk::get_large(),
        disk::put(),
        disk::put_large(),
        disk::put_full(),
        disk::stream_write(),
        disk::stream_read(),
        disk::list(),
    ];
    lines.extend(s3::lines());
    lines
}
