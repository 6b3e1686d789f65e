//! A closed-loop HTTP/1.1 load generator: each connection sends its next request when the last
//! was answered. It speaks just enough HTTP to cost little beside the server it measures.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a run of requests came to.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Answers that were not the expected status.
    pub(crate) refused: usize,
}

/// One request, as bytes.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    bytes: Arc<[u8]>,
    status: u16,
}

impl Request {
    /// A request whose answer should have this status.
    pub(crate) fn new(method: &str, path: &str, key: Option<&str>, body: &str, status: u16) -> Self {
        let authorization = key.map_or_else(String::new, |key| format!("authorization: Bearer {key}\r\n"));
        let text = format!(
            "{method} {path} HTTP/1.1\r\nhost: flux\r\n{authorization}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        Self { bytes: Arc::from(text.into_bytes()), status }
    }
}

/// Sends `request` on `connections` connections for `length`, after a quarter of it as warm-up.
pub(crate) async fn run(
    to: SocketAddr,
    request: &Request,
    connections: usize,
    length: Duration,
) -> Result<Outcome> {
    let begin = Instant::now() + length / 4;
    let end = begin + length;
    let tasks: Vec<_> =
        (0..connections).map(|_| tokio::spawn(connection(to, request.clone(), begin, end))).collect();
    let mut times = Vec::new();
    let mut refused = 0;
    for task in tasks {
        let (mine, not) = task.await??;
        times.extend(mine);
        refused += not;
    }
    summarize(times, refused, length)
}

/// Offers `per_second` requests on as many connections as are needed to wait for none, for
/// `length`; the times are those of requests that were accepted.
pub(crate) async fn offer(
    to: SocketAddr,
    request: &Request,
    per_second: f64,
    length: Duration,
) -> Result<Outcome> {
    const CONNECTIONS: u32 = 1_024;
    let pause = Duration::from_secs_f64(f64::from(CONNECTIONS) / per_second);
    let begin = Instant::now() + length / 4;
    let senders: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let first = begin + pause * number / CONNECTIONS;
            tokio::spawn(paced(to, request.clone(), first, pause, begin + length))
        })
        .collect();
    let mut times = Vec::new();
    let mut refused = 0;
    for sender in senders {
        let (mine, not) = sender.await??;
        times.extend(mine);
        refused += not;
    }
    summarize(times, refused, length)
}

/// Sends every `pause`, or at once where it is late.
async fn paced(
    to: SocketAddr,
    request: Request,
    first: Instant,
    pause: Duration,
    end: Instant,
) -> Result<(Vec<f64>, usize)> {
    let mut client = Client::connect(to).await?;
    let (mut times, mut refused) = (Vec::new(), 0);
    let mut due = first;
    while due < end && Instant::now() < end {
        tokio::time::sleep_until(due.into()).await;
        let sent = Instant::now();
        match client.send(&request).await? {
            (status, _) if status == request.status => times.push(sent.elapsed().as_secs_f64() * 1_000.0),
            (429 | 503, _) => refused += 1,
            (status, body) => bail!("answered {status}: {}", String::from_utf8_lossy(&body)),
        }
        due += pause;
    }
    Ok((times, refused))
}

fn summarize(mut times: Vec<f64>, refused: usize, length: Duration) -> Result<Outcome> {
    if times.is_empty() {
        bail!("no request was answered");
    }
    times.sort_by(f64::total_cmp);
    Ok(Outcome {
        per_second: times.len() as f64 / length.as_secs_f64(),
        p50_ms: times[times.len() / 2],
        p99_ms: times[times.len() * 99 / 100],
        refused,
    })
}

async fn connection(
    to: SocketAddr,
    request: Request,
    begin: Instant,
    end: Instant,
) -> Result<(Vec<f64>, usize)> {
    let mut client = Client::connect(to).await?;
    let mut times = Vec::new();
    let mut refused = 0;
    loop {
        let sent = Instant::now();
        if sent >= end {
            return Ok((times, refused));
        }
        let (status, _) = client.send(&request).await?;
        if sent >= begin {
            times.push(sent.elapsed().as_secs_f64() * 1_000.0);
            refused += usize::from(status != request.status);
        }
    }
}

/// One connection that is kept alive.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(to: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(to).await.with_context(|| format!("cannot reach {to}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 * 1024) })
    }

    /// Sends a request; gives the answer's status and body.
    pub(crate) async fn send(&mut self, request: &Request) -> Result<(u16, Vec<u8>)> {
        self.stream.write_all(&request.bytes).await?;
        self.buffer.clear();
        let head = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
            self.fill().await?;
        };
        let text = std::str::from_utf8(&self.buffer[..head])?.to_ascii_lowercase();
        let status = text.get(9..12).and_then(|code| code.parse().ok()).context("no status")?;
        let length: usize = match text.split("content-length:").nth(1) {
            Some(rest) => rest.lines().next().unwrap_or_default().trim().parse()?,
            None => 0,
        };
        while self.buffer.len() < head + length {
            self.fill().await?;
        }
        Ok((status, self.buffer[head..head + length].to_vec()))
    }

    async fn fill(&mut self) -> Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the server closed the connection");
        }
        Ok(())
    }
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}
