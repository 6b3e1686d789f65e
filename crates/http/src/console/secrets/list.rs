//! `GET /secrets`: the names of the project's secrets. Never their values.

use axum::extract::State;
use flux_store::access::SecretName;
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::caller::Caller;
use crate::app::Shared;
use crate::body::Json;
use crate::console::listing::Listing;
use crate::moment::Moment;
use crate::query::{PageQuery, Query};
use crate::refusal::ReadError;

/// A secret, without its value.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Secret {
    /// Its name: `{{ secrets.name }}` refers to it.
    name: String,
    /// The hosts it may be sent to; empty means every host that may be reached.
    hosts: Vec<String>,
    /// When it was last put.
    updated_at: Moment,
}

impl From<SecretName> for Secret {
    fn from(row: SecretName) -> Self {
        Self { name: row.name, hosts: row.hosts, updated_at: row.updated_at.into() }
    }
}

/// Lists the names of the project's secrets, the last put first. Their values are never shown.
#[utoipa::path(get, path = "/secrets", tag = "secrets", params(PageQuery),
    responses((status = 200, body = Listing<Secret>)))]
pub(crate) async fn list_secrets(
    caller: Caller,
    State(app): State<Shared>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listing<Secret>>, ReadError> {
    let mut rows = app.reader().query(move |store| store.secret_names(caller.tenant)).await?;
    rows.sort_by(|left, right| right.updated_at.cmp(&left.updated_at).then(left.name.cmp(&right.name)));
    Ok(Json(Listing::cut(rows, query.page(), Secret::from)))
}
