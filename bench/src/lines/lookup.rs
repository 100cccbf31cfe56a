//! Finding a driver's factory by its name, as people write it.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::{Arc, RwLock};

use arc_swap::ArcSwap;
use dashmap::DashMap;
use phf::phf_map;

use crate::line::{Contender, Goal, Line, OURS};
use crate::ours;
use crate::rig::each;

pub fn line() -> Line {
    Line {
        name: "lookup",
        about: "Find one of 8 drivers by a name in mixed case, and call its factory's one method.",
        reference: LOCKED,
        threads: &[1, 4],
        figure: None,
        needs: None,
        contenders: vec![ours(), locked(), dashed(), swapped(), perfect()],
        goals: vec![
            Goal::times(OURS, 0.40, LOCKED, 1),
            Goal::times(OURS, 0.20, LOCKED, 4),
            Goal::times(OURS, 0.65, PERFECT, 1),
            Goal::no_allocation(OURS),
        ],
    }
}

/// The entry is found and asked for its name; its factory is behind the same pointer.
fn ours() -> Contender {
    Contender::new(OURS, |_| {
        let registry = ours::manager().registry().clone();
        for (asked, name) in ASKED.iter().zip(NAMES) {
            assert_eq!(registry.get(asked).expect("is registered").name(), name);
        }
        move |_| {
            let registry = registry.clone();
            each(move |turn| registry.get(asked(turn)).expect("is registered").name().len())
        }
    })
}

/// A lock around a map, names lowered into a new string, the factory cloned out of the lock: the
/// shape of the registries that Switchboard grew from.
fn locked() -> Contender {
    Contender::new(LOCKED, |_| {
        let map = Arc::new(RwLock::new(factories()));
        let find = move |name: &str| {
            let name = name.trim().to_lowercase();
            let found = map.read().expect("nobody panics").get(&name).cloned();
            found.expect("is registered").id()
        };
        check(&find);
        move |_| {
            let find = find.clone();
            each(move |turn| find(asked(turn)))
        }
    })
}

fn dashed() -> Contender {
    Contender::new("dashmap", |_| {
        let map: Arc<DashMap<String, Arc<dyn Factory>>> =
            Arc::new(factories().into_iter().collect());
        let find = move |name: &str| {
            map.get(&name.trim().to_ascii_lowercase()).expect("is registered").id()
        };
        check(&find);
        move |_| {
            let find = find.clone();
            each(move |turn| find(asked(turn)))
        }
    })
    .of(&["dashmap"])
}

fn swapped() -> Contender {
    Contender::new("arc-swap map", |_| {
        let map = Arc::new(ArcSwap::from_pointee(factories()));
        let find = move |name: &str| {
            map.load().get(&name.trim().to_ascii_lowercase()).expect("is registered").id()
        };
        check(&find);
        move |_| {
            let find = find.clone();
            each(move |turn| find(asked(turn)))
        }
    })
    .of(&["arc-swap"])
}

/// What a program can do whose drivers are all known when it is compiled.
fn perfect() -> Contender {
    Contender::new(PERFECT, |_| {
        let find = |name: &str| look_up(name).expect("is registered").id();
        check(&find);
        move |_| each(move |turn| find(asked(turn)))
    })
    .of(&["phf"])
}

/// The factory called `name` in a map made by the compiler; allocates nothing.
pub fn look_up(name: &str) -> Option<&'static dyn Factory> {
    let mut buffer = [0_u8; 16];
    let name = name.trim().as_bytes();
    let lowered = buffer.get_mut(..name.len())?;
    for (to, from) in lowered.iter_mut().zip(name) {
        *to = from.to_ascii_lowercase();
    }
    COMPILED.get(str::from_utf8(lowered).ok()?).copied()
}

/// What a look-up finds.
pub trait Factory: Send + Sync {
    fn id(&self) -> u64;
}

/// A factory that is nothing but its number.
pub struct Numbered(pub u64);

impl Factory for Numbered {
    fn id(&self) -> u64 {
        black_box(self.0)
    }
}

fn factories() -> HashMap<String, Arc<dyn Factory>> {
    let numbered = NAMES.iter().zip(0..);
    numbered
        .map(|(name, id)| ((*name).to_owned(), Arc::new(Numbered(id)) as Arc<dyn Factory>))
        .collect()
}

/// Proves that `find` finds each driver under the name that is asked for.
fn check(find: &impl Fn(&str) -> u64) {
    for (name, id) in ASKED.iter().zip(0..) {
        assert_eq!(find(name), id, "{name}");
    }
}

/// One of the names, as somebody wrote it.
#[inline]
pub fn asked(turn: usize) -> &'static str {
    ASKED[turn % ASKED.len()]
}

const LOCKED: &str = "RwLock<HashMap>, lowered, Arc cloned";
const PERFECT: &str = "static phf";

const NAMES: [&str; 8] =
    ["memory", "redis", "file", "postgres", "sqlite", "memcached", "dragonfly", "layered"];
const ASKED: [&str; 8] =
    ["Memory", "REDIS", "file", "PostgreS", "SQLite", "MemCached", "Dragonfly", "LAYERED"];

static COMPILED: phf::Map<&'static str, &'static dyn Factory> = phf_map! {
    "memory" => &Numbered(0),
    "redis" => &Numbered(1),
    "file" => &Numbered(2),
    "postgres" => &Numbered(3),
    "sqlite" => &Numbered(4),
    "memcached" => &Numbered(5),
    "dragonfly" => &Numbered(6),
    "layered" => &Numbered(7),
};
