//! A PostgreSQL of our own in a temporary folder, reached by a Unix socket. It ends with this process,
//! however that ends: a shell waits for the end of its input and cleans up.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Where Debian installs the programs of each version.
const VERSIONS: &str = "/usr/lib/postgresql";
const START_TIME_MAX: Duration = Duration::from_secs(60);
/// Waits for its input: `stop` stops the server, the end of it stops the server and removes the folder.
const KEEPER: &str = r#"
"$1/postgres" -D "$2/data" -k "$2" -c listen_addresses= -c fsync=off -c max_connections=300 \
    -c shared_buffers=32MB >"$2/log" 2>&1 &
read -r word
kill -QUIT $! 2>/dev/null
wait
[ "$word" = stop ] || rm -rf "$2"
"#;

pub(crate) struct Server {
    programs: PathBuf,
    folder: PathBuf,
    keeper: Child,
    databases: AtomicU32,
}

impl Server {
    /// The server that all tests share, each with a database of its own.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A server of its own.
    pub(crate) fn start() -> Self {
        let programs = programs();
        let folder = said(as_nobody("mktemp").args(["-d", "/tmp/flux-postgres-XXXXXX"]));
        let folder = PathBuf::from(folder.trim());
        let data = folder.join("data");
        let program = programs.join("initdb");
        let settings = ["-A", "trust", "-U", "flux", "-E", "UTF8", "--locale=C", "--no-sync", "-D"];
        said(as_nobody(&program.display().to_string()).args(settings).arg(&data));
        let keeper = keep(&programs, &folder);
        let server = Self { programs, folder, keeper, databases: AtomicU32::new(0) };
        server.wait();
        server
    }

    /// The address of a new, empty database.
    pub(crate) fn database(&self) -> String {
        let name = format!("d{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let program = self.programs.join("createdb");
        said(Command::new(program).arg("-h").arg(&self.folder).args(["-U", "flux", &name]));
        self.address(&name)
    }

    /// Stops it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        let mut input = self.keeper.stdin.take().unwrap();
        input.write_all(b"stop\n").unwrap();
        drop(input);
        self.keeper.wait().unwrap();
    }

    pub(crate) fn restart(&mut self) {
        self.keeper = keep(&self.programs, &self.folder);
        self.wait();
    }

    fn address(&self, database: &str) -> String {
        format!("host={} user=flux dbname={database}", self.folder.display())
    }

    fn wait(&self) {
        let until = Instant::now() + START_TIME_MAX;
        let is_ready = || {
            let mut program = Command::new(self.programs.join("pg_isready"));
            program.arg("-q").arg("-h").arg(&self.folder).status().unwrap().success()
        };
        while !is_ready() {
            let log = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(Instant::now() < until, "PostgreSQL does not start: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn keep(programs: &Path, folder: &Path) -> Child {
    let mut shell = as_nobody("sh");
    shell.args(["-c", KEEPER, "keeper"]).arg(programs).arg(folder).stdin(Stdio::piped());
    shell.spawn().unwrap()
}

/// The programs of the newest version that is installed.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let mut found: Vec<PathBuf> =
        versions.map(|entry| entry.path()).filter(|path| number(path).is_some()).collect();
    found.sort_by_key(number);
    let newest = found.pop().map(|path| path.join("bin")).filter(|path| path.join("initdb").is_file());
    newest.unwrap_or_else(|| {
        panic!(
            "these tests need a PostgreSQL server, none is in {VERSIONS}: sudo apt-get install -y postgresql"
        )
    })
}

/// PostgreSQL refuses to be run by root.
fn as_nobody(program: &str) -> Command {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "nobody", "--", program]);
    command
}

fn said(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
