//! Flows on their way between servers: one flow file, or several flows in one bundle
//! (`{"flux": 1, "flows": [...]}`), as `flux flow export` writes and `flux flow import` reads them.

use flux_model::flow::FLOW_FORMAT;
use flux_model::{Diagnostic, ErrorCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{FileForm, FlowFile, flow_of, parse_tree, refuse_clashes};

/// Bytes of one bundle.
pub(crate) const BUNDLE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The member that tells a bundle from a flow.
const FLOWS: &str = "flows";

/// Several flows in one file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bundle {
    /// The format of the flows.
    #[serde(default = "present_format")]
    flux: u32,
    /// The flows, each as it stands in a file of its own.
    flows: Vec<Value>,
}

fn present_format() -> u32 {
    FLOW_FORMAT
}

impl Bundle {
    /// A bundle of these flows.
    pub(crate) fn of(flows: Vec<Value>) -> Self {
        Self { flux: FLOW_FORMAT, flows }
    }
}

/// Where a text came from.
pub(crate) struct Source {
    /// For people: the file, or that it was standard input.
    pub(crate) shown: String,
    /// The bytes.
    pub(crate) bytes: Vec<u8>,
    /// In which form it is written; found out from the text where the name does not say.
    pub(crate) form: Option<FileForm>,
}

/// The flows in these texts. Flows of the same name are all refused.
pub(crate) fn read(sources: Vec<Source>) -> Vec<FlowFile> {
    let mut flows: Vec<FlowFile> = sources.into_iter().flat_map(flows_in).collect();
    refuse_clashes(&mut flows);
    flows
}

fn flows_in(source: Source) -> Vec<FlowFile> {
    let shown = source.shown.clone();
    let refused = |finding: Diagnostic| vec![FlowFile { shown: shown.clone(), flow: Err(vec![finding]) }];
    let tree = match tree_of(source) {
        Ok(tree) => tree,
        Err(finding) => return refused(finding),
    };
    if tree.get(FLOWS).is_none() {
        return vec![FlowFile { shown, flow: flow_of(tree).map_err(|finding| vec![finding]) }];
    }
    match flows_of(tree) {
        Ok(flows) => flows.into_iter().enumerate().map(|(at, flow)| part(&shown, at, flow)).collect(),
        Err(finding) => refused(finding),
    }
}

fn tree_of(source: Source) -> Result<Value, Diagnostic> {
    let length = source.bytes.len();
    if length > BUNDLE_BYTES_MAX {
        let message = format!("it has more than {BUNDLE_BYTES_MAX} bytes (BUNDLE_BYTES_MAX)");
        return Err(Diagnostic::error(ErrorCode::FlowTooLarge, message)
            .suggest(Some("import it in several bundles".to_owned())));
    }
    let text = String::from_utf8(source.bytes)
        .map_err(|_| Diagnostic::error(ErrorCode::FlowSyntax, "the file is not UTF-8"))?;
    if text.trim().is_empty() {
        return Err(Diagnostic::error(ErrorCode::FlowSyntax, "there is nothing in it"));
    }
    let by_text = if text.trim_start().starts_with('{') { FileForm::Json } else { FileForm::Yaml };
    parse_tree(&text, source.form.unwrap_or(by_text))
}

/// The flows of a bundle.
fn flows_of(bundle: Value) -> Result<Vec<Value>, Diagnostic> {
    let read: Result<Bundle, _> = serde_path_to_error::deserialize(bundle);
    let wrong =
        |field: String, message: String| Diagnostic::error(ErrorCode::FlowSyntax, message).at_field(field);
    let bundle = read.map_err(|error| wrong(error.path().to_string(), error.inner().to_string()))?;
    if bundle.flux != FLOW_FORMAT {
        let message = format!("format {} is not known; this version reads {FLOW_FORMAT}", bundle.flux);
        return Err(wrong("flux".to_owned(), message));
    }
    Ok(bundle.flows)
}

/// One flow of a bundle: what is wrong with it is said with its place there.
fn part(bundle: &str, at: usize, flow: Value) -> FlowFile {
    let shown = match flow.get("name").and_then(Value::as_str) {
        Some(name) => format!("{bundle}: {FLOWS}[{at}] ({name})"),
        None => format!("{bundle}: {FLOWS}[{at}]"),
    };
    FlowFile { shown, flow: flow_of(flow).map_err(|finding| vec![finding]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str, form: Option<FileForm>) -> Source {
        Source { shown: "it".to_owned(), bytes: text.into(), form }
    }

    fn check(text: &str, expected: &[(&str, Result<&str, &str>)]) {
        let found = read(vec![source(text, None)]);
        assert_eq!(found.len(), expected.len(), "{text}: {found:?}");
        for (found, (shown, flow)) in found.iter().zip(expected) {
            assert_eq!(found.shown, *shown, "{text}");
            match (&found.flow, flow) {
                (Ok(found), Ok(name)) => assert_eq!(found.name, *name, "{text}"),
                (Err(findings), Err(message)) => {
                    assert!(findings[0].to_string().contains(message), "{text}: {}", findings[0]);
                }
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_flow_and_a_bundle_are_told_apart_whatever_their_form() {
        check(r#"{"name":"a","nodes":[]}"#, &[("it", Ok("a"))]);
        check("name: a\nnodes: []\n", &[("it", Ok("a"))]);
        check(
            r#"{"flux":1,"flows":[{"name":"a","nodes":[]},{"name":"b","nodes":[]}]}"#,
            &[("it: flows[0] (a)", Ok("a")), ("it: flows[1] (b)", Ok("b"))],
        );
        check("flows:\n  - name: a\n    nodes: []\n", &[("it: flows[0] (a)", Ok("a"))]);
        check(r#"{"flows":[]}"#, &[]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        check("{", &[("it", Err("not JSON"))]);
        check(" \n", &[("it", Err("there is nothing in it"))]);
        check("~", &[("it", Err("a flow is an object"))]);
        check("[]", &[("it", Err("a flow is an object"))]);
        check(r#"{"flows":{}}"#, &[("it", Err("invalid type: map, expected a sequence"))]);
        check(r#"{"flux":2,"flows":[]}"#, &[("it", Err("format 2 is not known"))]);
        check(r#"{"flows":[],"flow":1}"#, &[("it", Err("unknown field `flow`"))]);
        check(
            r#"{"flows":[{"name":"a","nodes":[]},{"name":"b","nodez":[]},7]}"#,
            &[
                ("it: flows[0] (a)", Ok("a")),
                ("it: flows[1] (b)", Err("write `nodes`")),
                ("it: flows[2]", Err("a flow is an object")),
            ],
        );
        check(
            r#"{"flows":[{"name":"a","nodes":[]},{"name":"a","nodes":[]}]}"#,
            &[
                ("it: flows[0] (a)", Err("it: flows[0] (a) and in it: flows[1] (a)")),
                ("it: flows[1] (a)", Err("it: flows[0] (a) and in it: flows[1] (a)")),
            ],
        );
    }

    #[test]
    fn texts_have_bounds() {
        let long = read(vec![source(&" ".repeat(BUNDLE_BYTES_MAX + 1), None)]);
        assert!(long[0].flow.as_ref().unwrap_err()[0].to_string().contains("BUNDLE_BYTES_MAX"));
        let binary = Source { shown: "it".into(), bytes: vec![0xff], form: None };
        assert!(read(vec![binary])[0].flow.as_ref().unwrap_err()[0].to_string().contains("not UTF-8"));
    }
}
