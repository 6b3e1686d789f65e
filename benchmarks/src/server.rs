//! The server under test: the release binary in a folder of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::load::{Client, Request};

/// A running server.
pub(crate) struct Server {
    child: Child,
    pub(crate) gateway: SocketAddr,
    pub(crate) console: SocketAddr,
    pub(crate) key: String,
    /// From spawning the process to its word that it serves.
    pub(crate) started_in: Duration,
}

/// A project folder with these flows; removed when dropped.
pub(crate) struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    pub(crate) fn new(flows: &[Value]) -> Result<Self> {
        // Beside the code, so that it is on a disk and not in memory.
        let folder = tempfile::Builder::new().prefix("bench-").tempdir_in("target")?;
        std::fs::create_dir(folder.path().join("flows"))?;
        std::fs::write(folder.path().join("flux.json"), json!({"name": "bench"}).to_string())?;
        for flow in flows {
            let name = flow["name"].as_str().context("a flow has a name")?;
            std::fs::write(folder.path().join(format!("flows/{name}.json")), flow.to_string())?;
        }
        Ok(Self { folder })
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join(".flux")
    }

    pub(crate) async fn start(&self) -> Result<Server> {
        Server::start(self.folder.path()).await
    }
}

impl Server {
    async fn start(folder: &Path) -> Result<Self> {
        let binary =
            std::fs::canonicalize("target/release/flux").context("build the release binary first")?;
        let begun = Instant::now();
        let mut child = Command::new(binary)
            .args(["dev", "--json", "--gateway", "127.0.0.1:0", "--console", "127.0.0.1:0"])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the server")?;
        let stdout = child.stdout.take().context("no standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        let first = lines.next_line().await?.context("the server ended before it was ready")?;
        let started_in = begun.elapsed();
        let ready: Value = serde_json::from_str(&first).context("the first line is not JSON")?;
        // The log has to be read, or the server would wait for room in the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let address = |name: &str| -> Result<SocketAddr> {
            let url = ready[name].as_str().with_context(|| format!("no {name} in the first line"))?;
            Ok(url.trim_start_matches("http://").trim_end_matches('/').parse()?)
        };
        let key = ready["key"].as_str().context("no key in the first line")?.to_owned();
        Ok(Self { gateway: address("gateway")?, console: address("console")?, key, started_in, child })
    }

    pub(crate) fn pid(&self) -> Result<u32> {
        self.child.id().context("the server is gone")
    }

    /// Asks the console API.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        let request = Request::new("GET", &format!("/api/v1{path}"), Some(&self.key), "", 200);
        let (status, body) = Client::connect(self.console).await?.send(&request).await?;
        if status != 200 {
            bail!("{path} answered {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(serde_json::from_slice(&body)?)
    }

    /// Stops it as an operator would, and waits.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.pid()?)?;
        #[expect(unsafe_code, reason = "the standard library cannot send SIGTERM")]
        // SAFETY: kill takes two integers and touches no memory of this process.
        unsafe {
            libc::kill(pid, libc::SIGTERM);
        }
        tokio::time::timeout(Duration::from_secs(60), self.child.wait())
            .await
            .context("it does not stop")??;
        Ok(())
    }
}
