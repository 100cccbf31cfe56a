//! How much room a call takes in whatever awaits it.

use std::hint::black_box;
use std::mem::size_of_val;

use switchboard_core::Policy;

use crate::station::{Station, op};

#[tokio::test(start_paused = true)]
async fn a_call_takes_little_room_and_holds_what_it_asks_only_a_few_times() {
    let station = Station::new();
    let (line, _) = station.main(Policy::default()).await;
    let plain = line.call(op::PEEK, |driver| async move { driver.ask().await });
    let large = line.call(op::PEEK, |driver| async move {
        let kept = [0_u8; 1_000];
        let answer = driver.ask().await;
        black_box(&kept);
        answer
    });
    let (plain, large) = (size_of_val(&plain), size_of_val(&large));
    assert!(plain <= 1_500, "{plain} bytes");
    assert!(large - plain <= 2_500, "1000 bytes more make it {} larger", large - plain);

    let once = line.call_once(op::PEEK, |driver| async move { driver.ask().await });
    let open = line.open(op::PEEK, |driver| async move { driver.ask().await });
    assert!(size_of_val(&once) <= 1_500 && size_of_val(&open) <= 1_500);
}
