//! Which files a board of the command is configured from.

use std::path::{Path, PathBuf};

use switchboard::Builder;
use switchboard_core::{Error, ErrorKind, Origin, Result};

use crate::arguments::Common;

/// The builder with the files and the profile that were named, or the file that is usual.
pub(crate) fn added(mut builder: Builder, common: &Common) -> Result<Builder> {
    if let Some(profile) = &common.profile {
        builder = builder.profile_from(profile, Origin::named("--profile"));
    }
    if !common.config.is_empty() {
        return Ok(common.config.iter().fold(builder, Builder::file));
    }
    // A file that is there is meant: one that goes while a board runs is a mistake, and does not leave
    // the board with its defaults.
    let usual = usual()?;
    Ok(if usual.exists() { builder.file(usual) } else { builder.optional_file(usual) })
}

/// What a builder reads, in words, for the person who starts a board.
pub(crate) fn described(builder: &Builder) -> String {
    let read = builder.sources().filter(|(path, is_required)| *is_required || path.exists());
    let read = read.map(|(path, _)| path.display().to_string()).collect::<Vec<_>>();
    if read.is_empty() { "embedded defaults".to_owned() } else { read.join(", ") }
}

/// The file of the present folder; the first name where there is none, for it may come.
fn usual() -> Result<PathBuf> {
    let mut found = USUAL.iter().copied().filter(|name| Path::new(name).exists());
    let first = found.next().unwrap_or(USUAL[0]);
    match found.next() {
        None => Ok(first.into()),
        Some(second) => {
            Err(Error::new(ErrorKind::Config, "this folder has two files that could be meant")
                .with_context("files", format_args!("{first}, {second}"))
                .with_hint("name the ones to read with `-c`"))
        }
    }
}

/// What a configuration is called that nobody has named.
const USUAL: [&str; 4] =
    ["switchboard.toml", "switchboard.yaml", "switchboard.yml", "switchboard.json"];
