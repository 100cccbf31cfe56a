//! Takes everything and keeps nothing: a cache that is switched off.

use bytes::Bytes;
use switchboard_core::{Descriptor, Lifecycle, NoSettings, Registry, Reply, Result};

use crate::{CacheDriver, Caches, Key, Ttl};

/// A cache that keeps nothing.
///
/// Every read is a miss. `add` succeeds every time, because nothing is ever there; so it must not
/// stand in where `add` is used to choose one of several callers (`require = ["retain"]` refuses it
/// there). It does not count: a counter that forgets would give wrong numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Null;

pub(crate) fn register(registry: &Registry<Caches>) -> Result<()> {
    let descriptor =
        Descriptor::new("null").summary("Keeps nothing: a cache that is switched off").proven();
    registry.register(descriptor, |NoSettings {}, _context| async { Ok(Null) })
}

impl CacheDriver for Null {
    fn get<'a>(&'a self, _key: Key<'a>) -> Reply<'a, Option<Bytes>> {
        Reply::ready(Ok(None))
    }

    fn put<'a>(&'a self, _key: Key<'a>, _value: &'a [u8], _ttl: Ttl) -> Reply<'a, ()> {
        Reply::ready(Ok(()))
    }

    fn add<'a>(&'a self, _key: Key<'a>, _value: &'a [u8], _ttl: Ttl) -> Reply<'a, bool> {
        Reply::ready(Ok(true))
    }

    fn forget<'a>(&'a self, _key: Key<'a>) -> Reply<'a, bool> {
        Reply::ready(Ok(false))
    }

    fn flush(&self) -> Reply<'_, ()> {
        Reply::ready(Ok(()))
    }
}

impl Lifecycle for Null {}

#[cfg(test)]
crate::conformance::suite!(crate::conformance::Fixture::new(register));
