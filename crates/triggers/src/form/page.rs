//! The page of a form as HTML. Every text that comes from a config or a visitor is escaped.

use std::fmt::Write;

use base64::Engine as _;
use flux_model::Value;
use sha2::{Digest, Sha256};

use super::Form;
use super::field::{Field, FieldKind};
use crate::schema::FieldError;

/// The style of the page. Its hash is in the content security policy, so it stands in the page.
const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:3rem auto;padding:0 1rem}\
label,legend{display:block;font-weight:600}\
.field{margin:1.25rem 0}\
.tick{display:flex;gap:.5rem;align-items:baseline}\
.hint{margin:.25rem 0;opacity:.75}\
.error{margin:.25rem 0;color:#b3261e;font-weight:600}\
input:not([type=checkbox]),select,textarea{font:inherit;width:100%;box-sizing:border-box;padding:.5rem}\
textarea{min-height:8rem}\
button{font:inherit;padding:.6rem 1.4rem}\
@media(prefers-color-scheme:dark){.error{color:#ffb4ab}}";

/// The `Content-Security-Policy` header that pages of this module are served with: no script, no
/// request, no frame, this style only.
pub fn content_security_policy() -> String {
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
}

impl Form {
    /// The page with the form: empty, or with what was submitted and what is wrong with it.
    pub fn render(&self, values: Option<&Value>, errors: &[FieldError]) -> String {
        let mut body = String::new();
        if let Some(text) = &self.description {
            push(&mut body, &["<p>", &escape(text), "</p>"]);
        }
        let of_no_field =
            errors.iter().filter(|error| !self.fields.iter().any(|field| field.name == error.field));
        if !errors.is_empty() {
            body.push_str(r#"<div role="alert"><p class="error">Some answers need another look.</p>"#);
            for error in of_no_field {
                push(&mut body, &[r#"<p class="error">"#, &escape(&error.to_string()), "</p>"]);
            }
            body.push_str("</div>");
        }
        body.push_str(r#"<form method="post" accept-charset="utf-8">"#);
        for (number, field) in self.fields.iter().enumerate() {
            let value = match values {
                Some(values) => values.get(&field.name).cloned().unwrap_or_default(),
                None => field.default.clone(),
            };
            let error = errors.iter().find(|error| error.field == field.name);
            write_field(&mut body, &Shown { field, number, value, error });
        }
        push(&mut body, &[r#"<button type="submit">"#, &escape(&self.submit_label), "</button></form>"]);
        self.page(&body)
    }

    /// The page after a submission.
    pub fn render_success(&self) -> String {
        self.page(&format!(r#"<p role="status">{}</p>"#, escape(&self.success_message)))
    }

    fn page(&self, body: &str) -> String {
        let title = escape(&self.title);
        format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <title>{title}</title><style>{STYLE}</style></head>\
             <body><main><h1>{title}</h1>{body}</main></body></html>"
        )
    }
}

/// A field with what is shown in it.
struct Shown<'a> {
    field: &'a Field,
    number: usize,
    value: Value,
    error: Option<&'a FieldError>,
}

fn write_field(out: &mut String, shown: &Shown<'_>) {
    let Shown { field, number, .. } = shown;
    let required_mark = if field.required { r#" <span aria-hidden="true">*</span>"# } else { "" };
    let label = format!(r#"<label for="f{number}">{}{required_mark}</label>"#, escape(&field.label));
    if field.kind == FieldKind::Tick {
        out.push_str(r#"<div class="field"><div class="tick">"#);
        write_control(out, shown);
        push(out, &[&label, "</div>"]);
    } else {
        push(out, &[r#"<div class="field">"#, &label]);
        write_control(out, shown);
    }
    if let Some(hint) = &field.hint {
        push(out, &[&format!(r#"<p class="hint" id="h{number}">"#), &escape(hint), "</p>"]);
    }
    if let Some(error) = shown.error {
        push(out, &[&format!(r#"<p class="error" id="e{number}">"#), &escape(&error.message), "</p>"]);
    }
    out.push_str("</div>");
}

fn write_control(out: &mut String, shown: &Shown<'_>) {
    let attributes = shared_attributes(shown);
    let text = escape(&as_text(&shown.value));
    match &shown.field.kind {
        FieldKind::Line { input_type, length_max } => {
            let length = attribute("maxlength", *length_max);
            push(out, &[&format!(r#"<input type="{input_type}" value="{text}"{length}"#), &attributes, ">"]);
        }
        FieldKind::Lines { length_max } => {
            // The line feed after the tag is dropped by the parser, so that one in the text is not.
            push(
                out,
                &[
                    "<textarea",
                    &attribute("maxlength", *length_max),
                    &attributes,
                    ">\n",
                    &text,
                    "</textarea>",
                ],
            );
        }
        FieldKind::Number { integer, min, max } => {
            let step = if *integer { "1" } else { "any" };
            let bounds = attribute("min", *min) + &attribute("max", *max);
            let start = format!(r#"<input type="number" step="{step}" value="{text}"{bounds}"#);
            push(out, &[&start, &attributes, ">"]);
        }
        FieldKind::Tick => {
            let checked = if shown.value.is_true() { " checked" } else { "" };
            push(out, &[r#"<input type="checkbox" value="true""#, checked, &attributes, ">"]);
        }
        FieldKind::Choice { values } => {
            push(out, &["<select", &attributes, r#"><option value=""></option>"#]);
            for value in values {
                let option = escape(&as_text(value));
                let selected = if *value == shown.value { " selected" } else { "" };
                push(out, &[r#"<option value=""#, &option, "\"", selected, ">", &option, "</option>"]);
            }
            out.push_str("</select>");
        }
    }
}

fn shared_attributes(shown: &Shown<'_>) -> String {
    let Shown { field, number, .. } = shown;
    let mut text = format!(r#" id="f{number}" name="{}""#, escape(&field.name));
    // A required tick box may be left empty: its answer is then `false`.
    if field.required && field.kind != FieldKind::Tick {
        text.push_str(" required");
    }
    if shown.error.is_some() {
        text.push_str(r#" aria-invalid="true""#);
    }
    let hint = field.hint.as_ref().map(|_| format!("h{number}"));
    let error = shown.error.map(|_| format!("e{number}"));
    let described: Vec<String> = hint.into_iter().chain(error).collect();
    if !described.is_empty() {
        push(&mut text, &[r#" aria-describedby=""#, &described.join(" "), "\""]);
    }
    text
}

fn attribute(name: &str, value: Option<impl std::fmt::Display>) -> String {
    value.map_or_else(String::new, |value| format!(r#" {name}="{value}""#))
}

fn as_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Text(text) => text.to_string(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) | Value::Secret(_) => {
            value.to_json()
        }
    }
}

fn push(out: &mut String, parts: &[&str]) {
    parts.iter().for_each(|part| out.push_str(part));
}

/// The text with everything that means something in HTML text or attributes written as a
/// character reference.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\0' => {}
            letter if letter.is_control() && !letter.is_ascii_whitespace() => {
                let _ = write!(out, "&#{};", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::form;
    use super::*;

    fn check(html: &str, parts: &[&str]) {
        for part in parts {
            assert!(html.contains(part), "{part} is not in {html}");
        }
    }

    #[test]
    fn every_kind_of_field_is_drawn_with_its_label() {
        let html = form().render(None, &[]);
        check(
            &html,
            &[
                "<title>Contact &lt;us&gt;</title>",
                "<p>We &amp; you</p>",
                r#"<label for="f0">Your &quot;name&quot; <span aria-hidden="true">*</span></label>"#,
                r#"<input type="text" value="" maxlength="40" id="f0" name="name" required>"#,
                r#"<input type="email" value="" id="f1" name="mail">"#,
                r#"<input type="date" value="" id="f2" name="day">"#,
                r#"<textarea id="f3" name="text" aria-describedby="h3">"#,
                r#"<p class="hint" id="h3">At &lt;length&gt;</p>"#,
                r#"<option value="sales" selected>sales</option>"#,
                r#"<option value="&lt;b&gt;support&lt;/b&gt;">"#,
                r#"<input type="number" step="1" value="" min="1" max="9" id="f5" name="count">"#,
                r#"<input type="number" step="any" value="" id="f6" name="price">"#,
                r#"<input type="checkbox" value="true" id="f7" name="agree">"#,
            ],
        );
        assert!(!html.contains("<script") && !html.contains("style=") && !html.contains("<b>"));
    }

    #[test]
    fn a_second_try_shows_answers_and_errors() {
        let values = Value::object([
            ("name", Value::from(r#""><script>alert(1)</script>"#)),
            ("text", Value::from("\n</textarea>")),
            ("agree", Value::from(true)),
        ]);
        let errors = [FieldError::new("mail", "is <wrong>"), FieldError::new("", "all of it")];
        let html = form().render(Some(&values), &errors);
        check(
            &html,
            &[
                r#"value="&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;""#,
                "\n\n&lt;/textarea&gt;</textarea>",
                r#"<div role="alert">"#,
                r#"<p class="error">all of it</p>"#,
                r#"name="mail" aria-invalid="true" aria-describedby="e1""#,
                r#"<p class="error" id="e1">is &lt;wrong&gt;</p>"#,
                r#"<option value="sales">"#,
                r#"value="true" checked"#,
            ],
        );
        assert!(!html.contains("<script"));
    }

    #[test]
    fn the_policy_allows_the_style_of_the_page_and_nothing_else() {
        let page = form().render_success();
        let style = page.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
        let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(style));
        let policy = content_security_policy();
        check(&policy, &["default-src 'none'", &format!("style-src 'sha256-{hash}'"), "form-action 'self'"]);
        check(&page, &[r#"<p role="status">Thank you.</p>"#]);
    }
}
