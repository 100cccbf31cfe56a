//! Rows whose columns line up, and whose last column is folded where the terminal is narrow.

use anstyle::Style;
use unicode_width::UnicodeWidthStr as _;

use crate::failure::one_line;
use crate::screen::{STRONG, paint};

/// Rows whose columns line up.
#[derive(Debug, Default)]
pub(crate) struct Table {
    indent: usize,
    rows: Vec<Vec<Cell>>,
}

#[derive(Debug)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn headed<const N: usize>(heads: [&str; N]) -> Self {
        Self::new().row(heads.map(|head| Cell::from(head).styled(STRONG)))
    }

    pub(crate) fn indented(mut self, columns: usize) -> Self {
        self.indent = columns;
        self
    }

    pub(crate) fn row<const N: usize>(mut self, cells: [Cell; N]) -> Self {
        self.push(cells);
        self
    }

    pub(crate) fn push<const N: usize>(&mut self, cells: [Cell; N]) {
        self.rows.push(cells.into());
    }

    /// The lines, for a stream that is `columns` wide or has no width.
    pub(crate) fn text(&self, columns: Option<usize>, is_coloured: bool) -> String {
        let widths = self.widths();
        let mut text = String::new();
        for row in &self.rows {
            self.write_row(row, &widths, columns, is_coloured, &mut text);
        }
        text
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell: &Cell| cell.text.width()).max().unwrap_or(0)
        };
        (0..columns).map(width).collect()
    }

    fn write_row(
        &self,
        row: &[Cell],
        widths: &[usize],
        columns: Option<usize>,
        is_coloured: bool,
        text: &mut String,
    ) {
        let mut start = self.indent;
        let mut line = " ".repeat(self.indent);
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            if column + 1 < row.len() {
                let padding = " ".repeat(width - cell.text.width() + GAP);
                line += &paint(is_coloured, cell.style, &cell.text);
                line += &padding;
                start += width + GAP;
                continue;
            }
            let room = columns.map(|columns| columns.saturating_sub(start).max(LAST_COLUMN_MIN));
            let folded = fold(&cell.text, room.unwrap_or(usize::MAX));
            let folded = folded.iter().map(|part| paint(is_coloured, cell.style, part));
            line += &folded.collect::<Vec<_>>().join(&format!("\n{}", " ".repeat(start)));
        }
        for line in line.lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
}

impl Cell {
    pub(crate) fn styled(self, style: Style) -> Self {
        Self { style, ..self }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self { text: one_line(&text), style: Style::new() }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

/// The text in parts that are at most `room` wide, between words where there are any.
fn fold(text: &str, room: usize) -> Vec<String> {
    let mut parts = vec![String::new()];
    for word in text.split(' ') {
        let last = parts.len() - 1;
        if parts[last].is_empty() {
            parts[last].push_str(word);
        } else if parts[last].width() + 1 + word.width() <= room {
            parts[last].push(' ');
            parts[last].push_str(word);
        } else {
            parts.push(word.to_owned());
        }
    }
    parts
}

/// Between two columns of a table.
const GAP: usize = 2;

/// What the last column has at least, however narrow the terminal is.
const LAST_COLUMN_MIN: usize = 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Whatever is in a table: the last column starts at one place, and no word gets lost.
        #[test]
        fn any_rows_line_up(rows in prop::collection::vec((".{0,12}", "[a-zé棚]{1,30}( [a-z]{1,9}){0,5}"), 1..8)) {
            let mut table = Table::new();
            for (name, text) in &rows {
                table.push([name.as_str().into(), text.as_str().into()]);
            }
            let start = rows.iter().map(|(name, _)| one_line(name).width()).max().unwrap() + GAP;
            let all = table.text(Some(50), false);
            prop_assert!(!all.contains(|c: char| c.is_control() && c != '\n'));
            let mut lines = all.lines();
            for (_, text) in &rows {
                for part in fold(text, 50_usize.saturating_sub(start).max(LAST_COLUMN_MIN)) {
                    let line = lines.next().unwrap();
                    prop_assert!(line.ends_with(&part), "{line:?} {part:?}");
                    prop_assert_eq!(line.strip_suffix(part.as_str()).unwrap().width(), start);
                }
                prop_assert_eq!(fold(text, 7).join(" "), text.as_str());
            }
        }
    }

    #[test]
    fn columns_line_up_whatever_letters_are_in_them() {
        let table = Table::new()
            .row(["棚".into(), "one".into()])
            .row(["abcd".into(), "two".into()])
            .row(["é".into(), "three".into()]);
        assert_eq!(table.text(None, false), "棚    one\nabcd  two\né     three\n");
    }

    #[test]
    fn a_column_that_is_too_long_goes_on_below_itself() {
        let text = "twelve words and some more of them";
        let table = Table::new().indented(2).row(["name".into(), text.into()]);
        assert_eq!(
            table.text(Some(30), false),
            "  name  twelve words and some\n        more of them\n"
        );
    }

    #[test]
    fn what_steers_a_terminal_does_not_get_through() {
        let table = Table::new().row(["\u{1b}[2J\n".into(), "\u{9b}x".into()]);
        assert!(!table.text(None, false).trim_end().contains(char::is_control));
    }

    #[test]
    fn a_word_longer_than_the_terminal_is_not_cut() {
        assert_eq!(fold("a looooooong b", 4), ["a", "looooooong", "b"]);
    }
}
