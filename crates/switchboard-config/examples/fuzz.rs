//! Reads texts that nobody would write, for a while: `fuzz SECONDS FOLDER [SEED]`.
//!
//! Texts come from small valid ones by flips, cuts, repetitions and words of the three notations.
//! One that breaks something is written to `FOLDER/last-input`. A run with the same seed tries the same
//! texts, and writes each before it is read, so that it is there even after a crash of the program.
//! Of each it is checked that nothing panics, every place lies inside the text, reading twice gives
//! the same, the report renders, and none of it takes a second; all of that also of the whole load. The seed of a run is printed.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "printing is what a program is for")]
#![expect(
    clippy::disallowed_methods,
    reason = "a program that runs for a while measures time and picks a seed itself"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use switchboard_config::{Format, Loader, Parsed, Report, Sources, parse};
use switchboard_core::settings::Node;
use switchboard_core::{Origin, Problems};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let seconds = arguments.first().and_then(|text| text.parse().ok()).unwrap_or(30);
    let folder = arguments.get(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let known = arguments.get(2).and_then(|text| text.parse().ok());
    let seed = known.unwrap_or_else(seed_of_now);
    println!("seed {seed}, for {seconds} seconds");
    let file = folder.join("last-input");
    match run(seed, Duration::from_secs(seconds), &file, known.is_some()) {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}\nseed {seed}, input in {}", file.display());
            ExitCode::FAILURE
        }
    }
}

fn run(seed: u64, span: Duration, file: &Path, writes_all: bool) -> Result<String, String> {
    let mut random = Random(seed);
    let mut pool: Vec<Vec<u8>> = SEEDS.iter().map(|text| text.as_bytes().to_vec()).collect();
    let (mut count, mut bytes, mut right, mut slowest) = (0_u64, 0, 0_u64, Duration::ZERO);
    let start = Instant::now();
    while start.elapsed() < span {
        let input = mutated(&mut random, &pool);
        if writes_all {
            write(file, &input)?;
        }
        let is_right =
            tried(&input, &mut slowest).or_else(|failure| write(file, &input).and(Err(failure)))?;
        count += 1;
        bytes += input.len();
        right += u64::from(is_right);
        // What is still right leads on to what is nearly right; what is not seldom leads anywhere.
        if is_right || random.below(64) == 0 {
            keep(&mut random, &mut pool, input);
        }
    }
    Ok(format!("{count} inputs, {bytes} bytes, {right} of them right, slowest {slowest:?}"))
}

/// Whether nothing is wrong with the input in some notation.
fn tried(input: &[u8], slowest: &mut Duration) -> Result<bool, String> {
    let mut is_right = false;
    for format in [Format::Toml, Format::Yaml, Format::Json] {
        let began = Instant::now();
        is_right |= checked(input, format)?;
        let taken = began.elapsed();
        *slowest = taken.max(*slowest);
        if taken > TIME_MAX {
            return Err(format!("{format} took {taken:?} for {} bytes", input.len()));
        }
    }
    Ok(is_right)
}

fn write(file: &Path, input: &[u8]) -> Result<(), String> {
    std::fs::write(file, input).map_err(|error| format!("the input cannot be written: {error}"))
}

fn keep(random: &mut Random, pool: &mut Vec<Vec<u8>>, input: Vec<u8>) {
    if pool.len() < POOL_MAX {
        return pool.push(input);
    }
    let at = SEEDS.len() + random.below(POOL_MAX - SEEDS.len());
    pool[at] = input;
}

/// Whether nothing is wrong with the input; an error if something is wrong with its reader.
fn checked(input: &[u8], format: Format) -> Result<bool, String> {
    let check = || {
        let first = parse(Path::new("x"), input, format);
        let second = parse(Path::new("x"), input, format);
        if first.settings != second.settings || first.problems != second.problems {
            return Err(format!("{format}: read twice, it is not the same"));
        }
        check_places(&first, input)?;
        check_load(input, format)?;
        check_report(first)
    };
    catch_unwind(AssertUnwindSafe(check)).map_err(|_| format!("{format}: a panic"))?
}

/// Inheriting, filling in and laying over each other what was read.
fn check_load(input: &[u8], format: Format) -> Result<(), String> {
    let load = || {
        Loader::new()
            .text("x", format, input)
            .text("y", Format::Toml, "a.b.extends = 'c'\na.c.d = '${V:-${W}}'")
            .variables([("V", "1"), ("SWITCHBOARD__A__B__D", "[1, '2']")])
            .load()
    };
    let (first, second) = (load(), load());
    if first.settings != second.settings || first.problems != second.problems {
        return Err(format!("{format}: loaded twice, it is not the same"));
    }
    drop(Report::new(&first.problems, &first.sources).to_string());
    Ok(())
}

fn check_places(parsed: &Parsed, input: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(input);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let widths: Vec<usize> = text.split('\n').map(|line| line.chars().count()).collect();
    let is_inside = |origin: &Origin| match origin {
        Origin::File { line, column, .. } => {
            let width = widths.get((*line as usize).wrapping_sub(1));
            width.is_some_and(|width| (1..=width + 1).contains(&(*column as usize)))
        }
        _ => false,
    };
    let mut waiting: Vec<&Node> = Vec::new();
    waiting.extend(parsed.settings.iter().flat_map(|table| table.iter().map(|(_, node)| node)));
    let mut places: Vec<&Origin> = parsed.problems.iter().map(|one| &one.origin).collect();
    while let Some(node) = waiting.pop() {
        places.extend([node.origin(), node.key_origin()]);
        waiting.extend(node.as_list().unwrap_or_default());
        waiting.extend(
            node.as_table().into_iter().flat_map(|table| table.iter().map(|(_, node)| node)),
        );
    }
    match places.into_iter().find(|origin| !is_inside(origin)) {
        Some(origin) => Err(format!("{origin} is outside of the text")),
        None => Ok(()),
    }
}

fn check_report(parsed: Parsed) -> Result<bool, String> {
    if parsed.settings.is_none() && parsed.problems.is_empty() {
        return Err("nothing was read, and nothing is wrong".to_owned());
    }
    let problems = Problems::from_iter(parsed.problems);
    let sources = Sources::from_iter([parsed.source]);
    let report = Report::new(&problems, &sources);
    let shown = [report.to_string(), report.json()].concat();
    // What a report itself begins its lines with is all that a terminal may act on.
    if shown.contains(|c: char| c.is_control() && c != '\n') {
        return Err("the report holds characters that a terminal acts on".to_owned());
    }
    Ok(problems.is_empty())
}

fn mutated(random: &mut Random, pool: &[Vec<u8>]) -> Vec<u8> {
    let known = if random.below(2) == 0 { SEEDS.len() } else { pool.len() };
    let mut bytes = pool[random.below(known)].clone();
    for _ in 0..=random.below(4) {
        mutate(random, pool, &mut bytes);
    }
    bytes.truncate(INPUT_BYTES_MAX);
    bytes
}

fn mutate(random: &mut Random, pool: &[Vec<u8>], bytes: &mut Vec<u8>) {
    let at = random.below(bytes.len() + 1);
    let end = at + random.below((bytes.len() - at).min(64) + 1);
    match random.below(8) {
        0 => bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << random.below(8)),
        1 => bytes.get_mut(at).into_iter().for_each(|byte| *byte = random.byte()),
        2 => drop(bytes.drain(at..end)),
        3 => {
            let part = bytes[at..end].repeat(random.below(40));
            bytes.splice(at..at, part);
        }
        4 => {
            let other = &pool[random.below(pool.len())];
            let from = random.below(other.len() + 1);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        5 => {
            let word = WORDS[random.below(WORDS.len())].as_bytes();
            let times = if random.below(20) == 0 { random.below(3000) } else { 1 };
            bytes.splice(at..at, word.repeat(times));
        }
        6 => {
            let word = WORDS[random.below(WORDS.len())].as_bytes();
            bytes.splice(at..end, word.iter().copied());
        }
        _ => {
            let other = &pool[random.below(pool.len())];
            let from = random.below(other.len() + 1);
            let to = (from + random.below(80)).min(other.len());
            bytes.splice(at..at, other[from..to].iter().copied());
        }
    }
}

/// `SplitMix64`: small, and good enough to wander about.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        let end = end.max(1) as u64;
        usize::try_from(self.next() % end).unwrap_or_default()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

fn seed_of_now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos() % u128::from(u64::MAX)).unwrap_or_default()
}

/// How long one input may take in one notation.
const TIME_MAX: Duration = Duration::from_secs(1);

/// How many texts there are to start from.
const POOL_MAX: usize = 256;

/// How long an input may get, in bytes.
const INPUT_BYTES_MAX: usize = 256 * 1024;

const SEEDS: &[&str] = &[
    "",
    "[cache]\ndefault = \"main\"\n\n[cache.main]\ndriver = \"memory\"\nmax_entries = 100_000\n\
     [cache.sessions]\nurl = \"redis://127.0.0.1:6379/0\"\nretry = { attempts = 3, backoff = \"20ms..1s\" }\n",
    "a.b.c = 0x1f\n\"quoted key\" = '''\nmany\nlines'''\n[[list]]\nx = [1, 2.5, true, [\"ü\\u00fc\"]]\n[[list]]\ny = 1979-05-27T07:32:00Z # c\n",
    "cache:\n  default: main\n  main: &base {driver: memory, max_entries: 100}\n  other:\n    <<: *base\n    text: |\n      many\n      lines\n  list:\n    - a\n    - 'b'\n    - \"c\\u00fc\"\n",
    "%YAML 1.2\n---\n? key\n: >-\n  folded\n  text\nempty:\nnumbers: [0x1f, 0o17, -1.5e3, ~, !!str 12]\n...\n",
    "[a.b]\nextends = \"c\"\nurl = \"${V}/${W:-x}\"\n[a.c]\nabstract = true\nextends = \"d\"\n[a.d]\nx = \"$$\"\n",
    "{\"cache\": {\"main\": {\"driver\": \"memory\", \"max\": -1.5e3, \"list\": [1, true, null, \"\\ud83d\\ude00\"]}}}",
];

const WORDS: &[&str] = &[
    "extends",
    "extends = 'b'\n",
    "abstract = true\n",
    "${V}",
    "${V:-",
    "${W:?",
    "${file:x}",
    "$$",
    "${",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    ",",
    ":",
    ": ",
    "=",
    " = ",
    ".",
    "a",
    "a.",
    "\"",
    "'",
    "\"\"\"",
    "'''",
    "\n",
    "\r\n",
    "\r",
    "\t",
    " ",
    "  ",
    "#",
    "# c\n",
    "- ",
    "? ",
    "&a ",
    "*a",
    "<<: *a\n",
    "|",
    "|+2\n",
    ">-\n",
    "!!str ",
    "!!int ",
    "!x ",
    "!<x> ",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "%TAG ! x\n",
    "010",
    "0x",
    "0o17",
    "1e400",
    ".inf",
    "nan",
    "-",
    "18446744073709551616",
    "true",
    "null",
    "~",
    "\\",
    "\\u0000",
    "\\ud83d",
    "\\x",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "ü",
    "😀",
    "\u{202e}",
    "\u{1b}[31m",
    "\0",
    "1979-05-27",
    "{\"a\":",
    "[a]\n",
    "[a.b]\n",
    "a = 1\n",
    "a: 1\n",
    "a: &b [*b, ",
];
