//! What a driver does not declare, it refuses, and changes nothing.

use switchboard_core::{ErrorKind, Result};
use switchboard_testkit::rules::{Verdict, ensure, refused};

use super::subject::{ensure_content, held, place, plain};
use super::{Failure, Subject};
use crate::{
    Condition, Key, List, Method, Part, PartTag, Sign, StorageDriver, UploadId, Version, Write,
    capability,
};

/// A condition above all is never left out.
pub(super) async fn what_is_not_declared_is_unsupported_and_changes_nothing(
    on: &Subject,
) -> Verdict {
    on.stock("there", "as it was").await?;
    on.stock("from", "another").await?;
    for declared in ALL {
        if !on.can(declared) {
            refuses(on, declared).await.map_err(|failure| failure.about(declared))?;
            ensure_content(on.disk(), "there", b"as it was", declared).await?;
            ensure(!on.disk().exists("new").await?, || format!("{declared} made something"))?;
        }
    }
    Ok(())
}

async fn refuses(on: &Subject, declared: &str) -> Verdict {
    let held = held(on.disk())?;
    let driver = held.driver();
    let (there, new, from) = (place(&held, "there"), place(&held, "new"), place(&held, "from"));
    let (there, new, from) = (Key::parse(&there)?, Key::parse(&new)?, Key::parse(&from)?);
    let version = driver.head(there).await?.version;
    let content = "…";
    let always = plain(content.as_bytes());
    match declared {
        capability::CREATE => {
            let write = Write { condition: Condition::Absent, ..plain(content.as_bytes()) };
            for key in [there, new] {
                unsupported(driver.put(key, content.into(), &write).await)?;
                if on.can(capability::PARTS) {
                    unsupported(driver.begin(key, &write).await)?;
                }
                if on.can(capability::COPY) {
                    unsupported(driver.copy(from, key, &Condition::Absent).await)?;
                }
            }
        }
        capability::REPLACE => {
            for version in [version, Version::new("another")] {
                let condition = Condition::Version(version);
                let write = Write { condition: condition.clone(), ..plain(content.as_bytes()) };
                unsupported(driver.put(there, content.into(), &write).await)?;
                if on.can(capability::COPY) {
                    unsupported(driver.copy(from, there, &condition).await)?;
                }
            }
        }
        capability::DELETE_VERSION => {
            for version in [version, Version::new("another")] {
                unsupported(driver.delete(there, Some(&version)).await)?;
            }
        }
        capability::COPY => {
            for key in [there, new] {
                unsupported(driver.copy(from, key, &Condition::Always).await)?;
            }
        }
        capability::RENAME => {
            for key in [there, new] {
                unsupported(driver.rename(from, key, &Condition::Always).await)?;
            }
        }
        capability::PARTS => refuses_parts(driver, new).await?,
        capability::SIGN => {
            for method in [Method::Get, Method::Head, Method::Put, Method::Delete] {
                unsupported(driver.sign(&sign(method)).await)?;
            }
        }
        capability::WRITE => {
            for key in [there, new] {
                unsupported(driver.put(key, content.into(), &always).await)?;
                unsupported(driver.delete(key, None).await)?;
            }
            for answer in unsupported_or(driver.delete_many(&[there]).await)? {
                unsupported(answer)?;
            }
        }
        capability::LIST => {
            let list =
                List { prefix: String::new(), is_flat: false, after: None, token: None, limit: 10 };
            unsupported(driver.list(&list).await)?;
        }
        _ => {}
    }
    Ok(())
}

async fn refuses_parts(driver: &dyn StorageDriver, key: Key<'_>) -> Verdict {
    let (upload, write) = (UploadId("1".to_owned()), Write::default());
    unsupported(driver.begin(key, &write).await)?;
    let part = Part { number: 0, size: 1, checksum: crate::Checksum::of(b"a") };
    unsupported(driver.part(key, &upload, part, "a".into()).await)?;
    let tags = [PartTag("1".to_owned())];
    unsupported(driver.complete(key, &upload, &tags, &write).await)?;
    unsupported(driver.abort(key, &upload).await)
}

fn sign(method: Method) -> Sign {
    Sign {
        method,
        key: "there".to_owned(),
        ttl: std::time::Duration::from_mins(1),
        content_type: None,
        content_disposition: None,
        size_max: None,
    }
}

fn unsupported<T: std::fmt::Debug>(answer: Result<T>) -> Verdict {
    refused(answer, ErrorKind::Unsupported, "what is not declared").map(drop)
}

/// What there is for each, where it is not refused as a whole.
fn unsupported_or<T: std::fmt::Debug>(
    answer: Result<Vec<Result<T>>>,
) -> std::result::Result<Vec<Result<T>>, Failure> {
    match answer {
        Ok(each) => Ok(each),
        whole => unsupported(whole).map(|()| Vec::new()),
    }
}

/// What a driver may leave out, and is then asked for. That attributes, checksums and nested keys are not kept
/// shows where they are told.
const ALL: [&str; 9] = [
    capability::CREATE,
    capability::REPLACE,
    capability::DELETE_VERSION,
    capability::COPY,
    capability::RENAME,
    capability::PARTS,
    capability::SIGN,
    capability::WRITE,
    capability::LIST,
];
