//! Projects to start from. Their files are those of `examples/`, embedded, so that what
//! `flux init` writes is what the examples' tests run.

use clap::ValueEnum;

/// A project to start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Template {
    /// One flow that greets: manual trigger, set, respond
    Hello,
    /// A webhook, a person who signs off large orders, an answer
    Orders,
    /// GitHub's webhooks, checked, classified, announced in a chat (its helpers need Node)
    GithubTriage,
}

/// A file of a template: its path below the project, and its text.
pub(crate) type TemplateFile = (&'static str, &'static str);

/// The files of an example, by their path.
macro_rules! example {
    ($name:literal: $($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/", $name, "/", $path)))),*]
    };
}

const HELLO: &[TemplateFile] = example!("hello": "README.md", "flux.json", "flows/hello.json", "input.json");

const ORDERS: &[TemplateFile] =
    example!("orders": "README.md", "flux.json", "flows/orders.json", "small.json", "large.json");

const GITHUB_TRIAGE: &[TemplateFile] = example!(
    "github-triage":
    "README.md",
    "flux.json",
    "flows/github-triage.json",
    "receiver.mjs",
    "send.mjs",
    "deliveries/README.md",
    "deliveries/issues.opened.json",
    "deliveries/release.published.with-discussion-url.json",
);

impl Template {
    /// Its files.
    pub(crate) const fn files(self) -> &'static [TemplateFile] {
        match self {
            Self::Hello => HELLO,
            Self::Orders => ORDERS,
            Self::GithubTriage => GITHUB_TRIAGE,
        }
    }

    /// What to do first, once `flux dev` runs.
    pub(crate) const fn first_steps(self) -> &'static [&'static str] {
        match self {
            Self::Hello => &["flux run hello --input @input.json --wait"],
            Self::Orders => &["curl http://127.0.0.1:4000/hooks/orders --json @small.json"],
            Self::GithubTriage => &[
                "node receiver.mjs &",
                "flux secrets set github_secret github-secret-of-the-example",
                "flux secrets set chat_token chat-token-of-the-example",
                "node send.mjs deliveries/issues.opened.json",
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use flux_core::plan::{Catalog, plan};
    use flux_model::Flow;
    use flux_nodes::Registry;

    use super::*;

    /// Files that a page names: links and commands.
    fn named(page: &str) -> impl Iterator<Item = &str> {
        let words = page.split(|letter: char| letter.is_whitespace() || "()[]`@".contains(letter));
        words.filter(|word| [".json", ".mjs", ".md"].iter().any(|ending| word.ends_with(ending)))
    }

    #[test]
    fn the_pages_of_a_template_name_only_what_is_in_it() {
        for template in Template::value_variants() {
            let there: Vec<&str> = template.files().iter().map(|(path, _)| *path).collect();
            let pages = template.files().iter().filter(|(path, _)| path.ends_with(".md"));
            for (path, text) in pages.copied().chain(template.first_steps().iter().map(|step| ("", *step))) {
                for name in named(text) {
                    assert!(there.contains(&name), "{template:?}: {path} names {name}");
                }
                assert!(!text.contains("--test") && !text.contains(" 41 "), "{template:?}: {path}");
            }
        }
    }

    #[test]
    fn every_flow_of_every_template_plans_without_a_remark() {
        let catalog = Catalog::new(Registry::standard().catalog_types());
        for template in Template::value_variants() {
            for (path, text) in template.files().iter().filter(|(path, _)| path.starts_with("flows/")) {
                let flow: Flow = serde_json::from_str(text).unwrap();
                let planned = plan(&flow, &catalog);
                assert!(planned.diagnostics.is_empty(), "{path}: {:?}", planned.diagnostics);
            }
        }
    }
}
