//! Plaintext for one call: the secrets a request uses, and what their tokens become.
//!
//! Plaintext exists only between here and the wire; nothing here is recorded or printed.

use std::borrow::Cow;

use flux_model::error::Failure;
use flux_model::{ErrorCode, Tenant};

use crate::mask::Masker;
use crate::request::{Auth, Body, PartContent, Request};
use crate::scope::{Piece, SecretScope};
use crate::vault::{SecretPlain, SecretSource};

/// The secrets that one request uses, opened.
pub(crate) struct Revealed<'s> {
    scope: &'s SecretScope,
    /// By position in the scope; absent if the request does not use it.
    plains: Vec<Option<SecretPlain>>,
}

impl<'s> Revealed<'s> {
    /// Opens the secrets that `request` uses, and no others.
    pub(crate) async fn of(
        scope: &'s SecretScope,
        source: &dyn SecretSource,
        tenant: Tenant,
        request: &Request,
    ) -> Result<Self, Failure> {
        let mut plains = Vec::new();
        if !scope.is_empty() {
            let mut used = vec![false; scope.len()];
            visit_texts(request, scope, &mut |text| mark_used(scope, text, &mut used));
            for (index, used) in used.into_iter().enumerate() {
                let plain = if used { Some(source.resolve(tenant, scope.name(index)).await?) } else { None };
                plains.push(plain);
            }
        }
        Ok(Self { scope, plains })
    }

    /// The scope the tokens belong to.
    pub(crate) fn scope(&self) -> &'s SecretScope {
        self.scope
    }

    /// `text` in plain.
    pub(crate) fn text<'t>(&self, text: &'t str) -> Result<Cow<'t, str>, Failure> {
        if !self.scope.mentions(text) {
            return Ok(Cow::Borrowed(text));
        }
        let mut plain = String::with_capacity(text.len());
        for piece in self.scope.pieces(text) {
            match piece {
                Piece::Text(text) => plain.push_str(text),
                Piece::Secret(index) => plain.push_str(self.plain(index)?),
                Piece::Broken => return Err(broken()),
            }
        }
        Ok(Cow::Owned(plain))
    }

    /// The plaintext of the secret at `index`.
    pub(crate) fn plain(&self, index: usize) -> Result<&str, Failure> {
        let plain = self.plains.get(index).and_then(Option::as_ref);
        plain.map(|plain| plain.value.as_str()).ok_or_else(broken)
    }

    /// Masks everything that was revealed.
    pub(crate) fn masker(&self) -> Masker {
        let mut masker = Masker::default();
        for (name, plain) in self.used() {
            masker.add(name, &plain.value);
        }
        masker
    }

    /// Refuses a host that one of the used secrets is not bound to.
    pub(crate) fn check_host(&self, host: &str, port: u16) -> Result<(), Failure> {
        self.used().try_for_each(|(name, plain)| check_bound(name, plain, host, port))
    }

    /// Refuses a URL, given by a redirect, that holds a secret not bound to its host.
    pub(crate) fn check_redirect(&self, url: &str, host: &str, port: u16) -> Result<(), Failure> {
        for (name, plain) in self.used() {
            let mut masker = Masker::default();
            masker.add(name, &plain.value);
            if masker.text(url) != url {
                check_bound(name, plain, host, port)?;
            }
        }
        Ok(())
    }

    fn used(&self) -> impl Iterator<Item = (&str, &SecretPlain)> {
        let named = |(index, plain): (usize, _)| (self.scope.name(index), plain);
        self.plains.iter().enumerate().filter_map(|(index, plain)| Some((index, plain.as_ref()?))).map(named)
    }
}

fn check_bound(name: &str, plain: &SecretPlain, host: &str, port: u16) -> Result<(), Failure> {
    if plain.hosts.is_empty() || plain.hosts.iter().any(|pattern| pattern.matches(host, port)) {
        return Ok(());
    }
    let hosts: Vec<String> = plain.hosts.iter().map(ToString::to_string).collect();
    let message = format!(
        "Secret `{name}` may not be sent to {host}:{port}: it is bound to {}. Bind it to this host too if it belongs there.",
        hosts.join(", ")
    );
    Err(Failure::permanent(ErrorCode::SecretHost, message))
}

pub(crate) fn broken() -> Failure {
    Failure::permanent(
        ErrorCode::NodeConfig,
        "A secret stands where it cannot be used, or only a part of it. Use it as a whole in the URL, a header value, `auth` or the body.",
    )
}

fn mark_used(scope: &SecretScope, text: &str, used: &mut [bool]) {
    for piece in scope.pieces(text) {
        if let Piece::Secret(index) = piece {
            used[index] = true;
        }
    }
}

/// Calls `visit` with every text of `request` in which a token is resolved.
fn visit_texts(request: &Request, scope: &SecretScope, visit: &mut impl FnMut(&str)) {
    visit(&request.url);
    for (name, value) in request.query.iter().chain(&request.headers) {
        visit(name);
        visit(value);
    }
    match &request.auth {
        Auth::None => {}
        Auth::Bearer { token } => visit(token),
        Auth::Basic { username, password } => {
            visit(username);
            visit(password);
        }
        Auth::Header { value, .. } | Auth::Query { value, .. } => visit(value),
    }
    match &request.body {
        Body::None | Body::File(_) | Body::Bytes { .. } | Body::Stream { .. } => {}
        Body::Json(value) => {
            let visited = scope.try_map(value, &mut |text| {
                visit(text);
                Ok::<_, std::convert::Infallible>(std::sync::Arc::from(text))
            });
            drop(visited);
        }
        Body::Form(fields) => {
            for (name, value) in fields {
                visit(name);
                visit(value);
            }
        }
        Body::Multipart(parts) => {
            for part in parts {
                if let PartContent::Text(text) = &part.content {
                    visit(text);
                }
            }
        }
        Body::Text { content, .. } => visit(content),
    }
}
