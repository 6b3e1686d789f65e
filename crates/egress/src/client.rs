//! The client: one call from request to record.

use std::sync::Arc;
use std::time::Duration;

use flux_model::error::Failure;
use flux_model::{ErrorCode, Tenant};
use http::Uri;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::connect::{Connector, Guard};
use crate::failure;
use crate::files::FileStore;
use crate::gates::{Gates, Pass};
use crate::limits::Limits;
use crate::mask::ContentMasker;
use crate::payload::WireBody;
use crate::policy::Policy;
use crate::receive::Receiver;
use crate::record::{self, Trail};
use crate::redirect;
use crate::request::{Redirects, Request};
use crate::resolve::{Resolver, SystemResolver};
use crate::response::{Called, Response};
use crate::reveal::Revealed;
use crate::scope::SecretScope;
use crate::target;
use crate::vault::SecretSource;
use crate::wire::Wire;

/// How long an idle connection is kept. Its address was checked when it was opened.
const IDLE_CONNECTION_KEPT: Duration = Duration::from_secs(60);
/// The smallest read buffer that hyper accepts, in bytes.
const READ_BUFFER_BYTES_MIN: usize = 8 * 1024;

/// What an [`Egress`] is made of.
pub struct Setup {
    /// Which targets may be reached.
    pub policy: Policy,
    /// The bounds.
    pub limits: Limits,
    /// Where secrets come from.
    pub secrets: Arc<dyn SecretSource>,
    /// Where files go to and come from.
    pub files: Arc<dyn FileStore>,
    /// How names become addresses.
    pub resolver: Arc<dyn Resolver>,
    /// Certificates (DER) of authorities trusted besides the public ones.
    pub extra_roots: Vec<Vec<u8>>,
}

impl Setup {
    /// The default limits, the system's resolver, the public certificate authorities.
    pub fn new(policy: Policy, secrets: Arc<dyn SecretSource>, files: Arc<dyn FileStore>) -> Self {
        Self {
            policy,
            limits: Limits::default(),
            secrets,
            files,
            resolver: Arc::new(SystemResolver),
            extra_roots: Vec::new(),
        }
    }
}

/// Why an [`Egress`] cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// TLS could not be set up: a certificate in `extra_roots` is not one.
    #[error("TLS cannot be set up: {message}")]
    Tls {
        /// Why.
        message: String,
    },
}

/// The only way out. Cheap to clone; clones share connections and limits.
///
/// Connections are shared by everyone who uses one egress, so projects with different policies
/// need an egress each.
#[derive(Clone)]
pub struct Egress {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    client: Client<Connector, WireBody>,
    guard: Guard,
    gates: Gates,
    pub(crate) limits: Limits,
    secrets: Arc<dyn SecretSource>,
    files: Arc<dyn FileStore>,
}

/// The answer to the last hop of a request, its body still to be read.
pub(crate) struct Exchanged {
    pub(crate) answer: http::Response<Incoming>,
    pub(crate) wire: Wire,
    /// Redirects that were followed.
    pub(crate) redirects: u32,
    /// Held until the body is read.
    pub(crate) pass: Pass,
}

impl Egress {
    /// An egress of this setup. Reads no certificate and no proxy from the system: the public
    /// authorities are built in, and calls go straight to their target.
    ///
    /// # Errors
    /// [`EgressError`] if TLS cannot be set up.
    pub fn new(setup: Setup) -> Result<Self, EgressError> {
        let tls = tls(&setup.extra_roots)?;
        let guard = Guard {
            policy: Arc::new(setup.policy),
            resolver: setup.resolver,
            connect_timeout: setup.limits.connect_timeout,
        };
        let header_bytes = setup.limits.header_bytes_max.max(READ_BUFFER_BYTES_MIN);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_CONNECTION_KEPT)
            .pool_max_idle_per_host(setup.limits.calls_per_host_max)
            .http1_max_buf_size(header_bytes)
            .http2_max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX))
            .build(Connector::new(guard.clone(), tls));
        let gates = Gates::new(&setup.limits);
        let Setup { limits, secrets, files, .. } = setup;
        Ok(Self { shared: Arc::new(Shared { client, guard, gates, limits, secrets, files }) })
    }

    /// Sends `request` for `tenant` and reads the answer. Tokens of `scope` in the request become
    /// plaintext on the wire only.
    pub async fn call(&self, tenant: Tenant, scope: &SecretScope, request: &Request) -> Called {
        let mut trail = Trail::start(request, scope, ContentMasker::default());
        let limit = request.timeout.unwrap_or(self.shared.limits.timeout);
        let run = self.shared.run(tenant, scope, request, &mut trail);
        let outcome = match tokio::time::timeout(limit, run).await {
            Ok(outcome) => outcome,
            Err(_) => Err(failure::timeout(&trail.shown_url, limit)),
        };
        let outcome = outcome.map_err(|failure| {
            let failure = trail.cause(failure);
            warn_if_refused(tenant, &failure);
            failure
        });
        let record = trail.finish(outcome.as_ref().map(record::recorded).map_err(Clone::clone));
        Called { record, outcome }
    }

    /// Whether `url` could be called now: parses it, resolves its host and asks the policy.
    /// Connects to nothing. What it answers may be different at the next call.
    ///
    /// # Errors
    /// The failure that a call would end with.
    pub async fn check(&self, url: &str) -> Result<(), Failure> {
        let url = target::parse(url)?;
        let checked = self.shared.guard.addresses(target::host(&url), target::port(&url)).await;
        checked.map(|_| ()).map_err(|refused| failure::connect(&refused))
    }
}

impl Shared {
    async fn run(
        &self,
        tenant: Tenant,
        scope: &SecretScope,
        request: &Request,
        trail: &mut Trail,
    ) -> Result<Response, Failure> {
        let Exchanged { answer, wire, redirects: _, pass: _pass } =
            self.exchange(tenant, scope, request, trail).await?;
        let (files, limits, masker) = (&*self.files, &self.limits, &trail.masker);
        let receiver = Receiver { tenant, files, limits, masker, request, wire: &wire };
        receiver.receive(answer).await
    }

    /// Sends `request` and follows redirects, up to the head of the last answer.
    pub(crate) async fn exchange(
        &self,
        tenant: Tenant,
        scope: &SecretScope,
        request: &Request,
        trail: &mut Trail,
    ) -> Result<Exchanged, Failure> {
        let revealed = Revealed::of(scope, &*self.secrets, tenant, request).await?;
        trail.masker = revealed.masker();
        let (mut wire, masker) = Wire::of(request, &revealed)?;
        trail.masker = masker;
        self.check_size(&wire)?;
        revealed.check_host(target::host(&wire.url), target::port(&wire.url))?;
        let redirects_max = request
            .redirects_max
            .map_or(self.limits.redirects_max, |asked| asked.min(self.limits.redirects_max));
        let mut redirects = 0;
        loop {
            let pass = self.gates.enter(&wire.url).await?;
            let answer = self.send(tenant, &wire).await?;
            let status = answer.status();
            let next = match request.redirects {
                Redirects::Follow if redirects_max > 0 => {
                    redirect::location(status, answer.headers(), &wire.url)?
                }
                Redirects::Error if redirect::is_redirect(status) => {
                    return Err(redirect::unwanted(&wire, status));
                }
                Redirects::Follow | Redirects::Error | Redirects::Manual => None,
            };
            let Some(next) = next else { return Ok(Exchanged { answer, wire, redirects, pass }) };
            if redirects == redirects_max {
                return Err(too_many_redirects(&wire, redirects_max));
            }
            redirects += 1;
            wire = redirect::follow(&wire, status, next, &revealed, &trail.everything())?;
            trail.redirected(status, &wire.shown_url);
        }
    }

    async fn send(&self, tenant: Tenant, wire: &Wire) -> Result<http::Response<Incoming>, Failure> {
        let uri = Uri::try_from(wire.url.as_str()).map_err(|error| {
            let message = format!("{} cannot be sent: {error}.", wire.shown_url);
            Failure::permanent(ErrorCode::EgressUrl, message)
        })?;
        let body = wire.payload.to_body(&self.files, tenant, self.limits.request_bytes_max);
        let mut request = http::Request::new(body);
        *request.method_mut() = wire.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = wire.headers.clone();
        let sent = self.client.request(request).await;
        let header_bytes_max = self.limits.header_bytes_max;
        let answer = sent.map_err(|error| failure::exchange(&wire.shown_url, &error, header_bytes_max))?;
        // The read buffer bounds the header roughly, while it comes in; this is the exact bound.
        let bytes: usize =
            answer.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if bytes > header_bytes_max {
            return Err(failure::header_too_large(&wire.shown_url, header_bytes_max));
        }
        Ok(answer)
    }

    /// A stream is measured while it is sent.
    fn check_size(&self, wire: &Wire) -> Result<(), Failure> {
        let limit = self.limits.request_bytes_max;
        let Some(bytes) = wire.payload.length().filter(|bytes| *bytes > limit) else { return Ok(()) };
        let message = format!("The body has {bytes} bytes, more than request_bytes_max = {limit}.");
        Err(Failure::permanent(ErrorCode::EgressLimit, message))
    }
}

/// Tells the operator about calls that a rule stopped.
pub(crate) fn warn_if_refused(tenant: Tenant, failure: &Failure) {
    if matches!(failure.code, ErrorCode::EgressRefused | ErrorCode::SecretHost) {
        let Tenant { organization, project } = tenant;
        tracing::warn!(%organization, %project, code = %failure.code, "outbound call refused: {}", failure.message);
    }
}

fn too_many_redirects(wire: &Wire, limit: u32) -> Failure {
    let message = format!("{} redirects again after redirects_max = {limit} redirects.", wire.shown_url);
    Failure::permanent(ErrorCode::EgressLimit, message)
}

fn tls(extra_roots: &[Vec<u8>]) -> Result<rustls::ClientConfig, EgressError> {
    let invalid = |error: rustls::Error| EgressError::Tls { message: error.to_string() };
    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for certificate in extra_roots {
        roots.add(certificate.clone().into()).map_err(invalid)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(versions.map_err(invalid)?.with_root_certificates(roots).with_no_client_auth())
}
