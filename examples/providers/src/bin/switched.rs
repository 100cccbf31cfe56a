//! One provider, switched at run time between two implementations.
//!
//! Words are counted in this process, then by the system's `wc`, then in this process again. Callers
//! go on all the time, hold one handle, and notice nothing.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_core::{
    Descriptor, Effect, Environment, Error, ErrorKind, Lifecycle, Manager, NoSettings, Op,
    Registry, Reply, Result, Settings, Subsystem,
};
use switchboard_provider::{Provider, RequestResponse, Requester, function, request_response};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the example shows what it does")]
async fn main() -> Result<()> {
    let words = Manager::<Words>::new(Registry::with_built_ins()?, &Environment::new())?;
    let here = Settings::new().with("driver", "here");
    let elsewhere = Settings::new().with("driver", "command").with("program", "wc");
    words.configure("main", &here)?;
    let main = words.get("main").await?;

    let (calls, failures, is_over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let caller = async || {
        while !is_over.load(Ordering::Relaxed) {
            let counted = main.execute("the quick brown fox".to_owned()).await;
            calls.fetch_add(1, Ordering::Relaxed);
            failures.fetch_add(u64::from(!matches!(counted, Ok(4))), Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    };
    let operator = async || {
        for settings in [&elsewhere, &here] {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let swapped = words.swap("main", settings).await?;
            let serving = main.line().serving().map_or("nobody", |(driver, _)| driver);
            println!("generation {}: words are counted by `{serving}`", swapped.generation);
            swapped.closed().await?;
        }
        is_over.store(true, Ordering::Relaxed);
        Ok::<(), Error>(())
    };
    let (switched, ..) = tokio::join!(operator(), caller(), caller(), caller());
    switched?;

    assert_eq!(main.line().figures()[0].succeeded, calls.load(Ordering::Relaxed));
    println!("calls that failed or counted wrong: {}", failures.load(Ordering::Relaxed));
    words.close(Duration::from_secs(5)).await.into_result()
}

/// Whatever can count the words of a text.
struct Words;

impl Subsystem for Words {
    const NAME: &'static str = "words";
    const OPERATIONS: &'static [Op] = request_response::operations(Effect::Read);
    type Driver = dyn RequestResponse<String, u64>;
    type Handle = Requester<Self>;

    fn register_built_ins(registry: &Registry<Self>) -> Result<()> {
        registry.register(
            Descriptor::new("here").summary("counts in this process"),
            |_: NoSettings, _| async {
                Ok(function::request_response("here", |text: String| async move {
                    Ok(text.split_whitespace().count() as u64)
                }))
            },
        )?;
        registry.register(
            Descriptor::new("command").summary("asks a program that counts as `wc -w` does"),
            |config: CountingConfig, _| async move { Ok(Counting(config)) },
        )
    }
}

/// The program to ask.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CountingConfig {
    program: String,
}

/// Asks a program, anew for each text.
struct Counting(CountingConfig);

impl Lifecycle for Counting {}

impl Provider for Counting {
    fn name(&self) -> &str {
        &self.0.program
    }
}

impl RequestResponse<String, u64> for Counting {
    fn execute(&self, text: String) -> Reply<'_, u64> {
        Reply::run(async move {
            let mut program = Command::new(&self.0.program)
                .arg("-w")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .map_err(unavailable)?;
            if let Some(mut input) = program.stdin.take() {
                input.write_all(text.as_bytes()).await.map_err(unavailable)?;
            }
            let output = program.wait_with_output().await.map_err(unavailable)?;
            String::from_utf8_lossy(&output.stdout).trim().parse().map_err(|error| {
                Error::new(ErrorKind::Corrupt, "the program did not say a number")
                    .with_source(error)
            })
        })
    }
}

fn unavailable(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the program could not be asked").with_source(error)
}
