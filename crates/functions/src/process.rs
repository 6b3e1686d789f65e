//! One Deno process: how it is started, what it may do, and what is known about it from outside.
//!
//! The arguments are the sandbox. They are written in one place and a test of each hole they close
//! is in `tests/it/sandbox.rs`.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tokio::io::AsyncReadExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, Command};

use crate::settings::User;

mod group;

pub(crate) use group::Group;

/// How long a process may take to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of standard error that are kept, the last ones.
const STDERR_BYTES_MAX: usize = 8 * 1024;
/// Memory that V8 is not given of what the process may use: code, stacks, buffers of the runtime.
const OUTSIDE_HEAP_MB: u64 = 32;
/// Files that a process may have open.
const OPEN_FILES_MAX: u64 = 512;
/// Bytes of the file that is its standard output, which holds four bytes for each call.
const OUTPUT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What a process is started with.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) deno: PathBuf,
    /// The module that is run.
    pub(crate) main: PathBuf,
    /// Deno's cache of compiled modules.
    pub(crate) cache: PathBuf,
    /// Folders that may be read: the bundle and its packages.
    pub(crate) readable: Vec<PathBuf>,
    /// Names for modules, if the project has any.
    pub(crate) import_map: Option<PathBuf>,
    pub(crate) memory_mb: u64,
    pub(crate) user: Option<User>,
    pub(crate) cgroup: Option<PathBuf>,
}

/// A started process.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) stream: UnixStream,
    pub(crate) evidence: Evidence,
}

/// What can be seen of a process from outside, also after its end.
#[derive(Debug)]
pub(crate) struct Evidence {
    pid: Pid,
    output: Mutex<File>,
    errors: Arc<Mutex<Vec<u8>>>,
    group: Option<Group>,
}

/// Why a process did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("{} cannot be run: {source}", deno.display())]
    Spawn { deno: PathBuf, source: std::io::Error },
    #[error("a process for functions cannot be prepared: {0}")]
    Io(#[from] std::io::Error),
    #[error("deno ended before it connected ({status}): {errors}")]
    Ended { status: ExitStatus, errors: String },
    #[error("deno did not connect within {} ms (CONNECT_TIMEOUT)", CONNECT_TIMEOUT.as_millis())]
    Silent,
}

impl Plan {
    /// Starts a process that connects to `socket`, a path that does not exist yet.
    pub(crate) async fn start(&self, socket: &Path) -> Result<Process, StartError> {
        let listener = self.listen(socket)?;
        let output = tempfile::tempfile()?;
        let mut child = self
            .command(socket)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| StartError::Spawn { deno: self.deno.clone(), source })?;
        let evidence = self.watch(&mut child, output)?;
        let stream = tokio::select! {
            accepted = tokio::time::timeout(CONNECT_TIMEOUT, listener.accept()) => {
                accepted.map_err(|_| StartError::Silent)??.0
            }
            status = child.wait() => {
                return Err(StartError::Ended { status: status?, errors: evidence.last_errors() });
            }
        };
        // Nobody else can connect: one process, one connection.
        std::fs::remove_file(socket)?;
        Ok(Process { child, stream, evidence })
    }

    fn listen(&self, socket: &Path) -> std::io::Result<UnixListener> {
        let listener = UnixListener::bind(socket)?;
        std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
        if let Some(user) = self.user {
            chown(socket, Some(user.uid), Some(user.gid))?;
        }
        Ok(listener)
    }

    fn command(&self, socket: &Path) -> Command {
        let mut readable: Vec<String> = self.readable.iter().map(|path| path.display().to_string()).collect();
        readable.push(socket.display().to_string());
        let heap_mb = self.memory_mb.saturating_sub(OUTSIDE_HEAP_MB).max(OUTSIDE_HEAP_MB);
        let mut command = Command::new(&self.deno);
        command.args(["run", "--quiet", "--no-prompt", "--no-config", "--no-lock", "--no-check"]);
        // Nothing is fetched: modules come from the bundle, packages from its `node_modules`.
        command.args(["--no-remote", "--cached-only", "--deny-import", "--node-modules-dir=manual"]);
        command.args(["--deny-run", "--deny-ffi", "--deny-sys", "--ignore-env"]);
        command.arg(format!("--allow-read={}", readable.join(",")));
        command.arg(format!("--allow-write={}", socket.display()));
        command.arg(format!("--allow-net=unix:{}", socket.display()));
        command.arg(format!("--v8-flags=--max-old-space-size={heap_mb}"));
        if let Some(import_map) = &self.import_map {
            command.arg(format!("--import-map={}", import_map.display()));
        }
        command.arg(&self.main).arg(socket);
        command.env_clear();
        command.env("DENO_DIR", &self.cache).env("TZ", "UTC").env("NO_COLOR", "1");
        command.env("LANG", "en_US.UTF-8").env("DENO_NO_UPDATE_CHECK", "1");
        if let Some(folder) = self.readable.first() {
            command.current_dir(folder);
        }
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }

    fn watch(&self, child: &mut Child, output: File) -> std::io::Result<Evidence> {
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let pid = pid.ok_or_else(|| std::io::Error::other("the process ended at once"))?;
        let limit = |most| Rlimit { current: Some(most), maximum: Some(most) };
        for (resource, most) in
            [(Resource::Core, 0), (Resource::Nofile, OPEN_FILES_MAX), (Resource::Fsize, OUTPUT_BYTES_MAX)]
        {
            match prlimit(Some(pid), resource, limit(most)) {
                // Limits of another user's process may be changed with CAP_SYS_RESOURCE only.
                Err(rustix::io::Errno::PERM) if self.user.is_some() => {
                    tracing::warn!(?resource, most, "the limit cannot be set on a process of another user");
                }
                set => {
                    set?;
                }
            }
        }
        let group =
            self.cgroup.as_deref().map(|folder| Group::enter(folder, pid, self.memory_mb)).transpose()?;
        let errors = Arc::new(Mutex::new(Vec::new()));
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(keep_last(stderr, Arc::clone(&errors)));
        }
        Ok(Evidence { pid, output: Mutex::new(output), errors, group })
    }
}

async fn keep_last(mut stderr: tokio::process::ChildStderr, kept: Arc<Mutex<Vec<u8>>>) {
    let mut piece = [0; 1024];
    while let Ok(read @ 1..) = stderr.read(&mut piece).await {
        let mut kept = kept.lock();
        kept.extend_from_slice(&piece[..read]);
        let surplus = kept.len().saturating_sub(STDERR_BYTES_MAX);
        kept.drain(..surplus);
    }
}

impl Evidence {
    /// Ends the process at once. Its end is seen by whoever waits for the child.
    pub(crate) fn kill(&self) {
        // It may have ended by itself; there is nothing to do then.
        let _ = kill_process(self.pid, Signal::KILL);
    }

    /// The number of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().cast_unsigned()
    }

    /// The call that began last, by its id; 0 if none did.
    pub(crate) fn last_begun(&self) -> u32 {
        let mut last = [0; 4];
        let mut output = self.output.lock();
        let read = output.seek(SeekFrom::End(-4)).and_then(|_| output.read_exact(&mut last));
        read.map_or(0, |()| u32::from_le_bytes(last))
    }

    /// The last of what it wrote to standard error.
    pub(crate) fn last_errors(&self) -> String {
        String::from_utf8_lossy(&self.errors.lock()).trim().to_owned()
    }

    /// Whether V8, or the kernel for the process's group, ended it for want of memory.
    pub(crate) fn ran_out_of_memory(&self) -> bool {
        let errors = self.last_errors();
        let v8 = errors.contains("JavaScript heap out of memory")
            || errors.contains("Fatal JavaScript out of memory");
        v8 || self.group.as_ref().is_some_and(Group::ran_out_of_memory)
    }

    /// Memory of its own, in MiB; shared code is not counted.
    pub(crate) fn memory_mb(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(kib / 1024)
    }

    /// Processor time of all its threads so far.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).ok()?;
        // The name is in parentheses and may hold anything; utime and stime are fields 14 and 15.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_whitespace().skip(11);
        let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let per_second = rustix::param::clock_ticks_per_second();
        Some(Duration::from_millis((user + system) * 1_000 / per_second))
    }

    /// How it ended, for people.
    pub(crate) fn describe_end(&self, status: ExitStatus) -> String {
        let how = match (status.signal(), status.code()) {
            (Some(signal), _) => format!("it was ended by signal {signal}"),
            (None, Some(code)) => format!("it exited with code {code}"),
            (None, None) => "it ended".to_owned(),
        };
        let errors = self.last_errors();
        if errors.is_empty() { how } else { format!("{how}; it wrote: {errors}") }
    }
}
