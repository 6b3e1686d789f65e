//! A runtime with projects made of a few lines, and a host that answers what a test tells it to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use flux_functions::{
    Answer, Call, DeployError, Deployment, FunctionError, Host, HostError, Invocation, Invoked, LogLine,
    Output, ProjectFunctions, Runtime, Settings, Spare, find_deno,
};
use futures::StreamExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::{Value as Json, json};

/// The pinned Deno, as `make setup` installs it.
pub(crate) fn deno() -> PathBuf {
    find_deno(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("`make setup` installs Deno")
}

/// One data folder for all tests, so that the runtime is compiled once.
fn data() -> &'static Path {
    static DATA: OnceLock<tempfile::TempDir> = OnceLock::new();
    DATA.get_or_init(|| tempfile::tempdir().unwrap()).path()
}

pub(crate) fn settings() -> Settings {
    let mut settings = Settings::new(deno(), data());
    settings.spare = Spare::None;
    settings.processes_max = 1;
    // Generous, because tests share a busy machine; tests of the limit set their own.
    settings.cpu = Duration::from_secs(20);
    settings
}

/// A runtime, and the projects of one test.
pub(crate) struct World {
    pub(crate) runtime: Runtime,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(settings()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        Self { runtime: Runtime::start(settings).await.unwrap() }
    }

    /// A version of a project of these files.
    pub(crate) async fn try_serve(&self, files: &[(&str, &str)]) -> Result<Arc<Deployment>, DeployError> {
        let folder = project(files);
        let functions = ProjectFunctions::open(folder.path())?;
        let bundle = self.runtime.bundle(&functions).await?;
        self.runtime.prepare(bundle).await
    }

    pub(crate) async fn serve(&self, files: &[(&str, &str)]) -> Arc<Deployment> {
        match self.try_serve(files).await {
            Ok(deployment) => deployment,
            Err(error) => panic!("{error}"),
        }
    }

    /// A version with the one function `f`, whose body this is.
    pub(crate) async fn function(&self, body: &str) -> Arc<Deployment> {
        self.serve(&[("functions/f.ts", &handler(body))]).await
    }
}

/// A module whose default export is a function with this body.
pub(crate) fn handler(body: &str) -> String {
    format!("export default async (input, ctx) => {{\n{body}\n}};\n")
}

pub(crate) fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

type Script = dyn Fn(Call) -> BoxFuture<'static, Result<Answer, HostError>> + Send + Sync;

/// Answers by a script, and keeps what it was told.
pub(crate) struct TestHost {
    script: Box<Script>,
    pub(crate) logs: Mutex<Vec<LogLine>>,
    /// Each call as its debug text, with its site.
    pub(crate) calls: Mutex<Vec<(String, Option<String>)>>,
}

impl TestHost {
    pub(crate) fn new(
        script: impl Fn(Call) -> BoxFuture<'static, Result<Answer, HostError>> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { script: Box::new(script), logs: Mutex::default(), calls: Mutex::default() })
    }

    /// Refuses everything.
    pub(crate) fn none() -> Arc<Self> {
        Self::new(|call| {
            let message = format!("nobody answers {:?}", call.request);
            Box::pin(async { Err(HostError::new("not_found", message)) })
        })
    }

    /// Answers every call with this value.
    pub(crate) fn value(value: Json) -> Arc<Self> {
        Self::new(move |_| {
            let value = flux_model::Value::from(value.clone());
            Box::pin(async { Ok(Answer::Value(value)) })
        })
    }
}

impl Host for TestHost {
    fn call(self: Arc<Self>, call: Call) -> BoxFuture<'static, Result<Answer, HostError>> {
        let site = call.site.as_ref().map(ToString::to_string);
        self.calls.lock().push((format!("{:?}", call.request), site));
        (self.script)(call)
    }

    fn log(&self, line: LogLine) {
        self.logs.lock().push(line);
    }
}

pub(crate) async fn invoke(
    deployment: &Deployment,
    name: &str,
    input: Json,
    host: Arc<TestHost>,
) -> Result<Invoked, FunctionError> {
    deployment.invoke(Invocation::new(name, input.to_string()), host).await
}

/// Calls `f` without a host; gives its JSON output.
pub(crate) async fn call(deployment: &Deployment, input: Json) -> Result<Json, FunctionError> {
    invoke(deployment, "f", input, TestHost::none()).await.map(json_of)
}

pub(crate) fn json_of(invoked: Invoked) -> Json {
    match invoked.output {
        Output::Json(bytes) => serde_json::from_slice(&bytes).unwrap(),
        Output::Response { status, headers, .. } => json!({ "status": status, "headers": headers }),
    }
}

/// Status, headers and body of a returned `Response`.
pub(crate) async fn response_of(
    invoked: Invoked,
) -> (u16, BTreeMap<String, String>, Result<Bytes, FunctionError>) {
    let Output::Response { status, headers, mut body } = invoked.output else { panic!("no Response") };
    let mut all = Vec::new();
    let mut end = Ok(());
    while let Some(piece) = body.next().await {
        match piece {
            Ok(bytes) => all.extend_from_slice(&bytes),
            Err(error) => end = Err(error),
        }
    }
    (status, headers.into_iter().collect(), end.map(|()| Bytes::from(all)))
}
