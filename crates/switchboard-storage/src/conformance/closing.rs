//! Rules on the life of a disk: what it says of itself, and what comes after its end.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use switchboard_core::Status;
use switchboard_testkit::rules::{Verdict, ensure, equal, failed};

use super::Subject;
use super::subject::{ensure_content, in_time, keys};
use crate::capability;

pub(super) async fn a_disk_at_work_is_healthy(on: &Subject) -> Verdict {
    on.stock("key", "as it was").await?;
    let reports = on.manager().health(Duration::from_secs(10)).await;
    let disks = 1 + usize::from(on.fixture().over.is_some());
    equal(&reports.len(), &disks, "how many disks tell of their health")?;
    for report in reports {
        let status = report.health.status;
        let is_well = matches!(status, Status::Up | Status::NotChecked);
        ensure(is_well, || format!("the health is {:?}", report.health))?;
    }
    ensure_content(on.disk(), "key", b"as it was", "after a look at the health").await?;
    if on.can(capability::LIST) {
        let found = keys(on.disk(), "").await?;
        equal(&found, &vec!["key".to_owned()], "what a look at the health left")?;
    }
    Ok(())
}

/// Calls afterwards fail, and a second close is no worse than the first.
pub(super) async fn after_the_close_nothing_hangs(on: &Subject) -> Verdict {
    let own = Subject::new(on.fixture()).await?;
    let disk = own.disk();
    own.stock("key", "before").await?;
    let open = disk.get("key").await?;
    if own.can(capability::WRITE) {
        // What is closed can no longer be tidied up.
        disk.delete("key").await?;
    }
    let close = own.manager().close(Duration::from_secs(1));
    // Whoever still reads is waited for, but not for ever.
    in_time("closing", async {
        let read = async { open.try_collect::<Vec<_>>().await.map(drop) };
        let (_, closed) = tokio::join!(read, close);
        closed
    })
    .await?;
    in_time("calls after the close", async {
        failed(disk.head("key").await, "a look after the close")?;
        failed(disk.read("key").await, "reading after the close")?;
        failed(disk.put("key", "after").await, "a put after the close")?;
        failed(disk.delete("key").await, "a deletion after the close")?;
        failed(disk.list("").page(None).await, "a list after the close")?;
        own.manager().close(Duration::from_secs(1)).await;
        Ok(())
    })
    .await?
}
