//! The functions of a project under `flux dev`: bundled, loaded and published again whenever a file
//! of theirs is saved. What is broken is said; the version before it keeps serving.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use flux_functions::{DeployError, FUNCTIONS_FOLDER, ProjectFunctions, Runtime};

use crate::project::functions::flow_of;
use crate::project::{FlowFile, PROJECT_FILE};
use crate::server::access::TENANT;

/// Files and folders beside `functions/` that functions may depend on.
const BESIDE: [&str; 4] = [PROJECT_FILE, "package.json", "deno.json", "lib"];
/// Files that are looked at.
const FILES_MAX: usize = 20_000;

type Seen = BTreeMap<PathBuf, (Option<SystemTime>, u64)>;

/// Keeps the runtime as the files are.
pub(super) struct DevFunctions {
    root: PathBuf,
    runtime: Arc<Runtime>,
    seen: Seen,
}

impl DevFunctions {
    pub(super) fn new(root: &Path, runtime: Arc<Runtime>) -> Self {
        Self { root: root.to_path_buf(), runtime, seen: Seen::new() }
    }

    /// The flows that the functions are now; `None` if no file changed since the last time.
    pub(super) async fn next(&mut self) -> Option<Result<Vec<FlowFile>, DeployError>> {
        let mut seen = Seen::new();
        for name in std::iter::once(FUNCTIONS_FOLDER).chain(BESIDE) {
            look(&self.root.join(name), &mut seen);
        }
        if seen == self.seen {
            return None;
        }
        self.seen = seen;
        Some(self.deploy().await)
    }

    async fn deploy(&self) -> Result<Vec<FlowFile>, DeployError> {
        let project = ProjectFunctions::open(&self.root)?;
        if project.functions.is_empty() {
            self.runtime.remove(TENANT.project);
            return Ok(Vec::new());
        }
        let bundle = self.runtime.bundle(&project).await?;
        let deployment = self.runtime.deploy(TENANT.project, bundle).await?;
        let flows = deployment.functions().iter().map(|info| FlowFile {
            shown: info.declared.file.clone(),
            flow: Ok(flow_of(info, deployment.id())),
        });
        Ok(flows.collect())
    }
}

/// Notes every file below `path`. What cannot be read is as if it were not there.
fn look(path: &Path, seen: &mut Seen) {
    if seen.len() >= FILES_MAX {
        return;
    }
    let Ok(metadata) = std::fs::metadata(path) else { return };
    if !metadata.is_dir() {
        seen.insert(path.to_path_buf(), (metadata.modified().ok(), metadata.len()));
        return;
    }
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        look(&entry.path(), seen);
    }
}
