//! One connection: how it is made, what it remembers, and when it is given up.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use futures::TryStreamExt;
use tokio::time::Sleep;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, Statement};

use super::bind::{Bound, Raw};
use super::tls::Tls;
use super::{Bounds, failed};
use crate::DataError;
use crate::compile::Parameter;
use crate::engine::Options;
use crate::limits::STATEMENTS_CACHED_MAX;

const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// A connection with what it remembers.
pub(crate) struct Session {
    pub client: Client,
    statements: HashMap<Box<str>, Statement>,
    entered: Option<Entry>,
    /// Whether work was begun on it that did not end in good order. Such a connection is not used again.
    busy: bool,
    tls: Tls,
    timer: Option<Pin<Box<Sleep>>>,
}

/// On whose behalf the next statements run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    pub claims: Option<String>,
    pub role: Option<String>,
}

impl Session {
    /// Makes the statements that follow run on behalf of `entry`, unless they already do.
    pub(super) async fn enter(&mut self, entry: &Entry) -> Result<(), DataError> {
        if self.entered.as_ref() == Some(entry) {
            return Ok(());
        }
        self.entered = None;
        let sql = "SELECT set_config('flux.claims', $1, false), set_config('role', $2, false)";
        let statement = self.prepared(sql).await.map_err(|error| failed("claims", &error))?;
        let (claims, role) =
            (entry.claims.as_deref().unwrap_or_default(), entry.role.as_deref().unwrap_or("none"));
        let set = self.client.query(&statement, &[&claims, &role]).await;
        set.map_err(|error| failed("claims", &error))?;
        self.entered = Some(entry.clone());
        Ok(())
    }

    /// Forgets what it entered as: a rollback took it back.
    pub(super) fn forget_entry(&mut self) {
        self.entered = None;
    }

    /// The prepared statement of that text.
    pub(super) async fn prepared(&mut self, sql: &str) -> Result<Statement, tokio_postgres::Error> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        if self.statements.len() >= STATEMENTS_CACHED_MAX {
            self.statements.clear();
        }
        self.statements.insert(sql.into(), statement.clone());
        Ok(statement)
    }

    /// The text of the first column of the only row of a statement that is used once.
    pub(crate) async fn text_of(&self, sql: &str, parameters: &[Parameter]) -> Result<String, DataError> {
        let rows = self.client.query_raw(sql, parameters.iter().map(Bound)).await;
        let rows = match rows {
            Ok(rows) => rows.try_collect::<Vec<_>>().await,
            Err(error) => Err(error),
        };
        let rows = rows.map_err(|error| failed("the query", &error))?;
        let raw: Option<Raw<'_>> = rows.first().and_then(|row| row.try_get(0).ok());
        let bytes = raw.and_then(|raw| raw.0).unwrap_or_default();
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    /// Forgets all prepared statements: the schema changed under them.
    pub(super) fn forget_statements(&mut self) {
        self.statements.clear();
    }

    /// Begins work that must end in good order for the connection to be used again.
    pub(super) fn begin_work(&mut self) {
        self.busy = true;
    }

    /// The work ended in good order.
    pub(super) fn end_work(&mut self) {
        self.busy = false;
    }

    /// Runs `work` until `deadline`. Work that is over time is cancelled on the server as well.
    pub(super) async fn bounded<T, F: AsyncWork<T>>(
        &mut self,
        deadline: Instant,
        bounds: Bounds,
        work: F,
    ) -> Result<T, DataError> {
        self.begin_work();
        // Moving a timer that is set is free; setting one wakes the runtime's driver, every time.
        let mut timer =
            self.timer.take().unwrap_or_else(|| Box::pin(tokio::time::sleep_until(deadline.into())));
        timer.as_mut().reset(deadline.into());
        let done = tokio::select! {
            biased;
            done = work.run(self) => Some(done),
            () = timer.as_mut() => None,
        };
        self.timer = Some(timer);
        let limit_ms = u64::try_from(bounds.query_time_max.as_millis()).unwrap_or(u64::MAX);
        let overdue = DataError::Timeout {
            doing: "the query",
            limit: "query_time_max or the call's timeout",
            limit_ms,
        };
        if let Some(done) = done {
            self.end_work();
            // The server stops it by the same limit, and may be a moment faster.
            return done
                .map_err(|error| if matches!(error, DataError::Timeout { .. }) { overdue } else { error });
        }
        let (canceller, tls) = (self.client.cancel_token(), self.tls.clone());
        tokio::spawn(async move {
            if let Err(error) = canceller.cancel_query(tls).await {
                tracing::debug!(%error, "a query that took too long could not be cancelled");
            }
        });
        Err(overdue)
    }
}

/// Work on a connection. A trait instead of a closure, so that its future can move between threads.
pub(super) trait AsyncWork<T> {
    fn run(self, session: &mut Session) -> impl Future<Output = Result<T, DataError>> + Send;
}

/// Makes connections.
pub(crate) struct Connector {
    config: Config,
    tls: Tls,
}

impl Connector {
    pub(super) fn new(url: &str, options: &Options) -> Result<Self, DataError> {
        let invalid =
            |message: String| DataError::Configuration { place: "database url".to_owned(), message };
        let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
            let why = std::error::Error::source(&error).map(|why| format!(": {why}")).unwrap_or_default();
            invalid(format!("{error}{why}"))
        })?;
        // Nobody listens on the way to this machine itself; everywhere else an unencrypted connection
        // has to be asked for.
        if !url.contains("sslmode") {
            let is_local = config.get_hosts().iter().all(is_this_machine);
            config.ssl_mode(if is_local { SslMode::Disable } else { SslMode::Require });
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIME_MAX);
        }
        let settings = format!(
            "{} -c timezone=UTC -c statement_timeout={} -c idle_in_transaction_session_timeout={}",
            config.get_options().unwrap_or_default(),
            options.query_time_max.as_millis(),
            options.transaction_time_max.as_millis(),
        );
        config.options(settings.trim());
        config.application_name("flux");
        Ok(Self { config, tls: Tls::new(options.authorities_pem.as_deref())? })
    }
}

impl Manager for Connector {
    type Type = Session;
    type Error = DataError;

    async fn create(&self) -> Result<Session, DataError> {
        let unreachable = |error: tokio_postgres::Error| {
            let why = std::error::Error::source(&error).map(|why| format!(": {why}")).unwrap_or_default();
            DataError::unavailable(format!("{error}{why}"))
        };
        let (client, connection) = self.config.connect(self.tls.clone()).await.map_err(unreachable)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to PostgreSQL ended");
            }
        });
        let (statements, tls) = (HashMap::new(), self.tls.clone());
        Ok(Session { client, statements, entered: None, busy: false, tls, timer: None })
    }

    async fn recycle(&self, session: &mut Session, _: &Metrics) -> RecycleResult<DataError> {
        if session.client.is_closed() || session.busy {
            return Err(RecycleError::message("the connection is closed or was left in the middle of work"));
        }
        Ok(())
    }
}

fn is_this_machine(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    }
}
