//! Host calls of functions: from the frame to the host and back.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use flux_model::Value;
use futures::future::BoxFuture;

use super::bodies::first_credit;
use super::{Worker, read};
use crate::host::{
    Answer, Body, Call, FetchRequest, FetchResponse, FlowWait, HostCall, HostError, QueueSend, Redirect,
    Redirected, TransactionId,
};
use crate::link::Urgency;
use crate::protocol::heads::{self, Op};
use crate::protocol::{FRAME_BYTES_MAX, Frame, Kind};

/// Host calls of one call that may wait for an answer; the worker has the same bound.
const CALLS_WAITING_MAX: usize = 1_000;
/// Bytes of an answer's head, about.
const HEAD_BYTES_MAX: usize = 1024 * 1024;

type Answered = Result<Answer, HostError>;

impl Worker {
    /// Begins a host call. One of a call that has ended is nobody's.
    pub(super) fn take_call(self: &Arc<Self>, frame: Frame) -> Result<(), String> {
        let head: heads::Call = read(&frame.head)?;
        let invocation = head.invocation;
        let kind = Lifetime::of(&head.op);
        let id = frame.id;
        let mut table = self.table.lock();
        let Some(entry) = table.entries.get_mut(&invocation) else { return Ok(()) };
        if entry.unanswered >= CALLS_WAITING_MAX {
            return Err(format!("more than {CALLS_WAITING_MAX} host calls wait (CALLS_WAITING_MAX)"));
        }
        let host = Arc::clone(&entry.host);
        if let Op::DbBegin { transaction } = head.op {
            entry.transactions.insert(TransactionId(transaction));
        }
        if kind == Lifetime::Untold {
            drop(table);
            let call = self.call_of(head, frame.body).map_err(|error| error.message)?;
            begin_in_order(host.call(call));
            return Ok(());
        }
        entry.unanswered += 1;
        if kind == Lifetime::OfItsCall {
            entry.calls.push(id);
        }
        let body = matches!(head.op, Op::Fetch { stream: true, .. }).then(|| {
            let (sink, body) = self.incoming_body(id);
            table.sinks.insert(id, sink);
            Body::Stream(body)
        });
        let settled = Settled::of(&head.op);
        let call = self.call_of(head, frame.body).map(|mut call| {
            if let (HostCall::Fetch(fetch), Some(body)) = (&mut call.request, body) {
                fetch.body = body;
            }
            call
        });
        let worker = Arc::clone(self);
        // Under the lock, so that the task cannot end before it is in the table.
        let task = tokio::spawn(async move {
            let answer = match call {
                Ok(call) => host.call(call).await,
                Err(error) => Err(error),
            };
            worker.settle(invocation, settled);
            worker.answer(id, answer).await;
            let mut table = worker.table.lock();
            table.running.remove(&id);
            table.sinks.remove(&id);
            table.credits.remove(&id);
        });
        table.running.insert(id, task.abort_handle());
        Ok(())
    }

    fn settle(&self, invocation: u32, settled: Settled) {
        let mut table = self.table.lock();
        let Some(entry) = table.entries.get_mut(&invocation) else { return };
        entry.unanswered -= 1;
        if let Settled::Transaction(transaction) = settled {
            entry.transactions.remove(&transaction);
        }
    }

    /// Sends the answer of a host call, its body included.
    async fn answer(&self, id: u32, answer: Answered) {
        match answer {
            Ok(Answer::Value(value)) => match serde_json::to_vec(&value) {
                Ok(body) if body.len() + HEAD_BYTES_MAX <= FRAME_BYTES_MAX => {
                    self.send_answer(id, b"", &body)
                }
                Ok(body) => self.refuse_answer(id, &too_large(body.len())),
                Err(error) => self.refuse_answer(id, &HostError::new("internal", error.to_string())),
            },
            Ok(Answer::Response(response)) => self.answer_response(id, response).await,
            Err(error) => self.refuse_answer(id, &error),
        }
    }

    async fn answer_response(&self, id: u32, response: FetchResponse) {
        let FetchResponse { status, headers, url, redirect, body } = response;
        let (bytes, stream) = match body {
            Body::Empty => (Bytes::new(), None),
            Body::Bytes(bytes) if bytes.len() + HEAD_BYTES_MAX <= FRAME_BYTES_MAX => (bytes, None),
            Body::Bytes(bytes) => {
                let once: futures::stream::BoxStream<'static, _> =
                    Box::pin(futures::stream::once(async { Ok(bytes) }));
                (Bytes::new(), Some(once))
            }
            Body::Stream(stream) => (Bytes::new(), Some(stream)),
        };
        let response = heads::AnswerResponse {
            status,
            headers: &headers,
            url: &url,
            redirected: redirect == Redirected::Yes,
            stream: stream.is_some(),
        };
        let head = heads::Answer { error: None, response: Some(response) };
        let head = serde_json::to_vec(&head).expect("a head of texts and numbers is JSON");
        let credit = first_credit();
        if stream.is_some() {
            self.table.lock().credits.insert(id, Arc::clone(&credit));
        }
        self.send_answer(id, &head, &bytes);
        if let Some(stream) = stream {
            self.send_body(id, &credit, stream).await;
        }
    }

    fn refuse_answer(&self, id: u32, error: &HostError) {
        let HostError { code, message, status } = error;
        let error = heads::AnswerError { code, message, status: *status };
        let head = heads::Answer { error: Some(error), response: None };
        self.send_answer(id, &serde_json::to_vec(&head).expect("a head of texts and numbers is JSON"), b"");
    }

    fn send_answer(&self, id: u32, head: &[u8], body: &[u8]) {
        let urgency = if self.in_flight() <= 1 { Urgency::Idle } else { Urgency::Busy };
        self.link.send(Kind::Answer, id, (head, body), urgency);
    }

    fn call_of(&self, head: heads::Call, body: Bytes) -> Result<Call, HostError> {
        let span_of_call = head.span;
        Ok(Call {
            index: head.index,
            at_us: head.at_us,
            site: head.site.map(Into::into),
            span: head.span,
            request: request_of(head.op, body, span_of_call)?,
        })
    }
}

fn request_of(op: Op, body: Bytes, span: Option<u32>) -> Result<HostCall, HostError> {
    Ok(match op {
        Op::Fetch { method, url, headers, redirect, stream: _ } => HostCall::Fetch(FetchRequest {
            method,
            url,
            headers,
            redirect: match redirect.as_str() {
                "error" => Redirect::Error,
                "manual" => Redirect::Manual,
                _ => Redirect::Follow,
            },
            body: if body.is_empty() { Body::Empty } else { Body::Bytes(body) },
        }),
        Op::DbQuery { transaction } => {
            HostCall::DbQuery { query: value_of(&body)?, transaction: transaction.map(TransactionId) }
        }
        Op::DbBegin { transaction } => HostCall::DbBegin { transaction: TransactionId(transaction) },
        Op::DbCommit { transaction } => HostCall::DbCommit { transaction: TransactionId(transaction) },
        Op::DbRollback { transaction } => HostCall::DbRollback { transaction: TransactionId(transaction) },
        Op::QueueSend { function, delay_ms, idempotency_key, ordering_key, transaction } => {
            HostCall::QueueSend(QueueSend {
                function,
                payload: value_of(&body)?,
                delay_ms: delay_ms.map(delay_of).transpose()?,
                idempotency_key,
                ordering_key,
                transaction: transaction.map(TransactionId),
            })
        }
        Op::FunctionCall { name } => HostCall::FunctionCall { name, input: value_of(&body)? },
        Op::FlowStart { name, wait, idempotency_key } => HostCall::FlowStart {
            name,
            input: value_of(&body)?,
            wait: if wait { FlowWait::Finished } else { FlowWait::Accepted },
            idempotency_key,
        },
        Op::SecretGet { name } => HostCall::SecretGet { name },
        Op::SpanStart { opened, name } => HostCall::SpanStart { span: opened, parent: span, name },
        Op::SpanEnd { opened, error } => HostCall::SpanEnd { span: opened, error },
    })
}

fn value_of(body: &[u8]) -> Result<Value, HostError> {
    Value::from_json(body)
        .map_err(|error| HostError::new("input_invalid", format!("the value is not usable: {error}")))
}

fn delay_of(delay_ms: f64) -> Result<u64, HostError> {
    let most = flux_model::limits::DURATION_MS_MAX;
    if delay_ms >= 0.0 && delay_ms <= most as f64 {
        return Ok(delay_ms as u64);
    }
    let message = format!("delayMs is {delay_ms}, from 0 to {most} is allowed (DURATION_MS_MAX)");
    Err(HostError::new("input_invalid", message))
}

fn too_large(bytes: usize) -> HostError {
    let most = FRAME_BYTES_MAX - HEAD_BYTES_MAX;
    HostError::new(
        "body_too_large",
        format!("the answer has {bytes} bytes, at most {most} (FRAME_BYTES_MAX)"),
    )
}

/// Begins calls whose order matters and whose answer does not.
fn begin_in_order(mut call: BoxFuture<'static, Answered>) {
    let first = pin!(&mut call).poll(&mut Context::from_waker(Waker::noop()));
    if matches!(first, Poll::Pending) {
        tokio::spawn(call);
    }
}

/// How long a host call lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lifetime {
    /// Until it is done, even if its function has ended: a message that was sent is sent.
    ItsOwn,
    /// At most as long as the call of its function.
    OfItsCall,
    /// It is begun in order and not answered.
    Untold,
}

impl Lifetime {
    fn of(op: &Op) -> Self {
        match op {
            Op::Fetch { .. } => Self::OfItsCall,
            Op::SpanStart { .. } | Op::SpanEnd { .. } => Self::Untold,
            Op::DbQuery { .. }
            | Op::DbBegin { .. }
            | Op::DbCommit { .. }
            | Op::DbRollback { .. }
            | Op::QueueSend { .. }
            | Op::FunctionCall { .. }
            | Op::FlowStart { .. }
            | Op::SecretGet { .. } => Self::ItsOwn,
        }
    }
}

/// What is over once a host call is answered.
#[derive(Debug, Clone, Copy)]
enum Settled {
    Call,
    Transaction(TransactionId),
}

impl Settled {
    fn of(op: &Op) -> Self {
        match op {
            Op::DbCommit { transaction } | Op::DbRollback { transaction } => {
                Self::Transaction(TransactionId(*transaction))
            }
            Op::Fetch { .. }
            | Op::DbQuery { .. }
            | Op::DbBegin { .. }
            | Op::QueueSend { .. }
            | Op::FunctionCall { .. }
            | Op::FlowStart { .. }
            | Op::SecretGet { .. }
            | Op::SpanStart { .. }
            | Op::SpanEnd { .. } => Self::Call,
        }
    }
}
