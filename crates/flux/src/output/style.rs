//! The colours, by meaning. Basic ones only, which every terminal theme defines.

use anstyle::{AnsiColor, Color, Reset, Style};

use flux_model::ExecutionStatus;

/// Something failed.
pub(crate) const ERROR: Style = of(AnsiColor::Red).bold();
/// Something needs attention.
pub(crate) const WARNING: Style = of(AnsiColor::Yellow);
/// Something went well.
pub(crate) const GOOD: Style = of(AnsiColor::Green);
/// Something runs.
pub(crate) const RUNNING: Style = of(AnsiColor::Blue);
/// The way out.
pub(crate) const HINT: Style = of(AnsiColor::Cyan);
/// What matters most.
pub(crate) const STRONG: Style = Style::new().bold();
/// What matters least.
pub(crate) const DIM: Style = Style::new().dimmed();
/// Ends a style.
pub(crate) const RESET: Reset = Reset;

const fn of(color: AnsiColor) -> Style {
    Style::new().fg_color(Some(Color::Ansi(color)))
}

/// The colour of a status.
pub(crate) fn of_status(status: ExecutionStatus) -> Style {
    match status {
        ExecutionStatus::Queued => DIM,
        ExecutionStatus::Running => RUNNING,
        ExecutionStatus::Waiting => WARNING,
        ExecutionStatus::Succeeded => GOOD,
        ExecutionStatus::Failed => ERROR,
        ExecutionStatus::Cancelled => DIM,
    }
}

/// `text` in `style`.
pub(crate) fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{RESET}")
}
