//! A line of Rust is at most [`WIDTH_MAX`] characters wide, comments included. Lines that hold a
//! string or an address are excused: those cannot always be broken.

use super::{Finding, Repository};

/// The same as `max_width` in `rustfmt.toml`, which does not look at comments.
const WIDTH_MAX: usize = 110;

pub(crate) fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in repository.tree.rust() {
        for (line, number) in text.lines().zip(1..) {
            let width = line.chars().count();
            if width > WIDTH_MAX && !line.contains('"') && !line.contains("://") {
                findings.push(Finding::at(
                    path,
                    number,
                    format!("{width} characters wide, at most {WIDTH_MAX}"),
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_lines_are_found_unless_they_hold_a_string_or_an_address() {
        let (fits, wide) = ("ä".repeat(110), "ä".repeat(111));
        let text = format!("{fits}\n{wide}\n\"{wide}\"\n// https://{wide}\n");
        let found = super::super::said(&check(&Repository::of(&[("a.rs", &text), ("a.md", &text)])));
        assert_eq!(found, ["a.rs:2: 111 characters wide, at most 110"]);
    }
}
