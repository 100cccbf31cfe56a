//! Asks for a flag, swaps where flags come from, and asks again with the same handle.

use std::time::Duration;

use switchboard_core::{Environment, Error, ErrorKind, Manager, Registry, Result, Settings};
use third_party_subsystem::FlagsSubsystem;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the example shows what it does")]
async fn main() -> Result<()> {
    let manager = Manager::<FlagsSubsystem>::new(Registry::with_built_ins()?, &Environment::new())?;
    let fixed = Settings::new()
        .with("driver", "fixed")
        .with("flags", Settings::new().with("new-checkout", false));
    manager.configure("main", &fixed)?;

    let flags = manager.get("main").await?;
    println!("from the configuration: {}", flags.is_on("new-checkout").await?);

    let path = std::env::temp_dir().join(format!("flags-{}.json", std::process::id()));
    std::fs::write(&path, r#"{ "new-checkout": true }"#).map_err(|error| {
        Error::new(ErrorKind::Unavailable, "the temporary folder is not writable")
            .with_source(error)
    })?;
    let file = Settings::new().with("driver", "file").with("path", path.display().to_string());
    manager.swap("main", &file).await?.closed().await?;
    println!("from a file:            {}", flags.is_on("new-checkout").await?);

    let report = manager.close(Duration::from_secs(5)).await;
    println!("{report}");
    std::fs::remove_file(&path).ok();
    report.into_result()
}
