//! What happened in a run, as a hash that two equal runs share and, if asked for, as lines to read.

use std::fmt::{self, Write};

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// Whether the lines of a run are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// Only their hash is.
    Hash,
    /// They are.
    Lines,
}

/// The account of one run.
pub(crate) struct Story {
    hash: Fnv,
    lines: Option<Vec<String>>,
}

struct Fnv(u64);

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
        Ok(())
    }
}

impl Story {
    pub(crate) fn new(telling: Telling) -> Self {
        let lines = (telling == Telling::Lines).then(Vec::new);
        Self { hash: Fnv(FNV_OFFSET), lines }
    }

    /// Adds a line; `now_ms` is virtual time.
    pub(crate) fn tell(&mut self, now_ms: u64, line: fmt::Arguments<'_>) {
        if let Some(lines) = &mut self.lines {
            let stamp = format!("{:>6}.{:03}", now_ms / 1_000, now_ms % 1_000);
            lines.push(format!("{stamp}  {line}"));
        }
        // A hasher that is written to never fails.
        let _ = writeln!(self.hash, "{now_ms} {line}");
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash.0
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telling_the_lines_does_not_change_the_hash() {
        let run = |telling, text: &str| {
            let mut story = Story::new(telling);
            story.tell(1_234, format_args!("{text}"));
            (story.hash(), story.into_lines())
        };
        let (hash, lines) = run(Telling::Lines, "a");
        assert_eq!(lines, ["     1.234  a"]);
        assert_eq!(run(Telling::Hash, "a"), (hash, Vec::new()));
        assert_ne!(run(Telling::Hash, "b").0, hash);
    }
}
