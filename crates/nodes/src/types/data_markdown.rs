//! `data.markdown`: Markdown to HTML that is safe to show, and HTML to Markdown.

use std::rc::Rc;

use flux_model::error::Failure;
use flux_model::event::TaskOutput;
use flux_model::node_type::{NodeKind, Ports};
use flux_model::{ErrorCode, Purity, Shape, Value};
use htmd::{HtmlToMarkdown, Node};
use pulldown_cmark::{Options, Parser};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::definition::{Executor, NodeDefinition};

/// Bytes of the text that is converted, and of what comes out.
const MARKDOWN_BYTES_MAX: usize = 1024 * 1024;
/// Elements within elements of HTML that is converted to Markdown: the converter recurses.
const HTML_DEPTH_MAX: usize = 200;
/// Markers of nesting (`>` and list markers) at the start of one line.
const QUOTE_DEPTH_MAX: usize = 100;

pub(crate) struct DataMarkdown;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The text to convert, at most 1 MiB.
    content: String,
    /// What it becomes.
    #[serde(default)]
    to: Format,
}

/// What a text becomes.
#[derive(Default, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// HTML, from Markdown: without scripts, styles, forms, frames and event handlers.
    #[default]
    Html,
    /// Markdown, from HTML.
    Markdown,
}

impl NodeDefinition for DataMarkdown {
    const NAME: &'static str = "data.markdown";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Converts Markdown to safe HTML, or HTML to Markdown.";
    const KIND: NodeKind = NodeKind::Task;
    const PURITY: Purity = Purity::Pure;
    const EXECUTOR: Executor<Self::Config> = Executor::Pure(convert);

    type Config = Config;

    fn ports() -> Ports {
        Ports::Main
    }

    fn output() -> Shape {
        Shape::object([("content", Shape::Text)])
    }
}

fn convert(config: Config) -> Result<TaskOutput, Failure> {
    bounded("content", &config.content)?;
    let content = match config.to {
        Format::Html => to_html(&config.content)?,
        Format::Markdown => to_markdown(&config.content)?,
    };
    bounded("the result", &content)?;
    Ok(TaskOutput::main(Value::object([("content", Value::from(content))])))
}

fn bounded(what: &str, text: &str) -> Result<(), Failure> {
    if text.len() <= MARKDOWN_BYTES_MAX {
        return Ok(());
    }
    refuse(format!("{what} has {} bytes, more than {MARKDOWN_BYTES_MAX} (MARKDOWN_BYTES_MAX)", text.len()))
}

fn to_html(markdown: &str) -> Result<String, Failure> {
    if let Some(line) = markdown.lines().find(|line| nesting(line) > QUOTE_DEPTH_MAX) {
        let depth = nesting(line);
        return refuse(format!(
            "a line nests {depth} levels deep, more than {QUOTE_DEPTH_MAX} (QUOTE_DEPTH_MAX)"
        ));
    }
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_FOOTNOTES;
    let mut html = String::new();
    pulldown_cmark::html::push_html(&mut html, Parser::new_ext(markdown, options));
    Ok(ammonia::clean(&html))
}

/// Block markers at the start of a line.
fn nesting(line: &str) -> usize {
    let markers = line.bytes().take_while(|byte| matches!(byte, b' ' | b'\t' | b'>' | b'-' | b'*' | b'+'));
    markers.filter(|byte| !matches!(byte, b' ' | b'\t')).count()
}

fn to_markdown(html: &str) -> Result<String, Failure> {
    let converter = HtmlToMarkdown::builder().skip_tags(vec!["script", "style", "template"]).build();
    let unreadable = |error: std::io::Error| Failure::permanent(ErrorCode::NodeInput, error.to_string());
    let tree = converter.html_to_tree(html).map_err(unreadable)?;
    if is_deeper_than(&tree, HTML_DEPTH_MAX) {
        return refuse(format!("content nests deeper than {HTML_DEPTH_MAX} elements (HTML_DEPTH_MAX)"));
    }
    Ok(converter.tree_to_markdown(&tree))
}

fn is_deeper_than(root: &Rc<Node>, depth_max: usize) -> bool {
    let mut open = vec![(root.clone(), 0)];
    while let Some((node, depth)) = open.pop() {
        if depth > depth_max {
            return true;
        }
        open.extend(node.children.borrow().iter().map(|child| (child.clone(), depth + 1)));
    }
    false
}

fn refuse<T>(message: String) -> Result<T, Failure> {
    Err(Failure::permanent(ErrorCode::NodeInput, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(content: impl Into<String>, to: Format) -> Result<String, Failure> {
        let output = convert(Config { content: content.into(), to })?;
        Ok(output.value.get("content").unwrap().as_str().unwrap().to_owned())
    }

    fn check_html(markdown: &str, expected: &str) {
        assert_eq!(run(markdown, Format::Html).unwrap(), expected, "{markdown}");
    }

    #[test]
    fn markdown_becomes_html() {
        check_html("# Hi\n\n*there* `x`", "<h1>Hi</h1>\n<p><em>there</em> <code>x</code></p>\n");
        check_html("~~a~~", "<p><del>a</del></p>\n");
        check_html("", "");
    }

    #[test]
    fn html_in_markdown_is_made_safe() {
        for dangerous in [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "[x](javascript:alert(1))",
            "[x](data:text/html;base64,PHNjcmlwdD4=)",
            "<iframe src=https://example.com></iframe>",
            "<form action=/x><input></form>",
            "<svg><script>alert(1)</script></svg>",
            "<a href=\"java&#10;script:alert(1)\">x</a>",
            "<style>*{}</style>",
            "<p style=\"background:url(x)\">x</p>",
            "<math><mtext></p><style><img src=x onerror=alert(1)></style></math>",
        ] {
            let html = run(dangerous, Format::Html).unwrap().to_lowercase();
            for bad in [
                "<script",
                "<img src=\"x\" on",
                "onerror=",
                "javascript:",
                "data:",
                "<iframe",
                "<form",
                "style",
            ] {
                assert!(!html.contains(bad), "{dangerous} gave {html}");
            }
        }
    }

    #[test]
    fn html_becomes_markdown() {
        let check = |html: &str, expected: &str| assert_eq!(run(html, Format::Markdown).unwrap(), expected);
        check(
            "<h1>Hi</h1><p><b>a</b> <a href=\"https://x.org\">l</a></p>",
            "# Hi\n\n**a** [l](https://x.org)",
        );
        check("<script>alert(1)</script><style>p{}</style><p>x</p>", "x");
        check("<ul><li>a<li>b</ul>", "*   a\n*   b");
    }

    #[test]
    fn bombs_are_refused() {
        let check = |content: String, to, constant: &str| {
            let failure = run(content, to).unwrap_err();
            assert!(failure.message.contains(constant), "{}", failure.message);
        };
        check("x".repeat(MARKDOWN_BYTES_MAX + 1), Format::Html, "MARKDOWN_BYTES_MAX");
        check("&".repeat(MARKDOWN_BYTES_MAX / 2), Format::Html, "MARKDOWN_BYTES_MAX");
        check("<div>".repeat(150_000), Format::Markdown, "HTML_DEPTH_MAX");
        check(">".repeat(150_000), Format::Html, "QUOTE_DEPTH_MAX");
        check("- ".repeat(150_000), Format::Html, "QUOTE_DEPTH_MAX");
    }
}
