//! Bugs in writes: on conditions, of deletions, of copies and in parts.

use super::*;

bugs! {
    // Conditions.

    CreatesAnyway: a_creation_where_something_is_is_noticed,
        by an_object_is_created_only_where_nothing_is {
        fn put<'a>(
            on: &'a Planted<Self>, key: Key<'a>, content: Bytes, write: &'a Write,
        ) -> Reply<'a, Stored> {
            put_always(on, key, content, write)
        }
    }

    LooksThenCreates: a_creation_that_looks_first_is_noticed,
        by of_many_creators_one_is_the_first {
        fn put<'a>(
            on: &'a Planted<Self>, key: Key<'a>, content: Bytes, write: &'a Write,
        ) -> Reply<'a, Stored> {
            looked_first(on, key, content, write)
        }
    }

    ReplacesNothing: a_replacement_of_nothing_is_noticed,
        by an_object_is_replaced_only_as_the_version_that_was_named {
        fn put<'a>(
            on: &'a Planted<Self>, key: Key<'a>, content: Bytes, write: &'a Write,
        ) -> Reply<'a, Stored> {
            Reply::run(async move {
                if on.inner.head(key).await.is_err() {
                    return put_always(on, key, content, write).await;
                }
                on.inner.put(key, content, write).await
            })
        }
    }

    LooksThenReplaces: a_replacement_that_looks_first_is_noticed,
        by a_counter_that_many_tasks_replace_loses_nothing {
        fn put<'a>(
            on: &'a Planted<Self>, key: Key<'a>, content: Bytes, write: &'a Write,
        ) -> Reply<'a, Stored> {
            looked_first(on, key, content, write)
        }
    }

    DeletesAnyVersion: a_deletion_of_another_version_is_noticed,
        by an_object_is_deleted_only_as_the_version_that_was_named {
        fn delete<'a>(
            on: &'a Planted<Self>, key: Key<'a>, _: Option<&'a Version>,
        ) -> Reply<'a, bool> {
            on.inner.delete(key, None)
        }
    }

    ForgetsMarks: a_mark_that_is_not_kept_is_noticed,
        by a_write_whose_answer_was_lost_is_known_again {
        fn put<'a>(
            on: &'a Planted<Self>, key: Key<'a>, content: Bytes, write: &'a Write,
        ) -> Reply<'a, Stored> {
            let write = Write { write_id: None, ..write.clone() };
            Reply::run(async move { on.inner.put(key, content, &write).await })
        }
    }

    TellsTheLastMark: a_mark_of_what_was_never_stored_is_noticed,
        by a_write_that_was_lost_is_refused_if_somebody_else_was_there {
        fn put<'a>(
            on: &'a Planted<Self>, key: Key<'a>, content: Bytes, write: &'a Write,
        ) -> Reply<'a, Stored> {
            *on.mark() = write.write_id;
            on.inner.put(key, content, write)
        }
        fn head<'a>(on: &'a Planted<Self>, key: Key<'a>) -> Reply<'a, Meta> {
            let mark = *on.mark();
            told(on.inner.head(key), move |meta| meta.write_id = mark)
        }
    }

    KeepsOldMarks: a_mark_that_outlives_its_object_is_noticed,
        by a_write_that_somebody_replaced_before_it_was_known_again_is_refused {
        fn put<'a>(
            on: &'a Planted<Self>, key: Key<'a>, content: Bytes, write: &'a Write,
        ) -> Reply<'a, Stored> {
            Reply::run(async move {
                let mut write = write.clone();
                if write.write_id.is_none() {
                    write.write_id = on.inner.head(key).await.ok().and_then(|meta| meta.write_id);
                }
                on.inner.put(key, content, &write).await
            })
        }
    }

    // Deletions.

    DeletesNothing: a_deletion_that_deletes_nothing_is_noticed, by what_is_deleted_is_gone {
        fn delete<'a>(
            on: &'a Planted<Self>, key: Key<'a>, _: Option<&'a Version>,
        ) -> Reply<'a, bool> {
            Reply::run(async move { Ok(on.inner.head(key).await.is_ok()) })
        }
    }

    DeletesBeneath: a_deletion_of_what_is_beneath_is_noticed, by a_deletion_of_nothing_is_fine {
        fn delete<'a>(
            on: &'a Planted<Self>, key: Key<'a>, only: Option<&'a Version>,
        ) -> Reply<'a, bool> {
            Reply::run(async move {
                for entry in on.inner.list(&beneath(key)).await?.entries {
                    on.inner.delete(Key::parse(&entry.key)?, None).await?;
                }
                on.inner.delete(key, only).await
            })
        }
    }

    AnswersForFewer: a_key_of_many_that_is_left_is_noticed,
        by many_are_deleted_and_each_has_its_answer {
        fn delete_many<'a>(
            on: &'a Planted<Self>, keys: &'a [Key<'a>],
        ) -> Reply<'a, Vec<Result<bool>>> {
            Reply::run(async move {
                let mut answers = on.inner.delete_many(&keys[..keys.len() / 2]).await?;
                answers.resize_with(keys.len(), || Ok(true));
                Ok(answers)
            })
        }
    }

    DeletesAHundred: a_request_that_is_cut_is_noticed,
        by more_are_deleted_than_go_into_one_request {
        fn delete_many<'a>(
            on: &'a Planted<Self>, keys: &'a [Key<'a>],
        ) -> Reply<'a, Vec<Result<bool>>> {
            Reply::run(async move {
                let mut answers = on.inner.delete_many(&keys[..keys.len().min(100)]).await?;
                answers.resize_with(keys.len(), || Ok(true));
                Ok(answers)
            })
        }
    }

    DeletesMore: a_deletion_of_what_only_begins_alike_is_noticed,
        by what_begins_alike_is_deleted_and_nothing_else {
        fn list<'a>(on: &'a Planted<Self>, list: &'a List) -> Reply<'a, Page> {
            without_slash(on, list)
        }
    }

    // Copies.

    CopiesOnlyBytes: a_copy_without_its_attributes_is_noticed,
        by a_copy_has_the_bytes_and_all_that_is_said_of_them {
        fn copy<'a>(
            on: &'a Planted<Self>, from: Key<'a>, to: Key<'a>, condition: &'a Condition,
        ) -> Reply<'a, Stored> {
            copied(on, from, to, condition, |write| write.attributes = Attributes::default())
        }
    }

    CopiesNothing: a_copy_of_nothing_is_noticed,
        by a_copy_of_nothing_is_refused_and_changes_nothing {
        fn copy<'a>(
            on: &'a Planted<Self>, from: Key<'a>, to: Key<'a>, condition: &'a Condition,
        ) -> Reply<'a, Stored> {
            Reply::run(async move {
                if on.inner.head(from).await.is_err() {
                    return on.inner.put(to, Bytes::new(), &Write::default()).await;
                }
                on.inner.copy(from, to, condition).await
            })
        }
    }

    CopiesAnyway: a_copy_to_where_something_is_is_noticed,
        by a_copy_may_ask_for_nothing_to_be_there {
        fn copy<'a>(
            on: &'a Planted<Self>, from: Key<'a>, to: Key<'a>, _: &'a Condition,
        ) -> Reply<'a, Stored> {
            on.inner.copy(from, to, &Condition::Always)
        }
    }

    CopiesOverAnything: a_copy_over_another_version_is_noticed, by a_copy_may_ask_for_a_version {
        fn copy<'a>(
            on: &'a Planted<Self>, from: Key<'a>, to: Key<'a>, _: &'a Condition,
        ) -> Reply<'a, Stored> {
            on.inner.copy(from, to, &Condition::Always)
        }
    }

    KeepsTheOldName: a_renaming_that_is_a_copy_is_noticed,
        by what_is_renamed_is_only_under_its_new_key {
        fn rename<'a>(
            on: &'a Planted<Self>, from: Key<'a>, to: Key<'a>, condition: &'a Condition,
        ) -> Reply<'a, Stored> {
            on.inner.copy(from, to, condition)
        }
    }

    MakesRoomFirst: a_renaming_of_nothing_that_deletes_is_noticed,
        by a_renaming_of_nothing_changes_nothing {
        fn rename<'a>(
            on: &'a Planted<Self>, from: Key<'a>, to: Key<'a>, condition: &'a Condition,
        ) -> Reply<'a, Stored> {
            Reply::run(async move {
                on.inner.delete(to, None).await?;
                on.inner.rename(from, to, condition).await
            })
        }
    }

    RenamesAnyway: a_renaming_to_where_something_is_is_noticed,
        by a_renaming_may_ask_for_nothing_to_be_there {
        fn rename<'a>(
            on: &'a Planted<Self>, from: Key<'a>, to: Key<'a>, _: &'a Condition,
        ) -> Reply<'a, Stored> {
            on.inner.rename(from, to, &Condition::Always)
        }
    }

    // Parts.

    PartsAsTheyCome: the_order_in_which_parts_came_is_noticed,
        by parts_make_one_object_whatever_the_order_they_came_in {
        fn part<'a>(
            on: &'a Planted<Self>, key: Key<'a>, upload: &'a UploadId, part: Part, content: Bytes,
        ) -> Reply<'a, PartTag> {
            let number = u32::try_from(on.texts().len()).unwrap_or(u32::MAX);
            on.texts().insert(format!("{part:?}"));
            on.inner.part(key, upload, Part { number, ..part }, content)
        }
        fn complete<'a>(
            on: &'a Planted<Self>, key: Key<'a>, upload: &'a UploadId, parts: &'a [PartTag],
            write: &'a Write,
        ) -> Reply<'a, Stored> {
            let mut parts = parts.to_vec();
            parts.sort_by(|one, next| one.0.cmp(&next.0));
            Reply::run(async move { on.inner.complete(key, upload, &parts, write).await })
        }
    }

    TheFirstPartCounts: a_part_that_is_not_replaced_is_noticed,
        by the_last_part_of_a_number_counts {
        fn part<'a>(
            on: &'a Planted<Self>, key: Key<'a>, upload: &'a UploadId, part: Part, content: Bytes,
        ) -> Reply<'a, PartTag> {
            if on.texts().insert(format!("{upload:?} {}", part.number)) {
                return on.inner.part(key, upload, part, content);
            }
            Reply::ready(Ok(PartTag(part.number.to_string())))
        }
    }

    TakesPlace: an_upload_that_takes_the_place_of_what_is_there_is_noticed,
        by what_is_on_its_way_cannot_be_seen {
        fn begin<'a>(on: &'a Planted<Self>, key: Key<'a>, write: &'a Write) -> Reply<'a, UploadId> {
            Reply::run(async move {
                on.inner.delete(key, None).await?;
                on.inner.begin(key, write).await
            })
        }
    }

    NeverGivesUp: an_upload_that_is_not_given_up_is_noticed,
        by what_is_given_up_leaves_nothing {
        fn abort<'a>(_: &'a Planted<Self>, _: Key<'a>, _: &'a UploadId) -> Reply<'a, ()> {
            Reply::ready(Ok(()))
        }
    }

    CompletesAnyway: a_completion_where_something_is_is_noticed,
        by parts_are_made_an_object_only_where_the_condition_holds {
        fn complete<'a>(
            on: &'a Planted<Self>, key: Key<'a>, upload: &'a UploadId, parts: &'a [PartTag],
            write: &'a Write,
        ) -> Reply<'a, Stored> {
            let write = Write { condition: Condition::Always, ..write.clone() };
            Reply::run(async move { on.inner.complete(key, upload, parts, &write).await })
        }
    }

    SweepsNothing: a_sweep_that_leaves_all_is_noticed, by what_nobody_goes_on_with_is_swept {
        fn sweep(_: &Planted<Self>, _: Duration) -> Reply<'_, u64> {
            Reply::ready(Ok(0))
        }
    }
}
