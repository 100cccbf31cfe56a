//! Measures Switchboard beside its peers, and writes what came out to `RESULTS.md`.
//!
//! Reading order: `lines/mod.rs` (what is measured), `line.rs` (what a line is made of),
//! `measure.rs` (how), `verdict.rs` and `report.rs` (what is made of it).

mod allocations;
mod asking;
mod board;
mod crew;
mod databases;
mod driver;
mod folder;
mod line;
mod lines;
mod machine;
mod measure;
mod ours;
mod report;
mod rig;
mod server;
mod services;
mod stats;
mod stores;
mod stream;
mod swap;
mod verdict;

use std::env;
use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use line::Line;
use machine::Stamp;
use measure::{Plan, measure};

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

fn main() -> ExitCode {
    if let Some(served) = server::serve() {
        return served;
    }
    // The peers that would encrypt want to know with what, even where they do not.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (flags, names): (Vec<String>, Vec<String>) =
        env::args().skip(1).partition(|argument| argument.starts_with('-'));
    let lines = lines::all();
    let unknown_flag = flags.iter().find(|flag| !["--quick", "--list"].contains(&flag.as_str()));
    let unknown_name = names.iter().find(|name| {
        SECTIONS.iter().all(|section| section.name != **name)
            && lines.iter().all(|line| line.name != **name)
    });

    if let Some(unknown) = unknown_flag.or(unknown_name) {
        eprintln!("unknown: {unknown}\n\n{USAGE}");
        return ExitCode::from(2);
    }
    if flags.iter().any(|flag| flag == "--list") {
        list(&lines);
        return ExitCode::SUCCESS;
    }
    if cfg!(debug_assertions) {
        eprintln!("figures of an unoptimised build mean nothing; run with `--release`");
        return ExitCode::from(2);
    }
    let plan = if flags.is_empty() { Plan::FULL } else { Plan::QUICK };
    match run(&lines, &names, &plan) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the results could not be written: {error}");
            ExitCode::FAILURE
        }
    }
}

fn list(lines: &[Line]) {
    for line in lines {
        println!("{:16} {}", line.name, line.about);
    }
    for section in SECTIONS {
        println!("{:16} {}", section.name, section.about);
    }
}

/// Runs the lines called `names`, or all of them, and writes after each, so that a run that is
/// stopped keeps what it has.
fn run(lines: &[Line], names: &[String], plan: &Plan) -> io::Result<()> {
    let sections = SECTIONS.iter().map(|section| section.name);
    let order: Vec<&str> = lines.iter().map(|line| line.name).chain(sections).collect();
    let is_wanted = |own: &str| names.is_empty() || names.iter().any(|name| name == own);
    for line in lines.iter().filter(|line| is_wanted(line.name)) {
        if let Some(missing) = line.missing() {
            eprintln!("not measured: {}, because {missing}", line.name);
            continue;
        }
        eprintln!("measuring {} …", line.name);
        let before = Stamp::now();
        let results = measure(line, plan);
        let after = Stamp::now();
        let section = report::section(line, plan, &results, [&before, &after]);
        println!("{section}");
        write(section, &order, &after)?;
    }
    for section in SECTIONS.iter().filter(|section| is_wanted(section.name)) {
        eprintln!("measuring {} …", section.name);
        let page = (section.run)();
        println!("{page}");
        write(page, &order, &Stamp::now())?;
    }
    Ok(())
}

fn write(section: String, order: &[&str], stamp: &Stamp) -> io::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("RESULTS.md");
    let page = match fs::read_to_string(&path) {
        Ok(page) => page,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    fs::write(path, report::merge(&page, vec![section], order, stamp))
}

/// What is measured without being a line: it writes its section itself.
struct Section {
    name: &'static str,
    about: &'static str,
    run: fn() -> String,
}

const SECTIONS: &[Section] = &[
    Section { name: stream::NAME, about: stream::ABOUT, run: stream::section },
    Section { name: swap::NAME, about: swap::ABOUT, run: swap::section },
    Section { name: board::NAME, about: board::ABOUT, run: board::section },
];

const USAGE: &str = "usage: switchboard-bench [NAME…] [--quick] [--list]

  NAME     only the lines of these names
  --quick  fewer and shorter rounds, to see whether everything runs
  --list   the names of all lines";
