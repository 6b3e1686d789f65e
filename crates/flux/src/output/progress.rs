//! A line that says what is being waited for: on a terminal only, and gone when it is over.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::{Format, Out};

const TICK: Duration = Duration::from_millis(100);

/// Shows that the command waits. Dropping it takes the line away.
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    /// Shows `text` with a spinner if a person sees it: not with `--json`, not where
    /// standard error goes elsewhere.
    pub(crate) fn start(out: &Out, text: impl Into<String>) -> Self {
        if out.format() == Format::Json || !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed:.dim}") {
            bar.set_style(style);
        }
        bar.set_message(text.into());
        bar.enable_steady_tick(TICK);
        Self(Some(bar))
    }

    /// Shows something else from now on.
    pub(crate) fn say(&self, text: impl Into<String>) {
        if let Some(bar) = &self.0 {
            bar.set_message(text.into());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = self.0.take() {
            bar.finish_and_clear();
        }
    }
}
