//! Rows as a table for people: columns line up, numbers on the right, what is too wide is cut.
//!
//! How wide the columns are is settled by the first rows; those that come later are not waited for.

use anstyle::Style;
use switchboard_database::{Columns, Row, Value};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::failure::one_line;
use crate::screen::{FAINT, STRONG, Screen};

/// A table whose rows come one after the other.
pub(super) struct Grid {
    heads: Vec<Cell>,
    /// How wide the terminal is, if there is one.
    room: Option<usize>,
    /// The rows that the widths of the columns are taken from.
    first: Vec<Vec<Cell>>,
    /// What was settled about each column, once that is.
    layout: Option<Vec<Column>>,
}

struct Cell {
    text: String,
    style: Style,
    sort: Sort,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Nothing,
    Number,
    Other,
}

#[derive(Clone, Copy)]
struct Column {
    width: usize,
    is_right: bool,
    /// Whether what is wider is cut.
    is_cut: bool,
}

impl Grid {
    pub(super) fn headed(columns: &Columns, room: Option<usize>) -> Self {
        let heads = columns.iter().map(|column| Cell::head(&column.name, room)).collect();
        Self { heads, room, first: Vec::new(), layout: None }
    }

    pub(super) fn add(&mut self, row: &Row, screen: &Screen, to: &mut Vec<u8>) {
        let cells: Vec<_> = row.values().iter().map(|value| Cell::of(value, self.room)).collect();
        if let Some(layout) = &self.layout {
            return write_line(&cells, layout, screen, to);
        }
        self.first.push(cells);
        if self.first.len() == MEASURED_MAX {
            self.settle(screen, to);
        }
    }

    pub(super) fn end(&mut self, screen: &Screen, to: &mut Vec<u8>) {
        if self.layout.is_none() && !self.heads.is_empty() {
            self.settle(screen, to);
        }
    }

    /// Settles the widths, and writes what was kept for that.
    fn settle(&mut self, screen: &Screen, to: &mut Vec<u8>) {
        let mut layout: Vec<_> = (0..self.heads.len()).map(|at| self.column(at)).collect();
        if let Some(room) = self.room {
            narrow(&mut layout, room);
        }
        write_line(&self.heads, &layout, screen, to);
        for cells in std::mem::take(&mut self.first) {
            write_line(&cells, &layout, screen, to);
        }
        self.layout = Some(layout);
    }

    fn column(&self, at: usize) -> Column {
        let cells = || self.first.iter().filter_map(|row| row.get(at));
        let width = cells().map(|cell| cell.text.width()).max().unwrap_or(0);
        let has = |sort| cells().any(|cell| cell.sort == sort);
        Column {
            width: width.max(self.heads[at].text.width()),
            is_right: has(Sort::Number) && !has(Sort::Other),
            is_cut: self.room.is_some(),
        }
    }
}

impl Cell {
    fn head(name: &str, room: Option<usize>) -> Self {
        Self { text: shortened(name, room), style: STRONG, sort: Sort::Other }
    }

    fn of(value: &Value, room: Option<usize>) -> Self {
        let sort = match value {
            Value::Null => {
                return Self { text: "NULL".to_owned(), style: FAINT, sort: Sort::Nothing };
            }
            Value::Int(_) | Value::UInt(_) | Value::Float(_) | Value::Decimal(_) => Sort::Number,
            _ => Sort::Other,
        };
        Self { text: shortened(&value.to_text(), room), style: Style::new(), sort }
    }
}

/// Text on one line, and no more of it than fits on a terminal.
fn shortened(text: &str, room: Option<usize>) -> String {
    match room {
        None => one_line(&text),
        Some(room) => cut(&one_line(&beginning(text, room)), room),
    }
}

/// What is looked at of a text that may be very long: more than fits, so that it is seen to be cut.
fn beginning(text: &str, room: usize) -> &str {
    let end = text.char_indices().nth(room * LETTERS_PER_COLUMN_MAX);
    end.map_or(text, |(end, _)| &text[..end])
}

/// Text that is at most so wide, with `…` where something is missing.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut left = width.saturating_sub(1);
    for letter in text.chars() {
        let Some(rest) = left.checked_sub(letter.width().unwrap_or(0)) else { break };
        left = rest;
        kept.push(letter);
    }
    kept + "…"
}

/// Makes the widest columns as narrow as it takes to fit all of them in, and none narrower than it must
/// be.
fn narrow(layout: &mut [Column], room: usize) {
    let gaps = GAP * layout.len().saturating_sub(1);
    let fits = |layout: &[Column], most: usize| {
        layout.iter().map(|column| column.width.min(most)).sum::<usize>() + gaps <= room
    };
    let widest = layout.iter().map(|column| column.width).max().unwrap_or(0);
    let most = (WIDTH_MIN..=widest).rev().find(|most| fits(layout, *most)).unwrap_or(WIDTH_MIN);
    for column in layout {
        column.width = column.width.min(most);
    }
}

fn write_line(cells: &[Cell], layout: &[Column], screen: &Screen, to: &mut Vec<u8>) {
    let mut line = String::new();
    for (at, (cell, column)) in cells.iter().zip(layout).enumerate() {
        if at > 0 {
            line.extend([' '; GAP]);
        }
        let text = if column.is_cut { &cut(&cell.text, column.width) } else { &cell.text };
        let padding = " ".repeat(column.width.saturating_sub(text.width()));
        let painted = screen.paint(cell.style, text);
        let (left, right) = if column.is_right { (padding, painted) } else { (painted, padding) };
        line += &left;
        line += &right;
    }
    to.extend(line.trim_end().as_bytes());
    to.push(b'\n');
}

/// Between two columns.
const GAP: usize = 2;

/// What a column is not made narrower than: a terminal that is too narrow for that folds the lines.
const WIDTH_MIN: usize = 4;

/// How many rows the widths of the columns are taken from.
const MEASURED_MAX: usize = 1_000;

/// Letters may have no width, as accents that stand on others; there are only so many of them.
const LETTERS_PER_COLUMN_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io;

    use proptest::prelude::*;
    use switchboard_database as database;

    use super::*;
    use crate::arguments::Format;
    use crate::surroundings::Stream;

    fn table(heads: &[&str], rows: &[Vec<Value>], room: Option<usize>) -> String {
        let variables = BTreeMap::from([("NO_COLOR".to_owned(), "1".to_owned())]);
        let streams = || Stream::plain(io::sink());
        let screen = Screen::new(streams(), streams(), Format::Text, &variables);
        let column = |name: &&str| database::Column { name: (*name).into(), type_name: None };
        let columns = Columns::new(heads.iter().map(column));
        let (mut grid, mut text) = (Grid::headed(&columns, room), Vec::new());
        for row in rows {
            grid.add(&Row::new(columns.clone(), row.clone()), &screen, &mut text);
        }
        grid.end(&screen, &mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn numbers_stand_on_the_right_and_nothing_is_told_from_an_empty_text() {
        let rows =
            [vec![7.into(), "Ada".into(), Value::Null], vec![1_000.into(), Value::Null, "".into()]];
        assert_eq!(
            table(&["id", "name", "note"], &rows, None),
            "  id  name  note\n   7  Ada   NULL\n1000  NULL\n"
        );
    }

    #[test]
    fn a_column_of_numbers_and_texts_stands_on_the_left() {
        let rows = [vec![7.into()], vec!["seven".into()]];
        assert_eq!(table(&["n"], &rows, None), "n\n7\nseven\n");
    }

    #[test]
    fn only_what_is_too_wide_for_the_terminal_is_cut() {
        let long = "a very long text that does not fit";
        let rows = [vec![7.into(), long.into(), "short".into()]];
        assert_eq!(
            table(&["id", "text", "more"], &rows, Some(20)),
            "id  text       more\n 7  a very l…  short\n"
        );
        assert!(table(&["id", "text", "more"], &rows, None).contains(long));
    }

    #[test]
    fn columns_stand_there_also_without_rows() {
        assert_eq!(table(&["id", "name"], &[], Some(80)), "id  name\n");
        assert_eq!(table(&[], &[], Some(80)), "");
    }

    #[test]
    fn rows_that_come_late_keep_to_the_widths_of_the_first() {
        let mut rows = vec![vec![Value::from("ab"), 1.into()]; MEASURED_MAX];
        rows.push(vec!["abcdefgh".into(), 2.into()]);
        let last = |room| table(&["a", "b"], &rows, room).lines().last().unwrap().to_owned();
        assert_eq!(last(Some(80)), "a…  2");
        assert_eq!(last(None), "abcdefgh  2");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Whatever is in the rows: a line is never wider than the terminal, and no line is lost.
        #[test]
        fn no_line_is_wider_than_the_terminal(
            rows in prop::collection::vec(prop::array::uniform3(".{0,40}|[a-z棚é]{0,30}"), 0..6),
            room in 20_usize..60,
        ) {
            let rows: Vec<_> =
                rows.iter().map(|row| row.iter().map(|text| text.as_str().into()).collect()).collect();
            let text = table(&["a", "b", "c"], &rows, Some(room));
            prop_assert_eq!(text.lines().count(), rows.len() + 1);
            for line in text.lines() {
                prop_assert!(line.width() <= room, "{:?}", line);
                prop_assert!(!line.contains(char::is_control));
            }
        }
    }
}
