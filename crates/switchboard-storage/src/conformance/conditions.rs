//! Rules on writes with a condition: who is first, and who is late.

use std::iter::repeat_n;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join;
use switchboard_core::{Clock, Error, ErrorKind, Fault, Faults, Outcome, Result, Settings};
use switchboard_testkit::inject;
use switchboard_testkit::rules::{Verdict, ensure, equal, failed, refused};

use super::subject::{at_once, ensure_content, put_behind};
use super::{Failure, Subject};
use crate::{Disk, Stored, capability};

pub(super) async fn an_object_is_created_only_where_nothing_is(on: &Subject) -> Verdict {
    if !on.can(capability::CREATE) {
        return Ok(());
    }
    let disk = on.disk();
    let first = disk.put("key", "first").if_absent().await?;
    equal(&disk.head("key").await?.version, &first.version, "the version of what was created")?;
    for late in ["late", "first", ""] {
        let answer = disk.put("key", late).if_absent().await;
        refused(answer, ErrorKind::AlreadyExists, "a creation where something is")?;
    }
    ensure_content(disk, "key", b"first", "after late creations").await?;
    equal(&disk.head("key").await?.version, &first.version, "the version after late creations")?;
    disk.delete("key").await?;
    disk.put("key", "again").if_absent().await?;
    ensure_content(disk, "key", b"again", "after a deletion").await
}

pub(super) async fn of_many_creators_one_is_the_first(on: &Subject) -> Verdict {
    if !on.can(capability::CREATE) {
        return Ok(());
    }
    for round in 0..ROUNDS {
        let creations = at_once(CREATORS, |number| {
            let (disk, key) = (on.disk().clone(), format!("race/{round}"));
            async move { disk.put(&key, format!("creator {number}")).if_absent().await }
        });
        let mut winners = Vec::new();
        for (number, answer) in creations.await?.into_iter().enumerate() {
            match answer {
                Ok(_) => winners.push(number),
                Err(error) => ensure(is_lost_race(&error, ErrorKind::AlreadyExists), || {
                    format!("a creator that was late: {error:?}")
                })?,
            }
        }
        let [winner] = winners[..] else {
            return Err(Failure::new(format!("of {CREATORS} creators {winners:?} were the first")));
        };
        let content = format!("creator {winner}");
        ensure_content(on.disk(), &format!("race/{round}"), content.as_bytes(), "of the first")
            .await?;
    }
    Ok(())
}

/// A service may say that somebody else was at work, instead of who was first.
fn is_lost_race(error: &Error, kind: ErrorKind) -> bool {
    (error.kind() == kind || error.kind() == ErrorKind::Conflict)
        && error.outcome() == Outcome::NotApplied
}

pub(super) async fn an_object_is_replaced_only_as_the_version_that_was_named(
    on: &Subject,
) -> Verdict {
    if !on.can(capability::REPLACE) {
        return Ok(());
    }
    let (disk, kind) = (on.disk(), ErrorKind::PreconditionFailed);
    let first = disk.put("key", "first").await?.version;
    let second = disk.put("key", "second").if_version(&first).await?.version;
    ensure(first != second, || "both have the same version".to_owned())?;
    refused(disk.put("key", "late").if_version(&first).await, kind, "a late replacement")?;
    ensure_content(disk, "key", b"second", "after a late replacement").await?;
    equal(&disk.head("key").await?.version, &second, "the version after a late replacement")?;
    // The same bytes stored again are not the version that was read.
    let third = disk.put("key", "first").await?.version;
    if third != first {
        refused(disk.put("key", "late").if_version(&first).await, kind, "the bytes of old")?;
    }
    disk.delete("key").await?;
    let gone = disk.put("key", "late").if_version(&third).await;
    refused(gone, kind, "a replacement of what is gone")?;
    equal(&disk.exists("key").await?, &false, "whether a replacement made it anew")?;
    let never = disk.put("never", "late").if_version(&third).await;
    refused(never, kind, "a replacement of what never was")?;
    equal(&disk.exists("never").await?, &false, "whether a replacement created something")
}

pub(super) async fn a_counter_that_many_tasks_replace_loses_nothing(on: &Subject) -> Verdict {
    if !on.can(capability::REPLACE) {
        return Ok(());
    }
    let disk = &on.another(retrying()).await?;
    disk.put("counter", "0").await?;
    let counts = at_once(COUNTERS, |_| {
        let disk = disk.clone();
        async move {
            for _ in 0..COUNTS {
                count_up(&disk).await?;
            }
            Ok::<_, Failure>(())
        }
    });
    for counted in counts.await? {
        counted?;
    }
    let total = (COUNTERS * COUNTS).to_string();
    ensure_content(disk, "counter", total.as_bytes(), "after all have counted").await
}

async fn count_up(disk: &Disk) -> Verdict {
    loop {
        let object = match disk.get("counter").await {
            Err(error) if error.kind() == ErrorKind::Conflict => continue,
            object => object?,
        };
        let version = object.meta().version.clone();
        let count = match object.bytes(100).await {
            Err(error) if error.kind() == ErrorKind::Conflict => continue,
            count => count?,
        };
        let count = std::str::from_utf8(&count).ok().and_then(|count| count.parse::<u64>().ok());
        let count = count.ok_or_else(|| Failure::new("the counter is no number any more"))?;
        match disk.put("counter", (count + 1).to_string()).if_version(&version).await {
            Ok(_) => return Ok(()),
            Err(error) if is_lost_race(&error, ErrorKind::PreconditionFailed) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

pub(super) async fn an_object_is_deleted_only_as_the_version_that_was_named(
    on: &Subject,
) -> Verdict {
    if !on.can(capability::DELETE_VERSION) {
        return Ok(());
    }
    let disk = on.disk();
    let first = disk.put("key", "first").await?.version;
    let second = disk.put("key", "second").await?.version;
    let late = disk.delete_only("key", &first).await;
    refused(late, ErrorKind::PreconditionFailed, "a late deletion")?;
    ensure_content(disk, "key", b"second", "after a late deletion").await?;
    equal(&disk.delete_only("key", &second).await?, &true, "whether the version was there")?;
    equal(&disk.exists("key").await?, &false, "whether it is there after its deletion")
}

/// For what it is: stored, once.
pub(super) async fn a_write_whose_answer_was_lost_is_known_again(on: &Subject) -> Verdict {
    let disk = on.another(retrying()).await?;
    if on.can(capability::CREATE) {
        let created =
            with_faults(&disk, [lost_answer()], disk.put("key", "created").if_absent()).await?;
        equal(&disk.head("key").await?.version, &created.version, "what was created")?;
        ensure_content(&disk, "key", b"created", "after a lost answer").await?;
    }
    if on.can(capability::REPLACE) {
        let first = disk.put("key", "first").await?.version;
        let put = disk.put("key", "replaced").if_version(&first);
        let replaced = with_faults(&disk, [lost_answer()], put).await?;
        equal(&disk.head("key").await?.version, &replaced.version, "what was replaced")?;
        ensure_content(&disk, "key", b"replaced", "after a lost answer").await?;
        // Every answer, until nobody asks any more: it is stored, and known when it can be asked again.
        let put = disk.put("key", "again").if_version(&replaced.version);
        let again = with_faults(&disk, ATTEMPTS.map(|()| lost_answer()), put).await?;
        equal(&disk.head("key").await?.version, &again.version, "what was replaced again")?;
    }
    Ok(())
}

/// Also if what is there has the same bytes: it is not what this writer stored.
pub(super) async fn a_write_that_was_lost_is_refused_if_somebody_else_was_there(
    on: &Subject,
) -> Verdict {
    let disk = on.another(retrying()).await?;
    if on.can(capability::CREATE) {
        put_behind(&disk, "key", b"same").await?;
        let put = disk.put("key", "same").if_absent();
        let late = with_faults(&disk, [lost_request()], put).await;
        let error = failed(late, "a creation after somebody else")?;
        equal(&error.kind(), &ErrorKind::AlreadyExists, "a creation after somebody else")?;
    }
    if on.can(capability::REPLACE) {
        let first = disk.put("key", "first").await?.version;
        put_behind(&disk, "key", b"same").await?;
        let put = disk.put("key", "same").if_version(&first);
        let late = with_faults(&disk, [lost_request()], put).await;
        let error = failed(late, "a replacement after somebody else")?;
        equal(&error.kind(), &ErrorKind::PreconditionFailed, "a replacement after somebody else")?;
        ensure_content(&disk, "key", b"same", "after somebody else").await?;
    }
    Ok(())
}

/// It was stored for a moment, and what is there now is somebody else's.
pub(super) async fn a_write_that_somebody_replaced_before_it_was_known_again_is_refused(
    on: &Subject,
) -> Verdict {
    if !on.can(capability::REPLACE) {
        return Ok(());
    }
    let disk = on.another(retrying()).await?;
    for late in LATE {
        let first = disk.put("key", "first").await?.version;
        let has_come = AtomicBool::new(false);
        let write = async {
            let put = disk.put("key", "mine").if_version(&first);
            let answer = with_faults(&disk, [lost_answer(), Fault::Late(late)], put).await;
            (answer, has_come.load(Ordering::SeqCst))
        };
        let ((answer, was_in_time), competed) = join(write, async {
            compete(&disk, &first).await?;
            has_come.store(true, Ordering::SeqCst);
            Ok::<_, Error>(())
        })
        .await;
        competed?;
        if !was_in_time {
            // The second attempt was made before the competitor came: this shows nothing.
            continue;
        }
        let error = failed(answer, "a write that somebody replaced")?;
        equal(&error.kind(), &ErrorKind::PreconditionFailed, "a write that somebody replaced")?;
        return ensure_content(&disk, "key", b"theirs", "after a competitor").await;
    }
    Err(Failure::new(format!("no competitor came within {LATE:?}")))
}

/// Replaces what is under the key as soon as it is not that version any more, past gates and faults.
async fn compete(disk: &Disk, first: &crate::Version) -> Result<Stored> {
    let held = super::subject::held(disk)?;
    let place = super::subject::place(&held, "key");
    while held.driver().head(crate::Key::parse(&place)?).await?.version == *first {
        tokio::task::yield_now().await;
    }
    put_behind(disk, "key", b"theirs").await
}

/// What a put becomes whose first attempts at the driver meet these faults.
async fn with_faults<T>(
    disk: &Disk,
    faults: impl IntoIterator<Item = Fault>,
    put: impl IntoFuture<Output = Result<T>>,
) -> Result<T> {
    let passes = repeat_n(Fault::Pass, before_a_put(disk).await?);
    let _faults = inject(disk.line(), Faults::new(Clock::seeded(0)).script(passes.chain(faults)))?;
    put.await
}

/// How many attempts a put makes at other things before that at the driver.
async fn before_a_put(disk: &Disk) -> Result<usize> {
    let counted = Faults::new(Clock::seeded(0)).chance(1.0, Fault::Late(Duration::ZERO));
    let counted = inject(disk.line(), counted)?;
    disk.put("counted", "").await?;
    Ok(usize::try_from(counted.injected()).unwrap_or(usize::MAX) - 1)
}

/// It happened, and nobody hears of it.
fn lost_answer() -> Fault {
    Fault::ApplyThenFail(Error::new(ErrorKind::Unavailable, "the answer was lost").in_doubt())
}

/// It never happened, and nobody knows.
fn lost_request() -> Fault {
    Fault::Fail(Error::new(ErrorKind::Unavailable, "the request was lost").in_doubt())
}

/// Settings of a disk that tries again, soon.
fn retrying() -> Settings {
    let retry = Settings::new().with("attempts", 3).with("backoff", "1ms..2ms");
    Settings::new().with("policy", Settings::new().with("retry", retry))
}

const ROUNDS: usize = 4;
const CREATORS: usize = 64;
const COUNTERS: usize = 16;
const COUNTS: usize = 8;
const ATTEMPTS: [(); 3] = [(); 3];
/// How long the second attempt waits for the competitor; longer, where that was too short.
const LATE: [Duration; 3] =
    [Duration::from_millis(200), Duration::from_secs(2), Duration::from_secs(10)];
