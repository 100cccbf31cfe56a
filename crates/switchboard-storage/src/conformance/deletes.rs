//! Rules on what is deleted, one by one, many at once, and all that begins alike.

use switchboard_core::{ErrorKind, Settings};
use switchboard_testkit::rules::{Verdict, ensure, equal, refused};

use super::Subject;
use super::subject::{ensure_content, ensure_keys, held, keys, put_all, put_behind};
use crate::capability;

pub(super) async fn what_is_deleted_is_gone(on: &Subject) -> Verdict {
    for key in ["key", "dir/key", "dir/other"] {
        on.disk().put(key, "…").await?;
    }
    for key in ["key", "dir/key"] {
        equal(&on.disk().delete(key).await?, &true, "whether it was there")?;
        refused(on.disk().head(key).await, ErrorKind::NotFound, "a look at what is deleted")?;
        refused(on.disk().read(key).await, ErrorKind::NotFound, "reading what is deleted")?;
    }
    ensure_content(on.disk(), "dir/other", "…".as_bytes(), "beside what is deleted").await?;
    on.disk().put("key", "again").await?;
    ensure_content(on.disk(), "key", b"again", "after a deletion").await?;
    if on.can(capability::LIST) {
        ensure_keys(on.disk(), &["dir/other", "key"], "after deletions").await?;
    }
    Ok(())
}

/// Once, and again, and beneath and above what is there.
pub(super) async fn a_deletion_of_nothing_is_fine(on: &Subject) -> Verdict {
    on.disk().put("dir/key", "…").await?;
    for key in ["never", "no/such/key", "dir", "dir/key/beneath", "di"] {
        for _ in 0..2 {
            // Not every service tells that nothing was there.
            on.disk().delete(key).await?;
        }
    }
    on.disk().put("twice", "…").await?;
    for _ in 0..2 {
        on.disk().delete("twice").await?;
    }
    ensure_content(on.disk(), "dir/key", "…".as_bytes(), "after deletions of nothing").await
}

pub(super) async fn many_are_deleted_and_each_has_its_answer(on: &Subject) -> Verdict {
    let none: [&str; 0] = [];
    equal(&on.disk().delete_many(&none).await?.len(), &0, "answers about no key")?;
    let weird = ["a b", "a&b<c>", "ä/🗝", "a%2Fb", "quote\"'", "dir/one"];
    put_all(on, &weird).await?;
    put_all(on, &["left", "dir/left"]).await?;
    let asked: Vec<&str> = weird.into_iter().chain(["missing", "a b"]).collect();
    let answers = on.disk().delete_many(&asked).await?;
    equal(&answers.len(), &asked.len(), "how many answers there are")?;
    for (key, answer) in asked.iter().zip(answers) {
        let was_there = answer?;
        let must_be = weird.contains(key);
        ensure(was_there || !must_be || *key == "a b", || format!("{key:?} was not there"))?;
        equal(&on.disk().exists(key).await?, &false, &format!("whether {key:?} is there"))?;
    }
    for key in ["left", "dir/left"] {
        equal(&on.disk().exists(key).await?, &true, &format!("whether {key:?} is still there"))?;
    }
    Ok(())
}

/// By as many as there may be in a few, where a service takes no more than thousands.
pub(super) async fn more_are_deleted_than_go_into_one_request(on: &Subject) -> Verdict {
    let most = held(on.disk())?.driver().limits().delete_max;
    let count = most.min(1_000) * 2 + 1;
    let mut asked: Vec<String> = (0..count).map(|number| format!("key/{number}")).collect();
    let there: Vec<&String> = asked.iter().step_by(count.div_ceil(20)).collect();
    put_all(on, &there).await?;
    put_all(on, &["left"]).await?;
    let there: Vec<String> = there.into_iter().cloned().collect();
    let answers = on.disk().delete_many(&asked).await?;
    equal(&answers.len(), &asked.len(), "how many answers there are")?;
    for (key, answer) in asked.iter().zip(answers) {
        let was_there = answer?;
        ensure(was_there || !there.contains(key), || format!("{key:?} was not there"))?;
    }
    asked.retain(|key| there.contains(key));
    for key in asked {
        equal(&on.disk().exists(&key).await?, &false, &format!("whether {key:?} is there"))?;
    }
    equal(&on.disk().exists("left").await?, &true, "whether what was not named is there")
}

pub(super) async fn what_begins_alike_is_deleted_and_nothing_else(on: &Subject) -> Verdict {
    if !on.can(capability::LIST) {
        return Ok(());
    }
    put_all(on, &["a/1", "a/2/3", "a/4", "ab", "a-b", "A/1", "b/a/1"]).await?;
    equal(&on.disk().delete_all("a/").await?.objects, &3, "how many begin with `a/`")?;
    ensure_keys(on.disk(), &["A/1", "a-b", "ab", "b/a/1"], "after `a/` went").await?;
    equal(&on.disk().delete_all("a").await?.objects, &2, "how many begin with `a`")?;
    ensure_keys(on.disk(), &["A/1", "b/a/1"], "after `a` went").await?;
    equal(&on.disk().delete_all("none").await?.objects, &0, "how many begin with nothing")?;
    let everything = on.disk().delete_all("").await;
    refused(everything, ErrorKind::InvalidInput, "a deletion of everything by mistake")?;
    ensure_keys(on.disk(), &["A/1", "b/a/1"], "after a mistake").await?;
    let many: Vec<String> = (0..1_100).map(|number| format!("many/{number}")).collect();
    put_all(on, &many).await?;
    let deleted = on.disk().delete_all("many").await?;
    equal(&deleted.objects, &1_100, "how many of many pages were deleted")?;
    ensure(deleted.failed.is_empty(), || format!("{:?} did not go", deleted.failed))?;
    ensure_keys(on.disk(), &["A/1", "b/a/1"], "after many pages").await
}

pub(super) async fn a_dry_run_tells_what_would_go_and_leaves_it(on: &Subject) -> Verdict {
    if !on.can(capability::LIST) {
        return Ok(());
    }
    for (key, content) in [("a/1", "one"), ("a/2", "three"), ("b", "…")] {
        on.disk().put(key, content).await?;
    }
    let would_go = on.disk().delete_all("a").dry_run().await?;
    equal(&(would_go.objects, would_go.bytes), &(2, 8), "what would go")?;
    ensure_keys(on.disk(), &["a/1", "a/2", "b"], "after a dry run").await?;
    let gone = on.disk().delete_all("a").await?;
    equal(&(gone.objects, gone.bytes), &(2, 8), "what went")?;
    let frozen = on.another(Settings::new().with("read_only", true)).await?;
    put_behind(&frozen, "b", b"frozen").await?;
    let refusal = frozen.delete_all("").everything().await;
    refused(refusal, ErrorKind::PermissionDenied, "a deletion on a disk that is only read")?;
    equal(&keys(on.disk(), "").await?, &vec!["b".to_owned()], "what is left")
}
