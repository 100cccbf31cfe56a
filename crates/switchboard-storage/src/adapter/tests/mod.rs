//! Disks where the crate `object_store` is expected: the tests that crate has for stores of others, and what they
//! do not ask.
//!
//! Three of its tests are not here: `multipart`, `multipart_with_opts` and `multipart_put_part_out_of_order` are of
//! `MultipartStore`, whose parts may be of any length and go on in other processes. A disk has to know how long
//! all parts are before the first comes, so it has only the parts of `put_multipart`, as the folder of that crate.
//! Its `response_extensions` is about answers over HTTP.

mod parquet;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{
    Attribute, GetOptions, GetRange, MultipartUpload as _, ObjectStore, ObjectStoreExt as _,
    PutMode, UpdateVersion, integration,
};
use switchboard_core::{
    Descriptor, Environment, ErrorKind, Lifecycle, Manager, Registry, Reply, Settings,
};

use crate::drivers::memory::{Memory, MemoryConfig};
use crate::{
    Disk, Disks, Fetched, Key, List, Meta, Mount, Page, Read, StorageDriver, Stored, Version, Write,
};

/// A disk of its own, and what has to live as long.
struct Mounted {
    disks: Manager<Disks>,
    mount: Mount,
    _folder: tempfile::TempDir,
}

impl Mounted {
    async fn new(settings: impl Fn(&std::path::Path) -> Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disks = Manager::new(Registry::with_built_ins().unwrap(), &Environment::new()).unwrap();
        disks.configure("main", &settings(folder.path())).unwrap();
        let disk: Disk = disks.get("main").await.unwrap();
        Self { disks, mount: disk.into(), _folder: folder }
    }

    async fn close(self) {
        self.disks.close(Duration::from_secs(10)).await.into_result().unwrap();
    }
}

fn memory() -> Settings {
    Settings::new().with("driver", "memory")
}

#[cfg(feature = "local")]
fn local(folder: &std::path::Path) -> Settings {
    Settings::new().with("driver", "local").with("root", folder.to_str().unwrap())
}

/// The tests of the crate itself, on an empty disk each.
macro_rules! tests_of_the_crate {
    ($($(#[$when:meta])? $disk:ident: $settings:expr;)+) => {
        $(
            $(#[$when])?
            mod $disk {
                use super::*;

                async fn mounted() -> Mounted {
                    Mounted::new($settings).await
                }

                tests_of_the_crate! { test
                    put_get_delete_list: |mount| integration::put_get_delete_list(mount).await;
                    put_get_attributes: |mount| integration::put_get_attributes(mount).await;
                    get_opts: |mount| integration::get_opts(mount).await;
                    put_opts: |mount| integration::put_opts(mount, true).await;
                    stream_get: |mount| integration::stream_get(mount).await;
                    list_uses_directories_correctly:
                        |mount| integration::list_uses_directories_correctly(mount).await;
                    list_with_delimiter: |mount| integration::list_with_delimiter(mount).await;
                    list_with_offset_exclusivity:
                        |mount| integration::list_with_offset_exclusivity(mount).await;
                    list_paginated: |mount| integration::list_paginated(mount, mount).await;
                    get_nonexistent_object: |mount| {
                        let got = integration::get_nonexistent_object(mount, None).await;
                        assert!(matches!(got, Err(object_store::Error::NotFound { .. })), "{got:?}");
                    };
                    rename_and_copy: |mount| integration::rename_and_copy(mount).await;
                    copy_if_not_exists: |mount| integration::copy_if_not_exists(mount).await;
                    copy_rename_nonexistent_object:
                        |mount| integration::copy_rename_nonexistent_object(mount).await;
                    multipart_race_condition:
                        |mount| integration::multipart_race_condition(mount, true).await;
                    multipart_out_of_order: |mount| integration::multipart_out_of_order(mount).await;
                }
            }
        )+
    };
    (test $($name:ident: |$mount:ident| $test:expr;)+) => {
        $(
            #[tokio::test]
            async fn $name() {
                let mounted = mounted().await;
                let $mount = &mounted.mount;
                $test;
                mounted.close().await;
            }
        )+
    };
}

tests_of_the_crate! {
    #[cfg(feature = "local")]
    local: local;
    memory: |_| memory();
    memory_beneath_a_prefix: |_| memory().with("prefix", "beneath/here");
}

/// What of the disk's errors `result` tells.
fn kind<T: std::fmt::Debug>(result: object_store::Result<T>) -> ErrorKind {
    Mount::error(result.unwrap_err()).kind()
}

async fn nothing_pends(disk: &Disk) {
    let soon = disk.line().environment().clock().now() + Duration::from_secs(5);
    disk.line().environment().reaper().idle(soon).await.unwrap();
}

#[tokio::test]
async fn the_text_of_a_path_is_the_key() {
    let Mounted { mount, .. } = &Mounted::new(|_| memory()).await;
    for key in ["a b", "50% off", "a%2Fb/c", "März/🙀", "~#[x]{y}|\\", "a\u{308}"] {
        let path = Path::parse(key).unwrap();
        mount.put(&path, key.into()).await.unwrap();
        assert_eq!(mount.disk().read(key).await.unwrap(), key);
        let listed: Vec<_> = mount.list(None).try_collect().await.unwrap();
        assert_eq!(listed[0].location, path);
        mount.delete(&path).await.unwrap();
    }
    mount.disk().put("50% off", "").await.unwrap();
    assert_eq!(kind(mount.head(&Path::from("50% off")).await), ErrorKind::NotFound);
}

#[tokio::test]
async fn what_no_disk_keeps_is_refused_and_the_rest_is_done() {
    let Mounted { mount, .. } = &Mounted::new(|_| memory()).await;
    let (kept, long) = (Path::from("kept"), Path::from("x".repeat(1025)));
    mount.put(&kept, "".into()).await.unwrap();
    assert_eq!(kind(mount.put(&long, "".into()).await), ErrorKind::InvalidInput);

    let both = futures_util::stream::iter([Ok(long), Ok(kept.clone())]).boxed();
    let answers: Vec<_> = mount.delete_stream(both).collect().await;
    assert!(matches!(&answers[..], [Err(_), Ok(deleted)] if *deleted == kept), "{answers:?}");
    assert!(!mount.disk().exists("kept").await.unwrap());

    for attribute in [Attribute::StorageClass, Attribute::Metadata("not a name".into())] {
        let attributes = object_store::Attributes::from_iter([(attribute, "x")]);
        mount.put_opts(&kept, "".into(), attributes.clone().into()).await.unwrap_err();
        mount.put_multipart_opts(&kept, attributes.into()).await.unwrap_err();
    }
    assert!(!mount.disk().exists("kept").await.unwrap());
}

#[tokio::test]
async fn conditions_may_name_several_versions_or_any() {
    let Mounted { mount, .. } = &Mounted::new(|_| memory()).await;
    let path = Path::from("key");
    let version = mount.put(&path, "abc".into()).await.unwrap().e_tag.unwrap();
    let (several, others) = (format!("other, {version}"), "this,that".to_owned());
    let get = |options: GetOptions| mount.get_opts(&path, options);

    for there in ["*", &several, &version] {
        get(GetOptions::new().with_if_match(Some(there))).await.unwrap();
        let options = GetOptions::new().with_if_none_match(Some(there));
        for options in [options.clone(), options.with_head(true)] {
            let got = get(options).await;
            assert!(
                matches!(got, Err(object_store::Error::NotModified { .. })),
                "{there}: {got:?}"
            );
        }
    }
    for options in [GetOptions::new(), GetOptions::new().with_head(true)] {
        get(options.clone().with_if_none_match(Some(&*others))).await.unwrap();
        let got = get(options.with_if_match(Some(&*others))).await;
        assert!(matches!(got, Err(object_store::Error::Precondition { .. })), "{got:?}");
    }
    assert_eq!(kind(get(GetOptions::new().with_version(Some("1"))).await), ErrorKind::Unsupported);
}

#[tokio::test]
async fn an_update_without_a_version_changes_nothing() {
    let Mounted { mount, .. } = &Mounted::new(|_| memory()).await;
    let path = Path::from("key");
    mount.put(&path, "before".into()).await.unwrap();
    let mode = PutMode::Update(UpdateVersion { e_tag: None, version: Some("1".to_owned()) });
    let updated = mount.put_opts(&path, "after".into(), mode.into()).await;
    assert_eq!(kind(updated), ErrorKind::InvalidInput);
    assert_eq!(mount.disk().read("key").await.unwrap(), "before");
}

#[tokio::test]
async fn a_copy_onto_itself_that_must_not_replace_is_refused() {
    let Mounted { mount, .. } = &Mounted::new(|_| memory()).await;
    let path = Path::from("key");
    let version = mount.put(&path, "abc".into()).await.unwrap().e_tag;
    for copied in [
        mount.copy_if_not_exists(&path, &path).await,
        mount.rename_if_not_exists(&path, &path).await,
    ] {
        assert!(matches!(copied, Err(object_store::Error::AlreadyExists { .. })), "{copied:?}");
    }
    mount.rename(&path, &path).await.unwrap();
    mount.copy(&path, &path).await.unwrap();
    assert_eq!(mount.head(&path).await.unwrap().e_tag, version);
}

#[tokio::test]
async fn many_ranges_are_those_of_one_object_or_an_error() {
    // No limit for those who ask a disk for bytes is one for data tools.
    let settings = |_: &std::path::Path| memory().with("read_max", "100KiB");
    let Mounted { mount, .. } = &Mounted::new(settings).await;
    let path = Path::from("key");
    let bytes: Bytes = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    mount.put(&path, bytes.clone().into()).await.unwrap();

    // Two that lie near each other, one inside another, and one far away, in no order.
    let ranges = [11_000_000..11_000_004, 0..200_000, 4..6, 100..200];
    let read = mount.get_ranges(&path, &ranges).await.unwrap();
    for (range, read) in ranges.iter().zip(read) {
        let [start, end] = [range.start, range.end].map(|at| usize::try_from(at).unwrap());
        assert_eq!(read, bytes[start..end]);
    }
    assert!(mount.get_ranges(&path, &[]).await.unwrap().is_empty());

    let end = bytes.len() as u64;
    #[expect(clippy::reversed_empty_ranges, reason = "this is what is refused")]
    let wrong = [end..end + 1, end + 9..end + 10, 5..5, 5..3];
    for wrong in wrong {
        let read = mount.get_ranges(&path, &[0..8, wrong.clone()]).await;
        assert_eq!(kind(read), ErrorKind::InvalidInput, "{wrong:?}");
    }
    let past = mount.get_ranges(&path, &[0..1, end - 4..end + 4]).await.unwrap();
    assert_eq!(past[1], bytes[bytes.len() - 4..]);
    let last = GetOptions::new().with_range(Some(GetRange::Suffix(4)));
    assert_eq!(mount.get_opts(&path, last).await.unwrap().bytes().await.unwrap(), past[1]);
}

/// A disk on which somebody replaces whatever has just been opened.
struct Restless(Memory);

impl StorageDriver for Restless {
    fn get<'a>(&'a self, key: Key<'a>, read: &'a Read) -> Reply<'a, Option<Fetched>> {
        Reply::run(async move {
            let fetched = self.0.get(key, read).await?;
            self.0.put(key, vec![1; 4 << 20].into(), &Write::default()).await?;
            Ok(fetched)
        })
    }

    fn head<'a>(&'a self, key: Key<'a>) -> Reply<'a, Meta> {
        self.0.head(key)
    }

    fn put<'a>(&'a self, key: Key<'a>, content: Bytes, write: &'a Write) -> Reply<'a, Stored> {
        self.0.put(key, content, write)
    }

    fn delete<'a>(&'a self, key: Key<'a>, only: Option<&'a Version>) -> Reply<'a, bool> {
        self.0.delete(key, only)
    }

    fn list<'a>(&'a self, list: &'a List) -> Reply<'a, Page> {
        self.0.list(list)
    }
}

impl Lifecycle for Restless {}

async fn restless(settings: Settings) -> (Manager<Disks>, Mount) {
    let registry = Registry::empty();
    let make = |config: MemoryConfig, build: switchboard_core::BuildContext| async move {
        Ok(Restless(Memory::new(&config, build.clock().clone())))
    };
    crate::register(&registry, Descriptor::new("restless"), make).unwrap();
    let disks = Manager::<Disks>::new(registry, &Environment::new()).unwrap();
    disks.configure("main", &settings.with("driver", "restless")).unwrap();
    let mount = Mount::new(disks.get("main").await.unwrap());
    (disks, mount)
}

#[tokio::test]
async fn ranges_of_two_versions_are_never_mixed() {
    let (_disks, mount) = restless(Settings::new()).await;
    let path = Path::from("key");
    mount.put(&path, vec![0; 4 << 20].into()).await.unwrap();
    let near = mount.get_ranges(&path, &[0..2, 2..4]).await.unwrap();
    assert_eq!(near, [vec![0, 0], vec![0, 0]]);
    let far = mount.get_ranges(&path, &[0..2, 3 << 20..4 << 20]).await;
    assert_eq!(kind(far), ErrorKind::Conflict);
}

#[tokio::test]
async fn parts_of_any_lengths_make_one_object() {
    let settings = |_: &std::path::Path| memory().with("part_size", "1KiB");
    let Mounted { mount, .. } = &Mounted::new(settings).await;
    let path = Path::from("key");
    for lengths in [&[][..], &[0], &[1], &[1024], &[700, 324], &[3000, 1, 0, 5000, 72], &[1025, 7]]
    {
        let mut upload = mount.put_multipart(&path).await.unwrap();
        let mut all = Vec::new();
        let parts: Vec<_> = lengths
            .iter()
            .map(|length| {
                let part: Vec<u8> =
                    (all.len()..all.len() + length).map(|at| at.to_le_bytes()[0]).collect();
                all.extend_from_slice(&part);
                upload.put_part(part.into())
            })
            .collect();
        // The last one first.
        for part in parts.into_iter().rev() {
            part.await.unwrap();
        }
        let stored = upload.complete().await.unwrap();
        assert_eq!(mount.disk().read("key").await.unwrap(), all, "{lengths:?}");
        assert_eq!(mount.head(&path).await.unwrap().e_tag, stored.e_tag);
        upload.put_part("more".into()).await.unwrap_err();
        upload.complete().await.unwrap_err();
    }
}

#[tokio::test]
async fn parts_are_cut_to_the_end_as_they_were_at_the_beginning() {
    let Mounted { mount, disks, .. } = &Mounted::new(|_| memory().with("part_size", "1KiB")).await;
    let path = Path::from("key");
    let mut upload = mount.put_multipart(&path).await.unwrap();
    let swapped = disks.swap("main", &memory().with("part_size", "2KiB")).await.unwrap();
    drop(swapped);
    for _ in 0..2 {
        upload.put_part(vec![1; 1024].into()).await.unwrap();
    }
    upload.complete().await.unwrap();
    assert_eq!(mount.disk().read("key").await.unwrap(), [1; 2048].as_slice());
}

#[tokio::test]
async fn a_driver_that_takes_no_parts_is_given_the_object_at_once() {
    let settings = Settings::new().with("part_size", "1KiB").with("read_max", "4KiB");
    let (_disks, mount) = restless(settings).await;
    let path = Path::from("key");
    let mut upload = mount.put_multipart(&path).await.unwrap();
    for part in [[1; 2048], [2; 2048]] {
        upload.put_part(part.to_vec().into()).await.unwrap();
    }
    upload.complete().await.unwrap();
    let read = mount.get(&path).await.unwrap().bytes().await.unwrap();
    assert_eq!(read, [[1; 2048], [2; 2048]].concat());

    mount.delete(&path).await.unwrap();
    let mut upload = mount.put_multipart(&path).await.unwrap();
    upload.put_part(vec![1; 4096].into()).await.unwrap();
    assert_eq!(kind(upload.put_part(vec![1].into()).await), ErrorKind::TooLarge);
    upload.complete().await.unwrap_err();
    assert_eq!(kind(mount.head(&path).await), ErrorKind::NotFound);
}

#[tokio::test]
async fn an_upload_that_lacks_a_part_is_not_completed_and_nothing_of_it_stays() {
    let settings =
        |_: &std::path::Path| memory().with("part_size", "1KiB").with("max_bytes", "4KiB");
    let Mounted { mount, .. } = &Mounted::new(settings).await;
    let path = Path::from("key");
    for (lacks, with_rest) in [(0, false), (1, false), (1, true)] {
        let mut upload = mount.put_multipart(&path).await.unwrap();
        for number in 0..2 {
            let part = upload.put_part(vec![1; 1024].into());
            if number != lacks {
                part.await.unwrap();
            }
        }
        if with_rest {
            upload.put_part("rest".into()).await.unwrap();
        }
        assert_eq!(kind(upload.complete().await), ErrorKind::InvalidInput);
        assert_eq!(kind(mount.head(&path).await), ErrorKind::NotFound);
        nothing_pends(mount.disk()).await;
    }
    let mut upload = mount.put_multipart(&path).await.unwrap();
    let waiting = upload.put_part(vec![1; 1024].into());
    assert_eq!(kind(upload.complete().await), ErrorKind::InvalidInput);
    assert_eq!(
        kind(waiting.await.map(|()| "sent").and(upload.complete().await)),
        ErrorKind::InvalidInput
    );

    let mut upload = mount.put_multipart(&path).await.unwrap();
    upload.put_part(vec![1; 1024].into()).await.unwrap();
    drop(upload);
    let mut upload = mount.put_multipart(&path).await.unwrap();
    upload.put_part(vec![1; 1024].into()).await.unwrap();
    upload.abort().await.unwrap();

    nothing_pends(mount.disk()).await;
    mount.put(&path, vec![0; 4096].into()).await.expect("nothing else is kept");
}

#[tokio::test]
async fn a_disk_that_is_only_for_reading_is_one_here() {
    let Mounted { mount, .. } = &Mounted::new(|_| memory()).await;
    let path = Path::from("key");
    mount.put(&path, "abc".into()).await.unwrap();
    let mount: Arc<dyn ObjectStore> = Arc::new(Mount::new(mount.disk().read_only()));
    assert_eq!(mount.get(&path).await.unwrap().bytes().await.unwrap(), "abc");

    let refusals = [
        mount.put(&path, "".into()).await.map(drop),
        mount.put_multipart(&path).await.map(drop),
        mount.delete(&path).await,
        mount.copy(&path, &Path::from("to")).await,
        mount.rename(&path, &Path::from("to")).await,
    ];
    for refusal in refusals {
        assert!(
            matches!(refusal, Err(object_store::Error::PermissionDenied { .. })),
            "{refusal:?}"
        );
    }
}
