//! Which version of which project is active, and the change from one to the next.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use flux_model::ProjectId;
use parking_lot::{Mutex, RwLock};
use tokio::process::Command;
use tokio::sync::mpsc;

use crate::bundle::{self, Bundle, Place};
use crate::deployment::Deployment;
use crate::error::{DeployError, FunctionError};
use crate::host::Host;
use crate::invocation::{Invocation, Invoked};
use crate::pool::Pool;
use crate::process::Plan;
use crate::project::ProjectFunctions;
use crate::runtime_files;
use crate::settings::Settings;
use crate::worker::{WorkerPlan, WorkerStartError};

/// How long workers may take to end after their last call.
const END_GRACE: Duration = Duration::from_secs(2);
/// Major version of Deno that this was written for.
const DENO_MAJOR: &str = "2.";

/// The functions of every project of this server.
#[derive(Debug)]
pub struct Runtime {
    settings: Arc<Settings>,
    place: Place,
    main: PathBuf,
    sockets: tempfile::TempDir,
    active: RwLock<HashMap<ProjectId, Arc<Deployment>>>,
    /// The pools of all versions that are not gone.
    pools: Mutex<Vec<Weak<Pool>>>,
    /// Cloned into each worker, so that the end of all of them can be waited for.
    alive: Mutex<Option<mpsc::Sender<()>>>,
    ended: tokio::sync::Mutex<mpsc::Receiver<()>>,
}

impl Runtime {
    /// Writes the runtime's own files to the data folder and checks that Deno runs.
    ///
    /// # Errors
    /// If the folder cannot be written, or there is no Deno of a version that works.
    pub async fn start(settings: Settings) -> Result<Self, DeployError> {
        check_deno(&settings.deno).await?;
        let files =
            |error: std::io::Error| DeployError::Files(format!("{}: {error}", settings.data.display()));
        std::fs::create_dir_all(&settings.data).map_err(files)?;
        let data = std::fs::canonicalize(&settings.data).map_err(files)?;
        if data.to_string_lossy().contains(',') {
            let message =
                format!("{}: a folder with a comma in its name cannot hold functions", data.display());
            return Err(DeployError::Files(message));
        }
        let main = runtime_files::write(&data).map_err(files)?;
        let sockets = tempfile::Builder::new().prefix("flux-").tempdir().map_err(files)?;
        if settings.user.is_some() {
            // Another user has to get to its socket, which is its own.
            std::fs::set_permissions(sockets.path(), std::fs::Permissions::from_mode(0o711))
                .map_err(files)?;
        }
        let (alive, ended) = mpsc::channel(1);
        let settings = Arc::new(settings);
        Ok(Self {
            place: Place::new(Arc::clone(&settings), data),
            settings,
            main,
            sockets,
            active: RwLock::default(),
            pools: Mutex::default(),
            alive: Mutex::new(Some(alive)),
            ended: tokio::sync::Mutex::new(ended),
        })
    }

    /// Makes the bundle of a project as it is on disk. Making the same one again finds it.
    ///
    /// # Errors
    /// Syntax errors, imports that lead nowhere, packages that cannot be installed.
    pub async fn bundle(&self, project: &ProjectFunctions) -> Result<Bundle, DeployError> {
        bundle::make(&self.place, project).await
    }

    /// A bundle that was made before, by its id: for rolling back and for replays.
    ///
    /// # Errors
    /// If it is gone or damaged.
    pub fn open_bundle(&self, id: &str) -> Result<Bundle, DeployError> {
        bundle::open(&self.place, id)
    }

    /// Starts a process for the bundle and loads it, without making it active.
    ///
    /// # Errors
    /// If a function does not load: file, line and code frame say where.
    pub async fn prepare(&self, bundle: Bundle) -> Result<Arc<Deployment>, DeployError> {
        let alive = self.alive.lock().as_ref().map(mpsc::Sender::downgrade);
        let alive = alive.ok_or_else(|| DeployError::Deno("the runtime is shutting down".to_owned()))?;
        let memory_mb = bundle.functions.iter().filter_map(|function| function.memory_mb).max();
        let process = Plan {
            deno: self.settings.deno.clone(),
            main: self.main.clone(),
            cache: self.place.cache(),
            readable: bundle.readable(),
            import_map: bundle.import_map(),
            memory_mb: memory_mb.unwrap_or(self.settings.memory_mb),
            user: self.settings.user,
            cgroup: self.settings.cgroup.clone(),
        };
        let (settings, sockets) = (Arc::clone(&self.settings), self.sockets.path().to_path_buf());
        let of_workers = bundle.clone();
        let started = Pool::start(|keeper| WorkerPlan {
            process,
            sockets,
            bundle: of_workers,
            settings,
            keeper,
            alive,
        })
        .await;
        let (pool, loaded) = started.map_err(|error| match error {
            WorkerStartError::Faults(faults) => DeployError::Project(faults),
            WorkerStartError::Process(error) => DeployError::Deno(error.to_string()),
            WorkerStartError::Broken(_) | WorkerStartError::Silent => DeployError::Load(error.to_string()),
            WorkerStartError::ShuttingDown => DeployError::Deno(error.to_string()),
        })?;
        let mut pools = self.pools.lock();
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(&pool));
        drop(pools);
        Ok(Arc::new(Deployment::new(bundle, loaded, Arc::clone(&self.settings), pool)))
    }

    /// Makes a prepared version the one that calls go to, in one step. Calls in flight finish on
    /// the version they began on; its processes end after them. Gives the version before.
    pub fn activate(&self, project: ProjectId, deployment: Arc<Deployment>) -> Option<Arc<Deployment>> {
        self.active.write().insert(project, deployment)
    }

    /// [`Runtime::prepare`] and [`Runtime::activate`]. The version before it keeps serving if this fails.
    ///
    /// # Errors
    /// As [`Runtime::prepare`].
    pub async fn deploy(&self, project: ProjectId, bundle: Bundle) -> Result<Arc<Deployment>, DeployError> {
        let deployment = self.prepare(bundle).await?;
        self.activate(project, Arc::clone(&deployment));
        Ok(deployment)
    }

    /// The active version of a project.
    pub fn active(&self, project: ProjectId) -> Option<Arc<Deployment>> {
        self.active.read().get(&project).cloned()
    }

    /// Stops serving a project. Calls in flight finish.
    pub fn remove(&self, project: ProjectId) -> Option<Arc<Deployment>> {
        self.active.write().remove(&project)
    }

    /// Calls a function of the active version. Dropping the future gives the call up.
    ///
    /// # Errors
    /// Why there is no output.
    pub async fn invoke(
        &self,
        project: ProjectId,
        invocation: Invocation,
        host: Arc<dyn Host>,
    ) -> Result<Invoked, FunctionError> {
        self.active(project).ok_or(FunctionError::NotDeployed)?.invoke(invocation, host).await
    }

    /// Serves nothing from now on and waits until the processes of all versions have ended. Calls
    /// in flight may finish first, for as long as [`Settings::drain`] says.
    pub async fn shutdown(&self) {
        self.alive.lock().take();
        self.active.write().clear();
        let pools = std::mem::take(&mut *self.pools.lock());
        for pool in pools.iter().filter_map(Weak::upgrade) {
            pool.end();
        }
        let ended = async { while self.ended.lock().await.recv().await.is_some() {} };
        // Whoever still holds an output that is not read to its end holds its worker as well.
        let _ = tokio::time::timeout(self.settings.drain + END_GRACE, ended).await;
    }
}

async fn check_deno(deno: &Path) -> Result<(), DeployError> {
    let way_out = "install it with `npm i --save-exact deno`, or set functions.deno in flux-server.toml";
    let missing = |error: std::io::Error| {
        DeployError::Deno(format!("{} does not run: {error}; {way_out}", deno.display()))
    };
    let output = Command::new(deno).arg("--version").env_clear().output().await.map_err(missing)?;
    let said = String::from_utf8_lossy(&output.stdout);
    let version =
        said.strip_prefix("deno ").and_then(|rest| rest.split_whitespace().next()).unwrap_or_default();
    if version.starts_with(DENO_MAJOR) {
        return Ok(());
    }
    let message =
        format!("{} is not Deno {DENO_MAJOR}x: it says `{}`; {way_out}", deno.display(), said.trim());
    Err(DeployError::Deno(message))
}
