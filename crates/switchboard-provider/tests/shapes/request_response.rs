//! One input, one output.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use switchboard_core::{Effect, Error, ErrorKind, NoSettings, Policy, Result, RetryPolicy};
use switchboard_provider::function;

use crate::families::{Lengths, by, serving};

#[tokio::test(start_paused = true)]
async fn a_family_is_configured_swapped_and_listed_like_any_subsystem() -> Result<()> {
    let lengths = switchboard_core::Manager::<Lengths>::new(
        switchboard_core::Registry::empty(),
        &switchboard_core::Environment::new(),
    )?;
    let register = |name: &'static str, factor: usize| {
        lengths.registry().register(name, move |_: NoSettings, _| async move {
            Ok(function::request_response(name, move |text: String| async move {
                Ok(text.len() * factor)
            }))
        })
    };
    register("plain", 1)?;
    register("double", 2)?;
    lengths.configure("main", &by("plain"))?;
    let main = lengths.get("main").await?;
    assert_eq!(main.execute("four".to_owned()).await?, 4);

    lengths.swap("main", &by("double")).await?.closed().await?;
    assert_eq!(main.execute("four".to_owned()).await?, 8, "the handle follows");
    let info = lengths.instances().remove(0);
    assert_eq!((info.driver.as_deref(), info.generation), (Some("double"), 2));
    assert_eq!(main.line().figures()[0].succeeded, 2);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_may_be_repeated_is_said_by_the_family_or_the_handle() -> Result<()> {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    let failing = function::request_response("failing", move |_: String| {
        let calls = counted.clone();
        async move {
            calls.fetch_add(1, Ordering::Relaxed);
            Err::<usize, _>(Error::new(ErrorKind::Unavailable, "connection lost"))
        }
    });
    let policy = Policy { retry: Some(RetryPolicy::default()), ..Policy::default() };
    let lengths = serving::<Lengths>(failing, policy)?;
    let main = lengths.handle("main")?;

    main.execute(String::new()).await.unwrap_err();
    assert_eq!(calls.swap(0, Ordering::Relaxed), 3);
    main.with_effect(Effect::Unsafe).execute(String::new()).await.unwrap_err();
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_handle_that_is_composed_with_others_is_as_its_instance_was_last_found() -> Result<()> {
    struct Away;
    impl switchboard_core::Lifecycle for Away {}
    impl switchboard_provider::Provider for Away {
        fn name(&self) -> &'static str {
            "away"
        }

        fn is_available(&self) -> switchboard_core::Reply<'_, bool> {
            switchboard_core::Reply::ready(Ok(false))
        }
    }
    impl switchboard_provider::RequestResponse<String, usize> for Away {
        fn execute(&self, text: String) -> switchboard_core::Reply<'_, usize> {
            switchboard_core::Reply::ready(Ok(text.len()))
        }
    }
    use switchboard_core::{Lifecycle as _, Status};
    use switchboard_provider::Provider as _;

    let lengths = serving::<Lengths>(Away, Policy::default())?;
    let main = lengths.handle("main")?;
    assert!(main.is_available().await?, "nobody has looked");
    lengths.health(std::time::Duration::from_secs(1)).await;
    assert!(!main.is_available().await?);
    assert_eq!(main.health().await?.status, Status::Down);
    Ok(())
}
