//! A trace as a waterfall: one line per span, nested, with a bar on the time axis.
//!
//! Bars are drawn in eighths of a column, so that even at 80 columns short spans keep their order.

use std::collections::BTreeMap;

use anstyle::Style;

use super::moment::duration;
use super::style::{self, RESET};
use super::table::{cut, one_line};
use crate::client::answers::Span;

/// Columns of the duration.
const DURATION: usize = 11;
/// Columns of the axis at least.
const AXIS_MIN: usize = 10;
/// Deepest indentation that is drawn.
const DEPTH_MAX: usize = 8;
/// The status of a node that was skipped or stopped: there is nothing to draw.
const NOT_RUN: &str = "cancelled";
/// The left edges of a bar, by the eighth it begins in.
const EIGHTHS: [char; 8] = ['█', '▉', '▊', '▋', '▌', '▍', '▎', '▏'];

/// The lines of a trace, at most `columns` wide. `now` is where spans that go on are drawn to, in
/// microseconds since 1970.
pub(crate) fn lines(spans: &[Span], columns: usize, now: i64) -> Vec<String> {
    let rows = nested(spans);
    let Some(scale) = Scale::of(spans, now) else { return Vec::new() };
    let widest = rows.iter().map(|(depth, span)| label(*depth, span).chars().count()).max().unwrap_or(0);
    let name = widest.min((columns.saturating_sub(DURATION + 4)) / 2).max(8);
    let axis = columns.saturating_sub(name + DURATION + 4).max(AXIS_MIN);
    let mut lines = vec![scale.heading(name, axis)];
    for (depth, span) in rows {
        let (mark, colour) = face(&span.status);
        let text = cut(&label(depth, span), name);
        let bar = scale.bar(span, axis, now);
        if span.status == NOT_RUN {
            lines.push(format!("{colour}{mark} {text}{RESET}"));
            continue;
        }
        let length = length(span, now);
        let length = if span.duration_us.is_none() { format!("{length} …") } else { length };
        lines.push(format!("{colour}{mark}{RESET} {text:<name$} {colour}{bar}{RESET}{length:>DURATION$}"));
        if let Some(error) = &span.error {
            let indent = " ".repeat(2 + indent(depth) + 2);
            let text = cut(&one_line(error), columns.saturating_sub(indent.len()));
            lines.push(format!("{indent}{}{text}{RESET}", style::ERROR));
        }
    }
    lines
}

/// The spans in the order of the tree, with their depth. A span whose parent is not part of the
/// trace stands at the top.
fn nested(spans: &[Span]) -> Vec<(usize, &Span)> {
    let mut children: BTreeMap<Option<&str>, Vec<&Span>> = BTreeMap::new();
    for span in spans {
        let parent = span.parent.as_deref().filter(|parent| spans.iter().any(|other| other.id == *parent));
        children.entry(parent).or_default().push(span);
    }
    let mut rows = Vec::with_capacity(spans.len());
    let mut open: Vec<(usize, &Span)> =
        children.remove(&None).unwrap_or_default().into_iter().rev().map(|span| (0, span)).collect();
    while let Some((depth, span)) = open.pop() {
        rows.push((depth, span));
        // Taken out when visited, so a trace that contradicts itself cannot go round in circles.
        let below = children.remove(&Some(span.id.as_str())).unwrap_or_default();
        open.extend(below.into_iter().rev().map(|span| (depth + 1, span)));
    }
    rows
}

fn indent(depth: usize) -> usize {
    2 * depth.min(DEPTH_MAX)
}

fn label(depth: usize, span: &Span) -> String {
    let attempts = match span.attempts {
        Some(count) if count > 1 => format!(" ×{count}"),
        Some(_) | None => String::new(),
    };
    format!("{}{}{attempts}", " ".repeat(indent(depth)), one_line(&span.name))
}

/// The mark and the colour of a status.
fn face(status: &str) -> (char, Style) {
    match status {
        "ok" => ('✓', style::GOOD),
        "error" => ('✗', style::ERROR),
        "open" => ('…', style::WARNING),
        _ => ('–', style::DIM),
    }
}

fn start_us(span: &Span) -> i64 {
    span.start.0.millis().saturating_mul(1_000)
}

fn end_us(span: &Span, now: i64) -> i64 {
    let lasted = span.duration_us.map(|micros| i64::try_from(micros).unwrap_or(i64::MAX));
    lasted.map_or_else(|| now.max(start_us(span)), |lasted| start_us(span).saturating_add(lasted))
}

fn length(span: &Span, now: i64) -> String {
    duration(u64::try_from(end_us(span, now) - start_us(span)).unwrap_or(0))
}

/// From when to when the axis goes, in microseconds since 1970.
struct Scale {
    from: i64,
    to: i64,
}

impl Scale {
    fn of(spans: &[Span], now: i64) -> Option<Self> {
        let from = spans.iter().map(start_us).min()?;
        let to = spans.iter().map(|span| end_us(span, now)).max()?;
        Some(Self { from, to: to.max(from + 1) })
    }

    fn heading(&self, name: usize, axis: usize) -> String {
        let total = duration(u64::try_from(self.to - self.from).unwrap_or(0));
        let gap = axis.saturating_sub(1 + total.chars().count());
        format!("{}{}0{}{total}{RESET}", style::DIM, " ".repeat(name + 3), " ".repeat(gap))
    }

    /// Where a time is on an axis of so many eighths of a column.
    fn place(&self, at: i64, eighths: usize) -> usize {
        let share = (at - self.from) as f64 / (self.to - self.from) as f64;
        ((share * eighths as f64).round() as usize).min(eighths)
    }

    fn bar(&self, span: &Span, axis: usize, now: i64) -> String {
        let eighths = axis * 8;
        let begin = self.place(start_us(span), eighths).min(eighths - 1);
        let end = self.place(end_us(span, now), eighths).max(begin + 1);
        let (first, last) = (begin / 8, (end - 1) / 8);
        let columns = (0..axis).map(|column| match column {
            column if column < first || column > last => ' ',
            // A span within one column: its own share, from the left.
            _ if first == last => EIGHTHS[8 - (end - begin).min(8)],
            // Right-aligned blocks do not exist; the first column is whole from its middle on.
            column if column == first && begin % 8 >= 4 => '▐',
            column if column == last => EIGHTHS[8 - (end - column * 8).min(8)],
            _ => '█',
        });
        columns.collect()
    }
}

#[cfg(test)]
mod tests {
    use flux_model::Timestamp;

    use super::*;
    use crate::client::answers::When;

    fn span(id: &str, parent: Option<&str>, start: i64, duration_us: Option<u64>, status: &str) -> Span {
        Span {
            id: id.to_owned(),
            parent: parent.map(str::to_owned),
            name: id.to_owned(),
            start: When(Timestamp::from_millis(start)),
            duration_us,
            status: status.to_owned(),
            attempts: Some(1),
            error: None,
        }
    }

    fn plain(spans: &[Span], columns: usize, now: i64) -> Vec<String> {
        let lines = lines(spans, columns, now);
        lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect()
    }

    #[test]
    fn bars_are_scaled_nested_and_end_at_the_width() {
        let mut call = span("GET /x", Some("fetch"), 50, Some(50_000), "error");
        call.error = Some("status 500".to_owned());
        let spans = [
            span("orders", None, 0, Some(100_000), "ok"),
            span("fetch", Some("orders"), 50, Some(50_000), "ok"),
            call,
            span("wait", Some("orders"), 100, None, "open"),
            span("skipped", Some("orders"), 100, Some(0), "cancelled"),
        ];
        let lines = plain(&spans, 40, 100_000);
        assert_eq!(
            lines,
            [
                "             0        100 ms",
                "✓ orders     ███████████████     100 ms",
                "✓   fetch           ▐███████    50.0 ms",
                "✗     GET /x        ▐███████    50.0 ms",
                "        status 500",
                "…   wait                   ▏    <1 ms …",
                "–   skipped",
            ]
        );
        assert!(lines.iter().all(|line| line.chars().count() <= 40), "{lines:?}");
    }

    #[test]
    fn a_trace_that_contradicts_itself_is_still_drawn() {
        let spans = [span("a", Some("b"), 0, Some(1), "ok"), span("b", Some("a"), 0, Some(1), "ok")];
        assert!(plain(&spans, 80, 0).len() <= 3);
        let orphan = [span("a", Some("gone"), 0, Some(0), "ok")];
        assert_eq!(plain(&orphan, 80, 0).len(), 2);
        assert!(plain(&[], 80, 0).is_empty());
    }
}
