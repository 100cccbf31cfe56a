//! Registers the driver, names it in a configuration, and uses it through the same handle as any.
//!
//! Takes the address of a server: `cargo run -p third-party-driver redis://127.0.0.1:6379`.

use std::num::NonZeroU32;
use std::time::Duration;

use switchboard_cache::{Cache, Caches, Ttl};
use switchboard_core::{Environment, Manager, Registry, Result, Settings};

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "redis://127.0.0.1:6379".to_owned());

    let registry = Registry::<Caches>::with_built_ins()?;
    third_party_driver::redis::register(&registry)?;

    let caches = Manager::new(registry, &Environment::new())?;
    let redis = Settings::new().with("driver", "redis").with("url", url).with("prefix", "example");
    caches.configure("visits", &redis)?;

    let counted = count(&caches.handle("visits")?).await;
    let closed = caches.close(Duration::from_secs(5)).await;
    counted.and(closed.into_result())
}

/// Knows nothing of Redis.
#[expect(clippy::print_stdout, reason = "the example shows what it does")]
async fn count(visits: &Cache) -> Result<()> {
    let visit = visits.increment("today", 1, Ttl::days(NonZeroU32::MIN)).await?;
    let greetings = visits.typed::<String>();
    let ttl = Ttl::minutes(NonZeroU32::MIN);
    let greeting = greetings.remember("greeting", ttl, || async { Ok("hello".to_owned()) }).await?;
    println!("{greeting}, visit {visit} of today, served by {:?}", visits.line().serving());
    Ok(())
}
