//! `GET /flows/{name}/versions`: the published versions, and how the other endpoints find one.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use axum::extract::State;
use flux_model::{Flow, Tenant};
use flux_store::flows::{FlowRow, FlowVersionRow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::FlowError;
use super::summary::{is_function, stored};
use crate::access::caller::Caller;
use crate::app::Shared;
use crate::body::Json;
use crate::console::listing::Listing;
use crate::moment::Moment;
use crate::query::{Named, PageQuery, Query};

/// A published version.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FlowVersion {
    /// Its number within the flow, from 1.
    number: u64,
    /// The hash of its content.
    hash: String,
    /// Whether it is the active one.
    active: bool,
    /// Who published it first.
    author: String,
    /// When it was first published.
    published_at: Moment,
}

/// A version as callers name it: by its number, its hash, or `draft` or `active`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "expected the number of a version, its hash, `draft` or `active`")]
pub(crate) enum VersionName {
    /// Its number within the flow.
    Number(u64),
    /// Its number as a text, its hash, `draft` or `active`.
    Text(String),
}

/// Which version is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "VersionName")]
pub(crate) enum Wanted {
    /// The draft.
    Draft,
    /// The active version.
    Active,
    /// The version of this number.
    Number(u64),
    /// The version with this hash.
    Hash(String),
}

impl From<VersionName> for Wanted {
    fn from(name: VersionName) -> Self {
        match name {
            VersionName::Number(number) => Self::Number(number),
            VersionName::Text(text) => text.into(),
        }
    }
}

impl From<String> for Wanted {
    fn from(text: String) -> Self {
        match (text.as_str(), text.parse()) {
            ("draft", _) => Self::Draft,
            ("active", _) => Self::Active,
            (short, Ok(number)) if short.len() < 20 => Self::Number(number),
            (_, _) => Self::Hash(text),
        }
    }
}

impl FromStr for Wanted {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.to_owned().into())
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Draft => out.write_str("draft"),
            Self::Active => out.write_str("active"),
            Self::Number(number) => write!(out, "{number}"),
            Self::Hash(hash) => write!(out, "{}", hash.chars().take(64).collect::<String>()),
        }
    }
}

/// Lists the published versions of a flow, newest first.
#[utoipa::path(get, path = "/flows/{name}/versions", tag = "flows",
    params(("name" = String, Path, description = "The flow's name"), PageQuery),
    responses((status = 200, body = Listing<FlowVersion>)))]
pub(crate) async fn list_flow_versions(
    caller: Caller,
    State(app): State<Shared>,
    Named(name): Named<String>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listing<FlowVersion>>, FlowError> {
    let row = find_drawn(&app, caller.tenant, &name).await?;
    let versions = app.reader().query(move |store| store.flow_versions(caller.tenant, &name)).await?;
    Ok(Json(Listing::cut(versions, query.page(), |version| FlowVersion {
        active: row.active_hash.as_deref() == Some(&version.hash),
        number: version.number,
        hash: version.hash,
        author: version.author,
        published_at: version.published_at.into(),
    })))
}

/// The flow of that name.
pub(crate) async fn find(app: &Shared, tenant: Tenant, name: &str) -> Result<FlowRow, FlowError> {
    let wanted = name.to_owned();
    let row = app.reader().query(move |store| store.flow(tenant, &wanted)).await?;
    row.ok_or_else(|| FlowError::NotFound(name.to_owned()))
}

/// The flow of that name, unless it is a function.
pub(crate) async fn find_drawn(app: &Shared, tenant: Tenant, name: &str) -> Result<FlowRow, FlowError> {
    let row = find(app, tenant, name).await?;
    if is_function(&row) { Err(FlowError::IsFunction(row.name)) } else { Ok(row) }
}

/// The flow file of a version.
pub(crate) async fn definition_of(app: &Shared, row: &FlowRow, wanted: &Wanted) -> Result<Flow, FlowError> {
    if *wanted == Wanted::Draft {
        return Ok(stored(&row.name, &row.draft)?);
    }
    let version = find_version(app, row, wanted).await?;
    Ok(stored(&row.name, &version.definition)?)
}

/// A published version. The draft is none.
pub(crate) async fn find_version(
    app: &Shared,
    row: &FlowRow,
    wanted: &Wanted,
) -> Result<FlowVersionRow, FlowError> {
    let (tenant, name) = (row.tenant, row.name.clone());
    let missing = || FlowError::NoVersion { flow: row.name.clone(), version: wanted.to_string() };
    let hash = match wanted {
        Wanted::Draft => return Err(missing()),
        Wanted::Active => row.active_hash.clone().ok_or_else(missing)?,
        Wanted::Hash(hash) => hash.clone(),
        Wanted::Number(number) => {
            let versions = app.reader().query(move |store| store.flow_versions(tenant, &name)).await?;
            return versions.into_iter().find(|version| version.number == *number).ok_or_else(missing);
        }
    };
    let found = app.reader().query(move |store| store.flow_version(tenant, &name, &hash)).await?;
    found.ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, flow};

    #[test]
    fn versions_are_told_apart_by_their_form() {
        let hash = "1".repeat(64);
        for (text, wanted) in [
            ("draft", Wanted::Draft),
            ("active", Wanted::Active),
            ("12", Wanted::Number(12)),
            (hash.as_str(), Wanted::Hash(hash.clone())),
        ] {
            assert_eq!(Wanted::from(text.to_owned()), wanted);
            assert_eq!(wanted.to_string(), text);
        }
    }

    #[tokio::test]
    async fn the_newest_is_first_and_the_active_one_is_marked() {
        let world = World::start().await;
        world.publish(flow("a")).await;
        let mut changed = flow("a");
        changed["description"] = "new".into();
        world.publish(changed).await;
        let list = world.console("GET /flows/a/versions").send().await.is(200);
        assert_eq!((list.at("/items/0/number"), list.at("/items/0/active")), (2.into(), true.into()));
        assert_eq!((list.at("/items/1/number"), list.at("/items/1/active")), (1.into(), false.into()));
        assert_eq!(list.at("/items/0/author"), "test");
        world.console("GET /flows/b/versions").send().await.is(404);
    }
}
