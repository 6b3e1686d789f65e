//! `GET /keys`: the API keys of the project. Never the keys themselves.

use axum::extract::State;
use flux_model::KeyId;
use flux_store::access::KeyRow;
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::caller::Caller;
use crate::app::Shared;
use crate::body::Json;
use crate::console::listing::Listing;
use crate::moment::Moment;
use crate::query::{PageQuery, Query};
use crate::refusal::ReadError;
use crate::schema;

/// An API key, without the key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ApiKey {
    /// Its id.
    #[schema(value_type = schema::KeyId)]
    id: KeyId,
    /// Its name, for people.
    name: String,
    /// What it allows.
    scopes: Vec<String>,
    /// When it was made.
    created_at: Moment,
    /// When it stops to work.
    expires_at: Option<Moment>,
    /// When it was revoked.
    revoked_at: Option<Moment>,
    /// When it was last used, to the minute.
    last_used_at: Option<Moment>,
}

impl From<KeyRow> for ApiKey {
    fn from(row: KeyRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            scopes: row.scopes,
            created_at: row.created_at.into(),
            expires_at: row.expires_at.map(Moment),
            revoked_at: row.revoked_at.map(Moment),
            last_used_at: row.last_used_at.map(Moment),
        }
    }
}

/// Lists the API keys of the project, newest first. The keys themselves are never shown.
#[utoipa::path(get, path = "/keys", tag = "keys", params(PageQuery),
    responses((status = 200, body = Listing<ApiKey>)))]
pub(crate) async fn list_keys(
    caller: Caller,
    State(app): State<Shared>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listing<ApiKey>>, ReadError> {
    let rows = app.reader().query(move |store| store.keys(caller.tenant)).await?;
    Ok(Json(Listing::cut(rows, query.page(), ApiKey::from)))
}
