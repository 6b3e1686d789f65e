//! Which webhook or function a request is for.
//!
//! A literal part of a path wins over a parameter, from left to right. Two targets of a project
//! that no request could tell apart clash; the second is refused and both are named.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use flux_model::{ProjectId, Tenant};
use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Parts of one path.
pub const PATH_SEGMENTS_MAX: usize = 16;
/// Bytes of one path.
pub const PATH_BYTES_MAX: usize = 1_024;

/// One method or several.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Methods {
    /// One.
    One(Method),
    /// Several.
    Several(Vec<Method>),
}

impl Methods {
    pub(crate) fn list(self) -> Vec<Method> {
        match self {
            Self::One(method) => vec![method],
            Self::Several(methods) => methods,
        }
    }
}

impl Default for Methods {
    fn default() -> Self {
        Self::One(Method::Post)
    }
}

/// A method that a target can answer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
}

impl Method {
    /// The method as it is written in a request.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// What a request can be for: something with a path and methods.
pub trait Target {
    /// What stands before its path in a request.
    const PREFIX: &'static str;

    /// Its path, below the prefix.
    fn path(&self) -> &PathPattern;

    /// The methods it answers to.
    fn methods(&self) -> &[Method];
}

/// A path with parameters, such as `shops/{shop}/orders`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Parameter(String),
}

/// A target of a flow.
#[derive(Debug, Clone)]
pub struct Route<T> {
    /// Whose flow.
    pub tenant: Tenant,
    /// The flow.
    pub flow: String,
    /// The key of the trigger node.
    pub node: String,
    /// What a request starts.
    pub target: T,
}

/// Two targets that answer to the same requests.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the flows `{flow}` and `{other}` both answer to {method} {path}; change the path of one of them", method = method.as_str())]
pub struct Clash {
    /// The flow that was there first.
    pub other: String,
    /// The flow that is refused.
    pub flow: String,
    /// The path.
    pub path: String,
    /// A method that both have.
    pub method: Method,
}

/// What a router finds.
#[derive(Debug, Clone)]
pub enum Found<T> {
    /// This one.
    Route {
        /// Which.
        route: Arc<Route<T>>,
        /// The values of the path's parameters.
        params: Vec<(String, String)>,
    },
    /// There is something at this path, but for other methods.
    MethodNotAllowed {
        /// Those methods.
        allowed: Vec<Method>,
    },
    /// Nothing.
    Nothing,
}

/// The targets of all projects, by path.
#[derive(Debug, Clone)]
pub struct Router<T> {
    projects: BTreeMap<ProjectId, Branch<T>>,
}

#[derive(Debug, Clone)]
struct Branch<T> {
    literals: BTreeMap<String, Branch<T>>,
    parameter: Option<Box<Branch<T>>>,
    routes: Vec<Arc<Route<T>>>,
}

// By hand, because a target need not have a default.
impl<T> Default for Router<T> {
    fn default() -> Self {
        Self { projects: BTreeMap::new() }
    }
}

impl<T> Default for Branch<T> {
    fn default() -> Self {
        Self { literals: BTreeMap::new(), parameter: None, routes: Vec::new() }
    }
}

impl PathPattern {
    /// Reads a path. A leading and a trailing slash are ignored.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > PATH_BYTES_MAX {
            return Err(format!(
                "a path of {} bytes is longer than {PATH_BYTES_MAX} (PATH_BYTES_MAX)",
                text.len()
            ));
        }
        let parts = split(text).map(Part::parse).collect::<Result<Vec<_>, _>>()?;
        if parts.len() > PATH_SEGMENTS_MAX {
            return Err(format!(
                "{} parts are more than {PATH_SEGMENTS_MAX} (PATH_SEGMENTS_MAX)",
                parts.len()
            ));
        }
        let mut names: Vec<&str> = parts.iter().filter_map(Part::parameter).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(format!("the parameter `{{{}}}` is there twice", pair[0])),
            None => Ok(Self { parts }),
        }
    }

    /// Whether it has no parameters.
    pub(crate) fn is_literal(&self) -> bool {
        self.parts.iter().all(|part| part.parameter().is_none())
    }

    fn params(&self, values: &[String]) -> Vec<(String, String)> {
        let pairs = self.parts.iter().zip(values);
        pairs.filter_map(|(part, value)| Some((part.parameter()?.to_owned(), value.clone()))).collect()
    }
}

impl Part {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            let mut letters = name.chars();
            let starts = letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
            if starts && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
                return Ok(Self::Parameter(name.to_owned()));
            }
        }
        let plain = |letter: char| letter.is_alphanumeric() || "-._~@:+,=!$".contains(letter);
        if text.is_empty() || text == "." || text == ".." || !text.chars().all(plain) {
            return Err(format!("`{text}` is neither plain text nor one parameter such as {{id}}"));
        }
        Ok(Self::Literal(text.to_owned()))
    }

    fn parameter(&self) -> Option<&str> {
        match self {
            Self::Parameter(name) => Some(name),
            Self::Literal(_) => None,
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.parts.iter().enumerate() {
            if index > 0 {
                out.write_str("/")?;
            }
            match part {
                Part::Literal(text) => out.write_str(text)?,
                Part::Parameter(name) => write!(out, "{{{name}}}")?,
            }
        }
        Ok(())
    }
}

impl<T: Target> Router<T> {
    /// Adds a target. A flow's target replaces the one it had.
    ///
    /// # Errors
    /// [`Clash`] if another flow of the project answers to the same requests; nothing changes.
    pub fn insert(&mut self, route: Route<T>) -> Result<(), Clash> {
        if let Some(clash) = self.clash(&route) {
            return Err(clash);
        }
        self.remove(route.tenant.project, &route.flow);
        let mut branch = self.projects.entry(route.tenant.project).or_default();
        for part in &route.target.path().parts {
            branch = match part {
                Part::Literal(text) => branch.literals.entry(text.clone()).or_default(),
                Part::Parameter(_) => branch.parameter.get_or_insert_default(),
            };
        }
        branch.routes.push(Arc::new(route));
        Ok(())
    }

    /// The clash that inserting `route` would meet.
    pub fn clash(&self, route: &Route<T>) -> Option<Clash> {
        let mut branch = self.projects.get(&route.tenant.project)?;
        for part in &route.target.path().parts {
            branch = match part {
                Part::Literal(text) => branch.literals.get(text)?,
                Part::Parameter(_) => branch.parameter.as_deref()?,
            };
        }
        let others = branch.routes.iter().filter(|other| other.flow != route.flow);
        others
            .flat_map(|other| other.target.methods().iter().map(move |method| (other, *method)))
            .find(|(_, method)| route.target.methods().contains(method))
            .map(|(other, method)| Clash {
                other: other.flow.clone(),
                flow: route.flow.clone(),
                path: format!("{}{}", T::PREFIX, route.target.path()),
                method,
            })
    }

    /// Takes a flow's target away.
    pub fn remove(&mut self, project: ProjectId, flow: &str) {
        if let Some(root) = self.projects.get_mut(&project) {
            root.remove(flow);
            if root.is_empty() {
                self.projects.remove(&project);
            }
        }
    }

    /// What a request is for. `path` is what follows the prefix, as received, without query.
    pub fn find(&self, project: ProjectId, method: &str, path: &str) -> Found<T> {
        let Some((root, parts)) = self.projects.get(&project).zip(decode(path)) else {
            return Found::Nothing;
        };
        let mut allowed = Vec::new();
        match root.find(method, &parts, &mut allowed) {
            Some(route) => {
                let params = route.target.path().params(&parts);
                Found::Route { route, params }
            }
            None if allowed.is_empty() => Found::Nothing,
            None => {
                allowed.sort_unstable();
                allowed.dedup();
                Found::MethodNotAllowed { allowed }
            }
        }
    }
}

impl<T: Target> Branch<T> {
    /// Depth-first, literals before parameters. A path that fits only another method is remembered
    /// and the search goes on. The depth is bounded by [`PATH_SEGMENTS_MAX`], the width by the
    /// routes that exist.
    fn find(&self, method: &str, parts: &[String], allowed: &mut Vec<Method>) -> Option<Arc<Route<T>>> {
        let Some((first, rest)) = parts.split_first() else {
            let fits =
                |route: &&Arc<Route<T>>| route.target.methods().iter().any(|one| one.as_str() == method);
            let found = self.routes.iter().find(fits).cloned();
            allowed.extend(self.routes.iter().flat_map(|route| route.target.methods()));
            return found;
        };
        let literal = self.literals.get(first).and_then(|branch| branch.find(method, rest, allowed));
        literal.or_else(|| self.parameter.as_ref()?.find(method, rest, allowed))
    }

    fn remove(&mut self, flow: &str) {
        self.routes.retain(|route| route.flow != flow);
        self.literals.retain(|_, branch| {
            branch.remove(flow);
            !branch.is_empty()
        });
        if let Some(branch) = &mut self.parameter {
            branch.remove(flow);
            if branch.is_empty() {
                self.parameter = None;
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.routes.is_empty() && self.literals.is_empty() && self.parameter.is_none()
    }
}

fn split(path: &str) -> std::str::Split<'_, char> {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.strip_suffix('/').unwrap_or(path).split('/')
}

/// The parts of a request's path, decoded each by itself so that an encoded slash is a letter and
/// no separator. Anything that is not UTF-8, empty or too deep matches nothing.
fn decode(path: &str) -> Option<Vec<String>> {
    if path.len() > 4 * PATH_BYTES_MAX {
        return None;
    }
    let parts = split(path).take(PATH_SEGMENTS_MAX + 1).map(|part| {
        let text = percent_decode_str(part).decode_utf8().ok()?;
        (!text.is_empty()).then(|| text.into_owned())
    });
    let parts: Vec<String> = parts.collect::<Option<_>>()?;
    (parts.len() <= PATH_SEGMENTS_MAX).then_some(parts)
}

#[cfg(test)]
mod tests {
    use flux_model::{OrganizationId, Value};

    use super::*;
    use crate::webhook::Webhook;

    fn tenant(project: u128) -> Tenant {
        Tenant { organization: OrganizationId::from_bits(1), project: ProjectId::from_bits(project) }
    }

    fn route(project: u128, flow: &str, methods: &[&str], path: &str) -> Route<Webhook> {
        let methods = methods.iter().map(|method| Value::from(*method)).collect();
        let config = Value::object([("path", Value::from(path)), ("method", Value::array(methods))]);
        let webhook = Webhook::parse(&config).unwrap();
        Route { tenant: tenant(project), flow: flow.to_owned(), node: "hook".to_owned(), target: webhook }
    }

    fn router() -> Router<Webhook> {
        let mut router = Router::default();
        for (project, flow, methods, path) in [
            (1, "orders", &["POST"][..], "orders"),
            (1, "order", &["GET", "PUT"], "orders/{id}"),
            (1, "latest", &["GET"], "/orders/latest/"),
            (1, "lines", &["POST"], "orders/{id}/lines/{line}"),
            (1, "report", &["POST"], "orders/latest/report"),
            (2, "elsewhere", &["POST"], "orders"),
        ] {
            router.insert(route(project, flow, methods, path)).unwrap();
        }
        router
    }

    fn check(router: &Router<Webhook>, request: &str, expected: &str) {
        let (method, path) = request.split_once(' ').unwrap();
        let said = match router.find(tenant(1).project, method, path) {
            Found::Route { route, params } => {
                let params: Vec<String> =
                    params.iter().map(|(name, value)| format!(" {name}={value}")).collect();
                format!("{}{}", route.flow, params.concat())
            }
            Found::MethodNotAllowed { allowed } => format!("405 {allowed:?}"),
            Found::Nothing => "404".to_owned(),
        };
        assert_eq!(said, expected, "{request}");
    }

    #[test]
    fn literals_win_and_parameters_are_decoded() {
        let router = router();
        check(&router, "POST orders", "orders");
        check(&router, "POST /orders/", "orders");
        check(&router, "GET orders/7", "order id=7");
        check(&router, "GET orders/latest", "latest");
        check(&router, "PUT orders/latest", "order id=latest");
        check(&router, "POST orders/latest/report", "report");
        check(&router, "POST orders/latest/lines/2", "lines id=latest line=2");
        check(&router, "GET orders/a%2Fb%20%C3%A4", "order id=a/b ä");
        check(&router, "DELETE orders/7", "405 [Get, Put]");
        check(&router, "DELETE orders/latest", "405 [Get, Put]");
        for nothing in ["POST order", "POST ", "POST orders/1/lines", "GET orders/%ff", "GET orders//1"] {
            check(&router, nothing, "404");
        }
        check(&router, &format!("GET {}", "a/".repeat(5000)), "404");
    }

    #[test]
    fn clashes_name_both_flows_and_change_nothing() {
        let mut router = router();
        let clash = router.insert(route(1, "second", &["PUT", "POST"], "orders/{number}")).unwrap_err();
        let said = clash.to_string();
        let parts = ["`second`", "`order`", "PUT /hooks/orders/{number}"];
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
        check(&router, "POST orders/7", "405 [Get, Put]");
        router.insert(route(1, "third", &["POST"], "orders/{number}")).unwrap();
        check(&router, "POST orders/7", "third number=7");
        check(&router, "GET orders/7", "order id=7");
    }

    #[test]
    fn a_republished_flow_moves_and_a_removed_one_is_gone() {
        let mut router = router();
        router.insert(route(1, "order", &["GET"], "purchases/{id}")).unwrap();
        check(&router, "GET orders/7", "404");
        check(&router, "GET purchases/7", "order id=7");
        router.remove(tenant(1).project, "order");
        check(&router, "GET purchases/7", "404");
        check(&router, "GET orders/latest", "latest");
    }

    #[test]
    fn malformed_paths_are_refused() {
        let deep = "a/".repeat(17);
        for text in [
            "", "/", "a//b", "a/{b", "a/x{b}", "{1}", "{}", "a b", "a?b", "{x}/{x}", "a/../b", "a%20b", &deep,
        ] {
            assert!(PathPattern::parse(text).is_err(), "{text}");
        }
    }
}
