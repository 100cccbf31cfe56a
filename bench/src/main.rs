//! Measures Switchboard beside its peers, and writes what came out to `RESULTS.md`.
//!
//! Reading order: `lines/mod.rs` (what is measured), `line.rs` (what a line is made of),
//! `measure.rs` (how), `verdict.rs` and `report.rs` (what is made of it).

mod allocations;
mod board;
mod crew;
mod driver;
mod line;
mod lines;
mod machine;
mod measure;
mod ours;
mod report;
mod rig;
mod stats;
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
    let (flags, names): (Vec<String>, Vec<String>) =
        env::args().skip(1).partition(|argument| argument.starts_with('-'));
    let lines = lines::all();
    let unknown_flag = flags.iter().find(|flag| !["--quick", "--list"].contains(&flag.as_str()));
    let unknown_name = names.iter().find(|name| {
        ![swap::NAME, board::NAME].contains(&name.as_str())
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
        println!("{:10} {}", line.name, line.about);
    }
    println!("{:10} {}", swap::NAME, swap::ABOUT);
    println!("{:10} {}", board::NAME, board::ABOUT);
}

/// Runs the lines called `names`, or all of them, and writes after each, so that a run that is
/// stopped keeps what it has.
fn run(lines: &[Line], names: &[String], plan: &Plan) -> io::Result<()> {
    let order: Vec<&str> =
        lines.iter().map(|line| line.name).chain([swap::NAME, board::NAME]).collect();
    let wanted = |line: &&Line| names.is_empty() || names.iter().any(|name| name == line.name);
    for line in lines.iter().filter(wanted) {
        eprintln!("measuring {} …", line.name);
        let before = Stamp::now();
        let results = measure(line, plan);
        let after = Stamp::now();
        let section = report::section(line, plan, &results, [&before, &after]);
        println!("{section}");
        write(section, &order, &after)?;
    }
    for (name, section) in
        [(swap::NAME, swap::section as fn() -> String), (board::NAME, board::section)]
    {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            eprintln!("measuring {name} …");
            let section = section();
            println!("{section}");
            write(section, &order, &Stamp::now())?;
        }
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

const USAGE: &str = "usage: switchboard-bench [NAME…] [--quick] [--list]

  NAME     only the lines of these names
  --quick  fewer and shorter rounds, to see whether everything runs
  --list   the names of all lines";
