//! What an application has of the driver: it is named in a configuration, and all else comes along.

#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

use std::time::Duration;

use switchboard::{ErrorKind, Format, Result, Switchboard};
use switchboard_testkit::{service_url, unique};

async fn board(configuration: &str) -> Result<Switchboard> {
    Switchboard::builder()
        .drivers(third_party_disk::register)
        .text("switchboard.toml", Format::Toml, configuration)
        .build()
        .await
}

fn configuration(namespace: &str) -> String {
    let url = service_url("redis", "redis://127.0.0.1:6379/0");
    format!("[storage.drafts]\ndriver = 'redis'\nurl = '{url}'\nnamespace = '{namespace}'\n")
}

#[tokio::test]
async fn an_application_names_the_driver_and_has_all_that_every_disk_has() {
    let board = board(&configuration(&unique("drafts"))).await.unwrap();
    let drafts = board.disk("drafts").unwrap();
    drafts.put("letters/1.txt", "Dear Ada").metadata("author", "Bob").if_absent().await.unwrap();
    assert_eq!(drafts.read("letters/1.txt").await.unwrap(), "Dear Ada");
    let first = drafts.head("letters/1.txt").await.unwrap();
    assert_eq!(first.attributes.content_type.as_deref(), Some("text/plain"));
    assert_eq!(first.attributes.metadata["author"], "Bob");

    // What the driver does not do, the disk does over the application.
    drafts.copy("letters/1.txt", "archive/1.txt").await.unwrap();
    assert_eq!(drafts.delete_all("").everything().await.unwrap().objects, 2);
    board.close(Duration::from_secs(5)).await.into_result().unwrap();
}

#[tokio::test]
async fn a_mistake_in_the_settings_of_the_driver_is_found_before_anything_is_built() {
    let mistaken = configuration("drafts").replace("namespace", "namespce");
    let error = board(&mistaken).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let told = format!("{error:?}");
    assert!(told.contains("namespce") && told.contains("namespace"), "{told}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable_and_nothing_happened() {
    let nowhere = "storage.drafts = { driver = 'redis', url = 'redis://:secret@127.0.0.1:1', namespace = 'a' }";
    let board = board(nowhere).await.unwrap();
    let error = board.disk("drafts").unwrap().put("a", "b").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.outcome(), switchboard::core::Outcome::NotApplied);
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    board.close(Duration::from_secs(5)).await.into_result().unwrap();
}

#[tokio::test]
async fn a_password_that_is_wrong_is_told_as_such_and_not_shown() {
    let stranger = format!("redis://{}:not-so-secret@", unique("stranger"));
    let mistaken = configuration("drafts").replace("redis://", &stranger);
    let board = board(&mistaken).await.unwrap();
    let error = board.disk("drafts").unwrap().head("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error:?}");
    assert!(!format!("{error:?}").contains("not-so-secret"), "{error:?}");
    board.close(Duration::from_secs(5)).await.into_result().unwrap();
}

#[test]
fn the_configuration_of_the_page_is_one() {
    let page = include_str!("../../../docs/drivers.md");
    let (_, shown) = page.split_once("```toml\n[storage.drafts]").unwrap();
    let shown = format!("[storage.drafts]{}", shown.split_once("```").unwrap().0);
    let checked = Switchboard::builder()
        .drivers(third_party_disk::register)
        .variables([("REDIS_URL", service_url("redis", "redis://127.0.0.1:6379/0"))])
        .text("switchboard.toml", Format::Toml, shown)
        .check();
    checked.unwrap();
}
