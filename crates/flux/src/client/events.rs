//! Server-sent events: the stream as the HTML standard describes it, one event at a time.

use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::error::CommandError;

/// Bytes of one event.
const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// An event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Event {
    /// Its type; `message` where the server does not say.
    pub(crate) name: String,
    /// Its data.
    pub(crate) data: String,
    /// Its id: what a client that comes back goes on from.
    pub(crate) id: Option<String>,
}

/// A stream of events.
pub(crate) struct Events {
    body: Incoming,
    server: String,
    parser: Parser,
}

impl Events {
    pub(crate) fn new(body: Incoming, server: String) -> Self {
        Self { body, server, parser: Parser::default() }
    }

    /// The next event; `None` when the server ends the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, CommandError> {
        loop {
            if let Some(event) = self.parser.next() {
                return Ok(Some(event));
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            let frame = frame.map_err(|error| self.broken(error.to_string()))?;
            if let Some(bytes) = frame.data_ref() {
                self.parser.push(bytes);
            }
            if self.parser.pending.len() > EVENT_BYTES_MAX {
                return Err(self.broken(format!("an event has more than {EVENT_BYTES_MAX} bytes")));
            }
        }
    }

    fn broken(&self, reason: String) -> CommandError {
        CommandError::Unreachable { server: self.server.clone(), reason, hint: None }
    }
}

/// Bytes in, events out.
#[derive(Debug, Default)]
struct Parser {
    pending: Vec<u8>,
    event: Event,
}

impl Parser {
    fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    fn next(&mut self) -> Option<Event> {
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\n', '\r']);
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                if !event.data.is_empty() {
                    return Some(event);
                }
                continue;
            }
            self.field(line);
        }
        None
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            "id" => self.event.id = Some(value.to_owned()),
            // Comments keep the connection alive; how long to wait is this side's business.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&str], expected: &[(&str, &str)]) {
        let mut parser = Parser::default();
        let mut events = Vec::new();
        for piece in pieces {
            parser.push(piece.as_bytes());
            while let Some(event) = parser.next() {
                events.push((event.name, event.data));
            }
        }
        let events: Vec<(&str, &str)> = events.iter().map(|(name, data)| (&**name, &**data)).collect();
        assert_eq!(events, expected, "{pieces:?}");
    }

    #[test]
    fn events_are_read_whatever_pieces_they_come_in() {
        check(&["event: node\ndata: {\"a\":1}\n\n"], &[("node", "{\"a\":1}")]);
        check(&["event: no", "de\r\nda", "ta: x\r\n\r", "\n"], &[("node", "x")]);
        check(&["data: a\ndata: b\n\ndata:c\n\n"], &[("", "a\nb"), ("", "c")]);
        check(&[": still here\n\nid: 7\n\n"], &[]);
        check(&["data: unfinished\n"], &[]);
    }
}
