//! `data.markdown`: Markdown to HTML that is safe to show, and HTML to Markdown.

use std::rc::Rc;

use flux_model::error::Failure;
use flux_model::event::TaskOutput;
use flux_model::node_type::{NodeKind, Ports};
use flux_model::{ErrorCode, Purity, Shape, Value};
use htmd::{HtmlToMarkdown, Node};
use pulldown_cmark::{Event, Options, Parser};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::definition::{Executor, NodeDefinition};

/// Bytes of the text that is converted, and of what comes out.
const MARKDOWN_BYTES_MAX: usize = 1024 * 1024;
/// Elements within elements: the converter to Markdown recurses, and every tag costs the HTML
/// parser a look at the elements around it.
const NESTING_MAX: usize = 200;
/// Looks of the HTML parser at surrounding elements: tags times nesting.
const PARSER_STEPS_MAX: usize = 200_000_000;
/// Elements that the HTML parser may have to repeat: it reopens unclosed formatting in each block
/// ("reconstruct the active formatting elements" of the HTML standard).
const PARSER_COPIES_MAX: usize = 1_000_000;
/// Elements that are reopened. Those without attributes at most three times.
const FORMATTING: [&str; 13] =
    ["b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"];

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
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_FOOTNOTES;
    let (mut depth, mut deepest, mut raw_tags) = (0_usize, 0_usize, 0_usize);
    let events = Parser::new_ext(markdown, options).inspect(|event| match event {
        Event::Start(_) => {
            depth += 1;
            deepest = deepest.max(depth);
        }
        Event::End(_) => depth = depth.saturating_sub(1),
        Event::Html(html) | Event::InlineHtml(html) => raw_tags += Tags::count(html).all,
        Event::Text(_)
        | Event::Code(_)
        | Event::InlineMath(_)
        | Event::DisplayMath(_)
        | Event::FootnoteReference(_)
        | Event::SoftBreak
        | Event::HardBreak
        | Event::Rule
        | Event::TaskListMarker(_) => {}
    });
    let mut html = String::new();
    pulldown_cmark::html::push_html(&mut html, events);
    check_nesting(deepest)?;
    Tags::count(&html).check(deepest + raw_tags)?;
    Ok(ammonia::clean(&html))
}

fn to_markdown(html: &str) -> Result<String, Failure> {
    let tags = Tags::count(html);
    tags.check(tags.all)?;
    let converter = HtmlToMarkdown::builder().skip_tags(vec!["script", "style", "template"]).build();
    let unreadable = |error: std::io::Error| Failure::permanent(ErrorCode::NodeInput, error.to_string());
    let tree = converter.html_to_tree(html).map_err(unreadable)?;
    check_nesting(depth_of(&tree))?;
    Ok(converter.tree_to_markdown(&tree))
}

fn depth_of(root: &Rc<Node>) -> usize {
    let mut deepest = 0;
    let mut open = vec![(root.clone(), 0)];
    while let Some((node, depth)) = open.pop() {
        deepest = deepest.max(depth);
        open.extend(node.children.borrow().iter().map(|child| (child.clone(), depth + 1)));
    }
    deepest
}

fn check_nesting(depth: usize) -> Result<(), Failure> {
    if depth <= NESTING_MAX {
        return Ok(());
    }
    refuse(format!("content nests {depth} levels deep, more than {NESTING_MAX} (NESTING_MAX)"))
}

/// What a text will cost the HTML parser, estimated from its tags before they are parsed.
struct Tags {
    all: usize,
    formatting_with_attributes: usize,
}

impl Tags {
    fn count(html: &str) -> Self {
        let mut tags = Self { all: 0, formatting_with_attributes: 0 };
        for tag in html.split('<').skip(1) {
            let name_ends = tag.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(tag.len());
            let (name, rest) = tag.split_at(name_ends);
            let is_formatting = FORMATTING.iter().any(|known| name.eq_ignore_ascii_case(known));
            tags.all += 1;
            tags.formatting_with_attributes += usize::from(is_formatting && !rest.starts_with('>'));
        }
        tags
    }

    fn check(&self, nesting: usize) -> Result<(), Failure> {
        let steps = self.all.saturating_mul(nesting);
        if steps > PARSER_STEPS_MAX {
            let message = format!(
                "{} tags that may nest {nesting} deep cost {steps} steps, more than {PARSER_STEPS_MAX} (PARSER_STEPS_MAX)",
                self.all
            );
            return refuse(message);
        }
        let copies = self.all.saturating_mul(self.formatting_with_attributes);
        if copies > PARSER_COPIES_MAX {
            let message = format!(
                "{} formatting tags with attributes among {} may become {copies} elements, more than \
                 {PARSER_COPIES_MAX} (PARSER_COPIES_MAX)",
                self.formatting_with_attributes, self.all
            );
            return refuse(message);
        }
        Ok(())
    }
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
        check("<div>".repeat(150_000), Format::Markdown, "PARSER_STEPS_MAX");
        check("<div>".repeat(150_000), Format::Html, "PARSER_STEPS_MAX");
        check("<div>".repeat(1_000), Format::Markdown, "NESTING_MAX");
        check(">".repeat(150_000), Format::Html, "NESTING_MAX");
        check("+ ".repeat(150_000), Format::Html, "NESTING_MAX");
        let bold: String = (0..2_000).map(|number| format!("<b id={number}>")).collect();
        check(bold.clone() + &"<p>".repeat(2_000), Format::Markdown, "PARSER_COPIES_MAX");
        check(bold + &"\n\nx".repeat(2_000), Format::Html, "PARSER_COPIES_MAX");
    }

    #[test]
    fn the_worst_that_is_allowed_ends_soon() {
        let bold: String = (0..500).map(|number| format!("<b id={number}>")).collect();
        for (content, to) in [
            ("<div>".repeat(14_000), Format::Markdown),
            (bold.clone() + &"<p>".repeat(1_400), Format::Markdown),
            (bold + &"\n\nx".repeat(400), Format::Html),
            ("*a_ ".repeat(100_000), Format::Html),
            ("[".repeat(500_000), Format::Html),
            ("![[]()".repeat(100_000), Format::Html),
            ("`a``".repeat(100_000), Format::Html),
            ("|a|b|\n|-|-|\n".to_owned() + &"|x|y|\n".repeat(20_000), Format::Html),
        ] {
            let start = std::time::Instant::now();
            let shown: String = content.chars().take(20).collect();
            let _ = run(content, to);
            let took = start.elapsed();
            assert!(took.as_secs() < 20, "{shown} took {took:?}");
        }
    }
}
