//! Collects what is wrong with the settings of a gate or a selector, so that all of it is reported at once.

use std::fmt;

use crate::{Error, ErrorKind, Result};

/// The settings that cannot be as they are.
pub(crate) struct Mistakes {
    gate: &'static str,
    found: Vec<Error>,
}

impl Mistakes {
    pub(crate) fn of(gate: &'static str) -> Self {
        Self { gate, found: Vec::new() }
    }

    /// Notes that `setting` must be otherwise, unless it `holds`.
    pub(crate) fn require(
        &mut self,
        holds: bool,
        setting: &'static str,
        value: impl fmt::Debug,
        must: &'static str,
    ) {
        if !holds {
            let mistake = Error::new(ErrorKind::Config, must)
                .with_context("setting", format_args!("{}.{setting}", self.gate))
                .with_context("value", format_args!("{value:?}"));
            self.found.push(mistake);
        }
    }

    /// The only mistake as it is, several as one error.
    pub(crate) fn into_result(mut self) -> Result<()> {
        match self.found.len() {
            0 => Ok(()),
            1 => Err(self.found.remove(0)),
            _ => Err(Error::joined("several settings cannot be as they are", self.found)),
        }
    }
}
