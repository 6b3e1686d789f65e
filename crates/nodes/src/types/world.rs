//! What executors need to run in tests: an egress that may reach loopback, one secret, files in
//! memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use flux_egress::files::{FileContent, FileError, FileSink};
use flux_egress::{Egress, FileStore, Policy, SecretError, SecretPlain, SecretSource, Setup};
use flux_model::effect::TaskCall;
use flux_model::{NodePath, OrganizationId, ProjectId, Purity, Tenant, Value};
use futures::future::BoxFuture;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::{Registry, RunContext, TaskDone};

pub(crate) type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

#[derive(Clone, Default)]
pub(crate) struct MemoryFiles(pub(crate) Files);

struct MemorySink {
    files: Files,
    content: Vec<u8>,
}

impl FileStore for MemoryFiles {
    fn create(&self, _: Tenant) -> BoxFuture<'_, Result<Box<dyn FileSink>, FileError>> {
        let sink = MemorySink { files: self.0.clone(), content: Vec::new() };
        Box::pin(async move { Ok(Box::new(sink) as Box<dyn FileSink>) })
    }

    fn open<'a>(&'a self, _: Tenant, hash: &'a str) -> BoxFuture<'a, Result<FileContent, FileError>> {
        let found = self.0.lock().unwrap().get(hash).cloned();
        Box::pin(async move {
            let content = found.ok_or_else(|| FileError::Missing { hash: hash.to_owned() })?;
            Ok(Box::pin(futures::stream::iter([Ok(Bytes::from(content))])) as FileContent)
        })
    }
}

impl FileSink for MemorySink {
    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, Result<(), FileError>> {
        self.content.extend_from_slice(&chunk);
        Box::pin(async { Ok(()) })
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<String, FileError>> {
        let hash = hex::encode(Sha256::digest(&self.content));
        self.files.lock().unwrap().insert(hash.clone(), self.content);
        Box::pin(async move { Ok(hash) })
    }
}

struct OneSecret;

impl SecretSource for OneSecret {
    fn resolve<'a>(&'a self, _: Tenant, name: &'a str) -> BoxFuture<'a, Result<SecretPlain, SecretError>> {
        Box::pin(async move {
            match name {
                "token" => Ok(SecretPlain::new("s3cr3t-plain", Vec::new())),
                _ => Err(SecretError::Missing { name: name.to_owned() }),
            }
        })
    }
}

/// The standard registry and a context to run its tasks in.
pub(crate) struct World {
    pub(crate) files: MemoryFiles,
    pub(crate) context: RunContext,
    pub(crate) registry: Registry,
}

impl World {
    pub(crate) fn new() -> Self {
        let files = MemoryFiles::default();
        let setup = Setup::new(Policy::with_loopback(), Arc::new(OneSecret), Arc::new(files.clone()));
        let tenant = Tenant { organization: OrganizationId::from_bits(1), project: ProjectId::from_bits(2) };
        let egress = Egress::new(setup).unwrap();
        let context = RunContext { tenant, egress, functions: None, cancel: CancellationToken::new() };
        Self { files, context, registry: Registry::standard() }
    }

    pub(crate) async fn run(&self, node_type: &str, config: Value) -> TaskDone {
        self.registry.run(&call(node_type, config), &self.context).await
    }
}

/// The first attempt of a node `ask` of this type.
pub(crate) fn call(node_type: &str, config: Value) -> TaskCall {
    TaskCall {
        path: NodePath::root("ask"),
        attempt: 1,
        node_type: node_type.to_owned(),
        purity: Purity::Effect,
        config,
        input: Value::Null,
        idempotency_key: "exec_1/ask".to_owned(),
        timeout: Duration::from_secs(20),
        at_most_once: false,
    }
}
