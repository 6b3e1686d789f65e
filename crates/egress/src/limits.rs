//! Every bound of outbound calls, by name.

use std::time::Duration;

/// Headers of one request.
pub(crate) const REQUEST_HEADERS_MAX: usize = 200;
/// Headers of one answer over HTTP/1: the bound of hyper itself, beyond which parsing gets slow.
pub(crate) const RESPONSE_HEADERS_MAX: usize = 100;

/// The bounds of outbound calls. [`Limits::default`] is what a server uses unless configured.
#[derive(Debug, Clone)]
pub struct Limits {
    /// For finding the address, connecting and the TLS handshake together.
    pub connect_timeout: Duration,
    /// For a whole call where the request does not say.
    pub timeout: Duration,
    /// How long the body of an answer that is read piece by piece may pause.
    pub idle_timeout: Duration,
    /// How long a call waits for a free place under the two caps below.
    pub queue_timeout: Duration,
    /// Calls running at the same time.
    pub calls_max: usize,
    /// Calls to one host and port running at the same time.
    pub calls_per_host_max: usize,
    /// Redirects followed in one call.
    pub redirects_max: u32,
    /// Bytes of a request body.
    pub request_bytes_max: u64,
    /// Bytes of an answer that becomes a value, after decompression.
    pub response_bytes_max: u64,
    /// Bytes of an answer that becomes a file or is read piece by piece, after decompression.
    pub file_bytes_max: u64,
    /// Bytes of the header of an answer.
    pub header_bytes_max: usize,
    /// The longest `Retry-After` that is passed on.
    pub retry_after_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(60),
            queue_timeout: Duration::from_secs(30),
            calls_max: 1_024,
            calls_per_host_max: 256,
            redirects_max: 5,
            request_bytes_max: 100 * 1024 * 1024,
            response_bytes_max: flux_model::limits::VALUE_BYTES_MAX as u64,
            file_bytes_max: 1024 * 1024 * 1024,
            header_bytes_max: 64 * 1024,
            retry_after_max: Duration::from_secs(24 * 3600),
        }
    }
}
