//! SQL lives in the `store-*` crates and in `data`, nowhere else.

use super::{Finding, Repository};

const STATEMENTS: &[&str] =
    &["SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM ", "CREATE TABLE ", "ALTER TABLE ", "PRAGMA "];
const ROOMS: &[&str] = &["crates/store-", "crates/data/"];

pub(crate) fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in repository.tree.rust() {
        if ROOMS.iter().any(|room| path.starts_with(room)) || path == "xtask/src/tidy/sql.rs" {
            continue;
        }
        for (line, number) in text.lines().zip(1..).filter(|(line, _)| begins_statement(line)) {
            let message = format!("SQL outside `store-*` and `data`: {}", line.trim());
            findings.push(Finding::at(path, number, message));
        }
    }
    findings
}

/// Whether a string begins with a statement here, or the line of a longer one does.
fn begins_statement(line: &str) -> bool {
    let starts = |text: &str| STATEMENTS.iter().any(|statement| text.trim_start().starts_with(statement));
    line.split('"').any(starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_line(path: &str, line: &str, is_found: bool) {
        let found = check(&Repository::of(&[(path, line)]));
        assert_eq!(!found.is_empty(), is_found, "{path}: {line}");
    }

    #[test]
    fn statements_are_found_outside_the_stores() {
        check_line("crates/engine/src/a.rs", r#"run("SELECT * FROM runs")"#, true);
        check_line("crates/engine/src/a.rs", "    INSERT INTO runs VALUES (?)", true);
        check_line("crates/flux/tests/it/a.rs", r##"run(r#" DELETE FROM runs"#)"##, true);
        check_line("crates/engine/src/a.rs", r#"say("you may SELECT one")"#, false);
        check_line("crates/engine/src/a.rs", "// SELECT is not here", false);
        check_line("crates/store-sqlite/src/a.rs", r#"run("SELECT 1")"#, false);
    }
}
