//! Reaching the current driver through something that is already held.

use std::sync::{Arc, RwLock};

use arc_swap::ArcSwap;

use switchboard_core::Policy;

use super::lookup::{Factory, Numbered, asked, look_up};
use crate::line::{Contender, Goal, Line, OURS};
use crate::ours;
use crate::rig::{block_on, each};

pub fn line() -> Line {
    Line {
        name: "handle",
        about: "Reach the current driver through a held handle, and call one method of it; a \
                look-up by name stands beside it as the price without a handle.",
        reference: LOOKED_UP,
        threads: &[1, 4],
        figure: None,
        needs: None,
        contenders: vec![ours(), held(), direct(), locked(), swapped(), looked_up()],
        goals: vec![
            Goal::times(OURS, 0.50, LOOKED_UP, 1),
            Goal::times(OURS, 0.50, LOOKED_UP, 4),
            Goal::no_allocation(OURS),
        ],
    }
}

/// A look at the current driver, which is over before anything could wait.
fn ours() -> Contender {
    Contender::new(OURS, |_| {
        let line = block_on(ours::handle(Policy::default())).0;
        assert_eq!(line.peek(|driver| driver.number()), Some(ID));
        move |_| {
            let line = line.clone();
            each(move |_| line.peek(|driver| driver.number()).expect("is built"))
        }
    })
}

/// A hold, which may be kept over waits and keeps the driver from being closed.
fn held() -> Contender {
    Contender::new("switchboard, held", |_| {
        let line = block_on(ours::handle(Policy::default())).0;
        assert_eq!(line.hold().map(|driver| driver.number()), Some(ID));
        move |_| {
            let line = line.clone();
            each(move |_| line.hold().expect("is built").number())
        }
    })
}

/// The floor: a driver that can never be exchanged.
fn direct() -> Contender {
    Contender::new("Arc<dyn> held", |_| {
        let driver = driver();
        assert_eq!(driver.id(), ID);
        move |_| {
            let driver = Arc::clone(&driver);
            each(move |_| driver.id())
        }
    })
}

/// The lock is left before the call, because a call may wait.
fn locked() -> Contender {
    Contender::new("RwLock<Arc<dyn>> read, cloned", |_| {
        let current = Arc::new(RwLock::new(driver()));
        let reach = move || Arc::clone(&current.read().expect("nobody panics")).id();
        assert_eq!(reach(), ID);
        move |_| {
            let reach = reach.clone();
            each(move |_| reach())
        }
    })
}

/// The `Arc` is cloned, because a call may wait, and guards are few.
fn swapped() -> Contender {
    Contender::new("ArcSwap load_full", |_| {
        let current = Arc::new(ArcSwap::from_pointee(driver()));
        let reach = move || current.load_full().id();
        assert_eq!(reach(), ID);
        move |_| {
            let reach = reach.clone();
            each(move |_| reach())
        }
    })
    .of(&["arc-swap"])
}

fn looked_up() -> Contender {
    Contender::new(LOOKED_UP, |_| {
        let find = |name: &str| look_up(name).expect("is registered").id();
        assert_eq!(find("PostgreS"), 3);
        move |_| each(move |turn| find(asked(turn)))
    })
    .of(&["phf"])
}

fn driver() -> Arc<dyn Factory> {
    Arc::new(Numbered(ID))
}

const LOOKED_UP: &str = "static phf look-up";
const ID: u64 = 42;
