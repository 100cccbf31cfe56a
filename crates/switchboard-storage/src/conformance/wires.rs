//! Networks that break: what is told, what is stored, and what is never taken for whole.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use switchboard_core::{Class, Clock, Error, ErrorKind, Outcome, Settings};
use switchboard_testkit::rules::{Verdict, ensure, equal, failed};
use switchboard_testkit::{Direction, Moment, unique};

use super::content::in_pieces;
use super::reading::ensure_old_or_conflict;
use super::subject::{HANG_LIMIT, at_once, ensure_content, filled, in_time};
use super::{Failure, Subject};
use crate::{Disk, capability};

/// After any number of its bytes.
pub(super) async fn a_body_that_is_cut_is_taken_up_again_or_an_outage(on: &Subject) -> Verdict {
    let bytes = filled(LARGE, 1);
    on.stock("key", bytes.clone()).await?;
    let (wire, disk) = on.behind_wire(Settings::new()).await?;
    let (mut opened, mut resumed) = (0, 0);
    for after in [1, 100, 1_000, 20_000, 1 << 20, (3 << 20) + 1, LARGE as u64 - 1] {
        let trap = wire.cut_after_bytes(Direction::ToClient, after);
        let read = in_time("reading over a wire that is cut", async {
            let object = disk.get("key").await?;
            opened += 1;
            object.bytes(usize::MAX).await
        });
        let read = read.await?;
        trap.sprung().await;
        match read {
            Ok(read) => {
                ensure(read == bytes, || format!("cut after {after} bytes, others were read"))?;
                resumed += 1;
            }
            Err(error) => ensure_outage(&error, "a body that is cut")?,
        }
        ensure_healed(&disk, &bytes).await?;
    }
    // An answer that is lost as a whole may be an outage, and for some drivers every one is; one that breaks off
    // later is taken up again.
    ensure(resumed > 0 || opened == 0, || "reading was never taken up again".to_owned())
}

async fn streamed(disk: &Disk) -> switchboard_core::Result<bytes::Bytes> {
    disk.get("key").await?.bytes(usize::MAX).await
}

/// Until it is given up.
pub(super) async fn a_body_that_is_cut_again_and_again_is_never_taken_for_whole(
    on: &Subject,
) -> Verdict {
    let bytes = filled(LARGE, 1);
    on.stock("key", bytes.clone()).await?;
    let (wire, disk) = on.behind_wire(Settings::new()).await?;
    let traps: Vec<_> =
        (0..20).map(|_| wire.cut_after_bytes(Direction::ToClient, 10_000)).collect();
    match in_time("reading over a wire that is cut again and again", streamed(&disk)).await? {
        Ok(read) => ensure(read == bytes, || "other bytes were read".to_owned())?,
        Err(error) => ensure_outage(&error, "a body that is cut again and again")?,
    }
    drop(traps);
    wire.heal();
    ensure_healed(&disk, &bytes).await
}

/// What comes after the cut is of the old one, or it is a conflict.
pub(super) async fn an_object_that_is_replaced_while_reading_is_cut_is_no_mix(
    on: &Subject,
) -> Verdict {
    let (old, new) = (filled(LARGE, 1), filled(LARGE, 2));
    for is_deleted in [false, true] {
        on.stock("key", old.clone()).await?;
        let (wire, disk) = on.behind_wire(Settings::new()).await?;
        let mut reading = disk.get("key").await?;
        let first = reading.try_next().await?;
        if !is_deleted {
            on.stock("key", new.clone()).await?;
        } else if on.can(capability::WRITE) {
            on.disk().delete("key").await?;
        }
        wire.cut().await;
        let rest = ensure_old_or_conflict(first, reading, &old);
        in_time("reading what was replaced", rest).await??;
    }
    Ok(())
}

/// As when the service was started anew, or a router forgot them.
pub(super) async fn connections_that_were_cut_while_idle_do_no_harm(on: &Subject) -> Verdict {
    on.stock("key", "content").await?;
    let (wire, disk) = on.behind_wire(retrying()).await?;
    for _ in 0..3 {
        let reads = at_once(4, |_| {
            let disk = disk.clone();
            async move { disk.read("key").await }
        });
        for read in reads.await? {
            read?;
        }
        wire.cut().await;
        let read = in_time("reading after a cut", disk.read("key")).await??;
        equal(&&read[..], &&b"content"[..], "what is read after a cut")?;
        if on.can(capability::WRITE) {
            wire.cut().await;
            in_time("storing after a cut", disk.put("key", "content")).await??;
        }
    }
    Ok(())
}

/// Whoever is told `Ok` finds it, and whoever is not, finds the old or the new.
pub(super) async fn a_put_whose_answer_is_lost_is_stored_or_in_doubt(on: &Subject) -> Verdict {
    if !on.can(capability::WRITE) {
        return Ok(());
    }
    for settings in [Settings::new(), retrying()] {
        let (wire, disk) = on.behind_wire(settings).await?;
        for moment in [Moment::Answered, Moment::After, Moment::Before] {
            let key = unique("needle");
            on.disk().put(&key, "old").await?;
            let trap = wire.cut_when(Direction::ToServer, &key, moment);
            let put = in_time("a put whose answer is lost", disk.put(&key, "new")).await?;
            trap.sprung().await;
            let there = in_time("reading after a put", disk.read(&key)).await??;
            match put {
                Ok(_) => equal(&&there[..], &&b"new"[..], "what is there of a put that is done")?,
                Err(error) => {
                    ensure_outage(&error, "a put whose answer is lost")?;
                    ensure(there == "new" || there == "old", || {
                        format!("after a put whose answer is lost there is {there:?}")
                    })?;
                    ensure(error.outcome() == Outcome::Unknown || there == "old", || {
                        format!("what was stored is told not to be: {error:?}")
                    })?;
                }
            }
        }
    }
    Ok(())
}

/// Never a part of it.
pub(super) async fn a_put_that_is_cut_half_way_leaves_the_old_or_the_new(on: &Subject) -> Verdict {
    if !on.can(capability::WRITE) {
        return Ok(());
    }
    let (old, new) = (filled(100_000, 1), filled(PARTS, 2));
    let (wire, disk) = on.behind_wire(Settings::new()).await?;
    for after in [1, 1_000, 100_000, LARGE as u64] {
        for is_in_pieces in [false, true] {
            on.disk().put("key", old.clone()).await?;
            let body = if is_in_pieces { in_pieces(&new) } else { new.clone().into() };
            let trap = wire.cut_after_bytes(Direction::ToServer, after);
            let put = in_time("a put that is cut", disk.put("key", body)).await?;
            trap.sprung().await;
            let there = in_time("reading after a put", on.disk().read("key")).await??;
            let is_new = there == new;
            ensure(is_new || there == old, || {
                format!("cut after {after} bytes, there are {} others", there.len())
            })?;
            match put {
                Ok(_) => equal(&is_new, &true, "whether what was stored is there")?,
                Err(error) => ensure_outage(&error, "a put that is cut")?,
            }
        }
    }
    Ok(())
}

/// By its mark; and somebody else's is told apart.
pub(super) async fn a_creation_whose_answer_is_lost_is_known_again(on: &Subject) -> Verdict {
    if !on.can(capability::CREATE) || !on.can(capability::WRITE) {
        return Ok(());
    }
    for settings in [Settings::new(), retrying()] {
        let (wire, disk) = on.behind_wire(settings).await?;
        for moment in [Moment::Answered, Moment::After] {
            let key = unique("needle");
            let trap = wire.cut_when(Direction::ToServer, &key, moment);
            let created = disk.put(&key, "mine").if_absent();
            let created = in_time("a creation whose answer is lost", created).await?;
            trap.sprung().await;
            match created {
                Ok(stored) => {
                    let there = on.disk().head(&key).await?.version;
                    equal(&there, &stored.version, "the version of what was created")?;
                    ensure_content(on.disk(), &key, b"mine", "after a lost answer").await?;
                }
                Err(error) => ensure_outage(&error, "a creation whose answer is lost")?,
            }
        }
        let key = unique("needle");
        on.disk().put(&key, "theirs").await?;
        let trap = wire.cut_when(Direction::ToServer, &key, Moment::Answered);
        let late = disk.put(&key, "mine").if_absent();
        let late = in_time("a creation after somebody else", late).await?;
        trap.sprung().await;
        let error = failed(late, "a creation after somebody else")?;
        ensure(
            error.kind() == ErrorKind::AlreadyExists || error.outcome() == Outcome::Unknown,
            || format!("a creation after somebody else: {error:?}"),
        )?;
        ensure_content(on.disk(), &key, b"theirs", "after somebody else").await?;
    }
    Ok(())
}

/// Wherever the cut comes: at the beginning, between parts, and at their end.
pub(super) async fn a_large_creation_whose_answers_are_cut_is_whole_or_not_there(
    on: &Subject,
) -> Verdict {
    if !on.can(capability::CREATE) || !on.can(capability::WRITE) {
        return Ok(());
    }
    let bytes = filled(PARTS, 1);
    for settings in [Settings::new(), retrying()] {
        let (wire, disk) = on.behind_wire(settings).await?;
        for after in [1, 200, 500, 800, 1_200, 1_800] {
            let key = unique("large");
            let _trap = wire.cut_after_bytes(Direction::ToClient, after);
            let created = disk.put(&key, in_pieces(&bytes)).if_absent();
            let created = in_time("a creation whose answers are cut", created).await?;
            // Where all answers together were shorter, nothing was cut.
            wire.heal();
            let is_there = on.disk().exists(&key).await?;
            if is_there {
                ensure_content(on.disk(), &key, &bytes, "after answers were cut").await?;
            }
            match created {
                Ok(_) => equal(&is_there, &true, "whether what was created is there")?,
                Err(error) => {
                    ensure_outage(&error, "a creation whose answers are cut")?;
                    ensure(!is_there || error.outcome() != Outcome::NotApplied, || {
                        format!("what was stored is told not to be: {error:?}")
                    })?;
                }
            }
            on.disk().delete(&key).await?;
        }
    }
    Ok(())
}

/// By the limit of an attempt; and all is well when it is over.
pub(super) async fn a_network_that_swallows_everything_is_given_up_in_time(
    on: &Subject,
) -> Verdict {
    on.stock("key", "content").await?;
    let policy = Settings::new().with("attempt_timeout", "3s");
    let (wire, disk) = on.behind_wire(Settings::new().with("policy", policy)).await?;
    disk.read("key").await?;
    wire.blackhole();
    let clock = Clock::system();
    let began = clock.now();
    let error = failed(disk.head("key").await, "a look into nothing")?;
    ensure_outage(&error, "a look into nothing")?;
    let error = failed(disk.get("key").await, "opening nothing")?;
    ensure_outage(&error, "opening nothing")?;
    if on.can(capability::WRITE) {
        let error = failed(disk.put("other", "…").await, "a put into nothing")?;
        ensure_outage(&error, "a put into nothing")?;
    }
    if on.can(capability::LIST) {
        let error = failed(disk.list("").page(None).await, "a list of nothing")?;
        ensure_outage(&error, "a list of nothing")?;
    }
    let took = clock.now() - began;
    ensure(took < HANG_LIMIT, || format!("four calls into nothing took {took:?}"))?;
    wire.heal();
    let healed = async {
        while disk.read("key").await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    in_time("healing", healed).await
}

/// Until it does no more.
pub(super) async fn a_server_that_refuses_is_unavailable(on: &Subject) -> Verdict {
    on.stock("key", "content").await?;
    // The first call afterwards may still meet what is left of the refusal.
    let (wire, disk) = on.behind_wire(retrying()).await?;
    wire.refuse();
    let error = failed(disk.head("key").await, "a look at a server that refuses")?;
    equal(&error.kind(), &ErrorKind::Unavailable, "a look at a server that refuses")?;
    wire.heal();
    equal(&&disk.read("key").await?[..], &&b"content"[..], "what is read after all")
}

/// Each piece comes late, and all of them do.
pub(super) async fn a_slow_network_changes_nothing(on: &Subject) -> Verdict {
    let bytes = filled(300_000, 1);
    on.stock("key", bytes.clone()).await?;
    let (wire, disk) = on.behind_wire(Settings::new()).await?;
    wire.delay(Duration::from_millis(5));
    ensure(disk.read("key").await? == bytes, || "other bytes came slowly".to_owned())?;
    if on.can(capability::WRITE) {
        disk.put("slow", in_pieces(&bytes)).await?;
        ensure_content(on.disk(), "slow", &bytes, "after a slow put").await?;
    }
    Ok(())
}

fn ensure_outage(error: &Error, what: &str) -> Verdict {
    ensure(error.class() == Class::Outage, || format!("{what} is to be an outage: {error:?}"))
}

async fn ensure_healed(disk: &Disk, expected: &[u8]) -> Verdict {
    let read = in_time("healing", disk.read("key")).await?;
    match read {
        Ok(read) => ensure(read == expected, || "other bytes are read after a cut".to_owned()),
        Err(error) => Err(Failure::new(format!("reading after a cut: {error:?}"))),
    }
}

/// Settings of a disk that tries again, soon.
fn retrying() -> Settings {
    let retry = Settings::new().with("attempts", 4).with("backoff", "1ms..5ms");
    Settings::new().with("policy", Settings::new().with("retry", retry))
}

const LARGE: usize = 4 << 20;
/// More than one part.
const PARTS: usize = 9 << 20;
