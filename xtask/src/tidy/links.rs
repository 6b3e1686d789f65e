//! Relative links in Markdown lead to a file or folder of the repository.

use super::{Finding, Repository};

pub(crate) fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in repository.tree.files().filter(|(path, _)| path.ends_with(".md")) {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (number, target) in links(text) {
            let file = target.split('#').next().unwrap_or_default();
            let resolved = resolve(folder, file);
            if !resolved.is_some_and(|resolved| repository.tree.holds(&resolved)) {
                findings.push(Finding::at(path, number, format!("the link to `{target}` leads nowhere")));
            }
        }
    }
    findings
}

/// The relative links of a text with their line: `[..](here)` outside code. Links within the page
/// and to other hosts are left out.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (line, number) in text.lines().zip(1..) {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for prose in line.split('`').step_by(2) {
            let targets = prose.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
            let relative = targets.filter(|target| !target.starts_with('#') && !target.contains(':'));
            found.extend(relative.map(|target| (number, target)));
        }
    }
    found
}

/// The path from the root that `target` means in `folder`; none if it leaves the repository.
fn resolve(folder: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    if target.starts_with('/') {
        return None;
    }
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_link(text: &str, is_dead: bool) {
        let files = [("docs/a/b.md", text), ("docs/c.md", ""), ("LICENSE", ""), ("d/e.rs", "")];
        let found = check(&Repository::of(&files));
        assert_eq!(!found.is_empty(), is_dead, "{text}: {found:?}");
    }

    #[test]
    fn dead_links_are_found_and_living_ones_are_not() {
        check_link("see [c](../c.md#part), [`code`](../../LICENSE) and ![d](../../d)", false);
        check_link("see [x](#here), [y](https://example.com/a.md), [z](mailto:a@example.com)", false);
        check_link("see `[not](a.md)`\n```\n[nor](this.md)\n```\n", false);
        check_link("see [c](c.md)", true);
        check_link("see [c](../c.md) and [x](../x.md \"title\")", true);
        check_link("see [out](../../../LICENSE)", true);
        check_link("see [absolute](/LICENSE)", true);
    }
}
