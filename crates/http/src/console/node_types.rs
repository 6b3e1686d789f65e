//! `GET /node-types`: every node type with schema, ports and purity.

use axum::extract::State;
use flux_model::NodeType;
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::caller::Caller;
use crate::app::Shared;
use crate::body::Json;
use crate::console::listing::Listing;

/// A node type: its name as `type`, `version`, `summary`, `kind`, `purity`, `ports`,
/// `config_schema` (JSON Schema), the shape of its `output`, `secret_fields` and
/// `per_element_fields`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NodeType, value_type = Object)]
#[serde(transparent)]
pub(crate) struct NodeTypeView(NodeType);

/// Lists every node type, by name.
#[utoipa::path(get, path = "/node-types", tag = "node types",
    responses((status = 200, body = Listing<NodeTypeView>)))]
pub(crate) async fn list_node_types(
    _caller: Caller,
    State(app): State<Shared>,
) -> Json<Listing<NodeTypeView>> {
    Json(Listing::whole(app.registry.catalog_types().into_iter().map(NodeTypeView).collect()))
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
}
