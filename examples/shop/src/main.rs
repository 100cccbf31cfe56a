//! A shop under load. Its cache is swapped by editing `switchboard.toml` while it runs.
//!
//!     cargo run --release -p shop
//!
//! It prints a line for each second, and one whenever the configuration was read again: after an edit,
//! or a SIGHUP. Ctrl-C ends it.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "printing is what the program is for"
)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use switchboard::{Cache, Switchboard};
use switchboard_core::Result;
use tokio::task::JoinSet;

#[tokio::main]
async fn main() -> ExitCode {
    let file = std::env::args().nth(1).map_or_else(default_file, PathBuf::from);
    match run(file).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::from(2)
        }
    }
}

async fn run(file: PathBuf) -> Result<()> {
    println!("shop: reads {}", file.display());
    let board = Switchboard::builder().file(file).build().await?;
    board.on_record(|record| println!("{} by {}: {}", record.action, record.by, record.outcome));
    let _watching = (board.watch_files()?, board.reload_on_hangup()?);

    let counts = Arc::new(Counts::default());
    let mut customers = JoinSet::new();
    for number in 0..CUSTOMERS {
        customers.spawn(shop(number, board.cache("carts")?, Arc::clone(&counts)));
    }
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.tick().await;
    loop {
        tokio::select! {
            _ = second.tick() => println!("{}", counts.line(&board)),
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    counts.is_over.store(true, Ordering::Relaxed);
    customers.join_all().await;
    board.close(Duration::from_secs(5)).await.into_result()
}

/// One customer: looks into the cart, puts something in, and again.
async fn shop(number: u64, carts: Cache, counts: Arc<Counts>) {
    let cart = format!("cart-{number}");
    while !counts.is_over.load(Ordering::Relaxed) {
        let found = carts.get(&cart).await;
        let put = carts.forever(&cart, "a book").await;
        counts.calls.fetch_add(2, Ordering::Relaxed);
        counts.hits.fetch_add(u64::from(matches!(found, Ok(Some(_)))), Ordering::Relaxed);
        let failed = u64::from(found.is_err()) + u64::from(put.is_err());
        counts.failed.fetch_add(failed, Ordering::Relaxed);
        tokio::task::yield_now().await;
    }
}

#[derive(Default)]
struct Counts {
    calls: AtomicU64,
    hits: AtomicU64,
    failed: AtomicU64,
    is_over: AtomicBool,
}

impl Counts {
    /// What has happened since the last line.
    fn line(&self, board: &Switchboard) -> String {
        let carts = board.instances().into_iter().find(|view| view.name == "carts");
        let (driver, generation) =
            carts.map_or_else(Default::default, |carts| (carts.driver, carts.generation));
        let [calls, hits, failed] =
            [&self.calls, &self.hits, &self.failed].map(|count| count.swap(0, Ordering::Relaxed));
        let driver = driver.unwrap_or_default();
        format!(
            "{calls} calls, {hits} hits, {failed} failed; driver {driver}, generation {generation}"
        )
    }
}

/// The file beside this program's manifest, wherever it is started.
fn default_file() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "switchboard.toml"].iter().collect()
}

const CUSTOMERS: u64 = 64;
