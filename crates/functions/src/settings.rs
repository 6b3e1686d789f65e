//! What the operator decides about the runtime, with defaults. Reading configuration is the
//! binary's business.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How functions are run. Names in messages are those of the section `functions` of
/// `flux-server.toml`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The `deno` binary itself; not the launcher of the npm package, which costs 180 ms a start.
    pub deno: PathBuf,
    /// Where bundles, packages, sockets and the runtime's own files are kept.
    pub data: PathBuf,
    /// Processes of one project version that serve, without the spare.
    pub processes_max: usize,
    /// Calls that are in flight in one process before another one is used.
    pub calls_per_process: usize,
    /// Calls of one project version that may wait for a process.
    pub queue_max: usize,
    /// Whether a process is kept ready for each active version.
    pub spare: Spare,
    /// Time limit of a function that sets no `timeout_ms`.
    pub timeout: Duration,
    /// Memory limit of a process none of whose functions sets `memory_mb`, in MiB.
    pub memory_mb: u64,
    /// Processor time that code may take without giving other calls a turn.
    pub cpu: Duration,
    /// Calls after which a process is replaced.
    pub recycle_calls: u64,
    /// Age at which a process is replaced.
    pub recycle_age: Duration,
    /// How long a process that is replaced may go on with its calls.
    pub drain: Duration,
    /// User and group that processes run as, where the server may change them.
    pub user: Option<User>,
    /// The environment in which packages are installed: proxies, registries, authorities, the home
    /// folder. A project's `.npmrc` can send any of it to a registry of its choice, so a server
    /// that bundles the projects of others gives only what they may know.
    pub environment: Vec<(OsString, OsString)>,
    /// A cgroup v2 folder that the server may write to. Each process gets a group of its own in it.
    pub cgroup: Option<PathBuf>,
}

/// A user of the operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

/// Whether a warm process waits beside those that serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spare {
    /// One per active version: a replacement takes no time.
    Kept,
    /// None: for small machines and tests.
    None,
}

impl Settings {
    /// The defaults, for this binary and this folder.
    pub fn new(deno: impl Into<PathBuf>, data: impl Into<PathBuf>) -> Self {
        Self {
            deno: deno.into(),
            data: data.into(),
            processes_max: 2,
            calls_per_process: 64,
            queue_max: 1_024,
            spare: Spare::Kept,
            timeout: Duration::from_secs(30),
            memory_mb: 256,
            cpu: Duration::from_secs(2),
            recycle_calls: 1_000_000,
            recycle_age: Duration::from_secs(3_600),
            drain: Duration::from_secs(30),
            user: None,
            environment: Vec::new(),
            cgroup: None,
        }
    }
}

/// Where the npm package `deno` puts the binary, per platform.
const PACKAGED: &[&str] = &["linux-x64-glibc", "linux-arm64-glibc", "darwin-x64", "darwin-arm64"];

/// The `deno` binary of the npm package, in `node_modules` of this folder or of one above it.
pub fn find_deno(folder: &Path) -> Option<PathBuf> {
    let places = folder.ancestors().flat_map(|folder| {
        PACKAGED.iter().map(move |platform| folder.join("node_modules/@deno").join(platform).join("deno"))
    });
    places.into_iter().find(|path| path.is_file())
}
