//! Bugs in what is stored, under which key, and how it is read.

use super::*;

bugs! {
    // Content.

    LosesZeros: a_byte_that_is_lost_is_noticed, by bytes_come_back_as_they_were_put {
        fn put<'a>(
            on: &'a Planted<Self>, key: Key<'a>, content: Bytes, write: &'a Write,
        ) -> Reply<'a, Stored> {
            let content: Bytes = content.into_iter().filter(|byte| *byte != 0).collect();
            on.inner.put(key, content, write)
        }
    }

    LosesTheLastByte: the_end_of_a_large_object_that_is_lost_is_noticed,
        by large_objects_come_back_to_the_last_byte {
        fn get<'a>(
            on: &'a Planted<Self>, key: Key<'a>, read: &'a Read,
        ) -> Reply<'a, Option<Fetched>> {
            Reply::run(async move {
                let Some(mut fetched) = on.inner.get(key, read).await? else { return Ok(None) };
                let whole = fetched.body.collect(usize::MAX).await?;
                fetched.body = whole.slice(..whole.len().min(8 << 20)).into();
                Ok(Some(fetched))
            })
        }
    }

    ForgetsLanguages: an_attribute_that_is_lost_is_noticed,
        by what_is_said_of_an_object_comes_back {
        fn head<'a>(on: &'a Planted<Self>, key: Key<'a>) -> Reply<'a, Meta> {
            told(on.inner.head(key), |meta| meta.attributes.content_language = None)
        }
    }

    AddsToMetadata: metadata_of_the_object_before_is_noticed,
        by put_replaces_the_bytes_and_what_is_said_of_them {
        fn put<'a>(
            on: &'a Planted<Self>, key: Key<'a>, content: Bytes, write: &'a Write,
        ) -> Reply<'a, Stored> {
            Reply::run(async move {
                let mut write = write.clone();
                if let Ok(meta) = on.inner.head(key).await {
                    write.attributes.metadata.extend(meta.attributes.metadata);
                }
                on.inner.put(key, content, &write).await
            })
        }
    }

    KnowsNoTime: a_wrong_time_is_noticed, by an_object_was_stored_when_it_was_stored {
        fn head<'a>(on: &'a Planted<Self>, key: Key<'a>) -> Reply<'a, Meta> {
            told(on.inner.head(key), |meta| meta.modified = SystemTime::UNIX_EPOCH)
        }
    }

    TurnsPartsAround: parts_in_another_order_are_noticed,
        by a_body_that_comes_in_pieces_is_stored_whole {
        fn complete<'a>(
            on: &'a Planted<Self>, key: Key<'a>, upload: &'a UploadId, parts: &'a [PartTag],
            write: &'a Write,
        ) -> Reply<'a, Stored> {
            let turned: Vec<_> = parts.iter().rev().cloned().collect();
            Reply::run(async move { on.inner.complete(key, upload, &turned, write).await })
        }
    }

    BeginsVisibly: an_upload_that_can_be_seen_at_once_is_noticed,
        by a_body_of_another_length_than_was_said_stores_nothing {
        fn begin<'a>(on: &'a Planted<Self>, key: Key<'a>, write: &'a Write) -> Reply<'a, UploadId> {
            Reply::run(async move {
                on.inner.put(key, Bytes::new(), &Write::default()).await?;
                on.inner.begin(key, write).await
            })
        }
    }

    PartsAreVisible: a_part_that_can_be_seen_is_noticed,
        by a_body_that_fails_half_way_stores_nothing {
        fn part<'a>(
            on: &'a Planted<Self>, key: Key<'a>, upload: &'a UploadId, part: Part, content: Bytes,
        ) -> Reply<'a, PartTag> {
            Reply::run(async move {
                on.inner.put(key, content.clone(), &Write::default()).await?;
                on.inner.part(key, upload, part, content).await
            })
        }
    }

    // Keys.

    DecodesKeys: a_key_that_is_decoded_is_noticed, by a_key_comes_back_as_it_was_written {
        fn put<'a>(
            on: &'a Planted<Self>, key: Key<'a>, content: Bytes, write: &'a Write,
        ) -> Reply<'a, Stored> {
            put_as(on, key.as_str().replace("%25", "%"), content, write)
        }
    }

    FoldsCase: keys_that_lose_their_case_are_noticed, by keys_that_look_alike_are_told_apart {
        fn put<'a>(
            on: &'a Planted<Self>, key: Key<'a>, content: Bytes, write: &'a Write,
        ) -> Reply<'a, Stored> {
            put_as(on, key.as_str().to_lowercase(), content, write)
        }
        fn head<'a>(on: &'a Planted<Self>, key: Key<'a>) -> Reply<'a, Meta> {
            Reply::run(async move {
                let folded = key.as_str().to_lowercase();
                on.inner.head(Key::parse(&folded)?).await
            })
        }
        fn get<'a>(
            on: &'a Planted<Self>, key: Key<'a>, read: &'a Read,
        ) -> Reply<'a, Option<Fetched>> {
            Reply::run(async move {
                let folded = key.as_str().to_lowercase();
                on.inner.get(Key::parse(&folded)?, read).await
            })
        }
    }

    CutsKeys: a_key_that_is_cut_is_noticed, by the_longest_keys_are_kept_or_refused {
        fn put<'a>(
            on: &'a Planted<Self>, key: Key<'a>, content: Bytes, write: &'a Write,
        ) -> Reply<'a, Stored> {
            put_as(on, key.as_str().chars().take(250).collect(), content, write)
        }
    }

    GoesUp: a_way_out_that_is_one_is_noticed, by what_looks_like_a_way_out_is_only_a_key {
        fn put<'a>(
            on: &'a Planted<Self>, key: Key<'a>, content: Bytes, write: &'a Write,
        ) -> Reply<'a, Stored> {
            put_as(on, key.as_str().replace("inner/..\\", ""), content, write)
        }
    }

    ForgetsTheSlash: a_prefix_without_its_slash_is_noticed,
        by nothing_outside_of_a_prefix_can_be_reached {
        fn list<'a>(on: &'a Planted<Self>, list: &'a List) -> Reply<'a, Page> {
            without_slash(on, list)
        }
    }

    ScopesLeak: a_scope_without_its_slash_is_noticed,
        by nothing_outside_of_a_scope_can_be_reached {
        fn list<'a>(on: &'a Planted<Self>, list: &'a List) -> Reply<'a, Page> {
            without_slash(on, list)
        }
    }

    KeysAreFiles: a_key_that_gives_way_to_those_beneath_it_is_noticed,
        by a_key_beside_those_beneath_it_is_kept_or_refused {
        fn put<'a>(
            on: &'a Planted<Self>, key: Key<'a>, content: Bytes, write: &'a Write,
        ) -> Reply<'a, Stored> {
            Reply::run(async move {
                if let Some((above, _)) = key.as_str().rsplit_once('/') {
                    on.inner.delete(Key::parse(above)?, None).await?;
                }
                on.inner.put(key, content, write).await
            })
        }
    }

    // Reading.

    DirectoriesAreThere: a_directory_that_is_taken_for_an_object_is_noticed,
        by nothing_is_found_where_nothing_is {
        fn head<'a>(on: &'a Planted<Self>, key: Key<'a>) -> Reply<'a, Meta> {
            Reply::run(async move {
                let page = on.inner.list(&beneath(key)).await?;
                match page.entries.first() {
                    Some(found) => Ok(Meta::new(0, found.modified, found.version.clone())),
                    None => on.inner.head(key).await,
                }
            })
        }
    }

    RangesAreInclusive: a_range_with_one_byte_too_many_is_noticed,
        by a_range_is_the_bytes_that_it_names {
        fn get<'a>(
            on: &'a Planted<Self>, key: Key<'a>, read: &'a Read,
        ) -> Reply<'a, Option<Fetched>> {
            let mut read = read.clone();
            if let Some(ByteRange::Span(range)) = &mut read.range {
                range.end = range.end.saturating_add(1);
            }
            Reply::run(async move { on.inner.get(key, &read).await })
        }
    }

    NoBytesAreFine: a_range_without_bytes_that_is_answered_is_noticed,
        by a_range_without_bytes_is_refused {
        fn get<'a>(
            on: &'a Planted<Self>, key: Key<'a>, read: &'a Read,
        ) -> Reply<'a, Option<Fetched>> {
            Reply::run(async move {
                match on.inner.get(key, read).await {
                    Err(error) if error.kind() == ErrorKind::InvalidInput => {
                        let meta = on.inner.head(key).await?;
                        let range = meta.size..meta.size;
                        Ok(Some(Fetched { meta, range, body: Body::empty() }))
                    }
                    fetched => fetched,
                }
            })
        }
    }

    SendsAgain: a_condition_on_time_that_is_left_out_is_noticed,
        by what_is_unchanged_is_not_sent_again {
        fn get<'a>(
            on: &'a Planted<Self>, key: Key<'a>, read: &'a Read,
        ) -> Reply<'a, Option<Fetched>> {
            let read = Read { since: None, ..read.clone() };
            Reply::run(async move { on.inner.get(key, &read).await })
        }
    }

    ReadsAnyVersion: a_version_that_is_not_looked_at_is_noticed,
        by a_version_that_is_asked_for_is_read_or_refused {
        fn get<'a>(
            on: &'a Planted<Self>, key: Key<'a>, read: &'a Read,
        ) -> Reply<'a, Option<Fetched>> {
            let read = Read { only: None, ..read.clone() };
            Reply::run(async move { on.inner.get(key, &read).await })
        }
    }

    ReadsAMix: a_mix_of_two_objects_is_noticed,
        by an_object_that_is_replaced_while_it_is_read_is_never_a_mix {
        fn get<'a>(
            on: &'a Planted<Self>, key: Key<'a>, read: &'a Read,
        ) -> Reply<'a, Option<Fetched>> {
            Reply::run(async move {
                let Some(mut fetched) = on.inner.get(key, read).await? else { return Ok(None) };
                let whole = fetched.body.collect(usize::MAX).await?;
                let (inner, own) = (on.inner.clone(), key.as_str().to_owned());
                let half = whole.len() / 2;
                let rest = async move {
                    let now = inner.get(Key::parse(&own)?, &Read::default()).await?;
                    let now = now.ok_or_else(nothing_there)?.body.collect(usize::MAX).await?;
                    Ok::<_, Error>(now.slice(half.min(now.len())..))
                };
                let first = futures_util::stream::iter([Ok(whole.slice(..half))]);
                fetched.body = Body::stream(first.chain(futures_util::stream::once(rest)));
                // Without its sum nobody else notices.
                fetched.meta.checksum = None;
                Ok(Some(fetched))
            })
        }
    }

    ServesOneAtATime: a_reader_that_meets_another_is_noticed,
        by many_readers_at_once_read_the_same {
        fn get<'a>(
            on: &'a Planted<Self>, key: Key<'a>, read: &'a Read,
        ) -> Reply<'a, Option<Fetched>> {
            Reply::run(async move {
                let is_busy = on.flag.swap(true, Ordering::SeqCst);
                yield_now().await;
                let fetched = on.inner.get(key, read).await?;
                on.flag.store(false, Ordering::SeqCst);
                Ok(fetched.map(|fetched| {
                    let other = usize::try_from(fetched.meta.size).unwrap_or(usize::MAX);
                    let body = if is_busy { vec![0; other].into() } else { fetched.body };
                    Fetched { body, ..fetched }
                }))
            })
        }
    }
}
