//! Rules on bytes that are not those that were stored.

use bytes::Bytes;
use switchboard_core::{ErrorKind, Settings};
use switchboard_testkit::rules::{Verdict, ensure, equal, failed};

use super::Subject;
use super::subject::{ensure_content, filled, held, place, plain};
use crate::{Checksum, Disk, Key, Write};

/// The sum that was kept with them says so, unless the service itself refuses them.
pub(super) async fn bytes_that_are_not_those_that_were_stored_are_corrupt(on: &Subject) -> Verdict {
    let held = held(on.disk())?;
    for size in [1_usize, 1_000, 3 << 20] {
        let key = format!("flipped/{size}");
        let stored = filled(size, 1);
        let mut flipped = stored.to_vec();
        flipped[size / 2] ^= 1;
        let write = Write { checksum: Some(Checksum::of(&stored)), ..plain(&stored) };
        let place = place(&held, &key);
        let put = held.driver().put(Key::parse(&place)?, flipped.into(), &write).await;
        match put {
            Ok(_) => ensure_corrupt(on, &key).await?,
            Err(error) => {
                equal(&error.kind(), &ErrorKind::InvalidInput, "bytes of another sum")?;
                let is_there = on.disk().exists(&key).await?;
                ensure(!is_there, || "bytes that were refused are there".to_owned())?;
            }
        }
    }
    Ok(())
}

/// In a file, say, by a disk that forgets.
pub(super) async fn bytes_that_are_changed_behind_the_driver_are_corrupt(on: &Subject) -> Verdict {
    let Some(damage) = &on.fixture().damage else { return Ok(()) };
    for size in [1, 1_000, 3 << 20] {
        let key = format!("damaged/{size}");
        let stored: Bytes = filled(size, 1);
        on.disk().put(&key, stored.clone()).await?;
        ensure_content(on.disk(), &key, &stored, "before it is damaged").await?;
        damage(on.settings(), &place(&held(on.disk())?, &key));
        ensure_corrupt(on, &key).await?;
    }
    Ok(())
}

async fn ensure_corrupt(on: &Subject, key: &str) -> Verdict {
    let what = "reading what is corrupt";
    let error = failed(on.disk().read(key).await, what)?;
    equal(&error.kind(), &ErrorKind::Corrupt, what)?;
    let error = failed(streamed(on.disk(), key).await, "a stream of what is corrupt")?;
    equal(&error.kind(), &ErrorKind::Corrupt, "a stream of what is corrupt")?;
    // What it costs to look is spared by those who say so.
    let careless = Settings::new().with("verify", "off");
    let careless = on.another(careless).await?;
    if careless.exists(key).await? {
        careless.read(key).await?;
    }
    Ok(())
}

async fn streamed(disk: &Disk, key: &str) -> switchboard_core::Result<Bytes> {
    disk.get(key).await?.bytes(usize::MAX).await
}
