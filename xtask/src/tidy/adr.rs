//! Decisions are numbered `docs/adr/NNNN-subject.md`, from 1 without gaps or doubles.

use super::{Finding, Repository};

const FOLDER: &str = "docs/adr/";

pub(crate) fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut expected = 1;
    for (path, _) in repository.tree.under(FOLDER) {
        let name = &path[FOLDER.len()..];
        if name == "README.md" {
            continue;
        }
        match number(name) {
            None => findings.push(Finding::about(path, "is not named NNNN-subject.md")),
            Some(found) => {
                if found != expected {
                    findings.push(Finding::about(
                        path,
                        format!("follows {:04}: numbers have no gaps", expected - 1),
                    ));
                }
                expected = found + 1;
            }
        }
    }
    findings
}

fn number(name: &str) -> Option<u32> {
    let (digits, subject) = name.strip_suffix(".md")?.split_once('-')?;
    (digits.len() == 4 && !subject.is_empty()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_names(names: &[&str], found: usize) {
        let paths: Vec<String> = names.iter().map(|name| format!("{FOLDER}{name}")).collect();
        let files: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), "")).collect();
        assert_eq!(check(&Repository::of(&files)).len(), found, "{names:?}");
    }

    #[test]
    fn gaps_doubles_and_other_names_are_found() {
        check_names(&["README.md", "0001-a.md", "0002-b.md"], 0);
        check_names(&["0002-b.md"], 1);
        check_names(&["0001-a.md", "0003-c.md", "0004-d.md"], 1);
        check_names(&["0001-a.md", "0001-b.md"], 1);
        check_names(&["0001-a.md", "2-b.md", "0002-.md", "notes.md"], 3);
    }
}
