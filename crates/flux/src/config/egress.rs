//! `[egress]`: outbound calls of flows.

use super::section::section;

section! {
    /// Outbound calls of flows.
    Egress {
        /// Targets that may be reached although they are not public: `10.0.0.0/8`,
        /// `192.168.1.7:8080`, `crm.internal`.
        allow: Vec<String> = Vec::new();
        /// Time for finding the address, connecting and the TLS handshake together, in milliseconds.
        connect_timeout_ms: u64 = 10_000;
        /// Time for a whole call where its node does not say, in milliseconds.
        timeout_ms: u64 = 60_000;
        /// Calls running at the same time.
        calls_max: usize = 1_024;
        /// Calls to one host and port running at the same time.
        calls_per_host_max: usize = 256;
        /// Bytes of a request body.
        request_bytes_max: u64 = 100 * 1024 * 1024;
        /// Bytes of an answer that becomes a value.
        response_bytes_max: u64 = flux_model::limits::VALUE_BYTES_MAX as u64;
        /// Bytes of an answer that becomes a file.
        file_bytes_max: u64 = 1024 * 1024 * 1024;
    }
}
