//! `GET /reviews`: reviews, newest first.

use axum::extract::State;
use flux_model::ExecutionId;
use flux_model::review::ReviewStatus;
use flux_store::reviews::ReviewFilter;
use serde::Deserialize;
use utoipa::IntoParams;

use super::view::Review;
use crate::access::caller::Caller;
use crate::app::Shared;
use crate::body::Json;
use crate::console::listing::Listing;
use crate::query::{Limit, PageCursor, Query, page};
use crate::refusal::ReadError;

/// Which reviews.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReviewsQuery {
    /// Only with this status: `pending`, `approved`, `rejected`, `revised`, `expired`,
    /// `withdrawn`.
    #[param(value_type = Option<String>)]
    status: Option<ReviewStatus>,
    /// Only of this execution.
    #[param(value_type = Option<String>)]
    execution: Option<ExecutionId>,
    /// Where the page begins: `next_cursor` of the one before.
    #[param(value_type = Option<String>)]
    cursor: Option<PageCursor>,
    /// How many, 1 to 200; 50 where absent.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Limit,
}

/// Lists reviews, newest first.
#[utoipa::path(get, path = "/reviews", tag = "reviews", params(ReviewsQuery),
    responses((status = 200, body = Listing<Review>)))]
pub(crate) async fn list_reviews(
    caller: Caller,
    State(app): State<Shared>,
    Query(query): Query<ReviewsQuery>,
) -> Result<Json<Listing<Review>>, ReadError> {
    let page = page(query.cursor, query.limit);
    let filter = ReviewFilter { status: query.status, execution: query.execution };
    let found = app.reader().query(move |store| store.reviews(caller.tenant, &filter, page)).await?;
    Ok(Json(Listing::of(found, Review::from)))
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, review_flow};

    #[tokio::test]
    async fn filters_narrow_the_list() {
        let world = World::start().await;
        world.publish(review_flow("a")).await;
        let (first, second) = (world.run("a").await, world.run("a").await);
        let pending = world.console("GET /reviews?status=pending&limit=1").send().await.is(200);
        assert_eq!(pending.at("/items").as_array().unwrap().len(), 1);
        assert!(pending.at("/next_cursor").is_string());
        for id in [first, second] {
            let one = world.console(&format!("GET /reviews?execution={id}")).send().await.is(200);
            assert_eq!((one.at("/items/0/execution"), one.at("/items/1")), (id.into(), ().into()));
            assert_eq!((one.at("/items/0/title"), one.at("/items/0/version")), ("Good?".into(), 1.into()));
        }
        let none = world.console("GET /reviews?status=approved").send().await.is(200);
        assert!(none.at("/items/0").is_null());
        world.console("GET /reviews?status=open").send().await.is(400);
    }
}
