//! The way in: reads what was said, has it done, and turns the end into an exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::FromArgMatches as _;
use clap::error::ErrorKind as Usage;
use switchboard::Builder;
use switchboard_core::{Error, ErrorKind};

use crate::arguments::{Arguments, Command, Format, Up};
use crate::commands;
use crate::failure::{Exit, Result};
use crate::notes::Notes;
use crate::program::Program;
use crate::screen::Screen;
use crate::session::{Input, Session};
use crate::surroundings::{Surroundings, Variables};
use crate::warnings::Warnings;

/// The whole command, for the `main` of a program: [`run`] in the surroundings of the process.
///
/// Warnings that are told through `tracing` go to stderr, unless the program has a subscriber already.
pub fn main(builder: Builder) -> ExitCode {
    main_in(builder, Surroundings::of_process())
}

/// Like [`main`], for a program with a version of its own: `env!("CARGO_PKG_VERSION")`.
pub fn main_with_version(builder: Builder, version: &str) -> ExitCode {
    main_in(
        builder,
        Surroundings { version: Some(version.to_owned()), ..Surroundings::of_process() },
    )
}

fn main_in(builder: Builder, surroundings: Surroundings) -> ExitCode {
    run_watched(builder, surroundings, |notes| {
        // A program that has a subscriber of its own wants to have the warnings there.
        drop(tracing::subscriber::set_global_default(Warnings(notes)));
    })
}

/// The whole command: what was said to it is done with boards that are made from `builder`.
///
/// Files that the command names lie over those that `builder` reads. Must not be called on a thread
/// that belongs to a runtime, for it brings its own.
pub fn run(builder: Builder, surroundings: Surroundings) -> ExitCode {
    run_watched(builder, surroundings, drop)
}

fn run_watched(
    builder: Builder,
    surroundings: Surroundings,
    watch: impl FnOnce(Notes),
) -> ExitCode {
    let Surroundings { arguments, version, variables, input, is_typed, output, errors } =
        surroundings;
    let variables = Variables::of(variables);
    let program = Program::of(&arguments, version);
    let format = format_said(&arguments);
    let mut screen = Screen::new(output, errors, format, &variables.text);
    let notes = screen.notes();
    watch(notes.clone());
    let exit = match read(&program, arguments) {
        Err(usage) => tell_usage(&mut screen, &usage),
        Ok(said) => {
            screen.format = said.common.format;
            let Arguments { common, up, command } = said;
            let command = command.unwrap_or(Command::Up(up));
            let input = Input { bytes: input, is_typed };
            let mut session = Session::new(common, screen, program, variables, input, builder);
            started(&mut session, command)
        }
    };
    notes.wait_until_written();
    ExitCode::from(exit as u8)
}

fn read(
    program: &Program,
    arguments: Vec<OsString>,
) -> std::result::Result<Arguments, clap::Error> {
    let mut command = program.command();
    let said = Arguments::from_arg_matches(&command.try_get_matches_from_mut(arguments)?)?;
    if said.command.is_some() && said.up != Up::default() {
        return Err(command.error(
            Usage::ArgumentConflict,
            "what belongs to `up` stands behind it, or no command is named",
        ));
    }
    match contradiction(&said) {
        Some(contradiction) => Err(command.error(Usage::ArgumentConflict, contradiction)),
        None => Ok(said),
    }
}

/// What was said together that nobody can mean.
fn contradiction(said: &Arguments) -> Option<&'static str> {
    let common = &said.common;
    let writes_rows = said.command.as_ref().is_some_and(Command::writes_rows);
    if common.format == Format::Csv && !writes_rows {
        return Some("`--format csv` is for commands that write rows");
    }
    let asks = said.command.as_ref().is_some_and(Command::asks_a_running_board);
    match &common.address {
        Some(_) if !asks => Some("`--address` is for commands that ask a running board"),
        Some(_) if common.offline => Some("`--offline` asks no running board, `--address` does"),
        Some(_) if common.home.is_some() => Some("`--home` and `--address` name a board each"),
        _ => None,
    }
}

/// What the person asked for, or did not get right.
fn tell_usage(screen: &mut Screen, usage: &clap::Error) -> Exit {
    if !usage.use_stderr() {
        let told = screen.write(usage.to_string());
        return told.map_or_else(|failure| failure.exit(), |()| Exit::Fine);
    }
    if screen.is_json() {
        let text = usage.to_string();
        let message = text.trim_start_matches("error: ").trim_end().to_owned();
        screen.tell(&Error::new(ErrorKind::InvalidInput, message).into());
    } else {
        screen.note(usage.to_string().trim_end());
    }
    Exit::Usage
}

fn started(session: &mut Session, command: Command) -> Exit {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("switchboard")
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let error = Error::new(ErrorKind::Unexpected, "the runtime could not be started")
                .with_source(error);
            return ended(session, Err(error.into()));
        }
    };
    let exit = runtime.block_on(commands::run(session, command));
    // Nothing is waited for that did not end in its time: a second Ctrl-C means it.
    runtime.shutdown_background();
    ended(session, exit)
}

fn ended(session: &Session, exit: Result<Exit>) -> Exit {
    match exit {
        Ok(exit) => exit,
        Err(failure) => {
            session.screen.tell(&failure);
            failure.exit()
        }
    }
}

/// The format as far as it can be seen before the arguments are understood: mistakes in them are told
/// in it too.
fn format_said(arguments: &[OsString]) -> Format {
    let is_json = arguments.windows(2).any(|pair| pair[0] == "--format" && pair[1] == "json")
        || arguments.iter().any(|argument| argument == "--format=json");
    if is_json { Format::Json } else { Format::Text }
}

/// Threads that do the work; what takes long waits for services and not for a processor.
const WORKERS: usize = 2;
