//! Executions whose caller needs the output and not the record: functions that answer over HTTP.
//!
//! The first attempt runs before anything is stored. If the execution is over then, the caller is
//! told, and everything that happened is written as one command off its way: a crash in between
//! leaves nothing of it. An execution that is not over by then goes on like any other.

use std::sync::Arc;
use std::time::Duration;

use flux_core::session::{Commit, Session};
use flux_model::effect::{Effect, TaskCall};
use flux_model::event::{Event, TimerKey};
use flux_model::execution::ExecutionStatus;
use tokio_util::sync::CancellationToken;

use crate::admission::{Admission, Admitted, AdmittedAs, Answer, Until, Waiting};
use crate::admit::{First, Place, Request, Source};
use crate::commit::prepare;
use crate::control;
use crate::error::EngineError;
use crate::flight::Finished;
use crate::pure::settle;
use crate::shared::{Facts, Shared};
use crate::work;

/// Runs an execution and waits for its end, for at most `timeout`.
pub(crate) async fn call(
    shared: &Arc<Shared>,
    admission: Admission,
    timeout: Duration,
) -> Result<(Admitted, Answer), EngineError> {
    let request = Request::of(shared, &admission).await?;
    // What the store has to judge is judged before anything runs.
    let accept = request.accept(&admission);
    if accept.rate.is_some() || accept.concurrency.is_some() || accept.debounce.is_some() {
        return control::run(shared, admission, Waiting { until: Until::End, timeout }).await;
    }
    shared.lasting.counters.admitted.add(1);
    let (tenant, id) = (admission.tenant, request.id);
    let waiter = shared.waiters.register(id, Until::End);
    // In a task of its own: a caller who goes away must not stop what began.
    shared.tasks.spawn(run(request, admission));
    let answer = match control::answer(shared, tenant, id, waiter, timeout).await {
        Err(EngineError::NotFound(_)) => Answer::Pending(ExecutionStatus::Running),
        answered => answered?,
    };
    Ok((Admitted { id, outcome: AdmittedAs::Started }, answer))
}

async fn run(request: Request, admission: Admission) {
    let shared = Arc::clone(&request.shared);
    let facts = Arc::new(request.facts(&admission));
    let accept = request.accept(&admission);
    let mut session = Session::new(Arc::clone(&request.version.plan), request.id);
    let started = Event::Started { input: admission.input, recorded: admission.recorded };
    let settled = settle(&mut session, &shared.lasting.registry, request.now, started);
    let mut commit = session.flush().expect("`Started` always changes an execution that has not begun");
    commit.then.extend(settled.heavy.into_iter().map(Effect::Run));
    if let Some(task) = only_task(&mut commit) {
        let then = attempt(&shared, &facts, &mut session, task).await;
        let later = session.flush().expect("an attempt that ended always changes its execution");
        commit = commit.join(later);
        commit.then.extend(then);
    }
    if let Some(result) = &commit.result {
        shared.waiters.ended(facts.id, result);
    }
    let prepared = prepare(commit, None, shared.now(), shared.followed());
    let (id, place) = (facts.id, Place::new(&shared));
    match request
        .store(accept, Some(First { session, prepared }), Vec::new(), (facts, place, Source::Inside))
        .await
    {
        Ok((_, Some(took))) => took.run().await,
        Ok((_, None)) => {}
        Err(error) => {
            tracing::error!(execution = %id, %error, "what happened in an execution is not recorded")
        }
    }
}

/// The task of an execution that does nothing else now.
fn only_task(commit: &mut Commit) -> Option<TaskCall> {
    let waits = |effect: &Effect| !matches!(effect, Effect::Record(_) | Effect::Run(_));
    if commit.status != ExecutionStatus::Running || commit.then.len() != 1 || commit.then.iter().any(waits) {
        return None;
    }
    match commit.then.pop() {
        Some(Effect::Run(task)) => Some(task),
        Some(other) => {
            commit.then.push(other);
            None
        }
        None => None,
    }
}

/// Runs the attempt and takes in how it ended; gives heavy pure tasks that follow.
async fn attempt(
    shared: &Arc<Shared>,
    facts: &Arc<Facts>,
    session: &mut Session,
    task: TaskCall,
) -> Vec<Effect> {
    let (path, number, limit) = (task.path.clone(), task.attempt, task.timeout);
    let work = work::attempt(shared, facts, task, CancellationToken::new());
    let (observed, event) = tokio::select! {
        biased;
        Finished { observed, event, .. } = work => (observed, event),
        () = shared.lasting.clock.sleep(limit) => {
            let timer = TimerKey::NodeTimeout { path, attempt: number };
            (Vec::new(), Event::TimerFired { timer })
        }
    };
    let now = shared.now();
    observed.into_iter().for_each(|event| session.observe(now, event));
    let settled = settle(session, &shared.lasting.registry, now, event);
    settled.heavy.into_iter().map(Effect::Run).collect()
}
