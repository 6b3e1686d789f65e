//! `GET /node-types`: every node type with schema, ports and purity.

use axum::extract::State;
use flux_model::NodeType;
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::caller::Caller;
use crate::app::Shared;
use crate::body::Json;
use crate::console::listing::Listing;
use crate::query::{PageQuery, Query};

/// A node type: its name as `type`, `version`, `summary`, `kind`, `purity`, `ports`,
/// `config_schema` (JSON Schema), the shape of its `output`, `secret_fields` and
/// `per_element_fields`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NodeType, value_type = Object)]
#[serde(transparent)]
pub(crate) struct NodeTypeView(NodeType);

/// Lists every node type, by name.
#[utoipa::path(get, path = "/node-types", tag = "node types", params(PageQuery),
    responses((status = 200, body = Listing<NodeTypeView>)))]
pub(crate) async fn list_node_types(
    _caller: Caller,
    State(app): State<Shared>,
    Query(query): Query<PageQuery>,
) -> Json<Listing<NodeTypeView>> {
    Json(Listing::cut(app.registry.catalog_types(), query.page(), NodeTypeView))
}

#[cfg(test)]
mod tests {
    use crate::testing::World;

    #[tokio::test]
    async fn every_type_says_what_it_is() {
        let world = World::start().await;
        let list = world.console("GET /node-types").send().await.is(200);
        let types = list.at("/items").as_array().unwrap().clone();
        assert!(types.iter().any(|one| one["type"] == "human.review"));
        for one in &types {
            for field in ["type", "summary", "purity", "ports", "config_schema", "output"] {
                assert!(!one[field].is_null(), "{field} of {}", one["type"]);
            }
        }
    }

    #[tokio::test]
    async fn the_list_has_pages_as_every_list() {
        let world = World::start().await;
        let all = world.console("GET /node-types?limit=200").send().await.is(200);
        let first = world.console("GET /node-types?limit=1").send().await.is(200);
        let cursor = first.at("/next_cursor").as_str().unwrap().to_owned();
        let second = world.console(&format!("GET /node-types?limit=1&cursor={cursor}")).send().await.is(200);
        assert_eq!((first.at("/items/0"), first.at("/items/1")), (all.at("/items/0"), ().into()));
        assert_eq!(second.at("/items/0"), all.at("/items/1"));
        world.console("GET /node-types?limit=201").send().await.is(400).says("PAGE_ROWS_MAX");
    }
}
