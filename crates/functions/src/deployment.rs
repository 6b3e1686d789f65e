//! One version of a project's functions, served by its own processes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flux_model::Value;
use flux_model::diagnostic::nearest;
use flux_model::limits::VALUE_BYTES_MAX;

use crate::bundle::{Bundle, BundleId};
use crate::error::FunctionError;
use crate::faults;
use crate::host::Host;
use crate::invocation::{Invocation, Invoked};
use crate::pool::Pool;
use crate::project::Function;
use crate::protocol::heads;
use crate::settings::Settings;
use crate::worker::{Loaded, Outcome, Task, TimeLimit, Worker};

/// Workers that a call is given to, one after the other, while each ends before it begins.
const WORKERS_TRIED_MAX: usize = 3;

/// A version that was loaded and can be called. Its processes end when it is dropped and the last
/// call, with its output, has ended.
#[derive(Debug)]
pub struct Deployment {
    bundle: Bundle,
    functions: Vec<FunctionInfo>,
    settings: Arc<Settings>,
    pool: Arc<Pool>,
}

/// A function that was loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionInfo {
    /// What the project declares.
    pub declared: Function,
    /// The JSON Schema of its input, if its default export has one.
    pub input: Option<Value>,
    /// The JSON Schema of its output, if its default export has one.
    pub output: Option<Value>,
}

impl Deployment {
    pub(crate) fn new(bundle: Bundle, loaded: Loaded, settings: Arc<Settings>, pool: Arc<Pool>) -> Self {
        let mut loaded: std::collections::HashMap<String, _> =
            loaded.into_iter().map(|function| (function.name, (function.input, function.output))).collect();
        let functions = bundle.functions.iter().map(|declared| {
            let (input, output) = loaded.remove(&declared.name).unwrap_or_default();
            FunctionInfo {
                declared: declared.clone(),
                input: input.map(Value::from),
                output: output.map(Value::from),
            }
        });
        Self { functions: functions.collect(), bundle, settings, pool }
    }

    /// Which bundle it serves.
    pub fn id(&self) -> &BundleId {
        &self.bundle.id
    }

    /// The bundle it serves.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// Its functions, by name.
    pub fn functions(&self) -> &[FunctionInfo] {
        &self.functions
    }

    /// The function of this name.
    pub fn function(&self, name: &str) -> Option<&FunctionInfo> {
        self.functions
            .binary_search_by(|info| info.declared.name.as_str().cmp(name))
            .ok()
            .map(|at| &self.functions[at])
    }

    /// The numbers of its processes: those that serve, then the spare.
    pub fn pids(&self) -> Vec<u32> {
        self.pool.pids()
    }

    /// Calls in flight.
    pub fn in_flight(&self) -> usize {
        self.pool.in_flight()
    }

    /// Calls a function of this version, whether or not it is the active one. Dropping the future
    /// gives the call up.
    ///
    /// # Errors
    /// Why there is no output. A call that had not begun when its process ended was given to
    /// another one.
    pub async fn invoke(
        &self,
        invocation: Invocation,
        host: Arc<dyn Host>,
    ) -> Result<Invoked, FunctionError> {
        let info = self.function(&invocation.function).ok_or_else(|| self.unknown(&invocation.function))?;
        if invocation.input.len() > VALUE_BYTES_MAX {
            let bytes = invocation.input.len();
            let message = format!("the input has {bytes} bytes, at most {VALUE_BYTES_MAX} (VALUE_BYTES_MAX)");
            return Err(FunctionError::Input(message));
        }
        let mut task = Task {
            function: Arc::clone(&invocation.function),
            head: head_of(&invocation),
            limit: self.time_limit(info, None),
            input: invocation.input,
        };
        let mut last = None;
        for _ in 0..WORKERS_TRIED_MAX {
            let place = self.pool.acquire().await?;
            task.limit = self.time_limit(info, invocation.deadline);
            let keep: Arc<dyn Send + Sync> = Arc::clone(&self.pool) as _;
            match Worker::run(place, &task, Arc::clone(&host), keep).await {
                Outcome::Ended(result) => return result,
                Outcome::NotBegun(death) => last = Some(death),
            }
        }
        let death = last.expect("at least one worker was tried");
        Err(faults::from_death(&death, &task.function))
    }

    fn unknown(&self, name: &str) -> FunctionError {
        let known = self.functions.iter().map(|info| info.declared.name.as_str());
        FunctionError::NotFound { name: name.to_owned(), nearest: nearest(name, known).map(str::to_owned) }
    }

    /// The shorter of the function's limit and what the caller's deadline leaves.
    fn time_limit(&self, info: &FunctionInfo, deadline: Option<Instant>) -> TimeLimit {
        let own = match info.declared.timeout_ms {
            Some(ms) => TimeLimit {
                most: Duration::from_millis(ms),
                setting: "timeout_ms of the function in flux.json",
            },
            None => {
                TimeLimit { most: self.settings.timeout, setting: "functions.timeout_ms in flux-server.toml" }
            }
        };
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        match left {
            Some(left) if left < own.most => TimeLimit { most: left, setting: "the deadline of its caller" },
            Some(_) | None => own,
        }
    }
}

fn head_of(invocation: &Invocation) -> Vec<u8> {
    let head = heads::Invoke {
        function: &invocation.function,
        request_id: &invocation.request_id,
        headers: &invocation.headers,
        user: &invocation.user,
        env: &invocation.env,
        seed: hex::encode(invocation.seed),
        clock: invocation.clock.as_ref().map(|clock| clock.deltas_us.as_slice()),
    };
    serde_json::to_vec(&head).expect("texts and values are JSON")
}
