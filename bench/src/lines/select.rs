//! Choosing one of several members, one of which is down.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use switchboard_core::{Candidates, RoundRobin, Selector};

use crate::line::{Contender, Goal, Line, OURS};
use crate::rig::{block_on, each_async};

pub fn line() -> Line {
    Line {
        name: "select",
        about: "Choose the next of 4 members in turn, one of which is down, and hold it.",
        reference: ASKED,
        threads: &[1, 4],
        figure: None,
        needs: None,
        contenders: vec![ours(), asked(), counted()],
        goals: vec![
            Goal::times(OURS, 0.08, ASKED, 1),
            Goal::times(OURS, 0.80, COUNTED, 1),
            Goal::times(OURS, 0.50, COUNTED, 4),
            Goal::no_allocation(OURS),
        ],
    }
}

/// The product's selector over a snapshot of members, which is what a group does for each call. Health
/// is a bit that something else sets.
fn ours() -> Contender {
    Contender::new(OURS, |_| {
        let group = Arc::new(Ours::default());
        block_on(check(async || group.select().number()));
        move |_| {
            let group = Arc::clone(&group);
            each_async(async move |_| group.select().number())
        }
    })
}

struct Ours {
    members: Vec<Arc<Member>>,
    selector: Box<dyn Selector>,
    down: AtomicU64,
}

impl Ours {
    fn select(&self) -> Arc<Member> {
        let down = self.down.load(Ordering::Relaxed);
        let candidates = Candidates::all(self.members.len()).with_down(down);
        let picked = self.selector.pick(candidates).expect("three are up");
        Arc::clone(&self.members[picked])
    }
}

impl Default for Ours {
    fn default() -> Self {
        Self {
            members: members().map(|(_, member)| Arc::new(member)).collect(),
            selector: Box::new(RoundRobin::new()),
            down: AtomicU64::new(1 << DOWN),
        }
    }
}

/// A locked map, copied and sorted, each member asked whether it is there: the shape of the
/// selectors that Switchboard grew from.
fn asked() -> Contender {
    Contender::new(ASKED, |_| {
        let group = Arc::new(Asked::default());
        block_on(check(async || group.select().await.number()));
        move |_| {
            let group = Arc::clone(&group);
            each_async(async move |_| group.select().await.number())
        }
    })
}

struct Asked {
    members: RwLock<HashMap<String, Arc<dyn Provider>>>,
    next: AtomicUsize,
}

impl Asked {
    async fn select(&self) -> Arc<dyn Provider> {
        let members = self.members.read().expect("nobody panics").clone();
        let mut names: Vec<&String> = members.keys().collect();
        names.sort();
        let mut available = Vec::with_capacity(names.len());
        for name in names {
            if members[name].is_available().await {
                available.push(Arc::clone(&members[name]));
            }
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        available.swap_remove(turn % available.len())
    }
}

impl Default for Asked {
    fn default() -> Self {
        let members = members().map(|(name, member)| (name, Arc::new(member) as Arc<dyn Provider>));
        Self { members: RwLock::new(members.collect()), next: AtomicUsize::new(0) }
    }
}

/// A snapshot of the members, health as a flag that something else sets, one counter for all.
fn counted() -> Contender {
    Contender::new(COUNTED, |_| {
        let group = Arc::new(Counted::default());
        block_on(check(async || group.select().number()));
        move |_| {
            let group = Arc::clone(&group);
            each_async(async move |_| group.select().number())
        }
    })
    .of(&["arc-swap"])
}

struct Counted {
    members: ArcSwap<Vec<Arc<Member>>>,
    next: AtomicUsize,
}

impl Counted {
    fn select(&self) -> Arc<Member> {
        let members = self.members.load();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let mut from_turn = (0..members.len()).map(|step| &members[(turn + step) % members.len()]);
        let found = from_turn.find(|member| member.up.load(Ordering::Relaxed));
        Arc::clone(found.expect("three are up"))
    }
}

impl Default for Counted {
    fn default() -> Self {
        let members = members().map(|(_, member)| Arc::new(member)).collect();
        Self { members: ArcSwap::from_pointee(members), next: AtomicUsize::new(0) }
    }
}

#[async_trait]
trait Provider: Send + Sync {
    async fn is_available(&self) -> bool;

    fn number(&self) -> usize;
}

/// One of four; the one numbered [`DOWN`] is down.
struct Member {
    number: usize,
    up: AtomicBool,
}

#[async_trait]
impl Provider for Member {
    async fn is_available(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    fn number(&self) -> usize {
        self.number
    }
}

fn members() -> impl Iterator<Item = (String, Member)> {
    let member = |number| Member { number, up: AtomicBool::new(number != DOWN) };
    (0..MEMBERS).map(move |number| (format!("provider-{number}"), member(number)))
}

/// Proves that only members that are up are chosen, and each of them.
async fn check(mut select: impl AsyncFnMut() -> usize) {
    let mut chosen = [0_usize; MEMBERS];
    for _ in 0..1_200 {
        chosen[select().await] += 1;
    }
    assert_eq!(chosen[DOWN], 0, "{chosen:?}");
    assert!(chosen.iter().filter(|times| **times >= 300).count() == MEMBERS - 1, "{chosen:?}");
}

const ASKED: &str = "RwLock<HashMap>, sorted, each asked";
const COUNTED: &str = "arc-swap, shared counter, flags";

const MEMBERS: usize = 4;
const DOWN: usize = 2;
