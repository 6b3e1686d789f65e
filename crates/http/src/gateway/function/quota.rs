//! How much of its rate limit a caller has used, and the headers that say so
//! (draft-ietf-httpapi-ratelimit-headers-10).

use std::time::Duration;

use flux_model::{ErrorCode, ProjectId};
use flux_triggers::function::RateLimit;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::FunctionTarget;
use super::identity::{CallerId, Identity};
use crate::app::Shared;
use crate::gateway::rate::{Limiter, Pass, Verdict};
use crate::problem::{Problem, whole_seconds};

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The calls of all functions, counted by function and caller.
pub(crate) type Calls = Limiter<CallKey>;

/// What calls are counted by.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct CallKey {
    project: ProjectId,
    function: String,
    caller: CallerId,
}

/// A call that was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quota {
    limit: RateLimit,
    verdict: Verdict,
}

impl Quota {
    /// Counts a call, if there is a limit.
    pub(super) fn count(app: &Shared, target: &FunctionTarget, identity: &Identity) -> Option<Self> {
        let limit = target.route.target.rate_limit().or(app.functions.rate_limit)?;
        let key = CallKey {
            project: target.tenant.project,
            function: target.route.flow.clone(),
            caller: identity.id.clone(),
        };
        Some(Self { limit, verdict: app.calls.count(key, limit, app.clock.monotonic()) })
    }

    /// The answer to a call that comes too early.
    pub(super) fn refusal(&self) -> Option<Problem> {
        let Pass::After(wait) = self.verdict.pass else { return None };
        let RateLimit { limit, period_ms, burst } = self.limit;
        let at_once = burst.unwrap_or(limit);
        let detail = format!(
            "this function takes {limit} calls in {period_ms} ms from one caller, {at_once} of them at once"
        );
        Some(Problem::new(ErrorCode::RateLimited, detail).retry_after(wait))
    }

    /// Says what is left.
    pub(super) fn show(&self, headers: &mut HeaderMap) {
        let Self { limit, verdict } = self;
        headers.insert(RATELIMIT_POLICY, written(policy(*limit)));
        let left = format!("\"caller\";r={};t={}", verdict.remaining, whole_seconds(verdict.whole_in));
        headers.insert(RATELIMIT, written(left));
    }
}

/// The limit as the header has it, whose window is in whole seconds or not said.
fn policy(limit: RateLimit) -> String {
    let RateLimit { limit, period_ms, .. } = limit;
    let period = Duration::from_millis(period_ms);
    let window = (period.subsec_nanos() == 0).then(|| format!(";w={}", period.as_secs()));
    format!("\"caller\";q={limit}{}", window.unwrap_or_default())
}

fn written(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("numbers and letters are printable")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(period_ms: u64, left: Verdict, expected: [&str; 2]) {
        let limit = RateLimit { limit: 10, period_ms, burst: Some(3) };
        let mut headers = HeaderMap::new();
        Quota { limit, verdict: left }.show(&mut headers);
        assert_eq!([&headers[RATELIMIT_POLICY], &headers[RATELIMIT]], expected);
    }

    #[test]
    fn the_headers_say_the_limit_and_what_is_left() {
        let whole_in = Duration::from_millis(1_200);
        let verdict = Verdict { pass: Pass::Yes, remaining: 2, whole_in };
        check(60_000, verdict, [r#""caller";q=10;w=60"#, r#""caller";r=2;t=2"#]);
        check(1_500, verdict, [r#""caller";q=10"#, r#""caller";r=2;t=2"#]);
    }
}
