//! Objects that come in parts, from one process or from several.

use std::time::Duration;

use switchboard_core::{ErrorKind, Result};

use super::*;
use crate::{Part, PartTag, UploadId};

const SIZE: u64 = 4;

#[tokio::test]
async fn parts_come_in_any_order_and_more_than_once() {
    for home in Home::of_each_keeping() {
        let upload = begin(&home, "a/whole").await;
        part(&home, "a/whole", &upload, 2, "g").await.unwrap();
        let old = part(&home, "a/whole", &upload, 0, "wron").await.unwrap();
        let tags = [
            part(&home, "a/whole", &upload, 0, "abcd").await.unwrap(),
            part(&home, "a/whole", &upload, 1, "efgh").await.unwrap(),
            part(&home, "a/whole", &upload, 2, "i").await.unwrap(),
        ];
        assert!(home.keys().await.is_empty(), "nothing is there yet");

        let stale = [old, tags[1].clone(), tags[2].clone()];
        for wrong in [&stale[..], &tags[1..], &[tags[0].clone(), tags[2].clone()]] {
            let error = complete(&home, "a/whole", &upload, wrong).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
        let stored = complete(&home, "a/whole", &upload, &tags).await.unwrap();
        assert_eq!(home.read("a/whole").await.unwrap(), "abcdefghi");
        let meta = home.head("a/whole").await.unwrap();
        assert_eq!(meta.checksum, Some(Checksum::of(b"abcdefghi")));
        assert_eq!((meta.version, meta.size), (stored.version, 9));
        assert_eq!(home.own("uploads"), 0);

        let late = part(&home, "a/whole", &upload, 1, "late").await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::NotFound);
        let again = complete(&home, "a/whole", &upload, &tags).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn an_upload_goes_on_where_another_process_began_it() {
    let home = Home::new();
    let upload = begin(&home, "whole").await;
    let first = part(&home, "whole", &upload, 0, "abcd").await.unwrap();
    let config = LocalConfig { root: Some(home.local.root().into()), ..LocalConfig::default() };
    let local = Arc::new(Local::open(&config, Clock::system()).unwrap());
    let next = Home { local, ..home };
    let second = part(&next, "whole", &upload, 1, "ef").await.unwrap();
    complete(&next, "whole", &upload, &[first, second]).await.unwrap();
    assert_eq!(next.read("whole").await.unwrap(), "abcdef");
}

#[tokio::test]
async fn an_upload_that_may_not_be_completed_can_be_completed_elsewise_or_given_up() {
    for home in Home::of_each_keeping() {
        home.put("whole", "there").await.unwrap();
        let upload = begin(&home, "whole").await;
        let tags = [part(&home, "whole", &upload, 0, "ab").await.unwrap()];
        let key = Key::parse("whole").unwrap();
        let absent = Write { condition: Condition::Absent, ..Write::default() };
        let error = home.local.complete(key, &upload, &tags, &absent).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        let sum = Write { checksum: Some(Checksum::of(b"other")), ..Write::default() };
        let error = home.local.complete(key, &upload, &tags, &sum).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(home.read("whole").await.unwrap(), "there");

        complete(&home, "whole", &upload, &tags).await.unwrap();
        assert_eq!(home.read("whole").await.unwrap(), "ab");
        let upload = begin(&home, "whole").await;
        home.local.abort(key, &upload).await.unwrap();
        home.local.abort(key, &upload).await.unwrap();
        assert_eq!(home.own("uploads"), 0);
    }
}

#[tokio::test]
async fn an_upload_without_parts_is_an_empty_object() {
    let home = Home::new();
    let upload = begin(&home, "empty").await;
    complete(&home, "empty", &upload, &[]).await.unwrap();
    assert_eq!(home.read("empty").await.unwrap(), "");
}

#[tokio::test]
async fn what_is_no_upload_of_that_key_is_not_found_and_nothing_is_touched() {
    let home = Home::new();
    let upload = begin(&home, "mine").await;
    home.put("victim/data", "text").await.unwrap();
    home.put("victim/parts", "text").await.unwrap();
    for made_up in ["../../victim", "victim", "", "..", "/", "0000000000000000-00000000"] {
        let made_up = UploadId(made_up.into());
        let error = part(&home, "mine", &made_up, 0, "ab").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        home.local.abort(Key::parse("mine").unwrap(), &made_up).await.unwrap();
    }
    let error = part(&home, "other", &upload, 0, "ab").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(home.keys().await, ["victim/data", "victim/parts"]);
}

#[tokio::test]
async fn what_writers_that_are_gone_have_left_is_swept_and_what_is_written_is_not() {
    let home = Home::new();
    let upload = begin(&home, "old").await;
    part(&home, "old", &upload, 0, "ab").await.unwrap();
    std::fs::write(home.path(".switchboard/tmp/0123456789abcdef"), "left").unwrap();
    let at_work = home.local.folder.temp().unwrap();
    assert_eq!(home.local.sweep(Duration::from_hours(1)).await.unwrap(), 0);
    assert_eq!(home.local.sweep(Duration::ZERO).await.unwrap(), 2);
    assert_eq!((home.own("tmp"), home.own("uploads")), (1, 0));
    drop(at_work);
    assert_eq!(home.own("tmp"), 0);
}

#[tokio::test]
async fn the_start_removes_what_is_older_than_the_settings_say() {
    use switchboard_core::Lifecycle as _;

    let home = Home::with(LocalConfig { temp_ttl: Duration::ZERO, ..LocalConfig::default() });
    begin(&home, "old").await;
    std::fs::write(home.path(".switchboard/tmp/0123456789abcdef"), "left").unwrap();
    home.local.init().await.unwrap();
    assert_eq!((home.own("tmp"), home.own("uploads")), (0, 0));
}

async fn begin(home: &Home, key: &str) -> UploadId {
    home.local.begin(Key::parse(key).unwrap(), &Write::default()).await.unwrap()
}

async fn part(
    home: &Home,
    key: &str,
    upload: &UploadId,
    number: u32,
    content: &str,
) -> Result<PartTag> {
    let checksum = Checksum::of(content.as_bytes());
    let part = Part { number, size: SIZE, checksum };
    home.local.part(Key::parse(key).unwrap(), upload, part, content.to_owned().into()).await
}

async fn complete(home: &Home, key: &str, upload: &UploadId, parts: &[PartTag]) -> Result<Stored> {
    home.local.complete(Key::parse(key).unwrap(), upload, parts, &Write::default()).await
}
