//! Bugs that show when somebody goes away, looks closer, or asks for what is not declared.

use super::*;

bugs! {
    // Drops.

    PutsInTwoSteps: a_put_that_deletes_first_is_noticed, by a_dropped_put_is_done_or_not {
        fn put<'a>(
            on: &'a Planted<Self>, key: Key<'a>, content: Bytes, write: &'a Write,
        ) -> Reply<'a, Stored> {
            Reply::run(async move {
                on.inner.delete(key, None).await?;
                yield_now().await;
                on.inner.put(key, content, write).await
            })
        }
    }

    CompletesInTwoSteps: a_completion_that_grows_is_noticed,
        by a_dropped_put_of_pieces_is_done_or_not {
        fn complete<'a>(
            on: &'a Planted<Self>, key: Key<'a>, upload: &'a UploadId, parts: &'a [PartTag],
            write: &'a Write,
        ) -> Reply<'a, Stored> {
            Reply::run(async move {
                on.inner.put(key, Bytes::from_static(b"so far"), &Write::default()).await?;
                yield_now().await;
                on.inner.complete(key, upload, parts, write).await
            })
        }
    }

    ReadsLock: a_lock_that_a_dropped_reader_leaves_is_noticed,
        by a_dropped_read_leaves_the_object_as_it_was {
        fn get<'a>(
            on: &'a Planted<Self>, key: Key<'a>, read: &'a Read,
        ) -> Reply<'a, Option<Fetched>> {
            locked(on, on.inner.get(key, read))
        }
    }

    ListsLock: a_lock_that_a_dropped_list_leaves_is_noticed,
        by a_dropped_list_leaves_the_disk_usable {
        fn list<'a>(on: &'a Planted<Self>, list: &'a List) -> Reply<'a, Page> {
            locked(on, on.inner.list(list))
        }
    }

    DeletesInTwoSteps: a_deletion_that_empties_first_is_noticed,
        by a_dropped_deletion_is_done_or_not {
        fn delete<'a>(
            on: &'a Planted<Self>, key: Key<'a>, only: Option<&'a Version>,
        ) -> Reply<'a, bool> {
            Reply::run(async move {
                if on.inner.head(key).await.is_ok() {
                    on.inner.put(key, Bytes::new(), &Write::default()).await?;
                }
                yield_now().await;
                on.inner.delete(key, only).await
            })
        }
    }

    RenamesInTwoSteps: a_renaming_that_is_nowhere_for_a_moment_is_noticed,
        by a_dropped_copy_is_done_or_not {
        fn rename<'a>(
            on: &'a Planted<Self>, from: Key<'a>, to: Key<'a>, condition: &'a Condition,
        ) -> Reply<'a, Stored> {
            Reply::run(async move {
                on.inner.delete(to, None).await?;
                yield_now().await;
                on.inner.rename(from, to, condition).await
            })
        }
    }

    PutsByHalves: an_object_that_is_there_by_half_is_noticed,
        by a_storm_of_drops_leaves_only_whole_objects {
        fn put<'a>(
            on: &'a Planted<Self>, key: Key<'a>, content: Bytes, write: &'a Write,
        ) -> Reply<'a, Stored> {
            Reply::run(async move {
                let half = content.slice(..content.len() / 2);
                on.inner.put(key, half, &Write::default()).await?;
                yield_now().await;
                on.inner.put(key, content, write).await
            })
        }
    }

    // The rest.

    AddsUpAnew: a_sum_of_what_is_there_now_is_noticed,
        by bytes_that_are_not_those_that_were_stored_are_corrupt {
        fn put<'a>(
            on: &'a Planted<Self>, key: Key<'a>, content: Bytes, write: &'a Write,
        ) -> Reply<'a, Stored> {
            let write = Write { checksum: Some(Checksum::of(&content)), ..write.clone() };
            Reply::run(async move { on.inner.put(key, content, &write).await })
        }
    }

    LeavesConditionsOut: a_condition_that_is_left_out_is_noticed,
        by what_is_not_declared_is_unsupported_and_changes_nothing {
        const HIDES: &'static [&'static str] = &[capability::REPLACE];
        fn put<'a>(
            on: &'a Planted<Self>, key: Key<'a>, content: Bytes, write: &'a Write,
        ) -> Reply<'a, Stored> {
            put_always(on, key, content, write)
        }
    }

    HealthWrites: a_look_at_the_health_that_leaves_something_is_noticed,
        by a_disk_at_work_is_healthy {
        fn health(on: &Planted<Self>) -> Reply<'_, Health> {
            Reply::run(async move {
                on.inner.put(Key::parse("probe")?, Bytes::new(), &Write::default()).await?;
                Ok(Health::up())
            })
        }
    }
}
