//! What a change of many instances has done.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::one_error;
use crate::reaper::Job;
use crate::{Error, Result};

/// What a change has done.
#[derive(Debug, Default)]
#[non_exhaustive]
#[must_use = "old drivers are closed in the background; `closed` waits for them"]
pub struct Committed {
    /// Instances that were not there before.
    pub added: Vec<String>,
    /// Instances with other settings, and groups with other members.
    pub swapped: Vec<String>,
    /// Instances with other gates and limits and the same driver.
    pub retuned: Vec<String>,
    /// Instances that are there no more.
    pub removed: Vec<String>,
    /// The number of the generation of each that was added or swapped.
    pub generations: BTreeMap<String, u64>,
    pub(super) leaving: Vec<Job>,
    pub(super) errors: Vec<Error>,
}

impl Committed {
    pub(super) fn nothing(error: Error) -> Self {
        Self { errors: vec![error], ..Self::default() }
    }

    /// What did not come about, known as soon as the commit is over: because the manager, or an
    /// instance, was closed before.
    pub fn errors(&self) -> &[Error] {
        &self.errors
    }

    /// Ends when everything that was removed or swapped out has been drained and closed. Also tells
    /// the [`errors`](Self::errors) of the commit itself.
    pub async fn closed(self) -> Result<()> {
        let ended = join_all(self.leaving.into_iter().map(Job::ended)).await;
        let errors = self.errors.into_iter().chain(ended.into_iter().filter_map(Result::err));
        one_error("not everything that was replaced has closed", errors.collect())
    }
}
