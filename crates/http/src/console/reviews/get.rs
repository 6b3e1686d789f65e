//! `GET /reviews/{id}`: one review. Looking at it decides nothing.

use axum::extract::State;
use flux_model::{ReviewId, Tenant};
use flux_store::StoreError;
use flux_store::reviews::ReviewRow;

use super::view::Review;
use crate::access::caller::Caller;
use crate::app::Shared;
use crate::body::Json;
use crate::problem::{Problem, answered_by_problem};
use crate::query::Named;
use crate::schema;

#[derive(Debug, thiserror::Error)]
pub(crate) enum GetReviewError {
    #[error("there is no review {0}")]
    NotFound(ReviewId),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<GetReviewError> for Problem {
    fn from(error: GetReviewError) -> Self {
        match error {
            GetReviewError::NotFound(_) => Self::not_found(error.to_string()),
            GetReviewError::Store(error) => error.into(),
        }
    }
}

answered_by_problem!(GetReviewError);

/// Shows a review.
#[utoipa::path(get, path = "/reviews/{id}", tag = "reviews",
    params(("id" = schema::ReviewId, Path, description = "The review")),
    responses((status = 200, body = Review)))]
pub(crate) async fn get_review(
    caller: Caller,
    State(app): State<Shared>,
    Named(id): Named<ReviewId>,
) -> Result<Json<Review>, GetReviewError> {
    Ok(Json(find(&app, caller.tenant, id).await?.into()))
}

/// The review of that id.
pub(super) async fn find(app: &Shared, tenant: Tenant, id: ReviewId) -> Result<ReviewRow, GetReviewError> {
    let row = app.reader().query(move |store| store.review(tenant, id)).await?;
    row.ok_or(GetReviewError::NotFound(id))
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, review_flow};

    #[tokio::test]
    async fn looking_decides_nothing() {
        let world = World::start().await;
        world.publish(review_flow("a")).await;
        let execution = world.run("a").await;
        let id = world.review_of(&execution).await;
        for _ in 0..3 {
            let review = world.console(&format!("GET /reviews/{id}")).send().await.is(200);
            assert_eq!((review.at("/status"), review.at("/content/n")), ("pending".into(), 1.into()));
        }
        world.console(&format!("GET /reviews/{id}/decision")).send().await.is(405);
        world.console("GET /reviews/rev_00000000000000000000000000").send().await.is(404);
        world.console("GET /reviews/exec_00000000000000000000000000").send().await.is(400);
    }
}
