//! Bugs in lists.

use super::*;

bugs! {
    SortsByDirectory: the_order_of_directories_is_noticed,
        by keys_are_in_the_order_of_their_bytes {
        fn list<'a>(on: &'a Planted<Self>, list: &'a List) -> Reply<'a, Page> {
            paged(on.inner.list(list), |page| {
                page.entries.sort_by_key(|entry| entry.key.replace('/', "\0"));
            })
        }
    }

    SortsByUtf16: the_order_of_utf16_is_noticed,
        by rare_letters_are_in_the_order_of_their_bytes {
        fn list<'a>(on: &'a Planted<Self>, list: &'a List) -> Reply<'a, Page> {
            paged(on.inner.list(list), |page| {
                page.entries.sort_by_key(|entry| entry.key.encode_utf16().collect::<Vec<_>>());
            })
        }
    }

    PrefixesAreDirectories: a_prefix_that_is_taken_for_a_directory_is_noticed,
        by a_prefix_is_a_text_and_not_a_directory {
        fn list<'a>(on: &'a Planted<Self>, list: &'a List) -> Reply<'a, Page> {
            Reply::run(async move {
                let mut list = list.clone();
                if !list.prefix.is_empty() && !list.prefix.ends_with('/') {
                    list.prefix.push('/');
                }
                on.inner.list(&list).await
            })
        }
    }

    FlatListsAreDeep: a_flat_list_that_is_not_flat_is_noticed,
        by a_flat_list_tells_what_is_common_up_to_a_slash {
        fn list<'a>(on: &'a Planted<Self>, list: &'a List) -> Reply<'a, Page> {
            let deep = List { is_flat: false, ..list.clone() };
            Reply::run(async move { on.inner.list(&deep).await })
        }
    }

    EveryPageBeginsAnew: a_prefix_that_is_told_twice_is_noticed,
        by a_flat_list_tells_every_prefix_once {
        fn list<'a>(on: &'a Planted<Self>, list: &'a List) -> Reply<'a, Page> {
            paged(on.inner.list(list), |page| {
                let common = page.prefixes.last().filter(|common| page.next.as_ref() == Some(common));
                page.next = common.map(|common| format!("{common}1")).or(page.next.take());
            })
        }
    }

    BeginsWithTheKey: a_list_that_begins_with_the_key_is_noticed,
        by a_list_begins_after_the_key_that_was_named {
        fn list<'a>(on: &'a Planted<Self>, list: &'a List) -> Reply<'a, Page> {
            Reply::run(async move {
                let mut list = list.clone();
                if let Some(after) = &mut list.after {
                    after.pop();
                }
                on.inner.list(&list).await
            })
        }
    }

    PagesLoseTheirEnd: an_entry_that_is_lost_between_pages_is_noticed,
        by pages_are_as_long_as_was_said_and_miss_nothing {
        fn list<'a>(on: &'a Planted<Self>, list: &'a List) -> Reply<'a, Page> {
            paged(on.inner.list(list), |page| {
                if page.next.is_some() && page.entries.len() > 1 {
                    page.entries.pop();
                }
            })
        }
    }

    EntriesAreEmpty: an_entry_without_its_size_is_noticed,
        by an_entry_says_what_a_look_at_the_object_says {
        fn list<'a>(on: &'a Planted<Self>, list: &'a List) -> Reply<'a, Page> {
            paged(on.inner.list(list), |page| {
                for entry in &mut page.entries {
                    entry.size = 0;
                }
            })
        }
    }

    PagesAreCounted: a_page_that_is_found_by_counting_is_noticed,
        by what_changes_between_pages_changes_nothing_else {
        fn list<'a>(on: &'a Planted<Self>, list: &'a List) -> Reply<'a, Page> {
            Reply::run(async move {
                let all = List { token: None, limit: usize::MAX, ..list.clone() };
                let all = on.inner.list(&all).await?;
                let seen = list.token.as_ref().and_then(|seen| seen.parse().ok()).unwrap_or(0);
                let rest: Vec<Entry> = all.entries.into_iter().skip(seen).collect();
                let next = (rest.len() > list.limit).then(|| (seen + list.limit).to_string());
                let entries = rest.into_iter().take(list.limit).collect();
                Ok(Page { entries, next, ..all })
            })
        }
    }

    DirectoriesStay: a_directory_that_stays_is_noticed, by a_list_of_nothing_is_empty {
        fn put<'a>(
            on: &'a Planted<Self>, key: Key<'a>, content: Bytes, write: &'a Write,
        ) -> Reply<'a, Stored> {
            if let Some((first, _)) = key.as_str().split_once('/') {
                on.texts().insert(format!("{first}/"));
            }
            on.inner.put(key, content, write)
        }
        fn list<'a>(on: &'a Planted<Self>, list: &'a List) -> Reply<'a, Page> {
            let stay = on.texts().clone();
            let is_first = list.is_flat && list.prefix.is_empty();
            paged(on.inner.list(list), move |page| {
                if is_first {
                    page.prefixes = stay.into_iter().collect();
                }
            })
        }
    }

    OnePageIsAll: a_list_that_ends_with_its_first_page_is_noticed,
        by a_long_list_is_complete {
        fn list<'a>(on: &'a Planted<Self>, list: &'a List) -> Reply<'a, Page> {
            paged(on.inner.list(list), |page| page.next = None)
        }
    }
}
