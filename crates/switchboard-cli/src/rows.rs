//! Rows of a database as they are written: tables for people, JSON and CSV for programs.
//!
//! However many there are, only a few are in memory at a time.

mod grid;

use switchboard_database::{Columns, Row};

use crate::arguments::Format;
use crate::failure::{Failure, Result};
use crate::screen::Screen;
use grid::Grid;

/// Rows on their way to the output.
pub(crate) struct Rows<'s> {
    screen: &'s mut Screen,
    form: Form,
    text: Vec<u8>,
    count: u64,
}

enum Form {
    Table(Grid),
    Json,
    Csv,
}

impl<'s> Rows<'s> {
    /// Rows with these columns, in the format that was asked for.
    pub(crate) fn begun(screen: &'s mut Screen, columns: &Columns) -> Self {
        let mut text = Vec::new();
        let form = match screen.format {
            Format::Text => Form::Table(Grid::headed(columns, screen.columns())),
            Format::Csv => {
                columns.write_csv(&mut text);
                Form::Csv
            }
            Format::Json => {
                note_repeats(screen, columns);
                text.push(b'[');
                Form::Json
            }
        };
        Self { screen, form, text, count: 0 }
    }

    pub(crate) fn add(&mut self, row: &Row) -> Result<()> {
        match &mut self.form {
            Form::Table(grid) => grid.add(row, self.screen, &mut self.text),
            Form::Csv => row.write_csv(&mut self.text),
            Form::Json => {
                if self.count > 0 {
                    self.text.extend(b",\n");
                }
                serde_json::to_writer(&mut self.text, row).map_err(Failure::unexpected)?;
            }
        }
        self.count += 1;
        if self.text.len() >= WRITTEN_AT_ONCE { self.write() } else { Ok(()) }
    }

    /// Writes what is left; says how many there were.
    pub(crate) fn end(mut self) -> Result<u64> {
        match &mut self.form {
            Form::Table(grid) => grid.end(self.screen, &mut self.text),
            Form::Csv => {}
            Form::Json => self.text.extend(b"]\n"),
        }
        self.write()?;
        Ok(self.count)
    }

    fn write(&mut self) -> Result<()> {
        self.screen.write(&self.text)?;
        self.text.clear();
        Ok(())
    }
}

/// An object has one value for each name.
fn note_repeats(screen: &Screen, columns: &Columns) {
    let is_repeat =
        |(at, name): (usize, &str)| columns.iter().take(at).any(|earlier| &*earlier.name == name);
    if columns.iter().map(|column| &*column.name).enumerate().any(is_repeat) {
        screen.note("note: of columns with the same name only the first is written");
    }
}

/// How many bytes are gathered before they are written.
const WRITTEN_AT_ONCE: usize = 64 * 1024;
