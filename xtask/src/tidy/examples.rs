//! Every JSON file under `examples/` and `protocol/` parses.

use super::{Finding, Repository};

const FOLDERS: &[&str] = &["examples/", "protocol/"];

pub(crate) fn check(repository: &Repository) -> Vec<Finding> {
    let files = FOLDERS.iter().flat_map(|folder| repository.tree.under(folder));
    let json = files.filter(|(path, _)| path.ends_with(".json"));
    json.filter_map(|(path, text)| {
        let error = serde_json::from_str::<serde::de::IgnoredAny>(text).err()?;
        Some(Finding::at(path, error.line(), format!("does not parse: {error}")))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_json_is_found() {
        let repository = Repository::of(&[
            ("examples/a/flux.json", "{\"name\": \"a\"}"),
            ("examples/a/flows/b.json", "{\n\"name\": }"),
            ("examples/a/README.md", "{"),
            ("protocol/c.json", ""),
        ]);
        let found = super::super::said(&check(&repository));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("examples/a/flows/b.json:2: does not parse"), "{found:?}");
    }
}
