//! The log of a server process: text for people on standard error, JSON lines on standard output.
//!
//! Commands that only talk to a server log nothing.

use std::io::{self, Write};
use std::sync::Arc;

use parking_lot::Mutex;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{self, LogFormat};
use crate::error::CommandError;

/// Bytes of log that are kept until standard output is open for it.
const HELD_BYTES_MAX: usize = 1024 * 1024;

/// Starts the log. In JSON nothing is written until [`Gate::open`]: the line that says that the
/// server is ready comes first.
pub(crate) fn start(log: &config::Log) -> Result<Gate, CommandError> {
    let filter = EnvFilter::try_new(&log.level).map_err(|error| {
        config::invalid(format!("[log] level `{}`: {error}", log.level))
            .hint("write error, warn, info, debug, trace or a filter such as info,flux_engine=debug")
    })?;
    let gate = Gate(Arc::new(Mutex::new(Some(Vec::new()))));
    let registry = tracing_subscriber::registry().with(filter);
    // A subscriber can be there already only in tests, which then share it.
    let _ = match log.format {
        LogFormat::Text => {
            let colours = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
            let layer = fmt::layer().with_target(false).with_ansi(colours).with_writer(io::stderr);
            registry.with(layer).try_init()
        }
        LogFormat::Json => {
            let layer = fmt::layer().json().flatten_event(true).with_writer(gate.clone());
            registry.with(layer).try_init()
        }
    };
    Ok(gate)
}

/// Holds the log back until it is opened.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Mutex<Option<Vec<u8>>>>);

impl Gate {
    /// Writes what was held back; from now on everything is written at once.
    pub(crate) fn open(&self) {
        if let Some(held) = self.0.lock().take() {
            // Where standard output is closed, nobody reads the log.
            let _ = io::stdout().lock().write_all(&held);
        }
    }
}

impl<'a> MakeWriter<'a> for Gate {
    type Writer = GateWriter;

    fn make_writer(&'a self) -> GateWriter {
        GateWriter(self.clone())
    }
}

/// Writes one line of log.
pub(crate) struct GateWriter(Gate);

impl Write for GateWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *self.0.0.lock() {
            Some(held) if held.len() + bytes.len() <= HELD_BYTES_MAX => held.extend_from_slice(bytes),
            Some(_) => {}
            None => io::stdout().lock().write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().lock().flush()
    }
}
