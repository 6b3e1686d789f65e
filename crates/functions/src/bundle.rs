//! A bundle: everything a version of a project's functions needs to run, in one folder named by its
//! content.
//!
//! Deno itself says which modules belong to it (`graph.rs`). Packages are installed once per set of
//! wishes and shared by the bundles that need the same (`packages.rs`). Nothing is fetched when a
//! bundle runs.

mod graph;
mod packages;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::error::DeployError;
use crate::project::{Function, ProjectFunctions};
use crate::settings::Settings;
use graph::Graph;

/// Bytes of all modules of a bundle, without packages.
const SOURCE_BYTES_MAX: u64 = 20 * 1024 * 1024;
/// What a bundle says about itself. Written last: a folder without it is not complete.
const MANIFEST: &str = "bundle.json";
/// The project's names for modules.
const IMPORT_MAP: &str = "import_map.json";
/// The packages of a bundle: a link to a folder that several bundles share.
const PACKAGES: &str = "node_modules";
/// Format of bundles. A change makes every bundle anew.
const FORMAT: &str = "flux-bundle-1";

/// The name of a bundle: the hash of its content.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BundleId(Arc<str>);

impl fmt::Display for BundleId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// A bundle on disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// Its name.
    pub id: BundleId,
    /// Its folder.
    pub folder: PathBuf,
    /// The functions in it, by name.
    pub functions: Vec<Function>,
    /// Whether its code can reach modules of Node.
    pub(crate) node: Node,
}

/// Whether code can reach modules of Node other than through globals. If it can, they are made safe
/// for replays before it runs, which makes the start of a process some 20 ms longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Node {
    /// Nothing in the sources hints at it.
    Unused,
    /// There are packages, or code that names them or computes what it imports or runs.
    Reachable,
}

/// What sources have in them that reach modules of Node.
const NODE_HINTS: &[&str] = &["node:", "import(", "import (", "eval", "Function", "constructor", "require"];

impl Node {
    fn of(sources: &Sources, packages: Option<&Path>) -> Self {
        let hints = |text: &[u8]| {
            let text = String::from_utf8_lossy(text);
            NODE_HINTS.iter().any(|hint| text.contains(hint))
        };
        if packages.is_some() || sources.values().any(|text| hints(text)) {
            Self::Reachable
        } else {
            Self::Unused
        }
    }
}

impl Bundle {
    /// The folders that its processes may read.
    pub(crate) fn readable(&self) -> Vec<PathBuf> {
        let packages = fs::canonicalize(self.folder.join(PACKAGES)).ok();
        std::iter::once(self.folder.clone()).chain(packages).collect()
    }

    pub(crate) fn import_map(&self) -> Option<PathBuf> {
        Some(self.folder.join(IMPORT_MAP)).filter(|path| path.is_file())
    }
}

/// Where bundles are made and kept.
#[derive(Debug)]
pub(crate) struct Place {
    settings: Arc<Settings>,
    data: PathBuf,
}

impl Place {
    /// `data` is the absolute path of the folder that the settings name.
    pub(crate) fn new(settings: Arc<Settings>, data: PathBuf) -> Self {
        Self { settings, data }
    }

    fn deno(&self) -> Command {
        Command::new(&self.settings.deno)
    }

    /// Deno's cache: compiled modules and downloaded packages.
    pub(crate) fn cache(&self) -> PathBuf {
        self.data.join("deno-cache")
    }

    fn bundles(&self) -> PathBuf {
        self.data.join("bundles")
    }

    fn packages(&self) -> PathBuf {
        self.data.join("packages")
    }

    fn staging(&self) -> io::Result<tempfile::TempDir> {
        let staging = self.data.join("staging");
        fs::create_dir_all(&staging)?;
        tempfile::tempdir_in(staging)
    }
}

/// Makes the bundle of a project, or finds the same one.
pub(crate) async fn make(place: &Place, project: &ProjectFunctions) -> Result<Bundle, DeployError> {
    let root = fs::canonicalize(&project.root).map_err(|error| files(&project.root, &error))?;
    let staging = place.staging().map_err(|error| files(&place.data, &error))?;
    let graph = Graph::read(place, &root, &project.functions, staging.path()).await?;
    let sources = read_sources(&root, &graph.modules)?;
    let packages = match graph.packages.is_empty() {
        true => None,
        false => Some(packages::install(place, &root, &graph.packages).await?),
    };
    let node = Node::of(&sources, packages.as_deref());
    let manifest = manifest(&project.functions, packages.as_deref(), node);
    let id = id_of(&manifest, &sources, graph.import_map.as_deref());
    let folder = place.bundles().join(&*id.0);
    if !folder.join(MANIFEST).is_file() {
        let part = staging.path().join("bundle");
        write(&part, &sources, graph.import_map.as_deref(), packages.as_deref())
            .and_then(|()| fs::write(part.join(MANIFEST), &manifest))
            .and_then(|()| publish(&part, &folder))
            .map_err(|error| files(&folder, &error))?;
    }
    Ok(Bundle { id, folder, functions: project.functions.clone(), node })
}

/// A bundle that was made before.
pub(crate) fn open(place: &Place, id: &str) -> Result<Bundle, DeployError> {
    let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let folder = place.bundles().join(id);
    let text = fs::read(folder.join(MANIFEST)).ok().filter(|_| is_id);
    let text = text.ok_or_else(|| DeployError::Files(format!("there is no bundle `{id}`")))?;
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| DeployError::Files(format!("{}: {error}", folder.join(MANIFEST).display())))?;
    Ok(Bundle { id: BundleId(Arc::from(id)), folder, functions: manifest.functions, node: manifest.node })
}

/// What a bundle says about itself.
#[derive(serde::Serialize, serde::Deserialize)]
struct Manifest {
    format: String,
    functions: Vec<Function>,
    /// The folder of its packages.
    packages: Option<String>,
    node: Node,
}

fn manifest(functions: &[Function], packages: Option<&Path>, node: Node) -> String {
    let packages = packages.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let manifest = Manifest { format: FORMAT.to_owned(), functions: functions.to_vec(), packages, node };
    serde_json::to_string_pretty(&manifest).expect("a manifest is JSON")
}

/// The modules by their path from the project's folder.
type Sources = BTreeMap<String, Vec<u8>>;

fn read_sources(root: &Path, modules: &[String]) -> Result<Sources, DeployError> {
    let mut sources = Sources::new();
    let mut total = 0;
    for module in modules {
        let path = root.join(module);
        let bytes = read_inside(root, &path).map_err(|error| files(&path, &error))?;
        total += bytes.len() as u64;
        sources.insert(module.clone(), bytes);
    }
    if total > SOURCE_BYTES_MAX {
        return Err(DeployError::Files(format!(
            "the modules of the functions have {total} bytes, at most {SOURCE_BYTES_MAX} (SOURCE_BYTES_MAX)"
        )));
    }
    Ok(sources)
}

/// Reads a file of the project. A link that leads out of it is refused: a project may come from
/// somebody who must not read the server's files.
fn read_inside(root: &Path, path: &Path) -> io::Result<Vec<u8>> {
    let real = fs::canonicalize(path)?;
    if !real.starts_with(root) {
        return Err(io::Error::other("it is a link that leads out of the project"));
    }
    fs::read(real)
}

fn id_of(manifest: &str, sources: &Sources, import_map: Option<&str>) -> BundleId {
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    add(manifest.as_bytes());
    add(import_map.unwrap_or_default().as_bytes());
    for (name, bytes) in sources {
        add(name.as_bytes());
        add(bytes);
    }
    BundleId(Arc::from(hex::encode(hash.finalize())))
}

fn write(
    part: &Path,
    sources: &Sources,
    import_map: Option<&str>,
    packages: Option<&Path>,
) -> io::Result<()> {
    fs::create_dir_all(part)?;
    for (name, bytes) in sources {
        let path = part.join(name);
        fs::create_dir_all(path.parent().unwrap_or(part))?;
        fs::write(path, bytes)?;
    }
    if let Some(import_map) = import_map {
        fs::write(part.join(IMPORT_MAP), import_map)?;
    }
    if let Some(packages) = packages {
        std::os::unix::fs::symlink(packages.join(PACKAGES), part.join(PACKAGES))?;
    }
    Ok(())
}

/// Puts a finished folder in its place; the same one that is there already is as good.
fn publish(part: &Path, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder.parent().unwrap_or(folder))?;
    match fs::rename(part, folder) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        done => done,
    }
}

fn files(path: &Path, error: &io::Error) -> DeployError {
    DeployError::Files(format!("{}: {error}", path.display()))
}
