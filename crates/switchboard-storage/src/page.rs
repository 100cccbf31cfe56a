//! Pages of a list, of a service that has its keys in the order of their bytes and knows nothing of pages.

use std::future::Future;

use switchboard_core::{Error, ErrorKind, Result};

use crate::{Entry, List, Page};

impl List {
    /// The page that is asked for, of a service that can tell its objects from a text on, in the order of the
    /// bytes of their keys.
    ///
    /// `rows` is asked for so many objects whose keys are not before a text, and answers with fewer only where
    /// there are no more. What is beneath a common prefix is asked for once, however much it is.
    ///
    /// ```
    /// # use std::collections::BTreeMap;
    /// # use std::time::SystemTime;
    /// # use switchboard_storage::{Entry, List, Page, Version};
    /// # async fn listed(list: &List) -> switchboard_core::Result<Page> {
    /// # let sizes = BTreeMap::<String, u64>::new();
    /// # let (now, version) = (SystemTime::UNIX_EPOCH, Version::new("1"));
    /// list.page(async |from, count| {
    ///     let rows = sizes.range(from..).take(count);
    ///     Ok(rows.map(|(key, size)| Entry::new(key, *size, now, version.clone())).collect())
    /// })
    /// .await
    /// # }
    /// ```
    pub async fn page<F, Fut>(&self, rows: F) -> Result<Page>
    where
        F: Fn(String, usize) -> Fut,
        Fut: Future<Output = Result<Vec<Entry>>>,
    {
        let (mut page, mut from, mut step) = (Page::default(), self.from(), self.step());
        loop {
            let room = self.limit.saturating_sub(page.entries.len() + page.prefixes.len());
            let count = step.min(room.saturating_add(1));
            let found = rows(from.clone(), count).await?;
            let is_wanted = |entry: &Entry| entry.key.starts_with(&self.prefix);
            let is_end = found.len() < count || !found.last().is_none_or(is_wanted);
            ensure_order(&from, &found)?;
            let told = page.prefixes.len();
            for entry in found.into_iter().take_while(is_wanted) {
                let common = self.common(&entry.key);
                if common.is_some() && common == page.prefixes.last().map(String::as_str) {
                    continue;
                }
                if page.entries.len() + page.prefixes.len() >= self.limit {
                    return Ok(page);
                }
                let last = common.unwrap_or(&entry.key);
                from = beyond(last);
                page.next = Some(last.to_owned());
                match common {
                    Some(common) => page.prefixes.push(common.to_owned()),
                    None => page.entries.push(entry),
                }
            }
            if is_end {
                return Ok(Page { next: None, ..page });
            }
            // Beneath a prefix may be more than anybody wants to see.
            let is_common = page.prefixes.len() > told;
            step = if is_common { self.step() } else { step.saturating_mul(2) };
        }
    }

    /// The text that it begins with.
    fn from(&self) -> String {
        match (&self.token, &self.after) {
            (Some(token), _) => beyond(token),
            (None, Some(after)) if *after >= self.prefix => after_text(after),
            _ => self.prefix.clone(),
        }
    }

    /// What `key` has in common with others up to a `/`, where that is told instead.
    fn common<'k>(&self, key: &'k str) -> Option<&'k str> {
        let rest = key.get(self.prefix.len()..).filter(|_| self.is_flat)?;
        rest.find('/').map(|end| &key[..=self.prefix.len() + end])
    }

    /// How many are asked for where nothing is known of what comes.
    fn step(&self) -> usize {
        if self.is_flat { FLAT_STEP } else { usize::MAX }
    }
}

/// The first text after a key, or after everything that begins with a prefix up to its `/`. No key ends with one.
fn beyond(last: &str) -> String {
    match last.strip_suffix('/') {
        // The byte after `/` is `0`.
        Some(prefix) => format!("{prefix}0"),
        None => after_text(last),
    }
}

/// The first text after `text` that a key can begin with: keys have no control characters.
fn after_text(text: &str) -> String {
    format!("{text}\u{1}")
}

/// A service that sorts otherwise would be asked for the same again and again, or miss what it has.
fn ensure_order(from: &str, found: &[Entry]) -> Result<()> {
    let keys = || found.iter().map(|entry| entry.key.as_str());
    if keys().next().is_none_or(|first| first >= from) && keys().is_sorted() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Unexpected,
        "the service does not tell keys in the order of their bytes",
    )
    .with_hint("a database compares texts by their bytes in the collation `C` or `BINARY`"))
}

/// How many are asked for in a flat list, where most may be beneath one prefix.
const FLAT_STEP: usize = 16;

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeSet;
    use std::future::ready;
    use std::time::SystemTime;

    use futures_util::FutureExt as _;

    use super::*;
    use crate::Version;

    fn list(prefix: &str, is_flat: bool, limit: usize) -> List {
        List { prefix: prefix.to_owned(), is_flat, after: None, token: None, limit }
    }

    fn entry(key: &str) -> Entry {
        Entry::new(key, 0, SystemTime::UNIX_EPOCH, Version::new("1"))
    }

    /// All that pages tell of `keys`, and how many rows they asked for.
    fn all(list: &List, keys: &BTreeSet<String>) -> (Vec<String>, usize) {
        let (mut list, mut told, count_of_rows) = (list.clone(), Vec::new(), Cell::new(0));
        loop {
            let rows = |from: String, count| {
                let rows: Vec<_> = keys.range(from..).take(count).map(|key| entry(key)).collect();
                count_of_rows.set(count_of_rows.get() + rows.len());
                ready(Ok(rows))
            };
            let page = list.page(rows).now_or_never().unwrap().unwrap();
            assert!(page.entries.len() + page.prefixes.len() <= list.limit);
            assert!(page.next.is_none() || page.entries.len() + page.prefixes.len() == list.limit);
            told.extend(page.entries.into_iter().map(|entry| entry.key));
            told.extend(page.prefixes);
            match page.next {
                Some(next) => list.token = Some(next),
                None => break,
            }
        }
        told.sort();
        (told, count_of_rows.get())
    }

    /// What a list tells, said in the simplest way.
    fn expected(list: &List, keys: &BTreeSet<String>) -> Vec<String> {
        let is_in = |key: &&String| {
            key.starts_with(&list.prefix) && list.after.as_ref().is_none_or(|after| *key > after)
        };
        let told = keys.iter().filter(is_in).map(|key| {
            let end = key[list.prefix.len()..].find('/').filter(|_| list.is_flat);
            end.map_or(key.as_str(), |end| &key[..=list.prefix.len() + end]).to_owned()
        });
        told.collect::<BTreeSet<_>>().into_iter().collect()
    }

    proptest::proptest! {
        #[test]
        fn pages_tell_what_there_is_once_whatever_there_is(
            keys in proptest::collection::btree_set("[ab0]{1,2}(/[ab.0]{1,2}){0,2}", 0..60),
            prefix in "([ab]/?){0,2}",
            after in proptest::option::of("[ab0]{1,2}(/[ab]?)?"),
            is_flat: bool,
            limit in 1_usize..20,
        ) {
            let asked = List { after, ..list(&prefix, is_flat, limit) };
            proptest::prop_assert_eq!(all(&asked, &keys).0, expected(&asked, &keys));
        }
    }

    #[test]
    fn what_is_beneath_a_common_prefix_is_not_asked_for() {
        let keys = (0..10_000).map(|number| format!("{}/{number:05}", number % 3)).collect();
        let (told, rows) = all(&list("", true, 1_000), &keys);
        assert_eq!(told, ["0/", "1/", "2/"]);
        assert!(rows <= 4 * FLAT_STEP, "{rows} rows were asked for");
    }

    #[test]
    fn a_long_directory_is_asked_for_a_few_times() {
        let keys: BTreeSet<_> = (0..1_000).map(|number| format!("k{number:04}")).collect();
        let questions = Cell::new(0);
        let rows = |from: String, count| {
            questions.set(questions.get() + 1);
            ready(Ok(keys.range(from..).take(count).map(|key| entry(key)).collect()))
        };
        let page = list("", true, 1_000).page(rows).now_or_never().unwrap().unwrap();
        assert_eq!(page.entries.len(), 1_000);
        assert!(questions.get() < 10, "{} questions", questions.get());
    }

    #[test]
    fn a_service_that_sorts_otherwise_is_found_out() {
        for rows in [vec!["b", "A"], vec!["A", "a"]] {
            let rows = |_, _| ready(Ok(rows.iter().map(|key| entry(key)).collect()));
            let page = list("a", false, 10).page(rows).now_or_never().unwrap();
            assert_eq!(page.unwrap_err().kind(), ErrorKind::Unexpected);
        }
    }
}
