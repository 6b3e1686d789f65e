//! The functions of a project: the files in `functions/` and what `flux.json` says about them.
//!
//! Reads and checks; bundles nothing. Every error names the place, the value and the nearest name
//! that is known.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flux_model::diagnostic::nearest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{DeployError, ProjectFault};

mod members;

/// The folder of a project that holds its functions.
pub const FUNCTIONS_FOLDER: &str = "functions";
/// Functions of one project.
pub(crate) const FUNCTIONS_MAX: usize = 1_000;
/// Characters of a function's name.
pub(crate) const NAME_CHARS_MAX: usize = 64;

/// A project's functions, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectFunctions {
    /// The project's folder.
    pub root: PathBuf,
    /// The functions, by name.
    pub functions: Vec<Function>,
}

/// One function as the project declares it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Function {
    /// Its name: that of its file, without extension.
    pub name: String,
    /// Its file, from the project's folder: `functions/create_order.ts`.
    pub file: String,
    /// The path it answers at: `/create_order` unless `flux.json` says otherwise. May hold `{name}`
    /// parts.
    pub route: String,
    /// The method it answers to: `POST` unless `flux.json` says otherwise.
    pub method: String,
    /// Who may call it.
    pub auth: Auth,
    /// Whether the caller waits for the output.
    pub mode: Mode,
    /// Whether each boundary call is durable before it is made.
    pub durability: Durability,
    /// How long it may run, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// How much memory its process may use, in MiB.
    pub memory_mb: Option<u64>,
    /// How an asynchronous call is repeated.
    pub retry: Option<Retry>,
    /// Which other origins may call it.
    pub cors: Option<Cors>,
    /// How often one key may call it.
    pub rate_limit: Option<RateLimit>,
}

/// Who may call a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Auth {
    /// Whoever has a key or a token of a configured issuer.
    #[default]
    Required,
    /// Everybody.
    None,
}

/// Whether the caller of a function waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Mode {
    /// It gets the output.
    #[default]
    Sync,
    /// It gets the execution's id.
    Async,
}

/// When the boundary calls of a function are durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Durability {
    /// In one batch after its end.
    #[default]
    Batched,
    /// Each before the next.
    Durable,
}

/// How a failed asynchronous call is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// Attempts in all.
    pub attempts: u32,
    /// Pause after the first, in milliseconds.
    pub initial_ms: u64,
    /// By what the pause grows.
    pub factor: f64,
    /// The longest pause, in milliseconds.
    pub max_ms: u64,
}

/// Which other origins may call a function from a browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cors {
    /// Origins, or `*`.
    pub origins: Vec<String>,
    /// Request headers beyond the simple ones.
    pub headers: Vec<String>,
    /// Answer headers that scripts may read.
    pub expose: Vec<String>,
    /// Whether cookies and credentials are allowed.
    pub credentials: Credentials,
    /// How long a browser may remember the answer, in seconds.
    pub max_age_s: u64,
}

/// Whether credentials go along with a request from another origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Credentials {
    /// No.
    #[default]
    Omitted,
    /// Yes.
    Allowed,
}

/// How often one key may call a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Calls per period.
    pub limit: u64,
    /// The period, in milliseconds.
    pub per_ms: u64,
    /// Calls at once on top of the steady rate.
    pub burst: u64,
}

impl ProjectFunctions {
    /// Reads the functions of the project in `root`; `declared` is the member `functions` of its
    /// `flux.json`.
    ///
    /// # Errors
    /// Every fault found, not only the first.
    pub fn read(root: &Path, declared: Option<&Value>) -> Result<Self, DeployError> {
        let files = function_files(root)?;
        let mut faults = Vec::new();
        let declared = members::declared(declared, &mut faults);
        for name in declared.keys().filter(|name| !files.contains_key(**name)) {
            faults.push(ProjectFault {
                place: format!("flux.json: functions.{name}"),
                message: format!("there is no file {FUNCTIONS_FOLDER}/{name}.ts"),
                suggestion: nearest(name, files.keys().map(String::as_str))
                    .map(|near| format!("did you mean `{near}`?")),
                code_frame: None,
            });
        }
        let functions: Vec<Function> = files
            .iter()
            .map(|(name, file)| {
                members::function(name, file, declared.get(name.as_str()).copied(), &mut faults)
            })
            .collect();
        refuse_clashes(&functions, &mut faults);
        if faults.is_empty() {
            Ok(Self { root: root.to_path_buf(), functions })
        } else {
            Err(DeployError::Project(faults))
        }
    }

    /// Reads the functions of the project in `root` and its `flux.json`, which may be absent.
    ///
    /// # Errors
    /// As [`ProjectFunctions::read`]; also if `flux.json` is not JSON.
    pub fn open(root: &Path) -> Result<Self, DeployError> {
        let path = root.join("flux.json");
        let file: Value = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| DeployError::Files(format!("{}: {error}", path.display())))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Value::Null,
            Err(error) => return Err(DeployError::Files(format!("{}: {error}", path.display()))),
        };
        Self::read(root, file.get("functions"))
    }

    /// The function of this name.
    pub fn get(&self, name: &str) -> Option<&Function> {
        self.functions.iter().find(|function| function.name == name)
    }
}

/// The files directly in `functions/`, by the name of their function. Files whose name begins with
/// `_` or a dot, type declarations and tests are no functions.
fn function_files(root: &Path) -> Result<BTreeMap<String, String>, DeployError> {
    let folder = root.join(FUNCTIONS_FOLDER);
    let unreadable = |error| DeployError::Files(format!("{}: {error}", folder.display()));
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut files = BTreeMap::new();
    let mut faults = Vec::new();
    for entry in entries {
        let file = entry.map_err(unreadable)?.file_name();
        let Some(name) = file.to_str().and_then(function_name) else { continue };
        let path = format!("{FUNCTIONS_FOLDER}/{}", file.to_string_lossy());
        if let Some(message) = members::refuse_name(name) {
            faults.push(ProjectFault { place: path, message, suggestion: None, code_frame: None });
        } else {
            files.insert(name.to_owned(), path);
        }
    }
    if files.len() > FUNCTIONS_MAX {
        return Err(DeployError::Files(format!(
            "{} has {} functions, at most {FUNCTIONS_MAX} are served (FUNCTIONS_MAX)",
            folder.display(),
            files.len()
        )));
    }
    if faults.is_empty() { Ok(files) } else { Err(DeployError::Project(faults)) }
}

fn function_name(file: &str) -> Option<&str> {
    let name = file.strip_suffix(".ts")?;
    let is_other = name.starts_with(['_', '.'])
        || name.ends_with(".d")
        || name.ends_with(".test")
        || name.ends_with("_test");
    (!is_other).then_some(name)
}

/// One route and method belongs to one function. Names of parts do not distinguish routes.
fn refuse_clashes(functions: &[Function], faults: &mut Vec<ProjectFault>) {
    let mut taken: BTreeMap<(String, &str), &Function> = BTreeMap::new();
    for function in functions {
        let shape: Vec<&str> =
            function.route.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect();
        if let Some(first) = taken.insert((shape.join("/"), &function.method), function) {
            faults.push(ProjectFault {
                place: format!("flux.json: functions.{}.route", function.name),
                message: format!(
                    "`{}` ({}) and `{}` ({}) both answer {} {}",
                    first.name, first.file, function.name, function.file, function.method, function.route
                ),
                suggestion: Some("give one of them a route of its own".to_owned()),
                code_frame: None,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a project with the functions `a` and `b` and this `functions` member.
    fn read(declared: &str) -> Result<ProjectFunctions, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("functions")).unwrap();
        for file in ["a.ts", "b.ts", "_shared.ts", "a.test.ts", "types.d.ts", "readme.md"] {
            std::fs::write(folder.path().join("functions").join(file), "").unwrap();
        }
        let declared: Value = serde_json::from_str(declared).unwrap();
        ProjectFunctions::read(folder.path(), Some(&declared)).map_err(|error| error.to_string())
    }

    #[test]
    fn functions_are_the_files_with_defaults() {
        let project = read("null").unwrap();
        let names: Vec<&str> = project.functions.iter().map(|function| function.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        let a = project.get("a").unwrap();
        assert_eq!((a.file.as_str(), a.route.as_str(), a.method.as_str()), ("functions/a.ts", "/a", "POST"));
        assert_eq!((a.auth, a.mode, a.durability), (Auth::Required, Mode::Sync, Durability::Batched));
        assert_eq!(
            (a.timeout_ms, a.memory_mb, a.retry, &a.cors, a.rate_limit),
            (None, None, None, &None, None)
        );
    }

    #[test]
    fn every_member_is_read() {
        let declared = r#"{"a": {"route": "/orders/{id}", "method": "GET", "auth": "none", "async": true,
            "durable": true, "timeout_ms": 500, "memory_mb": 128, "retry": {"attempts": 5},
            "cors": {"origins": ["https://a.example"], "credentials": true},
            "rate_limit": {"limit": 10, "per_ms": 1000}}, "b": {"cors": true}}"#;
        let project = read(declared).unwrap();
        let a = project.get("a").unwrap();
        assert_eq!((a.route.as_str(), a.method.as_str(), a.auth), ("/orders/{id}", "GET", Auth::None));
        assert_eq!((a.mode, a.durability), (Mode::Async, Durability::Durable));
        assert_eq!((a.timeout_ms, a.memory_mb), (Some(500), Some(128)));
        assert_eq!(a.retry, Some(Retry { attempts: 5, initial_ms: 1_000, factor: 2.0, max_ms: 60_000 }));
        assert_eq!(a.rate_limit, Some(RateLimit { limit: 10, per_ms: 1_000, burst: 10 }));
        assert_eq!(a.cors.as_ref().unwrap().credentials, Credentials::Allowed);
        assert_eq!(project.get("b").unwrap().cors.as_ref().unwrap().origins, ["*"]);
    }

    #[test]
    fn mistakes_name_place_value_and_way_out() {
        for (declared, expect) in [
            (r#"{"c": {}}"#, "flux.json: functions.c: there is no file functions/c.ts (did you mean `a`?)"),
            (
                r#"{"a": {"timout_ms": 1}}"#,
                "flux.json: functions.a.timout_ms: there is no member `timout_ms` (did you mean `timeout_ms`?)",
            ),
            (r#"{"a": {"colour": 1}}"#, "known members are route, method"),
            (
                r#"{"a": {"method": "get"}}"#,
                "flux.json: functions.a.method: one of GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS is expected, not \"get\" (did you mean `GET`?)",
            ),
            (r#"{"a": {"auth": "open"}}"#, "functions.a.auth: one of required, none is expected"),
            (
                r#"{"a": {"timeout_ms": 0}}"#,
                "functions.a.timeout_ms: a whole number from 1 to 86400000 is expected, not 0",
            ),
            (
                r#"{"a": {"memory_mb": 1.5}}"#,
                "functions.a.memory_mb: a whole number from 64 to 16384 is expected, not 1.5",
            ),
            (r#"{"a": {"async": "yes"}}"#, "functions.a.async: true or false is expected, not \"yes\""),
            (r#"{"a": {"route": "orders"}}"#, "functions.a.route: a path of at most"),
            (r#"{"a": {"route": "/o/{id"}}"#, "functions.a.route: a path"),
            (r#"{"a": {"route": "/o?x"}}"#, "functions.a.route: a path"),
            (r#"{"a": {"retry": 3}}"#, "functions.a.retry: an object is expected, not 3"),
            (
                r#"{"a": {"retry": {"attempts": 101}}}"#,
                "functions.a.retry.attempts: a whole number from 1 to 100",
            ),
            (r#"{"a": {"rate_limit": {}}}"#, "functions.a.rate_limit.limit: a whole number"),
            (
                r#"{"a": {"cors": {"origins": ["*"], "credentials": true}}}"#,
                "credentials cannot be allowed for every origin",
            ),
            (r#"{"a": 5}"#, "functions.a: an object is expected, not a number"),
            (r#"[]"#, "functions: an object by function name is expected, not an array"),
            (
                r#"{"a": {"route": "/x"}, "b": {"route": "/x"}}"#,
                "`a` (functions/a.ts) and `b` (functions/b.ts) both answer POST /x",
            ),
            (r#"{"a": {"route": "/b"}}"#, "both answer POST /b"),
        ] {
            let said = read(declared).unwrap_err();
            assert!(said.contains(expect), "{declared}: {said}");
        }
        let both = read(r#"{"a": {"x": 1}, "b": {"y": 1}}"#).unwrap_err();
        assert_eq!(both.lines().count(), 2, "{both}");
    }
}
