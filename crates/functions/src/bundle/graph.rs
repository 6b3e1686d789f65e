//! Which modules belong to a bundle, as Deno sees them, and what is wrong with them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::Place;
use crate::error::{DeployError, ProjectFault};
use crate::faults::code_frame;
use crate::project::Function;

/// The modules of a bundle.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// Their paths from the project's folder.
    pub(super) modules: Vec<String>,
    /// The packages that are imported, as they are written: `zod`, `npm:ms@2`.
    pub(super) packages: BTreeSet<String>,
    /// The project's names for modules, with paths that hold in the bundle.
    pub(super) import_map: Option<String>,
}

/// Modules of Node that cannot work in functions, with what to use instead.
const REFUSED_BUILTINS: &[(&[&str], &str)] = &[
    (&["net", "tls", "dgram", "http", "https", "http2", "dns"], "sockets cannot be opened; use `fetch`"),
    (&["child_process", "cluster"], "programs cannot be started"),
    (
        &["worker_threads"],
        "threads cannot be started; call another function with `ctx.functions` or `ctx.queue.send`",
    ),
    (&["vm", "repl"], "code in a realm of its own cannot be replayed; use `new Function`, or a module"),
    (&["inspector", "v8", "trace_events", "wasi"], "functions cannot look into their process"),
    (&["sqlite"], "use `ctx.db`"),
];

#[derive(Deserialize)]
struct Info {
    modules: Vec<Module>,
}

#[derive(Deserialize)]
struct Module {
    specifier: String,
    error: Option<String>,
    #[serde(default)]
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    specifier: String,
    code: Option<Resolution>,
}

#[derive(Deserialize)]
struct Resolution {
    specifier: Option<String>,
    error: Option<String>,
    span: Option<Span>,
}

#[derive(Deserialize)]
struct Span {
    start: Position,
}

/// Both from 0.
#[derive(Deserialize)]
struct Position {
    line: u32,
    character: u32,
}

impl Graph {
    /// Asks Deno for everything that the functions import.
    pub(super) async fn read(
        place: &Place,
        root: &Path,
        functions: &[Function],
        staging: &Path,
    ) -> Result<Self, DeployError> {
        let entry = staging.join("entry.ts");
        let imports: String = functions
            .iter()
            .map(|function| format!("import {:?};\n", url(&root.join(&function.file))))
            .collect();
        fs::write(&entry, imports).map_err(|error| super::files(&entry, &error))?;
        let mut command = place.deno();
        command.args(["info", "--json", "--no-remote", "--no-lock", "--node-modules-dir=manual"]);
        let config = root.join("deno.json");
        match config.is_file() {
            true => command.arg("--config").arg(&config),
            false => command.arg("--no-config"),
        };
        command.arg(&entry).env("DENO_DIR", place.cache()).env("NO_COLOR", "1").current_dir(staging);
        let output = command.output().await.map_err(|error| DeployError::Deno(error.to_string()))?;
        let info: Info = serde_json::from_slice(&output.stdout).map_err(|_| {
            let said = String::from_utf8_lossy(&output.stderr);
            DeployError::Files(format!("deno cannot read the project: {}", said.trim()))
        })?;
        let mut reading = Reading { root, graph: Self::default(), faults: Vec::new() };
        let entry = url(&entry);
        info.modules
            .iter()
            .filter(|module| module.specifier != entry)
            .for_each(|module| reading.module(module, &info));
        reading.graph.import_map = import_map(root)?;
        if reading.faults.is_empty() { Ok(reading.graph) } else { Err(DeployError::Project(reading.faults)) }
    }
}

struct Reading<'a> {
    root: &'a Path,
    graph: Graph,
    faults: Vec<ProjectFault>,
}

impl Reading<'_> {
    fn module(&mut self, module: &Module, info: &Info) {
        let Some(path) = module.specifier.strip_prefix("file://") else { return };
        let path = decoded(path);
        let Some(inside) = Path::new(&path).strip_prefix(self.root).ok().and_then(Path::to_str) else {
            return;
        };
        if inside.starts_with("node_modules/") {
            return;
        }
        if let Some(error) = &module.error {
            if error.starts_with("SyntaxError") || error.contains("could not be parsed") {
                self.faults.push(self.syntax_fault(inside, error));
            }
            // What cannot be found is said where it is imported.
            return;
        }
        self.graph.modules.push(inside.to_owned());
        for dependency in &module.dependencies {
            self.dependency(inside, dependency, info);
        }
    }

    fn syntax_fault(&self, file: &str, error: &str) -> ProjectFault {
        let message = error.lines().next().unwrap_or(error).trim_start_matches("SyntaxError: ");
        let mut numbers = error.trim_end().rsplit(':');
        let (column, line) = (number(numbers.next()), number(numbers.next()));
        let source = fs::read_to_string(self.root.join(file)).unwrap_or_default();
        ProjectFault {
            place: format!("{file}:{line}:{column}"),
            message: message.to_owned(),
            suggestion: None,
            code_frame: code_frame(&source, line, column),
        }
    }

    fn dependency(&mut self, file: &str, dependency: &Dependency, info: &Info) {
        let asked = dependency.specifier.as_str();
        // Where only types are wanted, nothing is loaded: that is the editor's business.
        let Some(resolution) = &dependency.code else { return };
        let resolved = resolution.specifier.as_deref().unwrap_or(asked);
        if let Some(message) = refused_builtin(resolved) {
            self.fault(file, resolution, message, None);
        } else if resolved.starts_with("node:") {
        } else if resolved.starts_with("http:") || resolved.starts_with("https:") {
            let message = format!("`{asked}` is loaded from the network, which functions cannot");
            self.fault(
                file,
                resolution,
                message,
                Some("add the package to package.json and import it by name"),
            );
        } else if asked.starts_with("jsr:") || resolved.starts_with("jsr:") {
            let way_out = "add `\"@scope/name\": \"npm:@jsr/scope__name@1\"` to package.json, with the registry of \
                           @jsr in .npmrc, and import it by name";
            self.fault(
                file,
                resolution,
                format!("`{asked}`: jsr packages are installed as npm packages"),
                Some(way_out),
            );
        } else if let Some(path) = resolved.strip_prefix("file://") {
            self.local(file, dependency, Path::new(&decoded(path)), info);
        } else if is_package(asked) || resolved.starts_with("npm:") {
            self.graph.packages.insert(asked.to_owned());
        } else {
            let why =
                resolution.error.as_deref().unwrap_or("it is no file, no package and no module of Node");
            self.fault(file, resolution, format!("`{asked}`: {why}"), None);
        }
    }

    fn local(&mut self, file: &str, dependency: &Dependency, path: &Path, info: &Info) {
        let (asked, Some(resolution)) = (dependency.specifier.as_str(), &dependency.code) else { return };
        if path.components().any(|part| part.as_os_str() == "node_modules") {
            self.graph.packages.insert(asked.to_owned());
        } else if !path.starts_with(self.root) {
            let message = format!("`{asked}` is outside of the project");
            self.fault(file, resolution, message, Some("move it into the project's folder"));
        } else if let Some(error) =
            error_of(info, &url(path)).filter(|error| error.starts_with("Module not found"))
        {
            let _ = error;
            let siblings = fs::read_dir(path.parent().unwrap_or(self.root)).into_iter().flatten().flatten();
            let names: Vec<String> =
                siblings.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
            let wanted = path.file_name().unwrap_or_default().to_string_lossy();
            let near = flux_model::diagnostic::nearest(&wanted, names.iter().map(String::as_str))
                .map(|near| format!("did you mean `{near}`?"));
            self.fault(file, resolution, format!("there is no file `{asked}`"), near.as_deref());
        }
    }

    fn fault(&mut self, file: &str, resolution: &Resolution, message: String, way_out: Option<&str>) {
        let start = resolution.span.as_ref().map(|span| &span.start);
        let (line, column) = start.map_or((1, 1), |start| (start.line + 1, start.character + 1));
        let source = fs::read_to_string(self.root.join(file)).unwrap_or_default();
        self.faults.push(ProjectFault {
            place: format!("{file}:{line}:{column}"),
            message,
            suggestion: way_out.map(str::to_owned),
            code_frame: code_frame(&source, line, column),
        });
    }
}

fn error_of<'a>(info: &'a Info, specifier: &str) -> Option<&'a str> {
    info.modules.iter().find(|module| module.specifier == specifier)?.error.as_deref()
}

fn refused_builtin(specifier: &str) -> Option<String> {
    let name = specifier.strip_prefix("node:")?;
    let base = name.split('/').next().unwrap_or(name);
    let (_, advice) = REFUSED_BUILTINS.iter().find(|(names, _)| names.contains(&base))?;
    Some(format!("`{specifier}` is not available in functions: {advice}"))
}

/// Whether a specifier names a package: `zod`, `@scope/name/part`, `npm:ms@2`.
fn is_package(specifier: &str) -> bool {
    specifier.starts_with("npm:")
        || specifier.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '@')
            && !specifier.contains(':')
}

/// The project's `imports`, with the paths that hold in the bundle: it has the project's shape.
fn import_map(root: &Path) -> Result<Option<String>, DeployError> {
    let path = root.join("deno.json");
    let Ok(text) = fs::read(&path) else { return Ok(None) };
    let config: serde_json::Value = serde_json::from_slice(&text)
        .map_err(|error| DeployError::Files(format!("{}: {error}", path.display())))?;
    let imports = config.get("imports").and_then(serde_json::Value::as_object);
    let Some(imports) = imports.filter(|imports| !imports.is_empty()) else { return Ok(None) };
    let map = serde_json::json!({ "imports": imports, "scopes": config.get("scopes") });
    Ok(Some(serde_json::to_string_pretty(&map).expect("JSON is JSON")))
}

fn number(text: Option<&str>) -> u32 {
    text.and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// A file URL of an absolute path.
pub(super) fn url(path: &Path) -> String {
    let mut url = "file://".to_owned();
    for byte in path.to_string_lossy().bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~!$&'()*+,;=:@".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    url
}

fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = (first == b'%').then(|| tail.get(..2)).flatten();
        match escaped.and_then(|digits| hex::decode(digits).ok()) {
            Some(byte) => {
                bytes.extend(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_urls_round_trip() {
        for path in ["/a/b.ts", "/a b/ü.ts", "/100%/x#y?.ts"] {
            let url = url(Path::new(path));
            assert!(!url[7..].contains([' ', '#', '?']), "{url}");
            assert_eq!(decoded(&url[7..]), path);
        }
    }

    #[test]
    fn packages_are_told_from_other_specifiers() {
        for (specifier, expect) in [
            ("zod", true),
            ("@scope/name/part", true),
            ("npm:ms@2", true),
            ("./a.ts", false),
            ("../a.ts", false),
            ("/a.ts", false),
            ("jsr:@std/assert", false),
            ("https://a.example/x", false),
        ] {
            assert_eq!(is_package(specifier), expect, "{specifier}");
        }
    }
}
