//! Texts, values and lists as applications have them in hand.

use switchboard_core::{ErrorKind, Settings};

use super::disk;

#[tokio::test]
async fn a_text_that_is_none_and_a_value_that_is_none_are_corrupt() {
    let (_disks, disk) = disk(Settings::new()).await;
    disk.put("bytes", &[0xff, 0xfe]).await.unwrap();
    for error in [
        disk.read_text("bytes").await.unwrap_err(),
        disk.read_json::<u32>("bytes").await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert_eq!(error.context_value("key"), Some("bytes"), "{error}");
        assert_eq!(error.place().unwrap().instance.as_ref(), "main", "{error}");
    }
    let note = String::from("Hello, Ada");
    disk.put("note", &note).await.unwrap();
    assert_eq!(disk.read_text("note").await.unwrap(), note);
}

#[tokio::test]
async fn a_value_that_cannot_be_written_leaves_what_is_there() {
    let (_disks, disk) = disk(Settings::new()).await;
    disk.put_json("value", &[1, 2]).await.unwrap();
    let no_key = std::collections::HashMap::from([([1], 2)]);
    let error = disk.put_json("value", &no_key).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert_eq!(disk.read_json::<Vec<u8>>("value").await.unwrap(), [1, 2]);
    let said = disk.head("value").await.unwrap().attributes;
    assert_eq!(said.content_type.as_deref(), Some("application/json"));
}

#[tokio::test]
async fn what_is_said_of_an_object_is_kept_with_it() {
    let (_disks, disk) = disk(Settings::new()).await;
    let put = disk.put("page", "…").cache_control("max-age=60");
    put.content_disposition("attachment").await.unwrap();
    let said = disk.head("page").await.unwrap().attributes;
    assert_eq!(said.cache_control.as_deref(), Some("max-age=60"));
    assert_eq!(said.content_disposition.as_deref(), Some("attachment"));
}

#[tokio::test]
async fn no_more_of_a_list_is_collected_than_was_asked_for() {
    let (_disks, disk) = disk(Settings::new()).await;
    for key in ["a", "b", "c"] {
        disk.put(key, "").await.unwrap();
    }
    let keys = disk.list("").limit(2).collect(3).await.unwrap();
    assert_eq!(keys.iter().map(|entry| &*entry.key).collect::<Vec<_>>(), ["a", "b", "c"]);
    let error = disk.list("").limit(2).collect(2).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
}
