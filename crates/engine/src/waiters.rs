//! Callers who wait for the answer of an execution. They are told only what is durable.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flux_model::effect::Response;
use flux_model::execution::ExecutionResult;
use flux_model::ids::ExecutionId;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::admission::{Answer, Until};

#[derive(Default)]
pub(crate) struct Waiters {
    waiting: Mutex<HashMap<ExecutionId, Vec<Registered>>>,
    tokens: AtomicU64,
}

struct Registered {
    token: u64,
    until: Until,
    reply: oneshot::Sender<Answer>,
}

/// A caller who waits; dropping it ends the wait.
pub(crate) struct Waiter {
    waiters: Arc<Waiters>,
    id: ExecutionId,
    token: u64,
    answer: oneshot::Receiver<Answer>,
}

impl Waiter {
    /// The answer; `None` if the engine stopped first.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.waiters.forget(self.id, self.token);
    }
}

impl Waiters {
    pub(crate) fn register(self: &Arc<Self>, id: ExecutionId, until: Until) -> Waiter {
        let token = self.tokens.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        self.waiting.lock().entry(id).or_default().push(Registered { token, until, reply });
        Waiter { waiters: Arc::clone(self), id, token, answer }
    }

    /// The execution answered.
    pub(crate) fn responded(&self, id: ExecutionId, response: &Response) {
        let mut waiting = self.waiting.lock();
        let Some(registered) = waiting.get_mut(&id) else { return };
        for one in registered.extract_if(.., |one| one.until == Until::Response) {
            // A caller who went away meanwhile needs no answer.
            let _ = one.reply.send(Answer::Responded(response.clone()));
        }
    }

    /// The execution is over.
    pub(crate) fn ended(&self, id: ExecutionId, result: &ExecutionResult) {
        for one in self.waiting.lock().remove(&id).into_iter().flatten() {
            let _ = one.reply.send(Answer::Ended(result.clone()));
        }
    }

    /// Nobody will be told anything any more.
    pub(crate) fn give_up(&self) {
        self.waiting.lock().clear();
    }

    fn forget(&self, id: ExecutionId, token: u64) {
        let mut waiting = self.waiting.lock();
        if let Some(registered) = waiting.get_mut(&id) {
            registered.retain(|one| one.token != token);
            if registered.is_empty() {
                waiting.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use flux_model::Value;

    use super::*;

    #[tokio::test]
    async fn each_is_told_what_it_waits_for_and_leaves_nothing_behind() {
        let waiters = Arc::new(Waiters::default());
        let id = ExecutionId::from_bits(7);
        let mut response = waiters.register(id, Until::Response);
        let mut end = waiters.register(id, Until::End);
        drop(waiters.register(id, Until::End));
        let answer = Response { status: 201, headers: Vec::new(), body: Value::Null };
        waiters.responded(id, &answer);
        assert_eq!(response.answer().await, Some(Answer::Responded(answer)));
        let result = ExecutionResult::Succeeded { output: Value::from(1_i64) };
        waiters.ended(id, &result);
        assert_eq!(end.answer().await, Some(Answer::Ended(result)));
        drop((response, end));
        assert!(waiters.waiting.lock().is_empty());
        let mut left = waiters.register(id, Until::End);
        waiters.give_up();
        assert_eq!(left.answer().await, None);
    }
}
