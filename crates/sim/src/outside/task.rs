//! Executors: pure tasks are computed from their call alone, effects end as the weather has it.

use flux_model::effect::TaskCall;
use flux_model::error::Failure;
use flux_model::event::{Event, TaskOutput, TimerKey};
use flux_model::{ErrorCode, ExecutionId, Purity};

use crate::driver::Message;
use crate::values;
use crate::weather::hits;
use crate::world::World;

type Result = std::result::Result<TaskOutput, Failure>;

/// What a pure task computes: the same for the same call, whoever computes it.
pub(crate) fn compute(call: &TaskCall) -> Result {
    let seen = format!("{}{}{}", call.idempotency_key, call.config, call.input);
    let digest = seen.bytes().fold(u64::from(call.attempt), |sum, byte| {
        sum.rotate_left(5).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(byte)
    });
    let mut rng = fastrand::Rng::with_seed(digest);
    match rng.u32(..20) {
        0 => Err(Failure::permanent(ErrorCode::NodeInput, "cannot be computed")),
        1 => Err(Failure::retryable(ErrorCode::NodeInput, "cannot be computed now")),
        _ => Ok(TaskOutput::main(values::output(&mut rng))),
    }
}

impl World {
    /// An attempt begins; it answers in its own time, or never.
    pub(crate) fn start_task(&mut self, id: ExecutionId, call: TaskCall) {
        if call.purity == Purity::Pure {
            return self.start_pure(id, &call);
        }
        if let Some(follower) = self.disk.follower(id)
            && let Err(violation) = self.outside.start(&call, follower, self.life)
        {
            return self.fail(violation);
        }
        let timeout_ms = u64::try_from(call.timeout.as_millis()).unwrap_or(u64::MAX);
        let timer = TimerKey::NodeTimeout { path: call.path.clone(), attempt: call.attempt };
        let timeout = Message::new(id, Event::TimerFired { timer });
        self.deliver_after(timeout_ms, timeout);
        if hits(&mut self.rng, self.weather.never) {
            self.tell(format_args!("{id} {} will never answer", call.path));
            return;
        }
        let result = self.result();
        let slow = hits(&mut self.rng, 60);
        let takes = if slow { timeout_ms.min(100_000) + self.rng.u64(..50) } else { self.rng.u64(..150) };
        let event = Event::Completed { path: call.path, attempt: call.attempt, result };
        self.send_after(takes, Message::new(id, event));
    }

    /// A pure task is computed beside the others.
    pub(crate) fn start_pure(&mut self, id: ExecutionId, call: &TaskCall) {
        let event =
            Event::Completed { path: call.path.clone(), attempt: call.attempt, result: compute(call) };
        self.send(Message::new(id, event));
    }

    fn result(&mut self) -> Result {
        let weather = &self.weather;
        let (retryable, permanent) = (weather.retryable, weather.permanent);
        if hits(&mut self.rng, permanent) {
            return Err(Failure::permanent(ErrorCode::HttpStatus, "the service refuses"));
        }
        if hits(&mut self.rng, retryable) {
            let mut failure = Failure::retryable(ErrorCode::HttpStatus, "the service is busy");
            failure.provider_status = Some(503);
            failure.retry_after_ms = self.rng.bool().then(|| self.rng.u64(..3_000));
            return Err(failure);
        }
        Ok(TaskOutput::main(values::output(&mut self.rng)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use flux_model::{NodePath, Value};

    use super::*;

    #[test]
    fn a_pure_task_is_a_function_of_its_call() {
        let call = |config: u64| TaskCall {
            path: NodePath::root("n"),
            attempt: 1,
            node_type: "pure".to_owned(),
            purity: Purity::Pure,
            config: Value::from(config),
            input: Value::Null,
            idempotency_key: "k".to_owned(),
            timeout: Duration::from_secs(1),
            at_most_once: false,
        };
        assert_eq!(compute(&call(1)), compute(&call(1)));
        assert_ne!(compute(&call(1)), compute(&call(2)));
    }
}
