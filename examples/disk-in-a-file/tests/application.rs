//! What an application has of the driver: it is named in a configuration, and all else comes along.

#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use switchboard::{ErrorKind, Format, Result, Switchboard};
use tempfile::tempdir;

async fn board(configuration: &str) -> Result<Switchboard> {
    Switchboard::builder()
        .drivers(disk_in_a_file::register)
        .text("switchboard.toml", Format::Toml, configuration)
        .build()
        .await
}

async fn board_of(file: &Path) -> Switchboard {
    let configuration =
        format!("storage.drafts = {{ driver = 'redb', file = '{}' }}", file.display());
    board(&configuration).await.unwrap()
}

async fn close(board: Switchboard) {
    board.close(Duration::from_secs(5)).await.into_result().unwrap();
}

/// What kind of error a disk in that file answers with.
async fn kind_at(file: &Path) -> ErrorKind {
    let board = board_of(file).await;
    let error = board.disk("drafts").unwrap().head("a").await.unwrap_err();
    close(board).await;
    error.kind()
}

#[tokio::test]
async fn an_application_names_the_driver_and_has_all_that_every_disk_has() {
    let folder = tempdir().unwrap();
    let board = board_of(&folder.path().join("drafts.redb")).await;
    let drafts = board.disk("drafts").unwrap();
    drafts.put("letters/1.txt", "Dear Ada").metadata("author", "Bob").if_absent().await.unwrap();
    assert_eq!(drafts.read("letters/1.txt").await.unwrap(), "Dear Ada");
    let first = drafts.head("letters/1.txt").await.unwrap();
    assert_eq!(first.attributes.content_type.as_deref(), Some("text/plain"));
    assert_eq!(first.attributes.metadata["author"], "Bob");

    // What the driver does not do, the disk does over the application.
    drafts.copy("letters/1.txt", "archive/1.txt").await.unwrap();
    assert_eq!(drafts.delete_all("").everything().await.unwrap().objects, 2);
    close(board).await;
}

#[tokio::test]
async fn what_was_stored_is_there_for_another_that_has_the_file_open_and_for_one_that_comes_later()
{
    let folder = tempdir().unwrap();
    let file = folder.path().join("drafts.redb");
    let (one, other) = (board_of(&file).await, board_of(&file).await);
    other.disk("drafts").unwrap().exists("a").await.unwrap();
    one.disk("drafts").unwrap().put("a", "kept").await.unwrap();
    assert_eq!(other.disk("drafts").unwrap().read("a").await.unwrap(), "kept");
    close(one).await;
    close(other).await;
    let later = board_of(&file).await;
    assert_eq!(later.disk("drafts").unwrap().read("a").await.unwrap(), "kept");
    close(later).await;
}

#[tokio::test]
async fn a_mistake_in_the_settings_of_the_driver_is_found_before_anything_is_built() {
    let error = board("storage.drafts = { driver = 'redb', fil = 'a' }").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let told = format!("{error:?}");
    assert!(
        told.contains("storage.drafts.fil:") && told.contains("did you mean `file`?"),
        "{told}"
    );
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_a_mistake_of_the_configuration() {
    let folder = tempdir().unwrap();
    assert_eq!(kind_at(&folder.path().join("nowhere/drafts.redb")).await, ErrorKind::Config);
}

#[tokio::test]
async fn a_file_of_another_kind_is_corrupt_and_left_as_it_was() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("letter.txt");
    let letter = "Dear Ada, ".repeat(10_000);
    fs::write(&file, &letter).unwrap();
    assert_eq!(kind_at(&file).await, ErrorKind::Corrupt);
    assert_eq!(fs::read_to_string(&file).unwrap(), letter);
}

#[tokio::test]
async fn a_file_that_somebody_has_for_himself_is_unavailable_until_it_is_free() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("drafts.redb");
    let file = fs::File::create(&path).unwrap();
    file.lock().unwrap();
    assert_eq!(kind_at(&path).await, ErrorKind::Unavailable);
    file.unlock().unwrap();
    assert_eq!(kind_at(&path).await, ErrorKind::NotFound);
}

#[test]
fn the_configuration_of_the_page_is_one() {
    let page = include_str!("../../../docs/drivers.md");
    let (_, shown) = page.split_once("```toml\n[storage.letters]").unwrap();
    let shown = format!("[storage.letters]{}", shown.split_once("```").unwrap().0);
    let checked = Switchboard::builder()
        .drivers(disk_in_a_file::register)
        .text("switchboard.toml", Format::Toml, shown)
        .check();
    checked.unwrap();
}
