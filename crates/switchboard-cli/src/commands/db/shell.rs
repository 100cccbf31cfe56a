//! `db shell`: statements one after the other over one connection, typed or piped in.

mod command;
mod describe;
mod typed;

use std::io;
use std::time::Instant;

use switchboard_core::{Error, ErrorKind};
use switchboard_database::{Database, Dialect, Params, PooledConnection, Statements as _};

use super::ask::{ask, control, is_control, note};
use super::{dialect_of, with_database, with_database_to_end};
use crate::arguments::DbShell;
use crate::commands::check::milliseconds;
use crate::failure::{Exit, Failure, Result};
use crate::lines::Lines;
use crate::session::Session;
use command::{Command, HELP};
use typed::Typed;

pub(super) async fn run(session: &mut Session, asked: &DbShell) -> Result<Exit> {
    let name = asked.database.as_deref();
    let run = async |session: &mut Session, database| {
        Shell::opened(session, database, asked.keep_going).await?.run().await
    };
    // Who types goes on after a statement that was interrupted.
    if session.is_typed() {
        with_database_to_end(session, name, run).await
    } else {
        with_database(session, name, run).await
    }
}

struct Shell<'s> {
    session: &'s mut Session,
    database: Database,
    /// Nothing once it was lost, until there is a new one.
    connection: Option<PooledConnection>,
    dialect: &'static Dialect,
    lines: Lines,
    typed: Typed,
    is_timed: bool,
    keeps_going: bool,
    /// The exit code of the first error that was gone on after.
    exit: Exit,
}

enum Heard {
    Line(String),
    Interrupt,
    End,
}

impl<'s> Shell<'s> {
    async fn opened(
        session: &'s mut Session,
        database: Database,
        keeps_going: bool,
    ) -> Result<Self> {
        let connection = Some(database.connection().await?);
        let dialect = dialect_of(&database)?;
        let lines = session.input_lines()?;
        Ok(Self {
            session,
            database,
            connection,
            dialect,
            lines,
            typed: Typed::read_as(dialect.lexis),
            is_timed: false,
            keeps_going,
            exit: Exit::Fine,
        })
    }

    async fn run(mut self) -> Result<Exit> {
        if self.session.is_typed() {
            self.session
                .screen
                .note("a statement ends with `;`, `\\?` lists what else can be typed");
        }
        loop {
            match self.heard().await? {
                Heard::Line(line) if self.session.is_typed() && self.is_farewell(&line) => {
                    return Ok(self.exit);
                }
                Heard::Line(line) if self.typed.is_begun() || !line.starts_with('\\') => {
                    self.add(&line).await?;
                }
                Heard::Line(line) => match Command::read(&line) {
                    Ok(Command::Quit) => return Ok(self.exit),
                    Ok(command) => {
                        let done = self.obey(&command).await;
                        self.go_on_after(done).await?;
                    }
                    Err(error) => self.go_on_after(Err(error.into())).await?,
                },
                Heard::Interrupt => self.typed.forget(),
                Heard::End => return self.ended(),
            }
        }
    }

    /// Whether whoever types wants to leave: with `\q` however much of a statement is there.
    fn is_farewell(&self, line: &str) -> bool {
        let line = line.trim();
        let is_word = matches!(line.trim_end_matches(';'), "exit" | "quit");
        line == "\\q" || (is_word && !self.typed.is_begun())
    }

    /// Waits for a line, whoever it comes from.
    async fn heard(&mut self) -> Result<Heard> {
        let is_typed = self.session.is_typed();
        if is_typed {
            self.prompt().await?;
        }
        let heard = tokio::select! {
            line = self.lines.next() => line.map_err(unreadable)?.map_or(Heard::End, Heard::Line),
            () = interrupted_by_typist(is_typed) => Heard::Interrupt,
        };
        if !matches!(heard, Heard::Line(_)) && is_typed {
            // Nobody has ended the line of the prompt.
            self.session.screen.write_line("")?;
        }
        Ok(heard)
    }

    async fn prompt(&mut self) -> Result<()> {
        let screen = &mut self.session.screen;
        // What was told before stands above.
        screen.notes().written().await;
        if screen.is_terminal() {
            screen.write(if self.typed.is_begun() { "   > " } else { "sql> " })?;
        }
        Ok(())
    }

    /// Runs the statements that have come to their end with `line`.
    async fn add(&mut self, line: &str) -> Result<()> {
        let text = match self.typed.add(line) {
            Ok(Some(text)) => text,
            Ok(None) => return Ok(()),
            Err(error) => return self.go_on_after(Err(error.into())).await,
        };
        for statement in self.typed.statements(&text) {
            let began = self.session.clock.now();
            let asked = self.ask(statement).await;
            if asked.is_ok() && self.is_timed {
                self.note_time(began);
            }
            self.go_on_after(asked).await?;
        }
        Ok(())
    }

    async fn ask(&mut self, statement: &str) -> Result<()> {
        let is_typed = self.session.is_typed();
        let dialect = self.dialect;
        let (session, connection) = self.connected().await?;
        let screen = &mut session.screen;
        let asking = async {
            if is_control(statement, dialect) {
                control(screen, connection, statement).await
            } else {
                ask(screen, connection, statement, Params::None, dialect).await
            }
        };
        let asked = tokio::select! {
            asked = asking => Some(asked),
            () = interrupted_by_typist(is_typed) => None,
        };
        match asked {
            Some(asked) => asked,
            None => self.cancelled().await,
        }
    }

    /// Has what was left in the middle cancelled, which is done before the connection is used again.
    async fn cancelled(&mut self) -> Result<()> {
        let (_, connection) = self.connected().await?;
        let looked = connection.select_value::<i64>("select 1", ()).await;
        // In a transaction that has failed it is refused, and the connection is there all the same.
        if looked.is_err_and(|error| error.kind() == ErrorKind::Unavailable) {
            self.connection = None;
        }
        Err(Error::new(ErrorKind::Cancelled, "the statement was interrupted").into())
    }

    async fn obey(&mut self, command: &Command<'_>) -> Result<()> {
        let dialect = self.dialect;
        match command {
            Command::Tables => {
                let (session, connection) = self.connected().await?;
                describe::tables(&mut session.screen, connection, dialect).await
            }
            Command::Columns(table) => {
                let (session, connection) = self.connected().await?;
                describe::columns(&mut session.screen, connection, dialect, table).await
            }
            Command::Timing => {
                self.is_timed = !self.is_timed;
                let state = if self.is_timed { "on" } else { "off" };
                note(&self.session.screen, &format!("timing is {state}"));
                Ok(())
            }
            Command::Help => self.session.screen.write(HELP),
            Command::Quit => Ok(()),
        }
    }

    /// The connection, which is a new one where the last was lost.
    async fn connected(&mut self) -> Result<(&mut Session, &PooledConnection)> {
        let Self { session, database, connection, .. } = self;
        let connection = match connection {
            Some(connection) => connection,
            none => {
                let opened = database.connection().await?;
                session.screen.note("note: this is a new connection");
                none.insert(opened)
            }
        };
        Ok((session, connection))
    }

    /// Tells an error, and decides whether it is the last.
    async fn go_on_after(&mut self, done: Result<()>) -> Result<()> {
        let Err(failure) = done else { return Ok(()) };
        let Failure::Told(told) = &failure else { return Err(failure) };
        if !self.keeps_going && !self.session.is_typed() {
            return Err(failure);
        }
        if told.kind == ErrorKind::Unavailable {
            self.connection = None;
        }
        if self.exit == Exit::Fine && !self.session.is_typed() {
            self.exit = failure.exit();
        }
        self.session.screen.tell(&failure);
        self.session.screen.notes().written().await;
        Ok(())
    }

    /// A statement without an end may have lost more than that: half of one can do a lot of harm.
    fn ended(&self) -> Result<Exit> {
        if self.typed.is_begun() && !self.session.is_typed() {
            let error = Error::new(ErrorKind::InvalidInput, "the last statement has no end");
            return Err(error.with_hint("end it with `;`").into());
        }
        Ok(self.exit)
    }

    fn note_time(&self, began: Instant) {
        let took = self.session.clock.now().saturating_duration_since(began);
        note(&self.session.screen, &format!("took {}", milliseconds(took)));
    }
}

/// Waits for Ctrl-C of the person who types; that of others ends the shell.
async fn interrupted_by_typist(is_typed: bool) {
    if !is_typed || tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn unreadable(error: io::Error) -> Error {
    Error::new(ErrorKind::InvalidInput, "stdin cannot be read").with_source(error)
}
