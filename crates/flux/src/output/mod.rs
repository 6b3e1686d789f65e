//! What commands print: text for people, JSON for scripts, progress only on a terminal.
//!
//! Colours are written always and taken out by the stream where they do not belong (pipes,
//! `NO_COLOR`). Results go to standard output, everything else to standard error.

pub(crate) mod diagnostics;
pub(crate) mod moment;
mod progress;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod waterfall;

use std::io::{IsTerminal, Write};

use serde::Serialize;

pub(crate) use progress::Progress;

/// Columns where the width of the terminal is not known.
const COLUMNS_DEFAULT: usize = 80;

/// In which form results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For scripts: one JSON document per result.
    Json,
}

/// Where commands print to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Out {
    format: Format,
}

impl Out {
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// One line of the result.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) {
        let mut stream = anstream::stdout().lock();
        let written = writeln!(stream, "{}", text.as_ref()).and_then(|()| stream.flush());
        end_with_reader(written);
    }

    /// A text of the result, as it is.
    pub(crate) fn text(&mut self, text: &str) {
        let mut stream = anstream::stdout().lock();
        let written = write!(stream, "{text}").and_then(|()| stream.flush());
        end_with_reader(written);
    }

    /// The result as JSON: indented for people on a terminal, one line in a pipe.
    pub(crate) fn json(&mut self, value: &impl Serialize) {
        let text = if std::io::stdout().is_terminal() {
            serde_json::to_string_pretty(value)
        } else {
            serde_json::to_string(value)
        };
        self.line(text.expect("answers are JSON already"));
    }

    /// A remark that is not part of the result. Not printed with `--json`.
    pub(crate) fn note(&mut self, text: impl AsRef<str>) {
        if self.format == Format::Text {
            self.error_line(text.as_ref());
        }
    }

    /// A line on standard error.
    pub(crate) fn error_line(&mut self, text: &str) {
        let mut stream = anstream::stderr().lock();
        // Where standard error is closed, there is nobody left to tell.
        let _ = writeln!(stream, "{text}");
    }

    /// Columns of the terminal.
    pub(crate) fn columns(&self) -> usize {
        terminal_size::terminal_size().map_or(COLUMNS_DEFAULT, |(width, _)| usize::from(width.0).max(40))
    }
}

/// Whoever read standard output is gone (`flux executions | head`): there is no more to do, and
/// nothing went wrong.
fn end_with_reader(written: std::io::Result<()>) {
    if written.is_err() {
        std::process::exit(0);
    }
}

/// A value for people: a text as it is, everything else as indented JSON.
pub(crate) fn readable(value: &serde_json::Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None => format!("{value:#}"),
    }
}
