//! Which project a request to the gateway is for: that of the key it carries, else of its host
//! name, else of a leading `/p/{project}`, else the default.

use std::collections::HashMap;

use flux_model::Tenant;
use http::{HeaderMap, header};
use percent_encoding::percent_decode_str;

use crate::access::caller::{Caller, Unauthenticated, authenticate, bearer};
use crate::access::key;
use crate::app::Shared;

/// The projects of a gateway.
#[derive(Debug, Clone)]
pub struct Projects {
    default: Tenant,
    by_name: HashMap<String, Tenant>,
    by_host: HashMap<String, Tenant>,
}

/// There is no project of that name.
#[derive(Debug)]
pub(crate) struct NoProject;

impl Projects {
    /// A gateway with one project.
    pub fn only(default: Tenant) -> Self {
        Self { default, by_name: HashMap::new(), by_host: HashMap::new() }
    }

    /// Serves another project below `/p/{name}`.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>, tenant: Tenant) -> Self {
        self.by_name.insert(name.into(), tenant);
        self
    }

    /// Serves a project under a host name, with any port.
    #[must_use]
    pub fn at_host(mut self, host: &str, tenant: Tenant) -> Self {
        self.by_host.insert(host.to_ascii_lowercase(), tenant);
        self
    }

    /// The project that answers where nothing names one.
    pub fn default_tenant(&self) -> Tenant {
        self.default
    }

    fn of_host(&self, headers: &HeaderMap) -> Option<Tenant> {
        if self.by_host.is_empty() {
            return None;
        }
        let host = headers.get(header::HOST)?.to_str().ok()?;
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        self.by_host.get(&name.to_ascii_lowercase()).copied()
    }

    /// The project of a path, and the path without its name.
    fn of_path<'p>(&self, path: &'p str) -> Result<(Option<Tenant>, &'p str), NoProject> {
        let Some((name, _)) = path.strip_prefix("/p/").and_then(|rest| rest.split_once('/')) else {
            return Ok((None, path));
        };
        let rest = &path["/p/".len() + name.len()..];
        let name = percent_decode_str(name).decode_utf8().map_err(|_| NoProject)?;
        self.by_name.get(&*name).map(|tenant| (Some(*tenant), rest)).ok_or(NoProject)
    }
}

/// Why no project was selected.
#[derive(Debug)]
pub(crate) enum SelectError {
    NoProject,
    Key(Unauthenticated),
}

/// Where a request leads.
#[derive(Debug)]
pub(crate) struct Selected<'p> {
    /// Its project.
    pub(crate) tenant: Tenant,
    /// Its path within that project.
    pub(crate) path: &'p str,
    /// Who sends it, if it carries a key of ours.
    pub(crate) caller: Option<Caller>,
}

/// The project of a request, and its path within that project.
///
/// A bearer token that does not have the form of a key of ours belongs to the flow or to another
/// issuer.
pub(crate) async fn select<'p>(
    app: &Shared,
    headers: &HeaderMap,
    path: &'p str,
) -> Result<Selected<'p>, SelectError> {
    let (of_path, path) = app.projects.of_path(path).map_err(|NoProject| SelectError::NoProject)?;
    if bearer(headers).is_some_and(key::is_well_formed) {
        let caller = authenticate(app, headers).await.map_err(SelectError::Key)?;
        return Ok(Selected { tenant: caller.tenant, path, caller: Some(caller) });
    }
    let tenant = app.projects.of_host(headers).or(of_path).unwrap_or(app.projects.default);
    Ok(Selected { tenant, path, caller: None })
}

#[cfg(test)]
mod tests {
    use flux_model::{OrganizationId, ProjectId, Timestamp};

    use super::*;

    fn tenant(number: u128) -> Tenant {
        let at = Timestamp::from_millis(1);
        Tenant { organization: OrganizationId::new(at, 1), project: ProjectId::new(at, number) }
    }

    fn check(host: &str, path: &str, expected: Option<(u128, &str)>) {
        let projects = Projects::only(tenant(0))
            .named("shop", tenant(1))
            .named("my shop", tenant(3))
            .at_host("Shop.example.com", tenant(2));
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        let found = projects.of_path(path).ok().map(|(of_path, rest)| {
            (projects.of_host(&headers).or(of_path).unwrap_or(projects.default), rest)
        });
        assert_eq!(found, expected.map(|(number, rest)| (tenant(number), rest)), "{host} {path}");
    }

    #[test]
    fn host_goes_before_path_before_default() {
        check("a.example.com", "/hooks/x", Some((0, "/hooks/x")));
        check("a.example.com", "/p/shop/hooks/x", Some((1, "/hooks/x")));
        check("a.example.com", "/p/my%20shop/hooks/%20", Some((3, "/hooks/%20")));
        check("a.example.com", "/p/%ff/hooks/x", None);
        check("shop.EXAMPLE.com:4000", "/hooks/x", Some((2, "/hooks/x")));
        check("shop.example.com", "/p/shop/hooks/x", Some((2, "/hooks/x")));
        check("a.example.com", "/p/other/hooks/x", None);
        check("a.example.com", "/p/shop", Some((0, "/p/shop")));
    }
}
