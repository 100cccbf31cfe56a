//! An asynchronous call through a line that has no policy.

use std::sync::Arc;

use switchboard_core::Policy;

use crate::driver::{ANSWER, Driver, KEY, Length, ReadyDriver};
use crate::line::{Contender, Goal, Line, OURS};
use crate::ours;
use crate::rig::{block_on, each_async};

pub fn line() -> Line {
    Line {
        name: "call",
        about: "Call a driver that answers at once. No gate is configured.",
        reference: BOXED,
        threads: &[1, 4],
        figure: None,
        needs: None,
        contenders: vec![ours(), boxed(), bare()],
        goals: vec![Goal::above(OURS, 50.0, BOXED, 1), Goal::above(OURS, 50.0, BOXED, 4)],
    }
}

fn ours() -> Contender {
    Contender::new(OURS, |_| {
        let handle = block_on(ours::handle(Policy::default()));
        assert_eq!(block_on(handle.get(KEY)).expect("nothing fails"), ANSWER);
        move |_| {
            let handle = handle.clone();
            each_async(async move |_| handle.get(KEY).await.expect("nothing fails"))
        }
    })
}

/// What the price of a line is added to: the driver's trait object, held directly.
fn boxed() -> Contender {
    Contender::new(BOXED, |_| {
        let driver: Arc<dyn Driver> = Arc::new(Length);
        assert_eq!(block_on(driver.get(KEY)), Ok(ANSWER));
        move |_| {
            let driver = Arc::clone(&driver);
            each_async(async move |_| driver.get(KEY).await.expect("nothing fails"))
        }
    })
}

/// The floor: not even a box around the future.
pub fn bare() -> Contender {
    Contender::new(BARE, |_| {
        let driver: Arc<dyn ReadyDriver> = Arc::new(Length);
        assert_eq!(block_on(driver.get_ready(KEY)), Ok(ANSWER));
        move |_| {
            let driver = Arc::clone(&driver);
            each_async(async move |_| driver.get_ready(KEY).await.expect("nothing fails"))
        }
    })
}

/// Also the floor of the lines of the gates.
pub const BARE: &str = "bare, ready future";
const BOXED: &str = "bare, boxed future";
