//! Publishing a project's flows through the console API, and noticing what changed.
//!
//! `flux dev` and `flux flow publish` publish as any other client does, so there is one way in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::SystemTime;

use flux_model::{Diagnostic, ErrorCode, Flow};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{FlowFile, Project, read_flows};
use crate::client::answers::Page;
use crate::client::{Client, Query, encode, parse};
use crate::error::CommandError;

/// Flows of one page of the list.
const PAGE_FLOWS: usize = 200;

/// A version that was published.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Published {
    /// Its number within the flow.
    pub(crate) version: u64,
    /// What its author should know.
    #[serde(default)]
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// A flow as the list shows it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ListedFlow {
    /// Its name.
    pub(crate) name: String,
    /// `draft`, `active` or `inactive`.
    pub(crate) state: String,
    /// The hash of the active version.
    pub(crate) active_hash: Option<String>,
}

/// A draft that was saved.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Saved {
    revision: u64,
}

/// Saves a flow as draft.
pub(crate) async fn save(client: &Client, flow: &Flow) -> Result<Saved, CommandError> {
    let definition = serde_json::to_value(flow).unwrap_or(Value::Null);
    parse(client.post("/flows", &definition).await?)
}

/// Saves a flow as draft and publishes it.
pub(crate) async fn publish(client: &Client, flow: &Flow) -> Result<Published, CommandError> {
    let saved = save(client, flow).await?;
    let path = format!("/flows/{}/publish", encode(&flow.name));
    parse(client.post(&path, &json!({"expected_revision": saved.revision})).await?)
}

/// Switches a flow off.
async fn switch_off(client: &Client, name: &str) -> Result<(), CommandError> {
    let path = format!("/flows/{}/state", encode(name));
    client.put(&path, &json!({"state": "inactive"})).await.map(drop)
}

/// Every flow of the project.
pub(crate) async fn list(client: &Client) -> Result<Vec<ListedFlow>, CommandError> {
    let mut flows = Vec::new();
    let mut cursor = None;
    loop {
        let query = Query::default().with("limit", Some(PAGE_FLOWS)).with("cursor", cursor);
        let page: Page<ListedFlow> = client.get_as(&query.on("/flows")).await?;
        flows.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(flows);
        }
    }
}

/// What became of a flow file, or of a flow whose file is gone.
#[derive(Debug)]
pub(crate) struct Change {
    /// The file, for people; the flow's name where there is no file any more.
    pub(crate) file: String,
    /// What became of it.
    pub(crate) outcome: ChangeOutcome,
}

/// What became of a flow file.
#[derive(Debug)]
pub(crate) enum ChangeOutcome {
    /// The version is active.
    Active {
        /// The flow.
        flow: Box<Flow>,
        /// The version, where it is a new one.
        version: Option<u64>,
        /// What its author should know.
        warnings: Vec<Diagnostic>,
    },
    /// It is not a flow that can run; an earlier version stays active if there is one.
    Refused(Vec<Diagnostic>),
    /// Its file is gone: it is switched off.
    SwitchedOff,
    /// The server could not be asked.
    Failed(CommandError),
}

/// Keeps the published flows as the files are.
pub(crate) struct Publisher {
    project: Project,
    client: Client,
    /// What the files looked like when they were last read.
    seen: Seen,
    /// The content of each flow that was published, by name; empty where a former run did it.
    published_as: BTreeMap<String, String>,
    /// The flows that the project's functions are.
    functions: Vec<FlowFile>,
}

/// A function beside the flow files: it is refused if one of them has its name, because both are
/// started by it.
fn beside(function: &FlowFile, files: &[FlowFile]) -> FlowFile {
    let name = |file: &FlowFile| file.flow.as_ref().ok().map(|flow| flow.name.clone());
    let same = files.iter().find(|file| name(file).is_some() && name(file) == name(function));
    let Some(same) = same else { return function.clone() };
    let message = format!("{} has the name of this function; rename one of them", same.shown);
    let flow = Err(vec![Diagnostic::error(ErrorCode::Conflict, message)]);
    FlowFile { shown: function.shown.clone(), flow }
}

type Seen = BTreeMap<PathBuf, (Option<SystemTime>, u64)>;

impl Publisher {
    /// Publishes for `project`; `earlier` names the flows that a former run published.
    pub(crate) fn new(project: Project, client: Client, earlier: Vec<String>) -> Self {
        let published_as = earlier.into_iter().map(|name| (name, String::new())).collect();
        Self { project, client, seen: Seen::new(), published_as, functions: Vec::new() }
    }

    /// The names of the flows it keeps.
    pub(crate) fn names(&self) -> Vec<String> {
        self.published_as.keys().cloned().collect()
    }

    /// Publishes every file, skipping what the server has already.
    pub(crate) async fn first(&mut self) -> Result<Vec<Change>, CommandError> {
        let listed = list(&self.client).await?;
        let active = listed.into_iter().filter(|flow| flow.state == "active");
        let active: BTreeMap<String, String> =
            active.filter_map(|flow| Some((flow.name, flow.active_hash?))).collect();
        self.published_as.retain(|name, _| active.contains_key(name));
        self.seen = self.look()?;
        Ok(self.sync(&active).await)
    }

    /// Publishes other functions from now on.
    pub(crate) async fn functions(&mut self, functions: Vec<FlowFile>) -> Vec<Change> {
        self.functions = functions;
        self.sync(&BTreeMap::new()).await
    }

    /// What changed since the last time; nothing if the files look as they did.
    pub(crate) async fn next(&mut self) -> Result<Vec<Change>, CommandError> {
        let seen = self.look()?;
        if seen == self.seen {
            return Ok(Vec::new());
        }
        self.seen = seen;
        Ok(self.sync(&BTreeMap::new()).await)
    }

    async fn sync(&mut self, active: &BTreeMap<String, String>) -> Vec<Change> {
        let paths: Vec<PathBuf> = self.seen.keys().cloned().collect();
        let mut files = read_flows(&self.project.root, &paths);
        files.extend(self.functions.iter().map(|function| beside(function, &files)).collect::<Vec<_>>());
        let mut changes = Vec::new();
        // First, so that what is new may take the paths of what is gone. A file that cannot be read
        // may be the one of a flow that seems to be gone.
        if files.iter().all(|file| file.flow.is_ok()) {
            let names: BTreeSet<&str> =
                files.iter().filter_map(|file| Some(file.flow.as_ref().ok()?.name.as_str())).collect();
            changes.extend(self.switch_off_missing(&names).await);
        }
        let mut pending = Vec::new();
        for FlowFile { shown, flow } in files {
            match flow {
                Ok(flow) if self.is_published_as(&flow) => {}
                Ok(flow) => pending.push((shown, flow)),
                Err(findings) => {
                    changes.push(Change { file: shown, outcome: ChangeOutcome::Refused(findings) });
                }
            }
        }
        changes.extend(self.publish_all(pending, active).await);
        changes
    }

    fn is_published_as(&self, flow: &Flow) -> bool {
        self.published_as.get(&flow.name).is_some_and(|hash| *hash == flow.content_hash())
    }

    /// Publishes what can be published. A flow may be in another one's way until it is published
    /// itself, so what is refused is tried again as long as others succeed.
    async fn publish_all(
        &mut self,
        mut pending: Vec<(String, Flow)>,
        active: &BTreeMap<String, String>,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        loop {
            let before = changes.len();
            let mut refused = Vec::new();
            for (file, flow) in pending {
                match self.publish(&flow, active).await {
                    Ok(outcome) => changes.push(Change { file, outcome }),
                    Err(outcome) => refused.push((Change { file, outcome }, flow)),
                }
            }
            if refused.is_empty() || changes.len() == before {
                changes.extend(refused.into_iter().map(|(change, _)| change));
                return changes;
            }
            pending = refused.into_iter().map(|(change, flow)| (change.file, flow)).collect();
        }
    }

    /// Publishes one flow unless the server has it already.
    async fn publish(
        &mut self,
        flow: &Flow,
        active: &BTreeMap<String, String>,
    ) -> Result<ChangeOutcome, ChangeOutcome> {
        let hash = flow.content_hash();
        let (version, warnings) = if active.get(&flow.name) == Some(&hash) {
            (None, Vec::new())
        } else {
            match publish(&self.client, flow).await {
                Ok(published) => (Some(published.version), published.diagnostics),
                Err(CommandError::Server(problem)) if !problem.diagnostics.is_empty() => {
                    return Err(ChangeOutcome::Refused(problem.diagnostics));
                }
                Err(error) => return Err(ChangeOutcome::Failed(error)),
            }
        };
        self.published_as.insert(flow.name.clone(), hash);
        Ok(ChangeOutcome::Active { flow: Box::new(flow.clone()), version, warnings })
    }

    async fn switch_off_missing(&mut self, names: &BTreeSet<&str>) -> Vec<Change> {
        let missing: Vec<String> =
            self.published_as.keys().filter(|name| !names.contains(name.as_str())).cloned().collect();
        let mut changes = Vec::new();
        for name in missing {
            let outcome = match switch_off(&self.client, &name).await {
                Ok(()) => ChangeOutcome::SwitchedOff,
                // It was never published, or somebody deleted it: there is nothing to switch off.
                Err(CommandError::Server(problem)) if problem.status == 404 => ChangeOutcome::SwitchedOff,
                Err(error) => ChangeOutcome::Failed(error),
            };
            self.published_as.remove(&name);
            changes.push(Change { file: name, outcome });
        }
        changes
    }

    fn look(&self) -> anyhow::Result<Seen> {
        let paths = self.project.flow_files()?;
        Ok(paths
            .into_iter()
            .filter_map(|path| {
                let metadata = std::fs::metadata(&path).ok()?;
                Some((path, (metadata.modified().ok(), metadata.len())))
            })
            .collect())
    }
}
