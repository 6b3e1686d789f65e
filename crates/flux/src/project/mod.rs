//! A project folder: `flux.json` and the flow files in `flows/`.
//!
//! Reading it never fails as a whole: a file that is not a flow is a finding about that file.
//! Nothing here plans, publishes or watches.

pub(crate) mod bundle;
pub(crate) mod check;
pub(crate) mod functions;
pub(crate) mod publish;
pub(crate) mod template;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use flux_model::diagnostic::nearest;
use flux_model::limits::FLOW_BYTES_MAX;
use flux_model::{Diagnostic, ErrorCode, Flow};
use serde::Deserialize;
use serde_json::Value;

use crate::error::CommandError;

/// The file that makes a folder a project.
pub(crate) const PROJECT_FILE: &str = "flux.json";
/// Where flow files are.
pub(crate) const FLOWS_FOLDER: &str = "flows";
/// Where everything that Flux keeps for a project is.
pub(crate) const DATA_FOLDER: &str = ".flux";
/// Flow files of one project.
const FLOW_FILES_MAX: usize = 5_000;

/// `flux.json`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProjectFile {
    /// The project's name; the folder's where absent.
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// What flows may reach beside public addresses.
    #[serde(default)]
    pub(crate) egress: EgressRules,
    /// What there is to say about functions, by name: read where functions are.
    #[serde(default)]
    #[expect(dead_code, reason = "here so that the file is accepted; the functions runtime reads it")]
    functions: Option<Value>,
    /// The project's database.
    #[serde(default)]
    pub(crate) database: Option<Database>,
}

/// The project's database; one file in the data folder where nothing else is said.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Database {
    /// A PostgreSQL database: `postgres://user:password@host:port/name`.
    #[serde(default)]
    pub(crate) url: Option<String>,
}

/// Which targets flows may reach.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EgressRules {
    /// Networks and hosts that are not public but may be reached, such as `10.0.0.0/8:5432` or
    /// `crm.internal`.
    #[serde(default)]
    pub(crate) allow: Vec<String>,
}

/// A project.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    /// Its folder.
    pub(crate) root: PathBuf,
    /// What `flux.json` says.
    pub(crate) file: ProjectFile,
}

impl Project {
    /// The project in `folder`.
    pub(crate) fn open(folder: &Path) -> Result<Self, CommandError> {
        let path = folder.join(PROJECT_FILE);
        let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let file = parse_project(&text).map_err(|(message, near)| {
            let error = CommandError::local(
                ErrorCode::ConfigurationInvalid,
                format!("{}: {message}", path.display()),
            );
            near.into_iter().fold(error, CommandError::hint)
        })?;
        let root =
            std::fs::canonicalize(folder).with_context(|| format!("cannot open {}", folder.display()))?;
        Ok(Self { root, file })
    }

    /// The project's name.
    pub(crate) fn name(&self) -> String {
        let of_folder = || self.root.file_name().map(|name| name.to_string_lossy().into_owned());
        self.file.name.clone().or_else(of_folder).unwrap_or_else(|| "project".to_owned())
    }

    /// Where Flux keeps its data unless told otherwise.
    pub(crate) fn data(&self) -> PathBuf {
        self.root.join(DATA_FOLDER)
    }

    /// Every flow file, by name.
    pub(crate) fn flow_files(&self) -> anyhow::Result<Vec<PathBuf>> {
        flow_files_in(&self.root.join(FLOWS_FOLDER))
    }
}

/// The flow files directly in `folder`, by name; none if there is no such folder.
fn flow_files_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", folder.display())),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("cannot read {}", folder.display()))?.path();
        if FileForm::of(&path).is_some() && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    let count = files.len();
    anyhow::ensure!(
        count <= FLOW_FILES_MAX,
        "{} has {count} flow files, at most {FLOW_FILES_MAX} are read (FLOW_FILES_MAX)",
        folder.display()
    );
    Ok(files)
}

/// The nearest folder from `folder` upwards that is a project.
pub(crate) fn root_of(folder: &Path) -> Option<PathBuf> {
    folder.ancestors().find(|folder| folder.join(PROJECT_FILE).is_file()).map(Path::to_path_buf)
}

/// The project that the current folder is in.
pub(crate) fn current() -> Result<Project, CommandError> {
    let here = std::env::current_dir().context("the current folder is gone")?;
    let root = root_of(&here).ok_or_else(|| {
        CommandError::usage(format!("neither {} nor a folder above it has a {PROJECT_FILE}", here.display()))
            .hint("make a project with `flux init`, or go to its folder")
    })?;
    Project::open(&root)
}

/// Reads `flux.json`; an error comes with the way out, where it is known.
fn parse_project(text: &[u8]) -> Result<ProjectFile, (String, Option<String>)> {
    serde_json::from_slice(text).map_err(|error| {
        let message = error.to_string();
        let near = near_field(&message);
        (message, near)
    })
}

/// In which form a flow is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileForm {
    /// JSON.
    Json,
    /// YAML 1.2.
    Yaml,
}

impl FileForm {
    /// What the name of a file says.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "json" => Some(Self::Json),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }
}

/// A flow file that was read.
#[derive(Debug, Clone)]
pub(crate) struct FlowFile {
    /// Where, for people: below the project if it is.
    pub(crate) shown: String,
    /// The flow, or why it is none.
    pub(crate) flow: Result<Flow, Vec<Diagnostic>>,
}

/// Reads flow files. Two files with flows of the same name are both refused.
pub(crate) fn read_flows(root: &Path, paths: &[PathBuf]) -> Vec<FlowFile> {
    let mut files: Vec<FlowFile> = paths
        .iter()
        .map(|path| FlowFile {
            shown: path.strip_prefix(root).unwrap_or(path).display().to_string(),
            flow: read_flow(path).map_err(|finding| vec![finding]),
        })
        .collect();
    refuse_clashes(&mut files);
    files
}

fn refuse_clashes(files: &mut [FlowFile]) {
    let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, file) in files.iter().enumerate() {
        if let Ok(flow) = &file.flow {
            by_name.entry(flow.name.clone()).or_default().push(index);
        }
    }
    for (name, places) in by_name.into_iter().filter(|(_, places)| places.len() > 1) {
        let shown: Vec<String> = places.iter().map(|index| files[*index].shown.clone()).collect();
        for index in places {
            let message = format!("flow `{name}` is written in {}", shown.join(" and in "));
            let finding = Diagnostic::error(ErrorCode::FlowSyntax, message)
                .at_field("name")
                .suggest(Some("give each file's flow its own name".to_owned()));
            files[index].flow = Err(vec![finding]);
        }
    }
}

/// Reads one flow file.
pub(crate) fn read_flow(path: &Path) -> Result<Flow, Diagnostic> {
    let syntax = |message: String| Diagnostic::error(ErrorCode::FlowSyntax, message);
    let bytes = std::fs::read(path).map_err(|error| syntax(format!("the file cannot be read: {error}")))?;
    if bytes.len() > FLOW_BYTES_MAX {
        let message =
            format!("the file has {} bytes, at most {FLOW_BYTES_MAX} are read (FLOW_BYTES_MAX)", bytes.len());
        return Err(Diagnostic::error(ErrorCode::FlowTooLarge, message));
    }
    let text = String::from_utf8(bytes).map_err(|_| syntax("the file is not UTF-8".to_owned()))?;
    let form = FileForm::of(path).unwrap_or(FileForm::Json);
    parse_flow(&text, form)
}

fn parse_flow(text: &str, form: FileForm) -> Result<Flow, Diagnostic> {
    flow_of(parse_tree(text, form)?)
}

/// Both forms become the same tree first, so that a wrong field is described in the same words.
fn parse_tree(text: &str, form: FileForm) -> Result<Value, Diagnostic> {
    let syntax = |message: String| Diagnostic::error(ErrorCode::FlowSyntax, message);
    match form {
        FileForm::Json => serde_json::from_str(text).map_err(|error| syntax(format!("not JSON: {error}"))),
        FileForm::Yaml => {
            // `country: NO` is a text: only `true` and `false` are booleans, as YAML 1.2 has it.
            let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
            serde_saphyr::from_str_with_options(text, options)
                .map_err(|error| syntax(format!("not YAML: {error}")))
        }
    }
}

/// Reads a flow out of its tree.
fn flow_of(tree: Value) -> Result<Flow, Diagnostic> {
    // Without this, serde would read an array as the fields in order.
    if !tree.is_object() {
        let message = "a flow is an object with `name`, `nodes` and `edges`";
        return Err(Diagnostic::error(ErrorCode::FlowSyntax, message));
    }
    serde_path_to_error::deserialize(tree).map_err(|error| {
        let place = error.path().to_string();
        let message = error.into_inner().to_string();
        let finding = Diagnostic::error(ErrorCode::FlowSyntax, message.clone()).suggest(near_field(&message));
        if place == "." { finding } else { finding.at_field(place) }
    })
}

/// The known field nearest to the unknown one that serde names.
fn near_field(message: &str) -> Option<String> {
    let mut quoted = message.strip_prefix("unknown field ")?.split('`').skip(1).step_by(2);
    let given = quoted.next()?;
    nearest(given, quoted).map(|near| format!("write `{near}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(form: FileForm, text: &str, field: Option<&str>, message: &str, suggestion: Option<&str>) {
        let finding = parse_flow(text, form).unwrap_err();
        assert_eq!(finding.field.as_deref(), field, "{finding}");
        assert!(finding.message.contains(message), "{finding}");
        assert_eq!(finding.suggestion.as_deref(), suggestion, "{finding}");
    }

    #[test]
    fn findings_about_files_name_the_place_and_the_way_out() {
        use FileForm::{Json, Yaml};
        check(Json, "{", None, "not JSON: EOF", None);
        check(Yaml, "name: [", None, "not YAML", None);
        check(
            Json,
            r#"{"name":"a","nodes":[{"key":"t","typ":"x"}]}"#,
            Some("nodes[0].typ"),
            "unknown field `typ`",
            Some("write `type`"),
        );
        check(Yaml, "name: a\nnodez: []\n", Some("nodez"), "unknown field `nodez`", Some("write `nodes`"));
        check(Json, r#"{"name":1,"nodes":[]}"#, Some("name"), "invalid type", None);
    }

    #[test]
    fn both_forms_give_the_same_flow() {
        let json = r#"{"name":"a","nodes":[{"key":"t","type":"trigger.manual","config":{"x":[1,2.5,"NO",null,true]}}]}"#;
        let yaml = "name: a\nnodes:\n  - key: t\n    type: trigger.manual\n    config:\n      x: [1, 2.5, NO, null, true]\n";
        assert_eq!(parse_flow(json, FileForm::Json).unwrap(), parse_flow(yaml, FileForm::Yaml).unwrap());
    }

    #[test]
    fn two_files_with_one_name_are_both_refused() {
        let folder = tempfile::tempdir().unwrap();
        let flow = r#"{"name":"a","nodes":[]}"#;
        let paths: Vec<PathBuf> = ["one.json", "two.json"].map(|name| folder.path().join(name)).to_vec();
        paths.iter().for_each(|path| std::fs::write(path, flow).unwrap());
        let files = read_flows(folder.path(), &paths);
        for file in files {
            let findings = file.flow.unwrap_err();
            assert!(findings[0].message.contains("one.json and in two.json"), "{}", findings[0]);
        }
    }
}
