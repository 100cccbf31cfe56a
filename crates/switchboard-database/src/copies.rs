//! Databases that are made for one test each: what a driver does for that.

use std::sync::Arc;

use switchboard_core::Reply;

use crate::DatabaseDriver;

/// Databases beside the one of a driver: on the same server, with the same settings.
///
/// Names are lower case letters, digits and `_`, and not longer than sixty characters. Nothing here is on the way of an
/// application: only a [`Sandbox`](crate::Sandbox) asks for it.
pub trait Copies: Send + Sync {
    /// The driver of the database `name`, which need not be there yet.
    fn driver_of(&self, name: &str) -> Arc<dyn DatabaseDriver>;

    /// The databases that are there and whose names begin so.
    fn list<'a>(&'a self, beginning: &'a str) -> Reply<'a, Vec<String>>;

    /// Makes a database: an empty one, or one that is as `template` is, to which nobody is connected.
    fn make<'a>(&'a self, name: &'a str, template: Option<&'a str>) -> Reply<'a, ()>;

    /// Gives a database, to which nobody is connected, another name, at once for all who look.
    fn rename<'a>(&'a self, name: &'a str, new: &'a str) -> Reply<'a, ()>;

    /// Removes a database with all that is in it; nothing where it is not there. Where `is_forced`, also while
    /// somebody is connected to it, whose transactions end.
    fn remove<'a>(&'a self, name: &'a str, is_forced: bool) -> Reply<'a, ()>;

    /// Keeps others from having the lock of that name until what is answered is dropped; `None` where
    /// somebody has it. It is given back also where its owner is killed.
    fn try_lock<'a>(&'a self, name: &'a str) -> Reply<'a, Option<Box<dyn Send>>>;

    /// Who works in a database and how sessions begin, as far as what steps make there depends on it: names of
    /// schemas and owners.
    fn sessions(&self) -> String {
        String::new()
    }

    /// Whether a database can be made as another one is. Else it is made anew each time.
    fn has_templates(&self) -> bool {
        true
    }
}
