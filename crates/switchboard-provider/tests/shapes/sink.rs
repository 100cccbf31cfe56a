//! One input, an acknowledgement.

use switchboard_core::{Effect, Priority, Result};
use switchboard_testkit::{Answer, assert_idle};

use crate::families::{Ask, Journals, Played, all, lost, retries, serving, slots, unreachable};

#[tokio::test(start_paused = true)]
async fn an_input_that_may_have_arrived_is_not_sent_again_unless_that_is_harmless() -> Result<()> {
    let played = Played::new();
    let journals = serving::<Journals>(played.clone(), retries(3))?;
    let main = journals.handle("main")?;

    played.script.expect(Ask::Send, Answer::fail(lost()));
    assert_eq!(main.send("a".to_owned()).await.unwrap_err().message(), "connection lost");
    assert_eq!(played.asked(Ask::Send), 1, "the family says that sending is unsafe");

    played.script.expect(Ask::Send, Answer::fail(unreachable()));
    main.send("b".to_owned()).await?;
    assert_eq!(played.asked(Ask::Send), 3, "it certainly had not arrived");

    played.script.expect(Ask::Send, Answer::fail(lost()));
    main.with_effect(Effect::Idempotent).send("c".to_owned()).await?;
    assert_eq!(played.asked(Ask::Send), 5, "this caller knows better");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_input_that_cannot_be_cloned_is_sent_once() -> Result<()> {
    let played = Played::new();
    let journals = serving::<Journals>(played.clone(), all(&[retries(3), slots(1)]))?;
    let main = journals.handle("main")?;
    played.script.expect(Ask::Send, Answer::fail(unreachable()));
    main.send_once("a".to_owned()).await.unwrap_err();
    assert_eq!(played.asked(Ask::Send), 1, "it was given away");
    main.send_once("a".to_owned()).await?;
    assert_idle(main.line()).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn another_member_gets_the_input_only_if_the_first_certainly_did_not() -> Result<()> {
    let (first, second) = (Played::new(), Played::new());
    let journals = serving::<Journals>(first.clone(), all(&[]))?;
    journals.insert("spare", second.clone())?;
    journals.group("both", &["main", "spare"], Priority)?;
    let both = journals.handle("both")?;

    first.script.expect(Ask::Send, Answer::fail(unreachable()));
    both.send("a".to_owned()).await?;
    assert_eq!((first.asked(Ask::Send), second.asked(Ask::Send)), (1, 1));
    first.script.expect(Ask::Send, Answer::fail(lost()));
    both.send("b".to_owned()).await.unwrap_err();
    assert_eq!((first.asked(Ask::Send), second.asked(Ask::Send)), (2, 1));
    Ok(())
}
