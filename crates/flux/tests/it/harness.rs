//! What the tests of the executable share: a project folder, a server process that is never left
//! behind, commands with their exit codes, a plain HTTP client, and a receiver that counts what
//! reaches it. Blocking throughout: a test reads from top to bottom.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// The pause between two looks at something that is waited for.
const PAUSE: Duration = Duration::from_millis(20);

/// Arguments that start `flux dev` on free ports.
pub(crate) const DEV: [&str; 6] = ["dev", "--json", "--gateway", "127.0.0.1:0", "--console", "127.0.0.1:0"];

/// The executable under test.
pub(crate) fn flux() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flux"));
    // Nothing of whoever runs the tests must reach the executable.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FLUX_")) {
        command.env_remove(name);
    }
    command.env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// A project folder with everything in it, removed at the end.
pub(crate) struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    /// A project made by `flux init --template`.
    pub(crate) fn of_template(template: &str) -> Self {
        let project = Self { folder: tempfile::tempdir().unwrap() };
        project.run(&["init", ".", "--template", template]).succeeded();
        project
    }

    /// A project with these files.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let project = Self { folder: tempfile::tempdir().unwrap() };
        project.write("flux.json", r#"{"name": "test"}"#);
        for (path, text) in files {
            project.write(path, text);
        }
        project
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file of the project.
    pub(crate) fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Runs a command in the folder.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::new(flux().args(arguments).current_dir(self.path()).output().unwrap(), arguments)
    }

    /// Runs a command in the folder with this on its standard input.
    pub(crate) fn with_input(&self, arguments: &[&str], input: &str) -> Ran {
        let mut command = flux();
        command.args(arguments).current_dir(self.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Ran::new(child.wait_with_output().unwrap(), arguments)
    }

    /// Runs a command in the folder with `--json`.
    pub(crate) fn json(&self, arguments: &[&str]) -> Ran {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        self.run(&arguments)
    }

    /// Starts `flux dev` on free ports and waits until it is ready.
    pub(crate) fn dev(&self) -> Server {
        Server::start(flux().args(DEV).current_dir(self.path()))
    }
}

/// A command that ended.
pub(crate) struct Ran {
    pub(crate) output: Output,
    arguments: String,
}

impl Ran {
    fn new(output: Output, arguments: &[&str]) -> Self {
        Self { output, arguments: arguments.join(" ") }
    }

    pub(crate) fn out(&self) -> String {
        String::from_utf8(self.output.stdout.clone()).unwrap()
    }

    pub(crate) fn err(&self) -> String {
        String::from_utf8(self.output.stderr.clone()).unwrap()
    }

    /// Standard output as JSON.
    pub(crate) fn value(&self) -> Value {
        serde_json::from_slice(&self.output.stdout)
            .unwrap_or_else(|error| panic!("flux {}: {error}: {}{}", self.arguments, self.out(), self.err()))
    }

    /// The command must have ended with this code.
    pub(crate) fn exits(self, code: i32) -> Self {
        let (found, out, err) = (self.output.status.code(), self.out(), self.err());
        assert_eq!(found, Some(code), "flux {}\n{out}{err}", self.arguments);
        self
    }

    pub(crate) fn succeeded(self) -> Self {
        self.exits(0)
    }
}

/// A server process; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) gateway: SocketAddr,
    pub(crate) console: SocketAddr,
    pub(crate) key: String,
    /// The line it said that it is ready with.
    pub(crate) ready: Value,
    /// How long it took from the start to that line.
    pub(crate) started_in: Duration,
    log: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts a server with `--json` and waits for its first line.
    pub(crate) fn start(command: &mut Command) -> Self {
        let begun = Instant::now();
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let started_in = begun.elapsed();
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|_| {
            let mut error = String::new();
            child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
            panic!("it did not start: {line}{error}")
        });
        let address = |name: &str| ready[name].as_str().map_or_else(nowhere, address_of);
        let (gateway, console) = (address("gateway"), address("console"));
        let key = ready["key"].as_str().unwrap_or_default().to_owned();
        let log = Arc::new(Mutex::new(Vec::new()));
        follow(stdout, Arc::clone(&log));
        Self { child, gateway, console, key, ready, started_in, log }
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> Vec<Value> {
        let lines = self.log.lock().unwrap();
        lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
            .collect()
    }

    /// A line of its log that fits.
    pub(crate) fn logged(&self, fits: impl Fn(&Value) -> bool) -> Value {
        eventually("a line of log", || self.log().into_iter().find(|line| fits(line)))
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop, and waits until it did.
    pub(crate) fn stop(mut self) -> ExitStatus {
        signal(self.pid(), "TERM");
        eventually("the end of the server", || self.child.try_wait().unwrap())
    }

    /// Ends it without any warning.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// A request to the gateway.
    pub(crate) fn hook(&self, path: &str, body: &Value) -> Answer {
        request(self.gateway, "POST", path, &[], Some(body)).unwrap()
    }

    /// A request to the console API with the server's key.
    pub(crate) fn api(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let authorization = format!("Bearer {}", self.key);
        request(self.console, method, &format!("/api/v1{path}"), &[("authorization", &authorization)], body)
            .unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn nowhere() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 0))
}

fn address_of(url: &str) -> SocketAddr {
    url.trim_start_matches("http://").parse().unwrap()
}

fn follow(stdout: BufReader<ChildStdout>, log: Arc<Mutex<Vec<String>>>) {
    std::thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            log.lock().unwrap().push(line);
        }
    });
}

/// Sends a signal to a process.
pub(crate) fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Looks until there is something to see.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(begun.elapsed() < PATIENCE, "{what} did not come within {PATIENCE:?}");
        std::thread::sleep(PAUSE);
    }
}

/// An HTTP answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("{error}: {} {}", self.status, String::from_utf8_lossy(&self.body))
        })
    }
}

/// One HTTP/1.1 request on its own connection. An error means that there is no whole answer.
pub(crate) fn request(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let body = body.map(Value::to_string).unwrap_or_default();
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str("content-type: application/json\r\n");
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    stream.write_all(format!("{head}{body}").as_bytes())?;
    read_answer(&mut BufReader::new(stream))
}

fn broken(what: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::UnexpectedEof, what.to_owned())
}

fn read_answer(stream: &mut impl BufRead) -> std::io::Result<Answer> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status =
        line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(|| broken("no status"))?;
    let headers = read_headers(stream)?;
    let mut body = Vec::new();
    if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
        read_chunks(stream, &mut body)?;
    } else if let Some(length) = headers.get("content-length").and_then(|length| length.parse().ok()) {
        body = vec![0; length];
        stream.read_exact(&mut body)?;
    } else {
        stream.read_to_end(&mut body)?;
    }
    Ok(Answer { status, headers, body })
}

fn read_headers(stream: &mut impl BufRead) -> std::io::Result<BTreeMap<String, String>> {
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(broken("the headers broke off"));
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { return Ok(headers) };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
}

fn read_chunks(stream: &mut impl BufRead, body: &mut Vec<u8>) -> std::io::Result<()> {
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let length = usize::from_str_radix(line.trim(), 16).map_err(|_| broken("the body broke off"))?;
        let mut chunk = vec![0; length + 2];
        stream.read_exact(&mut chunk)?;
        if length == 0 {
            return Ok(());
        }
        body.extend_from_slice(&chunk[..length]);
    }
}

/// A request that reached a [`Receiver`].
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// An HTTP server outside of Flux that keeps what it receives and answers 200 with `{}`. Lives as
/// long as the test process.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&received);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                // A sender that breaks off was killed: that is what some tests do.
                std::thread::spawn(move || receive(stream, &kept));
            }
        });
        Self { address, received }
    }

    /// Everything that came so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

fn receive(stream: TcpStream, kept: &Mutex<Vec<Received>>) -> std::io::Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.split(' ').map(str::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let headers = read_headers(&mut reader)?;
        let mut body = Vec::new();
        if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
            read_chunks(&mut reader, &mut body)?;
        } else if let Some(length) = headers.get("content-length").and_then(|length| length.parse().ok()) {
            body = vec![0; length];
            reader.read_exact(&mut body)?;
        }
        kept.lock().unwrap().push(Received { method, path, headers, body });
        writer
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")?;
    }
}
