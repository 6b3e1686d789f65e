//! Columns of text that line up.

use anstyle::Style;

use super::Out;
use super::style::{self, RESET};

/// The pause between two columns.
const GAP: usize = 2;

/// A text in a colour.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(crate) fn styled(style: Style, text: impl Into<String>) -> Self {
        Self { text: text.into(), style }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, style: Style::new() }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// Rows under a heading. The last column takes what is left of the line and is cut there.
#[derive(Debug)]
pub(crate) struct Table {
    heading: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new(heading: &[&'static str]) -> Self {
        Self { heading: heading.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let cells = cells.into_iter().map(|cell| Cell { text: one_line(&cell.text), ..cell });
        self.rows.push(cells.collect());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines, at most `columns` wide as far as the last column can give way.
    pub(crate) fn lines(&self, columns: usize) -> Vec<String> {
        let heading: Vec<Cell> = self.heading.iter().map(|text| Cell::styled(style::DIM, *text)).collect();
        let mut widths = vec![0; self.heading.len()];
        for row in std::iter::once(&heading).chain(&self.rows) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        if let Some((last, others)) = widths.split_last_mut() {
            let taken: usize = others.iter().map(|width| width + GAP).sum();
            *last = (*last).min(columns.saturating_sub(taken).max(10));
        }
        std::iter::once(&heading).chain(&self.rows).map(|row| line(row, &widths)).collect()
    }

    pub(crate) fn show(&self, out: &mut Out) {
        for line in self.lines(out.columns()) {
            out.line(line);
        }
    }
}

fn line(row: &[Cell], widths: &[usize]) -> String {
    let mut line = String::new();
    let mut pending = 0;
    for (cell, width) in row.iter().zip(widths) {
        let text = cut(&cell.text, *width);
        if text.is_empty() {
            pending += width + GAP;
            continue;
        }
        line.push_str(&" ".repeat(pending));
        if cell.style.is_plain() {
            line.push_str(&text);
        } else {
            line.push_str(&format!("{}{text}{RESET}", cell.style));
        }
        pending = width - text.chars().count() + GAP;
    }
    line
}

/// The text without control characters: what came from outside must not steer the terminal.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// At most `width` characters of it, with an ellipsis where it was cut.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_the_last_one_gives_way() {
        let mut table = Table::new(&["NAME", "", "SAYS"]);
        table.row(["a".into(), "b".into(), "short".into()]);
        table.row([Cell::styled(style::GOOD, "longer"), "".into(), "a text\nthat is much too long".into()]);
        table.row(["c".into(), "".into(), "".into()]);
        let lines = table.lines(27);
        let plain: Vec<String> =
            lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect();
        assert_eq!(plain, ["NAME       SAYS", "a       b  short", "longer     a text that is …", "c"]);
    }

    #[test]
    fn escape_sequences_from_outside_do_not_reach_the_terminal() {
        let mut table = Table::new(&["A"]);
        table.row(["\u{1b}[31mred\u{7}".into()]);
        assert!(!table.lines(80)[1].contains(['\u{1b}', '\u{7}']));
    }
}
