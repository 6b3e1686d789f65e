//! `GET /events`: changes of executions, nodes and reviews as server-sent events.
//!
//! Every event has an id; a client that reconnects sends the last one as `Last-Event-ID` and gets
//! what it missed, or the event `reset` where that is no longer known: then it reads its lists
//! anew. A stream ends after a while so that a revoked key cannot listen for ever.

pub(crate) mod hub;
mod view;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use flux_engine::Change;
use flux_model::{ErrorCode, ExecutionId};
use futures::{Stream, StreamExt};
use http::{HeaderMap, HeaderName};
use serde::Deserialize;
use utoipa::IntoParams;

use self::hub::{EventId, Follower, Hub, Kept, Next, StreamsBusy};
use self::view::EventView;
use crate::access::caller::Caller;
use crate::access::scope::Scope;
use crate::app::Shared;
use crate::problem::{Problem, RETRY_AFTER_DEFAULT, answered_by_problem};
use crate::query::Query;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// A comment is sent when nothing else was for this long, so that proxies keep the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a client should wait before it reconnects.
const RECONNECT: Duration = Duration::from_secs(2);
/// How long one stream lasts.
const STREAM_TIME_MAX: Duration = Duration::from_secs(900);

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventsQuery {
    /// Only about this execution.
    #[param(value_type = Option<String>)]
    execution: Option<ExecutionId>,
    /// Only about executions of this flow.
    flow: Option<String>,
    /// The id of the last event that was seen, for clients that cannot send `Last-Event-ID`.
    after: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum EventsError {
    #[error(transparent)]
    Busy(#[from] StreamsBusy),
}

impl From<EventsError> for Problem {
    fn from(error: EventsError) -> Self {
        Self::new(ErrorCode::Overloaded, error.to_string()).retry_after(RETRY_AFTER_DEFAULT)
    }
}

answered_by_problem!(EventsError);

/// Follows changes of executions, nodes and reviews as server-sent events.
#[utoipa::path(get, path = "/events", tag = "events",
    params(EventsQuery, ("Last-Event-ID" = Option<String>, Header, description = "The last event that was seen")),
    responses((status = 200, body = EventView, content_type = "text/event-stream",
        description = "Events `execution`, `node`, `review`; `reset` says that some were missed")))]
pub(crate) async fn follow_events(
    caller: Caller,
    State(app): State<Shared>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, EventsError> {
    let header = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok());
    let last = header.or(query.after.as_deref()).map(EventId::parse);
    let follower = Hub::follow(&app.hub, last)?;
    let filter = Filter { caller, execution: query.execution, flow: query.flow };
    let hello = Event::default().retry(RECONNECT).comment("following");
    let hello = futures::stream::once(std::future::ready(Ok(hello)));
    let changes = futures::stream::unfold(Feed { follower, filter }, Feed::next);
    let stream = hello.chain(changes).take_until(tokio::time::sleep(STREAM_TIME_MAX));
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// What one client may see and wants to.
struct Filter {
    caller: Caller,
    execution: Option<ExecutionId>,
    flow: Option<String>,
}

impl Filter {
    fn passes(&self, kept: &Kept) -> bool {
        let event = &kept.event;
        let visible = match event.change {
            Change::Execution { .. } | Change::Node { .. } => true,
            Change::Review { .. } => self.caller.scopes.allow(Scope::ReviewsRead),
        };
        event.tenant == self.caller.tenant
            && visible
            && self.execution.is_none_or(|execution| execution == event.execution)
            && self.flow.as_deref().is_none_or(|flow| *flow == *event.flow)
    }
}

struct Feed {
    follower: Follower,
    filter: Filter,
}

impl Feed {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            let event = match self.follower.next().await? {
                Next::Reset(id) => Event::default().event("reset").id(id.to_string()).data("{}"),
                Next::Event(kept) if self.filter.passes(&kept) => written(&kept),
                Next::Event(_) => continue,
            };
            return Some((Ok(event), self));
        }
    }
}

fn written(kept: &Arc<Kept>) -> Event {
    let view = EventView::of(&kept.event);
    let data = serde_json::to_string(&view).expect("an event is texts and numbers");
    Event::default().event(view.name()).id(kept.id.to_string()).data(data)
}
