//! One file becomes one tree of settings, each of which knows its line and column.
//!
//! Read in this order: [`parse`] and [`Parsed`]; [`Format`]; then `toml`, `yaml` and
//! `json`, which translate the events of one notation each, and `tree`, what the latter two build
//! with. The three give the same tree for the same data. Variables, inheritance and what the
//! settings mean are left to others.

mod json;
mod reading;
mod toml;
mod tree;
mod yaml;

use std::fmt;
use std::path::Path;

use switchboard_core::{Origin, Problem, Settings};

use crate::Source;
use reading::Reading;

/// The largest file that is read, in bytes.
pub const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How many settings one file may hold, tables and items of lists included. What an alias of YAML
/// repeats counts each time.
pub const NODES_MAX: usize = 200_000;

/// A notation of settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// `.toml`
    Toml,
    /// `.yaml` and `.yml`
    Yaml,
    /// `.json`
    Json,
}

/// What came of one file.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The settings; `None` where some of them could not be read, so that what is missing would be
    /// a mistake of its own. A key that is set twice leaves them whole: the first one counts.
    pub settings: Option<Settings>,
    /// The text, for excerpts.
    pub source: Source,
    /// What is wrong with the text, at most 100 mistakes.
    pub problems: Vec<Problem>,
}

/// Reads `bytes`, which are the content of the file `name`.
///
/// Never panics, and takes time and memory in proportion to the bytes. An empty file is an empty
/// table. Dates of TOML and timestamps of YAML are read as text. In YAML only `true` and `false` are
/// truth values, a number with leading zeros is a mistake, anchors and merge keys work, and keys are
/// text. JSON is as strict as its standard.
///
/// ```
/// use std::path::Path;
/// use switchboard_config::{Format, parse};
///
/// let parsed = parse(Path::new("switchboard.yaml"), b"cache:\n  main: memory://\n", Format::Yaml);
/// let settings = parsed.settings.unwrap_or_default();
/// let main = settings.get("cache.main").map(|node| node.origin().to_string());
/// assert_eq!(main.as_deref(), Some("switchboard.yaml:2:9"));
/// ```
pub fn parse(name: &Path, bytes: &[u8], format: Format) -> Parsed {
    let (text, broken) = text_of(bytes);
    let mut reading = Reading::new(name, text);
    if let Some((offset, message)) = broken {
        reading.trust_until(offset);
        reading.mistake(offset, "", message);
        return reading.finish(None);
    }
    let settings = match format {
        _ if text.trim().is_empty() => Ok(Settings::at(reading.origin(0))),
        Format::Toml => toml::read(&mut reading),
        Format::Yaml => yaml::read(&mut reading),
        Format::Json => json::read(&mut reading),
    };
    reading.finish(settings.ok())
}

impl Format {
    /// The notation of a file, by its extension.
    ///
    /// # Errors
    ///
    /// A problem that lists the extensions there are.
    pub fn of(path: &Path) -> Result<Self, Problem> {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        match extension.as_str() {
            "toml" => Ok(Self::Toml),
            "yaml" | "yml" => Ok(Self::Yaml),
            "json" => Ok(Self::Json),
            _ => Err(unknown_extension(path)),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Toml => "TOML",
            Self::Yaml => "YAML",
            Self::Json => "JSON",
        })
    }
}

fn unknown_extension(path: &Path) -> Problem {
    let message = "the name of the file does not say how it is written";
    Problem::new("", Origin::file(path, 1, 1), message)
        .with_hint("the known endings are .toml, .yaml, .yml and .json")
}

/// The text without its byte order mark, up to the first byte that no settings can hold.
fn text_of(bytes: &[u8]) -> (&str, Option<(usize, &'static str)>) {
    if bytes.len() > FILE_BYTES_MAX {
        return ("", Some((0, "the file is larger than 4 MiB")));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let (text, is_whole) = match std::str::from_utf8(bytes) {
        Ok(text) => (text, true),
        Err(error) => {
            let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
            (std::str::from_utf8(valid).unwrap_or_default(), false)
        }
    };
    // The reader of YAML takes it for the end of the file.
    if let Some(nul) = text.find('\0') {
        return (text, Some((nul, "a NUL byte, which no text holds")));
    }
    let broken = (text.len(), "a byte that is not UTF-8");
    (text, (!is_whole).then_some(broken))
}
