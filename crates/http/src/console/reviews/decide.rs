//! `POST /reviews/{id}/decision`: a person decides, on the version they looked at.

use axum::extract::State;
use flux_engine::DecideError;
use flux_model::review::{Decision, ReviewAction, ReviewStatus};
use flux_model::{ErrorCode, ReviewId, Value};
use flux_store::reviews::ReviewRow;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use super::get::{GetReviewError, find};
use super::view::Review;
use crate::access::caller::Caller;
use crate::access::scope::Scope;
use crate::app::Shared;
use crate::body::Json;
use crate::problem::{Problem, answered_by_problem};
use crate::query::Named;
use crate::schema;
use crate::text_limit::TextLimit;

/// A decision.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DecisionRequest {
    /// What is decided.
    #[schema(value_type = schema::ReviewAction)]
    action: ReviewAction,
    /// The edited content; absent leaves it as it is, `null` is a content.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<serde_json::Value>)]
    content: Option<Value>,
    /// A remark, at most 10000 characters.
    #[serde(default, deserialize_with = "read_comment")]
    comment: Option<String>,
    /// The version that was looked at.
    expected_version: u32,
}

/// Characters of a remark.
const COMMENT_CHARS_MAX: usize = 10_000;
const COMMENT: TextLimit = TextLimit::new(0, COMMENT_CHARS_MAX, "COMMENT_CHARS_MAX");

fn read_comment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    COMMENT.read_optional(deserializer)
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum DecisionError {
    #[error(transparent)]
    Get(#[from] GetReviewError),
    #[error("the review is assigned to {0}")]
    NotAssigned(String),
    #[error("{}", told(.0))]
    Conflict(Box<ReviewRow>),
    #[error(transparent)]
    Engine(DecideError),
}

/// What became of a review in the meantime, and by whom.
fn told(row: &ReviewRow) -> String {
    let at = row.closed_at.map_or_else(String::new, |at| format!(" at {at}"));
    let by = row.decision.as_ref().map_or("nobody", |decision| decision.decided_by.as_str());
    match row.status {
        ReviewStatus::Pending => {
            format!("the review is at version {}; look at it again", row.request.version)
        }
        ReviewStatus::Approved => format!("{by} approved it{at}"),
        ReviewStatus::Rejected => format!("{by} rejected it{at}"),
        ReviewStatus::Revised => format!("{by} asked for a revision{at}"),
        ReviewStatus::Expired => format!("nobody decided in time: it expired{at}"),
        ReviewStatus::Withdrawn => format!("its execution ended{at}"),
    }
}

impl From<DecisionError> for Problem {
    fn from(error: DecisionError) -> Self {
        match error {
            DecisionError::Get(error) => error.into(),
            DecisionError::NotAssigned(_) => Self::new(ErrorCode::Forbidden, error.to_string()),
            DecisionError::Conflict(_) => Self::new(ErrorCode::Conflict, error.to_string()),
            DecisionError::Engine(error) => error.into(),
        }
    }
}

answered_by_problem!(DecisionError);

/// Decides a review. If somebody was faster, the answer says who.
#[utoipa::path(post, path = "/reviews/{id}/decision", tag = "reviews",
    params(("id" = schema::ReviewId, Path, description = "The review")),
    request_body = DecisionRequest,
    responses((status = 200, body = Review)))]
pub(crate) async fn decide_review(
    caller: Caller,
    State(app): State<Shared>,
    Named(id): Named<ReviewId>,
    Json(request): Json<DecisionRequest>,
) -> Result<Json<Review>, DecisionError> {
    let row = find(&app, caller.tenant, id).await?;
    check_assigned(&row, &caller)?;
    let decision = Decision {
        action: request.action,
        content: request.content,
        comment: request.comment,
        decided_by: caller.name.to_string(),
        expected_version: request.expected_version,
    };
    let decided = app.engine.decide(caller.tenant, id, decision).await;
    let row = find(&app, caller.tenant, id).await?;
    match decided {
        Ok(_) => Ok(Json(row.into())),
        Err(DecideError::Conflict { .. }) => Err(DecisionError::Conflict(Box::new(row))),
        Err(error @ (DecideError::NotFound | DecideError::Engine(_))) => Err(DecisionError::Engine(error)),
    }
}

fn check_assigned(row: &ReviewRow, caller: &Caller) -> Result<(), DecisionError> {
    let assignees = &row.request.assignees;
    let may = assignees.is_empty()
        || assignees.iter().any(|name| **name == *caller.name)
        || caller.scopes.allow(Scope::Admin);
    if may { Ok(()) } else { Err(DecisionError::NotAssigned(assignees.join(", "))) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::access::scope::Scope;
    use crate::testing::{World, review_flow};

    #[tokio::test]
    async fn the_first_decision_counts_and_the_second_learns_who() {
        let world = World::start().await;
        world.publish(review_flow("a")).await;
        let execution = world.run("a").await;
        let path = format!("POST /reviews/{}/decision", world.review_of(&execution).await);
        let approve =
            json!({"action": "approve", "content": {"n": 2}, "comment": "fine", "expected_version": 1});
        let decided = world.console(&path).json(approve.clone()).send().await.is(200);
        assert_eq!(
            (decided.at("/status"), decided.at("/decision/decided_by")),
            ("approved".into(), "test".into())
        );
        world.console(&path).json(approve).send().await.is(409).says("test approved it at");
        assert_eq!(world.settled(&execution).await.at("/output/content/n"), 2);
    }

    #[tokio::test]
    async fn another_version_is_a_conflict_and_changes_nothing() {
        let world = World::start().await;
        world.publish(review_flow("a")).await;
        let execution = world.run("a").await;
        let path = format!("POST /reviews/{}/decision", world.review_of(&execution).await);
        let stale = json!({"action": "approve", "expected_version": 2});
        world.console(&path).json(stale).send().await.is(409).says("at version 1; look at it again");
        let unknown = json!({"action": "aprove", "expected_version": 1});
        world.console(&path).json(unknown).send().await.is(400).says("unknown variant `aprove`");
        let long = json!({"action": "approve", "expected_version": 1, "comment": "x".repeat(10_001)});
        world.console(&path).json(long).send().await.is(400).says("COMMENT_CHARS_MAX");
        world.console(&path).json(json!({"action": "approve"})).send().await.is(400).says("expected_version");
        world.console(&path).json(json!({"action": "reject", "expected_version": 1})).send().await.is(200);
        let none = "POST /reviews/rev_00000000000000000000000000/decision";
        let reject = json!({"action": "reject", "expected_version": 1});
        world.console(none).json(reject).send().await.is(404);
    }

    #[tokio::test]
    async fn only_the_assigned_decide() {
        let world = World::start().await;
        let mut flow = review_flow("a");
        flow["nodes"][1]["config"]["assignees"] = json!(["ada"]);
        world.publish(flow).await;
        let execution = world.run("a").await;
        let path = format!("POST /reviews/{}/decision", world.review_of(&execution).await);
        let approve = json!({"action": "approve", "expected_version": 1});
        let bob = world.key("bob", &[Scope::ReviewsDecide]).await;
        let refused = world.console(&path).key(&bob).json(approve.clone()).send().await;
        refused.is(403).says("assigned to ada");
        let ada = world.key("ada", &[Scope::ReviewsDecide]).await;
        world.console(&path).key(&ada).json(approve).send().await.is(200);
    }
}
