//! Which functions, webhooks and forms there are: a picture of the published flows, replaced as a whole when
//! they change. Readers take the picture and are never in the way of a change.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use flux_core::plan::Plan;
use flux_core::template::{Scope, Warnings};
use flux_engine::{ActivePlan, EngineError};
use flux_model::{Diagnostic, ProjectId, Tenant, Timestamp, Value, config};
use flux_triggers::form::Form;
use flux_triggers::function::FunctionRoute;
use flux_triggers::route::{Clash, Route, Router, Target};
use flux_triggers::webhook::Webhook;
use parking_lot::RwLock;
use tokio::sync::{Mutex, MutexGuard, watch};

use super::routes::RESERVED;
use crate::app::Shared;

/// The node type that makes a flow a function.
pub(crate) const FUNCTION: &str = "trigger.function";
const WEBHOOK: &str = "trigger.webhook";
const FORM: &str = "trigger.form";

/// The functions, webhooks and forms of all projects at one moment.
#[derive(Debug, Default)]
pub(crate) struct Deployed {
    pub(crate) functions: Router<FunctionRoute>,
    pub(crate) hooks: Router<Webhook>,
    forms: HashMap<(ProjectId, String), Arc<FormRoute>>,
}

/// A form of a flow.
#[derive(Debug)]
pub(crate) struct FormRoute {
    pub(crate) tenant: Tenant,
    pub(crate) flow: String,
    pub(crate) form: Form,
}

/// The present picture.
#[derive(Default)]
pub(crate) struct Deployments {
    current: RwLock<Arc<Deployed>>,
    changing: Mutex<()>,
}

impl Deployments {
    pub(crate) fn current(&self) -> Arc<Deployed> {
        self.current.read().clone()
    }

    /// Begins a change of what is deployed. One at a time, so that two flows cannot both find a
    /// path free, and an older picture never replaces a newer one.
    pub(crate) async fn begin(&self) -> Change<'_> {
        Change { deployments: self, _turn: self.changing.lock().await }
    }
}

/// A change of what is deployed. Dropping it leaves the picture to [`follow`].
pub(crate) struct Change<'a> {
    deployments: &'a Deployments,
    _turn: MutexGuard<'a, ()>,
}

impl Change<'_> {
    /// Takes the picture anew, with what changed.
    pub(crate) async fn finish(self, app: &Shared) -> Result<(), EngineError> {
        let plans = app.engine.active_plans().await?;
        let deployed = Deployed::of(&plans, app.clock.now());
        *self.deployments.current.write() = Arc::new(deployed);
        Ok(())
    }
}

/// Takes the picture anew after every change of flows, until shutdown. What a request of this
/// process changed is taken by that request already; this is for everything else.
pub(crate) async fn follow(app: Shared, mut changes: watch::Receiver<u64>) {
    loop {
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
        if let Err(error) = app.deployments.begin().await.finish(&app).await {
            tracing::error!(%error, "functions, webhooks and forms stay as they were: the flows cannot be read");
        }
    }
}

impl Deployed {
    fn of(plans: &[ActivePlan], now: Timestamp) -> Self {
        let mut deployed = Self::default();
        for active in plans {
            for diagnostic in deployed.add(active.tenant, &active.plan, now) {
                let flow = &active.plan.flow().name;
                tracing::error!(%flow, %diagnostic, "a published flow cannot be reached");
            }
        }
        deployed
    }

    /// Adds the trigger of a flow, or says why it cannot be reached.
    fn add(&mut self, tenant: Tenant, plan: &Plan, now: Timestamp) -> Vec<Diagnostic> {
        match read_trigger(tenant, plan, now) {
            Ok(Trigger::Function(route)) => match self.functions.insert(*route) {
                Ok(()) => Vec::new(),
                Err(clash) => vec![function_clash(plan, &clash)],
            },
            Ok(Trigger::Webhook(route)) => match self.hooks.insert(*route) {
                Ok(()) => Vec::new(),
                Err(clash) => vec![at_path(plan, clash.to_string())],
            },
            Ok(Trigger::Form(route)) => {
                match self.forms.entry((tenant.project, route.form.path().to_string())) {
                    Entry::Vacant(place) => {
                        place.insert(Arc::new(*route));
                        Vec::new()
                    }
                    Entry::Occupied(other) => vec![form_clash(plan, other.get())],
                }
            }
            Ok(Trigger::Other) => Vec::new(),
            Err(diagnostics) => diagnostics,
        }
    }

    /// What keeps a flow from being published beside those that are: a trigger config that is not
    /// valid, a path that another flow has.
    pub(crate) fn obstacles(&self, tenant: Tenant, plan: &Plan, now: Timestamp) -> Vec<Diagnostic> {
        let clash = match read_trigger(tenant, plan, now) {
            Ok(Trigger::Function(route)) => {
                self.functions.clash(&route).map(|clash| function_clash(plan, &clash))
            }
            Ok(Trigger::Webhook(route)) => {
                self.hooks.clash(&route).map(|clash| at_path(plan, clash.to_string()))
            }
            Ok(Trigger::Form(route)) => {
                let other = self.forms.get(&(tenant.project, route.form.path().to_string()));
                other.filter(|other| other.flow != route.flow).map(|other| form_clash(plan, other))
            }
            Ok(Trigger::Other) => None,
            Err(diagnostics) => return diagnostics,
        };
        clash.into_iter().collect()
    }

    /// The form of a project at this path, which is what follows `/forms/`.
    pub(crate) fn form(&self, tenant: Tenant, path: &str) -> Option<Arc<FormRoute>> {
        let path = percent_decode(path)?;
        self.forms.get(&(tenant.project, path.trim_matches('/').to_owned())).cloned()
    }
}

enum Trigger {
    Function(Box<Route<FunctionRoute>>),
    Webhook(Box<Route<Webhook>>),
    Form(Box<FormRoute>),
    Other,
}

fn read_trigger(tenant: Tenant, plan: &Plan, now: Timestamp) -> Result<Trigger, Vec<Diagnostic>> {
    let node = plan.trigger();
    let at_node = |found: Vec<Diagnostic>| -> Vec<Diagnostic> {
        found.into_iter().map(|diagnostic| diagnostic.at_node(&node.key)).collect()
    };
    let rendered = || {
        let scope = TriggerScope { plan, now };
        let config = plan.trigger_config().render(&scope, &mut Warnings::new());
        config.map_err(|error| at_node(vec![error.into()]))
    };
    let flow = plan.flow().name.clone();
    match node.node_type.as_str() {
        FUNCTION => {
            let target = FunctionRoute::parse(&rendered()?).map_err(at_node)?;
            check_reserved(&target).map_err(|error| at_node(vec![error]))?;
            Ok(Trigger::Function(Box::new(Route { tenant, flow, node: node.key.clone(), target })))
        }
        WEBHOOK => {
            let webhook = Webhook::parse(&rendered()?).map_err(at_node)?;
            Ok(Trigger::Webhook(Box::new(Route { tenant, flow, node: node.key.clone(), target: webhook })))
        }
        FORM => {
            let form = Form::parse(&rendered()?).map_err(at_node)?;
            Ok(Trigger::Form(Box::new(FormRoute { tenant, flow, form })))
        }
        _ => Ok(Trigger::Other),
    }
}

/// Refuses a function at a path that leads elsewhere.
fn check_reserved(function: &FunctionRoute) -> Result<(), Diagnostic> {
    let path = function.path().to_string();
    match RESERVED.iter().find(|reserved| path.split('/').next() == Some(**reserved)) {
        None => Ok(()),
        Some(reserved) => {
            let message = format!("`/{path}` begins with `/{reserved}`, which is not for functions");
            Err(config::invalid("route", message))
        }
    }
}

fn at_path(plan: &Plan, message: String) -> Diagnostic {
    config::invalid("path", message).at_node(&plan.trigger().key)
}

fn function_clash(plan: &Plan, clash: &Clash) -> Diagnostic {
    let Clash { other, flow, path, method } = clash;
    let message = format!(
        "the functions `{other}` and `{flow}` both answer to {} {path}; change the route of one of them",
        method.as_str()
    );
    config::invalid("route", message).at_node(&plan.trigger().key)
}

fn form_clash(plan: &Plan, other: &FormRoute) -> Diagnostic {
    let message = format!(
        "the flows `{}` and `{}` both have a form at /forms/{}; change the path of one of them",
        other.flow,
        plan.flow().name,
        other.form.path()
    );
    at_path(plan, message)
}

fn percent_decode(path: &str) -> Option<String> {
    percent_encoding::percent_decode_str(path).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// The config of a trigger sees the flow's constants; what it says of secrets stays a reference.
pub(crate) struct TriggerScope<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) now: Timestamp,
}

impl Scope for TriggerScope<'_> {
    fn root(&self, name: &str) -> Option<Value> {
        let vars =
            || Value::object(self.plan.settings().vars.iter().map(|(name, value)| (name, value.clone())));
        (name == "vars").then(vars)
    }

    fn now(&self) -> Timestamp {
        self.now
    }
}
